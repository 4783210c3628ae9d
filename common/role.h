/*
 * The processes of sallyport and the descriptors each of them starts with.
 * Shared by P, which lays the descriptors out, and the programs under
 * libexec, which check that they hold these and no others.
 */
#ifndef COMMON_ROLE_H
#define COMMON_ROLE_H

enum role {
	ROLE_PARENT,		/* P: /sbin/sallyport itself */
	ROLE_LOGGER,		/* one for the life of P */
	ROLE_RELAY,		/* `workers' per generation */
	ROLE_DIALER,		/* one per relay */
	ROLE_RESOLVER,		/* one per generation, if names are used */
	ROLE_LOOKUP,		/* one-shot resolver for `listen NAME' */
	ROLE_COUNT
};

/*
 * Descriptors 0-2 are /dev/null, but for the modes that print
 * (--check, --print-config, --print-sandbox), where 1 and 2 are the user's.
 */
enum {
	FD_CTL = 3,		/* SEQPACKET pair with P (wire.h) */
	FD_LOG = 4,		/* SEQPACKET pair with the logger (log.h);
				   the logger itself has its own too */
	FD_CONF = 5		/* relays only: sealed memfd, else closed */
};

#define WORKERS_MAX	8
#define LISTENERS_MAX	4096
#define DIRS_MAX	4	/* --socket-dir */

#endif
