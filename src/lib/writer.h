/* writer.h - a writer: calls on their way into the log, and the room they lie in until they are answered.
 *
 * owner    one thread at a time
 * memory   a ring of buffer_size bytes, a ring of inflight_count_max calls, tables of NEAP_APPEND_COUNT_MAX events
 * limits   those; what does not fit is NEAP_AGAIN, or NEAP_TOOLARGE where it never will
 * errors   as neap/neap.h says
 * promise  room is given back in the order it was taken, whatever order the answers come in */
#ifndef LIB_WRITER_H
#define LIB_WRITER_H

#include "lib/lib.h"
#include "log/batch.h"

#define WRITER_PLACE_COUNT_MAX LOG_UNIT_OP_COUNT_MAX /* partitions that one append can meet */

struct writer_wait { /* on the stack of who waits for one call */
    bool over;
    enum neap_status status;
    struct neap_place *place; /* of the first batch; may be NULL */
};

struct writer_call {
    struct neap_writer *writer;
    struct log_unit unit;
    struct log_op one;      /* a unit of one operation needs no others */
    size_t room_end;        /* the ring is free up to here once this and all before it are answered */
    bool answered;
    neap_done *done;        /* may be NULL */
    void *ctx;
    struct writer_wait *wait; /* NULL: nobody waits, or no longer */
};

struct writer_chain { /* events of one partition, in the order given */
    uint32_t first, last; /* index, or UINT32_MAX */
};

struct neap_writer {
    uint32_t magic;
    struct neap *neap;
    struct lib_guard guard;
    struct io_agent agent; /* attached, never started: the caller's thread turns it */
    struct log_client *client;
    bool has_descriptor, in_completion;
    uint32_t wait_count; /* io_agent_run() ends when so many calls are left, or a waited one is over */
    bool waiting, wait_any;
    struct writer_wait *wait_for;
    uint64_t answered_count;

    uint8_t *room;
    size_t room_size, room_first, room_next; /* in use: from first to next, round the end */
    struct writer_call *calls;
    uint32_t call_count_max, call_first, call_count;

    uint64_t turn;         /* which partition takes the events that have neither key nor id */
    uint32_t *next, *met;  /* of events: the next one of the same partition; the partitions, in the order they were met */
    struct writer_chain *chains; /* of partitions; grown to the largest topic so far */
    uint32_t chain_count;
    struct neap_place *places; /* for one completion */
    struct record_header headers[NEAP_HEADER_COUNT_MAX];
};

/* ---- writer.c */
/* Room for a call of `size` bytes or more (as much as lies there in one piece): AGAIN, or TOOLARGE where there is never so
 * much. `piece` 0 is the first place, 1 the other one. */
enum neap_status writer_room(struct neap_writer *w, uint32_t piece, uint8_t **ret_room, size_t *ret_size);
/* Hands over what lies in the room from `room` to `room_end`. */
enum neap_status writer_submit(struct neap_writer *w, struct log_op *ops, uint32_t op_count, const uint8_t *room_end,
                               neap_done *done, void *ctx, struct writer_wait *wait);
enum neap_status writer_submit_named(struct neap_writer *w, struct log_op op, neap_done *done, void *ctx,
                                     struct writer_wait *wait); /* copies op.name and op.payload */
/* Calls `try` until it is not AGAIN or the time is over, then waits until the call it made is over. */
enum neap_status writer_wait(struct neap_writer *w, int64_t timeout_ms,
                             enum neap_status (*try)(struct neap_writer *w, void *request, struct writer_wait *wait),
                             void *request, struct neap_place *ret_place);

#endif
