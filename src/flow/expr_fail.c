/* expr_fail.c - what is said when an expression does not compile, or fails: where, which name was nil, the source text. */
#include "flow/expr_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN_SIZE_MAX 200 /* of the source text, in messages */
#define GUILTY_MAX     3u  /* names listed where it may be any of several */

/* ---- where --------------------------------------------------------------------------------------------------------- */

/* A text of several lines stands indented in its file; there the line is known, and the column only in the first. */
void fail_place(const struct expr *expr, uint32_t at, uint32_t *ret_line, uint32_t *ret_column)
{
    uint32_t line = expr->place.line, column = expr->place.column + at;
    must(at <= expr->size);
    for (uint32_t i = 0; i < at; i++)
        if (expr->text[i] == '\n') {
            line++;
            column = expr->place.column;
        } else if (line > expr->place.line && expr->script) {
            column++; /* a script is a block of text: each line is indented as the first is */
        }
    *ret_line = line;
    *ret_column = column;
}

enum neap_status fail_compile(struct expr *expr, uint32_t at, struct error *err, const char *format, ...)
{
    char message[MESSAGE_SIZE];
    uint32_t line, column;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    fail_place(expr, at, &line, &column);
    bool named = expr->place.file != NULL;
    return error_set(err, NEAP_BADINPUT, "%s%s%u:%u: %s", named ? expr->place.file : "", named ? ":" : "", line, column,
                     message);
}

/* ---- names that are none --------------------------------------------------------------------------------------------- */

/* Insertions, deletions, changes and swaps of neighbours that make one word of the other; at most 32 letters each. */
static uint32_t distance(struct bytes a, const char *b_text)
{
    uint32_t rows[3][34];
    struct bytes b = bytes_of_text(b_text);
    if (a.size > 32 || b.size > 32)
        return UINT32_MAX;
    for (uint32_t j = 0; j <= b.size; j++)
        rows[0][j] = j;
    for (uint32_t i = 1; i <= a.size; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *higher = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= b.size; j++) {
            uint32_t best = above[j - 1] + (a.at[i - 1] != b.at[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] && higher[j - 2] + 1 < best)
                best = higher[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a.size % 3][b.size];
}

static const char *nearest(struct bytes name, const char *const *names, uint32_t *best)
{
    const char *found = NULL;
    for (; *names != NULL; names++) {
        uint32_t far = distance(name, *names);
        if (far < *best && far < name.size) {
            *best = far;
            found = *names;
        }
    }
    return found;
}

static bool is_one_of(struct bytes name, const char *const *names)
{
    while (*names != NULL && !bytes_equal(name, bytes_of_text(*names)))
        names++;
    return *names != NULL;
}

const char *fail_unknown(struct bytes name, const char *library, struct arena *arena)
{
    static const char *const outside[] = {
        "os",           "io",           "debug",  "require",  "package",        "print",
        "load",         "loadstring",   "dofile", "loadfile", "collectgarbage", "coroutine",
        "setmetatable", "getmetatable", "rawget", "rawset",   "rawequal",       "rawlen",
        "xpcall",       "warn",         "_G",     "_ENV",     "_VERSION",       "random",
        "randomseed",   "dump",         NULL
    };
    static const char *const nothing[] = { "null", "None", "undefined", "NULL", NULL };
    static const char *const words[] = { "nil", "true", "false", "not", "and", "or", NULL };
    const char *root_list[ROOT_COUNT + 1] = { NULL };
    memcpy(root_list, root_names, sizeof(root_names));
    uint32_t best = (uint32_t)name.size < 6 ? 2 : 3; /* further away it is another word */
    const char *near = NULL, *next;
    const char *dot = library != NULL ? "." : "", *before = library != NULL ? library : "";
    const char *said = NULL;
    if (is_one_of(name, outside))
        said = arena_text(arena,
                          "'%s%s%.*s' is not in reach: an expression has no clock, chance or I/O, and keeps nothing",
                          before, dot, (int)name.size, name.at);
    else if (library == NULL && is_one_of(name, nothing))
        said = arena_text(arena, "unknown name '%.*s'; did you mean 'nil'?", (int)name.size, name.at);
    if (library != NULL) {
        struct lexer lexer = { library, (uint32_t)strlen(library), 0 };
        struct token token;
        token_next(&lexer, &token);
        near = nearest(name, library_fields(&lexer, &token), &best);
    } else {
        near = nearest(name, root_list, &best);
        next = nearest(name, words, &best);
        near = next != NULL ? next : near;
        next = nearest(name, library_names, &best);
        near = next != NULL ? next : near;
    }
    if (said == NULL && near != NULL)
        said = arena_text(arena, "unknown name '%s%s%.*s'; did you mean '%s%s%s'?", before, dot, (int)name.size,
                          name.at, before, dot, near);
    else if (said == NULL && library == NULL)
        said = arena_text(arena, "unknown name '%.*s'; a field is written event.%.*s", (int)name.size, name.at,
                          (int)name.size, name.at);
    else if (said == NULL)
        said = arena_text(arena, "unknown name '%s.%.*s'", library, (int)name.size, name.at);
    return said != NULL ? said : "unknown name";
}

/* ---- failing at an event ----------------------------------------------------------------------------------------------- */

/* Of a script one line is shown, by whoever knows which. */
static int shown_size(const struct expr *expr)
{
    return expr->size > SHOWN_SIZE_MAX ? SHOWN_SIZE_MAX : (int)expr->size;
}

/* Where the first word of that line of the text is. */
static uint32_t line_at(const struct expr *expr, uint32_t line)
{
    uint32_t at = 0;
    for (; line > 1 && at < expr->size; at++)
        line -= expr->text[at] == '\n';
    while (at < expr->size && (expr->text[at] == ' ' || expr->text[at] == '\t'))
        at++;
    return at;
}

static enum neap_status give_up(const struct expr *expr, uint32_t at, const char *message, struct failure *failure)
{
    if (failure == NULL)
        return NEAP_BADINPUT;
    *failure = (struct failure){ .reason = expr->script ? "lua" : "expression",
                                 .stage = expr->place.what,
                                 .message = bytes_of_text(message != NULL ? message : "the expression failed"),
                                 .file = expr->place.file,
                                 .status = NEAP_BADINPUT };
    fail_place(expr, at, &failure->line, &failure->column);
    return NEAP_BADINPUT;
}

static struct bytes name_of(const struct expr *expr, const struct trouble *trouble)
{
    const struct path *path = trouble->path;
    uint32_t end = trouble->step_count == 0 ? path->root_end : path->steps[trouble->step_count - 1].end;
    return (struct bytes){ (const uint8_t *)expr->text + path->start, end - path->start };
}

enum neap_status fail_trouble(const struct expr *expr, const struct trouble *trouble, struct arena *arena,
                              struct failure *failure)
{
    struct bytes name = name_of(expr, trouble);
    bool nil = strcmp(trouble->what, "nil") == 0;
    const char *message = arena_text(arena, "%.*s is %s%s: %.*s", (int)name.size, name.at, trouble->what,
                                     nil ? "" : " and has no fields", shown_size(expr), expr->text);
    return give_up(expr, trouble->path->start, message, failure);
}

/* The name in "... a nil value (field 'addd')"; .at NULL: Lua gives none. */
static struct bytes name_in(const char *message)
{
    const char *open = strstr(message, " '"), *bracket = strchr(message, '(');
    if (open == NULL || bracket == NULL || open < bracket)
        return (struct bytes){ NULL, 0 };
    const char *close = strchr(open + 2, '\'');
    return (struct bytes){ (const uint8_t *)open + 2, close != NULL ? (size_t)(close - open - 2) : 0 };
}

static bool speaks_of_nil(const char *message)
{
    static const char *const ways[] = { "a nil value",    "with nil", "nil with",
                                        "two nil values", "got nil",  "got no value" };
    for (size_t i = 0; i < COUNT_OF(ways); i++)
        if (strstr(message, ways[i]) != NULL)
            return true;
    return false;
}

static bool is_nil(const struct expr *expr, const struct path *path, struct trouble *ret_trouble)
{
    struct operand operand;
    enum verdict verdict = path_answer(expr->machine, path, &operand, ret_trouble);
    if (verdict == VERDICT_DONE && operand.kind == OPERAND_NIL) {
        *ret_trouble = (struct trouble){ path, path->step_count, "nil" };
        return true;
    }
    return verdict == VERDICT_FAIL;
}

static bool last_name_is(const struct trouble *trouble, struct bytes name)
{
    if (trouble->step_count == 0)
        return bytes_equal(name, bytes_of_text(root_names[trouble->path->root]));
    return bytes_equal(name, trouble->path->steps[trouble->step_count - 1].name);
}

/* Lua names a nil by its last name, or not at all: the paths of the text are asked which of them it was. */
static enum neap_status fail_nil(const struct expr *expr, const char *message, struct arena *arena,
                                 struct failure *failure)
{
    struct trouble trouble, guilty[GUILTY_MAX];
    struct bytes name = name_in(message);
    uint32_t count = 0;
    for (uint32_t i = 0; i < expr->path_count; i++) {
        if (!is_nil(expr, &expr->paths[i], &trouble))
            continue;
        if (name.at != NULL && last_name_is(&trouble, name))
            return fail_trouble(expr, &trouble, arena, failure);
        if (count < GUILTY_MAX)
            guilty[count++] = trouble;
    }
    if (name.at != NULL || count == 0)
        return give_up(expr, 0, arena_text(arena, "%s: %.*s", message, shown_size(expr), expr->text), failure);
    struct bytes names[GUILTY_MAX] = { { NULL, 0 } };
    for (uint32_t i = 0; i < count; i++)
        names[i] = name_of(expr, &guilty[i]);
    const char *said = arena_text(arena, "%s%.*s%s%.*s%s%.*s is nil (%s): %.*s", count > 1 ? "one of " : "",
                                  (int)names[0].size, names[0].at, count > 1 ? ", " : "", (int)names[1].size,
                                  count > 1 ? (const char *)names[1].at : "", count > 2 ? ", " : "", (int)names[2].size,
                                  count > 2 ? (const char *)names[2].at : "", message, shown_size(expr), expr->text);
    return give_up(expr, guilty[0].path->start, said, failure);
}

/* What is shown of it from there. `line` 0: not known, nothing. */
static struct bytes line_of(const struct expr *expr, uint32_t at, uint32_t line)
{
    size_t size = line == 0 ? 0 : strcspn(expr->text + at, "\n");
    return (struct bytes){ (const uint8_t *)expr->text + at, size > SHOWN_SIZE_MAX ? SHOWN_SIZE_MAX : size };
}

/* "attempt to index a nil value (field 'a'): local x = event.a.b, in price (line 4), process (line 9)" */
static enum neap_status fail_script(const struct expr *expr, const char *message, struct arena *arena,
                                    struct failure *failure)
{
    const struct expr_machine *m = expr->machine;
    uint32_t line = m->trace_line;
    if (strncmp(message, "expr:", 5) == 0) {
        uint32_t said = (uint32_t)strtoul(message + 5, NULL, 10);
        const char *rest = strchr(message + 5, ' ');
        line = said > 0 ? said : line;
        message = rest != NULL ? rest + 1 : message;
    }
    uint32_t at = line_at(expr, line);
    struct bytes shown = line_of(expr, at, line);
    return give_up(expr, at,
                   arena_text(arena, "%s%s%.*s%s", message, shown.size > 0 ? ": " : "", (int)shown.size, shown.at,
                              m->trace),
                   failure);
}

enum neap_status fail_lua(const struct expr *expr, const char *message, struct arena *arena, struct failure *failure)
{
    if (message == NULL)
        message = "it ended with an error that is no text";
    if (expr->script)
        return fail_script(expr, message, arena, failure);
    if (strncmp(message, "expr:", 5) == 0 && strchr(message, ' ') != NULL)
        message = strchr(message, ' ') + 1;
    if (speaks_of_nil(message))
        return fail_nil(expr, message, arena, failure);
    return give_up(expr, 0, arena_text(arena, "%s: %.*s", message, shown_size(expr), expr->text), failure);
}

/* What the machine's flags say; NEAP_OK: nothing. */
enum neap_status fail_limit(const struct expr *expr, struct arena *arena, struct failure *failure)
{
    const struct expr_machine *m = expr->machine;
    const char *said = NULL;
    uint32_t at = expr->script ? line_at(expr, m->trace_line) : 0;
    struct bytes line = line_of(expr, at, m->trace_line);
    int size = expr->script ? (int)line.size : shown_size(expr);
    const char *colon = size > 0 ? ": " : ""; /* nobody knows which line of a script was to have the last byte */
    if (m->no_room) {
        give_up(expr, at, "no room left in the batch", failure);
        if (failure != NULL)
            failure->status = NEAP_NOMEM;
        return NEAP_NOMEM;
    }
    if (m->stop == STOP_INSTRUCTIONS)
        said = arena_text(arena, "stopped: it takes more than %u instructions%s%.*s", m->instruction_count_max, colon,
                          size, expr->text + at);
    else if (m->stop != STOP_NONE)
        said = arena_text(arena, "stopped: it takes more than %zu bytes of memory%s%.*s",
                          m->stop == STOP_CHURN ? m->churn_size_max : m->memory_size_max, colon, size, expr->text + at);
    else if (m->too_large || m->too_deep)
        said = arena_text(arena, "its value is too %s%s%.*s", m->too_large ? "large" : "deep", colon, size,
                          expr->text + at);
    else
        return NEAP_OK;
    give_up(expr, at, said, failure);
    if (m->stop == STOP_NONE && failure != NULL) {
        failure->reason = "too_large";
        failure->status = NEAP_TOOLARGE;
    }
    return m->stop == STOP_NONE ? NEAP_TOOLARGE : NEAP_BADINPUT;
}
