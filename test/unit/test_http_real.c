/* test_http_real.c - the real door's calls, against a server that hangs, resets, drips and lies: done once, by the deadline. */
#include "check.h"

#include "io/http.h"
#include "io/real.h"
#include "scratch.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The machine may be busy: how late something is is held against it only where it is late again and again. */
#define LATE_NS   (1500 * NS_PER_MS)
#define EXACT_NS  (5 * NS_PER_MS)
#define TRY_COUNT 20
#define ROOM      4096u

extern char **environ;

struct call {
    struct io_http_call http;
    struct world *world;
    char url[128];
    uint8_t room[ROOM];
    uint32_t done_count;
    mono_time begun_at, done_at;
};

struct world {
    struct scratch scratch;
    pid_t server;
    int server_in; /* it ends with its standard input */
    int port, tls_port;
    char ca_file[400];
    struct io *io;
    struct io_agent self;
    uint32_t waiting_count;
    struct call call;
    /* of the many: */
    struct call *many;
    uint32_t next, many_count, ok_count, failed_count, reused_count;
    const char *path;
};

static uint32_t rest(void *ctx, mono_time now)
{
    (void)ctx, (void)now;
    return 0;
}

static void make_certificate(struct world *w, char *key, size_t size)
{
    char command[1600];
    snprintf(w->ca_file, sizeof(w->ca_file), "%s/cert.pem", w->scratch.dir);
    snprintf(key, size, "%s/key.pem", w->scratch.dir);
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost -keyout '%s' -out '%s' 2>/dev/null",
             key, w->ca_file);
    assert_int_equal(system(command), 0);
}

static int start_server(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    char key[400], said[64] = { 0 };
    int in[2], out[2];
    *state = w;
    scratch_init(&w->scratch);
    make_certificate(w, key, sizeof(key));
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    char *arguments[] = { "python3", SOURCE_ROOT "/test/play/hostile.py", w->ca_file, key, NULL };
    assert_int_equal(posix_spawnp(&w->server, "python3", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    w->server_in = in[1];
    assert_true(read(out[0], said, sizeof(said) - 1) > 0);
    close(out[0]);
    assert_int_equal(sscanf(said, "%d %d", &w->port, &w->tls_port), 2);
    return 0;
}

static int stop_server(void **state)
{
    struct world *w = *state;
    int status;
    close(w->server_in);
    kill(w->server, SIGTERM);
    assert_int_equal(waitpid(w->server, &status, 0), w->server);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

static int open_door(void **state)
{
    struct world *w = *state;
    w->io = io_real_open(NULL);
    w->self = (struct io_agent){ .name = "self", .work = rest, .ctx = w };
    w->waiting_count = 0;
    w->call = (struct call){ .done_count = 0 };
    return io_agent_attach(w->io, &w->self, NULL) == NEAP_OK ? 0 : -1;
}

static int close_door(void **state)
{
    struct world *w = *state;
    io_agent_stop(&w->self);
    io_real_close(&w->io);
    return 0;
}

static void done(struct io_http_call *http)
{
    struct call *call = http->ctx;
    call->done_count++;
    call->done_at = io_now(call->world->io);
    if (--call->world->waiting_count == 0)
        io_agent_leave(&call->world->self);
}

static void set(struct world *w, struct call *call, const char *path, int64_t ms)
{
    call->world = w;
    if (path[0] == '/')
        snprintf(call->url, sizeof(call->url), "http://127.0.0.1:%d%s", w->port, path);
    else
        snprintf(call->url, sizeof(call->url), "%s", path);
    call->begun_at = io_now(w->io);
    call->http = (struct io_http_call){ .agent = &w->self, .done = done, .ctx = call, .method = BYTES("GET") };
    call->http.url = bytes_of_text(call->url);
    call->http.deadline = mono_after(call->begun_at, ms * NS_PER_MS);
    call->http.room = call->room;
    call->http.room_size = ROOM;
    call->http.private_allowed = true;
}

static void begin(struct world *w, struct call *call)
{
    struct error err = { .status = NEAP_OK };
    if (io_http_begin(&call->http, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    w->waiting_count++;
}

static struct io_http_answer *run(struct world *w, struct call *call)
{
    uint32_t before = call->done_count;
    begin(w, call);
    assert_int_equal(call->done_count, before); /* never within begin */
    assert_int_equal(io_agent_run(w->io, &w->self, mono_after(io_now(w->io), 60 * NS_PER_S), NULL), NEAP_OK);
    assert_int_equal(call->done_count, before + 1);
    return &call->http.answer;
}

static struct io_http_answer *get(struct world *w, const char *path, int64_t ms)
{
    set(w, &w->call, path, ms);
    return run(w, &w->call);
}

static void must_fail(struct world *w, const char *path, int64_t ms, enum io_http_error error, const char *text)
{
    struct io_http_answer *answer = get(w, path, ms);
    if (answer->error != error || answer->status != 0 || strstr(answer->text, text) == NULL)
        fail_msg("%s: %u, %s: %s", path, answer->status, io_http_error_word(answer->error), answer->text);
}

static void must_answer(struct io_http_answer *answer, uint32_t status, const char *body)
{
    if (answer->status != status || answer->error != IO_HTTP_NONE)
        fail_msg("%u, %s: %s", answer->status, io_http_error_word(answer->error), answer->text);
    if (body != NULL && !bytes_equal(answer->body, bytes_of_text(body)))
        fail_msg("%.*s", (int)answer->body.size, (const char *)answer->body.at);
}

static long server_count(struct world *w, const char *what)
{
    char name[32], *at;
    struct io_http_answer *answer = get(w, "/stats", 20000);
    must_answer(answer, 200, NULL);
    w->call.room[answer->body.size] = '\0';
    snprintf(name, sizeof(name), "\"%s\": ", what);
    at = strstr((char *)w->call.room, name);
    assert_non_null(at);
    return strtol(at + strlen(name), NULL, 10);
}

static unsigned http_thread_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], name[16] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        count += file != NULL && fgets(name, sizeof(name), file) != NULL && strcmp(name, "http\n") == 0;
        if (file != NULL)
            fclose(file);
    }
    closedir(dir);
    return count;
}

/* ---- what is sent, and what comes back ---- */

static void who_calls_nobody_carries_nothing(void **state) /* the first of all: libcurl stays once it has come */
{
    struct world *w = *state;
    assert_int_equal(http_thread_count(), 0);
    assert_null(dlopen("libcurl.so.4", RTLD_NOW | RTLD_NOLOAD));
    must_answer(get(w, "/ok", 20000), 200, "ok");
    assert_non_null(dlopen("libcurl.so.4", RTLD_NOW | RTLD_NOLOAD));
    assert_int_equal(http_thread_count(), 1);
    assert_int_equal(io_http_prepare(w->io, &(struct io_http_options){ .call_count_max = 1 }, NULL), NEAP_OK);
    must_answer(get(w, "/ok", 20000), 200, "ok");
    assert_int_equal(http_thread_count(), 1);
}

static void a_request_is_sent_as_it_was_given(void **state)
{
    const struct io_http_header headers[] = {
        { BYTES("X-Neap-Id"), BYTES("order-7") },
        { BYTES("X-Empty"), { NULL, 0 } },
        { BYTES("Content-Type"), BYTES("application/json") },
    };
    struct world *w = *state;
    set(w, &w->call, "/echo?a=1", 20000);
    w->call.http.method = BYTES("PATCH");
    w->call.http.headers = headers;
    w->call.http.header_count = COUNT_OF(headers);
    w->call.http.body = BYTES("{\"n\":1}");
    struct io_http_answer *answer = run(w, &w->call);
    must_answer(answer, 200, NULL);
    w->call.room[answer->body.size] = '\0';
    const char *said = (char *)w->call.room;
    assert_non_null(strstr(said, "[\"PATCH\", \"/echo?a=1\""));
    assert_non_null(strstr(said, "\"x-neap-id\": \"order-7\""));
    assert_non_null(strstr(said, "\"x-empty\": \"\""));
    assert_non_null(strstr(said, "\"content-type\": \"application/json\""));
    assert_non_null(strstr(said, "\"content-length\": \"7\""));
    assert_non_null(strstr(said, "{\\\"n\\\":1}"));
    assert_null(strstr(said, "expect"));

    set(w, &w->call, "/echo", 20000); /* nothing of the last one is left */
    answer = run(w, &w->call);
    w->call.room[answer->body.size] = '\0';
    assert_non_null(strstr(said, "[\"GET\", \"/echo\""));
    assert_null(strstr(said, "x-neap-id"));
    assert_null(strstr(said, "content-"));

    set(w, &w->call, "/echo", 20000);
    w->call.http.method = BYTES("POST"); /* of nothing */
    answer = run(w, &w->call);
    w->call.room[answer->body.size] = '\0';
    assert_non_null(strstr(said, "\"content-length\": \"0\""));
    assert_null(strstr(said, "content-type"));

    set(w, &w->call, "/echo", 20000);
    w->call.http.method = BYTES("HEAD");
    must_answer(run(w, &w->call), 200, "");
}

static void a_large_body_goes_out_whole(void **state)
{
    struct world *w = *state;
    size_t size = 1500000;
    uint8_t *body = malloc(size);
    memset(body, 'b', size);
    set(w, &w->call, "/ok", 20000);
    w->call.http.method = BYTES("POST");
    w->call.http.body = (struct bytes){ body, size };
    must_answer(run(w, &w->call), 200, "ok"); /* the server reads all of it before it answers */
    free(body);
}

static void what_the_answer_says_comes_back(void **state)
{
    struct world *w = *state;
    struct io_http_answer *answer = get(w, "/busy", 20000);
    must_answer(answer, 429, "{}");
    assert_string_equal(answer->retry_after, "7");
    assert_string_equal(answer->content_type, "application/json");
    answer = get(w, "/interim", 20000);
    must_answer(answer, 200, "final");
    assert_string_equal(answer->retry_after, ""); /* the interim answer's is none of this one */
    must_answer(get(w, "/redirect", 20000), 302, "");
    must_answer(get(w, "/nothing", 20000), 404, NULL);
    answer = get(w, "/latency?ms=80", 20000);
    must_answer(answer, 200, "late");
    assert_true(answer->times.first_byte_ns >= 79 * NS_PER_MS && answer->times.total_ns >= answer->times.first_byte_ns);
}

static void an_answer_is_kept_as_far_as_there_is_room(void **state)
{
    struct world *w = *state;
    must_answer(get(w, "/large?size=4096", 20000), 200, NULL);
    must_fail(w, "/large?size=4097", 20000, IO_HTTP_ANSWER, "larger than 4096 bytes");
    set(w, &w->call, "/large?size=100000", 20000);
    w->call.http.answer_size_max = 100000;
    struct io_http_answer *answer = run(w, &w->call);
    must_answer(answer, 200, NULL);
    assert_int_equal(answer->body.size, ROOM);
    assert_int_equal(answer->body_size, 100000);
    must_fail(w, "/head", 20000, IO_HTTP_ANSWER, "head is larger");
    set(w, &w->call, "/ok", 20000);
    w->call.http.room_size = 0;
    w->call.http.answer_size_max = 100;
    answer = run(w, &w->call);
    must_answer(answer, 200, "");
    assert_int_equal(answer->body_size, 2);
}

/* ---- what goes wrong ---- */

static int closed_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void each_failure_has_its_word(void **state)
{
    struct world *w = *state;
    char url[64];
    must_fail(w, "/reset", 20000, IO_HTTP_RESET, "");
    must_fail(w, "/partial", 20000, IO_HTTP_RESET, "900 bytes remaining");
    must_fail(w, "/close", 20000, IO_HTTP_RESET, "Empty reply");
    must_fail(w, "/garbage", 20000, IO_HTTP_ANSWER, "HTTP/0.9");
    must_fail(w, "http://no-such-name.invalid/", 20000, IO_HTTP_DNS, "");
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", closed_port());
    must_fail(w, url, 20000, IO_HTTP_CONNECT, "");
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", w->port); /* there is no TLS */
    set(w, &w->call, url, 20000);
    w->call.http.connect_timeout_ns = 200 * NS_PER_MS;
    assert_int_equal(run(w, &w->call)->error, IO_HTTP_CONNECT); /* it says nothing until it is spoken to otherwise */
    must_answer(get(w, "/ok", 20000), 200, "ok");
}

/* A listener whose queue is full: a connection that is neither made nor refused. */
static int full_port(int fds[3])
{
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    assert_int_equal(bind(fds[0], (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)&at, &size), 0);
    for (int i = 1; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&at, size);
    }
    return ntohs(at.sin_port);
}

static int64_t late_ns(const struct call *call, int64_t ms)
{
    int64_t late = call->done_at.ns - call->begun_at.ns - ms * NS_PER_MS;
    if (late < 0 || late > LATE_NS)
        fail_msg("late by %lld us", (long long)(late / 1000));
    return late;
}

static void a_deadline_is_exact_to_some_milliseconds(void **state)
{
    struct world *w = *state;
    int64_t best_ns = INT64_MAX;
    for (int i = 0; i < TRY_COUNT && best_ns > EXACT_NS; i++) {
        must_fail(w, "/hang", 50, IO_HTTP_TIMEOUT, "no byte of an answer");
        int64_t late = late_ns(&w->call, 50);
        best_ns = late < best_ns ? late : best_ns;
    }
    assert_true(best_ns <= EXACT_NS);
}

static void a_deadline_is_a_deadline(void **state)
{
    struct world *w = *state;
    char url[64];
    int fds[3];
    long broken = server_count(w, "broken");
    must_fail(w, "/hang", 150, IO_HTTP_TIMEOUT, "no byte of an answer");
    late_ns(&w->call, 150);
    must_fail(w, "/drip", 150, IO_HTTP_TIMEOUT, "a part of the answer");
    late_ns(&w->call, 150);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", full_port(fds));
    must_fail(w, url, 150, IO_HTTP_TIMEOUT, "still connecting");
    late_ns(&w->call, 150);
    set(w, &w->call, url, 20000);
    w->call.http.connect_timeout_ns = 150 * NS_PER_MS;
    struct io_http_answer *answer = run(w, &w->call);
    assert_int_equal(answer->error, IO_HTTP_CONNECT); /* not one byte of it was sent */
    late_ns(&w->call, 150);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    set(w, &w->call, "/ok", 0);
    w->call.http.deadline.ns -= NS_PER_MS; /* it has passed */
    assert_int_equal(run(w, &w->call)->error, IO_HTTP_TIMEOUT);
    /* and the connection of the one that hung was closed */
    for (int tries = 0; server_count(w, "broken") == broken; tries++)
        assert_true(tries < 1000);
}

/* ---- connections ---- */

static void a_connection_is_used_again(void **state)
{
    struct world *w = *state;
    must_answer(get(w, "/ok", 20000), 200, "ok");
    assert_false(w->call.http.answer.reused);
    long before = server_count(w, "connections");
    for (int i = 0; i < 50; i++)
        assert_true(get(w, "/ok", 20000)->reused);
    assert_int_equal(server_count(w, "connections"), before);
    must_answer(get(w, "/last", 20000), 200, "last"); /* the server closes it without having said so */
    usleep(20000);
    must_answer(get(w, "/ok", 20000), 200, "ok");
    assert_int_equal(server_count(w, "connections"), before + 1);
}

static void one_done(struct io_http_call *http)
{
    struct call *call = http->ctx;
    struct world *w = call->world;
    call->done_count++;
    w->ok_count += http->answer.status == 200;
    w->failed_count += http->answer.status == 500;
    if (http->answer.error != IO_HTTP_NONE)
        print_message("%s: %s\n", io_http_error_word(http->answer.error), http->answer.text);
    w->reused_count += http->answer.reused;
    if (w->next < w->many_count) {
        w->next++;
        w->waiting_count++;
        set(w, call, w->path, 30000);
        http->done = one_done;
        assert_int_equal(io_http_begin(http, NULL), NEAP_OK);
    }
    if (--w->waiting_count == 0)
        io_agent_leave(&w->self);
}

static void run_many(struct world *w, const char *path, uint32_t count, uint32_t beside)
{
    w->many = calloc(beside, sizeof(*w->many));
    w->path = path;
    w->many_count = count;
    w->next = beside;
    w->ok_count = w->failed_count = w->reused_count = 0;
    for (uint32_t i = 0; i < beside; i++) {
        set(w, &w->many[i], path, 30000);
        w->many[i].http.done = one_done;
        begin(w, &w->many[i]);
    }
    assert_int_equal(io_agent_run(w->io, &w->self, mono_after(io_now(w->io), 60 * NS_PER_S), NULL), NEAP_OK);
    free(w->many);
}

static void a_thousand_calls_a_hundred_side_by_side(void **state)
{
    struct world *w = *state;
    struct io_http_options options = { .per_host_count_max = 100 };
    assert_int_equal(io_http_prepare(w->io, &options, NULL), NEAP_OK);
    mono_time before = io_now(w->io);
    run_many(w, "/tenth?ms=5", 1000, 100);
    print_message("1000 calls, 100 side by side: %lld ms\n", (long long)((io_now(w->io).ns - before.ns) / NS_PER_MS));
    assert_int_equal(w->ok_count, 900);
    assert_int_equal(w->failed_count, 100);
    assert_true(w->reused_count >= 900 && w->reused_count < 1000);
    assert_true(server_count(w, "open") <= 101);
}

static void connections_stay_below_their_limit(void **state)
{
    struct world *w = *state;
    struct io_http_options options = { .per_host_count_max = 3, .call_count_max = 50 };
    assert_int_equal(io_http_prepare(w->io, &options, NULL), NEAP_OK);
    long before = server_count(w, "connections");
    run_many(w, "/latency?ms=2", 300, 50);
    assert_int_equal(w->ok_count, 300);
    assert_true(server_count(w, "connections") <= before + 3);
    struct call *calls = calloc(51, sizeof(*calls));
    for (int i = 0; i < 50; i++) {
        set(w, &calls[i], "/hang", 300); /* three hang, the others wait for a connection: each has its deadline */
        begin(w, &calls[i]);
    }
    set(w, &calls[50], "/ok", 1000);
    assert_int_equal(io_http_begin(&calls[50].http, NULL), NEAP_AGAIN);
    assert_int_equal(io_agent_run(w->io, &w->self, mono_after(io_now(w->io), 60 * NS_PER_S), NULL), NEAP_OK);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(calls[i].http.answer.error, IO_HTTP_TIMEOUT);
        late_ns(&calls[i], 300);
    }
    free(calls);
    must_answer(get(w, "/ok", 20000), 200, "ok");
}

/* ---- cancelling ---- */

struct canceller {
    struct io_timer timer;
    struct call *call;
    mono_time at;
};

static void cancel(struct io_timer *timer, mono_time now)
{
    struct canceller *c = timer->ctx;
    c->at = now;
    io_http_cancel(&c->call->http);
    io_http_cancel(&c->call->http);
}

static void what_is_cancelled_is_done_soon(void **state)
{
    struct world *w = *state;
    long before = server_count(w, "broken");
    struct canceller c = { .timer = { .agent = &w->self, .fire = cancel, .ctx = &c }, .call = &w->call };
    io_timer_set(&c.timer, mono_after(io_now(w->io), 50 * NS_PER_MS));
    struct io_http_answer *answer = get(w, "/hang", 20000);
    assert_int_equal(answer->error, IO_HTTP_CANCELLED);
    assert_true(w->call.done_at.ns - c.at.ns < LATE_NS);
    for (int tries = 0; server_count(w, "broken") == before; tries++) /* the server has seen it go */
        assert_true(tries < 1000);
    set(w, &w->call, "/hang", 20000); /* before the thread may have seen it */
    begin(w, &w->call);
    io_http_cancel(&w->call.http);
    assert_int_equal(io_agent_run(w->io, &w->self, mono_after(io_now(w->io), 60 * NS_PER_S), NULL), NEAP_OK);
    assert_int_equal(w->call.http.answer.error, IO_HTTP_CANCELLED);
}

static void cancels_and_answers_may_cross(void **state)
{
    struct world *w = *state;
    uint64_t seed = 11;
    struct call *calls = calloc(20, sizeof(*calls));
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 20; i++) {
            set(w, &calls[i], chance_below(&seed, 4) == 0 ? "/hang" : "/ok", 20000);
            begin(w, &calls[i]);
        }
        if (round % 2 == 0)
            usleep((useconds_t)chance_below(&seed, 3000));
        for (int i = 0; i < 20; i++)
            io_http_cancel(&calls[i].http);
        assert_int_equal(io_agent_run(w->io, &w->self, mono_after(io_now(w->io), 60 * NS_PER_S), NULL), NEAP_OK);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(calls[i].done_count, round + 1);
            assert_true(calls[i].http.answer.error == IO_HTTP_CANCELLED || calls[i].http.answer.status == 200);
        }
    }
    free(calls);
}

static void a_door_closes_over_calls_in_flight(void **state)
{
    struct world *w = *state;
    struct call *calls = calloc(30, sizeof(*calls));
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 30; i++) {
            set(w, &calls[i], i % 3 == 0 ? "/hang" : "/latency?ms=3", 20000);
            begin(w, &calls[i]);
        }
        usleep((useconds_t)round * 500);
        close_door(state); /* would not end, or not leave the calls alone */
        for (int i = 0; i < 30; i++)
            assert_int_equal(calls[i].done_count, 0);
        assert_int_equal(open_door(state), 0);
    }
    free(calls);
}

struct lodger { /* an agent on a thread of its own */
    struct io_agent agent;
    struct world *world;
    struct io_http_call http;
    char url[64];
    uint8_t room[64];
    _Atomic uint32_t done_count;
    bool at_work;
};

static void lodger_done(struct io_http_call *http)
{
    struct lodger *l = http->ctx;
    assert_int_equal(http->answer.status, 200);
    l->at_work = false;
    if (atomic_fetch_add(&l->done_count, 1) + 1 == 100)
        io_agent_wake(&l->world->self);
}

static uint32_t lodger_work(void *ctx, mono_time now)
{
    struct lodger *l = ctx;
    if (l->at_work || atomic_load(&l->done_count) == 100)
        return 0;
    l->http = (struct io_http_call){ .agent = &l->agent, .done = lodger_done, .ctx = l, .method = BYTES("GET") };
    l->http.url = bytes_of_text(l->url);
    l->http.deadline = mono_after(now, 30 * NS_PER_S);
    l->http.room = l->room;
    l->http.room_size = sizeof(l->room);
    l->http.private_allowed = true;
    l->at_work = true;
    assert_int_equal(io_http_begin(&l->http, NULL), NEAP_OK);
    return 1;
}

static uint32_t wait_for_lodgers(void *ctx, mono_time now)
{
    struct lodger *lodgers = ctx;
    (void)now;
    for (int i = 0; i < 4; i++)
        if (atomic_load(&lodgers[i].done_count) < 100)
            return 0;
    io_agent_leave(&lodgers->world->self);
    return 1;
}

static void agents_on_threads_of_their_own_call_as_well(void **state)
{
    struct world *w = *state;
    struct lodger *lodgers = calloc(4, sizeof(*lodgers));
    w->self.work = wait_for_lodgers;
    w->self.ctx = lodgers;
    for (int i = 0; i < 4; i++) {
        lodgers[i].world = w;
        snprintf(lodgers[i].url, sizeof(lodgers[i].url), "http://127.0.0.1:%d/ok", w->port);
        lodgers[i].agent = (struct io_agent){ .name = "lodger", .work = lodger_work, .ctx = &lodgers[i] };
        assert_int_equal(io_agent_start(w->io, &lodgers[i].agent, NULL), NEAP_OK);
    }
    assert_int_equal(io_agent_run(w->io, &w->self, mono_after(io_now(w->io), 60 * NS_PER_S), NULL), NEAP_OK);
    for (int i = 0; i < 4; i++)
        io_agent_stop(&lodgers[i].agent);
    free(lodgers);
}

/* ---- whom we may call ---- */

static void private_addresses_are_not_called_unless_allowed(void **state)
{
    static const char *const forms[] = {
        "http://127.0.0.1:%d/ok",
        "http://localhost:%d/ok",
        "http://2130706433:%d/ok",
        "http://0x7f.1:%d/ok",
        "http://0177.0.0.1:%d/ok",
        "http://[::ffff:127.0.0.1]:%d/ok",
        "http://0.0.0.0:%d/ok",
        "http://[::1]:%d/ok",
        "http://public.example@127.0.0.1:%d/ok",
        "http://127.1:%d/ok",
        "http://[::]:%d/ok",
        "http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:%d/ok", /* digits in circles */
    };
    struct world *w = *state;
    char url[128];
    long before = server_count(w, "connections"), requests = server_count(w, "requests");
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(url, sizeof(url), forms[i], w->port);
#pragma GCC diagnostic pop
        set(w, &w->call, url, 20000);
        w->call.http.private_allowed = false;
        struct io_http_answer *answer = run(w, &w->call);
        assert_int_equal(answer->status, 0);
        bool no_name = answer->error == IO_HTTP_DNS || strstr(answer->text, "illegal") != NULL;
        if (!no_name && strstr(answer->text, "is private") == NULL)
            fail_msg("%s: %s: %s", url, io_http_error_word(answer->error), answer->text);
    }
    set(w, &w->call, "http://169.254.169.254/latest/meta-data", 20000);
    w->call.http.private_allowed = false;
    run(w, &w->call);
    assert_non_null(strstr(w->call.http.answer.text, "169.254.169.254 is private"));
    assert_true(w->call.http.answer.is_private);
    /* The server has seen neither a connection nor a request, but for these questions; the connection that was there has
     * been closed by the first who would have used it and may not. */
    assert_int_equal(server_count(w, "connections"), before + 1);
    assert_int_equal(server_count(w, "requests"), requests + 2);
}

/* ---- TLS ---- */

static void only_who_is_vouched_for_is_called(void **state)
{
    struct world *w = *state;
    char url[64], other[64];
    snprintf(url, sizeof(url), "https://localhost:%d/ok", w->tls_port);
    snprintf(other, sizeof(other), "https://127.0.0.1:%d/ok", w->tls_port);
    must_fail(w, url, 20000, IO_HTTP_TLS, "certificate"); /* nobody knows who signed it */
    close_door(state);
    assert_int_equal(open_door(state), 0);
    struct io_http_options options = { .ca_file = w->ca_file };
    assert_int_equal(io_http_prepare(w->io, &options, NULL), NEAP_OK);
    must_answer(get(w, url, 20000), 200, "ok");
    assert_true(get(w, url, 20000)->reused);
    must_fail(w, other, 20000, IO_HTTP_TLS, ""); /* another name than it vouches for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_calls_nobody_carries_nothing, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_request_is_sent_as_it_was_given, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_large_body_goes_out_whole, open_door, close_door),
        cmocka_unit_test_setup_teardown(what_the_answer_says_comes_back, open_door, close_door),
        cmocka_unit_test_setup_teardown(an_answer_is_kept_as_far_as_there_is_room, open_door, close_door),
        cmocka_unit_test_setup_teardown(each_failure_has_its_word, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_deadline_is_exact_to_some_milliseconds, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_deadline_is_a_deadline, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_connection_is_used_again, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_thousand_calls_a_hundred_side_by_side, open_door, close_door),
        cmocka_unit_test_setup_teardown(connections_stay_below_their_limit, open_door, close_door),
        cmocka_unit_test_setup_teardown(what_is_cancelled_is_done_soon, open_door, close_door),
        cmocka_unit_test_setup_teardown(cancels_and_answers_may_cross, open_door, close_door),
        cmocka_unit_test_setup_teardown(a_door_closes_over_calls_in_flight, open_door, close_door),
        cmocka_unit_test_setup_teardown(agents_on_threads_of_their_own_call_as_well, open_door, close_door),
        cmocka_unit_test_setup_teardown(private_addresses_are_not_called_unless_allowed, open_door, close_door),
        cmocka_unit_test_setup_teardown(only_who_is_vouched_for_is_called, open_door, close_door),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
