/* compaction.h - which records of a partition are the newest of their key, found with a bounded table.
 *
 * Records are told apart by where they come in the walk, not by their offsets: those of a topic that is compacted for years lie far
 * apart, and however far, they cost a bit each.
 *
 * owner    a rewrite
 * memory   compaction_memory_size(): a table of 32 bytes a key and a bit for each record, as large as they are allowed to be; and
 *          while it works, three times what the largest batch is, taken apart
 * limits   beyond that many keys the partition is walked several times, each time for a share of them; beyond that many
 *          records it is compacted in stretches, one after the other. Records at or after the commit point of a group
 *          that holds the partition are kept as they are
 * errors   BADINPUT: a batch that does not come apart; NOMEM
 * promise  of a key's records below the limit the newest is kept, unless it has no value and is older than tombstones are kept;
 *          records without a key are kept; so is the last of the last batch, so that what is missing before it was taken, not lost.
 *          What was declared lost counts for nothing, and stays where it lies */
#ifndef LOG_LOCAL_COMPACTION_H
#define LOG_LOCAL_COMPACTION_H

#include "log/local/clock.h"
#include "log/local/entry.h"
#include "log/local/lost.h"

#define COMPACTION_KEY_COUNT  16384u /* in one walk, as long as they are enough */
#define COMPACTION_RECORD_MAX (1u << 26) /* of one stretch, however much memory there is: 8 MiB of bits */

struct compaction;

/* Records without a value that were appended before the cut go. table_size: bytes, at most; below COMPACTION_KEY_COUNT keys it is
 * taken for that. record_count_max: of one stretch; one batch is always taken whole. */
struct compaction *compaction_new(struct clock_cut tombstones, size_t table_size, uint32_t record_count_max);
size_t compaction_memory_size(size_t table_size, uint32_t record_count_max);
void compaction_free(struct compaction **compaction);

/* A partition of which the batches in [first, end) are to be kept or not; those noted go on behind the end, maybe. Records before the
 * first and at or after `limit` are kept. lost: ranges of it that were declared lost, in order; borrowed until the next
 * partition. */
void compaction_begin(struct compaction *c, uint64_t first, uint64_t end, uint64_t limit, const struct lost_range *lost,
                      uint32_t lost_count);
/* Every batch, in order, or up to one from which on nothing more is noted in this walk (AGAIN); then compaction_again(): true while
 * another walk is wanted. */
enum neap_status compaction_note(struct compaction *c, const struct op *op);
bool compaction_again(struct compaction *c);
/* Then every batch once more, in the same order: what is left of it, in room of the compaction's until the next call; NOTFOUND:
 * nothing. AGAIN: the stretch ends before this batch: compaction_go_on(), and all batches from this one on are noted anew. */
enum neap_status compaction_keep(struct compaction *c, const struct op *op, struct op *ret_op);
void compaction_go_on(struct compaction *c, uint64_t offset); /* of that batch */

#endif
