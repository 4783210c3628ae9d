/*
 * Unix sockets in the configuration.  Runs in the relay before GO, confined;
 * looks at no file: P checks the directories, the dialer finds the remotes.
 */
#include "local.h"

#include <sys/socket.h>

#include <bsd/string.h>
#include <string.h>

#include "../common/dial.h"
#include "../common/fmt.h"
#include "../common/role.h"
#include "../common/users.h"
#include "../common/wire.h"

#define PREFIX	    "unix:"
#define PREFIX_SIZE 5
#define DIR_SIZE    (LOCAL_TEXT - PREFIX_SIZE - 1 - WIRE_NAME)
#define OCTAL	    "01234567"
#define MODE_DIGITS 4

_Static_assert(PREFIX_SIZE + DIAL_PATH <= LOCAL_TEXT, "room for remotes");

static char	dirs[DIRS_MAX][DIR_SIZE]; /* without slashes at the end */
static unsigned ndirs;

bool
local_is(const char *text)
{
	return (strncmp(text, PREFIX, PREFIX_SIZE) == 0);
}

/* The length without slashes at the end; that of "/" is 0. */
static size_t
dir_length(const char *dir, size_t length)
{
	while (length > 0 && dir[length - 1] == '/')
		length--;
	return (length);
}

void
local_dirs(const char *const *list, unsigned n)
{
	for (ndirs = 0; ndirs < n && ndirs < DIRS_MAX; ndirs++) {
		strlcpy(dirs[ndirs], list[ndirs], DIR_SIZE);
		dirs[ndirs][dir_length(dirs[ndirs],
		    strlen(dirs[ndirs]))] = '\0';
	}
}

static bool
is_printable(const char *text)
{
	while (*text >= ' ' && *text <= '~')
		text++;
	return (*text == '\0');
}

/* One path component that P takes, and that a log shows as it is. */
static bool
is_name(const char *name)
{
	size_t length = strlen(name);

	return (length > 0 && length < WIRE_NAME && strcmp(name, ".") != 0 &&
	    strcmp(name, "..") != 0 && strcmp(name, WIRE_NAME_NEW) != 0 &&
	    strpbrk(name, "/ ") == NULL && is_printable(name));
}

/* The number of the directory that these bytes name, or -1. */
static int
find_dir(const char *path, size_t length)
{
	length = dir_length(path, length);
	for (unsigned i = 0; i < ndirs; i++)
		if (strlen(dirs[i]) == length &&
		    memcmp(dirs[i], path, length) == 0)
			return ((int)i);
	return (-1);
}

static void
unknown_dir(struct diag *d, const struct word *w)
{
	char   quoted[DIAG_WORD], list[DIRS_MAX * (DIR_SIZE + 8)];
	char   dir[DIAG_WORD];
	size_t len = 0;

	list[0] = '\0';
	for (unsigned i = 0; i < ndirs; i++)
		len += fmt_print(list + len, sizeof(list) - len, "%s%s",
		    i == 0 ? "" : " or ", *dirs[i] == '\0' ? "/" :
		    diag_word(dir, dirs[i], strlen(dirs[i])));
	diag_error(d, w->at, "'%s' is in no --socket-dir, expected %s",
	    diag_word(quoted, w->text, strlen(w->text)), list);
}

void
local_listen(struct diag *d, const struct word *w, struct conf_stanza *s)
{
	const char *name = w->text + PREFIX_SIZE, *slash = NULL;
	char	    buf[DIAG_WORD];
	int	    dir = 0;

	if (*name == '/') {
		slash = strrchr(name, '/');
		dir = find_dir(name, (size_t)(slash - name));
	}
	s->listen = (struct conf_host){
		.text = slash != NULL ? slash + 1 : name,
		.addr = { .family = AF_UNIX }
	};
	if (!is_name(s->listen.text))
		diag_error(d, w->at, "'%s' names no socket, expected unix:NAME "
		    "with 1 to %d printable ASCII characters, no blank or "
		    "'/'", diag_word(buf, w->text,
		    strlen(w->text)), WIRE_NAME - 1);
	else if (ndirs == 0)
		diag_error(d, w->at, "'%s' needs a directory, expected the "
		    "option --socket-dir", diag_word(buf, w->text,
		    strlen(w->text)));
	else if (dir == -1)
		unknown_dir(d, w);
	else
		s->socket_dir = (unsigned)dir;
}

void
local_remote(struct diag *d, const struct word *w, struct conf_host *host)
{
	const char *path = w->text + PREFIX_SIZE;
	size_t	    length = strlen(path);
	char	    buf[DIAG_WORD];

	*host = (struct conf_host){ .text = path,
		.addr = { .family = AF_UNIX } };
	if (*path != '/' || length < 2 || length >= DIAL_PATH ||
	    path[length - 1] == '/' || !is_printable(path))
		diag_error(d, w->at, "'%s' is no unix socket, expected unix: "
		    "and an absolute path of at most %d printable ASCII "
		    "characters", diag_word(buf, w->text, strlen(w->text)),
		    DIAL_PATH - 1);
}

void
local_mode(struct diag *d, const struct word *w, uint32_t *mode)
{
	size_t	 length = strlen(w->text);
	uint32_t value = 0;
	char	 buf[DIAG_WORD];

	if (length > 0 && length <= MODE_DIGITS &&
	    strspn(w->text, OCTAL) == length) {
		for (size_t i = 0; i < length; i++)
			value = value * 8 + (uint32_t)(w->text[i] - '0');
		if (value <= keywords[KEY_SOCKET_MODE].max) {
			*mode = value;
			return;
		}
	}
	diag_error(d, w->at, "'%s' is no value for 'socket-mode', expected %s",
	    diag_word(buf, w->text, length),
	    keywords[KEY_SOCKET_MODE].expected);
}

void
local_owner(struct diag *d, const struct word *w, struct conf_stanza *s)
{
	char  user[CONF_WORD_MAX + 1], buf[DIAG_WORD];
	char *group;
	bool  good = true;

	s->socket_uid = s->socket_gid = CONF_NO_ID;
	if (strcmp(w->text, "*") == 0)
		return;
	strlcpy(user, w->text, sizeof(user));
	if ((group = strchr(user, ':')) != NULL)
		*group++ = '\0';
	if (*user != '\0' || group == NULL)
		good = users_uid(user, &s->socket_uid) == 0;
	if (group != NULL && users_gid(group, &s->socket_gid) == -1)
		good = false;
	if (!good)
		diag_error(d, w->at, "'%s' is no value for 'socket-owner', "
		    "expected %s", diag_word(buf, w->text, strlen(w->text)),
		    keywords[KEY_SOCKET_OWNER].expected);
}

const char *
local_text(const struct conf_stanza *s, char buf[LOCAL_TEXT])
{
	fmt_print(buf, LOCAL_TEXT, PREFIX "%s/%s", dirs[s->socket_dir],
	    s->listen.text);
	return (buf);
}
