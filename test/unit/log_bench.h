/* log_bench.h - a log in a folder of its own, and the few moves that tests of it are made of. */
#ifndef TEST_LOG_BENCH_H
#define TEST_LOG_BENCH_H

#include "check.h"

#include "base/must.h"
#include "io/real.h"
#include "log/batch.h"
#include "log/log.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench {
    struct io *io;
    struct log *log;
    struct log_client *client;
    char path[64];
    struct log_options options;
    struct error err;
};

static inline mono_time soon(struct bench *b)
{
    return mono_after(io_now(b->io), 20 * NS_PER_S);
}

static inline enum neap_status bench_try_open(struct bench *b)
{
    b->options.path = b->path;
    b->err = (struct error){ 0 };
    enum neap_status status = log_open(b->io, &b->options, &b->log, &b->err);
    if (status == NEAP_OK)
        status = log_client_open(b->log, &(struct log_client_options){ 0 }, &b->client, &b->err);
    return status;
}

static inline void bench_open(struct bench *b)
{
    enum neap_status status = bench_try_open(b);
    if (status != NEAP_OK)
        print_error("%s\n", b->err.text);
    assert_int_equal(status, NEAP_OK);
}

static inline void bench_close(struct bench *b)
{
    log_client_close(&b->client);
    log_close(&b->log);
}

static inline void bench_reopen(struct bench *b)
{
    bench_close(b);
    bench_open(b);
}

#define NO_CLEANING_NS (24 * 3600 * NS_PER_S) /* as clean_ns: what was written into a journal file stays there */

static inline struct bench bench_new(uint32_t file_size)
{
    struct bench b = { .options = { .file_size = file_size,
                                    .disk_size = 256ull * file_size,
                                    .tail_size = 64u << 10,
                                    .index_count_max = 4096,
                                    .snapshot_size = 4 * file_size } };
    snprintf(b.path, sizeof b.path, "/tmp/neap-test-XXXXXX");
    must(mkdtemp(b.path) != NULL);
    b.io = io_real_open(&b.err);
    must(b.io != NULL);
    return b;
}

static inline void bench_end(struct bench *b)
{
    char command[128];
    bench_close(b);
    io_real_close(&b->io);
    snprintf(command, sizeof command, "rm -rf '%s'", b->path);
    must(system(command) == 0);
}

static inline uint32_t topic(struct bench *b, const char *name, uint32_t partitions)
{
    struct log_topic t;
    assert_int_equal(log_topic_ensure(b->client, name, partitions, soon(b), &t, &b->err), NEAP_OK);
    return t.id;
}

/* `count` records, whose values say what they are: "LABEL FIRST", "LABEL FIRST+1" …, padded to `size`. */
static inline struct bytes make_batch(uint8_t *room, size_t room_size, const char *label, uint64_t first,
                                      uint32_t count, size_t size)
{
    struct batch_builder builder;
    batch_begin(&builder, room, room_size);
    for (uint32_t i = 0; i < count; i++) {
        char value[4096];
        memset(value, '.', sizeof value);
        int n = snprintf(value, sizeof value, "%s %llu ", label, (unsigned long long)(first + i));
        struct record record = { .value = { (uint8_t *)value, (size_t)n > size ? (size_t)n : size }, .time_ms = 1000 };
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    }
    return batch_end(&builder);
}

static inline enum neap_status append(struct bench *b, struct log_partition p, const char *label, uint64_t first,
                                      uint32_t count, size_t size, uint64_t *ret_offset)
{
    static uint8_t room[1 << 20];
    struct log_op op = { .kind = LOG_APPEND,
                         .target = p,
                         .count = count,
                         .payload = make_batch(room, sizeof room, label, first, count, size) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    enum neap_status status = log_submit_wait(b->client, &unit, soon(b));
    if (status == NEAP_OK && ret_offset != NULL)
        *ret_offset = op.offset.n;
    return status;
}

/* Reads [from, end) and checks that record N's value begins "LABEL N ". Answers the end. */
static inline uint64_t check_records(struct bench *b, struct log_partition p, const char *label, uint64_t from)
{
    struct log_reader *reader;
    struct log_batch batch;
    enum neap_status status = log_reader_open(b->log, p, (log_offset){ from }, 16384, &reader, &b->err);
    assert_int_equal(status, NEAP_OK);
    uint64_t next = from;
    while ((status = log_reader_next(reader, &batch, &b->err)) == NEAP_OK) {
        struct batch opened;
        struct record record;
        assert_int_equal(batch_open(batch.bytes, true, &opened), NEAP_OK);
        assert_int_equal(opened.base_offset, batch.base.n);
        struct batch_walk walk;
        assert_int_equal(batch_unpack(&opened, NULL, &walk), NEAP_OK);
        while (batch_next(&walk, &record) == NEAP_OK) {
            char want[64];
            if (record.offset < from)
                continue;
            int n = snprintf(want, sizeof want, "%s %llu ", label, (unsigned long long)record.offset);
            assert_int_equal(record.offset, next);
            assert_true(record.value.size >= (size_t)n);
            assert_memory_equal(record.value.at, want, n);
            next++;
        }
    }
    if (status != NEAP_AGAIN)
        print_error("%s\n", b->err.text);
    assert_int_equal(status, NEAP_AGAIN);
    log_reader_close(&reader);
    return next;
}

/* The index-th name of a folder of the log that ends in `suffix`, in name order; negative: from the last. */
static inline bool log_file(struct bench *b, const char *folder, const char *suffix, int index, char *ret_path,
                            size_t size)
{
    char path[128];
    struct dirent **names;
    snprintf(path, sizeof path, "%s/%s", b->path, folder);
    int count = scandir(path, &names, NULL, alphasort), kept = 0;
    must(count >= 0);
    for (int i = 0; i < count; i++) {
        size_t n = strlen(names[i]->d_name), m = strlen(suffix);
        if (n >= m && strcmp(names[i]->d_name + n - m, suffix) == 0)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    int at = index < 0 ? kept + index : index;
    bool found = at >= 0 && at < kept;
    if (found)
        must((size_t)snprintf(ret_path, size, "%s/%s", path, names[at]->d_name) < size);
    for (int i = 0; i < kept; i++)
        free(names[i]);
    free(names);
    return found;
}

static inline void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    must(f != NULL && fseek(f, at, SEEK_SET) == 0);
    int c = fgetc(f);
    must(c != EOF && fseek(f, at, SEEK_SET) == 0);
    must(fputc(c ^ 1, f) != EOF && fclose(f) == 0);
}

#endif
