/*
 * From the sallyport command to the programs under libexec.
 */
#ifndef START_EXEC_H
#define START_EXEC_H

#include "options.h"
#include "service.h"

/* What P gets beside its words; -1: none. */
struct exec_fds {
	int status;			/* where the caller waits */
	int lock;			/* the pid file's */
	int notify;			/* the service manager's socket */
	int targets[LOGSPEC_TARGETS + 1];	/* options.nlogs of them */
	int ngiven;
	int given[SERVICE_SOCKETS];	/* listening sockets */
};

_Noreturn void exec_parent(const struct options *o,
	    const struct exec_fds *f);

/*
 * --check, --print-config, --print-sandbox: executes the relay, which does
 * the work in its sandbox and exits; conf is the configuration file or -1.
 */
_Noreturn void exec_relay(const struct options *o, int conf);

#endif
