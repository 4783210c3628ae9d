/*
 * Stanzas with names -> listeners with addresses, in sallyport's language.
 * Runs in the translating child, which has no privileges; asks the name
 * service, as tcpproxy(8) did: once, and of a remote the first address only.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>

#include "tcpproxy.h"

#define HOST	(INET6_ADDRSTRLEN + 16)

/* Addresses that no host has: binding to them fails, for every client. */
#define NOBODY_V4	"240.0.0.1"
#define NOBODY_V6	"100::1"

struct end {			/* an address, and its port */
	char	 host[HOST];
	unsigned port;
	int	 family;
	const char *no_listener; /* why sallyport won't listen there */
};

static struct addrinfo *
look_up(const char *host, const char *port, int family, bool listen)
{
	struct addrinfo hints = { .ai_family = family,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = listen ? AI_PASSIVE | AI_ADDRCONFIG : 0 };
	struct addrinfo *res = NULL;
	int		 error = getaddrinfo(host, port, &hints, &res);

	if (error == 0)
		return (res);
	log_line(LEVEL_ERROR, "Error resolving %saddress (%s:%s): %s",
	    family == AF_INET ? "IPv4 " : family == AF_INET6 ? "IPv6 " : "",
	    host != NULL ? host : "*", port != NULL ? port : "0",
	    gai_strerror(error));
	return (NULL);
}

/* In the way that sallyport reads: a zone is a number. */
static struct end
end_of(const struct addrinfo *a)
{
	struct sockaddr_in6 sin6;
	struct sockaddr_in  sin;
	struct end	    e = { .family = a->ai_family };
	size_t		    len;

	if (a->ai_family == AF_INET) {
		memcpy(&sin, a->ai_addr, sizeof(sin));
		inet_ntop(AF_INET, &sin.sin_addr, e.host, HOST);
		e.port = ntohs(sin.sin_port);
		if (IN_MULTICAST(ntohl(sin.sin_addr.s_addr)))
			e.no_listener = "Cannot assign requested address";
		return (e);
	}
	memcpy(&sin6, a->ai_addr, sizeof(sin6));
	inet_ntop(AF_INET6, &sin6.sin6_addr, e.host, HOST);
	e.port = ntohs(sin6.sin6_port);
	if (IN6_IS_ADDR_MULTICAST(&sin6.sin6_addr) ||
	    IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr))
		e.no_listener = "Invalid argument";
	len = strlen(e.host);
	if (sin6.sin6_scope_id != 0)
		snprintf(e.host + len, HOST - len, "%%%u", sin6.sin6_scope_id);
	return (e);
}

/* Where the address and port are listened on, in a translation's text. */
static const char *
find(const char *text, const struct end *e)
{
	char head[HOST + 32];

	snprintf(head, sizeof(head), "\nlisten %s %u\n", e->host, e->port);
	return (strstr(text, head));
}

/* The address as tcpproxy(8) showed it. */
static const char *
show(const struct end *e, char buf[HOST + 8])
{
	snprintf(buf, HOST + 8, "%s%c%u", e->host,
	    e->family == AF_INET6 ? '.' : ':', e->port);
	return (buf);
}

/*
 * What the log shall say of the listener, as a comment; see translate_tell().
 * A new one may fail at a reload: then sallyport's logger says it.
 */
static void
comment(const struct translation *t, const struct end *local,
    const struct end *remote, const struct end *source)
{
	bool reused = find(t->before, local) != NULL;
	char l[HOST + 8], r[HOST + 8], s[HOST + 8] = "";

	if (t->reload && !reused)
		return;
	show(local, l);
	show(remote, r);
	if (source != NULL)
		show(source, s);
	if (reused)
		fprintf(t->out, "# " COMMENT_REUSING "%s with remote: %s%s%s\n",
		    l, r, s[0] != '\0' ? " and source " : "", s);
	else
		fprintf(t->out, "# " COMMENT_LISTENING "%s (remote: %s%s%s)\n",
		    l, r, s[0] != '\0' ? " with source " : "", s);
}

/* Where no connection can be made, none is: that is no reason to refuse. */
static void
add_remote(struct translation *t, const struct end *remote,
    const struct end *source)
{
	const char *nobody = remote->family == AF_INET ? NOBODY_V4 : NOBODY_V6;

	if (remote->port == 0)
		fprintf(t->out, "\t# port 0: no connection will be made\n"
		    "\tremote: %s 1;\n\tsource: %s;\n", remote->host, nobody);
	else
		fprintf(t->out, "\tremote: %s %u;\n", remote->host,
		    remote->port);
	if (remote->port == 0 || source == NULL)
		return;
	if (source->family == remote->family)
		fprintf(t->out, "\tsource: %s;\n", source->host);
	else
		fprintf(t->out, "\t# %s can't be used here: no connection "
		    "will be made\n\tsource: %s;\n", source->host, nobody);
}

/* What sallyport's checker refuses is left out here: it would refuse all. */
static void
add_listener(struct translation *t, const struct end *local,
    const struct end *remote, const struct end *source)
{
	const char *why = local->no_listener;
	char	    text[HOST + 8];

	fflush(t->out);
	if (why == NULL && find(t->text, local) != NULL)
		why = "Address already in use";
	if (why != NULL) {
		log_line(LEVEL_ERROR, "Error on bind(%s): %s",
		    show(local, text), why);
		t->failed = true;
		return;
	}
	fprintf(t->out, "\n");
	comment(t, local, remote, source);
	fprintf(t->out, "listen %s %u\n{\n", local->host, local->port);
	if (find(t->before, local) != NULL)
		fprintf(t->out, "\tname: reused;\n");
	add_remote(t, remote, source);
	fprintf(t->out, "};\n");
	t->count++;
}

/* All that a stanza needs, or NULL, logged. */
static const char *
missing(const struct stanza *s)
{
	if (s->remote == NULL)
		return ("no remote address specified");
	if (s->remote_port == NULL)
		return ("no remote port specified");
	return (NULL);
}

void
listeners_add(struct translation *t, const struct stanza *s)
{
	struct addrinfo *remotes = NULL, *sources = NULL, *locals = NULL;
	const char	*why = missing(s);
	struct end	 local, remote, source;

	if (why != NULL)
		log_line(LEVEL_ERROR, "%s", why);
	else if ((remotes = look_up(s->remote, s->remote_port,
	    s->remote_family, false)) != NULL && (s->source == NULL ||
	    (sources = look_up(s->source, NULL, s->remote_family,
	    false)) != NULL))
		locals = look_up(s->local, s->local_port, s->local_family,
		    true);
	if (locals != NULL) {
		remote = end_of(remotes);
		if (sources != NULL)
			source = end_of(sources);
	}
	for (struct addrinfo *a = locals; a != NULL; a = a->ai_next) {
		local = end_of(a);
		add_listener(t, &local, &remote,
		    sources != NULL ? &source : NULL);
	}
	if (remotes != NULL)
		freeaddrinfo(remotes);
	if (sources != NULL)
		freeaddrinfo(sources);
	if (locals != NULL)
		freeaddrinfo(locals);
}

/* What tcpproxy(8) did not have is switched off. */
void
listeners_begin(struct translation *t, const char *before, int buffer_size)
{
	*t = (struct translation){ .before = before,
		.reload = before[0] != '\0' };
	if ((t->out = open_memstream(&t->text, &t->size)) == NULL)
		exit(FAILED);
	fprintf(t->out, "connect-timeout: 1h;\ntimeout: none;\n"
	    "half-close-timeout: none;\nkeepalive: no;\nbuffer-size: %d;\n"
	    "on-error: %s;\n", buffer_size, t->reload ? "skip" : "fail");
}

char *
listeners_end(struct translation *t)
{
	if (fclose(t->out) != 0)
		exit(FAILED);
	return (t->text);
}
