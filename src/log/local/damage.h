/* damage.h - what is known to be damaged, and whose it is.
 *
 * owner    the list is shared: whoever finds something notes it, under the mutex
 * memory   LOG_DAMAGE_COUNT_MAX places; while batches of a file are looked at, its index and one batch
 * limits   what is found beyond the list is counted and not logged again
 * errors   none: this is what errors end in
 * promise  a place is noted, logged and counted once */
#ifndef LOG_LOCAL_DAMAGE_H
#define LOG_LOCAL_DAMAGE_H

#include "log/local/index.h"

/* `file`: its path. Topic's name and the time are filled in; `what` is for the log of the node. Not under the mutex. */
void damage_note(struct log *log, const char *file, struct log_damage damage, const char *what);

/* Batches of one partition that cannot be read: [first, end). */
struct damage_batches {
    struct log_partition partition;
    uint64_t first, end;
    uint32_t at; /* of the first one's header, from the file's start */
};
/* Calls `each` for what the index places in bytes [from, to) of a journal file or an archive and is not there any more,
 * neighbours of a partition together. NOTFOUND: the index is missing, bad or another file's. */
struct damage_place {
    struct index_file index;
    struct io_file *file; /* with the batches */
    uint64_t sequence;    /* or the archive's number */
    uint64_t base, salt;  /* an archive's base is 0 */
};
enum neap_status damage_batches(const struct damage_place *place, uint64_t from, uint64_t to,
                                void (*each)(void *ctx, const struct damage_batches *batches), void *ctx);
/* Whether the index is whole, and belongs to that file. */
bool damage_index_is_whole(const struct damage_place *place);
/* It is not. Not under the mutex. */
void damage_note_index(struct log *log, const struct damage_place *place, bool is_archive, enum log_found_by found_by);

#endif
