/*
 * Log lines made with the formatter.  Runs in the sallyport command and the
 * children; apart from log.c so that P does not contain the formatter.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "fmt.h"

enum log_level log_most = LEVEL_DEBUG;

bool
log_wants(enum log_level level)
{
	return (level <= log_most);
}

/* Before there is a logger: the text alone, to the user. */
static void
send_plain(const char *text)
{
	char   line[LOG_MAX];
	size_t len = fmt_print(line, sizeof(line), "sallyport: %s\n", text);
	int    error = errno;

	if (write(STDERR_FILENO, line, len) == -1)
		errno = error;	/* nobody else to tell */
}

static void
log_vtext(enum log_level level, const char *format, va_list ap)
{
	struct log_line l;
	char		text[1024];

	if (!log_wants(level))
		return;
	fmt_vprint(text, sizeof(text), format, ap);
	log_begin(&l, level, text);
	if (log_socket == -1)
		send_plain(text);
	else
		log_send(&l);
}

void
log_text(enum log_level level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_vtext(level, format, ap);
	va_end(ap);
}

void
fatalx(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_vtext(LEVEL_ERROR, format, ap);
	va_end(ap);
	_exit(1);
}
