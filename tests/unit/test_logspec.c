/*
 * The parser of -L: every form that is accepted, every message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/logspec.h"

static struct logspec
good(const char *text)
{
	const char *why = "untouched";
	struct logspec s;

	if (logspec_parse(text, &s, &why) == -1)
		fail_msg("%s: %s", text, why);
	return (s);
}

static void
bad(const char *text, const char *expected)
{
	const char *why = NULL;
	struct logspec s;

	assert_int_equal(logspec_parse(text, &s, &why), -1);
	assert_non_null(why);
	if (strncmp(why, expected, strlen(expected)) != 0)
		fail_msg("%s: \"%s\", expected \"%s...\"", text, why, expected);
	assert_non_null(strstr(why, "expected"));
}

static void
test_kinds(void **state)
{
	(void)state;
	assert_int_equal(good("syslog:1").kind, LOGSPEC_SYSLOG);
	assert_int_equal(good("file:1").kind, LOGSPEC_FILE);
	assert_int_equal(good("stdout:1").kind, LOGSPEC_STDOUT);
	assert_int_equal(good("stderr:1").kind, LOGSPEC_STDERR);
}

static void
test_kinds_bad(void **state)
{
	static const char *const texts[] = {
		"", ":", ":3", "s:3", "sys:3", "syslo:3", "syslogd:3",
		"Syslog:3", " file:3", "file :3", "std:3", "stdoutX:3", "3"
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		bad(texts[i], "unknown log target");
}

static void
test_levels(void **state)
{
	static const enum log_level levels[] = {
		LEVEL_OFF, LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE,
		LEVEL_INFO, LEVEL_DEBUG, LEVEL_DEBUG, LEVEL_DEBUG,
		LEVEL_DEBUG, LEVEL_DEBUG
	};
	char text[] = "stderr:0";

	(void)state;
	for (int i = 0; i <= 9; i++) {
		text[7] = (char)('0' + i);
		assert_int_equal(good(text).level, levels[i]);
	}
}

static void
test_levels_bad(void **state)
{
	static const char *const texts[] = {
		"stderr:", "stderr:10", "stderr:03", "stderr:-1", "stderr:+1",
		"stderr: 3", "stderr:3 ", "stderr:x", "stderr:,", "file:,x",
		"stderr:/", "stderr::", "syslog:notice", "syslog:3:name"
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		bad(texts[i], "bad log level");
	bad("stderr", "log level missing");
	bad("syslog", "log level missing");
}

static void
test_file(void **state)
{
	struct logspec s;

	(void)state;
	s = good("file:3");
	assert_string_equal(s.path, "sallyport.log");
	s = good("file:4,/var/log/a b:c,d.log");
	assert_int_equal(s.level, LEVEL_INFO);
	assert_string_equal(s.path, "/var/log/a b:c,d.log");
	s = good("file:0,,");
	assert_string_equal(s.path, ",");
	bad("file:3,", "empty file name");
}

static void
test_streams(void **state)
{
	(void)state;
	assert_null(good("stdout:5").path);
	assert_null(good("stderr:5").path);
	bad("stdout:5,", "unexpected parameter");
	bad("stderr:5,x", "unexpected parameter");
}

static void
test_syslog(void **state)
{
	struct logspec s;

	(void)state;
	s = good("syslog:2");
	assert_int_equal(s.level, LEVEL_WARNING);
	assert_string_equal(s.ident, "sallyport");
	assert_int_equal(s.facility, 3);
	assert_null(s.path);
	s = good("syslog:2,web");
	assert_string_equal(s.ident, "web");
	assert_int_equal(s.facility, 3);
	s = good("syslog:2,web,local7");
	assert_string_equal(s.ident, "web");
	assert_int_equal(s.facility, 23);
	s = good(LOGSPEC_DEFAULT);
	assert_int_equal(s.kind, LOGSPEC_SYSLOG);
	assert_int_equal(s.level, LEVEL_NOTICE);
	assert_string_equal(s.ident, "sallyport");
	assert_int_equal(s.facility, 3);
}

static void
test_syslog_bad(void **state)
{
	(void)state;
	bad("syslog:2,", "empty syslog name");
	bad("syslog:2,,daemon", "empty syslog name");
	bad("syslog:2,web,", "unknown syslog facility");
	bad("syslog:2,web,Daemon", "unknown syslog facility");
	bad("syslog:2,web,daem", "unknown syslog facility");
	bad("syslog:2,web,3", "unknown syslog facility");
	bad("syslog:2,web,mark", "unknown syslog facility");
	bad("syslog:2,web,daemon,x", "unknown syslog facility");
}

static void
test_ident_length(void **state)
{
	char text[9 + LOGSPEC_IDENT + 1];

	(void)state;
	memset(text, 'i', sizeof(text));
	memcpy(text, "syslog:3,", 9);
	text[9 + LOGSPEC_IDENT] = '\0';
	bad(text, "syslog name too long");
	text[9 + LOGSPEC_IDENT - 1] = '\0';
	assert_string_equal(good(text).ident, text + 9);
}

/* The numbers of the kernel's and every syslogd's <syslog.h>. */
static void
test_facilities(void **state)
{
	static const struct {
		const char *text;
		unsigned number;
	} all[] = {
		{ "kern", 0 }, { "user", 1 }, { "mail", 2 }, { "daemon", 3 },
		{ "auth", 4 }, { "security", 4 }, { "syslog", 5 },
		{ "lpr", 6 }, { "news", 7 }, { "uucp", 8 }, { "cron", 9 },
		{ "authpriv", 10 }, { "ftp", 11 }, { "local0", 16 },
		{ "local1", 17 }, { "local2", 18 }, { "local3", 19 },
		{ "local4", 20 }, { "local5", 21 }, { "local6", 22 },
		{ "local7", 23 }
	};
	char text[64] = "syslog:3,x,";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		strcpy(text + 11, all[i].text);
		assert_int_equal(good(text).facility, all[i].number);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_kinds_bad),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_levels_bad),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_syslog),
		cmocka_unit_test(test_syslog_bad),
		cmocka_unit_test(test_ident_length),
		cmocka_unit_test(test_facilities),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
