/* budget.h - node.memory shared out: what each part is opened with, so that the sum stays inside it.
 *
 * Pure arithmetic over a pipeline file. The journal, the databases and the sources get their shares first; what is left
 * goes to the batches of the pipelines, in equal parts: more of it means larger batches and more partitions at work at
 * one time, less of it means that partitions take turns. */
#ifndef NODE_BUDGET_H
#define NODE_BUDGET_H

#include "config/config.h"
#include "flow/window.h"
#include "gate/gate.h"
#include "node/node.h"
#include "stage/call.h"

struct budget {
    struct log_options log; /* sizes only */
    size_t record_size;     /* the largest that the file says a topic takes; 0: it says nothing */
    size_t event_size_max;  /* of JSON that is parsed; a larger event becomes a dead letter, too_large */
    size_t arena_size_max;  /* for what stages and expressions make of one event */
    size_t unpack_size_max; /* of the records of one compressed batch; a larger one becomes dead letters, unreadable */
    size_t expr_size_max;   /* of one expression machine */
    size_t gate_read_size;
    uint32_t gate_unit_count;
    size_t database_cache_size;
    size_t reader_size;
    size_t share_size; /* for the batches of one pipeline */
    size_t answers_size; /* for those of one call stage, together */
    struct node_memory_term terms[16];
    uint32_t term_count;
    uint64_t sum; /* of the terms; more than node.memory: it does not add up */
};

/* The log's share. */
void budget_log(uint64_t memory_size, struct log_options *ret_sizes);
void budget_of(const struct config *config, struct budget *ret_budget);
/* Whether the terms add up to node.memory at most; `err` gets both numbers, and the terms. */
bool budget_fits(const struct budget *budget, const struct config *config, struct error *err);
/* Of one pipeline: how large its batches are, and how many of its partitions work at one time. */
size_t budget_batch_size(const struct budget *budget, const struct config_pipeline *pipeline);
uint32_t budget_kit_count(const struct budget *budget, const struct config *config,
                          const struct config_pipeline *pipeline, uint32_t partition_count);
bool budget_is_waiting(const struct config_stage *stage);
uint32_t budget_waiting_count(const struct config_pipeline *pipeline); /* 0, too, where events stay in their topic */
/* For the events on their way through its waiting stages: of one partition at work. */
struct window_options budget_window(const struct budget *budget, const struct config_pipeline *pipeline);
/* Ids that a dedup stage of the pipeline remembers of one of its partitions. */
uint32_t budget_dedup_count(const struct config *config, const struct config_pipeline *pipeline, uint32_t partition_count);
struct budget_plugin {
    uint32_t concurrency;
    size_t room_size;
};
struct budget_plugin budget_plugin(const struct budget *budget, const struct config_stage *stage);
uint32_t budget_children(const struct config_stage *stage); /* of an exec: so many at most */
/* Of a call: counts and sizes alone. */
struct call_options budget_call(const struct budget *budget, const struct config_stage *stage);
uint32_t budget_destinations(const struct config_stage *stage); /* of a call: so many at one time */
uint32_t budget_limit_keys(const struct config_stage *stage);   /* of its limit, where it has keys; else 0 */
/* Partitions of a topic as far as the file says. */
uint32_t budget_partitions(const struct config *config, const char *topic);

#endif
