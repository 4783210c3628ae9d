/*
 * The handler of the trap build.  Runs in the programs under libexec, in
 * signal context when a call was denied: a static table and the bounded
 * formatter, no allocation.
 */
#include "trap.h"

#ifdef SALLYPORT_TRAP

#include <bsd/string.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#include "log.h"

#define CALLS	512
#define NAME	32

static char	 names[CALLS][NAME];
static const char *title;

static void
trapped(int sig, siginfo_t *info, void *context)
{
	const char *name = "";
	long long   arg[3] = { 0, 0, 0 };

	(void)sig;
	if (info->si_syscall >= 0 && info->si_syscall < CALLS)
		name = names[info->si_syscall];
#ifdef __x86_64__
	const ucontext_t *uc = context;

	arg[0] = uc->uc_mcontext.gregs[REG_RDI];
	arg[1] = uc->uc_mcontext.gregs[REG_RSI];
	arg[2] = uc->uc_mcontext.gregs[REG_RDX];
#else
	(void)context;
#endif
	log_error("trap: %s called %s (%d) with %lld, %lld, %lld, which its "
	    "filter denies", title, name, info->si_syscall, arg[0], arg[1],
	    arg[2]);
	_exit(TRAP_STATUS);
}

void
trap_prepare(const char *filter)
{
	struct sigaction sa = { .sa_sigaction = trapped,
		.sa_flags = SA_SIGINFO | SA_NODEFER };

	title = filter;
	for (int nr = 0; nr < CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(
		    SCMP_ARCH_NATIVE, nr);

		if (name != NULL)
			strlcpy(names[nr], name, NAME);
		free(name);
	}
	if (sigaction(SIGSYS, &sa, NULL) == -1)
		fatal("sigaction");
}

#else

void
trap_prepare(const char *filter)
{
	(void)filter;
}

#endif
