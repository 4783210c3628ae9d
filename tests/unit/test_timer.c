/*
 * The timing wheel against a model that looks at every timer, with random
 * starts, stops and leaps of a made-up clock, from one millisecond to more
 * than a round of the highest level.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../common/timer.h"

#define COUNT	300
#define ROUND	(UINT64_C(64 * 64 * 64 * 64) * TIMER_TICK)

static struct timer	  timers[COUNT];
static struct timer_wheel wheel;
static uint64_t		  model[COUNT];	/* due, or 0 */
static uint64_t		  now;
static uint64_t		  state;

static uint64_t
draw(uint64_t below)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return ((state >> 24) % below);
}

/* Times of every order of magnitude are equally likely. */
static uint64_t
draw_time(void)
{
	static const uint64_t scales[] = {
		1, TIMER_TICK, 64 * TIMER_TICK, 64 * 64 * TIMER_TICK,
		64 * 64 * 64 * TIMER_TICK, ROUND, 5 * ROUND
	};

	return (draw(scales[draw(sizeof(scales) / sizeof(scales[0]))] + 1));
}

static void
begin(uint64_t at)
{
	memset(timers, 0, sizeof(timers));
	memset(model, 0, sizeof(model));
	now = at;
	timer_init(&wheel, timers, COUNT, now);
}

static void
start(uint32_t i, uint64_t due)
{
	timer_start(&wheel, i, due);
	model[i] = due != 0 ? due : 1;
}

static void
stop(uint32_t i)
{
	timer_stop(&wheel, i);
	model[i] = 0;
}

/* When the model's timer has to have expired: at the end of its tick. */
static uint64_t
latest(uint64_t due)
{
	return ((due + TIMER_TICK - 1) / TIMER_TICK * TIMER_TICK);
}

static void
expire(void)
{
	uint32_t i;

	while ((i = timer_expired(&wheel, now)) != TIMER_NONE) {
		assert_true(i < COUNT);
		assert_true(model[i] != 0);
		assert_true(model[i] <= now);
		assert_int_equal(timers[i].due, 0);
		model[i] = 0;
	}
	for (i = 0; i < COUNT; i++)
		assert_true(model[i] == 0 || latest(model[i]) > now);
}

static void
check_wait(void)
{
	uint64_t first = UINT64_MAX;
	int	 wait = timer_wait(&wheel, now);

	for (uint32_t i = 0; i < COUNT; i++)
		if (model[i] != 0 && latest(model[i]) < first)
			first = latest(model[i]);
	if (first == UINT64_MAX) {
		assert_int_equal(wait, -1);
		return;
	}
	assert_true(wait > 0);
	assert_true(now + (uint64_t)wait <= first);
	/* within the lowest level it is exact */
	if (first / TIMER_TICK / TIMER_SLOTS == now / TIMER_TICK / TIMER_SLOTS)
		assert_int_equal(now + (uint64_t)wait, first);
}

static void
step(void)
{
	uint32_t i = (uint32_t)draw(COUNT);

	switch (draw(8)) {
	case 0:
		now += draw_time();
		break;
	case 1:
		now += draw(4 * TIMER_TICK);
		break;
	case 2:
		stop(i);
		break;
	case 3:			/* due already */
		start(i, draw(2) == 0 ? now : now - draw(now + 1));
		break;
	case 4:			/* many in one slot */
		start(i, now + 1000 * TIMER_TICK);
		break;
	default:
		start(i, now + draw_time());
		break;
	}
}

static void
test_random(void **unused)
{
	(void)unused;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		state = seed;
		begin(draw_time());
		for (int n = 0; n < 3000; n++) {
			step();
			if (draw(3) == 0) {
				expire();
				check_wait();
			}
		}
		for (uint32_t i = 0; i < COUNT; i++)
			stop(i);
		assert_int_equal(timer_wait(&wheel, now), -1);
		for (int level = 0; level < TIMER_LEVELS; level++)
			assert_int_equal(wheel.used[level], 0);
	}
}

/*
 * A loop that sleeps as long as it is told meets each timer in its tick, and
 * is woken in vain at most once for each level and round on the way.
 */
static void
test_wait_leads_to_expiry(void **unused)
{
	(void)unused;
	state = 7;
	for (int n = 0; n < 20000; n++) {
		uint64_t span = draw_time();
		unsigned wakes = 0;

		begin(draw_time());
		start(5, now + span);
		while (timer_expired(&wheel, now) == TIMER_NONE) {
			int wait = timer_wait(&wheel, now);

			assert_true(wait > 0);
			now += (uint64_t)wait;
			wakes++;
		}
		assert_int_equal(now, latest(model[5]));
		assert_true(wakes <= TIMER_LEVELS + span / ROUND);
	}
}

static void
test_same_tick(void **unused)
{
	uint32_t seen = 0;

	(void)unused;
	begin(1000);
	for (uint32_t i = 0; i < COUNT; i++)
		start(i, 5000);
	stop(0);
	stop(COUNT - 1);
	stop(COUNT / 2);
	now = 4999;
	assert_int_equal(timer_expired(&wheel, now), TIMER_NONE);
	now = 5000;
	while (timer_expired(&wheel, now) != TIMER_NONE)
		seen++;
	assert_int_equal(seen, COUNT - 3);
}

static void
test_overdue_at_once(void **unused)
{
	(void)unused;
	begin(100000);
	assert_int_equal(timer_expired(&wheel, now), TIMER_NONE);
	start(3, 0);
	assert_int_equal(timer_wait(&wheel, now), 0);
	assert_int_equal(timer_expired(&wheel, now), 3);
	start(4, 17);
	stop(4);
	assert_int_equal(timer_expired(&wheel, now), TIMER_NONE);
	assert_int_equal(timer_wait(&wheel, now), -1);
}

static void
test_restart_moves(void **unused)
{
	(void)unused;
	begin(0);
	start(1, 100);
	start(1, 100000);
	now = 200;
	assert_int_equal(timer_expired(&wheel, now), TIMER_NONE);
	start(1, 300);
	now = 304;
	assert_int_equal(timer_expired(&wheel, now), 1);
	now = 200000;
	assert_int_equal(timer_expired(&wheel, now), TIMER_NONE);
}

/* A timer started after a long idle time doesn't wake the loop at once. */
static void
test_wait_after_idle(void **unused)
{
	(void)unused;
	begin(0);
	now = 1000000;
	assert_int_equal(timer_expired(&wheel, now), TIMER_NONE);
	start(1, now + 100 * TIMER_TICK);
	assert_true(timer_wait(&wheel, now) > 0);
}

static void
test_longest(void **unused)
{
	(void)unused;
	begin(12345);
	start(0, UINT64_MAX / 2);
	assert_true(timer_wait(&wheel, now) > 0);
	assert_int_equal(timer_expired(&wheel, now + 3 * ROUND), TIMER_NONE);
	stop(0);
	assert_int_equal(timer_wait(&wheel, now), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_wait_leads_to_expiry),
		cmocka_unit_test(test_same_tick),
		cmocka_unit_test(test_overdue_at_once),
		cmocka_unit_test(test_restart_moves),
		cmocka_unit_test(test_wait_after_idle),
		cmocka_unit_test(test_longest),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
