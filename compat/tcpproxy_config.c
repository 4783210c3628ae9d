/*
 * The configuration file of tcpproxy(8), with all its rules about blanks.
 * Runs in the translating child; reads the text and touches nothing else.
 *
 *	file      = { stanza | filler }
 *	stanza    = "listen" blanks ( "*" | host ) blanks service { filler }
 *	            "{" { filler | statement } "};"
 *	statement = keyword [ blanks ] ":" blanks value [ blanks ] ";"
 *
 * Every function that reads something leaves `at' behind it, or, returning
 * false, at the byte that is wrong.
 */
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tcpproxy.h"

#define LETTERS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"
#define SERVICE	LETTERS DIGITS "-"
#define NAME	SERVICE "."
#define IPV6	DIGITS "abcdefABCDEF:"

struct scan {
	const char *at, *end;
};

struct words {			/* a stanza's, to be freed */
	char *local, *local_port, *remote, *remote_port, *source;
	int   local_family, remote_family;
};

static bool
is_one_of(char c, const char *set)
{
	return (c != '\0' && strchr(set, c) != NULL);
}

/* How many bytes from here on are of the set. */
static size_t
span(const struct scan *s, const char *set)
{
	const char *p = s->at;

	while (p < s->end && is_one_of(*p, set))
		p++;
	return ((size_t)(p - s->at));
}

static bool
blanks(struct scan *s)
{
	size_t n = span(s, " \t");

	s->at += n;
	return (n > 0);
}

static bool
literal(struct scan *s, const char *text)
{
	for (; *text != '\0'; text++, s->at++)
		if (s->at == s->end || *s->at != *text)
			return (false);
	return (true);
}

/* Blanks, line ends, comments.  A comment needs a line end. */
static bool
fillers(struct scan *s)
{
	for (;;) {
		s->at += span(s, " \t\n\v\f\r");
		if (s->at == s->end || *s->at != '#')
			return (true);
		while (s->at < s->end && *s->at != '\n')
			s->at++;
		if (s->at == s->end)
			return (false);
	}
}

/* The next n bytes; the last value of a repeated statement counts. */
static bool
word(struct scan *s, size_t n, char **to)
{
	if (n == 0)
		return (false);
	free(*to);
	if ((*to = strndup(s->at, n)) == NULL)
		exit(FAILED);
	s->at += n;
	return (true);
}

/* A name, or an address: as much as fits one of the two. */
static bool
host(struct scan *s, char **to)
{
	size_t name = span(s, NAME), v6 = span(s, IPV6);

	return (word(s, name > v6 ? name : v6, to));
}

static bool
family(struct scan *s, int *to)
{
	static const char v4[] = "ipv4";
	size_t		  n = 0;

	while (n < 3 && s->at < s->end && (*s->at | 0x20) == v4[n]) {
		s->at++;
		n++;
	}
	if (n < 3 || s->at == s->end || (*s->at != '4' && *s->at != '6'))
		return (false);
	*to = *s->at++ == '4' ? AF_INET : AF_INET6;
	return (true);
}

/* Which keyword is it?  The longer of two that fit. */
static const char *
keyword(struct scan *s)
{
	static const char *const names[] = { "remote-resolv", "remote",
		"resolv", "source" };
	size_t n = span(s, "abcdefghijklmnopqrstuvwxyz-");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == n &&
		    memcmp(names[i], s->at, n) == 0) {
			s->at += n;
			return (names[i]);
		}
	/* cut off by the end of the file, or wrong anyway? */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (s->at + n == s->end && strncmp(names[i], s->at, n) == 0)
			s->at = s->end;
	return (NULL);
}

static bool
statement(struct scan *s, struct words *w)
{
	const char *key = keyword(s);
	bool	    ok;

	if (key == NULL)
		return (false);
	blanks(s);
	if (!literal(s, ":") || !blanks(s))
		return (false);
	if (strcmp(key, "remote") == 0)
		ok = host(s, &w->remote) && blanks(s) &&
		    word(s, span(s, SERVICE), &w->remote_port);
	else if (strcmp(key, "source") == 0)
		ok = host(s, &w->source);
	else
		ok = family(s, strcmp(key, "resolv") == 0 ?
		    &w->local_family : &w->remote_family);
	if (!ok)
		return (false);
	blanks(s);
	return (literal(s, ";"));
}

static bool
stanza(struct scan *s, struct words *w)
{
	if (!literal(s, "listen") || !blanks(s))
		return (false);
	if (s->at < s->end && *s->at == '*')
		s->at++;
	else if (!host(s, &w->local))
		return (false);
	if (!blanks(s) || !word(s, span(s, SERVICE), &w->local_port) ||
	    !fillers(s) || !literal(s, "{"))
		return (false);
	while (fillers(s)) {
		if (s->at < s->end && *s->at == '}')
			return (literal(s, "};"));
		if (!statement(s, w))
			return (false);
	}
	return (false);
}

static void
words_free(struct words *w)
{
	free(w->local);
	free(w->local_port);
	free(w->remote);
	free(w->remote_port);
	free(w->source);
}

static void
tell(const struct scan *s, const char *text)
{
	unsigned line = 1;

	if (s->at == s->end) {
		log_line(LEVEL_ERROR, "config file syntax error: "
		    "unexpected end of file");
		return;
	}
	for (; text < s->at; text++)
		line += *text == '\n';
	log_line(LEVEL_ERROR, "config file syntax error at line %u", line);
}

bool
config_parse(const char *text, size_t size, config_take *take, void *arg)
{
	struct scan s = { text, text + size };
	bool	    ok = fillers(&s);

	while (ok && s.at < s.end) {
		struct words w = { 0 };

		if ((ok = stanza(&s, &w)))
			take(arg, &(struct stanza){ w.local, w.local_port,
			    w.remote, w.remote_port, w.source,
			    w.local_family, w.remote_family });
		words_free(&w);
		ok = ok && fillers(&s);
	}
	if (!ok)
		tell(&s, text);
	return (ok);
}
