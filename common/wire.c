/*
 * Checking and sending the messages of wire.h.  Runs in P and the children.
 */
#include "wire.h"

#include <sys/socket.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define FLAGS	     (MSG_DONTWAIT | MSG_NOSIGNAL)
#define USED(member) (sizeof(((struct wire *)NULL)->u.member) + 1)

/* How many bytes of the union the type uses, plus 1; 0: no such type. */
static const size_t used[] = {
	[WIRE_NEED] = USED(need), [WIRE_BIND] = USED(addr.inet) + offsetof(struct wire_addr, inet),
	[WIRE_BINDUNIX] = USED(addr),
	[WIRE_READY] = USED(ready), [WIRE_HELPER] = USED(helper),
	[WIRE_BOUND] = USED(bound), [WIRE_LISTENER] = USED(addr),
	[WIRE_GO] = 1, [WIRE_DRAIN] = USED(drain),
	[WIRE_REPORT] = USED(report), [WIRE_LOG] = 1
};

bool
wire_clean(const struct wire *m)
{
	if (m->type >= sizeof(used) / sizeof(used[0]) || used[m->type] == 0)
		return (false);
	for (size_t i = used[m->type] - 1; i < sizeof(m->u.raw); i++)
		if (m->u.raw[i] != 0)
			return (false);
	return (true);
}

int
wire_send(int sock, const struct wire *m, int fd)
{
	union {
		struct cmsghdr head;
		char	       buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec  iov = { (void *)(uintptr_t)m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t	      n;

	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.buf);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	/* relays, which send no descriptors, may not call sendmsg(2) */
	do
		n = fd == -1 ? send(sock, m, sizeof(*m), FLAGS) :
		    sendmsg(sock, &msg, FLAGS);
	while (n == -1 && errno == EINTR);
	return (n == (ssize_t)sizeof(*m) ? 0 : -1);
}
