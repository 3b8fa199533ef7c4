#include "log/local/rewrite.h"
#include "log/local/damage.h"
#include "log/local/gather.h"
#include "log/local/views.h"
#include <stdlib.h>

#define WINDOW_SIZE (256u << 10) /* read at once, where batches lie close together */
#define BUFFER_MIN  (8u << 10)   /* of a writer, where there are many of them */
#define BATCH_GOAL \
    (64u << 10) /* batches that compaction leaves: so many, if they are large enough to be put together */

struct cursor {
    struct rewrite_source source;
    uint32_t row_count, row_number; /* row is the row_number-th; past the last: no more */
    struct index_row row;
};

struct output {
    struct archive_facts facts;
    struct archive_writer writer;
};

struct rewrite {
    struct log *log;
    struct cursor *cursors;
    uint32_t count, kept; /* of them the first are rewritten; the others say what is newer */
    struct output *outputs;
    uint32_t output_count;
    struct compaction *compaction;
    struct gather *gather;   /* of a compaction */
    uint32_t gathered;       /* for which output */
    uint64_t gathered_to;    /* where what it holds ends */
    bool begun;              /* the sources' first rows are known */
    struct log_partition at; /* the partition in work */
    uint64_t start;          /* of it */
    uint64_t hold;           /* where the first group that holds it stands */
    uint64_t first;          /* where the sources' batches of it begin, taken or not */
    struct lost_range *lost; /* of it: what was declared lost */
    uint32_t lost_count, lost_room;
    uint64_t covered;            /* where what has been put of it ends */
    uint32_t put;                /* 1 + the output that has some of it; 0: none */
    bool noting;                 /* the compaction walks over it first */
    uint32_t source;             /* of which */
    uint32_t entry, entry_count; /* the next entry of its row there; how many the row has; 0: not looked at yet */
    uint32_t loaded_at, loaded;
    struct index_entry entries[INDEX_LOAD_MAX];
    uint8_t *room;
    size_t room_size;
    struct { /* what the room holds of a source */
        uint32_t source;
        uint64_t at;
        size_t size;
    } window;
    uint64_t copied; /* in this step */
    struct {         /* what there is less of than there was, of the partition in work */
        int64_t batch_count, size;
    } taken_away;
    struct shrunk *shrunk;
    uint32_t shrunk_count, shrunk_room;
    struct rewritten *results;
    uint32_t result_count, result_room;
    uint32_t bad; /* source */
    bool taken;
};

/* Larger where there is much: what is known of each batch lies in memory while files are looked at. */
static uint32_t gathered_size(uint64_t size)
{
    uint64_t share = size / BATCH_GOAL;
    return share < GATHER_SIZE_MIN ? GATHER_SIZE_MIN : share > GATHER_SIZE_MAX ? GATHER_SIZE_MAX : (uint32_t)share;
}

static size_t buffer_size(uint32_t output_count)
{
    size_t size = WRITER_BUFFER_SIZE / output_count;
    return size < BUFFER_MIN ? BUFFER_MIN : size;
}

struct rewrite *rewrite_new(struct log *log, const struct rewrite_plan *plan)
{
    must(plan->source_count > 0 && plan->output_count > 0);
    struct compaction *compaction = plan->compaction;
    struct rewrite *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        compaction_free(&compaction);
        return NULL;
    }
    r->log = log;
    r->bad = REWRITE_NOBODY;
    r->compaction = compaction;
    r->result_room = plan->output_count > DRAIN_TOPIC_COUNT_MAX ? plan->output_count : DRAIN_TOPIC_COUNT_MAX;
    r->cursors = calloc(plan->source_count, sizeof(r->cursors[0]));
    r->outputs = calloc(plan->output_count, sizeof(r->outputs[0]));
    r->results = calloc(r->result_room, sizeof(r->results[0]));
    r->gather = compaction != NULL ? gather_new(gathered_size(plan->size)) : NULL;
    if (r->cursors == NULL || r->outputs == NULL || r->results == NULL || (compaction != NULL && r->gather == NULL)) {
        rewrite_free(&r);
        return NULL;
    }
    r->count = plan->source_count;
    r->kept = plan->kept_count;
    r->output_count = plan->output_count;
    for (uint32_t i = 0; i < r->count; i++)
        r->cursors[i].source = plan->sources[i];
    for (uint32_t i = 0; i < r->output_count; i++) {
        r->outputs[i].facts = plan->facts[i];
        r->outputs[i].writer.buffer_size = buffer_size(r->output_count);
    }
    return r;
}

void rewrite_free(struct rewrite **rewrite)
{
    struct rewrite *r = *rewrite;
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->output_count; i++)
        archive_writer_fini(&r->outputs[i].writer);
    compaction_free(&r->compaction);
    gather_free(&r->gather);
    for (uint32_t i = 0; i < r->result_count && !r->taken; i++)
        archive_unlink(r->log, r->results[i].facts.number);
    free(r->cursors);
    free(r->outputs);
    free(r->results);
    free(r->room);
    free(r->lost);
    free(r->shrunk);
    free(r);
    *rewrite = NULL;
}

uint32_t rewrite_result(const struct rewrite *r, const struct rewritten **ret_list)
{
    *ret_list = r->results;
    return r->result_count;
}

uint32_t rewrite_bad(const struct rewrite *r)
{
    return r->bad;
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
static enum neap_status bad_index(struct rewrite *r, const struct cursor *c, enum neap_status status, struct error *err)
{
    if (status != NEAP_NOMEM)
        r->bad = (uint32_t)(c - r->cursors);
    return error_set(err, status == NEAP_NOMEM ? status : NEAP_CORRUPT, "the index in %s cannot be read",
                     io_file_path(c->source.index.file));
}

static enum neap_status bad_batch(struct rewrite *r, const struct cursor *c, const struct index_entry *e,
                                  const char *what, struct error *err)
{
    struct shared *s = &r->log->shared;
    const char *path = io_file_path(c->source.file);
    r->bad = (uint32_t)(c - r->cursors);
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

static enum neap_status load_row(struct rewrite *r, struct cursor *c, struct error *err)
{
    enum neap_status status =
        c->row_number < c->row_count ? index_load_row(c->source.index, c->row_number, &c->row) : NEAP_OK;
    return status == NEAP_OK ? NEAP_OK : bad_index(r, c, status, err);
}

static enum neap_status begin(struct rewrite *r, struct error *err)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct cursor *c = &r->cursors[i];
        enum neap_status status = index_row_count(c->source.index, &c->row_count);
        if (status != NEAP_OK)
            return bad_index(r, c, status, err);
        status = load_row(r, c, err);
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
        enum neap_status status = load_row(r, c, err);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_OK;
}

/* ---- one archive after the other ----------------------------------------------------------------------------------- */

static enum neap_status end_archive(struct rewrite *r, struct output *o, struct error *err)
{
    struct rewritten *result = &r->results[r->result_count];
    if (o->writer.file == NULL)
        return NEAP_OK;
    result->topic_id = o->writer.header.topic_id;
    enum neap_status status = archive_end(&o->writer, &result->facts, err);
    if (status == NEAP_OK)
        r->result_count++;
    return status;
}

static enum neap_status begin_archive(struct rewrite *r, struct output *o, struct error *err)
{
    struct shared *s = &r->log->shared;
    if (r->result_count == r->result_room)
        return error_set(err, NEAP_TOOLARGE, "more than %u topics in one file", DRAIN_TOPIC_COUNT_MAX);
    struct archive_facts facts = o->facts;
    io_mutex_take(s->mutex);
    facts.number = s->views.archives.number_next++; /* one that comes to nothing leaves a gap in the numbers */
    io_mutex_drop(s->mutex);
    facts.salt = io_random(r->log->io);
    return archive_begin(&o->writer, r->log, r->at.topic_id, &facts, err);
}

/* ---- one partition, one source after the other --------------------------------------------------------------------- */

static enum neap_status open_row(struct rewrite *r, const struct cursor *c, struct error *err)
{
    uint32_t number = 0;
    enum neap_status status = index_find_entry(c->source.index, &c->row, c->row_count, r->start, &number);
    r->entry = number; /* the first that is alive */
    r->entry_count = c->row.count;
    r->loaded = 0;
    return status == NEAP_OK ? NEAP_OK : bad_index(r, c, status, err);
}

static enum neap_status load_entry(struct rewrite *r, const struct cursor *c, struct index_entry *ret_entry,
                                   struct error *err)
{
    if (r->loaded == 0 || r->entry >= r->loaded_at + r->loaded) {
        uint32_t left = r->entry_count - r->entry, count = left < INDEX_LOAD_MAX ? left : INDEX_LOAD_MAX;
        enum neap_status status =
            index_load_entries(c->source.index, &c->row, c->row_count, r->entry, r->entries, count);
        if (status != NEAP_OK)
            return bad_index(r, c, status, err);
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
    uint8_t *grown = realloc(r->room, size);
    if (grown == NULL)
        return error_set(err, NEAP_NOMEM, "rewrite");
    r->room = grown;
    r->room_size = size;
    return NEAP_OK;
}

/* From the entry on, as many as lie so close together that it is better to read what lies between them, too. */
static uint64_t window_end(const struct rewrite *r, const struct index_entry *e)
{
    uint64_t end = (uint64_t)e->at + OP_HEADER_SIZE + e->size;
    uint64_t wanted = 0;
    for (uint32_t i = r->entry - r->loaded_at; i < r->loaded; i++) {
        const struct index_entry *next = &r->entries[i];
        uint64_t to = (uint64_t)next->at + OP_HEADER_SIZE + next->size;
        wanted += OP_HEADER_SIZE + next->size;
        if (next->at < e->at || to - e->at > WINDOW_SIZE || wanted * 4 < to - e->at)
            break;
        end = to > end ? to : end;
    }
    return end;
}

/* The batch, and more where that is at hand. */
static enum neap_status fill_window(struct rewrite *r, const struct cursor *c, const struct index_entry *e,
                                    struct error *err)
{
    size_t one = OP_HEADER_SIZE + (size_t)e->size, size = window_end(r, e) - e->at, got = 0;
    r->window.size = 0;
    enum neap_status status = make_room(r, size > WINDOW_SIZE ? size : WINDOW_SIZE, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_read(c->source.file, r->room, size, e->at, &got);
    if (status != NEAP_OK && one < size) /* a bad place behind it does not keep this one from being read */
        status = io_file_read(c->source.file, r->room, one, e->at, &got);
    if (status != NEAP_OK)
        return bad_batch(r, c, e, "its bytes cannot be read", err);
    r->window.source = r->source;
    r->window.at = e->at;
    r->window.size = got;
    return NEAP_OK;
}

static bool in_window(const struct rewrite *r, const struct index_entry *e)
{
    return r->window.size > 0 && r->window.source == r->source && e->at >= r->window.at &&
           e->at - r->window.at + OP_HEADER_SIZE + (size_t)e->size <= r->window.size;
}

static enum neap_status read_op(struct rewrite *r, const struct cursor *c, const struct index_entry *e,
                                struct op *ret_op, struct error *err)
{
    enum neap_status status = in_window(r, e) ? NEAP_OK : fill_window(r, c, e, err);
    if (status != NEAP_OK)
        return status;
    size_t from = e->at - r->window.at, left = r->window.size - from, size = OP_HEADER_SIZE + (size_t)e->size;
    struct bytes bytes = { r->room + from, size < left ? size : left };
    if (op_read(bytes, c->source.salt, c->source.base + e->at, ret_op) != NEAP_OK || ret_op->kind != OP_APPEND ||
        !same(ret_op->target, r->at) || ret_op->offset != e->base || ret_op->count != e->count)
        return bad_batch(r, c, e, "its checksum does not match", err);
    return NEAP_OK;
}

/* What compaction took from before the batch is known to have been there: a row begins where what came before it ends. */
static enum neap_status copy(struct rewrite *r, uint32_t output, const struct op *op, struct error *err)
{
    struct output *o = &r->outputs[output];
    enum neap_status status = NEAP_OK;
    if (o->writer.file != NULL && o->writer.header.topic_id != r->at.topic_id)
        status = end_archive(r, o, err);
    if (status == NEAP_OK && o->writer.file == NULL)
        status = begin_archive(r, o, err);
    if (status != NEAP_OK)
        return status;
    if (r->put != output + 1)
        o->writer.row_next = r->covered;
    r->put = output + 1;
    r->covered = op->offset + op->count;
    r->taken_away.batch_count--;
    r->taken_away.size -= (int64_t)op->payload.size;
    return archive_put(&o->writer, op, err);
}

static enum neap_status does_not_come_apart(const struct rewrite *r, enum neap_status status, uint64_t offset,
                                            struct error *err)
{
    return error_set(err, status == NEAP_NOMEM || status == NEAP_TOOLARGE ? status : NEAP_CORRUPT,
                     "topic %u partition %u offset %llu: %s", r->at.topic_id, r->at.partition,
                     (unsigned long long)offset,
                     status == NEAP_TOOLARGE ? "what is left of its batch is larger than the batch was"
                                             : "its records do not come apart");
}

/* ---- what was declared lost ---------------------------------------------------------------------------------------- */

/* Any of these offsets. */
static bool touches_lost(const struct rewrite *r, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < r->lost_count && r->lost[i].first < to; i++)
        if (r->lost[i].end > from)
            return true;
    return false;
}

/* All that is kept of it: nobody is given it any more, whether it can be read or not. */
static bool is_lost(const struct rewrite *r, const struct index_entry *e)
{
    uint64_t first = e->base > r->start ? e->base : r->start;
    for (uint32_t i = 0; i < r->lost_count && r->lost[i].first <= first; i++)
        if (r->lost[i].end >= e->base + e->count)
            return true;
    return false;
}

static enum neap_status collect_lost(struct rewrite *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    const struct lost_range *range;
    bool room = true;
    r->lost_count = 0;
    if (atomic_load_explicit(&s->views.lost.count, memory_order_relaxed) == 0)
        return NEAP_OK;
    io_mutex_take(s->mutex);
    for (uint64_t at = 0; room && (range = lost_next(&s->views.lost, r->at, at)) != NULL; at = range->end) {
        if (r->lost_count == r->lost_room) {
            uint32_t more = r->lost_room == 0 ? 16 : 2 * r->lost_room;
            struct lost_range *grown = realloc(r->lost, more * sizeof(*grown));
            room = grown != NULL;
            r->lost = room ? grown : r->lost;
            r->lost_room = room ? more : r->lost_room;
        }
        if (room)
            r->lost[r->lost_count++] = *range;
    }
    io_mutex_drop(s->mutex);
    return room ? NEAP_OK : error_set(err, NEAP_NOMEM, "rewrite");
}

/* ---- one batch ------------------------------------------------------------------------------------------------------- */

static enum neap_status put_gathered(struct rewrite *r, struct error *err)
{
    struct op op = { .offset = r->covered };
    enum neap_status status = r->gather != NULL ? gather_take(r->gather, &op) : NEAP_NOTFOUND;
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    return status == NEAP_OK ? copy(r, r->gathered, &op, err) : does_not_come_apart(r, status, op.offset, err);
}

/* A batch that is wanted whole by somebody stays by itself: where a partition begins, where a group that holds it stands, and beside
 * what was declared lost, which readers pass over. */
static enum neap_status put_kept(struct rewrite *r, uint32_t output, const struct op *op, struct error *err)
{
    uint64_t end = op->offset + op->count;
    bool whole = op->offset < r->start || end > r->hold || touches_lost(r, op->offset, end);
    bool apart = whole || r->gathered != output || touches_lost(r, r->gathered_to, op->offset);
    enum neap_status status = apart ? NEAP_AGAIN : gather_add(r->gather, op);
    if (status == NEAP_AGAIN || status == NEAP_REFUSED) {
        enum neap_status taken = put_gathered(r, err);
        if (taken != NEAP_OK)
            return taken;
        r->gathered = output;
        status = whole ? NEAP_REFUSED : status == NEAP_AGAIN ? gather_add(r->gather, op) : status;
    }
    r->gathered_to = end;
    if (status == NEAP_REFUSED)
        return copy(r, output, op, err);
    return status == NEAP_OK ? NEAP_OK : does_not_come_apart(r, status, op->offset, err);
}

static enum neap_status pass_lost(struct rewrite *r, const struct index_entry *e)
{
    r->entry++;
    r->taken_away.batch_count += !r->noting;
    r->taken_away.size += r->noting ? 0 : e->size;
    return NEAP_OK;
}

static enum neap_status one_batch(struct rewrite *r, const struct cursor *c, struct error *err)
{
    struct index_entry e = { 0 };
    struct op op;
    enum neap_status status = load_entry(r, c, &e, err);
    if (status == NEAP_OK && is_lost(r, &e))
        return pass_lost(r, &e);
    if (status == NEAP_OK)
        status = read_op(r, c, &e, &op, err);
    if (status != NEAP_OK)
        return status;
    r->copied += e.size;
    r->entry++;
    if (r->noting)
        status = compaction_note(r->compaction, &op);
    else if (r->compaction != NULL)
        status = compaction_keep(r->compaction, &op, &op);
    if (r->noting && status == NEAP_AGAIN) { /* the rest of it need not be read in this walk */
        r->source = r->count;
        r->entry = r->entry_count = 0;
        return NEAP_OK;
    }
    if (status != NEAP_OK && status != NEAP_NOTFOUND)
        return does_not_come_apart(r, status, e.base, err);
    if (r->noting)
        return NEAP_OK;
    r->taken_away.batch_count++;
    r->taken_away.size += e.size;
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    return r->compaction != NULL ? put_kept(r, c->source.output, &op, err) : copy(r, c->source.output, &op, err);
}

/* How many of the sources a walk over the partition is of. */
static uint32_t walked(const struct rewrite *r)
{
    return r->noting ? r->count : r->kept;
}

static enum neap_status next_source(struct rewrite *r, struct error *err)
{
    for (; r->source < walked(r); r->source++) {
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
    *ret_hold = p == NULL ? 0 : r->compaction != NULL ? views_hold(&s->views, r->at) : UINT64_MAX;
    io_mutex_drop(s->mutex);
    return start;
}

static enum neap_status first_source(struct rewrite *r, struct error *err)
{
    r->source = 0;
    r->entry = r->entry_count = 0;
    return next_source(r, err);
}

/* Where the last batch ends that was not declared lost; 0: there is none. */
static enum neap_status last_end(struct rewrite *r, const struct cursor *c, uint64_t *ret_end, struct error *err)
{
    struct index_entry last;
    *ret_end = 0;
    for (uint32_t n = c->row.count; n > 0 && *ret_end == 0; n--) {
        enum neap_status status = index_load_entries(c->source.index, &c->row, c->row_count, n - 1, &last, 1);
        if (status != NEAP_OK)
            return bad_index(r, c, status, err);
        *ret_end = is_lost(r, &last) ? 0 : last.base + last.count;
    }
    return NEAP_OK;
}

/* From where to where the batches of the partition go that are rewritten. */
static enum neap_status measure(struct rewrite *r, uint64_t *ret_end, struct error *err)
{
    bool found = false;
    for (uint32_t i = 0; i < r->kept; i++) {
        const struct cursor *c = &r->cursors[i];
        uint64_t end;
        if (c->row_number == c->row_count || !same(c->row.partition, r->at) || c->row.count == 0)
            continue;
        enum neap_status status = last_end(r, c, &end, err);
        if (status != NEAP_OK)
            return status;
        r->first = found ? r->first : c->row.next;
        *ret_end = end != 0 ? end : *ret_end;
        found = true;
    }
    return NEAP_OK;
}

/* The partition in work is done: what was taken from it is remembered. */
static enum neap_status note_shrunk(struct rewrite *r, struct error *err)
{
    must(r->taken_away.batch_count >= 0);
    if (r->taken_away.batch_count == 0 && r->taken_away.size == 0)
        return NEAP_OK;
    if (r->shrunk_count == r->shrunk_room) {
        uint32_t room = r->shrunk_room == 0 ? 16 : 2 * r->shrunk_room;
        struct shrunk *grown = realloc(r->shrunk, room * sizeof(*grown));
        if (grown == NULL)
            return error_set(err, NEAP_NOMEM, "rewrite");
        r->shrunk = grown;
        r->shrunk_room = room;
    }
    r->shrunk[r->shrunk_count++] = (struct shrunk){ .partition = r->at.partition,
                                                    .batch_count = (uint32_t)r->taken_away.batch_count,
                                                    .start = r->start,
                                                    .size = r->taken_away.size };
    return NEAP_OK;
}

/* OK: there is another partition, opened at its first source. NOTFOUND: that was the last. */
static enum neap_status next_partition(struct rewrite *r, struct error *err)
{
    enum neap_status status = put_gathered(r, err);
    if (status == NEAP_OK)
        status = note_shrunk(r, err);
    if (status != NEAP_OK)
        return status;
    if (!least(r, &r->at))
        return NEAP_NOTFOUND;
    uint64_t end = 0;
    r->start = start_of(r, &r->hold);
    r->put = 0;
    r->taken_away.batch_count = r->taken_away.size = 0;
    r->gathered_to = 0;
    status = collect_lost(r, err);
    if (status == NEAP_OK)
        status = measure(r, &end, err);
    r->covered = r->first;
    r->noting = r->compaction != NULL && status == NEAP_OK && end > r->start && r->start != UINT64_MAX;
    if (r->noting)
        compaction_begin(r->compaction, r->first > r->start ? r->first : r->start, end, r->hold, r->lost,
                         r->lost_count);
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
    if (r->source < walked(r)) {
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
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < r->output_count && status == NEAP_OK; i++)
        status = end_archive(r, &r->outputs[i], err);
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
