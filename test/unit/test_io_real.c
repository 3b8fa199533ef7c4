/* test_io_real.c - the real door's files, names and standard streams, against the system they stand on. */
#include "check.h"

#include "io/real.h"
#include "scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
    struct scratch scratch;
    struct io *io;
};

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    scratch_init(&w->scratch);
    w->io = io_real_open(NULL);
    *state = w;
    return w->io != NULL ? 0 : -1;
}

static int close_world(void **state)
{
    struct world *w = *state;
    io_real_close(&w->io);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

static struct io_file *open_file(struct world *w, const char *name, unsigned flags)
{
    struct io_file *file = NULL;
    struct error err = { .status = NEAP_OK };
    enum neap_status status = io_file_open(w->io, scratch_path(&w->scratch, name), flags, &file, &err);
    if (status != NEAP_OK)
        fail_msg("%s", err.text);
    return file;
}

static enum neap_status write_text(struct io_file *file, const char *text, uint64_t position)
{
    struct bytes bytes = bytes_of_text(text);
    return io_file_write(file, &bytes, 1, position);
}

/* ---- time and chance ---- */

static void the_clock_never_goes_back_and_sleep_is_no_shorter(void **state)
{
    struct world *w = *state;
    mono_time before = io_now(w->io);
    io_sleep(w->io, 2 * NS_PER_MS);
    assert_true(io_now(w->io).ns >= before.ns + 2 * NS_PER_MS);
    assert_true(io_wall(w->io).ms > 1600000000000ll);
}

static void chance_repeats_nothing(void **state)
{
    struct world *w = *state;
    uint64_t seen[200], ones = 0, zeros = 0;
    for (unsigned i = 0; i < 200; i++) {
        seen[i] = io_random(w->io);
        ones |= seen[i];
        zeros |= ~seen[i];
        for (unsigned j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
    }
    assert_true(ones == UINT64_MAX && zeros == UINT64_MAX); /* every bit takes both values */
}

/* ---- files ---- */

static void a_file_holds_what_was_written(void **state)
{
    struct world *w = *state;
    struct io_file *file = open_file(w, "a", IO_READ | IO_WRITE | IO_CREATE);
    struct bytes parts[] = { BYTES("one "), BYTES(""), BYTES("two "), { NULL, 0 }, BYTES("three") };
    assert_int_equal(io_file_write(file, parts, COUNT_OF(parts), 10), NEAP_OK);
    char read[64] = { 0 };
    size_t size = 99;
    assert_int_equal(io_file_read(file, read, sizeof(read), 10, &size), NEAP_OK);
    assert_int_equal(size, 13);
    assert_string_equal(read, "one two three");
    assert_int_equal(io_file_read(file, read, sizeof(read), 23, &size), NEAP_OK);
    assert_int_equal(size, 0);
    assert_int_equal(io_file_write(file, NULL, 0, 0), NEAP_OK);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    struct io_file_info info, named;
    assert_int_equal(io_file_info(file, &info), NEAP_OK);
    assert_int_equal(info.size, 23);
    assert_int_equal(info.kind, IO_KIND_FILE);
    assert_int_equal(io_path_info(w->io, io_file_path(file), &named), NEAP_OK);
    assert_true(named.inode == info.inode && named.device == info.device);
    assert_int_equal(io_file_truncate(file, 14), NEAP_OK);
    assert_int_equal(io_file_read(file, read, sizeof(read), 0, &size), NEAP_OK);
    assert_int_equal(size, 14);
    io_file_will_need(file, 0, 14);
    io_file_close(&file);
    assert_null(file);
    io_file_close(&file);
}

static void a_large_write_in_parts_is_whole(void **state)
{
    struct world *w = *state;
    struct io_file *file = open_file(w, "large", IO_READ | IO_WRITE | IO_CREATE);
    size_t size = 5u << 20, got = 0;
    uint8_t *out = malloc(size), *in = malloc(size);
    uint64_t seed = 7;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)chance(&seed);
    struct bytes parts[8];
    size_t at = 0;
    for (unsigned i = 0; i < 8; i++) {
        parts[i] = (struct bytes){ out + at, i < 7 ? chance_below(&seed, size / 8) : size - at };
        at += parts[i].size;
    }
    assert_int_equal(io_file_write(file, parts, 8, 0), NEAP_OK);
    assert_int_equal(io_file_read(file, in, size, 0, &got), NEAP_OK);
    assert_int_equal(got, size);
    assert_memory_equal(out, in, size);
    io_file_close(&file);
    free(out);
    free(in);
}

static void opening_answers_why_not(void **state)
{
    struct world *w = *state;
    struct io_file *file = NULL;
    struct error err = { .status = NEAP_OK };
    assert_int_equal(io_file_open(w->io, scratch_path(&w->scratch, "none"), IO_READ, &file, &err), NEAP_NOTFOUND);
    assert_int_equal(err.status, NEAP_NOTFOUND);
    assert_non_null(strstr(err.text, "/none: No such file"));
    assert_null(file);
    file = open_file(w, "x", IO_WRITE | IO_CREATE | IO_EXCLUSIVE);
    io_file_close(&file);
    assert_int_equal(io_file_open(w->io, scratch_path(&w->scratch, "x"), IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &file,
                                  &err),
                     NEAP_EXISTS);
    assert_int_equal(io_file_open(w->io, scratch_path(&w->scratch, "x/y"), IO_READ, &file, &err), NEAP_NOTFOUND);
    assert_int_equal(io_file_open(w->io, w->scratch.dir, IO_WRITE, &file, &err), NEAP_MISUSE);
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(io_file_open(w->io, scratch_path(&w->scratch, name), IO_WRITE | IO_CREATE, &file, &err),
                     NEAP_MISUSE);
}

static unsigned mode_of(struct world *w, const char *name)
{
    struct stat found;
    assert_int_equal(stat(scratch_path(&w->scratch, name), &found), 0);
    return found.st_mode & 0777;
}

static void files_are_ours_unless_shared(void **state)
{
    struct world *w = *state;
    mode_t mask = umask(0);
    struct io_file *file = open_file(w, "private", IO_WRITE | IO_CREATE);
    io_file_close(&file);
    file = open_file(w, "shared", IO_WRITE | IO_CREATE | IO_SHARED);
    io_file_close(&file);
    umask(mask);
    assert_int_equal(mode_of(w, "private"), 0600);
    assert_int_equal(mode_of(w, "shared"), 0644);
}

static void a_size_limit_is_full_and_goes_away(void **state)
{
    struct world *w = *state;
    struct io_file *file = open_file(w, "limited", IO_READ | IO_WRITE | IO_CREATE);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = { .rlim_cur = 1000, .rlim_max = old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint8_t block[600] = { 0 };
    struct bytes parts[] = { { block, sizeof(block) }, { block, sizeof(block) } };
    enum neap_status across = io_file_write(file, parts, 2, 0); /* the first 1000 bytes go in, then the limit */
    enum neap_status beyond = io_file_write(file, parts, 1, 5000);
    enum neap_status room = io_file_allocate(file, 5000);
    enum neap_status longer = io_file_truncate(file, 5000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(across, NEAP_FULL);
    assert_int_equal(beyond, NEAP_FULL);
    assert_int_equal(room, NEAP_FULL);
    assert_int_equal(longer, NEAP_FULL);
    assert_int_equal(io_file_write(file, parts, 2, 0), NEAP_OK);
    io_file_close(&file);
}

static void a_full_disk_is_full_and_goes_away(void **state)
{
    struct world *w = *state;
    char dir[640];
    snprintf(dir, sizeof(dir), "%s", scratch_path(&w->scratch, "small"));
    assert_int_equal(io_dir_make(w->io, dir, NULL), NEAP_OK);
    if (mount("none", dir, "tmpfs", 0, "size=256k") != 0)
        skip(); /* only root may make a small disk */
    struct io_file *file = open_file(w, "small/f", IO_READ | IO_WRITE | IO_CREATE);
    static uint8_t block[200 << 10];
    struct bytes part = { block, sizeof(block) };
    enum neap_status first = io_file_write(file, &part, 1, 0);
    enum neap_status second = io_file_write(file, &part, 1, sizeof(block));
    enum neap_status room = io_file_allocate(file, 1 << 20);
    void *at;
    enum neap_status map = io_file_map(file, 512 << 10, 32 << 10, &at); /* room first: no signal on touching it */
    uint64_t free_size = io_dir_free_size(w->io, dir);
    enum neap_status shorter = io_file_truncate(file, 0);
    enum neap_status again = io_file_write(file, &part, 1, 0);
    io_file_close(&file);
    assert_int_equal(umount(dir), 0);
    assert_int_equal(first, NEAP_OK);
    assert_int_equal(second, NEAP_FULL);
    assert_int_equal(room, NEAP_FULL);
    assert_int_equal(map, NEAP_FULL);
    assert_true(free_size < 64 << 10);
    assert_int_equal(shorter, NEAP_OK);
    assert_int_equal(again, NEAP_OK);
}

static void writing_without_the_right_is_io(void **state)
{
    struct world *w = *state;
    struct io_file *file = open_file(w, "ro", IO_WRITE | IO_CREATE);
    io_file_close(&file);
    file = open_file(w, "ro", IO_READ);
    assert_int_equal(write_text(file, "x", 0), NEAP_IO);
    io_file_close(&file);
}

/* ---- locks ---- */

static void two_opens_are_two_parties(void **state)
{
    struct world *w = *state;
    struct io_file *a = open_file(w, "lock", IO_READ | IO_WRITE | IO_CREATE);
    struct io_file *b = open_file(w, "lock", IO_READ | IO_WRITE);
    enum io_lock_kind kind;
    int64_t pid;
    assert_int_equal(io_file_lock(a, IO_LOCK_SHARED, 100, 10), NEAP_OK);
    assert_int_equal(io_file_lock(b, IO_LOCK_SHARED, 100, 10), NEAP_OK);
    assert_int_equal(io_file_lock(b, IO_LOCK_EXCLUSIVE, 105, 1), NEAP_HELD);
    assert_int_equal(io_file_lock_test(b, 100, 10, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_LOCK_SHARED);
    assert_int_equal(io_file_lock(a, IO_UNLOCK, 100, 10), NEAP_OK);
    assert_int_equal(io_file_lock(b, IO_LOCK_EXCLUSIVE, 100, 10), NEAP_OK);
    assert_int_equal(io_file_lock_test(a, 109, 1, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_LOCK_EXCLUSIVE);
    assert_int_equal(io_file_lock_test(a, 110, 1, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_UNLOCK);
    assert_int_equal(io_file_lock_test(b, 100, 10, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_UNLOCK); /* one's own is not somebody else's */
    struct io_file *c = open_file(w, "lock", IO_READ);
    io_file_close(&c); /* a third open and close takes nothing away from b */
    assert_int_equal(io_file_lock(a, IO_LOCK_SHARED, 100, 1), NEAP_HELD);
    io_file_close(&b);
    assert_int_equal(io_file_lock(a, IO_LOCK_SHARED, 100, 1), NEAP_OK);
    io_file_close(&a);
}

static void another_process_is_seen_by_its_locks_and_dies_with_them(void **state)
{
    struct world *w = *state;
    struct io_file *file = open_file(w, "lock", IO_READ | IO_WRITE | IO_CREATE);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(io_file_path(file), O_RDWR);
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1 };
        if (fcntl(fd, F_SETLK, &lock) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    enum io_lock_kind kind;
    int64_t pid;
    assert_int_equal(io_file_lock(file, IO_LOCK_SHARED, 0, 10), NEAP_HELD);
    assert_int_equal(io_file_lock_test(file, 0, 10, &kind, &pid), NEAP_OK);
    assert_int_equal(kind, IO_LOCK_EXCLUSIVE);
    assert_int_equal(pid, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(io_file_lock(file, IO_LOCK_SHARED, 0, 10), NEAP_OK);
    close(ready[0]);
    close(ready[1]);
    io_file_close(&file);
}

/* ---- shared memory ---- */

static void maps_of_one_file_are_one_memory(void **state)
{
    struct world *w = *state;
    struct io_file *a = open_file(w, "shm", IO_READ | IO_WRITE | IO_CREATE);
    struct io_file *b = open_file(w, "shm", IO_READ | IO_WRITE);
    void *at_a, *at_b;
    assert_int_equal(io_file_map(a, 32 << 10, 32 << 10, &at_a), NEAP_OK);
    struct io_file_info info;
    assert_int_equal(io_file_info(b, &info), NEAP_OK);
    assert_int_equal(info.size, 64 << 10);
    assert_int_equal(io_file_map(b, (32 << 10) + 100, 10, &at_b), NEAP_OK); /* inside a page too */
    memcpy((char *)at_a + 100, "tide", 5);
    assert_string_equal(at_b, "tide");
    char read[5];
    size_t size;
    assert_int_equal(io_file_read(b, read, 5, (32 << 10) + 100, &size), NEAP_OK);
    assert_string_equal(read, "tide");
    io_file_unmap(b, at_b, 10);
    io_file_unmap(a, at_a, 32 << 10);
    io_file_close(&a);
    io_file_close(&b);
}

/* ---- names ---- */

struct listing {
    char text[200];
    unsigned count_max;
};

static bool add_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    strcat(l->text, name);
    strcat(l->text, " ");
    return --l->count_max > 0;
}

static void directories_list_in_byte_order(void **state)
{
    struct world *w = *state;
    struct error err;
    assert_int_equal(io_dir_make(w->io, scratch_path(&w->scratch, "d/e/f"), &err), NEAP_OK);
    assert_int_equal(io_dir_make(w->io, scratch_path(&w->scratch, "d/e/f/"), &err), NEAP_OK);
    assert_int_equal(mode_of(w, "d/e"), 0700);
    static const char *const names[] = { "d/b", "d/a", "d/B", "d/\xc3\xa9", "d/10", "d/9", "d/.hidden" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct io_file *file = open_file(w, names[i], IO_WRITE | IO_CREATE);
        io_file_close(&file);
    }
    struct listing all = { .count_max = 100 }, some = { .count_max = 2 };
    assert_int_equal(io_dir_list(w->io, scratch_path(&w->scratch, "d"), add_name, &all, &err), NEAP_OK);
    assert_string_equal(all.text, ".hidden 10 9 B a b e \xc3\xa9 ");
    assert_int_equal(io_dir_list(w->io, scratch_path(&w->scratch, "d"), add_name, &some, &err), NEAP_OK);
    assert_string_equal(some.text, ".hidden 10 ");
    assert_int_equal(io_dir_list(w->io, scratch_path(&w->scratch, "nowhere"), add_name, &all, &err), NEAP_NOTFOUND);
    assert_int_equal(io_dir_make(w->io, scratch_path(&w->scratch, "d/a"), &err), NEAP_EXISTS);
    assert_int_equal(io_dir_make(w->io, scratch_path(&w->scratch, "d/a/b"), &err), NEAP_NOTFOUND);
    assert_int_equal(io_dir_sync(w->io, scratch_path(&w->scratch, "d"), &err), NEAP_OK);
    assert_int_equal(io_dir_sync(w->io, scratch_path(&w->scratch, "nowhere"), &err), NEAP_NOTFOUND);
    assert_true(io_dir_free_size(w->io, w->scratch.dir) > 0);
    assert_true(io_dir_free_size(w->io, scratch_path(&w->scratch, "nowhere")) == 0);
    assert_true(io_dir_total_size(w->io, w->scratch.dir) >= io_dir_free_size(w->io, w->scratch.dir));
    assert_true(io_dir_total_size(w->io, scratch_path(&w->scratch, "nowhere")) == 0);
}

static void renaming_replaces_and_unlinking_ends(void **state)
{
    struct world *w = *state;
    struct error err;
    struct io_file_info info;
    struct io_file *file = open_file(w, "from", IO_WRITE | IO_CREATE);
    assert_int_equal(write_text(file, "new", 0), NEAP_OK);
    io_file_close(&file);
    file = open_file(w, "to", IO_WRITE | IO_CREATE);
    io_file_close(&file);
    const char *from = scratch_path(&w->scratch, "from"), *to = scratch_path(&w->scratch, "to");
    assert_int_equal(io_rename(w->io, from, to, &err), NEAP_OK);
    assert_int_equal(io_path_info(w->io, from, &info), NEAP_NOTFOUND);
    assert_int_equal(io_path_info(w->io, to, &info), NEAP_OK);
    assert_int_equal(info.size, 3);
    assert_int_equal(io_rename(w->io, from, to, &err), NEAP_NOTFOUND);
    assert_non_null(strstr(err.text, "rename to "));
    assert_int_equal(io_unlink(w->io, to, &err), NEAP_OK);
    assert_int_equal(io_unlink(w->io, to, &err), NEAP_NOTFOUND);
    assert_int_equal(io_pid(w->io), getpid());
    assert_non_null(io_environment(w->io, "PATH"));
    assert_null(io_environment(w->io, "NEAP_TEST_NOT_SET"));
}

/* ---- standard streams ---- */

/* Puts `fd` in the place of a standard stream while `use` runs. */
static void with_standard(struct world *w, int number, int fd, void (*use)(struct world *w, struct io_file *file))
{
    fflush(stdout);
    int saved = dup(number);
    assert_true(saved >= 0 && dup2(fd, number) == number);
    use(w, io_standard(w->io, number));
    assert_true(dup2(saved, number) == number);
    close(saved);
}

static int pipe_ends[2];
static bool went_well; /* what the use found: standard output is not there to say so */

static void read_from_pipe(struct world *w, struct io_file *file)
{
    char read[16];
    size_t size = 99;
    went_well = io_read_next(file, read, sizeof(read), io_now(w->io), &size) == NEAP_TIMEOUT;
    went_well &= io_read_next(file, read, sizeof(read), mono_after(io_now(w->io), NS_PER_MS), &size) == NEAP_TIMEOUT;
    went_well &= size == 99 && write(pipe_ends[1], "hello", 5) == 5;
    went_well &= io_read_next(file, read, 3, MONO_NEVER, &size) == NEAP_OK && size == 3 && memcmp(read, "hel", 3) == 0;
    went_well &= io_read_next(file, read, 3, MONO_NEVER, &size) == NEAP_OK && size == 2;
    close(pipe_ends[1]);
    went_well &= io_read_next(file, read, 3, io_now(w->io), &size) == NEAP_OK && size == 0;
    went_well &= !io_is_terminal(file) && io_terminal_width(file) == 80;
}

static void reading_in_sequence_keeps_its_deadline(void **state)
{
    assert_int_equal(pipe(pipe_ends), 0);
    with_standard(*state, 0, pipe_ends[0], read_from_pipe);
    close(pipe_ends[0]);
    assert_true(went_well);
}

static void write_to_full_pipe(struct world *w, struct io_file *file)
{
    static uint8_t much[1 << 20];
    size_t size = 0, drained = 0;
    mono_time soon = mono_after(io_now(w->io), NS_PER_MS);
    went_well = io_write_next(file, (struct bytes){ much, sizeof(much) }, soon, &size) == NEAP_TIMEOUT;
    went_well &= size > 0 && size < sizeof(much); /* it says what went out before the reader stopped */
    static uint8_t sink[1 << 20];
    while (drained < size)
        drained += (size_t)read(pipe_ends[0], sink, size - drained);
    went_well &= io_write_next(file, BYTES("abc"), io_now(w->io), &size) == NEAP_OK && size == 3;
    went_well &= io_write_next(file, BYTES("abc"), MONO_NEVER, &size) == NEAP_OK && size == 3;
    close(pipe_ends[0]);
    went_well &= io_write_next(file, BYTES("abc"), io_now(w->io), &size) == NEAP_CLOSED && size == 0;
    went_well &= io_write_next(file, BYTES("abc"), MONO_NEVER, &size) == NEAP_CLOSED;
}

static void writing_in_sequence_keeps_its_deadline(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        assert_int_equal(kind == 0 ? pipe(pipe_ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, pipe_ends), 0);
        with_standard(*state, 1, pipe_ends[1], write_to_full_pipe);
        close(pipe_ends[1]);
        assert_true(went_well);
    }
}

static void write_to_full_device(struct world *w, struct io_file *file)
{
    size_t size = 99;
    went_well = io_write_next(file, BYTES("abc"), MONO_NEVER, &size) == NEAP_FULL && size == 0;
}

static void a_full_output_is_full(void **state)
{
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd > 2);
    with_standard(*state, 1, fd, write_to_full_device);
    close(fd);
    assert_true(went_well);
}

static void a_closed_standard_stream_is_never_a_file(void **state)
{
    struct world *w = *state;
    pid_t child = fork();
    if (child == 0) {
        close(0);
        close(1);
        struct io *io = io_real_open(NULL);
        struct io_file *file = NULL;
        bool opened = io != NULL &&
                      io_file_open(io, scratch_path(&w->scratch, "data"), IO_WRITE | IO_CREATE, &file, NULL) == NEAP_OK;
        bool harmless = opened && write(1, "for the user", 12) == 12;
        struct io_file_info info;
        _exit(harmless && io_file_info(file, &info) == NEAP_OK && info.size == 0 ? 0 : 1);
    }
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

/* ---- the mutex ---- */

struct counter {
    struct io_mutex *mutex;
    uint64_t count;
};

static void *count_up(void *ctx)
{
    struct counter *c = ctx;
    for (int i = 0; i < 20000; i++) {
        io_mutex_take(c->mutex);
        c->count++;
        io_mutex_drop(c->mutex);
    }
    return NULL;
}

static void the_mutex_lets_one_in(void **state)
{
    struct world *w = *state;
    struct counter c = { .mutex = io_mutex_new(w->io) };
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &c), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.count, 60000);
    io_mutex_free(&c.mutex);
    assert_null(c.mutex);
    io_mutex_free(&c.mutex);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_clock_never_goes_back_and_sleep_is_no_shorter),
        TEST(chance_repeats_nothing),
        TEST(a_file_holds_what_was_written),
        TEST(a_large_write_in_parts_is_whole),
        TEST(opening_answers_why_not),
        TEST(files_are_ours_unless_shared),
        TEST(a_size_limit_is_full_and_goes_away),
        TEST(a_full_disk_is_full_and_goes_away),
        TEST(writing_without_the_right_is_io),
        TEST(two_opens_are_two_parties),
        TEST(another_process_is_seen_by_its_locks_and_dies_with_them),
        TEST(maps_of_one_file_are_one_memory),
        TEST(directories_list_in_byte_order),
        TEST(renaming_replaces_and_unlinking_ends),
        TEST(reading_in_sequence_keeps_its_deadline),
        TEST(writing_in_sequence_keeps_its_deadline),
        TEST(a_full_output_is_full),
        TEST(a_closed_standard_stream_is_never_a_file),
        TEST(the_mutex_lets_one_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
