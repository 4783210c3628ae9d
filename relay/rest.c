/*
 * The pool of unsent rests.  Runs in the relay, from setup to its end; maps
 * memory in rest_init() and never again.  A rest belongs to one flow; the
 * relay bounds flows by its session slots, so the pool can't run out.
 */
#include <sys/mman.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "rest.h"

static void *
rest_map(size_t count, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return (NULL);
	}
	p = mmap(NULL, total, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return (p == MAP_FAILED ? NULL : p);
}

int
rest_init(struct rest_pool *p, uint32_t count, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	/* Whole pages: a slot in use never touches its neighbour's. */
	p->size = (size + page - 1) / page * page;
	p->count = count;
	p->fresh = 0;
	p->free = 0;
	p->rests = rest_map(count, sizeof(*p->rests));
	p->data = rest_map(count, p->size);
	return (p->rests != NULL && p->data != NULL ? 0 : -1);
}

uint32_t
rest_keep(struct rest_pool *p, const char *bytes, size_t len)
{
	uint32_t n;

	if (p->free != 0) {
		n = p->free;
		p->free = p->rests[n - 1].start;
	} else {
		if (p->fresh == p->count)
			fatalx("the pool of unsent rests is exhausted");
		n = ++p->fresh;
	}
	if (len > p->size)
		fatalx("an unsent rest of %zu bytes is too large", len);
	memcpy(p->data + (n - 1) * p->size, bytes, len);
	p->rests[n - 1].start = 0;
	p->rests[n - 1].len = (uint32_t)len;
	return (n);
}

const char *
rest_bytes(const struct rest_pool *p, uint32_t n, size_t *len)
{
	const struct rest *s = &p->rests[n - 1];

	*len = s->len;
	return ((p->data + (n - 1) * p->size + s->start));
}

uint32_t
rest_sent(struct rest_pool *p, uint32_t n, size_t sent)
{
	struct rest *s = &p->rests[n - 1];

	if (sent < s->len) {
		s->start += (uint32_t)sent;
		s->len -= (uint32_t)sent;
		return (n);
	}
	rest_drop(p, n);
	return (0);
}

void
rest_drop(struct rest_pool *p, uint32_t n)
{
	if (n == 0)
		return;
	p->rests[n - 1].start = p->free;
	p->rests[n - 1].len = 0;
	p->free = n;
}
