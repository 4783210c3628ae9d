/*
 * The dialer: makes outgoing connections for its relay, to the destinations
 * of a table that is sealed before the relay sees the network, and hands
 * over the connected sockets.  Runs as the unprivileged user in its sandbox,
 * one for each relay; talks to that relay and, for names, to the resolver;
 * sends nothing to P.  This file: start and loop.
 */
#include "dialer.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../common/child.h"
#include "../common/confine.h"
#include "../common/log.h"
#include "../common/timer.h"
#include "../common/wire.h"

#define CONNECTIONS	65536	/* without --max-connections */
#define SPARE_FDS	32	/* not for connections */
#define EVENTS		64	/* taken at one wake-up */
#define MESSAGES	8	/* of the relay, likewise */
#define ORPHAN_TIME	35000	/* ms, after P has gone */
#define RETRY_TIME	20	/* ms, when too many sockets are under way */

static int	poll_fd;
static int	relay = -1, resolver = -1;
static uint32_t relay_events;	/* watched now */
static bool	blocked;	/* the relay's queue is full */
static uint64_t retry_at;	/* ms: send again; 0: not waiting for that */
static uint64_t orphan_end;	/* ms: exit; 0: P is there */

int
loop_watch(int op, int fd, uint32_t events, uint32_t id, uint32_t epoch)
{
	struct epoll_event ev = {
		.events = events, .data.u64 = (uint64_t)epoch << 32 | id
	};

	return (epoll_ctl(poll_fd, op, fd, &ev));
}

void
loop_unwatch(int fd)
{
	if (epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL) == -1)
		fatal("epoll");
}

/* --- start --- */

static uint32_t
slots_wanted(const struct child *c)
{
	uint32_t      n = c->max_connections, workers = c->workers;
	struct rlimit files;

	if (n == 0)
		n = CONNECTIONS;
	n = n / workers + (n % workers != 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == -1)
		fatal("RLIMIT_NOFILE");
	if (files.rlim_cur <= SPARE_FDS)
		fatalx("the limit of open files is too low");
	if (n > files.rlim_cur - SPARE_FDS)
		n = (uint32_t)(files.rlim_cur - SPARE_FDS);
	return (n);
}

/* P sends the resolver's channel, if names are used, then the relay's. */
static void
receive_channels(void)
{
	struct wire m;
	int	    fd, n;

	while (relay == -1) {
		if ((n = wire_recv(FD_CTL, &m, &fd, 0)) == -1)
			fatal("message from the parent");
		if (n == 0)
			_exit(0);
		if (m.type == WIRE_HELPER && fd != -1 && resolver == -1 &&
		    m.u.helper.role == ROLE_RESOLVER)
			resolver = fd;
		else if (m.type == WIRE_HELPER && fd != -1 &&
		    m.u.helper.role == ROLE_RELAY)
			relay = fd;
		else
			fatalx("unexpected message from the parent");
	}
}

static void
seal_table(const struct child *c)
{
	struct dial_entry end = { .type = DIAL_END };
	struct iovec	  iov = { &end, sizeof(end) };
	struct msghdr	  msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	receive_channels();
	end.route = table_receive(relay, c->unix_remotes);
	table_confine();
	if ((poll_fd = epoll_create1(EPOLL_CLOEXEC)) == -1)
		fatal("epoll");
	relay_events = EPOLLIN;
	if (loop_watch(EPOLL_CTL_ADD, FD_CTL, EPOLLIN, EVENT_CTL, 0) == -1 ||
	    loop_watch(EPOLL_CTL_ADD, relay, relay_events, EVENT_RELAY, 0) ==
	    -1)
		fatal("epoll");
	names_start(resolver, c->worker == 0);
	if (sendmsg(relay, &msg, MSG_NOSIGNAL) == -1)
		fatal("relay's channel");
}

/* --- loop --- */

static void
take_request(const struct dial_req *req)
{
	switch (req->op) {
	case DIAL_OPEN:
		if (req->route >= table_routes())
			fatalx("the relay asked for route %u", req->route);
		dial_open(req);
		break;
	case DIAL_CANCEL:
		dial_cancel(req);
		break;
	default:
		fatalx("unknown request %u from the relay", req->op);
	}
}

/*
 * Anything that the relay's code wouldn't send ends this process, and P
 * replaces the generation.  Returns false when nothing is there to read.
 */
static bool
read_requests(void)
{
	struct dial_req reqs[DIAL_BATCH];
	struct iovec	iov = { reqs, sizeof(reqs) };
	struct msghdr	msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t		n;

	n = recvmsg(relay, &msg, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return (false);
	if (n == 0 || (n == -1 && errno == ECONNRESET))
		_exit(0);
	if (n == -1)
		fatal("relay's channel");
	if ((size_t)n % sizeof(*reqs) != 0 ||
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		fatalx("bad message from the relay");
	for (size_t i = 0; i < (size_t)n / sizeof(*reqs); i++)
		take_request(&reqs[i]);
	return (true);
}

static void
relay_event(uint32_t events)
{
	if ((events & EPOLLOUT) != 0)
		blocked = false;
	if ((events & EPOLLIN) == 0 && (events & (EPOLLHUP | EPOLLERR)) != 0)
		_exit(0);
	for (int i = 0; i < MESSAGES && dial_room(); i++)
		if (!read_requests())
			break;
}

static void
ctl_event(void)
{
	struct wire m;
	int	    fd, n;

	n = wire_recv(FD_CTL, &m, &fd, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1)
		fatal("message from the parent");
	if (n == 1)
		fatalx("unexpected message from the parent");
	loop_unwatch(FD_CTL);
	orphan_end = timer_now() + ORPHAN_TIME;
}

static void
take_event(const struct epoll_event *ev)
{
	uint32_t id = (uint32_t)ev->data.u64;

	switch (id) {
	case EVENT_CTL:
		ctl_event();
		break;
	case EVENT_RELAY:
		relay_event(ev->events);
		break;
	case EVENT_RESOLVER:
		names_event(ev->events);
		break;
	default:
		dial_event(id, (uint32_t)(ev->data.u64 >> 32), ev->events);
		break;
	}
}

/* Sends what is finished; requests wait while there is no room for them. */
static void
serve_relay(uint64_t now)
{
	uint32_t events;
	int	 error = 0;

	if (!blocked && now >= retry_at) {
		retry_at = 0;
		error = dial_flush(relay);
	}
	if (error == EPIPE || error == ECONNRESET)
		_exit(0);
	if (error == EAGAIN || error == EINTR) {
		blocked = true;
	} else if (error == ETOOMANYREFS || error == ENOBUFS ||
	    error == ENOMEM) {
		retry_at = now + RETRY_TIME;
	} else if (error != 0) {
		errno = error;
		fatal("relay's channel");
	}
	events = (dial_room() ? EPOLLIN : 0) | (blocked ? EPOLLOUT : 0);
	if (events != relay_events &&
	    loop_watch(EPOLL_CTL_MOD, relay, events, EVENT_RELAY, 0) == -1)
		fatal("epoll");
	relay_events = events;
}

static int
sooner(int a, int b)
{
	if (a == -1 || b == -1)
		return (a == -1 ? b : a);
	return (a < b ? a : b);
}

static int
time_left(uint64_t end, uint64_t now)
{
	if (end == 0)
		return (-1);
	return (end > now ? (int)(end - now) : 0);
}

_Noreturn static void
loop(void)
{
	struct epoll_event events[EVENTS];
	uint64_t	   now = timer_now();
	int		   n, wait;

	for (;;) {
		wait = sooner(sooner(dial_wait(now), names_wait(now)),
		    sooner(time_left(retry_at, now),
		    time_left(orphan_end, now)));
		n = epoll_wait(poll_fd, events, EVENTS, wait);
		if (n == -1 && errno != EINTR)
			fatal("epoll");
		for (int i = 0; i < n; i++)
			take_event(&events[i]);
		now = timer_now();
		if (orphan_end != 0 && now >= orphan_end)
			fatalx("still running long after the parent's end");
		names_expire(now);
		dial_expire(now);
		serve_relay(now);
	}
}

int
main(int argc, char **argv)
{
	struct child c;
	uint32_t     slots;

	child_start(&c, ROLE_DIALER, argc, argv);
	slots = slots_wanted(&c);
	confine_prepare(&c);
	confine_enter(&c);
	dial_init(slots);
	seal_table(&c);
	loop();
}
