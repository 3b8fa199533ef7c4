/* compaction.h - which records of a partition are the newest of their key, found with a bounded table.
 *
 * owner    a rewrite
 * memory   COMPACTION_KEY_COUNT keys of 24 bytes, a bit for each of COMPACTION_SPAN_MAX offsets, room to take batches apart
 * limits   beyond that many keys the partition is walked several times, each time for a share of them; beyond that many
 *          offsets, or at the commit point of a group that holds the partition, records are kept as they are
 * errors   BADINPUT: a batch that does not come apart; NOMEM
 * promise  of a key's records below the limit the newest is kept, unless it has no value and is older than tombstones are kept;
 *          records without a key are kept; so is the last record of all, so that what is missing before it was taken, not lost */
#ifndef LOG_LOCAL_COMPACTION_H
#define LOG_LOCAL_COMPACTION_H

#include "log/local/clock.h"
#include "log/local/entry.h"

#define COMPACTION_KEY_COUNT 65536u /* in one walk; the table is twice as large */
#define COMPACTION_SPAN_MAX  (1u << 26)

struct compaction;

/* Records without a value that were appended before the cut go. */
struct compaction *compaction_new(struct clock_cut tombstones);
void compaction_free(struct compaction **compaction);
size_t compaction_memory_size(void); /* of its table; bits and room come as they are needed */

/* A partition whose batches lie in [first, end); records at or after `limit` are kept. */
enum neap_status compaction_begin(struct compaction *c, uint64_t first, uint64_t end, uint64_t limit);
/* Every batch, in order; then compaction_again(): true while another walk is wanted. */
enum neap_status compaction_note(struct compaction *c, const struct op *op);
bool compaction_again(struct compaction *c);
/* Then every batch once more: what is left of it, in room of the compaction's until the next call; NOTFOUND: nothing. */
enum neap_status compaction_keep(struct compaction *c, const struct op *op, struct op *ret_op);

#endif
