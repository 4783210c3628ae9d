/*
 * The event loop.  Runs in the relay after GO: waits in epoll, hands events
 * to those they are for, and does once per turn what was collected.
 *
 * Sessions with more to move than one turn allows stand in a run queue;
 * while it has any, epoll is only asked, not waited for.
 */
#include "loop.h"

#include <sys/epoll.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "../common/log.h"
#include "../common/wire.h"
#include "relay.h"

#define LOOP_EVENTS	256	/* taken from the kernel at once */
#define LOOP_SHARE	16	/* per so many events one queued turn */

#define KIND_BITS	3

/* for the signal handler */
static int loop_stop_fd;
static volatile sig_atomic_t loop_runs;

uint64_t
loop_key(enum loop_kind kind, uint32_t number, uint32_t serial)
{
	return ((uint64_t)serial << 32 | (uint64_t)number << KIND_BITS | kind);
}

int
loop_watch(const struct relay *r, int fd, uint32_t events, uint64_t key)
{
	struct epoll_event e = { .events = events, .data.u64 = key };

	return (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &e));
}

void
loop_change(const struct relay *r, int fd, uint32_t events, uint64_t key)
{
	struct epoll_event e = { .events = events, .data.u64 = key };

	if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, fd, &e) == -1)
		fatal("epoll_ctl");
}

void
loop_unwatch(const struct relay *r, int fd)
{
	if (epoll_ctl(r->epoll, EPOLL_CTL_DEL, fd, NULL) == -1)
		fatal("epoll_ctl");
}

/*
 * SIGTERM: before GO there is nothing to end; after it the eventfd is the
 * flag, so that epoll can't sleep over it.
 */
static void
loop_on_term(int sig)
{
	const uint64_t one = 1;
	int error = errno;

	(void)sig;
	if (!loop_runs || write(loop_stop_fd, &one, sizeof(one)) == -1)
		_exit(0);
	errno = error;
}

/* All else is P's to decide, even if a terminal tells the whole group. */
static void
loop_ignore(int sig)
{
	if (signal(sig, SIG_IGN) == SIG_ERR)
		fatal("signal");
}

void
loop_signals(const struct relay *r)
{
	struct sigaction sa = { .sa_handler = loop_on_term,
		.sa_flags = SA_RESTART };

	loop_stop_fd = r->stop;
	sigfillset(&sa.sa_mask);
	if (sigaction(SIGTERM, &sa, NULL) == -1)
		fatal("sigaction");
	loop_ignore(SIGINT);
	loop_ignore(SIGQUIT);
	loop_ignore(SIGHUP);
	loop_ignore(SIGUSR1);
	loop_ignore(SIGUSR2);
}

static void
loop_title(const struct relay *r)
{
	const struct child *c = r->child;

	child_title("relay [gen %u, %u/%u], draining" CHILD_VERSION,
	    c->gen, c->worker + 1, c->workers);
}

void
loop_drain(struct relay *r, bool take_waiting, uint32_t seconds)
{
	uint32_t timer = r->sessions.count + TIMER_DRAIN;

	if (!r->draining) {
		r->draining = true;
		accept_stop(r, take_waiting);
		loop_title(r);
		log_text(LEVEL_INFO, "draining %u sessions",
		    r->sessions.used);
	}
	if (seconds != 0)
		timer_start(&r->wheel, timer, r->now + seconds * 1000ull);
	else
		timer_stop(&r->wheel, timer);
}

/* P may drain us and ask for reports; after GO it has nothing else to say. */
static void
loop_control(struct relay *r)
{
	struct wire m;
	int fd, n;

	n = wire_recv(FD_CTL, &m, &fd, MSG_DONTWAIT);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n == -1)
		fatal("control channel");
	if (n == 0) {
		loop_unwatch(r, FD_CTL);
		log_error("the parent process has died: ending");
		loop_drain(r, true, LOOP_DRAIN_ORPHAN);
		return;
	}
	if (fd != -1)
		fatalx("message %u brought a descriptor", m.type);
	if (m.type == WIRE_DRAIN)
		loop_drain(r, true, m.u.drain.seconds);
	else if (m.type == WIRE_REPORT)
		report_start(r, m.u.report.what);
	else
		fatalx("message %u is out of place", m.type);
}

_Noreturn static void
loop_stop(struct relay *r)
{
	session_end_all(r, END_SHUTDOWN, false);
	_exit(0);
}

static void
loop_event(struct relay *r, const struct epoll_event *e)
{
	uint64_t key = e->data.u64;
	uint32_t serial = (uint32_t)(key >> 32);
	uint32_t number = (uint32_t)key >> KIND_BITS;

	switch ((enum loop_kind)(key & ((1u << KIND_BITS) - 1))) {
	case LOOP_CLIENT:
		session_event(r, number, serial, SIDE_CLIENT, e->events);
		break;
	case LOOP_SERVER:
		session_event(r, number, serial, SIDE_SERVER, e->events);
		break;
	case LOOP_LISTENER:
		accept_event(r, number);
		break;
	case LOOP_CONTROL:
		loop_control(r);
		break;
	case LOOP_DIALER:
		dial_event(r, e->events);
		break;
	case LOOP_STOP:
		loop_stop(r);
	}
}

static void
loop_timers(struct relay *r)
{
	uint32_t i;

	while ((i = timer_expired(&r->wheel, r->now)) != TIMER_NONE) {
		if (i < r->sessions.count)
			session_timer(r, i);
		else if (i == r->sessions.count + TIMER_ACCEPT)
			accept_timer(r);
		else if (i == r->sessions.count + TIMER_REPORT)
			report_timer(r);
		else
			session_end_all(r, END_SHUTDOWN, false);
	}
}

void
loop_run(struct relay *r)
{
	static struct epoll_event events[LOOP_EVENTS];
	bool busy;
	int n, wait;

	loop_runs = 1;
	r->now = timer_now();
	while (!r->draining || r->sessions.used != 0) {
		busy = r->sessions.run_first != 0 || accept_wants_turn(r);
		wait = busy ? 0 : timer_wait(&r->wheel, r->now);
		n = epoll_wait(r->epoll, events, LOOP_EVENTS, wait);
		if (n == -1 && errno != EINTR)
			fatal("epoll_wait");
		r->now = timer_now();
		for (int i = 0; i < n; i++)
			loop_event(r, &events[i]);
		loop_timers(r);
		/* in proportion, so that neither side starves the other */
		session_run(r, 1 + (n > 0 ? (uint32_t)n / LOOP_SHARE : 0));
		accept_resume(r);
		dial_flush(r);
	}
	_exit(0);
}
