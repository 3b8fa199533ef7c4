/* call_parts.h - what a call stage is made of: for call*.c alone.
 *
 * owner    as in call.h
 * memory   as in call.h
 * limits   as in call.h
 * errors   none of its own
 * promise  K1  a flight is in one place: free, in a line, called, waiting for the cache, or ended
 *          K2  who holds an entry of the cache says how its asking ended, before it has ended itself
 *          K3  done() is called by call_work() alone */
#ifndef STAGE_CALL_PARTS_H
#define STAGE_CALL_PARTS_H

#include "base/must.h"
#include "base/rooms.h"
#include "io/http.h"
#include "stage/call.h"

#define CALL_MAGIC 0x4c4c4143u /* "CALL" */
#define CALL_PAUSE (20 * NS_PER_MS) /* where nobody can say when */

enum flight_state { FLIGHT_FREE, FLIGHT_LINED, FLIGHT_CALLED, FLIGHT_WAITS, FLIGHT_ENDED };

struct flight { /* one event's call, or one that refreshes the cache */
    struct call *call;
    enum flight_state state;
    struct waiting_work *work; /* NULL: a refresh */
    struct flight *next;       /* of the free ones, of its line, or of those that have ended */
    bool retry, last;          /* its attempt is not the first; is the last one */
    struct destination *destination;
    bool holds; /* the destination, for itself */
    uint64_t limit_hash;
    struct destination_call begun;
    mono_time begun_at;
    struct io_http_call http;
    uint8_t *request; /* a room: headers, and what of the request is not kept by others */
    size_t request_size;
    struct cache_waiter waiter;
    uint32_t entry; /* CACHE_NOBODY: it asks for nobody else */
    uint8_t *room;  /* for the answer */
    struct bytes value;
    enum outcome outcome;
    int64_t retry_after_ns;
    const char *reason; /* of the failure; NULL: none */
    char words[400];
};

/* Who waits to be called, with one question to the same destination: the first asks for all of them. */
struct line {
    struct destination *destination;
    uint64_t limit_hash;
    bool retry;
    struct flight *first, **end;
    uint32_t count;
    mono_time not_before;
    bool shut; /* the breaker is open */
};

struct call {
    struct waiting base;
    uint32_t magic;
    struct call_options o;
    struct call_header headers[CALL_HEADER_COUNT_MAX];
    struct destination *destination; /* of a url of the file */
    struct cache *cache;
    struct rooms *requests;
    uint8_t *rooms; /* of answers */
    size_t room_size;
    struct flight *flights, *free, *ended, **ended_end;
    uint32_t flight_count, refresh_count, line_count;
    struct line *lines; /* flight_count of them; those that have somebody come first */
    struct io_timer timer;
};

/* ---- call.c */
struct flight *call_take(struct call *c, struct waiting_work *work); /* NULL: all are in use */
void           call_give(struct flight *f);
void           call_end(struct flight *f, enum outcome outcome); /* what it held is given back; its work hears of it in call_work() */
void           call_fail(struct flight *f, enum outcome outcome, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void           call_deliver(struct flight *f, struct bytes value); /* copied, but for the fallback */

/* ---- call_request.c: url, headers and body become what the door is told; and its destination */
enum waiting_begun call_request(struct flight *f, struct event *event, struct arena *arena, struct failure *failure,
                                mono_time *ret_not_before);
/* A text for a key of the cache, of a limit, or a header; .at NULL: it is nil. */
enum neap_status   call_text_of(struct expr *expr, const char *what, struct event *event, struct arena *arena,
                                struct bytes *ret_text, struct failure *failure);

/* ---- call_line.c */
bool call_line_up(struct flight *f, bool always, mono_time now, mono_time *ret_not_before); /* false: its line is full */
void call_leave_line(struct flight *f);
void call_lines_move(struct call *c, mono_time now); /* whoever may be called is */
void call_lines_ask_again(struct call *c, const struct destination *destination, mono_time now);

/* ---- call_answer.c */
void call_landed(struct io_http_call *http);
bool call_has_substitute(const struct flight *f, mono_time now); /* for an answer that nobody will give */
void call_substitute(struct flight *f, mono_time now);
bool call_uncache(struct flight *f, mono_time now); /* its asking has failed; true: it has an old answer */

#endif
