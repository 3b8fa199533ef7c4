/* read.c - walks the tree along the table of keys. */
#include "config/read.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/messages.h"
#include "config/traps.h"
#include <stdio.h>

static_assert(offsetof(struct config_source, kind) == 0 && offsetof(struct config_stage, kind) == 0 &&
                  offsetof(struct config_sink, kind) == 0,
              "a component's kind is its first member");

static void *member(void *of, size_t at)
{
    return at == NO_MEMBER ? NULL : (char *)of + at;
}

static bool is_ignored(enum scope scope, struct bytes name)
{
    return scope == IN_FILE && name.size >= 2 && name.at[0] == 'x' && name.at[1] == '-';
}

static const char *counted_noun(const struct tree_node *node)
{
    return node->kind == TREE_TEXT ? "a text" : node->kind == TREE_LIST ? "a list" : "a map";
}

/* ---- names that are not in the table ----------------------------------------------------------------------------------- */

static uint64_t bit_of(const struct key *key)
{
    size_t place = (size_t)(key - key_next(key->scope, NULL));
    must(place < 64);
    return 1ull << place;
}

/* "file, stdin, topic": what may stand in `scope`; kinds only where asked. */
static void list_keys(enum scope scope, bool kinds_only, char *room, size_t size)
{
    struct writer w = writer_of(room, size - 1);
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key)) {
        if (kinds_only && !key->kind)
            continue;
        write_bytes(&w, writer_size(&w) == 0 ? BYTES("") : BYTES(", "));
        write_bytes(&w, bytes_of_text(key->name));
    }
    room[writer_size(&w)] = '\0';
}

/* A kind of this component whose own map knows the name, the one that is there first: `path` beside `file`. */
static const struct key *kind_that_holds(enum scope scope, struct bytes name, const struct key *present)
{
    if (present != NULL && present->type == KEY_BLOCK && key_find(present->of, name) != NULL)
        return present;
    if (present != NULL && key_find(IN_DEFAULTS, name) != NULL)
        return NULL; /* an inline kind has no manners, wherever they stand */
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key))
        if (key->kind && key->type == KEY_BLOCK && key_find(key->of, name) != NULL)
            return key;
    return NULL;
}

/* The component whose kind has this scope, and knows the name beside it: `key` inside `file`. */
static const struct key *beside_that_knows(enum scope scope, struct bytes name)
{
    for (size_t i = 0; i < key_count; i++) {
        if (!keys[i].kind || keys[i].type != KEY_BLOCK || keys[i].of != scope)
            continue;
        const struct key *found = key_find(keys[i].scope, name);
        return found == NULL || found->kind ? NULL : &keys[i];
    }
    return NULL;
}

/* A key without a value inside {...}: rather what a comma cut off. */
static bool is_odd(const struct tree_item *item)
{
    return item->key->in_flow && item->value->kind == TREE_TEXT && item->value->style == TREE_PLAIN &&
           item->value->text.size == 0;
}

/* Says what somebody probably meant; answers the keys that are therefore not missing. */
static uint64_t say_unknown(struct reading *r, enum scope scope, const struct tree_item *item,
                            const struct key *present)
{
    const struct tree_node *key = item->key;
    const struct scope_info *info = &scopes[scope];
    struct nearest nearest = { .wanted = key->text };
    const struct key *meant = NULL, *other;
    for (const struct key *known = key_next(scope, NULL); known != NULL; known = key_next(scope, known)) {
        nearest_offer(&nearest, known->name);
        if (nearest.word == known->name)
            meant = known;
    }
    bool kind = scope_has_kinds(scope) && present == NULL && (meant == NULL || meant->kind);
    bool of_later = key_is_of_later_version(scope, key->text, &kind);
    char what[64], list[240];
    snprintf(what, sizeof what, kind ? "unknown %s" : "unknown key", info->name);
    struct shown name = shown(key->text);
    char of[64] = "";
    if (!kind)
        snprintf(of, sizeof of, " of %s", info->noun);
    list_keys(scope, kind, list, sizeof list);
    if (of_later)
        message_error(r->messages, key->place, "%s '%s'%s: it is not in this version", what, name.text, of);
    else if (meant != NULL)
        message_error(r->messages, key->place, "%s '%s'%s; did you mean '%s'?", what, name.text, of, meant->name);
    else if ((other = kind_that_holds(scope, key->text, present)) != NULL)
        message_error(r->messages, key->place, "unknown key '%s' of %s; it stands inside '%s: {...}'", name.text,
                      info->noun, other->name);
    else if ((other = beside_that_knows(scope, key->text)) != NULL)
        message_error(r->messages, key->place, "unknown key '%s' of %s; it stands beside '%s', not inside it",
                      name.text, info->noun, other->name);
    else if (list[0] == '\0')
        message_error(r->messages, key->place, "%s '%s'%s, which has no keys: {}", what, name.text, of);
    else
        message_error(r->messages, key->place, "%s '%s'%s; known: %s%s", what, name.text, of, list,
                      is_odd(item) ? "; a value with a comma in it needs quotes inside {...}" : "");
    return meant == NULL ? 0 : bit_of(meant);
}

/* ---- lists and maps ------------------------------------------------------------------------------------------------------ */

static bool is_list(struct reading *r, const struct key *key, const struct tree_node *node)
{
    if (node->kind == TREE_LIST && node->count > 0 && node->count <= key->most)
        return true;
    if (node->kind == TREE_LIST && node->count > 0)
        message_error(r->messages, node->place, "'%s' has %u items; at most %llu", key->name, node->count,
                      (unsigned long long)key->most);
    else
        message_error(r->messages, node->place, "'%s' takes a list%s; such as: %s", key->name,
                      node->kind == TREE_LIST ? ", this one is empty"
                      : key->type == KEY_LIST ? ", where order matters: put '- ' before each item"
                                              : "",
                      key->example);
    return false;
}

static bool is_map(struct reading *r, const struct key *key, const struct tree_node *node)
{
    if (node->kind == TREE_MAP && node->count > 0 && node->count <= key->most)
        return true;
    if (node->kind == TREE_MAP && node->count > 0)
        message_error(r->messages, node->place, "'%s' has %u names; at most %llu", key->name, node->count,
                      (unsigned long long)key->most);
    else if (node->kind == TREE_MAP || node->text.size == 0)
        message_error(r->messages, node->place, "'%s' is empty; it takes names with their values, such as: %s",
                      key->name, key->example);
    else
        message_error(r->messages, node->place, "'%s' takes a map of names, not %s; such as: %s", key->name,
                      counted_noun(node), key->example);
    return false;
}

static bool starts_like_path(struct bytes name)
{
    return name.size > 6 && memcmp(name.at, "event.", 6) == 0;
}

static void warn_of_path(struct reading *r, const struct key *key, struct bytes name, struct config_place place)
{
    if (key->scope == IN_STAGE && starts_like_path(name))
        message_warning(r->messages, place, "'%s' takes names of fields: '%s', not '%s'", key->name,
                        shown((struct bytes){ name.at + 6, name.size - 6 }).text, shown(name).text);
}

static void read_fields(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    if (!is_list(r, key, node))
        return;
    const char **list = read_take(r, node->count * sizeof *list);
    uint32_t count = 0;
    for (struct tree_item *item = node->items; item != NULL && list != NULL; item = item->next) {
        struct bytes text;
        if (!read_text(r, key, item->value, &text))
            continue;
        bool twice = false;
        for (uint32_t i = 0; i < count; i++)
            twice = twice || strcmp(list[i], (const char *)text.at) == 0;
        if (twice)
            message_error(r->messages, item->value->place, "'%s' stands in this list twice", shown(text).text);
        else
            list[count++] = (const char *)text.at;
        warn_of_path(r, key, text, item->value->place);
    }
    memcpy(member(into, key->at), &list, sizeof list);
    *(uint32_t *)member(into, key->count_at) = count;
}

/* A text is for the shell, as a line that is typed there; a list is a program as it is, with nothing in between. */
static void read_command(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    const bool shell = node->kind == TREE_TEXT;
    struct bytes text = { NULL, 0 };
    uint32_t count = 0;
    if (!shell && !is_list(r, key, node))
        return;
    const char **list = read_take(r, ((shell ? 3 : node->count) + 1) * sizeof *list);
    if (list == NULL)
        return;
    if (shell) {
        list[count++] = "/bin/sh";
        list[count++] = "-c";
        list[count++] = read_text(r, key, node, &text) ? (const char *)text.at : "";
    }
    for (struct tree_item *item = shell ? NULL : node->items; item != NULL; item = item->next)
        if (read_text(r, key, item->value, &text))
            list[count++] = (const char *)text.at;
    list[count] = NULL;
    if (count > 0 && list[shell ? 2 : 0][0] == '\0')
        message_error(r->messages, node->place, "'%s' names no program; such as: %s", key->name, key->example);
    memcpy(member(into, key->at), &list, sizeof list);
    *(uint32_t *)member(into, key->count_at) = count;
}

/* The word alone, whatever else its list says. */
static bool is_outcome(struct reading *r, struct bytes word, struct config_place place)
{
    const struct outcome_list one = { &word, 1 }, none = { NULL, 0 };
    struct outcome_rules rules;
    struct error err = { 0 };
    if (outcome_rules_make(&one, &none, &rules, &err) == NEAP_OK)
        return true;
    message_error(r->messages, place, "%s", err.text);
    return false;
}

static void read_outcomes(struct reading *r, const struct key *key, const struct tree_node *node,
                          struct outcome_list *ret_list)
{
    if (!is_list(r, key, node))
        return;
    struct bytes *words = read_take(r, node->count * sizeof *words);
    uint32_t count = 0;
    for (struct tree_item *item = node->items; item != NULL && words != NULL; item = item->next)
        if (read_text(r, key, item->value, &words[count]) && is_outcome(r, words[count], item->value->place))
            count++;
    if (words != NULL)
        *ret_list = (struct outcome_list){ words, count };
}

static void keep_exprs(const struct key *key, struct config_named_expr *list, uint32_t count, void *into)
{
    memcpy(member(into, key->at), &list, sizeof list);
    *(uint32_t *)member(into, key->count_at) = count;
}

static bool is_named(struct reading *r, const struct key *key, const struct tree_node *name)
{
    if (name->text.size > 0 && memchr(name->text.at, '\0', name->text.size) == NULL)
        return true;
    message_error(r->messages, name->place, "'%s' has a name that is empty, or has a NUL character in it", key->name);
    return false;
}

static void read_exprs(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    if (!is_map(r, key, node))
        return;
    struct config_named_expr *list = read_take(r, node->count * sizeof *list);
    uint32_t count = 0;
    bool cut = false; /* what stands behind a comma that cut an expression is a part of it, not a name */
    for (struct tree_item *item = node->items; item != NULL && list != NULL; item = item->next) {
        bool nothing =
            item->value->kind == TREE_TEXT && item->value->style == TREE_PLAIN && item->value->text.size == 0;
        if (nothing && cut)
            continue;
        cut = trap_of_expression(r->text, item->value)[0] != '\0';
        struct bytes name = arena_copy(r->arena, item->key->text);
        r->starved = r->starved || name.at == NULL;
        if (r->starved || !is_named(r, key, item->key))
            continue;
        list[count].name = (const char *)name.at;
        warn_of_path(r, key, name, item->key->place);
        bool good = read_expr(r, key->what, list[count].name, item->value, &list[count].expr);
        cut = cut && !good;
        count += good;
    }
    keep_exprs(key, list, count, into);
}

static bool is_identifier(struct bytes name)
{
    static const char *const words[] = { "and",      "break",  "do",   "else", "elseif", "end",  "false", "for",
                                         "function", "goto",   "if",   "in",   "local",  "nil",  "not",   "or",
                                         "repeat",   "return", "then", "true", "until",  "while" };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (bytes_equal(bytes_of_text(words[i]), name))
            return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.size > 0;
}

/* The expression of the field of that name. */
static const char *field_expr(struct reading *r, struct bytes name)
{
    char *text = read_take(r, 4 * name.size + sizeof "event[\"\"]");
    if (text == NULL)
        return NULL;
    if (is_identifier(name)) {
        memcpy(text, "event.", 6);
        memcpy(text + 6, name.at, name.size);
        return text;
    }
    char *to = text + sizeof "event[\"" - 1;
    memcpy(text, "event[\"", sizeof "event[\"" - 1);
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            to += snprintf(to, 5, "\\%03u", c);
        else
            *to++ = (char)c;
    }
    memcpy(to, "\"]", 2);
    return text;
}

/* Columns as a list: each is the field of its name. */
static void read_column_list(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    if (!is_list(r, key, node))
        return;
    struct config_named_expr *list = read_take(r, node->count * sizeof *list);
    uint32_t count = 0;
    for (struct tree_item *item = node->items; item != NULL && list != NULL; item = item->next) {
        struct bytes name;
        if (!read_text(r, key, item->value, &name) || !is_named(r, key, item->value))
            continue;
        struct config_expr expr = { field_expr(r, name), item->value->place };
        list[count++] = (struct config_named_expr){ (const char *)name.at, expr };
    }
    keep_exprs(key, list, r->starved ? 0 : count, into);
}

static void keep_array(const struct key *key, void *list, uint32_t count, void *into)
{
    memcpy(member(into, key->at), &list, sizeof list);
    *(uint32_t *)member(into, key->count_at) = count;
}

/* A text, or {expr: EXPR}. */
static bool read_text_or_expr(struct reading *r, const struct key *key, const char *name, const struct tree_node *node,
                              struct config_text *ret_text)
{
    struct bytes text;
    if (node->kind == TREE_TEXT) {
        if (!read_text(r, key, node, &text))
            return false;
        *ret_text = (struct config_text){ .text = (const char *)text.at, .place = node->place };
        return true;
    }
    const struct tree_item *expr = tree_find(node, "expr");
    if (node->count != 1 || expr == NULL) {
        message_error(r->messages, node->place, "'%s' takes a text, or {expr: EXPR}; such as: %s", key->name,
                      key->example);
        return false;
    }
    ret_text->place = expr->value->place;
    return read_expr(r, key->what, name, expr->value, &ret_text->expr);
}

static void read_headers(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    if (!is_map(r, key, node))
        return;
    struct config_header *list = read_take(r, node->count * sizeof *list);
    uint32_t count = 0;
    for (struct tree_item *item = node->items; item != NULL && list != NULL; item = item->next) {
        struct bytes name = arena_copy(r->arena, item->key->text);
        r->starved = r->starved || name.at == NULL;
        if (r->starved || !is_named(r, key, item->key))
            continue;
        list[count] = (struct config_header){ .name = (const char *)name.at, .place = item->key->place };
        count += read_text_or_expr(r, key, list[count].name, item->value, &list[count].value);
    }
    keep_array(key, list, count, into);
}

/* A map of names to maps: pipelines, topics. */
static void read_named(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    const struct scope_info *info = &scopes[key->of];
    if (!is_map(r, key, node))
        return;
    char *list = read_take(r, node->count * info->size);
    uint32_t count = 0;
    for (struct tree_item *item = node->items; item != NULL && list != NULL; item = item->next) {
        char *one = list + count * info->size;
        const char *problem = name_problem(item->key->text);
        if (problem != NULL)
            message_error(r->messages, item->key->place, "'%s' cannot be a name: %s", shown(item->key->text).text,
                          problem);
        struct bytes name = arena_copy(r->arena, item->key->text);
        r->starved = r->starved || name.at == NULL;
        memcpy(one + info->name_at, &name.at, sizeof name.at);
        memcpy(one + info->place_at, &item->key->place, sizeof item->key->place);
        read_scope(r, key->of, item->value, item->key->place, one);
        count++;
    }
    keep_array(key, list, count, into);
}

static void read_list(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    const struct scope_info *info = &scopes[key->of];
    if (!is_list(r, key, node))
        return;
    char *list = read_take(r, node->count * info->size);
    uint32_t count = 0;
    for (struct tree_item *item = node->items; item != NULL && list != NULL; item = item->next)
        read_scope(r, key->of, item->value, item->value->place, list + info->size * count++);
    keep_array(key, list, count, into);
}

/* A map of its own scope, or the one text that stands for its obvious key. */
static void read_block(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    const struct key *bare = key->bare == NULL ? NULL : key_find(key->of, bytes_of_text(key->bare));
    into = member(into, key->at);
    bool is_bare = node->kind == TREE_TEXT || (bare != NULL && bare->type == KEY_COMMAND && node->kind == TREE_LIST);
    if (!is_bare) {
        read_scope(r, key->of, node, node->place, into);
    } else if (bare != NULL) {
        for (const struct key *other = key_next(key->of, NULL); other != NULL; other = key_next(key->of, other))
            if (other->fallback != NULL)
                read_fallback(r, other, member(into, other->at));
        if (bare->type == KEY_COMMAND)
            read_command(r, bare, node, into);
        else
            read_scalar(r, bare, node, member(into, bare->at));
    } else if (node->text.size == 0 && key_next(key->of, NULL) == NULL) {
        return; /* `stdin:` alone says all there is to say */
    } else {
        read_scope(r, key->of, node, node->place, into);
    }
}

static void read_retention(struct reading *r, const struct key *key, const struct tree_node *node,
                           struct config_retention *retention)
{
    if (node->kind != TREE_MAP) {
        read_scalar(r, key, node, retention);
        return;
    }
    retention->kind = CONFIG_RETAIN_LIMITS;
    if (node->count == 0)
        message_error(r->messages, node->place, "'%s' is empty; such as: %s", key->name, key->example);
    else
        read_scope(r, key->of, node, node->place, retention);
}

static void read_durability(struct reading *r, const struct key *key, const struct tree_node *node,
                            struct config_durability *durability)
{
    if (node->kind != TREE_MAP) {
        read_scalar(r, key, node, durability);
        return;
    }
    durability->kind = CONFIG_DURABILITY_INTERVAL;
    read_scope(r, key->of, node, node->place, durability);
}

static void read_value(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    switch (key->type) {
    case KEY_EXPR:
        read_expr(r, key->what, NULL, node, member(into, key->at));
        break;
    case KEY_SCRIPT:
        read_script(r, key->what, node, member(into, key->at));
        break;
    case KEY_EXPRS:
        read_exprs(r, key, node, into);
        break;
    case KEY_COLUMNS:
        (node->kind == TREE_LIST ? read_column_list : read_exprs)(r, key, node, into);
        break;
    case KEY_FIELDS:
        read_fields(r, key, node, into);
        break;
    case KEY_BLOCK:
        read_block(r, key, node, into);
        break;
    case KEY_RETENTION:
        read_retention(r, key, node, member(into, key->at));
        break;
    case KEY_DURABILITY:
        read_durability(r, key, node, member(into, key->at));
        break;
    case KEY_TEXT_OR_EXPR:
        read_text_or_expr(r, key, NULL, node, member(into, key->at));
        break;
    case KEY_HEADERS:
        read_headers(r, key, node, into);
        break;
    case KEY_DATA:
        read_data(r, key, node, member(into, key->at));
        break;
    case KEY_OUTCOMES:
        read_outcomes(r, key, node, member(into, key->at));
        break;
    case KEY_COMMAND:
        read_command(r, key, node, into);
        break;
    case KEY_NAMED:
        read_named(r, key, node, into);
        break;
    case KEY_LIST:
        read_list(r, key, node, into);
        break;
    default:
        read_scalar(r, key, node, member(into, key->at));
        break;
    }
}

/* ---- a map of a scope ------------------------------------------------------------------------------------------------------ */

struct scope_state {
    uint64_t seen;          /* keys that stand there, or that a misspelt one meant */
    const struct key *kind; /* the first kind */
    bool unknown;
    bool cut; /* the value before ended at a comma, and was not whole: {key: f(a, b)} */
};

static void read_pair(struct reading *r, enum scope scope, const struct tree_item *item, struct scope_state *state,
                      const struct key *present, void *into)
{
    const struct key *key = key_find(scope, item->key->text);
    if (key == NULL && state->cut && is_odd(item))
        return;
    if (key == NULL) {
        state->unknown = true;
        state->seen |= say_unknown(r, scope, item, present);
        return;
    }
    state->seen |= bit_of(key);
    if (key->kind && state->kind != NULL) {
        message_error(r->messages, item->key->place, "'%s' beside '%s': %s is exactly one of them%s", key->name,
                      state->kind->name, scopes[scope].noun, scope == IN_STAGE ? "; a new stage begins with '- '" : "");
        return;
    }
    if (key->kind) { /* its struct begins with which it is */
        state->kind = key;
        *(int *)into = key->first;
    }
    uint32_t error_count = r->messages->error_count;
    read_value(r, key, item->value, into);
    state->cut = key->type == KEY_EXPR && r->messages->error_count > error_count;
}

static void finish_scope(struct reading *r, enum scope scope, const struct scope_state *state,
                         struct config_place place, void *into)
{
    char list[240];
    list_keys(scope, true, list, sizeof list);
    if (list[0] != '\0' && state->kind == NULL && !state->unknown)
        message_error(r->messages, place, "%s needs exactly one of: %s", scopes[scope].noun, list);
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key)) {
        if ((state->seen & bit_of(key)) != 0)
            continue;
        if (key->required)
            message_error(r->messages, place, "%s needs '%s', such as: %s", scopes[scope].noun, key->name,
                          key->example);
        else if (key->fallback != NULL)
            read_fallback(r, key, member(into, key->at));
        else if (key->type == KEY_BLOCK && key->of == IN_NODE)
            read_scope(r, key->of, NULL, place, into);
    }
}

static void say_no_map(struct reading *r, enum scope scope, const struct tree_node *node)
{
    const struct scope_info *info = &scopes[scope];
    const struct key *kind = node->kind == TREE_TEXT ? key_find(scope, node->text) : NULL;
    if (kind != NULL)
        message_error(r->messages, node->place, "%s is a map, not a text; such as: %s", info->noun, kind->example);
    else if (scope == IN_STAGE && node->kind == TREE_TEXT)
        message_error(r->messages, node->place, "a stage is a map such as 'filter: event.n > 0', not a text%s",
                      node->text.size == 0 ? "" : ": is ': ' missing, or a blank behind ':'?");
    else
        message_error(r->messages, node->place, "%s is a map, not %s", info->noun,
                      node->kind == TREE_TEXT && node->text.size == 0 ? "nothing" : counted_noun(node));
}

void read_scope(struct reading *r, enum scope scope, const struct tree_node *node, struct config_place place,
                void *into)
{
    struct scope_state state = { 0 };
    if (scopes[scope].place_at != NO_MEMBER && scopes[scope].name_at == NO_MEMBER)
        memcpy(member(into, scopes[scope].place_at), &place, sizeof place);
    if (node != NULL && node->kind != TREE_MAP) {
        say_no_map(r, scope, node);
        return;
    }
    const struct key *present = NULL; /* its kind */
    for (struct tree_item *item = node == NULL ? NULL : node->items; item != NULL; item = item->next) {
        const struct key *key = key_find(scope, item->key->text);
        present = present == NULL && key != NULL && key->kind ? key : present;
    }
    for (struct tree_item *item = node == NULL ? NULL : node->items; item != NULL && !r->starved; item = item->next)
        if (!is_ignored(scope, item->key->text))
            read_pair(r, scope, item, &state, present, into);
    if (!r->starved)
        finish_scope(r, scope, &state, place, into);
}
