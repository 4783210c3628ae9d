/*
 * The logger's text: checks the messages of log.h as they came from another
 * process and makes lines of them, escaped so that whatever they contain
 * can neither start a new line nor speak to a terminal.  Logger only.
 */
#ifndef COMMON_LOGFMT_H
#define COMMON_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "log.h"
#include "role.h"

/*
 * The longest line, newline included: PIPE_BUF, what a pipe takes whole or
 * not at all, less one byte for a newline in front that ends what there
 * is of another line.  A longer one is cut and says so.
 */
#define LOGFMT_MAX	4095
/*
 * The longest datagram to syslogd: RFC 3164's limit, which every syslogd
 * takes and forwards.  A session's line has about 300 bytes.
 */
#define LOGFMT_SYSLOG	1024
#define LOGFMT_WHO	48

struct logfmt_who {
	enum role role;
	uint32_t gen;
	uint32_t worker;	/* from 0; shown from 1 */
};

struct logfmt_entry {		/* one line */
	struct logfmt_who who;
	enum log_level level;
	bool report;		/* LOG_REPORT */
	uint32_t lost;		/* lines that the sender dropped before */
	const char *text;
	unsigned nfields;
	const char *fields;	/* as on the wire; checked */
};

struct logfmt_clock {		/* zero at first */
	time_t second;		/* the one that the strings are of */
	char date[24];		/* 2026-11-20T18:02:03 */
	char zone[8];		/* +00:00 */
	char syslog[24];	/* Nov 20 18:02:03 */
	char ctime[32];		/* Fri Nov 20 18:02:03 2026 */
	unsigned ms;
};

struct logfmt_syslog {
	const char *ident;
	unsigned facility;
	uint32_t pid;
	bool bare;		/* without the sender's name */
};

/*
 * Takes apart one message of `len' bytes; the entry points into it.  The
 * caller fills in e->who.  Returns 0, or -1 when it is not a message of
 * log.h.
 */
int logfmt_parse(const void *message, size_t len, struct logfmt_entry *e);

/* The value of this field of a checked entry, or NULL. */
const char *logfmt_field(const struct logfmt_entry *e, const char *key);

/* Sets the clock; works out local time once a second. */
void logfmt_tick(struct logfmt_clock *c, const struct timespec *now);

/* "relay[2.1]", "resolver[2]", "sallyport"; returns buf. */
const char *logfmt_name(const struct logfmt_who *who, char buf[LOGFMT_WHO]);

/*
 * The line in its five forms, newline included (none for syslog); returns
 * its length.  Plain is what the user sees on standard error while sallyport
 * starts: no time, no level, and line breaks are kept.  The last one has the
 * time of ctime(3), the level in capitals and no sender.
 */
size_t logfmt_text(char buf[LOGFMT_MAX], const struct logfmt_entry *e,
    const struct logfmt_clock *c);
size_t logfmt_json(char buf[LOGFMT_MAX], const struct logfmt_entry *e,
    const struct logfmt_clock *c);
size_t logfmt_plain(char buf[LOGFMT_MAX], const struct logfmt_entry *e);
size_t logfmt_ctime(char buf[LOGFMT_MAX], const struct logfmt_entry *e,
    const struct logfmt_clock *c);
size_t logfmt_syslog(char buf[LOGFMT_SYSLOG], const struct logfmt_entry *e,
    const struct logfmt_clock *c, const struct logfmt_syslog *s);

#endif
