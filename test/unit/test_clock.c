/* test_clock.c - a clock that is wrong frees nothing before its time, and what was appended meanwhile goes when it is old */
#include "io/sim.h"
#include "log/local/clock.h"
#include "log_bench.h"
#include "node/control.h"

#define HOUR_NS      (3600 * NS_PER_S)
#define HOUR_MS      (3600 * 1000ll)
#define DAY_MS       (24 * HOUR_MS)
#define TEN_YEARS_MS (3650 * DAY_MS)
#define COUNT        40u

static struct log_partition begin(struct bench *b, struct sim_disk **ret_disk)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct log_topic t;
    *b = bench_new(64u << 10);
    rmdir(b->path);
    io_real_close(&b->io);
    *ret_disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    b->io = sim_open(&(struct sim_options){ .seed = 3, .disk = *ret_disk });
    b->options.clean_ns = 600 * NS_PER_S;
    bench_open(b);
    settings.retention_ms = 7 * DAY_MS;
    assert_int_equal(log_topic_ensure_with(b->client, "t", 1, &settings, soon(b), &t, &b->err), NEAP_OK);
    return (struct log_partition){ t.id, 0 };
}

static void end(struct bench *b, struct sim_disk **disk)
{
    bench_close(b);
    sim_close(&b->io);
    sim_disk_free(disk);
}

static void fill(struct bench *b, struct log_partition p, uint64_t from)
{
    for (uint64_t i = from; i < from + COUNT; i++)
        assert_int_equal(append(b, p, "v", i, 1, 500, NULL), NEAP_OK);
}

static void pass(struct bench *b, int64_t hours)
{
    sim_run(b->io, hours * HOUR_NS);
}

static uint64_t start_of(struct bench *b, struct log_partition p)
{
    log_offset start, last;
    assert_int_equal(log_partition_range(b->log, p, &start, &last), NEAP_OK);
    return start.n;
}

static bool is_delayed(struct bench *b)
{
    struct log_figures figures;
    log_figures(b->log, &figures);
    return figures.retention_delayed;
}

static enum neap_status keep_answer(void *ctx, struct bytes answer)
{
    char *all = ctx;
    strncat(all, (const char *)answer.at, answer.size);
    return NEAP_OK;
}

static void check_status(struct bench *b, const char *part)
{
    static char answer[65536];
    struct control_context context = { .io = b->io, .log = b->log };
    answer[0] = 0;
    assert_int_equal(control_execute(&context, false, BYTES("{\"verb\":\"status\"}"), (struct bytes){ NULL, 0 },
                                     keep_answer, answer, soon(b), &b->err),
                     NEAP_OK);
    if (strstr(answer, part) == NULL)
        fail_msg("%s is not in %s", part, answer);
}

static void a_jump_frees_nothing_for_a_day(void **state)
{
    struct bench b;
    struct sim_disk *disk;
    struct log_figures figures;
    (void)state;
    struct log_partition p = begin(&b, &disk);
    fill(&b, p, 0);
    pass(&b, 72);
    assert_false(is_delayed(&b));
    int64_t before_ms = io_wall(b.io).ms;
    sim_wall_jump(b.io, TEN_YEARS_MS);
    pass(&b, 1);
    log_figures(b.log, &figures);
    assert_true(figures.retention_delayed);
    assert_true(figures.clock_jump_ms > TEN_YEARS_MS - HOUR_MS && figures.clock_jump_ms < TEN_YEARS_MS + HOUR_MS);
    assert_true(figures.clock_jumped.ms - before_ms - TEN_YEARS_MS < HOUR_MS);
    assert_true(llabs(figures.retention_resumes.ms - figures.clock_jumped.ms - DAY_MS) < 1000);
    check_status(&b, "\"clock_ahead\":315");
    check_status(&b, "\"retention_resumes\":\"2036-01-03T00:");
    pass(&b, 21);
    assert_int_equal(start_of(&b, p), 0);
    assert_true(is_delayed(&b));
    pass(&b, 4);
    assert_int_equal(start_of(&b, p), COUNT); /* whoever has not set it right by now wants it so */
    assert_false(is_delayed(&b));
    end(&b, &disk);
}

/* The jump may have been seen by a run before this one, and everything since be as the clock says. */
static void a_start_does_not_shorten_the_day(void **state)
{
    for (int snapshots = 0; snapshots < 2; snapshots++) {
        struct bench b;
        struct sim_disk *disk;
        (void)state;
        struct log_partition p = begin(&b, &disk);
        b.options.snapshot_size = snapshots > 0 ? 4096 : 64u << 20;
        bench_reopen(&b);
        fill(&b, p, 0);
        pass(&b, 72);
        sim_wall_jump(b.io, TEN_YEARS_MS);
        for (int i = 0; i < 5; i++) {
            pass(&b, 4);
            fill(&b, p, COUNT + (uint64_t)i * COUNT);
            bench_reopen(&b);
            pass(&b, 0);
            assert_int_equal(start_of(&b, p), 0);
        }
        sim_run(b.io, NS_PER_S);
        assert_true(is_delayed(&b));
        pass(&b, 3);
        assert_int_equal(start_of(&b, p), 0);
        pass(&b, 6); /* without a snapshot the day begins with the first entry after the jump */
        assert_int_equal(start_of(&b, p), COUNT);
        assert_false(is_delayed(&b));
        end(&b, &disk);
    }
}

/* Seen in time: nothing has been lost, and nothing is kept for ten years because it seems to come from then. */
static void a_clock_that_is_set_right_is_believed_again(void **state)
{
    struct bench b;
    struct sim_disk *disk;
    (void)state;
    struct log_partition p = begin(&b, &disk);
    fill(&b, p, 0);
    pass(&b, 72);
    sim_wall_jump(b.io, TEN_YEARS_MS);
    pass(&b, 6);
    fill(&b, p, COUNT);
    sim_wall_jump(b.io, -TEN_YEARS_MS);
    pass(&b, 1);
    assert_false(is_delayed(&b));
    fill(&b, p, 2 * COUNT);
    bench_reopen(&b);
    pass(&b, 48);
    assert_int_equal(start_of(&b, p), 0);
    pass(&b, 5 * 24);
    assert_int_equal(start_of(&b, p), COUNT); /* those of before */
    assert_int_equal(check_records(&b, p, "v", COUNT), 3 * COUNT);
    pass(&b, 3 * 24);
    assert_int_equal(start_of(&b, p), 3 * COUNT);
    fill(&b, p, 3 * COUNT);
    pass(&b, 6 * 24);
    assert_int_equal(start_of(&b, p), 3 * COUNT);
    pass(&b, 3 * 24);
    assert_int_equal(start_of(&b, p), 4 * COUNT);
    end(&b, &disk);
}

/* A step that is no jump: by so much, an age may be wrong. */
static void a_step_of_some_hours_is_no_jump(void **state)
{
    struct bench b;
    struct sim_disk *disk;
    (void)state;
    struct log_partition p = begin(&b, &disk);
    fill(&b, p, 0);
    sim_wall_jump(b.io, 20 * HOUR_MS);
    pass(&b, 1);
    assert_false(is_delayed(&b));
    sim_wall_jump(b.io, -20 * HOUR_MS);
    pass(&b, 6 * 24);
    assert_int_equal(start_of(&b, p), 0);
    pass(&b, 25);
    assert_int_equal(start_of(&b, p), COUNT);
    end(&b, &disk);
}

/* Ahead for some hours and set right: from then on the times of append are ahead of the clock, and say nothing of it. */
static struct log_partition begin_ahead(struct bench *b, struct sim_disk **disk)
{
    struct log_partition p = begin(b, disk);
    fill(b, p, 0);
    pass(b, 72);
    sim_wall_jump(b->io, TEN_YEARS_MS);
    pass(b, 6);
    fill(b, p, COUNT);
    sim_wall_jump(b->io, -TEN_YEARS_MS);
    pass(b, 1);
    fill(b, p, 2 * COUNT);
    assert_false(is_delayed(b));
    return p;
}

/* Set to a wrong time while nobody runs, one that is below the log's own. */
static void a_jump_below_the_time_of_the_log_is_noticed(void **state)
{
    for (int right = 0; right < 2; right++) {
        struct bench b;
        struct sim_disk *disk;
        (void)state;
        struct log_partition p = begin_ahead(&b, &disk);
        bench_close(&b);
        sim_wall_jump(b.io, TEN_YEARS_MS / 2);
        pass(&b, 2);
        bench_open(&b);
        for (int i = 0; i < 5; i++) { /* starts do not begin the day anew */
            pass(&b, 4);
            assert_int_equal(start_of(&b, p), 0);
            assert_true(is_delayed(&b));
            fill(&b, p, 3 * COUNT + (uint64_t)i * COUNT);
            bench_reopen(&b);
        }
        if (right > 0)
            sim_wall_jump(b.io, -TEN_YEARS_MS / 2);
        pass(&b, 6);
        assert_false(is_delayed(&b));
        assert_int_equal(start_of(&b, p), right > 0 ? 0 : COUNT); /* whoever has not set it right by now wants it so */
        pass(&b, 3 * 24);
        assert_int_equal(start_of(&b, p), COUNT); /* seven days after they came */
        assert_int_equal(check_records(&b, p, "v", COUNT), 8 * COUNT);
        pass(&b, 9 * 24); /* an eighth longer, at most */
        assert_int_equal(start_of(&b, p), 8 * COUNT);
        end(&b, &disk);
    }
}

static void a_clock_that_is_set_right_while_nobody_runs_is_believed(void **state)
{
    struct bench b;
    struct sim_disk *disk;
    (void)state;
    struct log_partition p = begin(&b, &disk);
    fill(&b, p, 0);
    pass(&b, 72);
    sim_wall_jump(b.io, TEN_YEARS_MS);
    pass(&b, 6);
    fill(&b, p, COUNT);
    assert_true(is_delayed(&b));
    bench_close(&b);
    sim_wall_jump(b.io, -TEN_YEARS_MS);
    bench_open(&b);
    pass(&b, 1);
    assert_false(is_delayed(&b));
    struct log_figures figures;
    log_figures(b.log, &figures);
    assert_int_equal(figures.clock_jump_ms, 0);
    pass(&b, 84);
    assert_int_equal(start_of(&b, p), 0);
    pass(&b, 12);
    assert_int_equal(start_of(&b, p), COUNT);
    end(&b, &disk);
}

/* What came in while the clock was ahead: hours when nobody runs do not count for it. It is kept longer, and goes in the end. */
static void hours_when_nobody_runs_keep_what_is_ahead(void **state)
{
    struct bench b;
    struct sim_disk *disk;
    (void)state;
    struct log_partition p = begin_ahead(&b, &disk);
    for (uint64_t day = 0; day < 20; day++) {
        bench_close(&b);
        pass(&b, 12);
        bench_open(&b);
        pass(&b, 12);
        fill(&b, p, (3 + day) * COUNT);
        assert_false(is_delayed(&b));
        assert_true(start_of(&b, p) <= (day < 7 ? 3 : day - 4) * COUNT);
    }
    assert_true(start_of(&b, p) >= 3 * COUNT);
    end(&b, &disk);
}

static void times_of_append_never_fall(void **state)
{
    (void)state;
    assert_int_equal(log_time_next(1000, 5 * NS_PER_S, 9000), 9000);
    assert_int_equal(log_time_next(9000, 5 * NS_PER_S, 1000), 9000); /* a little behind: it waits */
    assert_int_equal(log_time_next(TEN_YEARS_MS, 8 * NS_PER_S, 1000), TEN_YEARS_MS + 7000);
    assert_int_equal(log_time_next(TEN_YEARS_MS, 0, 1000), TEN_YEARS_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jump_frees_nothing_for_a_day),
        cmocka_unit_test(a_start_does_not_shorten_the_day),
        cmocka_unit_test(a_clock_that_is_set_right_is_believed_again),
        cmocka_unit_test(a_step_of_some_hours_is_no_jump),
        cmocka_unit_test(a_jump_below_the_time_of_the_log_is_noticed),
        cmocka_unit_test(a_clock_that_is_set_right_while_nobody_runs_is_believed),
        cmocka_unit_test(hours_when_nobody_runs_keep_what_is_ahead),
        cmocka_unit_test(times_of_append_never_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
