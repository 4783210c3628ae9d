/*
 * Flows between real sockets, woken by a real edge-triggered epoll: whoever
 * gives up a readiness flag too early stands still here for ever.
 *
 * wrap: read
 */
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../relay/flow.h"

#define SIZE	8192		/* buffer-size */
#define BIG	100000		/* such writes may be taken in part */
#define ALL	(IN | OUT)
#define IN	END_READABLE
#define OUT	END_WRITABLE

static char		 scratch[BIG];
static struct flow_space space = { .scratch = scratch };
static unsigned		 reads;

ssize_t	__real_read(int fd, void *buf, size_t size);
ssize_t	__wrap_read(int fd, void *buf, size_t size);

ssize_t
__wrap_read(int fd, void *buf, size_t size)
{
	reads++;
	return (__real_read(fd, buf, size));
}

/* The outer ends are the peers', the inner ones the flow's. */
struct fixture {
	int		peer_in, peer_out;
	struct endpoint from, to;
	size_t		size;
	uint64_t	bytes;
};

static void
setup(struct fixture *f)
{
	const int type = SOCK_STREAM | SOCK_NONBLOCK;
	int in[2], out[2];

	assert_int_equal(socketpair(AF_UNIX, type, 0, in), 0);
	assert_int_equal(socketpair(AF_UNIX, type, 0, out), 0);
	*f = (struct fixture){ .peer_in = in[0], .peer_out = out[0],
		.from = { .fd = in[1] }, .to = { .fd = out[1] },
		.size = SIZE };
	assert_int_equal(rest_init(&space.rests, 2, BIG), 0);
	reads = 0;
}

static void
finish(const struct fixture *f)
{
	close(f->peer_in);
	close(f->peer_out);
	close(f->from.fd);
	close(f->to.fd);
}

static enum flow_result
run(struct fixture *f)
{
	return (flow_run(&space, &f->from, &f->to, f->size, &f->bytes));
}

static void
give(int fd, size_t n)
{
	static const char block[4096];

	for (; n > sizeof(block); n -= sizeof(block))
		assert_int_equal(write(fd, block, sizeof(block)),
		    sizeof(block));
	assert_int_equal(write(fd, block, n), n);
}

static size_t
unread(int fd)
{
	int n;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return ((size_t)n);
}

/* Until the kernel takes no more. */
static void
fill(int fd)
{
	static const char block[4096];

	while (write(fd, block, sizeof(block)) > 0)
		continue;
	assert_int_equal(errno, EAGAIN);
}

static size_t
drain(int fd)
{
	char block[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = __real_read(fd, block, sizeof(block))) > 0)
		total += (size_t)n;
	return (total);
}

static void
test_events(void **state)
{
	(void)state;
	assert_int_equal(flow_events(0, EPOLLIN), IN);
	assert_int_equal(flow_events(0, EPOLLOUT), OUT);
	assert_int_equal(flow_events(OUT, EPOLLIN), ALL);
	assert_int_equal(flow_events(0, EPOLLRDHUP), IN | END_LAST | END_FIN);
	assert_int_equal(flow_events(0, EPOLLPRI), IN | END_LAST);
	assert_int_equal(flow_events(0, EPOLLHUP), ALL | END_LAST | END_FIN);
	assert_int_equal(flow_events(0, EPOLLERR), ALL | END_LAST |
	    END_ERROR);
	/* nothing is read behind the end */
	assert_int_equal(flow_events(END_EOF, EPOLLIN | EPOLLRDHUP),
	    END_EOF | END_LAST | END_FIN);
}

static void
test_after_read(void **state)
{
	(void)state;
	assert_int_equal(flow_after_read(ALL, SIZE, SIZE), ALL);
	assert_int_equal(flow_after_read(ALL, SIZE - 1, SIZE), OUT);
	assert_int_equal(flow_after_read(ALL | END_LAST, 1, SIZE),
	    ALL | END_LAST);
	assert_int_equal(flow_after_read(ALL, 0, SIZE), OUT | END_EOF);
	assert_int_equal(flow_after_read(IN | END_LAST, 0, SIZE),
	    END_LAST | END_EOF);
}

/* The read that could only say EAGAIN is not made. */
static void
test_short_read(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.from.flags = IN;
	f.to.flags = OUT;
	give(f.peer_in, 100);
	assert_int_equal(run(&f), FLOW_WAIT);
	assert_int_equal(reads, 1);
	assert_int_equal(f.bytes, 100);
	assert_int_equal(f.from.flags, 0);
	assert_int_equal(drain(f.peer_out), 100);
	/* without an event nothing is even tried */
	assert_int_equal(run(&f), FLOW_WAIT);
	assert_int_equal(reads, 1);
	finish(&f);
}

/* But when the end was announced, reading goes on until it shows. */
static void
test_announced_end(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	give(f.peer_in, 100);
	assert_int_equal(shutdown(f.peer_in, SHUT_WR), 0);
	f.from.flags = flow_events(0, EPOLLIN | EPOLLRDHUP);
	f.to.flags = OUT;
	assert_int_equal(run(&f), FLOW_DONE);
	assert_int_equal(reads, 2);
	assert_true(f.from.flags & END_EOF);
	assert_int_equal(run(&f), FLOW_DONE);
	assert_int_equal(reads, 2);
	finish(&f);
}

/* One turn of an endless stream into a bottomless pit. */
static void
test_turn(void **state)
{
	struct fixture f = { .from = { .flags = IN }, .to = { .flags = OUT },
		.size = SIZE };

	(void)state;
	f.from.fd = open("/dev/zero", O_RDONLY);
	f.to.fd = open("/dev/null", O_WRONLY);
	for (uint64_t turn = 1; turn < 4; turn++) {
		uint64_t before = f.bytes;

		assert_int_equal(run(&f), FLOW_MORE);
		assert_in_range(f.bytes - before, FLOW_TURN,
		    FLOW_TURN + SIZE - 1);
	}
	close(f.from.fd);
	close(f.to.fd);
}

/* What a receiver does not take is kept, and nothing more is read. */
static void
test_backpressure(void **state)
{
	struct fixture f;
	size_t left;

	(void)state;
	setup(&f);
	fill(f.to.fd);
	give(f.peer_in, 3 * SIZE);
	f.from.flags = IN;
	f.to.flags = OUT;
	assert_int_equal(run(&f), FLOW_WAIT);
	assert_int_equal(reads, 1);
	assert_int_equal(f.bytes, 0);
	assert_int_not_equal(f.from.rest, 0);
	assert_false(f.to.flags & OUT);
	left = unread(f.from.fd);
	assert_int_equal(left, 2 * SIZE);

	/* neither with a new event of the sender nor a false one of the
	   receiver */
	f.from.flags |= IN;
	assert_int_equal(run(&f), FLOW_WAIT);
	f.to.flags |= OUT;
	assert_int_equal(run(&f), FLOW_WAIT);
	assert_int_equal(reads, 1);
	assert_int_equal(unread(f.from.fd), left);

	drain(f.peer_out);
	f.to.flags |= OUT;
	assert_int_equal(run(&f), FLOW_WAIT);
	assert_int_equal(f.from.rest, 0);
	assert_int_equal(f.bytes, 3 * SIZE);
	assert_int_equal(drain(f.peer_out), 3 * SIZE);
	finish(&f);
}

/* The end is only passed on behind the last byte. */
static void
test_end_behind_rest(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	fill(f.to.fd);
	give(f.peer_in, 10);
	assert_int_equal(shutdown(f.peer_in, SHUT_WR), 0);
	f.from.flags = flow_events(0, EPOLLIN | EPOLLRDHUP);
	f.to.flags = OUT;
	assert_int_equal(run(&f), FLOW_WAIT);
	drain(f.peer_out);
	f.to.flags |= OUT;
	assert_int_equal(run(&f), FLOW_DONE);
	assert_int_equal(f.bytes, 10);
	finish(&f);
}

static void
test_dead_ends(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.from.flags = IN;
	f.to.flags = OUT;
	give(f.peer_in, 10);
	close(f.peer_out);
	assert_int_equal(run(&f), FLOW_TO_FAILED);
	assert_int_equal(errno, EPIPE);
	finish(&f);

	setup(&f);
	f.from.flags = IN;
	f.to.flags = OUT;
	give(f.from.fd, 10);	/* unread by the peer: its close resets */
	close(f.peer_in);
	assert_int_equal(run(&f), FLOW_FROM_FAILED);
	assert_int_equal(errno, ECONNRESET);
	finish(&f);
}

static void
watch(int epoll, int fd, uint64_t key)
{
	struct epoll_event e = { .data.u64 = key, .events = EPOLLIN |
	    EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e), 0);
}

static unsigned
draw(unsigned below)
{
	static unsigned seed = 1;

	seed = seed * 1103515245 + 12345;
	return ((seed >> 8) % below);
}

/* Runs the flow whenever epoll says so. */
static enum flow_result
step(struct fixture *f, int epoll, bool busy)
{
	struct epoll_event e[4];
	int n = epoll_wait(epoll, e, 4, busy ? 0 : -1);

	for (int i = 0; i < n; i++) {
		struct endpoint *p = e[i].data.u64 == 0 ? &f->from : &f->to;

		p->flags = flow_events(p->flags, e[i].events);
	}
	return (run(f));
}

/*
 * Some MiB in random pieces from a stuttering sender to a stuttering
 * receiver: exact, and never waiting for an edge that doesn't come.
 */
static void
test_exact(void **state)
{
	const size_t total = 8 * 1024 * 1024;
	size_t sent = 0, got = 0;
	enum flow_result result = FLOW_MORE;
	char piece[30000];
	struct fixture f;
	ssize_t n;
	int epoll = epoll_create1(0);

	(void)state;
	setup(&f);
	f.size = BIG;
	watch(epoll, f.from.fd, 0);
	watch(epoll, f.to.fd, 1);
	while (result != FLOW_DONE || got < total) {
		size_t want = 1 + draw(sizeof(piece));

		if (want > total - sent)
			want = total - sent;
		for (size_t i = 0; i < want; i++)
			piece[i] = (char)((sent + i) * 2654435761u >> 24);
		n = draw(3) == 0 ? 0 : write(f.peer_in, piece, want);
		sent += n > 0 ? (size_t)n : 0;
		if (sent == total)
			shutdown(f.peer_in, SHUT_WR);
		/* a stall would show: both peers are quiet when it waits */
		result = step(&f, epoll, true);
		n = draw(3) == 0 ? 0 : __real_read(f.peer_out, piece,
		    1 + draw(sizeof(piece)));
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(piece[i],
			    (char)(got * 2654435761u >> 24));
	}
	assert_int_equal(f.bytes, total);
	assert_int_equal(got, total);
	close(epoll);
	finish(&f);
}

/* A connected pair over TCP. */
static void
tcp_pair(int fd[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&sin, &len);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&sin, len), 0);
	fd[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_int_not_equal(fd[1], -1);
	close(listener);
}

/*
 * A read ends before an urgent byte although more is there; no further edge
 * tells of that.
 */
static void
test_urgent(void **state)
{
	struct fixture f;
	int pair[2], unacked, epoll = epoll_create1(0);

	(void)state;
	setup(&f);
	close(f.peer_in);
	close(f.from.fd);
	tcp_pair(pair);
	f.peer_in = pair[0];
	f.from.fd = pair[1];
	assert_int_equal(send(f.peer_in, "before!", 7, MSG_OOB), 7);
	assert_int_equal(send(f.peer_in, "behind", 6, 0), 6);
	/* all of it has arrived before the one edge is looked at */
	do
		assert_int_equal(ioctl(f.peer_in, SIOCOUTQ, &unacked), 0);
	while (unacked != 0);
	watch(epoll, f.from.fd, 0);
	watch(epoll, f.to.fd, 1);
	while (f.bytes < 12)
		step(&f, epoll, false);
	assert_int_equal(drain(f.peer_out), 12);
	close(epoll);
	finish(&f);
}

static void
test_rests(void **state)
{
	struct rest_pool p;
	const char *left;
	uint32_t a, b;
	size_t len;

	(void)state;
	assert_int_equal(rest_init(&p, 2, 5000), 0);
	assert_true(p.size >= 5000);
	a = rest_keep(&p, "abcdef", 6);
	b = rest_keep(&p, "xyz", 3);
	assert_int_equal(rest_sent(&p, a, 4), a);
	left = rest_bytes(&p, a, &len);
	assert_int_equal(len, 2);
	assert_memory_equal(left, "ef", 2);
	left = rest_bytes(&p, b, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(left, "xyz", 3);
	assert_int_equal(rest_sent(&p, a, 2), 0);
	rest_drop(&p, 0);
	/* the one freed last is warm */
	assert_int_equal(rest_keep(&p, "1", 1), a);
	rest_drop(&p, b);
	rest_drop(&p, a);
	assert_int_equal(rest_keep(&p, "2", 1), a);
	assert_int_equal(rest_keep(&p, "3", 1), b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_after_read),
		cmocka_unit_test(test_short_read),
		cmocka_unit_test(test_announced_end),
		cmocka_unit_test(test_turn),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_end_behind_rest),
		cmocka_unit_test(test_dead_ends),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_urgent),
		cmocka_unit_test(test_rests),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(60);		/* a stall ends here */
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
