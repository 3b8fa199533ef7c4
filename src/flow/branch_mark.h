/* branch_mark.h - the note that a consumer is a branch, and of which pipeline: it outlives the pipeline file that says so.
 *
 * Whoever asks a stopped directory learns from it which ledgers belong together; and the next start, which branches were
 * taken out of the file, so that retention waits for them no longer.
 *
 * owner    written by the node that opens a pipeline file; read by anyone
 * memory   the caller's rooms
 * errors   those of the log
 * promise  a branch has one from before its first event on
 *
 * FORMAT of a fact in LOG_VIEW_START; partition = (topic that it reads, 0), key = its name, '\0', "branch":
 *     0  1  format version 1      1  1  1: it is in the file, 0: it was taken out
 *     2  …  name of the pipeline or branch whose branch it is */
#ifndef FLOW_BRANCH_MARK_H
#define FLOW_BRANCH_MARK_H

#include "log/log.h"

struct branch_mark {
    char name[LOG_NAME_SIZE_MAX + 1], parent[LOG_NAME_SIZE_MAX + 1];
    bool in_file;
};

/* Waits until it is durable; one that says the same already is left alone. room: LOG_VALUE_SIZE_MAX bytes. */
enum neap_status branch_mark_set(struct log *log, struct log_client *client, uint32_t topic_id,
                                 const struct branch_mark *mark, uint8_t *room, mono_time deadline);
/* Those of one topic, in the order of last writing; `each` is called under a lock. */
void branch_mark_each(struct log *log, uint32_t topic_id, void (*each)(void *ctx, const struct branch_mark *mark),
                      void *ctx);
/* Whether `name` is a branch of `pipeline`, or of one of its branches. */
bool branch_mark_is_below(const char *name, const char *pipeline);

#endif
