/* gate_parts.h - what the files of a gate share. Nobody else includes it.
 *
 *     gate.c        opening, the agent's turn, ending
 *     gate_take.c   input → lines → loader → loads, a queue
 *     gate_hand.c   loads → one unit on its way → the log
 *
 * owner    the gate's agent, but for what stands under `mutex`
 * memory   see gate.h
 * errors   `error` holds what ended the gate
 * promise  G1  One unit is on its way at a time, made of the loads that are ready when the one before it has become
 *              durable. So no unit ever overtakes one that was refused, and a slow disk gets larger units.
 *          G2  A unit holds the mark and the ledger as they are after its last load. */
#ifndef GATE_GATE_PARTS_H
#define GATE_GATE_PARTS_H

#include "base/must.h"
#include "gate/gate.h"
#include "gate/input.h"
#include "gate/load.h"
#include <stdatomic.h>

#define GATE_MAGIC 0x45544147u /* "GATE" */

struct flight {
    struct log_unit unit;
    struct log_op *ops;
    uint32_t load_count; /* loads at the queue's front that are in it; 0: nothing is on its way */
    bool waits;          /* refused, for want of room: to be submitted again */
    int64_t wait_ns;
    struct ledger after; /* the door's part when it is durable */
    uint8_t ledger_room[LEDGER_FACT_SIZE_MAX], mark_room[MARK_SIZE];
    uint64_t position; /* of the mark */
};

struct gate {
    uint32_t magic;
    struct io *io;
    struct gate_options options;
    struct io_agent agent;
    struct io_timer look, retry; /* for more in the file; for room in the log */
    struct log_client *client;   /* NULL when it has ended */
    struct shaper *shaper;
    struct loader *loader;
    struct input *input;
    struct lines lines;
    uint64_t position, line_count; /* of the file: before the next line */
    bool inside_line;              /* the next line goes on one that was counted */
    bool looking;                  /* `look` is set */
    bool input_over;               /* nothing more will be read */
    struct load *loads;            /* a queue in a circle */
    uint32_t load_first, load_count;
    struct flight flight;
    struct ledger total, run; /* durable */
    char ledger_key[LEDGER_KEY_SIZE_MAX], *mark_key;
    size_t ledger_key_size, mark_key_size;
    struct error error; /* status OK: none */
    bool said_full, said_unreadable;
    _Atomic bool stopping;
    struct io_mutex *mutex; /* guards what follows: read by others */
    struct gate_figures figures;
    struct error shown_error;
    bool ended;
    struct io_agent *closer; /* woken at the end */
};

static inline const char *gate_name(const struct gate *g)
{
    return g->options.path != NULL ? g->options.path : "stdin";
}

void gate_fail(struct gate *g); /* `error` is set */

/* ---- gate_take.c ---- */

/* One step: the lines that are there, or else more bytes. Answers how much was done. */
uint32_t gate_take_in(struct gate *g, mono_time now);
/* What was read already, and nothing more. */
uint32_t gate_take_rest(struct gate *g);
void gate_look_again(struct io_timer *timer, mono_time now); /* `look` has fired */

/* ---- gate_hand.c ---- */

uint32_t gate_hand_on(struct gate *g);
void gate_unit_done(struct log_unit *unit, enum neap_status status);
void gate_try_again(struct io_timer *timer, mono_time now); /* `retry` has fired */

#endif
