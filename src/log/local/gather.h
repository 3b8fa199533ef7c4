/* gather.h - makes one batch of the small ones that lie side by side where compaction has been.
 *
 * Each batch costs a header of its own, an entry of an index and a read. What is left of many, by compaction or because events came
 * alone, is put together: the same records at the same offsets with the same times, keys, values and headers.
 *
 * owner    a rewrite, for one partition at a time
 * memory   gather_memory_size(): some six times the size of what it makes
 * limits   batches above half that size are left as they are, and so are those of transactions, of producers with an id, and those
 *          that carry the time of their append for all records; batches of one hour of append become one, as its time is that of
 *          the newest, and says when tombstones are old
 * errors   BADINPUT: a batch that does not come apart; NOMEM
 * promise  what comes out stands for the very offsets of what went in; a batch that stays alone is not touched */
#ifndef LOG_LOCAL_GATHER_H
#define LOG_LOCAL_GATHER_H

#include "log/batch.h"
#include "log/local/entry.h"

#define GATHER_SIZE_MIN (64u << 10) /* of a batch that it makes, before it is packed */
#define GATHER_SIZE_MAX (256u << 10)

struct gather;

struct gather *gather_new(uint32_t size); /* NULL: no memory */
size_t gather_memory_size(uint32_t size);
void gather_free(struct gather **gather);
/* Takes the batch in. AGAIN: what it holds is to be taken out first. REFUSED: this one is left as it is; what it holds comes
 * before it. */
enum neap_status gather_add(struct gather *g, const struct op *op);
/* What it holds, as one batch, in room of its own until the next call. NOTFOUND: nothing. */
enum neap_status gather_take(struct gather *g, struct op *ret_op);

#endif
