/* A directory written by any released format version opens, says what it said, and goes on; one of a newer version is refused. */
#include "../golden/history.h"

#include "base/crc32c.h"
#include "log/local/journal.h"
#include "log/local/snapshot.h"
#include "log/local/views.h"

static const struct golden goldens[] = {
    { "v1", GOLDEN_V1_COUNT / 2, golden_v1_check },
    { "v2", GOLDEN_Q, golden_v2_check },
};
static const struct golden *const present = &goldens[COUNT_OF(goldens) - 1];

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    must((size_t)vsnprintf(command, sizeof command, format, args) < sizeof command);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static struct bench copy_of(const struct golden *golden)
{
    struct bench b = golden_bench();
    shell("cp -r '%s/test/golden/%s/.' '%s'", SOURCE_ROOT, golden->name, b.path);
    return b;
}

static void named(void *ctx, const struct log_finding *finding)
{
    (void)ctx;
    if (finding->damage)
        print_error("%s\n", finding->line);
}

static void doctor_finds_nothing(struct bench *b)
{
    assert_int_equal(log_doctor(b->io, b->path, &(struct log_doctor){ .finding = named }, &b->err), NEAP_OK);
}

static struct log_figures figures_of(struct bench *b)
{
    struct log_figures figures;
    log_figures(b->log, &figures);
    return figures;
}

static void one(struct bench *b, struct log_op op)
{
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static uint64_t newest_snapshot(struct bench *b)
{
    struct shared *s = &b->log->shared;
    io_mutex_take(s->mutex);
    uint64_t sequence = s->snapshot_sequence;
    io_mutex_drop(s->mutex);
    return sequence;
}

static bool has_snapshot_after(struct bench *b, uint64_t sequence)
{
    return newest_snapshot(b) > sequence;
}

static bool is_drained_to(struct bench *b, uint64_t file_count)
{
    struct log_figures figures = figures_of(b);
    return figures.file_count <= file_count && figures.archive_count > 0;
}

/* Housekeeping is waited for, however long it takes on a busy machine. */
static void wait_until(struct bench *b, bool (*holds)(struct bench *b, uint64_t number), uint64_t number)
{
    mono_time patience = mono_after(io_now(b->io), 100 * NS_PER_S);
    while (!holds(b, number) && io_now(b->io).ns < patience.ns)
        usleep(1000);
    assert_true(holds(b, number));
}

/* Appends, trims and deletes, until files have been drained and given back. */
static void go_on(struct bench *b, const struct golden *golden, struct golden_change *change)
{
    struct log_partition q = golden_partition(b, "orders", 1), later = { topic(b, "later", 1), 0 };
    for (uint64_t i = 0; i < 60; i++) {
        assert_int_equal(append(b, q, "q", golden->count + change->more++, 1, 300, NULL), NEAP_OK);
        assert_int_equal(append(b, later, "l", i, 2, 900, NULL), NEAP_OK);
    }
    uint64_t before = figures_of(b).file_count;
    change->start = golden->count - 3;
    one(b, (struct log_op){ .kind = LOG_TRIM, .target = q, .offset = { change->start } });
    one(b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = later });
    for (int round = 0; round < 2;
         round++) { /* what is there must become older than a snapshot that another one follows */
        uint64_t snapshot = newest_snapshot(b);
        for (uint32_t size = 0; size < b->options.snapshot_size; size += JOURNAL_PAGE_SIZE)
            assert_int_equal(append(b, q, "q", golden->count + change->more++, 1, 300, NULL), NEAP_OK);
        wait_until(b, has_snapshot_after, snapshot);
    }
    wait_until(b, is_drained_to, before / 4);
}

static void every_version_opens(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        const struct golden *golden = &goldens[i];
        struct bench b = copy_of(golden);
        struct golden_change change = { 0 };
        doctor_finds_nothing(&b);
        b.options.clean_ns = 10 * NS_PER_MS;
        bench_open(&b);
        golden->check(&b, change);
        go_on(&b, golden, &change);
        golden->check(&b, change);
        for (int round = 0; round < 2; round++) {
            bench_reopen(&b);
            change.restarted = true;
            golden->check(&b, change);
        }
        bench_close(&b);
        doctor_finds_nothing(&b);
        bench_open(&b);
        bench_end(&b);
    }
}

/* A start years later sees the years between and no longer the old jump: only the snapshot says what was written. */
static void the_clock_was_wrong_by_days(void **state)
{
    struct bench b = copy_of(present);
    struct views views;
    struct snapshot snapshot;
    uint8_t *bytes = NULL;
    size_t size = 0;
    char path[160];
    (void)state;
    struct log_options options = { .partition_count_max = 1000, .fact_size_max = 1u << 20 };
    assert_true(log_file(&b, "snapshot", ".nps", -1, path, sizeof path));
    assert_int_equal(snapshot_read_file(b.io, path, &bytes, &size, &b.err), NEAP_OK);
    assert_int_equal(views_init(&views, &options), NEAP_OK);
    assert_int_equal(snapshot_decode((struct bytes){ bytes, size }, &views, &snapshot, &b.err), NEAP_OK);
    assert_in_range(snapshot.clock_jump_ms, GOLDEN_CLOCK_JUMP_MS,
                    GOLDEN_CLOCK_JUMP_MS + 1); /* time passes in parts of a ms */
    int64_t last_ms = 1000 * golden_second(GOLDEN_ROUNDS_ALL - 1);
    assert_in_range(snapshot.clock_jumped_ms - last_ms, GOLDEN_CLOCK_JUMP_MS, GOLDEN_CLOCK_JUMP_MS + 60000);
    views_fini(&views);
    free(bytes);
    bench_open(&b);
    bench_end(&b);
}

/* The history that golden-make writes down is still the one that the checks know. */
static void this_version_says_the_same(void **state)
{
    struct history h = history_new();
    (void)state;
    history_write(&h);
    history_open_door(&h);
    for (int round = 0; round < 2; round++) {
        bench_open(&h.b);
        present->check(&h.b, (struct golden_change){ .rewritten = true });
        sim_run(h.b.io, 60 * NS_PER_S);
        present->check(&h.b, (struct golden_change){ .rewritten = true });
        bench_close(&h.b);
    }
    history_free(&h);
}

/* ---- newer ones ------------------------------------------------------------------------------------------------------ */

/* Where a kind of file has its version, at 4, and the checksum over it. */
struct kind {
    const char *folder, *suffix;
    int index; /* of the names in that folder */
    uint32_t version, crc_at;
    bool to_the_end; /* the checksum is of all that follows it, too */
};

static void make_newer(const char *path, const struct kind *kind)
{
    static uint8_t bytes[GOLDEN_FILE_SIZE];
    FILE *f = fopen(path, "r+b");
    must(f != NULL);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    assert_int_equal(get_le32(bytes + 4), kind->version);
    put_le32(bytes + 4, kind->version + 1);
    uint32_t crc = crc32c(0, bytes, kind->crc_at);
    if (kind->to_the_end)
        crc = crc32c(crc, bytes + kind->crc_at + 4, size - kind->crc_at - 4);
    put_le32(bytes + kind->crc_at, crc);
    must(fseek(f, 0, SEEK_SET) == 0 && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

struct word { /* of doctor */
    const char *path;
    bool said;
};

static void hear(void *ctx, const struct log_finding *finding)
{
    struct word *word = ctx;
    bool newer = strstr(finding->line, "newer version") != NULL || strstr(finding->line, "this program knows") != NULL;
    word->said |= finding->damage && newer && strstr(finding->line, word->path) != NULL;
}

static void a_newer_version_is_refused(void **state)
{
    static const struct kind kinds[] = {
        { "journal", ".npj", 0, 2, 56, false },   { "journal", ".npj", -1, 2, 56, false },
        { "index", ".npi", 0, 1, 64, false },     { "index", ".npi", -1, 1, 64, false },
        { "snapshot", ".nps", -1, 2, 60, false }, { "archive", ".npa", 0, 1, 96, false },
        { "archive", ".npa", -1, 1, 96, false },  { "journal", ".lost", 0, 1, 44, true },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct bench b = copy_of(present);
        char path[256], said[64];
        assert_true(log_file(&b, kinds[i].folder, kinds[i].suffix, kinds[i].index, path, sizeof path));
        make_newer(path, &kinds[i]);
        shell("cp -r '%s' '%s.before'", b.path, b.path);
        snprintf(said, sizeof said, "format %u, this program knows %u", kinds[i].version + 1, kinds[i].version);
        struct word word = { .path = path };
        assert_int_equal(log_doctor(b.io, b.path, &(struct log_doctor){ .finding = hear, .ctx = &word }, &b.err),
                         NEAP_CORRUPT);
        assert_true(word.said);
        assert_int_equal(bench_try_open(&b), NEAP_VERSION);
        assert_non_null(strstr(b.err.text, path));
        assert_non_null(strstr(b.err.text, said));
        shell("diff -r -x neap.lock '%s' '%s.before'", b.path, b.path); /* not a byte */
        shell("rm -r '%s' '%s.before'", b.path, b.path);
        io_real_close(&b.io);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_opens),
        cmocka_unit_test(the_clock_was_wrong_by_days),
        cmocka_unit_test(this_version_says_the_same),
        cmocka_unit_test(a_newer_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
