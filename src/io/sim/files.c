/* files.c - files of the simulated door: what they do, how long they take, and how they fail. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

#define DURATION_READ_NS  2000u
#define DURATION_WRITE_NS 5000u
#define DURATION_SYNC_NS  60000u

/* ---- calls: durations and faults ---- */

static uint32_t base_duration(enum sim_call call)
{
    switch (call) {
    case SIM_READ:
        return DURATION_READ_NS;
    case SIM_SYNC:
    case SIM_DIR_SYNC:
        return DURATION_SYNC_NS;
    default:
        return DURATION_WRITE_NS;
    }
}

int64_t sim_call_duration(struct sim *sim, enum sim_call call)
{
    uint32_t base = base_duration(call);
    if (sim->calm)
        return base;
    int64_t ns = base / 2 + sim_below(&sim->order_chance, base * 3);
    return sim_one_in(&sim->order_chance, 200) ? ns * 50 : ns;
}

static bool fault_meets(struct sim *sim, struct sim_standing_fault *standing, enum sim_call call, const char *path)
{
    const struct sim_fault *fault = &standing->fault;
    if (fault->call != call && fault->call != SIM_ANY_CALL)
        return false;
    if (fault->path_part != NULL && strstr(path, fault->path_part) == NULL)
        return false;
    standing->seen_count++;
    if (fault->nth == 0)
        return sim_below(&sim->fault_chance, 1000000) < fault->chance_per_million;
    return fault->sticky ? standing->seen_count >= fault->nth : standing->seen_count == fault->nth;
}

/* What the faults that stand do to this call: its status, and how much longer it takes. */
static enum neap_status meet_faults(struct sim *sim, enum sim_call call, uint32_t name, int64_t *ret_stall_ns)
{
    must(call < SIM_CALL_COUNT);
    sim->call_counts[call]++;
    enum neap_status status = NEAP_OK;
    int64_t stall_ns = 0;
    for (uint32_t i = 0; i < sim->fault_count; i++) {
        struct sim_standing_fault *standing = &sim->faults[i];
        if (!fault_meets(sim, standing, call, sim_pool_text(sim->disk->pool, name)))
            continue;
        sim->fault_hits++;
        stall_ns += standing->fault.stall_ns;
        status = status == NEAP_OK ? standing->fault.status : status;
        sim_note(sim, "fault", call, status, (uint64_t)stall_ns);
    }
    *ret_stall_ns = stall_ns;
    return status;
}

enum neap_status sim_call(struct sim *sim, enum sim_call call, uint32_t name)
{
    int64_t stall_ns;
    enum neap_status status = meet_faults(sim, call, name, &stall_ns);
    if (stall_ns > 0)
        sim_wait(sim, stall_ns, 1);
    return status;
}

static void take_time(struct sim *sim, enum sim_call call)
{
    sim_wait(sim, sim_call_duration(sim, call), call == SIM_SYNC || call == SIM_DIR_SYNC ? 2 : 8);
}

void sim_fault_add(struct io *io, const struct sim_fault *fault)
{
    struct sim *sim = sim_of(io);
    must(sim->fault_count < SIM_FAULT_COUNT_MAX);
    sim->faults[sim->fault_count++] = (struct sim_standing_fault){ .fault = *fault };
}

void sim_faults_clear(struct io *io)
{
    sim_of(io)->fault_count = 0;
}

uint64_t sim_fault_hits(struct io *io)
{
    return sim_of(io)->fault_hits;
}

uint64_t sim_call_count(struct io *io, enum sim_call call)
{
    must(call < SIM_CALL_COUNT);
    return sim_of(io)->call_counts[call];
}

/* ---- open and close ---- */

static struct sim *sim_of_file(const struct io_file *file, struct sim_file **ret_mine)
{
    *ret_mine = (struct sim_file *)file;
    must((*ret_mine)->standard < 0); /* standard streams have no positions */
    return sim_of(file->io);
}

static enum neap_status open_missing(struct sim *sim, uint32_t name, unsigned flags, struct error *err)
{
    const char *text = sim_pool_text(sim->disk->pool, name);
    struct sim_inode *parent = sim_disk_lookup(sim->disk, sim->disk->pool->names[name].parent);
    if ((flags & IO_CREATE) == 0 || parent == NULL)
        return error_set(err, NEAP_NOTFOUND, "%s: no such file or directory", text);
    if (parent->content != NULL)
        return error_set(err, NEAP_MISUSE, "%s: not a directory", text);
    sim_disk_create(sim->disk, name, false);
    return NEAP_OK;
}

enum neap_status sim_file_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                               struct error *err)
{
    struct sim *sim = sim_of(io);
    uint32_t name = sim_pool_name(sim->disk->pool, path);
    const char *text = sim_pool_text(sim->disk->pool, name);
    enum neap_status status = sim_call(sim, SIM_OPEN, name);
    if (status != NEAP_OK)
        return error_set(err, status, "%s: %s (simulated)", text, status_text(status));
    take_time(sim, SIM_OPEN);
    struct sim_inode *inode = sim_disk_lookup(sim->disk, name);
    if (inode != NULL && (flags & IO_EXCLUSIVE) != 0)
        return error_set(err, NEAP_EXISTS, "%s: exists already", text);
    if (inode == NULL)
        status = open_missing(sim, name, flags, err);
    else if (inode->content == NULL)
        status = error_set(err, NEAP_MISUSE, "%s: is a directory", text);
    sim_note(sim, "open", sim->disk->pool->names[name].hash, flags, status);
    if (status != NEAP_OK)
        return status;
    struct sim_file *file = sim_take(sizeof(*file));
    *file = (struct sim_file){ .file = { io, text }, .next = sim->files, .name = name, .flags = flags, .standard = -1 };
    bool made = inode == NULL;
    inode = sim_disk_lookup(sim->disk, name);
    inode->shared |= made && (flags & IO_SHARED) != 0;
    file->ino = inode->ino;
    sim_disk_hold(sim->disk, file->ino);
    sim->files = file;
    *ret_file = &file->file;
    return NEAP_OK;
}

void sim_file_close(struct io_file *file)
{
    struct sim_file *mine;
    struct sim *sim = sim_of_file(file, &mine);
    must(!mine->syncing);
    sim_locks_drop(mine);
    struct sim_file **link = &sim->files;
    while (*link != mine)
        link = &(*link)->next;
    *link = mine->next;
    sim_disk_drop(sim->disk, mine->ino);
    free(mine);
}

/* ---- contents ---- */

enum neap_status sim_file_read(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    struct sim_file *mine;
    struct sim *sim = sim_of_file(file, &mine);
    must((mine->flags & IO_READ) != 0);
    enum neap_status status = sim_call(sim, SIM_READ, mine->name);
    if (status != NEAP_OK)
        return status;
    take_time(sim, SIM_READ);
    *ret_size = sim_content_read(sim_image_inode(&sim->disk->seen, mine->ino)->content, to, size, position);
    sim_note(sim, "read", mine->name, position, *ret_size);
    return NEAP_OK;
}

static enum neap_status write_parts(struct sim *sim, struct sim_file *file, const struct bytes *parts, unsigned count,
                                    uint64_t position, size_t at_most)
{
    enum neap_status status = NEAP_OK;
    for (unsigned i = 0; i < count && status == NEAP_OK && at_most > 0; i++) {
        struct bytes part = parts[i];
        part.size = part.size < at_most ? part.size : at_most;
        status = sim_disk_write(sim->disk, file->ino, part, position);
        position += part.size;
        at_most -= part.size;
        if (sim->disk->record || sim->trace != NULL)
            sim_note(sim, "write", file->name, position, bytes_hash(part, part.size));
    }
    return status;
}

enum neap_status sim_file_write(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position)
{
    struct sim_file *mine;
    struct sim *sim = sim_of_file(file, &mine);
    must((mine->flags & IO_WRITE) != 0);
    enum neap_status status = sim_call(sim, SIM_WRITE, mine->name);
    if (status != NEAP_OK) { /* any first part of it may be there */
        size_t size = 0;
        for (unsigned i = 0; i < count; i++)
            size += parts[i].size;
        size_t there = sim_one_in(&sim->fault_chance, 2) ? 0 : sim_below(&sim->fault_chance, (uint32_t)size + 1);
        write_parts(sim, mine, parts, count, position, there);
        return status;
    }
    bool first = sim->calm || sim_one_in(&sim->order_chance, 2); /* others see it early or late */
    if (first)
        status = write_parts(sim, mine, parts, count, position, SIZE_MAX);
    take_time(sim, SIM_WRITE);
    if (!first)
        status = write_parts(sim, mine, parts, count, position, SIZE_MAX);
    return status;
}

enum neap_status sim_file_sync(struct io_file *file)
{
    struct sim_file *mine;
    struct sim *sim = sim_of_file(file, &mine);
    uint32_t start = sim_disk_sync_start(sim->disk, mine->ino);
    enum neap_status status = sim_call(sim, SIM_SYNC, mine->name);
    take_time(sim, SIM_SYNC);
    sim_disk_sync_end(sim->disk, mine->ino, start, status == NEAP_OK);
    sim_note(sim, "sync", mine->name, status, 0);
    return status;
}

void sim_file_sync_start(struct io_sync *op)
{
    struct sim_file *mine;
    struct sim *sim = sim_of_file(op->file, &mine);
    struct sim_agent *agent = sim_agent_of(op->agent);
    must(!mine->syncing); /* one at a time */
    mine->syncing = true;
    struct sim_sync *sync = sim_take(sizeof(*sync));
    *sync = (struct sim_sync){ .op = op, .start = sim_disk_sync_start(sim->disk, mine->ino) };
    int64_t stall_ns;
    sync->status = meet_faults(sim, SIM_SYNC, mine->name, &stall_ns);
    sync->due = mono_after(sim_now(sim), sim_call_duration(sim, SIM_SYNC) + stall_ns); /* it stalls, not its agent */
    sync->next = agent->syncs;
    agent->syncs = sync;
    sim_note(sim, "syncing", mine->name, 0, 0);
}

void sim_sync_finish(struct sim *sim, const struct sim_sync *sync)
{
    struct sim_file *mine;
    sim_of_file(sync->op->file, &mine);
    must(mine->syncing);
    mine->syncing = false;
    sim_disk_sync_end(sim->disk, mine->ino, sync->start, sync->status == NEAP_OK);
}

static enum neap_status resize(struct io_file *file, enum sim_call call, uint64_t size)
{
    struct sim_file *mine;
    struct sim *sim = sim_of_file(file, &mine);
    must((mine->flags & IO_WRITE) != 0);
    enum neap_status status = sim_call(sim, call, mine->name);
    if (status != NEAP_OK)
        return status;
    take_time(sim, call);
    status = sim_disk_resize(sim->disk, mine->ino, size, call == SIM_ALLOCATE);
    sim_note(sim, call == SIM_ALLOCATE ? "allocate" : "truncate", mine->name, size, status);
    return status;
}

enum neap_status sim_file_allocate(struct io_file *file, uint64_t size)
{
    return resize(file, SIM_ALLOCATE, size);
}

enum neap_status sim_file_truncate(struct io_file *file, uint64_t size)
{
    return resize(file, SIM_TRUNCATE, size);
}

static void fill_info(struct sim *sim, const struct sim_inode *inode, struct io_file_info *ret_info)
{
    bool directory = inode->content == NULL;
    *ret_info = (struct io_file_info){
        .size = directory ? 0 : inode->content->size,
        .device = 1,
        .inode = inode->ino,
        .shared = inode->shared,
        .modified = io_wall(&sim->io),
        .kind = directory ? IO_KIND_DIRECTORY : IO_KIND_FILE,
    };
}

enum neap_status sim_file_info(struct io_file *file, struct io_file_info *ret_info)
{
    struct sim_file *mine = (struct sim_file *)file;
    if (mine->standard >= 0)
        *ret_info = (struct io_file_info){ .kind = IO_KIND_OTHER };
    else
        fill_info(sim_of(file->io), sim_image_inode(&sim_of(file->io)->disk->seen, mine->ino), ret_info);
    return NEAP_OK;
}

void sim_file_will_need(struct io_file *file, uint64_t position, uint64_t size)
{
    (void)file, (void)position, (void)size; /* everything is in memory */
}

void sim_file_wont_need(struct io_file *file, uint64_t position, uint64_t size)
{
    (void)file, (void)position, (void)size; /* everything is in memory */
}

/* ---- names ---- */

enum neap_status sim_path_info(struct io *io, const char *path, struct io_file_info *ret_info)
{
    struct sim *sim = sim_of(io);
    struct sim_inode *inode = sim_disk_lookup(sim->disk, sim_pool_name(sim->disk->pool, path));
    if (inode == NULL)
        return NEAP_NOTFOUND;
    fill_info(sim, inode, ret_info);
    return NEAP_OK;
}

static enum neap_status begin_on_name(struct sim *sim, enum sim_call call, uint32_t name, struct error *err)
{
    const char *text = sim_pool_text(sim->disk->pool, name);
    enum neap_status status = sim_call(sim, call, name);
    if (status != NEAP_OK)
        return error_set(err, status, "%s: %s (simulated)", text, status_text(status));
    take_time(sim, call);
    if (sim_disk_lookup(sim->disk, name) == NULL)
        return error_set(err, NEAP_NOTFOUND, "%s: no such file or directory", text);
    return NEAP_OK;
}

enum neap_status sim_rename(struct io *io, const char *from, const char *to, struct error *err)
{
    struct sim *sim = sim_of(io);
    struct sim_pool *pool = sim->disk->pool;
    uint32_t from_name = sim_pool_name(pool, from), to_name = sim_pool_name(pool, to);
    enum neap_status status = begin_on_name(sim, SIM_RENAME, from_name, err);
    if (status != NEAP_OK)
        return status;
    struct sim_inode *target = sim_disk_lookup(sim->disk, to_name);
    if (sim_disk_lookup(sim->disk, pool->names[to_name].parent) == NULL)
        return error_set(err, NEAP_NOTFOUND, "%s: no such directory", to);
    if (sim_disk_lookup(sim->disk, from_name)->content == NULL || (target != NULL && target->content == NULL))
        return error_set(err, NEAP_MISUSE, "%s: directories are not renamed here", from);
    sim_disk_rename(sim->disk, from_name, to_name);
    sim_note(sim, "rename", pool->names[from_name].hash, pool->names[to_name].hash, 0);
    return NEAP_OK;
}

enum neap_status sim_unlink(struct io *io, const char *path, struct error *err)
{
    struct sim *sim = sim_of(io);
    uint32_t name = sim_pool_name(sim->disk->pool, path);
    enum neap_status status = begin_on_name(sim, SIM_UNLINK, name, err);
    if (status != NEAP_OK)
        return status;
    if (sim_disk_lookup(sim->disk, name)->content == NULL)
        return error_set(err, NEAP_MISUSE, "%s: is a directory", path);
    sim_disk_unlink(sim->disk, name);
    sim_note(sim, "unlink", sim->disk->pool->names[name].hash, 0, 0);
    return NEAP_OK;
}

static enum neap_status make_with_parents(struct sim *sim, uint32_t name, struct error *err)
{
    struct sim_inode *inode = sim_disk_lookup(sim->disk, name);
    if (inode != NULL && inode->content != NULL)
        return error_set(err, NEAP_EXISTS, "%s: is a file", sim_pool_text(sim->disk->pool, name));
    if (inode != NULL)
        return NEAP_OK;
    enum neap_status status = make_with_parents(sim, sim->disk->pool->names[name].parent, err);
    if (status != NEAP_OK)
        return status;
    uint32_t start = sim->disk->op_count + 1;
    sim_disk_create(sim->disk, name, true);
    sim_disk_dir_sync(sim->disk, sim->disk->pool->names[name].parent, start);
    return NEAP_OK;
}

enum neap_status sim_dir_make(struct io *io, const char *path, struct error *err)
{
    struct sim *sim = sim_of(io);
    uint32_t name = sim_pool_name(sim->disk->pool, path);
    enum neap_status status = sim_call(sim, SIM_DIR_MAKE, name);
    if (status != NEAP_OK)
        return error_set(err, status, "%s: %s (simulated)", path, status_text(status));
    take_time(sim, SIM_DIR_MAKE);
    status = make_with_parents(sim, name, err);
    sim_note(sim, "mkdir", sim->disk->pool->names[name].hash, status, 0);
    return status;
}

enum neap_status sim_dir_sync(struct io *io, const char *path, struct error *err)
{
    struct sim *sim = sim_of(io);
    uint32_t name = sim_pool_name(sim->disk->pool, path);
    uint32_t start = sim->disk->op_count;
    enum neap_status status = begin_on_name(sim, SIM_DIR_SYNC, name, err);
    if (status != NEAP_OK)
        return status;
    sim_disk_dir_sync(sim->disk, name, start);
    sim_note(sim, "dirsync", sim->disk->pool->names[name].hash, 0, 0);
    return NEAP_OK;
}

static int text_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum neap_status sim_dir_list(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                              struct error *err)
{
    struct sim *sim = sim_of(io);
    struct sim_pool *pool = sim->disk->pool;
    uint32_t directory = sim_pool_name(pool, path);
    struct sim_inode *inode = sim_disk_lookup(sim->disk, directory);
    if (inode == NULL || inode->content != NULL)
        return error_set(err, NEAP_NOTFOUND, "%s: no such directory", path);
    const struct sim_image *image = &sim->disk->seen;
    const char **names = sim_take((image->name_count + 1) * sizeof(*names));
    uint32_t count = 0; /* taken first: `each` may change the directory */
    size_t prefix = directory == SIM_NAME_ROOT ? 1 : strlen(sim_pool_text(pool, directory)) + 1;
    for (uint32_t i = 0; i < image->name_count; i++) {
        uint32_t name = image->names[i].name;
        if (name != SIM_NAME_ROOT && pool->names[name].parent == directory)
            names[count++] = sim_pool_text(pool, name) + prefix;
    }
    qsort(names, count, sizeof(*names), text_order);
    for (uint32_t i = 0; i < count && each(ctx, names[i]); i++)
        ;
    free(names);
    return NEAP_OK;
}

uint64_t sim_dir_free_size(struct io *io, const char *path)
{
    const struct sim_disk *disk = sim_of(io)->disk;
    (void)path;
    return disk->used < disk->size_max ? disk->size_max - disk->used : 1; /* 0 would say: unknown */
}

uint64_t sim_dir_total_size(struct io *io, const char *path)
{
    (void)path;
    return sim_of(io)->disk->size_max;
}
