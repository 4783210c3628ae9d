/*
 * The log lines of tcpproxy(8), made from the events of relay/report.c and
 * relay/bind.c: their texts and fields are what is recognised here.  Runs in
 * the logger, on checked entries; works in the caller's buffer and touches
 * nothing else.
 */
#include "logfmt_tcpproxy.h"

#include <string.h>

#include "fmt.h"
#include "netaddr.h"

#define LISTENING	"listening on: "
#define REMOTE		" (remote: "
#define SOURCE		" with source "
#define NO_LISTENER	"cannot listen on "
#define SKIPPED		" (skipped)"

enum what {
	WHAT_ENDED,		/* both streams were read to their ends */
	WHAT_REMOVED,		/* "Error on CALL(): WHY, removing ..." */
	WHAT_NOT_ADDED,		/* "Error on CALL(): WHY, not adding ..." */
	WHAT_OTHER
};

/* The reasons of session lines; `why' if there is no field `error'. */
static const struct reason {
	const char *name;
	enum what what;
	enum log_level level;
	const char *call, *why;
} reasons[] = {
	{ "client-eof", WHAT_ENDED, LEVEL_INFO, NULL, NULL },
	{ "server-eof", WHAT_ENDED, LEVEL_INFO, NULL, NULL },
	{ "client-reset", WHAT_REMOVED, LEVEL_INFO, "recv",
	    "Connection reset by peer" },
	{ "server-reset", WHAT_REMOVED, LEVEL_INFO, "recv",
	    "Connection reset by peer" },
	{ "connect-refused", WHAT_NOT_ADDED, LEVEL_ERROR, "connect",
	    "Connection refused" },
	{ "connect-timeout", WHAT_NOT_ADDED, LEVEL_ERROR, "connect",
	    "Connection timed out" },
	{ "connect-failed", WHAT_NOT_ADDED, LEVEL_ERROR, "connect",
	    "no connection" },
	{ "no-address", WHAT_NOT_ADDED, LEVEL_ERROR, "connect",
	    "no address" },
	{ "source", WHAT_NOT_ADDED, LEVEL_INFO, "bind",
	    "Cannot assign requested address" },
	{ "limit", WHAT_NOT_ADDED, LEVEL_INFO, "socket",
	    "Too many open files" },
	{ "shutdown", WHAT_OTHER, LEVEL_DEBUG, NULL, NULL },
	{ NULL, WHAT_OTHER, LEVEL_INFO, NULL, NULL }
};

/* The value of a field, or "?". */
static const char *
field(const struct logfmt_entry *e, const char *key)
{
	const char *value = logfmt_field(e, key);

	return (value != NULL ? value : "?");
}

/* "[2001:db8::1]:80" was "2001:db8::1.80"; IPv4 is as it was. */
static const char *
address(const char *text, size_t len, char buf[NETADDR_TEXT])
{
	size_t port = len;

	while (port > 0 && text[port - 1] != ']')
		port--;
	if (len > 0 && text[0] == '[' && port > 1 && port < len)
		fmt_print(buf, NETADDR_TEXT, "%.*s.%.*s", (int)port - 2,
		    text + 1, (int)(len - port) - 1, text + port + 1);
	else
		fmt_print(buf, NETADDR_TEXT, "%.*s", (int)len, text);
	return (buf);
}

static const char *
field_address(const struct logfmt_entry *e, const char *key,
    char buf[NETADDR_TEXT])
{
	const char *value = field(e, key);

	return (address(value, strlen(value), buf));
}

/* A source address was shown with a port of 0. */
static const char *
source(const char *text, size_t len, char buf[NETADDR_TEXT])
{
	bool v6 = memchr(text, ':', len) != NULL;

	fmt_print(buf, NETADDR_TEXT, "%.*s%c0", (int)len, text,
	    v6 ? '.' : ':');
	return (buf);
}

/*
 * "listening on: L (remote: R[ with source S])".  At start and about those
 * that stay, which its name tells, the front has said it already.  Returns
 * the level, LEVEL_OFF if it does not look like that.
 */
static enum log_level
listening(const struct logfmt_entry *e, char *buf)
{
	const char *local = e->text + strlen(LISTENING), *src;
	const char *remote = strstr(local, REMOTE);
	const char *end = local + strlen(local) - 1;
	bool said = e->who.gen == 1 ||
	    strcmp(field(e, "name"), LOGFMT_REUSED) == 0;
	char l[NETADDR_TEXT], r[NETADDR_TEXT], s[NETADDR_TEXT] = "";

	if (remote == NULL || *end != ')')
		return (LEVEL_OFF);
	address(local, (size_t)(remote - local), l);
	remote += strlen(REMOTE);
	if ((src = strstr(remote, SOURCE)) != NULL) {
		address(remote, (size_t)(src - remote), r);
		src += strlen(SOURCE);
		source(src, (size_t)(end - src), s);
	} else {
		address(remote, (size_t)(end - remote), r);
	}
	fmt_print(buf, LOGFMT_TCPPROXY, "listening on: %s (remote: %s%s%s)",
	    l, r, src != NULL ? SOURCE : "", s);
	return (said ? LEVEL_DEBUG : LEVEL_NOTICE);
}

/* "...cannot listen on L: WHY[ (skipped)]".  False: something else. */
static bool
no_listener(const struct logfmt_entry *e, char *buf)
{
	const char *local = strstr(e->text, NO_LISTENER);
	const char *why, *end;
	char l[NETADDR_TEXT];

	if (local == NULL)
		return (false);
	local += strlen(NO_LISTENER);
	if ((why = strstr(local, ": ")) == NULL)
		return (false);
	if ((end = strstr(why + 2, SKIPPED)) == NULL)
		end = why + strlen(why);
	fmt_print(buf, LOGFMT_TCPPROXY, "Error on bind(%s): %.*s",
	    address(local, (size_t)(why - local), l),
	    (int)(end - why) - 2, why + 2);
	return (true);
}

/* The end of a session, or of what was to be one.  Returns the level. */
static enum log_level
session(const struct logfmt_entry *e, char *buf)
{
	const char *client = field(e, "fd"), *name = field(e, "reason");
	const char *why = logfmt_field(e, "error");
	const struct reason *r = reasons;

	while (r->name != NULL && strcmp(r->name, name) != 0)
		r++;
	if (why == NULL)
		why = r->why;
	if (r->what == WHAT_ENDED)
		fmt_print(buf, LOGFMT_TCPPROXY, "client %s: both connections "
		    "are finished now - removing it", client);
	else if (r->what == WHAT_OTHER)
		fmt_print(buf, LOGFMT_TCPPROXY, "client %s: %s - removing it",
		    client, name);
	else
		fmt_print(buf, LOGFMT_TCPPROXY, "Error on %s(): %s, %s client "
		    "%s", r->call, why, r->what == WHAT_REMOVED ?
		    "removing" : "not adding", client);
	return (r->level);
}

/* The two reports. */
static enum log_level
report_listener(const struct logfmt_entry *e, char *buf)
{
	const char *src = logfmt_field(e, "source");
	/* of a generation that has been replaced: nobody's any more */
	bool closed = strcmp(field(e, "state"), "draining") == 0;
	char l[NETADDR_TEXT], r[NETADDR_TEXT], s[NETADDR_TEXT] = "";

	if (src != NULL)
		source(src, strlen(src), s);
	fmt_print(buf, LOGFMT_TCPPROXY, "[%c] listener #%s: %s -> %s%s%s",
	    closed ? 'z' : 'a', field(e, "fd"),
	    field_address(e, "address", l), field_address(e, "remote", r),
	    src != NULL ? SOURCE : "", s);
	return (closed ? LEVEL_DEBUG : LEVEL_NOTICE);
}

static enum log_level
report_session(const struct logfmt_entry *e, char *buf)
{
	const char *state = field(e, "state");
	const char *server = logfmt_field(e, "server_fd");

	fmt_print(buf, LOGFMT_TCPPROXY, "[%c] client #%s/%s: %s bytes "
	    "received, %s bytes sent", strcmp(state, "connecting") == 0 ?
	    '>' : strcmp(state, "connected") == 0 ? 'c' : '-', field(e, "fd"),
	    server != NULL ? server : "-1", field(e, "to_client"),
	    field(e, "to_server"));
	return (LEVEL_NOTICE);
}

/* Returns the level, or LEVEL_OFF when tcpproxy(8) had no such line. */
static enum log_level
translate(const struct logfmt_entry *e, char *buf)
{
	char addr[NETADDR_TEXT];

	if (strcmp(e->text, "session") == 0)
		return (session(e, buf));
	if (strcmp(e->text, "session accepted") == 0) {
		fmt_print(buf, LOGFMT_TCPPROXY, "new client from %s (fd=%s)",
		    field_address(e, "client", addr), field(e, "fd"));
		return (LEVEL_INFO);
	}
	if (strcmp(e->text, "session connected") == 0) {
		fmt_print(buf, LOGFMT_TCPPROXY, "successfully added client %s",
		    field(e, "fd"));
		return (LEVEL_INFO);
	}
	if (strcmp(e->text, "listener") == 0)
		return (report_listener(e, buf));
	if (strcmp(e->text, "active session") == 0)
		return (report_session(e, buf));
	if (strncmp(e->text, LISTENING, strlen(LISTENING)) == 0)
		return (listening(e, buf));
	return (no_listener(e, buf) ? LEVEL_ERROR : LEVEL_OFF);
}

void
logfmt_tcpproxy(struct logfmt_entry *e, char buf[LOGFMT_TCPPROXY])
{
	enum log_level level = LEVEL_OFF;

	if (e->who.role == ROLE_RELAY)
		level = translate(e, buf);
	if (level != LEVEL_OFF) {
		e->level = level;
		e->text = buf;
		e->nfields = 0;
	} else if (e->level > LEVEL_WARNING) {
		e->level = LEVEL_DEBUG;
	}
}
