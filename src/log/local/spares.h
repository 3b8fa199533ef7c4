/* spares.h - journal files that are ready before the journal needs them: made anew, made of dead ones, or given up for their room.
 *
 * owner    the keeper, on its turns; at the start, before it has any, the recovery
 * memory   zeros to write a file through with, 1 MiB at most
 * limits   space_ready_count() files ahead; `disk` bytes of all files together, JOURNAL_FILE_MAX of them; of dead files a few wait for
 *          their next life, the others are unlinked
 * errors   FULL: no room for another file, try again later; else as the calls of the disk. What was begun is gone, or begun anew
 * promise  K1 a spare has its name, its header and all its blocks on disk before the journal may use it
 *          K2 a dead file is out of reach of readers before its new header is written, nobody has it pinned, and its salt is new */
#ifndef LOG_LOCAL_SPARES_H
#define LOG_LOCAL_SPARES_H

#include "log/local/local.h"

struct spares {
    struct log *log;
    uint8_t *zeros;
    bool came;            /* a file has become ready since somebody asked */
    struct io_file *file; /* under construction; NULL: none */
    struct file_header header;
    uint64_t filled;
    char path[PATH_SIZE_MAX];
};

enum neap_status spares_init(struct spares *spares, struct log *log); /* keeps the log; NOMEM */
void spares_fini(struct spares *spares);
bool spares_due(const struct spares *spares);  /* fewer are ready than there should be */
bool spares_came(struct spares *spares);       /* one has become ready since this was last asked */
/* A step towards one more: made, written through piece by piece, named. */
enum neap_status spares_step(struct spares *spares, struct error *err);
/* All of one, now, and from the last of the budget if need be: for a start that finds no room for its first entry. */
enum neap_status spares_make(struct spares *spares, struct error *err);
/* A dead file becomes the next spare. False: there is none that can, or a spare is in the making. */
bool spares_recycle(struct spares *spares, struct error *err);
/* Dead files that are more than the next spares will want give their room back, one at a time. False: there are none. */
bool spares_release(struct spares *spares, struct error *err);
/* The last ready file gives its room to what must be written now, and has none: an archive, an index, a snapshot. False: there is
 * none to give. */
bool spares_give_up(struct spares *spares, struct error *err);

#endif
