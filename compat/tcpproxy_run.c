/*
 * Starts `sallyport -D' and stays as its parent.  Runs in the front: takes
 * the signals, says and does about them what tcpproxy(8) did, and passes on
 * what sallyport shall know.  Of its rights it keeps those that the
 * translating child needs to give up its own.
 *
 * The configuration is a memfd, which sallyport opens as a file of this
 * process in /proc: nothing is left behind however this ends, and a reload
 * finds the next one under the same name.
 */
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tcpproxy.h"

#define WORDS		64
#define CONF_LEAST	10	/* descriptor of the configuration */
#define STOP_SECONDS	10	/* sallyport itself needs 5 at most */

static const struct {
	int	    number;
	const char *name;
} signals[] = { { SIGHUP, "Hup" }, { SIGUSR1, "Usr1" }, { SIGUSR2, "Usr2" },
	{ SIGTERM, "Term" }, { SIGINT, "Int" }, { SIGQUIT, "Quit" } };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static struct front {
	const struct options *o;
	struct translator    *translator;
	pid_t	 server;	/* sallyport's parent process */
	int	 conf;		/* the configuration that is in effect */
	int	 ready;		/* socket: is it running?  -1: it is */
	int	 caller;	/* socket of who waits for that, or -1 */
	pid_t	 old;		/* his process id */
	int	 pid_file;
	int	 pid_error;	/* why there is none */
	bool	 running;
	bool	 again;		/* SIGHUP came while translating */
} front;

/* --- sallyport ------------------------------------------------------------ */

static const char *
make(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *
make(const char *format, ...)
{
	va_list ap;
	char   *text;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) == -1)
		exit(FAILED);
	va_end(ap);
	return (text);
}

/* What the options mean for sallyport; one worker, as descriptors are the
   names of clients in the log. */
static size_t
make_words(const struct options *o, const char **words)
{
	static const char *const fixed[] = { "--workers", "1",
		"--log-format", "tcpproxy", "--log-sessions", "all" };
	size_t n = sizeof(fixed) / sizeof(fixed[0]);

	memcpy(words, fixed, sizeof(fixed));
	if (o->user != NULL) {
		words[n++] = "-u";
		words[n++] = o->user;
	}
	if (o->user != NULL && o->group != NULL) {
		words[n++] = "-g";
		words[n++] = o->group;
	}
	if (o->jail != NULL) {
		words[n++] = "-C";
		words[n++] = o->jail;
	}
	return (n + log_words(words + n, WORDS - 8 - n));
}

void
run_print(const struct options *o)
{
	const char *words[WORDS];
	size_t	    n = make_words(o, words);

	printf("# sallyport");
	for (size_t i = 0; i < n; i++)
		printf(" %s", words[i]);
	printf(" -c FILE\n");
}

/* The command beside this one. */
static const char *
command(void)
{
	char	path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char   *slash;

	path[n > 0 ? n : 0] = '\0';
	if ((slash = strrchr(path, '/')) == NULL) {
		log_line(LEVEL_ERROR, "/proc/self/exe: %s", strerror(errno));
		exit(FAILED);
	}
	slash[1] = '\0';
	return (make("%ssallyport", path));
}

/* In the child, which ends when the front does. */
_Noreturn static void
become_sallyport(int ready, pid_t parent)
{
	const char *words[WORDS], *path = command();
	char	    go;
	size_t	    n = 0;

	words[n++] = "sallyport";
	words[n++] = "-D";
	words[n++] = "--ready-fd";
	words[n++] = make("%d", ready);
	words[n++] = "-c";
	words[n++] = make("/proc/%d/fd/%d", (int)parent, front.conf);
	n += make_words(front.o, words + n);
	words[n] = NULL;
	/* a service manager knows the front, as the program that it was */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LISTEN_FDS");
	/* a terminal's signals are for the front */
	if (setsid() == -1 || fcntl(ready, F_SETFD, 0) == -1 ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 || getppid() != parent ||
	    read(ready, &go, 1) != 1)
		_exit(FAILED);
	execv(path, (char **)(uintptr_t)words);
	log_line(LEVEL_ERROR, "cannot execute %s: %s", path, strerror(errno));
	_exit(FAILED);
}

/* Less than sallyport has: otherwise it could not look at our files. */
static void
cut_capabilities(void)
{
	bool root = geteuid() == 0;

	capng_clear(CAPNG_SELECT_ALL);
	/* the child of another user than root changes to nobody else */
	if ((root && capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE |
	    CAPNG_PERMITTED | CAPNG_BOUNDING_SET, CAP_SETUID, CAP_SETGID, -1)
	    == -1) || capng_apply(root ? CAPNG_SELECT_BOTH :
	    CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) != 0) {
		log_line(LEVEL_ERROR, "the capabilities could not be cut");
		exit(FAILED);
	}
}

static void
start(void)
{
	pid_t self = getpid();
	int   fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == -1 ||
	    (front.server = fork()) == -1) {
		log_line(LEVEL_ERROR, "fork: %s", strerror(errno));
		exit(FAILED);
	}
	if (front.server == 0) {
		close(fd[0]);
		become_sallyport(fd[1], self);
	}
	close(fd[1]);
	front.ready = fd[0];
	cut_capabilities();
	if (send(front.ready, "", 1, MSG_NOSIGNAL) == -1)
		log_line(LEVEL_ERROR, "sallyport: %s", strerror(errno));
}

/* --- the start, and the end ----------------------------------------------- */

/* Not emptied yet: another tcpproxy may run, and the port be busy. */
static void
open_pid_file(void)
{
	front.pid_file = -1;
	if (front.o->pid_file == NULL)
		return;
	front.pid_file = open(front.o->pid_file, O_WRONLY | O_CREAT |
	    O_CLOEXEC | O_NOCTTY, 0666);
	if (front.pid_file == -1)
		front.pid_error = errno;
}

static void
write_pid_file(void)
{
	if (front.pid_file == -1)
		return;
	if (ftruncate(front.pid_file, 0) == -1 ||
	    dprintf(front.pid_file, "%d", (int)getpid()) < 0)
		log_line(LEVEL_WARNING, "unable to write pid file: %s",
		    strerror(errno));
	close(front.pid_file);
}

/* The caller's process ends when it is told, and takes his files along. */
static void
leave_caller(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (null != -1)
			dup2(null, fd);
	if (chdir("/") == -1)
		log_line(LEVEL_WARNING, "chdir: %s", strerror(errno));
	umask(027);
	log_line(LEVEL_INFO, "running in background now (old pid: %d)",
	    (int)front.old);
	send(front.caller, "", 1, MSG_NOSIGNAL);
	close(front.caller);
	front.caller = -1;
}

static void
started(void)
{
	char byte;

	if (recv(front.ready, &byte, 1, 0) != 1) {
		/* its end will be told by SIGCHLD */
		close(front.ready);
		front.ready = -1;
		return;
	}
	close(front.ready);
	front.ready = -1;
	front.running = true;
	translate_tell(front.conf);
	if (front.pid_error != 0)
		log_line(LEVEL_WARNING, "unable to open pid file: %s",
		    strerror(front.pid_error));
	if (front.o->jail != NULL)
		log_line(LEVEL_NOTICE, "we are in chroot jail (%s) now",
		    front.o->jail);
	if (front.o->user != NULL && front.o->group != NULL)
		log_line(LEVEL_NOTICE, "dropped privileges to %s:%s",
		    front.o->user, front.o->group);
	if (front.caller != -1)
		leave_caller();
	write_pid_file();
	log_line(LEVEL_INFO, "entering main loop");
}

/* Waits for sallyport's end, but not for ever. */
static void
stop_server(void)
{
	struct timespec limit = { .tv_sec = STOP_SECONDS };
	sigset_t	child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	kill(front.server, SIGTERM);
	while (waitpid(front.server, NULL, WNOHANG) == 0)
		if (sigtimedwait(&child, NULL, &limit) == -1 &&
		    errno == EAGAIN)
			kill(front.server, SIGKILL);
}

_Noreturn static void
stop(int sig)
{
	sigset_t none;

	if (front.translator->pid != 0)
		kill(front.translator->pid, SIGKILL);
	stop_server();
	log_line(LEVEL_NOTICE, "shutdown after signal");
	signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	kill(getpid(), sig);
	_exit(FAILED);
}

_Noreturn static void
server_gone(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		log_line(LEVEL_NOTICE, "normal shutdown");
		exit(0);
	}
	if (front.running)
		log_line(LEVEL_NOTICE, "shutdown after error");
	exit(FAILED);
}

/* --- signals -------------------------------------------------------------- */

static void
reload(void)
{
	const struct options *o = front.o;

	if (o->config == NULL) {
		log_line(LEVEL_NOTICE,
		    "ignoring SIGHUP: no config file specified");
		return;
	}
	front.again = front.translator->pid != 0;
	if (front.again)
		return;
	log_line(LEVEL_NOTICE, "re-reading config file: %s", o->config);
	(void)translate_start(front.translator, o, front.conf);
}

static void
reloaded(int status)
{
	struct translator *t = front.translator;

	if (translate_end(t, front.o, status, true) &&
	    dup3(t->fd, front.conf, O_CLOEXEC) != -1) {
		log_reopen();
		translate_tell(front.conf);
		kill(front.server, SIGHUP);
	}
	close(t->fd);
	if (front.again)
		reload();
}

static void
reap(void)
{
	pid_t pid;
	int   status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == front.server)
			server_gone(status);
		else if (pid == front.translator->pid)
			reloaded(status);
}

static void
obey(int sig)
{
	bool   end = sig == SIGTERM || sig == SIGINT || sig == SIGQUIT;
	size_t i = 0;

	if (sig == SIGCHLD) {
		reap();
		return;
	}
	while (i < SIGNALS - 1 && signals[i].number != sig)
		i++;
	log_line(LEVEL_NOTICE, "SIG-%s caught%s", signals[i].name,
	    end ? ", exitting" : "");
	if (end)
		stop(sig);
	else if (sig == SIGHUP)
		reload();
	else
		kill(front.server, sig);
}

void
run(const struct options *o, struct translator *t, int conf, int caller,
    pid_t old)
{
	struct signalfd_siginfo info;
	sigset_t		set;
	int			fd;

	front = (struct front){ .o = o, .translator = t, .caller = caller,
		.old = old };
	front.conf = fcntl(conf, F_DUPFD_CLOEXEC, CONF_LEAST);
	close(conf);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1 || front.conf == -1) {
		log_line(LEVEL_ERROR, "start: %s", strerror(errno));
		exit(FAILED);
	}
	open_pid_file();
	start();
	for (;;) {
		struct pollfd p[2] = { { fd, POLLIN, 0 },
			{ front.ready, POLLIN, 0 } };

		if (poll(p, 2, -1) == -1)
			continue;
		if (p[1].revents != 0)
			started();
		while (read(fd, &info, sizeof(info)) == sizeof(info))
			obey((int)info.ssi_signo);
	}
}
