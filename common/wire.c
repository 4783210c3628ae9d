/*
 * Checking and sending the messages of wire.h.  Runs in P and the children.
 */
#include "wire.h"

#include <sys/socket.h>

#include <stddef.h>
#include <string.h>

#include "role.h"

#define FLAGS	     (MSG_DONTWAIT | MSG_NOSIGNAL)
#define USED(member) (sizeof(((struct wire *)NULL)->u.member) + 1)

/* How many bytes of the union the type uses, plus 1; 0: no such type. */
static const size_t used[] = {
	[WIRE_NEED] = USED(need), [WIRE_BINDUNIX] = USED(addr),
	[WIRE_BIND] = offsetof(struct wire_addr, inet) + USED(addr.inet),
	[WIRE_READY] = USED(ready), [WIRE_HELPER] = USED(helper),
	[WIRE_BOUND] = USED(bound), [WIRE_LISTENER] = USED(addr),
	[WIRE_GO] = 1, [WIRE_DRAIN] = USED(drain),
	[WIRE_REPORT] = USED(report), [WIRE_LOG] = 1
};

static bool
good_inet(const struct wire_addr *a)
{
	static const uint8_t zero[12];

	return (a->backlog <= INT32_MAX && a->inet.keepidle <= 32767 &&
	    (a->family == AF_INET6 || (a->family == AF_INET &&
	    a->inet.scope == 0 && memcmp(a->inet.ip + 4, zero, 12) == 0)));
}

static bool
good_unix(const struct wire_addr *a)
{
	static const char zero[WIRE_NAME];
	const char	 *name = a->local.name;
	size_t		  len = strnlen(name, WIRE_NAME);

	return (a->backlog <= INT32_MAX && a->family == AF_UNIX &&
	    a->port == 0 && a->local.mode <= 0777 && a->local.dir < DIRS_MAX &&
	    len > 0 && len < WIRE_NAME && memchr(name, '/', len) == NULL &&
	    strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	    strcmp(name, WIRE_NAME_NEW) != 0 &&
	    memcmp(name + len, zero, WIRE_NAME - len) == 0);
}

bool
wire_clean(const struct wire *m)
{
	if (m->type >= sizeof(used) / sizeof(used[0]) || used[m->type] == 0)
		return (false);
	for (size_t i = used[m->type] - 1; i < sizeof(m->u.raw); i++)
		if (m->u.raw[i] != 0)
			return (false);
	return ((m->type != WIRE_BIND || good_inet(&m->u.addr)) &&
	    (m->type != WIRE_BINDUNIX || good_unix(&m->u.addr)));
}

int
wire_send(int sock, const struct wire *m, int fd)
{
	union {
		struct cmsghdr head;
		char	       buf[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec  iov = { (void *)(uintptr_t)m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	/* relays, which send no descriptors, may not call sendmsg(2) */
	return ((fd == -1 ? send(sock, m, sizeof(*m), FLAGS) :
	    sendmsg(sock, &msg, FLAGS)) == (ssize_t)sizeof(*m) ? 0 : -1);
}
