/* value.c - one text becomes one value: ${...} put in, units read, names and choices checked. */
#include "base/must.h"
#include "config/limits.h"
#include "config/messages.h"
#include "config/read.h"
#include "config/traps.h"
#include "config/units.h"
#include "flow/script.h"
#include "log/log.h"
#include <stdio.h>
#include <stdlib.h>

void *read_take(struct reading *r, size_t size)
{
    void *room = arena_zero(r->arena, size == 0 ? 1 : size);
    r->starved = r->starved || room == NULL;
    return room;
}

static const char *keep_text(struct reading *r, struct bytes text)
{
    struct bytes kept = arena_copy(r->arena, text);
    r->starved = r->starved || kept.at == NULL;
    return (const char *)kept.at;
}

/* ---- ${NAME}, ${NAME:-default}, ${file:PATH} ----------------------------------------------------------------------- */

static struct bytes part(struct bytes of, size_t from, size_t to)
{
    must(from <= to && to <= of.size);
    return (struct bytes){ of.at + from, to - from };
}

static bool starts_with(struct bytes text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && memcmp(text.at, with, size) == 0;
}

static bool is_environment_name(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.size > 0;
}

/* `!text` is a tag on an empty value: that was said when the tree was built. */
static bool is_tag(const struct reading *r, const struct tree_node *node)
{
    return node->text.size == 0 && node->start < r->text.size && r->text.at[node->start] == '!';
}

/* Lines and columns of the text are those of the file: nothing was folded, unescaped or put together. */
static bool stands_as_written(const struct reading *r, const struct tree_node *node)
{
    if (node->style == TREE_BLOCK)
        return r->text.at[node->start] == '|';
    return memchr(node->text.at, '\n', node->text.size) == NULL &&
           node->end - node->start == node->text.size + (node->style == TREE_QUOTED ? 2 : 0);
}

/* Goes with the text from one `${` to the next. Where that cannot be known, it stays at the text's begin. */
struct inside {
    struct config_place place;
    size_t at;
    bool known;
};

static void inside_move(struct inside *i, struct bytes text, size_t to)
{
    for (; i->known && i->at < to; i->at++)
        i->place.column += (text.at[i->at] & 0xc0) != 0x80;
}

static bool put_environment(struct reading *r, struct bytes inner, struct config_place place, struct writer *w)
{
    size_t name_size = 0;
    while (name_size < inner.size && inner.at[name_size] != ':')
        name_size++;
    struct bytes name = part(inner, 0, name_size), rest = part(inner, name_size, inner.size);
    if (!is_environment_name(name) || (rest.size > 0 && !starts_with(rest, ":-"))) {
        message_error(r->messages, place, "'${%s}' is none of ${NAME}, ${NAME:-default}, ${file:PATH}",
                      shown(inner).text);
        return false;
    }
    const char *name_text = keep_text(r, name);
    const char *value = r->io == NULL || name_text == NULL ? NULL : io_environment(r->io, name_text);
    if (value != NULL && (value[0] != '\0' || rest.size == 0)) {
        write_bytes(w, bytes_of_text(value));
        return true;
    }
    if (rest.size > 0) {
        write_bytes(w, part(rest, 2, rest.size));
        return true;
    }
    message_error(r->messages, place, "environment variable %s is not set; set it, or write ${%s:-default}",
                  shown(name).text, shown(name).text);
    return false;
}

/* A secret in a file of its own: its text without the last line break. */
static bool put_file(struct reading *r, struct bytes inner, struct config_place place, struct writer *w)
{
    struct io_file *file = NULL;
    struct io_file_info info;
    struct error err = { 0 };
    const char *path = read_path(r, inner);
    size_t size = 0;
    enum neap_status status = NEAP_NOTFOUND;
    if (r->io != NULL && path != NULL) {
        status = io_path_info(r->io, path, &info);
        if (status == NEAP_OK && info.kind != IO_KIND_FILE)
            status = NEAP_MISUSE;
        if (status == NEAP_OK)
            status = io_file_open(r->io, path, IO_READ, &file, &err);
    }
    if (status == NEAP_OK && info.size > (uint64_t)(w->end - w->at))
        status = NEAP_TOOLARGE;
    if (status == NEAP_OK)
        status = io_file_read(file, w->at, (size_t)(w->end - w->at), 0, &size);
    io_file_close(&file);
    if (status != NEAP_OK) {
        message_error(r->messages, place, "'${file:%s}': %s", shown(inner).text,
                      status == NEAP_NOTFOUND ? "no such file"
                      : status == NEAP_MISUSE ? "not a file"
                      : err.text[0] != '\0'   ? err.text
                                              : status_text(status));
        return false;
    }
    if (size > 0 && w->at[size - 1] == '\n')
        size--;
    if (size > 0 && w->at[size - 1] == '\r')
        size--;
    w->at += size;
    return true;
}

static bool put_in(struct reading *r, const struct tree_node *node, struct writer *w)
{
    struct bytes text = node->text;
    struct inside inside = { node->place, 0, node->style != TREE_BLOCK && stands_as_written(r, node) };
    bool good = true;
    for (size_t at = 0; at < text.size && !w->full;) {
        const uint8_t *begin = memmem(text.at + at, text.size - at, "${", 2);
        size_t from = begin == NULL ? text.size : (size_t)(begin - text.at);
        write_bytes(w, part(text, at, from));
        if (begin == NULL)
            break;
        inside_move(&inside, text, from);
        const uint8_t *end = memchr(begin, '}', text.size - from);
        if (end == NULL) {
            message_error(r->messages, inside.place, "'${' without its '}'");
            return false;
        }
        struct bytes inner = part(text, from + 2, (size_t)(end - text.at));
        bool file = starts_with(inner, "file:") && !starts_with(inner, "file:-");
        good &= file ? put_file(r, part(inner, 5, inner.size), inside.place, w)
                     : put_environment(r, inner, inside.place, w);
        at = (size_t)(end - text.at) + 1;
    }
    return good;
}

bool read_text(struct reading *r, const struct key *key, const struct tree_node *node, struct bytes *ret_text)
{
    if (node->kind != TREE_TEXT) {
        message_error(r->messages, node->place, "'%s' takes one value, not a %s%s%s", key->name,
                      node->kind == TREE_LIST ? "list" : "map",
                      key->example == NULL ? "" : "; such as: ", key->example == NULL ? "" : key->example);
        return false;
    }
    struct writer w = writer_of(r->scratch, CONFIG_TEXT_SIZE_MAX);
    if (!put_in(r, node, &w))
        return false;
    if (w.full || memchr(w.start, '\0', writer_size(&w)) != NULL) {
        message_error(r->messages, node->place, "'%s' %s", key->name,
                      w.full ? "is longer than a value can be" : "has a NUL character in it");
        return false;
    }
    if (writer_size(&w) == 0 && (node->style == TREE_PLAIN || key->type != KEY_TEXT)) {
        if (is_tag(r, node))
            return false;
        message_error(r->messages, node->place, "'%s' has no value%s", key->name, trap_of_expression(r->text, node));
        return false;
    }
    const char *kept = keep_text(r, writer_bytes(&w));
    *ret_text = (struct bytes){ (const uint8_t *)kept, kept == NULL ? 0 : writer_size(&w) };
    return kept != NULL;
}

/* ---- types ---------------------------------------------------------------------------------------------------------- */

const char *name_problem(struct bytes name)
{
    bool whole = strlen((const char *)name.at) == name.size;
    if (whole && log_name_check((const char *)name.at, NULL) == NEAP_OK)
        return NULL;
    if (name.size == 0 || name.size > LOG_NAME_SIZE_MAX)
        return "a name has 1 to 249 letters";
    return "a name has only letters (a to z), digits, '.', '_' and '-', and is not '.' or '..'";
}

const char *read_path(struct reading *r, struct bytes path)
{
    bool absolute = path.size > 0 && path.at[0] == '/';
    struct bytes folder = absolute ? (struct bytes){ path.at, 0 } : bytes_of_text(r->folder);
    char *joined = read_take(r, folder.size + path.size + 3);
    if (joined == NULL)
        return NULL;
    char *to = joined;
    if (absolute || (folder.size > 0 && folder.at[0] == '/'))
        *to++ = '/';
    struct bytes both[2] = { folder, path };
    for (size_t i = 0; i < 2; i++) {
        for (size_t at = 0; at < both[i].size;) {
            size_t size = 0;
            while (at + size < both[i].size && both[i].at[at + size] != '/')
                size++;
            if (size > 1 || (size == 1 && both[i].at[at] != '.')) {
                if (to != joined && to[-1] != '/')
                    *to++ = '/';
                memcpy(to, both[i].at + at, size);
                to += size;
            }
            at += size + 1;
        }
    }
    if (to == joined)
        *to++ = '.';
    *to = '\0';
    return joined;
}

static bool parse_choice(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                         int *ret_choice)
{
    struct nearest nearest = { .wanted = text };
    struct bytes choice;
    char list[120], words[8][24];
    struct writer w = writer_of(list, sizeof list - 1);
    for (uint32_t i = 0; (choice = choice_at(key->choices, i)).at != NULL; i++) {
        if (bytes_equal(text, choice)) {
            *ret_choice = key->first + (int)i;
            return true;
        }
        must(i < COUNT_OF(words) && choice.size < sizeof words[i]);
        memcpy(words[i], choice.at, choice.size);
        words[i][choice.size] = '\0';
        nearest_offer(&nearest, words[i]);
        write_bytes(&w, i == 0 ? BYTES("") : BYTES(", "));
        write_bytes(&w, choice);
    }
    list[writer_size(&w)] = '\0';
    if (nearest.word != NULL)
        message_error(r->messages, place, "unknown %s '%s'; did you mean '%s'?", key->name, shown(text).text,
                      nearest.word);
    else
        message_error(r->messages, place, "unknown %s '%s'; it is one of: %s", key->name, shown(text).text, list);
    return false;
}

/* What a text says as a value of the key's type, stored as that type. */
static bool store(struct reading *r, const struct key *key, struct bytes text, struct config_place place, void *into)
{
    uint64_t number = 0;
    int choice = 0;
    const char *problem;
    switch (key->type) {
    case KEY_TEXT:
        memcpy(into, &text.at, sizeof text.at);
        return true;
    case KEY_TEXT_OR_EXPR:
        *(struct config_text *)into = (struct config_text){ .text = (const char *)text.at, .place = place };
        return true;
    case KEY_PATH: {
        const char *path = read_path(r, text);
        memcpy(into, &path, sizeof path);
        return path != NULL;
    }
    case KEY_NAME:
        problem = name_problem(text);
        if (problem == NULL)
            memcpy(into, &text.at, sizeof text.at);
        else
            message_error(r->messages, place, "'%s' cannot be a name: %s", shown(text).text, problem);
        return problem == NULL;
    case KEY_BOOL:
        *(bool *)into = bytes_equal(text, BYTES("true"));
        if (*(bool *)into || bytes_equal(text, BYTES("false")))
            return true;
        message_error(r->messages, place, "'%s' is true or false, not '%s'", key->name, shown(text).text);
        return false;
    case KEY_SIZE:
    case KEY_DURATION:
    case KEY_DISK:
    case KEY_RETENTION:
    case KEY_DURABILITY:
    case KEY_SHARE:
    case KEY_RATE:
    case KEY_COUNTS:
    case KEY_TIMES:
        return units_read(r, key, text, place, into);
    case KEY_COUNT:
        if (!units_number(text, key->most, &number) || number < key->least) {
            if (key->least == key->most)
                message_error(r->messages, place, "'%s' is %llu in this version, not '%s'", key->name,
                              (unsigned long long)key->least, shown(text).text);
            else
                message_error(r->messages, place, "'%s' is a number from %llu to %llu, not '%s'", key->name,
                              (unsigned long long)key->least, (unsigned long long)key->most, shown(text).text);
            return false;
        }
        if (key->at != NO_MEMBER)
            *(uint32_t *)into = (uint32_t)number;
        return true;
    case KEY_CHOICE:
        if (!parse_choice(r, key, text, place, &choice))
            return false;
        if (key->size == sizeof(bool))
            *(bool *)into = choice != 0;
        else
            *(int *)into = choice;
        return true;
    default:
        must(false); /* only scalar types come here */
        return false;
    }
}

bool read_scalar(struct reading *r, const struct key *key, const struct tree_node *node, void *into)
{
    struct bytes text;
    return read_text(r, key, node, &text) && store(r, key, text, node->place, into);
}

void read_fallback(struct reading *r, const struct key *key, void *into)
{
    if (key->fallback != NULL) {
        bool good = store(r, key, bytes_of_text(key->fallback), (struct config_place){ 1, 1 }, into);
        must(good || r->starved);
    }
}

/* ---- expressions ------------------------------------------------------------------------------------------------------ */

/* "FILE:LINE:COLUMN: message" of expr_new() taken apart again. */
static const char *split_place(const struct reading *r, const char *text, struct config_place *place)
{
    size_t file_size = strlen(r->file);
    if (strncmp(text, r->file, file_size) != 0 || text[file_size] != ':')
        return text;
    char *end;
    unsigned long line = strtoul(text + file_size + 1, &end, 10), column = *end == ':' ? strtoul(end + 1, &end, 10) : 0;
    if (line == 0 || column == 0 || strncmp(end, ": ", 2) != 0)
        return text;
    *place = (struct config_place){ (uint32_t)line, (uint32_t)column };
    return end + 2;
}

/* What YAML cut off leaves an open quote, an open bracket or an operator with nothing behind it. */
static bool looks_cut(const char *message)
{
    return strstr(message, "<eof>") != NULL || strstr(message, "unfinished") != NULL;
}

/* ${NAME} is for values; in an expression it is a text like any other, which is seldom meant. */
static bool has_put_in(const struct tree_node *node)
{
    return memmem(node->text.at, node->text.size, "${", 2) != NULL;
}

static bool asks_for_truth(const char *what)
{
    return strcmp(what, "filter") == 0 || strcmp(what, "if") == 0;
}

/* False: it does not compile, which is said. */
static bool compiles(struct reading *r, const char *label, const struct tree_node *node, enum neap_status status,
                     const struct error *err)
{
    r->starved = r->starved || status == NEAP_NOMEM;
    if (status == NEAP_OK || r->starved)
        return status == NEAP_OK;
    struct config_place place = node->place;
    const char *message = split_place(r, err->text, &place);
    message_error(r->messages, stands_as_written(r, node) ? place : node->place, "%s: %s%s", label, message,
                  looks_cut(message) ? trap_of_expression(r->text, node) : "");
    return false;
}

static bool compile_script(struct reading *r, const char *label, const struct tree_node *node)
{
    struct expr_place at = { r->file, node->place.line, node->place.column, label };
    struct script *script = NULL;
    struct error err = { 0 };
    enum neap_status status = script_new(r->machine, (const char *)node->text.at, &at, &script, &err);
    script_free(&script);
    return compiles(r, label, node, status, &err);
}

static bool compile(struct reading *r, const char *what, const char *label, const struct tree_node *node)
{
    struct expr_place at = { r->file, node->place.line, node->place.column, label };
    struct expr *expr = NULL;
    struct error err = { 0 };
    enum neap_status status = expr_new(r->machine, (const char *)node->text.at, &at, &expr, &err);
    if (!compiles(r, label, node, status, &err))
        return false;
    uint32_t hint = expr_hint(expr);
    expr_free(&expr);
    if (asks_for_truth(what) && (hint & EXPR_HINT_BARE_PATH) != 0)
        message_warning(r->messages, node->place,
                        "'%s' is true for 0 and \"\" too: only false and nil are false; compare it with something",
                        shown(node->text).text);
    else if (asks_for_truth(what) && (hint & EXPR_HINT_CONSTANT) != 0)
        message_warning(r->messages, node->place, "'%s' is the same for every event", shown(node->text).text);
    return true;
}

/* A text that may be one: of the code itself it says nothing. */
static bool is_code(struct reading *r, const char *label, const char *noun, const struct tree_node *node)
{
    if (node->kind != TREE_TEXT) {
        message_error(r->messages, node->place, "%s takes %s%s, not a %s%s", label, noun[0] == 'e' ? "an " : "a ", noun,
                      node->kind == TREE_LIST ? "list" : "map",
                      node->in_flow || r->text.at[node->start] == '{' || r->text.at[node->start] == '['
                          ? "; quote one that begins with '{' or '['"
                          : "");
        return false;
    }
    if (is_tag(r, node))
        return false;
    if (node->text.size == 0 || memchr(node->text.at, '\0', node->text.size) != NULL) {
        message_error(r->messages, node->place, "%s has no %s%s", label, noun,
                      node->text.size > 0 ? " but a NUL character" : trap_of_expression(r->text, node));
        return false;
    }
    if (has_put_in(node))
        message_warning(r->messages, node->place, "'${NAME}' is not put into %ss: write env.NAME", noun);
    return true;
}

bool read_script(struct reading *r, const char *what, const struct tree_node *node, struct config_expr *ret_script)
{
    if (!is_code(r, what, "script", node) || !compile_script(r, what, node))
        return false;
    *ret_script = (struct config_expr){ keep_text(r, node->text), node->place };
    return ret_script->text != NULL;
}

bool read_expr(struct reading *r, const char *what, const char *name, const struct tree_node *node,
               struct config_expr *ret_expr)
{
    struct shown named = shown(name == NULL ? (struct bytes){ NULL, 0 } : bytes_of_text(name));
    char label[sizeof named.text + 40];
    snprintf(label, sizeof label, "%s%s%s", what, name == NULL ? "" : " ", named.text);
    if (!is_code(r, label, "expression", node) || !compile(r, what, label, node))
        return false;
    *ret_expr = (struct config_expr){ keep_text(r, node->text), node->place };
    return ret_expr->text != NULL;
}
