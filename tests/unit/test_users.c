/*
 * Users and groups: the search in the texts of /etc/passwd and /etc/group.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../common/users.h"

static const char passwd[] =
    "root:x:0:0:root:/root:/bin/bash\n"
    "\n"
    "# comment:x:1:1\n"
    "daemon:*:1:1\n"
    "www-data::33:33::/:\n"
    "www:x:34:34::/:\n"
    "+nis\n"
    "short:x\n"
    "shorter:x:7\n"
    "noid:x::5:\n"
    "sign:x:-5:5:\n"
    "big:x:4294967295:5:\n"
    "long:x:00000000033:5:\n"
    "most:x:4294967294:5:\n"
    "twice:x:50:5:\n"
    "twice:x:51:5:\n"
    "5000:x:1:1:\n"
    "last:x:99:99:";
static const char group[] = "root:x:0:\nwww-data:x:43:a,b\nend:x:77:";

static char *texts[2];

/* -1: not found */
static int64_t
uid(const char *name)
{
	uint32_t id = 4711;

	if (users_uid(name, &id) == 0)
		return (id);
	assert_int_equal(id, 4711);
	return (-1);
}

static int64_t
gid(const char *name)
{
	uint32_t id = 4711;

	if (users_gid(name, &id) == 0)
		return (id);
	assert_int_equal(id, 4711);
	return (-1);
}

/* The texts in memory of exactly their sizes, for the sanitizer's eyes. */
static int
setup(void **state)
{
	char *copy = malloc(sizeof(passwd) - 1);
	char *copy2 = malloc(sizeof(group) - 1);

	assert_non_null(copy);
	assert_non_null(copy2);
	memcpy(copy, passwd, sizeof(passwd) - 1);
	memcpy(copy2, group, sizeof(group) - 1);
	users_set(copy, sizeof(passwd) - 1, copy2, sizeof(group) - 1);
	texts[0] = copy;
	texts[1] = copy2;
	(void)state;
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	free(texts[0]);
	free(texts[1]);
	return (0);
}

static void
test_names(void **state)
{
	(void)state;
	assert_int_equal(uid("root"), 0);
	assert_int_equal(uid("daemon"), 1);
	assert_int_equal(uid("www-data"), 33);
	assert_int_equal(uid("www"), 34);
	assert_int_equal(uid("most"), 4294967294);
	assert_int_equal(uid("twice"), 50);
	assert_int_equal(uid("last"), 99);
	assert_int_equal(gid("www-data"), 43);
	assert_int_equal(gid("end"), 77);
}

static void
test_no_names(void **state)
{
	static const char *const names[] = { "", "nobody", "roo", "root:",
		"root:x", "root:x:0", "+nis", "short", "shorter",
		"noid", "sign", "big", "long", "Root", " root", "las",
		"last:x:99:99:", "x", "\n", "daemon " };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(uid(names[i]), -1);
	assert_int_equal(gid("daemon"), -1);
	assert_int_equal(gid("nd"), -1);
}

static void
test_numbers(void **state)
{
	(void)state;
	assert_int_equal(uid("0"), 0);
	assert_int_equal(uid("033"), 33);
	assert_int_equal(uid("5000"), 5000);	/* not the name */
	assert_int_equal(uid("4294967294"), 4294967294);
	assert_int_equal(gid("12345"), 12345);
	assert_int_equal(uid("4294967295"), -1);
	assert_int_equal(uid("99999999999999999999"), -1);
	assert_int_equal(uid("-1"), -1);
	assert_int_equal(uid("+1"), -1);
	assert_int_equal(uid("0x1"), -1);
	assert_int_equal(uid("1 "), -1);
}

/* What the system has, and nothing after it was forgotten. */
static void
test_load(void **state)
{
	(void)state;
	users_load();
	assert_int_equal(uid("root"), 0);
	assert_int_equal(gid("root"), 0);
	assert_int_equal(uid("last"), -1);
	users_forget();
	assert_int_equal(uid("root"), -1);
	assert_int_equal(gid("root"), -1);
	assert_int_equal(uid("7"), 7);
	users_forget();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_load),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
