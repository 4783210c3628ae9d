/*
 * The connections being made: one slot for each request, from DIAL_OPEN to
 * its reply.  A socket stays here until it is connected; then it goes to the
 * relay and is closed here.  Runs in the dialer; touches the sockets it
 * makes and the relay's channel, and allocates nothing after dial_init().
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../common/log.h"
#include "../common/timer.h"
#include "dialer.h"

/* Slots beyond the limit, for the replies that say so. */
#define RESERVE		(4 * DIAL_BATCH)

/*
 * When the queue of a unix server is full, connect(2) doesn't wait: those who
 * do stand in a list, and so often, in ms, the first of each server tries
 * again, then the next as long as there is room.
 */
#define AGAIN_TIME	16

enum dial_state {
	TRY_FREE,
	TRY_WAITING,		/* for a name, in its list of waiters */
	TRY_CONNECTING,
	TRY_AGAIN,		/* the server's queue was full: in `again' */
	TRY_DONE		/* in `done', to be sent */
};

struct dial {
	enum dial_state state;
	int	 fd;		/* or -1 */
	uint32_t epoch;		/* counts its sockets */
	uint32_t name;		/* being waited for */
	uint32_t next_remote;
	bool	 waited;	/* for the name of next_remote */
	bool	 unsourced;	/* an address had no fitting source */
	unsigned at, naddrs;
	struct netaddr addrs[LOOKUP_ADDRS]; /* of the present remote */
	const struct route *route;
	uint64_t begin;		/* us */
	struct dial_rep rep;	/* filled in on the way */
	LIST_ENTRY(dial) hash;	/* by the relay's slot */
	TAILQ_ENTRY(dial) link;	/* free, done, again or a name's waiters */
};
LIST_HEAD(dial_bucket, dial);

static struct dial	  *dials;
static uint32_t		   limit, touched, in_use;
static struct dial_bucket *buckets;
static uint32_t		   nbuckets;	/* a power of two */
static struct dial_list	   unused = TAILQ_HEAD_INITIALIZER(unused);
static struct dial_list	   done = TAILQ_HEAD_INITIALIZER(done);
static struct dial_list	   again = TAILQ_HEAD_INITIALIZER(again);
static uint32_t		   again_timer;	/* its number, behind the dials' */
static struct timer_wheel  wheel;

static uint64_t
now_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		fatal("clock");
	return ((uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
}

static uint32_t
number_of(const struct dial *d)
{
	return ((uint32_t)(d - dials));
}

void
dial_init(uint32_t n)
{
	struct timer *timers;

	limit = n;
	for (nbuckets = 1; nbuckets < n; nbuckets *= 2)
		;
	dials = calloc(n + RESERVE, sizeof(*dials));
	again_timer = n + RESERVE;
	timers = calloc(n + RESERVE + 1, sizeof(*timers));
	buckets = calloc(nbuckets, sizeof(*buckets));
	if (dials == NULL || timers == NULL || buckets == NULL)
		fatal("table of connections");
	timer_init(&wheel, timers, n + RESERVE + 1, timer_now());
}

/* --- slots --- */

/* Memory is touched only as far as slots were ever needed at once. */
static struct dial *
slot_take(void)
{
	struct dial *d = TAILQ_FIRST(&unused);

	if (d != NULL)
		TAILQ_REMOVE(&unused, d, link);
	else if (touched < limit + RESERVE)
		d = &dials[touched++];
	else
		fatalx("no slot for a request");
	in_use++;
	return (d);
}

static struct dial_bucket *
bucket_of(uint32_t slot)
{
	return (&buckets[slot & (nbuckets - 1)]);
}

static struct dial *
slot_find(uint32_t slot)
{
	struct dial *d;

	LIST_FOREACH(d, bucket_of(slot), hash)
		if (d->rep.slot == slot)
			return (d);
	return (NULL);
}

/* Ends a try, whatever it has come to: no timer, no list, no socket. */
static void
try_end(struct dial *d)
{
	if (d->state == TRY_WAITING)
		TAILQ_REMOVE(name_waiters(d->name), d, link);
	if (d->state == TRY_DONE)
		TAILQ_REMOVE(&done, d, link);
	if (d->state == TRY_AGAIN)
		TAILQ_REMOVE(&again, d, link);
	timer_stop(&wheel, number_of(d));
	if (d->state == TRY_CONNECTING)
		loop_unwatch(d->fd);
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
	d->state = TRY_FREE;
}

static void
slot_free(struct dial *d)
{
	try_end(d);
	LIST_REMOVE(d, hash);
	TAILQ_INSERT_HEAD(&unused, d, link);
	in_use--;
}

bool
dial_room(void)
{
	return (limit + RESERVE - in_use >= DIAL_BATCH);
}

/* --- one try --- */

static void
finish(struct dial *d, uint32_t error)
{
	uint64_t us = now_us() - d->begin;

	d->rep.error = error;
	d->rep.connect_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
	d->state = TRY_DONE;
	TAILQ_INSERT_TAIL(&done, d, link);
}

/* The remote that is being tried. */
static const struct target *
target_of(const struct dial *d)
{
	return (table_target(d->route, d->next_remote - 1));
}

/* A remote's address didn't do: the name may lead elsewhere by now. */
static void
try_failed(struct dial *d, uint32_t error)
{
	const struct target *t = target_of(d);

	try_end(d);
	d->rep.error = error;
	if (t->name != NAME_NONE)
		(void)name_ask(t->name);
}

/* What try_next() returns when an address didn't do. */
static bool
try_gave_up(struct dial *d, uint32_t error)
{
	try_failed(d, error);
	if (error == DIAL_LIMIT)
		finish(d, error);
	return (error == DIAL_LIMIT);
}

/* Connects, or will try to again; returns as try_next() does. */
static bool
try_unix(struct dial *d)
{
	uint32_t error = socket_connect_unix(&d->fd, table_path(target_of(d)));
	uint64_t now;

	if (error == 0) {
		finish(d, 0);
		return (true);
	}
	if (error != EAGAIN)
		return (try_gave_up(d, error));
	now = timer_now();
	if (TAILQ_EMPTY(&again))
		timer_start(&wheel, again_timer, now + AGAIN_TIME);
	d->state = TRY_AGAIN;
	TAILQ_INSERT_TAIL(&again, d, link);
	timer_start(&wheel, number_of(d), now + d->route->connect_timeout);
	return (true);
}

/*
 * Tries the next address.  Returns true when the dial is not to go on with
 * another one: it is connecting, or finished.
 */
static bool
try_next(struct dial *d)
{
	const struct netaddr *a = &d->addrs[d->at++];
	const struct route   *r = d->route;
	bool		      local = a->family == AF_UNIX;
	struct netaddr	      source;
	uint32_t	      error;

	if (!local && r->has_source && !route_source(r, a->family, &source)) {
		d->unsourced = true;
		return (false);
	}
	d->rep.tries++;
	d->rep.addr = *a;
	d->rep.remote = d->next_remote - 1;
	if (local)
		return (try_unix(d));
	error = socket_connect(&d->fd, r, a, r->has_source ? &source : NULL);
	if (error == 0 && loop_watch(EPOLL_CTL_ADD, d->fd, EPOLLOUT,
	    number_of(d), ++d->epoch) == -1)
		error = DIAL_LIMIT;
	if (error == 0) {
		d->state = TRY_CONNECTING;
		timer_start(&wheel, number_of(d),
		    timer_now() + r->connect_timeout);
		return (true);
	}
	return (try_gave_up(d, error));
}

/* --- one dial --- */

/* If the name has no address, but an answer is under way: waits for it. */
static bool
wait_for(struct dial *d, uint32_t name)
{
	struct netaddr addrs[LOOKUP_ADDRS];

	if (name_addrs(name, addrs) > 0 || !name_ask(name))
		return (false);
	d->state = TRY_WAITING;
	d->name = name;
	TAILQ_INSERT_TAIL(name_waiters(name), d, link);
	timer_start(&wheel, number_of(d),
	    timer_now() + d->route->connect_timeout);
	return (true);
}

/* The next remote's addresses.  Returns false when they must be awaited. */
static bool
load_remote(struct dial *d)
{
	const struct target *t = table_target(d->route, d->next_remote);

	d->at = 0;
	d->naddrs = 1;
	d->addrs[0] = t->addr;
	if (t->name != NAME_NONE) {
		if (!d->waited && wait_for(d, t->name)) {
			d->naddrs = 0;
			d->waited = true;
			return (false);
		}
		d->naddrs = name_addrs(t->name, d->addrs);
		for (unsigned i = 0; i < d->naddrs; i++)
			d->addrs[i].port = t->addr.port;
	}
	d->waited = false;
	d->next_remote++;
	return (true);
}

static void
go_on(struct dial *d)
{
	for (;;) {
		while (d->at < d->naddrs)
			if (try_next(d))
				return;
		if (d->next_remote == d->route->count)
			break;
		if (!load_remote(d))
			return;
	}
	finish(d, d->rep.tries > 0 ? d->rep.error :
	    d->unsourced ? DIAL_SOURCE : DIAL_NOADDR);
}

void
dial_open(const struct dial_req *req)
{
	bool	     full = in_use >= limit;
	struct dial *d;

	if (slot_find(req->slot) != NULL)
		fatalx("the relay asked twice for slot %u", req->slot);
	d = slot_take();
	*d = (struct dial){
		.fd = -1, .epoch = d->epoch, .begin = now_us(),
		.route = table_route(req->route),
		.rep = { .slot = req->slot, .serial = req->serial }
	};
	LIST_INSERT_HEAD(bucket_of(req->slot), d, hash);
	if (full)
		finish(d, DIAL_LIMIT);
	else if (!d->route->has_source || d->route->source.name == NAME_NONE ||
	    !wait_for(d, d->route->source.name))
		go_on(d);
}

/* One that is not there was answered before the relay knew. */
void
dial_cancel(const struct dial_req *req)
{
	struct dial *d = slot_find(req->slot);

	if (d != NULL && d->rep.serial == req->serial)
		slot_free(d);
}

void
dial_resume(uint32_t name)
{
	struct dial_list *list = name_waiters(name), waiters;
	struct dial	 *d;

	TAILQ_INIT(&waiters);
	TAILQ_CONCAT(&waiters, list, link);
	while ((d = TAILQ_FIRST(&waiters)) != NULL) {
		TAILQ_REMOVE(&waiters, d, link);
		timer_stop(&wheel, number_of(d));
		d->state = TRY_FREE;
		go_on(d);
	}
}

void
dial_event(uint32_t i, uint32_t epoch, uint32_t events)
{
	struct dial *d;
	uint32_t     error;

	if (i >= touched || dials[i].epoch != epoch ||
	    dials[i].state != TRY_CONNECTING)
		return;
	d = &dials[i];
	if ((error = socket_result(d->fd, events)) != 0) {
		try_failed(d, error);
		go_on(d);
		return;
	}
	timer_stop(&wheel, i);
	loop_unwatch(d->fd);
	finish(d, 0);
}

/* One more try of a dial in `again'.  False: there is still no room. */
static bool
try_again(struct dial *d)
{
	uint32_t error;

	error = socket_connect_unix(&d->fd, table_path(target_of(d)));
	if (error == EAGAIN)
		return (false);
	if (error == 0) {
		TAILQ_REMOVE(&again, d, link);
		timer_stop(&wheel, number_of(d));
		finish(d, 0);
	} else {
		try_failed(d, error);
		go_on(d);
	}
	return (true);
}

/* All those in `again', but none behind one who found its server full. */
static void
again_expire(uint64_t now)
{
	static uint32_t pass;
	struct dial    *d, *next;
	uint32_t       *mark;

	pass++;
	for (d = TAILQ_FIRST(&again); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		mark = table_mark(target_of(d));
		if (*mark != pass && !try_again(d))
			*mark = pass;
	}
	if (!TAILQ_EMPTY(&again))
		timer_start(&wheel, again_timer, now + AGAIN_TIME);
}

void
dial_expire(uint64_t now)
{
	struct dial *d;
	uint32_t     i;

	while ((i = timer_expired(&wheel, now)) != TIMER_NONE) {
		if (i == again_timer) {
			again_expire(now);
			continue;
		}
		d = &dials[i];
		if (d->state == TRY_CONNECTING || d->state == TRY_AGAIN)
			try_failed(d, ETIMEDOUT);
		else
			try_end(d);	/* the name's time is up */
		go_on(d);
	}
}

int
dial_wait(uint64_t now)
{
	return (timer_wait(&wheel, now));
}

/* --- replies --- */

/* Fills in one message from the head of `done'; returns its replies. */
static unsigned
gather(struct dial_rep reps[DIAL_BATCH], int fds[DIAL_BATCH], unsigned *nfds)
{
	const struct dial *d;
	unsigned	   n = 0;

	*nfds = 0;
	TAILQ_FOREACH(d, &done, link) {
		if (n == DIAL_BATCH)
			break;
		reps[n++] = d->rep;
		if (d->fd != -1)
			fds[(*nfds)++] = d->fd;
	}
	return (n);
}

static int
send_replies(int relay, const struct dial_rep *reps, unsigned n,
    const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr head;
		char	       buf[CMSG_SPACE(DIAL_BATCH * sizeof(int))];
	} control;
	struct iovec  iov = { (void *)(uintptr_t)reps, n * sizeof(*reps) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, nfds * sizeof(int));
	}
	if (sendmsg(relay, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
		return (errno);
	return (0);
}

int
dial_flush(int relay)
{
	struct dial_rep reps[DIAL_BATCH];
	int		fds[DIAL_BATCH], error;
	unsigned	n, nfds;

	while ((n = gather(reps, fds, &nfds)) > 0) {
		if ((error = send_replies(relay, reps, n, fds, nfds)) != 0)
			return (error);
		while (n-- > 0)
			slot_free(TAILQ_FIRST(&done));
	}
	return (0);
}
