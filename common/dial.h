/*
 * relay <-> dialer, over a SOCK_SEQPACKET pair.
 *
 * While loading the relay sends its table: per route (= stanza, numbered
 * from 0) one DIAL_ROUTE and then its DIAL_REMOTEs in the order to be tried,
 * each a struct dial_entry; at the end one DIAL_END.  The dialer answers the
 * DIAL_END with the same struct and `route' = number of routes, and takes no
 * more entries: its table is sealed.
 *
 * After that the relay sends messages of 1 to DIAL_BATCH struct dial_req,
 * the dialer messages of 1 to DIAL_BATCH struct dial_rep.  For each reply
 * with error 0, in order, one connected, non-blocking, close-on-exec socket
 * is attached.
 */
#ifndef COMMON_DIAL_H
#define COMMON_DIAL_H

#include <stdint.h>

#include "lookup.h"
#include "netaddr.h"

#define DIAL_BATCH	16
#define DIAL_PATH	108	/* a unix socket's path and its NUL */

enum dial_type {
	DIAL_ROUTE = 1,
	DIAL_REMOTE = 2,
	DIAL_END = 3
};

struct dial_entry {
	uint32_t type;
	uint32_t route;
	/* DIAL_ROUTE: */
	uint32_t connect_timeout;	/* ms, for each try */
	uint32_t resolve_interval;	/* s */
	uint32_t keepidle;		/* s, 0: no TCP keep-alive */
	/* DIAL_ROUTE: source address (family 0 and empty name: none);
	   DIAL_REMOTE: destination; addr.port is the port in both forms */
	uint32_t family;		/* AF_INET, AF_INET6 or 0: for names */
	struct netaddr addr;		/* family 0: look up `name'; AF_UNIX,
					   for remotes only: `name' is the
					   absolute path; else it is empty */
	char	 name[LOOKUP_NAME_MAX];
};

enum dial_op { DIAL_OPEN = 1, DIAL_CANCEL = 2 };

struct dial_req {
	uint32_t op;
	uint32_t slot;		/* the relay's session, given back as is */
	uint32_t serial;	/* its incarnation, likewise */
	uint32_t route;
};

/* dial_rep.error: an errno of connect(2) (ETIMEDOUT after the try's time),
   or one of these */
#define DIAL_NOADDR	10001	/* no remote of the route has an address */
#define DIAL_LIMIT	10002	/* no descriptor or slot is free */
#define DIAL_SOURCE	10003	/* the source address can't be used */

struct dial_rep {
	uint32_t slot;
	uint32_t serial;
	uint32_t error;		/* 0: connected; else of the last try */
	uint32_t tries;		/* addresses tried */
	uint32_t connect_us;	/* from the request to the answer */
	uint32_t remote;	/* number of the remote within its route */
	struct netaddr addr;	/* connected to, or tried last (family 0:
				   none; AF_UNIX: see `remote') */
};

#endif
