/* The fast reader of JSON and the one that explains agree on every text; what is written reads back. */
#include "check.h"

#include "base/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct json_parser *parser;

static int open_parser(void **state)
{
    (void)state;
    parser = json_parser_new(1 << 20);
    return parser == NULL;
}

static int close_parser(void **state)
{
    (void)state;
    json_parser_free(&parser);
    return parser != NULL;
}

static struct json_value parse(const char *text)
{
    struct json_value root;
    assert_int_equal(json_parse(parser, bytes_of_text(text), &root), NEAP_OK);
    return root;
}

/* ---- both readers agree on what JSON is ---- */

static void both_say(struct bytes text, enum neap_status expected)
{
    uint8_t *exact = malloc(text.size + 1); /* so that a byte read too far is seen by the address sanitizer */
    uint8_t *at = exact + 1;
    if (text.size > 0)
        memcpy(at, text.at, text.size);
    struct bytes copy = { at, text.size };
    struct json_value root;
    uint32_t column = 0;
    const char *what = NULL;
    enum neap_status parsed = json_parse(parser, copy, &root), explained = json_explain(copy, &column, &what);
    if (parsed != expected || explained != expected)
        print_message("%.*s: parsed %d, explained %d: %s\n", (int)text.size, text.at, parsed, explained,
                      what != NULL ? what : "");
    assert_int_equal(parsed, expected);
    assert_int_equal(explained, expected);
    assert_int_equal(expected == NEAP_OK, what == NULL);
    assert_true(column <= text.size + 1);
    free(exact);
}

static const char *const good[] = {
    "0",
    "-0",
    "-0.0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1.5",
    "1e5",
    "1E+05",
    "1e-400",
    "0e99999999999999999999",
    "0.000e-99999999999999999999",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "123456789012345678901234567890.5",
    "4.9e-324",
    "1e0000000000000000000000000000000000003",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\"",
    " \t\r\n1 \t\r\n",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1,2]",
    "[[],{},[[]]]",
    "{\"a\":1,\"a\":2}",
    "{\"\":{}}",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\u0000\"",
    "\"\x7f\"",
    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"",
    "\"\\uD83D\\uDE00\"",
    "[1 , 2 ]",
    "{ \"a\" : [ 1 , { \"b\" : null } ] }",
    "\"\\uFFFF\"",
    "\"\xef\xbf\xbf\"",
};

static const char *const bad[] = {
    "",
    " ",
    "\n",
    "tru",
    "True",
    "nul",
    "nulll",
    "true1",
    "undefined",
    "NaN",
    "Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "1e",
    "1e+",
    "1.e5",
    "0x10",
    "1_000",
    "18446744073709551616",
    "-9223372036854775809",
    "1e400",
    "-1e400",
    "1e99999999999999999999",
    "1.7976931348623159e308",
    "100000000000000000000000000",
    "\"",
    "\"a",
    "\"a\\",
    "\"a\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u00g0\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\"",
    "\"\\ud83d\\ue000\"",
    "\"\\ud83dx\"",
    "\"\\ud83d\\n\"",
    "\"tab\there\"",
    "\"a\x01\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe2\x82\"",
    "\xff",
    "[\xff]",
    "\xef\xbb\xbf[1]",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1]]",
    "[1]x",
    "[1] 2",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":}",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{1:2}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{'a':1}",
    "[1}",
    "{\"a\":1]",
    "{}{}",
    "1 2",
    "\"a\"b",
    "\"a\" \"b\"",
    "\f1",
    "1\f",
    "\xc2\xa0\x31",
    "// c\n1",
    "1 /* c */",
    "[\"a\":1]",
    "{\"a\",1}",
    "{\"a\"}",
    "\"\\",
    "-\"a\"",
    "[-]",
    "{\"a\":1,,}",
    "tru\"e\"",
};

static void both_readers_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        both_say(bytes_of_text(good[i]), NEAP_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        both_say(bytes_of_text(bad[i]), NEAP_BADINPUT);
    both_say(BYTES("1\0"), NEAP_BADINPUT);
    both_say(BYTES("\0"), NEAP_BADINPUT);
    both_say(BYTES("[1,\0 2]"), NEAP_BADINPUT);
    both_say(BYTES("\"a\0b\""), NEAP_BADINPUT);
}

static size_t nest(char *room, size_t depth, const char *inside)
{
    size_t size = 0;
    for (size_t i = 0; i < depth; i++)
        size += (size_t)sprintf(room + size, i % 2 == 0 ? "[" : "{\"a\":");
    size += (size_t)sprintf(room + size, "%s", inside);
    for (size_t i = depth; i > 0; i--)
        room[size++] = (i - 1) % 2 == 0 ? ']' : '}';
    return size;
}

static void both_readers_agree_on_depth(void **state)
{
    (void)state;
    static char room[8192];
    static const char *const inside[] = { "1", "[]", "{}", "\"x\"", "[ ]", "[[]]" };
    static const size_t deepest[] = { JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_DEPTH_MAX,
                                      JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_DEPTH_MAX - 1 };
    for (size_t k = 0; k < COUNT_OF(inside); k++)
        for (size_t depth = JSON_DEPTH_MAX - 3; depth < JSON_DEPTH_MAX + 4; depth++) {
            size_t size = nest(room, depth, inside[k]);
            both_say((struct bytes){ (uint8_t *)room, size }, depth <= deepest[k] ? NEAP_OK : NEAP_BADINPUT);
        }
}

/* Any byte of good texts replaced, removed or doubled: whatever that makes of it, both say the same. */
static void both_readers_agree_on_damage(void **state)
{
    (void)state;
    static const char alphabet[] = "\"\\{}[]:,0159-+.eEutfn \t\n\x01\x7f\x80\xc3\xe2\xed\xf0\xff"
                                   "dDcC";
    uint64_t seed = 4;
    for (int round = 0; round < 60000; round++) {
        uint8_t room[256];
        const char *text = good[chance_below(&seed, COUNT_OF(good))];
        size_t size = strlen(text);
        memcpy(room, text, size);
        for (uint64_t n = 1 + chance_below(&seed, 3); n > 0 && size > 0; n--) {
            size_t at = chance_below(&seed, size);
            uint64_t how = chance_below(&seed, 3);
            if (how == 0)
                room[at] = (uint8_t)alphabet[chance_below(&seed, sizeof alphabet - 1)];
            else if (how == 1)
                memmove(room + at, room + at + 1, --size - at);
            else
                memmove(room + at + 1, room + at, size++ - at);
        }
        struct json_value root;
        uint32_t column;
        const char *what;
        struct bytes damaged = { room, size };
        enum neap_status parsed = json_parse(parser, damaged, &root);
        if (parsed != json_explain(damaged, &column, &what)) {
            print_message("parsed %d: %.*s\n", parsed, (int)size, room);
            fail();
        }
    }
}

static void huge_numbers(void **state)
{
    (void)state;
    static char room[4096];
    memset(room, '0', sizeof room);
    room[1] = '.';
    room[3000] = '7';
    memcpy(room + 3001, "e3000", 5); /* about 7 */
    both_say((struct bytes){ (uint8_t *)room, 3006 }, NEAP_OK);
    memcpy(room + 3001, "e3400", 5);
    both_say((struct bytes){ (uint8_t *)room, 3006 }, NEAP_BADINPUT);
    memset(room, '9', sizeof room); /* 3,000 nines are no integer of 64 bits, and as a double too large */
    both_say((struct bytes){ (uint8_t *)room, 3000 }, NEAP_BADINPUT);
    memcpy(room + 3000, ".0", 2);
    both_say((struct bytes){ (uint8_t *)room, 3002 }, NEAP_BADINPUT);
    memcpy(room + 3000, "e-2900", 6);
    both_say((struct bytes){ (uint8_t *)room, 3006 }, NEAP_OK);
}

/* ---- where and what ---- */

static void explanations_point_at_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t column;
        const char *what;
    } cases[] = {
        { "", 1, "unexpected end; wanted a value" },
        { "{\"a\":\"b}", 6, "missing '\"'" },
        { "{\"a\":1", 7, "missing '}'" },
        { "[1,]", 4, "unexpected ']'; wanted a value" },
        { "[1 2]", 4, "missing ',' or ']'" },
        { "{\"a\" 1}", 6, "missing ':'" },
        { "{a:1}", 2, "wanted a name in '\"'" },
        { "{} x", 4, "more after the value" },
        { "[18446744073709551616]", 2, "integer of more than 64 bits" },
        { "[1e999]", 2, "number too large for a double" },
        { "[007]", 2, "number with a leading zero" },
        { "\"a\xff\"", 3, "bytes that are not UTF-8" },
        { "\"\\ud800\"", 2, "first half of a surrogate pair without the second" },
        { "\"a\tb\"", 3, "control character in a text; it must be written as an escape" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t column = 0;
        const char *what = NULL;
        assert_int_equal(json_explain(bytes_of_text(cases[i].text), &column, &what), NEAP_BADINPUT);
        assert_int_equal(column, cases[i].column);
        assert_string_equal(what, cases[i].what);
    }
}

/* ---- values ---- */

static void kinds_and_values(void **state)
{
    (void)state;
    struct json_value v = parse("[null,true,false,-5,18446744073709551615,1.5,\"a\\u0000b\",[1],{\"x\":1}]"), e;
    assert_int_equal(json_kind(v), JSON_ARRAY);
    assert_int_equal(json_count(v), 9);
    static const enum json_kind kinds[] = { JSON_NULL,   JSON_BOOL, JSON_BOOL,  JSON_INT,   JSON_UINT,
                                            JSON_DOUBLE, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };
    for (size_t i = 0; i < 9; i++) {
        assert_true(json_at(v, i, &e));
        assert_int_equal(json_kind(e), kinds[i]);
    }
    assert_false(json_at(v, 9, &e));
    assert_true(json_at(v, 1, &e) && json_bool(e));
    assert_true(json_at(v, 2, &e) && !json_bool(e));
    assert_true(json_at(v, 3, &e) && json_int(e) == -5);
    assert_true(json_at(v, 4, &e) && json_uint(e) == UINT64_MAX);
    assert_true(json_at(v, 5, &e) && json_double(e) == 1.5);
    assert_true(json_at(v, 6, &e) && bytes_equal(json_text(e), BYTES("a\0b")));
    assert_int_equal(json_kind(parse("-9223372036854775808")), JSON_INT);
    assert_int_equal(json_kind(parse("9223372036854775808")), JSON_UINT);
    assert_int_equal(json_kind(parse("1.0")), JSON_DOUBLE);
}

static void names_are_found_the_last_one_counts(void **state)
{
    (void)state;
    struct json_value v = parse("{\"a\":{\"x\":0},\"b\":[1,2],\"\":3,\"a\":4,\"\\u0061b\":5}"), e;
    assert_int_equal(json_count(v), 5);
    assert_true(json_get(v, BYTES("a"), &e) && json_int(e) == 4);
    assert_true(json_get(v, BYTES(""), &e) && json_int(e) == 3);
    assert_true(json_get(v, BYTES("ab"), &e) && json_int(e) == 5);
    assert_true(json_get(v, BYTES("b"), &e) && json_count(e) == 2);
    assert_false(json_get(v, BYTES("x"), &e)); /* inside another */
    static const char *const names[] = { "a", "b", "", "a", "ab" };
    struct bytes name;
    size_t i = 0;
    for (uint64_t cursor = 0; json_next(v, &cursor, &name, &e); i++)
        assert_true(bytes_equal(name, bytes_of_text(names[i])));
    assert_int_equal(i, 5);
    v = parse("{}");
    assert_int_equal(json_count(v), 0);
    uint64_t cursor = 0;
    assert_false(json_next(v, &cursor, NULL, &e));
}

static void size_has_a_limit(void **state)
{
    (void)state;
    struct json_parser *small = json_parser_new(10);
    struct json_value v;
    assert_int_equal(json_parse(small, BYTES("[1,2,3,45]"), &v), NEAP_OK);
    assert_int_equal(json_parse(small, BYTES("[1,2,3,456]"), &v), NEAP_TOOLARGE);
    assert_int_equal(json_parse(small, BYTES("[1]"), &v), NEAP_OK);
    json_parser_free(&small);
    json_parser_free(&small);
}

static void an_array_longer_than_the_tape_counts(void **state)
{
    (void)state;
    enum { COUNT = 0x1000001 };
    char *text = malloc(2 * COUNT + 1);
    text[0] = '[';
    for (size_t i = 0; i < COUNT; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    text[2 * (size_t)COUNT] = ']';
    struct json_parser *large = json_parser_new(64 << 20);
    struct json_value v;
    assert_int_equal(json_parse(large, (struct bytes){ (uint8_t *)text, 2 * (size_t)COUNT + 1 }, &v), NEAP_OK);
    assert_int_equal(json_count(v), COUNT);
    json_parser_free(&large);
    free(text);
}

/* ---- members in the text itself ---- */

static void members_are_found_in_the_text(void **state)
{
    (void)state;
    struct bytes text = BYTES(" { \"a\" : 1 , \"b\\\"\\\\\":{\"x\":[\"}\",\"\\\"\"]},\"c\":\"},\\\\\" , \"\":[ ] } ");
    static const struct {
        const char *name, *value;
        bool escaped;
    } expected[] = {
        { "a", "1", false },
        { "b\\\"\\\\", "{\"x\":[\"}\",\"\\\"\"]}", true },
        { "c", "\"},\\\\\"", false },
        { "", "[ ]", false },
    };
    size_t cursor = 0, i = 0;
    struct json_member member;
    for (; json_member_next(text, &cursor, &member); i++) {
        assert_true(i < COUNT_OF(expected));
        assert_true(bytes_equal(member.name, bytes_of_text(expected[i].name)));
        assert_true(bytes_equal(member.value, bytes_of_text(expected[i].value)));
        assert_int_equal(member.escaped, expected[i].escaped);
    }
    assert_int_equal(i, COUNT_OF(expected));
    static const char *const none[] = { "{}", " { } ", "[1]", "1", "\"{\"", "" };
    for (size_t k = 0; k < COUNT_OF(none); k++) {
        cursor = 0;
        assert_false(json_member_next(bytes_of_text(none[k]), &cursor, &member));
    }
}

static void members_of_cut_texts_stay_inside(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\\"b\":[1,\"}\\\"\"],\"c\":{\"d\":null},\"e\":tr\"ue}";
    for (size_t size = 0; size < sizeof text; size++) {
        char *exact = malloc(size + 1);
        memcpy(exact + 1, text, size);
        size_t cursor = 0;
        struct json_member member;
        while (json_member_next((struct bytes){ (uint8_t *)exact + 1, size }, &cursor, &member)) {
            assert_true(member.value.at >= (uint8_t *)exact + 1 &&
                        member.value.at + member.value.size <= (uint8_t *)exact + 1 + size);
        }
        free(exact);
    }
}

/* ---- writing ---- */

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written;
    } cases[] = {
        { " [ 1 , -2 , 18446744073709551615 , -9223372036854775808 ] ",
          "[1,-2,18446744073709551615,-9223372036854775808]" },
        { "[0.1,1.0,-0.0,1e22,1e-7,123456789.125,5e-324]", "[0.1,1.0,-0.0,1e+22,1e-07,123456789.125,5e-324]" },
        { "{\"a\":{},\"b\":[],\"\":[[]],\"c\":[true,false,null]}",
          "{\"a\":{},\"b\":[],\"\":[[]],\"c\":[true,false,null]}" },
        { "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\\/\\u00e9\\ud83d\\ude00\x7f\"",
          "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\xc3\xa9\xf0\x9f\x98\x80\x7f\"" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[256];
        struct writer w = writer_of(room, sizeof room);
        json_write_value(&w, parse(cases[i].text));
        assert_false(w.full);
        if (!bytes_equal(writer_bytes(&w), bytes_of_text(cases[i].written)))
            print_message("%.*s\n", (int)writer_size(&w), room);
        assert_true(bytes_equal(writer_bytes(&w), bytes_of_text(cases[i].written)));
    }
}

static void doubles_read_back_the_same(void **state)
{
    (void)state;
    uint64_t seed = 8;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = chance(&seed);
        double d;
        memcpy(&d, &bits, sizeof d);
        if (i % 2 == 0)
            d = (double)(int64_t)chance_below(&seed, 100000) / 100;
        char room[64];
        struct writer w = writer_of(room, sizeof room);
        json_write_double(&w, d);
        write_u8(&w, 0);
        if (!isfinite(d)) {
            assert_string_equal(room, "null");
            continue;
        }
        struct json_value v = parse(room);
        assert_int_equal(json_kind(v), JSON_DOUBLE);
        double back = json_double(v);
        assert_memory_equal(&back, &d, sizeof d);
    }
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    char room[64];
    struct writer w = writer_of(room, sizeof room);
    json_write_text(&w, BYTES("a\xff\xe2\x82z\xed\xa0\x80"));
    assert_true(bytes_equal(writer_bytes(&w), BYTES("\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd"
                                                    "\xef\xbf\xbd\"")));
    w = writer_of(room, 4);
    json_write_text(&w, BYTES("abc"));
    assert_true(w.full);
}

static void blanks_go_and_texts_stay(void **state)
{
    static const char *const texts[][2] = {
        { " { \"a b\" :\r\n\t[ 1 , \"x \\\" \\\\\" , { } ] } \n", "{\"a b\":[1,\"x \\\" \\\\\",{}]}" },
        { " 1 ", "1" },
        { "\" \"", "\" \"" },
        { "[\"\\\\\" , 1]", "[\"\\\\\",1]" },
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        uint8_t room[64];
        memcpy(room, texts[i][0], strlen(texts[i][0]));
        struct bytes said = { room, json_without_blanks(room, strlen(texts[i][0])) };
        assert_true(bytes_equal(said, bytes_of_text(texts[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_readers_agree),
        cmocka_unit_test(both_readers_agree_on_depth),
        cmocka_unit_test(both_readers_agree_on_damage),
        cmocka_unit_test(huge_numbers),
        cmocka_unit_test(explanations_point_at_the_place),
        cmocka_unit_test(kinds_and_values),
        cmocka_unit_test(names_are_found_the_last_one_counts),
        cmocka_unit_test(size_has_a_limit),
        cmocka_unit_test(an_array_longer_than_the_tape_counts),
        cmocka_unit_test(members_are_found_in_the_text),
        cmocka_unit_test(members_of_cut_texts_stay_inside),
        cmocka_unit_test(blanks_go_and_texts_stay),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
    };
    return cmocka_run_group_tests(tests, open_parser, close_parser);
}
