#include "log/local/damage.h"
#include "log/local/views.h"
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_ROOM 64u /* of an index, at once */

/* ---- the list -------------------------------------------------------------------------------------------------------- */

static bool same_place(const struct log_damage *a, const struct log_damage *b)
{
    return a->partition.topic_id == b->partition.topic_id && a->partition.partition == b->partition.partition &&
           a->offset.n == b->offset.n && a->byte == b->byte && strcmp(a->file, b->file) == 0;
}

/* Under the mutex. True where it is news. */
static bool keep(struct shared *s, const struct log_damage *damage)
{
    for (uint32_t i = 0; i < s->damage.count; i++)
        if (same_place(&s->damage.list[i], damage))
            return false;
    s->figures.damage_count++;
    if (s->damage.count == LOG_DAMAGE_COUNT_MAX)
        return false;
    s->damage.list[s->damage.count++] = *damage;
    return true;
}

void damage_note(struct log *log, const char *file, struct log_damage damage, const char *what)
{
    struct shared *s = &log->shared;
    size_t folder = strlen(log->path);
    if (strncmp(file, log->path, folder) == 0 && file[folder] == '/')
        file += folder + 1;
    snprintf(damage.file, sizeof(damage.file), "%s", file);
    damage.found = io_wall(log->io);
    damage.topic[0] = 0;
    io_mutex_take(s->mutex);
    const struct topic *topic = views_topic(&s->views, damage.partition.topic_id);
    if (topic != NULL)
        memcpy(damage.topic, topic->name, sizeof(damage.topic));
    bool news = keep(s, &damage);
    io_mutex_drop(s->mutex);
    if (!news)
        return;
    if (damage.partition.topic_id == 0)
        logging_error(log->logging, "damage found", LOGGING_TEXT("what", what), LOGGING_TEXT("file", damage.file),
                      LOGGING_UINT("byte", damage.byte));
    else
        logging_error(log->logging, "damage found; its partition ends there, all else is served",
                      LOGGING_TEXT("what", what), LOGGING_TEXT("topic", damage.topic),
                      LOGGING_UINT("partition", damage.partition.partition), LOGGING_UINT("offset", damage.offset.n),
                      LOGGING_TEXT("file", damage.file), LOGGING_UINT("byte", damage.byte));
}

bool log_damage_at(struct log *log, uint32_t index, struct log_damage *ret_damage)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    bool found = index < s->damage.count;
    if (found)
        *ret_damage = s->damage.list[index];
    io_mutex_drop(s->mutex);
    return found;
}

/* ---- whose it is ------------------------------------------------------------------------------------------------------- */

struct looking {
    const struct damage_place *place;
    uint64_t from, to;
    uint8_t *room; /* one batch */
    size_t room_size;
    void (*each)(void *ctx, const struct damage_batches *batches);
    void *ctx;
};

static bool is_there(struct looking *l, const struct index_row *row, const struct index_entry *e)
{
    size_t size = OP_HEADER_SIZE + (size_t)e->size, got = 0;
    struct op op;
    if (size > LOG_UNIT_SIZE_MAX)
        return false;
    if (size > l->room_size) {
        uint8_t *grown = realloc(l->room, size);
        if (grown == NULL)
            return true; /* not known to be damaged */
        l->room = grown;
        l->room_size = size;
    }
    return io_file_read(l->place->file, l->room, size, e->at, &got) == NEAP_OK && got == size &&
           op_read((struct bytes){ l->room, size }, l->place->salt, l->place->base + e->at, &op) == NEAP_OK &&
           op.kind == OP_APPEND && op.target.topic_id == row->partition.topic_id &&
           op.target.partition == row->partition.partition && op.offset == e->base && op.count == e->count;
}

/* Neighbours among the entries that are not there, which may go on with the next ones. */
static void add_entry(struct looking *l, const struct index_row *row, const struct index_entry *e,
                      struct damage_batches *run)
{
    bool inside = e->at < l->to && e->at + OP_HEADER_SIZE + (uint64_t)e->size > l->from;
    bool bad = inside && !is_there(l, row, e);
    if (run->end > run->first && (!bad || e->base != run->end)) {
        l->each(l->ctx, run);
        run->end = run->first;
    }
    if (!bad)
        return;
    if (run->end == run->first) {
        run->first = e->base;
        run->at = e->at;
    }
    run->end = e->base + e->count;
}

static enum neap_status look_at_row(struct looking *l, struct index_file index, const struct index_row *row,
                                    uint32_t row_count)
{
    struct damage_batches run = { .partition = row->partition };
    struct index_entry entries[ENTRY_ROOM];
    enum neap_status status = NEAP_OK;
    for (uint32_t number = 0; number < row->count && status == NEAP_OK; number += ENTRY_ROOM) {
        uint32_t left = row->count - number, count = left < ENTRY_ROOM ? left : ENTRY_ROOM;
        status = index_load_entries(index, row, row_count, number, entries, count);
        for (uint32_t i = 0; i < count && status == NEAP_OK; i++)
            add_entry(l, row, &entries[i], &run);
    }
    if (run.end > run.first)
        l->each(l->ctx, &run);
    return status;
}

/* All of it is right, and it is that file's. It is walked once: the cache is for others. */
static bool check_index(const struct damage_place *place, struct index_file *ret_index, uint32_t *ret_row_count)
{
    struct index_file index = { place->index.file, place->index.at, NULL };
    struct index_header h;
    uint64_t size;
    if (index.file == NULL || index_size(index, &size) != NEAP_OK ||
        index_check(index, size, false, &h, NULL) != NEAP_OK || h.sequence != place->sequence || h.salt != place->salt)
        return false;
    *ret_index = index;
    *ret_row_count = h.row_count;
    return true;
}

bool damage_index_is_whole(const struct damage_place *place)
{
    struct index_file index;
    uint32_t row_count;
    return check_index(place, &index, &row_count);
}

void damage_note_index(struct log *log, const struct damage_place *place, bool is_archive, enum log_found_by found_by)
{
    damage_note(log, io_file_path(place->index.file),
                (struct log_damage){ .byte = place->index.at, .found_by = found_by },
                is_archive ? "the index of an archive cannot be read"
                           : "an index cannot be read; it is made anew at the next start");
}

enum neap_status damage_batches(const struct damage_place *place, uint64_t from, uint64_t to,
                                void (*each)(void *ctx, const struct damage_batches *batches), void *ctx)
{
    struct looking l = { .place = place, .from = from, .to = to, .each = each, .ctx = ctx };
    struct index_file index;
    uint32_t row_count;
    if (!check_index(place, &index, &row_count))
        return NEAP_NOTFOUND;
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < row_count && status == NEAP_OK; i++) {
        struct index_row row;
        status = index_load_row(index, i, &row);
        if (status == NEAP_OK)
            status = look_at_row(&l, index, &row, row_count);
    }
    free(l.room);
    return status == NEAP_OK ? NEAP_OK : NEAP_NOTFOUND;
}
