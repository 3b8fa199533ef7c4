/* test_topic.c - a topic's settings, its partitions and where they start are as durable as its events */
#include "base/crc32c.h"
#include "log/local/snapshot.h"
#include "log_bench.h"

#define FILE_SIZE (64u << 10)

static enum neap_status one(struct bench *b, struct log_op op)
{
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(b->client, &unit, soon(b));
}

static struct log_topic found(struct bench *b, const char *name)
{
    struct log_topic t = { .id = 0 };
    assert_int_equal(log_topic_find(b->log, name, &t), NEAP_OK);
    return t;
}

static void assert_settings(struct log_topic_settings have, struct log_topic_settings want)
{
    uint8_t a[LOG_SETTINGS_SIZE], b[LOG_SETTINGS_SIZE];
    assert_true(bytes_equal(log_settings_encode(&have, a), log_settings_encode(&want, b)));
}

static const struct log_topic_settings week = { .retention = LOG_RETAIN_LIMITS,
                                                .cleanup = LOG_CLEANUP_COMPACT,
                                                .retention_ms = 7 * 86400000ll,
                                                .retention_size = 1 << 30,
                                                .tombstone_ms = 1000,
                                                .interval_ms = 50,
                                                .record_size_max = 4096 };

/* Through a reopening that reads the journal, and one that reads a snapshot. */
static void reopen_both_ways(struct bench *b, void (*check)(struct bench *b))
{
    bench_reopen(b);
    check(b);
    b->options.snapshot_size = 4096;
    struct log_partition p = { topic(b, "filler", 1), 0 };
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(append(b, p, "f", i, 1, 1000, NULL), NEAP_OK);
    bench_reopen(b);
    check(b);
}

static void check_settings(struct bench *b)
{
    assert_settings(found(b, "plain").settings, LOG_SETTINGS_DEFAULT);
    assert_settings(found(b, "kept").settings, week);
}

static void settings_are_durable(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    struct log_topic t;
    (void)state;
    bench_open(&b);
    topic(&b, "plain", 1);
    assert_int_equal(log_topic_ensure_with(b.client, "kept", 2, &week, soon(&b), &t, &b.err), NEAP_OK);
    check_settings(&b);
    reopen_both_ways(&b, check_settings);
    bench_end(&b);
}

static void check_altered(struct bench *b)
{
    struct log_topic t = found(b, "t");
    struct log_topic_settings want = week;
    want.interval_ms = 0; /* so that what was answered can be read at once */
    assert_int_equal(t.partition_count, 5);
    assert_settings(t.settings, want);
    for (uint32_t p = 0; p < 5; p++)
        assert_int_equal(check_records(b, (struct log_partition){ t.id, p }, "v", 0), 3);
}

static void an_alteration_is_durable(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    uint8_t room[LOG_SETTINGS_SIZE];
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "t", 2);
    struct log_op grow = { .kind = LOG_TOPIC_ALTER, .target = { id, 0 }, .count = 3 };
    assert_int_equal(append(&b, (struct log_partition){ id, 2 }, "v", 0, 1, 10, NULL), NEAP_REFUSED);
    assert_int_equal(one(&b, grow), NEAP_OK);
    grow.count = 5;
    struct log_topic_settings settings = week;
    settings.interval_ms = 0;
    grow.payload = log_settings_encode(&settings, room);
    assert_int_equal(one(&b, grow), NEAP_OK);
    for (uint32_t p = 0; p < 5; p++)
        assert_int_equal(append(&b, (struct log_partition){ id, p }, "v", 0, 3, 10, NULL), NEAP_OK);
    grow.payload.size = 0;
    assert_int_equal(one(&b, grow),
                     NEAP_OK); /* answered after its sync: and so are the appends, to an interval topic, seen */
    check_altered(&b);
    grow.count = 4;
    assert_int_equal(one(&b, grow), NEAP_REFUSED); /* fewer: their events would have no place */
    grow.count = 0;
    assert_int_equal(one(&b, grow), NEAP_OK);
    reopen_both_ways(&b, check_altered);
    bench_end(&b);
}

static void a_refused_alteration_leaves_nothing(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "t", 2);
    struct log_op ops[] = { { .kind = LOG_TOPIC_ALTER, .target = { id, 0 }, .count = 9 },
                            { .kind = LOG_FACT, .view = 1, .target = { id + 7, 0 }, .name = BYTES("k") } };
    struct log_unit unit = { .ops = ops, .count = 2 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_REFUSED);
    assert_int_equal(append(&b, (struct log_partition){ id, 2 }, "v", 0, 1, 10, NULL), NEAP_REFUSED);
    assert_int_equal(found(&b, "t").partition_count, 2);
    bench_end(&b);
}

static void check_trimmed(struct bench *b)
{
    struct log_topic t = found(b, "t");
    struct log_partition p = { t.id, 0 };
    log_offset start, end;
    assert_int_equal(log_partition_range(b->log, p, &start, &end), NEAP_OK);
    assert_int_equal(start.n, 12);
    assert_int_equal(end.n, 20);
    struct log_reader *reader;
    struct log_batch batch;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ 3 }, 4096, &reader, &b->err), NEAP_OK);
    assert_int_equal(log_reader_next(reader, &batch, &b->err), NEAP_OK);
    assert_int_equal(batch.base.n, 12);
    log_reader_close(&reader);
    assert_int_equal(check_records(b, p, "v", 12), 20);
}

static void a_trim_is_durable(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    for (uint64_t i = 0; i < 20; i += 2)
        assert_int_equal(append(&b, p, "v", i, 2, 500, NULL), NEAP_OK);
    struct log_op trim = { .kind = LOG_TRIM, .target = p, .offset = { 12 } };
    assert_int_equal(one(&b, trim), NEAP_OK);
    trim.offset.n = 4;
    assert_int_equal(one(&b, trim), NEAP_OK); /* never back */
    trim.offset.n = 21;
    assert_int_equal(one(&b, trim), NEAP_REFUSED); /* past the end */
    check_trimmed(&b);
    reopen_both_ways(&b, check_trimmed);
    bench_end(&b);
}

static void check_holds(struct bench *b)
{
    struct log_partition p = { found(b, "t").id, 0 };
    struct log_commit commit;
    assert_int_equal(log_offset_get(b->log, "pipe", p, NULL, &commit), NEAP_OK);
    assert_true(commit.hold); /* said once, and not said again with the commit after it */
    assert_int_equal(commit.offset.n, 2);
    assert_int_equal(log_offset_get(b->log, "client", p, NULL, &commit), NEAP_OK);
    assert_false(commit.hold);
    assert_int_equal(log_offset_get(b->log, "gone", p, NULL, &commit), NEAP_NOTFOUND);
}

static void a_hold_is_durable_until_it_is_forgotten(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    struct log_op op = { .kind = LOG_OFFSET, .view = LOG_OFFSET_HOLD, .target = p, .name = BYTES("pipe") };
    assert_int_equal(one(&b, op), NEAP_OK);
    op.name = BYTES("gone");
    assert_int_equal(one(&b, op), NEAP_OK);
    op.view = LOG_OFFSET_FORGET;
    assert_int_equal(one(&b, op), NEAP_OK);
    op.view = 0;
    op.name = BYTES("client");
    assert_int_equal(one(&b, op), NEAP_OK);
    op.name = BYTES("pipe");
    op.offset.n = 2;
    assert_int_equal(one(&b, op), NEAP_OK);
    check_holds(&b);
    reopen_both_ways(&b, check_holds);
    bench_end(&b);
}

static enum neap_status grow(struct bench *b, uint32_t id, uint32_t count)
{
    return one(b, (struct log_op){ .kind = LOG_TOPIC_ALTER, .target = { id, 0 }, .count = count });
}

static enum neap_status commit(struct bench *b, struct log_partition p, const char *group, uint64_t at, uint8_t flags)
{
    return one(b, (struct log_op){
                      .kind = LOG_OFFSET, .view = flags, .target = p, .name = bytes_of_text(group), .offset = { at } });
}

static void check_new_is_held(struct bench *b)
{
    struct log_topic t = found(b, "t");
    struct log_commit commit;
    uint8_t room[LOG_VALUE_SIZE_MAX];
    for (uint32_t n = 2; n < 5; n++) {
        struct log_partition p = { t.id, n };
        assert_int_equal(log_offset_get(b->log, "pipe", p, room, &commit), NEAP_OK);
        assert_true(commit.hold);
        assert_int_equal(commit.offset.n, n == 4 ? 2 : 0);
        assert_true(n == 4 || bytes_equal(commit.done_set, log_held_set()));
        assert_int_equal(log_offset_get(b->log, "client", p, NULL, &commit), NEAP_NOTFOUND);
        assert_int_equal(log_offset_get(b->log, "left", p, NULL, &commit), NEAP_NOTFOUND);
    }
}

/* Also by what stands still: nobody has to come and say so. */
static void a_group_holds_what_comes_to_its_topic(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "t", 2);
    assert_int_equal(commit(&b, (struct log_partition){ id, 1 }, "pipe", 0, LOG_OFFSET_HOLD), NEAP_OK);
    assert_int_equal(commit(&b, (struct log_partition){ id, 0 }, "client", 0, 0), NEAP_OK);
    assert_int_equal(commit(&b, (struct log_partition){ id, 0 }, "left", 0, LOG_OFFSET_HOLD), NEAP_OK);
    assert_int_equal(commit(&b, (struct log_partition){ id, 0 }, "left", 0, LOG_OFFSET_FORGET), NEAP_OK);
    assert_int_equal(grow(&b, id, 3), NEAP_OK);
    assert_int_equal(grow(&b, id, 5), NEAP_OK);
    assert_int_equal(append(&b, (struct log_partition){ id, 4 }, "v", 0, 3, 10, NULL), NEAP_OK);
    assert_int_equal(commit(&b, (struct log_partition){ id, 4 }, "pipe", 2, 0), NEAP_OK);
    check_new_is_held(&b);
    reopen_both_ways(&b, check_new_is_held);
    bench_end(&b);
}

static void what_holds_would_take_is_within_the_bound(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    (void)state;
    b.options.fact_size_max = 16 << 10;
    bench_open(&b);
    uint32_t id = topic(&b, "t", 1);
    assert_int_equal(commit(&b, (struct log_partition){ id, 0 }, "pipe", 0, LOG_OFFSET_HOLD), NEAP_OK);
    assert_int_equal(grow(&b, id, 200), NEAP_FULL);
    assert_int_equal(found(&b, "t").partition_count, 1);
    assert_int_equal(grow(&b, id, 60), NEAP_OK);
    assert_int_equal(grow(&b, id, 119), NEAP_FULL);
    bench_end(&b);
}

#define LATER_SIZE 12u /* flags, and what the clock said */

/* The section of META, which comes first, without what it did not have once. */
static struct bytes without_flags(struct bytes bytes, uint8_t *room)
{
    uint8_t *section = room + SNAPSHOT_HEADER_SIZE, *body = section + SECTION_HEADER_SIZE;
    size_t size = get_le64(bytes.at + SNAPSHOT_HEADER_SIZE + 8) - LATER_SIZE;
    memcpy(room, bytes.at, bytes.size);
    memmove(body + size, body + size + LATER_SIZE, bytes.size - (size_t)(body + size + LATER_SIZE - room));
    put_le32(section + 4, crc32c(0, body, size));
    put_le64(section + 8, size);
    put_le64(room + 52, bytes.size - LATER_SIZE);
    put_le32(room + 60, crc32c(0, room, 60));
    return (struct bytes){ room, bytes.size - LATER_SIZE };
}

static void views_of_old(struct views *v)
{
    struct topic *t;
    uint8_t room[VIEW_KEY_SIZE_MAX];
    assert_int_equal(views_init(v, &(struct log_options){ .partition_count_max = 10, .fact_size_max = 1 << 20 }),
                     NEAP_OK);
    assert_int_equal(views_topic_add(v, "t", 1, 3, &t), NEAP_OK);
    t->durable = true;
    struct bytes key = offset_key(room, (struct log_partition){ 1, 0 }, BYTES("pipe"));
    assert_int_equal(views_fact_put(v, v->offsets, key, 0, BYTES("")), NEAP_OK);
    ((struct fact *)map_get(v->offsets, key))->hold = true;
}

static void a_snapshot_of_before_is_read_as_if_they_had(void **state)
{
    static uint8_t room[4096], old_room[4096];
    uint8_t key[VIEW_KEY_SIZE_MAX];
    (void)state;
    for (int old = 0; old < 2; old++) {
        struct views v, read;
        struct snapshot s = { .sequence = 1 };
        views_of_old(&v);
        assert_true(snapshot_size(&v) <= sizeof room);
        struct bytes bytes = snapshot_encode(&v, &s, room);
        if (old)
            bytes = without_flags(bytes, old_room);
        assert_int_equal(views_init(&read,
                                    &(struct log_options){ .partition_count_max = 10, .fact_size_max = 1 << 20 }),
                         NEAP_OK);
        assert_int_equal(snapshot_decode(bytes, &read, &s, NULL), NEAP_OK);
        for (uint32_t n = 1; n < 3; n++) {
            const struct fact *f =
                map_get(read.offsets, offset_key(key, (struct log_partition){ 1, n }, BYTES("pipe")));
            assert_true((f != NULL && f->hold) == (old == 1));
        }
        views_fini(&v);
        views_fini(&read);
    }
}

/* Whoever has looked through a topic before it grows is told when there is more. */
static void an_alteration_meets_what_was_seen(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    static uint8_t room[4096];
    uint8_t settings_room[LOG_SETTINGS_SIZE];
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "t", 2);
    struct log_partition p = { id, 1 };
    assert_int_equal(append(&b, p, "v", 0, 3, 10, NULL), NEAP_OK);
    struct log_op op = { .kind = LOG_TOPIC_ALTER, .target = { id, 0 }, .count = 3, .offset = { 1 + 3 } };
    assert_int_equal(append(&b, p, "v", 3, 1, 10, NULL), NEAP_OK);
    assert_int_equal(one(&b, op), NEAP_CONFLICT);
    assert_int_equal(found(&b, "t").partition_count, 2);
    op.offset.n++;
    assert_int_equal(one(&b, op), NEAP_OK);
    struct log_topic seen = found(&b, "t");
    assert_int_equal(seen.partition_count, 3);
    /* settings, by two who have seen the same */
    op = (struct log_op){ .kind = LOG_TOPIC_ALTER,
                          .target = { id, 0 },
                          .revision = seen.revision,
                          .payload = log_settings_encode(&week, settings_room) };
    struct log_op first = op, second = op;
    struct log_unit units[2] = { { .ops = &first, .count = 1 }, { .ops = &second, .count = 1 } };
    assert_int_equal(log_submit_wait(b.client, &units[0], soon(&b)), NEAP_OK);
    assert_int_equal(log_submit_wait(b.client, &units[1], soon(&b)), NEAP_CONFLICT);
    assert_true(found(&b, "t").revision != seen.revision);
    /* what was placed by a key while there were fewer */
    struct log_op placed = { .kind = LOG_APPEND,
                             .view = LOG_APPEND_PLACED,
                             .target = p,
                             .offset = { 2 },
                             .count = 1,
                             .payload = make_batch(room, sizeof room, "v", 4, 1, 10) };
    assert_int_equal(one(&b, placed), NEAP_CONFLICT);
    placed.offset.n = 3;
    assert_int_equal(one(&b, placed), NEAP_OK);
    bench_end(&b);
}

static void who_relies_on_the_number_keeps_it(void **state)
{
    struct bench b = bench_new(FILE_SIZE);
    struct log_topic kept;
    (void)state;
    bench_open(&b);
    uint32_t id = topic(&b, "t", 2);
    assert_int_equal(log_topic_keep(b.log, "nothing", &kept), NEAP_NOTFOUND);
    assert_int_equal(log_topic_keep(b.log, "t", &kept), NEAP_OK);
    assert_int_equal(log_topic_keep(b.log, "t", &kept), NEAP_OK);
    assert_int_equal(kept.partition_count, 2);
    assert_int_equal(grow(&b, id, 3), NEAP_HELD);
    assert_int_equal(grow(&b, id, 2), NEAP_OK);
    log_topic_let(b.log, id);
    assert_int_equal(grow(&b, id, 3), NEAP_HELD);
    log_topic_let(b.log, id);
    assert_int_equal(grow(&b, id, 3), NEAP_OK);
    log_topic_let(b.log, id + 7); /* of a topic that is gone */
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_durable),
        cmocka_unit_test(an_alteration_is_durable),
        cmocka_unit_test(a_refused_alteration_leaves_nothing),
        cmocka_unit_test(a_trim_is_durable),
        cmocka_unit_test(a_hold_is_durable_until_it_is_forgotten),
        cmocka_unit_test(a_group_holds_what_comes_to_its_topic),
        cmocka_unit_test(what_holds_would_take_is_within_the_bound),
        cmocka_unit_test(a_snapshot_of_before_is_read_as_if_they_had),
        cmocka_unit_test(an_alteration_meets_what_was_seen),
        cmocka_unit_test(who_relies_on_the_number_keeps_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
