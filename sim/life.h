/* life.h - one life of the log: opened on a disk, worked on by several agents in an order of chance, and closed.
 *
 * owner    the caller: model and disk outlive it
 * memory   the log's, and a few agents
 * errors   a finding where the log says something untrue while it lives
 * promise  with the same seed, disk and model it does the same */
#ifndef SIM_LIFE_H
#define SIM_LIFE_H

#include "check.h"

#define DATA "/data"

/* How often it came to what is rare: so that nobody believes in a test of what never happens. */
struct life_figures {
    uint64_t archived; /* lives that had archives at their end */
    uint64_t archives, joined; /* begun; those at the end that stand for several files */
    uint64_t files, recycled;  /* of the journal; those of them that are gone */
    uint64_t trims, starts;    /* told; partitions that start beyond 0 at the end */
    uint64_t early, losses;    /* units answered early; ranges declared lost; told */
};

struct life {
    uint64_t seed;
    struct sim_disk *disk;
    struct model *model;
    uint32_t unit_count; /* to submit in all */
    bool churn;          /* topics come and go so fast that files die and are used again */
    bool frees; /* partitions are trimmed, held and altered, so that files die in part */
    bool early; /* some topics answer before the sync */
    bool loses; /* clients declare some of what is there lost */
    struct log_options options;
    void (*trace)(void *ctx, const char *line);
    void (*prepare)(struct io *io, void *ctx); /* adds faults, before the log is opened; may be NULL */
    void (*unravel)(struct io *io, void *ctx); /* takes them away, when half of the units have ended; may be NULL */
    void *ctx;
    /* what came of it: */
    struct finding finding;
    uint64_t hash;
    int64_t virtual_ns;
    uint32_t refused_count, failed_count;
    struct life_figures freed;
    bool opened, stopped; /* stopped: by a failed write or sync */
};

/* Options that make files switch, snapshots happen and indexes fill all the time. */
struct log_options life_options(uint64_t seed);
bool life_churns(uint64_t seed); /* whether the life of this seed is one of churn */
bool life_frees(uint64_t seed);
bool life_is_early(uint64_t seed);
bool life_loses(uint64_t seed);
void life_figures_add(struct life_figures *sum, const struct life_figures *figures);
void life_run(struct life *life);

#endif
