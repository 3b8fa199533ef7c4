#include "census.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define READY_FILE_COUNT_MAX 24u /* with dead ones, of which the next are made */

struct count {
    const struct census_log *log;
    struct annals *annals;
    uint32_t topic, partition;
    struct year_partition *p;
    uint64_t next; /* nothing below it is to come */
    uint8_t *seen; /* of a compacted topic: records from p->start on */
    struct finding *finding;
};

static bool wrong(struct count *c, enum verdict verdict, const char *what, uint64_t offset)
{
    finding_set(c->finding, verdict, "%s/%u at offset %llu: %s", c->annals->almanac->topics[c->topic].name,
                c->partition, (unsigned long long)offset, what);
    return false;
}

static struct log_partition where(const struct census_log *l, uint32_t topic, uint32_t partition)
{
    return (struct log_partition){ l->topic_ids[topic], partition };
}

/* ---- where partitions start ---------------------------------------------------------------------------------------------- */

static bool look_at_start(struct count *c)
{
    log_offset start, end;
    if (log_partition_range(c->log->log, where(c->log, c->topic, c->partition), &start, &end) != NEAP_OK)
        return wrong(c, VERDICT_LOST, "the partition is gone", 0);
    if (end.n < c->p->end)
        return wrong(c, VERDICT_LOST, "it ends here, and more was acknowledged", end.n);
    return annals_started(c->annals, c->topic, c->partition, start.n, c->finding);
}

static bool each_partition(const struct census_log *l, struct annals *annals, bool (*look)(struct count *c),
                           struct finding *finding)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        for (uint32_t p = 0; p < annals->almanac->topics[t].partition_count; p++) {
            struct count c = { .log = l,
                               .annals = annals,
                               .topic = t,
                               .partition = p,
                               .p = &annals->partitions[t][p],
                               .finding = finding };
            if (!look(&c))
                return false;
        }
    }
    return true;
}

bool census_starts(const struct census_log *l, struct annals *annals, struct finding *finding)
{
    return each_partition(l, annals, look_at_start, finding);
}

/* ---- what lies in them ------------------------------------------------------------------------------------------------------ */

static bool same_bytes(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.at == NULL) == (b.at == NULL) && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static bool is_compacted(const struct count *c)
{
    return c->annals->almanac->topics[c->topic].settings.cleanup == LOG_CLEANUP_COMPACT;
}

/* What is passed over has been freed while it was read; whether that was right is asked the next time. */
static bool starts_behind(struct count *c, uint64_t offset)
{
    log_offset start, end;
    return log_partition_range(c->log->log, where(c->log, c->topic, c->partition), &start, &end) == NEAP_OK &&
           start.n >= offset;
}

static bool look_at_record(struct count *c, const struct record *record)
{
    uint8_t room[YEAR_ROOM];
    struct record written;
    const struct year_batch *b = annals_batch_of(c->p, record->offset);
    if (b == NULL)
        return wrong(c, VERDICT_INVENTED, "a record that nobody wrote", record->offset);
    if (record->offset < c->p->start)
        return true;
    if (record->offset < c->next)
        return wrong(c, VERDICT_ORDER, "it was read before", record->offset);
    if (record->offset > c->next && !is_compacted(c) && !starts_behind(c, record->offset))
        return wrong(c, VERDICT_LOST, "records from here on are passed over", c->next);
    annals_record(c->annals, c->topic, b->id, (uint32_t)(record->offset - b->base), room, &written);
    if (!same_bytes(record->key, written.key) || !same_bytes(record->value, written.value))
        return wrong(c, VERDICT_WRONG, "it is not what was written", record->offset);
    c->next = record->offset + 1;
    if (record->offset >= c->p->start && c->seen != NULL)
        c->seen[record->offset - c->p->start] = 1;
    return true;
}

static bool look_at_batch(struct count *c, const struct log_batch *log_batch)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    if (batch_open(log_batch->bytes, true, &batch) != NEAP_OK || batch_unpack(&batch, NULL, &walk) != NEAP_OK)
        return wrong(c, VERDICT_WRONG, "a batch that does not come apart", log_batch->base.n);
    while (batch_next(&walk, &record) == NEAP_OK)
        if (!look_at_record(c, &record))
            return false;
    return true;
}

/* Rule N3, and that no value comes back when its tombstone has gone. */
static bool look_at_key(struct count *c, const struct year_key *key, const uint64_t *last_seen)
{
    if (key->offset <= c->p->start)
        return true; /* never written, or trimmed */
    if (*last_seen == key->offset)
        return true;
    if (key->tombstone && *last_seen == 0 && !annals_tombstone_kept(c->annals, c->topic, key))
        return true;
    if (*last_seen == 0)
        return wrong(c, VERDICT_LOST, key->tombstone ? "a tombstone is gone too soon" : "the newest of its key is gone",
                     key->offset - 1);
    return wrong(c, VERDICT_LOST, "the newest of its key is gone, and an older one is there", key->offset - 1);
}

static bool look_at_keys(struct count *c)
{
    static uint64_t last_seen[YEAR_KEY_MAX];
    uint8_t room[YEAR_ROOM];
    struct record record;
    uint64_t hold = annals_hold(c->annals, c->topic, c->partition);
    memset(last_seen, 0, sizeof(last_seen));
    for (uint64_t offset = c->p->start; offset < c->p->end; offset++) {
        const struct year_batch *b = annals_batch_of(c->p, offset);
        if (!c->seen[offset - c->p->start]) {
            if (offset >= hold && offset >= annals_held_end(c->annals, c->topic, c->partition))
                return wrong(c, VERDICT_LOST, "it is gone, and a group still has to process it", offset);
            continue;
        }
        annals_record(c->annals, c->topic, b->id, (uint32_t)(offset - b->base), room, &record);
        last_seen[strtoul((const char *)room + 4, NULL, 10)] = offset + 1;
    }
    for (uint32_t k = 0; k < YEAR_KEY_MAX; k++)
        if (!look_at_key(c, &c->p->keys[k], &last_seen[k]))
            return false;
    return true;
}

static bool read_all(struct count *c)
{
    struct log_reader *reader = NULL;
    struct log_batch batch;
    struct error err = { .text = "" };
    bool good = true;
    struct log_partition at = where(c->log, c->topic, c->partition);
    c->next = c->p->start;
    enum neap_status status = log_reader_open(c->log->log, at, (log_offset){ c->p->start }, 16384, &reader, &err);
    while (good && status == NEAP_OK && c->next < c->p->end) {
        status = log_reader_next(reader, &batch, &err);
        if (status == NEAP_OK)
            good = look_at_batch(c, &batch);
    }
    log_reader_close(&reader);
    if (good && status != NEAP_OK && (status != NEAP_AGAIN || (!is_compacted(c) && !starts_behind(c, c->p->end))))
        good = wrong(c, VERDICT_LOST, err.text[0] != 0 ? err.text : status_text(status), c->next);
    return good;
}

static bool look_at_records(struct count *c)
{
    if (!look_at_start(c))
        return false;
    if (is_compacted(c))
        c->seen = calloc(1, (size_t)(c->p->end - c->p->start) + 1);
    bool good = read_all(c) && (c->seen == NULL || look_at_keys(c));
    free(c->seen);
    return good;
}

bool census_records(const struct census_log *l, struct annals *annals, struct finding *finding)
{
    return each_partition(l, annals, look_at_records, finding);
}

/* ---- what should have gone ---------------------------------------------------------------------------------------------------- */

bool census_overdue(const struct annals *n, uint64_t slack, struct finding *finding)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        for (uint32_t p = 0; p < n->almanac->topics[t].partition_count; p++) {
            const struct year_batch *first;
            uint64_t size = annals_overdue(n, t, p, &first);
            if (size <= slack)
                continue;
            finding_set(
                finding, VERDICT_WRONG,
                "%s/%u: %llu bytes should have been freed by now, from offset %llu on, %lld hours old, with %llu "
                "bytes behind it",
                n->almanac->topics[t].name, p, (unsigned long long)size, (unsigned long long)first->base,
                (long long)((n->now_ms - first->at_ms) / HOUR_MS),
                (unsigned long long)(n->partitions[t][p].size - first->before - first->size));
            return false;
        }
    }
    return true;
}

/* ---- the directory ---------------------------------------------------------------------------------------------------------------- */

struct folder {
    struct io *io;
    char path[64];
    uint64_t size;
};

static bool add_file(void *ctx, const char *name)
{
    struct folder *f = ctx;
    struct io_file_info info;
    char path[384];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    if (io_path_info(f->io, path, &info) == NEAP_OK && info.kind == IO_KIND_FILE)
        f->size += info.size;
    return true;
}

uint64_t census_weight(const struct census_log *l, uint64_t file_size)
{
    static const char *const folders[] = { "journal", "index", "snapshot", "archive" };
    struct log_figures figures;
    uint64_t size = 0;
    for (uint32_t i = 0; i < COUNT_OF(folders); i++) {
        struct folder f = { .io = l->io };
        snprintf(f.path, sizeof(f.path), "/data/%s", folders[i]);
        io_dir_list(l->io, f.path, add_file, &f, NULL);
        size += f.size;
    }
    log_figures(l->log, &figures);
    uint64_t ready = figures.disk_used_size - figures.disk_live_size, kept = READY_FILE_COUNT_MAX * file_size;
    ready = ready < kept ? ready : kept;
    return size > ready ? size - ready : 0;
}
