/* In any ten seconds the retries are at most the reserve and a share of the successes of those ten seconds. */
#include "check.h"

#include "flow/retry_budget.h"

#define COUNT_MAX 60000

/* Every success and every retry there was, with its time. */
struct history {
    int64_t successes[COUNT_MAX], retries[COUNT_MAX];
    int64_t success_count, retry_count;
};

static int64_t count_since(const int64_t *times, int64_t count, int64_t from_ns)
{
    int64_t n = 0;
    while (n < count && times[count - 1 - n] >= from_ns)
        n++;
    return n;
}

static int64_t model_balance(const struct history *h, const struct retry_budget_options *o, int64_t now_ns)
{
    int64_t slot_ns = o->live_ns / 10, slot = now_ns / slot_ns;
    int64_t reserve = o->floor_per_s * (o->live_ns / NS_PER_US) / 1000000 * 100;
    return reserve + count_since(h->successes, h->success_count, (slot - 9) * slot_ns) * o->percent -
           count_since(h->retries, h->retry_count, (slot - 10) * slot_ns) * 100;
}

/* The promise itself, with exact times and no slots. */
static void promise_holds(const struct history *h, const struct retry_budget_options *o, int64_t now_ns)
{
    int64_t from_ns = now_ns - o->live_ns;
    int64_t retries = count_since(h->retries, h->retry_count, from_ns);
    int64_t successes = count_since(h->successes, h->success_count, from_ns);
    assert_true(retries * 100 <= o->floor_per_s * o->live_ns / NS_PER_S * 100 + successes * o->percent);
}

static void agrees_with_its_history(void **state)
{
    static struct history h;
    uint64_t s = 1;
    int64_t refused = 0;
    for (int round = 0; round < 12; round++) {
        struct retry_budget_options o = { (uint32_t)chance_below(&s, 60), 1 + (uint32_t)chance_below(&s, 12),
                                          (1 + (int64_t)chance_below(&s, 12)) * NS_PER_S };
        if (round == 0)
            o = (struct retry_budget_options){ RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS };
        mono_time now = { (int64_t)chance_below(&s, 1ull << 40) };
        struct retry_budget budget;
        retry_budget_init(&budget, &o, now);
        h.success_count = h.retry_count = 0;
        for (int step = 0; step < 50000; step++) {
            mono_time not_before = { -1 };
            int64_t balance = model_balance(&h, &o, now.ns);
            if (chance_below(&s, 100) < (uint64_t)(step >> 12) % 3 * 40) {
                retry_budget_success(&budget, now);
                h.successes[h.success_count++] = now.ns;
            } else if (retry_budget_ask(&budget, now, &not_before)) {
                assert_true(balance >= 100);
                retry_budget_take(&budget, now);
                h.retries[h.retry_count++] = now.ns;
                promise_holds(&h, &o, now.ns);
            } else {
                assert_true(balance < 100 && not_before.ns > now.ns);
                assert_true(model_balance(&h, &o, not_before.ns) >= 100);
                assert_true(model_balance(&h, &o, not_before.ns - 1) < 100);
                refused++;
            }
            balance = model_balance(&h, &o, now.ns);
            assert_int_equal(retry_budget_left(&budget, now), balance / 100 - (balance % 100 < 0));
            uint64_t pace = chance_below(&s, 1000);
            now.ns += (int64_t)chance_below(&s, pace == 0 ? 30000000000ull : pace < 20 ? 1000000000 : 4000000);
        }
    }
    assert_true(refused > 10000);
}

/* An hour in which everything fails and all want to try again: ten a second, however many there are. */
static void an_hour_of_failures_is_ten_a_second(void **state)
{
    const struct retry_budget_options o = { RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS };
    struct retry_budget budget;
    mono_time now = { 0 };
    retry_budget_init(&budget, &o, now);
    for (int i = 0; i < 100000; i++, now.ns += NS_PER_MS / 10)
        retry_budget_success(&budget, now);
    uint64_t granted = 0;
    int64_t end_ns = now.ns + 3600 * NS_PER_S;
    while (now.ns < end_ns) {
        mono_time not_before;
        if (retry_budget_ask(&budget, now, &not_before)) {
            retry_budget_take(&budget, now);
            granted++;
        } else
            now = not_before;
    }
    assert_in_range(granted, 3200 * 10, 3600 * 10 + 100 + 20000); /* what the good time had left, and the floor */
    assert_true(retry_budget_at_rest(&budget, mono_after(now, 11 * NS_PER_S)));
    assert_int_equal(retry_budget_left(&budget, mono_after(now, 11 * NS_PER_S)), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_its_history),
        cmocka_unit_test(an_hour_of_failures_is_ten_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
