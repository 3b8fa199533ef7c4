/* curl.h - libcurl, loaded when the first call is made, and one transfer of it; private to src/io/real.
 *
 * owner    struct curl: the door, for as long as the process lives (libcurl cannot be unloaded safely). struct transfer: the
 *          thread `http` (http.c)
 * memory   a transfer keeps libcurl's handle and room for its texts, and is used again
 * errors   curl_load() says what is missing; what became of a transfer is written into its call's answer
 * promise  rule H3 of io/http.h is kept here: at each connect, and again before a kept connection is used */
#ifndef IO_REAL_CURL_H
#define IO_REAL_CURL_H

#include "io/http.h"
#include <curl/curl.h>

/* The functions by which we know it; names as libcurl's without curl_. */
#define CURL_FUNCTION_MAP(X)                                                                                          \
    X(global_init)                                                                                                    \
    X(version_info)                                                                                                   \
    X(easy_init)                                                                                                      \
    X(easy_cleanup)                                                                                                   \
    X(easy_reset)                                                                                                     \
    X(easy_setopt)                                                                                                    \
    X(easy_getinfo)                                                                                                   \
    X(easy_strerror)                                                                                                  \
    X(multi_init)                                                                                                     \
    X(multi_cleanup)                                                                                                  \
    X(multi_setopt)                                                                                                   \
    X(multi_add_handle)                                                                                               \
    X(multi_remove_handle)                                                                                            \
    X(multi_perform)                                                                                                  \
    X(multi_info_read)                                                                                                \
    X(multi_poll)                                                                                                     \
    X(multi_wakeup)
struct curl {
#define X(name) __typeof__(curl_##name) *name;
    CURL_FUNCTION_MAP(X)
#undef X
};
enum neap_status curl_load(struct curl *ret_curl, struct error *err);

struct transfer {
    struct transfer *next, **link; /* in flight, or free */
    const struct curl *curl;
    CURL *easy;
    struct io_http_call *call;
    struct io_timer deadline;
    mono_time begun_at;
    char *text; /* URL, method and header lines, each with its NUL */
    size_t text_room;
    struct curl_slist lines[IO_HTTP_HEADER_COUNT_MAX + 3];
    size_t head_size;         /* of the answer, so far */
    bool head_too_large, body_too_large;
    char refused[48];         /* the address that was not to be called; "": none */
    char said[CURL_ERROR_SIZE];
};

struct transfer *transfer_new(const struct curl *curl); /* gives; NULL: out of memory */
void             transfer_free(struct transfer **transfer);
/* Everything about this call, afresh. False: out of memory. */
bool             transfer_set(struct transfer *transfer, struct io_http_call *call, const char *ca_file, mono_time now);
/* Writes the call's answer, after libcurl has ended the transfer; or before, when it is given up. */
void             transfer_ended(struct transfer *transfer, CURLcode code, mono_time now);
void             transfer_given_up(struct transfer *transfer, enum io_http_error error, mono_time now);

#endif
