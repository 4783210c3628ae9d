/*
 * Sessions: a client, its server, and the two flows between them.  The
 * table of all sessions of a worker, what happens to one of them, and its
 * end.  Relay only.
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/dial.h"
#include "../common/netaddr.h"
#include "../common/timer.h"
#include "flow.h"

struct relay;

#define SESSION_VERSION	1

enum { SIDE_CLIENT, SIDE_SERVER };

enum session_state {
	SESSION_FREE,
	SESSION_DIALLING,	/* the dialer was asked */
	SESSION_FAILED,		/* the dialer has said no */
	SESSION_OPEN
};

enum {
	SESSION_QUEUED = 0x01,		/* has its turn later */
	SESSION_CLIENT_ENDED = 0x02,	/* the client's end of stream came
					   first */
	SESSION_SERVER_ENDED = 0x04	/* the server's */
};

/* Why a session ended: who closed, and how. */
enum session_end {
	END_CLIENT_EOF, END_SERVER_EOF, END_CLIENT_RESET, END_SERVER_RESET,
	END_IDLE, END_HALF_CLOSE, END_REFUSED, END_CONNECT_TIMEOUT,
	END_CONNECT_FAILED, END_NO_ADDRESS, END_LIMIT, END_SOURCE,
	END_SHUTDOWN, END_COUNT
};

/*
 * Small, of fixed size and without pointers, so that a live session can be
 * moved to another process: this struct, two descriptors, two rests.
 */
struct session {
	uint16_t version;	/* SESSION_VERSION */
	uint8_t	 state;		/* enum session_state */
	uint8_t	 flags;
	uint32_t serial;	/* of this use of the slot */
	uint32_t listener;
	uint32_t next;		/* run queue or free list: slot + 1, or 0 */
	struct endpoint end[2];
	uint64_t bytes[2];	/* taken from this side by the other one */
	uint64_t started;	/* ms, CLOCK_MONOTONIC */
	uint64_t active;	/* ms, when something last moved */
	uint32_t connect_us;
	uint32_t remote;	/* number in the stanza, as the dialer says */
	struct netaddr client;
	struct netaddr server;	/* connected to, or tried last */
};

_Static_assert(sizeof(struct session) + sizeof(struct timer) <= 152,
    "a session stays small");

struct sessions {
	struct session *slot;
	uint32_t count;		/* slots */
	uint32_t used;		/* sessions */
	uint32_t serial;	/* the last one given out */
	uint32_t fresh;		/* slots from here on were never used */
	uint32_t free;		/* free list: slot + 1, or 0 */
	uint32_t run_first;	/* run queue, likewise */
	uint32_t run_last;
};

/* A new client on this listener; owns fd from now on.  Returns -1 with
   errno, fd closed, when the kernel can't watch it. */
int	session_open(struct relay *r, uint32_t listener, int fd,
	    const struct netaddr *client);

/*
 * The dialer's answer; fd is the connected socket, or -1.  Owns fd.  False:
 * no session waits for it (any more), it was dropped.
 */
bool	session_answer(struct relay *r, const struct dial_rep *rep, int fd);

/* Events of one side of slot; dropped if the serial is another one. */
void	session_event(struct relay *r, uint32_t slot, uint32_t serial,
	    int side, uint32_t events);

/* At most n turns of sessions in the run queue. */
void	session_run(struct relay *r, uint32_t n);

/* The timer of this slot has expired. */
void	session_timer(struct relay *r, uint32_t slot);

/* Ends all sessions, or only those that are still dialling. */
void	session_end_all(struct relay *r, enum session_end why,
	    bool dialling_only);

/* Is a slot free? */
bool	session_room(const struct relay *r);

#endif
