/*
 * The life of a session: opened when a client was accepted, joined when the
 * dialer hands over the connected server, moved by turns, ended.  Runs in
 * the relay after GO; touches the session's own sockets, its slot, its
 * timer and its rests.  Allocates nothing.
 */
#include "session.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include "loop.h"
#include "relay.h"
#include "report.h"

/* Each socket is added once; edges need no further epoll_ctl(2). */
#define SESSION_EVENTS \
	(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static uint32_t
session_slot(const struct relay *r, const struct session *s)
{
	return ((uint32_t)(s - r->sessions.slot));
}

static const struct conf_stanza *
session_stanza(const struct relay *r, const struct session *s)
{
	return (&r->conf.stanzas[r->listeners[s->listener].stanza]);
}

/* The session that is meant, or NULL if it has ended. */
static struct session *
session_find(struct relay *r, uint32_t slot, uint32_t serial)
{
	struct session *s;

	if (slot >= r->sessions.count)
		return (NULL);
	s = &r->sessions.slot[slot];
	return (s->state != SESSION_FREE && s->serial == serial ? s : NULL);
}

bool
session_room(const struct relay *r)
{
	return (r->sessions.free != 0 ||
	    r->sessions.fresh < r->sessions.count);
}

/* A slot from the free list, the last one freed first.  There is one. */
static struct session *
session_take(struct sessions *t)
{
	struct session *s;

	if (t->free != 0) {
		s = &t->slot[t->free - 1];
		t->free = s->next;
	} else {
		s = &t->slot[t->fresh++];
	}
	t->used++;
	return (s);
}

static void
session_give(struct sessions *t, struct session *s)
{
	s->next = t->free;
	t->free = (uint32_t)(s - t->slot) + 1;
}

static void
session_queue(struct sessions *t, struct session *s)
{
	uint32_t n = (uint32_t)(s - t->slot) + 1;

	s->flags |= SESSION_QUEUED;
	s->next = 0;
	if (t->run_first == 0)
		t->run_first = n;
	else
		t->slot[t->run_last - 1].next = n;
	t->run_last = n;
}

/*
 * Is this side closed by a reset?  The peer must not take a cut stream for
 * a whole one; where a side has reset, the other one is told so.
 */
static bool
session_resets(const struct session *s, enum session_end why, int side)
{
	switch (why) {
	case END_CLIENT_EOF:
	case END_SERVER_EOF:
		return (false);
	case END_CLIENT_RESET:
		return (side == SIDE_SERVER);
	case END_SERVER_RESET:
		return (side == SIDE_CLIENT);
	case END_IDLE:
	case END_HALF_CLOSE:
		return (s->end[0].rest != 0 || s->end[1].rest != 0);
	default:
		return (true);
	}
}

static void
session_close(struct relay *r, struct endpoint *e, bool reset)
{
	const struct linger linger = { .l_onoff = reset, .l_linger = 0 };

	if (e->fd == -1)
		return;
	/*
	 * In any case: clients inherit this option from the listener, which
	 * a relay of another generation may have set in bad faith.  Unix
	 * sockets know no reset: what they were not told is all they notice.
	 */
	setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	loop_unwatch(r, e->fd);
	close(e->fd);
	e->fd = -1;
	r->acceptor.fds--;
}

static void
session_end(struct relay *r, struct session *s, enum session_end why,
    int error)
{
	struct listener *l = &r->listeners[s->listener];
	bool resets[2];

	report_end(r, s, why, error);
	if (s->state == SESSION_DIALLING)
		dial_cancel(&r->dialer, session_slot(r, s), s->serial);
	if (s->state != SESSION_OPEN)
		l->refused++;
	timer_stop(&r->wheel, session_slot(r, s));
	for (int side = 0; side < 2; side++)
		resets[side] = session_resets(s, why, side);
	for (int side = 0; side < 2; side++) {
		session_close(r, &s->end[side], resets[side]);
		rest_drop(&r->space.rests, s->end[side].rest);
		s->end[side].rest = 0;
	}
	l->sessions--;
	r->routes[l->stanza].sessions--;
	r->sessions.used--;
	r->acceptor.room = true;
	s->state = SESSION_FREE;
	/* one that waits for its turn gets its slot back when that comes */
	if (!(s->flags & SESSION_QUEUED))
		session_give(&r->sessions, s);
}

/*
 * What an endpoint begins with.  A read from a unix socket also ends where
 * its peer attached descriptors or credentials, with more behind it: there
 * only EAGAIN means "empty".
 */
static uint8_t
session_flags(const struct netaddr *peer)
{
	return (peer->family == AF_UNIX ? END_WRITABLE | END_LAST :
	    END_WRITABLE);
}

int
session_open(struct relay *r, uint32_t listener, int fd,
    const struct netaddr *client)
{
	struct listener *l = &r->listeners[listener];
	struct session *s = session_take(&r->sessions);
	uint32_t slot = session_slot(r, s);
	int error;

	*s = (struct session){
		.version = SESSION_VERSION, .state = SESSION_DIALLING,
		.serial = ++r->sessions.serial, .listener = listener,
		.end = { { .fd = fd, .flags = session_flags(client) },
		    { .fd = -1 } },
		.started = r->now, .active = r->now, .client = *client
	};
	if (loop_watch(r, fd, SESSION_EVENTS,
	    loop_key(LOOP_CLIENT, slot, s->serial)) == -1) {
		error = errno;
		close(fd);
		s->state = SESSION_FREE;
		r->sessions.used--;
		session_give(&r->sessions, s);
		errno = error;
		return (-1);
	}
	r->acceptor.fds++;
	l->sessions++;
	l->accepted++;
	r->routes[l->stanza].sessions++;
	timer_start(&r->wheel, slot,
	    r->now + r->routes[l->stanza].dial_time);
	dial_open(&r->dialer, slot, s->serial, l->stanza);
	report_event(r, s, "session accepted");
	return (0);
}

/* The shorter of two times, of which 0 means none; which one is it? */
static uint64_t
session_limit(const struct relay *r, const struct session *s,
    enum session_end *why)
{
	const struct conf_stanza *z = session_stanza(r, s);
	uint64_t half = 0;

	if (s->flags & (SESSION_CLIENT_ENDED | SESSION_SERVER_ENDED))
		half = z->half_close_timeout;
	if (half != 0 && (z->timeout == 0 || half < z->timeout)) {
		*why = END_HALF_CLOSE;
		return (half);
	}
	*why = END_IDLE;
	return (z->timeout);
}

/* Restarts the timer; traffic does not, it only notes the time. */
static void
session_arm(struct relay *r, const struct session *s)
{
	enum session_end why;
	uint64_t limit = session_limit(r, s, &why);

	if (limit != 0)
		timer_start(&r->wheel, session_slot(r, s),
		    s->active + limit);
	else
		timer_stop(&r->wheel, session_slot(r, s));
}

void
session_timer(struct relay *r, uint32_t slot)
{
	struct session *s = &r->sessions.slot[slot];
	enum session_end why;
	uint64_t limit;

	if (s->state == SESSION_FREE)
		return;
	if (s->state == SESSION_DIALLING) {
		session_end(r, s, END_CONNECT_TIMEOUT, 0);
		return;
	}
	limit = session_limit(r, s, &why);
	if (limit != 0 && r->now >= s->active + limit)
		session_end(r, s, why, 0);
	else
		session_arm(r, s);
}

static enum session_end
session_reset_by(int side)
{
	return (side == SIDE_CLIENT ? END_CLIENT_RESET : END_SERVER_RESET);
}

/* This side's stream has ended, maybe with bytes still on their way. */
static void
session_ended(struct relay *r, struct session *s, int side)
{
	if (s->flags & (SESSION_CLIENT_ENDED | SESSION_SERVER_ENDED))
		return;
	s->flags |= side == SIDE_CLIENT ? SESSION_CLIENT_ENDED :
	    SESSION_SERVER_ENDED;
	s->active = r->now;
	session_arm(r, s);
}

/*
 * The peer of this side takes nothing any more.  What it said before it
 * closed is still there to be read: an early answer, an error message.
 */
static void
session_last_words(struct relay *r, struct session *s, int side)
{
	struct endpoint *dead = &s->end[!side], *other = &s->end[side];
	int error = errno;

	dead->flags |= END_READABLE | END_LAST;
	(void)flow_run(&r->space, dead, other,
	    session_stanza(r, s)->buffer_size, &s->bytes[!side]);
	session_end(r, s, session_reset_by(!side), error);
}

/* A turn of the flow that reads from this side. */
static enum flow_result
session_flow(struct relay *r, struct session *s, int side)
{
	struct endpoint *from = &s->end[side], *to = &s->end[!side];
	uint64_t before = s->bytes[side];
	enum flow_result result;

	result = flow_run(&r->space, from, to,
	    session_stanza(r, s)->buffer_size, &s->bytes[side]);
	if (s->bytes[side] != before)
		s->active = r->now;
	if (result == FLOW_FROM_FAILED)
		session_end(r, s, session_reset_by(side), errno);
	else if (result == FLOW_TO_FAILED)
		session_last_words(r, s, side);
	else if (from->flags & END_EOF)
		session_ended(r, s, side);
	return (result);
}

/* Tells the end of one stream on.  False if the session ended over it. */
static bool
session_half_close(struct relay *r, struct session *s, int side)
{
	struct endpoint *to = &s->end[!side];

	if (to->flags & END_SHUT)
		return (true);
	to->flags |= END_SHUT;
	if (shutdown(to->fd, SHUT_WR) == 0)
		return (true);
	session_end(r, s, session_reset_by(!side), errno);
	return (false);
}

/* Moves what can be moved now, both ways, within the bounds of a turn. */
static void
session_turn(struct relay *r, struct session *s)
{
	enum flow_result result[2];

	for (int side = 0; side < 2; side++) {
		result[side] = session_flow(r, s, side);
		if (s->state == SESSION_FREE)
			return;
	}
	if (result[0] == FLOW_DONE && result[1] == FLOW_DONE) {
		session_end(r, s, s->flags & SESSION_CLIENT_ENDED ?
		    END_CLIENT_EOF : END_SERVER_EOF, 0);
		return;
	}
	for (int side = 0; side < 2; side++)
		if (result[side] == FLOW_DONE &&
		    !session_half_close(r, s, side))
			return;
	if (result[0] == FLOW_MORE || result[1] == FLOW_MORE) {
		session_queue(&r->sessions, s);
		return;
	}
	/* an error that no read or write came across, as both must wait */
	for (int side = 0; side < 2; side++)
		if (s->end[side].flags & END_ERROR) {
			session_end(r, s, session_reset_by(side), 0);
			return;
		}
}

void
session_run(struct relay *r, uint32_t n)
{
	struct sessions *t = &r->sessions;
	struct session *s;

	while (n-- > 0 && t->run_first != 0) {
		s = &t->slot[t->run_first - 1];
		t->run_first = s->next;
		s->flags &= (uint8_t)~SESSION_QUEUED;
		if (s->state == SESSION_FREE)
			session_give(t, s);
		else
			session_turn(r, s);
	}
}

/*
 * Has a client that still waits for its server left?  One that has only ended
 * its direction waits for its answer.  A unix socket tells no difference
 * between a client that doesn't want any more and one that wants no answer:
 * what it has said is there to be read.
 */
static bool
session_gave_up(const struct session *s, uint32_t events)
{
	if (s->client.family == AF_UNIX)
		return ((events & EPOLLERR) != 0);
	return ((events & (EPOLLERR | EPOLLHUP)) != 0);
}

void
session_event(struct relay *r, uint32_t slot, uint32_t serial, int side,
    uint32_t events)
{
	struct session *s = session_find(r, slot, serial);

	if (s == NULL)
		return;
	s->end[side].flags = flow_events(s->end[side].flags, events);
	if (s->state == SESSION_DIALLING) {
		if (session_gave_up(s, events))
			session_end(r, s, END_CLIENT_RESET, 0);
	} else if (!(s->flags & SESSION_QUEUED)) {
		session_turn(r, s);
	}
}

static enum session_end
session_failure(uint32_t error)
{
	switch (error) {
	case 0:			/* connected, but the descriptor was lost */
	case DIAL_LIMIT:
		return (END_LIMIT);
	case ECONNREFUSED:
		return (END_REFUSED);
	case ETIMEDOUT:
		return (END_CONNECT_TIMEOUT);
	case DIAL_NOADDR:
		return (END_NO_ADDRESS);
	case DIAL_SOURCE:
		return (END_SOURCE);
	default:
		return (END_CONNECT_FAILED);
	}
}

/* Connected: from now on there are two flows. */
static void
session_join(struct relay *r, struct session *s, int fd)
{
	uint32_t slot = session_slot(r, s);
	int error;

	if (loop_watch(r, fd, SESSION_EVENTS,
	    loop_key(LOOP_SERVER, slot, s->serial)) == -1) {
		error = errno;
		close(fd);
		s->state = SESSION_FAILED;
		session_end(r, s, END_LIMIT, error);
		return;
	}
	r->acceptor.fds++;
	s->end[SIDE_SERVER].fd = fd;
	s->end[SIDE_SERVER].flags = session_flags(&s->server);
	s->state = SESSION_OPEN;
	s->active = r->now;
	session_arm(r, s);
	report_event(r, s, "session connected");
	/* what the client has sent meanwhile need not wait for an event */
	session_turn(r, s);
}

bool
session_answer(struct relay *r, const struct dial_rep *rep, int fd)
{
	struct session *s = session_find(r, rep->slot, rep->serial);

	if (s == NULL || s->state != SESSION_DIALLING) {
		if (fd != -1)
			close(fd);
		return (false);
	}
	s->connect_us = rep->connect_us;
	s->remote = rep->remote;
	s->server = rep->addr;
	if (rep->error == 0 && fd != -1) {
		session_join(r, s, fd);
	} else {
		s->state = SESSION_FAILED;
		session_end(r, s, session_failure(rep->error),
		    (int)rep->error);
	}
	return (true);
}

void
session_end_all(struct relay *r, enum session_end why, bool dialling_only)
{
	for (uint32_t i = 0; i < r->sessions.fresh; i++) {
		struct session *s = &r->sessions.slot[i];

		if (s->state == SESSION_DIALLING ||
		    (s->state == SESSION_OPEN && !dialling_only))
			session_end(r, s, why, 0);
	}
}
