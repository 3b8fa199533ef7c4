#include "flow/handler_call.h"

bool handler_call_cancelled(const struct handler_call *call)
{
    return call->told(call) || io_now(call->io).ns >= call->deadline.ns;
}

mono_time handler_call_deadline(const struct handler_call *call)
{
    return call->deadline;
}

struct io *handler_call_io(const struct handler_call *call)
{
    return call->io;
}

enum neap_status handler_call_emit(struct handler_call *call, struct bytes json)
{
    return json.size > call->json_size_max ? NEAP_TOOLARGE : call->keep(call, json);
}

void handler_call_reason(struct handler_call *call, const char *text)
{
    size_t size = strnlen(text, sizeof call->reason - 1);
    while (size > 0 && size == sizeof call->reason - 1 && ((uint8_t)text[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a character */
    memcpy(call->reason, text, size);
    call->reason[size] = '\0';
}
