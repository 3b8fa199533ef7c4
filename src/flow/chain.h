/* chain.h - the inline stages of a pipeline, in order: a batch of events in, each one's outcome out.
 *
 * A whole batch is handed over at a time; inside, each event runs through all stages and is given out while its parsed
 * document is hot, because the parser holds one document at a time.
 *
 * owner    one task; one thread
 * memory   one block, taken in chain_new(); per event the caller's arena; the parser is the caller's
 * limits   CHAIN_STAGE_COUNT_MAX stages
 * errors   an event's failures are outcomes: STAGE_FAIL with the failure that its dead letter tells
 *          an event that became several fails as a whole when one of them does
 * promise  `if` that is not true passes the stage by; under on_error: continue a stage that fails (its `if` too) leaves the
 *          event as it came to it, counts it, and the event goes on. Every event taken is given out exactly once, in order */
#ifndef FLOW_CHAIN_H
#define FLOW_CHAIN_H

#include "flow/expr.h"
#include "flow/stage.h"

#define CHAIN_STAGE_COUNT_MAX 64u

struct chain_step {
    struct stage *stage;    /* taken */
    struct expr *condition; /* `if`; taken; NULL: always */
    bool continue_on_error;
};

struct chain_figures { /* of one stage; passed + dropped + failed + continued + skipped = events that reached it */
    uint64_t passed, dropped, failed, continued, skipped;
};

struct chain;

/* Takes the steps, keeps the parser (a task may share one among all it parses in turn). NULL: out of memory, nothing taken. */
struct chain *chain_new(const struct chain_step *steps, uint32_t count, struct json_parser *parser);
void chain_free(struct chain **chain);
uint32_t chain_stage_count(const struct chain *chain);
const struct chain_figures *chain_figures(const struct chain *chain, uint32_t index);
const char *chain_stage_name(const struct chain *chain, uint32_t index);

/* Behind this chain one event cannot be several: where a stage makes it so, it fails. */
void chain_keep_single(struct chain *chain);

/* Is given each event: index in the batch, what became of it, and for STAGE_FAIL why. The event, its document and the
 * arena are good for reading and for sink->add() until it returns. False: there is no room for this one; it has not been
 * taken, and it runs again from its first stage when it is handed over again.
 *
 * An event that became several is given out as each of those that pass all stages (STAGE_MORE), and then once more itself, with
 * what became of all: STAGE_SPLIT where any did, else STAGE_DROP; STAGE_FAIL: those that were given out do not count. Nor do they
 * where chain_run() answers that the event was not taken. */
typedef bool chain_done(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                        const struct failure *failure);

/* Runs events[0 .. count) (json, key, id, headers, … filled in; `root` and the changes are the chain's) and answers how many
 * were taken. Fewer than count: `done` said so, or the arena is full: reset it and hand over the rest. An event that does
 * not fit into an empty arena fails as too large. */
uint32_t chain_run(struct chain *chain, struct event *events, uint32_t count, struct arena *arena, chain_done *done,
                   void *ctx);

#endif
