/* codec.h - the compressions of Kafka's record batches: taken apart within a bound, and made for writers and tests.
 *
 * owner    whoever made the room; one thread at a time
 * memory   a room grows with the bytes that come out, by doubling, and never past size_max; it keeps what it has, so that the
 *          next batch takes none. Beside it one decoder of zstd (below 200 KiB) from its first use on, and zlib's while it works
 *          (48 KiB)
 * limits   size_max bytes come out; a size that the input claims is refused, before anything is taken for it, when it is
 *          above size_max or above what its format can make of so few bytes
 * errors   BADINPUT: not what this codec writes; TOOLARGE: more than size_max would come out; NOMEM
 * promise  nothing outside the input and the room is read or written, whatever the input says
 *
 * FORMAT   as Kafka's clients write them
 *   gzip    RFC 1952, one member or several
 *   snappy  one raw block; or snappy-java's stream: "\x82SNAPPY\0", version and lowest version (4 bytes each, big-endian), then
 *           blocks, each behind its size (4 bytes, big-endian). The head may come again between blocks.
 *   lz4     frames of the LZ4 Frame Format 1.6 without dictionaries
 *   zstd    frames of RFC 8878 without dictionaries */
#ifndef LOG_CODEC_H
#define LOG_CODEC_H

#include "base/bytes.h"
#include "base/error.h"

#define CODEC_DECODER_SIZE (256u << 10) /* beside the room, at most */

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_COUNT }; /* the numbers are Kafka's */

const char *codec_name(enum codec codec);

struct codec_room {
    uint8_t *bytes;
    size_t size, size_max; /* what it has; what it may have */
    const void *user;      /* the caller's: who unpacked into it last, where several take turns */
    void *zstd_;           /* the codec's own */
};
void codec_room_init(struct codec_room *room, size_t size_max); /* takes nothing yet */
void codec_room_fini(struct codec_room *room);                  /* gives all of it back; fine when never used */

/* What came out lies in the room until it is next used (of nothing, `at` may be NULL). `codec` is none of CODEC_NONE. */
enum neap_status codec_unpack(enum codec codec, struct bytes packed, struct codec_room *room, struct bytes *ret_plain);

/* Into room the caller has. AGAIN: it does not fit. NOMEM. */
enum neap_status codec_pack(enum codec codec, struct bytes plain, void *to, size_t size, struct bytes *ret_packed);
/* As CODEC_ZSTD, as small as it gets: for what would else be larger than it has come in. Slow. */
enum neap_status codec_pack_hard(struct bytes plain, void *to, size_t size, struct bytes *ret_packed);
size_t codec_packed_size_max(enum codec codec, size_t plain_size);

#endif
