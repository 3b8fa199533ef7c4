/* batch.h - Kafka's record batch, format v2, magic 2: how events lie in the log and on the wire.
 *
 * FORMAT    big-endian; varints are zigzag
 *     0  8  base offset (stamped by the sequencer; not under the CRC)     27  8  base timestamp, Unix ms
 *     8  4  batch length: bytes after this field                           35  8  max timestamp
 *    12  4  partition leader epoch (0)                                     43  8  producer id (-1)
 *    16  1  magic 2                                                        51  2  producer epoch (-1)
 *    17  4  CRC32C of bytes 21..end                                        53  4  base sequence (-1)
 *    21  2  attributes: 0..2 codec, 3 time type, 4 txn, 5 control          57  4  record count
 *    23  4  last offset delta                                              61  .. records
 *
 * A record: varint length, int8 attributes, varlong time delta, varint offset delta, varint key size (-1: none), key,
 * varint value size (-1: none), value, varint header count, headers: varint size, name, varint size (-1: none), value.
 * Source: Apache Kafka's protocol guide, "Record Batch". */
#ifndef LOG_BATCH_H
#define LOG_BATCH_H

#include "base/bytes.h"
#include "base/error.h"

#define BATCH_HEADER_SIZE      61u
#define BATCH_HEADER_COUNT_MAX 256u /* headers of one record */

struct record_header {
    struct bytes name, value; /* value.at NULL: none */
};

struct record {
    struct bytes key, value; /* .at NULL: none */
    int64_t time_ms;
    uint64_t offset; /* when read; absolute */
    uint32_t header_count;
    struct bytes headers; /* as they lie in the batch; see record_header_next() */
};

/* ---- writing: into room the caller has ---- */

struct batch_builder {
    struct writer writer;
    uint32_t count;
    int64_t base_time_ms, max_time_ms;
};
/* `room` holds the whole batch; a record that does not fit answers NEAP_AGAIN and changes nothing. */
void batch_begin(struct batch_builder *b, void *room, size_t size);
enum neap_status batch_add(struct batch_builder *b, const struct record *record, const struct record_header *headers,
                           uint32_t header_count);
struct bytes batch_end(struct batch_builder *b); /* fills in the header and the CRC; count > 0 */
size_t batch_record_size_max(const struct record *record, const struct record_header *headers,
                             uint32_t header_count); /* an upper bound of what batch_add() will take */

/* ---- reading ---- */

struct batch {
    uint64_t base_offset;
    uint32_t size, count, crc; /* size: of the whole batch */
    uint16_t attributes;
    int64_t base_time_ms, max_time_ms, producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    struct bytes records;
};
/* Checks lengths, magic, counts and (check_crc) the CRC. NEAP_BADINPUT: not a batch; NEAP_CORRUPT: CRC. */
enum neap_status batch_open(struct bytes bytes, bool check_crc, struct batch *ret_batch);
/* Walks the records of an uncompressed batch: `left` starts as batch.records, `index` as 0. NEAP_NOTFOUND: past the last. */
enum neap_status batch_next(const struct batch *batch, struct reader *left, uint32_t *index, struct record *ret_record);
enum neap_status record_header_next(struct reader *left,
                                    struct record_header *ret_header); /* left: reader_of(headers) */
void batch_stamp(uint8_t *batch, uint64_t base_offset);

#endif
