/* Dead letters: what is written is read back, limits cut where they say, and a letter of a letter tells its last
 * failure. */
#include "check.h"

#include "flow/dead_letter.h"
#include <stdlib.h>

#define ROOM_SIZE (2u << 20)

struct fixture {
    struct arena *arena;
    uint8_t *room;
    struct failure failure;
    struct dead_letter letter;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->arena = arena_new(64 << 10, 8 << 20);
    f->room = malloc(ROOM_SIZE);
    f->failure = (struct failure){ .reason = "expression",
                                   .stage = "filter",
                                   .message = BYTES("event.files is nil"),
                                   .file = "neap.yaml",
                                   .line = 12,
                                   .column = 9 };
    f->letter = (struct dead_letter){ .pipeline = "commits",
                                      .key = BYTES("ada"),
                                      .value = BYTES("{\"id\":1}"),
                                      .time_ms = 1700000000123,
                                      .topic = "commits",
                                      .partition = 3,
                                      .offset = { 4711 },
                                      .attempts = 1,
                                      .first = { 951782400000 },
                                      .last = { 1793128333456 },
                                      .failure = &f->failure };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->arena);
    free(f->room);
    free(f);
    return 0;
}

/* Writes f->letter alone into a batch and gives it back as a reader would see it. */
static struct record written(struct fixture *f)
{
    struct batch_builder builder;
    batch_begin(&builder, f->room, ROOM_SIZE);
    assert_int_equal(dead_letter_add(&builder, &f->letter, f->arena), NEAP_OK);
    struct bytes bytes = batch_end(&builder);
    assert_true(bytes.size <= BATCH_HEADER_SIZE + dead_letter_size_max(&f->letter));
    struct batch batch;
    assert_int_equal(batch_open(bytes, true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    struct record record;
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    return record;
}

static void assert_text(struct bytes bytes, const char *text)
{
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.at, text, bytes.size);
}

static void what_was_written_is_read(void **state)
{
    struct fixture *f = *state;
    struct record record = written(f);
    assert_text(record.key, "ada");
    assert_text(record.value, "{\"id\":1}");
    assert_int_equal(record.time_ms, 1700000000123);
    struct dead_letter_view view;
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_text(view.reason, "expression");
    assert_text(view.stage, "filter");
    assert_text(view.error, "event.files is nil");
    assert_text(view.first, "2000-02-29T00:00:00.000Z");
    assert_text(view.last, "2026-10-27T19:12:13.456Z");
    assert_text(view.pipeline, "commits");
    assert_text(view.topic, "commits");
    assert_text(view.file, "neap.yaml");
    assert_int_equal(view.partition, 3);
    assert_int_equal(view.offset.n, 4711);
    assert_int_equal(view.attempts, 1);
    assert_int_equal(view.line, 12);
    assert_int_equal(view.column, 9);
    assert_int_equal(view.full_size, 0);
    assert_true(view.was_in_log);
}

static void a_line_that_never_was_an_event_has_no_offset(void **state)
{
    struct fixture *f = *state;
    f->letter.topic = NULL;
    f->letter.key = (struct bytes){ NULL, 0 };
    f->failure = (struct failure){ .reason = "not_json", .stage = "source", .file = "a.ndjson", .line = 1203 };
    struct record record = written(f);
    assert_null(record.key.at);
    struct dead_letter_view view;
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_false(view.was_in_log);
    assert_null(view.topic.at);
    assert_int_equal(view.line, 1203);
    assert_int_equal(view.column, 0);
    assert_int_equal(view.error.size, 0);
}

static void a_large_value_is_cut_and_says_so(void **state)
{
    struct fixture *f = *state;
    uint8_t *large = calloc(1, RECORD_SIZE_MAX);
    f->letter.value = (struct bytes){ large, DEAD_LETTER_VALUE_SIZE_MAX };
    struct dead_letter_view view;
    struct record record = written(f);
    assert_int_equal(record.value.size, DEAD_LETTER_VALUE_SIZE_MAX);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.full_size, 0);

    f->letter.value.size = RECORD_SIZE_MAX;
    f->letter.key = (struct bytes){ large, DEAD_LETTER_KEY_SIZE_MAX + 1 };
    record = written(f);
    assert_int_equal(record.value.size, DEAD_LETTER_VALUE_SIZE_MAX);
    assert_int_equal(record.key.size, DEAD_LETTER_KEY_SIZE_MAX);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.full_size, RECORD_SIZE_MAX);
    assert_int_equal(view.full_key_size, DEAD_LETTER_KEY_SIZE_MAX + 1);
    free(large);
}

static uint32_t count_named(const struct record *record, const char *name)
{
    struct reader left = reader_of(record->headers);
    struct record_header header;
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->header_count; i++) {
        assert_int_equal(record_header_next(&left, &header), NEAP_OK);
        count += bytes_equal(header.name, bytes_of_text(name));
    }
    return count;
}

/* The event's own headers stay; those of an earlier death do not. */
static void a_letter_of_a_letter_tells_its_last_failure(void **state)
{
    struct fixture *f = *state;
    uint8_t *room = malloc(ROOM_SIZE);
    struct batch_builder builder;
    batch_begin(&builder, room, ROOM_SIZE);
    struct record_header own[] = { { BYTES("trace"), BYTES("t1") },
                                   { BYTES("neap.reason"), BYTES("refused") },
                                   { BYTES("neap.column"), BYTES("77") },
                                   { BYTES("none"), { NULL, 0 } } };
    struct record event = { .key = BYTES("k"), .value = BYTES("1") };
    assert_int_equal(batch_add(&builder, &event, own, 4), NEAP_OK);
    struct batch batch;
    assert_int_equal(batch_open(batch_end(&builder), true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &event), NEAP_OK);

    f->failure.column = 0;
    f->letter.headers = event.headers;
    f->letter.header_count = event.header_count;
    struct record record = written(f);
    struct dead_letter_view view;
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_text(view.reason, "expression");
    assert_int_equal(view.column, 0);
    assert_int_equal(count_named(&record, "trace"), 1);
    assert_int_equal(count_named(&record, "none"), 1);
    assert_int_equal(count_named(&record, "neap.reason"), 1);
    assert_int_equal(count_named(&record, "neap.column"), 0);
    free(room);
}

static void as_many_headers_stay_as_fit(void **state)
{
    struct fixture *f = *state;
    uint8_t *room = malloc(ROOM_SIZE);
    struct batch_builder builder;
    batch_begin(&builder, room, ROOM_SIZE);
    struct record_header own[BATCH_HEADER_COUNT_MAX];
    for (size_t i = 0; i < BATCH_HEADER_COUNT_MAX; i++)
        own[i] = (struct record_header){ BYTES("h"), BYTES("v") };
    struct record event = { .value = BYTES("1") };
    assert_int_equal(batch_add(&builder, &event, own, BATCH_HEADER_COUNT_MAX), NEAP_OK);
    struct batch batch;
    assert_int_equal(batch_open(batch_end(&builder), true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &event), NEAP_OK);
    f->letter.headers = event.headers;
    f->letter.header_count = event.header_count;
    struct record record = written(f);
    assert_true(record.header_count <= BATCH_HEADER_COUNT_MAX);
    assert_int_equal(count_named(&record, "h"), BATCH_HEADER_COUNT_MAX - 17);
    assert_int_equal(count_named(&record, "neap.offset"), 1);
    struct dead_letter_view view;
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.left_out_count, 17);
    free(room);
}

static void the_first_error_is_told_where_it_was_another(void **state)
{
    struct fixture *f = *state;
    struct dead_letter_view view;
    f->letter.attempts = 3;
    f->letter.first_error = BYTES("connection refused");
    struct record record = written(f);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_text(view.first_error, "connection refused");
    assert_text(view.error, "event.files is nil");
    f->letter.first_error = f->failure.message;
    record = written(f);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.first_error.size, 0);
}

/* By the best of the names under which people pass it on, wherever it stands. */
static void the_events_own_id_and_correlation_are_found(void **state)
{
    struct fixture *f = *state;
    uint8_t *room = malloc(ROOM_SIZE);
    struct batch_builder builder;
    batch_begin(&builder, room, ROOM_SIZE);
    struct record_header own[] = { { BYTES("x-correlation-id"), BYTES("best") },
                                   { BYTES("neap.id"), BYTES("e1") },
                                   { BYTES("x-request-id"), BYTES("other") },
                                   { BYTES("correlation-id"), { NULL, 0 } } };
    struct record event = { .value = BYTES("1") };
    assert_int_equal(batch_add(&builder, &event, own, 4), NEAP_OK);
    struct batch batch;
    assert_int_equal(batch_open(batch_end(&builder), true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &event), NEAP_OK);
    f->letter.headers = event.headers;
    f->letter.header_count = event.header_count;
    struct record record = written(f);
    struct dead_letter_view view;
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_text(view.id, "e1");
    assert_text(view.correlation, "best");
    assert_true(dead_letter_owns(BYTES("neap.first.error")) && !dead_letter_owns(BYTES("neap.id")));
    free(room);
}

static void a_full_batch_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct batch_builder builder;
    batch_begin(&builder, f->room, 800);
    uint32_t count = 0;
    while (dead_letter_add(&builder, &f->letter, f->arena) == NEAP_OK)
        count++;
    assert_true(count > 0 && count < 10);
    struct batch batch;
    assert_int_equal(batch_open(batch_end(&builder), true, &batch), NEAP_OK);
    assert_int_equal(batch.count, count);
}

static void bytes_that_are_no_headers_are_refused(void **state)
{
    struct record record = { .headers = BYTES("\x16neap"), .header_count = 1 };
    struct dead_letter_view view;
    assert_int_equal(dead_letter_read(&record, &view), NEAP_BADINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_that_never_was_an_event_has_no_offset, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_value_is_cut_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_letter_of_a_letter_tells_its_last_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(as_many_headers_stay_as_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_error_is_told_where_it_was_another, setup, teardown),
        cmocka_unit_test_setup_teardown(the_events_own_id_and_correlation_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_batch_changes_nothing, setup, teardown),
        cmocka_unit_test(bytes_that_are_no_headers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
