/* disk.h - a simulated disk: what readers see, and the history from which crash states are made.
 *
 * owner    one or more doors in turn
 * memory   the pages of what is seen; while recording also every byte written since the disk was made
 * limits   size_max bytes in pages: one more is NEAP_FULL
 * errors   NEAP_FULL; names are looked up by the door, which knows what to say
 * promise  no time, no chance and no fault in here: the door brings them */
#ifndef IO_SIM_DISK_H
#define IO_SIM_DISK_H

#include "io/sim.h"
#include "io/sim/pool.h"

struct sim_entry { /* a name and what it stands for */
    uint32_t name, ino;
};

struct sim_inode {
    uint32_t ino, link_count, open_count;
    struct sim_content *content; /* NULL: a directory */
    bool shared;                 /* others may read it; told until the next crash, which keeps bytes and names */
};

/* All names and files at one moment. Inodes lie in the order of their numbers, which are never used twice. */
struct sim_image {
    struct sim_entry *names;
    struct sim_inode *inodes;
    uint32_t name_count, name_room, inode_count, inode_room;
};

enum sim_op_kind {
    SIM_OP_WRITE,
    SIM_OP_RESIZE, /* position: the new size */
    SIM_OP_GROW,   /* position: at least this size */
    SIM_OP_SYNC_START,
    SIM_OP_SYNC_OK, /* of what came before operation `start` */
    SIM_OP_SYNC_FAILED,
    SIM_OP_CREATE,
    SIM_OP_MKDIR,
    SIM_OP_RENAME,
    SIM_OP_UNLINK,
    SIM_OP_DIR_SYNC, /* name: the directory */
};

struct sim_op {
    uint8_t kind;
    uint32_t ino, name, name_to, start;
    uint64_t position;
    struct bytes bytes;
};

struct sim_walk;

struct sim_disk {
    uint32_t magic;
    uint32_t door_count, next_ino;
    bool record;
    uint64_t size_max, used;
    struct sim_pool *pool;
    struct sim_image seen, base; /* base: durable when the history began */
    struct sim_op *ops;
    uint32_t op_count, op_room;
    void *data_blocks; /* bytes of the history */
    uint8_t *data_at, *data_end;
    struct sim_walk *walk;
};

/* ---- images ---- */

void sim_image_copy(struct sim_pool *pool, struct sim_image *to, const struct sim_image *from);
void sim_image_fini(struct sim_pool *pool, struct sim_image *image);
struct sim_entry *sim_image_name(const struct sim_image *image, uint32_t name);
struct sim_inode *sim_image_inode(const struct sim_image *image, uint32_t ino);
struct sim_inode *sim_image_add(struct sim_pool *pool, struct sim_image *image, uint32_t ino, bool directory);
void sim_image_remove(struct sim_pool *pool, struct sim_image *image, struct sim_inode *inode);
/* The four operations on names, as far as they still apply: after a crash, earlier ones may be missing. */
void sim_image_apply(struct sim_image *image, const struct sim_op *op);

/* ---- the disk, as the door uses it; every path is a name of the pool, every ino one that is open or was looked up ---- */

struct sim_disk *sim_disk_from(struct sim_pool *pool, struct sim_image *image, uint64_t size, bool record,
                               uint32_t next_ino);                       /* takes the image */
struct sim_inode *sim_disk_lookup(struct sim_disk *disk, uint32_t name); /* NULL: not there */
uint32_t sim_disk_create(struct sim_disk *disk, uint32_t name, bool directory);
void sim_disk_hold(struct sim_disk *disk, uint32_t ino); /* an open file: kept though its name goes */
void sim_disk_drop(struct sim_disk *disk, uint32_t ino);
enum neap_status sim_disk_write(struct sim_disk *disk, uint32_t ino, struct bytes bytes, uint64_t position);
enum neap_status sim_disk_resize(struct sim_disk *disk, uint32_t ino, uint64_t size, bool grow_only);
uint32_t sim_disk_sync_start(struct sim_disk *disk, uint32_t ino);
void sim_disk_sync_end(struct sim_disk *disk, uint32_t ino, uint32_t start, bool ok);
void sim_disk_rename(struct sim_disk *disk, uint32_t from, uint32_t to);
void sim_disk_unlink(struct sim_disk *disk, uint32_t name);
void sim_disk_dir_sync(struct sim_disk *disk, uint32_t name, uint32_t start);

void sim_walk_free(struct sim_pool *pool, struct sim_walk **walk);

#endif
