/*
 * Accepting.  Runs in the relay after GO; touches the listeners that P has
 * handed over.
 *
 * A listener without room (its worker, its stanza or this process has all
 * the sessions it may have) leaves the epoll set and is parked; parked ones
 * are looked at in turn when a session has ended.  A shortage of the system
 * pauses accepting for a while, longer each time.
 *
 * Descriptors are counted.  Every session is given two when its client is
 * accepted, so that its server's, which the dialer sends, always finds room,
 * and FDS_RESERVE more stay free.  Should the limit be lower than it was at
 * start, the count tells where it is; from there on the same holds below it,
 * and a little more is tried from time to time.
 */
#include "accept.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include "../common/log.h"
#include "budget.h"
#include "loop.h"
#include "relay.h"

#define ACCEPT_PAUSE_MIN	100	/* ms */
#define ACCEPT_PAUSE_MAX	1000
#define ACCEPT_PROBE	5000	/* ms: is the limit higher again? */

enum accept_result {
	ACCEPT_OK,
	ACCEPT_EMPTY,		/* nobody waits (any more) */
	ACCEPT_SHORT		/* the system has no room: paused */
};

/* Lines that could come with every client: one in a second. */
static bool
accept_may_log(struct relay *r)
{
	if (r->now < r->acceptor.quiet_until)
		return (false);
	r->acceptor.quiet_until = r->now + 1000;
	return (true);
}

/* Is there room for one more client of anybody? */
static bool
accept_room_any(const struct relay *r)
{
	const struct acceptor *a = &r->acceptor;

	return (session_room(r) && dial_room(&r->dialer) &&
	    a->fds + r->dialer.pending + FDS_SESSION + FDS_RESERVE <=
	    a->fds_most);
}

static bool
accept_room(const struct relay *r, const struct listener *l)
{
	const struct route *z = &r->routes[l->stanza];

	return (z->sessions < z->limit && accept_room_any(r));
}

static void
accept_tell_full(struct relay *r, const struct listener *l)
{
	const struct route *z = &r->routes[l->stanza];
	char text[NETADDR_TEXT];

	if (!accept_may_log(r))
		return;
	netaddr_text(&l->addr, text);
	if (z->sessions >= z->limit)
		log_warnx("clients of %s wait: it has its limit of %u "
		    "sessions", text, z->limit);
	else if (!session_room(r))
		log_warnx("clients of %s wait: this relay has its limit of "
		    "%u sessions", text, r->sessions.count);
	else if (!dial_room(&r->dialer))
		log_warnx("clients of %s wait: the dialer is busy", text);
	else
		log_warnx("clients of %s wait: no more descriptors", text);
}

static void
accept_watch(struct relay *r, struct listener *l)
{
	uint32_t i = (uint32_t)(l - r->listeners);

	if (loop_watch(r, l->fd, EPOLLIN,
	    loop_key(LOOP_LISTENER, i, 0)) == -1)
		fatal("a listener can't be watched");
	l->state = LISTENER_WATCHED;
}

static void
accept_park(struct relay *r, struct listener *l)
{
	struct acceptor *a = &r->acceptor;
	uint32_t n = (uint32_t)(l - r->listeners) + 1;

	if (l->state == LISTENER_WATCHED)
		loop_unwatch(r, l->fd);
	l->state = LISTENER_PARKED;
	l->next = 0;
	if (a->parked_first == 0)
		a->parked_first = n;
	else
		r->listeners[a->parked_last - 1].next = n;
	a->parked_last = n;
	a->parked++;
}

static struct listener *
accept_unpark(struct relay *r)
{
	struct acceptor *a = &r->acceptor;
	struct listener *l = &r->listeners[a->parked_first - 1];

	a->parked_first = l->next;
	a->parked--;
	return (l);
}

void
accept_no_fd(struct relay *r)
{
	struct acceptor *a = &r->acceptor;

	a->fds_most = a->fds;
	a->fds_step = 1;
	if (!a->paused)
		timer_start(&r->wheel, r->sessions.count + TIMER_ACCEPT,
		    r->now + ACCEPT_PROBE);
}

/* accept4(2) or epoll_ctl(2) failed for want of something. */
static void
accept_pause(struct relay *r, const struct listener *l, int error)
{
	struct acceptor *a = &r->acceptor;
	char text[NETADDR_TEXT];

	if (error == EMFILE)
		accept_no_fd(r);
	a->delay = a->delay == 0 ? ACCEPT_PAUSE_MIN : a->delay * 2;
	if (a->delay > ACCEPT_PAUSE_MAX)
		a->delay = ACCEPT_PAUSE_MAX;
	a->paused = true;
	timer_start(&r->wheel, r->sessions.count + TIMER_ACCEPT,
	    r->now + a->delay);
	if (accept_may_log(r)) {
		errno = error;
		log_warn("no client of %s can be accepted now",
		    netaddr_text(&l->addr, text));
	}
}

static bool
accept_is_short(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPERM:		/* refused by a firewall */
	case EPROTO:		/* errors of the new connection's network */
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
		return (false);
	default:
		return (true);
	}
}

/* One client.  There is room for it. */
static enum accept_result
accept_one(struct relay *r, struct listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct netaddr client;
	int fd;

	fd = accept4(l->fd, (struct sockaddr *)&ss, &len,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1 && errno == EAGAIN)
		return (ACCEPT_EMPTY);
	if (fd == -1 && !accept_is_short(errno))
		return (ACCEPT_OK);
	if (fd != -1) {
		/* an unknown family leaves "-" in the log */
		(void)netaddr_from((struct sockaddr *)&ss, len, &client);
		if (session_open(r, (uint32_t)(l - r->listeners), fd,
		    &client) == 0) {
			r->acceptor.delay = 0;
			return (ACCEPT_OK);
		}
	}
	accept_pause(r, l, errno);
	return (ACCEPT_SHORT);
}

/*
 * Accepts at most n clients.  Afterwards the listener is watched, or parked
 * if there is no room.
 */
static void
accept_some(struct relay *r, struct listener *l, uint32_t n)
{
	enum accept_result result = ACCEPT_OK;

	while (n-- > 0 && result == ACCEPT_OK) {
		if (!accept_room(r, l)) {
			accept_tell_full(r, l);
			accept_park(r, l);
			return;
		}
		result = accept_one(r, l);
	}
	if (result == ACCEPT_SHORT)
		accept_park(r, l);
	else if (l->state != LISTENER_WATCHED)
		accept_watch(r, l);
}

void
accept_event(struct relay *r, uint32_t i)
{
	struct listener *l = &r->listeners[i];

	if (l->state != LISTENER_WATCHED)
		return;
	if (r->acceptor.paused)
		accept_park(r, l);
	else
		accept_some(r, l, ACCEPT_BATCH);
}

bool
accept_wants_turn(const struct relay *r)
{
	const struct acceptor *a = &r->acceptor;

	return (a->room && a->parked != 0 && !a->paused);
}

void
accept_resume(struct relay *r)
{
	struct acceptor *a = &r->acceptor;
	struct listener *l;

	if (!accept_wants_turn(r))
		return;
	a->room = false;
	for (uint32_t n = a->parked; n > 0; n--) {
		if (a->paused || !accept_room_any(r))
			return;
		l = accept_unpark(r);
		if (accept_room(r, l))
			accept_some(r, l, ACCEPT_BATCH);
		else
			accept_park(r, l);
	}
}

void
accept_timer(struct relay *r)
{
	struct acceptor *a = &r->acceptor;

	a->room = true;
	if (a->fds_most < r->fd_limit) {
		/* after a pause, the first probe is still to come */
		if (!a->paused) {
			a->fds_most += a->fds_step;
			a->fds_step *= 2;
		}
		timer_start(&r->wheel, r->sessions.count + TIMER_ACCEPT,
		    r->now + ACCEPT_PROBE);
	}
	a->paused = false;
}

void
accept_start(struct relay *r)
{
	for (uint32_t i = 0; i < r->nlisteners; i++)
		accept_watch(r, &r->listeners[i]);
}

/* The clients that wait already; no more, should others keep coming. */
static void
accept_waiting(struct relay *r, struct listener *l)
{
	uint32_t n = r->conf.stanzas[l->stanza].backlog;

	while (n-- > 0 && !r->acceptor.paused && accept_room(r, l) &&
	    accept_one(r, l) == ACCEPT_OK)
		continue;
}

void
accept_stop(struct relay *r, bool take_waiting)
{
	for (uint32_t i = 0; i < r->nlisteners; i++) {
		struct listener *l = &r->listeners[i];

		if (l->state == LISTENER_CLOSED)
			continue;
		if (take_waiting)
			accept_waiting(r, l);
		if (l->state == LISTENER_WATCHED)
			loop_unwatch(r, l->fd);
		l->state = LISTENER_CLOSED;
		close(l->fd);
		l->fd = -1;
		r->acceptor.fds--;
	}
	r->acceptor.parked = r->acceptor.parked_first = 0;
	timer_stop(&r->wheel, r->sessions.count + TIMER_ACCEPT);
}
