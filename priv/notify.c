/*
 * Tells those who wait how it goes: the service manager as sd_notify(3) says,
 * at the first time also the caller and the logger.  Runs in P; touches the
 * sockets that start/ has opened.
 */
#include "priv.h"

void
notify_send(const char *state)
{
	char	    text[128];
	/* systemd wants to see that a reload is later than its SIGHUP */
	const char *end = stpcpy(stpcpy(stpcpy(text, state),
	    "\nMONOTONIC_USEC="), log_number(clock_us()));

	send(FD_NOTIFY, text, (size_t)(end - text), MSG_DONTWAIT |
	    MSG_NOSIGNAL);
}

void
notify_ready(void)
{
	send(FD_STATUS, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	dup2(FD_NULL, FD_STATUS);
	wire_send(procs[0].ctl, &(struct wire){ .type = WIRE_DRAIN }, -1);
	dup2(FD_NULL, FD_TARGETS + TARGET_MAX - 1);
	notify_send("READY=1");
}
