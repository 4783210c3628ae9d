/*
 * Fork and exec of the children with exactly the descriptors that
 * common/child.c expects.  Runs in P.
 */
#include <sys/stat.h>

#include <bsd/unistd.h>
#include <limits.h>

#include "../common/fmt.h"
#include "priv.h"

static const char *const programs[ROLE_COUNT] = { "parent", "logger", "relay",
	"dialer", "resolver", "resolver" };

const char *
spawn_name(const struct proc *p)
{
	static char name[64];

	fmt_print(name, sizeof(name), "%s [gen %u, %u]", programs[p->role],
	    p->id.u.helper.gen, p->worker + 1);
	return (name);
}

/* In the child; on error exit 127, logged. */
_Noreturn static void
become(uint32_t role, int ctl, int log, int conf)
{
	char	 path[PATH_MAX];
	int	 null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	fmt_print(path, sizeof(path), "%s/%s", parameters.libexec,
	    programs[role]);
	umask(077);
	setsid();	/* the terminal's signals are for P */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fd_place((int[]){ null, null, null, ctl, log, conf }, 6, 0);
	closefrom(FD_CONF + 1);
	execv(path, parameters.words);
	log_open(FD_LOG);
	log_warn("cannot execute %s", path);
	_exit(127);
}

bool
spawn_start(struct proc *p, struct gen *g, uint32_t role, uint32_t worker,
    int conf)
{
	int ctl[2] = { -1, -1 };

	*p = (struct proc){ .gen = g, .role = role, .worker = worker,
		.log = { -1, -1 }, .id = { .type = WIRE_HELPER,
		.u.helper = { role, g != NULL ? g->number : 0, worker } } };
	if (fd_pair(p->log) && fd_pair(ctl) && (p->pid = fork()) == 0)
		become(role, ctl[1], p->log[1], conf);
	p->ctl = ctl[0];
	close(ctl[1]);
	if (p->pid > 0)
		wire_send(p->ctl, &p->id, -1);
	else
		spawn_close(p);
	return (p->pid > 0);
}

void
spawn_close(struct proc *p)
{
	close(p->ctl);
	close(p->log[0]);
	close(p->log[1]);
	p->pid = 0;
	p->ctl = -1;
}
