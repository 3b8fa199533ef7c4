#include "base/bytes.h"
#include "base/must.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    if (order != 0)
        return order < 0 ? -1 : 1;
    return (a.size > b.size) - (a.size < b.size);
}

uint64_t bytes_hash(struct bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.at, b.size, seed);
}

struct reader reader_of(struct bytes bytes)
{
    static const uint8_t nothing;
    const uint8_t *at = bytes.at != NULL ? bytes.at : &nothing;
    must(bytes.at != NULL || bytes.size == 0);
    return (struct reader){ at, at + bytes.size, false };
}

size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next `size` bytes, or NULL and spent for good. */
static const uint8_t *take(struct reader *r, size_t size)
{
    if (r->spent || reader_left(r) < size) {
        r->at = r->end;
        r->spent = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += size;
    return at;
}

struct bytes read_bytes(struct reader *r, size_t size)
{
    const uint8_t *at = take(r, size);
    return at != NULL ? (struct bytes){ at, size } : (struct bytes){ NULL, 0 };
}

uint8_t read_u8(struct reader *r)
{
    const uint8_t *at = take(r, 1);
    return at != NULL ? at[0] : 0;
}

uint16_t read_le16(struct reader *r)
{
    const uint8_t *at = take(r, 2);
    return at != NULL ? get_le16(at) : 0;
}

uint32_t read_le32(struct reader *r)
{
    const uint8_t *at = take(r, 4);
    return at != NULL ? get_le32(at) : 0;
}

uint64_t read_le64(struct reader *r)
{
    const uint8_t *at = take(r, 8);
    return at != NULL ? get_le64(at) : 0;
}

uint16_t read_be16(struct reader *r)
{
    const uint8_t *at = take(r, 2);
    return at != NULL ? (uint16_t)(at[0] << 8 | at[1]) : 0;
}

uint32_t read_be32(struct reader *r)
{
    const uint8_t *at = take(r, 4);
    return at != NULL ? get_be32(at) : 0;
}

uint64_t read_be64(struct reader *r)
{
    const uint8_t *at = take(r, 8);
    return at != NULL ? get_be64(at) : 0;
}

uint64_t read_uvarint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = read_u8(r);
        if (r->spent)
            return 0;
        if (shift == 63 && b > 1)
            break; /* more than 64 bits */
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
    r->at = r->end;
    r->spent = true;
    return 0;
}

int64_t read_varint(struct reader *r)
{
    uint64_t v = read_uvarint(r);
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

struct writer writer_of(void *room, size_t size)
{
    static uint8_t nowhere;
    uint8_t *start = room != NULL ? room : &nowhere;
    must(room != NULL || size == 0);
    return (struct writer){ start, start, start + size, false };
}

size_t writer_size(const struct writer *w)
{
    return (size_t)(w->at - w->start);
}

struct bytes writer_bytes(const struct writer *w)
{
    return (struct bytes){ w->start, writer_size(w) };
}

/* Room for `size` bytes, or NULL and full for good: half a value is never written. */
static uint8_t *room(struct writer *w, size_t size)
{
    if (w->full || (size_t)(w->end - w->at) < size) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->at;
    w->at += size;
    return at;
}

void write_bytes(struct writer *w, struct bytes bytes)
{
    uint8_t *at = room(w, bytes.size);
    if (at != NULL && bytes.size > 0)
        memcpy(at, bytes.at, bytes.size);
}

void write_zeros(struct writer *w, size_t size)
{
    uint8_t *at = room(w, size);
    if (at != NULL)
        memset(at, 0, size);
}

void write_u8(struct writer *w, uint8_t v)
{
    uint8_t *at = room(w, 1);
    if (at != NULL)
        *at = v;
}

void write_le16(struct writer *w, uint16_t v)
{
    uint8_t *at = room(w, 2);
    if (at != NULL)
        put_le16(at, v);
}

void write_le32(struct writer *w, uint32_t v)
{
    uint8_t *at = room(w, 4);
    if (at != NULL)
        put_le32(at, v);
}

void write_le64(struct writer *w, uint64_t v)
{
    uint8_t *at = room(w, 8);
    if (at != NULL)
        put_le64(at, v);
}

void write_be16(struct writer *w, uint16_t v)
{
    uint8_t *at = room(w, 2);
    if (at != NULL) {
        at[0] = (uint8_t)(v >> 8);
        at[1] = (uint8_t)v;
    }
}

void write_be32(struct writer *w, uint32_t v)
{
    uint8_t *at = room(w, 4);
    if (at != NULL)
        put_be32(at, v);
}

void write_be64(struct writer *w, uint64_t v)
{
    uint8_t *at = room(w, 8);
    if (at != NULL)
        put_be64(at, v);
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

size_t uvarint_size(uint64_t v)
{
    size_t size = 1;
    for (; v >= 0x80; v >>= 7)
        size++;
    return size;
}

size_t varint_size(int64_t v)
{
    return uvarint_size(zigzag(v));
}

void write_uvarint(struct writer *w, uint64_t v)
{
    uint8_t *at = room(w, uvarint_size(v));
    if (at == NULL)
        return;
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at = (uint8_t)v;
}

void write_varint(struct writer *w, int64_t v)
{
    write_uvarint(w, zigzag(v));
}
