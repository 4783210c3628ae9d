/*
 * libFuzzer harness for the configuration language.  Whatever the input:
 * nothing crashes; a refusal comes with an error and an empty configuration;
 * and what is accepted is printed as a text that is accepted with no more
 * warnings and printed the same.
 */
#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/role.h"
#include "../common/services.h"
#include "../common/users.h"
#include "../relay/conf.h"
#include "../relay/local.h"

#define MESSAGE_MAX 4096

struct count {
	unsigned errors, warnings;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char services[] = "http 80/tcp www\n#\nntp 123/udp\nlow 0/tcp x";

static const char passwd[] = "root:x:0:0:::\nweb:x:33:34:::";
static const char group[] = "root:x:0:\nadm:x:4:";
static const char *const dirs[] = { "/run/a", "/b//", "/run/c d", "/" };

static void
check(bool good)
{
	if (!good)
		abort();
}

/* Messages are printable, whatever the input was. */
static void
count(void *arg, bool is_error, const char *text)
{
	struct count *c = arg;
	size_t	      length = strlen(text);

	check(length > 0 && length < MESSAGE_MAX);
	for (size_t i = 0; i < length; i++)
		check((text[i] >= ' ' && text[i] <= '~') || text[i] == '\n');
	if (is_error)
		c->errors++;
	else
		c->warnings++;
	check(c->errors <= 21 && c->warnings <= 21);
}

static void
check_local(const struct conf_stanza *s)
{
	char buf[LOCAL_TEXT];

	check(s->socket_mode <= 0777 && s->socket_dir < 4);
	if (s->listen.addr.family != AF_UNIX)
		return;
	check(!s->any && s->listen.addr.port == 0);
	check(strlen(s->listen.text) > 0 && strlen(s->listen.text) < 32);
	check(s->listen.text[0] != '.' && strchr(s->listen.text, '/') == NULL);
	check(strlen(local_text(s, buf)) < 5 + 108);
}

static void
check_conf(const struct conf *c)
{
	check(c->nstanzas > 0 && c->nstanzas <= LISTENERS_MAX);
	for (size_t i = 0; i < c->nstanzas; i++) {
		const struct conf_stanza *s = &c->stanzas[i];

		check(s->line > 0 && s->column > 0);
		check(s->nremotes > 0 && s->nremotes <= CONF_REMOTES_MAX);
		check(strlen(s->listen.text) <= CONF_WORD_MAX);
		check_local(s);
		for (size_t j = 0; j < s->nremotes; j++) {
			check((s->remotes[j].addr.port > 0) ==
			    (s->remotes[j].addr.family != AF_UNIX));
			if (s->remotes[j].addr.family == AF_UNIX)
				check(s->remotes[j].text[0] == '/' &&
				    strlen(s->remotes[j].text) < 108);
			check(strlen(s->remotes[j].text) <= CONF_WORD_MAX);
		}
		check(s->buffer_size > 0 && s->connect_timeout > 0);
		check(s->backlog > 0 && s->resolve_interval > 0);
	}
}

/* The printed configuration, to be freed. */
static char *
print(const struct conf *c, size_t *size)
{
	int   fd = memfd_create("conf", MFD_CLOEXEC);
	off_t end;
	char *text;

	check(fd != -1);
	conf_print(c, fd);
	end = lseek(fd, 0, SEEK_END);
	check(end > 0);
	*size = (size_t)end;
	text = malloc(*size);
	check(text != NULL && pread(fd, text, *size, 0) == end);
	close(fd);
	return (text);
}

static void
round_trip(const struct conf *c, unsigned warnings)
{
	struct count n = { 0, 0 };
	struct conf  other;
	char	    *text, *again;
	size_t	     size, size2;

	text = print(c, &size);
	if (size <= CONF_SIZE_MAX) {
		check(conf_parse(&other, "printed", text, size, count, &n) ==
		    0);
		check(n.errors == 0 && n.warnings <= warnings);
		check(other.nstanzas == c->nstanzas);
		again = print(&other, &size2);
		check(size == size2 && memcmp(text, again, size) == 0);
		free(again);
		conf_free(&other);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct count n = { 0, 0 };
	struct conf  c;

	services_set(services, sizeof(services) - 1);
	users_set(passwd, sizeof(passwd) - 1, group, sizeof(group) - 1);
	local_dirs(dirs, 4);
	if (conf_parse(&c, "fuzz.conf", (const char *)data, size, count, &n) ==
	    -1) {
		check(n.errors > 0);
		check(c.stanzas == NULL && c.memory == NULL && c.nstanzas == 0);
		return (0);
	}
	check(n.errors == 0);
	check_conf(&c);
	round_trip(&c, n.warnings);
	conf_free(&c);
	return (0);
}
