/*
 * Writes a configuration with all values in effect, in the language that it
 * is read in.  Runs in the relay before GO; writes to one descriptor.
 */
#include "conf.h"

#include <netinet/in.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "checker.h"
#include "local.h"

#define LINE_MAX_BYTES 640 /* a name of 253 quotes, and its keyword */

struct printer {
	int    fd; /* -1: writing has failed */
	size_t len;
	char   buf[8 * LINE_MAX_BYTES];
};

static void
print_flush(struct printer *p)
{
	size_t	done = 0;
	ssize_t n;

	while (p->fd != -1 && done < p->len) {
		n = write(p->fd, p->buf + done, p->len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			p->fd = -1;
	}
	p->len = 0;
}

static void __attribute__((format(printf, 2, 3)))
print(struct printer *p, const char *format, ...)
{
	va_list ap;

	if (sizeof(p->buf) - p->len < LINE_MAX_BYTES)
		print_flush(p);
	va_start(ap, format);
	p->len += fmt_vprint(p->buf + p->len, sizeof(p->buf) - p->len, format,
	    ap);
	va_end(ap);
}

/* The inside of a string. */
static void
print_escaped(struct printer *p, const char *text)
{
	for (; *text != '\0'; text++)
		print(p, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
}

/* A unix socket, in quotes if they are needed. */
static void
print_local(struct printer *p, const char *prefix, const char *text)
{
	bool quotes = strpbrk(text, " ;{}#\"\\") != NULL;

	print(p, quotes ? " \"%s" : " %s", prefix);
	print_escaped(p, text);
	if (quotes)
		print(p, "\"");
}

/* An address in its usual form, or the name. */
static void
print_host(struct printer *p, const struct conf_host *host)
{
	char buf[NETADDR_TEXT];

	print(p, " %s", host->addr.family != 0 ?
	    netaddr_ip(&host->addr, buf) : host->text);
}

static const char *
family_name(int family)
{
	if (family == 0)
		return ("any");
	return (family == AF_INET ? "ipv4" : "ipv6");
}

/* The number with the largest unit that leaves no rest. */
static void
print_duration(struct printer *p, uint64_t ms)
{
	if (ms % 3600000 == 0)
		print(p, " %lluh", (unsigned long long)(ms / 3600000));
	else if (ms % 60000 == 0)
		print(p, " %llum", (unsigned long long)(ms / 60000));
	else if (ms % 1000 == 0)
		print(p, " %llus", (unsigned long long)(ms / 1000));
	else
		print(p, " %llums", (unsigned long long)ms);
}

static void
print_size(struct printer *p, uint32_t size)
{
	if (size % (1024 * 1024) == 0)
		print(p, " %um", size / (1024 * 1024));
	else if (size % 1024 == 0)
		print(p, " %uk", size / 1024);
	else
		print(p, " %u", size);
}

static void
print_number(struct printer *p, const struct keyword *k, uint32_t number)
{
	if (number == 0)
		print(p, " %s", k->type == TYPE_KEEPALIVE ? "no" : "none");
	else if (k->type == TYPE_MS)
		print_duration(p, number);
	else if (k->type == TYPE_SECONDS || k->type == TYPE_KEEPALIVE)
		print_duration(p, (uint64_t)number * 1000);
	else if (k->type == TYPE_SIZE)
		print_size(p, number);
	else
		print(p, " %u", number);
}

static void
print_name(struct printer *p, const char *name)
{
	if (name == NULL)
		return;
	print(p, "\t%s: \"", keywords[KEY_NAME].name);
	print_escaped(p, name);
	print(p, "\";\n");
}

static void
print_remotes(struct printer *p, const struct conf_stanza *s)
{
	for (size_t i = 0; i < s->nremotes; i++) {
		print(p, "\t%s:", keywords[KEY_REMOTE].name);
		if (s->remotes[i].addr.family == AF_UNIX) {
			print_local(p, "unix:", s->remotes[i].text);
			print(p, ";\n");
			continue;
		}
		print_host(p, &s->remotes[i]);
		print(p, " %u;\n", s->remotes[i].addr.port);
	}
}

static void
print_owner(struct printer *p, const struct conf_stanza *s)
{
	if (s->socket_uid == CONF_NO_ID && s->socket_gid == CONF_NO_ID)
		print(p, " *");
	else if (s->socket_gid == CONF_NO_ID)
		print(p, " %u", s->socket_uid);
	else if (s->socket_uid == CONF_NO_ID)
		print(p, " :%u", s->socket_gid);
	else
		print(p, " %u:%u", s->socket_uid, s->socket_gid);
}

/* Is it of any use in this stanza?  If not, to say it would be odd. */
static bool
has_effect(const struct keyword *k, const struct conf_stanza *s)
{
	bool local = s->listen.addr.family == AF_UNIX;

	if (k->type == TYPE_MODE || k->type == TYPE_OWNER)
		return (local);
	if (k == &keywords[KEY_RESOLV])
		return (!local);
	return (k != &keywords[KEY_KEEPALIVE] || check_has_tcp(s));
}

static void
print_statement(struct printer *p, const struct keyword *k,
    const struct conf *c, const struct conf_stanza *s)
{
	print(p, "\t%s:", k->name);
	switch (k->type) {
	case TYPE_FAMILY:
		print(p, " %s", family_name(k == &keywords[KEY_RESOLV] ?
		    s->resolv : s->remote_resolv));
		break;
	case TYPE_SOURCE:
		if (s->has_source)
			print_host(p, &s->source);
		else
			print(p, " *");
		break;
	case TYPE_MODE:
		print(p, " 0%u%u%u", s->socket_mode >> 6 & 7,
		    s->socket_mode >> 3 & 7, s->socket_mode & 7);
		break;
	case TYPE_OWNER:
		print_owner(p, s);
		break;
	case TYPE_ON_ERROR:
		print(p, " %s", s->on_error == ON_ERROR_SKIP ? "skip" : "fail");
		break;
	default:
		print_number(p, k, keyword_value(k, c, s));
		break;
	}
	print(p, ";\n");
}

static void
print_stanza(struct printer *p, const struct conf *c,
    const struct conf_stanza *s)
{
	char local[LOCAL_TEXT];

	print(p, "\nlisten");
	if (s->any)
		print(p, " *");
	else if (s->listen.addr.family == AF_UNIX)
		print_local(p, "", local_text(s, local));
	else
		print_host(p, &s->listen);
	if (s->listen.addr.family != AF_UNIX)
		print(p, " %u", s->listen.addr.port);
	print(p, "\n{\n");
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct keyword *k = &keywords[i];

		if (k->type == TYPE_REMOTE)
			print_remotes(p, s);
		else if (k->type == TYPE_NAME)
			print_name(p, s->name);
		else if ((k->scope & SCOPE_STANZA) != 0 && has_effect(k, s))
			print_statement(p, k, c, s);
	}
	print(p, "};\n");
}

void
conf_print(const struct conf *c, int fd)
{
	const struct keyword *k = &keywords[KEY_DRAIN_TIMEOUT];
	struct printer	      p = { .fd = fd };

	print(&p, "%s:", k->name);
	print_number(&p, k, c->drain_timeout);
	print(&p, ";\n");
	for (size_t i = 0; i < c->nstanzas; i++)
		print_stanza(&p, c, &c->stanzas[i]);
	print_flush(&p);
}
