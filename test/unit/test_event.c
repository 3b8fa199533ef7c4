/* An event as it came, changed field by field, walked and written out. */
#include "check.h"

#include "flow/event.h"
#include "log/limits.h"
#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct json_parser *parser;
    struct arena *arena;
    struct event event;
};

static struct fixture *start(struct fixture *f, const char *json)
{
    *f = (struct fixture){ .parser = json_parser_new(RECORD_SIZE_MAX), .arena = arena_new(4096, 64u << 20) };
    assert_non_null(f->parser);
    assert_non_null(f->arena);
    f->event.json = bytes_of_text(json);
    assert_int_equal(json_parse(f->parser, f->event.json, &f->event.root), NEAP_OK);
    return f;
}

static void end(struct fixture *f)
{
    arena_free(&f->arena);
    json_parser_free(&f->parser);
}

static struct bytes name(const char *text)
{
    return bytes_of_text(text);
}

static void set(struct fixture *f, const char *field, struct value value)
{
    assert_int_equal(event_field_set(&f->event, f->arena, name(field), &value), NEAP_OK);
}

static void set_int(struct fixture *f, const char *field, int64_t i)
{
    set(f, field, (struct value){ .kind = VALUE_INT, .i = i });
}

static void take_out(struct fixture *f, const char *field)
{
    assert_int_equal(event_field_remove(&f->event, f->arena, name(field)), NEAP_OK);
}

static void keep(struct fixture *f, const char *a, const char *b)
{
    struct bytes names[2] = { name(a), name(b != NULL ? b : a) };
    assert_int_equal(event_keep(&f->event, f->arena, names, b != NULL ? 2 : 1), NEAP_OK);
}

/* What is written is what is wanted, and reads as JSON again. */
static void stands_as(struct fixture *f, const char *wanted)
{
    struct bytes json;
    struct json_value root;
    struct json_parser *again = json_parser_new(RECORD_SIZE_MAX);
    char text[4096];
    assert_int_equal(event_json(&f->event, f->arena, &json), NEAP_OK);
    assert_true(json.size < sizeof(text));
    memcpy(text, json.at, json.size);
    text[json.size] = '\0';
    assert_string_equal(text, wanted);
    assert_int_equal(json_parse(again, json, &root), NEAP_OK);
    json_parser_free(&again);
}

static void untouched_leaves_as_it_came(void **state)
{
    struct fixture f;
    start(&f, " { \"a\" : 1.10, \"b\":1e5 ,\"c\":\"\\u0041\\/\" } ");
    stands_as(&f, " { \"a\" : 1.10, \"b\":1e5 ,\"c\":\"\\u0041\\/\" } ");
    end(&f);
}

static void what_no_stage_touched_keeps_its_letters(void **state)
{
    struct fixture f;
    start(&f, "{ \"a\" : 1.10, \"b\":1e5 ,\"c\":\"\\u0041\\/\", \"d\":[1.0 , -0],\"e\":18446744073709551615 }");
    set_int(&f, "n", 7);
    stands_as(&f, "{\"a\" : 1.10,\"b\":1e5,\"c\":\"\\u0041\\/\",\"d\":[1.0 , -0],\"e\":18446744073709551615,\"n\":7}");
    end(&f);
}

static void replaced_in_its_place_added_at_the_end(void **state)
{
    struct fixture f;
    start(&f, "{\"a\":1,\"b\":2,\"c\":3}");
    set_int(&f, "z", 26);
    set_int(&f, "b", 20);
    set_int(&f, "y", 25);
    set_int(&f, "z", 27);
    stands_as(&f, "{\"a\":1,\"b\":20,\"c\":3,\"z\":27,\"y\":25}");
    take_out(&f, "a");
    take_out(&f, "z");
    take_out(&f, "not there");
    stands_as(&f, "{\"b\":20,\"c\":3,\"y\":25}");
    set_int(&f, "a", 9);
    stands_as(&f, "{\"a\":9,\"b\":20,\"c\":3,\"y\":25}");
    take_out(&f, "a"), take_out(&f, "b"), take_out(&f, "c"), take_out(&f, "y");
    stands_as(&f, "{}");
    end(&f);
}

static void kept_ones_stay_the_rest_goes(void **state)
{
    struct fixture f;
    start(&f, "{\"a\":1.0,\"b\":2,\"c\":3}");
    set_int(&f, "n", 1);
    set_int(&f, "b", 5);
    keep(&f, "a", "n");
    stands_as(&f, "{\"a\":1.0,\"n\":1}");
    set_int(&f, "b", 6);
    stands_as(&f, "{\"a\":1.0,\"b\":6,\"n\":1}");
    keep(&f, "a", "b");
    stands_as(&f, "{\"a\":1.0,\"b\":6}");
    keep(&f, "c", NULL); /* it is gone already */
    stands_as(&f, "{}");
    end(&f);
}

static void a_name_twice_answers_its_last_value(void **state)
{
    struct fixture f;
    struct value v;
    start(&f, "{\"a\":1,\"b\":2,\"a\":3}");
    assert_true(event_field_get(&f.event, name("a"), &v));
    assert_int_equal(v.i, 3);
    set_int(&f, "n", 0);
    stands_as(&f, "{\"a\":1,\"b\":2,\"a\":3,\"n\":0}");
    set_int(&f, "a", 4);
    stands_as(&f, "{\"b\":2,\"a\":4,\"n\":0}");
    take_out(&f, "a");
    stands_as(&f, "{\"b\":2,\"n\":0}");
    end(&f);
}

static void names_are_compared_without_their_escapes(void **state)
{
    struct fixture f;
    struct value v;
    start(&f, "{\"\\u0061\":[1 ,2],\"q\\\"\":1}");
    assert_true(event_field_get(&f.event, name("a"), &v));
    assert_int_equal(v.kind, VALUE_JSON);
    assert_true(bytes_equal(v.text, BYTES("[1 ,2]")));
    take_out(&f, "a");
    set_int(&f, "q\"", 2);
    stands_as(&f, "{\"q\\\"\":2}");
    end(&f);
}

static void values_come_as_they_are(void **state)
{
    static const struct {
        const char *field;
        enum value_kind kind;
    } wanted[] = { { "n", VALUE_NIL },  { "t", VALUE_BOOL }, { "i", VALUE_INT },  { "d", VALUE_DOUBLE },
                   { "s", VALUE_TEXT }, { "u", VALUE_JSON }, { "a", VALUE_JSON }, { "o", VALUE_JSON } };
    struct fixture f;
    struct value v;
    start(&f,
          "{\"n\":null,\"t\":true,\"i\":-5,\"d\":2.50,\"s\":\"x\\ty\",\"u\":18446744073709551615,\"a\":[ ],\"o\":{ }}");
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_true(event_field_get(&f.event, name(wanted[i].field), &v));
        assert_int_equal(v.kind, wanted[i].kind);
    }
    assert_true(bytes_equal(v.text, BYTES("{ }")));
    assert_true(event_field_get(&f.event, name("s"), &v) && bytes_equal(v.text, BYTES("x\ty")));
    assert_true(event_field_get(&f.event, name("u"), &v) && bytes_equal(v.text, BYTES("18446744073709551615")));
    assert_false(event_field_get(&f.event, name("missing"), &v));
    set_int(&f, "n", 3);
    assert_true(event_field_get(&f.event, name("n"), &v) && v.kind == VALUE_INT && v.i == 3);
    take_out(&f, "n");
    assert_false(event_field_get(&f.event, name("n"), &v));
    end(&f);
}

static void every_kind_is_written_as_json(void **state)
{
    struct fixture f;
    start(&f, "{}");
    set(&f, "nil", (struct value){ .kind = VALUE_NIL });
    set(&f, "no", (struct value){ .kind = VALUE_BOOL, .b = false });
    set(&f, "i", (struct value){ .kind = VALUE_INT, .i = INT64_MIN });
    set(&f, "d", (struct value){ .kind = VALUE_DOUBLE, .d = 3.0 });
    set(&f, "nan", (struct value){ .kind = VALUE_DOUBLE, .d = __builtin_nan("") });
    set(&f, "bad", (struct value){ .kind = VALUE_TEXT, .text = BYTES("a\xff\x01\"") });
    set(&f, "j", (struct value){ .kind = VALUE_JSON, .text = BYTES("[1.10]") });
    stands_as(&f, "{\"nil\":null,\"no\":false,\"i\":-9223372036854775808,\"d\":3.0,\"nan\":null,"
                  "\"bad\":\"a\xef\xbf\xbd\\u0001\\\"\",\"j\":[1.10]}");
    end(&f);
}

static void only_an_object_has_fields(void **state)
{
    static const char *const others[] = { "[1]", "1", "\"x\"", "null" };
    struct value v = { .kind = VALUE_INT };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct fixture f;
        struct bytes a = name("a"), json;
        start(&f, others[i]);
        assert_false(event_field_get(&f.event, a, &v));
        assert_int_equal(event_field_set(&f.event, f.arena, a, &v), NEAP_BADINPUT);
        assert_int_equal(event_field_remove(&f.event, f.arena, a), NEAP_BADINPUT);
        assert_int_equal(event_keep(&f.event, f.arena, &a, 1), NEAP_BADINPUT);
        assert_int_equal(event_json(&f.event, f.arena, &json), NEAP_OK);
        assert_true(bytes_equal(json, bytes_of_text(others[i])));
        end(&f);
    }
}

static void limits_are_answers_and_change_nothing(void **state)
{
    static char names[EVENT_FIELD_COUNT_MAX + 1][8];
    struct fixture f;
    struct value v = { .kind = VALUE_INT, .i = 1 };
    start(&f, "{}");
    for (uint32_t i = 0; i <= EVENT_FIELD_COUNT_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "f%u", i);
        assert_int_equal(event_field_set(&f.event, f.arena, name(names[i]), &v),
                         i < EVENT_FIELD_COUNT_MAX ? NEAP_OK : NEAP_TOOLARGE);
    }
    assert_int_equal(f.event.field_count, EVENT_FIELD_COUNT_MAX);
    set_int(&f, "f7", 8); /* one that is there already still may change */
    end(&f);

    start(&f, "{}");
    struct arena *tiny = arena_new(16, 16);
    assert_int_equal(event_field_set(&f.event, tiny, name("a"), &v), NEAP_NOMEM);
    assert_int_equal(f.event.field_count, 0);
    set_int(&f, "a", 1);
    struct bytes json, a = name("a");
    assert_int_equal(event_json(&f.event, tiny, &json), NEAP_NOMEM);
    assert_int_equal(event_keep(&f.event, tiny, &a, 1), NEAP_NOMEM);
    stands_as(&f, "{\"a\":1}");
    arena_free(&tiny);

    char *large = malloc(RECORD_SIZE_TOP);
    assert_non_null(large);
    memset(large, 'x', RECORD_SIZE_TOP);
    set(&f, "b", (struct value){ .kind = VALUE_TEXT, .text = { (const uint8_t *)large, RECORD_SIZE_TOP } });
    assert_int_equal(event_json(&f.event, f.arena, &json), NEAP_TOOLARGE);
    free(large);
    end(&f);
}

/* ---- random changes against an obvious model ----------------------------------------------------------------------- */

#define MODEL_NAMES 6

static void random_changes_agree_with_the_model(void **state)
{
    static const char *const names[MODEL_NAMES] = { "a", "b", "c", "x", "y", "z" };
    uint64_t random = 42;
    for (int round = 0; round < 400; round++) {
        struct fixture f;
        int model[MODEL_NAMES] = { 0, 1, 2, -1, -1, -1 }; /* -1: not there */
        start(&f, "{\"a\":0,\"b\":1,\"c\":2}");
        for (int turn = 0; turn < 12; turn++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            int which = (int)(random >> 33) % MODEL_NAMES, other = (int)(random >> 40) % MODEL_NAMES,
                verb = (int)(random >> 50) % 7;
            if (verb < 4) {
                set_int(&f, names[which], turn + 10);
                model[which] = turn + 10;
            } else if (verb < 6) {
                take_out(&f, names[which]);
                model[which] = -1;
            } else {
                keep(&f, names[which], names[other]);
                for (int i = 0; i < MODEL_NAMES; i++)
                    if (i != which && i != other)
                        model[i] = -1;
            }
        }
        /* Fields that came stand in the order of the document; those added, wherever, are there once each. */
        struct event_walk walk = { 0 };
        struct event_member member;
        int seen = 0, last_original = -1;
        bool past = false;
        while (event_next(&f.event, &walk, &member)) {
            int which = 0;
            while (which < MODEL_NAMES && !bytes_equal(member.name, name(names[which])))
                which++;
            assert_true(which < MODEL_NAMES && (seen & (1 << which)) == 0 && model[which] >= 0);
            seen |= 1 << which;
            if (which < 3) {
                assert_true(!past && which > last_original);
                last_original = which;
            } else {
                past = true;
            }
            assert_int_equal(member.origin == EVENT_SET ? member.set->i : json_int(member.json), model[which]);
        }
        for (int i = 0; i < MODEL_NAMES; i++)
            assert_int_equal((seen >> i) & 1, model[i] >= 0);
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untouched_leaves_as_it_came),
        cmocka_unit_test(what_no_stage_touched_keeps_its_letters),
        cmocka_unit_test(replaced_in_its_place_added_at_the_end),
        cmocka_unit_test(kept_ones_stay_the_rest_goes),
        cmocka_unit_test(a_name_twice_answers_its_last_value),
        cmocka_unit_test(names_are_compared_without_their_escapes),
        cmocka_unit_test(values_come_as_they_are),
        cmocka_unit_test(every_kind_is_written_as_json),
        cmocka_unit_test(only_an_object_has_fields),
        cmocka_unit_test(limits_are_answers_and_change_nothing),
        cmocka_unit_test(random_changes_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
