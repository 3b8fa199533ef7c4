#include "log/local/spares.h"
#include "log/local/journal.h"
#include "log/local/scars.h"
#include "log/local/space.h"
#include <stdlib.h>

#define FILL_SIZE           (1u << 20)
#define DEAD_FILE_COUNT_MAX 16u /* kept for the next spares: a sync in a file written before is twice as fast */
#define SPARE_NAME          "spare-" JOURNAL_NAME

/* ---- made anew (rule K1) --------------------------------------------------------------------------------------------- */

static void drop_spare(struct spares *p)
{
    if (p->file == NULL)
        return;
    io_file_close(&p->file);
    io_unlink(p->log->io, p->path, NULL);
}

/* The header of the file that follows the last one; FULL where the budget ends. The last file's room of the budget is for a
 * start that finds no room for its first entry (`urgent`): a full log can always be opened. */
static enum neap_status next_header(struct spares *p, uint64_t recycled_size, bool urgent,
                                    struct file_header *ret_header, struct error *err)
{
    struct log *log = p->log;
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    const struct journal_file *last = s->file_count > 0 ? &s->files[s->file_count - 1] : NULL;
    struct file_header h = { .log_id = log->id,
                             .sequence = last == NULL ? 1 : last->sequence + 1,
                             .base = last == NULL ? 0 : last->base + last->size };
    uint64_t used = used_size(s);
    bool no_slot = s->file_count == JOURNAL_FILE_MAX;
    io_mutex_drop(s->mutex);
    h.size = recycled_size != 0 ? recycled_size : journal_file_size(log, h.sequence);
    h.salt = io_random(log->io);
    if (no_slot)
        return error_set(err, NEAP_FULL,
                         "the journal has as many files as it can have, %u, and none of them is dead: it holds no more "
                         "whatever the disk",
                         JOURNAL_FILE_MAX);
    if ((recycled_size == 0 && !urgent && used + 2 * h.size > log->options.disk_size))
        return error_set(err, NEAP_FULL, "%llu of %llu bytes of disk are used", (unsigned long long)used,
                         (unsigned long long)log->options.disk_size);
    *ret_header = h;
    return NEAP_OK;
}

static enum neap_status begin_spare(struct spares *p, bool urgent, struct error *err)
{
    struct log *log = p->log;
    enum neap_status status = next_header(p, 0, urgent, &p->header, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, p->path, JOURNAL_FOLDER, SPARE_NAME, (unsigned long long)p->header.sequence);
    status = io_file_open(log->io, p->path, IO_READ | IO_WRITE | IO_CREATE, &p->file, err);
    if (status != NEAP_OK)
        return error_while(err, "make a journal file");
    p->filled = 0;
    status = io_file_truncate(p->file, 0);
    if (status == NEAP_OK)
        status = io_file_allocate(p->file, p->header.size);
    if (status != NEAP_OK)
        error_set(err, status, "make %s: %s", p->path, status_text(status));
    return status;
}

static uint32_t fill_size(const struct log *log) /* at a time; no file is larger than options.file_size */
{
    return log->options.file_size < FILL_SIZE ? log->options.file_size : FILL_SIZE;
}

/* Written through once, so that no later sync changes metadata. */
static enum neap_status fill_spare(struct spares *p, struct error *err)
{
    uint64_t left = p->header.size - p->filled;
    uint64_t step = fill_size(p->log);
    struct bytes part = { p->zeros, left < step ? left : step };
    enum neap_status status = io_file_write(p->file, &part, 1, p->filled);
    if (status != NEAP_OK)
        return error_set(err, status, "write through %s: %s", p->path, status_text(status));
    p->filled += part.size;
    return NEAP_OK;
}

/* Header, sync, name, directory: in this order it becomes a spare (rule K1). */
static enum neap_status name_spare(struct spares *p, struct error *err)
{
    struct log *log = p->log;
    struct shared *s = &log->shared;
    char path[PATH_SIZE_MAX], folder[PATH_SIZE_MAX];
    enum neap_status status = journal_file_prepare(log, p->file, &p->header, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)p->header.sequence);
    status = io_rename(log->io, p->path, path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log_path(log, folder, JOURNAL_FOLDER, "%s", ""), err);
    if (status != NEAP_OK)
        return status;
    struct io_file *file =
        NULL; /* opened anew, so that messages say its name; it has that name now, whether that works or not */
    if (io_file_open(log->io, path, IO_READ | IO_WRITE, &file, NULL) == NEAP_OK)
        io_file_close(&p->file);
    else
        file = p->file;
    p->file = NULL;
    io_mutex_take(s->mutex);
    must(s->file_count < JOURNAL_FILE_MAX);
    s->files[s->file_count++] = (struct journal_file){ .sequence = p->header.sequence,
                                                       .base = p->header.base,
                                                       .size = p->header.size,
                                                       .salt = p->header.salt,
                                                       .file = file };
    s->full = false;
    space_update(log);
    io_mutex_drop(s->mutex);
    p->came = true;
    if (log->journal != NULL)
        journal_wake(log->journal);
    return NEAP_OK;
}

enum neap_status spares_make(struct spares *p, struct error *err)
{
    enum neap_status status = begin_spare(p, true, err);
    while (status == NEAP_OK && p->filled < p->header.size)
        status = fill_spare(p, err);
    if (status == NEAP_OK)
        status = name_spare(p, err);
    if (status != NEAP_OK)
        drop_spare(p);
    return status;
}

bool spares_due(const struct spares *p)
{
    struct shared *s = &p->log->shared;
    io_mutex_take(s->mutex);
    bool due = s->file_count - s->open_index - 1 < space_ready_count(p->log);
    io_mutex_drop(s->mutex);
    return due;
}

enum neap_status spares_step(struct spares *p, struct error *err)
{
    enum neap_status status;
    if (p->file == NULL)
        status = begin_spare(p, false, err);
    else if (p->filled < p->header.size)
        status = fill_spare(p, err);
    else
        status = name_spare(p, err);
    if (status != NEAP_OK)
        drop_spare(p);
    return status;
}

/* ---- made of dead ones (rule K2): the cleaner says which files are dead ------------------------------------------------ */

static uint32_t count_dead(const struct shared *s) /* under the mutex */
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->open_index; i++)
        count += s->files[i].dead;
    return count;
}

/* Takes the oldest dead file that nobody reads out of the log's sight, where there are more than so many. */
static bool take_dead(struct spares *p, uint32_t more_than, struct journal_file *ret_file)
{
    struct shared *s = &p->log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < s->open_index && !found && count_dead(s) > more_than; i++) {
        struct journal_file *f = &s->files[i];
        if (!f->dead || f->pin_count > 0)
            continue;
        *ret_file = *f;
        archives_forget_drained(&s->views.archives, f->sequence);
        memmove(f, f + 1, (s->file_count - i - 1) * sizeof(*f));
        s->file_count--;
        s->open_index--;
        s->change_count++;
        found = true;
    }
    space_update(p->log);
    io_mutex_drop(s->mutex);
    return found;
}

/* It is out of the log's sight; on disk too, first; then a new header with a new salt; then the name of the next spare. */
static enum neap_status recycle_step(struct spares *p, struct journal_file *dead, struct error *err)
{
    struct log *log = p->log;
    char from[PATH_SIZE_MAX], folder[PATH_SIZE_MAX];
    io_file_close(&dead->index);
    io_file_close(&dead->file);
    enum neap_status status = next_header(p, dead->size, false, &p->header, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, from, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)dead->sequence);
    log_path(log, p->path, JOURNAL_FOLDER, SPARE_NAME, (unsigned long long)p->header.sequence);
    status = io_rename(log->io, from, p->path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log_path(log, folder, JOURNAL_FOLDER, "%s", ""), err);
    if (status == NEAP_OK)
        status = io_file_open(log->io, p->path, IO_READ | IO_WRITE, &p->file, err);
    if (status != NEAP_OK)
        return status;
    log_path(log, from, INDEX_FOLDER, INDEX_NAME, (unsigned long long)dead->sequence);
    io_unlink(log->io, from, NULL); /* one left behind names a file that is gone: recovery drops it */
    if (dead->scarred)
        scars_unlink(log, dead->sequence);
    p->filled = p->header.size;
    return name_spare(p, err);
}

static enum neap_status unlink_dead(struct spares *p, struct journal_file *dead, struct error *err)
{
    struct log *log = p->log;
    char path[PATH_SIZE_MAX];
    io_file_close(&dead->index);
    io_file_close(&dead->file);
    log_path(log, path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)dead->sequence);
    io_unlink(log->io, path, NULL);
    if (dead->scarred)
        scars_unlink(log, dead->sequence);
    enum neap_status status =
        io_unlink(log->io, log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)dead->sequence), err);
    if (status == NEAP_OK) /* before its blocks hold anything else: a power cut could bring the name back */
        status = io_dir_sync(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), err);
    return status;
}

bool spares_recycle(struct spares *p, struct error *err)
{
    struct journal_file dead;
    if (p->file != NULL || !take_dead(p, 0, &dead))
        return false;
    recycle_step(p, &dead, err);
    return true;
}

bool spares_release(struct spares *p, struct error *err)
{
    struct shared *s = &p->log->shared;
    struct journal_file dead;
    io_mutex_take(s->mutex);
    bool over = used_size(s) + p->log->options.file_size > p->log->options.disk_size;
    io_mutex_drop(s->mutex);
    if (p->file != NULL || !take_dead(p, over ? 0 : DEAD_FILE_COUNT_MAX, &dead))
        return false;
    unlink_dead(p, &dead, err);
    return true;
}

/* ---- given up ---------------------------------------------------------------------------------------------------------- */

/* The name is gone for good before the one before it may go: no crash leaves a hole between them. */
bool spares_give_up(struct spares *p, struct error *err)
{
    struct log *log = p->log;
    struct shared *s = &log->shared;
    struct journal_file last = { 0 };
    drop_spare(p); /* the one in the making would follow the one that goes */
    io_mutex_take(s->mutex);
    if (s->file_count > s->open_index + 2) /* one stays for the journal */
        last = s->files[--s->file_count];
    io_mutex_drop(s->mutex);
    if (last.file == NULL)
        return false;
    char path[PATH_SIZE_MAX];
    io_file_close(&last.file);
    log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)last.sequence);
    if (io_unlink(log->io, path, err) == NEAP_OK)
        io_dir_sync(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), err);
    return true;
}

/* ---- all of it --------------------------------------------------------------------------------------------------------- */

enum neap_status spares_init(struct spares *p, struct log *log)
{
    *p = (struct spares){ .log = log, .zeros = calloc(1, fill_size(log)) };
    return p->zeros != NULL ? NEAP_OK : NEAP_NOMEM;
}

void spares_fini(struct spares *p)
{
    drop_spare(p);
    free(p->zeros);
    p->zeros = NULL;
}

bool spares_came(struct spares *p)
{
    bool came = p->came;
    p->came = false;
    return came;
}
