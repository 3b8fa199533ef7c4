/* codec_snappy.c - snappy: a raw block as librdkafka writes it, or the stream of snappy-java around blocks. */
#include "base/must.h"
#include "log/codec_parts.h"
#include <snappy-c.h>

#define HEAD_SIZE   16u
#define MAGIC       BYTES("\x82SNAPPY\0")
#define VERSION     1u
#define BLOCK_SIZE  (32u << 10) /* snappy-java's default */
#define RATIO_MAX   22u         /* three bytes of the format repeat 64 at most */
#define MAGIC_START 0x82534e41u /* where a block's size stands, no block can be that large: another head */

/* Adds one block to what the room holds. */
static enum neap_status unpack_block(struct bytes block, struct codec_room *room, size_t *filled)
{
    size_t size;
    if (snappy_uncompressed_length((const char *)block.at, block.size, &size) != SNAPPY_OK)
        return NEAP_BADINPUT;
    if (size > room->size_max - *filled)
        return NEAP_TOOLARGE;
    if (size / RATIO_MAX > block.size)
        return NEAP_BADINPUT;
    enum neap_status status = codec_room_grow(room, *filled + size + (size == 0));
    if (status != NEAP_OK)
        return status == NEAP_TOOLARGE && size == 0 ? NEAP_OK : status;
    if (snappy_uncompress((const char *)block.at, block.size, (char *)room->bytes + *filled, &size) != SNAPPY_OK)
        return NEAP_BADINPUT;
    *filled += size;
    return NEAP_OK;
}

static bool read_head(struct reader *r)
{
    struct bytes magic = read_bytes(r, MAGIC.size);
    read_be32(r); /* its version: only the lowest that may read it counts */
    uint32_t lowest = read_be32(r);
    return !r->spent && bytes_equal(magic, MAGIC) && lowest <= VERSION;
}

static enum neap_status unpack_stream(struct bytes packed, struct codec_room *room, size_t *ret_size)
{
    struct reader r = reader_of(packed);
    size_t filled = 0;
    if (!read_head(&r))
        return NEAP_BADINPUT;
    while (reader_left(&r) > 0) {
        struct reader again = r;
        uint32_t size = read_be32(&r);
        if (size == MAGIC_START) {
            r = again;
            if (!read_head(&r))
                return NEAP_BADINPUT;
            continue;
        }
        if (r.spent || size > reader_left(&r))
            return NEAP_BADINPUT;
        enum neap_status status = unpack_block(read_bytes(&r, size), room, &filled);
        if (status != NEAP_OK)
            return status;
    }
    *ret_size = filled;
    return NEAP_OK;
}

enum neap_status snappy_unpack(struct bytes packed, struct codec_room *room, size_t *ret_size)
{
    if (packed.size >= HEAD_SIZE && memcmp(packed.at, MAGIC.at, MAGIC.size) == 0)
        return unpack_stream(packed, room, ret_size);
    size_t filled = 0;
    enum neap_status status = unpack_block(packed, room, &filled);
    if (status == NEAP_OK)
        *ret_size = filled;
    return status;
}

/* As a stream: every client of Kafka reads that. */
enum neap_status snappy_pack(struct bytes plain, void *to, size_t size, size_t *ret_size)
{
    struct writer w = writer_of(to, size);
    write_bytes(&w, MAGIC);
    write_be32(&w, VERSION);
    write_be32(&w, VERSION);
    for (size_t at = 0; at < plain.size && !w.full; at += BLOCK_SIZE) {
        size_t part = plain.size - at < BLOCK_SIZE ? plain.size - at : BLOCK_SIZE;
        size_t left = (size_t)(w.end - w.at);
        if (left < sizeof(uint32_t) + snappy_max_compressed_length(part))
            return NEAP_AGAIN; /* the library asks for the worst case */
        size_t got = left - sizeof(uint32_t);
        uint8_t *block = w.at + sizeof(uint32_t);
        snappy_status status = snappy_compress((const char *)plain.at + at, part, (char *)block, &got);
        must(status == SNAPPY_OK);
        write_be32(&w, (uint32_t)got);
        w.at += got;
    }
    if (w.full)
        return NEAP_AGAIN;
    *ret_size = writer_size(&w);
    return NEAP_OK;
}

size_t snappy_packed_size_max(size_t plain_size)
{
    size_t blocks = plain_size / BLOCK_SIZE + 1;
    return HEAD_SIZE + blocks * (sizeof(uint32_t) + snappy_max_compressed_length(BLOCK_SIZE));
}
