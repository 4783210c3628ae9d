/*
 * Service names.  Runs in the processes under libexec: /etc/services is read
 * once, as it is, before the sandbox closes; what is searched later is that
 * copy in memory.  Touches no other file and never getservbyname(3).
 */
#include "services.h"

#include <stdbool.h>
#include <string.h>

#include "fmt.h"
#include "textfile.h"

#define SERVICES_PATH	 "/etc/services"
#define SERVICES_DIGITS	 5
#define SERVICES_NUMBERS "0123456789"

static const char *services;
static size_t	   services_size;

void
services_set(const char *text, size_t size)
{
	services = text;
	services_size = size;
}

void
services_load(void)
{
	size_t size;
	char  *text = textfile_load(SERVICES_PATH, &size);

	if (text != NULL)
		services_set(text, size);
}

/* The next word of the rest of a line; false at its end or a comment. */
static bool
services_word(const char **at, const char *end, const char **word, size_t *len)
{
	const char *p = *at;

	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	*word = p;
	while (p < end && *p != ' ' && *p != '\t' && *p != '\r' && *p != '#')
		p++;
	*len = (size_t)(p - *word);
	*at = p;
	return (*len > 0);
}

/* The port of a "number/tcp" word, or -1. */
static int
services_tcp(const char *word, size_t len)
{
	char	 digits[SERVICES_DIGITS + 1];
	size_t	 n = 0;
	uint64_t port;

	while (n < len && n < SERVICES_DIGITS && word[n] != '/') {
		digits[n] = word[n];
		n++;
	}
	digits[n] = '\0';
	if (len != n + 4 || memcmp(word + n, "/tcp", 4) != 0)
		return (-1);
	if (fmt_number(digits, UINT16_MAX, &port) == -1)
		return (-1);
	return ((int)port);
}

/* The port if this line, "name port/tcp alias ...", has the name, or -1. */
static int
services_line(const char *at, const char *end, const char *name, size_t length)
{
	const char *word;
	size_t	    len;
	bool	    found;
	int	    port;

	if (!services_word(&at, end, &word, &len))
		return (-1);
	found = len == length && memcmp(word, name, len) == 0;
	if (!services_word(&at, end, &word, &len) ||
	    (port = services_tcp(word, len)) == -1)
		return (-1);
	while (!found && services_word(&at, end, &word, &len))
		found = len == length && memcmp(word, name, len) == 0;
	return (found ? port : -1);
}

int
services_port(const char *text, uint16_t *port)
{
	const char *at = services, *end, *newline;
	size_t	    length = strlen(text);
	uint64_t    number;
	int	    found = -1;

	if (length > 0 && strspn(text, SERVICES_NUMBERS) == length) {
		if (fmt_number(text, UINT16_MAX, &number) == -1)
			return (-1);
		*port = (uint16_t)number;
		return (0);
	}
	if (length == 0 || at == NULL)
		return (-1);
	end = services + services_size;
	for (; at < end && found == -1; at = newline + 1) {
		if ((newline = memchr(at, '\n', (size_t)(end - at))) == NULL)
			newline = end;
		found = services_line(at, newline, text, length);
		if (newline == end)
			break;
	}
	if (found == -1)
		return (-1);
	*port = (uint16_t)found;
	return (0);
}
