/*
 * Tokens of the configuration language.  Relay only.
 */
#ifndef RELAY_LEXER_H
#define RELAY_LEXER_H

#include "diag.h"

enum token_type {
	TOKEN_END, /* of the text, or reading was stopped */
	TOKEN_WORD,
	TOKEN_STRING, /* in quotes, which `text' includes */
	TOKEN_COLON,
	TOKEN_SEMICOLON,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_BAD /* an error that the lexer has reported */
};

/* In values a colon is part of the word: 2001:db8::1. */
enum lexer_mode { LEXER_KEYWORD, LEXER_VALUE };

struct token {
	enum token_type type;
	struct place	at;
	const char     *text; /* not NUL-terminated */
	size_t		length;
};

struct lexer {
	struct diag *diag; /* has the text */
	size_t	     at;
	size_t	     line_start;
	unsigned     line;
};

void lexer_init(struct lexer *lx, struct diag *d);
void lexer_next(struct lexer *lx, enum lexer_mode mode, struct token *t);

/* Puts the token back, to be read again in another mode. */
void lexer_back(struct lexer *lx, const struct token *t);

/*
 * Copies the value of a word or string, without quotes, and a NUL.  Returns
 * the length without the NUL, at most CONF_WORD_MAX.
 */
size_t lexer_copy(const struct token *t, char *to);

#endif
