/* expr_text.c - reads an expression's text as far as Lua need not: its tokens, its paths, and a small tree.
 *
 * The tree is a subset of Lua's own grammar: paths, constants, not, and, or, + - *, comparisons, brackets. Whatever else
 * stands in the text ends the reading, and the expression is Lua's alone. Lua has the last word on what is valid: a text is
 * read here only after Lua has accepted it. */
#include "flow/expr_internal.h"
#include <ctype.h>

const char *const root_names[ROOT_COUNT] = { "event", "key",       "id",     "headers", "time",
                                             "topic", "partition", "offset", "attempt", "env" };

/* ---- tokens ---------------------------------------------------------------------------------------------------- */

static int peek(const struct lexer *lexer, uint32_t ahead)
{
    return lexer->at + ahead < lexer->size ? (unsigned char)lexer->text[lexer->at + ahead] : 0;
}

/* The '=' signs of `[==[` at the lexer's place, or -1 where no long bracket opens. */
static int long_bracket_level(const struct lexer *lexer)
{
    uint32_t ahead = 1;
    while (peek(lexer, ahead) == '=')
        ahead++;
    return peek(lexer, ahead) == '[' ? (int)ahead - 1 : -1;
}

static bool skip_long_bracket(struct lexer *lexer, int level)
{
    lexer->at += (uint32_t)level + 2;
    for (; lexer->at < lexer->size; lexer->at++) {
        if (peek(lexer, 0) != ']')
            continue;
        uint32_t signs = 1;
        while (peek(lexer, signs) == '=')
            signs++;
        if (signs == (uint32_t)level + 1 && peek(lexer, signs) == ']') {
            lexer->at += signs + 1;
            return true;
        }
    }
    return false;
}

static bool skip_blanks(struct lexer *lexer) /* false: a comment without an end */
{
    for (;;) {
        while (lexer->at < lexer->size && isspace(peek(lexer, 0)))
            lexer->at++;
        if (peek(lexer, 0) != '-' || peek(lexer, 1) != '-')
            return true;
        lexer->at += 2;
        int level = peek(lexer, 0) == '[' ? long_bracket_level(lexer) : -1;
        if (level >= 0) {
            if (!skip_long_bracket(lexer, level))
                return false;
            continue;
        }
        while (lexer->at < lexer->size && peek(lexer, 0) != '\n')
            lexer->at++;
    }
}

static bool skip_quoted(struct lexer *lexer, bool *ret_plain)
{
    int quote = peek(lexer, 0);
    *ret_plain = true;
    for (lexer->at++; lexer->at < lexer->size; lexer->at++) {
        int c = peek(lexer, 0);
        if (c == quote) {
            lexer->at++;
            return true;
        }
        if (c == '\\') {
            *ret_plain = false;
            lexer->at++;
        }
    }
    lexer->at = lexer->size;
    return false;
}

static void skip_number(struct lexer *lexer)
{
    bool hexadecimal = peek(lexer, 0) == '0' && (peek(lexer, 1) | 0x20) == 'x';
    for (;;) {
        int c = peek(lexer, 0);
        bool exponent = (c | 0x20) == (hexadecimal ? 'p' : 'e');
        if (!isalnum(c) && c != '.')
            return;
        lexer->at++;
        if (exponent && (peek(lexer, 0) == '+' || peek(lexer, 0) == '-'))
            lexer->at++;
    }
}

static uint32_t sign_size(const struct lexer *lexer)
{
    static const char *const signs[] = { "...", "..", "==", "~=", "<=", ">=", "<<", ">>", "//", "::" };
    for (size_t i = 0; i < COUNT_OF(signs); i++) {
        size_t size = strlen(signs[i]);
        if (lexer->size - lexer->at >= size && memcmp(lexer->text + lexer->at, signs[i], size) == 0)
            return (uint32_t)size;
    }
    return 1;
}

void token_next(struct lexer *lexer, struct token *ret_token)
{
    bool good = skip_blanks(lexer), plain = false;
    struct token token = { TOKEN_BAD, lexer->at, 0, false };
    int c = peek(lexer, 0);
    if (!good) {
        token.kind = TOKEN_BAD;
    } else if (lexer->at >= lexer->size) {
        token.kind = TOKEN_END;
    } else if (isalpha(c) || c == '_') {
        token.kind = TOKEN_NAME;
        while (isalnum(peek(lexer, 0)) || peek(lexer, 0) == '_')
            lexer->at++;
    } else if (isdigit(c) || (c == '.' && isdigit(peek(lexer, 1)))) {
        token.kind = TOKEN_NUMBER;
        skip_number(lexer);
    } else if (c == '"' || c == '\'') {
        token.kind = skip_quoted(lexer, &plain) ? TOKEN_TEXT : TOKEN_BAD;
    } else if (c == '[' && long_bracket_level(lexer) >= 0) {
        token.kind = skip_long_bracket(lexer, long_bracket_level(lexer)) ? TOKEN_TEXT : TOKEN_BAD;
    } else {
        token.kind = TOKEN_SIGN;
        lexer->at += sign_size(lexer);
    }
    token.size = lexer->at - token.start;
    token.plain = plain;
    must(lexer->at <= lexer->size);
    *ret_token = token;
}

bool token_is(const struct lexer *lexer, const struct token *token, const char *word)
{
    return (token->kind == TOKEN_NAME || token->kind == TOKEN_SIGN) && strlen(word) == token->size &&
           memcmp(lexer->text + token->start, word, token->size) == 0;
}

bool token_is_field(const struct lexer *lexer, uint32_t start)
{
    uint32_t at = start;
    while (at > 0 && isspace((unsigned char)lexer->text[at - 1]))
        at--;
    if (at == 0 || (lexer->text[at - 1] != '.' && lexer->text[at - 1] != ':'))
        return false;
    return at < 2 || lexer->text[at - 2] != lexer->text[at - 1];
}

enum root root_of(const struct lexer *lexer, const struct token *token)
{
    uint32_t root = 0;
    while (root < ROOT_COUNT && !(token->kind == TOKEN_NAME && token_is(lexer, token, root_names[root])))
        root++;
    return (enum root)root;
}

/* ---- paths ----------------------------------------------------------------------------------------------------- */

static bool read_index(const struct lexer *lexer, const struct token *token, int64_t *ret_index)
{
    int64_t index = 0;
    if (token->size > 9)
        return false;
    for (uint32_t i = 0; i < token->size; i++) {
        char c = lexer->text[token->start + i];
        if (!isdigit((unsigned char)c))
            return false;
        index = index * 10 + (c - '0');
    }
    *ret_index = index;
    return true;
}

/* One `.name`, `["name"]` or `[index]` at the lexer's place; otherwise the lexer stays. */
static bool read_step(struct lexer *lexer, struct path_step *ret_step)
{
    struct lexer ahead = *lexer;
    struct token sign, token, end;
    struct path_step step = { .name = { NULL, 0 } };
    token_next(&ahead, &sign);
    bool dot = token_is(&ahead, &sign, ".");
    if (!dot && !token_is(&ahead, &sign, "["))
        return false;
    token_next(&ahead, &token);
    if (dot ? token.kind != TOKEN_NAME : !(token.kind == TOKEN_TEXT && token.plain) && token.kind != TOKEN_NUMBER)
        return false;
    const uint8_t *at = (const uint8_t *)lexer->text + token.start;
    if (token.kind == TOKEN_NUMBER) {
        if (!read_index(&ahead, &token, &step.index))
            return false;
    } else {
        step.name = dot ? (struct bytes){ at, token.size } : (struct bytes){ at + 1, token.size - 2 };
    }
    if (!dot) {
        token_next(&ahead, &end);
        if (!token_is(&ahead, &end, "]"))
            return false;
    }
    step.end = ahead.at;
    *lexer = ahead;
    *ret_step = step;
    return true;
}

/* Reads the steps after a root's name. NULL: no room for them. */
static const struct path *read_path(struct expr *expr, struct lexer *lexer, enum root root, const struct token *name)
{
    struct path_step step;
    struct lexer counting = *lexer;
    uint32_t count = 0;
    while (read_step(&counting, &step))
        count++;
    struct path_step *steps = arena_take(expr->arena, (count + 1) * sizeof(*steps));
    if (steps == NULL || expr->path_count == PATH_COUNT_MAX)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        read_step(lexer, &steps[i]);
    struct path *path = &expr->paths[expr->path_count++];
    *path = (struct path){ root, name->start, name->start + name->size, count, steps };
    return path;
}

/* ---- the small tree -------------------------------------------------------------------------------------------- */

struct tree {
    struct expr *expr;
    struct lexer lexer;
    struct token token; /* looked at, not yet taken */
    uint32_t depth;
    bool bad; /* something that is Lua's business: sticky */
};

static void advance(struct tree *tree)
{
    token_next(&tree->lexer, &tree->token);
}

static bool accept(struct tree *tree, const char *word)
{
    if (!token_is(&tree->lexer, &tree->token, word))
        return false;
    advance(tree);
    return true;
}

static uint8_t add_node(struct tree *tree, struct node node)
{
    struct expr *expr = tree->expr;
    if (expr->node_count == NODE_COUNT_MAX) {
        tree->bad = true;
        return 0;
    }
    expr->nodes[expr->node_count] = node;
    return (uint8_t)expr->node_count++;
}

static uint8_t add_constant(struct tree *tree, struct operand constant)
{
    advance(tree);
    return add_node(tree, (struct node){ .kind = NODE_CONSTANT, .constant = constant });
}

/* Lua reads its own numerals: what is an integer, what overflows into a float. */
static uint8_t read_number(struct tree *tree, bool negative)
{
    char text[64];
    lua_State *L = tree->expr->machine->lua;
    uint32_t size = tree->token.size;
    struct operand constant = { .kind = OPERAND_NIL };
    if (size >= sizeof(text)) {
        tree->bad = true;
        return 0;
    }
    memcpy(text, tree->lexer.text + tree->token.start, size);
    text[size] = '\0';
    if (lua_stringtonumber(L, text) == 0) {
        tree->bad = true;
        return 0;
    }
    if (lua_isinteger(L, -1)) {
        int64_t i = lua_tointeger(L, -1);
        constant = (struct operand){ .kind = OPERAND_INT, .i = negative ? (int64_t)(0 - (uint64_t)i) : i };
    } else {
        double d = lua_tonumber(L, -1);
        constant = (struct operand){ .kind = OPERAND_DOUBLE, .d = negative ? -d : d };
    }
    lua_pop(L, 1);
    return add_constant(tree, constant);
}

static uint8_t read_negative(struct tree *tree)
{
    if (tree->token.kind == TOKEN_NUMBER)
        return read_number(tree, true);
    tree->bad = true;
    return 0;
}

static uint8_t read_or(struct tree *tree);

static uint8_t read_simple(struct tree *tree)
{
    const struct token token = tree->token;
    enum root root = root_of(&tree->lexer, &token);
    if (root < ROOT_COUNT) {
        const struct path *path = read_path(tree->expr, &tree->lexer, root, &token);
        tree->bad = tree->bad || path == NULL;
        advance(tree);
        return add_node(tree, (struct node){ .kind = NODE_PATH, .path = path });
    }
    if (token.kind == TOKEN_NUMBER)
        return read_number(tree, false);
    if (token.kind == TOKEN_TEXT && token.plain) {
        struct bytes text = { (const uint8_t *)tree->lexer.text + token.start + 1, token.size - 2 };
        return add_constant(tree, (struct operand){ .kind = OPERAND_TEXT, .text = text });
    }
    if (token_is(&tree->lexer, &token, "nil"))
        return add_constant(tree, (struct operand){ .kind = OPERAND_NIL });
    if (token_is(&tree->lexer, &token, "true") || token_is(&tree->lexer, &token, "false"))
        return add_constant(tree, (struct operand){ .kind = OPERAND_BOOL, .b = token.size == 4 });
    if (accept(tree, "(")) {
        uint8_t inside = read_or(tree);
        if (!accept(tree, ")"))
            tree->bad = true;
        /* `(event).a` and `(f)(x)` go on after the bracket: the token there is one that no rule here takes */
        return inside;
    }
    tree->bad = true;
    return 0;
}

static uint8_t read_unary(struct tree *tree)
{
    if (++tree->depth > TREE_DEPTH_MAX) {
        tree->bad = true;
        return 0;
    }
    uint8_t node;
    if (accept(tree, "not"))
        node = add_node(tree, (struct node){ .kind = NODE_NOT, .left = read_unary(tree) });
    else if (accept(tree, "-"))
        node = read_negative(tree);
    else
        node = read_simple(tree);
    tree->depth--;
    return node;
}

struct operators {
    const char *sign;
    enum node_kind kind;
};

static bool take_operator(struct tree *tree, const struct operators *operators, size_t count, enum node_kind *ret_kind)
{
    for (size_t i = 0; i < count; i++)
        if (accept(tree, operators[i].sign)) {
            *ret_kind = operators[i].kind;
            return true;
        }
    return false;
}

/* All of these bind to the left, as in Lua. */
static uint8_t read_chain(struct tree *tree, uint8_t (*inner)(struct tree *), const struct operators *operators,
                          size_t count)
{
    enum node_kind kind;
    uint8_t left = inner(tree);
    while (!tree->bad && take_operator(tree, operators, count, &kind)) {
        uint8_t right = inner(tree);
        left = add_node(tree, (struct node){ .kind = kind, .left = left, .right = right });
    }
    return left;
}

static uint8_t read_product(struct tree *tree)
{
    static const struct operators operators[] = { { "*", NODE_MULTIPLY } };
    return read_chain(tree, read_unary, operators, COUNT_OF(operators));
}

static uint8_t read_sum(struct tree *tree)
{
    static const struct operators operators[] = { { "+", NODE_ADD }, { "-", NODE_SUBTRACT } };
    return read_chain(tree, read_product, operators, COUNT_OF(operators));
}

static uint8_t read_comparison(struct tree *tree)
{
    static const struct operators operators[] = { { "==", NODE_EQUAL },  { "~=", NODE_UNEQUAL },
                                                  { "<", NODE_LESS },    { "<=", NODE_LESS_EQUAL },
                                                  { ">", NODE_GREATER }, { ">=", NODE_GREATER_EQUAL } };
    return read_chain(tree, read_sum, operators, COUNT_OF(operators));
}

static uint8_t read_and(struct tree *tree)
{
    static const struct operators operators[] = { { "and", NODE_AND } };
    return read_chain(tree, read_comparison, operators, COUNT_OF(operators));
}

static uint8_t read_or(struct tree *tree)
{
    static const struct operators operators[] = { { "or", NODE_OR } };
    return read_chain(tree, read_and, operators, COUNT_OF(operators));
}

static void collect_paths(struct expr *expr)
{
    struct lexer lexer = { expr->text, expr->size, 0 };
    struct token token;
    expr->path_count = 0;
    for (token_next(&lexer, &token); token.kind != TOKEN_END && token.kind != TOKEN_BAD; token_next(&lexer, &token)) {
        enum root root = root_of(&lexer, &token);
        if (token_is(&lexer, &token, "function"))
            expr->loops = true;
        if (root == ROOT_COUNT || token_is_field(&lexer, token.start))
            continue;
        expr->roots |= 1u << root;
        read_path(expr, &lexer, root, &token);
    }
    /* What this reader does not understand is taken for the worst. */
    if (token.kind == TOKEN_BAD) {
        expr->loops = true;
        expr->roots = (1u << ROOT_COUNT) - 1;
    }
}

void expr_read_text(struct expr *expr)
{
    must(expr->paths != NULL && expr->nodes != NULL);
    if (expr->script) {
        collect_paths(expr);
        expr->roots |= 1u << ROOT_EVENT; /* what process() is called with */
        expr->loops = true;
        return;
    }
    struct tree tree = { .expr = expr, .lexer = { expr->text, expr->size, 0 } };
    advance(&tree);
    expr->top = read_or(&tree);
    if (!tree.bad && tree.token.kind == TOKEN_END && expr->node_count > 0) {
        for (uint32_t i = 0; i < expr->path_count; i++)
            expr->roots |= 1u << expr->paths[i].root;
        return;
    }
    expr->node_count = 0;
    collect_paths(expr);
}
