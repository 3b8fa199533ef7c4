/* sealed.h - what a sealed journal file waits for: its index on disk, and two snapshots behind it.
 *
 * owner    the keeper, on its turns; nothing is kept here
 * memory   an index file's while it is written
 * limits   the index in memory of a sealed file has its place until the file after the next is begun: the journal waits for it
 * errors   as index_write(): FULL can be tried again, IO stops the log
 * promise  once an index is on disk the file answers, and the journal is woken, whether it was written or not */
#ifndef LOG_LOCAL_SEALED_H
#define LOG_LOCAL_SEALED_H

#include "log/local/local.h"

uint64_t sealed_index(const struct log *log); /* the file whose index is to be written next; 0: none */
enum neap_status sealed_index_write(struct log *log, uint64_t sequence, struct error *err);
bool sealed_snapshot_due(struct log *log);
bool sealed_files_wait(struct log *log); /* for snapshots, as all that could be given back otherwise may be dead already */

#endif
