/* snapshot.h - the views, written down, so that a start reads little of the journal.
 *
 * owner    the keeper writes, recovery reads
 * memory   one buffer of the snapshot's size while it is written or read
 * errors   a snapshot that does not read back is not counted; a bad one at start is passed over for the older one
 * promise  a snapshot holds exactly the entries before its position; it is synced, read back and named before it counts
 *
 * FORMAT little-endian
 *     0  4  magic "NPS1"      24  8  sequence number         48  4  section count
 *     4  4  format version    32  8  position it reflects    52  8  size of the whole file
 *     8 16  log id            40  8  boot number             60  4  CRC32C of bytes 0..59
 *   sections, back to back: 0 4 id, 4 4 CRC32C of the body, 8 8 body size, 16 8 position it reflects, 24 8 zero; body
 *     1 meta     next topic id u32, time of the newest entry i64; when the clock was found more than a day ahead i64, by how
 *                many ms i64; flags u32 (1: groups hold the partitions that came to their topics): these may be missing
 *     2 topics   count u32; each: name size u16, name, id u32, partitions u32; each partition: end u64, batches u64, size u64
 *     3 offsets  count u32; each: key size u16, key, commit point u64, size u32, done set
 *     4 facts    count u32; each: key size u16, key, size u32, value
 *     5 settings count u32; each: topic id u32, settings size u32, settings, partitions u32; each partition: start u64
 *     6 holds    count u32; each: key size u16, key of an offset that retention waits for
 *     7 archives next number u64, count u32; each: topic id u32, facts as in archives.h (56 bytes);
 *                count u32; each: sequence u64 of a drained journal file
 *     8 lost     count u32; each: topic id u32, partition u32, first offset u64, offset after the last u64
 *   version 1 has sections 1 to 4 alone
 *   keys: topic id and partition big-endian, then the group; of facts: view u8 before them, then the key */
#ifndef LOG_LOCAL_SNAPSHOT_H
#define LOG_LOCAL_SNAPSHOT_H

#include "log/local/views.h"

#define SNAPSHOT_MAGIC       0x3153504eu /* "NPS1" */
#define SNAPSHOT_VERSION     2u
#define SNAPSHOT_HEADER_SIZE 64u
#define SECTION_HEADER_SIZE  32u
#define SNAPSHOT_SIZE_MAX    (1u << 30)

enum section_id {
    SECTION_META = 1,
    SECTION_TOPICS = 2,
    SECTION_OFFSETS = 3,
    SECTION_FACTS = 4,
    SECTION_SETTINGS = 5,
    SECTION_HOLDS = 6,
    SECTION_ARCHIVES = 7,
    SECTION_LOST = 8,
    SECTION_COUNT = 8,
};

struct snapshot {
    struct log_id log_id;
    uint64_t sequence, position, boot;
    int64_t time_ms;
    int64_t clock_jumped_ms, clock_jump_ms; /* as in log_figures */
    int64_t wall_ms; /* what the wall clock said when this was written; where time_ms is ahead of it, at time_ms. 0: not known */
    bool holds_grow; /* read: it is of a time when groups held what came to their topics; else decoding has seen to it */
};

uint64_t snapshot_size(const struct views *v);
/* room: snapshot_size() bytes. */
struct bytes snapshot_encode(const struct views *v, const struct snapshot *s, uint8_t *room);
/* Fills empty views. BADINPUT, CORRUPT, VERSION: `v` may hold part of it and is to be thrown away. */
enum neap_status snapshot_decode(struct bytes bytes, struct views *v, struct snapshot *ret_snapshot, struct error *err);

/* Writes one of what is durable now. The keeper's turn. */
enum neap_status snapshot_write(struct log *log, struct error *err);
/* The newest good one, and the number in its name; NOTFOUND: there is none at all; CORRUPT: none of those there is good.
 * Nothing is changed. */
enum neap_status snapshot_load(struct log *log, struct views *v, struct snapshot *ret_snapshot, uint64_t *ret_number,
                               struct error *err);
/* Those with a higher number did not decode: they are kept under another name, and are no snapshots any more. */
void snapshot_set_aside(struct log *log, uint64_t above);
enum neap_status snapshot_read_file(struct io *io, const char *path, uint8_t **ret_bytes, size_t *ret_size,
                                    struct error *err);

#endif
