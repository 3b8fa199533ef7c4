/* image.c - names and files at one moment, and the operations on names. */
#include "base/must.h"
#include "io/sim/disk.h"
#include <stdlib.h>

void sim_image_copy(struct sim_pool *pool, struct sim_image *to, const struct sim_image *from)
{
    *to = *from;
    to->name_room = from->name_count + 4; /* a recovery makes a few files */
    to->inode_room = from->inode_count + 4;
    to->names = malloc(to->name_room * sizeof(to->names[0]));
    to->inodes = malloc(to->inode_room * sizeof(to->inodes[0]));
    must(to->names != NULL && to->inodes != NULL);
    if (from->name_count > 0)
        memcpy(to->names, from->names, from->name_count * sizeof(to->names[0]));
    for (uint32_t i = 0; i < from->inode_count; i++) {
        to->inodes[i] = from->inodes[i];
        to->inodes[i].open_count = 0;
        if (to->inodes[i].content != NULL)
            to->inodes[i].content->ref_count++;
    }
    (void)pool;
}

void sim_image_fini(struct sim_pool *pool, struct sim_image *image)
{
    for (uint32_t i = 0; i < image->inode_count; i++)
        sim_content_release(pool, &image->inodes[i].content);
    free(image->inodes);
    free(image->names);
    *image = (struct sim_image){ .names = NULL };
}

struct sim_entry *sim_image_name(const struct sim_image *image, uint32_t name)
{
    for (uint32_t i = 0; i < image->name_count; i++) {
        if (image->names[i].name == name)
            return &image->names[i];
    }
    return NULL;
}

struct sim_inode *sim_image_inode(const struct sim_image *image, uint32_t ino)
{
    uint32_t low = 0, high = image->inode_count;
    if (ino - 1 < high && image->inodes[ino - 1].ino == ino)
        return &image->inodes[ino - 1]; /* nothing before it has gone */
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (image->inodes[middle].ino < ino)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->inode_count && image->inodes[low].ino == ino ? &image->inodes[low] : NULL;
}

struct sim_inode *sim_image_add(struct sim_pool *pool, struct sim_image *image, uint32_t ino, bool directory)
{
    must(image->inode_count == 0 || image->inodes[image->inode_count - 1].ino < ino);
    image->inodes = sim_grow(image->inodes, image->inode_count, &image->inode_room, sizeof(image->inodes[0]));
    struct sim_inode *inode = &image->inodes[image->inode_count++];
    *inode = (struct sim_inode){ .ino = ino, .content = directory ? NULL : sim_content_new(pool) };
    return inode;
}

void sim_image_remove(struct sim_pool *pool, struct sim_image *image, struct sim_inode *inode)
{
    must(inode >= image->inodes && inode < image->inodes + image->inode_count);
    must(inode->link_count == 0);
    sim_content_release(pool, &inode->content);
    size_t after = (size_t)(image->inodes + image->inode_count - (inode + 1));
    memmove(inode, inode + 1, after * sizeof(*inode));
    image->inode_count--;
}

static void name_remove(struct sim_image *image, struct sim_entry *entry)
{
    struct sim_inode *inode = sim_image_inode(image, entry->ino);
    must(inode != NULL && inode->link_count > 0);
    inode->link_count--;
    *entry = image->names[--image->name_count];
}

static void name_put(struct sim_image *image, uint32_t name, uint32_t ino)
{
    struct sim_inode *inode = sim_image_inode(image, ino);
    if (inode == NULL)
        return; /* gone with an unlink that a crash kept, while it lost what came before */
    struct sim_entry *there = sim_image_name(image, name);
    if (there != NULL && there->ino == ino)
        return;
    if (there != NULL)
        name_remove(image, there);
    image->names = sim_grow(image->names, image->name_count, &image->name_room, sizeof(image->names[0]));
    image->names[image->name_count++] = (struct sim_entry){ .name = name, .ino = ino };
    inode->link_count++;
}

static void name_drop(struct sim_image *image, uint32_t name, uint32_t ino)
{
    struct sim_entry *entry = sim_image_name(image, name);
    if (entry != NULL && entry->ino == ino)
        name_remove(image, entry);
}

void sim_image_apply(struct sim_image *image, const struct sim_op *op)
{
    switch (op->kind) {
    case SIM_OP_CREATE:
    case SIM_OP_MKDIR:
        name_put(image, op->name, op->ino);
        break;
    case SIM_OP_RENAME:
        name_put(image, op->name_to, op->ino);
        name_drop(image, op->name, op->ino);
        break;
    case SIM_OP_UNLINK:
        name_drop(image, op->name, op->ino);
        break;
    default:
        must(!"an operation on names");
    }
}
