/*
 * The clients in front of the proxy: one thread, one epoll, a table of
 * connections.  A connection of MODE_ECHO carries messages of a fixed size,
 * one at a time, and the time until it is back is taken down; the others
 * carry as much as goes through in one direction.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define EVENTS		256
#define CHUNK		(256U << 10)
#define GIVE_UP		(3 * NSEC)	/* on a short connection */

enum state { FREE, OPENING, WAITING, IDLE, BULK, DEAD };

struct conn {
	int fd;
	enum state state;
	enum mode mode;
	uint32_t got;		/* of the message that is on its way back */
	uint64_t start;
};

static struct client cf;
static struct conn *conns;
static uint32_t *idle;			/* ring: who sends next */
static uint32_t idle_head, idle_n;
static uint32_t opening, busy, pace;
static uint64_t received, paced, pace_start;
static uint8_t message[CHUNK_MAX], data[CHUNK_MAX];
static bool shorts, pingpong;
static int epfd;

uint64_t
client_received(void)
{
	return (received);
}

void
client_init(const struct client *client)
{
	cf = *client;
	conns = calloc(cf.n, sizeof(*conns));
	idle = calloc(cf.n, sizeof(*idle));
	epfd = epoll_create1(0);
	if (conns == NULL || idle == NULL || epfd < 0)
		err(1, "client");
	memset(message, 'x', sizeof(message));
}

/* --- one connection ------------------------------------------------------ */

static void
conn_watch(struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(epfd, op, c->fd, &ev) < 0)
		err(1, "client: epoll_ctl");
}

static void
conn_idle(struct conn *c)
{
	c->state = IDLE;
	idle[(idle_head + idle_n++) % cf.n] = (uint32_t)(c - conns);
}

static void
conn_fail(struct conn *c)
{
	if (c->state == OPENING)
		opening--;
	if (c->state == WAITING)
		busy--;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = DEAD;
	count_fails++;
}

/* The first message, as soon as it goes: that is the end of connect(). */
static void
conn_first(struct conn *c, bool again)
{
	size_t size = c->mode == MODE_ECHO ? cf.size : 1;
	ssize_t n;

	message[0] = (uint8_t)c->mode;
	n = send(c->fd, message, size, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN && !again) {
		conn_watch(c, EPOLL_CTL_MOD, EPOLLOUT);
		return;
	}
	if (n != (ssize_t)size) {
		conn_fail(c);
		return;
	}
	opening--;
	c->state = BULK;
	if (c->mode == MODE_ECHO) {
		c->state = WAITING;
		busy++;
	}
	if (c->mode == MODE_UP)
		conn_watch(c, EPOLL_CTL_MOD, EPOLLOUT);
	else if (again)
		conn_watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void
conn_start(struct conn *c, enum mode mode)
{
	c->mode = mode;
	c->got = 0;
	c->start = now();
	c->state = OPENING;
	opening++;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		err(1, "client: socket");
	if (connect(c->fd, (struct sockaddr *)&cf.to, sizeof(cf.to)) < 0 &&
	    errno != EINPROGRESS) {
		conn_fail(c);
		return;
	}
	conn_watch(c, EPOLL_CTL_ADD, EPOLLIN);
	conn_first(c, false);
}

static void
conn_send(struct conn *c)
{
	c->got = 0;
	c->start = now();
	c->state = WAITING;
	busy++;
	if (send(c->fd, message, cf.size, MSG_NOSIGNAL) != (ssize_t)cf.size)
		conn_fail(c);
}

/* The whole message is back. */
static void
conn_done(struct conn *c)
{
	uint32_t next;

	hist_add(now() - c->start);
	count_ops++;
	busy--;
	if (shorts) {
		close(c->fd);
		conn_start(c, MODE_ECHO);
		return;
	}
	conn_idle(c);
	if (!pingpong || pace != 0)
		return;
	next = idle[idle_head];
	idle_head = (idle_head + 1) % cf.n;
	idle_n--;
	conn_send(&conns[next]);
}

static void
conn_receive(struct conn *c)
{
	ssize_t n;

	n = recv(c->fd, data, cf.size, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || c->state != WAITING || c->got + (size_t)n > cf.size) {
		conn_fail(c);
		return;
	}
	if (c->got == 0 && data[0] != MODE_ECHO)
		count_fails++;
	c->got += (uint32_t)n;
	if (c->got == cf.size)
		conn_done(c);
}

static void
conn_bulk(struct conn *c)
{
	ssize_t n;

	/* Data that nobody looks at needn't be copied: MSG_TRUNC. */
	if (c->mode == MODE_DOWN)
		n = recv(c->fd, data, CHUNK_MAX, MSG_TRUNC);
	else
		n = send(c->fd, message, CHUNK, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		conn_fail(c);
	else if (c->mode == MODE_DOWN)
		received += (uint64_t)n;
}

/* --- all connections ----------------------------------------------------- */

static void
wait_events(int ms)
{
	struct epoll_event evs[EVENTS];
	int n;

	n = epoll_wait(epfd, evs, EVENTS, ms);
	for (int i = 0; i < n; i++) {
		struct conn *c = evs[i].data.ptr;

		if (c->state == OPENING)
			conn_first(c, true);
		else if (c->state == BULK)
			conn_bulk(c);
		else if (c->state != DEAD)
			conn_receive(c);
	}
}

/* What is due of so many messages a second. */
static void
send_paced(uint64_t time)
{
	uint64_t due = (time - pace_start) * pace / NSEC;
	struct conn *c;

	for (; paced < due; paced++) {
		if (idle_n == 0) {	/* all still wait for their last one */
			count_fails++;
			continue;
		}
		c = &conns[idle[idle_head]];
		idle_head = (idle_head + 1) % cf.n;
		idle_n--;
		conn_send(c);
	}
}

/* Short connections that failed are tried again; those that hang, fail. */
static void
sweep_short(uint64_t time)
{
	for (uint32_t i = 0; i < cf.n; i++) {
		struct conn *c = &conns[i];

		if (c->state != DEAD && c->state != FREE &&
		    time - c->start > GIVE_UP)
			conn_fail(c);
		if (c->state == DEAD)
			conn_start(c, MODE_ECHO);
	}
}

/* Goes on for so many ns. */
void
client_run(uint64_t ns)
{
	uint64_t time = now(), end = time + ns, sweep = time;

	for (; time < end; time = now()) {
		if (shorts && time >= sweep) {
			sweep_short(time);
			sweep = time + NSEC / 10;
		}
		if (pace != 0)
			send_paced(time);
		wait_events(pace != 0 ? 10 : 20);
	}
}

/* Connections first .. first + n - 1; false if not all could be opened. */
bool
client_open(uint32_t first, uint32_t n, enum mode mode)
{
	uint64_t fails = count_fails, limit = now() + 20 * NSEC;

	for (uint32_t i = first; i < first + n; i++) {
		conn_start(&conns[i], mode);
		while (opening + busy >= cf.window && now() < limit)
			wait_events(20);
	}
	while (opening + busy > 0 && now() < limit)
		wait_events(20);
	return (opening + busy == 0 && count_fails == fails);
}

void
client_close(uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		if (conns[i].state != DEAD)
			close(conns[i].fd);
		conns[i].state = FREE;
	}
	idle_n = 0;
}

void
client_stop_reading(uint32_t i)
{
	conn_watch(&conns[i], EPOLL_CTL_DEL, 0);
}

/*
 * Messages over n idle connections, all in turn: window of them at a time
 * or, if that is 0, so many per second.
 */
void
client_pingpong(uint32_t n, uint32_t window, uint32_t per_second)
{
	idle_head = idle_n = 0;
	for (uint32_t i = 0; i < n; i++)
		conn_idle(&conns[i]);
	pingpong = true;
	pace = per_second;
	pace_start = now();
	paced = 0;
	for (uint32_t i = 0; i < window; i++) {
		idle_n--;
		idle_head = (idle_head + 1) % cf.n;
		conn_send(&conns[i]);
	}
}

/* False if an answer is missing. */
bool
client_pingpong_end(void)
{
	uint64_t limit = now() + 3 * NSEC;

	pingpong = false;
	pace = 0;
	while (busy > 0 && now() < limit)
		wait_events(20);
	return (busy == 0);
}

/* So many short connections at a time, one after the other. */
void
client_short(uint32_t n)
{
	shorts = true;
	for (uint32_t i = 0; i < n; i++)
		conn_start(&conns[i], MODE_ECHO);
}

bool
client_short_end(void)
{
	uint64_t limit = now() + GIVE_UP;

	shorts = false;
	while (opening + busy > 0 && now() < limit)
		wait_events(20);
	count_fails += opening + busy;
	return (opening + busy == 0);
}

/* Waits until one message went through the proxy and back. */
bool
client_probe(uint64_t limit)
{
	struct timeval tv = { .tv_sec = 1 };
	struct timespec pause = { .tv_nsec = 5000000 };
	char text[64] = "E";
	bool good;
	int fd;

	for (limit += now(); now() < limit; nanosleep(&pause, NULL)) {
		if ((fd = socket(AF_INET, SOCK_STREAM, 0)) < 0)
			err(1, "client: socket");
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		good = connect(fd, (struct sockaddr *)&cf.to,
		    sizeof(cf.to)) == 0 &&
		    send(fd, text, sizeof(text), MSG_NOSIGNAL) > 0 &&
		    recv(fd, text, sizeof(text), MSG_WAITALL) == sizeof(text);
		close(fd);
		if (good)
			return (true);
	}
	return (false);
}
