/* redrive.h - an event that goes its way once more, out of its dead letter.
 *
 * It comes as a new event into the partition that it came from, behind all that is there, with the headers it once had and
 *     neap.redrives       how often it has gone its way again; from 1
 *     neap.redriven.from  where it was when it first gave up: TOPIC/PARTITION:OFFSET
 *     neap.redriven.for   TOPIC/PIPELINE: only that pipeline takes it; any other that reads the topic has had it, and filters it.
 *                         In another topic, where a sink may have carried it, the word means nothing
 *
 * owner    nobody: plain functions
 * memory   the caller's arena
 * promise  what is written here is what the reading side goes by; an event without these headers is looked at by nobody */
#ifndef FLOW_REDRIVE_H
#define FLOW_REDRIVE_H

#include "base/arena.h"
#include "flow/dead_letter.h"

#define REDRIVE_COUNT_MAX 3u /* times that an event is redriven without being forced to */

/* Why a letter cannot be: a text for a person; NULL: it can. */
const char *redrive_hindrance(const struct dead_letter_view *view);
uint32_t    redrive_count(const struct record *record); /* how often it was; 0: never */
/* The event of a letter, for `pipeline`. `list` has room for BATCH_HEADER_COUNT_MAX headers, which borrow from the letter and the
 * arena. NOMEM, BADINPUT. */
enum neap_status redrive_event(const struct record *letter, const struct dead_letter_view *view, const char *pipeline,
                               struct arena *arena, struct record *ret_event, struct record_header *list,
                               uint32_t *ret_count);

/* How many events of a topic were redriven for a pipeline, ever: its ledger's part 'r', one for each partition. */
uint64_t redrive_accepted(struct log *log, uint32_t topic_id, uint32_t partition_count, const char *pipeline);
/* room: LOG_VALUE_SIZE_MAX bytes. */
uint64_t redrive_accepted_at(struct log *log, struct log_partition source, const char *pipeline, uint8_t *room);

/* It was redriven for another pipeline that reads the same partition, and is none of this one's business. Where that other one is
 * gone, or goes by another name now, it is everybody's: better twice than not at all. Cheap for events without such headers. */
bool redrive_is_foreign(struct log *log, struct log_partition source, const struct record *record, const char *topic,
                        const char *pipeline);

#endif
