/* Events in compressed batches are events like any other; of what cannot be unpacked, each becomes a dead letter. */
#include "flow_bench.h"

#include "base/crc32c.h"

static void check_whole(struct bench *b, uint64_t count)
{
    assert_int_equal(b->pipeline->status, NEAP_OK);
    for (uint32_t p = 0; p < b->partition_count; p++) {
        check_all(b, p, count);
        check_ledger(b, p, count);
    }
}

static void every_codec_is_read(void **state)
{
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        static struct bench b;
        bench_init(&b, 1);
        b.codec = codec;
        bench_open(&b);
        bench_append(&b, 0, 0, 500, 120);
        bench_run(&b, all_idle);
        check_whole(&b, 500);
        bench_close(&b);
        bench_fini(&b);
    }
}

/* Its batches are larger than those of the sink, so that each task comes back to one whose room others have used since. */
static void tasks_take_turns_with_one_room(void **state)
{
    static struct bench b;
    bench_init(&b, 4);
    b.fake.sink.row_count_max = 7;
    b.kit_count = 3;
    bench_open(&b);
    for (uint64_t from = 0; from < 600; from += 150) {
        for (uint32_t p = 0; p < 4; p++) {
            b.codec = (enum codec)((from / 150 + p) % CODEC_COUNT);
            bench_append(&b, p, from, from + 150, 150);
        }
    }
    bench_run(&b, all_idle);
    check_whole(&b, 600);
    bench_close(&b);
    bench_open(&b); /* and after a new start, from the middle of a batch */
    for (uint32_t p = 0; p < 4; p++)
        bench_append(&b, p, 600, 700, 33);
    bench_run(&b, all_idle);
    for (uint32_t p = 0; p < 4; p++)
        check_all(&b, p, 700);
    bench_close(&b);
    bench_fini(&b);
}

static struct bytes sealed(struct bytes batch)
{
    uint8_t *at = (uint8_t *)(uintptr_t)batch.at;
    put_be32(at + 17, crc32c(0, at + 21, batch.size - 21));
    return batch;
}

/* Every offset of [from, to) has a letter that says unreadable, and nothing was delivered of it. */
static void check_unreadable(struct bench *b, uint64_t count, uint64_t from, uint64_t to)
{
    struct seen *seen = look(b, 0, count);
    for (uint64_t n = 0; n < count; n++) {
        bool lost = n >= from && n < to;
        enum fate_of fate = fate_of(n);
        assert_int_equal(seen[n].delivered, !lost && fate == DELIVERED);
        assert_int_equal(seen[n].letters, lost || fate == FAILED || fate == NOT_JSON);
        assert_true((strcmp(seen[n].reason, "unreadable") == 0) == lost);
    }
    free(seen);
    struct task_figures f;
    task_figures(b->tasks[0], &f);
    assert_int_equal(b->pipeline->status, NEAP_OK);
    assert_int_equal(f.point.n, count);
    assert_int_equal(f.total.filtered + f.total.delivered + f.total.dead_lettered, count);
}

static void what_does_not_unpack_becomes_letters(void **state)
{
    for (enum codec codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        static struct bench b;
        bench_init(&b, 1);
        b.fake.sink.row_count_max = 9;
        bench_open(&b);
        bench_append(&b, 0, 0, 20, 20);
        b.codec = codec;
        struct bytes batch = make_batch(&b, 20, 60);
        memset((uint8_t *)(uintptr_t)batch.at + batch.size - 40, 0xEE, 40);
        append_batch(&b, 0, sealed(batch), 40);
        bench_append(&b, 0, 60, 100, 10);
        bench_run(&b, all_idle);
        check_unreadable(&b, 100, 20, 60);
        bench_close(&b);
        bench_open(&b); /* the letters are passed once and for all */
        bench_append(&b, 0, 100, 110, 10);
        bench_run(&b, all_idle);
        check_unreadable(&b, 110, 20, 60);
        bench_close(&b);
        bench_fini(&b);
    }
}

static void bytes_behind_the_last_record_are_passed(void **state)
{
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        static struct bench b;
        bench_init(&b, 1);
        bench_open(&b);
        bench_append(&b, 0, 0, 20, 20);
        b.codec = codec;
        struct bytes batch = make_batch(&b, 20, 61);
        uint8_t *at = (uint8_t *)(uintptr_t)batch.at;
        put_be32(at + 23, 39);
        put_be32(at + 57, 40);
        append_batch(&b, 0, sealed(batch), 40);
        bench_append(&b, 0, 60, 100, 10);
        bench_run(&b, all_idle);
        check_unreadable(&b, 100, 0, 0);
        bench_close(&b);
        bench_fini(&b);
    }
}

static void a_batch_larger_than_the_room_becomes_letters(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    codec_room_init(&b.unpack, 500);
    bench_open(&b);
    b.codec = CODEC_ZSTD;
    bench_append(&b, 0, 0, 10, 10);
    bench_append(&b, 0, 10, 210, 200);
    bench_append(&b, 0, 210, 220, 10);
    bench_run(&b, all_idle);
    check_unreadable(&b, 220, 10, 210);
    bench_close(&b);
    bench_fini(&b);
}

/* Where one record lies, those before it stand. Its first bytes: length, attributes, time, offset. */
static void what_follows_a_lie_becomes_letters(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    bench_open(&b);
    bench_append(&b, 0, 0, 10, 10);
    struct bytes bytes = make_batch(&b, 10, 40);
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    assert_int_equal(batch_open(bytes, true, &batch), NEAP_OK);
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    for (int i = 0; i < 12; i++)
        assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    ((uint8_t *)(uintptr_t)walk.left.at)[3] ^= 64; /* the offset of the thirteenth */
    append_batch(&b, 0, sealed(bytes), 30);
    bench_append(&b, 0, 40, 50, 10);
    bench_run(&b, all_idle);
    check_unreadable(&b, 50, 22, 40);
    bench_close(&b);
    bench_fini(&b);
}

/* The n-th landing goes wrong: the sink has the batch and nobody knows, or it does not have it. Then a new start. */
static enum neap_status fail_once(struct fake *f, struct sink_batch *b, bool *apply)
{
    *apply = f->script_number % 2 == 0 || f->land_count != f->script_number / 2 + 1;
    return f->land_count == f->script_number / 2 + 1 ? NEAP_IO : NEAP_OK;
}

static void a_crash_at_any_landing_changes_nothing(void **state)
{
    bool crashed = true;
    for (uint32_t n = 0; crashed; n++) {
        static struct bench b;
        bench_init(&b, 1);
        b.fake.sink.row_count_max = 8;
        b.fake.script = fail_once;
        b.fake.script_number = n;
        bench_open(&b);
        bench_append(&b, 0, 0, 20, 20);
        b.codec = (enum codec)(1 + n % 4);
        struct bytes batch = make_batch(&b, 20, 60);
        memset((uint8_t *)(uintptr_t)batch.at + batch.size - 40, 0xEE, 40);
        append_batch(&b, 0, sealed(batch), 40);
        bench_append(&b, 0, 60, 100, 40);
        bench_run(&b, all_idle);
        crashed = b.pipeline->status == NEAP_IO;
        assert_true(crashed || n > 8);
        bench_close(&b);
        b.fake.script = NULL;
        bench_open(&b);
        bench_run(&b, all_idle);
        check_unreadable(&b, 100, 20, 60);
        bench_close(&b);
        bench_fini(&b);
    }
}

/* What the log can tell at a glance is not taken at all. */
static void a_lie_in_the_head_is_not_taken(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    bench_open(&b);
    b.codec = CODEC_LZ4;
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = { { 26, 9 } /* gaps */, { 60, 4 } /* fewer records than offsets */, { 22, 7 } /* no codec */ };
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct bytes batch = make_batch(&b, 0, 5);
        ((uint8_t *)(uintptr_t)batch.at)[lies[i].at] = lies[i].value;
        struct log_op op = { .kind = LOG_APPEND, .target = { b.topic.id, 0 }, .count = 5, .payload = sealed(batch) };
        struct log_unit unit = { .ops = &op, .count = 1 };
        enum neap_status status = log_submit_wait(b.client, &unit, soon(&b));
        assert_true(status == NEAP_BADINPUT || status == NEAP_MISUSE);
    }
    bench_close(&b);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_is_read),
        cmocka_unit_test(tasks_take_turns_with_one_room),
        cmocka_unit_test(what_does_not_unpack_becomes_letters),
        cmocka_unit_test(bytes_behind_the_last_record_are_passed),
        cmocka_unit_test(a_batch_larger_than_the_room_becomes_letters),
        cmocka_unit_test(what_follows_a_lie_becomes_letters),
        cmocka_unit_test(a_crash_at_any_landing_changes_nothing),
        cmocka_unit_test(a_lie_in_the_head_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
