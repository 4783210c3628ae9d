/*
 * The descriptor budget: sessions per worker from what was asked for and
 * what the limit allows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../relay/budget.h"

#define FIXED(listeners) \
	((uint64_t)(listeners) + FDS_OTHER + FDS_RESERVE)

static void
test_share(void **state)
{
	(void)state;
	assert_int_equal(budget_share(0, 3), 0);
	assert_int_equal(budget_share(1, 8), 1);
	assert_int_equal(budget_share(10000, 1), 10000);
	assert_int_equal(budget_share(10000, 3), 3334);
	assert_int_equal(budget_share(9999, 3), 3333);
	assert_int_equal(budget_share(UINT32_MAX, 1), UINT32_MAX);
	assert_int_equal(budget_share(UINT32_MAX, 2), 0x80000000u);
}

/* One descriptor decides. */
static void
test_explicit(void **state)
{
	const uint64_t need = FIXED(3) + 2 * 50;
	struct budget b;

	(void)state;
	assert_int_equal(budget_compute(&b, 100, 2, 3, need), 0);
	assert_int_equal(b.slots, 50);
	assert_int_equal(b.need, need);
	assert_false(b.less);

	assert_int_equal(budget_compute(&b, 100, 2, 3, need - 1), -1);
	assert_int_equal(b.need, need);
	assert_true(b.less);
}

/* Without a wish: the default number, or what fits, down to one. */
static void
test_default(void **state)
{
	const uint64_t need = FIXED(1) + 2 * SESSIONS_DEFAULT;
	struct budget b;

	(void)state;
	assert_int_equal(budget_compute(&b, 0, 1, 1, need), 0);
	assert_int_equal(b.slots, SESSIONS_DEFAULT);
	assert_false(b.less);

	assert_int_equal(budget_compute(&b, 0, 1, 1, need - 1), 0);
	assert_int_equal(b.slots, SESSIONS_DEFAULT - 1);
	assert_true(b.less);

	assert_int_equal(budget_compute(&b, 0, 8, 1, FIXED(1) + 5), 0);
	assert_int_equal(b.slots, 2);

	assert_int_equal(budget_compute(&b, 0, 8, 1, FIXED(1) + 2), 0);
	assert_int_equal(b.slots, 1);
	assert_int_equal(budget_compute(&b, 0, 8, 1, FIXED(1) + 1), -1);
	assert_int_equal(b.slots, 0);
	assert_int_equal(budget_compute(&b, 0, 8, 4096, 1), -1);
	assert_int_equal(b.slots, 0);
}

/* Nothing overflows at the ends of the ranges. */
static void
test_extremes(void **state)
{
	struct budget b;

	(void)state;
	assert_int_equal(budget_compute(&b, UINT32_MAX, 1, 4096,
	    UINT64_MAX), 0);
	assert_int_equal(b.slots, UINT32_MAX);
	assert_int_equal(b.need, FIXED(4096) + 2 * (uint64_t)UINT32_MAX);
	assert_int_equal(budget_compute(&b, UINT32_MAX, 1, 4096,
	    UINT32_MAX), -1);
	assert_int_equal(budget_compute(&b, 0, 1, 0, 0), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_explicit),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_extremes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
