/* node_parts.h - what a node is made of: for node.c, build.c, build_sinks.c, shard.c and figures.c alone.
 *
 *     main agent    the caller's thread in node_run(): signals, the tick, when to leave
 *     shard agent   owns the tasks of all pipelines, and all that they use: chains, sinks' task side, one log client
 *     gate agents   one per file or standard input (gate/)
 *     workers       where sinks block (sink/)
 *     control agent the unix socket (control.h)
 *
 * N1  The shard takes part in nothing before `ready` is set; until then the opener builds what it will own.
 * N2  What the shard shows to others lies under the node's mutex, in tasks' figures, or in atomics. */
#ifndef NODE_PARTS_H
#define NODE_PARTS_H

#include "base/must.h"
#include "flow/chain.h"
#include "flow/rename.h"
#include "flow/task.h"
#include "gate/gate.h"
#include "node/budget.h"
#include "node/control.h"
#include "node/disk_watch.h"
#include "flow/destination.h"
#include "flow/pool.h"
#include "sink/sinks.h"
#include "stage/call.h"
#include <stdatomic.h>

#define NODE_MAGIC   0x4e4f4445u
#define NODE_WAIT_NS (60 * NS_PER_S) /* for what opening asks of the log */

struct node_waiting { /* what one waiting stage needs beside it */
    struct pool *pool;
    struct object *object; /* of a plugin that is in one */
    struct destinations *table; /* of an exec: of one destination */
    struct destination *destination;
};

struct node_pipeline {
    struct node *node;
    const struct config_pipeline *config;
    struct log_topic topic, dead;
    struct log_topic ids; /* that it remembers, where it does */
    struct dedup_door dedup;
    struct log_topic out; /* what its branches read, where that is a topic of its own */
    uint64_t settled_at_open; /* with branches: events that the last of them had settled when this run began */
    struct chain *chain; /* behind the last waiting stage */
    struct waiting **stages;
    struct chain **chains; /* before each of them */
    struct node_waiting *waiting;
    uint32_t stage_count; /* of waiting ones, built so far */
    struct expr **exprs; /* of the sink */
    uint32_t expr_count;
    struct sink *sink, *was_sink;
    struct pipeline *pipeline; /* NULL: events stay in their topic */
    struct task **tasks;
    struct gate *gate;    /* NULL: reads a topic */
    uint64_t end_at_open; /* events in its topic when this run began */
    bool stop_told;       /* the shard's: it has shown that the pipeline stopped */
    bool halt_told;       /* or that one of its partitions is damaged */
    struct {              /* under the node's mutex */
        bool stopped;
        struct error error;
    } shown;
};

struct node_database {
    const char *path;
    struct sqlite_database *database;
};

struct shard {
    struct io_agent agent;
    bool started;
    _Atomic bool ready;
    struct log_client *client;
    struct json_parser *parser;
    struct arena *arena, *letter_arena;
    struct codec_room unpack;
    struct expr_machine *machine;
    struct pool **pools; /* those of the file, in its order */
    struct destinations *destinations; /* of calls; NULL: nobody calls */
    bool draining;
    _Atomic bool drain_asked, at_rest;
    _Atomic bool idle_asked, idle; /* idle: nothing was left to do in a turn that began after it was asked */
};

struct node {
    uint32_t magic;
    struct io *io;
    struct node_options options;
    const struct config *config;
    struct budget budget;
    struct arena *arena; /* places and names, for as long as the node */
    uint8_t *fact_room;  /* LOG_VALUE_SIZE_MAX, while it is opened */
    struct log *log;
    struct log_client *client; /* the opener's */
    const char *vfs; /* its name, once it is registered */
    struct node_database *databases;
    uint32_t database_count;
    struct node_pipeline *pipelines;
    uint32_t pipeline_count;
    struct shard shard;
    struct control *control;
    struct io_mutex *mutex;
    struct { /* the main agent's */
        struct io_agent agent;
        struct io_timer tick;
        void (*told)(void *ctx, struct node *node);
        void *told_ctx;
        bool draining;
        mono_time drain_deadline, disk_look;
        struct disk_watch disk;
        enum neap_status status;
        struct error error;
    } main;
    _Atomic bool stop_asked;
};

/* ---- build.c: from the pipeline file to what runs */
enum neap_status build_topics(struct node *n, struct error *err);
enum neap_status build_shard(struct node *n, struct error *err); /* all but the gates */
enum neap_status build_gates(struct node *n, struct error *err);
void build_free(struct node *n); /* in reverse; half-built is fine; the shard does not run any more */

/* what build.c, build_topics.c and build_sinks.c ask of each other */
mono_time build_deadline(struct node *n);
enum neap_status build_no_memory(const struct node_pipeline *np, struct error *err);
struct node_pipeline *node_parent(const struct node_pipeline *np); /* whose branch it is; NULL: nobody's */
enum neap_status build_topic(struct node *n, const char *name, struct log_topic *ret_topic, struct error *err);
enum neap_status build_expr(struct node *n, const struct config_expr *expr, const char *what, const char *name,
                            struct expr **ret_expr, struct error *err);
enum neap_status build_check_handlers(const struct node *n, struct error *err); /* those that the file names are there */
/* ---- build_branches.c */
/* The topic that the branches of this pipeline read: the one that it reads itself, or `out`, which is made. */
enum neap_status build_out(struct node_pipeline *np, struct error *err);
bool build_family(struct node_pipeline *np, const char ***ret_names); /* pipeline_hold()'s others; false: out of memory */
enum neap_status build_mark_branch(struct node_pipeline *np, struct error *err);
enum neap_status build_let_go(struct node *n, struct error *err); /* of what holds events for nobody; last of all */

enum neap_status build_stages(struct node_pipeline *np, struct error *err);
void build_free_stages(struct node_pipeline *np);
struct waiting *build_exec(struct node_pipeline *np, const struct config_stage *c, struct node_waiting *own,
                           struct error *err); /* build_exec.c */
/* ---- build_manners.c */
struct destination_options build_manners(const struct config_manners *m, uint32_t concurrency_max);
void build_waiting_manners(struct waiting *stage, const struct config_manners *m, uint32_t concurrency);

struct waiting *build_call(struct node_pipeline *np, const struct config_stage *c, struct error *err); /* build_calls.c */
enum neap_status build_sink_exprs(struct node_pipeline *np, struct error *err);
enum neap_status build_sink(struct node_pipeline *np, struct error *err);
enum neap_status build_was_sink(struct node_pipeline *np, struct error *err);

/* ---- shard.c */
enum neap_status shard_start(struct node *n, struct error *err);
void shard_stop(struct node *n);
void shard_go(struct node *n);

/* ---- figures.c */
void node_pipeline_stopped(struct node_pipeline *np, const struct error *error); /* the first reason stays */
void node_pipeline_halted(struct node_pipeline *np, const struct error *error);  /* a partition of it; it runs */
void node_settled_at_open(struct node *n); /* once everything is built, and nothing runs */
bool node_first_stopped(struct node *n, struct error *ret_error); /* or damaged */

#endif
