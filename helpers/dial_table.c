/*
 * The dialer's table: where it may connect to.  Received from the relay
 * before that has seen the network, and checked as if it had; never changed
 * after DIAL_END.  Runs in the dialer; touches the relay's channel.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/confine.h"
#include "../common/log.h"
#include "../common/role.h"
#include "dialer.h"

#define KEEPIDLE_MAX	32767	/* the kernel's */

struct path {
	char	 text[DIAL_PATH];
	uint32_t mark;
};

static struct route  *routes;
static uint32_t	      nroutes, routes_size;
static struct target *targets;
static uint32_t	      ntargets, targets_size;
static struct path   *paths;
static uint32_t	      npaths, paths_size;
static bool	      with_unix;	/* may it have unix remotes? */

uint32_t
table_routes(void)
{
	return (nroutes);
}

const struct route *
table_route(uint32_t i)
{
	if (i >= nroutes)
		fatalx("route %u of %u", i, nroutes);
	return (&routes[i]);
}

const struct target *
table_target(const struct route *r, uint32_t i)
{
	if (i >= r->count)
		fatalx("remote %u of %u", i, r->count);
	return (&targets[r->first + i]);
}

static struct path *
path_of(const struct target *t)
{
	if (t->path >= npaths)
		fatalx("path %u of %u", t->path, npaths);
	return (&paths[t->path]);
}

const char *
table_path(const struct target *t)
{
	return (path_of(t)->text);
}

uint32_t *
table_mark(const struct target *t)
{
	return (&path_of(t)->mark);
}

/* Makes room for one more element. */
static void *
grow(void *array, uint32_t n, uint32_t *room, size_t size)
{
	if (n < *room)
		return (array);
	*room = *room == 0 ? 16 : *room * 2;
	if ((array = reallocarray(array, *room, size)) == NULL)
		fatal("table of destinations");
	return (array);
}

static bool
name_empty(const struct dial_entry *e)
{
	static const char none[LOOKUP_NAME_MAX];

	return (memcmp(e->name, none, sizeof(none)) == 0);
}

static bool
addr_ok(const struct netaddr *a)
{
	static const uint8_t zero[12];

	if (a->family == AF_INET)
		return (a->scope == 0 && memcmp(a->ip + 4, zero, 12) == 0);
	return (a->family == AF_INET6);
}

/* Nothing but a NUL-terminated absolute path that sun_path has room for. */
static bool
path_ok(const struct dial_entry *e)
{
	static const uint8_t zero[sizeof(e->addr.ip)];
	size_t		     len = strnlen(e->name, DIAL_PATH);

	for (size_t i = len; i < sizeof(e->name); i++)
		if (e->name[i] != '\0')
			return (false);
	return (len > 1 && len < DIAL_PATH && e->name[0] == '/' &&
	    e->family == 0 && e->addr.port == 0 && e->addr.scope == 0 &&
	    memcmp(e->addr.ip, zero, sizeof(zero)) == 0);
}

static struct target
take_path(const struct dial_entry *e)
{
	if (!with_unix || e->type != DIAL_REMOTE || !path_ok(e))
		fatalx("bad unix socket in the relay's table");
	paths = grow(paths, npaths, &paths_size, sizeof(*paths));
	paths[npaths] = (struct path){ .mark = 0 };
	memcpy(paths[npaths].text, e->name, DIAL_PATH);
	return ((struct target){ .addr = e->addr, .name = NAME_NONE,
	    .path = npaths++ });
}

/* The address or name of the entry, checked. */
static struct target
take_target(const struct dial_entry *e, uint32_t interval)
{
	struct target t = { .addr = e->addr, .name = NAME_NONE };

	if (e->addr.family == AF_UNIX)
		return (take_path(e));
	if (e->family != 0 && e->family != AF_INET && e->family != AF_INET6)
		fatalx("bad address family in the relay's table");
	if (e->addr.family != 0) {
		if (!addr_ok(&e->addr) || !name_empty(e))
			fatalx("bad address in the relay's table");
	} else {
		if (!lookup_name_ok(e->name))
			fatalx("bad name in the relay's table");
		t.name = name_add(e->name, e->family, interval);
	}
	return (t);
}

static uint32_t interval;	/* of the route being received */

static void
take_route(const struct dial_entry *e)
{
	struct route *r;

	if (e->route != nroutes || nroutes == LISTENERS_MAX ||
	    (nroutes > 0 && routes[nroutes - 1].count == 0))
		fatalx("unexpected route %u in the relay's table", e->route);
	if (e->connect_timeout == 0 || e->resolve_interval == 0 ||
	    e->keepidle > KEEPIDLE_MAX)
		fatalx("bad value in the relay's table");
	routes = grow(routes, nroutes, &routes_size, sizeof(*routes));
	r = &routes[nroutes++];
	*r = (struct route){
		.connect_timeout = e->connect_timeout,
		.keepidle = e->keepidle,
		.has_source = e->addr.family != 0 || !name_empty(e),
		.first = ntargets
	};
	interval = e->resolve_interval;
	if (r->has_source) {
		r->source = take_target(e, interval);
		r->source.addr.port = 0;	/* the kernel's choice */
	}
}

static void
take_remote(const struct dial_entry *e)
{
	struct route *r;

	if (nroutes == 0 || e->route != nroutes - 1 ||
	    (e->addr.port == 0 && e->addr.family != AF_UNIX) ||
	    routes[nroutes - 1].count == DIAL_REMOTES)
		fatalx("unexpected remote of route %u in the relay's table",
		    e->route);
	targets = grow(targets, ntargets, &targets_size, sizeof(*targets));
	r = &routes[nroutes - 1];
	targets[ntargets++] = take_target(e, interval);
	r->count++;
}

static void
receive_entry(int relay, struct dial_entry *e)
{
	struct iovec  iov = { e, sizeof(*e) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t	      n;

	do
		n = recvmsg(relay, &msg, 0);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		fatal("relay's channel");
	if (n == 0)
		_exit(0);	/* given up, together with its generation */
	if (n != (ssize_t)sizeof(*e) ||
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		fatalx("bad message in the relay's table");
}

uint32_t
table_receive(int relay, bool unix_remotes)
{
	struct dial_entry e = { 0 };

	with_unix = unix_remotes;
	for (;;) {
		receive_entry(relay, &e);
		switch (e.type) {
		case DIAL_ROUTE:
			take_route(&e);
			break;
		case DIAL_REMOTE:
			take_remote(&e);
			break;
		case DIAL_END:
			if (nroutes > 0 && routes[nroutes - 1].count == 0)
				fatalx("route without remote in the relay's "
				    "table");
			return (nroutes);
		default:
			fatalx("unknown message in the relay's table");
		}
	}
}

void
table_confine(void)
{
	static uint16_t ports[UINT16_MAX];
	static bool	seen[UINT16_MAX + 1];
	size_t		n = 0;
	bool		bind = false;

	for (uint32_t i = 0; i < ntargets; i++) {
		uint16_t port = targets[i].addr.port;

		if (targets[i].addr.family == AF_UNIX)
			continue;
		if (!seen[port])
			ports[n++] = port;
		seen[port] = true;
	}
	for (uint32_t i = 0; i < nroutes; i++)
		bind = bind || routes[i].has_source;
	confine_ports(ports, n, bind);
}
