/*
 * A relay that misbehaves on purpose, put in the place of the real one (or
 * of a helper) by test_evil.py.  It is never installed and never confined:
 * it can do more than a relay that was taken over.  Beside the program lies
 * what it shall do:
 *
 *	PROGRAM.evil: STEP ACTION WHO PORT COUNT DRAIN ROLES
 *
 * Up to STEP it is as good as any; there WHO (leader, follower, all) does
 * ACTION, and goes on.  It binds COUNT addresses from 127.0.0.1 on, and
 * asks for ROLES and a limit of DRAIN s.  Each start adds a byte to
 * PROGRAM.starts.
 */
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../common/child.h"
#include "../../common/log.h"
#include "../../common/wire.h"

#define FDS_MAX	    4096
#define FORKS	    40
#define FLOOD	    20000

static struct child me;
static char	    step[32], action[32], who[32];
static unsigned	    port, count, drain, roles;
static uint32_t	    bound;
static int	    fds[FDS_MAX], nfds;		/* the listeners it got */

/* --- what it sends --- */

/* Whatever becomes of it: the error is told, as it may be expected. */
static void
tell(const void *data, size_t size, int ndescriptors)
{
	char	      space[CMSG_SPACE(253 * sizeof(int))] = { 0 };
	struct iovec  iov = { (void *)(uintptr_t)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (ndescriptors > 0) {
		size_t bytes = (size_t)ndescriptors * sizeof(int);
		struct cmsghdr *c = (struct cmsghdr *)(void *)space;

		msg.msg_control = space;
		msg.msg_controllen = CMSG_SPACE(bytes);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(bytes);
		memset(CMSG_DATA(c), 0, bytes);		/* descriptor 0 */
	}
	if (sendmsg(FD_CTL, &msg, MSG_NOSIGNAL) == -1)
		log_text(LEVEL_NOTICE, "evil: cannot send: %m");
}

static void
tell_type(uint32_t type)
{
	const struct wire m = { .type = type };

	tell(&m, sizeof(m), 0);
}

static struct wire
bind_message(uint32_t index)
{
	struct wire m = { .type = WIRE_BIND, .index = index };

	m.u.addr = (struct wire_addr){ .backlog = 64, .family = AF_INET,
		.port = (uint16_t)port, .inet.ip = { 127, 0,
		(uint8_t)(index / 250), (uint8_t)(index % 250 + 1) } };
	return (m);
}

static void
send_need(uint32_t version)
{
	const struct wire m = { .type = WIRE_NEED,
		.u.need = { version, roles, drain } };

	tell(&m, sizeof(m), 0);
}

static void
send_ready(uint32_t n)
{
	const struct wire m = { .type = WIRE_READY, .u.ready.count = n };

	tell(&m, sizeof(m), 0);
}

/* --- the actions --- */

static void
act_size(void)
{
	static const struct {
		const char *name;
		size_t	    size;
	} sizes[] = {
		{ "empty", 0 }, { "byte", 1 }, { "short", 63 },
		{ "long", 65 }, { "huge", 16384 }
	};
	static char buf[16384];
	struct wire m = bind_message(bound);

	memcpy(buf, &m, sizeof(m));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (strcmp(action, sizes[i].name) == 0)
			tell(buf, sizes[i].size, 0);
}

static void
act_fd(void)
{
	const struct wire m = bind_message(bound);

	tell(&m, sizeof(m), strcmp(action, "fd") == 0 ? 1 : 253);
}

static void
act_need(void)
{
	send_need(WIRE_VERSION);
}

static void
act_version(void)
{
	send_need(WIRE_VERSION + 1);
}

static void
act_type(void)
{
	tell_type(strcmp(action, "zero") == 0 ? 0 :
	    strcmp(action, "go") == 0 ? WIRE_GO : 99);
}

static void
act_stray(void)
{
	struct wire m = { .type = WIRE_READY };

	m.u.raw[55] = 1;
	tell(&m, sizeof(m), 0);
}

static void
act_bind(void)
{
	struct wire m = bind_message(bound);

	if (strcmp(action, "index") == 0)
		m.index++;
	if (strcmp(action, "family") == 0)
		m.u.addr.family = AF_UNIX;
	if (strncmp(action, "unix", 4) == 0) {
		m.type = WIRE_BINDUNIX;
		m.u.addr = (struct wire_addr){ .family = AF_UNIX };
		strcpy(m.u.addr.local.name,
		    strcmp(action, "unixup") == 0 ? "../x" : "x");
	}
	tell(&m, sizeof(m), 0);
}

static void
act_ready(void)
{
	send_ready(bound + (strcmp(action, "miscount") == 0));
}

/* Nobody's message, until nothing more goes out. */
static void
act_flood(void)
{
	const struct wire m = { .type = WIRE_REPORT };
	int		  n = 0;

	while (n++ < FLOOD && send(FD_CTL, &m, sizeof(m), MSG_NOSIGNAL) > 0)
		continue;
}

/* Good messages, but the answers stay unread. */
static void
act_answers(void)
{
	for (uint32_t i = bound; i < FLOOD; i++) {
		const struct wire m = bind_message(i);

		if (send(FD_CTL, &m, sizeof(m), MSG_NOSIGNAL) == -1)
			return;
	}
}

/* Lines in the log, and what is none. */
static void
act_logs(void)
{
	for (int i = 0; i < FLOOD; i++) {
		if (i % 2 == 0)
			log_text(LEVEL_ERROR, "\n%dgeneration 1 is \33", i);
		else
			send(FD_LOG, &me, (size_t)i % 512, MSG_NOSIGNAL |
			    MSG_DONTWAIT);
	}
}

static void
act_exit(void)
{
	_exit(strcmp(action, "exit0") == 0 ? 0 : 1);
}

static void
act_segv(void)
{
	raise(SIGSEGV);
}

/* Denied to all of sallyport's processes. */
static void
act_sigsys(void)
{
	syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static void
act_close(void)
{
	close(FD_CTL);
}

static void
act_shutdown(void)
{
	shutdown(FD_CTL, strcmp(action, "shutrd") == 0 ? SHUT_RD :
	    strcmp(action, "shutwr") == 0 ? SHUT_WR : SHUT_RDWR);
}

static void
act_hang(void)
{
	for (;;)
		pause();
}

static void
act_stop(void)
{
	raise(SIGSTOP);
}

static void
act_stubborn(void)
{
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_IGN);
	act_hang();
}

/* Looks dead to whom only watches the channel. */
static void
act_playdead(void)
{
	shutdown(FD_CTL, SHUT_RDWR);
	act_stubborn();
}

/* They hold the channel open, and go when P has closed its end. */
static void
act_fork(void)
{
	struct pollfd p = { .fd = FD_CTL };

	for (int i = 0; i < FORKS; i++)
		if (fork() == 0) {
			while (poll(&p, 1, -1) != 1)
				continue;
			_exit(0);
		}
	_exit(1);
}

static void
act_listeners(void)
{
	const struct linger linger = { .l_onoff = 1 };

	for (int i = 0; i < nfds; i++) {
		if (strcmp(action, "unlisten") == 0)
			shutdown(fds[i], SHUT_RD);
		else if (strcmp(action, "linger") == 0)
			setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &linger,
			    sizeof(linger));
		else
			fcntl(fds[i], F_SETFL, 0);
	}
	log_text(LEVEL_NOTICE, "evil: listeners done");
}

static const struct {
	const char *name;
	void (*act)(void);
} actions[] = {
	{ "empty", act_size }, { "byte", act_size }, { "short", act_size },
	{ "long", act_size }, { "huge", act_size }, { "fd", act_fd },
	{ "fds", act_fd }, { "need", act_need }, { "version", act_version },
	{ "zero", act_type }, { "go", act_type }, { "unknown", act_type },
	{ "stray", act_stray }, { "bind", act_bind }, { "index", act_bind },
	{ "family", act_bind }, { "unix", act_bind }, { "unixup", act_bind },
	{ "ready", act_ready },
	{ "miscount", act_ready }, { "flood", act_flood },
	{ "answers", act_answers }, { "logs", act_logs },
	{ "exit0", act_exit }, { "exit1", act_exit }, { "segv", act_segv },
	{ "sigsys", act_sigsys }, { "close", act_close },
	{ "shutrd", act_shutdown }, { "shutwr", act_shutdown },
	{ "shutrdwr", act_shutdown }, { "hang", act_hang },
	{ "stop", act_stop }, { "stubborn", act_stubborn },
	{ "playdead", act_playdead }, { "fork", act_fork },
	{ "unlisten", act_listeners },
	{ "linger", act_listeners }, { "block", act_listeners }
};

/* Is it here, and is it me? */
static void
reach(const char *here)
{
	if (strcmp(here, step) != 0 || strcmp(who, me.worker == 0 ?
	    "follower" : "leader") == 0)
		return;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(action, actions[i].name) == 0) {
			actions[i].act();
			return;
		}
	fatalx("evil: what is %s?", action);
}

/* --- what it has in common with a good one --- */

/* The next message; P's end or a broken one is the end. */
static struct wire
hear(int *fd)
{
	struct wire m;

	if (wire_recv(FD_CTL, &m, fd, 0) != 1)
		_exit(0);
	return (m);
}

static void
await(uint32_t type)
{
	struct wire m;
	int	    fd;

	do
		m = hear(&fd);
	while (m.type != type);
}

static void
load(void)
{
	reach("start");
	if (me.worker == 0)
		send_need(WIRE_VERSION);
	await(WIRE_HELPER);
	if (me.worker == 0 && (roles & NEED_LOOKUP) != 0)
		await(WIRE_HELPER);
	reach("need");
	for (; me.worker == 0 && bound < count; bound++) {
		const struct wire m = bind_message(bound);

		tell(&m, sizeof(m), 0);
		await(WIRE_BOUND);
	}
	reach("bind");
	send_ready(bound);
	reach("ready");
}

static void
run(void)
{
	struct wire m;
	int	    fd;

	for (;;) {
		m = hear(&fd);
		if (m.type == WIRE_LISTENER && nfds < FDS_MAX) {
			fds[nfds++] = fd;
			if (nfds == 1)
				reach("listener");
		} else if (m.type == WIRE_GO) {
			reach("go");
		} else if (m.type == WIRE_DRAIN) {
			reach("drain");
			_exit(0);
		}
	}
}

/* PROGRAM's path and this behind it. */
static const char *
beside(const char *suffix)
{
	static char path[512];
	ssize_t	    n = readlink("/proc/self/exe", path, sizeof(path) - 16);

	if (n == -1)
		fatal("evil: my name");
	path[n] = '\0';
	return (strcat(path, suffix));
}

static enum role
role_of(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	return (strncmp(name, "relay", 5) == 0 ? ROLE_RELAY :
	    strncmp(name, "dialer", 6) == 0 ? ROLE_DIALER :
	    strncmp(name, "logger", 6) == 0 ? ROLE_LOGGER : ROLE_RESOLVER);
}

int
main(int argc, char **argv)
{
	enum role role = role_of(beside(""));
	FILE	 *file;
	int	  fd;

	child_start(&me, role, argc, argv);
	fd = open(beside(".starts"), O_WRONLY | O_APPEND | O_CREAT, 0644);
	if (fd == -1 || write(fd, "x", 1) != 1)
		fatal("evil: .starts");
	close(fd);
	file = fopen(beside(".evil"), "r");
	if (file == NULL || fscanf(file, "%31s %31s %31s %u %u %u %u", step,
	    action, who, &port, &count, &drain, &roles) != 7)
		fatal("evil: .evil");
	fclose(file);
	close(FD_CONF);
	if (role == ROLE_RELAY) {
		load();
		run();
	}
	reach("start");		/* a helper has but this step */
	act_hang();
}
