/* io.c - the public verbs: check the contract, forward to whichever door this is. */
#include "io/io.h"
#include "base/must.h"
#include "io/door.h"

mono_time io_now(struct io *io)
{
    return io->verbs->now(io);
}

wall_time io_wall(struct io *io)
{
    return io->verbs->wall(io);
}

uint64_t io_random(struct io *io)
{
    return io->verbs->random(io);
}

void io_sleep(struct io *io, int64_t duration_ns)
{
    if (duration_ns > 0)
        io->verbs->sleep(io, duration_ns);
}

/* ---- files ---- */

enum neap_status io_file_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                              struct error *err)
{
    must(path != NULL && ret_file != NULL);
    must((flags & (IO_READ | IO_WRITE)) != 0);
    must((flags & IO_EXCLUSIVE) == 0 || (flags & IO_CREATE) != 0);
    enum neap_status status = io->verbs->file_open(io, path, flags, ret_file, err);
    if (status == NEAP_OK)
        (*ret_file)->number = atomic_fetch_add(&io->open_count, 1) + 1;
    return status;
}

uint64_t io_file_number(const struct io_file *file)
{
    return file->number;
}

void io_file_close(struct io_file **file)
{
    must(file != NULL);
    if (*file == NULL)
        return;
    (*file)->io->verbs->file_close(*file);
    *file = NULL;
}

const char *io_file_path(const struct io_file *file)
{
    return file->path;
}

enum neap_status io_file_read(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    must(ret_size != NULL && (to != NULL || size == 0));
    must(position <= INT64_MAX - size);
    return file->io->verbs->file_read(file, to, size, position, ret_size);
}

enum neap_status io_file_write(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position)
{
    must(count <= IO_WRITE_PARTS_MAX);
    must(position <= INT64_MAX);
    return file->io->verbs->file_write(file, parts, count, position);
}

enum neap_status io_file_sync(struct io_file *file)
{
    return file->io->verbs->file_sync(file);
}

enum neap_status io_file_allocate(struct io_file *file, uint64_t size)
{
    must(size <= INT64_MAX);
    return file->io->verbs->file_allocate(file, size);
}

enum neap_status io_file_truncate(struct io_file *file, uint64_t size)
{
    must(size <= INT64_MAX);
    return file->io->verbs->file_truncate(file, size);
}

enum neap_status io_file_info(struct io_file *file, struct io_file_info *ret_info)
{
    must(ret_info != NULL);
    return file->io->verbs->file_info(file, ret_info);
}

void io_file_will_need(struct io_file *file, uint64_t position, uint64_t size)
{
    file->io->verbs->file_will_need(file, position, size);
}

void io_file_wont_need(struct io_file *file, uint64_t position, uint64_t size)
{
    file->io->verbs->file_wont_need(file, position, size);
}

void io_file_sync_start(struct io_sync *op)
{
    must(op->file != NULL && op->agent != NULL && op->done != NULL);
    must(op->agent->io_ == op->file->io); /* the agent is started, at the same door */
    op->file->io->verbs->file_sync_start(op);
}

enum neap_status io_file_lock(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size)
{
    must(size > 0 && position <= INT64_MAX - size);
    return file->io->verbs->file_lock(file, kind, position, size);
}

enum neap_status io_file_lock_test(struct io_file *file, uint64_t position, uint64_t size, enum io_lock_kind *ret_kind,
                                   int64_t *ret_pid)
{
    must(size > 0 && position <= INT64_MAX - size);
    must(ret_kind != NULL && ret_pid != NULL);
    return file->io->verbs->file_lock_test(file, position, size, ret_kind, ret_pid);
}

enum neap_status io_file_map(struct io_file *file, uint64_t position, size_t size, void **ret_at)
{
    must(size > 0 && position <= INT64_MAX - size);
    must(ret_at != NULL);
    return file->io->verbs->file_map(file, position, size, ret_at);
}

void io_file_unmap(struct io_file *file, void *at, size_t size)
{
    must(at != NULL && size > 0);
    file->io->verbs->file_unmap(file, at, size);
}

/* ---- names ---- */

enum neap_status io_path_info(struct io *io, const char *path, struct io_file_info *ret_info)
{
    must(path != NULL && ret_info != NULL);
    return io->verbs->path_info(io, path, ret_info);
}

enum neap_status io_path_full(struct io *io, const char *path, char *to, size_t size, struct error *err)
{
    must(path != NULL && to != NULL);
    return io->verbs->path_full(io, path, to, size, err);
}

enum neap_status io_rename(struct io *io, const char *from, const char *to, struct error *err)
{
    must(from != NULL && to != NULL);
    return io->verbs->rename(io, from, to, err);
}

enum neap_status io_unlink(struct io *io, const char *path, struct error *err)
{
    must(path != NULL);
    return io->verbs->unlink(io, path, err);
}

enum neap_status io_dir_make(struct io *io, const char *path, struct error *err)
{
    must(path != NULL);
    return io->verbs->dir_make(io, path, err);
}

enum neap_status io_dir_sync(struct io *io, const char *path, struct error *err)
{
    must(path != NULL);
    return io->verbs->dir_sync(io, path, err);
}

enum neap_status io_dir_list(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                             struct error *err)
{
    must(path != NULL && each != NULL);
    return io->verbs->dir_list(io, path, each, ctx, err);
}

uint64_t io_dir_free_size(struct io *io, const char *path)
{
    must(path != NULL);
    return io->verbs->dir_free_size(io, path);
}

uint64_t io_dir_total_size(struct io *io, const char *path)
{
    must(path != NULL);
    return io->verbs->dir_total_size(io, path);
}

int64_t io_pid(struct io *io)
{
    return io->verbs->pid(io);
}

const char *io_environment(struct io *io, const char *name)
{
    must(name != NULL);
    return io->verbs->environment(io, name);
}

/* ---- standard streams ---- */

struct io_file *io_standard(struct io *io, int number)
{
    must(number >= 0 && number <= 2);
    return io->verbs->standard(io, number);
}

bool io_is_terminal(struct io_file *file)
{
    return file->io->verbs->is_terminal(file);
}

int io_terminal_width(struct io_file *file)
{
    return file->io->verbs->terminal_width(file);
}

enum neap_status io_read_next(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size)
{
    must(to != NULL && size > 0); /* nothing asked for could not be told from the end */
    must(ret_size != NULL);
    return file->io->verbs->read_next(file, to, size, deadline, ret_size);
}

enum neap_status io_write_next(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size)
{
    must(ret_size != NULL);
    return file->io->verbs->write_next(file, bytes, deadline, ret_size);
}

/* ---- agents ---- */

enum neap_status io_agent_attach(struct io *io, struct io_agent *agent, struct error *err)
{
    must(agent->name != NULL && agent->work != NULL);
    must(agent->io_ == NULL); /* once */
    return io->verbs->agent_attach(io, agent, err);
}

enum neap_status io_agent_start(struct io *io, struct io_agent *agent, struct error *err)
{
    must(agent->name != NULL && agent->work != NULL);
    must(agent->io_ == NULL); /* once */
    return io->verbs->agent_start(io, agent, err);
}

void io_agent_stop(struct io_agent *agent)
{
    if (agent->io_ == NULL)
        return;
    agent->io_->verbs->agent_stop(agent);
    must(agent->io_ == NULL && agent->door_ == NULL);
}

void io_agent_wake(struct io_agent *agent)
{
    struct io *io = __atomic_load_n(&agent->io_, __ATOMIC_ACQUIRE); /* io_agent_stop() may clear it meanwhile */
    if (io != NULL)
        io->verbs->agent_wake(agent);
}

enum neap_status io_agent_run(struct io *io, struct io_agent *agent, mono_time deadline, struct error *err)
{
    if (agent->io_ == NULL) {
        enum neap_status status = io_agent_attach(io, agent, err);
        if (status != NEAP_OK)
            return status;
    }
    must(agent->io_ == io);
    return io->verbs->agent_run(agent, deadline, err);
}

void io_agent_leave(struct io_agent *agent)
{
    must(agent->io_ != NULL);
    agent->io_->verbs->agent_leave(agent);
}

uint32_t io_agent_turn(struct io_agent *agent)
{
    must(agent->io_ != NULL);
    return agent->io_->verbs->agent_turn(agent);
}

enum neap_status io_agent_descriptor(struct io_agent *agent, int *ret_descriptor, struct error *err)
{
    must(agent->io_ != NULL && ret_descriptor != NULL);
    return agent->io_->verbs->agent_descriptor(agent, ret_descriptor, err);
}

/* ---- timers ---- */

void io_timer_set(struct io_timer *timer, mono_time due)
{
    must(timer->fire != NULL);
    must(timer->agent != NULL && timer->agent->io_ != NULL);
    timer->agent->io_->verbs->timer_set(timer, due);
}

void io_timer_cancel(struct io_timer *timer)
{
    if (timer->link_ == NULL)
        return;
    timer->agent->io_->verbs->timer_cancel(timer);
    must(timer->link_ == NULL);
}

/* ---- mutex ---- */

struct io_mutex *io_mutex_new(struct io *io)
{
    return io->verbs->mutex_new(io);
}

void io_mutex_free(struct io_mutex **mutex)
{
    must(mutex != NULL);
    if (*mutex == NULL)
        return;
    (*mutex)->io->verbs->mutex_free(*mutex);
    *mutex = NULL;
}

void io_mutex_take(struct io_mutex *mutex)
{
    mutex->io->verbs->mutex_take(mutex);
}

void io_mutex_drop(struct io_mutex *mutex)
{
    mutex->io->verbs->mutex_drop(mutex);
}

/* ---- streams ---- */

enum neap_status io_listen(struct io_agent *agent, const char *path,
                           void (*accepted)(void *ctx, struct io_stream *stream), void *ctx,
                           struct io_listener **ret_listener, struct error *err)
{
    must(agent->io_ != NULL && path != NULL);
    must(accepted != NULL && ret_listener != NULL);
    return agent->io_->verbs->listen(agent, path, accepted, ctx, ret_listener, err);
}

void io_listener_close(struct io_listener **listener)
{
    must(listener != NULL);
    if (*listener == NULL)
        return;
    (*listener)->io->verbs->listener_close(*listener);
    *listener = NULL;
}

enum neap_status io_connect(struct io_agent *agent, const char *path, struct io_stream **ret_stream, struct error *err)
{
    must(agent->io_ != NULL && path != NULL && ret_stream != NULL);
    return agent->io_->verbs->connect(agent, path, ret_stream, err);
}

void io_stream_start(struct io_stream *stream, const struct io_stream_events *events, void *ctx)
{
    must(stream->events == NULL); /* once */
    must(events->data != NULL && events->sent != NULL && events->closed != NULL);
    stream->events = events;
    stream->ctx = ctx;
    stream->io->verbs->stream_start(stream);
}

void *io_stream_ctx(struct io_stream *stream)
{
    return stream->ctx;
}

enum neap_status io_stream_send(struct io_stream *stream, struct bytes bytes)
{
    must(stream->events != NULL); /* else nobody would hear that it was sent */
    must(bytes.size > 0);
    return stream->io->verbs->stream_send(stream, bytes);
}

void io_stream_pause(struct io_stream *stream, bool paused)
{
    must(stream->events != NULL);
    stream->io->verbs->stream_pause(stream, paused);
}

void io_stream_close(struct io_stream *stream)
{
    stream->io->verbs->stream_close(stream);
}

/* ---- signals ---- */

enum neap_status io_signals_watch(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                  struct error *err)
{
    must(agent->io_ != NULL && arrived != NULL);
    return agent->io_->verbs->signals_watch(agent, arrived, ctx, err);
}

void io_signals_unwatch(struct io_agent *agent)
{
    must(agent->io_ != NULL);
    agent->io_->verbs->signals_unwatch(agent);
}
