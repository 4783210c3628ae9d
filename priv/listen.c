/*
 * The table of listening sockets: per address one for each worker, the same
 * ones in every generation that has the address.  Runs in P, on addresses
 * that reader.c has checked.
 */
#include "../common/sock.h"
#include "priv.h"

/* For unix sockets; reader.c has checked the number. */
#define DIR_OF(a)							\
	(args[ARG_DIRS + ((a)->family == AF_UNIX ? (a)->local.dir : 0)])

/* What the generation has for this very address (sock_same), or for one that
   a bind without SO_REUSEPORT would clash with (sock_overlap). */
static const struct listener *
find(const struct gen *g, const struct wire_addr *a,
    bool (*like)(const struct wire_addr *, const struct wire_addr *))
{
	for (uint32_t i = 0; g != NULL && i < g->nbinds; i++)
		if (g->binds[i].error == 0 && like(&g->binds[i].addr, a))
			return (&g->binds[i]);
	return (NULL);
}

/* The socket for worker i; -1 and errno. */
static int
open_one(struct listener *l, uint32_t i)
{
	bool local = l->addr.family == AF_UNIX;

	if (l->given != 0 || (local && i > 0))
		return (fcntl(l->given != 0 ? l->given : l->fd[0],
		    F_DUPFD_CLOEXEC, 0));
	return (local ? sock_bind_unix(&l->addr, DIR_OF(&l->addr)) :
	    sock_bind(&l->addr, &l->port, true));
}

void
listen_open(struct listener *l, const struct gen *g)
{
	const struct gen      *running = gen_find(GEN_RUNNING);
	const struct wire_addr a = l->addr;
	const struct listener *old = find(running, &a, sock_same);
	int		       probe = -1;

	*l = old != NULL ? *old : (struct listener){ .port = a.port };
	l->addr = a;
	l->error = find(g, &a, sock_same) != NULL ? EADDRINUSE : 0;
	if (old != NULL || l->error != 0)
		return;
	for (int fd = FD_GIVEN; fd < given; fd++)
		if (sock_is(fd, &a, DIR_OF(&a)))
			l->given = fd;
	/*
	 * SO_REUSEPORT shares a port with a second sallyport in silence; a
	 * bind without it fails.  Beside an overlapping address of our own
	 * that can't be tried, but was when that one was bound.
	 */
	if (l->given == 0 && a.family != AF_UNIX &&
	    find(g, &a, sock_overlap) == NULL &&
	    find(running, &a, sock_overlap) == NULL &&
	    (probe = sock_bind(&a, &l->port, false)) == -1)
		l->error = errno;
	close(probe);
	for (uint32_t i = 0; i < workers && l->error == 0; i++)
		if ((l->fd[i] = open_one(l, i)) == -1) {
			l->error = errno;
			if (i > 0 && a.family == AF_UNIX && l->given == 0)
				sock_unlink(&a, DIR_OF(&a));
			while (i > 0)
				close(l->fd[--i]);
		}
}

bool
listen_start(const struct gen *g)
{
	for (const struct listener *l = g->binds; l < g->binds + g->nbinds; l++)
		for (uint32_t i = 0; i < workers && l->error == 0; i++)
			if (!sock_start(l->fd[i], &l->addr,
			    l->given != 0 ? NULL : DIR_OF(&l->addr)))
				return (false);
	for (int fd = FD_GIVEN; fd < given; fd++) {
		uint32_t i = 0;

		while (i < g->nbinds && g->binds[i].given != fd)
			i++;
		if (i == g->nbinds)
			log_words(LEVEL_WARNING, "inherited socket ",
			    log_number((uint64_t)(fd - FD_GIVEN) + 3),
			    " (LISTEN_FDS) matches no `listen'", NULL);
	}
	return (true);
}

void
listen_close(struct gen *g)
{
	const struct gen *other = gen_find(GEN_RUNNING);

	for (struct listener *l = g->binds; l < g->binds + g->nbinds; l++)
		if (l->error == 0 && (g == other ||
		    find(other, &l->addr, sock_same) == NULL)) {
			for (uint32_t i = 0; i < workers; i++)
				close(l->fd[i]);
			if (l->addr.family == AF_UNIX && l->given == 0)
				sock_unlink(&l->addr, DIR_OF(&l->addr));
		}
}
