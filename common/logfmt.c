/*
 * Checking and formatting of log lines.  Runs in the logger, on bytes that
 * come from processes which read the network; works in the caller's buffers
 * and touches nothing else but the time zone that tzset() has loaded.
 *
 * Every character of the output is printable ASCII.  Text has \n, \t, \r,
 * \\ and \xHH; JSON has \uHHHH for what is UTF-8, and the four characters
 * \xHH (written "\\xHH") for bytes that are not.
 */
#include "logfmt.h"

#include <stdbool.h>
#include <string.h>

#include "fmt.h"

#define KEY_MAX		32
#define NUMBER_MAX	20	/* digits of UINT64_MAX */

/*
 * Output that is cut, not overrun: what does not fit as a whole is not
 * written, and neither is anything after it.
 */
struct out {
	char *buf;
	size_t len;
	size_t size;
	bool cut;
};

static const char *const levels[] = {
	"off", "error", "warning", "notice", "info", "debug"
};

/* Member names that are the logger's own: nobody may send a second one. */
static const char *const reserved[] = {
	"time", "level", "role", "gen", "worker", "msg", "cut"
};

static const char *
role_name(enum role role)
{
	switch (role) {
	case ROLE_PARENT:
		return ("sallyport");
	case ROLE_LOGGER:
		return ("logger");
	case ROLE_RELAY:
		return ("relay");
	case ROLE_DIALER:
		return ("dialer");
	case ROLE_RESOLVER:
		return ("resolver");
	case ROLE_LOOKUP:
		return ("lookup");
	case ROLE_COUNT:
		break;
	}
	return ("unknown");
}

static bool
role_has_gen(enum role role)
{
	return (role != ROLE_PARENT && role != ROLE_LOGGER);
}

static bool
role_has_worker(enum role role)
{
	return (role == ROLE_RELAY || role == ROLE_DIALER);
}

/* The string at *p, which moves behind its NUL; NULL: it has no NUL. */
static const char *
string_take(const char **p, const char *end)
{
	const char *s = *p;
	const char *nul = memchr(s, '\0', (size_t)(end - s));

	if (nul == NULL)
		return (NULL);
	*p = nul + 1;
	return (s);
}

static bool
key_valid(const char *key)
{
	size_t i, len = strlen(key);

	if (len == 0 || len > KEY_MAX)
		return (false);
	for (i = 0; i < len; i++)
		if (!(key[i] >= 'a' && key[i] <= 'z') &&
		    !(key[i] >= 'A' && key[i] <= 'Z') &&
		    !(key[i] >= '0' && key[i] <= '9') &&
		    key[i] != '-' && key[i] != '_')
			return (false);
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(key, reserved[i]) == 0)
			return (false);
	return (true);
}

/* A number goes unquoted into JSON, which has no leading zeros. */
static bool
number_valid(const char *s)
{
	size_t len = strspn(s, "0123456789");

	return (len >= 1 && len <= NUMBER_MAX && s[len] == '\0' &&
	    (s[0] != '0' || len == 1));
}

int
logfmt_parse(const void *message, size_t len, struct logfmt_entry *e)
{
	const char *p = message, *end = p + len, *key, *value;
	struct log_head head;
	unsigned i, level;
	char type;

	if (len < sizeof(head) || len > LOG_MAX)
		return (-1);
	memcpy(&head, p, sizeof(head));
	level = head.level & ~LOG_REPORT;
	if (head.magic != LOG_MAGIC || level < LEVEL_ERROR ||
	    level > LEVEL_DEBUG)
		return (-1);
	p += sizeof(head);
	e->level = (enum log_level)level;
	e->report = (head.level & LOG_REPORT) != 0;
	e->lost = head.lost;
	e->nfields = head.nfields;
	e->text = string_take(&p, end);
	if (e->text == NULL)
		return (-1);
	e->fields = p;
	for (i = 0; i < head.nfields; i++) {
		if (p == end)
			return (-1);
		type = *p++;
		key = string_take(&p, end);
		value = key == NULL ? NULL : string_take(&p, end);
		if (value == NULL || !key_valid(key))
			return (-1);
		if (type != 's' && (type != 'n' || !number_valid(value)))
			return (-1);
	}
	return (p == end ? 0 : -1);
}

/* The next field of a checked entry. */
static const char *
field_next(const char *p, bool *number, const char **key, const char **value)
{
	*number = *p++ == 'n';
	*key = p;
	p += strlen(p) + 1;
	*value = p;
	return (p + strlen(p) + 1);
}

const char *
logfmt_field(const struct logfmt_entry *e, const char *key)
{
	const char *p = e->fields, *k, *value;
	unsigned i;
	bool number;

	for (i = 0; i < e->nfields; i++) {
		p = field_next(p, &number, &k, &value);
		if (strcmp(k, key) == 0)
			return (value);
	}
	return (NULL);
}

static void
out_mem(struct out *o, const char *s, size_t n)
{
	if (o->cut || n > o->size - o->len) {
		o->cut = true;
		return;
	}
	memcpy(o->buf + o->len, s, n);
	o->len += n;
}

static void
out_str(struct out *o, const char *s)
{
	out_mem(o, s, strlen(s));
}

static void
out_num(struct out *o, uint64_t n)
{
	char buf[NUMBER_MAX + 1];

	out_mem(o, buf, fmt_print(buf, sizeof(buf), "%llu",
	    (unsigned long long)n));
}

/* One byte for a text target; `keep' is a character not to be escaped. */
static void
out_byte(struct out *o, unsigned char b, char quote, char keep)
{
	char buf[8];
	size_t n;

	if (b != '\0' && b == (unsigned char)keep)
		n = fmt_print(buf, sizeof(buf), "%c", b);
	else if (b == '\n')
		n = fmt_print(buf, sizeof(buf), "\\n");
	else if (b == '\t')
		n = fmt_print(buf, sizeof(buf), "\\t");
	else if (b == '\r')
		n = fmt_print(buf, sizeof(buf), "\\r");
	else if (b < 0x20 || b > 0x7e)
		n = fmt_print(buf, sizeof(buf), "\\x%02x", b);
	else if (b == '\\' || (quote != '\0' && b == (unsigned char)quote))
		n = fmt_print(buf, sizeof(buf), "\\%c", b);
	else
		n = fmt_print(buf, sizeof(buf), "%c", b);
	out_mem(o, buf, n);
}

static void
out_escaped(struct out *o, const char *s, char quote, char keep)
{
	for (; *s != '\0' && !o->cut; s++)
		out_byte(o, (unsigned char)*s, quote, keep);
}

static void
out_value(struct out *o, const char *value)
{
	bool quoted = *value == '\0' || strpbrk(value, " \"=") != NULL;

	if (quoted)
		out_str(o, "\"");
	out_escaped(o, value, quoted ? '"' : '\0', '\0');
	if (quoted)
		out_str(o, "\"");
}

/* ` key=value' for each field. */
static void
out_fields(struct out *o, const struct logfmt_entry *e)
{
	const char *p = e->fields, *key, *value;
	unsigned i;
	bool number;

	for (i = 0; i < e->nfields; i++) {
		p = field_next(p, &number, &key, &value);
		out_str(o, " ");
		out_str(o, key);
		out_str(o, "=");
		out_value(o, value);
	}
}

/*
 * Decodes one UTF-8 character (shortest form, no surrogates).  Returns its
 * length, or 0 when the bytes are none.
 */
static size_t
utf8_decode(const char *s, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *u = (const unsigned char *)s;
	size_t i, n;

	if (u[0] < 0x80)
		n = 1;
	else if ((u[0] & 0xe0) == 0xc0)
		n = 2;
	else if ((u[0] & 0xf0) == 0xe0)
		n = 3;
	else if ((u[0] & 0xf8) == 0xf0)
		n = 4;
	else
		return (0);
	*c = n == 1 ? u[0] : u[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {	/* a NUL ends this, too */
		if ((u[i] & 0xc0) != 0x80)
			return (0);
		*c = *c << 6 | (u[i] & 0x3fu);
	}
	if (*c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
		return (0);
	return (n);
}

/* One character of a JSON string. */
static void
out_json_char(struct out *o, uint32_t c)
{
	char buf[16];
	size_t n;

	if (c == '"' || c == '\\')
		n = fmt_print(buf, sizeof(buf), "\\%c", (int)c);
	else if (c >= 0x20 && c <= 0x7e)
		n = fmt_print(buf, sizeof(buf), "%c", (int)c);
	else if (c < 0x10000)
		n = fmt_print(buf, sizeof(buf), "\\u%04x", c);
	else
		n = fmt_print(buf, sizeof(buf), "\\u%04x\\u%04x",
		    0xd800 + ((c - 0x10000) >> 10),
		    0xdc00 + ((c - 0x10000) & 0x3ff));
	out_mem(o, buf, n);
}

static void
out_json_escaped(struct out *o, const char *s)
{
	char buf[8];
	uint32_t c;
	size_t n;

	while (*s != '\0' && !o->cut) {
		n = utf8_decode(s, &c);
		if (n == 0)
			out_mem(o, buf, fmt_print(buf, sizeof(buf),
			    "\\\\x%02x", (unsigned char)*s));
		else
			out_json_char(o, c);
		s += n == 0 ? 1 : n;
	}
}

static void
out_json_field(struct out *o, bool number, const char *key, const char *value)
{
	out_str(o, ",\"");
	out_str(o, key);
	out_str(o, number ? "\":" : "\":\"");
	out_json_escaped(o, value);
	if (!number)
		out_str(o, "\"");
}

static void
out_time(struct out *o, const struct logfmt_clock *c)
{
	char buf[8];

	out_str(o, c->date);
	out_mem(o, buf, fmt_print(buf, sizeof(buf), ".%03u", c->ms));
	out_str(o, c->zone);
}

/* Ends a line of text, for which four bytes were kept free. */
static size_t
out_end(struct out *o, const char *end)
{
	bool cut = o->cut;

	o->cut = false;
	o->size += 4;
	if (cut)
		out_str(o, "...");
	out_str(o, end);
	return (o->len);
}

void
logfmt_tick(struct logfmt_clock *c, const struct timespec *now)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char days[] = "SunMonTueWedThuFriSat";
	struct tm tm;
	long off;

	c->ms = (unsigned)(now->tv_nsec / 1000000);
	if (now->tv_sec == c->second && c->date[0] != '\0')
		return;
	c->second = now->tv_sec;
	if (localtime_r(&now->tv_sec, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));	/* a year beyond int */
	fmt_print(c->date, sizeof(c->date), "%04d-%02d-%02dT%02d:%02d:%02d",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	off = tm.tm_gmtoff < 0 ? -tm.tm_gmtoff : tm.tm_gmtoff;
	fmt_print(c->zone, sizeof(c->zone), "%c%02ld:%02ld",
	    tm.tm_gmtoff < 0 ? '-' : '+', off / 3600, off / 60 % 60);
	fmt_print(c->syslog, sizeof(c->syslog), "%.*s %c%d %02d:%02d:%02d",
	    3, &months[tm.tm_mon * 3],
	    tm.tm_mday < 10 ? ' ' : (char)('0' + tm.tm_mday / 10),
	    tm.tm_mday % 10, tm.tm_hour, tm.tm_min, tm.tm_sec);
	fmt_print(c->ctime, sizeof(c->ctime), "%.*s %s %d", 3,
	    &days[tm.tm_wday * 3], c->syslog, tm.tm_year + 1900);
}

const char *
logfmt_name(const struct logfmt_who *who, char buf[LOGFMT_WHO])
{
	const char *role = role_name(who->role);

	if (role_has_worker(who->role))
		fmt_print(buf, LOGFMT_WHO, "%s[%u.%llu]", role, who->gen,
		    who->worker + 1ull);
	else if (role_has_gen(who->role))
		fmt_print(buf, LOGFMT_WHO, "%s[%u]", role, who->gen);
	else
		fmt_print(buf, LOGFMT_WHO, "%s", role);
	return (buf);
}

size_t
logfmt_text(char buf[LOGFMT_MAX], const struct logfmt_entry *e,
    const struct logfmt_clock *c)
{
	struct out o = { .buf = buf, .size = LOGFMT_MAX - 4 };
	char who[LOGFMT_WHO];

	out_time(&o, c);
	out_str(&o, " ");
	out_str(&o, levels[e->level]);
	out_str(&o, " ");
	out_str(&o, logfmt_name(&e->who, who));
	out_str(&o, ": ");
	out_escaped(&o, e->text, '\0', '\0');
	out_fields(&o, e);
	return (out_end(&o, "\n"));
}

size_t
logfmt_plain(char buf[LOGFMT_MAX], const struct logfmt_entry *e)
{
	struct out o = { .buf = buf, .size = LOGFMT_MAX - 4 };

	out_str(&o, "sallyport: ");
	out_escaped(&o, e->text, '\0', '\n');
	out_fields(&o, e);
	return (out_end(&o, "\n"));
}

size_t
logfmt_ctime(char buf[LOGFMT_MAX], const struct logfmt_entry *e,
    const struct logfmt_clock *c)
{
	static const char *const names[] = {
		"OFF", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"
	};
	struct out o = { .buf = buf, .size = LOGFMT_MAX - 4 };

	out_str(&o, c->ctime);
	out_str(&o, " ");
	out_str(&o, names[e->level]);
	out_str(&o, ": ");
	out_escaped(&o, e->text, '\0', '\0');
	out_fields(&o, e);
	return (out_end(&o, "\n"));
}

size_t
logfmt_syslog(char buf[LOGFMT_SYSLOG], const struct logfmt_entry *e,
    const struct logfmt_clock *c, const struct logfmt_syslog *s)
{
	struct out o = { .buf = buf, .size = LOGFMT_SYSLOG - 4 };
	char who[LOGFMT_WHO];

	out_str(&o, "<");
	out_num(&o, s->facility * 8 + (unsigned)e->level + 2);
	out_str(&o, ">");
	out_str(&o, c->syslog);
	out_str(&o, " ");
	out_escaped(&o, s->ident, '\0', '\0');
	out_str(&o, "[");
	out_num(&o, s->pid);
	out_str(&o, "]: ");
	if (!s->bare) {
		out_str(&o, logfmt_name(&e->who, who));
		out_str(&o, ": ");
	}
	out_escaped(&o, e->text, '\0', '\0');
	out_fields(&o, e);
	return (out_end(&o, ""));
}

size_t
logfmt_json(char buf[LOGFMT_MAX], const struct logfmt_entry *e,
    const struct logfmt_clock *c)
{
	static const char cut[] = ",\"cut\":true";
	struct out o = { .buf = buf, .size = LOGFMT_MAX - sizeof(cut) - 2 };
	const char *p = e->fields, *key, *value;
	size_t mark;
	unsigned i;
	bool number;

	out_str(&o, "{\"time\":\"");
	out_time(&o, c);
	out_str(&o, "\"");
	out_json_field(&o, false, "level", levels[e->level]);
	out_json_field(&o, false, "role", role_name(e->who.role));
	if (role_has_gen(e->who.role)) {
		out_str(&o, ",\"gen\":");
		out_num(&o, e->who.gen);
	}
	if (role_has_worker(e->who.role)) {
		out_str(&o, ",\"worker\":");
		out_num(&o, e->who.worker + 1ull);
	}
	out_str(&o, ",\"msg\":\"");
	out_json_escaped(&o, e->text);
	o.buf[o.len++] = '"';	/* its place was kept free */
	o.size++;
	mark = o.len;
	for (i = 0; i < e->nfields && !o.cut; i++) {
		p = field_next(p, &number, &key, &value);
		out_json_field(&o, number, key, value);
		if (!o.cut)
			mark = o.len;
	}
	o.len = mark;	/* a field is whole or left out */
	o.size = LOGFMT_MAX;
	if (o.cut) {
		o.cut = false;
		out_str(&o, cut);
	}
	out_str(&o, "}\n");
	return (o.len);
}
