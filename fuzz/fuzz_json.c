/* The fast reader and the slow one say the same of any bytes; the member walker finds what the tape holds; and what is
 * written reads back as the same value. */
#include "fuzz.h"

#include "base/json.h"
#include <stdlib.h>

#define SIZE_LIMIT (1u << 16)

static struct json_parser *first, *second;

static struct bytes written(struct json_value v, uint8_t *room, size_t size)
{
    struct writer w = writer_of(room, size);
    json_write_value(&w, v);
    must(!w.full);
    return writer_bytes(&w);
}

static void round_trip(struct json_value root)
{
    /* The worst a byte becomes is \u001f, from a control character written as such an escape already; a short double may
     * get longer when written out: 1e9 becomes 1e+09. */
    static uint8_t once[SIZE_LIMIT * 8], twice[SIZE_LIMIT * 8];
    struct bytes text = written(root, once, sizeof once);
    struct json_value again;
    must(json_parse(second, text, &again) == NEAP_OK);
    must(json_kind(again) == json_kind(root));
    must(bytes_equal(written(again, twice, sizeof twice), text));
}

static void walk_members(struct bytes text, struct json_value root)
{
    struct json_member member;
    struct json_value value, alone;
    struct bytes name;
    uint64_t at = 0;
    for (size_t cursor = 0; json_member_next(text, &cursor, &member);) {
        must(json_next(root, &at, &name, &value));
        must(member.escaped || bytes_equal(member.name, name));
        must(json_parse(second, member.value, &alone) == NEAP_OK);
        must(json_kind(alone) == json_kind(value));
    }
    must(!json_next(root, &at, &name, &value));
}

static void squeeze(struct bytes text, struct json_value root)
{
    static uint8_t room[SIZE_LIMIT], once[SIZE_LIMIT * 8], twice[SIZE_LIMIT * 8];
    memcpy(room, text.at, text.size);
    struct bytes squeezed = { room, json_without_blanks(room, text.size) };
    struct json_value again;
    must(json_parse(second, squeezed, &again) == NEAP_OK);
    must(bytes_equal(written(again, twice, sizeof twice), written(root, once, sizeof once)));
    must(memchr(room, '\n', squeezed.size) == NULL && json_without_blanks(room, squeezed.size) == squeezed.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (first == NULL) {
        first = json_parser_new(SIZE_LIMIT);
        second = json_parser_new(SIZE_LIMIT * 8);
        must(first != NULL && second != NULL);
    }
    if (size > SIZE_LIMIT)
        return 0;
    struct bytes text = { at, size };
    struct json_value root;
    uint32_t column = 0;
    const char *what = NULL;
    enum neap_status parsed = json_parse(first, text, &root);
    must(parsed == NEAP_OK || parsed == NEAP_BADINPUT);
    must(json_explain(text, &column, &what) == parsed);
    if (parsed != NEAP_OK) {
        must(what != NULL && column >= 1 && column <= size + 1);
        struct json_member member;
        for (size_t cursor = 0; json_member_next(text, &cursor, &member);)
            must(member.value.at >= at && member.value.at + member.value.size <= at + size);
        return 0;
    }
    round_trip(root);
    squeeze(text, root);
    if (json_kind(root) == JSON_OBJECT)
        walk_members(text, root);
    return 0;
}
