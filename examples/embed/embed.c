/* embed.c - Neap inside a C program: durable appends, and a consumer that goes on where it was.
 *
 *     embed DATA append COUNT      appends COUNT events, and prints each one's number once it is durable
 *     embed DATA read              prints what it has not printed before; its place is the group "embed"
 *     embed DATA run FILE          runs a pipeline file to its end; its stage `plugin: {symbol: double}` is ours */
#include <neap/neap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS      10000
#define COMMIT_COUNT 100

static int complain(const struct neap_error *err)
{
    fprintf(stderr, "embed: %s (%s)\n", err->text, neap_status_text(err->status));
    return 1;
}

static void say(void *ctx, const char *line, size_t size)
{
    (void)ctx;
    fprintf(stderr, "%.*s\n", (int)size, line);
}

/* ---- append -------------------------------------------------------------------------------------------------------- */

static unsigned long durable_count;

/* On our own thread, inside neap_writer_work() or a call that waits. */
static void appended(void *ctx, const struct neap_outcome *outcome)
{
    if (outcome->status != NEAP_OK) {
        fprintf(stderr, "embed: event %lu: %s\n", (unsigned long)ctx, neap_status_text(outcome->status));
        exit(1);
    }
    printf("durable %lu\n", (unsigned long)ctx); /* a program would answer its client here */
    durable_count++;
}

static int append(struct neap_writer *writer, struct neap_topic *topic, unsigned long count)
{
    char value[64], key[16];
    for (unsigned long i = 0; i < count;) {
        struct neap_event event = {
            .key = { key, (size_t)snprintf(key, sizeof key, "key-%lu", i % 10) },
            .value = { value, (size_t)snprintf(value, sizeof value, "{\"number\":%lu}", i) },
        };
        switch (neap_append(writer, topic, NEAP_BY_KEY, &event, 1, appended, (void *)i)) {
        case NEAP_OK: /* the event has been copied */
            i++;
            neap_writer_work(writer);
            fflush(stdout);
            break;
        case NEAP_AGAIN: /* backpressure: let some be answered, then the same event again */
            if (neap_writer_wait(writer, WAIT_MS) == NEAP_OK)
                break;
            /* fall through */
        default:
            fprintf(stderr, "embed: cannot append\n");
            return 1;
        }
    }
    return neap_writer_flush(writer, WAIT_MS) == NEAP_OK && durable_count == count ? 0 : 1;
}

/* ---- read ---------------------------------------------------------------------------------------------------------- */

/* Commits are answered like appends: what runs their completions makes room for more. */
static enum neap_status commit(struct neap_writer *writer, struct neap_topic *topic, uint64_t next)
{
    enum neap_status status;
    neap_writer_work(writer);
    while ((status = neap_commit(writer, "embed", topic, 0, next, NULL, NULL)) == NEAP_AGAIN)
        if (neap_writer_wait(writer, WAIT_MS) != NEAP_OK)
            break;
    return status;
}

static int read_new(struct neap *neap, struct neap_writer *writer, struct neap_topic *topic)
{
    struct neap_error err;
    struct neap_reader *reader;
    struct neap_record record;
    enum neap_status status, kept = NEAP_OK;
    uint64_t next = 0;
    neap_committed(neap, "embed", topic, 0, &next); /* not found: from the beginning */
    if (neap_reader_open(neap, topic, 0, next, &reader, &err) != NEAP_OK)
        return complain(&err);
    while (kept == NEAP_OK && (status = neap_reader_next(reader, 0, &record, &err)) == NEAP_OK) {
        printf("%llu %.*s\n", (unsigned long long)record.offset, (int)record.event.value.size,
               (const char *)record.event.value.at);
        next = record.offset + 1;
        if (next % COMMIT_COUNT ==
            0) /* what is printed again after a crash is at most what came after the last commit */
            kept = commit(writer, topic, next);
    }
    neap_reader_close(&reader);
    fflush(stdout);
    if (kept == NEAP_OK && status != NEAP_AGAIN)
        return complain(&err);
    if (kept == NEAP_OK)
        kept = neap_commit_wait(writer, "embed", topic, 0, next, WAIT_MS);
    if (kept != NEAP_OK)
        fprintf(stderr, "embed: cannot commit: %s\n", neap_status_text(kept));
    return kept == NEAP_OK ? 0 : 1;
}

/* ---- run ----------------------------------------------------------------------------------------------------------- */

/* On a thread of Neap's: adds a field to every event, and fails those that have no number. */
static enum neap_verdict twice(void *ctx, const struct neap_handled *handled, struct neap_call *call)
{
    unsigned long number;
    char value[64];
    (void)ctx;
    if (handled->event.value.size >= sizeof value)
        return NEAP_FAIL;
    memcpy(value, handled->event.value.at, handled->event.value.size);
    value[handled->event.value.size] = '\0';
    if (sscanf(value, "{\"number\":%lu}", &number) != 1) {
        neap_call_reason(call, "it has no number");
        return NEAP_FAIL;
    }
    int size = snprintf(value, sizeof value, "{\"number\":%lu,\"double\":%lu}", number, 2 * number);
    neap_call_emit(call, (struct neap_bytes){ value, (size_t)size });
    return NEAP_KEEP;
}

static int run_file(struct neap *neap, const char *file)
{
    struct neap_error err;
    struct neap_run *run;
    neap_handler_register(neap, "double", twice, NULL);
    if (neap_run_open(neap, file, &(struct neap_run_options){ .until_idle = true }, &run, &err) != NEAP_OK)
        return complain(&err);
    enum neap_status status = neap_run_wait(run, NEAP_FOREVER, &err);
    for (uint32_t i = 0; i < neap_run_pipeline_count(run); i++) {
        struct neap_figures f;
        neap_run_figures(run, i, &f);
        printf("%s: accepted %llu, filtered %llu, delivered %llu, dead letters %llu, in flight %llu\n", f.pipeline,
               (unsigned long long)f.total.accepted, (unsigned long long)f.total.filtered,
               (unsigned long long)f.total.delivered, (unsigned long long)f.total.dead_lettered,
               (unsigned long long)f.in_flight);
    }
    neap_run_close(&run);
    return status == NEAP_OK ? 0 : complain(&err);
}

/* ---- the program --------------------------------------------------------------------------------------------------- */

static int work(struct neap *neap, struct neap_writer *writer, int argc, char **argv)
{
    struct neap_error err;
    struct neap_topic *topic;
    if (neap_topic_open(writer, "numbers", 1, WAIT_MS, &topic, &err) != NEAP_OK)
        return complain(&err);
    int code = 2;
    if (argc == 4 && strcmp(argv[2], "append") == 0)
        code = append(writer, topic, strtoul(argv[3], NULL, 10));
    else if (argc == 3 && strcmp(argv[2], "read") == 0)
        code = read_new(neap, writer, topic);
    else if (argc == 4 && strcmp(argv[2], "run") == 0)
        code = run_file(neap, argv[3]);
    neap_topic_close(&topic);
    return code;
}

int main(int argc, char **argv)
{
    struct neap_error err;
    struct neap *neap;
    struct neap_writer *writer;
    if (argc < 3) {
        fprintf(stderr, "usage: embed DATA append COUNT | embed DATA read | embed DATA run FILE\n");
        return 2;
    }
    struct neap_options options = { .path = argv[1], .disk_size = 64u << 20, .log = say, .log_level = NEAP_LOG_WARN };
    if (neap_open(&options, &neap, &err) != NEAP_OK)
        return complain(&err);
    if (neap_writer_open(neap, NULL, &writer, &err) != NEAP_OK)
        return complain(&err);
    int code = work(neap, writer, argc, argv);
    if (neap_writer_close(&writer, WAIT_MS) != NEAP_OK || neap_close(&neap) != NEAP_OK)
        return 1;
    return code;
}
