/* What is settled of a topic of dead letters, against a bool per letter: durable, counted, and forgotten with what retention takes. */
#include "log_bench.h"

#include "flow/settled.h"

#define LETTER_COUNT (3u * SETTLED_SPAN + 100u)

static uint8_t model[LETTER_COUNT]; /* enum settled_state */
static uint64_t seed_state = 7;

static void submit(struct bench *b, struct settled *s)
{
    struct log_op ops[SETTLED_OP_COUNT];
    struct log_unit unit = { .ops = ops, .count = settled_ops(s, ops) };
    assert_true(unit.count <= SETTLED_OP_COUNT);
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
    settled_forget(s);
}

static void fill(struct bench *b, struct log_partition p)
{
    for (uint32_t i = 0; i < LETTER_COUNT; i += 1000)
        assert_int_equal(append(b, p, "x", i, LETTER_COUNT - i < 1000 ? LETTER_COUNT - i : 1000, 10, NULL), NEAP_OK);
}

static void assert_same(struct bench *b, struct settled *s, struct log_partition p, uint32_t start)
{
    struct settled_counts counts, wanted = { 0 };
    for (uint32_t i = start; i < LETTER_COUNT; i++) {
        enum settled_state state;
        assert_int_equal(settled_of(s, p, (log_offset){ i }, &state), NEAP_OK);
        assert_int_equal(state, model[i]);
        wanted.dropped += model[i] == SETTLED_DROPPED;
        wanted.redriven += model[i] == SETTLED_REDRIVEN;
    }
    assert_int_equal(settled_count(s, p, &counts), NEAP_OK);
    assert_int_equal(counts.dropped, wanted.dropped);
    assert_int_equal(counts.redriven, wanted.redriven);
    (void)b;
}

/* Some letters from a place on, one in `every`, as far as one stretch goes. */
static void settle_some(struct bench *b, struct settled *s, struct log_partition p, uint32_t every)
{
    uint32_t at = (uint32_t)chance_below(&seed_state, LETTER_COUNT), count = 0;
    enum settled_state how = chance_below(&seed_state, 2) == 0 ? SETTLED_DROPPED : SETTLED_REDRIVEN;
    for (; at < LETTER_COUNT && count < 500; at++) {
        if (model[at] != SETTLED_NOT || chance_below(&seed_state, every) != 0)
            continue;
        enum neap_status status = settled_add(s, p, (log_offset){ at }, how);
        if (status == NEAP_AGAIN)
            break;
        assert_int_equal(status, NEAP_OK);
        model[at] = (uint8_t)how;
        count++;
    }
    if (count > 0)
        submit(b, s);
}

static void trim(struct bench *b, struct log_partition p, uint64_t start)
{
    struct log_op op = { .kind = LOG_TRIM, .target = p, .offset = { start } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static bool count_one(void *ctx, struct bytes key, struct bytes value)
{
    (void)value;
    *(uint32_t *)ctx += key.size == SETTLED_KEY_SIZE;
    return true;
}

static void it_is_what_was_settled(void **state)
{
    (void)state;
    struct bench b = bench_new(4u << 20);
    bench_open(&b);
    struct log_partition p = { topic(&b, "x.dead", 2), 1 };
    fill(&b, p);
    struct settled *s = settled_new(b.log);
    for (int i = 0; i < 60; i++)
        settle_some(&b, s, p, i % 2 == 0 ? 1 : 3);
    assert_same(&b, s, p, 0);
    struct settled_counts other;
    assert_int_equal(settled_count(s, (struct log_partition){ p.topic_id, 0 }, &other), NEAP_OK);
    assert_int_equal(other.dropped + other.redriven, 0);
    settled_free(&s);
    bench_reopen(&b);
    s = settled_new(b.log);
    assert_same(&b, s, p, 0);
    settled_free(&s);
    bench_end(&b);
}

/* Whoever walks through a topic has looked at the next stretch when it writes this one. */
static void a_look_elsewhere_loses_nothing(void **state)
{
    (void)state;
    struct bench b = bench_new(4u << 20);
    bench_open(&b);
    struct log_partition p = { topic(&b, "x.dead", 1), 0 };
    fill(&b, p);
    memset(model, 0, sizeof model);
    struct settled *s = settled_new(b.log);
    for (uint32_t i = 0; i < 3 * SETTLED_SPAN; i++) {
        enum settled_state how;
        assert_int_equal(settled_of(s, p, (log_offset){ i }, &how), NEAP_OK);
        assert_int_equal(how, SETTLED_NOT);
        enum neap_status status = settled_add(s, p, (log_offset){ i }, SETTLED_REDRIVEN);
        if (status == NEAP_AGAIN) {
            assert_int_equal(i % SETTLED_SPAN, 0);
            assert_int_equal(settled_of(s, p, (log_offset){ i - 1 }, &how), NEAP_OK);
            assert_int_equal(how, SETTLED_REDRIVEN); /* what will be written is so already, for its writer */
            submit(&b, s);
            status = settled_add(s, p, (log_offset){ i }, SETTLED_REDRIVEN);
        }
        assert_int_equal(status, NEAP_OK);
        model[i] = SETTLED_REDRIVEN;
    }
    submit(&b, s);
    assert_same(&b, s, p, 0);
    settled_free(&s);
    bench_end(&b);
}

static void every_second_letter_fits(void **state)
{
    (void)state;
    struct bench b = bench_new(4u << 20);
    bench_open(&b);
    struct log_partition p = { topic(&b, "x.dead", 1), 0 };
    fill(&b, p);
    memset(model, 0, sizeof model);
    struct settled *s = settled_new(b.log);
    for (uint32_t i = SETTLED_SPAN; i < 2 * SETTLED_SPAN; i += 2) {
        assert_int_equal(settled_add(s, p, (log_offset){ i }, SETTLED_DROPPED), NEAP_OK);
        model[i] = SETTLED_DROPPED;
    }
    assert_int_equal(settled_add(s, p, (log_offset){ 2 * SETTLED_SPAN }, SETTLED_DROPPED), NEAP_AGAIN);
    submit(&b, s);
    assert_same(&b, s, p, 0);
    settled_free(&s);
    bench_end(&b);
}

static void what_retention_took_is_forgotten(void **state)
{
    (void)state;
    struct bench b = bench_new(4u << 20);
    bench_open(&b);
    struct log_partition p = { topic(&b, "x.dead", 1), 0 };
    fill(&b, p);
    memset(model, 0, sizeof model);
    struct settled *s = settled_new(b.log);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(settled_add(s, p, (log_offset){ i * SETTLED_SPAN + 5 }, SETTLED_DROPPED), NEAP_OK);
        submit(&b, s);
    }
    trim(&b, p, 2 * SETTLED_SPAN + 50);
    struct settled_counts counts;
    assert_int_equal(settled_count(s, p, &counts), NEAP_OK);
    assert_int_equal(counts.dropped, 0); /* gone, though the fact of its stretch is still there */
    assert_int_equal(settled_add(s, p, (log_offset){ 3 * SETTLED_SPAN + 1 }, SETTLED_REDRIVEN), NEAP_OK);
    submit(&b, s);
    uint32_t facts = 0;
    log_fact_each(b.log, LOG_VIEW_LETTERS, p, (struct bytes){ NULL, 0 }, count_one, &facts);
    assert_int_equal(facts, 2); /* those of stretches 0 and 1 are gone */
    settled_free(&s);
    bench_end(&b);
}

static void a_fact_that_is_none_is_refused(void **state)
{
    (void)state;
    struct bench b = bench_new(4u << 20);
    bench_open(&b);
    struct log_partition p = { topic(&b, "x.dead", 1), 0 };
    struct log_op op = { .kind = LOG_FACT,
                         .view = LOG_VIEW_LETTERS,
                         .target = p,
                         .name = BYTES("d\0\0\0\0\0\0\0\0"),
                         .payload = BYTES("\1\0\0") };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    struct settled *s = settled_new(b.log);
    enum settled_state how;
    assert_int_equal(settled_of(s, p, (log_offset){ 1 }, &how), NEAP_CORRUPT);
    assert_int_equal(settled_of(s, p, (log_offset){ SETTLED_SPAN }, &how), NEAP_OK);
    settled_free(&s);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_was_settled),         cmocka_unit_test(a_look_elsewhere_loses_nothing),
        cmocka_unit_test(every_second_letter_fits),       cmocka_unit_test(what_retention_took_is_forgotten),
        cmocka_unit_test(a_fact_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
