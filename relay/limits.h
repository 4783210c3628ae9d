/*
 * What the limits that an operator sets come to on this machine: sessions
 * per relay, descriptors, backlog.  Relay only, before GO.
 */
#ifndef RELAY_LIMITS_H
#define RELAY_LIMITS_H

#include <stdint.h>

#include "conf.h"

struct relay;

struct limits {
	uint64_t fds;		/* RLIMIT_NOFILE, P's too */
	uint32_t somaxconn;	/* the largest backlog; 0: not known */
	uint32_t slots;		/* sessions of this relay */
	uint32_t total;		/* of all relays */
};

/* What the system allows; before the sandbox. */
void	limits_prepare(struct limits *l);

/*
 * Reports what of the configuration can't be kept, to the conf_report that
 * conf_parse() has.  Returns 0, or -1 when there was an error.  The modes
 * that only read a configuration don't look at descriptors: those of the
 * daemon may be more.
 */
int	limits_check(struct relay *r, conf_report *report, void *arg);

/* Tells how much memory it takes; the first worker, for all. */
void	limits_tell(const struct relay *r, uint64_t buffer);

#endif
