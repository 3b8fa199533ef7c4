/* salvage.h - what can still be read around damage: for doctor, and for a start that was told what to pass over.
 *
 * owner    pure functions over a scan and bytes
 * memory   none
 * errors   none: a byte that means nothing is passed by
 * promise  what is given as intact has its own checksum, its own position and its file's salt: it is what was written */
#ifndef LOG_LOCAL_SALVAGE_H
#define LOG_LOCAL_SALVAGE_H

#include "log/local/recovery.h"

struct salvage {
    void (*op)(void *ctx, const struct op *op, bool intact); /* not intact: its header is, name and payload are not */
    void *ctx;
};

/* Where scan_next() answered BADINPUT. OK: an entry's header stands here, its body is damaged; what of it is in the file is in
 * ret_body, and the scan goes on behind it. NOTFOUND: no header stands here; the scan goes on at the next one, or stands at
 * the end of the file. */
enum neap_status salvage_next(struct scan *s, struct entry_header *ret_header, struct bytes *ret_body);
/* The operations of a damaged entry. Behind one whose header is damaged the next one is looked for. */
void salvage_entry(const struct entry_header *header, struct bytes body, const struct salvage *salvage);

#endif
