/* early.h - units that were answered after the write: what a crash may take of them, and what it may not.
 *
 * They append, to topics with a sync interval, and write no fact: so nothing says that one is there but its own records. Such a
 * topic is never trimmed in a life, and nothing of it declared lost.
 *
 * owner    the caller's log and model
 * memory   none
 * promise  what was answered longer ago than the interval, or seen by a reader, is there after any cut; a kill takes nothing that was
 *          answered; and what is missing is the end: nothing that came later in the journal is there */
#ifndef SIM_EARLY_H
#define SIM_EARLY_H

#include "check.h"

struct log_topic_settings early_settings(const struct unit *unit, uint64_t *chance);
uint32_t early_topic(const struct model *model, uint64_t *chance); /* one that is in use; 0: none */
void early_append(struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance);

/* From this point on, what was answered before its interval began is promised. */
void early_promise(struct model *model, int64_t now_ns, uint32_t point);
/* All that was answered is: the log was closed in peace. */
void early_promise_all(struct model *model, uint32_t point);

/* Notes in the model which of them are there, and compares. alive: of the model's topics, which the log has. */
enum verdict early_check(struct log *log, const struct model *model, uint32_t point, bool killed, const bool *alive,
                         struct finding *finding);

#endif
