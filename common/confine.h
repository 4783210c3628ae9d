/*
 * The sandbox: the steps of DESIGN's order, each verified, each fatal when
 * it fails, and the tables of allowed system calls from which both the
 * filters and --print-sandbox are made.  Linked by every program under
 * libexec, never by P.
 */
#ifndef COMMON_CONFINE_H
#define COMMON_CONFINE_H

#include <stddef.h>
#include <stdint.h>

#include "child.h"

/*
 * Builds both filters of the role in memory: the last thing that needs
 * libseccomp's allocations.  Call once, before confine_enter().
 */
void	confine_prepare(const struct child *c);

/*
 * Jail (roles that have one), identity, verification, NO_NEW_PRIVS,
 * DUMPABLE 0, RLIMIT_NPROC 0, Landlock and the first filter.  Returns only
 * when all of it holds; logs by name what this kernel or user can't have.
 * confine_drop() and confine_seal() are its two halves, for the resolver,
 * which starts its threads between them (drop ... Landlock | NPROC, filter).
 */
void	confine_enter(const struct child *c);
void	confine_drop(const struct child *c);
void	confine_seal(const struct child *c);

/*
 * Relay: the second, tighter filter, after the last LISTENER and before the
 * first accept.
 */
void	confine_tighten(void);

/*
 * Dialer: from now on only these TCP ports can be connected to (Landlock),
 * and only port 0 bound, if `bind' is set.  Called once, at DIAL_END.
 */
void	confine_ports(const uint16_t *ports, size_t n, bool bind);

/* --print-sandbox: writes the tables of all roles to this descriptor. */
void	confine_print(int fd, const struct child *c);

#endif
