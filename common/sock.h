/*
 * Binding listening sockets.  P only: nobody else may.
 */
#ifndef COMMON_SOCK_H
#define COMMON_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

/*
 * A bound socket, non-blocking and close-on-exec, or -1 and errno.  Port 0:
 * *port becomes the kernel's choice.  `share' lets further sockets of the
 * same user bind the address too (SO_REUSEPORT).
 */
int	sock_bind(const struct wire_addr *a, uint16_t *port, bool share);

/*
 * A socket bound as a->local.name in the directory, with its mode and owner:
 * made under another name and renamed, so that nobody meets it half made.
 * What stands there goes if it is a socket that refuses to connect;
 * otherwise EADDRINUSE, or EEXIST if it is no socket at all.
 */
int	sock_bind_unix(const struct wire_addr *a, const char *dir);

/*
 * All that a relay could have spoilt or that accepted sockets inherit, or
 * (dir) the mode and owner of a unix socket, then listen(2), which repairs a
 * shut-down socket.  false with errno.
 */
bool	sock_start(int fd, const struct wire_addr *a, const char *dir);
void	sock_unlink(const struct wire_addr *a, const char *dir);

/*
 * Do both mean the same socket?  Would a second IP socket clash if it does
 * not share its port?  (Port 0 clashes with nothing.)
 */
bool	sock_same(const struct wire_addr *a, const struct wire_addr *b);
bool	sock_overlap(const struct wire_addr *a, const struct wire_addr *b);

/* Is the descriptor a listening socket with this very address? */
bool	sock_is(int fd, const struct wire_addr *a, const char *dir);

#endif
