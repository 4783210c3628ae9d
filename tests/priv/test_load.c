/*
 * The load of a generation: helpers, binds, the seal, the handing over of
 * the listeners and the takeover; and what remains of it when any step
 * fails.
 *
 * wrap: fork kill waitpid socketpair shutdown sendmsg listen
 */
#include "world.h"

#define EVENTS_MAX	8192

/* What P did to channels, in order. */
static struct event {
	enum { SEAL, MESSAGE } what;
	int	 fd;
	uint32_t type;
} events[EVENTS_MAX];
static size_t	    nevents;
static struct fault fault_shutdown, fault_listen;

int	__wrap_shutdown(int fd, int how);
int	__real_shutdown(int fd, int how);
int	__wrap_listen(int fd, int backlog);
int	__real_listen(int fd, int backlog);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);

static void
note(struct event e)
{
	if (nevents < EVENTS_MAX)
		events[nevents++] = e;
}

int
__wrap_shutdown(int fd, int how)
{
	if (fault_now(&fault_shutdown))
		return (-1);
	if (how == SHUT_RD)
		note((struct event){ SEAL, fd, 0 });
	return (__real_shutdown(fd, how));
}

int
__wrap_listen(int fd, int backlog)
{
	if (fault_now(&fault_listen))
		return (-1);
	return (__real_listen(fd, backlog));
}

/* Log lines go the same way; they are no messages. */
ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (fd != log_pair[1])
		note((struct event){ MESSAGE, fd,
		    ((const struct wire *)msg->msg_iov[0].iov_base)->type });
	return (__real_sendmsg(fd, msg, flags));
}

static int
make(void **state)
{
	nevents = 0;
	fault_shutdown = fault_listen = (struct fault){ 0, 0 };
	return (world_make(state));
}

#define LOAD_TEST(function) \
	cmocka_unit_test_setup_teardown(function, make, world_end)

/* The next message is of this type. */
static struct wire
expect(const struct proc *p, uint32_t type, int *fd)
{
	struct wire m;
	int	    got;

	if (!next_message(p, &m, &got))
		fail_msg("no message instead of one of type %u", type);
	assert_int_equal(m.type, type);
	if (fd != NULL)
		*fd = got;
	else
		assert_int_equal(got, -1);
	return (m);
}

static void
expect_nothing(const struct proc *p)
{
	struct wire m;
	int	    fd;

	if (next_message(p, &m, &fd))
		fail_msg("a message of type %u is there", m.type);
}

/* A HELPER of this role; returns the channel to it. */
static int
expect_helper(const struct proc *p, uint32_t role, uint32_t worker)
{
	int		  fd;
	const struct wire m = expect(p, WIRE_HELPER, &fd);

	assert_int_not_equal(fd, -1);
	assert_int_equal(m.u.helper.role, role);
	assert_int_equal(m.u.helper.gen, p->gen->number);
	assert_int_equal(m.u.helper.worker, worker);
	return (fd);
}

static void
assert_joined(int a, int b)
{
	char byte = 'x';

	assert_int_equal(send(a, &byte, 1, 0), 1);
	byte = 0;
	assert_int_equal(recv(b, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'x');
	close(a);
	close(b);
}

static struct proc *
only(const struct gen *g, uint32_t role, uint32_t worker)
{
	struct proc *p = NULL;

	while ((p = proc_next(p, g, role)) != NULL)
		if (p->worker == worker)
			return (p);
	fail_msg("there is no process of role %u", role);
	return (NULL);
}

static unsigned
count(const struct gen *g, uint32_t role)
{
	struct proc *p = NULL;
	unsigned     n = 0;

	while ((p = proc_next(p, g, role)) != NULL)
		n++;
	return (n);
}

static void
test_helpers(void **state)
{
	(void)state;
	for (uint32_t roles = 0; roles < 4; roles++) {
		struct gen *g = begin();
		bool	    resolver = (roles & NEED_RESOLVER) != 0;
		bool	    lookup = (roles & NEED_LOOKUP) != 0;

		need(g, roles, 0);
		assert_int_equal(count(g, ROLE_RELAY), 2);
		assert_int_equal(count(g, ROLE_DIALER), 2);
		assert_int_equal(count(g, ROLE_RESOLVER), resolver);
		assert_int_equal(count(g, ROLE_LOOKUP), lookup);
		if (lookup)
			assert_joined(expect_helper(relay_of(g, 0),
			    ROLE_LOOKUP, 0), expect_helper(only(g,
			    ROLE_LOOKUP, 0), ROLE_RELAY, 0));
		for (uint32_t i = 0; i < 2; i++) {
			const struct proc *dialer = only(g, ROLE_DIALER, i);

			if (resolver)	/* it hears of this one first */
				assert_joined(expect_helper(dialer,
				    ROLE_RESOLVER, 0), expect_helper(only(g,
				    ROLE_RESOLVER, 0), ROLE_DIALER, i));
			assert_joined(expect_helper(dialer, ROLE_RELAY, i),
			    expect_helper(relay_of(g, i), ROLE_DIALER, i));
			expect_nothing(dialer);
			expect_nothing(relay_of(g, i));
		}
		gen_kill(g, NULL);
	}
}

/* The dialers of all workers hang on the same resolver, each on its own
   channel; READY of one relay says nothing about the others. */
static void
test_all_must_be_ready(void **state)
{
	struct gen *g;

	(void)state;
	workers = WORKERS_MAX;
	g = begin();
	need(g, NEED_RESOLVER, 0);
	for (uint32_t i = WORKERS_MAX; i-- > 0;) {
		struct proc	 *p = relay_of(g, i);
		const struct wire m = ready_message(g, p);

		assert_int_equal(g->state, GEN_LOADING);
		say(p, &m);
	}
	assert_int_equal(g->state, GEN_RUNNING);
}

/* No listener, no GO, before every channel of the generation is sealed. */
static void
test_seal_comes_first(void **state)
{
	struct gen  *g;
	struct proc *p = NULL;
	size_t	     seals = 0, first = 0;
	struct wire  m = { .type = WIRE_READY };

	(void)state;
	g = begin();
	need(g, NEED_RESOLVER, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", free_port()), 0);
	nevents = 0;
	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
	for (size_t i = 0; i < nevents; i++) {
		if (events[i].what == SEAL)
			seals++;
		else if (first == 0 && (events[i].type == WIRE_LISTENER ||
		    events[i].type == WIRE_GO))
			first = i;
		if (events[i].what == SEAL && first != 0)
			fail_msg("a seal after the first listener");
	}
	assert_true(first > 0);
	assert_int_equal(seals, 2 + 2 + 1);
	while ((p = proc_next(p, g, ROLE_COUNT)) != NULL) {
		assert_int_equal(wire_send(end_of(p), &m, -1), -1);
		assert_int_equal(errno, EPIPE);
		/* the other direction works */
		assert_int_equal(wire_send(p->ctl, &m, -1), 0);
	}
}

/* The one-shot resolver is dead before READY counts; it ends by itself. */
static void
test_lookup_dies_first(void **state)
{
	struct gen  *g = begin();
	struct proc *lookup;
	int	     fd;

	(void)state;
	need(g, NEED_LOOKUP, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", free_port()), 0);
	skip_messages(relay_of(g, 0));
	skip_messages(relay_of(g, 1));
	lookup = only(g, ROLE_LOOKUP, 0);
	ready(g);
	assert_int_equal(g->state, GEN_LOADING);
	expect_nothing(relay_of(g, 0));
	expect_nothing(relay_of(g, 1));
	die(lookup, 0);
	assert_int_equal(g->state, GEN_RUNNING);
	expect(relay_of(g, 0), WIRE_LISTENER, &fd);
	close(fd);
}

/* It may die by itself, before the others are READY or after. */
static void
test_lookup_dies_early(void **state)
{
	struct gen *g = begin();

	(void)state;
	need(g, NEED_LOOKUP, 0);
	die(only(g, ROLE_LOOKUP, 0), 0);
	assert_int_equal(g->state, GEN_LOADING);
	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
}

/* Each relay gets its own socket of each address, in order, then GO. */
static void
test_handover(void **state)
{
	struct gen *g = begin();
	uint16_t    port = free_port();

	(void)state;
	need(g, 0, 0);
	assert_int_equal(bind_to(g, "127.0.0.1", port), 0);
	assert_int_not_equal(bind_to(g, "192.0.2.1", port), 0);	/* a hole */
	assert_int_equal(bind_to(g, "127.0.0.2", 0), 0);
	skip_messages(relay_of(g, 0));
	skip_messages(relay_of(g, 1));
	ready(g);
	for (uint32_t i = 0; i < 2; i++) {
		const struct proc *p = relay_of(g, i);
		struct wire	   m;
		int		   fd;

		m = expect(p, WIRE_LISTENER, &fd);
		assert_int_equal(m.index, 0);
		assert_int_equal(m.u.addr.tag, 7);
		assert_int_equal(m.u.addr.port, port);
		assert_int_equal(inode_of(fd), inode_of(g->binds[0].fd[i]));
		close(fd);
		m = expect(p, WIRE_LISTENER, &fd);
		assert_int_equal(m.index, 2);
		assert_int_not_equal(m.u.addr.port, 0);
		assert_int_equal(m.u.addr.port, g->binds[2].port);
		assert_int_equal(inode_of(fd), inode_of(g->binds[2].fd[i]));
		close(fd);
		expect(p, WIRE_GO, NULL);
		expect_nothing(p);
	}
	assert_true(inode_of(g->binds[0].fd[0]) !=
	    inode_of(g->binds[0].fd[1]));
}

/*
 * More listeners than a queue holds: P waits with a deadline, the running
 * generation runs on, and the rest goes when there is room.
 */
static void
test_full_queue(void **state)
{
	enum { MANY = 700 };
	struct gen  *old, *g;
	struct proc *p;
	uint32_t     next = 0;
	struct wire  m;
	char	     ip[20];
	int	     fd;

	(void)state;
	workers = 1;
	old = run_one("127.0.0.1", free_port());
	g = begin();
	need(g, 0, 0);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(ip, sizeof(ip), "127.1.%u.%u", i / 250, i % 250 + 1);
		assert_int_equal(bind_to(g, ip, 0), 0);
	}
	p = relay_of(g, 0);
	skip_messages(p);
	ready(g);
	for (unsigned rounds = 0; g->state == GEN_HANDOVER; rounds++) {
		assert_true(load_due(p));
		assert_int_not_equal(g->deadline, 0);
		assert_int_equal(old->state, GEN_RUNNING);
		assert_true(rounds < MANY);
		load_send(g);		/* nothing has changed */
		assert_int_equal(g->state, GEN_HANDOVER);
		m = expect(p, WIRE_LISTENER, &fd);
		assert_int_equal(m.index, next);
		assert_int_equal(inode_of(fd), inode_of(g->binds[next].fd[0]));
		next++;
		close(fd);
		load_send(g);
	}
	assert_true(next > 0);
	assert_int_equal(g->state, GEN_RUNNING);
	assert_int_equal(g->deadline, 0);
	assert_int_equal(old->state, GEN_DRAINING);
	while (next < MANY) {
		m = expect(p, WIRE_LISTENER, &fd);
		assert_int_equal(m.index, next++);
		close(fd);
	}
	expect(p, WIRE_GO, NULL);
	expect_nothing(p);
}

/* Its end at any time before the takeover leaves the old one running. */
static void
test_death_while_loading(void **state)
{
	struct gen *old = run_one("127.0.0.1", free_port());
	int	    fds = fds_open();

	(void)state;
	for (uint32_t role = ROLE_RELAY; role <= ROLE_RESOLVER; role++)
		for (uint32_t worker = 0; worker < 2; worker++)
			for (int full = 0; full < 2; full++) {
				struct gen *g = begin();

				if (role == ROLE_RESOLVER && worker > 0)
					worker = 0;
				need(g, NEED_RESOLVER, 0);
				bind_to(g, "127.0.0.1", 0);
				while (full && wire_send(relay_of(g, 1)->ctl,
				    &(struct wire){ .type = WIRE_REPORT },
				    -1) == 0)
					continue;
				if (full) {
					ready(g);
					assert_int_equal(g->state,
					    GEN_HANDOVER);
				}
				hush();
				die(only(g, role, worker), 1 << 8);
				assert_int_equal(g->state, GEN_FREE);
				assert_said("exited with status 1");
				assert_said("was not started: ");
				assert_int_equal(old->state, GEN_RUNNING);
				assert_int_equal(fds_open(), fds);
				if (role == ROLE_RESOLVER)
					worker = 1;
			}
}

/* Deaths are told with what killed; SIGSYS is explained. */
static void
test_death_is_told(void **state)
{
	struct gen *g = begin();

	(void)state;
	need(g, 0, 0);
	die(relay_of(g, 1), SIGSYS);
	assert_said("signal 31");
	assert_said("forbidden system call");
}

/* A running generation that has lost one is broken, not killed. */
static void
test_death_while_running(void **state)
{
	struct gen *g = run_one("127.0.0.1", free_port());

	(void)state;
	assert_false(g->broken);
	die(only(g, ROLE_DIALER, 0), SIGSEGV);
	assert_true(g->broken);
	assert_int_equal(g->state, GEN_RUNNING);
	assert_int_equal(kid_of(relay_of(g, 0)->pid)->sig, 0);
	assert_int_equal(kid_of(relay_of(g, 1)->pid)->sig, 0);
}

/* A draining one ends with its last relay. */
static void
test_death_while_draining(void **state)
{
	struct gen *g = run_one("127.0.0.1", free_port());

	(void)state;
	load_drain(g);
	die(relay_of(g, 0), 0);
	assert_int_equal(g->state, GEN_DRAINING);
	die(only(g, ROLE_DIALER, 0), 0);
	assert_int_equal(g->state, GEN_DRAINING);
	die(relay_of(g, 1), 0);
	assert_int_equal(g->state, GEN_FREE);
	assert_null(proc_next(NULL, NULL, ROLE_COUNT));
}

static void
test_takeover(void **state)
{
	uint16_t    port = free_port();
	struct gen *old = run_one("127.0.0.1", port), *g;

	(void)state;
	old->need.drain = 9;
	g = run_one("127.0.0.1", port);
	assert_int_equal(old->state, GEN_DRAINING);
	assert_int_equal(gen_find(GEN_RUNNING) == g, true);
	for (uint32_t i = 0; i < 2; i++) {
		struct wire m = expect(relay_of(old, i), WIRE_DRAIN, NULL);

		assert_int_equal(m.u.drain.seconds, 9);
		expect_nothing(relay_of(old, i));
	}
	assert_int_not_equal(old->deadline, 0);
}

/* Without a limit for draining there is none once DRAIN was queued; until
   then there is one in any case. */
static void
test_drain_deadline(void **state)
{
	const struct wire m = { .type = WIRE_REPORT };
	struct gen	 *g = run_one("127.0.0.1", free_port());

	(void)state;
	while (wire_send(relay_of(g, 1)->ctl, &m, -1) == 0)
		continue;
	load_drain(g);
	assert_int_equal(g->state, GEN_DRAINING);
	assert_int_not_equal(g->deadline, 0);
	assert_true(load_due(relay_of(g, 1)));
	assert_false(load_due(relay_of(g, 0)));
	skip_messages(relay_of(g, 1));
	load_send(g);
	assert_int_equal(g->deadline, 0);
	expect(relay_of(g, 1), WIRE_DRAIN, NULL);
}

/* No more than 18 generations: the oldest draining one goes. */
static void
test_too_many_draining(void **state)
{
	uint16_t    port = free_port();
	struct gen *first = run_one("127.0.0.1", port);
	unsigned    n = 0;

	(void)state;
	for (int i = 0; i < GEN_MAX - 2; i++)
		run_one("127.0.0.1", port);
	hush();
	/* one that is refused costs nobody's sessions */
	gen_start(-1);
	gen_kill(gen_find(GEN_LOADING), "test");
	assert_int_equal(first->state, GEN_DRAINING);
	run_one("127.0.0.1", port);
	assert_said("too many drain");
	assert_int_equal(first->state, GEN_FREE);
	for (int i = 0; i < GEN_MAX; i++)
		n += gens[i].state == GEN_DRAINING;
	assert_int_equal(n, GEN_MAX - 2);
}

/* Loads with everything, until a fault ends it; false: there was none. */
static bool
load_all(uint16_t port)
{
	struct gen *g;
	struct wire m;

	gen_start(-1);
	if ((g = gen_find(GEN_LOADING)) == NULL)
		return (true);
	need(g, NEED_RESOLVER | NEED_LOOKUP, 0);
	for (unsigned i = 1; i <= 2 && g->state == GEN_LOADING; i++) {
		m = bind_message(g, i == 1 ? "127.0.0.1" : "127.0.0.2", port);
		say(relay_of(g, 0), &m);
	}
	ready(g);
	if (g->state == GEN_LOADING)
		die(only(g, ROLE_LOOKUP, 0), SIGKILL);
	if (g->state == GEN_RUNNING)
		return (false);
	assert_int_equal(g->state, GEN_FREE);
	return (true);
}

/*
 * Each system call of a load fails once, in turn: the newcomer goes, with
 * all its descriptors, and the running one does not notice.
 */
static void
try_faults(struct fault *fault, int error, unsigned least)
{
	uint16_t    port = free_port();
	struct gen *old = run_one("127.0.0.1", port);
	int	    fds = fds_open();
	unsigned    n = 0;

	do {
		assert_int_equal(old->state, GEN_RUNNING);
		assert_int_equal(fds_open(), fds);
		hush();
		*fault = (struct fault){ ++n, error };
	} while (load_all(port) && said("was not started: "));
	*fault = (struct fault){ 0, 0 };
	assert_int_equal(old->state, GEN_DRAINING);
	assert_true(n > least);
}

static void
test_fork_fails(void **state)
{
	(void)state;
	try_faults(&fault_fork, EAGAIN, 6);
}

static void
test_socketpair_fails(void **state)
{
	(void)state;
	try_faults(&fault_pair, EMFILE, 17);
}

static void
test_seal_fails(void **state)
{
	(void)state;
	try_faults(&fault_shutdown, ENOTCONN, 5);
}

static void
test_listen_fails(void **state)
{
	(void)state;
	try_faults(&fault_listen, EADDRINUSE, 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LOAD_TEST(test_helpers),
		LOAD_TEST(test_all_must_be_ready),
		LOAD_TEST(test_seal_comes_first),
		LOAD_TEST(test_lookup_dies_first),
		LOAD_TEST(test_lookup_dies_early),
		LOAD_TEST(test_handover),
		LOAD_TEST(test_full_queue),
		LOAD_TEST(test_death_while_loading),
		LOAD_TEST(test_death_is_told),
		LOAD_TEST(test_death_while_running),
		LOAD_TEST(test_death_while_draining),
		LOAD_TEST(test_takeover),
		LOAD_TEST(test_drain_deadline),
		LOAD_TEST(test_too_many_draining),
		LOAD_TEST(test_fork_fails),
		LOAD_TEST(test_socketpair_fails),
		LOAD_TEST(test_seal_fails),
		LOAD_TEST(test_listen_fails)
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
