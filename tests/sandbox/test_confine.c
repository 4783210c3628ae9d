/*
 * The steps of the sandbox but for the calls (see test_calls.c): identity,
 * capabilities, jail, limits, as the kernel shows them in /proc; what must
 * make a program refuse to go on; Landlock by itself; and that the confined
 * resolver can look up names.  What needs root is skipped without it.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "../../common/confine.h"
#include "../../common/landlock.h"
#include "../../common/log.h"
#include "../../common/trap.h"
#include "tap.h"

#define SECONDS		30	/* a child that takes longer hangs */
#define NOBODY		65534
#define OTHER		65533

static char dir[] = "/tmp/sallyport-test-XXXXXX";
static char jail[64], text[4096];

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_LOGGER] = "logger", [ROLE_RELAY] = "relay",
	[ROLE_DIALER] = "dialer", [ROLE_RESOLVER] = "resolver",
	[ROLE_LOOKUP] = "look-up"
};

static struct child
child_of(enum role role, bool privileged)
{
	return ((struct child){ .role = role, .gen = 1, .workers = 1,
		.worker = 1, .privileged = privileged, .uid = NOBODY,
		.gid = NOBODY, .jail = privileged ? jail : NULL });
}

/* What P leaves of root, some groups, and no_new_privs set already. */
static void
like_parent(void)
{
	const gid_t groups[] = { 0, OTHER };

	if (setgroups(2, groups) == -1)
		_exit(99);
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED |
	    CAPNG_BOUNDING_SET, CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID,
	    CAP_SYS_CHROOT, CAP_KILL, CAP_SETPCAP, -1) == -1 ||
	    capng_apply(CAPNG_SELECT_BOTH) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		_exit(99);
}

/* The same of another user, who has them as ambient ones, but for `without'
   (-1: all); then nothing but an exec would follow. */
static void
like_ambient_parent(int without)
{
	static const int caps[] = { CAP_NET_BIND_SERVICE, CAP_SETUID,
		CAP_SETGID, CAP_SYS_CHROOT, CAP_KILL, CAP_SETPCAP };

	like_parent();
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1 ||
	    setresgid(OTHER, OTHER, OTHER) == -1 ||
	    setresuid(OTHER, OTHER, OTHER) == -1 ||
	    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == -1)
		_exit(99);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		if (caps[i] != without && capng_update(CAPNG_ADD,
		    CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
		    CAPNG_AMBIENT, (unsigned)caps[i]) == -1)
			_exit(99);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) != 0 ||
	    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		_exit(99);
}

/* Someone else, if this is root, and as dumpable as after exec. */
static void
not_root(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) == -1 ||
	    setresgid(OTHER, OTHER, OTHER) == -1 ||
	    setresuid(OTHER, OTHER, OTHER) == -1))
		_exit(99);
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		_exit(99);
}

/* How P was started. */
enum start { AS_USER, AS_ROOT, AS_AMBIENT, AMBIENT_BUT_SETPCAP,
	AMBIENT_BUT_CHROOT, AMBIENT_BUT_SETUID };

static void
like(enum start start)
{
	static const int without[] = { [AS_AMBIENT] = -1,
		[AMBIENT_BUT_SETPCAP] = CAP_SETPCAP,
		[AMBIENT_BUT_CHROOT] = CAP_SYS_CHROOT,
		[AMBIENT_BUT_SETUID] = CAP_SETUID };

	if (start >= AS_AMBIENT)
		like_ambient_parent(without[start]);
	else if (start == AS_ROOT)
		like_parent();
	else
		not_root();
}

/* --- what the kernel shows of a confined process --- */

static int waiter = -1;		/* our end of the child's socket pair */

/*
 * Starts a child that confines itself, says so by a byte and then waits to
 * be killed; returns 0 if it didn't come so far.
 */
static pid_t
start_confined(enum role role, enum start start, bool tight)
{
	struct child c = child_of(role, start != AS_USER);
	struct iovec iov = { text, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int	     pair[2];
	pid_t	     pid;
	char	     byte;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == -1 ||
	    (pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		alarm(SECONDS);
		close(pair[0]);
		like(start);
		confine_prepare(&c);
		confine_enter(&c);
		if (tight)
			confine_tighten();
		send(pair[1], text, 1, 0);
		recvmsg(pair[1], &msg, 0);
		_exit(0);
	}
	close(pair[1]);
	waiter = pair[0];
	if (recv(waiter, &byte, 1, 0) == 1)
		return (pid);
	close(waiter);
	waitpid(pid, NULL, 0);
	return (0);
}

static void
end_confined(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(waiter);
}

static void
read_proc(pid_t pid, const char *name)
{
	char	path[64];
	ssize_t n;
	int	fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	text[0] = '\0';
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Is this line in the text, whatever blanks it has? */
static bool
has_line(const char *want)
{
	char line[256], *o;

	for (const char *p = text; *p != '\0'; p += *p == '\n') {
		o = line;
		for (; *p != '\0' && *p != '\n'; p++)
			if (o < line + sizeof(line) - 1 && (*p != ' ' &&
			    *p != '\t' ? true : o > line && o[-1] != ' '))
				*o++ = *p == '\t' ? ' ' : *p;
		while (o > line && o[-1] == ' ')
			o--;
		*o = '\0';
		if (strcmp(line, want) == 0)
			return (true);
	}
	return (false);
}

static void
test_status(pid_t pid, const char *name, bool dropped, unsigned filters)
{
	static const char *const always[] = {
		"CapInh: 0000000000000000", "CapPrm: 0000000000000000",
		"CapEff: 0000000000000000", "CapAmb: 0000000000000000",
		"NoNewPrivs: 1", "Seccomp: 2"
	};
	static const char *const if_dropped[] = {
		"Uid: 65534 65534 65534 65534",
		"Gid: 65534 65534 65534 65534", "Groups:",
		"CapBnd: 0000000000000000"
	};
	char		line[64];

	read_proc(pid, "status");
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		tap(has_line(always[i]), "%s: %s", name, always[i]);
	for (size_t i = 0; dropped && i < sizeof(if_dropped) /
	    sizeof(if_dropped[0]); i++)
		tap(has_line(if_dropped[i]), "%s: %s", name, if_dropped[i]);
	snprintf(line, sizeof(line), "Seccomp_filters: %u", filters);
	tap(has_line(line), "%s: %s", name, line);
	read_proc(pid, "limits");
	tap(has_line("Max processes 0 0 processes"), "%s: no new processes",
	    name);
}

/* Files of a process that is not dumpable belong to root. */
static void
test_proc(pid_t pid, const char *name, const char *root_is)
{
	char	    path[64], link[128];
	struct stat st;
	ssize_t	    n;

	if (geteuid() != 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	tap(stat(path, &st) == 0 && st.st_uid == 0, "%s: not dumpable", name);
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	tap(strcmp(link, root_is) == 0, "%s: root directory %s", name, link);
	snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = '\0';
	tap(strcmp(root_is, "/") == 0 || strcmp(link, root_is) == 0,
	    "%s: working directory %s", name, link);
}

static void
test_identity(enum start start)
{
	static const char *const starts[] = { "without root", "as root",
		"with ambient capabilities" };
	bool  dropped = start != AS_USER;
	char  name[64];
	bool  jailed;
	pid_t pid;

	for (enum role role = ROLE_LOGGER; role < ROLE_COUNT; role++) {
		snprintf(name, sizeof(name), "%s %s", role_names[role],
		    starts[start]);
		jailed = dropped && role != ROLE_RESOLVER &&
		    role != ROLE_LOOKUP;
		pid = start_confined(role, start, role == ROLE_RELAY);
		if (!tap(pid != 0, "%s: confined", name))
			continue;
		test_status(pid, name, dropped, role == ROLE_RELAY ? 2 : 1);
		test_proc(pid, name, jailed ? jail : "/");
		end_confined(pid);
	}
}

/* --- what must be refused --- */

/* Runs confine_prepare() and confine_enter(); they must say `why'. */
static void
refused(const struct child *c, enum start start, const char *why,
    const char *name)
{
	int	pair[2], status;
	ssize_t n;
	pid_t	pid;

	if (pipe(pair) == -1 || (pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		alarm(SECONDS);
		dup2(pair[1], STDERR_FILENO);
		close(pair[0]);
		close(pair[1]);
		if (start != AS_ROOT)	/* it may be all of root */
			like(start);
		confine_prepare(c);
		confine_enter(c);
		_exit(0);
	}
	close(pair[1]);
	n = read(pair[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(pair[0]);
	waitpid(pid, &status, 0);
	text[strcspn(text, "\n")] = '\0';
	tap(WIFEXITED(status) && WEXITSTATUS(status) == 1 &&
	    strstr(text, why) != NULL, "refused: %s (%s)", name, text);
}

static const char *
path_in(const char *name)
{
	static char path[4][sizeof(dir) + 256];
	static int  i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return (path[i]);
}

static const char *
make_jail(const char *name, mode_t mode, uid_t owner)
{
	const char *path = path_in(name);

	if (mkdir(path, 0700) == -1 || chown(path, owner, 0) == -1 ||
	    chmod(path, mode) == -1)
		tap_die(path);
	return (path);
}

static void
refused_jail(const char *path, const char *why, const char *name)
{
	struct child c = child_of(ROLE_RELAY, true);

	c.jail = path;
	refused(&c, AS_ROOT, why, name);
}

static void
test_jails(void)
{
	pid_t pid;

	refused_jail(make_jail("group", 0775, 0), "writable",
	    "jail writable by its group");
	refused_jail(make_jail("others", 0757, 0), "writable",
	    "jail writable by others");
	refused_jail(make_jail("sticky", 01777, 0), "writable",
	    "jail that is like /tmp");
	refused_jail(make_jail("owned", 0755, OTHER), "belong",
	    "jail of another user");
	refused_jail(make_jail("mine", 0755, NOBODY), "belong",
	    "jail of the user to change to");
	if (symlink(jail, path_in("link")) == -1)
		tap_die("symlink");
	refused_jail(path_in("link"), "Not a directory", "jail that is a link");
	close(open(path_in("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	refused_jail(path_in("file"), "Not a directory", "jail that is a file");
	refused_jail(path_in("none"), "No such file", "jail that is not there");
	refused_jail(NULL, "no jail", "no jail given");
	if (chmod(jail, 0555) == -1)
		tap_die(jail);
	pid = start_confined(ROLE_RELAY, AS_ROOT, true);
	if (tap(pid != 0, "a jail of mode 555 is taken"))
		end_confined(pid);
}

static void
test_identities(void)
{
	struct child c = child_of(ROLE_RELAY, true);

	c.uid = 0;
	refused(&c, AS_ROOT, "no identity", "user 0");
	c.uid = (uid_t)-1;
	refused(&c, AS_ROOT, "no identity", "user -1");
	c.uid = NOBODY;
	c.gid = (gid_t)-1;
	refused(&c, AS_ROOT, "no identity", "group -1");
	c = child_of(ROLE_RELAY, false);
	refused(&c, AS_ROOT, "nobody to change to", "root that stays root");
	c = child_of(ROLE_RELAY, true);
	refused(&c, AS_USER, "jail", "a drop without the rights for it");
	c.role = ROLE_RESOLVER;
	refused(&c, AS_USER, "setgroups",
	    "a resolver's drop without the rights for it");
}

/* Of a parent that is not root, but for a few capabilities. */
static void
test_ambient(void)
{
	struct child c = child_of(ROLE_RELAY, true);

	c.jail = make_jail("closed", 0700, 0);
	refused(&c, AS_AMBIENT, "Permission denied",
	    "jail that the parent's user can't enter");
	c.jail = make_jail("parents", 0755, OTHER);
	refused(&c, AS_AMBIENT, "belong", "jail of the parent's user");
	c.jail = jail;
	c.uid = OTHER;
	refused(&c, AS_AMBIENT, "no identity", "the parent's user");
	c.uid = NOBODY;
	refused(&c, AMBIENT_BUT_CHROOT, "jail", "no CAP_SYS_CHROOT");
	refused(&c, AMBIENT_BUT_SETPCAP, "bounding set", "no CAP_SETPCAP");
	refused(&c, AMBIENT_BUT_SETUID, "setresuid", "no CAP_SETUID");
}

/* --- Landlock by itself --- */

/* Runs `look' with the role's Landlock rules; it fills in the results. */
struct result {
	int  error[16];
	bool done;
};
static struct result *result;

static int
error_of(long n)
{
	int error = n == -1 ? errno : 0;

	if (n > 2)
		close((int)n);
	return (error);
}

static int
tcp(bool connects, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int		   fd, error;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	error = error_of(connects ?
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)) :
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)));
	close(fd);
	return (error);
}

static struct sockaddr_un abstract = { .sun_family = AF_UNIX };

static int
abstract_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	error = error_of(connect(fd, (struct sockaddr *)&abstract,
	    sizeof(abstract)));
	close(fd);
	return (error);
}

static int
listen_abstract(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(abstract.sun_path + 1, sizeof(abstract.sun_path) - 1,
	    "sallyport-test-%d", (int)getpid());
	if (fd == -1 || bind(fd, (struct sockaddr *)&abstract,
	    sizeof(abstract)) == -1 || listen(fd, 16) == -1)
		tap_die("abstract socket");
	return (fd);
}

enum {
	AT_HOSTS, AT_LIB, AT_ETC, AT_PROC, AT_ROOT, AT_WRITE, AT_MKDIR,
	AT_CONNECT_53, AT_CONNECT_54, AT_BIND, AT_SIGNAL, AT_ABSTRACT
};

static void
look(void)
{
	int *error = result->error;

	error[AT_HOSTS] = error_of(open("/etc/hosts", O_RDONLY));
	error[AT_LIB] = error_of(open("/usr/lib/os-release", O_RDONLY));
	error[AT_ETC] = error_of(open("/etc", O_RDONLY | O_DIRECTORY));
	error[AT_PROC] = error_of(open("/proc/self/stat", O_RDONLY));
	error[AT_ROOT] = error_of(open("/", O_RDONLY | O_DIRECTORY));
	error[AT_WRITE] = error_of(open("/etc/hosts", O_WRONLY));
	error[AT_MKDIR] = error_of(mkdir(path_in("made"), 0700));
	error[AT_CONNECT_53] = tcp(true, 53);
	error[AT_CONNECT_54] = tcp(true, 54);
	error[AT_BIND] = tcp(false, 0);
	error[AT_SIGNAL] = error_of(kill(getppid(), 0));
	error[AT_ABSTRACT] = abstract_connect();
}

static bool
run_landlocked(enum role role, void (*what)(void))
{
	pid_t pid;

	memset(result, 0, sizeof(*result));
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		alarm(SECONDS);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
			_exit(99);
		landlock_enter(role);
		what();
		result->done = true;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return (result->done);
}

static void
test_landlock_files(enum role role)
{
	const char *name = role_names[role];
	const int  *error = result->error;
	bool	    reads = role == ROLE_RESOLVER || role == ROLE_LOOKUP;

	if (reads)
		tap(error[AT_HOSTS] == 0 && error[AT_LIB] != EACCES,
		    "Landlock, %s: reads its files", name);
	else
		tap(error[AT_HOSTS] == EACCES && error[AT_LIB] == EACCES,
		    "Landlock, %s: reads no file", name);
	tap(error[AT_ETC] == EACCES && error[AT_ROOT] == EACCES,
	    "Landlock, %s: lists no directory", name);
	tap(error[AT_PROC] == EACCES, "Landlock, %s: no /proc", name);
	tap(error[AT_WRITE] == EACCES && error[AT_MKDIR] == EACCES,
	    "Landlock, %s: writes nothing", name);
}

static void
test_landlock_rest(enum role role)
{
	const char *name = role_names[role];
	const int  *error = result->error;
	bool	    dns = role == ROLE_RESOLVER || role == ROLE_LOOKUP;
	bool	    all = role == ROLE_DIALER;

	if (landlock_abi() >= LANDLOCK_ABI_NET) {
		tap((error[AT_CONNECT_53] != EACCES) == (dns || all),
		    "Landlock, %s: connect to port 53", name);
		tap((error[AT_CONNECT_54] != EACCES) == all,
		    "Landlock, %s: connect to port 54", name);
		tap((error[AT_BIND] != EACCES) == all,
		    "Landlock, %s: bind", name);
	}
	if (landlock_abi() >= LANDLOCK_ABI_SCOPE) {
		tap(error[AT_SIGNAL] == EPERM, "Landlock, %s: no signals",
		    name);
		tap(error[AT_ABSTRACT] == EPERM,
		    "Landlock, %s: no abstract sockets", name);
	}
}

/* The real steps as far as the filter, which would hide Landlock. */
static void
test_landlock_entered(enum role role, bool root)
{
	struct child c = child_of(role, root);
	pid_t	     pid;

	memset(result, 0, sizeof(*result));
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		alarm(SECONDS);
		confine_prepare(&c);
		confine_drop(&c);
		result->error[0] = error_of(open("/", O_RDONLY | O_DIRECTORY));
		result->done = true;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	tap(result->done && result->error[0] == EACCES,
	    "Landlock, %s: it is one of the steps", role_names[role]);
}

static uint16_t some_ports[] = { 53, 8080, 53, 443 };

static void
look_at_ports(void)
{
	landlock_ports(some_ports, 4, false);
	result->error[0] = tcp(true, 53);
	result->error[1] = tcp(true, 443);
	result->error[2] = tcp(true, 54);
	result->error[3] = tcp(false, 0);
}

static void
look_at_source(void)
{
	landlock_ports(some_ports, 4, true);
	result->error[0] = tcp(false, 0);
	result->error[1] = tcp(false, 20000);
}

static void
test_landlock(bool root)
{
	int fd = listen_abstract();

	for (enum role role = ROLE_LOGGER; role < ROLE_COUNT; role++) {
		if (!tap(run_landlocked(role, look), "Landlock, %s: entered",
		    role_names[role]))
			continue;
		test_landlock_files(role);
		test_landlock_rest(role);
		test_landlock_entered(role, root);
	}
	close(fd);
	if (landlock_abi() < LANDLOCK_ABI_NET)
		return;
	run_landlocked(ROLE_DIALER, look_at_ports);
	tap(result->done && result->error[0] != EACCES &&
	    result->error[1] != EACCES, "sealed dialer: its ports");
	tap(result->error[2] == EACCES, "sealed dialer: no other port");
	tap(result->error[3] == EACCES, "sealed dialer: no bind");
	run_landlocked(ROLE_DIALER, look_at_source);
	tap(result->done && result->error[0] == 0,
	    "sealed dialer with a source address: bind to port 0");
	tap(result->error[1] == EACCES,
	    "sealed dialer with a source address: bind to no other port");
}

/* --- programs that go on working --- */

/* The dialer's Landlock layer after its filter. */
static void
test_dialer(bool root)
{
	struct child c = child_of(ROLE_DIALER, root);
	pid_t	     pid;
	int	     fd, status;

	memset(result, 0, sizeof(*result));
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		struct sockaddr_in sin = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		alarm(SECONDS);
		confine_prepare(&c);
		confine_enter(&c);
		confine_ports(some_ports, 4, true);
		for (int i = 0; i < 2; i++) {
			sin.sin_port = htons(i == 0 ? 443 : 54);
			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC,
			    IPPROTO_TCP);
			result->error[i] = error_of(connect(fd,
			    (struct sockaddr *)&sin, sizeof(sin)));
			close(fd);
		}
		result->done = true;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	tap(result->done && result->error[0] != EACCES,
	    "confined dialer: connects to a port of its table");
	tap(landlock_abi() < LANDLOCK_ABI_NET || result->error[1] == EACCES,
	    "confined dialer: to no other");
}

/* A unix socket's listener at a path that no jail has. */
static int
listen_at(struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/socket", dir);
	if (fd == -1 || bind(fd, (struct sockaddr *)sun, sizeof(*sun)) == -1 ||
	    chmod(sun->sun_path, 0666) == -1 || chmod(dir, 0755) == -1 ||
	    listen(fd, 16) == -1)
		tap_die("unix socket");
	return (fd);
}

static int
connect_to(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return (error_of(connect(fd, (const struct sockaddr *)sun,
	    sizeof(*sun))));
}

/* One with unix remotes finds them by path, and can do no more there. */
static void
test_dialer_unix(bool root)
{
	struct child	   c = child_of(ROLE_DIALER, root);
	struct sockaddr_un sun, secret;
	int		   fd = listen_at(&sun), fd2 = listen_abstract();
	pid_t		   pid;

	memset(result, 0, sizeof(*result));
	c.unix_remotes = true;
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		struct sockaddr_in sin = { .sin_family = AF_INET,
			.sin_port = htons(443),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		alarm(SECONDS);
		secret = sun;
		confine_prepare(&c);
		confine_enter(&c);
		confine_ports(some_ports, 0, false);
		result->error[0] = connect_to(&sun);
		strcat(secret.sun_path, "x");
		result->error[1] = connect_to(&secret);
		result->error[2] = connect_to(&abstract);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
		result->error[3] = error_of(connect(fd,
		    (struct sockaddr *)&sin, sizeof(sin)));
		result->done = true;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	tap(result->done && result->error[0] == 0,
	    "dialer with unix remotes: connects to one (%d)",
	    result->error[0]);
	tap(result->error[1] == ENOENT,
	    "dialer with unix remotes: one that is not there");
	tap(landlock_abi() < LANDLOCK_ABI_SCOPE || result->error[2] == EPERM,
	    "dialer with unix remotes: no abstract ones");
	tap(landlock_abi() < LANDLOCK_ABI_NET || result->error[3] == EACCES,
	    "dialer with no others: no TCP port");
	unlink(sun.sun_path);
	close(fd);
	close(fd2);
}

static pthread_barrier_t sealed;

/* Loads the modules of the libc, within the filter. */
static void *
resolve(void *unused)
{
	static const char *const names[] = { "localhost", "127.0.0.1",
		"fe80::1%lo", "name.invalid" };
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;

	pthread_barrier_wait(&sealed);
	for (int i = 0; i < 4; i++)
		if ((result->error[i] = getaddrinfo(names[i], NULL, &hints,
		    &list)) == 0)
			freeaddrinfo(list);
	result->done = true;
	return (unused);
}

static void
test_resolver(bool root)
{
	struct child c = child_of(ROLE_RESOLVER, root);
	pthread_t    thread;
	pid_t	     pid;
	int	     status;

	memset(result, 0, sizeof(*result));
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		alarm(SECONDS);
		pthread_barrier_init(&sealed, NULL, 2);
		confine_prepare(&c);
		confine_drop(&c);
		if (pthread_create(&thread, NULL, resolve, NULL) != 0)
			_exit(99);
		confine_seal(&c);
		pthread_barrier_wait(&sealed);
		pthread_join(thread, NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	tap(WIFEXITED(status) && WEXITSTATUS(status) == 0 && result->done,
	    "confined resolver: threads end as they should (%d)", status);
	tap(result->error[0] == 0, "confined resolver: localhost");
	tap(result->error[1] == 0, "confined resolver: an address");
	tap(result->error[2] == 0, "confined resolver: address%%interface");
	tap(result->error[3] != 0, "confined resolver: no such name: %s",
	    gai_strerror(result->error[3]));
}

/* A thread that was there before the filter has it, too. */
static void *
call_getppid(void *unused)
{
	pthread_barrier_wait(&sealed);
	result->error[0] = error_of(syscall(SYS_getppid));
	result->done = true;
	return (unused);
}

static void
test_threads(bool root)
{
	struct child c = child_of(ROLE_RESOLVER, root);
	pthread_t    thread;
	pid_t	     pid;
	int	     status;

	memset(result, 0, sizeof(*result));
	if ((pid = fork()) == -1)
		tap_die("fork");
	if (pid == 0) {
		alarm(SECONDS);
		pthread_barrier_init(&sealed, NULL, 2);
		confine_prepare(&c);
		confine_drop(&c);
		if (pthread_create(&thread, NULL, call_getppid, NULL) != 0)
			_exit(99);
		confine_seal(&c);
		pthread_barrier_wait(&sealed);
		pthread_join(thread, NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
#ifdef SALLYPORT_TRAP
	tap(WIFEXITED(status) && WEXITSTATUS(status) == TRAP_STATUS,
	    "the filter holds for threads, too");
#else
	tap(result->done && result->error[0] == ENOSYS,
	    "the filter holds for threads, too");
#endif
}

static void
run_all(bool root)
{
	if (root) {
		test_identity(AS_ROOT);
		test_identity(AS_AMBIENT);
		test_jails();
		test_identities();
		test_ambient();
	}
	test_identity(AS_USER);
	if (landlock_abi() >= LANDLOCK_ABI_FILES)
		test_landlock(root);
	test_dialer(root);
	test_dialer_unix(root);
	test_resolver(root);
	test_threads(root);
}

/* The build without sandbox does nothing for root. */
static void
run_none(bool root)
{
	struct child c = child_of(ROLE_RELAY, true);

	if (root)
		refused(&c, AS_ROOT, "no sandbox",
		    "root, by a build without sandbox");
	else
		tap_skip("this build has no sandbox");
}

static void
remove_all(void)
{
	struct dirent *e;
	DIR	      *d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && remove(path_in(e->d_name)) == -1)
			perror(e->d_name);
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

int
main(void)
{
	result = tap_shared(sizeof(*result));
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) == -1)
		tap_die(dir);
	snprintf(jail, sizeof(jail), "%s/jail", dir);
	if (mkdir(jail, 0755) == -1)
		tap_die(jail);
	if (SANDBOX)
		run_all(geteuid() == 0);
	else
		run_none(geteuid() == 0);
	remove_all();
	return (tap_end());
}
