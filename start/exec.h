/*
 * From the sallyport command to the programs under libexec.
 */
#ifndef START_EXEC_H
#define START_EXEC_H

#include "options.h"

/*
 * Executes P; status is the socket where the caller waits, lock the pid
 * file's descriptor (each -1: none), targets what the logger writes
 * to, o->nlogs of them.
 */
_Noreturn void exec_parent(const struct options *o, int status, int lock,
	    const int *targets);

/*
 * --check, --print-config, --print-sandbox: executes the relay, which does
 * the work in its sandbox and exits; conf is the configuration file or -1.
 */
_Noreturn void exec_relay(const struct options *o, int conf);

#endif
