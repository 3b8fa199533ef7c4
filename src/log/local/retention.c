#include "log/local/retention.h"
#include "log/local/views.h"

void retention_init(struct retention *r, struct log *log, struct clock *clock)
{
    r->log = log;
    r->clock = clock;
}

/* ---- who still needs what ------------------------------------------------------------------------------------------- */

/* Under the mutex: the lowest commit point of those that hold each partition. */
static void collect_holds(struct views *v)
{
    struct bytes key;
    void *value;
    for (uint32_t i = 0; i < v->topic_count; i++)
        for (uint32_t n = 0; n < v->by_name[i]->partition_count; n++)
            topic_partition(v->by_name[i], n)->keeper.hold = UINT64_MAX;
    for (size_t i = 0; map_next(v->offsets, &i, &key, &value);) {
        const struct fact *fact = value;
        struct partition *p =
            fact->hold ? views_partition(v, (struct log_partition){ get_be32(key.at), get_be32(key.at + 4) }) : NULL;
        if (p != NULL && fact->offset < p->keeper.hold)
            p->keeper.hold = fact->offset;
    }
}

struct look { /* at a partition, as it stood a moment ago */
    struct log_partition at;
    struct log_topic_settings settings;
    uint64_t start, end, size, hold;
    uint64_t counted_to, counted_size, counted_batches; /* of what lies from start to counted_to */
    uint64_t oldest_at;
    int64_t oldest_ms;
    bool walked_max; /* there is more to free than one walk counts */
};

/* ---- counting what a trim would free: progress is kept from round to round -------------------------------------------- */

/* Whole batches that end at or before `limit`, as long as more than `keep_size` stays. Only what every holder has passed is
 * counted on from round to round: limits of time and size can be altered. */
static void count_up_to(struct retention *r, struct look *l, uint64_t limit, uint64_t keep_size)
{
    struct error err;
    uint32_t walked = 0;
    places_seek(&r->places, l->counted_to);
    while (walked < RETENTION_WALK_MAX) {
        if (r->places.at == r->places.count && places_find(&r->places, &err) != NEAP_OK)
            return; /* the end; or damage: what lies behind it is kept */
        const struct index_entry *e = &r->places.list[r->places.at];
        uint64_t size = l->counted_size + e->size;
        if (e->base + e->count > limit || (l->size > keep_size && l->size - l->counted_size <= keep_size))
            return;
        l->counted_to = e->base + e->count;
        l->counted_size = size;
        l->counted_batches++;
        r->places.at++;
        r->places.next = l->counted_to;
        walked++;
    }
    l->walked_max = true;
}

/* ---- what the settings say --------------------------------------------------------------------------------------------- */

/* The time of append of the oldest batch that is kept: asked once for each start. */
static bool oldest(struct retention *r, struct look *l)
{
    struct log_reader *reader = NULL;
    struct log_batch batch;
    struct error err;
    if (l->oldest_at == l->start + 1)
        return true;
    enum neap_status status = log_reader_open(r->log, l->at, (log_offset){ l->start }, 4096, &reader, &err);
    if (status == NEAP_OK)
        status = log_reader_next(reader, &batch, &err);
    log_reader_close(&reader);
    if (status != NEAP_OK)
        return false;
    l->oldest_at = l->start + 1;
    l->oldest_ms = batch.appended.ms;
    return true;
}

static uint64_t offset_at(struct retention *r, const struct look *l, uint32_t time_s)
{
    log_offset offset;
    struct error err;
    enum neap_status status = log_offset_at(r->log, l->at, (wall_time){ time_s * 1000ll }, &offset, &err);
    return status == NEAP_OK ? offset.n : l->start;
}

/* Times of append do not fall: what is old lies before the first batch that is not. Behind it, what was appended while the clock
 * was ahead is told apart by its time, which is yet to come. */
static uint64_t limit_by_time(struct retention *r, struct look *l)
{
    if (l->settings.retention_ms < 0 || !clock_is_believed(r->clock) || !oldest(r, l))
        return l->start;
    struct clock_cut cut = clock_cut(r->clock, l->settings.retention_ms + 1000); /* times of append are to the second */
    uint32_t oldest_s = (uint32_t)(l->oldest_ms / 1000);
    bool ahead = cut.ahead_before_s > cut.ahead_from_s;
    uint64_t limit = oldest_s < cut.wall_before_s ? offset_at(r, l, cut.wall_before_s) : l->start;
    if (ahead && offset_at(r, l, cut.ahead_from_s) == limit && (limit > l->start || oldest_s >= cut.ahead_from_s))
        limit = offset_at(r, l, cut.ahead_before_s);
    return limit;
}

/* Where the partition may start; counted so far. */
static uint64_t decide(struct retention *r, struct look *l)
{
    places_init(&r->places, r->log, l->at, l->start);
    if (l->settings.retention == LOG_RETAIN_DONE) {
        if (l->hold == UINT64_MAX || l->hold <= l->start)
            return l->start; /* nobody has said yet that it is done */
        count_up_to(r, l, l->hold, 0);
        return l->counted_to;
    }
    uint64_t by_time = limit_by_time(r, l);
    if (by_time > l->hold)
        by_time = l->hold;
    count_up_to(r, l, by_time, 0);
    if (l->settings.retention_size >= 0 && l->size - l->counted_size > (uint64_t)l->settings.retention_size)
        count_up_to(r, l, l->hold < l->end ? l->hold : l->end, (uint64_t)l->settings.retention_size);
    return l->counted_to;
}

/* A trim costs an operation in the journal: small ones are put together, unless nothing more is coming or room is wanted. */
static bool is_worth_it(const struct retention *r, const struct look *l, uint64_t start)
{
    const struct shared *s = &r->log->shared;
    return start > l->start && (l->walked_max || l->counted_size >= r->log->options.file_size / 256 ||
                                start == l->end || atomic_load(&s->rank_min) > LOG_RANK_PRODUCER);
}

static void add_trim(struct retention *r, const struct look *l, uint64_t start)
{
    uint8_t *payload = r->payloads[r->op_count];
    put_le64(payload, l->counted_batches);
    put_le64(payload + 8, l->counted_size);
    r->ops[r->op_count++] = (struct log_op){
        .kind = LOG_TRIM,
        .target = l->at,
        .count = r->holds + 1,
        .offset = { start },
        .payload = { payload, TRIM_PAYLOAD_SIZE },
    };
}

/* ---- one partition after the other -------------------------------------------------------------------------------------- */

/* Under the mutex: the next partition that has anything to decide; false: that was the last. */
static bool next(struct retention *r, struct look *ret)
{
    const struct views *v = &r->log->shared.views;
    for (; r->topic < v->topic_count; r->topic++, r->partition = 0) {
        const struct topic *t = v->by_name[r->topic];
        bool keeps_all = t->settings.retention == LOG_RETAIN_LIMITS && t->settings.retention_ms < 0 &&
                         t->settings.retention_size < 0;
        bool compacting = t->id == r->log->shared.compacting;
        while (t->durable && !keeps_all && !compacting && r->partition < t->partition_count) {
            struct partition *p = topic_partition(t, r->partition++);
            if (p->start == p->end)
                continue;
            bool counted = t->settings.retention == LOG_RETAIN_DONE && p->keeper.counted_from == p->start &&
                           p->keeper.counted_to > p->start && p->keeper.counted_to <= p->keeper.hold;
            *ret = (struct look){ .at = { t->id, p->number },
                                  .settings = t->settings,
                                  .start = p->start,
                                  .end = p->end,
                                  .size = p->size,
                                  .hold = p->keeper.hold,
                                  .counted_to = counted ? p->keeper.counted_to : p->start,
                                  .counted_size = counted ? p->keeper.counted_size : 0,
                                  .counted_batches = counted ? p->keeper.counted_batches : 0,
                                  .oldest_at = p->keeper.oldest_at,
                                  .oldest_ms = p->keeper.oldest_ms };
            return true;
        }
    }
    return false;
}

static void remember(struct retention *r, const struct look *l)
{
    struct shared *s = &r->log->shared;
    io_mutex_take(s->mutex);
    struct partition *p = views_partition(&s->views, l->at);
    if (p != NULL && s->hold_count == r->holds) { /* else what was counted may be lost by now */
        p->keeper.counted_from = l->start;
        p->keeper.counted_to = l->counted_to;
        p->keeper.counted_size = l->counted_size;
        p->keeper.counted_batches = l->counted_batches;
    }
    if (p != NULL) {
        p->keeper.oldest_at = l->oldest_at;
        p->keeper.oldest_ms = l->oldest_ms;
    }
    io_mutex_drop(s->mutex);
}

static void trimmed(struct log_unit *unit, enum neap_status status)
{
    struct retention *r = unit->ctx;
    (void)status; /* refused where a topic has gone or a group has come meanwhile: the next round decides again */
    r->ended = true;
}

static void say_trimming(struct retention *r, bool trimming)
{
    struct shared *s = &r->log->shared;
    io_mutex_take(s->mutex);
    s->trimming = trimming;
    io_mutex_drop(s->mutex);
}

static void hand_over(struct retention *r, struct log_client *client)
{
    r->unit = (struct log_unit){ .ops = r->ops, .count = r->op_count, .done = trimmed, .ctx = r };
    r->ended = false;
    r->submitted = log_submit(client, &r->unit) == NEAP_OK;
    r->op_count = r->submitted ? r->op_count : 0;
    say_trimming(r, r->submitted);
}

static bool begin(struct retention *r, mono_time now)
{
    struct shared *s = &r->log->shared;
    if (!r->more && !pace_due(&r->pace, r->log, now))
        return false;
    pace_begin(&r->pace, r->log, now);
    r->more = false;
    clock_look(r->clock, now);
    io_mutex_take(s->mutex);
    collect_holds(&s->views);
    r->holds = s->hold_count;
    io_mutex_drop(s->mutex);
    r->on = true;
    r->topic = r->partition = 0;
    return true;
}

bool retention_step(struct retention *r, struct log_client *client, mono_time now)
{
    struct shared *s = &r->log->shared;
    struct look look;
    if (r->submitted) {
        if (!r->ended)
            return false;
        r->submitted = false;
        say_trimming(r, false);
        r->op_count = 0;
    }
    if (!r->on)
        return begin(r, now);
    mono_time since = io_now(r->log->io);
    for (uint32_t i = 0; i < RETENTION_STEP && r->on && r->op_count < RETENTION_STEP; i++) {
        io_mutex_take(s->mutex);
        r->on = next(r, &look);
        io_mutex_drop(s->mutex);
        if (!r->on)
            break;
        uint64_t start = decide(r, &look);
        places_release(&r->places);
        remember(r, &look);
        r->more = r->more || (look.walked_max && start > look.start);
        if (is_worth_it(r, &look, start))
            add_trim(r, &look, start);
    }
    pace_looked(&r->pace, r->log, since);
    if (!r->on)
        pace_end(&r->pace, r->log);
    if (r->op_count > 0)
        hand_over(r, client);
    return true;
}

void retention_stop(struct retention *r)
{
    must(!r->submitted || r->ended);
}
