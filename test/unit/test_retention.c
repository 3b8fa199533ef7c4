/* test_retention.c - what is no longer wanted is freed, and nothing that a group still has to process ever is */
#include "log_bench.h"

#define FILE_SIZE (64u << 10)
#define COUNT     300u

static struct log_partition begin(struct bench *b, struct log_topic_settings settings)
{
    struct log_topic t;
    *b = bench_new(FILE_SIZE);
    b->options.disk_size = 512 * FILE_SIZE;
    b->options.snapshot_size = FILE_SIZE;
    b->options.clean_ns = 10 * NS_PER_MS;
    bench_open(b);
    assert_int_equal(log_topic_ensure_with(b->client, "t", 1, &settings, soon(b), &t, &b->err), NEAP_OK);
    return (struct log_partition){ t.id, 0 };
}

static void fill(struct bench *b, struct log_partition p, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        assert_int_equal(append(b, p, "v", i, 1, 900, NULL), NEAP_OK);
}

static void commit(struct bench *b, struct log_partition p, const char *group, uint64_t point, uint8_t flags)
{
    struct log_op op = {
        .kind = LOG_OFFSET, .view = flags, .target = p, .name = bytes_of_text(group), .offset = { point }
    };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static uint64_t start_of(struct bench *b, struct log_partition p)
{
    log_offset start, end;
    assert_int_equal(log_partition_range(b->log, p, &start, &end), NEAP_OK);
    return start.n;
}

/* Until it starts at or after `from`, or five seconds have passed. */
static uint64_t start_comes(struct bench *b, struct log_partition p, uint64_t from)
{
    for (int i = 0; i < 500 && start_of(b, p) < from; i++)
        usleep(10000);
    return start_of(b, p);
}

static struct log_topic_settings done_settings(void)
{
    struct log_topic_settings s = LOG_SETTINGS_DEFAULT;
    s.retention = LOG_RETAIN_DONE;
    return s;
}

static void what_every_holder_has_passed_is_freed(void **state)
{
    struct bench b;
    struct log_partition p = begin(&b, done_settings());
    (void)state;
    fill(&b, p, 0, COUNT);
    usleep(100000);
    assert_int_equal(start_of(&b, p), 0); /* nobody has said that anything is done */
    commit(&b, p, "fast", 0, LOG_OFFSET_HOLD);
    commit(&b, p, "slow", 0, LOG_OFFSET_HOLD);
    commit(&b, p, "fast", 200, 0);
    commit(&b, p, "reader", 250, 0); /* a group that holds nothing */
    usleep(100000);
    assert_int_equal(start_of(&b, p), 0);
    commit(&b, p, "slow", 100, 0);
    assert_int_equal(start_comes(&b, p, 99), 100);
    bench_reopen(&b);
    assert_int_equal(start_of(&b, p), 100);
    assert_int_equal(check_records(&b, p, "v", 100), COUNT);
    commit(&b, p, "slow", 0, LOG_OFFSET_FORGET);
    assert_int_equal(start_comes(&b, p, 199), 200);
    commit(&b, p, "fast", COUNT, 0);
    assert_int_equal(start_comes(&b, p, COUNT), COUNT);
    bench_end(&b);
}

static void size_is_kept_within_its_limit(void **state)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b;
    struct log_topic t;
    (void)state;
    settings.retention_size = 50000;
    struct log_partition p = begin(&b, settings);
    fill(&b, p, 0, COUNT);
    for (int i = 0; i < 500; i++, usleep(10000)) {
        assert_int_equal(log_topic_find(b.log, "t", &t), NEAP_OK);
        assert_true(t.size > 48000);
        if (t.size <= 50000 + 1000)
            break;
    }
    assert_true(t.size <= 50000 + 1000);
    uint64_t start = start_of(&b, p);
    assert_int_equal(t.batch_count, COUNT - start);
    assert_int_equal(check_records(&b, p, "v", start), COUNT);
    commit(&b, p, "slow", start + 10, LOG_OFFSET_HOLD);
    fill(&b, p, COUNT, 2 * COUNT);
    usleep(200000);
    assert_true(start_of(&b, p) <= start + 10); /* no limit frees what a pipeline still has to process */
    assert_int_equal(check_records(&b, p, "v", start + 10), 2 * COUNT);
    bench_end(&b);
}

static void what_was_trimmed_by_hand_counts_no_more(void **state)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b;
    struct log_topic t;
    (void)state;
    settings.retention_size = 50000;
    struct log_partition p = begin(&b, settings);
    fill(&b, p, 0, 50);
    struct log_op op = { .kind = LOG_TRIM, .target = p, .offset = { 40 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    fill(&b, p, 50, 60);
    usleep(200000);
    assert_int_equal(start_of(&b, p), 40); /* twenty events are far below the limit, sixty would be above it */
    assert_int_equal(log_topic_find(b.log, "t", &t), NEAP_OK);
    assert_int_equal(t.batch_count, 20);
    assert_true(t.size > 18000 && t.size < 21000);
    bench_end(&b);
}

static void lose(struct bench *b, struct log_partition p, uint64_t from, uint64_t to)
{
    struct log_op op = { .kind = LOG_LOST, .target = p, .offset = { from }, .count = (uint32_t)(to - from) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static void assert_counted(struct bench *b, uint64_t count)
{
    struct log_topic t;
    assert_int_equal(log_topic_find(b->log, "t", &t), NEAP_OK);
    assert_int_equal(t.batch_count, count);
    assert_true(t.size >= 900 * count && t.size <= 1000 * count);
}

/* Each offset once, however often it is declared lost, whatever is trimmed of it by hand, and through restarts. */
static void what_was_declared_lost_counts_no_more(void **state)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b;
    (void)state;
    settings.retention_size = 50000;
    struct log_partition p = begin(&b, settings);
    fill(&b, p, 0, 50);
    lose(&b, p, 0, 10);
    lose(&b, p, 5, 20);
    lose(&b, p, 0, 20);
    lose(&b, p, 30, 40);
    assert_counted(&b, 20);
    struct log_op op = { .kind = LOG_TRIM, .target = p, .offset = { 25 } }; /* of which five can be read */
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    assert_counted(&b, 15);
    lose(&b, p, 20, 27); /* five of them have been trimmed */
    assert_counted(&b, 13);
    bench_reopen(&b); /* from the journal */
    assert_counted(&b, 13);
    fill(&b, p, 50, 87); /* beyond the size, had what is lost counted; and snapshots come by */
    usleep(200000);
    assert_counted(&b, 50);
    assert_int_equal(start_of(&b, p), 25);
    bench_reopen(&b);
    assert_counted(&b, 50);
    lose(&b, p, 27, 87);
    assert_counted(&b, 0);
    fill(&b, p, 87, 137);
    usleep(200000);
    assert_counted(&b, 50);
    assert_int_equal(check_records(&b, p, "v", 87), 137);
    bench_end(&b);
}

/* What has been counted for a trim to come is not taken off once more, where it was declared lost meanwhile. */
static void what_is_lost_is_not_trimmed_again(void **state)
{
    struct bench b;
    struct log_topic t;
    struct log_partition p = begin(&b, done_settings());
    (void)state;
    for (uint64_t i = 0; i < 60; i++)
        assert_int_equal(append(&b, p, "v", i, 1, 10, NULL), NEAP_OK);
    commit(&b, p, "slow", 0, LOG_OFFSET_HOLD);
    commit(&b, p, "slow", 2, 0); /* less than is worth a trim: counted, and kept in mind */
    usleep(200000);
    assert_int_equal(start_of(&b, p), 0);
    lose(&b, p, 0, 2);
    commit(&b, p, "slow", 40, 0);
    assert_int_equal(start_comes(&b, p, 40), 40);
    assert_int_equal(log_topic_find(b.log, "t", &t), NEAP_OK);
    assert_int_equal(t.batch_count, 20);
    bench_end(&b);
}

static void time_runs_out(void **state)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b;
    (void)state;
    settings.retention_ms = 2000;
    struct log_partition p = begin(&b, settings);
    fill(&b, p, 0, COUNT);
    usleep(100000);
    assert_int_equal(start_of(&b, p), 0);
    usleep(3500000);
    fill(&b, p, COUNT, COUNT + 20);
    assert_int_equal(start_comes(&b, p, COUNT), COUNT);
    assert_int_equal(check_records(&b, p, "v", COUNT), COUNT + 20);
    bench_end(&b);
}

/* Groups come and go while retention decides: whoever was told that it holds the partition finds everything from there on. */
static void a_new_holder_is_never_too_late(void **state)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b;
    (void)state;
    settings.retention_size = 3000;
    struct log_partition p = begin(&b, settings);
    bench_close(&b);
    b.options.clean_ns = 100 * NS_PER_US;
    bench_open(&b);
    uint64_t end = 0;
    for (int i = 0; i < 150; i++) {
        fill(&b, p, end, end + 8);
        end += 8;
        uint64_t start = start_of(&b, p);
        char group[16];
        snprintf(group, sizeof group, "g%d", i);
        commit(&b, p, group, start, LOG_OFFSET_HOLD);
        uint64_t held = start_of(&b, p); /* what was trimmed before it came */
        fill(&b, p, end, end + 8);
        end += 8;
        usleep(500);
        assert_int_equal(start_of(&b, p), held);
        commit(&b, p, group, 0, LOG_OFFSET_FORGET);
    }
    bench_end(&b);
}

/* A partition that comes to a topic waits for those that hold the others. */
static void what_comes_to_a_topic_is_held(void **state)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b;
    (void)state;
    settings.retention_size = 3000;
    struct log_partition p = begin(&b, settings);
    commit(&b, p, "pipe", 0, LOG_OFFSET_HOLD);
    struct log_op op = { .kind = LOG_TOPIC_ALTER, .target = p, .count = 2 };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    struct log_partition q = { p.topic_id, 1 };
    fill(&b, q, 0, COUNT);
    usleep(200000);
    assert_int_equal(start_of(&b, q), 0);
    bench_reopen(&b);
    usleep(200000);
    assert_int_equal(check_records(&b, q, "v", 0), COUNT);
    commit(&b, q, "pipe", 200, 0);
    assert_int_equal(start_comes(&b, q, 200), 200);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_every_holder_has_passed_is_freed),
        cmocka_unit_test(size_is_kept_within_its_limit),
        cmocka_unit_test(what_was_trimmed_by_hand_counts_no_more),
        cmocka_unit_test(what_was_declared_lost_counts_no_more),
        cmocka_unit_test(what_is_lost_is_not_trimmed_again),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(a_new_holder_is_never_too_late),
        cmocka_unit_test(what_comes_to_a_topic_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
