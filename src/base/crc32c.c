/* crc32c.c - one answer, two ways to it.
 *
 * BY HARDWARE  the crc32 instruction takes 8 bytes a cycle but answers after three, so three lanes of the text run side
 * by side, and their states are folded into one: a lane's state is multiplied by x^(8 * bytes that follow) modulo the
 * polynomial. That product is one carry-less multiplication by a constant and one crc32: for the 64-bit product D of
 * state and constant, crc32(0, D) is D * x^32 mod P, and the reflected product carries one more x; hence each constant
 * below is x^(8 * bytes - 33) mod P, bit-reflected.
 *
 * BY TABLE  eight tables let eight bytes be looked up at a time ("slicing by 8", Kounavis and Berry, 2005). */
#include "base/crc32c.h"
#include "base/must.h"

#define POLYNOMIAL_REFLECTED 0x82f63b78u

static uint32_t table[8][256];
static bool has_hardware;

uint32_t crc32c_table(uint32_t crc, const void *at, size_t size)
{
    const uint8_t *b = at;
    crc = ~crc;
    for (; size >= 8; size -= 8, b += 8) {
        uint32_t low = get_le32(b) ^ crc, high = get_le32(b + 4);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
              table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^ table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; size > 0; size--, b++)
        crc = table[0][(crc ^ *b) & 0xff] ^ crc >> 8;
    return ~crc;
}

static void fill_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[0][table[k - 1][i] & 0xff] ^ table[k - 1][i] >> 8;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define BY_HARDWARE __attribute__((target("sse4.2,pclmul")))
#define ALWAYS      static inline __attribute__((always_inline)) BY_HARDWARE

ALWAYS uint64_t load(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

ALWAYS uint64_t fold(uint64_t crc, uint32_t constant)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int32_t)constant), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three lanes of lane_size bytes; `to` is NULL or takes a copy on the way. */
ALWAYS uint64_t three_lanes(uint64_t crc, const uint8_t *from, uint8_t *to, size_t lane_size, uint32_t by_two_lanes,
                            uint32_t by_one_lane)
{
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < lane_size; i += 8) {
        uint64_t u = load(from + i), v = load(from + i + lane_size), w = load(from + i + 2 * lane_size);
        a = _mm_crc32_u64(a, u);
        b = _mm_crc32_u64(b, v);
        c = _mm_crc32_u64(c, w);
        if (to != NULL) {
            memcpy(to + i, &u, 8);
            memcpy(to + i + lane_size, &v, 8);
            memcpy(to + i + 2 * lane_size, &w, 8);
        }
    }
    return fold(a, by_two_lanes) ^ fold(b, by_one_lane) ^ c;
}

#define LANES(lane_size, by_two_lanes, by_one_lane)                                       \
    for (; size >= 3 * (lane_size); size -= 3 * (lane_size), from += 3 * (lane_size)) {   \
        state = three_lanes(state, from, to, (lane_size), (by_two_lanes), (by_one_lane)); \
        if (to != NULL)                                                                   \
            to += 3 * (lane_size);                                                        \
    }

ALWAYS uint32_t run(uint32_t crc, const uint8_t *from, uint8_t *to, size_t size)
{
    uint64_t state = (uint32_t)~crc;
    LANES(4096, 0x54a86326u, 0x82f89c77u)
    LANES(512, 0x170076fau, 0xdd7e3b0cu)
    LANES(64, 0x0d3b6092u, 0x9e4addf8u)
    for (; size >= 8; size -= 8, from += 8) {
        uint64_t v = load(from);
        state = _mm_crc32_u64(state, v);
        if (to != NULL) {
            memcpy(to, &v, 8);
            to += 8;
        }
    }
    if (size >= 4) {
        uint32_t v;
        memcpy(&v, from, sizeof v);
        state = _mm_crc32_u32((uint32_t)state, v);
        if (to != NULL) {
            memcpy(to, &v, sizeof v);
            to += 4;
        }
        size -= 4;
        from += 4;
    }
    for (; size > 0; size--, from++) {
        state = _mm_crc32_u8((uint32_t)state, *from);
        if (to != NULL)
            *to++ = *from;
    }
    return ~(uint32_t)state;
}

BY_HARDWARE static uint32_t crc_by_hardware(uint32_t crc, const void *at, size_t size)
{
    return run(crc, at, NULL, size);
}

BY_HARDWARE static uint32_t copy_by_hardware(uint32_t crc, void *to, const void *from, size_t size)
{
    return run(crc, from, to, size);
}

static bool find_hardware(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}
#else
static uint32_t crc_by_hardware(uint32_t crc, const void *at, size_t size)
{
    return crc32c_table(crc, at, size);
}

static uint32_t copy_by_hardware(uint32_t crc, void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return crc32c_table(crc, to, size);
}

static bool find_hardware(void)
{
    return false;
}
#endif

/* Before main(), so that no thread ever sees a half-made table. */
__attribute__((constructor)) static void choose(void)
{
    fill_table();
    has_hardware = find_hardware();
}

bool crc32c_has_hardware(void)
{
    return has_hardware;
}

uint32_t crc32c(uint32_t crc, const void *at, size_t size)
{
    must(at != NULL || size == 0);
    return has_hardware ? crc_by_hardware(crc, at, size) : crc32c_table(crc, at, size);
}

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    must((to != NULL && from != NULL) || size == 0);
    if (has_hardware)
        return copy_by_hardware(crc, to, from, size);
    if (size > 0)
        memcpy(to, from, size);
    return crc32c_table(crc, to, size);
}
