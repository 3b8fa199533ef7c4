/* job_append.c - events into a topic: lines as they are, or records that say key, value, headers and time.
 *
 * All lines of a request are one unit: they are durable together or not at all. Each partition that is met gets one batch,
 * built beside the others in one room; the answer says where each line has gone, in the order they came. */
#include "base/murmur2.h"
#include "base/must.h"
#include "log/batch.h"
#include "node/job.h"
#include <stdlib.h>

#define RECORD_OVERHEAD_MAX 96u /* of a record in a batch, beside its key, value and headers */
#define HEADER_OVERHEAD_MAX 12u

struct append_line {
    uint32_t batch, next; /* of the same batch; UINT32_MAX: the last */
    uint32_t number;      /* in its batch, from 0 */
};

struct append_batch {
    uint32_t partition, first, last; /* lines */
    uint32_t count;
    size_t size; /* at most */
    bool placed; /* an event in it lies there by its key */
};

struct job_append {
    uint32_t count, batch_count;
    struct append_line *lines;
    struct append_batch *batches;
    struct log_op *ops;
    uint32_t *batch_of; /* by partition; UINT32_MAX: none yet */
    uint8_t *room;
    uint32_t any_partition; /* for those without a key */
    uint32_t said_count;
    struct record_header headers[BATCH_HEADER_COUNT_MAX];
};

void job_append_free(struct job_append **append)
{
    struct job_append *a = *append;
    if (a == NULL)
        return;
    free(a->lines);
    free(a->batches);
    free(a->ops);
    free(a->batch_of);
    free(a->room);
    free(a);
    *append = NULL;
}

/* ---- lines --------------------------------------------------------------------------------------------------------- */

/* The next event of the body: up to the newline, or as many bytes as the four before it say. */
static bool next_line(const struct job *job, struct bytes *left, struct bytes *ret_line)
{
    if (left->size == 0)
        return false;
    if (job->framed) {
        uint32_t size = left->size < 4 ? UINT32_MAX : get_le32(left->at);
        if (left->size < 4 || size > left->size - 4)
            return false;
        *ret_line = (struct bytes){ left->at + 4, size };
        *left = (struct bytes){ left->at + 4 + size, left->size - 4 - size };
        return true;
    }
    const uint8_t *newline = memchr(left->at, '\n', left->size);
    size_t size = newline == NULL ? left->size : (size_t)(newline - left->at);
    *ret_line = (struct bytes){ left->at, size };
    size_t taken = newline == NULL ? size : size + 1;
    *left = (struct bytes){ left->at + taken, left->size - taken };
    return true;
}

static bool fail_line(struct job *job, uint32_t index, const char *what)
{
    job_fail(job, NEAP_BADINPUT, "event %llu: %s", (unsigned long long)(job->from + index + 1), what);
    return false;
}

/* ---- a record ------------------------------------------------------------------------------------------------------- */

static struct bytes read_part(struct reader *r)
{
    uint32_t size = read_le32(r);
    return size == CONTROL_NO_BYTES ? (struct bytes){ NULL, 0 } : read_bytes(r, size);
}

static bool read_record(struct job *job, struct bytes frame, uint32_t index, struct record *record)
{
    struct job_append *a = job->append;
    struct reader r = reader_of(frame);
    int64_t time_ms = (int64_t)read_le64(&r);
    struct bytes key = read_part(&r);
    record->time_ms = time_ms != CONTROL_NO_TIME ? time_ms : record->time_ms;
    record->key = job->has_key ? record->key : key;
    record->value = read_part(&r);
    uint32_t count = read_le32(&r);
    if (count > BATCH_HEADER_COUNT_MAX)
        return fail_line(job, index, "too many headers");
    for (record->header_count = 0; record->header_count < count; record->header_count++) {
        struct bytes name = read_part(&r);
        a->headers[record->header_count] = (struct record_header){ .name = name, .value = read_part(&r) };
    }
    return (!r.spent && reader_left(&r) == 0) || fail_line(job, index, "is no record");
}

static uint32_t event_size_max(const struct log_topic *topic)
{
    return topic->settings.record_size_max != 0 ? topic->settings.record_size_max : RECORD_SIZE_MAX;
}

/* What is announced beyond that is not waited for, nor is there memory for it. */
size_t job_body_size_max(const struct job *job)
{
    struct log_topic topic;
    uint32_t most = log_topic_find(job->context.log, job->topic_name, &topic) == NEAP_OK ? event_size_max(&topic) : 0;
    return most > RECORD_SIZE_MAX ? most + CONTROL_ROOM_SIZE : CONTROL_BODY_SIZE_USUAL;
}

/* Valid until the next line is read. False: the job has failed. */
static bool read_line(struct job *job, struct bytes line, uint32_t index, int64_t now_ms, struct record *ret_record)
{
    struct record record = { .time_ms = now_ms };
    if (job->has_key)
        record.key = bytes_of_text(job->key);
    if (!job->as_records)
        record.value = line;
    else if (!read_record(job, line, index, &record))
        return false;
    if (record.header_count == 0) {
        memcpy(job->append->headers, job->headers, job->header_count * sizeof job->headers[0]);
        record.header_count = job->header_count;
    }
    size_t size = record.key.size + record.value.size;
    for (uint32_t i = 0; i < record.header_count; i++)
        size += job->append->headers[i].name.size + job->append->headers[i].value.size;
    if (record.key.at == NULL && job->topic.settings.cleanup == LOG_CLEANUP_COMPACT) {
        job_fail(job, NEAP_MISUSE, "topic '%s' is compacted: its events need a key", job->topic.name);
        return false;
    }
    if (size > event_size_max(&job->topic)) {
        job_fail(job, NEAP_TOOLARGE, "event %llu is longer than %u bytes", (unsigned long long)(job->from + index + 1),
                 event_size_max(&job->topic));
        return false;
    }
    *ret_record = record;
    return true;
}

/* ---- which line goes where ------------------------------------------------------------------------------------------ */

static uint32_t partition_of(const struct job *job, const struct record *record)
{
    if (job->has_partition)
        return (uint32_t)job->partition;
    if (record->key.at != NULL)
        return murmur2_partition(record->key, job->topic.partition_count);
    return job->append->any_partition;
}

/* Where it went by its key, the log is told by how many partitions: should there be more by then, it goes again. */
static bool is_placed(const struct job *job, const struct record *record)
{
    return !job->has_partition && record->key.at != NULL;
}

static void add_line(struct job_append *a, uint32_t partition, uint32_t index, size_t size)
{
    uint32_t number = a->batch_of[partition];
    if (number == UINT32_MAX) {
        number = a->batch_of[partition] = a->batch_count++;
        a->batches[number] = (struct append_batch){ .partition = partition, .first = index, .size = BATCH_HEADER_SIZE };
    } else {
        a->lines[a->batches[number].last].next = index;
    }
    struct append_batch *batch = &a->batches[number];
    a->lines[index] = (struct append_line){ .batch = number, .next = UINT32_MAX, .number = batch->count++ };
    batch->last = index;
    batch->size += size;
}

static bool sort_lines(struct job *job, int64_t now_ms)
{
    struct job_append *a = job->append;
    struct bytes left = job->body, line;
    size_t sum = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        struct record record;
        if (!next_line(job, &left, &line))
            return fail_line(job, i, "is not there");
        if (!read_line(job, line, i, now_ms, &record))
            return false;
        size_t size = batch_record_size_max(&record, a->headers, record.header_count);
        sum += size;
        add_line(a, partition_of(job, &record), i, size);
        a->batches[a->lines[i].batch].placed |= is_placed(job, &record);
    }
    sum += (size_t)a->batch_count * BATCH_HEADER_SIZE;
    if (sum > LOG_UNIT_SIZE_MAX - CONTROL_ROOM_SIZE) {
        job_fail(job, NEAP_TOOLARGE, "%u events with their keys and headers are more than one append takes", a->count);
        return false;
    }
    a->room = malloc(sum + 1);
    a->ops = calloc(a->batch_count, sizeof *a->ops);
    if (a->room == NULL || a->ops == NULL)
        job_fail(job, NEAP_NOMEM, "append: out of memory");
    return !job->ended;
}

/* All lines once more, each into its batch's place in the room. */
static bool build_batches(struct job *job, int64_t now_ms)
{
    struct job_append *a = job->append;
    struct batch_builder *builders = calloc(a->batch_count, sizeof *builders);
    struct bytes left = job->body, line;
    if (builders == NULL) {
        job_fail(job, NEAP_NOMEM, "append: out of memory");
        return false;
    }
    uint8_t *at = a->room;
    for (uint32_t i = 0; i < a->batch_count; at += a->batches[i++].size)
        batch_begin(&builders[i], at, a->batches[i].size);
    for (uint32_t i = 0; i < a->count; i++) {
        struct record record;
        bool read = next_line(job, &left, &line) && read_line(job, line, i, now_ms, &record);
        must(read); /* as the first time */
        enum neap_status status = batch_add(&builders[a->lines[i].batch], &record, a->headers, record.header_count);
        must(status == NEAP_OK); /* the room was sized for all of them */
    }
    for (uint32_t i = 0; i < a->batch_count; i++)
        a->ops[i] = (struct log_op){ .kind = LOG_APPEND,
                                     .view = a->batches[i].placed ? LOG_APPEND_PLACED : 0,
                                     .offset = { a->batches[i].placed ? job->topic.partition_count : 0 },
                                     .target = { job->topic.id, a->batches[i].partition },
                                     .count = builders[i].count,
                                     .payload = batch_end(&builders[i]) };
    free(builders);
    return true;
}

/* ---- the verb -------------------------------------------------------------------------------------------------------- */

static bool see_door(void *ctx, struct bytes key, struct bytes value)
{
    char *name = ctx;
    (void)value;
    if (key.size < 3 || key.size - 2 > LOG_NAME_SIZE_MAX || memcmp(key.at + key.size - 2, "\0d", 2) != 0)
        return true;
    memcpy(name, key.at, key.size - 2);
    name[key.size - 2] = '\0';
    return false;
}

/* A topic that a source fills counts its events where they come in. One that came in beside it would be delivered without
 * ever having been accepted: the books would not balance. */
static bool has_door(struct job *job, char name[LOG_NAME_SIZE_MAX + 1])
{
    name[0] = '\0';
    log_fact_each(job->context.log, LOG_VIEW_LEDGER, (struct log_partition){ job->topic.id, 0 },
                  (struct bytes){ NULL, 0 }, see_door, name);
    return name[0] != '\0';
}

static uint32_t count_lines(const struct job *job)
{
    struct bytes left = job->body, line;
    uint32_t count = 0;
    while (count <= CONTROL_APPEND_COUNT_MAX && next_line(job, &left, &line))
        count++;
    return count;
}

static bool may_append(struct job *job)
{
    char owner[LOG_NAME_SIZE_MAX + 1];
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
    else if (has_door(job, owner))
        job_fail(job, NEAP_MISUSE,
                 "topic '%s' is filled by the source of pipeline '%s', which counts what comes in: append there",
                 job->topic_name, owner);
    else if (job->has_partition && job->partition >= job->topic.partition_count)
        job_fail(job, NEAP_NOTFOUND, "topic '%s' has no partition %llu: it has %u", job->topic_name,
                 (unsigned long long)job->partition, job->topic.partition_count);
    return !job->ended;
}

static bool start_append(struct job *job)
{
    uint32_t count = count_lines(job);
    if (count == 0 || count > CONTROL_APPEND_COUNT_MAX || count != job->count) {
        job_fail(job, NEAP_BADINPUT, "an append takes 1 to %u lines, as many as 'count' says",
                 CONTROL_APPEND_COUNT_MAX);
        return false;
    }
    if (!may_append(job))
        return false;
    struct job_append *a = job->append = calloc(1, sizeof *a);
    if (a != NULL) {
        a->count = count;
        a->any_partition = (uint32_t)(io_random(job->context.io) % job->topic.partition_count);
        a->lines = calloc(count, sizeof *a->lines);
        a->batches = calloc(count, sizeof *a->batches);
        a->batch_of = malloc(job->topic.partition_count * sizeof *a->batch_of);
    }
    if (a == NULL || a->lines == NULL || a->batches == NULL || a->batch_of == NULL) {
        job_fail(job, NEAP_NOMEM, "append: out of memory");
        return false;
    }
    memset(a->batch_of, 0xFF, job->topic.partition_count * sizeof *a->batch_of);
    int64_t now_ms = io_wall(job->context.io).ms;
    return sort_lines(job, now_ms) && build_batches(job, now_ms);
}

static uint64_t place_of(const struct job_append *a, uint32_t index)
{
    return a->ops[a->lines[index].batch].offset.n + a->lines[index].number;
}

/* Neighbours that lie beside each other are told together. */
static enum job_state say_places(struct job *job, struct writer *w)
{
    struct job_append *a = job->append;
    while (a->said_count < a->count) {
        if (!job_has_room(w))
            return JOB_MORE;
        uint32_t first = a->said_count, batch = a->lines[first].batch, end = first + 1;
        while (end < a->count && a->lines[end].batch == batch)
            end++;
        job_print(w, "{\"topic\":\"%s\",\"partition\":%u,\"offset\":%llu,\"count\":%u}\n", job->topic.name,
                  a->batches[batch].partition, (unsigned long long)place_of(a, first), end - first);
        a->said_count = end;
    }
    return job_end(job);
}

enum job_state job_topic_append(struct job *job, struct writer *w)
{
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done && job->unit_status == NEAP_CONFLICT) { /* the topic was given more partitions meanwhile */
        job->unit_done = false;
        job_append_free(&job->append);
        return JOB_WAIT; /* until they are seen */
    }
    if (job->unit_done)
        return job->unit_status == NEAP_OK ? say_places(job, w) : job_unit_failed(job, "append to", job->topic_name);
    if (job->append == NULL && !start_append(job))
        return JOB_MORE;
    return job_submit_ops(job, job->append->ops, job->append->batch_count);
}
