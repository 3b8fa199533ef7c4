/* sim.h - the simulated door: one thread, one seed, virtual time, and a disk that does what disks may do.
 *
 * owner    whoever opened the door; a disk outlives its doors, so that a process can die and its disk stay
 * memory   a disk keeps its history while it records; pages are 4 KiB, shared between all disks that came from one
 * limits   step_count_max turns, then the run is called stuck and stops by must()
 * errors   the faults that were asked for, and those of the verbs
 * promise  the same seed and the same program give the same trace, with any compiler, on any machine
 *
 * D1  A write is seen at once by every reader, and is durable only after a sync of its file that began later and ended.
 * D2  A name (made, renamed, unlinked) is durable only after a sync of its directory.
 * D3  Until then each 512-byte sector holds any of the contents it had since the last sync, each on its own; a later
 *     content of a sector includes the earlier ones.
 * D4  Names of one directory become durable in order mostly, and each on its own sometimes. A rename happened or not.
 * D5  After a failed sync the bytes it would have covered are seen and clean: no later sync makes them durable, unless
 *     the same page is written again. */
#ifndef IO_SIM_H
#define IO_SIM_H

#include "io/child.h"
#include "io/http.h"
#include "io/io.h"

/* ---- the disk ------------------------------------------------------------------------------------------------------ */

struct sim_disk;

struct sim_disk_options {
    uint64_t size; /* bytes for all files together, in pages; 0: 1 GiB */
    bool record;   /* keep the history, so that crash states can be made from it */
};
struct sim_disk *sim_disk_new(const struct sim_disk_options *options); /* gives; NULL: out of memory */
void sim_disk_free(struct sim_disk **disk);                            /* no door stands at it */
void sim_disk_size_set(struct sim_disk *disk, uint64_t size);
uint64_t sim_disk_used(const struct sim_disk *disk);
/* Names and contents as a reader sees them. */
uint64_t sim_disk_hash(const struct sim_disk *disk);

/* The history is a list of operations; point k lies before operation k. Something acknowledged at point a was promised
 * in every crash at a point >= a; something handed in at point s may be there in a crash at a point > s. */
uint32_t sim_disk_point(const struct sim_disk *disk);
/* Whether a crash at this point can leave anything a crash at the point before could not. */
bool sim_disk_point_matters(const struct sim_disk *disk, uint32_t point);

#define SIM_STATE_COUNT_MAX 4096u            /* up to so many states are all made, beyond that they are sampled */
#define SIM_STATE_NONE      (UINT64_MAX)     /* nothing unsynced is there */
#define SIM_STATE_ALL       (UINT64_MAX - 1) /* everything is: what a killed process leaves */
#define SIM_STATE_EVICTED   (UINT64_MAX - 2) /* everything, but what failed syncs dropped: killed, cache gone */
/* How many states a crash at this point has; UINT64_MAX: more than SIM_STATE_COUNT_MAX. */
uint64_t sim_disk_state_count(struct sim_disk *disk, uint32_t point);
/* A disk after a crash at `point`: state 0 .. count - 1 where they are counted, any number where they are sampled. Points
 * that rise are fast. The disk that gives it must live on. Gives; NULL: out of memory. */
struct sim_disk *sim_disk_state(struct sim_disk *disk, uint32_t point, uint64_t state, bool record);

/* ---- the door ------------------------------------------------------------------------------------------------------ */

struct sim_options {
    uint64_t seed;
    struct sim_disk *disk;   /* kept until the door is closed; NULL: one of its own, which is not recorded */
    bool calm;               /* nothing happens inside calls and no turn comes unasked: for quick checks */
    uint64_t step_count_max; /* 0: 50 million */
    void (*trace)(void *ctx, const char *line);
    void *ctx;
};
struct io *sim_open(const struct sim_options *options); /* gives; NULL: out of memory */
void sim_close(struct io **io);                         /* agents stopped, files closed: otherwise must() */
struct sim_disk *sim_disk_of(struct io *io);
uint64_t sim_trace_hash(struct io *io); /* not kept where it is calm, on a disk that is not recorded */
uint64_t sim_step_count(struct io *io);

/* Lets everything run for so long, or until nothing is left to run; the caller is no agent. */
void sim_run(struct io *io, int64_t ns);
void sim_wall_jump(struct io *io, int64_t ms);
void sim_signal(struct io *io, int number);
void sim_environment_set(struct io *io, const char *name, const char *value); /* borrows both until closed */

/* Standard streams: what is fed to 0 is copied; what was written to 1 and 2 is kept, and borrowed by the caller. */
void sim_input(struct io *io, struct bytes bytes, bool end);
struct bytes sim_output(struct io *io, int number);

/* ---- servers ------------------------------------------------------------------------------------------------------- */

struct sim_http_request { /* borrowed for the call of `handle` */
    struct bytes method, url, body;
    const struct io_http_header *headers;
    uint32_t header_count;
    uint64_t number; /* from 1: how many have come to this server */
};

enum sim_http_manner {
    SIM_HTTP_ANSWERS,
    SIM_HTTP_HANGS,           /* until the deadline */
    SIM_HTTP_RESETS,          /* before its answer was whole */
    SIM_HTTP_GARBLES,         /* no HTTP */
    SIM_HTTP_REFUSES,         /* the connection */
    SIM_HTTP_HAS_NO_NAME,
    SIM_HTTP_IS_NOT_TRUSTED,
};

struct sim_http_reply { /* comes as: answers 200, at once, with nothing */
    enum sim_http_manner manner;
    uint32_t status;
    struct bytes body; /* copied */
    const char *content_type, *retry_after;
    int64_t latency_ns; /* until all of it is there, or until it fails: a slow drip is a long one */
};

struct sim_http_server {
    /* When a request arrives. Nobody's turn: it may look at the clock, and at what is its own. */
    void (*handle)(void *ctx, const struct sim_http_request *request, struct sim_http_reply *reply);
    void *ctx;
    bool is_private; /* on a private address */
};
/* From now on somebody listens there: "example.com:443". Borrows the text until closed; again: another server. Calls to where
 * nobody listens are refused. */
void sim_http_serve(struct io *io, const char *authority, const struct sim_http_server *server);

/* ---- programs ------------------------------------------------------------------------------------------------------ */

/* What a child does, as a simulation tells it. All of it is nobody's turn: it may look at the clock, and at what is its own. */
struct sim_child;
struct sim_program {
    void *ctx;
    void (*started)(void *ctx, struct sim_child *child, uint64_t number); /* number: from 1, its so-manieth start */
    void (*input)(void *ctx, struct sim_child *child, struct bytes bytes); /* in pieces of any size */
    void (*input_ended)(void *ctx, struct sim_child *child);               /* NULL: it exits with status 0 */
    void (*gone)(void *ctx, struct sim_child *child);                      /* the last of it; NULL: nobody asks */
};
/* From now on there is a program of that name. Borrows the text until closed; again: another program. */
void sim_program_set(struct io *io, const char *name, const struct sim_program *program);
/* Of a program. What it does happens in the order in which it is said, each so long after the one before, or after now. */
void sim_child_write(struct sim_child *child, enum io_child_stream stream, struct bytes bytes, int64_t after_ns);
void sim_child_close_output(struct sim_child *child, int64_t after_ns);
void sim_child_exit(struct sim_child *child, int status, int64_t after_ns);
void sim_child_deafen(struct sim_child *child); /* it reads no more */
void **sim_child_own(struct sim_child *child);  /* the program's, for this child; NULL at first */

/* ---- shared objects ------------------------------------------------------------------------------------------------- */

#define SIM_OBJECT_COUNT_MAX 4u
struct sim_object { /* kept until the door is closed */
    const char *path, *symbol;
    const void *at;
};
void sim_object_set(struct io *io, const struct sim_object *object); /* from now on it is there */

/* ---- faults -------------------------------------------------------------------------------------------------------- */

enum sim_call {
    SIM_OPEN,
    SIM_READ,
    SIM_WRITE,
    SIM_SYNC,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_RENAME,
    SIM_UNLINK,
    SIM_DIR_MAKE,
    SIM_DIR_SYNC,
    SIM_MAP,
    SIM_CALL_COUNT,
    SIM_ANY_CALL = SIM_CALL_COUNT,
};
struct sim_fault {
    enum sim_call call;
    const char *path_part; /* only calls on a path that contains it; NULL: any; borrowed while the fault stands */
    uint64_t nth;          /* the n-th such call from now on, from 1; 0: each with the chance below */
    uint32_t chance_per_million;
    bool sticky;             /* and every one after it */
    enum neap_status status; /* NEAP_OK: it works */
    int64_t stall_ns;        /* and takes so much longer */
};
#define SIM_FAULT_COUNT_MAX 8u
void sim_fault_add(struct io *io, const struct sim_fault *fault);
void sim_faults_clear(struct io *io);
uint64_t sim_fault_hits(struct io *io);                     /* calls that met a fault */
uint64_t sim_call_count(struct io *io, enum sim_call call); /* calls made */

#endif
