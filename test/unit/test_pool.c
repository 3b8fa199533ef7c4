/* A pool's threads run what they are given, each work once: a thread more before one waits, what nobody has room for as it was
 * said, and those that have nothing to do end.
 *
 * With real threads and chance; and in the simulator, where each bound is met exactly. */
#include "check.h"

#include "base/must.h"
#include "flow/pool.h"
#include "io/real.h"
#include "io/sim.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WORK_COUNT 64u
#define ROUNDS     20000u

struct job {
    struct pool_work work;
    struct world *w;
    uint32_t number;
    bool busy;
    _Atomic uint32_t ran;
    uint32_t came_back, dropped;
};

struct world {
    struct io *io;
    struct io_agent owner;
    struct pool *pool;
    struct job jobs[WORK_COUNT];
    _Atomic uint32_t at_once, at_once_max;
    int64_t takes_ns;
    uint32_t begun[WORK_COUNT];
    _Atomic uint32_t begun_count;
    uint32_t taken, back, rounds, dropped;
    pthread_t owner_thread;
    uint64_t seed;
};

static void run(struct pool_work *work)
{
    struct job *j = (struct job *)work;
    struct world *w = j->w;
    uint32_t now = atomic_fetch_add(&w->at_once, 1) + 1, most = atomic_load(&w->at_once_max);
    while (now > most && !atomic_compare_exchange_weak(&w->at_once_max, &most, now))
        ;
    uint32_t order = atomic_fetch_add(&w->begun_count, 1);
    if (order < WORK_COUNT)
        w->begun[order] = j->number;
    if (w->takes_ns > 0 || j->number % 8 == 0)
        io_sleep(w->io, w->takes_ns > 0 ? w->takes_ns : 20000);
    atomic_fetch_add(&j->ran, 1);
    atomic_fetch_sub(&w->at_once, 1);
}

static void done(struct pool_work *work)
{
    struct job *j = (struct job *)work;
    assert_true(j->busy); /* P1 */
    j->busy = false;
    j->came_back++;
    j->dropped += work->dropped;
    j->w->dropped += work->dropped;
    j->w->back++;
}

static void start(struct world *w, struct io *io, uint32_t (*turn)(void *ctx, mono_time now), struct pool_size size)
{
    memset(w, 0, sizeof *w);
    w->io = io;
    w->owner = (struct io_agent){ .name = "owner", .work = turn, .ctx = w };
    assert_int_equal(io_agent_attach(io, &w->owner, NULL), NEAP_OK);
    struct pool_options options = { .io = io, .owner = &w->owner, .name = "a-pool-of-threads", .size = size };
    assert_int_equal(pool_open(&options, &w->pool, NULL), NEAP_OK);
    assert_true(pool_memory_size(size.max) > size.max * sizeof(struct io_agent));
    for (uint32_t i = 0; i < WORK_COUNT; i++)
        w->jobs[i] = (struct job){ .work = { .run = run, .done = done }, .w = w, .number = i };
}

static void stop(struct world *w)
{
    assert_true(pool_is_empty(w->pool));
    pool_close(&w->pool);
    assert_null(w->pool);
    io_agent_stop(&w->owner);
}

static enum neap_status submit(struct world *w, uint32_t i)
{
    must(!w->jobs[i].busy);
    w->jobs[i].busy = true;
    enum neap_status status = pool_submit(w->pool, &w->jobs[i].work);
    if (status != NEAP_OK)
        w->jobs[i].busy = false;
    else
        w->taken++;
    return status;
}

/* ---- real threads ---------------------------------------------------------------------------------------------------------- */

static uint32_t submit_by_chance(void *ctx, mono_time now)
{
    struct world *w = ctx;
    uint32_t count = pool_turn(w->pool, now);
    for (uint32_t i = 0; i < 4 && w->taken < ROUNDS; i++) {
        uint32_t which = (uint32_t)chance_below(&w->seed, WORK_COUNT);
        if (!w->jobs[which].busy && submit(w, which) == NEAP_OK)
            count++;
        which = (uint32_t)chance_below(&w->seed, WORK_COUNT);
        if (w->jobs[which].busy && chance_below(&w->seed, 50) == 0 && pool_take_back(w->pool, &w->jobs[which].work)) {
            w->jobs[which].busy = false;
            w->taken--;
        }
    }
    if (chance_below(&w->seed, 2000) == 0) {
        uint32_t max = 1 + (uint32_t)chance_below(&w->seed, 6);
        pool_resize(w->pool, &(struct pool_size){ .core = max / 2, .max = max, .queue = 16, .idle_ns = 100000 });
    }
    if (w->taken == ROUNDS && w->back == ROUNDS)
        io_agent_leave(&w->owner);
    return count;
}

static void real_threads(void **state)
{
    struct world w;
    struct io *io = io_real_open(NULL);
    start(&w, io, submit_by_chance, (struct pool_size){ .core = 1, .max = 4, .queue = 16, .idle_ns = 100000 });
    w.seed = 7;
    assert_int_equal(io_agent_run(io, &w.owner, MONO_NEVER, NULL), NEAP_OK);
    uint64_t ran = 0;
    for (uint32_t i = 0; i < WORK_COUNT; i++) {
        assert_int_equal(w.jobs[i].ran, w.jobs[i].came_back);
        ran += w.jobs[i].ran;
    }
    assert_int_equal(ran, ROUNDS);
    assert_true(w.at_once_max <= 6 && w.at_once_max > 1);
    struct pool_figures f = pool_figures(w.pool);
    assert_int_equal(f.ran, ROUNDS);
    assert_int_equal(f.running + f.waiting, 0);
    stop(&w);
    io_real_close(&io);
}

static uint32_t submit_one(void *ctx, mono_time now)
{
    struct world *w = ctx;
    (void)pool_turn(w->pool, now);
    if (w->back == w->taken && w->taken < 2000)
        assert_int_equal(submit(w, w->taken % WORK_COUNT), NEAP_OK);
    if (w->back == 2000)
        io_agent_leave(&w->owner);
    return 0; /* it rests until it is woken */
}

/* One after the other: a wake-up that is lost shows as a test that does not end. */
static void nobody_is_left_asleep(void **state)
{
    struct world w;
    struct io *io = io_real_open(NULL);
    start(&w, io, submit_one, (struct pool_size){ .core = 1, .max = 2, .idle_ns = NS_PER_S });
    assert_int_equal(io_agent_run(io, &w.owner, MONO_NEVER, NULL), NEAP_OK);
    assert_int_equal(pool_figures(w.pool).started, 1); /* the one that is idle is taken first */
    stop(&w);
    io_real_close(&io);
}

/* ---- bounds, in the simulator ------------------------------------------------------------------------------------------------ */

static uint32_t turn_only(void *ctx, mono_time now)
{
    return pool_turn(((struct world *)ctx)->pool, now);
}

static struct io *sim_start(struct world *w, struct pool_size size, uint64_t seed)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = seed });
    start(w, io, turn_only, size);
    w->takes_ns = NS_PER_MS;
    return io;
}

static void sim_let(struct world *w, int64_t ns)
{
    assert_int_equal(io_agent_run(w->io, &w->owner, mono_after(io_now(w->io), ns), NULL), NEAP_TIMEOUT);
}

static void sim_stop(struct world *w)
{
    struct io *io = w->io;
    stop(w);
    sim_close(&io);
}

/* 3 threads, 4 places: what of the first 7 works, and then of the eighth? */
static struct io *fill(struct world *w, enum pool_reject reject, uint64_t seed)
{
    struct pool_size size = { .core = 1, .max = 3, .queue = 4, .idle_ns = NS_PER_S, .reject = reject };
    struct io *io = sim_start(w, size, seed);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(submit(w, i), NEAP_OK);
        struct pool_figures f = pool_figures(w->pool);
        assert_int_equal(f.running, i < 3 ? i + 1 : 3); /* P2: grown before anything waits */
        assert_int_equal(f.waiting, i < 3 ? 0 : i - 2);
        assert_int_equal(f.threads, f.running);
    }
    return io;
}

static void assert_all_ran(struct world *w, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        assert_int_equal(w->jobs[i].ran, 1);
        assert_int_equal(w->jobs[i].came_back, 1);
        assert_int_equal(w->jobs[i].dropped, 0);
    }
}

static void full(void **state)
{
    struct world w;
    for (uint64_t seed = 1; seed < 40; seed++) {
        fill(&w, POOL_BLOCK, seed);
        assert_int_equal(submit(&w, 7), NEAP_AGAIN);
        sim_let(&w, 10 * NS_PER_MS);
        assert_int_equal(submit(&w, 7), NEAP_OK);
        sim_let(&w, 10 * NS_PER_MS);
        assert_all_ran(&w, 0, 8);
        assert_int_equal(w.at_once_max, 3);
        sim_stop(&w);

        fill(&w, POOL_REJECT, seed);
        assert_int_equal(submit(&w, 7), NEAP_REFUSED);
        sim_let(&w, 20 * NS_PER_MS);
        assert_all_ran(&w, 0, 7);
        assert_int_equal(w.jobs[7].ran + w.jobs[7].came_back, 0);
        assert_int_equal(pool_figures(w.pool).rejected, 1);
        sim_stop(&w);

        fill(&w, POOL_DROP_NEWEST, seed);
        assert_int_equal(submit(&w, 7), NEAP_OK);
        assert_int_equal(w.jobs[7].came_back, 0); /* not within the call */
        sim_let(&w, 20 * NS_PER_MS);
        assert_all_ran(&w, 0, 7);
        assert_int_equal(w.jobs[7].ran, 0);
        assert_int_equal(w.jobs[7].dropped, 1);
        assert_int_equal(pool_figures(w.pool).dropped, 1);
        sim_stop(&w);

        fill(&w, POOL_DROP_OLDEST, seed);
        assert_int_equal(submit(&w, 7), NEAP_OK);
        sim_let(&w, 20 * NS_PER_MS);
        assert_all_ran(&w, 0, 3);
        assert_all_ran(&w, 4, 8);
        assert_int_equal(w.jobs[3].dropped, 1); /* the first that had no thread */
        assert_int_equal(w.jobs[3].ran, 0);
        sim_stop(&w);

        fill(&w, POOL_CALLER_RUNS, seed);
        assert_int_equal(submit(&w, 7), NEAP_OK);
        assert_int_equal(w.jobs[7].ran, 1);
        assert_int_equal(w.jobs[7].came_back, 0);
        sim_let(&w, 20 * NS_PER_MS);
        assert_all_ran(&w, 0, 8);
        sim_stop(&w);
    }
}

/* Those that wait are begun in order; one can be taken back; a pool of one thread keeps the order of all. */
static void in_order(void **state)
{
    struct world w;
    for (uint64_t seed = 1; seed < 40; seed++) {
        (void)sim_start(&w, (struct pool_size){ .core = 0, .max = 1, .queue = 20, .idle_ns = 0 }, seed);
        for (uint32_t i = 0; i < 20; i++)
            assert_int_equal(submit(&w, i), NEAP_OK);
        assert_false(pool_take_back(w.pool, &w.jobs[0].work)); /* a thread has it */
        assert_true(pool_take_back(w.pool, &w.jobs[9].work));
        assert_false(pool_take_back(w.pool, &w.jobs[9].work));
        w.jobs[9].busy = false;
        sim_let(&w, 100 * NS_PER_MS);
        assert_int_equal(w.begun_count, 19);
        for (uint32_t i = 0; i < 19; i++)
            assert_int_equal(w.begun[i], i < 9 ? i : i + 1);
        assert_int_equal(pool_figures(w.pool).threads, 0); /* core and idle are none */
        assert_int_equal(submit(&w, 9), NEAP_OK);          /* and there is one again when it is wanted */
        sim_let(&w, 10 * NS_PER_MS);
        assert_int_equal(w.jobs[9].ran, 1);
        sim_stop(&w);
    }
}

static void grows_and_shrinks(void **state)
{
    struct world w;
    struct pool_size size = { .core = 2, .max = 8, .queue = 30, .idle_ns = NS_PER_S };
    (void)sim_start(&w, size, 3);
    w.takes_ns = 10 * NS_PER_MS;
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(submit(&w, i), NEAP_OK);
    sim_let(&w, 900 * NS_PER_MS);
    assert_int_equal(pool_figures(w.pool).threads, 8); /* not yet */
    sim_let(&w, 200 * NS_PER_MS);
    assert_int_equal(pool_figures(w.pool).threads, 2); /* P4 */
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(submit(&w, 10 + i), NEAP_OK);
    size.max = size.core = 1; /* while eight are at work */
    pool_resize(w.pool, &size);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(submit(&w, 20 + i), NEAP_OK);
    sim_let(&w, 15 * NS_PER_MS);
    assert_int_equal(pool_figures(w.pool).threads, 1);
    w.at_once_max = 0;
    sim_let(&w, 40 * NS_PER_MS);
    assert_int_equal(w.at_once_max, 1);
    size.max = 5;
    pool_resize(w.pool, &size); /* what waits is begun at once */
    sim_let(&w, 15 * NS_PER_MS);
    assert_int_equal(w.at_once_max, 5);
    sim_let(&w, NS_PER_S);
    assert_all_ran(&w, 0, 8);
    assert_all_ran(&w, 10, 18);
    assert_all_ran(&w, 20, 40);
    sim_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_threads), cmocka_unit_test(nobody_is_left_asleep), cmocka_unit_test(full),
        cmocka_unit_test(in_order),     cmocka_unit_test(grows_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
