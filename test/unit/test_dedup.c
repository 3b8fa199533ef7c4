/* Remembered ids against a slow, obvious model: the whole history, searched from its end. */
#include "check.h"

#include "flow/dedup.h"
#include <stdlib.h>
#include <string.h>

#define HISTORY 60000u

struct shown {
    uint64_t offset;
    int64_t time_ms;
    uint32_t id; /* 0: none */
    bool first;  /* it was no duplicate */
};

static struct shown history[HISTORY];
static uint64_t seed;

static struct dedup_id id_of(uint32_t n)
{
    uint64_t state = n;
    struct dedup_id id = { { (uint32_t)chance(&state), (uint32_t)chance(&state), (uint32_t)chance(&state) } };
    if (n % 97 == 0)
        id.part[0] = 0; /* as any other */
    if (n % 50 == 0)
        id.part[0] = 0x80000000u + n % 3; /* these meet in the table */
    return id;
}

static int64_t step_of(int64_t time_ms, int64_t window_ms)
{
    int64_t step_ms = window_ms / DEDUP_STEP_COUNT;
    return time_ms >= 0 ? time_ms / step_ms : -((-time_ms + step_ms - 1) / step_ms);
}

/* D1: an earlier event of this id that was none itself, and that lies within the window. */
static bool is_duplicate(uint32_t count, const struct shown *s, int64_t window_ms)
{
    int64_t oldest = step_of(s->time_ms, window_ms) - (int64_t)DEDUP_STEP_COUNT;
    for (uint32_t i = count; i-- > 0 && step_of(history[i].time_ms, window_ms) >= oldest;)
        if (history[i].first && history[i].id == s->id)
            return true;
    return false;
}

static void pass_or_check(struct dedup *d, uint32_t count, int64_t window_ms)
{
    struct shown *s = &history[count];
    s->first = s->id != 0 && !is_duplicate(count, s, window_ms);
    if (s->id == 0)
        dedup_pass(d, (log_offset){ s->offset }, s->time_ms);
    else
        assert_int_equal(dedup_check(d, (log_offset){ s->offset }, s->time_ms, id_of(s->id)), !s->first);
    assert_int_equal(dedup_seen(d).n, s->offset + 1);
}

static void draw(uint32_t count, uint32_t id_count, int64_t pause_ms)
{
    struct shown *before = count > 0 ? &history[count - 1] : NULL;
    history[count] =
        (struct shown){ .offset = before != NULL ? before->offset + 1 : 100,
                        .time_ms = before != NULL ? before->time_ms : -5000,
                        .id = chance_below(&seed, 10) == 0 ? 0 : 1 + (uint32_t)chance_below(&seed, id_count) };
    history[count].offset += chance_below(&seed, 20) == 0 ? chance_below(&seed, 100) : 0;
    history[count].time_ms += (int64_t)chance_below(&seed, (uint64_t)pause_ms + 1);
}

/* However few or many ids, however fast time goes by: as long as the count is not met. */
static void within_the_window_it_is_exact(void **state)
{
    static const struct {
        int64_t window_ms, pause_ms;
        uint32_t id_count, count_max;
    } worlds[] = {
        { 20480, 30, 400, 4096 }, { 20480, 3, 30000, 16384 }, { 1024, 1, 50, 1024 }, { 102400, 400, 5000, 2048 }
    };
    for (uint32_t w = 0; w < sizeof worlds / sizeof worlds[0]; w++) {
        seed = w;
        struct dedup *d = dedup_new(worlds[w].window_ms, worlds[w].count_max);
        assert_non_null(d);
        dedup_clear(d, (log_offset){ 100 });
        uint32_t duplicates = 0, count = w == 1 ? 12000 : 20000;
        for (uint32_t i = 0; i < count; i++) {
            draw(i, worlds[w].id_count, worlds[w].pause_ms);
            pass_or_check(d, i, worlds[w].window_ms);
            duplicates += history[i].id != 0 && !history[i].first;
        }
        assert_int_equal(dedup_figures(d).cut_short, 0);
        assert_true(duplicates > 100);
        dedup_free(&d);
        assert_null(d);
    }
}

/* D2: processed again from anywhere behind, nothing is a duplicate that was none, and no less. */
static void who_asks_again_is_told_the_same(void **state)
{
    struct dedup *d = dedup_new(1 << 20, 8192);
    seed = 21;
    dedup_clear(d, (log_offset){ 100 });
    for (uint32_t i = 0; i < 8000; i++) {
        draw(i, 3000, 10);
        pass_or_check(d, i, 1 << 20);
        if (chance_below(&seed, 200) != 0)
            continue;
        for (uint32_t n = (uint32_t)chance_below(&seed, i + 1); n <= i; n++)
            if (history[n].id != 0)
                assert_int_equal(dedup_check(d, (log_offset){ history[n].offset }, history[n].time_ms,
                                             id_of(history[n].id)),
                                 !history[n].first);
    }
    dedup_free(&d);
}

/* A table that was put back to an older state is shown what it lacks, and says the same from there on. */
static void an_older_table_catches_up(void **state)
{
    struct dedup *d = dedup_new(20480, 4096), *older = dedup_new(20480, 4096);
    seed = 33;
    dedup_clear(d, (log_offset){ 100 });
    dedup_clear(older, (log_offset){ 100 });
    for (uint32_t i = 0; i < 10000; i++) {
        draw(i, 1000, 20);
        pass_or_check(d, i, 20480);
        for (uint32_t n = i < 5000 ? i : 5000; i == 9999 && n <= i; n++) /* it has stood still meanwhile */
            if (history[n].id == 0)
                dedup_pass(older, (log_offset){ history[n].offset }, history[n].time_ms);
            else
                assert_int_equal(dedup_check(older, (log_offset){ history[n].offset }, history[n].time_ms,
                                             id_of(history[n].id)),
                                 !history[n].first);
        if (i < 5000 && history[i].id != 0)
            (void)dedup_check(older, (log_offset){ history[i].offset }, history[i].time_ms, id_of(history[i].id));
    }
    dedup_free(&d);
    dedup_free(&older);
}

/* Where the count is met: the newest are remembered, as many as it may, less a 64th; and it says so. */
static void the_count_cuts_the_window_short(void **state)
{
    struct dedup *d = dedup_new(1 << 20, 2048);
    for (uint32_t i = 1; i <= 20000; i++) {
        assert_false(dedup_check(d, (log_offset){ 2 * i }, i / 100, id_of(1000000 + i)));
        struct dedup_figures f = dedup_figures(d);
        assert_true(f.count <= 2048 && f.count + 2048 / 64 + 1 >= (i < 2048 ? i : 2048));
        assert_int_equal(f.cut_short > 0, i > 2048);
        if (i > 1900)
            assert_true(dedup_check(d, (log_offset){ 2 * i + 1 }, i / 100, id_of(1000000 + i - 1900)));
    }
    assert_true(dedup_figures(d).reaches_ms >= 0 && dedup_figures(d).reaches_ms < 200);
    dedup_free(&d);
}

/* Offsets are told apart by 32 bits: a long way without an id makes nobody who was forgotten come back. */
static void long_ways_bring_nobody_back(void **state)
{
    struct dedup *d = dedup_new(1 << 20, 1024);
    uint64_t offset = 7, time = 0;
    for (uint32_t round = 1; round < 60; round++) {
        for (uint32_t i = 1; i <= 100; i++)
            assert_false(dedup_check(d, (log_offset){ offset++ }, (int64_t)time, id_of(i)));
        for (uint32_t i = 1; i <= 100; i++)
            assert_true(dedup_check(d, (log_offset){ offset++ }, (int64_t)time, id_of(i)));
        if (round % 3 == 0)
            time += 3u << 20; /* the window is over */
        else
            offset += (1ull << 30) + chance_below(&seed, 1ull << 33); /* or the span is */
        dedup_pass(d, (log_offset){ offset++ }, (int64_t)time);
        for (uint32_t step = 0; step < round % 7; step++) {
            offset += 1u << 29;
            dedup_pass(d, (log_offset){ offset++ }, (int64_t)time);
        }
    }
    dedup_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_the_window_it_is_exact), cmocka_unit_test(who_asks_again_is_told_the_same),
        cmocka_unit_test(an_older_table_catches_up),     cmocka_unit_test(the_count_cuts_the_window_short),
        cmocka_unit_test(long_ways_bring_nobody_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
