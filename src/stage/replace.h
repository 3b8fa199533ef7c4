/* replace.h - what came back from outside takes the place of all that the event was.
 *
 * owner    the shard, within a waiting kind's answer()
 * memory   none; the JSON stays where it is
 * limits   the parser's
 * errors   false: it is no JSON; the failure says where and what
 * promise  afterwards the event is what came back, parsed, and nothing else */
#ifndef STAGE_REPLACE_H
#define STAGE_REPLACE_H

#include "flow/event.h"

/* `who` begins the failure's words: "what handler score emitted". */
bool event_replace(struct event *event, struct bytes json, struct json_parser *parser, struct arena *arena, const char *who,
                   struct failure *failure);

#endif
