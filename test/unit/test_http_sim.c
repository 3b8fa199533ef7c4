/* test_http_sim.c - simulated servers answer, hang, reset and refuse in virtual time: each call is done once, by its deadline. */
#include "check.h"

#include "io/sim.h"
#include <stdlib.h>
#include <string.h>

#define CALL_COUNT 40u

struct call {
    struct io_http_call http;
    struct world *world;
    struct io_http_header headers[2];
    char room[64];
    uint32_t done_count;
    mono_time done_at;
    bool again; /* begin once more within done() */
};

struct world {
    struct io *io;
    struct io_agent agent;
    struct call calls[CALL_COUNT];
    uint32_t waiting_count;
    struct sim_http_reply reply; /* what the server says to each */
    uint32_t seen_count;
    mono_time seen_at;
    char seen_body[64], seen_url[64], seen_header[64];
    uint64_t chance; /* 0: as `reply` says */
};

static uint32_t rest(void *ctx, mono_time now)
{
    (void)ctx, (void)now;
    return 0;
}

static void copy(char *to, size_t room, struct bytes bytes)
{
    assert_true(bytes.size < room);
    if (bytes.size > 0)
        memcpy(to, bytes.at, bytes.size);
    to[bytes.size] = '\0';
}

static void handle(void *ctx, const struct sim_http_request *request, struct sim_http_reply *reply)
{
    struct world *w = ctx;
    w->seen_count++;
    assert_int_equal(request->number, w->seen_count);
    w->seen_at = io_now(w->io);
    copy(w->seen_url, sizeof(w->seen_url), request->url);
    copy(w->seen_body, sizeof(w->seen_body), request->body);
    if (request->header_count > 0)
        copy(w->seen_header, sizeof(w->seen_header), request->headers[0].value);
    *reply = w->reply;
    if (w->chance == 0)
        return;
    reply->manner = (enum sim_http_manner)chance_below(&w->chance, SIM_HTTP_IS_NOT_TRUSTED + 1);
    reply->latency_ns = (int64_t)chance_below(&w->chance, 200) * NS_PER_MS;
}

static void open_world(struct world *w, uint64_t seed, bool calm)
{
    *w = (struct world){ .reply = { .manner = SIM_HTTP_ANSWERS, .status = 200 } };
    w->io = sim_open(&(struct sim_options){ .seed = seed, .calm = calm });
    w->agent = (struct io_agent){ .name = "caller", .work = rest, .ctx = w };
    assert_int_equal(io_agent_start(w->io, &w->agent, NULL), NEAP_OK);
    sim_http_serve(w->io, "shop.example:80", &(struct sim_http_server){ .handle = handle, .ctx = w });
    sim_http_serve(w->io, "10.0.0.1:8080", &(struct sim_http_server){ .handle = handle, .ctx = w, .is_private = true });
}

static void close_world(struct world *w)
{
    io_agent_stop(&w->agent);
    sim_close(&w->io);
}

static void done(struct io_http_call *http)
{
    struct call *call = http->ctx;
    call->done_count++;
    call->done_at = io_now(call->world->io);
    call->world->waiting_count--;
    if (!call->again)
        return;
    call->again = false;
    call->http.deadline = mono_after(call->done_at, NS_PER_S);
    assert_int_equal(io_http_begin(&call->http, NULL), NEAP_OK);
    call->world->waiting_count++;
}

static enum neap_status begin(struct world *w, struct call *call, const char *url, int64_t ms, struct error *err)
{
    call->world = w;
    call->http = (struct io_http_call){ .agent = &w->agent, .done = done, .ctx = call, .method = BYTES("POST") };
    call->http.url = bytes_of_text(url);
    call->http.body = BYTES("{\"order\":7}");
    call->headers[0] = (struct io_http_header){ BYTES("X-Id"), BYTES("o-7") };
    call->http.headers = call->headers;
    call->http.header_count = 1;
    call->http.deadline = mono_after(io_now(w->io), ms * NS_PER_MS);
    call->http.room = call->room;
    call->http.room_size = sizeof(call->room);
    enum neap_status status = io_http_begin(&call->http, err);
    w->waiting_count += status == NEAP_OK;
    return status;
}

static struct io_http_answer *call_once(struct world *w, const char *url, int64_t ms)
{
    struct call *call = &w->calls[0];
    uint32_t before = call->done_count;
    assert_int_equal(begin(w, call, url, ms, NULL), NEAP_OK);
    assert_int_equal(call->done_count, before); /* never within begin */
    sim_run(w->io, 10 * NS_PER_S);
    assert_int_equal(call->done_count, before + 1);
    return &call->http.answer;
}

static void a_request_arrives_and_its_answer_comes_back(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, true);
    w.reply = (struct sim_http_reply){ .status = 429, .body = BYTES("{\"ok\":false}"), .latency_ns = 30 * NS_PER_MS };
    w.reply.retry_after = "120";
    w.reply.content_type = "application/json";
    mono_time before = io_now(w.io);
    struct io_http_answer *answer = call_once(&w, "http://user@Shop.example/orders?x=1", 1000);
    assert_string_equal(w.seen_url, "http://user@Shop.example/orders?x=1");
    assert_string_equal(w.seen_body, "{\"order\":7}");
    assert_string_equal(w.seen_header, "o-7");
    assert_int_equal(answer->status, 429);
    assert_int_equal(answer->error, IO_HTTP_NONE);
    assert_string_equal(answer->retry_after, "120");
    assert_string_equal(answer->content_type, "application/json");
    assert_true(bytes_equal(answer->body, BYTES("{\"ok\":false}")));
    assert_int_equal(answer->body_size, 12);
    assert_int_equal(w.calls[0].done_at.ns, before.ns + 30 * NS_PER_MS + 2000); /* calm: a microsecond each way */
    assert_int_equal(answer->times.total_ns, 30 * NS_PER_MS + 2000);
    close_world(&w);
}

static void each_failure_has_its_word(void **state)
{
    static const struct {
        enum sim_http_manner manner;
        enum io_http_error error;
    } ways[] = {
        { SIM_HTTP_HANGS, IO_HTTP_TIMEOUT },   { SIM_HTTP_RESETS, IO_HTTP_RESET },
        { SIM_HTTP_GARBLES, IO_HTTP_ANSWER },  { SIM_HTTP_REFUSES, IO_HTTP_CONNECT },
        { SIM_HTTP_HAS_NO_NAME, IO_HTTP_DNS }, { SIM_HTTP_IS_NOT_TRUSTED, IO_HTTP_TLS },
    };
    (void)state;
    struct world w;
    open_world(&w, 1, true);
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        w.reply.manner = ways[i].manner;
        struct io_http_answer *answer = call_once(&w, "http://shop.example/", 100);
        assert_int_equal(answer->error, ways[i].error);
        assert_int_equal(answer->status, 0);
        assert_true(answer->text[0] != '\0');
    }
    assert_int_equal(w.seen_count, COUNT_OF(ways));
    assert_int_equal(call_once(&w, "http://nobody.example/", 100)->error, IO_HTTP_CONNECT);
    assert_int_equal(call_once(&w, "https://shop.example/", 100)->error, IO_HTTP_CONNECT); /* port 443 */
    assert_int_equal(call_once(&w, "http://shop.example:81/", 100)->error, IO_HTTP_CONNECT);
    assert_int_equal(w.seen_count, COUNT_OF(ways));
    assert_string_equal(io_http_error_word(IO_HTTP_TLS), "tls");
    close_world(&w);
}

static void the_deadline_is_kept_to_the_nanosecond(void **state)
{
    (void)state;
    struct world w;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        open_world(&w, seed, false);
        w.reply.manner = SIM_HTTP_HANGS;
        mono_time deadline = mono_after(io_now(w.io), 100 * NS_PER_MS);
        assert_int_equal(call_once(&w, "http://shop.example/", 100)->error, IO_HTTP_TIMEOUT);
        assert_true(w.calls[0].done_at.ns >= deadline.ns && w.calls[0].done_at.ns < deadline.ns + 10000);
        w.reply = (struct sim_http_reply){ .status = 200, .latency_ns = 5 * NS_PER_S }; /* a drip that is too slow */
        assert_int_equal(call_once(&w, "http://shop.example/", 100)->error, IO_HTTP_TIMEOUT);
        assert_int_equal(call_once(&w, "http://shop.example/", 0)->error, IO_HTTP_TIMEOUT);
        assert_int_equal(w.seen_count, 2); /* that one did not get there */
        close_world(&w);
    }
}

static void what_is_cancelled_is_done_soon_or_was_done_already(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, true);
    struct call *call = &w.calls[0];
    w.reply.latency_ns = 50 * NS_PER_MS;
    assert_int_equal(begin(&w, call, "http://shop.example/", 1000, NULL), NEAP_OK);
    sim_run(w.io, 10 * NS_PER_MS);
    mono_time at = io_now(w.io);
    io_http_cancel(&call->http);
    io_http_cancel(&call->http);
    assert_int_equal(call->done_count, 0);
    sim_run(w.io, NS_PER_S);
    assert_int_equal(call->done_count, 1);
    assert_int_equal(call->http.answer.error, IO_HTTP_CANCELLED);
    assert_true(call->done_at.ns <= at.ns + 1000);
    assert_int_equal(w.seen_count, 1);
    assert_int_equal(begin(&w, call, "http://shop.example/", 1000, NULL), NEAP_OK);
    io_http_cancel(&call->http); /* before it got there */
    sim_run(w.io, NS_PER_S);
    assert_int_equal(call->http.answer.error, IO_HTTP_CANCELLED);
    assert_int_equal(w.seen_count, 1);
    assert_int_equal(begin(&w, call, "http://shop.example/", 1000, NULL), NEAP_OK);
    io_agent_stop(&w.agent); /* what is in flight then is never heard of */
    sim_run(w.io, NS_PER_S);
    assert_int_equal(call->done_count, 2);
    close_world(&w);
}

static void a_call_may_begin_again_when_it_is_done(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 3, false);
    w.calls[0].again = true;
    assert_int_equal(begin(&w, &w.calls[0], "http://shop.example/", 1000, NULL), NEAP_OK);
    sim_run(w.io, NS_PER_S);
    assert_int_equal(w.calls[0].done_count, 2);
    assert_int_equal(w.seen_count, 2);
    close_world(&w);
}

static void an_answer_is_kept_as_far_as_there_is_room(void **state)
{
    (void)state;
    struct world w;
    char large[200];
    memset(large, 'x', sizeof(large));
    open_world(&w, 1, true);
    w.reply.body = (struct bytes){ (const uint8_t *)large, sizeof(large) };
    assert_int_equal(call_once(&w, "http://shop.example/", 100)->error, IO_HTTP_ANSWER);
    struct call *call = &w.calls[1];
    call->world = &w;
    call->http = w.calls[0].http;
    call->http.ctx = call;
    call->http.room = call->room;
    call->http.answer_size_max = sizeof(large);
    call->http.deadline = mono_after(io_now(w.io), NS_PER_S);
    w.waiting_count++;
    assert_int_equal(io_http_begin(&call->http, NULL), NEAP_OK);
    sim_run(w.io, NS_PER_S);
    assert_int_equal(call->http.answer.status, 200);
    assert_int_equal(call->http.answer.body.size, sizeof(call->room));
    assert_int_equal(call->http.answer.body_size, sizeof(large));
    close_world(&w);
}

static void private_servers_are_for_those_who_may(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, true);
    assert_int_equal(call_once(&w, "http://10.0.0.1:8080/latest/meta-data", 100)->error, IO_HTTP_CONNECT);
    assert_non_null(strstr(w.calls[0].http.answer.text, "private"));
    assert_int_equal(w.seen_count, 0);
    struct call *call = &w.calls[0];
    call->http.private_allowed = true;
    call->http.deadline = mono_after(io_now(w.io), NS_PER_S);
    w.waiting_count++;
    assert_int_equal(io_http_begin(&call->http, NULL), NEAP_OK);
    sim_run(w.io, NS_PER_S);
    assert_int_equal(call->http.answer.status, 200);
    close_world(&w);
}

static void what_cannot_be_sent_is_refused_at_once(void **state)
{
    static const char *const urls[] = {
        "", "shop.example", "ftp://shop.example/", "http://", "http://a b/", "http://a/\r\nX: y", "file:///etc/passwd"
    };
    const struct io_http_header headers[] = {
        { BYTES(""), BYTES("x") },
        { BYTES("a b"), BYTES("x") },
        { BYTES("a:"), BYTES("x") },
        { BYTES("a"), BYTES("x\r\nb: y") },
        { BYTES("a"), BYTES("x\ny") },
        { BYTES("a"), BYTES("x\0y") },
        { BYTES("Content-Length"), BYTES("7") },
        { BYTES("transfer-encoding"), BYTES("chunked") },
        { BYTES("expect"), BYTES("100-continue") },
    };
    (void)state;
    struct world w;
    struct error err;
    open_world(&w, 1, true);
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        assert_int_equal(begin(&w, &w.calls[0], urls[i], 100, &err), NEAP_BADINPUT);
    struct io_http_call call = {
        .agent = &w.agent, .done = done, .url = BYTES("http://shop.example/"), .header_count = 1
    };
    call.method = BYTES("GET");
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        call.headers = &headers[i];
        assert_int_equal(io_http_begin(&call, &err), NEAP_BADINPUT);
    }
    call.header_count = 0;
    const struct bytes methods[] = { { NULL, 0 }, BYTES("GET /x HTTP/1.1\r\n"), BYTES("G T") };
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        call.method = methods[i];
        assert_int_equal(io_http_begin(&call, &err), NEAP_BADINPUT);
    }
    sim_run(w.io, NS_PER_S);
    assert_int_equal(w.seen_count, 0);
    close_world(&w);
}

static void one_more_than_the_limit_waits(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 1, true);
    assert_int_equal(io_http_prepare(w.io, &(struct io_http_options){ .call_count_max = 2 }, NULL), NEAP_OK);
    assert_int_equal(begin(&w, &w.calls[0], "http://shop.example/", 100, NULL), NEAP_OK);
    assert_int_equal(begin(&w, &w.calls[1], "http://shop.example/", 100, NULL), NEAP_OK);
    assert_int_equal(begin(&w, &w.calls[2], "http://shop.example/", 100, NULL), NEAP_AGAIN);
    sim_run(w.io, NS_PER_S);
    assert_int_equal(begin(&w, &w.calls[2], "http://shop.example/", 100, NULL), NEAP_OK);
    sim_run(w.io, NS_PER_S);
    assert_int_equal(w.waiting_count, 0);
    close_world(&w);
}

static uint64_t run_wild(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t chances = seed;
    open_world(w, seed, false);
    w->chance = seed + 1;
    int64_t deadline_ms[CALL_COUNT];
    mono_time begun_at[CALL_COUNT];
    for (uint32_t i = 0; i < CALL_COUNT; i++) {
        deadline_ms[i] = 1 + (int64_t)chance_below(&chances, 200);
        begun_at[i] = io_now(w->io);
        assert_int_equal(begin(w, &w->calls[i], "http://shop.example/", deadline_ms[i], NULL), NEAP_OK);
        if (chance_below(&chances, 3) == 0)
            sim_run(w->io, (int64_t)chance_below(&chances, 20) * NS_PER_MS);
        struct call *victim = &w->calls[chance_below(&chances, i + 1)];
        if (victim->done_count == 0 && chance_below(&chances, 5) == 0)
            io_http_cancel(&victim->http);
    }
    sim_run(w->io, 10 * NS_PER_S);
    for (uint32_t i = 0; i < CALL_COUNT; i++) {
        struct call *call = &w->calls[i];
        assert_int_equal(call->done_count, 1);
        assert_true((call->http.answer.status == 0) != (call->http.answer.error == IO_HTTP_NONE));
        assert_true(call->done_at.ns <= begun_at[i].ns + deadline_ms[i] * NS_PER_MS + NS_PER_MS);
    }
    uint64_t hash = sim_trace_hash(w->io);
    close_world(w);
    free(w);
    return hash;
}

static void whatever_servers_do_each_call_is_done_once_and_each_run_twice_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++)
        assert_true(run_wild(seed) == run_wild(seed));
    assert_true(run_wild(1) != run_wild(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_arrives_and_its_answer_comes_back),
        cmocka_unit_test(each_failure_has_its_word),
        cmocka_unit_test(the_deadline_is_kept_to_the_nanosecond),
        cmocka_unit_test(what_is_cancelled_is_done_soon_or_was_done_already),
        cmocka_unit_test(a_call_may_begin_again_when_it_is_done),
        cmocka_unit_test(an_answer_is_kept_as_far_as_there_is_room),
        cmocka_unit_test(private_servers_are_for_those_who_may),
        cmocka_unit_test(what_cannot_be_sent_is_refused_at_once),
        cmocka_unit_test(one_more_than_the_limit_waits),
        cmocka_unit_test(whatever_servers_do_each_call_is_done_once_and_each_run_twice_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
