#include "flow/dead_letter.h"
#include "base/must.h"
#include "base/rfc3339.h"
#include <inttypes.h>
#include <stdlib.h>

/* Our own names, in the order they are written. */
#define LETTER_NAMES(X)                \
    X(REASON, "neap.reason")           \
    X(STAGE, "neap.stage")             \
    X(ERROR, "neap.error")             \
    X(FIRST_ERROR, "neap.first.error") \
    X(ATTEMPTS, "neap.attempts")       \
    X(FIRST, "neap.first.time")        \
    X(LAST, "neap.last.time")          \
    X(PIPELINE, "neap.pipeline")       \
    X(TOPIC, "neap.topic")             \
    X(PARTITION, "neap.partition")     \
    X(OFFSET, "neap.offset")           \
    X(FILE, "neap.file")               \
    X(LINE, "neap.line")               \
    X(COLUMN, "neap.column")           \
    X(CUT, "neap.cut")                 \
    X(CUT_KEY, "neap.cut.key")         \
    X(CUT_HEADERS, "neap.cut.headers")

enum letter_name {
#define X(name, text) LETTER_##name,
    LETTER_NAMES(X)
#undef X
        LETTER_NAME_COUNT
};

static const struct bytes letter_names[LETTER_NAME_COUNT] = {
#define X(name, text) { (const uint8_t *)text, sizeof(text) - 1 },
    LETTER_NAMES(X)
#undef X
};

static_assert(DEAD_LETTER_VALUE_SIZE_MAX + DEAD_LETTER_KEY_SIZE_MAX + DEAD_LETTER_HEADERS_SIZE_MAX +
                      DEAD_LETTER_OWN_SIZE_MAX <
                  RECORD_SIZE_MAX - 4096,
              "any letter fits in a unit of the smallest journal file");

/* By which of its own headers an event is followed through other programs, the best one first. */
static const char *const correlations[] = { DEAD_LETTER_CORRELATIONS };

static enum letter_name letter_name_of(struct bytes name)
{
    enum letter_name i = 0;
    while (i < LETTER_NAME_COUNT && !bytes_equal(letter_names[i], name))
        i++;
    return i;
}

static struct bytes cut(struct bytes bytes, size_t size_max)
{
    return (struct bytes){ bytes.at, bytes.size < size_max ? bytes.size : size_max };
}

static struct bytes time_text(struct arena *arena, wall_time t)
{
    char room[RFC3339_SIZE];
    return arena_copy(arena, bytes_of_text(rfc3339_write(room, t)));
}

struct letter_headers {
    struct arena *arena;
    struct record_header *list;
    uint32_t count, left_out_count;
    bool failed; /* the arena is spent */
};

static void add_bytes(struct letter_headers *h, enum letter_name name, struct bytes value)
{
    must(h->count < BATCH_HEADER_COUNT_MAX);
    if (value.at == NULL)
        h->failed = true;
    else
        h->list[h->count++] = (struct record_header){ letter_names[name], value };
}

static void add_text(struct letter_headers *h, enum letter_name name, const char *text)
{
    add_bytes(h, name, cut(bytes_of_text(text), DEAD_LETTER_TEXT_SIZE_MAX));
}

static void add_number(struct letter_headers *h, enum letter_name name, uint64_t n)
{
    const char *text = arena_text(h->arena, "%" PRIu64, n);
    add_bytes(h, name, text != NULL ? bytes_of_text(text) : (struct bytes){ NULL, 0 });
}

/* What the event brought, but for our own names: a letter tells of its last failure, not of two at once. */
static void keep_headers(struct letter_headers *h, const struct dead_letter *letter)
{
    struct reader left = reader_of(letter->headers);
    struct record_header header;
    size_t size = 0;
    for (uint32_t i = 0; i < letter->header_count && record_header_next(&left, &header) == NEAP_OK; i++) {
        if (letter_name_of(header.name) != LETTER_NAME_COUNT)
            continue;
        size += header.name.size + header.value.size + 8;
        if (size > DEAD_LETTER_HEADERS_SIZE_MAX || h->count == BATCH_HEADER_COUNT_MAX - LETTER_NAME_COUNT)
            h->left_out_count++;
        else
            h->list[h->count++] = header;
    }
}

static void add_own_headers(struct letter_headers *h, const struct dead_letter *letter)
{
    const struct failure *failure = letter->failure;
    add_text(h, LETTER_REASON, failure->reason);
    add_text(h, LETTER_STAGE, failure->stage);
    struct bytes message = failure->message.at != NULL ? failure->message : BYTES("");
    add_bytes(h, LETTER_ERROR, cut(message, DEAD_LETTER_TEXT_SIZE_MAX));
    if (letter->first_error.at != NULL && !bytes_equal(letter->first_error, message))
        add_bytes(h, LETTER_FIRST_ERROR, cut(letter->first_error, DEAD_LETTER_TEXT_SIZE_MAX));
    add_number(h, LETTER_ATTEMPTS, letter->attempts);
    add_bytes(h, LETTER_FIRST, time_text(h->arena, letter->first));
    add_bytes(h, LETTER_LAST, time_text(h->arena, letter->last));
    add_text(h, LETTER_PIPELINE, letter->pipeline);
    if (letter->topic != NULL) {
        add_text(h, LETTER_TOPIC, letter->topic);
        add_number(h, LETTER_PARTITION, letter->partition);
        add_number(h, LETTER_OFFSET, letter->offset.n);
    }
    if (failure->file != NULL)
        add_text(h, LETTER_FILE, failure->file);
    if (failure->line != 0)
        add_number(h, LETTER_LINE, failure->line);
    if (failure->column != 0)
        add_number(h, LETTER_COLUMN, failure->column);
    if (letter->value.size > DEAD_LETTER_VALUE_SIZE_MAX)
        add_number(h, LETTER_CUT, letter->value.size);
    if (letter->key.size > DEAD_LETTER_KEY_SIZE_MAX)
        add_number(h, LETTER_CUT_KEY, letter->key.size);
    if (h->left_out_count > 0)
        add_number(h, LETTER_CUT_HEADERS, h->left_out_count);
}

enum neap_status dead_letter_add(struct batch_builder *batch, const struct dead_letter *letter, struct arena *arena)
{
    must(letter->failure != NULL && letter->failure->reason != NULL && letter->failure->stage != NULL);
    struct letter_headers h = { .arena = arena };
    h.list = arena_take(arena, BATCH_HEADER_COUNT_MAX * sizeof *h.list);
    if (h.list == NULL)
        return NEAP_NOMEM;
    keep_headers(&h, letter);
    add_own_headers(&h, letter);
    if (h.failed)
        return NEAP_NOMEM;
    struct record record = {
        .key = cut(letter->key, DEAD_LETTER_KEY_SIZE_MAX),
        .value = cut(letter->value, DEAD_LETTER_VALUE_SIZE_MAX),
        .time_ms = letter->time_ms,
    };
    must_slow(batch_record_size_max(&record, h.list, h.count) <= dead_letter_size_max(letter));
    return batch_add(batch, &record, h.list, h.count);
}

size_t dead_letter_size_max(const struct dead_letter *letter)
{
    size_t headers =
        letter->headers.size < DEAD_LETTER_HEADERS_SIZE_MAX ? letter->headers.size : DEAD_LETTER_HEADERS_SIZE_MAX;
    headers += 10 * (size_t)letter->header_count; /* a length may be written longer than it came */
    return cut(letter->key, DEAD_LETTER_KEY_SIZE_MAX).size + cut(letter->value, DEAD_LETTER_VALUE_SIZE_MAX).size +
           headers + DEAD_LETTER_OWN_SIZE_MAX;
}

static uint64_t number_of(struct bytes text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.size && i < 19; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        n = n * 10 + (text.at[i] - '0');
    }
    return n;
}

static void view_set(struct dead_letter_view *view, enum letter_name name, struct bytes value)
{
    switch (name) {
    case LETTER_REASON:
        view->reason = value;
        break;
    case LETTER_STAGE:
        view->stage = value;
        break;
    case LETTER_ERROR:
        view->error = value;
        break;
    case LETTER_FIRST_ERROR:
        view->first_error = value;
        break;
    case LETTER_ATTEMPTS:
        view->attempts = (uint32_t)number_of(value);
        break;
    case LETTER_FIRST:
        view->first = value;
        break;
    case LETTER_LAST:
        view->last = value;
        break;
    case LETTER_PIPELINE:
        view->pipeline = value;
        break;
    case LETTER_TOPIC:
        view->topic = value;
        break;
    case LETTER_PARTITION:
        view->partition = (uint32_t)number_of(value);
        break;
    case LETTER_OFFSET:
        view->offset.n = number_of(value);
        view->was_in_log = true;
        break;
    case LETTER_FILE:
        view->file = value;
        break;
    case LETTER_LINE:
        view->line = (uint32_t)number_of(value);
        break;
    case LETTER_COLUMN:
        view->column = (uint32_t)number_of(value);
        break;
    case LETTER_CUT:
        view->full_size = number_of(value);
        break;
    case LETTER_CUT_KEY:
        view->full_key_size = number_of(value);
        break;
    case LETTER_CUT_HEADERS:
        view->left_out_count = (uint32_t)number_of(value);
        break;
    case LETTER_NAME_COUNT:
        break; /* the event's own */
    }
}

/* The event's own headers that a letter tells about. `rank`: which of the names of a correlation was found last. */
static void view_own(struct dead_letter_view *view, const struct record_header *header, size_t *rank)
{
    if (bytes_equal(header->name, BYTES("neap.id")))
        view->id = header->value;
    for (size_t i = 0; i < *rank; i++) {
        if (header->value.at != NULL && bytes_equal(header->name, bytes_of_text(correlations[i]))) {
            view->correlation = header->value;
            *rank = i;
        }
    }
}

bool dead_letter_owns(struct bytes name)
{
    return letter_name_of(name) != LETTER_NAME_COUNT;
}

enum neap_status dead_letter_read(const struct record *record, struct dead_letter_view *ret_view)
{
    struct dead_letter_view view = { 0 };
    struct reader left = reader_of(record->headers);
    size_t rank = COUNT_OF(correlations);
    for (uint32_t i = 0; i < record->header_count; i++) {
        struct record_header header;
        if (record_header_next(&left, &header) != NEAP_OK)
            return NEAP_BADINPUT;
        view_set(&view, letter_name_of(header.name), header.value);
        view_own(&view, &header, &rank);
    }
    *ret_view = view;
    return NEAP_OK;
}

/* ---- the topics of them -------------------------------------------------------------------------------------------- */

#define MARK_VERSION 1u

bool dead_letter_is_marked(struct log *log, uint32_t topic_id)
{
    struct bytes value, no_key = { (const uint8_t *)"", 0 };
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    bool is = room != NULL && log_fact_get(log, LOG_VIEW_LETTERS, (struct log_partition){ topic_id, 0 }, no_key, room,
                                           &value) == NEAP_OK;
    free(room);
    return is;
}

enum neap_status dead_letter_mark(struct log_client *client, uint32_t topic_id, mono_time deadline)
{
    static const uint8_t version[] = { MARK_VERSION };
    struct log_op op = {
        .kind = LOG_FACT, .view = LOG_VIEW_LETTERS, .target = { topic_id, 0 }, .payload = { version, sizeof version }
    };
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(client, &unit, deadline);
}
