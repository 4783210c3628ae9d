/*
 * The table of keywords with their ranges and defaults.  Runs in the relay
 * before GO, confined; pure data and functions.
 */
#include "keyword.h"

#include <string.h>

#define NEAREST_MAX 24 /* longer words are not compared */
#define HOURS_MS    3600000u
#define HOURS_S	    3600u

#define NUMBER(member) .offset = offsetof(struct conf_stanza, member)

/* In the order in which a stanza is printed. */
const struct keyword keywords[KEY_COUNT] = {
	[KEY_NAME] = { "name", TYPE_NAME, SCOPE_STANZA,
	    .expected = "printable ASCII characters, in quotes if need be" },
	[KEY_SOCKET_MODE] = { "socket-mode", TYPE_MODE, SCOPE_BOTH,
	    NUMBER(socket_mode), true, 0, 0777, 0600,
	    "an octal number from 0 to 0777" },
	[KEY_SOCKET_OWNER] = { "socket-owner", TYPE_OWNER, SCOPE_BOTH,
	    .expected = "UID, UID:GID or :GID, each a number or a name of "
	    "/etc/passwd or /etc/group, or *" },
	[KEY_RESOLV] = { "resolv", TYPE_FAMILY, SCOPE_BOTH,
	    .expected = "ipv4, ipv6 or any" },
	[KEY_REMOTE] = { "remote", TYPE_REMOTE, SCOPE_BOTH,
	    .expected = "an address or name, and a port or service" },
	[KEY_REMOTE_RESOLV] = { "remote-resolv", TYPE_FAMILY, SCOPE_BOTH,
	    .expected = "ipv4, ipv6 or any" },
	[KEY_SOURCE] = { "source", TYPE_SOURCE, SCOPE_BOTH,
	    .expected = "an address or name, or *" },
	[KEY_TIMEOUT] = { "timeout", TYPE_MS, SCOPE_BOTH,
	    NUMBER(timeout), true, 1, 1000 * HOURS_MS, 0,
	    "a duration from 1ms to 1000h, or none" },
	[KEY_CONNECT_TIMEOUT] = { "connect-timeout", TYPE_MS, SCOPE_BOTH,
	    NUMBER(connect_timeout), false, 1, HOURS_MS, 10000,
	    "a duration from 1ms to 1h" },
	[KEY_HALF_CLOSE_TIMEOUT] = { "half-close-timeout", TYPE_MS, SCOPE_BOTH,
	    NUMBER(half_close_timeout), true, 1, 1000 * HOURS_MS, HOURS_MS,
	    "a duration from 1ms to 1000h, or none" },
	[KEY_KEEPALIVE] = { "keepalive", TYPE_KEEPALIVE, SCOPE_BOTH,
	    NUMBER(keepalive), false, 1, 32767, KEEPALIVE_YES,
	    "no, yes, or a duration of whole seconds from 1s to 32767s" },
	[KEY_BUFFER_SIZE] = { "buffer-size", TYPE_SIZE, SCOPE_BOTH,
	    NUMBER(buffer_size), false, 1, 1024 * 1024, 60 * 1024,
	    "a size from 1 to 1m" },
	[KEY_MAX_CONNECTIONS] = { "max-connections", TYPE_COUNT, SCOPE_BOTH,
	    NUMBER(max_connections), true, 1, 10000000, 0,
	    "a number from 1 to 10000000, or none" },
	[KEY_BACKLOG] = { "backlog", TYPE_COUNT, SCOPE_BOTH,
	    NUMBER(backlog), false, 1, 65535, 4096,
	    "a number from 1 to 65535" },
	[KEY_RESOLVE_INTERVAL] = { "resolve-interval", TYPE_SECONDS, SCOPE_BOTH,
	    NUMBER(resolve_interval), false, 1, 1000 * HOURS_S, 60,
	    "a duration of whole seconds from 1s to 1000h" },
	[KEY_ON_ERROR] = { "on-error", TYPE_ON_ERROR, SCOPE_BOTH,
	    .expected = "fail or skip" },
	[KEY_DRAIN_TIMEOUT] = { "drain-timeout", TYPE_SECONDS, SCOPE_OUTSIDE,
	    0, true, 1, 1000 * HOURS_S, 0,
	    "a duration of whole seconds from 1s to 1000h, or none" },
};

const struct keyword *
keyword_find(const char *text, size_t length)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strlen(keywords[i].name) == length &&
		    memcmp(keywords[i].name, text, length) == 0)
			return (&keywords[i]);
	return (NULL);
}

static unsigned
minimum(unsigned a, unsigned b)
{
	return (a < b ? a : b);
}

static char
lower(char c)
{
	return (c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
}

/*
 * How many letters must be put in, left out or replaced to make one word of
 * the other (Levenshtein's distance); case does not count.
 */
static unsigned
keyword_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[NEAREST_MAX + 1], corner, above;

	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		corner = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			above = row[j];
			row[j] = minimum(minimum(above, row[j - 1]) + 1,
			    corner + (lower(a[i - 1]) != b[j - 1]));
			corner = above;
		}
	}
	return (row[nb]);
}

const char *
keyword_nearest(const char *text, size_t length)
{
	const char *name, *nearest = NULL;
	unsigned    distance, least = 3;

	if (length > NEAREST_MAX)
		return (NULL);
	for (size_t i = 0; i <= KEY_COUNT; i++) {
		name = i < KEY_COUNT ? keywords[i].name : "listen";
		distance =
		    keyword_distance(text, length, name, strlen(name));
		if (distance < least && distance * 3 < strlen(name)) {
			least = distance;
			nearest = name;
		}
	}
	return (nearest);
}

uint32_t *
keyword_number(const struct keyword *k, struct conf *c, struct conf_stanza *s)
{
	if (k == &keywords[KEY_DRAIN_TIMEOUT])
		return (&c->drain_timeout);
	return ((uint32_t *)(void *)((char *)s + k->offset));
}

uint32_t
keyword_value(const struct keyword *k, const struct conf *c,
    const struct conf_stanza *s)
{
	if (k == &keywords[KEY_DRAIN_TIMEOUT])
		return (c->drain_timeout);
	return (*(const uint32_t *)(const void *)((const char *)s + k->offset));
}

void
keyword_defaults(struct conf_stanza *s)
{
	*s = (struct conf_stanza){ .any = true, .on_error = ON_ERROR_FAIL,
		.socket_uid = CONF_NO_ID, .socket_gid = CONF_NO_ID };
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (keywords[i].offset != 0)
			*keyword_number(&keywords[i], NULL, s) =
			    keywords[i].initial;
}
