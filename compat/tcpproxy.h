/*
 * The compatibility command tcpproxy: the command line, configuration
 * file, log and manners of tcpproxy(8) on top of sallyport.
 *
 * One process, the front, reads the command line, has a child without
 * privileges translate the configuration, starts `sallyport -D' on the
 * result and stays as its parent: it is the process whose id is in the pid
 * file and to which signals are sent.  It never reads from sallyport, but
 * for one byte when that is ready.
 */
#ifndef COMPAT_TCPPROXY_H
#define COMPAT_TCPPROXY_H

#include <sys/types.h>

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define FAILED		255	/* exit status of whatever goes wrong */
#define BUFFER_SIZE	10240
#define BUFFER_MOST	1048576	/* what sallyport allows */
#define DEFAULT_USER	"_sallyport"
#define OTHER_USER	"nobody"

/* --- tcpproxy_options.c: the command line --- */

struct stanza {			/* where from and to, as it was written */
	const char *local, *local_port;
	const char *remote, *remote_port;
	const char *source;
	int	    local_family, remote_family;
};

struct options {
	bool	    foreground, debug, print;
	const char *user, *group, *jail, *pid_file;
	const char *config;	/* as given, or the default; NULL: none */
	const char *config_at;	/* the same, absolute */
	struct stanza one;	/* of -l -t -p -r -R -o -s */
	int	    buffer_size;
	const char **logs;	/* values of -L */
	size_t	    nlogs;
};

/* Fills in *o; exits after -h, -v and mistakes. */
void	options_parse(struct options *o, int argc, char **argv);

/* --- tcpproxy_log.c: the targets of -L --- */

enum log_level { LEVEL_OFF, LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE,
	LEVEL_INFO, LEVEL_DEBUG };

/* Opens (and empties) them; a mistake in one of them exits.  For
   --print-config all that is wrong goes to standard error instead. */
void	log_open(const struct options *o);
/* SIGHUP: files again by their names, as sallyport does. */
void	log_reopen(void);
void	log_line(enum log_level level, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
/* Is there a target standard output (1) or error (2)? */
bool	log_uses(int fd);
/* Adds sallyport's -L options to argv; returns their number of words. */
size_t	log_words(const char **words, size_t room);

/* --- tcpproxy_config.c: the grammar of the configuration file --- */

/*
 * Hands each stanza, as soon as it is complete, to take().  Mistakes are
 * logged.  False: the text is no configuration.
 */
typedef void config_take(void *arg, const struct stanza *s);
bool	config_parse(const char *text, size_t size, config_take *take,
	    void *arg);

/* --- tcpproxy_listeners.c: from stanzas to sallyport's language --- */

struct translation {
	FILE	   *out;
	const char *before;	/* the last translation, or "" */
	char	   *text;	/* of `out' so far */
	size_t	    size;
	unsigned    count;	/* of listeners */
	bool	    reload;	/* not the first one */
	bool	    failed;	/* a listener can't be, for sure */
};

void	listeners_begin(struct translation *t, const char *before,
	    int buffer_size);
/* Lines of the text that translate_tell() knows. */
#define COMMENT_LISTENING	"listening on: "
#define COMMENT_REUSING		"reusing "

/* Looks the stanza's names up and writes a listener for each address;
   what does not work is logged. */
void	listeners_add(struct translation *t, const struct stanza *s);
/* The text, NUL-terminated and the caller's. */
char   *listeners_end(struct translation *t);

/* --- tcpproxy_translate.c: the child that does both --- */

struct translator {
	pid_t	    pid;	/* 0: none at work */
	int	    fd;		/* memfd with its result */
	uid_t	    uid;	/* whom it becomes, if that is not 0 */
	gid_t	    gid;
};

/*
 * Starts it on the configuration file (opened here: what is wrong with it is
 * logged, and false returned) or on the one stanza of the options.
 */
bool	translate_start(struct translator *t, const struct options *o,
	    int before);
/* It has ended, with this wait status: is t->fd a configuration? */
bool	translate_end(struct translator *t, const struct options *o,
	    int status, bool reload);
/* Logs what the configuration's comments say of its listeners. */
void	translate_tell(int conf);

/* --- tcpproxy_run.c: sallyport, and what is done for it --- */

/* Starts sallyport on this descriptor's file, and stays; the socket `caller'
   (-1: none) is told when it runs. */
_Noreturn void run(const struct options *o, struct translator *t, int conf,
	    int caller, pid_t old);
/* The command line for sallyport, for --print-config: only its options. */
void	run_print(const struct options *o);

#endif
