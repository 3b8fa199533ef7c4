/* worth.h - which archives of a topic are worth becoming one, and which are worth compacting.
 *
 * owner    pure functions of the shared state, under its mutex
 * limits   64 archives become one, of as many batches as an index holds and 1 GiB; compacted is all that there is room for
 * promise  archives that become one are neighbours: nothing that lies between them is in a journal file. A compaction leaves
 *          out no archive from which a newer one may have to take a key's record, up to what there is room for; its
 *          tombstones go only where nothing lies before */
#ifndef LOG_LOCAL_WORTH_H
#define LOG_LOCAL_WORTH_H

#include "log/local/archive.h"
#include "log/local/clock.h"

bool worth_nothing(const struct archive *a); /* it is left as it is */
/* How many from `list[0]` on can become one, and are worth it; 0: none. */
uint32_t worth_joining(struct log *log, struct archive *const *list, uint32_t count);
/* What of a topic's archives is compacted now. All of them from the first on that follow each other are looked at; where there is
 * no room to copy them, some of them are rewritten without what the later ones have newer, and the others at another time. */
struct worth_plan {
    uint32_t first, count; /* of the list: these are looked at */
    uint32_t from, kept;   /* of those: these are rewritten; 0: none */
    struct clock_cut tombstones; /* which have been there long enough to go */
};
struct worth_plan worth_compacting(struct log *log, struct clock *clock, struct archive *const *list, uint32_t count);
/* Bytes that are kept free for what comes out of so many: of archives, whole, or of what archives of a journal file's batches take;
 * and, beside those, for what becomes their indexes. */
uint64_t worth_room(uint64_t size);
uint64_t worth_index_size(struct log *log, struct archive *const *list, uint32_t count, bool compacts); /* of archives */

struct worth_output { /* archives that become one, in a compaction; begins as zeros */
    uint64_t size, batch_count;
};
/* Whether the next archive begins another of those: as large as one may be without its index being too large to be looked at whole. */
bool worth_beginning(const struct log *log, const struct archive *a, struct worth_output *output);

#endif
