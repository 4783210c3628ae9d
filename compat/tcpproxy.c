/*
 * tcpproxy(8)'s command: the order in which things happen at the start, and
 * becoming a daemon.  Runs with the rights of who started it.
 */
#include "tcpproxy.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPIED 2		/* standard output and error */

/* Logged already. */
_Noreturn static void
give_up(void)
{
	exit(FAILED);
}

/*
 * -u and -g; the latter alone is ignored.  sallyport does not run as root
 * what the network can reach; where tcpproxy(8) would have, it gets its
 * usual user.
 */
static void
find_user(struct options *o, struct translator *t)
{
	const struct passwd *pw = NULL;
	const struct group  *gr;

	if (o->user != NULL && (pw = getpwnam(o->user)) == NULL) {
		log_line(LEVEL_ERROR, "unknown user %s", o->user);
		give_up();
	}
	if (pw != NULL) {
		gr = o->group != NULL ? getgrnam(o->group) :
		    getgrgid(pw->pw_gid);
		if (gr == NULL) {
			log_line(LEVEL_ERROR, "unknown group %s",
			    o->group != NULL ? o->group : "(null)");
			give_up();
		}
		if (geteuid() != 0) {
			log_line(LEVEL_ERROR, "setgid('%s') failed: %s",
			    gr->gr_name, strerror(EPERM));
			give_up();
		}
		o->group = strdup(gr->gr_name);
		t->gid = gr->gr_gid;
		t->uid = pw->pw_uid;
	}
	if (geteuid() != 0 || t->uid != 0)
		return;
	o->user = DEFAULT_USER;
	if ((pw = getpwnam(o->user)) == NULL)
		pw = getpwnam(o->user = OTHER_USER);
	o->group = NULL;
	if (pw == NULL) {
		log_line(LEVEL_ERROR, "unknown user %s", o->user);
		give_up();
	}
	t->uid = pw->pw_uid;
	t->gid = pw->pw_gid;
}

/* sallyport takes no jail that somebody else could furnish. */
static void
check_jail(struct options *o)
{
	struct stat st;

	if (o->jail == NULL)
		return;
	if (geteuid() != 0) {
		log_line(LEVEL_ERROR, "this program has to be run as root in "
		    "order to run in a chroot");
		give_up();
	}
	if (stat(o->jail, &st) == -1 ||
	    (!S_ISDIR(st.st_mode) && (errno = ENOTDIR) != 0)) {
		log_line(LEVEL_ERROR, "can't chroot to %s: %s", o->jail,
		    strerror(errno));
		give_up();
	}
	if ((o->jail = realpath(o->jail, NULL)) == NULL)
		give_up();
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		log_line(LEVEL_WARNING, "%s is not root's, or can be written "
		    "to by others: an empty directory is used instead",
		    o->jail);
		o->jail = NULL;
	}
}

static const char *
absolute(const char *path)
{
	char  cwd[PATH_MAX];
	char *text;

	if (path[0] == '/')
		return (path);
	if (getcwd(cwd, sizeof(cwd)) == NULL ||
	    asprintf(&text, "%s/%s", cwd, path) == -1) {
		log_line(LEVEL_ERROR, "getcwd: %s", strerror(errno));
		return (NULL);
	}
	return (text);
}

static void
decide(struct options *o)
{
	if (o->config != NULL && o->one.local_port != NULL) {
		log_line(LEVEL_WARNING, "local port and config file specified,"
		    " will ignore config file");
		o->config = NULL;
	}
	if (o->buffer_size <= 0) {
		log_line(LEVEL_WARNING, "illegal buffer size %d using default "
		    "buffer size", o->buffer_size);
		o->buffer_size = BUFFER_SIZE;
	}
	if (o->buffer_size > BUFFER_MOST)
		o->buffer_size = BUFFER_MOST;
}

static void
translate(struct translator *t, const struct options *o)
{
	int status;

	if (!translate_start(t, o, -1) ||
	    waitpid(t->pid, &status, 0) == -1 ||
	    !translate_end(t, o, status, false))
		give_up();
}

static void
print(struct translator *t, const struct options *o)
{
	char	buf[4096];
	ssize_t n;

	run_print(o);
	if (lseek(t->fd, 0, SEEK_SET) == -1)
		give_up();
	while ((n = read(t->fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	if (fflush(stdout) != 0)
		give_up();
	exit(0);
}

/* --- becoming a daemon ---------------------------------------------------- */

/* What there is now.  False at the end. */
static bool
copy(int from, int to)
{
	char	buf[4096];
	ssize_t n = read(from, buf, sizeof(buf));

	return (n > 0 && write(to, buf, (size_t)n) == n);
}

/*
 * In the caller's process.  The log on his standard output and error passes
 * through here, so that the daemon has neither of them.  Returns the exit
 * status.
 */
static int
wait_caller(int status, int *from)
{
	struct pollfd p[1 + COPIED];
	unsigned char byte = FAILED;
	int	      got;

	do {
		p[0] = (struct pollfd){ status, POLLIN, 0 };
		for (int i = 0; i < COPIED; i++)
			p[1 + i] = (struct pollfd){ from[i], POLLIN, 0 };
		got = poll(p, 1 + COPIED, -1);
		for (int i = 0; i < COPIED && got > 0; i++)
			if (p[1 + i].revents != 0 && !copy(from[i], 1 + i))
				from[i] = -1;
	} while (got == -1 || p[0].revents == 0);
	if (read(status, &byte, 1) != 1)
		byte = FAILED;
	for (int i = 0; i < COPIED; i++) {
		struct pollfd last = { from[i], POLLIN, 0 };

		while (from[i] != -1 && (byte == FAILED ||
		    poll(&last, 1, 0) == 1) && copy(from[i], 1 + i))
			continue;
	}
	return (byte);
}

/* Returns, in the daemon to be, the socket on which the caller waits. */
static int
detach(void)
{
	int   status[2], from[COPIED] = { -1, -1 }, to[COPIED] = { -1, -1 };
	int   fd[2];
	pid_t pid = -1;

	for (int i = 0; i < COPIED; i++)
		if (log_uses(1 + i) && pipe2(fd, O_CLOEXEC) == 0) {
			from[i] = fd[0];
			to[i] = fd[1];
		}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, status) == -1 ||
	    (pid = fork()) == -1) {
		log_line(LEVEL_ERROR, "daemonizing failed at fork(): %s, "
		    "exitting", strerror(errno));
		give_up();
	}
	for (int i = 0; pid != 0 && i < COPIED; i++)
		close(to[i]);
	if (pid != 0) {
		close(status[1]);
		_exit(wait_caller(status[0], from));
	}
	for (int i = 0; i < COPIED; i++)
		if (to[i] != -1) {
			dup2(to[i], 1 + i);
			close(to[i]);
			close(from[i]);
		}
	close(status[0]);
	/* no leader of the session: it will never get a terminal */
	if (setsid() == -1 || (pid = fork()) == -1) {
		log_line(LEVEL_ERROR, "daemonizing failed at setsid(): %s, "
		    "exitting", strerror(errno));
		give_up();
	}
	if (pid != 0)
		_exit(0);
	return (status[1]);
}

/* 0-2 are there, whatever the caller has closed. */
static void
open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd == -1)
		give_up();
	/* the caller's files are not for what stays, nor for its children */
	closefrom(STDERR_FILENO + 1);
}

int
main(int argc, char **argv)
{
	static struct options o;
	struct translator     t = { .fd = -1 };
	pid_t		      old = getpid();
	int		      caller = -1;

	open_standard();
	options_parse(&o, argc, argv);
	log_open(&o);
	log_line(LEVEL_NOTICE, "just started...");
	decide(&o);
	/* at SIGHUP a daemon is in another directory */
	if (o.config != NULL && (o.config_at = absolute(o.config)) == NULL)
		give_up();
	find_user(&o, &t);
	check_jail(&o);
	translate(&t, &o);
	if (o.print)
		print(&t, &o);
	if (!o.foreground)
		caller = detach();
	run(&o, &t, t.fd, caller, old);
}
