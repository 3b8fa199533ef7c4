/* Where room is short, whoever waits for it is told in the end, snapshots do not pile up, and what was given back stays given back. */
#include "log_bench.h"

#include "io/sim.h"
#include "log/local/local.h"

#define FILE_SIZE (128u << 10)

static struct sim_disk *disk;

static void world_open_seed(struct bench *b, struct log_options options, uint64_t seed)
{
    *b = (struct bench){ .path = "data", .options = options };
    b->options.tail_size = 64u << 10;
    b->options.snapshot_size = options.file_size;
    b->options.clean_ns = 10 * NS_PER_MS;
    disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    b->io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk });
    must(b->io != NULL);
    bench_open(b);
    sim_run(b->io, NS_PER_S); /* the ready files */
}

static void world_open(struct bench *b, struct log_options options)
{
    world_open_seed(b, options, 8);
}

static void world_close(struct bench *b)
{
    bench_close(b);
    sim_close(&b->io);
    sim_disk_free(&disk);
}

struct told {
    struct log_unit unit;
    struct log_op op;
    uint8_t room[32768];
    uint32_t count;
    enum neap_status status;
};

static void tell(struct log_unit *unit, enum neap_status status)
{
    struct told *told = unit->ctx;
    told->count++;
    told->status = status;
}

static void hand_in(struct log_client *client, struct told *told, struct log_partition p, uint32_t count)
{
    told->op = (struct log_op){ .kind = LOG_APPEND, .target = p, .count = count };
    told->op.payload = make_batch(told->room, sizeof told->room, "v", 0, count, 1000);
    told->unit = (struct log_unit){ .ops = &told->op, .count = 1, .done = tell, .ctx = told };
    assert_int_equal(log_submit(client, &told->unit), NEAP_OK);
}

static uint32_t ready_count(struct bench *b)
{
    return b->log->shared.file_count - b->log->shared.open_index - 1;
}

static uint64_t left_in_file(struct bench *b)
{
    struct journal_file *f = open_file(&b->log->shared);
    return f->base + f->size - b->log->shared.durable;
}

/* A producer waits for a file; a pipeline that goes before it has two units, of which the second does not fit either. */
static void of_two_that_wait_none_is_forgotten(void **state)
{
    static struct told producer, small, large;
    struct bench b;
    struct log_client *pipeline;
    (void)state;
    world_open(&b, (struct log_options){ .file_size = FILE_SIZE, .disk_size = 64 * FILE_SIZE });
    struct log_partition p = { topic(&b, "p", 1), 0 }, q = { topic(&b, "q", 1), 0 };
    assert_int_equal(log_client_open(b.log, &(struct log_client_options){ .rank = LOG_RANK_PIPELINE }, &pipeline,
                                     &b.err),
                     NEAP_OK);
    sim_fault_add(b.io, &(struct sim_fault){ .call = SIM_OPEN,
                                             .path_part = "spare-",
                                             .nth = 1,
                                             .sticky = true,
                                             .status = NEAP_DENIED }); /* not full */
    while (ready_count(&b) > 2 || left_in_file(&b) > 20000) { /* neither may have one of the files that are left */
        small = (struct told){ .count = 0 };
        hand_in(pipeline, &small, q, 3);
        for (int i = 0; i < 1000 && small.count == 0; i++) {
            sim_run(b.io, NS_PER_MS);
            log_client_work(pipeline);
        }
        assert_int_equal(small.status, NEAP_OK);
    }
    hand_in(b.client, &producer, p, 22);
    sim_run(b.io, 10 * NS_PER_MS);
    small = (struct told){ .count = 0 };
    hand_in(pipeline, &small, q, 3);
    hand_in(pipeline, &large, q, 27);
    sim_run(b.io, 100 * NS_PER_MS);
    log_client_work(pipeline);
    log_client_work(b.client);
    assert_true(small.count == 1 && small.status == NEAP_OK);
    assert_true(producer.count == 0 && large.count == 0);
    sim_faults_clear(b.io); /* in time: after some tries in vain they would be told that there is no room */
    sim_run(b.io, 10 * NS_PER_S);
    log_client_work(pipeline);
    log_client_work(b.client);
    assert_true(large.count == 1 && large.status == NEAP_OK);
    assert_true(producer.count == 1 && producer.status == NEAP_OK);
    log_client_close(&pipeline);
    world_close(&b);
}

/* Files that cannot be made, for whatever reason, are as good as a full disk: nobody waits for them without an answer. */
static void who_waits_for_no_file_is_told(void **state)
{
    static struct told told;
    struct bench b;
    (void)state;
    world_open(&b, (struct log_options){ .file_size = FILE_SIZE, .disk_size = 64 * FILE_SIZE });
    struct log_partition p = { topic(&b, "p", 1), 0 };
    sim_fault_add(b.io, &(struct sim_fault){
                            .call = SIM_OPEN, .path_part = "spare-", .nth = 1, .sticky = true, .status = NEAP_DENIED });
    do {
        told = (struct told){ .count = 0 };
        hand_in(b.client, &told, p, 20);
        for (int i = 0; i < 10000 && told.count == 0; i++) {
            sim_run(b.io, NS_PER_MS);
            log_client_work(b.client);
        }
        assert_int_equal(told.count, 1);
    } while (told.status == NEAP_OK);
    assert_int_equal(told.status, NEAP_FULL);
    sim_faults_clear(b.io);
    sim_run(b.io, 10 * NS_PER_S);
    told = (struct told){ .count = 0 };
    hand_in(b.client, &told, p, 20);
    sim_run(b.io, NS_PER_S);
    log_client_work(b.client);
    assert_true(told.count == 1 && told.status == NEAP_OK);
    world_close(&b);
}

/* The last file that producers may have was begun for one that is refused after all: nothing is in it, for as long as nobody else writes. */
static void snapshots_do_not_pile_up(void **state)
{
    struct bench b;
    uint64_t count = 0;
    (void)state;
    world_open(&b, (struct log_options){
                       .file_size = FILE_SIZE, .disk_size = 20 * FILE_SIZE, .idle_mark_ns = 24 * 3600 * NS_PER_S });
    struct log_partition p = { topic(&b, "p", 1), 0 };
    enum neap_status status;
    for (; (status = append(&b, p, "v", count, 5, 3000, NULL)) == NEAP_OK; count += 5)
        sim_run(b.io, 100 * NS_PER_MS); /* housekeeping is never behind */
    assert_int_equal(status, NEAP_FULL);
    assert_true(b.log->shared.durable <
                open_file(&b.log->shared)->base); /* nor was the one before it written to its end */
    uint64_t before = b.log->shared.snapshot_sequence;
    sim_run(b.io, 60 * NS_PER_S);
    assert_in_range(b.log->shared.snapshot_sequence, before, before + 2);
    assert_int_equal(check_records(&b, p, "v", 0), count);
    world_close(&b);
}

static enum neap_status commit(struct bench *b, struct log_partition p, uint64_t offset)
{
    struct log_op op = { .kind = LOG_OFFSET, .target = p, .name = BYTES("g"), .offset = { offset } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(b->client, &unit, soon(b));
}

/* Producers come to the end at whatever moment; the first commit comes at once, and each takes a page of its own. None is refused
 * while there is a page left that is for them, and those are a file; the rest of it is for marks and what housekeeping says. What
 * they have filled up holds nothing for long, so a refusal passes. */
static void commits_have_a_file_of_their_own(uint64_t seed)
{
    struct bench b;
    enum neap_status status = NEAP_OK;
    uint64_t files = seed % 3 == 0 ? 8 : seed % 3 == 1 ? 20 : 40, count = 0, committed = 0;
    world_open_seed(&b, (struct log_options){ .file_size = FILE_SIZE, .disk_size = files * FILE_SIZE }, seed);
    struct log_partition p = { topic(&b, "p", 1), 0 };
    for (; status == NEAP_OK && count < 10000; count++)
        status = append(&b, p, "v", count, 1, 1 + (seed * 977 + count * 131) % 4000, NULL);
    assert_int_equal(status, NEAP_FULL);
    for (status = NEAP_OK; status == NEAP_OK && committed < 100; committed += status == NEAP_OK)
        status = commit(&b, p, committed);
    bool at_the_end = left_in_file(&b) < JOURNAL_PAGE_SIZE && committed > FILE_SIZE / JOURNAL_PAGE_SIZE / 2;
    if (status != NEAP_OK && !at_the_end)
        print_error("seed %llu: %llu commits, then %s, with %llu bytes and %u files left\n", (unsigned long long)seed,
                    (unsigned long long)committed, status_name(status), (unsigned long long)left_in_file(&b),
                    ready_count(&b));
    assert_true(status == NEAP_OK || (status == NEAP_FULL && at_the_end));
    sim_run(b.io, 2 * NS_PER_S);
    assert_int_equal(commit(&b, p, committed), NEAP_OK);
    world_close(&b);
}

static void a_reserve_is_refused_to_nobody_it_is_for(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++)
        commits_have_a_file_of_their_own(seed);
}

struct names {
    char text[8192];
};

static bool add_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    must(strlen(names->text) + strlen(name) + 2 < sizeof names->text);
    strcat(strcat(names->text, name), " ");
    return true;
}

/* What the journal's folder holds after a crash at this moment. */
static void names_after(uint64_t crash, struct names *ret)
{
    struct sim_disk *left = sim_disk_state(disk, sim_disk_point(disk), crash, false);
    struct io *io = sim_open(&(struct sim_options){ .seed = 9, .disk = left, .calm = true });
    struct error err;
    ret->text[0] = 0;
    must(io_dir_list(io, "data/journal", add_name, ret, &err) == NEAP_OK);
    sim_close(&io);
    sim_disk_free(&left);
}

static void a_file_that_was_given_back_stays_away(void **state)
{
    static struct names killed, cut;
    struct bench b;
    (void)state;
    world_open(&b, (struct log_options){ .file_size = FILE_SIZE / 8, .disk_size = 64 * FILE_SIZE });
    struct log_partition p = { topic(&b, "p", 1), 0 };
    for (uint64_t i = 0; i < 150; i++)
        assert_int_equal(append(&b, p, "v", i, 1, 3000, NULL), NEAP_OK);
    uint32_t file_count = b.log->shared.file_count;
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = p };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    sim_run(b.io, 10 * NS_PER_S);
    assert_true(b.log->shared.file_count < file_count - 10); /* more are dead than the next ready files will want */
    names_after(SIM_STATE_ALL, &killed);
    names_after(SIM_STATE_NONE, &cut);
    assert_string_equal(cut.text, killed.text);
    world_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_two_that_wait_none_is_forgotten),
        cmocka_unit_test(who_waits_for_no_file_is_told),
        cmocka_unit_test(snapshots_do_not_pile_up),
        cmocka_unit_test(a_reserve_is_refused_to_nobody_it_is_for),
        cmocka_unit_test(a_file_that_was_given_back_stays_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
