#include "flow/redrive.h"
#include "base/must.h"
#include "flow/pipeline.h"
#include <inttypes.h>
#include <stdlib.h>

#define COUNT_NAME "neap.redrives"
#define FROM_NAME  "neap.redriven.from"
#define FOR_NAME   "neap.redriven.for"
#define OWN_COUNT  3u
#define TIMES_MAX  1000000000u /* nobody counts further */

static const struct bytes own_names[OWN_COUNT] = { { (const uint8_t *)COUNT_NAME, sizeof COUNT_NAME - 1 },
                                                   { (const uint8_t *)FROM_NAME, sizeof FROM_NAME - 1 },
                                                   { (const uint8_t *)FOR_NAME, sizeof FOR_NAME - 1 } };

const char *redrive_hindrance(const struct dead_letter_view *view)
{
    if (view->reason.size == 0)
        return "it is no dead letter";
    if (!view->was_in_log)
        return "it never was an event: its source could not read it";
    if (bytes_equal(view->reason, BYTES("unreadable")) || bytes_equal(view->reason, BYTES("lost")))
        return "nobody could read the event: the letter does not hold it";
    if (view->full_size > 0 || view->full_key_size > 0 || view->left_out_count > 0)
        return "the event was too large for its letter: it is not whole";
    return NULL;
}

static bool find_header(const struct record *record, struct bytes name, struct bytes *ret_value)
{
    struct reader left = reader_of(record->headers);
    struct record_header header;
    for (uint32_t i = 0; i < record->header_count && record_header_next(&left, &header) == NEAP_OK; i++) {
        if (header.value.at != NULL && bytes_equal(header.name, name)) {
            *ret_value = header.value;
            return true;
        }
    }
    return false;
}

uint32_t redrive_count(const struct record *record)
{
    struct bytes text;
    uint32_t n = 0;
    if (!find_header(record, own_names[0], &text))
        return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        n = n < TIMES_MAX / 10 ? n * 10 + (uint32_t)(text.at[i] - '0') : TIMES_MAX;
    }
    return n;
}

static bool is_own(struct bytes name)
{
    for (uint32_t i = 0; i < OWN_COUNT; i++)
        if (bytes_equal(name, own_names[i]))
            return true;
    return dead_letter_owns(name);
}

static struct bytes origin(const struct record *letter, const struct dead_letter_view *view, struct arena *arena)
{
    struct bytes from;
    if (find_header(letter, own_names[1], &from))
        return from;
    const char *text = arena_text(arena, "%.*s/%u:%" PRIu64, (int)view->topic.size, (const char *)view->topic.at,
                                  view->partition, view->offset.n);
    return text != NULL ? bytes_of_text(text) : (struct bytes){ NULL, 0 };
}

enum neap_status redrive_event(const struct record *letter, const struct dead_letter_view *view, const char *pipeline,
                               struct arena *arena, struct record *ret_event, struct record_header *list,
                               uint32_t *ret_count)
{
    must(redrive_hindrance(view) == NULL);
    struct reader left = reader_of(letter->headers);
    uint32_t count = 0;
    for (uint32_t i = 0; i < letter->header_count; i++) {
        struct record_header header;
        if (record_header_next(&left, &header) != NEAP_OK || count == BATCH_HEADER_COUNT_MAX - OWN_COUNT)
            return NEAP_BADINPUT; /* a letter of ours has kept room for more */
        if (!is_own(header.name))
            list[count++] = header;
    }
    uint32_t before = redrive_count(letter);
    const char *times = arena_text(arena, "%u", before < TIMES_MAX ? before + 1 : TIMES_MAX);
    const char *target = arena_text(arena, "%.*s/%s", (int)view->topic.size, (const char *)view->topic.at, pipeline);
    struct bytes from = origin(letter, view, arena);
    if (times == NULL || target == NULL || from.at == NULL)
        return NEAP_NOMEM;
    const struct bytes values[OWN_COUNT] = { bytes_of_text(times), from, bytes_of_text(target) };
    for (uint32_t i = 0; i < OWN_COUNT; i++)
        list[count++] = (struct record_header){ own_names[i], values[i] };
    *ret_event = (struct record){ .key = letter->key, .value = letter->value, .time_ms = letter->time_ms };
    *ret_count = count;
    return NEAP_OK;
}

/* The pipeline that it was meant for; false: nobody in particular. */
static bool meant_for(struct bytes target, const char *topic, char name[LOG_NAME_SIZE_MAX + 1])
{
    size_t topic_size = strlen(topic);
    if (target.size <= topic_size || target.at[topic_size] != '/' || memcmp(target.at, topic, topic_size) != 0)
        return false; /* it was in another topic: this is what became of it */
    size_t size = target.size - topic_size - 1;
    if (size == 0 || size > LOG_NAME_SIZE_MAX || memchr(target.at + topic_size + 1, 0, size) != NULL)
        return false;
    memcpy(name, target.at + topic_size + 1, size);
    name[size] = '\0';
    return true;
}

bool redrive_is_foreign(struct log *log, struct log_partition source, const struct record *record, const char *topic,
                        const char *pipeline)
{
    struct bytes target;
    char name[LOG_NAME_SIZE_MAX + 1];
    struct pipeline_identity identity;
    if (record->header_count < OWN_COUNT || !find_header(record, own_names[2], &target) ||
        !meant_for(target, topic, name) || strcmp(name, pipeline) == 0)
        return false;
    struct log_partition first = { source.topic_id, 0 };
    return pipeline_identity(log, first, name, &identity) == NEAP_OK;
}

uint64_t redrive_accepted_at(struct log *log, struct log_partition source, const char *pipeline, uint8_t *room)
{
    char key[LEDGER_KEY_SIZE_MAX];
    struct bytes value, name = { (const uint8_t *)key, ledger_key(key, pipeline, 'r') };
    struct ledger part = { 0 };
    if (log_fact_get(log, LOG_VIEW_LEDGER, source, name, room, &value) != NEAP_OK ||
        ledger_decode(value, &part) != NEAP_OK)
        return 0;
    return part.accepted;
}

uint64_t redrive_accepted(struct log *log, uint32_t topic_id, uint32_t partition_count, const char *pipeline)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    uint64_t sum = 0;
    for (uint32_t p = 0; room != NULL && p < partition_count; p++)
        sum += redrive_accepted_at(log, (struct log_partition){ topic_id, p }, pipeline, room);
    free(room);
    return sum;
}
