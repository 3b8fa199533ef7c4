/* What is declared lost is passed over by readers, stays so through restarts and snapshots, and touches nothing else. */
#include "log_bench.h"

#include "log/local/lost.h"

static void ranges_are_those_of_a_plain_set(void **state)
{
    static bool set[3][200];
    struct lost lost = { 0 };
    uint64_t seed = 7;
    (void)state;
    memset(set, 0, sizeof set);
    for (uint32_t i = 0; i < 4000; i++) {
        struct log_partition p = { 1 + (uint32_t)chance_below(&seed, 2), 0 };
        uint64_t first = chance_below(&seed, 190), end = first + chance_below(&seed, 10);
        if (chance_below(&seed, 8) == 0) {
            lost_trim(&lost, p, first);
            memset(set[p.topic_id], 0, first);
        } else if (chance_below(&seed, 50) == 0) {
            lost_drop_topic(&lost, p.topic_id);
            memset(set[p.topic_id], 0, sizeof set[0]);
        } else {
            assert_int_equal(lost_add(&lost, p, first, end), NEAP_OK);
            memset(set[p.topic_id] + first, 1, end - first);
        }
        uint64_t sum = 0, ranges = 0;
        for (uint32_t t = 1; t < 3; t++) {
            uint64_t from = chance_below(&seed, 199), to = from + chance_below(&seed, 199 - from), within = 0;
            for (uint64_t o = from; o < to; o++)
                within += set[t][o];
            assert_int_equal(lost_within(&lost, (struct log_partition){ t, 0 }, from, to), within);
            for (uint32_t o = 0; o < 199; o++) {
                struct log_partition q = { t, 0 };
                uint64_t pass = o;
                while (set[t][pass])
                    pass++;
                assert_int_equal(lost_pass(&lost, q, o), pass);
                sum += set[t][o];
                ranges += set[t][o] && !set[t][o + 1];
            }
        }
        assert_int_equal(lost_sum(&lost), sum);
        assert_int_equal(lost.count, ranges);
    }
    lost_fini(&lost);
}

static void the_list_has_an_end(void **state)
{
    struct lost lost = { 0 };
    (void)state;
    for (uint64_t i = 0; i < LOST_RANGE_COUNT_MAX; i++)
        assert_int_equal(lost_add(&lost, (struct log_partition){ 1, 0 }, 2 * i, 2 * i + 1), NEAP_OK);
    assert_int_equal(lost_add(&lost, (struct log_partition){ 2, 0 }, 0, 1), NEAP_FULL);
    assert_int_equal(lost_add(&lost, (struct log_partition){ 1, 0 }, 1, 2), NEAP_OK); /* two become one */
    assert_int_equal(lost.count, LOST_RANGE_COUNT_MAX - 1);
    lost_fini(&lost);
}

static enum neap_status declare(struct bench *b, struct log_partition p, uint64_t first, uint32_t count)
{
    struct log_op op = { .kind = LOG_LOST, .target = p, .offset = { first }, .count = count };
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(b->client, &unit, soon(b));
}

static void check_gap(struct bench *b, struct log_partition p)
{
    struct log_reader *reader;
    struct log_batch batch;
    uint64_t bases[20];
    uint32_t count = 0;
    enum neap_status status = log_reader_open(b->log, p, (log_offset){ 0 }, 16384, &reader, &b->err);
    assert_int_equal(status, NEAP_OK);
    while ((status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK)
        bases[count++] = batch.base.n;
    assert_int_equal(status, NEAP_AGAIN);
    log_reader_close(&reader);
    assert_int_equal(count, 7); /* of ten batches of five: 10..19 and 45..49 are lost */
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(bases[i], i < 2 ? 5 * i : 5 * i + 10);
    log_offset first, end;
    assert_true(log_lost_next(b->log, p, (log_offset){ 0 }, &first, &end));
    assert_int_equal(first.n, 10);
    assert_int_equal(end.n, 20);
    assert_true(log_lost_next(b->log, p, (log_offset){ 20 }, &first, &end));
    assert_int_equal(first.n, 45);
    assert_int_equal(end.n, 50);
    assert_false(log_lost_next(b->log, p, (log_offset){ 50 }, &first, &end));
}

static void readers_pass_over_what_is_lost(void **state)
{
    struct bench b = bench_new(65536);
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "a", 1), 0 }, other = { topic(&b, "b", 2), 1 };
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(append(&b, p, "a", 5ull * i, 5, 100, NULL), NEAP_OK);
    assert_int_equal(append(&b, other, "b", 0, 3, 100, NULL), NEAP_OK);
    assert_int_equal(declare(&b, p, 10, 10), NEAP_OK);
    assert_int_equal(declare(&b, p, 45, 5), NEAP_OK);
    assert_int_equal(declare(&b, p, 48, 3), NEAP_REFUSED); /* past its end */
    assert_int_equal(declare(&b, (struct log_partition){ 99, 0 }, 0, 1), NEAP_REFUSED);
    check_gap(&b, p);
    bench_reopen(&b);
    check_gap(&b, p);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < 400; i++) /* snapshots come by, and files are sealed */
        assert_int_equal(append(&b, other, "b", 3 + i, 1, 1000, &offset), NEAP_OK);
    bench_reopen(&b);
    check_gap(&b, p);
    assert_int_equal(check_records(&b, other, "b", 0), 403);
    struct log_figures f;
    log_figures(b.log, &f);
    assert_int_equal(f.lost_count, 15);
    char path[160];
    assert_true(log_file(&b, "snapshot", ".nps", 0, path, sizeof path));
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_those_of_a_plain_set),
        cmocka_unit_test(the_list_has_an_end),
        cmocka_unit_test(readers_pass_over_what_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
