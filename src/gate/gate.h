/* gate.h - the ways in: a file, or standard input, one JSON value per line, into a topic.
 *
 * owner    an agent of its own; the node opens and closes it, and reads its figures
 * memory   gate_memory_size(): the longest line so far, twice, and unit_count_max loads of one and a half read_size
 * limits   a line over record_size_max becomes a dead letter (reason too_large, its first bytes kept)
 * errors   a bad line is a dead letter with file, line and column; a file that cannot be read is said and tried again
 *          (follow) or ends the gate with its error
 * promise  a unit is submitted when the one before it is durable (what came meanwhile goes along in it), so that a refused
 *          unit can be submitted again without overtaking;
 *          the position in the file is a fact of the unit that appended its lines: a rerun, an append, a rotation, a
 *          truncation or a kill neither repeats nor skips a line
 *
 * FORMAT of the fact in LOG_VIEW_FILE; partition = (topic, 0), key = the pipeline's name, '\0', the path as configured:
 *     0  1  format version 1     1  8  position: bytes whose lines are in the log     9  8  lines before it
 *    17  8  device              25  8  inode      33  8  hash of the first min(1,024, position) bytes */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include "flow/expr.h"
#include "flow/ledger.h"
#include "log/log.h"

struct gate;

struct gate_expr {
    const char *text;            /* NULL: none */
    uint32_t line, column;       /* in the pipeline file */
};

struct gate_options {
    struct log *log;
    struct logging *logging;
    const char *pipeline, *pipeline_file;
    const char *path;            /* NULL: standard input */
    bool follow;                 /* at the end wait for more, through rotation and truncation */
    struct gate_expr key, id, time;
    struct expr_options expr;
    uint32_t topic_id, partition_count;
    const char *topic;
    uint32_t dead_topic_id;      /* partition 0 of it takes this gate's dead letters */
    uint32_t record_size_max;    /* of the topic; 0: RECORD_SIZE_MAX */
    bool key_needed;             /* the topic is compacted: a line without a key becomes a dead letter */
    size_t read_size;            /* 0: 256 KiB */
    uint32_t unit_count_max;     /* loads of lines on their way or ready to go; 0: 8 */
    void (*ended)(void *ctx);    /* on the gate's turn: used up or stopped, and durable; or it failed */
    void *ctx;
};

enum gate_state { GATE_READING, GATE_WAITING, GATE_DONE, GATE_FAILED };

struct gate_figures {            /* readable from any thread */
    enum gate_state state;
    struct ledger total;         /* durable, since the pipeline's first run: accepted, dead_lettered */
    struct ledger run;           /* the same for this run */
    uint64_t position, size;     /* bytes read and durable; size of the file as last seen, 0 unknown */
};

/* Starts reading. `options` is copied, the texts in it are kept. NEAP_BADINPUT: an expression; NEAP_MISUSE: a name too long;
 * a file that is not there fails the gate (GATE_FAILED), not this call. */
enum neap_status gate_open(struct io *io, const struct gate_options *options, struct gate **ret_gate, struct error *err);
size_t           gate_memory_size(const struct gate_options *options);
/* Asks it to stop reading; what was read becomes durable first, then `ended` is called. Any thread; returns at once. */
void             gate_stop(struct gate *gate);
/* Stops it and waits until it has ended, which takes as long as the log takes for what is on its way. Not from a turn. */
void             gate_close(struct gate **gate);
void             gate_figures(const struct gate *gate, struct gate_figures *ret_figures, struct error *ret_error);

#endif
