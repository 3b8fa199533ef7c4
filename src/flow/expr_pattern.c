/* expr_pattern.c - string.find, match, gmatch and gsub, with every step counted.
 *
 * Lua's own matcher runs in C, where the instruction hook does not look, and a pattern such as ".-.-.-.-x" takes time in
 * the fourth power of its subject. This one speaks the same patterns (Lua 5.4 manual, 6.4.1), charges each step of its
 * search to the call's budget, and is compared with Lua's in the tests.
 *
 * P1  A position is a number, never a pointer past an end; reading beyond a text answers -1, which is in no class.
 * P2  Each single comparison is a step; steps are handed to machine_charge() in handfuls. */
#include "flow/expr_internal.h"
#include <ctype.h>

#define CAPTURE_COUNT_MAX 32
#define DEPTH_MAX         200
#define STEP_HANDFUL      256u

#define CAPTURE_OPEN      (-1)
#define CAPTURE_POSITION  (-2)
#define NO_MATCH          ((size_t)-1)

struct matcher {
    lua_State *L;
    struct bytes subject, pattern;
    uint32_t steps;
    int depth, capture_count;
    struct {
        size_t start;
        ptrdiff_t size; /* or CAPTURE_OPEN, CAPTURE_POSITION */
    } captures[CAPTURE_COUNT_MAX];
};

static int at(struct bytes text, size_t i) /* rule P1 */
{
    return i < text.size ? text.at[i] : -1;
}

static void step(struct matcher *m) /* rule P2 */
{
    if (++m->steps < STEP_HANDFUL)
        return;
    m->steps = 0;
    machine_charge(m->L, STEP_HANDFUL / 4);
}

/* ---- one character against one item of the pattern ------------------------------------------------------------- */

static size_t set_end(const struct matcher *m, size_t p) /* p: past '[' */
{
    if (at(m->pattern, p) == '^')
        p++;
    do { /* a ']' that comes first is itself */
        int c = at(m->pattern, p++);
        if (c == '%')
            p++;
        if (p > m->pattern.size || c < 0)
            luaL_error(m->L, "malformed pattern (missing ']')");
    } while (at(m->pattern, p) != ']');
    return p + 1;
}

static size_t item_end(const struct matcher *m, size_t p)
{
    int c = at(m->pattern, p++);
    if (c == '%') {
        if (p >= m->pattern.size)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    return c == '[' ? set_end(m, p) : p;
}

static bool in_class(int c, int class)
{
    bool in;
    switch (tolower(class)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    case 'z': /* from before patterns could hold NUL; Lua 5.4 still knows it */
        in = c == 0;
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !in : in;
}

static bool in_set(const struct matcher *m, int c, size_t p, size_t end) /* p: at '[', end: past ']' */
{
    bool negated = at(m->pattern, ++p) == '^';
    size_t last = end - 1;
    for (p += negated; p < last; p++) {
        int first = at(m->pattern, p);
        if (first == '%') {
            if (in_class(c, at(m->pattern, ++p)))
                return !negated;
        } else if (at(m->pattern, p + 1) == '-' && p + 2 < last) {
            if (first <= c && c <= at(m->pattern, p + 2))
                return !negated;
            p += 2;
        } else if (first == c) {
            return !negated;
        }
    }
    return negated;
}

static bool fits(struct matcher *m, size_t s, size_t p, size_t end)
{
    int c = at(m->subject, s);
    step(m);
    if (c < 0)
        return false;
    switch (at(m->pattern, p)) {
    case '.':
        return true;
    case '%':
        return in_class(c, at(m->pattern, p + 1));
    case '[':
        return in_set(m, c, p, end);
    default:
        return at(m->pattern, p) == c;
    }
}

/* ---- the search ------------------------------------------------------------------------------------------------ */

static size_t match(struct matcher *m, size_t s, size_t p);

static size_t match_balance(struct matcher *m, size_t s, size_t p) /* p: past "%b" */
{
    if (p + 1 >= m->pattern.size)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    int open = at(m->pattern, p), close = at(m->pattern, p + 1), depth = 1;
    if (at(m->subject, s) != open)
        return NO_MATCH;
    for (s++; s < m->subject.size; s++) {
        int c = at(m->subject, s);
        step(m);
        if (c == close) {
            if (--depth == 0)
                return s + 1;
        } else if (c == open) {
            depth++;
        }
    }
    return NO_MATCH;
}

static size_t match_longest(struct matcher *m, size_t s, size_t p, size_t end, size_t count_min)
{
    size_t count = 1; /* the caller has looked at the first */
    while (fits(m, s + count, p, end))
        count++;
    for (;; count--) {
        size_t found = match(m, s + count, end + 1);
        if (found != NO_MATCH || count == count_min)
            return found;
    }
}

static size_t match_shortest(struct matcher *m, size_t s, size_t p, size_t end)
{
    for (;; s++) {
        size_t found = match(m, s, end + 1);
        if (found != NO_MATCH)
            return found;
        if (!fits(m, s, p, end))
            return NO_MATCH;
    }
}

static size_t open_capture(struct matcher *m, size_t s, size_t p, ptrdiff_t kind)
{
    if (m->capture_count >= CAPTURE_COUNT_MAX)
        luaL_error(m->L, "too many captures");
    m->captures[m->capture_count].start = s;
    m->captures[m->capture_count].size = kind;
    m->capture_count++;
    size_t found = match(m, s, p);
    if (found == NO_MATCH)
        m->capture_count--;
    return found;
}

static size_t close_capture(struct matcher *m, size_t s, size_t p)
{
    int index = m->capture_count - 1;
    while (index >= 0 && m->captures[index].size != CAPTURE_OPEN)
        index--;
    if (index < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[index].size = (ptrdiff_t)(s - m->captures[index].start);
    size_t found = match(m, s, p);
    if (found == NO_MATCH)
        m->captures[index].size = CAPTURE_OPEN;
    return found;
}

static size_t match_same_again(struct matcher *m, size_t s, int digit) /* %1: what the first capture holds */
{
    int index = digit - '1';
    if (index < 0 || index >= m->capture_count || m->captures[index].size == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", index + 1);
    size_t size = m->captures[index].size < 0 ? 0 : (size_t)m->captures[index].size;
    if (m->captures[index].size == CAPTURE_POSITION) /* a place has no letters to come again */
        return NO_MATCH;
    machine_charge(m->L, size / 32);
    bool same =
        m->subject.size - s >= size && memcmp(m->subject.at + s, m->subject.at + m->captures[index].start, size) == 0;
    return same ? s + size : NO_MATCH;
}

static bool at_frontier(struct matcher *m, size_t s, size_t p, size_t end)
{
    int before = s == 0 ? 0 : at(m->subject, s - 1), after = s < m->subject.size ? at(m->subject, s) : 0;
    step(m);
    return !in_set(m, before, p, end) && in_set(m, after, p, end);
}

/* A plain item with what follows it. Answers true when the search goes on at *s, *p; otherwise *found is the answer. */
static bool match_item(struct matcher *m, size_t *s, size_t *p, size_t *found)
{
    size_t end = item_end(m, *p);
    int suffix = at(m->pattern, end);
    if (!fits(m, *s, *p, end)) {
        *found = NO_MATCH;
        *p = end + 1;
        return suffix == '*' || suffix == '-' || suffix == '?'; /* none of it will do as well */
    }
    switch (suffix) {
    case '*':
    case '+':
        *found = match_longest(m, *s, *p, end, suffix == '+' ? 1 : 0);
        return false;
    case '-':
        *found = match_shortest(m, *s, *p, end);
        return false;
    case '?':
        *found = match(m, *s + 1, end + 1);
        *p = end + 1;
        return *found == NO_MATCH;
    default:
        *s += 1;
        *p = end;
        return true;
    }
}

/* `%b`, `%f` and `%1`; true: it was one, and the search goes on at *s, *p unless *found says NO_MATCH. */
static bool match_escape(struct matcher *m, size_t *s, size_t *p, size_t *found)
{
    int c = at(m->pattern, *p + 1);
    if (c == 'b') {
        *found = match_balance(m, *s, *p + 2);
        *p += 4;
    } else if (c == 'f') {
        size_t set = *p + 2;
        if (at(m->pattern, set) != '[')
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        size_t end = item_end(m, set);
        *found = at_frontier(m, *s, set, end) ? *s : NO_MATCH;
        *p = end;
    } else if (c >= '0' && c <= '9') {
        *found = match_same_again(m, *s, c);
        *p += 2;
    } else {
        return false;
    }
    *s = *found;
    return true;
}

static size_t match_here(struct matcher *m, size_t s, size_t p)
{
    size_t found;
    while (p < m->pattern.size) {
        int c = at(m->pattern, p);
        step(m);
        if (c == '(')
            return at(m->pattern, p + 1) == ')' ? open_capture(m, s, p + 2, CAPTURE_POSITION)
                                                : open_capture(m, s, p + 1, CAPTURE_OPEN);
        if (c == ')')
            return close_capture(m, s, p + 1);
        if (c == '$' && p + 1 == m->pattern.size)
            return s == m->subject.size ? s : NO_MATCH;
        if (c == '%' && match_escape(m, &s, &p, &found)) {
            if (found == NO_MATCH)
                return NO_MATCH;
        } else if (!match_item(m, &s, &p, &found)) {
            return found;
        }
    }
    return s;
}

static size_t match(struct matcher *m, size_t s, size_t p)
{
    must(s <= m->subject.size);
    if (m->depth++ >= DEPTH_MAX)
        luaL_error(m->L, "pattern too complex");
    size_t found = match_here(m, s, p);
    m->depth--;
    return found;
}

/* ---- the four verbs -------------------------------------------------------------------------------------------- */

static struct bytes text_argument(lua_State *L, int index)
{
    size_t size;
    const char *text = luaL_checklstring(L, index, &size);
    return (struct bytes){ (const uint8_t *)text, size };
}

/* Where a search begins: Lua's negative and missing positions, from 0. */
static size_t start_argument(lua_State *L, int index, size_t size)
{
    lua_Integer start = luaL_optinteger(L, index, 1);
    if (start > 0)
        return (size_t)start - 1;
    if (start == 0 || start < -(lua_Integer)size)
        return 0;
    return size - (size_t)-start;
}

static void push_capture(struct matcher *m, int index, size_t start, size_t end)
{
    if (index >= m->capture_count) {
        if (index != 0)
            luaL_error(m->L, "invalid capture index %%%d", index + 1);
        lua_pushlstring(m->L, (const char *)m->subject.at + start, end - start); /* without captures: the whole match */
    } else if (m->captures[index].size == CAPTURE_POSITION) {
        lua_pushinteger(m->L, (lua_Integer)m->captures[index].start + 1);
    } else {
        if (m->captures[index].size == CAPTURE_OPEN)
            luaL_error(m->L, "unfinished capture");
        lua_pushlstring(m->L, (const char *)m->subject.at + m->captures[index].start, (size_t)m->captures[index].size);
    }
}

static int push_captures(struct matcher *m, size_t start, size_t end, bool whole_when_none)
{
    int count = m->capture_count == 0 && whole_when_none ? 1 : m->capture_count;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, start, end);
    return count;
}

static size_t try_at(struct matcher *m, size_t s, bool anchored)
{
    m->capture_count = 0;
    m->depth = 0;
    return match(m, s, anchored ? 1 : 0);
}

static bool without_specials(struct bytes pattern)
{
    for (size_t i = 0; i < pattern.size; i++)
        if (pattern.at[i] != 0 && strchr("^$*+?.([%-", pattern.at[i]) != NULL)
            return false;
    return true;
}

static int find_plain(lua_State *L, struct bytes subject, struct bytes pattern, size_t start)
{
    machine_charge(L, 1 + (subject.size - start) / 16);
    const uint8_t *found = pattern.size == 0
                               ? subject.at + start
                               : memmem(subject.at + start, subject.size - start, pattern.at, pattern.size);
    if (found == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - subject.at + 1);
    lua_pushinteger(L, found - subject.at + (lua_Integer)pattern.size);
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    struct matcher m = { .L = L, .subject = text_argument(L, 1), .pattern = text_argument(L, 2) };
    size_t start = start_argument(L, 3, m.subject.size);
    machine_charge(L, 1);
    if (start > m.subject.size) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || without_specials(m.pattern)))
        return find_plain(L, m.subject, m.pattern, start);
    bool anchored = at(m.pattern, 0) == '^';
    for (size_t s = start; s <= m.subject.size; s++) {
        size_t end = try_at(&m, s, anchored);
        if (end != NO_MATCH) {
            if (!find)
                return push_captures(&m, s, end, true);
            lua_pushinteger(L, (lua_Integer)s + 1);
            lua_pushinteger(L, (lua_Integer)end);
            return 2 + push_captures(&m, s, end, false);
        }
        if (anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

int pattern_find(lua_State *L)
{
    return find_or_match(L, true);
}

int pattern_match(lua_State *L)
{
    return find_or_match(L, false);
}

struct search { /* between two turns of a gmatch loop */
    size_t at, last_end;
};

static int gmatch_step(lua_State *L) /* upvalues: subject, pattern, struct search */
{
    struct matcher m = { .L = L,
                         .subject = text_argument(L, lua_upvalueindex(1)),
                         .pattern = text_argument(L, lua_upvalueindex(2)) };
    struct search *search = lua_touserdata(L, lua_upvalueindex(3));
    machine_charge(L, 1);
    for (size_t s = search->at; s <= m.subject.size; s++) {
        size_t end = try_at(&m, s, false);
        if (end == NO_MATCH || end == search->last_end)
            continue;
        search->at = search->last_end = end;
        return push_captures(&m, s, end, true);
    }
    search->at = m.subject.size + 1;
    return 0;
}

int pattern_gmatch(lua_State *L)
{
    struct bytes subject = text_argument(L, 1);
    text_argument(L, 2);
    size_t start = start_argument(L, 3, subject.size);
    lua_settop(L, 2);
    struct search *search = lua_newuserdatauv(L, sizeof(*search), 0);
    *search = (struct search){ start > subject.size ? subject.size + 1 : start, NO_MATCH };
    lua_pushcclosure(L, gmatch_step, 3);
    return 1;
}

/* ---- gsub ------------------------------------------------------------------------------------------------------ */

static void add_expanded(struct matcher *m, luaL_Buffer *buffer, size_t start, size_t end)
{
    struct bytes text = text_argument(m->L, 3);
    machine_charge(m->L, text.size / 16);
    for (size_t i = 0; i < text.size; i++) {
        int c = at(text, i);
        if (c != '%') {
            luaL_addchar(buffer, (char)c);
            continue;
        }
        c = at(text, ++i);
        if (c == '%') {
            luaL_addchar(buffer, '%');
        } else if (c == '0') {
            luaL_addlstring(buffer, (const char *)m->subject.at + start, end - start);
        } else if (c >= '1' && c <= '9') {
            if (c - '1' >= m->capture_count && c != '1')
                luaL_error(m->L, "invalid capture index %%%d in replacement string", c - '0');
            push_capture(m, c - '1', start, end);
            luaL_tolstring(m->L, -1, NULL); /* a position comes as its digits */
            lua_remove(m->L, -2);
            luaL_addvalue(buffer);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Adds what takes the match's place. */
static void add_replacement(struct matcher *m, luaL_Buffer *buffer, size_t start, size_t end)
{
    lua_State *L = m->L;
    int kind = lua_type(L, 3);
    if (kind == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, start, end, true), 1);
    } else if (kind == LUA_TTABLE || kind == LUA_TUSERDATA) {
        push_capture(m, 0, start, end);
        lua_gettable(L, 3);
    } else {
        add_expanded(m, buffer, start, end);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(buffer, (const char *)m->subject.at + start, end - start);
        return;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(buffer);
}

int pattern_gsub(lua_State *L)
{
    struct matcher m = { .L = L, .subject = text_argument(L, 1), .pattern = text_argument(L, 2) };
    int kind = lua_type(L, 3);
    lua_Integer count_max = luaL_optinteger(L, 4, (lua_Integer)m.subject.size + 1), count = 0;
    bool anchored = at(m.pattern, 0) == '^';
    size_t s = 0, last_end = NO_MATCH;
    luaL_argexpected(L,
                     kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE ||
                         kind == LUA_TUSERDATA,
                     3, "string/function/table");
    machine_charge(L, 1 + m.subject.size / 32);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    while (count < count_max) {
        size_t end = try_at(&m, s, anchored);
        if (end != NO_MATCH && end != last_end) {
            count++;
            add_replacement(&m, &buffer, s, end);
            s = last_end = end;
        } else if (s < m.subject.size) {
            luaL_addchar(&buffer, (char)m.subject.at[s++]);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    luaL_addlstring(&buffer, (const char *)m.subject.at + s, m.subject.size - s);
    luaL_pushresult(&buffer);
    lua_pushinteger(L, count);
    return 2;
}
