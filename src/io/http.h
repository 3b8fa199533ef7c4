/* http.h - calls to servers over HTTP, beside other work: begun on an agent's turn, and done on a later turn of it.
 *
 * owner    the door, from io_http_begin() until done(): the call, and all that it points to, stay where they are. One thread
 *          of the real door does all calls; libcurl and the thread come with the first one, so that who calls nobody pays
 *          for neither
 * memory   the call and the room of its answer are the caller's. The door keeps a handle for each call that was ever in
 *          flight beside others, which it uses again, and the connections that are kept alive
 * limits   call_count_max calls in flight, one more: NEAP_AGAIN; connections in all and per host, a call waits for one until
 *          its deadline; an answer of answer_size_max bytes, and heads of IO_HTTP_HEAD_SIZE_MAX. A name that is still being
 *          looked up when its call ends holds up nobody, and keeps a thread of libcurl until the resolver gives up
 * errors   of begin: NEAP_AGAIN; NEAP_BADINPUT: nothing that can be sent (method, URL, header); NEAP_NOTFOUND: there is no
 *          libcurl on this machine; NEAP_NOMEM. Whatever the world does is an enum io_http_error of the answer
 * promise  H1  done() runs once for each call that was begun, never within begin or cancel, and no later than its deadline
 *              (give or take a tick and the scheduler), whatever the server does
 *          H2  when it runs, the call has ended on our side: its connection is closed, or free for the next call
 *          H3  a call that does not allow private addresses sends no byte to one, and opens no connection to one: the address
 *              is looked at that is connected to, whatever a name said before. Redirects are answers and are not followed
 *          H4  certificates are verified; proxies, .netrc and cookies of the surroundings are not used
 *
 * A kept connection that turns out to have been closed meanwhile, with no byte of the answer, is replaced within the call: a
 * server that takes a request and closes without a word may see it again, as it may after any retry. */
#ifndef IO_HTTP_H
#define IO_HTTP_H

#include "io/io.h"

#define IO_HTTP_URL_SIZE_MAX     8192u
#define IO_HTTP_METHOD_SIZE_MAX  32u
#define IO_HTTP_HEADER_COUNT_MAX 64u
#define IO_HTTP_HEAD_SIZE_MAX    65536u /* of all headers together; of the request's and of the answer's */

/* How a call ends without a status. But for CANCELLED the words are those of CALL_ERROR_MAP (flow/outcome.h). */
#define IO_HTTP_ERROR_MAP(X)         \
    X(NONE,      "none")             \
    X(TIMEOUT,   "timeout")          \
    X(CONNECT,   "connect")          \
    X(DNS,       "dns")              \
    X(TLS,       "tls")              \
    X(RESET,     "reset")            \
    X(ANSWER,    "answer")           \
    X(CANCELLED, "cancelled")
enum io_http_error {
#define X(name, word) IO_HTTP_##name,
    IO_HTTP_ERROR_MAP(X)
#undef X
    IO_HTTP_ERROR_COUNT
};
const char *io_http_error_word(enum io_http_error error); /* "timeout" */

struct io_http_header {
    struct bytes name, value;
};

struct io_http_times { /* since the door's thread took the call up; 0: did not come to it */
    int64_t connected_ns; /* 0, too, on a connection that was there already */
    int64_t first_byte_ns, total_ns;
};

struct io_http_answer {
    uint32_t status;          /* 0: none came, or it does not count: `error` */
    enum io_http_error error; /* NONE: `status` and the whole answer are there */
    bool is_private;          /* CONNECT: the address is somebody's inside, and the call may not go there: no byte was sent */
    bool reused;              /* on a connection that was there already */
    struct bytes body;        /* in the call's room: what of it had a place there */
    uint64_t body_size;       /* all of it that came, kept or not */
    struct io_http_times times;
    char retry_after[40];  /* the header's value, and "" where there is none or it is longer than any that means something */
    char content_type[80]; /* the same */
    char text[200];        /* what went wrong, for people: "Connection refused: 10.0.0.7:8080" */
};

struct io_http_call {
    struct io_agent *agent;
    void (*done)(struct io_http_call *call);
    void *ctx;
    struct bytes method; /* "POST" */
    struct bytes url;    /* http or https */
    /* Content-Length, Transfer-Encoding and Expect are the door's. Content-Type and User-Agent are sent where they are here. */
    const struct io_http_header *headers;
    uint32_t header_count;
    struct bytes body;
    mono_time deadline;         /* of the whole call; never MONO_NEVER */
    int64_t connect_timeout_ns; /* from the name to a connection that can be used; 0: 10 s. The deadline ends it, too */
    void *room;                 /* the first room_size bytes of the answer's body go here; what is beyond is read past */
    size_t room_size;
    uint64_t answer_size_max; /* a body that is larger ends the call: IO_HTTP_ANSWER. 0: room_size */
    bool private_allowed;     /* loopback, private networks, the cloud's metadata (address.h) may be called, too */
    struct io_http_answer answer; /* valid from done() on */
    /* ---- the door's */
    struct io_http_call *next_;
    void *own_;
    uint64_t answer_limit_;
    bool cancelled_, at_work_;
};

struct io_http_options {
    uint32_t call_count_max;       /* 0: 1024 */
    uint32_t connection_count_max; /* 0: 256 */
    uint32_t per_host_count_max;   /* 0: 64 */
    const char *ca_file;           /* who vouches for servers, PEM; NULL: the system's. Kept until the door is closed */
};
/* Loads what calls need, so that its absence is told before the first of them, and sets the limits; without it the first call
 * does so, with zeros. Again, or after a call: fine, and the limits stay as they are. NEAP_NOTFOUND: no libcurl. */
enum neap_status io_http_prepare(struct io *io, const struct io_http_options *options, struct error *err);

/* On the agent's turn. Keeps the call until done(). */
enum neap_status io_http_begin(struct io_http_call *call, struct error *err);
/* On the agent's turn, before done(), which comes soon: cancelled, or with what came first. Again: fine. */
void             io_http_cancel(struct io_http_call *call);

#endif
