/*
 * What must hold between the statements of a stanza, and between stanzas.
 * Runs in the relay before GO, confined; reads the parsed configuration,
 * allocates one table that it frees again.
 */
#include "checker.h"

#include <netinet/in.h>

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An address that a stanza listens on. */
struct listener {
	struct netaddr addr; /* a name: only family and port */
	const char    *name; /* or NULL */
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

	if (host->addr.family == 0 || resolv == 0 ||
	    host->addr.family == resolv)
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

	if (a->family == 0)
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
	check_family(d, &s->source, s->remote_resolv, "remote-resolv",
	    at->key[KEY_SOURCE]);
	if (s->source.addr.family == 0)
		return;
	diag_word(buf, s->source.text, strlen(s->source.text));
	for (size_t i = 0; i < s->nremotes; i++) {
		useless[i] = s->remotes[i].addr.family != 0 &&
		    s->remotes[i].addr.family != s->source.addr.family;
		n += useless[i];
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

void
check_stanza(struct diag *d, const struct conf_stanza *s,
    const struct places *at)
{
	check_listen(d, s, at->listen);
	for (size_t i = 0; i < s->nremotes; i++)
		check_family(d, &s->remotes[i], s->remote_resolv,
		    "remote-resolv", at->remote[i]);
	check_source(d, s, at);
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
		return (strcasecmp(a->name, b->name));
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
		char	     buf[DIAG_WORD];

		if (twin[i] == 0)
			continue;
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
