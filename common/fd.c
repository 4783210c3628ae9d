/*
 * Helpers for descriptors, and the clock.  Runs in every process.
 */
#include "fd.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

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

void
fd_place(const int *fds, int n, int at)
{
	int high[32];

	/* first out of the way: one may stand in another's place */
	for (int i = 0; i < n; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
	for (int i = 0; i < n; i++) {
		if (dup2(high[i], at + i) == -1)
			close(at + i);
		close(high[i]);
	}
}

uint64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
}
