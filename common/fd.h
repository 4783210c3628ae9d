/* Helpers for descriptors, and the clock.  Any process. */
#ifndef COMMON_FD_H
#define COMMON_FD_H

#include <stdbool.h>
#include <stdint.h>

/* An int option of a socket.  true, or false with errno. */
bool	fd_option(int fd, int level, int option, int value);

/* A close-on-exec SOCK_SEQPACKET pair; false with errno and both -1. */
bool	fd_pair(int pair[2]);

/*
 * Opens a log file for appending, never waiting and never as a controlling
 * terminal; -1 and errno.  Who has the right to: P and the start command.
 */
int	fd_open_log(const char *path);

/* CLOCK_MONOTONIC, in microseconds. */
uint64_t clock_us(void);

#endif
