/*
 * The one stanza that the command line's -l -t -p -r -R -o -s -b describe.
 * Runs in the relay before GO, confined; allocates the configuration.
 */
#include "conf.h"

#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>

#include "checker.h"
#include "local.h"
#include "value.h"

struct options {
	struct diag	    diag;
	struct conf_stanza *stanza;
	struct places	    at;
	struct conf_host    remote; /* port 0: none given yet */
	unsigned	    seen;   /* bit per keyword */
	bool		    has_remote, has_port, has_local_port;
};

static const struct {
	const char *word, *name;
} names[] = {
	{ "-l", "-l/--local-addr" },
	{ "-t", "-t/--local-resolv" },
	{ "-p", "-p/--local-port" },
	{ "-r", "-r/--remote-addr" },
	{ "-R", "-R/--remote-resolv" },
	{ "-o", "-o/--remote-port" },
	{ "-s", "-s/--source-addr" },
	{ "-b", "-b/--buffer-size" },
};

/* For messages: the option with its long name. */
static struct place
option_place(const char *word)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].word, word) == 0)
			return ((struct place){ .option = names[i].name });
	return ((struct place){ .option = word });
}

/* On the command line the families also have short names, in lower case. */
static void
option_family(struct options *o, const struct word *w, int *family)
{
	char buf[DIAG_WORD];

	if (strcmp(w->text, "4") == 0 || strcmp(w->text, "ipv4") == 0)
		*family = AF_INET;
	else if (strcmp(w->text, "6") == 0 || strcmp(w->text, "ipv6") == 0)
		*family = AF_INET6;
	else
		diag_error(&o->diag, w->at, "'%s' is no address family, "
		    "expected ipv4, 4, ipv6 or 6",
		    diag_word(buf, w->text, strlen(w->text)));
}

static void
option_local(struct options *o, const struct word *w)
{
	struct conf_stanza *s = o->stanza;
	uint16_t	    port = s->listen.addr.port;

	o->at.listen = w->at;
	s->any = strcmp(w->text, "*") == 0;
	s->listen = (struct conf_host){ .text = w->text };
	if (local_is(w->text)) {
		local_listen(&o->diag, w, s);
		return;
	}
	if (!s->any)
		value_host(&o->diag, w, &s->listen);
	s->listen.addr.port = port;
}

static void
option_remote(struct options *o, const struct word *w)
{
	uint16_t port = o->remote.addr.port;

	o->at.remote[0] = w->at;
	o->has_remote = true;
	if (local_is(w->text)) {
		local_remote(&o->diag, w, &o->remote);
		return;
	}
	value_host(&o->diag, w, &o->remote);
	o->remote.addr.port = port;
}

static void
option_source(struct options *o, const struct word *w)
{
	struct conf_stanza *s = o->stanza;

	o->at.key[KEY_SOURCE] = w->at;
	s->source = (struct conf_host){ 0 };
	s->has_source = strcmp(w->text, "*") != 0;
	if (s->has_source)
		value_host(&o->diag, w, &s->source);
}

static void
option_set(struct options *o, char letter, const struct word *w)
{
	struct conf_stanza *s = o->stanza;

	switch (letter) {
	case 'l':
		option_local(o, w);
		break;
	case 't':
		o->at.key[KEY_RESOLV] = w->at;
		o->seen |= 1u << KEY_RESOLV;
		option_family(o, w, &s->resolv);
		break;
	case 'p':
		o->has_local_port = true;
		value_port(&o->diag, w, 0, &s->listen.addr.port);
		break;
	case 'r':
		option_remote(o, w);
		break;
	case 'R':
		option_family(o, w, &s->remote_resolv);
		break;
	case 'o':
		o->has_port = true;
		value_port(&o->diag, w, 1, &o->remote.addr.port);
		break;
	case 's':
		option_source(o, w);
		break;
	case 'b':
		value_number(&o->diag, w, &keywords[KEY_BUFFER_SIZE],
		    &s->buffer_size);
		break;
	default:
		diag_error(&o->diag, w->at,
		    "unknown, expected one that describes a listener");
		break;
	}
}

/* Room for the stanza, and for the words: they outlive argv. */
static char *
options_allocate(struct conf *c, int nargs, char **args)
{
	size_t size = 1;

	for (int i = 0; i < nargs; i++)
		size += strlen(args[i]) + 1;
	c->stanzas = calloc(1, sizeof(*c->stanzas));
	c->memory = malloc(size);
	return (c->stanzas == NULL ? NULL : c->memory);
}

/* The words in pairs; `room' is where the values stay. */
static void
options_read(struct options *o, int nargs, char **args, char *room)
{
	struct word w;
	size_t	    size;

	for (int i = 0; i < nargs; i += 2) {
		w = (struct word){ .text = room, .at = option_place(args[i]) };
		if (i + 1 == nargs) {
			diag_error(&o->diag, w.at, "no value, expected one");
			return;
		}
		size = strlen(args[i + 1]) + 1;
		memcpy(room, args[i + 1], size);
		room += size;
		option_set(o, w.at.option == args[i] ? '\0' : args[i][1], &w);
	}
}

/* Ports: TCP has them, unix sockets don't. */
static void
options_ports(struct options *o)
{
	bool local = o->remote.addr.family == AF_UNIX;

	if (!o->has_port && !local)
		diag_error(&o->diag, option_place("-o"),
		    "missing, expected a port or service to connect to");
	if (o->has_port && local)
		diag_error(&o->diag, option_place("-o"),
		    "a unix socket has no port, expected none");
	if (o->has_local_port && o->stanza->listen.addr.family == AF_UNIX)
		diag_error(&o->diag, option_place("-p"),
		    "a unix socket has no port, expected none");
}

/* What was said becomes the stanza. */
static void
options_finish(struct options *o)
{
	struct conf_stanza *s = o->stanza;

	if (!o->has_remote)
		diag_error(&o->diag, option_place("-r"),
		    "missing, expected an address or name to connect to");
	options_ports(o);
	s->remotes[0] = o->remote;
	s->nremotes = 1;
	check_stanza(&o->diag, s, &o->at, o->seen);
}

int
conf_options(struct conf *c, int nargs, char **args, conf_report *report,
    void *arg)
{
	struct options o = { .diag = { .report = report, .arg = arg } };
	char	      *room;

	memset(c, 0, sizeof(*c));
	if ((room = options_allocate(c, nargs, args)) == NULL) {
		diag_error(&o.diag, option_place("-p"), "out of memory");
		conf_free(c);
		return (-1);
	}
	o.stanza = c->stanzas;
	c->nstanzas = 1;
	keyword_defaults(o.stanza);
	o.stanza->listen.text = "*";
	options_read(&o, nargs, args, room);
	options_finish(&o);
	if (o.diag.errors == 0)
		return (0);
	conf_free(c);
	return (-1);
}
