/* What the program around the library may do to it: change its working directory, begin without standard streams, fork. */
#include "scratch.h"

#include "neap/neap.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/* ---- standard streams ------------------------------------------------------------------------------------------------ */

/* Closed, or /dev/null: what is printed there goes nowhere. */
static bool leads_nowhere(int fd)
{
    struct stat there, null;
    return fstat(fd, &there) != 0 || (stat("/dev/null", &null) == 0 && there.st_rdev == null.st_rdev);
}

/* In a process of its own: what it prints must go nowhere. Answers how far it came, 0 for all the way. */
static int without_streams(const char *path)
{
    struct neap *neap = NULL;
    struct neap_writer *writer = NULL;
    struct neap_topic *topic = NULL;
    struct neap_reader *reader = NULL;
    struct neap_record record;
    struct neap_event event = { .value = NEAP_TEXT("x") };
    int fd = -1;
    for (int i = 0; i < 3; i++)
        close(i);
    if (neap_open(&(struct neap_options){ .path = path, .disk_size = 64u << 20 }, &neap, NULL) != NEAP_OK ||
        neap_writer_open(neap, NULL, &writer, NULL) != NEAP_OK ||
        neap_topic_open(writer, "t", 1, SOON_MS, &topic, NULL) != NEAP_OK)
        return 1;
    if (neap_writer_descriptor(writer, &fd, NULL) != NEAP_OK || fd < 3)
        return 2;
    for (uint32_t i = 0; i < ENOUGH; i++) {
        if (i < 3)
            close((int)i); /* it may do so later, too */
        if (neap_append_wait(writer, topic, 0, &event, 1, SOON_MS, NULL) != NEAP_OK)
            return 3;
        dprintf(STDOUT_FILENO, "progress %u\n", i);
        dprintf(STDERR_FILENO, "warning %u\n", i);
    }
    if (neap_reader_open(neap, topic, 0, 0, &reader, NULL) != NEAP_OK ||
        neap_reader_descriptor(reader, &fd, NULL) != NEAP_OK || fd < 3 ||
        neap_reader_next(reader, SOON_MS, &record, NULL) != NEAP_OK)
        return 4;
    if (!leads_nowhere(0) || !leads_nowhere(1) || !leads_nowhere(2))
        return 5;
    neap_reader_close(&reader);
    neap_topic_close(&topic);
    return neap_writer_close(&writer, SOON_MS) == NEAP_OK && neap_close(&neap) == NEAP_OK ? 0 : 6;
}

static int in_a_child(int (*what)(const char *path), const char *path)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(what(path));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void closed_streams_stay_closed(void **state)
{
    struct host *h = *state;
    assert_int_equal(in_a_child(without_streams, scratch_path(&h->scratch, "data")), 0);
    open_log(h, scratch_path(&h->scratch, "data")); /* nothing was printed into it */
    assert_int_equal(end_of(h), ENOUGH);
    close_log(h);
}

/* A question to the node over its socket: the numbers are free again, so this end takes one, and the other must not. */
static bool is_answered(const char *folder)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char answer[4096] = { 0 };
    size_t got = 0;
    ssize_t n = 1;
    if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/neap.sock", folder) >= sizeof address.sun_path)
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    for (uint32_t i = 0; i < SOON_MS && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0; i++)
        usleep(1000); /* its socket comes in its own time */
    if (dprintf(fd, "{\"verb\":\"topic list\"}\n") < 0)
        return false;
    while (n > 0 && strstr(answer, "{\"end\":") == NULL && got < sizeof answer - 1) {
        n = read(fd, answer + got, sizeof answer - 1 - got);
        got += n > 0 ? (size_t)n : 0;
    }
    for (int i = 0; i < 3; i++)
        if (i != fd && !leads_nowhere(i))
            return false;
    return strstr(answer, "{\"end\":\"OK\"}") != NULL;
}

static int run_without_streams(const char *folder)
{
    static const char yaml[] = "pipelines:\n  p:\n    source: {topic: t}\n    sink: {topic: out}\n";
    char file[700], data[700];
    struct neap *neap = NULL;
    struct neap_run *run = NULL;
    snprintf(file, sizeof file, "%s/p.yaml", folder);
    snprintf(data, sizeof data, "%s/data", folder);
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, yaml, sizeof yaml - 1) != sizeof yaml - 1 || close(fd) != 0)
        return 1;
    for (int i = 0; i < 3; i++)
        close(i);
    if (neap_open(&(struct neap_options){ .path = data, .disk_size = 64u << 20 }, &neap, NULL) != NEAP_OK ||
        neap_run_open(neap, file, NULL, &run, NULL) != NEAP_OK)
        return 2;
    close(0);
    close(1);
    if (!is_answered(data))
        return 3;
    neap_run_close(&run);
    return neap_close(&neap) == NEAP_OK ? 0 : 4;
}

static void a_run_leaves_them_alone(void **state)
{
    struct host *h = *state;
    assert_int_equal(in_a_child(run_without_streams, h->scratch.dir), 0);
}

/* ---- fork ------------------------------------------------------------------------------------------------------------ */

static void a_child_does_not_hold_what_its_parent_closes(void **state)
{
    struct host *h = *state;
    int hold[2];
    open_log(h, scratch_path(&h->scratch, "data"));
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;
        close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 0
                                           : 1); /* with all the descriptors of its parent, for as long as that lives */
    }
    close(hold[0]);
    close_log(h);
    open_log(h, scratch_path(&h->scratch, "data"));
    assert_int_equal(append_one(h), NEAP_OK);
    close_log(h);
    close(hold[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(closed_streams_stay_closed), /* first: forks before there are threads */
        CASE(a_run_leaves_them_alone),           CASE(a_child_does_not_hold_what_its_parent_closes),
        CASE(a_relative_path_is_looked_up_once), CASE(the_root_directory_is_as_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
