/*
 * The command line of tcpproxy(8) and sallyport's own options.  Runs in the
 * sallyport command as the starting user; looks up users, opens nothing.
 */
#include "options.h"

#include <sys/stat.h>

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "caps.h"
#include "help.h"

#define DEFAULT_CONFIG	"/etc/sallyport.conf"
#define DEFAULT_USER	"_sallyport"
#define MAX_CONNECTIONS	1000000
#define WORKERS_AUTO	8
#define DIR_LENGTH	64	/* sun_path must hold a name too */

enum { OPT_CHECK = 256, OPT_CONFIG, OPT_SANDBOX, OPT_WORKERS, OPT_MAXCONN,
	OPT_FORMAT, OPT_DIR, OPT_SESSIONS, OPT_READY };

static const char shorts[] = ":hvDu:g:C:P:L:Ul:t:p:r:R:o:s:b:c:";
static const struct option longs[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'v' },
	{ "nodaemonize", no_argument, NULL, 'D' },
	{ "username", required_argument, NULL, 'u' },
	{ "groupname", required_argument, NULL, 'g' },
	{ "chroot", required_argument, NULL, 'C' },
	{ "write-pid", required_argument, NULL, 'P' },
	{ "log", required_argument, NULL, 'L' },
	{ "debug", no_argument, NULL, 'U' },
	{ "local-addr", required_argument, NULL, 'l' },
	{ "local-resolv", required_argument, NULL, 't' },
	{ "local-port", required_argument, NULL, 'p' },
	{ "remote-addr", required_argument, NULL, 'r' },
	{ "remote-resolv", required_argument, NULL, 'R' },
	{ "remote-port", required_argument, NULL, 'o' },
	{ "source-addr", required_argument, NULL, 's' },
	{ "buffer-size", required_argument, NULL, 'b' },
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "print-config", no_argument, NULL, OPT_CONFIG },
	{ "print-sandbox", no_argument, NULL, OPT_SANDBOX },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "max-connections", required_argument, NULL, OPT_MAXCONN },
	{ "log-format", required_argument, NULL, OPT_FORMAT },
	{ "log-sessions", required_argument, NULL, OPT_SESSIONS },
	{ "ready-fd", required_argument, NULL, OPT_READY },
	{ "socket-dir", required_argument, NULL, OPT_DIR },
	{ NULL, 0, NULL, 0 }
};

struct given {			/* what needs the whole line to be decided */
	const char *user, *group, *jail, *config;
	bool	    port, debug;
};

/* "-u/--username" of an option character. */
static const char *
option_name(int c)
{
	static char name[32];

	for (const struct option *l = longs; l->name != NULL; l++)
		if (l->val == c) {
			if (c < 256)
				fmt_print(name, sizeof(name), "-%c/--%s", c,
				    l->name);
			else
				fmt_print(name, sizeof(name), "--%s", l->name);
			return (name);
		}
	return ("?");
}

_Noreturn static void
bad(int c, const char *value, const char *expected)
{
	log_error("option %s: '%s': expected %s", option_name(c), value,
	    expected);
	exit(2);
}

static uint64_t
number(int c, const char *value, uint64_t max, const char *expected)
{
	uint64_t n;

	if (fmt_number(value, max, &n) == -1 || n == 0)
		bad(c, value, expected);
	return (n);
}

static void
absolute(int c, char out[PATH_MAX], const char *path)
{
	char cwd[PATH_MAX] = "";

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		fatal("option %s: the current directory", option_name(c));
	if (path[0] == '\0' || strlen(cwd) + strlen(path) + 2 > PATH_MAX)
		bad(c, path, "a path that is neither empty nor too long");
	fmt_print(out, PATH_MAX, "%s%s%s", cwd, cwd[0] != '\0' ? "/" : "",
	    path);
}

static void
add_log(struct options *o, int c, char *text)
{
	struct option_log *l = &o->logs[o->nlogs];
	const char	  *why;

	if (o->nlogs == LOGSPEC_TARGETS)
		bad(c, text, "at most 15 targets");
	l->text = text;
	if (logspec_parse(text, &l->spec, &why) == -1) {
		log_error("option %s: '%s': %s", option_name(c), text, why);
		exit(2);
	}
	if (l->spec.kind == LOGSPEC_FILE)
		absolute(c, l->path, l->spec.path);
	for (size_t i = 0; i < o->nlogs; i++)
		if (l->spec.kind != LOGSPEC_FILE &&
		    o->logs[i].spec.kind == l->spec.kind)
			bad(c, text, "syslog, stdout and stderr once only");
	o->nlogs++;
}

static void
add_dir(struct options *o, int c, const char *path)
{
	char  *dir = o->dirs[o->ndirs % DIRS_MAX];
	size_t len;

	if (o->ndirs++ == DIRS_MAX)
		bad(c, path, "at most 4 directories");
	absolute(c, dir, path);
	for (len = strlen(dir); len > 1 && dir[len - 1] == '/'; len--)
		dir[len - 1] = '\0';
	if (len > DIR_LENGTH)
		bad(c, path, "a path of at most 64 bytes");
}

/* P binds and renames there: nobody else may. */
static void
check_dir(const char *dir)
{
	struct stat st;
	char	    path[PATH_MAX];

	if (realpath(dir, path) == NULL || lstat(dir, &st) == -1)
		fatal("option --socket-dir: %s", dir);
	if (strcmp(path, dir) != 0)
		fatalx("option --socket-dir: %s: expected a path without "
		    "links, dots and further slashes, such as %s", dir, path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fatalx("option --socket-dir: %s: expected a directory %s that "
		    "is not writable by group or others", dir,
		    geteuid() == 0 ? "of root's" : "of your own");
	/* whoever may write above it could put another one in its place */
	for (char *slash; (slash = strrchr(path, '/')) != NULL;) {
		*slash = '\0';
		if (stat(path[0] != '\0' ? path : "/", &st) == -1)
			fatal("option --socket-dir: %s", path);
		if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
		    ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 &&
		    (st.st_mode & S_ISVTX) == 0))
			fatalx("option --socket-dir: %s: others can write to "
			    "%s, above it", dir, path[0] != '\0' ? path :
			    "/");
	}
}

/*
 * Those who only check a configuration need not be who starts the daemon, and
 * the directories may be made at boot.
 */
static void
check_dirs(const struct options *o)
{
	for (size_t i = 0; i < o->ndirs && o->mode == RUN_DAEMON; i++)
		check_dir(o->dirs[i]);
}

/* Does it listen on a unix socket?  Then no -p is needed, nor allowed. */
static bool
listens_unix(const struct options *o)
{
	for (size_t i = 0; i < o->nargs; i += 2)
		if (o->args[i][1] == 'l')
			return (strncmp(o->args[i + 1], "unix:", 5) == 0);
	return (false);
}

/* An option that describes the listener: for the relay, as it stands. */
static void
add_listener(struct options *o, int c, char *value)
{
	static char letters[OPTIONS_ARGS / 2][3];
	static const char *const families[] = { "4", "ipv4", "6", "ipv6" };
	bool	    known = false;
	size_t	    i = 0;

	for (size_t j = 0; j < 4; j++)
		known = known || strcmp(value, families[j]) == 0;
	if ((c == 't' || c == 'R') && !known)
		bad(c, value, "ipv4, 4, ipv6 or 6");
	if (c == 'b')
		number(c, value, 1048576, "a number of bytes, 1 to 1048576");
	while (i < o->nargs && o->args[i][1] != c)
		i += 2;		/* given before: the last one counts */
	letters[i / 2][0] = '-';
	letters[i / 2][1] = (char)c;
	o->args[i] = letters[i / 2];
	o->args[i + 1] = value;
	if (i == o->nargs)
		o->nargs += 2;
}

/* P send(2)s to it. */
static int
ready_socket(int c, const char *value)
{
	struct stat st;
	uint64_t    fd;

	if (fmt_number(value, INT_MAX, &fd) == -1 || fd <= STDERR_FILENO ||
	    fstat((int)fd, &st) == -1 || !S_ISSOCK(st.st_mode))
		bad(c, value, "the number, above 2, of an open socket");
	return ((int)fd);
}

static void
take_long(struct options *o, int c, char *value)
{
	switch (c) {
	case OPT_CHECK:
		o->mode = RUN_CHECK;
		break;
	case OPT_CONFIG:
		o->mode = RUN_PRINT_CONFIG;
		break;
	case OPT_SANDBOX:
		o->mode = RUN_PRINT_SANDBOX;
		break;
	case OPT_WORKERS:
		if (strcmp(value, "auto") != 0)
			o->workers = (uint32_t)number(c, value, WORKERS_MAX,
			    "auto or a number from 1 to 8");
		break;
	case OPT_MAXCONN:
		o->max_connections = (uint32_t)number(c, value,
		    MAX_CONNECTIONS, "a number from 1 to 1000000");
		break;
	case OPT_DIR:
		add_dir(o, c, value);
		break;
	case OPT_SESSIONS:
		if (strcmp(value, "end") != 0 && strcmp(value, "all") != 0)
			bad(c, value, "end or all");
		o->sessions = value;
		break;
	case OPT_READY:
		o->ready = ready_socket(c, value);
		break;
	default:
		if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0 &&
		    strcmp(value, "tcpproxy") != 0)
			bad(c, value, "text, json or tcpproxy");
		o->format = value;
	}
}

static void
take(struct options *o, struct given *g, int c, char *value)
{
	if (value[0] == '-' && c != 'b')
		bad(c, value, "a value (this looks like an option)");
	switch (c) {
	case 'h':
		help_print(HELP_USAGE);
		exit(0);
	case 'v':
		help_print(HELP_VERSION);
		exit(0);
	case 'D':
		o->daemonize = false;
		break;
	case 'u':
		g->user = value;
		break;
	case 'g':
		g->group = value;
		break;
	case 'C':
		g->jail = value;
		break;
	case 'P':
		absolute(c, o->pidfile, value);
		break;
	case 'L':
		add_log(o, c, value);
		break;
	case 'U':
		g->debug = true;
		break;
	case 'c':
		g->config = value;
		break;
	case 'p':
		g->port = true;
		/* FALLTHROUGH */
	case 'l': case 't': case 'r': case 'R': case 'o': case 's': case 'b':
		add_listener(o, c, value);
		break;
	default:
		take_long(o, c, value);
	}
}

/* The group by name or number. */
static gid_t
find_group(int c, const char *name)
{
	const struct group *gr = getgrnam(name);
	uint64_t	    n;

	if (gr != NULL)
		return (gr->gr_gid);
	if (fmt_number(name, UINT32_MAX - 1, &n) == -1)
		fatalx("option %s: unknown group %s", option_name(c), name);
	return ((gid_t)n);
}

/* -u USER[:GROUP] and -g GROUP, each a name or a number. */
static void
find_user(struct options *o, const struct given *g)
{
	char		    name[256];
	char		   *group;
	const struct passwd *pw;
	uint64_t	    n;

	fmt_print(name, sizeof(name), "%s", g->user);
	if ((group = strchr(name, ':')) != NULL)
		*group++ = '\0';
	pw = getpwnam(name);
	if (pw == NULL && fmt_number(name, UINT32_MAX - 1, &n) == 0) {
		pw = getpwuid((uid_t)n);
		o->uid = (uid_t)n;
		if (pw == NULL && group == NULL && g->group == NULL)
			fatalx("option -u: uid %s has no name and so no group:"
			    " expected -g", name);
	} else if (pw == NULL) {
		fatalx("option -u: unknown user %s", name);
	}
	if (pw != NULL) {
		o->uid = pw->pw_uid;
		o->gid = pw->pw_gid;
	}
	if (group != NULL)
		o->gid = find_group('u', group);
	if (g->group != NULL)
		o->gid = find_group('g', g->group);
	if (o->uid == 0)
		fatalx("option -u: root: expected a user without privileges");
	if (o->uid == getuid() || o->uid == geteuid())
		fatalx("option -u: %s: expected another user than the one who "
		    "starts sallyport", name);
}

/* Those who enter the jail look again; here it can be said in time. */
static void
check_jail(const char *jail)
{
	struct stat st;

	if (lstat(jail, &st) == -1)
		fatal("option -C: jail %s", jail);
	if (!S_ISDIR(st.st_mode))
		fatalx("option -C: jail %s: Not a directory", jail);
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fatalx("option -C: jail %s: expected a directory of root's "
		    "that is not writable by group or others", jail);
}

/* Who can change drops to somebody in any case. */
static void
decide_identity(struct options *o, struct given *g)
{
	if (g->group != NULL && g->user == NULL) {
		log_warnx("option -g is ignored without -u");
		g->group = NULL;
	}
	if (o->mode == RUN_DAEMON)
		caps_check();
	if (!o->privileged) {
		if (o->mode == RUN_DAEMON &&
		    (g->user != NULL || g->jail != NULL))
			fatalx("option %s: only root can do that, or who has "
			    "the ambient capabilities that sallyport(8) names",
			    g->user != NULL ? "-u" : "-C");
		return;
	}
	if (g->user == NULL && getpwnam(DEFAULT_USER) != NULL) {
		g->user = DEFAULT_USER;
	} else if (g->user == NULL) {
		g->user = "nobody";
		if (o->mode == RUN_DAEMON)
			log_warnx("no -u and no user " DEFAULT_USER
			    ": running as nobody");
	}
	find_user(o, g);
	if (g->jail != NULL)
		absolute('C', o->jail, g->jail);
	else
		fmt_print(o->jail, PATH_MAX, "%s/empty", o->libexec);
	check_jail(o->jail);
}

/* ../libexec/sallyport beside the directory of this executable. */
static void
find_libexec(struct options *o)
{
	char	path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char   *slash;

	if (n <= 0)
		fatal("/proc/self/exe");
	path[n] = '\0';
	for (int up = 0; up < 2; up++)
		if ((slash = strrchr(path, '/')) != NULL)
			*slash = '\0';
	fmt_print(o->libexec, PATH_MAX, "%s/libexec/sallyport", path);
}

static void
decide_config(struct options *o, const struct given *g)
{
	bool single = g->port || listens_unix(o);

	if (single && g->config != NULL)
		log_warnx("local %s and config file specified, will ignore "
		    "config file", g->port ? "port" : "socket");
	if (!single && o->nargs > 0) {
		log_warnx("option %s is ignored without -p: the configuration "
		    "file is used", o->args[0]);
		o->nargs = 0;
	}
	if (!single)
		absolute('c', o->config, g->config != NULL ? g->config :
		    DEFAULT_CONFIG);
}

static void
decide_rest(struct options *o, struct given *g)
{
	static char default_log[] = LOGSPEC_DEFAULT;
	static char debug_log[] = "stdout:5";
	long	    cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (g->debug) {
		o->daemonize = false;
		add_log(o, 'U', debug_log);
	} else if (o->nlogs == 0) {
		add_log(o, 'L', default_log);
	}
	if (o->workers == 0) {
		o->workers = cpus < 1 ? 1 : cpus > WORKERS_AUTO ?
		    WORKERS_AUTO : (uint32_t)cpus;
		if (o->max_connections != 0 &&
		    o->workers > o->max_connections)
			o->workers = o->max_connections;
	}
	if (o->max_connections != 0 && o->workers > o->max_connections) {
		log_error("option --max-connections: %u: expected at least "
		    "one for each of %u workers", o->max_connections,
		    o->workers);
		exit(2);
	}
	find_libexec(o);
	decide_config(o, g);
	decide_identity(o, g);
	check_dirs(o);
}

void
options_parse(struct options *o, int argc, char **argv)
{
	struct given g = { .user = NULL };
	static char  no_value[] = "";
	int	     c;

	*o = (struct options){ .daemonize = true,
		.privileged = caps_privileged(), .format = "text",
		.sessions = "end", .ready = -1 };
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == ':' || c == '?') {
			log_error("%s: %s; see sallyport --help",
			    argv[optind - 1], c == ':' ?
			    "expected a value behind it" :
			    "unknown option (or an abbreviation of several)");
			exit(2);
		}
		take(o, &g, c, optarg != NULL ? optarg : no_value);
	}
	if (optind < argc) {
		log_error("'%s': expected options only; see sallyport --help",
		    argv[optind]);
		exit(2);
	}
	decide_rest(o, &g);
}
