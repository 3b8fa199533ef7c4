/* A sidecar of any bytes is read without reading astray, and one that is read is written the same again; a word that names a
 * loss means the same after it was said. The first byte says which, and whether the checksum is made right first. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "base/must.h"
#include "log/local/scars.h"
#include <stdlib.h>

static void sidecar(uint8_t *bytes, size_t size, bool right)
{
    static uint8_t room[SCARS_SIZE_MAX];
    struct scars scars;
    if (right && size >= SCARS_HEADER_SIZE) {
        put_le32(bytes, SCARS_MAGIC);
        put_le32(bytes + 4, SCARS_VERSION);
        put_le32(bytes + 40, (uint32_t)((size - SCARS_HEADER_SIZE) / 16));
        put_le32(bytes + 44,
                 crc32c(crc32c(0, bytes, 44), bytes + SCARS_HEADER_SIZE, (size - SCARS_HEADER_SIZE) / 16 * 16));
    }
    if (scars_decode((struct bytes){ bytes, size }, &scars) != NEAP_OK)
        return;
    for (uint32_t i = 0; i < scars.count; i++)
        must(scars_pass(&scars, scars.list[i].from) == scars.list[i].to);
    must(bytes_equal(scars_encode(&scars, room), (struct bytes){ bytes, size }));
}

static void word(const uint8_t *at, size_t size)
{
    char text[512], again[LOG_LOSS_TEXT_SIZE];
    struct log_loss loss, same;
    if (size >= sizeof(text))
        return;
    memcpy(text, at, size);
    text[size] = 0;
    if (log_loss_parse(text, &loss) != NEAP_OK)
        return;
    must(loss.file != 0 ? loss.byte_first < loss.byte_end : loss.first.n < loss.end.n);
    log_loss_text(&loss, again);
    must(log_loss_parse(again, &same) == NEAP_OK);
    must(same.file == loss.file && same.byte_first == loss.byte_first && same.byte_end == loss.byte_end &&
         same.first.n == loss.first.n && same.end.n == loss.end.n && same.partition == loss.partition &&
         strcmp(same.topic, loss.topic) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (size < 2 || size > 1u << 16)
        return 0;
    uint8_t *bytes = malloc(size - 1);
    must(bytes != NULL);
    memcpy(bytes, at + 1, size - 1);
    if (at[0] & 1)
        sidecar(bytes, size - 1, (at[0] & 2) != 0);
    else
        word(bytes, size - 1);
    free(bytes);
    return 0;
}
