/* stream.c - unix sockets: made and named by plain calls, read and written by libuv.
 *
 * ENDINGS   a stream ends once, by its owner (OK), by its peer (CLOSED) or by an error (IO). Ending closes libuv's handle;
 *           a send in flight is answered first, then `closed` is called, then the memory goes.
 * NAMES     a socket's address holds 107 bytes. A longer path is reached through its directory's descriptor in /proc. */
#include "io/real/inside.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STREAM_MAGIC   0x4d525453u
#define LISTENER_MAGIC 0x5453494cu
#define BACKLOG_COUNT  128

struct real_stream {
    struct io_stream base;
    uint32_t magic;
    bool sending, closing, paused;
    enum neap_status end; /* what `closed` will say */
    struct real_agent *agent;
    uv_pipe_t pipe;
    uv_write_t write;
};

struct real_listener {
    struct io_listener base;
    uint32_t magic;
    bool closing, dropping;
    struct real_agent *agent;
    uv_pipe_t pipe;
    uv_pipe_t dropped; /* takes a connection for which there is no memory, to close it */
    void (*accepted)(void *ctx, struct io_stream *stream);
    void *ctx;
    dev_t device;
    ino_t inode;
    char path[];
};

static struct real_stream *stream_of(struct io_stream *stream)
{
    struct real_stream *s = (struct real_stream *)stream;
    CHECK_MAGIC(s, STREAM_MAGIC);
    return s;
}

/* ---- streams ---- */

static void stream_ended(uv_handle_t *handle)
{
    struct real_stream *s = handle->data;
    CHECK_MAGIC(s, STREAM_MAGIC);
    real_loop_count_callback(handle->loop);
    must(!s->sending); /* libuv answered it before */
    if (s->base.events != NULL)
        s->base.events->closed(&s->base, s->end);
    s->magic = 0;
    free(s);
}

static void stream_end(struct real_stream *s, enum neap_status how)
{
    if (s->closing)
        return;
    s->closing = true;
    s->end = how;
    uv_close((uv_handle_t *)&s->pipe, stream_ended);
}

static struct real_stream *stream_new(struct real_agent *agent, uv_loop_t *uv)
{
    struct real_stream *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->base.io = agent->agent->io_;
    s->magic = STREAM_MAGIC;
    s->agent = agent;
    int rc = uv_pipe_init(uv, &s->pipe, 0);
    must(rc == 0); /* it only fills in the struct */
    s->pipe.data = s;
    return s;
}

static void give_room(uv_handle_t *handle, size_t wanted_size, uv_buf_t *ret_buffer)
{
    struct bytes room = real_loop_buffer(handle->loop);
    *ret_buffer = uv_buf_init((char *)(uintptr_t)room.at, (unsigned)room.size);
}

static void bytes_came(uv_stream_t *pipe, ssize_t size, const uv_buf_t *buffer)
{
    struct real_stream *s = pipe->data;
    CHECK_MAGIC(s, STREAM_MAGIC);
    real_loop_count_callback(pipe->loop);
    if (size > 0)
        s->base.events->data(&s->base, (struct bytes){ (const uint8_t *)buffer->base, (size_t)size });
    else if (size == UV_EOF || size == UV_ECONNRESET)
        stream_end(s, NEAP_CLOSED);
    else if (size < 0)
        stream_end(s, NEAP_IO);
}

void real_stream_start(struct io_stream *stream)
{
    struct real_stream *s = stream_of(stream);
    real_agent_must_own(s->agent);
    must(!s->closing);
    if (uv_read_start((uv_stream_t *)&s->pipe, give_room, bytes_came) != 0)
        stream_end(s, NEAP_IO);
}

static void bytes_sent(uv_write_t *write, int rc)
{
    struct real_stream *s = write->data;
    CHECK_MAGIC(s, STREAM_MAGIC);
    real_loop_count_callback(s->pipe.loop);
    s->sending = false;
    s->base.events->sent(&s->base, rc == 0 ? NEAP_OK : NEAP_CLOSED);
    /* A peer that has left may have said something before: whoever reads meets that first, and then the end. */
    if (rc != 0 && s->paused)
        stream_end(s, NEAP_CLOSED);
}

enum neap_status real_stream_send(struct io_stream *stream, struct bytes bytes)
{
    struct real_stream *s = stream_of(stream);
    real_agent_must_own(s->agent);
    if (s->closing)
        return NEAP_CLOSED;
    if (s->sending)
        return NEAP_AGAIN;
    must(bytes.size <= UINT32_MAX);
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes.at, (unsigned)bytes.size);
    s->write.data = s;
    if (uv_write(&s->write, (uv_stream_t *)&s->pipe, &buffer, 1, bytes_sent) != 0) {
        stream_end(s, NEAP_IO);
        return NEAP_CLOSED;
    }
    s->sending = true;
    return NEAP_OK;
}

void real_stream_pause(struct io_stream *stream, bool paused)
{
    struct real_stream *s = stream_of(stream);
    real_agent_must_own(s->agent);
    if (s->closing)
        return;
    s->paused = paused;
    int rc =
        paused ? uv_read_stop((uv_stream_t *)&s->pipe) : uv_read_start((uv_stream_t *)&s->pipe, give_room, bytes_came);
    if (rc != 0 && rc != UV_EALREADY)
        stream_end(s, NEAP_IO);
}

void real_stream_close(struct io_stream *stream)
{
    struct real_stream *s = stream_of(stream);
    real_agent_must_own(s->agent);
    stream_end(s, NEAP_OK);
}

/* ---- addresses ---- */

struct address {
    struct sockaddr_un un;
    int dir_fd; /* -1: the path fits */
};

static enum neap_status address_init(struct address *address, const char *path, struct error *err)
{
    *address = (struct address){ .un = { .sun_family = AF_UNIX }, .dir_fd = -1 };
    if (strlen(path) < sizeof(address->un.sun_path)) {
        strcpy(address->un.sun_path, path);
        return NEAP_OK;
    }
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return real_error(err, ENAMETOOLONG, path);
    char *dir = strndup(path, (size_t)(slash - path));
    if (dir == NULL)
        return error_set(err, NEAP_NOMEM, "%s: no memory", path);
    int fd = real_high(open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
    int error_number = errno;
    free(dir);
    if (fd < 0)
        return real_error(err, error_number, path);
    int size = snprintf(address->un.sun_path, sizeof(address->un.sun_path), "/proc/self/fd/%d%s", fd, slash);
    if (size < 0 || (size_t)size >= sizeof(address->un.sun_path)) {
        close(fd);
        return real_error(err, ENAMETOOLONG, path);
    }
    address->dir_fd = fd;
    return NEAP_OK;
}

static void address_fini(struct address *address)
{
    if (address->dir_fd >= 0)
        close(address->dir_fd);
}

static int connect_to(const struct address *address, int *ret_fd) /* gives 0 or an error number */
{
    int fd = real_high(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)&address->un, sizeof(address->un)) != 0) {
        int error_number = errno;
        close(fd);
        return error_number;
    }
    *ret_fd = fd;
    return 0;
}

enum neap_status real_connect(struct io_agent *agent, const char *path, struct io_stream **ret_stream,
                              struct error *err)
{
    struct real_agent *a = real_agent_of(agent);
    uv_loop_t *uv;
    enum neap_status status = real_loop_need(a, &uv, err);
    if (status != NEAP_OK)
        return status;
    struct address address;
    status = address_init(&address, path, err);
    if (status != NEAP_OK)
        return status;
    int fd = -1;
    int error_number = connect_to(&address, &fd);
    address_fini(&address);
    if (error_number == ECONNREFUSED)
        return error_set(err, NEAP_NOTFOUND, "%s: nobody listens there", path);
    if (error_number == EAGAIN)
        return error_set(err, NEAP_AGAIN, "%s: too many are waiting to be let in", path);
    if (error_number != 0)
        return real_error(err, error_number, path);
    struct real_stream *s = stream_new(a, uv);
    if (s == NULL) {
        close(fd);
        return error_set(err, NEAP_NOMEM, "%s: no memory", path);
    }
    int rc = uv_pipe_open(&s->pipe, fd);
    must(rc == 0); /* a fresh socket that does not block */
    *ret_stream = &s->base;
    return NEAP_OK;
}

/* ---- listeners ---- */

static void drop_ended(uv_handle_t *handle);

/* libuv has taken it in under whatever number was free. NULL: it could not be moved; it is gone. */
static struct real_stream *move_high(struct real_stream *s, uv_loop_t *uv)
{
    uv_os_fd_t fd = -1;
    int rc = uv_fileno((uv_handle_t *)&s->pipe, &fd);
    must(rc == 0);
    if (fd > STDERR_FILENO)
        return s;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    struct real_stream *moved = high >= 0 ? stream_new(s->agent, uv) : NULL;
    stream_end(s, NEAP_CLOSED);
    close(fd); /* which libuv does not do with numbers so low */
    if (moved != NULL) {
        rc = uv_pipe_open(&moved->pipe, high);
        must(rc == 0);
    } else if (high >= 0) {
        close(high);
    }
    return moved;
}

static void came(uv_stream_t *server, int rc)
{
    struct real_listener *l = server->data;
    CHECK_MAGIC(l, LISTENER_MAGIC);
    real_loop_count_callback(server->loop);
    if (rc != 0 || l->dropping)
        return; /* gone again, or waits until drop_ended() */
    struct real_stream *s = stream_new(l->agent, server->loop);
    if (s == NULL) {
        uv_pipe_init(server->loop, &l->dropped, 0);
        l->dropped.data = l;
        l->dropping = true;
        uv_accept(server, (uv_stream_t *)&l->dropped);
        uv_close((uv_handle_t *)&l->dropped, drop_ended);
        return;
    }
    if (uv_accept(server, (uv_stream_t *)&s->pipe) != 0) {
        stream_end(s, NEAP_CLOSED);
        return;
    }
    s = move_high(s, server->loop);
    if (s != NULL)
        l->accepted(l->ctx, &s->base);
}

static void listener_ended(uv_handle_t *handle)
{
    struct real_listener *l = handle->data;
    CHECK_MAGIC(l, LISTENER_MAGIC);
    real_loop_count_callback(handle->loop);
    if (l->dropping)
        return; /* drop_ended() frees it */
    l->magic = 0;
    free(l);
}

static void drop_ended(uv_handle_t *handle)
{
    struct real_listener *l = handle->data;
    CHECK_MAGIC(l, LISTENER_MAGIC);
    l->dropping = false;
    if (l->closing)
        listener_ended((uv_handle_t *)&l->pipe);
    else
        came((uv_stream_t *)&l->pipe, 0); /* one that came meanwhile; else uv_accept() says that there is none */
}

/* Whoever stopped without cleaning up leaves a name that refuses. Two starters at once could both find it so: the lock on
 * the directory keeps them apart, the socket's name does not. */
static enum neap_status clear_way(const struct address *address, const char *path, struct error *err)
{
    struct stat found;
    if (lstat(path, &found) != 0)
        return errno == ENOENT ? NEAP_OK : real_error(err, errno, path);
    if (!S_ISSOCK(found.st_mode))
        return error_set(err, NEAP_EXISTS, "%s: is there, and is no socket", path);
    int fd = -1;
    int error_number = connect_to(address, &fd);
    if (error_number == 0)
        close(fd);
    if (error_number == 0 || error_number == EAGAIN)
        return error_set(err, NEAP_HELD, "%s: somebody listens there already", path);
    if (error_number != ECONNREFUSED && error_number != ENOENT)
        return real_error(err, error_number, path);
    if (unlink(path) != 0 && errno != ENOENT)
        return real_error(err, errno, path);
    return NEAP_OK;
}

static enum neap_status bind_and_listen(const struct address *address, const char *path, int *ret_fd,
                                        struct stat *ret_stat, struct error *err)
{
    int fd = real_high(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return real_error(err, errno, path);
    int error_number = 0;
    /* The name takes its mode from the socket at the moment of bind: it is never open to others, not even briefly. */
    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&address->un, sizeof(address->un)) != 0) {
        error_number = errno;
        close(fd);
    } else if (listen(fd, BACKLOG_COUNT) != 0 || lstat(path, ret_stat) != 0) {
        error_number = errno;
        unlink(path);
        close(fd);
    }
    if (error_number == EADDRINUSE)
        return error_set(err, NEAP_HELD, "%s: somebody came first", path);
    if (error_number != 0)
        return real_error(err, error_number, path);
    *ret_fd = fd;
    return NEAP_OK;
}

static enum neap_status claim(const char *path, int *ret_fd, struct stat *ret_stat, struct error *err)
{
    struct address address;
    enum neap_status status = address_init(&address, path, err);
    if (status != NEAP_OK)
        return status;
    status = clear_way(&address, path, err);
    if (status == NEAP_OK)
        status = bind_and_listen(&address, path, ret_fd, ret_stat, err);
    address_fini(&address);
    return status;
}

enum neap_status real_listen(struct io_agent *agent, const char *path,
                             void (*accepted)(void *ctx, struct io_stream *stream), void *ctx,
                             struct io_listener **ret_listener, struct error *err)
{
    struct real_agent *a = real_agent_of(agent);
    uv_loop_t *uv;
    enum neap_status status = real_loop_need(a, &uv, err);
    if (status != NEAP_OK)
        return status;
    struct real_listener *l = calloc(1, sizeof(*l) + strlen(path) + 1);
    if (l == NULL)
        return error_set(err, NEAP_NOMEM, "%s: no memory", path);
    int fd = -1;
    struct stat stat;
    status = claim(path, &fd, &stat, err);
    if (status != NEAP_OK) {
        free(l);
        return status;
    }
    l->base.io = agent->io_;
    l->magic = LISTENER_MAGIC;
    l->agent = a;
    l->accepted = accepted;
    l->ctx = ctx;
    l->device = stat.st_dev;
    l->inode = stat.st_ino;
    strcpy(l->path, path);
    int rc = uv_pipe_init(uv, &l->pipe, 0);
    must(rc == 0);
    l->pipe.data = l;
    rc = uv_pipe_open(&l->pipe, fd);
    must(rc == 0); /* a fresh socket that does not block */
    rc = uv_listen((uv_stream_t *)&l->pipe, BACKLOG_COUNT, came);
    must(rc == 0); /* it listens already */
    *ret_listener = &l->base;
    return NEAP_OK;
}

void real_listener_close(struct io_listener *listener)
{
    struct real_listener *l = (struct real_listener *)listener;
    CHECK_MAGIC(l, LISTENER_MAGIC);
    real_agent_must_own(l->agent);
    must(!l->closing);
    l->closing = true;
    struct stat found; /* the name may be another's by now */
    if (lstat(l->path, &found) == 0 && found.st_dev == l->device && found.st_ino == l->inode)
        unlink(l->path);
    uv_close((uv_handle_t *)&l->pipe, listener_ended);
}
