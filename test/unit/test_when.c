/* A time of append leads to the first offset that is that new, wherever it lies: as a reader of everything would find it. */
#include "log_bench.h"

#include "io/sim.h"

#define FILE_SIZE       (64u << 10)
#define PARTITION_COUNT 3u

static struct bench sim_bench(uint64_t seed)
{
    struct bench b = { .options = { .file_size = FILE_SIZE,
                                    .disk_size = 256ull * FILE_SIZE,
                                    .tail_size = 64u << 10,
                                    .index_count_max = 4096,
                                    .snapshot_size = 4 * FILE_SIZE } };
    snprintf(b.path, sizeof b.path, "/data");
    b.io = sim_open(&(struct sim_options){ .seed = seed, .calm = true });
    bench_open(&b);
    return b;
}

static uint64_t slow_answer(struct bench *b, struct log_partition p, int64_t s)
{
    struct log_reader *reader;
    struct log_batch batch;
    log_offset start, end;
    assert_int_equal(log_partition_range(b->log, p, &start, &end), NEAP_OK);
    uint64_t answer = start.n;
    assert_int_equal(log_reader_open(b->log, p, start, 16384, &reader, &b->err), NEAP_OK);
    while (log_reader_next(reader, &batch, &b->err) == NEAP_OK && batch.appended.ms / 1000 < s)
        answer = batch.base.n + batch.count;
    log_reader_close(&reader);
    return answer;
}

static void compare(struct bench *b, uint32_t id, int64_t from_s, int64_t to_s, uint64_t *seed)
{
    for (uint32_t n = 0; n < PARTITION_COUNT; n++) {
        struct log_partition p = { id, n };
        for (int i = 0; i < 40; i++) {
            int64_t s = from_s - 3 + (int64_t)chance_below(seed, (uint64_t)(to_s - from_s) + 6);
            log_offset got;
            wall_time when = { s * 1000 + (int64_t)chance_below(seed, 1000) };
            assert_int_equal(log_offset_at(b->log, p, when, &got, &b->err), NEAP_OK);
            assert_int_equal(got.n, slow_answer(b, p, s));
        }
    }
}

/* Many files, a few batches in some seconds and none in others, one partition much fuller than the next. */
static void as_a_reader_of_everything_would(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        uint64_t chances = seed;
        struct bench b = sim_bench(seed);
        uint32_t id = topic(&b, "t", PARTITION_COUNT);
        uint64_t next[PARTITION_COUNT] = { 0 };
        int64_t from_s = io_wall(b.io).ms / 1000;
        for (int i = 0; i < 900; i++) {
            uint32_t n = chance_below(&chances, 10) < 7 ? 0 : 1 + (uint32_t)chance_below(&chances, 2);
            uint32_t count = 1 + (uint32_t)chance_below(&chances, 3);
            struct log_partition p = { id, n };
            if (n == 2 && next[n] > 20)
                continue; /* almost empty */
            assert_int_equal(append(&b, p, "v", next[n], count, chance_below(&chances, 900), NULL), NEAP_OK);
            next[n] += count;
            if (chance_below(&chances, 6) == 0)
                sim_wall_jump(b.io, (int64_t)chance_below(&chances, 4000));
            if (chance_below(&chances, 40) == 0)
                sim_wall_jump(b.io, -3000); /* time of append stays where it was */
            if (i == 400) {
                struct log_op op = { .kind = LOG_TRIM, .target = { id, 0 }, .offset = { next[0] / 3 + 1 } };
                struct log_unit unit = { .ops = &op, .count = 1 };
                assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
            }
        }
        int64_t to_s = io_wall(b.io).ms / 1000;
        compare(&b, id, from_s, to_s, &chances);
        bench_reopen(&b);
        compare(&b, id, from_s, to_s, &chances);
        bench_close(&b);
        sim_close(&b.io);
    }
}

/* Most of each file is of a topic that goes: what stays is drained into archives, and keeps its times. */
static void archives_keep_the_times(void **state)
{
    (void)state;
    uint64_t chances = 9;
    struct bench b = sim_bench(9);
    bench_close(&b);
    b.options.snapshot_size = FILE_SIZE;
    b.options.clean_ns = 10 * NS_PER_MS;
    bench_open(&b);
    uint32_t id = topic(&b, "t", PARTITION_COUNT), gone = topic(&b, "gone", 1);
    int64_t from_s = io_wall(b.io).ms / 1000;
    for (uint64_t i = 0; i < 900; i++) {
        struct log_partition p = { id, (uint32_t)(i % PARTITION_COUNT) }, q = { gone, 0 };
        assert_int_equal(append(&b, p, "v", i / PARTITION_COUNT, 1, 200, NULL), NEAP_OK);
        assert_int_equal(append(&b, q, "g", i, 1, 1000, NULL), NEAP_OK);
        if (i % 5 == 0)
            sim_wall_jump(b.io, (int64_t)chance_below(&chances, 3000));
    }
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { gone, 0 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    struct log_figures figures = { 0 };
    for (int i = 0; i < 100 && figures.archive_count < 3; i++) {
        sim_run(b.io, 50 * NS_PER_MS);
        log_figures(b.log, &figures);
    }
    assert_true(figures.archive_count > 0);
    int64_t to_s = io_wall(b.io).ms / 1000;
    compare(&b, id, from_s, to_s, &chances);
    bench_reopen(&b);
    compare(&b, id, from_s, to_s, &chances);
    bench_close(&b);
    sim_close(&b.io);
}

static void the_ends_are_answers_too(void **state)
{
    (void)state;
    struct bench b = sim_bench(7);
    uint32_t id = topic(&b, "t", 1);
    struct log_partition p = { id, 0 };
    log_offset got;
    assert_int_equal(log_offset_at(b.log, p, (wall_time){ 0 }, &got, &b.err), NEAP_OK);
    assert_int_equal(got.n, 0);
    assert_int_equal(append(&b, p, "v", 0, 5, 10, NULL), NEAP_OK);
    assert_int_equal(log_offset_at(b.log, p, (wall_time){ -1 }, &got, &b.err), NEAP_OK);
    assert_int_equal(got.n, 0);
    assert_int_equal(log_offset_at(b.log, p, (wall_time){ INT64_MAX }, &got, &b.err), NEAP_OK);
    assert_int_equal(got.n, 5);
    p.partition = 1;
    assert_int_equal(log_offset_at(b.log, p, (wall_time){ 0 }, &got, &b.err), NEAP_NOTFOUND);
    bench_close(&b);
    sim_close(&b.io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_a_reader_of_everything_would),
        cmocka_unit_test(archives_keep_the_times),
        cmocka_unit_test(the_ends_are_answers_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
