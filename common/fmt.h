/*
 * The bounded formatter: the printf conversions that sallyport uses and no
 * others, no locale, no allocation, no floating point.  Any process; it is
 * all that P and the sandboxed programs have to make text with.
 */
#ifndef COMMON_FMT_H
#define COMMON_FMT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes at most size - 1 bytes and a NUL.  Conversions: %s (NULL prints
 * "(null)"), %.*s, %c, %d, %u, %x with the lengths none, l, ll and z, zero
 * padding and width (%02u), %m (text of errno) and %%.  Returns the length
 * written (never more than size - 1; a text that does not fit is cut).
 * size must be at least 1.
 */
size_t	fmt_print(char *buf, size_t size, const char *format, ...)
	    __attribute__((format(printf, 3, 4)));
size_t	fmt_vprint(char *buf, size_t size, const char *format, va_list ap)
	    __attribute__((format(printf, 3, 0)));

/*
 * Reads a decimal number without sign or blanks from the NUL-terminated
 * text.  Returns 0, or -1 when it is no number or larger than max.
 */
int	fmt_number(const char *text, uint64_t max, uint64_t *value);

#endif
