/* event.h - one event on its way through a pipeline, and the values that expressions make of it.
 *
 * owner    the task that runs it; lives for one turn through the stages
 * memory   borrows the record's bytes; what stages add lies in the batch's arena
 * limits   EVENT_FIELD_COUNT_MAX fields changed; RECORD_SIZE_TOP when it is written out
 * promise  what no stage touched leaves to the letter as it came */
#ifndef FLOW_EVENT_H
#define FLOW_EVENT_H

#include "base/arena.h"
#include "base/json.h"
#include "log/batch.h"
#include "log/log.h"

enum value_kind { VALUE_NIL, VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_TEXT, VALUE_JSON };

struct value {
    enum value_kind kind;
    union {
        bool b;
        int64_t i;
        double d;
        struct bytes
            text; /* VALUE_TEXT: UTF-8 or any bytes; VALUE_JSON: the JSON text of an array, object or big number */
    };
};

void value_write_json(struct writer *w, const struct value *v);
/* As a key or an id: numbers as JSON writes them, text as it is; .at NULL: nil, or the arena is full. A copy in the arena. */
struct bytes value_text(const struct value *v, struct arena *arena);

#define EVENT_FIELD_COUNT_MAX 256u

struct event_field {
    struct bytes name;
    struct value value;
    bool removed;
    bool original; /* under keep_only: stays as it came; `value` says nothing */
};

struct event {
    struct bytes json;      /* the value as it came: one JSON value */
    struct json_value root; /* parsed; valid while the task's parser holds this event */
    struct bytes key, id;   /* .at NULL: none */
    struct bytes headers;   /* as in the record; header_count of them */
    uint32_t header_count;
    int64_t time_ms;
    const char *topic;
    uint32_t partition, attempt; /* attempt counts from 1 */
    log_offset offset;
    /* what the stages made of it: */
    struct event_field *fields; /* in the arena; at most one of each name */
    uint32_t field_count, field_room;
    struct bytes *became; /* by a stage that split it; in the arena */
    uint32_t became_count;
    bool duplicate; /* a stage has dropped it as one */
    bool keep_only; /* `keep`: of the event as it came, nothing but what fields[] names stays */
};

enum event_origin { EVENT_MISSING, EVENT_ORIGINAL, EVENT_SET };

/* Where top-level field `name` stands now: in the document (ret_json) or among the changed ones (ret_set). No copies. */
enum event_origin event_field_find(const struct event *e, struct bytes name, struct json_value *ret_json,
                                   const struct value **ret_set);
/* The value of top-level field `name` as the event stands now; false: no such field. What came as an array, object or
 * big number answers the letters it came in. Borrows from the event. */
bool event_field_get(const struct event *e, struct bytes name, struct value *ret_value);

/* The letters a value came in, where it stands right below the document's top; false: it lies deeper, or elsewhere. */
bool event_letters(const struct event *e, struct json_value value, struct bytes *ret_letters);

/* Set and remove keep `name` and what `value` borrows. BADINPUT: the event is not an object; TOOLARGE: over
 * EVENT_FIELD_COUNT_MAX; NOMEM: the arena is full. Nothing is changed then. */
enum neap_status event_field_set(struct event *e, struct arena *arena, struct bytes name, const struct value *value);
enum neap_status event_field_remove(struct event *e, struct arena *arena, struct bytes name);
enum neap_status event_keep(struct event *e, struct arena *arena, const struct bytes *names, uint32_t count);
/* The event's JSON as it stands now: `json` itself when nothing was touched. NEAP_TOOLARGE, NEAP_NOMEM. */
enum neap_status event_json(const struct event *e, struct arena *arena, struct bytes *ret_json);

/* Its headers as a JSON object, in their order; one without a value is null. */
void event_write_headers(struct writer *w, const struct event *e);

/* Walks the fields of an event that is an object, as it stands now: those that came, in their written order, then the
 * added ones in the order of their adding. */
struct event_walk { /* starts as zeros */
    uint64_t json_cursor;
    size_t text_cursor;
    uint32_t field_index;
    bool past_original;
};
struct event_member {
    struct bytes name;
    enum event_origin origin;
    struct json_value json;  /* EVENT_ORIGINAL */
    struct bytes letters;    /* EVENT_ORIGINAL: `"name":value` as written */
    const struct value *set; /* EVENT_SET */
};
bool event_next(const struct event *e, struct event_walk *walk, struct event_member *ret_member);

/* Why an event gives up, on its way to becoming a dead letter. Texts live in the batch's arena or are constants. */
struct failure {
    const char *reason;      /* "not_json", "expression", "refused", "too_large", "unreadable" */
    const char *stage;       /* name of the stage or sink; "source" at the door */
    struct bytes message;    /* for a person: which name was nil, what the database said */
    const char *file;        /* of the data (source) or of the pipeline file (expression); NULL: none */
    uint32_t line, column;   /* from 1; 0: none */
    enum neap_status status; /* NOMEM: only the arena was full: the same event may pass with an empty one */
};
struct failure failure_of_expired(void); /* it is older than its pipeline wants events to be */

#endif
