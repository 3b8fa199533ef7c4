#include "log/local/snapshot.h"
#include "base/crc32c.h"
#include "log/local/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define LOST_SIZE 24ull /* of a range */
#define META_SIZE 40ull

enum { META_HOLDS_GROW = 1 }; /* groups hold what came to their topics by an alteration (holds.c) */

/* ---- encode ------------------------------------------------------------------------------------------------------ */

static uint64_t topics_size(const struct views *v)
{
    uint64_t size = 4;
    for (uint32_t i = 0; i < v->topic_count; i++)
        if (v->by_name[i]->durable)
            size += 2 + strlen(v->by_name[i]->name) + 8 + 24ull * v->by_name[i]->partition_count;
    return size;
}

static uint64_t facts_size(const struct map *map, bool with_offset)
{
    uint64_t size = 4;
    struct bytes key;
    void *value;
    for (size_t i = 0; map_next(map, &i, &key, &value);)
        size += 2 + key.size + (with_offset ? 8 : 0) + 4 + ((struct fact *)value)->size;
    return size;
}

static uint64_t settings_size(const struct views *v)
{
    uint64_t size = 4;
    for (uint32_t i = 0; i < v->topic_count; i++)
        if (v->by_name[i]->durable)
            size += 12 + LOG_SETTINGS_SIZE + 8ull * v->by_name[i]->partition_count;
    return size;
}

static uint64_t holds_size(const struct map *map)
{
    uint64_t size = 4;
    struct bytes key;
    void *value;
    for (size_t i = 0; map_next(map, &i, &key, &value);)
        size += ((struct fact *)value)->hold ? 2 + key.size : 0;
    return size;
}

static uint64_t archives_size(const struct archives *a)
{
    return 16 + (4ull + REPLACE_ADDED_SIZE) * a->count + 8ull * a->drained_count;
}

uint64_t snapshot_size(const struct views *v)
{
    return SNAPSHOT_HEADER_SIZE + SECTION_COUNT * SECTION_HEADER_SIZE + META_SIZE + topics_size(v) +
           facts_size(v->offsets, true) + facts_size(v->facts, false) + settings_size(v) + holds_size(v->offsets) +
           archives_size(&v->archives) + 4 + LOST_SIZE * v->lost.count;
}

static void write_topics(struct writer *w, const struct views *v)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->topic_count; i++)
        count += v->by_name[i]->durable;
    write_le32(w, count);
    for (uint32_t i = 0; i < v->topic_count; i++) {
        const struct topic *t = v->by_name[i];
        if (!t->durable)
            continue;
        write_le16(w, (uint16_t)strlen(t->name));
        write_bytes(w, bytes_of_text(t->name));
        write_le32(w, t->id);
        write_le32(w, t->partition_count);
        for (uint32_t p = 0; p < t->partition_count; p++) {
            const struct partition *partition = topic_partition(t, p);
            write_le64(w, partition->end);
            write_le64(w, partition->batch_count);
            write_le64(w, partition->size);
        }
    }
}

static void write_facts(struct writer *w, const struct map *map, bool with_offset)
{
    struct bytes key;
    void *value;
    write_le32(w, (uint32_t)map_count(map));
    for (size_t i = 0; map_next(map, &i, &key, &value);) {
        const struct fact *fact = value;
        write_le16(w, (uint16_t)key.size);
        write_bytes(w, key);
        if (with_offset)
            write_le64(w, fact->offset);
        write_le32(w, fact->size);
        write_bytes(w, (struct bytes){ fact->bytes, fact->size });
    }
}

static void write_settings(struct writer *w, const struct views *v)
{
    uint8_t *count_at = w->at;
    uint32_t count = 0;
    write_le32(w, 0);
    for (uint32_t i = 0; i < v->topic_count; i++) {
        const struct topic *t = v->by_name[i];
        uint8_t room[LOG_SETTINGS_SIZE];
        if (!t->durable)
            continue;
        count++;
        write_le32(w, t->id);
        write_le32(w, LOG_SETTINGS_SIZE);
        write_bytes(w, log_settings_encode(&t->settings, room));
        write_le32(w, t->partition_count);
        for (uint32_t p = 0; p < t->partition_count; p++)
            write_le64(w, topic_partition(t, p)->start);
    }
    if (!w->full)
        put_le32(count_at, count);
}

static void write_holds(struct writer *w, const struct map *map)
{
    uint8_t *count_at = w->at;
    uint32_t count = 0;
    struct bytes key;
    void *value;
    write_le32(w, 0);
    for (size_t i = 0; map_next(map, &i, &key, &value);) {
        if (!((struct fact *)value)->hold)
            continue;
        count++;
        write_le16(w, (uint16_t)key.size);
        write_bytes(w, key);
    }
    if (!w->full)
        put_le32(count_at, count);
}

static void write_archives(struct writer *w, const struct archives *a)
{
    uint8_t room[REPLACE_HEADER_SIZE + REPLACE_ADDED_SIZE];
    write_le64(w, a->number_next);
    write_le32(w, a->count);
    for (uint32_t i = 0; i < a->count; i++) {
        struct bytes facts = replace_encode(room, NULL, 0, &a->list[i]->facts, 1, NULL, 0);
        write_le32(w, a->list[i]->topic_id);
        write_bytes(w, (struct bytes){ facts.at + REPLACE_HEADER_SIZE, REPLACE_ADDED_SIZE });
    }
    write_le32(w, a->drained_count);
    for (uint32_t i = 0; i < a->drained_count; i++)
        write_le64(w, a->drained[i]);
}

static void write_lost(struct writer *w, const struct lost *l)
{
    write_le32(w, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        write_le32(w, l->list[i].partition.topic_id);
        write_le32(w, l->list[i].partition.partition);
        write_le64(w, l->list[i].first);
        write_le64(w, l->list[i].end);
    }
}

static void write_section(struct writer *w, enum section_id id, const struct views *v, const struct snapshot *s)
{
    uint8_t *header = w->at;
    write_zeros(w, SECTION_HEADER_SIZE);
    uint8_t *body = w->at;
    switch (id) {
    case SECTION_META:
        write_le32(w, v->topic_id_next);
        write_le64(w, (uint64_t)s->time_ms);
        write_le64(w, (uint64_t)s->clock_jumped_ms);
        write_le64(w, (uint64_t)s->clock_jump_ms);
        write_le32(w, META_HOLDS_GROW);
        write_le64(w, (uint64_t)s->wall_ms);
        break;
    case SECTION_TOPICS:
        write_topics(w, v);
        break;
    case SECTION_OFFSETS:
        write_facts(w, v->offsets, true);
        break;
    case SECTION_FACTS:
        write_facts(w, v->facts, false);
        break;
    case SECTION_SETTINGS:
        write_settings(w, v);
        break;
    case SECTION_HOLDS:
        write_holds(w, v->offsets);
        break;
    case SECTION_ARCHIVES:
        write_archives(w, &v->archives);
        break;
    case SECTION_LOST:
        write_lost(w, &v->lost);
        break;
    }
    must(!w->full);
    size_t size = (size_t)(w->at - body);
    put_le32(header, id);
    put_le32(header + 4, crc32c(0, body, size));
    put_le64(header + 8, size);
    put_le64(header + 16, s->position);
}

struct bytes snapshot_encode(const struct views *v, const struct snapshot *s, uint8_t *room)
{
    uint64_t size = snapshot_size(v);
    struct writer w = writer_of(room, size);
    write_le32(&w, SNAPSHOT_MAGIC);
    write_le32(&w, SNAPSHOT_VERSION);
    write_bytes(&w, (struct bytes){ s->log_id.bytes, sizeof(s->log_id.bytes) });
    write_le64(&w, s->sequence);
    write_le64(&w, s->position);
    write_le64(&w, s->boot);
    write_le32(&w, SECTION_COUNT);
    write_le64(&w, size);
    write_le32(&w, crc32c(0, room, 60));
    for (uint32_t id = SECTION_META; id <= SECTION_COUNT; id++)
        write_section(&w, (enum section_id)id, v, s);
    must(!w.full && writer_size(&w) == size);
    return writer_bytes(&w);
}

/* ---- decode ------------------------------------------------------------------------------------------------------ */

static enum neap_status read_topics(struct reader *r, struct views *v)
{
    uint32_t count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++) {
        char name[LOG_NAME_SIZE_MAX + 1];
        uint16_t name_size = read_le16(r);
        struct bytes text = read_bytes(r, name_size);
        uint32_t id = read_le32(r), partition_count = read_le32(r);
        if (r->spent || name_size == 0 || name_size > LOG_NAME_SIZE_MAX || id == 0 || partition_count == 0 ||
            partition_count > reader_left(r) / 24 || memchr(text.at, 0, name_size) != NULL ||
            views_topic(v, id) != NULL)
            return NEAP_CORRUPT;
        memcpy(name, text.at, name_size);
        name[name_size] = 0;
        struct topic *topic;
        enum neap_status status = views_topic_add(v, name, id, partition_count, &topic);
        if (status != NEAP_OK)
            return status == NEAP_EXISTS ? NEAP_CORRUPT : status;
        topic->durable = true;
        for (uint32_t p = 0; p < partition_count; p++) {
            struct partition *partition = topic_partition(topic, p);
            partition->end = read_le64(r);
            partition->batch_count = read_le64(r);
            partition->size = read_le64(r);
        }
    }
    return r->spent ? NEAP_CORRUPT : NEAP_OK;
}

static enum neap_status read_facts(struct reader *r, struct views *v, struct map *map, bool with_offset)
{
    uint32_t count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++) {
        uint16_t key_size = read_le16(r);
        struct bytes key = read_bytes(r, key_size);
        uint64_t offset = with_offset ? read_le64(r) : 0;
        uint32_t size = read_le32(r);
        struct bytes value = read_bytes(r, size);
        size_t prefix = with_offset ? 8 : 9; /* topic id and partition, and a fact's view */
        if (r->spent || key_size < prefix || key_size > prefix + LOG_KEY_SIZE_MAX || size > LOG_VALUE_SIZE_MAX)
            return NEAP_CORRUPT;
        enum neap_status status = views_fact_put(v, map, key, offset, value);
        if (status != NEAP_OK)
            return status;
    }
    return r->spent ? NEAP_CORRUPT : NEAP_OK;
}

static enum neap_status read_settings(struct reader *r, struct views *v)
{
    uint32_t count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++) {
        struct topic *topic = views_topic(v, read_le32(r));
        uint32_t size = read_le32(r);
        struct bytes settings = read_bytes(r, size);
        uint32_t partition_count = read_le32(r);
        if (r->spent || topic == NULL || topic->partition_count != partition_count ||
            log_settings_decode(settings, &topic->settings) != NEAP_OK)
            return NEAP_CORRUPT;
        for (uint32_t p = 0; p < partition_count; p++) {
            struct partition *partition = topic_partition(topic, p);
            partition->start = read_le64(r);
            if (partition->start > partition->end)
                return NEAP_CORRUPT;
        }
    }
    return r->spent ? NEAP_CORRUPT : NEAP_OK;
}

static enum neap_status read_holds(struct reader *r, struct views *v)
{
    uint32_t count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++) {
        uint16_t key_size = read_le16(r);
        struct fact *fact = map_get(v->offsets, read_bytes(r, key_size));
        if (r->spent || fact == NULL)
            return NEAP_CORRUPT;
        fact->hold = true;
    }
    return r->spent ? NEAP_CORRUPT : NEAP_OK;
}

static enum neap_status read_archives(struct reader *r, struct archives *a)
{
    uint64_t number_next = read_le64(r);
    uint32_t count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++) {
        uint32_t topic_id = read_le32(r);
        struct replace one = { .added_count = 1, .added = read_bytes(r, REPLACE_ADDED_SIZE) };
        if (r->spent)
            break;
        struct archive_facts facts = replace_added(&one, 0);
        enum neap_status status = archives_add(a, topic_id, &facts);
        if (status != NEAP_OK)
            return status == NEAP_FULL ? NEAP_CORRUPT : status;
    }
    count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++)
        if (archives_add_drained(a, read_le64(r)) != NEAP_OK)
            return NEAP_CORRUPT;
    if (r->spent || number_next < a->number_next)
        return NEAP_CORRUPT;
    a->number_next = number_next;
    return NEAP_OK;
}

static enum neap_status read_lost(struct reader *r, struct views *v)
{
    uint32_t count = read_le32(r);
    for (uint32_t i = 0; i < count && !r->spent; i++) {
        struct log_partition partition = { .topic_id = read_le32(r) };
        partition.partition = read_le32(r);
        uint64_t first = read_le64(r), end = read_le64(r);
        const struct partition *p = views_partition(v, partition);
        if (r->spent || p == NULL || first >= end || end > p->end)
            return NEAP_CORRUPT;
        enum neap_status status = lost_add(&v->lost, partition, first, end);
        if (status != NEAP_OK)
            return status == NEAP_FULL ? NEAP_CORRUPT : status;
    }
    return r->spent ? NEAP_CORRUPT : NEAP_OK;
}

static enum neap_status read_section(struct views *v, uint32_t id, struct bytes body, struct snapshot *s)
{
    struct reader r = reader_of(body);
    enum neap_status status = NEAP_OK;
    switch (id) {
    case SECTION_META: {
        uint32_t next = read_le32(&r);
        s->time_ms = (int64_t)read_le64(&r);
        if (reader_left(&r) > 0) { /* else it is of a time before this was kept */
            s->clock_jumped_ms = (int64_t)read_le64(&r);
            s->clock_jump_ms = (int64_t)read_le64(&r);
        }
        s->holds_grow = reader_left(&r) > 0 && read_le32(&r) & META_HOLDS_GROW;
        s->wall_ms = reader_left(&r) > 0 ? (int64_t)read_le64(&r) : 0;
        if (next > v->topic_id_next)
            v->topic_id_next = next;
        break;
    }
    case SECTION_TOPICS:
        status = read_topics(&r, v);
        break;
    case SECTION_OFFSETS:
        status = read_facts(&r, v, v->offsets, true);
        break;
    case SECTION_FACTS:
        status = read_facts(&r, v, v->facts, false);
        break;
    case SECTION_SETTINGS:
        status = read_settings(&r, v);
        break;
    case SECTION_HOLDS:
        status = read_holds(&r, v);
        break;
    case SECTION_ARCHIVES:
        status = read_archives(&r, &v->archives);
        break;
    case SECTION_LOST:
        status = read_lost(&r, v);
        break;
    default:
        return NEAP_VERSION;
    }
    return status != NEAP_OK ? status : r.spent || reader_left(&r) != 0 ? NEAP_CORRUPT : NEAP_OK;
}

enum neap_status snapshot_decode(struct bytes bytes, struct views *v, struct snapshot *ret_snapshot, struct error *err)
{
    struct reader r = reader_of(bytes);
    struct snapshot s = { 0 };
    uint32_t magic = read_le32(&r), version = read_le32(&r);
    struct bytes id = read_bytes(&r, sizeof(s.log_id.bytes));
    s.sequence = read_le64(&r);
    s.position = read_le64(&r);
    s.boot = read_le64(&r);
    uint32_t section_count = read_le32(&r);
    uint64_t size = read_le64(&r);
    uint32_t crc = read_le32(&r);
    if (r.spent || magic != SNAPSHOT_MAGIC)
        return error_set(err, NEAP_BADINPUT, "not a snapshot");
    if (crc != crc32c(0, bytes.at, 60))
        return error_set(err, NEAP_CORRUPT, "snapshot header: checksum does not match");
    if (version > SNAPSHOT_VERSION)
        return error_set(err, NEAP_VERSION, "snapshot has format %u, this program knows %u", version, SNAPSHOT_VERSION);
    if (size != bytes.size)
        return error_set(err, NEAP_CORRUPT, "snapshot is %zu bytes, its header says %llu", bytes.size,
                         (unsigned long long)size);
    memcpy(s.log_id.bytes, id.at, id.size);
    for (uint32_t i = 0; i < section_count; i++) {
        uint32_t section = read_le32(&r), section_crc = read_le32(&r);
        uint64_t body_size = read_le64(&r), position = read_le64(&r);
        read_le64(&r);
        struct bytes body = read_bytes(&r, body_size);
        if (r.spent || position != s.position || crc32c(0, body.at, body.size) != section_crc)
            return error_set(err, NEAP_CORRUPT, "snapshot section %u: checksum does not match", section);
        enum neap_status status = read_section(v, section, body, &s);
        if (status != NEAP_OK)
            return error_set(err, status, "snapshot section %u: %s", section, status_text(status));
    }
    if (reader_left(&r) != 0)
        return error_set(err, NEAP_CORRUPT, "snapshot has bytes after its last section");
    for (uint32_t i = 0; !s.holds_grow && i < v->topic_count; i++)
        if (views_hold_from(v, v->by_name[i], 0) != NEAP_OK)
            return error_set(err, NEAP_NOMEM, "snapshot: holds");
    *ret_snapshot = s;
    return NEAP_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum neap_status snapshot_read_file(struct io *io, const char *path, uint8_t **ret_bytes, size_t *ret_size,
                                    struct error *err)
{
    struct io_file *file = NULL;
    struct io_file_info info;
    enum neap_status status = io_file_open(io, path, IO_READ, &file, err);
    if (status != NEAP_OK)
        return status;
    uint8_t *bytes = NULL;
    size_t got = 0;
    status = io_file_info(file, &info);
    if (status == NEAP_OK && info.size > SNAPSHOT_SIZE_MAX)
        status = NEAP_CORRUPT; /* a length meets a limit before it meets an allocator */
    if (status == NEAP_OK && (bytes = malloc(info.size + 1)) == NULL)
        status = NEAP_NOMEM;
    if (status == NEAP_OK)
        status = io_file_read(file, bytes, info.size, 0, &got);
    io_file_close(&file);
    if (status != NEAP_OK) {
        free(bytes);
        return error_set(err, status, "read %s: %s", path, status_text(status));
    }
    *ret_bytes = bytes;
    *ret_size = got;
    return NEAP_OK;
}

static enum neap_status read_back(struct log *log, const char *path, struct bytes wanted, struct error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum neap_status status = snapshot_read_file(log->io, path, &bytes, &size, err);
    if (status != NEAP_OK)
        return status;
    if (!bytes_equal((struct bytes){ bytes, size }, wanted))
        status = error_set(err, NEAP_IO, "snapshot %s does not read back as it was written", path);
    free(bytes);
    return status;
}

static enum neap_status write_and_name(struct log *log, uint64_t sequence, struct bytes bytes, struct error *err)
{
    char temporary[PATH_SIZE_MAX], path[PATH_SIZE_MAX];
    struct io_file *file = NULL;
    log_path(log, temporary, SNAPSHOT_FOLDER, "%s", "new");
    log_path(log, path, SNAPSHOT_FOLDER, SNAPSHOT_NAME, (unsigned long long)sequence);
    enum neap_status status = io_file_open(log->io, temporary, IO_READ | IO_WRITE | IO_CREATE, &file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_truncate(file, bytes.size);
    if (status == NEAP_OK)
        status = io_file_write(file, &bytes, 1, 0);
    if (status == NEAP_OK)
        status = io_file_sync(file);
    io_file_close(&file);
    if (status != NEAP_OK)
        return error_set(err, status, "write %s: %s", temporary, status_text(status));
    status = read_back(log, temporary, bytes, err);
    if (status == NEAP_OK)
        status = io_rename(log->io, temporary, path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log_path(log, path, SNAPSHOT_FOLDER, "%s", ""), err);
    return status;
}

struct snapshot_names {
    uint64_t numbers[64];
    uint32_t count;
};

static bool collect_name(void *ctx, const char *name)
{
    struct snapshot_names *names = ctx;
    uint64_t number;
    if (name_number(name, ".nps", &number)) {
        if (names->count == COUNT_OF(names->numbers)) /* far more than are ever kept: the newest matter */
            memmove(&names->numbers[0], &names->numbers[1], --names->count * sizeof(names->numbers[0]));
        names->numbers[names->count++] = number;
    }
    return true;
}

static enum neap_status list_snapshots(struct log *log, struct snapshot_names *names, struct error *err)
{
    char path[PATH_SIZE_MAX];
    *names = (struct snapshot_names){ 0 };
    return io_dir_list(log->io, log_path(log, path, SNAPSHOT_FOLDER, "%s", ""), collect_name, names, err);
}

static void unlink_old(struct log *log)
{
    struct snapshot_names names;
    if (list_snapshots(log, &names, NULL) != NEAP_OK)
        return;
    for (uint32_t i = 0; i + SNAPSHOT_KEEP < names.count; i++) {
        char path[PATH_SIZE_MAX];
        io_unlink(log->io, log_path(log, path, SNAPSHOT_FOLDER, SNAPSHOT_NAME, (unsigned long long)names.numbers[i]),
                  NULL);
    }
}

enum neap_status snapshot_write(struct log *log, struct error *err)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    struct snapshot snapshot = { .log_id = log->id,
                                 .sequence = s->snapshot_sequence + 1,
                                 .position = s->durable,
                                 .boot = log->boot,
                                 .time_ms = s->durable_time_ms,
                                 .clock_jumped_ms = s->figures.clock_jumped.ms,
                                 .clock_jump_ms = s->figures.clock_jump_ms,
                                 .wall_ms = clock_wall_at(log, s->durable_time_ms, s->durable_time_at) };
    uint8_t *room = malloc(snapshot_size(&s->views));
    struct bytes bytes = { NULL, 0 };
    bool clock_unsaved = s->clock_unsaved;
    s->clock_unsaved = false;
    if (room != NULL)
        bytes = snapshot_encode(&s->views, &snapshot, room);
    io_mutex_drop(s->mutex);
    enum neap_status status = room != NULL ? write_and_name(log, snapshot.sequence, bytes, err)
                                           : error_set(err, NEAP_NOMEM, "no memory for it");
    free(room);
    io_mutex_take(s->mutex);
    s->clock_unsaved |= clock_unsaved && status != NEAP_OK;
    io_mutex_drop(s->mutex);
    if (status != NEAP_OK)
        return error_while(err, "snapshot %llu", (unsigned long long)snapshot.sequence);
    io_mutex_take(s->mutex);
    s->snapshot_sequence = snapshot.sequence;
    memmove(&s->snapshot_position[1], &s->snapshot_position[0], (SNAPSHOT_KEEP - 1) * sizeof(s->snapshot_position[0]));
    s->snapshot_position[0] = snapshot.position;
    s->recycle_due = true;
    io_mutex_drop(s->mutex);
    unlink_old(log);
    return NEAP_OK;
}

void snapshot_set_aside(struct log *log, uint64_t above)
{
    struct snapshot_names names;
    if (list_snapshots(log, &names, NULL) != NEAP_OK)
        return;
    for (uint32_t i = 0; i < names.count; i++) {
        char path[PATH_SIZE_MAX], bad[PATH_SIZE_MAX + 4]; /* every byte is kept, but it is no snapshot any more */
        if (names.numbers[i] <= above)
            continue;
        log_path(log, path, SNAPSHOT_FOLDER, SNAPSHOT_NAME, (unsigned long long)names.numbers[i]);
        snprintf(bad, sizeof(bad), "%s.bad", path);
        io_rename(log->io, path, bad, NULL);
    }
}

enum neap_status snapshot_load(struct log *log, struct views *v, struct snapshot *ret_snapshot, uint64_t *ret_number,
                               struct error *err)
{
    struct snapshot_names names;
    enum neap_status status = list_snapshots(log, &names, err);
    if (status == NEAP_NOTFOUND || (status == NEAP_OK && names.count == 0))
        return NEAP_NOTFOUND;
    if (status != NEAP_OK)
        return status;
    for (uint32_t i = names.count; i > 0; i--) {
        char path[PATH_SIZE_MAX];
        uint8_t *bytes = NULL;
        size_t size = 0;
        log_path(log, path, SNAPSHOT_FOLDER, SNAPSHOT_NAME, (unsigned long long)names.numbers[i - 1]);
        status = snapshot_read_file(log->io, path, &bytes, &size, err);
        if (status == NEAP_OK)
            status = snapshot_decode((struct bytes){ bytes, size }, v, ret_snapshot, err);
        free(bytes);
        log->shared.snapshot_sequence = names.numbers[names.count - 1];
        if (status == NEAP_OK) {
            *ret_number = names.numbers[i - 1];
            return NEAP_OK;
        }
        if (status == NEAP_VERSION || status == NEAP_NOMEM)
            return error_while(err, "%s", path);
        if (status == NEAP_IO || status == NEAP_DENIED)
            return error_while(err, "%s", path); /* it may be good: another start may read it */
        logging_warn(log->logging, i > 1 ? "a snapshot is damaged; the older one serves" : "a snapshot is damaged",
                     LOGGING_TEXT("file", path), LOGGING_TEXT("error", err != NULL ? err->text : status_text(status)));
        views_fini(v);
        if (views_init(v, &log->options) != NEAP_OK)
            return error_set(err, NEAP_NOMEM, "views");
    }
    return error_set(err, NEAP_CORRUPT, "none of the snapshots in %s/" SNAPSHOT_FOLDER " can be read", log->path);
}
