/* task_letters.c - dead letters of the batch that is being filled: they and "these offsets are dead" are one unit. */
#include "flow/fate.h"
#include "flow/task_parts.h"
#include <inttypes.h>

#define REASON_SIZE_MAX 32u /* of a fate; the letter has it whole */

static size_t letter_slot_size(const struct task *t)
{
    return fate_key_size(t->p->o.name) + REASON_SIZE_MAX; /* key, then reason */
}

enum taken task_add_letter(struct task *t, struct task_batch *b, const struct record *record,
                           const struct failure *failure, const struct task_history *history)
{
    if (t->letter_count == t->p->letter_count_max)
        return BATCH_FULL;
    if (t->letter_count == 0)
        batch_begin(&t->letters, t->kit->letters, PIPELINE_LETTERS_SIZE);
    wall_time now = io_wall(t->p->o.io);
    struct dead_letter letter = { .pipeline = t->p->o.name,
                                  .key = record->key,
                                  .value = record->value,
                                  .headers = record->headers,
                                  .header_count = record->header_count,
                                  .time_ms = record->time_ms,
                                  .topic = t->p->o.topic,
                                  .partition = t->source.partition,
                                  .offset = { record->offset },
                                  .attempts = history != NULL ? history->attempts : 1,
                                  .first = history != NULL ? history->first : now,
                                  .last = history != NULL ? history->last : now,
                                  .first_error = history != NULL ? history->first_words : (struct bytes){ 0 },
                                  .failure = failure };
    arena_reset(t->p->o.letter_arena);
    enum neap_status status = dead_letter_add(&t->letters, &letter, t->p->o.letter_arena);
    if (status == NEAP_AGAIN && t->letter_count > 0)
        return BATCH_FULL;
    if (status != NEAP_OK) {
        task_stop_with(t, status, "write the dead letter of offset %" PRIu64 ": %s", record->offset,
                       status_text(status));
        return STOPPED;
    }
    uint8_t *slot = t->kit->letter_keys + t->letter_count * letter_slot_size(t);
    size_t key_size = fate_key(slot, t->p->o.name, letter.offset);
    size_t reason_size = strnlen(failure->reason, REASON_SIZE_MAX);
    memcpy(slot + key_size, failure->reason, reason_size);
    t->kit->letter_ops[1 + t->letter_count] = (struct log_op){ .kind = LOG_FACT,
                                                               .view = LOG_VIEW_FATE,
                                                               .target = t->source,
                                                               .name = { slot, key_size },
                                                               .payload = { slot + key_size, reason_size } };
    t->letter_count++;
    b->counts.dead_lettered++;
    b->dead_count++;
    return TAKEN;
}

void task_send_letters(struct task *t)
{
    struct bytes batch = batch_end(&t->letters);
    t->kit->letter_ops[0] = (struct log_op){
        .kind = LOG_APPEND,
        .target = { t->p->o.dead_topic_id, t->source.partition % t->p->o.dead_partition_count },
        .count = t->letter_count,
        .payload = batch,
    };
    task_unit_set(t, &t->letter_unit, t->kit->letter_ops, 1 + t->letter_count, "write dead letters");
}

void task_letters_are_durable(struct task *t)
{
    for (uint32_t i = 0; i < t->letter_count; i++) {
        log_offset offset;
        struct bytes key = t->kit->letter_ops[1 + i].name;
        enum neap_status status = fate_key_read(key, t->p->o.name, &offset);
        must(status == NEAP_OK);
        status = commit_add(&t->done, offset);
        if (status != NEAP_OK) {
            task_stop_scattered(t, status);
            return;
        }
    }
    t->letter_count = 0;
    task_publish(t);
}
