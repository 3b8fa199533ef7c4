/* Parked events against a slow, obvious model: a list in the order in which they were parked. */
#include "check.h"

#include "flow/parked.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 50u
#define KEY_COUNT 9u
#define LIST_MAX  20000u

struct one {
    uint64_t offset;
    uint32_t key, slot;
    int64_t due;
    bool gone, at_work;
};

struct model {
    struct one list[LIST_MAX];
    uint32_t count, there;
    int64_t now;
};

static struct model m;
static uint64_t seed = 17;

static uint64_t hash_of(uint32_t key)
{
    return (key + 1) * 0x9e3779b97f4a7c15u;
}

static struct one *first_of(uint32_t key)
{
    for (uint32_t i = 0; i < m.count; i++)
        if (!m.list[i].gone && m.list[i].key == key)
            return &m.list[i];
    return NULL;
}

/* P2: of the first ones at rest, the one due first; at the same time, the one parked first. */
static struct one *due_next(void)
{
    struct one *found = NULL;
    for (uint32_t key = 0; key < KEY_COUNT; key++) {
        struct one *o = first_of(key);
        if (o != NULL && !o->at_work &&
            (found == NULL || o->due < found->due || (o->due == found->due && o->offset < found->offset)))
            found = o;
    }
    return found;
}

static int64_t any_due(void)
{
    return chance_below(&seed, 10) == 0 ? PARKED_NEVER : m.now + (int64_t)chance_below(&seed, 50);
}

static void add(struct parked *p)
{
    struct one *o = &m.list[m.count];
    *o = (struct one){ .offset = m.count * 3, .key = (uint32_t)chance_below(&seed, KEY_COUNT), .due = any_due() };
    enum neap_status status = parked_add(p, hash_of(o->key), (log_offset){ o->offset }, (wall_time){ o->due });
    assert_int_equal(status, m.there == COUNT_MAX ? NEAP_AGAIN : NEAP_OK);
    m.count += status == NEAP_OK;
    m.there += status == NEAP_OK;
}

static void take(struct parked *p)
{
    struct one *o = due_next();
    uint32_t slot = parked_take(p, (wall_time){ m.now });
    if (o == NULL || o->due > m.now) {
        assert_int_equal(slot, PARKED_NONE);
        return;
    }
    assert_int_not_equal(slot, PARKED_NONE);
    assert_int_equal(parked_offset(p, slot).n, o->offset); /* P1 */
    o->at_work = true;
    o->slot = slot;
}

static struct one *any_at_work(void)
{
    uint32_t from = (uint32_t)chance_below(&seed, KEY_COUNT);
    for (uint32_t i = 0; i < KEY_COUNT; i++) {
        struct one *o = first_of((from + i) % KEY_COUNT);
        if (o != NULL && o->at_work)
            return o;
    }
    return NULL;
}

static void end_one(struct parked *p)
{
    struct one *o = any_at_work();
    if (o == NULL)
        return;
    o->at_work = false;
    if (chance_below(&seed, 3) == 0) {
        o->due = any_due();
        parked_again(p, o->slot, (wall_time){ o->due });
        return;
    }
    parked_done(p, o->slot);
    o->gone = true;
    m.there--;
}

static void move(struct parked *p)
{
    uint32_t key = (uint32_t)chance_below(&seed, KEY_COUNT);
    struct one *o = first_of(key);
    bool rests = o != NULL && !o->at_work;
    assert_int_equal(parked_move(p, hash_of(key), (wall_time){ m.now }), rests);
    if (rests)
        o->due = m.now;
}

static void assert_same(const struct parked *p)
{
    struct parked_figures f = parked_figures(p);
    uint32_t keys = 0, at_work = 0;
    for (uint32_t key = 0; key < KEY_COUNT; key++) {
        const struct one *o = first_of(key);
        assert_int_equal(parked_has(p, hash_of(key)), o != NULL);
        keys += o != NULL;
        at_work += o != NULL && o->at_work;
    }
    assert_int_equal(f.events, m.there);
    assert_int_equal(f.keys, keys);
    assert_int_equal(f.at_work, at_work);
    const struct one *next = due_next();
    assert_int_equal(parked_due(p).ms, next != NULL ? next->due : PARKED_NEVER);
}

static void behaves_as_the_model(void **state)
{
    struct parked *p = parked_new(COUNT_MAX);
    assert_non_null(p);
    for (uint32_t round = 0; round < 5; round++) {
        memset(&m, 0, sizeof m);
        parked_clear(p);
        for (uint32_t i = 0; i < 4000; i++) {
            m.now += (int64_t)chance_below(&seed, 8);
            switch (chance_below(&seed, 8)) {
            case 0:
            case 1:
            case 2:
                add(p);
                break;
            case 3:
            case 4:
                take(p);
                break;
            case 5:
            case 6:
                end_one(p);
                break;
            case 7:
                move(p);
                break;
            }
            assert_same(p);
        }
    }
    parked_free(&p);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(behaves_as_the_model) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
