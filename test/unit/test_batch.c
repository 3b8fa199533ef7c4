/* Kafka's record batches are written, read back, and refused when cut or flipped anywhere. */
#include "check.h"

#include "base/crc32c.h"
#include "log/batch.h"
#include <stdlib.h>

#define RECORD_COUNT 20

static struct bytes optional(uint64_t *seed, const uint8_t *pool)
{
    uint64_t kind = chance_below(seed, 5);
    if (kind == 0)
        return (struct bytes){ NULL, 0 };
    return (struct bytes){ pool + chance_below(seed, 64), kind == 1 ? 0 : chance_below(seed, 150) };
}

static void assert_same(struct bytes a, struct bytes b)
{
    assert_int_equal(a.at == NULL, b.at == NULL);
    assert_true(bytes_equal(a, b));
}

struct sample {
    struct record record;
    struct record_header headers[3];
    uint32_t header_count;
};

static struct sample samples[RECORD_COUNT];

static void make_samples(uint64_t seed)
{
    static uint8_t pool[256];
    for (size_t i = 0; i < sizeof pool; i++)
        pool[i] = (uint8_t)chance(&seed);
    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct sample *s = &samples[i];
        *s = (struct sample){ .record = { .key = optional(&seed, pool), .value = optional(&seed, pool) } };
        s->record.time_ms = chance_below(&seed, 10) == 0 ? (int64_t)chance(&seed)
                                                         : 1764000000000 + (int64_t)chance_below(&seed, 5000) - 2500;
        s->header_count = (uint32_t)chance_below(&seed, 4);
        for (uint32_t k = 0; k < s->header_count; k++) {
            s->headers[k].name = (struct bytes){ pool + k, chance_below(&seed, 20) };
            s->headers[k].value = optional(&seed, pool);
        }
    }
}

static struct bytes build(uint8_t *room, size_t size)
{
    struct batch_builder b;
    batch_begin(&b, room, size);
    size_t bound = BATCH_HEADER_SIZE;
    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct sample *s = &samples[i];
        bound += batch_record_size_max(&s->record, s->headers, s->header_count);
        assert_int_equal(batch_add(&b, &s->record, s->headers, s->header_count), NEAP_OK);
        assert_true(writer_size(&b.writer) <= bound);
    }
    return batch_end(&b);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    static uint8_t room[16384];
    for (uint64_t seed = 1; seed <= 50; seed++) {
        make_samples(seed);
        struct bytes bytes = build(room, sizeof room);
        batch_stamp(room, 1000);
        struct batch batch;
        assert_int_equal(batch_open(bytes, true, &batch), NEAP_OK); /* the stamp is not under the CRC */
        assert_int_equal(batch.base_offset, 1000);
        assert_int_equal(batch.count, RECORD_COUNT);
        assert_int_equal(batch.size, bytes.size);
        assert_true(batch.producer_id == -1 && batch.producer_epoch == -1 && batch.base_sequence == -1);
        assert_int_equal(batch.span, RECORD_COUNT);
        struct batch_walk walk;
        assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
        int64_t max = INT64_MIN;
        for (uint32_t i = 0; i < RECORD_COUNT; i++) {
            struct record record;
            struct sample *s = &samples[i];
            assert_int_equal(batch_next(&walk, &record), NEAP_OK);
            assert_int_equal(batch_walk_next(&walk), 1000 + i + 1);
            assert_int_equal(record.offset, 1000 + i);
            assert_true(record.time_ms == s->record.time_ms);
            max = record.time_ms > max ? record.time_ms : max;
            assert_same(record.key, s->record.key);
            assert_same(record.value, s->record.value);
            assert_int_equal(record.header_count, s->header_count);
            struct reader headers = reader_of(record.headers);
            struct record_header header;
            for (uint32_t k = 0; k < s->header_count; k++) {
                assert_int_equal(record_header_next(&headers, &header), NEAP_OK);
                assert_true(bytes_equal(header.name, s->headers[k].name));
                assert_same(header.value, s->headers[k].value);
            }
            assert_int_equal(record_header_next(&headers, &header), NEAP_NOTFOUND);
        }
        assert_true(batch.max_time_ms == max);
        struct record none;
        assert_int_equal(batch_next(&walk, &none), NEAP_NOTFOUND);
    }
}

/* Byte for byte, as made by hand from Kafka's protocol guide: one record, key "k", value "v", header h=1, at 1,000 ms.
 */
static void layout_is_kafkas(void **state)
{
    (void)state;
    uint8_t room[128];
    struct batch_builder b;
    batch_begin(&b, room, sizeof room);
    struct record record = { .key = BYTES("k"), .value = BYTES("v"), .time_ms = 1000 };
    struct record_header header = { BYTES("h"), BYTES("1") };
    assert_int_equal(batch_add(&b, &record, &header, 1), NEAP_OK);
    struct bytes bytes = batch_end(&b);
    static const uint8_t expected[] = {
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3e, 0x00, 0x00, 0x00,
        0x00, 0x02, 0xbc, 0x1d, 0x55, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x03, 0xe8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe8, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00,
        0x01, 0x18, 0x00, 0x00, 0x00, 0x02, 0x6b, 0x02, 0x76, 0x02, 0x02, 0x68, 0x02, 0x31,
    };
    assert_int_equal(bytes.size, sizeof expected);
    assert_memory_equal(bytes.at, expected, sizeof expected);
}

static void full_changes_nothing(void **state)
{
    (void)state;
    static uint8_t room[16384], small[16384];
    make_samples(7);
    struct bytes whole = build(room, sizeof room);
    for (size_t size = 0; size < whole.size; size++) {
        struct batch_builder b;
        batch_begin(&b, small, size);
        uint32_t added = 0;
        while (batch_add(&b, &samples[added].record, samples[added].headers, samples[added].header_count) == NEAP_OK)
            added++;
        assert_true(added < RECORD_COUNT);
        assert_int_equal(b.count, added);
        if (added == 0)
            continue;
        struct bytes bytes = batch_end(&b);
        assert_true(bytes.size <= size);
        struct batch batch;
        assert_int_equal(batch_open(bytes, true, &batch), NEAP_OK);
        assert_int_equal(batch.count, added);
    }
}

/* Reads all it can; answers whether every record was there. */
static bool read_all(struct bytes bytes, bool check_crc)
{
    struct batch batch;
    struct batch_walk walk;
    if (batch_open(bytes, check_crc, &batch) != NEAP_OK || batch_unpack(&batch, NULL, &walk) != NEAP_OK)
        return false;
    struct record record;
    enum neap_status status;
    uint32_t count = 0;
    for (; (status = batch_next(&walk, &record)) == NEAP_OK; count++) {
        assert_true(record.offset >= batch.base_offset && record.offset < batch.base_offset + batch.span);
        struct reader headers = reader_of(record.headers);
        struct record_header header;
        for (uint32_t i = 0; i < record.header_count; i++)
            assert_int_equal(record_header_next(&headers, &header), NEAP_OK);
    }
    assert_true(status != NEAP_NOTFOUND || count == batch.count);
    return status == NEAP_NOTFOUND;
}

static void every_cut_and_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    static uint8_t room[16384];
    make_samples(3);
    struct bytes bytes = build(room, sizeof room);
    assert_true(read_all(bytes, true));
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *exact = malloc(size + 1); /* so that the address sanitizer sees one byte too many */
        memcpy(exact, bytes.at, size);
        uint8_t *end_aligned = exact + 1;
        memmove(end_aligned, exact, size);
        assert_false(read_all((struct bytes){ end_aligned, size }, true));
        free(exact);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
        read_all(bytes, false);                                       /* must not read astray, whatever it says */
        bool unseen = bit / 8 < 8 || (bit / 8 >= 12 && bit / 8 < 16); /* base offset and epoch: not under the CRC */
        assert_true(!read_all(bytes, true) || unseen);
        room[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(read_all(bytes, true));
}

static void lies_with_a_good_crc_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {
        { 16, 1 },    /* magic */
        { 60, 0 },    /* no records */
        { 60, 1 },    /* fewer than there are */
        { 60, 3 },    /* more than there are */
        { 57, 0x80 }, /* a negative count */
        { 26, 0 },    /* fewer offsets than records */
        { 23, 0x80 }, /* a negative last offset delta */
        { 22, 5 },    /* a codec that nobody knows */
        { 61, 2 },    /* record length */
        { 64, 2 },    /* offset delta */
        { 65, 3 },    /* key size -2 */
        { 67, 126 },  /* value longer than the record */
        { 69, 1 },    /* negative header count */
        { 69, 4 },    /* headers that are not there */
    };
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        uint8_t room[128];
        struct batch_builder b;
        batch_begin(&b, room, sizeof room);
        struct record record = { .key = BYTES("k"), .value = BYTES("v"), .time_ms = 1000 };
        struct record_header header = { BYTES("h"), BYTES("1") };
        assert_int_equal(batch_add(&b, &record, &header, 1), NEAP_OK);
        assert_int_equal(batch_add(&b, &(struct record){ .value = BYTES("w") }, NULL, 0), NEAP_OK);
        struct bytes bytes = batch_end(&b);
        assert_true(read_all(bytes, true));
        room[lies[i].at] = lies[i].value;
        put_be32(room + 17, crc32c(0, room + 21, bytes.size - 21));
        assert_false(read_all(bytes, true));
    }
}

/* What compaction leaves: three records, at offsets 2, 5 and 9 of ten. */
static struct bytes compacted(uint8_t *room, size_t size, const uint8_t *deltas)
{
    struct batch_builder b;
    batch_begin(&b, room, size);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(batch_add(&b, &(struct record){ .value = { (const uint8_t *)"abc" + i, 1 } }, NULL, 0),
                         NEAP_OK);
    struct bytes bytes = batch_end(&b);
    for (uint32_t i = 0; i < 3; i++) /* each record takes nine bytes: length, attributes, time, offset, ... */
        room[BATCH_HEADER_SIZE + i * 8 + 3] = (uint8_t)(deltas[i] * 2);
    put_be32(room + 23, 9);
    put_be32(room + 17, crc32c(0, room + 21, bytes.size - 21));
    batch_stamp(room, 100);
    return bytes;
}

static void a_compacted_batch_keeps_its_offsets(void **state)
{
    (void)state;
    uint8_t room[256];
    struct bytes bytes = compacted(room, sizeof room, (const uint8_t[]){ 2, 5, 9 });
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    assert_int_equal(batch_open(bytes, true, &batch), NEAP_OK);
    assert_int_equal(batch.count, 3);
    assert_int_equal(batch.span, 10);
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    static const uint64_t offsets[] = { 102, 105, 109 };
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(batch_next(&walk, &record), NEAP_OK);
        assert_int_equal(record.offset, offsets[i]);
        assert_int_equal(record.value.at[0], "abc"[i]);
    }
    assert_int_equal(batch_next(&walk, &record), NEAP_NOTFOUND);
    assert_int_equal(batch_walk_next(&walk), 110);

    static const uint8_t wrong[][3] = { { 2, 2, 9 }, { 5, 2, 9 }, { 2, 5, 10 }, { 2, 9, 5 }, { 8, 9, 9 }, { 9, 9, 9 } };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(read_all(compacted(room, sizeof room, wrong[i]), true));
}

/* A broker that stamps the time of append says so in one bit, and then that time is every record's. */
static void the_time_of_append_stands_for_all(void **state)
{
    (void)state;
    uint8_t room[128];
    struct batch_builder b;
    batch_begin(&b, room, sizeof room);
    assert_int_equal(batch_add(&b, &(struct record){ .time_ms = 5 }, NULL, 0), NEAP_OK);
    struct bytes bytes = batch_end(&b);
    room[22] |= 8;
    room[42] = 77; /* the max timestamp */
    put_be32(room + 17, crc32c(0, room + 21, bytes.size - 21));
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    assert_int_equal(batch_open(bytes, true, &batch), NEAP_OK);
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    assert_int_equal(record.time_ms, 77);
}

static void too_many_headers(void **state)
{
    (void)state;
    static struct record_header headers[BATCH_HEADER_COUNT_MAX + 1];
    static uint8_t room[8192];
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        headers[i] = (struct record_header){ BYTES("name"), BYTES("value") };
    struct batch_builder b;
    batch_begin(&b, room, sizeof room);
    struct record record = { .value = BYTES("v") };
    assert_int_equal(batch_add(&b, &record, headers, BATCH_HEADER_COUNT_MAX + 1), NEAP_TOOLARGE);
    assert_int_equal(batch_add(&b, &record, headers, BATCH_HEADER_COUNT_MAX), NEAP_OK);
    assert_true(read_all(batch_end(&b), true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(layout_is_kafkas),
        cmocka_unit_test(full_changes_nothing),
        cmocka_unit_test(every_cut_and_every_flipped_bit_is_noticed),
        cmocka_unit_test(lies_with_a_good_crc_are_refused),
        cmocka_unit_test(a_compacted_batch_keeps_its_offsets),
        cmocka_unit_test(the_time_of_append_stands_for_all),
        cmocka_unit_test(too_many_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
