/*
 * Small text files of the system that are read whole, before the sandbox
 * closes.  Children only.
 */
#ifndef COMMON_TEXTFILE_H
#define COMMON_TEXTFILE_H

#include <stddef.h>

#define TEXTFILE_MAX (1024 * 1024) /* more of a file is not read */

/*
 * The file's bytes in fresh memory, and their number.  NULL: there is no such
 * file, or it can't be read, which is logged.
 */
char   *textfile_load(const char *path, size_t *size);

#endif
