/*
 * Lines about listeners and sessions.  Runs in the relay, the reports after
 * GO; reads tables, writes to the log.
 *
 * A report is paced by a timer, below the rate that the logger allows, so
 * that neither forwarding nor the log notices ten thousand lines; a line for
 * which the log's queue has no room is sent later.  It is about what was
 * there when it was asked for and still is when its turn comes; its last
 * line says how many that were.
 */
#include "report.h"

#include <sys/socket.h>

#include <errno.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "local.h"
#include "relay.h"

#define REPORT_STEP	16	/* ms */
#define REPORT_WORK	1200	/* of one step; */
#define REPORT_LINE	100	/* a line is so much, a slot not in use 1 */
#define REPORT_HOST	(CONF_WORD_MAX + 10)
#define REPORT_HOSTS	512
#define REPORT_LISTEN	(REPORT_HOSTS + CONF_WORD_MAX + 128)

const char *
report_host(const struct conf_host *h, char *buf, size_t size)
{
	char text[NETADDR_TEXT];

	if (h->addr.family == AF_UNIX)
		fmt_print(buf, size, "unix:%s", h->text);
	else if (h->addr.family != 0)
		fmt_print(buf, size, "%s", netaddr_text(&h->addr, text));
	else
		fmt_print(buf, size, "%s:%u", h->text, h->addr.port);
	return (buf);
}

_Static_assert(REPORT_ADDR >= LOCAL_TEXT && REPORT_ADDR >= NETADDR_TEXT,
    "a listener's address has room");

const char *
report_address(const struct relay *r, const struct listener *l,
    char buf[REPORT_ADDR])
{
	if (l->addr.family == AF_UNIX)
		return (local_text(&r->conf.stanzas[l->stanza], buf));
	return (netaddr_text(&l->addr, buf));
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
	char addr[REPORT_ADDR], hosts[REPORT_HOSTS], text[REPORT_LISTEN];
	struct log_line line;

	report_address(r, l, addr);
	report_remotes(z, hosts, sizeof(hosts));
	fmt_print(text, sizeof(text), "listening on: %s (remote: %s%s%s)",
	    addr, hosts, z->has_source ? " with source " : "",
	    z->has_source ? z->source.text : "");
	log_begin(&line, LEVEL_NOTICE, text);
	if (z->name != NULL)
		log_str(&line, "name", z->name);
	log_send(&line);
}

/* The server's address; without one what the configuration says. */
static void
report_server(const struct conf_stanza *z, const struct session *s,
    struct log_line *line)
{
	char text[REPORT_HOSTS];

	if (s->server.family == AF_UNIX && s->remote < z->nremotes)
		log_str(line, "remote", report_host(&z->remotes[s->remote],
		    text, sizeof(text)));
	else if (s->server.family != 0)
		log_str(line, "remote", netaddr_text(&s->server, text));
	else
		log_str(line, "remote",
		    report_remotes(z, text, sizeof(text)));
}

/* By which the lines of one session can be matched, if it has several. */
static void
report_fds(const struct relay *r, const struct session *s,
    struct log_line *line)
{
	if (!r->child->log_begins)
		return;
	log_num(line, "fd", (uint64_t)s->end[SIDE_CLIENT].fd);
	if (s->end[SIDE_SERVER].fd != -1)
		log_num(line, "server_fd", (uint64_t)s->end[SIDE_SERVER].fd);
}

/* The client's address; of a unix socket's client there are credentials. */
static void
report_client(const struct session *s, struct log_line *line)
{
	char text[NETADDR_TEXT];

	if (s->client.family != AF_UNIX) {
		log_str(line, "client", netaddr_text(&s->client, text));
		return;
	}
	log_str(line, "client", "unix");
	log_num(line, "pid", s->client.peer.pid);
	log_num(line, "uid", s->client.peer.uid);
	log_num(line, "gid", s->client.peer.gid);
}

/* What a session's lines have in common. */
static void
report_session(const struct relay *r, const struct session *s,
    struct log_line *line)
{
	const struct listener *l = &r->listeners[s->listener];
	const struct conf_stanza *z = &r->conf.stanzas[l->stanza];
	char text[REPORT_ADDR];

	if (z->name != NULL)
		log_str(line, "name", z->name);
	report_client(s, line);
	log_str(line, "listener", report_address(r, l, text));
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
report_event(const struct relay *r, const struct session *s,
    const char *event)
{
	struct log_line line;

	if (!r->child->log_begins || !log_wants(LEVEL_INFO))
		return;
	log_begin(&line, LEVEL_INFO, event);
	report_session(r, s, &line);
	report_fds(r, s, &line);
	log_send(&line);
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
	enum log_level level = failed ? LEVEL_WARNING : LEVEL_INFO;
	struct log_line line;
	char text[128];

	if (!log_wants(level))
		return;
	log_begin(&line, level, "session");
	report_session(r, s, &line);
	log_num(&line, "duration_ms", r->now - s->started);
	log_num(&line, "connect_ms", s->connect_us / 1000);
	log_str(&line, "reason", reasons[why]);
	report_fds(r, s, &line);
	if (!report_is_plain(why, error)) {
		errno = error;
		fmt_print(text, sizeof(text), "%m");
		log_str(&line, "error", text);
	}
	log_send(&line);
}

static const char *
report_listener_state(const struct relay *r, const struct listener *l)
{
	static const char *const states[] = {
		[ACCEPT_ROOM] = "accepting",
		[ACCEPT_PAUSED] = "paused-shortage",
		[ACCEPT_LISTENER_FULL] = "paused-limit",
		[ACCEPT_RELAY_FULL] = "paused-relay-limit",
		[ACCEPT_DIALER_BUSY] = "paused-dialer",
		[ACCEPT_NO_FDS] = "paused-descriptors",
	};

	return (l->state == LISTENER_CLOSED ? "draining" :
	    states[accept_room(r, l)]);
}

static bool
report_listener(const struct relay *r, uint32_t i)
{
	const struct listener *l = &r->listeners[i];
	const struct conf_stanza *z = &r->conf.stanzas[l->stanza];
	struct log_line line;
	char text[REPORT_HOSTS];

	log_begin_report(&line, "listener");
	if (z->name != NULL)
		log_str(&line, "name", z->name);
	log_str(&line, "address", report_address(r, l, text));
	log_str(&line, "remote", report_remotes(z, text, sizeof(text)));
	if (z->has_source)
		log_str(&line, "source", z->source.text);
	if (r->child->log_begins && l->fd != -1)
		log_num(&line, "fd", (uint64_t)l->fd);
	log_str(&line, "state", report_listener_state(r, l));
	log_num(&line, "sessions", l->sessions);
	log_num(&line, "limit", r->routes[l->stanza].limit);
	log_num(&line, "accepted", l->accepted);
	log_num(&line, "refused", l->refused);
	log_num(&line, "paused", l->pauses);
	return (log_try(&line));
}

static const char *
report_session_state(const struct session *s)
{
	bool client = (s->end[SIDE_CLIENT].flags & (END_FIN | END_EOF)) != 0;
	bool server = (s->end[SIDE_SERVER].flags & (END_FIN | END_EOF)) != 0;

	if (s->state != SESSION_OPEN)
		return ("connecting");
	if (client && server)
		return ("closing");
	return (client ? "half-closed-by-client" :
	    server ? "half-closed-by-server" : "connected");
}

static bool
report_active(const struct relay *r, const struct session *s)
{
	struct log_line line;

	log_begin_report(&line, "active session");
	report_session(r, s, &line);
	report_fds(r, s, &line);
	log_num(&line, "age_ms", r->now - s->started);
	log_num(&line, "idle_ms", r->now - s->active);
	log_str(&line, "state", report_session_state(s));
	return (log_try(&line));
}

static void
report_begin(const struct relay *r, struct report_part *p)
{
	*p = (struct report_part){
		.active = true, .began = r->sessions.used,
		.serial = r->sessions.serial
	};
}

/* The report's last line. */
static uint32_t
report_finish(const struct relay *r, struct report_part *p)
{
	bool sessions = p == &r->report.sessions;
	struct log_line line;

	log_begin_report(&line, sessions ? "sessions reported" :
	    "listeners reported");
	log_num(&line, "count", p->shown);
	if (sessions) {
		log_num(&line, "ended", p->began - p->shown);
		log_num(&line, "limit", r->sessions.count);
	}
	if (!log_try(&line))
		return (REPORT_WORK);
	p->active = false;
	if (p->again)
		report_begin(r, p);
	return (REPORT_LINE);
}

/* The next line.  Returns what that took; REPORT_WORK: try again later. */
static uint32_t
report_next_listener(struct relay *r)
{
	struct report_part *p = &r->report.listeners;

	if (p->next == r->nlisteners)
		return (report_finish(r, p));
	if (!report_listener(r, p->next))
		return (REPORT_WORK);
	p->next++;
	p->shown++;
	return (REPORT_LINE);
}

/* The next slot, likewise; sessions that came later are left out. */
static uint32_t
report_next_session(struct relay *r)
{
	struct report_part *p = &r->report.sessions;
	const struct session *s = &r->sessions.slot[p->next];

	if (p->next == r->sessions.fresh)
		return (report_finish(r, p));
	if (s->state == SESSION_FREE || (int32_t)(s->serial - p->serial) > 0) {
		p->next++;
		return (1);
	}
	if (!report_active(r, s))
		return (REPORT_WORK);
	p->next++;
	p->shown++;
	return (REPORT_LINE);
}

void
report_start(struct relay *r, uint32_t what)
{
	struct report *t = &r->report;
	struct report_part *p = what == REPORT_LISTENERS ? &t->listeners :
	    &t->sessions;

	if (p->active) {
		p->again = true;
		return;
	}
	if (!t->listeners.active && !t->sessions.active)
		timer_start(&r->wheel, r->sessions.count + TIMER_REPORT,
		    r->now);
	report_begin(r, p);
}

void
report_timer(struct relay *r)
{
	const struct report *t = &r->report;
	uint32_t work = 0;

	while (work < REPORT_WORK) {
		if (t->listeners.active)
			work += report_next_listener(r);
		else if (t->sessions.active)
			work += report_next_session(r);
		else
			return;
	}
	timer_start(&r->wheel, r->sessions.count + TIMER_REPORT,
	    r->now + REPORT_STEP);
}
