/*
 * The bounded formatter.  Runs in every process, in signal handlers of the
 * trap build too; touches nothing but its arguments.
 */
#include "fmt.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct out {
	char  *buf;
	size_t len, max;
};

static void
put(struct out *o, char c)
{
	if (o->len < o->max)
		o->buf[o->len++] = c;
}

static void
put_text(struct out *o, const char *s, int max)
{
	if (s == NULL)
		s = "(null)";
	for (int i = 0; (max < 0 || i < max) && s[i] != '\0'; i++)
		put(o, s[i]);
}

static void
put_number(struct out *o, uint64_t value, unsigned base, bool minus,
    unsigned width, char pad)
{
	char	 digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (minus && pad == '0')
		put(o, '-');
	for (unsigned i = n + minus; i < width; i++)
		put(o, pad);
	if (minus && pad != '0')
		put(o, '-');
	while (n > 0)
		put(o, digits[--n]);
}

/* A number of the size that so many `l' (z is as long as l) stand for. */
static uint64_t
take(va_list *ap, int longs, bool is_signed)
{
	if (longs > 1)
		return (va_arg(*ap, unsigned long long));
	if (is_signed)
		return ((uint64_t)(longs == 0 ? va_arg(*ap, int) :
		    va_arg(*ap, long)));
	return (longs == 0 ? va_arg(*ap, unsigned) :
	    va_arg(*ap, unsigned long));
}

size_t
fmt_vprint(char *buf, size_t size, const char *f, va_list ap0)
{
	struct out o = { buf, 0, size - 1 };
	uint64_t   n;
	va_list	   ap;
	const char *text;
	int	   error = errno, longs, max;
	unsigned   width;
	char	   pad;

	va_copy(ap, ap0);
	for (; *f != '\0'; f++) {
		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		pad = *++f == '0' ? '0' : ' ';
		for (width = 0; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (unsigned)(*f - '0');
		max = f[0] == '.' && f[1] == '*' ? va_arg(ap, int) : -1;
		f += *f == '.' ? 2 : 0;
		for (longs = 0; *f == 'l' || *f == 'z'; f++)
			longs++;
		if (*f == 's') {
			put_text(&o, va_arg(ap, const char *), max);
		} else if (*f == 'm') {
			text = strerrordesc_np(error);
			put_text(&o, text ? text : "unknown error", -1);
		} else if (*f == 'c') {
			put(&o, (char)va_arg(ap, int));
		} else if (*f == '%') {
			put(&o, '%');
		} else if (*f == 'd') {
			n = take(&ap, longs, true);
			put_number(&o, n >> 63 ? 0 - n : n, 10, n >> 63, width,
			    pad);
		} else if (*f == 'u' || *f == 'x') {
			put_number(&o, take(&ap, longs, false),
			    *f == 'u' ? 10 : 16, false, width, pad);
		} else {	/* a conversion that does not exist here */
			__builtin_trap();
		}
	}
	va_end(ap);
	buf[o.len] = '\0';
	return (o.len);
}

size_t
fmt_print(char *buf, size_t size, const char *format, ...)
{
	va_list ap;
	size_t	len;

	va_start(ap, format);
	len = fmt_vprint(buf, size, format, ap);
	va_end(ap);
	return (len);
}

int
fmt_number(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t n = 0;

	if (*text == '\0')
		return (-1);
	for (; *text != '\0'; text++) {
		unsigned digit = (unsigned)(unsigned char)*text - '0';

		if (digit > 9 || digit > max || n > max / 10 ||
		    n * 10 > max - digit)
			return (-1);
		n = n * 10 + digit;
	}
	*value = n;
	return (0);
}
