/*
 * Timers: a hierarchical timing wheel over a caller's array.  Starting,
 * stopping and expiring a timer cost the same however many run; nothing is
 * allocated after timer_init().  Times are absolute CLOCK_MONOTONIC
 * milliseconds.  Relay and dialer.
 */
#ifndef COMMON_TIMER_H
#define COMMON_TIMER_H

#include <stdint.h>

#define TIMER_LEVELS	4
#define TIMER_SLOTS	64
#define TIMER_TICK	8	/* ms */
#define TIMER_NONE	UINT32_MAX

struct timer {			/* one per session slot; zero: not running */
	uint32_t next, prev;	/* numbers of timers, + 1; 0: none */
	uint64_t due;		/* ms, absolute; 0: not running */
};

struct timer_wheel {
	struct timer *timers;
	uint32_t count;
	uint64_t tick;		/* the next tick to be looked at */
	uint64_t used[TIMER_LEVELS];	/* bit per non-empty slot */
	uint32_t slot[TIMER_LEVELS][TIMER_SLOTS];
};

/* Uses the caller's zeroed array of `count' timers. */
void	timer_init(struct timer_wheel *w, struct timer *timers,
	    uint32_t count, uint64_t now);

/* (Re)starts timer i to expire at `due'; at the earliest with the next
   timer_expired().  */
void	timer_start(struct timer_wheel *w, uint32_t i, uint64_t due);
void	timer_stop(struct timer_wheel *w, uint32_t i);

/*
 * The number of a timer that is due, stopped by this call, or TIMER_NONE.
 * Call until it returns TIMER_NONE.
 */
uint32_t timer_expired(struct timer_wheel *w, uint64_t now);

/* How long to wait, in ms, for epoll_wait(2); -1: nothing runs. */
int	timer_wait(const struct timer_wheel *w, uint64_t now);

/* CLOCK_MONOTONIC in ms. */
uint64_t timer_now(void);

#endif
