/* ring.c - one pusher, one popper, and three cache lines that keep out of each other's way.
 *
 * Each side owns one index and remembers the other's as it last saw it, and looks again only when that is not enough:
 * a line then crosses between cores once per batch instead of once per element. Indices count up for ever; 64 bits do
 * not come round. Source: Lê, Guatto, Cohen, Pop, "Correct and Efficient Bounded FIFO Queues", 2013. */
#include "base/ring.h"
#include "base/must.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define RING_MAGIC 0x474e4952u /* "RING" */
#define LINE_SIZE  64u

struct ring {
    uint32_t magic;
    size_t element_size, mask;
    uint8_t *elements;
    _Alignas(LINE_SIZE) struct {
        _Atomic uint64_t pushed; /* the pusher writes; the popper reads */
        uint64_t popped_seen;
    } pusher;
    _Alignas(LINE_SIZE) struct {
        _Atomic uint64_t popped; /* the popper writes; the pusher reads */
        uint64_t pushed_seen;
    } popper;
};

struct ring *ring_new(size_t element_size, size_t count_max)
{
    must(element_size > 0 && count_max > 0 && count_max <= SIZE_MAX / 4);
    size_t count = 1;
    while (count < count_max)
        count *= 2;
    if (element_size > (SIZE_MAX - sizeof(struct ring) - LINE_SIZE) / count)
        return NULL;
    size_t size = sizeof(struct ring) + round_up(count * element_size, LINE_SIZE);
    struct ring *ring = aligned_alloc(LINE_SIZE, size);
    if (ring == NULL)
        return NULL;
    memset(ring, 0, size);
    ring->magic = RING_MAGIC;
    ring->element_size = element_size;
    ring->mask = count - 1;
    ring->elements = (uint8_t *)(ring + 1);
    return ring;
}

void ring_free(struct ring **ring)
{
    struct ring *r = *ring;
    *ring = NULL;
    if (r == NULL)
        return;
    CHECK_MAGIC(r, RING_MAGIC);
    r->magic = 0;
    free(r);
}

static uint8_t *element(struct ring *ring, uint64_t index)
{
    return ring->elements + (index & ring->mask) * ring->element_size;
}

bool ring_push(struct ring *ring, const void *from)
{
    return ring_push_many(ring, from, 1);
}

bool ring_pop(struct ring *ring, void *ret_element)
{
    return ring_pop_many(ring, ret_element, 1) == 1;
}

/* How many elements lie together from `index` on, of `count` wanted: the rest begins at the start again. */
static size_t until_the_end(const struct ring *ring, uint64_t index, size_t count)
{
    size_t left = ring->mask + 1 - (size_t)(index & ring->mask);
    return count < left ? count : left;
}

bool ring_push_many(struct ring *ring, const void *from, size_t count)
{
    CHECK_MAGIC(ring, RING_MAGIC);
    uint64_t pushed = atomic_load_explicit(&ring->pusher.pushed, memory_order_relaxed);
    if (count > ring->mask + 1 - (pushed - ring->pusher.popped_seen)) {
        ring->pusher.popped_seen = atomic_load_explicit(&ring->popper.popped, memory_order_acquire);
        if (count > ring->mask + 1 - (pushed - ring->pusher.popped_seen))
            return false;
    }
    size_t first = until_the_end(ring, pushed, count) * ring->element_size, all = count * ring->element_size;
    memcpy(element(ring, pushed), from, first);
    memcpy(ring->elements, (const uint8_t *)from + first, all - first);
    atomic_store_explicit(&ring->pusher.pushed, pushed + count, memory_order_release);
    return true;
}

size_t ring_pop_many(struct ring *ring, void *ret_elements, size_t count_max)
{
    CHECK_MAGIC(ring, RING_MAGIC);
    uint64_t popped = atomic_load_explicit(&ring->popper.popped, memory_order_relaxed);
    if (ring->popper.pushed_seen - popped < count_max) {
        ring->popper.pushed_seen = atomic_load_explicit(&ring->pusher.pushed, memory_order_acquire);
        must(ring->popper.pushed_seen - popped <= ring->mask + 1);
    }
    size_t there = (size_t)(ring->popper.pushed_seen - popped), count = there < count_max ? there : count_max;
    if (count == 0)
        return 0;
    size_t first = until_the_end(ring, popped, count) * ring->element_size, all = count * ring->element_size;
    memcpy(ret_elements, element(ring, popped), first);
    memcpy((uint8_t *)ret_elements + first, ring->elements, all - first);
    atomic_store_explicit(&ring->popper.popped, popped + count, memory_order_release);
    return count;
}

size_t ring_count(const struct ring *ring)
{
    CHECK_MAGIC(ring, RING_MAGIC);
    uint64_t popped = atomic_load_explicit(&ring->popper.popped, memory_order_acquire);
    uint64_t pushed = atomic_load_explicit(&ring->pusher.pushed, memory_order_acquire);
    uint64_t count = pushed - popped; /* popped was read first, so this is never negative, but may be too large */
    return count <= ring->mask ? (size_t)count : ring->mask + 1;
}
