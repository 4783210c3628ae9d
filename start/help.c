/*
 * The texts of --help and --version.  Runs in the sallyport command.
 */
#include "help.h"

#include <string.h>
#include <unistd.h>

static const char usage[] =
"usage: sallyport [options]\n"
"       sallyport [options] -p PORT -r HOST -o PORT\n"
"       sallyport [options] -l unix:NAME -r unix:/PATH\n"
"       sallyport --check | --print-config | --print-sandbox [options]\n"
"\n"
"One listener (instead of a configuration file):\n"
"  -l, --local-addr HOST       address to listen on (default: any), or\n"
"                              unix:NAME (see --socket-dir), then no -p\n"
"  -t, --local-resolv FAMILY   resolve -l as ipv4 (4) or ipv6 (6) only\n"
"  -p, --local-port SERVICE    port to listen on\n"
"  -r, --remote-addr HOST      where to connect to, or unix:/PATH, then\n"
"                              no -o\n"
"  -R, --remote-resolv FAMILY  resolve -r and -s as ipv4 or ipv6 only\n"
"  -o, --remote-port SERVICE   port to connect to\n"
"  -s, --source-addr HOST      source address of these connections\n"
"  -b, --buffer-size BYTES     held at most, for each direction\n"
"Configuration:\n"
"  -c, --config FILE           default: /etc/sallyport.conf\n"
"      --check                 check the configuration, change nothing\n"
"      --print-config          print what is in effect, re-readable\n"
"Confinement:\n"
"  -u, --username USER[:GROUP] names or numbers (default: _sallyport)\n"
"  -g, --groupname GROUP       default: the user's\n"
"  -C, --chroot DIR            jail (default: an empty directory)\n"
"      --print-sandbox         print what each process may do\n"
"Running:\n"
"  -D, --nodaemonize           stay in the foreground\n"
"  -P, --write-pid FILE        write and lock a pid file\n"
"      --workers N|auto        relays, 1 to 8 (auto: online CPUs)\n"
"      --max-connections N     sessions of all relays together\n"
"      --ready-fd N            with -D: tell this socket when it runs\n"
"      --socket-dir DIR        where `listen unix:NAME' may make sockets\n"
"Logging:\n"
"  -L, --log TARGET:LEVEL[,PARAMETERS]\n"
"                              syslog:LEVEL[,IDENT[,FACILITY]],\n"
"                              file:LEVEL[,PATH], stdout:LEVEL,\n"
"                              stderr:LEVEL; levels 0 (off) 1 (errors) to\n"
"                              5 (debug); default: "
"syslog:3,sallyport,daemon\n"
"      --log-format text|json|tcpproxy\n"
"      --log-sessions end|all  a line at a session's end, or also at its\n"
"                              beginning and when it is connected\n"
"  -U, --debug                 same as -D -L stdout:5\n"
"Information:\n"
"  -h, --help                  this text\n"
"  -v, --version               the version\n";

static const char version[] = "sallyport " SALLYPORT_VERSION "\n";

void
help_print(enum help what)
{
	const char *text = what == HELP_USAGE ? usage : version;
	size_t	    len = strlen(text);

	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}
