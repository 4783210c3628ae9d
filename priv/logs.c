/*
 * Keeps a logger alive and its targets open.  Runs in P; touches the files
 * and the syslog socket of the command line, which start/ has opened at
 * FD_TARGETS and behind, each at its number.
 */
#include <sys/un.h>

#include "priv.h"

static struct proc *logger = procs, self = { .id.type = WIRE_HELPER };
static uint64_t	    next_tick;

/* A logger that can't be told is killed, and replaced. */
static void
tell_target(int i)
{
	const struct wire m = { .type = WIRE_LOG, .index = (uint32_t)i };

	if (logger->pid != 0 &&
	    wire_send(logger->ctl, &m, FD_TARGETS + i) == -1)
		kill(logger->pid, SIGKILL);
}

/* If its queue is full, a later tick tries again. */
void
logs_introduce(struct proc *p)
{
	p->known = wire_send(logger->ctl, &p->id, p->log[0]) == 0;
}

/* SIGHUP: files that can't be opened now go on as they were. */
void
logs_reopen(void)
{
	for (int i = 0; i < TARGET_MAX; i++) {
		const char *path = args[ARG_TARGETS + i];
		int	    fd;

		if (path[0] != '/')
			continue;
		if ((fd = fd_open_log(path)) != -1)
			dup2(fd, FD_TARGETS + i);
		else
			log_words(LEVEL_WARNING, "cannot open the log ", path,
			    " again (root itself needs permission: it has no "
			    "DAC_OVERRIDE): ", strerrordesc_np(errno), NULL);
		close(fd);
		tell_target(i);
	}
}

/*
 * Once a second: syslogd, which may be another one (connecting P's copy of
 * the socket connects the logger's too), or a new logger, which learns of
 * all targets and senders.  On error a later tick.
 */
void
logs_tick(void)
{
	struct sockaddr_un	 sun = { AF_UNIX, "/dev/log" };
	struct proc		*p = procs;

	if (clock_us() < next_tick)
		return;
	next_tick = clock_us() + TICK;
	for (int i = 0; i < TARGET_MAX; i++)
		if (args[ARG_TARGETS + i][0] == 's')
			(void)connect(FD_TARGETS + i, (void *)&sun,
			    sizeof(sun));
	if (logger->pid == 0 && (self.log[0] != 0 || fd_pair(self.log)) &&
	    spawn_start(NULL, ROLE_LOGGER, 0)->pid != 0) {
		for (int i = 0; i < TARGET_MAX; i++)
			if (args[ARG_TARGETS + i][0] != '\0')
				tell_target(i);
		logs_introduce(&self);
		while ((p = proc_next(p, NULL, ROLE_COUNT)) != NULL)
			p->known = false;
		log_socket = self.log[1];
	}
	for (p = procs; (p = proc_next(p, NULL, ROLE_COUNT)) != NULL;)
		if (!p->known)
			logs_introduce(p);
}

/* At the end of all its channels it ends; the ones of the dead are closed. */
void
logs_stop(void)
{
	pid_t pid = logger->pid;

	close(self.log[0]);
	close(self.log[1]);
	spawn_close(logger);
	logger->pid = pid;	/* still to be waited for */
}
