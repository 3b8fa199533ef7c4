/* Of a compressed batch that cannot be unpacked, whoever reads the topic says which offsets it passes by, and goes on. */
#include "log_bench.h"

#include "base/crc32c.h"
#include "neap/neap.h"
#include "node/control.h"

#define BATCH_EVENTS 10u

/* Ten events each: plain, lz4, one that is damaged but for its sum, zstd. */
static void fill(struct bench *b, struct log_partition p)
{
    static uint8_t room[16384], packed_room[16384];
    static const enum codec codecs[] = { CODEC_NONE, CODEC_LZ4, CODEC_GZIP, CODEC_ZSTD };
    for (uint32_t i = 0; i < COUNT_OF(codecs); i++) {
        struct bytes batch = make_batch(room, sizeof room, "v", i * BATCH_EVENTS, BATCH_EVENTS, 30);
        if (codecs[i] != CODEC_NONE)
            assert_int_equal(batch_pack(batch, codecs[i], packed_room, sizeof packed_room, &batch), NEAP_OK);
        if (i == 2) {
            memset(packed_room + batch.size - 20, 0xEE, 20);
            put_be32(packed_room + 17, crc32c(0, packed_room + 21, batch.size - 21));
        }
        struct log_op op = { .kind = LOG_APPEND, .target = p, .count = BATCH_EVENTS, .payload = batch };
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
    }
}

struct answer {
    char text[32768];
    size_t size;
};

static enum neap_status keep(void *ctx, struct bytes bytes)
{
    struct answer *a = ctx;
    assert_true(a->size + bytes.size < sizeof a->text);
    memcpy(a->text + a->size, bytes.at, bytes.size);
    a->size += bytes.size;
    a->text[a->size] = 0;
    return NEAP_OK;
}

static uint32_t count(const char *text, const char *what)
{
    uint32_t n = 0;
    for (; (text = strstr(text, what)) != NULL; n++)
        text++;
    return n;
}

static void a_listing_says_what_it_passes(void **state)
{
    struct bench b = bench_new(64u << 10);
    static struct answer answer;
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    fill(&b, p);
    struct control_context context = { .io = b.io, .log = b.log };
    answer.size = 0;
    assert_int_equal(
        control_execute(&context, false,
                        BYTES("{\"verb\":\"topic read\",\"topic\":\"t\",\"partition\":0,\"from\":25,\"limit\":100}"),
                        (struct bytes){ NULL, 0 }, keep, &answer, soon(&b), &b.err),
        NEAP_OK);
    assert_int_equal(count(answer.text, "\"text\":\"v "), BATCH_EVENTS);
    assert_int_equal(count(answer.text, "\"offset\":25,\"until\":30,\"unreadable\":"), 1);
    assert_non_null(strstr(answer.text, "gzip"));
    answer.size = 0;
    assert_int_equal(
        control_execute(&context, false,
                        BYTES("{\"verb\":\"topic read\",\"topic\":\"t\",\"partition\":0,\"from\":0,\"limit\":100}"),
                        (struct bytes){ NULL, 0 }, keep, &answer, soon(&b), &b.err),
        NEAP_OK);
    assert_int_equal(count(answer.text, "\"text\":\"v "), 3 * BATCH_EVENTS);
    assert_int_equal(count(answer.text, "\"offset\":20,\"until\":30,\"unreadable\":"), 1);
    bench_end(&b);
}

static void a_reader_of_the_library_says_it_once(void **state)
{
    struct bench b = bench_new(64u << 10);
    struct neap *neap;
    struct neap_writer *writer;
    struct neap_topic *topic_there;
    struct neap_reader *reader;
    struct neap_record record;
    struct neap_error err;
    (void)state;
    bench_open(&b);
    fill(&b, (struct log_partition){ topic(&b, "t", 1), 0 });
    bench_close(&b);
    struct neap_options options = { .path = b.path, .disk_size = 64u << 20 };
    assert_int_equal(neap_open(&options, &neap, &err), NEAP_OK);
    assert_int_equal(neap_writer_open(neap, NULL, &writer, &err), NEAP_OK);
    assert_int_equal(neap_topic_open(writer, "t", 1, 20000, &topic_there, &err), NEAP_OK);
    assert_int_equal(neap_reader_open(neap, topic_there, 0, 0, &reader, &err), NEAP_OK);
    for (uint64_t n = 0; n < 4 * BATCH_EVENTS; n++) {
        if (n == 2 * BATCH_EVENTS) {
            assert_int_equal(neap_reader_next(reader, 0, &record, &err), NEAP_BADINPUT);
            assert_non_null(strstr(err.text, "offsets 20 to 29"));
            n += BATCH_EVENTS;
        }
        assert_int_equal(neap_reader_next(reader, 0, &record, &err), NEAP_OK);
        assert_int_equal(record.offset, n);
    }
    assert_int_equal(neap_reader_next(reader, 0, &record, &err), NEAP_AGAIN);
    neap_reader_close(&reader);
    neap_topic_close(&topic_there);
    assert_int_equal(neap_writer_close(&writer, 20000), NEAP_OK);
    assert_int_equal(neap_close(&neap), NEAP_OK);
    bench_open(&b);
    bench_end(&b);
}

/* ---- bytes behind the last record ---------------------------------------------------------------------------------------- */

/* Two batches; the first one counts one record fewer than it has. */
static void fill_surplus(struct bench *b, struct log_partition p, enum codec codec)
{
    static uint8_t room[16384], packed_room[16384];
    for (uint32_t i = 0; i < 2; i++) {
        struct bytes batch = make_batch(room, sizeof room, "v", i * BATCH_EVENTS, BATCH_EVENTS, 30);
        if (codec != CODEC_NONE)
            assert_int_equal(batch_pack(batch, codec, packed_room, sizeof packed_room, &batch), NEAP_OK);
        uint8_t *at = codec != CODEC_NONE ? packed_room : room;
        uint32_t count = BATCH_EVENTS - (i == 0);
        put_be32(at + 23, count - 1);
        put_be32(at + 57, count);
        put_be32(at + 17, crc32c(0, at + 21, batch.size - 21));
        struct log_op op = { .kind = LOG_APPEND, .target = p, .count = count, .payload = { at, batch.size } };
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
    }
}

static void list_surplus(enum codec codec)
{
    struct bench b = bench_new(64u << 10);
    static struct answer answer;
    bench_open(&b);
    fill_surplus(&b, (struct log_partition){ topic(&b, "t", 1), 0 }, codec);
    struct control_context context = { .io = b.io, .log = b.log };
    answer.size = 0;
    assert_int_equal(
        control_execute(&context, false,
                        BYTES("{\"verb\":\"topic read\",\"topic\":\"t\",\"partition\":0,\"from\":0,\"limit\":100}"),
                        (struct bytes){ NULL, 0 }, keep, &answer, soon(&b), &b.err),
        NEAP_OK);
    assert_int_equal(count(answer.text, "\"text\":\"v "), 2 * BATCH_EVENTS - 1);
    assert_int_equal(count(answer.text, "\"offset\":9,\"until\":9,\"unreadable\":"), 1);
    bench_end(&b);
}

static void read_surplus(enum codec codec)
{
    struct bench b = bench_new(64u << 10);
    struct neap *neap;
    struct neap_topic *topic_there;
    struct neap_reader *reader;
    struct neap_record record;
    struct neap_error err;
    bench_open(&b);
    fill_surplus(&b, (struct log_partition){ topic(&b, "t", 1), 0 }, codec);
    bench_close(&b);
    struct neap_options options = { .path = b.path, .disk_size = 64u << 20 };
    assert_int_equal(neap_open(&options, &neap, &err), NEAP_OK);
    assert_int_equal(neap_topic_find(neap, "t", &topic_there, &err), NEAP_OK);
    assert_int_equal(neap_reader_open(neap, topic_there, 0, 0, &reader, &err), NEAP_OK);
    for (uint64_t n = 0; n < 2 * BATCH_EVENTS - 1; n++) {
        if (n == BATCH_EVENTS - 1) {
            assert_int_equal(neap_reader_next(reader, 0, &record, &err), NEAP_BADINPUT);
            assert_non_null(strstr(err.text, "offset 8"));
        }
        assert_int_equal(neap_reader_next(reader, 0, &record, &err), NEAP_OK);
        assert_int_equal(record.offset, n);
    }
    assert_int_equal(neap_reader_next(reader, 0, &record, &err), NEAP_AGAIN);
    neap_reader_close(&reader);
    neap_topic_close(&topic_there);
    assert_int_equal(neap_close(&neap), NEAP_OK);
    bench_open(&b);
    bench_end(&b);
}

static void bytes_behind_the_last_record_are_said(void **state)
{
    (void)state;
    list_surplus(CODEC_NONE);
    list_surplus(CODEC_LZ4);
    read_surplus(CODEC_NONE);
    read_surplus(CODEC_LZ4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_says_what_it_passes),
        cmocka_unit_test(a_reader_of_the_library_says_it_once),
        cmocka_unit_test(bytes_behind_the_last_record_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
