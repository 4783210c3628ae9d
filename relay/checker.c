/*
 * What must hold between the statements of a stanza, and between stanzas.
 * Runs in the relay before GO, confined; reads the parsed configuration,
 * allocates one table that it frees again.
 */
#include "checker.h"

#include <sys/socket.h>

#include <netinet/in.h>

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "local.h"

/* An address that a stanza listens on. */
struct listener {
	struct netaddr addr; /* a name: only family and port */
	const char    *name; /* or NULL; a unix socket's, with the number of
				its directory in addr.scope */
	size_t	       stanza;
};

static const char *
family_name(int family)
{
	return (family == AF_INET ? "ipv4" : "ipv6");
}

/* Could this host have an address of the family? */
static bool
may_be(const struct conf_host *host, int resolv, int family)
{
	int only = host->addr.family != 0 ? host->addr.family : resolv;

	return (only == 0 || only == family);
}

/* A literal address of another family than the one that was asked for. */
static void
check_family(struct diag *d, const struct conf_host *host, int resolv,
    const char *keyword, struct place at)
{
	char buf[DIAG_WORD];

	if (host->addr.family == 0 || host->addr.family == AF_UNIX ||
	    resolv == 0 || host->addr.family == resolv)
		return;
	diag_error(d, at, "'%s' contradicts '%s: %s', expected an address of "
	    "that family or a name",
	    diag_word(buf, host->text, strlen(host->text)), keyword,
	    family_name(resolv));
}

static void
check_listen(struct diag *d, const struct conf_stanza *s, struct place at)
{
	const struct netaddr *a = &s->listen.addr;
	const char	     *what = NULL;
	char		      buf[DIAG_WORD];

	if (a->family == 0 || a->family == AF_UNIX)
		return;
	if (netaddr_multicast(a))
		what = "a multicast address";
	if (netaddr_mapped(a))
		what = "an IPv4 address in IPv6 form";
	if (what != NULL)
		diag_error(d, at, "'%s' is %s, expected an address to listen "
		    "on", diag_word(buf, s->listen.text,
		    strlen(s->listen.text)), what);
	check_family(d, &s->listen, s->resolv, "resolv", at);
}

/* Unix sockets have no source address: the others, if any, use it. */
static void
check_source_unix(struct diag *d, const struct conf_stanza *s,
    const struct places *at)
{
	char buf[DIAG_WORD];

	for (size_t i = 0; i < s->nremotes; i++)
		if (s->remotes[i].addr.family == AF_UNIX)
			diag_warning(d, at->remote[i], "'source' has no effect "
			    "on the unix socket '%s'",
			    diag_word(buf, s->remotes[i].text,
			    strlen(s->remotes[i].text)));
}

/* Connections can't be made from an address of one family to the other. */
static void
check_source(struct diag *d, const struct conf_stanza *s,
    const struct places *at)
{
	bool   useless[CONF_REMOTES_MAX] = { false };
	size_t n = 0;
	char   buf[DIAG_WORD], remote[DIAG_WORD];

	if (!s->has_source)
		return;
	check_source_unix(d, s, at);
	check_family(d, &s->source, s->remote_resolv, "remote-resolv",
	    at->key[KEY_SOURCE]);
	if (s->source.addr.family == 0)
		return;
	diag_word(buf, s->source.text, strlen(s->source.text));
	for (size_t i = 0; i < s->nremotes; i++) {
		if (s->remotes[i].addr.family == AF_UNIX ||
		    s->remotes[i].addr.family == 0 ||
		    s->remotes[i].addr.family == s->source.addr.family)
			continue;
		useless[i] = true;
		n++;
	}
	if (n > 0 && n == s->nremotes) {
		diag_error(d, at->key[KEY_SOURCE], "no remote can be reached "
		    "from '%s', expected an %s address", buf,
		    family_name(s->remotes[0].addr.family));
		return;
	}
	for (size_t i = 0; i < s->nremotes; i++)
		if (useless[i])
			diag_warning(d, at->remote[i], "'%s' can't be reached "
			    "from '%s', expected an %s address or a name",
			    diag_word(remote, s->remotes[i].text,
			    strlen(s->remotes[i].text)), buf,
			    family_name(s->source.addr.family));
}

bool
check_has_tcp(const struct conf_stanza *s)
{
	if (s->listen.addr.family != AF_UNIX)
		return (true);
	for (size_t i = 0; i < s->nremotes; i++)
		if (s->remotes[i].addr.family != AF_UNIX)
			return (true);
	return (false);
}

static void
check_one_effect(struct diag *d, const struct places *at, unsigned seen,
    enum keyword_id key, const char *where)
{
	if ((seen & 1u << key) != 0)
		diag_warning(d, at->key[key], "'%s' has no effect %s",
		    keywords[key].name, where);
}

/* What was said in this stanza (a default may be meant for others). */
static void
check_effects(struct diag *d, const struct conf_stanza *s,
    const struct places *at, unsigned seen)
{
	if (s->listen.addr.family == AF_UNIX) {
		check_one_effect(d, at, seen, KEY_RESOLV, "on a unix socket");
	} else {
		check_one_effect(d, at, seen, KEY_SOCKET_MODE,
		    "here, expected it with 'listen unix:NAME'");
		check_one_effect(d, at, seen, KEY_SOCKET_OWNER,
		    "here, expected it with 'listen unix:NAME'");
	}
	if (!check_has_tcp(s))
		check_one_effect(d, at, seen, KEY_KEEPALIVE,
		    "between unix sockets");
}

void
check_stanza(struct diag *d, const struct conf_stanza *s,
    const struct places *at, unsigned seen)
{
	check_listen(d, s, at->listen);
	for (size_t i = 0; i < s->nremotes; i++)
		check_family(d, &s->remotes[i], s->remote_resolv,
		    "remote-resolv", at->remote[i]);
	check_source(d, s, at);
	check_effects(d, s, at, seen);
}

unsigned
check_sockets(const struct conf_stanza *s)
{
	return (s->any && s->resolv == 0 ? 2 : 1);
}

/* The addresses of one stanza: `*' and names may have one of each family. */
static size_t
listeners_of(const struct conf_stanza *s, size_t stanza, struct listener *to)
{
	static const int families[] = { AF_INET, AF_INET6 };
	size_t		 n = 0;

	if (s->listen.addr.family == AF_UNIX) {
		*to = (struct listener){ .addr = s->listen.addr,
			.name = s->listen.text, .stanza = stanza };
		to->addr.scope = s->socket_dir;
		return (1);
	}
	for (size_t i = 0; i < 2; i++) {
		if (!may_be(&s->listen, s->resolv, families[i]))
			continue;
		to[n] = (struct listener){ .addr = s->listen.addr,
			.stanza = stanza };
		to[n].addr.family = (uint16_t)families[i];
		if (!s->any && s->listen.addr.family == 0)
			to[n].name = s->listen.text;
		n++;
	}
	return (n);
}

static int
compare_address(const struct listener *a, const struct listener *b)
{
	if (a->addr.port != b->addr.port)
		return (a->addr.port < b->addr.port ? -1 : 1);
	if (a->addr.family != b->addr.family)
		return (a->addr.family < b->addr.family ? -1 : 1);
	if (a->addr.scope != b->addr.scope)
		return (a->addr.scope < b->addr.scope ? -1 : 1);
	if ((a->name == NULL) != (b->name == NULL))
		return (a->name == NULL ? -1 : 1);
	if (a->name != NULL)
		return (a->addr.family == AF_UNIX ? strcmp(a->name, b->name) :
		    strcasecmp(a->name, b->name));
	return (memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip)));
}

static int
compare_listener(const void *a0, const void *b0)
{
	const struct listener *a = a0, *b = b0;
	int		       order = compare_address(a, b);

	if (order != 0 || a->stanza == b->stanza)
		return (order);
	return (a->stanza < b->stanza ? -1 : 1);
}

/* Reports in the order of the file; twin[i] is 1 + an earlier stanza. */
static void
report_twins(struct diag *d, const struct conf *c, const size_t *twin)
{
	for (size_t i = 0; i < c->nstanzas; i++) {
		const struct conf_stanza *s = &c->stanzas[i];
		struct place at = { .line = s->line, .column = s->column };
		char	     buf[DIAG_WORD], local[LOCAL_TEXT];

		if (twin[i] == 0)
			continue;
		if (s->listen.addr.family == AF_UNIX) {
			local_text(s, local);
			diag_error(d, at, "listens on %s like the stanza of "
			    "line %u, expected another name",
			    diag_word(buf, local, strlen(local)),
			    c->stanzas[twin[i] - 1].line);
			continue;
		}
		diag_error(d, at, "listens on %s port %u like the stanza of "
		    "line %u, expected another address or port",
		    diag_word(buf, s->listen.text, strlen(s->listen.text)),
		    s->listen.addr.port, c->stanzas[twin[i] - 1].line);
	}
}

/*
 * heapsort(3) because qsort(3) may ask the system for its memory's size,
 * which the sandbox does not have.
 */
void
check_listeners(struct diag *d, const struct conf *c)
{
	struct listener *all = calloc(2 * c->nstanzas + 2, sizeof(*all));
	size_t		*twin = calloc(c->nstanzas + 1, sizeof(*twin));
	size_t		 n = 0;

	if (all == NULL || twin == NULL) {
		diag_error(d, (struct place){ 0 }, "out of memory");
		free(all);
		free(twin);
		return;
	}
	for (size_t i = 0; i < c->nstanzas; i++)
		n += listeners_of(&c->stanzas[i], i, all + n);
	if (n > 1)
		heapsort(all, n, sizeof(*all), compare_listener);
	for (size_t i = 1; i < n; i++)
		if (compare_address(&all[i - 1], &all[i]) == 0 &&
		    twin[all[i].stanza] == 0)
			twin[all[i].stanza] = all[i - 1].stanza + 1;
	report_twins(d, c, twin);
	free(all);
	free(twin);
}
