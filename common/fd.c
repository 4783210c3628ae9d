/*
 * Helpers for descriptors, and the clock.  Runs in every process.
 */
#include "fd.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <time.h>

bool
fd_option(int fd, int level, int option, int value)
{
	return (setsockopt(fd, level, option, &value, sizeof(value)) == 0);
}

bool
fd_pair(int pair[2])
{
	pair[0] = pair[1] = -1;
	return (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    pair) == 0);
}

int
fd_open_log(const char *path)
{
	return (open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY |
	    O_NONBLOCK | O_CLOEXEC, 0640));
}

uint64_t
clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
}
