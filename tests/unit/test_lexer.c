/*
 * The lexer: every kind of token in both modes, positions, and its errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/fmt.h"
#include "../../relay/lexer.h"

struct input {
	struct diag  diag;
	struct lexer lexer;
	char	     messages[2048]; /* first lines */
	size_t	     len;
};

static void
collect(void *arg, bool is_error, const char *text)
{
	struct input *in = arg;
	const char   *end = strchrnul(text, '\n');

	assert_true(is_error);
	in->len += fmt_print(in->messages + in->len,
	    sizeof(in->messages) - in->len, "%.*s\n", (int)(end - text), text);
}

/* The text lies in memory of exactly its size, for the sanitizer's eyes. */
static void
begin(struct input *in, const char *text)
{
	char *copy = malloc(strlen(text));

	assert_non_null(copy);
	memcpy(copy, text, strlen(text));
	*in = (struct input){ .diag = { .file = "f", .text = copy,
	    .size = strlen(text), .report = collect, .arg = in } };
	lexer_init(&in->lexer, &in->diag);
}

static void
end(struct input *in, const char *messages)
{
	assert_string_equal(in->messages, messages);
	free((void *)(uintptr_t)in->diag.text);
}

static void
expect(struct input *in, enum lexer_mode mode, enum token_type type,
    unsigned line, unsigned column, const char *value)
{
	struct token t;
	char	     copy[CONF_WORD_MAX + 1];

	lexer_next(&in->lexer, mode, &t);
	assert_int_equal(t.type, type);
	assert_int_equal(t.at.line, line);
	assert_int_equal(t.at.column, column);
	if (type != TOKEN_WORD && type != TOKEN_STRING)
		return;
	assert_int_equal(lexer_copy(&t, copy), strlen(value));
	assert_string_equal(copy, value);
}

static void
test_nothing(void **state)
{
	static const char *const texts[] = { " ", " \t\r\v\f", "#", "# x" };
	struct input		 in;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		begin(&in, texts[i]);
		expect(&in, LEXER_VALUE, TOKEN_END, 1,
		    (unsigned)strlen(texts[i]) + 1, NULL);
		expect(&in, LEXER_KEYWORD, TOKEN_END, 1,
		    (unsigned)strlen(texts[i]) + 1, NULL);
		end(&in, "");
	}
}

static void
test_signs(void **state)
{
	struct input in;

	(void)state;
	begin(&in, "a:b;{\n\t} # }\n;:c");
	expect(&in, LEXER_KEYWORD, TOKEN_WORD, 1, 1, "a");
	expect(&in, LEXER_KEYWORD, TOKEN_COLON, 1, 2, NULL);
	expect(&in, LEXER_KEYWORD, TOKEN_WORD, 1, 3, "b");
	expect(&in, LEXER_VALUE, TOKEN_SEMICOLON, 1, 4, NULL);
	expect(&in, LEXER_VALUE, TOKEN_OPEN, 1, 5, NULL);
	expect(&in, LEXER_KEYWORD, TOKEN_CLOSE, 2, 2, NULL);
	expect(&in, LEXER_KEYWORD, TOKEN_SEMICOLON, 3, 1, NULL);
	expect(&in, LEXER_VALUE, TOKEN_WORD, 3, 2, ":c");
	expect(&in, LEXER_VALUE, TOKEN_END, 3, 4, NULL);
	end(&in, "");
}

/* Only values may contain colons; every other sign ends both. */
static void
test_modes(void **state)
{
	static const char *const ends[] = { " ", "\t", "\n", "\r", "\v", "\f",
		";", "{", "}", "#", "\"x\"" };
	struct input		 in;
	char			 text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		fmt_print(text, sizeof(text), "[::1]:*%s", ends[i]);
		begin(&in, text);
		expect(&in, LEXER_VALUE, TOKEN_WORD, 1, 1, "[::1]:*");
		end(&in, "");
		begin(&in, text);
		expect(&in, LEXER_KEYWORD, TOKEN_WORD, 1, 1, "[");
		expect(&in, LEXER_KEYWORD, TOKEN_COLON, 1, 2, NULL);
		end(&in, "");
	}
}

static void
test_back(void **state)
{
	struct input in;
	struct token t;

	(void)state;
	begin(&in, "x\n  timeout: 5");
	expect(&in, LEXER_VALUE, TOKEN_WORD, 1, 1, "x");
	lexer_next(&in.lexer, LEXER_VALUE, &t);
	assert_int_equal(t.length, strlen("timeout:"));
	lexer_back(&in.lexer, &t);
	expect(&in, LEXER_KEYWORD, TOKEN_WORD, 2, 3, "timeout");
	expect(&in, LEXER_KEYWORD, TOKEN_COLON, 2, 10, NULL);
	expect(&in, LEXER_VALUE, TOKEN_WORD, 2, 12, "5");
	end(&in, "");
}

static void
test_strings(void **state)
{
	struct input in;

	(void)state;
	begin(&in, "\"\"\"a b\" \"#;:{}\"\n\"\\\"\\\\\"x\"y\"");
	expect(&in, LEXER_VALUE, TOKEN_STRING, 1, 1, "");
	expect(&in, LEXER_KEYWORD, TOKEN_STRING, 1, 3, "a b");
	expect(&in, LEXER_VALUE, TOKEN_STRING, 1, 9, "#;:{}");
	expect(&in, LEXER_VALUE, TOKEN_STRING, 2, 1, "\"\\");
	expect(&in, LEXER_VALUE, TOKEN_WORD, 2, 7, "x");
	expect(&in, LEXER_VALUE, TOKEN_STRING, 2, 8, "y");
	end(&in, "");
}

static void
test_bad_strings(void **state)
{
	struct input in;

	(void)state;
	begin(&in, "\"a\nb \"c\\\n\"\\n\\t\" d \"e\\");
	expect(&in, LEXER_VALUE, TOKEN_BAD, 1, 1, NULL);
	expect(&in, LEXER_VALUE, TOKEN_WORD, 2, 1, "b");
	expect(&in, LEXER_VALUE, TOKEN_BAD, 2, 3, NULL);
	expect(&in, LEXER_VALUE, TOKEN_BAD, 3, 1, NULL);
	expect(&in, LEXER_VALUE, TOKEN_WORD, 3, 8, "d");
	expect(&in, LEXER_VALUE, TOKEN_BAD, 3, 10, NULL);
	expect(&in, LEXER_VALUE, TOKEN_END, 3, 13, NULL);
	end(&in,
	    "f:1:1: string without end, expected '\"' on the same line\n"
	    "f:2:5: unknown escape, expected \\\" or \\\\\n"
	    "f:2:3: string without end, expected '\"' on the same line\n"
	    "f:3:2: unknown escape, expected \\\" or \\\\\n"
	    "f:3:12: unknown escape, expected \\\" or \\\\\n"
	    "f:3:10: string without end, expected '\"' on the same line\n");
}

static void
test_escaped_end(void **state)
{
	struct input in;

	(void)state;
	begin(&in, "\"\\\"");
	expect(&in, LEXER_VALUE, TOKEN_BAD, 1, 1, NULL);
	end(&in, "f:1:1: string without end, expected '\"' on the same line\n");
}

/* The longest word, and one byte more; quotes and escapes don't count. */
static void
test_long_words(void **state)
{
	struct input in;
	char	     text[CONF_WORD_MAX + 8], word[CONF_WORD_MAX + 2];

	(void)state;
	memset(word, 'a', sizeof(word));
	word[CONF_WORD_MAX + 1] = '\0';
	begin(&in, word);
	expect(&in, LEXER_VALUE, TOKEN_BAD, 1, 1, NULL);
	end(&in, "f:1:1: word of 254 bytes, expected at most 253\n");

	fmt_print(text, sizeof(text), "\"%s\" x", word);
	begin(&in, text);
	expect(&in, LEXER_VALUE, TOKEN_BAD, 1, 1, NULL);
	expect(&in, LEXER_VALUE, TOKEN_WORD, 1, CONF_WORD_MAX + 5, "x");
	end(&in, "f:1:1: string of 254 bytes, expected at most 253\n");

	word[CONF_WORD_MAX] = '\0';
	begin(&in, word);
	expect(&in, LEXER_KEYWORD, TOKEN_WORD, 1, 1, word);
	end(&in, "");

	fmt_print(text, sizeof(text), "\"\\\"%s\"", word + 1);
	begin(&in, text);
	word[0] = '"';
	expect(&in, LEXER_VALUE, TOKEN_STRING, 1, 1, word);
	end(&in, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_signs),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_bad_strings),
		cmocka_unit_test(test_escaped_end),
		cmocka_unit_test(test_long_words),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
