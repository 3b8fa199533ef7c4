/* shared.c - locks on byte ranges, and memory shared between those who map a file. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

/* ---- locks ---- */

static bool overlaps(const struct sim_lock *lock, uint64_t start, uint64_t end)
{
    return lock->start < end && start < lock->end;
}

static const struct sim_lock *in_the_way(struct sim *sim, const struct sim_file *file, bool exclusive, uint64_t start,
                                         uint64_t end)
{
    for (const struct sim_lock *lock = sim->locks; lock != NULL; lock = lock->next) {
        if (lock->file != file && lock->file->ino == file->ino && overlaps(lock, start, end) &&
            (exclusive || lock->kind == IO_LOCK_EXCLUSIVE))
            return lock;
    }
    return NULL;
}

static void lock_add(struct sim *sim, const struct sim_file *file, enum io_lock_kind kind, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    struct sim_lock *lock = sim_take(sizeof(*lock));
    *lock = (struct sim_lock){ .next = sim->locks, .file = file, .kind = kind, .start = start, .end = end };
    sim->locks = lock;
}

/* Takes [start, end) out of what the file holds; what sticks out on either side stays. */
static void lock_cut(struct sim *sim, const struct sim_file *file, uint64_t start, uint64_t end)
{
    for (struct sim_lock **link = &sim->locks; *link != NULL;) {
        struct sim_lock *lock = *link;
        if (lock->file != file || !overlaps(lock, start, end)) {
            link = &lock->next;
            continue;
        }
        *link = lock->next;
        lock_add(sim, file, lock->kind, lock->start, start); /* in front of the list; they do not overlap */
        lock_add(sim, file, lock->kind, end, lock->end);
        free(lock);
    }
}

enum neap_status sim_file_lock(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size)
{
    struct sim *sim = sim_of(file->io);
    const struct sim_file *mine = (const struct sim_file *)file;
    uint64_t end = position + size;
    if (kind != IO_UNLOCK && in_the_way(sim, mine, kind == IO_LOCK_EXCLUSIVE, position, end) != NULL)
        return NEAP_HELD;
    lock_cut(sim, mine, position, end);
    if (kind != IO_UNLOCK)
        lock_add(sim, mine, kind, position, end);
    sim_note(sim, "lock", mine->name, kind, position);
    return NEAP_OK;
}

enum neap_status sim_file_lock_test(struct io_file *file, uint64_t position, uint64_t size, enum io_lock_kind *ret_kind,
                                    int64_t *ret_pid)
{
    struct sim *sim = sim_of(file->io);
    const struct sim_lock *lock = in_the_way(sim, (const struct sim_file *)file, true, position, position + size);
    *ret_kind = lock == NULL ? IO_UNLOCK : lock->kind;
    *ret_pid = lock == NULL ? 0 : io_pid(file->io);
    return NEAP_OK;
}

void sim_locks_drop(struct sim_file *file)
{
    lock_cut(sim_of(file->file.io), file, 0, UINT64_MAX);
}

/* ---- maps ---- */

enum neap_status sim_file_map(struct io_file *file, uint64_t position, size_t size, void **ret_at)
{
    struct sim *sim = sim_of(file->io);
    struct sim_file *mine = (struct sim_file *)file;
    enum neap_status status = sim_call(sim, SIM_MAP, mine->name);
    if (status == NEAP_OK)
        status = sim_disk_resize(sim->disk, mine->ino, position + size, true);
    if (status != NEAP_OK)
        return status;
    struct sim_map *map = sim->maps;
    while (map != NULL && !(map->ino == mine->ino && map->position == position && map->size == size))
        map = map->next;
    if (map == NULL) {
        map = sim_take(sizeof(*map));
        *map = (struct sim_map){ .next = sim->maps, .ino = mine->ino, .position = position, .size = size };
        map->bytes = sim_take(size);
        sim_content_read(sim_image_inode(&sim->disk->seen, mine->ino)->content, map->bytes, size, position);
        sim->maps = map;
        sim_disk_hold(sim->disk, mine->ino);
    }
    map->ref_count++;
    *ret_at = map->bytes;
    return NEAP_OK;
}

void sim_file_unmap(struct io_file *file, void *at, size_t size)
{
    struct sim *sim = sim_of(file->io);
    struct sim_map **link = &sim->maps;
    while (*link != NULL && (*link)->bytes != at)
        link = &(*link)->next;
    struct sim_map *map = *link;
    must(map != NULL && map->size == size);
    if (--map->ref_count > 0)
        return;
    *link = map->next;
    sim_disk_write(sim->disk, map->ino, (struct bytes){ map->bytes, size }, map->position); /* there is room: it grew */
    sim_disk_drop(sim->disk, map->ino);
    free(map->bytes);
    free(map);
}
