/* door.h - the simulated door's own structs; private to src/io/sim.
 *
 * One thread. While an agent waits inside a call, others may have their turns: on top of it, as deep as there are agents.
 * So every interleaving at calls happens but one kind: of two agents that wait inside calls, the one that began last goes
 * on first. */
#ifndef IO_SIM_DOOR_H
#define IO_SIM_DOOR_H

#include "io/door.h"
#include "io/sim/chance.h"
#include "io/sim/disk.h"

struct sim;
struct sim_stream;

struct sim_sync { /* one that was started and goes on beside other work */
    struct sim_sync *next;
    struct io_sync *op;
    mono_time due;
    uint32_t start; /* point of the disk's history */
    enum neap_status status;
};

struct sim_server {
    struct sim_server *next;
    const char *authority;
    struct sim_http_server served;
    uint64_t call_count;
};

struct sim_http { /* a call over HTTP */
    struct sim_http *next;
    struct io_http_call *call;
    struct sim_agent *agent;
    mono_time begun_at, due; /* due: to arrive, or to end */
    bool at_server, refused; /* at_server: it will not arrive any more; it has, or has been given up */
    struct io_http_answer answer;
};

struct sim_said { /* by a program: some bytes, or that it ends */
    struct sim_said *next;
    enum { SIM_SAID_OUTPUT, SIM_SAID_ERROR, SIM_SAID_CLOSE, SIM_SAID_EXIT } what;
    mono_time due;
    int status;
    size_t size;
    uint8_t bytes[];
};

struct sim_child {
    struct io_child child;
    struct sim_child *next;
    struct sim_agent *agent;
    const struct sim_program *program;
    void *own;     /* the program's */
    mono_time due; /* nothing happens before */
    struct bytes sending;
    bool send_active, input_closed, told_closed, deaf, dead;
    struct sim_said *said, **said_end;
    uint64_t unread;
    struct io_child_end end;
};

struct sim_program_entry {
    struct sim_program_entry *next;
    const char *name;
    struct sim_program program;
    uint64_t start_count;
};

struct sim_agent {
    struct sim_agent *next;
    struct sim *sim;
    struct io_agent *agent;
    uint64_t name_hash;
    bool started; /* the scheduler turns it; otherwise only io_agent_run() does */
    bool running; /* inside io_agent_run() */
    bool busy;    /* in a turn or callback, perhaps waiting in a call */
    bool awake, left;
    struct io_timer *timers; /* the next due first */
    struct sim_sync *syncs;
    struct sim_http *https;
    void (*signal_arrived)(void *ctx, int number);
    void *signal_ctx;
    uint32_t signal_mask; /* arrived, not yet told */
};

struct sim_file {
    struct io_file file;
    struct sim_file *next;
    uint32_t ino, name;
    unsigned flags;
    bool syncing; /* by io_file_sync_start() */
    int standard; /* 0, 1, 2, or -1 */
};

struct sim_lock {
    struct sim_lock *next;
    const struct sim_file *file;
    enum io_lock_kind kind;
    uint64_t start, end;
};

struct sim_map {
    struct sim_map *next;
    uint32_t ino, ref_count;
    uint64_t position;
    size_t size;
    uint8_t *bytes;
};

struct sim_mutex {
    struct io_mutex mutex;
    bool held;
};

struct sim_listener {
    struct io_listener listener;
    struct sim_listener *next;
    struct sim_agent *agent;
    uint32_t name;
    void (*accepted)(void *ctx, struct io_stream *stream);
    void *ctx;
};

#define SIM_STREAM_ROOM 4096u /* what a socket holds on its way */

struct sim_stream {
    struct io_stream stream;
    struct sim_stream *next;
    struct sim_agent *agent;
    struct sim_stream *peer;      /* NULL: it left */
    struct sim_listener *waiting; /* not yet accepted */
    mono_time due;                /* nothing happens before */
    struct bytes sending;
    bool send_active, paused, closing;
    size_t inbox_size;
    uint8_t inbox[SIM_STREAM_ROOM];
};

struct sim_buffer {
    uint8_t *at;
    size_t size, room, read_size;
    bool end;
};

struct sim_standing_fault {
    struct sim_fault fault;
    uint64_t seen_count;
};

#define SIM_ENVIRONMENT_COUNT_MAX 8u

struct sim {
    struct io io;
    uint32_t magic;
    bool calm, own_disk, unheard;                       /* unheard: a quick check, of which no trace is kept */
    uint64_t order_chance, random_chance, fault_chance; /* one stream each */
    int64_t now_ns, wall_jump_ms;
    struct sim_disk *disk;
    uint64_t step_count, step_count_max, hash;
    void (*trace)(void *ctx, const char *line);
    void *trace_ctx;
    uint32_t held_count;                /* mutexes */
    uint32_t depth;                     /* calls inside which others run */
    struct sim_agent *agents, *current; /* current: whose turn it is; NULL: the caller's own */
    struct sim_file *files;
    struct sim_lock *locks;
    struct sim_map *maps;
    struct sim_listener *listeners;
    struct sim_stream *streams;
    struct sim_server *servers;
    struct sim_child *children;
    struct sim_program_entry *programs;
    int64_t last_pid;
    const struct sim_object *objects[SIM_OBJECT_COUNT_MAX];
    uint32_t object_count;
    uint32_t http_count, http_count_max; /* calls in flight; 0: there was none yet */
    struct sim_file standard[3];
    struct sim_buffer buffers[3];
    struct sim_standing_fault faults[SIM_FAULT_COUNT_MAX];
    uint32_t fault_count;
    uint64_t fault_hits;
    uint64_t call_counts[SIM_CALL_COUNT];
    const char *environment[SIM_ENVIRONMENT_COUNT_MAX][2];
};

struct sim *sim_of(struct io *io); /* checks that it is one */

/* One line of the trace. */
void sim_note(struct sim *sim, const char *what, uint64_t subject, uint64_t a, uint64_t b);

/* ---- scheduler.c ---- */

mono_time sim_now(const struct sim *sim);
/* The caller waits so long inside a call; others may run meanwhile. */
void sim_wait(struct sim *sim, int64_t ns, uint32_t others_one_in);
/* One step of whatever is due; otherwise time goes to the next due thing, at most to `until`. False: nothing is left
 * before it, and it is `until`. */
bool sim_step(struct sim *sim, mono_time until);
struct sim_agent *sim_agent_of(const struct io_agent *agent);
/* Around a callback of the agent. */
struct sim_agent *sim_turn_begin(struct sim_agent *agent);
void sim_turn_end(struct sim_agent *agent, struct sim_agent *before);

enum neap_status sim_agent_attach(struct io *io, struct io_agent *agent, struct error *err);
enum neap_status sim_agent_start(struct io *io, struct io_agent *agent, struct error *err);
void sim_agent_stop(struct io_agent *agent);
void sim_agent_wake(struct io_agent *agent);
enum neap_status sim_agent_run(struct io_agent *agent, mono_time deadline, struct error *err);
void sim_agent_leave(struct io_agent *agent);
uint32_t sim_agent_turn(struct io_agent *agent);
enum neap_status sim_agent_descriptor(struct io_agent *agent, int *ret_descriptor, struct error *err);
void sim_timer_set(struct io_timer *timer, mono_time due);
void sim_timer_cancel(struct io_timer *timer);
struct io_mutex *sim_mutex_new(struct io *io);
void sim_mutex_free(struct io_mutex *mutex);
void sim_mutex_take(struct io_mutex *mutex);
void sim_mutex_drop(struct io_mutex *mutex);
enum neap_status sim_signals_watch(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                   struct error *err);
void sim_signals_unwatch(struct io_agent *agent);

/* ---- files.c, names.c, shared.c ---- */

/* What is to become of this call; time has passed. */
enum neap_status sim_call(struct sim *sim, enum sim_call call, uint32_t name);
int64_t sim_call_duration(struct sim *sim, enum sim_call call);
/* A sync that was started and is due: what it makes durable is durable now. */
void sim_sync_finish(struct sim *sim, const struct sim_sync *sync);

enum neap_status sim_file_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                               struct error *err);
void sim_file_close(struct io_file *file);
enum neap_status sim_file_read(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size);
enum neap_status sim_file_write(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position);
enum neap_status sim_file_sync(struct io_file *file);
void sim_file_sync_start(struct io_sync *op);
enum neap_status sim_file_allocate(struct io_file *file, uint64_t size);
enum neap_status sim_file_truncate(struct io_file *file, uint64_t size);
enum neap_status sim_file_info(struct io_file *file, struct io_file_info *ret_info);
void sim_file_will_need(struct io_file *file, uint64_t position, uint64_t size);
void sim_file_wont_need(struct io_file *file, uint64_t position, uint64_t size);
enum neap_status sim_file_lock(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size);
enum neap_status sim_file_lock_test(struct io_file *file, uint64_t position, uint64_t size, enum io_lock_kind *ret_kind,
                                    int64_t *ret_pid);
enum neap_status sim_file_map(struct io_file *file, uint64_t position, size_t size, void **ret_at);
void sim_file_unmap(struct io_file *file, void *at, size_t size);
enum neap_status sim_path_info(struct io *io, const char *path, struct io_file_info *ret_info);
enum neap_status sim_rename(struct io *io, const char *from, const char *to, struct error *err);
enum neap_status sim_unlink(struct io *io, const char *path, struct error *err);
enum neap_status sim_dir_make(struct io *io, const char *path, struct error *err);
enum neap_status sim_dir_sync(struct io *io, const char *path, struct error *err);
enum neap_status sim_dir_list(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                              struct error *err);
uint64_t sim_dir_free_size(struct io *io, const char *path);
uint64_t sim_dir_total_size(struct io *io, const char *path);
void sim_locks_drop(struct sim_file *file);

/* ---- stream.c ---- */

/* Whether something happens to this stream now, on its agent's turn; and doing it. */
bool sim_stream_ready(const struct sim_stream *stream);
void sim_stream_turn(struct sim_stream *stream);

enum neap_status sim_listen(struct io_agent *agent, const char *path,
                            void (*accepted)(void *ctx, struct io_stream *stream), void *ctx,
                            struct io_listener **ret_listener, struct error *err);
void sim_listener_close(struct io_listener *listener);
enum neap_status sim_connect(struct io_agent *agent, const char *path, struct io_stream **ret_stream,
                             struct error *err);
void sim_stream_start(struct io_stream *stream);
enum neap_status sim_stream_send(struct io_stream *stream, struct bytes bytes);
void sim_stream_pause(struct io_stream *stream, bool paused);
void sim_stream_close(struct io_stream *stream);

/* ---- http.c ---- */

/* One of the two is due: it comes to its server, which is nobody's turn; or it ends, on its agent's. */
void sim_http_arrive(struct sim_http *http);
void sim_http_end(struct sim_http *http);
void sim_http_drop(struct sim_agent *agent); /* what it has in flight */
void sim_http_free(struct sim *sim);
enum neap_status sim_http_prepare(struct io *io, const struct io_http_options *options, struct error *err);
enum neap_status sim_http_begin(struct io_http_call *call, struct error *err);
void sim_http_cancel(struct io_http_call *call);

/* ---- child.c ---- */

/* Whether something happens to this child, and whether that needs its agent's turn; and doing it. */
bool sim_child_ready(const struct sim_child *child, bool *ret_needs_turn, mono_time *ret_due);
void sim_child_turn(struct sim_child *child);
void sim_children_free(struct sim *sim);
enum neap_status sim_child_start(struct io_agent *agent, const struct io_child_options *options,
                                  struct io_child **ret_child, struct error *err);
enum neap_status sim_child_send(struct io_child *child, struct bytes bytes);
void sim_child_close_input(struct io_child *child);
void sim_child_kill(struct io_child *child);
void sim_child_finish(struct io_child *child, mono_time deadline);

/* ---- library.c ---- */

enum neap_status sim_library_open(struct io *io, const char *path, struct io_library **ret_library, struct error *err);
const void *sim_library_find(struct io_library *library, const char *symbol);
void sim_library_close(struct io_library *library);

/* ---- standard.c ---- */

void sim_standard_init(struct sim *sim);
void sim_standard_fini(struct sim *sim);
struct io_file *sim_standard(struct io *io, int number);
bool sim_is_terminal(struct io_file *file);
int sim_terminal_width(struct io_file *file);
enum neap_status sim_read_next(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size);
enum neap_status sim_write_next(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size);

#endif
