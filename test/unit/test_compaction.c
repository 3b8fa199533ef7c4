/* test_compaction.c - a compacted topic keeps the newest record of every key, at its offset, and lets the older ones go */
#include "log_bench.h"

#include "io/sim.h"
#include "log/local/compaction.h"
#include "log/local/local.h"

#define FILE_SIZE (64u << 10)
#define KEY_COUNT 40u

struct newest { /* the slow, obvious model */
    int64_t offset[KEY_COUNT];
    uint32_t round[KEY_COUNT];
    uint64_t end;
};

static struct bench begin(struct log_topic_settings settings, struct log_partition *ret)
{
    struct log_topic t;
    struct bench b = bench_new(FILE_SIZE);
    b.options.disk_size = 1024 * FILE_SIZE;
    b.options.snapshot_size = FILE_SIZE;
    b.options.clean_ns = 10 * NS_PER_MS;
    bench_open(&b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    assert_int_equal(log_topic_ensure_with(b.client, "t", 1, &settings, soon(&b), &t, &b.err), NEAP_OK);
    *ret = (struct log_partition){ t.id, 0 };
    return b;
}

/* Eight records of eight keys in one batch, packed by one codec after the other. */
static void put(struct bench *b, struct log_partition p, struct newest *n, uint32_t round)
{
    static uint8_t room[65536], packed_room[65536];
    struct batch_builder builder;
    batch_begin(&builder, room, sizeof room);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t key = (round * 5 + i * 3) % KEY_COUNT;
        char name[16], value[600];
        memset(value, '.', sizeof value);
        snprintf(name, sizeof name, "key-%u", key);
        snprintf(value, sizeof value, "%u %u ", key, round);
        struct record record = { .key = bytes_of_text(name),
                                 .value = { (uint8_t *)value, sizeof value },
                                 .time_ms = 5 };
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
        n->offset[key] = (int64_t)(n->end + i);
        n->round[key] = round;
    }
    struct bytes batch = batch_end(&builder);
    if (round % CODEC_COUNT != CODEC_NONE)
        must(batch_pack(batch, round % CODEC_COUNT, packed_room, sizeof packed_room, &batch) == NEAP_OK);
    struct log_op op = { .kind = LOG_APPEND, .target = p, .count = 8, .payload = batch };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
    n->end += 8;
}

/* Reads it all: every key's newest record is there, at its offset; answers how many records there are. */
static uint32_t check(struct bench *b, struct log_partition p, const struct newest *n)
{
    struct log_reader *reader;
    struct log_batch batch;
    struct codec_room room;
    uint32_t count = 0, found = 0;
    uint64_t least = 0;
    enum neap_status status;
    codec_room_init(&room, 1 << 20);
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 4096, &reader, &b->err), NEAP_OK);
    while ((status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK) {
        struct batch opened;
        struct batch_walk walk;
        struct record record;
        assert_int_equal(batch_open(batch.bytes, true, &opened), NEAP_OK);
        assert_int_equal(batch_unpack(&opened, &room, &walk), NEAP_OK);
        while ((status = batch_next(&walk, &record)) == NEAP_OK) {
            uint32_t key = 0, round = 0;
            assert_true(record.offset >= least);
            least = record.offset + 1;
            must(sscanf((const char *)record.value.at, "%u %u", &key, &round) == 2);
            assert_true(round <= n->round[key]);
            found += (int64_t)record.offset == n->offset[key] && round == n->round[key];
            count++;
        }
        assert_int_equal(status, NEAP_NOTFOUND);
    }
    if (status != NEAP_AGAIN)
        print_error("%s\n", b->err.text);
    assert_int_equal(status, NEAP_AGAIN);
    assert_int_equal(least, n->end);
    assert_int_equal(found, KEY_COUNT);
    log_reader_close(&reader);
    codec_room_fini(&room);
    return count;
}

static uint32_t count_comes(struct bench *b, struct log_partition p, const struct newest *n, uint32_t below)
{
    uint32_t count = check(b, p, n);
    for (int i = 0; i < 300 && count >= below; i++) {
        usleep(20000);
        count = check(b, p, n);
    }
    return count;
}

static void the_newest_of_each_key_stays(void **state)
{
    struct log_partition p;
    struct bench b = begin(LOG_SETTINGS_DEFAULT, &p);
    struct newest n = { .end = 0 };
    (void)state;
    for (uint32_t round = 0; round < 300; round++)
        put(&b, p, &n, round);
    uint32_t count = count_comes(&b, p, &n, 700);
    assert_true(
        count <
        1200); /* of 2,400; what is not yet in archives, and what is new and less than the old, is there whole */
    bench_reopen(&b);
    check(&b, p, &n);
    for (uint32_t round = 300; round < 600; round++)
        put(&b, p, &n, round);
    assert_true(count_comes(&b, p, &n, 700) < 1200);
    bench_reopen(&b);
    check(&b, p, &n);
    bench_end(&b);
}

/* What the log says it keeps of a partition is what can be read from it. */
static void assert_figures(struct bench *b, struct log_partition p)
{
    struct log_reader *reader;
    struct log_batch batch;
    struct log_partition_figures figures;
    uint64_t size = 0, count = 0;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 4096, &reader, &b->err), NEAP_OK);
    for (; log_reader_next(reader, &batch, &b->err) == NEAP_OK; count++)
        size += batch.bytes.size;
    log_reader_close(&reader);
    assert_int_equal(log_partition_figures(b->log, p, &figures), NEAP_OK);
    assert_int_equal(figures.size, size);
    assert_int_equal(figures.batch_count, count);
}

/* One small file after the other is drained, which holds each key once at most: older records go only where what came later meets
 * them. */
static void archives_are_compacted_with_those_before_them(void **state)
{
    struct log_topic t;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct newest n = { .end = 0 };
    struct bench b = { .path = "data",
                       .options = { .file_size = FILE_SIZE / 4,
                                    .disk_size = 256 * FILE_SIZE,
                                    .tail_size = 1u << 20,
                                    .snapshot_size = FILE_SIZE / 4,
                                    .clean_ns = 10 * NS_PER_MS } };
    (void)state;
    b.io = sim_open(&(struct sim_options){ .seed = 11 });
    bench_open(&b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    assert_int_equal(log_topic_ensure_with(b.client, "t", 1, &settings, soon(&b), &t, &b.err), NEAP_OK);
    for (uint32_t round = 0; round < 600; round++) {
        put(&b, (struct log_partition){ t.id, 0 }, &n, round);
        sim_run(b.io, 50 * NS_PER_MS);
    }
    sim_run(b.io, 10 * NS_PER_S);
    assert_true(check(&b, (struct log_partition){ t.id, 0 }, &n) < 200); /* of 4,800 */
    assert_figures(&b, (struct log_partition){ t.id, 0 });
    bench_reopen(&b);
    assert_figures(&b, (struct log_partition){ t.id, 0 });
    bench_close(&b);
    sim_close(&b.io);
}

static void alter(struct bench *b, struct log_partition p, struct log_topic_settings settings)
{
    uint8_t room[LOG_SETTINGS_SIZE];
    struct log_op op = { .kind = LOG_TOPIC_ALTER, .target = p, .payload = log_settings_encode(&settings, room) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* Retention by size counts what is left: far more has been appended than it lets be. And trims and compactions, one after the
 * other and both at work, lose no count. */
static void size_is_what_is_left(void **state)
{
    struct log_topic t;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct newest n = { .end = 0 };
    struct bench b = { .path = "data",
                       .options = { .file_size = FILE_SIZE / 4,
                                    .disk_size = 256 * FILE_SIZE,
                                    .tail_size = 1u << 20,
                                    .snapshot_size = FILE_SIZE / 4,
                                    .clean_ns = 10 * NS_PER_MS } };
    (void)state;
    b.io = sim_open(&(struct sim_options){ .seed = 13 });
    bench_open(&b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    settings.retention_size = 300000; /* of a megabyte that comes in */
    assert_int_equal(log_topic_ensure_with(b.client, "t", 1, &settings, soon(&b), &t, &b.err), NEAP_OK);
    struct log_partition p = { t.id, 0 };
    log_offset start, end;
    for (uint32_t round = 0; round < 900; round++) {
        put(&b, p, &n, round);
        sim_run(b.io, 50 * NS_PER_MS);
        if (round == 450)
            bench_reopen(&b);
    }
    sim_run(b.io, 10 * NS_PER_S);
    assert_figures(&b, p);
    assert_int_equal(log_partition_range(b.log, p, &start, &end), NEAP_OK);
    assert_int_equal(start.n, 0);
    check(&b, p, &n);               /* every key is there */
    settings.retention_size = 3000; /* now it has to go, while more comes */
    alter(&b, p, settings);
    for (uint32_t round = 900; round < 1200; round++) {
        put(&b, p, &n, round);
        sim_run(b.io, 30 * NS_PER_MS);
    }
    sim_run(b.io, 10 * NS_PER_S);
    assert_figures(&b, p);
    assert_int_equal(log_partition_range(b.log, p, &start, &end), NEAP_OK);
    assert_true(start.n > 0);
    bench_reopen(&b);
    assert_figures(&b, p);
    bench_close(&b);
    sim_close(&b.io);
}

static void nothing_that_a_group_has_to_process_goes(void **state)
{
    struct log_partition p;
    struct bench b = begin(LOG_SETTINGS_DEFAULT, &p);
    struct newest n = { .end = 0 };
    (void)state;
    struct log_op op = { .kind = LOG_OFFSET, .view = LOG_OFFSET_HOLD, .target = p, .name = BYTES("pipe") };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    for (uint32_t round = 0; round < 200; round++)
        put(&b, p, &n, round);
    usleep(500000);
    assert_int_equal(check(&b, p, &n), n.end);
    bench_end(&b);
}

/* A small batch with records of these keys (0: no key) and values ("": none), from this offset on. */
static struct op make(uint8_t *room, size_t size, uint64_t offset, const char *keys, const char *values)
{
    struct batch_builder builder;
    batch_begin(&builder, room, size);
    for (size_t i = 0; i < strlen(keys); i++) {
        struct record record = { .time_ms = 1 };
        if (keys[i] != '0')
            record.key = (struct bytes){ (const uint8_t *)keys + i, 1 };
        if (values[i] != '-')
            record.value = (struct bytes){ (const uint8_t *)values + i, 1 };
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    }
    struct op op = { .offset = offset, .count = (uint32_t)strlen(keys), .time_s = 100, .payload = batch_end(&builder) };
    batch_stamp((uint8_t *)op.payload.at, offset);
    return op;
}

static void tombstones_go_in_the_end(void **state)
{
    static uint8_t rooms[2][4096];
    (void)state;
    for (uint32_t cut = 50; cut <= 150; cut += 100) { /* before and after the time of their append */
        struct op ops[2] = {
            make(rooms[0], 4096, 10, "aab0", "12-x"),
            make(rooms[1], 4096, 14, "abca", "-4-5"),
        };
        struct compaction *c =
            compaction_new((struct clock_cut){ .wall_before_s = cut, .ahead_from_s = UINT32_MAX }, 0, 1000);
        struct op kept;
        struct batch batch;
        compaction_begin(c, 10, 18, UINT64_MAX, NULL, 0);
        do {
            for (int i = 0; i < 2; i++)
                assert_int_equal(compaction_note(c, &ops[i]), NEAP_OK);
        } while (compaction_again(c));
        assert_int_equal(compaction_keep(c, &ops[0], &kept), NEAP_OK);
        assert_int_equal(batch_open(kept.payload, true, &batch), NEAP_OK);
        assert_int_equal(batch.count, 1); /* the one without a key */
        assert_int_equal(batch.span, 4);
        assert_int_equal(compaction_keep(c, &ops[1], &kept), NEAP_OK);
        assert_int_equal(batch_open(kept.payload, true, &batch), NEAP_OK);
        assert_int_equal(batch.count, cut == 50 ? 3 : 2); /* b, c's tombstone or not, a */
        compaction_free(&c);
    }
}

/* ---- where the older value lies ---------------------------------------------------------------------------------------- */

#define SMALL_FILE (16u << 10) /* three units of a page each */

struct scene { /* a compacted topic, one whose events stay, and one whose events will be gone */
    struct bench b;
    struct log_partition t, stays, goes, later;
};

static struct scene scene_begin(void)
{
    struct log_topic topic_there;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct scene s = { .b = { .path = "data",
                              .options = { .file_size = SMALL_FILE,
                                           .disk_size = 256 * SMALL_FILE,
                                           .tail_size = 4 * SMALL_FILE,
                                           .snapshot_size = SMALL_FILE,
                                           .clean_ns = 10 * NS_PER_MS } } };
    s.b.io = sim_open(&(struct sim_options){ .seed = 12 });
    bench_open(&s.b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    settings.tombstone_ms = 1000;
    assert_int_equal(log_topic_ensure_with(s.b.client, "t", 1, &settings, soon(&s.b), &topic_there, &s.b.err), NEAP_OK);
    s.t = (struct log_partition){ topic_there.id, 0 };
    s.stays = (struct log_partition){ topic(&s.b, "stays", 1), 0 };
    s.goes = (struct log_partition){ topic(&s.b, "goes", 1), 0 };
    s.later = (struct log_partition){ topic(&s.b, "later", 1), 0 };
    return s;
}

/* Up to the first page of another file; a file of `stays` alone is alive by more than half. */
static void fill_file(struct scene *s, struct log_partition with)
{
    uint64_t sequence = open_file(&s->b.log->shared)->sequence;
    while (open_file(&s->b.log->shared)->sequence == sequence)
        assert_int_equal(append(&s->b, with, "f", 0, 2, 1400, NULL), NEAP_OK);
}

/* `beside`: as much of `stays` in the same unit as else has one of its own. */
static void put_one(struct scene *s, const char *key, const char *value, bool beside)
{
    static uint8_t more[4096];
    uint8_t room[256];
    struct batch_builder builder;
    struct record record = { .key = bytes_of_text(key), .time_ms = 1 };
    if (value != NULL)
        record.value = bytes_of_text(value);
    batch_begin(&builder, room, sizeof room);
    must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    struct log_op ops[] = { { .kind = LOG_APPEND, .target = s->t, .count = 1, .payload = batch_end(&builder) },
                            { .kind = LOG_APPEND, .target = s->stays, .count = 2 } };
    ops[1].payload = make_batch(more, sizeof more, "f", 0, 2, 1400);
    struct log_unit unit = { .ops = ops, .count = beside ? 2 : 1 };
    assert_int_equal(log_submit_wait(s->b.client, &unit, soon(&s->b)), NEAP_OK);
}

/* The topic goes, the cleaner goes its rounds, and the drained files, which are read as long as they are there, get a new life. */
static void drop(struct scene *s, struct log_partition all_of)
{
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = all_of };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(s->b.client, &unit, soon(&s->b)), NEAP_OK);
    sim_run(s->b.io, 20 * NS_PER_S);
    for (int i = 0; i < 24; i++)
        fill_file(s, s->later);
}

/* The letters of what is left, in order: v(alue), t(ombstone). */
static void assert_left(struct scene *s, const char *want)
{
    struct log_reader *reader;
    struct log_batch batch;
    char left[64] = { 0 };
    size_t count = 0;
    assert_int_equal(log_reader_open(s->b.log, s->t, (log_offset){ 0 }, 4096, &reader, &s->b.err), NEAP_OK);
    while (log_reader_next(reader, &batch, &s->b.err) == NEAP_OK) {
        struct batch opened;
        struct batch_walk walk;
        struct record record;
        must(batch_open(batch.bytes, true, &opened) == NEAP_OK && batch_unpack(&opened, NULL, &walk) == NEAP_OK);
        while (batch_next(&walk, &record) == NEAP_OK)
            left[count++] = record.value.at != NULL ? 'v' : 't';
    }
    log_reader_close(&reader);
    assert_string_equal(left, want);
}

static void a_tombstone_stays_while_an_older_value_may_lie_elsewhere(void **state)
{
    (void)state;
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        struct scene s = scene_begin();
        fill_file(&s, elsewhere == 0 ? s.goes : s.stays);
        put_one(&s, "key", "old", elsewhere == 1); /* in a file that is drained, or in one that is not */
        if (elsewhere == 0)
            fill_file(&s, s.goes);
        for (int i = 0; i < 3; i++)
            fill_file(&s, s.stays); /* between the two, no archive can be joined with one on the other side */
        put_one(&s, "key", NULL, false);
        put_one(&s, "last", "new", false);
        sim_run(s.b.io, 5 * NS_PER_S); /* longer than tombstones are kept */
        for (int i = 0; i < 6; i++)
            fill_file(&s, s.goes);
        drop(&s, s.goes);
        assert_true(s.b.log->shared.views.archives.count > 0);
        assert_left(&s, "vtv");
        drop(&s, s.stays);
        assert_left(&s, "v");
        bench_close(&s.b);
        sim_close(&s.b.io);
    }
}

/* A reader stands in a drained file, and so it is still there: whoever comes now finds what compaction has left, and not a value whose
 * tombstone went with the file after it. */
static void what_is_drained_is_read_from_archives(void **state)
{
    struct scene s = scene_begin();
    struct log_reader *reader;
    struct log_batch batch;
    (void)state;
    fill_file(&s, s.goes);
    put_one(&s, "key", "old", false);
    assert_int_equal(log_reader_open(s.b.log, s.t, (log_offset){ 0 }, 4096, &reader, &s.b.err), NEAP_OK);
    assert_int_equal(log_reader_next(reader, &batch, &s.b.err), NEAP_OK);
    fill_file(&s, s.goes);
    put_one(&s, "key", NULL, false);
    put_one(&s, "last", "new", false);
    for (int i = 0; i < 6; i++)
        fill_file(&s, s.goes);
    sim_run(s.b.io, 5 * NS_PER_S); /* longer than tombstones are kept */
    for (int i = 0; i < 3; i++)
        put_one(&s, i == 0 ? "a" : i == 1 ? "b" : "c", "new", false); /* enough for another compaction */
    for (int i = 0; i < 6; i++)
        fill_file(&s, s.goes);
    drop(&s, s.goes);
    assert_true(s.b.log->shared.files[0].pin_count == 1 && s.b.log->shared.files[0].dead);
    assert_left(&s, "vvvv");
    log_reader_close(&reader);
    bench_close(&s.b);
    sim_close(&s.b.io);
}

/* ---- more than fits ---------------------------------------------------------------------------------------------------- */

#define MANY 3000u

static void put_key(struct bench *b, struct log_partition p, uint32_t key, uint32_t value)
{
    uint8_t room[256];
    struct batch_builder builder;
    struct record_header header = { .name = BYTES("of"), .value = BYTES("many") };
    struct record record = { .key = { (uint8_t *)&key, sizeof key },
                             .value = { (uint8_t *)&value, sizeof value },
                             .time_ms = 1000 + value };
    batch_begin(&builder, room, sizeof room);
    must(batch_add(&builder, &record, &header, 1) == NEAP_OK);
    struct log_op op = { .kind = LOG_APPEND, .target = p, .count = 1, .payload = batch_end(&builder) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* Every key's newest value is there, with all that it came with; answers in how many batches. */
static uint32_t check_keys(struct bench *b, struct log_partition p, uint32_t newest)
{
    static uint32_t values[MANY];
    struct log_reader *reader;
    struct log_batch batch;
    uint32_t batches = 0;
    uint64_t next = 0;
    enum neap_status status;
    memset(values, 0, sizeof values);
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 4096, &reader, &b->err), NEAP_OK);
    for (; (status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK; batches++) {
        struct batch opened;
        struct batch_walk walk;
        struct record record;
        struct record_header header;
        assert_true(batch.base.n >= next);
        next = batch.base.n + batch.count;
        must(batch_open(batch.bytes, true, &opened) == NEAP_OK && batch_unpack(&opened, NULL, &walk) == NEAP_OK);
        while (batch_next(&walk, &record) == NEAP_OK) {
            struct reader headers = reader_of(record.headers);
            uint32_t key = get_le32(record.key.at), value = get_le32(record.value.at);
            assert_int_equal(record.offset, (uint64_t)(value - 1) * MANY + key); /* where it was put */
            assert_int_equal(record.time_ms, 1000 + value);
            assert_true(record.header_count == 1 && record_header_next(&headers, &header) == NEAP_OK);
            assert_memory_equal(header.value.at, "many", 4);
            values[key] = value;
        }
    }
    assert_int_equal(status, NEAP_AGAIN);
    log_reader_close(&reader);
    for (uint32_t key = 0; key < MANY; key++)
        assert_int_equal(values[key], newest);
    return batches;
}

static void hold(struct bench *b, struct log_partition p, uint8_t view)
{
    struct log_op op = { .kind = LOG_OFFSET, .view = view, .target = p, .name = BYTES("pipe") };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static uint32_t continuing(struct bench *b)
{
    const struct archives *all = &b->log->shared.views.archives;
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        count += (all->list[i]->facts.flags & ARCHIVE_CONTINUES) != 0;
    return count;
}

/* Fifteen times as many batches are alive as an index in memory holds. While a group holds them they stay as they are, and one
 * compaction gives several archives; afterwards there are few batches, and a small part of what came in. */
static void many_keys_that_come_alone(void **state)
{
    struct log_topic t;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b = { .path = "data",
                       .options = { .file_size = FILE_SIZE / 2,
                                    .disk_size = 64 * FILE_SIZE,
                                    .tail_size = 1u << 20,
                                    .index_count_max = 200,
                                    .snapshot_size = FILE_SIZE / 2,
                                    .clean_ns = 10 * NS_PER_MS } };
    (void)state;
    b.io = sim_open(&(struct sim_options){ .seed = 15 });
    bench_open(&b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    assert_int_equal(log_topic_ensure_with(b.client, "t", 1, &settings, soon(&b), &t, &b.err), NEAP_OK);
    struct log_partition p = { t.id, 0 };
    hold(&b, p, LOG_OFFSET_HOLD);
    uint32_t several = 0;
    for (uint32_t value = 1; value <= 12; value++) {
        for (uint32_t key = 0; key < MANY; key++) {
            put_key(&b, p, key, value);
            if (key % 10 == 0)
                sim_run(b.io, 20 * NS_PER_MS);
        }
        sim_run(b.io, 2 * NS_PER_S);
        if (value == 2) {
            assert_int_equal(check_keys(&b, p, value), 2 * MANY); /* all of it */
            several = continuing(&b);
            hold(&b, p, LOG_OFFSET_FORGET);
        }
        if (value % 3 == 0)
            bench_reopen(&b);
    }
    assert_true(several > 1);
    sim_run(b.io, 10 * NS_PER_S);
    assert_true(check_keys(&b, p, 12) < MANY / 2);
    assert_figures(&b, p);
    bench_close(&b);
    sim_close(&b.io);
}

/* Half of the disk is alive, so that there is never room to copy all of it: some archives at a time have to do. Producers are told FULL
 * now and then, and never for long. */
static void a_topic_that_takes_half_of_the_disk_goes_on(void **state)
{
    enum { VALUE_SIZE = 2000, SMALL = 64 << 10, FILES = 48, KEYS = FILES * SMALL / 2 / (VALUE_SIZE + 110) };
    static uint8_t room[4096];
    static char text[VALUE_SIZE];
    struct log_topic t;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bench b = { .path = "data",
                       .options = { .file_size = SMALL,
                                    .disk_size = FILES * SMALL,
                                    .tail_size = 1u << 20,
                                    .snapshot_size = 2 * SMALL,
                                    .clean_ns = 10 * NS_PER_MS } };
    (void)state;
    b.io = sim_open(&(struct sim_options){ .seed = 23, .calm = true, .step_count_max = 1000000000 });
    bench_open(&b);
    settings.cleanup = LOG_CLEANUP_COMPACT;
    assert_int_equal(log_topic_ensure_with(b.client, "t", 1, &settings, soon(&b), &t, &b.err), NEAP_OK);
    uint64_t random = 1;
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 8 * KEYS;) {
        random = random * 6364136223846793005u + 1;
        uint32_t key = i < KEYS ? i : (uint32_t)(random >> 33) % KEYS;
        struct record record = { .key = { (uint8_t *)&key, 4 }, .value = { (uint8_t *)text, VALUE_SIZE } };
        struct batch_builder builder;
        batch_begin(&builder, room, sizeof room);
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
        struct log_op op = { .kind = LOG_APPEND, .target = { t.id, 0 }, .count = 1, .payload = batch_end(&builder) };
        struct log_unit unit = { .ops = &op, .count = 1 };
        enum neap_status status = log_submit_wait(b.client, &unit, soon(&b));
        assert_true(status == NEAP_OK || status == NEAP_FULL);
        refused = status == NEAP_OK ? 0 : refused + 1;
        assert_true(refused < 30);
        if (status == NEAP_FULL)
            sim_run(b.io, NS_PER_S);
        i += status == NEAP_OK;
        if (i % 20 == 0)
            sim_run(b.io, 5 * NS_PER_MS);
    }
    assert_figures(&b, (struct log_partition){ t.id, 0 });
    bench_reopen(&b);
    assert_figures(&b, (struct log_partition){ t.id, 0 });
    bench_close(&b);
    sim_close(&b.io);
}

/* More keys than the table holds: walked several times, with the same outcome. */
static void many_keys_take_more_walks(void **state)
{
    enum { TABLE_SIZE = 4 << 20, KEYS_MAX = TABLE_SIZE / 32, RECORDS = 6 * KEYS_MAX };
    static uint8_t room[RECORDS * 20];
    struct batch_builder builder;
    (void)state;
    batch_begin(&builder, room, sizeof room);
    for (uint32_t i = 0; i < RECORDS; i++) { /* the first third once more at the end */
        uint32_t key = i % (4 * KEYS_MAX);
        struct record record = { .key = { (uint8_t *)&key, 4 }, .value = { (uint8_t *)&i, 4 }, .time_ms = 1 };
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    }
    struct op op = { .count = RECORDS, .time_s = 1, .payload = batch_end(&builder) }, kept;
    struct compaction *c = compaction_new(CLOCK_CUT_NOTHING, TABLE_SIZE, RECORDS);
    struct batch batch;
    uint32_t walks = 0;
    compaction_begin(c, 0, RECORDS, UINT64_MAX, NULL, 0);
    do {
        (void)compaction_note(c, &op);
        walks++;
    } while (compaction_again(c));
    assert_true(walks > 4);
    assert_int_equal(compaction_keep(c, &op, &kept), NEAP_OK);
    assert_int_equal(batch_open(kept.payload, true, &batch), NEAP_OK);
    assert_int_equal(batch.count, 4 * KEYS_MAX);
    compaction_free(&c);
}

/* A partition of some records a batch, with keys that come often and seldom, with none, and with no value. */
enum { STRETCH_BATCHES = 120, STRETCH_PER_BATCH = 7, STRETCH_RECORDS = STRETCH_BATCHES * STRETCH_PER_BATCH };
struct stretch_world {
    struct op ops[STRETCH_BATCHES];
    uint8_t rooms[STRETCH_BATCHES][512];
    uint32_t keys[STRETCH_RECORDS]; /* 0: none */
    bool values[STRETCH_RECORDS];
};

static void make_stretch_world(struct stretch_world *w, uint64_t seed)
{
    for (uint32_t n = 0; n < STRETCH_BATCHES; n++) {
        struct batch_builder builder;
        batch_begin_read(&builder, w->rooms[n], sizeof w->rooms[n], (uint64_t)n * STRETCH_PER_BATCH);
        for (uint32_t i = 0; i < STRETCH_PER_BATCH; i++) {
            uint32_t at = n * STRETCH_PER_BATCH + i, *key = &w->keys[at];
            *key = (uint32_t)chance_below(&seed, chance_below(&seed, 2) == 0 ? 8 : 300);
            w->values[at] = chance_below(&seed, 5) != 0;
            struct record record = { .offset = at, .time_ms = 1 };
            if (*key != 0)
                record.key = (struct bytes){ (uint8_t *)key, 4 };
            if (w->values[at])
                record.value = (struct bytes){ (uint8_t *)&at, 4 };
            must(batch_add_read(&builder, &record) == NEAP_OK);
        }
        w->ops[n] = (struct op){ .offset = (uint64_t)n * STRETCH_PER_BATCH,
                                 .count = STRETCH_PER_BATCH,
                                 .time_s = 1,
                                 .payload = batch_end_read(&builder, (uint64_t)(n + 1) * STRETCH_PER_BATCH) };
    }
}

/* The slow, obvious model: old tombstones go, and so does whatever has a newer one of its key below the limit. */
static bool should_stay(const struct stretch_world *w, uint32_t at, uint32_t end, uint32_t limit)
{
    if (at >= limit || w->keys[at] == 0 || at + 1 == end)
        return true;
    for (uint32_t later = at + 1; later < limit && later < STRETCH_RECORDS; later++)
        if (w->keys[later] == w->keys[at])
            return false;
    return w->values[at];
}

/* However few records are told apart at one time, what stays is the same; what lies behind the end is newer, and stays out of it. */
static void stretches_are_as_one(void **state)
{
    static struct stretch_world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t chances = seed;
        make_stretch_world(&w, seed);
        uint32_t most = (uint32_t[]){ 1, 8, 50, 333, STRETCH_RECORDS }[seed % 5], stretches = 1;
        uint32_t batches = seed % 3 == 0 ? STRETCH_BATCHES / 2 : STRETCH_BATCHES, end = batches * STRETCH_PER_BATCH;
        uint32_t limit = seed % 2 == 0 ? STRETCH_RECORDS : (uint32_t)chance_below(&chances, STRETCH_RECORDS);
        struct clock_cut all = { .wall_before_s = 100, .ahead_from_s = UINT32_MAX };
        struct compaction *c = compaction_new(all, 0, most);
        bool stays[STRETCH_RECORDS] = { false };
        compaction_begin(c, 0, end, limit, NULL, 0);
        for (uint32_t from = 0; from < batches;) {
            do {
                enum neap_status status = NEAP_OK;
                for (uint32_t n = from; n < STRETCH_BATCHES && status == NEAP_OK; n++)
                    status = compaction_note(c, &w.ops[n]);
                assert_true(status == NEAP_OK || status == NEAP_AGAIN);
            } while (compaction_again(c));
            for (uint32_t before = from; from < batches; from++) {
                struct op kept;
                struct batch batch;
                struct batch_walk walk;
                struct record record;
                enum neap_status status = compaction_keep(c, &w.ops[from], &kept);
                if (status == NEAP_AGAIN) {
                    assert_true(from > before);
                    compaction_go_on(c, w.ops[from].offset);
                    stretches++;
                    break;
                }
                assert_true(status == NEAP_OK || status == NEAP_NOTFOUND);
                if (status == NEAP_NOTFOUND)
                    continue;
                assert_int_equal(batch_open(kept.payload, true, &batch), NEAP_OK);
                assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
                while (batch_next(&walk, &record) == NEAP_OK)
                    stays[record.offset] = true;
            }
        }
        for (uint32_t at = 0; at < end; at++)
            assert_int_equal(stays[at], should_stay(&w, at, end, limit));
        assert_true(limit < end || stretches >= end / (most > STRETCH_PER_BATCH ? most : STRETCH_PER_BATCH));
        compaction_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tombstones_go_in_the_end),
        cmocka_unit_test(many_keys_take_more_walks),
        cmocka_unit_test(stretches_are_as_one),
        cmocka_unit_test(a_tombstone_stays_while_an_older_value_may_lie_elsewhere),
        cmocka_unit_test(what_is_drained_is_read_from_archives),
        cmocka_unit_test(nothing_that_a_group_has_to_process_goes),
        cmocka_unit_test(the_newest_of_each_key_stays),
        cmocka_unit_test(archives_are_compacted_with_those_before_them),
        cmocka_unit_test(size_is_what_is_left),
        cmocka_unit_test(many_keys_that_come_alone),
        cmocka_unit_test(a_topic_that_takes_half_of_the_disk_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
