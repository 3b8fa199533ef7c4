/* config.h - a pipeline file, read, checked and turned into plain structs with their places.
 *
 * owner    whoever loaded it; read-only afterwards, from any thread
 * memory   one arena inside it
 * limits   config/limits.h: file size, depth, pipelines, stages, columns
 * errors   all of them at once, as gcc prints them: FILE:LINE:COLUMN: error: message; nothing is half loaded
 * promise  a configuration that loads can be run: what check accepts, run does not refuse for its text */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "flow/outcome.h"
#include "io/io.h"

struct config_place {
    uint32_t line, column; /* from 1; 0: a default, not written */
};

struct config_expr {
    const char *text; /* NULL: not given */
    struct config_place place;
};

struct config_named_expr {
    const char *name;
    struct config_expr expr;
};

enum config_source_kind { CONFIG_SOURCE_FILE, CONFIG_SOURCE_STDIN, CONFIG_SOURCE_TOPIC };
enum config_stage_kind { CONFIG_STAGE_FILTER, CONFIG_STAGE_MAP, CONFIG_STAGE_KEEP, CONFIG_STAGE_REMOVE, CONFIG_STAGE_LUA, CONFIG_STAGE_DEDUP,
                         CONFIG_STAGE_PLUGIN, CONFIG_STAGE_EXEC, CONFIG_STAGE_CALL,
                         CONFIG_STAGE_CHOICE /* not written: whether a branch takes the event */ };
enum config_sink_kind { CONFIG_SINK_NONE, CONFIG_SINK_SQLITE, CONFIG_SINK_FILE, CONFIG_SINK_STDOUT, CONFIG_SINK_TOPIC };
enum config_sqlite_mode { CONFIG_INSERT, CONFIG_UPSERT, CONFIG_IGNORE };
enum config_fan { CONFIG_FAN_NONE, CONFIG_FANOUT, CONFIG_ROUTE };
enum config_order { CONFIG_ORDER_KEY, CONFIG_ORDER_PARTITION, CONFIG_ORDER_NONE };
enum config_protocol { CONFIG_PROTOCOL_NEAP, CONFIG_PROTOCOL_LINES };
enum config_guarantee { CONFIG_GUARANTEE_MOST, CONFIG_EXACTLY_ONCE, CONFIG_AT_LEAST_ONCE };
enum config_start { CONFIG_START_DEFAULT, CONFIG_START_SINK, CONFIG_START_EARLIEST, CONFIG_START_COMMITTED };

/* Ranges, a..b; of a single value least is most; 0: not written. */
struct config_counts { uint32_t least, most; };
struct config_times { int64_t least_ms, most_ms; };

struct config_limit {
    uint32_t count;                /* 500/s: 500 of them ...; 0: no limit */
    int64_t period_ms;             /* ... in 1000 */
    struct config_expr per;        /* for each value of it its own; not given: one for all */
};

struct config_retry {
    uint32_t attempts;             /* with the first try */
    struct config_times backoff;
    uint32_t budget_percent;       /* of successes */
    struct outcome_list permanent, transient; /* `words` NULL: not written */
    const struct outcome_rules *rules;        /* what they come to */
};

struct config_breaker {
    uint32_t failure_percent, slow_percent;
    int64_t slow_call_ms;          /* 0: no call is slow */
    uint32_t window, minimum_calls;
    struct config_times open;
    uint32_t probes;
};

/* How to treat what is outside. In a stage that waits and in a pipeline they are whole: what was not written nearest stands as it
 * was written at the pipeline, in `defaults`, or as it is by default. */
struct config_manners {
    int64_t timeout_ms;
    struct config_counts concurrency;
    struct config_limit limit;
    struct config_retry retry;
    struct config_breaker breaker;
    const char *pool;              /* its name; NULL: threads of its own */
};

/* A text, or an expression that gives one. */
struct config_text {
    const char *text;              /* NULL: `expr` */
    struct config_expr expr;
    struct config_place place;     /* of the value */
};

struct config_header {
    const char *name;
    struct config_place place;
    struct config_text value;
};

struct config_cache {
    struct config_expr by;         /* not given: nothing is cached */
    int64_t age_ms, stale_ms;
    uint64_t size;
};

enum config_method { CONFIG_POST, CONFIG_PUT, CONFIG_PATCH, CONFIG_GET, CONFIG_DELETE };

struct config_call {
    struct config_text url;
    enum config_method method;
    struct config_expr body;       /* not given: the event's JSON; none with GET and DELETE */
    struct config_header *headers;
    uint32_t header_count;
    const char *into;              /* NULL: the answer is dropped */
    struct config_cache cache;
    const char *fallback;          /* JSON; NULL: none */
    bool private_allowed;          /* allow_private_network */
};
const char *config_method_word(enum config_method method); /* "POST" */

struct config_source {
    enum config_source_kind kind;
    struct config_place place;
    const char *path;              /* file: as opened (relative ones joined to the pipeline file's folder) */
    bool follow;
    const char *topic;             /* topic: the one read; others: where to (`to`, default the pipeline's name) */
    struct config_expr key, id, time;
};

struct config_stage {
    enum config_stage_kind kind;
    struct config_place place;
    const char *name;              /* given, or KIND, KIND-2 … */
    struct config_expr condition;  /* `if` */
    bool continue_on_error;        /* on_error: continue */
    struct config_expr filter;     /* choice: the branch's own `if` */
    struct config_named_expr *before; /* choice in a route: the `if` of each branch before it, by its name */
    uint32_t before_count;
    bool no_route;                 /* choice in a route without a rest: of its last branch, which counts what none took */
    struct config_named_expr *map;
    uint32_t map_count;
    struct config_expr script;     /* lua */
    const char **fields;           /* keep, remove */
    uint32_t field_count;
    struct {
        int64_t time_ms;
        uint32_t count;            /* 0: not given */
        struct config_expr id;
    } dedup;
    const char *symbol;            /* plugin */
    const char *object;            /* plugin: `path` of the shared object it is in; NULL: the program has it */
    struct config_place symbol_place;
    const char **command;          /* exec: the program and its arguments; ends with NULL */
    uint32_t command_count;        /* without it */
    enum config_protocol protocol;
    struct config_call call;
    struct config_manners manners; /* of kinds that wait: plugin, exec, call */
};

struct config_sink {
    enum config_sink_kind kind;
    struct config_place place;
    const char *name;              /* "sink" */
    const char *path;              /* sqlite, file */
    const char *table;
    struct config_named_expr *columns;   /* NULL with column_count 0 only where the kind has none */
    uint32_t column_count;
    const char **key;              /* sqlite: names among the columns */
    uint32_t key_count;
    enum config_sqlite_mode mode;
    const char *topic;             /* topic */
    struct config_expr topic_key;  /* topic: `key:`; not given: the event's own */
};

/* A pipeline, or a branch of one: each is a consumer with a cursor, a ledger and a sink of its own. One whose events go on into
 * branches has stages, but runs them only where its sink is the topic that its branches read; else each branch runs them. */
struct config_pipeline {
    const char *name;              /* of a branch: PIPELINE.BRANCH */
    struct config_place place;
    const char *description, *owner;
    struct config_source source;   /* of a branch: the topic it reads */
    struct config_stage *stages;
    uint32_t stage_count;
    uint32_t shared_stage_count;   /* of them, in front: those of the pipelines it is a branch of, and choices */
    struct config_sink sink;
    struct config_manners manners; /* the sink's */
    struct config_expr condition;  /* of a branch: `if` */
    const struct config_pipeline *parent; /* whose branch it is; NULL: nobody's */
    const char *branch;            /* its name as written */
    enum config_fan fan;           /* it has branches */
    struct config_pipeline *fanout, *route; /* as written; in the configuration they are pipelines of the list */
    uint32_t fanout_count, route_count;
    const char *dead_letter;       /* default NAME.dead */
    const char *dedup_topic;       /* NAME.dedup; NULL: it remembers no ids */
    enum config_order order;
    int64_t expires_ms;            /* 0: never */
    enum config_guarantee guarantee;
    enum config_start start;
    const char *was;               /* NULL: not renamed */
};

enum config_retention_kind { CONFIG_RETAIN_DEFAULT, CONFIG_RETAIN_DONE, CONFIG_RETAIN_LIMITS, CONFIG_RETAIN_FOREVER };
enum config_cleanup { CONFIG_CLEANUP_DEFAULT, CONFIG_CLEANUP_DELETE, CONFIG_CLEANUP_COMPACT };
enum config_durability_kind { CONFIG_DURABILITY_DEFAULT, CONFIG_DURABILITY_FSYNC, CONFIG_DURABILITY_INTERVAL };

struct config_retention {
    enum config_retention_kind kind;
    int64_t time_ms;               /* CONFIG_RETAIN_LIMITS: 0: no such limit */
    uint64_t size;                 /* the same */
};

struct config_durability {
    enum config_durability_kind kind;
    int64_t interval_ms;
};

struct config_topic {
    const char *name;
    struct config_place place;
    struct config_place partitions_place, retention_place, cleanup_place; /* line 0: not written */
    uint32_t partitions;           /* 0: not given */
    bool move_keys;
    struct config_retention retention;
    enum config_cleanup cleanup;
    struct config_durability durability;
    uint64_t record_size_max;      /* 0: not given */
};

/* What a topic is in a file: its defaults follow from it. */
enum config_topic_role {
    CONFIG_TOPIC_OTHER,            /* named in `topics`, or written to by a topic sink */
    CONFIG_TOPIC_SOURCE,           /* filled by the source of a pipeline with a sink or branches */
    CONFIG_TOPIC_OUT,              /* what a pipeline hands its branches */
    CONFIG_TOPIC_DEAD,             /* dead letters */
    CONFIG_TOPIC_DEDUP,            /* ids that a pipeline remembers */
};

struct config_disk {
    uint64_t size;                 /* 0: not given */
    uint32_t percent;              /* of the disk that `data` lies on; 0: not given */
};

enum config_reject { CONFIG_POOL_BLOCK, CONFIG_POOL_REJECT, CONFIG_POOL_DROP_NEWEST, CONFIG_POOL_DROP_OLDEST,
                     CONFIG_POOL_CALLER_RUNS }; /* as in flow/pool.h */
struct config_pool { /* threads for what blocks */
    const char *name;
    struct config_place place;
    uint32_t core, max, queue;
    int64_t idle_ms;
    enum config_reject reject;
};

struct config {
    const char *file;              /* as given */
    const char *folder;            /* its folder */
    const char *data;              /* node.data, default ./data beside the file */
    struct config_manners manners; /* `defaults`, as they were written */
    uint64_t memory_size;          /* node.memory, default 64 MiB */
    struct config_place memory_place; /* the top of the file where it is not written */
    struct config_disk disk;
    struct config_topic *topics;
    uint32_t topic_count;
    struct config_pool *pools;
    uint32_t pool_count;
    struct config_pipeline *pipelines; /* and branches, each behind what it is a branch of */
    uint32_t pipeline_count;
    struct arena *arena_;
};

struct config_message {
    struct config_place place;
    bool warning;
    const char *text;              /* "unknown stage 'filtr'; did you mean 'filter'?" */
};
struct config_messages {
    struct config_message *list;   /* in order of place */
    uint32_t count, error_count, warning_count;
    struct arena *arena_;
};

/* Reads, checks (expressions compiled, claims weighed) and gives a config when there is no error. `ret_messages` is always
 * given. NEAP_NOTFOUND/DENIED/IO when the file cannot be read (in `err`), NEAP_BADINPUT when it has errors. */
enum neap_status config_load(struct io *io, const char *file, struct config **ret_config,
                             struct config_messages **ret_messages, struct error *err);
/* The same of text in memory: for tests and fuzzing. `file` is a name for messages. */
enum neap_status config_parse(struct io *io, const char *file, struct bytes text, struct config **ret_config,
                              struct config_messages **ret_messages, struct error *err);
void             config_free(struct config **config);
void             config_messages_free(struct config_messages **messages);
/* The stage that remembers ids, of those that the pipeline runs; NULL: none. */
const struct config_stage *config_dedup(const struct config_pipeline *pipeline);
uint32_t         config_stage_count(const struct config *config);  /* as written: of branches their own */
uint32_t         config_branch_count(const struct config *config); /* of pipeline_count */
/* The pipeline's branches read what its source fills, or its topic PIPELINE.out. */
const char      *config_fan_topic(const struct config_pipeline *pipeline);
bool             config_is_inline(enum config_stage_kind kind); /* sees one event at a time, and waits for nobody */
/* Its events have no keys: the source that fills its topic gives them none. */
bool             config_is_keyless(const struct config_pipeline *pipeline);
const struct config_pool  *config_pool_find(const struct config *config, const char *name); /* NULL: there is none */
const struct config_topic *config_topic_find(const struct config *config, const char *name); /* NULL: not in `topics` */
enum config_topic_role     config_topic_role(const struct config *config, const char *name);

/* What the manners of a stage come to, in words: "2s for an attempt, 32 at once"; "" where its kind keeps none. */
void config_manners_text(const struct config_stage *stage, char *room, size_t size);

/* The grammar's one table of keys, as a JSON Schema (2020-12) and as the reference in Markdown. */
void config_write_schema(void (*write)(void *ctx, struct bytes text), void *ctx);
void config_write_reference(void (*write)(void *ctx, struct bytes text), void *ctx);

#endif
