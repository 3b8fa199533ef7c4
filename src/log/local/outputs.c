#include "log/local/outputs.h"
#include "log/local/gather.h"
#include <stdlib.h>

#define BUFFER_MIN (8u << 10) /* of a writer, where there are many of them */
#define SPILL_MIN  (1u << 10) /* likewise, for the rows and for the entries of its index */

struct output {
    struct archive_facts facts;
    struct archive_writer writer;
};

struct outputs {
    struct log *log;
    struct output *list;
    uint32_t count;
    struct gather *gather;  /* NULL: none */
    uint32_t gathered;      /* for which output */
    uint64_t covered;       /* where what has been written of the partition ends */
    uint32_t put;           /* 1 + the output that has some of it; 0: none */
    struct outputs_sum sum; /* of it */
    struct rewritten *results;
    uint32_t result_count, result_room;
    bool taken;
};

static size_t share_of(size_t whole, uint32_t count, size_t least)
{
    return whole / count < least ? least : whole / count;
}

struct outputs *outputs_new(struct log *log, const struct archive_facts *facts, uint32_t count, uint32_t gathered_size)
{
    struct outputs *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return NULL;
    o->log = log;
    o->result_room = count > DRAIN_TOPIC_COUNT_MAX ? count : DRAIN_TOPIC_COUNT_MAX;
    o->list = calloc(count, sizeof(o->list[0]));
    o->results = calloc(o->result_room, sizeof(o->results[0]));
    o->gather = gathered_size > 0 ? gather_new(gathered_size) : NULL;
    if (o->list == NULL || o->results == NULL || (gathered_size > 0 && o->gather == NULL)) {
        outputs_free(&o);
        return NULL;
    }
    o->count = count;
    for (uint32_t i = 0; i < count; i++) {
        o->list[i].facts = facts[i];
        o->list[i].writer.buffer_size = share_of(WRITER_BUFFER_SIZE, count, BUFFER_MIN);
        o->list[i].writer.spill_size = share_of(SPILL_ROOM_SIZE, count, SPILL_MIN);
    }
    return o;
}

void outputs_free(struct outputs **outputs)
{
    struct outputs *o = *outputs;
    if (o == NULL)
        return;
    for (uint32_t i = 0; i < o->count; i++)
        archive_writer_fini(&o->list[i].writer);
    gather_free(&o->gather);
    for (uint32_t i = 0; i < o->result_count && !o->taken; i++)
        archive_unlink(o->log, o->results[i].facts.number);
    free(o->list);
    free(o->results);
    free(o);
    *outputs = NULL;
}

uint32_t outputs_result(const struct outputs *o, const struct rewritten **ret_list)
{
    *ret_list = o->results;
    return o->result_count;
}

void outputs_taken(struct outputs *o)
{
    o->taken = true;
}

/* ---- one archive after the other ----------------------------------------------------------------------------------- */

static enum neap_status end_archive(struct outputs *o, struct output *output, struct error *err)
{
    struct rewritten *result = &o->results[o->result_count];
    if (output->writer.file == NULL)
        return NEAP_OK;
    result->topic_id = output->writer.header.topic_id;
    enum neap_status status = archive_end(&output->writer, &result->facts, err);
    if (status == NEAP_OK)
        o->result_count++;
    return status;
}

static enum neap_status begin_archive(struct outputs *o, struct output *output, uint32_t topic_id, struct error *err)
{
    struct shared *s = &o->log->shared;
    if (o->result_count == o->result_room)
        return error_set(err, NEAP_TOOLARGE, "more than %u topics in one file", DRAIN_TOPIC_COUNT_MAX);
    struct archive_facts facts = output->facts;
    io_mutex_take(s->mutex);
    facts.number = s->views.archives.number_next++; /* one that comes to nothing leaves a gap in the numbers */
    io_mutex_drop(s->mutex);
    facts.salt = io_random(o->log->io);
    return archive_begin(&output->writer, o->log, topic_id, &facts, err);
}

enum neap_status outputs_end(struct outputs *o, struct error *err)
{
    char path[PATH_SIZE_MAX];
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < o->count && status == NEAP_OK; i++)
        status = end_archive(o, &o->list[i], err);
    if (status == NEAP_OK && o->result_count > 0)
        status = io_dir_sync(o->log->io, log_path(o->log, path, ARCHIVE_FOLDER, "%s", ""), err); /* rule A1 */
    return status;
}

/* ---- one batch ------------------------------------------------------------------------------------------------------- */

void outputs_begin(struct outputs *o, uint64_t first)
{
    o->covered = first;
    o->put = 0;
    o->sum = (struct outputs_sum){ 0 };
}

/* What compaction took from before the batch is known to have been there: a row begins where what came before it ends. */
static enum neap_status write(struct outputs *o, uint32_t number, const struct op *op, struct error *err)
{
    struct output *output = &o->list[number];
    enum neap_status status = NEAP_OK;
    if (output->writer.file != NULL && output->writer.header.topic_id != op->target.topic_id)
        status = end_archive(o, output, err);
    if (status == NEAP_OK && output->writer.file == NULL)
        status = begin_archive(o, output, op->target.topic_id, err);
    if (status != NEAP_OK)
        return status;
    if (o->put != number + 1)
        output->writer.row_next = o->covered;
    o->put = number + 1;
    o->covered = op->offset + op->count;
    o->sum.batch_count++;
    o->sum.size += op->payload.size;
    return archive_put(&output->writer, op, err);
}

enum neap_status outputs_does_not_come_apart(enum neap_status status, struct log_partition partition, uint64_t offset,
                                             struct error *err)
{
    return error_set(err, status == NEAP_NOMEM || status == NEAP_TOOLARGE ? status : NEAP_CORRUPT,
                     "topic %u partition %u offset %llu: %s", partition.topic_id, partition.partition,
                     (unsigned long long)offset,
                     status == NEAP_TOOLARGE ? "what is left of its batch is larger than the batch was"
                                             : "its records do not come apart");
}

static enum neap_status write_gathered(struct outputs *o, struct error *err)
{
    struct op op = { .offset = o->covered };
    enum neap_status status = o->gather != NULL ? gather_take(o->gather, &op) : NEAP_NOTFOUND;
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    return status == NEAP_OK ? write(o, o->gathered, &op, err)
                             : outputs_does_not_come_apart(status, op.target, op.offset, err);
}

enum neap_status outputs_put(struct outputs *o, uint32_t output, const struct op *op, enum outputs_way way,
                             struct error *err)
{
    if (o->gather == NULL)
        return write(o, output, op, err);
    bool together = way == OUTPUTS_TOGETHER && o->gathered == output;
    enum neap_status status = together ? gather_add(o->gather, op) : NEAP_AGAIN;
    if (status == NEAP_AGAIN || status == NEAP_REFUSED) {
        enum neap_status taken = write_gathered(o, err);
        if (taken != NEAP_OK)
            return taken;
        o->gathered = output;
        status = way == OUTPUTS_ALONE ? NEAP_REFUSED : status == NEAP_AGAIN ? gather_add(o->gather, op) : status;
    }
    if (status == NEAP_REFUSED)
        return write(o, output, op, err);
    return status == NEAP_OK ? NEAP_OK : outputs_does_not_come_apart(status, op->target, op->offset, err);
}

enum neap_status outputs_sum(struct outputs *o, struct outputs_sum *ret_sum, struct error *err)
{
    enum neap_status status = write_gathered(o, err);
    if (status == NEAP_OK)
        *ret_sum = o->sum;
    return status;
}
