/*
 * Flows: the one-way streams of a session.  A flow reads from one endpoint
 * into the worker's scratch buffer and writes to the other; what is not
 * taken becomes a rest, and nothing more is read until that is gone.
 * Knows endpoints, not sessions.  Relay only.
 */
#ifndef RELAY_FLOW_H
#define RELAY_FLOW_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#include "rest.h"

/* A flow moves at most about this much before others have their turn. */
#define FLOW_TURN	(512u * 1024)
#define FLOW_MOVES	64	/* and reads at most so often */

/* What is known of an endpoint; edge-triggered, so it must be kept. */
enum {
	END_READABLE = 0x01,	/* a read may give something */
	END_WRITABLE = 0x02,	/* a write may take something */
	END_LAST = 0x04,	/* a short read does not mean "empty" */
	END_ERROR = 0x08,	/* the kernel reported an error */
	END_EOF = 0x10,		/* its stream was read to the end */
	END_SHUT = 0x20,	/* it was told the end of what it gets */
	END_FIN = 0x40		/* it has ended its stream, not all of
				   which need have been read */
};

struct endpoint {
	int32_t	 fd;		/* -1: none yet */
	uint32_t rest;		/* read from here, not yet taken by the other
				   endpoint; number in the pool or 0 */
	uint8_t	 flags;
	uint8_t	 unused[3];
};

enum flow_result {
	FLOW_WAIT,		/* until epoll tells more */
	FLOW_MORE,		/* turn used up: come back later */
	FLOW_DONE,		/* end of stream, and all was handed over */
	FLOW_FROM_FAILED,	/* errno: the sender is dead */
	FLOW_TO_FAILED		/* errno: the receiver is dead */
};

/* Where flows work: one for the worker. */
struct flow_space {
	char	*scratch;	/* as large as the largest buffer-size */
	struct rest_pool rests;
};

/* An endpoint's flags after these epoll events. */
uint8_t	flow_events(uint8_t flags, uint32_t events);

/* The flags of an endpoint that gave n (0: end) of `size' bytes. */
uint8_t	flow_after_read(uint8_t flags, size_t n, size_t size);

/*
 * Moves what can be moved, at most `size' bytes at once and about FLOW_TURN
 * in all; adds what the receiver took to *bytes.
 */
enum flow_result flow_run(struct flow_space *space, struct endpoint *from,
	    struct endpoint *to, size_t size, uint64_t *bytes);

#endif
