/*
 * P's start, loop and end.  The sallyport command (start/) executes it with
 * words instead of options, and with descriptors, limits, capabilities,
 * filter and signal mask already in place.
 */
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include <poll.h>

#include "../common/conf_file.h"
#include "priv.h"

char	   **args;
uint32_t     workers;
int	     given = FD_GIVEN;
static bool  ending, hup = true, told;	/* told: systemd knows that we run */

static void
reap(void)
{
	int   status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct proc *p = procs; p < procs + PROC_MAX; p++)
			if (p->pid == pid)
				gen_reap(p, status);
}

/* Waits until no process of this role is left, 2 s at most. */
static void
await(uint32_t role)
{
	uint64_t end = clock_us() + 2 * TICK;

	for (; proc_next(NULL, NULL, role) && clock_us() < end; reap())
		poll(NULL, 0, 10);
}

/* Ends everything, the logger last. */
_Noreturn static void
stop(int status)
{
	struct proc *p = NULL;

	notify_send("STOPPING=1");
	while ((p = proc_next(p, NULL, ROLE_RELAY)) != NULL)
		if (p->gen->state < GEN_RUNNING)
			gen_kill(p->gen, NULL);
		else
			kill(p->pid, SIGTERM);
	await(ROLE_RELAY);
	for (struct gen *g = gens; g < gens + GEN_MAX; g++)
		gen_kill(g, NULL);
	log_words(LEVEL_NOTICE, "stopped", NULL);
	logs_stop();
	await(ROLE_LOGGER);
	if (procs[0].pid != 0)
		kill(procs[0].pid, SIGKILL);
	unlink(args[ARG_PIDFILE]);
	_exit(status);
}

/* A broken generation is replaced from the bytes that it runs on: at once,
   then after 1, 2, 4 ... 60 s; but five times a minute at most. */
static void
replace(const struct gen *g)
{
	static uint64_t times[5], next, rest = TICK / 2;
	static unsigned count;
	uint64_t	now = clock_us();

	if (!g->broken || now < next)
		return;
	if (count >= 5 && now < times[count % 5] + 60 * TICK) {
		log_words(LEVEL_ERROR, "a process has died: 5 replacements in "
		    "a minute, giving up", NULL);
		stop(1);
	}
	times[count++ % 5] = now;
	rest = now > next + 60 * TICK ? TICK : rest < 32 * TICK ? rest * 2 :
	    60 * TICK;
	next = now + rest;
	log_words(LEVEL_ERROR, "a process has died: starting a new "
	    "generation", NULL);
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
		notify_send("STOPPING=1");
		while ((g = gen_find(GEN_LOADING)) != NULL ||
		    (g = gen_find(GEN_HANDOVER)) != NULL)
			gen_kill(g, "sallyport ends");
		if ((g = gen_find(GEN_RUNNING)) != NULL)
			load_drain(g);
	} else if (sig == SIGHUP) {
		log_words(LEVEL_NOTICE, "SIGHUP", NULL);
		logs_reopen();
		if (!ending)
			notify_send("RELOADING=1");
		hup = true;	/* one reload for many */
		told = false;
	}
}

/* Waits and takes what came. */
static void
wait_event(int signals)
{
	static struct pollfd	fds[PROC_MAX];
	struct signalfd_siginfo info;

	for (const struct proc *p = procs + 1; p < procs + PROC_MAX; p++)
		fds[p - procs] = (struct pollfd){ p->pid == 0 ? -1 : p->ctl,
			p->pid == 0 || (p->ready && !load_due(p)) ? 0 :
			p->ready ? POLLOUT : POLLIN, 0 };
	fds[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
	poll(fds, PROC_MAX, TICK / 1000);
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
	struct gen *running;
	sigset_t    all;
	const char *why;
	int	    conf, signals;

	while (fcntl(given, F_GETFD) != -1)
		given++;
	sigfillset(&all);
	signals = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
	if (argc <= ARG_WORDS || signals == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return (1);
	args = argv;
	workers = (uint32_t)(argv[ARG_WORKERS][0] - '0');
	for (;; wait_event(signals)) {
		logs_tick();
		for (struct gen *g = gens; g < gens + GEN_MAX; g++) {
			if (g->state > GEN_LOADING && g->state != GEN_RUNNING)
				load_send(g);
			if (g->deadline != 0 && clock_us() >= g->deadline)
				gen_kill(g, "its time is over");
		}
		running = gen_find(GEN_RUNNING);
		if (gen_find(GEN_LOADING) || gen_find(GEN_HANDOVER))
			continue;
		if (hup && !ending) {
			hup = false;
			conf = -1;
			if (argv[ARG_CONFIG][0] == '\0' || (conf =
			    conf_file_open(argv[ARG_CONFIG], &why)) != -1)
				gen_start(conf);
			else
				log_words(LEVEL_ERROR, "configuration file ",
				    argv[ARG_CONFIG], ": ", why, NULL);
		} else if (running != NULL) {
			if (!told)
				notify_ready();
			told = true;
			replace(running);
		}
		if (proc_next(procs, NULL, ROLE_COUNT) == NULL &&
		    (running == NULL || ending))
			stop(!ending);
	}
}
