/* dead_letter.h - an event that gave up, with its reason and history, as a record of the dead letter topic.
 *
 * key and value as they came; headers as they came (but for these names of an earlier life), then:
 *     neap.reason neap.stage neap.error neap.attempts neap.first.time neap.last.time (RFC 3339, UTC)
 *     neap.first.error                                          (of the first attempt, where it said something else)
 *     neap.pipeline neap.topic neap.partition neap.offset       (where the event is, when it ever was in the log)
 *     neap.file neap.line neap.column                           (of the data, or of the expression that failed)
 * A value over DEAD_LETTER_VALUE_SIZE_MAX is cut there and `neap.cut` holds its full size. A key is cut at its limit
 * too (`neap.cut.key`: its full size), and headers that do not fit in theirs are left out (`neap.cut.headers`: how many): a
 * letter always fits in a unit of the smallest file, and says what it does not hold. */
#ifndef FLOW_DEAD_LETTER_H
#define FLOW_DEAD_LETTER_H

#include "flow/event.h"
#include "log/limits.h"
#include "log/log.h"

#define DEAD_LETTER_SUFFIX ".dead" /* of what a pipeline names its dead letters by itself */

#define DEAD_LETTER_VALUE_SIZE_MAX   (RECORD_SIZE_MAX / 2)
#define DEAD_LETTER_KEY_SIZE_MAX     (128u << 10)
#define DEAD_LETTER_HEADERS_SIZE_MAX (128u << 10) /* of the event's own headers */
#define DEAD_LETTER_TEXT_SIZE_MAX    4096u        /* of reason, stage, both errors, pipeline, topic and file, each */
#define DEAD_LETTER_OWN_SIZE_MAX     (36u << 10)  /* all our headers together, and the record's frame */

struct dead_letter {
    const char *pipeline;
    struct bytes key, value, headers; /* as they came */
    uint32_t header_count;
    int64_t time_ms;   /* the event's own */
    const char *topic; /* NULL: it never was in the log */
    uint32_t partition;
    log_offset offset;
    uint32_t attempts;        /* in the stage where it gave up */
    wall_time first, last;    /* when it failed for the first and for the last time */
    struct bytes first_error; /* what the first attempt said; .at NULL: as `failure` does */
    const struct failure *failure;
};

/* Adds it to a batch under construction. AGAIN: no room, nothing changed. NOMEM: the arena is spent. */
enum neap_status dead_letter_add(struct batch_builder *batch, const struct dead_letter *letter, struct arena *arena);
size_t dead_letter_size_max(const struct dead_letter *letter);

/* Reads one back, for listings and for the done set after a sink went back in time. Absent headers leave zeros: letters of
 * earlier versions tell less. */
struct dead_letter_view {
    struct bytes reason, stage, error, first_error, pipeline, topic, file, first, last;
    uint32_t partition, line, column, attempts;
    bool was_in_log;
    log_offset offset;
    uint64_t full_size;        /* of a value that was cut; 0: it was not */
    uint64_t full_key_size;    /* the same of a key */
    uint32_t left_out_count;   /* headers of the event that the letter does not hold */
    struct bytes id;           /* as the event's door worked it out */
    struct bytes correlation;  /* of the event's own headers, the first of DEAD_LETTER_CORRELATIONS that is there */
};
#define DEAD_LETTER_CORRELATIONS "neap.correlation", "correlation-id", "x-correlation-id", "x-request-id"
enum neap_status dead_letter_read(const struct record *record, struct dead_letter_view *ret_view);
/* Is this the name of a header that the letter has given itself, and not of one that the event brought? */
bool dead_letter_owns(struct bytes name);

/* A topic that a pipeline file has chosen for them is known as such from its start on, before there is one in it.
 * FORMAT of the fact in LOG_VIEW_LETTERS; partition = (the topic, 0), no key:   0  1  format version 1 */
bool             dead_letter_is_marked(struct log *log, uint32_t topic_id);
enum neap_status dead_letter_mark(struct log_client *client, uint32_t topic_id, mono_time deadline); /* as log_submit_wait() */

#endif
