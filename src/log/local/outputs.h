/* outputs.h - the archives that come out of a rewrite, written side by side.
 *
 * In a compaction, batches that are left side by side go through a gather (gather.h) before they are written.
 *
 * owner    a rewrite
 * memory   what the archives' writers take, together about what one takes alone; a gather
 * limits   DRAIN_TOPIC_COUNT_MAX topics of one output; more are TOOLARGE
 * errors   FULL, IO, TOOLARGE, NOMEM, CORRUPT; after any of them nothing is left
 * promise  what was put is in the archives in that order; where what came before it was taken, its row says that that was there */
#ifndef LOG_LOCAL_OUTPUTS_H
#define LOG_LOCAL_OUTPUTS_H

#include "log/local/archive.h"

struct rewritten {
    uint32_t topic_id;
    struct archive_facts facts;
};

struct outputs;

/* facts: sequences and flags of each; numbers and salts are given here. gathered_size: of the batches that a gather makes; 0: none
 * does. NULL: no memory. */
struct outputs *outputs_new(struct log *log, const struct archive_facts *facts, uint32_t count, uint32_t gathered_size);
void outputs_free(struct outputs **outputs); /* archives that were not taken are unlinked */

void outputs_begin(struct outputs *o, uint64_t first); /* another partition, of which what came in begins there */
/* How a batch is put: as it is; together with others, but not with what was put before it; or with that, too. */
enum outputs_way { OUTPUTS_ALONE, OUTPUTS_APART, OUTPUTS_TOGETHER };
enum neap_status outputs_put(struct outputs *o, uint32_t output, const struct op *op, enum outputs_way way,
                             struct error *err);
/* What the partition has got: all that was put of it is written. */
struct outputs_sum {
    uint32_t batch_count;
    uint64_t size;
};
enum neap_status outputs_sum(struct outputs *o, struct outputs_sum *ret_sum, struct error *err);
enum neap_status outputs_end(struct outputs *o, struct error *err); /* all is written, synced and named */

/* After that: an archive per topic, or per output, that had anything alive. */
uint32_t outputs_result(const struct outputs *o, const struct rewritten **ret_list);
void outputs_taken(struct outputs *o); /* they belong to the views: outputs_free() leaves them */

/* What is wrong where a batch does not come apart, and what to do about it. */
enum neap_status outputs_does_not_come_apart(enum neap_status status, struct log_partition partition, uint64_t offset,
                                             struct error *err);

#endif
