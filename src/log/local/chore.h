/* chore.h - one piece of the cleaner's work at a time: a journal file, or archives of a topic, become other archives.
 *
 * owner    the cleaner, on the keeper's turns
 * memory   what a rewrite takes; one unit, with an operation for each topic of a file, or one for archives
 * limits   ARCHIVE_COUNT_MAX archives; what comes out is counted against `disk` while it is made
 * errors   FULL: no room for what comes out; NOMEM, IO. CORRUPT, TOOLARGE: logged, and the sources are left as they are
 * promise  its sources are pinned until it has ended; it has ended when the journal speaks of what came out, or when nothing is
 *          left of that */
#ifndef LOG_LOCAL_CHORE_H
#define LOG_LOCAL_CHORE_H

#include "log/local/alive.h"
#include "log/local/rewrite.h"

struct chore {
    struct log *log;
    struct rewrite *rewrite;                     /* NULL: nothing is to be done */
    uint64_t drained;                            /* the journal file in work; 0: archives are */
    struct archive *archives[ARCHIVE_COUNT_MAX]; /* in work: pinned, so that they are there, gone or not */
    uint32_t archive_count;
    struct rewrite_source sources[ARCHIVE_COUNT_MAX];
    struct archive_facts facts[ARCHIVE_COUNT_MAX]; /* of what comes out */
    struct rewrite_plan plan;
    uint32_t holds; /* of a compaction: hold_count of the log when it began */
    uint32_t believed; /* sources whose indexes were found as they were written: before it begins, and again when it is written */
    bool written, submitted, ended;
    struct log_unit unit;
    struct log_op *ops;
    uint8_t *payloads;
};

/* A file of which that much is alive. True: it has begun. Else it is looked at again in the next round, or `err` says why not. */
bool chore_drain(struct chore *c, const struct journal_file *f, const struct alive *alive, struct error *err);
/* Under the mutex for `list`, `count` neighbours of one topic, of which the first `kept` become one, or are compacted, the others are
 * then looked at for what they have newer; chore_begin() comes next. */
void chore_choose(struct chore *c, struct archive *const *list, uint32_t count, uint32_t kept, bool compacts);
/* room: bytes that are kept free for what comes out, beside what becomes indexes; 0: nothing does. tombstones: which of them go in a
 * compaction; NULL: the archives are only joined. False: `err`, and it is over. */
bool chore_begin(struct chore *c, uint64_t room, const struct clock_cut *tombstones, struct error *err);
/* False: it waits for the journal. */
bool chore_step(struct chore *c, struct log_client *client, struct error *err);
bool chore_works(const struct chore *c);
bool chore_waits(const struct chore *c); /* for the journal */
void chore_stop(struct chore *c); /* the journal answers no more */

#endif
