/*
 * What a service manager gives: sd_listen_fds(3) and sd_notify(3).
 */
#ifndef START_SERVICE_H
#define START_SERVICE_H

#define SERVICE_SOCKETS	30	/* at most, for one place() of exec.c */

/*
 * Takes the inherited listening sockets ($LISTEN_FDS), moved out of the way,
 * into fds; returns their number.  Anything else than listening stream
 * sockets is an error: exit 1.
 */
int	service_sockets(int fds[SERVICE_SOCKETS]);

/* A socket connected to $NOTIFY_SOCKET, or -1; exit 1 if it is not there. */
int	service_notify(void);

#endif
