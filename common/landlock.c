/*
 * Landlock by its three system calls; the constants are our own, as the
 * headers of the system may be older than its kernel.  Runs in the programs
 * under libexec, while their sandbox closes; touches the kernel only.
 */
#include "landlock.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fmt.h"
#include "log.h"

struct ruleset {		/* struct landlock_ruleset_attr */
	uint64_t fs, net, scoped;
};

struct path_rule {		/* struct landlock_path_beneath_attr */
	uint64_t allowed;
	int32_t	 fd;
} __attribute__((packed));

struct port_rule {		/* struct landlock_net_port_attr */
	uint64_t allowed;
	uint64_t port;
};

#define CREATE_VERSION	1u
#define RULE_PATH	1
#define RULE_PORT	2

#define FS_READ_FILE	(1ull << 2)
#define FS_ABI_1	((1ull << 13) - 1)
#define FS_REFER	(1ull << 13)	/* ABI 2 */
#define FS_TRUNCATE	(1ull << 14)	/* ABI 3 */
#define FS_IOCTL_DEV	(1ull << 15)	/* ABI 5 */
#define NET_BIND	(1ull << 0)	/* ABI 4 */
#define NET_CONNECT	(1ull << 1)
#define SCOPE_ABSTRACT	(1ull << 0)	/* ABI 6 */
#define SCOPE_SIGNAL	(1ull << 1)

#define RESOLV_CONF	"/etc/resolv.conf"

static const struct rules {
	bool	    nss;	/* may read what getaddrinfo(3) reads */
	bool	    later;	/* TCP: see landlock_ports() */
	uint16_t    port;	/* else: may connect to this port, if any */
} rules[ROLE_COUNT] = {
	[ROLE_DIALER] = { .later = true },
	[ROLE_RESOLVER] = { .nss = true, .port = 53 },
	[ROLE_LOOKUP] = { .nss = true, .port = 53 },
};

/*
 * What getaddrinfo(3) reads is below these, and below the directory that
 * resolv.conf really is in, when it is a link.  A directory, not the file: a
 * new file takes its place whenever the servers change.
 */
static const char *const nss_dirs[] = {
	"/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64", NULL
};

int
landlock_abi(void)
{
	static long abi = -1;

	if (abi != -1)		/* the filter would not let us ask again */
		return ((int)abi);
	abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
	    CREATE_VERSION);
	if (abi == -1 && errno != ENOSYS && errno != EOPNOTSUPP)
		fatal("Landlock");
	if (abi == -1)
		abi = 0;
	return ((int)abi);
}

/* The kernel takes no attributes that it doesn't know. */
static int
ruleset_create(const struct ruleset *r, int abi)
{
	size_t size = abi >= LANDLOCK_ABI_SCOPE ? sizeof(*r) :
	    abi >= LANDLOCK_ABI_NET ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	long   fd = syscall(SYS_landlock_create_ruleset, r, size, 0u);

	if (fd == -1)
		fatal("landlock_create_ruleset");
	return ((int)fd);
}

static void
ruleset_add(int set, int type, const void *rule)
{
	if (syscall(SYS_landlock_add_rule, set, type, rule, 0u) == -1)
		fatal("landlock_add_rule");
}

static void
ruleset_enter(int set)
{
	if (syscall(SYS_landlock_restrict_self, set, 0u) == -1)
		fatal("landlock_restrict_self");
	close(set);
}

static void
allow_reading(int set, const char *path)
{
	struct path_rule rule = { .allowed = FS_READ_FILE };

	rule.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.fd == -1 && (errno == ENOENT || errno == EACCES))
		return;
	if (rule.fd == -1)
		fatal("%s", path);
	ruleset_add(set, RULE_PATH, &rule);
	close(rule.fd);
}

static void
allow_resolv_conf(int set)
{
	char real[PATH_MAX], *slash;

	if (realpath(RESOLV_CONF, real) == NULL)
		return;		/* there is none, or not for this user */
	slash = strrchr(real, '/');
	if (slash == NULL || slash == real)
		return;
	*slash = '\0';
	allow_reading(set, real);
}

static void
allow_port(int set, uint64_t access, uint16_t port)
{
	struct port_rule rule = { .allowed = access, .port = port };

	ruleset_add(set, RULE_PORT, &rule);
}

static struct ruleset
ruleset_of(enum role role, int abi)
{
	struct ruleset r = { .fs = FS_ABI_1 };

	if (abi >= 2)
		r.fs |= FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= LANDLOCK_ABI_NET && !rules[role].later)
		r.net = NET_BIND | NET_CONNECT;
	if (abi >= LANDLOCK_ABI_SCOPE)
		r.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	return (r);
}

void
landlock_enter(enum role role)
{
	int	       abi = landlock_abi(), set, fd;
	struct ruleset r = ruleset_of(role, abi);

	if (abi < LANDLOCK_ABI_FILES)
		return;
	set = ruleset_create(&r, abi);
	for (size_t i = 0; rules[role].nss && nss_dirs[i] != NULL; i++)
		allow_reading(set, nss_dirs[i]);
	if (rules[role].nss)
		allow_resolv_conf(set);
	if (r.net != 0 && rules[role].port != 0)
		allow_port(set, NET_CONNECT, rules[role].port);
	ruleset_enter(set);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1 || errno != EACCES)
		fatalx("Landlock was entered but files can be opened");
}

void
landlock_ports(const uint16_t *ports, size_t n, bool bind)
{
	struct ruleset r = { .net = NET_BIND | NET_CONNECT };
	int	       abi = landlock_abi(), set;

	if (abi < LANDLOCK_ABI_NET)
		return;
	set = ruleset_create(&r, abi);
	for (size_t i = 0; i < n; i++)
		allow_port(set, NET_CONNECT, ports[i]);
	if (bind)
		allow_port(set, NET_BIND, 0);
	ruleset_enter(set);
}

static void
files_text(const struct rules *r, char *buf, size_t size)
{
	size_t len = fmt_print(buf, size, "files: %s",
	    r->nss ? "read below" : "none");

	for (size_t i = 0; r->nss && nss_dirs[i] != NULL; i++)
		len += fmt_print(buf + len, size - len, " %s", nss_dirs[i]);
	if (r->nss)
		fmt_print(buf + len, size - len, " and where %s really is",
		    RESOLV_CONF);
}

bool
landlock_text(enum role role, unsigned line, char *buf, size_t size)
{
	const struct rules *r = &rules[role];

	switch (line) {
	case 0:
		files_text(r, buf, size);
		break;
	case 1:
		if (r->later)
			fmt_print(buf, size, "TCP, once the table is sealed: "
			    "connect to its ports, bind no port but 0");
		else if (r->port != 0)
			fmt_print(buf, size,
			    "TCP: connect to port %u, no bind", r->port);
		else
			fmt_print(buf, size, "TCP: no connect, no bind");
		break;
	case 2:
		fmt_print(buf, size,
		    "signals and abstract sockets: none of other processes");
		break;
	default:
		return (false);
	}
	return (true);
}
