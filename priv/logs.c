/*
 * Opens what the logger writes to and keeps a logger alive.  Runs in P;
 * touches the files and the syslog socket of the command line.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <time.h>

#include "priv.h"

static int	    fds[TARGET_MAX];	/* 0: not open */
static struct proc *logger = procs, self = { .id.type = WIRE_HELPER };
static ino_t	    syslog_inode;

/* A message to the logger; one that takes none is killed and replaced. */
static void
tell(const struct wire *m, int fd)
{
	if (logger->pid != 0 && wire_send(logger->ctl, m, fd) == -1)
		kill(logger->pid, SIGKILL);
}

static void
tell_target(int i, int fd)
{
	tell(&(struct wire){ .type = WIRE_LOG, .index = (uint32_t)i }, fd);
}

void
logs_introduce(const struct proc *p)
{
	tell(&p->id, p->log[0]);
}

void
logs_started(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	tell(&(struct wire){ .type = WIRE_DRAIN }, -1);
	parameters.targets[TARGET_MAX - 1][0] = '\0';
	fds[TARGET_MAX - 1] = 0;
	fd_place((int[]){ null, null, null }, 3, 0);
	close(null);
}

/*
 * A path is opened each time, the others once.  Connecting P's copy of the
 * syslog socket again, to another syslogd, connects the logger's too.
 */
static int
open_target(const char *target, int old)
{
	const struct sockaddr_un sun = { AF_UNIX, "/dev/log" };
	struct stat		 st;

	if (target[0] == '/')
		return (open(target, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY |
		    O_NONBLOCK | O_CLOEXEC, 0640));
	if (target[0] != 's')
		return (target[0] == '\0' ? 0 : target[0] - '0');
	if (old == 0)
		old = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (stat(sun.sun_path, &st) == 0 && st.st_ino != syslog_inode &&
	    connect(old, (const void *)&sun, sizeof(sun)) == 0)
		syslog_inode = st.st_ino;
	return (old);
}

/* What can't be opened goes on as it was. */
bool
logs_open(void)
{
	bool ok = true;

	for (int i = 0; i < TARGET_MAX; i++) {
		int fd = open_target(parameters.targets[i], fds[i]);

		if (fd == -1) {
			log_warn("cannot open the log %s (even root needs the "
			    "permissions here: it has no DAC_OVERRIDE)",
			    parameters.targets[i]);
			ok = false;
		} else if (fd != fds[i]) {
			if (fds[i] != 0)
				close(fds[i]);
			fds[i] = fd;
			tell_target(i, fd);
		}
	}
	return (ok);
}

/* A new logger learns of all targets and senders; on error a later tick. */
void
logs_tick(void)
{
	struct proc *p = NULL;

	for (int i = 0; i < TARGET_MAX; i++)
		if (parameters.targets[i][0] == 's')
			open_target("s", fds[i]);
	if (logger->pid != 0)
		return;
	if ((self.log[0] == 0 && !fd_pair(self.log)) ||
	    !spawn_start(logger, NULL, ROLE_LOGGER, 0, -1))
		return;
	for (int i = 0; i < TARGET_MAX; i++)
		if (fds[i] != 0)
			tell_target(i, fds[i]);
	logs_introduce(&self);
	while ((p = proc_next(p, NULL, ROLE_COUNT)) != NULL)
		logs_introduce(p);
	log_open(self.log[1]);
}

/* Waits 2 s at most until it has written everything. */
void
logs_stop(void)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	pid_t		      pid = logger->pid;

	close(self.log[0]);
	close(self.log[1]);
	spawn_close(logger);
	for (int i = 0; i < 200 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&pause, NULL);
}
