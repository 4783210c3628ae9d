/*
 * What a child can say to P: every type of message in every state of its
 * generation, from the leader and from another relay, whole and malformed.
 * Exactly what the protocol allows is taken; anything else ends the
 * generation that said it and touches nothing else.
 *
 * wrap: fork kill waitpid socketpair recvmsg
 */
#include "world.h"

#include <sys/uio.h>

/* How far a generation is when its relay speaks. */
enum phase {
	FRESH,			/* nothing was said yet */
	NEEDED,			/* after NEED */
	BOUND,			/* after one BIND */
	WAITING,		/* after its own READY: others are missing */
	HANDOVER,
	RUNNING,
	DRAINING,
	PHASES
};

static struct gen   *running;		/* must never notice anything */
static ino_t	     running_socket;
static int	     running_fds;
static uint16_t	     running_port;
static bool	     in_reader;
static struct fault  fault_recv;

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);

/* P has no room for descriptors, and never waits. */
ssize_t
__wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (in_reader) {
		assert_null(msg->msg_control);
		assert_int_equal(msg->msg_controllen, 0);
		assert_int_equal(msg->msg_iovlen, 1);
		assert_int_equal(msg->msg_iov[0].iov_len, 64);
		assert_int_not_equal(flags & MSG_DONTWAIT, 0);
		if (fault_now(&fault_recv))
			return (-1);
	}
	return (__real_recvmsg(fd, msg, flags));
}

static void
listen_to(struct proc *p)
{
	in_reader = true;
	reader_take(p);
	in_reader = false;
}

static int
make(void **state)
{
	int result = world_make(state);

	fault_recv = (struct fault){ 0, 0 };
	running_port = free_port();
	running = run_one("127.0.0.1", running_port);
	running_socket = inode_of(running->binds[0].fd[0]);
	running_fds = fds_open();
	hush();
	return (result);
}

#define READER_TEST(function) \
	cmocka_unit_test_setup_teardown(function, make, world_end)

static void
assert_running(void)
{
	assert_int_equal(running->state, GEN_RUNNING);
	assert_int_equal(running->nbinds, 1);
	assert_int_equal(inode_of(running->binds[0].fd[0]), running_socket);
	for (uint32_t i = 0; i < workers; i++) {
		const struct proc *p = relay_of(running, i);

		assert_int_equal(kid_of(p->pid)->sig, 0);
		assert_false(p->ready && p->gen != running);
		assert_int_equal(recv(end_of(p), NULL, 0, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
	}
}

/* The newcomer is gone with all that it had; the reason was logged. */
static void
assert_refused(const struct gen *g, const char *why)
{
	if (g->state != GEN_FREE)
		fail_msg("generation %u lives on", g->number);
	assert_null(proc_next(NULL, g, ROLE_COUNT));
	assert_said("was not started: ");
	assert_said(why);
	assert_int_equal(fds_open(), running_fds);
	assert_running();
	hush();
}

static void
fill_queue(const struct proc *p)
{
	const struct wire m = { .type = WIRE_REPORT };

	while (wire_send(p->ctl, &m, -1) == 0)
		continue;
	assert_int_equal(errno, EAGAIN);
}

/* A generation that is so far; speaker is who will speak. */
static struct gen *
bring_to(enum phase phase, uint32_t speaker)
{
	struct gen *g = begin();

	if (phase >= NEEDED)
		need(g, 0, 3);
	if (phase >= BOUND)
		assert_int_equal(bind_to(g, "127.0.0.1", running_port), 0);
	if (phase == WAITING) {
		const struct wire m = ready_message(g, relay_of(g, speaker));

		say(relay_of(g, speaker), &m);
	}
	if (phase == HANDOVER)
		fill_queue(relay_of(g, 1));
	if (phase >= HANDOVER)
		ready(g);
	if (phase == DRAINING)
		load_drain(g);
	assert_int_equal(g->state, phase < HANDOVER ? GEN_LOADING :
	    phase == HANDOVER ? GEN_HANDOVER : phase == RUNNING ?
	    GEN_RUNNING : GEN_DRAINING);
	return (g);
}

/* As good a message of the type as can be. */
static struct wire
perfect(const struct gen *g, const struct proc *p, uint32_t type)
{
	if (type == WIRE_NEED)
		return (need_message(0, 0));
	if (type == WIRE_BIND)
		return (bind_message(g, "127.0.0.2", running_port));
	if (type == WIRE_READY)
		return (ready_message(g, p));
	return ((struct wire){ .type = type });
}

static bool
allowed(enum phase phase, uint32_t speaker, uint32_t type)
{
	if (type == WIRE_NEED)
		return (speaker == 0 && phase == FRESH);
	if (type == WIRE_BIND)
		return (speaker == 0 && (phase == NEEDED || phase == BOUND));
	return (type == WIRE_READY && (phase == NEEDED || phase == BOUND));
}

static void
assert_taken(const struct gen *g, const struct proc *p, uint32_t type,
    uint32_t nbinds)
{
	char byte;

	assert_int_equal(g->state, GEN_LOADING);
	assert_int_equal(g->need.version, WIRE_VERSION);
	assert_int_equal(g->nbinds, nbinds + (type == WIRE_BIND));
	assert_int_equal(p->ready, type == WIRE_READY);
	assert_int_equal(recv(p->ctl, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
	assert_false(said("was not started"));
	assert_running();
}

/* Nobody reads it: it stays where it is. */
static void
assert_unread(const struct gen *g, const struct proc *p)
{
	char byte;

	assert_int_equal(g->state, GEN_LOADING);
	assert_int_equal(recv(p->ctl, &byte, 1, MSG_PEEK | MSG_DONTWAIT), 1);
	assert_false(said("was not started"));
	assert_running();
}

static void
try_message(enum phase phase, uint32_t speaker, uint32_t type)
{
	struct gen	 *g = bring_to(phase, speaker);
	struct proc	 *p = relay_of(g, speaker);
	const struct wire m = perfect(g, p, type);
	uint32_t	  nbinds = g->nbinds;

	if (phase >= HANDOVER) {
		/* sealed: it can't even be sent, and P does not look */
		assert_int_equal(wire_send(end_of(p), &m, -1), -1);
		assert_int_equal(errno, EPIPE);
		listen_to(p);
		assert_int_equal(g->nbinds, nbinds);
		gen_kill(g, NULL);
	} else {
		assert_int_equal(wire_send(end_of(p), &m, -1), 0);
		listen_to(p);
		if (phase == WAITING)
			assert_unread(g, p);
		else if (allowed(phase, speaker, type))
			assert_taken(g, p, type, nbinds);
		else
			assert_refused(g, "");
		if (g->state != GEN_FREE)
			gen_kill(g, NULL);
	}
}

static void
test_every_message_in_every_state(void **state)
{
	static const uint32_t odd[] = { 256 + WIRE_NEED, 0x01000000,
		0x10000 + WIRE_BIND, 0x80000000 + WIRE_READY, UINT32_MAX };

	(void)state;
	for (enum phase phase = FRESH; phase < PHASES; phase++)
		for (uint32_t speaker = 0; speaker < 2; speaker++) {
			for (uint32_t type = 0; type <= 40; type++)
				try_message(phase, speaker, type);
			for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]);
			    i++)
				try_message(phase, speaker, odd[i]);
			if (phase < RUNNING)
				continue;
			/* running was replaced each time */
			running = run_one("127.0.0.1", running_port);
			running_fds = fds_open();
			hush();
		}
}

/* A live helper's message is never read, whatever the state. */
static void
test_helpers_are_not_heard(void **state)
{
	struct gen *g = begin();

	(void)state;
	need(g, NEED_RESOLVER | NEED_LOOKUP, 0);
	for (uint32_t role = ROLE_DIALER; role <= ROLE_LOOKUP; role++) {
		struct proc	 *p = proc_next(NULL, g, role);
		const struct wire m = { .type = WIRE_BIND };

		assert_non_null(p);
		assert_int_equal(wire_send(end_of(p), &m, -1), 0);
		listen_to(p);
		assert_unread(g, p);
	}
}

/* The perfect message for this phase, cut or prolonged. */
static void
try_size(enum phase phase, uint32_t speaker, uint32_t type, size_t size)
{
	struct gen *g = bring_to(phase, speaker);
	struct proc *p = relay_of(g, speaker);
	struct wire m = perfect(g, p, type);
	uint8_t	    buf[200] = { 0 };

	memcpy(buf, &m, sizeof(m));
	assert_int_equal(send(end_of(p), buf, size, 0), (ssize_t)size);
	listen_to(p);
	assert_refused(g, "wrong size");
}

static void
test_every_size(void **state)
{
	(void)state;
	for (size_t size = 0; size <= 200; size++) {
		if (size == sizeof(struct wire))
			continue;
		try_size(FRESH, 0, WIRE_NEED, size);
		try_size(NEEDED, 0, WIRE_BIND, size);
		try_size(BOUND, 0, WIRE_READY, size);
		try_size(BOUND, 1, WIRE_READY, size);
	}
}

/* Sends this instead of the perfect message; why NULL: it is taken. */
static void
try_instead(enum phase phase, uint32_t speaker, const struct wire *m,
    const char *why)
{
	struct gen  *g = bring_to(phase, speaker);
	struct proc *p = relay_of(g, speaker);
	uint32_t     nbinds = g->nbinds;

	assert_int_equal(wire_send(end_of(p), m, -1), 0);
	listen_to(p);
	if (why != NULL) {
		assert_refused(g, why);
	} else {
		assert_taken(g, p, m->type, nbinds);
		gen_kill(g, NULL);
	}
}

static void
try_stray(enum phase phase, uint32_t speaker, struct wire m, size_t used)
{
	for (size_t i = used; i < sizeof(m.u.raw); i++)
		for (unsigned bit = 0; bit < 8; bit += 7) {
			struct wire bad = m;

			bad.u.raw[i] = (uint8_t)(1u << bit);
			try_instead(phase, speaker, &bad,
			    "a malformed message");
		}
}

static void
test_stray_bytes(void **state)
{
	const struct gen  one = { .nbinds = 1 };
	const struct wire ready0 = { .type = WIRE_READY };
	const struct wire ready1 = { .type = WIRE_READY, .u.ready.count = 1 };

	(void)state;
	try_stray(FRESH, 0, need_message(0, 0), 12);
	try_stray(BOUND, 0, bind_message(&one, "127.0.0.2", 1), 36);
	try_stray(BOUND, 0, ready1, 4);
	try_stray(BOUND, 1, ready0, 4);
}

static void
test_need(void **state)
{
	struct wire m;

	(void)state;
	for (uint32_t version = 0; version < 4; version++) {
		m = need_message(0, 0);
		m.u.need.version = version;
		try_instead(FRESH, 0, &m, version == WIRE_VERSION ? NULL :
		    "restart needed");
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		m = need_message(1u << bit, UINT32_MAX);
		try_instead(FRESH, 0, &m, ((1u << bit) & NEED_ALL) != 0 ?
		    NULL : "unknown helper");
		m = need_message(0, 0);
		m.index = 1u << bit;
		try_instead(FRESH, 0, &m, "out of place");
	}
}

static void
test_order(void **state)
{
	const struct gen none = { .nbinds = 0 };
	struct wire	 m;

	(void)state;
	for (uint32_t index = 0; index < 4; index++) {
		m = bind_message(&none, "127.0.0.2", running_port);
		m.index = index;
		try_instead(NEEDED, 0, &m, index == 0 ? NULL : "out of place");
		try_instead(BOUND, 0, &m, index == 1 ? NULL : "out of place");
		try_instead(NEEDED, 1, &m, "out of place");
		try_instead(FRESH, 0, &m, "out of place");
		m = (struct wire){ .type = WIRE_READY,
			.u.ready.count = index };
		try_instead(NEEDED, 0, &m, index == 0 ? NULL : "out of place");
		try_instead(BOUND, 0, &m, index == 1 ? NULL : "out of place");
		try_instead(BOUND, 1, &m, index == 0 ? NULL : "out of place");
		try_instead(FRESH, 0, &m, "out of place");
		try_instead(FRESH, 1, &m, "out of place");
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		m = (struct wire){ .type = WIRE_READY, .index = 1u << bit };
		try_instead(NEEDED, 0, &m, "out of place");
		try_instead(BOUND, 1, &m, "out of place");
		m = (struct wire){ .type = WIRE_BIND, .index = 1u << bit };
		m.u.addr.family = AF_INET;
		try_instead(NEEDED, 0, &m, "out of place");
	}
	m = need_message(0, 0);
	try_instead(NEEDED, 0, &m, "out of place");
	try_instead(FRESH, 1, &m, "out of place");
}

static void
try_addr(const struct wire_addr *a, bool good)
{
	struct wire m = { .type = WIRE_BIND };

	m.u.addr = *a;
	try_instead(NEEDED, 0, &m, good ? NULL : "a malformed message");
}

static void
test_addresses(void **state)
{
	const struct wire_addr v4 = { .family = AF_INET,
		.inet.ip = { 127, 0, 0, 9 } };
	const struct wire_addr v6 = { .family = AF_INET6,
		.inet.ip = { [15] = 1 } };
	struct wire_addr       a;

	(void)state;
	for (unsigned family = 0; family < 300; family++) {
		a = v6;
		a.family = (uint16_t)family;
		try_addr(&a, family == AF_INET6);
		a = v4;
		a.family = (uint16_t)family;
		try_addr(&a, family == AF_INET || family == AF_INET6);
	}
	for (unsigned i = 4; i < sizeof(a.inet.ip); i++) {
		a = v4;
		a.inet.ip[i] = 1;
		try_addr(&a, false);
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		a = v4;
		a.inet.scope = 1u << bit;
		try_addr(&a, false);
		a = v6;
		a.inet.scope = 1u << bit;
		try_addr(&a, true);	/* that it can't be bound: BOUND */
		a = v4;
		a.backlog = 1u << bit;
		try_addr(&a, bit < 31);
		a = v6;
		a.inet.keepidle = 1u << bit;
		try_addr(&a, bit < 15);
	}
	a = v4;
	a.inet.keepidle = 32767;
	a.backlog = INT32_MAX;
	try_addr(&a, true);
	a.inet.keepidle++;
	try_addr(&a, false);
	a = v4;
	a.backlog = UINT32_MAX;
	try_addr(&a, false);
}

/* Descriptors come with a message that would be good without them. */
static void
try_descriptors(enum phase phase, uint32_t speaker, uint32_t type, size_t n)
{
	struct gen    *g = bring_to(phase, speaker);
	struct proc   *p = relay_of(g, speaker);
	struct wire    m = perfect(g, p, type);
	struct iovec   iov = { &m, sizeof(m) };
	char	       buf[CMSG_SPACE(253 * sizeof(int))] = { 0 };
	struct msghdr  msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int	       *fds = (int *)(void *)CMSG_DATA(c);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		fds[i] = log_pair[0];
	assert_int_equal(sendmsg(end_of(p), &msg, 0), (ssize_t)sizeof(m));
	listen_to(p);
	assert_refused(g, "with a descriptor");
}

static void
test_descriptors(void **state)
{
	static const size_t counts[] = { 1, 2, 253 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		try_descriptors(FRESH, 0, WIRE_NEED, counts[i]);
		try_descriptors(NEEDED, 0, WIRE_BIND, counts[i]);
		try_descriptors(BOUND, 0, WIRE_READY, counts[i]);
		try_descriptors(BOUND, 1, WIRE_READY, counts[i]);
	}
}

/* As many addresses as there may be are taken, and not one more. */
static void
test_too_many_binds(void **state)
{
	struct gen *g = begin();
	struct wire m;

	(void)state;
	need(g, 0, 0);
	/* nobody has this address: the errors need no descriptors */
	for (uint32_t i = 0; i < LISTENERS_MAX; i++)
		assert_int_not_equal(bind_to(g, "192.0.2.1", 1), 0);
	assert_int_equal(g->nbinds, LISTENERS_MAX);
	m = bind_message(g, "192.0.2.1", 1);
	say(relay_of(g, 0), &m);
	assert_refused(g, "out of place");

	g = begin();
	need(g, 0, 0);
	for (uint32_t i = 0; i < LISTENERS_MAX; i++)
		assert_int_not_equal(bind_to(g, "192.0.2.1", 1), 0);
	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
}

/* A leader that asks and asks and never reads an answer. */
static void
test_no_answer_taken(void **state)
{
	struct gen *g = begin();
	unsigned    n = 0;

	(void)state;
	need(g, 0, 0);
	for (; g->state == GEN_LOADING && n < LISTENERS_MAX; n++) {
		const struct wire m = bind_message(g, "192.0.2.1", 1);

		say(relay_of(g, 0), &m);
	}
	assert_true(n < LISTENERS_MAX);
	assert_refused(g, "takes no answer");
}

/* Whatever else is in the queue goes with the channel. */
static void
test_flood(void **state)
{
	const struct wire m = { .type = WIRE_GO };
	struct gen	 *g = begin();
	struct proc	 *p = relay_of(g, 1);

	(void)state;
	while (wire_send(end_of(p), &m, -1) == 0)
		continue;
	assert_int_equal(errno, EAGAIN);
	listen_to(p);
	assert_refused(g, "not for the parent");
}

static void
test_nothing_there(void **state)
{
	struct gen *g = begin();

	(void)state;
	listen_to(relay_of(g, 0));
	listen_to(relay_of(g, 1));
	assert_int_equal(g->state, GEN_LOADING);
	fault_recv = (struct fault){ 1, EINTR };
	listen_to(relay_of(g, 0));
	assert_int_equal(g->state, GEN_LOADING);
	fault_recv = (struct fault){ 1, ECONNRESET };
	listen_to(relay_of(g, 0));
	assert_refused(g, "");
}

static void
test_closed(void **state)
{
	struct gen *g;

	(void)state;
	for (uint32_t speaker = 0; speaker < 2; speaker++) {
		g = begin();
		kid_close(kid_of(relay_of(g, speaker)->pid));
		listen_to(relay_of(g, speaker));
		assert_refused(g, "");
		g = begin();
		shutdown(end_of(relay_of(g, speaker)), SHUT_WR);
		listen_to(relay_of(g, speaker));
		assert_refused(g, "");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		READER_TEST(test_every_message_in_every_state),
		READER_TEST(test_helpers_are_not_heard),
		READER_TEST(test_every_size),
		READER_TEST(test_stray_bytes),
		READER_TEST(test_need),
		READER_TEST(test_order),
		READER_TEST(test_addresses),
		READER_TEST(test_descriptors),
		READER_TEST(test_too_many_binds),
		READER_TEST(test_no_answer_taken),
		READER_TEST(test_flood),
		READER_TEST(test_nothing_there),
		READER_TEST(test_closed)
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
