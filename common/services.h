/*
 * Service names: /etc/services is read into memory before the sandbox
 * closes, and searched inside it.  Children only.
 */
#ifndef COMMON_SERVICES_H
#define COMMON_SERVICES_H

#include <stddef.h>
#include <stdint.h>

/* Reads the file (missing: no names are known).  Before confine_enter(). */
void	services_load(void);

/* For tests and fuzzing: use this text instead of the file. */
void	services_set(const char *text, size_t size);

/*
 * TCP port of a decimal number (0 to 65535) or service name (aliases too).
 * Returns 0, or -1 when there is no such service.
 */
int	services_port(const char *text, uint16_t *port);

#endif
