/* gate_bench.h - a source on a real log behind the simulated door, and a reader that knows nothing of gates. */
#ifndef TEST_GATE_BENCH_H
#define TEST_GATE_BENCH_H

#include "check.h"

#include "base/must.h"
#include "flow/dead_letter.h"
#include "gate/gate.h"
#include "io/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH       "in/events.ndjson"
#define SEEN_MAX   4000u
#define LETTER_MAX 400u

struct seen { /* one record, as the log holds it */
    char value[128], key[64], id[64];
    bool has_key, has_id;
    uint32_t partition;
    uint64_t offset;
    int64_t time_ms;
};

struct seen_letter {
    char value[128], reason[32], error[256], file[64], stage[32], pipeline[32];
    uint32_t line, column;
    uint64_t full_size, size;
};

struct bench {
    struct io *io;
    struct sim_disk *disk;
    bool owns_disk;
    struct log *log;
    struct logging *logging;
    struct gate *gate;
    struct gate_options options;
    struct log_topic topic, dead;
    uint32_t partition_count, ended_count;
    uint64_t log_disk_size;
    char said[16384]; /* what was logged */
    size_t said_size;
    struct seen seen[SEEN_MAX];
    uint32_t seen_count;
    struct seen_letter letters[LETTER_MAX];
    uint32_t letter_count;
};

static inline wall_time bench_wall(void *ctx)
{
    return io_wall(((struct bench *)ctx)->io);
}

static inline void bench_say(void *ctx, struct bytes line)
{
    struct bench *b = ctx;
    if (b->said_size + line.size < sizeof(b->said)) {
        memcpy(b->said + b->said_size, line.at, line.size);
        b->said_size += line.size;
        b->said[b->said_size] = '\0';
    }
}

static inline void bench_ended(void *ctx)
{
    ((struct bench *)ctx)->ended_count++;
}

/* ---- the disk ---- */

static inline void put_at(struct bench *b, const char *path, struct bytes bytes, uint64_t position, bool create)
{
    struct io_file *file = NULL;
    struct error err = { 0 };
    assert_int_equal(io_file_open(b->io, path, IO_READ | IO_WRITE | (create ? IO_CREATE : 0), &file, &err), NEAP_OK);
    if (bytes.size > 0)
        assert_int_equal(io_file_write(file, &bytes, 1, position), NEAP_OK);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    io_file_close(&file);
    assert_int_equal(io_dir_sync(b->io, "in", &err), NEAP_OK);
}

static inline void append_to(struct bench *b, const char *path, const char *text)
{
    struct io_file_info info = { 0 };
    bool there = io_path_info(b->io, path, &info) == NEAP_OK;
    put_at(b, path, bytes_of_text(text), there ? info.size : 0, true);
}

static inline void cut_to(struct bench *b, const char *path, uint64_t size)
{
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(b->io, path, IO_READ | IO_WRITE, &file, NULL), NEAP_OK);
    assert_int_equal(io_file_truncate(file, size), NEAP_OK);
    io_file_close(&file);
}

/* {"id":"FIRST","k":FIRST%7} and so on, a line each. */
static inline void append_events(struct bench *b, const char *path, uint32_t first, uint32_t count)
{
    char *text = malloc(count * 64 + 1);
    size_t size = 0;
    for (uint32_t i = first; i < first + count; i++)
        size += (size_t)sprintf(text + size, "{\"id\":\"%u\",\"k\":%u}\n", i, i % 7);
    text[size] = '\0';
    append_to(b, path, text);
    free(text);
}

/* ---- opening and closing ---- */

static inline void bench_door(struct bench *b, uint64_t seed, struct sim_disk *disk, bool calm)
{
    struct error err = { 0 };
    b->disk = disk;
    b->io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk, .calm = calm });
    assert_non_null(b->io);
    if (b->logging == NULL)
        b->logging = logging_new(&(struct logging_options){
            .level = LOGGING_INFO, .wall = bench_wall, .write = bench_say, .ctx = b, .burst_count_max = 100 });
    assert_int_equal(io_dir_make(b->io, "in", &err), NEAP_OK);
    assert_int_equal(io_dir_sync(b->io, ".", &err), NEAP_OK);
}

static inline void bench_log(struct bench *b)
{
    struct error err = { 0 };
    struct log_client *client;
    struct log_options options = { .path = "data",
                                   .file_size = 4u << 20,
                                   .disk_size = b->log_disk_size != 0 ? b->log_disk_size : 512u << 20,
                                   .tail_size = 4u << 20,
                                   .index_count_max = 4096 };
    if (log_open(b->io, &options, &b->log, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(log_client_open(b->log, &(struct log_client_options){ 0 }, &client, &err), NEAP_OK);
    assert_int_equal(log_topic_ensure(client, "events", b->partition_count, MONO_NEVER, &b->topic, &err), NEAP_OK);
    assert_int_equal(log_topic_ensure(client, "events.dead", 1, MONO_NEVER, &b->dead, &err), NEAP_OK);
    log_client_close(&client);
}

static inline void bench_gate(struct bench *b)
{
    struct error err = { 0 };
    b->options.log = b->log;
    b->options.logging = b->logging;
    b->options.pipeline = "commits";
    b->options.pipeline_file = "neap.yaml";
    b->options.topic = "events";
    b->options.topic_id = b->topic.id;
    b->options.partition_count = b->partition_count;
    b->options.dead_topic_id = b->dead.id;
    b->options.ended = bench_ended;
    b->options.ctx = b;
    b->ended_count = 0;
    if (gate_open(b->io, &b->options, &b->gate, &err) != NEAP_OK)
        fail_msg("%s", err.text);
}

static inline void bench_init(struct bench *b, uint32_t partition_count)
{
    memset(b, 0, sizeof(*b));
    b->partition_count = partition_count;
    b->options = (struct gate_options){ .path = PATH, .key = { "event.k", 6, 12 }, .id = { "event.id", 7, 12 } };
    bench_door(b, 1, sim_disk_new(&(struct sim_disk_options){ .size = 256u << 20 }), true);
    b->owns_disk = true;
    bench_log(b);
}

static inline void bench_fini(struct bench *b)
{
    gate_close(&b->gate);
    log_close(&b->log);
    sim_close(&b->io);
    logging_free(&b->logging);
    if (b->owns_disk)
        sim_disk_free(&b->disk);
}

static inline struct gate_figures figures_of(struct bench *b)
{
    struct gate_figures figures;
    gate_figures(b->gate, &figures, NULL);
    return figures;
}

/* Runs until the gate has ended, or nothing more is to be read of a followed file. */
static inline void bench_rest(struct bench *b)
{
    for (int i = 0; i < 10000; i++) {
        enum gate_state state = figures_of(b).state;
        if (i > 20 && (b->ended_count > 0 || state == GATE_WAITING))
            return;
        sim_run(b->io, 50 * NS_PER_MS);
    }
    fail_msg("the source never came to rest");
}

/* From opening to the end, once. */
static inline void bench_run(struct bench *b)
{
    bench_gate(b);
    bench_rest(b);
    assert_int_equal(b->ended_count, 1);
    assert_int_equal(figures_of(b).state, GATE_DONE);
    gate_close(&b->gate);
}

/* ---- what the log holds ---- */

static inline void keep_text(char *room, size_t size, struct bytes bytes)
{
    size_t n = bytes.size < size - 1 ? bytes.size : size - 1;
    if (n > 0)
        memcpy(room, bytes.at, n);
    room[n] = '\0';
}

static inline void see_record(struct bench *b, uint32_t partition, const struct record *record)
{
    assert_true(b->seen_count < SEEN_MAX);
    struct seen *s = &b->seen[b->seen_count++];
    *s = (struct seen){ .partition = partition, .offset = record->offset, .time_ms = record->time_ms };
    s->has_key = record->key.at != NULL;
    keep_text(s->key, sizeof(s->key), record->key);
    keep_text(s->value, sizeof(s->value), record->value);
    struct reader left = reader_of(record->headers);
    struct record_header header;
    while (record_header_next(&left, &header) == NEAP_OK) {
        assert_true(bytes_equal(header.name, BYTES("neap.id")));
        s->has_id = true;
        keep_text(s->id, sizeof(s->id), header.value);
    }
}

static inline void see_letter(struct bench *b, const struct record *record)
{
    struct dead_letter_view view;
    assert_true(b->letter_count < LETTER_MAX);
    struct seen_letter *l = &b->letters[b->letter_count++];
    assert_int_equal(dead_letter_read(record, &view), NEAP_OK);
    keep_text(l->value, sizeof(l->value), record->value);
    keep_text(l->reason, sizeof(l->reason), view.reason);
    keep_text(l->error, sizeof(l->error), view.error);
    keep_text(l->file, sizeof(l->file), view.file);
    keep_text(l->stage, sizeof(l->stage), view.stage);
    keep_text(l->pipeline, sizeof(l->pipeline), view.pipeline);
    assert_false(view.was_in_log);
    l->line = view.line;
    l->column = view.column;
    l->full_size = view.full_size;
    l->size = record->value.size;
}

static inline void see_partition(struct bench *b, struct log_partition p, bool letters)
{
    struct log_reader *reader;
    struct log_batch from;
    struct batch batch;
    struct record record;
    struct error err;
    uint64_t next = 0;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 0 }, 65536, &reader, &err), NEAP_OK);
    while (log_reader_next(reader, &from, &err) == NEAP_OK) {
        assert_int_equal(batch_open(from.bytes, true, &batch), NEAP_OK);
        struct batch_walk walk;
        assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
        for (; batch_next(&walk, &record) == NEAP_OK; next++) {
            assert_int_equal(record.offset, next);
            if (letters)
                see_letter(b, &record);
            else
                see_record(b, p.partition, &record);
        }
    }
    log_reader_close(&reader);
}

static inline struct ledger door_ledger(struct bench *b)
{
    char key[LEDGER_KEY_SIZE_MAX];
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    struct bytes value;
    struct ledger ledger = { 0 };
    size_t size = ledger_key(key, "commits", 'd');
    enum neap_status status = log_fact_get(b->log, LOG_VIEW_LEDGER, (struct log_partition){ b->topic.id, 0 },
                                           (struct bytes){ (uint8_t *)key, size }, room, &value);
    if (status == NEAP_OK)
        assert_int_equal(ledger_decode(value, &ledger), NEAP_OK);
    free(room);
    return ledger;
}

/* Reads all there is, and checks that the ledger says the same. */
static inline void bench_look(struct bench *b)
{
    b->seen_count = b->letter_count = 0;
    for (uint32_t p = 0; p < b->partition_count; p++)
        see_partition(b, (struct log_partition){ b->topic.id, p }, false);
    see_partition(b, (struct log_partition){ b->dead.id, 0 }, true);
    struct ledger ledger = door_ledger(b);
    assert_int_equal(ledger.accepted, b->seen_count + b->letter_count);
    assert_int_equal(ledger.dead_lettered, b->letter_count);
}

/* The log holds events 0 .. count - 1 of append_events(), each once, those of a key in their order in one partition. */
static inline void check_events(struct bench *b, uint32_t count)
{
    static uint8_t met[SEEN_MAX];
    int64_t last[7] = { -1, -1, -1, -1, -1, -1, -1 };
    int64_t home[7] = { -1, -1, -1, -1, -1, -1, -1 };
    memset(met, 0, sizeof(met));
    bench_look(b);
    assert_int_equal(b->letter_count, 0);
    for (uint32_t i = 0; i < b->seen_count; i++) {
        const struct seen *s = &b->seen[i];
        unsigned id, k;
        assert_int_equal(sscanf(s->value, "{\"id\":\"%u\",\"k\":%u}", &id, &k), 2);
        assert_true(id < count && met[id]++ == 0);
        assert_true(s->has_key && atoi(s->key) == (int)k);
        assert_true(s->has_id && atoi(s->id) == (int)id);
        assert_true(last[k] < (int64_t)id);
        assert_true(home[k] < 0 || home[k] == s->partition);
        last[k] = id;
        home[k] = s->partition;
    }
    assert_int_equal(b->seen_count, count);
}

#endif
