/*
 * Fork and exec of the children with exactly the descriptors that
 * common/child.c expects.  Runs in P.
 */
#include <sys/stat.h>

#include <bsd/unistd.h>
#include <limits.h>

#include "priv.h"

const char *const spawn_programs[ROLE_COUNT] = { "parent", "logger", "relay",
	"dialer", "resolver", "resolver" };

/* In the child; on error exit 127, logged. */
_Noreturn static void
become(uint32_t role, int ctl, int log, int conf)
{
	char	 path[PATH_MAX + 16];	/* start/ bounds the first part */
	sigset_t none;

	stpcpy(stpcpy(stpcpy(path, args[ARG_LIBEXEC]), "/"),
	    spawn_programs[role]);
	umask(077);
	setsid();	/* the terminal's signals are for P */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(ctl, FD_CTL);	/* each above all that has a fixed place */
	dup2(log, FD_LOG);
	dup2(conf, FD_CONF);
	closefrom(conf == -1 ? FD_CONF : FD_CONF + 1);
	execv(path, args + ARG_WORDS);
	log_socket = FD_LOG;
	log_words(LEVEL_ERROR, "cannot execute ", path, ": ",
	    strerrordesc_np(errno), NULL);
	_exit(127);
}

struct proc *
spawn_start(struct gen *g, uint32_t role, uint32_t worker)
{
	struct proc *p = procs + (g != NULL);
	int	     conf = g != NULL && role == ROLE_RELAY ? g->conf : -1;
	int	     ctl[2] = { -1, -1 };

	while (g != NULL && p->pid != 0)
		p++;	/* PROC_MAX is all that can be asked for */
	*p = (struct proc){ .gen = g, .role = role, .worker = worker,
		.ready = role != ROLE_RELAY, .log = { -1, -1 },
		.id = { .type = WIRE_HELPER, .u.helper = { role,
		g != NULL ? g->number : 0, worker,
		g != NULL ? g->need.roles : 0 } } };
	if ((g == NULL || g->state == GEN_LOADING) && fd_pair(p->log) &&
	    fd_pair(ctl) && (p->pid = fork()) == 0)
		become(role, ctl[1], p->log[1], conf);
	p->ctl = ctl[0];
	close(ctl[1]);
	if (p->pid > 0) {
		wire_send(p->ctl, &p->id, -1);
		logs_introduce(p);
	} else {
		spawn_close(p);
		if (g != NULL)
			gen_kill(g, "a process could not be started");
	}
	return (p);
}

void
spawn_close(struct proc *p)
{
	close(p->ctl);
	close(p->log[0]);
	close(p->log[1]);
	p->pid = 0;
	p->ctl = p->log[0] = p->log[1] = -1;
}
