/* What the program around the library may do to it: change its working directory, begin without standard streams, fork. */
#include "scratch.h"

#include "neap/neap.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS    20000
#define EVENT_SIZE 500000u

struct host {
    struct scratch scratch;
    struct neap *neap;
    struct neap_writer *writer;
    struct neap_topic *topic;
    struct neap_error err;
};

static int open_host(void **state)
{
    struct host *h = calloc(1, sizeof *h);
    scratch_init(&h->scratch);
    *state = h;
    return 0;
}

static int close_host(void **state)
{
    struct host *h = *state;
    scratch_fini(&h->scratch);
    free(h);
    return 0;
}

static void open_log(struct host *h, const char *path)
{
    struct neap_options options = { .path = path, .disk_size = 256u << 20 };
    enum neap_status status = neap_open(&options, &h->neap, &h->err);
    if (status != NEAP_OK)
        print_error("%s\n", h->err.text);
    assert_int_equal(status, NEAP_OK);
    assert_int_equal(neap_writer_open(h->neap, NULL, &h->writer, &h->err), NEAP_OK);
    assert_int_equal(neap_topic_open(h->writer, "t", 1, SOON_MS, &h->topic, &h->err), NEAP_OK);
}

static void close_log(struct host *h)
{
    neap_topic_close(&h->topic);
    assert_int_equal(neap_writer_close(&h->writer, SOON_MS), NEAP_OK);
    assert_int_equal(neap_close(&h->neap), NEAP_OK);
}

static enum neap_status append_one(struct host *h)
{
    static char value[EVENT_SIZE];
    struct neap_event event = { .value = { value, sizeof value } };
    return neap_append_wait(h->writer, h->topic, 0, &event, 1, SOON_MS, NULL);
}

static uint64_t end_of(struct host *h)
{
    uint64_t end = UINT64_MAX;
    assert_int_equal(neap_topic_end(h->topic, 0, &end), NEAP_OK);
    return end;
}

/* ---- the working directory ------------------------------------------------------------------------------------------- */

#define ENOUGH 40u /* several journal files */

static bool is_there(const char *path)
{
    struct stat stat_;
    return stat(path, &stat_) == 0;
}

static void a_relative_path_is_looked_up_once(void **state)
{
    struct host *h = *state;
    char home[512];
    assert_non_null(getcwd(home, sizeof home));
    assert_int_equal(mkdir(scratch_path(&h->scratch, "other"), 0700), 0);
    assert_int_equal(chdir(scratch_path(&h->scratch, "other")), 0);
    open_log(h, "data"); /* somebody else's, of the same name */
    assert_int_equal(append_one(h), NEAP_OK);
    close_log(h);

    assert_int_equal(chdir(h->scratch.dir), 0);
    open_log(h, "data");
    assert_int_equal(chdir(scratch_path(&h->scratch, "other")), 0);
    for (uint32_t i = 0; i < ENOUGH; i++)
        assert_int_equal(append_one(h), NEAP_OK);
    close_log(h);

    open_log(h, scratch_path(&h->scratch, "data"));
    assert_int_equal(end_of(h), ENOUGH); /* every one that was acknowledged */
    close_log(h);
    open_log(h, scratch_path(&h->scratch, "other/data"));
    assert_int_equal(end_of(h), 1); /* untouched */
    close_log(h);
    assert_int_equal(chdir(home), 0);
}

static void the_root_directory_is_as_good(void **state)
{
    struct host *h = *state;
    char home[512];
    assert_non_null(getcwd(home, sizeof home));
    assert_int_equal(chdir(h->scratch.dir), 0);
    open_log(h, "deep/er/data"); /* made, with the folders above it */
    assert_int_equal(chdir("/"), 0);
    for (uint32_t i = 0; i < ENOUGH; i++)
        assert_int_equal(append_one(h), NEAP_OK);
    close_log(h);
    assert_false(is_there("/deep"));
    open_log(h, scratch_path(&h->scratch, "deep/er/data"));
    assert_int_equal(end_of(h), ENOUGH);
    close_log(h);
    assert_int_equal(chdir(home), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_relative_path_is_looked_up_once),
        CASE(the_root_directory_is_as_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
