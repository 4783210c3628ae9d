/*
 * The budget of a relay: how many sessions its descriptors allow.  Pure
 * arithmetic.  Relay only.
 */
#ifndef RELAY_BUDGET_H
#define RELAY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define SESSIONS_DEFAULT 10000	/* of the whole daemon, if they fit */
#define FDS_SESSION	2
#define FDS_RESERVE	2	/* never given to clients */
#define FDS_OTHER	14	/* standard ones, channels, epoll, ... */

struct budget {
	uint32_t slots;		/* sessions of this worker */
	uint32_t total;		/* of all workers */
	uint64_t need;		/* descriptors of a worker, for all that was
				   asked for */
	bool	 less;		/* the limit allows fewer */
};

/* The share of one worker in `total': those of all make up just that. */
uint32_t budget_share(uint32_t total, uint32_t workers, uint32_t worker);

/*
 * `asked' sessions for the whole daemon (0: the default number, or as many
 * as fit), so many listeners per worker, `limit' descriptors per process.
 * Returns 0, or -1 when it can't be done: less than asked for explicitly,
 * or not one session.
 */
int	budget_compute(struct budget *b, uint32_t asked, uint32_t workers,
	    uint32_t worker, uint32_t listeners, uint64_t limit);

#endif
