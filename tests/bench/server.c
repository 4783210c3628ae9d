/*
 * The server behind the proxy: one thread, one epoll.  It runs as a child of
 * the load generator and ends with it.  What a connection wants is said by
 * its first byte (enum mode).
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

#define MAX_FDS		32768
#define EVENTS		256

static uint8_t mode_of[MAX_FDS];	/* by fd */
static uint8_t data[CHUNK_MAX];
static int epfd;

static void
server_accept(int listener)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd;

	for (int i = 0; i < 64; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED)
				err(1, "server: accept");
			return;
		}
		if (fd >= MAX_FDS)
			errx(1, "server: too many connections");
		mode_of[fd] = MODE_NONE;
		ev.data.fd = fd;
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
			err(1, "server: epoll_ctl");
	}
}

/* The first bytes have come. */
static void
server_set_mode(int fd, uint8_t mode)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.fd = fd };

	mode_of[fd] = mode;
	if (mode == MODE_DOWN && epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev) < 0)
		err(1, "server: epoll_ctl");
}

/* Returns false if the connection is over. */
static bool
server_read(int fd, uint32_t chunk)
{
	uint8_t mode = mode_of[fd];
	ssize_t n;

	/* Data that nobody looks at needn't be copied: MSG_TRUNC. */
	n = recv(fd, data, chunk, mode == MODE_UP ? MSG_TRUNC : 0);
	if (n <= 0)
		return (n < 0 && errno == EAGAIN);
	if (mode == MODE_NONE) {
		mode = data[0];
		server_set_mode(fd, mode);
	}
	if (mode == MODE_UP)
		shared->sunk += (uint64_t)n;
	if (mode == MODE_ECHO)
		return (send(fd, data, (size_t)n, MSG_NOSIGNAL) == n);
	return (true);
}

static bool
server_write(int fd, uint32_t chunk)
{
	ssize_t n;

	n = send(fd, data, chunk, MSG_NOSIGNAL);
	if (n < 0)
		return (errno == EAGAIN);
	shared->sent += (uint64_t)n;
	return (true);
}

_Noreturn void
server_run(int listener, uint32_t chunk)
{
	struct epoll_event evs[EVENTS], ev = { .events = EPOLLIN };
	bool good;
	int fd, n;

	if ((epfd = epoll_create1(0)) < 0)
		err(1, "server: epoll");
	ev.data.fd = listener;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev) < 0)
		err(1, "server: epoll_ctl");
	for (;;) {
		n = epoll_wait(epfd, evs, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			fd = evs[i].data.fd;
			if (fd == listener) {
				server_accept(fd);
				continue;
			}
			if (mode_of[fd] == MODE_DOWN)
				good = server_write(fd, chunk);
			else
				good = server_read(fd, chunk);
			if (!good)
				close(fd);
		}
	}
}
