/* event.c - an event is the document as it came, and beside it a short list of what the stages changed.
 *
 * E1  Of one name there is at most one entry in fields[].
 * E2  A name that comes twice in the document answers its last value; touched, it is written once, where its last stood.
 * E3  What nobody touched is copied by its letters: 1.10 stays 1.10, an escape stays an escape. */
#include "flow/event.h"
#include "base/must.h"
#include "log/limits.h"

#define FIELD_ROOM_FIRST 8u
#define NUMBER_SIZE_MAX  32u /* of an integer or a double in JSON */

void value_write_json(struct writer *w, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NIL:
        write_bytes(w, BYTES("null"));
        break;
    case VALUE_BOOL:
        write_bytes(w, v->b ? BYTES("true") : BYTES("false"));
        break;
    case VALUE_INT:
        json_write_int(w, v->i);
        break;
    case VALUE_DOUBLE:
        json_write_double(w, v->d);
        break;
    case VALUE_TEXT:
        json_write_text(w, v->text);
        break;
    case VALUE_JSON:
        write_bytes(w, v->text);
        break;
    }
}

struct bytes value_text(const struct value *v, struct arena *arena)
{
    uint8_t room[40];
    struct writer w = writer_of(room, sizeof(room));
    switch (v->kind) {
    case VALUE_NIL:
        break;
    case VALUE_BOOL:
        return arena_copy(arena, v->b ? BYTES("true") : BYTES("false"));
    case VALUE_INT:
        json_write_int(&w, v->i);
        return arena_copy(arena, writer_bytes(&w));
    case VALUE_DOUBLE:
        json_write_double(&w, v->d);
        return arena_copy(arena, writer_bytes(&w));
    case VALUE_TEXT:
    case VALUE_JSON:
        return arena_copy(arena, v->text);
    }
    return (struct bytes){ NULL, 0 };
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static struct event_field *find_field(const struct event *e, struct bytes name)
{
    must(e->field_count <= EVENT_FIELD_COUNT_MAX);
    for (uint32_t i = 0; i < e->field_count; i++)
        if (bytes_equal(e->fields[i].name, name))
            return &e->fields[i];
    return NULL;
}

static bool is_object(const struct event *e)
{
    return json_kind(e->root) == JSON_OBJECT;
}

enum event_origin event_field_find(const struct event *e, struct bytes name, struct json_value *ret_json,
                                   const struct value **ret_set)
{
    if (e->field_count > 0 || e->keep_only) {
        const struct event_field *field = find_field(e, name);
        if (field == NULL ? e->keep_only : field->removed)
            return EVENT_MISSING;
        if (field != NULL && !field->original) {
            *ret_set = &field->value;
            return EVENT_SET;
        }
    }
    return is_object(e) && json_get(e->root, name, ret_json) ? EVENT_ORIGINAL : EVENT_MISSING;
}

bool event_letters(const struct event *e, struct json_value value, struct bytes *ret_letters)
{
    if (!is_object(e) || value.parser != e->root.parser)
        return false;
    size_t text_cursor = 0;
    uint64_t json_cursor = 0;
    struct json_member member;
    struct json_value at;
    while (json_next(e->root, &json_cursor, NULL, &at)) {
        bool both = json_member_next(e->json, &text_cursor, &member);
        must(both); /* two readers of the same text agree on its members */
        if (at.index == value.index) {
            *ret_letters = member.value;
            return true;
        }
    }
    return false;
}

bool event_field_get(const struct event *e, struct bytes name, struct value *ret_value)
{
    struct json_value json;
    const struct value *set;
    enum event_origin origin = event_field_find(e, name, &json, &set);
    if (origin == EVENT_MISSING)
        return false;
    if (origin == EVENT_SET) {
        *ret_value = *set;
        return true;
    }
    switch (json_kind(json)) {
    case JSON_NULL:
        *ret_value = (struct value){ .kind = VALUE_NIL };
        break;
    case JSON_BOOL:
        *ret_value = (struct value){ .kind = VALUE_BOOL, .b = json_bool(json) };
        break;
    case JSON_INT:
        *ret_value = (struct value){ .kind = VALUE_INT, .i = json_int(json) };
        break;
    case JSON_DOUBLE:
        *ret_value = (struct value){ .kind = VALUE_DOUBLE, .d = json_double(json) };
        break;
    case JSON_TEXT:
        *ret_value = (struct value){ .kind = VALUE_TEXT, .text = json_text(json) };
        break;
    case JSON_UINT:
    case JSON_ARRAY:
    case JSON_OBJECT:
        ret_value->kind = VALUE_JSON;
        return event_letters(e, json, &ret_value->text);
    }
    return true;
}

/* What has become of a member that came: false, it is gone, or written at a later place (rule E2). */
static bool member_stands(const struct event *e, struct event_member *m)
{
    if (e->field_count == 0 && !e->keep_only)
        return true;
    const struct event_field *field = find_field(e, m->name);
    if (field == NULL)
        return !e->keep_only;
    struct json_value last;
    bool there = json_get(e->root, m->name, &last);
    must(there);
    if (field->removed || last.index != m->json.index)
        return false;
    if (!field->original) {
        m->origin = EVENT_SET;
        m->set = &field->value;
    }
    return true;
}

static bool next_original(const struct event *e, struct event_walk *walk, struct event_member *m)
{
    while (json_next(e->root, &walk->json_cursor, &m->name, &m->json)) {
        struct json_member letters;
        bool both = json_member_next(e->json, &walk->text_cursor, &letters);
        must(both);
        m->origin = EVENT_ORIGINAL;
        const uint8_t *start = letters.name.at - 1; /* its opening quote */
        m->letters = (struct bytes){ start, (size_t)(letters.value.at + letters.value.size - start) };
        if (member_stands(e, m))
            return true;
    }
    return false;
}

bool event_next(const struct event *e, struct event_walk *walk, struct event_member *ret_member)
{
    must(is_object(e));
    struct event_member m = { 0 };
    if (!walk->past_original) {
        if (next_original(e, walk, &m)) {
            *ret_member = m;
            return true;
        }
        walk->past_original = true;
    }
    while (walk->field_index < e->field_count) {
        const struct event_field *field = &e->fields[walk->field_index++];
        struct json_value came;
        if (field->removed || field->original || json_get(e->root, field->name, &came))
            continue; /* the last: it was given at its place among the original ones */
        *ret_member = (struct event_member){ .name = field->name, .origin = EVENT_SET, .set = &field->value };
        return true;
    }
    return false;
}

/* ---- changing -------------------------------------------------------------------------------------------------- */

static enum neap_status grow_fields(struct event *e, struct arena *arena)
{
    if (e->field_count >= EVENT_FIELD_COUNT_MAX)
        return NEAP_TOOLARGE;
    uint32_t room = e->field_room == 0 ? FIELD_ROOM_FIRST : e->field_room * 2;
    struct event_field *fields = arena_take(arena, room * sizeof(*fields));
    if (fields == NULL)
        return NEAP_NOMEM;
    if (e->field_count > 0)
        memcpy(fields, e->fields, e->field_count * sizeof(*fields));
    e->fields = fields;
    e->field_room = room;
    return NEAP_OK;
}

static enum neap_status put_field(struct event *e, struct arena *arena, const struct event_field *put)
{
    if (!is_object(e))
        return NEAP_BADINPUT;
    struct event_field *field = find_field(e, put->name);
    if (field == NULL) {
        enum neap_status status = e->field_count == e->field_room ? grow_fields(e, arena) : NEAP_OK;
        if (status != NEAP_OK)
            return status;
        field = &e->fields[e->field_count++];
    }
    *field = *put;
    return NEAP_OK;
}

enum neap_status event_field_set(struct event *e, struct arena *arena, struct bytes name, const struct value *value)
{
    return put_field(e, arena, &(struct event_field){ .name = name, .value = *value });
}

enum neap_status event_field_remove(struct event *e, struct arena *arena, struct bytes name)
{
    struct json_value json;
    const struct value *set;
    if (!is_object(e))
        return NEAP_BADINPUT;
    if (event_field_find(e, name, &json, &set) == EVENT_MISSING)
        return NEAP_OK;
    return put_field(e, arena, &(struct event_field){ .name = name, .removed = true });
}

static bool among(struct bytes name, const struct bytes *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (bytes_equal(name, names[i]))
            return true;
    return false;
}

enum neap_status event_keep(struct event *e, struct arena *arena, const struct bytes *names, uint32_t count)
{
    if (!is_object(e))
        return NEAP_BADINPUT;
    if (count > EVENT_FIELD_COUNT_MAX)
        return NEAP_TOOLARGE;
    uint32_t room = count > 0 ? count : 1;
    struct event_field *kept = arena_take(arena, room * sizeof(*kept));
    if (kept == NULL)
        return NEAP_NOMEM;
    uint32_t kept_count = 0;
    for (uint32_t i = 0; i < e->field_count;
         i++) /* set before: in the order of their adding, which is the written one */
        if (!e->fields[i].removed && !e->fields[i].original && among(e->fields[i].name, names, count))
            kept[kept_count++] = e->fields[i];
    for (uint32_t i = 0; i < count; i++) {
        struct json_value json;
        const struct value *set;
        if (!among(names[i], names, i) && event_field_find(e, names[i], &json, &set) == EVENT_ORIGINAL)
            kept[kept_count++] = (struct event_field){ .name = names[i], .original = true };
    }
    must(kept_count <= room);
    e->fields = kept;
    e->field_count = kept_count;
    e->field_room = room;
    e->keep_only = true;
    return NEAP_OK;
}

/* ---- writing out ----------------------------------------------------------------------------------------------- */

/* At most what json_write_text() makes of it: \u00xx for a control sign, U+FFFD for a bad byte. */
static size_t text_size_max(struct bytes text)
{
    size_t size = 2;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        size += c < 0x20 || c == '"' || c == '\\' || c == 0x7f ? 6 : c >= 0x80 ? 3 : 1;
    }
    return size;
}

static size_t value_size_max(const struct value *v)
{
    if (v->kind == VALUE_TEXT)
        return text_size_max(v->text);
    return v->kind == VALUE_JSON ? v->text.size : NUMBER_SIZE_MAX;
}

enum neap_status event_json(const struct event *e, struct arena *arena, struct bytes *ret_json)
{
    if (e->field_count == 0 && !e->keep_only) {
        *ret_json = e->json;
        return NEAP_OK;
    }
    size_t size_max = e->json.size + 2;
    for (uint32_t i = 0; i < e->field_count; i++)
        if (!e->fields[i].removed && !e->fields[i].original)
            size_max += text_size_max(e->fields[i].name) + value_size_max(&e->fields[i].value) + 2;
    void *room = arena_take(arena, size_max);
    if (room == NULL)
        return NEAP_NOMEM;
    struct writer w = writer_of(room, size_max);
    struct event_walk walk = { 0 };
    struct event_member m;
    char before = '{';
    for (; event_next(e, &walk, &m); before = ',') {
        write_u8(&w, (uint8_t)before);
        if (m.origin == EVENT_ORIGINAL) { /* rule E3 */
            write_bytes(&w, m.letters);
            continue;
        }
        json_write_text(&w, m.name);
        write_u8(&w, ':');
        value_write_json(&w, m.set);
    }
    write_bytes(&w, before == '{' ? BYTES("{}") : BYTES("}"));
    must(!w.full);
    if (writer_size(&w) > RECORD_SIZE_TOP)
        return NEAP_TOOLARGE;
    *ret_json = writer_bytes(&w);
    return NEAP_OK;
}

struct failure failure_of_expired(void)
{
    return (struct failure){ .reason = "expired",
                             .message = BYTES("it was not done with in the time that `expires` gives it") };
}

void event_write_headers(struct writer *w, const struct event *e)
{
    struct reader left = reader_of(e->headers);
    struct record_header header;
    write_u8(w, '{');
    for (uint32_t i = 0; i < e->header_count && record_header_next(&left, &header) == NEAP_OK; i++) {
        if (i > 0)
            write_u8(w, ',');
        json_write_text(w, header.name);
        write_u8(w, ':');
        if (header.value.at != NULL)
            json_write_text(w, header.value);
        else
            write_bytes(w, BYTES("null"));
    }
    write_u8(w, '}');
}
