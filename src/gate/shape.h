/* shape.h - a line becomes a record: parsed, with its key, id and time; or the reason why it does not.
 *
 * owner    the gate; one thread
 * memory   a JSON parser for the longest line so far, an expression machine, and the arena of the caller
 * limits   record_size_max of key, value and id together
 * errors   NEAP_BADINPUT, with the failure filled in; NEAP_NOMEM: the arena is full, and the same line may pass with an
 *          empty one
 * promise  what is accepted is one JSON value, and lies in the record letter for letter */
#ifndef GATE_SHAPE_H
#define GATE_SHAPE_H

#include "gate/gate.h"
#include "gate/lines.h"

struct shaper;

/* `options` is kept. */
enum neap_status shaper_new(const struct gate_options *options, struct shaper **ret_shaper, struct error *err);
void shaper_free(struct shaper **shaper);

struct shaped {
    struct bytes value;   /* the line's own bytes */
    struct bytes key, id; /* in the arena; .at NULL: none */
    int64_t time_ms;
};
/* The failure says file and line of the data; texts of it lie in the arena or are constants. */
enum neap_status shape(struct shaper *shaper, const struct line *line, uint64_t line_number, wall_time now,
                       struct arena *arena, struct shaped *ret_shaped, struct failure *ret_failure);

#endif
