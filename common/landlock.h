/*
 * Landlock: what of the file system and which TCP ports a confined program
 * can reach, as a second wall behind its seccomp filter.  Programs under
 * libexec only.
 */
#ifndef COMMON_LANDLOCK_H
#define COMMON_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "role.h"

enum {				/* version of the kernel's Landlock with */
	LANDLOCK_ABI_FILES = 1,
	LANDLOCK_ABI_NET = 4,
	LANDLOCK_ABI_SCOPE = 6
};

/* 0: this kernel has no Landlock, or it is switched off. */
int	landlock_abi(void);

/*
 * Applies the rules of the role to this process, as far as the kernel knows
 * them, and verifies that files are out of reach.  Fatal on any error.
 */
void	landlock_enter(enum role role);

/* The dialer's second layer, see confine_ports(). */
void	landlock_ports(const uint16_t *ports, size_t n, bool bind);

/* The rules in words, line by line from 0; false behind the last. */
bool	landlock_text(enum role role, unsigned line, char *buf, size_t size);

#endif
