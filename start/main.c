/*
 * The sallyport command.  It reads the options, looks up the user, takes
 * from itself what the daemon must not have, detaches, and then becomes the
 * parent process by exec: what parsed and looked up is not part of what
 * stays privileged.  It runs with the rights of who started it.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <bsd/libutil.h>
#include <errno.h>
#include <unistd.h>

#include "../common/conf_file.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "exec.h"
#include "harden.h"
#include "options.h"

static struct options options;

/* The configuration for the modes that print: as the daemon would take it. */
static int
open_config(void)
{
	const char *why;
	int	    fd;

	if (options.mode == RUN_PRINT_SANDBOX || options.config[0] == '\0')
		return (-1);
	if ((fd = conf_file_open(options.config, &why)) == -1)
		fatalx("configuration file %s: %s", options.config, why);
	return (fd);
}

/* Locked for the life of the daemon: the lock stays with the descriptor. */
static struct pidfh *
lock_pid_file(void)
{
	struct pidfh *file;
	pid_t	      other = -1;

	if (options.pidfile[0] == '\0')
		return (NULL);
	umask(022);
	file = pidfile_open(options.pidfile, 0644, &other);
	umask(077);
	if (file == NULL && errno == EEXIST)
		fatalx("pid file %s: sallyport is running already, as pid %d",
		    options.pidfile, other);
	if (file == NULL)
		fatal("option -P: cannot open %s", options.pidfile);
	return (file);
}

/*
 * The daemon goes on in a child; the caller's process waits for one byte,
 * its exit status: no byte means that the start has failed.
 */
static int
detach(void)
{
	unsigned char status = 1;
	int	      fd[2];
	pid_t	      pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == -1 ||
	    (pid = fork()) == -1)
		fatal("cannot become a daemon");
	if (pid != 0) {
		close(fd[1]);
		if (read(fd[0], &status, 1) != 1)
			status = 1;
		_exit(status);
	}
	close(fd[0]);
	if (setsid() == -1 || chdir("/") == -1)
		fatal("cannot become a daemon");
	return (fd[1]);
}

/* What the logger writes to; P opens the files again at SIGHUP. */
static void
open_targets(int targets[LOGSPEC_TARGETS])
{
	for (size_t i = 0; i < options.nlogs; i++) {
		const struct option_log *l = &options.logs[i];

		if (l->spec.kind == LOGSPEC_FILE)
			targets[i] = fd_open_log(l->path);
		else if (l->spec.kind == LOGSPEC_SYSLOG)
			targets[i] = socket(AF_UNIX,
			    SOCK_DGRAM | SOCK_CLOEXEC, 0);
		else
			targets[i] = l->spec.kind == LOGSPEC_STDOUT ?
			    STDOUT_FILENO : STDERR_FILENO;
		if (targets[i] == -1)
			fatal("option -L: cannot open %s%s", l->text,
			    geteuid() == 0 && errno == EACCES ? " (root itself "
			    "needs permission: it has no DAC_OVERRIDE)" : "");
	}
}

int
main(int argc, char **argv)
{
	struct exec_fds fds = { .status = -1, .lock = -1 };
	struct pidfh   *file;

	harden_start();
	options_parse(&options, argc, argv);
	if (options.mode != RUN_DAEMON)
		exec_relay(&options, open_config());
	fds.ngiven = service_sockets(fds.given);
	fds.notify = service_notify();
	if ((file = lock_pid_file()) != NULL)
		fds.lock = pidfile_fileno(file);
	if (options.daemonize)
		fds.status = detach();
	else
		fds.status = options.ready;
	if (file != NULL && pidfile_write(file) == -1)
		fatal("option -P: cannot write %s", options.pidfile);
	harden_self(&options);	/* before: P must be able to open them too */
	open_targets(fds.targets);
	exec_parent(&options, &fds);
}
