/* expr_internal.h - what the files of the expression machine share. Nobody else includes it, but its tests.
 *
 *     expr.c          making, running and ending an expression
 *     expr_text.c     reading its text: tokens, paths, and the small tree that is answered without Lua
 *     expr_native.c   answering paths and small trees from the event
 *     expr_lua.c      the Lua state: memory, limits, loading, running
 *     expr_library.c  what an expression may call
 *     expr_pattern.c  Lua's patterns with every step counted
 *     expr_view.c     the event as Lua sees it
 *     expr_value.c    what comes out: a struct value
 *     expr_fail.c     what is said when it does not
 *     script.c        a script: its names, its calls, what several values become */
#ifndef FLOW_EXPR_INTERNAL_H
#define FLOW_EXPR_INTERNAL_H

#include "base/must.h"
#include "flow/expr.h"
#include <lauxlib.h>
#include <lua.h>

#define MACHINE_MAGIC   0x4d455850u
#define EXPR_MAGIC      0x52505845u

#define PATH_COUNT_MAX  32u   /* of one expression; further ones are not looked at when a nil's name is wanted */
#define NODE_COUNT_MAX  64u   /* a larger tree is left to Lua */
#define TREE_DEPTH_MAX  16u   /* as is a deeper one */
#define VALUE_DEPTH_MAX 64u   /* tables in tables that may leave an expression */
#define HOOK_STEP       1000u /* instructions between two looks at the budget */
#define MESSAGE_SIZE    512u

/* ---- text ---- */

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_SIGN, TOKEN_BAD };
struct token {
    enum token_kind kind;
    uint32_t start, size;
    bool plain; /* TOKEN_TEXT: in quotes and without escapes */
};
struct lexer {
    const char *text;
    uint32_t size, at;
};
void token_next(struct lexer *lexer, struct token *ret_token); /* comments and blanks are passed over */
bool token_is(const struct lexer *lexer, const struct token *token, const char *word);
bool token_is_field(const struct lexer *lexer,
                    uint32_t start); /* stands after '.' or ':' (but not after '..' or '::') */

enum root {
    ROOT_EVENT,
    ROOT_KEY,
    ROOT_ID,
    ROOT_HEADERS,
    ROOT_TIME,
    ROOT_TOPIC,
    ROOT_PARTITION,
    ROOT_OFFSET,
    ROOT_ATTEMPT,
    ROOT_ENV,
    ROOT_COUNT
};
extern const char *const root_names[ROOT_COUNT];
enum root root_of(const struct lexer *lexer, const struct token *token); /* ROOT_COUNT: none */

struct path_step {
    struct bytes name; /* .at NULL: by index */
    int64_t index;
    uint32_t end; /* in the text */
};
struct path {
    enum root root;
    uint32_t start, root_end, step_count;
    struct path_step *steps;
};

enum node_kind {
    NODE_PATH,
    NODE_CONSTANT,
    NODE_NOT,
    NODE_AND,
    NODE_OR,
    NODE_ADD,
    NODE_SUBTRACT,
    NODE_MULTIPLY,
    NODE_EQUAL,
    NODE_UNEQUAL,
    NODE_LESS,
    NODE_LESS_EQUAL,
    NODE_GREATER,
    NODE_GREATER_EQUAL
};

/* A value in the middle of an expression: nothing is copied, nothing is built. */
enum operand_kind {
    OPERAND_NIL,
    OPERAND_BOOL,
    OPERAND_INT,
    OPERAND_DOUBLE,
    OPERAND_TEXT,
    OPERAND_JSON,
    OPERAND_EVENT,
    OPERAND_HEADERS,
    OPERAND_ENV
};
struct operand {
    enum operand_kind kind;
    union {
        bool b;
        int64_t i;
        double d;
        struct bytes text;
        struct json_value json; /* OPERAND_JSON: an array, an object, or a number beyond int64_t */
    };
};

struct node {
    enum node_kind kind;
    uint8_t left, right;
    const struct path *path;
    struct operand constant;
};

struct expr {
    uint32_t magic;
    struct expr_machine *machine;
    struct arena *arena;
    const char *text;
    uint32_t size;
    struct expr_place place;
    struct path *paths; /* all that the text names, in its order */
    uint32_t path_count;
    struct node *nodes; /* node_count 0: Lua alone */
    uint32_t node_count;
    uint8_t top;
    uint32_t roots;   /* bit per enum root: named in the text; the chunk's arguments, in this order */
    bool loops;       /* holds a function: may run long, needs the hook */
    bool script;      /* `process` is called, and may give several values (script.h) */
    bool measure_lua; /* the small tree is passed by: for the bench and the differential test */
    int function;     /* in the registry */
};

void expr_read_text(struct expr *expr); /* fills in paths, nodes, roots, loops */

/* ---- machine ---- */

enum stop { STOP_NONE, STOP_INSTRUCTIONS, STOP_MEMORY, STOP_CHURN };

struct view {
    uint64_t generation; /* of the call it was made in */
    struct operand of;
    uint64_t cursor; /* of an array: behind the element asked for last, so that a walk by numbers is one walk */
    int64_t passed_count;
};

struct expr_machine {
    uint32_t magic;
    lua_State *lua;
    uint32_t instruction_count_max;
    size_t memory_size_max, memory_size;
    size_t churn_size_max, churn_left; /* bytes one call may ask for in all, freed ones included */
    uint64_t fail_after;               /* tests: allocations that still succeed */
    const char *(*environment)(void *ctx, const char *name);
    void *ctx;
    uint32_t expr_count;
    struct view *roots[3]; /* of event, headers, env: made once */
    int root_references[3], view_meta;
    struct json_parser *side; /* for fields that an earlier stage made as JSON text */
    uint8_t *scratch;
    size_t scratch_size;
    /* during a call: */
    uint64_t generation;
    struct expr *expr;
    const struct event *event;
    struct arena *arena;
    struct value *result;
    struct bytes *outputs; /* of a script, in place of `result` */
    uint32_t output_count;
    uint32_t trace_line; /* of a script's text, from 1: where it failed; 0: not known */
    char trace[256];     /* ", in price (line 4), process (line 9)" */
    int64_t budget;
    enum stop stop;
    bool no_room, too_large, too_deep, side_ready;
    struct json_value side_root;
};

struct expr_machine *machine_of(lua_State *L);
void machine_charge(lua_State *L, uint64_t steps); /* raises when the budget is spent */

/* ---- answering without Lua ---- */

enum verdict { VERDICT_DONE, VERDICT_LUA, VERDICT_FAIL };
struct trouble {
    const struct path *path;
    uint32_t step_count; /* the part of it that is nil, or has no fields */
    const char *what;    /* "nil"; otherwise the kind that cannot be indexed */
};
enum verdict path_answer(struct expr_machine *m, const struct path *path, struct operand *ret, struct trouble *trouble);
enum verdict tree_answer(struct expr_machine *m, const struct expr *expr, struct operand *ret, struct trouble *trouble);
struct operand operand_of_json(struct json_value json);
struct operand operand_of_event(struct expr_machine *m);
bool operand_by_name(struct expr_machine *m, const struct operand *of, struct bytes name, struct operand *ret);
bool operand_by_index(struct expr_machine *m, const struct operand *of, int64_t index, struct operand *ret);
struct operand operand_of_set(struct expr_machine *m, const struct value *set);

/* ---- views and library, on the Lua side ---- */

void view_setup(lua_State *L);
void view_push(lua_State *L, const struct operand *operand);
void view_push_root(lua_State *L, enum root root);
struct view *view_at(lua_State *L, int index); /* NULL: not a view; raises when it is dead */
size_t view_count(struct expr_machine *m, const struct view *view);
int view_pairs(lua_State *L);                          /* pairs() of a view at 1 */
int view_next(lua_State *L);                           /* next() of a view at 1 */
void view_text(lua_State *L, const struct view *view); /* pushes its JSON */
void view_copy(lua_State *L, const struct view *view); /* pushes a table of its fields or items; a null is script's `null` */

void library_setup(lua_State *L); /* leaves the sealed table of names on the stack */
void library_sorted_keys(lua_State *L,
                         int table); /* pushes an array of its keys: numbers, texts, booleans, each in order */
void library_tostring(lua_State *L, int index); /* pushes text without addresses */
int pattern_find(lua_State *L);
int pattern_match(lua_State *L);
int pattern_gmatch(lua_State *L);
int pattern_gsub(lua_State *L);

extern const char *const library_names[]; /* what is in reach beside the roots; ends with NULL */
const char *const *library_fields(const struct lexer *lexer,
                                  const struct token *token); /* NULL: not a library's name */
bool lua_load_expr(struct expr *expr, struct error *err);
int lua_run_expr(struct expr_machine *m); /* LUA_OK: m->result is filled in; otherwise the error is on the stack */

/* ---- scripts ---- */

extern const char *const script_names[]; /* in reach beside the others, `process` last; ends with NULL */
enum neap_status expr_new_of(struct expr_machine *machine, const char *text, const struct expr_place *place, bool script,
                             struct expr **ret_expr, struct error *err);
enum neap_status expr_ask(struct expr *expr, const struct event *e, struct arena *arena, struct value *result,
                          struct failure *failure);
void script_push_names(lua_State *L);     /* the values of script_names, but for `process` */
int  script_name_count(void);             /* of those */
int  script_trace(lua_State *L);          /* a message handler: notes the calls that led to an error */
void script_take(lua_State *L);           /* what is on the stack becomes the machine's outputs; raises */
bool script_is_array(lua_State *L, int table); /* marked by array() */

/* ---- out ---- */

enum neap_status operand_value(struct expr_machine *m, const struct operand *operand, struct value *ret_value);
void lua_value(lua_State *L, int index, struct value *ret_value); /* raises */

/* ---- failing ---- */

void fail_place(const struct expr *expr, uint32_t at, uint32_t *ret_line, uint32_t *ret_column);
enum neap_status fail_compile(struct expr *expr, uint32_t at, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
enum neap_status fail_trouble(const struct expr *expr, const struct trouble *trouble, struct arena *arena,
                              struct failure *failure);
enum neap_status fail_lua(const struct expr *expr, const char *message, struct arena *arena, struct failure *failure);
enum neap_status fail_limit(const struct expr *expr, struct arena *arena, struct failure *failure);
const char *fail_unknown(struct bytes name, const char *library, struct arena *arena); /* "unknown name 'evnt'; …" */

#endif
