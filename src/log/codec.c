/* codec.c - which codec is which, the room, and the two that a library does whole: gzip and zstd. */
#include "base/must.h"
#include "log/codec_parts.h"
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ROOM_SIZE_FIRST (64u << 10)
#define GZIP_WINDOW     (15 + 16) /* zlib's way to say: the largest window, and a gzip head */
#define GZIP_LEVEL      6
#define GZIP_MEMORY     8 /* zlib's default */
#define GZIP_HEAD_SIZE  18u
#define ZSTD_LEVEL      3
#define ZSTD_LEVEL_HARD 19

const char *codec_name(enum codec codec)
{
    static const char *const names[CODEC_COUNT] = { "none", "gzip", "snappy", "lz4", "zstd" };
    return (unsigned)codec < CODEC_COUNT ? names[codec] : "unknown";
}

/* ---- the room ---- */

void codec_room_init(struct codec_room *room, size_t size_max)
{
    *room = (struct codec_room){ .size_max = size_max };
}

void codec_room_fini(struct codec_room *room)
{
    free(room->bytes);
    ZSTD_freeDCtx(room->zstd_);
    *room = (struct codec_room){ 0 };
}

enum neap_status codec_room_grow(struct codec_room *room, size_t size)
{
    if (size <= room->size)
        return NEAP_OK;
    if (size > room->size_max)
        return NEAP_TOOLARGE;
    size_t grown = room->size < ROOM_SIZE_FIRST / 2 ? ROOM_SIZE_FIRST : room->size * 2;
    grown = grown < size ? size : grown;
    grown = grown > room->size_max ? room->size_max : grown;
    uint8_t *bytes = realloc(room->bytes, grown);
    if (bytes == NULL)
        return NEAP_NOMEM;
    room->bytes = bytes;
    room->size = grown;
    return NEAP_OK;
}

/* ---- gzip ---- */

/* Room for more, or one byte beside it that tells whether anything more would come. */
static enum neap_status more_room(z_stream *z, struct codec_room *room, size_t filled, uint8_t *one_more)
{
    enum neap_status status = filled < room->size_max ? codec_room_grow(room, filled + 1) : NEAP_OK;
    if (status != NEAP_OK)
        return status;
    z->next_out = filled < room->size_max ? room->bytes + filled : one_more;
    z->avail_out = filled < room->size_max ? (uInt)(room->size - filled) : 1;
    return NEAP_OK;
}

static enum neap_status gzip_members(z_stream *z, struct codec_room *room, size_t *ret_size)
{
    size_t filled = 0;
    for (;;) {
        uint8_t one_more;
        enum neap_status status = more_room(z, room, filled, &one_more);
        if (status != NEAP_OK)
            return status;
        uInt before = z->avail_out;
        int code = inflate(z, Z_NO_FLUSH);
        uInt came = before - z->avail_out;
        if (came > 0 && filled == room->size_max)
            return NEAP_TOOLARGE;
        filled += came;
        if (code == Z_MEM_ERROR)
            return NEAP_NOMEM;
        if (code == Z_STREAM_END && z->avail_in == 0) {
            *ret_size = filled;
            return NEAP_OK;
        }
        if (code == Z_STREAM_END) {
            if (inflateReset(z) != Z_OK) /* the next member */
                return NEAP_BADINPUT;
        } else if (code != Z_OK || z->avail_out > 0) {
            return NEAP_BADINPUT; /* nonsense; or there was room, and it wants more input */
        }
    }
}

static enum neap_status gzip_unpack(struct bytes packed, struct codec_room *room, size_t *ret_size)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)packed.at, .avail_in = (uInt)packed.size };
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return NEAP_NOMEM;
    enum neap_status status = gzip_members(&z, room, ret_size);
    inflateEnd(&z);
    return status;
}

static enum neap_status gzip_pack(struct bytes plain, void *to, size_t size, size_t *ret_size)
{
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)plain.at, .avail_in = (uInt)plain.size, .next_out = to, .avail_out = (uInt)size
    };
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return NEAP_NOMEM;
    int code = deflate(&z, Z_FINISH);
    *ret_size = size - z.avail_out;
    deflateEnd(&z);
    return code == Z_STREAM_END ? NEAP_OK : NEAP_AGAIN;
}

/* ---- zstd ---- */

/* What the frame says will come out; where it does not say, a guess to begin with. */
static enum neap_status zstd_first_size(struct bytes packed, const struct codec_room *room, size_t *ret_size)
{
    unsigned long long said = ZSTD_getFrameContentSize(packed.at, packed.size);
    if (said == ZSTD_CONTENTSIZE_ERROR)
        return NEAP_BADINPUT;
    if (said == ZSTD_CONTENTSIZE_UNKNOWN) {
        size_t guess = packed.size > room->size_max / 4 ? room->size_max : packed.size * 4;
        *ret_size = guess > room->size ? guess : room->size;
        return NEAP_OK;
    }
    if (said > room->size_max)
        return NEAP_TOOLARGE;
    if (said / ZSTD_BLOCKSIZE_MAX >
        packed.size / 4) /* a block of 128 KiB has a head of three bytes and one to repeat */
        return NEAP_BADINPUT;
    *ret_size = (size_t)said;
    return NEAP_OK;
}

/* In one go into the flat room: so no window, whose size the input would choose, is ever taken. */
static enum neap_status zstd_unpack(struct bytes packed, struct codec_room *room, size_t *ret_size)
{
    size_t size;
    enum neap_status status = zstd_first_size(packed, room, &size);
    if (room->zstd_ == NULL)
        room->zstd_ = ZSTD_createDCtx();
    if (room->zstd_ == NULL)
        return NEAP_NOMEM;
    for (; status == NEAP_OK; size = room->size + 1) {
        status = codec_room_grow(room, size > 0 ? size : 1);
        if (status != NEAP_OK)
            return status;
        size_t got = ZSTD_decompressDCtx(room->zstd_, room->bytes, room->size, packed.at, packed.size);
        if (!ZSTD_isError(got)) {
            *ret_size = got;
            return NEAP_OK;
        }
        if (ZSTD_getErrorCode(got) != ZSTD_error_dstSize_tooSmall)
            return ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation ? NEAP_NOMEM : NEAP_BADINPUT;
    }
    return status;
}

static enum neap_status zstd_pack(struct bytes plain, void *to, size_t size, int level, size_t *ret_size)
{
    size_t got = ZSTD_compress(to, size, plain.at, plain.size, level);
    if (ZSTD_isError(got))
        return ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall ? NEAP_AGAIN : NEAP_NOMEM;
    *ret_size = got;
    return NEAP_OK;
}

/* ---- all of them ---- */

enum neap_status codec_unpack(enum codec codec, struct bytes packed, struct codec_room *room, struct bytes *ret_plain)
{
    must(codec != CODEC_NONE && (unsigned)codec < CODEC_COUNT && room->size_max > 0 && room->size_max <= INT32_MAX);
    if (packed.size == 0 || packed.size > INT32_MAX)
        return NEAP_BADINPUT;
    size_t size = 0;
    enum neap_status status = codec == CODEC_GZIP     ? gzip_unpack(packed, room, &size)
                              : codec == CODEC_SNAPPY ? snappy_unpack(packed, room, &size)
                              : codec == CODEC_LZ4    ? lz4_unpack(packed, room, &size)
                                                      : zstd_unpack(packed, room, &size);
    if (status != NEAP_OK)
        return status;
    must(size <= room->size);
    *ret_plain = (struct bytes){ room->bytes, size };
    return NEAP_OK;
}

enum neap_status codec_pack(enum codec codec, struct bytes plain, void *to, size_t size, struct bytes *ret_packed)
{
    must(codec != CODEC_NONE && (unsigned)codec < CODEC_COUNT && plain.size <= INT32_MAX && size <= INT32_MAX);
    size_t got = 0;
    enum neap_status status = codec == CODEC_GZIP     ? gzip_pack(plain, to, size, &got)
                              : codec == CODEC_SNAPPY ? snappy_pack(plain, to, size, &got)
                              : codec == CODEC_LZ4    ? lz4_pack(plain, to, size, &got)
                                                      : zstd_pack(plain, to, size, ZSTD_LEVEL, &got);
    if (status == NEAP_OK)
        *ret_packed = (struct bytes){ to, got };
    return status;
}

enum neap_status codec_pack_hard(struct bytes plain, void *to, size_t size, struct bytes *ret_packed)
{
    size_t got = 0;
    must(plain.size <= INT32_MAX && size <= INT32_MAX);
    enum neap_status status = zstd_pack(plain, to, size, ZSTD_LEVEL_HARD, &got);
    if (status == NEAP_OK)
        *ret_packed = (struct bytes){ to, got };
    return status;
}

size_t codec_packed_size_max(enum codec codec, size_t plain_size)
{
    must(codec != CODEC_NONE && (unsigned)codec < CODEC_COUNT && plain_size <= INT32_MAX);
    return codec == CODEC_GZIP     ? compressBound(plain_size) + GZIP_HEAD_SIZE
           : codec == CODEC_SNAPPY ? snappy_packed_size_max(plain_size)
           : codec == CODEC_LZ4    ? lz4_packed_size_max(plain_size)
                                   : ZSTD_compressBound(plain_size);
}
