/* neap/neap.h - the engine inside your program: durable topics, readers of them, and pipelines with stages of your own.
 *
 *     struct neap *neap;
 *     struct neap_error err;
 *     if (neap_open(&(struct neap_options){ .path = "data" }, &neap, &err) != NEAP_OK)
 *         return complain(err.text);
 *
 * owner    what an …open gives is the caller's, to be ended by its …close, which takes the address and leaves NULL. The handle
 *          (struct neap) and topics are for any thread; a writer and a reader belong to one thread at a time (hand them over
 *          as you like; two threads at once are told NEAP_MISUSE); what can be called from where is said at each function
 * memory   sized when something is opened; appending and reading allocate nothing per event
 * limits   said at each function; at one of them the answer is NEAP_AGAIN, and nothing has changed
 * errors   every status is in neap/status.h, with what to do about it. Functions of cold paths also fill a struct neap_error,
 *          always last, which may be NULL. A NULL handle is NEAP_MISUSE everywhere, so a closed one is too
 * promise  an append is answered NEAP_OK after the fdatasync that covers it, and not before; readers see durable events only
 *
 * COMPLETIONS run in neap_writer_work() and in the functions that say that they wait on that writer: on your thread, never
 * on one of ours. A program with a loop of its own watches neap_writer_descriptor() for reading, and calls neap_writer_work()
 * when it is readable (epoll, libuv's uv_poll_t, libevent, GLib: examples/embed-libuv).
 *
 * THREADS  the library starts threads of its own (the journal, its housekeeper, and what a pipeline file needs). They take no
 * signals. The library installs no signal handlers, sets no process-wide state, never prints and never exits; what it has to
 * say goes to neap_options.log. One exception: a broken assertion is a bug of ours, and goes on being dangerous: it ends the
 * process by abort(), after one line on standard error. A handle does not survive fork(): open it in the child. Its files never
 * take the descriptors 0, 1 and 2: where one of them is free, neap_open() puts /dev/null there.
 *
 * TIMES  `timeout_ms` is milliseconds from now: 0 does not wait at all, NEAP_FOREVER has no end.
 *
 * Structs that you fill in begin as zeros: a member that is 0 has its default, and later versions may add members. So until 1.0
 * the ABI may change from one minor version to the next: build the program again with the header of the library that it uses. The
 * soname, libneap.so.0, stands for all of 0.x, and does not tell them apart. */
#ifndef NEAP_NEAP_H
#define NEAP_NEAP_H

#include "neap/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NEAP_VERSION_TEXT "0.1.0" /* of this header; neap_version() is that of the library */

#define NEAP_API __attribute__((visibility("default")))

#define NEAP_FOREVER  INT64_MAX
#define NEAP_BY_KEY   (-1)        /* as a partition to append to: the one that the event's key belongs to */
#define NEAP_END      UINT64_MAX  /* as an offset to read from: behind the last event there is */

#define NEAP_EVENT_SIZE_MAX   (1u << 20) /* key, value and headers of one event together */
#define NEAP_HEADER_COUNT_MAX 256u       /* of one event */
#define NEAP_APPEND_COUNT_MAX 16384u     /* events of one append */
#define NEAP_READER_WAIT_MAX  60u        /* readers of one handle that have ever waited, or given a descriptor */

struct neap;        /* one data directory, open */
struct neap_topic;
struct neap_writer;
struct neap_reader;
struct neap_run;    /* a pipeline file at work */
struct neap_call;   /* one event in a handler of yours */

struct neap_error {
    enum neap_status status;
    char text[1024]; /* UTF-8, NUL-terminated: what happened, and what was being done: "open data: held by process 4711" */
};

/* For people. Any thread; static texts; never NULL. */
NEAP_API const char        *neap_version(void);                          /* "0.1.0" */
NEAP_API const char        *neap_status_name(enum neap_status status);   /* "AGAIN" */
NEAP_API const char        *neap_status_text(enum neap_status status);   /* "no room right now" */
NEAP_API enum neap_reaction neap_status_reaction(enum neap_status status);

/* ---- the handle ------------------------------------------------------------------------------------------------------ */

enum neap_log_level { NEAP_LOG_INFO, NEAP_LOG_DEBUG, NEAP_LOG_WARN, NEAP_LOG_ERROR }; /* 0 is the default */

struct neap_options {
    const char *path;              /* the data directory; made when missing. Copied; a relative one is looked up once, here: the
                                      program may chdir() as it likes (daemon(3) does) */
    uint64_t    disk_size;         /* bytes that all its files may take; 0: as many as it was last opened with, at first 90 % of what
                                      is free */
    uint64_t    memory_size;       /* bytes: the log takes its share of them when opened, a pipeline file has to fit into the
                                      rest, which takes 24 MiB and more; 0: 64 MiB; at least 16 MiB. The largest event that
                                      pipelines work on goes by it: 1 MiB from 64 MiB on, 682 KiB at 48 MiB, 341 KiB at
                                      32 MiB, and less where handlers take their part first; a larger one is a dead letter */
    /* One line of logfmt, without its newline, borrowed for the call. From any of our threads, several at a time; it must
     * not call the library. NULL: nothing is said. */
    void      (*log)(void *ctx, const char *line, size_t size);
    void       *log_ctx;
    enum neap_log_level log_level; /* lines of lower importance are not made */
};

/* Opens, recovers after whatever happened, and starts. Several handles on different directories may be open in one process.
 * NEAP_HELD: another process or handle has it (with its pid); NEAP_CORRUPT: damage, file and position named, nothing changed;
 * NEAP_VERSION: written by a newer one; NEAP_FULL, NEAP_DENIED, NEAP_NOMEM, NEAP_IO, NEAP_MISUSE. May take as long as reading
 * the newest 128 MiB of the journal. Any thread. */
NEAP_API enum neap_status neap_open(const struct neap_options *options, struct neap **ret_neap, struct neap_error *err);

/* Everything opened through it has been closed, or NEAP_MISUSE and nothing is changed. Waits for the disk, and for one that hangs
 * without end: a thread in a system call cannot be called back, nor its memory be freed. A program that must leave all the same
 * sees it in time: neap_writer_close() and neap_writer_flush() have deadlines, and answer NEAP_TIMEOUT where a sync hangs. It leaves
 * the handle open, and exits: as after kill -9, nothing acknowledged is lost. Accepts NULL inside. */
NEAP_API enum neap_status neap_close(struct neap **neap);

/* NEAP_OK while it works; after a failed write or sync NEAP_IO, with the trail: what was not acknowledged is then unknown
 * until the next open. Any thread. */
NEAP_API enum neap_status neap_health(struct neap *neap, struct neap_error *err);

/* ---- writing --------------------------------------------------------------------------------------------------------- */

struct neap_writer_options {
    uint32_t inflight_count_max; /* calls not yet answered; 0: 1,024; at most 65,536 */
    size_t   buffer_size;        /* bytes of events not yet answered; 0: 8 MiB; 64 KiB to 1 GiB. An append that is larger than
                                    this, or than 4 MiB, is NEAP_TOOLARGE */
};

/* A way in, with memory of its own: one for each thread that writes, at most about 50 of a process's directory.
 * NULL options: the defaults. NEAP_AGAIN: too many of them; NEAP_NOMEM. Any thread. */
NEAP_API enum neap_status neap_writer_open(struct neap *neap, const struct neap_writer_options *options,
                                           struct neap_writer **ret_writer, struct neap_error *err);
/* Waits until all of it is answered (completions run), then frees it. NEAP_TIMEOUT: it is still open. Not from a completion
 * (NEAP_MISUSE). Accepts NULL inside. */
NEAP_API enum neap_status neap_writer_close(struct neap_writer **writer, int64_t timeout_ms);

/* Finds the topic, or makes it with that many partitions (0: as it is; a new one gets 1), durably; a new one keeps its events
 * for seven days. NEAP_MISUSE: a name that cannot be one ([A-Za-z0-9._-], at most 249), or it is there with another number of
 * partitions. NEAP_TIMEOUT: it may still be made. The topic belongs to the handle and is for any thread until neap_topic_close().
 * So long it is given no more partitions, so that a key stays in its own: `neap topic alter --partitions` is refused. Waits on
 * the writer. */
NEAP_API enum neap_status neap_topic_open(struct neap_writer *writer, const char *name, uint32_t partition_count,
                                          int64_t timeout_ms, struct neap_topic **ret_topic, struct neap_error *err);
/* The same with settings for the case that it is new; those of one that is there are left alone (`neap topic alter` changes
 * them, while neap_run_open() has a file at work or the directory is closed). NULL: as neap_topic_open(): seven days. */
struct neap_topic_settings {
    int64_t  retention_ms;   /* events are freed so long after their append, read or not; 0: seven days; NEAP_FOREVER: never.
                                What a pipeline still has to process waits for it */
    uint64_t retention_size; /* bytes of a partition; the oldest events beyond that are freed; 0: no such limit */
};
NEAP_API enum neap_status neap_topic_open_with(struct neap_writer *writer, const char *name, uint32_t partition_count,
                                               const struct neap_topic_settings *settings, int64_t timeout_ms,
                                               struct neap_topic **ret_topic, struct neap_error *err);
/* Frees the events of a partition before `offset` (NEAP_END: all there are), whether or not somebody still wants to read them:
 * readers and pipelines go on behind them. Their room on disk comes back soon after; works on a full disk. NEAP_OK: durable, or
 * they were gone already. NEAP_NOTFOUND; NEAP_MISUSE: an offset past the end. Waits on the writer; not from a completion. */
NEAP_API enum neap_status neap_topic_trim(struct neap_writer *writer, const struct neap_topic *topic, uint32_t partition,
                                          uint64_t offset, int64_t timeout_ms);
/* Finds it, and makes nothing. NEAP_NOTFOUND. Any thread. */
NEAP_API enum neap_status neap_topic_find(struct neap *neap, const char *name, struct neap_topic **ret_topic,
                                          struct neap_error *err);
/* What was appended to it needs it no more. Any thread; accepts NULL inside. */
NEAP_API void             neap_topic_close(struct neap_topic **topic);
NEAP_API uint32_t         neap_topic_partition_count(const struct neap_topic *topic);
NEAP_API const char      *neap_topic_name(const struct neap_topic *topic);
/* The first offset that a partition still has: retention and deletes have freed those before it. As neap_topic_end(). */
NEAP_API enum neap_status neap_topic_start(const struct neap_topic *topic, uint32_t partition, uint64_t *ret_offset);
/* One past the last durable event of a partition. NEAP_NOTFOUND: no such partition, or the topic was deleted. Any thread. */
NEAP_API enum neap_status neap_topic_end(const struct neap_topic *topic, uint32_t partition, uint64_t *ret_offset);

struct neap_bytes {
    const void *at; /* NULL: none, which is not the same as empty */
    size_t      size;
};
#define NEAP_TEXT(literal) ((struct neap_bytes){ (literal), sizeof(literal) - 1 })

struct neap_header {
    struct neap_bytes name, value;
};

struct neap_event {
    struct neap_bytes         key, value;   /* pipelines read values that are JSON */
    struct neap_bytes         id;           /* what tells it from all others; travels as header "neap.id", of which it then is
                                               the only one: an event that was read is appended elsewhere as it is */
    const struct neap_header *headers;
    uint32_t                  header_count; /* at most NEAP_HEADER_COUNT_MAX, one less beside an id */
    int64_t                   time_ms;      /* when it happened, Unix milliseconds; 0: now */
};

/* Where the events of one append that went into one partition lie: at offset, offset + 1, …, in the order they were given. */
struct neap_place {
    uint32_t partition, count;
    uint64_t offset;
};

struct neap_outcome {
    enum neap_status         status;      /* OK: durable. FULL: the disk is, nothing was written. REFUSED: the topic is gone. IO,
                                             CLOSED: storage failed; whether it is durable is known after the next open */
    const struct neap_place *places;      /* of OK; borrowed for the call; in the order that their first events were given */
    uint32_t                 place_count;
};
/* On the writer's thread. It may append to the same writer, and must not wait on it or close it. */
typedef void neap_done(void *ctx, const struct neap_outcome *outcome);

/* Appends events to a partition, or by key (as Kafka's clients choose it: murmur2; events without a key go by their id, and
 * those of one call without either go to one partition, the next call's to the next one). All events of one call become
 * durable together or not at all; calls of one writer in their order. Events are copied: they are yours again when the call
 * returns. `done` will be called exactly once where the answer is NEAP_OK, never otherwise; it may be NULL.
 *
 * NEAP_AGAIN: no room now, nothing has changed: let neap_writer_work() run completions, and slow down who sends.
 * NEAP_TOOLARGE: an event over the topic's `max_record` or NEAP_EVENT_SIZE_MAX, or all together over what the writer takes: never.
 * NEAP_NOTFOUND: no such partition. NEAP_MISUSE: no events or more than NEAP_APPEND_COUNT_MAX, too many headers, two threads, an
 * event without a key where the topic has `cleanup: compact`.
 * NEAP_CLOSED: the log has stopped; see neap_health(). Never waits. */
NEAP_API enum neap_status neap_append(struct neap_writer *writer, const struct neap_topic *topic, int32_t partition,
                                      const struct neap_event *events, size_t count, neap_done *done, void *ctx);

/* The same, and waits: for room, and until it is durable. ret_place (may be NULL) is the first one. What neap_append() answers,
 * or the outcome's status, or NEAP_AGAIN: no room in time, nothing has changed; NEAP_TIMEOUT: handed over, and its end not
 * known in time: it may yet become durable. Other completions of the writer run meanwhile. Not from a completion. */
NEAP_API enum neap_status neap_append_wait(struct neap_writer *writer, const struct neap_topic *topic, int32_t partition,
                                           const struct neap_event *events, size_t count, int64_t timeout_ms,
                                           struct neap_place *ret_place);

/* A consumer group's place in a partition: the first offset that is not done. Goes the way of an append, in one order with
 * them, and survives what they survive; on a disk that is full for appends there is a reserve for it. Retention does not wait
 * for such a group. NEAP_MISUSE: a name that cannot be one: groups are named as topics are. NEAP_CONFLICT: the group is a
 * pipeline of this directory, which keeps its own place. */
NEAP_API enum neap_status neap_commit(struct neap_writer *writer, const char *group, const struct neap_topic *topic,
                                      uint32_t partition, uint64_t offset, neap_done *done, void *ctx);
NEAP_API enum neap_status neap_commit_wait(struct neap_writer *writer, const char *group, const struct neap_topic *topic,
                                           uint32_t partition, uint64_t offset, int64_t timeout_ms);
/* What was committed, durable. NEAP_NOTFOUND: nothing ever was. Any thread. */
NEAP_API enum neap_status neap_committed(struct neap *neap, const char *group, const struct neap_topic *topic,
                                         uint32_t partition, uint64_t *ret_offset);

/* Runs the completions of what has ended; answers how many. Never waits. */
NEAP_API uint32_t         neap_writer_work(struct neap_writer *writer);
/* Runs completions until everything is answered. NEAP_TIMEOUT. Not from a completion. */
NEAP_API enum neap_status neap_writer_flush(struct neap_writer *writer, int64_t timeout_ms);
/* Waits until at least one completion has run, or nothing is on its way. NEAP_TIMEOUT. Not from a completion. */
NEAP_API enum neap_status neap_writer_wait(struct neap_writer *writer, int64_t timeout_ms);
NEAP_API uint32_t         neap_writer_inflight(const struct neap_writer *writer); /* calls not yet answered; its own thread */
/* A descriptor that becomes readable when neap_writer_work() may have something to do. Do not read or close it: it is the
 * writer's, good until that is closed. Stop watching it before. The same one each time. NEAP_NOMEM. */
NEAP_API enum neap_status neap_writer_descriptor(struct neap_writer *writer, int *ret_descriptor, struct neap_error *err);

/* ---- reading --------------------------------------------------------------------------------------------------------- */

struct neap_record {
    struct neap_event event; /* borrowed until the next call on the reader */
    uint64_t          offset;
    uint32_t          partition;
};

/* Reads a partition from `offset` on (0: the first there is; NEAP_END: what comes from now on). 256 KiB, more while one batch
 * is larger, and up to 8 MiB where batches are compressed. NEAP_NOTFOUND: no such partition. Any thread. */
NEAP_API enum neap_status neap_reader_open(struct neap *neap, const struct neap_topic *topic, uint32_t partition,
                                           uint64_t offset, struct neap_reader **ret_reader, struct neap_error *err);
NEAP_API void             neap_reader_close(struct neap_reader **reader); /* accepts NULL inside */
/* The next durable event, in offset order; waits for one. Where retention or compaction has freed some, goes on behind them.
 * NEAP_AGAIN: none in time. NEAP_NOTFOUND: the topic was deleted. NEAP_CORRUPT: damage, with file and position: the partition
 * ends here until it is settled. NEAP_BADINPUT: events of a compressed batch that cannot be unpacked, their offsets named, or
 * bytes of a batch that are no event; asked again, it goes on behind them. NEAP_VERSION: a batch of a kind that this version
 * does not read. NEAP_IO: also when the log has stopped (neap_health()), after the last event that is durable. NEAP_NOMEM: also
 * where more than NEAP_READER_WAIT_MAX wait. Deletion and stop end a wait at once. */
NEAP_API enum neap_status neap_reader_next(struct neap_reader *reader, int64_t timeout_ms, struct neap_record *ret_record,
                                           struct neap_error *err);
NEAP_API enum neap_status neap_reader_seek(struct neap_reader *reader, uint64_t offset);
/* Readable when neap_reader_next() may have something: call it with timeout 0 until it answers NEAP_AGAIN. As the writer's. */
NEAP_API enum neap_status neap_reader_descriptor(struct neap_reader *reader, int *ret_descriptor, struct neap_error *err);

/* ---- stages of your own ------------------------------------------------------------------------------------------------ */

/* What a stage `plugin: {symbol: NAME, timeout: 30s, concurrency: 32}` of a pipeline file calls for each event that comes to it. */
struct neap_handled {
    struct neap_event event;          /* value: JSON as the stages before left it; all borrowed for the call */
    const char       *pipeline, *stage, *topic;
    uint32_t          partition;
    uint64_t          offset;         /* with topic and partition: the same again after a crash, so good for telling repeats */
};
enum neap_verdict {
    NEAP_KEEP, /* it goes on: with the value that was emitted, else as it came */
    NEAP_DROP, /* it was filtered, and counts as such */
    NEAP_FAIL, /* it becomes a dead letter (or goes on as it came, under on_error: continue) */
};
/* Called on threads of ours, by as many at a time as the stage's `concurrency` says (32), but for the events of one key one after
 * the other, in order; those without a key in any. `order: partition` in the file: those of one partition one after the other.
 * At least once: what was not committed before a crash comes again. It should look at neap_call_cancelled() where it takes long.
 * A handler cannot be killed: one that stays past its deadline keeps its thread and its key, is named in the log, and all else
 * goes on; when it comes back, the event is a dead letter, reason "timeout", whatever it answers. */
typedef enum neap_verdict neap_handler(void *ctx, const struct neap_handled *handled, struct neap_call *call);

/* Before neap_run_open() of a file that names it; copied. Again with the same name: replaces it, for runs that come. A NULL
 * handler takes it away. NEAP_MISUSE: no name, or a run is open. NEAP_FULL: 64 are there. Any thread. */
NEAP_API enum neap_status neap_handler_register(struct neap *neap, const char *name, neap_handler *handler, void *ctx);

/* In a handler, and only there. */
/* True when the deadline has passed or the run stops: come back soon, the answer does not count any more. */
NEAP_API bool             neap_call_cancelled(const struct neap_call *call);
NEAP_API int64_t          neap_call_left_ms(const struct neap_call *call); /* until the deadline; 0: it has passed */
/* What the event's value is from here on: JSON. Copied; the last one counts. NEAP_TOOLARGE: over what the handle's memory
 * lets an event be, some 950 KB at the default of 64 MiB and at most NEAP_EVENT_SIZE_MAX. NEAP_AGAIN: so many large ones are on
 * their way that there is no room for it: come back, the call counts for nothing and the event comes again. */
NEAP_API enum neap_status neap_call_emit(struct neap_call *call, struct neap_bytes value);
/* Why it fails, for the dead letter: up to 255 bytes of UTF-8, copied. */
NEAP_API void             neap_call_reason(struct neap_call *call, const char *text);

/* ---- a pipeline file at work --------------------------------------------------------------------------------------------- */

struct neap_run_options {
    bool    until_idle; /* it ends when finite sources are used up and all is committed */
    int64_t drain_ms;   /* for what is on its way when it is told to stop; 0: 30,000 */
};

/* Runs a pipeline file, as `neap run` does, on the handle's own log, on threads of its own; topics that it reads and writes are
 * those that you append to and read. Its node.data, node.memory and node.disk are not looked at: they are the handle's. A file
 * in it that is named relatively belongs to the folder of `file`: give the full name of that where the program changes its
 * working directory while it runs. Waits until it is set up. One at a time of a handle: NEAP_HELD. NEAP_BADINPUT: errors in the file, the first in `err` as
 * FILE:LINE:COLUMN: error: …, all of them in the log. NEAP_NOTFOUND, NEAP_DENIED: the file. NEAP_CONFLICT: two sources of truth
 * disagree. NEAP_MISUSE: it cannot be done here, such as a handler that is not registered. Any thread. */
NEAP_API enum neap_status neap_run_open(struct neap *neap, const char *file, const struct neap_run_options *options,
                                        struct neap_run **ret_run, struct neap_error *err);
/* As SIGTERM to `neap run`: it reads no more, lands what is on its way, ends. Does not wait. Any thread. */
NEAP_API void             neap_run_stop(struct neap_run *run);
/* Waits for its end: OK: idle, or told to stop and everything landed. NEAP_TIMEOUT in time: it goes on (`err` is not touched);
 * neap_run_ended() tells that from a drain that took longer than drain_ms, which is NEAP_TIMEOUT, too, and loses nothing.
 * Otherwise the status of the first pipeline that stopped, or of the log. Any thread, several at a time. */
NEAP_API enum neap_status neap_run_wait(struct neap_run *run, int64_t timeout_ms, struct neap_error *err);
NEAP_API bool             neap_run_ended(struct neap_run *run); /* any thread */
/* Stops it, waits for the end and for what sinks and handlers hold, frees it. Nobody else is in a call on it. A handler that
 * does not come back is waited for without end, and so is a disk that hangs (neap_close() says what to do about it; neap_run_wait()
 * has a deadline): nothing can be done about it from outside. NEAP_MISUSE, and nothing is changed:
 * from one of the handle's own handlers, which it would wait for; neap_run_stop() may be called there. Accepts NULL inside. */
NEAP_API enum neap_status neap_run_close(struct neap_run **run);

/* accepted = filtered + delivered + dead_lettered + in_flight, at every moment, each counted on its own. */
struct neap_counts {
    uint64_t accepted, filtered, duplicates, delivered, dead_lettered, produced;
};
struct neap_figures {
    const char        *pipeline;   /* good until neap_run_close() */
    struct neap_counts total, run; /* since its first run; since this one began */
    uint64_t           in_flight;
    uint64_t           lag;        /* durable events not yet committed */
    bool               stopped;    /* by a conflict or an error: the others go on */
    struct neap_error  error;      /* why */
};
NEAP_API uint32_t         neap_run_pipeline_count(struct neap_run *run);
/* NEAP_NOTFOUND: no pipeline of that number. Any thread. */
NEAP_API enum neap_status neap_run_figures(struct neap_run *run, uint32_t index, struct neap_figures *ret_figures);

#ifdef __cplusplus
}
#endif

#endif
