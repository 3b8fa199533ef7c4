/* CRC32C by the processor, by tables and by the RFC are one and the same. */
#include "check.h"

#include "base/crc32c.h"
#include <stdlib.h>

/* A bit at a time, as the definition says. */
static uint32_t crc_by_definition(uint32_t crc, const uint8_t *at, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void rfc_3720_vectors(void **state)
{
    (void)state;
    uint8_t b[32];
    memset(b, 0, 32);
    assert_int_equal(crc32c(0, b, 32), 0x8a9136aau);
    memset(b, 0xff, 32);
    assert_int_equal(crc32c(0, b, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, b, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, b, 32), 0x113fdb5cu);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c_table(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

#define TEXT_SIZE 40000u

static void both_ways_agree_with_the_definition(void **state)
{
    (void)state;
    uint8_t *text = malloc(TEXT_SIZE), *copy = malloc(TEXT_SIZE);
    uint64_t seed = 1;
    for (size_t i = 0; i < TEXT_SIZE; i++)
        text[i] = (uint8_t)chance(&seed);
    for (int round = 0; round < 700; round++) {
        /* every size up to 400, then sizes around the lanes, at every alignment */
        size_t size = round < 400 ? (size_t)round : chance_below(&seed, TEXT_SIZE - 16);
        size_t from = chance_below(&seed, 16);
        uint32_t start = (uint32_t)chance(&seed);
        uint32_t expected = crc_by_definition(start, text + from, size);
        assert_int_equal(crc32c(start, text + from, size), expected);
        assert_int_equal(crc32c_table(start, text + from, size), expected);
        size_t to = chance_below(&seed, 16);
        memset(copy, 0xaa, TEXT_SIZE);
        assert_int_equal(crc32c_copy(start, copy + to, text + from, size), expected);
        assert_memory_equal(copy + to, text + from, size);
        assert_int_equal(copy[to + size], to + size < TEXT_SIZE ? 0xaa : copy[to + size]);
    }
    free(text);
    free(copy);
}

static void chains(void **state)
{
    (void)state;
    uint8_t text[3000];
    uint64_t seed = 2;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)chance(&seed);
    uint32_t whole = crc32c(0, text, sizeof text);
    for (size_t cut = 0; cut <= sizeof text; cut += 7)
        assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, sizeof text - cut), whole);
}

int main(void)
{
    print_message("by %s\n", crc32c_has_hardware() ? "hardware" : "table");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_3720_vectors),
        cmocka_unit_test(both_ways_agree_with_the_definition),
        cmocka_unit_test(chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
