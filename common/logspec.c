/*
 * The parser of -L.  Runs in P, which opens the targets, and in the logger,
 * which writes to them; works on the text of the command line only and
 * touches nothing else.
 */
#include "logspec.h"

#include <string.h>

/* Indexed by the facility's number.  12 to 15 have no name in syslog(3). */
static const char *const facilities[] = {
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news",
	"uucp", "cron", "authpriv", "ftp", NULL, NULL, NULL, NULL,
	"local0", "local1", "local2", "local3",
	"local4", "local5", "local6", "local7"
};
#define FACILITIES	(sizeof(facilities) / sizeof(facilities[0]))
#define FACILITY_AUTH	4

/* Indexed by enum logspec_kind. */
static const char *const targets[] = { "syslog", "file", "stdout", "stderr" };
#define TARGETS		(sizeof(targets) / sizeof(targets[0]))

/* The facility's number, or FACILITIES when there is none of this name. */
static unsigned
facility_find(const char *name)
{
	unsigned i;

	if (strcmp(name, "security") == 0)	/* old name of auth */
		return (FACILITY_AUTH);
	for (i = 0; i < FACILITIES; i++)
		if (facilities[i] != NULL && strcmp(name, facilities[i]) == 0)
			break;
	return (i);
}

/* `IDENT[,FACILITY]'.  Returns NULL, or what is wrong. */
static const char *
syslog_parse(const char *text, struct logspec *s)
{
	size_t len = strcspn(text, ",");

	if (len == 0)
		return ("empty syslog name, expected syslog:LEVEL,NAME");
	if (len >= sizeof(s->ident))
		return ("syslog name too long, expected at most 47 bytes");
	memcpy(s->ident, text, len);
	s->ident[len] = '\0';
	if (text[len] == '\0')
		return (NULL);
	s->facility = facility_find(text + len + 1);
	if (s->facility == FACILITIES)
		return ("unknown syslog facility, expected a name of "
		    "syslog(3) such as daemon, user or local0");
	return (NULL);
}

/* The level's digit and what follows it.  Returns NULL, or what is wrong. */
static const char *
level_parse(const char *text, struct logspec *s)
{
	if (text[0] < '0' || text[0] > '9' ||
	    (text[1] != '\0' && text[1] != ','))
		return ("bad log level, expected one digit from 0 to 5");
	s->level = LEVEL_DEBUG;		/* 6 to 9, too */
	if (text[0] < '5')
		s->level = (enum log_level)(text[0] - '0');
	if (text[1] == '\0')
		return (NULL);
	if (s->kind == LOGSPEC_SYSLOG)
		return (syslog_parse(text + 2, s));
	if (s->kind != LOGSPEC_FILE)
		return ("unexpected parameter, expected stdout:LEVEL or "
		    "stderr:LEVEL");
	if (text[2] == '\0')
		return ("empty file name, expected file:LEVEL,PATH");
	s->path = text + 2;
	return (NULL);
}

int
logspec_parse(const char *text, struct logspec *s, const char **why)
{
	size_t i, len = strcspn(text, ":");

	memset(s, 0, sizeof(*s));
	for (i = 0; i < TARGETS; i++)
		if (strncmp(text, targets[i], len) == 0 &&
		    targets[i][len] == '\0')
			break;
	if (i == TARGETS) {
		*why = "unknown log target, expected syslog, file, stdout "
		    "or stderr";
		return (-1);
	}
	if (text[len] == '\0') {
		*why = "log level missing, expected TARGET:LEVEL";
		return (-1);
	}
	s->kind = (enum logspec_kind)i;
	if (s->kind == LOGSPEC_FILE)
		s->path = "sallyport.log";
	if (s->kind == LOGSPEC_SYSLOG) {
		memcpy(s->ident, "sallyport", sizeof("sallyport"));
		s->facility = facility_find("daemon");
	}
	*why = level_parse(text + len + 1, s);
	return (*why == NULL ? 0 : -1);
}
