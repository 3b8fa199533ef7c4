/* ledger.h - what became of a pipeline's events, counted so that the sum can be checked.
 *
 * accepted = filtered + delivered + dead_lettered + in_flight, each term counted on its own.
 *
 * owner    each part by one agent: the door's part by the gate (accepted, and dead letters of lines that never became
 *          events), a task's part by its task, the part of what was redriven (accepted once more) by whoever redrives, one at a
 *          time; the totals are sums of durable facts
 * memory   fixed structs
 * promise  a part is written in the same unit as what it counts: it is exactly as true as the log
 *
 * FORMAT of a fact in LOG_VIEW_LEDGER; partition = (source topic, partition), key = pipeline name, '\0', 'd' (door),
 *     't' (task) or 'r' (redriven):
 *     0  1  format version 1      then uvarints: accepted filtered duplicates delivered dead_lettered produced, start offset
 * A door's part lies at partition 0 of the topic it writes to. `start` counts the offsets below the commit point
 * that the pipeline never answers for: those from before it began, and those that were gone when it came by. */
#ifndef FLOW_LEDGER_H
#define FLOW_LEDGER_H

#include "base/bytes.h"
#include "neap/status.h"

#define LEDGER_FACT_SIZE_MAX 96u
#define LEDGER_KEY_SIZE_MAX  256u

struct ledger {
    uint64_t accepted, filtered, duplicates, delivered, dead_lettered, produced, start;
};

size_t          ledger_key(char *room, const char *pipeline, char part); /* room: LEDGER_KEY_SIZE_MAX; answers its size */
struct bytes    ledger_encode(const struct ledger *ledger, uint8_t *room); /* room: LEDGER_FACT_SIZE_MAX */
enum neap_status ledger_decode(struct bytes fact, struct ledger *ret_ledger);
void            ledger_add(struct ledger *into, const struct ledger *part);

#endif
