/* walk.h - a reader in a life: at the same partition for a while, across files that are drained, joined and used again.
 *
 * owner    the life
 * memory   one log_reader
 * errors   a finding
 * promise  what it has seen is promised from there on */
#ifndef SIM_WALK_H
#define SIM_WALK_H

#include "check.h"

struct walk {
    struct io *io;
    struct log *log;
    struct model *model;
    const struct sim_disk *disk;
    struct finding *finding; /* the first is kept */
    uint64_t chance;
    struct log_reader *reader; /* NULL: it stands nowhere */
    uint32_t topic, partition;
    uint64_t next;
};

/* Where it stands nowhere it begins at this topic; 0: at none. */
void walk_step(struct walk *walk, uint32_t topic);
void walk_end(struct walk *walk);

#endif
