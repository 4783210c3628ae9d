/*
 * The load generator of `make bench': clients in front of a proxy (this
 * process, client.c) and the server behind it (a child, server.c), on the
 * same machine; measure.c says what they used.  tests/bench/README.md
 * describes the cases.
 *
 *	load CASE [name=value ...]
 *
 * It prints a line of JSON for each window that it measured, and stops at
 * lines `mark NAME' until a byte comes on standard input, so that the driver
 * can look at the proxy meanwhile.  It ends after 60 seconds at the latest.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define SECONDS_MAX	60
#define OTHERS		4	/* streams beside the one that matters */

static struct {
	const char *to, *at, *proxy, *own;
	uint32_t n, window, ms, warm, chunk;
} op = { .n = 1, .window = 64, .ms = 500, .warm = 150, .chunk = 256U << 10 };

struct shared *shared;

/* --- cases --------------------------------------------------------------- */

static void
must(bool good, const char *what)
{
	if (!good)
		errx(1, "%s", what);
}

static void
window(const char *phase)
{
	measure_begin();
	client_run(op.ms * (NSEC / 1000));
	measure_end(phase);
}

static void
warm_up(void)
{
	client_run(op.warm * (NSEC / 1000));
}

/* n streams up, then n streams down. */
static void
case_bulk(void)
{
	must(client_open(0, op.n, MODE_UP), "could not connect");
	warm_up();
	window("up");
	client_close(0, op.n);
	must(client_open(0, op.n, MODE_DOWN), "could not connect");
	warm_up();
	window("down");
}

static void
case_conns(void)
{
	client_short(op.window);
	warm_up();
	measure_begin();
	client_run(op.ms * (NSEC / 1000));
	/* those on their way count if they end well, and fail if not */
	client_short_end();
	measure_end("conns");
}

static void
case_pingpong(void)
{
	must(client_open(0, op.n, MODE_ECHO), "could not connect");
	client_pingpong(op.n, op.window, 0);
	warm_up();
	window("pingpong");
	must(client_pingpong_end(), "an answer is missing");
}

/* n idle sessions; then messages on all of them in turn, window at a time. */
static void
case_idle(void)
{
	client_run(NSEC / 10);
	measure_mark("before");
	must(client_open(0, op.n, MODE_ECHO), "not all sessions were possible");
	client_run(NSEC / 5);
	measure_mark("open");
	window("idle");
	if (op.window == 0)
		return;
	client_pingpong(op.n, op.window < op.n ? op.window : op.n, 0);
	warm_up();
	window("busy");
	must(client_pingpong_end(), "an answer is missing");
}

/* n sessions, one byte a second on each. */
static void
case_slow(void)
{
	must(client_open(0, op.n, MODE_ECHO), "not all sessions were possible");
	client_pingpong(op.n, 0, op.n);
	warm_up();
	window("slow");
	must(client_pingpong_end(), "an answer is missing");
}

static void
bulk_beside(const char *phase)
{
	must(client_open(1, OTHERS, MODE_DOWN), "could not connect");
	warm_up();
	window(phase);
	client_close(1, OTHERS);
}

/* A client that reads for a moment and then no more; others before, after. */
static void
case_stall(void)
{
	uint64_t before;
	int calm;

	bulk_beside("before");
	client_run(NSEC / 5);
	measure_mark("before");
	must(client_open(0, 1, MODE_DOWN), "could not connect");
	client_run(NSEC / 5);
	client_stop_reading(0);
	for (calm = 0; calm < 3; calm++) {
		before = shared->sent;
		client_run(NSEC / 10);
		if (shared->sent != before)
			calm = 0;
	}
	measure_mark("stalled");
	bulk_beside("after");
}

/* Ping-pong on one session beside some streams. */
static void
case_fair(void)
{
	must(client_open(0, 1, MODE_ECHO), "could not connect");
	must(client_open(1, OTHERS, MODE_DOWN), "could not connect");
	client_pingpong(1, 1, 0);
	warm_up();
	window("fair");
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "bulk", case_bulk },
	{ "conns", case_conns },
	{ "pingpong", case_pingpong },
	{ "idle", case_idle },
	{ "slow", case_slow },
	{ "stall", case_stall },
	{ "fair", case_fair },
};

/* --- start --------------------------------------------------------------- */

static uint32_t
number(const char *text)
{
	char *end;
	unsigned long value;

	value = strtoul(text, &end, 10);
	if (*end != '\0' || end == text || value > 1U << 20)
		errx(2, "%s: a number up to 1048576 was expected", text);
	return ((uint32_t)value);
}

static void
option(char *word)
{
	char *value = strchr(word, '=');

	if (value == NULL)
		errx(2, "%s: name=value was expected", word);
	*value++ = '\0';
	if (strcmp(word, "to") == 0)
		op.to = value;
	else if (strcmp(word, "at") == 0)
		op.at = value;
	else if (strcmp(word, "proxy") == 0)
		op.proxy = value;
	else if (strcmp(word, "own") == 0)
		op.own = value;
	else if (strcmp(word, "n") == 0)
		op.n = number(value);
	else if (strcmp(word, "window") == 0)
		op.window = number(value);
	else if (strcmp(word, "ms") == 0)
		op.ms = number(value);
	else if (strcmp(word, "warm") == 0)
		op.warm = number(value);
	else if (strcmp(word, "chunk") == 0)
		op.chunk = number(value);
	else
		errx(2, "%s: no such option", word);
}

static struct sockaddr_in
address(const char *text)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char host[64];
	const char *colon = text != NULL ? strchr(text, ':') : NULL;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		errx(2, "to= and at= want ADDRESS:PORT");
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &sin.sin_addr) != 1)
		errx(2, "%s: no IPv4 address", host);
	sin.sin_port = htons((uint16_t)number(colon + 1));
	return (sin);
}

static void
start_server(void)
{
	struct sockaddr_in at = address(op.at);
	int fd, on = 1;

	if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, 4096) < 0)
		err(1, "%s", op.at);
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(SECONDS_MAX);
		server_run(fd, op.chunk);
	}
	close(fd);
}

int
main(int argc, char **argv)
{
	struct client client = { .size = 64 };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (argc > 1 && strcmp(argv[1], cases[i].name) == 0)
			break;
	if (i == sizeof(cases) / sizeof(cases[0]))
		errx(2, "usage: load CASE [name=value ...]");
	for (int j = 2; j < argc; j++)
		option(argv[j]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	alarm(SECONDS_MAX);
	start_server();
	client.to = address(op.to);
	client.window = op.window > 0 ? op.window : 64;
	client.n = (op.n > client.window ? op.n : client.window) + OTHERS + 1;
	if (strcmp(argv[1], "slow") == 0)
		client.size = 1;
	client_init(&client);
	measure_open(op.proxy, op.own);
	must(client_probe(4 * NSEC), "nothing came through");
	cases[i].run();
	return (0);
}
