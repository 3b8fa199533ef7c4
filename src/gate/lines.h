/* lines.h - bytes as they come become lines, whatever the pieces they come in.
 *
 * owner    the gate; one thread
 * memory   one buffer that grows with the longest line, up to size_max + read_size, and stays
 * limits   of a line over size_max only the first LINE_KEPT_SIZE bytes are kept; its full size is counted
 * errors   NULL from lines_room(): out of memory
 * promise  the sizes of all lines, as consumed, add up to the bytes that came; a line's bytes stay where they are until the
 *          next lines_room() or lines_drop() */
#ifndef GATE_LINES_H
#define GATE_LINES_H

#include "flow/dead_letter.h"

#define LINE_SIZE_MAX  RECORD_SIZE_MAX /* where nobody says otherwise */
#define LINE_KEPT_SIZE DEAD_LETTER_VALUE_SIZE_MAX

struct lines {
    uint8_t *room;
    size_t room_size, read_size, size_max;
    size_t start, end;     /* of the bytes not yet consumed */
    size_t scanned;        /* no newline before it */
    uint64_t dropped_size; /* bytes of a too long line that are gone; they came after the kept ones */
};

struct line {
    struct bytes bytes;     /* without the newline, and the carriage return before it */
    uint64_t size;          /* of all of them; more than bytes.size: it was too long */
    uint64_t consumed_size; /* with what ended it */
};

/* size_max: of a line, more than LINE_KEPT_SIZE. */
void lines_init(struct lines *l, size_t read_size, size_t size_max);
void lines_fini(struct lines *l);
/* Where the next `read_size` bytes go. */
uint8_t *lines_room(struct lines *l);
void lines_added(struct lines *l, size_t size);
/* The next line, which stays the next one until lines_pass(). At the end, what has no newline is a line too. */
bool lines_peek(struct lines *l, bool at_end, struct line *ret_line);
void lines_pass(struct lines *l, const struct line *line);
uint64_t lines_rest_size(const struct lines *l); /* bytes that came and were not passed */
void lines_drop(struct lines *l);                /* forgets them */

/* Nothing but spaces and tabs. */
bool line_is_blank(const struct line *line);

#endif
