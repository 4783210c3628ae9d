/*
 * Every system call, tried one by one from inside each confined program's
 * sandbox, each in a process of its own that went through the real steps.
 * What is seen must be what the tables of common/filter.c say, and these
 * tables must say what the lists here say: whoever adds a call to a program
 * has to add it twice.  As root the children change identity and chroot.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../common/confine.h"
#include "../../common/filter.h"
#include "../../common/log.h"
#include "../../common/trap.h"
#include "tap.h"

#define CALLS		512	/* numbers 0 to CALLS - 1 */
#define X32		0x40000000
#define SECONDS		20	/* a call that takes longer hangs */
#define HIGH		0x100000000u

enum seen {
	ANSWERED,		/* whatever the answer was */
	REFUSED,		/* an error that the filter made */
	DENIED,			/* ENOSYS */
	KILLED,
	SETUP,			/* the sandbox itself failed */
	HUNG
};

static const char *const seen_text[] = {
	"answered", "refused", "denied", "killed", "no sandbox", "hung"
};

struct shared {			/* what the child got to */
	int trying, done, error;
};
static struct shared *shared;

static char jail[] = "/tmp/sallyport-jail-XXXXXX";

/* --- what each program may call, and what kills all of them --- */

static const char *const answering[FILTER_COUNT] = {
	[FILTER_LOADING] =
	    "accept4 brk clock_gettime close epoll_ctl epoll_wait exit_group "
	    "fstat getrandom getsockopt madvise mmap mprotect mremap munmap "
	    "newfstatat pread64 read recvmsg rt_sigreturn seccomp sendto "
	    "setsockopt shutdown write",
	[FILTER_RELAY] =
	    "accept4 clock_gettime close epoll_ctl epoll_wait exit_group "
	    "getsockopt read recvmsg rt_sigreturn sendto setsockopt shutdown "
	    "write",
	[FILTER_DIALER] =
	    "bind brk clock_gettime close connect epoll_create1 epoll_ctl "
	    "epoll_wait exit_group getpeername getrandom getsockopt "
	    "landlock_add_rule landlock_create_ruleset "
	    "landlock_restrict_self madvise mmap mprotect mremap munmap "
	    "recvmsg rt_sigreturn sendmsg sendto setsockopt socket",
	[FILTER_DIALER_UNIX] =
	    "bind brk clock_gettime close connect epoll_create1 epoll_ctl "
	    "epoll_wait exit_group getpeername getrandom getsockopt "
	    "landlock_add_rule landlock_create_ruleset "
	    "landlock_restrict_self madvise mmap mprotect mremap munmap "
	    "recvmsg rt_sigreturn sendmsg sendto setsockopt socket",
	[FILTER_RESOLVER] =
	    "brk clock_gettime close connect epoll_ctl epoll_wait exit "
	    "exit_group fcntl fstat futex getrandom getsockname ioctl lseek "
	    "madvise mmap mprotect mremap munmap newfstatat openat poll ppoll "
	    "pread64 read recvfrom recvmsg restart_syscall rseq "
	    "rt_sigprocmask rt_sigreturn sched_getaffinity sendmmsg sendmsg "
	    "sendto set_robust_list setsockopt socket uname write writev",
	[FILTER_LOGGER] =
	    "clock_gettime close epoll_ctl epoll_wait exit_group fstat "
	    "newfstatat poll recvmsg rt_sigreturn sendmsg sendto setitimer "
	    "write",
};

static const char killing[] =
    "execve execveat fork vfork clone clone3 ptrace process_vm_readv "
    "process_vm_writev kill tkill pidfd_open pidfd_getfd "
    "pidfd_send_signal kcmp listen open creat open_by_handle_at mount "
    "umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount "
    "fspick mount_setattr unshare setns setuid setgid setreuid setregid "
    "setresuid setresgid setgroups capset personality bpf keyctl add_key "
    "request_key userfaultfd io_uring_setup io_uring_enter "
    "io_uring_register perf_event_open kexec_load kexec_file_load "
    "init_module finit_module delete_module reboot swapon swapoff acct "
    "mmap mprotect pkey_mprotect sendto sendmsg sendmmsg";

/* The kernel answers these without running a filter. */
static const char hot[] =
    "epoll_wait epoll_ctl read write close accept4 recvmsg";

/* --- arguments --- */

struct attempt {
	enum filter filter;
	const char *call;
	const char *text;
	uint64_t    arg[6];
	enum seen   want;
};

#define T(f, call, a, b, c, d, e, want)					\
	{ FILTER_##f, #call, #a ", " #b ", " #c ", " #d ", " #e,	\
	    { (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d),\
	    (uint64_t)(e), 0 }, want }

#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define TCP_FASTOPEN_CONN 30	/* TCP_FASTOPEN_CONNECT */

static const struct attempt tries[] = {
	T(LOADING, shutdown, -1, SHUT_WR, 0, 0, 0, ANSWERED),
	T(LOADING, shutdown, -1, SHUT_RD, 0, 0, 0, KILLED),
	T(LOADING, mmap, 0, 4096, RW, ANON, -1, ANSWERED),
	T(LOADING, mmap, 0, 4096, PROT_EXEC, ANON, -1, KILLED),
	T(LOADING, mmap, 0, 4096, RW | PROT_EXEC, ANON, -1, KILLED),
	T(LOADING, mprotect, 0, 4096, PROT_READ, 0, 0, ANSWERED),
	T(LOADING, mprotect, 0, 4096, PROT_EXEC, 0, 0, KILLED),
	T(LOADING, newfstatat, AT_FDCWD, 0, 0, 0, 0, DENIED),
	T(LOADING, prlimit64, 0, 7, 4096, 0, 0, DENIED),
	T(LOADING, seccomp, SECCOMP_SET_MODE_FILTER, 0, 0, 0, 0, ANSWERED),
	T(LOADING, seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0, 0, DENIED),
	T(LOADING, seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_NEW_LISTENER, 0, 0, 0, DENIED),
	T(LOADING, socket, AF_INET, SOCK_STREAM, 0, 0, 0, KILLED),
	T(LOADING, openat, AT_FDCWD, 0, O_RDONLY, 0, 0, KILLED),

	T(RELAY, shutdown, -1, SHUT_WR, 0, 0, 0, ANSWERED),
	T(RELAY, shutdown, -1, SHUT_RD, 0, 0, 0, KILLED),
	T(RELAY, shutdown, -1, SHUT_RDWR, 0, 0, 0, KILLED),
	T(RELAY, shutdown, -1, SHUT_WR | HIGH, 0, 0, 0, KILLED),
	T(RELAY, setsockopt, -1, SOL_SOCKET, SO_LINGER, 0, 0, ANSWERED),
	T(RELAY, setsockopt, -1, SOL_SOCKET, SO_MARK, 0, 0, DENIED),
	T(RELAY, setsockopt, -1, SOL_SOCKET, SO_REUSEPORT, 0, 0, DENIED),
	T(RELAY, setsockopt, -1, SOL_SOCKET | HIGH, SO_LINGER, 0, 0, DENIED),
	T(RELAY, setsockopt, -1, SOL_SOCKET, SO_LINGER | HIGH, 0, 0, DENIED),
	T(RELAY, setsockopt, -1, IPPROTO_TCP, SO_LINGER, 0, 0, DENIED),
	T(RELAY, setsockopt, -1, IPPROTO_TCP, TCP_FASTOPEN_CONN, 0, 0,
	    DENIED),
	T(RELAY, setsockopt, -1, IPPROTO_IP, IP_TRANSPARENT, 0, 0, DENIED),
	T(LOADING, getsockopt, -1, SOL_SOCKET, SO_PEERCRED, 0, 0, ANSWERED),
	T(RELAY, getsockopt, -1, SOL_SOCKET, SO_PEERCRED, 0, 0, ANSWERED),
	T(RELAY, getsockopt, -1, SOL_SOCKET, SO_PEERSEC, 0, 0, DENIED),
	T(RELAY, getsockopt, -1, SOL_SOCKET, SO_PEERGROUPS, 0, 0, DENIED),
	T(RELAY, getsockopt, -1, SOL_SOCKET, SO_ERROR, 0, 0, DENIED),
	T(RELAY, getsockopt, -1, SOL_SOCKET | HIGH, SO_PEERCRED, 0, 0,
	    DENIED),
	T(RELAY, getsockopt, -1, SOL_SOCKET, SO_PEERCRED | HIGH, 0, 0,
	    DENIED),
	T(RELAY, getsockopt, -1, IPPROTO_TCP, SO_PEERCRED, 0, 0, DENIED),
	T(RELAY, sendmsg, -1, 0, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, KILLED),
	T(RELAY, sendto, -1, 0, 0, MSG_DONTWAIT | MSG_NOSIGNAL, 0, ANSWERED),
	T(RELAY, sendto, -1, 0, 0, MSG_NOSIGNAL, 4096, DENIED),
	T(RELAY, sendto, -1, 0, 0, MSG_NOSIGNAL, HIGH, DENIED),
	T(RELAY, sendto, -1, 0, 0, MSG_FASTOPEN, 0, KILLED),
	T(RELAY, sendto, -1, 0, 0, MSG_FASTOPEN | MSG_NOSIGNAL, 0, KILLED),
	T(RELAY, sendmsg, -1, 0, MSG_FASTOPEN, 0, 0, KILLED),
	T(RELAY, sendmmsg, -1, 0, 0, MSG_FASTOPEN, 0, KILLED),
	T(RELAY, mmap, 0, 4096, RW, ANON, -1, DENIED),
	T(RELAY, mmap, 0, 4096, PROT_READ | PROT_EXEC, ANON, -1, KILLED),
	T(RELAY, mprotect, 0, 4096, PROT_EXEC, 0, 0, KILLED),
	T(RELAY, brk, 0, 0, 0, 0, 0, DENIED),
	T(RELAY, seccomp, SECCOMP_SET_MODE_FILTER, 0, 0, 0, 0, KILLED),
	T(RELAY, socket, AF_INET, SOCK_STREAM, 0, 0, 0, KILLED),
	T(RELAY, connect, -1, 0, 0, 0, 0, KILLED),
	T(RELAY, bind, -1, 0, 0, 0, 0, KILLED),
	T(RELAY, listen, -1, 0, 0, 0, 0, KILLED),
	T(RELAY, openat, AT_FDCWD, 0, O_RDONLY, 0, 0, KILLED),
	T(RELAY, fcntl, 0, F_SETFL, O_NONBLOCK, 0, 0, DENIED),
	T(RELAY, ioctl, 0, FIONREAD, 0, 0, 0, DENIED),
	T(RELAY, lseek, 0, 0, 0, 0, 0, DENIED),
	T(RELAY, ftruncate, 0, 0, 0, 0, 0, DENIED),

	T(DIALER, socket, AF_INET, SOCK_STREAM, IPPROTO_TCP, 0, 0, ANSWERED),
	T(DIALER, socket, AF_INET6, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, IPPROTO_TCP, 0, 0, ANSWERED),
	T(DIALER, socket, AF_UNIX, SOCK_STREAM, 0, 0, 0, KILLED),
	T(DIALER, socket, AF_NETLINK, SOCK_RAW, 0, 0, 0, KILLED),
	T(DIALER, socket, AF_PACKET, SOCK_RAW, 0, 0, 0, KILLED),
	T(DIALER, socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0, KILLED),
	T(DIALER, socket, AF_INET | HIGH, SOCK_STREAM, IPPROTO_TCP, 0, 0,
	    KILLED),
	T(DIALER, socket, AF_INET, SOCK_STREAM | HIGH, IPPROTO_TCP, 0, 0,
	    DENIED),
	T(DIALER, socket, AF_AX25, SOCK_STREAM, IPPROTO_TCP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET, SOCK_DGRAM, IPPROTO_UDP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET, SOCK_DGRAM, IPPROTO_TCP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET, SOCK_RAW, IPPROTO_TCP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET, SOCK_STREAM, IPPROTO_MPTCP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET6, SOCK_STREAM, IPPROTO_SCTP, 0, 0, DENIED),
	T(DIALER, socket, AF_INET6, SOCK_DGRAM, IPPROTO_TCP, 0, 0, DENIED),
	T(DIALER, connect, -1, 0, 0, 0, 0, ANSWERED),
	T(DIALER, listen, -1, 0, 0, 0, 0, KILLED),
	T(DIALER, accept4, -1, 0, 0, 0, 0, DENIED),
	T(DIALER, openat, AT_FDCWD, 0, O_RDONLY, 0, 0, KILLED),
	T(DIALER, read, 0, 0, 0, 0, 0, DENIED),
	T(DIALER, write, 0, 0, 0, 0, 0, DENIED),
	T(DIALER, getsockopt, -1, SOL_SOCKET, SO_ERROR, 0, 0, ANSWERED),
	T(DIALER, getsockopt, -1, SOL_SOCKET, SO_PEERCRED, 0, 0, DENIED),
	T(DIALER, setsockopt, -1, IPPROTO_TCP, TCP_NODELAY, 0, 0, ANSWERED),
	T(DIALER, setsockopt, -1, SOL_SOCKET, SO_KEEPALIVE, 0, 0, ANSWERED),
	T(DIALER, setsockopt, -1, IPPROTO_TCP, TCP_KEEPIDLE, 0, 0, ANSWERED),
	T(DIALER, setsockopt, -1, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, 0,
	    ANSWERED),
	T(DIALER, setsockopt, -1, SOL_SOCKET, SO_MARK, 0, 0, DENIED),
	T(DIALER, setsockopt, -1, SOL_SOCKET, SO_BINDTODEVICE, 0, 0, DENIED),
	T(DIALER, setsockopt, -1, IPPROTO_IP, IP_TRANSPARENT, 0, 0, DENIED),
	T(DIALER, setsockopt, -1, IPPROTO_TCP, TCP_FASTOPEN_CONN, 0, 0,
	    DENIED),
	T(DIALER, sendto, -1, 0, 0, MSG_NOSIGNAL, 0, ANSWERED),
	T(DIALER, sendto, -1, 0, 0, MSG_NOSIGNAL, 4096, DENIED),
	T(DIALER, sendto, -1, 0, 0, MSG_FASTOPEN, 0, KILLED),
	T(DIALER, sendmsg, -1, 0, MSG_FASTOPEN, 0, 0, KILLED),
	T(DIALER, mmap, 0, 4096, RW | PROT_EXEC, ANON, -1, KILLED),
	T(DIALER, seccomp, SECCOMP_SET_MODE_FILTER, 0, 0, 0, 0, KILLED),

	T(DIALER_UNIX, socket, AF_UNIX, SOCK_STREAM, 0, 0, 0, ANSWERED),
	T(DIALER_UNIX, socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, 0, 0, ANSWERED),
	T(DIALER_UNIX, socket, AF_UNIX, SOCK_DGRAM, 0, 0, 0, DENIED),
	T(DIALER_UNIX, socket, AF_UNIX, SOCK_SEQPACKET, 0, 0, 0, DENIED),
	T(DIALER_UNIX, socket, AF_UNIX, SOCK_STREAM, 1, 0, 0, DENIED),
	T(DIALER_UNIX, socket, AF_UNIX | HIGH, SOCK_STREAM, 0, 0, 0, KILLED),
	T(DIALER_UNIX, socket, AF_UNIX, SOCK_STREAM | HIGH, 0, 0, 0, DENIED),
	T(DIALER_UNIX, socket, AF_INET, SOCK_STREAM, IPPROTO_TCP, 0, 0,
	    ANSWERED),
	T(DIALER_UNIX, socket, AF_NETLINK, SOCK_RAW, 0, 0, 0, KILLED),
	T(DIALER_UNIX, connect, -1, 0, 0, 0, 0, ANSWERED),
	T(DIALER_UNIX, listen, -1, 0, 0, 0, 0, KILLED),
	T(DIALER_UNIX, accept4, -1, 0, 0, 0, 0, DENIED),
	T(DIALER_UNIX, chdir, 0, 0, 0, 0, 0, DENIED),
	T(DIALER_UNIX, unlink, 0, 0, 0, 0, 0, DENIED),
	T(DIALER_UNIX, newfstatat, AT_FDCWD, 0, 0, 0, 0, DENIED),
	T(DIALER_UNIX, openat, AT_FDCWD, 0, O_RDONLY, 0, 0, KILLED),
	T(DIALER_UNIX, openat, AT_FDCWD, 0, O_PATH, 0, 0, KILLED),
	T(DIALER_UNIX, read, 0, 0, 0, 0, 0, DENIED),

	T(RESOLVER, openat, AT_FDCWD, 0, O_RDONLY | O_CLOEXEC, 0, 0,
	    ANSWERED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_WRONLY, 0, 0, KILLED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_RDWR | O_CLOEXEC, 0, 0, KILLED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_RDONLY | O_CREAT, 0, 0, KILLED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_RDONLY | O_TRUNC, 0, 0, KILLED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_TMPFILE | O_RDWR, 0, 0, KILLED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_APPEND, 0, 0, DENIED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_PATH, 0, 0, DENIED),
	T(RESOLVER, openat, AT_FDCWD, 0, O_DIRECTORY, 0, 0, DENIED),
	T(RESOLVER, openat, AT_FDCWD, 0, HIGH, 0, 0, DENIED),
	T(RESOLVER, mmap, 0, 4096, RW, ANON, -1, ANSWERED),
	T(RESOLVER, mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, -1,
	    ANSWERED),
	T(RESOLVER, mmap, 0, 4096, PROT_READ | PROT_EXEC, ANON, -1, DENIED),
	T(RESOLVER, mmap, 0, 4096, PROT_EXEC, MAP_PRIVATE, -1, DENIED),
	T(RESOLVER, mmap, 0, 4096, RW | PROT_EXEC, MAP_PRIVATE, -1, KILLED),
	T(RESOLVER, mmap, 0, 4096, PROT_WRITE | PROT_EXEC, ANON, -1, KILLED),
	T(RESOLVER, mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0, 0, KILLED),
	T(RESOLVER, socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0, 0, 0,
	    ANSWERED),
	T(RESOLVER, socket, AF_INET6, SOCK_STREAM, 0, 0, 0, ANSWERED),
	T(RESOLVER, socket, AF_UNIX, SOCK_STREAM, 0, 0, 0, ANSWERED),
	T(RESOLVER, socket, AF_NETLINK, SOCK_RAW, 0, 0, 0, REFUSED),
	T(RESOLVER, socket, AF_INET, SOCK_RAW, 0, 0, 0, DENIED),
	T(RESOLVER, socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP, 0, 0, DENIED),
	T(RESOLVER, socket, AF_PACKET, SOCK_RAW, 0, 0, 0, KILLED),
	T(RESOLVER, socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0, KILLED),
	T(RESOLVER, bind, -1, 0, 0, 0, 0, KILLED),
	T(RESOLVER, listen, -1, 0, 0, 0, 0, KILLED),
	T(RESOLVER, sendto, -1, 0, 0, MSG_NOSIGNAL, 0, ANSWERED),
	T(RESOLVER, sendto, -1, 0, 0, MSG_FASTOPEN, 0, KILLED),
	T(RESOLVER, sendmmsg, -1, 0, 0, MSG_FASTOPEN, 0, KILLED),
	T(RESOLVER, sendmsg, -1, 0, MSG_FASTOPEN, 0, 0, KILLED),
	T(RESOLVER, ioctl, -1, FIONREAD, 0, 0, 0, ANSWERED),
	T(RESOLVER, ioctl, -1, TIOCSTI, 0, 0, 0, DENIED),
	T(RESOLVER, fcntl, 0, F_GETFL, 0, 0, 0, ANSWERED),
	T(RESOLVER, fcntl, 0, F_SETFL, 0, 0, 0, DENIED),
	T(RESOLVER, setsockopt, -1, IPPROTO_IP, IP_RECVERR, 0, 0, ANSWERED),
	T(RESOLVER, setsockopt, -1, SOL_SOCKET, SO_MARK, 0, 0, DENIED),
	T(RESOLVER, seccomp, SECCOMP_SET_MODE_FILTER, 0, 0, 0, 0, KILLED),

	T(LOGGER, write, -1, 0, 0, 0, 0, ANSWERED),
	T(LOGGER, sendmsg, -1, 0, MSG_NOSIGNAL, 0, 0, ANSWERED),
	T(LOGGER, sendmsg, -1, 0, MSG_FASTOPEN, 0, 0, KILLED),
	T(LOGGER, newfstatat, AT_FDCWD, 0, 0, 0, 0, DENIED),
	T(LOGGER, openat, AT_FDCWD, 0, O_WRONLY | O_APPEND, 0, 0, KILLED),
	T(LOGGER, socket, AF_UNIX, SOCK_DGRAM, 0, 0, 0, KILLED),
	T(LOGGER, connect, -1, 0, 0, 0, 0, KILLED),
	T(LOGGER, setsockopt, -1, SOL_SOCKET, SO_LINGER, 0, 0, DENIED),
	T(LOGGER, mmap, 0, 4096, RW, ANON, -1, DENIED),
};

/* --- one call in one confined process --- */

static const enum role role_of[FILTER_COUNT] = {
	[FILTER_LOADING] = ROLE_RELAY, [FILTER_RELAY] = ROLE_RELAY,
	[FILTER_DIALER] = ROLE_DIALER, [FILTER_DIALER_UNIX] = ROLE_DIALER,
	[FILTER_RESOLVER] = ROLE_RESOLVER, [FILTER_LOGGER] = ROLE_LOGGER,
};

static struct child
child_of(enum filter f)
{
	struct child c = { .role = role_of[f], .gen = 1, .workers = 1,
		.worker = 1,	/* not 0: the log says nothing */
		.unix_remotes = f == FILTER_DIALER_UNIX };

	if (geteuid() == 0) {
		c.privileged = true;
		c.uid = c.gid = 65534;
		c.jail = jail;
	}
	return (c);
}

_Noreturn static void
confined(enum filter f, long nr, const uint64_t arg[6])
{
	struct child c = child_of(f);
	long	     n;

	alarm(SECONDS);
	confine_enter(&c);
	if (f == FILTER_RELAY)
		confine_tighten();
	shared->trying = 1;
#ifdef __x86_64__
	if (nr == -1) {		/* getpid of the 32-bit kernel */
		__asm__ volatile("int $0x80" : "=a"(n) : "0"(20L) : "memory");
		nr = 0;
	} else
#endif
		n = syscall(nr, arg[0], arg[1], arg[2], arg[3], arg[4],
		    arg[5]);
	shared->error = n == -1 ? errno : 0;
	shared->done = 1;
	_exit(0);
}

/*
 * uretprobe and uprobe of x86-64 belong to trampolines that the kernel makes:
 * it shows them to no filter, and turns others away that call them.
 */
static bool
turned_away(long nr, int status)
{
#ifdef __x86_64__
	return ((nr == 335 || nr == 336) &&
	    ((WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) ||
	    (shared->done && shared->error == ENXIO)));
#else
	(void)nr;
	(void)status;
	return (false);
#endif
}

static enum seen
result(long nr, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return (KILLED);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return (HUNG);
#ifdef SALLYPORT_TRAP
	if (WIFEXITED(status) && WEXITSTATUS(status) == TRAP_STATUS)
		return (KILLED);
#endif
	if (!shared->trying)
		return (SETUP);
	if (turned_away(nr, status))
		return (DENIED);
	if (!shared->done)	/* exit, or a crash in rt_sigreturn */
		return (ANSWERED);
	if (shared->error == ENOSYS)
		return (DENIED);
	return (shared->error == EAFNOSUPPORT ? REFUSED : ANSWERED);
}

/* confine_prepare() has been called for this filter. */
static enum seen
try_call(enum filter f, long nr, const uint64_t arg[6])
{
	pid_t pid;
	int   status;

	memset(shared, 0, sizeof(*shared));
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0)
		confined(f, nr, arg);
	if (waitpid(pid, &status, 0) != pid)
		tap_die("waitpid");
	return (result(nr, status));
}

/* The trap build catches what would be denied just as what would kill. */
static bool
agree(enum seen seen, enum seen want)
{
#ifdef SALLYPORT_TRAP
	if (want == DENIED)
		return (seen == KILLED || seen == DENIED);
#endif
	return (seen == want);
}

/* --- what the tables say --- */

static bool
holds(const struct filter_cond *cond, const uint64_t arg[6])
{
	uint64_t v = arg[cond->cmp.arg];

	switch (cond->cmp.op) {
	case SCMP_CMP_EQ:
		return (v == cond->cmp.datum_a);
	case SCMP_CMP_NE:
		return (v != cond->cmp.datum_a);
	case SCMP_CMP_GT:
		return (v > cond->cmp.datum_a);
	case SCMP_CMP_MASKED_EQ:
		return ((v & cond->cmp.datum_a) == cond->cmp.datum_b);
	default:
		printf("# unknown comparison\n");
		exit(2);
	}
}

static bool
applies(const struct filter_rule *rule, long nr, const uint64_t arg[6])
{
	if (rule->nr != nr)
		return (false);
	for (int i = 0; i < FILTER_CONDS && rule->cond[i].text != NULL; i++)
		if (!holds(&rule->cond[i], arg))
			return (false);
	return (true);
}

static enum seen
expected(enum filter f, long nr, const uint64_t arg[6])
{
	const struct filter_rule *rules[FILTER_RULES];
	size_t			  n = filter_rules(f, rules);
	enum seen		  want = DENIED;

	for (size_t i = 0; i < n; i++) {
		if (!applies(rules[i], nr, arg))
			continue;
		if (rules[i]->action == FILTER_KILL)
			return (KILLED);
		want = rules[i]->action == FILTER_ALLOW ? ANSWERED :
		    rules[i]->error == ENOSYS ? DENIED : REFUSED;
	}
	return (want);
}

/* --- the sweep --- */

struct sweep {
	enum filter f;
	unsigned    tries, wrong;
	bool	    answered[CALLS], killed[CALLS];
};

static const char *
call_name(long nr)
{
	static char name[64];
	char	   *found = seccomp_syscall_resolve_num_arch(
	    SCMP_ARCH_NATIVE, (int)nr);

	snprintf(name, sizeof(name), "%s (%ld)",
	    found != NULL ? found : "unknown", nr);
	free(found);
	return (name);
}

static void
sweep_try(struct sweep *s, long nr, const uint64_t arg[6], const char *how)
{
	enum seen want = expected(s->f, nr, arg), seen;

	seen = try_call(s->f, nr, arg);
	s->tries++;
	if (seen == ANSWERED || seen == REFUSED)
		s->answered[nr] = true;
	if (seen == KILLED)
		s->killed[nr] = true;
	if (agree(seen, want))
		return;
	s->wrong++;
	printf("# %s: %s with %s: %s, expected: %s\n", filter_title(s->f),
	    call_name(nr), how, seen_text[seen], seen_text[want]);
}

/* Each call with zeros and with all bits, but where that would wait. */
static void
sweep_all(struct sweep *s)
{
	static struct timespec none;
	uint64_t	       zero[6], ones[6];

	for (long nr = 0; nr < CALLS; nr++) {
		memset(zero, 0, sizeof(zero));
		memset(ones, 0xff, sizeof(ones));
		if (nr == SYS_ppoll)
			zero[2] = (uintptr_t)&none;
		if (nr == SYS_futex)
			ones[1] = 0;	/* the kernel knows no such one */
		sweep_try(s, nr, zero, "zeros");
		sweep_try(s, nr, ones, "ones");
	}
}

/* Each call that is allowed, in each way that it is. */
static void
sweep_allowed(struct sweep *s)
{
	const struct filter_rule *rules[FILTER_RULES];
	size_t			  n = filter_rules(s->f, rules);

	for (size_t i = 0; i < n; i++) {
		uint64_t arg[6] = { 0 };

		if (rules[i]->action == FILTER_KILL ||
		    rules[i]->cond[0].text == NULL)
			continue;
		for (int k = 0; k < FILTER_CONDS &&
		    rules[i]->cond[k].text != NULL; k++)
			arg[rules[i]->cond[k].cmp.arg] =
			    rules[i]->cond[k].cmp.op == SCMP_CMP_EQ ?
			    rules[i]->cond[k].cmp.datum_a :
			    rules[i]->cond[k].cmp.datum_b;
		sweep_try(s, rules[i]->nr, arg, "its conditions");
	}
}

/* Marks the calls of a list; names that this machine lacks are left out. */
static unsigned
read_names(const char *text, bool named[CALLS])
{
	char	*copy = strdup(text), *rest = copy, *name;
	unsigned n = 0;
	int	 nr;

	memset(named, 0, CALLS * sizeof(bool));
	while ((name = strsep(&rest, " ")) != NULL) {
		nr = seccomp_syscall_resolve_name(name);
		if (nr == __NR_SCMP_ERROR) {
			printf("# no such call: %s\n", name);
			exit(2);
		}
		if (nr >= 0 && nr < CALLS) {
			named[nr] = true;
			n++;
		}
	}
	free(copy);
	return (n);
}

static void
compare_lists(const struct sweep *s)
{
	bool	 named[CALLS];
	unsigned n, wrong = 0;

	n = read_names(answering[s->f], named);
	for (long nr = 0; nr < CALLS; nr++)
		if (named[nr] != s->answered[nr]) {
			printf("# %s: %s %s\n", filter_title(s->f),
			    call_name(nr), s->answered[nr] ?
			    "answers and is not in the list" :
			    "does not answer");
			wrong++;
		}
	tap(wrong == 0, "%s: %u calls answer, those of the list",
	    filter_title(s->f), n);
	wrong = 0;
	n = read_names(killing, named);
	for (long nr = 0; nr < CALLS; nr++)
		if (named[nr] && !s->killed[nr]) {
			printf("# %s: %s did not kill\n", filter_title(s->f),
			    call_name(nr));
			wrong++;
		}
	tap(wrong == 0, "%s: %u calls kill, at least with some arguments",
	    filter_title(s->f), n);
	if (s->f == FILTER_RELAY) {
		n = read_names(answering[s->f], named);
		tap(n <= 20, "%s: not more than 20 calls",
		    filter_title(s->f));
	}
}

static void
test_sweep(enum filter f)
{
	struct sweep s = { .f = f };

	sweep_all(&s);
	sweep_allowed(&s);
	tap(s.wrong == 0, "%s: %u tries, each as the table says",
	    filter_title(f), s.tries);
	compare_lists(&s);
}

/* --- arguments, other architectures, the kernel's cache --- */

static void
test_arguments(enum filter f)
{
	enum seen seen;
	int	  nr;

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		if (tries[i].filter != f)
			continue;
		nr = seccomp_syscall_resolve_name(tries[i].call);
		if (nr < 0)
			continue;
		seen = try_call(f, nr, tries[i].arg);
		tap(agree(seen, tries[i].want), "%s: %s(%s): %s",
		    filter_title(f), tries[i].call, tries[i].text,
		    seen_text[seen]);
	}
}

#ifdef __x86_64__
static void
test_architectures(enum filter f)
{
	static const int calls[] = { 0, 1, 3, 9, 41, 42, 59, 60, 231, 512,
		513, 520, 547 };
	const uint64_t	 arg[6] = { 0 };
	unsigned	 wrong = 0;
	enum seen	 seen;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (try_call(f, X32 | calls[i], arg) != KILLED)
			wrong++;
	tap(wrong == 0, "%s: x32 kills", filter_title(f));
	/* a kernel without 32-bit calls ends the process all the same */
	seen = try_call(f, -1, arg);
	tap(seen == KILLED || (seen == ANSWERED && !shared->done),
	    "%s: int 0x80 kills", filter_title(f));
}
#endif

/*
 * Runs the filter as the kernel does when it is loaded, with the number of
 * the call known and nothing else: does it say ALLOW for any arguments?
 */
static bool
always_allowed(const struct sock_fprog *prog, uint32_t nr)
{
	uint32_t a = 0;
	bool	 jump;

	for (unsigned pc = 0; pc < prog->len; pc++) {
		const struct sock_filter *i = &prog->filter[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k == offsetof(struct seccomp_data, nr))
				a = nr;
			else if (i->k == offsetof(struct seccomp_data, arch))
				a = seccomp_arch_native();
			else
				return (false);
			continue;
		case BPF_RET | BPF_K:
			return (i->k == SECCOMP_RET_ALLOW);
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			jump = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			jump = a >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			jump = a > i->k;
			break;
		default:
			return (false);
		}
		pc += jump ? i->jt : i->jf;
	}
	return (false);
}

static void
test_hot(enum filter f)
{
	struct sock_fprog prog = filter_compile(f, 0);
	bool		  named[CALLS];
	unsigned	  n = read_names(hot, named), wrong = 0;

	for (uint32_t nr = 0; nr < CALLS; nr++)
		if (named[nr] && !always_allowed(&prog, nr)) {
			printf("# %s: %s\n", filter_title(f), call_name(nr));
			wrong++;
		}
	tap(wrong == 0 && !always_allowed(&prog, SYS_sendmsg),
	    "%s: the kernel answers %u hot calls without the filter",
	    filter_title(f), n);
}

#ifdef SALLYPORT_TRAP
/* The line that the handler writes, for someone who looks for a call. */
static void
test_trap_line(void)
{
	const uint64_t	arg[6] = { 0 };
	char		line[512] = "";
	int		fd[2];
	pid_t		pid;

	if (pipe(fd) == -1 || (pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		log_socket = -1;
		confined(FILTER_LOGGER, SYS_getcwd, arg);
	}
	close(fd[1]);
	if (read(fd[0], line, sizeof(line) - 1) == -1)
		tap_die("read");
	close(fd[0]);
	waitpid(pid, NULL, 0);
	tap(strstr(line, "logger") != NULL && strstr(line, "getcwd") != NULL,
	    "a trapped call is named in the log");
}
#endif

static void
run_all(void)
{
	for (enum filter f = 0; f < FILTER_COUNT; f++) {
		struct child c = child_of(f);

		confine_prepare(&c);
		test_sweep(f);
		test_arguments(f);
#ifdef __x86_64__
		test_architectures(f);
#endif
	}
#ifdef SALLYPORT_TRAP
	test_trap_line();
#endif
	test_hot(FILTER_LOADING);
	test_hot(FILTER_RELAY);
}

int
main(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	shared = tap_shared(sizeof(*shared));
	if (mkdtemp(jail) == NULL || chmod(jail, 0755) == -1 || null == -1)
		tap_die(jail);
	dup2(null, STDIN_FILENO);
#ifdef SALLYPORT_TRAP
	log_socket = null;		/* each denied call has its line */
#endif
	if (SANDBOX)
		run_all();
	else
		tap_skip("this build has no sandbox");
	rmdir(jail);
	return (tap_end());
}
