#include "damage.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define PAGE   4096u

const char *const damage_names[DAMAGE_KIND_COUNT] = { "flip", "zero", "truncate", "swap", "old", "old-file", "unlink" };

/* ---- what lies in the directory ---- */

struct filling {
    struct shelf *shelf;
    struct io *io;
    const char *folder;
};

static bool take_file(void *ctx, const char *name)
{
    struct filling *filling = ctx;
    must(filling->shelf->count < SHELF_FILE_MAX);
    struct shelf_file *file = &filling->shelf->files[filling->shelf->count];
    struct io_file *opened = NULL;
    struct io_file_info info;
    size_t got = 0;
    int size = snprintf(file->path, sizeof(file->path), "%s/%s", filling->folder, name);
    must(size > 0 && (size_t)size < sizeof(file->path));
    enum neap_status status = io_path_info(filling->io, file->path, &info);
    must(status == NEAP_OK);
    if (info.kind != IO_KIND_FILE)
        return true;
    status = io_file_open(filling->io, file->path, IO_READ, &opened, NULL);
    must(status == NEAP_OK);
    file->size = info.size;
    file->bytes = malloc(info.size + 1);
    must(file->bytes != NULL);
    status = io_file_read(opened, file->bytes, info.size, 0, &got);
    must(status == NEAP_OK && got == info.size);
    io_file_close(&opened);
    filling->shelf->count++;
    return true;
}

static bool take_folder(void *ctx, const char *name)
{
    struct filling *outer = ctx;
    char folder[SHELF_PATH_SIZE];
    struct io_file_info info;
    snprintf(folder, sizeof(folder), "%s/%s", outer->folder, name);
    if (io_path_info(outer->io, folder, &info) != NEAP_OK || info.kind != IO_KIND_DIRECTORY)
        return true;
    struct filling filling = { outer->shelf, outer->io, folder };
    enum neap_status status = io_dir_list(outer->io, folder, take_file, &filling, NULL);
    must(status == NEAP_OK);
    return true;
}

void shelf_fill(struct shelf *shelf, struct io *io, const char *data)
{
    struct filling filling = { shelf, io, data };
    shelf->count = 0;
    (void)io_dir_list(io, data, take_folder, &filling, NULL); /* at an early moment it may not be there yet */
}

void shelf_fini(struct shelf *shelf)
{
    for (uint32_t i = 0; i < shelf->count; i++)
        free(shelf->files[i].bytes);
    shelf->count = 0;
}

const struct shelf_file *shelf_find(const struct shelf *shelf, const char *path)
{
    for (uint32_t i = 0; i < shelf->count; i++) {
        if (strcmp(shelf->files[i].path, path) == 0)
            return &shelf->files[i];
    }
    return NULL;
}

/* ---- drawing ---- */

/* Half of it by file, so that small ones have their share; half by bytes. */
static const struct shelf_file *draw_file(const struct shelf *shelf, uint64_t *chance)
{
    if (sim_one_in(chance, 2))
        return &shelf->files[sim_below(chance, shelf->count)];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < shelf->count; i++)
        sum += shelf->files[i].size;
    uint64_t at = sim_chance(chance) % (sum + 1);
    for (uint32_t i = 0; i < shelf->count; i++) {
        if (at < shelf->files[i].size)
            return &shelf->files[i];
        at -= shelf->files[i].size;
    }
    return &shelf->files[shelf->count - 1];
}

static bool same_folder(const char *a, const char *b)
{
    const char *end = strrchr(a, '/');
    return end != NULL && strncmp(a, b, (size_t)(end - a) + 1) == 0;
}

static struct patch *begin_patch(struct damage *d, const struct shelf_file *file, uint64_t at, uint64_t size)
{
    struct patch *patch = &d->patches[d->patch_count++];
    patch->file = file;
    patch->at = at;
    patch->size = at + size > file->size ? file->size - at : size;
    memcpy(patch->bytes, file->bytes + at, patch->size);
    return patch;
}

static bool changes(const struct patch *patch)
{
    return memcmp(patch->bytes, patch->file->bytes + patch->at, patch->size) != 0;
}

static bool draw_swap(struct damage *d, const struct shelf *now, const struct shelf_file *file, uint64_t *chance)
{
    uint32_t block = sim_one_in(chance, 2) ? SECTOR : PAGE;
    const struct shelf_file *other = file;
    for (uint32_t i = 0; sim_one_in(chance, 2) && i < 8; i++) {
        const struct shelf_file *drawn = &now->files[sim_below(chance, now->count)];
        if (same_folder(file->path, drawn->path))
            other = drawn;
    }
    if (file->size < block || other->size < block)
        return false;
    uint64_t at = (uint64_t)sim_below(chance, (uint32_t)(file->size / block)) * block;
    uint64_t other_at = (uint64_t)sim_below(chance, (uint32_t)(other->size / block)) * block;
    struct patch *one = begin_patch(d, file, at, block), *two = begin_patch(d, other, other_at, block);
    memcpy(one->bytes, other->bytes + other_at, block);
    memcpy(two->bytes, file->bytes + at, block);
    snprintf(d->text, sizeof(d->text), "swap %u bytes: %s at %llu, %s at %llu", block, file->path,
             (unsigned long long)at, other->path, (unsigned long long)other_at);
    return changes(one);
}

static bool draw_old(struct damage *d, const struct shelf_file *file, const struct shelf *past, uint64_t *chance)
{
    const struct shelf_file *old = shelf_find(&past[sim_below(chance, SHELF_PAST_COUNT)], file->path);
    uint32_t block = sim_one_in(chance, 2) ? SECTOR : PAGE;
    if (old == NULL || old->size < block || file->size < block)
        return false;
    uint64_t least = old->size < file->size ? old->size : file->size;
    uint64_t at = (uint64_t)sim_below(chance, (uint32_t)(least / block)) * block;
    struct patch *patch = begin_patch(d, file, at, block);
    memcpy(patch->bytes, old->bytes + at, patch->size);
    snprintf(d->text, sizeof(d->text), "old copy of %u bytes: %s at %llu", block, file->path, (unsigned long long)at);
    return changes(patch);
}

static bool draw_old_file(struct damage *d, const struct shelf_file *file, const struct shelf *past, uint64_t *chance)
{
    d->old = shelf_find(&past[sim_below(chance, SHELF_PAST_COUNT)], file->path);
    d->file = file;
    snprintf(d->text, sizeof(d->text), "old copy: %s", file->path);
    return d->old != NULL && (d->old->size != file->size || memcmp(d->old->bytes, file->bytes, file->size) != 0);
}

static bool draw_small(struct damage *d, const struct shelf_file *file, uint64_t *chance)
{
    if (file->size == 0)
        return false;
    uint64_t at = sim_chance(chance) % file->size;
    if (d->kind == DAMAGE_FLIP) {
        uint32_t bit = sim_below(chance, 8);
        begin_patch(d, file, at, 1)->bytes[0] ^= (uint8_t)(1u << bit);
        snprintf(d->text, sizeof(d->text), "flip bit %u: %s at %llu", bit, file->path, (unsigned long long)at);
        return true;
    }
    at -= at % SECTOR;
    struct patch *patch = begin_patch(d, file, at, SECTOR);
    memset(patch->bytes, 0, patch->size);
    snprintf(d->text, sizeof(d->text), "zero: %s at %llu", file->path, (unsigned long long)at);
    return changes(patch);
}

bool damage_draw(struct damage *d, const struct shelf *now, const struct shelf *past, uint64_t *chance)
{
    static const uint8_t weights[DAMAGE_KIND_COUNT] = { 60, 14, 6, 8, 8, 2, 2 };
    d->patch_count = 0;
    d->file = d->old = NULL;
    uint32_t drawn = sim_below(chance, 100), kind = 0;
    for (; drawn >= weights[kind]; kind++)
        drawn -= weights[kind];
    d->kind = (enum damage_kind)kind;
    const struct shelf_file *file = draw_file(now, chance);
    switch (d->kind) {
    case DAMAGE_TRUNCATE:
        d->file = file;
        d->size = file->size == 0 ? 0 : sim_chance(chance) % file->size;
        if (sim_one_in(chance, 2))
            d->size -= d->size % SECTOR;
        snprintf(d->text, sizeof(d->text), "truncate: %s to %llu", file->path, (unsigned long long)d->size);
        return file->size > 0;
    case DAMAGE_SWAP:
        return draw_swap(d, now, file, chance);
    case DAMAGE_OLD:
        return draw_old(d, file, past, chance);
    case DAMAGE_OLD_FILE:
        return draw_old_file(d, file, past, chance);
    case DAMAGE_UNLINK:
        d->file = file;
        snprintf(d->text, sizeof(d->text), "unlink: %s", file->path);
        return true;
    default:
        return draw_small(d, file, chance);
    }
}

/* ---- doing it ---- */

static void write_at(struct io *io, const char *path, const uint8_t *bytes, uint64_t size, uint64_t at, bool alone)
{
    struct io_file *file = NULL;
    struct bytes part = { bytes, size };
    enum neap_status status = io_file_open(io, path, IO_READ | IO_WRITE, &file, NULL);
    if (status == NEAP_NOTFOUND)
        return; /* the log that is open has had no more use for it */
    must(status == NEAP_OK);
    if (alone)
        status = io_file_truncate(file, at + size);
    if (status == NEAP_OK && size > 0)
        status = io_file_write(file, &part, 1, at);
    must(status == NEAP_OK);
    io_file_close(&file);
}

void damage_apply(const struct damage *d, struct io *io)
{
    for (uint32_t i = 0; i < d->patch_count; i++)
        write_at(io, d->patches[i].file->path, d->patches[i].bytes, d->patches[i].size, d->patches[i].at, false);
    if (d->kind == DAMAGE_TRUNCATE)
        write_at(io, d->file->path, NULL, 0, d->size, true);
    if (d->kind == DAMAGE_OLD_FILE)
        write_at(io, d->file->path, d->old->bytes, d->old->size, 0, true);
    if (d->kind == DAMAGE_UNLINK) {
        enum neap_status status = io_unlink(io, d->file->path, NULL);
        must(status == NEAP_OK);
    }
}

bool damage_touches(const struct damage *d, const struct shelf_file *file, uint64_t at, uint64_t size)
{
    for (uint32_t i = 0; i < d->patch_count; i++) {
        const struct patch *patch = &d->patches[i];
        uint64_t from = at > patch->at ? at : patch->at;
        uint64_t to = at + size < patch->at + patch->size ? at + size : patch->at + patch->size;
        if (patch->file == file && from < to &&
            memcmp(patch->bytes + (from - patch->at), file->bytes + from, to - from) != 0)
            return true;
    }
    if (d->file != file)
        return false;
    if (d->kind == DAMAGE_TRUNCATE)
        return at + size > d->size;
    if (d->kind == DAMAGE_OLD_FILE)
        return at + size > d->old->size || memcmp(d->old->bytes + at, file->bytes + at, size) != 0;
    return d->kind == DAMAGE_UNLINK;
}
