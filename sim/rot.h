/* rot.h - damages a log at rest in every way that disks do, everywhere, and looks at what is served afterwards.
 *
 * owner    the caller
 * memory   one life's history, and the bytes of its files at a few moments
 * promise  a seed and a number are the same damage every time
 *
 * R1  What is served is what was written: a batch, a fact, a topic; or the place says that it is damaged; or the start is
 *     refused, and then not a byte of the journal has changed.
 * R2  One damaged place stops no other partition.
 * R3  Only where no intact header says that it was synced may the end of the journal be taken for torn: counted apart.
 * R4  What a start or a reader meets, doctor names beforehand; on a sound log it names nothing.
 * R5  What doctor names can be given up: then the log opens, and serves all that was not. */
#ifndef SIM_ROT_H
#define SIM_ROT_H

#include "cuts.h"
#include "damage.h"

struct rot_figures {
    struct cut_figures cuts;                   /* points: damages */
    uint64_t kinds[DAMAGE_KIND_COUNT];         /* damages of each kind */
    uint64_t refused, stopped, harmless, torn; /* what came of them */
    uint64_t doctored;                         /* of the harmless ones: named by doctor */
    uint64_t repaired, unrepaired, lost;       /* given up by name, or no repair could; records lost by it */
    uint64_t live;                             /* done while the log was open */
};

/* As cuts_run(): states_max is the number of damages; of `only`, point[0] is the number of the one. */
bool rot_run(const struct cut_options *options, struct rot_figures *figures);

#endif
