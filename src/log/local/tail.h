/* tail.h - the newest bytes of the journal, kept in memory where they were built.
 *
 * owner    the journal agent writes; anybody reads what is durable
 * memory   block_size * block_count, taken in tail_init()
 * limits   a read that reaches before what is kept answers false: the file has it
 * promise  what is read is what was written at that position: a block is renamed and read under its mutex, and the bytes of
 *          one life of a block are written before the position that makes them readable is published */
#ifndef LOG_LOCAL_TAIL_H
#define LOG_LOCAL_TAIL_H

#include "log/local/local.h"

enum neap_status tail_init(struct tail *t, struct io *io, uint32_t size);
void tail_fini(struct tail *t);
/* Makes room for [position, position + size) as the newest bytes. */
void tail_open(struct tail *t, uint64_t position, uint64_t size);
void tail_put(struct tail *t, uint64_t position, const void *from, size_t size);
void tail_zero(struct tail *t, uint64_t position, size_t size);
uint8_t *tail_at(struct tail *t, uint64_t position); /* one byte and what follows in its block */
/* Where `size` bytes from there on lie together; NULL where they do not. */
uint8_t *tail_run(struct tail *t, uint64_t position, size_t size);
/* The runs of memory that hold [position, position + size): at most `room`; answers how many. */
uint32_t tail_parts(struct tail *t, uint64_t position, uint64_t size, struct bytes *ret_parts, uint32_t room);
bool tail_read(struct tail *t, uint64_t position, void *to, size_t size);

#endif
