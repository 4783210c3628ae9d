/*
 * The parts of the dialer: the sealed table (dial_table.c), its names
 * (dial_names.c), the connections being made (dial_try.c) and the loop
 * around them (dialer.c).
 */
#ifndef HELPERS_DIALER_H
#define HELPERS_DIALER_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

#include "../common/dial.h"

/* --- dial_table.c: routes and what they lead to --- */

#define DIAL_REMOTES	16		/* at most, for one route */
#define NAME_NONE	UINT32_MAX

struct target {
	struct netaddr addr;		/* port always; family 0: use `name';
					   AF_UNIX: use table_path() */
	uint32_t       name;		/* its number, or NAME_NONE */
	uint32_t       path;		/* AF_UNIX: its number */
};

struct route {
	uint32_t      connect_timeout;	/* ms */
	uint32_t      keepidle;		/* s, 0: off */
	bool	      has_source;
	struct target source;
	uint32_t      first, count;	/* its targets */
};

/*
 * Receives the table up to DIAL_END; any error is fatal, and so is a unix
 * remote that P did not announce.  Returns the number of routes.
 */
uint32_t table_receive(int relay, bool unix_remotes);

/* The Landlock rules that follow from the table. */
void	table_confine(void);

uint32_t table_routes(void);
const struct route *table_route(uint32_t i);
const struct target *table_target(const struct route *r, uint32_t i);
/* Of a unix socket: its path, and a number for the caller's use, first 0. */
const char *table_path(const struct target *t);
uint32_t *table_mark(const struct target *t);

/* --- dial_names.c: names and their addresses --- */

struct dial;
TAILQ_HEAD(dial_list, dial);

/* While loading: the number of this name, known already or new. */
uint32_t name_add(const char *text, uint32_t family, uint32_t interval);
uint32_t names_count(void);

/*
 * Asks the resolver for all names.  Of several dialers with the same names
 * one is enough to tell the log.
 */
void	names_start(int resolver, bool tell);

/* Copies the addresses last heard of; returns their number. */
unsigned name_addrs(uint32_t i, struct netaddr addrs[LOOKUP_ADDRS]);

/*
 * Has the name looked up now, unless that was done within the last second.
 * Returns true when an answer is under way.
 */
bool	name_ask(uint32_t i);

/* The dials that wait for that answer: see dial_resume(). */
struct dial_list *name_waiters(uint32_t i);

void	names_event(uint32_t events);
void	names_expire(uint64_t now);
int	names_wait(uint64_t now);

/* --- dial_socket.c: one socket --- */

/* The route's source address of this family; false: it has none. */
bool	route_source(const struct route *r, int family,
	    struct netaddr *source);

/*
 * Makes a socket that connects to `to'.  Returns 0, or what to put into the
 * reply; *fd may be open then, too.
 */
uint32_t socket_connect(int *fd, const struct route *r,
	    const struct netaddr *to, const struct netaddr *source);

/*
 * Makes a socket, if *fd is -1, and connects it to a unix socket.  Returns 0:
 * connected, there is no waiting; EAGAIN: the server's queue is full, try the
 * same socket again; else what to put into the reply.
 */
uint32_t socket_connect_unix(int *fd, const char *path);

/* What became of it: 0 when it is connected, and only then. */
uint32_t socket_result(int fd, uint32_t events);

/* --- dial_try.c: one connection for each request --- */

/* Memory for so many at once. */
void	dial_init(uint32_t n);

/* Is there room for the requests of one more message? */
bool	dial_room(void);

/* The two requests; what they ask was checked. */
void	dial_open(const struct dial_req *req);
void	dial_cancel(const struct dial_req *req);

/* Goes on with the dials that waited for this name. */
void	dial_resume(uint32_t name);

/*
 * Sends replies as long as the relay's queue takes them.  Returns 0 when all
 * are sent, else the errno.
 */
int	dial_flush(int relay);

void	dial_event(uint32_t i, uint32_t epoch, uint32_t events);
void	dial_expire(uint64_t now);
int	dial_wait(uint64_t now);

/* --- dialer.c: the loop --- */

/* What an event belongs to; lower numbers are those of the dials. */
#define EVENT_CTL	UINT32_MAX
#define EVENT_RELAY	(UINT32_MAX - 1)
#define EVENT_RESOLVER	(UINT32_MAX - 2)

/*
 * epoll_ctl(2).  Events come back with id and epoch, so that late ones can
 * be told.  Returns 0, or -1 with errno.
 */
int	loop_watch(int op, int fd, uint32_t events, uint32_t id,
	    uint32_t epoch);

/* Always before close(2): P and others may hold the description too. */
void	loop_unwatch(int fd);

#endif
