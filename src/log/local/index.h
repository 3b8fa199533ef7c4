/* index.h - where a partition's batches lie in one file of the journal.
 *
 * owner    in memory: filled by the journal agent under the shared mutex as entries become durable; on disk: written by
 *          the keeper when the file is sealed, or by recovery
 * memory   two arrays of index_count_max entries: the open file's, and the last sealed one's until it is written down
 * errors   a missing or bad index file is rebuilt from its journal file; only the journal is the truth
 * promise  a batch found through an index is checked against the operation's header before it is given to anybody
 *
 * FORMAT of an index file, little-endian
 *     0  4  magic "NPI1"            24  8  sequence number of the journal file     48  4  row count
 *     4  4  format version (1)      32  8  its salt                                52  4  entry count
 *     8 16  log id                  40  8  position after its last entry           56  4  CRC32C of all rows
 *    60  4  CRC32C of all entries   64  4  CRC32C of bytes 0..63                   68  4  zero
 *   rows, by topic id and partition: every partition that the log had when the file was sealed
 *     0  4  topic id     4  4  partition     8  8  its next offset where the file begins    16  4  first entry   20  4  entries
 *   entries, by partition and offset
 *     0  8  base offset     8  4  of the operation's header, from the file's start    12  4  batch size    16  4  count    20  4  0 */
#ifndef LOG_LOCAL_INDEX_H
#define LOG_LOCAL_INDEX_H

#include "log/local/local.h"

#define INDEX_MAGIC       0x3149504eu /* "NPI1" */
#define INDEX_VERSION     1u
#define INDEX_HEADER_SIZE 72u
#define INDEX_ROW_SIZE    24u
#define INDEX_ENTRY_SIZE  24u
#define INDEX_LOAD_MAX    512u /* entries at once */

/* ---- in memory ---- */
enum neap_status indexes_init(struct shared *s, uint32_t count_max);
void indexes_fini(struct shared *s);
struct open_index *index_in_memory(struct shared *s, uint64_t sequence); /* NULL: not in memory */
void index_begin(struct shared *s, uint64_t sequence);                   /* its slot is free */
/* Adds a batch; the partition's end stays (recovery, before what the snapshot holds). */
void index_link(struct shared *s, struct partition *p, uint64_t file_sequence, const struct index_entry *entry);
/* Adds a durable batch; the partition's end moves. */
void index_add(struct shared *s, struct partition *p, uint64_t file_sequence, const struct index_entry *entry);

/* ---- on disk ---- */
struct index_file {
    struct io_file *file; /* NULL: there is none */
    uint64_t at;          /* where its header lies: an archive holds one behind its batches */
    struct pages *pages;  /* read through; NULL: as it is, for whoever walks all of it once */
};
struct index_before {
    struct index_file index;
};
struct index_header {
    struct log_id log_id;
    uint64_t sequence, salt, end;
    uint32_t row_count, entry_count, rows_crc, entries_crc;
};
struct index_row {
    struct log_partition partition;
    uint64_t next;
    uint32_t first, count;
};
enum neap_status index_header_read(struct bytes bytes, struct index_header *ret_header);
void index_row_read(const uint8_t *at, struct index_row *ret_row);
void index_entry_read(const uint8_t *at, struct index_entry *ret_entry);
void index_header_write(const struct index_header *h, uint8_t *at);
void index_row_write(const struct index_row *row, uint8_t *at);
void index_entry_write(const struct index_entry *e, uint8_t *at);
/* A whole index of that many bytes, every CRC, order and bound (index_check.c): read from its file once, some KiB at a time, or in
 * memory. CORRUPT with a reason; VERSION: a newer program's; BADINPUT: none; as reading a file. `dense`: batches follow each
 * other without a gap, as in a journal file; compaction leaves gaps in archives. */
enum neap_status index_check(struct index_file index, uint64_t size, bool dense, struct index_header *ret_header,
                             struct error *err);
enum neap_status index_check_bytes(struct bytes bytes, bool dense, struct index_header *ret_header, struct error *err);

/* Writes the index in memory of a sealed file down. The keeper's, or recovery's. `before`: NULL where the partitions' ends
 * are those of the file's seal; else the index of the file before it, for a file rebuilt out of its turn (it has no rows for
 * partitions that neither file knows). */
enum neap_status index_write(struct log *log, uint64_t sequence, const struct index_before *before, struct error *err);
/* The index file as index_write() has left it, for reading. */
enum neap_status index_open(struct log *log, uint64_t sequence, struct io_file **ret_file, struct error *err);
/* OK: the index file is there and belongs to this life of the journal file; file->index is open. NOTFOUND: one is to be made.
 * VERSION: it is a newer program's. */
enum neap_status index_look(struct log *log, struct journal_file *file, struct error *err);
/* The partition's row. NOTFOUND: not in this file. BADINPUT: the index is bad. */
enum neap_status index_find_row(struct index_file index, struct log_partition p, struct index_row *ret_row);
/* The entry number (0 .. row.count) of the batch that holds `offset`, or the first after it. */
enum neap_status index_find_entry(struct index_file index, const struct index_row *row, uint32_t row_count,
                                  uint64_t offset, uint32_t *ret_number);
enum neap_status index_load_entries(struct index_file index, const struct index_row *row, uint32_t row_count,
                                    uint32_t number, struct index_entry *room, uint32_t count);
/* The index-th row. */
enum neap_status index_load_row(struct index_file index, uint32_t number, struct index_row *ret_row);
enum neap_status index_row_count(struct index_file index, uint32_t *ret_count);
enum neap_status index_size(struct index_file index, uint64_t *ret_size); /* of all of it, as its header has it */

#endif
