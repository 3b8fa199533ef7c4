/* history.h - one small history of a log, of everything that this format version can hold. It happens in a simulated world, so
 * that it is the same every time: hours pass at once, bytes turn bad where they should, and in the end the power fails
 * between two sectors of a write.
 *
 * When a format version is born, golden-make writes this history down, and golden.h gets what it says. After that this file
 * may change with the next version; the directory does not. */
#ifndef TEST_GOLDEN_HISTORY_H
#define TEST_GOLDEN_HISTORY_H

#include "golden.h"

#include "io/sim.h"
#include "log/local/local.h"

#define HISTORY_FILE_COUNT_MAX 200u

struct history {
    struct bench b;
    struct sim_disk *disk; /* what it is left on */
    uint32_t rounds;
};

static inline void history_open_door(struct history *h)
{
    h->b.io = sim_open(&(struct sim_options){ .seed = 2, .disk = h->disk, .calm = true });
    must(h->b.io != NULL);
}

static inline struct history history_new(void)
{
    struct history h = { .b = { .path = "data",
                                .options = { .file_size = GOLDEN_FILE_SIZE,
                                             .disk_size = 256 * GOLDEN_FILE_SIZE,
                                             .tail_size = 64u << 10,
                                             .index_count_max = 4096,
                                             .snapshot_size = GOLDEN_FILE_SIZE,
                                             .clean_ns = 100 * NS_PER_MS } } };
    h.disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    must(h.disk != NULL);
    history_open_door(&h);
    return h;
}

static inline void history_free(struct history *h)
{
    if (h->b.io != NULL)
        sim_close(&h->b.io);
    sim_disk_free(&h->disk);
}

static inline void history_submit(struct history *h, struct log_op *ops, uint32_t count)
{
    struct log_unit unit = { .ops = ops, .count = count };
    enum neap_status status = log_submit_wait(h->b.client, &unit, soon(&h->b));
    assert_int_equal(status, NEAP_OK);
}

static inline void history_wait_until(struct history *h, int64_t second)
{
    int64_t ms = 1000 * second - io_wall(h->b.io).ms;
    must(ms >= 0);
    sim_run(h->b.io, (ms + 1) * NS_PER_MS);
}

/* ---- topics, groups, facts ------------------------------------------------------------------------------------------- */

static inline void history_create(struct history *h, const char *name, struct log_topic_settings settings)
{
    struct log_topic t;
    enum neap_status status = log_topic_ensure_with(h->b.client, name, 1, &settings, soon(&h->b), &t, &h->b.err);
    assert_int_equal(status, NEAP_OK);
}

static inline void history_create_topics(struct history *h)
{
    struct log_topic_settings s = LOG_SETTINGS_DEFAULT, done = s, recent = s, bounded = s, table = s, brief = s, quick = s;
    uint8_t room[LOG_SETTINGS_SIZE];
    done.retention = LOG_RETAIN_DONE;
    recent.retention_ms = 3600000;
    bounded.retention_size = GOLDEN_BOUNDED;
    table.cleanup = brief.cleanup = LOG_CLEANUP_COMPACT;
    table.tombstone_ms = GOLDEN_HUNDRED_YEARS_MS;
    brief.tombstone_ms = 1000;
    quick.interval_ms = 50;
    quick.record_size_max = 4096;
    history_create(h, "gone", s);
    history_create(h, "orders", s);
    history_create(h, "done", done);
    history_create(h, "recent", recent);
    history_create(h, "bounded", bounded);
    history_create(h, "trimmed", s);
    history_create(h, "table", s);
    history_create(h, "brief", brief);
    history_create(h, "quick", quick);
    history_create(h, "damaged", s);
    struct log_op waits = { .kind = LOG_OFFSET, /* before the topic grows: it holds what comes, too */
                            .view = LOG_OFFSET_HOLD,
                            .target = golden_partition(&h->b, "orders", 0),
                            .name = BYTES("waits") };
    history_submit(h, &waits, 1);
    s.record_size_max = 65536;
    struct log_op more = { .kind = LOG_TOPIC_ALTER,
                           .target = golden_partition(&h->b, "orders", 0),
                           .count = 2,
                           .payload = log_settings_encode(&s, room) };
    history_submit(h, &more, 1);
    struct log_op other = { .kind = LOG_TOPIC_ALTER,
                            .target = golden_partition(&h->b, "table", 0),
                            .payload = log_settings_encode(&table, room) };
    history_submit(h, &other, 1);
}

static inline struct log_op history_commit(struct history *h, const char *topic, const char *group, uint64_t point,
                                           struct bytes done_set, uint8_t flags)
{
    return (struct log_op){ .kind = LOG_OFFSET,
                            .view = flags,
                            .target = golden_partition(&h->b, topic, 0),
                            .offset = { point },
                            .name = bytes_of_text(group),
                            .payload = done_set };
}

static inline struct log_op history_fact(struct history *h, const char *topic, enum log_view view, struct bytes key,
                                         struct bytes value)
{
    return (struct log_op){ .kind = LOG_FACT,
                            .view = (uint8_t)view,
                            .target = golden_partition(&h->b, topic, 0),
                            .name = key,
                            .payload = value };
}

static inline void history_hold(struct history *h)
{
    const struct bytes none = { NULL, 0 };
    struct log_op ops[] = {
        history_commit(h, "done", "ship", 0, none, LOG_OFFSET_HOLD),
        history_commit(h, "done", "bill", 0, none, LOG_OFFSET_HOLD),
        history_commit(h, "done", "left", 4, none, LOG_OFFSET_HOLD),
        history_commit(h, "orders", "looks on", 13, none, 0),
        history_fact(h, "orders", LOG_VIEW_FILE, BYTES("orders.ndjson"), BYTES("position 77")),
        history_fact(h, "orders", LOG_VIEW_FATE, BYTES("ship\0k"), BYTES("dead")),
        history_commit(h, "done", "goes", 50, none, 0),
        history_fact(h, "orders", LOG_VIEW_FATE, BYTES("forgotten"), BYTES("parked")),
        history_fact(h, "orders", LOG_VIEW_FATE, BYTES("forgotten at once"), BYTES("parked")),
        history_fact(h, "orders", LOG_VIEW_SINK, BYTES("ship\0out"), BYTES("row 9")),
        history_fact(h, "orders", LOG_VIEW_START, BYTES("ship"), BYTES("epoch 3")),
    };
    history_submit(h, ops, COUNT_OF(ops));
}

static inline void history_go_on_without(struct history *h)
{
    const struct bytes none = { NULL, 0 };
    struct log_op ops[] = {
        history_commit(h, "done", "ship", 40, none, 0),
        history_commit(h, "done", "bill", 20, BYTES("\x05\x00\x80"), 0),
        history_commit(h, "done", "left", 0, none, LOG_OFFSET_FORGET),
        history_fact(h, "orders", LOG_VIEW_FATE, BYTES("forgotten at once"), none),
    };
    history_submit(h, ops, COUNT_OF(ops));
    struct log_op trim = { .kind = LOG_TRIM, .target = golden_partition(&h->b, "trimmed", 0), .offset = { 7 } };
    history_submit(h, &trim, 1);
    struct log_op gone = { .kind = LOG_TOPIC_DELETE, .target = golden_partition(&h->b, "gone", 0) };
    history_submit(h, &gone, 1);
}

/* ---- rounds of appends ------------------------------------------------------------------------------------------------ */

struct history_ops { /* of one unit, and the room for its batches */
    struct log_op list[16];
    uint32_t count;
    uint8_t rooms[16][8192];
};

static inline void history_add(struct history *h, struct history_ops *ops, const char *topic, uint32_t partition,
                               uint32_t count, struct bytes batch)
{
    must(ops->count < COUNT_OF(ops->list));
    ops->list[ops->count++] = (struct log_op){ .kind = LOG_APPEND,
                                               .target = golden_partition(&h->b, topic, partition),
                                               .count = count,
                                               .payload = batch };
}

static inline void history_plain(struct history *h, struct history_ops *ops, const char *topic, uint32_t partition,
                                 const char *label, uint64_t first, uint32_t count, size_t size)
{
    uint8_t *room = ops->rooms[ops->count];
    history_add(h, ops, topic, partition, count, make_batch(room, sizeof ops->rooms[0], label, first, count, size));
}

static inline void history_packed(struct history *h, struct history_ops *ops, uint64_t first, enum codec codec)
{
    static uint8_t room[8192];
    struct bytes batch = make_batch(room, sizeof room, "p", first, GOLDEN_ORDERS, 60);
    uint8_t *packed = ops->rooms[ops->count];
    if (codec != CODEC_NONE)
        must(batch_pack(batch, codec, packed, sizeof ops->rooms[0], &batch) == NEAP_OK);
    history_add(h, ops, "orders", 0, GOLDEN_ORDERS, batch);
}

static inline void history_keyed(struct history *h, struct history_ops *ops, const char *topic, const char *label,
                                 uint64_t first, uint32_t count, uint32_t (*key)(uint64_t), bool (*tombstone)(uint64_t))
{
    struct batch_builder builder;
    batch_begin(&builder, ops->rooms[ops->count], sizeof ops->rooms[0]);
    for (uint64_t o = first; o < first + count; o++) {
        char name[16], value[32];
        snprintf(name, sizeof name, "key-%u", key(o));
        snprintf(value, sizeof value, "%s %llu ", label, (unsigned long long)o);
        struct record record = { .key = bytes_of_text(name), .time_ms = 1000 };
        if (!tombstone(o))
            record.value = bytes_of_text(value);
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    }
    history_add(h, ops, topic, 0, count, batch_end(&builder));
}

static inline void history_round(struct history *h)
{
    static struct history_ops ops;
    static uint8_t rounds[8];
    uint32_t r = h->rounds++;
    ops.count = 0;
    history_packed(h, &ops, (uint64_t)GOLDEN_ORDERS * r, (enum codec)(r % CODEC_COUNT));
    history_plain(h, &ops, "orders", 1, "q", r, 1, 20);
    history_keyed(h, &ops, "table", "t", (uint64_t)GOLDEN_TABLE * r, GOLDEN_TABLE, golden_table_key,
                  golden_table_tombstone);
    history_keyed(h, &ops, "brief", "b", (uint64_t)GOLDEN_BRIEF * r, GOLDEN_BRIEF, golden_brief_key,
                  golden_brief_tombstone);
    if (r < GOLDEN_ROUNDS) {
        history_plain(h, &ops, "done", 0, "d", (uint64_t)GOLDEN_DONE * r, GOLDEN_DONE, 50);
        history_plain(h, &ops, "bounded", 0, "s", r, 1, GOLDEN_BOUNDED_1);
        history_plain(h, &ops, "trimmed", 0, "c", 2ull * r, 2, 50);
        history_plain(h, &ops, "gone", 0, "g", r, 1, 300);
    }
    if (r == 0 || r == GOLDEN_ROUNDS)
        history_plain(h, &ops, "recent", 0, "r", r == 0 ? 0 : 10, 10, 20);
    put_le64(rounds, h->rounds);
    ops.list[ops.count++] =
        history_fact(h, "orders", LOG_VIEW_LEDGER, BYTES("ship"), (struct bytes){ rounds, sizeof rounds });
    history_wait_until(h, golden_second(r));
    history_submit(h, ops.list, ops.count);
    if (r < GOLDEN_ROUNDS)
        assert_int_equal(append(&h->b, golden_partition(&h->b, "quick", 0), "i", r, 1, 30, NULL), NEAP_OK);
}

/* ---- damage, and what is declared lost ----------------------------------------------------------------------------------- */

struct history_names {
    char list[HISTORY_FILE_COUNT_MAX][40];
    uint32_t count;
};

static inline bool history_name(void *ctx, const char *name)
{
    struct history_names *names = ctx;
    must(names->count < HISTORY_FILE_COUNT_MAX);
    snprintf(names->list[names->count++], sizeof names->list[0], "%s", name);
    return true;
}

static inline struct bytes history_read(struct io *io, const char *path)
{
    static uint8_t room[1 << 20];
    struct io_file *file;
    struct error err;
    size_t got = 0;
    must(io_file_open(io, path, IO_READ, &file, &err) == NEAP_OK);
    must(io_file_read(file, room, sizeof room, 0, &got) == NEAP_OK && got < sizeof room);
    io_file_close(&file);
    return (struct bytes){ room, got };
}

/* A bit of the record with that value turns, in the newest journal file that holds it. */
static inline void history_spoil(struct history *h, const char *value)
{
    struct history_names names = { .count = 0 };
    char path[80], found[80] = { 0 };
    uint64_t at = 0;
    size_t size = strlen(value);
    must(io_dir_list(h->b.io, "data/journal", history_name, &names, &h->b.err) == NEAP_OK);
    for (uint32_t i = 0; i < names.count; i++) {
        snprintf(path, sizeof path, "data/journal/%s", names.list[i]);
        struct bytes bytes = history_read(h->b.io, path);
        for (size_t k = 0; k + size <= bytes.size; k++)
            if (memcmp(bytes.at + k, value, size) == 0) {
                memcpy(found, path, sizeof found);
                at = k + size;
            }
    }
    must(found[0] != 0);
    uint8_t bad = '!'; /* where a dot was */
    struct io_file *file;
    struct bytes part = { &bad, 1 };
    must(io_file_open(h->b.io, found, IO_READ | IO_WRITE, &file, &h->b.err) == NEAP_OK);
    must(io_file_write(file, &part, 1, at) == NEAP_OK && io_file_sync(file) == NEAP_OK);
    io_file_close(&file);
}

struct history_losses {
    struct log_loss list[8];
    uint32_t count;
};

static inline void history_found(void *ctx, const struct log_finding *finding)
{
    struct history_losses *losses = ctx;
    if (losses->count < COUNT_OF(losses->list) && log_loss_of(finding, &losses->list[losses->count]))
        losses->count++;
}

/* Declares lost what doctor names: the bytes of an entry, and the offsets in them. */
static inline void history_repair(struct history *h)
{
    struct history_losses losses = { .count = 0 };
    struct log_doctor doctor = { .finding = history_found, .ctx = &losses };
    enum neap_status status = log_doctor(h->b.io, h->b.path, &doctor, &h->b.err);
    assert_int_equal(status, NEAP_CORRUPT);
    assert_int_equal(losses.count, 2);
    status = log_repair(h->b.io, &h->b.options, losses.list, losses.count, false, &h->b.err);
    assert_int_equal(status, NEAP_OK);
}

static inline void history_loud(struct history *h)
{
    for (uint64_t i = 0; i < GOLDEN_LOUD; i++) /* too much of each file is alive for it to be drained */
        assert_int_equal(append(&h->b, golden_partition(&h->b, "damaged", 0), "l", 2 * i, 2, 1400, NULL), NEAP_OK);
}

/* Four records with a fact and a commit point; the last of three is damaged, so that the log does not open. */
static inline void history_wound(struct history *h)
{
    static struct history_ops ops;
    uint8_t number[8];
    for (uint64_t n = 1; n <= 3; n++) {
        ops.count = 0;
        history_plain(h, &ops, "damaged", 0, "l", 10 + 4 * n, 4, 100);
        put_le64(number, n);
        ops.list[ops.count++] =
            history_fact(h, "damaged", LOG_VIEW_LEDGER, BYTES("fact"), (struct bytes){ number, sizeof number });
        ops.list[ops.count++] = history_commit(h, "damaged", "beside", n, (struct bytes){ NULL, 0 }, 0);
        history_submit(h, ops.list, ops.count);
    }
    bench_reopen(&h->b); /* its first entry says that all before it was synced */
    bench_close(&h->b);
    history_spoil(h, "l 24 ");
    assert_int_equal(bench_try_open(&h->b), NEAP_CORRUPT);
    history_repair(h);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

static inline void history_told(struct log_unit *unit, enum neap_status status)
{
    uint32_t *count = unit->ctx;
    *count += status == NEAP_OK;
}

/* Small units that come together share an entry. */
static inline void history_burst(struct history *h)
{
    static struct history_ops ops;
    struct log_unit units[GOLDEN_BURST];
    uint32_t told = 0;
    ops.count = 0;
    for (uint32_t i = 0; i < GOLDEN_BURST; i++)
        history_plain(h, &ops, "orders", 1, "q", GOLDEN_ROUNDS_ALL + i, 1, 20);
    for (uint32_t i = 0; i < GOLDEN_BURST; i++) {
        units[i] = (struct log_unit){ .ops = &ops.list[i], .count = 1, .done = history_told, .ctx = &told };
        must(log_submit(h->b.client, &units[i]) == NEAP_OK);
    }
    for (int i = 0; i < 100 && told < GOLDEN_BURST; i++) {
        sim_run(h->b.io, NS_PER_MS);
        log_client_work(h->b.client);
    }
    must(told == GOLDEN_BURST);
}

static inline struct bytes history_file_at(struct sim_disk *disk, uint32_t point, uint64_t state, uint64_t sequence)
{
    static uint8_t kept[3][GOLDEN_FILE_SIZE]; /* the one before, the one after, and the last that was asked for */
    static uint32_t next;
    char path[80];
    struct sim_disk *then = sim_disk_state(disk, point, state, false);
    struct io *io = sim_open(&(struct sim_options){ .seed = 3, .disk = then, .calm = true });
    snprintf(path, sizeof path, "data/journal/%016llx.npj", (unsigned long long)sequence);
    struct bytes bytes = history_read(io, path);
    uint8_t *to = kept[next < 2 ? next++ : 2];
    must(bytes.size == GOLDEN_FILE_SIZE);
    memcpy(to, bytes.at, bytes.size);
    sim_close(&io);
    sim_disk_free(&then);
    return (struct bytes){ to, bytes.size };
}

/* Of two contents of a file: the first sector that differs arrived, and another did not. */
static inline bool history_is_torn(struct bytes none, struct bytes all, struct bytes now)
{
    bool first = true, begun = false, missing = false;
    for (size_t at = 0; at < all.size; at += 512) {
        if (memcmp(none.at + at, all.at + at, 512) == 0)
            continue;
        bool arrived = memcmp(now.at + at, all.at + at, 512) == 0;
        begun |= first && arrived;
        missing |= !first && !arrived;
        first = false;
    }
    return begun && missing;
}

/* Into a file of its own: its index would be made at the next start. */
static inline void history_next_file(struct history *h)
{
    uint64_t sequence = open_file(&h->b.log->shared)->sequence;
    while (open_file(&h->b.log->shared)->sequence == sequence) {
        struct log_op op = history_fact(h, "orders", LOG_VIEW_START, BYTES("ship"), BYTES("epoch 3"));
        history_submit(h, &op, 1);
    }
    sim_run(h->b.io, 150 * NS_PER_MS); /* not so long that it is idle */
}

/* The power fails while the last unit is on its way to the disk: nobody was told that it is there. */
static inline void history_cut(struct history *h)
{
    static struct history_ops ops;
    struct sim_disk *torn = NULL;
    uint32_t told = 0;
    ops.count = 0;
    history_next_file(h);
    history_plain(h, &ops, "orders", 1, "never", 0, 3, 1900);
    struct log_unit unit = { .ops = ops.list, .count = 1, .done = history_told, .ctx = &told };
    uint64_t sequence = open_file(&h->b.log->shared)->sequence;
    uint32_t before = sim_disk_point(h->disk);
    must(log_submit(h->b.client, &unit) == NEAP_OK);
    for (int i = 0; i < 1000 && told == 0; i++) {
        sim_run(h->b.io, NS_PER_US);
        log_client_work(h->b.client);
    }
    must(told == 1 && open_file(&h->b.log->shared)->sequence == sequence);
    uint32_t after = sim_disk_point(h->disk);
    struct bytes none = history_file_at(h->disk, before, SIM_STATE_ALL, sequence);
    struct bytes all = history_file_at(h->disk, after, SIM_STATE_ALL, sequence);
    for (uint32_t point = before + 1; torn == NULL && point <= after; point++)
        for (uint64_t state = 0; torn == NULL && state < 64; state++)
            if (history_is_torn(none, all, history_file_at(h->disk, point, state, sequence)))
                torn = sim_disk_state(h->disk, point, state, false);
    must(torn != NULL);
    bench_close(&h->b); /* of the life that went on nobody hears again */
    sim_close(&h->b.io);
    sim_disk_free(&h->disk);
    h->disk = torn;
}

/* Set wrong by days: the snapshots from there on remember it. */
static inline void history_set_clock(struct history *h)
{
    sim_wall_jump(h->b.io, GOLDEN_CLOCK_JUMP_MS);
    uint64_t number = h->b.log->shared.snapshot_sequence;
    while (h->b.log->shared.snapshot_sequence < number + SNAPSHOT_KEEP + 1) {
        struct log_op op = history_fact(h, "orders", LOG_VIEW_SINK, BYTES("ship\0out"), BYTES("row 9"));
        history_submit(h, &op, 1);
        sim_run(h->b.io, NS_PER_S);
    }
}

/* What no snapshot holds: every kind of operation is met by replay, too. Much of "done" goes, so that its archive is replaced. */
static inline void history_without_snapshot(struct history *h)
{
    struct log_topic_settings s = LOG_SETTINGS_DEFAULT;
    uint8_t room[LOG_SETTINGS_SIZE];
    bench_close(&h->b);
    h->b.options.snapshot_size = 1u << 20;
    bench_open(&h->b);
    history_create(h, "late", s);
    history_create(h, "gone", s);
    s.retention_ms = GOLDEN_HUNDRED_YEARS_MS;
    struct log_op alter = { .kind = LOG_TOPIC_ALTER,
                            .target = golden_partition(&h->b, "late", 0),
                            .count = 3,
                            .payload = log_settings_encode(&s, room) };
    history_submit(h, &alter, 1);
    assert_int_equal(append(&h->b, golden_partition(&h->b, "late", 2), "x", 0, 9, 20, NULL), NEAP_OK);
    struct log_op trim = { .kind = LOG_TRIM, .target = golden_partition(&h->b, "late", 2), .offset = { 5 } };
    history_submit(h, &trim, 1);
    struct log_op gone = { .kind = LOG_TOPIC_DELETE, .target = golden_partition(&h->b, "gone", 0) };
    history_submit(h, &gone, 1);
    struct log_op lost = {
        .kind = LOG_LOST, .target = golden_partition(&h->b, "damaged", 0), .offset = { 10 }, .count = 2
    };
    history_submit(h, &lost, 1);
    struct log_op ops[] = {
        history_commit(h, "done", "bill", 40, BYTES("\x05\x00\x80"), 0),
        history_commit(h, "done", "comes", 44, BYTES("\x01"), LOG_OFFSET_HOLD),
        history_commit(h, "done", "goes", 0, (struct bytes){ NULL, 0 }, LOG_OFFSET_FORGET),
        history_fact(h, "orders", LOG_VIEW_FATE, BYTES("forgotten"), (struct bytes){ NULL, 0 }),
    };
    history_submit(h, ops, COUNT_OF(ops));
    sim_run(h->b.io, 10 * NS_PER_S);
}

static inline void history_write(struct history *h)
{
    bench_open(&h->b);
    history_create_topics(h);
    history_hold(h);
    while (h->rounds < GOLDEN_ROUNDS)
        history_round(h);
    history_go_on_without(h);
    history_loud(h);
    sim_run(h->b.io, 60 * NS_PER_S);
    while (h->rounds < GOLDEN_ROUNDS_ALL - 4)
        history_round(h);
    bench_close(&h->b);
    history_spoil(h, "l 4 ");
    history_repair(h);
    bench_open(&h->b);
    while (h->rounds < GOLDEN_ROUNDS_ALL)
        history_round(h);
    history_set_clock(h);
    history_without_snapshot(h);
    history_wound(h);
    bench_open(&h->b);
    assert_int_equal(append(&h->b, golden_partition(&h->b, "damaged", 0), "l", 26, 2, 100, NULL), NEAP_OK);
    history_burst(h);
    sim_run(h->b.io, 10 * NS_PER_S);
    history_cut(h);
}

/* ---- into a directory ------------------------------------------------------------------------------------------------------ */

static inline void history_export_folder(struct io *io, const char *folder, const char *to)
{
    struct history_names names = { .count = 0 };
    struct error err;
    char path[512];
    snprintf(path, sizeof path, "data/%s", folder);
    must(io_dir_list(io, path, history_name, &names, &err) == NEAP_OK);
    snprintf(path, sizeof path, "%s/%s", to, folder);
    must(mkdir(path, 0777) == 0);
    for (uint32_t i = 0; i < names.count; i++) {
        snprintf(path, sizeof path, "data/%s/%s", folder, names.list[i]);
        struct bytes bytes = history_read(io, path);
        snprintf(path, sizeof path, "%s/%s/%s", to, folder, names.list[i]);
        FILE *f = fopen(path, "wb");
        must(f != NULL && fwrite(bytes.at, 1, bytes.size, f) == bytes.size && fclose(f) == 0);
    }
}

/* `to` is there, and empty. The lock file stays behind: it says which process held the directory. */
static inline void history_export(struct history *h, const char *to)
{
    static const char *const folders[] = { "archive", "index", "journal", "snapshot" };
    struct io *io = sim_open(&(struct sim_options){ .seed = 3, .disk = h->disk, .calm = true });
    for (size_t i = 0; i < COUNT_OF(folders); i++)
        history_export_folder(io, folders[i], to);
    sim_close(&io);
}

#endif
