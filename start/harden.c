/*
 * P's own sandbox: the capabilities that its work needs (caps.c) and a list
 * of system calls that neither it nor any child has use for.  Runs in the
 * sallyport command, so that P need not contain what makes them.
 */
#include "harden.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "../common/log.h"
#include "../common/role.h"
#include "caps.h"

#ifdef SALLYPORT_NO_SANDBOX
#define SANDBOX		0
#else
#define SANDBOX		1
#endif

/* One descriptor per listener and worker, and the generations' channels. */
#define NOFILE		(LISTENERS_MAX * WORKERS_MAX + 2048)
#define NOFILE_SESSIONS	65536	/* of a relay, when nothing is asked for */
#define NOFILE_LEAST	512	/* less is not enough for P itself */

/*
 * Denied to P and, by inheritance, to all others, whose own filters come on
 * top.  A deny-list, as P's libc may need anything else.
 */
static const int denied[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(request_key), SCMP_SYS(mount), SCMP_SYS(umount2),
	SCMP_SYS(pivot_root), SCMP_SYS(move_mount), SCMP_SYS(open_tree),
	SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount),
	SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(unshare),
	SCMP_SYS(setns), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
	SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl),
	SCMP_SYS(personality), SCMP_SYS(iopl), SCMP_SYS(ioperm),
	SCMP_SYS(syslog), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname), SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at), SCMP_SYS(vhangup), SCMP_SYS(lookup_dcookie)
};

/*
 * PURPOSE: a start that does not depend on the parent's odd habits.
 * ON ERROR: exit 1.
 */
void
harden_start(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t	 none;
	int		 fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd == -1)
		_exit(1);
	close(fd);
	umask(077);
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * PURPOSE: enough descriptors for P and, by inheritance, for the relays.
 * ON ERROR: exit 1 only if P itself could not live with it; a relay says
 * what is short for it.
 */
static void
raise_nofile(const struct options *o)
{
	struct rlimit lim, more;
	rlim_t	      want = NOFILE + 2 * (o->max_connections != 0 ?
	    (rlim_t)o->max_connections / o->workers + 1 : NOFILE_SESSIONS);

	if (getrlimit(RLIMIT_NOFILE, &lim) == -1)
		fatal("getrlimit");
	more = (struct rlimit){ want, want };
	if (lim.rlim_max < want && setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	if (lim.rlim_max < NOFILE_LEAST)
		fatalx("the limit of open files (RLIMIT_NOFILE) is %u, "
		    "expected at least %d", (unsigned)lim.rlim_max,
		    NOFILE_LEAST);
	if (setrlimit(RLIMIT_NOFILE, &lim) == -1)
		fatal("setrlimit");
}

/*
 * PURPOSE: the deny-list filter.
 * ON ERROR: exit 1.
 */
static void
load_filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (ctx == NULL)
		fatalx("the filter could not be made");
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, denied[i],
		    0) != 0 && denied[i] >= 0)
			fatalx("the filter could not be made");
	if (seccomp_load(ctx) != 0)
		fatalx("the filter could not be loaded");
	seccomp_release(ctx);
}

void
harden_self(const struct options *o)
{
	struct rlimit core = { 0, 0 };
	sigset_t      all;

	raise_nofile(o);
	if (setrlimit(RLIMIT_CORE, &core) == -1)
		fatal("setrlimit");
	caps_cut(o->privileged, o->ndirs > 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (SANDBOX)
		load_filter();
}
