/* entry.h - one entry of the journal, byte for byte; and the header of a journal file.
 *
 * owner    pure functions over bytes; nothing is kept
 * memory   none
 * limits   an entry is at most UINT32_MAX - 63 bytes; journal.c keeps it below LOG_UNIT_SIZE_MAX and a quarter of a file
 * errors   BADINPUT: no entry stands here; CORRUPT: its header stands, its body does not
 * promise  what opens with OK is what was written, at the place it was written for, in this life of the file
 *
 * FORMAT   little-endian. A file is one page (4,096 bytes) of header, then entries back to back on 64-byte bounds.
 *
 *   file header                                        entry header (64 bytes)
 *     0  4  magic "NPJ1"                                 0  4  magic "NPE1"
 *     4  4  format version (2)                           4  4  CRC32C of bytes 8..63
 *     8 16  log id                                       8  8  salt of the file
 *    24  8  sequence number of the file                 16  8  boot number
 *    32  8  base: the position of byte 0                24  8  position of byte 0 of this entry
 *    40  8  size of the file                            32  8  durable mark: highest position known synced
 *    48  8  salt, new in each life of the file          40  8  time of append, Unix ms, never falling
 *    56  4  CRC32C of bytes 0..55                       48  4  entry size, a multiple of 64, padding included
 *                                                       52  4  body size: operations, without padding
 *   operation (begins on 8-byte bounds)                 56  2  operation count    58  2  flags: 1 seal
 *     0  4  CRC32C of bytes 4..39, begun with the       60  4  CRC32C of the headers of all operations, in order
 *           low 32 bits of salt + position of byte 0
 *     4  1  kind      5  1  view     6  2  name size    24  4  count
 *     8  4  topic id                                    28  4  payload size
 *    12  4  partition                                   32  4  payload CRC32C (of name and payload; of a batch: its own)
 *    16  8  offset                                      36  4  time of append, Unix seconds
 *    40  .. name, payload, zeros to the next 8-byte bound
 *
 * E1  An entry names its own position and the salt of its file: no former life, no forged payload can pass for one.
 * E2  The boot number never falls from one entry to the next: a tail once cut cannot come back.
 * E3  A batch's CRC stands for bytes 21.. of it; bytes 0..20 are told by the operation's header and compared with it.
 * E4  Padding is zero, belongs to the last entry of a write, and ends on a page. */
#ifndef LOG_LOCAL_ENTRY_H
#define LOG_LOCAL_ENTRY_H

#include "log/log.h"

#define JOURNAL_VERSION     2u
#define JOURNAL_MAGIC       0x314a504eu /* "NPJ1" */
#define ENTRY_MAGIC         0x3145504eu /* "NPE1" */
#define JOURNAL_PAGE_SIZE   4096u
#define JOURNAL_HEADER_SIZE 4096u
#define FILE_HEADER_SIZE    60u
#define ENTRY_HEADER_SIZE   64u
#define ENTRY_BOUND         64u
#define OP_HEADER_SIZE      40u
#define OP_BOUND            8u

/* Kinds on disk: log_op_kind + 1, and what only the journal itself writes. */
enum op_kind {
    OP_APPEND = 1,
    OP_OFFSET = 2,
    OP_FACT = 3,
    OP_TOPIC_CREATE = 4,
    OP_TOPIC_DELETE = 5,
    OP_BOOT = 6, /* first entry of a boot; payload: the version's text */
    OP_TOPIC_ALTER = 7,
    OP_TRIM = 8,
    OP_REPLACE = 9, /* archive.h */
    OP_LOST = 10,   /* lost.h */
    OP_KIND_MAX = OP_LOST,
};

enum { ENTRY_FLAG_SEAL = 1 }; /* the file ends here */

struct file_header {
    struct log_id log_id;
    uint64_t sequence, base, size, salt;
};

struct entry_header {
    uint64_t salt, boot, position, durable_mark;
    int64_t time_ms;
    uint32_t entry_size, body_size;
    uint16_t op_count, flags;
    uint32_t body_crc;
};

struct op {
    enum op_kind kind;
    uint8_t view;
    struct log_partition target;
    uint64_t offset;
    uint32_t count, time_s;
    uint32_t payload_crc;
    struct bytes name, payload;
    uint64_t position; /* of its header */
};

void file_header_write(const struct file_header *h, uint8_t *page); /* FILE_HEADER_SIZE bytes of it */
/* BADINPUT: no header; VERSION: a newer one; CORRUPT: its CRC. */
enum neap_status file_header_read(const uint8_t *page, struct file_header *ret_header);

void entry_header_write(const struct entry_header *h, uint8_t *at);
/* OK when a header with this salt stands here and names this position (rule E1). */
enum neap_status entry_header_read(const uint8_t *at, uint64_t salt, uint64_t position,
                                   struct entry_header *ret_header);

/* Header size + name + payload + padding. */
static inline uint64_t op_size(size_t name_size, size_t payload_size)
{
    return round_up((uint64_t)OP_HEADER_SIZE + name_size + payload_size, OP_BOUND);
}
void op_header_write(const struct op *op, uint64_t salt, uint8_t *at);
/* `bytes` begins at the header; checks the header alone, gives sizes through name.size and payload.size (at stays NULL). */
enum neap_status op_header_read(struct bytes bytes, uint64_t salt, uint64_t position, struct op *ret_op);
/* Header and contents (rules E1, E3). CORRUPT or BADINPUT: not what was written. */
enum neap_status op_read(struct bytes bytes, uint64_t salt, uint64_t position, struct op *ret_op);
uint32_t op_payload_crc(enum op_kind kind, struct bytes name, struct bytes payload);

/* Walks a whole entry, every CRC checked. `body` begins after the header and holds body_size bytes. */
struct entry_walk {
    const struct entry_header *header;
    struct reader left;
    uint64_t position;
    uint32_t index;
    uint32_t crc;
};
void entry_walk_begin(struct entry_walk *walk, const struct entry_header *header, struct bytes body);
/* NOTFOUND: past the last, all of it was right. CORRUPT: it is not. */
enum neap_status entry_walk_next(struct entry_walk *walk, struct op *ret_op);
enum neap_status entry_check(const struct entry_header *header, struct bytes body);

#endif
