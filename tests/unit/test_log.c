/*
 * The log client, over a socket pair of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/log.h"

static int pair[2];

struct message {
	struct log_head head;
	size_t len;			/* behind the head */
	char body[2 * LOG_MAX];
};

static int
setup(void **state)
{
	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == -1)
		return (-1);
	log_socket = pair[1];
	return (0);
}

/* The count of lost lines outlives a test: it goes with the next line. */
static int
teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	if (setup(NULL) == -1)
		return (-1);
	log_text(LEVEL_DEBUG, "the last");
	log_socket = -1;
	close(pair[0]);
	close(pair[1]);
	return (0);
}

/* Reads one message; false: there is none. */
static bool
take(struct message *m)
{
	char buf[sizeof(m->head) + sizeof(m->body)];
	ssize_t n = recv(pair[0], buf, sizeof(buf), MSG_DONTWAIT);

	if (n == -1) {
		assert_int_equal(errno, EAGAIN);
		return (false);
	}
	assert_in_range(n, sizeof(m->head) + 1, LOG_MAX);
	memcpy(&m->head, buf, sizeof(m->head));
	m->len = (size_t)n - sizeof(m->head);
	memcpy(m->body, buf + sizeof(m->head), m->len);
	assert_int_equal(m->head.magic, LOG_MAGIC);
	assert_int_equal(m->body[m->len - 1], '\0');
	return (true);
}

static void
expect(enum log_level level, const char *text)
{
	struct message m;

	assert_true(take(&m));
	assert_int_equal(m.head.level, level);
	assert_int_equal(m.head.nfields, 0);
	assert_int_equal(m.head.lost, 0);
	assert_string_equal(m.body, text);
	assert_int_equal(m.len, strlen(text) + 1);
}

/* Of each level no target wants nothing is sent. */
static void
test_unwanted(void **state)
{
	struct message m;

	(void)state;
	for (int most = LEVEL_OFF; most <= LEVEL_DEBUG; most++) {
		log_most = (enum log_level)most;
		for (int level = LEVEL_ERROR; level <= LEVEL_DEBUG; level++) {
			assert_int_equal(log_wants((enum log_level)level),
			    level <= most);
			log_text((enum log_level)level, "x");
			assert_int_equal(take(&m), level <= most);
		}
	}
	assert_int_equal(log_most, LEVEL_DEBUG);
}

static void
test_text(void **state)
{
	(void)state;
	log_text(LEVEL_NOTICE, "one %d %s", 1, "two");
	log_text(LEVEL_DEBUG, "%s", "");
	errno = ENOENT;
	log_warnx("no errno");
	log_error("none either, %u", 7u);
	expect(LEVEL_NOTICE, "one 1 two");
	expect(LEVEL_DEBUG, "");
	expect(LEVEL_WARNING, "no errno");
	expect(LEVEL_ERROR, "none either, 7");
}

static void
test_errno(void **state)
{
	(void)state;
	errno = ENOENT;
	log_warn("open %s", "x");
	assert_int_equal(errno, ENOENT);
	log_text(LEVEL_INFO, "%m");
	assert_int_equal(errno, ENOENT);
	expect(LEVEL_WARNING, "open x: No such file or directory");
	expect(LEVEL_INFO, "No such file or directory");
	shutdown(pair[1], SHUT_WR);		/* sending fails now */
	errno = EINTR;
	log_warnx("x");
	log_error("x");
	log_text(LEVEL_INFO, "x");
	assert_int_equal(errno, EINTR);
}

/* A text that is too long is cut, with its NUL inside LOG_MAX. */
static void
test_long(void **state)
{
	char text[4 * LOG_MAX];
	struct log_line l;
	struct message m;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_text(LEVEL_INFO, "%s", text);
	assert_true(take(&m));
	assert_in_range(strlen(m.body), 512, LOG_MAX);
	assert_int_equal(strlen(m.body), m.len - 1);
	log_begin(&l, LEVEL_INFO, text);
	log_str(&l, "key", "value");
	log_num(&l, "n", 1);
	log_send(&l);
	assert_true(take(&m));
	assert_int_equal(m.head.nfields, 0);
	assert_int_equal(strlen(m.body), m.len - 1);
	assert_int_equal(sizeof(m.head) + m.len, LOG_MAX);
}

static void
test_fields(void **state)
{
	static const char want[] = "closed\0sclient\0" "192.0.2.1:7\0nbytes\0"
	    "18446744073709551615\0sempty\0";
	struct log_line l;
	struct message m;

	(void)state;
	log_begin(&l, LEVEL_NOTICE, "closed");
	log_str(&l, "client", "192.0.2.1:7");
	log_num(&l, "bytes", UINT64_MAX);
	log_str(&l, "empty", "");
	log_send(&l);
	assert_true(take(&m));
	assert_int_equal(m.head.level, LEVEL_NOTICE);
	assert_int_equal(m.head.nfields, 3);
	assert_int_equal(m.len, sizeof(want));
	assert_memory_equal(m.body, want, sizeof(want));
}

/* A field that does not fit is left out; a shorter one behind it is not. */
static void
test_field_too_long(void **state)
{
	char value[LOG_MAX];
	struct log_line l;
	struct message m;
	size_t rest;

	(void)state;
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	log_begin(&l, LEVEL_INFO, "text");
	log_str(&l, "long", value);
	log_num(&l, "short", 5);
	rest = LOG_MAX - l.len - sizeof("sfit");
	value[rest] = '\0';			/* one too many */
	log_str(&l, "fit", value);
	value[rest - 1] = '\0';
	log_str(&l, "fit", value);
	assert_int_equal(l.len, LOG_MAX);
	log_num(&l, "more", 5);
	log_send(&l);
	assert_true(take(&m));
	assert_int_equal(m.head.nfields, 2);
	assert_int_equal(sizeof(m.head) + m.len, LOG_MAX);
	assert_memory_equal(m.body, "text\0nshort\0" "5\0sfit\0vv", 21);
}

static void
test_many_fields(void **state)
{
	struct log_line l;
	struct message m;
	unsigned i;

	(void)state;
	log_begin(&l, LEVEL_INFO, "");
	for (i = 0; i < 300; i++)
		log_str(&l, "k", "");
	log_send(&l);
	assert_true(take(&m));
	assert_int_equal(m.head.nfields, 255);
	assert_int_equal(m.len, 1 + 255 * 4);
}

/*
 * A full queue never blocks: what does not fit is counted, and the count
 * comes with the next line that does, once.
 */
static void
test_full(void **state)
{
	struct message m;
	unsigned sent = 0, lost = 0, got = 0;
	char probe = 0;

	(void)state;
	do {
		log_text(LEVEL_INFO, "line %u", sent++);
		assert_in_range(sent, 1, 100000);
	} while (send(pair[1], &probe, 0, MSG_DONTWAIT) == 0);
	assert_int_equal(errno, EAGAIN);
	for (lost = 0; lost < 7; lost++)
		log_text(LEVEL_INFO, "lost");
	while (recv(pair[0], &m, sizeof(m), MSG_DONTWAIT) != -1)
		got++;
	assert_true(got >= sent);
	log_text(LEVEL_INFO, "again");
	assert_true(take(&m));
	assert_string_equal(m.body, "again");
	/* the last one of the first loop may have been lost, too */
	assert_in_range(m.head.lost, 7, 8);
	log_text(LEVEL_INFO, "and again");
	assert_true(take(&m));
	assert_int_equal(m.head.lost, 0);
	assert_false(take(&m));
}

/* A report's line that does not fit is sent again, so it is not lost. */
static void
test_try(void **state)
{
	struct log_line l;
	struct message m;

	(void)state;
	log_begin_report(&l, "of a report");
	log_num(&l, "n", 1);
	while (log_try(&l))
		continue;
	assert_false(log_try(&l));
	while (take(&m))
		assert_int_equal(m.head.lost, 0);
	assert_true(log_try(&l));
	assert_true(take(&m));
	assert_int_equal(m.head.level, LOG_REPORT | LEVEL_NOTICE);
	assert_int_equal(m.head.lost, 0);
	assert_string_equal(m.body, "of a report");
	/* but others that were lost stay counted */
	while (log_try(&l))
		continue;
	log_text(LEVEL_INFO, "lost");
	assert_false(log_try(&l));
	while (take(&m))
		continue;
	assert_true(log_try(&l));
	assert_true(take(&m));
	assert_int_equal(m.head.lost, 1);
}

/* Nobody reads any more: no signal, no exit. */
static void
test_closed(void **state)
{
	struct message m;

	(void)state;
	close(pair[0]);
	log_text(LEVEL_INFO, "nobody");
	log_text(LEVEL_INFO, "listens");
	close(pair[1]);
	assert_int_equal(setup(NULL), 0);
	log_text(LEVEL_INFO, "back");
	assert_true(take(&m));
	assert_int_equal(m.head.lost, 2);
}

/* Runs `f' in a child whose standard error is a pipe; its exit status. */
static int
run(void (*f)(void), char *out, size_t size)
{
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		f();
		_exit(77);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (WEXITSTATUS(status));
}

static void
plain(void)
{
	log_socket = -1;
	log_text(LEVEL_NOTICE, "to %s", "you");
	log_warnx("and you");
}

static void
dies(void)
{
	errno = EACCES;
	fatal("cannot %s", "go on");
}

static void
dies_plainly(void)
{
	log_socket = -1;
	errno = EACCES;
	fatalx("cannot go on");
}

static void
test_plain(void **state)
{
	char out[256];

	(void)state;
	assert_int_equal(run(plain, out, sizeof(out)), 77);
	assert_string_equal(out, "sallyport: to you\nsallyport: and you\n");
}

static void
test_fatal(void **state)
{
	char out[256];

	(void)state;
	assert_int_equal(run(dies, out, sizeof(out)), 1);
	assert_string_equal(out, "");
	expect(LEVEL_ERROR, "cannot go on: Permission denied");
	assert_int_equal(run(dies_plainly, out, sizeof(out)), 1);
	assert_string_equal(out, "sallyport: cannot go on\n");
}

#define with_pair(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_pair(test_unwanted),
		with_pair(test_text),
		with_pair(test_errno),
		with_pair(test_long),
		with_pair(test_fields),
		with_pair(test_field_too_long),
		with_pair(test_many_fields),
		with_pair(test_full),
		with_pair(test_try),
		with_pair(test_closed),
		with_pair(test_plain),
		with_pair(test_fatal),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
