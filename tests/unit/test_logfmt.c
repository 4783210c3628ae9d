/*
 * The logger's reading and writing of lines: odd messages, escaping, JSON
 * that stays JSON whatever is in it, lines that are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/logfmt.h"

#define STAMP	"2026-11-20T18:02:03.007+01:00"

static const struct logfmt_clock stamp = {
	.date = "2026-11-20T18:02:03", .zone = "+01:00",
	.syslog = "Nov 20 18:02:03", .ms = 7
};
static const struct logfmt_syslog target = { "ident", 3, 4711, false };

static struct log_line line;
static char buf[LOGFMT_MAX + 1];	/* and a NUL for the tests */

/* The line under construction, as the logger sees it from relay[2.1]. */
static struct logfmt_entry
entry(void)
{
	struct logfmt_entry e = { .who = { ROLE_RELAY, 2, 0 } };

	assert_int_equal(logfmt_parse(line.buf, line.len, &e), 0);
	return (e);
}

static struct logfmt_entry
entry_of(const char *text)
{
	log_begin(&line, LEVEL_NOTICE, text);
	return (entry());
}

static const char *
text_of(const struct logfmt_entry *e)
{
	buf[logfmt_text(buf, e, &stamp)] = '\0';
	return (buf);
}

static const char *
json_of(const struct logfmt_entry *e)
{
	buf[logfmt_json(buf, e, &stamp)] = '\0';
	return (buf);
}

/* --- a strict JSON reader (RFC 8259) for objects of strings and numbers --- */

static const char *json;	/* where it is */

static void
json_char(char c)
{
	if (*json != c)
		fail_msg("'%c' expected at: %s", c, json);
	json++;
}

static unsigned
json_hex(void)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++, json++) {
		const char *digits = "0123456789abcdef", *d;

		d = *json == '\0' ? NULL : strchr(digits, *json);
		if (d == NULL)
			fail_msg("hexadecimal digit expected at: %s", json);
		value = value << 4 | (unsigned)(d - digits);
	}
	return (value);
}

static size_t
utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return (1);
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return (2);
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return (3);
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return (4);
}

static unsigned
json_escape(void)
{
	unsigned c, low;

	if (*json == '"' || *json == '\\')
		return ((unsigned char)*json++);
	json_char('u');
	c = json_hex();
	if (c >= 0xd800 && c < 0xe000) {
		assert_in_range(c, 0xd800, 0xdbff);
		json_char('\\');
		json_char('u');
		low = json_hex();
		assert_in_range(low, 0xdc00, 0xdfff);
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	return (c);
}

static void
json_string(char *out)
{
	json_char('"');
	while (*json != '"') {
		/* a control character, or not ASCII */
		if (*json < 0x20 || *json > 0x7e)
			fail_msg("raw byte %#x", (unsigned char)*json);
		if (*json == '\\') {
			json++;
			out += utf8(out, json_escape());
		} else {
			*out++ = *json++;
		}
	}
	json++;
	*out = '\0';
}

/* Reads the whole line; the value of `key' as text, or false. */
static bool
json_get(const char *text, const char *key, char value[LOGFMT_MAX])
{
	char name[LOGFMT_MAX], one[LOGFMT_MAX];
	bool found = false;

	json = text;
	json_char('{');
	for (;;) {
		json_string(name);
		json_char(':');
		if (*json == '"') {
			json_string(one);
		} else {
			size_t n = strspn(json, "0123456789truefals");

			assert_true(n > 0);
			assert_false(n > 1 && json[0] == '0');
			memcpy(one, json, n);
			one[n] = '\0';
			json += n;
		}
		if (strcmp(name, key) == 0) {
			assert_false(found);
			found = true;
			strcpy(value, one);
		}
		if (*json != ',')
			break;
		json++;
	}
	json_char('}');
	json_char('\n');
	json_char('\0');
	return (found);
}

static void
json_is(const char *text, const char *key, const char *expected)
{
	char value[LOGFMT_MAX];

	assert_true(json_get(text, key, value));
	assert_string_equal(value, expected);
}

/* --- lines ---------------------------------------------------------------- */

static void
test_text(void **state)
{
	struct logfmt_entry e;

	(void)state;
	e = entry_of("hello");
	assert_string_equal(text_of(&e),
	    STAMP " notice relay[2.1]: hello\n");
	log_begin(&line, LEVEL_DEBUG, "closed");
	log_str(&line, "client", "192.0.2.1:5");
	log_num(&line, "bytes", 0);
	log_str(&line, "why", "client-eof");
	e = entry();
	assert_string_equal(text_of(&e), STAMP " debug relay[2.1]: closed "
	    "client=192.0.2.1:5 bytes=0 why=client-eof\n");
}

static void
test_levels(void **state)
{
	static const char *const names[] = {
		"", "error", "warning", "notice", "info", "debug"
	};
	char want[64];

	(void)state;
	for (int level = LEVEL_ERROR; level <= LEVEL_DEBUG; level++) {
		struct logfmt_entry e;

		log_begin(&line, (enum log_level)level, "x");
		e = entry();
		snprintf(want, sizeof(want), "%s %s relay[2.1]: x\n", STAMP,
		    names[level]);
		assert_string_equal(text_of(&e), want);
		json_is(json_of(&e), "level", names[level]);
		snprintf(want, sizeof(want), "<%d>Nov 20 18:02:03 "
		    "ident[4711]: relay[2.1]: x", 3 * 8 + level + 2);
		buf[logfmt_syslog(buf, &e, &stamp, &target)] = '\0';
		assert_string_equal(buf, want);
	}
}

static void
test_names(void **state)
{
	static const struct {
		struct logfmt_who who;
		const char *name, *members;
	} all[] = {
		{ { ROLE_PARENT, 0, 0 }, "sallyport",
		    "\"role\":\"sallyport\",\"msg\"" },
		{ { ROLE_LOGGER, 0, 0 }, "logger",
		    "\"role\":\"logger\",\"msg\"" },
		{ { ROLE_RELAY, 7, 1 }, "relay[7.2]",
		    "\"role\":\"relay\",\"gen\":7,\"worker\":2,\"msg\"" },
		{ { ROLE_DIALER, 1, 7 }, "dialer[1.8]",
		    "\"role\":\"dialer\",\"gen\":1,\"worker\":8,\"msg\"" },
		{ { ROLE_RESOLVER, 3, 0 }, "resolver[3]",
		    "\"role\":\"resolver\",\"gen\":3,\"msg\"" },
		{ { ROLE_LOOKUP, 3, 0 }, "lookup[3]",
		    "\"role\":\"lookup\",\"gen\":3,\"msg\"" },
		{ { ROLE_RELAY, UINT32_MAX, UINT32_MAX },
		    "relay[4294967295.4294967296]",
		    "\"gen\":4294967295,\"worker\":4294967296,\"msg\"" },
	};
	char name[LOGFMT_WHO];
	struct logfmt_entry e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		e = entry_of("x");
		e.who = all[i].who;
		assert_string_equal(logfmt_name(&e.who, name), all[i].name);
		assert_non_null(strstr(text_of(&e), all[i].name));
		assert_non_null(strstr(json_of(&e), all[i].members));
	}
}

static void
test_escape(void **state)
{
	struct logfmt_entry e;

	(void)state;
	e = entry_of("a\nb\tc\rd\\e\x1b[0m\x7f\x80\xff\"q\" caf\xc3\xa9");
	assert_string_equal(text_of(&e), STAMP " notice relay[2.1]: "
	    "a\\nb\\tc\\rd\\\\e\\x1b[0m\\x7f\\x80\\xff\"q\" caf\\xc3\\xa9\n");
}

static void
test_values(void **state)
{
	struct logfmt_entry e;

	(void)state;
	log_begin(&line, LEVEL_INFO, "x");
	log_str(&line, "empty", "");
	log_str(&line, "blank", "a b");
	log_str(&line, "quote", "a\"b\\c");
	log_str(&line, "equals", "a=b");
	log_str(&line, "ctl", "\n\x01");
	log_str(&line, "plain", "a\\b");
	e = entry();
	assert_string_equal(text_of(&e), STAMP " info relay[2.1]: x empty=\"\""
	    " blank=\"a b\" quote=\"a\\\"b\\\\c\" equals=\"a=b\" "
	    "ctl=\\n\\x01 plain=a\\\\b\n");
}

/* Each byte alone: one printable line in every form. */
static void
test_all_bytes(void **state)
{
	char one[2] = "";

	(void)state;
	for (int b = 1; b < 256; b++) {
		struct logfmt_entry e;
		char value[LOGFMT_MAX], hex[8];
		size_t i, n;

		one[0] = (char)b;
		log_begin(&line, LEVEL_INFO, one);
		log_str(&line, "v", one);
		e = entry();
		n = strlen(text_of(&e));
		for (i = 0; i < n - 1; i++)
			assert_in_range(buf[i], 0x20, 0x7e);
		assert_int_equal(buf[n - 1], '\n');
		n = logfmt_syslog(buf, &e, &stamp, &target);
		for (i = 0; i < n; i++)
			assert_in_range(buf[i], 0x20, 0x7e);
		snprintf(hex, sizeof(hex), "\\x%02x", b);
		assert_true(json_get(json_of(&e), "msg", value));
		assert_string_equal(value, b < 0x80 ? one : hex);
		assert_true(json_get(json_of(&e), "v", value));
		assert_string_equal(value, b < 0x80 ? one : hex);
	}
}

/* No two bytes in a text look the same, so none can be faked. */
static void
test_distinct(void **state)
{
	char seen[256][8], one[2] = "";

	(void)state;
	for (int b = 1; b < 256; b++) {
		struct logfmt_entry e;

		one[0] = (char)b;
		e = entry_of(one);
		strcpy(seen[b], strrchr(text_of(&e), ':') + (b == ':' ? 0 : 2));
		for (int c = 1; c < b; c++)
			assert_string_not_equal(seen[b], seen[c]);
	}
}

static void
test_utf8(void **state)
{
	static const struct {
		const char *text, *want;
	} all[] = {
		{ "\xc3\xa9", "\"\\u00e9\"" },
		{ "\xc2\x80", "\"\\u0080\"" },
		{ "\xdf\xbf", "\"\\u07ff\"" },
		{ "\xe0\xa0\x80", "\"\\u0800\"" },
		{ "\xe2\x82\xac", "\"\\u20ac\"" },
		{ "\xef\xbf\xbf", "\"\\uffff\"" },
		{ "\xf0\x90\x80\x80", "\"\\ud800\\udc00\"" },
		{ "\xf0\x9f\x98\x80", "\"\\ud83d\\ude00\"" },
		{ "\xf4\x8f\xbf\xbf", "\"\\udbff\\udfff\"" },
		/* too long a form, a surrogate, too large, cut off */
		{ "\xc0\x80", "\"\\\\xc0\\\\x80\"" },
		{ "\xc1\xbf", "\"\\\\xc1\\\\xbf\"" },
		{ "\xe0\x9f\xbf", "\"\\\\xe0\\\\x9f\\\\xbf\"" },
		{ "\xf0\x8f\xbf\xbf", "\"\\\\xf0\\\\x8f\\\\xbf\\\\xbf\"" },
		{ "\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\"" },
		{ "\xed\xbf\xbf", "\"\\\\xed\\\\xbf\\\\xbf\"" },
		{ "\xf4\x90\x80\x80", "\"\\\\xf4\\\\x90\\\\x80\\\\x80\"" },
		{ "\xf8\x88\x80\x80", "\"\\\\xf8\\\\x88\\\\x80\\\\x80\"" },
		{ "\xe2\x82", "\"\\\\xe2\\\\x82\"" },
		{ "\xe2\x82x", "\"\\\\xe2\\\\x82x\"" },
		{ "\xf0", "\"\\\\xf0\"" },
		{ "\x80", "\"\\\\x80\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct logfmt_entry e = entry_of(all[i].text);
		char value[LOGFMT_MAX];

		assert_non_null(strstr(json_of(&e), all[i].want));
		assert_true(json_get(buf, "msg", value));
		if (all[i].want[2] == 'u')
			assert_string_equal(value, all[i].text);
	}
}

static void
test_json(void **state)
{
	struct logfmt_entry e;

	(void)state;
	log_begin(&line, LEVEL_NOTICE, "closed \"x\"\n");
	log_str(&line, "client", "192.0.2.1:5");
	log_num(&line, "bytes", UINT64_MAX);
	e = entry();
	assert_string_equal(json_of(&e), "{\"time\":\"" STAMP "\",\"level\":"
	    "\"notice\",\"role\":\"relay\",\"gen\":2,\"worker\":1,\"msg\":"
	    "\"closed \\\"x\\\"\\u000a\",\"client\":\"192.0.2.1:5\","
	    "\"bytes\":18446744073709551615}\n");
	json_is(buf, "msg", "closed \"x\"\n");
}

static void
test_plain(void **state)
{
	struct logfmt_entry e = entry_of("f:1:2: bad\n  listen\n  ^\x1b\\");

	(void)state;
	buf[logfmt_plain(buf, &e)] = '\0';
	assert_string_equal(buf,
	    "sallyport: f:1:2: bad\n  listen\n  ^\\x1b\\\\\n");
}

/* --- lines that are too long ---------------------------------------------- */

/* A text of n bytes b, and a field. */
static struct logfmt_entry
long_entry(size_t n, int b)
{
	static char text[LOG_MAX];

	memset(text, b, n);
	text[n] = '\0';
	log_begin(&line, LEVEL_NOTICE, text);
	log_str(&line, "key", "value");
	return (entry());
}

/* Around the end of the buffer, one length after the other. */
static void
test_text_cut(void **state)
{
	static const size_t fixed = sizeof(STAMP " notice relay[2.1]: ") - 1;
	size_t n, len, want;

	(void)state;
	for (n = 980; n < 1060; n++) {
		struct logfmt_entry e = long_entry(n, '\x01');

		buf[LOGFMT_MAX] = '#';
		len = logfmt_text(buf, &e, &stamp);
		assert_true(len <= LOGFMT_MAX);
		assert_int_equal(buf[LOGFMT_MAX], '#');
		assert_int_equal(buf[len - 1], '\n');
		want = fixed + 4 * n + sizeof(" key=value") - 1;
		if (want + 4 <= LOGFMT_MAX) {
			assert_int_equal(len, want + 1);
			assert_memory_equal(buf + len - 11, " key=value", 10);
		} else {
			assert_memory_equal(buf + len - 4, "...", 3);
		}
	}
}

static void
test_syslog_cut(void **state)
{
	char small[LOGFMT_SYSLOG + 1];
	struct logfmt_entry e;
	size_t n, len;

	(void)state;
	for (n = 900; n < 1100; n++) {
		e = long_entry(n, 'x');
		small[LOGFMT_SYSLOG] = '#';
		len = logfmt_syslog(small, &e, &stamp, &target);
		assert_true(len <= LOGFMT_SYSLOG);
		assert_int_equal(small[LOGFMT_SYSLOG], '#');
		if (n >= 1000)
			assert_memory_equal(small + len - 3, "...", 3);
		else if (n < 950)
			assert_memory_equal(small + len - 5, "value", 5);
	}
}

/* What is cut is JSON all the same, says so, and has no half of a field. */
static void
test_json_cut(void **state)
{
	static const int bytes[] = { '\x01', '"', 'x', '\xff' };
	char value[LOGFMT_MAX];
	struct logfmt_entry e;
	unsigned cuts = 0, wholes = 0;
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		for (n = 1; n < LOG_MAX - 32; n += n < 600 ? 37 : 1) {
			e = long_entry(n, bytes[i]);
			buf[LOGFMT_MAX] = '#';
			assert_true(logfmt_json(buf, &e, &stamp) <=
			    LOGFMT_MAX);
			assert_int_equal(buf[LOGFMT_MAX], '#');
			if (json_get(json_of(&e), "cut", value)) {
				assert_string_equal(value, "true");
				assert_false(json_get(buf, "key", value));
				cuts++;
			} else {
				json_is(buf, "key", "value");
				wholes++;
			}
		}
	assert_true(cuts > 100 && wholes > 100);
}

/* The text alone fills the buffer, to the byte and around it. */
static void
test_json_exact(void **state)
{
	char text[LOG_MAX], value[LOGFMT_MAX];
	struct logfmt_entry e;
	unsigned whole = 0;
	size_t k;

	(void)state;
	memset(text, '\x01', 650);		/* six bytes each */
	memset(text + 650, 'x', sizeof(text) - 650);
	for (k = 0; k < 120; k++) {
		text[650 + k] = '\0';
		log_begin(&line, LEVEL_NOTICE, text);
		log_str(&line, "key", "value");
		e = entry();
		text[650 + k] = 'x';
		memset(buf, '#', sizeof(buf));
		assert_true(logfmt_json(buf, &e, &stamp) <= LOGFMT_MAX);
		assert_int_equal(buf[LOGFMT_MAX], '#');
		assert_true(json_get(json_of(&e), "msg", value));
		if (strlen(value) == 650 + k)
			whole++;
		else
			json_is(buf, "cut", "true");
	}
	assert_in_range(whole, 10, 110);
}

/* The text fits, a field does not: it is left out whole. */
static void
test_json_cut_field(void **state)
{
	static char value[1001];
	char got[LOGFMT_MAX];
	struct logfmt_entry e;

	(void)state;
	memset(value, '\x02', sizeof(value) - 1);
	log_begin(&line, LEVEL_INFO, "text");
	log_num(&line, "first", 1);
	log_str(&line, "second", value);
	log_num(&line, "third", 3);
	e = entry();
	json_is(json_of(&e), "first", "1");
	json_is(buf, "cut", "true");
	json_is(buf, "msg", "text");
	assert_false(json_get(buf, "second", got));
	assert_false(json_get(buf, "third", got));
}

/* Random bytes in text and fields. */
static void
test_json_random(void **state)
{
	char text[512], value[LOGFMT_MAX];
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct logfmt_entry e;
		size_t i, n = (size_t)rand_r(&seed) % sizeof(text);

		for (i = 0; i < n; i++)
			text[i] = (char)(rand_r(&seed) >> 4);
		text[n == 0 ? 0 : n - 1] = '\0';
		log_begin(&line, LEVEL_INFO, text);
		log_str(&line, "v", text);
		log_str(&line, "w", text + strlen(text) / 2);
		e = entry();
		assert_true(json_get(json_of(&e), "msg", value));
		json_get(buf, "none", value);
	}
}

/* --- messages ------------------------------------------------------------- */

static void
refused(const void *message, size_t len)
{
	struct logfmt_entry e;
	char *copy = malloc(len + (len == 0));	/* for the sanitizer */

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, message, len);
	assert_int_equal(logfmt_parse(copy, len, &e), -1);
	free(copy);
}

static void
test_parse(void **state)
{
	struct logfmt_entry e;
	struct log_head head;

	(void)state;
	log_begin(&line, LEVEL_WARNING, "text");
	log_str(&line, "a-B_9", "v");
	log_num(&line, "n", 10);
	memcpy(&head, line.buf, sizeof(head));
	head.lost = 12;
	memcpy(line.buf, &head, sizeof(head));
	e = entry();
	assert_int_equal(e.level, LEVEL_WARNING);
	assert_int_equal(e.lost, 12);
	assert_string_equal(e.text, "text");
	assert_int_equal(e.nfields, 2);
}

/* Every length but the right one is refused. */
static void
test_parse_lengths(void **state)
{
	size_t n;

	(void)state;
	log_begin(&line, LEVEL_WARNING, "text");
	log_str(&line, "key", "value");
	log_num(&line, "n", 10);
	for (n = 0; n < line.len; n++)
		refused(line.buf, n);
	line.buf[line.len] = '\0';
	refused(line.buf, line.len + 1);
	line.buf[line.len] = 's';
	refused(line.buf, line.len + 1);
}

static void
test_parse_too_long(void **state)
{
	char message[LOG_MAX + 1];
	struct logfmt_entry e;

	(void)state;
	memset(message, 'x', sizeof(message));
	log_begin(&line, LEVEL_WARNING, "");
	memcpy(message, line.buf, sizeof(struct log_head));
	message[LOG_MAX - 1] = '\0';
	assert_int_equal(logfmt_parse(message, LOG_MAX, &e), 0);
	message[LOG_MAX - 1] = 'x';
	refused(message, LOG_MAX);
	message[LOG_MAX] = '\0';
	refused(message, LOG_MAX + 1);
}

/* It is known as one, and looks like any other line. */
static void
test_report(void **state)
{
	struct logfmt_entry e;

	(void)state;
	log_begin_report(&line, "x");
	e = entry();
	assert_true(e.report);
	assert_int_equal(e.level, LEVEL_NOTICE);
	assert_string_equal(text_of(&e), STAMP " notice relay[2.1]: x\n");
	log_begin(&line, LEVEL_NOTICE, "x");
	e = entry();
	assert_false(e.report);
}

static void
test_parse_head(void **state)
{
	static const struct log_head heads[] = {
		{ .magic = 0, .level = 3 },
		{ .magic = LOG_MAGIC ^ 1, .level = 3 },
		{ .magic = LOG_MAGIC, .level = 0 },
		{ .magic = LOG_MAGIC, .level = 6 },
		{ .magic = LOG_MAGIC, .level = 255 },
		{ .magic = LOG_MAGIC, .level = LOG_REPORT },
		{ .magic = LOG_MAGIC, .level = LOG_REPORT | 6 },
		{ .magic = LOG_MAGIC, .level = 0x40 | 3 },
		{ .magic = LOG_MAGIC, .level = 3, .nfields = 1 },
		{ .magic = LOG_MAGIC, .level = 3, .nfields = 3 },
		{ .magic = LOG_MAGIC, .level = 3, .nfields = 255 },
	};
	size_t i;

	(void)state;
	log_begin(&line, LEVEL_WARNING, "text");
	log_str(&line, "key", "value");
	log_num(&line, "n", 10);
	entry();
	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		memcpy(line.buf, &heads[i], sizeof(heads[i]));
		refused(line.buf, line.len);
	}
}

static void
field(char type, const char *key, const char *value, bool good)
{
	struct logfmt_entry e;
	char *p;

	log_begin(&line, LEVEL_INFO, "x");
	p = line.buf + line.len;
	log_str(&line, key, value);
	*p = type;
	if (good)
		assert_int_equal(logfmt_parse(line.buf, line.len, &e), 0);
	else
		refused(line.buf, line.len);
}

static void
test_parse_fields(void **state)
{
	static const char *const bad_keys[] = {
		"", "a b", "a\"", "a=b", "a\\", "a\n", "\xc3\xa9", "a.b",
		"abcdefghijklmnopqrstuvwxyz0123456",
		/* the logger's own: a second one would be a forgery */
		"time", "level", "role", "gen", "worker", "msg", "cut"
	};
	static const char *const bad_numbers[] = {
		"", "-1", "+1", "1.5", "1e5", "x", "1x", " 1", "01", "00",
		"0x1", "null", "184467440737095516150"
	};
	size_t i;

	(void)state;
	field('s', "abcdefghijklmnopqrstuvwxyz012345", "v", true);
	field('s', "times", "v", true);
	for (i = 0; i < sizeof(bad_keys) / sizeof(bad_keys[0]); i++) {
		field('s', bad_keys[i], "v", false);
		field('n', bad_keys[i], "1", false);
	}
	field('n', "k", "0", true);
	field('n', "k", "10", true);
	field('n', "k", "18446744073709551615", true);
	for (i = 0; i < sizeof(bad_numbers) / sizeof(bad_numbers[0]); i++)
		field('n', "k", bad_numbers[i], false);
	field('\0', "k", "v", false);
	field('S', "k", "v", false);
	field('x', "k", "1", false);
}

/* --- time ----------------------------------------------------------------- */

static void
time_is(const char *zone, time_t second, long ns, const char *iso,
    const char *syslog)
{
	struct logfmt_entry e = entry_of("x");
	struct logfmt_clock c = { 0 };
	struct timespec ts = { second, ns };

	setenv("TZ", zone, 1);
	tzset();
	logfmt_tick(&c, &ts);
	logfmt_text(buf, &e, &c);
	assert_memory_equal(buf, iso, strlen(iso));
	assert_int_equal(buf[strlen(iso)], ' ');
	assert_string_equal(c.syslog, syslog);
}

static void
test_time(void **state)
{
	(void)state;
	time_is("UTC0", 0, 0, "1970-01-01T00:00:00.000+00:00",
	    "Jan  1 00:00:00");
	time_is("UTC0", 1795197723, 123999999,
	    "2026-11-20T18:02:03.123+00:00", "Nov 20 18:02:03");
	time_is("XXX-5:45", 1795197723, 7000000,
	    "2026-11-20T23:47:03.007+05:45", "Nov 20 23:47:03");
	time_is("XXX3:30", 1795197723, 999999999,
	    "2026-11-20T14:32:03.999-03:30", "Nov 20 14:32:03");
	time_is("UTC0", 1796083199, 0, "2026-11-30T23:59:59.000+00:00",
	    "Nov 30 23:59:59");
	time_is("UTC0", 1796083200, 0, "2026-12-01T00:00:00.000+00:00",
	    "Dec  1 00:00:00");
}

/* The strings are kept for a second, no longer and no shorter. */
static void
test_time_kept(void **state)
{
	struct logfmt_clock c = { 0 };
	struct timespec ts = { 1795197723, 1000000 };

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	logfmt_tick(&c, &ts);
	ts.tv_nsec = 500000000;
	logfmt_tick(&c, &ts);
	assert_string_equal(c.date, "2026-11-20T18:02:03");
	assert_int_equal(c.ms, 500);
	ts.tv_sec++;
	logfmt_tick(&c, &ts);
	assert_string_equal(c.date, "2026-11-20T18:02:04");
	ts.tv_sec -= 10;			/* the clock was set back */
	logfmt_tick(&c, &ts);
	assert_string_equal(c.date, "2026-11-20T18:01:54");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_distinct),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_text_cut),
		cmocka_unit_test(test_syslog_cut),
		cmocka_unit_test(test_json_cut),
		cmocka_unit_test(test_json_exact),
		cmocka_unit_test(test_json_cut_field),
		cmocka_unit_test(test_json_random),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_lengths),
		cmocka_unit_test(test_parse_too_long),
		cmocka_unit_test(test_parse_head),
		cmocka_unit_test(test_parse_fields),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_time_kept),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
