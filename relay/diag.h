/*
 * Messages about a configuration: where, what, and the quoted line with a
 * caret.  Keeps count and stops after DIAG_MAX errors.  Relay only.
 */
#ifndef RELAY_DIAG_H
#define RELAY_DIAG_H

#include "conf.h"

#define DIAG_MAX  20 /* errors, and likewise warnings, that are shown */
#define DIAG_WORD 176 /* room for a quoted word */

struct place {
	unsigned    line, column; /* from 1, in bytes; line 0: the whole file */
	const char *option; /* of the command line, instead of a position */
};

struct diag {
	const char  *file;
	const char  *text; /* not NUL-terminated */
	size_t	     size;
	conf_report *report;
	void	    *arg;
	unsigned     errors, warnings;
	bool	     stopped; /* too many errors: nothing more is read */
};

void diag_error(struct diag *d, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diag_warning(struct diag *d, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The bytes as printable ASCII, others as \xNN, cut to about 40; returns
 * buf.  For every word of the file that a message repeats.
 */
const char *diag_word(char buf[DIAG_WORD], const char *text, size_t length);

#endif
