/*
 * Unsent rests: what a flow has read and its receiver did not take.  A pool
 * of equal slots, two per session, reserved once before GO; memory is only
 * used by slots that were needed, the last one given back is the next one
 * taken.  Relay only.
 */
#ifndef RELAY_REST_H
#define RELAY_REST_H

#include <stddef.h>
#include <stdint.h>

struct rest {
	uint32_t start;		/* in use: offset; free: number of the next */
	uint32_t len;
};

struct rest_pool {
	char	*data;		/* count slots of `size' bytes */
	struct rest *rests;
	size_t	 size;
	uint32_t count;
	uint32_t fresh;		/* slots from here on were never used */
	uint32_t free;		/* number of the first free one, or 0 */
};

/* Reserves the pool.  Returns 0, or -1 with errno. */
int	rest_init(struct rest_pool *p, uint32_t count, size_t size);

/* Keeps `len' (1 to size) bytes; returns the rest's number, from 1. */
uint32_t rest_keep(struct rest_pool *p, const char *bytes, size_t len);

/* What is left of rest n; its length goes to *len. */
const char *rest_bytes(const struct rest_pool *p, uint32_t n, size_t *len);

/* `sent' bytes are gone.  Returns n, or 0 when that was all: slot free. */
uint32_t rest_sent(struct rest_pool *p, uint32_t n, size_t sent);

/* Gives rest n back unsent; 0 is allowed. */
void	rest_drop(struct rest_pool *p, uint32_t n);

#endif
