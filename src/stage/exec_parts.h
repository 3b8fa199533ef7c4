/* exec_parts.h - what an exec stage is made of: for exec.c and exec_child.c alone.
 *
 * owner    as in exec.h
 * memory   as in exec.h
 * limits   as in exec.h
 * errors   none of its own
 * promise  exec.c gives events to places and takes answers from them; exec_child.c has the child of a place: starts it, hears it,
 *          kills it. A place has at most one child and one work:
 *
 *     none ─ start ─▶ idle ─ exec_child_ask() ─▶ at work ─ its answer ─▶ decided ─ done() ─▶ idle
 *      ▲                                            └ late, dead, bad ─▶ decided, killed ─ dead ─ done() ─▶ none */
#ifndef STAGE_EXEC_PARTS_H
#define STAGE_EXEC_PARTS_H

#include "base/must.h"
#include "io/child.h"
#include "stage/exec.h"
#include "stage/exec_line.h"

#define EXEC_MAGIC           0x45584543u
#define EXEC_LAST_WORDS_SIZE 1000u /* of what a child wrote to its standard error: the end of a traceback */
#define EXEC_SAID_SIZE       400u  /* a line of that in the log */
#define EXEC_TEXT_SIZE       (EXEC_LAST_WORDS_SIZE + 300u)

struct exec_room { /* grows up to exec_line_size_max() */
    uint8_t *at;
    size_t size, room;
};

struct exec_place {
    struct exec *exec;
    struct io_child *child;    /* NULL: none */
    struct waiting_work *work; /* NULL: none */
    struct io_timer timer;     /* the work's deadline, or the end of a grace */
    uint64_t id;               /* of the line that went out last */
    mono_time begun, not_before;
    uint32_t vain_count; /* children one after the other that did nothing */
    bool decided;        /* what became of the work */
    bool killed, cancelled;
    bool closing; /* it has closed its standard output */
    bool sending; /* its line is on its way out */
    bool useful;  /* it has answered */
    bool in_stack;
    struct bytes answer; /* of a work that was delivered; .at NULL: the event stays as it is. It lies in `in` */
    struct destination_call call;
    struct exec_room out, in;
    size_t in_from; /* of `in`: what is before has been seen to */
    char last_words[EXEC_LAST_WORDS_SIZE + 1], said[EXEC_SAID_SIZE + 1], text[EXEC_TEXT_SIZE];
    size_t last_words_size, said_size;
    struct exec_place *below, *next; /* in the stack of idle ones; among those that are decided */
};

struct exec {
    struct waiting waiting;
    uint32_t magic;
    struct exec_options o;
    struct exec_place *places, *idle; /* idle: the one on top has worked last */
    struct exec_place *decided;
    uint64_t id_last;
    mono_time not_before; /* its destination has said no to all until then */
    struct exec_figures figures;
};

size_t exec_line_size_max(const struct exec *exec);
bool   exec_room_grow(const struct exec *exec, struct exec_room *room, size_t size); /* false: beyond the limit, or no memory */

/* ---- exec.c */
/* What became of the place's work; done() is offered when its child is idle or dead. text kept: it is the place's, or constant. */
void exec_decide(struct exec_place *place, enum outcome outcome, const char *reason, const char *text);
void exec_rest(struct exec_place *place); /* its child is ready for the next event, if it is */

/* ---- exec_child.c */
/* Sends what is in `out`, after a hello where the child is new. LATER: it cannot be started; place->not_before says when. */
enum waiting_begun exec_child_ask(struct exec_place *place, mono_time deadline);
void               exec_child_kill(struct exec_place *place);
void               exec_child_answered(struct exec_place *place); /* its deadline holds no more */

#endif
