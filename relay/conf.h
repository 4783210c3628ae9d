/*
 * The configuration of one generation as the relay holds it: the result of
 * lexer, parser and checker, made inside the sandbox from the sealed memfd,
 * or from the command line's listener options.  Relay only.
 */
#ifndef RELAY_CONF_H
#define RELAY_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/netaddr.h"

#define CONF_SIZE_MAX	(1024 * 1024)
#define CONF_WORD_MAX	253	/* longest host name */
#define CONF_REMOTES_MAX 16	/* for one stanza */

#define CONF_NO_ID	UINT32_MAX /* no user or group was given */

struct conf_host {		/* an address, or a name to be looked up */
	const char *text;	/* as written, without brackets; AF_UNIX: a
				   remote's path, a listener's name */
	struct netaddr addr;	/* family 0: `text' is a name; port set in
				   both cases */
};

enum conf_on_error { ON_ERROR_FAIL, ON_ERROR_SKIP };

struct conf_stanza {
	unsigned line, column;	/* of `listen' */
	bool	 any;		/* listen * */
	struct conf_host listen;
	unsigned socket_dir;	/* AF_UNIX: number of the --socket-dir */
	uint32_t socket_mode;
	uint32_t socket_uid, socket_gid; /* or CONF_NO_ID */
	int	 resolv;	/* AF_INET, AF_INET6 or 0: both */
	int	 remote_resolv;
	unsigned nremotes;
	struct conf_host remotes[CONF_REMOTES_MAX];
	bool	 has_source;
	struct conf_host source;
	uint32_t timeout;		/* ms idle, 0: none */
	uint32_t connect_timeout;	/* ms per try */
	uint32_t half_close_timeout;	/* ms without traffic, 0: none */
	uint32_t keepalive;		/* s idle, 0: off */
	uint32_t buffer_size;		/* bytes */
	uint32_t max_connections;	/* 0: only the daemon's limit */
	uint32_t backlog;
	uint32_t resolve_interval;	/* s */
	enum conf_on_error on_error;
	const char *name;		/* for logs; NULL: none given */
};

struct conf {
	struct conf_stanza *stanzas;
	size_t	 nstanzas;
	uint32_t drain_timeout;		/* s, 0: no limit */
	void	*memory;		/* what the strings live in */
};

/*
 * Where conf_parse() tells what is wrong.  `text' is one complete message
 * ("FILE:LINE:COLUMN: what, and what was expected"), possibly with two more
 * lines for the quoted line and the caret.
 */
typedef void conf_report(void *arg, bool is_error, const char *text);

/*
 * Parses and checks `size' bytes (not NUL-terminated) named `file'.  All
 * errors and warnings of the text are reported in one run.  Returns 0, or -1
 * when there was any error; *c is empty then.  Allocates; before GO only.
 */
int	conf_parse(struct conf *c, const char *file, const char *text,
	    size_t size, conf_report *report, void *arg);

/*
 * The one stanza of the command line's -l -t -p -r -R -o -s -b (argv style
 * words as P passed them on, e.g. "-p" "80").  Same results; messages name
 * the option instead of a file position.
 */
int	conf_options(struct conf *c, int nargs, char **args,
	    conf_report *report, void *arg);

/* Writes the configuration in effect, re-readable, to a descriptor. */
void	conf_print(const struct conf *c, int fd);

void	conf_free(struct conf *c);

#endif
