/*
 * Service names.  Runs in the processes under libexec: /etc/services is read
 * once, as it is, before the sandbox closes; what is searched later is that
 * copy in memory.  Touches no other file and never getservbyname(3).
 */
#include "services.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fmt.h"
#include "log.h"

#define SERVICES_PATH	 "/etc/services"
#define SERVICES_MAX	 (1024 * 1024) /* more of the file is not read */
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

/* The whole file in fresh memory, or NULL with errno. */
static char *
services_read(int fd, size_t *size)
{
	struct stat st;
	char	   *text;
	size_t	    max;
	ssize_t	    n;

	*size = 0;
	if (fstat(fd, &st) == -1)
		return (NULL);
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return (NULL);
	}
	max = st.st_size < SERVICES_MAX ? (size_t)st.st_size : SERVICES_MAX;
	if ((text = malloc(max + 1)) == NULL)
		return (NULL);
	while (*size < max) {
		n = read(fd, text + *size, max - *size);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			free(text);
			return (NULL);
		}
		if (n == 0)
			break;
		*size += (size_t)n;
	}
	return (text);
}

void
services_load(void)
{
	char  *text;
	size_t size;
	int    fd;

	fd = open(SERVICES_PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		if (errno != ENOENT)
			log_warn("%s", SERVICES_PATH);
		return;
	}
	if ((text = services_read(fd, &size)) == NULL)
		log_warn("%s", SERVICES_PATH);
	else
		services_set(text, size);
	close(fd);
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
