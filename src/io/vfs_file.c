/* vfs_file.c - one open file of SQLite's: bytes, syncs and the locks on a database.
 *
 * LOCKS     the byte ranges of SQLite's unix VFS, so that the stock library and we keep each other out:
 *
 *     0x40000000  PENDING    1 byte     a writer waits for the readers to leave; no new ones
 *     0x40000001  RESERVED   1 byte     a writer prepares
 *     0x40000002  SHARED   510 bytes    read-locked by every reader, write-locked by who is alone
 *
 *           Ours belong to the open file, its own belong to the process; the system lets the two meet as strangers. Within
 *           one process a database is opened through this VFS or through SQLite's own, never both: closing any file of
 *           the process gives up SQLite's own locks on it.
 *
 * SYNCS     a failed sync is never tried again: the system has forgotten which pages it lost, and a second sync would
 *           succeed and mean nothing. Until it is closed, every later sync of that file fails as well, so no transaction
 *           is called durable on top of it; the next opening finds the journal and recovers from it.
 *
 * SECTORS   4096 bytes and no claim: a write may tear at any 512 bytes, and may take the rest of its 4096 with it on a
 *           power cut (drives with physical sectors of 4 KiB rewrite the whole). SQLite then journals all pages of a
 *           touched sector and begins each WAL transaction on a sector of its own. No append is called safe, no order of
 *           writes is claimed, no write is called atomic. */
#include "io/vfs_inside.h"

#define SECTOR_SIZE 4096
#define PENDING_AT  0x40000000u
#define RESERVED_AT (PENDING_AT + 1)
#define SHARED_AT   (PENDING_AT + 2)
#define SHARED_SIZE 510u

static int file_close(sqlite3_file *file)
{
    struct vfs_file *f = vfs_file_of(file);
    must(f->shared == NULL); /* SQLite has let go of the shared memory before */
    io_file_close(&f->file);
    f->magic = 0;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *to, int size, sqlite3_int64 position)
{
    struct vfs_file *f = vfs_file_of(file);
    size_t got = 0;
    must(size >= 0 && position >= 0);
    if (io_file_read(f->file, to, (size_t)size, (uint64_t)position, &got) != NEAP_OK)
        return SQLITE_IOERR_READ;
    if (got == (size_t)size)
        return SQLITE_OK;
    memset((uint8_t *)to + got, 0, (size_t)size - got); /* SQLite counts on it */
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 position)
{
    struct vfs_file *f = vfs_file_of(file);
    must(size >= 0 && position >= 0);
    struct bytes bytes = { from, (size_t)size };
    return vfs_code(io_file_write(f->file, &bytes, 1, (uint64_t)position), SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct vfs_file *f = vfs_file_of(file);
    must(size >= 0);
    return vfs_code(io_file_truncate(f->file, (uint64_t)size), SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct vfs_file *f = vfs_file_of(file);
    if (f->sync_failed)
        return SQLITE_IOERR_FSYNC;
    if (io_file_sync(f->file) != NEAP_OK) {
        f->sync_failed = true;
        return SQLITE_IOERR_FSYNC;
    }
    if (!f->dir_sync_due)
        return SQLITE_OK;
    int code = vfs_sync_directory_of(f->vfs->io, io_file_path(f->file));
    f->dir_sync_due = code != SQLITE_OK;
    f->sync_failed = code != SQLITE_OK;
    return code;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    struct io_file_info info;
    if (io_file_info(vfs_file_of(file)->file, &info) != NEAP_OK)
        return SQLITE_IOERR_FSTAT;
    *ret_size = (sqlite3_int64)info.size;
    return SQLITE_OK;
}

/* ---- locks ---- */

static int lock_code(enum neap_status status, int otherwise)
{
    return status == NEAP_OK ? SQLITE_OK : status == NEAP_HELD ? SQLITE_BUSY : otherwise;
}

/* Passing through PENDING for a moment keeps new readers from overtaking a writer that waits there. */
static int lock_shared(struct vfs_file *f)
{
    int code = lock_code(io_file_lock(f->file, IO_LOCK_SHARED, PENDING_AT, 1), SQLITE_IOERR_RDLOCK);
    if (code != SQLITE_OK)
        return code;
    code = lock_code(io_file_lock(f->file, IO_LOCK_SHARED, SHARED_AT, SHARED_SIZE), SQLITE_IOERR_RDLOCK);
    if (io_file_lock(f->file, IO_UNLOCK, PENDING_AT, 1) != NEAP_OK)
        return SQLITE_IOERR_UNLOCK;
    if (code == SQLITE_OK)
        f->lock = SQLITE_LOCK_SHARED;
    return code;
}

static int lock_reserved(struct vfs_file *f)
{
    int code = lock_code(io_file_lock(f->file, IO_LOCK_EXCLUSIVE, RESERVED_AT, 1), SQLITE_IOERR_LOCK);
    if (code == SQLITE_OK)
        f->lock = SQLITE_LOCK_RESERVED;
    return code;
}

/* Who finds readers inside keeps PENDING: they leave, and none comes. */
static int lock_exclusive(struct vfs_file *f)
{
    if (f->lock < SQLITE_LOCK_PENDING) {
        int code = lock_code(io_file_lock(f->file, IO_LOCK_EXCLUSIVE, PENDING_AT, 1), SQLITE_IOERR_LOCK);
        if (code != SQLITE_OK)
            return code;
        f->lock = SQLITE_LOCK_PENDING;
    }
    int code = lock_code(io_file_lock(f->file, IO_LOCK_EXCLUSIVE, SHARED_AT, SHARED_SIZE), SQLITE_IOERR_LOCK);
    if (code == SQLITE_OK)
        f->lock = SQLITE_LOCK_EXCLUSIVE;
    return code;
}

static int file_lock(sqlite3_file *file, int level)
{
    struct vfs_file *f = vfs_file_of(file);
    if (f->lock >= level)
        return SQLITE_OK;
    must(level != SQLITE_LOCK_PENDING); /* SQLite never asks for it by name */
    must(f->lock != SQLITE_LOCK_NONE || level == SQLITE_LOCK_SHARED);
    if (level == SQLITE_LOCK_SHARED)
        return lock_shared(f);
    return level == SQLITE_LOCK_RESERVED ? lock_reserved(f) : lock_exclusive(f);
}

static int file_unlock(sqlite3_file *file, int level)
{
    struct vfs_file *f = vfs_file_of(file);
    must(level <= SQLITE_LOCK_SHARED);
    if (f->lock <= level)
        return SQLITE_OK;
    if (level == SQLITE_LOCK_NONE) {
        if (io_file_lock(f->file, IO_UNLOCK, PENDING_AT, 2 + SHARED_SIZE) != NEAP_OK)
            return SQLITE_IOERR_UNLOCK;
    } else {
        /* The write lock becomes a read lock in one step; only then may others come in. */
        if (io_file_lock(f->file, IO_LOCK_SHARED, SHARED_AT, SHARED_SIZE) != NEAP_OK)
            return SQLITE_IOERR_RDLOCK;
        if (io_file_lock(f->file, IO_UNLOCK, PENDING_AT, 2) != NEAP_OK)
            return SQLITE_IOERR_UNLOCK;
    }
    f->lock = level;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *file, int *ret_reserved)
{
    struct vfs_file *f = vfs_file_of(file);
    enum io_lock_kind kind = IO_LOCK_EXCLUSIVE;
    int64_t pid;
    if (f->lock <= SQLITE_LOCK_SHARED && io_file_lock_test(f->file, RESERVED_AT, 1, &kind, &pid) != NEAP_OK)
        return SQLITE_IOERR_CHECKRESERVEDLOCK;
    *ret_reserved = kind != IO_UNLOCK;
    return SQLITE_OK;
}

/* ---- what SQLite asks and tells beside ---- */

static bool has_moved(struct vfs_file *f)
{
    struct io_file_info open, named;
    return io_file_info(f->file, &open) != NEAP_OK ||
           io_path_info(f->vfs->io, io_file_path(f->file), &named) != NEAP_OK || open.device != named.device ||
           open.inode != named.inode;
}

static int file_control(sqlite3_file *file, int what, void *at)
{
    struct vfs_file *f = vfs_file_of(file);
    switch (what) {
    case SQLITE_FCNTL_LOCKSTATE:
        *(int *)at = f->lock;
        return SQLITE_OK;
    case SQLITE_FCNTL_PERSIST_WAL:
        if (*(int *)at >= 0)
            f->keep_wal = *(int *)at != 0;
        *(int *)at = f->keep_wal;
        return SQLITE_OK;
    case SQLITE_FCNTL_POWERSAFE_OVERWRITE:
        *(int *)at = 0;
        return SQLITE_OK;
    case SQLITE_FCNTL_VFSNAME:
        *(char **)at = sqlite3_mprintf("%s", f->vfs->base.zName);
        return SQLITE_OK;
    case SQLITE_FCNTL_HAS_MOVED:
        *(int *)at = has_moved(f);
        return SQLITE_OK;
    default:
        return SQLITE_NOTFOUND;
    }
}

static int file_sector_size(sqlite3_file *file)
{
    return SECTOR_SIZE;
}

static int file_characteristics(sqlite3_file *file)
{
    return 0;
}

const sqlite3_io_methods vfs_file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = vfs_shared_map,
    .xShmLock = vfs_shared_lock,
    .xShmBarrier = vfs_shared_barrier,
    .xShmUnmap = vfs_shared_unmap,
};
