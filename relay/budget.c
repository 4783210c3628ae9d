/*
 * The descriptor budget.  Runs in the relay while loading; touches nothing.
 */
#include "budget.h"

uint32_t
budget_share(uint32_t total, uint32_t workers, uint32_t worker)
{
	return (total / workers + (worker < total % workers));
}

static uint32_t
budget_least(uint64_t a, uint32_t b)
{
	return (a < b ? (uint32_t)a : b);
}

int
budget_compute(struct budget *b, uint32_t asked, uint32_t workers,
    uint32_t worker, uint32_t listeners, uint64_t limit)
{
	uint32_t total = asked != 0 ? asked : SESSIONS_DEFAULT;
	uint32_t most = budget_share(total, workers, 0);
	uint64_t fixed = (uint64_t)listeners + FDS_OTHER + FDS_RESERVE;
	uint64_t fit = limit > fixed ? (limit - fixed) / FDS_SESSION : 0;

	b->need = fixed + (uint64_t)most * FDS_SESSION;
	b->less = fit < most;
	b->slots = budget_least(fit, budget_share(total, workers, worker));
	b->total = 0;
	for (uint32_t i = 0; i < workers; i++)
		b->total += budget_least(fit, budget_share(total, workers, i));
	return (b->slots == 0 || (b->less && asked != 0) ? -1 : 0);
}
