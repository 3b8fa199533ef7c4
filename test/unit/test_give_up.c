/* Whoever leaves a log on a full disk, or on one that stalls, is not held: what waits for room fails, what was acknowledged
 * stays. */
#include "log_bench.h"

#include "io/sim.h"

#define ACKED_COUNT 20u

static struct sim_disk *disk;

static void world_open(struct bench *b)
{
    *b = (struct bench){ .path = "data", .options = { .file_size = 1u << 20, .tail_size = 1u << 20 } };
    disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
    b->io = sim_open(&(struct sim_options){ .seed = 7, .disk = disk });
    must(b->io != NULL);
    bench_open(b);
}

static void world_close(struct bench *b)
{
    bench_close(b);
    sim_close(&b->io);
    sim_disk_free(&disk);
}

/* From here on every write to the journal's files meets a full disk, which files made beforehand should never do; on a disk
 * with quotas or snapshots of its own they may. */
static void fill_up(struct bench *b)
{
    sim_fault_add(b->io, &(struct sim_fault){
                             .call = SIM_WRITE, .path_part = ".npj", .nth = 1, .sticky = true, .status = NEAP_FULL });
}

static struct log_partition append_some(struct bench *b)
{
    struct log_partition p = { topic(b, "t", 1), 0 };
    for (uint64_t i = 0; i < ACKED_COUNT; i++)
        assert_int_equal(append(b, p, "v", i, 1, 200, NULL), NEAP_OK);
    return p;
}

struct told {
    uint32_t count;
    enum neap_status status;
};

static void tell(struct log_unit *unit, enum neap_status status)
{
    struct told *told = unit->ctx;
    told->count++;
    told->status = status;
}

static void what_waits_for_room_fails_when_somebody_leaves(void **state)
{
    static struct bench b;
    static uint8_t room[4096];
    struct told told = { 0 };
    struct error err = { 0 };
    (void)state;
    world_open(&b);
    struct log_partition p = append_some(&b);
    fill_up(&b);
    struct log_op op = {
        .kind = LOG_APPEND, .target = p, .count = 1, .payload = make_batch(room, sizeof room, "v", ACKED_COUNT, 1, 200)
    };
    struct log_unit unit = { .ops = &op, .count = 1, .done = tell, .ctx = &told };
    assert_int_equal(log_submit(b.client, &unit), NEAP_OK);
    sim_run(b.io, 60 * NS_PER_S);
    log_client_work(b.client);
    assert_int_equal(told.count, 0); /* full is waited out, for as long as nobody says otherwise */
    assert_int_equal(log_health(b.log, NULL), NEAP_OK);

    log_give_up(b.log);
    sim_run(b.io, NS_PER_S);
    log_client_work(b.client);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.status, NEAP_IO); /* not FULL: its offset was given, so nothing may come after it */
    assert_int_not_equal(log_health(b.log, &err), NEAP_OK);
    assert_non_null(strstr(err.text, ".npj"));
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_CLOSED);

    sim_faults_clear(b.io);
    bench_reopen(&b);
    uint64_t count = check_records(&b, p, "v", 0); /* what was told to have failed may be there: any part was written */
    assert_in_range(count, ACKED_COUNT, ACKED_COUNT + 1);
    assert_int_equal(append(&b, p, "v", count, 1, 200, NULL), NEAP_OK);
    world_close(&b);
}

static void a_wait_past_its_deadline_gives_up_by_itself(void **state)
{
    static struct bench b;
    static uint8_t room[4096];
    (void)state;
    world_open(&b);
    struct log_partition p = append_some(&b);
    fill_up(&b);
    struct log_op op = {
        .kind = LOG_APPEND, .target = p, .count = 1, .payload = make_batch(room, sizeof room, "v", ACKED_COUNT, 1, 200)
    };
    struct log_unit unit = { .ops = &op, .count = 1 };
    mono_time start = io_now(b.io);
    assert_int_equal(log_submit_wait(b.client, &unit, mono_after(start, 5 * NS_PER_S)), NEAP_IO);
    assert_in_range(io_now(b.io).ns - start.ns, 5 * NS_PER_S, 6 * NS_PER_S);
    assert_int_equal(log_client_inflight(b.client), 0);
    sim_faults_clear(b.io);
    bench_reopen(&b);
    assert_in_range(check_records(&b, p, "v", 0), ACKED_COUNT, ACKED_COUNT + 1);
    world_close(&b);
}

/* From here on a sync takes as long; and one begins, beside the journal's other work, as its producer does not wait for it. */
static void stall(struct bench *b, int64_t ns)
{
    struct log_topic t;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.interval_ms = 1000;
    assert_int_equal(log_topic_ensure_with(b->client, "soon", 1, &settings, soon(b), &t, &b->err), NEAP_OK);
    sim_fault_add(b->io, &(struct sim_fault){ .call = SIM_SYNC, .path_part = ".npj", .nth = 1, .stall_ns = ns });
    mono_time start = io_now(b->io);
    assert_int_equal(append(b, (struct log_partition){ t.id, 0 }, "v", 0, 1, 200, NULL), NEAP_OK);
    assert_in_range(io_now(b->io).ns - start.ns, 0, NS_PER_S);
}

/* The first one is written and waits for its sync; the second one is not even looked at meanwhile. */
static void a_disk_that_stalls_holds_nobody_past_his_deadline(void **state)
{
    static struct bench b;
    static uint8_t room[4096];
    (void)state;
    world_open(&b);
    struct log_partition p = append_some(&b);
    stall(&b, 60 * NS_PER_S);
    for (uint32_t i = 0; i < 2; i++) {
        mono_time start = io_now(b.io);
        struct log_op op = { .kind = LOG_APPEND, .target = p, .count = 1 };
        op.payload = make_batch(room, sizeof room, "v", ACKED_COUNT + i, 1, 200);
        struct log_unit unit = { .ops = &op, .count = 1 };
        assert_int_equal(log_submit_wait(b.client, &unit, mono_after(start, 5 * NS_PER_S)), NEAP_TIMEOUT);
        assert_in_range(io_now(b.io).ns - start.ns, 5 * NS_PER_S, 7 * NS_PER_S);
        memset(room, 0xee, sizeof room); /* ours again */
    }
    assert_int_equal(log_client_inflight(b.client), 2);
    log_client_close(&b.client); /* what was left behind is the log's */
    sim_faults_clear(b.io);
    log_close(&b.log);
    bench_open(&b);
    uint64_t count = check_records(&b, p, "v", 0);
    assert_in_range(count, ACKED_COUNT, ACKED_COUNT + 2); /* in order, each whole or not there */
    assert_int_equal(append(&b, p, "v", count, 1, 200, NULL), NEAP_OK);
    world_close(&b);
}

/* When the disk comes back, so does the client: what it had given up is counted out of its room again. */
static void who_was_left_behind_comes_in_late(void **state)
{
    static struct bench b;
    static uint8_t room[4096];
    (void)state;
    world_open(&b);
    struct log_partition p = append_some(&b);
    stall(&b, 10 * NS_PER_S);
    struct log_op op = { .kind = LOG_APPEND, .target = p, .count = 1 };
    op.payload = make_batch(room, sizeof room, "v", ACKED_COUNT, 1, 200);
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, mono_after(io_now(b.io), NS_PER_S)), NEAP_TIMEOUT);
    uint64_t offset = 0;
    assert_int_equal(append(&b, p, "v", ACKED_COUNT + 1, 1, 200, &offset), NEAP_OK);
    assert_int_equal(offset, ACKED_COUNT + 1);
    assert_int_equal(log_client_inflight(b.client), 0);
    assert_int_equal(check_records(&b, p, "v", 0), ACKED_COUNT + 2);
    world_close(&b);
}

/* Where nothing waits for room, giving up changes nothing: what comes is written and acknowledged as ever. */
static void who_does_not_wait_is_not_touched(void **state)
{
    static struct bench b;
    (void)state;
    world_open(&b);
    struct log_partition p = append_some(&b);
    log_give_up(b.log);
    assert_int_equal(append(&b, p, "v", ACKED_COUNT, 1, 200, NULL), NEAP_OK);
    assert_int_equal(log_health(b.log, NULL), NEAP_OK);
    bench_reopen(&b);
    assert_int_equal(check_records(&b, p, "v", 0), ACKED_COUNT + 1);
    world_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_room_fails_when_somebody_leaves),
        cmocka_unit_test(a_wait_past_its_deadline_gives_up_by_itself),
        cmocka_unit_test(a_disk_that_stalls_holds_nobody_past_his_deadline),
        cmocka_unit_test(who_was_left_behind_comes_in_late),
        cmocka_unit_test(who_does_not_wait_is_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
