/* header.h - the header of a journal file, and what can be told of one that is damaged.
 *
 * owner    pure functions over a directory at rest; recovery, doctor and repair ask them
 * memory   one buffer while a file is searched
 * errors   VERSION, IO, DENIED, NOMEM; damage is a state, not an error
 * promise  H1 what is told has witnesses: the file's first entry names its position and salt, its index the salt, and the
 *             files beside it where it begins and ends; two of them agree, or nothing is told
 *          H2 nothing is written here */
#ifndef LOG_LOCAL_HEADER_H
#define LOG_LOCAL_HEADER_H

#include "log/local/local.h"

enum header_state {
    HEADER_WHOLE,
    HEADER_TOLD, /* damaged; every member is known all the same */
    HEADER_LOST, /* damaged, and the salt is not known; base and size: from its neighbours, or 0 */
    HEADER_GONE, /* there is no such file */
};
struct header_look {
    enum header_state state;
    struct file_header header;
    struct io_file *file; /* open for reading and writing; NULL: GONE */
    uint64_t disk_size;   /* of the file as it is */
};
/* Whoever calls closes the file. `mode`: IO_READ, or with IO_WRITE. */
enum neap_status header_look(const struct log *log, uint64_t sequence, uint32_t mode, struct header_look *ret_look,
                             struct error *err);
/* Whether an entry of any life stands anywhere in it that names the very position where it stands: something was written there
 * since the file has that base. */
enum neap_status header_holds_entries(struct io_file *file, uint64_t base, uint64_t disk_size, bool *ret_holds);

#endif
