#include "log/local/keeper.h"
#include "log/local/cleaner.h"
#include "log/local/journal.h"
#include "log/local/retention.h"
#include "log/local/scrub.h"
#include "log/local/sealed.h"
#include "log/local/snapshot.h"
#include "log/local/space.h"
#include "log/local/spares.h"
#include <stdlib.h>

#define KEEPER_MAGIC 0x6b656570u
#define RETRY_NS     (500 * NS_PER_MS)
#define RETRY_COUNT  3u

struct keeper {
    uint32_t magic;
    struct log *log;
    struct io_agent agent;
    struct io_timer timer; /* tries again after a full disk */
    struct spares spares;
    struct scrub scrub;
    bool waiting;
    uint32_t failed_count; /* steps, since the last file that came */
    mono_time stuck_since;
    bool made_way; /* for an archive: it comes before the next spare, which would take its room */
    struct clock clock;
    struct cleaner *cleaner;
    struct retention retention;
    struct log_client *client; /* for what housekeeping has to say in the journal */
    struct io_timer tick;
    bool ticking;
};

/* ---- what a step that failed means --------------------------------------------------------------------------------------- */

static void stop_log(struct keeper *k, struct error *err)
{
    struct shared *s = &k->log->shared;
    io_mutex_take(s->mutex);
    if (s->failed == NEAP_OK) {
        s->failed = err->status;
        s->failure = *err;
    }
    io_mutex_drop(s->mutex);
    logging_error(k->log->logging, "housekeeping stops the log", LOGGING_TEXT("error", err->text));
    atomic_store(&k->log->keeper_failed, true);
    journal_wake(k->log->journal);
}

/* While the disk is full, producers that need another file are told so. */
static void set_full(struct keeper *k, bool full)
{
    struct shared *s = &k->log->shared;
    io_mutex_take(s->mutex);
    s->full = full;
    space_update(k->log);
    io_mutex_drop(s->mutex);
    if (k->log->journal != NULL)
        journal_wake(k->log->journal);
}

/* What to do about a step that failed: wait where the disk is full, stop where a promise is at stake. */
static void step_failed(struct keeper *k, struct error *err, mono_time now)
{
    if (status_reaction(err->status) == NEAP_REACTION_STOP) {
        stop_log(k, err);
        return;
    }
    if (k->failed_count++ == 0)
        logging_warn(k->log->logging, "housekeeping waits and tries again", LOGGING_TEXT("error", err->text));
    if (err->status == NEAP_FULL || k->failed_count >= RETRY_COUNT)
        set_full(k, true); /* whichever step it was, the next file cannot come: nobody waits for it without an answer */
    k->waiting = true;
    io_timer_set(&k->timer, mono_after(now, RETRY_NS));
}

/* An archive, an index or a snapshot found no room: the last ready file gives it its own, and it is tried again. False: there is
 * none to give. */
static bool make_way(struct keeper *k, struct error *err)
{
    bool given = spares_give_up(&k->spares, err);
    if (given && !k->made_way)
        logging_warn(k->log->logging, "the disk is full: housekeeping takes the room of a ready journal file");
    return given;
}

/* The reserve lies in ready journal files; what else must be written now takes its room from them. */
static void give_way(struct keeper *k, enum neap_status status, struct error *err)
{
    struct error why = { 0 };
    if (status == NEAP_FULL && make_way(k, &why) && why.status != NEAP_OK)
        *err = why;
}

/* ---- what comes next ------------------------------------------------------------------------------------------------------- */

static bool clean(struct keeper *k, mono_time now, struct error *err)
{
    if (spares_due(&k->spares))
        cleaner_wake(k->cleaner, true);
    bool worked = cleaner_step(k->cleaner, k->client, now, err);
    if (err->status == NEAP_FULL) {
        struct error why = { 0 };
        k->made_way = make_way(k, &why);
        if (why.status != NEAP_OK)
            *err = why; /* else it is tried again in a while: a full disk is no reason to spin */
        cleaner_wake(k->cleaner, true);
        io_mutex_take(k->log->shared.mutex);
        k->log->shared.recycle_due = true;
        io_mutex_drop(k->log->shared.mutex);
    } else if (!cleaner_works(k->cleaner)) {
        k->made_way = false;
    }
    return worked;
}

/* It has handed something to the journal, and the journal may need the very file that there is no room for. */
static bool is_stuck(struct keeper *k, mono_time now)
{
    if (k->stuck_since.ns == 0)
        k->stuck_since = now;
    io_timer_set(&k->timer, mono_after(now, RETRY_NS));
    return now.ns - k->stuck_since.ns >= RETRY_NS;
}

/* Where there is no room for one, what may have died meanwhile is looked for before the disk is called full. */
static bool make_spare(struct keeper *k, mono_time now, struct error *err)
{
    struct error full = { 0 };
    if (spares_step(&k->spares, &full) != NEAP_FULL) {
        *err = full;
        k->stuck_since = (mono_time){ 0 };
        return true;
    }
    if (cleaner_pending(k->cleaner)) {
        bool worked = clean(k, now, err);
        if (worked)
            k->stuck_since = (mono_time){ 0 };
        if (worked || err->status != NEAP_OK || !is_stuck(k, now))
            return worked;
    } else if (sealed_files_wait(k->log)) {
        snapshot_write(k->log, err);
        return true;
    }
    *err = full;
    return true;
}

/* The most pressing thing that can be done. False: it did nothing. */
static bool work(struct keeper *k, mono_time now, struct error *err)
{
    uint64_t sequence = sealed_index(k->log);
    if (sequence != 0 &&
        (!k->waiting || !k->log->shared.index_failed)) /* whatever else has to wait: the journal waits for it */
        give_way(k, sealed_index_write(k->log, sequence, err), err);
    else if (sealed_snapshot_due(k->log) && !k->waiting)
        give_way(k, snapshot_write(k->log, err), err);
    else if (spares_due(&k->spares) && spares_recycle(&k->spares, err))
        ;
    else if (k->made_way && !k->waiting && !cleaner_waits(k->cleaner))
        return clean(k, now, err);
    else if (!k->waiting && spares_due(&k->spares))
        return make_spare(k, now, err);
    else if (!spares_release(&k->spares, err))
        return retention_step(&k->retention, k->client, now) || (!k->waiting && clean(k, now, err));
    return true;
}

/* ---- the agent ------------------------------------------------------------------------------------------------------------- */

static bool log_failed(struct shared *s)
{
    io_mutex_take(s->mutex);
    bool failed = s->failed != NEAP_OK;
    io_mutex_drop(s->mutex);
    return failed;
}

static void ticked(struct io_timer *timer, mono_time now)
{
    struct keeper *k = timer->ctx;
    CHECK_MAGIC(k, KEEPER_MAGIC);
    (void)log_look(k->log, NULL); /* whoever uses the log may never ask */
    io_agent_wake(&k->agent);
    io_timer_set(&k->tick, mono_after(now, k->log->options.clean_ns));
}

static uint32_t keeper_work(void *ctx, mono_time now)
{
    struct keeper *k = ctx;
    struct error err = { 0 };
    CHECK_MAGIC(k, KEEPER_MAGIC);
    if (log_failed(&k->log->shared))
        return 0;
    if (!k->ticking)
        ticked(&k->tick, now);
    k->ticking = true;
    log_client_work(k->client);
    bool worked = work(k, now, &err);
    if (spares_came(&k->spares)) {
        k->failed_count = 0;
        k->waiting = false;
    }
    if (err.status != NEAP_OK) {
        step_failed(k, &err, now);
        return 0;
    }
    return worked ? 1 : scrub_work(&k->scrub, now);
}

static void try_again(struct io_timer *timer, mono_time now)
{
    struct keeper *k = timer->ctx;
    CHECK_MAGIC(k, KEEPER_MAGIC);
    k->waiting = false;
    io_agent_wake(&k->agent);
}

struct keeper *keeper_new(struct log *log)
{
    struct keeper *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    k->magic = KEEPER_MAGIC;
    k->log = log;
    k->agent = (struct io_agent){ .name = "keeper", .work = keeper_work, .ctx = k };
    k->timer = (struct io_timer){ .agent = &k->agent, .fire = try_again, .ctx = k };
    scrub_init(&k->scrub, log, &k->agent);
    k->tick = (struct io_timer){ .agent = &k->agent, .fire = ticked, .ctx = k };
    enum neap_status status = spares_init(&k->spares, log);
    clock_init(&k->clock, log);
    k->cleaner = cleaner_new(log, &k->clock);
    retention_init(&k->retention, log, &k->clock);
    if (status != NEAP_OK || k->cleaner == NULL)
        keeper_free(&k);
    return k;
}

void keeper_free(struct keeper **keeper)
{
    struct keeper *k = *keeper;
    if (k == NULL)
        return;
    spares_fini(&k->spares);
    scrub_fini(&k->scrub);
    cleaner_free(&k->cleaner);
    k->magic = 0;
    free(k);
    *keeper = NULL;
}

enum neap_status keeper_make_spare(struct keeper *k, struct error *err)
{
    return spares_make(&k->spares, err);
}

enum neap_status keeper_start(struct keeper *k, struct error *err)
{
    struct log_client_options options = { .rank = LOG_RANK_HOUSE, .inflight_count_max = 4, .agent = &k->agent };
    clock_look(&k->clock, io_now(k->log->io)); /* so that whoever only looks is told, too */
    enum neap_status status = log_client_open(k->log, &options, &k->client, err);
    if (status == NEAP_OK)
        status = io_agent_start(k->log->io, &k->agent, err);
    if (status == NEAP_OK)
        io_agent_wake(&k->agent);
    else
        log_client_close(&k->client);
    return status;
}

void keeper_stop(struct keeper *k)
{
    io_agent_stop(&k->agent);
    if (k->client == NULL)
        return;
    atomic_store(&k->log->keeper_left, true);
    journal_wake(k->log->journal);
    log_client_settle(k->client);
    cleaner_stop(k->cleaner);
    retention_stop(&k->retention);
    log_client_close(&k->client);
}

void keeper_wake(struct keeper *k)
{
    if (k != NULL)
        io_agent_wake(&k->agent);
}
