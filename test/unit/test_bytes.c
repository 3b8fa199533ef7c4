/* Readers and writers never leave their bytes, whatever the bytes say. */
#include "check.h"

#include "base/bytes.h"

static void order_is_memcmp_then_size(void **state)
{
    (void)state;
    assert_true(bytes_equal(BYTES("abc"), BYTES("abc")));
    assert_false(bytes_equal(BYTES("abc"), BYTES("abd")));
    assert_false(bytes_equal(BYTES("abc"), BYTES("ab")));
    assert_true(bytes_equal((struct bytes){ NULL, 0 }, BYTES("")));
    assert_int_equal(bytes_compare(BYTES("ab"), BYTES("abc")), -1);
    assert_int_equal(bytes_compare(BYTES("b"), BYTES("abc")), 1);
    assert_int_equal(bytes_compare(BYTES("\xff"), BYTES("a")), 1);
    assert_int_equal(bytes_compare(BYTES("abc"), BYTES("abc")), 0);
    assert_int_equal(bytes_of_text("four").size, 4);
}

static void hash_depends_on_bytes_and_seed(void **state)
{
    (void)state;
    assert_true(bytes_hash(BYTES("abc"), 1) == bytes_hash(BYTES("abc"), 1));
    assert_true(bytes_hash(BYTES("abc"), 1) != bytes_hash(BYTES("abc"), 2));
    assert_true(bytes_hash(BYTES("abc"), 1) != bytes_hash(BYTES("abd"), 1));
}

static const uint64_t edges[] = {
    0, 1, 127, 128, 16383, 16384, INT32_MAX, UINT32_MAX, INT64_MAX, 1ull << 63, UINT64_MAX
};

static void every_width_reads_back(void **state)
{
    (void)state;
    uint8_t room[128];
    for (size_t i = 0; i < COUNT_OF(edges); i++) {
        uint64_t v = edges[i];
        struct writer w = writer_of(room, sizeof room);
        write_u8(&w, (uint8_t)v);
        write_le16(&w, (uint16_t)v);
        write_le32(&w, (uint32_t)v);
        write_le64(&w, v);
        write_be16(&w, (uint16_t)v);
        write_be32(&w, (uint32_t)v);
        write_be64(&w, v);
        size_t fixed = writer_size(&w);
        assert_int_equal(fixed, 1 + 2 * (2 + 4 + 8));
        write_uvarint(&w, v);
        assert_int_equal(writer_size(&w) - fixed, uvarint_size(v));
        write_varint(&w, (int64_t)v);
        assert_int_equal(writer_size(&w) - fixed, uvarint_size(v) + varint_size((int64_t)v));
        write_zeros(&w, 3);
        write_bytes(&w, BYTES("end"));
        assert_false(w.full);

        struct reader r = reader_of(writer_bytes(&w));
        assert_int_equal(read_u8(&r), (uint8_t)v);
        assert_int_equal(read_le16(&r), (uint16_t)v);
        assert_int_equal(read_le32(&r), (uint32_t)v);
        assert_true(read_le64(&r) == v);
        assert_int_equal(read_be16(&r), (uint16_t)v);
        assert_int_equal(read_be32(&r), (uint32_t)v);
        assert_true(read_be64(&r) == v);
        assert_true(read_uvarint(&r) == v);
        assert_true(read_varint(&r) == (int64_t)v);
        assert_true(bytes_equal(read_bytes(&r, 3), BYTES("\0\0\0")));
        assert_true(bytes_equal(read_bytes(&r, 3), BYTES("end")));
        assert_int_equal(reader_left(&r), 0);
        assert_false(r.spent);
    }
}

static void byte_order_is_what_the_name_says(void **state)
{
    (void)state;
    uint8_t room[12];
    struct writer w = writer_of(room, sizeof room);
    write_le32(&w, 0x01020304);
    write_be32(&w, 0x01020304);
    write_varint(&w, -1); /* zigzag: 1 */
    write_varint(&w, 64); /* zigzag: 128 */
    assert_memory_equal(room, "\4\3\2\1\1\2\3\4\1\x80\1", 11);
}

static void past_the_end_stays_spent(void **state)
{
    (void)state;
    struct reader r = reader_of(BYTES("\1\2\3"));
    assert_int_equal(read_be32(&r), 0);
    assert_true(r.spent);
    assert_int_equal(read_u8(&r), 0); /* although a byte was there before */
    assert_null(read_bytes(&r, 0).at);
    struct reader empty = reader_of((struct bytes){ NULL, 0 });
    assert_int_equal(reader_left(&empty), 0);
    assert_int_equal(read_u8(&empty), 0);
    assert_true(empty.spent);
}

static void varint_beyond_64_bits_is_refused(void **state)
{
    (void)state;
    struct reader most = reader_of(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_true(read_uvarint(&most) == UINT64_MAX && !most.spent);
    struct reader more = reader_of(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
    assert_true(read_uvarint(&more) == 0 && more.spent);
    struct reader longer = reader_of(BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"));
    assert_true(read_uvarint(&longer) == 0 && longer.spent);
}

static void full_writes_nothing_more(void **state)
{
    (void)state;
    uint8_t room[6] = { 0 };
    struct writer w = writer_of(room, 5);
    write_be32(&w, 0x61626364);
    write_be16(&w, 0x6566);
    assert_true(w.full);
    write_u8(&w, 'x'); /* there would be room for it, but half a page is no page */
    assert_int_equal(writer_size(&w), 4);
    assert_memory_equal(room, "abcd\0\0", 6);
    struct writer none = writer_of(NULL, 0);
    write_bytes(&none, BYTES(""));
    assert_false(none.full);
    write_u8(&none, 1);
    assert_true(none.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_memcmp_then_size), cmocka_unit_test(hash_depends_on_bytes_and_seed),
        cmocka_unit_test(every_width_reads_back),    cmocka_unit_test(byte_order_is_what_the_name_says),
        cmocka_unit_test(past_the_end_stays_spent),  cmocka_unit_test(varint_beyond_64_bits_is_refused),
        cmocka_unit_test(full_writes_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
