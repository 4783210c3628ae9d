/*
 * Log client.  Runs in every process; touches one socket, never blocks,
 * allocates nothing.
 */
#include "log.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int		log_socket = -1;
uint32_t	log_lost;

void
log_send(struct log_line *l)
{
	int error = errno;

	l->head.lost = log_lost;
	log_lost = send(log_socket, l->buf, l->len, MSG_DONTWAIT |
	    MSG_NOSIGNAL) == -1 ? log_lost + 1 : 0;
	errno = error;
}

/* Cuts what does not fit; the NUL always does. */
void
log_add(struct log_line *l, const char *text)
{
	size_t len = strnlen(text, LOG_MAX - l->len);

	memcpy(l->buf + l->len - 1, text, len);
	l->len += len;
	l->buf[l->len - 1] = '\0';
}

void
log_begin(struct log_line *l, enum log_level level, const char *text)
{
	l->head = (struct log_head){ .magic = LOG_MAGIC,
		.level = (uint8_t)level };
	l->len = sizeof(l->head) + 1;
	log_add(l, text);
}

void
log_words(enum log_level level, const char *text, ...)
{
	struct log_line l;
	va_list		ap;

	log_begin(&l, level, text);
	va_start(ap, text);
	while ((text = va_arg(ap, const char *)) != NULL)
		log_add(&l, text);
	va_end(ap);
	log_send(&l);
}

const char *
log_number(uint64_t value)
{
	static char	buf[4][24];
	static unsigned last;
	char	       *text = buf[last++ % 4] + sizeof(buf[0]) - 1;

	do
		*--text = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	return (text);
}
