#include "log/local/keeper.h"
#include "log/local/cleaner.h"
#include "log/local/index.h"
#include "log/local/journal.h"
#include "log/local/retention.h"
#include "log/local/scars.h"
#include "log/local/scrub.h"
#include "log/local/snapshot.h"
#include "log/local/space.h"
#include "log/local/views.h"
#include <stdlib.h>

#define KEEPER_MAGIC        0x6b656570u
#define FILL_SIZE           (1u << 20)
#define RETRY_NS            (500 * NS_PER_MS)
#define RETRY_COUNT         3u
#define DEAD_FILE_COUNT_MAX 16u /* kept for the next spares: a sync in a file written before is twice as fast */
#define SPARE_NAME          "spare-" JOURNAL_NAME

struct keeper {
    uint32_t magic;
    struct log *log;
    struct io_agent agent;
    struct io_timer timer;    /* tries again after a full disk */
    struct {                  /* the spare under construction */
        struct io_file *file; /* NULL: none */
        struct file_header header;
        uint64_t filled;
        char path[PATH_SIZE_MAX];
    } spare;
    struct scrub scrub;
    uint8_t *zeros;
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

/* ---- spares ---------------------------------------------------------------------------------------------------------- */

static void drop_spare(struct keeper *k)
{
    if (k->spare.file == NULL)
        return;
    io_file_close(&k->spare.file);
    io_unlink(k->log->io, k->spare.path, NULL);
}

/* The header of the file that follows the last one; FULL where the budget ends. The last file's room of the budget is for a
 * start that finds no room for its first entry (`urgent`): a full log can always be opened. */
static enum neap_status next_header(struct keeper *k, uint64_t recycled_size, bool urgent,
                                    struct file_header *ret_header, struct error *err)
{
    struct log *log = k->log;
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    const struct journal_file *last = s->file_count > 0 ? &s->files[s->file_count - 1] : NULL;
    struct file_header h = { .log_id = log->id,
                             .sequence = last == NULL ? 1 : last->sequence + 1,
                             .base = last == NULL ? 0 : last->base + last->size };
    uint64_t used = used_size(s);
    bool no_slot = s->file_count == JOURNAL_FILE_MAX;
    io_mutex_drop(s->mutex);
    h.size = recycled_size != 0 ? recycled_size : journal_file_size(log, h.sequence);
    h.salt = io_random(log->io);
    if (no_slot)
        return error_set(err, NEAP_FULL,
                         "the journal has as many files as it can have, %u, and none of them is dead: it holds no more "
                         "whatever the disk",
                         JOURNAL_FILE_MAX);
    if ((recycled_size == 0 && !urgent && used + 2 * h.size > log->options.disk_size))
        return error_set(err, NEAP_FULL, "%llu of %llu bytes of disk are used", (unsigned long long)used,
                         (unsigned long long)log->options.disk_size);
    *ret_header = h;
    return NEAP_OK;
}

static enum neap_status begin_spare(struct keeper *k, bool urgent, struct error *err)
{
    struct log *log = k->log;
    enum neap_status status = next_header(k, 0, urgent, &k->spare.header, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, k->spare.path, JOURNAL_FOLDER, SPARE_NAME, (unsigned long long)k->spare.header.sequence);
    status = io_file_open(log->io, k->spare.path, IO_READ | IO_WRITE | IO_CREATE, &k->spare.file, err);
    if (status != NEAP_OK)
        return error_while(err, "make a journal file");
    k->spare.filled = 0;
    status = io_file_truncate(k->spare.file, 0);
    if (status == NEAP_OK)
        status = io_file_allocate(k->spare.file, k->spare.header.size);
    if (status != NEAP_OK)
        error_set(err, status, "make %s: %s", k->spare.path, status_text(status));
    return status;
}

static uint32_t fill_size(const struct log *log) /* at a time; no file is larger than options.file_size */
{
    return log->options.file_size < FILL_SIZE ? log->options.file_size : FILL_SIZE;
}

/* Written through once, so that no later sync changes metadata. */
static enum neap_status fill_spare(struct keeper *k, struct error *err)
{
    uint64_t left = k->spare.header.size - k->spare.filled;
    uint64_t step = fill_size(k->log);
    struct bytes part = { k->zeros, left < step ? left : step };
    enum neap_status status = io_file_write(k->spare.file, &part, 1, k->spare.filled);
    if (status != NEAP_OK)
        return error_set(err, status, "write through %s: %s", k->spare.path, status_text(status));
    k->spare.filled += part.size;
    return NEAP_OK;
}

/* Header, sync, name, directory: in this order it becomes a spare (rule K1). */
static enum neap_status name_spare(struct keeper *k, struct error *err)
{
    struct log *log = k->log;
    struct shared *s = &log->shared;
    char path[PATH_SIZE_MAX], folder[PATH_SIZE_MAX];
    enum neap_status status = journal_file_prepare(log, k->spare.file, &k->spare.header, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)k->spare.header.sequence);
    status = io_rename(log->io, k->spare.path, path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log_path(log, folder, JOURNAL_FOLDER, "%s", ""), err);
    if (status != NEAP_OK)
        return status;
    struct io_file *file =
        NULL; /* opened anew, so that messages say its name; it has that name now, whether that works or not */
    if (io_file_open(log->io, path, IO_READ | IO_WRITE, &file, NULL) == NEAP_OK)
        io_file_close(&k->spare.file);
    else
        file = k->spare.file;
    k->spare.file = NULL;
    io_mutex_take(s->mutex);
    must(s->file_count < JOURNAL_FILE_MAX);
    s->files[s->file_count++] = (struct journal_file){ .sequence = k->spare.header.sequence,
                                                       .base = k->spare.header.base,
                                                       .size = k->spare.header.size,
                                                       .salt = k->spare.header.salt,
                                                       .file = file };
    k->failed_count = 0;
    s->full = false;
    space_update(log);
    io_mutex_drop(s->mutex);
    k->waiting = false;
    if (log->journal != NULL)
        journal_wake(log->journal);
    return NEAP_OK;
}

enum neap_status keeper_make_spare(struct keeper *k, struct error *err)
{
    enum neap_status status = begin_spare(k, true, err);
    while (status == NEAP_OK && k->spare.filled < k->spare.header.size)
        status = fill_spare(k, err);
    if (status == NEAP_OK)
        status = name_spare(k, err);
    if (status != NEAP_OK)
        drop_spare(k);
    return status;
}

static bool spare_due(struct keeper *k)
{
    struct shared *s = &k->log->shared;
    io_mutex_take(s->mutex);
    bool due = s->file_count - s->open_index - 1 < space_ready_count(k->log);
    io_mutex_drop(s->mutex);
    return due;
}

static enum neap_status spare_step(struct keeper *k, struct error *err)
{
    enum neap_status status;
    if (k->spare.file == NULL)
        status = begin_spare(k, false, err);
    else if (k->spare.filled < k->spare.header.size)
        status = fill_spare(k, err);
    else
        status = name_spare(k, err);
    if (status != NEAP_OK)
        drop_spare(k);
    return status;
}

/* ---- index files ------------------------------------------------------------------------------------------------------- */

static uint64_t sealed_index(struct shared *s)
{
    uint64_t sequence = 0;
    io_mutex_take(s->mutex);
    for (int i = 0; i < 2; i++)
        if (s->indexes[i].sealed && (sequence == 0 || s->indexes[i].sequence < sequence))
            sequence = s->indexes[i].sequence;
    io_mutex_drop(s->mutex);
    return sequence;
}

static enum neap_status write_index(struct keeper *k, uint64_t sequence, struct error *err)
{
    struct shared *s = &k->log->shared;
    struct io_file *index;
    enum neap_status status = index_write(k->log, sequence, NULL, err);
    if (status == NEAP_OK)
        status = index_open(k->log, sequence, &index, err);
    if (status != NEAP_OK)
        return status;
    io_mutex_take(s->mutex);
    struct journal_file *file = file_by_sequence(s, sequence);
    must(file != NULL); /* nobody but us gives files back */
    file->index = index;
    file->index_ready = true;
    index_in_memory(s, sequence)->sequence = 0; /* from now on the file answers */
    s->indexes[sequence & 1].sealed = false;
    io_mutex_drop(s->mutex);
    return NEAP_OK;
}

static enum neap_status index_step(struct keeper *k, uint64_t sequence, struct error *err)
{
    struct shared *s = &k->log->shared;
    enum neap_status status = write_index(k, sequence, err);
    io_mutex_take(s->mutex);
    s->index_failed = status != NEAP_OK;
    io_mutex_drop(s->mutex);
    journal_wake(
        k->log->journal); /* its place in memory is free for the next file's; or nobody waits for that any more */
    return status;
}

/* ---- recycling (rule K2): the cleaner says which files are dead ---------------------------------------------------------- */

static uint32_t count_dead(const struct shared *s) /* under the mutex */
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->open_index; i++)
        count += s->files[i].dead;
    return count;
}

/* Takes the oldest dead file that nobody reads out of the log's sight, where there are more than so many. */
static bool take_dead(struct keeper *k, uint32_t more_than, struct journal_file *ret_file)
{
    struct shared *s = &k->log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < s->open_index && !found && count_dead(s) > more_than; i++) {
        struct journal_file *f = &s->files[i];
        if (!f->dead || f->pin_count > 0)
            continue;
        *ret_file = *f;
        archives_forget_drained(&s->views.archives, f->sequence);
        memmove(f, f + 1, (s->file_count - i - 1) * sizeof(*f));
        s->file_count--;
        s->open_index--;
        s->change_count++;
        found = true;
    }
    space_update(k->log);
    io_mutex_drop(s->mutex);
    return found;
}

/* It is out of the log's sight; on disk too, first; then a new header with a new salt; then the name of the next spare. */
static enum neap_status recycle_step(struct keeper *k, struct journal_file *dead, struct error *err)
{
    struct log *log = k->log;
    char from[PATH_SIZE_MAX], folder[PATH_SIZE_MAX];
    io_file_close(&dead->index);
    io_file_close(&dead->file);
    enum neap_status status = next_header(k, dead->size, false, &k->spare.header, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, from, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)dead->sequence);
    log_path(log, k->spare.path, JOURNAL_FOLDER, SPARE_NAME, (unsigned long long)k->spare.header.sequence);
    status = io_rename(log->io, from, k->spare.path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log_path(log, folder, JOURNAL_FOLDER, "%s", ""), err);
    if (status == NEAP_OK)
        status = io_file_open(log->io, k->spare.path, IO_READ | IO_WRITE, &k->spare.file, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, from, INDEX_FOLDER, INDEX_NAME, (unsigned long long)dead->sequence);
    io_unlink(log->io, from, NULL); /* one left behind names a file that is gone: recovery drops it */
    if (dead->scarred)
        scars_unlink(log, dead->sequence);
    k->spare.filled = k->spare.header.size;
    return name_spare(k, err);
}

static enum neap_status unlink_dead(struct keeper *k, struct journal_file *dead, struct error *err)
{
    struct log *log = k->log;
    char path[PATH_SIZE_MAX];
    io_file_close(&dead->index);
    io_file_close(&dead->file);
    log_path(log, path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)dead->sequence);
    io_unlink(log->io, path, NULL);
    if (dead->scarred)
        scars_unlink(log, dead->sequence);
    enum neap_status status =
        io_unlink(log->io, log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)dead->sequence), err);
    if (status == NEAP_OK) /* before its blocks hold anything else: a power cut could bring the name back */
        status = io_dir_sync(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), err);
    return status;
}

/* ---- snapshots ----------------------------------------------------------------------------------------------------------- */

/* A sealed file that the older snapshot has not passed cannot be given back: two snapshots more, and it can. */
static bool snapshots_hold_files(const struct shared *s) /* under the mutex */
{
    const struct journal_file *newest = s->open_index > 0 ? &s->files[s->open_index - 1] : NULL;
    return newest != NULL && newest->index_ready &&
           newest->base + newest->size > s->snapshot_position[SNAPSHOT_KEEP - 1] &&
           newest->base + newest->size <= s->durable; /* else the next entry comes first */
}

/* Where producers are refused little is written, and files that have died meanwhile would wait for a snapshot for ever. */
static bool snapshot_due(struct keeper *k)
{
    struct shared *s = &k->log->shared;
    io_mutex_take(s->mutex);
    bool refused = atomic_load_explicit(&s->rank_min, memory_order_relaxed) > LOG_RANK_PRODUCER;
    bool due = s->clock_unsaved || s->durable - s->snapshot_position[0] >= k->log->options.snapshot_size ||
               (refused && snapshots_hold_files(s));
    io_mutex_drop(s->mutex);
    return due;
}

/* ---- the agent ------------------------------------------------------------------------------------------------------------- */

static bool log_failed(struct shared *s)
{
    io_mutex_take(s->mutex);
    bool failed = s->failed != NEAP_OK;
    io_mutex_drop(s->mutex);
    return failed;
}

/* A dead file becomes the next spare where one is wanted. */
static bool recycle(struct keeper *k, struct error *err)
{
    struct journal_file dead;
    if (k->spare.file != NULL || !take_dead(k, 0, &dead))
        return false;
    recycle_step(k, &dead, err);
    return true;
}

/* Those that are more than the next spares will want give their room back. */
static bool release(struct keeper *k, struct error *err)
{
    struct shared *s = &k->log->shared;
    struct journal_file dead;
    io_mutex_take(s->mutex);
    bool over = used_size(s) + k->log->options.file_size > k->log->options.disk_size;
    io_mutex_drop(s->mutex);
    if (k->spare.file != NULL || !take_dead(k, over ? 0 : DEAD_FILE_COUNT_MAX, &dead))
        return false;
    unlink_dead(k, &dead, err);
    return true;
}

/* An archive, an index or a snapshot found no room: the last ready file gives it its own, and it is tried again. The name is gone
 * for good before the one before it may go: no crash leaves a hole between them. False: there is none to give. */
static bool make_way(struct keeper *k, struct error *err)
{
    struct log *log = k->log;
    struct shared *s = &log->shared;
    struct journal_file last = { 0 };
    drop_spare(k); /* the one in the making would follow the one that goes */
    io_mutex_take(s->mutex);
    if (s->file_count > s->open_index + 2) /* one stays for the journal */
        last = s->files[--s->file_count];
    io_mutex_drop(s->mutex);
    if (last.file == NULL)
        return false;
    char path[PATH_SIZE_MAX];
    io_file_close(&last.file);
    log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)last.sequence);
    if (!k->made_way)
        logging_warn(log->logging, "the disk is full: housekeeping takes the room of a ready journal file");
    if (io_unlink(log->io, path, err) == NEAP_OK)
        io_dir_sync(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), err);
    return true;
}

/* The reserve lies in ready journal files; what else must be written now takes its room from them. */
static void give_way(struct keeper *k, enum neap_status status, struct error *err)
{
    struct error why = { 0 };
    if (status == NEAP_FULL && make_way(k, &why) && why.status != NEAP_OK)
        *err = why;
}

static bool clean(struct keeper *k, mono_time now, struct error *err)
{
    if (spare_due(k))
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

static void ticked(struct io_timer *timer, mono_time now)
{
    struct keeper *k = timer->ctx;
    CHECK_MAGIC(k, KEEPER_MAGIC);
    (void)log_look(k->log, NULL); /* whoever uses the log may never ask */
    io_agent_wake(&k->agent);
    io_timer_set(&k->tick, mono_after(now, k->log->options.clean_ns));
}

/* It has handed something to the journal, and the journal may need the very file that there is no room for. */
static bool is_stuck(struct keeper *k, mono_time now)
{
    if (k->stuck_since.ns == 0)
        k->stuck_since = now;
    io_timer_set(&k->timer, mono_after(now, RETRY_NS));
    return now.ns - k->stuck_since.ns >= RETRY_NS;
}

static bool waits_for_snapshots(struct keeper *k)
{
    io_mutex_take(k->log->shared.mutex);
    bool hold = snapshots_hold_files(&k->log->shared);
    io_mutex_drop(k->log->shared.mutex);
    return hold;
}

/* Where there is no room for one, what may have died meanwhile is looked for before the disk is called full. */
static bool make_spare(struct keeper *k, mono_time now, struct error *err)
{
    struct error full = { 0 };
    if (spare_step(k, &full) != NEAP_FULL) {
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
    } else if (waits_for_snapshots(k)) {
        snapshot_write(k->log, err);
        return true;
    }
    *err = full;
    return true;
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
    uint64_t sequence = sealed_index(&k->log->shared);
    bool worked = true;
    if (sequence != 0 &&
        (!k->waiting || !k->log->shared.index_failed)) /* whatever else has to wait: the journal waits for it */
        give_way(k, index_step(k, sequence, &err), &err);
    else if (snapshot_due(k) && !k->waiting)
        give_way(k, snapshot_write(k->log, &err), &err);
    else if (spare_due(k) && recycle(k, &err))
        ;
    else if (k->made_way && !k->waiting && !cleaner_waits(k->cleaner))
        worked = clean(k, now, &err);
    else if (!k->waiting && spare_due(k))
        worked = make_spare(k, now, &err);
    else if (!release(k, &err))
        worked = retention_step(&k->retention, k->client, now) || (!k->waiting && clean(k, now, &err));
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
    k->zeros = calloc(1, fill_size(log));
    clock_init(&k->clock, log);
    k->cleaner = cleaner_new(log, &k->clock);
    retention_init(&k->retention, log, &k->clock);
    if (k->zeros == NULL || k->cleaner == NULL)
        keeper_free(&k);
    return k;
}

void keeper_free(struct keeper **keeper)
{
    struct keeper *k = *keeper;
    if (k == NULL)
        return;
    drop_spare(k);
    scrub_fini(&k->scrub);
    cleaner_free(&k->cleaner);
    free(k->zeros);
    k->magic = 0;
    free(k);
    *keeper = NULL;
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
