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

#include "log/codec.h"

#define BATCH_HEADER_SIZE      61u
#define BATCH_HEADER_COUNT_MAX 256u /* headers of one record */
#define BATCH_RECORD_SIZE_MIN  7u   /* length, attributes, time, offset, no key, no value, no headers: a byte each */

#define BATCH_IS_CONTROL       0x20u /* of the attributes: it ends a transaction of Kafka's, and holds no events */

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
    uint32_t count, span; /* records; offsets from the first record's to the last one's */
    uint64_t base_offset; /* 0: it is for the log to give */
    int64_t base_time_ms, max_time_ms;
};
/* `room` holds the whole batch; a record that does not fit answers NEAP_AGAIN and changes nothing. */
void batch_begin(struct batch_builder *b, void *room, size_t size);
enum neap_status batch_add(struct batch_builder *b, const struct record *record, const struct record_header *headers,
                           uint32_t header_count);
/* Another of what was read, for the offsets from base_offset up to `end`: records come in order, at their own offsets. AGAIN, too,
 * where one lies too far from the first. */
void batch_begin_read(struct batch_builder *b, void *room, size_t size, uint64_t base_offset);
enum neap_status batch_add_read(struct batch_builder *b, const struct record *record);
struct bytes batch_end_read(struct batch_builder *b, uint64_t end);
struct bytes batch_end(struct batch_builder *b); /* fills in the header and the CRC; count > 0 */
size_t batch_record_size_max(const struct record *record, const struct record_header *headers,
                             uint32_t header_count); /* an upper bound of what batch_add() will take */

/* ---- reading ---- */

struct batch {
    uint64_t base_offset;
    uint32_t size, crc;   /* size: of the whole batch */
    uint32_t count, span; /* records in it; offsets it stands for: more than count where compaction has taken some away */
    uint16_t attributes;
    int64_t base_time_ms, max_time_ms, producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    struct bytes records; /* as they lie there */
};
/* Checks lengths, magic, counts, codec and (check_crc) the CRC. NEAP_BADINPUT: not a batch; NEAP_CORRUPT: CRC. Of a compressed
 * batch the count is only what it says: batch_unpack() and batch_next() find out. */
enum neap_status batch_open(struct bytes bytes, bool check_crc, struct batch *ret_batch);
enum codec batch_codec(const struct batch *batch);

struct batch_walk {
    struct reader left; /* a copy of a walk goes on from where the walk stood */
    uint64_t base_offset;
    uint32_t index, count;      /* records given; in all */
    uint32_t delta_least, span; /* the next record's offset is not below base_offset + delta_least */
    int64_t base_time_ms, appended_ms;
    bool time_is_append;
};
/* Begins at the first record. Those of a compressed batch lie in the room until it is next used; the walk borrows them. Without
 * a room (NULL) they are refused. BADINPUT, TOOLARGE (the room's size_max), NOMEM: as codec_unpack(). */
enum neap_status batch_unpack(const struct batch *batch, struct codec_room *room, struct batch_walk *ret_walk);
/* The next record. NOTFOUND: past the last, and it was one. BADINPUT: neither it nor anything after it can be read; what came
 * before stands, and the offsets from batch_walk_next() on are those not seen; where batch_walk_over(), there are none, but bytes
 * behind the last record that the batch counts. */
enum neap_status batch_next(struct batch_walk *walk, struct record *ret_record);
bool batch_walk_over(const struct batch_walk *walk); /* all that the batch counts have been given */
uint64_t batch_walk_next(const struct batch_walk *walk); /* no record is left below this offset */
enum neap_status record_header_next(struct reader *left,
                                    struct record_header *ret_header); /* left: reader_of(headers) */
/* The same records in a compressed batch: `plain` is one that batch_open() takes, uncompressed. AGAIN: no room. */
enum neap_status batch_pack(struct bytes plain, enum codec codec, void *room, size_t size, struct bytes *ret_batch);
/* By codec_pack_hard(). */
enum neap_status batch_pack_hard(struct bytes plain, void *room, size_t size, struct bytes *ret_batch);
/* The batch without the records that `keep` does not want, as they lie in `walk`, which stands at their beginning: uncompressed,
 * at the same offsets. At least one is kept. AGAIN: no room; BADINPUT. */
enum neap_status batch_filter(struct bytes batch, struct batch_walk *walk, bool (*keep)(void *ctx, uint64_t offset),
                              void *ctx, void *room, size_t size, struct bytes *ret_batch);
void batch_stamp(uint8_t *batch, uint64_t base_offset);

#endif
