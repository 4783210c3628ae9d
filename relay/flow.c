/*
 * One turn of a flow.  Runs in the relay; reads and writes connected
 * sockets, nothing else.  This is the hot path: read(2) and write(2) only,
 * which the filters let pass unconditionally.
 */
#include <sys/epoll.h>

#include <errno.h>
#include <unistd.h>

#include "flow.h"

uint8_t
flow_events(uint8_t flags, uint32_t events)
{
	unsigned f = flags;

	if (events & EPOLLIN)
		f |= END_READABLE;
	if (events & EPOLLOUT)
		f |= END_WRITABLE;
	/*
	 * After these no further edge may come: read on until the end shows.
	 * Urgent data (PRI) cuts reads short although more is there.
	 */
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		f |= END_READABLE | END_LAST;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		f |= END_FIN;
	/* A write will tell the error, if no read does. */
	if (events & (EPOLLHUP | EPOLLERR))
		f |= END_WRITABLE;
	if (events & EPOLLERR)
		f |= END_ERROR;
	if (f & END_EOF)
		f &= ~(unsigned)END_READABLE;
	return (uint8_t)f;
}

uint8_t
flow_after_read(uint8_t flags, size_t n, size_t size)
{
	unsigned f = flags;

	if (n == 0)
		f |= END_EOF;
	/* A short read emptied the socket: whatever comes now is an edge. */
	if (n == 0 || (n < size && !(f & END_LAST)))
		f &= ~(unsigned)END_READABLE;
	return (uint8_t)f;
}

/* write(2), with "not now" as 0 taken.  Returns -1 with errno if it failed. */
static ssize_t
flow_write(struct endpoint *to, const char *bytes, size_t len)
{
	ssize_t n;

	do
		n = write(to->fd, bytes, len);
	while (n == -1 && errno == EINTR);
	if (n == -1) {
		if (errno != EAGAIN)
			return (-1);
		n = 0;
	}
	/* The kernel has noted that we wait for space: an edge will come. */
	if ((size_t)n < len)
		to->flags &= (uint8_t)~END_WRITABLE;
	return (n);
}

/* Hands the rest over.  Returns -1 with errno if the receiver is dead. */
static int
flow_flush(struct flow_space *space, struct endpoint *from,
    struct endpoint *to, uint64_t *bytes)
{
	const char *rest;
	size_t len;
	ssize_t n;

	rest = rest_bytes(&space->rests, from->rest, &len);
	if ((n = flow_write(to, rest, len)) == -1)
		return (-1);
	*bytes += (uint64_t)n;
	from->rest = rest_sent(&space->rests, from->rest, (size_t)n);
	return (0);
}

/*
 * One read and one write; what was not taken becomes the rest.  Returns
 * FLOW_MORE, or which end is dead.
 */
static enum flow_result
flow_move(struct flow_space *space, struct endpoint *from,
    struct endpoint *to, size_t size, uint64_t *bytes)
{
	ssize_t got, taken;

	if ((got = read(from->fd, space->scratch, size)) == -1) {
		if (errno == EINTR)
			return (FLOW_MORE);
		if (errno != EAGAIN)
			return (FLOW_FROM_FAILED);
		from->flags &= (uint8_t)~END_READABLE;
		return (FLOW_MORE);
	}
	from->flags = flow_after_read(from->flags, (size_t)got, size);
	if (got == 0)
		return (FLOW_MORE);

	if ((taken = flow_write(to, space->scratch, (size_t)got)) == -1)
		return (FLOW_TO_FAILED);
	*bytes += (uint64_t)taken;
	if (taken < got)
		from->rest = rest_keep(&space->rests, space->scratch + taken,
		    (size_t)(got - taken));
	return (FLOW_MORE);
}

enum flow_result
flow_run(struct flow_space *space, struct endpoint *from,
    struct endpoint *to, size_t size, uint64_t *bytes)
{
	uint64_t start = *bytes;
	enum flow_result result;
	unsigned moves = 0;

	if (from->rest != 0 && to->flags & END_WRITABLE &&
	    flow_flush(space, from, to, bytes) == -1)
		return (FLOW_TO_FAILED);

	for (;;) {
		if (from->rest != 0)
			return (FLOW_WAIT);
		if (from->flags & END_EOF)
			return (FLOW_DONE);
		if (!(from->flags & END_READABLE) ||
		    !(to->flags & END_WRITABLE))
			return (FLOW_WAIT);
		if (*bytes - start >= FLOW_TURN || moves++ == FLOW_MOVES)
			return (FLOW_MORE);
		result = flow_move(space, from, to, size, bytes);
		if (result != FLOW_MORE)
			return (result);
	}
}
