/* test_control.c - what one asks a running node through its socket is answered as its directory would answer, whole or not at all. */
#include "check.h"

#include "base/crc32c.h"
#include "io/real.h"
#include "log/batch.h"
#include "node/control.h"
#include "node/node.h"
#include "scratch.h"
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* A node of two pipelines: the control socket only reads its figures. */
uint32_t node_pipeline_count(const struct node *node)
{
    assert_non_null(node);
    return 2;
}

void node_pipeline_figures(struct node *node, uint32_t index, struct node_pipeline_figures *ret_figures)
{
    static const char *const names[] = { "orders", "broken" };
    assert_true(node != NULL && index < 2);
    *ret_figures = (struct node_pipeline_figures){ .name = names[index], .in_flight = 3, .lag = 3 };
    ret_figures->total = (struct ledger){ .accepted = 10, .filtered = 2, .delivered = 4, .dead_lettered = 1 };
    if (index == 1) {
        ret_figures->stopped = true;
        error_set(&ret_figures->error, NEAP_CONFLICT, "two \"truths\"");
    }
}

const char *node_user_of_topic(const struct node *node, const struct log_topic *topic)
{
    assert_non_null(node);
    return strcmp(topic->name, "worked-on") == 0 ? "orders" : NULL;
}

bool node_writes_letters(const struct node *node, const char *pipeline, uint32_t topic_id)
{
    assert_true(node != NULL && topic_id > 0);
    return strcmp(pipeline, "orders") == 0;
}

struct world {
    struct scratch scratch;
    struct io *io;
    struct log *log;
    struct control *control;
    const char *socket;
    char *answer;
    size_t answer_size;
};

#define ANSWER_SIZE_MAX (16u << 20)

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct error err = { 0 };
    scratch_init(&w->scratch);
    w->io = io_real_open(NULL);
    w->answer = malloc(ANSWER_SIZE_MAX);
    char *socket = strdup(scratch_path(&w->scratch, "neap.sock")), *data = strdup(scratch_path(&w->scratch, "data"));
    w->socket = socket;
    struct log_options options = { .path = data, .disk_size = 256u << 20 };
    if (log_open(w->io, &options, &w->log, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    struct control_options control = { .io = w->io, .log = w->log, .node = (struct node *)w, .path = socket };
    if (control_open(&control, &w->control, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    free(data);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    control_close(&w->control);
    assert_int_equal(access(w->socket, F_OK), -1); /* its name goes with it */
    log_close(&w->log);
    io_real_close(&w->io);
    scratch_fini(&w->scratch);
    free((char *)(uintptr_t)w->socket);
    free(w->answer);
    free(w);
    return 0;
}

static enum neap_status keep(void *ctx, struct bytes answer)
{
    struct world *w = ctx;
    assert_true(w->answer_size + answer.size < ANSWER_SIZE_MAX);
    memcpy(w->answer + w->answer_size, answer.at, answer.size);
    w->answer_size += answer.size;
    w->answer[w->answer_size] = '\0';
    return NEAP_OK;
}

static const char *ask_with(struct world *w, const char *request, struct bytes body)
{
    struct error err = { 0 };
    w->answer_size = 0;
    w->answer[0] = '\0';
    enum neap_status status = control_ask(w->io, w->socket, bytes_of_text(request), body, keep, w,
                                          mono_after(io_now(w->io), 60 * NS_PER_S), &err);
    if (status != NEAP_OK)
        fail_msg("%s: %s", status_name(status), err.text);
    return w->answer;
}

static const char *ask(struct world *w, const char *request)
{
    return ask_with(w, request, (struct bytes){ NULL, 0 });
}

static const char *ask_here(struct world *w, const char *request)
{
    struct control_context context = { .io = w->io, .log = w->log, .node = (struct node *)w };
    struct error err = { 0 };
    w->answer_size = 0;
    assert_int_equal(control_execute(&context, true, bytes_of_text(request), (struct bytes){ NULL, 0 }, keep, w,
                                     mono_after(io_now(w->io), 60 * NS_PER_S), &err),
                     NEAP_OK);
    return w->answer;
}

static void assert_holds(const char *answer, const char *part)
{
    if (strstr(answer, part) == NULL)
        fail_msg("'%s' does not hold '%s'", answer, part);
}

/* ---- requests ---- */

static void topics_are_made_filled_read_and_deleted(void **state)
{
    struct world *w = *state;
    assert_string_equal(
        ask(w, "{\"verb\":\"topic create\",\"topic\":\"orders\",\"count\":2}"),
        "{\"topic\":\"orders\",\"id\":1,\"partitions\":2,\"events\":0,\"kept\":0,\"size\":0,"
        "\"retention\":\"limits\",\"retention_ms\":604800000,\"retention_size\":-1,\"cleanup\":\"delete\","
        "\"interval_ms\":0,\"keeps\":\"7d\",\"durability\":\"fsync\",\"max_record\":1048576}\n"
        "{\"end\":\"OK\"}\n");
    assert_holds(ask(w, "{\"verb\":\"topic create\",\"topic\":\"orders\"}"), "{\"end\":\"EXISTS\"");
    assert_string_equal(
        ask_with(
            w, "{\"verb\":\"topic append\",\"topic\":\"orders\",\"partition\":1,\"key\":\"k\",\"count\":2,\"body\":9}",
            BYTES("{\"a\":1}\nb")),
        "{\"topic\":\"orders\",\"partition\":1,\"offset\":0,\"count\":2}\n{\"end\":\"OK\"}\n");
    const char *read = ask(w, "{\"verb\":\"topic read\",\"topic\":\"orders\",\"partition\":1,\"from\":0}");
    assert_holds(read, "\"offset\":0,");
    assert_holds(read, "\"key\":\"k\",\"value\":{\"a\":1}}\n");
    assert_holds(read, "\"text\":\"b\"}\n{\"end\":\"OK\",\"first\":0,\"next\":2,\"more\":false}\n");
    read = ask(w, "{\"verb\":\"topic read\",\"topic\":\"orders\",\"partition\":1,\"from\":1,\"limit\":1}");
    assert_null(strstr(read, "\"offset\":0"));
    assert_holds(ask(w, "{\"verb\":\"topic delete\",\"topic\":\"orders\"}"), "\"deleted\":true}\n{\"end\":\"OK\"}\n");
    assert_string_equal(ask(w, "{\"verb\":\"topic list\"}"), "{\"end\":\"OK\"}\n");
}

static void a_read_in_parts_misses_and_repeats_nothing(void **state)
{
    struct world *w = *state;
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\"}");
    for (int i = 0; i < 5; i++)
        assert_holds(ask_with(w, "{\"verb\":\"topic append\",\"topic\":\"t\",\"count\":3,\"body\":6}",
                              BYTES("1\n2\n3\n")),
                     "OK");
    for (unsigned from = 0; from < 15; from += 2) {
        char request[128], end[64];
        snprintf(request, sizeof(request), "{\"verb\":\"topic read\",\"topic\":\"t\",\"from\":%u,\"limit\":2}", from);
        snprintf(end, sizeof(end), "\"next\":%u,\"more\":%s", from + 2 > 15 ? 15 : from + 2,
                 from + 2 < 15 ? "true" : "false");
        assert_holds(ask(w, request), end);
    }
}

static void a_record_of_any_size_and_any_bytes_comes_whole(void **state)
{
    struct world *w = *state;
    size_t size = RECORD_SIZE_MAX - 64;
    uint8_t *value = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        value[i] = i % 3 == 0 ? 0x01 : i % 3 == 1 ? 0xC3 : 0xA9; /* a control character, then an e with an accent */
    char request[128];
    snprintf(request, sizeof(request), "{\"verb\":\"topic append\",\"topic\":\"big\",\"count\":1,\"body\":%zu}", size);
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"big\"}");
    assert_holds(ask_with(w, request, (struct bytes){ value, size }), "{\"end\":\"OK\"}");
    const char *text = strstr(ask(w, "{\"verb\":\"topic read\",\"topic\":\"big\"}"), "\"text\":\"");
    assert_non_null(text);
    text += strlen("\"text\":\"");
    for (size_t i = 0; i + 2 < size; i += 3, text += 8) {
        if (memcmp(text, "\\u0001\xC3\xA9", 8) != 0)
            fail_msg("at byte %zu: %.16s", i, text);
    }
    free(value);
}

static void the_socket_answers_as_the_directory_does(void **state)
{
    static const char *const requests[] = {
        "{\"verb\":\"topic list\"}",
        "{\"verb\":\"topic describe\",\"topic\":\"t\"}",
        "{\"verb\":\"topic describe\",\"topic\":\"none\"}",
        "{\"verb\":\"topic read\",\"topic\":\"t\"}",
        "{\"verb\":\"group list\"}",
        "{\"verb\":\"group describe\",\"group\":\"g\"}",
        "{\"verb\":\"dlq list\"}",
        "{\"verb\":\"dlq list\",\"name\":\"t\"}",
        "{\"verb\":\"dlq show\",\"topic\":\"t\"}",
        "{\"verb\":\"dlq show\",\"topic\":\"t\",\"where\":\"event.x ==\"}",
        "{\"verb\":\"dlq count\",\"topic\":\"t\",\"where\":\"event.x == 1\"}",
        "{\"verb\":\"dlq redrive\",\"topic\":\"t\",\"dry_run\":true}",
        "{\"verb\":\"dlq redrive\",\"topic\":\"t\"}",
        "{\"verb\":\"dlq drop\",\"topic\":\"t\",\"partition\":9}",
        "{\"verb\":\"nonsense\"}",
        "not json",
    };
    struct world *w = *state;
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\",\"count\":3}");
    ask_with(w, "{\"verb\":\"topic append\",\"topic\":\"t\",\"partition\":0,\"count\":1,\"body\":1}", BYTES("x"));
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        char *first = strdup(ask(w, requests[i]));
        assert_string_equal(first, ask_here(w, requests[i]));
        assert_holds(first, "{\"end\":\"");
        free(first);
    }
}

static void status_tells_of_the_node_and_of_what_stopped(void **state)
{
    struct world *w = *state;
    const char *answer = ask(w, "{\"verb\":\"status\"}");
    assert_holds(answer, "{\"node\":\"running\",\"pid\":");
    assert_holds(answer, "{\"pipeline\":\"orders\",\"state\":\"running\",\"accepted\":10,\"filtered\":2,");
    assert_holds(answer, "\"state\":\"stopped\",");
    assert_holds(answer, "\"error\":\"two \\\"truths\\\"\"}\n{\"end\":\"OK\"}\n");
}

static void a_bad_request_gets_a_reason(void **state)
{
    static const struct {
        const char *request, *end;
    } cases[] = {
        { "[]", "BADINPUT" },
        { "{\"verb\":1}", "BADINPUT" },
        { "{\"verb\":\"topic read\"}", "" },
        { "{\"verb\":\"topic read\",\"topic\":\"../x\"}", "" },
        { "{\"verb\":\"topic read\",\"topic\":\"none\"}", "NOTFOUND" },
        { "{\"verb\":\"topic read\",\"topic\":\"t\",\"partition\":9}", "NOTFOUND" },
        { "{\"verb\":\"topic read\",\"topic\":\"t\",\"partition\":-1}", "BADINPUT" },
        { "{\"verb\":\"topic create\",\"topic\":\"u\",\"count\":0}", "MISUSE" },
        { "{\"verb\":\"topic append\",\"topic\":\"t\",\"count\":2,\"body\":0}", "BADINPUT" },
        { "{\"verb\":\"topic append\",\"topic\":\"t\",\"count\":2,\"body\":99999999999}", "BADINPUT" },
        { "{\"verb\":\"group describe\",\"group\":\"none\"}", "NOTFOUND" },
    };
    struct world *w = *state;
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\"}");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char end[32];
        snprintf(end, sizeof(end), "{\"end\":\"%s", cases[i].end);
        const char *answer = ask(w, cases[i].request);
        assert_holds(answer, end);
        assert_holds(answer, "\"error\":\"");
    }
}

/* A record as it should be, then each of its prefixes, and one byte more: those are told, and nothing of them is in. */
static void a_record_that_is_none_is_told(void **state)
{
    struct world *w = *state;
    uint8_t body[96];
    char request[160];
    struct writer record = writer_of(body + 4, sizeof(body) - 4);
    write_le64(&record, 5000);
    write_le32(&record, CONTROL_NO_BYTES);
    write_le32(&record, 2);
    write_bytes(&record, BYTES("vv"));
    write_le32(&record, 1);
    write_le32(&record, 1);
    write_bytes(&record, BYTES("h"));
    write_le32(&record, CONTROL_NO_BYTES);
    size_t whole = writer_size(&record);
    write_u8(&record, 0);
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\",\"count\":1}");
    for (size_t size = 0; size <= whole + 1; size++) {
        put_le32(body, (uint32_t)size);
        snprintf(request, sizeof(request),
                 "{\"verb\":\"topic append\",\"topic\":\"t\",\"records\":true,\"count\":1,\"body\":%zu}", size + 4);
        const char *answer = ask_with(w, request, (struct bytes){ body, size + 4 });
        assert_holds(answer,
                     size == whole ? "{\"end\":\"OK\"}" : "{\"end\":\"BADINPUT\",\"error\":\"event 1: is no record");
    }
    const char *answer = ask(w, "{\"verb\":\"topic read\",\"topic\":\"t\",\"partition\":0,\"from\":0,\"limit\":9}");
    assert_holds(answer, "\"offset\":0,\"time\":\"1970-01-01T00:00:05.000Z\"");
    assert_holds(answer, "\"text\":\"vv\"");
    assert_holds(answer, "\"next\":1");
}

/* ---- clients that misbehave: plain sockets ---- */

static int dial(struct world *w)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct timeval patience = { .tv_sec = 30 };
    strcpy(address.sun_path, w->socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

static size_t read_to_end(int fd, char *room, size_t size)
{
    size_t at = 0;
    for (ssize_t n; at < size - 1 && (n = read(fd, room + at, size - 1 - at)) > 0;)
        at += (size_t)n;
    room[at] = '\0';
    return at;
}

static void assert_let_in(struct world *w) /* as soon as it has noticed that the others left */
{
    for (int tries = 0; tries < 3000; tries++) {
        if (strstr(ask(w, "{\"verb\":\"topic list\"}"), "{\"end\":\"OK\"}") != NULL)
            return;
        usleep(10000);
    }
    fail_msg("nobody is let in again");
}

static void one_too_many_is_told_to_come_back(void **state)
{
    struct world *w = *state;
    int fds[CONTROL_CONNECTION_COUNT_MAX];
    char room[256];
    for (unsigned i = 0; i < CONTROL_CONNECTION_COUNT_MAX; i++) {
        fds[i] = dial(w);
        assert_int_equal(write(fds[i], "{", 1), 1);
    }
    int extra = dial(w);
    read_to_end(extra, room, sizeof(room));
    assert_holds(room, "{\"end\":\"AGAIN\"");
    /* Also a client that has much to say, and is still saying it when it is refused, gets to read why. */
    uint8_t *body = calloc(1, CONTROL_BODY_SIZE_MAX);
    for (unsigned i = 0; i < 40; i++) {
        char line[96];
        snprintf(line, sizeof(line), "{\"verb\":\"topic append\",\"topic\":\"t\",\"count\":1,\"body\":%u}",
                 CONTROL_BODY_SIZE_MAX);
        struct bytes request = bytes_of_text(line), big = { body, CONTROL_BODY_SIZE_MAX };
        w->answer_size = 0;
        assert_int_equal(control_ask(w->io, w->socket, request, big, keep, w, mono_after(io_now(w->io), 10 * NS_PER_S),
                                     NULL),
                         NEAP_OK);
        w->answer[w->answer_size] = '\0';
        assert_holds(w->answer, "{\"end\":\"AGAIN\"");
    }
    free(body);
    for (unsigned i = 0; i < CONTROL_CONNECTION_COUNT_MAX; i++)
        close(fds[i]);
    close(extra);
    assert_let_in(w);
}

static void a_request_in_crumbs_is_understood(void **state)
{
    static const char request[] = "{\"verb\":\"topic append\",\"topic\":\"t\",\"count\":2,\"body\":3}\na\nb";
    struct world *w = *state;
    char room[256];
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\"}");
    int fd = dial(w);
    for (size_t i = 0; i < sizeof(request) - 1; i++)
        assert_int_equal(write(fd, request + i, 1), 1);
    read_to_end(fd, room, sizeof(room));
    assert_string_equal(room, "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"count\":2}\n{\"end\":\"OK\"}\n");
    close(fd);
}

static void a_line_without_end_and_a_client_that_leaves_do_no_harm(void **state)
{
    static const char append[] = "{\"verb\":\"topic append\",\"topic\":\"t\",\"count\":1,\"body\":1}\nx";
    struct world *w = *state;
    static char flood[CONTROL_ROOM_SIZE * 2];
    char room[256];
    memset(flood, 'x', sizeof(flood));
    int fd = dial(w);
    (void)!send(fd, flood, sizeof(flood), MSG_NOSIGNAL);
    assert_int_equal(read_to_end(fd, room, sizeof(room)), 0);
    close(fd);
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\"}");
    for (int i = 0; i < 50; i++) {
        fd = dial(w);
        assert_true(send(fd, append, sizeof(append) - 1, MSG_NOSIGNAL) != 0);
        close(fd); /* with its unit in the log, or not yet */
    }
    assert_let_in(w);
}

static struct log_partition make_topic(struct world *w, struct log_client *client, const char *name)
{
    struct log_topic topic;
    mono_time soon = mono_after(io_now(w->io), 60 * NS_PER_S);
    assert_int_equal(log_topic_ensure(client, name, 1, soon, &topic, NULL), NEAP_OK);
    return (struct log_partition){ topic.id, 0 };
}

static void put(struct world *w, struct log_client *client, struct log_partition at, struct bytes batch)
{
    struct log_op op = { .kind = LOG_APPEND, .target = at, .count = 1, .payload = batch };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(client, &unit, mono_after(io_now(w->io), 60 * NS_PER_S)), NEAP_OK);
}

/* Also where nobody wakes whoever has looked through a part of it. */
static void a_large_topic_grows(void **state)
{
    struct world *w = *state;
    static uint8_t value[900u << 10], room[1u << 20];
    struct log_client *client = NULL;
    assert_int_equal(log_client_open(w->log, &(struct log_client_options){ 0 }, &client, NULL), NEAP_OK);
    struct log_partition p = make_topic(w, client, "large");
    for (int i = 0; i < 40; i++) { /* more than is looked through in one go */
        struct batch_builder builder;
        struct record record = { .value = { value, sizeof value } };
        batch_begin(&builder, room, sizeof room);
        assert_int_equal(batch_add(&builder, &record, NULL, 0), NEAP_OK);
        put(w, client, p, batch_end(&builder));
    }
    assert_non_null(
        strstr(ask_here(w, "{\"verb\":\"topic alter\",\"topic\":\"large\",\"count\":2}"), "\"partitions\":2"));
    assert_non_null(strstr(ask(w, "{\"verb\":\"topic alter\",\"topic\":\"large\",\"count\":3}"), "\"partitions\":3"));
    log_client_close(&client);
}

/* Whose records do not come apart, who knows what keys they have. */
static void what_cannot_be_looked_at_may_have_a_key(void **state)
{
    struct world *w = *state;
    static uint8_t room[4096];
    struct log_client *client = NULL;
    struct batch_builder builder;
    struct record record = { .value = BYTES("nothing that gzip has made") };
    assert_int_equal(log_client_open(w->log, &(struct log_client_options){ 0 }, &client, NULL), NEAP_OK);
    struct log_partition p = make_topic(w, client, "closed");
    batch_begin(&builder, room, sizeof room);
    assert_int_equal(batch_add(&builder, &record, NULL, 0), NEAP_OK);
    struct bytes batch = batch_end(&builder);
    room[22] |= CODEC_GZIP; /* its attributes say so; its checksum is right */
    put_be32(room + 17, crc32c(0, room + 21, batch.size - 21));
    put(w, client, p, batch);
    assert_non_null(
        strstr(ask(w, "{\"verb\":\"topic alter\",\"topic\":\"closed\",\"count\":2}"), "holds events with keys"));
    log_client_close(&client);
}

/* Named by an older version, or in a file that somebody made: what it is called must not become a part of the answer. */
static void a_group_of_any_name_is_listed_and_deleted(void **state)
{
    static const char odd[] = "a\",\"lag\":0}\n{\"end\":\"CORRUPT\",\"error\":\"x\"}\n";
    static const char escaped[] = "a\\\",\\\"lag\\\":0}\\n{\\\"end\\\":\\\"CORRUPT\\\",\\\"error\\\":\\\"x\\\"}\\n";
    struct world *w = *state;
    char request[512];
    struct log_client *client;
    struct log_topic topic;
    ask(w, "{\"verb\":\"topic create\",\"topic\":\"t\"}");
    assert_int_equal(log_topic_find(w->log, "t", &topic), NEAP_OK);
    assert_int_equal(log_client_open(w->log, &(struct log_client_options){ 0 }, &client, NULL), NEAP_OK);
    const struct bytes names[] = { bytes_of_text(odd), BYTES("z") };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct log_op op = { .kind = LOG_OFFSET, .target = { topic.id, 0 }, .name = names[i] };
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(client, &unit, mono_after(io_now(w->io), 20 * NS_PER_S)), NEAP_OK);
    }
    log_client_close(&client);
    const char *answer = ask(w, "{\"verb\":\"group list\"}");
    assert_holds(answer, escaped);
    assert_holds(answer, "\"group\":\"z\"");
    assert_holds(answer, "{\"end\":\"OK\"}\n");
    assert_null(strstr(answer, "\n{\"end\":\"CORRUPT\""));
    snprintf(request, sizeof request, "{\"verb\":\"group describe\",\"group\":\"%s\"}", escaped);
    answer = ask(w, request);
    assert_holds(answer, escaped);
    assert_holds(answer, "{\"end\":\"OK\"}\n");
    snprintf(request, sizeof request, "{\"verb\":\"group delete\",\"group\":\"%s\"}", escaped);
    answer = ask(w, request);
    assert_holds(answer, escaped);
    assert_holds(answer, "{\"end\":\"OK\"}\n");
    answer = ask(w, "{\"verb\":\"group list\"}");
    assert_null(strstr(answer, "lag\\"));
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(topics_are_made_filled_read_and_deleted),
        WORLD_TEST(a_read_in_parts_misses_and_repeats_nothing),
        WORLD_TEST(a_record_of_any_size_and_any_bytes_comes_whole),
        WORLD_TEST(the_socket_answers_as_the_directory_does),
        WORLD_TEST(status_tells_of_the_node_and_of_what_stopped),
        WORLD_TEST(a_bad_request_gets_a_reason),
        WORLD_TEST(a_record_that_is_none_is_told),
        WORLD_TEST(one_too_many_is_told_to_come_back),
        WORLD_TEST(a_request_in_crumbs_is_understood),
        WORLD_TEST(a_line_without_end_and_a_client_that_leaves_do_no_harm),
        WORLD_TEST(a_large_topic_grows),
        WORLD_TEST(what_cannot_be_looked_at_may_have_a_key),
        WORLD_TEST(a_group_of_any_name_is_listed_and_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
