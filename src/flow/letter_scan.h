/* letter_scan.h - finds again what became a dead letter: for a sink that went back in time.
 *
 * owner    the task that asks; one thread
 * memory   one reader while it runs
 * errors   NEAP_CORRUPT from the reader; NEAP_NOMEM
 * promise  every record of the dead letter topic that was durable when the scan of its partition began is looked at
 *          once; a record that is no dead letter of this pipeline and source is passed by */
#ifndef FLOW_LETTER_SCAN_H
#define FLOW_LETTER_SCAN_H

#include "log/log.h"

struct letter_scan {
    struct log *log;
    struct log_partition at; /* in the dead letter topic; starts at partition 0 */
    uint32_t partition_count;
    const char *pipeline, *topic; /* the letters' origin */
    uint32_t partition;
    log_offset from, until; /* origins in [from, until) */
    size_t read_size;
    struct codec_room *unpack; /* borrowed during a step */
    /* the scan's own: */
    struct log_reader *reader_;
    log_offset next_, end_;
};

/* Looks at one record batch. OK: call again; NOTFOUND: all is seen. `each` gets the origin's offset; any other status of
 * it ends the scan. */
enum neap_status letter_scan_step(struct letter_scan *scan, enum neap_status (*each)(void *ctx, log_offset origin),
                                  void *ctx, struct error *err);
void letter_scan_end(struct letter_scan *scan); /* at any time, also after the end */

#endif
