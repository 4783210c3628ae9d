/*
 * The build with -DSALLYPORT_TRAP: a denied system call is not answered and
 * does not kill, it is named in the log and ends the program with status
 * TRAP_STATUS.  For finding what a filter lacks; not for use.
 */
#ifndef COMMON_TRAP_H
#define COMMON_TRAP_H

#define TRAP_STATUS	86

/* Learns the names of all calls and installs the handler, which speaks of
   this filter.  Does nothing in other builds.  Programs under libexec only. */
void	trap_prepare(const char *filter);

#endif
