/*
 * Service names: the search in the text of /etc/services.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/services.h"

static const char text[] =
    "# comment http 1/tcp\n"
    "\n"
    "   \t\n"
    "tcpmux\t\t1/tcp\t\t\t# TCP port service multiplexer\n"
    "echo 7/udp dot\n"
    "echo 7/tcp\n"
    "  http 80/tcp www\twww-http# hash\n"
    "https 443/tcp\r\n"
    "bad 70000/tcp\n"
    "sign +5/tcp\n"
    "hex 0x10/tcp\n"
    "none /tcp\n"
    "long 000000080/tcp\n"
    "sctp 9/sctp\n"
    "case 10/TCP\n"
    "tail 11/tcpx\n"
    "lonely\n"
    "twice 12/tcp\n"
    "twice 13/tcp\n"
    "zero 0/tcp\n"
    "top 65535/tcp\n"
    "last 99/tcp end";

/* -1: not found */
static int
port(const char *name)
{
	uint16_t number = 4711;

	if (services_port(name, &number) == 0)
		return (number);
	assert_int_equal(number, 4711);
	return (-1);
}

/* The text in memory of exactly its size, for the sanitizer's eyes. */
static int
setup(void **state)
{
	char *copy = malloc(sizeof(text) - 1);

	assert_non_null(copy);
	memcpy(copy, text, sizeof(text) - 1);
	services_set(copy, sizeof(text) - 1);
	*state = copy;
	return (0);
}

static int
teardown(void **state)
{
	services_set(NULL, 0);
	free(*state);
	return (0);
}

static void
test_numbers(void **state)
{
	(void)state;
	assert_int_equal(port("0"), 0);
	assert_int_equal(port("80"), 80);
	assert_int_equal(port("0080"), 80);
	assert_int_equal(port("65535"), 65535);
	assert_int_equal(port("65536"), -1);
	assert_int_equal(port("99999999999999999999999"), -1);
	assert_int_equal(port(""), -1);
	assert_int_equal(port("+80"), -1);
	assert_int_equal(port("-1"), -1);
	assert_int_equal(port(" 80"), -1);
	assert_int_equal(port("80 "), -1);
	assert_int_equal(port("0x50"), -1);
}

static void
test_names(void **state)
{
	(void)state;
	assert_int_equal(port("tcpmux"), 1);
	assert_int_equal(port("echo"), 7);
	assert_int_equal(port("http"), 80);
	assert_int_equal(port("https"), 443);
	assert_int_equal(port("zero"), 0);
	assert_int_equal(port("top"), 65535);
	assert_int_equal(port("last"), 99);
	assert_int_equal(port("twice"), 12);
}

static void
test_aliases(void **state)
{
	(void)state;
	assert_int_equal(port("www"), 80);
	assert_int_equal(port("www-http"), 80);
	assert_int_equal(port("end"), 99);
}

static void
test_unknown(void **state)
{
	static const char *const names[] = { "dot", "htt", "httpx", "HTTP",
		"comment", "#", "TCP", "hash", "bad", "sign", "hex", "none",
		"long", "sctp", "case", "tail", "lonely", "80/tcp", "tcp",
		"\n", "http 80/tcp" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(port(names[i]), -1);
}

static void
test_nothing_loaded(void **state)
{
	(void)state;
	services_set(NULL, 0);
	assert_int_equal(port("http"), -1);
	assert_int_equal(port("80"), 80);
	services_set("", 0);
	assert_int_equal(port("http"), -1);
	services_set("\n\n", 2);
	assert_int_equal(port("http"), -1);
}

/* The system's file, if there is one. */
static void
test_load(void **state)
{
	(void)state;
	services_set(NULL, 0);
	services_load();
	if (access("/etc/services", R_OK) == 0)
		assert_int_equal(port("http"), 80);
	assert_int_equal(port("no-such-service-here"), -1);
	assert_int_equal(port("443"), 443);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_aliases, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_loaded, setup,
		    teardown),
		cmocka_unit_test(test_load),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
