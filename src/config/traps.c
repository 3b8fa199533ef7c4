/* traps.c - YAML's traps, told by what stands in the file where it broke. */
#include "config/traps.h"
#include "base/must.h"
#include <stdio.h>

static uint8_t byte_at(struct bytes text, size_t at)
{
    return at < text.size ? text.at[at] : '\n';
}

static bool says(const char *problem, const char *words)
{
    return problem != NULL && strstr(problem, words) != NULL;
}

/* The place lies behind a closing quote, with more text on the line: filter: "a" == event.b */
static bool follows_quote(const struct trap *t)
{
    size_t at = t->at;
    while (at > 0 && (t->text.at[at - 1] == ' ' || t->text.at[at - 1] == '\t'))
        at--;
    return at > 0 && (t->text.at[at - 1] == '"' || t->text.at[at - 1] == '\'');
}

static bool is_flow_sign(uint8_t byte)
{
    return byte == ',' || byte == '[' || byte == ']' || byte == '{' || byte == '}';
}

static const char *cure_of_flow(const struct trap *t)
{
    uint8_t byte = byte_at(t->text, t->at), before = t->at > 0 ? t->text.at[t->at - 1] : '\n';
    if (byte == '{' && before == '$')
        return "quote a value with ${NAME} inside {...}: \"${NAME}\"";
    if (follows_quote(t))
        return "text goes on behind a closing quote; quote the whole value";
    if (byte == '[' || byte == '{')
        return "inside {...} or [...] quote a value with any of , [ ] { } in it";
    if (byte == ':')
        return "': ' ends a name; quote a value with ': ' in it";
    return "',' or a closing bracket is missing before this; a value with any of , [ ] { } or ': ' in it needs quotes";
}

static const char *cure_of_block(const struct trap *t)
{
    if (follows_quote(t))
        return "text goes on behind a closing quote; quote the whole value";
    if (is_flow_sign(byte_at(t->text, t->at)))
        return "text goes on behind a closing bracket, or there is one too many; a value that begins with '[' or '{' "
               "needs "
               "quotes";
    return "this does not line up with what stands above it: keys of one map, and the '-' of one list, begin in the "
           "same "
           "column";
}

static const char *cure_of_start(const struct trap *t)
{
    switch (byte_at(t->text, t->at)) {
    case '\t':
        return "a tab stands where YAML wants blanks";
    case '@':
    case '`':
    case '%':
        return "a value cannot begin with '@', '`' or '%'; quote it";
    default:
        return NULL;
    }
}

static const char *cure(const struct trap *t)
{
    if (says(t->problem, "cannot start any token"))
        return cure_of_start(t);
    if (says(t->problem, "tab character"))
        return "a tab stands where YAML wants blanks";
    if (says(t->problem, "mapping values are not allowed"))
        return "': ' ends a value: quote one with ': ' in it, or look for a missing ':' in the line above";
    if (says(t->problem, "found unexpected ':'"))
        return "a blank is missing behind ':'";
    if (says(t->problem, "did not find expected ',' or"))
        return cure_of_flow(t);
    if (says(t->problem, "did not find expected key") || says(t->problem, "did not find expected '-'") ||
        says(t->problem, "did not find expected <document start>"))
        return cure_of_block(t);
    if (says(t->problem, "could not find expected ':'"))
        return "a key without ': ' behind it, or a line that should be indented further";
    if (says(t->problem, "unexpected end of stream") && says(t->context, "quoted"))
        return "a quote is opened and never closed";
    if (says(t->problem, "unknown escape"))
        return "\"...\" does not know this escape after '\\'; use '...' around an expression";
    if (says(t->problem, "control characters"))
        return "a control character, which YAML does not allow";
    if (says(t->problem, "expected comment or line break"))
        return "'|' and '>' begin a text of several lines; quote an expression that starts with one";
    return NULL;
}

void trap_explain(const struct trap *trap, char *room, size_t size)
{
    must(trap->at <= trap->text.size);
    const char *words = cure(trap);
    bool quote = says(trap->context, "quoted") && trap->context_line > 0;
    if (words != NULL && quote)
        snprintf(room, size, "%s (opened in line %u)", words, trap->context_line);
    else if (words != NULL)
        snprintf(room, size, "%s", words);
    else if (trap->context != NULL)
        snprintf(room, size, "not YAML: %s %s (line %u)", trap->problem, trap->context, trap->context_line);
    else
        snprintf(room, size, "not YAML: %s", trap->problem == NULL ? "cannot be read" : trap->problem);
}

const char *trap_of_expression(struct bytes text, const struct tree_node *node)
{
    if (node->kind != TREE_TEXT || node->style != TREE_PLAIN)
        return "";
    size_t at = node->end;
    while (byte_at(text, at) == ' ' || byte_at(text, at) == '\t')
        at++;
    if (byte_at(text, at) == '#' && at < text.size)
        return "; YAML took what follows ' #' for a comment: quote the whole expression";
    size_t before = node->start;
    while (before > 0 && byte_at(text, before - 1) == ' ')
        before--;
    bool left_out = node->text.size == 0 && before > 0 && byte_at(text, before - 1) == ':'; /* {key: , id: x} */
    if (node->in_flow && !left_out && is_flow_sign(byte_at(text, at)))
        return "; inside {...} and [...] YAML ends a value at any of , [ ] { }: quote the whole expression";
    return "";
}
