/* Lines beside a reader that has the whole text before it; and the mark, whose bytes are on disk for good. */
#include "check.h"

#include "gate/lines.h"
#include "gate/mark.h"
#include <stdlib.h>
#include <string.h>

/* The obvious way: from newline to newline. false: none left. */
static bool model_next(struct bytes text, size_t *at, struct line *ret_line)
{
    size_t start = *at, end = start;
    if (start == text.size)
        return false;
    while (end < text.size && text.at[end] != '\n')
        end++;
    bool ended = end < text.size;
    *at = end + ended;
    size_t size = end - start;
    struct line line = { .bytes = { text.at + start, size }, .size = size, .consumed_size = size + ended };
    if (size > 0 && text.at[end - 1] == '\r')
        line.bytes.size = line.size = size - 1;
    *ret_line = line;
    return true;
}

/* Fills `l` from the text by pieces, comparing each line with the model's. */
static void compare(struct bytes text, size_t read_size, uint64_t seed)
{
    struct lines l;
    struct line line, expected;
    size_t given = 0, model_at = 0;
    uint64_t consumed = 0;
    lines_init(&l, read_size, LINE_SIZE_MAX);
    for (bool over = false; !over;) {
        over = given == text.size;
        while (lines_peek(&l, over, &line)) {
            assert_true(model_next(text, &model_at, &expected));
            bool cr_unseen = line.size == expected.size + 1 && line.size > LINE_SIZE_MAX; /* fell to what was dropped */
            assert_true(line.size == expected.size || cr_unseen);
            assert_int_equal(line.consumed_size, expected.consumed_size);
            if (expected.size <= LINE_SIZE_MAX)
                assert_int_equal(line.bytes.size, expected.size);
            else
                assert_int_equal(line.bytes.size, LINE_KEPT_SIZE);
            assert_memory_equal(line.bytes.at, expected.bytes.at, line.bytes.size);
            consumed += line.consumed_size;
            lines_pass(&l, &line);
        }
        uint8_t *room = lines_room(&l);
        size_t size = text.size - given < read_size ? text.size - given : 1 + chance_below(&seed, read_size);
        size = size < text.size - given ? size : text.size - given;
        if (size > 0)
            memcpy(room, text.at + given, size);
        lines_added(&l, size);
        given += size;
        assert_int_equal(consumed + lines_rest_size(&l), given);
        assert_true(l.room_size <= LINE_SIZE_MAX + 1 + read_size);
    }
    assert_false(model_next(text, &model_at, &expected));
    assert_int_equal(consumed, text.size);
    lines_fini(&l);
}

static void short_lines_agree_with_the_model(void **state)
{
    (void)state;
    static const char letters[] = "ab\n\n\r ";
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint8_t text[400];
        uint64_t s = seed;
        size_t size = chance_below(&s, sizeof(text));
        for (size_t i = 0; i < size; i++)
            text[i] = (uint8_t)letters[chance_below(&s, sizeof(letters) - 1)];
        compare((struct bytes){ text, size }, 1 + chance_below(&s, 50), seed);
    }
}

static void long_lines_agree_with_the_model(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { LINE_SIZE_MAX - 1, LINE_SIZE_MAX, LINE_SIZE_MAX + 1, LINE_SIZE_MAX + 2,
                                      2 * LINE_SIZE_MAX + 777 };
    for (int ending = 0; ending < 3; ending++) {
        size_t size = 0;
        uint8_t *text = malloc(COUNT_OF(sizes) * (2 * LINE_SIZE_MAX + 2000));
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            for (uint32_t k = 0; k < sizes[i]; k++)
                text[size++] = (uint8_t)('a' + k % 26);
            if (ending == 1)
                text[size++] = '\r';
            if (ending < 2 || i + 1 < COUNT_OF(sizes))
                text[size++] = '\n';
            memcpy(text + size, "short\n", 6);
            size += ending < 2 || i + 1 < COUNT_OF(sizes) ? 6 : 0;
        }
        for (uint64_t seed = 1; seed <= 3; seed++)
            compare((struct bytes){ text, size }, seed == 1 ? 4096 : 300000, seed);
        free(text);
    }
}

static void blank_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool blank;
    } cases[] = { { "", true },   { " ", true },    { "\t \r", true },
                  { "x", false }, { " \v", false }, { "\xc2\xa0", false } };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct line line = { .bytes = bytes_of_text(cases[i].text), .size = strlen(cases[i].text) };
        assert_int_equal(line_is_blank(&line), cases[i].blank);
    }
    struct line line = { .bytes = BYTES("   "), .size = 5 }; /* too long: who knows what followed */
    assert_false(line_is_blank(&line));
}

static void the_mark_as_it_lies_on_disk(void **state)
{
    (void)state;
    static const uint8_t golden[MARK_SIZE] = { 0x01, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x10, 0x00,
                                               0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x32, 0x00, 0x00, 0x00, 0x00,
                                               0x00, 0x00, 0x00, 0x33, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                               0x99, 0x09, 0x77, 0xad, 0xf5, 0x2c, 0xbc, 0x44 };
    struct mark mark = { 0x0102030405060708, 16, 0x32, 0x33, mark_hash(BYTES("abc")) }, read;
    uint8_t room[MARK_SIZE];
    struct bytes fact = mark_encode(&mark, room);
    assert_int_equal(mark.prefix_hash, 0x44bc2cf5ad770999); /* the reference value of XXH64("abc", 0) */
    assert_memory_equal(fact.at, golden, sizeof(golden));
    assert_int_equal(mark_decode(fact, &read), NEAP_OK);
    assert_memory_equal(&read, &mark, sizeof(mark));
    for (size_t size = 0; size < MARK_SIZE; size++)
        assert_int_equal(mark_decode((struct bytes){ room, size }, &read), NEAP_CORRUPT);
    room[0] = 2;
    assert_int_equal(mark_decode(fact, &read), NEAP_VERSION);
    room[0] = 0;
    assert_int_equal(mark_decode(fact, &read), NEAP_CORRUPT);
    assert_int_equal(mark_prefix_size(7), 7);
    assert_int_equal(mark_prefix_size(1u << 30), 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_lines_agree_with_the_model),
        cmocka_unit_test(long_lines_agree_with_the_model),
        cmocka_unit_test(blank_lines),
        cmocka_unit_test(the_mark_as_it_lies_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
