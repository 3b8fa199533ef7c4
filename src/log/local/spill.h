/* spill.h - a list of small rows that is written once from its beginning and copied once, in a file where it outgrows memory.
 *
 * owner    whoever writes an archive: one for the rows of its index, one for the entries
 * memory   its room
 * limits   those of the disk; what lies in the file beside is gone with spill_end(), or at the next start
 * errors   NOMEM; as writing and reading a file
 * promise  what is copied is what was put, in order, and `crc` is its CRC32C */
#ifndef LOG_LOCAL_SPILL_H
#define LOG_LOCAL_SPILL_H

#include "log/local/local.h"

#define SPILL_ROOM_SIZE (16u << 10) /* where nobody says less */
#define SPILL_ROWS      ".rows" /* names of the two files beside an archive that is being written */
#define SPILL_ENTRIES   ".entries"

struct spill {
    struct log *log;
    uint64_t number;
    const char *suffix;
    struct io_file *file; /* NULL: all is in memory */
    uint8_t *room;
    size_t filled, room_size;
    uint64_t written; /* bytes in the file */
    uint32_t count, crc;
};

/* number: the archive's; suffix: SPILL_ROWS or SPILL_ENTRIES; room_size: of memory. */
void spill_begin(struct spill *s, struct log *log, uint64_t number, const char *suffix, size_t room_size);
enum neap_status spill_put(struct spill *s, const uint8_t *row, size_t size, struct error *err);
/* Hands all of it to `put`, from the beginning. */
enum neap_status spill_copy(struct spill *s, enum neap_status (*put)(void *ctx, struct bytes part, struct error *err),
                            void *ctx, struct error *err);
void spill_end(struct spill *s); /* the file goes; fine when nothing was begun */
void spill_unlink(struct log *log, const char *name); /* at the start: when it is the name of one that a crash has left */

#endif
