/* event_line.h - a line of JSON that says an event, as the bytes that a node takes (framed records, node/control.h).
 *
 * It is taken apart here and not in the node: escapes and base64 make a line up to six times as long as its event, and a node
 * keeps to its memory.
 *
 * owner    nobody: one function; the parser is the caller's
 * memory   the parser's, and the caller's room
 * limits   EVENT_LINE_SIZE_MAX: the longest line that an event of any topic can be
 * errors   BADINPUT, with what is wrong; AGAIN: no room for it
 * promise  what `neap tail --json` prints is taken, and says the same event */
#ifndef CLI_EVENT_LINE_H
#define CLI_EVENT_LINE_H

#include "base/json.h"
#include "cli/cli.h"
#include "log/limits.h"
#include "node/control.h"

#define EVENT_LINE_SIZE_MAX (6u * RECORD_SIZE_TOP + CONTROL_ROOM_SIZE) /* each byte an escape, and what stands around */

static_assert(EVENT_LINE_SIZE_MAX <= CLI_LINE_SIZE_MAX, "the parser of a session takes it, and tail prints it");

/* Writes one frame, or nothing at all. ret_what is a constant. */
enum neap_status event_line_frame(struct json_parser *parser, struct bytes line, struct writer *w,
                                  const char **ret_what);

#endif
