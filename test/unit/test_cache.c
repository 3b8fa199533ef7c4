/* The cache under random callers, each promise kept account of beside it. */
#include "check.h"

#include "flow/cache.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COUNT    60u
#define WAITER_COUNT 400u
#define AGE_NS       (1000 * NS_PER_MS)
#define STALE_NS     (3000 * NS_PER_MS)

struct caller {
    struct cache_waiter waiter;
    uint32_t key;
    bool waits;
};

struct world {
    struct cache *cache;
    mono_time now;
    uint32_t asking[KEY_COUNT]; /* entry, of whoever was told to ask; CACHE_NOBODY */
    char last[KEY_COUNT][600];  /* the answer that was put last */
    int64_t put_at[KEY_COUNT];
    struct caller callers[WAITER_COUNT];
    uint32_t version, told, asked_again, stales;
};

static struct world w;
static uint64_t seed;

static struct bytes key_of(uint32_t key, char *room)
{
    int size = sprintf(room, "key-%u-%.*s", key, (int)(key % 40), "0123456789012345678901234567890123456789");
    return (struct bytes){ (const uint8_t *)room, (size_t)size };
}

static void assert_answer(uint32_t key, struct bytes value, bool stale)
{
    assert_int_equal(value.size, strlen(w.last[key]));
    assert_memory_equal(value.at, w.last[key], value.size);
    int64_t age = w.now.ns - w.put_at[key];
    assert_true(age < AGE_NS + (stale ? STALE_NS : 0)); /* C3 */
}

static void begin_to_ask(uint32_t key, uint32_t entry)
{
    assert_int_equal(w.asking[key], CACHE_NOBODY); /* C1 */
    w.asking[key] = entry;
}

static void told(struct cache_waiter *waiter, enum cache_answer answer, struct bytes value, uint32_t entry)
{
    struct caller *caller = waiter->ctx;
    assert_true(caller->waits); /* C2: once */
    caller->waits = false;
    w.told++;
    if (answer == CACHE_ASK) {
        w.asked_again++;
        begin_to_ask(caller->key, entry);
    } else {
        assert_answer(caller->key, value, answer == CACHE_STALE);
        w.stales += answer == CACHE_STALE;
    }
}

static struct caller *idle_caller(void)
{
    for (uint32_t i = 0; i < WAITER_COUNT; i++)
        if (!w.callers[i].waits)
            return &w.callers[i];
    return NULL;
}

static void find(void)
{
    char room[64];
    struct caller *caller = idle_caller();
    if (caller == NULL)
        return;
    caller->key = (uint32_t)(chance_below(&seed, KEY_COUNT) * chance_below(&seed, KEY_COUNT) / KEY_COUNT);
    caller->waiter = (struct cache_waiter){ .told = told, .ctx = caller };
    struct cache_found f = cache_find(w.cache, key_of(caller->key, room), w.now, &caller->waiter);
    switch (f.answer) {
    case CACHE_HIT:
        assert_answer(caller->key, f.value, false);
        break;
    case CACHE_REFRESH:
        assert_answer(caller->key, f.value, false);
        begin_to_ask(caller->key, f.entry);
        break;
    case CACHE_ASK:
        begin_to_ask(caller->key, f.entry);
        break;
    case CACHE_WAIT:
        assert_int_not_equal(w.asking[caller->key], CACHE_NOBODY);
        caller->waits = true;
        break;
    case CACHE_ALONE:
        break;
    case CACHE_STALE:
        fail();
    }
}

static void answer(uint32_t key)
{
    uint32_t entry = w.asking[key];
    if (entry == CACHE_NOBODY)
        return;
    w.asking[key] = CACHE_NOBODY;
    if (chance_below(&seed, 4) == 0) {
        struct cache_found f = cache_fail(w.cache, entry, w.now);
        if (f.answer == CACHE_STALE)
            assert_answer(key, f.value, true);
        return;
    }
    size_t size = chance_below(&seed, 500);
    memset(w.last[key], 'a' + (int)(w.version % 26), size);
    sprintf(w.last[key] + size, "%u", w.version++);
    w.put_at[key] = w.now.ns;
    cache_put(w.cache, entry, (struct bytes){ (const uint8_t *)w.last[key], strlen(w.last[key]) }, w.now,
              chance(&seed));
}

/* C2: whoever waits waits for somebody who asks. */
static void assert_nobody_is_forgotten(void)
{
    for (uint32_t i = 0; i < WAITER_COUNT; i++)
        assert_true(!w.callers[i].waits || w.asking[w.callers[i].key] != CACHE_NOBODY);
}

static void leave(void)
{
    struct caller *caller = &w.callers[chance_below(&seed, WAITER_COUNT)];
    cache_leave(w.cache, &caller->waiter); /* fine where it does not wait */
    caller->waits = false;
}

static void begin(size_t size, uint32_t entry_count)
{
    memset(&w, 0, sizeof w);
    w.cache = cache_new(&(struct cache_options){ size, entry_count, AGE_NS, STALE_NS });
    assert_non_null(w.cache);
    for (uint32_t i = 0; i < KEY_COUNT; i++)
        w.asking[i] = CACHE_NOBODY;
    for (uint32_t i = 0; i < WAITER_COUNT; i++)
        w.callers[i].waiter.entry_ = CACHE_NOBODY;
}

static void end(void)
{
    for (bool any = true; any;) { /* whoever asks says so, and hands on to who waits */
        any = false;
        for (uint32_t key = 0; key < KEY_COUNT; key++) {
            any = any || w.asking[key] != CACHE_NOBODY;
            answer(key);
        }
    }
    for (uint32_t i = 0; i < WAITER_COUNT; i++)
        assert_false(w.callers[i].waits);
    cache_free(&w.cache);
    assert_null(w.cache);
}

/* With room for all keys, for some, and for hardly any. */
static void every_caller_is_served_and_no_key_is_asked_for_twice(void **state)
{
    static const struct {
        size_t size;
        uint32_t entries;
    } rooms[] = { { 1 << 20, 100 }, { 8 << 10, 100 }, { 1 << 20, 12 }, { 256, 3 } };
    for (uint32_t round = 0; round < 8; round++) {
        seed = round;
        begin(rooms[round % 4].size, rooms[round % 4].entries);
        for (uint32_t i = 0; i < 40000; i++) {
            w.now.ns += (int64_t)chance_below(&seed, 20 * NS_PER_MS);
            if (chance_below(&seed, 2) == 0)
                find();
            else if (chance_below(&seed, 20) == 0)
                leave();
            else
                answer((uint32_t)chance_below(&seed, KEY_COUNT));
            if (i % 64 == 0)
                assert_nobody_is_forgotten();
        }
        struct cache_figures f = cache_figures(w.cache);
        assert_true(f.hits > 0 && f.asks > 0 && w.told > 0 && w.asked_again > 0);
        assert_true(round % 4 != 0 || (f.refreshes > 0 && w.stales > 0 && f.alone == 0));
        assert_true(f.entries <= rooms[round % 4].entries);
        end();
    }
}

static void ages_are_kept(void **state)
{
    struct cache_waiter waiter = { .told = told };
    struct bytes key = { (const uint8_t *)"k", 1 }, value = { (const uint8_t *)"v", 1 };
    begin(1 << 16, 16);
    for (uint64_t i = 0; i < 100; i++) {
        struct cache_found f = cache_find(w.cache, key, w.now, &waiter);
        assert_int_equal(f.answer, CACHE_ASK);
        cache_put(w.cache, f.entry, value, w.now, i * 0x9e3779b97f4a7c15u);
        mono_time before = mono_after(w.now, AGE_NS / 100 * 71), late = mono_after(w.now, AGE_NS / 100 * 81);
        assert_int_equal(cache_find(w.cache, key, before, &waiter).answer, CACHE_HIT);
        f = cache_find(w.cache, key, late, &waiter);
        assert_int_equal(f.answer, CACHE_REFRESH);
        assert_int_equal(cache_find(w.cache, key, late, &waiter).answer, CACHE_HIT); /* one is enough */
        cache_fail(w.cache, f.entry, late);
        w.now = mono_after(w.now, AGE_NS + 1);
        f = cache_find(w.cache, key, w.now, &waiter);
        assert_int_equal(f.answer, CACHE_ASK);
        f = cache_fail(w.cache, f.entry, w.now);
        assert_int_equal(f.answer, CACHE_STALE);
        assert_true(bytes_equal(f.value, value));
        w.now = mono_after(w.now, STALE_NS);
        f = cache_find(w.cache, key, w.now, &waiter);
        assert_int_equal(f.answer, CACHE_ASK);
        assert_int_equal(cache_fail(w.cache, f.entry, w.now).answer, CACHE_ASK); /* there is none any more */
        assert_int_equal(cache_figures(w.cache).entries, 0);
    }
    end();
}

static void what_was_wanted_last_stays(void **state)
{
    struct cache_waiter waiter = { .told = told };
    char room[64];
    begin(1 << 16, 10);
    for (uint32_t i = 0; i < 50; i++) {
        struct cache_found f = cache_find(w.cache, key_of(i, room), w.now, &waiter);
        assert_int_equal(f.answer, CACHE_ASK);
        cache_put(w.cache, f.entry, key_of(i, room), w.now, 0);
        if (i > 0)
            assert_int_equal(cache_find(w.cache, key_of(0, room), w.now, &waiter).answer, CACHE_HIT);
        if (i >= 2)
            assert_int_equal(cache_find(w.cache, key_of(i - 2, room), w.now, &waiter).answer, CACHE_HIT);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_caller_is_served_and_no_key_is_asked_for_twice),
        cmocka_unit_test(ages_are_kept),
        cmocka_unit_test(what_was_wanted_last_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
