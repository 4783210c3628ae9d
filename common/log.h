/*
 * Log client: hands lines to the logger through FD_LOG without ever
 * blocking; what does not fit is counted and the count goes with the next
 * line that does.  The logger adds time and sender and escapes the text, so
 * callers may log what came from outside.  Any process but the logger uses
 * its socket; the logger has one too, read by itself.
 *
 * One SEQPACKET message is one line: struct log_head, the text and a NUL,
 * then head.nfields times: 's' (string) or 'n' (number), the key and a NUL,
 * the value and a NUL.  At most LOG_MAX bytes.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MAX		2048
#define LOG_MAGIC	0x5350u
#define LOG_REPORT	0x80u	/* in log_head.level: see log_begin_report() */

enum log_level {		/* the levels of tcpproxy(8) */
	LEVEL_OFF = 0,
	LEVEL_ERROR = 1,
	LEVEL_WARNING = 2,
	LEVEL_NOTICE = 3,
	LEVEL_INFO = 4,
	LEVEL_DEBUG = 5
};

struct log_head {
	uint16_t magic;		/* LOG_MAGIC */
	uint8_t  level;		/* enum log_level, 1 to 5; LOG_REPORT */
	uint8_t  nfields;
	uint32_t lost;		/* lines dropped before this one */
};

/* A line with fields, under construction; about LOG_MAX bytes of stack. */
struct log_line {
	size_t len;
	union {
		struct log_head head;
		char		buf[LOG_MAX];
	};
};

/*
 * The socket; any process sets its own.  While it is -1 (the command, and the
 * modes that print) log_text() and fatal() write plain text to standard error.
 */
extern int log_socket;

extern uint32_t log_lost;	/* lines, since the last one that fitted */

/*
 * One line of several words, NULL at the end: for P, which does without a
 * formatter.  errno is kept.
 */
void	log_words(enum log_level level, const char *text, ...)
	    __attribute__((sentinel));

/* A number as such a word; good until the fourth call from here. */
const char *log_number(uint64_t value);

/*
 * Does any log target want lines of this level?  A line that none wants costs
 * nothing: log_text() does not send it, and who makes lines with fields asks
 * first.  Children set log_most when they start; P does not ask.
 */
extern enum log_level log_most;
bool	log_wants(enum log_level level);

/*
 * One line of text; the formats are those of fmt_print().  errno is kept.
 * Not for P.
 */
void	log_text(enum log_level level, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

/* The same at a level; log_warn() adds ": " and the text of errno. */
#define log_warn(format, ...) \
	log_text(LEVEL_WARNING, format ": %m", ##__VA_ARGS__)
#define log_warnx(...)	log_text(LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)	log_text(LEVEL_ERROR, __VA_ARGS__)

/*
 * Start-up failures and broken invariants of this process: logs, _exit(1).
 * fatal() adds the text of errno.
 */
#define fatal(format, ...) \
	fatalx(format ": %m", ##__VA_ARGS__)
_Noreturn void	fatalx(const char *format, ...)
	    __attribute__((format(printf, 1, 2)));

/*
 * A line with fields: begin, add fields in any number, send.  A field that
 * does not fit is left out.  Text targets show `text key=value ...', JSON
 * targets members of the object (numbers unquoted).
 */
void	log_begin(struct log_line *l, enum log_level level, const char *text);
void	log_add(struct log_line *l, const char *text);	/* before fields */
void	log_str(struct log_line *l, const char *key, const char *value);
void	log_num(struct log_line *l, const char *key, uint64_t value);
void	log_send(struct log_line *l);

/*
 * A line of a report that was asked for, at LEVEL_NOTICE.  The logger limits
 * the rate of these apart from all others, so that a flood does not drown
 * what is asked about it.
 */
void	log_begin_report(struct log_line *l, const char *text);

/* Like log_send(), but a line that does not fit now is not counted: false,
   and the caller tries again. */
bool	log_try(struct log_line *l);

#endif
