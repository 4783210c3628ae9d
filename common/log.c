/*
 * Log client.  Runs in every process; touches one socket, never blocks,
 * allocates nothing.
 */
#include "log.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "fmt.h"

static int	log_fd = STDERR_FILENO;
static uint32_t log_lost;

void
log_open(int fd)
{
	log_fd = fd;
}

/* Before there is a logger: the text alone, to the user. */
static ssize_t
send_plain(const struct log_line *l)
{
	char   text[LOG_MAX];
	size_t len;

	len = fmt_print(text, sizeof(text), "sallyport: %s\n",
	    l->buf + sizeof(struct log_head));
	return (write(STDERR_FILENO, text, len));
}

void
log_send(struct log_line *l)
{
	struct log_head head;
	int		error = errno;
	ssize_t		n;

	memcpy(&head, l->buf, sizeof(head));
	head.lost = log_lost;
	memcpy(l->buf, &head, sizeof(head));
	n = log_fd == STDERR_FILENO ? send_plain(l) :
	    send(log_fd, l->buf, l->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	log_lost = n == -1 ? log_lost + 1 : 0;
	errno = error;
}

void
log_begin(struct log_line *l, enum log_level level, const char *text)
{
	struct log_head head = { .magic = LOG_MAGIC, .level = (uint8_t)level };

	memcpy(l->buf, &head, sizeof(head));
	l->len = sizeof(head);
	l->len += fmt_print(l->buf + l->len, LOG_MAX - l->len, "%s", text) + 1;
}

static void
log_vtext(enum log_level level, const char *format, va_list ap)
{
	struct log_line l;
	char		text[1024];

	fmt_vprint(text, sizeof(text), format, ap);
	log_begin(&l, level, text);
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
