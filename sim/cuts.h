/* cuts.h - cuts the power at points of a life's history, opens what is left, and compares it with the model.
 *
 * owner    the caller
 * memory   one life's history, at most CUT_DEPTH_MAX of them inside each other
 * promise  a place (seed, points, states) is the same state every time */
#ifndef SIM_CUTS_H
#define SIM_CUTS_H

#include "life.h"

#define CUT_DEPTH_MAX 3u

/* Where a state is: cut at point[0], state[0] of it; lived on; cut at point[1] of that life … */
struct place {
    uint32_t depth;
    uint32_t point[CUT_DEPTH_MAX];
    uint64_t state[CUT_DEPTH_MAX];
};

struct cut_options {
    uint64_t seed;
    uint32_t unit_count;
    uint64_t states_max;      /* of one point */
    const struct place *only; /* NULL: all */
    void (*trace)(void *ctx, const char *line);
    bool (*enough)(void *ctx); /* asked now and then; may be NULL */
    void *ctx;
};

struct cut_figures {
    uint64_t seeds, points, states, lives, hash;
    uint64_t verdicts[VERDICT_COUNT];
    int64_t virtual_ns;
    struct life_figures freed;
    uint64_t taken; /* answered early, and taken by a cut, over all states */
    struct finding finding; /* the first that is not good, and where */
    struct place place;
};

/* Where the program is now: printed by whoever reports a crash of the program itself. */
extern struct place cut_place;

bool cuts_run(const struct cut_options *options, struct cut_figures *figures); /* false: something was found */
/* Opens the log on a disk and compares (killed: nothing of the disk was lost); then, by chance of `seed`, opens it again and writes to it. Gives in `finding` how
 * far each client came. */
enum verdict cut_check(struct sim_disk *disk, const struct log_options *options, const struct model *model,
                       uint32_t point, bool killed, uint64_t seed, struct finding *finding);

#endif
