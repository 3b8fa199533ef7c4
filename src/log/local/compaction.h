/* compaction.h - which records of a partition are the newest of their key, found with a bounded table.
 *
 * Records are told apart by where they come in the walk, not by their offsets: those of a topic that is compacted for years lie far
 * apart, and however far, they cost a bit each.
 *
 * owner    a rewrite
 * memory   a table of 32 bytes a key, as large as it is allowed to be; a bit for each of COMPACTION_RECORD_MAX records; room to
 *          take batches apart
 * limits   beyond that many keys the partition is walked several times, each time for a share of them; records beyond that
 *          many, or at the commit point of a group that holds the partition, are kept as they are
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
#define COMPACTION_RECORD_MAX (1u << 26)

struct compaction;

/* Records without a value that were appended before the cut go. table_size: bytes, at most; below COMPACTION_KEY_COUNT keys it is
 * taken for that. */
struct compaction *compaction_new(struct clock_cut tombstones, size_t table_size);
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
 * nothing. */
enum neap_status compaction_keep(struct compaction *c, const struct op *op, struct op *ret_op);

#endif
