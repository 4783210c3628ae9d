/*
 * Setting a relay up.  Runs there from the first line to GO; all memory
 * that it will ever use is taken here.  Anything that goes wrong ends the
 * process: P then keeps the generation that is running.
 */
#include "setup.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <bsd/string.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../common/confine.h"
#include "../common/log.h"
#include "bind.h"
#include "budget.h"
#include "loop.h"
#include "relay.h"

#define SETUP_FDS	8	/* open beside listeners and sessions: 0-2,
				   control, log, epoll, stop, dialer */
#define SETUP_LOOKUP	30000	/* ms a dialer may wait for a name */
#define SETUP_SLACK	5000	/* ms more before it counts as stuck */

void
setup_prepare(struct relay *r, const struct child *c)
{
	r->child = c;
	limits_prepare(&r->limits);
	if ((r->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1)
		fatal("epoll_create1");
	if ((r->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1)
		fatal("eventfd");
	loop_signals(r);
}

void
setup_send(const struct wire *m)
{
	if (wire_send(FD_CTL, m, -1) == -1)
		fatal("message to the parent process");
}

void
setup_recv(struct wire *m, int *fd)
{
	int got;

	switch (wire_recv(FD_CTL, m, &got, 0)) {
	case 1:
		break;
	case 0:
		fatalx("the parent process has died while loading");
	default:
		fatal("message of the parent process");
	}
	if (fd != NULL)
		*fd = got;
	else if (got != -1)
		fatalx("message %u brought a descriptor", m->type);
}

void
setup_send_to(int fd, const void *message, size_t size, const char *whom)
{
	ssize_t n;

	do
		n = send(fd, message, size, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)size)
		fatal("message to %s", whom);
}

/* Memory that costs nothing before it is used; zeroed. */
static void *
setup_map(size_t count, size_t size, const char *what)
{
	size_t total;
	void *p = MAP_FAILED;

	if (!__builtin_mul_overflow(count, size, &total))
		p = mmap(NULL, total, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		fatal("no memory for %zu %s of %zu bytes", count, what, size);
	return (p);
}

/* How long the dialer may take for all it has to try. */
static uint64_t
setup_dial_time(const struct conf_stanza *z)
{
	uint64_t tries = 0, ms = SETUP_SLACK;
	bool names = z->has_source && z->source.addr.family == 0;

	for (unsigned i = 0; i < z->nremotes; i++) {
		if (z->remotes[i].addr.family == 0) {
			names = true;
			tries += LOOKUP_ADDRS;
		} else {
			tries++;
		}
	}
	ms += tries * z->connect_timeout;
	return (names ? ms + SETUP_LOOKUP : ms);
}

static void
setup_routes(struct relay *r, uint32_t slots)
{
	const struct conf_stanza *z;
	uint32_t share;

	r->routes = setup_map(r->conf.nstanzas, sizeof(*r->routes),
	    "stanzas");
	for (size_t i = 0; i < r->conf.nstanzas; i++) {
		z = &r->conf.stanzas[i];
		share = budget_share(z->max_connections, r->child->workers,
		    r->child->worker);
		r->routes[i].limit = share != 0 && share < slots ?
		    share : slots;
		r->routes[i].dial_time = setup_dial_time(z);
	}
}

/* All tables.  After this nothing is allocated. */
static void
setup_tables(struct relay *r)
{
	uint32_t slots = r->limits.slots, buffer = 1;
	struct timer *timers;

	for (size_t i = 0; i < r->conf.nstanzas; i++)
		if (r->conf.stanzas[i].buffer_size > buffer)
			buffer = r->conf.stanzas[i].buffer_size;
	setup_routes(r, slots);
	r->listeners = setup_map(LISTENERS_MAX, sizeof(*r->listeners),
	    "listeners");
	r->sessions.slot = setup_map(slots, sizeof(struct session),
	    "sessions");
	r->sessions.count = slots;
	timers = setup_map((size_t)slots + TIMER_OTHERS,
	    sizeof(struct timer), "timers");
	timer_init(&r->wheel, timers, slots + TIMER_OTHERS, timer_now());
	r->dialer.size = DIAL_QUEUE(slots);
	r->dialer.queue = setup_map(r->dialer.size, sizeof(struct dial_req),
	    "requests");
	r->space.scratch = setup_map(1, buffer, "buffers");
	if (rest_init(&r->space.rests, 2 * slots, buffer) == -1)
		fatal("no memory for the unsent rests of %u sessions of %u "
		    "bytes each way", slots, buffer);
	limits_tell(r, r->space.rests.size);
}

static bool
setup_is_name(const struct conf_host *h)
{
	return (h->addr.family == 0);
}

/* Which helpers, and what of the dialers, does the configuration need? */
static uint32_t
setup_roles(const struct conf *c)
{
	uint32_t roles = 0;

	for (size_t i = 0; i < c->nstanzas; i++) {
		const struct conf_stanza *z = &c->stanzas[i];

		if (!z->any && setup_is_name(&z->listen))
			roles |= NEED_LOOKUP;
		if (z->has_source && setup_is_name(&z->source))
			roles |= NEED_RESOLVER;
		for (unsigned j = 0; j < z->nremotes; j++)
			roles |= setup_is_name(&z->remotes[j]) ?
			    NEED_RESOLVER :
			    z->remotes[j].addr.family == AF_UNIX ?
			    NEED_UNIX : 0;
	}
	return (roles);
}

/* Waits for the dialer and, if there is to be one, the one-shot resolver. */
static void
setup_helpers(struct relay *r, int *lookup, bool want_lookup)
{
	struct wire m;
	int fd;

	r->dialer.fd = *lookup = -1;
	while (r->dialer.fd == -1 || (want_lookup && *lookup == -1)) {
		setup_recv(&m, &fd);
		if (m.type != WIRE_HELPER || fd == -1)
			fatalx("message %u instead of a helper", m.type);
		if (m.u.helper.role == ROLE_DIALER && r->dialer.fd == -1)
			r->dialer.fd = fd;
		else if (m.u.helper.role == ROLE_LOOKUP && want_lookup &&
		    *lookup == -1)
			*lookup = fd;
		else
			fatalx("a helper of role %u is out of place",
			    m.u.helper.role);
	}
}

static void
setup_entry_host(struct dial_entry *e, const struct conf_host *h, int family)
{
	e->addr = h->addr;
	if (setup_is_name(h))
		e->family = (uint32_t)family;
	if (setup_is_name(h) || h->addr.family == AF_UNIX)
		strlcpy(e->name, h->text, sizeof(e->name));
}

static void
setup_route(const struct relay *r, uint32_t route)
{
	const struct conf_stanza *z = &r->conf.stanzas[route];
	struct dial_entry e = {
		.type = DIAL_ROUTE, .route = route,
		.connect_timeout = z->connect_timeout,
		.resolve_interval = z->resolve_interval,
		.keepidle = z->keepalive
	};

	if (z->has_source)
		setup_entry_host(&e, &z->source, z->remote_resolv);
	setup_send_to(r->dialer.fd, &e, sizeof(e), "the dialer");
	for (unsigned i = 0; i < z->nremotes; i++) {
		e = (struct dial_entry){ .type = DIAL_REMOTE,
			.route = route };
		setup_entry_host(&e, &z->remotes[i], z->remote_resolv);
		setup_send_to(r->dialer.fd, &e, sizeof(e), "the dialer");
	}
}

/* The dialer's table; its answer means that the table is sealed. */
static void
setup_dialer(const struct relay *r)
{
	struct dial_entry e = { .type = DIAL_END };
	struct iovec iov = { &e, sizeof(e) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	for (uint32_t i = 0; i < r->conf.nstanzas; i++)
		setup_route(r, i);
	setup_send_to(r->dialer.fd, &e, sizeof(e), "the dialer");
	do
		n = recvmsg(r->dialer.fd, &msg, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(e) || (msg.msg_flags & MSG_TRUNC) != 0 ||
	    e.type != DIAL_END || e.route != r->conf.nstanzas)
		fatalx("the dialer did not take its table");
}

static void
setup_listener(struct relay *r, const struct wire_addr *a, int fd)
{
	struct listener *l;

	if (fd == -1 || a->tag >= r->conf.nstanzas ||
	    r->nlisteners == LISTENERS_MAX)
		fatalx("a listener is out of place");
	l = &r->listeners[r->nlisteners++];
	l->fd = fd;
	l->stanza = a->tag;
	l->addr = (struct netaddr){ .family = a->family, .port = a->port };
	if (a->family != AF_UNIX) {
		l->addr.scope = a->inet.scope;
		memcpy(l->addr.ip, a->inet.ip, sizeof(l->addr.ip));
	}
	if (r->child->worker == 0)
		report_listening(r, r->nlisteners - 1);
}

static void
setup_listeners(struct relay *r)
{
	struct wire m;
	int fd;

	for (;;) {
		setup_recv(&m, &fd);
		if (m.type == WIRE_GO && fd == -1)
			return;
		if (m.type != WIRE_LISTENER)
			fatalx("message %u instead of a listener", m.type);
		setup_listener(r, &m.u.addr, fd);
	}
}

static void
setup_watch(const struct relay *r)
{
	if (loop_watch(r, FD_CTL, EPOLLIN,
	    loop_key(LOOP_CONTROL, 0, 0)) == -1 ||
	    loop_watch(r, r->dialer.fd, EPOLLIN,
	    loop_key(LOOP_DIALER, 0, 0)) == -1 ||
	    loop_watch(r, r->stop, EPOLLIN, loop_key(LOOP_STOP, 0, 0)) == -1)
		fatal("epoll_ctl");
}

void
setup_load(struct relay *r)
{
	struct wire need = { .type = WIRE_NEED,
		.u.need = { WIRE_VERSION, setup_roles(&r->conf),
		    r->conf.drain_timeout } };
	struct wire ready = { .type = WIRE_READY };
	bool leader = r->child->worker == 0;
	int lookup;

	setup_tables(r);
	if (leader)
		setup_send(&need);
	setup_helpers(r, &lookup, leader &&
	    (need.u.need.roles & NEED_LOOKUP) != 0);
	setup_dialer(r);
	if (leader)
		ready.u.ready.count = bind_all(r, lookup);
	if (lookup != -1)
		close(lookup);
	setup_send(&ready);
	setup_listeners(r);
	r->acceptor.fds = SETUP_FDS + r->nlisteners;
	r->acceptor.fds_most = r->limits.fds;
	setup_watch(r);
	confine_tighten();
	r->now = timer_now();
	accept_start(r);
}
