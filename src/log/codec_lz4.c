/* codec_lz4.c - frames of lz4, walked here, their blocks unpacked by the library straight to where they belong.
 *
 * The library's own walk of a frame takes up to 8 MiB because a head of seven bytes says so, and copies every byte twice;
 * this one takes nothing, for all that comes out lies in one flat room. The fuzzer holds the two against each other.
 *
 * FORMAT   a frame, little-endian (lz4_Frame_format.md, 1.6.x)
 *     magic 184D2204 · flags · block size · [content size, 8] · [dictionary, 4] · second byte of the XXH32 of the three before
 *     blocks: size, top bit: stored as it is · bytes · [XXH32 of the bytes]
 *     0, 4 bytes · [XXH32 of all that came out] */
#include "base/must.h"
#include "log/codec_parts.h"
#include <lz4.h>
#include <lz4frame.h>
#include <xxhash.h>

#define MAGIC          0x184D2204u
#define HISTORY_SIZE   (64u << 10) /* how far back a block may reach */
#define RATIO_MAX      255u        /* each further byte of a length counts that much */
#define BLOCK_AS_IT_IS 0x80000000u

enum {
    FLAG_VERSION = 0xC0,
    VERSION_1 = 0x40,
    FLAG_INDEPENDENT = 0x20,
    FLAG_BLOCK_SUM = 0x10,
    FLAG_CONTENT_SIZE = 0x08,
    FLAG_CONTENT_SUM = 0x04,
    FLAG_RESERVED = 0x02,
    FLAG_DICTIONARY = 0x01,
};

struct frame {
    uint8_t flags;
    size_t block_size_max;
    uint64_t content_size; /* where the flags say that it is told */
    size_t from;           /* in the room: where its content begins */
};

static enum neap_status read_head(struct reader *r, struct frame *ret_frame)
{
    if (read_le32(r) != MAGIC)
        return NEAP_BADINPUT;
    const uint8_t *start = r->at;
    struct frame f = { .flags = read_u8(r) };
    uint8_t block = read_u8(r);
    if ((f.flags & FLAG_VERSION) != VERSION_1 || (f.flags & (FLAG_RESERVED | FLAG_DICTIONARY)) != 0 ||
        (block & 0x8F) != 0 || block >> 4 < 4)
        return NEAP_BADINPUT;
    f.block_size_max = (size_t)1 << (8 + 2 * (block >> 4)); /* 64 KiB, 256 KiB, 1 MiB, 4 MiB */
    if ((f.flags & FLAG_CONTENT_SIZE) != 0)
        f.content_size = read_le64(r);
    if (r->spent)
        return NEAP_BADINPUT;
    uint8_t sum = (uint8_t)(XXH32(start, (size_t)(r->at - start), 0) >> 8);
    if (read_u8(r) != sum || r->spent)
        return NEAP_BADINPUT;
    *ret_frame = f;
    return NEAP_OK;
}

/* One packed block. Where size_max is what stops it, it may be damaged as well: nobody can tell without unpacking it. */
static enum neap_status unpack_block(const struct frame *f, struct bytes block, struct codec_room *room, size_t *filled)
{
    size_t most = block.size > f->block_size_max / RATIO_MAX ? f->block_size_max : block.size * RATIO_MAX;
    size_t left = room->size_max - *filled;
    size_t take = most < left ? most : left;
    enum neap_status status = codec_room_grow(room, *filled + take);
    if (status != NEAP_OK)
        return status;
    size_t history = (f->flags & FLAG_INDEPENDENT) != 0 ? 0 : *filled - f->from;
    history = history < HISTORY_SIZE ? history : HISTORY_SIZE;
    uint8_t *to = room->bytes + *filled;
    int got = LZ4_decompress_safe_usingDict((const char *)block.at, (char *)to, (int)block.size, (int)take,
                                            (const char *)to - history, (int)history);
    if (got < 0)
        return take < most ? NEAP_TOOLARGE : NEAP_BADINPUT;
    *filled += (size_t)got;
    return NEAP_OK;
}

static enum neap_status copy_block(struct bytes block, struct codec_room *room, size_t *filled)
{
    if (block.size > room->size_max - *filled)
        return NEAP_TOOLARGE;
    enum neap_status status = codec_room_grow(room, *filled + block.size);
    if (status != NEAP_OK)
        return status;
    memcpy(room->bytes + *filled, block.at, block.size);
    *filled += block.size;
    return NEAP_OK;
}

static enum neap_status read_blocks(struct reader *r, const struct frame *f, struct codec_room *room, size_t *filled)
{
    for (;;) {
        uint32_t head = read_le32(r), size = head & ~BLOCK_AS_IT_IS;
        if (r->spent)
            return NEAP_BADINPUT;
        if (head == 0)
            return NEAP_OK;
        if (size == 0 || size > f->block_size_max || size > reader_left(r))
            return NEAP_BADINPUT;
        struct bytes block = read_bytes(r, size);
        if ((f->flags & FLAG_BLOCK_SUM) != 0 && read_le32(r) != XXH32(block.at, block.size, 0))
            return NEAP_BADINPUT;
        enum neap_status status =
            (head & BLOCK_AS_IT_IS) != 0 ? copy_block(block, room, filled) : unpack_block(f, block, room, filled);
        if (status != NEAP_OK)
            return status;
    }
}

static enum neap_status unpack_frame(struct reader *r, struct codec_room *room, size_t *filled)
{
    struct frame f;
    enum neap_status status = read_head(r, &f);
    if (status != NEAP_OK)
        return status;
    f.from = *filled;
    if ((f.flags & FLAG_CONTENT_SIZE) != 0 && f.content_size > room->size_max - f.from)
        return NEAP_TOOLARGE;
    status = read_blocks(r, &f, room, filled);
    if (status != NEAP_OK)
        return status;
    size_t size = *filled - f.from;
    if ((f.flags & FLAG_CONTENT_SIZE) != 0 && f.content_size != size)
        return NEAP_BADINPUT;
    if ((f.flags & FLAG_CONTENT_SUM) != 0 && read_le32(r) != XXH32(size > 0 ? room->bytes + f.from : NULL, size, 0))
        return NEAP_BADINPUT;
    return r->spent ? NEAP_BADINPUT : NEAP_OK;
}

enum neap_status lz4_unpack(struct bytes packed, struct codec_room *room, size_t *ret_size)
{
    struct reader r = reader_of(packed);
    size_t filled = 0;
    while (reader_left(&r) > 0) {
        enum neap_status status = unpack_frame(&r, room, &filled);
        if (status != NEAP_OK)
            return status;
    }
    *ret_size = filled;
    return NEAP_OK;
}

static const LZ4F_preferences_t preferences = { /* as Kafka's own client: some readers take no other blocks */
                                                .frameInfo = { .blockSizeID = LZ4F_max64KB,
                                                               .blockMode = LZ4F_blockIndependent }
};

enum neap_status lz4_pack(struct bytes plain, void *to, size_t size, size_t *ret_size)
{
    if (size < lz4_packed_size_max(plain.size))
        return NEAP_AGAIN; /* the library asks for the worst case */
    size_t got = LZ4F_compressFrame(to, size, plain.at, plain.size, &preferences);
    if (LZ4F_isError(got))
        return NEAP_NOMEM;
    *ret_size = got;
    return NEAP_OK;
}

size_t lz4_packed_size_max(size_t plain_size)
{
    return LZ4F_compressFrameBound(plain_size, &preferences);
}
