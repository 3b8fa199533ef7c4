#include "year.h"
#include "base/must.h"
#include "census.h"
#include "log/local/local.h"
#include <stdio.h>
#include <stdlib.h>

#define UNIT_COUNT     24u
#define PAYLOAD_ROOM   12288u
#define PATIENCE_NS    (120 * NS_PER_S) /* no unit takes longer */
#define WORLD_BEGIN_MS 1767225600000ll

struct year;

struct year_unit { /* one batch on its way */
    struct log_unit log;
    struct log_op op;
    struct year *year;
    uint32_t topic, partition;
    uint64_t id;
    bool busy;
    uint8_t payload[PAYLOAD_ROOM];
};

struct year_commit { /* of one group, on all partitions of its topic */
    struct log_unit log;
    struct log_op ops[YEAR_PARTITION_MAX];
    struct year *year;
    uint32_t group;
    bool busy;
};

struct year {
    const struct cut_options *options;
    struct year_figures *figures;
    struct almanac almanac;
    struct annals annals;
    struct sim_disk *disk;
    struct io *io;
    struct census_log census;
    struct log_client *producer, *pipelines;
    struct year_unit units[UNIT_COUNT];
    struct year_commit commits[YEAR_GROUP_COUNT];
    uint64_t chance, boots;
    int64_t now_ms;     /* true time */
    int64_t begun_ms;   /* true time less the door's */
    int64_t restart_ms; /* the next of them */
    uint64_t needed;    /* when it was last weighed */
    int64_t full_ms;    /* when somebody was last refused */
    int64_t roomy_ms;   /* since when there has been room for all; INT64_MAX: there is none */
    bool over;          /* after a cut: whatever is still said counts no more */
    struct finding finding;
};

static bool wrong(struct year *y, enum verdict verdict, const char *what, enum neap_status status)
{
    return finding_set(&y->finding, verdict, "%s: %s", what, status_text(status)) == VERDICT_GOOD;
}

static bool good(const struct year *y)
{
    return y->finding.verdict == VERDICT_GOOD;
}

/* ---- time ------------------------------------------------------------------------------------------------------------------ */

/* The door's wall clock shows true time and what it is wrong by. */
static void set_clock(struct year *y)
{
    int64_t wrong_ms = almanac_wrong_ms(&y->almanac, y->now_ms);
    int64_t wanted_ms = WORLD_BEGIN_MS + y->now_ms + wrong_ms;
    int64_t is_ms = io_wall(y->io).ms;
    if (wanted_ms - is_ms > 1000 || is_ms - wanted_ms > 1000)
        sim_wall_jump(y->io, wanted_ms - is_ms);
    annals_now(&y->annals, y->now_ms, wrong_ms);
}

static void look_at_watch(struct year *y)
{
    y->now_ms = y->begun_ms + (io_now(y->io).ns + NS_PER_MS - 1) / NS_PER_MS;
    y->annals.now_ms = y->now_ms;
}

/* ---- events ------------------------------------------------------------------------------------------------------------------- */

/* Producers are told to stop where the last tenth of the disk begins, and only there. */
static void refused(struct year *y, const struct year_unit *u)
{
    annals_refused(&y->annals, u->topic, u->partition, u->id);
    y->figures->refused++;
    y->full_ms = y->now_ms;
    if (y->roomy_ms != INT64_MAX && y->now_ms - y->roomy_ms > DAY_MS)
        wrong(y, VERDICT_CLOSED, "a batch is refused, and there has been room for a day", NEAP_FULL);
}

static void appended(struct log_unit *log_unit, enum neap_status status)
{
    struct year_unit *u = log_unit->ctx;
    struct year *y = u->year;
    u->busy = false;
    if (y->over)
        return;
    if (status == NEAP_OK && !annals_appended(&y->annals, u->topic, u->partition, u->id, u->op.offset.n))
        wrong(y, VERDICT_ORDER, "a batch is at another offset than it should be", status);
    if (status == NEAP_FULL)
        refused(y, u);
    if (status != NEAP_OK && status != NEAP_FULL)
        wrong(y, VERDICT_CLOSED, "a batch was not taken", status);
}

static struct year_unit *free_unit(struct year *y)
{
    for (uint32_t i = 0; i < UNIT_COUNT; i++)
        if (!y->units[i].busy)
            return &y->units[i];
    return NULL;
}

static void fill_batch(struct year *y, struct year_unit *u, struct year_batch *b)
{
    uint8_t room[YEAR_ROOM];
    struct record record;
    struct batch_builder builder;
    batch_begin(&builder, u->payload, sizeof(u->payload));
    for (uint32_t i = 0; i < b->count; i++) {
        annals_record(&y->annals, u->topic, b->id, i, room, &record);
        enum neap_status status = batch_add(&builder, &record, NULL, 0);
        must(status == NEAP_OK);
    }
    u->op = (struct log_op){ .kind = LOG_APPEND,
                             .target = { y->census.topic_ids[u->topic], u->partition },
                             .count = b->count,
                             .payload = batch_end(&builder) };
    b->size = (uint32_t)u->op.payload.size;
}

static void produce(struct year *y, uint32_t topic, uint32_t partition)
{
    struct year_unit *u = free_unit(y);
    struct year_batch *b =
        u != NULL ? annals_ask(&y->annals, topic, partition, 1 + sim_below(&y->chance, YEAR_RECORD_MAX)) : NULL;
    if (b == NULL)
        return;
    u->year = y;
    u->topic = topic;
    u->partition = partition;
    u->id = b->id;
    fill_batch(y, u, b);
    u->log = (struct log_unit){ .ops = &u->op, .count = 1, .done = appended, .ctx = u };
    enum neap_status status = log_submit(y->producer, &u->log);
    u->busy = status == NEAP_OK;
    if (status != NEAP_OK) {
        annals_refused(&y->annals, topic, partition, u->id);
        wrong(y, VERDICT_CLOSED, "a batch was not let in", status);
    }
}

/* ---- groups --------------------------------------------------------------------------------------------------------------------- */

static void committed(struct log_unit *log_unit, enum neap_status status)
{
    struct year_commit *c = log_unit->ctx;
    struct year *y = c->year;
    c->busy = false;
    if (y->over)
        return;
    if (status != NEAP_OK) {
        wrong(y, VERDICT_CLOSED, "a commit was refused", status);
        return;
    }
    for (uint32_t p = 0; p < c->log.count; p++) {
        struct year_stand *s = &y->annals.stands[c->group][p];
        if (!s->told)
            s->end = y->annals.partitions[y->almanac.groups[c->group].topic][p].end;
        s->told = s->there;
        s->point = s->asked;
    }
}

static bool is_there(const struct year_group *g, int64_t now_ms)
{
    return now_ms >= g->from_ms && now_ms < g->until_ms;
}

static uint64_t next_point(struct year *y, const struct year_group *g, uint32_t partition)
{
    const struct year_partition *p = &y->annals.partitions[g->topic][partition];
    uint64_t point = y->annals.stands[y->almanac.groups == g ? 0 : (uint32_t)(g - y->almanac.groups)][partition].asked;
    bool dead = y->now_ms >= g->dead_from_ms && y->now_ms < g->dead_until_ms;
    uint64_t left = p->end > point ? p->end - point : 0, pace = dead ? 0 : g->pace;
    if (left > 0 && left < 4)
        left = sim_below(&y->chance, (uint32_t)left + 1); /* some are still in work */
    return point + (left < pace ? left : pace);
}

static void hand_commit(struct year *y, struct year_commit *c, uint32_t group)
{
    c->year = y;
    c->group = group;
    c->log.done = committed;
    c->log.ctx = c;
    c->log.ops = c->ops;
    enum neap_status status = log_submit(y->pipelines, &c->log);
    c->busy = status == NEAP_OK;
    if (status != NEAP_OK)
        wrong(y, VERDICT_CLOSED, "a commit was not let in", status);
}

static void commit(struct year *y, uint32_t group)
{
    const struct year_group *g = &y->almanac.groups[group];
    struct year_commit *c = &y->commits[group];
    struct year_stand *stands = y->annals.stands[group];
    bool there = is_there(g, y->now_ms), was = stands[0].there, moved = false;
    if (c->busy || (!there && !was))
        return;
    c->log = (struct log_unit){ .count = y->almanac.topics[g->topic].partition_count };
    for (uint32_t p = 0; p < c->log.count; p++) {
        if (there && !was)
            stands[p] = (struct year_stand){ .asked = y->annals.partitions[g->topic][p].start };
        uint64_t point = there && was ? next_point(y, g, p) : stands[p].asked;
        moved |= point != stands[p].point || !stands[p].told || !there;
        stands[p].asked = point;
        stands[p].there = there;
        uint8_t flags = !there ? LOG_OFFSET_FORGET : g->holds ? LOG_OFFSET_HOLD : 0;
        c->ops[p] = (struct log_op){ .kind = LOG_OFFSET,
                                     .view = flags,
                                     .target = { y->census.topic_ids[g->topic], p },
                                     .offset = { point },
                                     .name = bytes_of_text(g->name) };
    }
    if (moved)
        hand_commit(y, c, group);
}

/* ---- an hour ---------------------------------------------------------------------------------------------------------------------- */

static bool anything_open(const struct year *y)
{
    bool open = false;
    for (uint32_t i = 0; i < UNIT_COUNT; i++)
        open |= y->units[i].busy;
    for (uint32_t g = 0; g < YEAR_GROUP_COUNT; g++)
        open |= y->commits[g].busy;
    return open;
}

static void run(struct year *y, int64_t ns)
{
    sim_run(y->io, ns);
    log_client_work(y->producer);
    log_client_work(y->pipelines);
}

static void run_until(struct year *y, int64_t at_ms)
{
    if (at_ms > y->now_ms)
        run(y, (at_ms - y->now_ms) * NS_PER_MS);
    look_at_watch(y);
}

static void settle(struct year *y)
{
    mono_time patience = mono_after(io_now(y->io), PATIENCE_NS);
    while (anything_open(y) && io_now(y->io).ns < patience.ns)
        run(y, NS_PER_MS);
    must(!anything_open(y)); /* else it cannot even be stopped */
    look_at_watch(y);
}

/* What a topic's partitions get in a quarter of an hour. */
static void produce_some(struct year *y)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        const struct year_topic *topic = &y->almanac.topics[t];
        uint32_t chances = topic->batches * almanac_pace(&y->almanac, t, y->now_ms); /* of 24 * 100 * 4 */
        for (uint32_t p = 0; p < topic->partition_count; p++) {
            uint32_t count = chances / 9600 + (sim_below(&y->chance, 9600) < chances % 9600);
            for (uint32_t i = 0; i < count && i < 3; i++)
                produce(y, t, p);
        }
    }
}

static void live_a_quarter(struct year *y, bool commits)
{
    set_clock(y);
    produce_some(y);
    for (uint32_t g = 0; g < y->almanac.group_count && commits; g++)
        commit(y, g);
    settle(y);
}

static bool look_around(struct year *y)
{
    return census_starts(&y->census, &y->annals, &y->finding) &&
           census_overdue(&y->annals, y->almanac.options.file_size / 64, &y->finding);
}

/* As much as is needed, as much again, and what no log can do without: what two snapshots wait for, the file in work and one
 * that is being copied, index files, an archive or two that are about to be joined. */
static bool weigh(struct year *y)
{
    const struct log_options *o = &y->almanac.options;
    uint64_t weight = census_weight(&y->census, o->file_size), needed = annals_needed(&y->annals);
    uint64_t before = y->needed;
    y->needed = needed;
    needed = needed > before ? needed : before; /* what was needed until a moment ago may still be on its way out */
    uint64_t slack = 2ull * o->snapshot_size + 8ull * o->file_size;
    struct year_figures *f = y->figures;
    bool calm = y->now_ms >= y->annals.calm_ms && y->now_ms >= y->annals.calm_time_ms;
    if (!calm || 2 * needed + slack > o->disk_size / 100 * 88)
        y->roomy_ms = INT64_MAX;
    else if (y->roomy_ms == INT64_MAX)
        y->roomy_ms = y->now_ms;
    f->weight_max = weight > f->weight_max ? weight : f->weight_max;
    f->needed_max = needed > f->needed_max ? needed : f->needed_max;
    uint64_t ratio = weight > slack && needed > 0 ? (weight - slack) * 100 / needed : 0;
    f->ratio_max = ratio > f->ratio_max ? ratio : f->ratio_max;
    if (y->options->trace != NULL) {
        char line[200];
        snprintf(line, sizeof(line), "day %lld: %llu bytes used, %llu needed, %llu batches",
                 (long long)(y->now_ms / DAY_MS), (unsigned long long)weight, (unsigned long long)needed,
                 (unsigned long long)y->annals.batch_count);
        y->options->trace(y->options->ctx, line);
    }
    bool full =
        y->full_ms >= 0 && y->now_ms - y->full_ms < 3 * DAY_MS; /* what is half dead waits for room to be copied */
    if (!calm || full || weight <= 2 * needed + slack)
        return true;
    finding_set(&y->finding, VERDICT_WRONG, "%llu bytes of disk are used, and %llu of them are needed",
                (unsigned long long)weight, (unsigned long long)needed);
    return false;
}

static bool live_an_hour(struct year *y)
{
    int64_t end_ms = y->now_ms / HOUR_MS * HOUR_MS + HOUR_MS;
    for (uint32_t i = 0; i < 4 && good(y); i++) {
        live_a_quarter(y, i == 0);
        run_until(y, end_ms - (3 - i) * HOUR_MS / 4);
    }
    annals_hour(&y->annals);
    y->figures->hours++;
    y->figures->full_hours += y->full_ms > end_ms - HOUR_MS;
    bool weighs = y->now_ms / HOUR_MS % 6 == 0, reads = y->now_ms / HOUR_MS % (7 * 24) == 0;
    if (good(y) && look_around(y) && (!weighs || weigh(y)) && reads)
        census_records(&y->census, &y->annals, &y->finding);
    return good(y);
}

/* ---- starts and ends ---------------------------------------------------------------------------------------------------------------- */

/* What was handed in before a cut and not answered is there or is not. */
static bool resume(struct year *y)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        for (uint32_t p = 0; p < y->almanac.topics[t].partition_count; p++) {
            log_offset start, end;
            struct log_partition at = { y->census.topic_ids[t], p };
            if (log_partition_range(y->census.log, at, &start, &end) != NEAP_OK ||
                !annals_resume(&y->annals, t, p, end.n)) {
                finding_set(&y->finding, VERDICT_LOST, "%s/%u ends at %llu after the start, and %llu was acknowledged",
                            y->almanac.topics[t].name, p, (unsigned long long)end.n,
                            (unsigned long long)y->annals.partitions[t][p].end);
                return false;
            }
        }
    }
    return true;
}

static bool resume_group(struct year *y, uint32_t group)
{
    const struct year_group *g = &y->almanac.groups[group];
    for (uint32_t p = 0; p < y->almanac.topics[g->topic].partition_count; p++) {
        struct year_stand *s = &y->annals.stands[group][p];
        struct log_commit commit = { .offset = { 0 } };
        struct log_partition at = { y->census.topic_ids[g->topic], p };
        enum neap_status status = log_offset_get(y->census.log, g->name, at, NULL, &commit);
        bool stands = status == NEAP_OK && (commit.offset.n == s->point || commit.offset.n == s->asked);
        bool unsaid = !s->told && status == NEAP_NOTFOUND;
        bool forgotten = !s->there && status == NEAP_NOTFOUND;
        if (!(stands && (s->there || s->told)) && !unsaid && !forgotten) {
            finding_set(&y->finding, VERDICT_LOST, "%s stands at %llu on partition %u after the start, told %llu: %s",
                        g->name, (unsigned long long)commit.offset.n, p, (unsigned long long)s->point,
                        status_name(status));
            return false;
        }
        if (!s->told)
            s->end = y->annals.partitions[g->topic][p].end;
        s->told = stands;
        s->there = stands; /* what was being deleted and is there still is deleted again */
        s->point = s->asked = stands ? commit.offset.n : 0;
    }
    return true;
}

static bool open_clients(struct year *y, struct error *err)
{
    struct log_client_options options = { .rank = LOG_RANK_PRODUCER };
    enum neap_status status = log_client_open(y->census.log, &options, &y->producer, err);
    options.rank = LOG_RANK_PIPELINE;
    if (status == NEAP_OK)
        status = log_client_open(y->census.log, &options, &y->pipelines, err);
    return status == NEAP_OK;
}

static bool find_topics(struct year *y, struct error *err)
{
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        const struct year_topic *topic = &y->almanac.topics[t];
        struct log_topic found;
        mono_time deadline = mono_after(io_now(y->io), PATIENCE_NS);
        if (log_topic_ensure_with(y->producer, topic->name, topic->partition_count, &topic->settings, deadline, &found,
                                  err) != NEAP_OK)
            return false;
        y->census.topic_ids[t] = found.id;
    }
    return true;
}

static bool begin(struct year *y)
{
    struct error err = { .text = "" };
    struct sim_options options = { .seed = y->options->seed * 1000 + y->boots, .disk = y->disk };
    y->io = y->census.io = sim_open(&options);
    y->begun_ms = y->now_ms - io_now(y->io).ns / NS_PER_MS;
    y->over = false;
    set_clock(y);
    if (log_open(y->io, &y->almanac.options, &y->census.log, &err) != NEAP_OK || !open_clients(y, &err) ||
        !find_topics(y, &err)) {
        finding_set(&y->finding, VERDICT_CLOSED, "start %llu: %s", (unsigned long long)y->boots, err.text);
        return false;
    }
    y->figures->cuts.lives++;
    bool fine = resume(y);
    for (uint32_t g = 0; g < y->almanac.group_count && fine && y->boots > 0; g++)
        fine = resume_group(y, g);
    y->boots++;
    y->restart_ms = y->now_ms + (2 + sim_below(&y->chance, 18)) * DAY_MS + sim_below(&y->chance, 24) * HOUR_MS;
    return fine && census_records(&y->census, &y->annals, &y->finding);
}

static void end(struct year *y)
{
    log_client_close(&y->producer);
    log_client_close(&y->pipelines);
    const struct shared *s = &y->census.log->shared;
    uint64_t files = s->files[s->file_count - 1].sequence;
    y->figures->files += y->now_ms >= YEAR_MS ? files : 0;
    y->figures->recycled += y->now_ms >= YEAR_MS ? files - s->file_count : 0;
    y->figures->archives += y->now_ms >= YEAR_MS ? s->views.archives.number_next - 1 : 0;
    log_close(&y->census.log);
    sim_close(&y->io);
}

/* The door closes behind the process, whichever way it ended; the disk is what that has left of it. */
static void change_disk(struct year *y, uint32_t point, uint64_t state)
{
    struct sim_disk *after = sim_disk_state(y->disk, point, state, true);
    sim_disk_free(&y->disk);
    y->disk = after;
}

/* In peace, killed, or by a power cut in the middle of work. */
static bool restart(struct year *y, int64_t off_ms)
{
    uint32_t way = sim_below(&y->chance, 3);
    uint64_t state = way == 2 ? sim_chance(&y->chance) >> 12 : SIM_STATE_ALL;
    if (way > 0) {
        set_clock(y);
        produce_some(y);
        for (uint32_t g = 0; g < y->almanac.group_count; g++)
            commit(y, g);
        run(y, sim_below(&y->chance, 2 * NS_PER_MS));
    }
    uint32_t point = sim_disk_point(y->disk);
    y->over = way > 0;
    settle(y);
    end(y);
    change_disk(y, way > 0 ? point : sim_disk_point(y->disk), state);
    y->figures->kills += way == 1;
    y->figures->cuts.states += way == 2;
    y->now_ms += off_ms;
    y->annals.now_ms = y->now_ms;
    annals_restarted(&y->annals, off_ms);
    return begin(y);
}

static bool live(struct year *y)
{
    bool fine = begin(y);
    while (fine && y->now_ms < YEAR_MS) {
        const struct year_span *off = &y->almanac.off;
        if (y->now_ms >= off->from_ms && y->now_ms < off->until_ms)
            fine = restart(y, off->until_ms - y->now_ms);
        else if (y->now_ms >= y->restart_ms)
            fine = restart(y, sim_below(&y->chance, 60) * 60000ll);
        fine = fine && live_an_hour(y);
        if (y->options->enough != NULL && y->options->enough(y->options->ctx))
            break;
    }
    return fine;
}

bool year_run(const struct cut_options *options, struct year_figures *figures)
{
    struct year *y = calloc(1, sizeof(*y));
    must(y != NULL);
    y->options = options;
    y->figures = figures;
    y->chance = sim_mix(options->seed + 52);
    y->full_ms = -1;
    y->roomy_ms = INT64_MAX;
    almanac_fill(&y->almanac, options->seed);
    annals_init(&y->annals, &y->almanac);
    y->disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    cut_place = (struct place){ .depth = 0 };
    figures->cuts.seeds++;
    bool fine = live(y);
    figures->batches += y->annals.batch_count;
    figures->records += y->annals.record_count;
    figures->freed_size += y->annals.freed_size;
    figures->cuts.virtual_ns += y->now_ms * NS_PER_MS;
    if (!fine) {
        finding_set(&figures->cuts.finding, y->finding.verdict, "day %lld, %02lld:00: %s",
                    (long long)(y->now_ms / DAY_MS), (long long)(y->now_ms / HOUR_MS % 24), y->finding.text);
        figures->cuts.verdicts[y->finding.verdict]++;
        return false; /* what may still be at work is left as it is */
    }
    figures->cuts.hash = sim_mix(figures->cuts.hash ^ sim_disk_hash(y->disk));
    end(y);
    annals_fini(&y->annals);
    sim_disk_free(&y->disk);
    free(y);
    return true;
}
