/* native.h - the public headers' view of a call, for functions of programs and of shared objects.
 *
 * owner    the thread that is in the call
 * memory   the headers' room is the caller's
 * limits   NEAP_HEADER_COUNT_MAX headers
 * errors   those of neap.h
 * promise  what neap.h says of neap_handled and neap_call_…() holds, whoever calls the function */
#ifndef STAGE_NATIVE_H
#define STAGE_NATIVE_H

#include "flow/handler_call.h"
#include "neap/neap.h"

struct neap_call {
    struct handler_call *call;
};

struct neap_handled native_handled(const struct handler_event *event, struct neap_header headers[NEAP_HEADER_COUNT_MAX]);
/* One that is no verdict stays what it is, for its dead letter. */
enum stage_outcome  native_outcome(enum neap_verdict verdict);

bool             native_cancelled(const struct neap_call *call);
int64_t          native_left_ms(const struct neap_call *call);
enum neap_status native_emit(struct neap_call *call, struct neap_bytes value);
void             native_reason(struct neap_call *call, const char *text);

#endif
