/*
 * P's start, loop and end.  The sallyport command (start/) executes it with
 * words instead of options, and with descriptors, limits, capabilities,
 * filter and signal mask already in place.
 */
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <poll.h>
#include <time.h>

#include "priv.h"

#define TICK	    1000	/* ms: nothing waits longer than this */
#define STOP_TIME   2000	/* ms for the relays' last lines */
#define BACKOFF_MAX 60000	/* ms between replacements, from TICK on */

struct parameters parameters;
static bool	  ending, hup;

/* Each death goes to its generation, the logger's to the next tick. */
static void
reap(void)
{
	int   status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct proc *p = procs; p < procs + PROC_MAX; p++)
			if (p->pid == pid && p->gen != NULL)
				gen_reap(p, status);
			else if (p->pid == pid)
				spawn_close(p);
}

/* Ends everything, the logger last. */
_Noreturn static void
stop(int status)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	uint64_t	      end = clock_ms() + STOP_TIME;
	struct proc	     *p = NULL;

	while ((p = proc_next(p, NULL, ROLE_RELAY)) != NULL)
		kill(p->pid, SIGTERM);
	for (; proc_next(NULL, NULL, ROLE_RELAY) != NULL && clock_ms() < end;
	    reap())
		nanosleep(&tick, NULL);
	for (struct gen *g = gens; g < gens + GEN_MAX; g++)
		gen_kill(g, NULL);
	log_text(LEVEL_NOTICE, "stopped");
	logs_stop();
	if (parameters.pidfile[0] != '\0')
		unlink(parameters.pidfile);
	_exit(status);
}

static void
report(enum wire_report what)
{
	const struct wire m = { .type = WIRE_REPORT, .u.report.what = what };
	struct proc	 *p = NULL;

	while ((p = proc_next(p, NULL, ROLE_RELAY)) != NULL)
		if (p->gen->state >= GEN_RUNNING)
			wire_send(p->ctl, &m, -1);	/* may be dropped */
}

/* SIGHUP: a new generation with the file as it is now; or all stays. */
static void
reload(void)
{
	int conf;

	hup = false;
	if (parameters.config[0] == '\0') {
		log_text(LEVEL_NOTICE, "SIGHUP: there is no configuration "
		    "file; the logs were reopened");
		return;
	}
	log_text(LEVEL_NOTICE, "SIGHUP: reading %s", parameters.config);
	if ((conf = config_open(parameters.config)) != -1)
		gen_start(conf);
	close(conf);
}

/* A broken generation is replaced from the bytes that it runs on. */
static void
replace(const struct gen *g)
{
	static uint64_t last, backoff;
	uint64_t	now = clock_ms();

	if (g == NULL || !g->broken || now < last + backoff)
		return;
	backoff = backoff == 0 || now > last + 2 * BACKOFF_MAX ? TICK :
	    backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : backoff * 2;
	last = now;
	log_error("a process has died: starting a new generation");
	gen_start(g->conf);
}

static void
drain_all(void)
{
	ending = true;
	for (struct gen *g = gens; g < gens + GEN_MAX; g++)
		if (g->state < GEN_RUNNING)
			gen_kill(g, "sallyport ends");
		else if (g->state == GEN_RUNNING)
			load_drain(g);
}

static void
obey(uint32_t sig)
{
	if (sig == SIGTERM || sig == SIGINT)
		stop(0);
	if (sig == SIGUSR1 || sig == SIGUSR2)
		report(sig == SIGUSR1 ? REPORT_LISTENERS : REPORT_SESSIONS);
	if (sig == SIGQUIT)
		drain_all();
	if (sig == SIGHUP) {
		logs_open();
		hup = true;	/* one reload for many */
	}
}

/* Waits and takes what came: deaths first, they explain hang-ups. */
static void
wait_event(int signals)
{
	static struct pollfd	fds[PROC_MAX];
	static pid_t		pids[PROC_MAX];	/* a place may change hands */
	struct signalfd_siginfo info;

	fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (int i = 1; i < PROC_MAX; i++) {
		const struct proc *p = &procs[i];

		fds[i] = (struct pollfd){ .fd = p->pid != 0 ? p->ctl : -1 };
		pids[i] = p->pid;
		if (p->pid != 0 && load_due(p))
			fds[i].events = POLLOUT;
		else if (p->pid != 0 && p->role == ROLE_RELAY &&
		    p->gen->state == GEN_LOADING && !p->ready)
			fds[i].events = POLLIN;
	}
	poll(fds, PROC_MAX, TICK);
	reap();
	for (struct proc *p = procs; (p = proc_next(p, NULL, ROLE_COUNT));)
		if (p->pid != pids[p - procs])
			continue;
		else if ((fds[p - procs].revents & POLLIN) != 0)
			reader_take(p);
		else if ((fds[p - procs].revents & (POLLHUP | POLLERR)) != 0) {
			/* a live child can fake this; no matter to a dead */
			kill(p->pid, SIGKILL);
			close(p->ctl);
			p->ctl = -1;
		}
	while (read(signals, &info, sizeof(info)) == sizeof(info))
		obey(info.ssi_signo);
}

static void
tick(void)
{
	logs_tick();
	for (struct gen *g = gens; g < gens + GEN_MAX; g++) {
		if (g->state == GEN_HANDOVER || g->state == GEN_DRAINING)
			load_send(g);
		if (g->deadline != 0 && clock_ms() >= g->deadline)
			gen_kill(g, "its time is over");
	}
}

/* argv: see start/exec.c, which runs with our rights and is trusted. */
int
main(int argc, char **argv)
{
	bool	 started = false;
	sigset_t all;
	int	 conf = -1, signals;

	if (argc < 5 + TARGET_MAX)
		fatalx("started by hand? The command is sallyport");
	parameters = (struct parameters){ (uint32_t)(argv[1][0] - '0'),
		argv[2], argv[3], argv[4], argv + 5, argv + 5 + TARGET_MAX };
	sigfillset(&all);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 || (signals =
	    signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC)) == -1)
		fatal("start");
	if (!logs_open() || (parameters.config[0] != '\0' &&
	    (conf = config_open(parameters.config)) == -1))
		return (1);
	logs_tick();
	gen_start(conf);
	close(conf);
	for (;;) {
		const struct gen *running = gen_find(GEN_RUNNING);

		if (!started && running != NULL) {
			started = true;
			logs_started();
			send(FD_STATUS, "", 1, MSG_NOSIGNAL);
			close(FD_STATUS);
		}
		if (gen_find(GEN_LOADING) == NULL &&
		    gen_find(GEN_HANDOVER) == NULL) {
			if (!started || (ending &&
			    proc_next(procs, NULL, ROLE_COUNT) == NULL))
				stop(started ? 0 : 1);
			if (hup && !ending)
				reload();
			else if (!ending)
				replace(running);
		}
		wait_event(signals);
		tick();
	}
}
