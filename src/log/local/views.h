/* views.h - what the journal says, kept ready: topics, committed offsets, facts.
 *
 * owner    changed by the journal agent (and by recovery, alone) under the shared mutex
 * memory   a map entry and a value for each offset and fact, fact_size_max bytes in all; topics up to partition_count_max
 * errors   FULL where a limit is met: asked for before an entry is written, so that applying cannot fail
 * promise  a function of the journal's entries in their order, and of nothing else */
#ifndef LOG_LOCAL_VIEWS_H
#define LOG_LOCAL_VIEWS_H

#include "log/local/local.h"

enum neap_status views_init(struct views *v, const struct log_options *options);
void views_fini(struct views *v);

struct topic *views_topic(const struct views *v, uint32_t topic_id);      /* NULL: none */
struct topic *views_topic_named(const struct views *v, const char *name); /* durable or not */
struct partition *views_partition(const struct views *v, struct log_partition p);
/* Adds a topic that nobody sees yet. EXISTS, FULL (partitions), NOMEM. */
enum neap_status views_topic_add(struct views *v, const char *name, uint32_t id, uint32_t partition_count,
                                 struct topic **ret_topic);
/* More partitions, which nobody sees before partition_count says so. FULL, NOMEM. */
enum neap_status views_topic_grow(struct views *v, struct topic *topic, uint32_t partition_count);
void views_topic_shrink(struct views *v, struct topic *topic, uint32_t partition_count); /* takes the last growth back */
void views_topic_remove(struct views *v, uint32_t topic_id); /* with its offsets and facts */

/* The lowest commit point of the groups that hold a partition; UINT64_MAX: none does. It looks at all offsets. */
uint64_t views_hold(const struct views *v, struct log_partition p);
/* What views_hold_from() adds to fact_size, when the topic gets so many more partitions. NOMEM. */
enum neap_status views_holds_cost(const struct views *v, const struct topic *topic, uint32_t more_count, uint64_t *ret_size);
/* Every group that holds any partition of the topic holds those from `first` on, where it has committed nothing yet. NOMEM. */
enum neap_status views_hold_from(struct views *v, struct topic *topic, uint32_t first);

#define VIEW_KEY_SIZE_MAX (16u + LOG_KEY_SIZE_MAX)
struct bytes offset_key(uint8_t *room, struct log_partition p, struct bytes group);
struct bytes fact_key(uint8_t *room, uint8_t view, struct log_partition p, struct bytes key);
uint64_t fact_cost(size_t key_size, size_t value_size); /* what it adds to fact_size at most */
/* NOMEM is a bug of the budget for the caller that has asked for room first. */
enum neap_status views_fact_put(struct views *v, struct map *map, struct bytes key, uint64_t offset,
                                struct bytes value);
void views_fact_forget(struct views *v, struct map *map, struct bytes key);

#define TRIM_PAYLOAD_SIZE 16u /* batches and bytes that are freed by it: u64 each; or nothing where nobody counted */
/* Applies one operation of a durable entry, batches aside. */
enum neap_status views_apply(struct views *v, const struct op *op);

#endif
