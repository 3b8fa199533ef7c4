/* golden.h - what the golden directories say. Each holds a history of a log as one format version wrote it: it is never written
 * again, and every later version must open it and say the same.
 *
 * What is expected here follows from formulas and constants of the history, not from another reading of it. */
#ifndef TEST_GOLDEN_H
#define TEST_GOLDEN_H

#include "log_bench.h"

#define GOLDEN_FILE_SIZE (16u << 10)

/* What a test did to a directory since it was opened first. */
struct golden_change {
    uint64_t start, more; /* of partition 1 of "orders", which every version has: trimmed up to here; records appended */
    bool restarted;       /* the years between are no jump of the clock any more: retention by time goes on */
    bool rewritten;       /* just now: what compaction has got to is not what it had when the version was born */
};

struct golden {
    const char *name;
    uint64_t count; /* of records in orders/1, which begin "q N " */
    void (*check)(struct bench *b, struct golden_change change);
};

static inline struct bench golden_bench(void)
{
    struct bench b = bench_new(GOLDEN_FILE_SIZE);
    b.options.snapshot_size = GOLDEN_FILE_SIZE;
    return b;
}

static inline struct log_partition golden_partition(struct bench *b, const char *name, uint32_t partition)
{
    struct log_topic t;
    assert_int_equal(log_topic_find(b->log, name, &t), NEAP_OK);
    assert_true(partition < t.partition_count);
    return (struct log_partition){ t.id, partition };
}

static inline void golden_check_range(struct bench *b, struct log_partition p, uint64_t start, uint64_t end)
{
    log_offset from, to;
    assert_int_equal(log_partition_range(b->log, p, &from, &to), NEAP_OK);
    assert_int_equal(from.n, start);
    assert_int_equal(to.n, end);
}

static inline void golden_check_fact(struct bench *b, enum log_view view, struct log_partition p, struct bytes key,
                                     struct bytes want)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct bytes value;
    assert_int_equal(log_fact_get(b->log, (uint8_t)view, p, key, room, &value), NEAP_OK);
    assert_true(bytes_equal(value, want));
}

static inline void golden_check_commit(struct bench *b, const char *group, struct log_partition p, uint64_t offset,
                                       struct bytes done_set, bool hold)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct log_commit commit;
    assert_int_equal(log_offset_get(b->log, group, p, room, &commit), NEAP_OK);
    assert_int_equal(commit.offset.n, offset);
    assert_true(bytes_equal(commit.done_set, done_set));
    assert_int_equal(commit.hold, hold);
}

/* ---- version 1: topics of two partitions, one deleted, a commit point and a fact ------------------------------------- */

#define GOLDEN_V1_COUNT 24u

static inline void golden_v1_check(struct bench *b, struct golden_change change)
{
    struct log_topic t;
    assert_int_equal(log_topic_find(b->log, "gone", &t), NEAP_NOTFOUND);
    assert_int_equal(log_topic_find(b->log, "orders", &t), NEAP_OK);
    assert_int_equal(t.partition_count, 2);
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT; /* it knew none */
    assert_memory_equal(&t.settings, &settings, sizeof settings);
    struct log_partition p = { t.id, 0 }, q = { t.id, 1 };
    assert_int_equal(check_records(b, p, "p", 0), GOLDEN_V1_COUNT);
    golden_check_range(b, q, change.start, GOLDEN_V1_COUNT / 2 + change.more);
    assert_int_equal(check_records(b, q, "q", change.start), GOLDEN_V1_COUNT / 2 + change.more);
    golden_check_commit(b, "shipping", p, 20, BYTES("\x01\x02"), false);
    golden_check_fact(b, LOG_VIEW_FATE, p, BYTES("shipping\0k"), BYTES("dead"));
}

/* ---- version 2: everything that history.h writes ------------------------------------------------------------------------ */

#define GOLDEN_START_S    1767225600ll /* 2026-01-01, where simulated clocks begin */
#define GOLDEN_ROUNDS     30u          /* a round is a minute, and a unit of appends to most topics */
#define GOLDEN_ROUNDS_ALL 44u          /* the later ones come after a pause */
#define GOLDEN_PAUSE_S    10000
#define GOLDEN_ORDERS     4u /* records of a round, packed by one codec after the other */
#define GOLDEN_TABLE      4u
#define GOLDEN_BRIEF      2u
#define GOLDEN_DONE       2u
#define GOLDEN_BOUNDED    3000 /* bytes that "bounded" keeps, in batches of one record of so many: */
#define GOLDEN_BOUNDED_1  500u
#define GOLDEN_BURST      6u /* units that were handed in at once */
#define GOLDEN_LOUD       7u /* batches of two large records in "damaged", before anything was */
#define GOLDEN_Q          (GOLDEN_ROUNDS_ALL + GOLDEN_BURST)
#define GOLDEN_CLOCK_JUMP_MS    (3 * 24 * 3600 * 1000ll)
#define GOLDEN_HUNDRED_YEARS_MS (100ll * 365 * 24 * 3600 * 1000)
static inline int64_t golden_second(uint32_t round) /* of its append */
{
    return GOLDEN_START_S + 100 + 60ll * round + (round >= GOLDEN_ROUNDS ? GOLDEN_PAUSE_S : 0);
}

/* Keys of the compacted topics, and which of their records are tombstones. */
static inline uint32_t golden_table_key(uint64_t offset)
{
    return (uint32_t)(offset * 7 % 23);
}

static inline bool golden_table_tombstone(uint64_t offset)
{
    return offset % 11 == 5;
}

static inline uint32_t golden_brief_key(uint64_t offset)
{
    return (uint32_t)(offset * 5 % 9);
}

static inline bool golden_brief_tombstone(uint64_t offset)
{
    return offset % 4 == 3;
}

/* Every record of the partition as it comes: `each` looks at it. Whatever codec its batch has. */
static inline void golden_each(struct bench *b, struct log_partition p, uint64_t from,
                               void (*each)(void *ctx, const struct log_batch *batch, const struct batch *opened,
                                            const struct record *record),
                               void *ctx)
{
    struct log_reader *reader;
    struct log_batch batch;
    struct codec_room room;
    enum neap_status status = log_reader_open(b->log, p, (log_offset){ from }, 16384, &reader, &b->err);
    assert_int_equal(status, NEAP_OK);
    codec_room_init(&room, 1 << 20);
    while ((status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK) {
        struct batch opened;
        struct batch_walk walk;
        struct record record;
        assert_int_equal(batch_open(batch.bytes, true, &opened), NEAP_OK);
        assert_int_equal(batch_unpack(&opened, &room, &walk), NEAP_OK);
        while ((status = batch_next(&walk, &record)) == NEAP_OK)
            if (record.offset >= from)
                each(ctx, &batch, &opened, &record);
        assert_int_equal(status, NEAP_NOTFOUND);
    }
    if (status != NEAP_AGAIN)
        print_error("%s\n", b->err.text);
    assert_int_equal(status, NEAP_AGAIN);
    log_reader_close(&reader);
    codec_room_fini(&room);
}

static inline void golden_value_is(const struct record *record, const char *label)
{
    char want[64];
    int n = snprintf(want, sizeof want, "%s %llu ", label, (unsigned long long)record->offset);
    assert_true(record->value.at != NULL && record->value.size >= (size_t)n);
    assert_memory_equal(record->value.at, want, n);
}

static inline void golden_order(void *ctx, const struct log_batch *batch, const struct batch *opened,
                                const struct record *record)
{
    uint64_t *next = ctx;
    uint32_t round = (uint32_t)(record->offset / GOLDEN_ORDERS);
    assert_int_equal(record->offset, *next);
    golden_value_is(record, "p");
    assert_int_equal(batch_codec(opened), round % CODEC_COUNT);
    assert_int_equal(batch->appended.ms, 1000 * golden_second(round));
    ++*next;
}

static inline void golden_check_orders(struct bench *b, struct golden_change change)
{
    struct log_topic t;
    uint64_t next = 0;
    log_offset at;
    assert_int_equal(log_topic_find(b->log, "orders", &t), NEAP_OK);
    assert_int_equal(t.partition_count, 2); /* it was born with one */
    assert_int_equal(t.settings.record_size_max, 65536);
    struct log_partition p = { t.id, 0 }, q = { t.id, 1 };
    golden_check_range(b, p, 0, GOLDEN_ORDERS * GOLDEN_ROUNDS_ALL);
    golden_each(b, p, 0, golden_order, &next);
    assert_int_equal(next, GOLDEN_ORDERS * GOLDEN_ROUNDS_ALL);
    for (uint32_t round = 0; round < GOLDEN_ROUNDS_ALL; round++)
        for (uint32_t later = 0; later < 2; later++) {
            wall_time when = { 1000 * (golden_second(round) + later) };
            assert_int_equal(log_offset_at(b->log, p, when, &at, &b->err), NEAP_OK);
            assert_int_equal(at.n, (uint64_t)GOLDEN_ORDERS * (round + later));
        }
    golden_check_range(b, q, change.start, GOLDEN_Q + change.more);
    assert_int_equal(check_records(b, q, "q", change.start), GOLDEN_Q + change.more);
}

/* A compacted topic, and which offsets are there. Twice it had been compacted when it was written: what is in no archive has more
 * before and behind it. */
struct golden_compacted {
    const char *name, *label;
    uint64_t end;
    uint32_t (*key)(uint64_t offset);
    bool (*tombstone)(uint64_t offset);
    bool forgets; /* tombstones, soon, where nothing older is left that they stand against */
    struct {
        uint64_t from, to;
    } parts[2];
    bool there[GOLDEN_TABLE * GOLDEN_ROUNDS_ALL];
};

static inline void golden_find(void *ctx, const struct log_batch *batch, const struct batch *opened,
                               const struct record *record)
{
    struct golden_compacted *c = ctx;
    char key[16];
    (void)batch;
    (void)opened;
    snprintf(key, sizeof key, "key-%u", c->key(record->offset));
    assert_true(record->offset < c->end && !c->there[record->offset]);
    assert_true(bytes_equal(record->key, bytes_of_text(key)));
    assert_int_equal(record->value.at == NULL, c->tombstone(record->offset));
    if (record->value.at != NULL)
        golden_value_is(record, c->label);
    c->there[record->offset] = true;
}

static inline bool golden_followed(const struct golden_compacted *c, uint64_t offset, uint64_t end)
{
    uint64_t later = offset + 1;
    while (later < end && c->key(later) != c->key(offset))
        later++;
    return later < end;
}

/* What something newer of its part follows is not there; what nothing follows at all is. What compaction has done since is its own
 * affair. */
static inline void golden_check_compacted(struct bench *b, struct golden_compacted c, struct golden_change change)
{
    struct log_partition p = golden_partition(b, c.name, 0);
    golden_check_range(b, p, 0, c.end);
    golden_each(b, p, 0, golden_find, &c);
    for (uint32_t i = 0; i < COUNT_OF(c.parts) && !change.rewritten; i++)
        for (uint64_t o = c.parts[i].from; o + 1 < c.parts[i].to; o++)
            if (golden_followed(&c, o, c.parts[i].to) || (i == 0 && c.forgets && c.tombstone(o)))
                assert_false(c.there[o]);
    for (uint64_t o = 0; o < c.end; o++)
        if (!golden_followed(&c, o, c.end) && !(c.forgets && c.tombstone(o)))
            assert_true(c.there[o]);
    assert_true(c.there[c.end - 1]); /* so that the end is never forgotten */
}

/* What every limit of retention and every trim has left. */
static inline void golden_check_starts(struct bench *b, struct golden_change change)
{
    struct log_partition done = golden_partition(b, "done", 0), recent = golden_partition(b, "recent", 0);
    struct log_partition bounded = golden_partition(b, "bounded", 0), trimmed = golden_partition(b, "trimmed", 0);
    static uint8_t room[4096];
    uint64_t size = make_batch(room, sizeof room, "s", 10, 1, GOLDEN_BOUNDED_1).size;
    golden_check_range(b, done, 40, GOLDEN_DONE * GOLDEN_ROUNDS);
    assert_int_equal(check_records(b, done, "d", 40), GOLDEN_DONE * GOLDEN_ROUNDS);
    golden_check_range(b, golden_partition(b, "late", 2), 5, 9);
    assert_int_equal(check_records(b, golden_partition(b, "late", 2), "x", 5), 9);
    if (!change.restarted) {
        golden_check_range(b, recent, 10, 20); /* of before the pause and after it */
        assert_int_equal(check_records(b, recent, "r", 10), 20);
    }
    uint64_t start = GOLDEN_ROUNDS - GOLDEN_BOUNDED / size;
    golden_check_range(b, bounded, start, GOLDEN_ROUNDS);
    assert_int_equal(check_records(b, bounded, "s", start), GOLDEN_ROUNDS);
    golden_check_range(b, trimmed, 7, 2 * GOLDEN_ROUNDS); /* in the middle of a batch */
    assert_int_equal(check_records(b, trimmed, "c", 7), 2 * GOLDEN_ROUNDS);
}

static inline void golden_check_settings(struct bench *b)
{
    static const struct {
        const char *name;
        struct log_topic_settings settings;
    } wants[] = {
        { "done", { .retention = LOG_RETAIN_DONE, .retention_ms = -1, .retention_size = -1, .tombstone_ms = -1 } },
        { "recent", { .retention_ms = 3600000, .retention_size = -1, .tombstone_ms = -1 } },
        { "bounded", { .retention_ms = -1, .retention_size = GOLDEN_BOUNDED, .tombstone_ms = -1 } },
        { "late", { .retention_ms = GOLDEN_HUNDRED_YEARS_MS, .retention_size = -1, .tombstone_ms = -1 } },
        { "table",
          { .cleanup = LOG_CLEANUP_COMPACT,
            .retention_ms = -1,
            .retention_size = -1,
            .tombstone_ms = GOLDEN_HUNDRED_YEARS_MS } },
        { "brief",
          { .cleanup = LOG_CLEANUP_COMPACT, .retention_ms = -1, .retention_size = -1, .tombstone_ms = 1000 } },
        { "quick",
          { .retention_ms = -1, .retention_size = -1, .tombstone_ms = -1, .interval_ms = 50, .record_size_max = 4096 } },
    };
    for (size_t i = 0; i < COUNT_OF(wants); i++) {
        struct log_topic t;
        uint8_t got[LOG_SETTINGS_SIZE], want[LOG_SETTINGS_SIZE];
        assert_int_equal(log_topic_find(b->log, wants[i].name, &t), NEAP_OK);
        log_settings_encode(&t.settings, got);
        log_settings_encode(&wants[i].settings, want);
        assert_memory_equal(got, want, sizeof got);
    }
}

static inline void golden_check_groups(struct bench *b)
{
    struct log_partition done = golden_partition(b, "done", 0), orders = golden_partition(b, "orders", 0);
    struct log_partition damaged = golden_partition(b, "damaged", 0);
    struct log_commit commit;
    uint8_t rounds[8], third[8];
    put_le64(rounds, GOLDEN_ROUNDS_ALL);
    put_le64(third, 3);
    golden_check_commit(b, "ship", done, 40, (struct bytes){ NULL, 0 }, true);
    golden_check_commit(b, "bill", done, 40, BYTES("\x05\x00\x80"), true);
    golden_check_commit(b, "comes", done, 44, BYTES("\x01"), true);
    assert_int_equal(log_offset_get(b->log, "goes", done, NULL, &commit), NEAP_NOTFOUND);
    golden_check_commit(b, "looks on", orders, 13, (struct bytes){ NULL, 0 }, false);
    golden_check_commit(b, "waits", orders, 0, (struct bytes){ NULL, 0 }, true);
    golden_check_commit(b, "waits", golden_partition(b, "orders", 1), 0, log_held_set(), true);
    assert_int_equal(log_offset_get(b->log, "left", done, NULL, &commit), NEAP_NOTFOUND);
    golden_check_fact(b, LOG_VIEW_FILE, orders, BYTES("orders.ndjson"), BYTES("position 77"));
    golden_check_fact(b, LOG_VIEW_FATE, orders, BYTES("ship\0k"), BYTES("dead"));
    golden_check_fact(b, LOG_VIEW_LEDGER, orders, BYTES("ship"), (struct bytes){ rounds, 8 });
    golden_check_fact(b, LOG_VIEW_SINK, orders, BYTES("ship\0out"), BYTES("row 9"));
    golden_check_fact(b, LOG_VIEW_START, orders, BYTES("ship"), BYTES("epoch 3"));
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct bytes value;
    assert_int_equal(log_fact_get(b->log, LOG_VIEW_FATE, orders, BYTES("forgotten"), room, &value), NEAP_NOTFOUND);
    assert_int_equal(log_fact_get(b->log, LOG_VIEW_FATE, orders, BYTES("forgotten at once"), room, &value),
                     NEAP_NOTFOUND);
    golden_check_fact(b, LOG_VIEW_LEDGER, damaged, BYTES("fact"), (struct bytes){ third, 8 }); /* beside the damage */
    golden_check_commit(b, "beside", damaged, 3, (struct bytes){ NULL, 0 }, false);
}

/* Three batches of "damaged" were declared lost: 4..5 and 10..11 in the journal, 22..25 with the bytes that kept it from opening. */
static inline void golden_loud(void *ctx, const struct log_batch *batch, const struct batch *opened,
                               const struct record *record)
{
    uint64_t *next = ctx;
    (void)batch;
    (void)opened;
    assert_int_equal(record->offset, *next);
    golden_value_is(record, "l");
    *next += *next == 3 || *next == 9 ? 3 : *next == 21 ? 5 : 1;
}

static inline void golden_check_lost(struct bench *b)
{
    struct log_partition p = golden_partition(b, "damaged", 0);
    log_offset first = { 0 }, end = { 0 };
    uint64_t next = 0;
    golden_check_range(b, p, 0, 28);
    golden_each(b, p, 0, golden_loud, &next);
    assert_int_equal(next, 28);
    assert_true(log_lost_next(b->log, p, (log_offset){ 0 }, &first, &end));
    assert_true(first.n == 4 && end.n == 6);
    assert_true(log_lost_next(b->log, p, (log_offset){ 6 }, &first, &end));
    assert_true(first.n == 10 && end.n == 12);
    assert_true(log_lost_next(b->log, p, (log_offset){ 12 }, &first, &end));
    assert_true(first.n == 22 && end.n == 26);
    assert_false(log_lost_next(b->log, p, (log_offset){ 26 }, &first, &end));
    struct log_figures figures;
    log_figures(b->log, &figures);
    assert_int_equal(figures.lost_count, 8);
    assert_int_equal(figures.damage_count, 0); /* nothing else met, though all of it has been read by now */
}

static inline void golden_v2_check(struct bench *b, struct golden_change change)
{
    struct log_topic t;
    assert_int_equal(log_topic_find(b->log, "gone", &t), NEAP_NOTFOUND);
    golden_check_orders(b, change);
    golden_check_compacted(b, (struct golden_compacted){ .name = "table",
                                                         .label = "t",
                                                         .end = GOLDEN_TABLE * GOLDEN_ROUNDS_ALL,
                                                         .key = golden_table_key,
                                                         .tombstone = golden_table_tombstone,
                                                         .parts = { { 0, 108 }, { 120, 160 } } }, change);
    golden_check_compacted(b, (struct golden_compacted){ .name = "brief",
                                                         .label = "b",
                                                         .end = GOLDEN_BRIEF * GOLDEN_ROUNDS_ALL,
                                                         .key = golden_brief_key,
                                                         .tombstone = golden_brief_tombstone,
                                                         .forgets = true,
                                                         .parts = { { 0, 54 }, { 60, 80 } } }, change);
    golden_check_starts(b, change);
    golden_check_settings(b);
    golden_check_groups(b);
    assert_int_equal(check_records(b, golden_partition(b, "quick", 0), "i", 0), GOLDEN_ROUNDS);
    golden_check_lost(b);
}

#endif
