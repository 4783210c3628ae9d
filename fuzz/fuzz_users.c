/*
 * libFuzzer harness for the search in /etc/passwd and /etc/group.  The first
 * line of the input is the name, the rest the file.  Whatever they are: what
 * is found is what a plain search finds; the result is untouched otherwise.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../common/users.h"

#define NOTHING	4711

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool good)
{
	if (!good)
		abort();
}

/* Up to UINT32_MAX - 1, or -1. */
static int64_t
number(const char *text)
{
	int64_t n = 0;
	size_t	i = 0;

	for (; text[i] >= '0' && text[i] <= '9'; i++)
		if ((n = n * 10 + text[i] - '0') >= UINT32_MAX)
			return (-1);
	return (i > 0 && text[i] == '\0' ? n : -1);
}

/* The first line that has this name, and a number of at most ten digits. */
static int64_t
search(char *file, const char *name)
{
	char   *line, *first, *third;
	int64_t id;

	while ((line = strsep(&file, "\n")) != NULL) {
		first = strsep(&line, ":");
		if (line == NULL || strcmp(first, name) != 0)
			continue;
		(void)strsep(&line, ":");
		third = line != NULL ? strsep(&line, ":") : NULL;
		if (third != NULL && line != NULL && strlen(third) <= 10 &&
		    (id = number(third)) != -1)
			return (id);
	}
	return (-1);
}

static int64_t
expected(char *file, const char *name)
{
	if (name[0] != '\0' && strspn(name, "0123456789") == strlen(name))
		return (number(name));
	if (name[0] == '\0' || strchr(name, ':') != NULL)
		return (-1);
	return (search(file, name));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	size_t	       length = line == NULL ? size : (size_t)(line - data);
	size_t	       skip = line == NULL ? size : length + 1;
	const char    *text = (const char *)data + skip;
	char	      *name = strndup((const char *)data, length);
	char	      *copy = strndup(text, size - skip);
	uint32_t       uid = NOTHING, gid = NOTHING;
	int64_t	       id;

	check(name != NULL && copy != NULL);
	users_set(text, size - skip, text, size - skip);
	check(users_uid(name, &uid) == users_gid(name, &gid) && uid == gid);
	if (memchr(text, '\0', size - skip) == NULL) {
		id = expected(copy, name);
		check(uid == (id == -1 ? NOTHING : (uint32_t)id));
		check(users_uid(name, &uid) == (id == -1 ? -1 : 0));
	}
	users_forget();
	free(copy);
	free(name);
	return (0);
}
