#include "annals.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define GRACE_MS     (YEAR_GRACE_HOURS * HOUR_MS)
#define BATCH_BURDEN 96u /* of a batch: its operation's header, its place in an index, bounds */

void annals_init(struct annals *n, const struct almanac *almanac)
{
    *n = (struct annals){ .almanac = almanac, .id_next = 1, .ahead_from_ms = INT64_MAX };
}

void annals_fini(struct annals *n)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++)
        for (uint32_t p = 0; p < YEAR_PARTITION_MAX; p++)
            free(n->partitions[t][p].batches);
}

/* ---- time -------------------------------------------------------------------------------------------------------------- */

void annals_now(struct annals *n, int64_t now_ms, int64_t wrong_ms)
{
    n->now_ms = now_ms;
    if (wrong_ms == n->wrong_ms)
        return;
    n->wrong_ms = wrong_ms;
    n->ahead_from_ms = wrong_ms > DAY_MS ? now_ms : INT64_MAX;
    n->calm_ms = n->calm_ms > now_ms + GRACE_MS ? n->calm_ms : now_ms + GRACE_MS;
    n->calm_time_ms = wrong_ms != 0 ? INT64_MAX : now_ms + DAY_MS + GRACE_MS;
    n->was_ahead |= wrong_ms > DAY_MS;
}

void annals_hour(struct annals *n)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        for (uint32_t i = 0; i < YEAR_PARTITION_MAX; i++) {
            struct year_partition *p = &n->partitions[t][i];
            p->size_earlier[1] = p->size_earlier[0];
            p->size_earlier[0] = p->size;
        }
    }
    for (uint32_t g = 0; g < n->almanac->group_count; g++) {
        for (uint32_t p = 0; p < YEAR_PARTITION_MAX; p++) {
            struct year_stand *s = &n->stands[g][p];
            for (uint32_t h = YEAR_GRACE_HOURS - 1; h > 0; h--)
                s->earlier[h] = s->earlier[h - 1];
            s->earlier[0] = s->point;
            s->hours = !s->there || !s->told ? 0 : s->hours < YEAR_GRACE_HOURS ? s->hours + 1 : s->hours;
        }
    }
}

void annals_restarted(struct annals *n, int64_t off_ms)
{
    int64_t delay_ms = off_ms > DAY_MS - HOUR_MS ? DAY_MS : 0; /* to the log it looks like a clock that has jumped */
    n->off_ms += off_ms;
    n->calm_ms = n->now_ms + GRACE_MS;
    if (n->calm_time_ms < n->now_ms + GRACE_MS + delay_ms)
        n->calm_time_ms = n->now_ms + GRACE_MS + delay_ms;
}

/* ---- what was written -------------------------------------------------------------------------------------------------- */

void annals_record(const struct annals *n, uint32_t topic, uint64_t id, uint32_t number, uint8_t room[YEAR_ROOM],
                   struct record *ret_record)
{
    const struct year_topic *t = &n->almanac->topics[topic];
    uint64_t chance = sim_mix(id * YEAR_RECORD_MAX + number);
    uint32_t size = 16 + sim_below(&chance, t->value_size_max);
    *ret_record = (struct record){ .time_ms = (int64_t)(id & 0xffff) };
    must(size + 16 <= YEAR_ROOM);
    if (t->key_count > 0) {
        int key_size = snprintf((char *)room, 16, "key-%u", sim_below(&chance, t->key_count));
        ret_record->key = (struct bytes){ room, (size_t)key_size };
        if (sim_one_in(&chance, 10))
            return; /* a tombstone */
    }
    uint8_t *value = room + 16;
    put_le64(value, id);
    put_le32(value + 8, topic);
    put_le32(value + 12, number);
    for (uint32_t i = 16; i < size; i++)
        value[i] = (uint8_t)(id * 31 + i * (number + 7));
    ret_record->value = (struct bytes){ value, size };
}

struct year_batch *annals_ask(struct annals *n, uint32_t topic, uint32_t partition, uint32_t count)
{
    struct year_partition *p = &n->partitions[topic][partition];
    if (p->pending_count == YEAR_PENDING_MAX)
        return NULL;
    struct year_batch *b = &p->pending[p->pending_count++];
    *b = (struct year_batch){ .id = n->id_next++, .count = count, .at_ms = n->now_ms, .wrong_ms = n->wrong_ms };
    return b;
}

static struct year_batch take_pending(struct year_partition *p, uint64_t id)
{
    uint32_t at = 0;
    while (at < p->pending_count && p->pending[at].id != id)
        at++;
    must(at < p->pending_count);
    struct year_batch b = p->pending[at];
    memmove(p->pending + at, p->pending + at + 1, (--p->pending_count - at) * sizeof(p->pending[0]));
    return b;
}

static void note_keys(struct annals *n, uint32_t topic, struct year_partition *p, const struct year_batch *b)
{
    uint8_t room[YEAR_ROOM];
    struct record record;
    for (uint32_t i = 0; i < b->count && n->almanac->topics[topic].key_count > 0; i++) {
        annals_record(n, topic, b->id, i, room, &record);
        uint32_t key = (uint32_t)strtoul((const char *)room + 4, NULL, 10);
        must(key < YEAR_KEY_MAX);
        p->keys[key] = (struct year_key){ b->base + i + 1, record.value.at == NULL, b->at_ms, b->wrong_ms };
    }
}

bool annals_appended(struct annals *n, uint32_t topic, uint32_t partition, uint64_t id, uint64_t base)
{
    struct year_partition *p = &n->partitions[topic][partition];
    struct year_batch b = take_pending(p, id);
    if (base != p->end)
        return false;
    b.base = base;
    b.before = p->size;
    if (p->count == p->room) {
        p->room = p->room == 0 ? 1024 : 2 * p->room;
        p->batches = realloc(p->batches, p->room * sizeof(p->batches[0]));
        must(p->batches != NULL);
    }
    p->batches[p->count++] = b;
    p->end += b.count;
    p->size += b.size;
    n->batch_count++;
    n->record_count += b.count;
    note_keys(n, topic, p, &b);
    return true;
}

void annals_refused(struct annals *n, uint32_t topic, uint32_t partition, uint64_t id)
{
    take_pending(&n->partitions[topic][partition], id);
}

bool annals_resume(struct annals *n, uint32_t topic, uint32_t partition, uint64_t end)
{
    struct year_partition *p = &n->partitions[topic][partition];
    while (p->pending_count > 0 && p->end < end)
        annals_appended(n, topic, partition, p->pending[0].id, p->end);
    p->pending_count = 0;
    return p->end == end;
}

const struct year_batch *annals_batch_of(const struct year_partition *p, uint64_t offset)
{
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->batches[middle].base + p->batches[middle].count <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->count && p->batches[low].base <= offset ? &p->batches[low] : NULL;
}

/* ---- what is needed: rules N1 to N3 -------------------------------------------------------------------------------------- */

uint64_t annals_hold(const struct annals *n, uint32_t topic, uint32_t partition)
{
    uint64_t hold = UINT64_MAX;
    for (uint32_t g = 0; g < n->almanac->group_count; g++) {
        const struct year_stand *s = &n->stands[g][partition];
        if (n->almanac->groups[g].topic == topic && n->almanac->groups[g].holds && s->there && s->told &&
            s->asked < hold)
            hold = s->asked;
    }
    return hold;
}

uint64_t annals_held_end(const struct annals *n, uint32_t topic, uint32_t partition)
{
    uint64_t end = 0;
    for (uint32_t g = 0; g < n->almanac->group_count; g++)
        if (n->almanac->groups[g].topic == topic && n->stands[g][partition].end > end)
            end = n->stands[g][partition].end;
    return end;
}

/* The same as everybody has known it for the hours of grace; 0: somebody has come meanwhile. */
static uint64_t settled_hold(const struct annals *n, uint32_t topic, uint32_t partition)
{
    uint64_t hold = UINT64_MAX;
    for (uint32_t g = 0; g < n->almanac->group_count; g++) {
        const struct year_stand *s = &n->stands[g][partition];
        if (n->almanac->groups[g].topic != topic || !n->almanac->groups[g].holds || !s->there)
            continue;
        if (s->hours < YEAR_GRACE_HOURS)
            return 0;
        if (s->earlier[YEAR_GRACE_HOURS - 1] < hold)
            hold = s->earlier[YEAR_GRACE_HOURS - 1];
    }
    return hold;
}

static bool is_past_time(const struct annals *n, int64_t at_ms, int64_t wrong_ms, int64_t limit_ms, int64_t grace_ms)
{
    int64_t behind_ms = wrong_ms < 0 && grace_ms == 0 ? -wrong_ms : 0;
    return n->now_ms - at_ms + behind_ms >= limit_ms + grace_ms;
}

/* By time or by size; `grace_ms`: and for so long that it must be. */
static bool is_past_limits(const struct annals *n, uint32_t topic, const struct year_partition *p,
                           const struct year_batch *b, int64_t grace_ms)
{
    const struct log_topic_settings *s = &n->almanac->topics[topic].settings;
    uint64_t size = grace_ms == 0 ? p->size : p->size_earlier[1];
    if (s->retention_size >= 0 && size > b->before && size - b->before > (uint64_t)s->retention_size)
        return true; /* not all of it lies within */
    if (s->retention_ms < 0)
        return false;
    if (grace_ms == 0 && n->now_ms - n->ahead_from_ms >= DAY_MS && n->ahead_from_ms != INT64_MAX &&
        b->at_ms < n->ahead_from_ms)
        return true; /* it is believed by now */
    return is_past_time(n, b->at_ms, b->wrong_ms, s->retention_ms, grace_ms);
}

static bool may_go(const struct annals *n, uint32_t topic, uint32_t partition, const struct year_batch *b)
{
    uint64_t hold = annals_hold(n, topic, partition);
    if (n->almanac->topics[topic].settings.retention == LOG_RETAIN_DONE)
        return hold != UINT64_MAX && b->base + b->count <= hold;
    return b->base + b->count <= hold && is_past_limits(n, topic, &n->partitions[topic][partition], b, 0);
}

bool annals_started(struct annals *n, uint32_t topic, uint32_t partition, uint64_t start, struct finding *finding)
{
    struct year_partition *p = &n->partitions[topic][partition];
    const char *name = n->almanac->topics[topic].name;
    if (start < p->start || start > p->end) {
        finding_set(finding, VERDICT_ORDER, "%s/%u starts at %llu; it started at %llu before, and ends at %llu", name,
                    partition, (unsigned long long)start, (unsigned long long)p->start, (unsigned long long)p->end);
        return false;
    }
    p->start = start;
    for (; p->first < p->count && p->batches[p->first].base < start; p->first++) {
        const struct year_batch *b = &p->batches[p->first];
        if (!may_go(n, topic, partition, b)) {
            finding_set(
                finding, VERDICT_LOST,
                "%s/%u starts at %llu: what is needed was freed, from offset %llu on, %lld hours old, held from "
                "%lld on, with %llu bytes behind it",
                name, partition, (unsigned long long)start, (unsigned long long)b->base,
                (long long)((n->now_ms - b->at_ms) / HOUR_MS), (long long)annals_hold(n, topic, partition),
                (unsigned long long)(p->size - b->before - b->size));
            return false;
        }
        n->freed_size += b->size;
    }
    return true;
}

/* Since its clock was once ahead the log counts hours as they pass: an eighth slow, and without those that the machine was off. */
static int64_t lateness_ms(const struct annals *n, uint32_t topic)
{
    return n->was_ahead ? n->almanac->topics[topic].settings.retention_ms / 7 + n->off_ms : 0;
}

uint64_t annals_overdue(const struct annals *n, uint32_t topic, uint32_t partition, const struct year_batch **ret_first)
{
    const struct year_partition *p = &n->partitions[topic][partition];
    const struct log_topic_settings *s = &n->almanac->topics[topic].settings;
    uint64_t hold = settled_hold(n, topic, partition), size = 0;
    bool by_time_alone = s->retention_ms >= 0 && s->retention_size < 0;
    *ret_first = p->first < p->count ? &p->batches[p->first] : NULL;
    if (n->now_ms < n->calm_ms || (by_time_alone && n->now_ms < n->calm_time_ms))
        return 0;
    for (uint32_t i = p->first; i < p->count; i++) {
        const struct year_batch *b = &p->batches[i];
        bool done = s->retention == LOG_RETAIN_DONE && hold != UINT64_MAX;
        int64_t grace_ms = GRACE_MS + (n->now_ms < n->calm_time_ms ? YEAR_MS : lateness_ms(n, topic));
        if (b->base + b->count > hold || b->at_ms > n->now_ms - GRACE_MS ||
            (!done && !is_past_limits(n, topic, p, b, grace_ms)))
            break;
        size += b->size;
    }
    return size;
}

bool annals_tombstone_kept(const struct annals *n, uint32_t topic, const struct year_key *key)
{
    int64_t kept_ms = n->almanac->topics[topic].settings.tombstone_ms;
    bool believed =
        n->ahead_from_ms != INT64_MAX && n->now_ms - n->ahead_from_ms >= DAY_MS && key->at_ms < n->ahead_from_ms;
    return !believed && !is_past_time(n, key->at_ms, key->wrong_ms, kept_ms, 0);
}

static bool may_stay(const struct annals *n, uint32_t topic, const struct year_partition *p, const struct year_batch *b)
{
    int64_t late_ms = lateness_ms(n, topic);
    return n->almanac->topics[topic].settings.retention_ms > 0 && late_ms > 0 &&
           !is_past_limits(n, topic, p, b, late_ms);
}

/* The newest record of each key: rule N3. */
static uint64_t needed_keys(const struct annals *n, uint32_t topic, const struct year_partition *p)
{
    uint8_t room[YEAR_ROOM];
    struct record record;
    uint64_t size = 0;
    for (uint32_t k = 0; k < n->almanac->topics[topic].key_count; k++) {
        if (p->keys[k].offset == 0)
            continue;
        const struct year_batch *b = annals_batch_of(p, p->keys[k].offset - 1);
        annals_record(n, topic, b->id, (uint32_t)(p->keys[k].offset - 1 - b->base), room, &record);
        size += record.key.size + record.value.size + BATCH_HEADER_SIZE + BATCH_BURDEN;
    }
    return size;
}

uint64_t annals_needed(const struct annals *n)
{
    uint64_t size = 0;
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        for (uint32_t i = 0; i < n->almanac->topics[t].partition_count; i++) {
            const struct year_partition *p = &n->partitions[t][i];
            uint32_t first = p->first;
            while (first < p->count && may_go(n, t, i, &p->batches[first]) && !may_stay(n, t, p, &p->batches[first]))
                first++;
            if (n->almanac->topics[t].key_count > 0)
                size += needed_keys(n, t, p);
            else if (first < p->count)
                size += p->size - p->batches[first].before + (uint64_t)(p->count - first) * BATCH_BURDEN;
        }
    }
    return size;
}
