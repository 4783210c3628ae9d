/*
 * The messages between P and its children: one fixed 64-byte struct over a
 * SOCK_SEQPACKET pair, at most one descriptor attached, only ever from P to
 * a child.  This file is the whole protocol.
 *
 *   child -> P, only while its generation is LOADING
 *     NEED   leader only, first, once: version, helpers wanted, drain limit
 *     BIND   leader only: one listening address; index counts from 0
 *     BINDUNIX  the same for a socket in a --socket-dir
 *     READY  every relay, last: leader: the number of both; others: 0
 *   P -> child
 *     HELPER    the first message to every child, without descriptor: who it
 *               is itself; later ones: a channel to another process (fd
 *               attached), for the logger the log channel of that process
 *     BOUND     answer to BIND and BINDUNIX: 0 or an errno
 *     LISTENER  a listening socket (fd attached), address as bound
 *     GO        all listeners have been sent: start accepting
 *     DRAIN     stop accepting, end within so many seconds (0: no limit);
 *               to the logger: the start-up is over
 *     REPORT    write a report to the log
 *     LOG       logger only: the target with this index (fd attached)
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Goes up with every change to what processes that were built apart say to
 * each other: this file, log.h, dial.h, lookup.h, and the parameters that
 * start/exec.c makes and child.c takes.  Every child compares it with that of
 * its P, so those that meet are all of one version.
 */
#ifndef WIRE_VERSION
#define WIRE_VERSION	2
#endif

enum wire_type {
	WIRE_NEED = 1,
	WIRE_BIND = 2,
	WIRE_READY = 3,
	WIRE_BINDUNIX = 4,

	WIRE_HELPER = 16,
	WIRE_BOUND = 17,
	WIRE_LISTENER = 18,
	WIRE_GO = 19,
	WIRE_DRAIN = 20,
	WIRE_REPORT = 21,
	WIRE_LOG = 22
};

/* NEED.roles: which helpers the configuration wants beside the dialers */
#define NEED_RESOLVER	0x1u
#define NEED_LOOKUP	0x2u
#define NEED_UNIX	0x4u	/* no process: dialers for unix remotes */
#define NEED_ALL	(NEED_RESOLVER | NEED_LOOKUP | NEED_UNIX)

struct wire_need {
	uint32_t version;
	uint32_t roles;
	uint32_t drain;		/* s, 0: no limit */
};

enum wire_report { REPORT_LISTENERS = 1, REPORT_SESSIONS = 2 };

struct wire_inet {
	uint32_t keepidle;	/* TCP keep-alive idle time in s, 0: off */
	uint32_t scope;		/* IPv6 zone, else 0 */
	uint8_t  ip[16];	/* IPv4 in the first four, rest zero */
};

#define WIRE_NAME	32	/* a unix socket's name and its NUL */
#define WIRE_NAME_NEW	".sallyport.new"	/* P's, for a moment */
#define WIRE_NO_ID	UINT32_MAX

struct wire_unix {
	uint32_t uid, gid;	/* owner; WIRE_NO_ID: P's own */
	uint16_t mode;		/* 0 to 0777 */
	uint16_t dir;		/* number of the --socket-dir, from 0 */
	char	 name[WIRE_NAME];	/* one path component, rest zero */
};

struct wire_addr {
	uint32_t tag;		/* the relay's own: number of the stanza */
	uint32_t backlog;	/* for listen(2) */
	uint16_t family;	/* AF_INET, AF_INET6; BINDUNIX: AF_UNIX */
	uint16_t port;		/* host order; AF_UNIX: 0 */
	union {
		struct wire_inet inet;
		struct wire_unix local;
	};
};

struct wire {
	uint32_t type;
	uint32_t index;		/* NEED, HELPER, GO, DRAIN, REPORT: 0 */
	union {
		struct wire_need need;
		struct wire_addr addr;	/* BIND, BINDUNIX, LISTENER */
		struct {
			uint32_t count;
		} ready;
		struct {
			int32_t error;		/* errno or 0 */
		} bound;
		struct {
			uint32_t role;		/* enum role of the peer */
			uint32_t gen;		/* its generation */
			uint32_t worker;	/* its number, from 0 */
			uint32_t roles;		/* NEED.roles of it */
		} helper;
		struct {
			uint32_t seconds;
		} drain;
		struct {
			uint32_t what;		/* enum wire_report */
		} report;
		uint8_t raw[56];
	} u;
};

_Static_assert(sizeof(struct wire) == 64, "the wire struct is 64 bytes");

/*
 * Is every byte that this message's type does not use zero, the type known,
 * and the address of a BIND one that can be?  IPv4 or IPv6 with a keepidle of
 * at most 32767; for BINDUNIX a mode of at most 0777, a dir below DIRS_MAX,
 * and a name that is one path component, but not WIRE_NAME_NEW.  The backlog
 * is at most INT32_MAX.  Any process.
 */
bool	wire_clean(const struct wire *m);

/*
 * Sends one message, with descriptor `fd' attached unless it is -1.  Never
 * blocks, never raises SIGPIPE.  Returns 0, or -1 with errno (EAGAIN: the
 * queue is full; EPIPE: the other end is closed or sealed).  Any process.
 */
int	wire_send(int sock, const struct wire *m, int fd);

/*
 * Receives one message and the descriptor that came with it (*fd, else -1,
 * close-on-exec).  `flags' is 0 or MSG_DONTWAIT.  Returns 1, 0 at end of
 * file (P has gone), or -1 with errno; EBADMSG: not a message of this
 * protocol, and nothing was kept of it.  Children only: P reads with
 * priv/reader.c, which takes no descriptors.
 */
int	wire_recv(int sock, struct wire *m, int *fd, int flags);

#endif
