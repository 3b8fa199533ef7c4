/* starts.h - where partitions may start: trims, groups that hold and settings, as they follow from the units that are there.
 *
 * owner    the caller
 * memory   a table as large as the model's topics
 * promise  nothing in here comes from the log but the offsets it gave */
#ifndef SIM_STARTS_H
#define SIM_STARTS_H

#include "model.h"

#define LOSS_COUNT_MAX 64u /* of one partition */

struct stand { /* of one client's group on one partition */
    const struct log_op *commit; /* the last; NULL: none, or forgotten */
    bool hold;
    bool settled;  /* it held, and had been told so, when the partition started at `start` */
    uint64_t start;
    bool forgotten; /* the last that was said of it */
    bool may_inherit, must_inherit; /* the partition came when the group may have held, or held, some of the topic: it is its own */
};

struct partition_truth {
    uint64_t trim;         /* the highest that is there */
    uint64_t record_count; /* ever appended */
    bool held;             /* somebody may have held it once */
    struct stand stands[CLIENT_COUNT];
    uint64_t start; /* of the log: for whoever has checked it */
    struct {
        uint64_t first, end;
    } lost[LOSS_COUNT_MAX]; /* declared, in the order of their units */
    uint32_t lost_count;
};

struct topic_truth {
    bool retains, by_others; /* retention may ever have worked on it; by anything but size */
    bool limits;             /* ever by time or size */
    uint64_t size_min;       /* by size: of the smallest limit */
    struct partition_truth partitions[PARTITION_MAX];
};

/* reached: units of each client that are there. Units of client 0 that were possible before `point` count for what retention
 * may have done. Freed by starts_free(). */
struct topic_truth *starts_new(const struct model *model, uint32_t point, const uint32_t *reached);
void starts_free(struct topic_truth **topics);
/* Whether a partition may start there; NULL: yes, else what is wrong. */
const char *starts_wrong(const struct topic_truth *topic, uint32_t partition, uint64_t start);
/* `kept_size`: bytes of batches that can be read from its start on. */
const char *starts_size_wrong(const struct topic_truth *topic, uint32_t partition, uint64_t kept_size);

#endif
