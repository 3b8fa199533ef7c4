/* way.h - the way of one partition's events through waiting stages: each key in order, many keys side by side.
 *
 *     lay ─▶ lane of stage 0 ─▶ chain 0, `if`, at work ─▶ lane of stage 1 ─▶ … ─▶ ended ─▶ taken ─▶ settled
 *                 ▲                       │      └ filtered, failed ───────────────▲
 *                 └─ rests, tried again ◀─┘
 *
 * What lies between two waiting stages is a chain of inline ones; it is run when the event's turn has come, and once more when
 * its answer has: inline stages are pure, and nothing but the event's JSON is kept between two stages. An event that passes a
 * stage by waits for its turn there all the same: else it would overtake its key.
 *
 * owner    the task; one thread
 * memory   way_memory_size(), taken in way_new()
 * limits   those of its window; of each stage its concurrency, which the tasks of a pipeline share
 * errors   are ends of events; AGAIN: no more can be laid before some are settled
 * promise  Y1  events of a key are at work in a stage one at a time, come to each stage in the order in which they were laid, and
 *              those that pass all of them end in that order; with WAY_ORDER_NONE, or without a key, each is alone
 *          Y2  each event that was laid ends once: passed, filtered or failed
 *          Y3  whatever room there is: the first event always ends, and so do all. Where answers find no room and hold the places
 *              that it waits for, they are forgotten, and their calls are made once more
 *          Y4  the attempts, the waits between them and what costs none are those of its stage's policy (retry.h) */
#ifndef FLOW_WAY_H
#define FLOW_WAY_H

#include "flow/chain.h"
#include "flow/waiting.h"
#include "flow/window.h"
#include "io/io.h"

enum way_order { WAY_ORDER_KEY, WAY_ORDER_PARTITION, WAY_ORDER_NONE };

struct way_options { /* all kept */
    struct io *io;
    struct arena *arena;           /* the shard's; reset for each event */
    struct chain *const *chains;   /* chains[i] comes before stages[i] */
    struct waiting *const *stages; /* the pipeline's; shared with its other tasks */
    uint32_t stage_count;          /* at least 1 */
    enum way_order order;
    const char *topic;
    struct window_options window;
};

struct way;

enum neap_status way_new(const struct way_options *options, struct way **ret_way); /* NOMEM */
void             way_free(struct way **way); /* nothing is at work */
size_t           way_memory_size(const struct way_options *options);
void             way_begin(struct way *way, uint32_t partition, log_offset from); /* empty from here on */

struct way_fate { /* of an event of which it is known what becomes of it */
    enum stage_outcome outcome; /* DROP or FAIL */
    bool duplicate;             /* of DROP */
    struct failure failure;     /* of FAIL: kept for as long as the event, but for its message, which is copied */
};
/* At the window's end. `fate`: NULL: it goes through the stages. AGAIN. */
enum neap_status way_lay(struct way *way, const struct record *record, struct bytes id, const struct way_fate *fate);
void             way_let_expire(struct way *way, wall_time at); /* the one laid last: no turn and no attempt begins from then on */
void             way_pass(struct way *way, log_offset to, uint64_t gone_count); /* as window_pass() */
uint32_t         way_work(struct way *way, mono_time now); /* begins what may begin; how much was done */
mono_time        way_due(const struct way *way);           /* when to come back, if nothing else happens; MONO_NEVER */

struct way_end {
    uint32_t slot;
    bool duplicate;             /* as its fate said */
    enum stage_outcome outcome; /* PASS: what comes behind the last waiting stage is for the owner to do, with event->json */
    struct event event;         /* as it stands now, nothing parsed */
    const struct record *record;
    struct failure failure;     /* of FAIL: the last one; its words are event->notes[1] */
    struct bytes first_words;   /* of the first failure, where there was more than one; else as in `failure` */
    wall_time first_failed, last_failed;
    uint32_t attempts;          /* that it took in the stage where it failed; at least 1 */
};
/* The one that ended first of those not taken; false: none. Good until it is settled. */
bool             way_next(struct way *way, struct way_end *ret_end);
void             way_take(struct way *way, uint32_t round); /* that one; what is taken in a round becomes durable together */
void             way_set_apart(struct way *way, uint32_t slot); /* of one that was taken: it is not of the done set */
/* Of one that was taken: as way_next() gave it. */
void             way_look(struct way *way, uint32_t slot, struct way_end *ret_end);
void             way_settle(struct way *way, uint32_t slot); /* of one that was taken: what became of it is durable */

log_offset       way_point(const struct way *way);
log_offset       way_read_next(const struct way *way); /* the first offset that was not laid */
enum neap_status way_done(const struct way *way, uint32_t round, struct commit *ret, uint64_t *ret_gone); /* as window_done() */
bool             way_is_empty(const struct way *way);   /* everything is settled */
bool             way_works(const struct way *way);      /* something is at work */
/* Nothing is begun any more, what is at work comes back soon, and what became of it is forgotten; until way_begin(). */
void             way_cancel(struct way *way);

struct way_first { /* the event that the point waits for; borrowed until something is done with the way */
    log_offset offset;
    struct bytes key, words; /* words: of its last failure */
    const char *stage;
    uint32_t attempt;
};
bool way_first(const struct way *way, struct way_first *ret_first); /* false: nothing is on its way, or it has ended */

struct way_figures {
    uint32_t on_way, ended; /* events; ended: not taken yet */
    uint32_t at_work, resting; /* of those on their way */
};
struct way_figures way_figures(const struct way *way);

#endif
