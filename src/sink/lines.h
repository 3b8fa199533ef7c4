/* lines.h - an event as one line: what file and stdout have in common.
 *
 * owner    the sink that adds; no state
 * promise  one event, one line: a line break in the event's own white space becomes a space */
#ifndef SINK_LINES_H
#define SINK_LINES_H

#include "flow/sink.h"

#define LINES_BATCH_SIZE    (2u << 20)
#define LINES_ROW_COUNT_MAX 65536u

/* NEAP_OK; AGAIN: no room, nothing changed; TOOLARGE with a failure. */
enum neap_status line_add(const struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                          struct failure *failure);

#endif
