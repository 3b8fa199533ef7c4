/* Any text as a script, of any event: it compiles or says where not; it ends; all that comes out is JSON; asked again it gives the
 * same; and the machine works afterwards. Input: the script, a NUL, the event's JSON (absent: a fixed one). */
#include "fuzz.h"

#include "flow/script.h"
#include "log/limits.h"
#include <stdlib.h>

#define SIZE_LIMIT 8192u

static const char sample[] =
    "{\"i\":7,\"d\":2.5,\"s\":\"abc\",\"t\":true,\"n\":null,\"o\":{\"x\":[1,{\"y\":2}]},\"l\":[1,null,\"3\"],\"e\":[]}";

struct answer {
    enum neap_status status;
    struct bytes *outputs;
    uint32_t count;
};

static struct answer ask(struct script *script, const struct event *event, struct arena *arena)
{
    struct answer a = { .count = 0 };
    struct failure failure;
    a.status = script_run(script, event, arena, &a.outputs, &a.count, &failure);
    if (a.status != NEAP_OK)
        must(failure.reason != NULL && failure.message.size > 0 && failure.line >= 3 && failure.column >= 1);
    must(a.status == NEAP_OK || a.count == 0);
    must(a.count <= SCRIPT_OUTPUT_COUNT_MAX);
    return a;
}

static void ask_twice(struct script *script, const struct event *event, struct arena *arena)
{
    static struct json_parser *reader;
    struct json_value root;
    if (reader == NULL)
        reader = json_parser_new(RECORD_SIZE_MAX);
    struct answer first = ask(script, event, arena), second = ask(script, event, arena);
    if (first.status == NEAP_NOMEM || second.status == NEAP_NOMEM)
        return; /* the arena is full */
    must(first.status == second.status && first.count == second.count);
    for (uint32_t i = 0; i < first.count; i++) {
        must(bytes_equal(first.outputs[i], second.outputs[i]));
        must(json_parse(reader, first.outputs[i], &root) == NEAP_OK);
        must(json_kind(root) == JSON_OBJECT || json_kind(root) == JSON_ARRAY);
    }
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
        struct script *script = NULL;
        const struct expr_place place = { "f", 3, 5, "lua" };
        if (script_new(machine, text, &place, &script, &error) == NEAP_OK)
            ask_twice(script, &event, arena);
        else
            must(error.text[0] != '\0');
        script_free(&script);
    }
    arena_reset(arena);
    free(text);
    return 0;
}
