#include "log/local/sources.h"
#include "log/local/damage.h"
#include "log/local/window.h"
#include <stdlib.h>

struct cursor {
    struct rewrite_source source;
    uint32_t row_count, row_number; /* row is the row_number-th; past the last: no more */
    struct index_row row;
};

struct sources {
    struct log *log;
    struct cursor *cursors;
    uint32_t count;
    bool begun;                  /* the first rows are known */
    struct log_partition at;     /* the partition in work */
    uint64_t start;              /* batches that end before it are passed over */
    uint32_t walked, source;     /* how many of them the walk is over; the one it is at */
    uint32_t entry, entry_count; /* the next entry of its row there; how many the row has; 0: not looked at yet */
    uint32_t loaded_at, loaded;
    struct index_entry entries[INDEX_LOAD_MAX];
    struct window window;
    uint32_t bad;
};

struct sources *sources_new(struct log *log, const struct rewrite_source *list, uint32_t count)
{
    struct sources *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->log = log;
    s->bad = REWRITE_NOBODY;
    s->cursors = calloc(count, sizeof(s->cursors[0]));
    if (s->cursors == NULL) {
        sources_free(&s);
        return NULL;
    }
    s->count = count;
    for (uint32_t i = 0; i < count; i++)
        s->cursors[i].source = list[i];
    return s;
}

void sources_free(struct sources **sources)
{
    struct sources *s = *sources;
    if (s == NULL)
        return;
    window_fini(&s->window);
    free(s->cursors);
    free(s);
    *sources = NULL;
}

uint32_t sources_bad(const struct sources *s)
{
    return s->bad;
}

/* ---- what cannot be read ------------------------------------------------------------------------------------------------ */

/* For whatever reason: it is damage of that place, the source is left alone, and all else goes on. */
static enum neap_status bad_index(struct sources *s, const struct cursor *c, enum neap_status status, struct error *err)
{
    if (status != NEAP_NOMEM)
        s->bad = (uint32_t)(c - s->cursors);
    return error_set(err, status == NEAP_NOMEM ? status : NEAP_CORRUPT, "the index in %s cannot be read",
                     io_file_path(c->source.index.file));
}

static enum neap_status bad_batch(struct sources *s, const struct cursor *c, const struct index_entry *e,
                                  const char *what, struct error *err)
{
    struct shared *shared = &s->log->shared;
    const char *path = io_file_path(c->source.file);
    s->bad = (uint32_t)(c - s->cursors);
    struct log_damage damage = {
        .partition = s->at, .offset = { e->base }, .count = e->count, .byte = e->at, .found_by = LOG_FOUND_BY_SCRUB
    };
    io_mutex_take(shared->mutex);
    bool lost = lost_pass(&shared->views.lost, s->at, e->base) >= e->base + e->count;
    io_mutex_drop(shared->mutex);
    if (!lost) /* else it is nobody's concern any more */
        damage_note(s->log, path, damage, what);
    return error_set(err, NEAP_CORRUPT, "topic %u partition %u offset %llu: %s, %s at byte %u", s->at.topic_id,
                     s->at.partition, (unsigned long long)e->base, what, path, e->at);
}

/* ---- the next partition -------------------------------------------------------------------------------------------- */

static enum neap_status load_row(struct sources *s, struct cursor *c, struct error *err)
{
    enum neap_status status =
        c->row_number < c->row_count ? index_load_row(c->source.index, c->row_number, &c->row) : NEAP_OK;
    return status == NEAP_OK ? NEAP_OK : bad_index(s, c, status, err);
}

static enum neap_status begin(struct sources *s, struct error *err)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct cursor *c = &s->cursors[i];
        enum neap_status status = index_row_count(c->source.index, &c->row_count);
        if (status != NEAP_OK)
            return bad_index(s, c, status, err);
        status = load_row(s, c, err);
        if (status != NEAP_OK)
            return status;
    }
    s->begun = true;
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

/* Whether it stands at a row of the partition in work. */
static bool has_row(const struct sources *s, const struct cursor *c)
{
    return c->row_number < c->row_count && same(c->row.partition, s->at);
}

static enum neap_status pass(struct sources *s, struct error *err)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct cursor *c = &s->cursors[i];
        if (!has_row(s, c))
            continue;
        c->row_number++;
        enum neap_status status = load_row(s, c, err);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_OK;
}

/* The least partition that any source has not been asked about. */
static bool least(const struct sources *s, struct log_partition *ret)
{
    bool found = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct cursor *c = &s->cursors[i];
        if (c->row_number < c->row_count && (!found || is_before(c->row.partition, *ret))) {
            *ret = c->row.partition;
            found = true;
        }
    }
    return found;
}

enum neap_status sources_next_partition(struct sources *s, struct log_partition *ret_partition, struct error *err)
{
    enum neap_status status = s->begun ? pass(s, err) : begin(s, err);
    if (status != NEAP_OK)
        return status;
    if (!least(s, &s->at))
        return NEAP_NOTFOUND;
    *ret_partition = s->at;
    return NEAP_OK;
}

/* Where the last batch ends that was not declared lost; 0: there is none. */
static enum neap_status last_end(const struct cursor *c, const struct lost_list *lost, uint64_t *ret_end)
{
    struct index_entry last;
    *ret_end = 0;
    for (uint32_t n = c->row.count; n > 0 && *ret_end == 0; n--) {
        enum neap_status status = index_load_entries(c->source.index, &c->row, c->row_count, n - 1, &last, 1);
        if (status != NEAP_OK)
            return status;
        *ret_end = lost_list_holds(lost, last.base, last.base + last.count) ? 0 : last.base + last.count;
    }
    return NEAP_OK;
}

enum neap_status sources_measure(struct sources *s, uint32_t count, const struct lost_list *lost, uint64_t *first,
                                 uint64_t *end, struct error *err)
{
    bool found = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct cursor *c = &s->cursors[i];
        uint64_t last;
        if (!has_row(s, c) || c->row.count == 0)
            continue;
        enum neap_status status = last_end(c, lost, &last);
        if (status != NEAP_OK)
            return bad_index(s, c, status, err);
        *first = found ? *first : c->row.next;
        *end = last != 0 ? last : *end;
        found = true;
    }
    return NEAP_OK;
}

/* ---- one partition, one source after the other --------------------------------------------------------------------- */

static enum neap_status open_row(struct sources *s, const struct cursor *c, struct error *err)
{
    uint32_t number = 0;
    enum neap_status status = index_find_entry(c->source.index, &c->row, c->row_count, s->start, &number);
    s->entry = number; /* the first that is alive */
    s->entry_count = c->row.count;
    s->loaded = 0;
    return status == NEAP_OK ? NEAP_OK : bad_index(s, c, status, err);
}

static enum neap_status open_source(struct sources *s, struct error *err)
{
    s->entry = s->entry_count = 0;
    for (; s->source < s->walked; s->source++) {
        const struct cursor *c = &s->cursors[s->source];
        if (has_row(s, c) && c->row.count > 0)
            return open_row(s, c, err);
    }
    return NEAP_OK;
}

enum neap_status sources_walk(struct sources *s, uint32_t count, uint64_t start, struct error *err)
{
    must(count <= s->count);
    s->walked = count;
    s->start = start;
    s->source = 0;
    return open_source(s, err);
}

static enum neap_status load_entries(struct sources *s, const struct cursor *c, struct error *err)
{
    uint32_t left = s->entry_count - s->entry, count = left < INDEX_LOAD_MAX ? left : INDEX_LOAD_MAX;
    enum neap_status status = index_load_entries(c->source.index, &c->row, c->row_count, s->entry, s->entries, count);
    if (status != NEAP_OK)
        return bad_index(s, c, status, err);
    s->loaded_at = s->entry;
    s->loaded = count;
    return NEAP_OK;
}

enum neap_status sources_next(struct sources *s, struct index_entry *ret_entry, struct error *err)
{
    if (s->entry == s->entry_count) {
        if (s->source == s->walked)
            return NEAP_NOTFOUND;
        s->source++;
        enum neap_status status = open_source(s, err);
        return status == NEAP_OK ? NEAP_AGAIN : status;
    }
    if (s->loaded == 0 || s->entry >= s->loaded_at + s->loaded) {
        enum neap_status status = load_entries(s, &s->cursors[s->source], err);
        if (status != NEAP_OK)
            return status;
    }
    *ret_entry = s->entries[s->entry++ - s->loaded_at];
    return NEAP_OK;
}

enum neap_status sources_read(struct sources *s, struct op *ret_op, struct error *err)
{
    must(s->loaded > 0 && s->entry > s->loaded_at && s->entry <= s->loaded_at + s->loaded);
    const struct cursor *c = &s->cursors[s->source];
    const struct index_entry *e = &s->entries[s->entry - 1 - s->loaded_at];
    struct bytes bytes = { 0 };
    if (OP_HEADER_SIZE + (uint64_t)e->size > LOG_UNIT_SIZE_MAX)
        return error_set(err, NEAP_CORRUPT, "a batch larger than any");
    enum neap_status status =
        window_read(&s->window, c->source.file, e, s->loaded_at + s->loaded + 1 - s->entry, &bytes);
    if (status == NEAP_NOMEM)
        return error_set(err, status, "rewrite");
    if (status != NEAP_OK)
        return bad_batch(s, c, e, "its bytes cannot be read", err);
    if (op_read(bytes, c->source.salt, c->source.base + e->at, ret_op) != NEAP_OK || ret_op->kind != OP_APPEND ||
        !same(ret_op->target, s->at) || ret_op->offset != e->base || ret_op->count != e->count)
        return bad_batch(s, c, e, "its checksum does not match", err);
    return NEAP_OK;
}

uint32_t sources_output(const struct sources *s)
{
    return s->cursors[s->source].source.output;
}
