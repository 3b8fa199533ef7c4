#include "log/local/cleaner.h"
#include "log/local/alive.h"
#include "log/local/chore.h"
#include "log/local/damage.h"
#include "log/local/journal.h"
#include "log/local/pace.h"
#include "log/local/space.h"
#include "log/local/views.h"
#include "log/local/worth.h"
#include <stdlib.h>

#define SLOW_FILE_COUNT 1u /* filled up between two rounds */
#define BESIDE_NS       (500 * NS_PER_MS)
#define DRAIN_COUNT_MAX 8u /* in a round */

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
    struct chore chore;
    struct { /* beside a chore, which may take long: files that are dead altogether */
        bool on;
        uint64_t file; /* sequence of the next to look at */
        mono_time next;
    } beside;
};

struct cleaner *cleaner_new(struct log *log, struct clock *clock)
{
    struct cleaner *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->log = log;
    c->chore.log = log;
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
    return c->round.on || chore_works(&c->chore);
}

bool cleaner_waits(const struct cleaner *c)
{
    return chore_waits(&c->chore);
}

void cleaner_wake(struct cleaner *c, bool urgent)
{
    c->round.urgent |= urgent;
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

/* ---- a round ------------------------------------------------------------------------------------------------------------- */

/* How much of a source may be alive to be copied. The longer it waits, the more of it dies by itself: little is copied, as long
 * as all together takes less than twice what is kept. */
static uint64_t copied_max(const struct cleaner *c, uint64_t size)
{
    return c->round.wanted ? size / 2 : size / 8;
}

/* The next sealed file of the round that the older snapshot has passed and that has not been looked at since. */
static bool next_file(struct cleaner *c, uint64_t *next, struct journal_file *ret_file, uint64_t *ret_change)
{
    struct shared *s = &c->log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < s->open_index && !found; i++) {
        struct journal_file *f = &s->files[i];
        if (f->sequence < *next)
            continue;
        *next = f->sequence + 1;
        if (f->base + f->size > s->snapshot_position[SNAPSHOT_KEEP - 1])
            continue;
        bool drained = archives_drained(&s->views.archives, f->sequence);
        f->dead |= drained && !archives_miss(&s->views.archives, f->sequence);
        if (drained || f->dead || f->bad || !f->index_ready || f->live_at == s->views.change_count + 1)
            continue;
        f->pin_count++;
        *ret_file = *f;
        *ret_change = s->views.change_count;
        found = true;
    }
    io_mutex_drop(s->mutex);
    return found;
}

/* Under a pin: a file is given back, or drained, because its index says that little of it is alive. Is it as it was written? */
static bool is_believable(struct cleaner *c, const struct journal_file *f)
{
    struct damage_place place = {
        .index = { f->index, 0 }, .file = f->file, .sequence = f->sequence, .base = f->base, .salt = f->salt
    };
    bool whole = damage_index_is_whole(&place);
    if (!whole)
        damage_note_index(c->log, &place, false, LOG_FOUND_BY_READ);
    return whole;
}

/* What is found of a file is written down; false: nothing follows from it. Its pin is let go. */
static bool judge_file(struct cleaner *c, const struct journal_file *look, enum neap_status status,
                       const struct alive *alive, uint64_t enough)
{
    struct shared *s = &c->log->shared;
    bool dead = status == NEAP_OK && alive->size == 0;
    bool half = status == NEAP_OK && alive->size > 0 && enough > 0 && alive->stay <= enough;
    bool bad = (dead || half) && !is_believable(c, look);
    io_mutex_take(s->mutex);
    struct journal_file *f = file_by_sequence(s, look->sequence);
    f->pin_count--;
    f->bad |= bad;
    f->dead = dead && !bad;
    half = half && !bad && s->views.archives.count < ARCHIVE_COUNT_MAX - DRAIN_TOPIC_COUNT_MAX;
    io_mutex_drop(s->mutex);
    return half;
}

static bool look_at_file(struct cleaner *c, struct error *err)
{
    struct shared *s = &c->log->shared;
    struct journal_file look = { 0 };
    struct alive alive;
    uint64_t change = 0;
    if (c->round.drain_count == DRAIN_COUNT_MAX || !next_file(c, &c->round.file, &look, &change))
        return false;
    uint64_t enough = copied_max(c, look.size);
    enum neap_status status = alive_count(c->log, (struct index_file){ look.index, 0, c->log->pages }, enough, &alive);
    bool half = judge_file(c, &look, status, &alive, enough);
    io_mutex_take(s->mutex);
    file_by_sequence(s, look.sequence)->live_at = change + 1;
    io_mutex_drop(s->mutex);
    if (half && chore_drain(&c->chore, &look, &alive, err))
        c->round.drain_count++;
    return true;
}

/* A compaction takes as long as its topic is large, and files of others die meanwhile. */
static void look_beside(struct cleaner *c, mono_time now)
{
    struct journal_file look = { 0 };
    struct alive alive;
    uint64_t change;
    if (!c->beside.on && now.ns < c->beside.next.ns)
        return;
    c->beside.file = c->beside.on ? c->beside.file : 0;
    c->beside.on = next_file(c, &c->beside.file, &look, &change);
    c->beside.next = mono_after(now, BESIDE_NS);
    if (!c->beside.on)
        return;
    enum neap_status status = alive_count(c->log, (struct index_file){ look.index, 0, c->log->pages }, 0, &alive);
    (void)judge_file(c, &look, status, &alive, 0);
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

static uint64_t size_of(struct archive *const *list, uint32_t count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += list[i]->facts.size;
    return size;
}

/* All of a topic at once, when its first archive is looked at. */
static bool compact_topic(struct cleaner *c, const struct archive *a, struct error *err)
{
    struct shared *s = &c->log->shared;
    struct worth_plan plan = { .kept = 0 };
    uint32_t first = 0;
    io_mutex_take(s->mutex);
    uint32_t of_topic = archives_of(&s->views.archives, a->topic_id, &first);
    struct archive **list = s->views.archives.list + first;
    if (of_topic > 0 && list[0] == a && !s->trimming)
        plan = worth_compacting(c->log, c->clock, list, of_topic);
    list += plan.first + plan.from;
    uint64_t size = size_of(list, plan.kept);
    if (plan.kept > 0)
        chore_choose(&c->chore, list, plan.count - plan.from, plan.kept, true);
    io_mutex_drop(s->mutex);
    if (plan.kept == 0)
        return false;
    if (chore_begin(&c->chore, worth_room(size), &plan.tombstones, err) || err->status != NEAP_FULL)
        return true;
    *err = (struct error){ 0 }; /* nothing hangs on it: it is done when there is room for it */
    return false;
}

static void act_on_archive(struct cleaner *c, struct archive *a, uint64_t live_size, struct error *err)
{
    struct shared *s = &c->log->shared;
    uint32_t first = 0, at, count = 0;
    io_mutex_take(s->mutex);
    uint32_t of_topic = archives_of(&s->views.archives, a->topic_id, &first);
    struct archive **list = s->views.archives.list + first;
    for (at = 0; at < of_topic && list[at] != a;)
        at++;
    bool there = at < of_topic && !worth_nothing(a);
    if (there)
        count = worth_joining(c->log, list + at, of_topic - at);
    if (there && count == 0 && live_size <= copied_max(c, batches_size(a)))
        count = 1;
    uint64_t size = live_size == 0 && count == 1 ? 0 : size_of(list + at, count);
    if (count > 0)
        chore_choose(&c->chore, list + at, count, count, false);
    io_mutex_drop(s->mutex);
    if (count > 0 && !chore_begin(&c->chore, size > 0 ? worth_room(size) : 0, NULL, err) && count > 1 &&
        err->status == NEAP_FULL)
        *err = (struct error){ 0 }; /* nothing hangs on it, either */
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
    bool compacts = compact_topic(c, a, err);
    if (!compacts && a->live_at != change + 1 && a->file != NULL)
        status = alive_count(c->log, (struct index_file){ a->file, a->index_at, c->log->pages }, UINT64_MAX, &alive);
    if (!compacts && status == NEAP_OK)
        act_on_archive(c, a, alive.size, err);
    io_mutex_take(s->mutex);
    a->pin_count--;
    a->live_at = status == NEAP_OK && !compacts ? change + 1 : 0;
    a->live_size = alive.size;
    io_mutex_drop(s->mutex);
    return true;
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
    if (chore_works(&c->chore)) {
        bool worked = chore_step(&c->chore, client, err);
        look_beside(c, now);
        if (!chore_works(&c->chore)) {
            io_mutex_take(c->log->shared.mutex);
            ask_for_room(c);
            io_mutex_drop(c->log->shared.mutex);
        }
        return worked;
    }
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
    chore_stop(&c->chore);
}

void cleaner_free(struct cleaner **cleaner)
{
    if (*cleaner == NULL)
        return;
    must(!chore_works(&(*cleaner)->chore));
    free(*cleaner);
    *cleaner = NULL;
}
