/*
 * The event loop of a worker, from GO to its end.  Relay only.
 */
#ifndef RELAY_LOOP_H
#define RELAY_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct relay;

/* Who an event is for; together with a number and a serial in epoll_data. */
enum loop_kind {
	LOOP_CLIENT,		/* number: slot */
	LOOP_SERVER,		/* number: slot */
	LOOP_LISTENER,
	LOOP_CONTROL,
	LOOP_DIALER,
	LOOP_STOP
};

#define LOOP_DRAIN_ORPHAN 30	/* s, when P has died */

uint64_t loop_key(enum loop_kind kind, uint32_t number, uint32_t serial);

/*
 * Adds fd to the epoll set.  Returns -1 with errno when the kernel can't.
 * loop_unwatch() must be called before close(2): other processes hold the
 * same open description, so closing alone would leave it in the set.
 */
int	loop_watch(const struct relay *r, int fd, uint32_t events,
	    uint64_t key);
void	loop_change(const struct relay *r, int fd, uint32_t events,
	    uint64_t key);
void	loop_unwatch(const struct relay *r, int fd);

/*
 * Stops accepting (see accept_stop() for take_waiting) and ends when the
 * last session has ended, at the latest after so many seconds (0: no
 * limit).  Again: only the limit changes.
 */
void	loop_drain(struct relay *r, bool take_waiting, uint32_t seconds);

/* What the relay does on signals; before the sandbox, which has no call for
   it. */
void	loop_signals(const struct relay *r);

_Noreturn void	loop_run(struct relay *r);

#endif
