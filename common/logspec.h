/*
 * One value of -L, `TARGET:LEVEL[,P1[,P2]]', taken apart.  P parses it to
 * open the target, the logger to know how to write to it.
 */
#ifndef COMMON_LOGSPEC_H
#define COMMON_LOGSPEC_H

#include "log.h"

#define LOGSPEC_DEFAULT	"syslog:3,sallyport,daemon"	/* without any -L */
#define LOGSPEC_IDENT	48	/* longest ident and a NUL */
#define LOGSPEC_TARGETS	15	/* targets numbered 0 to 14 */
#define LOGSPEC_STARTUP	15	/* and standard error until start-up ends */

enum logspec_kind {
	LOGSPEC_SYSLOG,
	LOGSPEC_FILE,
	LOGSPEC_STDOUT,
	LOGSPEC_STDERR
};

struct logspec {
	enum logspec_kind kind;
	enum log_level level;	/* lines up to this level; 0: none */
	const char *path;	/* file: part of the parsed text, or the
				   default, "sallyport.log"; else NULL */
	unsigned facility;	/* syslog: 0 to 23, to be shifted by 3 */
	char ident[LOGSPEC_IDENT];	/* syslog */
};

/*
 * Returns 0, or -1 and in *why what is wrong and what was expected.  The
 * text must live as long as *s.
 */
int logspec_parse(const char *text, struct logspec *s, const char **why);

#endif
