/* Rot is found beside all work, named with topic, partition, offset, file and byte, once; all else is read as ever. */
#include "log_bench.h"

#define RECORD_SIZE 200u

static void write_topics(struct bench *b, uint32_t *ret_a, uint32_t *ret_b, uint32_t count)
{
    *ret_a = topic(b, "a", 1);
    *ret_b = topic(b, "b", 2);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(append(b, (struct log_partition){ *ret_a, 0 }, "a", 3ull * i, 3, RECORD_SIZE, NULL), NEAP_OK);
        assert_int_equal(append(b, (struct log_partition){ *ret_b, 1 }, "b", i, 1, RECORD_SIZE, NULL), NEAP_OK);
    }
}

static struct bench new_bench(void)
{
    struct bench b = bench_new(32768);
    b.options.scrub_rate = 1u << 30;
    b.options.scrub_delay_ns = 1;
    b.options.clean_ns = NO_CLEANING_NS;
    return b;
}

static struct log_figures wait_for_pass(struct bench *b)
{
    struct log_figures f;
    mono_time deadline = soon(b);
    do {
        usleep(1000);
        log_figures(b->log, &f);
        assert_true(io_now(b->io).ns < deadline.ns);
    } while (f.scrub_pass_count == 0);
    return f;
}

/* Where the batch with offset `offset` of topic `label` lies: the byte of its first record's value. */
static long value_at(const char *path, const char *label, uint64_t offset)
{
    char want[64];
    int size = snprintf(want, sizeof want, "%s %llu ", label, (unsigned long long)offset);
    FILE *f = fopen(path, "rb");
    must(f != NULL);
    static char bytes[1 << 20];
    size_t got = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t i = 0; i + (size_t)size + 2 <= got; i++)
        if (memcmp(bytes + i, want, (size_t)size + 1) == 0 && bytes[i + (size_t)size + 1] == '.')
            return (long)i;
    return -1;
}

static void scrub_passes_over_what_is_sound(void **state)
{
    (void)state;
    struct bench b = new_bench();
    bench_open(&b);
    uint32_t a, c;
    write_topics(&b, &a, &c, 60);
    bench_reopen(&b);
    struct log_figures f = wait_for_pass(&b);
    struct log_damage d;
    assert_true(f.scrubbed_size > 2 * 32768);
    assert_int_equal(f.damage_count, 0);
    assert_false(log_damage_at(b.log, 0, &d));
    bench_end(&b);
}

static void scrub_names_what_is_rotten_and_all_else_is_read(void **state)
{
    (void)state;
    struct bench b = new_bench();
    char path[160];
    uint32_t a, c;
    struct log_damage d;
    bench_open(&b);
    write_topics(&b, &a, &c, 60);
    bench_close(&b);
    assert_true(log_file(&b, "journal", ".npj", 1, path, sizeof path));
    long at = -1;
    uint64_t offset = 0;
    for (; at < 0 && offset < 180; offset += 3)
        at = value_at(path, "a", offset);
    offset -= 3;
    assert_true(at > 0);
    flip(path, at + 30);
    bench_open(&b);
    struct log_figures f = wait_for_pass(&b);
    assert_int_equal(f.damage_count, 1);
    assert_true(log_damage_at(b.log, 0, &d));
    assert_false(log_damage_at(b.log, 1, &d));
    assert_string_equal(d.topic, "a");
    assert_int_equal(d.partition.partition, 0);
    assert_int_equal(d.offset.n, offset);
    assert_int_equal(d.count, 3);
    assert_string_equal(d.file, strrchr(path, '/') - strlen("journal"));
    assert_true(d.byte < (uint64_t)at && d.byte + 512 > (uint64_t)at);
    assert_int_equal(d.found_by, LOG_FOUND_BY_SCRUB);
    assert_int_equal(check_records(&b, (struct log_partition){ c, 1 }, "b", 0), 60);

    struct log_reader *reader;
    struct log_batch batch;
    assert_int_equal(log_reader_open(b.log, (struct log_partition){ a, 0 }, (log_offset){ 0 }, 16384, &reader, &b.err),
                     NEAP_OK);
    uint64_t next = 0;
    enum neap_status status;
    while ((status = log_reader_next(reader, &batch, &b.err)) == NEAP_OK)
        next = batch.base.n + batch.count;
    assert_int_equal(status, NEAP_CORRUPT);
    assert_int_equal(next, offset);
    assert_int_equal(log_reader_next(reader, &batch, &b.err), NEAP_CORRUPT);
    log_reader_close(&reader);
    log_figures(b.log, &f);
    assert_int_equal(f.damage_count, 1); /* the reader met what was known */
    assert_int_equal(check_records(&b, (struct log_partition){ a, 0 }, "a", offset + 3), 180);
    bench_end(&b);
}

static void scrub_goes_on_behind_a_hole(void **state)
{
    (void)state;
    struct bench b = new_bench();
    char path[160];
    uint32_t a, c;
    static const char zeros[1024];
    bench_open(&b);
    write_topics(&b, &a, &c, 60);
    bench_close(&b);
    assert_true(log_file(&b, "journal", ".npj", 1, path, sizeof path));
    FILE *f = fopen(path, "r+b");
    must(f != NULL && fseek(f, 8192, SEEK_SET) == 0 && fwrite(zeros, sizeof zeros, 1, f) == 1);
    fclose(f);
    long behind = -1;
    for (uint64_t i = 0; behind < 12288 && i < 60; i++)
        behind = value_at(path, "b", i);
    assert_true(behind >= 12288);
    flip(path, behind + 30);
    bench_open(&b);
    wait_for_pass(&b);
    struct log_damage d;
    bool in_hole = false, behind_it = false;
    for (uint32_t i = 0; log_damage_at(b.log, i, &d); i++) {
        assert_int_equal(d.found_by, LOG_FOUND_BY_SCRUB);
        if (d.byte < 8192 + 1024)
            in_hole = d.topic[0] != 0;
        else
            behind_it |= d.topic[0] == 'b' && d.byte < (uint64_t)behind && d.byte + 512 > (uint64_t)behind;
    }
    assert_true(in_hole && behind_it);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrub_passes_over_what_is_sound),
        cmocka_unit_test(scrub_names_what_is_rotten_and_all_else_is_read),
        cmocka_unit_test(scrub_goes_on_behind_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
