/*
 * The messages between P and its children, over socket pairs: what is sent
 * arrives, what is not a message of the protocol is refused, no descriptor
 * is ever left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/role.h"
#include "../../common/wire.h"

static int pair[2];
static int fds_before;

static int
fds_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return (n);
}

static int
setup(void **state)
{
	(void)state;
	fds_before = fds_open();
	return (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
}

static int
teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return (fds_open() == fds_before ? 0 : -1);
}

static const struct {
	uint32_t type;
	size_t used;		/* bytes of the union, as wire.h says */
} types[] = {
	{ WIRE_NEED, 12 }, { WIRE_BIND, 36 }, { WIRE_BINDUNIX, 56 },
	{ WIRE_READY, 4 },
	{ WIRE_HELPER, 16 }, { WIRE_BOUND, 4 }, { WIRE_LISTENER, 56 },
	{ WIRE_GO, 0 }, { WIRE_DRAIN, 4 }, { WIRE_REPORT, 4 },
	{ WIRE_LOG, 0 }
};
#define TYPES	(sizeof(types) / sizeof(types[0]))

/* --- wire_clean ----------------------------------------------------------- */

/* One that is clean. */
static struct wire
good(uint32_t type)
{
	struct wire m = { .type = type, .index = UINT32_MAX };

	if (type == WIRE_BIND) {
		m.u.addr.family = AF_INET6;
	} else if (type == WIRE_BINDUNIX) {
		m.u.addr.family = AF_UNIX;
		memset(m.u.addr.local.name, 'x', WIRE_NAME - 1);
	}
	return (m);
}

static void
test_clean(void **state)
{
	size_t i, byte;

	(void)state;
	for (i = 0; i < TYPES; i++)
		for (byte = types[i].used; byte < sizeof(((struct wire *)0)->u);
		    byte++) {
			struct wire m = good(types[i].type);

			assert_true(wire_clean(&m));
			m.u.raw[byte] = 0x80;
			if (wire_clean(&m))
				fail_msg("type %u, byte %zu", m.type, byte);
		}
}

static void
try_local(const struct wire *m, bool clean)
{
	if (wire_clean(m) != clean)
		fail_msg("family %u port %u mode %o dir %u name '%.*s'",
		    m->u.addr.family, m->u.addr.port, m->u.addr.local.mode,
		    m->u.addr.local.dir, WIRE_NAME, m->u.addr.local.name);
}

/* One path component that is not hidden, a mode, a directory that can be. */
static void
test_clean_unix(void **state)
{
	static const struct {
		const char *name;
		bool clean;
	} names[] = { { "", false }, { ".", false }, { "..", false },
		{ ".x", true }, { WIRE_NAME_NEW, false }, { "/", false },
		{ "/x", false }, { "x/", false }, { "x/y", false },
		{ "../x", false }, { "x", true }, { "x.y", true },
		{ "x..", true }, { "\001\377", true },
		{ "1234567890123456789012345678901", true } };
	struct wire m;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		m = good(WIRE_BINDUNIX);
		memset(m.u.addr.local.name, 0, WIRE_NAME);
		memcpy(m.u.addr.local.name, names[i].name,
		    strlen(names[i].name));
		try_local(&m, names[i].clean);
	}
	m = good(WIRE_BINDUNIX);		/* no NUL */
	m.u.addr.local.name[WIRE_NAME - 1] = 'x';
	try_local(&m, false);
	m = good(WIRE_BINDUNIX);		/* something behind it */
	m.u.addr.local.name[7] = '\0';
	try_local(&m, false);
	for (unsigned n = 0; n <= UINT16_MAX; n++) {
		m = good(WIRE_BINDUNIX);
		m.u.addr.local.mode = (uint16_t)n;
		try_local(&m, n <= 0777);
		m = good(WIRE_BINDUNIX);
		m.u.addr.local.dir = (uint16_t)n;
		try_local(&m, n < DIRS_MAX);
		m = good(WIRE_BINDUNIX);
		m.u.addr.port = (uint16_t)n;
		try_local(&m, n == 0);
		m = good(WIRE_BINDUNIX);
		m.u.addr.family = (uint16_t)n;
		try_local(&m, n == AF_UNIX);
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		m = good(WIRE_BINDUNIX);
		m.u.addr.backlog = 1u << bit;
		m.u.addr.tag = m.u.addr.local.uid = m.u.addr.local.gid =
		    1u << bit;
		try_local(&m, bit < 31);
	}
}

static void
test_clean_types(void **state)
{
	struct wire m = { 0 };
	size_t i;

	(void)state;
	for (uint32_t type = 0; type < 1000; type++) {
		for (i = 0; i < TYPES && types[i].type != type; i++)
			;
		m = good(type);
		assert_int_equal(wire_clean(&m), i < TYPES);
	}
	m.type = UINT32_MAX;
	assert_false(wire_clean(&m));
	m.type = 0x80000000u | WIRE_GO;
	assert_false(wire_clean(&m));
}

/* --- sending and receiving ------------------------------------------------ */

static void
recv_fails(int error)
{
	struct wire m;
	int fd = 4711;

	assert_int_equal(wire_recv(pair[0], &m, &fd, MSG_DONTWAIT), -1);
	assert_int_equal(errno, error);
	assert_int_equal(fd, -1);
}

static void
test_round(void **state)
{
	struct wire m, got;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < TYPES; i++) {
		m = good(types[i].type);
		m.index = 0xa0b0c0d0u + (uint32_t)i;
		if (m.type != WIRE_BIND && m.type != WIRE_BINDUNIX)
			memset(m.u.raw, 0x5a, types[i].used);
		assert_int_equal(wire_send(pair[1], &m, -1), 0);
		memset(&got, 0xff, sizeof(got));
		fd = 4711;
		assert_int_equal(wire_recv(pair[0], &got, &fd, 0), 1);
		assert_int_equal(fd, -1);
		assert_memory_equal(&got, &m, sizeof(m));
	}
	recv_fails(EAGAIN);
}

static void
test_order(void **state)
{
	struct wire m = { .type = WIRE_LISTENER };
	int fd;

	(void)state;
	for (m.index = 0; m.index < 100; m.index++)
		assert_int_equal(wire_send(pair[1], &m, -1), 0);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(wire_recv(pair[0], &m, &fd, 0), 1);
		assert_int_equal(m.index, i);
	}
}

static void
test_fd(void **state)
{
	struct wire m = { .type = WIRE_LOG, .index = 3 };
	struct stat here, there;
	int fds[2], fd;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(wire_send(pair[1], &m, fds[1]), 0);
	assert_int_equal(fstat(fds[1], &here), 0);
	close(fds[1]);
	assert_int_equal(wire_recv(pair[0], &m, &fd, 0), 1);
	assert_int_equal(m.index, 3);
	assert_int_not_equal(fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &there), 0);
	assert_int_equal(there.st_ino, here.st_ino);
	close(fd);
	close(fds[0]);
	/* and the next one has none again */
	assert_int_equal(wire_send(pair[1], &m, -1), 0);
	assert_int_equal(wire_recv(pair[0], &m, &fd, 0), 1);
	assert_int_equal(fd, -1);
}

static void
test_eof(void **state)
{
	struct wire m = { .type = WIRE_GO };
	int fd = 4711;

	(void)state;
	assert_int_equal(wire_send(pair[1], &m, -1), 0);
	close(pair[1]);
	assert_int_equal(wire_recv(pair[0], &m, &fd, 0), 1);
	for (int i = 0; i < 3; i++) {
		fd = 4711;
		assert_int_equal(wire_recv(pair[0], &m, &fd, i == 0 ? 0 :
		    MSG_DONTWAIT), 0);
		assert_int_equal(fd, -1);
	}
	pair[1] = open("/dev/null", O_RDONLY);
}

/* A full queue: EAGAIN; closed or sealed: EPIPE, and no signal. */
static void
test_send_errors(void **state)
{
	struct wire m = { .type = WIRE_GO };
	unsigned n = 0;
	int fd;

	(void)state;
	while (wire_send(pair[1], &m, -1) == 0)
		assert_in_range(++n, 1, 100000);
	assert_int_equal(errno, EAGAIN);
	assert_true(n > 100);
	while (n-- > 0)
		assert_int_equal(wire_recv(pair[0], &m, &fd, MSG_DONTWAIT), 1);
	recv_fails(EAGAIN);
	assert_int_equal(shutdown(pair[0], SHUT_RD), 0);	/* the seal */
	assert_int_equal(wire_send(pair[1], &m, -1), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(wire_send(pair[0], &m, -1), 0);
	close(pair[0]);
	assert_int_equal(wire_send(pair[1], &m, -1), -1);
	assert_int_equal(errno, EPIPE);
	pair[0] = open("/dev/null", O_RDONLY);
}

/* --- what is no message --------------------------------------------------- */

/* Sends `len' bytes and n descriptors, which are opened and closed here. */
static void
send_raw(const void *bytes, size_t len, size_t n)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[64];
	size_t i;

	for (i = 0; i < n; i++)
		fds[i] = open("/dev/null", O_RDONLY);
	if (n > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(pair[1], &msg, MSG_DONTWAIT), len);
	for (i = 0; i < n; i++)
		close(fds[i]);
}

static void
test_sizes(void **state)
{
	char bytes[256] = { 0 };
	struct wire m = { .type = WIRE_GO };
	int before = fds_open();
	size_t len;

	(void)state;
	memcpy(bytes, &m, sizeof(m));
	for (len = 1; len < sizeof(bytes); len++)
		if (len != sizeof(m)) {
			send_raw(bytes, len, 0);
			recv_fails(EBADMSG);
			send_raw(bytes, len, 1);
			recv_fails(EBADMSG);
			assert_int_equal(fds_open(), before);
		}
	recv_fails(EAGAIN);
}

/* Nothing but a descriptor: not the end of the file. */
static void
test_empty_with_fd(void **state)
{
	int before = fds_open();

	(void)state;
	send_raw("", 0, 1);
	recv_fails(EBADMSG);
	assert_int_equal(fds_open(), before);
}

/* One descriptor at most, however many come. */
static void
test_many_fds(void **state)
{
	struct wire m = { .type = WIRE_GO };
	int before = fds_open();
	size_t n;

	(void)state;
	for (n = 2; n <= 64; n++) {
		struct wire got;
		int fd;

		send_raw(&m, sizeof(m), n);
		if (wire_recv(pair[0], &got, &fd, MSG_DONTWAIT) != -1)
			fail_msg("%zu descriptors accepted", n);
		assert_int_equal(errno, EBADMSG);
		assert_int_equal(fd, -1);
		assert_int_equal(fds_open(), before);
	}
}

static void
test_unclean(void **state)
{
	struct wire m = { .type = WIRE_GO };
	int before = fds_open(), fd;

	(void)state;
	m.u.raw[55] = 1;
	send_raw(&m, sizeof(m), 0);
	recv_fails(EBADMSG);
	send_raw(&m, sizeof(m), 1);
	recv_fails(EBADMSG);
	memset(&m, 0, sizeof(m));
	m.type = 23;
	send_raw(&m, sizeof(m), 1);
	recv_fails(EBADMSG);
	assert_int_equal(fds_open(), before);
	/* and the channel is as good as before */
	m.type = WIRE_GO;
	send_raw(&m, sizeof(m), 0);
	assert_int_equal(wire_recv(pair[0], &m, &fd, 0), 1);
}

#define with_pair(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_unix),
		cmocka_unit_test(test_clean_types),
		with_pair(test_round),
		with_pair(test_order),
		with_pair(test_fd),
		with_pair(test_eof),
		with_pair(test_send_errors),
		with_pair(test_sizes),
		with_pair(test_empty_with_fd),
		with_pair(test_many_fds),
		with_pair(test_unclean),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
