/* expr_native.c - answers paths and small trees straight from the event.
 *
 * N1  An answer given here is the one Lua would give. Where that takes thought (text in arithmetic, numbers beyond 2^53
 *     beside floats, two containers compared, fields of a text), the verdict is VERDICT_LUA and Lua is asked.
 * N2  A failure named here is one in Lua too.
 * The differential test asks both and compares. */
#include "flow/expr_internal.h"
#include "log/limits.h"

#define EXACT_MAX (1ll << 53) /* integers up to here are doubles, exactly */

struct operand operand_of_json(struct json_value json)
{
    switch (json_kind(json)) {
    case JSON_NULL:
        break;
    case JSON_BOOL:
        return (struct operand){ .kind = OPERAND_BOOL, .b = json_bool(json) };
    case JSON_INT:
        return (struct operand){ .kind = OPERAND_INT, .i = json_int(json) };
    case JSON_DOUBLE:
        return (struct operand){ .kind = OPERAND_DOUBLE, .d = json_double(json) };
    case JSON_TEXT:
        return (struct operand){ .kind = OPERAND_TEXT, .text = json_text(json) };
    case JSON_UINT:
    case JSON_ARRAY:
    case JSON_OBJECT:
        return (struct operand){ .kind = OPERAND_JSON, .json = json };
    }
    return (struct operand){ .kind = OPERAND_NIL };
}

struct operand operand_of_event(struct expr_machine *m)
{
    if (json_kind(m->event->root) == JSON_OBJECT)
        return (struct operand){ .kind = OPERAND_EVENT };
    return operand_of_json(m->event->root);
}

/* All fields that earlier stages made as JSON text, in one array, parsed once per call. */
static bool side_open(struct expr_machine *m)
{
    const struct event *e = m->event;
    size_t size = 2;
    for (uint32_t i = 0; i < e->field_count; i++)
        if (e->fields[i].value.kind == VALUE_JSON)
            size += e->fields[i].value.text.size + 1;
    if (m->side == NULL)
        m->side = json_parser_new(4u * RECORD_SIZE_MAX);
    void *room = m->side != NULL ? arena_take(m->arena, size) : NULL;
    if (room == NULL)
        return false;
    struct writer w = writer_of(room, size);
    uint8_t before = '[';
    for (uint32_t i = 0; i < e->field_count; i++)
        if (e->fields[i].value.kind == VALUE_JSON) {
            write_u8(&w, before);
            write_bytes(&w, e->fields[i].value.text);
            before = ',';
        }
    write_u8(&w, ']');
    must(!w.full && before == ',');
    return json_parse(m->side, writer_bytes(&w), &m->side_root) == NEAP_OK;
}

static struct operand operand_of_side(struct expr_machine *m, const struct value *set)
{
    size_t index = 0;
    struct json_value json;
    for (uint32_t i = 0; &m->event->fields[i].value != set; i++) {
        must(i < m->event->field_count);
        index += m->event->fields[i].value.kind == VALUE_JSON;
    }
    m->side_ready = m->side_ready || side_open(m);
    if (!m->side_ready) {
        m->no_room = true;
        return (struct operand){ .kind = OPERAND_NIL };
    }
    bool found = json_at(m->side_root, index, &json);
    must(found);
    return operand_of_json(json);
}

struct operand operand_of_set(struct expr_machine *m, const struct value *set)
{
    switch (set->kind) {
    case VALUE_NIL:
        break;
    case VALUE_BOOL:
        return (struct operand){ .kind = OPERAND_BOOL, .b = set->b };
    case VALUE_INT:
        return (struct operand){ .kind = OPERAND_INT, .i = set->i };
    case VALUE_DOUBLE:
        return (struct operand){ .kind = OPERAND_DOUBLE, .d = set->d };
    case VALUE_TEXT:
        return (struct operand){ .kind = OPERAND_TEXT, .text = set->text };
    case VALUE_JSON:
        return operand_of_side(m, set);
    }
    return (struct operand){ .kind = OPERAND_NIL };
}

static struct operand operand_of_text(struct bytes text)
{
    if (text.at == NULL)
        return (struct operand){ .kind = OPERAND_NIL };
    return (struct operand){ .kind = OPERAND_TEXT, .text = text };
}

/* Names are asked for in lower case; of headers that come twice the last one counts. */
static struct operand header_of(const struct event *e, struct bytes name)
{
    struct operand found = { .kind = OPERAND_NIL };
    struct reader left = reader_of(e->headers);
    struct record_header header;
    for (uint32_t i = 0; i < e->header_count && record_header_next(&left, &header) == NEAP_OK; i++) {
        bool same = header.name.size == name.size;
        for (size_t j = 0; same && j < name.size; j++) {
            uint8_t c = header.name.at[j];
            same = name.at[j] == (c >= 'A' && c <= 'Z' ? c + 0x20 : c);
        }
        if (same)
            found = operand_of_text(header.value);
    }
    return found;
}

static struct operand environment_of(struct expr_machine *m, struct bytes name)
{
    char text[256];
    if (m->environment == NULL || name.size >= sizeof(text) || memchr(name.at, 0, name.size) != NULL)
        return (struct operand){ .kind = OPERAND_NIL };
    memcpy(text, name.at, name.size);
    text[name.size] = '\0';
    const char *value = m->environment(m->ctx, text);
    return operand_of_text(value != NULL ? bytes_of_text(value) : (struct bytes){ NULL, 0 });
}

/* False: `of` is none of what has fields. */
bool operand_by_name(struct expr_machine *m, const struct operand *of, struct bytes name, struct operand *ret)
{
    struct json_value json;
    const struct value *set;
    *ret = (struct operand){ .kind = OPERAND_NIL };
    switch (of->kind) {
    case OPERAND_EVENT:
        switch (event_field_find(m->event, name, &json, &set)) {
        case EVENT_MISSING:
            break;
        case EVENT_ORIGINAL:
            *ret = operand_of_json(json);
            break;
        case EVENT_SET:
            *ret = operand_of_set(m, set);
            break;
        }
        return true;
    case OPERAND_JSON:
        if (json_kind(of->json) == JSON_UINT)
            return false;
        if (json_kind(of->json) == JSON_OBJECT && json_get(of->json, name, &json))
            *ret = operand_of_json(json);
        return true;
    case OPERAND_HEADERS:
        *ret = header_of(m->event, name);
        return true;
    case OPERAND_ENV:
        *ret = environment_of(m, name);
        return true;
    default:
        return false;
    }
}

bool operand_by_index(struct expr_machine *m, const struct operand *of, int64_t index, struct operand *ret)
{
    struct json_value json;
    *ret = (struct operand){ .kind = OPERAND_NIL };
    if (of->kind == OPERAND_EVENT || of->kind == OPERAND_HEADERS || of->kind == OPERAND_ENV)
        return true;
    if (of->kind != OPERAND_JSON || json_kind(of->json) == JSON_UINT)
        return false;
    if (json_kind(of->json) == JSON_ARRAY && index >= 1 && json_at(of->json, (size_t)index - 1, &json))
        *ret = operand_of_json(json);
    return true;
}

static struct operand root_operand(struct expr_machine *m, enum root root)
{
    const struct event *e = m->event;
    switch (root) {
    case ROOT_EVENT:
        return operand_of_event(m);
    case ROOT_KEY:
        return operand_of_text(e->key);
    case ROOT_ID:
        return operand_of_text(e->id);
    case ROOT_HEADERS:
        return (struct operand){ .kind = OPERAND_HEADERS };
    case ROOT_TIME:
        return (struct operand){ .kind = OPERAND_INT, .i = e->time_ms };
    case ROOT_TOPIC:
        return operand_of_text(e->topic != NULL ? bytes_of_text(e->topic) : (struct bytes){ NULL, 0 });
    case ROOT_PARTITION:
        return (struct operand){ .kind = OPERAND_INT, .i = e->partition };
    case ROOT_OFFSET:
        return (struct operand){ .kind = OPERAND_INT, .i = (int64_t)e->offset.n };
    case ROOT_ATTEMPT:
        return (struct operand){ .kind = OPERAND_INT, .i = e->attempt };
    case ROOT_ENV:
        return (struct operand){ .kind = OPERAND_ENV };
    case ROOT_COUNT:
        break;
    }
    must(root < ROOT_COUNT);
    return (struct operand){ .kind = OPERAND_NIL };
}

static enum verdict not_indexed(const struct operand *of, const struct path *path, uint32_t step_count,
                                struct trouble *trouble)
{
    if (of->kind == OPERAND_TEXT)
        return VERDICT_LUA; /* a text has fields there: its methods */
    *trouble = (struct trouble){ path, step_count,
                                 of->kind == OPERAND_NIL    ? "nil"
                                 : of->kind == OPERAND_BOOL ? "a boolean"
                                                            : "a number" };
    return VERDICT_FAIL;
}

enum verdict path_answer(struct expr_machine *m, const struct path *path, struct operand *ret, struct trouble *trouble)
{
    struct operand at = root_operand(m, path->root), next;
    for (uint32_t i = 0; i < path->step_count; i++) {
        const struct path_step *step = &path->steps[i];
        bool indexed = step->name.at != NULL ? operand_by_name(m, &at, step->name, &next)
                                             : operand_by_index(m, &at, step->index, &next);
        if (!indexed)
            return not_indexed(&at, path, i, trouble);
        at = next;
    }
    *ret = at;
    return VERDICT_DONE;
}

/* ---- the small tree -------------------------------------------------------------------------------------------- */

static bool is_number(const struct operand *o)
{
    return o->kind == OPERAND_INT || o->kind == OPERAND_DOUBLE;
}

static bool is_true(const struct operand *o)
{
    return o->kind != OPERAND_NIL && !(o->kind == OPERAND_BOOL && !o->b);
}

static double number_of(const struct operand *o)
{
    return o->kind == OPERAND_INT ? (double)o->i : o->d;
}

static bool exact(const struct operand *o)
{
    return o->kind == OPERAND_DOUBLE || (o->i >= -EXACT_MAX && o->i <= EXACT_MAX);
}

/* Which of two operands is nil, and what the text calls it. Lua is asked where it has no name here. */
static enum verdict nil_operand(const struct expr *expr, const struct node *node, const struct operand *a,
                                const struct operand *b, struct trouble *trouble)
{
    bool first = a->kind == OPERAND_NIL;
    const struct node *guilty = &expr->nodes[first ? node->left : node->right];
    if ((!first && b->kind != OPERAND_NIL) || guilty->kind != NODE_PATH)
        return VERDICT_LUA;
    *trouble = (struct trouble){ guilty->path, guilty->path->step_count, "nil" };
    return VERDICT_FAIL;
}

static enum verdict calculate(enum node_kind kind, const struct operand *a, const struct operand *b,
                              struct operand *ret)
{
    if (a->kind == OPERAND_INT && b->kind == OPERAND_INT) { /* around the corner, as Lua's integers go */
        uint64_t x = (uint64_t)a->i, y = (uint64_t)b->i;
        uint64_t z = kind == NODE_ADD ? x + y : kind == NODE_SUBTRACT ? x - y : x * y;
        *ret = (struct operand){ .kind = OPERAND_INT, .i = (int64_t)z };
        return VERDICT_DONE;
    }
    double x = number_of(a), y = number_of(b);
    *ret = (struct operand){ .kind = OPERAND_DOUBLE,
                             .d = kind == NODE_ADD        ? x + y
                                  : kind == NODE_SUBTRACT ? x - y
                                                          : x * y };
    return VERDICT_DONE;
}

static bool holds_int(enum node_kind kind, int64_t a, int64_t b)
{
    return kind == NODE_LESS ? a < b : kind == NODE_LESS_EQUAL ? a <= b : kind == NODE_GREATER ? a > b : a >= b;
}

static bool holds_double(enum node_kind kind, double a, double b)
{
    return kind == NODE_LESS ? a < b : kind == NODE_LESS_EQUAL ? a <= b : kind == NODE_GREATER ? a > b : a >= b;
}

static enum verdict order(enum node_kind kind, const struct operand *a, const struct operand *b, struct operand *ret)
{
    bool holds;
    if (a->kind == OPERAND_INT && b->kind == OPERAND_INT)
        holds = holds_int(kind, a->i, b->i);
    else if (is_number(a) && is_number(b) && exact(a) && exact(b))
        holds = holds_double(kind, number_of(a), number_of(b));
    else if (a->kind == OPERAND_TEXT && b->kind == OPERAND_TEXT) /* strcoll() of the C locale, which nobody changes */
        holds = holds_int(kind, bytes_compare(a->text, b->text), 0);
    else
        return VERDICT_LUA;
    *ret = (struct operand){ .kind = OPERAND_BOOL, .b = holds };
    return VERDICT_DONE;
}

static enum verdict equate(enum node_kind kind, const struct operand *a, const struct operand *b, struct operand *ret)
{
    bool same;
    if (a->kind >= OPERAND_JSON || b->kind >= OPERAND_JSON)
        return VERDICT_LUA;
    if (is_number(a) && is_number(b)) {
        if (a->kind != b->kind && !(exact(a) && exact(b)))
            return VERDICT_LUA;
        same = a->kind == OPERAND_INT && b->kind == OPERAND_INT ? a->i == b->i : number_of(a) == number_of(b);
    } else if (a->kind != b->kind) {
        same = false;
    } else {
        same = a->kind == OPERAND_NIL || (a->kind == OPERAND_BOOL ? a->b == b->b : bytes_equal(a->text, b->text));
    }
    *ret = (struct operand){ .kind = OPERAND_BOOL, .b = same == (kind == NODE_EQUAL) };
    return VERDICT_DONE;
}

static enum verdict node_answer(struct expr_machine *m, const struct expr *expr, uint8_t index, struct operand *ret,
                                struct trouble *trouble);

static enum verdict binary_answer(struct expr_machine *m, const struct expr *expr, const struct node *node,
                                  struct operand *ret, struct trouble *trouble)
{
    struct operand a, b;
    enum verdict verdict = node_answer(m, expr, node->left, &a, trouble);
    if (verdict == VERDICT_DONE)
        verdict = node_answer(m, expr, node->right, &b, trouble);
    if (verdict != VERDICT_DONE)
        return verdict;
    if (node->kind == NODE_EQUAL || node->kind == NODE_UNEQUAL)
        return equate(node->kind, &a, &b, ret);
    if (a.kind == OPERAND_NIL || b.kind == OPERAND_NIL)
        return nil_operand(expr, node, &a, &b, trouble);
    if (node->kind >= NODE_LESS)
        return order(node->kind, &a, &b, ret);
    return is_number(&a) && is_number(&b) ? calculate(node->kind, &a, &b, ret) : VERDICT_LUA;
}

static enum verdict node_answer(struct expr_machine *m, const struct expr *expr, uint8_t index, struct operand *ret,
                                struct trouble *trouble)
{
    const struct node *node = &expr->nodes[index];
    must(index < expr->node_count);
    enum verdict verdict;
    switch (node->kind) {
    case NODE_PATH:
        return path_answer(m, node->path, ret, trouble);
    case NODE_CONSTANT:
        *ret = node->constant;
        return VERDICT_DONE;
    case NODE_NOT:
        verdict = node_answer(m, expr, node->left, ret, trouble);
        if (verdict == VERDICT_DONE)
            *ret = (struct operand){ .kind = OPERAND_BOOL, .b = !is_true(ret) };
        return verdict;
    case NODE_AND:
    case NODE_OR:
        verdict = node_answer(m, expr, node->left, ret, trouble);
        if (verdict != VERDICT_DONE || is_true(ret) == (node->kind == NODE_OR))
            return verdict;
        return node_answer(m, expr, node->right, ret, trouble);
    default:
        return binary_answer(m, expr, node, ret, trouble);
    }
}

enum verdict tree_answer(struct expr_machine *m, const struct expr *expr, struct operand *ret, struct trouble *trouble)
{
    return node_answer(m, expr, expr->top, ret, trouble);
}
