/*
 * --log-format tcpproxy: the lines of sallyport in the words of tcpproxy(8),
 * for those who read its logs by program.  Logger only.
 */
#ifndef COMMON_LOGFMT_TCPPROXY_H
#define COMMON_LOGFMT_TCPPROXY_H

#include "logfmt.h"

#define LOGFMT_TCPPROXY	LOG_MAX		/* the new text fits into this */
#define LOGFMT_REUSED	"reused"	/* name of a listener that stays */

/*
 * Gives a checked entry the text and level that tcpproxy(8) had for the
 * event; the text is in buf.  Warnings and errors that it did not know stay
 * as they are, all else that it did not know becomes a line for debugging.
 */
void logfmt_tcpproxy(struct logfmt_entry *e, char buf[LOGFMT_TCPPROXY]);

#endif
