/* pool.h - what simulated disks are made of: pages, file contents, and names that are written once.
 *
 * owner    a disk; those made from it share it and are counted
 * memory   grows in blocks, is used again, and goes with the last disk
 * promise  a page or content with more than one holder is never changed: the one who changes it gets a copy */
#ifndef IO_SIM_POOL_H
#define IO_SIM_POOL_H

#include "base/bytes.h"

#define SIM_PAGE_SIZE    4096u
#define SIM_SECTOR_SIZE  512u
#define SIM_SECTOR_COUNT (SIM_PAGE_SIZE / SIM_SECTOR_SIZE)

struct sim_page {
    struct sim_page *next; /* while free */
    uint32_t ref_count;
    uint8_t bytes[SIM_PAGE_SIZE];
};

struct sim_content { /* of a file; a NULL page is zeros */
    struct sim_content *next;
    uint32_t ref_count;
    uint32_t page_count, page_room;
    uint64_t size;
    struct sim_page **pages;
};

struct sim_name {
    char *text; /* the whole path: "/", "/data/journal" */
    uint32_t parent;
    uint32_t hash;
};

struct sim_pool {
    uint32_t ref_count;
    struct sim_page *free_pages;
    struct sim_content *free_contents;
    void *blocks; /* a list of what was taken from the heap */
    struct sim_name *names;
    uint32_t name_count, name_room;
    uint32_t *name_table; /* index + 1; a power of two of places */
    uint32_t name_table_size;
};

#define SIM_NAME_ROOT 0u

struct sim_pool *sim_pool_new(void);
struct sim_pool *sim_pool_keep(struct sim_pool *pool);
void sim_pool_release(struct sim_pool **pool);

/* The number of a path, made when new. "." and ".." and double slashes are resolved; a relative path hangs at "/". */
uint32_t sim_pool_name(struct sim_pool *pool, const char *path);
const char *sim_pool_text(const struct sim_pool *pool, uint32_t name);

struct sim_content *sim_content_new(struct sim_pool *pool);
void sim_content_release(struct sim_pool *pool, struct sim_content **content);
/* Makes *content the caller's alone; each of the three below asks for it first. */
void sim_content_own(struct sim_pool *pool, struct sim_content **content);
void sim_content_write(struct sim_pool *pool, struct sim_content **content, uint64_t position, struct bytes bytes);
void sim_content_resize(struct sim_pool *pool, struct sim_content **content, uint64_t size);
size_t sim_content_read(const struct sim_content *content, void *to, size_t size, uint64_t position);

bool sim_is_zero(struct bytes bytes);

void *sim_take(size_t size); /* zeroed; out of memory stops the program: nothing is being served here */
void *sim_grow(void *at, size_t count, uint32_t *room, size_t size); /* room for count + 1 of this size */

#endif
