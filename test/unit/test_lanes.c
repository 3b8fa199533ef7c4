/* Lanes against a slow, obvious model: one queue for each stage and key, and the order in which they became ready. */
#include "check.h"

#include "flow/lanes.h"
#include <stdlib.h>
#include <string.h>

#define SLOT_COUNT  40u
#define STAGE_COUNT 3u
#define KEY_COUNT   7u

enum where { NOWHERE, WAITS, READY, AT_WORK, RESTS };

struct model {
    struct {
        enum where where;
        uint32_t stage, key;
        uint64_t came, ready; /* when it was put; since when it is ready */
    } slots[SLOT_COUNT];
    uint64_t time;
};

/* Keys that meet in the table: their hashes differ by a few bits, and each key has the same one in every stage. */
static uint64_t hash_of(uint32_t key)
{
    return key < 3 ? 0x1111111100000000u + key : key * 0x9e3779b97f4a7c15u;
}

static bool same_lane(const struct model *m, uint32_t a, uint32_t b)
{
    return m->slots[a].stage == m->slots[b].stage && m->slots[a].key == m->slots[b].key;
}

/* The first of its lane; with `after`, the first behind that one. */
static uint32_t next_of_lane(const struct model *m, uint32_t stage, uint32_t key, uint64_t after)
{
    uint32_t found = LANES_NONE;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (m->slots[i].where != NOWHERE && m->slots[i].stage == stage && m->slots[i].key == key &&
            m->slots[i].came > after && (found == LANES_NONE || m->slots[i].came < m->slots[found].came))
            found = i;
    return found;
}

static void make_ready(struct model *m, uint32_t slot)
{
    m->slots[slot].where = READY;
    m->slots[slot].ready = ++m->time;
}

static void model_put(struct model *m, uint32_t stage, uint32_t slot, uint32_t key)
{
    bool first = next_of_lane(m, stage, key, 0) == LANES_NONE;
    m->slots[slot].stage = stage;
    m->slots[slot].key = key;
    m->slots[slot].came = ++m->time;
    m->slots[slot].where = WAITS;
    if (first)
        make_ready(m, slot);
}

static uint32_t model_take(struct model *m, uint32_t stage)
{
    uint32_t found = LANES_NONE;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (m->slots[i].where == READY && m->slots[i].stage == stage &&
            (found == LANES_NONE || m->slots[i].ready < m->slots[found].ready))
            found = i;
    if (found != LANES_NONE)
        m->slots[found].where = AT_WORK;
    return found;
}

static void model_done(struct model *m, uint32_t slot)
{
    m->slots[slot].where = NOWHERE;
    uint32_t next = next_of_lane(m, m->slots[slot].stage, m->slots[slot].key, 0);
    if (next != LANES_NONE)
        make_ready(m, next);
}

static void assert_same(const struct lanes *l, const struct model *m)
{
    struct lanes_figures counted[STAGE_COUNT] = { 0 };
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct lanes_figures *f = &counted[m->slots[i].stage];
        f->waiting += m->slots[i].where == WAITS;
        f->ready += m->slots[i].where == READY;
        f->at_work += m->slots[i].where == AT_WORK;
        f->resting += m->slots[i].where == RESTS;
        if (m->slots[i].where != NOWHERE)
            assert_int_equal(lanes_behind(l, i), next_of_lane(m, m->slots[i].stage, m->slots[i].key, m->slots[i].came));
        for (uint32_t n = 0; n < i && m->slots[i].where == AT_WORK; n++) /* L1 */
            assert_false(m->slots[n].where == AT_WORK && same_lane(m, i, n));
    }
    for (uint32_t stage = 0; stage < STAGE_COUNT; stage++)
        for (uint32_t key = 0; key < KEY_COUNT; key++)
            assert_int_equal(lanes_first(l, stage, hash_of(key)), next_of_lane(m, stage, key, 0));
    for (uint32_t stage = 0; stage < STAGE_COUNT; stage++) {
        struct lanes_figures f = lanes_figures(l, stage);
        assert_memory_equal(&f, &counted[stage], sizeof f);
    }
}

static uint32_t any_that(const struct model *m, uint64_t *seed, enum where where)
{
    uint32_t from = (uint32_t)chance_below(seed, SLOT_COUNT);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (m->slots[(from + i) % SLOT_COUNT].where == where)
            return (from + i) % SLOT_COUNT;
    return LANES_NONE;
}

static void step(struct lanes *l, struct model *m, uint64_t *seed)
{
    uint32_t stage = (uint32_t)chance_below(seed, STAGE_COUNT), key = (uint32_t)chance_below(seed, KEY_COUNT), slot;
    switch (chance_below(seed, 6)) {
    case 0:
    case 1:
        slot = any_that(m, seed, NOWHERE);
        if (slot == LANES_NONE)
            break;
        lanes_expect(l, stage, hash_of(key));
        lanes_put(l, stage, slot, hash_of(key));
        model_put(m, stage, slot, key);
        break;
    case 2:
        assert_int_equal(lanes_take(l, stage), model_take(m, stage)); /* L2, L3 */
        break;
    case 3:
        slot = any_that(m, seed, chance_below(seed, 4) == 0 ? RESTS : AT_WORK);
        if (slot == LANES_NONE)
            break;
        lanes_done(l, slot);
        model_done(m, slot);
        break;
    case 4:
        slot = any_that(m, seed, AT_WORK);
        if (slot == LANES_NONE)
            break;
        lanes_rest(l, slot);
        m->slots[slot].where = RESTS;
        break;
    case 5:
        slot = any_that(m, seed, RESTS);
        if (slot == LANES_NONE)
            break;
        lanes_again(l, slot);
        make_ready(m, slot);
        break;
    }
}

static void behaves_as_the_model(void **state)
{
    uint64_t seed = 4;
    for (uint32_t round = 0; round < 60; round++) {
        struct lanes *l = lanes_new(SLOT_COUNT, STAGE_COUNT);
        struct model m = { .time = 0 };
        assert_non_null(l);
        for (uint32_t i = 0; i < 3000; i++) {
            step(l, &m, &seed);
            assert_same(l, &m);
        }
        lanes_clear(l);
        memset(&m, 0, sizeof m);
        for (uint32_t i = 0; i < 300; i++) {
            step(l, &m, &seed);
            assert_same(l, &m);
        }
        lanes_free(&l);
        assert_null(l);
    }
}

/* ---- many, in the order of a partition: completion order per key is offset order ------------------------------------------ */

#define MANY   (1u << 12)
#define WIDTH  300u
#define EVENTS 400000u

static void each_key_ends_in_the_order_it_came(void **state)
{
    static uint64_t offset_in[MANY], last_ended[1000], at_work_of[1000];
    static uint32_t key_of[MANY], free_slots[MANY], working[WIDTH];
    uint64_t seed = 9, next = 0, ended = 0;
    uint32_t free_count = 0, working_count = 0;
    struct lanes *l = lanes_new(MANY, 1);
    memset(last_ended, 0, sizeof last_ended);
    for (uint32_t i = 0; i < MANY; i++)
        free_slots[free_count++] = i;
    while (ended < EVENTS) {
        while (free_count > 0 && next < EVENTS) {
            uint32_t slot = free_slots[--free_count];
            uint64_t a = chance_below(&seed, 1000), b = chance_below(&seed, 1000);
            key_of[slot] = (uint32_t)(a * b / 1000); /* some often, some hardly ever */
            offset_in[slot] = ++next;
            lanes_put(l, 0, slot, key_of[slot] * 0x9e3779b97f4a7c15u);
        }
        uint32_t slot;
        while (working_count < WIDTH && (slot = lanes_take(l, 0)) != LANES_NONE) {
            assert_int_equal(at_work_of[key_of[slot]]++, 0);
            working[working_count++] = slot;
        }
        assert_true(working_count > 0); /* as long as anything is left, something can be done */
        uint32_t which = (uint32_t)chance_below(&seed, working_count);
        slot = working[which];
        if (chance_below(&seed, 10) == 0) { /* tried again: nothing passes it meanwhile */
            lanes_rest(l, slot);
            lanes_again(l, slot);
            working[which] = working[--working_count];
            at_work_of[key_of[slot]]--;
            continue;
        }
        assert_true(offset_in[slot] > last_ended[key_of[slot]]);
        last_ended[key_of[slot]] = offset_in[slot];
        at_work_of[key_of[slot]]--;
        working[which] = working[--working_count];
        free_slots[free_count++] = slot;
        lanes_done(l, slot);
        ended++;
    }
    struct lanes_figures f = lanes_figures(l, 0);
    assert_int_equal(f.ready + f.at_work + f.resting + f.waiting, 0);
    lanes_free(&l);
}

static void memory_is_what_it_says(void **state)
{
    assert_true(lanes_size(65536, 4) < 65536 * 48 + 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_as_the_model),
        cmocka_unit_test(each_key_ends_in_the_order_it_came),
        cmocka_unit_test(memory_is_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
