/*
 * Timers: a hierarchical timing wheel.  Runs in relay and dialer; touches
 * only the caller's memory and reads the clock.
 *
 * Time is counted in ticks.  A timer's level is that of the highest group of
 * six bits in which its tick differs from the current one, its slot that
 * group of its own tick; what lies beyond the highest level waits there for
 * its round.  So a timer's place follows from the two ticks alone.  The
 * current tick stops at the start of each slot in use, whose timers then
 * move to lower levels; at level 0 they are due.
 */
#include "timer.h"

#include <limits.h>

#include "fd.h"
#include "log.h"

#define SLOT_BITS	6
#define TOP		(TIMER_LEVELS - 1)

_Static_assert(TIMER_SLOTS == 1 << SLOT_BITS, "one word of bits per level");

void
timer_init(struct timer_wheel *w, struct timer *timers, uint32_t count,
    uint64_t now)
{
	*w = (struct timer_wheel){
		.timers = timers, .count = count, .tick = now / TIMER_TICK
	};
}

/* The tick at which the timer expires: never early, never in the past. */
static uint64_t
tick_of(const struct timer_wheel *w, const struct timer *t)
{
	uint64_t tick = t->due / TIMER_TICK + (t->due % TIMER_TICK != 0);

	return (tick > w->tick ? tick : w->tick);
}

static unsigned
shift_of(unsigned level)
{
	return (level * SLOT_BITS);
}

static unsigned
slot_of(uint64_t tick, unsigned level)
{
	return ((unsigned)(tick >> shift_of(level)) & (TIMER_SLOTS - 1));
}

static unsigned
level_of(const struct timer_wheel *w, uint64_t tick)
{
	unsigned level = 0;

	while (level < TOP && (tick ^ w->tick) >> shift_of(level + 1) != 0)
		level++;
	return (level);
}

static struct timer *
timer_at(const struct timer_wheel *w, uint32_t i)
{
	if (i >= w->count)
		fatalx("timer %u of %u", i, w->count);
	return (&w->timers[i]);
}

static void
insert(struct timer_wheel *w, uint32_t i)
{
	struct timer *t = &w->timers[i];
	uint64_t      tick = tick_of(w, t);
	unsigned      level = level_of(w, tick), slot = slot_of(tick, level);
	uint32_t     *head = &w->slot[level][slot];

	t->prev = 0;
	t->next = *head;
	if (*head != 0)
		w->timers[*head - 1].prev = i + 1;
	*head = i + 1;
	w->used[level] |= UINT64_C(1) << slot;
}

void
timer_stop(struct timer_wheel *w, uint32_t i)
{
	struct timer *t = timer_at(w, i);
	uint64_t      tick;
	unsigned      level, slot;

	if (t->due == 0)
		return;
	tick = tick_of(w, t);
	level = level_of(w, tick);
	slot = slot_of(tick, level);
	if (t->next != 0)
		w->timers[t->next - 1].prev = t->prev;
	if (t->prev != 0)
		w->timers[t->prev - 1].next = t->next;
	else if ((w->slot[level][slot] = t->next) == 0)
		w->used[level] &= ~(UINT64_C(1) << slot);
	*t = (struct timer){ 0 };
}

void
timer_start(struct timer_wheel *w, uint32_t i, uint64_t due)
{
	timer_stop(w, i);
	w->timers[i].due = due != 0 ? due : 1;
	insert(w, i);
}

/*
 * The first slot in use and the tick at which it starts.  All slots of one
 * level start before those of the next; only at the top they go round.
 * Returns its level, or -1 when no timer runs.
 */
static int
first_slot(const struct timer_wheel *w, uint64_t *start)
{
	unsigned level = 0, here, first, ahead;
	uint64_t bits;

	while (level < TIMER_LEVELS && w->used[level] == 0)
		level++;
	if (level == TIMER_LEVELS)
		return (-1);
	/* turned, so that bit 0 stands for the current slot; at level 0 it
	   is due, above it the timers there are a whole round away */
	here = slot_of(w->tick, level);
	bits = w->used[level];
	if (here != 0)
		bits = bits >> here | bits << (TIMER_SLOTS - here);
	if (level != 0 && (bits & ~UINT64_C(1)) != 0)
		bits &= ~UINT64_C(1);
	first = (unsigned)__builtin_ctzll(bits);
	ahead = level != 0 && first == 0 ? TIMER_SLOTS : first;
	*start = ((w->tick >> shift_of(level)) + ahead) << shift_of(level);
	return ((int)level);
}

/* Moves the timers of the slot that starts now to lower levels. */
static void
cascade(struct timer_wheel *w, unsigned level)
{
	unsigned slot = slot_of(w->tick, level);
	uint32_t i = w->slot[level][slot], next;

	w->slot[level][slot] = 0;
	w->used[level] &= ~(UINT64_C(1) << slot);
	for (; i != 0; i = next) {
		next = w->timers[i - 1].next;
		insert(w, i - 1);
	}
}

uint32_t
timer_expired(struct timer_wheel *w, uint64_t now)
{
	uint64_t start;
	uint32_t i;
	int	 level;

	while ((level = first_slot(w, &start)) != -1 &&
	    start <= now / TIMER_TICK) {
		w->tick = start;
		if (level == 0) {
			i = w->slot[0][slot_of(start, 0)] - 1;
			timer_stop(w, i);
			return (i);
		}
		cascade(w, (unsigned)level);
	}
	if (now / TIMER_TICK > w->tick)
		w->tick = now / TIMER_TICK;
	return (TIMER_NONE);
}

int
timer_wait(const struct timer_wheel *w, uint64_t now)
{
	uint64_t start, ms;

	if (first_slot(w, &start) == -1)
		return (-1);
	if (start <= now / TIMER_TICK)
		return (0);
	ms = start * TIMER_TICK - now;
	return (ms < INT_MAX ? (int)ms : INT_MAX);
}

uint64_t
timer_now(void)
{
	return (clock_us() / 1000);
}
