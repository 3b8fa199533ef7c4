#include "log/local/sealed.h"
#include "log/local/index.h"
#include "log/local/journal.h"

/* ---- index files ------------------------------------------------------------------------------------------------------- */

uint64_t sealed_index(const struct log *log)
{
    const struct shared *s = &log->shared;
    uint64_t sequence = 0;
    io_mutex_take(s->mutex);
    for (int i = 0; i < 2; i++)
        if (s->indexes[i].sealed && (sequence == 0 || s->indexes[i].sequence < sequence))
            sequence = s->indexes[i].sequence;
    io_mutex_drop(s->mutex);
    return sequence;
}

static enum neap_status write_index(struct log *log, uint64_t sequence, struct error *err)
{
    struct shared *s = &log->shared;
    struct io_file *index;
    enum neap_status status = index_write(log, sequence, NULL, err);
    if (status == NEAP_OK)
        status = index_open(log, sequence, &index, err);
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

enum neap_status sealed_index_write(struct log *log, uint64_t sequence, struct error *err)
{
    struct shared *s = &log->shared;
    enum neap_status status = write_index(log, sequence, err);
    io_mutex_take(s->mutex);
    s->index_failed = status != NEAP_OK;
    io_mutex_drop(s->mutex);
    journal_wake(log->journal); /* its place in memory is free for the next file's; or nobody waits for that any more */
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
bool sealed_snapshot_due(struct log *log)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    bool refused = atomic_load_explicit(&s->rank_min, memory_order_relaxed) > LOG_RANK_PRODUCER;
    bool due = s->clock_unsaved || s->durable - s->snapshot_position[0] >= log->options.snapshot_size ||
               (refused && snapshots_hold_files(s));
    io_mutex_drop(s->mutex);
    return due;
}

bool sealed_files_wait(struct log *log)
{
    io_mutex_take(log->shared.mutex);
    bool hold = snapshots_hold_files(&log->shared);
    io_mutex_drop(log->shared.mutex);
    return hold;
}
