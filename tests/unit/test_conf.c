/*
 * The configuration language: what is accepted and what it means, every
 * error and warning with its text and place, the command line's listener,
 * and that what is printed reads as the same configuration.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/fmt.h"
#include "../../common/role.h"
#include "../../common/services.h"
#include "../../common/users.h"
#include "../../relay/conf.h"
#include "../../relay/local.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define R "remote: ::2 9;"	/* what every stanza needs */

static const char services[] = "http 80/tcp www\nhttps 443/tcp\n";
static const char passwd[] = "root:x:0:0:::\nweb:x:33:34:::\n";
static const char group[] = "root:x:0:\nadm:x:4:\n";
static const char *const dirs[] = { "/run/first", "/run/other//", "/" };

static struct conf conf;
static char	   messages[16384];
static size_t	   messages_len;
static bool	   quotes; /* keep the lines behind the first, too */

static void
collect(void *arg, bool is_error, const char *text)
{
	const char *end = quotes ? text + strlen(text) : strchrnul(text, '\n');

	assert_ptr_equal(arg, &conf);
	assert_int_equal(!is_error, strstr(text, ": warning: ") != NULL);
	messages_len += fmt_print(messages + messages_len,
	    sizeof(messages) - messages_len, "%.*s\n", (int)(end - text), text);
}

/* The text in memory of exactly its size, for the sanitizer's eyes. */
static int
parse_bytes(const char *text, size_t size)
{
	char *copy = malloc(size);
	int   result;

	assert_true(copy != NULL || size == 0);
	if (size > 0)
		memcpy(copy, text, size);
	messages_len = 0;
	messages[0] = '\0';
	memset(&conf, 0x55, sizeof(conf));
	result = conf_parse(&conf, "f", copy, size, collect, &conf);
	free(copy);
	if (result == -1) {
		assert_null(conf.stanzas);
		assert_null(conf.memory);
		assert_int_equal(conf.nstanzas, 0);
	}
	return (result);
}

static int
parse(const char *text)
{
	return (parse_bytes(text, strlen(text)));
}

/* Everything that follows is about conf.stanzas[0] of such a text. */
static struct conf_stanza *
accepted(const char *text)
{
	assert_int_equal(parse(text), 0);
	assert_string_equal(messages, "");
	assert_true(conf.nstanzas > 0);
	return (&conf.stanzas[0]);
}

static void
rejected(const char *text, const char *expected)
{
	assert_int_equal(parse(text), -1);
	assert_string_equal(messages, expected);
}

static struct netaddr
address(const char *text, uint16_t port)
{
	struct netaddr a;

	assert_int_equal(netaddr_parse(text, 0, &a), 0);
	a.port = port;
	return (a);
}

static void
assert_host(const struct conf_host *host, const char *text, const char *ip,
    uint16_t port)
{
	struct netaddr a = { .port = port };

	if (ip != NULL)
		a = address(ip, port);
	assert_string_equal(host->text, text);
	assert_int_equal(host->addr.port, port);
	assert_true(netaddr_equal(&host->addr, &a));
}

/* --- what is accepted ----------------------------------------------------- */

/* The stanza of tcpproxy(8)'s manual, with every alternative. */
static void
test_manual_example(void **state)
{
	struct conf_stanza *s;

	(void)state;
	s = accepted("listen * 8000\n"
		   "{\n"
		   "  resolv: ipv4;\n"
		   "  remote: www.example.org http;\n"
		   "  remote-resolv: ipv6;\n"
		   "  source: 2001:db8::1;\n"
		   "};\n"
		   "\n"
		   "listen 192.0.2.7 https\n"
		   "{\n"
		   "  remote: 198.51.100.1 443;\n"
		   "};\n"
		   "listen host.example.org 1\n"
		   "{\n"
		   "  resolv: ipv6;\n"
		   "  remote: 2001:db8::2 2;\n"
		   "  source: name;\n"
		   "};\n");
	assert_int_equal(conf.nstanzas, 3);
	assert_true(s->any);
	assert_host(&s->listen, "*", NULL, 8000);
	assert_int_equal(s->resolv, AF_INET);
	assert_int_equal(s->remote_resolv, AF_INET6);
	assert_int_equal(s->nremotes, 1);
	assert_host(&s->remotes[0], "www.example.org", NULL, 80);
	assert_true(s->has_source);
	assert_host(&s->source, "2001:db8::1", "2001:db8::1", 0);
	assert_int_equal(s->line, 1);
	assert_int_equal(s->column, 1);
	assert_false(s[1].any);
	assert_host(&s[1].listen, "192.0.2.7", "192.0.2.7", 443);
	assert_int_equal(s[1].resolv, 0);
	assert_int_equal(s[1].remote_resolv, 0);
	assert_host(&s[1].remotes[0], "198.51.100.1", "198.51.100.1", 443);
	assert_false(s[1].has_source);
	assert_int_equal(s[1].line, 9);
	assert_host(&s[2].listen, "host.example.org", NULL, 1);
	assert_host(&s[2].source, "name", NULL, 0);
	conf_free(&conf);
	assert_null(conf.stanzas);
}

static void
test_defaults(void **state)
{
	struct conf_stanza *s = accepted("listen * 0{" R "}");

	(void)state;
	assert_int_equal(s->timeout, 0);
	assert_int_equal(s->connect_timeout, 10000);
	assert_int_equal(s->half_close_timeout, 3600000);
	assert_int_equal(s->keepalive, 7200);
	assert_int_equal(s->buffer_size, 61440);
	assert_int_equal(s->max_connections, 0);
	assert_int_equal(s->backlog, 4096);
	assert_int_equal(s->resolve_interval, 60);
	assert_int_equal(s->on_error, ON_ERROR_FAIL);
	assert_int_equal(s->resolv, 0);
	assert_int_equal(s->remote_resolv, 0);
	assert_false(s->has_source);
	assert_null(s->name);
	assert_int_equal(conf.drain_timeout, 0);
	conf_free(&conf);
}

/* Where blanks, comments and semicolons may be or be left out. */
static void
test_grammar(void **state)
{
	static const char *const texts[] = {
		"listen * 1 { remote: a 2; };",
		"listen * 1{remote:\ta 2;};",
		"listen\t*\t1\r\n{\v\fremote \t: a\n2\n;\n}",
		"listen * 1{remote:a 2;}",
		"listen * 1{remote:a 2;} ;",
		"listen * 1{remote:a 2;}\n# x\n;\n",
		"#\n##{;\nlisten * 1 # x\n{ # {\nremote: # ;\na 2; # }\n};# e",
		"listen * 1 {remote:\"a\"\"2\";};",
		"listen # y\n * 1 {remote: a 2;}",
		"listen * 1 {remote: a 2;}listen * 3 {remote: b 4;}",
		"listen * 1 {remote: a 2;};listen * 3 {remote: b 4;};",
	};
	struct conf_stanza *s;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		s = accepted(texts[i]);
		assert_true(s->any);
		assert_int_equal(s->listen.addr.port, 1);
		assert_int_equal(s->nremotes, 1);
		assert_host(&s->remotes[0], "a", NULL, 2);
		conf_free(&conf);
	}
}

static void
test_hosts(void **state)
{
	static const struct {
		const char *word, *text, *ip;
	} hosts[] = {
		{ "127.0.0.1", "127.0.0.1", "127.0.0.1" },
		{ "\"127.0.0.1\"", "127.0.0.1", "127.0.0.1" },
		{ "2001:db8::1", "2001:db8::1", "2001:db8::1" },
		{ "[2001:DB8::1]", "2001:DB8::1", "2001:db8::1" },
		{ "\"[::1]\"", "::1", "::1" },
		{ "::", "::", "::" },
		{ "fe80::1%2", "fe80::1%2", "fe80::1%2" },
		{ "[fe80::1%2]", "fe80::1%2", "fe80::1%2" },
		{ "a", "a", NULL },
		{ "a_b.C-d.0.", "a_b.C-d.0.", NULL },
		{ "1a", "1a", NULL },
		{ "azAZ09", "azAZ09", NULL },
		{ "_x", "_x", NULL },
		{ "a.123456789012345678901234567890123456789012345678901234567"
		  "890123", "a.12345678901234567890123456789012345678901234567"
		  "8901234567890123", NULL },
	};
	struct conf_stanza *s;
	char		    text[512];

	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++) {
		fmt_print(text, sizeof(text),
		    "listen %s 1 { remote: %s 2; source: %s; }", hosts[i].word,
		    hosts[i].word, hosts[i].word);
		s = accepted(text);
		assert_false(s->any);
		assert_host(&s->listen, hosts[i].text, hosts[i].ip, 1);
		assert_host(&s->remotes[0], hosts[i].text, hosts[i].ip, 2);
		assert_true(s->has_source);
		assert_host(&s->source, hosts[i].text, hosts[i].ip, 0);
		conf_free(&conf);
	}
}

/* Forms that a resolver would also take for addresses. */
static void
test_old_addresses(void **state)
{
	(void)state;
	assert_int_equal(parse("listen 127.1 1 { remote: 010.0.0.1 2;\n"
			       "source: 0x7f.2; }"), 0);
	assert_string_equal(messages,
	    "f:1:8: warning: '127.1' is taken as 127.0.0.1, "
	    "expected that form\n"
	    "f:1:26: warning: '010.0.0.1' is taken as 8.0.0.1, "
	    "expected that form\n"
	    "f:2:9: warning: '0x7f.2' is taken as 127.0.0.2, "
	    "expected that form\n");
	assert_host(&conf.stanzas->listen, "127.1", "127.0.0.1", 1);
	assert_host(&conf.stanzas->remotes[0], "010.0.0.1", "8.0.0.1", 2);
	assert_host(&conf.stanzas->source, "0x7f.2", "127.0.0.2", 0);
	conf_free(&conf);
}

static void
test_words(void **state)
{
	struct conf_stanza *s;

	(void)state;
	s = accepted("listen * www { remote: a http; remote: b 65535;\n"
		   "resolv: IPv4; remote-resolv: iPV6; on-error: skip;\n"
		   "name: \" ~\\\"b\\\" \\\\ {;}#\"; source: *; }\n"
		   "listen * 0 { remote: a 1; name: x; on-error: fail; \n"
		   "resolv: any; }");
	assert_int_equal(s->listen.addr.port, 80);
	assert_int_equal(s->nremotes, 2);
	assert_host(&s->remotes[0], "a", NULL, 80);
	assert_host(&s->remotes[1], "b", NULL, 65535);
	assert_int_equal(s->resolv, AF_INET);
	assert_int_equal(s->remote_resolv, AF_INET6);
	assert_int_equal(s->on_error, ON_ERROR_SKIP);
	assert_string_equal(s->name, " ~\"b\" \\ {;}#");
	assert_false(s->has_source);
	assert_string_equal(s[1].name, "x");
	assert_int_equal(s[1].on_error, ON_ERROR_FAIL);
	assert_int_equal(s[1].resolv, 0);
	conf_free(&conf);
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *statement;
		size_t	    offset;
		uint32_t    value;
	} cases[] = {
#define M(member) offsetof(struct conf_stanza, member)
		{ "timeout: 0", M(timeout), 0 },
		{ "timeout: 0ms", M(timeout), 0 },
		{ "timeout: none", M(timeout), 0 },
		{ "timeout: 60", M(timeout), 60000 },
		{ "timeout: 1ms", M(timeout), 1 },
		{ "timeout: 0060s", M(timeout), 60000 },
		{ "timeout: 3m", M(timeout), 180000 },
		{ "timeout: 1000h", M(timeout), 3600000000u },
		{ "timeout: \"2h\"", M(timeout), 7200000 },
		{ "connect-timeout: 1ms", M(connect_timeout), 1 },
		{ "connect-timeout: 1h", M(connect_timeout), 3600000 },
		{ "half-close-timeout: 0", M(half_close_timeout), 0 },
		{ "half-close-timeout: none", M(half_close_timeout), 0 },
		{ "half-close-timeout: 5", M(half_close_timeout), 5000 },
		{ "keepalive: no", M(keepalive), 0 },
		{ "keepalive: yes", M(keepalive), 7200 },
		{ "keepalive: 1", M(keepalive), 1 },
		{ "keepalive: 2000ms", M(keepalive), 2 },
		{ "keepalive: 32767s", M(keepalive), 32767 },
		{ "buffer-size: 1", M(buffer_size), 1 },
		{ "buffer-size: 10240", M(buffer_size), 10240 },
		{ "buffer-size: 60k", M(buffer_size), 61440 },
		{ "buffer-size: 1m", M(buffer_size), 1048576 },
		{ "buffer-size: 1024k", M(buffer_size), 1048576 },
		{ "max-connections: 0", M(max_connections), 0 },
		{ "max-connections: none", M(max_connections), 0 },
		{ "max-connections: 1", M(max_connections), 1 },
		{ "max-connections: 10000000", M(max_connections), 10000000 },
		{ "backlog: 1", M(backlog), 1 },
		{ "backlog: 65535", M(backlog), 65535 },
		{ "resolve-interval: 1s", M(resolve_interval), 1 },
		{ "resolve-interval: 1000h", M(resolve_interval), 3600000 },
#undef M
	};
	char	 text[128];
	uint32_t value;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		fmt_print(text, sizeof(text), "listen * 1 { " R " %s; }",
		    cases[i].statement);
		memcpy(&value, (char *)accepted(text) + cases[i].offset, 4);
		assert_int_equal(value, cases[i].value);
		conf_free(&conf);
		fmt_print(text, sizeof(text), "%s; listen * 1 { " R " }",
		    cases[i].statement);
		memcpy(&value, (char *)accepted(text) + cases[i].offset, 4);
		assert_int_equal(value, cases[i].value);
		conf_free(&conf);
	}
}

static void
test_drain_timeout(void **state)
{
	(void)state;
	accepted("drain-timeout: 2m; listen * 1 { " R " }");
	assert_int_equal(conf.drain_timeout, 120);
	conf_free(&conf);
	accepted("listen * 1 { " R " } drain-timeout: 1;");
	assert_int_equal(conf.drain_timeout, 1);
	conf_free(&conf);
	accepted("drain-timeout: none; listen * 1 { " R " }");
	assert_int_equal(conf.drain_timeout, 0);
	conf_free(&conf);
}

/* Statements outside: for the stanzas below, where not said otherwise. */
static void
test_outside(void **state)
{
	struct conf_stanza *s;

	(void)state;
	s = accepted("listen * 1 { " R " }\n"
		   "timeout: 1s; remote: a 1; remote: b 2; source: x;\n"
		   "resolv: ipv6; on-error: skip;\n"
		   "listen * 2 { }\n"
		   "listen * 3 { remote: c 3; remote: d 4; timeout: 2s;\n"
		   "resolv: any; source: *; on-error: fail; }\n"
		   "timeout: 3s; remote: e 5;\n"
		   "listen * 4 { remote-resolv: ipv4; };\n");
	assert_int_equal(conf.nstanzas, 4);
	assert_int_equal(s[0].timeout, 0);
	assert_int_equal(s[0].nremotes, 1);
	assert_int_equal(s[0].resolv, 0);
	assert_int_equal(s[1].timeout, 1000);
	assert_int_equal(s[1].nremotes, 2);
	assert_host(&s[1].remotes[1], "b", NULL, 2);
	assert_host(&s[1].source, "x", NULL, 0);
	assert_int_equal(s[1].resolv, AF_INET6);
	assert_int_equal(s[1].on_error, ON_ERROR_SKIP);
	assert_int_equal(s[2].timeout, 2000);
	assert_int_equal(s[2].nremotes, 2);
	assert_host(&s[2].remotes[0], "c", NULL, 3);
	assert_host(&s[2].remotes[1], "d", NULL, 4);
	assert_false(s[2].has_source);
	assert_int_equal(s[2].resolv, 0);
	assert_int_equal(s[2].on_error, ON_ERROR_FAIL);
	assert_int_equal(s[3].timeout, 3000);
	assert_int_equal(s[3].nremotes, 1);
	assert_host(&s[3].remotes[0], "e", NULL, 5);
	assert_int_equal(s[3].remote_resolv, AF_INET);
	conf_free(&conf);
}

/* --- messages ------------------------------------------------------------- */

/* One error each, that stands alone. */
static void
test_value_errors(void **state)
{
	static const struct {
		const char *statement, *message;
	} cases[] = {
		{ "resolv: ipv5", "1:10: 'ipv5' is no address family, "
		  "expected ipv4, ipv6 or any" },
		{ "remote-resolv: 4", "1:17: '4' is no address family, "
		  "expected ipv4, ipv6 or any" },
		{ "source: fe80::1%eth0", "1:10: 'fe80::1%eth0' is no address, "
		  "expected one like 2001:db8::1 or fe80::1%2, and a blank "
		  "before a port" },
		{ "remote: 1.2.3.4:80 80", "1:10: '1.2.3.4:80' is no address, "
		  "expected one like 2001:db8::1 or fe80::1%2, and a blank "
		  "before a port" },
		{ "remote: a/b 80", "1:10: 'a/b' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63" },
		{ "remote: -a 80", "1:10: '-a' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63" },
		{ "remote: a..b 80", "1:10: 'a..b' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63" },
		{ "remote: . 80", "1:10: '.' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63" },
		{ "remote: \"\" 80", "1:10: '' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63" },
		{ "source: \303\244", "1:10: '\\xc3\\xa4' is no host name, "
		  "expected letters, digits, '-', '_' and '.', labels of 1 to "
		  "63" },
		{ "source: 12345678901234567890123456789012345678901234567890"
		  "12345678901234", "1:10: '1234567890123456789012345678901234"
		  "567890...' is no host name, expected letters, digits, '-', "
		  "'_' and '.', labels of 1 to 63" },
		{ "remote: 1.2.3.400 80", "1:10: '1.2.3.400' is no IPv4 "
		  "address, expected four numbers from 0 to 255" },
		{ "remote: [127.0.0.1] 80", "1:10: '[127.0.0.1]' is no host "
		  "name, expected letters, digits, '-', '_' and '.', labels of "
		  "1 to 63" },
		{ "remote: a 0", "1:12: '0' is no port, expected 1 to 65535 or "
		  "a TCP service of /etc/services" },
		{ "remote: a 65536", "1:12: '65536' is no port, expected 1 to "
		  "65535 or a TCP service of /etc/services" },
		{ "remote: a ftp", "1:12: 'ftp' is no port, expected 1 to "
		  "65535 or a TCP service of /etc/services" },
		{ "timeout: +1", "1:11: '+1' is no value for 'timeout', "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "timeout: 1d", "1:11: '1d' is no value for 'timeout', "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "timeout: ms", "1:11: 'ms' is no value for 'timeout', "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "timeout: \"1 s\"", "1:11: '1 s' is no value for 'timeout', "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "timeout: 1.5s", "1:11: '1.5s' is no value for 'timeout', "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "timeout: 1001h", "1:11: '1001h' is out of range, "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "timeout: 99999999999999999999999h", "1:11: '999999999999999"
		  "99999999h' is out of range, expected a duration from 1ms to "
		  "1000h, or none" },
		{ "half-close-timeout: never", "1:22: 'never' is no value for "
		  "'half-close-timeout', expected a duration from 1ms to "
		  "1000h, or none" },
		{ "connect-timeout: 0", "1:19: '0' is out of range, expected a "
		  "duration from 1ms to 1h" },
		{ "connect-timeout: none", "1:19: 'none' is no value for "
		  "'connect-timeout', expected a duration from 1ms to 1h" },
		{ "keepalive: 0", "1:13: '0' is out of range, expected no, "
		  "yes, or a duration of whole seconds from 1s to 32767s" },
		{ "keepalive: 32768", "1:13: '32768' is out of range, expected "
		  "no, yes, or a duration of whole seconds from 1s to 32767s" },
		{ "keepalive: 1500ms", "1:13: '1500ms' is no value for "
		  "'keepalive', expected no, yes, or a duration of whole "
		  "seconds from 1s to 32767s" },
		{ "keepalive: none", "1:13: 'none' is no value for "
		  "'keepalive', expected no, yes, or a duration of whole "
		  "seconds from 1s to 32767s" },
		{ "timeout: yes", "1:11: 'yes' is no value for 'timeout', "
		  "expected a duration from 1ms to 1000h, or none" },
		{ "buffer-size: 0", "1:15: '0' is out of range, expected a "
		  "size from 1 to 1m" },
		{ "buffer-size: 1048577", "1:15: '1048577' is out of range, "
		  "expected a size from 1 to 1m" },
		{ "buffer-size: 1g", "1:15: '1g' is out of range, expected a "
		  "size from 1 to 1m" },
		{ "buffer-size: 1s", "1:15: '1s' is no value for "
		  "'buffer-size', expected a size from 1 to 1m" },
		{ "max-connections: 10000001", "1:19: '10000001' is out of "
		  "range, expected a number from 1 to 10000000, or none" },
		{ "max-connections: 1k", "1:19: '1k' is no value for "
		  "'max-connections', expected a number from 1 to 10000000, or "
		  "none" },
		{ "backlog: 0", "1:11: '0' is out of range, expected a number "
		  "from 1 to 65535" },
		{ "backlog: 65536", "1:11: '65536' is out of range, expected a "
		  "number from 1 to 65535" },
		{ "resolve-interval: 0", "1:20: '0' is out of range, expected "
		  "a duration of whole seconds from 1s to 1000h" },
		{ "resolve-interval: 1ms", "1:20: '1ms' is no value for "
		  "'resolve-interval', expected a duration of whole seconds "
		  "from 1s to 1000h" },
		{ "on-error: ignore", "1:12: 'ignore' is no value for "
		  "'on-error', expected fail or skip" },
		{ "name: \"\"", "1:8: '' is no value for 'name', expected "
		  "printable ASCII characters, in quotes if need be" },
		{ "name: \"a\tb\"", "1:8: 'a b' is no value for 'name', "
		  "expected printable ASCII characters, in quotes if need be" },
		{ "drain-timeout: 1s", "1:2: 'drain-timeout' in a stanza, "
		  "expected it outside" },
		{ "timeout 5", "1:10: unexpected '5', expected ':' behind the "
		  "keyword" },
		{ "timeout: 5 6", "1:13: unexpected '6', expected ';' at the "
		  "end of 'timeout'" },
		{ "timeout: 5 {", "1:13: unexpected '{', expected ';' at the "
		  "end of 'timeout'" },
		{ "timeout:", "1:10: unexpected ';', expected a duration from "
		  "1ms to 1000h, or none" },
		{ "remote: a", "1:11: unexpected ';', expected an address or "
		  "name, and a port or service" },
		{ "x: 1", "1:2: unknown keyword 'x', expected one of "
		  "sallyport.conf(5)" },
		{ "Timeout: 1", "1:2: unknown keyword 'Timeout', did you mean "
		  "'timeout'?" },
		{ "remotes: a 1", "1:2: unknown keyword 'remotes', did you "
		  "mean 'remote'?" },
		{ "resolve: ipv4", "1:2: unknown keyword 'resolve', did you "
		  "mean 'resolv'?" },
		{ "conect-timout: 1", "1:2: unknown keyword 'conect-timout', "
		  "did you mean 'connect-timeout'?" },
		{ "nam: x", "1:2: unknown keyword 'nam', did you mean "
		  "'name'?" },
		{ "na: x", "1:2: unknown keyword 'na', expected one of "
		  "sallyport.conf(5)" },
		{ "RESOLVE-INTERVAZ: 1", "1:2: unknown keyword "
		  "'RESOLVE-INTERVAZ', did you mean 'resolve-interval'?" },
		{ "MAX-CONNECTIONZ: 1", "1:2: unknown keyword "
		  "'MAX-CONNECTIONZ', did you mean 'max-connections'?" },
		{ "~234567890123456789012345678901234567890: 1",
		  "1:2: unknown keyword '~2345678901234567890123456789012345678"
		  "90', expected one of sallyport.conf(5)" },
		{ "\033[2J: 1", "1:2: unknown keyword '\\x1b[2J', expected one "
		  "of sallyport.conf(5)" },
		{ "", "1:2: unexpected ';', expected a keyword or '}' for the "
		  "stanza of line 2" },
		{ ": 1", "1:2: unexpected ':', expected a keyword or '}' for "
		  "the stanza of line 2" },
		{ "\"timeout\": 1", "1:2: unexpected '\"timeout\"', expected a "
		  "keyword or '}' for the stanza of line 2" },
		{ "name: \"\\n\"", "1:9: unknown escape, expected \\\" or "
		  "\\\\" },
	};
	char text[256], expected[512];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		fmt_print(text, sizeof(text), "\nlisten * 1 { " R "\n %s;\n}\n",
		    cases[i].statement);
		fmt_print(expected, sizeof(expected), "f:3%s\n",
		    cases[i].message + 1);
		rejected(text, expected);
	}
}

/* Whole texts, and all that is said about each. */
static void
test_text_errors(void **state)
{
	static const char none[] = "f: no listeners defined, expected at "
				   "least one 'listen' stanza\n";
	static const struct {
		const char *text, *messages;
	} cases[] = {
		{ "", "f: empty file, expected at least one 'listen' "
		  "stanza\n" },
		{ " \n", none },
		{ "# listen", none },
		{ "timeout: 5;", none },
		{ "listen", "f:1:7: unexpected end of the file, expected an "
		  "address or name to listen on, or *\n" },
		{ "listen *", "f:1:9: unexpected end of the file, expected a "
		  "port or service to listen on\n" },
		{ "listen * 1", "f:1:11: unexpected end of the file, expected "
		  "'{'\n" },
		{ "listen * 1\n{", "f:2:2: unexpected end of the file, "
		  "expected a keyword or '}' for the stanza of line 1\n"
		  "f:1:1: stanza without 'remote:', expected at least one\n" },
		{ "listen * 1 {" R, "f:1:27: unexpected end of the file, "
		  "expected a keyword or '}' for the stanza of line 1\n" },
		{ "listen * 1 {" R "timeout: 5", "f:1:37: unexpected end of "
		  "the file, expected ';' at the end of 'timeout'\n"
		  "f:1:37: unexpected end of the file, expected a keyword or "
		  "'}' for the stanza of line 1\n" },
		{ "listen * 1 { remote: ::2 9 }", "f:1:28: unexpected '}', "
		  "expected ';' at the end of 'remote'\n" },
		{ "listen * 1 {}", "f:1:1: stanza without 'remote:', expected "
		  "at least one\n" },
		{ "listen * 1 { remote: } ;", "f:1:22: unexpected '}', "
		  "expected an address or name, and a port or service\n" },
		{ "listen {" R "}", "f:1:8: unexpected '{', expected an "
		  "address or name to listen on, or *\n" },
		{ "listen 80 {" R "}", "f:1:8: warning: '80' is taken as "
		  "0.0.0.80, expected that form\n"
		  "f:1:11: unexpected '{', expected a port or service to "
		  "listen on\n" },
		{ "listen * {" R "}", "f:1:10: unexpected '{', expected a port "
		  "or service to listen on\n" },
		{ "listen * 1 2 {" R "}", "f:1:12: unexpected '2', expected "
		  "'{'\n" },
		{ "listen * 1;", "f:1:11: unexpected ';', expected '{'\n" },
		{ "listen * ftp {" R "}", "f:1:10: 'ftp' is no port, expected "
		  "0 to 65535 or a TCP service of /etc/services\n" },
		{ "listen \"*\" 1 {" R "}", "f:1:8: '*' is no host name, "
		  "expected letters, digits, '-', '_' and '.', labels of 1 to "
		  "63\n" },
		{ "listen 224.0.0.1 1 {" R "}", "f:1:8: '224.0.0.1' is a "
		  "multicast address, expected an address to listen on\n" },
		{ "listen ff02::1 1 {" R "}", "f:1:8: 'ff02::1' is a multicast "
		  "address, expected an address to listen on\n" },
		{ "listen ::ffff:1.2.3.4 1 {" R "}", "f:1:8: '::ffff:1.2.3.4' "
		  "is an IPv4 address in IPv6 form, expected an address to "
		  "listen on\n" },
		{ "listen } listen * } listen * 1 }", "f:1:8: unexpected '}', "
		  "expected an address or name to listen on, or *\n"
		  "f:1:19: unexpected '}', expected a port or service to "
		  "listen on\n"
		  "f:1:32: unexpected '}', expected '{'\n" },
		{ "listen * 1 {" R " x } }", "f:1:28: unknown keyword 'x', "
		  "expected one of sallyport.conf(5)\n"
		  "f:1:32: unexpected '}', expected 'listen' or a keyword\n" },
		{ "lisen * 1 { x: 1; };", "f:1:1: unknown keyword "
		  "'lisen', did you mean 'listen'?\n"
		  "f:1:13: unknown keyword 'x', expected one of "
		  "sallyport.conf(5)\n" },
		{ "}", "f:1:1: unexpected '}', expected 'listen' or a "
		  "keyword\n" },
		{ "};", "f:1:1: unexpected '}', expected 'listen' or a "
		  "keyword\n" },
		{ ";", "f:1:1: unexpected ';', expected 'listen' or a "
		  "keyword\n" },
		{ "{ " R " };", "f:1:1: unexpected '{', expected 'listen' or a "
		  "keyword\n" },
		{ "\"x\"", "f:1:1: unexpected '\"x\"', expected 'listen' or a "
		  "keyword\n" },
		{ "listen * 1 {" R "}; ;", "f:1:30: unexpected ';', expected "
		  "'listen' or a keyword\n" },
		{ "listen * 1 {" R "} }", "f:1:29: unexpected '}', expected "
		  "'listen' or a keyword\n" },
		{ "name: x; listen * 1 {" R "}", "f:1:1: 'name' outside of a "
		  "stanza, expected it in one\n" },
		{ "timeout: 5", "f:1:11: unexpected end of the file, expected "
		  "';' at the end of 'timeout'\n" },
		{ "timeout }", "f:1:9: unexpected '}', expected ':' behind the "
		  "keyword\n" },
		{ "x }; timeout: x;", "f:1:1: unknown keyword 'x', expected "
		  "one of sallyport.conf(5)\n"
		  "f:1:15: 'x' is no value for 'timeout', expected a duration "
		  "from 1ms to 1000h, or none\n" },
		{ "listen * 1 { " R " listen * 2 { " R " }",
		  "f:1:29: unexpected 'listen', expected a keyword or '}' for "
		  "the stanza of line 1\n" },
		/* a missing `;' costs nothing but itself */
		{ "listen * 1\n{\n\tremote: a 1\n\ttimeout: x\n"
		  "\tbacklog: 0;\n}",
		  "f:4:2: unexpected 'timeout:', expected ';' at the end of "
		  "'remote'\n"
		  "f:4:11: 'x' is no value for 'timeout', expected a duration "
		  "from 1ms to 1000h, or none\n"
		  "f:5:2: unexpected 'backlog:', expected ';' at the end of "
		  "'timeout'\n"
		  "f:5:11: '0' is out of range, expected a number from 1 to "
		  "65535\n" },
		{ "listen * 1 {\n" R "name: \"a\n;}", "f:2:21: string without "
		  "end, expected '\"' on the same line\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		rejected(cases[i].text, cases[i].messages);
}

static void
test_contradictions(void **state)
{
	static const struct {
		const char *text, *messages;
	} cases[] = {
		{ "listen 127.0.0.1 1 { resolv: ipv6; " R " }",
		  "f:1:8: '127.0.0.1' contradicts 'resolv: ipv6', expected an "
		  "address of that family or a name\n" },
		{ "listen ::1 1 { resolv: ipv4; " R " }",
		  "f:1:8: '::1' contradicts 'resolv: ipv4', expected an "
		  "address of that family or a name\n" },
		{ "listen * 1 { remote: a 1; remote: 1.2.3.4 2;\n"
		  "remote: ::3 3; remote-resolv: ipv6; }",
		  "f:1:35: '1.2.3.4' contradicts 'remote-resolv: ipv6', "
		  "expected an address of that family or a name\n" },
		{ "remote-resolv: ipv4; source: ::1;\n"
		  "listen * 1 { remote: a 1; }",
		  "f:1:30: '::1' contradicts 'remote-resolv: ipv4', expected "
		  "an address of that family or a name\n" },
		{ "listen * 1 { remote: ::1 1; source: 1.2.3.4;\n"
		  "remote: ::2 2; }",
		  "f:1:37: no remote can be reached from '1.2.3.4', expected "
		  "an ipv6 address\n" },
		{ "listen * 1 { remote: 1.2.3.4 1; source: ::1; }",
		  "f:1:41: no remote can be reached from '::1', expected an "
		  "ipv4 address\n" },
		{ "timeout: 0; listen * 1 { remote: a 1; source: ::1;\n"
		  "remote: 1.2.3.4 2; remote: ::2 3; x }",
		  "f:2:35: unknown keyword 'x', expected one of "
		  "sallyport.conf(5)\n"
		  "f:2:9: warning: '1.2.3.4' can't be reached from '::1', "
		  "expected an ipv6 address or a name\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		rejected(cases[i].text, cases[i].messages);
	accepted("listen 127.0.0.1 1 { resolv: ipv4; source: ::1;\n"
	       "remote: a 1; remote: ::2 2; remote-resolv: ipv6; }");
	conf_free(&conf);
	accepted("listen x 1 { resolv: ipv4; source: x; remote: ::1 1;\n"
	       "remote: 1.2.3.4 2; }");
	conf_free(&conf);
}

/* Two heads (and what else), and what is said about the second. */
static void
test_twins(void **state)
{
	static const struct {
		const char *first, *second, *address;
	} cases[] = {
		{ "* 1 {", "* 1 {", "*" },
		{ "* 1 {", "0.0.0.0 1 {", "0.0.0.0" },
		{ "* 1 { resolv: ipv6;", "[0::0] 1 {", "0::0" },
		{ "* 1 {", "* 1 { resolv: ipv4;", "*" },
		{ "1.2.3.4 80 {", "1.2.3.4 http {", "1.2.3.4" },
		{ "1.2.3.4 80 { on-error: skip;", "1.2.3.4 80 {", "1.2.3.4" },
		{ "::1 1 {", "[0:0::1] 1 {", "0:0::1" },
		{ "fe80::1%2 1 {", "fe80::1%2 1 {", "fe80::1%2" },
		{ "host 1 {", "HOST 1 {", "HOST" },
		{ "host 1 { resolv: ipv4;", "host 1 {", "host" },
		{ "* 1 { resolv: ipv4;", "* 1 { resolv: ipv6;", NULL },
		{ "* 1 { resolv: ipv4;", ":: 1 {", NULL },
		{ "host 1 { resolv: ipv4;", "host 1 { resolv: ipv6;", NULL },
		{ "host 1 {", "host2 1 {", NULL },
		{ "host 1 {", "* 1 {", NULL },
		{ "* 0 {", "* 1 {", NULL },
		{ "* 1 {", "* 2 {", NULL },
		{ "1.2.3.4 1 {", "1.2.3.5 1 {", NULL },
		{ "* 1 {", "1.2.3.4 1 {", NULL },
		{ "fe80::1%2 1 {", "fe80::1%3 1 {", NULL },
		{ "102:304:: 1 {", "1.2.3.4 1 {", NULL },
	};
	char text[256], expected[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		fmt_print(text, sizeof(text), "listen %s " R " }\n"
		    "listen * 99 { " R " }\n listen %s " R " }\n",
		    cases[i].first, cases[i].second);
		if (cases[i].address == NULL) {
			accepted(text);
			conf_free(&conf);
			continue;
		}
		fmt_print(expected, sizeof(expected), "f:3:2: listens on %s "
		    "port %s like the stanza of line 1, expected another "
		    "address or port\n", cases[i].address,
		    strstr(cases[i].first, "80 {") != NULL ? "80" : "1");
		rejected(text, expected);
	}
	rejected("listen ::1 0 { " R " }\nlisten ::1 0 { " R " }\n",
	    "f:2:1: listens on ::1 port 0 like the stanza of line 1, expected "
	    "another address or port\n");
	rejected("listen * 2 { " R " }\nlisten * 1 { " R " }\n"
	       "listen * 1 { " R " }\nlisten * 1 { " R " }\n"
	       "listen * 2 { " R " }\n",
	    "f:3:1: listens on * port 1 like the stanza of line 2, expected "
	    "another address or port\n"
	    "f:4:1: listens on * port 1 like the stanza of line 3, expected "
	    "another address or port\n"
	    "f:5:1: listens on * port 2 like the stanza of line 1, expected "
	    "another address or port\n");
}

static void
test_repeated(void **state)
{
	(void)state;
	assert_int_equal(parse("backlog: 1;\nbacklog: 2; drain-timeout: 1;\n"
			       "listen * 1 { " R " timeout: 1; " R
			       "timeout: 2; }\nbacklog: 3; drain-timeout: 2;\n"
			       "listen * 2 { " R " }"), 0);
	assert_string_equal(messages,
	    "f:2:1: warning: 'backlog' repeated, expected it once: the last "
	    "one counts\n"
	    "f:3:55: warning: 'timeout' repeated, expected it once: the last "
	    "one counts\n"
	    "f:4:13: warning: 'drain-timeout' repeated, expected it once: the "
	    "last one counts\n");
	assert_int_equal(conf.stanzas[0].backlog, 2);
	assert_int_equal(conf.stanzas[0].nremotes, 2);
	assert_int_equal(conf.stanzas[0].timeout, 2000);
	assert_int_equal(conf.stanzas[1].backlog, 3);
	assert_int_equal(conf.drain_timeout, 2);
	conf_free(&conf);
}

/* The quoted line and its caret. */
static void
test_quotes(void **state)
{
	char line[256], expected[512];

	(void)state;
	quotes = true;
	rejected("#\n\tx\033\377: 1; # \302\205\r\nlisten * 1 {" R "}",
	    "f:2:2: unknown keyword 'x\\x1b\\xff', expected one of "
	    "sallyport.conf(5)\n"
	    "     x\\x1b\\xff: 1; # \\xc2\\x85\n"
	    "     ^\n");
	rejected("\033\033 x",
	    "f:1:1: unknown keyword '\\x1b\\x1b', expected one of "
	    "sallyport.conf(5)\n"
	    "    \\x1b\\x1b x\n"
	    "    ^\n");
	rejected("\177\t\"",
	    "f:1:1: unknown keyword '\\x7f', expected one of "
	    "sallyport.conf(5)\n    \\x7f \"\n    ^\n"
	    "f:1:3: string without end, expected '\"' on the same line\n"
	    "    \\x7f \"\n         ^\n");
	rejected("timeout: 1; # none of it belongs to the message\n",
	    "f: no listeners defined, expected at least one 'listen' "
	    "stanza\n");
	rejected("timeout: 1\n",	/* nothing to quote at the end */
	    "f:2:1: unexpected end of the file, expected ';' at the end of "
	    "'timeout'\n");

	memset(line, '#', sizeof(line));
	memcpy(line, "timeout: 0x5; ", 14);
	line[255] = '\0';
	fmt_print(expected, sizeof(expected), "f:1:10: '0x5' is no value for "
	    "'timeout', expected a duration from 1ms to 1000h, or none\n"
	    "    timeout: 0x5; %.*s...\n"
	    "             ^\n", 58, line + 14);
	rejected(line, expected);

	memset(line, ' ', sizeof(line));
	memcpy(line + 100, "timeout: 0x5; ####", 18);
	memset(line, '\t', 100);
	line[255] = '\0';
	fmt_print(expected, sizeof(expected), "f:1:110: '0x5' is no value for "
	    "'timeout', expected a duration from 1ms to 1000h, or none\n"
	    "    ...%.*stimeout: 0x5; ####%.*s...\n"
	    "    %.*s^\n", 27, line + 120, 27, line + 120, 39, line + 120);
	rejected(line, expected);

	line[118] = '\0'; /* the caret near the end of a long line */
	fmt_print(expected, sizeof(expected), "f:1:110: '0x5' is no value for "
	    "'timeout', expected a duration from 1ms to 1000h, or none\n"
	    "    ...%.*stimeout: 0x5; ####\n"
	    "    %.*s^\n", 54, line + 130, 66, line + 130);
	rejected(line, expected);
	quotes = false;
}

/* --- limits --------------------------------------------------------------- */

/* The middle n times, its every `@' replaced by 1, 2 ...; to be freed. */
static char *
repeat(const char *head, size_t n, const char *middle, const char *tail)
{
	size_t len, size;
	char  *text;

	size = strlen(head) + n * (strlen(middle) + 20) + strlen(tail) + 1;
	text = malloc(size);
	assert_non_null(text);
	len = fmt_print(text, size, "%s", head);
	for (size_t i = 1; i <= n; i++) {
		for (const char *p = middle; *p != '\0'; p++) {
			if (*p == '@')
				len += fmt_print(text + len, size - len, "%zu",
				    i);
			else
				text[len++] = *p;
		}
	}
	fmt_print(text + len, size - len, "%s", tail);
	return (text);
}

static size_t
lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return (n);
}

static void
test_many_messages(void **state)
{
	char *text;

	(void)state;
	text = repeat("", 20, "x;\n", "listen * 1 { " R " }");
	assert_int_equal(parse(text), -1);
	assert_int_equal(lines(messages), 20);
	assert_null(strstr(messages, "more than"));
	free(text);
	text = repeat("", 21, "x;\n", "listen * 1 { }");
	assert_int_equal(parse(text), -1);
	assert_int_equal(lines(messages), 21);
	assert_non_null(strstr(messages,
	    "\nf: more than 20 errors, the rest is not checked\n"));
	free(text);
	text = repeat("", 1000, "x;\n", "listen * 1 { }");
	assert_int_equal(parse(text), -1);
	assert_int_equal(lines(messages), 21);
	free(text);
	text = repeat("listen * 1 { " R, 21, "timeout: 1;", "}");
	assert_int_equal(parse(text), 0);
	assert_int_equal(lines(messages), 20);
	assert_null(strstr(messages, "more than"));
	conf_free(&conf);
	free(text);
	text = repeat("listen * 1 { " R, 99, "timeout: 1;", "}");
	assert_int_equal(parse(text), 0);
	assert_int_equal(lines(messages), 21);
	assert_non_null(strstr(messages,
	    "\nf: warning: more than 20 warnings, the rest is not shown\n"));
	conf_free(&conf);
	free(text);
}

static void
test_many_listeners(void **state)
{
	char *text;

	(void)state;
	text = repeat("", LISTENERS_MAX, "listen ::1 @{" R "}\n", "");
	accepted(text);
	assert_int_equal(conf.nstanzas, LISTENERS_MAX);
	assert_int_equal(conf.stanzas[4095].listen.addr.port, 4096);
	conf_free(&conf);
	free(text);
	text = repeat("", LISTENERS_MAX + 1, "listen ::1 @{" R "}\n", "x");
	rejected(text, "f:4097:8: too many listeners, expected at most 4096\n");
	free(text);
	/* `*' is two listeners, but for `resolv' */
	text = repeat("", LISTENERS_MAX / 2, "listen * @{" R "}\n", "");
	accepted(text);
	conf_free(&conf);
	free(text);
	text = repeat("", LISTENERS_MAX / 2, "listen * @{" R "}\n",
	    "listen * 9999 { " R " resolv: ipv4; }");
	rejected(text, "f:2049:8: too many listeners, expected at most 4096\n");
	free(text);
	text = repeat("resolv: ipv6;", LISTENERS_MAX, "listen * @{" R "}\n",
	    "");
	accepted(text);
	conf_free(&conf);
	free(text);
}

static void
test_many_remotes(void **state)
{
	char *text;

	(void)state;
	text = repeat("listen * 1 {\n", CONF_REMOTES_MAX, "remote: a @;\n",
	    "}");
	assert_int_equal(accepted(text)->nremotes, 16);
	assert_int_equal(conf.stanzas->remotes[15].addr.port, 16);
	conf_free(&conf);
	free(text);
	text = repeat("listen * 1 {\n", CONF_REMOTES_MAX + 1,
	    "remote: a @;\n", "}");
	rejected(text, "f:18:9: one remote too many, expected at most 16\n");
	free(text);
}

static void
test_size(void **state)
{
	static const char stanza[] = "listen * 1{" R "}";
	size_t		  size = CONF_SIZE_MAX + 1;
	char		 *text = malloc(size);

	(void)state;
	assert_non_null(text);
	memset(text, ' ', size);
	memcpy(text + CONF_SIZE_MAX - strlen(stanza), stanza, strlen(stanza));
	assert_int_equal(parse_bytes(text, CONF_SIZE_MAX), 0);
	conf_free(&conf);
	assert_int_equal(parse_bytes(text, size), -1);
	assert_string_equal(messages,
	    "f: file of 1048577 bytes, expected at most 1048576\n");
	free(text);
}

static void
test_nul(void **state)
{
	static const char text[] = "x\n # \0\n x \0";

	(void)state;
	quotes = true;
	assert_int_equal(parse_bytes(text, sizeof(text)), -1);
	assert_string_equal(messages, "f:2:4: NUL byte, expected a text file\n"
				      "     # \\x00\n"
				      "       ^\n");
	quotes = false;
}

/* Names that just fit, and the file's name, of which the end is shown. */
static void
test_long_names(void **state)
{
	char name[300], text[400], expected[400];

	(void)state;
	memset(name, 'a', sizeof(name));
	for (size_t i = 50; i < 250; i += 50)
		name[i] = '.';
	name[254] = '\0';
	fmt_print(text, sizeof(text), "listen * 1 { remote: %s 1; }", name);
	rejected(text, "f:1:22: word of 254 bytes, expected at most 253\n");
	name[253] = '\0';
	fmt_print(text, sizeof(text), "listen * 1 { remote: %s 1; }", name);
	assert_string_equal(accepted(text)->remotes[0].text, name);
	conf_free(&conf);

	memset(name, 'b', sizeof(name));
	name[256] = '\0';
	messages_len = 0;
	assert_int_equal(conf_parse(&conf, name, "x", 1, collect, &conf), -1);
	fmt_print(expected, sizeof(expected), "...%s:1:1: unknown keyword 'x', "
	    "expected one of sallyport.conf(5)\n", name + 1);
	assert_string_equal(messages, expected);
}

/* --- unix sockets --------------------------------------------------------- */

static void
test_unix(void **state)
{
	static const struct {
		const char *head, *name, *text;
		unsigned    dir;
	} cases[] = {
		{ "unix:a", "a", "unix:/run/first/a", 0 },
		{ "unix:1234567890123456789012345678901",
		  "1234567890123456789012345678901",
		  "unix:/run/first/1234567890123456789012345678901", 0 },
		{ "unix:a.b_c-d@e:f,g=h+i", "a.b_c-d@e:f,g=h+i",
		  "unix:/run/first/a.b_c-d@e:f,g=h+i", 0 },
		{ "\"unix:a;{}#\\\"\\\\\"", "a;{}#\"\\",
		  "unix:/run/first/a;{}#\"\\", 0 },
		{ "unix:/run/first/a", "a", "unix:/run/first/a", 0 },
		{ "unix:/run/first//a", "a", "unix:/run/first/a", 0 },
		{ "unix:/run/other/b..", "b..", "unix:/run/other/b..", 1 },
		{ "unix:/b", "b", "unix:/b", 2 },
	};
	struct conf_stanza *s;
	char		    text[256], buf[LOCAL_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		fmt_print(text, sizeof(text), "listen %s{" R "}",
		    cases[i].head);
		s = accepted(text);
		assert_false(s->any);
		assert_int_equal(s->listen.addr.family, AF_UNIX);
		assert_int_equal(s->listen.addr.port, 0);
		assert_string_equal(s->listen.text, cases[i].name);
		assert_int_equal(s->socket_dir, cases[i].dir);
		assert_int_equal(s->socket_mode, 0600);
		assert_int_equal(s->socket_uid, CONF_NO_ID);
		assert_int_equal(s->socket_gid, CONF_NO_ID);
		assert_string_equal(local_text(s, buf), cases[i].text);
		conf_free(&conf);
	}
}

static void
test_unix_owner(void **state)
{
	static const struct {
		const char *statement;
		uint32_t    mode, uid, gid;
	} cases[] = {
		{ "", 0600, CONF_NO_ID, CONF_NO_ID },
		{ "socket-mode: 0;", 0, CONF_NO_ID, CONF_NO_ID },
		{ "socket-mode: 666;", 0666, CONF_NO_ID, CONF_NO_ID },
		{ "socket-mode: 0777;", 0777, CONF_NO_ID, CONF_NO_ID },
		{ "socket-owner: 0;", 0600, 0, CONF_NO_ID },
		{ "socket-owner: web;", 0600, 33, CONF_NO_ID },
		{ "socket-owner: web:adm;", 0600, 33, 4 },
		{ "socket-owner: 5:6;", 0600, 5, 6 },
		{ "socket-owner: :adm;", 0600, CONF_NO_ID, 4 },
		{ "socket-owner: :7;", 0600, CONF_NO_ID, 7 },
		{ "socket-owner: 4294967294:4294967294;", 0600, 4294967294u,
		  4294967294u },
		{ "socket-owner: *;", 0600, CONF_NO_ID, CONF_NO_ID },
	};
	struct conf_stanza *s;
	char		    text[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (int outside = 0; outside < 2; outside++) {
			fmt_print(text, sizeof(text),
			    outside ? "%slisten unix:a{%s" R "}" :
			    "listen unix:a{%s%s" R "}", cases[i].statement,
			    "");
			s = accepted(text);
			assert_int_equal(s->socket_mode, cases[i].mode);
			assert_int_equal(s->socket_uid, cases[i].uid);
			assert_int_equal(s->socket_gid, cases[i].gid);
			conf_free(&conf);
		}
	}
	s = accepted("socket-owner: web:adm;\n"
		   "listen unix:a { socket-owner: 5; " R " }");
	assert_int_equal(s->socket_uid, 5);
	assert_int_equal(s->socket_gid, CONF_NO_ID);
	conf_free(&conf);
}

/* In any order with others, of which it has its own port. */
static void
test_unix_remotes(void **state)
{
	struct conf_stanza *s;
	char		    text[256], path[128];

	(void)state;
	s = accepted("listen * 1 { remote: unix:/a; remote: b http;\n"
		   "remote: \"unix:/c d/../;\\\"\"; remote: ::1 2; }");
	assert_int_equal(s->nremotes, 4);
	assert_int_equal(s->remotes[0].addr.family, AF_UNIX);
	assert_int_equal(s->remotes[0].addr.port, 0);
	assert_string_equal(s->remotes[0].text, "/a");
	assert_host(&s->remotes[1], "b", NULL, 80);
	assert_string_equal(s->remotes[2].text, "/c d/../;\"");
	assert_host(&s->remotes[3], "::1", "::1", 2);
	conf_free(&conf);

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[107] = '\0';
	fmt_print(text, sizeof(text), "listen * 1{remote:unix:%s;}", path);
	assert_string_equal(accepted(text)->remotes[0].text, path);
	conf_free(&conf);
	path[107] = 'x';
	path[108] = '\0';
	fmt_print(text, sizeof(text), "listen * 1{remote:unix:%s;}", path);
	rejected(text, "f:1:19: 'unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' "
	    "is no unix socket, expected unix: and an absolute path of at most "
	    "107 printable ASCII characters\n");
}

#define NAME "names no socket, expected unix:NAME with 1 to 31 printable " \
	     "ASCII characters, no blank or '/'\n"
#define PATH "is no unix socket, expected unix: and an absolute path of at " \
	     "most 107 printable ASCII characters\n"
#define MODE "is no value for 'socket-mode', expected an octal number from " \
	     "0 to 0777\n"
#define OWNER "is no value for 'socket-owner', expected UID, UID:GID or " \
	      ":GID, each a number or a name of /etc/passwd or /etc/group, " \
	      "or *\n"

static void
test_unix_errors(void **state)
{
	static const struct {
		const char *text, *messages;
	} cases[] = {
		{ "listen unix: {" R "}", "f:1:8: 'unix:' " NAME },
		{ "listen unix:. {" R "}", "f:1:8: 'unix:.' " NAME },
		{ "listen unix:.. {" R "}", "f:1:8: 'unix:..' " NAME },
		{ "listen unix:.sallyport.new {" R "}",
		  "f:1:8: 'unix:.sallyport.new' " NAME },
		{ "listen unix:a/b {" R "}", "f:1:8: 'unix:a/b' " NAME },
		{ "listen unix:../b {" R "}", "f:1:8: 'unix:../b' " NAME },
		{ "listen unix:/run/first/ {" R "}",
		  "f:1:8: 'unix:/run/first/' " NAME },
		{ "listen unix:/run/first/.. {" R "}",
		  "f:1:8: 'unix:/run/first/..' " NAME },
		{ "listen \"unix:a b\" {" R "}", "f:1:8: 'unix:a b' " NAME },
		{ "listen unix:\033 {" R "}", "f:1:8: 'unix:\\x1b' " NAME },
		{ "listen unix:\303\244 {" R "}",
		  "f:1:8: 'unix:\\xc3\\xa4' " NAME },
		{ "listen unix:12345678901234567890123456789012 {" R "}",
		  "f:1:8: 'unix:12345678901234567890123456789012' " NAME },
		{ "listen unix:/etc/a {" R "}", "f:1:8: 'unix:/etc/a' is in no "
		  "--socket-dir, expected /run/first or /run/other or /\n" },
		{ "listen unix:/run/first/x/a {" R "}",
		  "f:1:8: 'unix:/run/first/x/a' is in no --socket-dir, "
		  "expected /run/first or /run/other or /\n" },
		{ "listen unix:/run/first/../a {" R "}",
		  "f:1:8: 'unix:/run/first/../a' is in no --socket-dir, "
		  "expected /run/first or /run/other or /\n" },
		{ "listen unix:a 80 {" R "}", "f:1:15: unexpected '80', "
		  "expected '{': a unix socket has no port\n" },
		{ "listen unix:a", "f:1:14: unexpected end of the file, "
		  "expected '{': a unix socket has no port\n" },
		{ "listen UNIX:a 80 {" R "}", "f:1:8: 'UNIX:a' is no address, "
		  "expected one like 2001:db8::1 or fe80::1%2, and a blank "
		  "before a port\n" },
		{ "listen * 1 { remote: unix:a; }", "f:1:22: 'unix:a' " PATH },
		{ "listen * 1 { remote: unix:; }", "f:1:22: 'unix:' " PATH },
		{ "listen * 1 { remote: unix:/; }", "f:1:22: 'unix:/' " PATH },
		{ "listen * 1 { remote: unix:/a/; }",
		  "f:1:22: 'unix:/a/' " PATH },
		{ "listen * 1 { remote: unix:@a; }",
		  "f:1:22: 'unix:@a' " PATH },
		{ "listen * 1 { remote: unix:/\177; }",
		  "f:1:22: 'unix:/\\x7f' " PATH },
		{ "listen * 1 { remote: unix:/a 80; }", "f:1:30: unexpected "
		  "'80', expected ';' at the end of 'remote'\n" },
		{ "listen * 1 { source: unix:/a; " R " }",
		  "f:1:22: 'unix:/a' is no address, expected one like "
		  "2001:db8::1 or fe80::1%2, and a blank before a port\n" },
		{ "listen unix:a { socket-mode: 0778; " R " }",
		  "f:1:30: '0778' " MODE },
		{ "listen unix:a { socket-mode: 1777; " R " }",
		  "f:1:30: '1777' " MODE },
		{ "listen unix:a { socket-mode: 00777; " R " }",
		  "f:1:30: '00777' " MODE },
		{ "listen unix:a { socket-mode: \"\"; " R " }",
		  "f:1:30: '' " MODE },
		{ "listen unix:a { socket-mode: none; " R " }",
		  "f:1:30: 'none' " MODE },
		{ "listen unix:a { socket-mode: u+rw; " R " }",
		  "f:1:30: 'u+rw' " MODE },
		{ "listen unix:a { socket-owner: nobody; " R " }",
		  "f:1:31: 'nobody' " OWNER },
		{ "listen unix:a { socket-owner: web:; " R " }",
		  "f:1:31: 'web:' " OWNER },
		{ "listen unix:a { socket-owner: web:web; " R " }",
		  "f:1:31: 'web:web' " OWNER },
		{ "listen unix:a { socket-owner: :; " R " }",
		  "f:1:31: ':' " OWNER },
		{ "listen unix:a { socket-owner: \"\"; " R " }",
		  "f:1:31: '' " OWNER },
		{ "listen unix:a { socket-owner: 1:2:3; " R " }",
		  "f:1:31: '1:2:3' " OWNER },
		{ "listen unix:a { socket-owner: 4294967295; " R " }",
		  "f:1:31: '4294967295' " OWNER },
		{ "listen unix:a { socket-owner: -1; " R " }",
		  "f:1:31: '-1' " OWNER },
		{ "listen unix:a {" R "}\nlisten * 1 {" R "}\n"
		  "listen unix:/run/first/a {" R "}",
		  "f:3:1: listens on unix:/run/first/a like the stanza of "
		  "line 1, expected another name\n" },
		{ "listen unix:a { }", "f:1:1: stanza without 'remote:', "
		  "expected at least one\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		rejected(cases[i].text, cases[i].messages);
	/* others by a letter's case or by directory are others */
	accepted("listen unix:a {" R "} listen unix:A {" R "}\n"
	       "listen unix:/run/other/a {" R "} listen a 1 {" R "}");
	conf_free(&conf);
}

/* Without --socket-dir. */
static void
test_unix_no_dir(void **state)
{
	(void)state;
	local_dirs(NULL, 0);
	rejected("listen unix:a {" R "}\nlisten unix:/run/a {" R "}",
	    "f:1:8: 'unix:a' needs a directory, expected the option "
	    "--socket-dir\n"
	    "f:2:8: 'unix:/run/a' needs a directory, expected the option "
	    "--socket-dir\n");
	accepted("listen * 1 { remote: unix:/a; }");
	conf_free(&conf);
	local_dirs(dirs, COUNT(dirs));
}

/* What has no effect where it stands is told; defaults are for others too. */
static void
test_unix_warnings(void **state)
{
	(void)state;
	assert_int_equal(parse("listen unix:a { resolv: ipv4; " R " }\n"
	    "listen * 1 { socket-mode: 0; socket-owner: 1; " R " }\n"
	    "listen unix:b { keepalive: 1; remote: unix:/a; }\n"
	    "listen unix:c { keepalive: 1; " R " remote: unix:/a; }\n"
	    "listen * 2 { source: ::1; remote: unix:/a; " R " }\n"
	    "listen * 3 { source: ::1; remote: unix:/a; remote: 1.2.3.4 1; }"),
	    0);
	assert_string_equal(messages,
	    "f:1:25: warning: 'resolv' has no effect on a unix socket\n"
	    "f:2:27: warning: 'socket-mode' has no effect here, expected it "
	    "with 'listen unix:NAME'\n"
	    "f:2:44: warning: 'socket-owner' has no effect here, expected it "
	    "with 'listen unix:NAME'\n"
	    "f:3:28: warning: 'keepalive' has no effect between unix "
	    "sockets\n"
	    "f:5:35: warning: 'source' has no effect on the unix socket "
	    "'/a'\n"
	    "f:6:35: warning: 'source' has no effect on the unix socket "
	    "'/a'\n"
	    "f:6:52: warning: '1.2.3.4' can't be reached from '::1', expected "
	    "an ipv6 address or a name\n");
	conf_free(&conf);
	accepted("resolv: ipv6; keepalive: 1; socket-mode: 0; socket-owner: 1;"
	       "remote-resolv: ipv6;\n"
	       "listen unix:a { remote: unix:/a; }\n"
	       "listen * 1 { " R " remote: unix:/a; }");
	conf_free(&conf);
}

/* --- the command line ----------------------------------------------------- */

static int
options(const char *const *words)
{
	char  buf[1024], *args[32];
	int   n = 0;
	char *p = buf;

	for (; words[n] != NULL; n++) {
		args[n] = p;
		p += fmt_print(p, 256, "%s", words[n]) + 1;
	}
	messages_len = 0;
	messages[0] = '\0';
	n = conf_options(&conf, n, args, collect, &conf);
	memset(buf, 'X', sizeof(buf));	/* it may not need them any more */
	if (n == -1) {
		assert_null(conf.stanzas);
		assert_null(conf.memory);
		assert_int_equal(conf.nstanzas, 0);
	}
	return (n);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
test_options(void **state)
{
	struct conf_stanza *s;

	(void)state;
	assert_int_equal(options(WORDS("-p", "http", "-r", "www.example.org",
	    "-o", "443")), 0);
	s = conf.stanzas;
	assert_string_equal(messages, "");
	assert_int_equal(conf.nstanzas, 1);
	assert_true(s->any);
	assert_host(&s->listen, "*", NULL, 80);
	assert_int_equal(s->nremotes, 1);
	assert_host(&s->remotes[0], "www.example.org", NULL, 443);
	assert_int_equal(s->resolv, 0);
	assert_int_equal(s->remote_resolv, 0);
	assert_false(s->has_source);
	assert_int_equal(s->buffer_size, 61440);
	assert_int_equal(s->connect_timeout, 10000);
	assert_int_equal(s->backlog, 4096);
	assert_int_equal(conf.drain_timeout, 0);
	conf_free(&conf);

	assert_int_equal(options(WORDS("-s", "::1", "-o", "https", "-r",
	    "[::2]", "-b", "10k", "-R", "6", "-t", "ipv4", "-p", "0", "-l",
	    "127.0.0.1", "-p", "8080")), 0);
	s = conf.stanzas;
	assert_string_equal(messages, "");
	assert_false(s->any);
	assert_host(&s->listen, "127.0.0.1", "127.0.0.1", 8080);
	assert_host(&s->remotes[0], "::2", "::2", 443);
	assert_int_equal(s->resolv, AF_INET);
	assert_int_equal(s->remote_resolv, AF_INET6);
	assert_true(s->has_source);
	assert_host(&s->source, "::1", "::1", 0);
	assert_int_equal(s->buffer_size, 10240);
	conf_free(&conf);

	assert_int_equal(options(WORDS("-t", "ipv6", "-R", "4", "-l", "*",
	    "-p", "1", "-r", "a", "-o", "1", "-s", "*")), 0);
	s = conf.stanzas;
	assert_true(s->any);
	assert_false(s->has_source);
	assert_int_equal(s->resolv, AF_INET6);
	assert_int_equal(s->remote_resolv, AF_INET);
	conf_free(&conf);

	/* unix sockets instead of either, or of both */
	assert_int_equal(options(WORDS("-l", "unix:a", "-r", "b", "-o", "80")),
	    0);
	assert_string_equal(messages, "");
	assert_int_equal(conf.stanzas->listen.addr.family, AF_UNIX);
	assert_string_equal(conf.stanzas->listen.text, "a");
	assert_false(conf.stanzas->any);
	assert_host(&conf.stanzas->remotes[0], "b", NULL, 80);
	conf_free(&conf);
	assert_int_equal(options(WORDS("-p", "80", "-r", "unix:/a/b")), 0);
	assert_string_equal(messages, "");
	assert_true(conf.stanzas->any);
	assert_int_equal(conf.stanzas->remotes[0].addr.family, AF_UNIX);
	assert_string_equal(conf.stanzas->remotes[0].text, "/a/b");
	conf_free(&conf);
	assert_int_equal(options(WORDS("-r", "unix:/a/b", "-l",
	    "unix:/run/other/x")), 0);
	assert_string_equal(messages, "");
	assert_int_equal(conf.stanzas->socket_dir, 1);
	conf_free(&conf);
}

static void
test_option_errors(void **state)
{
	static const struct {
		const char *words[9];
		const char *messages;
	} cases[] = {
		{ { "-p", "1" },
		  "option -r/--remote-addr: missing, expected an address or "
		  "name to connect to\n"
		  "option -o/--remote-port: missing, expected a port or "
		  "service to connect to\n" },
		{ { "-p", "1", "-o", "1" },
		  "option -r/--remote-addr: missing, expected an address or "
		  "name to connect to\n" },
		{ { "-p", "1", "-r", "a" },
		  "option -o/--remote-port: missing, expected a port or "
		  "service to connect to\n" },
		{ { "-r", "a", "-o", "1", "-p", "ftp" },
		  "option -p/--local-port: 'ftp' is no port, expected 0 to "
		  "65535 or a TCP service of /etc/services\n" },
		{ { "-r", "a", "-o", "0", "-p", "1" },
		  "option -o/--remote-port: '0' is no port, expected 1 to "
		  "65535 or a TCP service of /etc/services\n" },
		{ { "-r", "a b", "-o", "1", "-l", "c\n" },
		  "option -r/--remote-addr: 'a b' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63\n"
		  "option -l/--local-addr: 'c\\x0a' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63\n" },
		{ { "-r", "a", "-o", "1", "-t", "IPv4", "-R", "any" },
		  "option -t/--local-resolv: 'IPv4' is no address family, "
		  "expected ipv4, 4, ipv6 or 6\n"
		  "option -R/--remote-resolv: 'any' is no address family, "
		  "expected ipv4, 4, ipv6 or 6\n" },
		{ { "-r", "a", "-o", "1", "-b", "0" },
		  "option -b/--buffer-size: '0' is out of range, expected a "
		  "size from 1 to 1m\n" },
		{ { "-r", "a", "-o", "1", "-b", "-5" },
		  "option -b/--buffer-size: '-5' is no value for "
		  "'buffer-size', expected a size from 1 to 1m\n" },
		{ { "-r", "a", "-o", "1", "-l", "::1", "-t", "4" },
		  "option -l/--local-addr: '::1' contradicts 'resolv: ipv4', "
		  "expected an address of that family or a name\n" },
		{ { "-r", "1.2.3.4", "-o", "1", "-R", "6" },
		  "option -r/--remote-addr: '1.2.3.4' contradicts "
		  "'remote-resolv: ipv6', expected an address of that family "
		  "or a name\n" },
		{ { "-r", "1.2.3.4", "-o", "1", "-s", "::1" },
		  "option -s/--source-addr: no remote can be reached from "
		  "'::1', expected an ipv4 address\n" },
		{ { "-r", "127.1", "-s", "x/", "-o", "1" },
		  "option -r/--remote-addr: warning: '127.1' is taken as "
		  "127.0.0.1, expected that form\n"
		  "option -s/--source-addr: 'x/' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63\n" },
		{ { "-r", "a", "-o", "1", "-x", "1" },
		  "option -x: unknown, expected one that describes a "
		  "listener\n" },
		{ { "-l", "unix:a", "-p", "1", "-r", "unix:/a", "-o", "1" },
		  "option -o/--remote-port: a unix socket has no port, "
		  "expected none\n"
		  "option -p/--local-port: a unix socket has no port, "
		  "expected none\n" },
		{ { "-l", "unix:a/b", "-r", "unix:a" },
		  "option -l/--local-addr: 'unix:a/b' " NAME
		  "option -r/--remote-addr: 'unix:a' " PATH },
		{ { "-l", "unix:a", "-t", "4", "-s", "x/", "-r", "unix:/a" },
		  "option -s/--source-addr: 'x/' is no host name, expected "
		  "letters, digits, '-', '_' and '.', labels of 1 to 63\n"
		  "option -r/--remote-addr: warning: 'source' has no effect on "
		  "the unix socket '/a'\n"
		  "option -t/--local-resolv: warning: 'resolv' has no effect "
		  "on a unix socket\n" },
		{ { "-r", "a", "-o", "1", "-p" },
		  "option -p/--local-port: no value, expected one\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(options(cases[i].words), -1);
		assert_string_equal(messages, cases[i].messages);
	}
}

/* --- printing ------------------------------------------------------------- */

static void
print(char *buf, size_t size)
{
	int	fd = memfd_create("conf", MFD_CLOEXEC);
	ssize_t n;

	assert_int_not_equal(fd, -1);
	conf_print(&conf, fd);
	n = pread(fd, buf, size - 1, 0);
	assert_true(n > 0 && (size_t)n < size - 1);
	buf[n] = '\0';
	close(fd);
}

static void
assert_same_host(const struct conf_host *a, const struct conf_host *b)
{
	assert_int_equal(a->addr.port, b->addr.port);
	assert_true(netaddr_equal(&a->addr, &b->addr));
	if (a->addr.family == 0 || a->addr.family == AF_UNIX)
		assert_string_equal(a->text, b->text);
}

static void
assert_same(const struct conf_stanza *a, const struct conf_stanza *b)
{
	assert_int_equal(a->any, b->any);
	assert_same_host(&a->listen, &b->listen);
	assert_int_equal(a->socket_dir, b->socket_dir);
	if (a->listen.addr.family == AF_UNIX) {
		assert_int_equal(a->socket_mode, b->socket_mode);
		assert_int_equal(a->socket_uid, b->socket_uid);
		assert_int_equal(a->socket_gid, b->socket_gid);
	}
	assert_int_equal(a->resolv, b->resolv);
	assert_int_equal(a->remote_resolv, b->remote_resolv);
	assert_int_equal(a->nremotes, b->nremotes);
	for (size_t i = 0; i < a->nremotes; i++)
		assert_same_host(&a->remotes[i], &b->remotes[i]);
	assert_int_equal(a->has_source, b->has_source);
	if (a->has_source)
		assert_same_host(&a->source, &b->source);
	assert_int_equal(a->timeout, b->timeout);
	assert_int_equal(a->connect_timeout, b->connect_timeout);
	assert_int_equal(a->half_close_timeout, b->half_close_timeout);
	assert_int_equal(a->keepalive, b->keepalive);
	assert_int_equal(a->buffer_size, b->buffer_size);
	assert_int_equal(a->max_connections, b->max_connections);
	assert_int_equal(a->backlog, b->backlog);
	assert_int_equal(a->resolve_interval, b->resolve_interval);
	assert_int_equal(a->on_error, b->on_error);
	assert_int_equal(a->name == NULL, b->name == NULL);
	if (a->name != NULL)
		assert_string_equal(a->name, b->name);
}

/* Prints conf, reads that, compares both, and frees both. */
static void
round_trip(void)
{
	static char text[65536], again[65536];
	struct conf old = conf;

	print(text, sizeof(text));
	accepted(text);
	assert_int_equal(conf.drain_timeout, old.drain_timeout);
	assert_int_equal(conf.nstanzas, old.nstanzas);
	for (size_t i = 0; i < old.nstanzas; i++)
		assert_same(&conf.stanzas[i], &old.stanzas[i]);
	print(again, sizeof(again));
	assert_string_equal(text, again);
	conf_free(&conf);
	conf_free(&old);
}

static void
test_print(void **state)
{
	char text[4096];

	(void)state;
	accepted("listen [::1] http { remote: a.b 1; remote: [::2] www; }");
	print(text, sizeof(text));
	assert_string_equal(text, "drain-timeout: none;\n"
				  "\n"
				  "listen ::1 80\n"
				  "{\n"
				  "\tresolv: any;\n"
				  "\tremote: a.b 1;\n"
				  "\tremote: ::2 80;\n"
				  "\tremote-resolv: any;\n"
				  "\tsource: *;\n"
				  "\ttimeout: none;\n"
				  "\tconnect-timeout: 10s;\n"
				  "\thalf-close-timeout: 1h;\n"
				  "\tkeepalive: 2h;\n"
				  "\tbuffer-size: 60k;\n"
				  "\tmax-connections: none;\n"
				  "\tbacklog: 4096;\n"
				  "\tresolve-interval: 1m;\n"
				  "\ton-error: fail;\n"
				  "};\n");
	round_trip();
	accepted("listen unix:a { remote: unix:/b; socket-owner: web; }");
	print(text, sizeof(text));
	assert_string_equal(text, "drain-timeout: none;\n"
				  "\n"
				  "listen unix:/run/first/a\n"
				  "{\n"
				  "\tsocket-mode: 0600;\n"
				  "\tsocket-owner: 33;\n"
				  "\tremote: unix:/b;\n"
				  "\tremote-resolv: any;\n"
				  "\tsource: *;\n"
				  "\ttimeout: none;\n"
				  "\tconnect-timeout: 10s;\n"
				  "\thalf-close-timeout: 1h;\n"
				  "\tbuffer-size: 60k;\n"
				  "\tmax-connections: none;\n"
				  "\tbacklog: 4096;\n"
				  "\tresolve-interval: 1m;\n"
				  "\ton-error: fail;\n"
				  "};\n");
	round_trip();
}

static void
test_round_trip(void **state)
{
	char *text;

	(void)state;
	accepted("listen unix:a { remote: unix:/a; remote: a 1;\n"
	       "socket-mode: 7; socket-owner: web:adm; keepalive: 3; }\n"
	       "listen unix:/run/other/a { remote: \"unix:/a\\\\b c\";\n"
	       "socket-owner: :adm; }\n"
	       "listen \"unix:/{\\\"}\" { " R " socket-owner: 5; }\n");
	round_trip();
	accepted("drain-timeout: 90;\n"
	       "listen * 0 { remote: a_b.c. 1; name: \"\\\"x\\\\ ;}\"; }\n"
	       "listen fe80::1%3 1 { remote: fe80::2%4 1; source: fe80::3%4;\n"
	       "resolv: ipv6; remote-resolv: ipv6; timeout: 1ms;\n"
	       "connect-timeout: 1500ms; half-close-timeout: none;\n"
	       "keepalive: no; buffer-size: 1m; max-connections: 7;\n"
	       "backlog: 1; resolve-interval: 1000h; on-error: skip; }\n"
	       "listen name 65535 { remote: 1.2.3.4 1; source: c;\n"
	       "keepalive: 61; buffer-size: 1023; timeout: 90m;\n"
	       "resolv: ipv4; remote-resolv: any; }\n"
	       "listen name 65534 { remote: b 1; resolv: any;\n"
	       "remote-resolv: ipv6; }\n");
	round_trip();
	assert_int_equal(parse("listen 127.1 1 { remote: 1.2 1; }"), 0);
	round_trip();
	assert_int_equal(options(WORDS("-p", "1", "-r", "a", "-o", "1")), 0);
	round_trip();
	text = repeat("", 60, "listen name@ @ { remote: remote@ @;\n"
	    "name: \"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"; }\n", "");
	accepted(text);
	free(text);
	round_trip();
}

/* It ends when writing fails. */
static void
test_print_fails(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_not_equal(fd, -1);
	accepted("listen * 1 { " R " }");
	conf_print(&conf, fd);
	conf_print(&conf, -1);
	conf_free(&conf);
	close(fd);
}

static int
setup(void **state)
{
	(void)state;
	services_set(services, sizeof(services) - 1);
	users_set(passwd, sizeof(passwd) - 1, group, sizeof(group) - 1);
	local_dirs(dirs, COUNT(dirs));
	return (0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manual_example),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_old_addresses),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_drain_timeout),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_value_errors),
		cmocka_unit_test(test_text_errors),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_many_messages),
		cmocka_unit_test(test_many_listeners),
		cmocka_unit_test(test_many_remotes),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_owner),
		cmocka_unit_test(test_unix_remotes),
		cmocka_unit_test(test_unix_errors),
		cmocka_unit_test(test_unix_no_dir),
		cmocka_unit_test(test_unix_warnings),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_option_errors),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_print_fails),
	};

	return (cmocka_run_group_tests(tests, setup, NULL));
}
