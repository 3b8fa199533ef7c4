/* freeing.h - what a life asks of a log so that files die in part: trims, groups that hold, settings that let retention work.
 *
 * owner    the caller: the model's units
 * memory   the model's
 * promise  a group's commit point on a partition never goes back while it holds it */
#ifndef SIM_FREEING_H
#define SIM_FREEING_H

#include "model.h"

/* Something of it, or nothing. */
void freeing_add(struct log *log, struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance);
/* Other settings, or more partitions, or both. */
void freeing_alter(struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance);
/* No two units' are the same: so they tell how far their client came. */
struct log_topic_settings freeing_settings(const struct unit *unit, uint64_t *chance);

#endif
