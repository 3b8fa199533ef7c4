#include "log/local/pages.h"
#include "base/must.h"
#include <stdlib.h>

#define PAGE_SIZE PAGES_SIZE_MIN
#define NONE      UINT32_MAX

struct page {
    uint64_t file, number; /* of the opening (io_file_number()), and in the file; file 0: empty */
    uint32_t size;         /* what the file has of it: the last page is short */
    uint32_t next;         /* in its bucket */
    bool asked;            /* since the hand last came by */
};

struct pages {
    struct io_mutex *mutex;
    struct page *list;
    uint8_t *bytes; /* PAGE_SIZE for each */
    uint32_t count, hand;
    uint32_t *buckets; /* first page of each, or NONE */
    uint32_t bucket_mask;
    struct pages_figures figures;
};

static uint32_t page_count(size_t size)
{
    size_t count = size / PAGE_SIZE;
    return count < 2 ? 2 : count > UINT32_MAX / 4 ? UINT32_MAX / 4 : (uint32_t)count;
}

static uint32_t bucket_count(uint32_t count)
{
    uint32_t buckets = 1;
    while (buckets < count)
        buckets *= 2;
    return buckets;
}

size_t pages_memory_size(size_t size)
{
    uint32_t count = page_count(size);
    return (size_t)count * (PAGE_SIZE + sizeof(struct page)) + bucket_count(count) * sizeof(uint32_t);
}

struct pages *pages_new(struct io *io, size_t size)
{
    struct pages *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->count = page_count(size);
    p->bucket_mask = bucket_count(p->count) - 1;
    p->mutex = io_mutex_new(io);
    p->list = calloc(p->count, sizeof(p->list[0]));
    p->bytes = malloc((size_t)p->count * PAGE_SIZE);
    p->buckets = malloc(((size_t)p->bucket_mask + 1) * sizeof(p->buckets[0]));
    if (p->mutex == NULL || p->list == NULL || p->bytes == NULL || p->buckets == NULL) {
        pages_free(&p);
        return NULL;
    }
    for (uint32_t i = 0; i <= p->bucket_mask; i++)
        p->buckets[i] = NONE;
    return p;
}

void pages_free(struct pages **pages)
{
    struct pages *p = *pages;
    if (p == NULL)
        return;
    io_mutex_free(&p->mutex);
    free(p->list);
    free(p->bytes);
    free(p->buckets);
    free(p);
    *pages = NULL;
}

static uint32_t *bucket_of(struct pages *p, uint64_t file, uint64_t number)
{
    uint64_t hash = (file * 0x9e3779b97f4a7c15ull + number) * 0xd6e8feb86659fd93ull;
    return &p->buckets[(uint32_t)(hash >> 32) & p->bucket_mask];
}

static uint32_t find(struct pages *p, uint64_t file, uint64_t number)
{
    uint32_t at = *bucket_of(p, file, number);
    while (at != NONE && (p->list[at].file != file || p->list[at].number != number))
        at = p->list[at].next;
    return at;
}

/* The place of a page that nobody has asked for in a while, taken out of its bucket. */
static uint32_t make_room(struct pages *p)
{
    while (p->list[p->hand].asked) {
        p->list[p->hand].asked = false;
        p->hand = (p->hand + 1) % p->count;
    }
    uint32_t at = p->hand;
    p->hand = (p->hand + 1) % p->count;
    struct page *page = &p->list[at];
    if (page->file != 0) {
        uint32_t *link = bucket_of(p, page->file, page->number);
        while (*link != at)
            link = &p->list[*link].next;
        *link = page->next;
    }
    return at;
}

static void keep(struct pages *p, uint64_t file, uint64_t number, const uint8_t *bytes, uint32_t size)
{
    io_mutex_take(p->mutex);
    p->figures.miss_count++;
    if (find(p, file, number) == NONE) { /* nobody else was faster */
        uint32_t at = make_room(p), *bucket = bucket_of(p, file, number);
        p->list[at] = (struct page){ .file = file, .number = number, .size = size, .next = *bucket };
        *bucket = at;
        memcpy(p->bytes + (size_t)at * PAGE_SIZE, bytes, size);
    }
    io_mutex_drop(p->mutex);
}

/* A part of one page. */
static enum neap_status read_part(struct pages *p, struct io_file *file, uint64_t number, uint32_t from, void *to,
                                  uint32_t size)
{
    uint64_t id = io_file_number(file);
    io_mutex_take(p->mutex);
    uint32_t at = find(p, id, number);
    bool enough = at != NONE && p->list[at].size >= from + size;
    if (enough) {
        memcpy(to, p->bytes + (size_t)at * PAGE_SIZE + from, size);
        p->list[at].asked = true;
        p->figures.hit_count++;
    }
    io_mutex_drop(p->mutex);
    if (at != NONE)
        return enough ? NEAP_OK : NEAP_BADINPUT;

    uint8_t bytes[PAGE_SIZE];
    size_t got = 0;
    enum neap_status status = io_file_read(file, bytes, sizeof(bytes), number * PAGE_SIZE, &got);
    if (status != NEAP_OK)
        return status;
    keep(p, id, number, bytes, (uint32_t)got);
    if (got < from + size)
        return NEAP_BADINPUT;
    memcpy(to, bytes + from, size);
    return NEAP_OK;
}

enum neap_status pages_read(struct pages *pages, struct io_file *file, uint64_t position, void *to, size_t size)
{
    uint8_t *at = to;
    while (size > 0) {
        uint32_t from = (uint32_t)(position % PAGE_SIZE), left = PAGE_SIZE - from;
        uint32_t part = size < left ? (uint32_t)size : left;
        enum neap_status status = read_part(pages, file, position / PAGE_SIZE, from, at, part);
        if (status != NEAP_OK)
            return status;
        at += part;
        position += part;
        size -= part;
    }
    return NEAP_OK;
}

void pages_figures(struct pages *pages, struct pages_figures *ret_figures)
{
    io_mutex_take(pages->mutex);
    *ret_figures = pages->figures;
    io_mutex_drop(pages->mutex);
}
