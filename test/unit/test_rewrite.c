/* test_rewrite.c - what comes out of a rewrite takes no more than the room that was kept for it, and is the same whatever memory there was */
#include "log_bench.h"

#include "io/sim.h"
#include "log/local/alive.h"
#include "log/local/rewrite.h"
#include "log/local/worth.h"
#include <malloc.h>

#define FILE_SIZE  (64u << 10)
#define PARTITIONS 100u
#define UNIT_COUNT 100u

static void set_compact(struct bench *b, uint32_t id)
{
    uint8_t room[LOG_SETTINGS_SIZE];
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.cleanup = LOG_CLEANUP_COMPACT;
    struct log_op op = { .kind = LOG_TOPIC_ALTER,
                         .target = { id, 0 },
                         .payload = log_settings_encode(&settings, room) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static struct bytes keyed(uint8_t *room, size_t size, uint32_t key)
{
    struct batch_builder builder;
    struct record record = { .key = { (uint8_t *)&key, sizeof key }, .value = BYTES("v"), .time_ms = 1000 };
    batch_begin(&builder, room, size);
    must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    return batch_end(&builder);
}

/* Many events in one unit, each by itself: as many of them as there can be, until the first file is sealed and its index is there. */
static const struct journal_file *fill_first_file(struct bench *b, uint32_t id, uint32_t partitions)
{
    uint8_t rooms[UNIT_COUNT][128];
    struct log_op ops[UNIT_COUNT];
    struct shared *s = &b->log->shared;
    const struct journal_file *first = NULL;
    for (uint32_t n = 0; n < 100000 && first == NULL; n++) {
        for (uint32_t i = 0; i < UNIT_COUNT; i++)
            ops[i] = (struct log_op){ .kind = LOG_APPEND,
                                      .target = { id, i % partitions },
                                      .count = 1,
                                      .payload = keyed(rooms[i], sizeof rooms[i], i % 7) };
        struct log_unit unit = { .ops = ops, .count = UNIT_COUNT };
        assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
        io_mutex_take(s->mutex);
        first = s->open_index > 0 && s->files[0].index_ready ? &s->files[0] : NULL;
        io_mutex_drop(s->mutex);
    }
    assert_non_null(first);
    return first;
}

static uint64_t size_of(const struct rewritten *list, uint32_t count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += list[i].facts.size;
    return size;
}

static uint32_t carry_out(struct bench *b, const struct rewrite_plan *plan, struct rewrite **ret_rewrite,
                          const struct rewritten **ret_list)
{
    enum neap_status status;
    *ret_rewrite = rewrite_new(b->log, plan);
    assert_non_null(*ret_rewrite);
    while ((status = rewrite_step(*ret_rewrite, &b->err)) == NEAP_AGAIN)
        ;
    assert_int_equal(status, NEAP_OK);
    return rewrite_result(*ret_rewrite, ret_list);
}

/* A topic that nobody compacts is counted as far as it matters, one that is compacted to its end. */
static void what_archives_take_is_known_before(void **state)
{
    (void)state;
    for (uint32_t compacts = 0; compacts < 2; compacts++) {
        struct bench b = bench_new(FILE_SIZE);
        struct rewrite *rewrite;
        const struct rewritten *list;
        struct alive alive, none;
        b.options.clean_ns = NO_CLEANING_NS;
        bench_open(&b);
        uint32_t id = topic(&b, "tiny", compacts ? 1 : PARTITIONS);
        if (compacts)
            set_compact(&b, id);
        const struct journal_file *f = fill_first_file(&b, id, compacts ? 1 : PARTITIONS);
        struct index_file index = { f->index, 0, b.log->pages };
        assert_int_equal(alive_count(b.log, index, compacts ? 1 : FILE_SIZE, &alive), NEAP_OK);
        assert_int_equal(alive.stay, compacts ? 0 : alive.size);
        assert_int_equal(alive_count(b.log, index, 0, &none), NEAP_OK);
        assert_true(none.size > 0 && none.size <= alive.size);
        struct rewrite_source source = { index, f->file, f->base, f->salt, 0 };
        struct archive_facts facts = { .first_sequence = f->sequence, .last_sequence = f->sequence };
        struct rewrite_plan plan = { &source, &facts, 1, 1, 1, f->size, NULL };
        assert_int_equal(carry_out(&b, &plan, &rewrite, &list), 1);
        assert_int_equal(size_of(list, 1), alive.archived);
        assert_true(worth_room(alive.archived) > alive.archived);
        assert_true(alive.archived > alive.size + alive.size / 8); /* far more than a sixteenth is index here */
        rewrite_free(&rewrite);
        bench_end(&b);
    }
}

/* On a disk that has just the room that is kept free for it, of events so small that a sixth of what comes out is its index: which
 * lies there twice for a moment. */
static void what_is_kept_free_is_enough(void **state)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    struct bench b = bench_new(1u << 20);
    struct rewrite *rewrite;
    const struct rewritten *list;
    struct alive alive;
    (void)state;
    rmdir(b.path);
    io_real_close(&b.io);
    b.io = sim_open(&(struct sim_options){ .seed = 1, .disk = disk });
    b.options.clean_ns = NO_CLEANING_NS;
    b.options.index_count_max = 1u << 16;
    bench_open(&b);
    uint32_t id = topic(&b, "tiny", 1);
    const struct journal_file *f = fill_first_file(&b, id, 1);
    sim_run(b.io, NS_PER_S);
    struct index_file index = { f->index, 0, b.log->pages };
    assert_int_equal(alive_count(b.log, index, 1u << 20, &alive), NEAP_OK);
    struct rewrite_source source = { index, f->file, f->base, f->salt, 0 };
    struct archive_facts facts = { .first_sequence = f->sequence, .last_sequence = f->sequence };
    struct rewrite_plan plan = { &source, &facts, 1, 1, 1, f->size, NULL };
    uint64_t index_size = alive.archived - alive.size;
    assert_true(index_size > alive.archived / 8);
    sim_disk_size_set(disk, sim_disk_used(disk) + worth_room(alive.archived) + index_size);
    assert_int_equal(carry_out(&b, &plan, &rewrite, &list), 1);
    struct archive archive = { .facts = list[0].facts, .topic_id = id };
    assert_int_equal(archive_open(b.log, &archive, &b.err), NEAP_OK);
    assert_in_range(worth_index_size(b.log, &(struct archive *){ &archive }, 1, true), index_size - 256, index_size);
    io_file_close(&archive.file);
    rewrite_free(&rewrite);
    bench_close(&b);
    sim_close(&b.io);
    sim_disk_free(&disk);
}

/* However few records a compaction may tell apart at one time: the same comes out, and the same is said to be gone. */
static void stretches_of_a_partition_are_one(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    struct archive_facts results[3];
    struct shrunk gone[3];
    (void)state;
    b.options.clean_ns = NO_CLEANING_NS;
    bench_open(&b);
    uint32_t id = topic(&b, "compacted", 1);
    set_compact(&b, id);
    const struct journal_file *f = fill_first_file(&b, id, 1);
    struct rewrite_source source = { { f->index, 0, b.log->pages }, f->file, f->base, f->salt, 0 };
    struct archive_facts facts = { .first_sequence = f->sequence, .last_sequence = f->sequence };
    for (uint32_t i = 0; i < 3; i++) {
        struct compaction *c = compaction_new(CLOCK_CUT_NOTHING, 0, (uint32_t[]){ 100000, 150, 1 }[i]);
        struct rewrite_plan plan = { &source, &facts, 1, 1, 1, f->size, c };
        struct rewrite *rewrite;
        const struct rewritten *list;
        const struct shrunk *shrunk;
        assert_int_equal(carry_out(&b, &plan, &rewrite, &list), 1);
        assert_int_equal(rewrite_shrunk(rewrite, &shrunk), 1);
        results[i] = list[0].facts;
        gone[i] = shrunk[0];
        rewrite_free(&rewrite);
        assert_true(results[i].size == results[0].size && results[i].batch_count == results[0].batch_count);
        assert_true(gone[i].batch_count == gone[0].batch_count && gone[i].size == gone[0].size);
        assert_true(gone[i].batch_count > 0 && gone[i].size > 0);
    }
    bench_end(&b);
}

static size_t memory_used(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* However many archives are written side by side: each takes 8 KiB, and 1 KiB each for the rows and the entries of its index. */
static void many_outputs_share_their_memory(void **state)
{
    enum { COUNT = 64 };
    struct archive_facts facts[COUNT];
    struct bench b = bench_new(FILE_SIZE);
    uint8_t room[128];
    (void)state;
    b.options.clean_ns = NO_CLEANING_NS;
    bench_open(&b);
    uint32_t id = topic(&b, "wide", 2);
    for (uint32_t i = 0; i < COUNT; i++)
        facts[i] = (struct archive_facts){ .first_sequence = 1 + i, .last_sequence = 1 + i };
    struct outputs *outputs = outputs_new(b.log, facts, COUNT, 0);
    struct op op = { .kind = OP_APPEND, .count = 1, .payload = keyed(room, sizeof room, 1) };
    size_t before = memory_used();
    assert_non_null(outputs);
    for (uint32_t partition = 0; partition < 2; partition++) {
        outputs_begin(outputs, 0);
        for (uint32_t i = 0; i < COUNT; i++) {
            op.target = (struct log_partition){ id, partition };
            op.offset = i;
            assert_int_equal(outputs_put(outputs, i, &op, OUTPUTS_ALONE, &b.err), NEAP_OK);
        }
    }
    assert_in_range(memory_used() - before, 0, COUNT * (11u << 10));
    for (uint32_t i = 0; i < 300; i++) { /* more than fits in its share: it goes through the file */
        op.offset = COUNT + i;
        assert_int_equal(outputs_put(outputs, COUNT - 1, &op, OUTPUTS_ALONE, &b.err), NEAP_OK);
    }
    const struct rewritten *list;
    assert_int_equal(outputs_end(outputs, &b.err), NEAP_OK);
    assert_int_equal(outputs_result(outputs, &list), COUNT);
    struct archive archive = { .facts = list[COUNT - 1].facts, .topic_id = id };
    assert_int_equal(archive.facts.batch_count, 302);
    assert_int_equal(archive_open(b.log, &archive, &b.err), NEAP_OK);
    assert_int_equal(archive_check_index(b.log, &archive), NEAP_OK);
    io_file_close(&archive.file);
    outputs_free(&outputs);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_archives_take_is_known_before),
        cmocka_unit_test(what_is_kept_free_is_enough),
        cmocka_unit_test(stretches_of_a_partition_are_one),
        cmocka_unit_test(many_outputs_share_their_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
