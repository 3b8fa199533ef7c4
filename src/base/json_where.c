/* json_where.c - reads JSON the slow and obvious way: to say where a text stops being JSON, and to find the members of
 * an object in the text itself.
 *
 * json_explain() agrees with json_parse() on what is JSON, to the letter: also that an integer has 64 bits, that a double
 * is finite, and that an empty container inside the deepest level is let through. */
#include "base/json.h"
#include "base/must.h"
#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct explainer {
    const uint8_t *start, *at, *end;
    uint32_t depth;
    const uint8_t *wrong_at; /* with `what`: the first thing wrong */
    const char *what;
};

static bool wrong(struct explainer *x, const uint8_t *at, const char *what)
{
    must(x->what == NULL && at >= x->start && at <= x->end);
    x->wrong_at = at;
    x->what = what;
    return false;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(struct explainer *x)
{
    while (x->at < x->end && is_space(*x->at))
        x->at++;
}

/* The next byte, or 0 at the end; a NUL in the text is no better than the end anywhere. */
static uint8_t peek(const struct explainer *x)
{
    return x->at < x->end ? *x->at : 0;
}

static bool here_or_end(struct explainer *x, const char *what, const char *what_at_end)
{
    return wrong(x, x->at, x->at < x->end ? what : what_at_end);
}

/* ---- text ---- */

static bool read_hex(struct explainer *x, uint32_t *ret_unit)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++, x->at++) {
        uint8_t c = peek(x), lower = c | 0x20;
        if (is_digit(c))
            unit = unit << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            unit = unit << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return false;
    }
    *ret_unit = unit;
    return true;
}

/* At the backslash. */
static bool read_escape(struct explainer *x)
{
    const uint8_t *escape = x->at++;
    uint8_t c = peek(x);
    if (c == 0 || strchr("\"\\/bfnrtu", c) == NULL)
        return wrong(x, escape, "unknown escape after '\\'");
    x->at++;
    if (c != 'u')
        return true;
    uint32_t unit, low;
    if (!read_hex(x, &unit))
        return wrong(x, escape, "'\\u' without four hexadecimal digits");
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    if (unit >= 0xdc00)
        return wrong(x, escape, "second half of a surrogate pair without the first");
    if (x->end - x->at < 2 || x->at[0] != '\\' || x->at[1] != 'u')
        return wrong(x, escape, "first half of a surrogate pair without the second");
    x->at += 2;
    if (!read_hex(x, &low) || low < 0xdc00 || low > 0xdfff)
        return wrong(x, escape, "first half of a surrogate pair without the second");
    return true;
}

static bool read_text(struct explainer *x)
{
    const uint8_t *open = x->at++;
    while (x->at < x->end) {
        uint8_t c = *x->at;
        if (c == '"') {
            x->at++;
            return true;
        }
        if (c < 0x20)
            return wrong(x, x->at, "control character in a text; it must be written as an escape");
        if (c == '\\') {
            if (x->at + 1 == x->end)
                break;
            if (!read_escape(x))
                return false;
            continue;
        }
        size_t size = utf8_size(x->at, (size_t)(x->end - x->at));
        if (size == 0)
            return wrong(x, x->at, "bytes that are not UTF-8");
        x->at += size;
    }
    return wrong(x, open, "missing '\"'");
}

/* ---- numbers ---- */

struct number {
    const uint8_t *digits, *end; /* of the mantissa, with its point */
    const uint8_t *point;        /* or the mantissa's end */
    int64_t exponent;
    bool negative, whole;
};

static bool skip_digits(struct explainer *x)
{
    const uint8_t *from = x->at;
    while (is_digit(peek(x)))
        x->at++;
    return x->at > from;
}

static bool fits_64_bits(const struct number *n)
{
    uint64_t limit = n->negative ? 1ull << 63 : UINT64_MAX, v = 0;
    for (const uint8_t *at = n->digits; at < n->end; at++) {
        uint64_t digit = *at - (uint64_t)'0';
        if (v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    return true;
}

/* Whether the nearest double is finite. A number may be a megabyte long: strtod() gets its first digits, a 1 in the
 * place of all others (no double lies that near to a boundary that it mattered which), and the exponent set right. */
#define DIGIT_COUNT_MAX 800

static bool is_finite(const struct number *n)
{
    char room[DIGIT_COUNT_MAX + 40];
    size_t count = 0;
    int64_t exponent = n->exponent; /* of 0.DIGITS */
    bool rest = false;
    room[count++] = '0';
    room[count++] = '.';
    for (const uint8_t *at = n->digits; at < n->end; at++) {
        if (at == n->point)
            continue;
        bool leading_zero = count == 2 && *at == '0';
        exponent += (at < n->point) - (leading_zero ? 1 : 0);
        if (leading_zero)
            continue;
        if (count < DIGIT_COUNT_MAX)
            room[count++] = (char)*at;
        else
            rest = rest || *at != '0';
    }
    if (count == 2)
        return true; /* zero, whatever the exponent */
    if (rest)
        room[count++] = '1';
    int64_t clipped = exponent > 100000 ? 100000 : exponent < -100000 ? -100000 : exponent;
    snprintf(room + count, sizeof room - count, "e%lld", (long long)clipped);
    return isfinite(strtod(room, NULL));
}

static int64_t read_exponent(struct explainer *x)
{
    bool negative = peek(x) == '-';
    if (peek(x) == '-' || peek(x) == '+')
        x->at++;
    int64_t exponent = 0;
    for (; is_digit(peek(x)); x->at++)
        if (exponent < INT64_MAX / 100)
            exponent = exponent * 10 + (*x->at - '0');
    return negative ? -exponent : exponent;
}

static bool read_number(struct explainer *x)
{
    const uint8_t *start = x->at;
    struct number n = { .negative = peek(x) == '-', .whole = true };
    x->at += n.negative;
    n.digits = x->at;
    if (!skip_digits(x))
        return wrong(x, start, "'-' without a number");
    if (*n.digits == '0' && x->at - n.digits > 1)
        return wrong(x, start, "number with a leading zero");
    n.point = x->at;
    if (peek(x) == '.') {
        n.whole = false;
        x->at++;
        if (!skip_digits(x))
            return wrong(x, x->at, "number without a digit after the point");
    }
    n.end = x->at;
    if (peek(x) == 'e' || peek(x) == 'E') {
        n.whole = false;
        x->at++;
        n.exponent = read_exponent(x);
        if (!is_digit(x->at[-1]))
            return wrong(x, x->at, "number without a digit in the exponent");
    }
    if (n.whole && !fits_64_bits(&n))
        return wrong(x, start, "integer of more than 64 bits");
    if (!n.whole && !is_finite(&n))
        return wrong(x, start, "number too large for a double");
    return true;
}

/* ---- values ---- */

static bool read_value(struct explainer *x);

static bool read_word(struct explainer *x, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(x->end - x->at) < size || memcmp(x->at, word, size) != 0)
        return wrong(x, x->at, "unknown word; wanted a value (true, false, null, a number, \"text\", [ or {)");
    x->at += size;
    return true;
}

static bool enter(struct explainer *x, const uint8_t *open)
{
    if (x->depth == JSON_DEPTH_MAX)
        return wrong(x, open, "more than 512 levels deep");
    x->depth++;
    return true;
}

static bool read_array(struct explainer *x)
{
    const uint8_t *open = x->at++;
    skip_space(x);
    if (peek(x) == ']') {
        x->at++;
        return true;
    }
    if (!enter(x, open))
        return false;
    for (;;) {
        if (!read_value(x))
            return false;
        skip_space(x);
        uint8_t c = peek(x);
        if (c != ',' && c != ']')
            return here_or_end(x, "missing ',' or ']'", "missing ']'");
        x->at++;
        if (c == ']')
            break;
    }
    x->depth--;
    return true;
}

static bool read_member(struct explainer *x)
{
    skip_space(x);
    if (peek(x) != '"')
        return here_or_end(x, "wanted a name in '\"'", "missing '}'");
    if (!read_text(x))
        return false;
    skip_space(x);
    if (peek(x) != ':')
        return here_or_end(x, "missing ':'", "missing ':'");
    x->at++;
    return read_value(x);
}

static bool read_object(struct explainer *x)
{
    const uint8_t *open = x->at++;
    skip_space(x);
    if (peek(x) == '}') {
        x->at++;
        return true;
    }
    if (!enter(x, open))
        return false;
    for (;;) {
        if (!read_member(x))
            return false;
        skip_space(x);
        uint8_t c = peek(x);
        if (c != ',' && c != '}')
            return here_or_end(x, "missing ',' or '}'", "missing '}'");
        x->at++;
        if (c == '}')
            break;
    }
    x->depth--;
    return true;
}

static bool no_value(struct explainer *x)
{
    if (x->at == x->end)
        return wrong(x, x->at, "unexpected end; wanted a value");
    switch (*x->at) {
    case ']':
        return wrong(x, x->at, "unexpected ']'; wanted a value");
    case '}':
        return wrong(x, x->at, "unexpected '}'; wanted a value");
    case ',':
        return wrong(x, x->at, "unexpected ','; wanted a value");
    case ':':
        return wrong(x, x->at, "unexpected ':'; wanted a value");
    case '\'':
        return wrong(x, x->at, "unexpected '''; text stands in '\"'");
    case 0xef:
        if (x->end - x->at >= 3 && x->at[1] == 0xbb && x->at[2] == 0xbf)
            return wrong(x, x->at, "byte order mark; JSON has none");
        break;
    default:
        break;
    }
    if (utf8_size(x->at, (size_t)(x->end - x->at)) == 0)
        return wrong(x, x->at, "bytes that are not UTF-8");
    return wrong(x, x->at, "unexpected character; wanted a value");
}

static bool read_value(struct explainer *x)
{
    skip_space(x);
    uint8_t c = peek(x);
    if (c == '{')
        return read_object(x);
    if (c == '[')
        return read_array(x);
    if (c == '"')
        return read_text(x);
    if (c == '-' || is_digit(c))
        return read_number(x);
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
        return read_word(x, c == 't' ? "true" : c == 'f' ? "false" : "null");
    return no_value(x);
}

enum neap_status json_explain(struct bytes text, uint32_t *ret_column, const char **ret_what)
{
    struct reader r = reader_of(text); /* so that no bytes have a place, too */
    struct explainer x = { .start = r.at, .at = r.at, .end = r.end };
    if (read_value(&x)) {
        skip_space(&x);
        if (x.at == x.end)
            return NEAP_OK;
        wrong(&x, x.at, "more after the value");
    }
    size_t column = (size_t)(x.wrong_at - x.start) + 1;
    *ret_column = column < UINT32_MAX ? (uint32_t)column : UINT32_MAX;
    *ret_what = x.what;
    return NEAP_BADINPUT;
}

/* ---- members of the outermost object; the text is JSON, but nothing here relies on it ---- */

/* At the opening quote; to after the closing one. */
static bool skip_text(const uint8_t **at, const uint8_t *end, bool *ret_escaped)
{
    const uint8_t *p = *at + 1;
    bool escaped = false;
    for (; p < end && *p != '"'; p++) {
        if (*p == '\\') {
            escaped = true;
            p++;
        }
    }
    if (p >= end)
        return false;
    *at = p + 1;
    *ret_escaped = escaped;
    return true;
}

/* To after the value: the next comma or closing bracket that is not inside something. */
static bool skip_value(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    size_t depth = 0;
    bool escaped;
    while (p < end) {
        uint8_t c = *p;
        if (depth == 0 && (c == ',' || c == '}' || c == ']' || is_space(c)))
            break;
        if (c == '"') {
            if (!skip_text(&p, end, &escaped))
                return false;
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        p++;
    }
    bool found = p > *at && depth == 0;
    *at = p;
    return found;
}

static const uint8_t *past_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* After '{' or ',': one member. */
static bool read_one(const uint8_t **at, const uint8_t *end, struct json_member *member)
{
    const uint8_t *p = past_space(*at, end), *from = p;
    if (p >= end || *p != '"' || !skip_text(&p, end, &member->escaped))
        return false;
    member->name = (struct bytes){ from + 1, (size_t)(p - from) - 2 };
    p = past_space(p, end);
    if (p >= end || *p != ':')
        return false;
    from = p = past_space(p + 1, end);
    if (!skip_value(&p, end))
        return false;
    member->value = (struct bytes){ from, (size_t)(p - from) };
    *at = p;
    return true;
}

bool json_member_next(struct bytes text, size_t *cursor, struct json_member *ret_member)
{
    must(*cursor <= text.size);
    struct reader r = reader_of(text);
    const uint8_t *at = past_space(r.at + *cursor, r.end);
    uint8_t wanted = *cursor == 0 ? '{' : ',';
    struct json_member member;
    if (at >= r.end || *at != wanted)
        return false;
    at++;
    if (!read_one(&at, r.end, &member))
        return false;
    *cursor = (size_t)(at - r.at);
    *ret_member = member;
    return true;
}

/* ---- what nobody needs ------------------------------------------------------------------------------------------------------- */

size_t json_without_blanks(uint8_t *text, size_t size)
{
    size_t to = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i];
        if (!quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'))
            continue;
        text[to++] = c;
        if (quoted && c == '\\')
            text[to++] = text[++i]; /* there is one: the text is JSON */
        else if (c == '"')
            quoted = !quoted;
    }
    return to;
}
