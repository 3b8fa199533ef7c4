/* door.c - opens and closes the real door, and gives the system's error numbers their meaning. */
#include "io/real.h"
#include "io/real/inside.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum neap_status real_status(int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
        return NEAP_NOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
        return NEAP_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
        return NEAP_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit on file sizes is a kind of quota */
        return NEAP_FULL;
    case ENOMEM:
    case EMFILE: /* out of handles: as out of memory, nothing but leaving helps */
    case ENFILE:
        return NEAP_NOMEM;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EINVAL:
        return NEAP_MISUSE;
    default:
        return NEAP_IO;
    }
}

enum neap_status real_error(struct error *err, int error_number, const char *path)
{
    const char *said = strerrordesc_np(error_number);
    return error_set(err, real_status(error_number), "%s: %s", path, said != NULL ? said : "unknown error");
}

static const struct io_verbs verbs = {
    .now = real_now,
    .wall = real_wall,
    .random = real_random,
    .sleep = real_sleep,
    .file_open = real_file_open,
    .file_close = real_file_close,
    .file_read = real_file_read,
    .file_write = real_file_write,
    .file_sync = real_file_sync,
    .file_allocate = real_file_allocate,
    .file_truncate = real_file_truncate,
    .file_info = real_file_info,
    .file_will_need = real_file_will_need,
    .file_wont_need = real_file_wont_need,
    .file_sync_start = real_file_sync_start,
    .file_lock = real_file_lock,
    .file_lock_test = real_file_lock_test,
    .file_map = real_file_map,
    .file_unmap = real_file_unmap,
    .path_info = real_path_info,
    .path_full = real_path_full,
    .rename = real_rename,
    .unlink = real_unlink,
    .dir_make = real_dir_make,
    .dir_sync = real_dir_sync,
    .dir_list = real_dir_list,
    .dir_free_size = real_dir_free_size,
    .dir_total_size = real_dir_total_size,
    .pid = real_pid,
    .environment = real_environment,
    .standard = real_standard,
    .is_terminal = real_is_terminal,
    .terminal_width = real_terminal_width,
    .read_next = real_read_next,
    .write_next = real_write_next,
    .agent_attach = real_agent_attach,
    .agent_start = real_agent_start,
    .agent_stop = real_agent_stop,
    .agent_wake = real_agent_wake,
    .agent_run = real_agent_run,
    .agent_leave = real_agent_leave,
    .agent_turn = real_agent_turn,
    .agent_descriptor = real_agent_descriptor,
    .timer_set = real_timer_set,
    .timer_cancel = real_timer_cancel,
    .mutex_new = real_mutex_new,
    .mutex_free = real_mutex_free,
    .mutex_take = real_mutex_take,
    .mutex_drop = real_mutex_drop,
    .listen = real_listen,
    .listener_close = real_listener_close,
    .connect = real_connect,
    .stream_start = real_stream_start,
    .stream_send = real_stream_send,
    .stream_pause = real_stream_pause,
    .stream_close = real_stream_close,
    .signals_watch = real_signals_watch,
    .signals_unwatch = real_signals_unwatch,
    .http_prepare = real_http_prepare,
    .http_begin = real_http_begin,
    .http_cancel = real_http_cancel,
    .child_start = real_child_start,
    .child_send = real_child_send,
    .child_close_input = real_child_close_input,
    .child_kill = real_child_kill,
    .child_finish = real_child_finish,
    .library_open = real_library_open,
    .library_find = real_library_find,
    .library_close = real_library_close,
};

/* A process may be started with a standard stream closed. The next file opened would take its number, and what is meant for
 * the user would be written into it. */
bool real_standard_fill(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

/* Never free in between: whoever fills the numbers on another thread must not take ours for somebody's. */
static void leave_null(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, fd) < 0)
        close(fd);
    if (null > STDERR_FILENO)
        close(null);
    else if (null >= 0)
        fcntl(null, F_SETFD, 0); /* another one that was free */
}

int real_high(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error_number = errno;
    leave_null(fd);
    errno = error_number;
    return high;
}

int real_thread_start(struct real *real, pthread_t *ret_thread, void *(*main)(void *ctx), void *ctx)
{
    sigset_t all, before;
    if (!real->is_guest)
        return pthread_create(ret_thread, NULL, main, ctx);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread begins with its maker's mask */
    int error_number = pthread_create(ret_thread, NULL, main, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error_number;
}

static struct real *real_new(struct error *err)
{
    static const char *const names[] = { "standard input", "standard output", "standard error" };
    struct real *real = calloc(1, sizeof(*real));
    if (real == NULL) {
        error_set(err, NEAP_NOMEM, "no memory for the door");
        return NULL;
    }
    real->base.verbs = &verbs;
    real->magic = REAL_MAGIC;
    pthread_mutex_init(&real->mutex, NULL);
    pthread_mutex_init(&real->http_mutex, NULL);
    for (int i = 0; i < 3; i++) {
        real->standard[i].base = (struct io_file){ .io = &real->base, .path = names[i] };
        real->standard[i].magic = REAL_FILE_MAGIC;
        real->standard[i].fd = i;
    }
    return real;
}

/* A log keeps its files open, two for each of the journal's: as many as the administrator allows, and not what a shell is given
 * at first. What select() cannot do with high numbers does not matter: nothing here calls it. */
static void allow_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

struct io *io_real_open(struct error *err)
{
    if (!real_standard_fill()) {
        error_set(err, NEAP_DENIED, "a standard stream is closed, and /dev/null cannot stand in for it");
        return NULL;
    }
    struct real *real = real_new(err);
    if (real == NULL)
        return NULL;
    /* A reader that left and a file at its size limit are answers of the call that met them, not reasons to die. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    allow_files();
    return &real->base;
}

struct io *io_real_open_guest(struct error *err)
{
    struct real *real = real_new(err);
    if (real == NULL)
        return NULL;
    real->is_guest = true;
    (void)real_standard_fill(); /* where it cannot, what is opened still moves away: real_high() */
    return &real->base;
}

void io_real_close(struct io **io)
{
    must(io != NULL);
    if (*io == NULL)
        return;
    struct real *real = real_of(*io);
    must(real->agent_count == 0);
    real_http_free(real); /* it may still ring agents that have been stopped */
    real_agents_free(real);
    pthread_mutex_destroy(&real->mutex);
    pthread_mutex_destroy(&real->http_mutex);
    real->magic = 0;
    free(real);
    *io = NULL;
}

void io_real_leave(int code)
{
    _exit(code);
}
