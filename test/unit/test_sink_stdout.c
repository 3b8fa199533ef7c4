/* The stdout sink: whoever reads the pipe sets the pace, and is told from nobody. */
#include "check.h"

#include "sink_world.h"
#include <fcntl.h>
#include <unistd.h>

static const struct log_partition source = { 7, 0 };

struct pipe_world {
    struct sink_world world;
    int reader, kept_stdout;
    struct sink *sink;
};

/* Standard output is a pipe while a test runs. */
static int open_state(void **state)
{
    struct pipe_world *p = calloc(1, sizeof(*p));
    int ends[2];
    world_open(&p->world);
    fflush(stdout);
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 16384) >= 16384);
    p->reader = ends[0];
    p->kept_stdout = dup(1);
    dup2(ends[1], 1);
    close(ends[1]);
    struct stdout_sink_options options = { .io = p->world.io, .name = "sink", .write_ns = 20 * NS_PER_MS };
    assert_int_equal(stdout_sink_open(&options, &p->sink, &p->world.err), NEAP_OK);
    world_add(&p->world, p->sink);
    *state = p;
    return 0;
}

static int close_state(void **state)
{
    struct pipe_world *p = *state;
    world_drop(&p->world, p->sink);
    dup2(p->kept_stdout, 1);
    close(p->kept_stdout);
    if (p->reader >= 0)
        close(p->reader);
    world_close(&p->world);
    free(p);
    return 0;
}

static size_t read_some(struct pipe_world *p, char *to, size_t size)
{
    assert_int_equal(fcntl(p->reader, F_SETFL, O_NONBLOCK), 0);
    ssize_t got = read(p->reader, to, size);
    return got > 0 ? (size_t)got : 0;
}

static void lines_come_out_in_order(void **state)
{
    struct pipe_world *p = *state;
    struct sink_recover r = world_recover(&p->world, p->sink, source, 1, false);
    assert_int_equal(r.status, NEAP_OK);
    assert_false(r.row.found || r.rows_there);
    struct landing *l = landing_new(&p->world, p->sink, source);
    landing_add(l, 0, "{\"n\":0}");
    landing_add(l, 1, "{\"n\":1}");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l);
    landing_add(l, 2, "[2]");
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_int_equal(l->batch.op_count, 0);
    char text[256];
    size_t size = read_some(p, text, sizeof(text) - 1);
    text[size] = '\0';
    assert_string_equal(text, "{\"n\":0}\n{\"n\":1}\n[2]\n");
    landing_free(&l);
}

static void a_reader_that_pauses_is_waited_for_and_gets_no_line_twice(void **state)
{
    struct pipe_world *p = *state;
    struct landing *l = landing_new(&p->world, p->sink, source);
    static char expected[65536], text[65536];
    size_t size = 0, got = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        char json[64];
        int n = snprintf(json, sizeof(json), "{\"number\":%llu}", (unsigned long long)i);
        landing_add(l, i, json);
        memcpy(expected + size, json, (size_t)n);
        expected[size + (size_t)n] = '\n';
        size += (size_t)n + 1;
    }
    enum neap_status status;
    uint32_t timeout_count = 0;
    while ((status = landing_land(l)) == NEAP_TIMEOUT) {
        timeout_count++;
        assert_non_null(strstr(l->batch.error.text, "nobody read it"));
        got += read_some(p, text + got, sizeof(text) - got);
    }
    assert_int_equal(status, NEAP_OK);
    got += read_some(p, text + got, sizeof(text) - got);
    assert_true(timeout_count > 0);
    assert_int_equal(got, size);
    assert_memory_equal(text, expected, size);
    landing_free(&l);
}

/* Two partitions and a pipe that is too small for either: their batches take turns, and no line is ever torn or repeated. */
static void lines_of_two_partitions_are_whole_whoever_waits(void **state)
{
    struct pipe_world *p = *state;
    static char text[400000];
    static bool seen[2][3000];
    struct landing *l[2];
    enum neap_status status[2] = { NEAP_TIMEOUT, NEAP_TIMEOUT };
    size_t got = 0;
    uint32_t timeout_count = 0, torn_count = 0;
    for (uint32_t i = 0; i < 2; i++) {
        l[i] = landing_new(&p->world, p->sink, (struct log_partition){ 7, i });
        for (uint64_t n = 0; n < 3000; n++) {
            char json[64];
            snprintf(json, sizeof(json), "{\"partition\":%u,\"number\":%llu}", i, (unsigned long long)n);
            landing_add(l[i], n, json);
        }
    }
    for (uint32_t turn = 0; status[0] != NEAP_OK || status[1] != NEAP_OK; turn++) {
        uint32_t i = turn % 2;
        if (status[i] == NEAP_OK)
            continue;
        status[i] = landing_land(l[i]);
        timeout_count += status[i] == NEAP_TIMEOUT;
        got += read_some(p, text + got, 5001); /* and a little more room than a whole number of lines takes */
        torn_count += got > 0 && text[got - 1] != '\n';
        assert_true(got + 5001 < sizeof(text));
    }
    for (size_t more; (more = read_some(p, text + got, sizeof(text) - got - 1)) > 0;)
        got += more;
    text[got] = '\0';
    assert_true(timeout_count > 2 && torn_count > 0);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned partition, number;
        char end;
        assert_int_equal(sscanf(line, "{\"partition\":%u,\"number\":%u%c", &partition, &number, &end), 3);
        assert_true(end == '}' && partition < 2 && number < 3000 && !seen[partition][number]);
        seen[partition][number] = true;
    }
    for (uint32_t i = 0; i < 3000; i++)
        assert_true(seen[0][i] && seen[1][i]);
    landing_free(&l[0]);
    landing_free(&l[1]);
}

static void a_reader_that_left_stops_us(void **state)
{
    struct pipe_world *p = *state;
    close(p->reader);
    p->reader = -1;
    struct landing *l = landing_new(&p->world, p->sink, source);
    landing_add(l, 0, "{}");
    assert_int_equal(landing_land(l), NEAP_CLOSED);
    assert_string_equal(l->batch.error.text, "standard output: its reader has gone (broken pipe)");
    landing_free(&l);
}

int main(void)
{
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, open_state, close_state)
    const struct CMUnitTest tests[] = {
        TEST_OF(lines_come_out_in_order),
        TEST_OF(a_reader_that_pauses_is_waited_for_and_gets_no_line_twice),
        TEST_OF(lines_of_two_partitions_are_whole_whoever_waits),
        TEST_OF(a_reader_that_left_stops_us),
    };
    return cmocka_run_group_tests_name("sink_stdout", tests, NULL, NULL);
}
