/* disk.h - the budget that a directory was last opened with, for whoever opens it without saying one.
 *
 * owner    log_open(), alone in the directory; doctor reads it
 * memory   none
 * errors   recall: NOTFOUND: none was ever said; CORRUPT; VERSION
 * promise  what was said last is found, or none: a new one replaces the old one by its name, synced first
 *
 * FORMAT of neap.disk, little-endian
 *     0  4  magic "NPD1"            24  8  disk: bytes; 0: not said so
 *     4  4  format version (1)      32  4  share of the disk, percent; 0: not said so; both 0: the default
 *     8 16  log id                  36  4  CRC32C of bytes 0..35 */
#ifndef LOG_LOCAL_DISK_H
#define LOG_LOCAL_DISK_H

#include "log/local/local.h"

#define DISK_NAME      "neap.disk"
#define DISK_MAGIC     0x3144504eu /* "NPD1" */
#define DISK_VERSION   1u
#define DISK_FILE_SIZE 40u

struct disk_said {
    uint64_t size;
    uint32_t percent;
};
enum neap_status disk_recall(const struct log *log, struct disk_said *ret_said, struct error *err);
/* Where another one lies there. */
enum neap_status disk_remember(const struct log *log, const struct disk_said *said, struct error *err);

#endif
