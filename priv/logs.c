/*
 * Keeps a logger alive and its targets open.  Runs in P; touches the files
 * and the syslog socket of the command line, which start/ has opened at
 * FD_TARGETS and behind, each at its number.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <poll.h>

#include "priv.h"

static struct proc *logger = procs, self = { .id.type = WIRE_HELPER };
static struct stat  syslogd;		/* the socket we are connected to */
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

void
logs_started(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	wire_send(logger->ctl, &(struct wire){ .type = WIRE_DRAIN }, -1);
	fd_place((int[]){ null, null, null }, 3, 0);
	fd_place(&null, 1, FD_TARGETS + TARGET_MAX - 1);
	close(null);
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
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY |
		    O_NONBLOCK | O_CLOEXEC, 0640);
		if (fd != -1)
			dup2(fd, FD_TARGETS + i);
		else
			log_warn("cannot open the log %s again (root itself "
			    "needs permission: it has no DAC_OVERRIDE)", path);
		close(fd);
		tell_target(i);
	}
}

/*
 * Once a second: another syslogd (connecting P's copy of the socket connects
 * the logger's too), or a new logger, which learns of all targets and
 * senders.  On error a later tick.
 */
void
logs_tick(void)
{
	struct sockaddr_un	 sun = { AF_UNIX, "/dev/log" };
	struct proc		*p = procs;
	struct stat		 st;

	if (clock_ms() < next_tick)
		return;
	next_tick = clock_ms() + TICK;
	for (int i = 0; i < TARGET_MAX; i++)
		if (args[ARG_TARGETS + i][0] == 's' &&
		    stat(sun.sun_path, &st) == 0 &&
		    (st.st_ino != syslogd.st_ino ||
		    st.st_ctim.tv_nsec != syslogd.st_ctim.tv_nsec) &&
		    connect(FD_TARGETS + i, (void *)&sun, sizeof(sun)) == 0)
			syslogd = st;
	if (logger->pid == 0 && (self.log[0] != 0 || fd_pair(self.log)) &&
	    spawn_start(NULL, ROLE_LOGGER, 0)->pid != 0) {
		for (int i = 0; i < TARGET_MAX; i++)
			if (args[ARG_TARGETS + i][0] != '\0')
				tell_target(i);
		logs_introduce(&self);
		while ((p = proc_next(p, NULL, ROLE_COUNT)) != NULL)
			p->known = false;
		log_open(self.log[1]);
	}
	for (p = procs; (p = proc_next(p, NULL, ROLE_COUNT)) != NULL;)
		if (!p->known)
			logs_introduce(p);
}

/* Waits 2 s at most until it has written everything. */
void
logs_stop(void)
{
	pid_t pid = logger->pid;

	close(self.log[0]);
	close(self.log[1]);
	spawn_close(logger);
	for (int i = 0; waitpid(pid, NULL, WNOHANG) == 0; i++) {
		poll(NULL, 0, 10);
		if (i == 200)
			kill(pid, SIGKILL);
	}
}
