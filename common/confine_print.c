/*
 * --print-sandbox: the tables of filter.c and landlock.c in words.  Runs in
 * a relay that P started for it; writes to one descriptor.
 */
#include "confine.h"

#include <string.h>
#include <unistd.h>

#include "filter.h"
#include "fmt.h"
#include "landlock.h"
#include "log.h"

#define WIDTH	78
#define COLUMN	12

static const struct {
	enum role   role;
	enum filter filter;
	const char *jail;	/* NULL: the one of the command line */
	const char *note;
} programs[] = {
	{ ROLE_RELAY, FILTER_LOADING, NULL,
	    "parses the configuration, has no listener yet" },
	{ ROLE_RELAY, FILTER_RELAY, NULL,
	    "a second filter on top of the first, before the first accept" },
	{ ROLE_DIALER, FILTER_DIALER, NULL, "makes the outgoing connections" },
	{ ROLE_DIALER, FILTER_DIALER_UNIX,
	    "none: a server that starts again makes a new unix socket",
	    "the same, if the configuration has remotes that are unix "
	    "sockets" },
	{ ROLE_RESOLVER, FILTER_RESOLVER,
	    "none: needs hosts, resolv.conf and modules of the libc",
	    "looks up names for the dialers, and once for listen NAME" },
	{ ROLE_LOGGER, FILTER_LOGGER, NULL, "writes the log" },
};

/* Lines of at most WIDTH columns, further ones indented by `indent'. */
struct out {
	int	 fd;
	size_t	 indent, len;
	char	 line[WIDTH + 2];
};

static void
out_flush(struct out *o)
{
	ssize_t n;

	while (o->len > 0 && o->line[o->len - 1] == ' ')
		o->len--;
	o->line[o->len++] = '\n';
	for (size_t done = 0; done < o->len; done += (size_t)n)
		if ((n = write(o->fd, o->line + done, o->len - done)) == -1)
			fatal("write");
	o->len = 0;
}

static void
out_pad(struct out *o, size_t column)
{
	while (o->len < column && o->len < WIDTH)
		o->line[o->len++] = ' ';
}

/* A word and a blank; a word that is longer than a line is cut. */
static void
out_word(struct out *o, const char *word, size_t n)
{
	if (n > WIDTH - o->indent)
		n = WIDTH - o->indent;
	if (o->len + n > WIDTH) {
		out_flush(o);
		out_pad(o, o->indent);
	}
	memcpy(o->line + o->len, word, n);
	o->len += n;
	if (o->len < WIDTH)
		o->line[o->len++] = ' ';
}

static void
out_text(struct out *o, const char *text)
{
	size_t n;

	for (; *text != '\0'; text += n) {
		text += strspn(text, " ");
		n = strcspn(text, " ");
		if (n > 0)
			out_word(o, text, n);
	}
}

static void
out_field(struct out *o, const char *name, const char *text)
{
	o->indent = COLUMN;
	out_pad(o, 2);
	out_text(o, name);
	out_pad(o, COLUMN);
	out_text(o, text);
	out_flush(o);
}

static void
out_conditions(struct out *o, const struct filter_rule *rule)
{
	for (size_t i = 0; i < FILTER_CONDS && rule->cond[i].text != NULL;
	    i++) {
		out_text(o, i == 0 ? "if" : "and");
		out_text(o, rule->cond[i].text);
	}
}

static void
out_rule(struct out *o, const struct filter_rule *rule)
{
	char text[256];

	o->indent = 28;
	out_pad(o, 4);
	out_text(o, rule->name);
	out_pad(o, o->indent);
	if (rule->action == FILTER_REFUSE)
		fmt_print(text, sizeof(text), "fails with %s (%s)",
		    strerrorname_np(rule->error), rule->why);
	else
		fmt_print(text, sizeof(text), "%s%s", rule->why,
		    rule->cond[0].text != NULL ? "," : "");
	out_text(o, text);
	out_conditions(o, rule);
	out_flush(o);
}

/* Neighbours with the same reason share a line. */
static size_t
out_tripwires(struct out *o, const struct filter_rule *const rules[],
    size_t n)
{
	const char *why = rules[0]->why;
	size_t	    i = 0;

	o->indent = 28;
	out_pad(o, 4);
	out_text(o, why);
	out_pad(o, o->indent);
	for (; i < n && strcmp(rules[i]->why, why) == 0; i++) {
		out_text(o, rules[i]->name);
		out_conditions(o, rules[i]);
		if (rules[i]->cond[0].text != NULL && i + 1 < n &&
		    strcmp(rules[i + 1]->why, why) == 0)
			out_text(o, "/");
	}
	out_flush(o);
	return (i);
}

static void
print_calls(struct out *o, enum filter f)
{
	const struct filter_rule *rules[FILTER_RULES];
	size_t			  n = filter_rules(f, rules), i;

	out_field(o, "calls", "");
	for (i = 0; i < n && rules[i]->action != FILTER_KILL; i++)
		out_rule(o, rules[i]);
	out_field(o, "killed by", "");
	while (i < n)
		i += out_tripwires(o, rules + i, n - i);
	out_field(o, "", "and any call of another architecture or of x32");
	out_field(o, "others", "fail with ENOSYS");
}

static void
print_program(struct out *o, const struct child *c, size_t i)
{
	enum role role = programs[i].role;
	char	  text[256];

	o->indent = 0;
	out_text(o, filter_title(programs[i].filter));
	out_text(o, "--");
	out_text(o, programs[i].note);
	out_flush(o);
	if (c->privileged)
		fmt_print(text, sizeof(text), "%u:%u, no further groups",
		    c->uid, c->gid);
	else
		fmt_print(text, sizeof(text), "unchanged (no privileges)");
	out_field(o, "user", text);
	out_field(o, "jail", programs[i].jail != NULL ? programs[i].jail :
	    c->privileged && c->jail != NULL ? c->jail :
	    "none (no privileges)");
	out_field(o, "rights", c->privileged ?
	    "no capabilities, bounding set empty, no_new_privs, not dumpable, "
	    "no new processes (RLIMIT_NPROC 0)" :
	    "no capabilities, no_new_privs, not dumpable, no new processes "
	    "(RLIMIT_NPROC 0)");
	for (unsigned l = 0; landlock_text(role, l, text, sizeof(text)); l++)
		out_field(o, l == 0 ? "Landlock" : "", text);
	print_calls(o, programs[i].filter);
}

void
confine_print(int fd, const struct child *c)
{
	struct out o = { .fd = fd };

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (i > 0)
			out_flush(&o);
		print_program(&o, c, i);
	}
}
