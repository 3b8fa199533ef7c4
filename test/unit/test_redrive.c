/* An event that is redriven is the one that gave up: key, value, headers and time, and it says how often and for whom. */
#include "log_bench.h"

#include "flow/pipeline.h"
#include "flow/redrive.h"

#define ROOM_SIZE (256u << 10)

static struct arena *arena;
static uint8_t rooms[2][ROOM_SIZE];

static int setup(void **state)
{
    (void)state;
    arena = arena_new(64u << 10, 8u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct record read_back(struct batch_builder *builder)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    assert_int_equal(batch_open(batch_end(builder), true, &batch), NEAP_OK);
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    return record;
}

static struct record event_with(const struct record_header *headers, uint32_t count)
{
    struct batch_builder builder;
    batch_begin(&builder, rooms[0], ROOM_SIZE);
    struct record record = { .key = BYTES("ada"), .value = BYTES("{\"id\":1}"), .time_ms = 1700000000123 };
    assert_int_equal(batch_add(&builder, &record, headers, count), NEAP_OK);
    return read_back(&builder);
}

/* The letter of an event that lay at orders/3:4711. */
static struct record letter_of(const struct record *event, size_t value_size)
{
    static uint8_t large[RECORD_SIZE_MAX];
    const struct failure failure = { .reason = "refused", .stage = "sqlite", .message = BYTES("no column") };
    struct dead_letter letter = { .pipeline = "orders",
                                  .key = event->key,
                                  .value = event->value,
                                  .headers = event->headers,
                                  .header_count = event->header_count,
                                  .time_ms = event->time_ms,
                                  .topic = "orders",
                                  .partition = 3,
                                  .offset = { 4711 },
                                  .attempts = 2,
                                  .first_error = BYTES("locked"),
                                  .failure = &failure };
    if (value_size > 0)
        letter.value = (struct bytes){ large, value_size };
    static uint8_t room[RECORD_SIZE_MAX];
    struct batch_builder builder;
    batch_begin(&builder, room, sizeof room);
    assert_int_equal(dead_letter_add(&builder, &letter, arena), NEAP_OK);
    return read_back(&builder);
}

static struct record redriven(const struct record *letter, const char *pipeline)
{
    static struct record_header headers[BATCH_HEADER_COUNT_MAX];
    struct dead_letter_view view;
    struct record event;
    uint32_t count;
    assert_int_equal(dead_letter_read(letter, &view), NEAP_OK);
    assert_null(redrive_hindrance(&view));
    assert_int_equal(redrive_event(letter, &view, pipeline, arena, &event, headers, &count), NEAP_OK);
    struct batch_builder builder;
    batch_begin(&builder, rooms[1], ROOM_SIZE);
    assert_int_equal(batch_add(&builder, &event, headers, count), NEAP_OK);
    return read_back(&builder);
}

static struct bytes header(const struct record *record, const char *name)
{
    struct reader left = reader_of(record->headers);
    struct record_header h;
    struct bytes found = { NULL, 0 };
    for (uint32_t i = 0; i < record->header_count; i++) {
        assert_int_equal(record_header_next(&left, &h), NEAP_OK);
        if (bytes_equal(h.name, bytes_of_text(name))) {
            assert_null(found.at); /* no name stands twice */
            found = h.value;
        }
    }
    return found;
}

static void assert_text(struct bytes bytes, const char *text)
{
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.at, text, bytes.size);
}

static void it_is_the_event_that_gave_up(void **state)
{
    (void)state;
    const struct record_header own[] = { { BYTES("neap.id"), BYTES("1") },
                                         { BYTES("trace"), BYTES("t1") },
                                         { BYTES("empty"), BYTES("") } };
    struct record event = event_with(own, 3), letter = letter_of(&event, 0), again = redriven(&letter, "orders");
    assert_text(again.key, "ada");
    assert_text(again.value, "{\"id\":1}");
    assert_int_equal(again.time_ms, 1700000000123);
    assert_int_equal(again.header_count, 6);
    assert_text(header(&again, "neap.id"), "1");
    assert_text(header(&again, "trace"), "t1");
    assert_text(header(&again, "empty"), "");
    assert_text(header(&again, "neap.redrives"), "1");
    assert_text(header(&again, "neap.redriven.from"), "orders/3:4711");
    assert_text(header(&again, "neap.redriven.for"), "orders/orders");
    assert_int_equal(redrive_count(&letter), 0);
    assert_int_equal(redrive_count(&again), 1);
}

static void each_time_counts_and_the_first_place_stays(void **state)
{
    (void)state;
    struct record event = event_with(NULL, 0);
    for (uint32_t times = 1; times <= 12; times++) {
        char text[16];
        struct record letter = letter_of(&event, 0);
        assert_int_equal(redrive_count(&letter), times - 1);
        struct record again = redriven(&letter, "orders");
        snprintf(text, sizeof text, "%u", times);
        assert_text(header(&again, "neap.redrives"), text);
        assert_text(header(&again, "neap.redriven.from"), "orders/3:4711");
        assert_int_equal(again.header_count, 3);
        arena_reset(arena);
        struct record_header headers[3] = { { BYTES("neap.redrives"), header(&again, "neap.redrives") },
                                            { BYTES("neap.redriven.from"), header(&again, "neap.redriven.from") },
                                            { BYTES("neap.redriven.for"), BYTES("orders/orders") } };
        event = event_with(headers, 3);
    }
}

static void what_is_not_whole_stays(void **state)
{
    (void)state;
    const struct {
        struct dead_letter_view view;
        bool goes;
    } cases[] = {
        { { .reason = BYTES("refused"), .was_in_log = true }, true },
        { { .was_in_log = true }, false },
        { { .reason = BYTES("not_json") }, false },
        { { .reason = BYTES("lost"), .was_in_log = true }, false },
        { { .reason = BYTES("unreadable"), .was_in_log = true }, false },
        { { .reason = BYTES("refused"), .was_in_log = true, .full_size = 9 }, false },
        { { .reason = BYTES("refused"), .was_in_log = true, .full_key_size = 9 }, false },
        { { .reason = BYTES("refused"), .was_in_log = true, .left_out_count = 1 }, false },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(redrive_hindrance(&cases[i].view) == NULL, cases[i].goes);
    struct dead_letter_view view;
    struct record event = event_with(NULL, 0), letter = letter_of(&event, DEAD_LETTER_VALUE_SIZE_MAX + 1);
    assert_int_equal(dead_letter_read(&letter, &view), NEAP_OK);
    assert_non_null(redrive_hindrance(&view));
}

static void a_count_that_is_none_is_zero(void **state)
{
    (void)state;
    const struct record_header headers[] = { { BYTES("neap.redrives"), BYTES("3x") } };
    struct record event = event_with(headers, 1);
    assert_int_equal(redrive_count(&event), 0);
}

static bool is_foreign(struct bench *b, uint32_t topic_id, const char *target, const char *reader)
{
    struct record_header headers[] = { { BYTES("neap.redrives"), BYTES("1") },
                                       { BYTES("neap.redriven.from"), BYTES("orders/0:1") },
                                       { BYTES("neap.redriven.for"), bytes_of_text(target) } };
    struct record event = event_with(headers, 3);
    return redrive_is_foreign(b->log, (struct log_partition){ topic_id, 2 }, &event, "orders", reader);
}

static void only_the_pipeline_that_gave_up_takes_it(void **state)
{
    (void)state;
    struct bench b = bench_new(4u << 20);
    bench_open(&b);
    struct log_partition source = { topic(&b, "orders", 3), 0 };
    uint64_t epoch;
    static const char *const names[] = { "orders", "audit" };
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pipeline_raise_epoch(b.io, b.log, b.client, source, names[i], true, soon(&b), &epoch, &b.err),
                         NEAP_OK);
    assert_false(is_foreign(&b, source.topic_id, "orders/orders", "orders"));
    assert_true(is_foreign(&b, source.topic_id, "orders/orders", "audit"));
    assert_true(is_foreign(&b, source.topic_id, "orders/audit", "orders"));
    assert_false(is_foreign(&b, source.topic_id, "orders/renamed", "orders")); /* nobody of that name is here */
    assert_false(is_foreign(&b, source.topic_id, "copy/audit", "orders"));     /* a sink has carried it here */
    assert_false(is_foreign(&b, source.topic_id, "ordersaudit", "orders"));
    assert_false(is_foreign(&b, source.topic_id, "orders/", "orders"));
    assert_false(is_foreign(&b, source.topic_id, "", "orders"));
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_the_event_that_gave_up, setup, teardown),
        cmocka_unit_test_setup_teardown(each_time_counts_and_the_first_place_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_whole_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_count_that_is_none_is_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_pipeline_that_gave_up_takes_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
