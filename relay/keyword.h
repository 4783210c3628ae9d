/*
 * The keywords of the configuration language: one table, from which they
 * are parsed, defaulted and printed.  Relay only.
 */
#ifndef RELAY_KEYWORD_H
#define RELAY_KEYWORD_H

#include "conf.h"

#define KEEPALIVE_YES 7200u /* s: what `keepalive: yes' stands for */

enum keyword_type {
	TYPE_FAMILY, /* ipv4, ipv6, any */
	TYPE_REMOTE, /* HOST SERVICE, or unix:/PATH */
	TYPE_SOURCE, /* HOST */
	TYPE_NAME,
	TYPE_ON_ERROR, /* fail, skip */
	TYPE_MODE, /* octal */
	TYPE_OWNER, /* UID:GID */
	TYPE_MS, /* the others are uint32_t: a duration kept in ms, */
	TYPE_SECONDS, /* or in s, */
	TYPE_KEEPALIVE, /* no, yes or a duration kept in s, */
	TYPE_SIZE, /* bytes, */
	TYPE_COUNT /* a plain number */
};

enum keyword_scope { SCOPE_STANZA = 1, SCOPE_OUTSIDE = 2, SCOPE_BOTH = 3 };

enum keyword_id {
	KEY_NAME,
	KEY_SOCKET_MODE,
	KEY_SOCKET_OWNER,
	KEY_RESOLV,
	KEY_REMOTE,
	KEY_REMOTE_RESOLV,
	KEY_SOURCE,
	KEY_TIMEOUT,
	KEY_CONNECT_TIMEOUT,
	KEY_HALF_CLOSE_TIMEOUT,
	KEY_KEEPALIVE,
	KEY_BUFFER_SIZE,
	KEY_MAX_CONNECTIONS,
	KEY_BACKLOG,
	KEY_RESOLVE_INTERVAL,
	KEY_ON_ERROR,
	KEY_DRAIN_TIMEOUT,
	KEY_COUNT
};

struct keyword {
	const char	  *name;
	enum keyword_type  type;
	enum keyword_scope scope;
	size_t		   offset; /* of the number in struct conf_stanza */
	bool		   none; /* 0 and `none' are values */
	uint32_t	   min, max, initial;
	const char	  *expected; /* for messages */
};

extern const struct keyword keywords[KEY_COUNT];

/* The keyword of this name, or NULL. */
const struct keyword *keyword_find(const char *text, size_t length);

/* The keyword, or "listen", that was probably meant, or NULL. */
const char *keyword_nearest(const char *text, size_t length);

/* A stanza in which nothing was said. */
void keyword_defaults(struct conf_stanza *s);

/* The number that a keyword of type TYPE_MS and the following sets. */
uint32_t *keyword_number(const struct keyword *k, struct conf *c,
    struct conf_stanza *s);
uint32_t keyword_value(const struct keyword *k, const struct conf *c,
    const struct conf_stanza *s);

#endif
