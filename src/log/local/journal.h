/* journal.h - the one writer: it gives offsets, builds entries, writes, syncs, and tells.
 *
 * owner    the journal agent; log_open() uses it before the agent starts
 * memory   its struct; the tail is where entries are built
 * limits   two groups on their way: one being synced, one written (by several writes, where producers wait for those alone)
 * errors   a failed write or sync ends it: nothing is acknowledged afterwards (a full disk only makes it wait,
 *          until log_give_up())
 * promise  J1 offset order is journal order; J2 a unit's `done(OK)` comes after a sync that covers its last byte, or after
 *          its write where all its topics have a sync interval, and it is seen after the sync in any case;
 *          J3 a file is sealed and synced before the next one is written; J4 room is found before an offset is given, and
 *          after that nothing can fail but the disk */
#ifndef LOG_LOCAL_JOURNAL_H
#define LOG_LOCAL_JOURNAL_H

#include "log/local/local.h"

/* The open file is shared.files[open_index]; `position` is where the next entry goes. */
struct journal *journal_new(struct log *log, uint64_t position, uint64_t boot, int64_t time_ms);
void journal_free(struct journal **journal); /* fails what is still waiting with CLOSED */
/* Writes and syncs the first entry of this boot; before anything is served. */
enum neap_status journal_boot(struct journal *journal, struct error *err);
enum neap_status journal_start(struct journal *journal, struct error *err);
void journal_stop(struct journal *journal);
void journal_wake(struct journal *journal); /* any thread */

#endif
