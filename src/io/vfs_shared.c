/* vfs_shared.c - the memory that connections in WAL mode share: the -shm file beside the database.
 *
 * FORMAT    regions of 32 KiB, SQLite's own; for us only the locks on it count, at the bytes of SQLite's unix VFS:
 *
 *     120 .. 127  WRITE, CHECKPOINT, RECOVER, READ 0 .. 4
 *     128         the dead man's switch: read-locked by everybody attached
 *
 * M1  Who can write-lock byte 128 is alone. What the file says was left by the dead, and is cut off before it is believed.
 * M2  Everybody attached holds byte 128 for reading, so nobody cuts the file under a map.
 * M3  The write lock becomes the read lock in one step: there is no moment in which a second one could be alone as well.
 *
 * Each connection opens the file for itself: its locks are its own, also beside others of this process. */
#include "io/vfs_inside.h"
#include <stdatomic.h>
#include <stdlib.h>

#define LOCKS_AT   120u
#define LOCK_COUNT 8
#define SWITCH_AT  128u
#define CUT_SIZE   3u /* shorter than the index's header, so that it is rebuilt; as the unix VFS does */

static_assert(LOCK_COUNT == SQLITE_SHM_NLOCK, "SQLite knows as many locks");
static_assert(SWITCH_AT == LOCKS_AT + LOCK_COUNT, "the switch follows the locks");

struct vfs_shared {
    struct io_file *file;
    size_t region_size;
    unsigned region_count;
    uint16_t shared_mask, exclusive_mask; /* what this connection holds */
    void **regions;
};

static int take_switch(struct io_file *file)
{
    enum io_lock_kind kind;
    int64_t pid;
    if (io_file_lock_test(file, SWITCH_AT, 1, &kind, &pid) != NEAP_OK)
        return SQLITE_IOERR_SHMLOCK;
    if (kind == IO_LOCK_EXCLUSIVE)
        return SQLITE_BUSY; /* somebody is at M1 just now; SQLite asks again */
    if (kind == IO_UNLOCK) {
        enum neap_status status = io_file_lock(file, IO_LOCK_EXCLUSIVE, SWITCH_AT, 1);
        if (status != NEAP_OK)
            return status == NEAP_HELD ? SQLITE_BUSY : SQLITE_IOERR_SHMLOCK;
        if (io_file_truncate(file, CUT_SIZE) != NEAP_OK) /* M1 */
            return SQLITE_IOERR_SHMOPEN;
    }
    enum neap_status status = io_file_lock(file, IO_LOCK_SHARED, SWITCH_AT, 1); /* M2, M3 */
    return status == NEAP_OK ? SQLITE_OK : status == NEAP_HELD ? SQLITE_BUSY : SQLITE_IOERR_SHMLOCK;
}

static int shared_open(struct vfs_file *f)
{
    char path[VFS_PATH_SIZE_MAX + sizeof(VFS_SHARED_SUFFIX)];
    const char *database = io_file_path(f->file);
    if (strlen(database) >= VFS_PATH_SIZE_MAX)
        return SQLITE_CANTOPEN;
    strcat(strcpy(path, database), VFS_SHARED_SUFFIX);
    struct vfs_shared *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return SQLITE_IOERR_NOMEM;
    enum neap_status status = io_file_open(f->vfs->io, path, IO_READ | IO_WRITE | IO_CREATE | f->share, &s->file, NULL);
    int code = vfs_code(status, status == NEAP_IO ? SQLITE_IOERR_SHMOPEN : SQLITE_CANTOPEN);
    if (code == SQLITE_OK)
        code = take_switch(s->file);
    if (code != SQLITE_OK) {
        io_file_close(&s->file);
        free(s);
        return code;
    }
    f->shared = s;
    return SQLITE_OK;
}

static int map_next_region(struct vfs_shared *s)
{
    uint64_t position = (uint64_t)s->region_count * s->region_size;
    void **regions = realloc(s->regions, (s->region_count + 1) * sizeof(*regions));
    if (regions == NULL)
        return SQLITE_IOERR_NOMEM;
    s->regions = regions;
    void *at;
    int code = vfs_code(io_file_map(s->file, position, s->region_size, &at), SQLITE_IOERR_SHMMAP);
    if (code == SQLITE_OK)
        s->regions[s->region_count++] = at;
    return code;
}

int vfs_shared_map(sqlite3_file *file, int region_index, int region_size, int extend, void volatile **ret_at)
{
    struct vfs_file *f = vfs_file_of(file);
    must(region_index >= 0 && region_size > 0);
    *ret_at = NULL;
    if (f->shared == NULL) {
        int code = shared_open(f);
        if (code != SQLITE_OK)
            return code;
        f->shared->region_size = (size_t)region_size;
    }
    struct vfs_shared *s = f->shared;
    must(s->region_size == (size_t)region_size);
    if ((unsigned)region_index >= s->region_count && !extend) {
        struct io_file_info info;
        if (io_file_info(s->file, &info) != NEAP_OK)
            return SQLITE_IOERR_SHMSIZE;
        if (info.size < ((uint64_t)region_index + 1) * s->region_size)
            return SQLITE_OK; /* not there, and not asked for */
    }
    while (s->region_count <= (unsigned)region_index) {
        int code = map_next_region(s);
        if (code != SQLITE_OK)
            return code;
    }
    *ret_at = s->regions[region_index];
    return SQLITE_OK;
}

int vfs_shared_lock(sqlite3_file *file, int first, int count, int flags)
{
    struct vfs_file *f = vfs_file_of(file);
    struct vfs_shared *s = f->shared;
    must(s != NULL);
    must(first >= 0 && count >= 1 && first + count <= LOCK_COUNT);
    must(count == 1 || (flags & SQLITE_SHM_EXCLUSIVE) != 0);
    uint16_t mask = (uint16_t)(((1u << count) - 1) << first);
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        if (((s->shared_mask | s->exclusive_mask) & mask) == 0)
            return SQLITE_OK;
        if (io_file_lock(s->file, IO_UNLOCK, LOCKS_AT + (unsigned)first, (unsigned)count) != NEAP_OK)
            return SQLITE_IOERR_UNLOCK;
        s->shared_mask &= (uint16_t)~mask;
        s->exclusive_mask &= (uint16_t)~mask;
        return SQLITE_OK;
    }
    must((s->exclusive_mask & mask) == 0 && (!exclusive || (s->shared_mask & mask) == 0)); /* SQLite never upgrades */
    enum io_lock_kind kind = exclusive ? IO_LOCK_EXCLUSIVE : IO_LOCK_SHARED;
    enum neap_status status = io_file_lock(s->file, kind, LOCKS_AT + (unsigned)first, (unsigned)count);
    if (status == NEAP_OK)
        *(exclusive ? &s->exclusive_mask : &s->shared_mask) |= mask;
    return status == NEAP_OK ? SQLITE_OK : status == NEAP_HELD ? SQLITE_BUSY : SQLITE_IOERR_SHMLOCK;
}

void vfs_shared_barrier(sqlite3_file *file)
{
    atomic_thread_fence(memory_order_seq_cst);
}

int vfs_shared_unmap(sqlite3_file *file, int unlink_too)
{
    struct vfs_file *f = vfs_file_of(file);
    struct vfs_shared *s = f->shared;
    if (s == NULL)
        return SQLITE_OK;
    for (unsigned i = 0; i < s->region_count; i++)
        io_file_unmap(s->file, s->regions[i], s->region_size);
    if (unlink_too) /* the caller holds the database alone; a name that stays is harmless (M1) */
        io_unlink(f->vfs->io, io_file_path(s->file), NULL);
    io_file_close(&s->file); /* and with it its locks */
    free(s->regions);
    free(s);
    f->shared = NULL;
    return SQLITE_OK;
}
