/* dead_letter.h - an event that gave up, with its reason and history, as a record of the dead letter topic.
 *
 * key and value as they came; headers as they came, then:
 *     neap.reason neap.stage neap.error neap.attempts neap.first.time neap.last.time (RFC 3339, UTC)
 *     neap.pipeline neap.topic neap.partition neap.offset       (where the event is, when it ever was in the log)
 *     neap.file neap.line neap.column                           (of the data, or of the expression that failed)
 * A value over RECORD_SIZE_MAX / 2 is cut there and `neap.cut` holds its full size. */
#ifndef FLOW_DEAD_LETTER_H
#define FLOW_DEAD_LETTER_H

#include "flow/event.h"

struct dead_letter {
    const char *pipeline;
    struct bytes key, value, headers;   /* as they came */
    uint32_t header_count;
    int64_t time_ms;                    /* the event's own */
    const char *topic;                  /* NULL: it never was in the log */
    uint32_t partition;
    log_offset offset;
    uint32_t attempts;
    wall_time first, last;
    const struct failure *failure;
};

/* Adds it to a batch under construction. AGAIN: no room, nothing changed. */
enum neap_status dead_letter_add(struct batch_builder *batch, const struct dead_letter *letter, struct arena *arena);
size_t           dead_letter_size_max(const struct dead_letter *letter);

/* Reads one back, for listings and for the done set after a sink went back in time. Absent headers leave zeros. */
struct dead_letter_view {
    struct bytes reason, stage, error, pipeline, topic, file, first, last;
    uint32_t partition, line, column, attempts;
    bool was_in_log;
    log_offset offset;
};
enum neap_status dead_letter_read(const struct record *record, struct dead_letter_view *ret_view);

#endif
