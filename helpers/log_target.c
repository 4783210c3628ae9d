/*
 * The logger's targets: syslog socket, files, standard output and error.
 * Runs in the logger, confined; writes to the descriptors that P handed
 * over and never waits for one of them longer than stream_write() says.
 */
#include "log_target.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/logfmt_tcpproxy.h"
#include "../common/logspec.h"
#include "../common/timer.h"

#define TARGETS		(LOGSPEC_TARGETS + 1)
#define SECOND		1000	/* all times are in ms */
#define GUARD_MS	100	/* longest write to a pipe or terminal */

enum target_how {
	HOW_FILE,	/* write(2) does not wait for others */
	HOW_STREAM,	/* pipe, terminal: write(2) may wait */
	HOW_SOCKET
};

enum target_form {
	FORM_TEXT,
	FORM_JSON,
	FORM_CTIME,
	FORM_SYSLOG,
	FORM_PLAIN
};

struct target {
	int fd;			/* -1: none */
	enum target_how how;
	enum target_form form;
	enum log_level level;
	struct logfmt_syslog syslog;
	uint64_t lost;		/* lines not written */
	int error;		/* why the last one was not */
	uint64_t retry;		/* leave it alone until then */
	bool midline;		/* the last line was written in part */
	bool once;		/* is not opened again */
};

static struct logspec specs[LOGSPEC_TARGETS];
static struct target targets[TARGETS];
static struct logfmt_clock wall;
static bool waiting;	/* a target may have a loss to report */
static bool tcpproxy;	/* in the words of tcpproxy(8) */

static void
timer_signal(int sig)
{
	(void)sig;
}

static void
guard_set(unsigned ms)
{
	struct itimerval it = {
		.it_value.tv_usec = ms * 1000,
		.it_interval.tv_usec = ms * 1000
	};

	setitimer(ITIMER_REAL, &it, NULL);
}

/*
 * Standard output and error belong to the user, so they can't be made
 * non-blocking.  They are written to when poll(2) says that there is room:
 * then a pipe has room for PIPE_BUF bytes, more than any line.  It may still
 * be gone when another process writes to the same pipe in between, and a
 * terminal may have room for less than a line: hence the timer, which
 * interrupts a write that waits (and fires again, should it have come too
 * early).  What remains: such a write holds up the logger for a tenth of a
 * second, but no more often than once a second, and nobody waits for it.
 */
static ssize_t
stream_write(struct target *t, const char *buf, size_t len)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLOUT };
	ssize_t n;
	int error;

	if (timer_now() < t->retry || poll(&pfd, 1, 0) != 1) {
		errno = EAGAIN;
		return (-1);
	}
	guard_set(GUARD_MS);
	n = write(t->fd, buf, len);
	error = errno;
	guard_set(0);
	if ((n == -1 && error == EINTR) || (n >= 0 && (size_t)n < len)) {
		t->retry = timer_now() + SECOND;
		error = EAGAIN;
	}
	errno = error;
	return (n);
}

/* A write that an error stops half-way is short; the next one tells why. */
static ssize_t
file_write(struct target *t, const char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	errno = ENOSPC;	/* if nothing is taken without a reason */
	while (done < len) {
		n = write(t->fd, buf + done, len - done);
		if (n <= 0)
			return (done > 0 ? (ssize_t)done : n);
		done += (size_t)n;
	}
	return ((ssize_t)done);
}

static ssize_t
socket_write(struct target *t, const char *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	errno = EAGAIN;	/* if only a part is taken */
	n = sendmsg(t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == -1 && errno == ENOTCONN)
		errno = ECONNREFUSED;	/* which is told only once */
	return (n);
}

/* Not if the file was emptied meanwhile, as logrotate's copytruncate does. */
static bool
ends_midline(const struct target *t)
{
	struct stat st;

	return (t->midline && (t->how != HOW_FILE ||
	    fstat(t->fd, &st) == -1 || st.st_size != 0));
}

void
target_close(uint32_t index)
{
	if (targets[index].fd != -1)
		close(targets[index].fd);
	targets[index].fd = -1;
}

/* Writes the line, which has room for one more byte in front.  0 or -1. */
static int
target_write(struct target *t, char *buf, size_t len)
{
	ssize_t n;

	if (ends_midline(t)) {
		*--buf = '\n';
		len++;
	}
	if (t->how == HOW_STREAM)
		n = stream_write(t, buf, len);
	else if (t->how == HOW_SOCKET)
		n = socket_write(t, buf, len);
	else
		n = file_write(t, buf, len);
	if (n == (ssize_t)len) {
		t->midline = false;
		return (0);
	}
	t->error = errno;
	if (t->once && t->error == EPIPE) {
		/* nobody will ever read what is written there */
		target_close((uint32_t)(t - targets));
		return (0);
	}
	if (n > 0)
		t->midline = t->form != FORM_SYSLOG;
	return (-1);
}

static int
target_format(struct target *t, const struct logfmt_entry *e)
{
	static char buf[1 + LOGFMT_MAX];
	char *line = buf + 1;
	size_t len = 0;

	switch (t->form) {
	case FORM_TEXT:
		len = logfmt_text(line, e, &wall);
		break;
	case FORM_JSON:
		len = logfmt_json(line, e, &wall);
		break;
	case FORM_CTIME:
		len = logfmt_ctime(line, e, &wall);
		break;
	case FORM_SYSLOG:
		len = logfmt_syslog(line, e, &wall, &t->syslog);
		break;
	case FORM_PLAIN:
		len = logfmt_plain(line, e);
		break;
	}
	return (target_write(t, line, len));
}

/* Tells the target what it has lost, before anything else.  0 or -1. */
static int
loss_report(struct target *t)
{
	struct logfmt_entry e = {
		.who = { .role = ROLE_LOGGER }, .level = LEVEL_WARNING
	};
	char text[128];

	if (t->lost == 0)
		return (0);
	errno = t->error;
	fmt_print(text, sizeof(text), t->error == EAGAIN ?
	    "%llu lines lost: the target did not take them" :
	    "%llu lines lost: %m", (unsigned long long)t->lost);
	e.text = text;
	if (target_format(t, &e) == -1)
		return (-1);
	t->lost = 0;
	return (0);
}

static void
wall_tick(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	logfmt_tick(&wall, &ts);
}

void
target_line(const struct logfmt_entry *e)
{
	struct target *t;

	wall_tick();
	for (t = targets; t < targets + TARGETS; t++) {
		if (t->fd == -1 || e->level > t->level)
			continue;
		if (loss_report(t) == -1 || target_format(t, e) == -1) {
			t->lost++;
			waiting = true;
		}
	}
}

void
target_translate(struct logfmt_entry *e)
{
	static char text[LOGFMT_TCPPROXY];

	if (tcpproxy)
		logfmt_tcpproxy(e, text);
}

bool
target_wants(enum log_level level)
{
	const struct target *t;

	for (t = targets; t < targets + TARGETS; t++)
		if (t->fd != -1 && level <= t->level)
			return (true);
	return (false);
}

void
target_warnx(const char *format, ...)
{
	struct logfmt_entry e = {
		.who = { .role = ROLE_LOGGER }, .level = LEVEL_WARNING
	};
	char text[256];
	va_list ap;

	va_start(ap, format);
	fmt_vprint(text, sizeof(text), format, ap);
	va_end(ap);
	e.text = text;
	target_line(&e);
}

int
target_open(uint32_t index, int fd)
{
	struct target *t;
	struct stat old, st;

	if (index >= TARGETS) {
		close(fd);
		return (-1);
	}
	t = &targets[index];
	if (fstat(fd, &st) == -1)
		st = (struct stat){ .st_mode = S_IFREG };
	/* what was opened again, and not replaced, may end in half a line */
	if (t->fd == -1 || fstat(t->fd, &old) == -1 ||
	    old.st_dev != st.st_dev || old.st_ino != st.st_ino)
		t->midline = false;
	target_close(index);
	if (S_ISSOCK(st.st_mode))
		t->how = HOW_SOCKET;
	else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		t->how = HOW_STREAM;
	else
		t->how = HOW_FILE;
	t->retry = 0;
	t->fd = fd;
	return (0);
}

void
target_init(const struct child *c)
{
	bool json = strcmp(c->format, "json") == 0;
	struct sigaction sa = { .sa_handler = timer_signal };
	const char *why;
	struct target *t;
	int i;

	/* without SA_RESTART: it shall interrupt */
	if (sigaction(SIGALRM, &sa, NULL) == -1)
		fatal("sigaction");
	for (t = targets; t < targets + TARGETS; t++)
		t->fd = -1;
	targets[LOGSPEC_STARTUP].form = FORM_PLAIN;
	tcpproxy = strcmp(c->format, "tcpproxy") == 0;
	/* that program said nothing on standard error unless asked to */
	targets[LOGSPEC_STARTUP].level = tcpproxy ? LEVEL_OFF : LEVEL_WARNING;
	if (c->nargs > LOGSPEC_TARGETS)
		fatalx("%d log targets, expected at most %d", c->nargs,
		    LOGSPEC_TARGETS);
	for (i = 0; i < c->nargs; i++) {
		if (logspec_parse(c->args[i], &specs[i], &why) == -1)
			fatalx("%s: %s", c->args[i], why);
		t = &targets[i];
		t->level = specs[i].level;
		t->form = json ? FORM_JSON : tcpproxy ? FORM_CTIME : FORM_TEXT;
		if (specs[i].kind == LOGSPEC_SYSLOG)
			t->form = FORM_SYSLOG;
		t->once = specs[i].kind >= LOGSPEC_STDOUT;
		t->syslog.ident = specs[i].ident;
		t->syslog.facility = specs[i].facility;
		t->syslog.pid = (uint32_t)getppid();
		t->syslog.bare = tcpproxy;
	}
}

bool
target_waiting(void)
{
	return (waiting);
}

void
target_report(void)
{
	struct target *t;

	waiting = false;
	wall_tick();
	for (t = targets; t < targets + TARGETS; t++)
		if (t->fd != -1 && loss_report(t) == -1)
			waiting = true;
}
