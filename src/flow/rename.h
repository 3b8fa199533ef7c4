/* rename.h - `was: OLD-NAME`: what the log knows of a pipeline moves to its new name, once.
 *
 * Committed offsets are copied; facts (ledger, fates, file positions, a sink's notes, the owner epoch) move. For each
 * partition a fact remains that says under which name the sink may still hold its row (pipeline.h); the task takes it
 * over, and forgets the fact in the unit that did. It waits for the log: while nothing runs.
 *
 * The last unit moves the owner epoch, and with it the identity: cut short before that, it is done again. */
#ifndef FLOW_RENAME_H
#define FLOW_RENAME_H

#include "log/log.h"

/* NEAP_OK: moved. NEAP_EXISTS: the new name has run on this topic already, nothing was done. NEAP_NOTFOUND: the old one
 * never has. */
enum neap_status rename_pipeline(struct log *log, struct log_client *client, uint32_t topic_id,
                                 uint32_t partition_count, const char *from, const char *to, mono_time deadline,
                                 struct error *err);
/* The name under which the sink may still hold a row; room: LOG_VALUE_SIZE_MAX. NEAP_NOTFOUND: there is none. */
enum neap_status rename_pending(struct log *log, uint32_t topic_id, uint32_t partition_count, const char *name,
                                uint8_t *room, struct bytes *ret_was);

#endif
