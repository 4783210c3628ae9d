/*
 * The table of generations: starting, killing, burying.  Runs in P.  What is
 * said to a generation is in load.c.
 */
#include "priv.h"

struct gen	gens[GEN_MAX];
struct proc	procs[PROC_MAX];

struct proc *
proc_next(struct proc *p, const struct gen *g, uint32_t role)
{
	for (p = p == NULL ? procs : p + 1; p < procs + PROC_MAX; p++)
		if (p->pid != 0 && (g == NULL || p->gen == g) &&
		    (role == ROLE_COUNT || p->role == role))
			return (p);
	return (NULL);
}

/* The oldest generation in this state. */
struct gen *
gen_find(enum gen_state state)
{
	struct gen *found = NULL;

	for (struct gen *g = gens; g < gens + GEN_MAX; g++)
		if (g->state == state &&
		    (found == NULL || g->number < found->number))
			found = g;
	return (found);
}

/* On error gen_kill(): what runs is not touched. */
void
gen_start(int conf)
{
	static struct listener binds[GEN_MAX][LISTENERS_MAX];
	static uint32_t	       last_number;
	struct gen	      *g = gen_find(GEN_FREE);

	*g = (struct gen){ .state = GEN_LOADING, .number = ++last_number,
		.conf = conf, .binds = binds[g - gens],
		.deadline = clock_us() + 30 * TICK };	/* until it runs */
	for (uint32_t i = 0; i < workers; i++)
		spawn_start(g, ROLE_RELAY, i);
}

/* Kills, and waits: what is killed by SIGKILL can't put it off. */
void
gen_kill(struct gen *g, const char *why)
{
	struct proc *p = NULL;

	if (g->state == GEN_FREE)
		return;
	if (why != NULL)
		log_words(LEVEL_ERROR, "generation ", log_number(g->number),
		    g->state < GEN_RUNNING ? " was not started: " :
		    " is killed: ", why, NULL);
	while ((p = proc_next(p, g, ROLE_COUNT)) != NULL)
		kill(p->pid, SIGKILL);
	while ((p = proc_next(p, g, ROLE_COUNT)) != NULL) {
		waitpid(p->pid, NULL, 0);
		spawn_close(p);
	}
	if (g->state != GEN_DRAINING)
		listen_close(g);
	/* what it had set on sockets that both have */
	if (g->state == GEN_HANDOVER && gen_find(GEN_RUNNING) != NULL)
		listen_start(gen_find(GEN_RUNNING));
	close(g->conf);
	g->state = GEN_FREE;
	g->deadline = 0;
}

/* What a death means for its generation. */
void
gen_reap(struct proc *p, int status)
{
	struct gen *g = p->gen;
	int	    sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (status != 0)
		log_words(LEVEL_ERROR, spawn_programs[p->role], " [gen ",
		    log_number(p->id.u.helper.gen), ", ",
		    log_number(p->worker + 1),
		    sig != 0 ? "] died of signal " : "] exited with status ",
		    log_number((uint64_t)(sig != 0 ? sig :
		    WEXITSTATUS(status))),
		    sig == SIGSYS ? ": it tried a forbidden system call" : "",
		    NULL);
	spawn_close(p);
	if (g == NULL)
		return;		/* the next tick starts another logger */
	if (g->state == GEN_LOADING && p->role == ROLE_LOOKUP)
		load_check(g);
	else if (g->state < GEN_RUNNING)
		gen_kill(g, "a process of it has ended");
	else if (g->state == GEN_RUNNING)
		g->broken = true;
	else if (proc_next(NULL, g, ROLE_RELAY) == NULL)
		gen_kill(g, NULL);	/* helpers without relays */
}
