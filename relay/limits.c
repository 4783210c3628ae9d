/*
 * Limits: what was asked for, what the system allows, and what of both is
 * said.  Runs in the relay while loading, and when a configuration is only
 * checked; reads one file of /proc before the sandbox.
 */
#include "limits.h"

#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"
#include "budget.h"
#include "relay.h"

#define SOMAXCONN_FILE	"/proc/sys/net/core/somaxconn"
#define LIMITS_TEXT	1024

struct limits_check {		/* where messages go */
	const struct relay *r;
	conf_report *report;
	void	*arg;
	bool	 failed;
};

void
limits_prepare(struct limits *l)
{
	struct rlimit files;
	char text[24];
	uint64_t n;
	ssize_t len;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1)
		fatal("getrlimit");
	l->fds = files.rlim_cur;
	l->somaxconn = 0;
	fd = open(SOMAXCONN_FILE, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	len = read(fd, text, sizeof(text));
	close(fd);
	if (len < 2 || text[len - 1] != '\n')
		return;
	text[len - 1] = '\0';
	if (fmt_number(text, INT32_MAX, &n) == 0)
		l->somaxconn = (uint32_t)n;
}

/* A message about a stanza, which a command line's one has no place for. */
static void
limits_message(struct limits_check *c, const struct conf_stanza *z,
    bool is_error, const char *text)
{
	const char *file = c->r->child->conf;
	char message[2 * LIMITS_TEXT];
	size_t len = 0;

	if (z != NULL && file != NULL)
		len = fmt_print(message, sizeof(message), "%s:%u:%u: ", file,
		    z->line, z->column);
	fmt_print(message + len, sizeof(message) - len, "%s%s",
	    is_error ? "" : "warning: ", text);
	c->report(c->arg, is_error, message);
	c->failed = c->failed || is_error;
}

/* A relay that may have no session would leave its clients to wait. */
static void
limits_stanza(struct limits_check *c, const struct conf_stanza *z)
{
	uint32_t workers = c->r->child->workers;
	char text[LIMITS_TEXT];

	if (z->max_connections == 0 || z->max_connections >= workers)
		return;
	fmt_print(text, sizeof(text), "'max-connections: %u' can't be divided "
	    "among %u relays, expected at least one connection for each, "
	    "none, or fewer --workers", z->max_connections, workers);
	limits_message(c, z, true, text);
}

/* One line for all stanzas. */
static void
limits_backlog(struct limits_check *c)
{
	const struct conf_stanza *most = NULL;
	uint32_t somaxconn = c->r->limits.somaxconn;
	char text[LIMITS_TEXT];

	for (size_t i = 0; i < c->r->conf.nstanzas; i++) {
		const struct conf_stanza *z = &c->r->conf.stanzas[i];

		if (z->backlog > somaxconn &&
		    (most == NULL || z->backlog > most->backlog))
			most = z;
	}
	if (most == NULL || somaxconn == 0)
		return;
	fmt_print(text, sizeof(text), "'backlog: %u' is cut to %u by the "
	    "system (net.core.somaxconn)", most->backlog, somaxconn);
	limits_message(c, most, false, text);
}

/* As many listeners as the stanzas can have at most. */
static uint32_t
limits_listeners(const struct conf *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nstanzas; i++) {
		const struct conf_stanza *z = &c->stanzas[i];

		if (z->any)
			n += 2;
		else
			n += z->listen.addr.family != 0 ? 1 : LOOKUP_ADDRS;
	}
	return (n < LISTENERS_MAX ? (uint32_t)n : LISTENERS_MAX);
}

/* How many sessions the descriptors allow. */
static void
limits_budget(struct limits_check *check, struct limits *l)
{
	const struct child *c = check->r->child;
	uint32_t listeners = limits_listeners(&check->r->conf);
	unsigned long long need, limit = l->fds;
	char text[LIMITS_TEXT];
	struct budget b;
	int result;

	result = budget_compute(&b, c->max_connections, c->workers, c->worker,
	    listeners, l->fds);
	need = b.need;
	l->slots = b.slots;
	l->total = b.total;
	if (result == -1 && c->max_connections != 0)
		fmt_print(text, sizeof(text), "--max-connections %u needs %llu "
		    "descriptors per relay, the limit (RLIMIT_NOFILE) is "
		    "%llu: expected a higher limit, fewer connections or more "
		    "--workers", c->max_connections, need, limit);
	else if (result == -1)
		fmt_print(text, sizeof(text), "the limit of descriptors per "
		    "relay (RLIMIT_NOFILE), %llu, leaves none for sessions: "
		    "expected more than %u for %u listeners", limit,
		    listeners + FDS_OTHER + FDS_RESERVE + 1, listeners);
	if (result == -1)
		limits_message(check, NULL, true, text);
	else if (b.less && c->worker == 0)
		log_text(LEVEL_NOTICE, "at most %u sessions per relay: %d in "
		    "all would need %llu descriptors per relay, the limit "
		    "(RLIMIT_NOFILE) is %llu", b.slots, SESSIONS_DEFAULT,
		    need, limit);
}

int
limits_check(struct relay *r, conf_report *report, void *arg)
{
	struct limits_check c = { .r = r, .report = report, .arg = arg };

	for (size_t i = 0; i < r->conf.nstanzas; i++)
		limits_stanza(&c, &r->conf.stanzas[i]);
	limits_backlog(&c);
	if (r->child->mode == MODE_RUN)
		limits_budget(&c, &r->limits);
	return (c.failed ? -1 : 0);
}

void
limits_tell(const struct relay *r, uint64_t buffer)
{
	const struct limits *l = &r->limits;
	uint64_t tables = l->total * (uint64_t)(sizeof(struct session) +
	    sizeof(struct timer) + 2 * sizeof(struct dial_req) +
	    2 * sizeof(struct rest));

	if (r->child->worker == 0)
		log_text(LEVEL_INFO, "at most %u sessions in %u relay%s: "
		    "%llu KiB of tables, and %llu KiB of buffers if every peer "
		    "stops reading", l->total, r->child->workers,
		    r->child->workers == 1 ? "" : "s",
		    (unsigned long long)tables / 1024,
		    2ull * l->total * buffer / 1024);
}
