/*
 * The tables of system calls and their compilation into seccomp filters.
 * Runs in the programs under libexec, before their sandbox closes; touches
 * nothing but its own memory and, while compiling, a memfd.
 *
 * A call that is in no table fails with ENOSYS, so that a newer libc which
 * tries something new degrades and is not killed.  The trip-wires at the end
 * are what only an intruder would call: they kill the process at once.  The
 * calls of the hot path have no conditions, in either of the relay's
 * filters: the kernel then knows the answer without running them.
 */
#include "filter.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <unistd.h>

#include "log.h"

/* Conditions: the number of the argument, its name, what it must be. */
#define IS(n, name, v)							\
	{ { n, SCMP_CMP_EQ, (uint64_t)(v), 0 }, name " is " #v }
#define NOT(n, name, v)							\
	{ { n, SCMP_CMP_NE, (uint64_t)(v), 0 }, name " is not " #v }
#define ABOVE(n, name, v)						\
	{ { n, SCMP_CMP_GT, (uint64_t)(v), 0 }, name " above " #v }
#define WITH(n, name, bits)						\
	{ { n, SCMP_CMP_MASKED_EQ, (uint64_t)(bits), (uint64_t)(bits) },\
	    name " with " #bits }
#define WITHOUT(n, name, bits)						\
	{ { n, SCMP_CMP_MASKED_EQ, (uint64_t)(bits), 0 },		\
	    name " without " #bits }
#define ONLY(n, name, bits)						\
	{ { n, SCMP_CMP_MASKED_EQ, ~(uint64_t)(bits), 0 },		\
	    name " within " #bits }
#define TYPE(n, v)							\
	{ { n, SCMP_CMP_MASKED_EQ,					\
	    ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), v },		\
	    "type is " #v " (CLOEXEC, NONBLOCK)" }

#define RULE(action, error, call, why, ...)				\
	{ action, error, SCMP_SYS(call), #call, why, { __VA_ARGS__ } }
#define ALLOW(call, ...)	RULE(FILTER_ALLOW, 0, call, __VA_ARGS__)
#define REFUSE(call, error, ...)					\
	RULE(FILTER_REFUSE, error, call, __VA_ARGS__)
#define KILL(call, ...)		RULE(FILTER_KILL, 0, call, __VA_ARGS__)

/* In every filter. */
static const struct filter_rule every[] = {
	ALLOW(close, "descriptors that are done with"),
	ALLOW(clock_gettime, "the time, where the vDSO has none"),
	ALLOW(rt_sigreturn, "the end of a signal handler"),
	ALLOW(exit_group, "the end"),
	{ .name = NULL }
};

/* malloc(3); in no filter of a process that talks with strangers. */
static const struct filter_rule memory[] = {
	ALLOW(brk, "malloc"),
	ALLOW(mmap, "malloc", WITHOUT(2, "prot", PROT_EXEC)),
	ALLOW(munmap, "malloc"),
	ALLOW(mremap, "malloc"),
	ALLOW(mprotect, "malloc", WITHOUT(2, "prot", PROT_EXEC)),
	ALLOW(madvise, "malloc"),
	ALLOW(getrandom, "malloc"),
	{ .name = NULL }
};

static const struct filter_rule waiting[] = {
#ifdef __NR_epoll_wait
	ALLOW(epoll_wait, "waits for events"),
#else
	ALLOW(epoll_pwait, "waits for events"),
#endif
	ALLOW(epoll_ctl, "registers descriptors"),
	{ .name = NULL }
};

static const struct filter_rule relay[] = {
	ALLOW(accept4, "clients"),
	ALLOW(read, "data of sessions"),
	ALLOW(write, "data of sessions"),
	ALLOW(shutdown, "passes the end of one direction on",
	    IS(1, "how", SHUT_WR)),
	KILL(shutdown, "disarms a listener",
	    NOT(1, "how", SHUT_WR)),
	ALLOW(setsockopt, "passes a reset on",
	    IS(1, "level", SOL_SOCKET), IS(2, "option", SO_LINGER)),
	ALLOW(getsockopt, "who a client of a unix socket is",
	    IS(1, "level", SOL_SOCKET), IS(2, "option", SO_PEERCRED)),
	ALLOW(recvmsg, "listeners from P, connected sockets from the dialer"),
	ALLOW(sendto, "requests to the dialer, log lines",
	    WITHOUT(3, "flags", MSG_FASTOPEN), IS(4, "address", 0)),
	/* many in flight would stop all dialers of this user */
	KILL(sendmsg, "descriptors in flight"),
	{ .name = NULL }
};

/* On top of relay[], until GO. */
static const struct filter_rule loading[] = {
	ALLOW(pread64, "reads the configuration"),
	ALLOW(fstat, "size of the configuration"),
#ifdef __NR_newfstatat
	ALLOW(newfstatat, "fstat of the libc",
	    IS(3, "flags", AT_EMPTY_PATH)),
#endif
	ALLOW(seccomp, "the second filter",
	    IS(0, "operation", SECCOMP_SET_MODE_FILTER), IS(1, "flags", 0)),
	{ .name = NULL }
};

static const struct filter_rule dialer[] = {
	ALLOW(epoll_create1, "the event loop"),
	ALLOW(recvmsg, "requests of the relay, answers of the resolver"),
	ALLOW(sendmsg, "connected sockets",
	    WITHOUT(2, "flags", MSG_FASTOPEN)),
	ALLOW(sendto, "questions to the resolver, log lines",
	    WITHOUT(3, "flags", MSG_FASTOPEN), IS(4, "address", 0)),
	ALLOW(socket, "outgoing connections", IS(0, "domain", AF_INET),
	    TYPE(1, SOCK_STREAM), IS(2, "protocol", IPPROTO_TCP)),
	ALLOW(socket, "outgoing connections", IS(0, "domain", AF_INET6),
	    TYPE(1, SOCK_STREAM), IS(2, "protocol", IPPROTO_TCP)),
	KILL(socket, "other kinds of socket", ABOVE(0, "domain", AF_INET6)),
	ALLOW(connect, "outgoing connections"),
	ALLOW(bind, "source addresses"),
	ALLOW(getsockopt, "how connecting ended",
	    IS(1, "level", SOL_SOCKET), IS(2, "option", SO_ERROR)),
	ALLOW(setsockopt, "no delay",
	    IS(1, "level", IPPROTO_TCP), IS(2, "option", TCP_NODELAY)),
	ALLOW(setsockopt, "keep-alive",
	    IS(1, "level", SOL_SOCKET), IS(2, "option", SO_KEEPALIVE)),
	ALLOW(setsockopt, "keep-alive",
	    IS(1, "level", IPPROTO_TCP), IS(2, "option", TCP_KEEPIDLE)),
	ALLOW(setsockopt, "source addresses, port chosen when connecting",
	    IS(1, "level", IPPROTO_IP),
	    IS(2, "option", IP_BIND_ADDRESS_NO_PORT)),
	ALLOW(getpeername, "is it connected?"),
	ALLOW(landlock_create_ruleset, "ports of the sealed table"),
	ALLOW(landlock_add_rule, "ports of the sealed table"),
	ALLOW(landlock_restrict_self, "ports of the sealed table"),
	{ .name = NULL }
};

/* On top of dialer[], without and with unix sockets among the remotes. */
static const struct filter_rule dialer_inet[] = {
	KILL(socket, "other kinds of socket", IS(0, "domain", AF_UNIX)),
	{ .name = NULL }
};
static const struct filter_rule dialer_unix[] = {
	ALLOW(socket, "remotes that are unix sockets",
	    IS(0, "domain", AF_UNIX), TYPE(1, SOCK_STREAM),
	    IS(2, "protocol", 0)),
	{ .name = NULL }
};

/* getaddrinfo(3) with its modules, in threads that are running already. */
static const struct filter_rule resolver[] = {
	ALLOW(recvmsg, "questions of the dialers, answers of servers"),
	ALLOW(sendmsg, "answers",
	    WITHOUT(2, "flags", MSG_FASTOPEN)),
	ALLOW(sendmmsg, "DNS", WITHOUT(3, "flags", MSG_FASTOPEN)),
	ALLOW(sendto, "log lines, DNS", WITHOUT(3, "flags", MSG_FASTOPEN)),
	ALLOW(recvfrom, "DNS"),
	ALLOW(poll, "DNS"),
	ALLOW(ppoll, "modules that ask a local service"),
	ALLOW(restart_syscall, "poll, after the process was stopped"),
	ALLOW(read, "files, wake-ups"),
	ALLOW(write, "wake-ups, modules that ask a local service"),
	ALLOW(writev, "DNS over TCP"),
	ALLOW(openat, "hosts, resolv.conf, nsswitch.conf, modules",
	    ONLY(2, "flags", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)),
	KILL(openat, "opens for writing", WITH(2, "flags", O_WRONLY)),
	KILL(openat, "opens for writing", WITH(2, "flags", O_RDWR)),
	KILL(openat, "opens for writing", WITH(2, "flags", O_CREAT)),
	KILL(openat, "opens for writing", WITH(2, "flags", O_TRUNC)),
	REFUSE(openat2, FILTER_DEFAULT, "modules can do without"),
	ALLOW(fstat, "files"),
	ALLOW(pread64, "modules"),
	ALLOW(lseek, "files"),
#ifdef __NR_newfstatat
	ALLOW(newfstatat, "has a file changed?"),
#endif
	ALLOW(fcntl, "modules that ask a local service",
	    IS(1, "command", F_GETFL)),
	ALLOW(mmap, "code of modules",
	    IS(2, "prot", PROT_READ | PROT_EXEC),
	    WITHOUT(3, "flags", MAP_ANONYMOUS)),
	KILL(mmap, "writes code", WITH(2, "prot", PROT_WRITE | PROT_EXEC)),
	ALLOW(socket, "DNS, order of addresses", IS(0, "domain", AF_INET),
	    TYPE(1, SOCK_DGRAM), IS(2, "protocol", 0)),
	ALLOW(socket, "DNS, order of addresses", IS(0, "domain", AF_INET6),
	    TYPE(1, SOCK_DGRAM), IS(2, "protocol", 0)),
	ALLOW(socket, "DNS over TCP", IS(0, "domain", AF_INET),
	    TYPE(1, SOCK_STREAM), IS(2, "protocol", 0)),
	ALLOW(socket, "DNS over TCP", IS(0, "domain", AF_INET6),
	    TYPE(1, SOCK_STREAM), IS(2, "protocol", 0)),
	ALLOW(socket, "nscd and modules that ask a local service",
	    IS(0, "domain", AF_UNIX), TYPE(1, SOCK_STREAM),
	    IS(2, "protocol", 0)),
	ALLOW(socket, "number of the interface in address%interface",
	    IS(0, "domain", AF_UNIX), TYPE(1, SOCK_DGRAM),
	    IS(2, "protocol", 0)),
	REFUSE(socket, EAFNOSUPPORT,
	    "getaddrinfo then asks for both families",
	    IS(0, "domain", AF_NETLINK)),
	KILL(socket, "other kinds of socket", ABOVE(0, "domain", AF_NETLINK)),
	ALLOW(connect, "DNS, order of addresses, local services"),
	ALLOW(getsockname, "order of addresses"),
	ALLOW(setsockopt, "DNS: notices that a server is gone",
	    IS(1, "level", IPPROTO_IP), IS(2, "option", IP_RECVERR)),
	ALLOW(setsockopt, "DNS: notices that a server is gone",
	    IS(1, "level", IPPROTO_IPV6), IS(2, "option", IPV6_RECVERR)),
	ALLOW(ioctl, "DNS: size of the answer",
	    IS(1, "request", FIONREAD)),
	ALLOW(ioctl, "number of the interface in address%interface",
	    IS(1, "request", SIOCGIFINDEX)),
	ALLOW(uname, "name of this host"),
	ALLOW(futex, "threads"),
	ALLOW(rseq, "start of a thread"),
	ALLOW(set_robust_list, "start of a thread"),
	ALLOW(rt_sigprocmask, "start and end of a thread"),
	ALLOW(sched_getaffinity, "malloc of threads"),
	ALLOW(exit, "end of a thread"),
	{ .name = NULL }
};

static const struct filter_rule logger[] = {
	ALLOW(recvmsg, "lines of all others, targets from P"),
	ALLOW(sendmsg, "syslog", WITHOUT(2, "flags", MSG_FASTOPEN)),
	ALLOW(sendto, "log lines of its own",
	    WITHOUT(3, "flags", MSG_FASTOPEN), IS(4, "address", 0)),
	ALLOW(write, "files, standard output and error"),
	ALLOW(fstat, "kind of a target"),
#ifdef __NR_newfstatat
	ALLOW(newfstatat, "fstat of the libc",
	    IS(3, "flags", AT_EMPTY_PATH)),
#endif
#ifdef __NR_poll
	ALLOW(poll, "has a target room?"),
#else
	ALLOW(ppoll, "has a target room?"),
#endif
	ALLOW(setitimer, "ends a write that takes too long"),
	{ .name = NULL }
};

/*
 * Trip-wires of every filter: a call with conditions, unless the program's
 * own table has a trip-wire for it; one without, unless that table has it
 * at all.
 */
#define EXECUTE		"starts a program"
#define FORK		"starts a process"
#define OTHERS		"touches other processes"
#define NETWORK		"opens a door"
#define FILES		"opens a file"
#define MOUNTS		"changes mounts or roots"
#define SPACES		"changes name spaces"
#define IDS		"changes user or rights"
#define KERNEL		"attacks the kernel"
#define SYSTEM		"changes the system"
#define CODE		"makes code"
#define FASTOPEN	"connects in disguise"
static const struct filter_rule tripwires[] = {
	KILL(execve, EXECUTE), KILL(execveat, EXECUTE),
	KILL(uselib, EXECUTE),
	KILL(fork, FORK), KILL(vfork, FORK), KILL(clone, FORK),
	KILL(clone3, FORK),
	KILL(ptrace, OTHERS), KILL(process_vm_readv, OTHERS),
	KILL(process_vm_writev, OTHERS), KILL(process_madvise, OTHERS),
	KILL(process_mrelease, OTHERS), KILL(kcmp, OTHERS),
	KILL(pidfd_open, OTHERS), KILL(pidfd_getfd, OTHERS),
	KILL(pidfd_send_signal, OTHERS), KILL(kill, OTHERS),
	KILL(tkill, OTHERS), KILL(rt_sigqueueinfo, OTHERS),
	KILL(rt_tgsigqueueinfo, OTHERS), KILL(migrate_pages, OTHERS),
	KILL(move_pages, OTHERS),
	KILL(socket, NETWORK), KILL(connect, NETWORK), KILL(bind, NETWORK),
	KILL(listen, NETWORK),
	KILL(open, FILES), KILL(creat, FILES), KILL(openat, FILES),
	KILL(openat2, FILES), KILL(open_by_handle_at, FILES),
	KILL(name_to_handle_at, FILES),
	KILL(mount, MOUNTS), KILL(umount2, MOUNTS), KILL(pivot_root, MOUNTS),
	KILL(chroot, MOUNTS), KILL(open_tree, MOUNTS),
	KILL(move_mount, MOUNTS), KILL(fsopen, MOUNTS),
	KILL(fsconfig, MOUNTS), KILL(fsmount, MOUNTS), KILL(fspick, MOUNTS),
	KILL(mount_setattr, MOUNTS),
	KILL(unshare, SPACES), KILL(setns, SPACES),
	KILL(setuid, IDS), KILL(setgid, IDS), KILL(setreuid, IDS),
	KILL(setregid, IDS), KILL(setresuid, IDS), KILL(setresgid, IDS),
	KILL(setfsuid, IDS), KILL(setfsgid, IDS), KILL(setgroups, IDS),
	KILL(capset, IDS), KILL(personality, IDS),
	KILL(bpf, KERNEL), KILL(seccomp, KERNEL), KILL(keyctl, KERNEL),
	KILL(add_key, KERNEL), KILL(request_key, KERNEL),
	KILL(userfaultfd, KERNEL), KILL(io_uring_setup, KERNEL),
	KILL(io_uring_enter, KERNEL), KILL(io_uring_register, KERNEL),
	KILL(perf_event_open, KERNEL), KILL(fanotify_init, KERNEL),
	KILL(modify_ldt, KERNEL), KILL(iopl, KERNEL), KILL(ioperm, KERNEL),
	KILL(kexec_load, KERNEL), KILL(kexec_file_load, KERNEL),
	KILL(init_module, KERNEL), KILL(finit_module, KERNEL),
	KILL(delete_module, KERNEL),
	KILL(reboot, SYSTEM), KILL(swapon, SYSTEM), KILL(swapoff, SYSTEM),
	KILL(acct, SYSTEM), KILL(quotactl, SYSTEM), KILL(quotactl_fd, SYSTEM),
	KILL(syslog, SYSTEM), KILL(vhangup, SYSTEM),
	KILL(sethostname, SYSTEM), KILL(setdomainname, SYSTEM),
	KILL(settimeofday, SYSTEM), KILL(clock_settime, SYSTEM),
	KILL(adjtimex, SYSTEM), KILL(clock_adjtime, SYSTEM),
	KILL(mmap, CODE, WITH(2, "prot", PROT_EXEC)),
	KILL(mprotect, CODE, WITH(2, "prot", PROT_EXEC)),
	KILL(pkey_mprotect, CODE, WITH(2, "prot", PROT_EXEC)),
	KILL(shmat, CODE, WITH(2, "flags", SHM_EXEC)),
	KILL(sendto, FASTOPEN, WITH(3, "flags", MSG_FASTOPEN)),
	KILL(sendmsg, FASTOPEN, WITH(2, "flags", MSG_FASTOPEN)),
	KILL(sendmmsg, FASTOPEN, WITH(3, "flags", MSG_FASTOPEN)),
	{ .name = NULL }
};

#define PARTS	5
static const struct {
	const char		 *title;
	const struct filter_rule *parts[PARTS];
} filters[FILTER_COUNT] = {
	[FILTER_LOADING] = { "relay, while loading",
	    { every, waiting, relay, memory, loading } },
	[FILTER_RELAY] = { "relay, with clients",
	    { every, waiting, relay } },
	[FILTER_DIALER] = { "dialer",
	    { every, waiting, dialer, dialer_inet, memory } },
	[FILTER_DIALER_UNIX] = { "dialer, with unix remotes",
	    { every, waiting, dialer, dialer_unix, memory } },
	[FILTER_RESOLVER] = { "resolver",
	    { every, waiting, resolver, memory } },
	[FILTER_LOGGER] = { "logger", { every, waiting, logger } },
};

const char *
filter_title(enum filter f)
{
	return (filters[f].title);
}

enum filter
filter_of(const struct child *c)
{
	switch (c->role) {
	case ROLE_RELAY:
		return (FILTER_LOADING);
	case ROLE_DIALER:
		return (c->unix_remotes ? FILTER_DIALER_UNIX : FILTER_DIALER);
	case ROLE_RESOLVER:
	case ROLE_LOOKUP:
		return (FILTER_RESOLVER);
	case ROLE_LOGGER:
		return (FILTER_LOGGER);
	default:
		fatalx("there is no sandbox for role %d", (int)c->role);
	}
}

/* Appends the part's rules, of trip-wires or of all others. */
static size_t
collect(const struct filter_rule *part, bool kill,
    const struct filter_rule *rules[FILTER_RULES], size_t n)
{
	for (; part->name != NULL; part++) {
		if (part->nr < 0 || (part->action == FILTER_KILL) != kill)
			continue;
		if (n == FILTER_RULES)
			fatalx("a filter has too many rules");
		rules[n++] = part;
	}
	return (n);
}

/* Does the program's own table rule on this call itself? */
static bool
overruled(const struct filter_rule *trip,
    const struct filter_rule *const rules[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i]->nr == trip->nr &&
		    (trip->cond[0].text == NULL ||
		    rules[i]->action == FILTER_KILL))
			return (true);
	return (false);
}

size_t
filter_rules(enum filter f, const struct filter_rule *rules[FILTER_RULES])
{
	const struct filter_rule *const *parts = filters[f].parts;
	size_t n = 0, own;

	for (int kill = 0; kill <= 1; kill++)
		for (size_t i = 0; i < PARTS && parts[i] != NULL; i++)
			n = collect(parts[i], kill, rules, n);
	own = n;
	for (const struct filter_rule *t = tripwires; t->name != NULL; t++) {
		if (t->nr < 0 || overruled(t, rules, own))
			continue;
		if (n == FILTER_RULES)
			fatalx("a filter has too many rules");
		rules[n++] = t;
	}
	return (n);
}

static uint32_t
seccomp_action(const struct filter_rule *rule)
{
	switch (rule->action) {
	case FILTER_ALLOW:
		return (SCMP_ACT_ALLOW);
	case FILTER_REFUSE:
		return (SCMP_ACT_ERRNO((uint16_t)rule->error));
	default:
#ifdef SALLYPORT_TRAP
		return (SCMP_ACT_TRAP);
#else
		return (SCMP_ACT_KILL_PROCESS);
#endif
	}
}

static void
add_rule(scmp_filter_ctx ctx, const struct filter_rule *rule, uint32_t other)
{
	struct scmp_arg_cmp cmp[FILTER_CONDS];
	unsigned	    n = 0;
	int		    error;

	/* libseccomp takes no rule that says what the default says */
	if (seccomp_action(rule) == other)
		return;
	for (; n < FILTER_CONDS && rule->cond[n].text != NULL; n++)
		cmp[n] = rule->cond[n].cmp;
	error = seccomp_rule_add_exact_array(ctx, seccomp_action(rule),
	    rule->nr, n, cmp);
	if (error != 0) {
		errno = -error;
		fatal("filter of %s", rule->name);
	}
}

/* libseccomp gives its program away through a descriptor only. */
static struct sock_fprog
export(scmp_filter_ctx ctx, struct sock_filter *insns)
{
	ssize_t n;
	int	fd, error;

	if ((fd = memfd_create("filter", MFD_CLOEXEC)) == -1)
		fatal("memfd_create");
	if ((error = seccomp_export_bpf(ctx, fd)) != 0) {
		errno = -error;
		fatal("seccomp_export_bpf");
	}
	n = pread(fd, insns, (FILTER_INSNS + 1) * sizeof(*insns), 0);
	if (n <= 0 || (size_t)n > FILTER_INSNS * sizeof(*insns))
		fatalx("a filter has an impossible size");
	close(fd);
	return ((struct sock_fprog){
		.len = (unsigned short)((size_t)n / sizeof(*insns)),
		.filter = insns
	});
}

struct sock_fprog
filter_compile(enum filter f, unsigned slot)
{
	static struct sock_filter insns[2][FILTER_INSNS + 1];
	const struct filter_rule *rules[FILTER_RULES];
	size_t			  n = filter_rules(f, rules);
#ifdef SALLYPORT_TRAP
	uint32_t		  other = SCMP_ACT_TRAP;
#else
	uint32_t		  other = SCMP_ACT_ERRNO(FILTER_DEFAULT);
#endif
	struct sock_fprog	  prog;
	scmp_filter_ctx		  ctx;

	/* other architectures, x32 with them, are always killed */
	ctx = seccomp_init(other);
	if (ctx == NULL || seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS) != 0)
		fatalx("a filter could not be made");
	for (size_t i = 0; i < n; i++)
		add_rule(ctx, rules[i], other);
	prog = export(ctx, insns[slot]);
	seccomp_release(ctx);
	return (prog);
}
