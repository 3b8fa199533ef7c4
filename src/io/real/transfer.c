/* transfer.c - one call as libcurl wants it told, and what libcurl tells as we call it. */
#include "base/must.h"
#include "io/address.h"
#include "io/real/curl.h"
#include "io/real/inside.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_NS (10 * NS_PER_S)

/* ---- whom we connect to (rule H3) ---- */

/* The address's text goes into transfer->refused where it may not be called. */
static bool may_call(struct transfer *t, int family, const void *address)
{
    bool v6 = family == AF_INET6;
    struct bytes bytes = { address, v6 ? 16 : 4 };
    if (family != AF_INET && !v6)
        snprintf(t->refused, sizeof(t->refused), "of family %d", family);
    else if (!t->call->private_allowed && io_address_is_private(bytes))
        inet_ntop(family, address, t->refused, sizeof(t->refused));
    else
        return true;
    return false;
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&to->addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&to->addr;
    (void)purpose;
    if (!may_call(ctx, to->family, to->family == AF_INET6 ? (const void *)&v6->sin6_addr : &v4->sin_addr))
        return CURL_SOCKET_BAD;
    return real_high(socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol));
}

/* Before each request: the connection may be one that was opened for a call that was allowed more. */
static int before_request(void *ctx, char *their_ip, char *our_ip, int their_port, int our_port)
{
    struct transfer *t = ctx;
    uint8_t address[16] = { 0 }; /* what cannot be read is nobody's, and so it is private */
    (void)our_ip, (void)their_port, (void)our_port;
    int family = strchr(their_ip, ':') != NULL ? AF_INET6 : AF_INET;
    inet_pton(family, their_ip, address);
    return may_call(t, family, address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* ---- what comes back ---- */

static size_t take_body(char *at, size_t one, size_t size, void *ctx)
{
    struct transfer *t = ctx;
    struct io_http_call *call = t->call;
    struct io_http_answer *answer = &call->answer;
    must(one == 1);
    size_t room = call->room_size - answer->body.size;
    size_t kept = size < room ? size : room;
    if (kept > 0) {
        memcpy((uint8_t *)call->room + answer->body.size, at, kept);
        answer->body = (struct bytes){ call->room, answer->body.size + kept };
    }
    answer->body_size += size;
    t->body_too_large = answer->body_size > call->answer_limit_;
    return t->body_too_large ? size + 1 : size; /* another number than its own ends it */
}

/* "Name: value\r\n". What does not fit means nothing, and is left out. */
static bool take_value(struct bytes line, const char *name, char *to, size_t room)
{
    size_t name_size = strlen(name);
    if (line.size <= name_size || strncasecmp((const char *)line.at, name, name_size) != 0 || line.at[name_size] != ':')
        return false;
    const uint8_t *start = line.at + name_size + 1, *end = line.at + line.size;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size_t size = (size_t)(end - start);
    if (size < room) {
        memcpy(to, start, size);
        to[size] = '\0';
    }
    return true;
}

static size_t take_head(char *at, size_t one, size_t size, void *ctx)
{
    struct transfer *t = ctx;
    struct io_http_answer *answer = &t->call->answer;
    struct bytes line = { (const uint8_t *)at, size };
    must(one == 1);
    t->head_size += size;
    t->head_too_large = t->head_size > IO_HTTP_HEAD_SIZE_MAX;
    if (t->head_too_large)
        return size + 1;
    if (size > 5 && memcmp(at, "HTTP/", 5) == 0) /* what an interim answer (1xx) said is no part of this one */
        answer->retry_after[0] = answer->content_type[0] = '\0';
    if (!take_value(line, "retry-after", answer->retry_after, sizeof(answer->retry_after)))
        take_value(line, "content-type", answer->content_type, sizeof(answer->content_type));
    return size;
}

/* ---- a transfer ---- */

struct transfer *transfer_new(const struct curl *curl)
{
    struct transfer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->curl = curl;
    t->easy = curl->easy_init();
    if (t->easy == NULL)
        transfer_free(&t);
    return t;
}

void transfer_free(struct transfer **transfer)
{
    struct transfer *t = *transfer;
    if (t == NULL)
        return;
    if (t->easy != NULL)
        t->curl->easy_cleanup(t->easy);
    free(t->text);
    free(t);
    *transfer = NULL;
}

static bool need_text(struct transfer *t, const struct io_http_call *call)
{
    size_t size = call->url.size + call->method.size + 2;
    for (uint32_t i = 0; i < call->header_count; i++)
        size += call->headers[i].name.size + call->headers[i].value.size + 3;
    if (size <= t->text_room)
        return true;
    char *text = realloc(t->text, size);
    if (text == NULL)
        return false;
    t->text = text;
    t->text_room = size;
    return true;
}

static void write_text(struct writer *w, struct bytes bytes)
{
    write_bytes(w, bytes);
    write_u8(w, 0);
}

static bool is_named(struct bytes name, const char *text)
{
    return name.size == strlen(text) && strncasecmp((const char *)name.at, text, name.size) == 0;
}

/* The list that libcurl reads, in our memory. It would add a type of content, and "Expect" to large bodies, for which many
 * servers have no answer: a second is lost on each. */
static struct curl_slist *write_lines(struct transfer *t, const struct io_http_call *call, struct writer *w)
{
    static char no_expect[] = "Expect:", no_type[] = "Content-Type:";
    uint32_t count = 0;
    bool has_type = false;
    t->lines[count++].data = no_expect;
    for (uint32_t i = 0; i < call->header_count; i++) {
        const struct io_http_header *header = &call->headers[i];
        t->lines[count++].data = (char *)w->at;
        has_type |= is_named(header->name, "content-type");
        write_bytes(w, header->name);
        if (header->value.size == 0) { /* "Name:" would take a header away */
            write_text(w, BYTES(";"));
            continue;
        }
        write_bytes(w, BYTES(": "));
        write_text(w, header->value);
    }
    if (!has_type)
        t->lines[count++].data = no_type;
    for (uint32_t i = 0; i < count; i++)
        t->lines[i].next = i + 1 < count ? &t->lines[i + 1] : NULL;
    return t->lines;
}

#define SET(option, value)                                             \
    do {                                                               \
        CURLcode code_ = t->curl->easy_setopt(t->easy, option, value); \
        good &= code_ == CURLE_OK;                                     \
    } while (0)

static bool set_rules(struct transfer *t, const char *ca_file)
{
    bool good = true;
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->said);
    SET(CURLOPT_NOSIGNAL, 1l);
    SET(CURLOPT_QUICK_EXIT, 1l); /* a name that is still being looked up is left to its thread */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, t);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, take_head);
    SET(CURLOPT_HEADERDATA, t);
    if (ca_file != NULL)
        SET(CURLOPT_CAINFO, ca_file);
    return good;
}

static bool set_request(struct transfer *t, const struct io_http_call *call, const char *url, const char *method,
                        struct curl_slist *lines)
{
    bool good = true;
    bool has_body = call->body.size > 0 || is_named(call->method, "POST") || is_named(call->method, "PUT") ||
                    is_named(call->method, "PATCH"); /* these say that it is empty */
    SET(CURLOPT_URL, url);
    if (has_body) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
        SET(CURLOPT_POSTFIELDS, call->body.size > 0 ? (const char *)call->body.at : "");
    } else if (strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1l);
    } else {
        SET(CURLOPT_HTTPGET, 1l);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    SET(CURLOPT_HTTPHEADER, lines);
    int64_t ns = call->connect_timeout_ns == 0 ? CONNECT_TIMEOUT_NS : call->connect_timeout_ns;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(ns / NS_PER_MS + 1));
    return good;
}

bool transfer_set(struct transfer *t, struct io_http_call *call, const char *ca_file, mono_time now)
{
    if (!need_text(t, call))
        return false;
    t->call = call;
    t->begun_at = now;
    t->head_size = 0;
    t->head_too_large = t->body_too_large = false;
    t->refused[0] = t->said[0] = '\0';
    struct writer w = writer_of(t->text, t->text_room);
    const char *url = (const char *)w.at;
    write_text(&w, call->url);
    const char *method = (const char *)w.at;
    write_text(&w, call->method);
    struct curl_slist *lines = write_lines(t, call, &w);
    must(!w.full);
    t->curl->easy_reset(t->easy); /* keeps what it knows of connections */
    return set_rules(t, ca_file) && set_request(t, call, url, method, lines);
}
