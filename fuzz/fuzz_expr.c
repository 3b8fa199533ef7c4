/* Any text as an expression, of any event: it compiles or says where not; it ends; asked by the small tree and by Lua it
 * gives the same; and the machine works afterwards. Input: the expression, a NUL, the event's JSON (absent: a fixed one). */
#include "fuzz.h"

#include "flow/expr_internal.h"
#include <stdlib.h>

#define SIZE_LIMIT 8192u

static const char sample[] =
    "{\"i\":7,\"d\":2.5,\"s\":\"abc\",\"t\":true,\"n\":null,\"o\":{\"x\":[1,{\"y\":2}]},\"l\":[1,2.0,\"3\"]}";

struct answer {
    enum neap_status status;
    bool is_json;
    uint8_t room[SIZE_LIMIT * 8];
    struct bytes text;
};

static void ask(struct expr *expr, const struct event *event, struct arena *arena, bool lua, struct answer *ret_answer)
{
    struct value value = { .kind = VALUE_NIL };
    struct failure failure;
    expr->measure_lua = lua;
    ret_answer->status = expr_eval(expr, event, arena, &value, &failure);
    ret_answer->is_json = value.kind == VALUE_JSON; /* from Lua not to the letter */
    if (ret_answer->status != NEAP_OK) {
        must(failure.message.size > 0 && failure.line >= 3 && failure.column >= 5);
        return;
    }
    struct writer w = writer_of(ret_answer->room, sizeof(ret_answer->room));
    value_write_json(&w, &value);
    must(!w.full || value.text.size > SIZE_LIMIT);
    ret_answer->text = writer_bytes(&w);
}

static void ask_both_ways(struct expr *expr, const struct event *event, struct arena *arena)
{
    static struct answer tree, lua;
    bool has_tree = expr->node_count > 0;
    ask(expr, event, arena, true, &lua);
    ask(expr, event, arena, false, &tree);
    must((tree.status == NEAP_OK) == (lua.status == NEAP_OK));
    if (tree.status == NEAP_OK && (!has_tree || (!tree.is_json && !lua.is_json)))
        must(bytes_equal(tree.text, lua.text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_parser *parser;
    static struct arena *arena;
    static struct expr_machine *machine;
    if (size > SIZE_LIMIT)
        return 0;
    if (parser == NULL) {
        parser = json_parser_new(SIZE_LIMIT + 256);
        arena = arena_new(1u << 16, 16u << 20);
        machine =
            expr_machine_new(&(struct expr_options){ .instruction_count_max = 20000, .memory_size_max = 1u << 20 },
                             NULL);
    }
    char *text = calloc(1, size + 1);
    must(text != NULL && machine != NULL);
    if (size > 0)
        memcpy(text, data, size);
    size_t text_size = strlen(text);
    struct event event = { .json = text_size + 1 < size ? (struct bytes){ data + text_size + 1, size - text_size - 1 }
                                                        : BYTES(sample),
                           .topic = "t",
                           .attempt = 1 };
    if (json_parse(parser, event.json, &event.root) == NEAP_OK) {
        struct error error;
        struct expr *expr = NULL;
        const struct expr_place place = { "f", 3, 5, "filter" };
        if (expr_new(machine, text, &place, &expr, &error) == NEAP_OK)
            ask_both_ways(expr, &event, arena);
        else
            must(error.text[0] != '\0');
        expr_free(&expr);
    }
    arena_reset(arena);
    free(text);
    return 0;
}
