/* call_answer.c - what came of a call: its outcome, for the event and for the destination, and what stands in where nobody answers. */
#include "flow/retry.h"
#include "stage/call_parts.h"

#define EXCERPT_SIZE 160u

/* ---- the answer's JSON ------------------------------------------------------------------------------------------------------- */

static bool take_json(struct flight *f)
{
    struct json_value root;
    struct bytes body = f->http.answer.body;
    f->value = (struct bytes){ f->room, 0 };
    if (f->call->o.into == NULL)
        return true;
    if (json_parse(f->call->o.parser, body, &root) != NEAP_OK)
        return false;
    f->value.size = json_without_blanks(f->room, body.size); /* an event is one line wherever it is written */
    return true;
}

/* ---- its outcome ------------------------------------------------------------------------------------------------------------- */

static enum call_error error_of(enum io_http_error error)
{
    static const enum call_error errors[IO_HTTP_ERROR_COUNT] = {
        [IO_HTTP_TIMEOUT] = CALL_ERROR_TIMEOUT, [IO_HTTP_CONNECT] = CALL_ERROR_CONNECT,
        [IO_HTTP_DNS] = CALL_ERROR_DNS,         [IO_HTTP_TLS] = CALL_ERROR_TLS,
        [IO_HTTP_RESET] = CALL_ERROR_RESET,     [IO_HTTP_ANSWER] = CALL_ERROR_ANSWER,
    };
    must(error != IO_HTTP_NONE && error != IO_HTTP_CANCELLED);
    return errors[error];
}

/* Somebody's text as a part of a sentence. */
static void write_excerpt(struct writer *w, struct bytes text)
{
    size_t size = text.size < EXCERPT_SIZE ? text.size : EXCERPT_SIZE;
    for (size_t i = 0; i < size; i++)
        write_u8(w, text.at[i] < ' ' || text.at[i] == 0x7f ? ' ' : text.at[i]);
}

/* Whom it called, never how: a url may carry a password. */
static void say(struct flight *f, mono_time now, const char *what, uint32_t status, struct bytes more)
{
    struct writer w = writer_of(f->words, sizeof f->words - 1);
    write_bytes(&w, destination_figures(f->destination, now).name);
    write_bytes(&w, bytes_of_text(what));
    if (status != 0)
        json_write_int(&w, status);
    write_bytes(&w, more.size > 0 ? BYTES(": ") : BYTES(""));
    write_excerpt(&w, more);
    f->words[writer_size(&w)] = '\0';
}

static enum outcome judge_error(struct flight *f, mono_time now)
{
    const struct io_http_answer *answer = &f->http.answer;
    say(f, now, "", 0, bytes_of_text(answer->text));
    f->reason = "released";
    if (answer->error == IO_HTTP_CANCELLED)
        return OUTCOME_RELEASED;
    f->reason = "refused";
    if (answer->is_private)
        return OUTCOME_PERMANENT;
    enum call_error error = error_of(answer->error);
    f->reason = call_error_word(error);
    return outcome_of_error(f->call->o.rules, error);
}

static enum outcome judge(struct flight *f, mono_time now)
{
    const struct call_options *o = &f->call->o;
    const struct io_http_answer *answer = &f->http.answer;
    if (answer->error != IO_HTTP_NONE)
        return judge_error(f, now);
    enum outcome outcome = outcome_of_status(o->rules, answer->status);
    if (outcome != OUTCOME_DELIVERED) {
        f->reason = outcome == OUTCOME_PERMANENT ? "refused" : "unavailable";
        say(f, now, " answered ", answer->status, answer->body);
        return outcome;
    }
    if (take_json(f))
        return outcome;
    f->reason = call_error_word(CALL_ERROR_ANSWER);
    say(f, now, " answered no JSON", 0, answer->body);
    return outcome_of_error(o->rules, CALL_ERROR_ANSWER);
}

/* ---- the cache, and what stands in ---------------------------------------------------------------------------------------------- */

bool call_uncache(struct flight *f, mono_time now)
{
    if (f->entry == CACHE_NOBODY)
        return false;
    uint32_t entry = f->entry;
    f->entry = CACHE_NOBODY;
    struct cache_found found = cache_fail(f->call->cache, entry, now);
    if (found.answer != CACHE_STALE)
        return false;
    must(found.value.size <= f->call->room_size);
    if (found.value.size > 0)
        memcpy(f->room, found.value.at, found.value.size);
    f->value = (struct bytes){ f->room, found.value.size };
    return true;
}

bool call_has_substitute(const struct flight *f, mono_time now)
{
    const struct call *c = f->call;
    return f->work == NULL || c->o.fallback.at != NULL ||
           (f->entry != CACHE_NOBODY && cache_has_old(c->cache, f->entry, now));
}

void call_substitute(struct flight *f, mono_time now)
{
    bool old = call_uncache(f, now);
    if (f->work == NULL)
        call_end(f, OUTCOME_RELEASED);
    else
        call_deliver(f, old ? f->value : f->call->o.fallback);
}

/* ---- landed ----------------------------------------------------------------------------------------------------------------------- */

static void tell_destination(struct flight *f, enum outcome outcome, mono_time now)
{
    struct call *c = f->call;
    const struct io_http_answer *answer = &f->http.answer;
    struct destination_end end = { .outcome = outcome,
                                   .timed_out = answer->error == IO_HTTP_TIMEOUT,
                                   .latency_ns = now.ns - f->begun_at.ns };
    if (answer->retry_after[0] != '\0' &&
        retry_after_read(bytes_of_text(answer->retry_after), io_wall(c->o.io), &end.retry_after_ns))
        f->retry_after_ns = end.retry_after_ns;
    destination_done(f->destination, &f->begun, &end, now, io_random(c->o.io));
}

static void tell_people(struct call *c, struct destination *destination, mono_time now)
{
    enum breaker_state state;
    if (!destination_has_news(destination, &state))
        return;
    struct destination_figures f = destination_figures(destination, now);
    if (state == BREAKER_OPEN)
        logging_warn(c->o.logging, "breaker opened: nothing is called, events wait",
                     LOGGING_TEXT("pipeline", c->o.pipeline), LOGGING_TEXT("stage", c->base.name),
                     LOGGING_BYTES("destination", f.name),
                     LOGGING_INT("looks_again_in_ms", (f.breaker.until.ns - now.ns) / NS_PER_MS));
    else
        logging_info(c->o.logging, "breaker closed: calls come back", LOGGING_TEXT("pipeline", c->o.pipeline),
                     LOGGING_TEXT("stage", c->base.name), LOGGING_BYTES("destination", f.name));
}

void call_landed(struct io_http_call *http)
{
    struct flight *f = http->ctx;
    struct call *c = f->call;
    CHECK_MAGIC(c, CALL_MAGIC);
    must(f->state == FLIGHT_CALLED);
    mono_time now = io_now(c->o.io);
    struct destination *destination = f->destination;
    enum outcome outcome = judge(f, now);
    bool cancelled = http->answer.error == IO_HTTP_CANCELLED;
    tell_destination(f, outcome, now);
    tell_people(c, destination, now);
    f->state = FLIGHT_ENDED;
    if (outcome == OUTCOME_DELIVERED && f->entry != CACHE_NOBODY) {
        uint32_t entry = f->entry;
        f->entry = CACHE_NOBODY;
        cache_put(c->cache, entry, f->value, now, io_random(c->o.io));
    }
    bool old = outcome != OUTCOME_DELIVERED && call_uncache(f, now) && !cancelled && outcome != OUTCOME_PERMANENT;
    bool over = outcome == OUTCOME_TRANSIENT && f->last && c->o.fallback.at != NULL;
    if (outcome == OUTCOME_DELIVERED || old)
        call_deliver(f, f->value);
    else if (over)
        call_deliver(f, c->o.fallback);
    else /* a probe is the breaker's own look, and a breaker makes no dead letters: it costs no attempt */
        call_end(f, outcome == OUTCOME_TRANSIENT && f->begun.probe ? OUTCOME_RELEASED : outcome);
    call_lines_ask_again(c, destination, now);
}
