/*
 * Accepting clients: the listeners, the limits, and what to do when there
 * is no room.  Relay only.
 */
#ifndef RELAY_ACCEPT_H
#define RELAY_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/netaddr.h"

struct relay;

#define ACCEPT_BATCH	32	/* clients for one wake-up of a listener */

enum listener_state {
	LISTENER_CLOSED,
	LISTENER_WATCHED,	/* epoll tells of its clients */
	LISTENER_PARKED		/* no room: waits in the parked list */
};

struct listener {
	int	 fd;
	enum listener_state state;
	uint32_t stanza;
	uint32_t next;		/* parked list: number + 1, or 0 */
	struct netaddr addr;
	uint32_t sessions;
	uint64_t accepted;
	uint64_t refused;	/* clients that got no server */
	uint64_t pauses;	/* how often it was parked */
};

/* What a stanza needs at run time. */
struct route {
	uint32_t sessions;
	uint32_t limit;		/* of sessions, in this worker */
	uint64_t dial_time;	/* ms: the dialer must have answered */
	uint64_t quiet_until;	/* ms: no further line about its limit */
};

struct acceptor {
	uint32_t parked_first;	/* parked listeners: number + 1, or 0 */
	uint32_t parked_last;
	uint32_t parked;	/* how many */
	bool	 room;		/* there may be: look at them again */
	bool	 paused;		/* until TIMER_ACCEPT */
	uint32_t delay;		/* ms, of the next pause; 0: none yet */
	uint64_t quiet_until;	/* ms: no further line about what concerns
				   all listeners */
	uint64_t fds;		/* descriptors open */
	uint64_t fds_most;	/* as far as is known so many may be */
	uint64_t fds_step;	/* how much more is tried next */
};

/* Is there room for one more client of a listener, and if not, why? */
enum accept_room {
	ACCEPT_ROOM,
	ACCEPT_PAUSED,		/* the system was short of something */
	ACCEPT_LISTENER_FULL,	/* max-connections of the stanza */
	ACCEPT_RELAY_FULL,	/* this worker's share of all sessions */
	ACCEPT_DIALER_BUSY,
	ACCEPT_NO_FDS
};

enum accept_room accept_room(const struct relay *r, const struct listener *l);

/* Starts accepting on all listeners. */
void	accept_start(struct relay *r);

/* Clients are waiting at listener i. */
void	accept_event(struct relay *r, uint32_t i);

/* After each turn of the loop: parked listeners, if there is room again. */
void	accept_resume(struct relay *r);

/* Would accept_resume() find something to do? */
bool	accept_wants_turn(const struct relay *r);

/* All the descriptors that are open now are as many as there may be. */
void	accept_no_fd(struct relay *r);

/* TIMER_ACCEPT has expired. */
void	accept_timer(struct relay *r);

/* Closes all listeners; before that, if `take_waiting', the clients that
   wait in their queues are accepted as far as there is room. */
void	accept_stop(struct relay *r, bool take_waiting);

#endif
