/* calls.h - what the values of a call mean together: an address that can be called, headers that can be sent, manners of asking that
 * say something.
 *
 * owner    meaning_check()
 * memory   none
 * limits   none of its own
 * errors   into the messages
 * promise  what passes can be given to the door (io/http.h): its method, its url and its headers, as far as they are written */
#ifndef CONFIG_CALLS_H
#define CONFIG_CALLS_H

#include "config/read.h"

/* `node`: what stands behind `call`. */
void call_check(struct reading *r, const struct config_stage *stage, const struct tree_node *node);

#endif
