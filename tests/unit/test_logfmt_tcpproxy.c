/*
 * The log in the words of tcpproxy(8): each line that it had, what happens
 * to those it did not have, and lines that are not as relays send them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/logfmt_tcpproxy.h"

static struct log_line line;
static struct logfmt_entry e;
static char words[LOGFMT_TCPPROXY], buf[LOGFMT_MAX + 1];

static void
begin(enum log_level level, const char *text)
{
	log_begin(&line, level, text);
}

static void
send_from(enum role role, uint32_t gen)
{
	e = (struct logfmt_entry){ .who = { role, gen, 0 } };
	assert_int_equal(logfmt_parse(line.buf, line.len, &e), 0);
	logfmt_tcpproxy(&e, words);
}

/* From a relay of the second generation. */
static void
becomes(enum log_level level, const char *text)
{
	send_from(ROLE_RELAY, 2);
	assert_string_equal(e.text, text);
	assert_int_equal(e.level, level);
	assert_int_equal(e.nfields, 0);
}

static void
session(const char *reason, const char *error)
{
	begin(LEVEL_INFO, "session");
	log_str(&line, "client", "192.0.2.1:1234");
	log_str(&line, "reason", reason);
	log_num(&line, "fd", 14);
	if (error != NULL)
		log_str(&line, "error", error);
}

static void
test_begin(void **state)
{
	(void)state;
	begin(LEVEL_INFO, "session accepted");
	log_str(&line, "client", "192.0.2.1:1234");
	log_num(&line, "fd", 14);
	becomes(LEVEL_INFO, "new client from 192.0.2.1:1234 (fd=14)");
	begin(LEVEL_INFO, "session accepted");
	log_str(&line, "client", "[2001:db8::1]:1234");
	log_num(&line, "fd", 7);
	becomes(LEVEL_INFO, "new client from 2001:db8::1.1234 (fd=7)");
	begin(LEVEL_INFO, "session connected");
	log_num(&line, "fd", 14);
	becomes(LEVEL_INFO, "successfully added client 14");
}

static void
test_end(void **state)
{
	static const char done[] = "client 14: both connections are finished "
	    "now - removing it";

	(void)state;
	session("client-eof", NULL);
	becomes(LEVEL_INFO, done);
	session("server-eof", NULL);
	becomes(LEVEL_INFO, done);
	session("client-reset", NULL);
	becomes(LEVEL_INFO, "Error on recv(): Connection reset by peer, "
	    "removing client 14");
	session("server-reset", "Connection timed out");
	becomes(LEVEL_INFO, "Error on recv(): Connection timed out, "
	    "removing client 14");
	session("idle", NULL);
	becomes(LEVEL_INFO, "client 14: idle - removing it");
	session("shutdown", NULL);
	becomes(LEVEL_DEBUG, "client 14: shutdown - removing it");
}

static void
test_no_server(void **state)
{
	(void)state;
	session("connect-refused", NULL);
	becomes(LEVEL_ERROR, "Error on connect(): Connection refused, not "
	    "adding client 14");
	session("connect-timeout", NULL);
	becomes(LEVEL_ERROR, "Error on connect(): Connection timed out, not "
	    "adding client 14");
	session("connect-failed", "No route to host");
	becomes(LEVEL_ERROR, "Error on connect(): No route to host, not "
	    "adding client 14");
	session("source", NULL);
	becomes(LEVEL_INFO, "Error on bind(): Cannot assign requested address"
	    ", not adding client 14");
	session("limit", NULL);
	becomes(LEVEL_INFO, "Error on socket(): Too many open files, not "
	    "adding client 14");
}

static void
test_listening(void **state)
{
	(void)state;
	begin(LEVEL_NOTICE, "listening on: 0.0.0.0:80 (remote: 192.0.2.1:81)");
	becomes(LEVEL_NOTICE,
	    "listening on: 0.0.0.0:80 (remote: 192.0.2.1:81)");
	begin(LEVEL_NOTICE, "listening on: [::]:80 (remote: [fe80::1%2]:81 "
	    "with source fe80::2%2)");
	becomes(LEVEL_NOTICE, "listening on: ::.80 (remote: fe80::1%2.81 "
	    "with source fe80::2%2.0)");
	begin(LEVEL_NOTICE, "listening on: [::]:80 (remote: 192.0.2.1:81 "
	    "with source 192.0.2.2)");
	becomes(LEVEL_NOTICE, "listening on: ::.80 (remote: 192.0.2.1:81 "
	    "with source 192.0.2.2:0)");
	/* the front has said these already */
	begin(LEVEL_NOTICE, "listening on: 0.0.0.0:80 (remote: 192.0.2.1:81)");
	log_str(&line, "name", LOGFMT_REUSED);
	becomes(LEVEL_DEBUG,
	    "listening on: 0.0.0.0:80 (remote: 192.0.2.1:81)");
	begin(LEVEL_NOTICE, "listening on: 0.0.0.0:80 (remote: 192.0.2.1:81)");
	send_from(ROLE_RELAY, 1);
	assert_int_equal(e.level, LEVEL_DEBUG);
}

static void
test_no_listener(void **state)
{
	(void)state;
	begin(LEVEL_ERROR, "/proc/1/fd/10:7: cannot listen on 192.0.2.1:80: "
	    "Address already in use");
	becomes(LEVEL_ERROR,
	    "Error on bind(192.0.2.1:80): Address already in use");
	begin(LEVEL_WARNING, "/proc/1/fd/10:7: cannot listen on [::1]:80: "
	    "Permission denied (skipped)");
	becomes(LEVEL_ERROR, "Error on bind(::1.80): Permission denied");
}

static void
report_listener(const char *state, const char *source)
{
	begin(LEVEL_NOTICE, "listener");
	log_str(&line, "address", "[::1]:80");
	log_str(&line, "remote", "192.0.2.1:81");
	if (source != NULL)
		log_str(&line, "source", source);
	log_num(&line, "fd", 9);
	log_str(&line, "state", state);
}

static void
test_reports(void **state)
{
	static const char *const states[][2] = { { "connecting", "[>] client "
	    "#14/-1: 5 bytes received, 7 bytes sent" }, { "connected", "[c] "
	    "client #14/15: 5 bytes received, 7 bytes sent" }, { "closing",
	    "[-] client #14/15: 5 bytes received, 7 bytes sent" },
	    { "half-closed-by-client",
	    "[-] client #14/15: 5 bytes received, 7 bytes sent" } };

	(void)state;
	report_listener("accepting", NULL);
	becomes(LEVEL_NOTICE, "[a] listener #9: ::1.80 -> 192.0.2.1:81");
	report_listener("paused-limit", "192.0.2.7");
	becomes(LEVEL_NOTICE, "[a] listener #9: ::1.80 -> 192.0.2.1:81 "
	    "with source 192.0.2.7:0");
	report_listener("draining", NULL);
	becomes(LEVEL_DEBUG, "[z] listener #9: ::1.80 -> 192.0.2.1:81");
	for (size_t i = 0; i < 4; i++) {
		begin(LEVEL_NOTICE, "active session");
		log_num(&line, "to_server", 7);
		log_num(&line, "to_client", 5);
		log_num(&line, "fd", 14);
		if (i != 0)
			log_num(&line, "server_fd", 15);
		log_str(&line, "state", states[i][0]);
		becomes(LEVEL_NOTICE, states[i][1]);
	}
}

/* Nothing is lost, and nothing new is said at the levels of old. */
static void
test_others(void **state)
{
	static const enum log_level after[] = { LEVEL_OFF, LEVEL_ERROR,
		LEVEL_WARNING, LEVEL_DEBUG, LEVEL_DEBUG, LEVEL_DEBUG };

	(void)state;
	for (int level = LEVEL_ERROR; level <= LEVEL_DEBUG; level++) {
		begin((enum log_level)level, "some text");
		log_str(&line, "key", "value");
		send_from(ROLE_RELAY, 2);
		assert_int_equal(e.level, after[level]);
		assert_string_equal(e.text, "some text");
		assert_int_equal(e.nfields, 1);
	}
	/* only relays speak of sessions */
	session("client-eof", NULL);
	send_from(ROLE_DIALER, 2);
	assert_string_equal(e.text, "session");
}

/* A relay that was taken over may send anything. */
static void
test_odd(void **state)
{
	static const char *const texts[] = { "session", "session accepted",
		"session connected", "listener", "active session",
		"listening on: ", "listening on: x)", "listening on: (remote: ",
		"listening on:  (remote: )", "cannot listen on ",
		"cannot listen on : ", "cannot listen on x: (skipped)",
		"cannot listen on x (skipped): y" };
	static const char *const addrs[] = { "", "[", "]", "[]", "[]:",
		"]:[", "[x]", "x]y" };
	char long_one[LOG_MAX - 200];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		begin(LEVEL_NOTICE, texts[i]);
		send_from(ROLE_RELAY, 2);
		assert_true(strlen(e.text) < LOGFMT_TCPPROXY);
	}
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	begin(LEVEL_NOTICE, "session accepted");
	log_str(&line, "client", long_one);
	log_str(&line, "fd", long_one);
	send_from(ROLE_RELAY, 2);
	assert_true(strlen(e.text) < LOGFMT_TCPPROXY);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		begin(LEVEL_NOTICE, "session accepted");
		log_str(&line, "client", addrs[i]);
		send_from(ROLE_RELAY, 2);
		assert_non_null(strstr(e.text, "(fd=?)"));
	}
}

/* The line as it stands in a file, and as it goes to syslogd. */
static void
test_forms(void **state)
{
	static const struct logfmt_syslog target = { "tcpproxy", 3, 4711,
		.bare = true };
	struct timespec at = { .tv_sec = 1730442123 };	/* 1 Nov 2024 */
	struct logfmt_clock clock = { 0 };

	(void)state;
	setenv("TZ", "XXX-1", 1);
	tzset();
	logfmt_tick(&clock, &at);
	session("connect-refused", NULL);
	send_from(ROLE_RELAY, 2);
	buf[logfmt_ctime(buf, &e, &clock)] = '\0';
	assert_string_equal(buf, "Fri Nov  1 07:22:03 2024 ERROR: Error on "
	    "connect(): Connection refused, not adding client 14\n");
	buf[logfmt_syslog(buf, &e, &clock, &target)] = '\0';
	assert_string_equal(buf, "<27>Nov  1 07:22:03 tcpproxy[4711]: Error "
	    "on connect(): Connection refused, not adding client 14");
	begin(LEVEL_WARNING, "two\nlines");
	log_str(&line, "key", "a value");
	send_from(ROLE_LOGGER, 0);
	buf[logfmt_ctime(buf, &e, &clock)] = '\0';
	assert_string_equal(buf, "Fri Nov  1 07:22:03 2024 WARNING: "
	    "two\\nlines key=\"a value\"\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_listening),
		cmocka_unit_test(test_no_listener),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_forms),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
