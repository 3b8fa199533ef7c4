/* bytes.h - a run of bytes; a reader for bytes from strangers; a writer into room that is already there.
 *
 * owner    the bytes belong to somebody else; these only borrow
 * memory   none is taken
 * limits   the reader never passes its end: it answers 0 and stays `spent`; the writer stays `full`
 * errors   asked for once, at the end of the page: `spent`, `full`
 * promise  no read or write outside [at, end), whatever the bytes say */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/units.h"
#include <string.h>

struct bytes {
    const uint8_t *at;
    size_t size;
};

#define BYTES(literal) ((struct bytes){ (const uint8_t *)(literal), sizeof(literal) - 1 })

struct bytes bytes_of_text(const char *text); /* borrows; without the NUL */
bool         bytes_equal(struct bytes a, struct bytes b);
int          bytes_compare(struct bytes a, struct bytes b); /* memcmp order, the shorter first */
uint64_t     bytes_hash(struct bytes b, uint64_t seed);     /* XXH3: for tables in memory; never written to disk */

struct reader {
    const uint8_t *at, *end;
    bool spent;
};

struct reader reader_of(struct bytes bytes);
size_t        reader_left(const struct reader *r);
struct bytes  read_bytes(struct reader *r, size_t size); /* borrows from what is read; {NULL, 0} when spent */
uint8_t       read_u8(struct reader *r);
/* little-endian: Neap's own formats */
uint16_t      read_le16(struct reader *r);
uint32_t      read_le32(struct reader *r);
uint64_t      read_le64(struct reader *r);
/* big-endian: Kafka's */
uint16_t      read_be16(struct reader *r);
uint32_t      read_be32(struct reader *r);
uint64_t      read_be64(struct reader *r);
uint64_t      read_uvarint(struct reader *r); /* LEB128, at most 10 bytes */
int64_t       read_varint(struct reader *r);  /* zigzag, as in Kafka's record batch */

struct writer {
    uint8_t *start, *at, *end;
    bool full;
};

struct writer writer_of(void *room, size_t size);
size_t        writer_size(const struct writer *w); /* written so far */
struct bytes  writer_bytes(const struct writer *w);
void          write_bytes(struct writer *w, struct bytes bytes);
void          write_zeros(struct writer *w, size_t size);
void          write_u8(struct writer *w, uint8_t v);
void          write_le16(struct writer *w, uint16_t v);
void          write_le32(struct writer *w, uint32_t v);
void          write_le64(struct writer *w, uint64_t v);
void          write_be16(struct writer *w, uint16_t v);
void          write_be32(struct writer *w, uint32_t v);
void          write_be64(struct writer *w, uint64_t v);
void          write_uvarint(struct writer *w, uint64_t v);
void          write_varint(struct writer *w, int64_t v);
size_t        uvarint_size(uint64_t v);
size_t        varint_size(int64_t v);

/* In place, for fixed layouts: the caller has checked the room. */
static inline void put_le16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}
static inline void put_le32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}
static inline void put_le64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}
static inline void put_be32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}
static inline void put_be64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}
static inline uint16_t get_le16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}
static inline uint32_t get_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
static inline uint64_t get_le64(const uint8_t *at)
{
    return (uint64_t)get_le32(at) | (uint64_t)get_le32(at + 4) << 32;
}
static inline uint32_t get_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static inline uint64_t get_be64(const uint8_t *at)
{
    return (uint64_t)get_be32(at) << 32 | get_be32(at + 4);
}

#endif
