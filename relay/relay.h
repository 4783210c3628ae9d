/*
 * All that one worker knows: tables sized while loading, and the state of
 * its loop.  One object, handed from function to function; nothing in it is
 * allocated after GO.  Relay only.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/child.h"
#include "../common/timer.h"
#include "accept.h"
#include "conf.h"
#include "dial.h"
#include "flow.h"
#include "limits.h"
#include "report.h"
#include "session.h"

/* Timers beside those of the sessions, numbered after them. */
enum {
	TIMER_ACCEPT,		/* try again after a shortage */
	TIMER_DRAIN,		/* the time to drain is over */
	TIMER_REPORT,		/* the next lines of a report */
	TIMER_OTHERS
};

struct relay {
	const struct child *child;
	struct conf	 conf;
	uint64_t	 now;		/* ms, of this turn of the loop */
	int		 epoll;
	int		 stop;		/* eventfd, raised by SIGTERM */
	struct limits	 limits;
	bool		 draining;

	struct route	*routes;	/* one per stanza */
	struct listener	*listeners;
	uint32_t	 nlisteners;
	struct sessions	 sessions;
	struct timer_wheel wheel;
	struct flow_space space;
	struct acceptor	 acceptor;
	struct dialer	 dialer;
	struct report	 report;
};

#endif
