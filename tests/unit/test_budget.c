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
	static const uint32_t totals[] = { 0, 1, 7, 8, 9, 9999, 10000,
		UINT32_MAX };

	(void)state;
	assert_int_equal(budget_share(0, 3, 0), 0);
	assert_int_equal(budget_share(1, 8, 0), 1);
	assert_int_equal(budget_share(1, 8, 1), 0);
	assert_int_equal(budget_share(10000, 1, 0), 10000);
	assert_int_equal(budget_share(10000, 3, 0), 3334);
	assert_int_equal(budget_share(10000, 3, 1), 3333);
	assert_int_equal(budget_share(UINT32_MAX, 1, 0), UINT32_MAX);
	assert_int_equal(budget_share(UINT32_MAX, 2, 0), 0x80000000u);
	/* not one more and not one less, and the first has the most */
	for (size_t t = 0; t < sizeof(totals) / sizeof(totals[0]); t++)
		for (uint32_t n = 1; n <= 8; n++) {
			uint64_t sum = 0;

			for (uint32_t i = 0; i < n; i++) {
				sum += budget_share(totals[t], n, i);
				assert_true(budget_share(totals[t], n, i) <=
				    budget_share(totals[t], n, 0));
			}
			assert_int_equal(sum, totals[t]);
		}
}

/* One descriptor decides. */
static void
test_explicit(void **state)
{
	const uint64_t need = FIXED(3) + 2 * 50;
	struct budget b;

	(void)state;
	assert_int_equal(budget_compute(&b, 100, 2, 0, 3, need), 0);
	assert_int_equal(b.slots, 50);
	assert_int_equal(b.total, 100);
	assert_int_equal(b.need, need);
	assert_false(b.less);

	assert_int_equal(budget_compute(&b, 100, 2, 1, 3, need - 1), -1);
	assert_int_equal(b.need, need);
	assert_true(b.less);
}

/* All workers decide alike, even if only the first is short of one. */
static void
test_uneven(void **state)
{
	const uint64_t need = FIXED(3) + 2 * 34;
	struct budget b;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(budget_compute(&b, 100, 3, i, 3, need), 0);
		assert_int_equal(b.slots, i == 0 ? 34 : 33);
		assert_int_equal(b.total, 100);
		assert_int_equal(budget_compute(&b, 100, 3, i, 3, need - 1),
		    -1);
		assert_int_equal(b.need, need);
	}
	/* a worker without a session would be a trap */
	assert_int_equal(budget_compute(&b, 2, 3, 2, 1, UINT64_MAX), -1);
}

/* Without a wish: the default number, or what fits, down to one. */
static void
test_default(void **state)
{
	const uint64_t need = FIXED(1) + 2 * SESSIONS_DEFAULT;
	struct budget b;

	(void)state;
	assert_int_equal(budget_compute(&b, 0, 1, 0, 1, need), 0);
	assert_int_equal(b.slots, SESSIONS_DEFAULT);
	assert_false(b.less);

	assert_int_equal(budget_compute(&b, 0, 1, 0, 1, need - 1), 0);
	assert_int_equal(b.slots, SESSIONS_DEFAULT - 1);
	assert_int_equal(b.total, SESSIONS_DEFAULT - 1);
	assert_true(b.less);

	assert_int_equal(budget_compute(&b, 0, 8, 0, 1, FIXED(1) + 5), 0);
	assert_int_equal(b.slots, 2);
	assert_int_equal(b.total, 16);

	assert_int_equal(budget_compute(&b, 0, 8, 0, 1, FIXED(1) + 2), 0);
	assert_int_equal(b.slots, 1);
	assert_int_equal(budget_compute(&b, 0, 8, 0, 1, FIXED(1) + 1), -1);
	assert_int_equal(b.slots, 0);
	assert_int_equal(budget_compute(&b, 0, 8, 0, 4096, 1), -1);
	assert_int_equal(b.slots, 0);
}

/* Nothing overflows at the ends of the ranges. */
static void
test_extremes(void **state)
{
	struct budget b;

	(void)state;
	assert_int_equal(budget_compute(&b, UINT32_MAX, 1, 0, 4096,
	    UINT64_MAX), 0);
	assert_int_equal(b.slots, UINT32_MAX);
	assert_int_equal(b.total, UINT32_MAX);
	assert_int_equal(b.need, FIXED(4096) + 2 * (uint64_t)UINT32_MAX);
	assert_int_equal(budget_compute(&b, UINT32_MAX, 1, 0, 4096,
	    UINT32_MAX), -1);
	assert_int_equal(budget_compute(&b, 0, 1, 0, 0, 0), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_explicit),
		cmocka_unit_test(test_uneven),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_extremes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
