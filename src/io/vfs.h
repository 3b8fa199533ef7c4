/* vfs.h - SQLite on our door: a VFS whose every call goes through io.h.
 *
 * Locks are SQLite's own byte ranges on the database file, so other programs (the sqlite3 shell) can read and write the
 * same database beside us; WAL's shared memory is io_file_map() of the -shm file. */
#ifndef IO_VFS_H
#define IO_VFS_H

#include "io/io.h"

/* Registers a VFS for this door under `name` (kept until io_vfs_unregister). NEAP_EXISTS when the name is taken. It becomes
 * SQLite's default until then, because SQLite seeds its own chance (salts of a WAL, nonces of a journal) from that one. */
enum neap_status io_vfs_register(struct io *io, const char *name, struct error *err);
/* The same in somebody else's program: not the default, and nothing of SQLite's own settings is touched. */
enum neap_status io_vfs_register_guest(struct io *io, const char *name, struct error *err);
void io_vfs_unregister(const char *name);

#endif
