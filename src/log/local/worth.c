#include "log/local/worth.h"
#include "log/local/space.h"
#include "log/local/views.h"

#define JOIN_COUNT      8u /* so many neighbours become one */
#define JOIN_COUNT_MAX  64u
#define JOIN_SIZE_MAX   (1u << 30)
#define TOMBSTONE_MS    (24 * 3600 * 1000ll)
#define SMALL_ROOM      16384u /* a sixteenth of little is no room for one batch that grows */

#define OUTPUT_SIZE_MAX (1u << 30) /* of what goes into one archive, in a compaction */
#define OUTPUT_SHARE    64u        /* and of the disk: so little must be free to go on */
#define OUTPUT_INDEXES  4u         /* its batches: so many times those of a journal file */

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
    for (; n < count && n < JOIN_COUNT_MAX; n++) {
        size += list[n]->facts.size;
        batches += list[n]->facts.batch_count;
        if (worth_nothing(list[n]) || size > size_max || batches > s->index_count_max ||
            (n > 0 && !are_neighbours(s, list[n - 1], list[n])))
            break;
    }
    return n;
}

/* An archive is its header and that of its index (200 bytes), a row of 24 bytes per partition, and for each batch 40 bytes, the batch
 * up to the next 8, and an entry of 24: nearly half of all where batches are of one small event, next to nothing where they are large.
 * That is in `size` already, exactly: archives are counted whole, the batches of a journal file with all of it. What is copied or
 * joined takes no more than it took, as each has headers and rows of its own before, and shares them afterwards. Only a packed batch
 * that compaction has taken records from can grow, where its producer packed harder than we do: by some hundredths, as
 * there is less in it than there was, and only where it is about all of it that stays. But until an archive is complete, what becomes
 * its index, rows and entries, lies in files beside it (spill.h), and for a moment it is there twice: that comes on top, once for
 * the largest of several, as they are completed one after the other. */
uint64_t worth_room(uint64_t size)
{
    return size + size / 16 + SMALL_ROOM;
}

bool worth_beginning(const struct log *log, const struct archive *a, struct worth_output *output)
{
    const struct log_options *o = &log->options;
    uint64_t share = o->disk_size / OUTPUT_SHARE, size_max = share < o->file_size ? o->file_size : share;
    output->size += a->facts.size;
    output->batch_count += a->facts.batch_count;
    if (output->size <= (size_max < OUTPUT_SIZE_MAX ? size_max : OUTPUT_SIZE_MAX) &&
        output->batch_count <= OUTPUT_INDEXES * (uint64_t)log->shared.index_count_max)
        return false;
    *output = (struct worth_output){ a->facts.size, a->facts.batch_count };
    return true;
}

uint64_t worth_index_size(struct log *log, struct archive *const *list, uint32_t count, bool compacts)
{
    struct worth_output output = { 0 };
    uint64_t size = 0, largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        size = compacts && worth_beginning(log, list[i], &output) ? 0 : size;
        size += list[i]->facts.size - list[i]->index_at;
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Under the mutex: bytes of the budget that nothing takes. */
static uint64_t free_size(const struct log *log)
{
    uint64_t used = used_size(&log->shared);
    return used < log->options.disk_size ? log->options.disk_size - used : 0;
}

/* What has come since the last time: the first was not compacted, or another not with the one before it. */
static uint64_t dirty_size(struct archive *const *list, uint32_t count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!(list[i]->facts.flags & (i == 0 ? ARCHIVE_COMPACTED : ARCHIVE_CONTINUES)))
            size += list[i]->facts.size;
    return size;
}

/* Under the mutex: the first of those that follow each other up to the end of the list; the newest by themselves would be compacted
 * again and again, and their keys' older records in the others never met. */
static uint32_t first_to_compact(struct log *log, struct archive *const *list, uint32_t count)
{
    uint32_t first = count;
    while (first > 0 && !worth_nothing(list[first - 1]) &&
           (first == count || are_neighbours(&log->shared, list[first - 1], list[first])))
        first--;
    return first;
}

static uint64_t size_of(struct archive *const *list, uint32_t count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += list[i]->facts.size;
    return size;
}

/* To compact them. */
static uint64_t room_for(struct log *log, struct archive *const *list, uint32_t count)
{
    return worth_room(size_of(list, count)) + worth_index_size(log, list, count, true);
}

/* Under the mutex: whether the archives of a compacted topic are to be compacted: when at least half of them has come since the last
 * time, as in Kafka. Where what is free will soon be too little to copy them, an eighth is enough; on a disk that is full, a
 * thirty-second. */
static bool is_dirty(struct log *log, uint64_t size, uint64_t dirty, uint64_t room)
{
    bool full = log->shared.full || space_left_size(log) < log->options.disk_size / 8;
    bool narrow = free_size(log) < room + log->options.disk_size / 8;
    return dirty > 0 && dirty * (full ? 32 : narrow ? 8 : 2) >= size;
}

/* Of list[at]: whether something has come behind it since it was compacted, and has not been compacted itself. Numbers are given in
 * the order in which archives are made. */
static bool has_not_met(struct archive *const *list, uint32_t at, uint32_t count)
{
    if (!(list[at]->facts.flags & ARCHIVE_COMPACTED))
        return true;
    for (uint32_t i = at + 1; i < count; i++)
        if (!(list[i]->facts.flags & ARCHIVE_COMPACTED) && list[i]->facts.number > list[at]->facts.number)
            return true;
    return false;
}

/* Under the mutex: the first that have not met all that came behind them, and for which there is room. */
static void choose_some(struct log *log, struct archive *const *list, struct worth_plan *plan)
{
    uint64_t room = free_size(log);
    while (plan->from < plan->count &&
           (room_for(log, list + plan->from, 1) > room || !has_not_met(list, plan->from, plan->count)))
        plan->from++;
    uint32_t left = plan->count - plan->from;
    while (plan->kept < left && room_for(log, list + plan->from, plan->kept + 1) <= room)
        plan->kept++;
}

/* So that there are never many of them, and what has become as large is not copied any more. */
static uint64_t joined_size_max(const struct log_options *options)
{
    uint64_t share = options->disk_size / 64;
    return share < options->file_size ? options->file_size : share < JOIN_SIZE_MAX ? share : JOIN_SIZE_MAX;
}

/* None of them compacted, or all of them together. */
static bool is_of_the_same(const struct archive *first, const struct archive *other)
{
    return first->facts.flags & ARCHIVE_COMPACTED ? other->facts.flags & ARCHIVE_CONTINUES
                                                  : !(other->facts.flags & ARCHIVE_COMPACTED);
}

uint32_t worth_joining(struct log *log, struct archive *const *list, uint32_t count)
{
    uint64_t size = 0, largest = 0;
    uint32_t n = joinable(log, list, count, joined_size_max(&log->options));
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && !is_of_the_same(list[0], list[i])) {
            n = i; /* what is not compacted yet, or not with the others, must not pass for it */
            break;
        }
        size += list[i]->facts.size;
        largest = list[i]->facts.size > largest ? list[i]->facts.size : largest;
    }
    if (log->shared.views.archives.count > ARCHIVE_COUNT_MAX / 2)
        return n >= 2 ? n : 0;                             /* there must be fewer, or nothing can be drained any more */
    return n >= JOIN_COUNT && largest <= size / 2 ? n : 0; /* each byte is copied as often as the size can double */
}

struct worth_plan worth_compacting(struct log *log, struct clock *clock, struct archive *const *list, uint32_t count)
{
    const struct topic *t = views_topic(&log->shared.views, list[0]->topic_id);
    struct worth_plan plan = { .tombstones = CLOCK_CUT_NOTHING };
    if (t == NULL || t->settings.cleanup != LOG_CLEANUP_COMPACT || dirty_size(list, count) == 0)
        return plan;
    plan.first = first_to_compact(log, list, count);
    plan.count = count - plan.first;
    list += plan.first;
    uint64_t room = room_for(log, list, plan.count);
    if (!is_dirty(log, size_of(list, plan.count), dirty_size(list, plan.count), room))
        return plan;
    if (room <= free_size(log))
        plan.kept = plan.count;
    else
        choose_some(log, list, &plan);
    int64_t kept_ms = t->settings.tombstone_ms >= 0 ? t->settings.tombstone_ms : TOMBSTONE_MS;
    if (plan.first == 0 && plan.from == 0 &&
        !lies_behind_files(&log->shared, list[0]))          /* else what they took may lie before */
        plan.tombstones = clock_cut(clock, kept_ms + 1000); /* times of append are to the second */
    return plan;
}
