/*
 * What a service manager gives in the environment: listening sockets and an
 * address for notes about the daemon's state.  Runs in the sallyport command.
 */
#include "service.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/role.h"

#define FIRST	3	/* descriptor, by convention */
#define AWAY	128	/* where nothing is placed later */

static uint64_t
number(const char *variable, uint64_t max)
{
	const char *text = getenv(variable);
	uint64_t    value = 0;

	if (text != NULL && fmt_number(text, max, &value) == -1)
		fatalx("environment: %s=%s: expected a number up to %llu",
		    variable, text, (unsigned long long)max);
	return (value);
}

static int
option(int fd, int level, int name)
{
	int	  value = -1;
	socklen_t len = sizeof(value);

	return (getsockopt(fd, level, name, &value, &len) == 0 ? value :
	    -1);
}

int
service_sockets(int fds[SERVICE_SOCKETS])
{
	int n = 0;

	if (getenv("LISTEN_PID") == NULL ||
	    number("LISTEN_PID", INT32_MAX) != (uint64_t)getpid())
		return (0);	/* meant for another process, or none */
	for (int fd = FIRST; fd < FIRST +
	    (int)number("LISTEN_FDS", SERVICE_SOCKETS); fd++) {
		if (option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
		    option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
			fatalx("inherited descriptor %d (LISTEN_FDS): "
			    "expected a listening stream socket", fd);
		if (option(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6 &&
		    option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 1)
			fatalx("inherited descriptor %d (LISTEN_FDS): expected "
			    "IPv6 only (BindIPv6Only=ipv6-only)", fd);
		fds[n] = fcntl(fd, F_DUPFD_CLOEXEC, AWAY);
		if (fds[n++] == -1)
			fatal("inherited descriptor %d", fd);
		close(fd);
	}
	return (n);
}

int
service_notify(void)
{
	const char	  *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t	   len;
	int		   fd;

	if (path == NULL)
		return (-1);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(path));
	if ((path[0] != '/' && path[0] != '@') || len > sizeof(sun))
		fatalx("environment: NOTIFY_SOCKET=%s: expected a path or an "
		    "abstract name of at most %d bytes", path,
		    (int)sizeof(sun.sun_path));
	memcpy(sun.sun_path, path, strlen(path));
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, len) == -1)
		fatal("environment: NOTIFY_SOCKET=%s", path);
	return (fd);
}
