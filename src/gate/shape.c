#include "gate/shape.h"
#include "base/must.h"
#include "base/rfc3339.h"
#include <math.h>
#include <stdlib.h>

struct shaper {
    const struct gate_options *options;
    struct json_parser *parser;
    struct expr_machine *machine;
    struct expr_place key_place, id_place, time_place;
    struct expr *key, *id, *time; /* NULL: not given */
};

static enum neap_status compile(struct shaper *s, const struct gate_expr *from, const char *what,
                                struct expr_place *place, struct expr **ret_expr, struct error *err)
{
    if (from->text == NULL)
        return NEAP_OK;
    *place = (struct expr_place){
        .file = s->options->pipeline_file, .line = from->line, .column = from->column, .what = what
    };
    return expr_new(s->machine, from->text, place, ret_expr, err);
}

static uint32_t size_max(const struct shaper *s)
{
    return s->options->record_size_max != 0 ? s->options->record_size_max : RECORD_SIZE_MAX;
}

enum neap_status shaper_new(const struct gate_options *options, struct shaper **ret_shaper, struct error *err)
{
    struct shaper *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a source");
    s->options = options;
    enum neap_status status = NEAP_OK;
    s->parser = json_parser_new(size_max(s));
    if (s->parser == NULL)
        status = error_set(err, NEAP_NOMEM, "no memory for a JSON parser");
    s->machine = status == NEAP_OK ? expr_machine_new(&options->expr, err) : NULL;
    if (status == NEAP_OK && s->machine == NULL)
        status = err != NULL && err->status != NEAP_OK ? err->status : NEAP_NOMEM;
    if (status == NEAP_OK)
        status = compile(s, &options->id, "id", &s->id_place, &s->id, err);
    if (status == NEAP_OK)
        status = compile(s, &options->key, "key", &s->key_place, &s->key, err);
    if (status == NEAP_OK)
        status = compile(s, &options->time, "time", &s->time_place, &s->time, err);
    if (status != NEAP_OK) {
        shaper_free(&s);
        return status;
    }
    *ret_shaper = s;
    return NEAP_OK;
}

void shaper_free(struct shaper **shaper)
{
    struct shaper *s = *shaper;
    *shaper = NULL;
    if (s == NULL)
        return;
    expr_free(&s->key);
    expr_free(&s->id);
    expr_free(&s->time);
    expr_machine_free(&s->machine);
    json_parser_free(&s->parser);
    free(s);
}

/* ---- what an expression made ---- */

static enum neap_status fail(struct failure *failure, struct arena *arena, const char *reason, const char *message)
{
    if (message == NULL)
        return NEAP_NOMEM;
    (void)arena;
    failure->reason = reason;
    failure->message = bytes_of_text(message);
    return NEAP_BADINPUT;
}

/* An expression's failure tells its own place; a dead letter at the door tells the place of the data, so that goes into
 * the words. */
static enum neap_status fail_expr(struct failure *failure, struct arena *arena, const struct failure *inner)
{
    must(inner->message.size < INT32_MAX);
    const char *message = arena_text(arena, "%s:%u:%u: %.*s", inner->file != NULL ? inner->file : "", inner->line,
                                     inner->column, (int)inner->message.size, (const char *)inner->message.at);
    return fail(failure, arena, "expression", message);
}

static enum neap_status eval(struct expr *expr, const struct event *e, struct arena *arena, struct value *ret_value,
                             struct failure *failure)
{
    struct failure inner = { 0 };
    enum neap_status status = expr_eval(expr, e, arena, ret_value, &inner);
    if (status == NEAP_OK || status == NEAP_NOMEM)
        return status;
    return fail_expr(failure, arena, &inner);
}

static enum neap_status eval_text(struct expr *expr, const struct event *e, struct arena *arena, struct bytes *ret_text,
                                  struct failure *failure)
{
    struct value v;
    if (expr == NULL)
        return NEAP_OK;
    enum neap_status status = eval(expr, e, arena, &v, failure);
    if (status != NEAP_OK || v.kind == VALUE_NIL)
        return status;
    *ret_text = value_text(&v, arena);
    return ret_text->at != NULL ? NEAP_OK : NEAP_NOMEM;
}

static bool time_of(const struct value *v, int64_t *ret_ms)
{
    wall_time t;
    if (v->kind == VALUE_INT) {
        *ret_ms = v->i;
        return true;
    }
    if (v->kind == VALUE_DOUBLE && isfinite(v->d) && fabs(v->d) < 9e15) {
        *ret_ms = (int64_t)floor(v->d);
        return true;
    }
    if (v->kind != VALUE_TEXT || !rfc3339_read(v->text, &t))
        return false;
    *ret_ms = t.ms;
    return true;
}

static enum neap_status eval_time(struct shaper *s, const struct event *e, struct arena *arena, int64_t *ret_ms,
                                  struct failure *failure)
{
    struct value v;
    if (s->time == NULL)
        return NEAP_OK;
    enum neap_status status = eval(s->time, e, arena, &v, failure);
    if (status != NEAP_OK || v.kind == VALUE_NIL || time_of(&v, ret_ms))
        return status;
    struct bytes text = value_text(&v, arena);
    if (text.at == NULL)
        return NEAP_NOMEM;
    struct bytes message = { NULL, 0 };
    int shown = text.size < 100 ? (int)text.size : 100;
    const char *words = arena_text(arena, "time is %.*s; wanted RFC 3339 text or Unix milliseconds", shown, text.at);
    if (words == NULL)
        return NEAP_NOMEM;
    message = bytes_of_text(words);
    struct failure inner = {
        .message = message, .file = s->time_place.file, .line = s->time_place.line, .column = s->time_place.column
    };
    return fail_expr(failure, arena, &inner);
}

/* ---- one line ---- */

static enum neap_status parse(struct shaper *s, struct bytes text, struct arena *arena, struct event *e,
                              struct failure *failure)
{
    enum neap_status status = json_parse(s->parser, text, &e->root);
    if (status != NEAP_BADINPUT)
        return status;
    const char *what = NULL;
    status = json_explain(text, &failure->column, &what);
    must(status == NEAP_BADINPUT); /* both readers agree on what JSON is */
    return fail(failure, arena, "not_json", arena_text(arena, "not JSON: %s", what));
}

static enum neap_status too_large(const struct shaper *s, struct failure *failure, struct arena *arena,
                                  const char *what, uint64_t size)
{
    return fail(failure, arena, "too_large",
                arena_text(arena, "%s of %llu bytes; the limit of topic '%s' is %u", what, (unsigned long long)size,
                           s->options->topic, size_max(s)));
}

enum neap_status shape(struct shaper *s, const struct line *line, uint64_t line_number, wall_time now,
                       struct arena *arena, struct shaped *ret_shaped, struct failure *ret_failure)
{
    struct shaped shaped = { .value = line->bytes, .time_ms = now.ms };
    struct event e = { .json = line->bytes, .time_ms = now.ms, .topic = s->options->topic, .attempt = 1 };
    *ret_failure = (struct failure){ .stage = "source",
                                     .file = s->options->path != NULL ? s->options->path : "stdin",
                                     .line = line_number < UINT32_MAX ? (uint32_t)line_number : UINT32_MAX };
    if (line->size > size_max(s))
        return too_large(s, ret_failure, arena, "line", line->size);
    enum neap_status status = parse(s, line->bytes, arena, &e, ret_failure);
    if (status == NEAP_OK)
        status = eval_text(s->id, &e, arena, &shaped.id, ret_failure);
    e.id = shaped.id;
    if (status == NEAP_OK)
        status = eval_text(s->key, &e, arena, &shaped.key, ret_failure);
    e.key = shaped.key;
    if (status == NEAP_OK)
        status = eval_time(s, &e, arena, &shaped.time_ms, ret_failure);
    if (status != NEAP_OK)
        return status;
    uint64_t size = (uint64_t)shaped.value.size + shaped.key.size + shaped.id.size;
    if (size > size_max(s))
        return too_large(s, ret_failure, arena, "event with its key and id", size);
    if (s->options->key_needed && shaped.key.at == NULL)
        return fail(ret_failure, arena, "refused",
                    arena_text(arena, "topic '%s' is compacted, which takes a key, and its key is nil",
                               s->options->topic));
    *ret_shaped = shaped;
    return NEAP_OK;
}
