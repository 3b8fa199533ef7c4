#include "flow/retry_budget.h"
#include "base/must.h"
#include <string.h>

#define TOKEN      100 /* a success is worth `percent` of them */
#define SLOT_LIVES (RETRY_BUDGET_SLOT_COUNT - 1)

void retry_budget_init(struct retry_budget *budget, const struct retry_budget_options *options, mono_time now)
{
    must(options->percent <= 1000 && options->floor_per_s > 0 && options->floor_per_s <= 1000000);
    must(options->live_ns >= NS_PER_S && options->live_ns <= 3600 * NS_PER_S);
    int64_t slot_ns = options->live_ns / SLOT_LIVES;
    *budget = (struct retry_budget){ .slot_ns = slot_ns, .slot = now.ns / slot_ns, .percent = options->percent };
    budget->reserve = options->floor_per_s * (options->live_ns / NS_PER_US) / 1000000 * TOKEN;
}

static uint32_t place(int64_t slot)
{
    return (uint32_t)(slot % RETRY_BUDGET_SLOT_COUNT);
}

/* One slot on: successes of the slot SLOT_LIVES before it have lived, and retries of the one before that. */
static void step(struct retry_budget *b)
{
    b->slot++;
    uint32_t here = place(b->slot), lived = place(b->slot + 1);
    b->success_sum -= b->successes[lived];
    b->successes[lived] = 0;
    b->retry_sum -= b->retries[here];
    b->retries[here] = 0;
}

static void advance(struct retry_budget *b, mono_time now)
{
    int64_t slot = now.ns / b->slot_ns;
    if (slot <= b->slot)
        return;
    if (slot - b->slot > RETRY_BUDGET_SLOT_COUNT) /* all of it is older than that: the last steps clear everything */
        b->slot = slot - RETRY_BUDGET_SLOT_COUNT;
    while (b->slot < slot)
        step(b);
}

static int64_t balance(const struct retry_budget *b)
{
    return b->reserve + (int64_t)(b->success_sum * b->percent) - (int64_t)(b->retry_sum * TOKEN);
}

void retry_budget_success(struct retry_budget *budget, mono_time now)
{
    advance(budget, now);
    uint32_t *here = &budget->successes[place(budget->slot)];
    must(*here < UINT32_MAX);
    *here += 1;
    budget->success_sum++;
}

/* As if nothing happened any more: the first slot that begins with a token. */
static mono_time next_token(const struct retry_budget *b)
{
    struct retry_budget later = *b;
    while (balance(&later) < TOKEN)
        step(&later);
    return (mono_time){ later.slot * later.slot_ns };
}

bool retry_budget_ask(struct retry_budget *budget, mono_time now, mono_time *ret_not_before)
{
    advance(budget, now);
    if (balance(budget) >= TOKEN)
        return true;
    *ret_not_before = next_token(budget);
    return false;
}

void retry_budget_take(struct retry_budget *budget, mono_time now)
{
    advance(budget, now);
    must(balance(budget) >= TOKEN);
    budget->retries[place(budget->slot)]++; /* far below its end: the balance bounds it */
    budget->retry_sum++;
}

int64_t retry_budget_left(struct retry_budget *budget, mono_time now)
{
    advance(budget, now);
    int64_t left = balance(budget);
    return left >= 0 ? left / TOKEN : -((TOKEN - 1 - left) / TOKEN);
}

bool retry_budget_at_rest(struct retry_budget *budget, mono_time now)
{
    advance(budget, now);
    return budget->retry_sum == 0;
}
