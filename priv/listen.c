/*
 * Binds the listening sockets: per address one SO_REUSEPORT socket for each
 * worker, the same ones in every generation that has the address.  Runs in
 * P, on addresses that reader.c has checked.
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "priv.h"

#define SAME_IP(a, b) (memcmp((a)->inet.ip, (b)->inet.ip, sizeof((a)->inet.ip)) == 0)

/* What the generation has for this very address, or (cover) for one with
   the same port that covers it or is covered. */
static const struct listener *
find(const struct gen *g, const struct wire_addr *a, bool cover)
{
	static const struct wire_addr any;

	for (uint32_t i = 0; g != NULL && i < g->nbinds; i++) {
		const struct listener  *l = &g->binds[i];
		const struct wire_addr *b = &l->addr;

		if (l->error == 0 && b->family == a->family && (cover ?
		    l->port == a->port && (SAME_IP(a, b) || SAME_IP(a, &any) ||
		    SAME_IP(b, &any)) : b->port == a->port && SAME_IP(a, b) &&
		    b->inet.scope == a->inet.scope))
			return (l);
	}
	return (NULL);
}

/* A bound socket that shares its port or not; port 0: *port becomes the
   kernel's choice.  On error -1 and errno. */
static int
bind_socket(const struct wire_addr *a, uint16_t *port, int share)
{
	struct sockaddr_in6 sa = { .sin6_family = a->family,
		.sin6_port = htons(*port), .sin6_scope_id = a->inet.scope };
	socklen_t len = sizeof(sa);
	bool	  v6 = a->family == AF_INET6;
	int	  fd;

	/* sockaddr_in has its address where this one has flowinfo */
	memcpy(v6 ? (void *)&sa.sin6_addr : (void *)&sa.sin6_flowinfo, a->inet.ip,
	    v6 ? 16 : 4);
	fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (-1);
	/* REUSEADDR past what is in TIME_WAIT; after that nobody else's */
	if (fd_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    fd_option(fd, SOL_SOCKET, SO_REUSEPORT, share) &&
	    (!v6 || fd_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
	    bind(fd, (void *)&sa, len) == 0 &&
	    fd_option(fd, SOL_SOCKET, SO_REUSEADDR, 0) &&
	    getsockname(fd, (void *)&sa, &len) == 0) {
		*port = ntohs(sa.sin6_port);
		return (fd);
	}
	close(fd);	/* leaves errno alone when it succeeds */
	return (-1);
}

void
listen_open(struct listener *l, const struct gen *g)
{
	const struct gen      *running = gen_find(GEN_RUNNING);
	const struct wire_addr a = l->addr;
	const struct listener *old = find(running, &a, false);
	int		       probe = -1;

	*l = old != NULL ? *old : (struct listener){ .port = a.port };
	l->addr = a;
	l->error = find(g, &a, false) != NULL ? EADDRINUSE : 0;
	if (old != NULL || l->error != 0)
		return;
	/*
	 * SO_REUSEPORT shares a port with a second sallyport in silence; a
	 * bind without it fails.  Beside an overlapping address of our own
	 * that can't be tried, but was when that one was bound.
	 */
	if (find(g, &a, true) == NULL && find(running, &a, true) == NULL &&
	    (probe = bind_socket(&a, &l->port, 0)) == -1)
		l->error = errno;
	close(probe);
	for (uint32_t i = 0; i < workers && l->error == 0; i++)
		if ((l->fd[i] = bind_socket(&a, &l->port, 1)) == -1) {
			l->error = errno;
			while (i > 0)
				close(l->fd[--i]);
		}
}

bool
listen_start(const struct gen *g)
{
	const struct linger no = { .l_onoff = 0 };
	bool ok = true;

	for (uint32_t i = 0; i < g->nbinds * workers; i++) {
		const struct listener *l = &g->binds[i / workers];
		int idle = (int)l->addr.inet.keepidle, fd = l->fd[i % workers];

		ok = ok && (l->error != 0 ||
		    (fcntl(fd, F_SETFL, O_NONBLOCK) == 0 &&
		    setsockopt(fd, SOL_SOCKET, SO_LINGER, &no, sizeof(no)) ==
		    0 && fd_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
		    fd_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
		    fd_option(fd, SOL_SOCKET, SO_KEEPALIVE, idle != 0) &&
		    (idle == 0 ||
		    fd_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle)) &&
		    listen(fd, (int)l->addr.backlog) == 0));
	}
	return (ok);
}

void
listen_close(struct gen *g)
{
	const struct gen *other = gen_find(GEN_RUNNING);

	for (struct listener *l = g->binds; l < g->binds + g->nbinds; l++)
		if (l->error == 0 && (g == other ||
		    find(other, &l->addr, false) == NULL))
			for (uint32_t i = 0; i < workers; i++)
				close(l->fd[i]);
}
