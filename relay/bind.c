/*
 * Binding what the configuration listens on.  Runs in the leader while
 * loading, inside the sandbox; touches the channels to P and to the
 * one-shot resolver.  What a failure means is decided here: P only tells
 * the errno.
 */
#include "bind.h"

#include <sys/socket.h>

#include <bsd/string.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/lookup.h"
#include "../common/wire.h"
#include "local.h"
#include "relay.h"
#include "setup.h"

#define BIND_WHERE	512

_Static_assert(CONF_NO_ID == WIRE_NO_ID, "nobody is nobody");

struct binder {
	const struct relay *r;
	int	 lookup;
	uint32_t sent;		/* BINDs and BINDUNIXes */
	uint32_t bound;		/* those that P has done */
	bool	 failed;
};

/* The addresses of one name. */
struct bind_addrs {
	struct netaddr addr[LOOKUP_ADDRS];
	unsigned count;
};

/* "FILE:LINE: ", or nothing for the command line's one stanza. */
static const char *
bind_where(const struct relay *r, const struct conf_stanza *z,
    char buf[BIND_WHERE])
{
	buf[0] = '\0';
	if (r->child->conf != NULL)
		fmt_print(buf, BIND_WHERE, "%s:%u: ", r->child->conf,
		    z->line);
	return (buf);
}

static void
bind_fail(struct binder *b, const struct conf_stanza *z, const char *what,
    const char *reason)
{
	char where[BIND_WHERE];
	bool skip = z->on_error == ON_ERROR_SKIP;

	log_text(skip ? LEVEL_WARNING : LEVEL_ERROR,
	    "%scannot listen on %s: %s%s", bind_where(b->r, z, where), what,
	    reason, skip ? " (skipped)" : "");
	if (!skip)
		b->failed = true;
}

/* A host without IPv6 has no `::', which `*' does not insist on. */
static bool
bind_is_needed(const struct conf_stanza *z, const struct netaddr *a,
    int error)
{
	return (!(z->any && z->resolv == 0 && a->family == AF_INET6 &&
	    error == EAFNOSUPPORT));
}

/* The message and its BOUND.  Returns P's errno, or -1: not even asked. */
static int
bind_ask(struct binder *b, const struct conf_stanza *z, struct wire *m,
    const char *what)
{
	char reason[128], where[BIND_WHERE];

	if (b->sent == LISTENERS_MAX) {
		fmt_print(reason, sizeof(reason), "more than %d listeners",
		    LISTENERS_MAX);
		bind_fail(b, z, what, reason);
		return (-1);
	}
	m->index = b->sent;
	setup_send(m);
	setup_recv(m, NULL);
	if (m->type != WIRE_BOUND || m->index != b->sent)
		fatalx("no answer to a request for a listener");
	b->sent++;
	if (m->u.bound.error == EMFILE)
		fatalx("%scannot listen on %s: the parent has no more "
		    "descriptors, of which each listener needs %u; the limit "
		    "(RLIMIT_NOFILE) is %llu", bind_where(b->r, z, where),
		    what, b->r->child->workers,
		    (unsigned long long)b->r->limits.fds);
	b->bound += m->u.bound.error == 0;
	return (m->u.bound.error);
}

static void
bind_tell(struct binder *b, const struct conf_stanza *z, const char *what,
    int error)
{
	char reason[128];

	errno = error;
	fmt_print(reason, sizeof(reason), "%m");
	bind_fail(b, z, what, reason);
}

/* BIND and BOUND for one address. */
static void
bind_address(struct binder *b, uint32_t stanza, const struct netaddr *a)
{
	const struct conf_stanza *z = &b->r->conf.stanzas[stanza];
	struct wire m = { .type = WIRE_BIND };
	char text[NETADDR_TEXT];
	int error;

	m.u.addr = (struct wire_addr){ .tag = stanza, .backlog = z->backlog,
		.family = a->family, .port = a->port,
		.inet = { .keepidle = z->keepalive, .scope = a->scope } };
	memcpy(m.u.addr.inet.ip, a->ip, sizeof(a->ip));
	netaddr_text(a, text);
	error = bind_ask(b, z, &m, text);
	if (error > 0 && bind_is_needed(z, a, error))
		bind_tell(b, z, text, error);
}

/* BINDUNIX and BOUND. */
static void
bind_local(struct binder *b, uint32_t stanza)
{
	const struct conf_stanza *z = &b->r->conf.stanzas[stanza];
	struct wire m = { .type = WIRE_BINDUNIX };
	char text[LOCAL_TEXT];
	int error;

	m.u.addr = (struct wire_addr){ .tag = stanza, .backlog = z->backlog,
		.family = AF_UNIX, .local = { .uid = z->socket_uid,
		.gid = z->socket_gid, .mode = (uint16_t)z->socket_mode,
		.dir = (uint16_t)z->socket_dir } };
	strlcpy(m.u.addr.local.name, z->listen.text, WIRE_NAME);
	local_text(z, text);
	if ((error = bind_ask(b, z, &m, text)) > 0)
		bind_tell(b, z, text, error);
}

static const char *
bind_lookup_error(int code)
{
	switch (code) {
	case EAI_AGAIN:
		return ("the name service does not answer");
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return ("the name has no such address");
	default:
		return ("the name can't be looked up");
	}
}

/* Addresses that a name must not bring in by surprise. */
static bool
bind_is_odd(const struct netaddr *a, int family)
{
	return ((a->family != AF_INET && a->family != AF_INET6) ||
	    (family != 0 && a->family != family) || netaddr_any(a) ||
	    netaddr_multicast(a) || netaddr_mapped(a));
}

static void
bind_add(struct bind_addrs *list, const struct netaddr *a)
{
	for (unsigned i = 0; i < list->count; i++)
		if (netaddr_equal(&list->addr[i], a))
			return;
	if (list->count < LOOKUP_ADDRS)
		list->addr[list->count++] = *a;
}

static void
bind_answer(int fd, struct lookup_answer *answer)
{
	struct iovec iov = { answer, sizeof(*answer) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = recvmsg(fd, &msg, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(*answer) || (msg.msg_flags & MSG_TRUNC) != 0)
		fatalx("the resolver gave no answer");
}

/*
 * Asks for the addresses of the stanza's name.  Returns NULL, or what is
 * wrong.
 */
static const char *
bind_lookup(const struct binder *b, uint32_t stanza, struct bind_addrs *list)
{
	const struct conf_stanza *z = &b->r->conf.stanzas[stanza];
	struct lookup_query q = { .id = stanza,
		.family = (uint32_t)z->resolv };
	struct lookup_answer answer = { 0 };
	const char *wrong = NULL;

	list->count = 0;
	strlcpy(q.name, z->listen.text, sizeof(q.name));
	setup_send_to(b->lookup, &q, sizeof(q), "the resolver");
	for (;;) {
		bind_answer(b->lookup, &answer);
		if (answer.id != stanza)
			fatalx("the resolver answered another question");
		if (answer.status == LOOKUP_FAIL)
			return (bind_lookup_error(answer.code));
		if (answer.status != LOOKUP_ADDR)
			break;
		struct netaddr a = { .family = answer.family,
			.port = z->listen.addr.port, .scope = answer.scope };

		memcpy(a.ip, answer.ip, a.family == AF_INET ? 4 : 16);
		if (bind_is_odd(&a, z->resolv))
			wrong = "the name stands for a wildcard, multicast "
			    "or mapped address";
		else
			bind_add(list, &a);
	}
	if (wrong == NULL && list->count == 0)
		wrong = "the name has no such address";
	return (wrong);
}

static void
bind_name(struct binder *b, uint32_t stanza)
{
	const struct conf_stanza *z = &b->r->conf.stanzas[stanza];
	struct bind_addrs list;
	const char *wrong;
	char text[CONF_WORD_MAX + 10];

	if ((wrong = bind_lookup(b, stanza, &list)) != NULL) {
		bind_fail(b, z, report_host(&z->listen, text, sizeof(text)),
		    wrong);
		return;
	}
	for (unsigned i = 0; i < list.count; i++)
		bind_address(b, stanza, &list.addr[i]);
}

static void
bind_stanza(struct binder *b, uint32_t stanza)
{
	const struct conf_stanza *z = &b->r->conf.stanzas[stanza];
	struct netaddr any = { .port = z->listen.addr.port };

	if (z->listen.addr.family == AF_UNIX) {
		bind_local(b, stanza);
		return;
	}
	if (!z->any && z->listen.addr.family == 0) {
		bind_name(b, stanza);
		return;
	}
	if (!z->any) {
		bind_address(b, stanza, &z->listen.addr);
		return;
	}
	any.family = AF_INET;
	if (z->resolv != AF_INET6)
		bind_address(b, stanza, &any);
	any.family = AF_INET6;
	if (z->resolv != AF_INET)
		bind_address(b, stanza, &any);
}

uint32_t
bind_all(const struct relay *r, int lookup)
{
	struct binder b = { .r = r, .lookup = lookup };

	for (uint32_t i = 0; i < r->conf.nstanzas; i++)
		bind_stanza(&b, i);
	if (b.failed)
		_exit(1);
	if (b.bound == 0)
		fatalx("there is no address left to listen on");
	return (b.sent);
}
