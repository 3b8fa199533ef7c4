/* model.h - what was asked of the log and what it promised, kept apart from the log: the checkers' own truth.
 *
 * owner    one life of the log (from one cut to the next); a later life's model borrows from the earlier one
 * memory   an arena, and a table of units
 * promise  nothing in here comes from the log but statuses, offsets and topic ids it answered
 *
 * Each client's units carry a fact that names the unit. So after a crash that fact says how far the client came, and
 * everything else must agree with it. Client 0 makes and deletes topics and writes nothing else. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "base/arena.h"
#include "io/sim.h"
#include "io/sim/chance.h"
#include "log/batch.h"
#include "log/log.h"

#define CLIENT_COUNT  4u /* with the one that makes topics */
#define KEY_COUNT     6u
#define UNIT_OP_COUNT 10u
#define HOME          "home" /* the topic whose partitions own the clients' facts */
#define LAST_KEY      "last"
#define NEVER         UINT32_MAX
#define TOPIC_ROOM    512u
#define PARTITION_MAX 4u /* of one topic, in the end */

struct unit {
    uint32_t id; /* from 1; never used twice, in no life */
    uint32_t client;
    uint32_t possible, promised; /* from these points of the disk's history on; promised: told or seen, or NEVER */
    bool ended;
    enum neap_status status;
    uint32_t append_count;
    uint32_t topics[UNIT_OP_COUNT]; /* of the model, per operation */
    uint32_t keys[UNIT_OP_COUNT];   /* of a fact: its number, KEY_COUNT for LAST_KEY */
    struct {
        bool settled;   /* of a commit point: its group had been told before that it holds */
        uint64_t start; /* where the partition started then */
    } holds[UNIT_OP_COUNT];
    int64_t told_ns; /* when it ended; 0: in an earlier life */
    uint32_t told_point;
    bool early; /* it may be answered before its sync (early.h) */
    bool there; /* an early one: in what was checked last */
    struct log_op ops[UNIT_OP_COUNT];
    struct log_unit log;
};

struct model_topic {
    char name[16];
    uint32_t id, partition_count; /* those that were told */
    uint32_t created, deleted; /* units that did; deleted 0: none was asked for */
    bool usable;               /* its creation was told */
    uint32_t interval_ms;      /* above 0: its producers are answered early */
};

struct model {
    struct arena *arena;
    struct unit **by_id; /* NULL: a cut took it */
    uint32_t id_next, id_room;
    struct {
        struct unit **units; /* in the order they were submitted */
        uint32_t count, room;
        uint64_t offset; /* the last commit point asked for */
    } clients[CLIENT_COUNT];
    struct model_topic topics[TOPIC_ROOM];
    uint32_t topic_count;
};

struct model *model_new(void);
void model_free(struct model **model);
/* The model after a crash that left `reached[c]` units of each client, as check_log() found them. What was promised stays
 * promised. `parent` must live on. */
struct model *model_continue(const struct model *parent, uint32_t point, const uint32_t *reached);
/* From this point on, what is there has been shown to readers. */
void model_promise_all(struct model *model, uint32_t point);

/* A new unit, in the arena, not yet among those submitted. */
struct unit *model_unit(struct model *model, uint32_t client);
void model_submitted(struct model *model, struct unit *unit, uint32_t point);
void unit_append(struct model *model, struct unit *unit, uint32_t topic, uint32_t partition, uint32_t count,
                 uint32_t value_size, uint64_t *chance);
/* One record without a key whose value is zeros but for what says who wrote it: gives the value where it lies in the batch,
 * to be written to before unit_append_seal(). */
struct bytes unit_append_blank(struct model *model, struct unit *unit, uint32_t topic, uint32_t partition,
                               uint32_t value_size);
void unit_append_seal(struct unit *unit, uint32_t op);
void unit_fact(struct model *model, struct unit *unit, uint32_t key, uint32_t value_size, uint64_t *chance);
void unit_offset(struct model *model, struct unit *unit, uint32_t done_set_size, uint64_t *chance);
struct log_op *unit_op(struct unit *unit, enum log_op_kind kind, uint32_t topic); /* one more, of no content yet */
/* settings: NULL for none. */
void unit_create(struct model *model, struct unit *unit, const char *name, uint32_t partition_count,
                 const struct log_topic_settings *settings);
void unit_delete(struct model *model, struct unit *unit, uint32_t topic);

/* Whether the log may hold it at all: not refused. */
bool unit_may_be_there(const struct unit *unit);
/* Whether it is there, as the last check found: the index-th of its client, of which so many are. */
bool unit_is_there(const struct unit *unit, uint32_t index, const uint32_t *reached);
/* Which unit and operation wrote this batch; NULL: nobody, ever. */
struct unit *model_writer(const struct model *model, struct bytes batch, uint32_t *ret_op);
struct bytes client_group(uint32_t client); /* the name of its consumer group */
struct bytes key_name(uint32_t key);

#endif
