/* A directory remembers the disk budget it was last opened with; one that has outgrown its budget refuses producers and drains. */
#include "log_bench.h"

#define MIB (1ull << 20)

static struct bench small_disk(uint64_t size)
{
    struct bench b = bench_new(0);
    b.options.disk_size = size;
    b.options.snapshot_size = 1 << 20;
    b.options.clean_ns = 5 * NS_PER_MS;
    b.options.scrub_delay_ns = 3600 * NS_PER_S;
    return b;
}

static uint64_t opened_with(struct bench *b, uint64_t size, bool last)
{
    struct log_figures f;
    b->options.disk_size = size;
    b->options.disk_last = last;
    bench_open(b);
    log_figures(b->log, &f);
    bench_close(b);
    return f.disk_size;
}

static void the_last_budget_is_remembered(void **state)
{
    (void)state;
    struct bench b = small_disk(0);
    char path[160];
    uint64_t by_default = opened_with(&b, 0, true);
    assert_true(by_default > 100 * MIB);
    assert_int_equal(opened_with(&b, 32 * MIB, true), 32 * MIB); /* what is said counts */
    assert_int_equal(opened_with(&b, 0, true), 32 * MIB);
    assert_int_equal(opened_with(&b, 48 * MIB, false), 48 * MIB);
    assert_int_equal(opened_with(&b, 0, true), 48 * MIB);
    assert_true(opened_with(&b, 0, false) > 100 * MIB); /* a file that says nothing means the default */
    assert_true(opened_with(&b, 0, true) > 100 * MIB);
    assert_int_equal(opened_with(&b, 32 * MIB, false), 32 * MIB);
    snprintf(path, sizeof path, "%s/neap.disk", b.path);
    flip(path, 25);
    assert_true(opened_with(&b, 0, true) > 100 * MIB);
    assert_int_equal(opened_with(&b, 32 * MIB, false), 32 * MIB);
    assert_int_equal(opened_with(&b, 0, true), 32 * MIB);
    bench_open(&b);
    bench_end(&b);
}

static void what_has_outgrown_its_budget_drains(void **state)
{
    (void)state;
    struct log_figures f;
    struct bench b = small_disk(256 * MIB);
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t n = 0; n < 1200; n++)
        assert_int_equal(append(&b, p, "a", 20 * n, 20, 2000, NULL), NEAP_OK);
    bench_close(&b);
    b.options.disk_size = 24 * MIB;
    bench_open(&b);
    log_figures(b.log, &f);
    assert_true(f.disk_used_size > f.disk_size);
    enum neap_status status;
    uint64_t end = 24000;
    while ((status = append(&b, p, "a", end, 1, 100, NULL)) == NEAP_OK && end < 25000) {
        usleep(2000); /* first it looks for what can be freed */
        end++;
    }
    assert_int_equal(status, NEAP_FULL);
    struct log_client *client;
    struct log_client_options options = { .rank = LOG_RANK_PIPELINE };
    assert_int_equal(log_client_open(b.log, &options, &client, &b.err), NEAP_OK);
    for (uint64_t at = 0; at <= end; at += 100) { /* a pipeline works it off; what it has done is freed */
        struct log_op op = { .kind = LOG_OFFSET, .target = p, .name = BYTES("p"), .offset = { at } };
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(client, &unit, soon(&b)), NEAP_OK);
    }
    log_client_close(&client);
    struct log_op op = { .kind = LOG_TRIM, .target = p, .offset = { end } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_client_open(b.log, &(struct log_client_options){ .rank = LOG_RANK_HOUSE }, &client, &b.err),
                     NEAP_OK);
    assert_int_equal(log_submit_wait(client, &unit, soon(&b)), NEAP_OK);
    log_client_close(&client);
    mono_time deadline = soon(&b);
    while (append(&b, p, "a", end, 1, 100, NULL) != NEAP_OK) {
        usleep(10000);
        assert_true(io_now(b.io).ns < deadline.ns);
    }
    do {
        usleep(10000);
        log_figures(b.log, &f);
        assert_true(io_now(b.io).ns < deadline.ns);
    } while (f.disk_used_size > f.disk_size);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_budget_is_remembered),
        cmocka_unit_test(what_has_outgrown_its_budget_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
