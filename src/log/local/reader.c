/* reader.c - batches in offset order: from the tail where they are new, from the files where they are old.
 *
 * A reader learns where the next batches lie (up to 64 at a time, one look under the mutex or into an index file), then
 * fetches as many of them as lie close together in one read. */
#include "base/crc32c.h"
#include "log/batch.h"
#include "log/local/index.h"
#include "log/local/tail.h"
#include "log/local/views.h"
#include <stdlib.h>

#define READER_MAGIC     0x72656164u
#define READER_PLACE_MAX 64u

struct log_reader {
    uint32_t magic;
    struct log *log;
    struct log_partition partition;
    uint64_t next; /* offset */
    struct index_entry places[READER_PLACE_MAX];
    uint32_t place_count, place_at; /* those not given yet: [place_at, place_count) */
    uint64_t sequence, base, salt;  /* of the file they lie in, pinned while there are any; 0: none */
    struct io_file *file;
    uint32_t memory_slot; /* in the index in memory: the last place's slot; INDEX_NONE */
    uint64_t memory_sequence;
    uint8_t *buffer;
    size_t room;
    uint64_t from, to; /* positions that the buffer holds */
    bool from_file;    /* they were read from the disk: every CRC is checked */
};

enum neap_status log_reader_open(struct log *log, struct log_partition partition, log_offset from, size_t read_size,
                                 struct log_reader **ret_reader, struct error *err)
{
    CHECK_MAGIC(log, LOG_MAGIC);
    log_offset end;
    if (log_partition_end(log, partition, &end) != NEAP_OK)
        return error_set(err, NEAP_NOTFOUND, "topic %u has no partition %u", partition.topic_id, partition.partition);
    struct log_reader *r = calloc(1, sizeof(*r));
    uint8_t *buffer = malloc(read_size);
    if (r == NULL || buffer == NULL) {
        free(r);
        free(buffer);
        return error_set(err, NEAP_NOMEM, "reader");
    }
    r->magic = READER_MAGIC;
    r->log = log;
    r->partition = partition;
    r->next = from.n;
    r->buffer = buffer;
    r->room = read_size;
    r->memory_slot = INDEX_NONE;
    *ret_reader = r;
    return NEAP_OK;
}

/* ---- pins: a file is not recycled under a reader ------------------------------------------------------------------------- */

static void pin(struct log_reader *r, struct journal_file *f) /* under the mutex */
{
    must(r->sequence == 0);
    f->pin_count++;
    r->sequence = f->sequence;
    r->base = f->base;
    r->salt = f->salt;
    r->file = f->file;
}

static void unpin(struct log_reader *r)
{
    struct shared *s = &r->log->shared;
    if (r->sequence == 0)
        return;
    io_mutex_take(s->mutex);
    struct journal_file *f = file_by_sequence(s, r->sequence);
    must(f != NULL && f->pin_count > 0);
    f->pin_count--;
    io_mutex_drop(s->mutex);
    r->sequence = 0;
}

void log_reader_close(struct log_reader **reader)
{
    struct log_reader *r = *reader;
    if (r == NULL)
        return;
    CHECK_MAGIC(r, READER_MAGIC);
    unpin(r);
    free(r->buffer);
    r->magic = 0;
    free(r);
    *reader = NULL;
}

void log_reader_seek(struct log_reader *r, log_offset to)
{
    CHECK_MAGIC(r, READER_MAGIC);
    r->next = to.n;
    r->place_count = r->place_at = 0;
    r->memory_slot = INDEX_NONE;
    unpin(r);
    r->from = r->to = 0;
}

/* ---- where the next batches lie -------------------------------------------------------------------------------------------- */

/* The slot from which to walk: where we were, when the index is still the same and we have not gone back. */
static uint32_t walk_from(const struct log_reader *r, const struct partition *p, const struct open_index *index)
{
    uint32_t first = p->open[index->sequence & 1].first;
    if (r->memory_sequence == index->sequence && r->memory_slot != INDEX_NONE &&
        index->entries[r->memory_slot].base <= r->next)
        return r->memory_slot;
    return index->entries[first].base <= r->next ? first : INDEX_NONE;
}

/* Under the mutex. True when the index in memory of file `sequence` holds the next offset. */
static bool places_in_memory(struct log_reader *r, const struct partition *p, uint64_t sequence)
{
    struct shared *s = &r->log->shared;
    struct open_index *index = index_in_memory(s, sequence);
    if (index == NULL || p->open[sequence & 1].sequence != sequence)
        return false;
    uint32_t slot = walk_from(r, p, index);
    while (slot != INDEX_NONE && index->entries[slot].base + index->entries[slot].count <= r->next)
        slot = index->entries[slot].next;
    if (slot == INDEX_NONE)
        return false;
    r->place_count = r->place_at = 0;
    r->memory_sequence = sequence;
    for (; slot != INDEX_NONE && r->place_count < READER_PLACE_MAX; slot = index->entries[slot].next) {
        r->places[r->place_count++] = index->entries[slot];
        r->memory_slot = slot;
    }
    pin(r, file_by_sequence(s, sequence));
    return true;
}

/* Pins the index-th file when its index is on disk. */
static bool pin_indexed(struct log_reader *r, uint32_t index, struct index_file *ret_index)
{
    struct shared *s = &r->log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    if (index < s->file_count && s->files[index].index_ready) {
        pin(r, &s->files[index]);
        ret_index->file = s->files[index].index;
        found = true;
    }
    io_mutex_drop(s->mutex);
    return found;
}

/* Does the index-th file begin at or before the next offset? Files are searched by halves. */
static enum neap_status begins_before(struct log_reader *r, uint32_t index, bool *ret_yes)
{
    struct index_file file = { 0 };
    struct index_row row;
    if (!pin_indexed(r, index, &file)) {
        *ret_yes = false; /* not written down yet: its batches are in memory, and those were looked at first */
        return NEAP_OK;
    }
    enum neap_status status = index_find_row(file, r->partition, &row);
    unpin(r);
    *ret_yes = status == NEAP_NOTFOUND || (status == NEAP_OK && row.next <= r->next);
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}

/* The last file that begins at or before the next offset. */
static enum neap_status find_file(struct log_reader *r, uint32_t file_count, uint32_t *ret_index)
{
    uint32_t low = 0, high = file_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool yes;
        enum neap_status status = begins_before(r, middle, &yes);
        if (status != NEAP_OK)
            return status;
        if (yes)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return low > 0 ? NEAP_OK : NEAP_NOTFOUND;
}

static enum neap_status places_in_file(struct log_reader *r, uint32_t index)
{
    struct index_file file = { 0 };
    struct index_row row;
    uint32_t row_count, number;
    if (!pin_indexed(r, index, &file))
        return NEAP_NOTFOUND;
    enum neap_status status = index_row_count(file, &row_count);
    if (status == NEAP_OK)
        status = index_find_row(file, r->partition, &row);
    if (status == NEAP_OK)
        status = index_find_entry(file, &row, row_count, r->next, &number);
    if (status == NEAP_OK && (number == row.count || row.next > r->next))
        status = NEAP_NOTFOUND;
    if (status == NEAP_OK) {
        uint32_t left = row.count - number, count = left < READER_PLACE_MAX ? left : READER_PLACE_MAX;
        status = index_load_entries(file, &row, row_count, number, r->places, count);
        r->place_count = status == NEAP_OK ? count : 0;
        r->place_at = 0;
    }
    if (status != NEAP_OK)
        unpin(r);
    return status;
}

static enum neap_status damaged(struct log_reader *r, uint64_t position, const char *what, struct error *err)
{
    return error_set(err, NEAP_CORRUPT, "topic %u partition %u offset %llu: %s, %s at byte %llu", r->partition.topic_id,
                     r->partition.partition, (unsigned long long)r->next, what,
                     r->file != NULL ? io_file_path(r->file) : r->log->path, (unsigned long long)(position - r->base));
}

/* Under the mutex: where things stand, and whether an index in memory knows the place. */
static enum neap_status look_in_memory(struct log_reader *r, bool *ret_found)
{
    struct shared *s = &r->log->shared;
    const struct partition *p = views_partition(&s->views, r->partition);
    *ret_found = false;
    if (p == NULL)
        return NEAP_NOTFOUND;
    if (r->next < p->start)
        r->next = p->start; /* what lies before is no longer kept */
    if (r->next >= p->end)
        return NEAP_AGAIN;
    uint64_t newest = open_file(s)->sequence;
    *ret_found = places_in_memory(r, p, newest) || (newest > 1 && places_in_memory(r, p, newest - 1));
    return NEAP_OK;
}

static enum neap_status look_in_files(struct log_reader *r, uint32_t file_count)
{
    uint32_t index;
    r->base = 0;
    r->file = NULL;
    enum neap_status status = find_file(r, file_count, &index);
    return status == NEAP_OK ? places_in_file(r, index - 1) : status;
}

static enum neap_status find_places(struct log_reader *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    unpin(r);
    r->place_count = r->place_at = 0;
    for (uint64_t looked = UINT64_MAX;;) {
        bool found;
        io_mutex_take(s->mutex);
        enum neap_status status = look_in_memory(r, &found);
        uint32_t file_count = s->open_index + 1;
        bool moved = looked != s->change_count; /* where a file went while we looked, the next one stood in its place */
        looked = s->change_count;
        io_mutex_drop(s->mutex);
        if (status == NEAP_NOTFOUND)
            return error_set(err, NEAP_NOTFOUND, "topic %u is gone", r->partition.topic_id);
        if (status != NEAP_OK || found)
            return status;
        if (!moved)
            return damaged(r, 0, "no index knows where it lies", err);
        status = look_in_files(r, file_count);
        if (status == NEAP_OK || status == NEAP_IO)
            return status;
    }
}

/* ---- fetching them ------------------------------------------------------------------------------------------------------------ */

static uint64_t place_position(const struct log_reader *r, const struct index_entry *e)
{
    return r->base + e->at;
}

/* Where to stop so that most of what is read is wanted and the room suffices. */
static uint64_t run_end(const struct log_reader *r)
{
    uint64_t from = place_position(r, &r->places[r->place_at]), end = 0, wanted = 0;
    for (uint32_t i = r->place_at; i < r->place_count; i++) {
        uint64_t to = place_position(r, &r->places[i]) + OP_HEADER_SIZE + r->places[i].size;
        wanted += OP_HEADER_SIZE + r->places[i].size;
        if (i > r->place_at && (to - from > r->room || wanted * 2 < to - from))
            break;
        end = to;
    }
    return end;
}

static enum neap_status fetch(struct log_reader *r, struct error *err)
{
    uint64_t from = place_position(r, &r->places[r->place_at]), to = run_end(r);
    size_t size = (size_t)(to - from);
    if (size > r->room) { /* one batch larger than all so far */
        if (size > LOG_UNIT_SIZE_MAX)
            return damaged(r, from, "a batch larger than any", err);
        uint8_t *grown = realloc(r->buffer, size);
        if (grown == NULL)
            return error_set(err, NEAP_NOMEM, "reader");
        r->buffer = grown;
        r->room = size;
    }
    r->from_file = !tail_read(&r->log->tail, from, r->buffer, size);
    if (r->from_file) {
        size_t got = 0;
        enum neap_status status = io_file_read(r->file, r->buffer, size, from - r->base, &got);
        if (status != NEAP_OK)
            return error_set(err, status, "read %s: %s", io_file_path(r->file), status_text(status));
        if (got != size)
            return damaged(r, from, "the file ends before it", err);
    }
    r->from = from;
    r->to = to;
    return NEAP_OK;
}

/* The operation at the place, checked against what the index promised. */
static enum neap_status open_place(struct log_reader *r, const struct index_entry *e, struct op *ret_op,
                                   struct error *err)
{
    uint64_t position = place_position(r, e);
    struct bytes bytes = { r->buffer + (position - r->from), OP_HEADER_SIZE + (size_t)e->size };
    enum neap_status status =
        r->from_file ? op_read(bytes, r->salt, position, ret_op) : op_header_read(bytes, r->salt, position, ret_op);
    if (status != NEAP_OK || ret_op->kind != OP_APPEND || ret_op->target.topic_id != r->partition.topic_id ||
        ret_op->target.partition != r->partition.partition || ret_op->offset != e->base || ret_op->count != e->count ||
        ret_op->payload.size != e->size)
        return damaged(r, position, "its checksum does not match", err);
    if (e->base > r->next || r->next - e->base >= e->count) /* right where it lies, but not what was asked for */
        return damaged(r, position, "the index leads past it,", err);
    ret_op->payload.at = bytes.at + OP_HEADER_SIZE;
    return NEAP_OK;
}

enum neap_status log_reader_next(struct log_reader *r, struct log_batch *ret_batch, struct error *err)
{
    CHECK_MAGIC(r, READER_MAGIC);
    enum neap_status status = NEAP_OK;
    if (r->place_at == r->place_count)
        status = find_places(r, err);
    if (status != NEAP_OK)
        return status;
    const struct index_entry *e = &r->places[r->place_at];
    uint64_t position = place_position(r, e);
    if (position < r->from || position + OP_HEADER_SIZE + e->size > r->to)
        status = fetch(r, err);
    struct op op;
    if (status == NEAP_OK)
        status = open_place(r, e, &op, err);
    if (status != NEAP_OK) {
        r->place_at = r->place_count = 0; /* asked again, it is looked for again */
        r->from = r->to = 0;
        return status;
    }
    r->place_at++;
    r->next = e->base + e->count;
    *ret_batch = (struct log_batch){
        .base = { e->base }, .count = e->count, .appended = { (int64_t)op.time_s * 1000 }, .bytes = op.payload
    };
    return NEAP_OK;
}
