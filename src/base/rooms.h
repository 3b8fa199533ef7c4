/* rooms.h - rooms of any size out of one block of memory, given back in any order.
 *
 * A room takes the shortest run of free units that it fits into, as far as lengths are told apart (each up to 16 units, then
 * eighths of a power of two), and leaves the rest of it free; what is given back joins with the free runs beside it.
 *
 * owner    one thread
 * memory   rooms_memory_size(size), taken in rooms_new(); never more
 * limits   `size` bytes in units of ROOMS_UNIT; a room lies in one run
 * errors   NULL: there is no run as long as this; others may be given back
 * promise  rooms never overlap; when all have been given back, the largest is there again */
#ifndef BASE_ROOMS_H
#define BASE_ROOMS_H

#include <stddef.h>
#include <stdint.h>

#define ROOMS_UNIT 64u

struct rooms;

struct rooms *rooms_new(size_t size); /* gives; NULL: out of memory; size: at least one unit, and a multiple of it */
void          rooms_free(struct rooms **rooms);
size_t        rooms_memory_size(size_t size);
void         *rooms_take(struct rooms *rooms, size_t size); /* of at least one byte; aligned to a unit */
void          rooms_give(struct rooms *rooms, void *at, size_t size); /* as it was taken */
size_t        rooms_left(const struct rooms *rooms); /* in all, wherever it lies */

#endif
