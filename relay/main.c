/*
 * The relay: reads the configuration inside its sandbox, has P open the
 * doors that it names, then accepts clients and forwards their streams.
 * One per worker and generation; unprivileged, without any way to open a
 * file or a socket.  The same program checks and prints configurations.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/child.h"
#include "../common/confine.h"
#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/services.h"
#include "../common/users.h"
#include "../common/wire.h"
#include "local.h"
#include "loop.h"
#include "relay.h"
#include "setup.h"

static void
main_write(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len > 0) {
		if ((n = write(fd, text, len)) == -1) {
			if (errno == EINTR)
				continue;
			_exit(1);
		}
		text += n;
		len -= (size_t)n;
	}
}

/* A message of the parser, of up to three lines; arg is the child. */
static void
main_report(void *arg, bool is_error, const char *text)
{
	const struct child *c = arg;
	size_t len;

	if (c->mode != MODE_RUN) {
		main_write(STDERR_FILENO, text, strlen(text));
		main_write(STDERR_FILENO, "\n", 1);
		return;
	}
	/* every worker finds the same: the first one tells */
	for (; c->worker == 0 && *text != '\0';
	    text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		log_text(is_error ? LEVEL_ERROR : LEVEL_WARNING, "%.*s",
		    (int)len, text);
	}
}

/*
 * The configuration is refused.  P ends the whole generation with the first
 * relay that exits; the one that tells why must not be overtaken.
 */
_Noreturn static void
main_give_up(const struct child *c)
{
	struct wire m;
	int fd;

	while (c->mode == MODE_RUN && c->worker != 0 &&
	    wire_recv(FD_CTL, &m, &fd, 0) == 1)
		if (fd != -1)
			close(fd);
	_exit(1);
}

/* The file as P has sealed it. */
static char *
main_read(const struct child *c, size_t *size)
{
	struct stat st;
	size_t done = 0;
	ssize_t n;
	char *text;

	if (fstat(FD_CONF, &st) == -1)
		fatal("%s", c->conf);
	if (st.st_size > CONF_SIZE_MAX)
		fatalx("%s: larger than %d bytes", c->conf, CONF_SIZE_MAX);
	*size = (size_t)st.st_size;
	if ((text = malloc(*size + 1)) == NULL)
		fatal("%s", c->conf);
	while (done < *size) {
		n = pread(FD_CONF, text + done, *size - done, (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			fatalx("%s: can't be read to its end", c->conf);
		done += (size_t)n;
	}
	close(FD_CONF);
	return (text);
}

/* The file's configuration, or that of the command line. */
static int
main_configure(struct conf *conf, struct child *c)
{
	size_t size;
	char *text;
	int result;

	if (c->conf == NULL)
		return (conf_options(conf, c->nargs, c->args, main_report,
		    c));
	text = main_read(c, &size);
	result = conf_parse(conf, c->conf, text, size, main_report, c);
	free(text);
	return (result);
}

static void
main_say_valid(const struct child *c, const struct conf *conf)
{
	char text[512];
	size_t len;

	len = fmt_print(text, sizeof(text),
	    "%s: configuration is valid, %zu listener%s\n",
	    c->conf != NULL ? c->conf : "command line", conf->nstanzas,
	    conf->nstanzas == 1 ? "" : "s");
	main_write(STDOUT_FILENO, text, len);
}

int
main(int argc, char **argv)
{
	static struct relay relay;
	struct child c;

	child_start(&c, ROLE_RELAY, argc, argv);
	services_load();
	local_dirs(c.dirs, c.ndirs);
	if (c.ndirs > 0 || c.mode != MODE_RUN)	/* else of no use */
		users_load();
	if (c.mode == MODE_PRINT_SANDBOX) {
		confine_print(STDOUT_FILENO, &c);
		_exit(0);
	}
	setup_prepare(&relay, &c);
	confine_prepare(&c);
	confine_enter(&c);
	if (main_configure(&relay.conf, &c) == -1 ||
	    limits_check(&relay, main_report, &c) == -1)
		main_give_up(&c);
	users_forget();
	switch (c.mode) {
	case MODE_CHECK:
		main_say_valid(&c, &relay.conf);
		_exit(0);
	case MODE_PRINT_CONFIG:
		conf_print(&relay.conf, STDOUT_FILENO);
		_exit(0);
	default:
		setup_load(&relay);
		loop_run(&relay);
	}
}
