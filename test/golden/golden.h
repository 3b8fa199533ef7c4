/* golden.h - one small history of a log. The directories beside this file hold it as each format version wrote it; they are
 * never written again, and every later version must open them and say the same. */
#ifndef TEST_GOLDEN_H
#define TEST_GOLDEN_H

#include "log_bench.h"

#define GOLDEN_FILE_SIZE (16u << 10)
#define GOLDEN_COUNT     24u

static inline struct bench golden_bench(void)
{
    struct bench b = bench_new(GOLDEN_FILE_SIZE);
    b.options.snapshot_size = GOLDEN_FILE_SIZE;
    return b;
}

static inline void golden_write(struct bench *b)
{
    struct log_partition p = { topic(b, "orders", 2), 0 }, q = { p.topic_id, 1 }, gone = { topic(b, "gone", 1), 0 };
    for (uint64_t i = 0; i < GOLDEN_COUNT; i += 2) {
        must(append(b, p, "p", i, 2, 100, NULL) == NEAP_OK);
        must(append(b, q, "q", i / 2, 1, 300, NULL) == NEAP_OK);
        must(append(b, gone, "g", i / 2, 1, 10, NULL) == NEAP_OK);
    }
    struct log_op ops[] = {
        { .kind = LOG_OFFSET, .target = p, .offset = { 20 }, .name = BYTES("shipping"), .payload = BYTES("\x01\x02") },
        { .kind = LOG_FACT,
          .view = LOG_VIEW_FATE,
          .target = p,
          .name = BYTES("shipping\0k"),
          .payload = BYTES("dead") },
        { .kind = LOG_TOPIC_DELETE, .target = gone },
    };
    struct log_unit unit = { .ops = ops, .count = COUNT_OF(ops) };
    must(log_submit_wait(b->client, &unit, soon(b)) == NEAP_OK);
}

static inline void golden_check(struct bench *b)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct log_topic t;
    struct log_commit commit;
    struct bytes value;
    assert_int_equal(log_topic_find(b->log, "gone", &t), NEAP_NOTFOUND);
    assert_int_equal(log_topic_find(b->log, "orders", &t), NEAP_OK);
    assert_int_equal(t.partition_count, 2);
    struct log_partition p = { t.id, 0 }, q = { t.id, 1 };
    assert_int_equal(check_records(b, p, "p", 0), GOLDEN_COUNT);
    assert_int_equal(check_records(b, q, "q", 0), GOLDEN_COUNT / 2);
    assert_int_equal(log_offset_get(b->log, "shipping", p, room, &commit), NEAP_OK);
    assert_int_equal(commit.offset.n, 20);
    assert_true(bytes_equal(commit.done_set, BYTES("\x01\x02")));
    assert_int_equal(log_fact_get(b->log, LOG_VIEW_FATE, p, BYTES("shipping\0k"), room, &value), NEAP_OK);
    assert_true(bytes_equal(value, BYTES("dead")));
}

#endif
