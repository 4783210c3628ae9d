/*
 * Lines about listeners and sessions.  Runs in the relay, the reports after
 * GO; reads tables, writes to the log.  A report is paced by a timer, so
 * that neither forwarding nor the log's queue notices ten thousand lines.
 */
#include "report.h"

#include <errno.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "relay.h"

#define REPORT_LINES	32	/* per step */
#define REPORT_STEP	16	/* ms */
#define REPORT_HOST	(CONF_WORD_MAX + 10)
#define REPORT_HOSTS	512

const char *
report_host(const struct conf_host *h, char *buf, size_t size)
{
	char text[NETADDR_TEXT];

	if (h->addr.family != 0)
		fmt_print(buf, size, "%s", netaddr_text(&h->addr, text));
	else
		fmt_print(buf, size, "%s:%u", h->text, h->addr.port);
	return (buf);
}

/* All remotes of a stanza, as far as they fit. */
static const char *
report_remotes(const struct conf_stanza *z, char *buf, size_t size)
{
	char host[REPORT_HOST];
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < z->nremotes; i++)
		len += fmt_print(buf + len, size - len, "%s%s",
		    i != 0 ? ", " : "",
		    report_host(&z->remotes[i], host, sizeof(host)));
	return (buf);
}

void
report_listening(const struct relay *r, uint32_t listener)
{
	const struct listener *l = &r->listeners[listener];
	const struct conf_stanza *z = &r->conf.stanzas[l->stanza];
	char addr[NETADDR_TEXT], hosts[REPORT_HOSTS];

	netaddr_text(&l->addr, addr);
	report_remotes(z, hosts, sizeof(hosts));
	if (z->has_source)
		log_text(LEVEL_NOTICE,
		    "listening on: %s (remote: %s with source %s)", addr,
		    hosts, z->source.text);
	else
		log_text(LEVEL_NOTICE, "listening on: %s (remote: %s)", addr,
		    hosts);
}

/* The server's address; without one what the configuration says. */
static void
report_server(const struct conf_stanza *z, const struct session *s,
    struct log_line *line)
{
	char text[REPORT_HOSTS];

	if (s->server.family != 0)
		log_str(line, "remote", netaddr_text(&s->server, text));
	else
		log_str(line, "remote",
		    report_remotes(z, text, sizeof(text)));
}

/* What a session's lines have in common. */
static void
report_session(const struct relay *r, const struct session *s,
    struct log_line *line)
{
	const struct listener *l = &r->listeners[s->listener];
	const struct conf_stanza *z = &r->conf.stanzas[l->stanza];
	char text[NETADDR_TEXT];

	if (z->name != NULL)
		log_str(line, "name", z->name);
	log_str(line, "client", netaddr_text(&s->client, text));
	log_str(line, "listener", netaddr_text(&l->addr, text));
	report_server(z, s, line);
	log_num(line, "to_server", s->bytes[SIDE_CLIENT]);
	log_num(line, "to_client", s->bytes[SIDE_SERVER]);
}

/* Errors that the reason says already, or that are none of the system's. */
static bool
report_is_plain(enum session_end why, int error)
{
	if (error == 0 || why == END_REFUSED || why == END_CONNECT_TIMEOUT ||
	    why == END_NO_ADDRESS || why == END_SOURCE ||
	    error == (int)DIAL_LIMIT)
		return (true);
	return ((why == END_CLIENT_RESET || why == END_SERVER_RESET) &&
	    (error == ECONNRESET || error == EPIPE));
}

void
report_end(const struct relay *r, const struct session *s,
    enum session_end why, int error)
{
	static const char *const reasons[END_COUNT] = {
		[END_CLIENT_EOF] = "client-eof",
		[END_SERVER_EOF] = "server-eof",
		[END_CLIENT_RESET] = "client-reset",
		[END_SERVER_RESET] = "server-reset",
		[END_IDLE] = "idle",
		[END_HALF_CLOSE] = "half-close-timeout",
		[END_REFUSED] = "connect-refused",
		[END_CONNECT_TIMEOUT] = "connect-timeout",
		[END_CONNECT_FAILED] = "connect-failed",
		[END_NO_ADDRESS] = "no-address",
		[END_LIMIT] = "limit",
		[END_SOURCE] = "source",
		[END_SHUTDOWN] = "shutdown",
	};
	bool failed = s->state == SESSION_FAILED ||
	    why == END_CONNECT_TIMEOUT || why == END_CONNECT_FAILED;
	struct log_line line;
	char text[128];

	log_begin(&line, failed ? LEVEL_WARNING : LEVEL_INFO, "session");
	report_session(r, s, &line);
	log_num(&line, "duration_ms", r->now - s->started);
	log_num(&line, "connect_ms", s->connect_us / 1000);
	log_str(&line, "reason", reasons[why]);
	if (!report_is_plain(why, error)) {
		errno = error;
		fmt_print(text, sizeof(text), "%m");
		log_str(&line, "error", text);
	}
	log_send(&line);
}

static void
report_one_listener(const struct relay *r, uint32_t i)
{
	const struct listener *l = &r->listeners[i];
	const struct conf_stanza *z = &r->conf.stanzas[l->stanza];
	struct log_line line;
	char text[REPORT_HOSTS];

	log_begin(&line, LEVEL_NOTICE, "listener");
	if (z->name != NULL)
		log_str(&line, "name", z->name);
	log_str(&line, "address", netaddr_text(&l->addr, text));
	log_str(&line, "remote", report_remotes(z, text, sizeof(text)));
	log_str(&line, "state", l->state == LISTENER_WATCHED ? "accepting" :
	    l->state == LISTENER_PARKED ? "waiting" : "closed");
	log_num(&line, "sessions", l->sessions);
	log_num(&line, "accepted", l->accepted);
	log_num(&line, "refused", l->refused);
	log_send(&line);
}

static void
report_one_session(const struct relay *r, const struct session *s)
{
	const uint8_t halves = SESSION_CLIENT_ENDED | SESSION_SERVER_ENDED;
	struct log_line line;

	log_begin(&line, LEVEL_NOTICE, "active session");
	report_session(r, s, &line);
	log_num(&line, "age_ms", r->now - s->started);
	log_num(&line, "idle_ms", r->now - s->active);
	log_str(&line, "state", s->state != SESSION_OPEN ? "connecting" :
	    s->flags & halves ? "closing" : "connected");
	log_send(&line);
}

void
report_start(struct relay *r, uint32_t what)
{
	if (what == REPORT_LISTENERS) {
		r->report.listeners = true;
		r->report.next_listener = 0;
	} else {
		r->report.sessions = true;
		r->report.next_session = 0;
	}
	timer_start(&r->wheel, r->sessions.count + TIMER_REPORT, r->now);
}

/* The next line of what is under way.  False when all is said. */
static bool
report_next(struct relay *r)
{
	struct report *p = &r->report;
	const struct session *s;

	if (p->listeners && p->next_listener < r->nlisteners) {
		report_one_listener(r, p->next_listener++);
		return (true);
	}
	p->listeners = false;
	while (p->sessions && p->next_session < r->sessions.fresh) {
		s = &r->sessions.slot[p->next_session++];
		if (s->state != SESSION_FREE) {
			report_one_session(r, s);
			return (true);
		}
	}
	p->sessions = false;
	return (false);
}

void
report_timer(struct relay *r)
{
	for (int i = 0; i < REPORT_LINES; i++)
		if (!report_next(r))
			return;
	timer_start(&r->wheel, r->sessions.count + TIMER_REPORT,
	    r->now + REPORT_STEP);
}
