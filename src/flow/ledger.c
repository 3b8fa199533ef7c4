#include "flow/ledger.h"
#include "base/must.h"

#define LEDGER_VERSION     1u
#define LEDGER_FIELD_COUNT 7u
static_assert(1 + LEDGER_FIELD_COUNT * 10 <= LEDGER_FACT_SIZE_MAX, "a fact of the largest numbers fits");

size_t ledger_key(char *room, const char *pipeline, char part)
{
    size_t size = strlen(pipeline);
    must(size > 0 && size + 2 <= LEDGER_KEY_SIZE_MAX);
    must(part == 'd' || part == 't' || part == 'r');
    memcpy(room, pipeline, size);
    room[size] = '\0';
    room[size + 1] = part;
    return size + 2;
}

struct bytes ledger_encode(const struct ledger *ledger, uint8_t *room)
{
    struct writer w = writer_of(room, LEDGER_FACT_SIZE_MAX);
    write_u8(&w, LEDGER_VERSION);
    write_uvarint(&w, ledger->accepted);
    write_uvarint(&w, ledger->filtered);
    write_uvarint(&w, ledger->duplicates);
    write_uvarint(&w, ledger->delivered);
    write_uvarint(&w, ledger->dead_lettered);
    write_uvarint(&w, ledger->produced);
    write_uvarint(&w, ledger->start);
    must(!w.full);
    return writer_bytes(&w);
}

enum neap_status ledger_decode(struct bytes fact, struct ledger *ret_ledger)
{
    struct reader r = reader_of(fact);
    uint8_t version = read_u8(&r);
    if (!r.spent && version > LEDGER_VERSION)
        return NEAP_VERSION;
    struct ledger ledger = { 0 };
    ledger.accepted = read_uvarint(&r);
    ledger.filtered = read_uvarint(&r);
    ledger.duplicates = read_uvarint(&r);
    ledger.delivered = read_uvarint(&r);
    ledger.dead_lettered = read_uvarint(&r);
    ledger.produced = read_uvarint(&r);
    ledger.start = read_uvarint(&r);
    if (r.spent || reader_left(&r) != 0 || version != LEDGER_VERSION)
        return NEAP_CORRUPT;
    *ret_ledger = ledger;
    return NEAP_OK;
}

void ledger_add(struct ledger *into, const struct ledger *part)
{
    into->accepted += part->accepted;
    into->filtered += part->filtered;
    into->duplicates += part->duplicates;
    into->delivered += part->delivered;
    into->dead_lettered += part->dead_lettered;
    into->produced += part->produced;
    into->start += part->start;
}
