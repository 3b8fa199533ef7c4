/* mark.h - how far into which file: the fact beside the lines that were appended (gate.h, FORMAT).
 *
 * owner    nobody: plain values
 * memory   none
 * limits   MARK_SIZE bytes of fact, MARK_PREFIX_SIZE_MAX bytes of the file that are hashed
 * errors   NEAP_VERSION, NEAP_CORRUPT
 * promise  a file is the same one when device, inode and the hash of what was read first agree */
#ifndef GATE_MARK_H
#define GATE_MARK_H

#include "base/bytes.h"
#include "neap/status.h"

#define MARK_SIZE            41u
#define MARK_PREFIX_SIZE_MAX 1024u

struct mark {
    uint64_t position;   /* bytes whose lines are in the log */
    uint64_t line_count; /* lines before it */
    uint64_t device, inode;
    uint64_t prefix_hash; /* of the first min(MARK_PREFIX_SIZE_MAX, position) bytes */
};

struct bytes mark_encode(const struct mark *mark, uint8_t room[MARK_SIZE]);
enum neap_status mark_decode(struct bytes fact, struct mark *ret_mark);
size_t mark_prefix_size(uint64_t position);
uint64_t mark_hash(struct bytes prefix); /* XXH64, seed 0: on disk for good */

#endif
