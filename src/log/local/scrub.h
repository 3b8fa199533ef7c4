/* scrub.h - reads what lies at rest again, slowly, so that rot is found before it is needed.
 *
 * owner    the keeper agent: a step of it when nothing else is due
 * memory   SCRUB_STEP_SIZE, or the largest entry met
 * limits   scrub_rate bytes a second; a new pass begins a day after the last one did, at the earliest
 * errors   none: what it finds is noted (damage.h), and it goes on behind it
 * promise  C1 every entry of every sealed file, every archive and every index is verified on the disk, not in the page cache,
 *             once in each pass
 *          C2 it leaves nothing in the page cache
 *          C3 it begins at a file of chance: a node that is started often sees all of them in time */
#ifndef LOG_LOCAL_SCRUB_H
#define LOG_LOCAL_SCRUB_H

#include "log/local/damage.h"
#include "log/local/recovery.h"

#define SCRUB_STEP_SIZE    (256u << 10)
#define SCRUB_RATE_DEFAULT (4u << 20)
#define SCRUB_DELAY_NS     (60 * NS_PER_S)
#define SCRUB_PASS_NS      (86400 * NS_PER_S)

struct scrub {
    struct log *log;
    struct io_timer timer;
    struct scan scan;           /* of the file in work */
    struct damage_place place;  /* it; place.file NULL: none */
    uint64_t archive;           /* its number, where it is one; 0: a journal file */
    uint64_t first, last, done; /* files of this pass: from `first` upwards, then from the oldest; archives up to `done` */
    bool passing, around;       /* around: past the newest file */
    mono_time due, begun;
};

void scrub_init(struct scrub *s, struct log *log, struct io_agent *agent);
void scrub_fini(struct scrub *s);
/* A step, where one is due; how much was done. The keeper's turn. */
uint32_t scrub_work(struct scrub *s, mono_time now);

#endif
