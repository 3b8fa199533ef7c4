/* branches.h - a pipeline with branches becomes several: each is a consumer of its own, and the rest of Neap knows only
 * pipelines.
 *
 *     orders: {source, stages: [map], fanout: [a, b: {if, stages}]}      all stages inline:
 *         orders      fills its topic
 *         orders.a    reads it: map -> sink
 *         orders.b    reads it: map -> choice (if) -> stages -> sink
 *     orders: {source, stages: [call], fanout: [a, b]}                   one that waits runs once:
 *         orders      fills its topic, reads it: call -> topic orders.out
 *         orders.a    reads orders.out, and so on
 *
 * owner    meaning_check(), between reading and checking
 * memory   the configuration's arena
 * limits   config/limits.h: branches of one list, their depth, all consumers of a file
 * errors   into the messages: ends that exclude each other, branches that nothing reaches, names that are taken
 * promise  what stands in the list has a name, and stands behind what it is a branch of */
#ifndef CONFIG_BRANCHES_H
#define CONFIG_BRANCHES_H

#include "config/read.h"

/* Names stages (KIND, KIND-2 … behind those that are given) and sets topics that follow from names, then spreads. Answers the
 * nodes in the order of config->pipelines. NULL: starved. */
const struct tree_node **branches_spread(struct reading *r, const struct tree_node *pipelines, struct config *config);
/* What only a look at all consumers tells: names that two of them have. */
void branches_check_names(struct reading *r, const struct config *config);

#endif
