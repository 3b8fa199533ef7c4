/* inside.h - what the files of the real door know of each other; private to src/io/real.
 *
 * owner    struct real: the program. struct real_file: its opener. struct real_agent: its own thread, but for the members
 *          marked otherwise
 * memory   one block each, taken when opened
 * errors   real_status() turns the system's error numbers into ours, in one place
 * promise  nothing here is seen outside src/io/real */
#ifndef IO_REAL_INSIDE_H
#define IO_REAL_INSIDE_H

#include "base/must.h"
#include "io/door.h"
#include "io/real/bell.h"
#include "io/wheel.h"
#include <errno.h>
#include <pthread.h>
#include <uv.h>

#define REAL_MAGIC       0x4c414552u
#define REAL_FILE_MAGIC  0x454c4946u
#define REAL_AGENT_MAGIC 0x544e4741u

struct real_file {
    struct io_file base;
    uint32_t magic;
    int fd;
    _Atomic bool syncing; /* an io_sync is under way */
};

struct real {
    struct io base;
    uint32_t magic;
    pthread_mutex_t mutex;         /* over the next two */
    uint32_t agent_count;          /* attached or started */
    struct real_agent *free_agent; /* of agents that have been stopped */
    pthread_mutex_t http_mutex;    /* over the making of the next one */
    struct real_http *http;        /* NULL until there is a call */
    struct real_file standard[3];
    bool is_guest; /* in somebody else's program */
};

static inline struct real *real_of(struct io *io)
{
    struct real *real = (struct real *)io;
    CHECK_MAGIC(real, REAL_MAGIC);
    return real;
}

static inline struct real_file *real_file_of(struct io_file *file)
{
    struct real_file *real = (struct real_file *)file;
    CHECK_MAGIC(real, REAL_FILE_MAGIC);
    return real;
}

/* ---- door.c ---- */

enum neap_status real_status(int error_number);
/* "PATH: what the system said", and the status for it. */
enum neap_status real_error(struct error *err, int error_number, const char *path);

/* A descriptor that was just opened, moved away from 0, 1 and 2 where one of them was free, which /dev/null takes: a program
 * prints there whether they are open or not, and closes or replaces them as it likes. -1 and errno: there is no other. */
int real_high(int fd);
/* The same for what others open: /dev/null stands wherever a standard stream is closed. False: it cannot. */
bool real_standard_fill(void);

/* pthread_create(); a guest's threads leave all signals to the threads of the program. */
int real_thread_start(struct real *real, pthread_t *ret_thread, void *(*main)(void *ctx), void *ctx);

/* ---- time.c ---- */

mono_time real_now(struct io *io);
wall_time real_wall(struct io *io);
uint64_t real_random(struct io *io);
void real_sleep(struct io *io, int64_t duration_ns);

/* ---- file.c ---- */

enum neap_status real_file_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                                struct error *err);
void real_file_close(struct io_file *file);
enum neap_status real_file_read(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size);
enum neap_status real_file_write(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position);
enum neap_status real_file_sync(struct io_file *file);
enum neap_status real_file_allocate(struct io_file *file, uint64_t size);
enum neap_status real_file_truncate(struct io_file *file, uint64_t size);
enum neap_status real_file_info(struct io_file *file, struct io_file_info *ret_info);
void real_file_will_need(struct io_file *file, uint64_t position, uint64_t size);
void real_file_wont_need(struct io_file *file, uint64_t position, uint64_t size);
enum neap_status real_file_lock(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size);
enum neap_status real_file_lock_test(struct io_file *file, uint64_t position, uint64_t size,
                                     enum io_lock_kind *ret_kind, int64_t *ret_pid);
enum neap_status real_file_map(struct io_file *file, uint64_t position, size_t size, void **ret_at);
void real_file_unmap(struct io_file *file, void *at, size_t size);

/* ---- name.c ---- */

struct stat;
void real_info_of_stat(const struct stat *stat, struct io_file_info *ret_info);
enum neap_status real_path_info(struct io *io, const char *path, struct io_file_info *ret_info);
enum neap_status real_path_full(struct io *io, const char *path, char *to, size_t size, struct error *err);
enum neap_status real_rename(struct io *io, const char *from, const char *to, struct error *err);
enum neap_status real_unlink(struct io *io, const char *path, struct error *err);
enum neap_status real_dir_make(struct io *io, const char *path, struct error *err);
enum neap_status real_dir_sync(struct io *io, const char *path, struct error *err);
enum neap_status real_dir_list(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                               struct error *err);
uint64_t real_dir_free_size(struct io *io, const char *path);
uint64_t real_dir_total_size(struct io *io, const char *path);
int64_t real_pid(struct io *io);
const char *real_environment(struct io *io, const char *name);

/* ---- standard.c ---- */

struct io_file *real_standard(struct io *io, int number);
bool real_is_terminal(struct io_file *file);
int real_terminal_width(struct io_file *file);
enum neap_status real_read_next(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size);
enum neap_status real_write_next(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size);

/* ---- agent.c ---- */

struct real_syncer;
struct real_http;
struct real_loop;

/* A, having told B something, wakes B; in between B may have acted on it and been stopped. So the memory of a stopped agent
 * stays one until the door closes, and is used for the next agent: the worst that a late wake-up does is an idle turn. */
struct real_agent {
    uint32_t magic;
    int event_fd; /* rouses it from its loop; -1 until it has one, then the same for good */
    struct real_agent *next_free;
    struct io_agent *agent;
    struct bell bell;                     /* anyone rings, the agent rests on it */
    _Atomic(struct io_sync *) synced;     /* the syncer pushes, the agent takes all */
    _Atomic(struct real_syncer *) syncer; /* made at the first io_file_sync_start() */
    _Atomic(struct io_http_call *) called; /* the thread `http` pushes, the agent takes all */
    _Atomic bool stopping;                /* io_agent_stop() sets it */
    _Atomic bool detaching;               /* and this one: its calls are to be cancelled */
    struct real_http *http;               /* the door's, from its first call on */
    uint32_t call_count;                  /* begun, `done` not yet run */
    bool left;
    bool has_thread;
    bool has_descriptor; /* somebody else's loop watches event_fd */
    pthread_t thread; /* where it has one: the starter's, to join */
    pthread_t owner;  /* whose turn it is; written by that thread */
    struct wheel wheel;
    struct real_loop *loop; /* NULL until it has a stream, a listener or signals */
};

static inline struct real_agent *real_agent_of(struct io_agent *agent)
{
    struct real_agent *real = agent->door_;
    CHECK_MAGIC(real, REAL_AGENT_MAGIC);
    return real;
}

/* The agent's own thread is calling: its timers and streams belong to nobody else. */
void real_agent_must_own(const struct real_agent *agent);
void real_agents_free(struct real *real); /* none is attached any more */
enum neap_status real_agent_attach(struct io *io, struct io_agent *agent, struct error *err);
enum neap_status real_agent_start(struct io *io, struct io_agent *agent, struct error *err);
void real_agent_stop(struct io_agent *agent);
void real_agent_wake(struct io_agent *agent);
enum neap_status real_agent_run(struct io_agent *agent, mono_time deadline, struct error *err);
void real_agent_ring(struct real_agent *agent); /* from any thread, until the door is closed */
void real_agent_leave(struct io_agent *agent);
uint32_t real_agent_turn(struct io_agent *agent);
enum neap_status real_agent_descriptor(struct io_agent *agent, int *ret_descriptor, struct error *err);
enum neap_status real_agent_need_event(struct real_agent *agent, struct error *err); /* event_fd, made when missing */
void real_timer_set(struct io_timer *timer, mono_time due);
void real_timer_cancel(struct io_timer *timer);

struct io_mutex *real_mutex_new(struct io *io);
void real_mutex_free(struct io_mutex *mutex);
void real_mutex_take(struct io_mutex *mutex);
void real_mutex_drop(struct io_mutex *mutex);

/* ---- sync.c ---- */

void real_file_sync_start(struct io_sync *op);
void real_sync_deliver(struct real_agent *agent); /* runs `done` of what is synced */
void real_sync_stop(struct real_agent *agent);    /* waits for what is under way and drops it */

/* ---- http.c ---- */

enum neap_status real_http_prepare(struct io *io, const struct io_http_options *options, struct error *err);
enum neap_status real_http_begin(struct io_http_call *call, struct error *err);
void real_http_cancel(struct io_http_call *call);
void real_http_deliver(struct real_agent *agent); /* runs `done` of what has ended */
void real_http_stop(struct real_agent *agent);    /* cancels what is in flight, waits for its end and drops it */
void real_http_free(struct real *real);           /* every agent has been stopped */

/* ---- loop.c ---- */

/* The agent's libuv loop, made when missing. */
enum neap_status real_loop_need(struct real_agent *agent, uv_loop_t **ret_loop, struct error *err);
void real_loop_turn(struct real_loop *loop);   /* callbacks of what is ready */
bool real_loop_settle(struct real_loop *loop); /* false: a callback ran, or will at once; do not rest */
void real_loop_rest(struct real_agent *agent, mono_time until);
void real_loop_free(struct real_loop **loop); /* what was in it has been closed by its owner */
void real_loop_count_callback(uv_loop_t *loop);
struct bytes real_loop_buffer(uv_loop_t *loop); /* room for one read, shared by the loop's streams */
enum neap_status real_signals_watch(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                    struct error *err);
void real_signals_unwatch(struct io_agent *agent);

/* ---- stream.c ---- */

enum neap_status real_listen(struct io_agent *agent, const char *path,
                             void (*accepted)(void *ctx, struct io_stream *stream), void *ctx,
                             struct io_listener **ret_listener, struct error *err);
void real_listener_close(struct io_listener *listener);
enum neap_status real_connect(struct io_agent *agent, const char *path, struct io_stream **ret_stream,
                              struct error *err);
void real_stream_start(struct io_stream *stream);
enum neap_status real_stream_send(struct io_stream *stream, struct bytes bytes);
void real_stream_pause(struct io_stream *stream, bool paused);
void real_stream_close(struct io_stream *stream);

/* ---- child.c ---- */

enum neap_status real_child_start(struct io_agent *agent, const struct io_child_options *options,
                                  struct io_child **ret_child, struct error *err);
enum neap_status real_child_send(struct io_child *child, struct bytes bytes);
void real_child_close_input(struct io_child *child);
void real_child_kill(struct io_child *child);
void real_child_finish(struct io_child *child, mono_time deadline);

/* ---- library.c ---- */

enum neap_status real_library_open(struct io *io, const char *path, struct io_library **ret_library, struct error *err);
const void *real_library_find(struct io_library *library, const char *symbol);
void real_library_close(struct io_library *library);

#endif
