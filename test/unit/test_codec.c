/* What Kafka's clients compress comes out as it went in; a lie or a bomb is refused within the room. */
#include "check.h"

#include "log/batch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN_SIZE 70000u

static uint8_t plain[PLAIN_SIZE];

static int make_plain(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (size_t i = 0; i < PLAIN_SIZE; i++) {
        x = (x * 1103515245u + 12345u) & 0x7fffffffu;
        plain[i] = i < 997 ? (uint8_t)(x >> 16) : plain[i - 997];
    }
    return 0;
}

/* A file of test/golden/packed; its README says who made it. */
static struct bytes golden(const char *name)
{
    static uint8_t room[8192];
    char path[512];
    snprintf(path, sizeof path, "%s/test/golden/packed/%s", SOURCE_ROOT, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(room, 1, sizeof room, f);
    fclose(f);
    assert_true(size > 0 && size < sizeof room);
    return (struct bytes){ room, size };
}

static const struct {
    const char *name;
    enum codec codec;
    size_t size;
} goldens[] = {
    { "gzip-tool", CODEC_GZIP, PLAIN_SIZE },    { "gzip-members", CODEC_GZIP, PLAIN_SIZE },
    { "snappy-raw", CODEC_SNAPPY, PLAIN_SIZE }, { "snappy-stream", CODEC_SNAPPY, PLAIN_SIZE },
    { "lz4-tool", CODEC_LZ4, PLAIN_SIZE },      { "lz4-frames", CODEC_LZ4, PLAIN_SIZE },
    { "lz4-stored", CODEC_LZ4, 997 },           { "zstd-tool", CODEC_ZSTD, PLAIN_SIZE },
    { "zstd-frames", CODEC_ZSTD, PLAIN_SIZE },
};

static void what_others_packed_comes_out(void **state)
{
    (void)state;
    struct codec_room room;
    codec_room_init(&room, PLAIN_SIZE); /* exactly enough */
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        struct bytes got;
        assert_int_equal(codec_unpack(goldens[i].codec, golden(goldens[i].name), &room, &got), NEAP_OK);
        assert_true(bytes_equal(got, (struct bytes){ plain, goldens[i].size }));
    }
    codec_room_fini(&room);
}

static void one_byte_too_many_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        struct codec_room room;
        struct bytes got;
        codec_room_init(&room, goldens[i].size - 1);
        assert_int_equal(codec_unpack(goldens[i].codec, golden(goldens[i].name), &room, &got), NEAP_TOOLARGE);
        assert_true(room.size <= room.size_max);
        codec_room_fini(&room);
    }
}

static void check_record(const struct record *r, uint64_t n)
{
    char key[8], value[64];
    snprintf(key, sizeof key, "k%u", (unsigned)(n % 4));
    snprintf(value, sizeof value, "{\"n\":%u,\"who\":\"somebody\"}", (unsigned)n);
    assert_int_equal(r->offset, n);
    assert_int_equal(r->time_ms, 1764000000000 + (int64_t)n * 3);
    assert_true(n % 5 == 0 ? r->key.at == NULL : bytes_equal(r->key, bytes_of_text(key)));
    assert_true(n == 7 ? r->value.at == NULL : bytes_equal(r->value, bytes_of_text(value)));
    assert_int_equal(r->header_count, n % 3 == 0);
    struct reader left = reader_of(r->headers);
    struct record_header header;
    if (n % 3 == 0) {
        assert_int_equal(record_header_next(&left, &header), NEAP_OK);
        assert_true(bytes_equal(header.name, BYTES("trace")) && bytes_equal(header.value, BYTES("abc")));
    }
}

static void batches_of_another_client_are_read(void **state)
{
    (void)state;
    static const char *const names[] = { "batch-gzip", "batch-snappy", "batch-lz4", "batch-zstd" };
    struct codec_room room;
    codec_room_init(&room, 64 << 10);
    for (uint32_t i = 0; i < COUNT_OF(names); i++) {
        struct batch batch;
        struct batch_walk walk;
        struct record record;
        assert_int_equal(batch_open(golden(names[i]), true, &batch), NEAP_OK);
        assert_int_equal(batch_codec(&batch), CODEC_GZIP + i);
        assert_int_equal(batch.count, 40);
        assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_BADINPUT); /* by whoever has no room for it */
        assert_int_equal(batch_unpack(&batch, &room, &walk), NEAP_OK);
        for (uint64_t n = 0; n < 40; n++) {
            assert_int_equal(batch_next(&walk, &record), NEAP_OK);
            check_record(&record, n);
        }
        assert_int_equal(batch_next(&walk, &record), NEAP_NOTFOUND);
    }
    codec_room_fini(&room);
}

/* Text, noise and nothing, of every length up to a few hundred, and long ones. */
static void what_was_packed_comes_out(void **state)
{
    (void)state;
    static uint8_t packed_room[400000], from[200000];
    uint64_t seed = 5;
    struct codec_room room;
    codec_room_init(&room, sizeof from);
    for (uint32_t round = 0; round < 600; round++) {
        size_t size = round < 300 ? round : chance_below(&seed, sizeof from);
        unsigned letters = 1 + (unsigned)chance_below(&seed, 256);
        for (size_t i = 0; i < size; i++)
            from[i] = (uint8_t)chance_below(&seed, letters);
        enum codec codec = (enum codec)(1 + round % 4);
        struct bytes packed, got, in = { from, size };
        size_t most = codec_packed_size_max(codec, size);
        assert_true(most <= sizeof packed_room);
        assert_int_equal(codec_pack(codec, in, packed_room, most, &packed), NEAP_OK);
        assert_int_equal(codec_unpack(codec, packed, &room, &got), NEAP_OK);
        assert_true(bytes_equal(in, got));
        if (size > 0) {
            size_t less = chance_below(&seed, packed.size); /* below what it takes */
            assert_int_equal(codec_pack(codec, in, packed_room, less, &packed), NEAP_AGAIN);
        }
    }
    codec_room_fini(&room);
}

static void no_cut_and_no_flipped_bit_reads_astray(void **state)
{
    (void)state;
    struct codec_room room;
    codec_room_init(&room, PLAIN_SIZE);
    for (size_t g = 0; g < COUNT_OF(goldens); g++) {
        struct bytes whole = golden(goldens[g].name), got;
        size_t step = whole.size / 400 + 1;
        for (size_t size = 0; size < whole.size; size += step) {
            uint8_t *exact = malloc(size + 1);
            memcpy(exact + 1, whole.at, size);
            enum neap_status status = codec_unpack(goldens[g].codec, (struct bytes){ exact + 1, size }, &room, &got);
            assert_true(status != NEAP_OK || got.size < goldens[g].size); /* cut between two frames, the first stands */
            free(exact);
        }
        uint8_t *flipped = malloc(whole.size);
        memcpy(flipped, whole.at, whole.size);
        for (size_t bit = 0; bit < whole.size * 8; bit += step * 3) {
            flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum neap_status status =
                codec_unpack(goldens[g].codec, (struct bytes){ flipped, whole.size }, &room, &got);
            assert_true(status == NEAP_OK || status == NEAP_BADINPUT || status == NEAP_TOOLARGE);
            flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        free(flipped);
    }
    codec_room_fini(&room);
}

/* Sizes that are claimed are no reason to take memory. */
static void lies_cost_nothing(void **state)
{
    (void)state;
    static const struct {
        enum codec codec;
        enum neap_status status;
        struct bytes bytes;
    } lies[] = {
        /* raw: 2 GiB - 1; 4 MiB of six bytes */
        { CODEC_SNAPPY, NEAP_TOOLARGE, { (const uint8_t *)"\xff\xff\xff\xff\x07\x00z", 7 } },
        { CODEC_SNAPPY, NEAP_BADINPUT, { (const uint8_t *)"\x80\x80\x80\x02\x00z", 6 } },
        /* a stream, whose block says it is 2 GiB long; one whose block says 2 GiB come out of it */
        { CODEC_SNAPPY, NEAP_BADINPUT, { (const uint8_t *)"\x82SNAPPY\0\0\0\0\1\0\0\0\1\x7f\xff\xff\xff zz", 23 } },
        { CODEC_SNAPPY,
          NEAP_TOOLARGE,
          { (const uint8_t *)"\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\7\xff\xff\xff\xff\x07\0z", 27 } },
        /* a frame of lz4 with 2^40 bytes in it, its head's sum right; one with a dictionary */
        { CODEC_LZ4, NEAP_TOOLARGE, { (const uint8_t *)"\x04\x22\x4d\x18\x68\x40\0\0\0\0\0\1\0\0\xb7", 15 } },
        { CODEC_LZ4, NEAP_BADINPUT, { (const uint8_t *)"\x04\x22\x4d\x18\x61\x40\0\0\0\1\0\0", 12 } },
        /* a frame of zstd with 2^40 bytes in it; with 4 MiB in three bytes */
        { CODEC_ZSTD, NEAP_TOOLARGE, { (const uint8_t *)"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\1\0\0\1\0\0", 16 } },
        { CODEC_ZSTD, NEAP_BADINPUT, { (const uint8_t *)"\x28\xb5\x2f\xfd\xa0\0\0\x40\0\1\0\0", 12 } },
        { CODEC_GZIP, NEAP_BADINPUT, { (const uint8_t *)"\x1f\x8b\x08", 3 } },
        { CODEC_GZIP, NEAP_BADINPUT, { NULL, 0 } },
    };
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct codec_room room;
        struct bytes got;
        codec_room_init(&room, 8 << 20);
        assert_int_equal(codec_unpack(lies[i].codec, lies[i].bytes, &room, &got), lies[i].status);
        assert_true(room.size <= 64 << 10);
        assert_true(lies[i].codec == CODEC_GZIP || room.size == 0);
        codec_room_fini(&room);
    }
}

/* 64 MiB of nothing, in as few bytes as each codec can say it. */
static void a_bomb_ends_at_the_rooms_limit(void **state)
{
    (void)state;
    size_t size = 64 << 20;
    uint8_t *zeros = calloc(1, size);
    for (enum codec codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        struct codec_room room;
        struct bytes packed, got;
        uint8_t *to = malloc(codec_packed_size_max(codec, size));
        assert_int_equal(codec_pack(codec, (struct bytes){ zeros, size }, to, codec_packed_size_max(codec, size),
                                    &packed),
                         NEAP_OK);
        codec_room_init(&room, 1 << 20);
        assert_int_equal(codec_unpack(codec, packed, &room, &got), NEAP_TOOLARGE);
        assert_true(room.size <= 1 << 20);
        codec_room_fini(&room);
        free(to);
    }
    free(zeros);
}

/* A count that the records do not bear out is found before any record is given. */
static void a_count_without_records_is_refused(void **state)
{
    (void)state;
    uint8_t room[4096], packed_room[4096];
    struct batch_builder b;
    batch_begin(&b, room, sizeof room);
    for (int i = 0; i < 10; i++)
        assert_int_equal(batch_add(&b, &(struct record){ .value = BYTES("v") }, NULL, 0), NEAP_OK);
    struct bytes plain_batch = batch_end(&b), packed;
    struct codec_room unpacked;
    codec_room_init(&unpacked, 4096);
    for (enum codec codec = CODEC_GZIP; codec <= CODEC_ZSTD; codec++) {
        struct batch batch;
        struct batch_walk walk;
        struct record record;
        assert_int_equal(batch_pack(plain_batch, codec, packed_room, sizeof packed_room, &packed), NEAP_OK);
        assert_int_equal(batch_open(packed, true, &batch), NEAP_OK);
        assert_int_equal(batch_unpack(&batch, &unpacked, &walk), NEAP_OK);
        for (int i = 0; i < 10; i++)
            assert_int_equal(batch_next(&walk, &record), NEAP_OK);
        assert_int_equal(batch_next(&walk, &record), NEAP_NOTFOUND);
        put_be32(packed_room + 23, 999999); /* last offset delta, and count */
        put_be32(packed_room + 57, 1000000);
        assert_int_equal(batch_open(packed, false, &batch), NEAP_OK);
        assert_int_equal(batch_unpack(&batch, &unpacked, &walk), NEAP_BADINPUT);
        assert_int_equal(batch_pack(packed, codec, packed_room, sizeof packed_room, &packed), NEAP_BADINPUT);
    }
    codec_room_fini(&unpacked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_packed_comes_out),           cmocka_unit_test(one_byte_too_many_is_refused),
        cmocka_unit_test(batches_of_another_client_are_read),     cmocka_unit_test(what_was_packed_comes_out),
        cmocka_unit_test(no_cut_and_no_flipped_bit_reads_astray), cmocka_unit_test(lies_cost_nothing),
        cmocka_unit_test(a_bomb_ends_at_the_rooms_limit),         cmocka_unit_test(a_count_without_records_is_refused),
    };
    return cmocka_run_group_tests(tests, make_plain, NULL);
}
