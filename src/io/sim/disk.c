#include "io/sim/disk.h"
#include "base/must.h"
#include <stdlib.h>

#define DISK_MAGIC      0x6b736964u
#define DISK_SIZE       (1ull << 30)
#define DATA_BLOCK_SIZE (256u << 10)
#define ZEROS_SIZE      (1u << 20)
#define INO_ROOT        1u

/* ---- the history ---- */

struct data_block {
    struct data_block *next;
};

static struct bytes data_keep(struct sim_disk *disk, struct bytes bytes)
{
    static const uint8_t zeros[ZEROS_SIZE];
    if (bytes.size <= sizeof(zeros) && sim_is_zero(bytes))
        return (struct bytes){ zeros, bytes.size }; /* files written through once */
    if ((size_t)(disk->data_end - disk->data_at) < bytes.size) {
        size_t room = bytes.size > DATA_BLOCK_SIZE ? bytes.size : DATA_BLOCK_SIZE;
        struct data_block *block = malloc(sizeof(*block) + room);
        must(block != NULL);
        block->next = disk->data_blocks;
        disk->data_blocks = block;
        disk->data_at = (uint8_t *)(block + 1);
        disk->data_end = disk->data_at + room;
    }
    struct bytes kept = { disk->data_at, bytes.size };
    memcpy(disk->data_at, bytes.at, bytes.size);
    disk->data_at += bytes.size;
    return kept;
}

static void op_add(struct sim_disk *disk, const struct sim_op *op)
{
    if (!disk->record)
        return;
    must(disk->op_count < UINT32_MAX - 1);
    disk->ops = sim_grow(disk->ops, disk->op_count, &disk->op_room, sizeof(disk->ops[0]));
    disk->ops[disk->op_count++] = *op;
}

/* ---- making and ending ---- */

struct sim_disk *sim_disk_from(struct sim_pool *pool, struct sim_image *image, uint64_t size, bool record,
                               uint32_t next_ino)
{
    struct sim_disk *disk = sim_take(sizeof(*disk));
    disk->magic = DISK_MAGIC;
    disk->pool = sim_pool_keep(pool);
    disk->size_max = size;
    disk->record = record;
    disk->next_ino = next_ino;
    disk->seen = *image;
    *image = (struct sim_image){ .names = NULL };
    for (uint32_t i = 0; i < disk->seen.inode_count; i++) {
        const struct sim_inode *inode = &disk->seen.inodes[i];
        if (inode->content != NULL)
            disk->used += round_up(inode->content->size, SIM_PAGE_SIZE);
    }
    if (record)
        sim_image_copy(pool, &disk->base, &disk->seen);
    return disk;
}

struct sim_disk *sim_disk_new(const struct sim_disk_options *options)
{
    struct sim_pool *pool = sim_pool_new();
    struct sim_image image = { .names = NULL };
    sim_image_add(pool, &image, INO_ROOT, true);
    struct sim_op root = { .kind = SIM_OP_MKDIR, .ino = INO_ROOT, .name = SIM_NAME_ROOT };
    sim_image_apply(&image, &root);
    uint64_t size = options->size == 0 ? DISK_SIZE : options->size;
    struct sim_disk *disk = sim_disk_from(pool, &image, size, options->record, INO_ROOT + 1);
    sim_pool_release(&pool);
    return disk;
}

void sim_disk_free(struct sim_disk **ref)
{
    struct sim_disk *disk = *ref;
    *ref = NULL;
    if (disk == NULL)
        return;
    CHECK_MAGIC(disk, DISK_MAGIC);
    must(disk->door_count == 0);
    sim_walk_free(disk->pool, &disk->walk);
    sim_image_fini(disk->pool, &disk->seen);
    sim_image_fini(disk->pool, &disk->base);
    for (struct data_block *block = disk->data_blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(disk->ops);
    sim_pool_release(&disk->pool);
    disk->magic = 0;
    free(disk);
}

void sim_disk_size_set(struct sim_disk *disk, uint64_t size)
{
    disk->size_max = size;
}

uint64_t sim_disk_used(const struct sim_disk *disk)
{
    return disk->used;
}

uint32_t sim_disk_point(const struct sim_disk *disk)
{
    must(disk->record);
    return disk->op_count;
}

/* ---- names ---- */

struct sim_inode *sim_disk_lookup(struct sim_disk *disk, uint32_t name)
{
    struct sim_entry *entry = sim_image_name(&disk->seen, name);
    return entry == NULL ? NULL : sim_image_inode(&disk->seen, entry->ino);
}

static void forget_unused(struct sim_disk *disk, uint32_t ino)
{
    struct sim_inode *inode = sim_image_inode(&disk->seen, ino);
    if (inode == NULL || inode->link_count > 0 || inode->open_count > 0)
        return;
    if (inode->content != NULL)
        disk->used -= round_up(inode->content->size, SIM_PAGE_SIZE);
    sim_image_remove(disk->pool, &disk->seen, inode);
}

uint32_t sim_disk_create(struct sim_disk *disk, uint32_t name, bool directory)
{
    must(sim_image_name(&disk->seen, name) == NULL);
    struct sim_op op = { .kind = directory ? SIM_OP_MKDIR : SIM_OP_CREATE, .ino = disk->next_ino++, .name = name };
    sim_image_add(disk->pool, &disk->seen, op.ino, directory);
    sim_image_apply(&disk->seen, &op);
    op_add(disk, &op);
    return op.ino;
}

void sim_disk_rename(struct sim_disk *disk, uint32_t from, uint32_t to)
{
    struct sim_entry *entry = sim_image_name(&disk->seen, from);
    struct sim_entry *replaced = sim_image_name(&disk->seen, to);
    must(entry != NULL);
    uint32_t lost = replaced == NULL ? 0 : replaced->ino;
    struct sim_op op = { .kind = SIM_OP_RENAME, .ino = entry->ino, .name = from, .name_to = to };
    if (from == to)
        return;
    sim_image_apply(&disk->seen, &op);
    op_add(disk, &op);
    forget_unused(disk, lost);
}

void sim_disk_unlink(struct sim_disk *disk, uint32_t name)
{
    struct sim_entry *entry = sim_image_name(&disk->seen, name);
    must(entry != NULL);
    struct sim_op op = { .kind = SIM_OP_UNLINK, .ino = entry->ino, .name = name };
    sim_image_apply(&disk->seen, &op);
    op_add(disk, &op);
    forget_unused(disk, op.ino);
}

void sim_disk_dir_sync(struct sim_disk *disk, uint32_t name, uint32_t start)
{
    op_add(disk, &(struct sim_op){ .kind = SIM_OP_DIR_SYNC, .name = name, .start = start });
}

void sim_disk_hold(struct sim_disk *disk, uint32_t ino)
{
    sim_image_inode(&disk->seen, ino)->open_count++;
}

void sim_disk_drop(struct sim_disk *disk, uint32_t ino)
{
    struct sim_inode *inode = sim_image_inode(&disk->seen, ino);
    must(inode->open_count > 0);
    inode->open_count--;
    forget_unused(disk, ino);
}

/* ---- contents ---- */

/* Room first: nothing changes when the disk is full. */
static bool room_take(struct sim_disk *disk, const struct sim_inode *inode, uint64_t size)
{
    uint64_t before = round_up(inode->content->size, SIM_PAGE_SIZE), after = round_up(size, SIM_PAGE_SIZE);
    if (after > before && disk->used + (after - before) > disk->size_max)
        return false;
    disk->used += after - before;
    return true;
}

enum neap_status sim_disk_write(struct sim_disk *disk, uint32_t ino, struct bytes bytes, uint64_t position)
{
    struct sim_inode *inode = sim_image_inode(&disk->seen, ino);
    must(inode->content != NULL);
    if (bytes.size == 0)
        return NEAP_OK;
    uint64_t end = position + bytes.size;
    if (end > inode->content->size && !room_take(disk, inode, end))
        return NEAP_FULL;
    sim_content_write(disk->pool, &inode->content, position, bytes);
    if (disk->record) {
        struct sim_op op = { .kind = SIM_OP_WRITE, .ino = ino, .position = position };
        op.bytes = data_keep(disk, bytes);
        op_add(disk, &op);
    }
    return NEAP_OK;
}

enum neap_status sim_disk_resize(struct sim_disk *disk, uint32_t ino, uint64_t size, bool grow_only)
{
    struct sim_inode *inode = sim_image_inode(&disk->seen, ino);
    if (size == inode->content->size || (grow_only && size < inode->content->size))
        return NEAP_OK;
    if (!room_take(disk, inode, size))
        return NEAP_FULL;
    bool grows = size > inode->content->size;
    sim_content_resize(disk->pool, &inode->content, size);
    struct sim_op op = { .kind = grows ? SIM_OP_GROW : SIM_OP_RESIZE, .ino = ino, .position = size };
    op_add(disk, &op);
    return NEAP_OK;
}

uint32_t sim_disk_sync_start(struct sim_disk *disk, uint32_t ino)
{
    op_add(disk, &(struct sim_op){ .kind = SIM_OP_SYNC_START, .ino = ino });
    return disk->op_count;
}

void sim_disk_sync_end(struct sim_disk *disk, uint32_t ino, uint32_t start, bool ok)
{
    op_add(disk, &(struct sim_op){ .kind = ok ? SIM_OP_SYNC_OK : SIM_OP_SYNC_FAILED, .ino = ino, .start = start });
}

/* ---- a fingerprint ---- */

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint64_t content_hash(const struct sim_content *content, uint64_t hash)
{
    uint8_t page[SIM_PAGE_SIZE];
    for (uint64_t position = 0; position < content->size; position += SIM_PAGE_SIZE) {
        size_t size = sim_content_read(content, page, sizeof(page), position);
        hash = bytes_hash((struct bytes){ page, size }, hash);
    }
    return bytes_hash((struct bytes){ (const uint8_t *)&content->size, sizeof(content->size) }, hash);
}

uint64_t sim_disk_hash(const struct sim_disk *disk)
{
    const struct sim_image *image = &disk->seen;
    const char **texts = sim_take((image->name_count + 1) * sizeof(*texts));
    for (uint32_t i = 0; i < image->name_count; i++)
        texts[i] = sim_pool_text(disk->pool, image->names[i].name);
    qsort(texts, image->name_count, sizeof(*texts), name_order);
    uint64_t hash = image->name_count;
    for (uint32_t i = 0; i < image->name_count; i++) {
        uint32_t name = sim_pool_name(disk->pool, texts[i]);
        const struct sim_inode *inode = sim_image_inode(image, sim_image_name(image, name)->ino);
        hash = bytes_hash(bytes_of_text(texts[i]), hash);
        if (inode->content != NULL)
            hash = content_hash(inode->content, hash);
    }
    free(texts);
    return hash;
}
