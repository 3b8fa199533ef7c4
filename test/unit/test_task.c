/* A task lands every event once or buries it once, in order, whatever its sink does, and wherever it is cut short. */
#include "flow_bench.h"

static bool until_stopped(struct bench *b)
{
    return b->pipeline->status != NEAP_OK && all_at_rest(b);
}

static void every_event_has_one_place(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    bench_open(&b);
    bench_append(&b, 0, 0, 1000, 37);
    bench_run(&b, all_idle);
    check_everything(&b, 1000);
    bench_append(&b, 0, 1000, 1004, 1);
    bench_run(&b, all_idle);
    check_everything(&b, 1004);
    bench_close(&b);
    bench_open(&b); /* nothing is done twice */
    bench_run(&b, all_idle);
    check_everything(&b, 1004);
    bench_close(&b);
    bench_fini(&b);
}

static void letters_tell_what_happened(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    bench_open(&b);
    bench_append(&b, 0, 0, 12, 12);
    bench_run(&b, all_idle);
    struct log_reader *reader;
    struct log_batch from;
    struct batch batch;
    struct record record;
    struct dead_letter_view view;
    struct error err;
    struct log_partition at = { b.dead.id, 0 };
    assert_int_equal(log_reader_open(b.log, at, (log_offset){ 0 }, 65536, &reader, &err), NEAP_OK);
    assert_int_equal(log_reader_next(reader, &from, &err), NEAP_OK);
    assert_int_equal(batch_open(from.bytes, true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch.count, 2);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.offset.n, 7);
    assert_true(bytes_equal(view.reason, BYTES("expression")) && bytes_equal(view.stage, BYTES("odd")));
    assert_true(bytes_equal(view.file, BYTES("neap.yaml")) && record.key.size == 1);
    assert_int_equal(view.line, 3);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.offset.n, 11);
    assert_true(bytes_equal(view.reason, BYTES("not_json")) && bytes_equal(record.value, BYTES("{\"n\":11")));
    assert_int_equal(view.column, 8); /* where the brace is missing */
    log_reader_close(&reader);
    bench_close(&b);
    bench_fini(&b);
}

/* The n-th landing goes wrong: the sink has the batch and nobody knows, or it does not have it. Then a new start. */
static enum neap_status fail_once(struct fake *f, struct sink_batch *b, bool *apply)
{
    *apply = f->script_number % 2 == 0 || f->land_count != f->script_number / 2 + 1;
    return f->land_count == f->script_number / 2 + 1 ? NEAP_IO : NEAP_OK;
}

static void a_crash_at_any_landing_changes_nothing(void **state)
{
    static struct bench b;
    bool crashed = true;
    uint64_t step = bench_mill == NO_MILL ? 1 : 5; /* they land often, and little at a time */
    for (uint64_t n = 0; crashed; n += step) {     /* until a whole run no longer meets it */
        bench_init(&b, 1);
        b.fake.script = fail_once;
        b.fake.script_number = n;
        bench_open(&b);
        bench_append(&b, 0, 0, 400, 23);
        bench_run(&b, all_idle);
        crashed = b.pipeline->status == NEAP_IO;
        assert_true(crashed || n > 8);
        bench_close(&b);
        b.fake.script = NULL;
        bench_open(&b);
        bench_run(&b, all_idle);
        assert_int_equal(b.pipeline->status, NEAP_OK);
        check_everything(&b, 400);
        bench_close(&b);
        bench_fini(&b);
    }
}

/* Before the sink has answered, what is known of the log is in balance too. */
static void check_last_known(struct bench *b, uint64_t count)
{
    struct task_figures f;
    task_figures(b->tasks[0], &f);
    assert_int_equal(count,
                     f.total.filtered + f.total.delivered + f.total.dead_lettered + count - f.point.n - f.done_beyond);
}

/* Drained after the n-th turn, as often as it takes. */
static bool until_turn(struct bench *b)
{
    return b->turns >= b->until_number || all_idle(b);
}

static void stopping_at_any_turn_changes_nothing(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    bench_open(&b);
    bench_append(&b, 0, 0, 500, 17);
    bool idle = false;
    for (uint64_t n = 1; !idle; n++) {
        b.turns = 0;
        b.until_number = n;
        bench_run(&b, until_turn);
        idle = all_idle(&b);
        if (!idle) {
            bench_close(&b);
            bench_open(&b);
            check_last_known(&b, 500);
        }
    }
    check_everything(&b, 500);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- what a sink may answer ---- */

static enum neap_status refuse_multiples(struct fake *f, struct sink_batch *b, bool *apply)
{
    struct reader r = reader_of(b->rows);
    for (uint32_t i = 0; i < b->row_count; i++) {
        uint64_t offset = read_le64(&r);
        if (offset % f->script_number != 0 || b->refused_count == 3) /* three at a time */
            continue;
        b->refused[b->refused_count] = (struct sink_refused){ .row = i, .offset = { offset }, .message = "UNIQUE" };
        b->refused_count++;
    }
    return b->refused_count > 0 ? NEAP_REFUSED : NEAP_OK;
}

static void check_refusals(struct bench *b, uint64_t count, uint64_t multiple)
{
    struct seen *seen = look(b, 0, count);
    for (uint64_t n = 0; n < count; n++) {
        bool delivered = fate_of(n) == DELIVERED && n % multiple != 0;
        bool refused = fate_of(n) == DELIVERED && n % multiple == 0;
        assert_int_equal(seen[n].delivered, delivered);
        assert_int_equal(seen[n].letters, !delivered && fate_of(n) != FILTERED);
        assert_true(!refused || strcmp(seen[n].reason, "refused") == 0);
    }
    free(seen);
}

static void what_a_sink_refuses_is_buried_alone(void **state)
{
    static struct bench b;
    static const uint64_t multiples[] = { 1, 2, 5, 16, 150 };
    for (size_t i = 0; i < COUNT_OF(multiples); i++) {
        bench_init(&b, 1);
        b.fake.script = refuse_multiples;
        b.fake.script_number = multiples[i];
        bench_open(&b);
        bench_append(&b, 0, 0, 300, 41);
        bench_run(&b, all_idle);
        assert_int_equal(b.pipeline->status, NEAP_OK);
        check_refusals(&b, 300, multiples[i]);
        check_notes(&b, 0, 300);
        bench_close(&b);
        bench_fini(&b);
    }
}

static enum neap_status not_now(struct fake *f, struct sink_batch *b, bool *apply)
{
    static const enum neap_status answers[] = { NEAP_TIMEOUT, NEAP_OK, NEAP_FULL, NEAP_OK, NEAP_OK, NEAP_AGAIN };
    return answers[f->land_count % COUNT_OF(answers)];
}

static void a_sink_that_cannot_now_is_asked_again(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.script = not_now;
    bench_open(&b);
    bench_append(&b, 0, 0, 250, 50);
    bench_run(&b, all_idle);
    check_everything(&b, 250);
    assert_true(b.fake.land_count > 5);
    bench_close(&b);
    bench_fini(&b);
}

static enum neap_status full_for_long(struct fake *f, struct sink_batch *b, bool *apply)
{
    return f->land_count < 12 ? NEAP_FULL : NEAP_OK;
}

/* Twelve tries of a sink that fails would take most of a minute: the last alone waits up to half of one. */
static void a_full_sink_is_asked_again_soon(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.script = full_for_long;
    bench_open(&b);
    bench_append(&b, 0, 0, 100, 50);
    bench_run(&b, all_idle);
    check_everything(&b, 100);
    bench_close(&b);
    bench_fini(&b);
}

static enum neap_status never(struct fake *f, struct sink_batch *b, bool *apply)
{
    return NEAP_TIMEOUT;
}

static bool until_landed_once(struct bench *b)
{
    return b->fake.land_count > 0;
}

static void waiting_for_a_sink_does_not_hold_up_the_end(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.script = never;
    bench_open(&b);
    bench_append(&b, 0, 0, 100, 50);
    bench_run(&b, until_landed_once);
    bench_close(&b);
    b.fake.script = NULL;
    bench_open(&b);
    bench_run(&b, all_idle);
    check_everything(&b, 100);
    bench_close(&b);
    bench_fini(&b);
}

static enum neap_status conflict(struct fake *f, struct sink_batch *b, bool *apply)
{
    return b->source.partition == 1 ? NEAP_CONFLICT : NEAP_OK;
}

static void one_partition_in_conflict_stops_its_pipeline(void **state)
{
    static struct bench b;
    bench_init(&b, 2);
    b.fake.script = conflict;
    bench_open(&b);
    bench_append(&b, 1, 0, 100, 50);
    bench_run(&b, until_stopped);
    assert_int_equal(b.pipeline->status, NEAP_CONFLICT);
    assert_non_null(strstr(b.pipeline->error.text, "pipeline commits, partition 1 of in: as the script says"));
    bench_append(&b, 0, 0, 100, 50);
    bench_run(&b, all_idle);
    assert_int_equal(b.fake.landed_count, 0);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- sinks that live by the log's commit ---- */

/* Hands the log a fact to keep: the number of rows so far. It is there exactly when the commit is. */
static enum neap_status note_rows(struct fake *f, struct sink_batch *b, bool *apply)
{
    static uint8_t value[8];
    put_le64(value, f->landed_count + b->row_count);
    b->ops[b->op_count++] = (struct log_op){ .kind = LOG_FACT,
                                             .view = LOG_VIEW_SINK,
                                             .target = b->source,
                                             .name = BYTES("commits\0rows"),
                                             .payload = { value, 8 } };
    return NEAP_OK;
}

static void the_log_is_the_truth_for_a_sink_without_offsets(void **state)
{
    static struct bench b;
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    bench_init(&b, 1);
    b.fake.own_offsets = false;
    b.fake.script = note_rows;
    for (uint64_t round = 0; round < 3; round++) {
        bench_open(&b);
        bench_append(&b, 0, round * 300, round * 300 + 300, 60);
        bench_run(&b, all_idle);
        check_everything(&b, round * 300 + 300);
        struct bytes value;
        struct log_partition at = { b.topic.id, 0 };
        assert_int_equal(log_fact_get(b.log, LOG_VIEW_SINK, at, BYTES("commits\0rows"), room, &value), NEAP_OK);
        assert_int_equal(get_le64(value.at), b.fake.landed_count);
        bench_close(&b);
    }
    bench_fini(&b);
}

static void an_output_that_others_have_filled_is_left_alone(void **state)
{
    static struct bench b;
    bench_init(&b, 2);
    b.fake.own_offsets = false;
    b.fake.rows_there = true;
    bench_open(&b);
    bench_append(&b, 0, 0, 10, 10);
    bench_run(&b, until_stopped);
    assert_int_equal(b.pipeline->status, NEAP_CONFLICT);
    bench_close(&b);
    b.start = START_EARLIEST;
    bench_open(&b);
    bench_run(&b, all_idle);
    check_all(&b, 0, 10);
    bench_close(&b);
    b.start = START_DEFAULT; /* partition 1 has committed nothing yet, but the output is ours now */
    bench_open(&b);
    bench_append(&b, 1, 0, 10, 10);
    bench_run(&b, all_idle);
    assert_int_equal(b.pipeline->status, NEAP_OK);
    check_all(&b, 0, 10);
    check_all(&b, 1, 10);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- bounds ---- */

static void many_partitions_share_one_kit(void **state)
{
    static struct bench b;
    bench_init(&b, PARTITION_MAX);
    b.kit_count = 1;
    bench_open(&b);
    for (uint32_t p = 0; p < PARTITION_MAX; p++)
        bench_append(&b, p, 0, 200, 50);
    bench_run(&b, all_idle);
    check_everything(&b, 200);
    for (uint32_t p = 0; p < PARTITION_MAX; p++)
        bench_append(&b, PARTITION_MAX - 1 - p, 200, 300, 10);
    bench_run(&b, all_idle);
    check_everything(&b, 300);
    bench_close(&b);
    bench_fini(&b);
}

static void a_storm_of_letters_goes_in_batches(void **state)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.script = refuse_multiples;
    b.fake.script_number = UINT64_MAX; /* none */
    b.fake.sink.batch_size = 4;        /* no row ever fits */
    bench_open(&b);
    bench_append(&b, 0, 0, 3000, 500);
    bench_run(&b, all_idle);
    struct seen *seen = look(&b, 0, 3000);
    for (uint64_t n = 0; n < 3000; n++) {
        assert_int_equal(seen[n].letters, fate_of(n) != FILTERED);
        assert_true(fate_of(n) != DELIVERED || strcmp(seen[n].reason, "too_large") == 0);
    }
    free(seen);
    check_notes(&b, 0, 3000);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- events that are gone ---- */

static void trim(struct bench *b, uint64_t to)
{
    struct log_op op = { .kind = LOG_TRIM, .target = { b->topic.id, 0 }, .offset = { to } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* Below the commit point every offset is counted once: as what became of it, or as nobody's. */
static void check_gone(struct bench *b, uint64_t point, uint64_t gone)
{
    struct task_figures f;
    task_figures(b->tasks[0], &f);
    assert_int_equal(f.point.n, point);
    assert_int_equal(f.total.start, gone);
    assert_int_equal(f.total.filtered + f.total.delivered + f.total.dead_lettered, point - gone);
    for (uint32_t i = 0; i < b->fake.landed_count; i++)
        assert_true(b->fake.landed[i].offset < point);
}

static void check_passes_what_is_gone(bool own_offsets)
{
    static struct bench b;
    bench_init(&b, 1);
    b.fake.own_offsets = own_offsets;
    bench_open(&b);
    bench_append(&b, 0, 0, 300, 29);
    trim(&b, 120); /* before its first start, within a batch */
    bench_run(&b, all_idle);
    check_gone(&b, 300, 120);
    assert_true(b.fake.landed[0].offset >= 120);
    bench_append(&b, 0, 300, 400, 29);
    trim(&b, 350); /* while it runs */
    bench_run(&b, all_idle);
    check_gone(&b, 400, 170);
    bench_append(&b, 0, 400, 450, 29);
    trim(&b, 450); /* up to the end: nothing comes behind it */
    bench_run(&b, all_idle);
    check_gone(&b, 450, 220);
    bench_close(&b);
    bench_open(&b);
    bench_append(&b, 0, 450, 500, 29);
    bench_run(&b, all_idle);
    check_gone(&b, 500, 220);
    check_notes(&b, 0, 500);
    bench_close(&b);
    bench_fini(&b);
}

static void what_is_gone_is_passed_and_counted_as_nobodys(void **state)
{
    check_passes_what_is_gone(true);
    check_passes_what_is_gone(false);
}

static enum neap_status only_first(struct fake *f, struct sink_batch *b, bool *apply)
{
    return f->land_count == 1 ? NEAP_OK : NEAP_TIMEOUT;
}

static bool until_letters_lie_beyond(struct bench *b)
{
    struct task_figures f;
    task_figures(b->tasks[0], &f);
    return f.point.n > 0 && f.done_beyond > 2;
}

static bool until_running(struct bench *b)
{
    struct task_figures f;
    task_figures(b->tasks[0], &f);
    return f.running;
}

/* The letter is there, whatever became of the event it was written for. */
static void a_letter_counts_even_when_its_event_is_gone(void **state)
{
    static struct bench b;
    struct task_figures f;
    bench_init(&b, 1);
    b.fake.script = only_first;
    bench_open(&b);
    bench_append(&b, 0, 0, 300, 29);
    bench_run(&b, until_letters_lie_beyond);
    task_figures(b.tasks[0], &f);
    bench_close(&b);
    b.fake.script = NULL;
    bench_open(&b);
    bench_run(&b, until_running);
    trim(&b, 290);
    bench_run(&b, all_idle);
    check_gone(&b, 300, 290 - f.point.n - f.done_beyond);
    check_notes(&b, 0, 300);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- what retention waits for ---- */

static void retention_waits_from_before_the_first_event(void **state)
{
    static struct bench b;
    struct log_commit commit;
    struct error err;
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    bench_init(&b, 2);
    bench_open(&b);
    bench_append(&b, 0, 0, 300, 29);
    struct log_partition at[2] = { { b.topic.id, 0 }, { b.topic.id, 1 } };
    trim(&b, 100);
    assert_int_equal(pipeline_hold(b.log, b.client, b.topic.id, 2, b.name, NULL, soon(&b), &err), NEAP_OK);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(log_offset_get(b.log, b.name, at[i], room, &commit), NEAP_OK);
        assert_true(commit.hold && commit_is_held(commit.done_set));
        assert_int_equal(commit.offset.n, i == 0 ? 100 : 0);
    }
    bench_run(&b, all_idle); /* a place that is only held settles nothing: it starts as it would without */
    assert_int_equal(log_offset_get(b.log, b.name, at[0], room, &commit), NEAP_OK);
    assert_true(commit.hold && !commit_is_held(commit.done_set));
    assert_int_equal(commit.offset.n, 300);
    const char *const others[] = { "nobody", b.name, NULL };
    assert_int_equal(pipeline_hold(b.log, b.client, b.topic.id, 2, "sister", others, soon(&b), &err), NEAP_OK);
    for (uint64_t i = 0; i < 2; i++) { /* a branch that comes later begins where the others are */
        assert_int_equal(log_offset_get(b.log, "sister", at[i], room, &commit), NEAP_OK);
        assert_true(commit.hold && commit_is_held(commit.done_set));
        assert_int_equal(commit.offset.n, i == 0 ? 300 : 0);
    }
    assert_int_equal(pipeline_let_go(b.log, b.client, b.topic.id, 2, "sister", soon(&b), &err), NEAP_OK);
    assert_int_equal(pipeline_let_go(b.log, b.client, b.topic.id, 2, b.name, soon(&b), &err), NEAP_OK);
    assert_int_equal(log_offset_get(b.log, b.name, at[0], room, &commit), NEAP_OK);
    assert_true(!commit.hold && commit.offset.n == 300); /* its place stays, should it get a sink again */
    assert_int_equal(log_offset_get(b.log, b.name, at[1], room, &commit), NEAP_NOTFOUND);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- the watchdog ---- */

static bool until_named(struct bench *b)
{
    struct task_figures f;
    task_figures(b->tasks[0], &f);
    return f.held.is;
}

static void what_holds_a_partition_up_is_named(void **state)
{
    static struct bench b;
    struct task_figures f;
    if (bench_mill == NO_MILL)
        return; /* nothing is on its way */
    bench_init(&b, 1);
    b.mill.stuck = true;
    bench_open(&b);
    bench_append(&b, 0, 0, 30, 30);
    bench_run(&b, until_named);
    task_figures(b.tasks[0], &f);
    assert_int_equal(f.held.offset.n, 0);
    assert_string_equal(f.held.key, "a");
    assert_string_equal(f.held.stage, "mill");
    assert_int_equal(f.held.attempt, 1);
    b.mill.stuck = false;
    bench_run(&b, all_idle);
    task_figures(b.tasks[0], &f);
    assert_false(f.held.is);
    check_everything(&b, 30);
    bench_close(&b);
    bench_fini(&b);
}

/* ---- an event that no way has room for ---- */

static enum neap_status late_twice(struct fake *f, struct sink_batch *b, bool *apply)
{
    *apply = f->land_count > 2;
    return f->land_count <= 2 ? NEAP_TIMEOUT : NEAP_OK;
}

/* The letter of the second one is not durable yet when the place of the first one is handed over again. */
static void what_fits_on_no_way_is_buried_while_the_sink_is_late(void **state)
{
    static struct bench b;
    static uint8_t room[64 << 10], value[20 << 10];
    struct batch_builder builder;
    bench_init(&b, 1);
    b.fake.script = late_twice;
    memset(value, 'x', sizeof value);
    bench_open(&b);
    for (uint64_t n = 0; n < 2; n++) {
        struct record record = { .value = { value, sizeof value } };
        batch_begin(&builder, room, sizeof room);
        assert_int_equal(batch_add(&builder, &record, NULL, 0), NEAP_OK);
        append_batch(&b, 0, batch_end(&builder), 1);
    }
    bench_append(&b, 0, 2, 3, 1);
    bench_run(&b, all_idle);
    assert_int_equal(b.pipeline->status, NEAP_OK);
    struct seen *seen = look(&b, 0, 3);
    for (uint64_t n = 0; n < 2; n++)
        assert_true(!seen[n].delivered && seen[n].letters == 1 && strcmp(seen[n].reason, "too_large") == 0);
    assert_true(seen[2].delivered && seen[2].letters == 0);
    free(seen);
    bench_close(&b);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_has_one_place),
        cmocka_unit_test(a_crash_at_any_landing_changes_nothing),
        cmocka_unit_test(stopping_at_any_turn_changes_nothing),
        cmocka_unit_test(what_a_sink_refuses_is_buried_alone),
        cmocka_unit_test(a_sink_that_cannot_now_is_asked_again),
        cmocka_unit_test(a_full_sink_is_asked_again_soon),
        cmocka_unit_test(waiting_for_a_sink_does_not_hold_up_the_end),
        cmocka_unit_test(one_partition_in_conflict_stops_its_pipeline),
        cmocka_unit_test(the_log_is_the_truth_for_a_sink_without_offsets),
        cmocka_unit_test(an_output_that_others_have_filled_is_left_alone),
        cmocka_unit_test(many_partitions_share_one_kit),
        cmocka_unit_test(a_storm_of_letters_goes_in_batches),
        cmocka_unit_test(what_is_gone_is_passed_and_counted_as_nobodys),
        cmocka_unit_test(retention_waits_from_before_the_first_event),
        cmocka_unit_test(what_holds_a_partition_up_is_named),
    };
    const struct CMUnitTest of_batches_in_offset_order[] = {
        cmocka_unit_test(letters_tell_what_happened),
        cmocka_unit_test(a_letter_counts_even_when_its_event_is_gone),
    };
    const struct CMUnitTest of_ways[] = {
        cmocka_unit_test(what_fits_on_no_way_is_buried_while_the_sink_is_late),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed += cmocka_run_group_tests(of_batches_in_offset_order, NULL, NULL);
    bench_mill = MILL_BEHIND;
    failed += cmocka_run_group_tests_name("with a stage that waits behind", tests, NULL, NULL);
    failed += cmocka_run_group_tests(of_ways, NULL, NULL);
    bench_mill = MILL_BEFORE;
    return failed + cmocka_run_group_tests_name("with a stage that waits before", tests, NULL, NULL);
}
