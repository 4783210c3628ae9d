/*
 * The command line of tcpproxy(8).  Runs in the front; touches nothing.
 * Options are compared as a whole: no abbreviations, no `--name=value', no
 * letters in one word.
 */
#include <netinet/in.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tcpproxy.h"

enum kind { KIND_FLAG, KIND_TEXT, KIND_FAMILY, KIND_NUMBER, KIND_LOG,
	KIND_HELP, KIND_VERSION };

#define AT(member) offsetof(struct options, member)

static const struct option {
	const char *letter, *name;
	enum kind   kind;
	size_t	    at;
} options[] = {
	{ "-h", "--help", KIND_HELP, 0 },
	{ "-v", "--version", KIND_VERSION, 0 },
	{ "-D", "--nodaemonize", KIND_FLAG, AT(foreground) },
	{ "-u", "--username", KIND_TEXT, AT(user) },
	{ "-g", "--groupname", KIND_TEXT, AT(group) },
	{ "-C", "--chroot", KIND_TEXT, AT(jail) },
	{ "-P", "--write-pid", KIND_TEXT, AT(pid_file) },
	{ "-L", "--log", KIND_LOG, 0 },
	{ "-U", "--debug", KIND_FLAG, AT(debug) },
	{ "-l", "--local-addr", KIND_TEXT, AT(one.local) },
	{ "-t", "--local-resolv", KIND_FAMILY, AT(one.local_family) },
	{ "-p", "--local-port", KIND_TEXT, AT(one.local_port) },
	{ "-r", "--remote-addr", KIND_TEXT, AT(one.remote) },
	{ "-R", "--remote-resolv", KIND_FAMILY, AT(one.remote_family) },
	{ "-o", "--remote-port", KIND_TEXT, AT(one.remote_port) },
	{ "-s", "--source-addr", KIND_TEXT, AT(one.source) },
	{ "-c", "--config", KIND_TEXT, AT(config) },
	{ "-b", "--buffer-size", KIND_NUMBER, AT(buffer_size) },
	{ "--print-config", "--print-config", KIND_FLAG, AT(print) },
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void
print_usage(void)
{
	puts("usage: tcpproxy [options]\n"
	    "  -h, --help                 this text\n"
	    "  -v, --version              the version\n"
	    "  -D, --nodaemonize          stay in the foreground\n"
	    "  -u, --username NAME        run as this user\n"
	    "  -g, --groupname NAME       run as this group\n"
	    "  -C, --chroot DIR           run in this root directory\n"
	    "  -P, --write-pid FILE       write the process id to a file\n"
	    "  -L, --log TARGET:LEVEL[,PARAMETER[,PARAMETER]]\n"
	    "                             log to this target, too\n"
	    "  -U, --debug                same as -D -L stdout:5\n"
	    "  -l, --local-addr HOST      listen on this address\n"
	    "  -t, --local-resolv FAMILY  4, ipv4, 6 or ipv6, for -l\n"
	    "  -p, --local-port SERVICE   listen on this port\n"
	    "  -r, --remote-addr HOST     connect to this address\n"
	    "  -R, --remote-resolv FAMILY 4, ipv4, 6 or ipv6, for -r and -s\n"
	    "  -o, --remote-port SERVICE  connect to this port\n"
	    "  -s, --source-addr HOST     connect from this address\n"
	    "  -b, --buffer-size BYTES    held for each direction\n"
	    "  -c, --config FILE          read this file\n"
	    "      --print-config         print the configuration for "
	    "sallyport, and exit");
}

static void
print_version(void)
{
	puts("tcpproxy version " SALLYPORT_VERSION " (of sallyport)");
#ifdef __clang__
	puts("built on Linux, using CLANG " __clang_version__);
#else
	printf("built on Linux, using GCC %d.%d.%d\n", __GNUC__,
	    __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

_Noreturn static void
syntax_error(char **argv, int i)
{
	fprintf(stderr, "syntax error near: %s\n\n", argv[i]);
	print_usage();
	exit(i);
}

static const struct option *
find(const char *word)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (strcmp(word, options[i].letter) == 0 ||
		    strcmp(word, options[i].name) == 0)
			return (&options[i]);
	return (NULL);
}

/* 0 if the word is no family. */
static int
family(const char *word)
{
	if (strcmp(word, "4") == 0 || strcmp(word, "ipv4") == 0)
		return (AF_INET);
	if (strcmp(word, "6") == 0 || strcmp(word, "ipv6") == 0)
		return (AF_INET6);
	return (0);
}

/* Like atoi(3) where that is defined: digits as far as there are any. */
static int
number(const char *word)
{
	long n;

	errno = 0;
	n = strtol(word, NULL, 10);
	return (n > INT_MAX ? INT_MAX : n < INT_MIN ? INT_MIN : (int)n);
}

static void
add_log(struct options *o, const char *value)
{
	o->logs = reallocarray(o->logs, o->nlogs + 1, sizeof(*o->logs));
	if (o->logs == NULL) {
		fputs("memory error on options_parse, exitting\n", stderr);
		exit(254);
	}
	o->logs[o->nlogs++] = value;
}

/* Stores the value.  Returns whether it is one. */
static bool
store(struct options *o, const struct option *opt, const char *value)
{
	void *at = (char *)o + opt->at;
	int   n;

	switch (opt->kind) {
	case KIND_TEXT:
		*(const char **)at = value;
		return (true);
	case KIND_NUMBER:
		*(int *)at = number(value);
		return (true);
	case KIND_LOG:
		add_log(o, value);
		return (true);
	default:
		if ((n = family(value)) != 0)
			*(int *)at = n;
		return (n != 0);
	}
}

void
options_parse(struct options *o, int argc, char **argv)
{
	const struct option *opt;

	*o = (struct options){ .buffer_size = BUFFER_SIZE };
	for (int i = 1; i < argc; i++) {
		if ((opt = find(argv[i])) == NULL)
			syntax_error(argv, i);
		if (opt->kind == KIND_HELP) {
			print_usage();
			exit(0);
		} else if (opt->kind == KIND_VERSION) {
			print_version();
			exit(0);
		} else if (opt->kind == KIND_FLAG) {
			*(bool *)((char *)o + opt->at) = true;
			continue;
		}
		/* only a number may look like an option */
		if (i + 1 == argc ||
		    (argv[i + 1][0] == '-' && opt->kind != KIND_NUMBER))
			syntax_error(argv, i);
		if (!store(o, opt, argv[++i]))
			syntax_error(argv, i);
	}
	if (o->debug) {
		add_log(o, "stdout:5");
		o->foreground = true;
	}
	if (o->nlogs == 0)
		add_log(o, "syslog:3,tcpproxy,daemon");
	if (o->one.local_port == NULL && o->config == NULL)
		o->config = SYSCONFDIR "/tcpproxy.conf";
}
