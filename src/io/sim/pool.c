#include "io/sim/pool.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define PAGES_PER_BLOCK    64u
#define CONTENTS_PER_BLOCK 64u
#define PATH_SIZE_MAX      1024u

void *sim_take(size_t size)
{
    void *at = calloc(1, size);
    must(at != NULL);
    return at;
}

void *sim_grow(void *at, size_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return at;
    uint32_t more = *room < 8 ? 16 : *room * 2;
    void *moved = realloc(at, (size_t)more * size);
    must(moved != NULL);
    *room = more;
    return moved;
}

/* ---- the pool ---- */

struct block {
    struct block *next;
};

static void *block_take(struct sim_pool *pool, size_t size)
{
    struct block *block = malloc(sizeof(*block) + size);
    must(block != NULL);
    block->next = pool->blocks;
    pool->blocks = block;
    return block + 1;
}

static uint32_t name_add(struct sim_pool *pool, const char *path, size_t size, uint32_t hash, uint32_t parent);

struct sim_pool *sim_pool_new(void)
{
    struct sim_pool *pool = sim_take(sizeof(*pool));
    pool->ref_count = 1;
    pool->name_table_size = 256;
    pool->name_table = sim_take(pool->name_table_size * sizeof(uint32_t));
    name_add(pool, "/", 1, 0, SIM_NAME_ROOT);
    return pool;
}

struct sim_pool *sim_pool_keep(struct sim_pool *pool)
{
    must(pool->ref_count > 0);
    pool->ref_count++;
    return pool;
}

static void free_all_contents(struct sim_pool *pool)
{
    for (struct sim_content *content = pool->free_contents; content != NULL; content = content->next)
        free(content->pages);
}

void sim_pool_release(struct sim_pool **ref)
{
    struct sim_pool *pool = *ref;
    *ref = NULL;
    if (pool == NULL || --pool->ref_count > 0)
        return;
    free_all_contents(pool);
    for (struct block *block = pool->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    for (uint32_t i = 0; i < pool->name_count; i++)
        free(pool->names[i].text);
    free(pool->names);
    free(pool->name_table);
    free(pool);
}

/* ---- names ---- */

static uint32_t text_hash(const char *text, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return hash;
}

static void table_put(struct sim_pool *pool, uint32_t name)
{
    uint32_t mask = pool->name_table_size - 1;
    uint32_t at = pool->names[name].hash & mask;
    while (pool->name_table[at] != 0)
        at = (at + 1) & mask;
    pool->name_table[at] = name + 1;
}

static void table_grow(struct sim_pool *pool)
{
    free(pool->name_table);
    pool->name_table_size *= 2;
    pool->name_table = sim_take(pool->name_table_size * sizeof(uint32_t));
    for (uint32_t i = 1; i < pool->name_count; i++)
        table_put(pool, i);
}

static uint32_t name_add(struct sim_pool *pool, const char *path, size_t size, uint32_t hash, uint32_t parent)
{
    pool->names = sim_grow(pool->names, pool->name_count, &pool->name_room, sizeof(struct sim_name));
    char *text = malloc(size + 1);
    must(text != NULL);
    memcpy(text, path, size);
    text[size] = 0;
    uint32_t name = pool->name_count++;
    pool->names[name] = (struct sim_name){ .text = text, .parent = parent, .hash = hash };
    if (name == SIM_NAME_ROOT)
        return name;
    if (pool->name_count * 2 > pool->name_table_size)
        table_grow(pool); /* puts the new one as well */
    else
        table_put(pool, name);
    return name;
}

static bool name_find(const struct sim_pool *pool, const char *path, size_t size, uint32_t hash, uint32_t *ret_name)
{
    uint32_t mask = pool->name_table_size - 1;
    for (uint32_t at = hash & mask; pool->name_table[at] != 0; at = (at + 1) & mask) {
        uint32_t name = pool->name_table[at] - 1;
        const struct sim_name *known = &pool->names[name];
        if (known->hash == hash && strncmp(known->text, path, size) == 0 && known->text[size] == 0) {
            *ret_name = name;
            return true;
        }
    }
    return false;
}

static uint32_t name_find_or_add(struct sim_pool *pool, const char *path, size_t size, uint32_t parent)
{
    uint32_t hash = text_hash(path, size), name;
    if (name_find(pool, path, size, hash, &name))
        return name;
    return name_add(pool, path, size, hash, parent);
}

uint32_t sim_pool_name(struct sim_pool *pool, const char *path)
{
    char clean[PATH_SIZE_MAX];
    size_t size = 0;
    uint32_t name = SIM_NAME_ROOT;
    if (name_find(pool, path, strlen(path), text_hash(path, strlen(path)), &name))
        return name; /* known just so */
    while (*path != 0) {
        size_t part = strcspn(path, "/");
        if (part == 2 && path[0] == '.' && path[1] == '.') {
            name = pool->names[name].parent;
            size = name == SIM_NAME_ROOT ? 0 : strlen(pool->names[name].text);
        } else if (part > 0 && !(part == 1 && path[0] == '.')) {
            must(size + part + 2 < sizeof(clean));
            clean[size++] = '/';
            memcpy(clean + size, path, part);
            size += part;
            name = name_find_or_add(pool, clean, size, name);
        }
        path += part;
        path += *path == '/';
    }
    return name;
}

const char *sim_pool_text(const struct sim_pool *pool, uint32_t name)
{
    must(name < pool->name_count);
    return pool->names[name].text;
}

/* ---- pages ---- */

static struct sim_page *page_new(struct sim_pool *pool)
{
    if (pool->free_pages == NULL) {
        struct sim_page *pages = block_take(pool, PAGES_PER_BLOCK * sizeof(*pages));
        for (uint32_t i = 0; i < PAGES_PER_BLOCK; i++) {
            pages[i].next = pool->free_pages;
            pool->free_pages = &pages[i];
        }
    }
    struct sim_page *page = pool->free_pages;
    pool->free_pages = page->next;
    page->ref_count = 1;
    return page;
}

static void page_release(struct sim_pool *pool, struct sim_page *page)
{
    if (page == NULL || --page->ref_count > 0)
        return;
    page->next = pool->free_pages;
    pool->free_pages = page;
}

/* The page to write `size` bytes to: the content's alone, and filled unless all of it is about to be written. */
static struct sim_page *page_own(struct sim_pool *pool, struct sim_page **ref, size_t size)
{
    struct sim_page *page = *ref;
    if (page != NULL && page->ref_count == 1)
        return page;
    struct sim_page *mine = page_new(pool);
    if (size < SIM_PAGE_SIZE) {
        if (page != NULL)
            memcpy(mine->bytes, page->bytes, SIM_PAGE_SIZE);
        else
            memset(mine->bytes, 0, SIM_PAGE_SIZE);
    }
    page_release(pool, page);
    *ref = mine;
    return mine;
}

/* ---- contents ---- */

bool sim_is_zero(struct bytes bytes)
{
    return bytes.size == 0 || (bytes.at[0] == 0 && memcmp(bytes.at, bytes.at + 1, bytes.size - 1) == 0);
}

static struct sim_content *content_take(struct sim_pool *pool)
{
    if (pool->free_contents == NULL) {
        struct sim_content *contents = block_take(pool, CONTENTS_PER_BLOCK * sizeof(*contents));
        memset(contents, 0, CONTENTS_PER_BLOCK * sizeof(*contents));
        for (uint32_t i = 0; i < CONTENTS_PER_BLOCK; i++) {
            contents[i].next = pool->free_contents;
            pool->free_contents = &contents[i];
        }
    }
    struct sim_content *content = pool->free_contents;
    pool->free_contents = content->next;
    content->ref_count = 1;
    return content;
}

static void content_room(struct sim_content *content, uint64_t page_count)
{
    must(page_count < UINT32_MAX / 2);
    if (page_count <= content->page_room)
        return;
    uint32_t room = content->page_room == 0 ? 16 : content->page_room;
    while (room < page_count)
        room *= 2;
    content->pages = realloc(content->pages, room * sizeof(content->pages[0]));
    must(content->pages != NULL);
    content->page_room = room;
}

struct sim_content *sim_content_new(struct sim_pool *pool)
{
    struct sim_content *content = content_take(pool);
    content->size = 0;
    content->page_count = 0;
    return content;
}

void sim_content_release(struct sim_pool *pool, struct sim_content **ref)
{
    struct sim_content *content = *ref;
    *ref = NULL;
    if (content == NULL || --content->ref_count > 0)
        return;
    for (uint32_t i = 0; i < content->page_count; i++)
        page_release(pool, content->pages[i]);
    content->page_count = 0;
    content->next = pool->free_contents; /* with its page list: it is used again */
    pool->free_contents = content;
}

void sim_content_own(struct sim_pool *pool, struct sim_content **ref)
{
    struct sim_content *shared = *ref;
    if (shared->ref_count == 1)
        return;
    struct sim_content *mine = content_take(pool);
    content_room(mine, shared->page_count);
    for (uint32_t i = 0; i < shared->page_count; i++) {
        mine->pages[i] = shared->pages[i];
        if (mine->pages[i] != NULL)
            mine->pages[i]->ref_count++;
    }
    mine->page_count = shared->page_count;
    mine->size = shared->size;
    shared->ref_count--;
    *ref = mine;
}

static void content_reach(struct sim_content *content, uint64_t size)
{
    uint64_t page_count = (size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE;
    content_room(content, page_count);
    while (content->page_count < page_count)
        content->pages[content->page_count++] = NULL;
    content->size = size;
}

void sim_content_write(struct sim_pool *pool, struct sim_content **ref, uint64_t position, struct bytes bytes)
{
    sim_content_own(pool, ref);
    struct sim_content *content = *ref;
    if (position + bytes.size > content->size)
        content_reach(content, position + bytes.size);
    while (bytes.size > 0) {
        size_t from = position % SIM_PAGE_SIZE;
        size_t size = SIM_PAGE_SIZE - from < bytes.size ? SIM_PAGE_SIZE - from : bytes.size;
        struct sim_page **page = &content->pages[position / SIM_PAGE_SIZE];
        if (size == SIM_PAGE_SIZE && sim_is_zero((struct bytes){ bytes.at, size })) {
            page_release(pool, *page);
            *page = NULL;
        } else {
            memcpy(page_own(pool, page, size)->bytes + from, bytes.at, size);
        }
        bytes.at += size;
        bytes.size -= size;
        position += size;
    }
}

void sim_content_resize(struct sim_pool *pool, struct sim_content **ref, uint64_t size)
{
    sim_content_own(pool, ref);
    struct sim_content *content = *ref;
    if (size >= content->size) {
        content_reach(content, size);
        return;
    }
    uint64_t page_count = (size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE;
    while (content->page_count > page_count)
        page_release(pool, content->pages[--content->page_count]);
    size_t left = size % SIM_PAGE_SIZE;
    if (left > 0 && content->pages[page_count - 1] != NULL) {
        struct sim_page *page = page_own(pool, &content->pages[page_count - 1], left);
        memset(page->bytes + left, 0, SIM_PAGE_SIZE - left); /* what grows back is zeros */
    }
    content->size = size;
}

size_t sim_content_read(const struct sim_content *content, void *to, size_t size, uint64_t position)
{
    if (position >= content->size)
        return 0;
    if (size > content->size - position)
        size = content->size - position;
    uint8_t *at = to;
    for (size_t left = size; left > 0;) {
        size_t from = position % SIM_PAGE_SIZE;
        size_t part = SIM_PAGE_SIZE - from < left ? SIM_PAGE_SIZE - from : left;
        const struct sim_page *page = content->pages[position / SIM_PAGE_SIZE];
        if (page != NULL)
            memcpy(at, page->bytes + from, part);
        else
            memset(at, 0, part);
        at += part;
        position += part;
        left -= part;
    }
    return size;
}
