/* json.h - JSON: parsed by simdjson, explained when it is not JSON, written without surprises.
 *
 * owner    a parser and the document it holds belong to one thread; a json_value dies with the next json_parse()
 * memory   the parser's tape, kept for reuse, sized by the largest text so far; size_max bounds the text
 * limits   size_max bytes of text, JSON_DEPTH_MAX levels
 * errors   NEAP_BADINPUT (json_explain() says where and what), NEAP_TOOLARGE, NEAP_NOMEM
 * promise  an accepted text is valid JSON and valid UTF-8 from its first byte to its last, in one value; numbers keep their
 *          kind (an integer of 64 bits stays exact); a repeated name answers its last value, as in most readers */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"
#include "neap/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_DEPTH_MAX 512u

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_UINT, JSON_DOUBLE, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };
/* JSON_UINT only for what does not fit an int64_t. */

struct json_parser;
struct json_value {
    const struct json_parser *parser;
    uint64_t index; /* of the tape */
};

struct json_parser *json_parser_new(size_t size_max);
void                json_parser_free(struct json_parser **parser);
enum neap_status    json_parse(struct json_parser *parser, struct bytes text, struct json_value *ret_root);

enum json_kind json_kind(struct json_value v);
bool           json_bool(struct json_value v);
int64_t        json_int(struct json_value v);
uint64_t       json_uint(struct json_value v);
double         json_double(struct json_value v);
struct bytes   json_text(struct json_value v);   /* unescaped UTF-8; may hold NUL bytes */
size_t         json_count(struct json_value v);  /* of an array or object */
bool           json_get(struct json_value object, struct bytes name, struct json_value *ret_value);
bool           json_at(struct json_value array, size_t index, struct json_value *ret_value); /* from 0 */
/* Walks an array or object: cursor starts as 0; ret_name may be NULL. */
bool           json_next(struct json_value container, uint64_t *cursor, struct bytes *ret_name, struct json_value *ret_value);

/* Walks the members of the outermost object in the text itself (which json_parse() has accepted), so that what nobody
 * touched can be passed on to the letter. `name` is as written, between the quotes; escaped says it holds a backslash. */
struct json_member {
    struct bytes name, value;
    bool escaped;
};
bool json_member_next(struct bytes text, size_t *cursor, struct json_member *ret_member);

/* Takes the blanks between the parts of a text that json_parse() has accepted out of it, in place; answers its new size. */
size_t json_without_blanks(uint8_t *text, size_t size);

/* Where and why a text is not one JSON value: a second, slow and obvious reader. NEAP_OK when it finds nothing wrong.
 * column counts bytes from 1; `what` is a constant such as "missing '\"'" or "unexpected ']'; wanted a value". */
enum neap_status json_explain(struct bytes text, uint32_t *ret_column, const char **ret_what);

/* Writing. Text that is not valid UTF-8 is written with U+FFFD in the place of each bad byte. */
void json_write_text(struct writer *w, struct bytes text);  /* with quotes and escapes */
void json_write_int(struct writer *w, int64_t v);
void json_write_double(struct writer *w, double v);         /* shortest that reads back the same; NaN and infinities: null */
void json_write_value(struct writer *w, struct json_value v);

#ifdef __cplusplus
}
#endif

#endif
