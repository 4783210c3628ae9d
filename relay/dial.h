/*
 * The relay's end of the channel to its dialer (common/dial.h): requests
 * are collected and sent once per turn of the loop.  Relay only.
 */
#ifndef RELAY_DIAL_H
#define RELAY_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/dial.h"

struct relay;

struct dialer {
	int	 fd;		/* -1: it has gone */
	bool	 blocked;	/* its queue is full: EPOLLOUT will tell */
	struct dial_req *queue;	/* ring */
	uint32_t size;		/* of the ring */
	uint32_t first;
	uint32_t queued;
	uint32_t pending;	/* opened, neither answered nor cancelled */
};

/* Requests in the ring for so many slots: each may also be cancelled. */
#define DIAL_QUEUE(slots) (2 * (slots) + 2)

/* Can one more be opened, and everything pending be cancelled? */
bool	dial_room(const struct dialer *d);

void	dial_open(struct dialer *d, uint32_t slot, uint32_t serial,
	    uint32_t route);
void	dial_cancel(struct dialer *d, uint32_t slot, uint32_t serial);

/* Sends what was collected. */
void	dial_flush(struct relay *r);

/* Events of the channel. */
void	dial_event(struct relay *r, uint32_t events);

#endif
