/* A log that does not open is given up in the damaged places alone: what stands beside them counts, no offset is given twice. */
#include "log_bench.h"

#include "io/sim.h"
#include "log/local/local.h"

struct named {
    struct log_loss losses[32];
    uint32_t count;
    char last[1024]; /* line */
};

static void keep(void *ctx, const struct log_finding *finding)
{
    struct named *named = ctx;
    snprintf(named->last, sizeof named->last, "%s", finding->line);
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

/* Who names the offsets alone has said enough: the bytes that held them are known, counted, and no finding. */
static void offsets_alone_are_enough(void **state)
{
    struct bench b = bench_new(64u << 10);
    struct named named;
    char path[160];
    (void)state;
    b.options.snapshot_size = 64u << 10;
    b.options.clean_ns = NO_CLEANING_NS;
    b.options.scrub_delay_ns = 3600 * NS_PER_S;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(append(&b, p, "a", 4 * n, 4, 900, NULL), NEAP_OK);
    bench_reopen(&b);
    bench_close(&b);
    assert_true(log_file(&b, "journal", ".npj", 0, path, sizeof path));
    for (uint32_t n = 20; n <= 40; n += 20) {
        char text[16];
        snprintf(text, sizeof text, "a %u ", n + 1);
        long at = place_of(path, text);
        assert_true(at > 0);
        flip(path, at + 20);
    }
    assert_int_equal(look(&b, &named), NEAP_CORRUPT);
    assert_int_equal(named.count, 4);
    struct log_loss loss;
    assert_int_equal(log_loss_parse("t/0@20..23", &loss), NEAP_OK);
    assert_int_equal(log_repair(b.io, &b.options, &loss, 1, false, &b.err), NEAP_OK);
    assert_int_equal(look(&b, &named), NEAP_CORRUPT); /* 40 to 43 are damaged still */
    assert_int_equal(named.count, 2);
    assert_int_equal(log_loss_parse("t/0@40..43", &loss), NEAP_OK);
    assert_int_equal(log_repair(b.io, &b.options, &loss, 1, false, &b.err), NEAP_OK);
    char aside[200];
    assert_true(log_file(&b, "journal", ".lost", 0, path, sizeof path));
    snprintf(aside, sizeof aside, "%s/aside", b.path);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(look(&b, &named), NEAP_OK);
        assert_non_null(strstr(named.last, "2 damaged places: all that was in them was declared lost"));
        bench_open(&b);
        assert_int_equal(check_records(&b, p, "a", 44), 400);
        bench_close(&b);
        if (round == 0) /* the offsets alone were declared, as an earlier version did it */
            assert_int_equal(rename(path, aside), 0);
        if (round == 1) {
            assert_int_equal(rename(aside, path), 0);
            assert_true(log_file(&b, "index", ".npi", 0, path, sizeof path));
            assert_int_equal(unlink(path), 0); /* made anew, around the damage */
        }
    }
    bench_open(&b);
    bench_end(&b);
}

#define ROUNDS 1200u

/* Which offsets of a partition can be read, in order, up to its end or up to damage. */
static enum neap_status read_offsets(struct bench *b, struct log_partition p, bool there[ROUNDS])
{
    struct log_reader *reader;
    struct log_batch batch;
    enum neap_status status;
    memset(there, 0, ROUNDS * sizeof there[0]);
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 4096, &reader, &b->err), NEAP_OK);
    while ((status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK)
        there[batch.base.n] = true;
    log_reader_close(&reader);
    return status;
}

static void put_keyed(struct bench *b, struct log_partition p, uint32_t round, uint32_t keys)
{
    static uint8_t room[4096];
    struct batch_builder builder;
    char key[16], value[600] = "";
    snprintf(key, sizeof key, "key-%u", round % keys);
    struct record record = { .key = bytes_of_text(key), .value = { (uint8_t *)value, sizeof value }, .time_ms = 5 };
    batch_begin(&builder, room, sizeof room);
    must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    struct log_op op = { .kind = LOG_APPEND, .target = p, .count = 1, .payload = batch_end(&builder) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* The oldest archive, once the files that it stands for have been used again; NULL: not yet. */
static const struct archive *oldest(struct bench *b)
{
    struct shared *s = &b->log->shared;
    const struct archive *a = s->views.archives.count > 0 ? s->views.archives.list[0] : NULL;
    for (uint32_t i = 0; i < s->file_count && a != NULL; i++)
        if (s->files[i].sequence <= a->facts.last_sequence)
            return NULL;
    return a;
}

/* A log with a compacted topic of two partitions, and archives of it. */
static struct bench with_archives(struct log_partition *p, bool there[2][ROUNDS])
{
    struct log_topic t;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b = { .path = "data",
                       .options = { .file_size = 16u << 10,
                                    .disk_size = 4u << 20,
                                    .tail_size = 1u << 20,
                                    .snapshot_size = 16u << 10,
                                    .clean_ns = 10 * NS_PER_MS } };
    b.io = sim_open(&(struct sim_options){ .seed = 17 });
    bench_open(&b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    assert_int_equal(log_topic_ensure_with(b.client, "t", 2, &settings, soon(&b), &t, &b.err), NEAP_OK);
    *p = (struct log_partition){ t.id, 0 };
    struct log_partition other = { topic(&b, "other", 1), 0 };
    uint32_t round = 0;
    for (; round < 300 || oldest(&b) == NULL; round++) {
        assert_true(round < ROUNDS);
        put_keyed(&b, *p, round, 200); /* most of the keys are of one part alone */
        put_keyed(&b, (struct log_partition){ t.id, 1 }, round, 7);
        put_keyed(&b, other, round, 7);
        sim_run(b.io, 50 * NS_PER_MS);
    }
    for (uint32_t n = 0; n < 2; n++)
        assert_int_equal(read_offsets(&b, (struct log_partition){ p->topic_id, n }, there[n]), NEAP_AGAIN);
    return b;
}

/* An archive of a compacted topic that is gone: what it alone can have held is named, declared, and passed over. Nobody speaks of it
 * again: neither doctor, nor a start. */
static void a_lost_archive_of_a_compacted_topic_is_given_up(void **state)
{
    static bool before[2][ROUNDS], after[2][ROUNDS];
    struct named named;
    struct log_partition p;
    char path[256];
    uint64_t gone_count = 0, lost_count = 0;
    (void)state;
    struct bench b = with_archives(&p, before);
    b.options.path = b.path; /* it lay elsewhere when it was opened */
    const struct archive *gone = oldest(&b);
    uint64_t gone_number = gone->facts.number;
    assert_int_equal(gone->topic_id, p.topic_id);
    snprintf(path, sizeof path, "%s/archive/%016llx.npa", b.path, (unsigned long long)gone->facts.number);
    bench_close(&b);
    assert_int_equal(look(&b, &named), NEAP_OK);
    assert_int_equal(io_unlink(b.io, path, &b.err), NEAP_OK);

    assert_int_equal(look(&b, &named), NEAP_CORRUPT);
    assert_true(named.count > 0);
    assert_int_equal(log_repair(b.io, &b.options, named.losses, named.count, false, &b.err), NEAP_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(look(&b, &named), NEAP_OK);
        assert_int_equal(named.count, 0);
        assert_non_null(strstr(named.last, " events were declared lost"));
        bench_open(&b);
        assert_null(archives_find(&b.log->shared.views.archives, gone_number));
        for (uint32_t n = 0; n < 2; n++) {
            struct log_partition where = { p.topic_id, n };
            assert_int_equal(read_offsets(&b, where, after[n]), NEAP_AGAIN);
            for (uint32_t i = 0; i < ROUNDS; i++) {
                log_offset first, end;
                bool lost = log_lost_next(b.log, where, (log_offset){ i }, &first, &end) && first.n <= i;
                assert_int_equal(after[n][i], before[n][i] && !lost);
                gone_count += before[n][i] && lost;
                lost_count += lost;
            }
        }
        bench_close(&b);
    }
    assert_true(gone_count > 0 && lost_count >= gone_count);
    bench_open(&b);
    put_keyed(&b, p, 0, 200);
    bench_close(&b);
    sim_close(&b.io);
}

/* The same of a topic that is not compacted, and of one archive among several: the others stay what they were. */
static void a_lost_archive_is_forgotten(void **state)
{
    struct named named;
    char path[256];
    struct bench b = { .path = "data",
                       .options = { .file_size = 64u << 10,
                                    .disk_size = 64u << 20,
                                    .tail_size = 64u << 10,
                                    .snapshot_size = 64u << 10,
                                    .clean_ns = 10 * NS_PER_MS } };
    (void)state;
    b.io = sim_open(&(struct sim_options){ .seed = 18 });
    b.options.path = b.path;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 }, other = { topic(&b, "other", 1), 0 };
    uint64_t appended = 0;
    for (; appended < 120; appended++)
        assert_int_equal(append(&b, p, "v", appended, 1, 300, NULL), NEAP_OK); /* most of each page is padding */
    for (uint64_t i = 0; i < 200; i++) /* files that are alive: the archives on both sides stay two */
        assert_int_equal(append(&b, other, "o", i, 1, 3000, NULL), NEAP_OK);
    for (; appended < 240; appended++)
        assert_int_equal(append(&b, p, "v", appended, 1, 300, NULL), NEAP_OK);
    for (uint64_t i = 200; i < 400; i++)
        assert_int_equal(append(&b, other, "o", i, 1, 3000, NULL), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    const struct archive *gone = oldest(&b);
    assert_true(gone != NULL && b.log->shared.views.archives.count > 1);
    uint64_t gone_number = gone->facts.number;
    snprintf(path, sizeof path, "%s/archive/%016llx.npa", b.path, (unsigned long long)gone_number);
    bench_close(&b);
    assert_int_equal(io_unlink(b.io, path, &b.err), NEAP_OK);

    assert_int_equal(look(&b, &named), NEAP_CORRUPT);
    assert_int_equal(named.count, 1);
    uint64_t end = named.losses[0].end.n;
    assert_int_equal(named.losses[0].first.n, 0);
    assert_int_equal(log_repair(b.io, &b.options, named.losses, named.count, false, &b.err), NEAP_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(look(&b, &named), NEAP_OK);
        assert_non_null(strstr(named.last, " events were declared lost"));
        bench_open(&b);
        const struct archives *all = &b.log->shared.views.archives;
        assert_true(archives_find(all, gone_number) == NULL && all->count > 0);
        for (uint32_t i = 0; i < all->count; i++)
            assert_false(all->list[i]->bad);
        assert_int_equal(check_records(&b, p, "v", end), 240);
        sim_run(b.io, NS_PER_S);
        bench_close(&b);
    }
    sim_close(&b.io);
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
        cmocka_unit_test(offsets_alone_are_enough),
        cmocka_unit_test(a_lost_archive_of_a_compacted_topic_is_given_up),
        cmocka_unit_test(a_lost_archive_is_forgotten),
        cmocka_unit_test(what_is_sound_is_not_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
