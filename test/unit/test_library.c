/* What the C interface promises: appends against a plain list of what was given, readers, commits, misuse, many threads. */
#include "library_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct neap_bytes text(const char *t)
{
    return (struct neap_bytes){ t, strlen(t) };
}

static bool is_text(struct neap_bytes b, const char *t)
{
    return b.size == strlen(t) && memcmp(b.at, t, b.size) == 0;
}

/* ---- one event ----------------------------------------------------------------------------------------------------- */

static void test_round_trip(void **state)
{
    struct world *w = *state;
    open_all(w, 0);
    struct neap_header headers[] = { { NEAP_TEXT("trace"), NEAP_TEXT("4711") }, { NEAP_TEXT("none"), { NULL, 0 } } };
    struct neap_event event = { .key = NEAP_TEXT("k"),
                                .value = NEAP_TEXT("{\"n\":1}"),
                                .id = NEAP_TEXT("id-1"),
                                .headers = headers,
                                .header_count = 2,
                                .time_ms = 1700000000123 };
    struct neap_place place = { 0 };
    assert_int_equal(neap_append_wait(w->writer, w->topic, NEAP_BY_KEY, &event, 1, SOON_MS, &place), NEAP_OK);
    assert_int_equal(place.offset, 0);
    assert_int_equal(place.count, 1);
    struct neap_event bare = { .value = NEAP_TEXT("") };
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &bare, 1, SOON_MS, NULL), NEAP_OK);

    struct neap_reader *reader;
    struct neap_record record;
    assert_int_equal(neap_reader_open(w->neap, w->topic, 0, 0, &reader, &w->err), NEAP_OK);
    assert_int_equal(neap_reader_next(reader, 0, &record, &w->err), NEAP_OK);
    assert_true(is_text(record.event.key, "k") && is_text(record.event.value, "{\"n\":1}"));
    assert_true(is_text(record.event.id, "id-1"));
    assert_int_equal(record.event.header_count, 3);
    assert_true(is_text(record.event.headers[0].name, "trace") && is_text(record.event.headers[0].value, "4711"));
    assert_null(record.event.headers[1].value.at);
    assert_int_equal(record.event.time_ms, 1700000000123);
    assert_int_equal(neap_reader_next(reader, 0, &record, &w->err), NEAP_OK);
    assert_int_equal(record.offset, 1);
    assert_null(record.event.key.at);
    assert_non_null(record.event.value.at);
    assert_int_equal(record.event.value.size, 0);
    assert_true(record.event.time_ms > 1700000000123); /* now */
    assert_int_equal(neap_reader_next(reader, 0, &record, &w->err), NEAP_AGAIN);
    assert_int_equal(neap_reader_next(reader, 30, &record, &w->err), NEAP_AGAIN);
    assert_int_equal(neap_reader_seek(reader, 1), NEAP_OK);
    assert_int_equal(neap_reader_next(reader, 0, &record, NULL), NEAP_OK);
    assert_int_equal(record.offset, 1);
    neap_reader_close(&reader);
}

/* ---- many, against a model ------------------------------------------------------------------------------------------- */

#define MODEL_COUNT 6000u

struct model { /* what was given, per key */
    uint32_t given[16], seen[16];
    uint32_t partition[16];
    uint32_t done_calls, calls, placed;
    uint32_t again;
    struct world *w;
};

static void model_done(void *ctx, const struct neap_outcome *outcome)
{
    struct model *m = ctx;
    assert_int_equal(outcome->status, NEAP_OK);
    for (uint32_t i = 0; i < outcome->place_count; i++)
        m->placed += outcome->places[i].count;
    m->done_calls++;
}

static void append_model(struct model *m, uint64_t *seed, uint32_t total)
{
    struct neap_event events[64];
    char keys[64][8], values[64][32];
    for (uint32_t given = 0; given < total;) {
        uint32_t count = 1 + (uint32_t)chance_below(seed, 64), next[16];
        count = count < total - given ? count : total - given;
        memcpy(next, m->given, sizeof next);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t key = (uint32_t)chance_below(seed, 16);
            snprintf(keys[i], sizeof keys[i], "k%u", key);
            snprintf(values[i], sizeof values[i], "%u", next[key]++);
            events[i] = (struct neap_event){ .key = text(keys[i]), .value = text(values[i]) };
        }
        enum neap_status status = neap_append(m->w->writer, m->w->topic, NEAP_BY_KEY, events, count, model_done, m);
        if (status == NEAP_AGAIN) { /* nothing has changed: the same events again */
            m->again++;
            assert_int_equal(neap_writer_wait(m->w->writer, SOON_MS), NEAP_OK);
            continue;
        }
        assert_int_equal(status, NEAP_OK);
        memcpy(m->given, next, sizeof next);
        memset(events, 0xff, sizeof events); /* they were ours again when the call returned */
        memset(values, 'x', sizeof values);
        m->calls++;
        given += count;
    }
}

static void read_model(struct model *m)
{
    for (uint32_t p = 0; p < neap_topic_partition_count(m->w->topic); p++) {
        struct neap_reader *reader;
        struct neap_record record;
        uint64_t offset = 0, end;
        enum neap_status status;
        assert_int_equal(neap_topic_end(m->w->topic, p, &end), NEAP_OK);
        assert_int_equal(neap_reader_open(m->w->neap, m->w->topic, p, 0, &reader, &m->w->err), NEAP_OK);
        while ((status = neap_reader_next(reader, 0, &record, &m->w->err)) == NEAP_OK) {
            char key[8] = { 0 }, value[32] = { 0 };
            memcpy(key, record.event.key.at, record.event.key.size);
            memcpy(value, record.event.value.at, record.event.value.size);
            uint32_t k = (uint32_t)atoi(key + 1);
            if (m->seen[k] == 0)
                m->partition[k] = p;
            assert_int_equal(m->partition[k], p);
            assert_int_equal(atoi(value), m->seen[k]++); /* in the order given, each once */
            assert_int_equal(record.offset, offset++);
        }
        assert_int_equal(status, NEAP_AGAIN);
        assert_int_equal(offset, end);
        neap_reader_close(&reader);
    }
    for (uint32_t k = 0; k < 16; k++)
        assert_int_equal(m->seen[k], m->given[k]);
}

static void model_run(struct world *w, uint32_t partitions, const struct neap_writer_options *options)
{
    uint64_t seed = 4711;
    struct model m = { .w = w };
    w->neap = open_at(w, "data");
    assert_int_equal(neap_writer_open(w->neap, options, &w->writer, &w->err), NEAP_OK);
    assert_int_equal(neap_topic_open(w->writer, "orders", partitions, SOON_MS, &w->topic, &w->err), NEAP_OK);
    append_model(&m, &seed, MODEL_COUNT);
    assert_int_equal(neap_writer_flush(w->writer, SOON_MS), NEAP_OK);
    assert_int_equal(m.done_calls, m.calls);
    assert_int_equal(m.placed, MODEL_COUNT);
    assert_int_equal(neap_writer_inflight(w->writer), 0);
    if (options != NULL)
        assert_true(m.again > 0); /* it was small enough to be full at times */
    close_all(w);
    w->neap = open_at(w, "data"); /* all of it is there after a start */
    assert_int_equal(neap_topic_find(w->neap, "orders", &w->topic, &w->err), NEAP_OK);
    read_model(&m);
}

static void test_model(void **state)
{
    model_run(*state, 5, NULL);
}

static void test_model_one_partition_small_ring(void **state)
{
    model_run(*state, 1, &(struct neap_writer_options){ .inflight_count_max = 7, .buffer_size = 64u << 10 });
}

static void test_model_small_ring(void **state)
{
    model_run(*state, 9, &(struct neap_writer_options){ .inflight_count_max = 3 });
}

/* ---- events without key or id go round --------------------------------------------------------------------------------- */

static void test_keyless(void **state)
{
    struct world *w = *state;
    open_all(w, 3);
    struct neap_event events[2] = { { .value = NEAP_TEXT("1") }, { .value = NEAP_TEXT("2") } };
    for (uint32_t i = 0; i < 6; i++) {
        struct neap_place place;
        assert_int_equal(neap_append_wait(w->writer, w->topic, NEAP_BY_KEY, events, 2, SOON_MS, &place), NEAP_OK);
        assert_int_equal(place.partition, i % 3);
        assert_int_equal(place.count, 2);
        assert_int_equal(place.offset, i / 3 * 2);
    }
}

/* ---- completions, and whoever has a loop of its own ---------------------------------------------------------------------- */

struct chain {
    struct world *w;
    uint32_t left, done;
    pthread_t thread;
};

static void chain_done(void *ctx, const struct neap_outcome *outcome)
{
    struct chain *c = ctx;
    struct neap_event event = { .value = NEAP_TEXT("again") };
    assert_int_equal(outcome->status, NEAP_OK);
    assert_true(pthread_equal(pthread_self(), c->thread));
    c->done++;
    /* no waiting in a completion */
    assert_int_equal(neap_append_wait(c->w->writer, c->w->topic, 0, &event, 1, 10, NULL), NEAP_MISUSE);
    assert_int_equal(neap_writer_flush(c->w->writer, 10), NEAP_MISUSE);
    struct neap_writer *same = c->w->writer;
    assert_int_equal(neap_writer_close(&same, 10), NEAP_MISUSE);
    assert_int_equal(neap_writer_work(c->w->writer), 0);
    if (c->left-- > 0)
        assert_int_equal(neap_append(c->w->writer, c->w->topic, 0, &event, 1, chain_done, c), NEAP_OK);
}

static void test_descriptor(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    int fd = -1, same = -1;
    struct chain c = { .w = w, .left = 200, .thread = pthread_self() };
    assert_int_equal(neap_writer_descriptor(w->writer, &fd, &w->err), NEAP_OK);
    assert_int_equal(neap_writer_descriptor(w->writer, &same, &w->err), NEAP_OK);
    assert_int_equal(fd, same);
    struct neap_event event = { .value = NEAP_TEXT("first") };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, chain_done, &c), NEAP_OK);
    while (c.done < 201) { /* never woken but by the descriptor: a missing mark hangs here */
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, SOON_MS), 1);
        neap_writer_work(w->writer);
    }
    /* after a wait on the writer the descriptor still tells of what comes later */
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    c.left = 0;
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, chain_done, &c), NEAP_OK);
    while (c.done < 202) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, SOON_MS), 1);
        neap_writer_work(w->writer);
    }
}

static void test_reader_descriptor(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    struct neap_reader *reader;
    struct neap_record record;
    struct neap_event event = { .value = NEAP_TEXT("x") };
    int fd;
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    assert_int_equal(neap_reader_open(w->neap, w->topic, 0, NEAP_END, &reader, &w->err), NEAP_OK);
    assert_int_equal(neap_reader_descriptor(reader, &fd, &w->err), NEAP_OK);
    for (uint64_t i = 1; i < 100; i++) {
        assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_OK);
        enum neap_status status;
        while ((status = neap_reader_next(reader, 0, &record, &w->err)) == NEAP_AGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLIN };
            assert_int_equal(poll(&p, 1, SOON_MS), 1);
        }
        assert_int_equal(status, NEAP_OK);
        assert_int_equal(record.offset, i);
    }
    neap_reader_close(&reader);
}

/* ---- threads --------------------------------------------------------------------------------------------------------- */

#define THREAD_COUNT  4u
#define THREAD_EVENTS 1500u

struct producer {
    struct world *w;
    uint32_t number, done;
    pthread_t thread;
};

static void producer_done(void *ctx, const struct neap_outcome *outcome)
{
    struct producer *p = ctx;
    assert_int_equal(outcome->status, NEAP_OK);
    assert_true(pthread_equal(pthread_self(), p->thread));
    p->done++;
}

static void *produce(void *ctx)
{
    struct producer *p = ctx;
    struct neap_writer *writer;
    char key[8], value[32];
    p->thread = pthread_self();
    assert_int_equal(neap_writer_open(p->w->neap, NULL, &writer, NULL), NEAP_OK);
    snprintf(key, sizeof key, "k%u", p->number);
    for (uint32_t i = 0; i < THREAD_EVENTS;) {
        snprintf(value, sizeof value, "%u", i);
        struct neap_event event = { .key = text(key), .value = text(value) };
        enum neap_status status = neap_append(writer, p->w->topic, NEAP_BY_KEY, &event, 1, producer_done, p);
        assert_true(status == NEAP_OK || status == NEAP_AGAIN);
        i += status == NEAP_OK;
        if (status == NEAP_AGAIN)
            assert_int_equal(neap_writer_wait(writer, SOON_MS), NEAP_OK);
    }
    assert_int_equal(neap_writer_close(&writer, SOON_MS), NEAP_OK);
    assert_int_equal(p->done, THREAD_EVENTS);
    return NULL;
}

static void *consume(void *ctx)
{
    struct producer *p = ctx; /* number: the partition */
    struct neap_reader *reader;
    struct neap_record record;
    assert_int_equal(neap_reader_open(p->w->neap, p->w->topic, p->number, 0, &reader, NULL), NEAP_OK);
    while (neap_reader_next(reader, SOON_MS, &record, NULL) == NEAP_OK && !is_text(record.event.value, "stop"))
        assert_int_equal(record.offset, p->done++);
    neap_reader_close(&reader);
    return NULL;
}

static void test_threads(void **state)
{
    struct world *w = *state;
    open_all(w, 2);
    struct producer producers[THREAD_COUNT], consumers[2];
    pthread_t threads[THREAD_COUNT], readers[2];
    for (uint32_t i = 0; i < 2; i++) {
        consumers[i] = (struct producer){ .w = w, .number = i };
        assert_int_equal(pthread_create(&readers[i], NULL, consume, &consumers[i]), 0);
    }
    for (uint32_t i = 0; i < THREAD_COUNT; i++) {
        producers[i] = (struct producer){ .w = w, .number = i };
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_join(threads[i], NULL);
    struct neap_event stop = { .value = NEAP_TEXT("stop") };
    for (int32_t i = 0; i < 2; i++)
        assert_int_equal(neap_append_wait(w->writer, w->topic, i, &stop, 1, SOON_MS, NULL), NEAP_OK);
    for (uint32_t i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(consumers[0].done + consumers[1].done, THREAD_COUNT * THREAD_EVENTS);
}

static void *misuse_writer(void *ctx)
{
    struct world *w = ctx;
    struct neap_event event = { .value = NEAP_TEXT("x") };
    return (void *)(intptr_t)neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL);
}

static void from_inside(void *ctx, const struct neap_outcome *outcome)
{
    (void)outcome;
    void *answer;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, misuse_writer, ctx), 0);
    pthread_join(thread, &answer);
    assert_int_equal((intptr_t)answer, NEAP_MISUSE); /* this thread is in the writer */
}

static void test_two_threads_at_once(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    struct neap_event event = { .value = NEAP_TEXT("x") };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, from_inside, w), NEAP_OK);
    assert_int_equal(neap_writer_flush(w->writer, SOON_MS), NEAP_OK);
}

/* ---- commits ----------------------------------------------------------------------------------------------------------- */

static void test_commit(void **state)
{
    struct world *w = *state;
    open_all(w, 2);
    uint64_t offset = 99;
    assert_int_equal(neap_committed(w->neap, "workers", w->topic, 1, &offset), NEAP_NOTFOUND);
    assert_int_equal(offset, 99);
    assert_int_equal(neap_commit_wait(w->writer, "workers", w->topic, 1, 17, SOON_MS), NEAP_OK);
    assert_int_equal(neap_committed(w->neap, "workers", w->topic, 1, &offset), NEAP_OK);
    assert_int_equal(offset, 17);
    assert_int_equal(neap_commit(w->writer, "workers", w->topic, 1, 18, NULL, NULL), NEAP_OK);
    assert_int_equal(neap_commit_wait(w->writer, "others", w->topic, 0, 3, SOON_MS), NEAP_OK);
    close_all(w);
    w->neap = open_at(w, "data");
    assert_int_equal(neap_topic_find(w->neap, "orders", &w->topic, &w->err), NEAP_OK);
    assert_int_equal(neap_committed(w->neap, "workers", w->topic, 1, &offset), NEAP_OK);
    assert_int_equal(offset, 18);
    assert_int_equal(neap_committed(w->neap, "others", w->topic, 0, &offset), NEAP_OK);
    assert_int_equal(offset, 3);
    assert_int_equal(neap_committed(w->neap, "others", w->topic, 1, &offset), NEAP_NOTFOUND);
    assert_int_equal(neap_committed(w->neap, "others", w->topic, 7, &offset), NEAP_NOTFOUND);
}

/* ---- misuse ------------------------------------------------------------------------------------------------------------ */

static void test_misuse(void **state)
{
    struct world *w = *state;
    open_all(w, 2);
    struct neap *none = NULL, *second = NULL;
    struct neap_event event = { .value = NEAP_TEXT("x") };
    struct neap_record record;
    /* a closed handle is NULL, and NULL is said to be one */
    assert_int_equal(neap_close(&none), NEAP_OK);
    assert_int_equal(neap_close(NULL), NEAP_MISUSE);
    assert_int_equal(neap_health(none, &w->err), NEAP_MISUSE);
    assert_int_equal(neap_writer_open(none, NULL, &w->writer, &w->err), NEAP_MISUSE);
    assert_int_equal(neap_append(NULL, w->topic, 0, &event, 1, NULL, NULL), NEAP_MISUSE);
    assert_int_equal(neap_reader_next(NULL, 0, &record, &w->err), NEAP_MISUSE);
    /* what is open holds the handle open */
    assert_int_equal(neap_close(&w->neap), NEAP_MISUSE);
    assert_non_null(w->neap);
    /* somebody has it */
    struct neap_options options = { .path = scratch_path(&w->scratch, "data") };
    assert_int_equal(neap_open(&options, &second, &w->err), NEAP_HELD);
    assert_non_null(strstr(w->err.text, options.path));
    options.memory_size = 1;
    assert_int_equal(neap_open(&options, &second, &w->err), NEAP_MISUSE);
    assert_int_equal(neap_open(&(struct neap_options){ .path = NULL }, &second, &w->err), NEAP_MISUSE);
    assert_null(second);
    /* topics and partitions */
    struct neap_topic *topic = NULL;
    assert_int_equal(neap_topic_find(w->neap, "missing", &topic, &w->err), NEAP_NOTFOUND);
    assert_int_equal(neap_topic_open(w->writer, "or ders", 1, SOON_MS, &topic, &w->err), NEAP_MISUSE);
    assert_int_equal(neap_topic_open(w->writer, "orders", 3, SOON_MS, &topic, &w->err), NEAP_MISUSE);
    assert_int_equal(neap_topic_open(w->writer, "many", 1000000, SOON_MS, &topic, &w->err), NEAP_MISUSE);
    assert_null(topic);
    assert_int_equal(neap_append(w->writer, w->topic, 2, &event, 1, NULL, NULL), NEAP_NOTFOUND);
    assert_int_equal(neap_append(w->writer, w->topic, -2, &event, 1, NULL, NULL), NEAP_NOTFOUND);
    assert_int_equal(neap_append(w->writer, NULL, 0, &event, 1, NULL, NULL), NEAP_MISUSE);
    /* counts and sizes */
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 0, NULL, NULL), NEAP_MISUSE);
    assert_int_equal(neap_append(w->writer, w->topic, 0, NULL, 1, NULL, NULL), NEAP_MISUSE);
    event = (struct neap_event){ .value = { NULL, 5 } };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_MISUSE);
    event = (struct neap_event){ .value = NEAP_TEXT("x"), .header_count = 300 };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_MISUSE);
    assert_int_equal(neap_writer_inflight(w->writer), 0);
}

static void test_sizes(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    char *big = malloc(NEAP_EVENT_SIZE_MAX + 1);
    memset(big, 'x', NEAP_EVENT_SIZE_MAX + 1);
    struct neap_event events[8];
    for (uint32_t i = 0; i < 8; i++)
        events[i] = (struct neap_event){ .value = { big, NEAP_EVENT_SIZE_MAX } };
    struct neap_event over = { .key = NEAP_TEXT("k"), .value = { big, NEAP_EVENT_SIZE_MAX } };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &over, 1, NULL, NULL), NEAP_TOOLARGE);
    over = (struct neap_event){ .value = { big, SIZE_MAX } };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &over, 1, NULL, NULL), NEAP_TOOLARGE);
    assert_int_equal(neap_append(w->writer, w->topic, 0, events, 8, NULL, NULL), NEAP_TOOLARGE);
    for (uint32_t i = 0; i < 20; i++) /* three times round the ring */
        assert_int_equal(neap_append_wait(w->writer, w->topic, 0, events, 1, SOON_MS, NULL), NEAP_OK);
    struct neap_writer *small;
    assert_int_equal(neap_writer_open(w->neap, &(struct neap_writer_options){ .buffer_size = 64u << 10 }, &small,
                                      &w->err),
                     NEAP_OK);
    events[0].value.size = 64u << 10; /* with what is around it, over the ring */
    assert_int_equal(neap_append(small, w->topic, 0, events, 1, NULL, NULL), NEAP_TOOLARGE);
    events[0].value.size = 60000;
    assert_int_equal(neap_append(small, w->topic, 0, events, 1, NULL, NULL), NEAP_OK);
    enum neap_status status = neap_append(small, w->topic, 0, events, 1, NULL, NULL);
    assert_int_equal(status, NEAP_AGAIN); /* it will fit when the first one is answered */
    assert_int_equal(neap_append_wait(small, w->topic, 0, events, 1, SOON_MS, NULL), NEAP_OK);
    assert_int_equal(neap_writer_close(&small, SOON_MS), NEAP_OK);
    free(big);
}

static enum neap_status alter(struct world *w, uint32_t count, const struct log_topic_settings *settings)
{
    uint8_t room[LOG_SETTINGS_SIZE];
    struct log_client *client = NULL;
    struct log_op op = { .kind = LOG_TOPIC_ALTER, .target = { w->topic->topic.id, 0 }, .count = count };
    if (settings != NULL)
        op.payload = log_settings_encode(settings, room);
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_client_open(w->neap->log, &(struct log_client_options){ 0 }, &client, NULL), NEAP_OK);
    enum neap_status status = log_submit_wait(client, &unit, lib_deadline(w->neap, SOON_MS));
    log_client_close(&client);
    return status;
}

static enum neap_status grow(struct world *w, uint32_t count)
{
    return alter(w, count, NULL);
}

/* What a topic's settings do not let in is told so, also where they were changed under an open topic. */
static void test_a_topic_lets_in_what_it_says(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    static char value[5000];
    struct log_topic_settings s = LOG_SETTINGS_DEFAULT;
    struct neap_event event = { .value = { value, 900 } };
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    s.record_size_max = 1000;
    s.cleanup = LOG_CLEANUP_COMPACT;
    assert_int_equal(alter(w, 0, &s), NEAP_OK);
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_MISUSE);
    event.key = NEAP_TEXT("key");
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    event.value.size = 998;
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_TOOLARGE);
    event.value.size = 997;
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    struct neap_topic *again = NULL;
    assert_int_equal(neap_topic_find(w->neap, "orders", &again, &w->err), NEAP_OK);
    event.key = (struct neap_bytes){ NULL, 0 };
    assert_int_equal(neap_append(w->writer, again, 0, &event, 1, NULL, NULL), NEAP_MISUSE);
    neap_topic_close(&again);
    s = LOG_SETTINGS_DEFAULT;
    assert_int_equal(alter(w, 0, &s), NEAP_OK);
    event.value.size = sizeof value;
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
}

/* A key lies in one partition as long as anybody has the topic open: it is given no more of them meanwhile. */
static void test_a_key_stays_where_it_is(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    struct neap_topic *again = NULL;
    assert_int_equal(neap_topic_find(w->neap, "orders", &again, &w->err), NEAP_OK);
    assert_int_equal(grow(w, 4), NEAP_HELD);
    neap_topic_close(&again);
    assert_int_equal(grow(w, 4), NEAP_HELD);
    struct world other = { .topic = w->topic, .neap = w->neap };
    struct neap_topic held = *w->topic;
    neap_topic_close(&w->topic);
    other.topic = &held;
    assert_int_equal(grow(&other, 4), NEAP_OK);
    assert_int_equal(neap_topic_open(w->writer, "orders", 4, SOON_MS, &w->topic, &w->err), NEAP_OK);
    struct neap_event event = { .key = NEAP_TEXT("key3"), .value = NEAP_TEXT("x") };
    struct neap_place place;
    assert_int_equal(neap_append_wait(w->writer, w->topic, NEAP_BY_KEY, &event, 1, SOON_MS, &place), NEAP_OK);
}

/* ---- several, and the host's own business ---------------------------------------------------------------------------------- */

static void test_two_handles(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    struct neap *other = open_at(w, "other");
    struct neap_writer *writer;
    struct neap_topic *topic;
    struct neap_reader *reader;
    struct neap_event event = { .value = NEAP_TEXT("x") };
    uint64_t end, start = 99;
    assert_int_equal(neap_topic_start(w->topic, 0, &start), NEAP_OK);
    assert_int_equal(start, 0);
    assert_int_equal(neap_topic_start(w->topic, 1, &start), NEAP_NOTFOUND);
    assert_int_equal(neap_writer_open(other, NULL, &writer, &w->err), NEAP_OK);
    assert_int_equal(neap_topic_open(writer, "orders", 1, SOON_MS, &topic, &w->err), NEAP_OK);
    assert_int_equal(neap_append_wait(writer, topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    assert_int_equal(neap_append(writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_MISUSE); /* another handle's */
    assert_int_equal(neap_reader_open(other, w->topic, 0, 0, &reader, &w->err), NEAP_MISUSE);
    assert_int_equal(neap_topic_end(w->topic, 0, &end), NEAP_OK);
    assert_int_equal(end, 0);
    neap_topic_close(&topic);
    assert_int_equal(neap_writer_close(&writer, SOON_MS), NEAP_OK);
    assert_int_equal(neap_close(&other), NEAP_OK);
}

/* Of our own process: threads of that name that do not take that signal. */
static uint32_t blocked_thread_count(const char *name, int number)
{
    uint32_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[512], line[256], is[64] = "";
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *f = fopen(path, "r");
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
            sscanf(line, "Name: %63s", is);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        if (f != NULL)
            fclose(f);
        count += strcmp(is, name) == 0 && (blocked >> (number - 1) & 1) != 0;
    }
    closedir(tasks);
    return count;
}

static void test_signals_are_the_hosts(void **state)
{
    struct world *w = *state;
    struct sigaction before[32], after;
    signal(SIGPIPE, SIG_DFL);
    for (int i = 1; i < 32; i++)
        sigaction(i, NULL, &before[i]);
    int blocked = blocked_thread_count("test_library", SIGTERM); /* a sanitizer's own threads go by that name */
    open_all(w, 1);
    struct neap_event event = { .value = NEAP_TEXT("x") };
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    for (int i = 1; i < 32; i++) {
        if (sigaction(i, NULL, &after) == 0)
            assert_ptr_equal(after.sa_handler, before[i].sa_handler);
    }
    assert_true(blocked_thread_count("journal", SIGTERM) > 0);
    assert_true(blocked_thread_count("journal", SIGPIPE) > 0);
    assert_int_equal(blocked_thread_count("test_library", SIGTERM), blocked); /* this one is as it was */
}

/* kill -9 in the middle: what was answered is there. */
static void test_killed(void **state)
{
    struct world *w = *state;
    int answered[2];
    assert_int_equal(pipe(answered), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct neap_event event = { .value = NEAP_TEXT("x") };
        struct neap_place place;
        close(answered[0]);
        open_all(w, 1);
        for (;;)
            if (neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, &place) != NEAP_OK ||
                write(answered[1], &place.offset, sizeof place.offset) != sizeof place.offset)
                _exit(1);
    }
    close(answered[1]);
    uint64_t offset = 0, last = 0, end = 0;
    for (uint32_t i = 0; i < 300; i++) {
        assert_int_equal(read(answered[0], &offset, sizeof offset), sizeof offset);
        last = offset;
    }
    kill(pid, SIGKILL);
    while (read(answered[0], &offset, sizeof offset) == sizeof offset)
        last = offset;
    waitpid(pid, NULL, 0);
    close(answered[0]);
    open_all(w, 0);
    assert_int_equal(neap_topic_end(w->topic, 0, &end), NEAP_OK);
    assert_true(end > last);
}

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(neap_version(), NEAP_VERSION_TEXT);
    assert_string_equal(neap_status_name(NEAP_AGAIN), "AGAIN");
    assert_int_equal(neap_status_reaction(NEAP_AGAIN), NEAP_REACTION_WAIT);
    for (int i = 0; i < NEAP_STATUS_COUNT + 3; i++) {
        assert_true(neap_status_name((enum neap_status)i)[0] != '\0');
        assert_true(neap_status_text((enum neap_status)i)[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_killed), /* first: a fork before there are threads */
        CASE(test_round_trip),
        CASE(test_model),
        CASE(test_model_one_partition_small_ring),
        CASE(test_model_small_ring),
        CASE(test_keyless),
        CASE(test_descriptor),
        CASE(test_reader_descriptor),
        CASE(test_threads),
        CASE(test_two_threads_at_once),
        CASE(test_commit),
        CASE(test_misuse),
        CASE(test_sizes),
        CASE(test_a_key_stays_where_it_is),
        CASE(test_a_topic_lets_in_what_it_says),
        CASE(test_two_handles),
        CASE(test_signals_are_the_hosts),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
