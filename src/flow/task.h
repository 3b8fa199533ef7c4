/* task.h - one pipeline on one partition: reads, runs the stages, hands batches to the sink, commits.
 *
 *     ask the sink ─▶ decide where to go on ─▶ write what was settled ─▶ read and run ─▶ land ─▶ commit ─┐
 *                                                                          ▲                            │
 *                                                                          └────────────────────────────┘
 *
 * While one batch is with the sink the next one is prepared. Dead letters of a batch and "these offsets are dead" are one
 * unit, durable before the batch is handed over. What a sink refuses becomes dead letters, and its batch is built again
 * without it. What a sink cannot take now is handed over again, later and later.
 *
 * Where no stage waits, a batch is a stretch of the partition. Where one does, it is what has ended (task_way.c), and what is
 * done beyond the commit point is a set that goes to the sink and to the log with it.
 *
 * owner    the shard's agent; task_figures() is for any thread
 * memory   a fixed struct, and one of the pipeline's kits while there is work
 * limits   one batch with the sink, one prepared; each within the sink's batch size and row count, the pipeline's
 *          event_count_max and its letters' room
 * errors   what cannot be settled stops the pipeline (pipeline.h), never silently; a partition that is damaged halts its
 *          task there, and no other
 * promise  T1  events of the partition reach the sink in offset order (where a stage waits: in the order of way.h), each once, or
 *              become one dead letter
 *          T2  the sink never passes an offset whose dead letter is not durable
 *          T3  the log's commit point never passes the sink's */
#ifndef FLOW_TASK_H
#define FLOW_TASK_H

#include "flow/held.h"
#include "flow/pipeline.h"

struct task;

enum neap_status task_new(struct pipeline *pipeline, uint32_t partition, struct task **ret_task, struct error *err);
void task_free(struct task **task); /* at rest */
uint32_t task_work(struct task *task, mono_time now);
/* Takes in nothing more; what is with the sink or the log is waited for, the rest is left for the next start. */
void task_drain(struct task *task);
bool task_at_rest(const struct task *task); /* stopped or drained, and nothing is on its way */
bool task_idle(const struct task *task);    /* or all that is durable is committed */

struct task_figures {
    struct ledger total, run; /* since the first run, since this start; accepted is the gate's to say */
    log_offset point;         /* committed by the sink */
    uint64_t done_beyond;     /* settled beyond the point, and counted in `total` */
    bool running;             /* it has found out where to go on */
    struct task_held held;
};
void task_figures(struct task *task, struct task_figures *ret_figures);

#endif
