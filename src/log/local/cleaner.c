#include "log/local/cleaner.h"
#include "log/local/alive.h"
#include "log/local/journal.h"
#include "log/local/pace.h"
#include "log/local/space.h"
#include "log/local/views.h"
#include "log/local/worth.h"
#include <stdlib.h>

#define SLOW_FILE_COUNT 1u         /* filled up between two rounds */
#define DRAIN_COUNT_MAX 8u         /* in a round */
#define OUTPUT_SIZE_MAX (1u << 30) /* of what goes into one archive, in a compaction */
#define OUTPUT_INDEXES  4u         /* its batches: so many times those of a journal file */

struct cleaner {
    struct log *log;
    struct clock *clock;
    struct { /* the round: every sealed file, then every archive, is looked at once */
        bool on;
        uint64_t file;    /* sequence of the next to look at */
        uint64_t archive; /* number of the next */
        struct pace pace;
        bool urgent;
        bool wanted;          /* room: what is half dead is copied, too */
        uint32_t drain_count; /* files; then what has died meanwhile is looked for */
    } round;
    struct rewrite *rewrite;
    uint64_t drained;                            /* the journal file in work; 0: archives are */
    struct archive *archives[ARCHIVE_COUNT_MAX]; /* in work: pinned, so that they are there, gone or not */
    uint32_t archive_count;
    struct rewrite_source sources[ARCHIVE_COUNT_MAX];
    struct archive_facts facts[ARCHIVE_COUNT_MAX]; /* of what comes out */
    struct rewrite_plan plan;
    bool submitted, ended;
    struct log_unit unit;
    struct log_op *ops;
    uint8_t *payloads;
};

struct cleaner *cleaner_new(struct log *log, struct clock *clock)
{
    struct cleaner *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->log = log;
    c->clock = clock;
    return c;
}

bool cleaner_pending(const struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    bool pending = s->recycle_due;
    for (const struct archive *a = s->views.archives.gone; a != NULL; a = a->next_)
        pending |= a->pin_count == 0;
    io_mutex_drop(s->mutex);
    return pending || cleaner_works(c);
}

bool cleaner_works(const struct cleaner *c)
{
    return c->round.on || c->rewrite != NULL || c->submitted;
}

bool cleaner_waits(const struct cleaner *c)
{
    return c->submitted && !c->ended;
}

void cleaner_wake(struct cleaner *c, bool urgent)
{
    c->round.urgent |= urgent;
}

/* ---- work on one source, or on several -------------------------------------------------------------------------------- */

static void pin_sources(struct cleaner *c, int by) /* under the mutex */
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
static void look_again(struct cleaner *c, uint64_t sequence)
{
    struct journal_file *f = sequence != 0 ? file_by_sequence(&c->log->shared, sequence) : NULL;
    if (f != NULL)
        f->live_at = 0;
}

/* Under the mutex. What was looked at while little was copied is looked at again when more is. While files fill up slowly copying
 * disturbs nobody. */
static void ask_for_room(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    bool wanted = c->round.pace.filled <= SLOW_FILE_COUNT || space_is_wanted(c->log, c->round.wanted);
    for (uint32_t i = 0; wanted && !c->round.wanted && i < s->open_index; i++)
        s->files[i].live_at = 0;
    c->round.wanted = wanted;
}

/* Whatever it was, it is over. */
static void put_down(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    pin_sources(c, -1);
    s->reserved_size = 0;
    s->compacting = 0;
    look_again(c, c->drained);
    ask_for_room(c);
    io_mutex_drop(s->mutex);
    rewrite_free(&c->rewrite);
    free(c->ops);
    free(c->payloads);
    c->ops = NULL;
    c->payloads = NULL;
    c->drained = 0;
    c->archive_count = 0;
}

static void drop_prepared(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    struct archive *first = s->views.archives.prepared;
    s->views.archives.prepared = NULL;
    io_mutex_drop(s->mutex);
    archives_free_chain(first);
}

/* Under the mutex: the source in work is left alone from now on. */
static void mark_bad(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    struct journal_file *f = c->drained != 0 ? file_by_sequence(s, c->drained) : NULL;
    if (f != NULL)
        f->bad = true;
    for (uint32_t i = 0; i < c->archive_count; i++)
        c->archives[i]->left_alone = true; /* what of it is right is served */
}

static void give_up(struct cleaner *c, struct error *err)
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
static bool fits_in_budget(struct cleaner *c, uint64_t size, struct error *err)
{
    struct shared *s = &c->log->shared;
    size += size / 4 + ARCHIVE_SLACK; /* its index */
    io_mutex_take(s->mutex);
    bool fits = used_size(s) + size <= c->log->options.disk_size;
    s->reserved_size = fits ? size : 0;
    io_mutex_drop(s->mutex);
    if (!fits)
        error_set(err, NEAP_FULL, "no room for an archive of %llu bytes", (unsigned long long)size);
    return fits;
}

static bool begin_file(struct cleaner *c, const struct journal_file *f, uint64_t live_size, struct error *err)
{
    if (!fits_in_budget(c, live_size, err)) {
        io_mutex_take(c->log->shared.mutex);
        look_again(c, f->sequence);
        io_mutex_drop(c->log->shared.mutex);
        if (live_size >
            f->size / 2) /* of a compacted topic: the copy alone gains nothing, and takes no ready file from others */
            *err = (struct error){ 0 };
        return true;
    }
    c->sources[0] = (struct rewrite_source){ { f->index, 0, c->log->pages }, f->file, f->base, f->salt, 0 };
    c->facts[0] = (struct archive_facts){ .first_sequence = f->sequence, .last_sequence = f->sequence };
    c->plan = (struct rewrite_plan){ c->sources, c->facts, 1, 1, f->size, NULL };
    c->drained = f->sequence;
    c->round.drain_count++;
    c->archive_count = 0;
    io_mutex_take(c->log->shared.mutex);
    pin_sources(c, 1);
    io_mutex_drop(c->log->shared.mutex);
    c->rewrite = rewrite_new(c->log, &c->plan);
    if (c->rewrite == NULL) {
        put_down(c);
        error_set(err, NEAP_NOMEM, "drain");
    }
    return true;
}

/* Whether the archive begins another output of a compaction: as large as one may be without its index being too large to be looked
 * at whole. */
static bool begins_output(struct cleaner *c, const struct archive *a, uint64_t *size, uint64_t *batches)
{
    *size += a->facts.size;
    *batches += a->facts.batch_count;
    if (*size <= OUTPUT_SIZE_MAX && *batches <= OUTPUT_INDEXES * (uint64_t)c->log->shared.index_count_max)
        return false;
    *size = a->facts.size;
    *batches = a->facts.batch_count;
    return true;
}

static uint64_t compacted_flags(uint32_t output)
{
    return ARCHIVE_COMPACTED | (output > 0 ? ARCHIVE_CONTINUES : 0);
}

/* Under the mutex for `list`, `count` neighbours of one topic, which become one, or are compacted. */
static void choose(struct cleaner *c, struct archive *const *list, uint32_t count, bool compacts)
{
    uint64_t size = 0, batches = 0;
    uint32_t output = 0;
    c->drained = 0;
    c->archive_count = count;
    c->plan = (struct rewrite_plan){ .sources = c->sources, .facts = c->facts, .source_count = count };
    for (uint32_t i = 0; i < count; i++) {
        const struct archive_facts *facts = &list[i]->facts;
        bool begins = (i > 0 && compacts && begins_output(c, list[i], &size, &batches));
        output += begins;
        if (i == 0 || begins)
            c->facts[output] =
                (struct archive_facts){ .first_sequence = facts->first_sequence, .flags = compacts ? 0 : facts->flags };
        c->facts[output].last_sequence = facts->last_sequence;
        c->facts[output].flags |= compacts ? compacted_flags(output) : facts->flags & ARCHIVE_COMPACTED;
        c->archives[i] = list[i];
        c->sources[i] = (struct rewrite_source){
            { list[i]->file, list[i]->index_at, c->log->pages }, list[i]->file, 0, facts->salt, output
        };
        c->plan.size += facts->size;
    }
    c->plan.output_count = output + 1;
    pin_sources(c, 1);
}

/* tombstones: which of them go in a compaction; NULL: the archives are only joined. */
static bool begin_archives(struct cleaner *c, const struct clock_cut *tombstones, struct error *err)
{
    c->plan.compaction = tombstones != NULL ? compaction_new(*tombstones) : NULL;
    if (c->plan.compaction != NULL) {
        io_mutex_take(c->log->shared.mutex);
        c->log->shared.compacting = c->archives[0]->topic_id; /* retention stands still meanwhile */
        io_mutex_drop(c->log->shared.mutex);
    }
    if (tombstones == NULL || c->plan.compaction != NULL)
        c->rewrite = rewrite_new(c->log, &c->plan);
    if (c->rewrite == NULL) {
        put_down(c);
        error_set(err, NEAP_NOMEM, "rewrite");
    }
    return true;
}

/* ---- handing it to the journal -------------------------------------------------------------------------------------------- */

static void replaced(struct log_unit *unit, enum neap_status status)
{
    struct cleaner *c = unit->ctx;
    unit->status_ = status;
    c->ended = true;
}

/* Opened before they count, so that whoever looks finds them open. */
static enum neap_status prepare(struct cleaner *c, const struct rewritten *list, uint32_t count, struct error *err)
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

static struct log_op replace_op(const struct cleaner *c, uint32_t topic_id, struct bytes payload)
{
    return (
        struct log_op){ .kind = LOG_REPLACE_, .target = { topic_id, 0 }, .offset = { c->drained }, .payload = payload };
}

/* A file becomes an archive for each of its topics: an operation each. */
static enum neap_status make_drain_ops(struct cleaner *c, const struct rewritten *list, uint32_t count)
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
static enum neap_status make_archive_op(struct cleaner *c, const struct rewritten *list, uint32_t count)
{
    const struct shrunk *shrunk = NULL;
    uint32_t shrunk_count = rewrite_shrunk(c->rewrite, &shrunk);
    uint64_t numbers[ARCHIVE_COUNT_MAX];
    c->ops = calloc(1, sizeof(*c->ops));
    c->payloads = malloc(REPLACE_HEADER_SIZE + 8u * (size_t)c->archive_count + REPLACE_ADDED_SIZE * (size_t)count +
                         REPLACE_SHRUNK_SIZE * (size_t)shrunk_count);
    if (c->ops == NULL || c->payloads == NULL)
        return NEAP_NOMEM;
    for (uint32_t i = 0; i < c->archive_count; i++)
        numbers[i] = c->archives[i]->facts.number;
    for (uint32_t i = 0; i < count; i++)
        c->facts[i] = list[i].facts; /* what was planned has come to be */
    struct bytes payload =
        replace_encode(c->payloads, numbers, c->archive_count, c->facts, count, shrunk, shrunk_count);
    *c->ops = replace_op(c, c->archives[0]->topic_id, payload);
    return NEAP_OK;
}

static enum neap_status make_unit(struct cleaner *c, const struct rewritten *list, uint32_t count, struct error *err)
{
    enum neap_status status = c->drained != 0 ? make_drain_ops(c, list, count) : make_archive_op(c, list, count);
    if (status != NEAP_OK)
        return error_set(err, status, "replace");
    c->unit = (struct log_unit){ .ops = c->ops, .count = c->drained != 0 ? count : 1, .done = replaced, .ctx = c };
    return NEAP_OK;
}

static enum neap_status hand_over(struct cleaner *c, struct log_client *client, struct error *err)
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
static void note_drained(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    io_mutex_take(s->mutex);
    struct journal_file *f = c->drained != 0 ? file_by_sequence(s, c->drained) : NULL;
    if (f != NULL)
        f->dead |= archives_drained(&s->views.archives, f->sequence);
    io_mutex_drop(s->mutex);
}

static void finish(struct cleaner *c)
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

static bool go_on(struct cleaner *c, struct log_client *client, struct error *err)
{
    enum neap_status status = rewrite_step(c->rewrite, err);
    if (status == NEAP_AGAIN)
        return true;
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

/* ---- what is to be done ------------------------------------------------------------------------------------------------- */

/* How much of a source may be alive to be copied. The longer it waits, the more of it dies by itself: little is copied, as long
 * as all together takes less than twice what is kept. */
static uint64_t copied_max(const struct cleaner *c, uint64_t size)
{
    return c->round.wanted ? size / 2 : size / 8;
}

/* The next sealed file of the round that the older snapshot has passed and that has not been looked at since. */
static bool next_file(struct cleaner *c, struct journal_file *ret_file, uint64_t *ret_change)
{
    struct shared *s = &c->log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < s->open_index && !found; i++) {
        struct journal_file *f = &s->files[i];
        if (f->sequence < c->round.file)
            continue;
        c->round.file = f->sequence + 1;
        if (f->base + f->size > s->snapshot_position[SNAPSHOT_KEEP - 1])
            continue;
        f->dead |= archives_drained(&s->views.archives, f->sequence);
        if (f->dead || f->bad || !f->index_ready || f->live_at == s->views.change_count + 1)
            continue;
        f->pin_count++;
        *ret_file = *f;
        *ret_change = s->views.change_count;
        found = true;
    }
    io_mutex_drop(s->mutex);
    return found;
}

static bool look_at_file(struct cleaner *c, struct error *err)
{
    struct shared *s = &c->log->shared;
    struct journal_file look = { 0 };
    struct alive alive;
    uint64_t change = 0;
    if (c->round.drain_count == DRAIN_COUNT_MAX || !next_file(c, &look, &change))
        return false;
    uint64_t enough = copied_max(c, look.size);
    enum neap_status status = alive_count(c->log, (struct index_file){ look.index, 0, c->log->pages }, enough, &alive);
    io_mutex_take(s->mutex);
    struct journal_file *f = file_by_sequence(s, look.sequence);
    f->pin_count--;
    f->live_at = change + 1;
    f->dead = status == NEAP_OK && alive.size == 0;
    bool half = status == NEAP_OK && alive.size > 0 && alive.stay <= enough &&
                s->views.archives.count < ARCHIVE_COUNT_MAX - DRAIN_TOPIC_COUNT_MAX;
    io_mutex_drop(s->mutex);
    return half ? begin_file(c, &look, alive.size, err) : true;
}

/* The next archive of the round, by number; pinned. */
static struct archive *next_archive(struct cleaner *c, uint64_t *ret_change)
{
    struct shared *s = &c->log->shared;
    const struct archives *all = &s->views.archives;
    struct archive *found = NULL;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < all->count; i++) {
        struct archive *a = all->list[i];
        if (a->facts.number >= c->round.archive && (found == NULL || a->facts.number < found->facts.number))
            found = a;
    }
    if (found != NULL) {
        c->round.archive = found->facts.number + 1;
        found->pin_count++;
        *ret_change = s->views.change_count;
    }
    io_mutex_drop(s->mutex);
    return found;
}

/* Without what an archive is made of beside them: in a small one that is the most, and no rewrite would make it less. */
static uint64_t batches_size(const struct archive *a)
{
    return a->index_at - ARCHIVE_HEADER_SIZE;
}

static bool act_on_archive(struct cleaner *c, struct archive *a, uint64_t live_size, struct error *err)
{
    struct shared *s = &c->log->shared;
    uint32_t first = 0, at, count = 0;
    struct clock_cut tombstones = CLOCK_CUT_NOTHING;
    io_mutex_take(s->mutex);
    uint32_t of_topic = archives_of(&s->views.archives, a->topic_id, &first);
    struct archive **list = s->views.archives.list + first;
    for (at = 0; at < of_topic && list[at] != a;)
        at++;
    bool there = at < of_topic && !worth_nothing(a);
    if (there && !s->trimming)
        count = worth_compacting(c->log, c->clock, list, at, of_topic, &tombstones);
    bool compacts = count > 0;
    if (there && !compacts)
        count = worth_joining(c->log, list + at, of_topic - at);
    if (there && count == 0 && live_size <= copied_max(c, batches_size(a)))
        count = 1;
    if (count > 0)
        choose(c, list + at, count, compacts);
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += live_size == 0 ? 0 : list[at + i]->facts.size;
    io_mutex_drop(s->mutex);
    if (count > 0 && size > 0 && !fits_in_budget(c, size, err)) {
        if (count > 1) /* nothing hangs on it: it is done when there is room for it */
            *err = (struct error){ 0 };
        put_down(c);
        return true;
    }
    return count > 0 ? begin_archives(c, compacts ? &tombstones : NULL, err) : true;
}

static bool look_at_archive(struct cleaner *c, struct error *err)
{
    struct shared *s = &c->log->shared;
    uint64_t change = 0;
    struct archive *a = next_archive(c, &change);
    if (a == NULL)
        return false;
    struct alive alive = { .size = a->live_size };
    enum neap_status status = NEAP_OK;
    if (a->live_at != change + 1 && a->file != NULL)
        status = alive_count(c->log, (struct index_file){ a->file, a->index_at, c->log->pages }, UINT64_MAX, &alive);
    bool worked = true;
    if (status == NEAP_OK)
        worked = act_on_archive(c, a, alive.size, err);
    io_mutex_take(s->mutex);
    a->pin_count--;
    a->live_at = status == NEAP_OK ? change + 1 : 0;
    a->live_size = alive.size;
    io_mutex_drop(s->mutex);
    return worked;
}

/* Archives that nothing refers to any more. */
static bool unlink_gone(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    struct archive *gone = NULL;
    io_mutex_take(s->mutex);
    for (struct archive **at = &s->views.archives.gone; *at != NULL && gone == NULL; at = &(*at)->next_) {
        if ((*at)->pin_count > 0)
            continue;
        gone = *at;
        *at = gone->next_;
        if (*at == NULL)
            break;
    }
    io_mutex_drop(s->mutex);
    if (gone == NULL)
        return false;
    gone->next_ = NULL;
    archive_unlink(c->log, gone->facts.number);
    archives_free_chain(gone);
    return true;
}

static bool round_due(struct cleaner *c, mono_time now)
{
    struct shared *s = &c->log->shared;
    if (!c->round.urgent && !pace_due(&c->round.pace, c->log, now))
        return false;
    io_mutex_take(s->mutex);
    bool due = s->recycle_due;
    s->recycle_due = false;
    io_mutex_drop(s->mutex);
    c->round.urgent = false;
    if (!due)
        return false;
    pace_begin(&c->round.pace, c->log, now);
    io_mutex_take(s->mutex);
    ask_for_room(c);
    io_mutex_drop(s->mutex);
    return true;
}

static void end_round(struct cleaner *c)
{
    struct shared *s = &c->log->shared;
    pace_end(&c->round.pace, c->log);
    io_mutex_take(s->mutex);
    s->recycle_due |= c->round.drain_count == DRAIN_COUNT_MAX; /* there may be more */
    io_mutex_drop(s->mutex);
}

static bool step(struct cleaner *c, struct log_client *client, mono_time now, struct error *err)
{
    if (c->submitted) {
        if (!c->ended)
            return false;
        finish(c);
        return true;
    }
    if (c->rewrite != NULL)
        return go_on(c, client, err);
    if (unlink_gone(c))
        return true;
    if (!c->round.on) {
        c->round.on = round_due(c, now);
        c->round.file = c->round.archive = 0;
        c->round.drain_count = 0;
    }
    if (!c->round.on)
        return false;
    mono_time since = io_now(c->log->io);
    c->round.on = look_at_file(c, err) || look_at_archive(c, err);
    pace_looked(&c->round.pace, c->log, since);
    if (!c->round.on)
        end_round(c);
    return true;
}

/* Producers wait while it is at work, and are told when it has ended without having found room. */
bool cleaner_step(struct cleaner *c, struct log_client *client, mono_time now, struct error *err)
{
    struct shared *s = &c->log->shared;
    bool worked = step(c, client, now, err);
    bool cleaning = cleaner_works(c);
    io_mutex_take(s->mutex);
    bool changed = s->cleaning != cleaning;
    s->cleaning = cleaning;
    if (changed)
        space_update(c->log);
    io_mutex_drop(s->mutex);
    if (changed && !cleaning)
        journal_wake(c->log->journal);
    return worked;
}

void cleaner_stop(struct cleaner *c)
{
    if (c->submitted) { /* the journal has answered it by now, or never will: it belongs to what the journal says */
        c->submitted = false;
        if (c->rewrite != NULL)
            rewrite_taken(c->rewrite);
    }
    if (c->rewrite != NULL)
        put_down(c);
}

void cleaner_free(struct cleaner **cleaner)
{
    if (*cleaner == NULL)
        return;
    must((*cleaner)->rewrite == NULL && !(*cleaner)->submitted);
    free(*cleaner);
    *cleaner = NULL;
}
