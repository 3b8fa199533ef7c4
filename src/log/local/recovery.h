/* recovery.h - what the journal says after whatever happened.
 *
 * owner    log_open(), alone, before any agent runs; doctor uses the same scan
 * memory   a buffer of RECOVERY_STEP_SIZE, or of the largest entry
 * errors   CORRUPT: something acknowledged is damaged; file and position are named, nothing is changed
 * promise  R1 bad bytes past the highest durable mark are where the crash was: cut there
 *          R2 bad bytes before it are damage: refused, every byte kept
 *          R3 recovering twice gives the same; what is served afterwards has been synced again, because the page cache can
 *             no longer be believed */
#ifndef LOG_LOCAL_RECOVERY_H
#define LOG_LOCAL_RECOVERY_H

#include "log/local/local.h"

struct recovered {
    uint64_t position; /* where the next entry goes, in the open file */
    uint64_t boot;     /* the highest seen */
    int64_t time_ms;   /* of the newest entry */
};
enum neap_status recovery_run(struct log *log, struct recovered *ret, struct error *err);

/* ---- the scan of one file: also the doctor's ---- */

struct scan {
    struct io_file *file;
    uint64_t base, size, salt;
    uint8_t *buffer;
    size_t room;
    uint64_t from, filled;   /* what the buffer holds: positions [from, from + filled) */
    uint64_t position;       /* of the next entry */
    uint64_t boot;           /* the highest so far; carried from file to file (rule E2) */
    uint64_t mark;           /* the highest durable mark so far; likewise */
    size_t step;             /* read at once; 0: RECOVERY_STEP_SIZE */
    bool piecewise;          /* read around what cannot be read: that stands as zeros */
    bool unreadable;         /* some of the buffer does */
    enum neap_status status; /* of reading */
};
enum neap_status scan_begin(struct scan *s, struct io_file *file, uint64_t base, uint64_t size, uint64_t salt);
void scan_end(struct scan *s);
/* The bytes at a position of the file, read ahead as far as the buffer goes; NULL: past the end, or s->status. */
const uint8_t *scan_bytes(struct scan *s, uint64_t position, size_t size);
/* OK: an entry, wholly checked, position past it. NOTFOUND: the file is sealed, or full to its end; position is its end.
 * BADINPUT: no valid entry stands at `position`. IO, NOMEM. */
enum neap_status scan_next(struct scan *s, struct entry_header *ret_header, struct bytes *ret_body);
/* Where nothing valid stands at `position`: goes on at the next valid header of the file (rule E2 holds), or at its end:
 * NOTFOUND. */
enum neap_status scan_resume(struct scan *s);
/* The highest durable mark in valid headers on any 64-byte bound of [from, end of file). */
enum neap_status scan_marks(struct scan *s, uint64_t from, uint64_t *ret_mark);

#endif
