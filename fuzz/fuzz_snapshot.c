/* A snapshot of any bytes is decoded without reading astray; what decodes encodes to a snapshot that decodes to the same. The
 * first byte says whether the checksums are made right first. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "log/local/snapshot.h"
#include <stdlib.h>

static void repair(uint8_t *bytes, size_t size)
{
    size_t at = SNAPSHOT_HEADER_SIZE;
    put_le64(bytes + 52, size);
    put_le32(bytes + 60, crc32c(0, bytes, 60));
    while (size - at >= SECTION_HEADER_SIZE) {
        uint64_t body = get_le64(bytes + at + 8);
        if (body > size - at - SECTION_HEADER_SIZE)
            break;
        put_le32(bytes + at + 4, crc32c(0, bytes + at + SECTION_HEADER_SIZE, (size_t)body));
        at += SECTION_HEADER_SIZE + (size_t)body;
    }
}

static const struct log_options options = { .partition_count_max = 1000, .fact_size_max = 1u << 20 };

static void encode_again(const struct views *v, const struct snapshot *s)
{
    struct views other;
    struct snapshot other_snapshot;
    uint64_t size = snapshot_size(v);
    uint8_t *room = malloc(size);
    must(room != NULL && views_init(&other, &options) == NEAP_OK);
    struct bytes bytes = snapshot_encode(v, s, room);
    must(snapshot_decode(bytes, &other, &other_snapshot, NULL) == NEAP_OK);
    must(other.topic_count == v->topic_count && other.partition_count == v->partition_count);
    must(map_count(other.offsets) == map_count(v->offsets) && map_count(other.facts) == map_count(v->facts));
    must(snapshot_size(&other) == size && other_snapshot.position == s->position);
    views_fini(&other);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    struct views v;
    struct snapshot s;
    if (size < 1 + SNAPSHOT_HEADER_SIZE || size > 1u << 20)
        return 0;
    uint8_t *bytes = malloc(size - 1);
    must(bytes != NULL && views_init(&v, &options) == NEAP_OK);
    memcpy(bytes, at + 1, size - 1);
    if (at[0] & 1)
        repair(bytes, size - 1);
    if (snapshot_decode((struct bytes){ bytes, size - 1 }, &v, &s, NULL) == NEAP_OK)
        encode_again(&v, &s);
    views_fini(&v);
    free(bytes);
    return 0;
}
