/*
 * The dialer's names: each is looked up at start, then after its interval,
 * and when one of its addresses couldn't be reached.  The last good answer
 * stays when a look-up fails.  Runs in the dialer; touches the resolver's
 * channel.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/timer.h"
#include "dialer.h"

#define BUCKETS		1024
#define PAUSE		1000	/* ms between two look-ups of one name */
#define ANSWERS		64	/* taken at one wake-up */
#define NAMES_TEXT	1024	/* of addresses, for the log */

struct name {
	char	 text[LOOKUP_NAME_MAX];
	uint32_t family;
	uint32_t interval;	/* s */
	uint32_t backoff;	/* s, after failures; 0: none */
	uint32_t chain;		/* next of the same hash, + 1 */
	uint64_t pause_end;	/* ms: not asked again before */
	bool	 asked;		/* an answer is under way */
	bool	 failing;	/* and the log was told */
	unsigned naddrs;
	struct netaddr addrs[LOOKUP_ADDRS];
	struct dial_list waiters;
	STAILQ_ENTRY(name) link;	/* in `unsent' */
};

static struct name *names;
static uint32_t	    nnames, names_size;
static uint32_t	    buckets[BUCKETS];	/* first of the chain, + 1 */

static struct timer_wheel wheel;	/* when to ask again */
static STAILQ_HEAD(name_queue, name) unsent = STAILQ_HEAD_INITIALIZER(unsent);
static int		  channel = -1;
static uint32_t		  channel_events;	/* watched now */
static bool		  loud;

static struct {			/* the answer being received */
	uint32_t id;
	unsigned n;
	struct netaddr addrs[LOOKUP_ADDRS];
} answer;

static uint32_t *
bucket_of(const char *text, uint32_t family)
{
	uint32_t hash = 2166136261u ^ family;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return (&buckets[hash % BUCKETS]);
}

uint32_t
name_add(const char *text, uint32_t family, uint32_t interval)
{
	uint32_t    *bucket = bucket_of(text, family), i;
	struct name *n;

	for (i = *bucket; i != 0; i = n->chain) {
		n = &names[i - 1];
		if (n->family == family && strcmp(n->text, text) == 0) {
			if (n->interval > interval)
				n->interval = interval;
			return (i - 1);
		}
	}
	if (nnames == names_size) {
		names_size = names_size == 0 ? 16 : names_size * 2;
		names = reallocarray(names, names_size, sizeof(*names));
		if (names == NULL)
			fatal("table of names");
	}
	n = &names[nnames++];
	*n = (struct name){
		.family = family, .interval = interval, .chain = *bucket
	};
	memcpy(n->text, text, strlen(text) + 1);
	*bucket = nnames;
	return (nnames - 1);
}

uint32_t
names_count(void)
{
	return (nnames);
}

static struct name *
name_at(uint32_t i)
{
	if (i >= nnames)
		fatalx("name %u of %u", i, nnames);
	return (&names[i]);
}

static uint32_t
number_of(const struct name *n)
{
	return ((uint32_t)(n - names));
}

unsigned
name_addrs(uint32_t i, struct netaddr addrs[LOOKUP_ADDRS])
{
	const struct name *n = name_at(i);

	memcpy(addrs, n->addrs, n->naddrs * sizeof(*addrs));
	return (n->naddrs);
}

struct dial_list *
name_waiters(uint32_t i)
{
	return (&name_at(i)->waiters);
}

/* The generation is replaced by P; the addresses known serve until then. */
static void
resolver_gone(void)
{
	log_warnx("the resolver has gone: names keep their addresses");
	loop_unwatch(channel);
	close(channel);
	channel = -1;
	STAILQ_INIT(&unsent);
	for (uint32_t i = 0; i < nnames; i++) {
		timer_stop(&wheel, i);
		if (names[i].asked) {
			names[i].asked = false;
			dial_resume(i);
		}
	}
}

static void
watch(int op, uint32_t events)
{
	if (events == channel_events)
		return;
	if (loop_watch(op, channel, events, EVENT_RESOLVER, 0) == -1)
		fatal("resolver's channel");
	channel_events = events;
}

static void
send_queries(void)
{
	struct lookup_query q;
	struct iovec	    iov = { &q, sizeof(q) };
	struct msghdr	    msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct name	   *n;

	while ((n = STAILQ_FIRST(&unsent)) != NULL) {
		q = (struct lookup_query){
			.id = number_of(n), .family = n->family
		};
		memcpy(q.name, n->text, sizeof(q.name));
		if (sendmsg(channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == -1) {
			/* a closed channel is noticed by reading */
			if (errno != EPIPE && errno != ECONNRESET)
				watch(EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			return;
		}
		STAILQ_REMOVE_HEAD(&unsent, link);
	}
	watch(EPOLL_CTL_MOD, EPOLLIN);
}

static void
ask(struct name *n)
{
	bool idle = STAILQ_EMPTY(&unsent);

	n->asked = true;
	timer_stop(&wheel, number_of(n));
	STAILQ_INSERT_TAIL(&unsent, n, link);
	if (idle)
		send_queries();
}

bool
name_ask(uint32_t i)
{
	struct name *n = name_at(i);

	if (!n->asked && channel != -1 && timer_now() >= n->pause_end)
		ask(n);
	return (n->asked);
}

/*
 * P waits for relays, these for dialers: a resolver that can't be started, or
 * not enter its sandbox, shall end the load, not the generation that runs.
 */
static void
await_resolver(void)
{
	struct lookup_answer a;
	struct iovec	     iov = { &a, sizeof(a) };
	struct msghdr	     msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t		     n;

	do
		n = recvmsg(channel, &msg, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(a) || a.status != LOOKUP_READY)
		fatalx("the resolver did not start");
}

void
names_start(int resolver, bool tell)
{
	struct timer *timers;

	if (nnames == 0) {
		if (resolver != -1)
			close(resolver);
		return;
	}
	if (resolver == -1)
		fatalx("names in the table, but no resolver");
	channel = resolver;
	loud = tell;
	await_resolver();
	if ((timers = calloc(nnames, sizeof(*timers))) == NULL)
		fatal("timers");
	timer_init(&wheel, timers, nnames, timer_now());
	watch(EPOLL_CTL_ADD, EPOLLIN);
	for (uint32_t i = 0; i < nnames; i++)
		TAILQ_INIT(&names[i].waiters);
	for (uint32_t i = 0; i < nnames; i++)
		ask(&names[i]);
}

/* The texts of getaddrinfo(3), which would ask for a locale. */
static const char *
reason_of(int code)
{
	switch (code) {
	case EAI_NONAME:
		return ("no such name");
	case EAI_NODATA:
		return ("the name has no such address");
	case EAI_ADDRFAMILY:
		return ("the name has no address of this family");
	case EAI_AGAIN:
		return ("no answer from the name servers");
	case EAI_FAIL:
		return ("the name servers failed");
	case EAI_MEMORY:
		return ("out of memory");
	case EAI_SYSTEM:
		return ("system error");
	default:
		return ("look-up failed");
	}
}

static enum log_level
level(enum log_level l)
{
	return (loud ? l : LEVEL_DEBUG);
}

static void
log_addrs(enum log_level l, const struct name *n, const char *text)
{
	char   list[NAMES_TEXT], ip[NETADDR_TEXT];
	size_t len = 0;

	list[0] = '\0';
	for (unsigned i = 0; i < n->naddrs; i++)
		len += fmt_print(list + len, sizeof(list) - len, "%s%s",
		    i == 0 ? "" : ", ", netaddr_ip(&n->addrs[i], ip));
	log_text(level(l), "%s %s %s", n->text, text, list);
}

/* Has the answer other addresses?  Servers like to turn their order. */
static bool
is_news(const struct name *n)
{
	if (answer.n != n->naddrs)
		return (true);
	for (unsigned i = 0; i < answer.n; i++) {
		unsigned k = 0;

		while (k < n->naddrs &&
		    !netaddr_equal(&answer.addrs[i], &n->addrs[k]))
			k++;
		if (k == n->naddrs)
			return (true);
	}
	return (false);
}

static void
name_found(struct name *n)
{
	bool news = is_news(n), first = n->naddrs == 0;

	n->naddrs = answer.n;
	memcpy(n->addrs, answer.addrs, answer.n * sizeof(*n->addrs));
	n->backoff = 0;
	if (n->failing)
		log_addrs(LEVEL_NOTICE, n, "can be resolved now:");
	else if (first)
		log_addrs(LEVEL_INFO, n, "is");
	else if (news)
		log_addrs(LEVEL_NOTICE, n, "has changed to");
	n->failing = false;
}

static void
name_failed(struct name *n, int code)
{
	n->backoff = n->backoff == 0 ? 1 :
	    n->backoff > n->interval / 2 ? n->interval : n->backoff * 2;
	if (!n->failing)
		log_text(level(LEVEL_WARNING),
		    "cannot resolve %s: %s; will be tried again", n->text,
		    reason_of(code));
	n->failing = true;
}

/* The last message of an answer has come. */
static void
take_end(struct name *n, bool found, int code)
{
	uint64_t now = timer_now();
	uint32_t wait;

	if (found && answer.n > 0)
		name_found(n);
	else
		name_failed(n, found ? EAI_NODATA : code);
	answer.n = 0;
	n->asked = false;
	n->pause_end = now + PAUSE;
	wait = n->failing ? n->backoff : n->interval;
	timer_start(&wheel, number_of(n), now + wait * UINT64_C(1000));
	dial_resume(number_of(n));
}

static void
take_addr(const struct lookup_answer *a)
{
	struct netaddr addr = { .family = a->family, .scope = a->scope };

	memcpy(addr.ip, a->ip, a->family == AF_INET ? 4 : 16);
	answer.id = a->id;
	if (!netaddr_mapped(&addr))
		answer.addrs[answer.n++] = addr;
}

/*
 * The resolver reads what strangers' name servers send: whatever of it isn't
 * as agreed ends this process, and so its generation.
 */
static void
take_answer(const struct lookup_answer *a)
{
	struct name *n;

	if (a->id >= nnames || !names[a->id].asked ||
	    (answer.n > 0 && a->id != answer.id))
		fatalx("unexpected answer from the resolver");
	n = &names[a->id];
	switch (a->status) {
	case LOOKUP_ADDR:
		if (answer.n == LOOKUP_ADDRS ||
		    (a->family != AF_INET && a->family != AF_INET6) ||
		    (n->family != 0 && a->family != n->family))
			fatalx("bad address from the resolver");
		take_addr(a);
		break;
	case LOOKUP_END:
		take_end(n, true, 0);
		break;
	case LOOKUP_FAIL:
		if (answer.n > 0)
			fatalx("contradictory answer from the resolver");
		take_end(n, false, a->code);
		break;
	default:
		fatalx("unknown answer from the resolver");
	}
}

/* Returns false when there is no more to be read now. */
static bool
read_answer(void)
{
	struct lookup_answer a;
	struct iovec	     iov = { &a, sizeof(a) };
	struct msghdr	     msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t		     n;

	n = recvmsg(channel, &msg, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return (false);
	if (n == 0 || (n == -1 && errno == ECONNRESET)) {
		resolver_gone();
		return (false);
	}
	if (n == -1)
		fatal("resolver's channel");
	if (n != (ssize_t)sizeof(a) ||
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		fatalx("bad message from the resolver");
	take_answer(&a);
	return (true);
}

void
names_event(uint32_t events)
{
	if (channel != -1 && (events & EPOLLOUT) != 0)
		send_queries();
	for (int i = 0; i < ANSWERS && channel != -1; i++)
		if (!read_answer())
			break;
}

void
names_expire(uint64_t now)
{
	uint32_t i;

	while (channel != -1 &&
	    (i = timer_expired(&wheel, now)) != TIMER_NONE)
		ask(&names[i]);
}

int
names_wait(uint64_t now)
{
	return (channel != -1 ? timer_wait(&wheel, now) : -1);
}
