#include "sink/lines.h"
#include "base/must.h"

enum neap_status line_add(const struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                          struct failure *failure)
{
    struct bytes json;
    enum neap_status status = event_json(event, arena, &json);
    if (status == NEAP_OK && json.size + 1 > sink->batch_size)
        status = NEAP_TOOLARGE;
    if (status != NEAP_OK) {
        *failure = (struct failure){ .reason = "too_large",
                                     .stage = sink->name,
                                     .message = BYTES("the event is too large to be written as one line") };
        return NEAP_TOOLARGE;
    }
    must(!rows->full);
    if (json.size + 1 > (size_t)(rows->end - rows->at))
        return NEAP_AGAIN;
    uint8_t *line = rows->at;
    write_bytes(rows, json);
    write_u8(rows, '\n');
    for (uint8_t *at = line; (at = memchr(at, '\n', json.size - (size_t)(at - line))) != NULL;)
        *at = ' ';
    return NEAP_OK;
}
