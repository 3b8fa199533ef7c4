/* rewrite.h - copies the living batches of a journal file, or of some archives, into new archives.
 *
 * Several archives become one, or, in a compaction, as many as are needed: each of what comes out stands for some neighbours of what
 * goes in. All are written side by side, one partition after the other, so that however much there is, it is read twice: once
 * to learn which records are the newest, and once to copy them.
 *
 * owner    the keeper
 * memory   what its sources, its outputs and the compaction take; 32 bytes for each partition that a compaction took from
 * limits   DRAIN_TOPIC_COUNT_MAX topics of a journal file; some REWRITE_STEP_SIZE bytes a step
 * errors   CORRUPT: damage in a source, which stays as it is; FULL, IO, TOOLARGE, NOMEM; after any of them nothing is left
 * promise  what is alive (its topic is there, it ends after its partition's start, not all of it was declared lost) is in what
 *          comes out, in order, and byte for byte, compaction aside; nothing else is */
#ifndef LOG_LOCAL_REWRITE_H
#define LOG_LOCAL_REWRITE_H

#include "log/local/compaction.h"
#include "log/local/outputs.h"
#include "log/local/sources.h"

#define REWRITE_STEP_SIZE (1u << 20)

struct rewrite;

/* What is to be done; the rewrite copies the lists. Sources are pinned by the caller until rewrite_free(). facts: sequences and
 * flags of each of the outputs; numbers and salts are given here. compaction: NULL, or what decides of the one topic of all
 * sources; the rewrite takes it, also where it answers NULL. */
struct rewrite_plan {
    const struct rewrite_source *sources;
    const struct archive_facts *facts;
    uint32_t source_count, kept_count, output_count; /* the first kept_count are rewritten */
    uint64_t size; /* of those, at least about */
    struct compaction *compaction;
};
struct rewrite *rewrite_new(struct log *log, const struct rewrite_plan *plan);
void rewrite_free(struct rewrite **rewrite); /* archives that were not taken are unlinked */
/* AGAIN: there is more to do. OK: all is written, synced and named. */
enum neap_status rewrite_step(struct rewrite *rewrite, struct error *err);

/* After CORRUPT: the number of the source that is damaged; REWRITE_NOBODY: that is not known. */
uint32_t rewrite_bad(const struct rewrite *rewrite);

/* After OK: an archive per topic, or per output, that had anything alive. */
uint32_t rewrite_result(const struct rewrite *rewrite, const struct rewritten **ret_list);
/* After OK, of a compaction: what was taken from which partitions. */
uint32_t rewrite_shrunk(const struct rewrite *rewrite, const struct shrunk **ret_list);
void rewrite_taken(struct rewrite *rewrite); /* they belong to the views: rewrite_free() leaves them */

#endif
