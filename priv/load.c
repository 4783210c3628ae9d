/*
 * The load of a generation, from NEED to the takeover, and its DRAIN: what
 * P does for the relays and all that it tells them, in order.  Runs in P.
 */
#include "priv.h"

/* A channel between two processes; on error gen_kill(). */
static void
join(const struct proc *a, const struct proc *b)
{
	int fd[2];

	if (!fd_pair(fd) || wire_send(a->ctl, &b->id, fd[0]) == -1 ||
	    wire_send(b->ctl, &a->id, fd[1]) == -1)
		gen_kill(a->gen, "its processes could not be joined");
	close(fd[0]);
	close(fd[1]);
}

/* The helpers; a dialer hears of its resolver first, of its relay last. */
void
load_need(struct gen *g, const struct proc *leader, const struct wire *m)
{
	const struct proc *resolver = NULL, *dialer;
	struct proc	  *relay = NULL;

	g->need = m->u.need;
	if ((g->need.roles & NEED_LOOKUP) != 0)
		join(spawn_start(g, ROLE_LOOKUP, 0), leader);
	if ((g->need.roles & NEED_RESOLVER) != 0)
		resolver = spawn_start(g, ROLE_RESOLVER, 0);
	while ((relay = proc_next(relay, g, ROLE_RELAY)) != NULL) {
		dialer = spawn_start(g, ROLE_DIALER, relay->worker);
		if (resolver != NULL)
			join(resolver, dialer);
		join(dialer, relay);
	}
}

/* Binds; what an error means is for the relay to decide. */
void
load_bind(struct gen *g, const struct proc *p, const struct wire *m)
{
	struct wire	 answer = { .type = WIRE_BOUND, .index = m->index };
	struct listener *l = &g->binds[g->nbinds];

	l->addr = m->u.addr;
	listen_open(l, g);
	g->nbinds++;
	answer.u.bound.error = l->error;
	if (wire_send(p->ctl, &answer, -1) == -1)
		gen_kill(g, "its leader takes no answer");
}

/* When all are READY and the one-shot resolver is dead: seal, hand over. */
void
load_check(struct gen *g)
{
	struct proc *p = NULL;
	bool	     ok = true;

	while ((p = proc_next(p, g, ROLE_COUNT)) != NULL)
		if (!p->ready || p->role == ROLE_LOOKUP)
			return;
	/* The seal: from here on nobody of it can say anything to P. */
	while ((p = proc_next(p, g, ROLE_COUNT)) != NULL)
		ok = shutdown(p->ctl, SHUT_RD) == 0 && ok;
	g->state = GEN_HANDOVER;
	if (ok && listen_start(g))
		load_send(g);
	else
		gen_kill(g, "it can't be sealed, or can't listen");
}

/* In order: a LISTENER for each address, GO, and when it drains DRAIN. */
bool
load_due(const struct proc *p)
{
	return (p->role == ROLE_RELAY && p->gen->state >= GEN_HANDOVER &&
	    p->sent < p->gen->nbinds + 1 + (p->gen->state == GEN_DRAINING));
}

static bool
send_next(const struct gen *g, const struct proc *p)
{
	const struct listener *l = &g->binds[p->sent];
	struct wire	       m = { .type = WIRE_GO };
	int		       fd = -1;

	if (p->sent < g->nbinds) {
		m = (struct wire){ .type = WIRE_LISTENER, .index = p->sent,
			.u.addr = l->addr };
		m.u.addr.port = l->port;
		fd = l->fd[p->worker];
		if (l->error != 0)
			return (true);
	} else if (p->sent > g->nbinds) {
		m.type = WIRE_DRAIN;
		m.u.drain.seconds = g->need.drain;
	}
	return (wire_send(p->ctl, &m, fd) == 0);
}

/* From RUNNING; its listeners are closed but for those that go on. */
void
load_drain(struct gen *g)
{
	g->state = GEN_DRAINING;
	g->deadline = clock_us() + 5 * TICK;	/* until DRAIN is queued */
	g->end = g->need.drain == 0 ? 0 : g->deadline + g->need.drain * TICK;
	listen_close(g);
	if (proc_next(NULL, g, ROLE_RELAY) == NULL)
		gen_kill(g, NULL);
	load_send(g);
}

/* On error gen_kill(); a full queue goes on at POLLOUT. */
void
load_send(struct gen *g)
{
	struct gen  *old = gen_find(GEN_RUNNING);
	struct proc *p = NULL;
	bool	     told = true;

	while ((p = proc_next(p, g, ROLE_RELAY)) != NULL) {
		while (load_due(p) && send_next(g, p))
			p->sent++;
		if (load_due(p) && errno != EAGAIN) {
			kill(p->pid, SIGKILL);	/* the others can drain */
			p->sent = UINT32_MAX;
			if (g->state == GEN_HANDOVER)
				gen_kill(g, "a relay takes no message");
		}
		told = told && !load_due(p);
	}
	if (told && g->state == GEN_HANDOVER) {		/* the takeover */
		g->state = GEN_RUNNING;
		g->deadline = 0;
		if (old != NULL)
			load_drain(old);
		if (gen_find(GEN_FREE) == NULL)
			gen_kill(gen_find(GEN_DRAINING), "too many drain");
		log_words(LEVEL_NOTICE, "generation ", log_number(g->number),
		    " is running", NULL);
	} else if (told && g->state == GEN_DRAINING) {
		g->deadline = g->end;
	}
}
