/* call_request.c - an event becomes a request. Everything is made in the arena first, and what nobody else keeps is then copied into
 * one room of the stage's own. */
#include "stage/call_parts.h"
#include <strings.h>

struct making {
    struct flight *flight;
    struct event *event;
    struct arena *arena;
    struct failure *failure;
    struct bytes url, body, values[CALL_HEADER_COUNT_MAX + 2], names[CALL_HEADER_COUNT_MAX + 2];
    uint32_t header_count;
    bool keeps_body; /* somebody else does, until the call has ended */
};

static bool fail(struct failure *failure, const char *reason, const char *text)
{
    *failure = (struct failure){ .reason = reason, .message = bytes_of_text(text != NULL ? text : "no room left") };
    return false;
}

/* ---- values as texts ------------------------------------------------------------------------------------------------------------ */

enum neap_status call_text_of(struct expr *expr, const char *what, struct event *event, struct arena *arena,
                              struct bytes *ret_text, struct failure *failure)
{
    struct value value;
    *ret_text = (struct bytes){ NULL, 0 };
    enum neap_status status = expr_eval(expr, event, arena, &value, failure);
    if (status != NEAP_OK || value.kind == VALUE_NIL)
        return status;
    if (value.kind == VALUE_TEXT) {
        *ret_text = value.text.size > 0 ? value.text : (struct bytes){ (const uint8_t *)"", 0 };
        return NEAP_OK;
    }
    if (value.kind == VALUE_JSON) {
        fail(failure, "expression", arena_text(arena, "%s: a list or a map is no text", what));
        return NEAP_BADINPUT;
    }
    uint8_t *room = arena_take(arena, 64);
    if (room == NULL) {
        fail(failure, "too_large", NULL);
        return NEAP_NOMEM;
    }
    struct writer w = writer_of(room, 64);
    value_write_json(&w, &value);
    *ret_text = writer_bytes(&w);
    return NEAP_OK;
}

static bool make_url(struct making *m)
{
    struct call *c = m->flight->call;
    if (c->o.url != NULL) {
        m->url = bytes_of_text(c->o.url);
        return true;
    }
    if (call_text_of(c->o.url_expr, "url", m->event, m->arena, &m->url, m->failure) != NEAP_OK)
        return false;
    return m->url.at != NULL || fail(m->failure, "expression", "url: it is nil");
}

static void add_header(struct making *m, struct bytes name, struct bytes value)
{
    m->names[m->header_count] = name;
    m->values[m->header_count++] = value;
}

static bool has_header(const struct making *m, const char *name)
{
    for (uint32_t i = 0; i < m->header_count; i++)
        if (m->names[i].size == strlen(name) && strncasecmp((const char *)m->names[i].at, name, m->names[i].size) == 0)
            return true;
    return false;
}

/* The file's own, and those of ours that it does not set itself. */
static bool make_headers(struct making *m)
{
    struct call *c = m->flight->call;
    for (uint32_t i = 0; i < c->o.header_count; i++) {
        const struct call_header *h = &c->headers[i];
        struct bytes text = h->expr == NULL ? bytes_of_text(h->text) : (struct bytes){ NULL, 0 };
        if (h->expr != NULL && call_text_of(h->expr, h->name, m->event, m->arena, &text, m->failure) != NEAP_OK)
            return false;
        if (text.at != NULL)
            add_header(m, bytes_of_text(h->name), text);
    }
    if (m->body.size > 0 && !has_header(m, "content-type"))
        add_header(m, BYTES("Content-Type"), BYTES("application/json"));
    if (has_header(m, "idempotency-key"))
        return true;
    char *key = arena_text(m->arena, "%s-%u-%llu", c->o.idempotency, m->event->partition,
                           (unsigned long long)m->event->offset.n);
    if (key == NULL)
        return fail(m->failure, "too_large", NULL);
    add_header(m, BYTES("Idempotency-Key"), bytes_of_text(key));
    return true;
}

static bool make_value_body(struct making *m)
{
    struct call *c = m->flight->call;
    struct value value;
    if (expr_eval(c->o.body, m->event, m->arena, &value, m->failure) != NEAP_OK)
        return false;
    if (value.kind == VALUE_NIL)
        return true;
    bool long_one = value.kind == VALUE_TEXT || value.kind == VALUE_JSON;
    size_t most = long_one ? 6 * value.text.size + 2 : 64; /* a character as \u0000 at the most */
    uint8_t *room = arena_take(m->arena, most);
    if (room == NULL)
        return fail(m->failure, "too_large", "body: it is larger than an event may be");
    struct writer w = writer_of(room, most);
    value_write_json(&w, &value);
    must(!w.full);
    m->body = writer_bytes(&w);
    return true;
}

static bool make_body(struct making *m)
{
    struct call *c = m->flight->call;
    if (c->o.body != NULL)
        return make_value_body(m);
    if (c->o.bodiless)
        return true;
    if (event_json(m->event, m->arena, &m->body) != NEAP_OK)
        return fail(m->failure, "too_large", "it became larger than an event may be");
    m->keeps_body = m->body.at == m->event->json.at && m->flight->work != NULL; /* waiting.h: begin() */
    return true;
}

/* ---- whom it goes to ------------------------------------------------------------------------------------------------------------ */

static enum waiting_begun find_destination(struct making *m, mono_time *ret_not_before)
{
    struct flight *f = m->flight;
    struct call *c = f->call;
    char room[DESTINATION_NAME_SIZE_MAX];
    struct bytes name, key;
    f->destination = c->destination;
    if (c->o.limit_key != NULL) {
        if (call_text_of(c->o.limit_key, "limit per", m->event, m->arena, &key, m->failure) != NEAP_OK)
            return WAITING_REFUSED;
        f->limit_hash = key.at != NULL ? bytes_hash(key, 0) : 0;
    }
    if (c->destination != NULL)
        return WAITING_BEGUN;
    if (destination_name_of(m->url, room, &name) != NEAP_OK) {
        fail(m->failure, "expression",
             arena_text(m->arena, "url: '%.*s' is none that can be called",
                        (int)(m->url.size < 100 ? m->url.size : 100), (const char *)m->url.at));
        return WAITING_REFUSED;
    }
    if (destinations_acquire(c->o.destinations, name, &c->o.manners, io_now(c->o.io), &f->destination) != NEAP_OK) {
        *ret_not_before = mono_after(io_now(c->o.io), CALL_PAUSE); /* all of them are in use */
        return WAITING_LATER;
    }
    f->holds = true;
    return WAITING_BEGUN;
}

/* ---- what is kept --------------------------------------------------------------------------------------------------------------- */

static struct bytes keep(struct writer *w, struct bytes bytes)
{
    struct bytes kept = { w->at, bytes.size };
    write_bytes(w, bytes);
    return kept;
}

static size_t size_of(const struct making *m)
{
    size_t size = m->header_count * sizeof(struct io_http_header) + (m->keeps_body ? 0 : m->body.size);
    size += m->flight->call->o.url != NULL ? 0 : m->url.size;
    for (uint32_t i = 0; i < m->header_count; i++)
        size += m->values[i].size;
    return size;
}

/* False: there is no room now. */
static bool keep_request(struct making *m)
{
    struct flight *f = m->flight;
    struct call *c = f->call;
    f->request_size = size_of(m);
    f->request = rooms_take(c->requests, f->request_size);
    if (f->request == NULL)
        return false;
    struct io_http_header *headers = (struct io_http_header *)(void *)f->request;
    struct writer w = writer_of(f->request + m->header_count * sizeof headers[0],
                                f->request_size - m->header_count * sizeof headers[0]);
    for (uint32_t i = 0; i < m->header_count; i++)
        headers[i] = (struct io_http_header){ m->names[i], keep(&w, m->values[i]) };
    f->http = (struct io_http_call){ .agent = c->o.agent,
                                     .done = call_landed,
                                     .ctx = f,
                                     .method = bytes_of_text(c->o.method),
                                     .url = c->o.url != NULL ? m->url : keep(&w, m->url),
                                     .headers = headers,
                                     .header_count = m->header_count,
                                     .body = m->keeps_body ? m->body : keep(&w, m->body),
                                     .room = f->room,
                                     .room_size = c->room_size,
                                     .answer_size_max = c->o.answer_size_max,
                                     .private_allowed = c->o.url != NULL || c->o.private_allowed };
    must(!w.full);
    return true;
}

enum waiting_begun call_request(struct flight *f, struct event *event, struct arena *arena, struct failure *failure,
                                mono_time *ret_not_before)
{
    struct making m = { .flight = f, .event = event, .arena = arena, .failure = failure };
    if (!make_url(&m) || !make_body(&m) || !make_headers(&m))
        return WAITING_REFUSED;
    if (size_of(&m) > f->call->o.request_size) {
        fail(failure, "too_large", "the request is larger than an event may be");
        return WAITING_REFUSED;
    }
    enum waiting_begun begun = find_destination(&m, ret_not_before);
    if (begun == WAITING_BEGUN && !keep_request(&m)) {
        *ret_not_before = mono_after(io_now(f->call->o.io), CALL_PAUSE);
        begun = WAITING_LATER;
    }
    return begun;
}
