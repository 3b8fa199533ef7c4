/* crc32c.h - Castagnoli's CRC, by the processor where it can, by tables where it cannot.
 *
 * crc32c(0, "123456789", 9) is 0xe3069283. Chainable: crc32c(crc32c(0, a), b) == crc32c(0, ab).
 * Chosen once, before main(); both ways give the same answer and are compared in the tests.
 * Source: RFC 3720 appendix B.4; the three-lane scheme is the one of Mark Adler's public description. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/bytes.h"

uint32_t crc32c(uint32_t crc, const void *at, size_t size);
uint32_t crc32c_table(uint32_t crc, const void *at, size_t size);    /* the fallback, for tests and bench */
bool     crc32c_has_hardware(void);
/* Copies and checks in one pass: memcpy(to, from, size) and the CRC of what was copied. */
uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t size);

#endif
