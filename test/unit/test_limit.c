/* A limit beside the list of all that it granted; a small table of keys beside one that forgets nobody. */
#include "check.h"

#include "flow/limit.h"
#include <stdlib.h>

#define GRANT_COUNT_MAX 4000

/* At most burst + T x rate in every stretch, looked at stretch by stretch. */
struct history {
    int64_t at_ns[GRANT_COUNT_MAX];
    int64_t count;
};

static bool model_ask(const struct history *h, const struct limit_rate *rate, int64_t now_ns)
{
    int64_t call_ns = (rate->period_ns + rate->count - 1) / rate->count;
    for (int64_t i = 0; i < h->count; i++)
        if ((h->count - i + 1 - rate->burst_count) * call_ns > now_ns - h->at_ns[i])
            return false;
    return true;
}

static void limit_agrees_with_its_history(void **state)
{
    static struct history h;
    uint64_t s = 1;
    for (int round = 0; round < 40; round++) {
        struct limit_rate rate = { 1 + (uint32_t)chance_below(&s, 5000), NS_PER_S, 1 + (uint32_t)chance_below(&s, 20) };
        if (round % 3 == 0)
            rate.period_ns = 60 * NS_PER_S;
        int64_t call_ns = (rate.period_ns + rate.count - 1) / rate.count;
        struct limit limit;
        limit_init(&limit, &rate);
        h.count = 0;
        mono_time now = { (int64_t)chance_below(&s, 1000) };
        for (int step = 0; step < 1500; step++) {
            mono_time not_before = { -1 };
            bool yes = limit_ask(&limit, now, &not_before);
            assert_int_equal(yes, model_ask(&h, &rate, now.ns));
            if (yes) {
                limit_take(&limit, now);
                h.at_ns[h.count++] = now.ns;
                assert_false(limit_at_rest(&limit, now));
            } else {
                assert_true(not_before.ns > now.ns);
                assert_true(model_ask(&h, &rate, not_before.ns));
                assert_false(model_ask(&h, &rate, not_before.ns - 1));
            }
            uint64_t kind = chance_below(&s, 8);
            if (kind == 0 && !yes)
                now = not_before;
            else if (kind < 6)
                now.ns += (int64_t)chance_below(&s, (uint64_t)call_ns * 2 + 1);
            else if (kind == 6)
                now.ns += (int64_t)chance_below(&s, (uint64_t)call_ns * 40);
        }
    }
}

static void five_hundred_a_second_are_five_hundred(void **state)
{
    struct limit limit;
    limit_init(&limit, &(struct limit_rate){ 500, NS_PER_S, 10 });
    uint32_t granted = 0;
    mono_time now = { 5 };
    while (now.ns < 60 * NS_PER_S + 5) {
        mono_time not_before;
        if (limit_ask(&limit, now, &not_before)) {
            limit_take(&limit, now);
            granted++;
        } else
            now = not_before;
    }
    assert_int_equal(granted, 500 * 60 + 9);
}

#define KEY_COUNT 60u

static void forgetting_never_grants_more(void **state)
{
    uint64_t s = 5;
    uint64_t refused_for_room = 0, granted = 0;
    for (uint32_t round = 0; round < 30; round++) {
        const uint32_t room = 1 + (uint32_t)chance_below(&s, 40);
        const struct limit_rate rate = { 100, NS_PER_S, 1 + round % 5 };
        struct limit_keys *keys = limit_keys_new(&rate, room);
        struct limit all[KEY_COUNT];
        for (uint32_t i = 0; i < KEY_COUNT; i++)
            limit_init(&all[i], &rate);
        mono_time now = { 0 };
        for (int step = 0; step < 40000; step++) {
            uint64_t k = chance_below(&s, 1 + chance_below(&s, KEY_COUNT)); /* low ones more often */
            uint64_t hash = k << 32 | k % 3;                                /* chains are long */
            mono_time not_before = { -1 }, model_not_before;
            bool yes = limit_keys_ask(keys, hash, now, &not_before);
            bool model = limit_ask(&all[k], now, &model_not_before);
            assert_true(model || !yes);
            assert_true(yes || not_before.ns > now.ns);
            if (!yes && model) { /* the table is full of keys that are not at rest; one will be */
                assert_int_equal(limit_keys_count(keys), room);
                assert_true(not_before.ns <= now.ns + (int64_t)rate.burst_count * 10 * NS_PER_MS);
                refused_for_room++;
            }
            if (yes) {
                limit_keys_take(keys, hash, now);
                limit_take(&all[k], now);
                granted++;
            }
            bool rest = true;
            for (uint32_t i = 0; i < KEY_COUNT; i++)
                rest = rest && limit_at_rest(&all[i], now);
            assert_int_equal(limit_keys_at_rest(keys, now), rest);
            assert_true(limit_keys_count(keys) <= room);
            if (chance_below(&s, 3) == 0)
                now.ns += (int64_t)chance_below(&s, (step & 4096) ? 1000000 : 20000000);
        }
        limit_keys_free(&keys);
        assert_null(keys);
        limit_keys_free(&keys);
    }
    assert_true(refused_for_room > 1000 && granted > 100000);
}

/* A key that never rests does not hold the place that another one has to wait for. */
static void the_least_recently_used_makes_room(void **state)
{
    const struct limit_rate rate = { 100, NS_PER_S, 3 };
    struct limit_keys *keys = limit_keys_new(&rate, 2);
    mono_time now = { 0 }, not_before;
    limit_keys_take(keys, 1, now); /* the busy one came first */
    limit_keys_take(keys, 2, now);
    for (int i = 0; i < 3; i++, now.ns += 10 * NS_PER_MS) {
        assert_true(limit_keys_ask(keys, 1, now, &not_before));
        limit_keys_take(keys, 1, now);
    }
    assert_true(limit_keys_ask(keys, 3, now, &not_before));
    limit_keys_take(keys, 3, now);
    assert_false(limit_keys_ask(keys, 2, now, &not_before)); /* forgotten, and no room: 1 and 3 are at work */
    limit_keys_free(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_agrees_with_its_history),
        cmocka_unit_test(five_hundred_a_second_are_five_hundred),
        cmocka_unit_test(forgetting_never_grants_more),
        cmocka_unit_test(the_least_recently_used_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
