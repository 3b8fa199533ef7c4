/* What the log has acknowledged is there, once, in order, after every kind of reopening; damage is named, never served. */
#include "log_bench.h"

#include "io/sim.h"

#define FILE_SIZE (64u << 10)

static void appended_is_read_back(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "orders", 3);
    uint64_t next[3] = { 0 }, seed = 1;
    for (int i = 0; i < 600; i++) { /* some ten files */
        uint32_t p = (uint32_t)chance_below(&seed, 3), count = 1 + (uint32_t)chance_below(&seed, 8);
        uint64_t offset;
        assert_int_equal(append(&b, (struct log_partition){ id, p }, "v", next[p], count, 50 + chance_below(&seed, 300),
                                &offset),
                         NEAP_OK);
        assert_int_equal(offset, next[p]);
        next[p] += count;
        if (i % 150 == 149)
            bench_reopen(&b);
    }
    for (uint32_t p = 0; p < 3; p++) {
        assert_int_equal(check_records(&b, (struct log_partition){ id, p }, "v", 0), next[p]);
        for (int i = 0; i < 20; i++) /* from anywhere */
            assert_int_equal(check_records(&b, (struct log_partition){ id, p }, "v", chance_below(&seed, next[p])),
                             next[p]);
    }
    bench_end(&b);
}

static void a_unit_is_one(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    static uint8_t room[4096], commit_room[LOG_VALUE_SIZE_MAX], fact_room[LOG_VALUE_SIZE_MAX];
    (void)state;
    bench_open(&b);
    struct log_partition source = { topic(&b, "in", 1), 0 }, out = { topic(&b, "out", 1), 0 };
    struct log_op ops[3] = {
        { .kind = LOG_APPEND, .target = out, .count = 2, .payload = make_batch(room, sizeof room, "v", 0, 2, 20) },
        { .kind = LOG_OFFSET, .target = source, .offset = { 7 }, .name = BYTES("group"), .payload = BYTES("set") },
        { .kind = LOG_FACT, .view = LOG_VIEW_FATE, .target = source, .name = BYTES("key"), .payload = BYTES("value") },
    };
    struct log_unit unit = { .ops = ops, .count = 3 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    for (int i = 0; i < 2; i++) {
        struct log_commit commit;
        struct bytes value;
        assert_int_equal(log_offset_get(b.log, "group", source, commit_room, &commit), NEAP_OK);
        assert_int_equal(commit.offset.n, 7);
        assert_true(bytes_equal(commit.done_set, BYTES("set")));
        assert_int_equal(log_fact_get(b.log, LOG_VIEW_FATE, source, BYTES("key"), fact_room, &value), NEAP_OK);
        assert_true(bytes_equal(value, BYTES("value")));
        assert_int_equal(check_records(&b, out, "v", 0), 2);
        bench_reopen(&b);
    }
    /* A topic that is gone takes the whole unit with it. */
    struct log_op gone = { .kind = LOG_TOPIC_DELETE, .target = source };
    struct log_unit deletion = { .ops = &gone, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &deletion, soon(&b)), NEAP_OK);
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_REFUSED);
    assert_int_equal(check_records(&b, out, "v", 0), 2);
    struct log_commit commit;
    assert_int_equal(log_offset_get(b.log, "group", source, NULL, &commit), NEAP_NOTFOUND);
    bench_end(&b);
}

static void bad_units_are_refused(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    static uint8_t room[4096], huge[LOG_VALUE_SIZE_MAX + 1];
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    struct bytes batch = make_batch(room, sizeof room, "v", 0, 2, 20);
    struct log_op bad[] = {
        { .kind = LOG_APPEND, .target = p, .count = 3, .payload = batch },
        { .kind = LOG_APPEND, .target = p, .count = 2, .payload = { batch.at, batch.size - 1 } },
        { .kind = LOG_APPEND, .target = p, .count = 2, .payload = { batch.at, batch.size + 1 } },
        { .kind = LOG_APPEND, .target = { p.topic_id, 1 }, .count = 2, .payload = batch },
        { .kind = LOG_APPEND, .target = { 99, 0 }, .count = 2, .payload = batch },
        { .kind = LOG_FACT, .target = p, .name = BYTES("k"), .payload = { huge, sizeof huge } },
        { .kind = LOG_OFFSET, .target = p, .name = BYTES("") },
        { .kind = LOG_TOPIC_CREATE, .name = BYTES("a/b"), .count = 1 },
        { .kind = LOG_TOPIC_CREATE, .name = BYTES(".."), .count = 1 },
        { .kind = LOG_TOPIC_CREATE, .name = BYTES("t"), .count = 1 },
        { .kind = LOG_TOPIC_CREATE, .name = BYTES("many"), .count = 10001 },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct log_unit unit = { .ops = &bad[i], .count = 1 };
        assert_int_not_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    }
    assert_int_equal(append(&b, p, "v", 0, 1, 30, NULL), NEAP_OK); /* nothing was half done */
    assert_int_equal(check_records(&b, p, "v", 0), 1);
    bench_end(&b);
}

/* Each fills most of a page: no file is half empty, so none is drained under the test. */
static void fill(struct bench *b, struct log_partition p, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        assert_int_equal(append(b, p, "v", i, 1, 3600, NULL), NEAP_OK);
}

static void what_is_derived_is_made_anew(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    char path[256];
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 2), 0 }, q = { p.topic_id, 1 };
    fill(&b, q, 0, 3); /* only in the first file */
    fill(&b, p, 0, 400);
    bench_close(&b);
    while (log_file(&b, "index", ".npi", 0, path, sizeof path))
        must(unlink(path) == 0);
    bench_open(&b);
    assert_int_equal(check_records(&b, p, "v", 0), 400);
    assert_int_equal(check_records(&b, q, "v", 0), 3);
    bench_close(&b);
    must(log_file(&b, "index", ".npi", 1, path, sizeof path));
    flip(path, 3);
    must(log_file(&b, "snapshot", ".nps", -1, path, sizeof path));
    flip(path, 100);
    bench_open(&b); /* the older snapshot serves */
    assert_int_equal(check_records(&b, p, "v", 0), 400);
    assert_int_equal(check_records(&b, q, "v", 0), 3);
    fill(&b, p, 400, 500);
    bench_reopen(&b);
    assert_int_equal(check_records(&b, p, "v", 0), 500);
    bench_end(&b);
}

/* The byte where entries end in the newest file that has any. */
static long end_of_entries(const char *path)
{
    static uint8_t bytes[FILE_SIZE];
    FILE *f = fopen(path, "rb");
    must(f != NULL && fread(bytes, 1, sizeof bytes, f) == sizeof bytes && fclose(f) == 0);
    long at = 4096;
    while (at + 64 <= (long)sizeof bytes && memcmp(bytes + at, "NPE1", 4) == 0)
        at += (long)get_le32(bytes + at + 48);
    return at;
}

static void newest_file(struct bench *b, char *path, size_t size)
{
    for (int i = -1; log_file(b, "journal", ".npj", i, path, size); i--)
        if (end_of_entries(path) > 4096)
            return;
    must(false);
}

static void a_torn_tail_is_cut_and_does_not_come_back(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    char path[256];
    (void)state;
    b.options.idle_mark_ns = 3600 * NS_PER_S; /* no mark after the last entry */
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    fill(&b, p, 0, 20);
    bench_close(&b);
    newest_file(&b, path, sizeof path);
    flip(path, end_of_entries(path) - 4096 + 300); /* inside the last entry, that no mark vouches for */
    bench_open(&b);
    assert_int_equal(check_records(&b, p, "v", 0), 19);
    fill(&b, p, 19, 25);
    bench_reopen(&b);
    assert_int_equal(check_records(&b, p, "v", 0), 25);
    bench_end(&b);
}

static void damage_is_named_and_every_byte_kept(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    char path[256];
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    fill(&b, p, 0, 20);
    bench_close(&b);
    newest_file(&b, path, sizeof path);
    long at = end_of_entries(path) - 5 * 4096 + 300;
    flip(path, at);
    assert_int_equal(bench_try_open(&b), NEAP_CORRUPT);
    assert_non_null(strstr(b.err.text, path));
    assert_non_null(strstr(b.err.text, "position"));
    flip(path, at); /* and back: nothing else was touched */
    bench_open(&b);
    assert_int_equal(check_records(&b, p, "v", 0), 20);
    bench_end(&b);
}

struct findings {
    int damage, lines;
};

static void count_finding(void *ctx, const struct log_finding *finding)
{
    struct findings *f = ctx;
    f->damage += finding->damage;
    f->lines++;
    assert_true(strlen(finding->line) > 0);
}

static enum neap_status examine(struct bench *b, struct findings *f)
{
    *f = (struct findings){ 0 };
    return log_doctor(b->io, b->path, &(struct log_doctor){ .finding = count_finding, .ctx = f }, &b->err);
}

static void cold_damage_stops_that_partition_alone(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    char path[256];
    struct findings findings;
    (void)state;
    b.options.clean_ns = NO_CLEANING_NS;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 2), 0 }, q = { p.topic_id, 1 };
    fill(&b, p, 0, 30);
    fill(&b, q, 0, 400); /* many files */
    bench_close(&b);
    assert_int_equal(examine(&b, &findings), NEAP_OK);
    assert_int_equal(findings.damage, 0);
    must(log_file(&b, "journal", ".npj", 0, path, sizeof path));
    flip(path, 4 * 4096 + 300); /* a sealed file that the snapshot has passed */
    assert_int_equal(examine(&b, &findings), NEAP_CORRUPT);
    assert_true(findings.damage > 0);
    bench_open(&b);
    assert_int_equal(check_records(&b, q, "v", 0), 400);
    struct log_reader *reader;
    struct log_batch batch;
    enum neap_status status;
    assert_int_equal(log_reader_open(b.log, p, (log_offset){ 0 }, 4096, &reader, &b.err), NEAP_OK);
    while ((status = log_reader_next(reader, &batch, &b.err)) == NEAP_OK)
        ;
    assert_int_equal(status, NEAP_CORRUPT);
    assert_int_equal(log_reader_next(reader, &batch, &b.err), NEAP_CORRUPT); /* and stays so */
    log_reader_close(&reader);
    bench_end(&b);
}

/* A batch is where its operation's header says, and what follows it is asked for by offset: an index that lies is found out. */
static void a_wrong_index_skips_nothing(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    char path[256];
    (void)state;
    b.options.clean_ns = NO_CLEANING_NS;
    b.options.page_cache_size = 1; /* every byte is read when it is wanted, so that each flip is met */
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    fill(&b, p, 0, 200); /* many files */
    bench_reopen(&b);
    must(log_file(&b, "index", ".npi", 0, path, sizeof path));
    uint32_t damaged = 0;
    for (long at = 72; at < 72 + 24 + 5 * 24; at++) { /* the row and the first entries */
        flip(path, at);
        struct log_reader *reader;
        struct log_batch batch;
        uint64_t next = 0;
        enum neap_status status;
        assert_int_equal(log_reader_open(b.log, p, (log_offset){ 0 }, 4096, &reader, &b.err), NEAP_OK);
        while ((status = log_reader_next(reader, &batch, &b.err)) == NEAP_OK) {
            assert_int_equal(batch.base.n, next);
            next += batch.count;
        }
        assert_true(status == NEAP_CORRUPT || (status == NEAP_AGAIN && next == 200));
        damaged += status == NEAP_CORRUPT;
        log_reader_close(&reader);
        flip(path, at);
    }
    assert_true(damaged > 0);
    bench_end(&b);
}

static void dead_files_are_used_again(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    struct log_figures figures;
    (void)state;
    b.options.disk_size = 24 * FILE_SIZE;
    b.options.snapshot_size = FILE_SIZE;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 };
    for (int round = 0; round < 12; round++) { /* each fills a third of the disk */
        char name[32];
        snprintf(name, sizeof name, "t%d", round);
        struct log_partition p = { topic(&b, name, 1), 0 };
        fill(&b, p, 0, 110);
        struct log_op gone = { .kind = LOG_TOPIC_DELETE, .target = p };
        struct log_unit unit = { .ops = &gone, .count = 1 };
        assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
        if (round == 5)
            bench_reopen(&b);
    }
    log_figures(b.log, &figures);
    assert_true(figures.disk_used_size <= 24 * FILE_SIZE);
    assert_int_equal(check_records(&b, keep, "v", 0), 0);
    bench_end(&b);
}

static void a_full_disk_refuses_and_goes_on(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    b.options.disk_size = 8 * FILE_SIZE;
    b.options.snapshot_size = FILE_SIZE;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    uint64_t count = 0;
    enum neap_status status;
    while ((status = append(&b, p, "v", count, 1, 900, NULL)) == NEAP_OK)
        count++;
    assert_int_equal(status, NEAP_FULL);
    assert_true(count > 50);
    assert_int_equal(check_records(&b, p, "v", 0), count); /* reading goes on */
    bench_reopen(&b);
    assert_int_equal(check_records(&b, p, "v", 0), count);
    bench_end(&b);
}

/* Nine tenths of what is free, said of a disk that the log itself has half filled. */
static void a_log_does_not_shrink_when_it_is_opened_again(void **state)
{
    static uint8_t room[256 << 10];
    struct bench b = { .path = "data", .options = { .file_size = 1u << 20, .tail_size = 1u << 20 } };
    (void)state;
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    b.io = sim_open(&(struct sim_options){ .seed = 1, .disk = disk });
    must(b.io != NULL);
    sim_disk_size_set(disk, 64u << 20);
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t i = 0; i < 200; i++) {
        if (i == 180)
            bench_reopen(&b);
        struct log_op op = { .kind = LOG_APPEND,
                             .target = p,
                             .count = 60,
                             .payload = make_batch(room, sizeof room, "v", 60 * i, 60, 3500) };
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    }
    bench_close(&b);
    sim_close(&b.io);
    sim_disk_free(&disk);
}

static void one_process_holds_a_directory(void **state)
{
    struct bench b = bench_new(FILE_SIZE), other;
    (void)state;
    bench_open(&b);
    other = b;
    other.log = NULL;
    assert_int_equal(bench_try_open(&other), NEAP_HELD);
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(other.err.text, pid));
    bench_end(&b);
}

/* Many units on their way, from a thread that does not wait for each. */
struct burst {
    struct bench *b;
    struct log_client *client;
    struct io_agent agent;
    struct log_partition p;
    struct {
        struct log_unit unit;
        struct log_op op;
        uint8_t room[256];
        bool busy;
    } slots[64];
    uint64_t submitted, done, next_offset;
};

static void burst_done(struct log_unit *unit, enum neap_status status)
{
    struct burst *burst = unit->ctx;
    assert_int_equal(status, NEAP_OK);
    assert_int_equal(unit->ops[0].offset.n, burst->next_offset++); /* in the order they were submitted */
    burst->done++;
    for (size_t i = 0; i < COUNT_OF(burst->slots); i++)
        if (&burst->slots[i].unit == unit)
            burst->slots[i].busy = false;
}

static uint32_t burst_work(void *ctx, mono_time now)
{
    struct burst *burst = ctx;
    uint32_t work = log_client_work(burst->client);
    (void)now;
    for (size_t i = 0; i < COUNT_OF(burst->slots) && burst->submitted < 20000; i++) {
        if (burst->slots[i].busy)
            continue;
        burst->slots[i].op = (struct log_op){ .kind = LOG_APPEND, .target = burst->p, .count = 1 };
        burst->slots[i].op.payload =
            make_batch(burst->slots[i].room, sizeof burst->slots[i].room, "v", burst->submitted, 1, 60);
        burst->slots[i].unit =
            (struct log_unit){ .ops = &burst->slots[i].op, .count = 1, .done = burst_done, .ctx = burst };
        enum neap_status status = log_submit(burst->client, &burst->slots[i].unit);
        if (status == NEAP_AGAIN)
            break;
        assert_int_equal(status, NEAP_OK);
        burst->slots[i].busy = true;
        burst->submitted++;
        work++;
    }
    if (burst->done == 20000)
        io_agent_leave(&burst->agent);
    return work;
}

static void a_burst_keeps_its_order(void **state)
{
    struct bench b = bench_new(4 * FILE_SIZE);
    static struct burst burst;
    (void)state;
    bench_open(&b);
    burst = (struct burst){ .b = &b, .p = { topic(&b, "t", 1), 0 } };
    burst.agent = (struct io_agent){ .name = "burst", .work = burst_work, .ctx = &burst };
    assert_int_equal(log_client_open(b.log,
                                     &(struct log_client_options){ .inflight_count_max = 50, .agent = &burst.agent },
                                     &burst.client, &b.err),
                     NEAP_OK);
    assert_int_equal(io_agent_run(b.io, &burst.agent, soon(&b), &b.err), NEAP_OK);
    log_client_close(&burst.client);
    io_agent_stop(&burst.agent);
    assert_int_equal(check_records(&b, burst.p, "v", 0), 20000);
    bench_reopen(&b);
    assert_int_equal(check_records(&b, burst.p, "v", 19000), 20000);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_is_read_back),
        cmocka_unit_test(a_unit_is_one),
        cmocka_unit_test(bad_units_are_refused),
        cmocka_unit_test(what_is_derived_is_made_anew),
        cmocka_unit_test(a_torn_tail_is_cut_and_does_not_come_back),
        cmocka_unit_test(damage_is_named_and_every_byte_kept),
        cmocka_unit_test(cold_damage_stops_that_partition_alone),
        cmocka_unit_test(a_wrong_index_skips_nothing),
        cmocka_unit_test(dead_files_are_used_again),
        cmocka_unit_test(a_full_disk_refuses_and_goes_on),
        cmocka_unit_test(a_log_does_not_shrink_when_it_is_opened_again),
        cmocka_unit_test(one_process_holds_a_directory),
        cmocka_unit_test(a_burst_keeps_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
