/* keys.c - the one table of keys. Its order is the order of the reference. */
#include "config/keys.h"
#include "base/must.h"
#include "config/config.h"
#include "config/limits.h"
#include "flow/breaker.h"
#include "flow/pool.h"

/* clang-format off: a table */

#define MEMBER(type, member)       .at = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define ARRAY(type, member, count) MEMBER(type, member), .count_at = offsetof(struct type, count)

/* The manners, as rows of a scope whose struct has `manners`: a kind has those that it can keep, pipelines and `defaults` all of
 * them. What they are is told once, in the section on manners. */
#define MANNER_TIMEOUT(scope, type)                                                                 \
    {                                                                                               \
        scope, "timeout", KEY_DURATION, MEMBER(type, manners.timeout_ms),                           \
            .least = 1, .most = CONFIG_TIMEOUT_MS_MAX, .absent = "`30s`",                           \
            .doc = "For one attempt, from its begin to its whole answer.", .example = "timeout: 2s" \
    }
#define MANNER_CONCURRENCY(scope, type)                                                                               \
    {                                                                                                                 \
        scope, "concurrency", KEY_COUNTS, MEMBER(type, manners.concurrency),                                          \
            .least = 1, .most = CONFIG_CONCURRENCY_MAX, .absent = "`32`",                                             \
            .doc =                                                                                                    \
                "So many events at once, of different keys. A range adapts itself to what the destination can take.", \
            .example = "concurrency: 8..256"                                                                          \
    }
#define MANNER_POOL(scope, type)                                                                           \
    {                                                                                                      \
        scope, "pool", KEY_NAME, MEMBER(type, manners.pool),                                               \
            .absent = "threads of its own", .doc = "One of `pools`, whose threads it shares with others.", \
            .example = "pool: scorers"                                                                     \
    }
#define MANNER_LIMIT(scope, type)                                                                    \
    {                                                                                                \
        scope, "limit", KEY_BLOCK, MEMBER(type, manners.limit),                                      \
            .of = IN_LIMIT, .bare = "rate", .absent = "no limit",                                    \
            .doc = "No more calls than so many in a time, evenly spaced.", .example = "limit: 500/s" \
    }
#define MANNER_RETRY(scope, type, retry_scope)                                                                 \
    {                                                                                                          \
        scope, "retry", KEY_BLOCK, MEMBER(type, manners.retry),                                                \
            .of = retry_scope, .absent = "as each of its keys says",                                           \
            .doc = "What is tried again, how often, and after which waits.", .example = "retry: {attempts: 3}" \
    }
#define MANNER_BREAKER(scope, type)                                                     \
    {                                                                                   \
        scope, "breaker", KEY_BLOCK, MEMBER(type, manners.breaker),                     \
            .of = IN_BREAKER, .absent = "as each of its keys says",                     \
            .doc = "When a destination is left alone, and when it is looked at again.", \
            .example = "breaker: {failure_rate: 50%, slow_call: 2s}"                    \
    }

const struct scope_info scopes[SCOPE_COUNT] = {
    [IN_FILE] = { "file", "a pipeline file", "The file",
                  "A map. Keys that begin with `x-` are ignored: anchors can live there.", sizeof(struct config),
                  NO_MEMBER, NO_MEMBER },
    [IN_NODE] = { "node", "node", "node", "The place this file runs in.", sizeof(struct config), NO_MEMBER, NO_MEMBER },
    [IN_TOPIC] = { "topic", "a topic", "topics",
                   "Settings of a topic, by its name. One that is not there is made with them; of one that is there, "
                   "what is "
                   "written here is changed to what it says, and what is not written stays as it is.",
                   sizeof(struct config_topic), offsetof(struct config_topic, name),
                   offsetof(struct config_topic, place) },
    [IN_POOL] = { "pool", "a pool", "pools",
                  "Threads for what blocks: calls of plugins. A plugin has threads of its own, up to its "
                  "`concurrency`, unless "
                  "`pool` names one of these, which it then shares with others that do: one bulkhead for what leans on "
                  "the "
                  "same thing.",
                  sizeof(struct config_pool), offsetof(struct config_pool, name), offsetof(struct config_pool, place) },
    [IN_RETENTION] = { "retention", "retention", NULL, NULL, sizeof(struct config_retention), NO_MEMBER, NO_MEMBER },
    [IN_DURABILITY] = { "durability", "durability", NULL, NULL, sizeof(struct config_durability), NO_MEMBER,
                        NO_MEMBER },
    [IN_PIPELINE] = { "pipeline", "a pipeline", "pipelines",
                      "A pipeline's name is its identity: it reads as the consumer group of that name. A renamed one "
                      "starts anew unless "
                      "`was` carries its position over.",
                      sizeof(struct config_pipeline), offsetof(struct config_pipeline, name),
                      offsetof(struct config_pipeline, place) },
    [IN_BRANCH] = { "branch", "a branch", "fanout and route",
                    "A pipeline ends in a `sink`, or in branches: `fanout` gives each event to every branch whose `if` "
                    "holds, `route` to the first one. Each branch is a consumer of its own, called PIPELINE.BRANCH in "
                    "figures, groups and dead letters: it has its own position, its own ledger and its own sink, and "
                    "one "
                    "that stands still holds nobody up but itself.",
                    sizeof(struct config_pipeline), NO_MEMBER, offsetof(struct config_pipeline, place) },
    [IN_SOURCE] = { "source", "a source", "source",
                    "Where events come from: exactly one of the kinds below, and beside it what every source can have.",
                    sizeof(struct config_source), NO_MEMBER, offsetof(struct config_source, place) },
    [IN_SOURCE_FILE] = { "source-file", "a file source", NULL, NULL, sizeof(struct config_source), NO_MEMBER,
                         NO_MEMBER },
    [IN_SOURCE_STDIN] = { "source-stdin", "stdin", NULL, NULL, sizeof(struct config_source), NO_MEMBER, NO_MEMBER },
    [IN_STAGE] = { "stage", "a stage", "stages",
                   "What happens to an event on its way, in order: each stage is exactly one of the kinds below, and "
                   "beside it what every "
                   "stage can have.",
                   sizeof(struct config_stage), NO_MEMBER, offsetof(struct config_stage, place) },
    [IN_STAGE_DEDUP] = { "stage-dedup", "a dedup stage", NULL, NULL, sizeof(struct config_stage), NO_MEMBER,
                         NO_MEMBER },
    [IN_STAGE_PLUGIN] = { "stage-plugin", "a plugin stage", NULL, NULL, sizeof(struct config_stage), NO_MEMBER,
                          NO_MEMBER },
    [IN_STAGE_EXEC] = { "stage-exec", "an exec stage", NULL, NULL, sizeof(struct config_stage), NO_MEMBER, NO_MEMBER },
    [IN_STAGE_CALL] = { "stage-call", "a call", NULL, NULL, sizeof(struct config_stage), NO_MEMBER, NO_MEMBER },
    [IN_CACHE] = { "cache", "a cache", NULL, NULL, sizeof(struct config_cache), NO_MEMBER, NO_MEMBER },
    [IN_SINK] = { "sink", "a sink", "sink", "Where events go: exactly one of these kinds.", sizeof(struct config_sink),
                  NO_MEMBER, offsetof(struct config_sink, place) },
    [IN_SINK_SQLITE] = { "sink-sqlite", "a sqlite sink", NULL, NULL, sizeof(struct config_sink), NO_MEMBER, NO_MEMBER },
    [IN_SINK_FILE] = { "sink-file", "a file sink", NULL, NULL, sizeof(struct config_sink), NO_MEMBER, NO_MEMBER },
    [IN_SINK_STDOUT] = { "sink-stdout", "stdout", NULL, NULL, sizeof(struct config_sink), NO_MEMBER, NO_MEMBER },
    [IN_SINK_TOPIC] = { "sink-topic", "a topic sink", NULL, NULL, sizeof(struct config_sink), NO_MEMBER, NO_MEMBER },
    [IN_DEFAULTS] = { "defaults", "defaults", "Manners",
                      "How to treat what is outside: how long to wait for it, how much to ask of it at once, what to "
                      "do when it "
                      "fails. They "
                      "stand in three places: inside a stage that waits, at its pipeline, and in `defaults` at the top "
                      "of the "
                      "file, for all "
                      "pipelines. The nearest wins, field by field: `retry: {attempts: 3}` in a stage leaves the "
                      "`backoff` of its "
                      "pipeline as it is. "
                      "`limit` is one field.",
                      sizeof(struct config), NO_MEMBER, NO_MEMBER },
    [IN_LIMIT] = { "limit", "a limit", NULL, NULL, sizeof(struct config_limit), NO_MEMBER, NO_MEMBER },
    [IN_RETRY] = { "retry", "retry", NULL, NULL, sizeof(struct config_retry), NO_MEMBER, NO_MEMBER },
    [IN_BREAKER] = { "breaker", "a breaker", NULL, NULL, sizeof(struct config_breaker), NO_MEMBER, NO_MEMBER },
};

const struct key keys[] = {
    /* ---- the file ---- */
    { IN_FILE, "pipelines", KEY_NAMED, .required = true, ARRAY(config, pipelines, pipeline_count), .of = IN_PIPELINE,
      .most = CONFIG_PIPELINE_COUNT_MAX, .doc = "The pipelines, by name.",
      .example = "pipelines: {orders: {source: {file: orders.ndjson}}}" },
    { IN_FILE, "node", KEY_BLOCK, .at = 0, .of = IN_NODE, .doc = "The place this file runs in.",
      .example = "node: {data: ./data, memory: 64MiB}" },
    { IN_FILE, "topics", KEY_NAMED, ARRAY(config, topics, topic_count), .of = IN_TOPIC, .most = CONFIG_TOPIC_COUNT_MAX,
      .doc = "Settings of topics, by name.", .example = "topics: {orders: {partitions: 4, retention: 7d}}" },
    { IN_FILE, "defaults", KEY_BLOCK, .at = 0, .of = IN_DEFAULTS,
      .doc = "Manners of all pipelines, see [Manners](#manners).",
      .example = "defaults: {timeout: 5s, retry: {attempts: 3}}" },
    { IN_FILE, "pools", KEY_NAMED, ARRAY(config, pools, pool_count), .of = IN_POOL, .most = CONFIG_POOL_COUNT_MAX,
      .doc = "Threads for what blocks, by name, see [Pools](#pools).", .example = "pools: {scorers: {max: 8}}" },
    { IN_FILE, "neap", KEY_COUNT, .at = NO_MEMBER, .least = 1, .most = 1, .absent = "the newest",
      .doc = "Version of this grammar.", .example = "neap: 1" },

    { IN_NODE, "data", KEY_PATH, MEMBER(config, data), .fallback = "./data",
      .doc = "Directory of everything that must survive. One process at a time holds it.",
      .example = "data: /var/lib/neap" },
    { IN_NODE, "memory", KEY_SIZE, MEMBER(config, memory_size), .fallback = "64MiB", .least = CONFIG_MEMORY_SIZE_MIN,
      .most = CONFIG_MEMORY_SIZE_MAX,
      .doc =
          "Bound of all buffers together: at least 24MiB, more with more pipelines, partitions and larger events. "
          "`neap check` says how much a file needs. The largest event that a pipeline works on goes by it, where no "
          "`max_record` asks for more: 256KiB, 341KiB at 32MiB, 682KiB at 48MiB, 1MiB from 64MiB on, and less where a "
          "plugin takes its part first. A larger one becomes a dead letter, `too_large`. Beside it, while a compacted "
          "topic "
          "is cleaned, three times its largest batch, unpacked.",
      .example = "memory: 256MiB" },

    { IN_NODE, "disk", KEY_DISK, MEMBER(config, disk), .least = CONFIG_DISK_SIZE_MIN, .most = CONFIG_DISK_SIZE_MAX,
      .absent = "90 % of what is free",
      .doc = "Bound of all files in `data` together: a size, at least " CONFIG_DISK_SIZE_MIN_TEXT
             ", or a share of the disk. The last 8 % is for pipelines, the last 2 % for cleaning up: producers are "
             "refused before it is full. Set below what is used, it refuses producers until pipelines have done enough "
             "of it. The directory remembers it for verbs that are given no file. Journal files take 256GiB of it at "
             "most.",
      .example = "disk: 50%" },

    { IN_TOPIC, "partitions", KEY_COUNT, MEMBER(config_topic, partitions), .least = 1,
      .most = TOPIC_PARTITION_COUNT_MAX, .absent = "1",
      .doc = "Events of one key lie in one partition, in order. There can be more of them later, see `move_keys`; "
             "fewer never.",
      .example = "partitions: 4" },
    { IN_TOPIC, "move_keys", KEY_BOOL, MEMBER(config_topic, move_keys), .fallback = "false",
      .doc = "Consent: with more `partitions` than before, most keys move to another partition, and events of one key "
             "are in order before the change and after it, but not across. Asked for where the topic has events with "
             "keys.",
      .example = "move_keys: true" },
    { IN_TOPIC, "retention", KEY_RETENTION, MEMBER(config_topic, retention), .of = IN_RETENTION,
      .absent = "`done` where a pipeline's source fills it; `forever` for dead letters and with `cleanup: compact`; "
                "else `7d`",
      .doc = "How long events stay: until each pipeline that reads them is `done` with them, for a time, up to a size, "
             "or `forever`. Whatever it says, what a pipeline still has to process is never freed.",
      .example = "retention: {time: 7d, size: 100GiB}" },
    { IN_RETENTION, "time", KEY_DURATION, MEMBER(config_retention, time_ms), .least = CONFIG_RETENTION_MS_MIN,
      .most = CONFIG_RETENTION_MS_MAX, .absent = "no such limit", .doc = "Since they came in.", .example = "time: 7d" },
    { IN_RETENTION, "size", KEY_SIZE, MEMBER(config_retention, size), .least = CONFIG_RETENTION_SIZE_MIN,
      .most = CONFIG_DISK_SIZE_MAX, .absent = "no such limit", .doc = "Of one partition, as in Kafka.",
      .example = "size: 100GiB" },
    { IN_TOPIC, "cleanup", KEY_CHOICE, MEMBER(config_topic, cleanup), .choices = "delete|compact",
      .first = CONFIG_CLEANUP_DELETE, .absent = "`delete`",
      .doc = "What is past its retention is deleted; with `compact` also every event that has a later one of its key.",
      .example = "cleanup: compact" },
    { IN_TOPIC, "durability", KEY_DURABILITY, MEMBER(config_topic, durability), .of = IN_DURABILITY,
      .absent = "`fsync`",
      .doc = "When a producer is answered: `fsync`, after its events are synced to disk; `interval`, when "
             "they are written, and a sync begins within 50ms: a power cut or a failing disk can take what was "
             "acknowledged "
             "since, a killed process cannot. What pipelines and consumers read is synced in both.",
      .example = "durability: {interval: 50ms}" },
    { IN_DURABILITY, "interval", KEY_DURATION, MEMBER(config_durability, interval_ms), .least = 1,
      .most = CONFIG_INTERVAL_MS_MAX, .required = true, .doc = "Synced within this time.",
      .example = "interval: 50ms" },
    { IN_TOPIC, "max_record", KEY_SIZE, MEMBER(config_topic, record_size_max), .least = CONFIG_RECORD_SIZE_MIN,
      .most = RECORD_SIZE_TOP, .absent = "`1MiB`",
      .doc = "The largest event, with key and headers, that is let in; at most 3MiB, and 1/16 of `node.memory`. "
             "Pipelines of "
             "the file work on events of what is written here, for which they need fifteen times as much of `memory` "
             "(3MiB: "
             "some 84MiB in all, `neap check` says it); where nothing is, `memory` says what they work on.",
      .example = "max_record: 256KiB" },

    /* ---- a pool ---- */
    { IN_POOL, "core", KEY_COUNT, MEMBER(config_pool, core), .fallback = "0", .most = POOL_THREAD_COUNT_MAX,
      .doc = "So many threads stay when there is nothing to do.", .example = "core: 2" },
    { IN_POOL, "max", KEY_COUNT, MEMBER(config_pool, max), .fallback = "32", .least = 1, .most = POOL_THREAD_COUNT_MAX,
      .doc = "So many there are at most. There is a thread more before anything has to wait.", .example = "max: 8" },
    { IN_POOL, "idle", KEY_DURATION, MEMBER(config_pool, idle_ms), .fallback = "60s", .least = 1,
      .most = CONFIG_TIMEOUT_MS_MAX, .doc = "One beyond `core` that has had nothing to do for so long ends.",
      .example = "idle: 10s" },
    { IN_POOL, "queue", KEY_COUNT, MEMBER(config_pool, queue), .fallback = "0", .most = POOL_QUEUE_COUNT_MAX,
      .doc = "So many calls wait for a thread, in the order in which they came.", .example = "queue: 100" },
    { IN_POOL, "reject", KEY_CHOICE, MEMBER(config_pool, reject), .choices = POOL_REJECT_WORDS, .fallback = "block",
      .doc = "What becomes of a call for which there is neither a thread nor a place in the queue. `block`: its event "
             "waits; "
             "`reject`: that was an attempt, reason `rejected`; `drop_newest`: its event is filtered, and logged; "
             "`drop_oldest`: that of the call that has waited longest is, and it takes its place; `caller_runs`: it is "
             "run by what does everything else of the node, which waits for it.",
      .example = "reject: drop_oldest" },

    /* ---- a pipeline ---- */
    { IN_PIPELINE, "source", KEY_BLOCK, .required = true, MEMBER(config_pipeline, source), .of = IN_SOURCE,
      .doc = "Where its events come from.", .example = "source: {file: orders.ndjson, key: event.customer}" },
    { IN_PIPELINE, "stages", KEY_LIST, ARRAY(config_pipeline, stages, stage_count), .of = IN_STAGE,
      .most = CONFIG_STAGE_COUNT_MAX, .absent = "none", .doc = "What happens to them, in order.",
      .example = "stages: [filter: event.total > 0]" },
    { IN_PIPELINE, "sink", KEY_BLOCK, MEMBER(config_pipeline, sink), .of = IN_SINK,
      .absent = "events stay in their topic", .doc = "Where they go.", .example = "sink: {file: out.ndjson}" },
    { IN_PIPELINE, "fanout", KEY_LIST, ARRAY(config_pipeline, fanout, fanout_count), .of = IN_BRANCH,
      .most = CONFIG_BRANCH_COUNT_MAX, .absent = "no branches",
      .doc = "Instead of `sink`: each event goes to every branch whose `if` holds.",
      .example = "fanout: [{name: archive, sink: {file: all.ndjson}}]" },
    { IN_PIPELINE, "route", KEY_LIST, ARRAY(config_pipeline, route, route_count), .of = IN_BRANCH,
      .most = CONFIG_BRANCH_COUNT_MAX, .absent = "no branches",
      .doc =
          "Instead of `sink`: each event goes to the first branch whose `if` holds. A last one without `if` takes the "
          "rest; where there is none, what no branch takes is filtered.",
      .example = "route: [{name: rest, sink: {file: rest.ndjson}}]" },
    { IN_PIPELINE, "description", KEY_TEXT, MEMBER(config_pipeline, description), .doc = "For people.",
      .example = "description: Paid orders, for the accountants" },
    { IN_PIPELINE, "owner", KEY_TEXT, MEMBER(config_pipeline, owner), .doc = "Who to ask.",
      .example = "owner: payments" },
    { IN_PIPELINE, "order", KEY_CHOICE, MEMBER(config_pipeline, order), .choices = "key|partition|none",
      .fallback = "key",
      .doc = "Events of one `key`, or of one partition, or none at all, keep the order they came in.",
      .example = "order: partition" },
    { IN_PIPELINE, "expires", KEY_DURATION, MEMBER(config_pipeline, expires_ms), .least = 1000,
      .most = CONFIG_RETENTION_MS_MAX, .absent = "never",
      .doc = "An event that is not done with in this time since it came in gives up: a dead letter, reason `expired`. "
             "No attempt "
             "begins later; one that is at work is not ended. To the second.",
      .example = "expires: 1h" },
    { IN_PIPELINE, "guarantee", KEY_CHOICE, MEMBER(config_pipeline, guarantee), .choices = "exactly_once|at_least_once",
      .first = CONFIG_EXACTLY_ONCE, .absent = "the most its sink can hold",
      .doc = "A claim: refused where the sink cannot hold it.", .example = "guarantee: exactly_once" },
    { IN_PIPELINE, "dead_letter", KEY_NAME, MEMBER(config_pipeline, dead_letter), .absent = "NAME.dead",
      .doc = "Topic for events that gave up, each with its reason. It is made, and known as such, when the file is "
             "first run.",
      .example = "dead_letter: orders.dead" },
    { IN_PIPELINE, "was", KEY_NAME, MEMBER(config_pipeline, was),
      .doc = "The former name of a renamed pipeline: its position is carried over.", .example = "was: old-orders" },
    { IN_PIPELINE, "start", KEY_CHOICE, MEMBER(config_pipeline, start), .choices = "sink|earliest|committed",
      .first = CONFIG_START_SINK, .absent = "both must agree",
      .doc = "Settles a disagreement between the position in the sink and the one in `data`: the sink's word, the "
             "beginning, or "
             "the word of `data`.",
      .example = "start: sink" },
    MANNER_TIMEOUT(IN_PIPELINE, config_pipeline),
    MANNER_CONCURRENCY(IN_PIPELINE, config_pipeline),
    MANNER_POOL(IN_PIPELINE, config_pipeline),
    MANNER_LIMIT(IN_PIPELINE, config_pipeline),
    MANNER_RETRY(IN_PIPELINE, config_pipeline, IN_RETRY),
    MANNER_BREAKER(IN_PIPELINE, config_pipeline),

    /* ---- branches ---- */
    { IN_BRANCH, "name", KEY_NAME, .required = true, MEMBER(config_pipeline, name),
      .doc = "Its name, after the pipeline's: PIPELINE.BRANCH is the consumer group it reads as.",
      .example = "name: archive" },
    { IN_BRANCH, "if", KEY_EXPR, MEMBER(config_pipeline, condition), .what = "if", .absent = "always",
      .doc = "Which events it takes; the others count as filtered in its ledger.",
      .example = "if: event.total > 10000" },
    { IN_BRANCH, "stages", KEY_LIST, ARRAY(config_pipeline, stages, stage_count), .of = IN_STAGE,
      .most = CONFIG_STAGE_COUNT_MAX, .absent = "none", .doc = "What happens to them in this branch.",
      .example = "stages: [remove: [iban]]" },
    { IN_BRANCH, "sink", KEY_BLOCK, MEMBER(config_pipeline, sink), .of = IN_SINK, .absent = "branches of its own",
      .doc = "Where they go.", .example = "sink: {file: out.ndjson}" },
    { IN_BRANCH, "fanout", KEY_LIST, ARRAY(config_pipeline, fanout, fanout_count), .of = IN_BRANCH,
      .most = CONFIG_BRANCH_COUNT_MAX, .absent = "no branches", .doc = "Instead of `sink`: branches of the branch.",
      .example = "fanout: [{name: archive, sink: {file: all.ndjson}}]" },
    { IN_BRANCH, "route", KEY_LIST, ARRAY(config_pipeline, route, route_count), .of = IN_BRANCH,
      .most = CONFIG_BRANCH_COUNT_MAX, .absent = "no branches", .doc = "The same, of which the first takes the event.",
      .example = "route: [{name: rest, sink: {file: rest.ndjson}}]" },
    { IN_BRANCH, "expires", KEY_DURATION, MEMBER(config_pipeline, expires_ms), .least = 1000,
      .most = CONFIG_RETENTION_MS_MAX, .absent = "the pipeline's",
      .doc = "An event that is not done with in this time since it came into the topic that the branch reads gives up.",
      .example = "expires: 1h" },
    { IN_BRANCH, "description", KEY_TEXT, MEMBER(config_pipeline, description), .doc = "For people.",
      .example = "description: What auditors ask for" },
    { IN_BRANCH, "owner", KEY_TEXT, MEMBER(config_pipeline, owner), .absent = "the pipeline's", .doc = "Who to ask.",
      .example = "owner: audit" },
    { IN_BRANCH, "order", KEY_CHOICE, MEMBER(config_pipeline, order), .choices = "key|partition|none",
      .absent = "the pipeline's", .doc = "As of a pipeline.", .example = "order: none" },
    { IN_BRANCH, "guarantee", KEY_CHOICE, MEMBER(config_pipeline, guarantee), .choices = "exactly_once|at_least_once",
      .first = CONFIG_EXACTLY_ONCE, .absent = "the pipeline's claim; without one the most its sink can hold",
      .doc = "A claim: refused where its sink cannot hold it.", .example = "guarantee: exactly_once" },
    { IN_BRANCH, "dead_letter", KEY_NAME, MEMBER(config_pipeline, dead_letter), .absent = "the pipeline's",
      .doc = "Topic for events that gave up in this branch; each letter names the branch.",
      .example = "dead_letter: archive.dead" },
    { IN_BRANCH, "was", KEY_NAME, MEMBER(config_pipeline, was),
      .absent = "of a renamed pipeline: the branch's name behind that one",
      .doc = "Its former name, PIPELINE.BRANCH: its position is carried over.", .example = "was: orders.copy" },
    { IN_BRANCH, "start", KEY_CHOICE, MEMBER(config_pipeline, start), .choices = "sink|earliest|committed",
      .first = CONFIG_START_SINK, .absent = "the pipeline's; without one a new branch begins where the pipeline is",
      .doc = "As of a pipeline. With `earliest` a new branch begins at the first event that is kept.",
      .example = "start: earliest" },
    MANNER_TIMEOUT(IN_BRANCH, config_pipeline),
    MANNER_CONCURRENCY(IN_BRANCH, config_pipeline),
    MANNER_POOL(IN_BRANCH, config_pipeline),
    MANNER_LIMIT(IN_BRANCH, config_pipeline),
    MANNER_RETRY(IN_BRANCH, config_pipeline, IN_RETRY),
    MANNER_BREAKER(IN_BRANCH, config_pipeline),

    /* ---- sources ---- */
    { IN_SOURCE, "file", KEY_BLOCK, .kind = true, .first = CONFIG_SOURCE_FILE, .of = IN_SOURCE_FILE, .bare = "path",
      .doc = "A file, one JSON value per line.", .example = "file: {path: orders.ndjson, follow: true}" },
    { IN_SOURCE_FILE, "path", KEY_PATH, .required = true, MEMBER(config_source, path), .doc = "The file.",
      .example = "path: orders.ndjson" },
    { IN_SOURCE_FILE, "follow", KEY_BOOL, MEMBER(config_source, follow), .fallback = "false",
      .doc = "At its end wait for more, through rotation and truncation.", .example = "follow: true" },
    { IN_SOURCE, "stdin", KEY_BLOCK, .kind = true, .first = CONFIG_SOURCE_STDIN, .of = IN_SOURCE_STDIN,
      .doc = "Standard input, one JSON value per line. One pipeline of a file can read it.", .example = "stdin: {}" },
    { IN_SOURCE, "topic", KEY_NAME, .kind = true, .first = CONFIG_SOURCE_TOPIC, MEMBER(config_source, topic),
      .doc = "A topic. Its events have their keys already.", .example = "topic: orders" },
    { IN_SOURCE, "key", KEY_EXPR, MEMBER(config_source, key), .what = "source key", .absent = "no key",
      .doc = "What belongs together: events of one key stay in order.", .example = "key: event.customer" },
    { IN_SOURCE, "id", KEY_EXPR, MEMBER(config_source, id), .what = "source id", .absent = "no id",
      .doc = "What tells this event from all others. Without a `key` it spreads events over partitions.",
      .example = "id: event.order_id" },
    { IN_SOURCE, "time", KEY_EXPR, MEMBER(config_source, time), .what = "source time", .absent = "when it was read",
      .doc = "When it happened: RFC 3339 text or Unix milliseconds.", .example = "time: event.created_at" },
    { IN_SOURCE, "to", KEY_NAME, MEMBER(config_source, topic), .absent = "the pipeline's name",
      .doc = "Topic that what is read becomes durable in. Not beside `topic`.", .example = "to: orders.raw" },

    /* ---- stages ---- */
    { IN_STAGE, "filter", KEY_EXPR, .kind = true, .first = CONFIG_STAGE_FILTER, MEMBER(config_stage, filter),
      .what = "filter", .doc = "Keeps what is true. Only false and nil are false: 0 and \"\" are kept.",
      .example = "filter: event.files > 0" },
    { IN_STAGE, "map", KEY_EXPRS, .kind = true, .first = CONFIG_STAGE_MAP, ARRAY(config_stage, map, map_count),
      .what = "map", .most = CONFIG_FIELD_COUNT_MAX,
      .doc = "Adds or replaces fields, the rest stays. All of one `map` see the event as it came.",
      .example = "map: {churn: event.added + event.removed}" },
    { IN_STAGE, "keep", KEY_FIELDS, .kind = true, .first = CONFIG_STAGE_KEEP, ARRAY(config_stage, fields, field_count),
      .most = CONFIG_FIELD_COUNT_MAX, .doc = "Removes all fields but these.", .example = "keep: [id, total]" },
    { IN_STAGE, "remove", KEY_FIELDS, .kind = true, .first = CONFIG_STAGE_REMOVE,
      ARRAY(config_stage, fields, field_count), .most = CONFIG_FIELD_COUNT_MAX, .doc = "Removes these fields.",
      .example = "remove: [iban]" },
    { IN_STAGE, "lua", KEY_SCRIPT, .kind = true, .first = CONFIG_STAGE_LUA, MEMBER(config_stage, script), .what = "lua",
      .doc = "A script with a function `process(event)`: what it returns goes on in the event's place, nothing, one "
             "table or several.",
      .example = "lua: 'function process(event) return {id = event.id} end'" },
    { IN_STAGE, "dedup", KEY_BLOCK, .kind = true, .first = CONFIG_STAGE_DEDUP, .of = IN_STAGE_DEDUP, .bare = "time",
      .doc =
          "Drops events whose id came before, in the same partition, within a time; they count as duplicates. Ids are "
          "remembered in topic PIPELINE.dedup, so a restart forgets none. At most one in a pipeline, before every "
          "stage "
          "that waits. An event without an id passes, and so does one that is redriven.",
      .example = "dedup: 24h" },
    { IN_STAGE_DEDUP, "time", KEY_DURATION, MEMBER(config_stage, dedup.time_ms), .required = true, .least = 1000,
      .most = CONFIG_DEDUP_MS_MAX, .doc = "How far back; give or take a thousandth.", .example = "time: 24h" },
    { IN_STAGE_DEDUP, "count", KEY_COUNT, MEMBER(config_stage, dedup.count), .least = CONFIG_DEDUP_COUNT_MIN,
      .most = CONFIG_DEDUP_COUNT_MAX, .absent = "as many as a sixteenth of `node.memory` holds, 24 bytes each",
      .doc = "So many ids at most, those of all partitions together: beyond it the oldest are forgotten before their "
             "time, and "
             "that is said.",
      .example = "count: 1000000" },
    { IN_STAGE_DEDUP, "id", KEY_EXPR, MEMBER(config_stage, dedup.id), .what = "dedup id",
      .absent = "the `id` of the source", .doc = "What tells events apart.", .example = "id: event.order_id" },
    { IN_STAGE, "plugin", KEY_BLOCK, .kind = true, .first = CONFIG_STAGE_PLUGIN, .of = IN_STAGE_PLUGIN,
      .doc = "A C function: it keeps, changes, drops or fails each event. It is in a shared object, `path`; or in the "
             "program that Neap is embedded in, and then only such a program can run the file. See "
             "[the library](library.md#a-stage-of-your-own).",
      .example = "plugin: {path: ./score.so, symbol: score, timeout: 2s}" },
    { IN_STAGE_PLUGIN, "symbol", KEY_TEXT, .required = true, MEMBER(config_stage, symbol),
      .doc = "Its name in the shared object, or that it was registered by.", .example = "symbol: score" },
    { IN_STAGE_PLUGIN, "path", KEY_PATH, MEMBER(config_stage, object), .absent = "the program has it",
      .doc = "The shared object, made with `neap/plugin.h`.", .example = "path: ./score.so" },
    { IN_STAGE_PLUGIN, "timeout", KEY_DURATION, MEMBER(config_stage, manners.timeout_ms), .least = 1,
      .most = CONFIG_TIMEOUT_MS_MAX, .absent = "`30s`",
      .doc = "For one event. Past it the call is told so, and the event becomes a dead letter when it comes back.",
      .example = "timeout: 2s" },
    { IN_STAGE_PLUGIN, "concurrency", KEY_COUNTS, MEMBER(config_stage, manners.concurrency), .least = 1,
      .most = CONFIG_CONCURRENCY_MAX, .absent = "`32`",
      .doc = "So many calls at once, of different keys, each on a thread of its own. Of a range, the higher.",
      .example = "concurrency: 8" },
    MANNER_POOL(IN_STAGE_PLUGIN, config_stage),
    { IN_STAGE, "exec", KEY_BLOCK, .kind = true, .first = CONFIG_STAGE_EXEC, .of = IN_STAGE_EXEC, .bare = "command",
      .doc = "A program in any language: children that live long are given one event at a time, in lines of JSON, and "
             "keep, change, drop or fail it. One that crashes costs its event an attempt and is started again. See "
             "[programs](exec.md).",
      .example = "exec: {command: [python3, score.py], concurrency: 4, timeout: 2s}" },
    { IN_STAGE_EXEC, "command", KEY_COMMAND, .required = true, ARRAY(config_stage, command, command_count),
      .most = CONFIG_ARGUMENT_COUNT_MAX,
      .doc = "The program and its arguments, as a list; a text is run by `/bin/sh -c`. It starts in the file's folder.",
      .example = "command: [python3, score.py, --model, small]" },
    { IN_STAGE_EXEC, "protocol", KEY_CHOICE, MEMBER(config_stage, protocol), .choices = "neap|lines",
      .fallback = "neap",
      .doc =
          "`neap`: a line names its event, and so does its answer. `lines`, for plain filters: the event's JSON goes "
          "in, one line comes out and takes its place, an empty one drops it.",
      .example = "protocol: lines" },
    { IN_STAGE_EXEC, "timeout", KEY_DURATION, MEMBER(config_stage, manners.timeout_ms), .least = 1,
      .most = CONFIG_TIMEOUT_MS_MAX, .absent = "`30s`",
      .doc =
          "For one attempt, with the start of a child where it needs one. Past it the child is killed, with all that "
          "it has started, and the event is tried again with another.",
      .example = "timeout: 2s" },
    { IN_STAGE_EXEC, "concurrency", KEY_COUNTS, MEMBER(config_stage, manners.concurrency), .least = 1,
      .most = CONFIG_CHILD_COUNT_MAX, .absent = "`4`",
      .doc = "So many children at most, of different keys each with one event. A range adapts itself to how they do.",
      .example = "concurrency: 8" },
    MANNER_RETRY(IN_STAGE_EXEC, config_stage, IN_RETRY),
    MANNER_BREAKER(IN_STAGE_EXEC, config_stage),
    { IN_STAGE, "call", KEY_BLOCK, .kind = true, .first = CONFIG_STAGE_CALL, .of = IN_STAGE_CALL, .bare = "url",
      .doc = "Asks a server over HTTP, and puts its answer into the event. See [Calls](#calls).",
      .example = "call: {url: https://risk.example.com/score, into: score}" },
    { IN_STAGE_CALL, "url", KEY_TEXT_OR_EXPR, .required = true, MEMBER(config_stage, call.url), .what = "url",
      .doc = "Whom to ask: http or https. `{expr: EXPR}` takes it out of the event.",
      .example = "url: https://risk.example.com/score" },
    { IN_STAGE_CALL, "method", KEY_CHOICE, MEMBER(config_stage, call.method), .choices = "POST|PUT|PATCH|GET|DELETE",
      .first = CONFIG_POST, .fallback = "POST", .doc = "How.", .example = "method: PUT" },
    { IN_STAGE_CALL, "body", KEY_EXPR, MEMBER(config_stage, call.body), .what = "body",
      .absent = "the event; nothing with GET and DELETE", .doc = "What is sent, as JSON; nothing where it is nil.",
      .example = "body: '{card = event.card, total = event.total}'" },
    { IN_STAGE_CALL, "headers", KEY_HEADERS, ARRAY(config_stage, call.headers, call.header_count), .what = "header",
      .most = CONFIG_HEADER_COUNT_MAX, .absent = "`Content-Type: application/json`, `Idempotency-Key`",
      .doc = "Headers by name, each a text or `{expr: EXPR}`; nil leaves one out.",
      .example = "headers: {Authorization: 'Bearer ${TOKEN:-none}', X-Region: {expr: event.region}}" },
    { IN_STAGE_CALL, "into", KEY_TEXT, MEMBER(config_stage, call.into), .absent = "the answer is read and dropped",
      .doc = "The field that the answer's JSON becomes.", .example = "into: score" },
    MANNER_TIMEOUT(IN_STAGE_CALL, config_stage),
    MANNER_CONCURRENCY(IN_STAGE_CALL, config_stage),
    MANNER_LIMIT(IN_STAGE_CALL, config_stage),
    MANNER_RETRY(IN_STAGE_CALL, config_stage, IN_RETRY),
    MANNER_BREAKER(IN_STAGE_CALL, config_stage),
    { IN_STAGE_CALL, "cache", KEY_BLOCK, MEMBER(config_stage, call.cache), .of = IN_CACHE, .absent = "none",
      .doc = "Answers that are given again. What many events ask for at one time is asked for once.",
      .example = "cache: {by: event.card, age: 5m, size: 1MiB, stale: 1h}" },
    { IN_CACHE, "by", KEY_EXPR, .required = true, MEMBER(config_cache, by), .what = "cache by",
      .doc = "Events with the same value have the same answer; one where it is nil asks for itself.",
      .example = "by: event.card" },
    { IN_CACHE, "age", KEY_DURATION, .required = true, MEMBER(config_cache, age_ms), .least = 1,
      .most = CONFIG_TIMEOUT_MS_MAX,
      .doc =
          "How long an answer is given at most. Where one is still wanted near its end it is asked for again, beside "
          "those that it is given to.",
      .example = "age: 5m" },
    { IN_CACHE, "size", KEY_SIZE, MEMBER(config_cache, size), .least = CONFIG_CACHE_SIZE_MIN,
      .most = CONFIG_CACHE_SIZE_MAX, .fallback = "1MiB",
      .doc = "Of all answers with their keys, a part of `node.memory`; what was not wanted longest goes first.",
      .example = "size: 1MiB" },
    { IN_CACHE, "stale", KEY_DURATION, MEMBER(config_cache, stale_ms), .least = 1, .most = CONFIG_TIMEOUT_MS_MAX,
      .absent = "none", .doc = "So much longer an answer is given where asking for a new one fails.",
      .example = "stale: 1h" },
    { IN_STAGE_CALL, "fallback", KEY_DATA, MEMBER(config_stage, call.fallback), .absent = "none",
      .doc = "What `into` becomes where the breaker is open, or the last attempt has failed transiently.",
      .example = "fallback: {risk: unknown}" },
    { IN_STAGE_CALL, "allow_private_network", KEY_BOOL, MEMBER(config_stage, call.private_allowed), .fallback = "false",
      .doc = "Whether a `url` out of an event may lead to this machine, to private networks and to the cloud's "
             "metadata. One "
             "that is written here may anyway.",
      .example = "allow_private_network: true" },
    { IN_STAGE, "name", KEY_NAME, MEMBER(config_stage, name), .absent = "its kind; the second one KIND-2",
      .doc = "Its name in figures and dead letters.", .example = "name: paid-only" },
    { IN_STAGE, "if", KEY_EXPR, MEMBER(config_stage, condition), .what = "if", .absent = "always",
      .doc = "Where it is not true, the event passes this stage by.", .example = "if: event.country == \"CH\"" },
    { IN_STAGE, "on_error", KEY_CHOICE, MEMBER(config_stage, continue_on_error), .choices = "dead_letter|continue",
      .fallback = "dead_letter",
      .doc =
          "What a failed expression, plugin or program means: the event gives up, or goes on as it came to this stage.",
      .example = "on_error: continue" },

    /* ---- sinks ---- */
    { IN_SINK, "sqlite", KEY_BLOCK, .kind = true, .first = CONFIG_SINK_SQLITE, .of = IN_SINK_SQLITE,
      .doc = "A table of an SQLite database. Rows and position are one transaction: exactly once.",
      .example = "sqlite: {path: orders.db, table: orders, key: [id], columns: [id, total]}" },
    { IN_SINK_SQLITE, "path", KEY_PATH, .required = true, MEMBER(config_sink, path),
      .doc = "The database file; made when missing.", .example = "path: orders.db" },
    { IN_SINK_SQLITE, "table", KEY_TEXT, .required = true, MEMBER(config_sink, table),
      .doc = "The table; made when missing.", .example = "table: orders" },
    { IN_SINK_SQLITE, "columns", KEY_COLUMNS, .required = true, ARRAY(config_sink, columns, column_count),
      .what = "column", .most = CONFIG_COLUMN_COUNT_MAX,
      .doc = "Each column with its expression; or a list: the fields of those names.",
      .example = "columns: {id: event.id, total: event.total}" },
    { IN_SINK_SQLITE, "key", KEY_FIELDS, ARRAY(config_sink, key, key_count), .most = CONFIG_COLUMN_COUNT_MAX,
      .absent = "none", .doc = "Columns that tell one row from another: the primary key of a table that is made.",
      .example = "key: [id]" },
    { IN_SINK_SQLITE, "mode", KEY_CHOICE, MEMBER(config_sink, mode), .choices = "insert|upsert|ignore",
      .fallback = "insert",
      .doc = "A row whose key is there already: is refused and becomes a dead letter, replaces the old one, or is "
             "passed over.",
      .example = "mode: upsert" },
    { IN_SINK, "file", KEY_BLOCK, .kind = true, .first = CONFIG_SINK_FILE, .of = IN_SINK_FILE, .bare = "path",
      .doc = "A file, one JSON value per line.", .example = "file: out.ndjson" },
    { IN_SINK_FILE, "path", KEY_PATH, .required = true, MEMBER(config_sink, path),
      .doc = "The file; made when missing. One pipeline writes it.", .example = "path: out.ndjson" },
    { IN_SINK, "stdout", KEY_BLOCK, .kind = true, .first = CONFIG_SINK_STDOUT, .of = IN_SINK_STDOUT,
      .doc = "Standard output, one JSON value per line, at least once. One pipeline of a file can write it.",
      .example = "stdout: {}" },
    { IN_SINK, "topic", KEY_BLOCK, .kind = true, .first = CONFIG_SINK_TOPIC, .of = IN_SINK_TOPIC, .bare = "name",
      .doc = "A topic of this node; made when missing.", .example = "topic: {name: orders.large, key: event.country}" },
    { IN_SINK_TOPIC, "name", KEY_NAME, .required = true, MEMBER(config_sink, topic), .doc = "The topic.",
      .example = "name: orders.large" },
    { IN_SINK_TOPIC, "key", KEY_EXPR, MEMBER(config_sink, topic_key), .what = "topic key", .absent = "the event's own",
      .doc = "The key that its events have there.", .example = "key: event.country" },

    /* ---- manners ---- */
    MANNER_TIMEOUT(IN_DEFAULTS, config),
    MANNER_CONCURRENCY(IN_DEFAULTS, config),
    { IN_DEFAULTS, "pool", KEY_NAME, MEMBER(config, manners.pool), .absent = "threads of its own",
      .doc = "One of `pools`, see [Pools](#pools), whose threads it shares with others.", .example = "pool: scorers" },
    MANNER_LIMIT(IN_DEFAULTS, config),
    { IN_LIMIT, "rate", KEY_RATE, .required = true, .at = 0, .size = sizeof(struct config_limit), .least = 1,
      .most = CONFIG_RATE_COUNT_MAX, .doc = "So many in a second (`s`), minute (`m`), hour (`h`) or day (`d`).",
      .example = "rate: 500/s" },
    { IN_LIMIT, "per", KEY_EXPR, MEMBER(config_limit, per), .what = "limit per", .absent = "one limit for all",
      .doc = "For each value of it a limit of its own.", .example = "per: event.customer" },
    MANNER_RETRY(IN_DEFAULTS, config, IN_RETRY),
    { IN_RETRY, "attempts", KEY_COUNT, MEMBER(config_retry, attempts), .least = 1, .most = CONFIG_ATTEMPT_COUNT_MAX,
      .absent = "`8`", .doc = "With the first try; when they are used up, the event gives up.",
      .example = "attempts: 3" },
    { IN_RETRY, "backoff", KEY_TIMES, MEMBER(config_retry, backoff), .least = 1, .most = CONFIG_BACKOFF_MS_MAX,
      .absent = "`100ms..30s`",
      .doc =
          "The wait before the next attempt: by chance between the first of these times and twice as much, then four "
          "times as much, and so on up to the second. What a `Retry-After` asks for is waited beside it.",
      .example = "backoff: 1s..1m" },
    { IN_RETRY, "budget", KEY_SHARE, MEMBER(config_retry, budget_percent), .least = 1, .most = 100, .absent = "`20%`",
      .doc = "Retries are at most this share of what succeeds at a destination, and ten a second: they never become "
             "the load.",
      .example = "budget: 10%" },
    { IN_RETRY, "permanent", KEY_OUTCOMES, MEMBER(config_retry, permanent), .most = CONFIG_OUTCOME_COUNT_MAX,
      .absent = "`[" OUTCOME_PERMANENT_DEFAULT "]`",
      .doc = "Answers after which an event gives up at once: statuses, classes of them, or `timeout`, `connect`, "
             "`dns`, `tls`, "
             "`reset`, `answer`, `crash`. A single status weighs more than its class.",
      .example = "permanent: [4xx, tls]" },
    { IN_RETRY, "transient", KEY_OUTCOMES, MEMBER(config_retry, transient), .most = CONFIG_OUTCOME_COUNT_MAX,
      .absent = "`[" OUTCOME_TRANSIENT_DEFAULT "]`",
      .doc = "Answers after which it is tried again, as after any that neither list names. A 429 among them costs no "
             "attempt.",
      .example = "transient: [404, 429, 5xx]" },
    MANNER_BREAKER(IN_DEFAULTS, config),
    { IN_BREAKER, "failure_rate", KEY_SHARE, MEMBER(config_breaker, failure_percent), .least = 1, .most = 100,
      .absent = "`50%`", .doc = "It opens when so many of the last calls failed, transiently.",
      .example = "failure_rate: 20%" },
    { IN_BREAKER, "slow_rate", KEY_SHARE, MEMBER(config_breaker, slow_percent), .least = 1, .most = 100,
      .absent = "`100%`", .doc = "And when so many of them were slow.", .example = "slow_rate: 80%" },
    { IN_BREAKER, "slow_call", KEY_DURATION, MEMBER(config_breaker, slow_call_ms), .least = 1,
      .most = CONFIG_TIMEOUT_MS_MAX, .absent = "no call is slow", .doc = "A call that takes so long is slow.",
      .example = "slow_call: 2s" },
    { IN_BREAKER, "window", KEY_COUNT, MEMBER(config_breaker, window), .least = 1, .most = BREAKER_WINDOW_COUNT_MAX,
      .absent = "`100`", .doc = "How many of the last calls it looks at.", .example = "window: 50" },
    { IN_BREAKER, "minimum_calls", KEY_COUNT, MEMBER(config_breaker, minimum_calls), .least = 1,
      .most = BREAKER_WINDOW_COUNT_MAX, .absent = "`20`, or the `window` where that is smaller",
      .doc = "Fewer of them say nothing.", .example = "minimum_calls: 10" },
    { IN_BREAKER, "open", KEY_TIMES, MEMBER(config_breaker, open), .least = CONFIG_OPEN_MS_MIN,
      .most = CONFIG_OPEN_MS_MAX, .absent = "`5s..5m`",
      .doc = "How long nothing is called then, events waiting meanwhile; each time it opens again, twice as long.",
      .example = "open: 1s..1m" },
    { IN_BREAKER, "probes", KEY_COUNT, MEMBER(config_breaker, probes), .least = 1, .most = BREAKER_WINDOW_COUNT_MAX,
      .absent = "`5`", .doc = "So many calls look then whether it works again.", .example = "probes: 3" },
};
const size_t key_count = COUNT_OF(keys);

/* Names of the whole grammar that this version does not have: who writes one meets no riddle. */
static const struct {
    enum scope scope;
    bool kind;
    const char *names;
} later[] = {
    { IN_FILE, false, "schemas|channels|alerts|tests|sim" },
    { IN_NODE, false, "http|kafka|admin|cluster|logging|otlp|priorities" },
    { IN_PIPELINE, false, "on_dead|weight" },
    { IN_BRANCH, false, "on_dead|weight" },
    { IN_SOURCE, true, "http|schedule|kafka" },
    { IN_SOURCE, false, "correlation|priority|validate|limit|overload" },
    { IN_STAGE, true, "validate|encrypt|decrypt|reorder|window|join|collect|delay|lookup" },
    { IN_STAGE_PLUGIN, false, "limit|retry|breaker" },
    { IN_STAGE_EXEC, false, "limit" },
    { IN_STAGE_CALL, false, "batch|compensate|pool" },
    { IN_STAGE, false, "optional|expects|produces" },
    { IN_SINK, true, "postgres|http|kafka|email" },
    { IN_SINK_SQLITE, false, "batch|newer" },
    { IN_SINK_FILE, false, "rotate" },
};

/* clang-format on */

const struct key *key_find(enum scope scope, struct bytes name)
{
    for (size_t i = 0; i < key_count; i++)
        if (keys[i].scope == scope && bytes_equal(bytes_of_text(keys[i].name), name))
            return &keys[i];
    return NULL;
}

const struct key *key_next(enum scope scope, const struct key *after)
{
    must(scope < SCOPE_COUNT);
    for (const struct key *key = after == NULL ? keys : after + 1; key < keys + key_count; key++)
        if (key->scope == scope)
            return key;
    return NULL;
}

bool scope_has_kinds(enum scope scope)
{
    for (size_t i = 0; i < key_count; i++)
        if (keys[i].scope == scope && keys[i].kind)
            return true;
    return false;
}

struct bytes choice_at(const char *choices, uint32_t index)
{
    for (; index > 0; index--) {
        choices = strchr(choices, '|');
        if (choices == NULL)
            return (struct bytes){ NULL, 0 };
        choices++;
    }
    return (struct bytes){ (const uint8_t *)choices, strcspn(choices, "|") };
}

bool key_is_of_later_version(enum scope scope, struct bytes name, bool *ret_kind)
{
    for (size_t i = 0; i < COUNT_OF(later); i++) {
        if (later[i].scope != scope)
            continue;
        struct bytes known;
        for (uint32_t index = 0; (known = choice_at(later[i].names, index)).at != NULL; index++)
            if (bytes_equal(known, name)) {
                *ret_kind = later[i].kind;
                return true;
            }
    }
    return false;
}
