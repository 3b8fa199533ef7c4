/* The commit tracker against a slow, obvious model: one bool per offset. */
#include "check.h"

#include "flow/commit.h"
#include <stdlib.h>

#define MODEL_SIZE 512u

struct model {
    bool done[MODEL_SIZE];
    uint64_t point;
};

static uint64_t seed_state;

static uint32_t model_runs(const struct model *m)
{
    uint32_t runs = 0;
    for (uint64_t i = m->point; i < MODEL_SIZE; i++)
        runs += m->done[i] && (i == m->point || !m->done[i - 1]);
    return runs;
}

static void assert_same(const struct commit *c, const struct model *m)
{
    uint64_t count = 0, lowest = m->point;
    assert_int_equal(c->point.n, m->point);
    for (uint64_t i = 0; i < MODEL_SIZE; i++) {
        assert_int_equal(commit_has(c, (log_offset){ i }), i < m->point || m->done[i]);
        count += i >= m->point && m->done[i];
    }
    while (lowest < MODEL_SIZE && m->done[lowest])
        lowest++;
    assert_int_equal(c->count, count);
    assert_int_equal(commit_lowest(c).n, lowest);
    assert_int_equal(c->run_count, model_runs(m));
    log_offset at = { 0 };
    for (uint64_t i = m->point; i < MODEL_SIZE; i++) {
        if (!m->done[i])
            continue;
        assert_true(commit_next(c, at, &at));
        assert_int_equal(at.n, i);
        at.n++;
    }
    assert_false(commit_next(c, at, &at));
}

static void step(struct commit *c, struct model *m)
{
    if (chance_below(&seed_state, 8) == 0) {
        uint64_t to = m->point + chance_below(&seed_state, 20);
        to = to < MODEL_SIZE ? to : MODEL_SIZE - 1;
        commit_move(c, (log_offset){ to });
        m->point = to;
        return;
    }
    uint64_t offset = chance_below(&seed_state, MODEL_SIZE);
    enum neap_status status = commit_add(c, (log_offset){ offset });
    bool was = offset < m->point || m->done[offset];
    if (status == NEAP_FULL) { /* only where it would have become one run too many */
        assert_false(was);
        assert_int_equal(model_runs(m), c->run_count_max);
        assert_false(m->done[offset == 0 ? 0 : offset - 1] && offset > m->point);
        return;
    }
    assert_int_equal(status, NEAP_OK);
    if (offset >= m->point)
        m->done[offset] = true;
}

static void behaves_as_the_model(void **state)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        seed_state = seed;
        struct model m = { 0 };
        struct commit c, back;
        commit_init(&c, (log_offset){ 0 }, seed % 3 == 0 ? 12 : MODEL_SIZE);
        for (uint32_t i = 0; i < 300; i++) {
            step(&c, &m);
            assert_same(&c, &m);
        }
        commit_init(&back, c.point, MODEL_SIZE);
        assert_int_equal(commit_unite(&back, commit_encode(&c, room)), NEAP_OK);
        assert_same(&back, &m);
        commit_fini(&back);
        commit_fini(&c);
    }
    free(room);
}

/* The journal's set and the sink's, at points of their own: together they are the union beyond the later point. */
static void two_sets_unite(void **state)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        seed_state = seed;
        struct model a = { 0 }, b = { 0 };
        struct commit ca, cb;
        commit_init(&ca, (log_offset){ 0 }, MODEL_SIZE);
        commit_init(&cb, (log_offset){ 0 }, MODEL_SIZE);
        for (uint32_t i = 0; i < 200; i++) {
            step(&ca, &a);
            step(&cb, &b);
        }
        struct bytes set = commit_encode(&cb, room);
        uint64_t point = a.point > b.point ? a.point : b.point;
        commit_move(&ca, (log_offset){ point });
        assert_int_equal(commit_unite(&ca, set), NEAP_OK);
        a.point = point;
        for (uint64_t i = point; i < MODEL_SIZE; i++)
            a.done[i] |= b.done[i];
        assert_same(&ca, &a);
        commit_fini(&ca);
        commit_fini(&cb);
    }
    free(room);
}

/* The same without bytes in between; and one set less the other. */
static void two_sets_join_and_part(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        seed_state = seed;
        struct model a = { 0 }, b = { 0 };
        struct commit ca, cb;
        commit_init(&ca, (log_offset){ 0 }, MODEL_SIZE);
        commit_init(&cb, (log_offset){ 0 }, MODEL_SIZE);
        for (uint32_t i = 0; i < 200; i++) {
            step(&ca, &a);
            step(&cb, &b);
        }
        uint64_t from = chance_below(&seed_state, MODEL_SIZE), to = from + chance_below(&seed_state, MODEL_SIZE);
        uint64_t within = 0;
        for (uint64_t i = from; i < to && i < MODEL_SIZE; i++)
            within += i >= b.point && b.done[i];
        assert_int_equal(commit_within(&cb, (log_offset){ from }, (log_offset){ to }), within);
        bool join = seed % 2 == 0;
        assert_int_equal(join ? commit_join(&ca, &cb) : commit_part(&ca, &cb), NEAP_OK);
        for (uint64_t i = a.point; i < MODEL_SIZE; i++)
            a.done[i] = join ? a.done[i] || (b.done[i] && i >= b.point) : a.done[i] && !(b.done[i] && i >= b.point);
        assert_same(&ca, &a);
        commit_fini(&ca);
        commit_fini(&cb);
    }
}

/* Whatever the set, its bytes fit; what did not fit is missing from the far end only. */
static void the_largest_set_is_cut_at_its_far_end(void **state)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    struct commit c, back;
    commit_init(&c, (log_offset){ 0 }, 100000);
    for (uint64_t i = 0; i < 60000; i++)
        assert_int_equal(commit_add(&c, (log_offset){ (1ull << 60) + 2 * i }), NEAP_OK);
    struct bytes set = commit_encode(&c, room);
    assert_true(set.size <= LOG_VALUE_SIZE_MAX && set.size > LOG_VALUE_SIZE_MAX - 20);
    commit_init(&back, (log_offset){ 0 }, 100000);
    assert_int_equal(commit_unite(&back, set), NEAP_OK);
    assert_true(back.run_count > 30000 && back.run_count < 60000);
    assert_memory_equal(back.runs, c.runs, back.run_count * sizeof *back.runs);
    commit_fini(&back);
    commit_fini(&c);
    free(room);
}

static void bytes_are_as_written_down(void **state)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    struct commit c;
    commit_init(&c, (log_offset){ 5 }, 10);
    assert_int_equal(commit_encode(&c, room).size, 0);
    static const uint64_t done[] = { 305, 7, 8, 306, 307 };
    for (size_t i = 0; i < COUNT_OF(done); i++)
        assert_int_equal(commit_add(&c, (log_offset){ done[i] }), NEAP_OK);
    static const uint8_t expected[] = { 1, 7, 2, 0xa8, 0x02, 3 };
    struct bytes set = commit_encode(&c, room);
    assert_int_equal(set.size, sizeof expected);
    assert_memory_equal(set.at, expected, sizeof expected);
    commit_fini(&c);
    free(room);
}

static void damaged_bytes_change_nothing(void **state)
{
    const struct {
        struct bytes set;
        enum neap_status status;
    } bad[] = {
        { BYTES("\x00\x01\x01"), NEAP_CORRUPT },
        { BYTES("\x02\x01\x01"), NEAP_VERSION },
        { BYTES("\x01"), NEAP_CORRUPT },
        { BYTES("\x01\x07"), NEAP_CORRUPT },
        { BYTES("\x01\x07\x00"), NEAP_CORRUPT },
        { BYTES("\x01\x07\x01\x00\x01"), NEAP_CORRUPT },
        { BYTES("\x01\x07\x01\x01"), NEAP_CORRUPT },
        { BYTES("\x01\x07\x80"), NEAP_CORRUPT },
        { BYTES("\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NEAP_CORRUPT },
    };
    struct commit c;
    commit_init(&c, (log_offset){ 0 }, 10);
    assert_int_equal(commit_add(&c, (log_offset){ 3 }), NEAP_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(commit_unite(&c, bad[i].set), bad[i].status);
        assert_int_equal(c.count, 1);
    }
    commit_fini(&c);
}

static void a_union_beyond_the_limit_changes_nothing(void **state)
{
    struct commit c;
    commit_init(&c, (log_offset){ 0 }, 2);
    assert_int_equal(commit_add(&c, (log_offset){ 100 }), NEAP_OK);
    assert_int_equal(commit_unite(&c, BYTES("\x01\x05\x01\x01\x01")), NEAP_FULL);
    assert_int_equal(c.count, 1);
    assert_int_equal(commit_unite(&c, BYTES("\x01\x05\x01")), NEAP_OK);
    assert_int_equal(c.count, 2);
    assert_int_equal(commit_add(&c, (log_offset){ 50 }), NEAP_FULL);
    assert_int_equal(commit_add(&c, (log_offset){ 6 }), NEAP_OK);
    commit_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_as_the_model),
        cmocka_unit_test(two_sets_unite),
        cmocka_unit_test(two_sets_join_and_part),
        cmocka_unit_test(the_largest_set_is_cut_at_its_far_end),
        cmocka_unit_test(bytes_are_as_written_down),
        cmocka_unit_test(damaged_bytes_change_nothing),
        cmocka_unit_test(a_union_beyond_the_limit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
