/* input.h - a file, or standard input, read from where the last run stopped, through rotation and truncation.
 *
 * owner    the gate; one thread; reads block
 * memory   one struct
 * limits   looks for a renamed file in the folder of its path only
 * errors   NEAP_NOTFOUND (not following), NEAP_DENIED, NEAP_IO, NEAP_MISUSE (not a file)
 * promise  I1  What is read belongs to the file the mark names: one is finished before the next one is begun.
 *          I2  A file whose size or first bytes are not what was read is a new file, and that is said. */
#ifndef GATE_INPUT_H
#define GATE_INPUT_H

#include "base/logging.h"
#include "gate/mark.h"
#include "io/io.h"

struct input_options {
    const char *path; /* NULL: standard input; kept */
    bool follow;
    const char *pipeline;    /* for messages; kept */
    struct logging *logging; /* may be NULL */
};

struct input;

/* `mark`: where the last run stopped, or NULL. Opens nothing yet. NULL: out of memory. */
struct input *input_new(struct io *io, const struct input_options *options, const struct mark *mark);
void input_free(struct input **input);

/* Where in the file, and after how many lines, reading goes on: when a file was opened. */
struct input_start {
    uint64_t position, line_count;
    bool inside_line; /* the byte before is not a newline: a last line without one was read, and may go on */
};
/* Opens what is to be read next. NEAP_AGAIN: it is not there yet (following): ask again after a while. */
enum neap_status input_open(struct input *input, struct input_start *ret_start, struct error *err);
bool input_is_open(const struct input *input);

/* Up to `size` bytes; *ret_size 0: nothing more at present. NEAP_TIMEOUT: nothing came in time (standard input). */
enum neap_status input_read(struct input *input, void *to, size_t size, mono_time deadline, size_t *ret_size,
                            struct error *err);

/* Whether the file still begins as it did, up to `position`: what was just read belongs to it (rule I2). */
bool input_is_same(const struct input *input, uint64_t position);

/* What the end that was met means. `position`: of the end of the last whole line. */
enum input_end {
    INPUT_MORE,   /* there is more by now: read on */
    INPUT_WAIT,   /* ask again after a while */
    INPUT_OVER,   /* the end for good; what has no newline is a line */
    INPUT_TURNED, /* of this file only, likewise; input_open() opens the next */
    INPUT_BEGUN,  /* it is a new file: forget what has no newline; input_open() opens it */
    INPUT_REREAD, /* the file was cut after the last whole line: forget what has no newline, and read on */
};
enum input_end input_at_end(struct input *input, uint64_t position);

/* What names the file and how far it was read, for a position up to which bytes were read. false: standard input. */
bool input_mark(const struct input *input, uint64_t position, uint64_t line_count, struct mark *ret_mark);
uint64_t input_size(const struct input *input); /* as last seen; 0: unknown */

#endif
