/*
 * What the sallyport command takes from itself, and so from P.
 */
#ifndef START_HARDEN_H
#define START_HARDEN_H

#include "options.h"

/*
 * First of all: descriptors 0-2 open, a sane umask, no signal ignored or
 * blocked by who started us.
 */
void	harden_start(void);

/*
 * RLIMIT_NOFILE up, core files off, capabilities and bounding set cut,
 * NO_NEW_PRIVS, the filter, all signals blocked (P takes them by
 * signalfd(2)).  Any failure: exit 1.
 */
void	harden_self(const struct options *o);

#endif
