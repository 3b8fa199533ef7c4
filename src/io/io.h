/* io.h - the one door to the world: time, chance, files, sockets, timers, threads.
 *
 * Outside src/io nobody calls the clock, the file system, the network or a thread function. Two doors exist, io/real and
 * io/sim, and the engine cannot tell which one it stands at.
 *
 * owner    the program opens one door and closes it last; what is opened through it belongs to the opener
 * memory   a file, agent, timer or stream costs a fixed struct; nothing grows with what passes through
 * limits   said at each verb
 * errors   statuses as in neap/status.h; "full" (ENOSPC, EDQUOT) is NEAP_FULL, any other failed write or sync is NEAP_IO
 * promise  a callback runs on its agent's turn and never inside the call that started it */
#ifndef IO_IO_H
#define IO_IO_H

#include "base/bytes.h"
#include "base/error.h"

struct io;

/* ---- time and chance -------------------------------------------------------------------------------------------- */

mono_time io_now(struct io *io);
wall_time io_wall(struct io *io);
uint64_t  io_random(struct io *io); /* unpredictable in the real door, of the seed in the simulated one */
/* Holds the calling thread (virtual time in the simulated door). Only for libraries that insist on waiting inside a call,
 * as SQLite's busy handler does; agents rest instead. */
void      io_sleep(struct io *io, int64_t duration_ns);

/* ---- files: blocking, by position, from any thread that may wait for a disk --------------------------------------- */

struct io_file;

enum io_file_flags {
    IO_READ = 1,
    IO_WRITE = 2,
    IO_CREATE = 4,     /* make it when missing (mode 0600, or 0644 with IO_SHARED); the directory is not synced by it */
    IO_EXCLUSIVE = 8,  /* with IO_CREATE: NEAP_EXISTS when it is there */
    IO_SHARED = 16,    /* others may read it: a user's own output */
};

struct io_file_info {
    uint64_t size;
    uint64_t device, inode; /* together, with the door, an identity */
    wall_time modified;
    enum { IO_KIND_FILE, IO_KIND_DIRECTORY, IO_KIND_OTHER } kind;
    bool shared; /* others may read it */
};

/* NEAP_NOTFOUND, NEAP_EXISTS, NEAP_DENIED, NEAP_FULL, NEAP_NOMEM, NEAP_MISUSE (a name no file can have, a directory for
 * writing), NEAP_IO; the message says what the system said */
enum neap_status io_file_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                              struct error *err);
void             io_file_close(struct io_file **file); /* accepts NULL inside; never syncs */
const char      *io_file_path(const struct io_file *file);
uint64_t         io_file_number(const struct io_file *file); /* of this opening: from 1, never twice in one door */
/* Reads up to `size`; fewer only at the end of the file. */
enum neap_status io_file_read(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size);
/* Writes all parts one after the other, or fails; after a failure any part of it may be there. At most 8 parts. */
enum neap_status io_file_write(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position);
enum neap_status io_file_sync(struct io_file *file);                      /* fdatasync; never retried; any failure: NEAP_IO */
enum neap_status io_file_allocate(struct io_file *file, uint64_t size);   /* room is there afterwards, or NEAP_FULL */
enum neap_status io_file_truncate(struct io_file *file, uint64_t size);
enum neap_status io_file_info(struct io_file *file, struct io_file_info *ret_info);
void             io_file_will_need(struct io_file *file, uint64_t position, uint64_t size); /* advice only */
/* Advice: what memory keeps of it may go, so that the next read asks the disk. What is not synced yet stays. */
void             io_file_wont_need(struct io_file *file, uint64_t position, uint64_t size);

/* A sync beside other work. The op lives inside the caller's struct; `done` runs on a later turn of `agent`. The file
 * stays open until then. One at a time per file. */
struct io_agent;
struct io_sync {
    struct io_file *file;
    struct io_agent *agent;
    void (*done)(struct io_sync *op, enum neap_status status);
    void *ctx;              /* the caller's */
    struct io_sync *next_;  /* the door's */
    enum neap_status status_;
};
void io_file_sync_start(struct io_sync *op);

/* Byte-range locks, held by the open file (a second open file of the same process conflicts too), advisory, seen by other
 * processes. Never waits: NEAP_HELD. Unlocked by close and by death. */
enum io_lock_kind { IO_UNLOCK, IO_LOCK_SHARED, IO_LOCK_EXCLUSIVE };
enum neap_status io_file_lock(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size);
/* NEAP_OK and the kind somebody else holds there (IO_UNLOCK: nobody); ret_pid 0 where unknown. */
enum neap_status io_file_lock_test(struct io_file *file, uint64_t position, uint64_t size, enum io_lock_kind *ret_kind,
                                   int64_t *ret_pid);
/* Memory shared with whoever maps the same bytes of the same file. The file is grown to hold it first. */
enum neap_status io_file_map(struct io_file *file, uint64_t position, size_t size, void **ret_at);
void             io_file_unmap(struct io_file *file, void *at, size_t size);

/* ---- names ------------------------------------------------------------------------------------------------------ */

enum neap_status io_path_info(struct io *io, const char *path, struct io_file_info *ret_info); /* NEAP_NOTFOUND … */
/* The one absolute name of a file, symbolic links followed; its last part need not be there. NEAP_TOOLARGE: `size`. */
enum neap_status io_path_full(struct io *io, const char *path, char *to, size_t size, struct error *err);
enum neap_status io_rename(struct io *io, const char *from, const char *to, struct error *err); /* replaces `to` */
enum neap_status io_unlink(struct io *io, const char *path, struct error *err);
/* 0700; with parents; OK when there. The names it makes are durable afterwards. */
enum neap_status io_dir_make(struct io *io, const char *path, struct error *err);
enum neap_status io_dir_sync(struct io *io, const char *path, struct error *err); /* names in it are durable afterwards */
/* Calls `each` for every name but . and .. in byte order; stops early when it answers false. */
enum neap_status io_dir_list(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                             struct error *err);
uint64_t         io_dir_free_size(struct io *io, const char *path); /* bytes free to us on its file system; 0: unknown */
uint64_t         io_dir_total_size(struct io *io, const char *path); /* bytes of its file system, used or free; 0: unknown */
int64_t          io_pid(struct io *io);
const char      *io_environment(struct io *io, const char *name); /* NULL: not set */

/* ---- standard streams: sequential, may block up to the deadline ---------------------------------------------------- */

struct io_file  *io_standard(struct io *io, int number); /* 0 in, 1 out, 2 err; never closed */
bool             io_is_terminal(struct io_file *file);
int              io_terminal_width(struct io_file *file);                 /* columns; 80 where unknown */
/* NEAP_OK with *ret_size 0: the end. NEAP_TIMEOUT: nothing came. */
enum neap_status io_read_next(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size);
/* Writes all, or NEAP_TIMEOUT with *ret_size written so far, NEAP_CLOSED (nobody reads any more), NEAP_IO, NEAP_FULL. */
enum neap_status io_write_next(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size);

/* ---- agents: a struct and one function that does a turn of work ------------------------------------------------------ */

struct io_agent {
    const char *name;                                /* up to 15 letters: the thread's name */
    uint32_t (*work)(void *ctx, mono_time now);      /* a turn; how much was done; 0 lets the caller rest until woken */
    void *ctx;
    struct io *io_;                                  /* the door's */
    void *door_;
};

/* The agent belongs to the door from here on and may be woken. Only for one that io_agent_run() will turn: it may then have
 * timers, streams and signals before its first turn, on the thread that will run it. io_agent_start() attaches by itself,
 * and so does io_agent_run() where nobody has. */
enum neap_status io_agent_attach(struct io *io, struct io_agent *agent, struct error *err);
/* Real door: a thread of its own turns the agent. Simulated: the scheduler does, in an order of its choosing. */
enum neap_status io_agent_start(struct io *io, struct io_agent *agent, struct error *err);
/* Started or attached. Afterwards no turn and no callback of it runs; its timers are cancelled, its streams and signals must
 * be gone. A sync in flight is waited for, a call over HTTP (http.h) cancelled, and their `done` is not called. Not from its own
 * turn. Fine when neither started nor attached. */
void             io_agent_stop(struct io_agent *agent);
/* From any thread. There will be a turn after this call; cheap while the agent is awake (one atomic). Nothing happens where
 * the agent has been stopped, or not yet been started; its struct must still be there. */
void             io_agent_wake(struct io_agent *agent);
/* The caller's thread turns the agent until io_agent_leave() is called from a turn or callback of it (NEAP_OK), or the
 * deadline passes (NEAP_TIMEOUT). In the simulated door this lets the other agents run as well. */
enum neap_status io_agent_run(struct io *io, struct io_agent *agent, mono_time deadline, struct error *err);
void             io_agent_leave(struct io_agent *agent);
/* For a thread that has a loop of its own: one turn of an attached agent, which never rests. After one that answers 0 the
 * descriptor becomes readable at the next wake; the turn that follows takes the mark off it. */
uint32_t         io_agent_turn(struct io_agent *agent);
/* A descriptor to watch for reading; the agent's, good until it is stopped. NEAP_MISUSE: this door has none to give. */
enum neap_status io_agent_descriptor(struct io_agent *agent, int *ret_descriptor, struct error *err);

/* ---- timers: on their agent's thread; a wheel with 100 us ticks ------------------------------------------------------- */

struct io_timer {
    struct io_agent *agent;
    void (*fire)(struct io_timer *timer, mono_time now);
    void *ctx;
    mono_time due_;                    /* the door's */
    struct io_timer *next_, **link_;   /* the door's; link_ is NULL when not set */
};
/* Again: moves it. Never early, late by a tick and the scheduler; one that is already due fires at the next tick. Timers of
 * one tick fire in no promised order. */
void io_timer_set(struct io_timer *timer, mono_time due);
void io_timer_cancel(struct io_timer *timer);             /* fine when not set */

/* ---- a lock for short sections that never wait for anything inside ------------------------------------------------------ */

struct io_mutex;
struct io_mutex *io_mutex_new(struct io *io); /* gives; NULL: out of memory */
void             io_mutex_free(struct io_mutex **mutex);
void             io_mutex_take(struct io_mutex *mutex);
void             io_mutex_drop(struct io_mutex *mutex);

/* ---- streams: unix sockets, on an agent's thread ---------------------------------------------------------------------- */

struct io_listener;
struct io_stream;

struct io_stream_events {
    void (*data)(struct io_stream *stream, struct bytes bytes);          /* borrowed for the call */
    void (*sent)(struct io_stream *stream, enum neap_status status);     /* the one send in flight is done; CLOSED: not all of
                                                                             it: what the peer said before it left still comes */
    void (*closed)(struct io_stream *stream, enum neap_status status);   /* last; CLOSED: the peer left; stream is freed after it */
};

/* Mode 0600; an abandoned socket file at the path is replaced; NEAP_HELD when somebody listens there. */
enum neap_status io_listen(struct io_agent *agent, const char *path, void (*accepted)(void *ctx, struct io_stream *stream),
                           void *ctx, struct io_listener **ret_listener, struct error *err);
void             io_listener_close(struct io_listener **listener); /* on the agent's thread; unlinks the path */
/* NEAP_NOTFOUND: nothing listens there. */
enum neap_status io_connect(struct io_agent *agent, const char *path, struct io_stream **ret_stream, struct error *err);
void             io_stream_start(struct io_stream *stream, const struct io_stream_events *events, void *ctx); /* begins reading */
void            *io_stream_ctx(struct io_stream *stream);
/* One send in flight per stream; the bytes are kept until `sent`. NEAP_AGAIN while one is. */
enum neap_status io_stream_send(struct io_stream *stream, struct bytes bytes);
void             io_stream_pause(struct io_stream *stream, bool paused); /* stop or go on reading */
void             io_stream_close(struct io_stream *stream);              /* `closed` follows on a later turn */

/* ---- signals ------------------------------------------------------------------------------------------------------- */

/* SIGTERM, SIGINT, SIGHUP arrive here, on the agent's turn, from now on. SIGPIPE is ignored by the real door. */
enum neap_status io_signals_watch(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                  struct error *err);
void             io_signals_unwatch(struct io_agent *agent);

#endif
