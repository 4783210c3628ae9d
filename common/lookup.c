/*
 * The check of a host name that comes in a message.  Runs in dialer and
 * resolver; a pure function.
 */
#include "lookup.h"

#include <string.h>

#define NAME_LENGTH	253	/* RFC 1035, written with dots */

static bool
is_name_char(char ch)
{
	return ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
	    (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '.');
}

bool
lookup_name_ok(const char name[LOOKUP_NAME_MAX])
{
	size_t len = strnlen(name, LOOKUP_NAME_MAX);

	if (len == 0 || len > NAME_LENGTH)
		return (false);
	for (size_t i = 0; i < len; i++)
		if (!is_name_char(name[i]))
			return (false);
	for (size_t i = len; i < LOOKUP_NAME_MAX; i++)
		if (name[i] != '\0')
			return (false);
	return (true);
}
