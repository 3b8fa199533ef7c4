/* vfs.c - the SQLite VFS: names, opening, and what SQLite wants of clock and chance.
 *
 * A name is durable after the first sync of its file: journals, WALs and databases that SQLite asked to create sync their
 * directory then, as the unix VFS does for journals. Deleting with `dirSync` syncs it at once.
 *
 * Journals and shared memory are readable by whom the database is readable, nobody else. */
#include "io/vfs.h"
#include "io/vfs_inside.h"
#include <stdlib.h>

#define DAY_MS        86400000.0
#define UNIX_EPOCH_MS 210866760000000ll /* in SQLite's count, which begins on 24 November 4714 BC at noon */

static struct vfs *vfs_of(sqlite3_vfs *base)
{
    must(base->pAppData != NULL);
    return base->pAppData;
}

int vfs_code(enum neap_status status, int otherwise)
{
    switch (status) {
    case NEAP_OK:
        return SQLITE_OK;
    case NEAP_FULL:
        return SQLITE_FULL;
    case NEAP_NOMEM:
        return SQLITE_IOERR_NOMEM;
    default:
        return otherwise;
    }
}

static bool directory_of(const char *path, char *to, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (length + 2 > size)
        return false;
    memcpy(to, slash == NULL ? "." : path, slash == NULL ? 1 : length);
    to[slash == NULL ? 1 : length] = '\0';
    return true;
}

int vfs_sync_directory_of(struct io *io, const char *path)
{
    char directory[VFS_PATH_SIZE_MAX];
    if (!directory_of(path, directory, sizeof(directory)))
        return SQLITE_IOERR_DIR_FSYNC;
    return io_dir_sync(io, directory, NULL) == NEAP_OK ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

/* ---- opening ---- */

/* Whether others may read the database that a journal or WAL belongs to: DATABASE-journal, DATABASE-wal. */
static unsigned share_of_database(struct vfs *vfs, const char *path)
{
    char database[VFS_PATH_SIZE_MAX];
    const char *dash = strrchr(path, '-');
    if (dash == NULL || (size_t)(dash - path) >= sizeof(database))
        return 0;
    memcpy(database, path, (size_t)(dash - path));
    database[dash - path] = '\0';
    struct io_file_info info;
    return io_path_info(vfs->io, database, &info) == NEAP_OK && info.shared ? IO_SHARED : 0;
}

static bool is_directory(struct io *io, const char *path)
{
    struct io_file_info info;
    return path != NULL && io_path_info(io, path, &info) == NEAP_OK && info.kind == IO_KIND_DIRECTORY;
}

static int temporary_name(struct vfs *vfs, char *to, size_t size)
{
    const char *directories[] = { io_environment(vfs->io, "SQLITE_TMPDIR"), io_environment(vfs->io, "TMPDIR"),
                                  "/var/tmp", "/tmp", "." };
    for (size_t i = 0; i < COUNT_OF(directories); i++) {
        if (!is_directory(vfs->io, directories[i]) || strlen(directories[i]) + 64 > size)
            continue;
        sqlite3_snprintf((int)size, to, "%s/neap-sqlite-%016llx", directories[i],
                         (unsigned long long)io_random(vfs->io));
        return SQLITE_OK;
    }
    return SQLITE_IOERR_GETTEMPPATH;
}

static unsigned open_flags(int flags)
{
    unsigned how = (flags & SQLITE_OPEN_READWRITE) != 0 ? IO_READ | IO_WRITE : IO_READ;
    how |= (flags & SQLITE_OPEN_CREATE) != 0 ? IO_CREATE : 0;
    how |= (flags & SQLITE_OPEN_CREATE) != 0 && (flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? IO_EXCLUSIVE : 0;
    return how;
}

/* A database that may only be read is opened so, and SQLite is told. */
static enum neap_status open_or_only_read(struct vfs_file *f, const char *path, int flags, unsigned share)
{
    unsigned how = open_flags(flags);
    enum neap_status status = io_file_open(f->vfs->io, path, how | share, &f->file, NULL);
    if (status != NEAP_DENIED || (how & IO_WRITE) == 0 || (how & IO_EXCLUSIVE) != 0)
        return status;
    f->read_only = true;
    status = io_file_open(f->vfs->io, path, IO_READ, &f->file, NULL);
    return status == NEAP_NOTFOUND ? NEAP_DENIED : status;
}

static int why_not_open(struct vfs *vfs, const char *path, int flags, enum neap_status status)
{
    const int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL;
    struct io_file_info info;
    if (status == NEAP_DENIED && (flags & journals) != 0 && io_path_info(vfs->io, path, &info) == NEAP_NOTFOUND)
        return SQLITE_READONLY_DIRECTORY;
    return vfs_code(status, status == NEAP_IO ? SQLITE_IOERR : SQLITE_CANTOPEN); /* failing storage forbids nothing */
}

static int vfs_open(sqlite3_vfs *base, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    const int companions = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL;
    struct vfs_file *f = (struct vfs_file *)file;
    *f = (struct vfs_file){ .vfs = vfs_of(base) }; /* no methods: SQLite will not close what was not opened */
    char temporary[VFS_PATH_SIZE_MAX];
    const char *path = name;
    if (path == NULL) {
        int code = temporary_name(f->vfs, temporary, sizeof(temporary));
        if (code != SQLITE_OK)
            return code;
        path = temporary;
    }
    unsigned share = (flags & SQLITE_OPEN_MAIN_DB) != 0                            ? IO_SHARED
                     : (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) != 0 ? share_of_database(f->vfs, path)
                                                                                   : 0;
    enum neap_status status = open_or_only_read(f, path, flags, share);
    if (status != NEAP_OK)
        return why_not_open(f->vfs, path, flags, status);
    if ((flags & SQLITE_OPEN_DELETEONCLOSE) != 0)
        io_unlink(f->vfs->io, path, NULL); /* its name goes at once, itself when it is closed, also by a kill */
    struct io_file_info info;
    f->share = io_file_info(f->file, &info) == NEAP_OK && info.shared ? IO_SHARED : 0;
    f->dir_sync_due = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & (companions | SQLITE_OPEN_MAIN_DB)) != 0;
    f->magic = VFS_FILE_MAGIC;
    f->base.pMethods = &vfs_file_methods;
    if (ret_flags != NULL)
        *ret_flags = f->read_only ? (flags & ~SQLITE_OPEN_READWRITE) | SQLITE_OPEN_READONLY : flags;
    return SQLITE_OK;
}

/* ---- names ---- */

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_directory)
{
    struct vfs *vfs = vfs_of(base);
    enum neap_status status = io_unlink(vfs->io, path, NULL);
    if (status == NEAP_NOTFOUND)
        return SQLITE_IOERR_DELETE_NOENT;
    if (status != NEAP_OK)
        return vfs_code(status, SQLITE_IOERR_DELETE);
    return sync_directory ? vfs_sync_directory_of(vfs->io, path) : SQLITE_OK;
}

/* An empty journal is as good as none: SQLite asks whether there is something to read. Where the system does not say, we do
 * not either: a hot journal taken for missing would be a database taken for whole. */
static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret_there)
{
    struct vfs *vfs = vfs_of(base);
    if (flags == SQLITE_ACCESS_EXISTS) {
        struct io_file_info info;
        enum neap_status status = io_path_info(vfs->io, path, &info);
        if (status != NEAP_OK && status != NEAP_NOTFOUND)
            return SQLITE_IOERR_ACCESS;
        *ret_there = status == NEAP_OK && (info.kind != IO_KIND_FILE || info.size > 0);
        return SQLITE_OK;
    }
    struct io_file *file = NULL;
    enum neap_status status = io_file_open(vfs->io, path, IO_READ | IO_WRITE, &file, NULL);
    io_file_close(&file);
    *ret_there = status == NEAP_OK;
    return SQLITE_OK;
}

/* The one name of a file, symbolic links followed: journals stand beside the database itself, where everybody looks. */
static int vfs_full_path(sqlite3_vfs *base, const char *path, int size, char *to)
{
    must(size > 0);
    return vfs_code(io_path_full(vfs_of(base)->io, path, to, (size_t)size, NULL), SQLITE_CANTOPEN_FULLPATH);
}

/* ---- extensions: none are loaded through this door ---- */

static void *vfs_dl_open(sqlite3_vfs *base, const char *path)
{
    return NULL;
}

static void vfs_dl_error(sqlite3_vfs *base, int size, char *to)
{
    sqlite3_snprintf(size, to, "extensions are not loaded here");
}

static void (*vfs_dl_sym(sqlite3_vfs *base, void *library, const char *name))(void)
{
    return NULL;
}

static void vfs_dl_close(sqlite3_vfs *base, void *library)
{
    must(library == NULL); /* none was opened */
}

/* ---- chance and time ---- */

static int vfs_random(sqlite3_vfs *base, int size, char *to)
{
    for (int done = 0; done < size; done += 8) {
        uint64_t number = io_random(vfs_of(base)->io);
        memcpy(to + done, &number, size - done < 8 ? (size_t)(size - done) : 8);
    }
    return size;
}

static int vfs_sleep(sqlite3_vfs *base, int duration_us)
{
    io_sleep(vfs_of(base)->io, duration_us * NS_PER_US);
    return duration_us;
}

static int vfs_time_ms(sqlite3_vfs *base, sqlite3_int64 *ret_ms)
{
    *ret_ms = io_wall(vfs_of(base)->io).ms + UNIX_EPOCH_MS;
    return SQLITE_OK;
}

static int vfs_time_days(sqlite3_vfs *base, double *ret_days)
{
    sqlite3_int64 ms;
    int code = vfs_time_ms(base, &ms);
    *ret_days = (double)ms / DAY_MS;
    return code;
}

static int vfs_last_error(sqlite3_vfs *base, int size, char *to)
{
    return 0;
}

/* ---- registering ---- */

static enum neap_status vfs_register(struct io *io, const char *name, bool is_default, struct error *err)
{
    must(io != NULL && name != NULL);
    if (sqlite3_vfs_find(name) != NULL)
        return error_set(err, NEAP_EXISTS, "SQLite has a VFS named %s already", name);
    size_t name_size = strlen(name) + 1;
    struct vfs *vfs = malloc(sizeof(*vfs) + name_size);
    if (vfs == NULL)
        return error_set(err, NEAP_NOMEM, "VFS %s: no memory", name);
    *vfs = (struct vfs){
        .base = {
            .iVersion = 2,
            .szOsFile = sizeof(struct vfs_file),
            .mxPathname = VFS_PATH_SIZE_MAX - 1,
            .zName = memcpy(vfs->name, name, name_size),
            .pAppData = vfs,
            .xOpen = vfs_open,
            .xDelete = vfs_delete,
            .xAccess = vfs_access,
            .xFullPathname = vfs_full_path,
            .xDlOpen = vfs_dl_open,
            .xDlError = vfs_dl_error,
            .xDlSym = vfs_dl_sym,
            .xDlClose = vfs_dl_close,
            .xRandomness = vfs_random,
            .xSleep = vfs_sleep,
            .xCurrentTime = vfs_time_days,
            .xGetLastError = vfs_last_error,
            .xCurrentTimeInt64 = vfs_time_ms,
        },
        .io = io,
    };
    if (sqlite3_vfs_register(&vfs->base, is_default) != SQLITE_OK) {
        free(vfs);
        return error_set(err, NEAP_NOMEM, "SQLite does not take the VFS %s", name);
    }
    return NEAP_OK;
}

enum neap_status io_vfs_register(struct io *io, const char *name, struct error *err)
{
    /* Before SQLite wakes up; later it says no, and nothing is lost: its counts of memory, which nobody asks for, take a lock
     * at every allocation. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    enum neap_status status = vfs_register(io, name, true, err);
    if (status == NEAP_OK)
        sqlite3_randomness(0,
                           NULL); /* forget the old seed; the next comes through the default VFS, which is ours now */
    return status;
}

enum neap_status io_vfs_register_guest(struct io *io, const char *name, struct error *err)
{
    return vfs_register(io, name, false, err);
}

void io_vfs_unregister(const char *name)
{
    sqlite3_vfs *base = sqlite3_vfs_find(name);
    if (base == NULL || base->xOpen != vfs_open)
        return;
    bool was_default = sqlite3_vfs_find(NULL) == base;
    sqlite3_vfs_unregister(base);
    if (was_default)
        sqlite3_randomness(0, NULL);
    free(vfs_of(base));
}
