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

#include "priv.h"

char	   **args;
uint32_t     workers;
static bool  ending, hup = true;

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
	uint64_t     end = clock_ms() + 2 * TICK;
	struct proc *p = NULL;

	while ((p = proc_next(p, NULL, ROLE_RELAY)) != NULL)
		kill(p->pid, SIGTERM);
	for (; proc_next(NULL, NULL, ROLE_RELAY) != NULL && clock_ms() < end;
	    reap())
		poll(NULL, 0, 10);
	for (struct gen *g = gens; g < gens + GEN_MAX; g++)
		gen_kill(g, NULL);
	log_text(LEVEL_NOTICE, "stopped");
	logs_stop();
	unlink(args[ARG_PIDFILE]);
	_exit(status);
}

/* A broken generation is replaced from the bytes that it runs on: at once,
   then after 1, 2, 4 ... 60 s. */
static void
replace(const struct gen *g)
{
	static uint64_t next, rest = TICK / 2;
	uint64_t	now = clock_ms();

	if (!g->broken || now < next)
		return;
	rest = now > next + 60 * TICK ? TICK : rest * 2;
	rest = rest > 60 * TICK ? 60 * TICK : rest;
	next = now + rest;
	log_error("a process has died: starting a new generation");
	gen_start(fcntl(g->conf, F_DUPFD_CLOEXEC, 0));
}

static void
obey(uint32_t sig)
{
	struct wire  m = { .type = WIRE_REPORT, .u.report.what =
	    sig == SIGUSR1 ? REPORT_LISTENERS : REPORT_SESSIONS };
	struct proc *p = NULL;
	struct gen  *g;

	if (sig == SIGTERM || sig == SIGINT) {
		stop(0);
	} else if (sig == SIGUSR1 || sig == SIGUSR2) {
		while ((p = proc_next(p, NULL, ROLE_RELAY)) != NULL)
			if (p->gen->state >= GEN_RUNNING)
				wire_send(p->ctl, &m, -1);
	} else if (sig == SIGQUIT) {
		ending = true;
		while ((g = gen_find(GEN_LOADING)) != NULL ||
		    (g = gen_find(GEN_HANDOVER)) != NULL)
			gen_kill(g, "sallyport ends");
		if ((g = gen_find(GEN_RUNNING)) != NULL)
			load_drain(g);
	} else if (sig == SIGHUP) {
		log_text(LEVEL_NOTICE, "SIGHUP");
		logs_reopen();
		hup = true;	/* one reload for many */
	}
}

/* Waits and takes what came. */
static void
wait_event(int signals)
{
	static struct pollfd	fds[PROC_MAX];
	struct signalfd_siginfo info;

	for (int i = 1; i < PROC_MAX; i++) {
		const struct proc *p = &procs[i];

		fds[i] = (struct pollfd){ .fd = p->pid != 0 ? p->ctl : -1 };
		if (p->pid != 0)
			fds[i].events = load_due(p) ? POLLOUT : p->gen->state ==
			    GEN_LOADING && !p->ready ? POLLIN : 0;
	}
	fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	poll(fds, PROC_MAX, TICK);
	for (struct proc *p = procs; (p = proc_next(p, NULL, ROLE_COUNT));)
		if ((fds[p - procs].revents & (POLLHUP | POLLERR)) != 0) {
			/* dead, or faking it; no place changes hands here */
			kill(p->pid, SIGKILL);
			close(p->ctl);
			p->ctl = -1;
		} else if ((fds[p - procs].revents & POLLIN) != 0) {
			reader_take(p);
		}
	reap();
	while (read(signals, &info, sizeof(info)) == sizeof(info))
		obey(info.ssi_signo);
}

int
main(int argc, char **argv)
{
	struct gen *running = NULL;
	sigset_t    all;
	int	    conf, signals;

	if (argc <= ARG_WORDS)
		fatalx("started by hand? The command is sallyport");
	args = argv;
	workers = (uint32_t)(argv[ARG_WORKERS][0] - '0');
	sigfillset(&all);
	signals = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 || signals == -1)
		fatal("start");
	for (;; wait_event(signals)) {
		logs_tick();
		for (struct gen *g = gens; g < gens + GEN_MAX; g++) {
			if (g->state > GEN_LOADING && g->state != GEN_RUNNING)
				load_send(g);
			if (g->deadline != 0 && clock_ms() >= g->deadline)
				gen_kill(g, "its time is over");
		}
		if (running == NULL && gen_find(GEN_RUNNING) != NULL) {
			logs_started();
			send(FD_STATUS, "", 1, MSG_NOSIGNAL);
			close(FD_STATUS);
		}
		running = gen_find(GEN_RUNNING);
		if (gen_find(GEN_LOADING) || gen_find(GEN_HANDOVER))
			continue;
		if (hup && !ending) {
			hup = false;
			conf = -1;
			if (argv[ARG_CONFIG][0] == '\0' ||
			    (conf = config_open(argv[ARG_CONFIG])) != -1)
				gen_start(conf);
		} else if (running != NULL) {
			replace(running);
		}
		if (proc_next(procs, NULL, ROLE_COUNT) == NULL &&
		    (running == NULL || ending))
			stop(!ending);
	}
}
