/*
 * Binding listening sockets.  Runs in P; touches the network's names, and
 * inside the directories of --socket-dir the file system.
 */
#include "sock.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

#define SAME_IP(a, b) \
	(memcmp((a)->inet.ip, (b)->inet.ip, sizeof((a)->inet.ip)) == 0)

union address {
	struct sockaddr	    sa;
	struct sockaddr_in  in;
	struct sockaddr_in6 in6;
	struct sockaddr_un  un;
};

static union address
address(const struct wire_addr *a, const char *dir, const char *name)
{
	union address u = { .un.sun_family = a->family };

	if (a->family == AF_UNIX) {
		/* start/ and reader.c have seen to it that this fits */
		stpcpy(stpcpy(stpcpy(u.un.sun_path, dir), "/"), name);
	} else if (a->family == AF_INET) {
		u.in.sin_port = htons(a->port);
		memcpy(&u.in.sin_addr, a->inet.ip, sizeof(u.in.sin_addr));
	} else {
		u.in6.sin6_port = htons(a->port);
		memcpy(&u.in6.sin6_addr, a->inet.ip, sizeof(u.in6.sin6_addr));
		u.in6.sin6_scope_id = a->inet.scope;
	}
	return (u);
}

int
sock_bind(const struct wire_addr *a, uint16_t *port, bool share)
{
	union address u = address(a, "", "");
	socklen_t     len = sizeof(u.in6);
	int	      fd;

	u.in.sin_port = htons(*port);
	fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return (-1);
	/* REUSEADDR past what is in TIME_WAIT; after that nobody else's */
	if (fd_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    fd_option(fd, SOL_SOCKET, SO_REUSEPORT, share) &&
	    (a->family == AF_INET ||
	    fd_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
	    bind(fd, &u.sa, len) == 0 &&
	    fd_option(fd, SOL_SOCKET, SO_REUSEADDR, 0) &&
	    getsockname(fd, &u.sa, &len) == 0) {
		*port = ntohs(u.in.sin_port);
		return (fd);
	}
	close(fd);	/* leaves errno alone when it succeeds */
	return (-1);
}

bool
sock_same(const struct wire_addr *a, const struct wire_addr *b)
{
	return (a->family == b->family && (a->family == AF_UNIX ?
	    a->local.dir == b->local.dir &&
	    strcmp(a->local.name, b->local.name) == 0 :
	    a->port == b->port && a->inet.scope == b->inet.scope &&
	    SAME_IP(a, b)));
}

bool
sock_overlap(const struct wire_addr *a, const struct wire_addr *b)
{
	static const struct wire_addr any;

	return (a->family == b->family && a->port == b->port &&
	    (SAME_IP(a, b) || SAME_IP(a, &any) || SAME_IP(b, &any)));
}

/* P owns it for a moment: it may change only what is its own. */
static bool
own(const char *path, const struct wire_unix *l)
{
	return (lchown(path, l->uid, l->gid) == 0 &&	/* may it be so? */
	    lchown(path, geteuid(), getegid()) == 0 &&
	    chmod(path, l->mode) == 0 && lchown(path, l->uid, l->gid) == 0);
}

bool
sock_start(int fd, const struct wire_addr *a, const char *dir)
{
	const struct linger no = { .l_onoff = 0 };
	int		    idle = (int)a->inet.keepidle;

	return (fcntl(fd, F_SETFL, O_NONBLOCK) == 0 &&
	    (a->family == AF_UNIX ? dir == NULL ||
	    own(address(a, dir, a->local.name).un.sun_path, &a->local) ||
	    errno == ENOENT :	/* somebody has removed it: go on without */
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &no, sizeof(no)) == 0 &&
	    fd_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    fd_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
	    fd_option(fd, SOL_SOCKET, SO_KEEPALIVE, idle != 0) &&
	    (idle == 0 || fd_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle))) &&
	    listen(fd, (int)a->backlog) == 0);
}

void
sock_unlink(const struct wire_addr *a, const char *dir)
{
	unlink(address(a, dir, a->local.name).un.sun_path);
}

/* errno is 0 when the name is free, or a dead socket's. */
static void
try_name(int fd, const union address *u)
{
	struct stat st;

	errno = 0;
	if (lstat(u->un.sun_path, &st) == -1)
		errno = errno == ENOENT ? 0 : errno;
	else if (!S_ISSOCK(st.st_mode))
		errno = EEXIST;
	/* without DAC_OVERRIDE connecting, too, is for the owner */
	else if (lchown(u->un.sun_path, geteuid(), (gid_t)-1) == 0 &&
	    connect(fd, &u->sa, sizeof(u->un)) == -1 && errno == ECONNREFUSED)
		errno = 0;
	else if (lchown(u->un.sun_path, st.st_uid, st.st_gid) == 0)
		errno = EADDRINUSE;
}

int
sock_bind_unix(const struct wire_addr *a, const char *dir)
{
	union address u = address(a, dir, a->local.name);
	union address new = address(a, dir, WIRE_NAME_NEW);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return (-1);
	try_name(fd, &u);
	if (errno == 0) {
		unlink(new.un.sun_path);
		if (bind(fd, &new.sa, sizeof(new.un)) == 0) {
			/* until it listens it would look dead to others */
			if (listen(fd, 1) == 0 &&
			    own(new.un.sun_path, &a->local) &&
			    rename(new.un.sun_path, u.un.sun_path) == 0)
				return (fd);
			unlink(new.un.sun_path);
		}
	}
	close(fd);
	return (-1);
}

bool
sock_is(int fd, const struct wire_addr *a, const char *dir)
{
	union address u = address(a, dir, a->local.name);
	union address is = { .un.sun_path = "" };
	socklen_t     len = sizeof(is);

	return (getsockname(fd, &is.sa, &len) == 0 &&
	    memcmp((char *)&is, (char *)&u, sizeof(u)) == 0);
}
