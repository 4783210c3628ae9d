/*
 * Builds the command lines and descriptors with which P (priv/main.c) and
 * the relay (common/child.c) expect to be executed.  Runs in the sallyport
 * command, at its end.
 */
#include "exec.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/role.h"
#include "../common/wire.h"

/* As in priv/priv.h, whose includes are not for here. */
#define NTARGETS	16
#define FD_TARGETS	6	/* before: status, lock, notify */
#define FD_GIVEN	(FD_TARGETS + NTARGETS)
#define NWORDS		96

static char  *words[NWORDS];
static size_t nwords;

static void
add(char *word)
{
	if (nwords == NWORDS - 1 || word == NULL)
		fatalx("the command line is too long");
	words[nwords++] = word;
}

static void
add_text(const char *key, const char *value)
{
	size_t size = strlen(key) + strlen(value) + 1;
	char  *word = malloc(size);

	if (word != NULL)
		fmt_print(word, size, "%s%s", key, value);
	add(word);
}

static void
add_number(const char *key, uint32_t value)
{
	char text[16];

	fmt_print(text, sizeof(text), "%u", value);
	add_text(key, text);
}

/* The highest level that a target takes.  In tcpproxy(8)'s words lines have
   other levels, which the logger knows. */
static uint32_t
highest_level(const struct options *o)
{
	uint32_t level = LEVEL_WARNING;		/* that of the start-up */

	if (strcmp(o->format, "tcpproxy") == 0)
		return (LEVEL_DEBUG);
	for (size_t i = 0; i < o->nlogs; i++)
		if (o->logs[i].spec.level > level)
			level = o->logs[i].spec.level;
	return (level);
}

/* The words that common/child.c reads. */
static void
add_child_words(const struct options *o)
{
	static const char *const modes[] = {
		[RUN_DAEMON] = "run", [RUN_CHECK] = "check",
		[RUN_PRINT_CONFIG] = "config", [RUN_PRINT_SANDBOX] = "sandbox"
	};
	static char title[96];

	/* padded: the title, which each child writes in place */
	memset(title, ' ', sizeof(title) - 1);
	memcpy(title, "sallyport: child", 16);
	add(title);
	add_number("version=", WIRE_VERSION);
	add_number("workers=", o->workers);
	add_number("maxconn=", o->max_connections);
	add_number("level=", highest_level(o));
	add_text("mode=", modes[o->mode]);
	add_text("format=", o->format);
	add_text("sessions=", o->sessions);
	if (o->privileged) {
		add_number("uid=", o->uid);
		add_number("gid=", o->gid);
		add_text("jail=", o->jail);
	}
	if (o->config[0] != '\0' && o->mode != RUN_PRINT_SANDBOX)
		add_text("conf=", o->config);
	for (size_t i = 0; i < o->ndirs; i++)
		add_text("dir=", o->dirs[i]);
	for (size_t i = 0; i < o->nlogs; i++)
		add_text("log=", o->logs[i].text);
	add_text("--", "");
	for (size_t i = 0; i < o->nargs; i++)
		add(o->args[i]);
}

/* While P starts, warnings go to standard error, if no target shows them. */
static bool
wants_startup(const struct options *o)
{
	for (size_t i = 0; i < o->nlogs; i++)
		if (o->logs[i].spec.kind >= LOGSPEC_STDOUT &&
		    o->logs[i].spec.level >= LEVEL_WARNING)
			return (false);
	return (true);
}

/* What P must know of a target: how to open it again. */
static const char *
target_word(const struct option_log *l)
{
	if (l->spec.kind == LOGSPEC_FILE)
		return (l->path);
	return (l->spec.kind == LOGSPEC_SYSLOG ? "syslog" : "-");
}

/* Puts n (at most 32) descriptors at `at', at + 1 ... without close-on-exec;
   -1 leaves its place closed. */
static void
place(const int *fds, int n, int at)
{
	int high[32];

	/* first out of the way: one may stand in another's place */
	for (int i = 0; i < n; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
	for (int i = 0; i < n; i++) {
		if (dup2(high[i], at + i) == -1)
			close(at + i);
		close(high[i]);
	}
}

/* The environment is exactly TZ, if that is set. */
_Noreturn static void
execute(const struct options *o, const char *program)
{
	static char tz[256];
	char	    path[PATH_MAX];
	const char *zone = getenv("TZ");
	char	   *env[] = { NULL, NULL };

	if (zone != NULL && strlen(zone) < sizeof(tz) - 4) {
		fmt_print(tz, sizeof(tz), "TZ=%s", zone);
		env[0] = tz;
	}
	fmt_print(path, sizeof(path), "%s/%s", o->libexec, program);
	execve(path, words, env);
	fatal("cannot execute %s", path);
}

/* Here it can be told; later a missing one is a start that fails somehow. */
static void
check_programs(const struct options *o)
{
	static const char *const names[] = { "parent", "logger", "relay",
		"dialer", "resolver" };
	char			 path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fmt_print(path, sizeof(path), "%s/%s", o->libexec, names[i]);
		if (access(path, X_OK) == -1)
			fatal("cannot execute %s", path);
	}
}

void
exec_parent(const struct options *o, const struct exec_fds *f)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[FD_GIVEN] = { null, null, null,
		f->status != -1 ? f->status : null,
		f->lock != -1 ? f->lock : null,
		f->notify != -1 ? f->notify : null };

	check_programs(o);
	if (chdir("/") == -1)	/* nobody works in the caller's directory */
		fatal("chdir");
	add_text("sallyport: parent, v" SALLYPORT_VERSION, "");
	add_number("", o->workers);
	add_text("", o->libexec);
	add_text("", o->pidfile);
	add_text("", o->config);
	for (size_t i = 0; i < DIRS_MAX; i++)
		add_text("", o->dirs[i]);
	for (size_t i = 0; i < NTARGETS; i++) {
		bool startup = i == LOGSPEC_STARTUP && wants_startup(o);

		fds[FD_TARGETS + i] = i < o->nlogs ? f->targets[i] :
		    startup ? STDERR_FILENO : null;
		add_text("", i < o->nlogs ? target_word(&o->logs[i]) :
		    startup ? "-" : "");
	}
	add_child_words(o);
	place(fds, FD_GIVEN, 0);
	place(f->given, f->ngiven, FD_GIVEN);
	closefrom(FD_GIVEN + f->ngiven);
	execute(o, "parent");
}

void
exec_relay(const struct options *o, int conf)
{
	add_child_words(o);
	place((int[]){ -1, -1, conf }, 3, FD_CTL);
	closefrom(FD_CONF + 1);
	execute(o, "relay");
}
