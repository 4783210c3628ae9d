/*
 * A few threads that wait for name servers in getaddrinfo(3).  A name that
 * several ask for is looked up by one thread only, and all get its answer:
 * so one name without answer never holds up more than one thread.  Runs in
 * the resolver; what the libc touches for a look-up, these threads do.
 */
#include "resolver.h"

#include <sys/eventfd.h>

#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"

#define THREADS		4
#define THREAD_STACK	(512 * 1024)

/* The lock is for the states of all jobs, the queue and what runs. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  work = PTHREAD_COND_INITIALIZER;
static TAILQ_HEAD(job_queue, job) queue = TAILQ_HEAD_INITIALIZER(queue);
static struct job     *running[THREADS];

static int  done_fd;
static bool mapped;

int
pool_init(bool keep_mapped)
{
	mapped = keep_mapped;
	if ((done_fd = eventfd(0, EFD_CLOEXEC)) == -1)
		fatal("eventfd");
	return (done_fd);
}

/* Adds an address to the answer, unless it is there or of no use. */
static void
add_addr(struct job *job, const struct addrinfo *ai)
{
	struct netaddr a;

	if (job->naddrs == LOOKUP_ADDRS ||
	    netaddr_from(ai->ai_addr, ai->ai_addrlen, &a) == -1 ||
	    (netaddr_mapped(&a) && !mapped))
		return;
	for (unsigned i = 0; i < job->naddrs; i++)
		if (netaddr_equal(&job->addrs[i], &a))
			return;
	job->addrs[job->naddrs++] = a;
}

/* No AI_ADDRCONFIG: names work on a host that has loopback only. */
static void
look_up(struct job *job)
{
	struct addrinfo hints = {
		.ai_family = (int)job->query.family,
		.ai_socktype = SOCK_STREAM
	};
	struct addrinfo *list = NULL;

	job->naddrs = 0;
	job->code = getaddrinfo(job->query.name, NULL, &hints, &list);
	if (job->code != 0)
		return;
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
		add_addr(job, ai);
	freeaddrinfo(list);
	if (job->naddrs == 0)
		job->code = EAI_NODATA;
}

static bool
same_name(const struct job *a, const struct job *b)
{
	return (a->query.family == b->query.family &&
	    strcmp(a->query.name, b->query.name) == 0);
}

static bool
is_running(const struct job *job)
{
	for (unsigned i = 0; i < THREADS; i++)
		if (running[i] != NULL && same_name(running[i], job))
			return (true);
	return (false);
}

/* With the lock: the first job whose name no other thread is at. */
static struct job *
next_job(struct job **mine)
{
	struct job *job;

	TAILQ_FOREACH(job, &queue, link)
		if (!is_running(job)) {
			TAILQ_REMOVE(&queue, job, link);
			job->state = JOB_RUNNING;
			return (*mine = job);
		}
	return (NULL);
}

/* With the lock: the answer is that of all who wait for this name. */
static void
finish_job(struct job **mine)
{
	const uint64_t one = 1;
	struct job    *job = *mine, *other, *next;

	for (other = TAILQ_FIRST(&queue); other != NULL; other = next) {
		next = TAILQ_NEXT(other, link);
		if (!same_name(other, job))
			continue;
		TAILQ_REMOVE(&queue, other, link);
		other->code = job->code;
		other->naddrs = job->naddrs;
		memcpy(other->addrs, job->addrs, sizeof(job->addrs));
		other->state = JOB_DONE;
	}
	job->state = JOB_DONE;
	*mine = NULL;
	if (write(done_fd, &one, sizeof(one)) == -1)
		fatal("eventfd");
}

static void *
thread_run(void *arg)
{
	struct job **mine = arg, *job;

	pthread_mutex_lock(&lock);
	for (;;) {
		while ((job = next_job(mine)) == NULL)
			pthread_cond_wait(&work, &lock);
		pthread_mutex_unlock(&lock);
		look_up(job);
		pthread_mutex_lock(&lock);
		finish_job(mine);
	}
	return (NULL);
}

void
pool_start(void)
{
	pthread_attr_t attr;
	pthread_t      thread;

	if (pthread_attr_init(&attr) != 0 ||
	    pthread_attr_setstacksize(&attr, THREAD_STACK) != 0 ||
	    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) != 0)
		fatalx("cannot prepare threads");
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread, &attr, thread_run,
		    &running[i]) != 0)
			fatalx("cannot start threads");
	pthread_attr_destroy(&attr);
}

void
pool_ask(struct job *job)
{
	pthread_mutex_lock(&lock);
	job->state = JOB_QUEUED;
	TAILQ_INSERT_TAIL(&queue, job, link);
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
}

struct job *
pool_find(struct job *jobs, unsigned n, enum job_state state)
{
	struct job *job = NULL;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < n && job == NULL; i++)
		if (jobs[i].state == state)
			job = &jobs[i];
	pthread_mutex_unlock(&lock);
	return (job);
}

void
pool_free(struct job *job)
{
	pthread_mutex_lock(&lock);
	if (job->state == JOB_QUEUED)
		TAILQ_REMOVE(&queue, job, link);
	if (job->state != JOB_RUNNING)
		job->state = JOB_FREE;
	pthread_mutex_unlock(&lock);
}
