/* http.c - the public verbs of calls: what cannot be sent is refused here, once for every door.
 *
 * A header that carries a line break would be two headers, and a URL with a blank another request: whatever came out of an
 * event must not become one. */
#include "io/http.h"
#include "base/must.h"
#include "io/door.h"
#include <strings.h>

const char *io_http_error_word(enum io_http_error error)
{
    static const char *const words[] = {
#define X(name, word) word,
        IO_HTTP_ERROR_MAP(X)
#undef X
    };
    return words[error];
}

/* RFC 9110, section 5.6.2: what methods and names of headers are made of. */
static bool is_token(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == 0 || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return text.size > 0;
}

static bool is_value(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((text.at[i] < ' ' && text.at[i] != '\t') || text.at[i] == 0x7f)
            return false;
    return true;
}

static bool begins_with(struct bytes text, const char *start)
{
    size_t size = strlen(start);
    return text.size > size && strncasecmp((const char *)text.at, start, size) == 0;
}

static bool is_url(struct bytes url)
{
    for (size_t i = 0; i < url.size; i++)
        if (url.at[i] <= ' ' || url.at[i] == 0x7f)
            return false;
    return url.size <= IO_HTTP_URL_SIZE_MAX && (begins_with(url, "http://") || begins_with(url, "https://"));
}

static bool is_ours(struct bytes name)
{
    static const char *const ours[] = { "content-length", "transfer-encoding", "expect" };
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (name.size == strlen(ours[i]) && strncasecmp((const char *)name.at, ours[i], name.size) == 0)
            return true;
    return false;
}

static enum neap_status look_at_headers(const struct io_http_call *call, struct error *err)
{
    size_t size = 0;
    for (uint32_t i = 0; i < call->header_count && i < IO_HTTP_HEADER_COUNT_MAX; i++) {
        struct bytes name = call->headers[i].name, value = call->headers[i].value;
        size += name.size + value.size;
        if (!is_token(name))
            return error_set(err, NEAP_BADINPUT, "header %u: its name is empty or holds what no name may", i + 1);
        if (is_ours(name))
            return error_set(err, NEAP_BADINPUT, "header %.*s follows from the body and cannot be set", (int)name.size,
                             (const char *)name.at);
        if (!is_value(value))
            return error_set(err, NEAP_BADINPUT, "header %.*s: its value holds a line break or a control character",
                             (int)(name.size < 100 ? name.size : 100), (const char *)name.at);
    }
    if (call->header_count > IO_HTTP_HEADER_COUNT_MAX || size > IO_HTTP_HEAD_SIZE_MAX)
        return error_set(err, NEAP_BADINPUT, "more than %u headers, or more than %u bytes of them",
                         IO_HTTP_HEADER_COUNT_MAX, IO_HTTP_HEAD_SIZE_MAX);
    return NEAP_OK;
}

static enum neap_status look_at(const struct io_http_call *call, struct error *err)
{
    if (!is_token(call->method) || call->method.size > IO_HTTP_METHOD_SIZE_MAX)
        return error_set(err, NEAP_BADINPUT, "the method is no word that can be sent");
    if (!is_url(call->url))
        return error_set(
            err, NEAP_BADINPUT,
            "no URL that can be called: it begins with http:// or https://, has no blanks and at most %u bytes",
            IO_HTTP_URL_SIZE_MAX);
    return look_at_headers(call, err);
}

enum neap_status io_http_prepare(struct io *io, const struct io_http_options *options, struct error *err)
{
    return io->verbs->http_prepare(io, options, err);
}

enum neap_status io_http_begin(struct io_http_call *call, struct error *err)
{
    must(call->agent != NULL && call->agent->io_ != NULL && call->done != NULL);
    must(call->deadline.ns != MONO_NEVER.ns); /* there is one on every wait for something outside */
    must(call->room != NULL || call->room_size == 0);
    must(!call->at_work_); /* once at a time */
    enum neap_status status = look_at(call, err);
    if (status != NEAP_OK)
        return status;
    call->answer_limit_ = call->answer_size_max == 0 ? call->room_size : call->answer_size_max;
    call->answer = (struct io_http_answer){ .status = 0 };
    call->next_ = NULL;
    call->own_ = NULL;
    __atomic_store_n(&call->cancelled_, false, __ATOMIC_RELAXED);
    call->at_work_ = true;
    status = call->agent->io_->verbs->http_begin(call, err);
    call->at_work_ = status == NEAP_OK;
    return status;
}

void io_http_cancel(struct io_http_call *call)
{
    must(call->at_work_);
    call->agent->io_->verbs->http_cancel(call);
}
