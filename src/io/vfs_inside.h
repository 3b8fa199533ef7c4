/* vfs_inside.h - what the files of the SQLite VFS know of each other; private to src/io/vfs*.c.
 *
 * owner    SQLite: it gives the memory of a struct vfs_file and calls for one connection at a time
 * memory   the struct and, in WAL mode, one of shared memory; nothing per call
 * errors   SQLite's extended codes; a full disk is SQLITE_FULL at every call that can meet one
 * promise  everything asked of the system goes through the door */
#ifndef IO_VFS_INSIDE_H
#define IO_VFS_INSIDE_H

#include "base/must.h"
#include "io/io.h"
#include <sqlite3.h>

#define VFS_FILE_MAGIC    0x53465656u
#define VFS_PATH_SIZE_MAX 4096u
#define VFS_SHARED_SUFFIX "-shm"

struct vfs {
    sqlite3_vfs base;
    struct io *io;
    char name[];
};

struct vfs_shared;

struct vfs_file {
    sqlite3_file base;
    uint32_t magic;
    struct vfs *vfs;
    struct io_file *file;
    int lock; /* SQLITE_LOCK_NONE .. SQLITE_LOCK_EXCLUSIVE */
    bool read_only;
    bool dir_sync_due; /* its name is not yet known to be durable */
    bool sync_failed;  /* since then nothing is known of what lies on the disk */
    bool keep_wal;     /* SQLITE_FCNTL_PERSIST_WAL */
    unsigned share;    /* IO_SHARED when others may read the database: what stands beside it is for the same eyes */
    struct vfs_shared *shared; /* NULL until WAL asks for it */
};

static inline struct vfs_file *vfs_file_of(sqlite3_file *file)
{
    struct vfs_file *f = (struct vfs_file *)file;
    CHECK_MAGIC(f, VFS_FILE_MAGIC);
    return f;
}

/* ---- vfs.c ---- */

int vfs_code(enum neap_status status, int otherwise); /* SQLITE_OK, SQLITE_FULL, SQLITE_IOERR_NOMEM or `otherwise` */
int vfs_sync_directory_of(struct io *io, const char *path);

/* ---- vfs_file.c ---- */

extern const sqlite3_io_methods vfs_file_methods;

/* ---- vfs_shared.c ---- */

int vfs_shared_map(sqlite3_file *file, int region_index, int region_size, int extend, void volatile **ret_at);
int vfs_shared_lock(sqlite3_file *file, int first, int count, int flags);
void vfs_shared_barrier(sqlite3_file *file);
int vfs_shared_unmap(sqlite3_file *file, int unlink_too);

#endif
