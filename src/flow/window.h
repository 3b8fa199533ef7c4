/* window.h - the events of one partition that are on their way: each in a slot, until what became of it is durable.
 *
 *                     first ─────────────────────────── next
 *     settled, gone │ settled, ended or on its way │ not read yet
 *
 * They are added in offset order and settled in any. An event is on its way; has ended, when what becomes of it is on its way to
 * be made durable, with all that ended in the same round; is settled, when it is. The commit point is the first that is not
 * settled; those settled beyond it are the done set, but for those that are noted apart: a dead letter is a fact of its own.
 *
 * owner    the task; one thread
 * memory   window_memory_size(), taken in window_new(): a struct for each slot, rooms for what events hold, and the reserve
 * limits   slot_count events; `size` bytes for what the log's records and the stages' answers take, in units of ROOMS_UNIT.
 *          Records take half of it at most, unless there is only one: the rest is for what they become
 * errors   AGAIN: no slot or no room before others are settled; nothing has changed
 * promise  W1  what an event holds stays where it is until it is settled, or until it is given another JSON
 *          W2  the point never passes an event that is not settled
 *          W3  the event that comes first always finds room for an answer of up to `reserve` bytes: whatever the others hold,
 *              it can end */
#ifndef FLOW_WINDOW_H
#define FLOW_WINDOW_H

#include "flow/commit.h"
#include "log/batch.h"

#define WINDOW_NONE          UINT32_MAX
#define WINDOW_NOTE_SIZE_MAX 1024u

struct window;

struct window_options {
    uint32_t slot_count;
    size_t size, reserve; /* bytes, one beside the other */
};

struct window_event { /* in a slot; the owner's to read, and to write below the line */
    struct record record; /* as it lies in the topic */
    struct bytes id;      /* .at NULL: none */
    struct bytes json;    /* as it stands: the record's value, or what a stage made of it */
    struct bytes notes[2]; /* what was said of its first failure and of its last */
    /* ---- */
    uint64_t hash;               /* of its key, for its lanes */
    uint32_t stage;              /* where it is, or comes to next */
};

struct window *window_new(const struct window_options *options); /* gives; NULL: out of memory */
void           window_free(struct window **window);
size_t         window_memory_size(const struct window_options *options);
void           window_clear(struct window *window, log_offset from); /* nothing is on its way; the next one comes from there */

/* Copies the record. `id` lies in its headers, or is none. AGAIN. */
enum neap_status     window_add(struct window *window, const struct record *record, struct bytes id, uint32_t *ret_slot);
struct window_event *window_at(struct window *window, uint32_t slot); /* on its way, or ended */
/* In the place of what it was: copies. AGAIN. */
enum neap_status     window_set_json(struct window *window, uint32_t slot, struct bytes json);
/* Cut to WINDOW_NOTE_SIZE_MAX; nothing where there is no room, as it is for people to read. */
void                 window_note(struct window *window, uint32_t slot, unsigned which, struct bytes text);
void                 window_end(struct window *window, uint32_t slot, uint32_t round); /* from 1 */
void                 window_set_apart(struct window *window, uint32_t slot);           /* it is not of the done set */
void                 window_settle(struct window *window, uint32_t slot); /* of one that has ended: gives back what it holds */

log_offset window_point(const struct window *window);       /* the first that is not settled; the next to come: all are */
log_offset window_next(const struct window *window);        /* where reading goes on */
/* Reading goes on there. Of the offsets in between `gone_count` are nobody's any more, the others are known to be done. */
void       window_pass(struct window *window, log_offset to, uint64_t gone_count);
uint32_t   window_first_slot(const struct window *window);  /* of the point's event; WINDOW_NONE: nothing is unsettled */
struct window_figures {
    uint32_t on_way, ended; /* events */
    size_t left;            /* bytes of room */
};
struct window_figures window_figures(const struct window *window);

/* Point and done set as they will be when all that has ended in rounds up to `round` is durable. `ret`: initialised, with
 * room for slot_count runs; made anew. `ret_gone`: how many below the point were nobody's, since window_clear(). */
enum neap_status window_done(const struct window *window, uint32_t round, struct commit *ret, uint64_t *ret_gone);

#endif
