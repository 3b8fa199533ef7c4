/* utf8.h - one character at a time, by the definition of RFC 3629: no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 *
 * owner    nobody: plain functions over borrowed bytes
 * memory   none
 * limits   reads at most `left` bytes
 * errors   0: what stands there is not a character */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/units.h"

/* Bytes of the character at `at` (1..4), or 0. left > 0. */
static inline size_t utf8_size(const uint8_t *at, size_t left)
{
    uint8_t a = at[0];
    if (a < 0x80)
        return 1;
    if (a < 0xc2 || a > 0xf4)
        return 0;
    size_t size = a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
    if (left < size)
        return 0;
    uint8_t low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80;
    uint8_t high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

/* The code point of a character of `size` bytes, as utf8_size() answered. */
static inline uint32_t utf8_point(const uint8_t *at, size_t size)
{
    uint32_t point = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (at[i] & 0x3fu);
    return point;
}

#endif
