/* test_base64.c - bytes written as letters come back the same, and what is no base64 is refused. */
#include "check.h"

#include "base/base64.h"

static void assert_written(const char *bytes, size_t size, const char *text)
{
    uint8_t room[64], back[64];
    struct writer w = writer_of(room, sizeof room);
    base64_write(&w, (struct bytes){ (const uint8_t *)bytes, size });
    assert_int_equal(writer_size(&w), strlen(text));
    assert_memory_equal(room, text, strlen(text));
    size_t back_size;
    assert_true(base64_read(bytes_of_text(text), back, &back_size));
    assert_int_equal(back_size, size);
    assert_memory_equal(back, bytes, size);
}

static void the_examples_of_the_standard_hold(void **state)
{
    (void)state;
    assert_written("", 0, "");
    assert_written("f", 1, "Zg==");
    assert_written("fo", 2, "Zm8=");
    assert_written("foo", 3, "Zm9v");
    assert_written("foob", 4, "Zm9vYg==");
    assert_written("fooba", 5, "Zm9vYmE=");
    assert_written("foobar", 6, "Zm9vYmFy");
    assert_written("\xff\xfe\0", 3, "//4A");
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 256; size++) {
        uint8_t bytes[256], room[BASE64_SIZE(256)], back[256];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(i * 7 + size);
        struct writer w = writer_of(room, sizeof room);
        base64_write(&w, (struct bytes){ bytes, size });
        assert_false(w.full);
        size_t back_size;
        assert_true(base64_read(writer_bytes(&w), back, &back_size));
        assert_int_equal(back_size, size);
        assert_memory_equal(back, bytes, size);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    static const char *const wrong[] = { "Z", "Zg", "Zg=", "Zg==Zg==", "=g==", "Z===", "Zm9*", "Zh==", "Zm9=", "Zm 9" };
    (void)state;
    uint8_t back[64];
    size_t size;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        if (base64_read(bytes_of_text(wrong[i]), back, &size))
            fail_msg("'%s' was taken", wrong[i]);
    assert_false(base64_read((struct bytes){ (const uint8_t *)"Z\0==", 4 }, back, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_hold),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(what_is_no_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
