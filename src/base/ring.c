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
    CHECK_MAGIC(ring, RING_MAGIC);
    uint64_t pushed = atomic_load_explicit(&ring->pusher.pushed, memory_order_relaxed);
    if (pushed - ring->pusher.popped_seen > ring->mask) {
        ring->pusher.popped_seen = atomic_load_explicit(&ring->popper.popped, memory_order_acquire);
        if (pushed - ring->pusher.popped_seen > ring->mask)
            return false;
    }
    memcpy(element(ring, pushed), from, ring->element_size);
    atomic_store_explicit(&ring->pusher.pushed, pushed + 1, memory_order_release);
    return true;
}

bool ring_pop(struct ring *ring, void *ret_element)
{
    CHECK_MAGIC(ring, RING_MAGIC);
    uint64_t popped = atomic_load_explicit(&ring->popper.popped, memory_order_relaxed);
    if (popped == ring->popper.pushed_seen) {
        ring->popper.pushed_seen = atomic_load_explicit(&ring->pusher.pushed, memory_order_acquire);
        must(ring->popper.pushed_seen - popped <= ring->mask + 1);
        if (popped == ring->popper.pushed_seen)
            return false;
    }
    memcpy(ret_element, element(ring, popped), ring->element_size);
    atomic_store_explicit(&ring->popper.popped, popped + 1, memory_order_release);
    return true;
}

size_t ring_count(const struct ring *ring)
{
    CHECK_MAGIC(ring, RING_MAGIC);
    uint64_t popped = atomic_load_explicit(&ring->popper.popped, memory_order_acquire);
    uint64_t pushed = atomic_load_explicit(&ring->pusher.pushed, memory_order_acquire);
    uint64_t count = pushed - popped; /* popped was read first, so this is never negative, but may be too large */
    return count <= ring->mask ? (size_t)count : ring->mask + 1;
}
