/*
 * One outgoing socket: making it as its route says, and finding out what
 * became of it.  Runs in the dialer; touches that socket.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "dialer.h"

bool
route_source(const struct route *r, int family, struct netaddr *source)
{
	struct netaddr addrs[LOOKUP_ADDRS];
	unsigned       n = 1;

	if (r->source.name != NAME_NONE)
		n = name_addrs(r->source.name, addrs);
	else
		addrs[0] = r->source.addr;
	for (unsigned i = 0; i < n; i++)
		if (addrs[i].family == family) {
			*source = addrs[i];
			return (true);
		}
	return (false);
}

static int
set_option(int fd, int protocol, int option, int value)
{
	return (setsockopt(fd, protocol, option, &value, sizeof(value)));
}

/* The options that accepted sockets have from their listener. */
static int
set_options(int fd, const struct route *r)
{
	if (set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) == -1)
		return (-1);
	if (r->keepidle == 0)
		return (0);
	if (set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) == -1)
		return (-1);
	return (set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)r->keepidle));
}

static int
bind_source(int fd, const struct netaddr *source)
{
	struct sockaddr_storage ss;
	socklen_t		len = netaddr_sockaddr(source, &ss);

	/* lets connections share a port: the kernel may do without */
	(void)set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return (bind(fd, (struct sockaddr *)&ss, len));
}

/* What a socket that can't be made means. */
static uint32_t
no_socket(void)
{
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM)
		return (DIAL_LIMIT);
	return ((uint32_t)errno);
}

uint32_t
socket_connect(int *fd, const struct route *r, const struct netaddr *to,
    const struct netaddr *source)
{
	struct sockaddr_storage ss;
	socklen_t		len = netaddr_sockaddr(to, &ss);

	*fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    IPPROTO_TCP);
	if (*fd == -1)
		return (no_socket());
	if (set_options(*fd, r) == -1)
		return ((uint32_t)errno);
	if (source != NULL && bind_source(*fd, source) == -1)
		return (errno == EADDRNOTAVAIL ? DIAL_SOURCE :
		    (uint32_t)errno);
	/* a connection that is there at once is told by an event, too */
	if (connect(*fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS)
		return ((uint32_t)errno);
	return (0);
}

uint32_t
socket_connect_unix(int *fd, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	_Static_assert(sizeof(sun.sun_path) == DIAL_PATH, "room for paths");
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (*fd == -1)
		*fd = socket(AF_UNIX,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd == -1)
		return (no_socket());
	if (connect(*fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		return ((uint32_t)errno);
	return (0);
}

uint32_t
socket_result(int fd, uint32_t events)
{
	socklen_t len = sizeof(int);
	int	  error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return ((uint32_t)errno);
	if (error != 0)
		return ((uint32_t)error);
	/* only what is connected may ever leave this process: a closed
	   socket, even one without error, has EPOLLHUP */
	if ((events & (EPOLLOUT | EPOLLHUP)) != EPOLLOUT)
		return (ECONNRESET);
	return (0);
}
