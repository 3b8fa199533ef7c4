/* load.h - lines become the operations of a unit: a record batch for each partition they meet, and one of dead letters.
 *
 * owner    the gate; one thread
 * memory   a loader: tables of LOAD_LINE_COUNT_MAX lines and of all partitions, and two arenas, LOADER_ARENA_SIZE_MAX each;
 *          a load: load_size of room and its operations; more room while it holds one very large line
 * limits   LOAD_LINE_COUNT_MAX lines, load_size bytes; a line that does not fit any more waits for the next load
 * errors   NEAP_AGAIN: the load is full; NEAP_NOMEM
 * promise  lines of one partition lie in its batch in the order they came */
#ifndef GATE_LOAD_H
#define GATE_LOAD_H

#include "gate/mark.h"
#include "gate/shape.h"

#define LOAD_LINE_COUNT_MAX   2000u /* so that two loads with a batch for each line still fit in a unit */
#define LOADER_ARENA_SIZE_MAX (32u << 20)

struct load {
    uint8_t *room;
    size_t room_size, size;
    struct log_op *ops;
    uint32_t op_count;
    uint32_t accepted_count, dead_count;
    bool has_mark;
    struct mark mark; /* where the file stands when these lines are in the log */
};

struct loader;

/* `options` is kept, as is the shaper. NULL: out of memory. */
struct loader *loader_new(const struct gate_options *options, struct shaper *shaper, size_t load_size);
void loader_free(struct loader **loader);
size_t loader_memory_size(const struct gate_options *options);
uint32_t loader_op_count_max(const struct loader *loader); /* of one load */

/* Takes a line that is not blank; its bytes stay where they are until loader_build(). */
enum neap_status loader_take(struct loader *loader, const struct line *line, uint64_t line_number, wall_time now);
uint32_t loader_count(const struct loader *loader);
/* Writes what was taken into `load`, and is empty again. */
enum neap_status loader_build(struct loader *loader, struct load *load, wall_time now);

void load_fini(struct load *load);

#endif
