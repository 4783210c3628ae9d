/* Which names a message to dialer or resolver may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/lookup.h"

/* `behind' stands after the NUL, at the field's end. */
static bool
ok(const char *text, char behind)
{
	char   name[LOOKUP_NAME_MAX] = { 0 };
	size_t len = strnlen(text, LOOKUP_NAME_MAX);

	name[LOOKUP_NAME_MAX - 1] = behind;
	memcpy(name, text, len);
	return (lookup_name_ok(name));
}

static void
test_good(void **unused)
{
	(void)unused;
	assert_true(ok("localhost", '\0'));
	assert_true(ok("www.Example.org.", '\0'));
	assert_true(ok("a", '\0'));
	assert_true(ok("_srv-1.x_y.z", '\0'));
	assert_true(ok("0az9AZ", '\0'));
}

static void
test_characters(void **unused)
{
	char text[4] = "aXb";

	(void)unused;
	for (int ch = 1; ch < 256; ch++) {
		text[1] = (char)ch;
		assert_int_equal(ok(text, '\0'), strchr("abcdefghijklmnopqrst"
		    "uvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", ch) !=
		    NULL);
	}
}

static void
test_length(void **unused)
{
	char text[LOOKUP_NAME_MAX + 1];

	(void)unused;
	memset(text, 'a', sizeof(text));
	text[LOOKUP_NAME_MAX] = '\0';
	assert_false(ok(text, 'a'));		/* no NUL at all */
	text[255] = '\0';
	assert_false(ok(text, '\0'));
	text[254] = '\0';
	assert_false(ok(text, '\0'));
	text[253] = '\0';
	assert_true(ok(text, '\0'));
	assert_false(ok("", '\0'));
}

static void
test_rest_is_zero(void **unused)
{
	(void)unused;
	assert_false(ok("name", 'x'));
	assert_false(ok("", 'x'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_rest_is_zero),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
