#include "log/local/rewrite.h"
#include "log/local/damage.h"
#include "log/local/views.h"
#include <stdlib.h>

#define ROOM_MIN   (64u << 10)
#define ENTRY_ROOM 64u

struct cursor {
    struct rewrite_source source;
    uint32_t row_count, row_number; /* row is the row_number-th; past the last: no more */
    struct index_row row;
};

struct rewrite {
    struct log *log;
    struct cursor cursors[REWRITE_SOURCE_MAX];
    uint32_t count;
    struct archive_facts facts;
    struct compaction *compaction;
    struct archive_writer writer;
    bool begun;                  /* the sources' first rows are known */
    struct log_partition at;     /* the partition in work */
    uint64_t start;              /* of it */
    uint64_t first;              /* where the sources' batches of it begin, taken or not */
    bool noting;                 /* the compaction walks over it first */
    bool put;                    /* a batch of it has been */
    uint32_t source;             /* of which */
    uint32_t entry, entry_count; /* the next entry of its row there; how many the row has; 0: not looked at yet */
    uint32_t loaded_at, loaded;
    struct index_entry entries[ENTRY_ROOM];
    uint8_t *room;
    size_t room_size;
    uint64_t copied;   /* in this step */
    struct shrunk now; /* of the partition in work */
    struct shrunk *shrunk;
    uint32_t shrunk_count, shrunk_room;
    struct rewritten results[DRAIN_TOPIC_COUNT_MAX];
    uint32_t result_count;
    bool taken;
};

struct rewrite *rewrite_new(struct log *log, const struct rewrite_source *sources, uint32_t count,
                            const struct archive_facts *facts, uint32_t entry_count_max, struct compaction *compaction)
{
    must(count > 0 && count <= REWRITE_SOURCE_MAX);
    struct rewrite *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->log = log;
    r->count = count;
    r->facts = *facts;
    r->compaction = compaction;
    r->writer.entry_count_max = entry_count_max;
    for (uint32_t i = 0; i < count; i++)
        r->cursors[i].source = sources[i];
    return r;
}

void rewrite_free(struct rewrite **rewrite)
{
    struct rewrite *r = *rewrite;
    if (r == NULL)
        return;
    archive_writer_fini(&r->writer);
    compaction_free(&r->compaction);
    for (uint32_t i = 0; i < r->result_count && !r->taken; i++)
        archive_unlink(r->log, r->results[i].facts.number);
    free(r->room);
    free(r->shrunk);
    free(r);
    *rewrite = NULL;
}

uint32_t rewrite_result(const struct rewrite *r, const struct rewritten **ret_list)
{
    *ret_list = r->results;
    return r->result_count;
}

uint32_t rewrite_shrunk(const struct rewrite *r, const struct shrunk **ret_list)
{
    *ret_list = r->shrunk;
    return r->shrunk_count;
}

void rewrite_taken(struct rewrite *r)
{
    r->taken = true;
}

/* ---- the next partition -------------------------------------------------------------------------------------------- */

/* What cannot be read, for whatever reason, is damage of that place: the source is left alone, and all else goes on. */
static enum neap_status bad_index(const struct cursor *c, enum neap_status status, struct error *err)
{
    return error_set(err, status == NEAP_NOMEM ? status : NEAP_CORRUPT, "the index in %s cannot be read",
                     io_file_path(c->source.index.file));
}

static enum neap_status bad_batch(const struct rewrite *r, const struct cursor *c, const struct index_entry *e,
                                  const char *what, struct error *err)
{
    struct shared *s = &r->log->shared;
    const char *path = io_file_path(c->source.file);
    struct log_damage damage = {
        .partition = r->at, .offset = { e->base }, .count = e->count, .byte = e->at, .found_by = LOG_FOUND_BY_SCRUB
    };
    io_mutex_take(s->mutex);
    bool lost = lost_pass(&s->views.lost, r->at, e->base) >= e->base + e->count;
    io_mutex_drop(s->mutex);
    if (!lost) /* else it is nobody's concern any more */
        damage_note(r->log, path, damage, what);
    return error_set(err, NEAP_CORRUPT, "topic %u partition %u offset %llu: %s, %s at byte %u", r->at.topic_id,
                     r->at.partition, (unsigned long long)e->base, what, path, e->at);
}

static enum neap_status load_row(struct cursor *c, struct error *err)
{
    enum neap_status status =
        c->row_number < c->row_count ? index_load_row(c->source.index, c->row_number, &c->row) : NEAP_OK;
    return status == NEAP_OK ? NEAP_OK : bad_index(c, status, err);
}

static enum neap_status begin(struct rewrite *r, struct error *err)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct cursor *c = &r->cursors[i];
        enum neap_status status = index_row_count(c->source.index, &c->row_count);
        if (status != NEAP_OK)
            return bad_index(c, status, err);
        status = load_row(c, err);
        if (status != NEAP_OK)
            return status;
    }
    r->begun = true;
    return NEAP_OK;
}

static bool is_before(struct log_partition a, struct log_partition b)
{
    return a.topic_id < b.topic_id || (a.topic_id == b.topic_id && a.partition < b.partition);
}

static bool same(struct log_partition a, struct log_partition b)
{
    return a.topic_id == b.topic_id && a.partition == b.partition;
}

/* The least partition that any source has not been asked about. */
static bool least(const struct rewrite *r, struct log_partition *ret)
{
    bool found = false;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct cursor *c = &r->cursors[i];
        if (c->row_number < c->row_count && (!found || is_before(c->row.partition, *ret))) {
            *ret = c->row.partition;
            found = true;
        }
    }
    return found;
}

static enum neap_status pass(struct rewrite *r, struct error *err)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct cursor *c = &r->cursors[i];
        if (c->row_number == c->row_count || !same(c->row.partition, r->at))
            continue;
        c->row_number++;
        enum neap_status status = load_row(c, err);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_OK;
}

/* ---- one archive after the other ----------------------------------------------------------------------------------- */

static enum neap_status end_archive(struct rewrite *r, struct error *err)
{
    struct rewritten *result = &r->results[r->result_count];
    if (r->writer.file == NULL)
        return NEAP_OK;
    result->topic_id = r->writer.header.topic_id;
    enum neap_status status = archive_end(&r->writer, &result->facts, err);
    if (status == NEAP_OK)
        r->result_count++;
    return status;
}

static enum neap_status begin_archive(struct rewrite *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    if (r->result_count == DRAIN_TOPIC_COUNT_MAX)
        return error_set(err, NEAP_TOOLARGE, "more than %u topics in one file", DRAIN_TOPIC_COUNT_MAX);
    struct archive_facts facts = r->facts;
    io_mutex_take(s->mutex);
    facts.number = s->views.archives.number_next++; /* one that comes to nothing leaves a gap in the numbers */
    io_mutex_drop(s->mutex);
    facts.salt = io_random(r->log->io);
    return archive_begin(&r->writer, r->log, r->at.topic_id, &facts, err);
}

/* ---- one partition, one source after the other --------------------------------------------------------------------- */

static enum neap_status open_row(struct rewrite *r, const struct cursor *c, struct error *err)
{
    uint32_t number = 0;
    enum neap_status status = index_find_entry(c->source.index, &c->row, c->row_count, r->start, &number);
    r->entry = number; /* the first that is alive */
    r->entry_count = c->row.count;
    r->loaded = 0;
    return status == NEAP_OK ? NEAP_OK : bad_index(c, status, err);
}

static enum neap_status load_entry(struct rewrite *r, const struct cursor *c, struct index_entry *ret_entry,
                                   struct error *err)
{
    if (r->loaded == 0 || r->entry >= r->loaded_at + r->loaded) {
        uint32_t left = r->entry_count - r->entry, count = left < ENTRY_ROOM ? left : ENTRY_ROOM;
        enum neap_status status =
            index_load_entries(c->source.index, &c->row, c->row_count, r->entry, r->entries, count);
        if (status != NEAP_OK)
            return bad_index(c, status, err);
        r->loaded_at = r->entry;
        r->loaded = count;
    }
    *ret_entry = r->entries[r->entry - r->loaded_at];
    return NEAP_OK;
}

static enum neap_status make_room(struct rewrite *r, size_t size, struct error *err)
{
    if (size <= r->room_size)
        return NEAP_OK;
    if (size > LOG_UNIT_SIZE_MAX)
        return error_set(err, NEAP_CORRUPT, "a batch larger than any");
    size = size < ROOM_MIN ? ROOM_MIN : size;
    uint8_t *grown = realloc(r->room, size);
    if (grown == NULL)
        return error_set(err, NEAP_NOMEM, "rewrite");
    r->room = grown;
    r->room_size = size;
    return NEAP_OK;
}

static enum neap_status read_op(struct rewrite *r, const struct cursor *c, const struct index_entry *e,
                                struct op *ret_op, struct error *err)
{
    size_t size = OP_HEADER_SIZE + (size_t)e->size, got = 0;
    enum neap_status status = make_room(r, size, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_read(c->source.file, r->room, size, e->at, &got);
    if (status != NEAP_OK)
        return bad_batch(r, c, e, "its bytes cannot be read", err);
    struct bytes bytes = { r->room, got };
    if (op_read(bytes, c->source.salt, c->source.base + e->at, ret_op) != NEAP_OK || ret_op->kind != OP_APPEND ||
        !same(ret_op->target, r->at) || ret_op->offset != e->base || ret_op->count != e->count)
        return bad_batch(r, c, e, "its checksum does not match", err);
    return NEAP_OK;
}

static enum neap_status copy(struct rewrite *r, const struct op *op, struct error *err)
{
    enum neap_status status = NEAP_OK;
    if (r->writer.file != NULL && r->writer.header.topic_id != r->at.topic_id)
        status = end_archive(r, err);
    if (status == NEAP_OK && r->writer.file == NULL)
        status = begin_archive(r, err);
    if (status == NEAP_OK) {
        if (!r->put)
            r->writer.row_next =
                r->first; /* so that what compaction took from its beginning is known to have been there */
        r->put = true;
        status = archive_put(&r->writer, op, err);
    }
    return status;
}

static enum neap_status one_batch(struct rewrite *r, const struct cursor *c, struct error *err)
{
    struct index_entry e = { 0 };
    struct op op;
    enum neap_status status = load_entry(r, c, &e, err);
    if (status == NEAP_OK)
        status = read_op(r, c, &e, &op, err);
    if (status != NEAP_OK)
        return status;
    r->copied += e.size;
    r->entry++;
    if (r->compaction == NULL)
        return copy(r, &op, err);
    status = r->noting ? compaction_note(r->compaction, &op) : compaction_keep(r->compaction, &op, &op);
    if (status == NEAP_OK && r->noting)
        return NEAP_OK;
    r->now.batch_count += status == NEAP_NOTFOUND;
    r->now.size += (int64_t)e.size - (status == NEAP_OK ? (int64_t)op.payload.size : 0);
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    return status == NEAP_OK ? copy(r, &op, err)
                             : error_set(err, status == NEAP_NOMEM ? status : NEAP_CORRUPT,
                                         "topic %u partition %u offset %llu: its records do not come apart",
                                         r->at.topic_id, r->at.partition, (unsigned long long)e.base);
}

static enum neap_status next_source(struct rewrite *r, struct error *err)
{
    for (; r->source < r->count; r->source++) {
        const struct cursor *c = &r->cursors[r->source];
        if (c->row_number < c->row_count && same(c->row.partition, r->at) && c->row.count > 0)
            return open_row(r, c, err);
    }
    return NEAP_OK;
}

/* Where the partition in work begins; beyond all that can be where its topic is gone. */
static uint64_t start_of(struct rewrite *r, uint64_t *ret_hold)
{
    struct shared *s = &r->log->shared;
    io_mutex_take(s->mutex);
    const struct partition *p = views_partition(&s->views, r->at);
    uint64_t start = p != NULL ? p->start : UINT64_MAX;
    *ret_hold = p != NULL ? views_hold(&s->views, r->at) : 0;
    io_mutex_drop(s->mutex);
    return start;
}

static enum neap_status first_source(struct rewrite *r, struct error *err)
{
    r->source = 0;
    r->entry = r->entry_count = 0;
    return next_source(r, err);
}

/* From where to where the sources' batches of the partition go. */
static enum neap_status measure(struct rewrite *r, uint64_t *ret_end, struct error *err)
{
    bool found = false;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct cursor *c = &r->cursors[i];
        struct index_entry last;
        if (c->row_number == c->row_count || !same(c->row.partition, r->at) || c->row.count == 0)
            continue;
        enum neap_status status =
            index_load_entries(c->source.index, &c->row, c->row_count, c->row.count - 1, &last, 1);
        if (status != NEAP_OK)
            return bad_index(c, status, err);
        r->first = found ? r->first : c->row.next;
        *ret_end = last.base + last.count;
        found = true;
    }
    return NEAP_OK;
}

/* The partition in work is done: what was taken from it is remembered. */
static enum neap_status note_shrunk(struct rewrite *r, struct error *err)
{
    if (r->now.batch_count == 0 && r->now.size == 0)
        return NEAP_OK;
    if (r->shrunk_count == r->shrunk_room) {
        uint32_t room = r->shrunk_room == 0 ? 16 : 2 * r->shrunk_room;
        struct shrunk *grown = realloc(r->shrunk, room * sizeof(*grown));
        if (grown == NULL)
            return error_set(err, NEAP_NOMEM, "rewrite");
        r->shrunk = grown;
        r->shrunk_room = room;
    }
    r->shrunk[r->shrunk_count++] = r->now;
    r->now = (struct shrunk){ 0 };
    return NEAP_OK;
}

/* OK: there is another partition, opened at its first source. NOTFOUND: that was the last. */
static enum neap_status next_partition(struct rewrite *r, struct error *err)
{
    enum neap_status status = note_shrunk(r, err);
    if (status != NEAP_OK)
        return status;
    if (!least(r, &r->at))
        return NEAP_NOTFOUND;
    uint64_t hold = UINT64_MAX, end = 0;
    r->start = start_of(r, &hold);
    r->put = false;
    r->now = (struct shrunk){ .partition = r->at.partition, .start = r->start };
    status = measure(r, &end, err);
    r->noting = r->compaction != NULL && status == NEAP_OK && end > r->start && r->start != UINT64_MAX;
    if (r->noting) {
        uint64_t first = r->first > r->start ? r->first : r->start;
        status = compaction_begin(r->compaction, first, end, hold < end ? hold : end);
        if (status != NEAP_OK)
            return error_set(err, status, "compaction of %llu offsets", (unsigned long long)(end - first));
    }
    return status == NEAP_OK ? first_source(r, err) : status;
}

static enum neap_status work(struct rewrite *r, struct error *err)
{
    enum neap_status status = NEAP_OK;
    if (!r->begun) {
        status = begin(r, err);
        return status == NEAP_OK ? next_partition(r, err) : status;
    }
    if (r->entry < r->entry_count)
        return one_batch(r, &r->cursors[r->source], err);
    if (r->source < r->count) {
        r->source++;
        r->entry = r->entry_count = 0;
        return next_source(r, err);
    }
    if (r->noting) {
        r->noting = compaction_again(r->compaction);
        return first_source(r, err);
    }
    status = pass(r, err);
    return status == NEAP_OK ? next_partition(r, err) : status;
}

static enum neap_status name_all(struct rewrite *r, struct error *err)
{
    char path[PATH_SIZE_MAX];
    enum neap_status status = end_archive(r, err);
    if (status == NEAP_OK && r->result_count > 0)
        status = io_dir_sync(r->log->io, log_path(r->log, path, ARCHIVE_FOLDER, "%s", ""), err); /* rule A1 */
    return status;
}

enum neap_status rewrite_step(struct rewrite *r, struct error *err)
{
    r->copied = 0;
    for (uint32_t turns = 0; turns < 4096 && r->copied < REWRITE_STEP_SIZE; turns++) {
        enum neap_status status = work(r, err);
        if (status == NEAP_NOTFOUND)
            return name_all(r, err);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_AGAIN;
}
