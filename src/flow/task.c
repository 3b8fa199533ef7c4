#include "flow/fate.h"
#include "flow/task_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void timer_fired(struct io_timer *timer, mono_time now)
{
    struct task *t = timer->ctx;
    t->timer_due = MONO_NEVER;
    io_agent_wake(t->p->o.agent); /* the turn sees for itself what is due */
}

static void unit_init(struct task *t, struct task_unit *u)
{
    u->task = t;
    u->state = UNIT_IDLE;
    task_backoff_end(&u->backoff);
}

/* What is settled beyond the point, and counts as such: the dead among it are facts of their own. */
static void show_beyond(struct task *t, const struct log_commit *noted)
{
    struct task_figures *f = &t->shown.figures;
    struct commit dead, settled;
    commit_init(&dead, noted->offset, TASK_RUN_COUNT_MAX);
    commit_init(&settled, noted->offset, TASK_RUN_COUNT_MAX);
    if (fate_load(t->p->o.log, t->source, t->p->o.name, &dead) == NEAP_OK &&
        (commit_is_held(noted->done_set) || commit_unite(&settled, noted->done_set) == NEAP_OK) &&
        commit_part(&settled, &dead) == NEAP_OK) {
        f->total.dead_lettered += dead.count;
        f->done_beyond = dead.count + settled.count;
    }
    commit_fini(&dead);
    commit_fini(&settled);
}

/* Until the sink has answered, the log's notes are the best that is known. */
static bool show_last_known(struct task *t)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    if (room == NULL)
        return false;
    struct log_commit commit = { 0 };
    struct bytes fact;
    char key[LEDGER_KEY_SIZE_MAX];
    struct bytes name = { (const uint8_t *)key, ledger_key(key, t->p->o.name, 't') };
    struct task_figures *f = &t->shown.figures;
    if (log_fact_get(t->p->o.log, LOG_VIEW_LEDGER, t->source, name, room, &fact) == NEAP_OK)
        (void)ledger_decode(fact, &f->total); /* one that cannot be read stops the start, with its message */
    if (log_offset_get(t->p->o.log, t->p->o.name, t->source, room, &commit) == NEAP_OK)
        f->point = commit.offset;
    show_beyond(t, &commit);
    free(room);
    return true;
}

enum neap_status task_new(struct pipeline *pipeline, uint32_t partition, struct task **ret_task, struct error *err)
{
    must(partition < pipeline->o.partition_count);
    struct task *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(err, NEAP_NOMEM, "pipeline %s, partition %u: out of memory", pipeline->o.name, partition);
    t->magic = TASK_MAGIC;
    t->p = pipeline;
    t->source = (struct log_partition){ pipeline->o.topic_id, partition };
    t->timer = (struct io_timer){ .agent = pipeline->o.agent, .fire = timer_fired, .ctx = t };
    t->timer_due = t->way_due = MONO_NEVER;
    unit_init(t, &t->letter_unit);
    unit_init(t, &t->commit_unit);
    unit_init(t, &t->ids_unit);
    task_backoff_end(&t->ask_backoff);
    task_backoff_end(&t->land_backoff);
    commit_init(&t->done, (log_offset){ 0 }, TASK_RUN_COUNT_MAX);
    commit_init(&t->settled, (log_offset){ 0 }, TASK_RUN_COUNT_MAX);
    commit_init(&t->after, (log_offset){ 0 }, TASK_RUN_COUNT_MAX);
    commit_init(&t->passed, (log_offset){ 0 }, TASK_RUN_COUNT_MAX);
    t->shown.mutex = io_mutex_new(pipeline->o.io);
    if (t->shown.mutex == NULL) {
        task_free(&t);
        return error_set(err, NEAP_NOMEM, "pipeline %s, partition %u: out of memory", pipeline->o.name, partition);
    }
    if (!show_last_known(t) || task_dedup_open(t) != NEAP_OK) {
        task_free(&t);
        return error_set(err, NEAP_NOMEM, "pipeline %s, partition %u: out of memory", pipeline->o.name, partition);
    }
    *ret_task = t;
    return NEAP_OK;
}

static void give_kit_back(struct task *t)
{
    task_fill_end(t);
    letter_scan_end(&t->scan);
    pipeline_kit_release(t->p, &t->kit);
}

void task_free(struct task **task)
{
    struct task *t = *task;
    if (t == NULL)
        return;
    CHECK_MAGIC(t, TASK_MAGIC);
    must(t->letter_unit.state != UNIT_BUSY && t->commit_unit.state != UNIT_BUSY && t->land_state != LAND_BUSY);
    must(t->ids_unit.state != UNIT_BUSY);
    task_dedup_close(t);
    io_timer_cancel(&t->timer);
    give_kit_back(t);
    commit_fini(&t->done);
    commit_fini(&t->settled);
    commit_fini(&t->after);
    commit_fini(&t->passed);
    if (t->shown.mutex != NULL)
        io_mutex_free(&t->shown.mutex);
    t->magic = 0;
    free(t);
    *task = NULL;
}

/* ---- stopping, waiting, showing ------------------------------------------------------------------------------------ */

void task_stop(struct task *t, enum neap_status status, const struct error *error)
{
    struct error copy = *error;
    copy.status = status;
    error_while(&copy, "pipeline %s, partition %u of %s", t->p->o.name, t->source.partition, t->p->o.topic);
    pipeline_stop(t->p, status, &copy);
}

void task_halt(struct task *t, const struct error *error)
{
    struct error copy = *error;
    copy.status = NEAP_CORRUPT;
    error_while(&copy, "pipeline %s, partition %u of %s", t->p->o.name, t->source.partition, t->p->o.topic);
    t->halted = true;
    pipeline_halt(t->p, &copy);
}

void task_stop_with(struct task *t, enum neap_status status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct error error;
    error_set(&error, status, "%s", text);
    task_stop(t, status, &error);
}

void task_stop_scattered(struct task *t, enum neap_status status)
{
    if (status == NEAP_FULL)
        task_stop_with(
            t, NEAP_CONFLICT,
            "more than %u dead letters of earlier runs lie scattered from offset %llu on, and no more can be "
            "remembered while all between them is delivered again; nothing was changed. Set `start: committed` to "
            "go on at the log's own commit point, or look after the dead letters and delete their topic: then "
            "they are tried again with the others",
            TASK_RUN_COUNT_MAX, (unsigned long long)t->done.point.n);
    else
        task_stop_with(t, status, "remember dead letters: %s", status_text(status));
}

void task_backoff_start(struct task *t, struct task_backoff *backoff, enum neap_status why)
{
    int64_t ceiling = why == NEAP_FULL ? TASK_FULL_NS_MAX : TASK_BACKOFF_NS_MAX;
    if (backoff->attempt < 20 && (TASK_BACKOFF_NS_MIN << backoff->attempt) < ceiling)
        ceiling = TASK_BACKOFF_NS_MIN << backoff->attempt;
    backoff->attempt++;
    int64_t delay = (int64_t)(io_random(t->p->o.io) % (uint64_t)ceiling);
    backoff->due = mono_after(io_now(t->p->o.io), delay);
}

bool task_backoff_over(const struct task_backoff *backoff, mono_time now)
{
    return backoff->due.ns <= now.ns;
}

void task_backoff_end(struct task_backoff *backoff)
{
    *backoff = (struct task_backoff){ .attempt = 0, .due = MONO_NEVER };
}

struct ledger task_ledger(const struct task *t)
{
    return (struct ledger){ .filtered = t->ledger.filtered,
                            .duplicates = t->ledger.duplicates,
                            .delivered = t->ledger.delivered,
                            .dead_lettered = t->ledger.dead_lettered + t->done.count,
                            .produced = t->ledger.produced,
                            .start = t->start };
}

void task_publish(struct task *t)
{
    struct task_figures f = { .total = task_ledger(t),
                              .point = t->done.point,
                              .done_beyond = t->done.count + t->settled.count };
    f.running = t->state == TASK_RUN;
    f.held = t->watch.held;
    f.run = (struct ledger){ .filtered = f.total.filtered - t->run_base.filtered,
                             .duplicates = f.total.duplicates - t->run_base.duplicates,
                             .delivered = f.total.delivered - t->run_base.delivered,
                             .dead_lettered = f.total.dead_lettered - t->run_base.dead_lettered,
                             .produced = f.total.produced - t->run_base.produced };
    io_mutex_take(t->shown.mutex);
    t->shown.figures = f;
    io_mutex_drop(t->shown.mutex);
}

void task_figures(struct task *t, struct task_figures *ret_figures)
{
    io_mutex_take(t->shown.mutex);
    *ret_figures = t->shown.figures;
    io_mutex_drop(t->shown.mutex);
}

/* ---- units --------------------------------------------------------------------------------------------------------- */

static void unit_done(struct log_unit *unit, enum neap_status status)
{
    struct task_unit *u = unit->ctx;
    struct task *t = u->task;
    CHECK_MAGIC(t, TASK_MAGIC);
    must(u->state == UNIT_BUSY);
    if (status == NEAP_OK) {
        u->state = UNIT_DONE;
        task_backoff_end(&u->backoff);
        if (u->said_full)
            logging_info(t->p->o.logging, "there is room in the log again", LOGGING_TEXT("pipeline", t->p->o.name),
                         LOGGING_UINT("partition", t->source.partition));
        u->said_full = false;
    } else if (status == NEAP_FULL) {
        u->state = UNIT_WAITING;
        task_backoff_start(t, &u->backoff, status);
        if (!u->said_full)
            logging_warn(t->p->o.logging, "the log is full; the pipeline waits", LOGGING_TEXT("pipeline", t->p->o.name),
                         LOGGING_UINT("partition", t->source.partition));
        u->said_full = true;
    } else {
        u->state = UNIT_IDLE;
        task_stop_with(t, status, "%s: %s", u->doing, status_text(status));
    }
}

void task_unit_set(struct task *t, struct task_unit *u, struct log_op *ops, uint32_t count, const char *doing)
{
    must(u->state == UNIT_IDLE && u->task == t);
    must(count > 0 && count <= LOG_UNIT_OP_COUNT_MAX);
    u->unit = (struct log_unit){ .ops = ops, .count = count, .done = unit_done, .ctx = u };
    u->doing = doing;
    u->state = UNIT_READY;
}

uint32_t task_unit_work(struct task *t, struct task_unit *u, mono_time now)
{
    if (u->state == UNIT_WAITING && task_backoff_over(&u->backoff, now)) {
        u->state = UNIT_READY;
        u->backoff.due = MONO_NEVER;
    }
    if (u->state != UNIT_READY)
        return 0;
    enum neap_status status = log_submit(t->p->o.client, &u->unit);
    if (status == NEAP_AGAIN)
        return 0; /* a completion makes room, and wakes us */
    if (status == NEAP_OK) {
        u->state = UNIT_BUSY;
        return 1;
    }
    u->state = UNIT_IDLE;
    task_stop_with(t, status, "%s: %s", u->doing, status_text(status));
    return 1;
}

bool task_unit_take(struct task_unit *u)
{
    if (u->state != UNIT_DONE)
        return false;
    u->state = UNIT_IDLE;
    return true;
}

/* ---- the turn ------------------------------------------------------------------------------------------------------ */

static bool nothing_prepared(const struct task *t)
{
    return t->batches[0].state == BATCH_EMPTY && t->batches[1].state == BATCH_EMPTY && t->land_state == LAND_IDLE &&
           t->letter_unit.state == UNIT_IDLE && t->ids_unit.state == UNIT_IDLE && t->commit_unit.state == UNIT_IDLE &&
           task_way_is_empty(t);
}

static log_offset partition_end(const struct task *t)
{
    log_offset end = { 0 };
    (void)log_partition_end(t->p->o.log, t->source, &end); /* a deleted topic: nothing more comes */
    return end;
}

/* Between two batches a kit goes to those who wait for one. */
static bool give_way(struct task *t)
{
    if (t->kit == NULL || t->state != TASK_RUN || t->p->kit_wanted_count == 0 || !nothing_prepared(t))
        return false;
    give_kit_back(t);
    return true;
}

static void want_kit(struct task *t, bool wanted)
{
    if (t->wants_kit == wanted)
        return;
    t->wants_kit = wanted;
    t->p->kit_wanted_count += wanted ? 1 : -1u;
}

static bool take_kit(struct task *t)
{
    t->kit = pipeline_kit_acquire(t->p);
    if (t->kit == NULL)
        return false;
    want_kit(t, false);
    if (t->state == TASK_RUN && task_fill_begin(t, t->done.point) != NEAP_OK)
        give_kit_back(t);
    return t->kit != NULL;
}

static uint32_t give_up_unit(struct task_unit *u)
{
    if (u->state == UNIT_BUSY || u->state == UNIT_IDLE)
        return 0;
    u->state = UNIT_IDLE;
    return 1; /* whoever waited behind it has a turn */
}

/* Nothing new begins; what somebody else holds is waited for. What the sink has landed is still committed, but not by a
 * pipeline that was stopped: the sink's own row, or the next start, will tell. */
static uint32_t wind_down(struct task *t, mono_time now)
{
    task_way_stop(t);
    uint32_t work = task_finish_commit(t);
    bool commits = t->state == TASK_RUN && t->p->status == NEAP_OK;
    if (commits && t->land_state == LAND_ENDED && t->kit->landing.status == NEAP_OK)
        work += task_landed_well(t);
    if (commits && t->commit_unit.state == UNIT_READY)
        work += task_unit_work(t, &t->commit_unit, now);
    if (!commits || t->commit_unit.state == UNIT_WAITING)
        work += give_up_unit(&t->commit_unit);
    work += give_up_unit(&t->letter_unit) + give_up_unit(&t->ids_unit);
    bool landing_over = t->land_state == LAND_ENDED && (!commits || t->kit->landing.status != NEAP_OK);
    bool commit_over = t->land_state == LAND_COMMIT && t->commit_unit.state == UNIT_IDLE;
    const struct sink_verbs *verbs = t->p->o.sink->verbs;
    if (verbs->give_up != NULL && (commit_over || (landing_over && t->kit->landing.status == NEAP_OK)))
        verbs->give_up(t->p->o.sink);
    bool waits = t->land_state == LAND_WAITING || t->land_state == LAND_BURY || t->land_state == LAND_BURIED;
    if (waits || landing_over || commit_over)
        t->land_state = LAND_IDLE;
    return work;
}

static void set_timer(struct task *t)
{
    mono_time due = mono_min(mono_min(t->ask_backoff.due, t->land_backoff.due),
                             mono_min(t->letter_unit.backoff.due, t->commit_unit.backoff.due));
    due = mono_min(due, mono_min(t->way_due, t->ids_unit.backoff.due));
    if (due.ns == t->timer_due.ns)
        return;
    t->timer_due = due;
    if (due.ns == MONO_NEVER.ns)
        io_timer_cancel(&t->timer);
    else
        io_timer_set(&t->timer, due);
}

uint32_t task_work(struct task *t, mono_time now)
{
    CHECK_MAGIC(t, TASK_MAGIC);
    uint32_t work = 0;
    if (t->draining || t->p->status != NEAP_OK) {
        io_timer_cancel(&t->timer);
        return wind_down(t, now);
    }
    if (give_way(t))
        return 1;
    if (t->kit == NULL && t->state == TASK_RUN && (t->halted || partition_end(t).n <= t->done.point.n)) {
        want_kit(t, false);
        return 0;
    }
    if (t->kit == NULL && !take_kit(t)) {
        bool is_new = !t->wants_kit;
        want_kit(t, true);
        return is_new; /* one more turn, for whoever holds one and rests */
    }
    if (t->state != TASK_RUN) {
        work += task_start_work(t, now);
    } else {
        work += task_finish_commit(t);
        work += task_finish_landing(t);
        if (t->p->status != NEAP_OK)
            return work;
        work += task_start_landing(t, now);
        work += task_fill_work(t, now);
        work += task_unit_work(t, &t->letter_unit, now);
        work += task_unit_work(t, &t->ids_unit, now);
        work += task_unit_work(t, &t->commit_unit, now);
    }
    set_timer(t);
    return work;
}

void task_drain(struct task *t)
{
    CHECK_MAGIC(t, TASK_MAGIC);
    t->draining = true;
    want_kit(t, false);
}

bool task_at_rest(const struct task *t)
{
    bool held = t->state == TASK_ASKED || t->state == TASK_ASKED_WAS;
    if ((!t->draining && t->p->status == NEAP_OK) || (held && !t->ask_ended))
        return false;
    return t->land_state == LAND_IDLE && t->commit_unit.state != UNIT_BUSY && t->commit_unit.state != UNIT_READY &&
           t->letter_unit.state != UNIT_BUSY && t->ids_unit.state != UNIT_BUSY && !task_way_works(t);
}

bool task_idle(const struct task *t)
{
    if (t->draining || t->p->status != NEAP_OK)
        return task_at_rest(t);
    return t->state == TASK_RUN && nothing_prepared(t) && (t->halted || partition_end(t).n <= t->done.point.n);
}
