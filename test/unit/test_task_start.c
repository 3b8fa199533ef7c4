/* Two sources of truth: the sink's row and the log's notes come apart, and a task goes on rightly or says both numbers. */
#include "flow/rename.h"
#include "flow_bench.h"

#define COUNT 300u

static bool until_stopped(struct bench *b)
{
    return b->pipeline->status != NEAP_OK && all_at_rest(b);
}

/* A pipeline that has delivered COUNT events, closed. `row_then` gets the sink's row as it was at about half. */
static void deliver(struct bench *b, struct sink_row *row_then)
{
    bench_init(b, 1);
    bench_open(b);
    bench_append(b, 0, 0, COUNT / 2, 29);
    bench_run(b, all_idle);
    *row_then = b->fake.rows[0];
    bench_append(b, 0, COUNT / 2, COUNT, 29);
    bench_run(b, all_idle);
    check_everything(b, COUNT);
    bench_close(b);
}

static void check_stops(struct bench *b, const char *number, const char *other, const char *setting)
{
    uint32_t landed = b->fake.landed_count;
    bench_open(b);
    bench_run(b, until_stopped);
    assert_int_equal(b->pipeline->status, NEAP_CONFLICT);
    if (strstr(b->pipeline->error.text, number) == NULL || strstr(b->pipeline->error.text, other) == NULL ||
        strstr(b->pipeline->error.text, setting) == NULL)
        fail_msg("\"%s\" does not say %s, %s and %s", b->pipeline->error.text, number, other, setting);
    assert_int_equal(b->fake.landed_count, landed);
    bench_close(b);
}

static void check_runs(struct bench *b, uint64_t count)
{
    bench_open(b);
    bench_run(b, all_idle);
    if (b->pipeline->status != NEAP_OK)
        fail_msg("%s", b->pipeline->error.text);
    check_everything(b, count);
    bench_close(b);
}

/* The database of yesterday: the rows it forgot come again, the letters do not. */
static void a_restored_database_gets_what_it_forgot(void **state)
{
    static struct bench b;
    struct sink_row then;
    deliver(&b, &then);
    b.fake.rows[0] = then;
    for (uint32_t i = 0; i < b.fake.landed_count; i++)
        if (b.fake.landed[i].offset >= then.commit_point.n)
            b.fake.landed_count = i;
    check_runs(&b, COUNT); /* at once: rows once, letters once, ledger right */
    check_runs(&b, COUNT);
    bench_fini(&b);
}

/* The same, and killed at every landing on the way. */
static enum neap_status fail_at(struct fake *f, struct sink_batch *b, bool *apply)
{
    *apply = false;
    return f->land_count == f->script_number ? NEAP_IO : NEAP_OK;
}

static enum neap_status fail_at_applied(struct fake *f, struct sink_batch *b, bool *apply)
{
    return f->land_count == f->script_number ? NEAP_IO : NEAP_OK;
}

static bool idle_or_stopped(struct bench *b)
{
    return all_idle(b) || until_stopped(b);
}

static void going_back_survives_a_crash_anywhere(void **state)
{
    static struct bench b;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct sink_row then;
        deliver(&b, &then);
        b.fake.rows[0] = then;
        for (uint32_t i = 0; i < b.fake.landed_count; i++)
            if (b.fake.landed[i].offset >= then.commit_point.n)
                b.fake.landed_count = i;
        b.fake.land_count = 0;
        b.fake.script_number = n;
        b.fake.script = n % 2 == 0 ? fail_at : fail_at_applied;
        bench_open(&b);
        bench_run(&b, idle_or_stopped);
        crashed = b.pipeline->status != NEAP_OK;
        assert_true(crashed || n > 3);
        bench_close(&b);
        b.fake.script = NULL;
        check_runs(&b, COUNT);
        bench_fini(&b);
    }
}

static void a_deleted_database_stops_until_told(void **state)
{
    static struct bench b;
    struct sink_row then;
    deliver(&b, &then);
    b.fake.rows[0] = (struct sink_row){ 0 };
    b.fake.rows[0].owner_epoch = 0;
    check_stops(&b, "300", "offset 0", "start: earliest");
    b.fake.rows[0] = (struct sink_row){ 0 };
    b.fake.landed_count = 0; /* the rows are gone as well */
    b.start = START_EARLIEST;
    check_runs(&b, COUNT);
    check_runs(&b, COUNT); /* a setting left in the file is not applied twice */
    bench_fini(&b);
}

/* Letters for every second offset from 0 on, as an earlier life may have left them. */
static void write_letters(struct bench *b, uint64_t count)
{
    static uint8_t room[900 << 10];
    struct arena *arena = arena_new(64 << 10, 1 << 20);
    const struct failure failure = { .reason = "refused", .stage = "sink", .message = BYTES("x") };
    for (uint64_t i = 0; i < count;) {
        struct batch_builder builder;
        batch_begin(&builder, room, sizeof room);
        for (; i < count; i++) {
            const struct dead_letter letter = { .pipeline = b->name,
                                                .value = BYTES("{}"),
                                                .topic = "in",
                                                .offset = { 2 * i },
                                                .attempts = 1,
                                                .failure = &failure };
            arena_reset(arena);
            if (dead_letter_add(&builder, &letter, arena) != NEAP_OK)
                break;
        }
        struct log_op op = {
            .kind = LOG_APPEND, .target = { b->dead.id, 0 }, .count = builder.count, .payload = batch_end(&builder)
        };
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
    }
    arena_free(&arena);
}

static void too_many_scattered_letters_are_said(void **state)
{
    static struct bench b;
    struct sink_row then;
    deliver(&b, &then);
    bench_open(&b);
    bench_append(&b, 0, COUNT, COUNT + 2 * 131500, 4000);
    write_letters(&b, 131500);
    bench_close(&b);
    b.fake.rows[0] = (struct sink_row){ 0 };
    b.start = START_EARLIEST;
    check_stops(&b, "more than 131072 dead letters", "start: committed", "delete their topic");
    bench_fini(&b);
}

static void a_deleted_database_may_be_left_behind(void **state)
{
    static struct bench b;
    struct sink_row then;
    deliver(&b, &then);
    b.fake.rows[0] = (struct sink_row){ 0 };
    b.start = START_COMMITTED;
    check_runs(&b, COUNT);
    assert_int_equal(b.fake.rows[0].commit_point.n, COUNT);
    b.start = START_DEFAULT;
    bench_open(&b);
    bench_append(&b, 0, COUNT, COUNT + 50, 10);
    bench_run(&b, all_idle);
    check_everything(&b, COUNT + 50);
    bench_close(&b);
    bench_fini(&b);
}

/* The whole log is another one: the sink has a stranger's row. */
static void a_wiped_log_under_a_live_database_stops(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.strangers[0] = (struct sink_row){ .found = true, .commit_point = { 3967 }, .owner_epoch = 12 };
    bench_log_open(&b);
    bench_append(&b, 0, 0, COUNT, 50);
    bench_close(&b);
    check_stops(&b, "3967", "300", "start: earliest");
    b.start = START_EARLIEST;
    check_runs(&b, COUNT);
    check_runs(&b, COUNT);
    b.start = START_DEFAULT;
    check_runs(&b, COUNT);
    bench_fini(&b);
}

static void a_wiped_log_goes_on_where_the_sink_is_when_told(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.strangers[0] = (struct sink_row){ .found = true,
                                             .commit_point = { 100 },
                                             .ledger = { .filtered = 10, .delivered = 79, .dead_lettered = 11 } };
    b.start = START_SINK;
    bench_open(&b);
    bench_append(&b, 0, 0, 50, 50); /* the log is being filled again, and is not there yet */
    bench_run(&b, all_idle);
    assert_int_equal(b.fake.landed_count, 0);
    bench_close(&b);
    bench_open(&b);
    bench_append(&b, 0, 50, COUNT, 50);
    bench_run(&b, all_idle);
    struct seen *seen = look(&b, 0, COUNT);
    for (uint64_t n = 0; n < COUNT; n++)
        assert_int_equal(seen[n].delivered, n >= 100 && fate_of(n) == DELIVERED);
    free(seen);
    struct task_figures f;
    task_figures(b.tasks[0], &f);
    assert_int_equal(f.total.filtered + f.total.delivered + f.total.dead_lettered, COUNT);
    bench_close(&b);
    bench_fini(&b);
}

static void a_row_beyond_the_end_stops(void **state)
{
    static struct bench b;
    struct sink_row then;
    deliver(&b, &then);
    b.fake.rows[0].commit_point.n = 5000;
    check_stops(&b, "5000", "300", "start: committed");
    b.start = START_COMMITTED;
    check_runs(&b, COUNT);
    bench_fini(&b);
}

/* Fates that were durable before anything passed them, and then a crash: neither repeated nor buried twice. */
static enum neap_status always_fail(struct fake *f, struct sink_batch *b, bool *apply)
{
    *apply = false;
    return NEAP_IO;
}

static void letters_before_a_crash_are_not_written_twice(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.script = always_fail;
    for (int i = 0; i < 3; i++) {
        bench_open(&b);
        if (i == 0)
            bench_append(&b, 0, 0, COUNT, 29);
        bench_run(&b, until_stopped);
        assert_true(count_facts(&b, LOG_VIEW_FATE, 0, BYTES("commits\0")) > 0);
        struct task_figures f;
        task_figures(b.tasks[0], &f);
        assert_int_equal(f.point.n, 0);
        assert_int_equal(f.done_beyond, f.total.dead_lettered);
        assert_true(f.done_beyond > 0);
        bench_close(&b);
    }
    b.fake.script = NULL;
    check_runs(&b, COUNT);
    bench_fini(&b);
}

/* ---- another name ---- */

static enum neap_status rename_to(struct bench *b, const char *from, const char *to)
{
    struct error err = { 0 };
    bench_log_open(b);
    enum neap_status status = rename_pipeline(b->log, b->client, b->topic.id, 1, from, to, soon(b), &err);
    b->pipeline = NULL;
    bench_close(b);
    b->name = to;
    return status;
}

static void a_renamed_pipeline_goes_on(void **state)
{
    static struct bench b;
    struct sink_row then;
    deliver(&b, &then);
    assert_int_equal(rename_to(&b, "nobody", "changes"), NEAP_NOTFOUND);
    assert_int_equal(rename_to(&b, "commits", "changes"), NEAP_OK);
    assert_int_equal(rename_to(&b, "commits", "changes"), NEAP_EXISTS);
    b.with_was = true;
    b.fake.was_rows[0] = b.fake.rows[0]; /* the sink knows it under the old name only */
    b.fake.was_rows[0].owner_epoch = 0;
    b.fake.rows[0] = (struct sink_row){ 0 };
    check_runs(&b, COUNT);
    assert_int_equal(b.fake.rows[0].commit_point.n, COUNT);
    assert_int_equal(b.fake.rows[0].ledger.delivered, b.fake.landed_count);
    bench_open(&b); /* taken over once: the old row, still there, says nothing any more */
    b.fake.was_rows[0].commit_point.n = 9999;
    assert_int_equal(count_facts(&b, LOG_VIEW_START, 0, BYTES("changes\0")), 0);
    assert_int_equal(count_facts(&b, LOG_VIEW_START, 0, BYTES("changes")), 1);
    assert_int_equal(count_facts(&b, LOG_VIEW_START, 0, BYTES("commits")), 0);
    assert_int_equal(count_facts(&b, LOG_VIEW_LEDGER, 0, BYTES("commits\0")), 0);
    bench_append(&b, 0, COUNT, COUNT + 100, 10);
    bench_run(&b, all_idle);
    check_everything(&b, COUNT + 100);
    bench_close(&b);
    bench_fini(&b);
}

/* Renamed in the middle of the way, with letters beyond the commit point. */
static void fates_move_with_the_name(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.script = always_fail;
    bench_open(&b);
    bench_append(&b, 0, 0, COUNT, 29);
    bench_run(&b, until_stopped);
    bench_close(&b);
    assert_int_equal(rename_to(&b, "commits", "changes"), NEAP_OK);
    b.with_was = true;
    b.fake.script = NULL;
    bench_open(&b);
    assert_true(count_facts(&b, LOG_VIEW_FATE, 0, BYTES("changes\0")) > 0);
    assert_int_equal(count_facts(&b, LOG_VIEW_FATE, 0, BYTES("commits\0")), 0);
    bench_run(&b, all_idle);
    struct seen *seen = look(&b, 0, COUNT);
    for (uint64_t n = 0; n < COUNT; n++)
        assert_int_equal(seen[n].letters + seen[n].delivered, fate_of(n) != FILTERED);
    free(seen);
    bench_close(&b);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_database_gets_what_it_forgot),
        cmocka_unit_test(going_back_survives_a_crash_anywhere),
        cmocka_unit_test(a_deleted_database_stops_until_told),
        cmocka_unit_test(a_deleted_database_may_be_left_behind),
        cmocka_unit_test(too_many_scattered_letters_are_said),
        cmocka_unit_test(a_wiped_log_under_a_live_database_stops),
        cmocka_unit_test(a_wiped_log_goes_on_where_the_sink_is_when_told),
        cmocka_unit_test(a_row_beyond_the_end_stops),
        cmocka_unit_test(a_renamed_pipeline_goes_on),
    };
    const struct CMUnitTest of_batches_in_offset_order[] = {
        cmocka_unit_test(letters_before_a_crash_are_not_written_twice),
        cmocka_unit_test(fates_move_with_the_name),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed += cmocka_run_group_tests(of_batches_in_offset_order, NULL, NULL);
    bench_mill = MILL_BEHIND;
    failed += cmocka_run_group_tests_name("with a stage that waits behind", tests, NULL, NULL);
    bench_mill = MILL_BEFORE;
    return failed + cmocka_run_group_tests_name("with a stage that waits before", tests, NULL, NULL);
}
