/*
 * What every program under libexec does first: check that P started it with
 * the descriptors it expects, read its parameters (`key=value' words, see
 * start/exec.c), wipe them from the process title, and receive from P which
 * process of which generation it is.
 * Children only.
 */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "role.h"

enum child_mode {
	MODE_RUN,		/* a daemon's child */
	MODE_CHECK,		/* --check: parse, report on stderr, exit */
	MODE_PRINT_CONFIG,	/* --print-config */
	MODE_PRINT_SANDBOX	/* --print-sandbox */
};

struct child {
	enum role	role;
	enum child_mode mode;
	uint32_t	gen;		/* number of the generation, from 1 */
	uint32_t	worker;		/* from 0 */
	uint32_t	workers;
	uint32_t	max_connections; /* of the whole daemon; 0: default */
	bool		privileged;	/* changes id and root directory */
	uid_t		uid;		/* meaningful when privileged */
	gid_t		gid;
	const char     *jail;		/* absolute path; NULL: none */
	const char     *conf;		/* name of the configuration file for
					   messages; NULL: none, use args */
	unsigned	ndirs;
	const char     *dirs[DIRS_MAX];	/* --socket-dir, absolute, in the
					   order of wire_unix.dir */
	bool		unix_remotes;	/* the configuration has some */
	const char     *format;		/* logger: "text", "json", "tcpproxy" */
	bool		log_begins;	/* relay: a line when a session begins
					   too, and when it is connected */
	int		nargs;		/* relay: the listener options; logger:
					   the values of -L */
	char	      **args;
};

/*
 * Fills in *c from argv (copied, then wiped from the title), opens the log
 * (log_socket), checks the descriptors and resets what an odd parent may have
 * left (SIGPIPE is ignored).  Exits with a message when anything is not as
 * P leaves it.
 */
void	child_start(struct child *c, enum role role, int argc, char **argv);

/* Ends every title: after an upgrade, which process runs what. */
#define CHILD_VERSION	", v" SALLYPORT_VERSION

/*
 * Replaces the title's text behind "sallyport: " (bounded by the padding
 * that P gave argv[0]).
 */
void	child_title(const char *format, ...)
	    __attribute__((format(printf, 1, 2)));

#endif
