/* arena.h - memory for one batch of work: taken bit by bit, given back all at once.
 *
 * owner    whoever made it; one thread
 * memory   blocks of block_size (a larger request gets a block of its own), up to size_max in all; reset keeps the first
 *          block and frees the others
 * limits   size_max bytes; one more and arena_take() answers NULL, changing nothing
 * promise  what it gives is aligned to 16 and stays where it is until reset or free */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/bytes.h"

struct arena;

struct arena *arena_new(size_t block_size, size_t size_max); /* gives; NULL: out of memory */
void          arena_free(struct arena **arena);
void         *arena_take(struct arena *arena, size_t size); /* NULL: limit or memory; not zeroed */
void         *arena_zero(struct arena *arena, size_t size); /* the same, zeroed */
struct bytes  arena_copy(struct arena *arena, struct bytes bytes); /* {NULL, 0} on failure; a NUL follows the bytes */
char         *arena_text(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void          arena_reset(struct arena *arena);
size_t        arena_used(const struct arena *arena);

#endif
