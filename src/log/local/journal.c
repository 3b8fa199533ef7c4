#include "log/local/clock.h"
#include "log/local/index.h"
#include "log/local/journal_parts.h"
#include "log/local/keeper.h"
#include "log/local/space.h"
#include "log/local/tail.h"
#include <stdlib.h>

#define FULL_RETRY_NS (100 * NS_PER_MS)
#define VERSION_TEXT  "neap 0.1.0"
#define FETCH_AHEAD   3u

/* ---- the next file ------------------------------------------------------------------------------------------------------ */

static void take_file(struct journal *j, const struct journal_file *f)
{
    j->file.sequence = f->sequence;
    j->file.base = f->base;
    j->file.end = f->base + f->size;
    j->file.salt = f->salt;
    j->file.file = f->file;
}

/* After the sealing group is durable (rule J3): the sealed file's index goes to the keeper. */
static void seal(struct journal *j, uint64_t end)
{
    struct shared *s = &j->log->shared;
    io_mutex_take(s->mutex);
    struct open_index *index = index_in_memory(s, j->file.sequence);
    must(index != NULL);
    open_file(s)->end = end;
    index->sealed = true;
    io_mutex_drop(s->mutex);
    keeper_wake(j->log->keeper); /* at once: the file after the next one takes the index's place in memory */
    j->file.file = NULL;         /* switch_file() goes on when a spare and an index slot are ready */
}

static bool switch_file(struct journal *j)
{
    struct shared *s = &j->log->shared;
    io_mutex_take(s->mutex);
    bool ready = s->open_index + 1 < s->file_count && s->indexes[(j->file.sequence + 1) & 1].sequence == 0;
    if (ready) {
        s->open_index++;
        take_file(j, open_file(s));
        index_begin(s, j->file.sequence);
        j->position = j->file.base + JOURNAL_HEADER_SIZE;
        j->index_count = 0;
        space_update(j->log);
    }
    io_mutex_drop(s->mutex);
    return ready;
}

/* ---- after a sync --------------------------------------------------------------------------------------------------------- */

static void sync_done(struct io_sync *op, enum neap_status status);

static void start_sync(struct journal *j)
{
    j->syncing = j->written;
    j->written = (struct group){ 0 };
    j->sync = (struct io_sync){ .file = j->file.file, .agent = &j->agent, .done = sync_done, .ctx = j };
    io_file_sync_start(&j->sync);
}

/* What is durable is shown. */
static void land(struct journal *j)
{
    bool seals = j->synced.seals;
    uint64_t end = j->synced.to;
    journal_make_visible(j, &j->synced);
    j->synced = (struct group){ 0 };
    if (seals && !j->stopped)
        seal(j, end);
}

/* The disk does not wait for what is done about the last sync: the next one begins before. */
static void sync_done(struct io_sync *op, enum neap_status status)
{
    struct journal *j = op->ctx;
    CHECK_MAGIC(j, JOURNAL_MAGIC_OBJECT);
    bool another = !j->stopped && status == NEAP_OK && j->written.used && !j->write_stuck && !j->written.seals;
    j->sync_running = another;
    if (!j->stopped && status != NEAP_OK) /* where it has stopped, its units have been told already */
        journal_fail(j, status, "sync");  /* never retried: what the page cache says is no longer believed */
    j->synced = j->syncing;
    j->syncing = (struct group){ 0 };
    if (another)
        start_sync(j);
    if (!j->stopped)
        land(j);
    io_agent_wake(&j->agent); /* what was written or held back meanwhile has its turn */
    io_mutex_take(j->log->shared.mutex);
    if (j->closer != NULL)
        io_agent_wake(j->closer);
    io_mutex_drop(j->log->shared.mutex);
}

/* ---- taking units from the clients --------------------------------------------------------------------------------------- */

static bool take_some(struct journal *j)
{
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) { /* some of each in turn: nobody is starved */
        uint32_t slot = (j->client_next + i) % CLIENT_COUNT_MAX;
        struct log_client *client = atomic_load_explicit(&j->log->clients[slot], memory_order_acquire);
        size_t count = client != NULL ? ring_pop_many(client->submitted, j->taken.units, TAKE_COUNT) : 0;
        if (count == 0)
            continue;
        j->client_next = (slot + 1) % CLIENT_COUNT_MAX;
        j->taken.at = 0;
        j->taken.count = (uint32_t)count;
        for (size_t n = 0; n < count; n++) /* the client wrote to them last, on another core */
            __builtin_prefetch(j->taken.units[n]);
        return true;
    }
    return false;
}

static void fetch_op(const struct log_op *op)
{
    __builtin_prefetch(op);
    __builtin_prefetch((const uint8_t *)op + 64);
}

/* Of the topic looked up last, or none: looking up another one would cost more than it spares. */
static void fetch_partition(const struct journal *j, const struct log_op *op)
{
    const struct topic *topic = j->seen.topic;
    if (op->kind == LOG_APPEND && op->target.topic_id == j->seen.id && topic != NULL &&
        j->seen.delete_count == j->log->shared.views.topic_delete_count && op->target.partition < topic->growing)
        __builtin_prefetch(topic_partition(topic, op->target.partition), 1);
}

static struct log_unit *next_unit(struct journal *j)
{
    struct log_unit **held = j->held_higher != NULL ? &j->held_higher : &j->held, *unit = *held;
    *held = NULL;
    if (unit != NULL || (j->taken.at == j->taken.count && !take_some(j)))
        return unit;
    if (j->taken.at + 2 * FETCH_AHEAD < j->taken.count)
        fetch_op(j->taken.units[j->taken.at + 2 * FETCH_AHEAD]->ops);
    if (j->taken.at + FETCH_AHEAD < j->taken.count)
        fetch_partition(j, j->taken.units[j->taken.at + FETCH_AHEAD]->ops);
    return j->taken.units[j->taken.at++];
}

/* While a unit waits for a ready file, those of clients of higher rank go before it: what they do may make room. */
static struct log_unit *higher_unit(struct journal *j, enum log_rank rank)
{
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) {
        struct log_client *client = atomic_load_explicit(&j->log->clients[i], memory_order_acquire);
        struct log_unit *unit = NULL;
        if (client != NULL && client->rank > rank && ring_pop(client->submitted, &unit))
            return unit;
    }
    return NULL;
}

static bool anything_waits(struct journal *j)
{
    if (j->held != NULL || j->held_higher != NULL || j->taken.at < j->taken.count)
        return true;
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) {
        struct log_client *client = atomic_load_explicit(&j->log->clients[i], memory_order_acquire);
        if (client != NULL && ring_count(client->submitted) > 0)
            return true;
    }
    return false;
}

/* ---- one group --------------------------------------------------------------------------------------------------------------- */

static void group_begin(struct journal *j, struct group *g, mono_time now)
{
    j->time_ms = log_time_next(j->time_ms, now.ns - j->time_at.ns, io_wall(j->log->io).ms); /* it never falls */
    j->time_at = now;
    *g = (struct group){
        .from = j->position, .to = j->position, .time_ms = j->time_ms, .made = now, .holds = j->hold_count
    };
}

static uint64_t group_room(const struct journal *j)
{
    uint64_t tail = (uint64_t)(j->log->tail.block_count - 1) * j->log->tail.block_size / 2;
    return tail < GROUP_SIZE_MAX ? tail : GROUP_SIZE_MAX;
}

static bool fits(const struct journal *j, const struct log_unit *unit)
{
    return j->file.end - j->position >= unit->size_ &&
           j->log->shared.index_count_max - j->index_count >= unit->append_count_;
}

/* What was answered early is read from the tail once more when it is durable: until then it is not overwritten. */
static bool tail_holds(const struct journal *j, const struct log_unit *unit)
{
    const struct group *oldest = j->syncing.early ? &j->syncing : &j->written;
    uint64_t size = (uint64_t)(j->log->tail.block_count - 1) * j->log->tail.block_size;
    return !oldest->used || j->position + unit->size_ + JOURNAL_PAGE_SIZE - oldest->from <= size;
}

enum next_file { NEXT_IS_THERE, NEXT_COMES, NEXT_NEVER };

/* COMES: the keeper makes it, or finds that there is no room for one. NEVER: it has found that already. */
static enum next_file look_for_next(struct journal *j, const struct log_unit *unit)
{
    struct shared *s = &j->log->shared;
    io_mutex_take(s->mutex);
    bool there = space_may_switch(j->log, unit->rank_), full = s->full;
    io_mutex_drop(s->mutex);
    if (there)
        return NEXT_IS_THERE;
    keeper_wake(j->log->keeper);
    return full || atomic_load(&j->log->keeper_left) ? NEXT_NEVER : NEXT_COMES;
}

/* Held back until the next group. One that goes before another which waits for a file stays before it. */
static void hold(struct journal *j, struct log_unit *unit)
{
    struct log_unit **slot = j->held != NULL ? &j->held_higher : &j->held;
    must(*slot == NULL);
    *slot = unit;
}

/* Fills `g` with what waits; true when the unit held back goes into the next file. */
static bool collect(struct journal *j, struct group *g)
{
    uint64_t room = group_room(j);
    struct log_unit *unit, *waits = NULL; /* waits: for a ready file, out of turn */
    while (g->to - g->from < room &&
           (unit = waits == NULL ? next_unit(j) : higher_unit(j, waits->client_->rank)) != NULL) {
        bool alone = g->to > g->from && g->to - g->from + unit->size_ > room; /* as a large one goes */
        bool allowed = unit->rank_ >= atomic_load_explicit(&j->log->shared.rank_min, memory_order_relaxed);
        bool room_here = !allowed || fits(j, unit);
        if (alone || !tail_holds(j, unit)) {
            hold(j, unit);
            break;
        }
        enum next_file next = room_here ? NEXT_NEVER : look_for_next(j, unit);
        if (next == NEXT_IS_THERE) {
            hold(j, unit);
            return true;
        }
        if (next == NEXT_COMES) {
            hold(j, unit);
            if (unit != j->held)
                break; /* it goes before the one that it has passed; both wait */
            waits = unit;
            continue;
        }
        enum neap_status status = allowed && room_here ? journal_check_unit(j, unit) : NEAP_FULL;
        if (status == NEAP_OK)
            journal_put_unit(j, g, unit);
        else
            journal_tell(j, unit, status);
    }
    return false;
}

static enum neap_status write_group(struct journal *j, const struct group *g)
{
    struct bytes parts[8];
    if (g->to == g->from)
        return NEAP_OK; /* a file that is full to its end needs no seal */
    uint32_t count = tail_parts(&j->log->tail, g->from, g->to - g->from, parts, COUNT_OF(parts));
    return io_file_write(j->file.file, parts, count, g->from - j->file.base);
}

/* Nothing was refused and nothing is forgotten: the group's offsets are given, so it is written when there is room; or
 * never, where somebody leaves meanwhile. */
static bool try_write(struct journal *j, mono_time now)
{
    enum neap_status status = write_group(j, &j->written);
    j->write_stuck = status == NEAP_FULL && !atomic_load(&j->log->given_up);
    if (j->write_stuck)
        io_timer_set(&j->timer, mono_after(now, FULL_RETRY_NS));
    else if (status != NEAP_OK)
        journal_fail(j, status, "write");
    else
        journal_tell_early(j, &j->written);
    return status == NEAP_OK;
}

/* Where producers wait for writes alone, one write follows another while a sync runs; the next sync covers them all. */
static bool may_add(const struct journal *j)
{
    return j->sync_running && j->written.told && !j->write_stuck && !j->written.seals;
}

static void join(struct group *to, const struct group *g)
{
    struct log_unit **last = &to->first;
    while (*last != NULL)
        last = &(*last)->next_;
    *last = g->first;
    to->to = g->to;
    to->time_ms = g->time_ms;
    to->made = g->made;
    to->holds = g->holds;
    to->entry_count += g->entry_count;
    to->batch_count += g->batch_count;
    to->append_size += g->append_size;
    to->seals = g->seals;
    to->early = to->early || g->early;
    to->told = to->told || g->told;
}

static void add_to_written(struct journal *j, struct group *g, mono_time now)
{
    enum neap_status status = write_group(j, g);
    if (status == NEAP_OK)
        journal_tell_early(j, g);
    join(&j->written, g);
    if (status == NEAP_FULL)
        try_write(j, now); /* all of it once more, now or when there is room */
    else if (status != NEAP_OK)
        journal_fail(j, status, "write");
}

static uint32_t build(struct journal *j, mono_time now)
{
    struct group g;
    group_begin(j, &g, now);
    g.last = &g.first;
    g.seals = collect(j, &g);
    g.holds = j->hold_count;
    if (g.seals && round_up(j->position, ENTRY_BOUND) < j->file.end)
        journal_put_bare(j, &g, ENTRY_FLAG_SEAL);
    if (g.to == g.from && !g.seals)
        return 0;
    journal_pad(j, &g);
    g.used = true;
    j->marked = false;
    if (j->written.used) {
        add_to_written(j, &g, now);
    } else {
        j->written = g;
        try_write(j, now);
    }
    return (uint32_t)g.entry_count;
}

static void begin_sync(struct journal *j)
{
    if ((anything_waits(j) || j->written.early) && !j->written.seals) { /* worth writing beside it */
        j->sync_running = true;
        start_sync(j);
        return;
    }
    enum neap_status status = io_file_sync(j->file.file);
    if (status != NEAP_OK) {
        journal_fail(j, status, "sync");
        return;
    }
    j->synced = j->written;
    j->written = (struct group){ 0 };
    land(j);
}

static void write_mark(struct journal *j, mono_time now)
{
    struct group g;
    if (j->file.end - j->position < ENTRY_HEADER_SIZE)
        return; /* the file is full to its end: whatever comes next carries the mark */
    group_begin(j, &g, now);
    g.last = &g.first;
    journal_put_bare(j, &g, 0);
    journal_pad(j, &g);
    g.used = true;
    j->written = g;
    if (try_write(j, now))
        begin_sync(j);
    j->marked = true;
}

static void timer_fired(struct io_timer *timer, mono_time now)
{
    struct journal *j = timer->ctx;
    CHECK_MAGIC(j, JOURNAL_MAGIC_OBJECT);
    if (j->stopped)
        return;
    if (j->write_stuck) {
        if (try_write(j, now))
            io_agent_wake(&j->agent);
    } else if (!j->marked && !j->syncing.used && !j->written.used && j->file.file != NULL && !anything_waits(j))
        write_mark(j, now);
}

/* ---- the agent ------------------------------------------------------------------------------------------------------------------ */

static void free_closed_clients(struct journal *j)
{
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) {
        struct log_client *client = atomic_load_explicit(&j->log->clients[i], memory_order_relaxed);
        if (client == NULL)
            continue;
        io_mutex_take(j->log->shared.mutex);
        bool closing = client->closing;
        io_mutex_drop(j->log->shared.mutex);
        if (closing)
            log_client_work(client); /* nobody else does: units that were left behind */
        if (closing && client->inflight_count > 0) {
            atomic_store(&j->log->clients_closing, true); /* looked at again */
        } else if (closing) {
            must(ring_count(client->submitted) == 0);
            io_mutex_take(j->log->shared.mutex);
            atomic_store(&j->log->clients[i], NULL);
            io_mutex_drop(j->log->shared.mutex);
            ring_free(&client->submitted);
            ring_free(&client->completed);
            free(client);
        }
    }
}

static uint32_t refuse_all(struct journal *j, enum neap_status status)
{
    uint32_t count = 0;
    for (struct log_unit *unit; (unit = next_unit(j)) != NULL; count++)
        journal_tell(j, unit, status);
    return count;
}

/* No spare to go on in: while the disk is full producers are told so, else the keeper is about to bring one. Where there is one, and
 * only the index of the file before the last still takes its place, nobody is refused for that: it is written in a moment. */
static uint32_t without_file(struct journal *j)
{
    if (switch_file(j))
        return 1;
    io_mutex_take(j->log->shared.mutex);
    bool comes = j->log->shared.open_index + 1 < j->log->shared.file_count && !j->log->shared.index_failed;
    bool full = j->log->shared.full && !comes;
    io_mutex_drop(j->log->shared.mutex);
    keeper_wake(j->log->keeper);
    return full || atomic_load(&j->log->keeper_left) ? refuse_all(j, NEAP_FULL) : 0;
}

static uint32_t journal_work(void *ctx, mono_time now)
{
    struct journal *j = ctx;
    CHECK_MAGIC(j, JOURNAL_MAGIC_OBJECT);
    if (atomic_exchange(&j->log->clients_closing, false))
        free_closed_clients(j);
    if (!j->stopped && atomic_load(&j->log->keeper_failed))
        journal_fail(j, NEAP_IO, "housekeeping for"); /* why is known already */
    if (j->stopped)
        return refuse_all(j, NEAP_CLOSED);
    uint32_t work = 0;
    if (j->file.file == NULL && !j->syncing.used && !j->written.used)
        work += without_file(j);
    if (j->file.file != NULL && (!j->written.used || may_add(j)) && !j->syncing.seals)
        work += build(j, now);
    if (j->written.used && !j->write_stuck && !j->sync_running) {
        begin_sync(j);
        work++;
    }
    if (!j->stopped && !j->marked && !j->write_stuck && !j->sync_running)
        io_timer_set(&j->timer, mono_after(now, j->log->options.idle_mark_ns));
    return work;
}

struct journal *journal_new(struct log *log, uint64_t position, uint64_t boot, int64_t time_ms)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return NULL;
    j->magic = JOURNAL_MAGIC_OBJECT;
    j->log = log;
    j->agent = (struct io_agent){ .name = "journal", .work = journal_work, .ctx = j };
    j->timer = (struct io_timer){ .agent = &j->agent, .fire = timer_fired, .ctx = j };
    j->early_room = malloc(EARLY_ROOM_SIZE);
    if (j->early_room == NULL) {
        free(j);
        return NULL;
    }
    take_file(j, open_file(&log->shared));
    must(position >= j->file.base + JOURNAL_HEADER_SIZE && position <= j->file.end);
    j->position = j->durable = position;
    j->boot = boot;
    j->time_ms = time_ms;
    j->time_at = io_now(log->io);
    j->index_count = index_in_memory(&log->shared, j->file.sequence)->count;
    return j;
}

void journal_free(struct journal **journal)
{
    struct journal *j = *journal;
    if (j == NULL)
        return;
    refuse_all(j, NEAP_CLOSED);
    journal_leave(j);
    free_closed_clients(j);
    j->magic = 0;
    free(j->early_room);
    free(j);
    *journal = NULL;
}

static enum neap_status land_boot_group(struct journal *j, struct group *g, struct error *err)
{
    journal_pad(j, g);
    enum neap_status status = write_group(j, g);
    if (status == NEAP_OK)
        status = io_file_sync(j->file.file);
    if (status != NEAP_OK)
        return error_set(err, status, "first entry of boot %llu in %s: %s", (unsigned long long)j->boot,
                         io_file_path(j->file.file), status_text(status));
    journal_make_visible(j, g);
    return NEAP_OK;
}

/* The crash left too little room for a first entry: end the file properly and begin in the next. */
static enum neap_status seal_at_boot(struct journal *j, struct error *err)
{
    struct group g;
    group_begin(j, &g, io_now(j->log->io));
    if (j->position < j->file.end)
        journal_put_bare(j, &g, ENTRY_FLAG_SEAL);
    enum neap_status status = land_boot_group(j, &g, err);
    if (status != NEAP_OK)
        return status;
    seal(j, g.to);
    bool switched = switch_file(j);
    must(switched); /* recovery has made a spare */
    return NEAP_OK;
}

enum neap_status journal_boot(struct journal *j, struct error *err)
{
    static const char version[] = VERSION_TEXT;
    uint64_t body = op_size(0, sizeof(version) - 1);
    struct group g;
    if (j->file.end - j->position < round_up(ENTRY_HEADER_SIZE + body, ENTRY_BOUND)) {
        enum neap_status status = seal_at_boot(j, err);
        if (status != NEAP_OK)
            return status;
    }
    group_begin(j, &g, io_now(j->log->io));
    journal_put_boot(j, &g, (struct bytes){ (const uint8_t *)version, sizeof(version) - 1 });
    return land_boot_group(j, &g, err);
}

enum neap_status journal_start(struct journal *j, struct error *err)
{
    return io_agent_start(j->log->io, &j->agent, err);
}

/* An agent on the closing thread, for as long as it waits. A journal that failed while a sync ran has told its units, and
 * nobody else knows that the sync goes on. */
struct closer {
    struct io_agent agent;
    struct journal *journal;
};

static uint32_t closer_work(void *ctx, mono_time now)
{
    struct closer *closer = ctx;
    struct journal *j = closer->journal;
    (void)now;
    io_mutex_take(j->log->shared.mutex);
    bool running = j->sync_running || j->owes;
    j->closer = running ? &closer->agent : NULL; /* whoever wakes it holds the mutex: nobody does after this */
    io_mutex_drop(j->log->shared.mutex);
    if (!running)
        io_agent_leave(&closer->agent);
    return 0;
}

void journal_stop(struct journal *j)
{
    if (j->sync_running || j->owes) {
        struct closer closer = { .journal = j };
        closer.agent = (struct io_agent){ .name = "journal closer", .work = closer_work, .ctx = &closer };
        enum neap_status status = io_agent_run(j->log->io, &closer.agent, MONO_NEVER, NULL);
        must(status == NEAP_OK);
        io_agent_stop(&closer.agent);
    }
    io_agent_stop(&j->agent);
}

void journal_wake(struct journal *j)
{
    io_agent_wake(&j->agent);
}
