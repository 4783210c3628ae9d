/*
 * The capabilities of the daemon: as root's, or ambient ones of another user.
 */
#ifndef START_CAPS_H
#define START_CAPS_H

#include <stdbool.h>

/*
 * Can the daemon give its children another user and a root directory?  Root
 * should; others can if all that this takes is in their ambient set.
 */
bool	caps_privileged(void);

/*
 * Exit 1, with the names of what is missing, if the daemon would have some
 * of the capabilities for that only.
 */
void	caps_check(void);

/*
 * Keeps what P needs, in such a way that it outlives exec, and nothing else.
 * On error exit 1.
 */
void	caps_cut(bool privileged, bool chown);

#endif
