#include "stage/native.h"

static struct neap_bytes outside(struct bytes b)
{
    return (struct neap_bytes){ b.at, b.size };
}

static uint32_t list_headers(const struct record *record, struct neap_header *room)
{
    struct reader left = reader_of(record->headers);
    struct record_header header;
    uint32_t count = 0;
    while (count < record->header_count && count < NEAP_HEADER_COUNT_MAX &&
           record_header_next(&left, &header) == NEAP_OK)
        room[count++] = (struct neap_header){ outside(header.name), outside(header.value) };
    return count;
}

struct neap_handled native_handled(const struct handler_event *e, struct neap_header headers[NEAP_HEADER_COUNT_MAX])
{
    return (struct neap_handled){ .event = { .key = outside(e->record.key),
                                             .value = outside(e->json),
                                             .id = outside(e->id),
                                             .headers = headers,
                                             .header_count = list_headers(&e->record, headers),
                                             .time_ms = e->record.time_ms },
                                  .pipeline = e->pipeline,
                                  .stage = e->stage,
                                  .topic = e->topic,
                                  .partition = e->partition,
                                  .offset = e->record.offset };
}

enum stage_outcome native_outcome(enum neap_verdict verdict)
{
    static const enum stage_outcome outcomes[] = {
        [NEAP_KEEP] = STAGE_PASS, [NEAP_DROP] = STAGE_DROP, [NEAP_FAIL] = STAGE_FAIL
    };
    return (unsigned)verdict < COUNT_OF(outcomes) ? outcomes[verdict] : (enum stage_outcome)verdict;
}

bool native_cancelled(const struct neap_call *call)
{
    return call == NULL || handler_call_cancelled(call->call);
}

int64_t native_left_ms(const struct neap_call *call)
{
    if (call == NULL)
        return 0;
    int64_t left_ns = handler_call_deadline(call->call).ns - io_now(handler_call_io(call->call)).ns;
    return left_ns > 0 ? left_ns / NS_PER_MS : 0;
}

enum neap_status native_emit(struct neap_call *call, struct neap_bytes value)
{
    if (call == NULL || value.at == NULL)
        return NEAP_MISUSE;
    return handler_call_emit(call->call, (struct bytes){ value.at, value.size });
}

void native_reason(struct neap_call *call, const char *text)
{
    if (call != NULL && text != NULL)
        handler_call_reason(call->call, text);
}
