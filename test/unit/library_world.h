/* library_world.h - a handle, a writer and a topic of the library in a directory of the test's own. */
#ifndef TEST_LIBRARY_WORLD_H
#define TEST_LIBRARY_WORLD_H

#include "scratch.h"

#include "lib/lib.h"

#define SOON_MS 20000

struct world {
    struct scratch scratch;
    struct neap *neap;
    struct neap_writer *writer;
    struct neap_topic *topic;
    struct neap_error err;
};

static inline struct neap *open_at(struct world *w, const char *name)
{
    struct neap *neap = NULL;
    struct neap_options options = { .path = scratch_path(&w->scratch, name), .disk_size = 64u << 20 };
    enum neap_status status = neap_open(&options, &neap, &w->err);
    if (status != NEAP_OK)
        print_error("%s\n", w->err.text);
    assert_int_equal(status, NEAP_OK);
    return neap;
}

static inline void open_all(struct world *w, uint32_t partition_count)
{
    w->neap = open_at(w, "data");
    assert_int_equal(neap_writer_open(w->neap, NULL, &w->writer, &w->err), NEAP_OK);
    assert_int_equal(neap_topic_open(w->writer, "orders", partition_count, SOON_MS, &w->topic, &w->err), NEAP_OK);
}

static inline void close_all(struct world *w)
{
    neap_topic_close(&w->topic);
    assert_int_equal(neap_writer_close(&w->writer, SOON_MS), NEAP_OK);
    assert_int_equal(neap_close(&w->neap), NEAP_OK);
    assert_null(w->neap);
}

static inline int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    scratch_init(&w->scratch);
    *state = w;
    return 0;
}

static inline int close_world(void **state)
{
    struct world *w = *state;
    close_all(w);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

#endif
