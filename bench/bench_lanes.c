/* bench_lanes.c - what it costs to let many events work side by side and each key's in order.
 *
 *     bench-lanes [events (4000000)]
 *
 * A window of 65,536 events is read ahead, 1,000 are at work; whatever is at work ends in an order of chance, at once: what
 * is left is the dispatch alone: the key's hash, its lane, the lane's next. Beside it, in the same run: the same window and
 * the same ends without lanes, so without any order. Then the same for few and for many distinct keys. */
#include "keys.h"

#include "base/bytes.h"
#include "base/must.h"
#include "flow/lanes.h"
#include "io/real.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW      65536u
#define WIDTH       1000u
#define BATCH       256u
#define ROUND_COUNT 5u

static uint64_t seed = 7;

/* As they lie in a record batch: one behind the other. */
static void write_keys(uint8_t *text, const uint32_t *keys, uint32_t count)
{
    char one[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(one, sizeof one, "customer-%07u", keys[i]);
        memcpy(text + i * 16u, one, 16);
    }
}

struct bench {
    struct io *io;
    struct lanes *lanes; /* NULL: without */
    uint32_t free_slots[WINDOW], working[WIDTH], queue[WINDOW];
    uint32_t free_count, working_count, queue_from, queue_to;
};

static void read_some(struct bench *b, const uint8_t *text, uint32_t count)
{
    uint64_t hashes[BATCH];
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = bytes_hash((struct bytes){ text + i * 16u, 16 }, 1);
        if (b->lanes != NULL)
            lanes_expect(b->lanes, 0, hashes[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = b->free_slots[--b->free_count];
        if (b->lanes != NULL)
            lanes_put(b->lanes, 0, slot, hashes[i]);
        else
            b->queue[b->queue_to++ % WINDOW] = slot;
    }
}

static uint32_t take(struct bench *b)
{
    if (b->lanes != NULL)
        return lanes_take(b->lanes, 0);
    return b->queue_from == b->queue_to ? LANES_NONE : b->queue[b->queue_from++ % WINDOW];
}

static double run(struct bench *b, const uint8_t *text, uint32_t count)
{
    uint32_t read = 0, ended = 0, slot;
    b->free_count = b->working_count = b->queue_from = b->queue_to = 0;
    for (uint32_t i = 0; i < WINDOW; i++)
        b->free_slots[b->free_count++] = i;
    if (b->lanes != NULL)
        lanes_clear(b->lanes);
    mono_time start = io_now(b->io);
    while (ended < count) {
        while (b->free_count >= BATCH && read < count) {
            uint32_t some = count - read < BATCH ? count - read : BATCH;
            read_some(b, text + (size_t)read * 16, some);
            read += some;
        }
        while (b->working_count < WIDTH && (slot = take(b)) != LANES_NONE)
            b->working[b->working_count++] = slot;
        for (uint32_t i = 0; i < WIDTH / 4 && b->working_count > 0; i++) {
            uint32_t which = (uint32_t)(figures_chance(&seed) % b->working_count);
            slot = b->working[which];
            b->working[which] = b->working[--b->working_count];
            if (b->lanes != NULL)
                lanes_done(b->lanes, slot);
            b->free_slots[b->free_count++] = slot;
            ended++;
        }
    }
    return (double)(io_now(b->io).ns - start.ns) / count;
}

static double median_run(struct bench *b, struct lanes *lanes, const uint8_t *text, uint32_t count)
{
    double ns[ROUND_COUNT];
    b->lanes = lanes;
    for (uint32_t i = 0; i < ROUND_COUNT; i++)
        ns[i] = run(b, text, count);
    return median(ns, ROUND_COUNT);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct error err;
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 4000000;
    uint32_t *keys = malloc(count * sizeof(uint32_t));
    uint8_t *text = malloc((size_t)count * 16);
    struct lanes *lanes = lanes_new(WINDOW, 1);
    b.io = io_real_open(&err);
    must(count >= BATCH && keys != NULL && text != NULL && lanes != NULL && b.io != NULL);
    printf("dispatch through lanes: %u events read ahead, %u at work, one core; %zu bytes a slot\n", WINDOW, WIDTH,
           lanes_size(WINDOW, 1) / WINDOW);
    keys_zipf(&seed, keys, count, 100000);
    write_keys(text, keys, count);
    double bare = median_run(&b, NULL, text, count), ns = median_run(&b, lanes, text, count);
    printf("100,000 keys, Zipf        %6.2f M events/s  %4.0f ns   without lanes %4.0f ns   ratio %.2f\n", 1e3 / ns, ns,
           bare, bare / ns);
    double few = 0;
    for (uint32_t key_count = 1000; key_count <= 1000000; key_count *= 10) {
        keys_evenly(&seed, keys, count, key_count);
        write_keys(text, keys, count);
        ns = median_run(&b, lanes, text, count);
        few = key_count == 1000 ? ns : few;
        printf("%9u keys, evenly    %6.2f M events/s  %4.0f ns   of 1,000 keys: %.2f\n", key_count, 1e3 / ns, ns,
               ns / few);
    }
    lanes_free(&lanes);
    io_real_close(&b.io);
    free(keys);
    free(text);
    return 0;
}
