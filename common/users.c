/*
 * User and group names.  Runs in the processes under libexec: both files are
 * read as they are before the sandbox closes; what is searched later is that
 * copy in memory.  Never getpwnam(3), whose modules need files and sockets.
 */
#include "users.h"

#include <stdlib.h>
#include <string.h>

#include "fmt.h"
#include "textfile.h"

#define USERS_DIGITS	10	/* of the largest number */
#define USERS_NUMBERS	"0123456789"

struct users {
	const char *text;
	size_t	    size;
	char	   *own;	/* the same, if it is to be freed */
};

static struct users passwd, group;

void
users_set(const char *passwd_text, size_t passwd_size, const char *group_text,
    size_t group_size)
{
	passwd = (struct users){ passwd_text, passwd_size, NULL };
	group = (struct users){ group_text, group_size, NULL };
}

static void
users_read(struct users *u, const char *path)
{
	u->size = 0;
	u->text = u->own = textfile_load(path, &u->size);
}

void
users_load(void)
{
	users_read(&passwd, "/etc/passwd");
	users_read(&group, "/etc/group");
}

static void
users_wipe(struct users *u)
{
	if (u->own != NULL)
		explicit_bzero(u->own, u->size);
	free(u->own);
	*u = (struct users){ NULL, 0, NULL };
}

void
users_forget(void)
{
	users_wipe(&passwd);
	users_wipe(&group);
}

/* The number in the third field of "name:password:number:...", or -1. */
static int
users_line(const char *line, const char *end, const char *name,
    size_t length, uint32_t *id)
{
	char	    digits[USERS_DIGITS + 1];
	const char *colon;
	size_t	    n;
	uint64_t    number;

	if ((size_t)(end - line) <= length || line[length] != ':' ||
	    memcmp(line, name, length) != 0)
		return (-1);
	line += length + 1;
	if ((colon = memchr(line, ':', (size_t)(end - line))) == NULL)
		return (-1);
	line = colon + 1;
	if ((colon = memchr(line, ':', (size_t)(end - line))) == NULL)
		return (-1);
	n = (size_t)(colon - line);
	if (n > USERS_DIGITS)
		return (-1);
	memcpy(digits, line, n);
	digits[n] = '\0';
	if (fmt_number(digits, UINT32_MAX - 1, &number) == -1)
		return (-1);
	*id = (uint32_t)number;
	return (0);
}

static int
users_find(const struct users *u, const char *text, uint32_t *id)
{
	size_t	    length = strlen(text);
	const char *line = u->text, *end, *newline;
	uint64_t    number;

	if (length > 0 && strspn(text, USERS_NUMBERS) == length) {
		if (fmt_number(text, UINT32_MAX - 1, &number) == -1)
			return (-1);
		*id = (uint32_t)number;
		return (0);
	}
	if (length == 0 || line == NULL || strchr(text, ':') != NULL)
		return (-1);
	for (end = line + u->size; line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (newline == NULL)
			newline = end;
		if (users_line(line, newline, text, length, id) == 0)
			return (0);
		if (newline == end)
			break;
	}
	return (-1);
}

int
users_uid(const char *text, uint32_t *uid)
{
	return (users_find(&passwd, text, uid));
}

int
users_gid(const char *text, uint32_t *gid)
{
	return (users_find(&group, text, gid));
}
