/* door.h - what a door must be able to do; private to src/io.
 *
 * io.c holds the public verbs: each checks the contract once, for every door, and forwards to this table. A door's own
 * structs begin with the ones below, so that io.c finds the way from a file, a mutex or a stream back to its door.
 *
 * owner    the door; the structs live where the door made them
 * memory   none here
 * errors   as said at each verb in io.h
 * promise  a verb is called with a contract already checked: pointers are there, counts are inside their limits */
#ifndef IO_DOOR_H
#define IO_DOOR_H

#include "io/child.h"
#include "io/http.h"
#include "io/library.h"
#include "io/io.h"
#include <stdatomic.h>

struct io_verbs;

struct io {
    const struct io_verbs *verbs;
    _Atomic uint64_t open_count; /* files, ever */
};

struct io_file {
    struct io *io;
    const char *path; /* the door's copy; lives as long as the file */
    uint64_t number;  /* io.c's */
};

struct io_mutex {
    struct io *io;
};

struct io_listener {
    struct io *io;
};

struct io_stream {
    struct io *io;
    const struct io_stream_events *events; /* NULL until io_stream_start() */
    void *ctx;
};

struct io_child {
    struct io *io;
    const struct io_child_events *events;
    void *ctx;
    int64_t pid;
};

struct io_library {
    struct io *io;
};

#define IO_WRITE_PARTS_MAX 8u

struct io_verbs {
    mono_time (*now)(struct io *io);
    wall_time (*wall)(struct io *io);
    uint64_t (*random)(struct io *io);
    void (*sleep)(struct io *io, int64_t duration_ns);

    enum neap_status (*file_open)(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                                  struct error *err);
    void (*file_close)(struct io_file *file);
    enum neap_status (*file_read)(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size);
    enum neap_status (*file_write)(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position);
    enum neap_status (*file_sync)(struct io_file *file);
    enum neap_status (*file_allocate)(struct io_file *file, uint64_t size);
    enum neap_status (*file_truncate)(struct io_file *file, uint64_t size);
    enum neap_status (*file_info)(struct io_file *file, struct io_file_info *ret_info);
    void (*file_will_need)(struct io_file *file, uint64_t position, uint64_t size);
    void (*file_wont_need)(struct io_file *file, uint64_t position, uint64_t size);
    void (*file_sync_start)(struct io_sync *op);
    enum neap_status (*file_lock)(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size);
    enum neap_status (*file_lock_test)(struct io_file *file, uint64_t position, uint64_t size,
                                       enum io_lock_kind *ret_kind, int64_t *ret_pid);
    enum neap_status (*file_map)(struct io_file *file, uint64_t position, size_t size, void **ret_at);
    void (*file_unmap)(struct io_file *file, void *at, size_t size);

    enum neap_status (*path_info)(struct io *io, const char *path, struct io_file_info *ret_info);
    enum neap_status (*path_full)(struct io *io, const char *path, char *to, size_t size, struct error *err);
    enum neap_status (*rename)(struct io *io, const char *from, const char *to, struct error *err);
    enum neap_status (*unlink)(struct io *io, const char *path, struct error *err);
    enum neap_status (*dir_make)(struct io *io, const char *path, struct error *err);
    enum neap_status (*dir_sync)(struct io *io, const char *path, struct error *err);
    enum neap_status (*dir_list)(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                                 struct error *err);
    uint64_t (*dir_free_size)(struct io *io, const char *path);
    uint64_t (*dir_total_size)(struct io *io, const char *path);
    int64_t (*pid)(struct io *io);
    const char *(*environment)(struct io *io, const char *name);

    struct io_file *(*standard)(struct io *io, int number);
    bool (*is_terminal)(struct io_file *file);
    int (*terminal_width)(struct io_file *file);
    enum neap_status (*read_next)(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size);
    enum neap_status (*write_next)(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size);

    /* attach sets agent->io_ and agent->door_; stop clears them. run is called with an attached agent. */
    enum neap_status (*agent_attach)(struct io *io, struct io_agent *agent, struct error *err);
    enum neap_status (*agent_start)(struct io *io, struct io_agent *agent, struct error *err);
    void (*agent_stop)(struct io_agent *agent);
    void (*agent_wake)(struct io_agent *agent);
    enum neap_status (*agent_run)(struct io_agent *agent, mono_time deadline, struct error *err);
    void (*agent_leave)(struct io_agent *agent);
    uint32_t (*agent_turn)(struct io_agent *agent);
    enum neap_status (*agent_descriptor)(struct io_agent *agent, int *ret_descriptor, struct error *err);

    void (*timer_set)(struct io_timer *timer, mono_time due);
    void (*timer_cancel)(struct io_timer *timer); /* only called for one that is set */

    struct io_mutex *(*mutex_new)(struct io *io);
    void (*mutex_free)(struct io_mutex *mutex);
    void (*mutex_take)(struct io_mutex *mutex);
    void (*mutex_drop)(struct io_mutex *mutex);

    enum neap_status (*listen)(struct io_agent *agent, const char *path,
                               void (*accepted)(void *ctx, struct io_stream *stream), void *ctx,
                               struct io_listener **ret_listener, struct error *err);
    void (*listener_close)(struct io_listener *listener);
    enum neap_status (*connect)(struct io_agent *agent, const char *path, struct io_stream **ret_stream,
                                struct error *err);
    void (*stream_start)(struct io_stream *stream); /* events and ctx are set */
    enum neap_status (*stream_send)(struct io_stream *stream, struct bytes bytes);
    void (*stream_pause)(struct io_stream *stream, bool paused);
    void (*stream_close)(struct io_stream *stream);

    enum neap_status (*signals_watch)(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                      struct error *err);
    void (*signals_unwatch)(struct io_agent *agent);

    /* The call has been looked at. The door sets at_work_ to false before it runs done(). */
    enum neap_status (*http_prepare)(struct io *io, const struct io_http_options *options, struct error *err);
    enum neap_status (*http_begin)(struct io_http_call *call, struct error *err);
    void (*http_cancel)(struct io_http_call *call);

    enum neap_status (*child_start)(struct io_agent *agent, const struct io_child_options *options,
                                    struct io_child **ret_child, struct error *err);
    enum neap_status (*child_send)(struct io_child *child, struct bytes bytes);
    void (*child_close_input)(struct io_child *child);
    void (*child_kill)(struct io_child *child);
    void (*child_finish)(struct io_child *child, mono_time deadline);

    enum neap_status (*library_open)(struct io *io, const char *path, struct io_library **ret_library,
                                     struct error *err);
    const void *(*library_find)(struct io_library *library, const char *symbol);
    void (*library_close)(struct io_library *library);
};

#endif
