/* reader.c - the events of a partition, one after the other, borrowed from the log's own room. */
#include "lib/lib.h"
#include "log/batch.h"
#include "log/limits.h"
#include <inttypes.h>
#include <stdlib.h>

#define READ_SIZE (256u << 10)

struct neap_reader {
    uint32_t magic;
    struct neap *neap;
    struct lib_guard guard;
    struct io_agent agent; /* woken when something new is durable; attached when it first waits */
    bool watching, has_descriptor;
    struct log_reader *reader;
    struct log_partition from;
    uint64_t next; /* offset */
    struct batch batch;
    struct batch_walk walk;
    struct codec_room unpack;
    bool batch_open;
    struct { /* while it waits */
        bool on;
        enum neap_status status;
        struct record *record;
        struct error *err;
    } wait;
    struct neap_header headers[NEAP_HEADER_COUNT_MAX];
    char topic_name[LOG_NAME_SIZE_MAX + 1];
};

static enum neap_status next_record(struct neap_reader *r, struct record *ret_record, struct error *err);

static uint32_t look_again(void *ctx, mono_time now)
{
    struct neap_reader *r = ctx;
    (void)now;
    if (!r->wait.on)
        return 0;
    r->wait.status = next_record(r, r->wait.record, r->wait.err);
    if (r->wait.status != NEAP_AGAIN)
        io_agent_leave(&r->agent);
    return 0;
}

enum neap_status neap_reader_open(struct neap *neap, const struct neap_topic *topic, uint32_t partition,
                                  uint64_t offset, struct neap_reader **ret_reader, struct neap_error *err)
{
    if (neap == NULL || topic == NULL || ret_reader == NULL || topic->neap != neap)
        return lib_misuse(err, "neap_reader_open() needs a handle, a topic of it and room for the reader");
    CHECK_MAGIC(neap, LIB_MAGIC);
    struct error error = { 0 };
    struct log_partition from = { topic->topic.id, partition };
    log_offset start = { offset };
    enum neap_status status = lib_has_partition(topic, partition) ? NEAP_OK : NEAP_NOTFOUND;
    if (status == NEAP_OK && offset == NEAP_END)
        status = log_partition_end(neap->log, from, &start);
    if (status != NEAP_OK) {
        error_set(&error, status, "topic %s has no partition %u", topic->topic.name, partition);
        return lib_error(err, &error);
    }
    struct neap_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        error_set(&error, NEAP_NOMEM, "reader: out of memory");
        return lib_error(err, &error);
    }
    r->magic = LIB_READER_MAGIC;
    r->neap = neap;
    r->from = from;
    r->next = start.n;
    memcpy(r->topic_name, topic->topic.name, sizeof r->topic_name);
    codec_room_init(&r->unpack, BATCH_UNPACKED_SIZE_MAX);
    r->agent = (struct io_agent){ .name = "reader", .work = look_again, .ctx = r };
    status = log_reader_open(neap->log, from, start, READ_SIZE, &r->reader, &error);
    if (status != NEAP_OK) {
        free(r);
        return lib_error(err, &error);
    }
    atomic_fetch_add(&neap->open_count, 1);
    *ret_reader = r;
    return NEAP_OK;
}

void neap_reader_close(struct neap_reader **at)
{
    if (at == NULL || *at == NULL)
        return;
    struct neap_reader *r = *at;
    CHECK_MAGIC(r, LIB_READER_MAGIC);
    *at = NULL;
    if (r->watching) {
        log_unwatch(r->neap->log, &r->agent);
        io_agent_stop(&r->agent);
        atomic_fetch_sub(&r->neap->waiting_count, 1);
    }
    log_reader_close(&r->reader);
    codec_room_fini(&r->unpack);
    atomic_fetch_sub(&r->neap->open_count, 1);
    r->magic = 0;
    free(r);
}

enum neap_status neap_reader_seek(struct neap_reader *r, uint64_t offset)
{
    log_offset to = { offset };
    if (r == NULL || lib_enter(&r->guard) != LIB_ENTERED)
        return NEAP_MISUSE;
    CHECK_MAGIC(r, LIB_READER_MAGIC);
    enum neap_status status = NEAP_OK;
    if (offset == NEAP_END)
        status = log_partition_end(r->neap->log, r->from, &to);
    if (status == NEAP_OK) {
        log_reader_seek(r->reader, to);
        r->next = to.n;
        r->batch_open = false;
    }
    lib_leave(&r->guard);
    return status;
}

/* ---- the next one -------------------------------------------------------------------------------------------------- */

/* Nothing more comes from a log that has stopped: who waits would wait for ever. */
static enum neap_status look_health(struct neap_reader *r, struct error *err)
{
    struct error why = { 0 };
    enum neap_status status = log_health(r->neap->log, &why);
    return status == NEAP_OK ? NEAP_AGAIN : error_set(err, NEAP_IO, "the log has stopped: %s", why.text);
}

static enum neap_status open_batch(struct neap_reader *r, struct error *err)
{
    struct log_batch from;
    enum neap_status status = log_reader_next(r->reader, &from, err);
    if (status == NEAP_AGAIN)
        return look_health(r, err);
    if (status == NEAP_NOTFOUND)
        return error_set(err, status, "topic %s was deleted", r->topic_name);
    if (status != NEAP_OK)
        return status;
    status = batch_open(from.bytes, false, &r->batch); /* the log has checked the sums */
    if (status != NEAP_OK)
        return error_set(err, NEAP_CORRUPT, "the batch at offset %" PRIu64 ": %s", from.base.n, status_text(status));
    if ((r->batch.attributes & BATCH_IS_CONTROL) != 0)
        return error_set(err, NEAP_VERSION,
                         "the batch at offset %" PRIu64
                         " is of a kind that this version does not read (attributes 0x%x)",
                         from.base.n, r->batch.attributes);
    r->batch_open = true;
    return batch_unpack(&r->batch, &r->unpack, &r->walk);
}

/* It is said once, and then passed by: asked again, the reader goes on with the batch behind it. */
static enum neap_status pass_unreadable(struct neap_reader *r, enum neap_status why, struct error *err)
{
    uint64_t from = r->next, until = r->batch.base_offset + r->batch.span;
    r->batch_open = false;
    if (until <= from) /* all that it counts have been given */
        return error_set(err, NEAP_BADINPUT,
                         "the batch that ends at offset %" PRIu64
                         " (%s) has bytes behind its last event, which are none",
                         until - 1, codec_name(batch_codec(&r->batch)));
    if (why == NEAP_NOMEM) { /* nothing is wrong with it */
        log_reader_seek(r->reader, (log_offset){ from });
        return error_set(err, why, "unpack the batch at offset %" PRIu64, r->batch.base_offset);
    }
    r->next = until;
    return error_set(err, NEAP_BADINPUT, "offsets %" PRIu64 " to %" PRIu64 ", of a batch (%s): %s", from, until - 1,
                     codec_name(batch_codec(&r->batch)), status_text(why));
}

static enum neap_status next_record(struct neap_reader *r, struct record *ret_record, struct error *err)
{
    for (;;) {
        enum neap_status status = r->batch_open ? NEAP_OK : open_batch(r, err);
        if (!r->batch_open)
            return status;
        if (status == NEAP_OK)
            status = batch_next(&r->walk, ret_record);
        if (status == NEAP_NOTFOUND)
            r->batch_open = false;
        else if (status != NEAP_OK)
            return pass_unreadable(r, status, err);
        else if (ret_record->offset >= r->next) { /* asked for an offset inside a batch: those before it are passed */
            r->next = ret_record->offset + 1;
            return NEAP_OK;
        }
    }
}

static struct neap_bytes outside(struct bytes b)
{
    return (struct neap_bytes){ b.at, b.size };
}

static void show(struct neap_reader *r, const struct record *record, struct neap_record *ret)
{
    struct neap_event event = { .key = outside(record->key),
                                .value = outside(record->value),
                                .headers = r->headers,
                                .header_count = record->header_count,
                                .time_ms = record->time_ms };
    struct reader left = reader_of(record->headers);
    for (uint32_t i = 0; i < record->header_count; i++) {
        struct record_header header = { 0 };
        enum neap_status status = record_header_next(&left, &header);
        must(status == NEAP_OK); /* batch_next() has walked them */
        r->headers[i] = (struct neap_header){ outside(header.name), outside(header.value) };
        if (bytes_equal(header.name, BYTES("neap.id")))
            event.id = outside(header.value);
    }
    *ret = (struct neap_record){ .event = event, .offset = record->offset, .partition = r->from.partition };
}

/* ---- waiting for it ------------------------------------------------------------------------------------------------ */

static enum neap_status need_watch(struct neap_reader *r, struct error *err)
{
    if (r->watching)
        return NEAP_OK;
    if (atomic_fetch_add(&r->neap->waiting_count, 1) >= NEAP_READER_WAIT_MAX) {
        atomic_fetch_sub(&r->neap->waiting_count, 1);
        return error_set(err, NEAP_NOMEM, "more than %u readers wait", NEAP_READER_WAIT_MAX);
    }
    enum neap_status status = io_agent_attach(r->neap->io, &r->agent, err);
    if (status == NEAP_OK) {
        status = log_watch(r->neap->log, &r->agent);
        if (status != NEAP_OK) {
            io_agent_stop(&r->agent);
            status = error_set(err, NEAP_NOMEM, "the log is watched by too many");
        }
    }
    if (status != NEAP_OK)
        atomic_fetch_sub(&r->neap->waiting_count, 1);
    r->watching = status == NEAP_OK;
    return status;
}

/* Lies down again for whoever watches the descriptor, and looks a last time: what came before that left no mark. */
static enum neap_status look_last(struct neap_reader *r, struct record *ret_record, struct error *err)
{
    while (io_agent_turn(&r->agent) > 0)
        ;
    return next_record(r, ret_record, err);
}

static enum neap_status wait_record(struct neap_reader *r, int64_t timeout_ms, struct record *ret_record,
                                    struct error *err)
{
    enum neap_status status = next_record(r, ret_record, err);
    if (status != NEAP_AGAIN)
        return status;
    if (timeout_ms > 0) {
        mono_time deadline = lib_deadline(r->neap, timeout_ms);
        status = need_watch(r, err);
        if (status != NEAP_OK)
            return status;
        r->wait.on = true;
        r->wait.record = ret_record;
        r->wait.err = err;
        (void)io_agent_run(r->neap->io, &r->agent, deadline, NULL);
        r->wait.on = false;
        status = r->wait.status;
    }
    return status == NEAP_AGAIN && r->has_descriptor ? look_last(r, ret_record, err) : status;
}

enum neap_status neap_reader_next(struct neap_reader *r, int64_t timeout_ms, struct neap_record *ret_record,
                                  struct neap_error *err)
{
    if (r == NULL || ret_record == NULL)
        return lib_misuse(err, "neap_reader_next() needs a reader and room for the record");
    CHECK_MAGIC(r, LIB_READER_MAGIC);
    if (lib_enter(&r->guard) != LIB_ENTERED)
        return lib_misuse(err, "the reader is in use by another thread");
    struct error error;
    struct record record;
    enum neap_status status = wait_record(r, timeout_ms, &record, &error);
    if (status == NEAP_OK)
        show(r, &record, ret_record);
    lib_leave(&r->guard);
    if (status == NEAP_AGAIN && err != NULL)
        *err = (struct neap_error){ .status = status };
    return status == NEAP_OK || status == NEAP_AGAIN ? status : lib_error(err, &error);
}

enum neap_status neap_reader_descriptor(struct neap_reader *r, int *ret_descriptor, struct neap_error *err)
{
    if (r == NULL || ret_descriptor == NULL)
        return lib_misuse(err, "neap_reader_descriptor() needs a reader and room for the descriptor");
    CHECK_MAGIC(r, LIB_READER_MAGIC);
    if (lib_enter(&r->guard) != LIB_ENTERED)
        return lib_misuse(err, "the reader is in use by another thread");
    struct error error = { 0 };
    enum neap_status status = need_watch(r, &error);
    if (status == NEAP_OK)
        status = io_agent_descriptor(&r->agent, ret_descriptor, &error);
    r->has_descriptor = r->has_descriptor || status == NEAP_OK;
    lib_leave(&r->guard);
    return status == NEAP_OK ? NEAP_OK : lib_error(err, &error);
}
