/*
 * The logger's targets, numbered as P numbers them: 0 to 14 in the order of
 * -L, and 15, standard error while sallyport starts.  Logger only.
 */
#ifndef HELPERS_LOG_TARGET_H
#define HELPERS_LOG_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/child.h"
#include "../common/logfmt.h"

/* Reads the -L values; the targets are closed yet.  Exits on bad ones. */
void target_init(const struct child *c);

/*
 * A descriptor for a target, the first or (after a rotation) a new one;
 * it is kept or closed.  Returns 0, or -1 when there is no such target.
 */
int target_open(uint32_t index, int fd);
void target_close(uint32_t index);

/* Gives the line other words, if the log is to be in those of another
   program.  They stay until the next call. */
void target_translate(struct logfmt_entry *e);

/* Has any open target this level? */
bool target_wants(enum log_level level);

/* Writes the line to all targets that want it; what fails is counted. */
void target_line(const struct logfmt_entry *e);

/* The same for a warning of the logger's own. */
void target_warnx(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/*
 * Has a target lost lines that it has not been told of?  target_report()
 * tries to tell; so does the target's next line.
 */
bool target_waiting(void);
void target_report(void);

#endif
