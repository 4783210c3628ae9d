/*
 * The resolver's pool of threads (resolver_pool.c), as its main thread
 * (resolver.c) uses it.
 */
#ifndef HELPERS_RESOLVER_H
#define HELPERS_RESOLVER_H

#include <sys/queue.h>

#include <stdbool.h>

#include "../common/lookup.h"
#include "../common/netaddr.h"

enum job_state { JOB_FREE, JOB_QUEUED, JOB_RUNNING, JOB_DONE };

struct job {			/* the pool's until JOB_DONE, but `query' */
	enum job_state	    state;
	struct lookup_query query;
	int		    code;	/* of getaddrinfo, 0: addresses */
	unsigned	    naddrs;
	struct netaddr	    addrs[LOOKUP_ADDRS];
	TAILQ_ENTRY(job)    link;
};

/*
 * Prepares the pool; answers hold v4-mapped addresses only if told so.
 * Returns a descriptor that can be read when a job is done.
 */
int	pool_init(bool keep_mapped);

/* Starts the threads; pool_init() must have been called. */
void	pool_start(void);

/* Hands in a free job with its query. */
void	pool_ask(struct job *job);

/* The first of the jobs in this state, or NULL. */
struct job *pool_find(struct job *jobs, unsigned n, enum job_state state);

/* Takes a job back, done or still queued; one that runs is left alone. */
void	pool_free(struct job *job);

#endif
