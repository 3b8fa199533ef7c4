#include "flow/pipeline.h"
#include "base/must.h"
#include "flow/fate.h"
#include <stdlib.h>

#define WATCH_DEFAULT_NS     (30 * NS_PER_S)
#define START_VERSION        1u
#define EPOCH_CHANCE_BITS    20
#define READ_SIZE_DEFAULT    (256u << 10)
#define EVENT_COUNT_DEFAULT  65536u
#define UNIT_FACT_FRAME_SIZE 64u /* what a fact takes in a unit beside its key and value, at most */

static struct log_op *ops_new(uint32_t count)
{
    return calloc(count, sizeof(struct log_op));
}

static void kit_free(struct pipeline_kit *kit)
{
    for (int i = 0; i < 2; i++)
        free(kit->rows[i]);
    free(kit->letters);
    free(kit->letter_keys);
    free(kit->commit_keys);
    free(kit->done_set);
    free(kit->refused);
    free(kit->letter_ops);
    free(kit->commit_ops);
    free(kit->landing_set);
    free(kit->ids);
    free(kit->ids_batch);
    free(kit->taken[0]);
    free(kit->taken[1]);
    way_free(&kit->way);
    free(kit);
}

static struct way_options way_options(const struct pipeline_options *o)
{
    return (struct way_options){ .io = o->io,
                                 .arena = o->arena,
                                 .chains = o->chains,
                                 .stages = o->stages,
                                 .stage_count = o->stage_count,
                                 .order = o->order,
                                 .topic = o->topic,
                                 .window = o->window };
}

static bool add_way(struct pipeline_kit *kit, const struct pipeline_options *o)
{
    struct way_options options = way_options(o);
    for (int i = 0; i < 2; i++)
        kit->taken[i] = calloc(o->window.slot_count, sizeof *kit->taken[i]);
    return kit->taken[0] != NULL && kit->taken[1] != NULL && way_new(&options, &kit->way) == NEAP_OK;
}

static bool add_ids(struct pipeline_kit *kit)
{
    kit->ids = malloc(PIPELINE_IDS_SIZE);
    kit->ids_batch = malloc(PIPELINE_IDS_BATCH_SIZE);
    return kit->ids != NULL && kit->ids_batch != NULL;
}

static struct pipeline_kit *kit_new(const struct pipeline_options *o)
{
    struct pipeline_kit *kit = calloc(1, sizeof *kit);
    if (kit == NULL)
        return NULL;
    for (int i = 0; i < 2; i++)
        kit->rows[i] = malloc(o->sink->batch_size);
    kit->letters = malloc(PIPELINE_LETTERS_SIZE);
    kit->letter_keys = malloc(PIPELINE_KEYS_SIZE);
    kit->commit_keys = malloc(PIPELINE_KEYS_SIZE);
    kit->done_set = malloc(LOG_VALUE_SIZE_MAX);
    kit->refused = malloc(SINK_REFUSED_COUNT_MAX * sizeof *kit->refused);
    kit->letter_ops = ops_new(1 + PIPELINE_LETTER_COUNT_MAX);
    kit->commit_ops = ops_new(PIPELINE_OP_COUNT_MAX);
    kit->landing_set = malloc(LOG_VALUE_SIZE_MAX);
    if (kit->rows[0] == NULL || kit->rows[1] == NULL || kit->letters == NULL || kit->letter_keys == NULL ||
        kit->commit_keys == NULL || kit->done_set == NULL || kit->refused == NULL || kit->letter_ops == NULL ||
        kit->commit_ops == NULL || kit->landing_set == NULL || (o->stage_count > 0 && !add_way(kit, o)) ||
        (o->dedup.door != NULL && !add_ids(kit))) {
        kit_free(kit);
        return NULL;
    }
    return kit;
}

size_t pipeline_kit_size(size_t batch_size, size_t read_size)
{
    return 2 * batch_size + PIPELINE_LETTERS_SIZE + 2 * PIPELINE_KEYS_SIZE + 2 * LOG_VALUE_SIZE_MAX +
           SINK_REFUSED_COUNT_MAX * sizeof(struct sink_refused) +
           (1 + PIPELINE_LETTER_COUNT_MAX + PIPELINE_OP_COUNT_MAX) * sizeof(struct log_op) +
           (read_size != 0 ? read_size : READ_SIZE_DEFAULT);
}

size_t pipeline_way_size(uint32_t stage_count, const struct window_options *window)
{
    struct way_options options = { .stage_count = stage_count, .window = *window };
    return stage_count == 0 ? 0 : way_memory_size(&options) + 2 * window->slot_count * sizeof(struct pipeline_taken);
}

static uint32_t letter_count_max(const char *name)
{
    size_t count = PIPELINE_KEYS_SIZE / (fate_key_size(name) + UNIT_FACT_FRAME_SIZE);
    return count < PIPELINE_LETTER_COUNT_MAX ? (uint32_t)count : PIPELINE_LETTER_COUNT_MAX;
}

enum neap_status pipeline_open(const struct pipeline_options *options, struct pipeline **ret_pipeline,
                               struct error *err)
{
    must(options->sink != NULL && options->chain != NULL);
    must(options->partition_count > 0 && options->dead_partition_count > 0);
    must(options->owner_epoch > 0);
    struct pipeline *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(err, NEAP_NOMEM, "pipeline %s: out of memory", options->name);
    p->magic = PIPELINE_MAGIC;
    p->o = *options;
    p->o.read_size = options->read_size != 0 ? options->read_size : READ_SIZE_DEFAULT;
    p->o.event_count_max = options->event_count_max != 0 ? options->event_count_max : EVENT_COUNT_DEFAULT;
    p->o.watch_ns = options->watch_ns != 0 ? options->watch_ns : WATCH_DEFAULT_NS;
    p->letter_count_max = letter_count_max(options->name);
    p->tasks = calloc(p->o.partition_count, sizeof(struct task *));
    if (p->tasks == NULL) {
        pipeline_close(&p);
        return error_set(err, NEAP_NOMEM, "pipeline %s: out of memory", options->name);
    }
    struct pipeline_identity identity = { 0 };
    if (pipeline_identity(p->o.log, (struct log_partition){ p->o.topic_id, 0 }, p->o.name, &identity) == NEAP_OK) {
        memcpy(p->epochs, identity.epochs, sizeof p->epochs);
        p->epoch_count = identity.epoch_count;
    }
    must(options->stage_count == 0 || options->window.slot_count <= PIPELINE_SLOT_COUNT_MAX);
    uint32_t kit_count = options->kit_count != 0 ? options->kit_count : 1;
    for (uint32_t i = 0; i < kit_count && i < options->partition_count; i++) {
        struct pipeline_kit *kit = kit_new(options);
        if (kit == NULL) {
            pipeline_close(&p);
            return error_set(err, NEAP_NOMEM, "pipeline %s: out of memory for its batches", options->name);
        }
        kit->next = p->kits_free;
        p->kits_free = kit;
    }
    *ret_pipeline = p;
    return NEAP_OK;
}

void pipeline_close(struct pipeline **pipeline)
{
    struct pipeline *p = *pipeline;
    if (p == NULL)
        return;
    CHECK_MAGIC(p, PIPELINE_MAGIC);
    while (p->kits_free != NULL) {
        struct pipeline_kit *kit = p->kits_free;
        p->kits_free = kit->next;
        kit_free(kit);
    }
    free(p->tasks);
    p->magic = 0;
    free(p);
    *pipeline = NULL;
}

uint32_t pipeline_work(struct pipeline *p, mono_time now)
{
    uint32_t work = 0;
    for (uint32_t i = 0; i < p->o.stage_count; i++)
        work += p->o.stages[i]->verbs->work(p->o.stages[i], now);
    return work;
}

struct pipeline_kit *pipeline_kit_acquire(struct pipeline *p)
{
    struct pipeline_kit *kit = p->kits_free;
    if (kit != NULL)
        p->kits_free = kit->next;
    return kit;
}

void pipeline_kit_release(struct pipeline *p, struct pipeline_kit **kit)
{
    if (*kit == NULL)
        return;
    (*kit)->next = p->kits_free;
    p->kits_free = *kit;
    *kit = NULL;
}

void pipeline_stop(struct pipeline *p, enum neap_status status, const struct error *error)
{
    must(status != NEAP_OK);
    if (p->status != NEAP_OK)
        return;
    p->status = status;
    p->error = *error;
    if (status == NEAP_CLOSED) /* whoever took what it delivers has left: the way of a pipe, no fault */
        logging_info(p->o.logging, "pipeline stopped", LOGGING_TEXT("pipeline", p->o.name),
                     LOGGING_TEXT("error", p->error.text));
    else
        logging_error(p->o.logging, "pipeline stopped", LOGGING_TEXT("pipeline", p->o.name),
                      LOGGING_TEXT("error", p->error.text));
}

void pipeline_halt(struct pipeline *p, const struct error *error)
{
    must(error->status != NEAP_OK);
    logging_error(p->o.logging, "a partition of the pipeline ends at damage; the others go on",
                  LOGGING_TEXT("pipeline", p->o.name), LOGGING_TEXT("error", error->text));
    if (p->damage.status == NEAP_OK)
        p->damage = *error;
}

/* ---- the owner epoch -------------------------------------------------------------------------------------------- */

static struct log_partition first_partition(struct log_partition source)
{
    return (struct log_partition){ source.topic_id, 0 };
}

enum neap_status pipeline_identity(struct log *log, struct log_partition source, const char *name,
                                   struct pipeline_identity *ret_identity)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    if (room == NULL)
        return NEAP_NOMEM;
    struct bytes value;
    enum neap_status status =
        log_fact_get(log, LOG_VIEW_START, first_partition(source), bytes_of_text(name), room, &value);
    if (status == NEAP_OK) {
        struct reader r = reader_of(value);
        uint8_t version = read_u8(&r);
        struct pipeline_identity identity = { .owner_epoch = read_uvarint(&r) };
        identity.has_sink = read_u8(&r) != 0;
        identity.epochs[identity.epoch_count++] = identity.owner_epoch;
        while (reader_left(&r) > 0 && identity.epoch_count < SINK_EPOCH_COUNT_MAX)
            identity.epochs[identity.epoch_count++] = read_uvarint(&r);
        if (r.spent || reader_left(&r) != 0 || version != START_VERSION)
            status = version > START_VERSION ? NEAP_VERSION : NEAP_CORRUPT;
        else
            *ret_identity = identity;
    }
    free(room);
    return status;
}

enum neap_status pipeline_raise_epoch(struct io *io, struct log *log, struct log_client *client,
                                      struct log_partition source, const char *name, bool has_sink, mono_time deadline,
                                      uint64_t *ret_epoch, struct error *err)
{
    struct pipeline_identity identity = { 0 };
    enum neap_status status = pipeline_identity(log, source, name, &identity);
    if (status != NEAP_OK && status != NEAP_NOTFOUND)
        return error_set(err, status, "pipeline %s: its owner epoch: %s", name, status_text(status));
    uint64_t chance = io_random(io) & ((1u << EPOCH_CHANCE_BITS) - 1);
    uint64_t epoch = ((identity.owner_epoch >> EPOCH_CHANCE_BITS) + 1) << EPOCH_CHANCE_BITS | chance;
    uint8_t room[2 + SINK_EPOCH_COUNT_MAX * 10];
    struct writer w = writer_of(room, sizeof room);
    write_u8(&w, START_VERSION);
    write_uvarint(&w, epoch);
    write_u8(&w, has_sink);
    for (uint32_t i = 0; i < identity.epoch_count && i + 1 < SINK_EPOCH_COUNT_MAX; i++)
        write_uvarint(&w, identity.epochs[i]);
    must(!w.full);
    struct log_op op = { .kind = LOG_FACT,
                         .view = LOG_VIEW_START,
                         .target = first_partition(source),
                         .name = bytes_of_text(name),
                         .payload = writer_bytes(&w) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    status = log_submit_wait(client, &unit, deadline);
    if (status != NEAP_OK)
        return error_set(err, status, "pipeline %s: note its owner epoch: %s", name, status_text(status));
    *ret_epoch = epoch;
    return NEAP_OK;
}

size_t pipeline_was_key(uint8_t *room, const char *name)
{
    size_t size = strlen(name);
    must(size > 0 && size <= LOG_NAME_SIZE_MAX);
    memcpy(room, name, size + 1);
    memcpy(room + size + 1, "was", 3);
    return size + 4;
}
