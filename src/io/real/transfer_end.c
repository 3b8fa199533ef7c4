/* transfer_end.c - what became of a call: its answer, or the error and the words for it. */
#include "io/real/curl.h"
#include <stdio.h>

static int64_t time_of(const struct transfer *t, CURLINFO info)
{
    curl_off_t us = 0;
    t->curl->easy_getinfo(t->easy, info, &us);
    return (int64_t)us * NS_PER_US;
}

static void take_times(struct transfer *t, mono_time now)
{
    struct io_http_answer *answer = &t->call->answer;
    long count = 0;
    t->curl->easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &count);
    answer->times.first_byte_ns = time_of(t, CURLINFO_STARTTRANSFER_TIME_T);
    answer->times.total_ns = now.ns - t->begun_at.ns;
    answer->reused = count == 0 && answer->times.first_byte_ns > 0;
    answer->times.connected_ns = answer->reused ? 0 : time_of(t, CURLINFO_CONNECT_TIME_T);
}

/* What did not come in full says nothing. */
static void fail(struct transfer *t, enum io_http_error error)
{
    t->call->answer.status = 0;
    t->call->answer.error = error;
}

static enum io_http_error error_of(const struct transfer *t, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return IO_HTTP_DNS;
    case CURLE_OPERATION_TIMEDOUT: /* on the way to a connection: the deadline is ours (http.c) */
        return time_of(t, CURLINFO_NAMELOOKUP_TIME_T) == 0 ? IO_HTTP_DNS : IO_HTTP_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return IO_HTTP_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return IO_HTTP_RESET;
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: whatever it said, it was no HTTP */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_WRITE_ERROR:
    case CURLE_BAD_CONTENT_ENCODING:
        return IO_HTTP_ANSWER;
    default:
        return IO_HTTP_CONNECT;
    }
}

static void explain(struct transfer *t, CURLcode code)
{
    struct io_http_call *call = t->call;
    char *to = call->answer.text;
    size_t room = sizeof(call->answer.text);
    if (t->refused[0] != '\0')
        snprintf(to, room, "address %s is private, and this call may go to public ones only", t->refused);
    else if (t->head_too_large)
        snprintf(to, room, "the answer's head is larger than %u bytes", IO_HTTP_HEAD_SIZE_MAX);
    else if (t->body_too_large)
        snprintf(to, room, "the answer is larger than %llu bytes", (unsigned long long)call->answer_limit_);
    else
        snprintf(to, room, "%.*s", (int)room - 1, t->said[0] != '\0' ? t->said : t->curl->easy_strerror(code));
}

void transfer_ended(struct transfer *t, CURLcode code, mono_time now)
{
    long status = 0;
    take_times(t, now);
    if (code == CURLE_OK) {
        t->curl->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        t->call->answer.status = (uint32_t)status;
        return;
    }
    /* All addresses were tried; if one of them was not to be, that is the reason, whatever the last of them said. */
    t->call->answer.is_private = t->refused[0] != '\0';
    fail(t, t->refused[0] != '\0' ? IO_HTTP_CONNECT : error_of(t, code));
    explain(t, code);
}

void transfer_given_up(struct transfer *t, enum io_http_error error, mono_time now)
{
    struct io_http_answer *answer = &t->call->answer;
    take_times(t, now);
    fail(t, error);
    const char *how_far = "the name was still being looked up, or no connection was free";
    if (t->head_size > 0)
        how_far = "a part of the answer had come";
    else if (time_of(t, CURLINFO_PRETRANSFER_TIME_T) > 0)
        how_far = "it was connected, and no byte of an answer had come";
    else if (time_of(t, CURLINFO_NAMELOOKUP_TIME_T) > 0)
        how_far = "it was still connecting";
    snprintf(answer->text, sizeof(answer->text), "%s after %lld ms: %s",
             error == IO_HTTP_CANCELLED ? "cancelled" : "no answer", (long long)(answer->times.total_ns / NS_PER_MS),
             how_far);
}
