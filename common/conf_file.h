/* The configuration file, as a sealed copy. */
#ifndef COMMON_CONF_FILE_H
#define COMMON_CONF_FILE_H

/*
 * Opens the file, which must be regular, at most 1 MiB, root's (or one's
 * own) and not writable by others, and returns a sealed memfd with its
 * bytes; or -1 and why not.  Never reads a byte of it.
 */
int	conf_file_open(const char *path, const char **why);

#endif
