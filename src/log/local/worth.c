#include "log/local/worth.h"
#include "log/local/rewrite.h"
#include "log/local/views.h"

#define JOIN_COUNT       8u /* so many neighbours become one */
#define TOMBSTONE_MS     (24 * 3600 * 1000ll)
#define COMPACT_SIZE_MAX (1u << 30) /* of what goes in */

/* Under the mutex: no journal file that is not drained lies between the two. */
static bool are_neighbours(struct shared *s, const struct archive *a, const struct archive *b)
{
    for (uint32_t i = 0; i < s->open_index; i++) {
        const struct journal_file *f = &s->files[i];
        if (f->sequence > a->facts.last_sequence && f->sequence < b->facts.first_sequence && !f->dead &&
            !archives_drained(&s->views.archives, f->sequence))
            return false;
    }
    return true;
}

/* Under the mutex: a journal file that is not drained is older than all that the archive holds. */
static bool lies_behind_files(const struct shared *s, const struct archive *a)
{
    for (uint32_t i = 0; i < s->open_index; i++)
        if (s->files[i].sequence < a->facts.first_sequence && !s->files[i].dead &&
            !archives_drained(&s->views.archives, s->files[i].sequence))
            return true;
    return false;
}

bool worth_nothing(const struct archive *a)
{
    return a->bad || a->left_alone || a->file == NULL;
}

/* Under the mutex: how many from `list[0]` on can become one of at most that size. */
static uint32_t joinable(struct log *log, struct archive *const *list, uint32_t count, uint64_t size_max)
{
    struct shared *s = &log->shared;
    uint64_t size = 0, batches = 0;
    uint32_t n = 0;
    for (; n < count && n < REWRITE_SOURCE_MAX; n++) {
        const struct archive *a = list[n];
        if (worth_nothing(a) || size + a->facts.size > size_max ||
            batches + a->facts.batch_count > s->index_count_max || (n > 0 && !are_neighbours(s, list[n - 1], a)))
            break;
        size += a->facts.size;
        batches += a->facts.batch_count;
    }
    return n;
}

/* Under the mutex: what can be compacted up to the end of the list begins before list[at]. The newest archives by themselves would be
 * compacted again and again, and their keys' older records in the others never met. */
static bool begins_before(struct log *log, struct archive *const *list, uint32_t at, uint32_t count)
{
    return at > 0 && joinable(log, list + at - 1, count - at + 1, COMPACT_SIZE_MAX) == count - at + 1;
}

/* Under the mutex: whether the archives of a compacted topic from `list[0]` on are to be compacted: when at least half of them is
 * new since the last time, as in Kafka. Gives which tombstones have been there long enough to go. */
static bool is_dirty(struct log *log, struct clock *clock, struct archive *const *list, uint32_t count,
                     struct clock_cut *ret_tombstones)
{
    const struct topic *t = views_topic(&log->shared.views, list[0]->topic_id);
    uint64_t size = 0, dirty = 0;
    if (t == NULL || t->settings.cleanup != LOG_CLEANUP_COMPACT || joinable(log, list, count, COMPACT_SIZE_MAX) < count)
        return false; /* not to their end: from a later one on it may be */
    for (uint32_t i = 0; i < count; i++) {
        size += list[i]->facts.size;
        if (i > 0 || !(list[i]->facts.flags & ARCHIVE_COMPACTED)) /* later ones have never met the first */
            dirty += list[i]->facts.size;
    }
    int64_t kept_ms = t->settings.tombstone_ms >= 0 ? t->settings.tombstone_ms : TOMBSTONE_MS;
    *ret_tombstones = clock_cut(clock, kept_ms + 1000); /* times of append are to the second */
    return dirty * 2 >= size && dirty > 0;
}

/* So that there are never many of them, and what has become as large is not copied any more. */
static uint64_t joined_size_max(const struct log_options *options)
{
    uint64_t share = options->disk_size / 64;
    return share < options->file_size ? options->file_size : share < COMPACT_SIZE_MAX ? share : COMPACT_SIZE_MAX;
}

uint32_t worth_joining(struct log *log, struct archive *const *list, uint32_t count)
{
    uint64_t size = 0, largest = 0;
    uint32_t n = joinable(log, list, count, joined_size_max(&log->options));
    for (uint32_t i = 0; i < n; i++) {
        if ((list[i]->facts.flags ^ list[0]->facts.flags) & ARCHIVE_COMPACTED) {
            n = i; /* what is not compacted yet must not pass for it */
            break;
        }
        size += list[i]->facts.size;
        largest = list[i]->facts.size > largest ? list[i]->facts.size : largest;
    }
    if (log->shared.views.archives.count > ARCHIVE_COUNT_MAX / 2)
        return n >= 2 ? n : 0;                             /* there must be fewer, or nothing can be drained any more */
    return n >= JOIN_COUNT && largest <= size / 2 ? n : 0; /* each byte is copied as often as the size can double */
}

/* Under the mutex: how many from `list[0]` on there is room to compact now, two at least: on a disk that is nearly full it is done
 * piece by piece. */
static uint32_t as_many_as_fit(const struct log *log, struct archive *const *list, uint32_t count)
{
    uint64_t used = used_size(&log->shared), size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += list[i]->facts.size;
        if (i >= 2 && used + size + size / 4 + ARCHIVE_SLACK > log->options.disk_size)
            return i;
    }
    return count;
}

uint32_t worth_compacting(struct log *log, struct clock *clock, struct archive *const *list, uint32_t at,
                          uint32_t count, struct clock_cut *ret_tombstones)
{
    if (begins_before(log, list, at, count) || !is_dirty(log, clock, list + at, count - at, ret_tombstones))
        return 0;
    if (at > 0 || lies_behind_files(&log->shared, list[0]))
        *ret_tombstones = CLOCK_CUT_NOTHING; /* what a tombstone took may lie before: all of them stay */
    return as_many_as_fit(log, list + at, count - at);
}
