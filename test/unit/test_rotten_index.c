/* Housekeeping does not believe an index that has rotted: what it says is dead stays where it is, until somebody else says so. */
#include "log_bench.h"

#include "log/local/index.h"

#define FILE_SIZE (64u << 10)
#define ROUND_NS  (10 * NS_PER_MS)
#define ROUNDS_US 250000 /* that the cleaner has for some rounds */
#define KEYS      60u

static struct bench fresh(void)
{
    struct bench b = bench_new(FILE_SIZE);
    b.options.disk_size = 512ull * FILE_SIZE;
    b.options.snapshot_size = FILE_SIZE;
    b.options.clean_ns = ROUND_NS;
    return b;
}

static void drop_topic(struct bench *b, uint32_t id)
{
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { id, 0 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* Something dies, so that the cleaner looks at everything. */
static void make_it_look(struct bench *b)
{
    uint32_t id = topic(b, "passing", 1);
    assert_int_equal(append(b, (struct log_partition){ id, 0 }, "p", 0, 1, 100, NULL), NEAP_OK);
    drop_topic(b, id);
    usleep(ROUNDS_US);
}

static void put_key(struct bench *b, struct log_partition p, uint32_t key)
{
    uint8_t room[2048];
    char name[16], value[300];
    struct batch_builder builder;
    memset(value, 'v', sizeof value);
    int size = snprintf(name, sizeof name, "%u", key);
    struct record record = { .key = { (uint8_t *)name, (size_t)size },
                             .value = { (uint8_t *)value, sizeof value },
                             .time_ms = 1 };
    batch_begin(&builder, room, sizeof room);
    must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    struct log_op op = { .kind = LOG_APPEND, .target = p, .count = 1, .payload = batch_end(&builder) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* How many of the keys are there; *ret_status: where the reading ended, AGAIN at the end. */
static uint32_t count_keys(struct bench *b, struct log_partition p, enum neap_status *ret_status)
{
    struct log_reader *reader;
    struct log_batch batch;
    bool seen[KEYS] = { false };
    uint32_t count = 0;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 16384, &reader, &b->err), NEAP_OK);
    while ((*ret_status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK) {
        struct batch opened;
        struct batch_walk walk;
        struct record record;
        assert_int_equal(batch_open(batch.bytes, true, &opened), NEAP_OK);
        assert_int_equal(batch_unpack(&opened, NULL, &walk), NEAP_OK);
        while (batch_next(&walk, &record) == NEAP_OK) {
            char name[16];
            snprintf(name, sizeof name, "%.*s", (int)record.key.size, (const char *)record.key.at);
            uint32_t key = (uint32_t)atoi(name);
            count += !seen[key];
            seen[key] = true;
        }
    }
    log_reader_close(&reader);
    return count;
}

static struct log_partition topic_of_keys(struct bench *b, bool compact)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct log_topic t;
    settings.cleanup = compact ? LOG_CLEANUP_COMPACT : settings.cleanup;
    assert_int_equal(log_topic_ensure_with(b->client, "keys", 1, &settings, soon(b), &t, &b->err), NEAP_OK);
    return (struct log_partition){ t.id, 0 };
}

/* Its keys lie in archives: what lay between them has died. */
static struct log_partition fill_archives(struct bench *b, bool compact)
{
    struct log_partition p = topic_of_keys(b, compact);
    uint32_t other = topic(b, "other", 1);
    for (uint32_t i = 0; i < 2 * KEYS; i++) {
        put_key(b, p, i % KEYS);
        assert_int_equal(append(b, (struct log_partition){ other, 0 }, "o", i, 1, 2900, NULL), NEAP_OK);
    }
    drop_topic(b, other);
    struct log_figures f = { 0 };
    for (uint32_t i = 0; i < 500 && f.archive_count < 2; i++) {
        usleep(10000);
        log_figures(b->log, &f);
    }
    assert_true(f.archive_count > 0);
    usleep(ROUNDS_US);
    return p;
}

static void copy_folder(const char *from, const char *to)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
    must(system(command) == 0);
}

static void flip_bit(const char *path, long at, unsigned bit)
{
    FILE *f = fopen(path, "r+b");
    must(f != NULL && fseek(f, at, SEEK_SET) == 0);
    int c = fgetc(f);
    must(fseek(f, at, SEEK_SET) == 0 && fputc(c ^ (1 << bit), f) != EOF && fclose(f) == 0);
}

static long index_of_archive(const char *path)
{
    uint8_t header[128];
    FILE *f = fopen(path, "rb");
    must(f != NULL && fread(header, 1, sizeof header, f) == sizeof header && fclose(f) == 0);
    return (long)get_le64(header + 64);
}

/* One bit of a row: of another topic, of fewer entries, … Nothing is read before the cleaner has been there. */
static void archives(bool compact)
{
    static const struct {
        long byte;
        unsigned bit;
    } flips[] = { { 0, 2 }, { 20, 0 }, { 20, 3 }, { 8, 0 }, { 24, 1 } };
    struct bench b = fresh();
    char keep[80], path[256];
    bench_open(&b);
    struct log_partition p = fill_archives(&b, compact);
    enum neap_status status;
    uint32_t count = count_keys(&b, p, &status);
    assert_int_equal(status, NEAP_AGAIN);
    assert_int_equal(count, KEYS);
    b.options.clean_ns = NO_CLEANING_NS; /* a start takes away what nobody speaks of any more, and nothing else dies */
    bench_reopen(&b);
    bench_close(&b);
    b.options.clean_ns = ROUND_NS;
    snprintf(keep, sizeof keep, "%s.keep", b.path);
    copy_folder(b.path, keep);
    for (uint32_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        copy_folder(keep, b.path);
        assert_true(log_file(&b, "archive", ".npa", 0, path, sizeof path));
        flip_bit(path, index_of_archive(path) + INDEX_HEADER_SIZE + flips[i].byte, flips[i].bit);
        bench_open(&b);
        make_it_look(&b);
        for (uint32_t n = 0; compact && n < KEYS / 2; n++)
            put_key(&b, p, n); /* and more to compact */
        make_it_look(&b);
        count = count_keys(&b, p, &status);
        assert_true(count == KEYS || status == NEAP_CORRUPT); /* never silently fewer */
        assert_int_equal(access(path, F_OK), 0);              /* and the good bytes are still there */
        bench_close(&b);
    }
    copy_folder(keep, b.path);
    bench_open(&b);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", keep);
    must(system(command) == 0);
    bench_end(&b);
}

static void an_archive_is_not_given_up_for_it(void **state)
{
    archives(false);
}

static void nor_are_keys_of_a_compacted_topic(void **state)
{
    archives(true);
}

/* While the log runs: the index says that all of it belongs to a topic that never was. */
static void a_journal_file_is_not_given_up_for_it(void **state)
{
    struct bench b = fresh();
    char path[256], file[256];
    bool flipped = false;
    bench_open(&b);
    struct log_partition p = { topic(&b, "all", 1), 0 };
    for (uint32_t i = 0; i < 400; i++) {
        assert_int_equal(append(&b, p, "k", i, 1, 900, NULL), NEAP_OK);
        if (flipped || !log_file(&b, "index", ".npi", 0, path, sizeof path))
            continue;
        usleep(20000); /* it has been written */
        flip_bit(path, INDEX_HEADER_SIZE, 3);
        flipped = true;
    }
    assert_true(flipped);
    assert_true(log_file(&b, "journal", ".npj", 0, file, sizeof file));
    make_it_look(&b);
    make_it_look(&b);
    assert_int_equal(access(file, F_OK), 0);
    bench_reopen(&b); /* the index is made anew */
    assert_int_equal(check_records(&b, p, "k", 0), 400);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_archive_is_not_given_up_for_it),
        cmocka_unit_test(nor_are_keys_of_a_compacted_topic),
        cmocka_unit_test(a_journal_file_is_not_given_up_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
