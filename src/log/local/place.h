/* place.h - where the next batches of a partition lie: in a journal file (its index in memory or on disk), or in an archive.
 *
 * owner    whoever walks: a reader, retention, a question about time
 * memory   its struct
 * limits   PLACE_COUNT_MAX batches at a time
 * errors   AGAIN: nothing durable there yet; NOTFOUND: the topic is gone; CORRUPT: no index knows it; IO
 * promise  the file they lie in is pinned while there are any: it is neither recycled nor unlinked */
#ifndef LOG_LOCAL_PLACE_H
#define LOG_LOCAL_PLACE_H

#include "log/local/index.h"

#define PLACE_COUNT_MAX 64u

struct places {
    struct log *log;
    struct log_partition partition;
    uint64_t next;                             /* offset: the first place holds it, or (compacted) is the first after it */
    struct index_entry list[PLACE_COUNT_MAX];
    uint32_t count, at;                        /* those not taken yet: [at, count) */
    struct io_file *file;                      /* they lie in */
    uint64_t base, salt;                       /* of it: `list[i].at` counts from base */
    uint64_t sequence;                         /* of the journal file that is pinned; 0: none */
    struct archive *archive;                   /* that is pinned; NULL: none */
    uint32_t archive_at;                       /* among the topic's, where the last place was */
    uint32_t memory_slot;                      /* in the index in memory: the last place's slot; INDEX_NONE */
    uint64_t memory_sequence;
};

void places_init(struct places *p, struct log *log, struct log_partition partition, uint64_t next);
void places_seek(struct places *p, uint64_t next);
void places_release(struct places *p); /* the pin, and what was found */
/* Finds the next ones: at least one on OK. `next` moves to the partition's start where it lies before it. */
enum neap_status places_find(struct places *p, struct error *err);
static inline uint64_t place_position(const struct places *p, const struct index_entry *e)
{
    return p->base + e->at;
}
/* CORRUPT, with what is wrong, where; noted as damage (damage.h). */
enum neap_status place_damaged(const struct places *p, uint64_t position, const char *what, struct error *err);

#endif
