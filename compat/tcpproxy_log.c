/*
 * The log of the front: what it says itself, before sallyport runs and about
 * signals, in the form in which sallyport's logger writes the rest
 * (--log-format tcpproxy).  Runs in the front and in the translating child;
 * writes to the targets of -L, and waits for none of them.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#define SYSLOG_NAMES
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "tcpproxy.h"

#define TARGETS		15	/* as many as sallyport has */
#define IDENT_MOST	47	/* and as long */
#define LINE		4096

enum { UNKNOWN_TARGET = 253, REPEATED_TARGET = 252 };	/* exit statuses */
enum kind { KIND_SYSLOG, KIND_FILE, KIND_STDOUT, KIND_STDERR };

static const char *const kinds[] = { "syslog", "file", "stdout", "stderr" };

static struct target {
	enum kind kind;
	int	  level;	/* 0 to 9 */
	int	  fd;		/* -1: not open, or syslog */
	char	 *path;		/* file: absolute */
	char	 *ident;
	int	  facility;
	const char *facility_name;
} targets[TARGETS];
static size_t ntargets;
static bool   print_only;	/* no target is opened */

_Noreturn static void
refuse(int status, const char *why, const char *value)
{
	fprintf(stderr, "%s: '%s', exitting\n", why, value);
	exit(status);
}

/* The n bytes as a string of their own. */
static char *
copy(const char *text, size_t n)
{
	char *s = strndup(text, n);

	if (s == NULL) {
		fputs("memory error on log_add_target, exitting\n", stderr);
		exit(254);
	}
	return (s);
}

/* NAME[,FACILITY]; what stands behind another comma does not matter. */
static bool
parse_syslog(struct target *t, const char *text)
{
	size_t	    n = strcspn(text, ",");
	const CODE *c = facilitynames;

	t->ident = copy(text, n > IDENT_MOST ? IDENT_MOST : n);
	if (text[n] == '\0')
		return (n > 0);
	text += n + 1;
	while (c->c_name != NULL && (strlen(c->c_name) != strcspn(text, ",") ||
	    strncmp(c->c_name, text, strlen(c->c_name)) != 0))
		c++;
	t->facility = c->c_val;
	t->facility_name = c->c_name;
	return (n > 0 && c->c_name != NULL);
}

/* Absolute, as sallyport and a daemon in / need it. */
static bool
parse_file(struct target *t, const char *text)
{
	size_t n = strcspn(text, ",");
	char   cwd[PATH_MAX] = "", path[2 * PATH_MAX];

	if (text[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		cwd[0] = '\0';
	snprintf(path, sizeof(path), "%s%s%.*s", cwd, cwd[0] != '\0' ? "/" :
	    "", (int)n, text);
	t->path = copy(path, sizeof(path));
	return (n > 0);
}

/* LEVEL[,PARAMETERS] */
static bool
parse_level(struct target *t, const char *text)
{
	if (!isdigit((unsigned char)text[0]) ||
	    (text[1] != '\0' && text[1] != ','))
		return (false);
	t->level = text[0] - '0';
	if (t->kind == KIND_SYSLOG)
		return (text[1] == '\0' ? parse_syslog(t, "tcpproxy") :
		    parse_syslog(t, text + 2));
	if (t->kind == KIND_FILE)
		return (text[1] == '\0' ? parse_file(t, "tcpproxy.log") :
		    parse_file(t, text + 2));
	return (true);
}

static void
open_target(struct target *t)
{
	if (t->kind == KIND_FILE)
		t->fd = open(t->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND |
		    O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0666);
	else if (t->kind != KIND_SYSLOG)
		t->fd = t->kind == KIND_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
}

static void
add_target(const char *value)
{
	const char    *colon = strchr(value, ':');
	struct target *t = &targets[ntargets];
	size_t	       kind = 0;

	/* the start of the word is enough, whatever follows */
	while (kind < 4 && strncmp(value, kinds[kind],
	    strlen(kinds[kind])) != 0)
		kind++;
	if (kind == 4)
		refuse(UNKNOWN_TARGET, "unknown log target", value);
	for (size_t i = 0; i < ntargets; i++)
		if (targets[i].kind == kind && kind != KIND_FILE)
			refuse(REPEATED_TARGET,
			    "this log target is only allowed once", value);
	if (ntargets == TARGETS)
		refuse(FAILED, "more than 15 log targets", value);
	*t = (struct target){ .kind = (enum kind)kind, .fd = -1,
		.facility = LOG_DAEMON, .facility_name = "daemon" };
	if (colon == NULL || !parse_level(t, colon + 1))
		refuse(FAILED, "syntax error near", value);
	if (!print_only)
		open_target(t);
	ntargets++;
}

void
log_open(const struct options *o)
{
	print_only = o->print;
	for (size_t i = 0; i < o->nlogs; i++)
		add_target(o->logs[i]);
}

void
log_reopen(void)
{
	for (struct target *t = targets; t < targets + ntargets; t++) {
		int fd = -1;

		if (t->fd != -1 && t->kind == KIND_FILE)
			fd = open(t->path, O_WRONLY | O_CREAT | O_APPEND |
			    O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
		if (fd != -1) {
			close(t->fd);
			t->fd = fd;
		}
	}
}

/* A pipe or terminal that has no room now does without the line. */
static void
write_line(int fd, const char *line, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, 0) == 1 && write(fd, line, len) == -1)
		return;
}

/* syslog(3) would wait for a daemon that is stuck. */
static void
write_syslog(const struct target *t, enum log_level level, const char *date,
    const char *text)
{
	struct sockaddr_un sun = { AF_UNIX, "/dev/log" };
	char		   line[LINE + 128];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int len;

	/* "Nov 20 18:02:03" of the other targets' date */
	len = snprintf(line, sizeof(line), "<%d>%.15s %s[%d]: %s",
	    t->facility | ((int)level + 2), date + 4, t->ident, (int)getpid(),
	    text);
	if (fd == -1)
		return;
	(void)sendto(fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&sun, sizeof(sun));
	close(fd);
}

void
log_line(enum log_level level, const char *format, ...)
{
	static const char *const names[] = { "OFF", "ERROR", "WARNING",
		"NOTICE", "INFO", "DEBUG" };
	char		       text[LINE], line[LINE + 64], date[32] = "";
	time_t		       now = time(NULL);
	va_list		       ap;
	int		       len;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *p = text; *p != '\0'; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';	/* one line stays one line */
	if (ctime_r(&now, date) != NULL)
		date[strcspn(date, "\n")] = '\0';
	len = snprintf(line, sizeof(line), "%s %s: %s\n", date, names[level],
	    text);
	if (print_only && level <= LEVEL_WARNING)
		write_line(STDERR_FILENO, line, (size_t)len);
	for (struct target *t = targets; t < targets + ntargets; t++) {
		if (print_only || t->level < (int)level)
			continue;
		if (t->kind == KIND_SYSLOG)
			write_syslog(t, level, date, text);
		else if (t->fd != -1)
			write_line(t->fd, line, (size_t)len);
	}
}

bool
log_uses(int fd)
{
	for (struct target *t = targets; t < targets + ntargets; t++)
		if (t->level > 0 && t->kind == (fd == STDOUT_FILENO ?
		    KIND_STDOUT : KIND_STDERR))
			return (true);
	return (false);
}

/* sallyport knows the facilities of syslog(3), of which this is none. */
static const char *
facility_word(const struct target *t)
{
	return (strcmp(t->facility_name, "mark") == 0 ? "syslog" :
	    t->facility_name);
}

/* What is off or could not be opened is not for sallyport. */
size_t
log_words(const char **words, size_t room)
{
	size_t n = 0;
	char  *word;

	for (struct target *t = targets; t < targets + ntargets; t++) {
		if (t->level == 0 || (t->kind != KIND_SYSLOG && t->fd == -1 &&
		    !print_only))
			continue;
		if (asprintf(&word, "%s:%d%s%s%s%s", kinds[t->kind],
		    t->level > LEVEL_DEBUG ? LEVEL_DEBUG : t->level,
		    t->kind <= KIND_FILE ? "," : "",
		    t->kind == KIND_SYSLOG ? t->ident :
		    t->kind == KIND_FILE ? t->path : "",
		    t->kind == KIND_SYSLOG ? "," : "",
		    t->kind == KIND_SYSLOG ? facility_word(t) : "") == -1 ||
		    n + 2 > room)
			exit(FAILED);
		words[n++] = "-L";
		words[n++] = word;
	}
	if (n == 0) {		/* or sallyport would use its default */
		words[n++] = "-L";
		words[n++] = "stderr:0";
	}
	return (n);
}
