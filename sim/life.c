#include "life.h"
#include "base/must.h"
#include "early.h"
#include "forge.h"
#include "freeing.h"
#include "log/local/local.h"
#include "losses.h"
#include "walk.h"
#include <stdio.h>
#include <stdlib.h>

#define INFLIGHT_MAX   3u
#define PATIENCE_NS    (600 * NS_PER_S) /* of virtual time */
#define BAD_TIMES_NS   (60 * NS_PER_S)  /* after so long, faults are taken away */
#define TOPICS_AT_ONCE 4u

struct world;

struct worker {
    struct world *world;
    uint32_t client;
    struct io_agent agent;
    struct io_timer timer;
    struct log_client *log;
    uint64_t chance;
    uint32_t budget, open_count; /* to submit; in flight */
};

struct world {
    struct life *life;
    struct io *io;
    struct log *log;
    struct worker workers[CLIENT_COUNT];
    struct io_agent reader;
    struct walk walk;
    struct forger forger;
    uint64_t reader_chance;
    uint32_t ended_count, failed_at; /* failed_at: the point at which somebody was told that storage failed */
    bool unravelled;
};

static uint32_t point(const struct world *world)
{
    return sim_disk_point(world->life->disk);
}

static void wrong(struct world *world, enum verdict verdict, const char *what, const struct unit *unit)
{
    if (world->life->finding.verdict == VERDICT_GOOD)
        finding_set(&world->life->finding, verdict, "unit %u of client %u: %s (%s)", unit->id, unit->client, what,
                    status_name(unit->status));
}

/* ---- completions ---- */

static void topic_done(struct world *world, const struct unit *unit)
{
    struct model_topic *topic = &world->life->model->topics[unit->topics[0]];
    if (unit->status == NEAP_OK && unit->ops[0].kind == LOG_TOPIC_ALTER && unit->ops[0].count > 0)
        topic->partition_count = unit->ops[0].count;
    if (unit->ops[0].kind != LOG_TOPIC_CREATE || unit->status != NEAP_OK)
        return;
    topic->id = unit->ops[0].target.topic_id;
    topic->usable = true;
}

static void count_end(struct world *world, struct unit *unit)
{
    struct life *life = world->life;
    switch (unit->status) {
    case NEAP_OK:
        if (!unit->early)
            unit->promised = unit->promised < point(world) ? unit->promised : point(world);
        if (unit->possible > world->failed_at && world->failed_at != NEVER)
            wrong(world, VERDICT_LOST, "acknowledged after storage had failed", unit);
        break;
    case NEAP_IO:
        world->failed_at = world->failed_at < point(world) ? world->failed_at : point(world);
        life->failed_count++;
        break;
    case NEAP_CLOSED:
        life->failed_count++;
        break;
    case NEAP_REFUSED:
    case NEAP_FULL:
    case NEAP_EXISTS:
        life->refused_count++;
        if (unit->promised != NEVER)
            wrong(world, VERDICT_INVENTED, "refused, and was shown to readers", unit);
        break;
    default:
        wrong(world, VERDICT_CLOSED, "ended in a way that no unit ends", unit);
    }
}

static void unravel(struct world *world)
{
    if (world->unravelled || world->life->unravel == NULL)
        return;
    world->unravelled = true;
    world->life->unravel(world->io, world->life->ctx);
}

static void unit_done(struct log_unit *log_unit, enum neap_status status)
{
    struct worker *worker = log_unit->ctx;
    struct world *world = worker->world;
    struct unit *unit = (struct unit *)(void *)((uint8_t *)log_unit - offsetof(struct unit, log));
    if (unit->ended)
        wrong(world, VERDICT_CLOSED, "ended twice", unit);
    unit->ended = true;
    unit->status = status;
    unit->told_ns = io_now(world->io).ns;
    unit->told_point = point(world);
    worker->open_count--;
    world->ended_count++;
    count_end(world, unit);
    if (worker->client == 0)
        topic_done(world, unit);
    if (world->ended_count * 2 > world->life->unit_count)
        unravel(world);
}

/* ---- what is asked ---- */

static bool in_use(const struct model_topic *topic)
{
    return topic->usable && topic->deleted == 0;
}

/* Any topic but home that is in use, or (rarely) one just deleted; 0: none. */
static uint32_t some_topic(const struct model *model, uint64_t *chance)
{
    bool deleted_too = sim_one_in(chance, 12);
    uint32_t start = model->topic_count == 0 ? 0 : sim_below(chance, model->topic_count);
    for (uint32_t i = 0; i < model->topic_count; i++) {
        uint32_t t = (start + i) % model->topic_count;
        if (t != 0 && model->topics[t].usable && (in_use(&model->topics[t]) || deleted_too))
            return t;
    }
    return 0;
}

static struct unit *topic_change(struct worker *worker)
{
    struct model *model = worker->world->life->model;
    uint32_t count = 0;
    for (uint32_t t = 1; t < model->topic_count; t++)
        count += in_use(&model->topics[t]);
    struct unit *unit = model_unit(model, 0);
    if (model->topic_count == 1 && !unit_may_be_there(model->by_id[model->topics[0].created]))
        model->topic_count = 0; /* refused by a disk that was full just then: asked again */
    if (model->topic_count == 0) {
        unit_create(model, unit, HOME, CLIENT_COUNT, NULL);
        return unit;
    }
    if (!model->topics[0].usable || worker->open_count > 1)
        return NULL;
    bool churn = worker->world->life->churn;
    uint32_t keep = !churn && worker->world->life->seed % 2 == 0 ? 1 : 0; /* a topic that lives for ever */
    uint32_t at_once = churn ? 2 : TOPICS_AT_ONCE;
    uint32_t victim = some_topic(model, &worker->chance);
    bool frees = worker->world->life->frees;
    bool alters = frees && victim > 0 && model->topics[victim].interval_ms == 0;
    if (alters && in_use(&model->topics[victim]) && !sim_one_in(&worker->chance, 3)) {
        freeing_alter(model, unit, victim, &worker->chance);
        return unit;
    }
    if (count >= at_once && victim > keep && in_use(&model->topics[victim])) {
        unit_delete(model, unit, victim);
        return unit;
    }
    if (count >= at_once || model->topic_count == TOPIC_ROOM)
        return NULL;
    char name[16];
    snprintf(name, sizeof(name), "t%u", model->topic_count);
    uint32_t partition_count = 1 + sim_below(&worker->chance, 3);
    if (worker->world->life->early && !sim_one_in(&worker->chance, 3)) {
        struct log_topic_settings settings = early_settings(unit, &worker->chance);
        unit_create(model, unit, name, partition_count, &settings);
    } else if (frees) {
        struct log_topic_settings settings = freeing_settings(unit, &worker->chance);
        unit_create(model, unit, name, partition_count, &settings);
    } else {
        unit_create(model, unit, name, partition_count, NULL);
    }
    return unit;
}

static struct unit *some_forgery(struct worker *worker)
{
    struct world *world = worker->world;
    struct log_figures figures;
    forge_look(&world->forger, world->io, DATA);
    struct unit *unit = model_unit(world->life->model, worker->client);
    unit_fact(world->life->model, unit, KEY_COUNT, 4, &worker->chance);
    log_figures(world->log, &figures);
    uint32_t topic = some_topic(world->life->model, &worker->chance);
    if (topic != 0)
        forge_append(&world->forger, world->life->model, unit, topic, figures.written.n);
    return unit;
}

static void add_freeing(struct worker *worker, struct unit *unit)
{
    struct world *world = worker->world;
    uint32_t topic = some_topic(world->life->model, &worker->chance);
    if (topic != 0 && world->life->model->topics[topic].interval_ms == 0)
        freeing_add(world->log, world->life->model, unit, topic, &worker->chance);
}

static void add_loss(struct worker *worker, struct unit *unit)
{
    struct world *world = worker->world;
    uint32_t topic = sim_one_in(&worker->chance, 6) ? some_topic(world->life->model, &worker->chance) : 0;
    if (topic != 0 && world->life->model->topics[topic].interval_ms == 0)
        losses_add(world->log, world->life->model, unit, topic, &worker->chance);
}

static struct unit *some_early_work(struct worker *worker)
{
    struct model *model = worker->world->life->model;
    uint32_t topic = early_topic(model, &worker->chance);
    struct unit *unit = topic != 0 ? model_unit(model, worker->client) : NULL;
    if (unit != NULL)
        early_append(model, unit, topic, &worker->chance);
    return unit;
}

static struct unit *some_work(struct worker *worker)
{
    struct model *model = worker->world->life->model;
    uint64_t *chance = &worker->chance;
    if (model->topic_count == 0 || !model->topics[0].usable)
        return NULL;
    if (worker->client == CLIENT_COUNT - 1 && sim_one_in(chance, forge_possible(&worker->world->forger) ? 2 : 6))
        return some_forgery(worker);
    if (worker->world->life->early && sim_one_in(chance, 2)) {
        struct unit *early = some_early_work(worker);
        if (early != NULL)
            return early;
    }
    struct unit *unit = model_unit(model, worker->client);
    unit_fact(model, unit, KEY_COUNT, 4 + sim_below(chance, 20), chance);
    uint32_t append_count = sim_below(chance, 4);
    for (uint32_t i = 0; i < append_count; i++) {
        uint32_t topic = some_topic(model, chance);
        if (topic == 0)
            break;
        bool large = sim_one_in(chance, 40); /* one draw per statement: compilers order arguments as they like */
        uint32_t partition = sim_below(chance, model->topics[topic].partition_count);
        uint32_t count = large ? 1 : 1 + sim_below(chance, 3);
        uint32_t value_size = 5 + sim_below(chance, large ? 3000 : 300);
        unit_append(model, unit, topic, partition, count, value_size, chance);
        if (large)
            break;
    }
    for (uint32_t i = sim_below(chance, 3); i > 0; i--) {
        uint32_t key = sim_below(chance, KEY_COUNT);
        uint32_t value_size = sim_one_in(chance, 4) ? 0 : 4 + sim_below(chance, 60);
        unit_fact(model, unit, key, value_size, chance);
    }
    if (sim_one_in(chance, 3))
        unit_offset(model, unit, sim_one_in(chance, 2) ? 0 : 4 + sim_below(chance, 24), chance);
    if (worker->world->life->frees)
        add_freeing(worker, unit);
    if (worker->world->life->loses)
        add_loss(worker, unit);
    return unit;
}

/* ---- agents ---- */

static bool submit(struct worker *worker)
{
    struct world *world = worker->world;
    struct model *model = world->life->model;
    if (worker->budget == 0 || worker->open_count >= INFLIGHT_MAX)
        return false;
    struct unit *unit = worker->client == 0 ? topic_change(worker) : some_work(worker);
    if (unit == NULL) {
        if (log_health(world->log, NULL) != NEAP_OK)
            worker->budget = 0; /* what it waits for will never come */
        return false;
    }
    unit->log.done = unit_done;
    unit->log.ctx = worker;
    uint32_t before = point(world);
    model_submitted(model, unit, before);
    enum neap_status status = log_submit(worker->log, &unit->log);
    worker->budget -=
        model->topic_count != 1 || worker->client != 0; /* the first topic is asked for until it is there */
    if (status == NEAP_OK) {
        worker->open_count++;
        return true;
    }
    unit->ended = true; /* never handed in: it may not be there */
    unit->status = NEAP_REFUSED;
    world->ended_count++;
    if (status == NEAP_CLOSED)
        worker->budget = 0;
    else if (status != NEAP_AGAIN)
        wrong(world, VERDICT_CLOSED, "was not taken", unit);
    return false;
}

static uint32_t worker_work(void *ctx, mono_time now)
{
    struct worker *worker = ctx;
    uint32_t work = log_client_work(worker->log);
    for (uint32_t i = sim_below(&worker->chance, 4); i > 0; i--)
        work += submit(worker);
    if (worker->budget > 0 && sim_one_in(&worker->chance, 2)) {
        int64_t ns = sim_one_in(&worker->chance, 10) ? 300 * NS_PER_MS : 2 * NS_PER_MS;
        io_timer_set(&worker->timer, mono_after(now, 1 + sim_below(&worker->chance, (uint32_t)ns)));
        return 0;
    }
    return work + (worker->budget > 0 && worker->open_count == 0);
}

static void worker_fire(struct io_timer *timer, mono_time now)
{
    (void)now;
    io_agent_wake(timer->agent);
}

static uint32_t reader_work(void *ctx, mono_time now)
{
    struct world *world = ctx;
    const struct model *model = world->life->model;
    uint32_t topic = some_topic(model, &world->reader_chance);
    (void)now;
    if (sim_one_in(&world->reader_chance, 2))
        return 0;
    walk_step(&world->walk, topic != 0 && in_use(&model->topics[topic]) ? topic : 0);
    return 0;
}

/* ---- a life ---- */

bool life_churns(uint64_t seed)
{
    return seed % 4 == 3;
}

bool life_frees(uint64_t seed)
{
    return seed % 4 != 2;
}

bool life_is_early(uint64_t seed)
{
    return sim_mix(seed + 31) % 3 == 0;
}

bool life_loses(uint64_t seed)
{
    return sim_mix(seed + 32) % 3 == 0;
}

struct log_options life_options(uint64_t seed)
{
    uint64_t chance = sim_mix(seed + 77);
    uint32_t file_size = 16384u << (life_churns(seed) ? 0 : sim_below(&chance, 3));
    return (struct log_options){
        .path = DATA,
        .disk_size = (uint64_t)file_size * 512,
        .file_size = file_size,
        .tail_size = 65536u << sim_below(&chance, 2),
        .index_count_max = sim_one_in(&chance, 2) ? 16 : 128,
        .partition_count_max = 256,
        .fact_size_max = 64u << 10,
        .snapshot_size = 16384u << (life_churns(seed) ? 0 : sim_below(&chance, 4)),
        .clean_ns = (1 + sim_below(&chance, 20)) * NS_PER_MS,
        .idle_mark_ns = (1 + sim_below(&chance, 50)) * NS_PER_MS,
    };
}

static bool finished(const struct world *world)
{
    for (uint32_t c = 0; c < CLIENT_COUNT; c++) {
        if (world->workers[c].budget > 0 || world->workers[c].open_count > 0)
            return false;
    }
    return true;
}

static void start(struct world *world)
{
    uint64_t chance = sim_mix(world->life->seed + 5);
    for (uint32_t c = 0; c < CLIENT_COUNT; c++) {
        static const char *const names[CLIENT_COUNT] = { "topics", "client-1", "client-2", "client-3" };
        struct worker *worker = &world->workers[c];
        *worker = (struct worker){ .world = world, .client = c, .chance = sim_chance(&chance) };
        uint32_t count = world->life->unit_count;
        worker->budget = c == 0 ? count / (world->life->churn   ? 2
                                           : world->life->frees ? 4
                                                                : 6) +
                                      2
                                : count / CLIENT_COUNT + 1;
        worker->agent = (struct io_agent){ .name = names[c], .work = worker_work, .ctx = worker };
        worker->timer = (struct io_timer){ .agent = &worker->agent, .fire = worker_fire, .ctx = worker };
        struct log_client_options options = { .inflight_count_max = INFLIGHT_MAX, .agent = &worker->agent };
        enum neap_status status = log_client_open(world->log, &options, &worker->log, NULL);
        must(status == NEAP_OK);
        io_agent_start(world->io, &worker->agent, NULL);
    }
    world->reader_chance = sim_chance(&chance);
    world->walk = (struct walk){ .io = world->io,
                                 .log = world->log,
                                 .model = world->life->model,
                                 .disk = world->life->disk,
                                 .finding = &world->life->finding,
                                 .chance = sim_chance(&chance) };
    world->reader = (struct io_agent){ .name = "reader", .work = reader_work, .ctx = world };
    io_agent_start(world->io, &world->reader, NULL);
    log_watch(world->log, &world->reader);
}

static void stop(struct world *world)
{
    log_unwatch(world->log, &world->reader);
    io_agent_stop(&world->reader);
    walk_end(&world->walk);
    for (uint32_t c = 0; c < CLIENT_COUNT; c++) {
        io_timer_cancel(&world->workers[c].timer);
        log_client_close(&world->workers[c].log);
        io_agent_stop(&world->workers[c].agent);
    }
    world->life->stopped = log_health(world->log, NULL) != NEAP_OK;
}

static void work(struct world *world)
{
    mono_time patience = mono_after(io_now(world->io), PATIENCE_NS);
    start(world);
    mono_time bad_times = mono_after(io_now(world->io), BAD_TIMES_NS);
    while (!finished(world) && io_now(world->io).ns < patience.ns) {
        sim_run(world->io, 2 * NS_PER_MS);
        if (world->life->prepare == NULL) /* else a sync may take as long as it likes, or fail */
            early_promise(world->life->model, io_now(world->io).ns, point(world));
        if (io_now(world->io).ns > bad_times.ns)
            unravel(world);
    }
    unravel(world);
    if (!finished(world)) {
        finding_set(&world->life->finding, VERDICT_CLOSED, "after %lld s of virtual time units are still under way",
                    PATIENCE_NS / NS_PER_S);
        return; /* cannot be stopped properly: the program ends with this finding */
    }
    if (sim_one_in(&world->reader_chance, 2))
        sim_run(world->io, 100 * NS_PER_MS); /* an idle mark is written */
    stop(world);
}

static void count_told(struct life *life)
{
    for (uint32_t c = 1; c < CLIENT_COUNT; c++) {
        for (uint32_t i = 0; i < life->model->clients[c].count; i++) {
            const struct unit *unit = life->model->clients[c].units[i];
            bool told = unit->ended && unit->status == NEAP_OK && unit->told_ns > 0;
            life->freed.early += told && unit->early;
            for (uint32_t o = 0; o < unit->log.count && told; o++) {
                life->freed.trims += unit->ops[o].kind == LOG_TRIM;
                life->freed.losses += unit->ops[o].kind == LOG_LOST;
            }
        }
    }
}

/* Nobody is at work any more: what lies there is looked at as it is. */
static void count_freed(struct life *life, struct log *log)
{
    const struct shared *s = &log->shared;
    const struct archives *archives = &s->views.archives;
    struct life_figures *f = &life->freed;
    f->archived = archives->count > 0;
    f->archives = archives->number_next - 1;
    for (uint32_t i = 0; i < archives->count; i++)
        f->joined += archives->list[i]->facts.first_sequence < archives->list[i]->facts.last_sequence;
    f->files = s->files[s->file_count - 1].sequence;
    f->recycled = f->files - s->file_count;
    for (uint32_t t = 0; t < s->views.topic_count; t++)
        for (uint32_t p = 0; p < s->views.by_name[t]->partition_count; p++)
            f->starts += topic_partition(s->views.by_name[t], p)->start > 0;
    count_told(life);
}

void life_figures_add(struct life_figures *sum, const struct life_figures *f)
{
    sum->archived += f->archived;
    sum->archives += f->archives;
    sum->joined += f->joined;
    sum->files += f->files;
    sum->recycled += f->recycled;
    sum->trims += f->trims;
    sum->starts += f->starts;
    sum->early += f->early;
    sum->losses += f->losses;
}

void life_run(struct life *life)
{
    struct world world = { .life = life, .failed_at = NEVER };
    struct sim_options options = { .seed = life->seed, .disk = life->disk, .trace = life->trace, .ctx = life->ctx };
    struct error err = { .text = "" };
    world.io = sim_open(&options);
    int64_t begun = io_now(world.io).ns;
    if (life->prepare != NULL)
        life->prepare(world.io, life->ctx);
    life->opened = log_open(world.io, &life->options, &world.log, &err) == NEAP_OK;
    if (life->opened) {
        model_promise_all(life->model, point(&world));
        work(&world);
        if (life->finding.verdict == VERDICT_CLOSED)
            return;
        count_freed(life, world.log);
        log_close(&world.log);
        if (life->prepare == NULL && !life->stopped)
            early_promise_all(life->model, point(&world));
    } else if (life->prepare == NULL) {
        finding_set(&life->finding, VERDICT_CLOSED, "%s", err.text);
    }
    unravel(&world);
    life->hash = sim_mix(sim_trace_hash(world.io) ^ sim_disk_hash(life->disk));
    life->virtual_ns = io_now(world.io).ns - begun;
    sim_close(&world.io);
}
