/*
 * Fuzzes the logger's reading and writing of lines: whatever a process sends
 * is refused, or becomes exactly one line of printable ASCII in each of the
 * five forms, no longer than its buffer; as JSON it is well-formed.  So does
 * what a relay sends in the words of tcpproxy(8).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../common/logfmt_tcpproxy.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct logfmt_clock stamp = {
	.date = "2026-11-20T18:02:03", .zone = "+00:00",
	.syslog = "Nov 20 18:02:03", .ctime = "Fri Nov 20 18:02:03 2026",
	.ms = 999
};
static const struct logfmt_syslog target = { "sallyport", 3, 4711,
	false };

static void
require(int truth)
{
	if (!truth)
		abort();
}

/* Printable but for a newline at the end, and, if allowed, inside. */
static void
check_line(const char *line, size_t len, size_t max, int newline, int inside)
{
	size_t i;

	require(len > 0 && len <= max);
	if (newline) {
		require(line[len - 1] == '\n');
		len--;
	}
	for (i = 0; i < len; i++)
		require((line[i] >= 0x20 && line[i] <= 0x7e) ||
		    (inside && line[i] == '\n'));
}

/* A string; returns what is behind it. */
static const char *
check_string(const char *p)
{
	require(*p++ == '"');
	while (*p != '"') {
		require(*p >= 0x20 && *p <= 0x7e);
		if (*p++ != '\\')
			continue;
		if (*p == 'u') {
			require(strspn(p + 1, "0123456789abcdef") >= 4);
			p += 4;
		} else {
			require(*p == '"' || *p == '\\');
		}
		p++;
	}
	return (p + 1);
}

/* An object of strings, numbers and true, and a newline. */
static void
check_json(const char *p)
{
	require(*p == '{');
	do {
		p = check_string(p + 1);
		require(*p++ == ':');
		if (*p == '"')
			p = check_string(p);
		else if (strncmp(p, "true", 4) == 0)
			p += 4;
		else {
			require(*p >= '0' && *p <= '9');
			require(*p != '0' || p[1] < '0' || p[1] > '9');
			p += strspn(p, "0123456789");
		}
	} while (*p == ',');
	require(strcmp(p, "}\n") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[LOGFMT_MAX + 1], words[LOGFMT_TCPPROXY];
	struct logfmt_entry e;
	size_t len;

	memset(&e, 0, sizeof(e));
	e.who.role = (enum role)(size % ROLE_COUNT);
	e.who.gen = (uint32_t)size << 20;
	e.who.worker = UINT32_MAX - (uint32_t)size;
	if (logfmt_parse(data, size, &e) == -1)
		return (0);
	require(size <= LOG_MAX && e.level > LEVEL_OFF);
	require(e.level <= LEVEL_DEBUG);
	require(e.report == ((data[2] & LOG_REPORT) != 0));
	len = logfmt_text(out, &e, &stamp);
	check_line(out, len, LOGFMT_MAX, 1, 0);
	len = logfmt_plain(out, &e);
	check_line(out, len, LOGFMT_MAX, 1, 1);
	len = logfmt_syslog(out, &e, &stamp, &target);
	check_line(out, len, LOGFMT_SYSLOG, 0, 0);
	len = logfmt_json(out, &e, &stamp);
	check_line(out, len, LOGFMT_MAX, 1, 0);
	out[len] = '\0';
	check_json(out);
	e.who.role = ROLE_RELAY;
	e.who.gen = 1 + size % 2;
	logfmt_tcpproxy(&e, words);
	require(e.level > LEVEL_OFF && e.level <= LEVEL_DEBUG);
	require(strlen(e.text) < LOGFMT_TCPPROXY);
	len = logfmt_ctime(out, &e, &stamp);
	check_line(out, len, LOGFMT_MAX, 1, 0);
	return (0);
}
