/*
 * Fields of a log line, and lines of reports.  Runs in the children that log
 * sessions; apart from log.c so that P, which has neither, does not contain
 * it.
 */
#include <string.h>

#include "fmt.h"
#include "log.h"

static void
add_field(struct log_line *l, char type, const char *key, const char *value)
{
	size_t klen = strlen(key) + 1, vlen = strlen(value) + 1;

	if (l->len + 1 + klen + vlen > LOG_MAX || l->head.nfields == UINT8_MAX)
		return;
	l->buf[l->len++] = type;
	memcpy(l->buf + l->len, key, klen);
	memcpy(l->buf + l->len + klen, value, vlen);
	l->len += klen + vlen;
	l->head.nfields++;
}

void
log_begin_report(struct log_line *l, const char *text)
{
	log_begin(l, LEVEL_NOTICE, text);
	l->head.level |= LOG_REPORT;
}

bool
log_try(struct log_line *l)
{
	uint32_t lost = log_lost;

	log_send(l);
	if (log_lost == 0)
		return (true);
	log_lost = lost;
	return (false);
}

void
log_str(struct log_line *l, const char *key, const char *value)
{
	add_field(l, 's', key, value);
}

void
log_num(struct log_line *l, const char *key, uint64_t value)
{
	char text[24];

	fmt_print(text, sizeof(text), "%llu", (unsigned long long)value);
	add_field(l, 'n', key, text);
}
