/*
 * P, the privileged parent: all that its files share.  P binds sockets, opens
 * logs and the configuration, starts the confined programs, hands them
 * descriptors and waits.  It parses nothing, allocates nothing, and reads
 * from a child only while that child's generation is LOADING.
 *
 *   FREE -> LOADING -> HANDOVER -> RUNNING -> DRAINING -> FREE
 *
 * The seal stands between LOADING and HANDOVER.
 */
#ifndef PRIV_PRIV_H
#define PRIV_PRIV_H

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/log.h"
#include "../common/role.h"
#include "../common/wire.h"

#define TICK	   UINT64_C(1000000) /* us: nothing waits longer */
#define GEN_MAX	   18		/* a running, a loading, 16 draining ones */
#define PROC_MAX   (GEN_MAX * (2 * WORKERS_MAX + 2) + 1)
#define TARGET_MAX 16		/* log targets; the last: start-up */
#define FD_NULL	   0		/* /dev/null */
#define FD_STATUS  3		/* where the caller waits for one byte */
#define FD_NOTIFY  5		/* where systemd listens */
#define FD_TARGETS 6		/* log targets, each at its number */
#define FD_GIVEN   (FD_TARGETS + TARGET_MAX) /* listening sockets, if any */

enum gen_state {
	GEN_FREE, GEN_LOADING, GEN_HANDOVER, GEN_RUNNING, GEN_DRAINING
};

struct listener {
	struct wire_addr addr;	/* as asked for */
	uint16_t port;		/* as bound */
	int	 error;		/* of bind: then there are no fds */
	int	 given;		/* one of those at FD_GIVEN, or 0 */
	int	 fd[WORKERS_MAX];
};

struct gen {
	enum gen_state state;
	uint32_t number;
	int	 conf;		/* retained configuration, or -1 */
	struct wire_need need;	/* as it came; before that version 0 */
	bool	 broken;	/* RUNNING: a process has died */
	uint64_t end;		/* us, of draining; 0: none */
	uint64_t deadline;	/* us, of the state; 0: none */
	uint32_t nbinds;
	struct listener *binds;	/* of LISTENERS_MAX */
};

struct proc {
	pid_t	    pid;	/* 0: free */
	uint32_t    role, worker;
	struct wire id;		/* HELPER: who it is, for others */
	struct gen *gen;	/* NULL: the logger */
	int	    ctl;	/* P's end; -1: given up */
	int	    log[2];	/* both ends of its log pair: read, write */
	bool	    known;	/* the logger knows its channel */
	bool	    ready;	/* P reads nothing from it (any more) */
	uint32_t    sent;	/* relay: how many messages of load_send() */
};

/*
 * P's argv, made by start/exec.c, which runs with P's rights and is trusted:
 * a digit, the programs' directory, a file to be removed at the end, one to
 * be read ("": none); the socket directories ("": none); log targets (a path,
 * "syslog", "-": other, "": none); argv of every child.
 */
enum { ARG_WORKERS = 1, ARG_LIBEXEC, ARG_PIDFILE, ARG_CONFIG, ARG_DIRS,
	ARG_TARGETS = ARG_DIRS + DIRS_MAX,
	ARG_WORDS = ARG_TARGETS + TARGET_MAX };

extern char	 **args;
extern uint32_t	   workers;		/* 1 to WORKERS_MAX */
extern int	   given;		/* behind the last of FD_GIVEN */
extern struct proc procs[PROC_MAX];	/* procs[0]: the logger */
extern struct gen  gens[GEN_MAX];

/* spawn.c: one more process of a generation (NULL: the logger); on error its
   pid is 0, after gen_kill().  spawn_close(): it has been reaped. */
struct proc *spawn_start(struct gen *g, uint32_t role, uint32_t worker);
void	spawn_close(struct proc *p);
extern const char *const spawn_programs[ROLE_COUNT];

/* listen.c: binds l->addr, or takes over what the running generation has for
   it; l->error EADDRINUSE: somebody else (another sallyport too) has it. */
void	listen_open(struct listener *l, const struct gen *g);
/* Repairs what a relay could have spoilt, listens, and names the inherited
   sockets that nobody asked for. */
bool	listen_start(const struct gen *g);
void	listen_close(struct gen *g);	/* but for what the running one has */

/* reader.c: one message of a relay of a LOADING generation. */
void	reader_take(struct proc *p);

/* gen.c: the next live process behind p (NULL: the first) of a generation
   (NULL: any) and role (ROLE_COUNT: any); the oldest in a state, or NULL. */
struct proc *proc_next(struct proc *p, const struct gen *g, uint32_t role);
struct gen *gen_find(enum gen_state state);
void	gen_start(int conf);			/* owns conf */
void	gen_kill(struct gen *g, const char *why);	/* NULL: no news */
void	gen_reap(struct proc *p, int status);

/* load.c: what a generation says while loading, and what it is told. */
void	load_need(struct gen *g, const struct proc *leader,
	    const struct wire *m);
void	load_bind(struct gen *g, const struct proc *p, const struct wire *m);
void	load_check(struct gen *g);	/* are all READY? */
bool	load_due(const struct proc *p);	/* is there more to be sent to it? */
void	load_send(struct gen *g);	/* as much as the queues take */
void	load_drain(struct gen *g);

/* notify.c: sd_notify(3), if somebody listens; a start or reload is over. */
void	notify_send(const char *state);
void	notify_ready(void);

/* logs.c: the log targets and the logger. */
void	logs_reopen(void);
void	logs_introduce(struct proc *p);
void	logs_tick(void);		/* a new logger, a new syslogd */
void	logs_stop(void);		/* lets the logger end */

#endif
