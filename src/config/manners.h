/* manners.h - how to treat what is outside: which kind keeps which manner, and what they come to where three places speak.
 *
 * owner    whoever reads the file
 * memory   rules of outcomes lie in the configuration's arena, shared where nothing differs
 * limits   none of its own
 * errors   into the messages: manners that contradict each other; a warning where one holds for nothing
 * promise  afterwards the manners of each stage that waits, and of each pipeline, are whole */
#ifndef CONFIG_MANNERS_H
#define CONFIG_MANNERS_H

#include "config/read.h"

/* The row of a kind of stage (IN_STAGE) or sink (IN_SINK) in the table; NULL: there is none. */
const struct key *manner_kind(enum scope role, int kind);
/* Whether a kind of stage or sink keeps the manner; `part` of it ("budget" of "retry"), or NULL: any of it. */
bool manner_is_kept(const struct key *kind, const char *name, const char *part);
/* What `to` does not say, it has from above: a branch from what it is a branch of. */
void manners_inherit(struct config_manners *to, const struct config_manners *from);
/* `root` is the tree that `config` was read from, `nodes` those of its pipelines and branches: for places. */
void manners_settle(struct reading *r, const struct tree_node *root, const struct tree_node *const *nodes,
                    struct config *config);

#endif
