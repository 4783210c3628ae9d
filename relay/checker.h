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

/* One stanza, as soon as all of it is known. */
void check_stanza(struct diag *d, const struct conf_stanza *s,
    const struct places *at);

/* How many sockets the stanza listens on, as far as is known here. */
unsigned check_sockets(const struct conf_stanza *s);

/* All stanzas: no two of them may listen on the same address and port. */
void check_listeners(struct diag *d, const struct conf *c);

#endif
