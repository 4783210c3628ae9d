/*
 * From start to GO: what a relay prepares before its sandbox, its tables,
 * and the LOADING talk with P and the dialer.  All of it blocks; P watches
 * the time.  Relay only.
 */
#ifndef RELAY_SETUP_H
#define RELAY_SETUP_H

#include <stddef.h>

#include "../common/wire.h"

struct child;
struct relay;

/* What needs system calls that the sandbox has not. */
void	setup_prepare(struct relay *r, const struct child *c);

/* The whole talk.  On return all is ready for loop_run(). */
void	setup_load(struct relay *r);

/* To P; fatal when it can't be sent. */
void	setup_send(const struct wire *m);

/*
 * The next message of P; its descriptor goes to *fd.  Fatal when there is
 * none, or when a descriptor comes and fd is NULL.
 */
void	setup_recv(struct wire *m, int *fd);

/* One message to a helper; fatal when it can't be sent. */
void	setup_send_to(int fd, const void *message, size_t size,
	    const char *whom);

#endif
