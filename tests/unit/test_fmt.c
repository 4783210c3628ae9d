/*
 * The bounded formatter and the number reader.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/fmt.h"

static char buf[256];

/* What fmt_print() makes of it, and that it is what printf(3) makes. */
#define same(...)							\
	do {								\
		char want[256];						\
		int n = snprintf(want, sizeof(want), __VA_ARGS__);	\
									\
		assert_int_equal(fmt_print(buf, sizeof(buf),		\
		    __VA_ARGS__), n);					\
		assert_string_equal(buf, want);				\
	} while (0)

static void
test_text(void **state)
{
	(void)state;
	same("%s", "");
	same("plain");
	same("a%sb%sc", "1", "22");
	same("100%%");
	same("%c%c", 'x', '%');
	same("%.*s|", 3, "abcdef");
	same("%.*s|", 0, "abcdef");
	same("%.*s|", 9, "abc");
	same("%.*s|%d", 2, "xyz", 7);
}

static void
test_null(void **state)
{
	const char *volatile null = NULL;

	(void)state;
	fmt_print(buf, sizeof(buf), "<%s>", null);
	assert_string_equal(buf, "<(null)>");
}

/* A precision means that no NUL is needed. */
static void
test_unterminated(void **state)
{
	const char raw[3] = { 'a', 'b', 'c' };

	(void)state;
	fmt_print(buf, sizeof(buf), "%.*s", 3, raw);
	assert_string_equal(buf, "abc");
}

static void
test_int(void **state)
{
	static const int values[] = { 0, 1, -1, 9, 10, -10, 12345, INT_MAX,
		INT_MIN };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		same("%d", values[i]);
		same("%u", (unsigned)values[i]);
		same("%x", (unsigned)values[i]);
		same("[%4d]", values[i]);
		same("[%04d]", values[i]);
		same("[%012d]", values[i]);
		same("[%12u]", (unsigned)values[i]);
		same("[%08x]", (unsigned)values[i]);
	}
}

static void
test_lengths(void **state)
{
	(void)state;
	same("%ld %ld", LONG_MAX, LONG_MIN);
	same("%lu %lx", ULONG_MAX, ULONG_MAX);
	same("%lld %lld", LLONG_MAX, LLONG_MIN);
	same("%llu %llx", ULLONG_MAX, ULLONG_MAX);
	same("%zu %zx", SIZE_MAX, SIZE_MAX);
	same("%u %s %llu %d", 1u, "between", 2ull, -3);
	same("%02u:%02u", 5u, 123u);
	same("%02ld", 7l);
}

static void
test_errno(void **state)
{
	(void)state;
	errno = ENOENT;
	fmt_print(buf, sizeof(buf), "x: %m");
	assert_string_equal(buf, "x: No such file or directory");
	assert_int_equal(errno, ENOENT);
	errno = 99999;
	fmt_print(buf, sizeof(buf), "%m%d", 1);
	assert_string_equal(buf, "unknown error1");
}

/* Never a byte behind size, always a NUL, always the length written. */
static void
test_bounds(void **state)
{
	char small[16], whole[64];
	size_t size, len;

	(void)state;
	len = fmt_print(whole, sizeof(whole), "%s=%05d%%%x", "abc", 42, 0xfeu);
	assert_string_equal(whole, "abc=00042%fe");
	for (size = 1; size < sizeof(small); size++) {
		memset(small, '#', sizeof(small));
		assert_int_equal(fmt_print(small, size, "%s=%05d%%%x", "abc",
		    42, 0xfeu), size - 1 < len ? size - 1 : len);
		assert_int_equal(strlen(small), size - 1 < len ? size - 1 :
		    len);
		assert_memory_equal(small, whole, strlen(small));
		assert_int_equal(small[size], '#');
	}
}

static size_t
print_list(const char *format, ...)
{
	char again[64];
	va_list ap;
	size_t n;

	va_start(ap, format);
	n = fmt_vprint(buf, sizeof(buf), format, ap);
	/* the list is the caller's still */
	assert_int_equal(fmt_vprint(again, sizeof(again), format, ap), n);
	va_end(ap);
	assert_string_equal(buf, again);
	return (n);
}

static void
test_list(void **state)
{
	(void)state;
	assert_int_equal(print_list("%s %d %llu", "a", 1, 2ull), 5);
	assert_string_equal(buf, "a 1 2");
}

static void
number(const char *text, uint64_t max, uint64_t want)
{
	uint64_t value = ~want;

	if (fmt_number(text, max, &value) == -1)
		fail_msg("%s refused", text);
	assert_true(value == want);
}

static void
no_number(const char *text, uint64_t max)
{
	uint64_t value = 4711;

	if (fmt_number(text, max, &value) != -1)
		fail_msg("\"%s\" accepted", text);
	assert_true(value == 4711);
}

static void
test_number(void **state)
{
	(void)state;
	number("0", 0, 0);
	number("0", UINT64_MAX, 0);
	number("7", 7, 7);
	number("007", 7, 7);
	number("65535", 65535, 65535);
	number("18446744073709551615", UINT64_MAX, UINT64_MAX);
	number("18446744073709551614", UINT64_MAX, UINT64_MAX - 1);
	number("0000000000000000000000000000001", 1, 1);
}

static void
test_number_bad(void **state)
{
	static const char *const texts[] = {
		"", " ", " 1", "1 ", "+1", "-1", "-0", "1x", "x", "0x10",
		"1.0", "1,0", "1\n", "/", ":", "\xb2", "1\xb2"
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		no_number(texts[i], UINT64_MAX);
	no_number("1", 0);
	no_number("8", 7);
	no_number("65536", 65535);
	no_number("70000", 65535);
	no_number("4294967296", UINT32_MAX);
	no_number("18446744073709551616", UINT64_MAX);
	no_number("18446744073709551620", UINT64_MAX);
	no_number("99999999999999999999", UINT64_MAX);
	no_number("184467440737095516150", UINT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_unterminated),
		cmocka_unit_test(test_int),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_number_bad),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
