/*
 * Unix sockets in the configuration: `listen unix:NAME', `remote: unix:/path',
 * socket-mode and socket-owner.  Relay only.
 */
#ifndef RELAY_LOCAL_H
#define RELAY_LOCAL_H

#include "value.h"

/* "unix:", a --socket-dir, '/', a name and a NUL; for any text of a unix
   socket: a remote's path is not longer than a listener's may be */
#define LOCAL_TEXT 128

/* Does the word name a unix socket? */
bool local_is(const char *text);

/*
 * The --socket-dir directories in their order.  Before any configuration is
 * read; without them there can be no unix listeners.  Copied.
 */
void local_dirs(const char *const *list, unsigned n);

/* `unix:NAME' or `unix:/DIRECTORY/NAME' of a listener. */
void local_listen(struct diag *d, const struct word *w,
    struct conf_stanza *s);

/* `unix:/PATH' of a remote. */
void local_remote(struct diag *d, const struct word *w,
    struct conf_host *host);

void local_mode(struct diag *d, const struct word *w, uint32_t *mode);

/* UID, UID:GID or :GID, each a number or a name, or `*'. */
void local_owner(struct diag *d, const struct word *w,
    struct conf_stanza *s);

/* "unix:/DIRECTORY/NAME" of a stanza that listens there; returns buf. */
const char *local_text(const struct conf_stanza *s, char buf[LOCAL_TEXT]);

#endif
