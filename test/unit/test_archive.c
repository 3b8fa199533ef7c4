/* test_archive.c - space comes back: what is alive in a half-dead file is found in an archive, in order, through every reopening */
#include "log_bench.h"

#include "io/sim.h"
#include "log/local/local.h"

#define FILE_SIZE (64u << 10)

static struct bench cleaning_bench(uint32_t files)
{
    struct bench b = bench_new(FILE_SIZE);
    b.options.disk_size = (uint64_t)files * FILE_SIZE;
    b.options.snapshot_size = FILE_SIZE;
    b.options.clean_ns = 10 * NS_PER_MS;
    return b;
}

/* The same in a simulated world. */
static struct bench cleaning_world(uint32_t files, uint64_t seed, struct sim_disk *disk)
{
    struct bench b = cleaning_bench(files);
    rmdir(b.path);
    io_real_close(&b.io);
    b.io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk });
    return b;
}

/* One bit, in the index of an archive: whoever opens it does not notice yet. */
static void sim_flip(struct io *io, const char *path)
{
    struct io_file *file = NULL;
    struct io_file_info info;
    struct error err;
    uint8_t byte;
    size_t got;
    assert_int_equal(io_file_open(io, path, IO_READ | IO_WRITE, &file, &err), NEAP_OK);
    assert_int_equal(io_file_info(file, &info), NEAP_OK);
    assert_int_equal(io_file_read(file, &byte, 1, info.size - 1, &got), NEAP_OK);
    byte ^= 1;
    assert_int_equal(io_file_write(file, &(struct bytes){ &byte, 1 }, 1, info.size - 1), NEAP_OK);
    io_file_close(&file);
}

static enum neap_status one(struct bench *b, struct log_op op)
{
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(b->client, &unit, soon(b));
}

static struct log_figures figures_of(struct bench *b)
{
    struct log_figures figures;
    log_figures(b->log, &figures);
    return figures;
}

/* Until it says so, or ten seconds have passed. */
static bool comes(struct bench *b, bool (*so)(struct bench *b))
{
    for (int i = 0; i < 1000; i++) {
        if (so(b))
            return true;
        usleep(10000);
    }
    return false;
}

static bool has_archives(struct bench *b)
{
    return figures_of(b).archive_count > 0;
}

static bool has_few_files(struct bench *b)
{
    return figures_of(b).file_count <= 6;
}

static bool has_none(struct bench *b)
{
    return figures_of(b).archive_count == 0;
}

/* One event in four is of the topic that stays. */
static void mix(struct bench *b, struct log_partition keep, struct log_partition gone, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        assert_int_equal(append(b, keep, "k", i, 1, 300, NULL), NEAP_OK);
        assert_int_equal(append(b, gone, "g", i, 1, 900, NULL), NEAP_OK);
    }
}

static void what_lives_is_archived(void **state)
{
    struct bench b = cleaning_bench(512);
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "keep", 2), gone = topic(&b, "gone", 1);
    for (uint64_t i = 0; i < 400; i += 100)
        for (uint32_t p = 0; p < 2; p++)
            mix(&b, (struct log_partition){ id, p }, (struct log_partition){ gone, 0 }, i, i + 100);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = { gone, 0 } }), NEAP_OK);
    assert_true(comes(&b, has_archives));
    assert_true(comes(&b, has_few_files));
    for (int round = 0; round < 3; round++) {
        for (uint32_t p = 0; p < 2; p++) {
            assert_int_equal(check_records(&b, (struct log_partition){ id, p }, "k", 0), 400);
            assert_int_equal(check_records(&b, (struct log_partition){ id, p }, "k", 177), 400);
        }
        bench_reopen(&b);
        assert_true(figures_of(&b).archive_count > 0);
    }
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = { id, 0 } }), NEAP_OK);
    assert_true(comes(&b, has_none));
    bench_end(&b);
}

/* Who reads what an archive held that cannot be opened any more is told which topic, which file, and who knows more. */
static void a_lost_archive_is_named(void **state)
{
    struct bench b = cleaning_bench(512);
    struct log_reader *reader;
    struct log_batch batch;
    char path[256];
    enum neap_status status;
    (void)state;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, gone = { topic(&b, "gone", 1), 0 };
    mix(&b, keep, gone, 0, 800);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = gone }), NEAP_OK);
    assert_true(comes(&b, has_archives));
    assert_true(comes(&b, has_few_files));
    bench_close(&b);
    for (int i = 0; log_file(&b, "archive", ".npa", i, path, sizeof path); i++)
        flip(path, 33); /* in its header */
    bench_open(&b);
    assert_int_equal(log_reader_open(b.log, keep, (log_offset){ 0 }, 16384, &reader, &b.err), NEAP_OK);
    while ((status = log_reader_next(reader, &batch, &b.err)) == NEAP_OK)
        ;
    assert_int_equal(status, NEAP_CORRUPT);
    assert_non_null(strstr(b.err.text, "topic keep partition 0 offset "));
    assert_non_null(strstr(b.err.text, "/archive/"));
    assert_non_null(strstr(b.err.text, "neap doctor"));
    log_reader_close(&reader);
    bench_end(&b);
}

/* What cannot be read now is named as damage of that place, and is there again when the disk is. */
static void a_disk_that_fails_is_named(void **state)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    struct bench b = cleaning_world(512, 5, disk);
    struct log_reader *reader;
    struct log_batch batch;
    (void)state;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, gone = { topic(&b, "gone", 1), 0 };
    mix(&b, keep, gone, 0, 400);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = gone }), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    bench_reopen(&b);
    assert_true(has_archives(&b));
    sim_fault_add(b.io, &(struct sim_fault){
                            .call = SIM_READ, .path_part = ".npa", .nth = 1, .sticky = true, .status = NEAP_IO });
    assert_int_equal(log_reader_open(b.log, keep, (log_offset){ 0 }, 4096, &reader, &b.err), NEAP_OK);
    assert_int_equal(log_reader_next(reader, &batch, &b.err), NEAP_CORRUPT);
    assert_true(sim_fault_hits(b.io) > 0);
    assert_int_equal(figures_of(&b).damage_count, 1);
    log_reader_close(&reader);
    sim_faults_clear(b.io);
    assert_int_equal(check_records(&b, keep, "k", 0), 400);
    bench_close(&b);
    sim_close(&b.io);
    sim_disk_free(&disk);
}

/* A reader walks through files that are drained and archives that are joined under its feet. */
static void a_reader_walks_on(void **state)
{
    struct bench b = cleaning_bench(1024);
    struct log_reader *reader;
    struct log_batch batch;
    enum neap_status status;
    (void)state;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, gone = { topic(&b, "gone", 1), 0 };
    mix(&b, keep, gone, 0, 1500);
    assert_int_equal(log_reader_open(b.log, keep, (log_offset){ 0 }, 4096, &reader, &b.err), NEAP_OK);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = gone }), NEAP_OK);
    for (uint64_t next = 0; next < 1500; next += batch.count) {
        while ((status = log_reader_next(reader, &batch, &b.err)) == NEAP_AGAIN)
            ;
        assert_int_equal(status, NEAP_OK);
        assert_int_equal(batch.base.n, next);
        if (next % 10 == 0)
            usleep(2000);
    }
    log_reader_close(&reader);
    assert_true(comes(&b, has_few_files));
    assert_true(figures_of(&b).archive_count < 20); /* neighbours have been joined */
    assert_int_equal(check_records(&b, keep, "k", 0), 1500);
    bench_end(&b);
}

/* The file that a reader stands in is drained, and those beside it get another life; his own does when he has gone. */
static void a_reader_keeps_the_file_that_he_stands_in(void **state)
{
    struct bench b = cleaning_world(512, 6, NULL);
    struct log_reader *reader;
    struct log_batch batch;
    enum neap_status status;
    uint32_t pinned = 0, count = 0;
    (void)state;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, gone = { topic(&b, "gone", 1), 0 };
    mix(&b, keep, gone, 0, 22);
    assert_int_equal(log_reader_open(b.log, keep, (log_offset){ 20 }, 512, &reader, &b.err), NEAP_OK);
    assert_int_equal(log_reader_next(reader, &batch, &b.err), NEAP_OK);
    mix(&b, keep, gone, 22, 100);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = gone }), NEAP_OK);
    struct log_partition later = { topic(&b, "later", 1), 0 };
    for (uint64_t i = 0; i < 600; i++) /* more than there are ready files */
        assert_int_equal(append(&b, later, "l", i, 1, 900, NULL), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    assert_true(figures_of(&b).archive_count > 0);
    struct shared *s = &b.log->shared;
    for (uint32_t i = 0; i < s->open_index; i++)
        if (s->files[i].pin_count > 0) {
            assert_true(archives_drained(&s->views.archives, s->files[i].sequence) && s->files[i].dead);
            pinned++;
        }
    assert_int_equal(pinned, 1);
    for (; (status = log_reader_next(reader, &batch, &b.err)) == NEAP_OK; count++)
        assert_int_equal(batch.base.n, 21 + count);
    assert_int_equal(status, NEAP_AGAIN);
    assert_int_equal(count, 79);
    log_reader_close(&reader);
    bench_close(&b);
    sim_close(&b.io);
}

static bool has_little(struct bench *b)
{
    struct log_topic t;
    struct log_figures f = figures_of(b);
    must(log_topic_find(b->log, "t", &t) == NEAP_OK);
    return f.file_count <= 5 && f.archive_count <= 1; /* those that the older snapshot has not passed stay */
}

static void what_is_trimmed_is_given_back(void **state)
{
    struct bench b = cleaning_bench(1024);
    log_offset start, end;
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(append(&b, p, "v", i, 1, 900, NULL), NEAP_OK);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TRIM, .target = p, .offset = { 990 } }), NEAP_OK);
    assert_true(comes(&b, has_little));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(log_partition_range(b.log, p, &start, &end), NEAP_OK);
        assert_int_equal(start.n, 990);
        assert_int_equal(end.n, 1000);
        assert_int_equal(check_records(&b, p, "v", 990), 1000);
        bench_reopen(&b);
    }
    bench_end(&b);
}

/* What dies elsewhere is no reason to copy it: an archive of one small record is mostly header and index. */
static void a_small_archive_is_left_alone(void **state)
{
    struct bench b = cleaning_bench(512);
    char before[160], after[160];
    (void)state;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, gone = { topic(&b, "gone", 1), 0 };
    assert_int_equal(append(&b, keep, "k", 0, 1, 10, NULL), NEAP_OK);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(append(&b, gone, "g", i, 1, 3000, NULL), NEAP_OK);
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = gone }), NEAP_OK);
    assert_true(comes(&b, has_archives));
    assert_true(log_file(&b, "archive", ".npa", 0, before, sizeof before));
    for (int i = 0; i < 10; i++) {
        struct log_partition other = { topic(&b, "other", 1), 0 };
        assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = other }), NEAP_OK);
        usleep(30000); /* each time the cleaner goes its round */
    }
    assert_true(log_file(&b, "archive", ".npa", 0, after, sizeof after));
    assert_string_equal(before, after);
    bench_end(&b);
}

/* Archives are gone before the files that they stand for have been used again: those are the last good copy, and nobody writes over
 * it before the topic goes. `noticed_late`: the log finds out when it has already counted the files as dead. */
static void check_last_copy(bool noticed_late)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    struct bench b = cleaning_world(512, 9, disk);
    char path[128];
    uint64_t numbers[8], appended = 0;
    b.options.clean_ns = NO_CLEANING_NS;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, later = { topic(&b, "later", 1), 0 };
    for (uint64_t i = 0; i < 60; i++)
        assert_int_equal(append(&b, keep, "k", i, 1, 300, NULL), NEAP_OK);
    b.options.clean_ns = 10 * NS_PER_MS;
    bench_reopen(&b);
    struct shared *s = &b.log->shared;
    for (; s->snapshot_position[SNAPSHOT_KEEP - 1] == 0; appended++) /* then they are drained, and no file is wanted */
        assert_int_equal(append(&b, later, "l", appended, 1, 3000, NULL), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    uint32_t count = s->views.archives.count;
    assert_true(count > 0 && count <= COUNT_OF(numbers));
    assert_true(s->files[0].sequence == 1 && s->files[0].dead);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = s->views.archives.list[i]->facts.number;
    if (!noticed_late)
        bench_close(&b);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/archive/%016llx.npa", b.path, (unsigned long long)numbers[i]);
        if (noticed_late)
            sim_flip(b.io, path);
        else
            assert_int_equal(io_unlink(b.io, path, &b.err), NEAP_OK);
    }
    if (!noticed_late)
        bench_open(&b);
    s = &b.log->shared;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(check_records(&b, keep, "k", 0), 60);
        for (uint64_t to = appended + 300; appended < to; appended++) /* more than there are ready files */
            assert_int_equal(append(&b, later, "l", appended, 1, 3000, NULL), NEAP_OK);
        sim_run(b.io, 10 * NS_PER_S);
        assert_int_equal(s->files[0].sequence, 1);
        assert_int_equal(check_records(&b, keep, "k", 0), 60);
        bench_reopen(&b);
        s = &b.log->shared;
    }
    assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = keep }), NEAP_OK);
    for (uint64_t to = appended + 300; appended < to; appended++)
        assert_int_equal(append(&b, later, "l", appended, 1, 3000, NULL), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    assert_true(s->files[0].sequence > 1);
    assert_int_equal(check_records(&b, later, "l", 0), appended);
    bench_close(&b);
    sim_close(&b.io);
    sim_disk_free(&disk);
}

static void the_last_good_copy_is_kept(void **state)
{
    (void)state;
    check_last_copy(false);
    check_last_copy(true);
}

static void heard(void *ctx, const struct log_finding *finding)
{
    *(uint32_t *)ctx += finding->damage;
}

static void assert_sound(struct bench *b)
{
    uint32_t damage_count = 0;
    struct log_doctor doctor = { .finding = heard, .ctx = &damage_count };
    assert_int_equal(log_doctor(b->io, b->path, &doctor, &b->err), NEAP_OK);
    assert_int_equal(damage_count, 0);
}

/* What a reader is given from the beginning on: from..to, and nothing else. */
static void assert_given(struct bench *b, struct log_partition p, uint64_t from, uint64_t to)
{
    struct log_reader *reader;
    struct log_batch batch;
    enum neap_status status;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 4096, &reader, &b->err), NEAP_OK);
    for (uint64_t next = from; (status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK; next++)
        assert_int_equal(batch.base.n, next);
    assert_int_equal(status, NEAP_AGAIN);
    log_reader_close(&reader);
    assert_int_equal(check_records(b, p, "k", from), to);
}

static void lose(struct bench *b, struct log_partition p, uint64_t from, uint64_t to)
{
    struct log_op op = { .kind = LOG_LOST, .target = p, .offset = { from }, .count = (uint32_t)(to - from) };
    assert_int_equal(one(b, op), NEAP_OK);
}

/* Batches in all archives. */
static uint64_t archived_count(struct bench *b)
{
    const struct archives *all = &b->log->shared.views.archives;
    uint64_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        count += all->list[i]->facts.batch_count;
    return count;
}

/* Of the journal files that are there, or have archives. */
static uint64_t oldest_sequence(struct bench *b)
{
    const struct shared *s = &b->log->shared;
    uint64_t oldest = s->files[0].sequence;
    for (uint32_t i = 0; i < s->views.archives.count; i++)
        if (s->views.archives.list[i]->facts.first_sequence < oldest)
            oldest = s->views.archives.list[i]->facts.first_sequence;
    return oldest;
}

/* The sums of a partition are those of what a reader is given, within a tenth and a batch: of batches that were lost their share went. */
static void assert_counted(struct bench *b, const char *name)
{
    struct log_reader *reader;
    struct log_batch batch;
    struct log_topic t;
    uint64_t size = 0, count = 0;
    assert_int_equal(log_topic_find(b->log, name, &t), NEAP_OK);
    struct log_partition p = { t.id, 0 };
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 65536, &reader, &b->err), NEAP_OK);
    for (; log_reader_next(reader, &batch, &b->err) == NEAP_OK; count++)
        size += batch.bytes.size;
    log_reader_close(&reader);
    uint64_t off = count / 10 + (count > 0), size_off = count > 0 ? size / count * off : 0;
    assert_in_range(t.batch_count, count - off, count + off);
    assert_in_range(t.size, size - size_off, size + size_off);
}

enum before { MUCH_ALIVE, HALF_DEAD, ARCHIVED }; /* what becomes of files before their events are lost */

/* Files of which nothing but lost events is left are given back, and so are archives; what stands beside those is kept, and no offset
 * is missed by anybody. */
static void what_is_lost_is_given_back(void **state)
{
    (void)state;
    for (enum before before = MUCH_ALIVE; before <= ARCHIVED; before++) {
        struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
        struct bench b = cleaning_world(512, 7, disk);
        bench_open(&b);
        struct log_partition keep = { topic(&b, "keep", 1), 0 }, gone = { topic(&b, "gone", 1), 0 };
        assert_int_equal(append(&b, keep, "k", 0, 5, 300, NULL), NEAP_OK);
        for (uint64_t i = 5; i < 400; i++) { /* each a page of the journal, most of it or a little */
            assert_int_equal(append(&b, keep, "k", i, 1, before == ARCHIVED ? 300 : 3000, NULL), NEAP_OK);
            if (before == HALF_DEAD)
                assert_int_equal(append(&b, gone, "g", i, 1, 3000, NULL), NEAP_OK);
        }
        sim_run(b.io, 10 * NS_PER_S);
        assert_int_equal(archived_count(&b) > 200, before == ARCHIVED);
        assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TRIM, .target = keep, .offset = { 3 } }), NEAP_OK);
        lose(&b, keep, 1, 390); /* of the first batch all that is kept, too */
        assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = gone }), NEAP_OK);
        sim_run(b.io, 10 * NS_PER_S);
        assert_true(archived_count(&b) <= 10 && oldest_sequence(&b) > 1);
        assert_true(figures_of(&b).file_count <= 5); /* those that the older snapshot has not passed stay */
        for (int round = 0; round < 2; round++) {
            assert_given(&b, keep, 390, 400);
            assert_counted(&b, "keep");
            bench_close(&b);
            assert_sound(&b);
            bench_open(&b);
        }
        lose(&b, keep, 390, 400);
        assert_int_equal(append(&b, keep, "k", 400, 1, 300, NULL), NEAP_OK);
        sim_run(b.io, 10 * NS_PER_S);
        assert_given(&b, keep, 400, 401);
        assert_counted(&b, "keep");
        bench_close(&b);
        sim_close(&b.io);
        sim_disk_free(&disk);
    }
}

/* A file of which most was declared lost is drained as one of which most is dead: once. */
static void what_is_lost_is_not_copied(void **state)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    struct bench b = cleaning_world(512, 8, disk);
    (void)state;
    bench_open(&b);
    struct log_partition keep = { topic(&b, "keep", 1), 0 }, other = { topic(&b, "other", 1), 0 };
    for (uint64_t i = 0; i < 400; i++) /* three quarters of a page each */
        assert_int_equal(append(&b, keep, "k", i, 1, 3000, NULL), NEAP_OK);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(append(&b, other, "o", i, 1, 3000, NULL), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    assert_int_equal(figures_of(&b).archive_count, 0);
    for (uint64_t i = 0; i < 400; i += 10)
        lose(&b, keep, i, i + 9);
    sim_run(b.io, 10 * NS_PER_S);
    struct log_figures settled = figures_of(&b);
    uint64_t number = b.log->shared.views.archives.number_next;
    assert_true(settled.file_count < 20); /* of 33 */
    assert_true(archived_count(&b) >= 30 &&
                archived_count(&b) < 60); /* one in ten, and beside the last what else came */
    for (uint64_t i = 0; i < 5; i++) {    /* each time the cleaner goes its round */
        struct log_partition later = { topic(&b, "later", 1), 0 };
        assert_int_equal(one(&b, (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = later }), NEAP_OK);
        sim_run(b.io, NS_PER_S);
    }
    assert_int_equal(figures_of(&b).archive_count, settled.archive_count);
    assert_int_equal(b.log->shared.views.archives.number_next, number);
    assert_counted(&b, "keep");
    bench_close(&b);
    assert_sound(&b);
    sim_close(&b.io);
    sim_disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lives_is_archived),
        cmocka_unit_test(a_disk_that_fails_is_named),
        cmocka_unit_test(a_lost_archive_is_named),
        cmocka_unit_test(a_reader_walks_on),
        cmocka_unit_test(a_reader_keeps_the_file_that_he_stands_in),
        cmocka_unit_test(what_is_trimmed_is_given_back),
        cmocka_unit_test(a_small_archive_is_left_alone),
        cmocka_unit_test(the_last_good_copy_is_kept),
        cmocka_unit_test(what_is_lost_is_given_back),
        cmocka_unit_test(what_is_lost_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
