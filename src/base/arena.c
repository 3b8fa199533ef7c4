#include "base/arena.h"
#include "base/must.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_MAGIC 0x41524e41u /* "ARNA" */
#define ALIGNMENT   16u

struct block {
    struct block *next;
    size_t size;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

/* Blocks lie newest first and the oldest, `first`, stays for good. `at` and `end` are the free part of the block that
 * small requests are cut from; it is not always the newest, for a large request's own block is full from its birth. */
struct arena {
    uint32_t magic;
    size_t block_size, size_max;
    size_t held_size, used_size;
    struct block *blocks, *first;
    uint8_t *at, *end;
};

static struct block *block_new(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct block))
        return NULL;
    struct block *block = malloc(sizeof *block + size);
    if (block != NULL)
        *block = (struct block){ .size = size };
    return block;
}

struct arena *arena_new(size_t block_size, size_t size_max)
{
    must(block_size > 0 && size_max > 0);
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return NULL;
    block_size = block_size < size_max ? block_size : size_max;
    arena->first = block_new(block_size);
    if (arena->first == NULL) {
        free(arena);
        return NULL;
    }
    arena->magic = ARENA_MAGIC;
    arena->block_size = block_size;
    arena->size_max = size_max;
    arena_reset(arena);
    return arena;
}

void arena_free(struct arena **arena)
{
    struct arena *a = *arena;
    *arena = NULL;
    if (a == NULL)
        return;
    arena_reset(a);
    a->magic = 0;
    free(a->first);
    free(a);
}

void arena_reset(struct arena *arena)
{
    CHECK_MAGIC(arena, ARENA_MAGIC);
    while (arena->blocks != NULL && arena->blocks != arena->first) {
        struct block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->blocks = arena->first;
    arena->held_size = arena->first->size;
    arena->used_size = 0;
    arena->at = arena->first->bytes;
    arena->end = arena->at + arena->first->size;
}

static struct block *grow(struct arena *arena, size_t size)
{
    if (size > arena->size_max - arena->held_size)
        return NULL;
    struct block *block = block_new(size);
    if (block == NULL)
        return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->held_size += size;
    return block;
}

void *arena_take(struct arena *arena, size_t size)
{
    CHECK_MAGIC(arena, ARENA_MAGIC);
    if (size > arena->size_max)
        return NULL;
    size = size > 0 ? size : 1; /* so that each answer is a place of its own */
    size_t rounded = round_up(size, ALIGNMENT);
    size_t left = (size_t)(arena->end - arena->at);
    if (size > left) {
        size_t still = arena->size_max - arena->held_size;
        size_t wanted = arena->block_size < still ? arena->block_size : still;
        bool alone = size > wanted / 2 || wanted < left;
        struct block *block = grow(arena, alone ? size : wanted);
        if (block == NULL)
            return NULL;
        if (alone) {
            arena->used_size += size;
            return block->bytes;
        }
        arena->at = block->bytes;
        arena->end = block->bytes + block->size;
        left = block->size;
    }
    size_t step = rounded < left ? rounded : left;
    void *given = arena->at;
    arena->at += step;
    arena->used_size += step;
    must(((uintptr_t)given & (ALIGNMENT - 1)) == 0 && step >= size);
    return given;
}

void *arena_zero(struct arena *arena, size_t size)
{
    void *at = arena_take(arena, size);
    return at != NULL ? memset(at, 0, size) : NULL;
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
    uint8_t *at = bytes.size < SIZE_MAX ? arena_take(arena, bytes.size + 1) : NULL;
    if (at == NULL)
        return (struct bytes){ NULL, 0 };
    if (bytes.size > 0)
        memcpy(at, bytes.at, bytes.size);
    at[bytes.size] = '\0';
    return (struct bytes){ at, bytes.size };
}

char *arena_text(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    must(size >= 0);
    char *text = arena_take(arena, (size_t)size + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}

size_t arena_used(const struct arena *arena)
{
    CHECK_MAGIC(arena, ARENA_MAGIC);
    return arena->used_size;
}
