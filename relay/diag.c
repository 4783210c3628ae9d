/*
 * Messages about a configuration.  Runs in the relay before GO, confined;
 * hands finished text to the caller's function and touches nothing else.
 * What comes from the file is escaped here, because messages may end on a
 * terminal.
 */
#include "diag.h"

#include <stdarg.h>
#include <string.h>

#include "../common/fmt.h"

#define WORD_SHOWN   40 /* bytes of a quoted word */
#define LINE_SHOWN   72 /* bytes of a quoted line */
#define FILE_SHOWN   255 /* bytes of the file's name, its end */
#define ESCAPE	     4 /* columns of \xNN */
#define TEXT_MAX     600 /* of the message proper */
#define QUOTE_MAX    (2 * (LINE_SHOWN * ESCAPE + 16))
#define FILE_MAX     (FILE_SHOWN * ESCAPE + 64)
#define MESSAGE_MAX  (FILE_MAX + TEXT_MAX + QUOTE_MAX)

static bool
diag_printable(char c)
{
	return (c >= ' ' && c <= '~');
}

/* Columns that the byte takes; a tab is shown as one blank. */
static size_t
diag_width(char c)
{
	return (diag_printable(c) || c == '\t' ? 1 : ESCAPE);
}

/* Appends the bytes, escaped, at buf[len]; returns the new length. */
static size_t
diag_escape(char *buf, size_t size, size_t len, const char *text, size_t n)
{
	for (size_t i = 0; i < n && len + ESCAPE < size; i++) {
		if (diag_printable(text[i]))
			buf[len++] = text[i];
		else if (text[i] == '\t')
			buf[len++] = ' ';
		else
			len += fmt_print(buf + len, size - len, "\\x%02x",
			    (unsigned)(unsigned char)text[i]);
	}
	buf[len] = '\0';
	return (len);
}

const char *
diag_word(char buf[DIAG_WORD], const char *text, size_t length)
{
	size_t shown = length > WORD_SHOWN ? WORD_SHOWN : length;
	size_t len;

	len = diag_escape(buf, DIAG_WORD, 0, text, shown);
	if (shown < length)
		fmt_print(buf + len, DIAG_WORD - len, "...");
	return (buf);
}

/* The line with this number; false when it is empty or not there. */
static bool
diag_line(const struct diag *d, unsigned number, const char **line, size_t *len)
{
	const char *p = d->text, *end = d->text + d->size, *newline;

	for (unsigned i = 1; i < number; i++) {
		if ((newline = memchr(p, '\n', (size_t)(end - p))) == NULL)
			return (false);
		p = newline + 1;
	}
	if ((newline = memchr(p, '\n', (size_t)(end - p))) == NULL)
		newline = end;
	if (newline > p && newline[-1] == '\r')
		newline--;
	*line = p;
	*len = (size_t)(newline - p);
	return (*len > 0);
}

/* The quoted line and the caret below it, cut around the caret. */
static void
diag_quote(const struct diag *d, struct place at, char buf[QUOTE_MAX])
{
	const char *line;
	size_t	    length, caret, from = 0, to, indent, len;

	buf[0] = '\0';
	if (!diag_line(d, at.line, &line, &length))
		return;
	caret = at.column - 1 < length ? at.column - 1 : length;
	if (length > LINE_SHOWN && caret > LINE_SHOWN / 2) {
		from = caret - LINE_SHOWN / 2;
		if (from > length - LINE_SHOWN)
			from = length - LINE_SHOWN;
	}
	to = length - from > LINE_SHOWN ? from + LINE_SHOWN : length;
	indent = 4 + (from > 0 ? 3 : 0);
	for (size_t i = from; i < caret; i++)
		indent += diag_width(line[i]);
	len = fmt_print(buf, QUOTE_MAX, "\n    %s", from > 0 ? "..." : "");
	len = diag_escape(buf, QUOTE_MAX, len, line + from, to - from);
	len += fmt_print(buf + len, QUOTE_MAX - len, "%s\n",
	    to < length ? "..." : "");
	while (indent-- > 0 && len + 2 < QUOTE_MAX)
		buf[len++] = ' ';
	buf[len++] = '^';
	buf[len] = '\0';
}

/* Where the message belongs: file and position, or the option. */
static size_t
diag_where(const struct diag *d, struct place at, char *buf, size_t size)
{
	size_t length, cut, len = 0;

	if (at.option != NULL)
		return (fmt_print(buf, size, "option %s: ", at.option));
	length = strlen(d->file);
	cut = length > FILE_SHOWN ? length - FILE_SHOWN : 0;
	if (cut > 0)
		len = fmt_print(buf, size, "...");
	len = diag_escape(buf, size, len, d->file + cut, length - cut);
	if (at.line > 0)
		len += fmt_print(buf + len, size - len, ":%u:%u", at.line,
		    at.column);
	return (len + fmt_print(buf + len, size - len, ": "));
}

static void
diag_message(const struct diag *d, struct place at, bool is_error,
    const char *text)
{
	char   message[MESSAGE_MAX], quote[QUOTE_MAX] = "";
	size_t len;

	len = diag_where(d, at, message, sizeof(message));
	if (at.option == NULL && at.line > 0)
		diag_quote(d, at, quote);
	fmt_print(message + len, sizeof(message) - len, "%s%s%s",
	    is_error ? "" : "warning: ", text, quote);
	d->report(d->arg, is_error, message);
}

void
diag_error(struct diag *d, struct place at, const char *format, ...)
{
	char	text[TEXT_MAX];
	va_list ap;

	if (d->stopped)
		return;
	if (d->errors++ == DIAG_MAX) {
		d->stopped = true;
		diag_message(d, (struct place){ .option = at.option }, true,
		    "more than 20 errors, the rest is not checked");
		return;
	}
	va_start(ap, format);
	fmt_vprint(text, sizeof(text), format, ap);
	va_end(ap);
	diag_message(d, at, true, text);
}

void
diag_warning(struct diag *d, struct place at, const char *format, ...)
{
	char	text[TEXT_MAX];
	va_list ap;

	if (d->stopped || d->warnings > DIAG_MAX)
		return;
	if (d->warnings++ == DIAG_MAX) {
		diag_message(d, (struct place){ .option = at.option }, false,
		    "more than 20 warnings, the rest is not shown");
		return;
	}
	va_start(ap, format);
	fmt_vprint(text, sizeof(text), format, ap);
	va_end(ap);
	diag_message(d, at, false, text);
}
