/* codec_parts.h - what the codecs share: for codec.c and the codec_….c beside it alone. */
#ifndef LOG_CODEC_PARTS_H
#define LOG_CODEC_PARTS_H

#include "log/codec.h"

/* At least `size` bytes, what they hold kept. TOOLARGE: above size_max; NOMEM. */
enum neap_status codec_room_grow(struct codec_room *room, size_t size);

/* ---- codec_snappy.c */
enum neap_status snappy_unpack(struct bytes packed, struct codec_room *room, size_t *ret_size);
enum neap_status snappy_pack(struct bytes plain, void *to, size_t size, size_t *ret_size);
size_t snappy_packed_size_max(size_t plain_size);

/* ---- codec_lz4.c */
enum neap_status lz4_unpack(struct bytes packed, struct codec_room *room, size_t *ret_size);
enum neap_status lz4_pack(struct bytes plain, void *to, size_t size, size_t *ret_size);
size_t lz4_packed_size_max(size_t plain_size);

#endif
