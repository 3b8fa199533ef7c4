/* space.h - who may still write as the disk fills up: held in ready journal files, so that nobody else can take it.
 *
 * owner    pure functions of the shared state, under its mutex
 * limits   of `disk`: the last 8 % is for commits, dead letters and outputs of pipelines, the last 2 % (two files at least) for
 *          deletes, trims and cleaning; a budget of few files reserves fewer
 *          a rank may write the open file to its end, which is the one that it has switched into itself, if need be
 *          where `disk` is less than what is used, pipelines go on in the ready files: they alone make space free
 * promise  whoever is told to stop is told while those of higher rank still have a ready file to write into */
#ifndef LOG_LOCAL_SPACE_H
#define LOG_LOCAL_SPACE_H

#include "log/local/local.h"

uint64_t space_reserve(const struct log *log, enum log_rank rank); /* bytes of `disk` that are for this rank and those above */
uint32_t space_ready_count(const struct log *log);               /* files to have ready */
/* Bytes of the budget beyond what holds events: ready files are not used yet, dead ones no more. */
uint64_t space_left_size(const struct log *log);
/* What lies on disk takes up nearly twice what is kept, or the disk fills up: half-dead files are worth copying. `already`: it
 * was so when last asked; it stays so until there is some way to go to the next time. */
bool space_is_wanted(const struct log *log, bool already);
bool space_may_switch(const struct log *log, enum log_rank rank); /* take the next ready file */
void space_update(struct log *log);                              /* after anything that changes it: shared.rank_min */

#endif
