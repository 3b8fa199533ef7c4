/* test_wheel.c - the timing wheel against a slow, obvious model: a table of due times that is searched from end to end. */
#include "check.h"

#include "io/wheel.h"
#include <stdlib.h>

#define TIMER_COUNT 300u

struct model {
    uint64_t seed;
    struct wheel wheel;
    struct io_timer timers[TIMER_COUNT];
    int64_t give_tick[TIMER_COUNT]; /* the tick at which the timer must be given; -1: not set */
    int64_t now_ns;
};

static int64_t random_span_ns(struct model *m) /* any order of magnitude, so that every level is used */
{
    return (int64_t)(chance(&m->seed) >> (1 + chance(&m->seed) % 63));
}

static int64_t model_next_tick(const struct model *m)
{
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        if (m->give_tick[i] >= 0 && m->give_tick[i] < next)
            next = m->give_tick[i];
    return next;
}

static void model_set(struct model *m, unsigned i)
{
    int64_t span = random_span_ns(m);
    int64_t due = chance(&m->seed) % 8 == 0 ? m->now_ns - span % (m->now_ns + 1) /* passed already */
                                            : mono_after((mono_time){ m->now_ns }, span).ns;
    int64_t tick = due / WHEEL_TICK_NS + (due % WHEEL_TICK_NS != 0);
    int64_t now_tick = m->now_ns / WHEEL_TICK_NS;
    m->give_tick[i] = tick > now_tick ? tick : now_tick + 1;
    wheel_set(&m->wheel, &m->timers[i], (mono_time){ due });
}

static void model_advance(struct model *m, int64_t to_ns)
{
    m->now_ns = to_ns;
    wheel_advance(&m->wheel, (mono_time){ to_ns });
    struct io_timer *timer;
    while ((timer = wheel_take(&m->wheel)) != NULL) {
        unsigned i = (unsigned)(timer - m->timers);
        assert_true(m->give_tick[i] >= 0);                     /* it was set, and is given once */
        assert_true(m->give_tick[i] <= to_ns / WHEEL_TICK_NS); /* never early */
        assert_null(timer->link_);
        m->give_tick[i] = -1;
    }
    assert_true(model_next_tick(m) > to_ns / WHEEL_TICK_NS); /* nothing that is due stays behind */
}

static void check_next(const struct model *m)
{
    int64_t next = model_next_tick(m);
    int64_t said = wheel_next(&m->wheel).ns;
    if (next == INT64_MAX) {
        assert_true(said == INT64_MAX);
    } else {
        assert_true(said / WHEEL_TICK_NS <= next);                     /* resting until then oversleeps nothing */
        assert_true(said / WHEEL_TICK_NS > m->now_ns / WHEEL_TICK_NS); /* and is a rest */
    }
}

static void run_model(uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->seed = seed;
    m->now_ns = random_span_ns(m) >> 8;
    wheel_init(&m->wheel, (mono_time){ m->now_ns });
    for (unsigned i = 0; i < TIMER_COUNT; i++)
        m->give_tick[i] = -1;
    for (int step = 0; step < 4000; step++) {
        unsigned i = (unsigned)(chance(&m->seed) % TIMER_COUNT);
        uint64_t choice = chance(&m->seed) % 10;
        if (choice < 5) {
            model_set(m, i);
        } else if (choice < 7) {
            wheel_cancel(&m->wheel, &m->timers[i]);
            m->give_tick[i] = -1;
        } else if (choice < 9) {
            int64_t next = wheel_next(&m->wheel).ns; /* as an agent does: rest until the wheel says */
            if (next != INT64_MAX)
                model_advance(m, next);
        } else if (m->now_ns < INT64_MAX / 4) {
            model_advance(m, m->now_ns + random_span_ns(m) / 4);
        }
        check_next(m);
    }
    free(m);
}

static void agrees_with_the_model(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_model(seed);
}

static void gives_at_the_tick_after_due(void **state)
{
    struct wheel wheel;
    struct io_timer timer = { .next_ = NULL };
    wheel_init(&wheel, (mono_time){ 0 });
    wheel_set(&wheel, &timer, (mono_time){ 3 * WHEEL_TICK_NS + 1 });
    wheel_advance(&wheel, (mono_time){ 4 * WHEEL_TICK_NS - 1 });
    assert_null(wheel_take(&wheel));
    wheel_advance(&wheel, (mono_time){ 4 * WHEEL_TICK_NS });
    assert_ptr_equal(wheel_take(&wheel), &timer);
    assert_null(wheel_take(&wheel));
}

static void one_that_sets_itself_waits_for_the_next_tick(void **state)
{
    struct wheel wheel;
    struct io_timer timer = { .next_ = NULL };
    wheel_init(&wheel, (mono_time){ 0 });
    wheel_set(&wheel, &timer, (mono_time){ 0 });
    for (int64_t tick = 1; tick <= 200; tick++) { /* over the ends of the first level's slots too */
        wheel_advance(&wheel, (mono_time){ tick * WHEEL_TICK_NS });
        assert_ptr_equal(wheel_take(&wheel), &timer);
        wheel_set(&wheel, &timer, (mono_time){ 0 });
        assert_null(wheel_take(&wheel));
    }
}

static void a_due_one_can_be_cancelled_or_moved_by_another(void **state)
{
    struct wheel wheel;
    struct io_timer timers[3] = { { .next_ = NULL } };
    wheel_init(&wheel, (mono_time){ 0 });
    for (int i = 0; i < 3; i++)
        wheel_set(&wheel, &timers[i], (mono_time){ WHEEL_TICK_NS });
    wheel_advance(&wheel, (mono_time){ WHEEL_TICK_NS });
    struct io_timer *first = wheel_take(&wheel);
    struct io_timer *others[2];
    unsigned count = 0;
    for (int i = 0; i < 3; i++)
        if (&timers[i] != first)
            others[count++] = &timers[i];
    assert_int_equal(count, 2);
    wheel_cancel(&wheel, others[0]);
    wheel_set(&wheel, others[1], (mono_time){ 2 * WHEEL_TICK_NS });
    assert_null(wheel_take(&wheel));
    wheel_advance(&wheel, (mono_time){ 2 * WHEEL_TICK_NS });
    assert_ptr_equal(wheel_take(&wheel), others[1]);
    assert_true(wheel_next(&wheel).ns == INT64_MAX);
}

static void the_end_of_time_is_a_time(void **state)
{
    struct wheel wheel;
    struct io_timer timer = { .next_ = NULL };
    wheel_init(&wheel, (mono_time){ 12345 });
    wheel_set(&wheel, &timer, MONO_NEVER);
    wheel_advance(&wheel, (mono_time){ INT64_MAX - WHEEL_TICK_NS });
    assert_null(wheel_take(&wheel));
    wheel_cancel(&wheel, &timer);
    assert_true(wheel_next(&wheel).ns == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(gives_at_the_tick_after_due),
        cmocka_unit_test(one_that_sets_itself_waits_for_the_next_tick),
        cmocka_unit_test(a_due_one_can_be_cancelled_or_moved_by_another),
        cmocka_unit_test(the_end_of_time_is_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
