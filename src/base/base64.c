#include "base/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(struct writer *w, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t n = (uint32_t)bytes.at[i] << 16;
        n |= left > 1 ? (uint32_t)bytes.at[i + 1] << 8 : 0;
        n |= left > 2 ? bytes.at[i + 2] : 0;
        uint8_t four[4] = { (uint8_t)letters[n >> 18], (uint8_t)letters[n >> 12 & 63],
                            left > 1 ? (uint8_t)letters[n >> 6 & 63] : '=', left > 2 ? (uint8_t)letters[n & 63] : '=' };
        write_bytes(w, (struct bytes){ four, sizeof four });
    }
}

static bool letter_value(uint8_t letter, uint32_t *ret_value)
{
    const char *found = letter == 0 ? NULL : strchr(letters, letter);
    if (found == NULL)
        return false;
    *ret_value = (uint32_t)(found - letters);
    return true;
}

bool base64_read(struct bytes text, uint8_t *to, size_t *ret_size)
{
    size_t size = 0;
    if (text.size % 4 != 0)
        return false;
    for (size_t i = 0; i < text.size; i += 4) {
        const uint8_t *four = text.at + i;
        bool last = i + 4 == text.size;
        unsigned padding = last ? (four[3] == '=') + (unsigned)(four[3] == '=' && four[2] == '=') : 0;
        uint32_t n = 0, value = 0;
        for (unsigned k = 0; k < 4 - padding; k++) {
            if (!letter_value(four[k], &value))
                return false;
            n |= value << (18 - 6 * k);
        }
        if ((padding == 1 && (n & 0xFF) != 0) || (padding == 2 && (n & 0xFFFF) != 0))
            return false; /* bits that stand for nothing: two texts would mean the same bytes */
        for (unsigned k = 0; k < 3 - padding; k++)
            to[size++] = (uint8_t)(n >> (16 - 8 * k));
    }
    *ret_size = size;
    return true;
}
