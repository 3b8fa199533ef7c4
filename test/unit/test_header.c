/* A damaged header or a missing journal file costs what was in it and nothing else, and doctor's own command settles it. */
#include "log_bench.h"

struct named {
    struct log_loss losses[64];
    uint32_t count, damage;
    char lines[8192];
};

static void keep(void *ctx, const struct log_finding *finding)
{
    struct named *named = ctx;
    size_t used = strlen(named->lines);
    named->damage += finding->damage;
    snprintf(named->lines + used, sizeof named->lines - used, "%s\n", finding->line);
    if (named->count < 64 && log_loss_of(finding, &named->losses[named->count]))
        named->count++;
}

static enum neap_status look(struct bench *b, struct named *named)
{
    *named = (struct named){ .count = 0 };
    return log_doctor(b->io, b->path, &(struct log_doctor){ .finding = keep, .ctx = named }, &b->err);
}

#define FILE_SIZE (64u << 10)

/* Some 13 files of 64 KiB, 400 records of one partition; stopped. `snapshots`: the first files lie before the older of two. */
static struct bench filled(bool snapshots, struct log_partition *ret)
{
    struct bench b = bench_new(FILE_SIZE);
    b.options.snapshot_size = snapshots ? 2 * FILE_SIZE : 1u << 30;
    b.options.scrub_delay_ns = 3600 * NS_PER_S;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t n = 0; n < 200; n++)
        assert_int_equal(append(&b, p, "a", 4 * n, 4, 900, NULL), NEAP_OK);
    bench_reopen(&b);
    bench_close(&b);
    *ret = p;
    return b;
}

static void file_at(struct bench *b, int index, char path[160])
{
    assert_true(log_file(b, "journal", ".npj", index, path, 160));
}

static void all_is_there(struct bench *b, struct log_partition p)
{
    struct named named;
    bench_open(b);
    assert_int_equal(check_records(b, p, "a", 0), 800);
    bench_close(b);
    enum neap_status status = look(b, &named);
    if (status != NEAP_OK)
        print_error("%s", named.lines);
    assert_int_equal(status, NEAP_OK);
}

static void damage_in_a_ready_file_costs_nothing(void **state)
{
    struct log_partition p;
    struct named named;
    char path[160];
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        struct bench b = filled(kind % 2 == 0, &p);
        file_at(&b, kind == 4 ? -2 : -1, path);
        switch (kind) {
        case 0:
        case 1:
            flip(path, 33);
            break;
        case 2:
            assert_int_equal(truncate(path, 100), 0);
            break;
        case 3:
            assert_int_equal(truncate(path, FILE_SIZE / 2), 0);
            break;
        default: /* the last but one is missing; the last */
            assert_int_equal(unlink(path), 0);
        }
        enum neap_status found = look(&b, &named);
        assert_int_equal(found, kind < 4 ? NEAP_CORRUPT : NEAP_OK);
        assert_int_equal(named.count, 0); /* nothing is lost */
        all_is_there(&b, p);
        bench_open(&b);
        for (uint64_t n = 200; n < 300; n++)
            assert_int_equal(append(&b, p, "a", 4 * n, 4, 900, NULL), NEAP_OK);
        assert_int_equal(check_records(&b, p, "a", 0), 1200);
        bench_end(&b);
    }
}

static void a_header_is_told_by_what_stands_around_it(void **state)
{
    struct log_partition p;
    struct named named;
    char path[160], index[160];
    (void)state;
    for (int at = 0; at < 12; at++)
        for (int snapshots = 0; snapshots < 2; snapshots++) {
            struct bench b = filled(snapshots != 0, &p);
            file_at(&b, at, path);
            flip(path, 24 + at * 3);
            if (at % 3 == 1 && log_file(&b, "index", ".npi", at, index, sizeof index))
                assert_int_equal(unlink(index), 0); /* the first entry is enough */
            if (at % 3 == 2 && log_file(&b, "index", ".npi", at, index, sizeof index)) {
                file_at(&b, at + 1, index);
                flip(index, 40); /* two beside each other */
            }
            assert_int_equal(look(&b, &named), NEAP_CORRUPT);
            if (named.count != 0)
                print_error("%d %d: %s", at, snapshots, named.lines);
            assert_int_equal(named.count, 0);
            all_is_there(&b, p);
            bench_open(&b);
            bench_end(&b);
        }
}

static void give_up_what_is_named(struct bench *b, struct log_partition p, int at, int snapshots)
{
    struct named named;
    b->options.path = b->path;
    assert_int_equal(look(b, &named), NEAP_CORRUPT);
    if (named.count < 1)
        print_error("%d %d: %s", at, snapshots, named.lines);
    assert_true(named.count >= 1);
    for (uint32_t i = 0; i < named.count; i++) { /* as they are printed */
        char text[LOG_LOSS_TEXT_SIZE];
        log_loss_text(&named.losses[i], text);
        assert_int_equal(log_loss_parse(text, &named.losses[i]), NEAP_OK);
    }
    enum neap_status status = log_repair(b->io, &b->options, named.losses, named.count, false, &b->err);
    if (status != NEAP_OK)
        print_error("%d %d: %s: %s", at, snapshots, b->err.text, named.lines);
    assert_int_equal(status, NEAP_OK);
    status = look(b, &named);
    if (status != NEAP_OK)
        print_error("%d %d: %s", at, snapshots, named.lines);
    assert_int_equal(status, NEAP_OK);
    bench_open(b);
    log_offset first = { 0 }, end = { 0 };
    assert_true(log_lost_next(b->log, p, (log_offset){ 0 }, &first, &end));
    assert_true(end.n - first.n > 20 && end.n - first.n <= 64 && first.n % 4 == 0 && end.n % 4 == 0);
    assert_int_equal(check_records(b, p, "a", end.n), 800);
    log_offset more_first, more_end;
    assert_false(log_lost_next(b->log, p, end, &more_first, &more_end));
    bench_reopen(b);
    assert_int_equal(append(b, p, "a", 800, 4, 900, NULL), NEAP_OK);
    assert_int_equal(check_records(b, p, "a", end.n), 804);
}

static void a_file_that_is_gone_can_be_given_up(void **state)
{
    struct log_partition p;
    char path[160];
    (void)state;
    for (int at = 1; at < 12; at += 2)
        for (int snapshots = 0; snapshots < 2; snapshots++) {
            struct bench b = filled(snapshots != 0, &p);
            file_at(&b, at, path);
            assert_int_equal(unlink(path), 0);
            give_up_what_is_named(&b, p, at, snapshots);
            bench_end(&b);
        }
}

static void a_file_of_which_nothing_is_told_can_be_given_up(void **state)
{
    struct log_partition p;
    char path[160], index[160];
    (void)state;
    for (int at = 1; at < 12; at += 3)
        for (int snapshots = 0; snapshots < 2; snapshots++) {
            struct bench b = filled(snapshots != 0, &p);
            file_at(&b, at, path);
            flip(path, 30);
            flip(path, 4096 + 10); /* the first entry, too */
            if (log_file(&b, "index", ".npi", at, index, sizeof index))
                assert_int_equal(unlink(index), 0);
            give_up_what_is_named(&b, p, at, snapshots);
            bench_end(&b);
        }
}

static void spoil_snapshots(struct bench *b)
{
    char path[160];
    for (int i = 0; log_file(b, "snapshot", ".nps", i, path, sizeof path); i++)
        flip(path, 100);
}

static void without_a_snapshot_the_whole_journal_serves(void **state)
{
    struct log_partition p;
    struct named named;
    char path[160];
    (void)state;
    struct bench b = filled(true, &p);
    assert_true(log_file(&b, "snapshot", ".nps", 0, path, sizeof path));
    spoil_snapshots(&b);
    assert_int_equal(look(&b, &named), NEAP_CORRUPT);
    all_is_there(&b, p);
    assert_true(log_file(&b, "snapshot", ".bad", 1, path, sizeof path));
    bench_open(&b);
    bench_end(&b);
}

static void a_log_that_cannot_open_is_not_called_sound(void **state)
{
    struct log_partition p;
    struct named named;
    char path[160];
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct bench b = filled(true, &p);
        file_at(&b, 0, path);
        assert_int_equal(unlink(path), 0); /* as if it had been used again */
        spoil_snapshots(&b);
        while (gone != 0 && log_file(&b, "snapshot", ".nps", 0, path, sizeof path))
            assert_int_equal(unlink(path), 0);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(bench_try_open(&b), NEAP_CORRUPT);
            assert_non_null(strstr(b.err.text, "no snapshot"));
            log_close(&b.log);
            assert_false(log_file(&b, "snapshot", ".bad", 0, path, sizeof path)); /* nothing was changed */
            assert_int_equal(look(&b, &named), NEAP_CORRUPT);
            assert_non_null(strstr(named.lines, "no snapshot can be read"));
        }
        char command[128];
        io_real_close(&b.io);
        snprintf(command, sizeof command, "rm -rf '%s'", b.path);
        must(system(command) == 0);
    }
}

/* Twelve of a kept topic's records in each file, the rest of it trimmed away: what is left goes into archives. */
static void an_archive_that_was_given_up_is_no_damage_any_more(void **state)
{
    struct named named;
    char path[160];
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct bench b = bench_new(FILE_SIZE);
        b.options.snapshot_size = 2 * FILE_SIZE;
        b.options.scrub_delay_ns = 3600 * NS_PER_S;
        b.options.clean_ns = NS_PER_MS;
        bench_open(&b);
        struct log_partition p = { topic(&b, "t", 1), 0 }, bulk = { topic(&b, "bulk", 1), 0 };
        struct log_figures f;
        uint64_t n = 0;
        do {
            for (int i = 0; i < 15; i++)
                assert_int_equal(append(&b, bulk, "b", 0, 4, 900, NULL), NEAP_OK);
            assert_int_equal(append(&b, p, "a", 4 * n, 4, 900, NULL), NEAP_OK);
            n++;
            log_offset end;
            assert_int_equal(log_partition_end(b.log, bulk, &end), NEAP_OK);
            struct log_op op = { .kind = LOG_TRIM, .target = bulk, .offset = end };
            struct log_unit unit = { .ops = &op, .count = 1 };
            assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
            usleep(2000);
            log_figures(b.log, &f);
        } while (f.archive_count < 2 && n < 2000);
        assert_true(f.archive_count >= 2);
        for (int i = 0; i < 150; i++) { /* until the files that they stand for have been used again */
            log_offset end;
            assert_int_equal(append(&b, bulk, "b", 0, 4, 900, NULL), NEAP_OK);
            assert_int_equal(log_partition_end(b.log, bulk, &end), NEAP_OK);
            struct log_op op = { .kind = LOG_TRIM, .target = bulk, .offset = end };
            struct log_unit unit = { .ops = &op, .count = 1 };
            assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
            usleep(3000);
        }
        b.options.clean_ns = 3600 * NS_PER_S;
        bench_reopen(&b);
        bench_close(&b);
        for (int i = 0; log_file(&b, "archive", ".npa", i, path, sizeof path); i++) {
            if (kind == 0)
                assert_int_equal(unlink(path), 0), i--;
            else
                flip(path, kind == 1 ? 20 : 1500); /* its header; a batch */
        }
        b.options.path = b.path;
        assert_int_equal(look(&b, &named), NEAP_CORRUPT);
        assert_true(named.count > 0);
        assert_int_equal(log_repair(b.io, &b.options, named.losses, named.count, false, &b.err), NEAP_OK);
        for (int round = 0; round < 2; round++) {
            enum neap_status status = look(&b, &named);
            if (status != NEAP_OK)
                print_error("%d: %s", kind, named.lines);
            assert_int_equal(status, NEAP_OK);
            bench_open(&b);
            bench_close(&b);
        }
        bench_open(&b);
        bench_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_in_a_ready_file_costs_nothing),
        cmocka_unit_test(a_header_is_told_by_what_stands_around_it),
        cmocka_unit_test(a_file_that_is_gone_can_be_given_up),
        cmocka_unit_test(a_file_of_which_nothing_is_told_can_be_given_up),
        cmocka_unit_test(without_a_snapshot_the_whole_journal_serves),
        cmocka_unit_test(a_log_that_cannot_open_is_not_called_sound),
        cmocka_unit_test(an_archive_that_was_given_up_is_no_damage_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
