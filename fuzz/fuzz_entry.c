/* A journal entry of any bytes is checked and walked without reading astray, and what opens is exactly what its writer would
 * have written. The first byte says whether the checksums are made right first, so that what lies behind them is reached. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "log/local/entry.h"
#include <stdlib.h>

#define SALT     0x1122334455667788ull
#define POSITION 8192u

/* Gives every operation that fits its right checksums, and the header too. */
static void repair(uint8_t *bytes, size_t size)
{
    uint32_t crc = 0, count = 0;
    size_t at = ENTRY_HEADER_SIZE;
    while (size - at >= OP_HEADER_SIZE && count < UINT16_MAX) {
        uint8_t *op = bytes + at;
        size_t name = get_le16(op + 6), payload = get_le32(op + 28), left = size - at - OP_HEADER_SIZE;
        if (name > left || payload > left - name || op_size(name, payload) > size - at)
            break;
        if (op[4] != OP_APPEND)
            put_le32(op + 32, crc32c(0, op + OP_HEADER_SIZE, name + payload));
        put_le32(op, crc32c((uint32_t)(SALT + POSITION + at), op + 4, OP_HEADER_SIZE - 4));
        crc = crc32c(crc, op, OP_HEADER_SIZE);
        at += op_size(name, payload);
        count++;
    }
    struct entry_header h = { .salt = SALT,
                              .boot = 1,
                              .position = POSITION,
                              .time_ms = 1,
                              .op_count = (uint16_t)count,
                              .body_size = (uint32_t)(at - ENTRY_HEADER_SIZE),
                              .body_crc = crc,
                              .entry_size = (uint32_t)round_up(at, ENTRY_BOUND) };
    entry_header_write(&h, bytes);
}

static void walk(const uint8_t *bytes, size_t size)
{
    struct entry_header h;
    if (entry_header_read(bytes, SALT, POSITION, &h) != NEAP_OK || h.body_size > size - ENTRY_HEADER_SIZE)
        return;
    uint8_t again[ENTRY_HEADER_SIZE];
    entry_header_write(&h, again);
    must(memcmp(again, bytes, sizeof again) == 0);
    struct bytes body = { bytes + ENTRY_HEADER_SIZE, h.body_size };
    if (entry_check(&h, body) != NEAP_OK)
        return;
    struct entry_walk w;
    struct op op;
    uint32_t count = 0;
    entry_walk_begin(&w, &h, body);
    for (; entry_walk_next(&w, &op) == NEAP_OK; count++) {
        must(op.payload.at >= body.at && op.payload.at + op.payload.size <= body.at + body.size);
        must(op.position >= POSITION + ENTRY_HEADER_SIZE && op.position % OP_BOUND == 0);
    }
    must(count == h.op_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (size < 1 + ENTRY_HEADER_SIZE || size > 1u << 20)
        return 0;
    uint8_t *bytes = malloc(size - 1); /* of its own, so that a byte too far is seen */
    must(bytes != NULL);
    memcpy(bytes, at + 1, size - 1);
    if (at[0] & 1)
        repair(bytes, size - 1);
    walk(bytes, size - 1);
    free(bytes);
    return 0;
}
