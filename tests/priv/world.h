/*
 * What the tests of priv/ share: a world for P in which no process is ever
 * started.  fork() gives invented numbers, the other ends of the channels
 * stay here, so that a test can speak and listen as any child; whoever is
 * waited for must have been killed before.  What P logs is kept.
 *
 * A test that includes this names in its wrap line at least
 * fork kill waitpid socketpair.
 */
#ifndef TESTS_PRIV_WORLD_H
#define TESTS_PRIV_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/log.h"
#include "../../common/netaddr.h"
#include "../../priv/priv.h"

#define KIDS_MAX	4096
#define KIDS_FIRST	1000000000

/* Calls that can be made to fail: the n-th from now, 0 never. */
struct fault {
	unsigned in;
	int	 error;
};

struct kid {
	pid_t pid;		/* 0: free */
	int   fd;		/* its end of the channel, -1: closed */
	int   sig;		/* what it was killed by */
};

/* main.c has these; the tests are linked without it */
char	 **args;
uint32_t   workers;
int	   given = FD_GIVEN;

static struct kid   kids[KIDS_MAX];
static pid_t	    last_pid = KIDS_FIRST;
static int	    last_end = -1;	/* of the last pair */
static int	    log_pair[2] = { -1, -1 };
static char	    log_said[65536];
static int	    fds_at_start;
static struct fault fault_fork, fault_pair;

pid_t	__wrap_fork(void);
int	__wrap_kill(pid_t pid, int sig);
pid_t	__wrap_waitpid(pid_t pid, int *status, int options);
int	__wrap_socketpair(int domain, int type, int protocol, int fd[2]);
int	__real_socketpair(int domain, int type, int protocol, int fd[2]);

static inline bool
fault_now(struct fault *f)
{
	if (f->in == 0 || --f->in != 0)
		return (false);
	errno = f->error;
	return (true);
}

static inline struct kid *
kid_of(pid_t pid)
{
	assert_int_not_equal(pid, 0);
	for (struct kid *k = kids; k < kids + KIDS_MAX; k++)
		if (k->pid == pid)
			return (k);
	fail_msg("no child has the number %d", pid);
	return (NULL);
}

static inline void
kid_close(struct kid *k)
{
	if (k->fd != -1)
		close(k->fd);
	k->fd = -1;
}

static inline void
forget_end(void)
{
	if (last_end != -1)
		close(last_end);
	last_end = -1;
}

int
__wrap_socketpair(int domain, int type, int protocol, int fd[2])
{
	if (fault_now(&fault_pair) ||
	    __real_socketpair(domain, type, protocol, fd) == -1)
		return (-1);
	forget_end();
	last_end = fcntl(fd[1], F_DUPFD_CLOEXEC, 0);
	return (0);
}

/* The last pair before a fork is the child's channel. */
pid_t
__wrap_fork(void)
{
	struct kid *k = kids;

	if (fault_now(&fault_fork))
		return (-1);
	while (k->pid != 0)
		k++;
	*k = (struct kid){ .pid = ++last_pid, .fd = last_end };
	last_end = -1;
	return (k->pid);
}

int
__wrap_kill(pid_t pid, int sig)
{
	kid_of(pid)->sig = sig;
	return (0);
}

pid_t
__wrap_waitpid(pid_t pid, int *status, int options)
{
	struct kid *k = kid_of(pid);

	(void)options;
	if (k->sig != SIGKILL)
		fail_msg("P waits for a process that it has not killed");
	if (status != NULL)
		*status = SIGKILL;
	kid_close(k);
	k->pid = 0;
	return (pid);
}

/* --- what P says in its log --- */

static inline void
hush(void)
{
	char buf[LOG_MAX];

	while (recv(log_pair[0], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		continue;
	log_said[0] = '\0';
}

/* Has a line with this text come since hush()? */
static inline bool
said(const char *text)
{
	char	buf[LOG_MAX];
	size_t	used;

	while (recv(log_pair[0], buf, sizeof(buf), MSG_DONTWAIT) > 0) {
		used = strlen(log_said);
		snprintf(log_said + used, sizeof(log_said) - used, "%s\n",
		    buf + sizeof(struct log_head));
	}
	return (strstr(log_said, text) != NULL);
}

static inline void
assert_said(const char *text)
{
	if (!said(text))
		fail_msg("the log does not say \"%s\" but:\n%s", text,
		    log_said);
}

/* --- descriptors --- */

static inline int
fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int  n = -3;		/* . and .. and the directory's own */

	forget_end();
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return (n);
}

static inline ino_t
inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (st.st_ino);
}

/* --- a child's side --- */

static inline int
end_of(const struct proc *p)
{
	return (kid_of(p->pid)->fd);
}

/* The next message for this child but the one that tells it who it is. */
static inline bool
next_message(const struct proc *p, struct wire *m, int *fd)
{
	do
		if (wire_recv(end_of(p), m, fd, MSG_DONTWAIT) != 1)
			return (false);
	while (m->type == WIRE_HELPER && *fd == -1);
	return (true);
}

static inline void
skip_messages(const struct proc *p)
{
	struct wire m;
	int	    fd;

	while (next_message(p, &m, &fd))
		if (fd != -1)
			close(fd);
}

/* The child says something and P, if it listens, takes it. */
static inline void
say(struct proc *p, const struct wire *m)
{
	assert_int_equal(wire_send(end_of(p), m, -1), 0);
	reader_take(p);
}

/* It dies; P hears of it. */
static inline void
die(struct proc *p, int status)
{
	struct kid *k = kid_of(p->pid);

	kid_close(k);
	k->pid = 0;
	gen_reap(p, status);
}

/* --- generations --- */

static inline struct proc *
relay_of(const struct gen *g, uint32_t worker)
{
	struct proc *p = NULL;

	while ((p = proc_next(p, g, ROLE_RELAY)) != NULL)
		if (p->worker == worker)
			return (p);
	fail_msg("there is no relay %u", worker);
	return (NULL);
}

static inline struct gen *
begin(void)
{
	struct gen *g;

	gen_start(-1);
	g = gen_find(GEN_LOADING);
	assert_non_null(g);
	return (g);
}

static inline struct wire
need_message(uint32_t roles, uint32_t drain)
{
	return ((struct wire){ .type = WIRE_NEED,
		.u.need = { WIRE_VERSION, roles, drain } });
}

static inline struct wire
bind_message(const struct gen *g, const char *ip, uint16_t port)
{
	struct netaddr a;
	struct wire    m = { .type = WIRE_BIND, .index = g->nbinds };

	assert_int_equal(netaddr_parse(ip, 0, &a), 0);
	m.u.addr = (struct wire_addr){ .tag = 7, .backlog = 16,
		.family = a.family, .port = port, .inet.scope = a.scope };
	memcpy(m.u.addr.inet.ip, a.ip, sizeof(a.ip));
	return (m);
}

static inline struct wire
ready_message(const struct gen *g, const struct proc *p)
{
	return ((struct wire){ .type = WIRE_READY,
		.u.ready.count = p->worker == 0 ? g->nbinds : 0 });
}

static inline void
need(struct gen *g, uint32_t roles, uint32_t drain)
{
	const struct wire m = need_message(roles, drain);

	say(relay_of(g, 0), &m);
}

/* Returns BOUND's errno. */
static inline int
bind_to(struct gen *g, const char *ip, uint16_t port)
{
	struct proc *leader = relay_of(g, 0);
	uint32_t     index = g->nbinds;
	struct wire  m = bind_message(g, ip, port);
	int	     fd;

	say(leader, &m);
	while (next_message(leader, &m, &fd)) {
		if (fd != -1)
			close(fd);
		if (m.type == WIRE_BOUND) {
			assert_int_equal(m.index, index);
			assert_int_equal(fd, -1);
			return (m.u.bound.error);
		}
	}
	fail_msg("P has not answered a BIND");
	return (-1);
}

static inline void
ready(struct gen *g)
{
	for (uint32_t i = 0; i < workers &&
	    g->state == GEN_LOADING; i++) {
		struct proc	 *p = relay_of(g, i);
		const struct wire m = ready_message(g, p);

		say(p, &m);
	}
}

/* A generation that runs and listens here; port 0: nowhere. */
static inline struct gen *
run_one(const char *ip, uint16_t port)
{
	struct gen *g = begin();

	need(g, 0, 0);
	if (port != 0)
		assert_int_equal(bind_to(g, ip, port), 0);
	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
	for (uint32_t i = 0; i < workers; i++)
		skip_messages(relay_of(g, i));
	return (g);
}

/* A port that nobody has. */
static inline uint16_t
free_port(void)
{
	struct sockaddr_storage ss;
	struct netaddr		a;
	socklen_t		len = sizeof(ss);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(netaddr_parse("0.0.0.0", 0, &a), 0);
	assert_int_equal(bind(fd, (void *)&ss, netaddr_sockaddr(&a, &ss)), 0);
	assert_int_equal(getsockname(fd, (void *)&ss, &len), 0);
	assert_int_equal(netaddr_from((void *)&ss, len, &a), 0);
	close(fd);
	return (a.port);
}

/* --- before and after each test --- */

static inline int
world_make(void **state)
{
	static char  none[1];
	static char *words[ARG_WORDS + 2];
	struct rlimit lim;

	(void)state;
	for (int i = 0; i <= ARG_WORDS; i++)
		words[i] = none;
	args = words;
	workers = 2;
	fault_fork = fault_pair = (struct fault){ 0, 0 };
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	fds_at_start = fds_open();
	if (__real_socketpair(AF_UNIX, SOCK_SEQPACKET, 0, log_pair) == -1)
		return (-1);
	log_socket = log_pair[1];
	hush();
	return (0);
}

/* Nothing may be left of it. */
static inline int
world_end(void **state)
{
	(void)state;
	fault_fork = fault_pair = (struct fault){ 0, 0 };
	for (struct gen *g = gens; g < gens + GEN_MAX; g++)
		gen_kill(g, NULL);
	log_socket = -1;
	close(log_pair[0]);
	close(log_pair[1]);
	for (int i = 0; i < KIDS_MAX; i++)
		assert_int_equal(kids[i].pid, 0);
	assert_null(proc_next(NULL, NULL, ROLE_COUNT));
	assert_int_equal(fds_open(), fds_at_start);
	return (0);
}

#define WORLD_TEST(function) \
	cmocka_unit_test_setup_teardown(function, world_make, world_end)

#endif
