/* The topic sink: each event in the partition its key says, in order, as the record it was. */
#include "check.h"

#include "base/murmur2.h"
#include "sink_world.h"

static const struct log_partition source = { 7, 3 };
#define TARGET_ID 9u

static int open_state(void **state)
{
    struct sink_world *w = malloc(sizeof(*w));
    world_open(w);
    *state = w;
    return 0;
}

static int close_state(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static struct sink *open_sink(struct sink_world *w, uint32_t partition_count, const char *key)
{
    struct topic_sink_options options = { .name = "sink",
                                          .topic_id = TARGET_ID,
                                          .partition_count = partition_count,
                                          .key = key == NULL ? NULL : world_expr(w, key) };
    struct sink *sink;
    assert_int_equal(topic_sink_open(&options, &sink, &w->err), NEAP_OK);
    world_add(w, sink);
    return sink;
}

static void add(struct landing *l, uint64_t offset, const char *json, struct event event)
{
    struct failure failure = { 0 };
    assert_int_equal(landing_try(l, offset, json, &event, &failure), NEAP_OK);
    l->batch.commit_point = (log_offset){ offset + 1 };
}

/* The records appended to a partition by one landed batch: "key=value" each; *ret_count 0 where there is no append. */
static const char *appended(const struct landing *l, uint32_t partition, uint32_t *ret_count)
{
    static char text[65536];
    size_t size = 0;
    *ret_count = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < l->batch.op_count; i++) {
        const struct log_op *op = &l->batch.ops[i];
        assert_int_equal(op->kind, LOG_APPEND);
        assert_int_equal(op->target.topic_id, TARGET_ID);
        if (op->target.partition != partition)
            continue;
        assert_int_equal(*ret_count, 0); /* one batch for each partition */
        struct batch batch;
        struct record record;
        assert_int_equal(batch_open(op->payload, true, &batch), NEAP_OK);
        assert_int_equal(batch.count, op->count);
        struct batch_walk walk;
        assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
        for (; batch_next(&walk, &record) == NEAP_OK; ++*ret_count) {
            size += (size_t)snprintf(text + size, sizeof(text) - size, "%.*s=%.*s\n",
                                     record.key.at == NULL ? 4 : (int)record.key.size,
                                     record.key.at == NULL ? "NONE" : (const char *)record.key.at,
                                     (int)record.value.size, (const char *)record.value.at);
            assert_true(size < sizeof(text));
        }
        assert_int_equal(*ret_count, op->count);
    }
    return text;
}

static void a_key_meets_kafkas_partition_in_order(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, 5, "event.k");
    assert_true(sink->verbs->exactly_once && !sink->verbs->own_offsets);
    struct sink_recover r = world_recover(w, sink, source, 1, false);
    assert_int_equal(r.status, NEAP_OK);
    assert_false(r.row.found);
    struct landing *l = landing_new(w, sink, source);
    static char expected[5][32768];
    uint32_t counts[5] = { 0 }, count;
    memset(expected, 0, sizeof(expected));
    for (uint64_t i = 0; i < 1000; i++) {
        char json[64], key[8];
        snprintf(key, sizeof(key), "key%u", (unsigned)(i % 37));
        snprintf(json, sizeof(json), "{\"k\":\"%s\",\"n\":%llu}", key, (unsigned long long)i);
        uint32_t partition = murmur2_partition(bytes_of_text(key), 5);
        snprintf(expected[partition] + strlen(expected[partition]), 96, "%s=%s\n", key, json);
        counts[partition]++;
        add(l, i, json, (struct event){ 0 });
    }
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_int_equal(l->batch.op_count, 5);
    for (uint32_t p = 0; p < 5; p++) {
        assert_string_equal(appended(l, p, &count), expected[p]);
        assert_int_equal(count, counts[p]);
    }
    landing_free(&l);
    world_drop(w, sink);
}

static void a_record_passes_on_what_it_carried(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, 1, NULL);
    struct landing *l = landing_new(w, sink, source);
    uint8_t room[512];
    struct batch_builder builder; /* an event as it comes out of a batch, with headers */
    batch_begin(&builder, room, sizeof(room));
    const struct record_header headers[] = { { BYTES("trace"), BYTES("abc") }, { BYTES("none"), { NULL, 0 } } };
    assert_int_equal(batch_add(&builder, &(struct record){ .value = BYTES("{}") }, headers, 2), NEAP_OK);
    struct batch from;
    struct record record;
    assert_int_equal(batch_open(batch_end(&builder), true, &from), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&from, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);

    add(l, 0, "{\"a\":1}",
        (struct event){
            .key = BYTES("k"), .headers = record.headers, .header_count = record.header_count, .time_ms = -77 });
    add(l, 1, "{\"a\":2}", (struct event){ .time_ms = 1700000000123 });
    add(l, 2, "{\"a\":3}", (struct event){ .key = { (const uint8_t *)"", 0 } });
    assert_int_equal(landing_land(l), NEAP_OK);
    uint32_t count;
    assert_string_equal(appended(l, 0, &count), "k={\"a\":1}\nNONE={\"a\":2}\n={\"a\":3}\n");
    assert_int_equal(batch_open(l->batch.ops[0].payload, true, &from), NEAP_OK);
    assert_int_equal(batch_unpack(&from, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    assert_int_equal(record.time_ms, -77);
    assert_int_equal(record.header_count, 2);
    struct reader left = reader_of(record.headers);
    struct record_header header;
    assert_int_equal(record_header_next(&left, &header), NEAP_OK);
    assert_true(bytes_equal(header.name, headers[0].name) && bytes_equal(header.value, headers[0].value));
    assert_int_equal(record_header_next(&left, &header), NEAP_OK);
    assert_true(bytes_equal(header.name, headers[1].name) && header.value.at == NULL);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    assert_int_equal(record.time_ms, 1700000000123);
    assert_int_equal(record.header_count, 0);
    landing_free(&l);
    world_drop(w, sink);
}

static void keys_that_are_no_text_are_their_json(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, 1, "event.k");
    struct landing *l = landing_new(w, sink, source);
    add(l, 0, "{\"k\":12}", (struct event){ .key = BYTES("own") });
    add(l, 1, "{\"k\":true}", (struct event){ 0 });
    add(l, 2, "{\"k\":[1,2]}", (struct event){ 0 });
    add(l, 3, "{\"k\":1.5}", (struct event){ 0 });
    add(l, 4, "{\"x\":0}", (struct event){ .key = BYTES("own") });
    assert_int_equal(landing_land(l), NEAP_OK);
    uint32_t count;
    assert_string_equal(appended(l, 0, &count),
                        "12={\"k\":12}\ntrue={\"k\":true}\n[1,2]={\"k\":[1,2]}\n1.5={\"k\":1.5}\nNONE={\"x\":0}\n");
    landing_free(&l);
    world_drop(w, sink);
}

static void without_a_key_the_id_decides_and_without_an_id_the_offset(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, 4, NULL);
    struct landing *l = landing_new(w, sink, source);
    uint32_t by_id = murmur2_partition(bytes_of_text("id-1"), 4), count;
    add(l, 0, "{\"a\":1}", (struct event){ .id = BYTES("id-1") });
    assert_int_equal(landing_land(l), NEAP_OK);
    appended(l, by_id, &count);
    assert_int_equal(count, 1);
    uint32_t counts[4] = { 0 };
    for (int round = 0; round < 2; round++) { /* the same events go the same way again */
        landing_clear(l);
        for (uint64_t i = 0; i < 4096; i++)
            add(l, i, "{}", (struct event){ 0 });
        assert_int_equal(landing_land(l), NEAP_OK);
        for (uint32_t p = 0; p < 4; p++) {
            appended(l, p, &count);
            assert_int_equal(count, 1024);
            counts[p] += count;
        }
    }
    for (uint32_t p = 0; p < 4; p++)
        assert_int_equal(counts[p], 2048);
    landing_free(&l);
    world_drop(w, sink);
}

static void the_largest_event_fits_and_the_next_larger_is_told(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, 3, NULL);
    struct landing *l = landing_new(w, sink, source);
    char *json = malloc(RECORD_SIZE_MAX + 2);
    struct failure failure = { 0 };
    json[0] = '"';
    memset(json + 1, 'x', RECORD_SIZE_MAX - 1);
    json[RECORD_SIZE_MAX - 1] = '"';
    json[RECORD_SIZE_MAX] = '\0';
    add(l, 0, json, (struct event){ 0 });
    assert_int_equal(landing_try(l, 1, json, &(struct event){ 0 }, &failure), NEAP_AGAIN);
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_int_equal(l->batch.op_count, 1);
    landing_clear(l);
    assert_int_equal(landing_try(l, 1, json, &(struct event){ .key = BYTES("k") }, &failure), NEAP_TOOLARGE);
    assert_string_equal(failure.reason, "too_large");
    assert_int_equal(writer_size(&l->rows), 0);
    free(json);
    landing_free(&l);
    world_drop(w, sink);
}

static void two_batches_keep_their_records_until_their_units_are_done(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, 1, NULL);
    struct landing *a = landing_new(w, sink, source), *b = landing_new(w, sink, (struct log_partition){ 7, 4 });
    add(a, 0, "{\"of\":\"a\"}", (struct event){ 0 });
    add(b, 0, "{\"of\":\"b\"}", (struct event){ 0 });
    landing_start(a);
    landing_start(b);
    assert_int_equal(w->waiting, 2); /* never inside the call */
    world_settle(w);
    uint32_t count;
    assert_string_equal(appended(a, 0, &count), "NONE={\"of\":\"a\"}\n");
    assert_string_equal(appended(b, 0, &count), "NONE={\"of\":\"b\"}\n");
    landing_free(&a);
    landing_free(&b);
    world_drop(w, sink);
}

/* More partitions than a batch may have operations. */
static void as_many_partitions_as_a_topic_may_have(void **state)
{
    struct sink_world *w = *state;
    struct sink *sink = open_sink(w, TOPIC_PARTITION_COUNT_MAX, "event.k");
    struct landing *l = landing_new(w, sink, source);
    for (uint32_t i = 0; i < sink->row_count_max; i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"k\":\"%u\"}", i * 7919);
        add(l, i, json, (struct event){ 0 });
    }
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_true(l->batch.op_count <= SINK_OP_COUNT_MAX && l->batch.op_count > SINK_OP_COUNT_MAX / 2);
    uint32_t total = 0;
    for (uint32_t i = 0; i < l->batch.op_count; i++)
        total += l->batch.ops[i].count;
    assert_int_equal(total, sink->row_count_max);
    landing_free(&l);
    world_drop(w, sink);
}

int main(void)
{
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, open_state, close_state)
    const struct CMUnitTest tests[] = {
        TEST_OF(a_key_meets_kafkas_partition_in_order),
        TEST_OF(a_record_passes_on_what_it_carried),
        TEST_OF(keys_that_are_no_text_are_their_json),
        TEST_OF(without_a_key_the_id_decides_and_without_an_id_the_offset),
        TEST_OF(the_largest_event_fits_and_the_next_larger_is_told),
        TEST_OF(two_batches_keep_their_records_until_their_units_are_done),
        TEST_OF(as_many_partitions_as_a_topic_may_have),
    };
    return cmocka_run_group_tests_name("sink_topic", tests, NULL, NULL);
}
