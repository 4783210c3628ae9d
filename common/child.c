/*
 * First steps of every program under libexec: runs there, before the
 * sandbox, with what P gave; touches only its own arguments and descriptors.
 */
#include "child.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fmt.h"
#include "log.h"
#include "wire.h"

static char  *title;
static size_t title_size;
static char  *words;	/* the parameters, kept */

static const char *
value_of(const char *word, const char *key)
{
	size_t len = strlen(key);

	if (strncmp(word, key, len) != 0 || word[len] != '=')
		return (NULL);
	return (word + len + 1);
}

static bool
take_number(const char *word, const char *key, uint32_t *number)
{
	const char *text = value_of(word, key);
	uint64_t    value;

	if (text == NULL)
		return (false);
	if (fmt_number(text, UINT32_MAX, &value) == -1)
		fatalx("bad parameter %s: started by hand?", word);
	*number = (uint32_t)value;
	return (true);
}

static bool
take_text(const char *word, const char *key, const char **text)
{
	const char *value = value_of(word, key);

	if (value == NULL)
		return (false);
	*text = value;
	return (true);
}

/*
 * P may be older than this program, or this one not yet replaced.  Before
 * anything else is read: what that is may be of the version too.
 */
static void
check_version(int argc, char **argv)
{
	uint32_t version = 0;

	if (argc < 2 || !take_number(argv[1], "version", &version) ||
	    version != WIRE_VERSION)
		fatalx("this program (" SALLYPORT_VERSION ") has protocol "
		    "version %u, the one that started it %u: restart needed",
		    (unsigned)WIRE_VERSION, version);
}

static void
take_word(struct child *c, const char *word)
{
	uint32_t    uid = 0, gid = 0, level = 0;
	const char *text = NULL;

	if (take_number(word, "workers", &c->workers) ||
	    take_number(word, "maxconn", &c->max_connections) ||
	    take_text(word, "jail", &c->jail) ||
	    take_text(word, "conf", &c->conf) ||
	    take_text(word, "format", &c->format))
		return;
	if (take_text(word, "dir", &text)) {
		if (c->ndirs < DIRS_MAX)
			c->dirs[c->ndirs++] = text;
	} else if (take_text(word, "log", &text)) {
		if (c->role == ROLE_LOGGER)
			c->args[c->nargs++] = (char *)(uintptr_t)text;
	} else if (take_number(word, "level", &level)) {
		log_most = (enum log_level)level;
	} else if (take_number(word, "uid", &uid)) {
		c->uid = uid;
		c->privileged = true;
	} else if (take_number(word, "gid", &gid)) {
		c->gid = gid;
	} else if (take_text(word, "sessions", &text)) {
		c->log_begins = strcmp(text, "all") == 0;
	} else if (take_text(word, "mode", &text)) {
		c->mode = strcmp(text, "check") == 0 ? MODE_CHECK :
		    strcmp(text, "config") == 0 ? MODE_PRINT_CONFIG :
		    strcmp(text, "sandbox") == 0 ? MODE_PRINT_SANDBOX :
		    MODE_RUN;
	} else {
		fatalx("unknown parameter %s: started by hand?", word);
	}
}

/* Copies the words, so that the originals can be wiped from the title. */
static void
take_words(struct child *c, int argc, char **argv)
{
	bool   behind = false;	/* the "--" */
	size_t size = 0;
	char  *word;

	memset(argv[1], 0, strlen(argv[1]));
	for (int i = 2; i < argc; i++)
		size += strlen(argv[i]) + 1;
	words = word = calloc(1, size + 1);
	c->args = calloc((size_t)argc + 1, sizeof(char *));
	if (word == NULL || c->args == NULL)
		fatal("parameters");
	for (int i = 2; i < argc; i++, word += size) {
		size = strlen(argv[i]) + 1;
		memcpy(word, argv[i], size);
		memset(argv[i], 0, size);
		if (behind && c->role == ROLE_RELAY)
			c->args[c->nargs++] = word;
		else if (strcmp(word, "--") == 0)
			behind = true;
		else if (!behind)
			take_word(c, word);
	}
}

/* Every descriptor that should be open is; none beyond them is. */
static void
check_fds(const struct child *c)
{
	bool	    run = c->mode == MODE_RUN;
	bool	    conf = c->role == ROLE_RELAY && c->conf != NULL;
	struct stat st;

	for (int fd = 0; fd <= FD_CONF; fd++) {
		bool want = fd <= 2 || (fd == FD_CONF ? conf : run);

		if ((fstat(fd, &st) == 0) != want)
			fatalx("descriptor %d is %s: started by hand?", fd,
			    want ? "closed" : "open");
		if (want && run && (fd == FD_CTL || fd == FD_LOG) &&
		    !S_ISSOCK(st.st_mode))
			fatalx("descriptor %d is no socket: started by hand?",
			    fd);
	}
	/* dup gives the lowest free number: 3-5 unused ones were checked */
	for (int fd = FD_CONF + 1; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			fatalx("descriptor %d was inherited", fd);
}

/*
 * P's first message says who this process is; the title tells it to the
 * world.
 */
static void
take_identity(struct child *c)
{
	struct wire m;
	int	    fd;

	if (wire_recv(FD_CTL, &m, &fd, 0) != 1 || m.type != WIRE_HELPER ||
	    fd != -1 || (m.u.helper.role != c->role &&
	    (m.u.helper.role != ROLE_LOOKUP || c->role != ROLE_RESOLVER)))
		fatalx("the parent does not say who this is");
	c->role = m.u.helper.role;
	c->gen = m.u.helper.gen;
	c->worker = m.u.helper.worker;
	c->unix_remotes = (m.u.helper.roles & NEED_UNIX) != 0;
	if (c->role == ROLE_RELAY || c->role == ROLE_DIALER)
		child_title("%s [gen %u, %u/%u]" CHILD_VERSION,
		    c->role == ROLE_RELAY ? "relay" : "dialer", c->gen,
		    c->worker + 1, c->workers);
	else if (c->role == ROLE_LOGGER)
		child_title("logger" CHILD_VERSION);
	else
		child_title("resolver [gen %u]" CHILD_VERSION, c->gen);
}

/* What is meant for P, but sent to all, by name or by a terminal. */
static void
ignore_signals(const struct child *c)
{
	static const int signals[] = { SIGPIPE, SIGHUP, SIGINT, SIGQUIT,
		SIGUSR1, SIGUSR2 };
	size_t n = c->mode == MODE_RUN ?
	    sizeof(signals) / sizeof(signals[0]) : 1;

	for (size_t i = 0; i < n; i++)
		if (signal(signals[i], SIG_IGN) == SIG_ERR)
			fatal("signal");
}

void
child_start(struct child *c, enum role role, int argc, char **argv)
{
	struct stat st;

	*c = (struct child){ .role = role, .workers = 1, .format = "text" };
	if (argc < 1)
		_exit(1);
	title = argv[0];
	title_size = strlen(title) + 1;
	/* P opens FD_LOG but in the modes that print */
	if (fstat(FD_LOG, &st) == 0 && S_ISSOCK(st.st_mode))
		log_socket = FD_LOG;
	check_version(argc, argv);
	take_words(c, argc, argv);
	if (c->mode != MODE_RUN)
		log_socket = -1;
	check_fds(c);
	ignore_signals(c);
	if (c->mode == MODE_RUN)
		take_identity(c);
}

void
child_title(const char *format, ...)
{
	va_list ap;
	size_t	len;

	if (title_size < 2)
		return;
	va_start(ap, format);
	len = fmt_print(title, title_size, "sallyport: ");
	len += fmt_vprint(title + len, title_size - len, format, ap);
	va_end(ap);
	memset(title + len, ' ', title_size - 1 - len);
}
