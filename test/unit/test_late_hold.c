/* test_late_hold.c - a group that begins to hold a topic while it is compacted has from then on all that it was told of */
#include "log_bench.h"

#include "io/sim.h"
#include "log/local/local.h"

#define FILE_SIZE   (64u << 10)
#define BATCH_COUNT 1200u /* more than one step of a rewrite reads */
#define KEY_COUNT   30u
#define VALUE_SIZE  1400u
#define SEED_COUNT  4u
#define GROUP       BYTES("pipe")

static void submit(struct bench *b, struct log_op op)
{
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static void put(struct bench *b, struct log_partition p, uint32_t key)
{
    static uint8_t room[4096];
    static char value[VALUE_SIZE];
    struct batch_builder builder;
    struct record record = { .key = { (uint8_t *)&key, sizeof key },
                             .value = { (uint8_t *)value, sizeof value },
                             .time_ms = 1000 };
    batch_begin(&builder, room, sizeof room);
    must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    submit(b, (struct log_op){ .kind = LOG_APPEND, .target = p, .count = 1, .payload = batch_end(&builder) });
}

static void commit(struct bench *b, struct log_partition p, uint64_t point)
{
    submit(b, (struct log_op){
                  .kind = LOG_OFFSET, .view = LOG_OFFSET_HOLD, .target = p, .offset = { point }, .name = GROUP });
}

/* How many records a reader is given from the beginning on. */
static uint64_t count_records(struct bench *b, struct log_partition p)
{
    struct log_reader *reader;
    struct log_batch batch;
    uint64_t count = 0;
    enum neap_status status;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 65536, &reader, &b->err), NEAP_OK);
    while ((status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK) {
        struct batch opened;
        assert_int_equal(batch_open(batch.bytes, true, &opened), NEAP_OK);
        count += opened.count;
    }
    assert_int_equal(status, NEAP_AGAIN);
    log_reader_close(&reader);
    return count;
}

static bool is_compacting(const struct bench *b)
{
    return b->log->shared.compacting != 0;
}

/* Archives with all that came in, of a topic that is to be compacted from now on. */
static struct bench archived(uint64_t seed, struct log_partition *ret)
{
    struct bench b = { .path = "data",
                       .options = { .file_size = FILE_SIZE,
                                    .disk_size = 1024 * FILE_SIZE,
                                    .tail_size = FILE_SIZE,
                                    .snapshot_size = FILE_SIZE,
                                    .clean_ns = 10 * NS_PER_MS } };
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    uint8_t room[LOG_SETTINGS_SIZE];
    b.io = sim_open(&(struct sim_options){ .seed = seed });
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 }, after = { topic(&b, "after", 1), 0 };
    for (uint32_t i = 0; i < BATCH_COUNT;
         i++) /* a third of a page each: files are drained, as most of them is padding */
        put(&b, p, i % KEY_COUNT);
    for (uint32_t i = 0; i < 64; i++)
        put(&b, after, i);
    sim_run(b.io, 5 * NS_PER_S);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    submit(&b,
           (struct log_op){ .kind = LOG_TOPIC_ALTER, .target = p, .payload = log_settings_encode(&settings, room) });
    *ret = p;
    return b;
}

/* The group comes `steps` after the compaction has begun. False: that was over by then. */
static bool comes_after(uint64_t seed, uint32_t steps, bool holds_already, uint32_t *meanwhile_count)
{
    struct log_partition p;
    struct bench b = archived(seed, &p);
    if (holds_already)
        commit(&b, p, BATCH_COUNT); /* it needs nothing of it, and then all of it again */
    submit(&b,
           (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = { p.topic_id + 1, 0 } }); /* something to look for */
    for (uint32_t i = 0; i < 100000 && !is_compacting(&b); i++)
        sim_run(b.io, 1);
    assert_true(is_compacting(&b));
    for (uint32_t i = 0; i < steps && is_compacting(&b); i++)
        sim_run(b.io, 1);
    bool comes_into_it = is_compacting(&b);
    commit(&b, p, 0);
    bool still = is_compacting(&b);
    uint64_t told = count_records(&b, p);
    *meanwhile_count += still && told == BATCH_COUNT;
    assert_true(told == BATCH_COUNT || (steps > 0 && told < BATCH_COUNT / 4)); /* it takes most of them */
    assert_true(comes_into_it || told < BATCH_COUNT);
    sim_run(b.io, 10 * NS_PER_S);
    assert_false(is_compacting(&b));
    assert_int_equal(count_records(&b, p), told);
    bench_reopen(&b);
    assert_int_equal(count_records(&b, p), told);
    bench_close(&b);
    sim_close(&b.io);
    return comes_into_it;
}

/* At every step of the compaction, until it is over before the group comes. */
static void sweep(bool holds_already)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        uint32_t steps = 0, meanwhile_count = 0;
        while (comes_after(seed, steps, holds_already, &meanwhile_count))
            steps++;
        assert_true(meanwhile_count >= 2); /* so often it was told in the middle of it */
    }
}

static void who_comes_meanwhile_has_all_of_it(void **state)
{
    (void)state;
    sweep(false);
}

static void who_goes_back_meanwhile_has_all_of_it(void **state)
{
    (void)state;
    sweep(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_meanwhile_has_all_of_it),
        cmocka_unit_test(who_goes_back_meanwhile_has_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
