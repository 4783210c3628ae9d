/*
 * The command line of sallyport.
 */
#ifndef START_OPTIONS_H
#define START_OPTIONS_H

#include <sys/types.h>

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/logspec.h"
#include "../common/role.h"

#define OPTIONS_ARGS	16	/* words of the listener options, at most */

enum run_mode { RUN_DAEMON, RUN_CHECK, RUN_PRINT_CONFIG, RUN_PRINT_SANDBOX };

struct option_log {
	char	      *text;	/* as given: goes to the logger as it is */
	struct logspec spec;
	char	       path[PATH_MAX];	/* file: made absolute */
};

struct options {
	enum run_mode mode;
	bool	 daemonize;
	bool	 privileged;		/* so -u and -C apply */
	uid_t	 uid;			/* of the relays and helpers */
	gid_t	 gid;
	uint32_t workers;		/* 1 to WORKERS_MAX */
	uint32_t max_connections;	/* 0: not given */
	const char *format;		/* "text", "json" or "tcpproxy" */
	const char *sessions;		/* "end" or "all" */
	int	 ready;			/* a socket to be told, or -1 */
	char	 jail[PATH_MAX];
	char	 config[PATH_MAX];	/* "" when nargs > 0 */
	char	 pidfile[PATH_MAX];	/* "": none */
	char	 libexec[PATH_MAX];
	unsigned ndirs;			/* --socket-dir */
	char	 dirs[DIRS_MAX][PATH_MAX];
	size_t	 nlogs;
	struct option_log logs[LOGSPEC_TARGETS];
	size_t	 nargs;			/* listener options, for the relay */
	char	*args[OPTIONS_ARGS];
};

/*
 * Fills in *o.  A mistake: one line on stderr that names the option and what
 * was expected, exit 2; --help and --version: exit 0; unknown user and the
 * like: exit 1.
 */
void	options_parse(struct options *o, int argc, char **argv);

#endif
