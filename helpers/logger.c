/*
 * The logger: the one process that writes log lines.  It reads the lines of
 * all others, each from a channel of its own, adds time and sender, and
 * writes them to the targets whose descriptors P hands it.  Runs for the
 * life of P, confined: it opens nothing, connects to nothing, has no network
 * and no files but those descriptors, and sends nothing to P.
 *
 * Nobody is trusted: each message is checked, each sender's share of a
 * wake-up and lines per second are bounded, memory is fixed.  No target is
 * waited for: what one can't take is counted, and the count is written when
 * it takes lines again.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "../common/child.h"
#include "../common/confine.h"
#include "../common/log.h"
#include "../common/logfmt.h"
#include "../common/logspec.h"
#include "../common/timer.h"
#include "../common/wire.h"
#include "log_target.h"

#define SENDERS		512	/* 17 generations of 18 processes, and more */
#define BATCH		16	/* messages of one sender per wake-up */
#define EVENTS		32
#define DRAIN		1024	/* more than a channel's queue can hold */
#define SECOND		1000	/* all times are in ms */
#define END_LIMIT	(40 * SECOND)

/*
 * Lines per second and at once that one sender may have written, and how
 * many of the latter are kept for lines of level NOTICE and worse, so that a
 * flood of session lines does not hide an error.  Reports, which somebody has
 * asked for, have an account of their own.
 */
#define RATE		1000
#define BURST		5000
#define RESERVE		1000

struct account {
	uint64_t tokens;	/* thousandths of a line */
	uint64_t filled;	/* when they were last added to */
};

struct sender {
	int fd;			/* -1: free */
	struct logfmt_who who;
	struct account account[2];	/* of reports: the second one */
	uint64_t suppressed;	/* by the rate limit */
	uint64_t lost;		/* by the sender */
	uint64_t bad;		/* messages that are none */
};

static struct sender senders[SENDERS];
static unsigned nsenders;	/* in use */
static uint64_t now;		/* monotonic */
static uint64_t deadline;	/* 0: P lives */
static bool waiting;		/* a sender's losses are not yet told */
static int epfd;

/* --- senders -------------------------------------------------------------- */

static void
sender_add(const struct logfmt_who *who, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };
	char name[LOGFMT_WHO];
	struct sender *s;

	for (s = senders; s < senders + SENDERS; s++)
		if (s->fd == -1)
			break;
	ev.data.u32 = (uint32_t)(s - senders);
	if (s == senders + SENDERS ||
	    epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		target_warnx("no room for %s: its lines are not logged",
		    logfmt_name(who, name));
		close(fd);
		return;
	}
	*s = (struct sender){
		.fd = fd, .who = *who, .account = {
		    { BURST * 1000, now }, { BURST * 1000, now } }
	};
	nsenders++;
}

/* Says what was left out of the sender's lines since the last time. */
static void
sender_report(struct sender *s)
{
	char name[LOGFMT_WHO];

	logfmt_name(&s->who, name);
	if (s->suppressed > 0)
		target_warnx("%llu lines from %s suppressed: more than %d "
		    "a second", (unsigned long long)s->suppressed, name, RATE);
	if (s->lost > 0)
		target_warnx("%llu lines lost by %s: sent faster than logged",
		    (unsigned long long)s->lost, name);
	s->suppressed = s->lost = 0;
}

static void
sender_close(struct sender *s)
{
	char name[LOGFMT_WHO];

	sender_report(s);
	if (s->bad > 1)
		target_warnx("%llu bad messages from %s in all",
		    (unsigned long long)s->bad, logfmt_name(&s->who, name));
	epoll_ctl(epfd, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
	s->fd = -1;
	nsenders--;
}

/* Takes one line off the sender's account, if there is one left. */
static bool
sender_may(struct sender *s, const struct logfmt_entry *e)
{
	struct account *a = &s->account[e->report];
	uint64_t least = e->level <= LEVEL_NOTICE ? 1 : RESERVE + 1;

	if (s->who.role == ROLE_PARENT || s->who.role == ROLE_LOGGER)
		return (true);
	a->tokens += (now - a->filled) * RATE;
	a->filled = now;
	if (a->tokens > BURST * 1000)
		a->tokens = BURST * 1000;
	if (a->tokens < least * 1000)
		return (false);
	a->tokens -= 1000;
	return (true);
}

static void
sender_bad(struct sender *s)
{
	char name[LOGFMT_WHO];

	if (s->bad++ == 0)
		target_warnx("bad message from %s", logfmt_name(&s->who, name));
}

static void
sender_message(struct sender *s, const char *buf, size_t len)
{
	struct logfmt_entry e = { .who = s->who };

	if (logfmt_parse(buf, len, &e) == -1) {
		sender_bad(s);
		return;
	}
	if (e.lost > 0) {
		s->lost += e.lost;
		waiting = true;
	}
	target_translate(&e);
	if (!target_wants(e.level))
		return;
	if (sender_may(s, &e)) {
		target_line(&e);
	} else {
		s->suppressed++;
		waiting = true;
	}
}

/*
 * Reads up to `limit' messages.  There is no control buffer, so descriptors
 * that somebody attaches are never received.  A length of 0 is an empty
 * message or the end; which one is known from `hup'.
 */
static void
sender_read(struct sender *s, bool hup, unsigned limit)
{
	char buf[LOG_MAX];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg;
	ssize_t n;

	while (limit-- > 0) {
		msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
		n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == -1 || (n == 0 && hup)) {
			sender_close(s);
			return;
		}
		if (n == 0)
			return;
		if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
			sender_bad(s);
		else
			sender_message(s, buf, (size_t)n);
	}
}

/* Reads all that was sent up to now. */
static void
senders_drain(void)
{
	struct sender *s;

	for (s = senders; s < senders + SENDERS; s++)
		if (s->fd != -1)
			sender_read(s, false, DRAIN);
}

/* --- P -------------------------------------------------------------------- */

/* P has died or stopped: the channels of the others end when they do. */
static void
parent_gone(void)
{
	epoll_ctl(epfd, EPOLL_CTL_DEL, FD_CTL, NULL);
	close(FD_CTL);
	close(FD_LOG);	/* our own channel would never end */
	deadline = now + END_LIMIT;
}

static void
parent_message(const struct wire *m, int fd)
{
	struct logfmt_who who;

	if (m->type == WIRE_DRAIN && fd == -1) {
		senders_drain();	/* what was said before belongs there */
		target_close(LOGSPEC_STARTUP);
	} else if (m->type == WIRE_LOG && fd != -1) {
		if (target_open(m->index, fd) == -1)
			target_warnx("odd target %u", m->index);
	} else if (m->type == WIRE_HELPER && fd != -1 &&
	    m->u.helper.role < ROLE_COUNT) {
		who.role = (enum role)m->u.helper.role;
		who.gen = m->u.helper.gen;
		who.worker = m->u.helper.worker;
		sender_add(&who, fd);
	} else {
		target_warnx("odd message %u from sallyport", m->type);
		if (fd != -1)
			close(fd);
	}
}

static void
parent_read(void)
{
	struct wire m;
	unsigned i;
	int fd, n;

	for (i = 0; i < BATCH; i++) {
		n = wire_recv(FD_CTL, &m, &fd, MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == 1) {
			parent_message(&m, fd);
		} else if (n == -1 && errno == EBADMSG) {
			target_warnx("bad message from sallyport");
		} else {
			parent_gone();
			return;
		}
	}
}

/* --- the loop ------------------------------------------------------------- */

/* Once a second: what was left out, while it can be told. */
static void
reports_send(void)
{
	struct sender *s;

	waiting = false;
	for (s = senders; s < senders + SENDERS; s++)
		if (s->fd != -1)
			sender_report(s);
	target_report();
}

/*
 * P's messages are read first: a sender's first lines shall find the
 * targets, and a rotated file is left at once.
 */
static void
events_handle(const struct epoll_event *ev, int n)
{
	struct sender *s;
	int i;

	for (i = 0; i < n; i++)
		if (ev[i].data.u32 == SENDERS)
			parent_read();
	for (i = 0; i < n; i++) {
		if (ev[i].data.u32 == SENDERS)
			continue;
		s = &senders[ev[i].data.u32];
		if (s->fd != -1)
			sender_read(s, (ev[i].events &
			    (EPOLLHUP | EPOLLRDHUP)) != 0, BATCH);
	}
}

static void
loop_run(void)
{
	struct epoll_event ev[EVENTS];
	uint64_t next = 0;
	bool idle;
	int n;

	while (deadline == 0 || (nsenders > 0 && now < deadline)) {
		idle = !waiting && !target_waiting() && deadline == 0;
		n = epoll_wait(epfd, ev, EVENTS, idle ? -1 : SECOND);
		if (n == -1 && errno != EINTR)
			fatal("epoll_wait");
		now = timer_now();
		events_handle(ev, n);
		if (now >= next && (waiting || target_waiting())) {
			reports_send();
			next = now + SECOND;
		}
	}
}

static void
signals_init(void)
{
	/*
	 * Those of the terminal and of service managers are for P; the last
	 * one is an error of write(2), like any other.
	 */
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTOU, SIGXFSZ
	};
	struct sigaction sa = { .sa_handler = SIG_IGN };
	size_t i;

	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (sigaction(ignored[i], &sa, NULL) == -1)
			fatal("sigaction");
}

int
main(int argc, char **argv)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = SENDERS };
	struct sender *s;
	struct child c;

	child_start(&c, ROLE_LOGGER, argc, argv);
	signals_init();
	tzset();
	target_init(&c);
	for (s = senders; s < senders + SENDERS; s++)
		s->fd = -1;
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd == -1 || epoll_ctl(epfd, EPOLL_CTL_ADD, FD_CTL, &ev) == -1)
		fatal("epoll");
	confine_prepare(&c);
	confine_enter(&c);
	now = timer_now();
	loop_run();
	senders_drain();
	reports_send();
	_exit(0);
}
