/* Any bytes are unpacked within the room, or refused; what was packed comes out as it went in; and of lz4's frames our walk
 * says the same as the library's own. */
#include "fuzz.h"

#include "log/codec.h"
#include <lz4frame.h>
#include <stdlib.h>

#define SIZE_LIMIT (1u << 16)
#define ROOM_SIZE  (1u << 18)

/* By the library, a frame at a time. It skips frames that are no data, and takes rests of a frame for granted: neither is
 * held against us. */
static void ask_library(struct bytes packed, struct bytes ours)
{
    static uint8_t room[ROOM_SIZE + 1];
    LZ4F_dctx *dctx;
    must(!LZ4F_isError(LZ4F_createDecompressionContext(&dctx, LZ4F_VERSION)));
    size_t in = 0, out = 0, hint = 1;
    while (in < packed.size) {
        size_t in_size = packed.size - in, out_size = sizeof room - out;
        hint = LZ4F_decompress(dctx, room + out, &out_size, packed.at + in, &in_size, NULL);
        must(!LZ4F_isError(hint) && (in_size > 0 || out_size > 0));
        in += in_size;
        out += out_size;
    }
    must(hint == 0 && bytes_equal(ours, (struct bytes){ room, out }));
    LZ4F_freeDecompressionContext(dctx);
}

static void unpack(enum codec codec, struct bytes packed, size_t size_max)
{
    struct codec_room room;
    struct bytes plain, again;
    codec_room_init(&room, size_max);
    enum neap_status status = codec_unpack(codec, packed, &room, &plain);
    must(room.size <= size_max);
    if (status == NEAP_OK && codec == CODEC_LZ4)
        ask_library(packed, plain);
    if (status == NEAP_OK) { /* the room is used again, and what is in it says nothing */
        struct bytes first = { malloc(plain.size + 1), plain.size };
        if (plain.size > 0) /* of nothing, there may be no place */
            memcpy((uint8_t *)(uintptr_t)first.at, plain.at, plain.size);
        must(codec_unpack(codec, packed, &room, &again) == NEAP_OK && bytes_equal(first, again));
        free((uint8_t *)(uintptr_t)first.at);
    }
    must(status == NEAP_OK || status == NEAP_BADINPUT || status == NEAP_TOOLARGE);
    codec_room_fini(&room);
}

static void round_trip(enum codec codec, struct bytes plain)
{
    struct codec_room room;
    struct bytes packed, again;
    size_t size = codec_packed_size_max(codec, plain.size);
    uint8_t *to = malloc(size);
    must(codec_pack(codec, plain, to, size, &packed) == NEAP_OK && packed.size <= size);
    codec_room_init(&room, plain.size + 1);
    must(codec_unpack(codec, packed, &room, &again) == NEAP_OK && bytes_equal(plain, again));
    codec_room_fini(&room);
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (size < 2 || size > SIZE_LIMIT)
        return 0;
    enum codec codec = (enum codec)(1 + at[0] % (CODEC_COUNT - 1)); /* the rest of the byte chooses the room */
    struct bytes rest = { at + 1, size - 1 };
    unpack(codec, rest, (size_t)1 << (8 + at[0] / 4 % 11));
    round_trip(codec, rest);
    return 0;
}
