/* control.h - what one may ask a node while it runs: listings, topics, figures; over a unix socket, or in this process.
 *
 * owner    control_open() starts an agent of its own, which alone touches connections and jobs; the node opens and
 *          closes it. control_execute() and control_ask() work on the caller's thread until the answer is complete
 * memory   per connection two rooms of CONTROL_ROOM_SIZE, for an append its body, for reading a log_reader
 * limits   CONTROL_CONNECTION_COUNT_MAX connections; a request line of CONTROL_ROOM_SIZE, a body of
 *          CONTROL_BODY_SIZE_MAX; a connection without progress for CONTROL_PATIENCE_NS is closed
 * errors   of a request: in the last line of its answer. Of control_open(): as io_listen()
 * promise  the same request gives the same answer from a running node and from its stopped directory
 *
 * PROTOCOL  one request a connection. The client sends one line, a JSON object, then `body` bytes where it announced some:
 *     {"verb":"topic append","topic":"orders","partition":0,"count":2,"body":7}\n  a\nbcde\n
 * The answer is lines of one JSON object each; the last one, and only it, begins with {"end":
 *     {"topic":"orders","partition":0,"offset":17,"count":2}\n
 *     {"end":"OK"}\n        or  {"end":"NOTFOUND","error":"no topic 'orders'"}\n
 *
 *     verb             members                                  answers, one line each
 *     status                                                    the node, what is damaged, who holds back retention, then each
 *                                                               pipeline
 *     topic list                                                topics
 *     topic describe   topic, [wait], [seen]                    partitions; after `wait` ms, or as soon as their ends add
 *                                                               up to more than `seen`
 *     topic create     topic, count (partitions), [if_missing]  the topic
 *     topic alter      topic, [count], [retention], [cleanup],  the topic
 *                      [retention_ms], [retention_size], [interval_ms]
 *     topic delete     topic                                    the topic
 *     topic append     topic, [partition], [key], [headers],    what was appended, in its order, once it is durable
 *                      [records], [framed], [from], count, body
 *     topic read       topic, partition, from, limit, [key]     records; the end line has "next" and "more"
 *                      or instead of from: last, time, or to; [before] (Unix ms)
 *                      each line an event; framed: four bytes, little-endian, say how long it is, in the place of its newline;
 *                      records: so framed, and each says its own key, headers and time:
 *                           time (8 bytes, Unix ms; CONTROL_NO_TIME: none), key, value, count of headers (4 bytes), of each
 *                           name and value; all little-endian, bytes behind their size (4 bytes; CONTROL_NO_BYTES: none)
 *     group list                                                groups
 *     group describe   group                                    its partitions
 *     group reset      group, topic, [partition], [dry_run],    partitions, with old and new commit points
 *                      from or time or "to":"earliest"|"latest"
 *     group delete     group, [dry_run]                         the group
 *     dlq list         [name]                                   dead letter topics: all, the one of that name, or those of the
 *                                                               pipeline of that name
 *     dlq show         topic, partition, from, [until], limit,  dead letters; the end line has "next", "more", and "first", before
 *                      WHICH, [all], [brief]                    which there is none
 *     dlq count        topic, partition, from, [until], WHICH   how many of each reason and stage; "next" and "more"
 *     dlq drop         topic, partition, from, [until], limit,  how many; "next" and "more"
 *                      WHICH, [dry_run]
 *     dlq redrive      as drop, [force], [redrives], [for]      how many, and how many stay for what reason
 *                      WHICH: [reason], [stage], [pipeline], [key], [since], [before] (Unix ms), [where] (EXPR); its end line
 *                      has "failed" and "failure" where that failed on letters */
#ifndef NODE_CONTROL_H
#define NODE_CONTROL_H

#include "base/logging.h"
#include "log/limits.h"
#include "log/log.h"

#define CONTROL_CONNECTION_COUNT_MAX 16u
#define CONTROL_ROOM_SIZE            65536u
#define CONTROL_BODY_SIZE_MAX        (RECORD_SIZE_TOP + CONTROL_ROOM_SIZE) /* one record of any topic; or what else it takes */
#define CONTROL_BODY_SIZE_USUAL      (RECORD_SIZE_MAX + CONTROL_ROOM_SIZE) /* what any topic takes, of many events together */
#define CONTROL_NO_BYTES             UINT32_MAX
#define CONTROL_NO_TIME              INT64_MIN
#define CONTROL_APPEND_COUNT_MAX     4096u                                 /* lines of one append */
#define CONTROL_HEADER_COUNT_MAX     16u                                   /* of each event of an append */
#define CONTROL_WAIT_MS_MAX          20000u                                /* for something new */
#define CONTROL_READ_SIZE_MAX        (4u << 20) /* of values in one answer; the client asks again from "next" */
#define CONTROL_PATIENCE_NS          (60 * NS_PER_S)
#define CONTROL_SOCKET_NAME          "neap.sock"

struct node;
struct control;

/* What a request works on. */
struct control_context {
    struct io *io;
    struct log *log;
    struct node *node;           /* NULL: nothing runs here; figures are read from the log */
    struct log_client *client;   /* NULL: only to look. Set by those who run jobs; others leave it NULL */
    bool *settling;              /* some job of the same agent settles dead letters; NULL: there is no other job */
};

/* One place that is damaged, as a JSON object of at most CONTROL_DAMAGE_SIZE bytes. */
void control_write_damage(struct writer *w, const struct log_damage *damage);
#define CONTROL_DAMAGE_SIZE 1024u

struct control_options {
    struct io *io;
    struct log *log;
    struct node *node;
    struct logging *logging;     /* may be NULL */
    const char *path;            /* of the socket */
};

/* Listens and answers from now on. */
enum neap_status control_open(const struct control_options *options, struct control **ret_control, struct error *err);
/* Ends what is in work and unlinks the path. The log is still open. Accepts NULL inside. */
void             control_close(struct control **control);

/* Gets an answer bit by bit, not line by line; OK, or what ends the request early. */
typedef enum neap_status control_write(void *ctx, struct bytes answer);

/* Runs a request in this process. OK: the answer is complete, and its end line says how it went. */
enum neap_status control_execute(const struct control_context *context, bool writable, struct bytes request,
                                 struct bytes body, control_write *write, void *ctx, mono_time deadline,
                                 struct error *err);
/* Asks the node that listens at `path`. NEAP_NOTFOUND: nobody does. NEAP_TIMEOUT, NEAP_CLOSED. */
enum neap_status control_ask(struct io *io, const char *path, struct bytes request, struct bytes body,
                             control_write *write, void *ctx, mono_time deadline, struct error *err);

#endif
