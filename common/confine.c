/*
 * The steps of the sandbox, in DESIGN's order.  Runs in the programs under
 * libexec, between their first lines and the first byte from outside; takes
 * from its own process all that the role does not need.  Each step is
 * verified, and one that fails ends the program.  What can't be had without
 * privileges or with an old kernel is named in the log, once.
 */
#include "confine.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <string.h>
#include <unistd.h>

#include "filter.h"
#include "fmt.h"
#include "landlock.h"
#include "log.h"
#include "trap.h"

#ifdef SALLYPORT_NO_SANDBOX
#define SANDBOX	0
#else
#define SANDBOX	1
#endif

static struct sock_fprog first, second;
static char		 missing[256];

static void
note_missing(const char *what)
{
	size_t len = strlen(missing);

	fmt_print(missing + len, sizeof(missing) - len, "%s%s",
	    len > 0 ? ", " : "", what);
}

/*
 * The resolver needs files that change: hosts, resolv.conf, modules.  Unix
 * sockets are found by path: a server that starts again makes a new one.
 */
static bool
has_jail(const struct child *c)
{
	return (c->role != ROLE_RESOLVER && c->role != ROLE_LOOKUP &&
	    !c->unix_remotes);
}

void
confine_prepare(const struct child *c)
{
	if (!SANDBOX && (geteuid() == 0 || c->privileged))
		fatalx("this build has no sandbox and does not run as root");
	if (!SANDBOX)
		return;
	trap_prepare(filter_title(filter_of(c)));
	first = filter_compile(filter_of(c), 0);
	if (c->role == ROLE_RELAY)
		second = filter_compile(FILTER_RELAY, 1);
	if (landlock_abi() < LANDLOCK_ABI_FILES)
		note_missing("Landlock");
	else if (landlock_abi() < LANDLOCK_ABI_NET)
		note_missing("Landlock's TCP rules");
	if (landlock_abi() < LANDLOCK_ABI_SCOPE)
		note_missing("Landlock's scopes");
}

static void
jail_verify(const struct stat *jail, const char *name)
{
	struct stat st;

	if (stat(name, &st) == -1)
		fatal("%s in the jail", name);
	if (st.st_dev != jail->st_dev || st.st_ino != jail->st_ino)
		fatalx("the jail did not become the root directory");
}

static void
jail_enter(const char *path)
{
	struct stat st;
	int	    fd;

	if (path == NULL)
		fatalx("no jail was given");
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		fatal("jail %s", path);
	if (fstat(fd, &st) == -1)
		fatal("jail %s", path);
	if (st.st_uid != 0)
		fatalx("jail %s does not belong to root", path);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fatalx("jail %s is writable by group or others", path);
	if (fchdir(fd) == -1 || chroot(".") == -1)
		fatal("jail %s", path);
	close(fd);
	jail_verify(&st, "/");
	jail_verify(&st, "..");
}

static void
identity_change(const struct child *c)
{
	if (c->uid == 0 || c->uid == geteuid() || c->uid == (uid_t)-1 ||
	    c->gid == (gid_t)-1)
		fatalx("%u:%u is no identity to change to", c->uid, c->gid);
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		fatalx("the bounding set could not be cleared");
	if (setgroups(0, NULL) == -1)
		fatal("setgroups");
	if (setresgid(c->gid, c->gid, c->gid) == -1)
		fatal("setresgid");
	if (setresuid(c->uid, c->uid, c->uid) == -1)
		fatal("setresuid");
}

/* was, gwas: whom P runs as. */
static void
identity_verify(const struct child *c, uid_t was, gid_t gwas)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	if (getresuid(&r, &e, &s) == -1 || getresgid(&gr, &ge, &gs) == -1)
		fatal("getresuid");
	if (r == 0 || r != e || r != s || gr != ge || gr != gs)
		fatalx("the user and group IDs are not what they should be");
	if (!c->privileged)
		return;
	if (r != c->uid || gr != c->gid || getgroups(0, NULL) != 0)
		fatalx("the user and group IDs are not what they should be");
	if (setuid(0) != -1 || seteuid(0) != -1)
		fatalx("root could be had again");
	if (setuid(was) != -1 || seteuid(was) != -1)
		fatalx("the parent's user could be had again");
	if (c->gid != 0 && (setgid(0) != -1 || setegid(0) != -1))
		fatalx("root's group could be had again");
	if (c->gid != gwas && (setgid(gwas) != -1 || setegid(gwas) != -1))
		fatalx("the parent's group could be had again");
}

/* Asks the kernel, not the library that cleared them. */
static void
capabilities_verify(const struct child *c)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct	set[_LINUX_CAPABILITY_U32S_3];
	int				is_set;

	if (syscall(SYS_capget, &head, set) == -1)
		fatal("capget");
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if ((set[i].effective | set[i].permitted |
		    set[i].inheritable) != 0)
			fatalx("the capabilities were not cleared");
	for (unsigned long cap = 0;; cap++) {
		if ((is_set = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap,
		    0, 0)) == -1)
			break;
		if (is_set != 0)
			fatalx("the ambient set was not cleared");
	}
	for (unsigned long cap = 0; c->privileged; cap++) {
		if ((is_set = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) == -1)
			break;
		if (is_set != 0)
			fatalx("the bounding set was not cleared");
	}
}

static void
privileges_close(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		fatal("no_new_privs");
	/* a sanitizer's last work is to trace its own process */
	if (SANDBOX && (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0))
		fatal("dumpable");
}

static void
processes_forbid(void)
{
	struct rlimit none = { 0, 0 }, now;

	if (setrlimit(RLIMIT_NPROC, &none) == -1 ||
	    getrlimit(RLIMIT_NPROC, &now) == -1)
		fatal("limit of processes");
	if (now.rlim_cur != 0 || now.rlim_max != 0)
		fatalx("the limit of processes was not set");
}

/* `probe' is a call that would do no harm, if the filter didn't work. */
static void
filter_enter(const struct sock_fprog *prog, unsigned flags, long probe)
{
	long n;

	n = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog);
	if (n == -1)
		fatal("seccomp");
	if (n != 0)
		fatalx("seccomp: thread %ld has other filters", n);
#ifdef SALLYPORT_TRAP
	(void)probe;
#else
	if (syscall(probe, NULL, 0, 0) != -1 || errno != FILTER_DEFAULT)
		fatalx("the filter does not filter");
#endif
}

void
confine_drop(const struct child *c)
{
	uid_t was = geteuid();
	gid_t gwas = getegid();

	/* this one reads /proc */
	capng_clear(CAPNG_SELECT_ALL);
	if (c->privileged && has_jail(c))
		jail_enter(c->jail);
	if (c->privileged)
		identity_change(c);
	else if (geteuid() == 0)
		fatalx("runs as root, with nobody to change to");
	else
		note_missing("jail, change of user, bounding set "
		    "(no privileges)");
	/* only for root the change of user has done this */
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) != 0)
		fatalx("the capabilities could not be cleared");
	identity_verify(c, was, gwas);
	capabilities_verify(c);
	privileges_close();
	if (SANDBOX)
		landlock_enter(c->role);
}

void
confine_seal(const struct child *c)
{
	/* all processes lack the same: one says so, once */
	if (missing[0] != '\0' && c->worker == 0 && c->mode == MODE_RUN)
		log_text(c->role == ROLE_RELAY && c->gen == 1 ? LEVEL_NOTICE :
		    LEVEL_DEBUG, "sandbox without: %s", missing);
	if (!SANDBOX)
		return;
	processes_forbid();
	filter_enter(&first, SECCOMP_FILTER_FLAG_TSYNC, SYS_getppid);
}

void
confine_enter(const struct child *c)
{
	confine_drop(c);
	confine_seal(c);
}

void
confine_tighten(void)
{
	if (SANDBOX)
		filter_enter(&second, 0, SYS_getrandom);
}

void
confine_ports(const uint16_t *ports, size_t n, bool bind)
{
	if (SANDBOX)
		landlock_ports(ports, n, bind);
}
