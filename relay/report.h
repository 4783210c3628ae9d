/*
 * What the relay says about listeners and sessions: the line when a session
 * has ended, and the reports that P asks for, a few lines at a time.
 * Relay only.
 */
#ifndef RELAY_REPORT_H
#define RELAY_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"

struct relay;
struct conf_host;
struct listener;

#define REPORT_ADDR	128	/* of a listener, and a NUL */

/* One of the two reports. */
struct report_part {
	bool	 active;	/* under way */
	bool	 again;		/* was asked for meanwhile */
	uint32_t next;		/* listener or slot */
	uint32_t shown;
	uint32_t began;		/* sessions when it was asked for */
	uint32_t serial;	/* the last one of them */
};

struct report {
	struct report_part listeners;
	struct report_part sessions;
};

/* "192.0.2.1:80", "[2001:db8::1]:80", "name:80" or "unix:/path"; returns
   buf. */
const char *report_host(const struct conf_host *h, char *buf, size_t size);

/* Where it listens, likewise; returns buf. */
const char *report_address(const struct relay *r, const struct listener *l,
	    char buf[REPORT_ADDR]);

/* "listening on: A (remote: R[ with source S])" */
void	report_listening(const struct relay *r, uint32_t listener);

/* --log-sessions all: "session accepted", "session connected". */
void	report_event(const struct relay *r, const struct session *s,
	    const char *event);

/* One line about a session that ends; `error' is an errno or 0. */
void	report_end(const struct relay *r, const struct session *s,
	    enum session_end why, int error);

/*
 * Starts the report `what' (wire_report).  One that is under way is finished
 * first; however often it is asked for meanwhile, one more follows.
 */
void	report_start(struct relay *r, uint32_t what);

/* TIMER_REPORT has expired: the next lines. */
void	report_timer(struct relay *r);

#endif
