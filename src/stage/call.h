/* call.h - a waiting stage that asks a server over HTTP: the event goes there, and what is answered joins it under a field.
 *
 *     begin ─▶ cache ─▶ line of its destination ─▶ called ─▶ judged ─▶ done
 *                └ it is there, or somebody asks already ──────▲
 *
 * Only the first of a line asks its destination whether it may go; first calls and retries have lines of their own, so that a retry
 * that waits for the budget holds nobody up. Time in line is none of the call's timeout.
 *
 * owner    the shard, on whose turns everything happens; freed when its agent has stopped, or nothing is in flight
 * memory   call_memory_size(), taken in call_new(): a room for each answer, one for all requests, the cache
 * limits   concurrency_max calls, and CALL_REFRESH_COUNT more that refresh the cache; answers of answer_size_max; requests of
 *          request_size together: one more waits. Of a line that is one of several at most a quarter of the calls, of one of
 *          retries half of them: who comes then is told to come later
 * errors   outcomes of the event. Reasons: the words of call_error ("timeout", "connect", "answer" …); "unavailable": a status that
 *          may pass; "refused": one that will not, or an address that may not be called; "expression"; "too_large"
 * promise  those of waiting.h, those of destination.h for each call, those of cache.h, and: the Idempotency-Key of an event at this
 *          stage is the same in each attempt and after each restart; an address out of an event is called only where it is
 *          everybody's (io/address.h), or private ones are allowed */
#ifndef STAGE_CALL_H
#define STAGE_CALL_H

#include "base/logging.h"
#include "flow/cache.h"
#include "flow/destination.h"
#include "flow/expr.h"
#include "flow/waiting.h"
#include "io/io.h"

#define CALL_HEADER_COUNT_MAX  32u
#define CALL_REFRESH_COUNT     4u
#define CALL_DESTINATION_COUNT 64u /* of a stage whose addresses come out of events: at one time */
#define CALL_HEAD_SIZE_MAX     (128u << 10) /* of a request, without its body */

struct call_header {
    const char *name, *text; /* kept */
    struct expr *expr;       /* in the place of `text`; taken */
};

struct call_options {
    struct io *io;
    struct logging *logging;           /* kept; NULL: nothing is told */
    const char *pipeline;              /* kept, as all texts are */
    struct io_agent *agent;            /* whose turns these are; kept */
    struct destinations *destinations; /* the shard's; kept */
    struct json_parser *parser;        /* the shard's: holds nobody's document when calls come back; kept */
    /* ---- what is asked; texts are kept */
    const char *url;                   /* NULL: url_expr */
    struct expr *url_expr;             /* taken, as all that follow */
    bool private_allowed;              /* of url_expr: a url of the file may be private anyway */
    const char *method;
    bool bodiless;                     /* nothing is sent, unless there is `body` */
    struct expr *body;                 /* NULL: the event's JSON */
    const struct call_header *headers; /* copied */
    uint32_t header_count;
    const char *into;                  /* NULL: the answer is read and dropped */
    const char *idempotency;           /* begins each key: tells this stage of this log from all others */
    struct bytes fallback;             /* JSON for `into`; .at NULL: none */
    /* ---- manners */
    struct destination_options manners;
    struct expr *limit_key;            /* with manners.limit_key_count_max */
    const struct outcome_rules *rules; /* kept */
    struct expr *cache_key;            /* NULL: nothing is cached */
    struct cache_options cache;        /* with cache_key; size 0 without */
    uint32_t concurrency_max;          /* the waiting stage's own */
    size_t answer_size_max, request_size; /* request_size: at least the largest event and CALL_HEAD_SIZE_MAX */
};

/* Sets verbs; the rest of what a struct waiting has is the caller's. NULL: out of memory, and nothing was taken. `url` is one that
 * destination_name_of() understands. */
struct waiting *call_new(const struct call_options *options);
size_t          call_memory_size(const struct call_options *options); /* only counts, sizes and `into` are looked at */

#endif
