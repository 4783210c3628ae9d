/*
 * Translation in a process of its own.  The front, which may be root, opens
 * the configuration; a forked child gives up its privileges, parses, asks
 * the name service, logs what is wrong, and writes the result to a memfd.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcpproxy.h"

#define SIZE_MOST (1024 * 1024)	/* of what sallyport reads */
#define SEALS	  (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* How the child ends. */
enum { DONE, BAD_FILE, BAD_STANZA, NOTHING };

/*
 * At SIGHUP tcpproxy(8) was in its jail, so that a copy of the file stood
 * there under the same path; if there is one, it counts.
 */
static int
open_config(const struct options *o, bool reload)
{
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC |
		O_NOCTTY, .resolve = RESOLVE_IN_ROOT };
	int		fd = -1, jail;

	if (reload && o->jail != NULL && (jail = open(o->jail,
	    O_PATH | O_DIRECTORY | O_CLOEXEC)) != -1) {
		fd = (int)syscall(SYS_openat2, jail, o->config, &how,
		    sizeof(how));
		close(jail);
	}
	if (fd == -1)
		fd = open(o->config_at, (int)how.flags);
	return (fd);
}

/* All of the file, or NULL, logged. */
static char *
read_config(const struct options *o, bool reload, size_t *size)
{
	int	    fd = open_config(o, reload);
	struct stat st;
	char	   *text = NULL;
	ssize_t	    n = 0;

	*size = 0;
	if (fd == -1) {
		log_line(LEVEL_ERROR, "open('%s') failed: %s", o->config,
		    strerror(errno));
		return (NULL);
	}
	if (fstat(fd, &st) == -1)
		log_line(LEVEL_ERROR, "fstat() error: %s", strerror(errno));
	else if (st.st_size == 0)
		log_line(LEVEL_ERROR, "config file %s is empty", o->config);
	else if (!S_ISREG(st.st_mode))
		log_line(LEVEL_ERROR, "config file %s is not a regular file",
		    o->config);
	else if (geteuid() == 0 && (st.st_uid != 0 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0))
		log_line(LEVEL_ERROR, "config file %s: expected a file of "
		    "root's that nobody else can write", o->config);
	else if ((text = malloc((size_t)st.st_size)) != NULL)
		while (*size < (size_t)st.st_size && (n = read(fd,
		    text + *size, (size_t)st.st_size - *size)) > 0)
			*size += (size_t)n;
	close(fd);
	if (n == -1 || (text != NULL && *size == 0)) {
		log_line(LEVEL_ERROR, "read() error: %s", strerror(errno));
		free(text);
		return (NULL);
	}
	return (text);
}

/* The memfd's text, NUL-terminated. */
static char *
read_result(int fd)
{
	struct stat st = { .st_size = 0 };
	char	   *text;

	if (fd != -1 && fstat(fd, &st) == -1)
		exit(FAILED);
	text = calloc(1, (size_t)st.st_size + 1);
	if (text == NULL || (fd != -1 &&
	    pread(fd, text, (size_t)st.st_size, 0) != st.st_size))
		exit(FAILED);
	return (text);
}

/* Nothing of this needs rights, and answers of name servers are read. */
static void
drop(const struct translator *t, pid_t parent)
{
	if (geteuid() == 0 && (setgroups(0, NULL) == -1 ||
	    setresgid(t->gid, t->gid, t->gid) == -1 ||
	    setresuid(t->uid, t->uid, t->uid) == -1))
		_exit(FAILED);
	/* nor ambient ones, of a user who is not root */
	capng_clear(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) != 0)
		_exit(FAILED);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(FAILED);
}

static void
take(void *arg, const struct stanza *s)
{
	listeners_add(arg, s);
}

/* In the child.  Returns how it ends. */
static int
translate(const struct translator *t, const struct options *o, int before,
    const char *text, size_t size)
{
	struct translation out;
	const char	  *result;
	char		  *old = read_result(before);
	int		   end = DONE;

	listeners_begin(&out, old, o->buffer_size);
	if (o->config == NULL)
		listeners_add(&out, &o->one);
	else if (!config_parse(text, size, take, &out))
		end = BAD_FILE;
	result = listeners_end(&out);
	if (end == DONE && out.failed && !out.reload)
		end = BAD_STANZA;
	if (end == DONE && out.count == 0)
		end = NOTHING;
	if (dprintf(t->fd, "%s", result) < 0)
		end = BAD_STANZA;
	return (end);
}

bool
translate_start(struct translator *t, const struct options *o, int before)
{
	pid_t  parent = getpid();
	size_t size = 0;
	char  *text = NULL;

	if (o->config != NULL &&
	    (text = read_config(o, before != -1, &size)) == NULL)
		return (false);
	t->fd = memfd_create("tcpproxy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* sallyport takes nothing that others could write to */
	if (t->fd == -1 || fchmod(t->fd, 0600) == -1 ||
	    (t->pid = fork()) == -1) {
		log_line(LEVEL_ERROR, "translation: %s", strerror(errno));
		t->pid = 0;
		free(text);
		return (false);
	}
	if (t->pid == 0) {
		drop(t, parent);
		_exit(translate(t, o, before, text, size));
	}
	free(text);
	return (true);
}

/* Nobody, whatever the child has left behind, changes the result now. */
static bool
accept_result(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size <= SIZE_MOST &&
	    fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return (true);
	log_line(LEVEL_ERROR, "the translation is larger than 1 MiB, or is "
	    "not complete");
	return (false);
}

bool
translate_end(struct translator *t, const struct options *o, int status,
    bool reload)
{
	int end = WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;

	t->pid = 0;
	if (end == NOTHING && o->config != NULL)
		log_line(LEVEL_ERROR,
		    "no listeners defined in config file %s%s", o->config,
		    reload ? ": those of before go on" : "");
	else if (end > NOTHING)
		log_line(LEVEL_ERROR, "translation: status %#x", status);
	return (end == DONE && accept_result(t->fd));
}

void
translate_tell(int conf)
{
	char *text = read_result(conf), *rest = text, *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (strncmp(line, "# " COMMENT_LISTENING,
		    strlen("# " COMMENT_LISTENING)) == 0 ||
		    strncmp(line, "# " COMMENT_REUSING,
		    strlen("# " COMMENT_REUSING)) == 0)
			log_line(LEVEL_NOTICE, "%s", line + 2);
	free(text);
}
