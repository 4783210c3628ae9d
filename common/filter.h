/*
 * The tables of system calls: for each confined program what it may call,
 * under which condition and why, and which calls kill it.  The seccomp
 * filters, --print-sandbox and the tests are all made from these tables.
 * Programs under libexec only.
 */
#ifndef COMMON_FILTER_H
#define COMMON_FILTER_H

#include <linux/filter.h>

#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"

enum filter {
	FILTER_LOADING,		/* relay, until GO */
	FILTER_RELAY,		/* relay, on top of that, from GO on */
	FILTER_DIALER,
	FILTER_DIALER_UNIX,	/* with unix sockets among its remotes */
	FILTER_RESOLVER,	/* the one-shot resolver's too */
	FILTER_LOGGER,
	FILTER_COUNT
};

enum filter_action {
	FILTER_ALLOW,
	FILTER_REFUSE,		/* fails with filter_rule.error: the libc
				   tries it and can do without */
	FILTER_KILL		/* trip-wire: nobody but an intruder calls it */
};

/* What is in no rule, or meets no rule's conditions. */
#define FILTER_DEFAULT	ENOSYS

#define FILTER_CONDS	3	/* of one rule, all of which must hold */
#define FILTER_RULES	320	/* of one filter, at most */
#define FILTER_INSNS	2048

struct filter_cond {		/* a full 64-bit test */
	struct scmp_arg_cmp cmp;
	const char	   *text;	/* NULL: no condition */
};

struct filter_rule {
	enum filter_action action;
	int		   error;	/* of FILTER_REFUSE */
	int		   nr;		/* negative: not on this machine */
	const char	  *name;
	const char	  *why;
	struct filter_cond cond[FILTER_CONDS];
};

const char *filter_title(enum filter f);

/* The first filter of the process. */
enum filter filter_of(const struct child *c);

/*
 * Collects the filter's rules: first what it allows and refuses, then its
 * trip-wires.  Returns their number.
 */
size_t	filter_rules(enum filter f, const struct filter_rule *rules[
	    FILTER_RULES]);

/*
 * Compiles the filter into memory that is the caller's until the next call
 * for the same `slot' (0 or 1).  Fatal when it can't.
 */
struct sock_fprog filter_compile(enum filter f, unsigned slot);

#endif
