/*
 * Users and groups by name: /etc/passwd and /etc/group are read into memory
 * before the sandbox closes, searched inside it, and wiped when the
 * configuration has been read.  Children only.
 */
#ifndef COMMON_USERS_H
#define COMMON_USERS_H

#include <stddef.h>
#include <stdint.h>

/* Reads both files (missing: no names are known).  Before confine_enter(). */
void	users_load(void);

/* Wipes and frees what users_load() has read. */
void	users_forget(void);

/* For tests and fuzzing: use these texts instead of the files. */
void	users_set(const char *passwd, size_t passwd_size, const char *group,
	    size_t group_size);

/*
 * The number of a decimal number (up to UINT32_MAX - 1) or a name.  Returns
 * 0, or -1 when there is no such user or group.
 */
int	users_uid(const char *text, uint32_t *uid);
int	users_gid(const char *text, uint32_t *gid);

#endif
