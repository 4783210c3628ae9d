/*
 * The descriptor budget.  Runs in the relay while loading; touches nothing.
 */
#include "budget.h"

uint32_t
budget_share(uint32_t total, uint32_t workers)
{
	return (total / workers + (total % workers != 0));
}

int
budget_compute(struct budget *b, uint32_t asked, uint32_t workers,
    uint32_t listeners, uint64_t limit)
{
	uint32_t slots;
	uint64_t fixed = (uint64_t)listeners + FDS_OTHER + FDS_RESERVE;

	slots = budget_share(asked != 0 ? asked : SESSIONS_DEFAULT, workers);
	b->need = fixed + (uint64_t)slots * FDS_SESSION;
	b->less = b->need > limit;
	b->slots = slots;
	if (!b->less)
		return (0);
	if (limit < fixed + FDS_SESSION) {
		b->slots = 0;
		return (-1);
	}
	b->slots = (uint32_t)((limit - fixed) / FDS_SESSION);
	return (asked != 0 ? -1 : 0);
}
