/* units.h - numbers that must not be swapped are kept apart by the compiler.
 *
 * Five words for numbers, never mixed: an offset counts events in a partition, a position counts bytes in the journal,
 * a size is bytes, a count is things, an index is a slot. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t ns;
} mono_time; /* monotonic; from io_now(); never goes back */

typedef struct {
    int64_t ms;
} wall_time; /* Unix milliseconds; from io_wall(); may jump */

#define NS_PER_US 1000ll
#define NS_PER_MS 1000000ll
#define NS_PER_S  1000000000ll

#define MONO_NEVER ((mono_time){ INT64_MAX })

static inline mono_time mono_after(mono_time t, int64_t ns)
{
    return (mono_time){ t.ns > INT64_MAX - ns ? INT64_MAX : t.ns + ns };
}

static inline mono_time mono_min(mono_time a, mono_time b)
{
    return a.ns < b.ns ? a : b;
}

static inline uint64_t round_up(uint64_t n, uint64_t to) /* `to` is a power of two */
{
    return (n + to - 1) & ~(to - 1);
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
