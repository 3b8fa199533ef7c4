/* address.c - the registries of special addresses (IANA, RFC 6890 and its successors), as two small tables. */
#include "io/address.h"

struct block {
    uint8_t start[16];
    uint8_t bit_count;
};

static const struct block private_v4[] = {
    { { 0 }, 8 },                 /* "this network" */
    { { 10 }, 8 },                /* private */
    { { 100, 64 }, 10 },          /* a carrier's own; 100.100.100.200 is Alibaba's metadata */
    { { 127 }, 8 },               /* loopback */
    { { 168, 63, 129, 16 }, 32 }, /* Azure's host, which looks like any other address */
    { { 169, 254 }, 16 },         /* link-local; 169.254.169.254 is most clouds' metadata */
    { { 172, 16 }, 12 },          /* private */
    { { 192, 0, 0 }, 24 },        /* protocols' own; 192.0.0.192 is Oracle's metadata */
    { { 192, 0, 2 }, 24 },        /* for examples */
    { { 192, 88, 99 }, 24 },      /* relays that are no more */
    { { 192, 168 }, 16 },         /* private */
    { { 198, 18 }, 15 },          /* benchmarks */
    { { 198, 51, 100 }, 24 },     /* for examples */
    { { 203, 0, 113 }, 24 },      /* for examples */
    { { 224 }, 3 },               /* multicast, reserved, broadcast */
};

/* Within 2000::/3; whatever is outside it is nobody's or somebody's inside. */
static const struct block private_v6[] = {
    { { 0x20, 0x01, 0x00 }, 23 },       /* protocols' own, Teredo among them */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* for examples */
    { { 0x3f, 0xff, 0x00 }, 20 },       /* for examples */
};

static const struct block mapped = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96 };
static const struct block nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 };
static const struct block six_to_four = { { 0x20, 0x02 }, 16 };
static const struct block global = { { 0x20 }, 3 };

static bool lies_in(const uint8_t *address, const struct block *block)
{
    uint32_t whole = block->bit_count / 8u, rest = block->bit_count % 8u;
    if (memcmp(address, block->start, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return rest == 0 || (address[whole] & mask) == block->start[whole];
}

static bool lies_in_any(const uint8_t *address, const struct block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (lies_in(address, &blocks[i]))
            return true;
    return false;
}

static bool is_private_v4(const uint8_t *address)
{
    return lies_in_any(address, private_v4, COUNT_OF(private_v4));
}

bool io_address_is_private(struct bytes address)
{
    if (address.size == 4)
        return is_private_v4(address.at);
    if (address.size != 16)
        return true;
    if (lies_in(address.at, &mapped) || lies_in(address.at, &nat64))
        return is_private_v4(address.at + 12);
    if (lies_in(address.at, &six_to_four))
        return is_private_v4(address.at + 2);
    return !lies_in(address.at, &global) || lies_in_any(address.at, private_v6, COUNT_OF(private_v6));
}
