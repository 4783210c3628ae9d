/*
 * What must hold between the statements of a stanza, and between stanzas.
 * Relay only.
 */
#ifndef RELAY_CHECKER_H
#define RELAY_CHECKER_H

#include "diag.h"
#include "keyword.h"

struct places { /* where a stanza's values were written */
	struct place listen;
	struct place key[KEY_COUNT]; /* the values behind the keyword */
	struct place remote[CONF_REMOTES_MAX];
};

/* One stanza, as soon as all of it is known; `seen' has a bit for each keyword
   that stands in it. */
void check_stanza(struct diag *d, const struct conf_stanza *s,
    const struct places *at, unsigned seen);

/* Are any connections made from or to a TCP port? */
bool check_has_tcp(const struct conf_stanza *s);

/* How many sockets the stanza listens on, as far as is known here. */
unsigned check_sockets(const struct conf_stanza *s);

/* All stanzas: no two of them may listen on the same address and port, or
   unix socket. */
void check_listeners(struct diag *d, const struct conf *c);

#endif
