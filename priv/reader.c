/*
 * Reads what the relays of a loading generation say.  Runs in P; this is all
 * of P that a child can reach: fixed structs, no descriptors, no text, each
 * message only in its one place in the order.
 */
#include "priv.h"

/* What is wrong with the message, here and now, or NULL. */
static const char *
refuse(const struct gen *g, const struct proc *p, const struct wire *m)
{
	bool leader = p->worker == 0;

	if (!wire_clean(m))
		return ("a malformed message");
	if (m->type == WIRE_NEED) {
		if (!leader || g->need.version != 0 || m->index != 0)
			return ("NEED out of place");
		if (m->u.need.version != WIRE_VERSION)
			return ("another protocol version: restart needed");
		if ((m->u.need.roles & ~NEED_ALL) != 0)
			return ("NEED of an unknown helper");
	} else if (m->type == WIRE_BIND || m->type == WIRE_BINDUNIX) {
		if (!leader || g->need.version == 0 || m->index != g->nbinds ||
		    g->nbinds == LISTENERS_MAX)
			return ("BIND out of place");
		if (m->type == WIRE_BINDUNIX &&
		    args[ARG_DIRS + m->u.addr.local.dir][0] == '\0')
			return ("BINDUNIX without such a directory");
	} else if (m->type != WIRE_READY) {
		return ("a message that is not for the parent");
	} else if (g->need.version == 0 || m->index != 0 ||
	    m->u.ready.count != (leader ? g->nbinds : 0)) {
		return ("READY out of place");
	}
	return (NULL);
}

/* On error gen_kill(); the running generation never notices. */
void
reader_take(struct proc *p)
{
	struct wire   m;
	struct iovec  iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	const char   *why;
	ssize_t	      n;

	if (p->gen->state != GEN_LOADING || p->ready)
		return;
	n = recvmsg(p->ctl, &msg, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(m) || msg.msg_flags != 0)
		why = "a message of a wrong size, or with a descriptor";
	else
		why = refuse(p->gen, p, &m);
	if (why != NULL) {
		gen_kill(p->gen, why);
	} else if (m.type == WIRE_NEED) {
		load_need(p->gen, p, &m);
	} else if (m.type != WIRE_READY) {
		load_bind(p->gen, p, &m);
	} else {
		p->ready = true;
		load_check(p->gen);
	}
}
