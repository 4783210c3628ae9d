/*
 * The listening sockets: the same ones for the same address in every
 * generation, one for each worker, never shared with a stranger; and no
 * descriptor is left when a step fails.
 *
 * wrap: fork kill waitpid socketpair socket bind setsockopt getsockname
 */
#include "world.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

static struct fault fault_socket, fault_bind, fault_option, fault_name;

int	__wrap_socket(int domain, int type, int protocol);
int	__real_socket(int domain, int type, int protocol);
int	__wrap_bind(int fd, const struct sockaddr *sa, socklen_t len);
int	__real_bind(int fd, const struct sockaddr *sa, socklen_t len);
int	__wrap_setsockopt(int fd, int level, int name, const void *value,
	    socklen_t len);
int	__real_setsockopt(int fd, int level, int name, const void *value,
	    socklen_t len);
int	__wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int	__real_getsockname(int fd, struct sockaddr *sa, socklen_t *len);

int
__wrap_socket(int domain, int type, int protocol)
{
	return (fault_now(&fault_socket) ? -1 :
	    __real_socket(domain, type, protocol));
}

int
__wrap_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return (fault_now(&fault_bind) ? -1 : __real_bind(fd, sa, len));
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value,
    socklen_t len)
{
	return (fault_now(&fault_option) ? -1 :
	    __real_setsockopt(fd, level, name, value, len));
}

int
__wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	return (fault_now(&fault_name) ? -1 :
	    __real_getsockname(fd, sa, len));
}

static int
make(void **state)
{
	fault_socket = fault_bind = fault_option = fault_name =
	    (struct fault){ 0, 0 };
	return (world_make(state));
}

#define LISTEN_TEST(function) \
	cmocka_unit_test_setup_teardown(function, make, world_end)

/* Another program's listener; -1 and errno. */
static int
stranger(const char *ip, uint16_t port)
{
	struct sockaddr_storage ss;
	struct netaddr		a;
	socklen_t		len;
	int			fd, on = 1;

	assert_int_equal(netaddr_parse(ip, 0, &a), 0);
	a.port = port;
	len = netaddr_sockaddr(&a, &ss);
	fd = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (a.family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (void *)&ss, len) == 0 && listen(fd, 16) == 0)
		return (fd);
	on = errno;
	close(fd);
	errno = on;
	return (-1);
}

static int
option(int fd, int level, int name)
{
	int	  value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return (value);
}

/* Does somebody take connections here? */
static bool
reachable(const char *ip, uint16_t port)
{
	struct sockaddr_storage ss;
	struct netaddr		a;
	int			fd, result;

	assert_int_equal(netaddr_parse(ip, 0, &a), 0);
	a.port = port;
	fd = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	result = connect(fd, (void *)&ss, netaddr_sockaddr(&a, &ss));
	close(fd);
	return (result == 0);
}

static bool
have_ipv6(void)
{
	int fd = stranger("::1", 0);

	close(fd);
	return (fd != -1);
}

static void
test_same_sockets(void **state)
{
	struct gen *a, *b;
	uint16_t    port = free_port();
	ino_t	    inodes[3][WORKERS_MAX];
	int	    fds[WORKERS_MAX];

	(void)state;
	workers = WORKERS_MAX;
	a = run_one("127.0.0.1", port);
	for (uint32_t i = 0; i < WORKERS_MAX; i++) {
		fds[i] = a->binds[0].fd[i];
		inodes[0][i] = inode_of(fds[i]);
		for (uint32_t j = 0; j < i; j++)
			assert_true(inodes[0][j] != inodes[0][i]);
	}
	for (int n = 1; n < 3; n++) {
		b = run_one("127.0.0.1", port);
		for (uint32_t i = 0; i < WORKERS_MAX; i++) {
			assert_int_equal(b->binds[0].fd[i], fds[i]);
			inodes[n][i] = inode_of(fds[i]);
			assert_true(inodes[n][i] == inodes[0][i]);
		}
	}
	assert_true(reachable("127.0.0.1", port));
}

/* Nobody is refused while the old one hands over, or the new one fails. */
static void
test_listens_all_the_time(void **state)
{
	uint16_t    port = free_port();
	struct gen *g;

	(void)state;
	run_one("127.0.0.1", port);
	g = begin();
	assert_true(reachable("127.0.0.1", port));
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", port), 0);
	assert_true(reachable("127.0.0.1", port));
	gen_kill(g, "so it is");
	assert_true(reachable("127.0.0.1", port));
	run_one("127.0.0.1", port);
	assert_true(reachable("127.0.0.1", port));
}

/* What the new one does not have is closed at the takeover, not before. */
static void
test_address_goes(void **state)
{
	uint16_t    port = free_port();
	struct gen *old = run_one("127.0.0.1", port), *g;

	(void)state;
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.2", port), 0);
	assert_true(reachable("127.0.0.1", port));
	assert_false(reachable("127.0.0.2", port));	/* not yet */
	ready(g);
	assert_int_equal(old->state, GEN_DRAINING);
	for (uint32_t i = 0; i < 2; i++) {
		skip_messages(relay_of(old, i));
		skip_messages(relay_of(g, i));
	}
	assert_false(reachable("127.0.0.1", port));
	assert_true(reachable("127.0.0.2", port));
}

static void
test_stranger_has_it(void **state)
{
	static const char *const theirs[] = { "127.0.0.1", "0.0.0.0",
		"127.0.0.1" };
	static const char *const ours[] = { "127.0.0.1", "127.0.0.1",
		"0.0.0.0" };
	uint16_t port = free_port();

	(void)state;
	for (int i = 0; i < 3; i++) {
		int	    fd = stranger(theirs[i], port), before;
		struct gen *g = begin();

		assert_int_not_equal(fd, -1);
		need(g, 0, 0);
		before = fds_open();
		assert_int_equal(bind_to(g, ours[i], port), EADDRINUSE);
		assert_int_equal(fds_open(), before);
		close(fd);
		/* a generation with such an address can still run */
		ready(g);
		assert_int_equal(g->state, GEN_RUNNING);
		gen_kill(g, NULL);
	}
}

/* A second sallyport, of the same user, that binds as this one does. */
static void
test_second_instance(void **state)
{
	uint16_t    port = free_port();
	struct gen *first = run_one("127.0.0.1", port), *g;

	(void)state;
	first->state = GEN_DRAINING;	/* as if not ours: P looks at its own */
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", port), EADDRINUSE);
	assert_int_equal(bind_to(g, "0.0.0.0", port), EADDRINUSE);
	gen_kill(g, NULL);
	first->state = GEN_RUNNING;
}

/* It has bound, and does not listen yet. */
static void
test_second_instance_loads(void **state)
{
	uint16_t    port = free_port();
	struct gen *first = begin(), *g;

	(void)state;
	need(first, 0, 0);
	assert_int_equal(bind_to(first, "127.0.0.1", port), 0);
	first->state = GEN_DRAINING;
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", port), EADDRINUSE);
	assert_int_equal(bind_to(g, "0.0.0.0", port), EADDRINUSE);
	gen_kill(g, NULL);
	first->state = GEN_LOADING;
	ready(first);
	assert_int_equal(first->state, GEN_RUNNING);
}

static void
test_twice_in_one(void **state)
{
	uint16_t    port = free_port();
	struct gen *g;

	(void)state;
	for (int i = 0; i < 2; i++) {	/* new, then taken over */
		g = begin();
		need(g, 0, 0);
		assert_int_equal(bind_to(g, "127.0.0.1", port), 0);
		assert_int_equal(bind_to(g, "127.0.0.1", port), EADDRINUSE);
		assert_int_equal(bind_to(g, "127.0.0.1", port), EADDRINUSE);
		ready(g);
		assert_int_equal(g->state, GEN_RUNNING);
	}
}

/* Old and new addresses may cover each other, both ways. */
static void
test_overlap(void **state)
{
	static const char *const ips[] = { "127.0.0.1", "0.0.0.0",
		"127.0.0.1", "127.0.0.2", "0.0.0.0" };
	uint16_t    port = free_port();
	struct gen *g = NULL;

	(void)state;
	for (int i = 0; i < 5; i++) {
		g = run_one(ips[i], port);
		assert_true(reachable(i == 3 ? "127.0.0.2" : "127.0.0.1",
		    port));
	}
	gen_kill(g, NULL);
	g = begin();		/* within one generation too */
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "0.0.0.0", port), 0);
	assert_int_equal(bind_to(g, "127.0.0.1", port), 0);
	if (!have_ipv6())
		return;
	assert_int_equal(bind_to(g, "::", port), 0);
	assert_int_equal(bind_to(g, "::1", port), 0);
}

static void
test_port_zero(void **state)
{
	struct gen	*g;
	struct netaddr	 a;
	struct sockaddr_storage ss;
	uint16_t	 port;

	(void)state;
	workers = WORKERS_MAX;
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", 0), 0);
	port = g->binds[0].port;
	assert_int_not_equal(port, 0);
	for (uint32_t i = 0; i < WORKERS_MAX; i++) {
		socklen_t len = sizeof(ss);

		assert_int_equal(getsockname(g->binds[0].fd[i], (void *)&ss,
		    &len), 0);
		assert_int_equal(netaddr_from((void *)&ss, len, &a), 0);
		assert_int_equal(a.port, port);
	}
	ready(g);
	g = begin();		/* the same one next time */
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", 0), 0);
	assert_int_equal(g->binds[0].port, port);
}

static void
test_ipv6(void **state)
{
	uint16_t    port = free_port();
	struct gen *g;

	(void)state;
	if (!have_ipv6())
		skip();
	g = run_one("::", port);
	assert_int_equal(option(g->binds[0].fd[1], IPPROTO_IPV6, IPV6_V6ONLY),
	    1);
	assert_true(reachable("::1", port));
	assert_false(reachable("127.0.0.1", port));
	g = begin();		/* other scopes are other addresses */
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "::", port), 0);
	assert_int_equal(bind_to(g, "0.0.0.0", port), 0);
	assert_int_not_equal(bind_to(g, "fe80::1%99", port), 0);
}

static int
lingers(int fd)
{
	struct linger l = { .l_onoff = -1 };
	socklen_t     len = sizeof(l);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len), 0);
	return (l.l_onoff);
}

/* What a relay could do, were it not for its sandbox. */
static void
spoil(int fd)
{
	const struct linger l = { .l_onoff = 1 };
	int		    off = 0;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)),
	    0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &off,
	    sizeof(off)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* What accepted sockets inherit is set anew at each takeover. */
static void
test_options(void **state)
{
	uint16_t port = free_port();

	(void)state;
	for (uint32_t idle = 90; idle <= 90; idle -= 30) {
		struct gen *g = begin();
		struct wire m;

		need(g, 0, 0);
		m = bind_message(g, "127.0.0.1", port);
		m.u.addr.inet.keepidle = idle;
		say(relay_of(g, 0), &m);
		ready(g);
		assert_int_equal(g->state, GEN_RUNNING);
		for (uint32_t i = 0; i < 2; i++) {
			int fd = g->binds[0].fd[i];

			assert_int_equal(option(fd, SOL_SOCKET,
			    SO_ACCEPTCONN), 1);
			assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY),
			    1);
			assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE),
			    idle != 0);
			if (idle != 0)
				assert_int_equal(option(fd, IPPROTO_TCP,
				    TCP_KEEPIDLE), (int)idle);
			assert_int_equal(lingers(fd), 0);
			assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK,
			    0);
			assert_int_not_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC,
			    0);
			spoil(fd);
		}
	}
}

/* A relay had shut them down: the next takeover repairs them. */
static void
test_repair(void **state)
{
	uint16_t    port = free_port();
	struct gen *g = run_one("127.0.0.1", port);

	(void)state;
	assert_true(reachable("127.0.0.1", port));
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(shutdown(g->binds[0].fd[i], SHUT_RD), 0);
	assert_false(reachable("127.0.0.1", port));
	g = run_one("127.0.0.1", port);
	assert_true(reachable("127.0.0.1", port));
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(option(g->binds[0].fd[i], SOL_SOCKET,
		    SO_ACCEPTCONN), 1);
}

/* Each call of a BIND fails once: the relay is told, nothing stays open. */
static void
try_faults(struct fault *fault, int error, unsigned least)
{
	uint16_t    port = free_port();
	struct gen *g = begin();
	unsigned    n = 0;
	int	    before, result;

	need(g, 0, 0);
	before = fds_open();
	for (;;) {
		*fault = (struct fault){ ++n, error };
		result = bind_to(g, "127.0.0.1", port);
		assert_int_equal(g->state, GEN_LOADING);
		if (result == 0)	/* the failed ones do not matter */
			break;
		assert_int_equal(result, error);
		assert_int_equal(fds_open(), before);
	}
	assert_true(n > least);
	*fault = (struct fault){ 0, 0 };
	assert_int_equal(fds_open(), before + (int)workers);
}

/* The probe and one for each of two workers. */
static void
test_errors(void **state)
{
	(void)state;
	try_faults(&fault_bind, EACCES, 3);
}

static void
test_socket_errors(void **state)
{
	(void)state;
	/* not the descriptor -1's EBADF */
	try_faults(&fault_socket, EMFILE, 3);
}

static void
test_option_errors(void **state)
{
	(void)state;
	try_faults(&fault_option, ENOPROTOOPT, 6);
}

static void
test_name_errors(void **state)
{
	(void)state;
	try_faults(&fault_name, ENOBUFS, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LISTEN_TEST(test_same_sockets),
		LISTEN_TEST(test_listens_all_the_time),
		LISTEN_TEST(test_address_goes),
		LISTEN_TEST(test_stranger_has_it),
		LISTEN_TEST(test_second_instance),
		LISTEN_TEST(test_second_instance_loads),
		LISTEN_TEST(test_twice_in_one),
		LISTEN_TEST(test_overlap),
		LISTEN_TEST(test_port_zero),
		LISTEN_TEST(test_ipv6),
		LISTEN_TEST(test_options),
		LISTEN_TEST(test_repair),
		LISTEN_TEST(test_errors),
		LISTEN_TEST(test_socket_errors),
		LISTEN_TEST(test_option_errors),
		LISTEN_TEST(test_name_errors)
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
