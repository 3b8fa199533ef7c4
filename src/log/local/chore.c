#include "log/local/chore.h"
#include "log/local/archive.h"
#include "log/local/damage.h"
#include "log/local/views.h"
#include "log/local/worth.h"
#include <stdlib.h>

/* ---- the sources ---------------------------------------------------------------------------------------------------- */

static void pin_sources(struct chore *c, int by) /* under the mutex */
{
    struct shared *s = &c->log->shared;
    struct journal_file *f = c->drained != 0 ? file_by_sequence(s, c->drained) : NULL;
    must(c->drained == 0 || f != NULL);
    if (f != NULL)
        f->pin_count += (uint32_t)by;
    for (uint32_t i = 0; i < c->archive_count; i++)
        c->archives[i]->pin_count += (uint32_t)by;
}

/* Under the mutex: where a file has not become an archive, the next round looks at it anew. */
static void look_again(struct chore *c, uint64_t sequence)
{
    struct journal_file *f = sequence != 0 ? file_by_sequence(&c->log->shared, sequence) : NULL;
    if (f != NULL)
        f->live_at = 0;
}

/* Whatever it was, it is over. */
static void put_down(struct chore *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    pin_sources(c, -1);
    s->reserved_size = 0;
    s->compacting = 0;
    look_again(c, c->drained);
    io_mutex_drop(s->mutex);
    rewrite_free(&c->rewrite);
    free(c->ops);
    free(c->payloads);
    c->ops = NULL;
    c->payloads = NULL;
    c->drained = 0;
    c->archive_count = c->believed = 0;
    c->written = false;
}

static void drop_prepared(struct chore *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    struct archive *first = s->views.archives.prepared;
    s->views.archives.prepared = NULL;
    io_mutex_drop(s->mutex);
    archives_free_chain(first);
}

/* Under the mutex: the source in work is left alone from now on; of several the one that is damaged, where that is known. */
static void mark_bad(struct chore *c)
{
    struct shared *s = &c->log->shared;
    uint32_t bad = rewrite_bad(c->rewrite);
    struct journal_file *f = c->drained != 0 ? file_by_sequence(s, c->drained) : NULL;
    if (f != NULL)
        f->bad = true;
    for (uint32_t i = 0; i < c->archive_count; i++)
        c->archives[i]->left_alone |= bad == i || bad == REWRITE_NOBODY; /* what of it is right is served */
}

static void give_up(struct chore *c, struct error *err)
{
    if (err->status == NEAP_CORRUPT || err->status == NEAP_TOOLARGE) {
        logging_error(c->log->logging, "space cannot be given back: what holds it is left as it is",
                      LOGGING_TEXT("error", err->text));
        io_mutex_take(c->log->shared.mutex);
        mark_bad(c);
        io_mutex_drop(c->log->shared.mutex);
        *err = (struct error){ 0 };
    }
    put_down(c);
}

/* What comes out counts against the budget beside what it is made of, until that is given back. */
static bool fits_in_budget(struct chore *c, uint64_t size, struct error *err)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    bool fits = used_size(s) + size <= c->log->options.disk_size;
    s->reserved_size = fits ? size : 0;
    io_mutex_drop(s->mutex);
    if (!fits)
        error_set(err, NEAP_FULL, "no room for an archive of %llu bytes", (unsigned long long)size);
    return fits;
}

/* What their indexes say decides what is left out of what comes out, and then they go: they are as they were written, or nothing is
 * done. A source at a time, as there may be many and large ones. False: this one is not; it is left alone from now on. */
static bool believe_archive(struct chore *c, struct archive *a)
{
    struct damage_place place = { .index = { a->file, a->index_at } };
    enum neap_status status = archive_check_again(c->log, a);
    if (status == NEAP_CORRUPT && a->file != NULL)
        damage_note_index(c->log, &place, true, LOG_FOUND_BY_READ);
    return status == NEAP_OK;
}

static bool believe_file(struct chore *c)
{
    const struct rewrite_source *source = &c->sources[0];
    struct damage_place place = { .index = { source->index.file, 0 },
                                  .file = source->file,
                                  .sequence = c->drained,
                                  .base = source->base,
                                  .salt = source->salt };
    if (damage_index_is_whole(&place))
        return true;
    damage_note_index(c->log, &place, false, LOG_FOUND_BY_READ);
    io_mutex_take(c->log->shared.mutex);
    file_by_sequence(&c->log->shared, c->drained)->bad = true;
    io_mutex_drop(c->log->shared.mutex);
    return false;
}

static bool believe_next(struct chore *c)
{
    uint32_t next = c->believed++;
    return c->drained != 0 ? believe_file(c) : believe_archive(c, c->archives[next]);
}

bool chore_drain(struct chore *c, const struct journal_file *f, const struct alive *alive, struct error *err)
{
    uint64_t index_size = alive->archived - alive->size;
    if (!fits_in_budget(c, worth_room(alive->archived) + index_size, err)) {
        io_mutex_take(c->log->shared.mutex);
        look_again(c, f->sequence);
        io_mutex_drop(c->log->shared.mutex);
        if (alive->size >
            f->size / 2) /* of a compacted topic: the copy alone gains nothing, and takes no ready file from others */
            *err = (struct error){ 0 };
        return false;
    }
    c->sources[0] = (struct rewrite_source){ { f->index, 0, c->log->pages }, f->file, f->base, f->salt, 0 };
    c->facts[0] = (struct archive_facts){ .first_sequence = f->sequence, .last_sequence = f->sequence };
    c->plan = (struct rewrite_plan){ c->sources, c->facts, 1, 1, 1, f->size, NULL };
    c->drained = f->sequence;
    c->archive_count = 0;
    io_mutex_take(c->log->shared.mutex);
    pin_sources(c, 1);
    io_mutex_drop(c->log->shared.mutex);
    c->rewrite = rewrite_new(c->log, &c->plan);
    if (c->rewrite == NULL) {
        put_down(c);
        error_set(err, NEAP_NOMEM, "drain");
    }
    return c->rewrite != NULL;
}

/* Under the mutex for `list`, `count` neighbours of one topic, which become one, or are compacted. */
void chore_choose(struct chore *c, struct archive *const *list, uint32_t count, uint32_t kept, bool compacts)
{
    struct worth_output sum = { 0 };
    uint32_t output = 0;
    c->drained = 0;
    c->archive_count = count;
    c->plan =
        (struct rewrite_plan){ .sources = c->sources, .facts = c->facts, .source_count = count, .kept_count = kept };
    for (uint32_t i = 0; i < count; i++) {
        const struct archive_facts *facts = &list[i]->facts;
        bool begins = i < kept && compacts && worth_beginning(c->log, list[i], &sum) && i > 0;
        output += begins;
        if (i == 0 || begins)
            c->facts[output] = (struct archive_facts){ .first_sequence = facts->first_sequence,
                                                       .flags = i == 0 ? facts->flags : ARCHIVE_CONTINUES };
        if (i < kept) {
            c->facts[output].last_sequence = facts->last_sequence;
            c->facts[output].flags |= compacts ? ARCHIVE_COMPACTED : facts->flags & ARCHIVE_COMPACTED;
            c->plan.size += facts->size;
        }
        c->archives[i] = list[i];
        c->sources[i] = (struct rewrite_source){
            { list[i]->file, list[i]->index_at, c->log->pages }, list[i]->file, 0, facts->salt, output
        };
    }
    c->plan.output_count = output + 1;
    pin_sources(c, 1);
}

bool chore_begin(struct chore *c, uint64_t room, const struct clock_cut *tombstones, struct error *err)
{
    struct shared *s = &c->log->shared;
    const struct log_options *o = &c->log->options;
    uint64_t index_size = worth_index_size(c->log, c->archives, c->plan.kept_count, tombstones != NULL);
    if (room > 0 && !fits_in_budget(c, room + index_size, err)) {
        put_down(c);
        return false;
    }
    c->plan.compaction =
        tombstones != NULL ? compaction_new(*tombstones, log_compaction_size(o), log_compaction_records(o)) : NULL;
    if (c->plan.compaction != NULL) {
        io_mutex_take(s->mutex);
        s->compacting = c->archives[0]->topic_id; /* retention stands still meanwhile */
        c->holds = s->hold_count;
        io_mutex_drop(s->mutex);
    }
    if (tombstones == NULL || c->plan.compaction != NULL)
        c->rewrite = rewrite_new(c->log, &c->plan);
    if (c->rewrite == NULL) {
        put_down(c);
        error_set(err, NEAP_NOMEM, "rewrite");
    }
    return c->rewrite != NULL;
}

/* ---- handing it to the journal -------------------------------------------------------------------------------------------- */

static void replaced(struct log_unit *unit, enum neap_status status)
{
    struct chore *c = unit->ctx;
    unit->status_ = status;
    c->ended = true;
}

/* Opened before they count, so that whoever looks finds them open. */
static enum neap_status prepare(struct chore *c, const struct rewritten *list, uint32_t count, struct error *err)
{
    struct shared *s = &c->log->shared;
    for (uint32_t i = 0; i < count; i++) {
        struct archive *a = calloc(1, sizeof(*a));
        if (a == NULL)
            return error_set(err, NEAP_NOMEM, "archive");
        a->facts = list[i].facts;
        a->topic_id = list[i].topic_id;
        enum neap_status status = archive_open(c->log, a, err);
        if (status != NEAP_OK) {
            free(a);
            return status;
        }
        io_mutex_take(s->mutex);
        a->next_ = s->views.archives.prepared;
        s->views.archives.prepared = a;
        io_mutex_drop(s->mutex);
    }
    return NEAP_OK;
}

static struct log_op replace_op(const struct chore *c, uint32_t topic_id, struct bytes payload)
{
    return (
        struct log_op){ .kind = LOG_REPLACE_, .target = { topic_id, 0 }, .offset = { c->drained }, .payload = payload };
}

/* A file becomes an archive for each of its topics: an operation each. */
static enum neap_status make_drain_ops(struct chore *c, const struct rewritten *list, uint32_t count)
{
    const size_t size = REPLACE_HEADER_SIZE + REPLACE_ADDED_SIZE;
    c->ops = calloc(count, sizeof(*c->ops));
    c->payloads = malloc(count * size);
    if (c->ops == NULL || c->payloads == NULL)
        return NEAP_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes payload = replace_encode(c->payloads + i * size, NULL, 0, &list[i].facts, 1, NULL, 0);
        c->ops[i] = replace_op(c, list[i].topic_id, payload);
    }
    return NEAP_OK;
}

/* Archives of one topic become others: one operation, with none of them where nothing was alive. */
static enum neap_status make_archive_op(struct chore *c, const struct rewritten *list, uint32_t count)
{
    const struct shrunk *shrunk = NULL;
    uint32_t shrunk_count = rewrite_shrunk(c->rewrite, &shrunk);
    uint64_t numbers[ARCHIVE_COUNT_MAX];
    c->ops = calloc(1, sizeof(*c->ops));
    uint32_t removed = c->plan.kept_count;
    c->payloads = malloc(REPLACE_HEADER_SIZE + 8u * (size_t)removed + REPLACE_ADDED_SIZE * (size_t)count +
                         REPLACE_SHRUNK_SIZE * (size_t)shrunk_count);
    if (c->ops == NULL || c->payloads == NULL)
        return NEAP_NOMEM;
    for (uint32_t i = 0; i < removed; i++)
        numbers[i] = c->archives[i]->facts.number;
    for (uint32_t i = 0; i < count; i++)
        c->facts[i] = list[i].facts; /* what was planned has come to be */
    struct bytes payload = replace_encode(c->payloads, numbers, removed, c->facts, count, shrunk, shrunk_count);
    *c->ops = replace_op(c, c->archives[0]->topic_id, payload);
    c->ops->count = c->plan.compaction != NULL ? c->holds + 1 : 0;
    return NEAP_OK;
}

static enum neap_status make_unit(struct chore *c, const struct rewritten *list, uint32_t count, struct error *err)
{
    enum neap_status status = c->drained != 0 ? make_drain_ops(c, list, count) : make_archive_op(c, list, count);
    if (status != NEAP_OK)
        return error_set(err, status, "replace");
    c->unit = (struct log_unit){ .ops = c->ops, .count = c->drained != 0 ? count : 1, .done = replaced, .ctx = c };
    return NEAP_OK;
}

static enum neap_status hand_over(struct chore *c, struct log_client *client, struct error *err)
{
    const struct rewritten *list = NULL;
    uint32_t count = rewrite_result(c->rewrite, &list);
    if (count == 0 && c->drained != 0)
        return error_set(err, NEAP_REFUSED, "all of it has died meanwhile");
    enum neap_status status = prepare(c, list, count, err);
    if (status == NEAP_OK)
        status = make_unit(c, list, count, err);
    if (status == NEAP_OK) {
        c->ended = false;
        status = log_submit(client, &c->unit);
        if (status != NEAP_OK)
            error_set(err, status, "hand over archives: %s", status_text(status));
    }
    c->submitted = status == NEAP_OK;
    if (status != NEAP_OK)
        drop_prepared(c);
    return status;
}

/* Its file can be the next spare at once. */
static void note_drained(struct chore *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    struct journal_file *f = c->drained != 0 ? file_by_sequence(s, c->drained) : NULL;
    if (f != NULL)
        f->dead |= archives_drained(&s->views.archives, f->sequence);
    io_mutex_drop(s->mutex);
}

static void finish(struct chore *c)
{
    enum neap_status status = c->unit.status_;
    c->submitted = false;
    if (status == NEAP_OK) {
        rewrite_taken(c->rewrite);
        note_drained(c);
    } else if (status == NEAP_IO || status == NEAP_CLOSED) {
        rewrite_taken(c->rewrite); /* whether the journal holds them is found out at the next start */
    } else {
        drop_prepared(c); /* a topic of it is gone: looked at again */
    }
    put_down(c);
}

bool chore_step(struct chore *c, struct log_client *client, struct error *err)
{
    if (c->submitted && !c->ended)
        return false;
    if (c->submitted) {
        finish(c);
        return true;
    }
    if (c->believed < c->plan.source_count) {
        if (!believe_next(c))
            put_down(c);
        return true;
    }
    enum neap_status status = c->written ? NEAP_OK : rewrite_step(c->rewrite, err);
    if (status == NEAP_AGAIN)
        return true;
    if (status == NEAP_OK && !c->written) { /* their indexes once more: that was long ago */
        c->written = true;
        c->believed = 0;
        return true;
    }
    if (status == NEAP_OK)
        status = hand_over(c, client, err);
    if (status == NEAP_REFUSED || status == NEAP_AGAIN || status == NEAP_CLOSED) {
        *err = (struct error){ 0 };
        put_down(c);
    } else if (status != NEAP_OK) {
        give_up(c, err);
    }
    return true;
}

bool chore_works(const struct chore *c)
{
    return c->rewrite != NULL || c->submitted;
}

bool chore_waits(const struct chore *c)
{
    return c->submitted && !c->ended;
}

void chore_stop(struct chore *c)
{
    if (c->submitted) { /* the journal has answered it by now, or never will: it belongs to what the journal says */
        c->submitted = false;
        if (c->rewrite != NULL)
            rewrite_taken(c->rewrite);
    }
    if (c->rewrite != NULL)
        put_down(c);
}
