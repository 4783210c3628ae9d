/*
 * Tokens -> stanzas.  Runs in the relay before GO, confined; allocates the
 * configuration, touches no file.  No recursion; an error is reported and
 * reading goes on behind the next `;' or at the next `}', so that one run
 * finds all errors.
 */
#include "conf.h"

#include <stdlib.h>
#include <string.h>

#include "../common/fmt.h"
#include "../common/role.h"
#include "checker.h"
#include "lexer.h"
#include "local.h"
#include "value.h"

#define FIRST_STANZAS 16
#define VALUES_MAX    2 /* words behind a keyword */

struct draft { /* a stanza, or the defaults, while it is read */
	struct conf_stanza stanza;
	struct places	   at;
	unsigned	   seen; /* bit per keyword */
	bool		   valid; /* the head was right */
};

struct parser {
	struct diag  diag;
	struct lexer lexer;
	struct token tok; /* the one that is looked at */
	unsigned     last_line; /* of the token before */
	bool	     skipped; /* an error has just been passed over */
	char	    *strings; /* free room of conf->memory */
	struct conf *conf;
	size_t	     capacity; /* of conf->stanzas */
	unsigned     sockets;
	struct draft defaults; /* the statements outside of stanzas */
	struct draft draft; /* the stanza being read */
};

static void
next(struct parser *p, enum lexer_mode mode)
{
	p->last_line = p->tok.at.line;
	lexer_next(&p->lexer, mode, &p->tok);
}

static bool
at_word(const struct parser *p)
{
	return (p->tok.type == TOKEN_WORD || p->tok.type == TOKEN_STRING);
}

static bool
at_keyword(const struct parser *p, const char *name)
{
	return (p->tok.type == TOKEN_WORD && p->tok.length == strlen(name) &&
	    memcmp(p->tok.text, name, p->tok.length) == 0);
}

/* Reports that the token is not the one that was expected. */
static void
unexpected(struct parser *p, const char *expected)
{
	char buf[DIAG_WORD];

	if (p->tok.type == TOKEN_BAD)	/* has been reported */
		return;
	if (p->tok.type == TOKEN_END)
		diag_error(&p->diag, p->tok.at,
		    "unexpected end of the file, expected %s", expected);
	else
		diag_error(&p->diag, p->tok.at, "unexpected '%s', expected %s",
		    diag_word(buf, p->tok.text, p->tok.length), expected);
}

/*
 * Passes over the rest of something wrong: behind the next `;', or up to a
 * `}' or, outside of a stanza, a `{'.
 */
static void
skip(struct parser *p, bool outside)
{
	p->skipped = true;
	while (p->tok.type != TOKEN_SEMICOLON && p->tok.type != TOKEN_CLOSE &&
	    p->tok.type != TOKEN_END &&
	    !(outside && p->tok.type == TOKEN_OPEN))
		next(p, LEXER_VALUE);
	if (p->tok.type == TOKEN_SEMICOLON)
		next(p, LEXER_KEYWORD);
}

/* Copies the token's text to where it stays. */
static struct word
take_word(struct parser *p)
{
	struct word w = { .text = p->strings, .at = p->tok.at };

	p->strings += lexer_copy(&p->tok, p->strings) + 1;
	return (w);
}

/*
 * The `;' behind a statement.  Where it is missing at the end of a line, the
 * next line is read as if it were there.
 */
static void
end_statement(struct parser *p, const struct keyword *k, bool outside)
{
	char expected[64];

	if (p->tok.type == TOKEN_SEMICOLON) {
		next(p, LEXER_KEYWORD);
		return;
	}
	fmt_print(expected, sizeof(expected), "';' at the end of '%s'",
	    k->name);
	unexpected(p, expected);
	if (at_word(p) && p->tok.at.line > p->last_line) {
		lexer_back(&p->lexer, &p->tok);
		next(p, LEXER_KEYWORD);
		return;
	}
	skip(p, outside);
}

static void
set_remote(struct parser *p, struct draft *d, struct word w[VALUES_MAX])
{
	struct conf_stanza *s = &d->stanza;
	struct conf_host    host;
	uint16_t	    port = 0;

	if (s->nremotes == CONF_REMOTES_MAX) {
		diag_error(&p->diag, w[0].at,
		    "one remote too many, expected at most %u",
		    CONF_REMOTES_MAX);
		return;
	}
	if (local_is(w[0].text)) {
		local_remote(&p->diag, &w[0], &host);
	} else {
		value_host(&p->diag, &w[0], &host);
		value_port(&p->diag, &w[1], 1, &port);
		host.addr.port = port;
	}
	d->at.remote[s->nremotes] = w[0].at;
	s->remotes[s->nremotes++] = host;
}

static void
set_source(struct parser *p, struct draft *d, struct word *w)
{
	struct conf_stanza *s = &d->stanza;

	s->source = (struct conf_host){ 0 };
	s->has_source = strcmp(w->text, "*") != 0;
	if (s->has_source)
		value_host(&p->diag, w, &s->source);
}

static void
set_value(struct parser *p, struct draft *d, const struct keyword *k,
    struct word w[VALUES_MAX])
{
	struct conf_stanza *s = &d->stanza;

	switch (k->type) {
	case TYPE_FAMILY:
		value_family(&p->diag, w, k == &keywords[KEY_RESOLV] ?
		    &s->resolv : &s->remote_resolv);
		break;
	case TYPE_REMOTE:
		set_remote(p, d, w);
		break;
	case TYPE_SOURCE:
		set_source(p, d, w);
		break;
	case TYPE_NAME:
		value_name(&p->diag, w, &s->name);
		break;
	case TYPE_ON_ERROR:
		value_on_error(&p->diag, w, &s->on_error);
		break;
	case TYPE_MODE:
		local_mode(&p->diag, w, &s->socket_mode);
		break;
	case TYPE_OWNER:
		local_owner(&p->diag, w, s);
		break;
	default:
		value_number(&p->diag, w, k, keyword_number(k, p->conf, s));
		break;
	}
}

/* Notes that the keyword was used; a second use is told, but for remotes. */
static void
see_keyword(struct parser *p, struct draft *d, const struct keyword *k,
    struct place at)
{
	unsigned bit = 1u << (k - keywords);

	if ((d->seen & bit) == 0 && k->type == TYPE_REMOTE)
		d->stanza.nremotes = 0;	/* not the defaults' remotes */
	if ((d->seen & bit) != 0 && k->type != TYPE_REMOTE)
		diag_warning(&p->diag, at, "'%s' repeated, expected it once: "
		    "the last one counts", k->name);
	d->seen |= bit;
}

/* `keyword: value ...;' with the current token behind the colon. */
static void
parse_values(struct parser *p, struct draft *d, const struct keyword *k)
{
	unsigned     n = 0, wanted = k->type == TYPE_REMOTE ? 2 : 1;
	struct word  words[VALUES_MAX];
	bool	     outside = d == &p->defaults;

	for (; n < wanted && at_word(p); n++) {
		words[n] = take_word(p);
		if (k->type == TYPE_REMOTE && local_is(words[0].text))
			wanted = 1;	/* no port */
		next(p, LEXER_VALUE);
	}
	if (n < wanted) {
		unexpected(p, k->expected);
		skip(p, outside);
		return;
	}
	d->at.key[k - keywords] = words[0].at;
	set_value(p, d, k, words);
	end_statement(p, k, outside);
}

static void
unknown_keyword(struct parser *p)
{
	const char *nearest = keyword_nearest(p->tok.text, p->tok.length);
	char	    buf[DIAG_WORD];

	diag_word(buf, p->tok.text, p->tok.length);
	if (nearest != NULL)
		diag_error(&p->diag, p->tok.at,
		    "unknown keyword '%s', did you mean '%s'?", buf, nearest);
	else
		diag_error(&p->diag, p->tok.at, "unknown keyword '%s', "
		    "expected one of sallyport.conf(5)", buf);
}

/* A statement, into a stanza or into the defaults. */
static void
parse_statement(struct parser *p, struct draft *d)
{
	bool		      outside = d == &p->defaults;
	const struct keyword *k = keyword_find(p->tok.text, p->tok.length);
	struct place	      at = p->tok.at;

	if (k == NULL) {
		unknown_keyword(p);
		skip(p, outside);
		return;
	}
	next(p, LEXER_KEYWORD);
	if (p->tok.type != TOKEN_COLON) {
		unexpected(p, "':' behind the keyword");
		skip(p, outside);
		return;
	}
	if ((k->scope & (outside ? SCOPE_OUTSIDE : SCOPE_STANZA)) == 0) {
		diag_error(&p->diag, at, "'%s' %s a stanza, expected it %s",
		    k->name, outside ? "outside of" : "in",
		    outside ? "in one" : "outside");
		skip(p, outside);
		return;
	}
	see_keyword(p, d, k, at);
	next(p, LEXER_VALUE);
	parse_values(p, d, k);
}

/* Puts the finished stanza into the configuration. */
static void
add_stanza(struct parser *p)
{
	struct conf	   *c = p->conf;
	struct conf_stanza *bigger;
	struct place	    at = p->draft.at.listen;

	p->sockets += check_sockets(&p->draft.stanza);
	if (p->sockets > LISTENERS_MAX) {
		diag_error(&p->diag, at,
		    "too many listeners, expected at most %u", LISTENERS_MAX);
		p->diag.stopped = true;
		return;
	}
	if (c->nstanzas == p->capacity) {
		p->capacity = p->capacity == 0 ? FIRST_STANZAS :
		    2 * p->capacity;
		bigger = reallocarray(c->stanzas, p->capacity,
		    sizeof(*bigger));
		if (bigger == NULL) {
			diag_error(&p->diag, at, "out of memory");
			p->diag.stopped = true;
			return;
		}
		c->stanzas = bigger;
	}
	c->stanzas[c->nstanzas++] = p->draft.stanza;
}

static void
end_stanza(struct parser *p)
{
	struct draft *d = &p->draft;

	if (!d->valid)
		return;
	if (d->stanza.nremotes == 0 && (d->seen & 1u << KEY_REMOTE) == 0)
		diag_error(&p->diag, (struct place){
		    .line = d->stanza.line, .column = d->stanza.column },
		    "stanza without 'remote:', expected at least one");
	check_stanza(&p->diag, &d->stanza, &d->at, d->seen);
	add_stanza(p);
}

/* The port behind the address.  -1 when there is none. */
static int
parse_port(struct parser *p)
{
	struct word port;
	uint16_t    number = 0;

	if (!at_word(p)) {
		unexpected(p, "a port or service to listen on");
		return (-1);
	}
	port = take_word(p);
	value_port(&p->diag, &port, 0, &number);
	p->draft.stanza.listen.addr.port = number;
	next(p, LEXER_VALUE);
	return (0);
}

/*
 * ADDRESS PORT or unix:NAME of `listen', with the current token behind that
 * word.  -1 when the rest, up to the `{', is to be skipped.
 */
static int
parse_head(struct parser *p)
{
	struct conf_stanza *s = &p->draft.stanza;
	struct word	    host;
	unsigned	    errors = p->diag.errors;
	bool		    local;

	p->draft.at.listen = p->tok.at;
	if (!at_word(p)) {
		unexpected(p, "an address or name to listen on, or *");
		return (-1);
	}
	s->any = p->tok.type == TOKEN_WORD && p->tok.length == 1 &&
	    *p->tok.text == '*';
	host = take_word(p);
	s->listen.text = host.text;
	local = local_is(host.text);
	if (local)
		local_listen(&p->diag, &host, s);
	else if (!s->any)
		value_host(&p->diag, &host, &s->listen);
	next(p, LEXER_VALUE);
	if (!local && parse_port(p) == -1)
		return (-1);
	if (p->tok.type != TOKEN_OPEN) {
		unexpected(p, local ? "'{': a unix socket has no port" :
		    "'{'");
		return (-1);
	}
	p->draft.valid = p->diag.errors == errors;
	return (0);
}

/* The draft becomes a copy of the defaults; the token is its first. */
static void
begin_stanza(struct parser *p)
{
	struct draft *d = &p->draft;

	*d = p->defaults;
	d->seen = 0;
	d->valid = false;
	d->stanza.line = p->tok.at.line;
	d->stanza.column = p->tok.at.column;
	/* A default that is stated again from here on is no repetition. */
	p->defaults.seen &= 1u << KEY_DRAIN_TIMEOUT;
}

/* The statements of a stanza from `{' to behind `}', and a `;' after that. */
static void
parse_body(struct parser *p)
{
	char expected[64];

	fmt_print(expected, sizeof(expected),
	    "a keyword or '}' for the stanza of line %u",
	    p->draft.stanza.line);
	next(p, LEXER_KEYWORD);
	while (p->tok.type != TOKEN_CLOSE) {
		if (p->tok.type == TOKEN_WORD && !at_keyword(p, "listen")) {
			parse_statement(p, &p->draft);
			continue;
		}
		unexpected(p, expected);
		if (p->tok.type == TOKEN_WORD || p->tok.type == TOKEN_END)
			break;
		skip(p, false);
	}
	end_stanza(p);
	if (p->tok.type == TOKEN_CLOSE)
		next(p, LEXER_KEYWORD);
	if (p->tok.type == TOKEN_SEMICOLON)
		next(p, LEXER_KEYWORD);
	p->skipped = false;
}

static void
parse_stanza(struct parser *p)
{
	begin_stanza(p);
	next(p, LEXER_VALUE);
	if (parse_head(p) == -1)
		skip(p, true);
	if (p->tok.type == TOKEN_OPEN)
		parse_body(p);
}

/* What can begin neither a statement nor a stanza. */
static void
parse_stray(struct parser *p, bool skipped)
{
	if (!skipped)
		unexpected(p, "'listen' or a keyword");
	if (p->tok.type == TOKEN_OPEN) {	/* of a head that was wrong */
		begin_stanza(p);
		parse_body(p);
	} else if (p->tok.type == TOKEN_CLOSE) {
		next(p, LEXER_KEYWORD);
		if (p->tok.type == TOKEN_SEMICOLON)
			next(p, LEXER_KEYWORD);
	} else {
		skip(p, true);
	}
}

static void
parse_file(struct parser *p)
{
	next(p, LEXER_KEYWORD);
	while (p->tok.type != TOKEN_END) {
		bool skipped = p->skipped;

		p->skipped = false;
		if (at_keyword(p, "listen"))
			parse_stanza(p);
		else if (p->tok.type == TOKEN_WORD)
			parse_statement(p, &p->defaults);
		else
			parse_stray(p, skipped);
	}
}

/* What is wrong with the text as a whole; nothing is read then. */
static int
check_text(struct diag *d)
{
	const char  *nul, *newline, *line = d->text;
	struct place at = { .line = 1 };

	if (d->size == 0) {
		diag_error(d, (struct place){ 0 },
		    "empty file, expected at least one 'listen' stanza");
		return (-1);
	}
	if (d->size > CONF_SIZE_MAX) {
		diag_error(d, (struct place){ 0 },
		    "file of %zu bytes, expected at most %u", d->size,
		    CONF_SIZE_MAX);
		return (-1);
	}
	if ((nul = memchr(d->text, '\0', d->size)) == NULL)
		return (0);
	while ((newline = memchr(line, '\n', (size_t)(nul - line))) != NULL) {
		line = newline + 1;
		at.line++;
	}
	at.column = (unsigned)(nul - line) + 1;
	diag_error(d, at, "NUL byte, expected a text file");
	return (-1);
}

int
conf_parse(struct conf *c, const char *file, const char *text, size_t size,
    conf_report *report, void *arg)
{
	struct parser p = { .diag = { .file = file, .text = text,
	    .size = size, .report = report, .arg = arg }, .conf = c };

	memset(c, 0, sizeof(*c));
	if (check_text(&p.diag) == -1)
		return (-1);
	if ((c->memory = malloc(size + 1)) == NULL) {
		diag_error(&p.diag, (struct place){ 0 }, "out of memory");
		return (-1);
	}
	p.strings = c->memory;
	keyword_defaults(&p.defaults.stanza);
	lexer_init(&p.lexer, &p.diag);
	parse_file(&p);
	check_listeners(&p.diag, c);
	if (c->nstanzas == 0 && p.diag.errors == 0)
		diag_error(&p.diag, (struct place){ 0 }, "no listeners "
		    "defined, expected at least one 'listen' stanza");
	if (p.diag.errors == 0)
		return (0);
	conf_free(c);
	return (-1);
}

void
conf_free(struct conf *c)
{
	free(c->stanzas);
	free(c->memory);
	memset(c, 0, sizeof(*c));
}
