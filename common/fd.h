/* Helpers for descriptors.  Any process. */
#ifndef COMMON_FD_H
#define COMMON_FD_H

#include <stdbool.h>
#include <stdint.h>

/* An int option of a socket.  true, or false with errno. */
bool	fd_option(int fd, int level, int option, int value);

/* A close-on-exec SOCK_SEQPACKET pair; false with errno and both -1. */
bool	fd_pair(int pair[2]);

/*
 * Between fork and exec: puts n (at most 32) descriptors at `at', at + 1 ...
 * without close-on-exec; -1 leaves its place closed.
 */
void	fd_place(const int *fds, int n, int at);

/* CLOCK_MONOTONIC in ms. */
uint64_t clock_ms(void);

#endif
