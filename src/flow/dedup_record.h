/* dedup_record.h - ids that a partition has seen, as records of a topic beside it: what a table of them is made from again.
 *
 * owner    whoever writes or reads one
 * memory   the caller's
 * limits   a record is about one source partition, 2^32 offsets and ms from its first entry
 * errors   of reading: CORRUPT, VERSION
 * promise  entries come out as they went in, in the order of their offsets
 *
 * FORMAT of a record's value in topic PIPELINE.dedup (no key), little-endian
 *     0  1  format version 1
 *     1  4  source topic id         5  4  partition
 *     9  8  offset of the first    17  8  when that was appended, Unix ms
 *    25     entries of 20 bytes:    0 12  id    12  4  offset - the first's    16  4  ms - the first's */
#ifndef FLOW_DEDUP_RECORD_H
#define FLOW_DEDUP_RECORD_H

#include "flow/dedup.h"

#define DEDUP_RECORD_HEADER_SIZE 25u
#define DEDUP_RECORD_ENTRY_SIZE  20u

struct dedup_seen_id {
    log_offset offset;
    int64_t appended_ms;
    struct dedup_id id;
};

struct dedup_record { /* being written; zeros: empty */
    uint64_t first_offset;
    int64_t first_ms;
    uint32_t count;
};
/* False: it has to go out before this one can be added: no room, or too far from its first. Nothing has changed. */
bool dedup_record_fits(const struct dedup_record *record, const struct writer *w, log_offset offset, int64_t appended_ms);
void dedup_record_add(struct dedup_record *record, struct writer *w, struct log_partition source,
                      const struct dedup_seen_id *seen); /* it fits */

struct dedup_record_walk {
    struct log_partition source;
    struct reader left;
    uint64_t first_offset;
    int64_t first_ms;
};
enum neap_status dedup_record_read(struct bytes value, struct dedup_record_walk *ret_walk);
bool             dedup_record_next(struct dedup_record_walk *walk, struct dedup_seen_id *ret_seen);

#endif
