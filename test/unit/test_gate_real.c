/* A source at the real door: its own thread, a real pipe, a real file of 100 MB. What may happen to files is tested in
 * test_gate.c, where time and disk obey. */
#include "log_bench.h"

#include "flow/dead_letter.h"
#include "gate/gate.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

static struct bench b;
static _Atomic uint32_t ended_count;

static void ended(void *ctx)
{
    (void)ctx;
    ended_count++;
}

static struct gate *open_gate(const char *path, uint32_t topic_id, uint32_t dead_id)
{
    struct gate_options options = { .log = b.log,
                                    .pipeline = "p",
                                    .pipeline_file = "neap.yaml",
                                    .path = path,
                                    .id = { "event.id", 1, 1 },
                                    .topic = "events",
                                    .topic_id = topic_id,
                                    .partition_count = 3,
                                    .dead_topic_id = dead_id,
                                    .ended = ended };
    struct gate *gate = NULL;
    ended_count = 0;
    assert_int_equal(gate_open(b.io, &options, &gate, &b.err), NEAP_OK);
    return gate;
}

static struct gate_figures wait_for_end(struct gate *gate)
{
    struct gate_figures figures;
    for (int i = 0; i < 60000 && ended_count == 0; i++)
        usleep(1000);
    assert_int_equal(ended_count, 1);
    gate_figures(gate, &figures, &b.err);
    if (figures.state == GATE_FAILED)
        print_message("%s\n", b.err.text);
    return figures;
}

static uint64_t count_records(uint32_t topic_id, uint32_t partitions)
{
    uint64_t count = 0;
    for (uint32_t p = 0; p < partitions; p++) {
        log_offset end;
        assert_int_equal(log_partition_end(b.log, (struct log_partition){ topic_id, p }, &end), NEAP_OK);
        count += end.n;
    }
    return count;
}

#define FED_COUNT 20000u

static void *feed(void *ctx)
{
    int fd = *(int *)ctx;
    FILE *f = fdopen(fd, "w");
    must(f != NULL);
    for (uint32_t i = 0; i < FED_COUNT; i++)
        fprintf(f, "{\"id\":%u}\n", i);
    fclose(f);
    return NULL;
}

static void standard_input_through_a_pipe(void **state)
{
    (void)state;
    int pipes[2], before = dup(0);
    pthread_t feeder;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(dup2(pipes[0], 0), 0);
    close(pipes[0]);
    b = bench_new(4u << 20);
    b.options.tail_size = 4u << 20;
    bench_open(&b);
    uint32_t events = topic(&b, "events", 3), dead = topic(&b, "dead", 1);
    struct gate *gate = open_gate(NULL, events, dead);
    assert_int_equal(pthread_create(&feeder, NULL, feed, &pipes[1]), 0);
    struct gate_figures figures = wait_for_end(gate);
    assert_int_equal(figures.state, GATE_DONE);
    pthread_join(feeder, NULL);
    assert_int_equal(figures.total.accepted, FED_COUNT);
    assert_int_equal(count_records(events, 3), FED_COUNT);
    gate_close(&gate);
    assert_int_equal(dup2(before, 0), 0);
    close(before);
    bench_end(&b);
}

/* A hundred million bytes without a newline, then an event: one dead letter, one event, little memory. */
static void a_line_of_a_hundred_megabytes(void **state)
{
    (void)state;
    char path[128];
    b = bench_new(4u << 20);
    b.options.tail_size = 4u << 20;
    bench_open(&b);
    uint32_t events = topic(&b, "events", 3), dead = topic(&b, "dead", 1);
    snprintf(path, sizeof(path), "%s/huge.ndjson", b.path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 100000000) == 0); /* zeros, of which the disk holds none */
    static const char tail[] = "\n{\"id\":1}\n";
    assert_int_equal(pwrite(fd, tail, sizeof(tail) - 1, 100000000), sizeof(tail) - 1);
    close(fd);
    struct gate *gate = open_gate(path, events, dead);
    struct gate_figures figures = wait_for_end(gate);
    assert_int_equal(figures.total.accepted, 2);
    assert_int_equal(figures.total.dead_lettered, 1);
    assert_int_equal(figures.position, 100000000 + sizeof(tail) - 1);
    gate_close(&gate);
    struct log_reader *reader;
    struct log_batch from;
    struct batch batch;
    struct record record;
    struct dead_letter_view view;
    assert_int_equal(log_reader_open(b.log, (struct log_partition){ dead, 0 }, (log_offset){ 0 }, 65536, &reader,
                                     &b.err),
                     NEAP_OK);
    assert_int_equal(log_reader_next(reader, &from, &b.err), NEAP_OK);
    assert_int_equal(batch_open(from.bytes, true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
    assert_int_equal(view.full_size, 100000000);
    assert_int_equal(view.line, 1);
    assert_int_equal(record.value.size, DEAD_LETTER_VALUE_SIZE_MAX);
    log_reader_close(&reader);
    bench_end(&b);
}

static void closing_at_any_time(void **state)
{
    (void)state;
    char path[128];
    uint64_t seed = 3;
    b = bench_new(4u << 20);
    b.options.tail_size = 4u << 20;
    bench_open(&b);
    uint32_t events = topic(&b, "events", 3), dead = topic(&b, "dead", 1);
    snprintf(path, sizeof(path), "%s/events.ndjson", b.path);
    FILE *f = fopen(path, "w");
    for (uint32_t i = 0; i < 50000; i++)
        fprintf(f, "{\"id\":%u}\n", i);
    fclose(f);
    bool done = false;
    for (int round = 0; !done; round++) {
        assert_true(round < 2000);
        struct gate *gate = open_gate(path, events, dead);
        usleep((useconds_t)chance_below(&seed, 4000));
        struct gate_figures figures;
        gate_figures(gate, &figures, NULL);
        done = figures.state == GATE_DONE;
        gate_close(&gate);
        assert_int_equal(ended_count, 1);
    }
    assert_int_equal(count_records(events, 3), 50000);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_input_through_a_pipe),
        cmocka_unit_test(a_line_of_a_hundred_megabytes),
        cmocka_unit_test(closing_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
