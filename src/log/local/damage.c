#include "log/local/damage.h"
#include "log/local/snapshot.h"
#include "log/local/views.h"
#include <stdio.h>
#include <stdlib.h>

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

static void look_at_row(struct looking *l, const struct index_row *row, const uint8_t *entries)
{
    struct damage_batches run = { .partition = row->partition };
    for (uint32_t i = 0; i < row->count; i++) {
        struct index_entry e;
        index_entry_read(entries + (size_t)(row->first + i) * INDEX_ENTRY_SIZE, &e);
        bool inside = e.at < l->to && e.at + OP_HEADER_SIZE + (uint64_t)e.size > l->from;
        bool bad = inside && !is_there(l, row, &e);
        if (run.end > run.first && (!bad || e.base != run.end)) {
            l->each(l->ctx, &run);
            run.end = run.first;
        }
        if (!bad)
            continue;
        if (run.end == run.first) {
            run.first = e.base;
            run.at = e.at;
        }
        run.end = e.base + e.count;
    }
    if (run.end > run.first)
        l->each(l->ctx, &run);
}

/* The whole index, checked. */
static enum neap_status load_index(const struct damage_place *place, uint8_t **ret_bytes,
                                   struct index_header *ret_header)
{
    uint8_t room[INDEX_HEADER_SIZE];
    struct index_header h;
    size_t got = 0;
    if (place->index.file == NULL ||
        io_file_read(place->index.file, room, sizeof(room), place->index.at, &got) != NEAP_OK || got != sizeof(room) ||
        index_header_read((struct bytes){ room, got }, &h) != NEAP_OK)
        return NEAP_NOTFOUND;
    uint64_t size =
        INDEX_HEADER_SIZE + (uint64_t)h.row_count * INDEX_ROW_SIZE + (uint64_t)h.entry_count * INDEX_ENTRY_SIZE;
    if (size > SNAPSHOT_SIZE_MAX || h.sequence != place->sequence || h.salt != place->salt)
        return NEAP_NOTFOUND;
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return NEAP_NOMEM;
    if (io_file_read(place->index.file, bytes, size, place->index.at, &got) != NEAP_OK || got != size ||
        index_check((struct bytes){ bytes, size }, false, &h, NULL) != NEAP_OK) {
        free(bytes);
        return NEAP_NOTFOUND;
    }
    *ret_bytes = bytes;
    *ret_header = h;
    return NEAP_OK;
}

bool damage_index_is_whole(const struct damage_place *place)
{
    struct index_header h;
    uint8_t *bytes = NULL;
    enum neap_status status = load_index(place, &bytes, &h);
    free(bytes);
    return status != NEAP_NOTFOUND;
}

enum neap_status damage_batches(const struct damage_place *place, uint64_t from, uint64_t to,
                                void (*each)(void *ctx, const struct damage_batches *batches), void *ctx)
{
    struct looking l = { .place = place, .from = from, .to = to, .each = each, .ctx = ctx };
    struct index_header h;
    uint8_t *bytes = NULL;
    enum neap_status status = load_index(place, &bytes, &h);
    if (status != NEAP_OK)
        return status;
    const uint8_t *rows = bytes + INDEX_HEADER_SIZE;
    for (uint32_t i = 0; i < h.row_count; i++) {
        struct index_row row;
        index_row_read(rows + (size_t)i * INDEX_ROW_SIZE, &row);
        look_at_row(&l, &row, rows + (size_t)h.row_count * INDEX_ROW_SIZE);
    }
    free(l.room);
    free(bytes);
    return NEAP_OK;
}
