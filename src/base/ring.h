/* ring.h - a bounded queue of fixed-size elements from one thread to one other.
 *
 * owner    two: ring_push() belongs to one thread, ring_pop() to another; ring_count() is anybody's estimate
 * memory   one block, taken in ring_new()
 * limits   count_max elements (rounded up to a power of two); one more and ring_push() answers false
 * promise  elements leave in the order they came, whole; what the pusher wrote before the push is seen after the pop
 *
 * C11 atomics, so that the thread sanitizer understands it. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include "base/units.h"

struct ring;

struct ring *ring_new(size_t element_size, size_t count_max); /* gives; NULL: out of memory */
void         ring_free(struct ring **ring);
bool         ring_push(struct ring *ring, const void *element);  /* copies; false: full */
bool         ring_pop(struct ring *ring, void *ret_element);     /* false: empty */
/* All of them, or none (false); up to `count_max` of them. The other side sees them at one time. */
bool         ring_push_many(struct ring *ring, const void *elements, size_t count);
size_t       ring_pop_many(struct ring *ring, void *ret_elements, size_t count_max);
size_t       ring_count(const struct ring *ring);                /* exact for either owner's own side */

#endif
