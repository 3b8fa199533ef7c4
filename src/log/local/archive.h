/* archive.h - one immutable file with batches of one topic, sorted by partition and offset.
 *
 * owner    an archive is written by the keeper, and belongs to the views from then on; readers pin it
 * memory   a writer: its buffer, and twice spill_size for what becomes its index
 * limits   4 GiB: TOOLARGE, and the caller chooses less
 * errors   FULL: no room on the disk; IO; CORRUPT: it is not the file that the journal speaks of
 * promise  what is read from it is what was put, at the place it was put; a file that the journal does not speak of is no
 *          archive, and goes at the next start
 *
 * FORMAT little-endian
 *     0  4  magic "NPA1"           40  8  first, 48 8 last sequence number of the journal files it holds batches of
 *     4  4  format version (1)     56  4  topic id     60  4  zero
 *     8 16  log id                 64  8  where the index begins (after the last operation)
 *    24  8  number                 72  8  size of the file
 *    32  8  salt                   80  8  batch count     88  8  flags: 1 compacted
 *                                  96  4  CRC32C of bytes 0..95, zeros up to 128
 *   operations (entry.h), appends alone, on 8-byte bounds; position: the byte in this file; salt: this file's
 *   an index (index.h): sequence: this number; salt: this salt; end: where it begins
 *
 * A1  A file is complete, synced and named before the entry that refers to it is handed to the journal.
 * A2  It never changes afterwards. */
#ifndef LOG_LOCAL_ARCHIVE_H
#define LOG_LOCAL_ARCHIVE_H

#include "log/local/index.h"
#include "log/local/spill.h"

#define ARCHIVE_MAGIC       0x3141504eu /* "NPA1" */
#define ARCHIVE_VERSION     1u
#define ARCHIVE_HEADER_SIZE 128u
#define ARCHIVE_FOLDER      "archive"
#define ARCHIVE_NAME        "%016llx.npa"
#define WRITER_BUFFER_SIZE  (256u << 10)

struct archive_header {
    struct log_id log_id;
    struct archive_facts facts;
    uint32_t topic_id;
    uint64_t index_at;
};
void archive_header_write(const struct archive_header *h, uint8_t *at); /* ARCHIVE_HEADER_SIZE bytes */
/* BADINPUT: none; CORRUPT: its CRC, or values that cannot be; VERSION. */
enum neap_status archive_header_read(struct bytes bytes, struct archive_header *ret_header);

/* Opens the file that the facts speak of and checks its header and size. CORRUPT names the file. */
enum neap_status archive_open(struct log *log, struct archive *archive, struct error *err);
/* Reads its index whole, once, some KiB at a time. CORRUPT: it cannot be believed; IO: that is not known. The archive is pinned. */
enum neap_status archive_check_index(struct log *log, struct archive *archive);
/* The same, whatever was found before: for who acts on what it says, and what was right may have rotted since. */
enum neap_status archive_check_again(struct log *log, struct archive *archive);
void archive_unlink(struct log *log, uint64_t number);

struct archive_writer {
    struct log *log;
    struct io_file *file; /* NULL: not begun */
    struct archive_header header;
    uint64_t at;      /* where the next byte goes; the buffer holds what lies before it and is not yet written */
    uint8_t *buffer;
    size_t filled, buffer_size; /* WRITER_BUFFER_SIZE, if nobody says less before it begins */
    size_t spill_size;            /* SPILL_ROOM_SIZE, likewise */
    struct index_row row; /* of the partition in work; count 0: none yet */
    struct spill rows, entries;
    uint64_t row_next; /* where the next row's partition begins in here, if not at its first batch; UINT64_MAX: there */
};
enum neap_status archive_begin(struct archive_writer *w, struct log *log, uint32_t topic_id,
                               const struct archive_facts *facts, struct error *err);
/* By partition and offset. op: target, offset, count, time_s, payload, payload_crc. */
enum neap_status archive_put(struct archive_writer *w, const struct op *op, struct error *err);
/* Complete and synced (the directory is not); `ret_facts` has size and count. The writer can begin anew. */
enum neap_status archive_end(struct archive_writer *w, struct archive_facts *ret_facts, struct error *err);
void archive_drop(struct archive_writer *w); /* what was begun goes; fine when nothing was */
void archive_writer_fini(struct archive_writer *w);

#endif
