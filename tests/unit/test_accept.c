/*
 * Accepting when there is no room: shortages of the system, of which tests
 * with real processes can make only some, and limits.
 *
 * wrap: accept4 epoll_ctl close setsockopt
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/log.h"
#include "../../relay/relay.h"

#define SLOTS	8
#define STANZAS	2
#define CLIENTS	1000		/* such numbers have their descriptors */

int	__wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int	__wrap_epoll_ctl(int fd, int op, int which, struct epoll_event *e);
int	__wrap_close(int fd);
int	__real_close(int fd);
int	__wrap_setsockopt(int fd, int level, int name, const void *value,
	    socklen_t len);

static int accept_error;	/* of accept4(2); 0: a client */
static int watch_error;		/* of EPOLL_CTL_ADD for a client */
static unsigned accepts, clients, closed;
static uint64_t now;

static struct conf_stanza stanzas[STANZAS];
static struct route routes[STANZAS];
static struct listener listeners[STANZAS];
static struct session sessions[SLOTS];
static struct timer timers[SLOTS + TIMER_OTHERS];
static struct dial_req requests[DIAL_QUEUE(SLOTS)];
static const struct child child = { .role = ROLE_RELAY };
static struct relay relay;
static int pair[2];

int
__wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	(void)fd;
	(void)flags;
	accepts++;
	if (accept_error != 0) {
		errno = accept_error;
		return (-1);
	}
	memset(sa, 0, sizeof(struct sockaddr_in));
	sa->sa_family = AF_INET;
	*len = sizeof(struct sockaddr_in);
	return (CLIENTS + (int)clients++);
}

int
__wrap_epoll_ctl(int fd, int op, int which, struct epoll_event *e)
{
	(void)fd;
	(void)e;
	if (op == EPOLL_CTL_ADD && which >= CLIENTS && watch_error != 0) {
		errno = watch_error;
		return (-1);
	}
	return (0);
}

int
__wrap_close(int fd)
{
	if (fd < CLIENTS)
		return (__real_close(fd));
	closed++;
	return (0);
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value,
    socklen_t len)
{
	(void)fd;
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	return (0);
}

static int
setup(void **state)
{
	(void)state;
	now = 1000000;
	accept_error = watch_error = 0;
	accepts = clients = closed = 0;
	memset(sessions, 0, sizeof(sessions));
	memset(timers, 0, sizeof(timers));
	relay = (struct relay){
		.now = now, .routes = routes, .listeners = listeners,
		.child = &child,
		.conf = { .stanzas = stanzas, .nstanzas = STANZAS },
		.nlisteners = STANZAS, .limits.fds = 1000,
		.sessions = { .slot = sessions, .count = SLOTS },
		.acceptor = { .fds = 10, .fds_most = 1000 },
		.dialer = { .fd = 5, .queue = requests,
		    .size = DIAL_QUEUE(SLOTS) }
	};
	for (uint32_t i = 0; i < STANZAS; i++) {
		stanzas[i].backlog = 16;
		routes[i] = (struct route){ .limit = SLOTS, .dial_time = 1 };
		listeners[i] = (struct listener){ .fd = 6, .stanza = i,
			.addr = { .family = AF_INET,
			    .port = (uint16_t)(80 + i) } };
	}
	timer_init(&relay.wheel, timers, SLOTS + TIMER_OTHERS, now);
	accept_start(&relay);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == -1)
		return (-1);
	log_socket = pair[1];
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	log_socket = -1;
	close(pair[0]);
	close(pair[1]);
	return (0);
}

/* The next log line that contains the text; false: there is none. */
static bool
said(const char *text)
{
	char buf[LOG_MAX];

	while (recv(pair[0], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		if (strstr(buf + sizeof(struct log_head), text) != NULL)
			return (true);
	return (false);
}

/* Time goes on; returns whether accepting was looked at again. */
static bool
pass(uint64_t ms)
{
	uint32_t i;
	bool looked = false;

	relay.now = now += ms;
	while ((i = timer_expired(&relay.wheel, now)) != TIMER_NONE)
		if (i == SLOTS + TIMER_ACCEPT) {
			accept_timer(&relay);
			looked = true;
		}
	return (looked);
}

/*
 * Every shortage pauses: nothing is tried until a time has passed, which
 * grows; the log is told once a second; then all goes on.
 */
static void
test_shortage(void **state)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		unsigned waits = 0, lines = 0;

		setup(state);
		accept_error = errors[i];
		accept_event(&relay, 0);
		assert_int_equal(accepts, 1);
		assert_int_equal(listeners[0].state, LISTENER_PARKED);
		assert_int_equal(accept_room(&relay, &listeners[0]),
		    ACCEPT_PAUSED);
		assert_int_equal(accept_room(&relay, &listeners[1]),
		    ACCEPT_PAUSED);
		assert_true(said(strerror(errors[i])));
		/* nor the other one, nor when a session has ended */
		accept_event(&relay, 1);
		relay.acceptor.room = true;
		accept_resume(&relay);
		assert_int_equal(accepts, 1);
		assert_false(accept_wants_turn(&relay));
		assert_false(pass(90));
		/* 100, 200, 400, 800, 1000, 1000 ms */
		for (; waits < 350; waits++)
			if (pass(10)) {
				accept_resume(&relay);
				lines += said(strerror(errors[i]));
			}
		/* of descriptors it is known how many are too many */
		assert_in_range(accepts, errors[i] == EMFILE ? 1 : 5, 8);
		assert_in_range(lines, errors[i] == EMFILE ? 0 : 2, 4);
		accept_error = 0;
		while (!pass(10))
			continue;
		/* what that error leaves to be found out takes more time */
		for (waits = 0; clients < 2; waits++) {
			accept_resume(&relay);
			assert_in_range(waits, 0, 200);
			pass(100);
		}
		assert_int_equal(relay.acceptor.paused, false);
		teardown(state);
	}
}

/* Errors that are those of one client. */
static void
test_no_shortage(void **state)
{
	static const int errors[] = { ECONNABORTED, EINTR, EPERM, EPROTO,
		EHOSTUNREACH, ENETDOWN };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		accepts = 0;
		accept_error = errors[i];
		accept_event(&relay, 0);
		assert_int_equal(accepts, ACCEPT_BATCH);
		assert_int_equal(listeners[0].state, LISTENER_WATCHED);
	}
	accepts = 0;
	accept_error = EAGAIN;
	accept_event(&relay, 0);
	assert_int_equal(accepts, 1);
	assert_int_equal(listeners[0].state, LISTENER_WATCHED);
	assert_false(said(""));
}

/* A client that can't be watched is closed, and counts as refused. */
static void
test_not_watched(void **state)
{
	(void)state;
	watch_error = ENOSPC;
	accept_event(&relay, 0);
	assert_int_equal(accepts, 1);
	assert_int_equal(closed, 1);
	assert_int_equal(listeners[0].refused, 1);
	assert_int_equal(listeners[0].accepted, 0);
	assert_int_equal(relay.sessions.used, 0);
	assert_int_equal(relay.acceptor.fds, 10);
	assert_int_equal(accept_room(&relay, &listeners[0]), ACCEPT_PAUSED);
	assert_true(said(strerror(ENOSPC)));
}

/* Each reason has its name, its line, and an end. */
static void
test_limits(void **state)
{
	(void)state;
	routes[0].limit = 3;
	accept_event(&relay, 0);
	assert_int_equal(clients, 3);
	assert_int_equal(listeners[0].state, LISTENER_WATCHED);
	assert_int_equal(listeners[0].pauses, 0);
	assert_false(said(""));		/* does anybody wait?  Not known yet */
	accept_event(&relay, 0);
	assert_int_equal(listeners[0].state, LISTENER_PARKED);
	assert_int_equal(listeners[0].pauses, 1);
	assert_int_equal(accept_room(&relay, &listeners[0]),
	    ACCEPT_LISTENER_FULL);
	assert_true(said("wait: it has its limit of 3 sessions"));

	/* the line about the other reason is not hushed up by that one */
	accept_event(&relay, 1);
	assert_int_equal(clients, SLOTS);
	accept_event(&relay, 1);
	assert_int_equal(accept_room(&relay, &listeners[1]),
	    ACCEPT_RELAY_FULL);
	assert_true(said("wait: this relay has its limit of 8 sessions"));

	/* no turn before a session has ended, then at once */
	accept_resume(&relay);
	assert_int_equal(clients, SLOTS);
	session_event(&relay, 0, sessions[0].serial, SIDE_CLIENT, EPOLLHUP);
	assert_true(accept_wants_turn(&relay));
	accept_resume(&relay);
	assert_int_equal(clients, SLOTS + 1);
	assert_int_equal(relay.sessions.used, SLOTS);
}

static void
test_descriptors(void **state)
{
	(void)state;
	relay.acceptor.fds_most = 10 + 2 * 2 + 3;
	accept_event(&relay, 0);
	assert_int_equal(clients, 2);
	accept_event(&relay, 0);
	assert_int_equal(accept_room(&relay, &listeners[0]), ACCEPT_NO_FDS);
	assert_true(said("wait: 14 of at most 17 descriptors are in use"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shortage),
		cmocka_unit_test_setup_teardown(test_no_shortage, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_not_watched, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup,
		    teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
