/*
 * Words of the configuration or the command line -> values.  Runs in the
 * relay before GO, confined; no name service, no locale.
 */
#include "value.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>
#include <strings.h>

#include "../common/fmt.h"
#include "../common/services.h"

#define LABEL_MAX 63
#define DIGITS	  "0123456789"

struct unit {
	const char *name;
	uint64_t    factor;
};

static const struct unit durations[] = { { "", 1000 }, { "ms", 1 },
	{ "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 } };
static const struct unit sizes[] = { { "", 1 }, { "k", 1024 },
	{ "m", 1024 * 1024 }, { "g", 1024 * 1024 * 1024 }, { NULL, 0 } };
static const struct unit counts[] = { { "", 1 }, { NULL, 0 } };

static const char *
quoted(char buf[DIAG_WORD], const struct word *w)
{
	return (diag_word(buf, w->text, strlen(w->text)));
}

void
value_family(struct diag *d, const struct word *w, int *family)
{
	char buf[DIAG_WORD];

	if (strcasecmp(w->text, "ipv4") == 0)
		*family = AF_INET;
	else if (strcasecmp(w->text, "ipv6") == 0)
		*family = AF_INET6;
	else if (strcasecmp(w->text, "any") == 0)
		*family = 0;
	else
		diag_error(d, w->at, "'%s' is no address family, expected %s",
		    quoted(buf, w), keywords[KEY_RESOLV].expected);
}

/* Is it one to 253 bytes of labels of 1 to 63, perhaps with a dot behind? */
static bool
is_host_name(const char *text)
{
	size_t length = strlen(text), label = 0;

	if (length == 0 || length > CONF_WORD_MAX || *text == '-')
		return (false);
	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c == '.') {
			if (label == 0)
				return (false);
			label = 0;
			continue;
		}
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return (false);
		if (++label > LABEL_MAX)
			return (false);
	}
	return (true);
}

/*
 * The old forms of an IPv4 address (127.1, 0x7f.0.0.1, 010.0.0.1) are
 * settled here: a resolver would take them for addresses too, unseen.
 */
static bool
old_address(struct diag *d, const struct word *w, struct netaddr *a)
{
	char	       buf[DIAG_WORD], ip[NETADDR_TEXT];
	struct in_addr in;

	if (inet_aton(w->text, &in) == 0)
		return (false);
	*a = (struct netaddr){ .family = AF_INET };
	memcpy(a->ip, &in, 4);
	diag_warning(d, w->at, "'%s' is taken as %s, expected that form",
	    quoted(buf, w), netaddr_ip(a, ip));
	return (true);
}

void
value_host(struct diag *d, const struct word *w, struct conf_host *host)
{
	char buf[DIAG_WORD];

	host->text = w->text;
	if (netaddr_parse(w->text, 0, &host->addr) == 0) {
		if (w->text[0] == '[') {
			w->text[strlen(w->text) - 1] = '\0';
			host->text++;
		}
		return;
	}
	quoted(buf, w);
	if (strchr(w->text, ':') != NULL)
		diag_error(d, w->at, "'%s' is no address, expected one like "
		    "2001:db8::1 or fe80::1%%2, and a blank before a port",
		    buf);
	else if (!is_host_name(w->text))
		diag_error(d, w->at, "'%s' is no host name, expected letters, "
		    "digits, '-', '_' and '.', labels of 1 to 63", buf);
	else if (!old_address(d, w, &host->addr) &&
	    strspn(w->text, DIGITS ".") == strlen(w->text))
		diag_error(d, w->at, "'%s' is no IPv4 address, expected four "
		    "numbers from 0 to 255", buf);
}

void
value_port(struct diag *d, const struct word *w, uint16_t min, uint16_t *port)
{
	char buf[DIAG_WORD];

	if (services_port(w->text, port) == -1 || *port < min)
		diag_error(d, w->at, "'%s' is no port, expected %u to 65535 "
		    "or a TCP service of /etc/services", quoted(buf, w),
		    (unsigned)min);
}

/*
 * Digits and a unit -> a number in the smallest unit.  What is too large
 * becomes UINT64_MAX.  -1: not of this form.
 */
static int
scale(const char *text, const struct unit *units, uint64_t *value)
{
	size_t	 digits = strspn(text, DIGITS);
	uint64_t n = 0;

	if (digits == 0)
		return (-1);
	for (size_t i = 0; i < digits && n < UINT32_MAX; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	for (; units->name != NULL; units++) {
		if (strcmp(units->name, text + digits) == 0) {
			*value = n < UINT32_MAX ? n * units->factor :
			    UINT64_MAX;
			return (0);
		}
	}
	return (-1);
}

/* The number, or -1 when it has not the form of the keyword's numbers. */
static int
scale_for(const struct keyword *k, const char *text, uint64_t *value)
{
	if (k->type == TYPE_SIZE)
		return (scale(text, sizes, value));
	if (k->type == TYPE_COUNT)
		return (scale(text, counts, value));
	if (scale(text, durations, value) == -1)
		return (-1);
	if (k->type == TYPE_MS || *value == UINT64_MAX)
		return (0);
	if (*value % 1000 != 0)
		return (-1);
	*value /= 1000;
	return (0);
}

/* The words that some keywords have beside numbers. */
static bool
number_word(const struct keyword *k, const char *text, uint32_t *number)
{
	if (k->none && strcmp(text, "none") == 0)
		*number = 0;
	else if (k->type == TYPE_KEEPALIVE && strcmp(text, "no") == 0)
		*number = 0;
	else if (k->type == TYPE_KEEPALIVE && strcmp(text, "yes") == 0)
		*number = KEEPALIVE_YES;
	else
		return (false);
	return (true);
}

void
value_number(struct diag *d, const struct word *w, const struct keyword *k,
    uint32_t *number)
{
	char	 buf[DIAG_WORD];
	uint64_t value;

	if (number_word(k, w->text, number))
		return;
	if (scale_for(k, w->text, &value) == -1)
		diag_error(d, w->at, "'%s' is no value for '%s', expected %s",
		    quoted(buf, w), k->name, k->expected);
	else if ((value < k->min && !(k->none && value == 0)) ||
	    value > k->max)
		diag_error(d, w->at, "'%s' is out of range, expected %s",
		    quoted(buf, w), k->expected);
	else
		*number = (uint32_t)value;
}

void
value_name(struct diag *d, const struct word *w, const char **name)
{
	const char *p = w->text;
	char	    buf[DIAG_WORD];

	while (*p >= ' ' && *p <= '~')
		p++;
	*name = w->text;
	if (*p != '\0' || p == w->text)
		diag_error(d, w->at, "'%s' is no value for 'name', expected %s",
		    quoted(buf, w), keywords[KEY_NAME].expected);
}

void
value_on_error(struct diag *d, const struct word *w,
    enum conf_on_error *on_error)
{
	char buf[DIAG_WORD];

	if (strcmp(w->text, "fail") == 0)
		*on_error = ON_ERROR_FAIL;
	else if (strcmp(w->text, "skip") == 0)
		*on_error = ON_ERROR_SKIP;
	else
		diag_error(d, w->at,
		    "'%s' is no value for 'on-error', expected %s",
		    quoted(buf, w), keywords[KEY_ON_ERROR].expected);
}
