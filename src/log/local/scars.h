/* scars.h - bytes of a journal file that a start passes over, because somebody has declared them lost.
 *
 * The file itself keeps every byte. Beside it lies SEQUENCE.lost, which names stretches of positions; replay believes nothing
 * else there than what has checksums of its own, and goes on behind.
 *
 * owner    written by repair, alone in the directory; read by recovery and doctor; unlinked when its file is used again
 * memory   its struct
 * limits   SCAR_COUNT_MAX stretches of one file
 * errors   NOTFOUND: there are none for this life of the file; CORRUPT: it cannot be read, and nothing is passed over
 * promise  a name is durable before anything relies on it; what belongs to another life of the file is ignored
 *
 * FORMAT little-endian
 *     0  4  magic "NPL1"            24  8  sequence number of the journal file      40  4  count
 *     4  4  format version (1)      32  8  its salt                                 44  4  CRC32C of bytes 0..43 and of all after 47
 *     8 16  log id                  48  .. stretches by position: from u64, to u64 */
#ifndef LOG_LOCAL_SCARS_H
#define LOG_LOCAL_SCARS_H

#include "log/local/local.h"

#define SCARS_MAGIC       0x314c504eu /* "NPL1" */
#define SCARS_VERSION     1u
#define SCARS_HEADER_SIZE 48u
#define SCAR_COUNT_MAX    256u
#define SCARS_SIZE_MAX    (SCARS_HEADER_SIZE + 16u * SCAR_COUNT_MAX)
#define SCARS_NAME        "%016llx.lost"

struct scars {
    struct log_id log_id;
    uint64_t sequence, salt;
    uint32_t count;
    struct {
        uint64_t from, to; /* positions: [from, to) */
    } list[SCAR_COUNT_MAX];
};

struct bytes scars_encode(const struct scars *scars, uint8_t room[SCARS_SIZE_MAX]);
/* BADINPUT: none of ours; CORRUPT; VERSION. */
enum neap_status scars_decode(struct bytes bytes, struct scars *ret_scars);
/* Those of this file in this life. `err` hears of VERSION only. */
enum neap_status scars_load(const struct log *log, uint64_t sequence, uint64_t salt, struct scars *ret_scars,
                            struct error *err);
enum neap_status scars_write(const struct log *log, const struct scars *scars, struct error *err);
void scars_unlink(const struct log *log, uint64_t sequence);
/* Where to go on behind `position`, where a stretch begins; 0: none does. */
uint64_t scars_pass(const struct scars *scars, uint64_t position);
bool scars_hold(const struct scars *scars, uint64_t position); /* whether any stretch holds it */

#endif
