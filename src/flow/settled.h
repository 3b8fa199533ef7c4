/* settled.h - which dead letters nobody has to look at any more: they were dropped, or redriven.
 *
 * A letter stays in its topic until retention takes it; that it is settled is a fact beside it. Letters are settled in
 * stretches of SETTLED_SPAN offsets, one fact for each stretch and each way to be settled, so that it costs a few bytes for
 * any number of neighbours, never more than two a letter, and nothing for letters that retention has taken.
 *
 * owner    whoever looks or settles; one thread. Who settles sees to it that nobody else does at the same time
 * memory   SETTLED_SIZE_MAX at most: the two sets of the stretch that is looked at, and of the one that is written
 * errors   NEAP_CORRUPT, NEAP_VERSION, NEAP_NOMEM from what is read
 * promise  a letter is settled once, in one way; in the unit that redrives it, or that drops it
 *
 * FORMAT of a fact in LOG_VIEW_LETTERS; partition = the dead letter topic's, key = 'd' (dropped) or 'r' (redriven), number of the
 * stretch (offset / SETTLED_SPAN, 8 bytes, big-endian); value = a set as in commit.h */
#ifndef FLOW_SETTLED_H
#define FLOW_SETTLED_H

#include "flow/commit.h"

#define SETTLED_SPAN      16384u
#define SETTLED_KEY_SIZE  9u
#define SETTLED_SIZE_MAX  (3u * LOG_VALUE_SIZE_MAX + 2u * SETTLED_SPAN * 16u + 4096u)
#define SETTLED_OP_COUNT  66u /* of settled_ops() */

enum settled_state { SETTLED_NOT, SETTLED_DROPPED, SETTLED_REDRIVEN };

struct settled;

struct settled *settled_new(struct log *log); /* gives; NULL: out of memory */
void            settled_free(struct settled **settled);
/* What is read from now on is what is durable now. */
void            settled_forget(struct settled *s);
enum neap_status settled_of(struct settled *s, struct log_partition letters, log_offset offset, enum settled_state *ret_state);
/* Adds one, that is not settled yet, to those that settled_ops() will write. All of a unit lie in one stretch: AGAIN where this one does not. */
enum neap_status settled_add(struct settled *s, struct log_partition letters, log_offset offset, enum settled_state how);
/* The facts that say so, and those that forget what retention has taken: SETTLED_OP_COUNT at most. They borrow from `s` until the
 * unit is done; then settled_forget(). */
uint32_t        settled_ops(struct settled *s, struct log_op *ops);

/* How many of those that are kept. */
struct settled_counts {
    uint64_t dropped, redriven;
};
enum neap_status settled_count(struct settled *s, struct log_partition letters, struct settled_counts *ret_counts);

#endif
