#include "log/local/place.h"
#include "log/local/archive.h"
#include "log/local/damage.h"
#include "log/local/views.h"
#include <stdio.h>

void places_init(struct places *p, struct log *log, struct log_partition partition, uint64_t next)
{
    *p = (struct places){ .log = log, .partition = partition, .next = next, .memory_slot = INDEX_NONE };
}

static void topic_name(const struct places *p, char room[LOG_NAME_SIZE_MAX + 1])
{
    struct shared *s = &p->log->shared;
    io_mutex_take(s->mutex);
    const struct topic *t = views_topic(&s->views, p->partition.topic_id);
    snprintf(room, LOG_NAME_SIZE_MAX + 1, "%s", t != NULL ? t->name : "?");
    io_mutex_drop(s->mutex);
}

static enum neap_status damaged_in(const struct places *p, const char *file, uint64_t byte, const char *what,
                                   struct error *err)
{
    struct log_damage damage = { .partition = p->partition, .offset = { p->next }, .byte = byte };
    char name[LOG_NAME_SIZE_MAX + 1];
    if (p->at < p->count) { /* all of the batch is concerned */
        damage.offset.n = p->list[p->at].base;
        damage.count = p->list[p->at].count;
    }
    damage_note(p->log, file, damage, what);
    topic_name(p, name);
    return error_set(err, NEAP_CORRUPT,
                     "topic %s partition %u offset %llu: %s, %s at byte %llu; 'neap doctor %s' says more", name,
                     p->partition.partition, (unsigned long long)p->next, what, file, (unsigned long long)byte,
                     p->log->path);
}

enum neap_status place_damaged(const struct places *p, uint64_t position, const char *what, struct error *err)
{
    return damaged_in(p, p->file != NULL ? io_file_path(p->file) : p->log->path, position - p->base, what, err);
}

/* It was given once, and no index has it: where an archive of the topic cannot be read, that is where. */
static enum neap_status nowhere(const struct places *p, struct error *err)
{
    struct shared *s = &p->log->shared;
    char path[PATH_SIZE_MAX];
    uint32_t first;
    uint64_t number = 0;
    io_mutex_take(s->mutex);
    uint32_t count = archives_of(&s->views.archives, p->partition.topic_id, &first);
    for (uint32_t i = 0; i < count && number == 0; i++) {
        const struct archive *a = s->views.archives.list[first + i];
        number = a->bad || a->file == NULL ? a->facts.number : 0;
    }
    io_mutex_drop(s->mutex);
    if (number == 0)
        return damaged_in(p, p->log->path, 0, "no index knows where it lies", err);
    return damaged_in(p, log_path(p->log, path, ARCHIVE_FOLDER, ARCHIVE_NAME, (unsigned long long)number), 0,
                      "no index knows where it lies, and this archive of the topic cannot be read", err);
}

/* ---- pins: a file is neither recycled nor unlinked under a reader --------------------------------------------------- */

static void pin(struct places *p, struct journal_file *f) /* under the mutex */
{
    must(p->sequence == 0 && p->archive == NULL);
    f->pin_count++;
    p->sequence = f->sequence;
    p->base = f->base;
    p->salt = f->salt;
    p->file = f->file;
}

static void pin_archive(struct places *p, struct archive *a) /* under the mutex */
{
    must(p->sequence == 0 && p->archive == NULL);
    a->pin_count++;
    p->archive = a;
    p->base = 0;
    p->salt = a->facts.salt;
    p->file = a->file;
}

static void unpin(struct places *p)
{
    struct shared *s = &p->log->shared;
    if (p->sequence == 0 && p->archive == NULL)
        return;
    io_mutex_take(s->mutex);
    if (p->archive != NULL) {
        must(p->archive->pin_count > 0);
        p->archive->pin_count--;
    } else {
        struct journal_file *f = file_by_sequence(s, p->sequence);
        must(f != NULL && f->pin_count > 0);
        f->pin_count--;
    }
    io_mutex_drop(s->mutex);
    p->sequence = 0;
    p->archive = NULL;
    p->file = NULL; /* nobody keeps it open for us any more */
}

void places_release(struct places *p)
{
    unpin(p);
    p->count = p->at = 0;
}

void places_seek(struct places *p, uint64_t next)
{
    places_release(p);
    p->next = next;
    p->memory_slot = INDEX_NONE;
}

/* ---- in memory ----------------------------------------------------------------------------------------------------- */

/* The slot from which to walk: where we were, when the index is still the same and we have not gone back. */
static uint32_t walk_from(const struct places *p, const struct partition *partition, const struct open_index *index)
{
    uint32_t first = partition->open[index->sequence & 1].first;
    if (p->memory_sequence == index->sequence && p->memory_slot != INDEX_NONE &&
        index->entries[p->memory_slot].base <= p->next)
        return p->memory_slot;
    return index->entries[first].base <= p->next ? first : INDEX_NONE;
}

/* Under the mutex. True when the index in memory of file `sequence` holds the next offset. */
static bool find_in_memory(struct places *p, const struct partition *partition, uint64_t sequence)
{
    struct shared *s = &p->log->shared;
    struct open_index *index = index_in_memory(s, sequence);
    if (index == NULL || partition->open[sequence & 1].sequence != sequence)
        return false;
    uint32_t slot = walk_from(p, partition, index);
    while (slot != INDEX_NONE && index->entries[slot].base + index->entries[slot].count <= p->next)
        slot = index->entries[slot].next;
    if (slot == INDEX_NONE)
        return false;
    p->count = p->at = 0;
    p->memory_sequence = sequence;
    for (; slot != INDEX_NONE && p->count < PLACE_COUNT_MAX; slot = index->entries[slot].next) {
        p->list[p->count++] = index->entries[slot];
        p->memory_slot = slot;
    }
    pin(p, file_by_sequence(s, sequence));
    return true;
}

/* Under the mutex: where things stand, and whether an index in memory knows the place. */
static enum neap_status look_in_memory(struct places *p, bool *ret_found)
{
    struct shared *s = &p->log->shared;
    const struct partition *partition = views_partition(&s->views, p->partition);
    *ret_found = false;
    if (partition == NULL)
        return NEAP_NOTFOUND;
    if (p->next < partition->start)
        p->next = partition->start; /* what lies before is no longer kept */
    p->next = lost_pass(&s->views.lost, p->partition, p->next);
    if (p->next >= partition->end)
        return NEAP_AGAIN;
    uint64_t newest = open_file(s)->sequence;
    *ret_found = find_in_memory(p, partition, newest) || (newest > 1 && find_in_memory(p, partition, newest - 1));
    return NEAP_OK;
}

/* What was declared lost lies somewhere, but is no place any more. */
static void stop_at_lost(struct places *p)
{
    struct shared *s = &p->log->shared;
    if (atomic_load_explicit(&s->views.lost.count, memory_order_relaxed) == 0)
        return;
    io_mutex_take(s->mutex);
    for (uint32_t i = p->at + 1; i < p->count; i++) {
        uint64_t base = p->list[i].base, before = p->list[i - 1].base + p->list[i - 1].count;
        if (lost_pass(&s->views.lost, p->partition, base) != base ||
            lost_pass(&s->views.lost, p->partition, before) != before)
            p->count = i; /* behind it is looked for anew */
    }
    io_mutex_drop(s->mutex);
}

/* ---- in files ------------------------------------------------------------------------------------------------------ */

/* Pins the index-th file when its index is on disk. */
static bool pin_indexed(struct places *p, uint32_t index, struct index_file *ret_index, bool *ret_drained)
{
    struct shared *s = &p->log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    if (index < s->file_count && s->files[index].index_ready) {
        pin(p, &s->files[index]);
        *ret_index = (struct index_file){ s->files[index].index, 0, p->log->pages };
        *ret_drained = archives_drained(&s->views.archives, p->sequence);
        found = true;
    }
    io_mutex_drop(s->mutex);
    return found;
}

/* Does the index-th file begin at or before the next offset? Files are searched by halves. */
static enum neap_status begins_before(struct places *p, uint32_t index, bool *ret_yes)
{
    struct index_file file = { 0 };
    struct index_row row;
    bool drained;
    if (!pin_indexed(p, index, &file, &drained)) {
        *ret_yes = false; /* not written down yet: its batches are in memory, and those were looked at first */
        return NEAP_OK;
    }
    enum neap_status status = index_find_row(file, p->partition, &row);
    unpin(p);
    *ret_yes = status == NEAP_NOTFOUND || (status == NEAP_OK && row.next <= p->next);
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}

/* The last file that begins at or before the next offset. */
static enum neap_status find_file(struct places *p, uint32_t file_count, uint32_t *ret_index)
{
    uint32_t low = 0, high = file_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool yes;
        enum neap_status status = begins_before(p, middle, &yes);
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

/* The pinned file's places from the next offset on. NOTFOUND: it is not in there. `gaps`: compaction may have taken the very
 * batch, and then the one after it is the next. */
static enum neap_status take_places(struct places *p, struct index_file file, bool gaps)
{
    struct index_row row;
    uint32_t row_count, number;
    enum neap_status status = index_row_count(file, &row_count);
    if (status == NEAP_OK)
        status = index_find_row(file, p->partition, &row);
    if (status == NEAP_OK)
        status = index_find_entry(file, &row, row_count, p->next, &number);
    if (status == NEAP_OK && (number == row.count || row.next > p->next))
        status = NEAP_NOTFOUND;
    if (status != NEAP_OK)
        return status;
    uint32_t left = row.count - number, count = left < PLACE_COUNT_MAX ? left : PLACE_COUNT_MAX;
    status = index_load_entries(file, &row, row_count, number, p->list, count);
    if (status == NEAP_OK && !gaps && p->list[0].base > p->next)
        return NEAP_BADINPUT;
    p->count = status == NEAP_OK ? count : 0;
    p->at = 0;
    return status;
}

/* A drained file is still there while somebody reads it: what it holds lies in archives, too, and there compaction may have taken
 * a record that nothing newer stands against any more. */
static enum neap_status look_in_files(struct places *p, uint32_t file_count, bool drained_too)
{
    uint32_t index;
    struct index_file file = { 0 };
    bool drained;
    p->base = 0;
    p->file = NULL;
    enum neap_status status = find_file(p, file_count, &index);
    if (status != NEAP_OK)
        return status;
    if (!pin_indexed(p, index - 1, &file, &drained))
        return NEAP_NOTFOUND;
    status = drained && !drained_too ? NEAP_NOTFOUND : take_places(p, file, false);
    if (status != NEAP_OK)
        unpin(p);
    return status;
}

/* ---- in archives --------------------------------------------------------------------------------------------------- */

/* The n-th of the topic's, counted round from the one that had what was looked for last: the next batch most often lies there
 * or in the one after it. NULL: that was all. Where they change meanwhile, everything is looked for anew. */
static struct archive *pin_nth_archive(struct places *p, uint32_t n)
{
    struct shared *s = &p->log->shared;
    struct archive *found = NULL;
    uint32_t first;
    io_mutex_take(s->mutex);
    uint32_t count = archives_of(&s->views.archives, p->partition.topic_id, &first);
    if (n < count) {
        p->archive_at = (p->archive_at % count + (n > 0)) % count;
        found = s->views.archives.list[first + p->archive_at];
        pin_archive(p, found);
    }
    io_mutex_drop(s->mutex);
    return found;
}

/* An archive whose index cannot be believed may hold it: nothing is passed over for that, it is damage unless another source
 * has the very batch. */
static enum neap_status look_in_archives(struct places *p)
{
    struct archive *a;
    enum neap_status missed = NEAP_NOTFOUND;
    for (uint32_t n = 0; (a = pin_nth_archive(p, n)) != NULL; n++) {
        bool gaps = (a->facts.flags & ARCHIVE_COMPACTED) != 0;
        enum neap_status status = archive_check_index(p->log, a);
        if (status == NEAP_OK)
            status = take_places(p, (struct index_file){ a->file, a->index_at, p->log->pages }, gaps);
        if (status == NEAP_OK)
            return NEAP_OK;
        unpin(p);
        if (status == NEAP_IO || status == NEAP_NOMEM)
            return NEAP_IO; /* it may be there */
        missed = status != NEAP_NOTFOUND ? status : missed;
    }
    return missed;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

static enum neap_status find_places(struct places *p, struct error *err)
{
    struct shared *s = &p->log->shared;
    places_release(p);
    for (uint64_t looked = UINT64_MAX;;) {
        bool found;
        io_mutex_take(s->mutex);
        enum neap_status status = look_in_memory(p, &found);
        uint32_t file_count = s->open_index + 1;
        bool moved = looked != s->change_count; /* where a file went while we looked, others stood in its place */
        looked = s->change_count;
        io_mutex_drop(s->mutex);
        if (status == NEAP_NOTFOUND)
            return error_set(err, NEAP_NOTFOUND, "topic %u is gone", p->partition.topic_id);
        if (status != NEAP_OK || found)
            return status;
        if (!moved)
            return nowhere(p, err);
        status = look_in_files(p, file_count, false);
        if (status != NEAP_OK && status != NEAP_IO)
            status = look_in_archives(p);
        if (status != NEAP_OK && status != NEAP_IO && status != NEAP_NOTFOUND)
            status = look_in_files(p, file_count, true); /* its archive is damaged, and may not be missed yet */
        if (status == NEAP_OK)
            return NEAP_OK;
        if (status == NEAP_IO)
            return place_damaged(p, p->base, "an index cannot be read", err);
    }
}

enum neap_status places_find(struct places *p, struct error *err)
{
    enum neap_status status = find_places(p, err);
    if (status == NEAP_OK)
        stop_at_lost(p);
    return status;
}
