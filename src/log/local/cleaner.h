/* cleaner.h - gives space back: finds what is dead, drains what is half dead into archives, joins and compacts archives.
 *
 * owner    the keeper; its turns
 * memory   one rewrite at a time, one unit with an operation per topic of it
 * limits   one file or archive is looked at in a turn; a rewrite goes on by REWRITE_STEP_SIZE
 * errors   FULL: the caller gives it a ready file's room; CORRUPT is logged, and the source left as it is; IO stops the log
 * promise  a journal file is given back only when every batch in it is dead or in an archive that the journal speaks of and that is
 *          not known to be damaged, the older snapshot has passed it, and nobody has it pinned */
#ifndef LOG_LOCAL_CLEANER_H
#define LOG_LOCAL_CLEANER_H

#include "log/local/rewrite.h"

struct cleaner;

struct cleaner *cleaner_new(struct log *log, struct clock *clock); /* keeps the clock */
void cleaner_free(struct cleaner **cleaner);
void cleaner_stop(struct cleaner *cleaner); /* what is under way is dropped; its unit is waited for by the log's end */
/* client: the keeper's. True: it did something. */
bool cleaner_step(struct cleaner *cleaner, struct log_client *client, mono_time now, struct error *err);
/* Something may be dead that was not; `urgent`: room is wanted, do not wait for the next round. */
void cleaner_wake(struct cleaner *cleaner, bool urgent);
bool cleaner_works(const struct cleaner *cleaner);   /* a round is under way */
bool cleaner_waits(const struct cleaner *cleaner);   /* for the journal */
bool cleaner_pending(const struct cleaner *cleaner); /* it is at work, or has something to look at */

#endif
