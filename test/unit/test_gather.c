/* test_gather.c - small batches become one: the same records at the same offsets, whatever they were packed with */
#include "log_bench.h"

#include "log/local/gather.h"

#define SIZE  4096u
#define COUNT 400u

struct made { /* the slow, obvious model: what each record is to be, by its offset */
    struct {
        uint32_t key, value;
        int64_t time_ms;
        bool there, tombstone;
    } records[16 * COUNT];
    uint64_t end;
};

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* A batch at the model's end, with gaps as compaction leaves them, and every codec in turn. */
static struct op make(struct made *m, uint64_t *random, uint8_t *room, size_t size, uint32_t time_s)
{
    static uint8_t plain[65536];
    struct batch_builder b;
    uint32_t span = 1 + next_random(random) % 12;
    uint64_t base = m->end;
    batch_begin_read(&b, plain, sizeof plain, base);
    for (uint32_t i = 0; i < span; i++) {
        if (i + 1 < span && next_random(random) % 3 == 0)
            continue;
        uint32_t key = next_random(random), value = next_random(random);
        struct record r = { .key = { (uint8_t *)&key, 4 },
                            .offset = base + i,
                            .time_ms = 1000000 - (int64_t)(next_random(random) % 5000) };
        bool tombstone = next_random(random) % 40 == 0;
        if (!tombstone)
            r.value = (struct bytes){ (uint8_t *)&value, 4 };
        must(batch_add_read(&b, &r) == NEAP_OK);
        m->records[base + i].key = key;
        m->records[base + i].value = value;
        m->records[base + i].time_ms = r.time_ms;
        m->records[base + i].there = true;
        m->records[base + i].tombstone = tombstone;
    }
    m->end = base + span + next_random(random) % 2; /* what lies between was another batch, and is gone */
    struct op op = { .kind = OP_APPEND, .offset = base, .count = span, .time_s = time_s };
    op.payload = batch_end_read(&b, base + span);
    enum codec codec = (enum codec)(next_random(random) % CODEC_COUNT);
    if (codec == CODEC_NONE)
        memcpy(room, op.payload.at, op.payload.size);
    else
        must(batch_pack(op.payload, codec, room, size, &op.payload) == NEAP_OK);
    op.payload.at = room;
    return op;
}

/* The batch holds what the model says, from its first offset to its last. */
static void check(struct made *m, const struct op *op, uint64_t *next, struct codec_room *room)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    enum neap_status status;
    assert_true(op->offset >= *next);
    assert_int_equal(batch_open(op->payload, true, &batch), NEAP_OK);
    assert_int_equal(batch.base_offset, op->offset);
    assert_int_equal(batch.span, op->count);
    assert_int_equal(batch_unpack(&batch, room, &walk), NEAP_OK);
    for (*next = op->offset; (status = batch_next(&walk, &record)) == NEAP_OK; *next = record.offset + 1) {
        for (; *next < record.offset; ++*next)
            assert_false(m->records[*next].there);
        assert_true(m->records[record.offset].there);
        assert_int_equal(get_le32(record.key.at), m->records[record.offset].key);
        assert_int_equal(record.value.at == NULL, m->records[record.offset].tombstone);
        if (record.value.at != NULL)
            assert_int_equal(get_le32(record.value.at), m->records[record.offset].value);
        assert_int_equal(record.time_ms, m->records[record.offset].time_ms);
        m->records[record.offset].there = false; /* once */
    }
    assert_int_equal(status, NEAP_NOTFOUND);
    *next = op->offset + op->count;
}

static void what_goes_in_comes_out(void **state)
{
    static struct made m;
    static uint8_t room[65536];
    struct codec_room unpacked;
    (void)state;
    codec_room_init(&unpacked, 1 << 20);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct gather *g = gather_new(SIZE);
        struct op taken;
        uint64_t random = seed, next = 0;
        uint32_t batches = 0;
        memset(&m, 0, sizeof m);
        for (uint32_t i = 0; i < COUNT; i++) {
            struct op op = make(&m, &random, room, sizeof room, 1000 + i * 60);
            enum neap_status status = gather_add(g, &op);
            if (status == NEAP_AGAIN) {
                assert_int_equal(gather_take(g, &taken), NEAP_OK);
                check(&m, &taken, &next, &unpacked);
                batches++;
                status = gather_add(g, &op);
            }
            assert_int_equal(status, NEAP_OK);
        }
        assert_int_equal(gather_take(g, &taken), NEAP_OK);
        check(&m, &taken, &next, &unpacked);
        assert_int_equal(gather_take(g, &taken), NEAP_NOTFOUND);
        for (uint64_t i = 0; i < m.end; i++)
            assert_false(m.records[i].there);
        assert_true(batches < COUNT / 4);
        gather_free(&g);
    }
    codec_room_fini(&unpacked);
}

static struct op one(uint8_t *room, size_t size, uint64_t offset, size_t value_size, uint32_t time_s)
{
    static const uint8_t value[SIZE];
    struct batch_builder b;
    struct record r = { .key = BYTES("k"), .offset = offset };
    if (value_size > 0)
        r.value = (struct bytes){ value, value_size };
    batch_begin_read(&b, room, size, offset);
    must(batch_add_read(&b, &r) == NEAP_OK);
    return (struct op){
        .kind = OP_APPEND, .offset = offset, .count = 1, .time_s = time_s, .payload = batch_end_read(&b, offset + 1)
    };
}

static void a_batch_alone_is_not_touched(void **state)
{
    uint8_t room[2 * SIZE], copy[2 * SIZE];
    struct gather *g = gather_new(SIZE);
    struct op op = one(room, sizeof room, 70, 10, 5), taken;
    (void)state;
    op.payload_crc = 77;
    memcpy(copy, room, op.payload.size);
    assert_int_equal(gather_add(g, &op), NEAP_OK);
    memset(room, 0, sizeof room);
    assert_int_equal(gather_take(g, &taken), NEAP_OK);
    assert_int_equal(taken.payload.size, op.payload.size);
    assert_memory_equal(taken.payload.at, copy, op.payload.size);
    assert_true(taken.payload_crc == 77 && taken.time_s == 5 && taken.count == 1);
    gather_free(&g);
}

/* Room on a full disk is kept for no more than what was read: what was packed does not come out as it was before that. */
static void what_was_packed_stays_packed(void **state)
{
    uint8_t plain[2 * SIZE], room[2 * SIZE];
    struct batch batch;
    struct op taken;
    (void)state;
    for (enum codec a = CODEC_NONE; a < CODEC_COUNT; a++)
        for (enum codec b = CODEC_NONE; b < CODEC_COUNT; b++) {
            struct gather *g = gather_new(SIZE);
            size_t size = 0;
            for (uint64_t i = 0; i < 2; i++) {
                enum codec codec = i == 0 ? a : b;
                struct op op = one(plain, sizeof plain, i, SIZE / 4, 5);
                if (codec != CODEC_NONE)
                    assert_int_equal(batch_pack(op.payload, codec, room, sizeof room, &op.payload), NEAP_OK);
                size += op.payload.size;
                assert_int_equal(gather_add(g, &op), NEAP_OK);
            }
            assert_int_equal(gather_take(g, &taken), NEAP_OK);
            assert_true(taken.payload.size <= size);
            assert_int_equal(batch_open(taken.payload, true, &batch), NEAP_OK);
            assert_int_equal(batch.count, 2);
            if (a == b || a == CODEC_NONE || b == CODEC_NONE)
                assert_int_equal(batch_codec(&batch), a > b ? a : b);
            gather_free(&g);
        }
}

/* Large ones, those of a producer with an id, and those with one time for all records. */
static void some_are_left_as_they_are(void **state)
{
    uint8_t room[2 * SIZE];
    struct gather *g = gather_new(SIZE);
    struct op op = one(room, sizeof room, 1, SIZE / 2, 5);
    (void)state;
    assert_int_equal(gather_add(g, &op), NEAP_REFUSED);
    static const struct {
        uint32_t at;
        uint8_t value;
    } flips[] = { { 22, 8 }, { 22, 0x10 }, { 22, 0x20 }, { 43, 0 } };
    for (size_t i = 0; i < COUNT_OF(flips); i++) {
        op = one(room, sizeof room, 1, 10, 5);
        room[flips[i].at] = flips[i].value; /* its CRC was checked before */
        assert_int_equal(gather_add(g, &op), NEAP_REFUSED);
    }
    op = one(room, sizeof room, 1, 10, 5);
    room[70] = 0x7f; /* a record that ends beyond the batch */
    op.payload.size--;
    assert_true(gather_add(g, &op) != NEAP_OK);
    assert_int_equal(gather_take(g, &op), NEAP_NOTFOUND);
    gather_free(&g);
}

/* What is joined has the newest's time; however often it is joined again, nothing in it becomes younger than its hour. */
static void an_hour_stays_an_hour(void **state)
{
    uint8_t room[256], held[1024];
    struct gather *g = gather_new(SIZE);
    struct op all = one(held, sizeof held, 0, 0, 36000);
    (void)state;
    for (uint32_t i = 1; i < 8; i++) {
        struct op next = one(room, sizeof room, i, 9, 36000 + i * 600), taken;
        enum neap_status status = gather_add(g, &all);
        assert_int_equal(status, NEAP_OK);
        assert_int_equal(gather_add(g, &next), i < 6 ? NEAP_OK : NEAP_AGAIN);
        assert_int_equal(gather_take(g, &taken), NEAP_OK);
        assert_int_equal(taken.time_s, i < 6 ? next.time_s : all.time_s);
        must(taken.payload.size <= sizeof held);
        memcpy(held, taken.payload.at, taken.payload.size);
        all = taken;
        all.payload.at = held;
    }
    assert_int_equal(all.count, 6);
    gather_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),       cmocka_unit_test(a_batch_alone_is_not_touched),
        cmocka_unit_test(what_was_packed_stays_packed), cmocka_unit_test(some_are_left_as_they_are),
        cmocka_unit_test(an_hour_stays_an_hour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
