/* test_sim.c - the simulated door keeps its own rules: what is durable, what a crash may leave, who may run when. */
#include "check.h"
#include "io/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static struct io *door(struct sim_disk *disk, uint64_t seed, bool calm)
{
    return sim_open(&(struct sim_options){ .seed = seed, .disk = disk, .calm = calm });
}

static struct sim_disk *recorded(void)
{
    return sim_disk_new(&(struct sim_disk_options){ .record = true });
}

static struct io_file *open_file(struct io *io, const char *path)
{
    struct io_file *file = NULL;
    struct error err;
    assert_int_equal(io_file_open(io, path, IO_READ | IO_WRITE | IO_CREATE, &file, &err), NEAP_OK);
    return file;
}

static void put(struct io_file *file, uint8_t byte, size_t size, uint64_t position)
{
    uint8_t *bytes = malloc(size);
    memset(bytes, byte, size);
    assert_int_equal(io_file_write(file, &(struct bytes){ bytes, size }, 1, position), NEAP_OK);
    free(bytes);
}

/* What stands at a position of a file after a crash; -1: no such file, -2: beyond its end. */
static int byte_after(struct sim_disk *disk, uint32_t point, uint64_t state, const char *path, uint64_t position)
{
    struct sim_disk *after = sim_disk_state(disk, point, state, false);
    struct io *io = door(after, 1, true);
    struct io_file *file = NULL;
    int byte = -1;
    if (io_file_open(io, path, IO_READ, &file, NULL) == NEAP_OK) {
        uint8_t read = 0;
        size_t size = 0;
        assert_int_equal(io_file_read(file, &read, 1, position, &size), NEAP_OK);
        byte = size == 0 ? -2 : read;
        io_file_close(&file);
    }
    sim_close(&io);
    sim_disk_free(&after);
    return byte;
}

/* ---- D1, D3: contents ---- */

static void write_is_durable_after_its_sync(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/f");
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    put(file, 'a', 512, 0);
    uint32_t before = sim_disk_point(disk);
    assert_int_equal(sim_disk_state_count(disk, before), 2);
    assert_int_equal(byte_after(disk, before, 0, "/f", 0), -2);
    assert_int_equal(byte_after(disk, before, 1, "/f", 0), 'a');
    assert_int_equal(io_file_sync(file), NEAP_OK);
    uint32_t after = sim_disk_point(disk);
    assert_int_equal(sim_disk_state_count(disk, after), 1);
    assert_int_equal(byte_after(disk, after, 0, "/f", 0), 'a');
    assert_int_equal(byte_after(disk, after, SIM_STATE_NONE, "/f", 511), 'a');
    assert_int_equal(byte_after(disk, before, SIM_STATE_NONE, "/f", 0), -2); /* and back in the history */
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* Every sector of a torn page is old or new, all 256 mixtures appear, and none twice. */
static void sectors_tear_independently(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/f");
    put(file, 'o', PAGE, 0);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    put(file, 'n', PAGE, 0);
    uint32_t point = sim_disk_point(disk);
    assert_int_equal(sim_disk_state_count(disk, point), 256);
    bool seen[256] = { false };
    for (uint64_t s = 0; s < 256; s++) {
        unsigned mask = 0;
        for (unsigned sector = 0; sector < 8; sector++) {
            int first = byte_after(disk, point, s, "/f", sector * 512),
                last = byte_after(disk, point, s, "/f", sector * 512 + 511);
            assert_int_equal(first, last);
            assert_true(first == 'o' || first == 'n');
            mask |= (unsigned)(first == 'n') << sector;
        }
        assert_false(seen[mask]);
        seen[mask] = true;
    }
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* Two writes into one sector arrive as none, the first, or both: never the second alone. */
static void later_content_includes_earlier(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/f");
    put(file, 'o', 512, 0);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    put(file, '1', 100, 0);
    put(file, '2', 100, 100);
    uint32_t point = sim_disk_point(disk);
    assert_int_equal(sim_disk_state_count(disk, point), 3);
    for (uint64_t s = 0; s < 3; s++) {
        assert_int_equal(byte_after(disk, point, s, "/f", 0), s >= 1 ? '1' : 'o');
        assert_int_equal(byte_after(disk, point, s, "/f", 100), s >= 2 ? '2' : 'o');
    }
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* With more pending than can be counted, samples still show late without early, early without late, none and all. */
static void samples_reorder(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/f");
    put(file, 'o', 16 * PAGE, 0);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    put(file, 'a', PAGE, 0);
    put(file, 'b', PAGE, 8 * PAGE);
    uint32_t point = sim_disk_point(disk);
    assert_int_equal(sim_disk_state_count(disk, point), UINT64_MAX);
    unsigned seen[2][2] = { { 0 } };
    for (uint64_t s = 0; s < 300; s++)
        seen[byte_after(disk, point, s, "/f", 0) == 'a'][byte_after(disk, point, s, "/f", 8 * PAGE) == 'b']++;
    assert_true(seen[0][0] > 0 && seen[0][1] > 0 && seen[1][0] > 0 && seen[1][1] > 0);
    assert_int_equal(byte_after(disk, point, 7, "/f", 0), byte_after(disk, point, 7, "/f", 0));
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

static void cut_comes_with_what_was_written_after_it(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/f");
    put(file, 'o', 1024, 0);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    assert_int_equal(io_file_truncate(file, 0), NEAP_OK);
    put(file, 'n', 512, 0);
    uint32_t point = sim_disk_point(disk);
    unsigned old = 0, empty = 0, fresh = 0;
    for (uint64_t s = 0; s < sim_disk_state_count(disk, point); s++) {
        int first = byte_after(disk, point, s, "/f", 0), second = byte_after(disk, point, s, "/f", 512);
        old += first == 'o' && second == 'o';
        empty += first == -2;
        fresh += first == 'n' && second == -2;
        assert_true((first == 'o' && second == 'o') || second == -2);
    }
    assert_true(old > 0 && empty > 0 && fresh > 0);
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* ---- D2, D4: names ---- */

static void names_need_their_directory(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/new");
    put(file, 'x', 512, 0);
    assert_int_equal(io_file_sync(file), NEAP_OK); /* the file is durable, its name is not */
    uint32_t unnamed = sim_disk_point(disk);
    assert_int_equal(byte_after(disk, unnamed, SIM_STATE_NONE, "/new", 0), -1);
    assert_int_equal(byte_after(disk, unnamed, SIM_STATE_ALL, "/new", 0), 'x');
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/new", 0), 'x');
    assert_int_equal(io_rename(io, "/new", "/old", NULL), NEAP_OK);
    uint32_t renamed = sim_disk_point(disk);
    assert_int_equal(sim_disk_state_count(disk, renamed), 2);
    for (uint64_t s = 0; s < 2; s++) { /* it happened or it did not */
        bool there = byte_after(disk, renamed, s, "/new", 0) == 'x',
             here = byte_after(disk, renamed, s, "/old", 0) == 'x';
        assert_true(there != here);
    }
    assert_int_equal(io_unlink(io, "/old", NULL), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/old", 0), -1);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/new", 0), -1);
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

static void new_directories_are_durable_and_their_files_not_yet(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    assert_int_equal(io_dir_make(io, "/a/b", NULL), NEAP_OK);
    struct io_file *file = open_file(io, "/a/b/f");
    struct io_file_info info;
    struct sim_disk *after = sim_disk_state(disk, sim_disk_point(disk), SIM_STATE_NONE, false);
    struct io *io_after = door(after, 1, true);
    assert_int_equal(io_path_info(io_after, "/a/b", &info), NEAP_OK);
    assert_int_equal(info.kind, IO_KIND_DIRECTORY);
    assert_int_equal(io_path_info(io_after, "/a/b/f", &info), NEAP_NOTFOUND);
    sim_close(&io_after);
    sim_disk_free(&after);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_ALL, "/a/b/f", 0), -2);
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* ---- D5: a sync that failed ---- */

static void failed_sync_is_never_made_good(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct io_file *file = open_file(io, "/f");
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    put(file, 'a', PAGE, 0);
    sim_fault_add(io, &(struct sim_fault){ .call = SIM_SYNC, .nth = 1, .status = NEAP_IO });
    assert_int_equal(io_file_sync(file), NEAP_IO);
    assert_int_equal(sim_fault_hits(io), 1);
    assert_int_equal(io_file_sync(file), NEAP_OK); /* says so, and means nothing */
    uint32_t point = sim_disk_point(disk);
    assert_int_equal(byte_after(disk, point, SIM_STATE_NONE, "/f", 0), -2);
    assert_int_equal(byte_after(disk, point, SIM_STATE_ALL, "/f", 0), 'a');
    assert_int_equal(byte_after(disk, point, SIM_STATE_EVICTED, "/f", 0), -2);
    put(file, 'b', 1, 100); /* the page is dirty again, and goes out whole */
    assert_int_equal(io_file_sync(file), NEAP_OK);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/f", 0), 'a');
    io_file_close(&file);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* ---- faults ---- */

static enum neap_status one_call(struct io *io, struct io_file *file, enum sim_call call)
{
    struct io_file *other = NULL;
    uint8_t byte = 1;
    size_t size;
    void *at;
    enum neap_status status = NEAP_OK;
    switch (call) {
    case SIM_OPEN:
        status = io_file_open(io, "/other", IO_WRITE | IO_CREATE, &other, NULL);
        io_file_close(&other);
        return status;
    case SIM_READ:
        return io_file_read(file, &byte, 1, 0, &size);
    case SIM_WRITE:
        return io_file_write(file, &(struct bytes){ &byte, 1 }, 1, 0);
    case SIM_SYNC:
        return io_file_sync(file);
    case SIM_ALLOCATE:
        return io_file_allocate(file, 8192);
    case SIM_TRUNCATE:
        return io_file_truncate(file, 10);
    case SIM_RENAME:
        status = io_rename(io, "/r", "/s", NULL);
        return status == NEAP_OK ? io_rename(io, "/s", "/r", NULL) : status;
    case SIM_UNLINK:
        status = io_unlink(io, "/u", NULL);
        if (status == NEAP_OK) {
            other = open_file(io, "/u");
            io_file_close(&other);
        }
        return status;
    case SIM_DIR_MAKE:
        return io_dir_make(io, "/d", NULL);
    case SIM_DIR_SYNC:
        return io_dir_sync(io, "/", NULL);
    default:
        status = io_file_map(file, 0, 4096, &at);
        if (status == NEAP_OK)
            io_file_unmap(file, at, 4096);
        return status;
    }
}

static void every_call_can_fail(void **state)
{
    (void)state;
    struct io *io = door(NULL, 1, true);
    struct io_file *file = open_file(io, "/f"), *r = open_file(io, "/r"), *u = open_file(io, "/u");
    io_file_close(&r);
    io_file_close(&u);
    for (int call = 0; call < SIM_CALL_COUNT; call++) {
        assert_int_equal(one_call(io, file, call), NEAP_OK);
        sim_fault_add(io, &(struct sim_fault){ .call = call, .nth = 2, .status = NEAP_FULL });
        enum neap_status first = one_call(io, file, call); /* a rename there and back is two calls */
        enum neap_status second = one_call(io, file, call);
        assert_true((first == NEAP_FULL) + (second == NEAP_FULL) == 1);
        sim_faults_clear(io);
        if (call == SIM_RENAME)
            assert_int_equal(io_rename(io, first == NEAP_FULL ? "/s" : "/r", "/r", NULL), NEAP_OK);
        sim_fault_add(io, &(struct sim_fault){ .call = call, .nth = 1, .sticky = true, .status = NEAP_IO });
        for (int again = 0; again < 3; again++)
            assert_int_equal(one_call(io, file, call), NEAP_IO);
        sim_faults_clear(io);
        assert_int_equal(one_call(io, file, call), NEAP_OK);
    }
    io_file_close(&file);
    sim_close(&io);
}

static void faults_keep_to_their_path_and_stall(void **state)
{
    (void)state;
    struct io *io = door(NULL, 1, true);
    struct io_file *a = open_file(io, "/a"), *b = open_file(io, "/b");
    sim_fault_add(io, &(struct sim_fault){ .call = SIM_SYNC, .path_part = "/b", .nth = 1, .stall_ns = 5 * NS_PER_S });
    mono_time before = io_now(io);
    assert_int_equal(io_file_sync(a), NEAP_OK);
    assert_true(io_now(io).ns - before.ns < NS_PER_S);
    assert_int_equal(io_file_sync(b), NEAP_OK);
    assert_true(io_now(io).ns - before.ns >= 5 * NS_PER_S);
    io_file_close(&a);
    io_file_close(&b);
    sim_close(&io);
}

static void disk_fills_up_and_empties(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .size = 4 * PAGE });
    struct io *io = door(disk, 1, true);
    struct io_file *a = open_file(io, "/a"), *b = open_file(io, "/b");
    put(a, 1, 3 * PAGE, 0);
    assert_int_equal(io_file_allocate(b, PAGE + 1), NEAP_FULL);
    assert_int_equal(io_file_allocate(b, PAGE), NEAP_OK);
    uint8_t byte = 0;
    assert_int_equal(io_file_write(a, &(struct bytes){ &byte, 1 }, 1, 3 * PAGE), NEAP_FULL);
    assert_int_equal(io_file_write(a, &(struct bytes){ &byte, 1 }, 1, 0), NEAP_OK); /* room that is there */
    assert_int_equal(io_unlink(io, "/b", NULL), NEAP_OK);
    assert_int_equal(sim_disk_used(disk), 4 * PAGE); /* it is still open */
    io_file_close(&b);
    assert_int_equal(sim_disk_used(disk), 3 * PAGE);
    assert_int_equal(io_file_write(a, &(struct bytes){ &byte, 1 }, 1, 3 * PAGE), NEAP_OK);
    io_file_close(&a);
    sim_close(&io);
    sim_disk_free(&disk);
}

/* ---- locks and maps ---- */

static void locks_are_of_the_open_file(void **state)
{
    (void)state;
    struct io *io = door(NULL, 1, true);
    struct io_file *a = open_file(io, "/f"), *b = open_file(io, "/f");
    enum io_lock_kind kind;
    int64_t pid;
    assert_int_equal(io_file_lock(a, IO_LOCK_EXCLUSIVE, 0, 100), NEAP_OK);
    assert_int_equal(io_file_lock(b, IO_LOCK_SHARED, 99, 1), NEAP_HELD);
    assert_int_equal(io_file_lock(b, IO_LOCK_SHARED, 100, 1), NEAP_OK);
    assert_int_equal(io_file_lock(a, IO_UNLOCK, 40, 20), NEAP_OK); /* a hole in the middle */
    assert_int_equal(io_file_lock(b, IO_LOCK_SHARED, 40, 20), NEAP_OK);
    assert_int_equal(io_file_lock(b, IO_LOCK_SHARED, 39, 1), NEAP_HELD);
    assert_int_equal(io_file_lock(b, IO_LOCK_SHARED, 60, 1), NEAP_HELD);
    assert_int_equal(io_file_lock_test(a, 40, 20, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_LOCK_SHARED);
    io_file_close(&b); /* unlocks */
    assert_int_equal(io_file_lock(a, IO_LOCK_EXCLUSIVE, 0, 200), NEAP_OK);
    assert_int_equal(io_file_lock_test(a, 0, 200, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_UNLOCK);
    io_file_close(&a);
    sim_close(&io);
}

static void maps_are_shared(void **state)
{
    (void)state;
    struct io *io = door(NULL, 1, true);
    struct io_file *a = open_file(io, "/f"), *b = open_file(io, "/f");
    void *at_a, *at_b;
    assert_int_equal(io_file_map(a, 0, 8192, &at_a), NEAP_OK);
    assert_int_equal(io_file_map(b, 0, 8192, &at_b), NEAP_OK);
    ((uint8_t *)at_a)[5] = 7;
    assert_int_equal(((uint8_t *)at_b)[5], 7);
    struct io_file_info info;
    assert_int_equal(io_file_info(a, &info), NEAP_OK);
    assert_int_equal(info.size, 8192);
    io_file_unmap(a, at_a, 8192);
    io_file_unmap(b, at_b, 8192);
    io_file_close(&a);
    io_file_close(&b);
    sim_close(&io);
}

/* ---- agents, timers, syncs, streams, signals ---- */

struct talk {
    struct io_agent agent;
    struct io *io;
    struct io_timer timer;
    struct io_sync sync;
    struct io_file *file;
    struct io_listener *listener;
    struct io_stream *stream;
    mono_time due, fired;
    uint32_t turns, syncs, signals, said;
    char heard[64 * 1024];
    size_t heard_size;
    bool sent, closed;
    enum neap_status sync_status;
};

static uint32_t talk_work(void *ctx, mono_time now)
{
    struct talk *talk = ctx;
    talk->turns++;
    (void)now;
    return 0;
}

static void talk_init(struct talk *talk, struct io *io, const char *name)
{
    *talk = (struct talk){ .agent = { .name = name, .work = talk_work, .ctx = talk }, .io = io };
}

static void talk_fire(struct io_timer *timer, mono_time now)
{
    struct talk *talk = timer->ctx;
    talk->fired = now;
    io_agent_leave(&talk->agent);
}

static void timers_are_never_early(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct io *io = door(NULL, seed, false);
        struct talk talk;
        talk_init(&talk, io, "timer");
        assert_int_equal(io_agent_attach(io, &talk.agent, NULL), NEAP_OK);
        talk.timer = (struct io_timer){ .agent = &talk.agent, .fire = talk_fire, .ctx = &talk };
        mono_time due = mono_after(io_now(io), 3 * NS_PER_S + 123);
        io_timer_set(&talk.timer, mono_after(io_now(io), NS_PER_S));
        io_timer_set(&talk.timer, due); /* moved */
        assert_int_equal(io_agent_run(io, &talk.agent, (mono_time){ due.ns - NS_PER_S }, NULL), NEAP_TIMEOUT);
        assert_int_equal(io_agent_run(io, &talk.agent, MONO_NEVER, NULL), NEAP_OK);
        assert_true(talk.fired.ns >= due.ns && talk.fired.ns < due.ns + NS_PER_MS);
        assert_true(talk.turns > 0);
        io_agent_stop(&talk.agent);
        sim_close(&io);
    }
}

static void talk_synced(struct io_sync *op, enum neap_status status)
{
    struct talk *talk = op->ctx;
    talk->syncs++;
    talk->sync_status = status;
    io_agent_leave(&talk->agent);
}

/* What is written while a sync runs is not covered by it; what was written before is, once its end was told. */
static void started_sync_covers_what_came_before(void **state)
{
    (void)state;
    struct sim_disk *disk = recorded();
    struct io *io = door(disk, 1, true);
    struct talk talk;
    talk_init(&talk, io, "sync");
    talk.file = open_file(io, "/f");
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    assert_int_equal(io_agent_attach(io, &talk.agent, NULL), NEAP_OK);
    put(talk.file, 'a', PAGE, 0);
    talk.sync = (struct io_sync){ .file = talk.file, .agent = &talk.agent, .done = talk_synced, .ctx = &talk };
    io_file_sync_start(&talk.sync);
    put(talk.file, 'b', PAGE, PAGE);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/f", 0), -2);
    assert_int_equal(io_agent_run(io, &talk.agent, MONO_NEVER, NULL), NEAP_OK);
    assert_int_equal(talk.syncs, 1);
    assert_int_equal(talk.sync_status, NEAP_OK);
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/f", 0), 'a');
    assert_int_equal(byte_after(disk, sim_disk_point(disk), SIM_STATE_NONE, "/f", PAGE), -2);
    io_agent_stop(&talk.agent);
    io_file_close(&talk.file);
    sim_close(&io);
    sim_disk_free(&disk);
}

static void talk_data(struct io_stream *stream, struct bytes bytes)
{
    struct talk *talk = io_stream_ctx(stream);
    assert_true(talk->heard_size + bytes.size <= sizeof(talk->heard));
    memcpy(talk->heard + talk->heard_size, bytes.at, bytes.size);
    talk->heard_size += bytes.size;
}

static void talk_sent(struct io_stream *stream, enum neap_status status)
{
    struct talk *talk = io_stream_ctx(stream);
    talk->sent = true;
    assert_int_equal(status, NEAP_OK);
    io_stream_close(stream);
}

static void talk_closed(struct io_stream *stream, enum neap_status status)
{
    struct talk *talk = io_stream_ctx(stream);
    talk->closed = true;
    (void)status;
}

static const struct io_stream_events talk_events = { talk_data, talk_sent, talk_closed };

static void talk_accepted(void *ctx, struct io_stream *stream)
{
    struct talk *talk = ctx;
    talk->stream = stream;
    io_stream_start(stream, &talk_events, talk);
}

static void streams_bring_all_bytes_in_order(void **state)
{
    (void)state;
    static char words[50000];
    for (size_t i = 0; i < sizeof(words); i++)
        words[i] = (char)(i * 7 + i / 256);
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct io *io = door(NULL, seed, false);
        struct talk *server = malloc(sizeof(*server)), *client = malloc(sizeof(*client));
        talk_init(server, io, "server");
        talk_init(client, io, "client");
        assert_int_equal(io_agent_start(io, &server->agent, NULL), NEAP_OK);
        assert_int_equal(io_agent_start(io, &client->agent, NULL), NEAP_OK);
        assert_int_equal(io_connect(&client->agent, "/s", &client->stream, NULL), NEAP_NOTFOUND);
        assert_int_equal(io_listen(&server->agent, "/s", talk_accepted, server, &server->listener, NULL), NEAP_OK);
        assert_int_equal(io_listen(&server->agent, "/s", talk_accepted, server, &server->listener, NULL), NEAP_HELD);
        assert_int_equal(io_connect(&client->agent, "/s", &client->stream, NULL), NEAP_OK);
        io_stream_start(client->stream, &talk_events, client);
        struct bytes all = { (uint8_t *)words, sizeof(words) };
        assert_int_equal(io_stream_send(client->stream, all), NEAP_OK);
        assert_int_equal(io_stream_send(client->stream, all), NEAP_AGAIN);
        sim_run(io, 3600 * NS_PER_S);
        assert_true(client->sent && client->closed && server->closed);
        assert_int_equal(server->heard_size, sizeof(words));
        assert_memory_equal(server->heard, words, sizeof(words));
        io_listener_close(&server->listener);
        io_agent_stop(&server->agent);
        io_agent_stop(&client->agent);
        sim_close(&io);
        free(server);
        free(client);
    }
}

static void talk_signal(void *ctx, int number)
{
    struct talk *talk = ctx;
    talk->signals += (uint32_t)number;
}

static void signals_and_standard_streams_arrive(void **state)
{
    (void)state;
    struct io *io = door(NULL, 3, false);
    struct talk talk;
    talk_init(&talk, io, "signals");
    assert_int_equal(io_agent_start(io, &talk.agent, NULL), NEAP_OK);
    assert_int_equal(io_signals_watch(&talk.agent, talk_signal, &talk, NULL), NEAP_OK);
    sim_signal(io, 15);
    sim_signal(io, 2);
    sim_run(io, NS_PER_S);
    assert_int_equal(talk.signals, 17);
    io_signals_unwatch(&talk.agent);
    sim_input(io, BYTES("hello"), true);
    char room[16], all[16] = "";
    size_t size = 1, total = 0;
    while (size > 0) {
        assert_int_equal(io_read_next(io_standard(io, 0), room, sizeof(room), MONO_NEVER, &size), NEAP_OK);
        memcpy(all + total, room, size);
        total += size;
    }
    assert_string_equal(all, "hello");
    assert_int_equal(io_write_next(io_standard(io, 1), BYTES("out"), MONO_NEVER, &size), NEAP_OK);
    assert_true(bytes_equal(sim_output(io, 1), BYTES("out")));
    io_agent_stop(&talk.agent);
    sim_close(&io);
}

static void clock_is_virtual_and_wall_jumps(void **state)
{
    (void)state;
    struct io *io = door(NULL, 1, true);
    mono_time now = io_now(io);
    wall_time wall = io_wall(io);
    io_sleep(io, 86400 * NS_PER_S);
    assert_int_equal(io_now(io).ns - now.ns, 86400 * NS_PER_S);
    assert_int_equal(io_wall(io).ms - wall.ms, 86400000);
    sim_wall_jump(io, -3600000);
    assert_int_equal(io_wall(io).ms - wall.ms, 82800000);
    assert_int_equal(io_now(io).ns - now.ns, 86400 * NS_PER_S);
    sim_close(&io);
}

/* ---- a toy log: slots of one sector, acknowledged after a sync; and what is wrong with it is found ---- */

enum toy_bug { TOY_RIGHT, TOY_ACK_BEFORE_SYNC, TOY_NO_DIR_SYNC, TOY_NO_CHECKSUM };

struct toy {
    uint32_t acked_at[64], begun_at[64]; /* points */
    uint32_t count;
};

#define TOY_SLOT 1024u /* two sectors: it can tear */

static void toy_slot(uint8_t *slot, uint32_t number)
{
    memset(slot, (int)(number + 1), TOY_SLOT);
}

static void toy_run(struct sim_disk *disk, enum toy_bug bug, struct toy *toy)
{
    struct io *io = door(disk, 9, true);
    struct io_file *file = open_file(io, "/log.new");
    put(file, 0, 8 * PAGE, 0);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    assert_int_equal(io_rename(io, "/log.new", "/log", NULL), NEAP_OK);
    if (bug != TOY_NO_DIR_SYNC)
        assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
    for (toy->count = 0; toy->count < 12; toy->count++) {
        uint8_t slot[TOY_SLOT];
        toy_slot(slot, toy->count);
        toy->begun_at[toy->count] = sim_disk_point(disk);
        assert_int_equal(io_file_write(file, &(struct bytes){ slot, TOY_SLOT }, 1, toy->count * TOY_SLOT), NEAP_OK);
        if (bug == TOY_ACK_BEFORE_SYNC)
            toy->acked_at[toy->count] = sim_disk_point(disk);
        assert_int_equal(io_file_sync(file), NEAP_OK);
        if (bug != TOY_ACK_BEFORE_SYNC)
            toy->acked_at[toy->count] = sim_disk_point(disk);
    }
    io_file_close(&file);
    sim_close(&io);
}

/* True: everything acknowledged before the point is there whole, and nothing else that is half or never begun. */
static bool toy_holds(struct sim_disk *disk, uint32_t point, uint64_t state, enum toy_bug bug, const struct toy *toy)
{
    struct sim_disk *after = sim_disk_state(disk, point, state, false);
    struct io *io = door(after, 1, true);
    struct io_file *file = NULL;
    uint32_t found = 0;
    bool good = true;
    if (io_file_open(io, "/log", IO_READ, &file, NULL) == NEAP_OK) {
        for (; found < toy->count; found++) {
            uint8_t slot[TOY_SLOT], right[TOY_SLOT];
            size_t size = 0;
            toy_slot(right, found);
            assert_int_equal(io_file_read(file, slot, TOY_SLOT, found * TOY_SLOT, &size), NEAP_OK);
            if (bug == TOY_NO_CHECKSUM ? size == 0 || slot[0] == 0
                                       : size < TOY_SLOT || memcmp(slot, right, TOY_SLOT) != 0)
                break;
            good = good && memcmp(slot, right, TOY_SLOT) == 0 && toy->begun_at[found] < point;
        }
        io_file_close(&file);
    }
    for (uint32_t i = found; i < toy->count; i++)
        good = good && toy->acked_at[i] > point;
    sim_close(&io);
    sim_disk_free(&after);
    return good;
}

static uint32_t toy_failures(enum toy_bug bug)
{
    struct toy toy;
    struct sim_disk *disk = recorded();
    toy_run(disk, bug, &toy);
    uint32_t failures = 0, states = 0;
    for (uint32_t point = 0; point <= sim_disk_point(disk); point++) {
        uint64_t count = sim_disk_state_count(disk, point);
        for (uint64_t s = 0; s < count && s < 64; s++, states++)
            failures += !toy_holds(disk, point, s, bug, &toy);
    }
    assert_true(states > 60);
    sim_disk_free(&disk);
    return failures;
}

static void toy_log_keeps_its_word(void **state)
{
    (void)state;
    assert_int_equal(toy_failures(TOY_RIGHT), 0);
}

static void broken_toy_logs_are_caught(void **state)
{
    (void)state;
    assert_true(toy_failures(TOY_ACK_BEFORE_SYNC) > 0);
    assert_true(toy_failures(TOY_NO_DIR_SYNC) > 0);
    assert_true(toy_failures(TOY_NO_CHECKSUM) > 0);
}

/* ---- the same run twice ---- */

static uint32_t busy_work(void *ctx, mono_time now)
{
    struct talk *talk = ctx;
    (void)now;
    if (talk->turns >= 40)
        return 0;
    uint8_t byte = (uint8_t)io_random(talk->io);
    io_file_write(talk->file, &(struct bytes){ &byte, 1 }, 1, talk->turns++ * 100);
    if (talk->turns % 7 == 0)
        io_file_sync(talk->file);
    return 1;
}

static uint64_t busy_run(uint64_t seed, uint64_t *ret_content)
{
    struct io *io = door(NULL, seed, false);
    struct talk *talks = calloc(3, sizeof(*talks));
    static const char *const names[] = { "one", "two", "three" };
    for (int i = 0; i < 3; i++) {
        char path[8];
        snprintf(path, sizeof(path), "/%s", names[i]);
        talk_init(&talks[i], io, names[i]);
        talks[i].agent.work = busy_work;
        talks[i].file = open_file(io, path);
        assert_int_equal(io_agent_start(io, &talks[i].agent, NULL), NEAP_OK);
    }
    sim_run(io, 60 * NS_PER_S);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(talks[i].turns, 40);
        io_agent_stop(&talks[i].agent);
        io_file_close(&talks[i].file);
    }
    uint64_t hash = sim_trace_hash(io);
    *ret_content = sim_disk_hash(sim_disk_of(io));
    sim_close(&io);
    free(talks);
    return hash;
}

static void same_seed_same_trace(void **state)
{
    (void)state;
    uint64_t last = 0, content, again;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t hash = busy_run(seed, &content);
        assert_int_equal(hash, busy_run(seed, &again));
        assert_int_equal(content, again);
        assert_int_not_equal(hash, last); /* and another seed is another run */
        last = hash;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_is_durable_after_its_sync),
        cmocka_unit_test(sectors_tear_independently),
        cmocka_unit_test(later_content_includes_earlier),
        cmocka_unit_test(samples_reorder),
        cmocka_unit_test(cut_comes_with_what_was_written_after_it),
        cmocka_unit_test(names_need_their_directory),
        cmocka_unit_test(new_directories_are_durable_and_their_files_not_yet),
        cmocka_unit_test(failed_sync_is_never_made_good),
        cmocka_unit_test(every_call_can_fail),
        cmocka_unit_test(faults_keep_to_their_path_and_stall),
        cmocka_unit_test(disk_fills_up_and_empties),
        cmocka_unit_test(locks_are_of_the_open_file),
        cmocka_unit_test(maps_are_shared),
        cmocka_unit_test(timers_are_never_early),
        cmocka_unit_test(started_sync_covers_what_came_before),
        cmocka_unit_test(streams_bring_all_bytes_in_order),
        cmocka_unit_test(signals_and_standard_streams_arrive),
        cmocka_unit_test(clock_is_virtual_and_wall_jumps),
        cmocka_unit_test(toy_log_keeps_its_word),
        cmocka_unit_test(broken_toy_logs_are_caught),
        cmocka_unit_test(same_seed_same_trace),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
