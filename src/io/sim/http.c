/* http.c - servers, as a simulation tells them: what a call meets, and when, in virtual time.
 *
 *     begin  --way there-->  ARRIVES: the server's function says what is to become of it  --its latency-->  ENDS: `done`
 *
 * A deadline or a cancel ends it sooner, in either place: the server hears of the call or does not, and does not hear that
 * nobody listens any more. Chance lengthens the ways, and never the time between a deadline and `done`. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define CALL_COUNT_MAX 1024u

/* ---- servers ---- */

/* "http://user@Host:80/path?x" -> "Host:80". Without a port: the scheme's. */
static struct bytes authority_of(struct bytes url, const char **ret_port)
{
    const uint8_t *at = memchr(url.at, '/', url.size), *end = url.at + url.size;
    must(at != NULL && end - at > 2);
    *ret_port = url.at[4] == ':' ? "80" : "443"; /* http: or https: */
    at += 2;
    const uint8_t *stop = at;
    while (stop < end && *stop != '/' && *stop != '?' && *stop != '#')
        stop++;
    for (const uint8_t *c = at; c < stop; c++)
        if (*c == '@')
            at = c + 1;
    return (struct bytes){ at, (size_t)(stop - at) };
}

static bool is_at(const struct sim_server *server, struct bytes authority, const char *port)
{
    size_t size = strlen(server->authority);
    if (size < authority.size || strncasecmp(server->authority, (const char *)authority.at, authority.size) != 0)
        return false;
    const char *rest = server->authority + authority.size;
    return *rest == '\0' || (*rest == ':' && strcmp(rest + 1, port) == 0);
}

static struct sim_server *server_of(struct sim *sim, struct bytes url)
{
    const char *port;
    struct bytes authority = authority_of(url, &port);
    struct sim_server *server = sim->servers;
    while (server != NULL && !is_at(server, authority, port))
        server = server->next;
    return server;
}

void sim_http_serve(struct io *io, const char *authority, const struct sim_http_server *served)
{
    struct sim *sim = sim_of(io);
    must(strrchr(authority, ':') != NULL && served->handle != NULL);
    struct sim_server *server = sim->servers;
    while (server != NULL && strcmp(server->authority, authority) != 0)
        server = server->next;
    if (server == NULL) {
        server = sim_take(sizeof(*server));
        *server = (struct sim_server){ .next = sim->servers, .authority = authority };
        sim->servers = server;
    }
    server->served = *served;
}

void sim_http_free(struct sim *sim)
{
    while (sim->servers != NULL) {
        struct sim_server *server = sim->servers;
        sim->servers = server->next;
        free(server);
    }
}

/* ---- a call's way ---- */

static int64_t way_ns(struct sim *sim)
{
    if (sim->calm)
        return 1000;
    int64_t ns = 1000 + sim_below(&sim->order_chance, 200000);
    return sim_one_in(&sim->order_chance, 100) ? ns + 20 * NS_PER_MS : ns;
}

static void fail(struct sim_http *http, enum io_http_error error, const char *text)
{
    http->answer = (struct io_http_answer){ .error = error };
    snprintf(http->answer.text, sizeof(http->answer.text), "%s", text);
}

static void take_text(char *to, size_t room, const char *text)
{
    if (text != NULL && strlen(text) < room)
        strcpy(to, text);
}

static void take_answer(struct sim_http *http, const struct sim_http_reply *reply)
{
    struct io_http_call *call = http->call;
    struct io_http_answer *answer = &http->answer;
    size_t kept = reply->body.size < call->room_size ? reply->body.size : call->room_size;
    if (reply->body.size > call->answer_limit_) {
        fail(http, IO_HTTP_ANSWER, "the answer is larger than its limit");
        return;
    }
    if (kept > 0)
        memcpy(call->room, reply->body.at, kept);
    *answer = (struct io_http_answer){ .status = reply->status, .body_size = reply->body.size };
    answer->body = kept > 0 ? (struct bytes){ call->room, kept } : (struct bytes){ NULL, 0 };
    take_text(answer->retry_after, sizeof(answer->retry_after), reply->retry_after);
    take_text(answer->content_type, sizeof(answer->content_type), reply->content_type);
}

static void meet(struct sim_http *http, const struct sim_http_reply *reply)
{
    switch (reply->manner) {
    case SIM_HTTP_ANSWERS:
        must(reply->status >= 100 && reply->status < 1000);
        take_answer(http, reply);
        break;
    case SIM_HTTP_RESETS:
        fail(http, IO_HTTP_RESET, "the connection was reset");
        break;
    case SIM_HTTP_GARBLES:
        fail(http, IO_HTTP_ANSWER, "it was no HTTP");
        break;
    case SIM_HTTP_REFUSES:
        fail(http, IO_HTTP_CONNECT, "connection refused");
        break;
    case SIM_HTTP_HAS_NO_NAME:
        fail(http, IO_HTTP_DNS, "the name has no address");
        break;
    case SIM_HTTP_IS_NOT_TRUSTED:
        fail(http, IO_HTTP_TLS, "the certificate is not to be trusted");
        break;
    case SIM_HTTP_HANGS:
        break;
    }
}

static void ask_server(struct sim *sim, struct sim_http *http, struct sim_http_reply *reply)
{
    struct io_http_call *call = http->call;
    struct sim_server *server = server_of(sim, call->url);
    if (server == NULL) {
        reply->manner = SIM_HTTP_REFUSES; /* nobody was ever told to listen there */
        return;
    }
    if (server->served.is_private && !call->private_allowed) {
        fail(http, IO_HTTP_CONNECT, "the address is private, and this call may go to public ones only");
        http->answer.is_private = true;
        http->refused = true;
        return;
    }
    struct sim_http_request request = { .method = call->method, .url = call->url, .body = call->body };
    request.headers = call->headers;
    request.header_count = call->header_count;
    request.number = ++server->call_count;
    server->served.handle(server->served.ctx, &request, reply);
    must(reply->latency_ns >= 0);
}

/* Of the two ends, whichever comes first; at one moment the answer does. */
static void settle(struct sim_http *http, mono_time ends, bool hangs)
{
    http->due = ends;
    if (!hangs && ends.ns <= http->call->deadline.ns)
        return;
    fail(http, IO_HTTP_TIMEOUT, "no answer before the deadline");
    http->due = http->call->deadline;
}

void sim_http_arrive(struct sim_http *http)
{
    struct sim *sim = http->agent->sim;
    struct sim_http_reply reply = { .manner = SIM_HTTP_ANSWERS, .status = 200 };
    http->at_server = true;
    ask_server(sim, http, &reply);
    sim_note(sim, "arrives", http->agent->name_hash, reply.manner, reply.status);
    if (!http->refused)
        meet(http, &reply);
    http->answer.times.first_byte_ns = sim->now_ns + reply.latency_ns - http->begun_at.ns;
    settle(http, mono_after(sim_now(sim), reply.latency_ns + (http->refused ? 0 : way_ns(sim))),
           reply.manner == SIM_HTTP_HANGS);
}

static void forget(struct sim_http *http)
{
    struct sim_http **link = &http->agent->https;
    while (*link != http)
        link = &(*link)->next;
    *link = http->next;
    http->agent->sim->http_count--;
    http->call->at_work_ = false;
    http->call->own_ = NULL;
    free(http);
}

void sim_http_end(struct sim_http *http)
{
    struct sim_agent *agent = http->agent;
    struct io_http_call *call = http->call;
    call->answer = http->answer;
    call->answer.times.total_ns = agent->sim->now_ns - http->begun_at.ns;
    forget(http);
    sim_note(agent->sim, "called", agent->name_hash, call->answer.status, call->answer.error);
    struct sim_agent *before = sim_turn_begin(agent);
    call->done(call); /* the call may be gone or on its way again */
    sim_turn_end(agent, before);
}

void sim_http_drop(struct sim_agent *agent)
{
    while (agent->https != NULL)
        forget(agent->https);
}

/* ---- the verbs ---- */

enum neap_status sim_http_prepare(struct io *io, const struct io_http_options *options, struct error *err)
{
    (void)err;
    struct sim *sim = sim_of(io);
    if (sim->http_count_max == 0)
        sim->http_count_max = options->call_count_max == 0 ? CALL_COUNT_MAX : options->call_count_max;
    return NEAP_OK;
}

enum neap_status sim_http_begin(struct io_http_call *call, struct error *err)
{
    struct sim_agent *agent = sim_agent_of(call->agent);
    struct sim *sim = agent->sim;
    sim_http_prepare(&sim->io, &(struct io_http_options){ .call_count_max = 0 }, NULL);
    if (sim->http_count == sim->http_count_max)
        return error_set(err, NEAP_AGAIN, "%u calls are in flight", sim->http_count_max);
    struct sim_http *http = sim_take(sizeof(*http));
    *http = (struct sim_http){ .call = call, .agent = agent, .begun_at = sim_now(sim) };
    settle(http, mono_after(sim_now(sim), way_ns(sim)), false);
    http->at_server = http->answer.error != IO_HTTP_NONE; /* its deadline is over before it gets there */
    struct sim_http **link = &agent->https;
    while (*link != NULL)
        link = &(*link)->next;
    *link = http;
    sim->http_count++;
    call->own_ = http;
    sim_note(sim, "calling", agent->name_hash, bytes_hash(call->url, 0), call->body.size);
    return NEAP_OK;
}

void sim_http_cancel(struct io_http_call *call)
{
    struct sim_http *http = call->own_;
    struct sim *sim = http->agent->sim;
    if (call->cancelled_ || (http->at_server && http->due.ns <= sim->now_ns))
        return; /* something came first, and is about to be told */
    call->cancelled_ = true;
    http->at_server = true; /* it gets nowhere any more */
    fail(http, IO_HTTP_CANCELLED, "cancelled");
    http->due = mono_min(http->call->deadline, mono_after(sim_now(sim), way_ns(sim)));
}
