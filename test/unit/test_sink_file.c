/* The file sink: every event is one line of the file, once, through restarts, crashes, rotations and other people's hands. */
#include "check.h"

#include "sink_world.h"
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOPIC_PARTITION_COUNT 2

struct shop {
    struct sink_world *world;
    struct log_options log_options;
    struct log *log;
    struct log_client *client;
    uint32_t topic_id;
    char data[640], path[640];
    struct sink *sink;
};

static int open_state(void **state)
{
    struct sink_world *w = malloc(sizeof(*w));
    world_open(w);
    *state = w;
    return 0;
}

static int close_state(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static struct log_partition source(const struct shop *s, uint32_t partition)
{
    return (struct log_partition){ s->topic_id, partition };
}

static enum neap_status sink_try(struct shop *s, struct sink **ret_sink)
{
    struct file_sink_options options = { .io = s->world->io,
                                         .log = s->log,
                                         .pipeline = "p",
                                         .name = "sink",
                                         .path = s->path,
                                         .source_partition_count = TOPIC_PARTITION_COUNT };
    enum neap_status status = file_sink_open(&options, ret_sink, &s->world->err);
    if (status == NEAP_OK)
        world_add(s->world, *ret_sink);
    return status;
}

static void shop_open(struct shop *s)
{
    struct sink_world *w = s->world;
    if (log_open(w->io, &s->log_options, &s->log, &w->err) != NEAP_OK ||
        log_client_open(s->log, &(struct log_client_options){ 0 }, &s->client, &w->err) != NEAP_OK)
        fail_msg("%s", w->err.text);
    struct log_topic topic;
    assert_int_equal(log_topic_ensure(s->client, "events", TOPIC_PARTITION_COUNT,
                                      mono_after(io_now(w->io), 20 * NS_PER_S), &topic, &w->err),
                     NEAP_OK);
    s->topic_id = topic.id;
    assert_int_equal(sink_try(s, &s->sink), NEAP_OK);
}

static void shop_init(struct shop *s, struct sink_world *w, const char *file)
{
    *s = (struct shop){ .world = w };
    snprintf(s->data, sizeof(s->data), "%s", scratch_path(&w->scratch, "data"));
    snprintf(s->path, sizeof(s->path), "%s", scratch_path(&w->scratch, file));
    s->log_options = (struct log_options){
        .path = s->data, .file_size = 4u << 20, .disk_size = 256u << 20, .tail_size = 64u << 10, .index_count_max = 4096
    };
    shop_open(s);
}

static void shop_close(struct shop *s)
{
    world_drop(s->world, s->sink);
    log_client_close(&s->client);
    log_close(&s->log);
}

static struct sink_recover start(struct shop *s)
{
    struct sink_recover r = world_recover(s->world, s->sink, source(s, 0), 1, false);
    if (r.status != NEAP_OK)
        fail_msg("%s", r.error.text);
    return r;
}

/* What a task does when its batch has landed: one unit with the sink's ops and its own. */
static void commit(struct shop *s, struct landing *l)
{
    struct log_op ops[SINK_OP_COUNT_MAX + 1];
    memcpy(ops, l->batch.ops, l->batch.op_count * sizeof(ops[0]));
    ops[l->batch.op_count] = (struct log_op){
        .kind = LOG_OFFSET, .target = l->batch.source, .offset = l->batch.commit_point, .name = BYTES("p")
    };
    struct log_unit unit = { .ops = ops, .count = l->batch.op_count + 1 };
    assert_int_equal(log_submit_wait(s->client, &unit, mono_after(io_now(s->world->io), 20 * NS_PER_S)), NEAP_OK);
}

static void add_numbers(struct landing *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"n\":%llu}", (unsigned long long)i);
        landing_add(l, i, json);
    }
}

static struct landing *land_numbers(struct shop *s, uint64_t from, uint64_t to)
{
    struct landing *l = landing_new(s->world, s->sink, source(s, 0));
    add_numbers(l, from, to);
    if (landing_land(l) != NEAP_OK)
        fail_msg("%s", l->batch.error.text);
    return l;
}

static void land_and_commit(struct shop *s, uint64_t from, uint64_t to)
{
    struct landing *l = land_numbers(s, from, to);
    commit(s, l);
    landing_free(&l);
}

static const char *content_of(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return "(no file)";
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static void put(const char *path, const char *mode, const char *text)
{
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static void check_numbers(const char *path, const char *first, uint64_t from, uint64_t to)
{
    char expected[65536];
    size_t size = (size_t)snprintf(expected, sizeof(expected), "%s", first);
    for (uint64_t i = from; i < to; i++)
        size += (size_t)snprintf(expected + size, sizeof(expected) - size, "{\"n\":%llu}\n", (unsigned long long)i);
    assert_string_equal(content_of(path), expected);
}

/* ---- lines ---- */

static void an_event_is_one_line(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    struct landing *l = landing_new(*state, s.sink, source(&s, 0));
    landing_add(l, 0, "{\n \"a\": [1,\n\t2] }");
    landing_add(l, 1, "{\"a\":\"x\\ny\"}");
    assert_int_equal(landing_land(l), NEAP_OK);
    commit(&s, l);
    assert_string_equal(content_of(s.path), "{  \"a\": [1, \t2] }\n{\"a\":\"x\\ny\"}\n");
    landing_free(&l);
    shop_close(&s);
}

static void a_batch_without_rows_changes_nothing(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    struct landing *l = landing_new(*state, s.sink, source(&s, 0));
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_int_equal(l->batch.op_count, 0);
    assert_string_equal(content_of(s.path), "");
    landing_free(&l);
    shop_close(&s);
}

/* ---- restarts and crashes ---- */

static void a_restart_goes_on_where_it_was(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    assert_false(start(&s).rows_there);
    land_and_commit(&s, 0, 10);
    land_and_commit(&s, 10, 25);
    shop_close(&s);
    shop_open(&s);
    assert_true(start(&s).rows_there);
    land_and_commit(&s, 25, 30);
    land_and_commit(&s, 30, 500);
    shop_close(&s);
    check_numbers(s.path, "", 0, 500);
}

static void what_was_written_and_not_committed_is_cut_off(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    for (uint64_t round = 0; round < 3; round++) { /* the first batch of a file is no exception */
        struct landing *l = land_numbers(&s, round * 10, round * 10 + 7);
        landing_free(&l);
        shop_close(&s);
        shop_open(&s);
        start(&s);
        check_numbers(s.path, "", 0, round * 10);
        land_and_commit(&s, round * 10, round * 10 + 10);
    }
    shop_close(&s);
    check_numbers(s.path, "", 0, 30);
}

static void half_a_line_at_the_end_is_cut_off(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    land_and_commit(&s, 0, 3);
    shop_close(&s);
    put(s.path, "a", "{\"n\":");
    shop_open(&s);
    start(&s);
    land_and_commit(&s, 3, 5);
    shop_close(&s);
    check_numbers(s.path, "", 0, 5);
}

/* ---- files that were there, shrank, moved or were written by others ---- */

static void what_was_there_before_us_stays(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    put(s.path, "w", "first\nsecond, without its end");
    assert_true(start(&s).rows_there);
    struct landing *l = land_numbers(&s, 0, 2);
    landing_free(&l);
    shop_close(&s);
    shop_open(&s);
    start(&s);
    assert_string_equal(content_of(s.path), "first\nsecond, without its end\n");
    land_and_commit(&s, 0, 2);
    shop_close(&s);
    check_numbers(s.path, "first\nsecond, without its end\n", 0, 2);
}

static void a_file_that_lost_bytes_is_a_conflict_with_both_numbers(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    land_and_commit(&s, 0, 10);
    shop_close(&s);
    assert_int_equal(truncate(s.path, 16), 0);
    shop_open(&s);
    struct sink_recover r = world_recover(s.world, s.sink, source(&s, 0), 2, false);
    assert_int_equal(r.status, NEAP_CONFLICT);
    assert_non_null(strstr(r.error.text, "out.ndjson has 16 bytes; 80 were written and committed"));
    assert_int_equal(world_recover(s.world, s.sink, source(&s, 0), 2, true).status, NEAP_OK);
    land_and_commit(&s, 10, 12);
    shop_close(&s);
    assert_string_equal(content_of(s.path), "{\"n\":0}\n{\"n\":1}\n{\"n\":10}\n{\"n\":11}\n");
}

static void another_file_with_the_same_inode_is_not_cut(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    land_and_commit(&s, 0, 10);
    shop_close(&s);
    put(s.path, "w",
        "a new file, longer than the old one was, that by chance has got the old one's inode, as happens\n");
    shop_open(&s);
    start(&s);
    land_and_commit(&s, 10, 11);
    shop_close(&s);
    check_numbers(s.path,
                  "a new file, longer than the old one was, that by chance has got the old one's inode, as happens\n",
                  10, 11);
}

static void a_rotated_file_is_followed_by_a_new_one(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    char old[640], older[640];
    snprintf(old, sizeof(old), "%s", scratch_path(&w->scratch, "out.1"));
    snprintf(older, sizeof(older), "%s", scratch_path(&w->scratch, "out.2"));
    shop_init(&s, w, "out.ndjson");
    start(&s);
    land_and_commit(&s, 0, 10);
    assert_int_equal(rename(s.path, older), 0); /* while it is in use */
    land_and_commit(&s, 10, 20);
    check_numbers(older, "", 0, 10);
    check_numbers(s.path, "", 10, 20);
    assert_int_equal(rename(s.path, old), 0);
    struct landing *l = land_numbers(&s, 20, 30); /* and a crash before the new file's first batch is committed */
    landing_free(&l);
    shop_close(&s);
    shop_open(&s);
    start(&s);
    assert_string_equal(content_of(s.path), "");
    land_and_commit(&s, 20, 30);
    shop_close(&s);
    assert_int_equal(unlink(s.path), 0); /* while nobody looks */
    shop_open(&s);
    start(&s);
    land_and_commit(&s, 30, 40);
    shop_close(&s);
    check_numbers(older, "", 0, 10);
    check_numbers(old, "", 10, 20);
    check_numbers(s.path, "", 30, 40);
}

static void somebody_else_writing_into_it_stops_us(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    land_and_commit(&s, 0, 10);
    put(s.path, "a", "a stranger's line\n");
    struct landing *l = landing_new(*state, s.sink, source(&s, 0));
    add_numbers(l, 10, 11);
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "has 98 bytes; we wrote it up to 80"));
    landing_free(&l);
    assert_int_equal(strlen(content_of(s.path)), 98); /* their line is still there */
    shop_close(&s);
}

static void two_sinks_do_not_share_a_file(void **state)
{
    struct shop s;
    shop_init(&s, *state, "out.ndjson");
    start(&s);
    struct sink *second;
    assert_int_equal(sink_try(&s, &second), NEAP_OK);
    struct sink_recover r = world_recover(s.world, second, source(&s, 1), 1, false);
    assert_int_equal(r.status, NEAP_HELD);
    assert_non_null(strstr(r.error.text, "is being written by another pipeline or process"));
    world_drop(s.world, second);
    shop_close(&s);
}

/* ---- several partitions ---- */

static void the_next_batch_waits_until_the_one_before_is_committed(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "out.ndjson");
    start(&s);
    assert_int_equal(world_recover(w, s.sink, source(&s, 1), 1, false).status, NEAP_OK);
    struct landing *a = landing_new(w, s.sink, source(&s, 0)), *b = landing_new(w, s.sink, source(&s, 1));
    add_numbers(a, 0, 5);
    add_numbers(b, 5, 8);
    assert_int_equal(landing_land(a), NEAP_OK);
    landing_start(b);
    assert_int_equal(io_agent_run(w->io, &w->agent, mono_after(io_now(w->io), 5 * NS_PER_MS), &w->err), NEAP_TIMEOUT);
    assert_int_equal(w->waiting, 1);
    check_numbers(s.path, "", 0, 5);
    commit(&s, a);
    io_agent_wake(&w->agent); /* as the log does to its client */
    world_settle(w);
    assert_int_equal(b->batch.status, NEAP_OK);
    check_numbers(s.path, "", 0, 8);
    landing_free(&a);
    landing_free(&b);
    shop_close(&s); /* b was not committed */
    shop_open(&s);
    start(&s);
    check_numbers(s.path, "", 0, 5);
    shop_close(&s);
}

static void who_waits_behind_a_batch_that_is_given_up_is_sent_back(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "out.ndjson");
    start(&s);
    assert_int_equal(world_recover(w, s.sink, source(&s, 1), 1, false).status, NEAP_OK);
    struct landing *a = landing_new(w, s.sink, source(&s, 0)), *b = landing_new(w, s.sink, source(&s, 1));
    add_numbers(a, 0, 5);
    add_numbers(b, 5, 8);
    assert_int_equal(landing_land(a), NEAP_OK);
    landing_start(b);
    s.sink->verbs->give_up(s.sink); /* a will not be committed */
    world_settle(w);
    assert_int_equal(b->batch.status, NEAP_AGAIN);
    assert_int_equal(landing_land(b), NEAP_AGAIN);
    check_numbers(s.path, "", 0, 5);
    landing_free(&a);
    landing_free(&b);
    shop_close(&s);
    shop_open(&s);
    start(&s);
    land_and_commit(&s, 0, 2);
    check_numbers(s.path, "", 0, 2);
    shop_close(&s);
}

/* ---- full ---- */

static void a_full_disk_leaves_no_half_batch(void **state)
{
    struct sink_world *w = *state;
    char dir[640];
    snprintf(dir, sizeof(dir), "%s", scratch_path(&w->scratch, "small"));
    assert_int_equal(io_dir_make(w->io, dir, NULL), NEAP_OK);
    if (mount("none", dir, "tmpfs", 0, "size=16k") != 0)
        skip(); /* only root may make a small disk */
    struct shop s;
    shop_init(&s, w, "small/out.ndjson");
    start(&s);
    struct landing *l = landing_new(w, s.sink, source(&s, 0));
    add_numbers(l, 0, 3000);
    enum neap_status full = landing_land(l);
    struct stat st;
    int seen = stat(s.path, &st);
    int wider = mount("none", dir, NULL, MS_REMOUNT, "size=1m");
    enum neap_status again = landing_land(l);
    char text[65536];
    snprintf(text, sizeof(text), "%s", content_of(s.path));
    landing_free(&l);
    shop_close(&s);
    assert_int_equal(umount(dir), 0);
    assert_int_equal(seen, 0);
    assert_int_equal(wider, 0);
    assert_int_equal(full, NEAP_FULL);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(again, NEAP_OK);
    assert_int_equal(strlen(text), 10 * 8 + 90 * 9 + 900 * 10 + 2000 * 11);
}

int main(void)
{
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, open_state, close_state)
    const struct CMUnitTest tests[] = {
        TEST_OF(an_event_is_one_line),
        TEST_OF(a_batch_without_rows_changes_nothing),
        TEST_OF(a_restart_goes_on_where_it_was),
        TEST_OF(what_was_written_and_not_committed_is_cut_off),
        TEST_OF(half_a_line_at_the_end_is_cut_off),
        TEST_OF(what_was_there_before_us_stays),
        TEST_OF(a_file_that_lost_bytes_is_a_conflict_with_both_numbers),
        TEST_OF(another_file_with_the_same_inode_is_not_cut),
        TEST_OF(a_rotated_file_is_followed_by_a_new_one),
        TEST_OF(somebody_else_writing_into_it_stops_us),
        TEST_OF(two_sinks_do_not_share_a_file),
        TEST_OF(the_next_batch_waits_until_the_one_before_is_committed),
        TEST_OF(who_waits_behind_a_batch_that_is_given_up_is_sent_back),
        TEST_OF(a_full_disk_leaves_no_half_batch),
    };
    return cmocka_run_group_tests_name("sink_file", tests, NULL, NULL);
}
