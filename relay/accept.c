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
#define ACCEPT_QUIET	1000	/* ms between two lines about the same */

enum accept_result {
	ACCEPT_OK,
	ACCEPT_EMPTY,		/* nobody waits (any more) */
	ACCEPT_SHORT		/* the system has no room: paused */
};

/* Lines that could come with every client: one in a second. */
static bool
accept_may_log(const struct relay *r, uint64_t *quiet_until)
{
	if (r->now < *quiet_until)
		return (false);
	*quiet_until = r->now + ACCEPT_QUIET;
	return (true);
}

/* The same for any listener, without a limit of its own. */
static enum accept_room
accept_room_any(const struct relay *r)
{
	const struct acceptor *a = &r->acceptor;

	if (a->paused)
		return (ACCEPT_PAUSED);
	if (!session_room(r))
		return (ACCEPT_RELAY_FULL);
	if (!dial_room(&r->dialer))
		return (ACCEPT_DIALER_BUSY);
	if (a->fds + r->dialer.pending + FDS_SESSION + FDS_RESERVE >
	    a->fds_most)
		return (ACCEPT_NO_FDS);
	return (ACCEPT_ROOM);
}

enum accept_room
accept_room(const struct relay *r, const struct listener *l)
{
	const struct route *z = &r->routes[l->stanza];

	if (z->sessions >= z->limit && z->limit < r->sessions.count)
		return (ACCEPT_LISTENER_FULL);
	return (accept_room_any(r));
}

/* Says why clients of this listener wait. */
static void
accept_tell(struct relay *r, const struct listener *l, enum accept_room why)
{
	struct route *z = &r->routes[l->stanza];
	struct acceptor *a = &r->acceptor;
	char text[REPORT_ADDR];

	/* who has reached a limit of its own must not hush up the others */
	if (why == ACCEPT_PAUSED || !accept_may_log(r, why ==
	    ACCEPT_LISTENER_FULL ? &z->quiet_until : &a->quiet_until))
		return;
	report_address(r, l, text);
	if (why == ACCEPT_LISTENER_FULL)
		log_warnx("clients of %s wait: it has its limit of %u "
		    "session%s in this relay", text, z->limit,
		    z->limit == 1 ? "" : "s");
	else if (why == ACCEPT_RELAY_FULL)
		log_warnx("clients of %s wait: this relay has its limit of "
		    "%u session%s", text, r->sessions.count,
		    r->sessions.count == 1 ? "" : "s");
	else if (why == ACCEPT_DIALER_BUSY)
		log_warnx("clients of %s wait: the dialer is busy with %u "
		    "connections", text, r->dialer.pending);
	else
		log_warnx("clients of %s wait: %llu of at most %llu "
		    "descriptors are in use", text,
		    (unsigned long long)(a->fds + r->dialer.pending),
		    (unsigned long long)a->fds_most);
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

	if (l->state == LISTENER_WATCHED) {
		loop_unwatch(r, l->fd);
		l->pauses++;
	}
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
	char text[REPORT_ADDR];

	if (error == EMFILE)
		accept_no_fd(r);
	a->delay = a->delay == 0 ? ACCEPT_PAUSE_MIN : a->delay * 2;
	if (a->delay > ACCEPT_PAUSE_MAX)
		a->delay = ACCEPT_PAUSE_MAX;
	a->paused = true;
	timer_start(&r->wheel, r->sessions.count + TIMER_ACCEPT,
	    r->now + a->delay);
	if (accept_may_log(r, &a->quiet_until)) {
		errno = error;
		log_warn("no client of %s can be accepted now",
		    report_address(r, l, text));
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

/*
 * Who the client is.  Of a unix socket that is asked for at once, as it is
 * who connected; its number is all that is kept when it has gone.
 */
static void
accept_client(const struct listener *l, int fd,
    const struct sockaddr_storage *ss, socklen_t len, struct netaddr *client)
{
	struct ucred peer = { .pid = 0 };
	socklen_t size = sizeof(peer);

	/* an unknown family leaves "-" in the log */
	(void)netaddr_from((const struct sockaddr *)ss, len, client);
	if (l->addr.family != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1)
		return;
	client->family = AF_UNIX;
	client->peer.pid = (uint32_t)peer.pid;
	client->peer.uid = peer.uid;
	client->peer.gid = peer.gid;
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
		accept_client(l, fd, &ss, len, &client);
		if (session_open(r, (uint32_t)(l - r->listeners), fd,
		    &client) == 0) {
			r->acceptor.delay = 0;
			return (ACCEPT_OK);
		}
		l->refused++;
	}
	accept_pause(r, l, errno);
	return (ACCEPT_SHORT);
}

/*
 * Accepts at most n clients, of whom one waits.  Afterwards the listener is
 * watched, or parked if there was no room; who took the last place need not
 * have left anybody waiting, and epoll tells if so.
 */
static void
accept_some(struct relay *r, struct listener *l, uint32_t n)
{
	enum accept_result result = ACCEPT_OK;
	enum accept_room room = accept_room(r, l);

	if (room != ACCEPT_ROOM) {
		accept_tell(r, l, room);
		accept_park(r, l);
		return;
	}
	while (n-- > 0 && result == ACCEPT_OK &&
	    accept_room(r, l) == ACCEPT_ROOM)
		result = accept_one(r, l);
	if (result == ACCEPT_SHORT)
		accept_park(r, l);
	else if (l->state != LISTENER_WATCHED)
		accept_watch(r, l);
}

void
accept_event(struct relay *r, uint32_t i)
{
	struct listener *l = &r->listeners[i];

	if (l->state == LISTENER_WATCHED)
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
		if (accept_room_any(r) != ACCEPT_ROOM)
			return;
		l = accept_unpark(r);
		if (accept_room(r, l) == ACCEPT_ROOM)
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
	if (a->fds_most < r->limits.fds) {
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

/*
 * The clients that wait already, of whom the kernel lets in one more than the
 * backlog says; no others, should they keep coming.
 */
static void
accept_waiting(struct relay *r, struct listener *l)
{
	uint32_t n = r->conf.stanzas[l->stanza].backlog + 1;

	while (n-- > 0 && accept_room(r, l) == ACCEPT_ROOM &&
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
