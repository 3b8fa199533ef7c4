/* server.c - Neap inside a libuv server: a line is an event, and its answer comes once it is durable.
 *
 *     server DATA PORT          listens on 127.0.0.1; PORT 0: any, it is printed
 *
 *     -> {"n":1}                <- ok 17          (its offset; answers come in the order of the lines)
 *
 * One thread. Neap tells libuv that something has become durable by a descriptor, which uv_poll_t watches; the completions
 * run inside neap_writer_work(), on the loop's thread, so they may touch connections as any other callback of libuv.
 *
 * When Neap says NEAP_AGAIN, the server stops reading from that client and keeps the line; a completion makes room, and it
 * goes on. A client that is slow to read its answers is not read from either. So nothing grows: not here, not there. */
#include <neap/neap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define LINE_SIZE_MAX   65536
#define ANSWER_SIZE_MAX (256 * 1024) /* not yet read by the client; over it, its lines wait */

struct client {
    uv_tcp_t tcp;
    struct client *next; /* of all */
    char in[LINE_SIZE_MAX];
    size_t in_size;
    unsigned on_its_way; /* lines without an answer */
    size_t unsent_size;  /* answers that libuv still has */
    bool reading, ended, closing, gone;
};

struct answer {
    uv_write_t write;
    struct client *client;
    size_t size;
    char text[32];
};

static uv_loop_t *loop;
static uv_tcp_t listener;
static uv_poll_t durable;
static uv_signal_t stop;
static struct client *clients;
static struct neap *neap;
static struct neap_writer *writer;
static struct neap_topic *topic;

static void look_at(struct client *client);

/* ---- clients ------------------------------------------------------------------------------------------------------- */

/* Its struct stays until Neap has answered all of its lines: their completions point to it. */
static void free_when_done(struct client *client)
{
    if (!client->gone || client->on_its_way > 0)
        return;
    struct client **link = &clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    free(client);
}

static void closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    client->gone = true;
    free_when_done(client);
}

static void close_client(struct client *client)
{
    if (client->closing)
        return;
    client->closing = true;
    uv_close((uv_handle_t *)&client->tcp, closed);
}

static void written(uv_write_t *write, int status)
{
    struct answer *answer = (struct answer *)write;
    struct client *client = answer->client;
    client->unsent_size -= answer->size;
    free(answer);
    if (status != 0)
        close_client(client);
    look_at(client);
}

static void say(struct client *client, const char *format, unsigned long long number)
{
    struct answer *answer = malloc(sizeof *answer);
    if (client->closing || answer == NULL) {
        free(answer);
        close_client(client);
        return;
    }
    answer->client = client;
    answer->size = (size_t)snprintf(answer->text, sizeof answer->text, format, number);
    client->unsent_size += answer->size;
    uv_buf_t buffer = uv_buf_init(answer->text, (unsigned)answer->size);
    if (uv_write(&answer->write, (uv_stream_t *)&client->tcp, &buffer, 1, written) != 0) {
        client->unsent_size -= answer->size;
        free(answer);
        close_client(client);
    }
}

/* ---- lines --------------------------------------------------------------------------------------------------------- */

static void appended(void *ctx, const struct neap_outcome *outcome)
{
    struct client *client = ctx;
    client->on_its_way--;
    if (outcome->status == NEAP_OK)
        say(client, "ok %llu\n", outcome->places[0].offset);
    else
        say(client, outcome->status == NEAP_FULL ? "full\n" : "failed\n", 0);
    free_when_done(client);
}

/* False: not now. */
static bool append_line(struct client *client, const char *line, size_t size)
{
    struct neap_event event = { .value = { line, size } };
    enum neap_status status = neap_append(writer, topic, 0, &event, 1, appended, client);
    if (status == NEAP_AGAIN)
        return false;
    client->on_its_way += status == NEAP_OK;
    if (status != NEAP_OK)
        close_client(client);
    return true;
}

static void take_lines(struct client *client)
{
    size_t at = 0;
    char *end;
    while (!client->closing && client->unsent_size < ANSWER_SIZE_MAX &&
           (end = memchr(client->in + at, '\n', client->in_size - at)) != NULL) {
        size_t size = (size_t)(end - client->in) - at;
        if (!append_line(client, client->in + at, size))
            break;
        at += size + 1;
    }
    memmove(client->in, client->in + at, client->in_size - at);
    client->in_size -= at;
}

static void make_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    struct client *client = handle->data;
    (void)wanted;
    *buffer = uv_buf_init(client->in + client->in_size, (unsigned)(sizeof client->in - client->in_size));
}

static void have_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct client *client = stream->data;
    (void)buffer;
    if (size > 0) {
        client->in_size += (size_t)size;
    } else if (size < 0) {
        client->ended = true;
        client->reading = false;
        uv_read_stop(stream);
        if (size != UV_EOF)
            close_client(client);
    }
    look_at(client);
}

/* Takes what lines there is room for, then reads on or not. */
static void look_at(struct client *client)
{
    if (client->closing)
        return;
    take_lines(client);
    if (client->closing)
        return;
    bool has_line = memchr(client->in, '\n', client->in_size) != NULL;
    if (!has_line && client->in_size == sizeof client->in) {
        close_client(client); /* a line longer than any */
        return;
    }
    bool wanted = !has_line && !client->ended;
    if (wanted && !client->reading)
        uv_read_start((uv_stream_t *)&client->tcp, make_room, have_read);
    else if (!wanted && client->reading)
        uv_read_stop((uv_stream_t *)&client->tcp);
    client->reading = wanted;
    if (client->ended && !has_line && client->on_its_way == 0 && client->unsent_size == 0)
        close_client(client);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------ */

static void became_durable(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    if (neap_writer_work(writer) == 0)
        return;
    for (struct client *client = clients, *next; client != NULL; client = next) { /* there is room again */
        next = client->next;
        look_at(client);
    }
}

static void connected(uv_stream_t *stream, int status)
{
    (void)stream;
    struct client *client = status == 0 ? calloc(1, sizeof *client) : NULL;
    if (client == NULL)
        return;
    uv_tcp_init(loop, &client->tcp);
    client->tcp.data = client;
    client->next = clients;
    clients = client;
    if (uv_accept((uv_stream_t *)&listener, (uv_stream_t *)&client->tcp) != 0)
        close_client(client);
    look_at(client);
}

static void stopped(uv_signal_t *handle, int number)
{
    (void)number;
    uv_close((uv_handle_t *)handle, NULL);
    uv_close((uv_handle_t *)&listener, NULL);
    for (struct client *client = clients; client != NULL; client = client->next)
        close_client(client);
    uv_close((uv_handle_t *)&durable, NULL); /* before the writer: the descriptor is the writer's */
}

static int listen_on(int port)
{
    struct sockaddr_in address;
    int size = sizeof address;
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(loop, &listener);
    int rc = uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener, 128, connected);
    if (rc != 0) {
        fprintf(stderr, "server: port %d: %s\n", port, uv_strerror(rc));
        return 1;
    }
    uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return 0;
}

static int serve(int port)
{
    struct neap_error err;
    int fd;
    loop = uv_default_loop();
    if (neap_writer_descriptor(writer, &fd, &err) != NEAP_OK) {
        fprintf(stderr, "server: %s\n", err.text);
        return 1;
    }
    uv_poll_init(loop, &durable, fd);
    uv_poll_start(&durable, UV_READABLE, became_durable);
    uv_signal_init(loop, &stop);
    uv_signal_start(&stop, stopped, SIGTERM);
    signal(SIGPIPE, SIG_IGN); /* ours to say: the library leaves signals alone */
    if (listen_on(port) != 0)
        return 1;
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}

int main(int argc, char **argv)
{
    struct neap_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: server DATA PORT\n");
        return 2;
    }
    if (neap_open(&(struct neap_options){ .path = argv[1], .disk_size = 256u << 20 }, &neap, &err) != NEAP_OK ||
        neap_writer_open(neap, NULL, &writer, &err) != NEAP_OK ||
        neap_topic_open(writer, "lines", 1, 10000, &topic, &err) != NEAP_OK) {
        fprintf(stderr, "server: %s\n", err.text);
        return 1;
    }
    int code = serve(atoi(argv[2]));
    if (neap_writer_close(&writer, 10000) != NEAP_OK) /* the last completions run in here */
        return 1;
    neap_topic_close(&topic);
    return neap_close(&neap) == NEAP_OK ? code : 1;
}
