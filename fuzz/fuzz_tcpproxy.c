/*
 * libFuzzer harness for the configuration of tcpproxy(8).  Whatever the
 * input: nothing crashes, nothing is left behind, a refusal is one error that
 * names a line of the text; words have no bytes but those of the grammar; and
 * what is translated is a configuration that sallyport accepts, listener for
 * listener, with no other error logged than that there is none.
 *
 * Names are not looked up, only addresses are.
 * wrap: getaddrinfo
 */
#include <netdb.h>
#include <netinet/in.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../common/role.h"
#include "../compat/tcpproxy.h"
#include "../relay/conf.h"

#define WORD	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
		"0123456789.:-"
#define SYNTAX	"config file syntax error"

struct seen {			/* by take() */
	struct translation *t;
	unsigned	    stanzas;
};

static char	last[1024];	/* line of the log */
static unsigned lines;

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int	__real_getaddrinfo(const char *host, const char *port,
	    const struct addrinfo *hints, struct addrinfo **res);
int	__wrap_getaddrinfo(const char *host, const char *port,
	    const struct addrinfo *hints, struct addrinfo **res);

static void
check(bool good)
{
	if (!good)
		abort();
}

/* Link-local addresses get a zone, as from a name service. */
int
__wrap_getaddrinfo(const char *host, const char *port,
    const struct addrinfo *hints, struct addrinfo **res)
{
	struct addrinfo numeric = *hints;
	int		error;

	numeric.ai_flags &= ~AI_ADDRCONFIG;
	numeric.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
	if ((error = __real_getaddrinfo(host, port, &numeric, res)) != 0)
		return (error);
	for (struct addrinfo *a = *res; a != NULL; a = a->ai_next) {
		struct sockaddr_in6 *sin6 = (void *)a->ai_addr;

		if (a->ai_family == AF_INET6 &&
		    IN6_IS_ADDR_LINKLOCAL(&sin6->sin6_addr))
			sin6->sin6_scope_id = 7;
	}
	return (0);
}

/* In place of the one in tcpproxy_log.c. */
void
log_line(enum log_level level, const char *format, ...)
{
	va_list ap;
	int	n;

	va_start(ap, format);
	n = vsnprintf(last, sizeof(last), format, ap);
	va_end(ap);
	check(level == LEVEL_ERROR && n > 0);
	for (size_t i = 0; last[i] != '\0'; i++)
		check(last[i] >= ' ' && last[i] <= '~');
	lines++;
}

static void
check_word(const char *word)
{
	check(word == NULL ||
	    (word[0] != '\0' && strspn(word, WORD) == strlen(word)));
}

static void
check_family(int family)
{
	check(family == 0 || family == AF_INET || family == AF_INET6);
}

static void
take(void *arg, const struct stanza *s)
{
	struct seen *seen = arg;

	check_word(s->local);
	check_word(s->local_port);
	check_word(s->remote);
	check_word(s->remote_port);
	check_word(s->source);
	check_family(s->local_family);
	check_family(s->remote_family);
	check(s->local_port != NULL);
	check((s->remote == NULL) == (s->remote_port == NULL));
	seen->stanzas++;
	listeners_add(seen->t, s);
}

/* A refusal: the last line of the log, with a line of the text. */
static void
check_refusal(const uint8_t *data, size_t size)
{
	static const char at[] = SYNTAX " at line ";
	size_t		  most = 1, line;

	check(lines > 0);
	if (strcmp(last, SYNTAX ": unexpected end of file") == 0)
		return;
	for (size_t i = 0; i < size; i++)
		most += data[i] == '\n';
	check(strncmp(last, at, strlen(at)) == 0);
	line = strtoul(last + strlen(at), NULL, 10);
	check(line >= 1 && line <= most);
}

static void
count(void *arg, bool is_error, const char *text)
{
	(void)text;
	check(!is_error);
	++*(unsigned *)arg;
}

/* A translation with no listeners is not used, and neither is a large one. */
static void
check_translation(const char *text, unsigned listeners)
{
	struct conf c;
	unsigned    warnings = 0;
	size_t	    size = strlen(text);

	if (listeners == 0 || listeners > LISTENERS_MAX || size > CONF_SIZE_MAX)
		return;
	check(conf_parse(&c, "translated", text, size, count, &warnings) == 0);
	check(c.nstanzas == listeners);
	conf_free(&c);
}

/* The first translation, or, with it as `before', that of a reload. */
static char *
translate(const uint8_t *data, size_t size, const char *before, bool *ok)
{
	struct translation t;
	struct seen	   seen = { &t, 0 };
	char		  *text;

	lines = 0;
	listeners_begin(&t, before, BUFFER_SIZE);
	*ok = config_parse((const char *)data, size, take, &seen);
	text = listeners_end(&t);
	if (!*ok)
		check_refusal(data, size);
	else
		check(lines > 0 || t.count >= seen.stanzas);
	check_translation(text, t.count);
	return (text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool  ok, again;
	char *text = translate(data, size, "", &ok);
	char *other = translate(data, size, text, &again);

	check(ok == again);
	free(other);
	free(text);
	return (0);
}
