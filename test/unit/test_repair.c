/* A log that does not open is given up in the damaged places alone: what stands beside them counts, no offset is given twice. */
#include "log_bench.h"

struct named {
    struct log_loss losses[32];
    uint32_t count;
};

static void keep(void *ctx, const struct log_finding *finding)
{
    struct named *named = ctx;
    if (named->count < 32 && log_loss_of(finding, &named->losses[named->count]))
        named->count++;
}

static enum neap_status look(struct bench *b, struct named *named)
{
    named->count = 0;
    return log_doctor(b->io, b->path, &(struct log_doctor){ .finding = keep, .ctx = named }, &b->err);
}

/* An append, a fact and a commit point: one entry. */
static void append_with_fact(struct bench *b, struct log_partition p, uint64_t n)
{
    static uint8_t room[1 << 16];
    uint8_t value[8];
    put_le64(value, n);
    struct log_op ops[3] = { { .kind = LOG_APPEND, .target = p, .count = 4 },
                             { .kind = LOG_FACT, .view = LOG_VIEW_LEDGER, .target = p, .name = BYTES("fact") },
                             { .kind = LOG_OFFSET, .target = p, .name = BYTES("group"), .offset = { n } } };
    ops[0].payload = make_batch(room, sizeof room, "a", 4 * n, 4, 100);
    ops[1].payload = (struct bytes){ value, sizeof value };
    struct log_unit unit = { .ops = ops, .count = 3 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static void check_fact(struct bench *b, struct log_partition p, uint64_t n)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct bytes value;
    struct log_commit commit;
    assert_int_equal(log_fact_get(b->log, LOG_VIEW_LEDGER, p, BYTES("fact"), room, &value), NEAP_OK);
    assert_int_equal(get_le64(value.at), n);
    assert_int_equal(log_offset_get(b->log, "group", p, NULL, &commit), NEAP_OK);
    assert_int_equal(commit.offset.n, n);
}

static long place_of(const char *path, const char *text)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    must(f != NULL);
    size_t got = fread(bytes, 1, sizeof bytes, f), size = strlen(text);
    fclose(f);
    for (size_t i = 0; i + size <= got; i++)
        if (memcmp(bytes + i, text, size) == 0)
            return (long)i;
    return -1;
}

static void what_stands_beside_the_damage_counts(void **state)
{
    struct bench b = bench_new(1 << 20);
    struct named named;
    char path[160];
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t n = 0; n < 6; n++)
        append_with_fact(&b, p, n);
    bench_reopen(&b); /* the first entry of a boot says that all before it was synced */
    bench_close(&b);
    assert_true(log_file(&b, "journal", ".npj", 0, path, sizeof path));
    long at = place_of(path, "a 21 "); /* in the last of them */
    assert_true(at > 0);
    flip(path, at + 20);
    assert_int_equal(bench_try_open(&b), NEAP_CORRUPT);
    log_close(&b.log);

    assert_int_equal(look(&b, &named), NEAP_CORRUPT);
    assert_int_equal(named.count, 2); /* bytes of the file, and offsets 20 to 23 */
    assert_int_equal(log_repair(b.io, &b.options, named.losses, 1, false, &b.err), NEAP_MISUSE);
    assert_int_equal(log_repair(b.io, &b.options, named.losses, 2, true, &b.err), NEAP_OK);
    assert_int_equal(bench_try_open(&b), NEAP_CORRUPT); /* it only looked */
    log_close(&b.log);
    assert_int_equal(log_repair(b.io, &b.options, named.losses, 2, false, &b.err), NEAP_OK);

    for (int round = 0; round < 2; round++) {
        bench_open(&b);
        check_fact(&b, p, 5); /* of the damaged entry itself */
        log_offset first, end;
        assert_true(log_lost_next(b.log, p, (log_offset){ 0 }, &first, &end));
        assert_int_equal(first.n, 20);
        assert_int_equal(end.n, 24);
        uint64_t offset = 0;
        assert_int_equal(append(&b, p, "a", 24 + (uint64_t)round, 1, 100, &offset), NEAP_OK);
        assert_int_equal(offset, 24 + (uint64_t)round); /* none is given twice */
        bench_close(&b);
    }
    assert_int_equal(look(&b, &named), NEAP_OK);
    bench_open(&b);
    bench_end(&b);
}

/* Damage that no start has to read: the offsets are lost by an operation, and the bytes are nobody's concern any more. */
static void what_was_given_up_is_no_damage_any_more(void **state)
{
    struct bench b = bench_new(64u << 10);
    struct named named;
    char path[160];
    (void)state;
    b.options.snapshot_size = 64u << 10;
    b.options.scrub_delay_ns = 3600 * NS_PER_S;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(append(&b, p, "a", 4 * n, 4, 900, NULL), NEAP_OK);
    bench_reopen(&b);
    bench_close(&b);
    assert_true(log_file(&b, "journal", ".npj", 0, path, sizeof path));
    long at = place_of(path, "a 21 ");
    assert_true(at > 0);
    flip(path, at + 20);
    assert_int_equal(look(&b, &named), NEAP_CORRUPT);
    assert_int_equal(named.count, 2); /* bytes of the file, and offsets 20 to 23 */
    bench_open(&b);
    bench_close(&b);
    assert_int_equal(log_repair(b.io, &b.options, named.losses, 2, false, &b.err), NEAP_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(look(&b, &named), NEAP_OK);
        bench_open(&b);
        assert_int_equal(check_records(&b, p, "a", 24), 400);
        bench_close(&b);
        assert_true(log_file(&b, "index", ".npi", 0, path, sizeof path));
        assert_int_equal(unlink(path), 0); /* made anew, around the damage */
    }
    bench_open(&b);
    bench_end(&b);
}

static void what_is_sound_is_not_given_up(void **state)
{
    struct bench b = bench_new(1 << 20);
    struct log_loss loss;
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    append_with_fact(&b, p, 0);
    bench_close(&b);
    assert_int_equal(log_loss_parse("t/0@1..2", &loss), NEAP_OK);
    assert_int_equal(log_repair(b.io, &b.options, &loss, 1, false, &b.err), NEAP_MISUSE);
    assert_int_equal(log_loss_parse("t/0", &loss), NEAP_BADINPUT);
    assert_int_equal(log_loss_parse("t/0@3..2", &loss), NEAP_BADINPUT);
    assert_int_equal(log_loss_parse("journal/0000000000000001.npj@4096..4159", &loss), NEAP_OK);
    assert_int_equal(loss.file, 1);
    assert_int_equal(log_repair(b.io, &b.options, &loss, 1, false, &b.err), NEAP_MISUSE);
    bench_open(&b);
    assert_int_equal(check_records(&b, p, "a", 0), 4);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_beside_the_damage_counts),
        cmocka_unit_test(what_was_given_up_is_no_damage_any_more),
        cmocka_unit_test(what_is_sound_is_not_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
