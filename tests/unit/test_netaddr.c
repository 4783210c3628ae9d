/*
 * Addresses: from text, to text, from and to the kernel's form, and what
 * kind they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>

#include <cmocka.h>

#include "../../common/netaddr.h"

static struct netaddr
parse(const char *text)
{
	struct netaddr a;

	memset(&a, 0xff, sizeof(a));
	if (netaddr_parse(text, 0, &a) == -1)
		fail_msg("%s refused", text);
	assert_int_equal(a.port, 0);
	return (a);
}

static void
test_v4(void **state)
{
	static const uint8_t ip[16] = { 192, 0, 2, 1 };
	struct netaddr a = parse("192.0.2.1");

	(void)state;
	assert_int_equal(a.family, AF_INET);
	assert_int_equal(a.scope, 0);
	assert_memory_equal(a.ip, ip, 16);
	a = parse("255.255.255.255");
	assert_int_equal(a.ip[3], 255);
	assert_int_equal(a.ip[4], 0);
	parse("0.0.0.0");
}

static void
test_v6(void **state)
{
	static const uint8_t ip[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 0xa };
	static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct netaddr a;

	(void)state;
	a = parse("2001:db8::a");
	assert_int_equal(a.family, AF_INET6);
	assert_int_equal(a.scope, 0);
	assert_memory_equal(a.ip, ip, 16);
	a = parse("[2001:DB8:0:0:0:0:0:A]");
	assert_memory_equal(a.ip, ip, 16);
	a = parse("::ffff:192.0.2.1");
	assert_int_equal(a.family, AF_INET6);
	assert_memory_equal(a.ip, mapped, 16);
	parse("::");
	parse("[::1]");
	parse("2001:0db8:ffff:ffff:ffff:ffff:255.255.255.255");
	parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295");
}

static void
test_zone(void **state)
{
	struct netaddr a;

	(void)state;
	a = parse("fe80::1%2");
	assert_int_equal(a.family, AF_INET6);
	assert_int_equal(a.scope, 2);
	assert_int_equal(a.ip[15], 1);
	a = parse("[fe80::1%4294967295]");
	assert_int_equal(a.scope, UINT32_MAX);
}

static void
test_bad(void **state)
{
	static const char *const texts[] = {
		"", " ", "[]", "[", "]", "x", "localhost", "1", "1.2.3",
		"1.2.3.", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "01.2.3.4",
		"0x7f.0.0.1", "127.1", "2130706433", " 1.2.3.4", "1.2.3.4 ",
		"1.2.3.4:80", "1.2.3.4/8", "1.2.3.4%1", "[1.2.3.4]", ":",
		":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1::", "12345::",
		"::g", "::1 ", " ::1", "[::1", "::1]", "[[::1]]", "[::1]:80",
		"fe80::1%", "fe80::1%eth0", "fe80::1%-1", "fe80::1%4294967296",
		"fe80::1%1%1", "fe80::1% 1", "%1", "[%1]", "::1/128",
		("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:"
		"0000:0000:0000:0000:0000:0000")
	};
	static const struct netaddr none;
	struct netaddr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		memset(&a, 0xff, sizeof(a));
		if (netaddr_parse(texts[i], 0, &a) != -1)
			fail_msg("\"%s\" accepted", texts[i]);
		if (memcmp(&a, &none, sizeof(a)) != 0)
			fail_msg("\"%s\" left something behind", texts[i]);
	}
}

static void
test_family(void **state)
{
	struct netaddr a;

	(void)state;
	assert_int_equal(netaddr_parse("192.0.2.1", AF_INET, &a), 0);
	assert_int_equal(netaddr_parse("192.0.2.1", AF_INET6, &a), -1);
	assert_int_equal(netaddr_parse("::1", AF_INET6, &a), 0);
	assert_int_equal(netaddr_parse("[::1]", AF_INET6, &a), 0);
	assert_int_equal(netaddr_parse("::1", AF_INET, &a), -1);
	assert_int_equal(netaddr_parse("[::1]", AF_INET, &a), -1);
	assert_int_equal(netaddr_parse("[192.0.2.1]", AF_INET, &a), -1);
}

static void
shown(const char *text, uint16_t port, const char *ip, const char *whole)
{
	struct netaddr a = parse(text);
	char buf[NETADDR_TEXT];

	a.port = port;
	assert_ptr_equal(netaddr_ip(&a, buf), buf);
	assert_string_equal(buf, ip);
	assert_ptr_equal(netaddr_text(&a, buf), buf);
	assert_string_equal(buf, whole);
}

static void
test_text(void **state)
{
	static const struct netaddr none;
	char buf[NETADDR_TEXT];

	(void)state;
	shown("192.0.2.1", 80, "192.0.2.1", "192.0.2.1:80");
	shown("0.0.0.0", 0, "0.0.0.0", "0.0.0.0:0");
	shown("2001:DB8:0::1", 65535, "2001:db8::1", "[2001:db8::1]:65535");
	shown("fe80::1%7", 22, "fe80::1%7", "[fe80::1%7]:22");
	shown("::", 1, "::", "[::]:1");
	assert_string_equal(netaddr_text(&none, buf), "-");
	assert_string_equal(netaddr_ip(&none, buf), "-");
}

/* The longest there is fits, and comes back as it was. */
static void
test_text_longest(void **state)
{
	static const char longest[] =
	    "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295";
	struct netaddr a = parse(longest), b;
	char buf[NETADDR_TEXT], want[NETADDR_TEXT];

	(void)state;
	a.port = 65535;
	netaddr_text(&a, buf);
	netaddr_ip(&a, want);
	b = parse(want);
	b.port = 65535;
	assert_true(netaddr_equal(&a, &b));
	assert_string_equal(buf,
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void
test_sockaddr_v4(void **state)
{
	struct netaddr a = parse("192.0.2.1"), b;
	struct sockaddr_storage ss;
	struct sockaddr_in sin;

	(void)state;
	a.port = 8080;
	memset(&ss, 0xff, sizeof(ss));
	assert_int_equal(netaddr_sockaddr(&a, &ss), sizeof(sin));
	memcpy(&sin, &ss, sizeof(sin));
	assert_int_equal(sin.sin_family, AF_INET);
	assert_int_equal(sin.sin_port, htons(8080));
	assert_int_equal(sin.sin_addr.s_addr, inet_addr("192.0.2.1"));
	memset(&b, 0xff, sizeof(b));
	assert_int_equal(netaddr_from((const struct sockaddr *)&ss,
	    sizeof(sin), &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(netaddr_from((const struct sockaddr *)&ss,
	    sizeof(sin) - 1, &b), -1);
}

static void
test_sockaddr_v6(void **state)
{
	struct netaddr a = parse("fe80::1%7"), b;
	struct sockaddr_storage ss;
	struct sockaddr_in6 sin6;

	(void)state;
	a.port = 443;
	memset(&ss, 0xff, sizeof(ss));
	assert_int_equal(netaddr_sockaddr(&a, &ss), sizeof(sin6));
	memcpy(&sin6, &ss, sizeof(sin6));
	assert_int_equal(sin6.sin6_family, AF_INET6);
	assert_int_equal(sin6.sin6_port, htons(443));
	assert_int_equal(sin6.sin6_scope_id, 7);
	assert_int_equal(sin6.sin6_flowinfo, 0);
	assert_memory_equal(&sin6.sin6_addr, a.ip, 16);
	memset(&b, 0xff, sizeof(b));
	assert_int_equal(netaddr_from((const struct sockaddr *)&ss,
	    sizeof(sin6), &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(netaddr_from((const struct sockaddr *)&ss,
	    sizeof(sin6) - 1, &b), -1);
}

static void
test_sockaddr_other(void **state)
{
	static const struct netaddr none;
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };
	struct netaddr a;

	(void)state;
	assert_int_equal(netaddr_from((const struct sockaddr *)&ss,
	    sizeof(ss), &a), -1);
	assert_memory_equal(&a, &none, sizeof(a));
	assert_int_equal(netaddr_sockaddr(&none, &ss), 0);
}

static void
kind(const char *text, int any, int multicast, int mapped)
{
	struct netaddr a = parse(text);

	if (netaddr_any(&a) != any || netaddr_multicast(&a) != multicast ||
	    netaddr_mapped(&a) != mapped)
		fail_msg("%s", text);
}

static void
test_kinds(void **state)
{
	(void)state;
	kind("0.0.0.0", 1, 0, 0);
	kind("::", 1, 0, 0);
	kind("0.0.0.1", 0, 0, 0);
	kind("1.0.0.0", 0, 0, 0);
	kind("::1", 0, 0, 0);
	kind("223.255.255.255", 0, 0, 0);
	kind("224.0.0.0", 0, 1, 0);
	kind("239.255.255.255", 0, 1, 0);
	kind("240.0.0.0", 0, 0, 0);
	kind("255.255.255.255", 0, 0, 0);
	kind("ff00::", 0, 1, 0);
	kind("ffff::1", 0, 1, 0);
	kind("fe80::1", 0, 0, 0);
	kind("::ffff:0.0.0.0", 0, 0, 1);
	kind("::ffff:192.0.2.1", 0, 0, 1);
	kind("::fffe:192.0.2.1", 0, 0, 0);
	kind("::1:ffff:192.0.2.1", 0, 0, 0);
	kind("::192.0.2.1", 0, 0, 0);
}

static void
test_equal(void **state)
{
	struct netaddr a = parse("192.0.2.1"), b = parse("192.0.2.1");

	(void)state;
	assert_true(netaddr_equal(&a, &b));
	b.port = 1;
	assert_false(netaddr_equal(&a, &b));
	b = parse("192.0.2.2");
	assert_false(netaddr_equal(&a, &b));
	b = parse("c000:201::");		/* the same first bytes */
	assert_false(netaddr_equal(&a, &b));
	a = parse("fe80::1%1");
	b = parse("fe80::1%2");
	assert_false(netaddr_equal(&a, &b));
	b.scope = 1;
	assert_true(netaddr_equal(&a, &b));
	b.ip[15] = 2;
	assert_false(netaddr_equal(&a, &b));
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	assert_true(netaddr_equal(&a, &b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_zone),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_longest),
		cmocka_unit_test(test_sockaddr_v4),
		cmocka_unit_test(test_sockaddr_v6),
		cmocka_unit_test(test_sockaddr_other),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_equal),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
