/* damage.h - what a bad disk does to a file at rest: one thing at a time, of a seed.
 *
 * owner    the caller: the disk outlives the shelf
 * memory   the bytes of every file of the data directory, as they were and at a few earlier moments
 * promise  the same shelf and the same chance give the same damage; damage_apply() tells every byte that it changes */
#ifndef SIM_DAMAGE_H
#define SIM_DAMAGE_H

#include "io/sim.h"
#include "io/sim/chance.h"

#define SHELF_PATH_SIZE  96u
#define SHELF_FILE_MAX   1024u
#define SHELF_PAST_COUNT 4u /* earlier moments from which old copies come */

struct shelf_file {
    char path[SHELF_PATH_SIZE];
    uint8_t *bytes;
    uint64_t size;
};

struct shelf {
    struct shelf_file files[SHELF_FILE_MAX]; /* by folder and name */
    uint32_t count;
};

/* Reads every file of the data directory. */
void shelf_fill(struct shelf *shelf, struct io *io, const char *data);
void shelf_fini(struct shelf *shelf);
const struct shelf_file *shelf_find(const struct shelf *shelf, const char *path); /* NULL: not there */

enum damage_kind {
    DAMAGE_FLIP,     /* one bit */
    DAMAGE_ZERO,     /* a sector of 512 bytes */
    DAMAGE_TRUNCATE, /* the file ends early */
    DAMAGE_SWAP,     /* two blocks stand in each other's place, in one file or in two of a folder */
    DAMAGE_OLD,      /* a sector or a page as it was at an earlier moment: a write that never arrived */
    DAMAGE_OLD_FILE, /* a whole file as it was at an earlier moment */
    DAMAGE_UNLINK,   /* a file is gone */
    DAMAGE_KIND_COUNT,
};
extern const char *const damage_names[DAMAGE_KIND_COUNT];

struct patch { /* these bytes stand there now */
    const struct shelf_file *file;
    uint64_t at, size;
    uint8_t bytes[4096];
};

struct damage {
    enum damage_kind kind;
    struct patch patches[2];
    uint32_t patch_count;
    const struct shelf_file *file; /* TRUNCATE, OLD_FILE, UNLINK: the whole of it */
    uint64_t size;                 /* TRUNCATE: what is left */
    const struct shelf_file *old;  /* OLD_FILE: what stands there */
    char text[300];
};

/* Draws one. False: what was drawn changes nothing on this shelf. */
bool damage_draw(struct damage *damage, const struct shelf *now, const struct shelf *past, uint64_t *chance);
void damage_apply(const struct damage *damage, struct io *io);
/* Whether any byte of [at, at + size) of the file is another one now. */
bool damage_touches(const struct damage *damage, const struct shelf_file *file, uint64_t at, uint64_t size);

#endif
