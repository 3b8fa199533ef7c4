/* lib.h - what the files of the library know of each other; private to src/lib.
 *
 * owner    the handle: whoever opened it; everything else as neap/neap.h says
 * memory   as neap/neap.h says
 * errors   a struct error inside becomes the caller's struct neap_error at the last moment, by lib_error()
 * promise  nothing here is seen outside src/lib */
#ifndef LIB_LIB_H
#define LIB_LIB_H

#include "base/logging.h"
#include "base/must.h"
#include "flow/handler_call.h"
#include "log/limits.h"
#include "log/log.h"
#include "neap/neap.h"

#define LIB_MAGIC        0x4c494253u
#define LIB_TOPIC_MAGIC  0x4c494254u
#define LIB_WRITER_MAGIC 0x4c494257u
#define LIB_READER_MAGIC 0x4c494252u

#define LIB_HANDLER_COUNT_MAX 64u

struct lib_handler {
    char *name;
    neap_handler *function;
    void *ctx;
    const struct neap *neap;
};

struct neap {
    uint32_t magic;
    struct io *io;
    struct log *log;
    struct logging *logging; /* NULL: nothing is said */
    struct neap_options options;
    char *path;
    _Atomic uint32_t open_count; /* writers, readers, topics, runs */
    _Atomic uint32_t waiting_count; /* readers in log_watch() */
    _Atomic bool running;           /* there is a struct neap_run */
    struct io_mutex *mutex;         /* over the handlers */
    struct lib_handler *handlers;
    uint32_t handler_count;
};

/* What a topic lets in, as its settings say now: looked up again once those of any topic have changed. */
struct lib_rules {
    _Atomic uint64_t settings_count; /* log_settings_count() when they were looked up */
    _Atomic uint32_t event_size_max;
    _Atomic bool keyed; /* events need a key */
};

struct neap_topic {
    uint32_t magic;
    struct lib_rules rules; /* any thread */
    struct neap *neap;
    struct log_topic topic; /* as it was when it was opened; the number of its partitions stays */
};

/* Fills `ret` (may be NULL), answers the status. */
enum neap_status lib_error(struct neap_error *ret, const struct error *error);
enum neap_status lib_misuse(struct neap_error *ret, const char *what);
int64_t lib_ns(int64_t ms); /* 0 for what is less */
mono_time lib_deadline(struct neap *neap, int64_t timeout_ms);
enum neap_status lib_topic_new(struct neap *neap, const struct log_topic *topic, struct neap_topic **ret_topic,
                               struct neap_error *err);
const struct lib_rules *lib_rules(const struct neap_topic *topic); /* of this moment */
bool lib_has_partition(const struct neap_topic *topic, uint32_t partition);

/* Stands between the engine's handler and the program's; `ctx` is the struct lib_handler. */
enum stage_outcome lib_handle(void *ctx, const struct handler_event *event, struct handler_call *call);
void lib_handlers_free(struct neap *neap);
bool lib_in_handler(const struct neap *neap); /* this thread is in one of its handlers */

/* Which thread is in an object. Two at a time are one too many, and are told so. */
struct lib_guard {
    _Atomic uintptr_t thread;
};
enum lib_entered { LIB_ENTERED, LIB_NESTED, LIB_TAKEN };
enum lib_entered lib_enter(struct lib_guard *guard); /* NESTED: this thread is in it already, further up */
void lib_leave(struct lib_guard *guard);             /* after LIB_ENTERED */

#endif
