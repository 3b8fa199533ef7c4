/* rewrite.h - copies the living batches of a journal file, or of some archives, into new archives.
 *
 * owner    the keeper
 * memory   a cursor per source, one operation, what the archive's writer takes
 * limits   REWRITE_SOURCE_MAX sources, DRAIN_TOPIC_COUNT_MAX topics; some REWRITE_STEP_SIZE bytes a step
 * errors   CORRUPT: damage in a source, which stays as it is; FULL, IO, TOOLARGE, NOMEM; after any of them nothing is left
 * promise  what is alive (its topic is there, it ends after its partition's start) is in what comes out, byte for byte and in
 *          order; compaction aside, nothing else is */
#ifndef LOG_LOCAL_REWRITE_H
#define LOG_LOCAL_REWRITE_H

#include "log/local/archive.h"
#include "log/local/compaction.h"

#define REWRITE_SOURCE_MAX 64u
#define REWRITE_STEP_SIZE  (1u << 20)

/* A journal file, or an archive: pinned by the caller until rewrite_fini(). */
struct rewrite_source {
    struct index_file index;
    struct io_file *file;
    uint64_t base, salt;
};

struct rewrite;

/* compaction: NULL, or what decides of the one topic of all sources; the rewrite takes it.
 * `facts`: sequences and flags of what comes out; numbers and salts are given here. */
struct rewrite *rewrite_new(struct log *log, const struct rewrite_source *sources, uint32_t count,
                            const struct archive_facts *facts, uint32_t entry_count_max, struct compaction *compaction);
void rewrite_free(struct rewrite **rewrite); /* archives that were not taken are unlinked */
/* AGAIN: there is more to do. OK: all is written, synced and named. */
enum neap_status rewrite_step(struct rewrite *rewrite, struct error *err);

struct rewritten {
    uint32_t topic_id;
    struct archive_facts facts;
};
/* After OK: an archive per topic that had anything alive. */
uint32_t rewrite_result(const struct rewrite *rewrite, const struct rewritten **ret_list);
/* After OK, of a compaction: what was taken from which partitions. */
uint32_t rewrite_shrunk(const struct rewrite *rewrite, const struct shrunk **ret_list);
void rewrite_taken(struct rewrite *rewrite); /* they belong to the views: rewrite_free() leaves them */

#endif
