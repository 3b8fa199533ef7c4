/* bench_way.c - events on their way through a stage that waits: what the way itself costs, and how much of the time that others
 * take is lost.
 *
 *     bench-way [events (2000000)]
 *
 * First a stage whose works end at once, in the order in which they were begun: what is left is the way: copying the record into
 * the window, its key's lane, its turn, its end. Then stages that take 1, 10 and 100 ms for an event, 1,000 at a time, against
 * what that allows at most: concurrency / latency. The order of each key is checked on the way. */
#include "keys.h"

#include "base/must.h"
#include "flow/way.h"
#include "io/real.h"
#include <stdio.h>
#include <string.h>

#define WINDOW        65536u
#define CONCURRENCY   1000u
#define KEY_COUNT_MAX 1000000u
#define RUN_NS        (3 * NS_PER_S)
#define ROUND_COUNT   3u

static const char value[] =
    "{\"customer\":\"c\",\"total\":129,\"country\":\"CH\",\"items\":[1,2,3],\"paid\":true,\"note\":\"none\"}";

struct mill { /* works end in the order in which they were begun, `latency_ns` later */
    struct waiting waiting;
    struct io *io;
    int64_t latency_ns;
    struct waiting_work *works[CONCURRENCY];
    int64_t ends[CONCURRENCY];
    uint64_t from, to;
};

static enum waiting_begun mill_begin(struct waiting *stage, struct waiting_work *work, struct event *event,
                                     struct arena *arena, struct failure *failure, mono_time *ret_not_before)
{
    struct mill *m = (struct mill *)(void *)stage;
    (void)event, (void)arena, (void)failure, (void)ret_not_before;
    must(m->to - m->from < CONCURRENCY);
    m->works[m->to % CONCURRENCY] = work;
    m->ends[m->to % CONCURRENCY] = m->latency_ns > 0 ? io_now(m->io).ns + m->latency_ns : 0;
    m->to++;
    return WAITING_BEGUN;
}

static uint32_t mill_work(struct waiting *stage, mono_time now)
{
    struct mill *m = (struct mill *)(void *)stage;
    uint32_t count = 0;
    for (; m->from < m->to && m->ends[m->from % CONCURRENCY] <= now.ns; count++) {
        struct waiting_work *work = m->works[m->from++ % CONCURRENCY];
        work->outcome = OUTCOME_DELIVERED;
        bool taken = work->done(work);
        must(taken);
    }
    return count;
}

static void mill_cancel(struct waiting *stage, struct waiting_work *work)
{
    (void)stage, (void)work;
}

static void mill_free(struct waiting *stage)
{
    (void)stage;
}

static const struct waiting_verbs verbs = { "mill", true, mill_begin, NULL, mill_cancel, mill_work, mill_free };

struct bench {
    struct io *io;
    struct way *way;
    struct mill mill;
    uint32_t *keys; /* of the events, by offset modulo their number */
    uint32_t key_count_drawn;
    uint64_t last[KEY_COUNT_MAX]; /* offset + 1 of the last one that ended, by key */
    uint64_t read, ended, inversions;
};

static uint64_t seed = 9;

static void lay_some(struct bench *b, uint32_t count, uint64_t until)
{
    char key[32] = "customer-0000000";
    struct record record = { .key = { (const uint8_t *)key, 16 }, .value = BYTES("") };
    record.value = bytes_of_text(value);
    for (uint32_t i = 0; i < 512 && b->read < until; i++) {
        uint32_t k = b->keys[b->read % count];
        for (int at = 15; at >= 9; at--, k /= 10)
            key[at] = (char)('0' + k % 10);
        record.offset = b->read;
        if (way_lay(b->way, &record, (struct bytes){ NULL, 0 }, NULL) != NEAP_OK)
            return;
        b->read++;
    }
}

static void take_ends(struct bench *b, uint32_t count)
{
    struct way_end end;
    while (way_next(b->way, &end)) {
        uint32_t key = b->keys[end.record->offset % count];
        b->inversions += end.record->offset + 1 <= b->last[key];
        b->last[key] = end.record->offset + 1;
        way_take(b->way, 1);
        way_settle(b->way, end.slot);
        b->ended++;
    }
}

/* Until all have ended, or the time is over. Answers ns for an event. */
static double run(struct bench *b, uint32_t count, uint64_t until, int64_t time_ns)
{
    b->read = b->ended = 0;
    memset(b->last, 0, sizeof b->last);
    way_begin(b->way, 0, (log_offset){ 0 });
    mono_time start = io_now(b->io), now = start;
    while (b->ended < until && (time_ns == 0 || now.ns - start.ns < time_ns)) {
        lay_some(b, count, until);
        (void)way_work(b->way, now);
        now = io_now(b->io);
        (void)mill_work(&b->mill.waiting, now);
        take_ends(b, count);
    }
    double ns = (double)(io_now(b->io).ns - start.ns) / (double)b->ended;
    while (way_works(b->way)) { /* what is left at work */
        (void)mill_work(&b->mill.waiting, io_now(b->io));
        take_ends(b, count);
    }
    return ns;
}

static double median_run(struct bench *b, uint32_t count)
{
    double ns[ROUND_COUNT];
    for (uint32_t i = 0; i < ROUND_COUNT; i++)
        ns[i] = run(b, count, count, 0);
    return median(ns, ROUND_COUNT);
}

static void open_way(struct bench *b, struct chain **chain, struct arena *arena)
{
    static struct waiting *stages[1];
    stages[0] = &b->mill.waiting;
    b->mill.waiting = (struct waiting){
        .verbs = &verbs, .name = "mill", .retry = { 1, 0, 0 }, .timeout_ns = NS_PER_S, .concurrency = CONCURRENCY
    };
    b->mill.io = b->io;
    struct way_options options = { .io = b->io,
                                   .arena = arena,
                                   .chains = chain,
                                   .stages = stages,
                                   .stage_count = 1,
                                   .topic = "orders",
                                   .window = { .slot_count = WINDOW, .size = 64u << 20, .reserve = 1 << 20 } };
    enum neap_status status = way_new(&options, &b->way);
    must(status == NEAP_OK);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct error err;
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 2000000;
    b.io = io_real_open(&err);
    b.keys = malloc(count * sizeof b.keys[0]);
    struct json_parser *parser = json_parser_new(1 << 20);
    struct arena *arena = arena_new(1 << 16, 1 << 20);
    must(count >= 1000 && b.io != NULL && b.keys != NULL && parser != NULL && arena != NULL);
    struct chain *chain = chain_new(NULL, 0, parser);
    must(chain != NULL);
    open_way(&b, &chain, arena);
    printf("the way of events through a stage that waits: %u read ahead, %u at work, one core\n", WINDOW, CONCURRENCY);
    keys_zipf(&seed, b.keys, count, 100000);
    double ns = median_run(&b, count), few = 0;
    printf("ends at once, 100,000 keys, Zipf    %6.2f M events/s  %4.0f ns\n", 1e3 / ns, ns);
    for (uint32_t key_count = 1000; key_count <= KEY_COUNT_MAX; key_count *= 10) {
        keys_evenly(&seed, b.keys, count, key_count);
        ns = median_run(&b, count);
        few = key_count == 1000 ? ns : few;
        printf("ends at once, %9u keys, evenly %6.2f M events/s  %4.0f ns   of 1,000 keys: %.2f\n", key_count, 1e3 / ns,
               ns, ns / few);
    }
    keys_evenly(&seed, b.keys, count, 10000);
    for (int64_t ms = 1; ms <= 100; ms *= 10) {
        b.mill.latency_ns = ms * NS_PER_MS;
        double most = CONCURRENCY * 1000.0 / (double)ms, got = 1e9 / run(&b, count, UINT64_MAX, RUN_NS);
        printf("takes %3lld ms, 10,000 keys          %9.0f events/s of %9.0f that are possible: %.3f\n", (long long)ms,
               got, most, got / most);
    }
    printf("ends of a key out of order: %llu\n", (unsigned long long)b.inversions);
    way_free(&b.way);
    chain_free(&chain);
    json_parser_free(&parser);
    arena_free(&arena);
    io_real_close(&b.io);
    free(b.keys);
    return b.inversions > 0;
}
