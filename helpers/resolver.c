/*
 * The resolver: turns names into addresses for the dialers of its
 * generation, or, as the one-shot look-up process of a load, for the first
 * relay.  Runs as the unprivileged user in its sandbox, not chrooted,
 * because the libc needs its files; talks to those that ask and to name
 * servers; sends nothing to P.  This file: the main thread, which serves the
 * channels and never waits for anything else.
 */
#include "resolver.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../common/child.h"
#include "../common/confine.h"
#include "../common/log.h"
#include "../common/wire.h"

#define JOBS		32	/* of one asker, at once */

struct asker {
	int	    fd;		/* -1: closed or not yet there */
	bool	    known;	/* has had its one channel */
	bool	    full;	/* the channel takes no answers now */
	struct job  jobs[JOBS];
	struct job *sending;	/* its answers are partly sent */
	unsigned    sent;
};

/* What is polled: an asker's place is its number. */
enum { POLL_CTL = WORKERS_MAX, POLL_DONE, POLL_COUNT };

static struct asker askers[WORKERS_MAX];
static unsigned	    nopen, nknown;	/* channels: open, ever seen */
static int	    ctl = FD_CTL;	/* -1: P has gone */
static int	    done_fd;

/* --- askers --- */

/*
 * A closed channel is never used again: jobs of it that are still running
 * end without answer.
 */
static void
asker_close(struct asker *a)
{
	close(a->fd);
	a->fd = -1;
	nopen--;
	for (unsigned i = 0; i < JOBS; i++)
		pool_free(&a->jobs[i]);
}

static bool
query_ok(const struct lookup_query *q)
{
	return ((q->family == 0 || q->family == AF_INET ||
	    q->family == AF_INET6) && lookup_name_ok(q->name));
}

/* Takes as many queries as there are free jobs. */
static void
asker_read(struct asker *a)
{
	struct lookup_query q;
	struct iovec	    iov = { &q, sizeof(q) };
	struct msghdr	    msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct job	   *job;
	ssize_t		    n;

	while ((job = pool_find(a->jobs, JOBS, JOB_FREE)) != NULL) {
		n = recvmsg(a->fd, &msg, MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != (ssize_t)sizeof(q) || !query_ok(&q) ||
		    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
			if (n > 0)
				log_error("bad query: its channel is closed");
			asker_close(a);
			return;
		}
		job->query = q;
		pool_ask(job);
	}
}

/* The i-th message of the answer; the last one ends it. */
static struct lookup_answer
answer_part(const struct job *job, unsigned i)
{
	struct lookup_answer m = { .id = job->query.id };

	if (i < job->naddrs) {
		m.status = LOOKUP_ADDR;
		m.family = job->addrs[i].family;
		m.scope = job->addrs[i].scope;
		memcpy(m.ip, job->addrs[i].ip, sizeof(m.ip));
	} else if (job->code == 0) {
		m.status = LOOKUP_END;
	} else {
		m.status = LOOKUP_FAIL;
		m.code = job->code;
	}
	return (m);
}

/* Returns 0 when all of the answer is sent, or errno. */
static int
answer_send(struct asker *a, const struct job *job)
{
	struct lookup_answer m;
	struct iovec	     iov = { &m, sizeof(m) };
	struct msghdr	     msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	for (; a->sent <= job->naddrs; a->sent++) {
		m = answer_part(job, a->sent);
		if (sendmsg(a->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
			return (errno);
	}
	return (0);
}

/*
 * Sends what is done.  An asker that doesn't read its answers gets no
 * further jobs, and holds up nobody else.
 */
static void
asker_serve(struct asker *a)
{
	int error = 0;

	while (a->sending != NULL || (a->sending =
	    pool_find(a->jobs, JOBS, JOB_DONE)) != NULL) {
		if ((error = answer_send(a, a->sending)) != 0)
			break;
		pool_free(a->sending);
		a->sending = NULL;
		a->sent = 0;
	}
	a->full = error != 0;
	if (error == EPIPE || error == ECONNRESET)
		asker_close(a);
}

/* --- P --- */

static void
take_channel(const struct child *c, const struct wire *m, int fd)
{
	uint32_t      peer = c->role == ROLE_LOOKUP ? ROLE_RELAY : ROLE_DIALER;
	uint32_t      worker = m->u.helper.worker;
	struct asker *a;
	struct lookup_answer ready = { .status = LOOKUP_READY };
	struct iovec  iov = { &ready, sizeof(ready) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (m->type != WIRE_HELPER || fd == -1 || m->u.helper.role != peer ||
	    worker >= WORKERS_MAX || askers[worker].known)
		fatalx("unexpected message from the parent");
	a = &askers[worker];
	a->fd = fd;
	a->known = true;
	nknown++;
	nopen++;
	/* a dialer that has gone is noticed by polling */
	if (c->role == ROLE_RESOLVER)
		sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
ctl_event(const struct child *c)
{
	struct wire m;
	int	    fd, n;

	n = wire_recv(ctl, &m, &fd, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1)
		fatal("message from the parent");
	if (n == 1) {
		take_channel(c, &m, fd);
		return;
	}
	close(ctl);
	ctl = -1;
}

/* --- loop --- */

static void
watch(struct pollfd *p)
{
	struct asker *a;

	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		a = &askers[i];
		p[i] = (struct pollfd){ .fd = a->fd };
		if (a->fd == -1)
			continue;
		if (a->full)
			p[i].events |= POLLOUT;
		if (pool_find(a->jobs, JOBS, JOB_FREE) != NULL)
			p[i].events |= POLLIN;
	}
	p[POLL_CTL] = (struct pollfd){ .fd = ctl, .events = POLLIN };
	p[POLL_DONE] = (struct pollfd){ .fd = done_fd, .events = POLLIN };
}

static void
serve(const struct child *c, const struct pollfd *p)
{
	uint64_t      count;
	struct asker *a;

	if (p[POLL_DONE].revents != 0 &&
	    read(done_fd, &count, sizeof(count)) == -1)
		fatal("eventfd");
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		a = &askers[i];
		if ((p[i].revents & POLLIN) != 0)
			asker_read(a);
		else if ((p[i].revents & (POLLHUP | POLLERR)) != 0)
			asker_close(a);
		if (a->fd != -1)
			asker_serve(a);
	}
	if (p[POLL_CTL].revents != 0)
		ctl_event(c);
}

/* Have all been there that P will ever send, and gone? */
static bool
finished(const struct child *c)
{
	unsigned expected = c->role == ROLE_LOOKUP ? 1 : c->workers;

	return (nopen == 0 && (nknown >= expected || ctl == -1));
}

int
main(int argc, char **argv)
{
	struct pollfd p[POLL_COUNT];
	struct child  c;

	child_start(&c, ROLE_RESOLVER, argc, argv);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		askers[i].fd = -1;
	done_fd = pool_init(c.role == ROLE_LOOKUP);
	confine_prepare(&c);
	confine_drop(&c);
	pool_start();
	confine_seal(&c);
	while (!finished(&c)) {
		watch(p);
		if (poll(p, POLL_COUNT, -1) == -1) {
			if (errno != EINTR)
				fatal("poll");
			continue;
		}
		serve(&c, p);
	}
	_exit(0);
}
