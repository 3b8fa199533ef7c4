/* file.h - what the files of the file sink share; nobody else includes it.
 *
 *     file.c         the tasks' side: options, add(), one batch after the other
 *     file_place.c   the worker's side: where in which file the next bytes go, and what a restart may find there
 *
 * FORMAT of the fact in LOG_VIEW_SINK; partition = the source partition of the batch, key = pipeline, '\0', sink:
 *     0  1  format version 1      1  8  sequence: grows with each fact of this sink; the highest one counts
 *     9  8  device               17  8  inode      25  8  size: bytes of the file that are ours, or were there before us
 *    33  4  CRC32C of the first min(1,024, size) bytes: an inode's number is used again, its bytes are not
 *
 * F1  Before the first byte goes into a file, a fact says how long it was without us.
 * F2  A batch is written at the recorded size, synced, and its new size is a fact of the unit that commits it.
 * F3  The next batch is written only when that fact is durable.
 *
 * AFTER A CRASH  bytes past the recorded size are a batch that was not committed, by F1 and F3 nothing else: they are cut
 * off. A file that is shorter than recorded lost what was promised: CONFLICT. Another file at the path, or none, is a
 * rotation: said, and begun at the end of what is there. */
#ifndef SINK_FILE_H
#define SINK_FILE_H

#include "sink/sinks.h"
#include "sink/worker.h"

#define FILE_FACT_SIZE 37u
#define FILE_HEAD_SIZE 1024u

struct file_fact {
    uint64_t sequence, device, inode, size;
    uint32_t head_crc;
};
void file_fact_encode(const struct file_fact *fact, uint8_t *room); /* room: FILE_FACT_SIZE */
enum neap_status file_fact_decode(struct bytes bytes, struct file_fact *ret_fact);

enum file_state { FILE_UNKNOWN, FILE_MARKING, FILE_READY };

struct file_place { /* the worker's turn */
    enum file_state state;
    bool loaded, found;      /* facts have been read; there was one */
    bool torn;               /* a write of ours failed: bytes past the size may be ours */
    struct file_fact fact;   /* the newest one; sequence 0: none */
    struct file_fact before; /* the one before the mark, while that is not durable */
    struct io_file *file;
    uint8_t head[FILE_HEAD_SIZE]; /* the file's first bytes */
    uint8_t fact_room[LOG_VALUE_SIZE_MAX];
    uint8_t values[2][FILE_FACT_SIZE]; /* of the last two batches' facts: theirs until the unit is done, rule F3 */
    uint8_t mark[FILE_FACT_SIZE];
    struct log_unit unit; /* the mark of rule F1 */
    struct log_op op;
    enum neap_status mark_status;
};

struct file_sink {
    struct sink sink;
    uint32_t magic;
    struct file_sink_options options;
    char key[LOG_KEY_SIZE_MAX];
    size_t key_size;
    struct worker *worker;
    struct log_client *client; /* the worker's turn */
    struct file_place place;
    struct { /* the worker's turn: what came in and is not answered */
        struct sink_recover *recovers;
        struct sink_batch *batches;
    } pending;
    struct { /* the tasks' agent */
        struct sink_batch *waiting, **waiting_end;
        struct sink_batch *landing;
        void (*landing_done)(struct sink_batch *batch);
        bool unsettled; /* landed, and its fact is not yet durable */
        bool given_up;  /* nor will it ever be: nothing more is written before the next start */
        struct log_partition source;
        uint64_t sequence;
        uint8_t fact_room[LOG_VALUE_SIZE_MAX];
    } task;
};

/* Finds and opens the file, cuts what was not committed; leaves READY, or MARKING with a unit on its way. */
enum neap_status file_prepare(struct file_sink *s, struct log_partition source, bool take_over, struct error *err);
/* The path still leads to the open file, and the file is as we left it. NOTFOUND: rotated; prepare again. */
enum neap_status file_check(struct file_sink *s, struct error *err);
void file_close(struct file_sink *s);
/* Writes and syncs; on success `ret_value` is the fact for the unit. */
enum neap_status file_append(struct file_sink *s, struct bytes rows, struct bytes *ret_value, struct error *err);

#endif
