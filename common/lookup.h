/*
 * Name look-ups: dialer -> resolver, and the leader -> one-shot resolver
 * while loading, over a SOCK_SEQPACKET pair.  The asker sends one struct
 * lookup_query; the resolver answers with any number of 32-byte structs
 * with status LOOKUP_ADDR and one with LOOKUP_END or LOOKUP_FAIL.
 * Several queries may be under way at once; answers carry the query's id.
 * Each struct is a message of its own; those that answer one query come
 * without others between them, the queries' order is not kept.
 * The resolver first tells each dialer that it is there: no load succeeds
 * without that.
 */
#ifndef COMMON_LOOKUP_H
#define COMMON_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#define LOOKUP_NAME_MAX	256
#define LOOKUP_ADDRS	16	/* at most so many addresses for one name */

struct lookup_query {
	uint32_t id;
	uint32_t family;	/* AF_INET, AF_INET6, or 0: both */
	char	 name[LOOKUP_NAME_MAX];	/* NUL-terminated, zero filled */
};

enum lookup_status {
	LOOKUP_ADDR = 1,	/* family, scope and ip are filled in */
	LOOKUP_END = 2,		/* the last one was the last */
	LOOKUP_FAIL = 3,	/* `code' is an EAI_* number of getaddrinfo */
	LOOKUP_READY = 4	/* to a dialer, first and unasked: the resolver
				   is there, in its sandbox */
};

struct lookup_answer {
	uint32_t id;
	uint16_t status;	/* enum lookup_status */
	uint16_t family;
	uint32_t scope;
	int32_t  code;
	uint8_t  ip[16];
};

_Static_assert(sizeof(struct lookup_answer) == 32, "32-byte answers");

/*
 * Does the field hold a host name (letters, digits, `-', `_' and `.', at
 * most 253 of them) that is NUL-terminated and zero-filled?
 */
bool	lookup_name_ok(const char name[LOOKUP_NAME_MAX]);

#endif
