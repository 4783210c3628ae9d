/*
 * Splits a configuration into tokens.  Runs in the relay before GO,
 * confined; reads the text and touches nothing else.  Every byte of the
 * text is looked at a bounded number of times.
 */
#include "lexer.h"

#include <string.h>

void
lexer_init(struct lexer *lx, struct diag *d)
{
	*lx = (struct lexer){ .diag = d, .line = 1 };
}

static bool
lexer_blank(char c)
{
	return (c == ' ' || (c >= '\t' && c <= '\r'));
}

/* Is the byte at this offset one that ends a word? */
static bool
lexer_ends_word(const struct lexer *lx, size_t at, enum lexer_mode mode)
{
	char c = lx->diag->text[at];

	if (c == ':')
		return (mode == LEXER_KEYWORD);
	return (lexer_blank(c) || memchr(";{}#\"", c, 5) != NULL);
}

/* Passes over blanks, line ends and comments. */
static void
lexer_skip(struct lexer *lx)
{
	const struct diag *d = lx->diag;
	const char	  *newline;

	while (lx->at < d->size) {
		char c = d->text[lx->at];

		if (c == '#') {
			newline = memchr(d->text + lx->at, '\n',
			    d->size - lx->at);
			lx->at = newline == NULL ? d->size :
			    (size_t)(newline - d->text);
			continue;
		}
		if (!lexer_blank(c))
			return;
		lx->at++;
		if (c == '\n') {
			lx->line++;
			lx->line_start = lx->at;
		}
	}
}

static void
lexer_word(struct lexer *lx, enum lexer_mode mode, struct token *t)
{
	while (lx->at < lx->diag->size && !lexer_ends_word(lx, lx->at, mode))
		lx->at++;
	t->type = TOKEN_WORD;
	t->length = (size_t)(lx->diag->text + lx->at - t->text);
	if (t->length > CONF_WORD_MAX) {
		t->type = TOKEN_BAD;
		diag_error(lx->diag, t->at,
		    "word of %zu bytes, expected at most %u", t->length,
		    CONF_WORD_MAX);
	}
}

/* The position of the byte that is read next. */
static struct place
lexer_place(const struct lexer *lx)
{
	return ((struct place){ .line = lx->line,
	    .column = (unsigned)(lx->at - lx->line_start) + 1 });
}

/* A string; it ends on its line, even when that is an error. */
static void
lexer_string(struct lexer *lx, struct token *t)
{
	const struct diag *d = lx->diag;
	size_t		   length = 0;
	char		   c = '\0';

	t->type = TOKEN_STRING;
	for (lx->at++; lx->at < d->size; lx->at++, length++) {
		if ((c = d->text[lx->at]) == '"' || c == '\n')
			break;
		if (c != '\\')
			continue;
		if (lx->at + 1 < d->size &&
		    memchr("\"\\", d->text[lx->at + 1], 2) != NULL) {
			lx->at++;
			continue;
		}
		if (t->type == TOKEN_STRING)
			diag_error(lx->diag, lexer_place(lx),
			    "unknown escape, expected \\\" or \\\\");
		t->type = TOKEN_BAD;
	}
	if (lx->at == d->size || c == '\n') {
		t->type = TOKEN_BAD;
		diag_error(lx->diag, t->at,
		    "string without end, expected '\"' on the same line");
		return;
	}
	lx->at++;
	t->length = (size_t)(d->text + lx->at - t->text);
	if (length > CONF_WORD_MAX) {
		t->type = TOKEN_BAD;
		diag_error(lx->diag, t->at,
		    "string of %zu bytes, expected at most %u", length,
		    CONF_WORD_MAX);
	}
}

void
lexer_next(struct lexer *lx, enum lexer_mode mode, struct token *t)
{
	static const struct {
		char		c;
		enum token_type type;
	} signs[] = {
		{ ':', TOKEN_COLON },
		{ ';', TOKEN_SEMICOLON },
		{ '{', TOKEN_OPEN },
		{ '}', TOKEN_CLOSE },
	};
	const struct diag *d = lx->diag;

	lexer_skip(lx);
	*t = (struct token){ .type = TOKEN_END, .at = lexer_place(lx),
		.text = d->text + lx->at };
	if (lx->at == d->size || d->stopped)
		return;
	if (d->text[lx->at] == '"') {
		lexer_string(lx, t);
		return;
	}
	if (!lexer_ends_word(lx, lx->at, mode)) {
		lexer_word(lx, mode, t);
		return;
	}
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (signs[i].c == d->text[lx->at])
			t->type = signs[i].type;
	t->length = 1;
	lx->at++;
}

void
lexer_back(struct lexer *lx, const struct token *t)
{
	lx->at = (size_t)(t->text - lx->diag->text);
	lx->line = t->at.line;
	lx->line_start = lx->at - (t->at.column - 1);
}

size_t
lexer_copy(const struct token *t, char *to)
{
	size_t n = 0;

	if (t->type != TOKEN_STRING) {
		memcpy(to, t->text, t->length);
		to[t->length] = '\0';
		return (t->length);
	}
	for (size_t i = 1; i + 1 < t->length; i++) {
		if (t->text[i] == '\\')
			i++;
		to[n++] = t->text[i];
	}
	to[n] = '\0';
	return (n);
}
