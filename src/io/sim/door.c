/* door.c - the simulated door itself: opening, time, chance, the trace, and the table of its verbs. */
#include "io/sim/door.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define SIM_MAGIC       0x006d6973u
#define STEP_COUNT_MAX  50000000u
#define START_NS        NS_PER_S
#define WALL_AT_START   1767225600000ll /* 2026-01-01T00:00:00Z */
#define TRACE_LINE_SIZE 160

struct sim *sim_of(struct io *io)
{
    struct sim *sim = (struct sim *)io;
    CHECK_MAGIC(sim, SIM_MAGIC);
    return sim;
}

/* ---- the trace ---- */

void sim_note(struct sim *sim, const char *what, uint64_t subject, uint64_t a, uint64_t b)
{
    if (sim->unheard)
        return;
    uint64_t at = (uint64_t)sim->now_ns;
    sim->hash = sim_mix(sim->hash ^ subject ^ (uint64_t)what[0] << 56 ^ (uint64_t)what[1] << 48) + at;
    sim->hash = sim_mix(sim->hash ^ a) + b;
    if (sim->trace == NULL)
        return;
    char line[TRACE_LINE_SIZE];
    const char *who = sim->current == NULL ? "-" : sim->current->agent->name;
    snprintf(line, sizeof(line), "%12llu %-15s %-8s %llx %llu %llu", (unsigned long long)at, who, what,
             (unsigned long long)subject, (unsigned long long)a, (unsigned long long)b);
    sim->trace(sim->trace_ctx, line);
}

uint64_t sim_trace_hash(struct io *io)
{
    return sim_of(io)->hash;
}

uint64_t sim_step_count(struct io *io)
{
    return sim_of(io)->step_count;
}

/* ---- time, chance, surroundings ---- */

static mono_time now(struct io *io)
{
    return sim_now(sim_of(io));
}

static wall_time wall(struct io *io)
{
    const struct sim *sim = sim_of(io);
    return (wall_time){ WALL_AT_START + sim->now_ns / NS_PER_MS + sim->wall_jump_ms };
}

void sim_wall_jump(struct io *io, int64_t ms)
{
    sim_of(io)->wall_jump_ms += ms;
}

static uint64_t chance(struct io *io)
{
    return sim_chance(&sim_of(io)->random_chance);
}

static void rest(struct io *io, int64_t duration_ns)
{
    sim_wait(sim_of(io), duration_ns, 1);
}

/* There are no links, and the process stands at the root. */
static enum neap_status path_full(struct io *io, const char *path, char *to, size_t size, struct error *err)
{
    (void)io;
    bool absolute = path[0] == '/';
    size_t needed = strlen(path) + !absolute + 1;
    if (needed > size)
        return error_set(err, NEAP_TOOLARGE, "%s: its full name is %zu bytes long", path, needed - 1);
    to[0] = '/';
    memcpy(to + !absolute, path, needed - !absolute);
    return NEAP_OK;
}

static int64_t pid(struct io *io)
{
    (void)io;
    return 1;
}

static const char *environment(struct io *io, const char *name)
{
    const struct sim *sim = sim_of(io);
    for (uint32_t i = 0; i < SIM_ENVIRONMENT_COUNT_MAX && sim->environment[i][0] != NULL; i++) {
        if (strcmp(sim->environment[i][0], name) == 0)
            return sim->environment[i][1];
    }
    return NULL;
}

void sim_environment_set(struct io *io, const char *name, const char *value)
{
    struct sim *sim = sim_of(io);
    uint32_t i = 0;
    while (i < SIM_ENVIRONMENT_COUNT_MAX && sim->environment[i][0] != NULL && strcmp(sim->environment[i][0], name) != 0)
        i++;
    must(i < SIM_ENVIRONMENT_COUNT_MAX);
    sim->environment[i][0] = name;
    sim->environment[i][1] = value;
}

/* ---- opening and closing ---- */

static const struct io_verbs verbs = {
    .now = now,
    .wall = wall,
    .random = chance,
    .sleep = rest,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_allocate = sim_file_allocate,
    .file_truncate = sim_file_truncate,
    .file_info = sim_file_info,
    .file_will_need = sim_file_will_need,
    .file_wont_need = sim_file_wont_need,
    .file_sync_start = sim_file_sync_start,
    .file_lock = sim_file_lock,
    .file_lock_test = sim_file_lock_test,
    .file_map = sim_file_map,
    .file_unmap = sim_file_unmap,
    .path_info = sim_path_info,
    .path_full = path_full,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .dir_make = sim_dir_make,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .dir_free_size = sim_dir_free_size,
    .dir_total_size = sim_dir_total_size,
    .pid = pid,
    .environment = environment,
    .standard = sim_standard,
    .is_terminal = sim_is_terminal,
    .terminal_width = sim_terminal_width,
    .read_next = sim_read_next,
    .write_next = sim_write_next,
    .agent_attach = sim_agent_attach,
    .agent_start = sim_agent_start,
    .agent_stop = sim_agent_stop,
    .agent_wake = sim_agent_wake,
    .agent_run = sim_agent_run,
    .agent_leave = sim_agent_leave,
    .agent_turn = sim_agent_turn,
    .agent_descriptor = sim_agent_descriptor,
    .timer_set = sim_timer_set,
    .timer_cancel = sim_timer_cancel,
    .mutex_new = sim_mutex_new,
    .mutex_free = sim_mutex_free,
    .mutex_take = sim_mutex_take,
    .mutex_drop = sim_mutex_drop,
    .listen = sim_listen,
    .listener_close = sim_listener_close,
    .connect = sim_connect,
    .stream_start = sim_stream_start,
    .stream_send = sim_stream_send,
    .stream_pause = sim_stream_pause,
    .stream_close = sim_stream_close,
    .signals_watch = sim_signals_watch,
    .signals_unwatch = sim_signals_unwatch,
    .http_prepare = sim_http_prepare,
    .http_begin = sim_http_begin,
    .http_cancel = sim_http_cancel,
    .child_start = sim_child_start,
    .child_send = sim_child_send,
    .child_close_input = sim_child_close_input,
    .child_kill = sim_child_kill,
    .child_finish = sim_child_finish,
    .library_open = sim_library_open,
    .library_find = sim_library_find,
    .library_close = sim_library_close,
};

struct io *sim_open(const struct sim_options *options)
{
    struct sim *sim = sim_take(sizeof(*sim));
    sim->io.verbs = &verbs;
    sim->magic = SIM_MAGIC;
    sim->calm = options->calm;
    sim->order_chance = sim_mix(options->seed + 1);
    sim->random_chance = sim_mix(sim->order_chance + 2);
    sim->fault_chance = sim_mix(sim->order_chance + 3);
    sim->hash = options->seed;
    sim->now_ns = START_NS;
    sim->step_count_max = options->step_count_max == 0 ? STEP_COUNT_MAX : options->step_count_max;
    sim->trace = options->trace;
    sim->trace_ctx = options->ctx;
    sim->own_disk = options->disk == NULL;
    sim->disk = sim->own_disk ? sim_disk_new(&(struct sim_disk_options){ .record = false }) : options->disk;
    must(sim->disk->door_count == 0); /* one process at a time */
    sim->disk->door_count++;
    sim->unheard = sim->calm && !sim->disk->record && sim->trace == NULL;
    sim_standard_init(sim);
    return &sim->io;
}

void sim_close(struct io **io)
{
    if (*io == NULL)
        return;
    struct sim *sim = sim_of(*io);
    must(sim->agents == NULL && sim->files == NULL && sim->maps == NULL);
    must(sim->streams == NULL && sim->listeners == NULL && sim->held_count == 0);
    must(sim->locks == NULL);
    must(sim->http_count == 0 && sim->children == NULL);
    sim_children_free(sim);
    sim_http_free(sim);
    sim_standard_fini(sim);
    sim->disk->door_count--;
    if (sim->own_disk)
        sim_disk_free(&sim->disk);
    sim->magic = 0;
    free(sim);
    *io = NULL;
}

struct sim_disk *sim_disk_of(struct io *io)
{
    return sim_of(io)->disk;
}
