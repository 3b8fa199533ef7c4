/* keeper.h - housekeeping: what is done next, and what it means where that fails. The journal never waits for a name.
 *
 * Index files and snapshots (sealed.h) come first, then ready files (spares.h), then retention (retention.h) and cleaning
 * (cleaner.h), and in what time is left the scrub (scrub.h).
 *
 * owner    the keeper agent
 * memory   one step's buffer; a snapshot's or an index file's while it is written
 * limits   space_ready_count() files ready ahead; disk_size bytes of all files together
 * errors   a full disk is said, and tried again each second; a failed sync stops the log as the journal's would
 * promise  K1 a spare has its name, its header and all its blocks on disk before the journal may use it (spares.h)
 *          K2 a file is recycled when every batch in it is dead, the older snapshot has passed it (cleaner.h) and nobody has it
 *             pinned; its former life is out of reach before its new header is written: the salt is new (spares.h) */
#ifndef LOG_LOCAL_KEEPER_H
#define LOG_LOCAL_KEEPER_H

#include "log/local/local.h"

struct keeper *keeper_new(struct log *log);
void keeper_free(struct keeper **keeper);
enum neap_status keeper_start(struct keeper *keeper, struct error *err);
void keeper_stop(struct keeper *keeper);
void keeper_wake(struct keeper *keeper); /* any thread; accepts NULL */
/* One spare, now, on the caller's thread: before the agent starts. */
enum neap_status keeper_make_spare(struct keeper *keeper, struct error *err);

#endif
