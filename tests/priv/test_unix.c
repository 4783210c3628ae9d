/*
 * Unix listeners, and sockets that were inherited: bound under another name
 * and renamed, with mode and owner, the same socket in every generation;
 * what is dead is replaced, what lives or is no socket is left alone, and
 * nothing stays behind.
 *
 * wrap: fork kill waitpid socketpair lchown rename
 */
#include "world.h"

#include <sys/un.h>

#include <dirent.h>

#define FORBIDDEN 54321		/* P lacks CAP_CHOWN */

static char	    dir[64], path[128];
static struct fault fault_chown, fault_rename;

int	__wrap_lchown(const char *file, uid_t uid, gid_t gid);
int	__real_lchown(const char *file, uid_t uid, gid_t gid);
int	__wrap_rename(const char *from, const char *to);
int	__real_rename(const char *from, const char *to);

int
__wrap_lchown(const char *file, uid_t uid, gid_t gid)
{
	if (uid == FORBIDDEN) {
		errno = EPERM;
		return (-1);
	}
	return (fault_now(&fault_chown) ? -1 :
	    __real_lchown(file, uid, gid));
}

int
__wrap_rename(const char *from, const char *to)
{
	return (fault_now(&fault_rename) ? -1 : __real_rename(from, to));
}

static int
make(void **state)
{
	fault_chown = fault_rename = (struct fault){ 0, 0 };
	given = FD_GIVEN;
	strcpy(dir, "/tmp/sallyport-unix.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/web", dir);
	umask(077);
	assert_int_equal(world_make(state), 0);
	args[ARG_DIRS] = dir;
	return (0);
}

static unsigned
names(void)
{
	DIR	*d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return (n - 2);		/* . and .. */
}

/* Whatever a test leaves there must go with the generations. */
static int
end(void **state)
{
	static char none[1];
	int	    result = world_end(state);

	args[ARG_DIRS] = none;
	assert_int_equal(names(), 0);
	assert_int_equal(rmdir(dir), 0);
	return (result);
}

#define UNIX_TEST(function) \
	cmocka_unit_test_setup_teardown(function, make, end)

static struct wire
unix_message(const struct gen *g, const char *name, uint16_t mode)
{
	struct wire m = { .type = WIRE_BINDUNIX, .index = g->nbinds };

	m.u.addr = (struct wire_addr){ .backlog = 16, .family = AF_UNIX,
		.local = { WIRE_NO_ID, WIRE_NO_ID, .mode = mode } };
	memcpy(m.u.addr.local.name, name, strlen(name));
	return (m);
}

static int
answer_to(struct gen *g, const struct wire *question)
{
	struct wire m;
	int	    fd;

	say(relay_of(g, 0), question);
	while (next_message(relay_of(g, 0), &m, &fd)) {
		if (fd != -1)
			close(fd);
		if (m.type == WIRE_BOUND)
			return (m.u.bound.error);
	}
	fail_msg("P has not answered a BINDUNIX");
	return (-1);
}

static int
bind_unix(struct gen *g, const char *name, uint16_t mode)
{
	const struct wire m = unix_message(g, name, mode);

	return (answer_to(g, &m));
}

static struct gen *
load_unix(const char *name, uint16_t mode)
{
	struct gen *g = begin();

	need(g, 0, 0);
	assert_int_equal(bind_unix(g, name, mode), 0);
	return (g);
}

static struct gen *
run_unix(const char *name, uint16_t mode)
{
	struct gen *g = load_unix(name, mode);

	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
	for (uint32_t i = 0; i < workers; i++)
		skip_messages(relay_of(g, i));
	return (g);
}

static struct stat
look(void)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return (st);
}

/* 0 or errno; *accepting: somebody's socket, or -1. */
static int
call_it(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int		   fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int		   error;

	strcpy(sun.sun_path, path);
	error = connect(fd, (void *)&sun, sizeof(sun)) == 0 ? 0 : errno;
	close(fd);
	return (error);
}

/* Another program's socket there, listening. */
static int
stranger(const char *where, int type)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int		   fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, where);
	assert_int_equal(bind(fd, (void *)&sun, sizeof(sun)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4), 0);
	return (fd);
}

static void
test_mode(void **state)
{
	struct gen *g;

	(void)state;
	for (uint16_t mode = 0; mode <= 0777; mode += 037) {
		g = load_unix("web", mode);
		assert_true(S_ISSOCK(look().st_mode));
		assert_int_equal(look().st_mode & 07777, mode);
		assert_int_equal(names(), 1);	/* no other name is left */
		gen_kill(g, NULL);
		assert_int_equal(names(), 0);
	}
}

/* A reload may change mode and owner of the same socket. */
static void
test_same_socket(void **state)
{
	struct gen *g = run_unix("web", 0600);
	struct stat st = look();
	ino_t	    inode = inode_of(g->binds[0].fd[0]);

	(void)state;
	for (uint32_t i = 1; i < workers; i++)
		assert_int_equal(inode_of(g->binds[0].fd[i]), inode);
	for (uint16_t mode = 0640; mode <= 0660; mode += 020) {
		g = load_unix("web", mode);
		assert_int_equal(call_it(), 0);
		assert_int_equal(look().st_mode & 0777, mode - 020 == 0620 ?
		    0600 : mode - 020);		/* not before the takeover */
		ready(g);
		assert_int_equal(g->state, GEN_RUNNING);
		assert_int_equal(look().st_mode & 0777, mode);
		assert_true(look().st_ino == st.st_ino);
		assert_int_equal(inode_of(g->binds[0].fd[0]), inode);
		assert_int_equal(call_it(), 0);
	}
}

static void
test_owner(void **state)
{
	struct gen *g;
	struct wire m;

	(void)state;
	if (geteuid() != 0)
		skip();
	g = begin();
	need(g, 0, 0);
	m = unix_message(g, "web", 0660);
	m.u.addr.local.uid = 12345;
	m.u.addr.local.gid = 54321;
	assert_int_equal(answer_to(g, &m), 0);
	assert_int_equal(look().st_uid, 12345);
	assert_int_equal(look().st_gid, 54321);
	assert_int_equal(look().st_mode & 0777, 0660);
}

/* P may not give it to them: refused, before anything has been changed. */
static void
test_owner_not_allowed(void **state)
{
	struct gen *g;
	struct wire m;

	(void)state;
	run_unix("web", 0600);
	g = begin();
	need(g, 0, 0);
	m = unix_message(g, "web", 0666);
	m.u.addr.local.uid = FORBIDDEN;
	assert_int_equal(answer_to(g, &m), 0);
	ready(g);
	assert_int_equal(g->state, GEN_FREE);
	assert_int_equal(look().st_mode & 0777, 0600);
	assert_int_equal(call_it(), 0);
}

/* Another one of the same load fails: this one is as it was. */
static void
test_other_owner_not_allowed(void **state)
{
	struct gen *g = begin();
	struct wire m;

	(void)state;
	need(g, 0, 0);
	assert_int_equal(bind_unix(g, "web", 0600), 0);
	assert_int_equal(bind_unix(g, "other", 0600), 0);
	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_unix(g, "web", 0666), 0);
	m = unix_message(g, "other", 0666);
	m.u.addr.local.uid = FORBIDDEN;
	assert_int_equal(answer_to(g, &m), 0);
	ready(g);
	assert_int_equal(g->state, GEN_FREE);
	assert_int_equal(look().st_mode & 0777, 0600);
}

/* A relay goes while listeners are handed over: likewise. */
static void
test_handover_fails(void **state)
{
	struct gen *g;

	(void)state;
	run_unix("web", 0600);
	g = load_unix("web", 0666);
	for (uint32_t i = workers; i-- > 0;) {
		struct proc	 *p = relay_of(g, i);
		const struct wire m = ready_message(g, p);

		say(p, &m);
		if (i == 1)
			kid_close(kid_of(p->pid));
	}
	assert_int_equal(g->state, GEN_FREE);
	assert_said("a relay takes no message");
	assert_int_equal(look().st_mode & 0777, 0600);
	assert_int_equal(call_it(), 0);
}

/* Somebody has removed the name: loads go on, without it. */
static void
test_removed(void **state)
{
	struct gen *g;

	(void)state;
	run_unix("web", 0600);
	assert_int_equal(unlink(path), 0);
	g = load_unix("web", 0600);
	ready(g);
	assert_int_equal(g->state, GEN_RUNNING);
}

/* The owner that is not asked for any more is P's own again. */
static void
test_owner_goes(void **state)
{
	struct gen *g;
	struct wire m;

	(void)state;
	if (geteuid() != 0)
		skip();
	g = begin();
	need(g, 0, 0);
	m = unix_message(g, "web", 0660);
	m.u.addr.local.uid = m.u.addr.local.gid = 12345;
	assert_int_equal(answer_to(g, &m), 0);
	ready(g);
	run_unix("web", 0660);
	assert_int_equal(look().st_uid, geteuid());
	assert_int_equal(look().st_gid, getegid());
}

/* It is not a dead one's for a second instance that looks while it loads. */
static void
test_loading_is_alive(void **state)
{
	struct gen *first = load_unix("web", 0600), *g;

	(void)state;
	assert_int_equal(call_it(), 0);
	first->state = GEN_DRAINING;	/* as if not ours */
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_unix(g, "web", 0600), EADDRINUSE);
	gen_kill(g, NULL);
	first->state = GEN_LOADING;
}

static void
test_goes_with_a_reload(void **state)
{
	struct gen *g = run_unix("web", 0600), *other;

	(void)state;
	other = load_unix("other", 0600);
	assert_int_equal(names(), 2);
	gen_kill(other, "so it is");	/* takes only its own with it */
	assert_int_equal(names(), 1);
	assert_int_equal(call_it(), 0);
	other = load_unix("web", 0600);
	gen_kill(other, "so it is");	/* the running one still has it */
	assert_int_equal(call_it(), 0);
	run_unix("other", 0600);
	assert_int_equal(g->state, GEN_DRAINING);
	assert_int_equal(names(), 1);
	assert_int_equal(call_it(), ENOENT);
	gen_kill(g, NULL);
	assert_int_equal(names(), 1);
}

static void
test_stale(void **state)
{
	int fd = stranger(path, SOCK_STREAM);

	(void)state;
	close(fd);			/* its owner has died */
	assert_int_equal(call_it(), ECONNREFUSED);
	run_unix("web", 0600);
	assert_int_equal(call_it(), 0);
}

/* Somebody listens: refused, and all is as it was. */
static void
test_alive(void **state)
{
	int	    fd = stranger(path, SOCK_STREAM), before;
	struct stat st;
	struct gen *g = begin();

	(void)state;
	assert_int_equal(chmod(path, 0640), 0);
	if (geteuid() == 0)
		assert_int_equal(lchown(path, 12345, 54321), 0);
	st = look();
	need(g, 0, 0);
	before = fds_open();
	assert_int_equal(bind_unix(g, "web", 0600), EADDRINUSE);
	assert_int_equal(fds_open(), before);
	assert_true(look().st_ino == st.st_ino && look().st_uid == st.st_uid &&
	    look().st_gid == st.st_gid && look().st_mode == st.st_mode);
	assert_int_equal(call_it(), 0);
	gen_kill(g, NULL);
	assert_int_equal(call_it(), 0);
	close(fd);
	unlink(path);
	fd = stranger(path, SOCK_DGRAM);	/* no refusal, so not dead */
	g = begin();
	need(g, 0, 0);
	assert_int_equal(bind_unix(g, "web", 0600), EADDRINUSE);
	assert_int_equal(names(), 1);
	close(fd);
	unlink(path);
}

static void
test_no_socket(void **state)
{
	struct gen *g = begin();
	int	    fd;

	(void)state;
	need(g, 0, 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(bind_unix(g, "web", 0600), EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(bind_unix(g, "web", 0600), EEXIST);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(bind_unix(g, "web", 0600), EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bind_unix(g, "web", 0600), 0);
}

/* A step fails: said, and no name or descriptor is left. */
static void
test_faults(void **state)
{
	struct gen *g = begin();
	int	    before;

	(void)state;
	need(g, 0, 0);
	before = fds_open();
	for (unsigned n = 1; n <= 2; n++) {
		fault_chown = (struct fault){ n, EPERM };
		assert_int_equal(bind_unix(g, "web", 0600), EPERM);
		assert_int_equal(names(), 0);
	}
	fault_rename = (struct fault){ 1, EACCES };
	assert_int_equal(bind_unix(g, "web", 0600), EACCES);
	assert_int_equal(names(), 0);
	assert_int_equal(fds_open(), before);
	strcat(dir, "/gone");
	assert_int_equal(bind_unix(g, "web", 0600), ENOENT);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(fds_open(), before);
}

static void
test_twice(void **state)
{
	struct gen *g = load_unix("web", 0600);

	(void)state;
	assert_int_equal(bind_unix(g, "web", 0600), EADDRINUSE);
	assert_int_equal(bind_unix(g, "we", 0600), 0);
}

/* A directory that the command line does not name. */
static void
test_no_directory(void **state)
{
	static char none[1];
	struct gen *g = begin();
	struct wire m;

	(void)state;
	need(g, 0, 0);
	m = unix_message(g, "web", 0600);
	args[ARG_DIRS] = none;
	say(relay_of(g, 0), &m);
	assert_int_equal(g->state, GEN_FREE);
	assert_said("without such a directory");
	g = begin();
	need(g, 0, 0);
	m.u.addr.local.dir = DIRS_MAX;
	say(relay_of(g, 0), &m);
	assert_int_equal(g->state, GEN_FREE);
	assert_said("a malformed message");
}

/* --- inherited sockets --- */

/* As the service manager leaves it: blocking, at its number. */
static void
inherit(int fd)
{
	assert_int_equal(dup3(fd, given, O_CLOEXEC), given);
	close(fd);
	given++;
}

static void
disinherit(void)
{
	while (given > FD_GIVEN)
		close(--given);
}

static int
tcp_stranger(uint16_t port)
{
	struct sockaddr_storage ss;
	struct netaddr		a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(netaddr_parse("127.0.0.1", 0, &a), 0);
	a.port = port;
	assert_int_equal(bind(fd, (void *)&ss, netaddr_sockaddr(&a, &ss)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return (fd);
}

/* Used for every worker and in every generation, and never closed. */
static void
test_inherited(void **state)
{
	uint16_t    port = free_port();
	int	    fd = tcp_stranger(port);
	ino_t	    inode = inode_of(fd);
	struct gen *g;

	(void)state;
	inherit(fd);
	for (int n = 0; n < 2; n++) {
		g = run_one("127.0.0.1", port);
		assert_false(said("matches no"));
		for (uint32_t i = 0; i < workers; i++) {
			fd = g->binds[0].fd[i];
			assert_int_equal(inode_of(fd), inode);
			assert_int_not_equal(fd, FD_GIVEN);
			assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK,
			    0);
		}
	}
	run_one("127.0.0.2", port);	/* not needed, but kept */
	assert_said("inherited socket 3 (LISTEN_FDS) matches no `listen'");
	assert_int_equal(inode_of(FD_GIVEN), inode);
	g = run_one("127.0.0.1", port);
	assert_int_equal(inode_of(g->binds[0].fd[0]), inode);
	disinherit();
}

/* Mode and owner are the service manager's, and so is the name. */
static void
test_inherited_unix(void **state)
{
	int	    fd = stranger(path, SOCK_STREAM);
	struct stat st;
	struct gen *g;

	(void)state;
	assert_int_equal(chmod(path, 0646), 0);
	st = look();
	inherit(fd);
	g = run_unix("web", 0600);
	assert_true(look().st_ino == st.st_ino && look().st_mode == st.st_mode);
	assert_int_equal(call_it(), 0);
	gen_kill(g, NULL);
	assert_true(look().st_ino == st.st_ino);
	disinherit();
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		UNIX_TEST(test_mode),
		UNIX_TEST(test_same_socket),
		UNIX_TEST(test_owner),
		UNIX_TEST(test_owner_not_allowed),
		UNIX_TEST(test_other_owner_not_allowed),
		UNIX_TEST(test_handover_fails),
		UNIX_TEST(test_removed),
		UNIX_TEST(test_owner_goes),
		UNIX_TEST(test_loading_is_alive),
		UNIX_TEST(test_goes_with_a_reload),
		UNIX_TEST(test_stale),
		UNIX_TEST(test_alive),
		UNIX_TEST(test_no_socket),
		UNIX_TEST(test_faults),
		UNIX_TEST(test_twice),
		UNIX_TEST(test_no_directory),
		UNIX_TEST(test_inherited),
		UNIX_TEST(test_inherited_unix)
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
