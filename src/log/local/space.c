#include "log/local/space.h"
#include "log/local/archive.h"
#include "log/local/views.h"

#define PIPELINE_PERCENT 8u
#define HOUSE_PERCENT    2u

/* Ready files that stay for those of higher rank, when one of this rank has taken one. */
static uint32_t kept_for_higher(const struct log *log, enum log_rank rank)
{
    uint64_t count = log->options.disk_size / log->options.file_size;
    uint32_t house = count >= 12 ? 2 : 1, pipelines = count >= 8 ? 1 : 0;
    switch (rank) {
    case LOG_RANK_PRODUCER:
        return house + pipelines;
    case LOG_RANK_PIPELINE:
        return house;
    case LOG_RANK_HOUSE:
        break;
    }
    return 0;
}

uint64_t space_reserve(const struct log *log, enum log_rank rank)
{
    uint64_t percent = log->options.disk_size / 100;
    return rank == LOG_RANK_HOUSE      ? percent * HOUSE_PERCENT
           : rank == LOG_RANK_PIPELINE ? percent * PIPELINE_PERCENT
                                       : 0;
}

uint32_t space_ready_count(const struct log *log)
{
    return kept_for_higher(log, LOG_RANK_PRODUCER) + 2; /* one to switch into, one in the making */
}

static uint32_t ready_count(const struct log *log)
{
    return log->shared.file_count - log->shared.open_index - 1;
}

bool space_may_switch(const struct log *log, enum log_rank rank)
{
    return ready_count(log) > kept_for_higher(log, rank);
}

uint64_t space_left_size(const struct log *log)
{
    const struct shared *s = &log->shared;
    uint64_t used = used_size(s);
    for (uint32_t i = s->open_index + 1; i < s->file_count; i++)
        used -= s->files[i].size;
    for (uint32_t i = 0; i < s->open_index; i++)
        used -= s->files[i].dead ? s->files[i].size : 0;
    return used < log->options.disk_size ? log->options.disk_size - used : 0;
}

/* Of topics that are not compacted: those are cleaned by what they say themselves. */
static uint64_t kept_size(const struct views *v)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < v->topic_count; i++) {
        const struct topic *t = v->by_name[i];
        for (uint32_t n = 0; t->settings.cleanup != LOG_CLEANUP_COMPACT && n < t->partition_count; n++) {
            const struct partition *p = topic_partition(t, n);
            size += p->size + p->batch_count * OP_HEADER_SIZE;
        }
    }
    return size;
}

static uint64_t taken_size(const struct shared *s)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < s->open_index; i++)
        size += s->files[i].dead || archives_drained(&s->views.archives, s->files[i].sequence) ? 0 : s->files[i].size;
    for (uint32_t i = 0; i < s->views.archives.count; i++) {
        const struct archive *a = s->views.archives.list[i];
        const struct topic *t = views_topic(&s->views, a->topic_id);
        size += t != NULL && t->settings.cleanup == LOG_CLEANUP_COMPACT ? 0 : a->facts.size;
    }
    return size;
}

bool space_is_wanted(const struct log *log, bool already)
{
    const struct shared *s = &log->shared;
    if (s->full || space_left_size(log) < log->options.disk_size / 4)
        return true;
    uint64_t kept = kept_size(&s->views), spread = already ? kept / 2 : kept / 4 * 3;
    return taken_size(s) > kept + spread + 2ull * log->options.file_size;
}

/* Pipelines are not refused for it: what they commit is what gives space back, above all where `disk` has been set below what is
 * used. Their bound are the ready files. */
static enum log_rank rank_by_budget(const struct log *log)
{
    uint64_t reserve = space_reserve(log, LOG_RANK_HOUSE) + space_reserve(log, LOG_RANK_PIPELINE);
    return space_left_size(log) >= reserve ? LOG_RANK_PRODUCER : LOG_RANK_PIPELINE;
}

/* No more can be made: producers have come to the end when they could not switch into the next file. Pipelines write the open one
 * to its end, which may be the very one that they have switched into. */
static enum log_rank rank_by_files(const struct log *log)
{
    if (!log->shared.full || space_may_switch(log, LOG_RANK_PRODUCER))
        return LOG_RANK_PRODUCER;
    return ready_count(log) >= kept_for_higher(log, LOG_RANK_PIPELINE) ? LOG_RANK_PIPELINE : LOG_RANK_HOUSE;
}

void space_update(struct log *log)
{
    bool waiting = log->shared.cleaning || log->shared.recycle_due;
    enum log_rank by_budget = waiting ? LOG_RANK_PRODUCER : rank_by_budget(log), by_files = rank_by_files(log);
    atomic_store(&log->shared.rank_min, (uint32_t)(by_budget > by_files ? by_budget : by_files));
}
