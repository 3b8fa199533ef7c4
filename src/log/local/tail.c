#include "log/local/tail.h"
#include <stdlib.h>

#define TAIL_BLOCK_SIZE_MAX (1u << 20)
#define TAIL_BLOCK_COUNT    8u

enum neap_status tail_init(struct tail *t, struct io *io, uint32_t size)
{
    uint32_t block_size = JOURNAL_PAGE_SIZE;
    while (block_size < TAIL_BLOCK_SIZE_MAX && (uint64_t)block_size * 2 * TAIL_BLOCK_COUNT <= size)
        block_size *= 2;
    *t = (struct tail){ .block_size = block_size, .block_count = size / block_size, .from = UINT64_MAX };
    must(t->block_count >= 2);
    t->blocks = calloc(t->block_count, sizeof(t->blocks[0]));
    t->memory = malloc((size_t)t->block_count * block_size); /* one run, so that a write is two parts at most */
    if (t->blocks == NULL || t->memory == NULL)
        return NEAP_NOMEM;
    for (uint32_t i = 0; i < t->block_count; i++) {
        t->blocks[i] = (struct tail_block){ .mutex = io_mutex_new(io), .base = UINT64_MAX };
        t->blocks[i].bytes = t->memory + (size_t)i * block_size;
        if (t->blocks[i].mutex == NULL)
            return NEAP_NOMEM; /* tail_fini() copes with a half-built one */
    }
    return NEAP_OK;
}

void tail_fini(struct tail *t)
{
    for (uint32_t i = 0; t->blocks != NULL && i < t->block_count; i++)
        io_mutex_free(&t->blocks[i].mutex);
    free(t->blocks);
    free(t->memory);
    *t = (struct tail){ 0 };
}

static struct tail_block *block_of(struct tail *t, uint64_t position)
{
    return &t->blocks[position / t->block_size % t->block_count];
}

static uint64_t block_base(const struct tail *t, uint64_t position)
{
    return position - position % t->block_size;
}

/* Does all of it lie in the block opened last? */
static inline bool in_newest(const struct tail *t, uint64_t position, uint64_t size)
{
    return t->newest != NULL && position >= t->newest->base && position + size <= t->newest->base + t->block_size;
}

void tail_open(struct tail *t, uint64_t position, uint64_t size)
{
    if (in_newest(t, position, size))
        return;
    must(size <= (uint64_t)(t->block_count - 1) * t->block_size);
    for (uint64_t base = block_base(t, position); base < position + size; base += t->block_size) {
        struct tail_block *block = block_of(t, base);
        if (block->base == base)
            continue;
        io_mutex_take(block->mutex); /* a reader may be copying its former life */
        block->base = base;
        io_mutex_drop(block->mutex);
        t->newest = block;
    }
    if (t->from == UINT64_MAX)
        t->from = position; /* before any agent runs: what lies before was never here */
}

uint8_t *tail_at(struct tail *t, uint64_t position)
{
    struct tail_block *block = block_of(t, position);
    must(block->base == block_base(t, position));
    return block->bytes + position % t->block_size;
}

uint8_t *tail_run(struct tail *t, uint64_t position, size_t size)
{
    if (in_newest(t, position, size))
        return t->newest->bytes + (position - t->newest->base);
    uint8_t *at = tail_at(t, position); /* blocks lie one after the other: only at the last one's end it begins again */
    return size <= (size_t)(t->memory + (size_t)t->block_count * t->block_size - at) ? at : NULL;
}

void tail_put(struct tail *t, uint64_t position, const void *from, size_t size)
{
    const uint8_t *at = from;
    while (size > 0) {
        size_t left = t->block_size - position % t->block_size;
        size_t part = size < left ? size : left;
        memcpy(tail_at(t, position), at, part);
        at += part;
        position += part;
        size -= part;
    }
}

void tail_zero(struct tail *t, uint64_t position, size_t size)
{
    while (size > 0) {
        size_t left = t->block_size - position % t->block_size;
        size_t part = size < left ? size : left;
        memset(tail_at(t, position), 0, part);
        position += part;
        size -= part;
    }
}

uint32_t tail_parts(struct tail *t, uint64_t position, uint64_t size, struct bytes *ret_parts, uint32_t room)
{
    uint32_t count = 0;
    while (size > 0) {
        uint64_t left = t->block_size - position % t->block_size;
        uint64_t part = size < left ? size : left;
        uint8_t *at = tail_at(t, position);
        if (count > 0 && ret_parts[count - 1].at + ret_parts[count - 1].size == at) {
            ret_parts[count - 1].size += part;
        } else {
            must(count < room);
            ret_parts[count++] = (struct bytes){ at, part };
        }
        position += part;
        size -= part;
    }
    return count;
}

bool tail_read(struct tail *t, uint64_t position, void *to, size_t size)
{
    uint8_t *at = to;
    if (position < t->from)
        return false;
    while (size > 0) {
        size_t left = t->block_size - position % t->block_size;
        size_t part = size < left ? size : left;
        struct tail_block *block = block_of(t, position);
        io_mutex_take(block->mutex);
        bool there = block->base == block_base(t, position);
        if (there)
            memcpy(at, block->bytes + position % t->block_size, part);
        io_mutex_drop(block->mutex);
        if (!there)
            return false;
        at += part;
        position += part;
        size -= part;
    }
    return true;
}
