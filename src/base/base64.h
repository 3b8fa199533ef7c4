/* base64.h - bytes as letters, and back: RFC 4648 section 4, with padding.
 *
 * owner    nobody: plain functions
 * memory   the caller's room
 * errors   false: letters that are not base64; the room may hold anything then */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/bytes.h"

#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

void base64_write(struct writer *w, struct bytes bytes); /* BASE64_SIZE(bytes.size) letters */
/* `to` has room for text.size / 4 * 3 bytes. */
bool base64_read(struct bytes text, uint8_t *to, size_t *ret_size);

#endif
