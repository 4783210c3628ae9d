/*
 * Receiving messages with descriptors: for the children.  P receives with
 * priv/reader.c, and does not contain this.
 */
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "wire.h"

/* The one descriptor of a message, or -1; any further ones are closed. */
static int
take_fd(struct msghdr *msg)
{
	int	got = -1, fd;
	size_t	n;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	    c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int),
			    sizeof(fd));
			if (got == -1)
				got = fd;
			else
				close(fd);
		}
	}
	return (got);
}

int
wire_recv(int sock, struct wire *m, int *fd, int flags)
{
	union {
		struct cmsghdr head;
		char	       buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec  iov = { m, sizeof(*m) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		/* not the whole buffer: its padding has room for a second
		   descriptor, which shall be MSG_CTRUNC */
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(sizeof(int))
	};
	ssize_t	      n;

	*fd = -1;
	do
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return (-1);
	*fd = take_fd(&msg);
	/* the kernel gives MSG_CMSG_CLOEXEC back */
	if (n == 0 && *fd == -1 &&
	    (msg.msg_flags & ~MSG_CMSG_CLOEXEC) == 0)
		return (0);
	if (n == (ssize_t)sizeof(*m) &&
	    (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && wire_clean(m))
		return (1);
	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = EBADMSG;
	return (-1);
}
