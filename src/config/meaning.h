/* meaning.h - what the values of a pipeline file mean together: claims that cannot hold, two that want the same, names that
 * refer to nothing.
 *
 * Fills in what follows from other values as well: default names of stages, topics and dead letters. */
#ifndef CONFIG_MEANING_H
#define CONFIG_MEANING_H

#include "config/read.h"

/* `root` is the tree that `config` was read from: for places. */
void meaning_check(struct reading *r, const struct tree_node *root, struct config *config);

#endif
