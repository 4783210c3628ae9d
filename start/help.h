/*
 * --help and --version.
 */
#ifndef START_HELP_H
#define START_HELP_H

enum help { HELP_USAGE, HELP_VERSION };

/* Writes the text to standard output. */
void	help_print(enum help what);

#endif
