/* Where things end for a program: waits that cannot be fulfilled, a disk that is full, events that are freed, names that are none. */
#include "library_world.h"

#include <pthread.h>
#include <unistd.h>

/* ---- what ends a wait ------------------------------------------------------------------------------------------------- */

struct patient {
    struct neap_reader *reader;
    enum neap_status status;
    struct neap_error err;
};

static void *wait_forever(void *ctx)
{
    struct patient *p = ctx;
    struct neap_record record;
    p->status = neap_reader_next(p->reader, NEAP_FOREVER, &record, &p->err);
    return NULL;
}

/* Waits for the reader's end, and looks again without a wait: the answer stands. */
static void check_ended(struct patient *p, pthread_t thread, enum neap_status status, const char *said)
{
    struct timespec until;
    struct neap_record record;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SOON_MS / 1000;
    assert_int_equal(pthread_timedjoin_np(thread, NULL, &until), 0);
    assert_int_equal(p->status, status);
    assert_non_null(strstr(p->err.text, said));
    assert_int_equal(neap_reader_next(p->reader, 0, &record, NULL), status);
    neap_reader_close(&p->reader);
}

static void test_a_deleted_topic_ends_a_wait(void **state)
{
    struct world *w = *state;
    struct patient p = { 0 };
    struct log_client *client;
    pthread_t thread;
    open_all(w, 1);
    assert_int_equal(neap_reader_open(w->neap, w->topic, 0, 0, &p.reader, &w->err), NEAP_OK);
    assert_int_equal(pthread_create(&thread, NULL, wait_forever, &p), 0);
    while (atomic_load(&w->neap->waiting_count) == 0)
        usleep(1000); /* it watches the log: from here on nothing but the log wakes it */
    assert_int_equal(log_client_open(w->neap->log, &(struct log_client_options){ 0 }, &client, NULL), NEAP_OK);
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { w->topic->topic.id, 0 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(client, &unit, lib_deadline(w->neap, SOON_MS)), NEAP_OK);
    log_client_close(&client);
    check_ended(&p, thread, NEAP_NOTFOUND, "topic orders was deleted");
}

static void test_a_stopped_log_ends_a_wait(void **state)
{
    struct world *w = *state;
    struct patient p = { 0 };
    struct neap_record record;
    struct neap_event event = { .value = NEAP_TEXT("before") };
    char command[700];
    pthread_t thread;
    open_all(w, 1);
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    assert_int_equal(neap_reader_open(w->neap, w->topic, 0, 0, &p.reader, &w->err), NEAP_OK);
    assert_int_equal(neap_reader_next(p.reader, 0, &record, &w->err), NEAP_OK);
    assert_int_equal(pthread_create(&thread, NULL, wait_forever, &p), 0);
    while (atomic_load(&w->neap->waiting_count) == 0)
        usleep(1000);
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_path(&w->scratch, "data"));
    assert_int_equal(system(command), 0);
    check_ended(&p, thread, NEAP_IO, "deleted or moved away");
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_OK);
    assert_int_equal(neap_writer_flush(w->writer, SOON_MS), NEAP_OK);
    assert_int_equal(neap_health(w->neap, NULL), NEAP_IO);
}

/* ---- a full disk, and what is freed ------------------------------------------------------------------------------------- */

static enum neap_status fill_up(struct world *w)
{
    static char value[256u << 10];
    struct neap_event event = { .value = { value, sizeof value } };
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < 1000 && status == NEAP_OK; i++)
        status = neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL);
    return status;
}

static void test_a_full_disk_takes_commits(void **state)
{
    struct world *w = *state;
    struct neap_options options = { .path = scratch_path(&w->scratch, "data"), .disk_size = 32u << 20 };
    struct neap_event event = { .value = NEAP_TEXT("after") };
    uint64_t end, start, offset;
    assert_int_equal(neap_open(&options, &w->neap, &w->err), NEAP_OK);
    assert_int_equal(neap_writer_open(w->neap, NULL, &w->writer, &w->err), NEAP_OK);
    assert_int_equal(neap_topic_open(w->writer, "orders", 1, SOON_MS, &w->topic, &w->err), NEAP_OK);
    assert_int_equal(fill_up(w), NEAP_FULL);
    assert_int_equal(neap_topic_end(w->topic, 0, &end), NEAP_OK);
    for (uint64_t i = 1; i <= end; i++)
        assert_int_equal(neap_commit_wait(w->writer, "workers", w->topic, 0, i, SOON_MS), NEAP_OK);
    assert_int_equal(neap_committed(w->neap, "workers", w->topic, 0, &offset), NEAP_OK);
    assert_int_equal(offset, end);

    assert_int_equal(neap_topic_trim(w->writer, w->topic, 0, end + 1, SOON_MS), NEAP_MISUSE);
    assert_int_equal(neap_topic_trim(w->writer, w->topic, 1, 0, SOON_MS), NEAP_NOTFOUND);
    assert_int_equal(neap_topic_trim(w->writer, w->topic, 0, 3, SOON_MS), NEAP_OK);
    assert_int_equal(neap_topic_start(w->topic, 0, &start), NEAP_OK);
    assert_int_equal(start, 3);
    assert_int_equal(neap_topic_trim(w->writer, w->topic, 0, 2, SOON_MS), NEAP_OK); /* gone already */
    assert_int_equal(neap_topic_trim(w->writer, w->topic, 0, NEAP_END, SOON_MS), NEAP_OK);
    assert_int_equal(neap_topic_start(w->topic, 0, &start), NEAP_OK);
    assert_int_equal(start, end);
    enum neap_status status = NEAP_FULL;
    for (uint32_t i = 0; i < SOON_MS / 10 && status == NEAP_FULL; i++, usleep(10000))
        status = neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL);
    assert_int_equal(status, NEAP_OK);
}

static void check_kept(struct world *w, const char *name, const struct neap_topic_settings *settings,
                       int64_t retention_ms, int64_t retention_size)
{
    struct neap_topic *topic;
    assert_int_equal(neap_topic_open_with(w->writer, name, 0, settings, SOON_MS, &topic, &w->err), NEAP_OK);
    assert_int_equal(topic->topic.settings.retention, LOG_RETAIN_LIMITS);
    assert_int_equal(topic->topic.settings.retention_ms, retention_ms);
    assert_int_equal(topic->topic.settings.retention_size, retention_size);
    neap_topic_close(&topic);
}

static void test_how_long_events_stay(void **state)
{
    struct world *w = *state;
    const int64_t week_ms = 7ll * 24 * 3600 * 1000;
    struct neap_topic *none;
    open_all(w, 1);
    check_kept(w, "orders", NULL, week_ms, -1);
    check_kept(w, "orders", &(struct neap_topic_settings){ .retention_ms = 5 }, week_ms, -1); /* it is there */
    check_kept(w, "ever", &(struct neap_topic_settings){ .retention_ms = NEAP_FOREVER }, -1, -1);
    check_kept(w, "sized", &(struct neap_topic_settings){ .retention_size = 1u << 20 }, week_ms, 1 << 20);
    check_kept(w, "both", &(struct neap_topic_settings){ .retention_ms = 60000, .retention_size = 99 }, 60000, 99);
    assert_int_equal(neap_topic_open_with(w->writer, "bad", 0, &(struct neap_topic_settings){ .retention_ms = -1 },
                                          SOON_MS, &none, &w->err),
                     NEAP_MISUSE);
    assert_int_equal(neap_topic_find(w->neap, "bad", &none, &w->err), NEAP_NOTFOUND);
}

/* ---- names ----------------------------------------------------------------------------------------------------------- */

static void test_group_names(void **state)
{
    static const char *const bad[] = { "", ".", "..", "a b", "a\"b", "a\nb", "a/b", "\xff", "gr\xc3\xbc\xc3\x9f" };
    struct world *w = *state;
    char name[251];
    open_all(w, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(neap_commit(w->writer, bad[i], w->topic, 0, 0, NULL, NULL), NEAP_MISUSE);
        assert_int_equal(neap_commit_wait(w->writer, bad[i], w->topic, 0, 0, SOON_MS), NEAP_MISUSE);
    }
    memset(name, 'g', 250);
    name[250] = '\0';
    assert_int_equal(neap_commit_wait(w->writer, name, w->topic, 0, 0, SOON_MS), NEAP_MISUSE);
    name[249] = '\0';
    assert_int_equal(neap_commit_wait(w->writer, name, w->topic, 0, 0, SOON_MS), NEAP_OK);
    assert_int_equal(neap_commit_wait(w->writer, "A-z.0_9", w->topic, 0, 0, SOON_MS), NEAP_OK);
}

/* ---- what is opened again and again, and what is copied again and again ------------------------------------------------ */

static void test_writers_come_and_go(void **state)
{
    struct world *w = *state;
    open_all(w, 1);
    for (uint32_t i = 0; i < 500; i++) {
        struct neap_writer *writer = NULL;
        assert_int_equal(neap_writer_open(w->neap, NULL, &writer, &w->err), NEAP_OK);
        assert_int_equal(neap_writer_close(&writer, SOON_MS), NEAP_OK);
    }
}

static void test_a_copy_has_one_id(void **state)
{
    struct world *w = *state;
    struct neap_header headers[NEAP_HEADER_COUNT_MAX];
    struct neap_record record;
    struct neap_reader *reader;
    open_all(w, 1);
    for (uint32_t i = 0; i < NEAP_HEADER_COUNT_MAX; i++)
        headers[i] = (struct neap_header){ NEAP_TEXT("h"), NEAP_TEXT("v") };
    struct neap_event event = { .id = NEAP_TEXT("one"), .headers = headers, .header_count = NEAP_HEADER_COUNT_MAX };
    assert_int_equal(neap_append(w->writer, w->topic, 0, &event, 1, NULL, NULL), NEAP_MISUSE); /* no room for the id */
    event.header_count--;
    assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    assert_int_equal(neap_reader_open(w->neap, w->topic, 0, 0, &reader, &w->err), NEAP_OK);
    for (uint32_t hop = 0; hop < 3; hop++) {
        assert_int_equal(neap_reader_next(reader, SOON_MS, &record, &w->err), NEAP_OK);
        assert_int_equal(record.event.header_count, NEAP_HEADER_COUNT_MAX);
        assert_memory_equal(record.event.id.at, "one", 3);
        assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &record.event, 1, SOON_MS, NULL), NEAP_OK);
    }
    neap_reader_close(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_deleted_topic_ends_a_wait), CASE(test_a_stopped_log_ends_a_wait), CASE(test_group_names),
        CASE(test_a_full_disk_takes_commits),   CASE(test_how_long_events_stay),      CASE(test_writers_come_and_go),
        CASE(test_a_copy_has_one_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
