/*
 * Talking to the dialer.  Runs in the relay after GO; touches the one
 * channel.  The dialer has no contact with the network's bytes, but its
 * answers are checked like any others.
 */
#include "dial.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "loop.h"
#include "relay.h"

#define DIAL_MESSAGES	4	/* read in one turn of the loop */

struct dial_fds {		/* the descriptors of one message */
	int	 fd[DIAL_BATCH];
	unsigned count;
	unsigned used;
};

bool
dial_room(const struct dialer *d)
{
	/* the new request and its cancellation beside all the others' */
	return (d->fd != -1 && d->size - d->queued >= d->pending + 2);
}

static void
dial_queue(struct dialer *d, const struct dial_req *q)
{
	if (d->fd == -1)
		return;
	if (d->queued == d->size)
		fatalx("the queue of requests to the dialer is full");
	d->queue[(d->first + d->queued++) % d->size] = *q;
}

void
dial_open(struct dialer *d, uint32_t slot, uint32_t serial, uint32_t route)
{
	dial_queue(d, &(struct dial_req){ DIAL_OPEN, slot, serial, route });
	d->pending++;
}

void
dial_cancel(struct dialer *d, uint32_t slot, uint32_t serial)
{
	dial_queue(d, &(struct dial_req){ DIAL_CANCEL, slot, serial, 0 });
	d->pending--;
}

/* Nobody makes connections any more: P starts a new generation. */
static void
dial_lost(struct relay *r, const char *why)
{
	struct dialer *d = &r->dialer;

	if (d->fd == -1)
		return;
	log_error("the dialer is gone (%s): no new connections", why);
	loop_unwatch(r, d->fd);
	close(d->fd);
	d->fd = -1;
	d->queued = 0;
	session_end_all(r, END_CONNECT_FAILED, true);
	/* who waits at the listeners is served by the next generation */
	loop_drain(r, false, 0);
}

static void
dial_block(struct relay *r, bool blocked)
{
	uint32_t events = EPOLLIN | (blocked ? (uint32_t)EPOLLOUT : 0);

	if (r->dialer.blocked == blocked)
		return;
	r->dialer.blocked = blocked;
	loop_change(r, r->dialer.fd, events, loop_key(LOOP_DIALER, 0, 0));
}

void
dial_flush(struct relay *r)
{
	struct dialer *d = &r->dialer;
	uint32_t n;

	while (d->queued != 0 && !d->blocked) {
		n = d->size - d->first;		/* up to the ring's end */
		if (n > d->queued)
			n = d->queued;
		if (n > DIAL_BATCH)
			n = DIAL_BATCH;
		if (send(d->fd, &d->queue[d->first], n * sizeof(*d->queue),
		    MSG_DONTWAIT | MSG_NOSIGNAL) == -1) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == ENOBUFS)
				dial_block(r, true);
			else
				dial_lost(r, "its channel is closed");
			return;
		}
		d->queued -= n;
		/* an empty ring starts again where its memory is in use */
		d->first = d->queued == 0 ? 0 : (d->first + n) % d->size;
		r->acceptor.room = true;
	}
}

static void
dial_take_fds(struct msghdr *msg, struct dial_fds *fds)
{
	size_t n;
	int fd;

	fds->count = fds->used = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	    c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd),
			    sizeof(fd));
			if (fds->count < DIAL_BATCH)
				fds->fd[fds->count++] = fd;
			else
				close(fd);
		}
	}
}

/*
 * Receives one message.  Returns the number of answers, 0 for none now, or
 * -1 when the channel is of no more use.
 */
static int
dial_receive(struct relay *r, struct dial_rep rep[DIAL_BATCH],
    struct dial_fds *fds)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(DIAL_BATCH * sizeof(int))];
	} control;
	struct iovec iov = { rep, DIAL_BATCH * sizeof(*rep) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control.buf)
	};
	ssize_t n;

	fds->count = fds->used = 0;
	n = recvmsg(r->dialer.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -1)
		return (errno == EAGAIN || errno == EINTR ? 0 : -1);
	dial_take_fds(&msg, fds);
	/* no number was free for some of them; those sessions end */
	if ((msg.msg_flags & MSG_CTRUNC) != 0 && fds->count < DIAL_BATCH)
		accept_no_fd(r);
	if (n == 0 || (size_t)n % sizeof(*rep) != 0 ||
	    (msg.msg_flags & MSG_TRUNC) != 0) {
		while (fds->used < fds->count)
			close(fds->fd[fds->used++]);
		return (-1);
	}
	return ((int)((size_t)n / sizeof(*rep)));
}

static void
dial_answers(struct relay *r, const struct dial_rep *rep, int n,
    struct dial_fds *fds)
{
	for (int i = 0; i < n; i++) {
		int fd = -1;

		if (rep[i].error == 0 && fds->used < fds->count)
			fd = fds->fd[fds->used++];
		if (session_answer(r, &rep[i], fd))
			r->dialer.pending--;
	}
	while (fds->used < fds->count)
		close(fds->fd[fds->used++]);
}

void
dial_event(struct relay *r, uint32_t events)
{
	struct dial_rep rep[DIAL_BATCH];
	struct dial_fds fds;
	int n;

	if (r->dialer.fd == -1)
		return;
	if (events & EPOLLOUT)
		dial_block(r, false);
	for (int i = 0; i < DIAL_MESSAGES; i++) {
		if ((n = dial_receive(r, rep, &fds)) == -1) {
			dial_lost(r, "its channel is closed");
			return;
		}
		dial_answers(r, rep, n, &fds);
		if (n < DIAL_BATCH)	/* that was most likely all */
			return;
	}
}
