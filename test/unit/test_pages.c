/* A page read through the cache is what the file holds, whoever else reads; and it is read once while there is room. */
#include "scratch.h"

#include "base/must.h"
#include "io/real.h"
#include "io/sim.h"
#include "log/local/pages.h"
#include <pthread.h>

#define PAGE       4096u
#define FILE_COUNT 3u
#define FILE_SIZE  (40u * PAGE + 1234u)

struct world {
    struct io *io;
    struct io_file *files[FILE_COUNT];
    uint8_t *bytes[FILE_COUNT];
    size_t sizes[FILE_COUNT];
};

static void world_init(struct world *w, struct io *io, const char *folder)
{
    uint64_t seed = 11;
    w->io = io;
    for (uint32_t i = 0; i < FILE_COUNT; i++) {
        char path[300];
        snprintf(path, sizeof path, "%s/f%u", folder, i);
        w->sizes[i] = FILE_SIZE - i * 17 * PAGE;
        w->bytes[i] = malloc(w->sizes[i]);
        for (size_t n = 0; n < w->sizes[i]; n++)
            w->bytes[i][n] = (uint8_t)chance(&seed);
        struct bytes part = { w->bytes[i], w->sizes[i] };
        assert_int_equal(io_file_open(io, path, IO_READ | IO_WRITE | IO_CREATE, &w->files[i], NULL), NEAP_OK);
        assert_int_equal(io_file_write(w->files[i], &part, 1, 0), NEAP_OK);
    }
}

static void world_fini(struct world *w)
{
    for (uint32_t i = 0; i < FILE_COUNT; i++) {
        io_file_close(&w->files[i]);
        free(w->bytes[i]);
    }
}

/* Reads of every size at every kind of place, past the end too. */
static bool read_much(struct world *w, struct pages *pages, uint64_t seed, uint32_t count)
{
    uint8_t room[3 * PAGE];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t f = (uint32_t)chance_below(&seed, FILE_COUNT);
        size_t size = chance_below(&seed, 4) > 0 ? chance_below(&seed, 60) : chance_below(&seed, sizeof room);
        uint64_t at = chance_below(&seed, w->sizes[f] + 100);
        enum neap_status status = pages_read(pages, w->files[f], at, room, size);
        bool there = at + size <= w->sizes[f];
        if (status != (there || size == 0 ? NEAP_OK : NEAP_BADINPUT))
            return false;
        if (there && memcmp(room, w->bytes[f] + at, size) != 0)
            return false;
    }
    return true;
}

static void what_is_read_is_what_is_there(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    struct world w;
    world_init(&w, io, "");
    for (size_t size = 0; size <= 64 * PAGE; size = size * 2 + PAGE) {
        struct pages *pages = pages_new(io, size);
        assert_true(read_much(&w, pages, size + 1, 4000));
        pages_free(&pages);
    }
    world_fini(&w);
    sim_close(&io);
}

static void a_page_in_use_stays(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    struct world w;
    uint8_t room[24];
    world_init(&w, io, "");
    struct pages *pages = pages_new(io, 8 * PAGE);
    uint64_t before = sim_call_count(io, SIM_READ);
    for (int round = 0; round < 100; round++) /* as many as there is room for: each is read once */
        for (uint64_t page = 0; page < 8; page++)
            assert_int_equal(pages_read(pages, w.files[0], page * PAGE + 40, room, sizeof room), NEAP_OK);
    assert_int_equal(sim_call_count(io, SIM_READ) - before, 8);
    for (uint64_t page = 8; page < 40;
         page++) { /* one that is asked for all the time, beside a walk through the rest */
        assert_int_equal(pages_read(pages, w.files[0], page * PAGE, room, sizeof room), NEAP_OK);
        assert_int_equal(pages_read(pages, w.files[0], 7 * PAGE, room, sizeof room), NEAP_OK);
    }
    struct pages_figures figures;
    pages_figures(pages, &figures);
    assert_int_equal(sim_call_count(io, SIM_READ) - before, figures.miss_count);
    assert_true(figures.miss_count <= 8 + 32 + 2);
    pages_free(&pages);
    world_fini(&w);
    sim_close(&io);
}

/* The same path, another file: what was kept of the first opening says nothing about the second. */
static void another_opening_is_another_file(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    struct pages *pages = pages_new(io, 8 * PAGE);
    struct io_file *file = NULL;
    for (uint8_t n = 1; n < 50; n++) {
        uint8_t byte = 0;
        assert_int_equal(io_file_open(io, "/f", IO_READ | IO_WRITE | IO_CREATE, &file, NULL), NEAP_OK);
        assert_int_equal(io_file_write(file, &(struct bytes){ &n, 1 }, 1, 0), NEAP_OK);
        assert_int_equal(pages_read(pages, file, 0, &byte, 1), NEAP_OK);
        assert_int_equal(byte, n);
        io_file_close(&file);
    }
    pages_free(&pages);
    sim_close(&io);
}

static void a_read_that_fails_is_told_and_not_kept(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    struct world w;
    uint8_t room[24];
    world_init(&w, io, "");
    struct pages *pages = pages_new(io, 8 * PAGE);
    sim_fault_add(io, &(struct sim_fault){ .call = SIM_READ, .nth = 1, .status = NEAP_IO });
    assert_int_equal(pages_read(pages, w.files[0], 5, room, sizeof room), NEAP_IO);
    assert_int_equal(pages_read(pages, w.files[0], 5, room, sizeof room), NEAP_OK);
    assert_memory_equal(room, w.bytes[0] + 5, sizeof room);
    pages_free(&pages);
    world_fini(&w);
    sim_close(&io);
}

struct thread {
    pthread_t id;
    struct world *world;
    struct pages *pages;
    uint64_t seed;
    bool right;
};

static void *run(void *ctx)
{
    struct thread *t = ctx;
    t->right = read_much(t->world, t->pages, t->seed, 20000);
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    struct scratch scratch;
    struct world w;
    struct thread threads[4];
    scratch_init(&scratch);
    struct io *io = io_real_open(NULL);
    world_init(&w, io, scratch.dir);
    struct pages *pages = pages_new(io, 16 * PAGE);
    for (uint32_t i = 0; i < COUNT_OF(threads); i++) {
        threads[i] = (struct thread){ .world = &w, .pages = pages, .seed = i };
        assert_int_equal(pthread_create(&threads[i].id, NULL, run, &threads[i]), 0);
    }
    for (uint32_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i].id, NULL);
        assert_true(threads[i].right);
    }
    pages_free(&pages);
    world_fini(&w);
    io_real_close(&io);
    scratch_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_what_is_there),
        cmocka_unit_test(a_page_in_use_stays),
        cmocka_unit_test(another_opening_is_another_file),
        cmocka_unit_test(a_read_that_fails_is_told_and_not_kept),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
