#include "gate/load.h"
#include "base/murmur2.h"
#include "base/must.h"
#include <stdlib.h>

#define NONE             UINT32_MAX
#define LETTER_FRAME     2048u /* the names and numbers of a dead letter's headers, and its record's frame */
#define ARENA_BLOCK_SIZE (64u << 10)

static_assert(2 * (LOAD_LINE_COUNT_MAX + 1) + 2 <= LOG_UNIT_OP_COUNT_MAX, "two loads and their facts fit in a unit");

struct good_line {
    struct shaped shaped;
    uint32_t partition, next; /* in the partition's list */
};

struct bad_line {
    struct failure failure;
    struct bytes kept;
    uint64_t size;
};

struct partition_list {
    uint32_t first, last; /* index of good lines, or NONE */
};

struct loader {
    const struct gate_options *options;
    struct shaper *shaper;
    size_t load_size;
    struct arena *arena, *letter_arena;
    size_t bound;  /* of the bytes that the lines so far will take */
    uint64_t turn; /* which partition takes the lines that have neither key nor id */
    struct good_line good[LOAD_LINE_COUNT_MAX];
    struct bad_line bad[LOAD_LINE_COUNT_MAX];
    uint32_t good_count, bad_count, met_count;
    uint32_t met[LOAD_LINE_COUNT_MAX]; /* partitions, in the order they were first met */
    struct partition_list partitions[];
};

struct loader *loader_new(const struct gate_options *options, struct shaper *shaper, size_t load_size)
{
    must(options->partition_count > 0 && options->partition_count <= TOPIC_PARTITION_COUNT_MAX);
    struct loader *l = calloc(1, sizeof(*l) + options->partition_count * sizeof(l->partitions[0]));
    if (l == NULL)
        return NULL;
    l->options = options;
    l->shaper = shaper;
    l->load_size = load_size;
    l->arena = arena_new(ARENA_BLOCK_SIZE, LOADER_ARENA_SIZE_MAX);
    l->letter_arena = arena_new(ARENA_BLOCK_SIZE, LOADER_ARENA_SIZE_MAX);
    if (l->arena == NULL || l->letter_arena == NULL)
        loader_free(&l);
    for (uint32_t i = 0; l != NULL && i < options->partition_count; i++)
        l->partitions[i] = (struct partition_list){ NONE, NONE };
    return l;
}

void loader_free(struct loader **loader)
{
    struct loader *l = *loader;
    *loader = NULL;
    if (l == NULL)
        return;
    arena_free(&l->arena);
    arena_free(&l->letter_arena);
    free(l);
}

size_t loader_memory_size(const struct gate_options *options)
{
    return sizeof(struct loader) + options->partition_count * sizeof(struct partition_list) + 2 * ARENA_BLOCK_SIZE;
}

uint32_t loader_op_count_max(const struct loader *loader)
{
    uint32_t count = loader->options->partition_count;
    return 1 + (count < LOAD_LINE_COUNT_MAX ? count : LOAD_LINE_COUNT_MAX);
}

uint32_t loader_count(const struct loader *loader)
{
    return loader->good_count + loader->bad_count;
}

void load_fini(struct load *load)
{
    free(load->room);
    free(load->ops);
    *load = (struct load){ 0 };
}

/* ---- taking ---- */

static uint32_t partition_of(const struct loader *l, const struct shaped *shaped)
{
    uint32_t count = l->options->partition_count;
    if (shaped->key.at != NULL)
        return murmur2_partition(shaped->key, count);
    if (shaped->id.at != NULL)
        return murmur2_partition(shaped->id, count);
    return (uint32_t)(l->turn % count);
}

static uint32_t record_of(const struct shaped *shaped, struct record *record, struct record_header *header)
{
    *record = (struct record){ .key = shaped->key, .value = shaped->value, .time_ms = shaped->time_ms };
    *header = (struct record_header){ BYTES("neap.id"), shaped->id };
    return shaped->id.at != NULL ? 1 : 0;
}

/* One line alone always has room: the load grows for it. */
static bool has_room(const struct loader *l, size_t size)
{
    return loader_count(l) == 0 ||
           (loader_count(l) < LOAD_LINE_COUNT_MAX && l->bound <= l->load_size && size <= l->load_size - l->bound);
}

static enum neap_status take_good(struct loader *l, const struct shaped *shaped)
{
    struct record record;
    struct record_header header;
    uint32_t header_count = record_of(shaped, &record, &header);
    size_t size = batch_record_size_max(&record, &header, header_count) + BATCH_HEADER_SIZE;
    if (!has_room(l, size))
        return NEAP_AGAIN;
    uint32_t index = l->good_count++, partition = partition_of(l, shaped);
    struct partition_list *list = &l->partitions[partition];
    l->good[index] = (struct good_line){ *shaped, partition, NONE };
    if (list->first == NONE) {
        l->met[l->met_count++] = partition;
        list->first = index;
    } else {
        l->good[list->last].next = index;
    }
    list->last = index;
    l->bound += size;
    return NEAP_OK;
}

static size_t letter_bound(const struct loader *l, const struct bad_line *bad)
{
    size_t text = bad->failure.message.size + strlen(bad->failure.file) + strlen(l->options->pipeline);
    size_t kept = bad->kept.size < DEAD_LETTER_VALUE_SIZE_MAX ? bad->kept.size : DEAD_LETTER_VALUE_SIZE_MAX;
    return kept + text + LETTER_FRAME;
}

static enum neap_status take_bad(struct loader *l, const struct line *line, const struct failure *failure)
{
    struct bad_line bad = { *failure, line->bytes, line->size };
    size_t size = letter_bound(l, &bad) + (l->bad_count == 0 ? BATCH_HEADER_SIZE : 0);
    if (!has_room(l, size))
        return NEAP_AGAIN;
    l->bad[l->bad_count++] = bad;
    l->bound += size;
    return NEAP_OK;
}

enum neap_status loader_take(struct loader *l, const struct line *line, uint64_t line_number, wall_time now)
{
    struct shaped shaped;
    struct failure failure;
    if (loader_count(l) == LOAD_LINE_COUNT_MAX)
        return NEAP_AGAIN;
    enum neap_status status = shape(l->shaper, line, line_number, now, l->arena, &shaped, &failure);
    if (status == NEAP_OK)
        return take_good(l, &shaped);
    if (status == NEAP_NOMEM && loader_count(l) > 0)
        return NEAP_AGAIN;
    if (status == NEAP_NOMEM) { /* with nothing but this line: it asks for more than there ever is */
        failure.reason = "expression";
        failure.message = BYTES("no memory for the line and what its expressions make of it");
    }
    return take_bad(l, line, &failure);
}

/* ---- building ---- */

static enum neap_status make_room(const struct loader *l, struct load *load)
{
    size_t wanted = l->bound > l->load_size ? l->bound : l->load_size;
    if (load->ops == NULL)
        load->ops = malloc(loader_op_count_max(l) * sizeof(*load->ops));
    if (load->room_size != wanted) {
        free(load->room);
        load->room = malloc(wanted);
        load->room_size = load->room != NULL ? wanted : 0;
    }
    load->op_count = 0;
    load->size = 0;
    return load->ops != NULL && load->room != NULL ? NEAP_OK : NEAP_NOMEM;
}

static void add_op(struct load *load, struct batch_builder *b, struct log_partition target)
{
    uint32_t count = b->count;
    struct bytes batch = batch_end(b);
    load->ops[load->op_count++] =
        (struct log_op){ .kind = LOG_APPEND, .target = target, .count = count, .payload = batch };
    load->size += batch.size;
}

static void build_partition(struct loader *l, struct load *load, uint32_t partition)
{
    struct batch_builder b;
    struct record record;
    struct record_header header;
    batch_begin(&b, load->room + load->size, load->room_size - load->size);
    for (uint32_t i = l->partitions[partition].first; i != NONE; i = l->good[i].next) {
        uint32_t header_count = record_of(&l->good[i].shaped, &record, &header);
        enum neap_status status = batch_add(&b, &record, &header, header_count);
        must(status == NEAP_OK); /* its bound was counted when it was taken */
    }
    add_op(load, &b, (struct log_partition){ l->options->topic_id, partition });
    l->partitions[partition] = (struct partition_list){ NONE, NONE };
}

static enum neap_status build_letters(struct loader *l, struct load *load, wall_time now)
{
    struct batch_builder b;
    batch_begin(&b, load->room + load->size, load->room_size - load->size);
    for (uint32_t i = 0; i < l->bad_count; i++) {
        const struct bad_line *bad = &l->bad[i];
        struct dead_letter letter = { .pipeline = l->options->pipeline,
                                      .value = { bad->kept.at,
                                                 (size_t)bad->size }, /* of it only what is kept is read */
                                      .time_ms = now.ms,
                                      .attempts = 1,
                                      .first = now,
                                      .last = now,
                                      .failure = &bad->failure };
        must(bad->size == bad->kept.size || bad->kept.size == DEAD_LETTER_VALUE_SIZE_MAX);
        arena_reset(l->letter_arena);
        enum neap_status status = dead_letter_add(&b, &letter, l->letter_arena);
        must(status != NEAP_AGAIN); /* its bound was counted when it was taken */
        if (status != NEAP_OK)
            return status;
    }
    add_op(load, &b, (struct log_partition){ l->options->dead_topic_id, 0 });
    return NEAP_OK;
}

enum neap_status loader_build(struct loader *l, struct load *load, wall_time now)
{
    must(loader_count(l) > 0);
    enum neap_status status = make_room(l, load);
    if (status != NEAP_OK)
        return status;
    for (uint32_t i = 0; i < l->met_count; i++)
        build_partition(l, load, l->met[i]);
    if (l->bad_count > 0)
        status = build_letters(l, load, now);
    load->accepted_count = loader_count(l);
    load->dead_count = l->bad_count;
    l->turn++;
    l->good_count = l->bad_count = l->met_count = 0;
    l->bound = 0;
    arena_reset(l->arena);
    return status;
}
