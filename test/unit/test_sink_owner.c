/* The SQLite sink's offsets row: whose it is, who else is at the database, and what a kill or a full disk leaves. */
#include "check.h"

#include "sqlite_shop.h"
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- whose row it is ---- */

static void an_older_owner_is_fenced(void **state)
{
    struct sink_world *w = *state;
    struct shop old, new;
    shop_init(&old, w, "a.db");
    shop_open(&old);
    start_at(&old, source, 1, 0);
    struct landing *first = landing_new(w, old.sink, source);
    add_numbers(first, 0, 5);
    assert_int_equal(landing_land(first), NEAP_OK);

    shop_init(&new, w, "a.db");
    shop_open(&new);
    start_at(&new, source, 2, 5);
    landing_clear(first);
    add_numbers(first, 5, 10);
    assert_int_equal(landing_land(first), NEAP_CONFLICT);
    assert_non_null(strstr(first->batch.error.text, "taken over by a later start (owner epoch 2, ours is 1)"));
    struct landing *second = landing_new(w, new.sink, source);
    add_numbers(second, 5, 8);
    assert_int_equal(landing_land(second), NEAP_OK);
    assert_int_equal(landing_land(first), NEAP_CONFLICT);
    assert_string_equal(seen(&new, "SELECT count(*), max(n) FROM commits"), "8|7\n");
    landing_free(&first);
    landing_free(&second);

    struct sink_recover r = world_recover(w, old.sink, source, 1, false);
    assert_int_equal(r.status, NEAP_CONFLICT);
    r = world_recover(w, old.sink, source, 1, true);
    assert_int_equal(r.status, NEAP_OK);
    assert_int_equal(r.row.commit_point.n, 8);
    assert_true(r.foreign);
    assert_string_equal(seen(&new, OFFSETS), "8|2|2|0|3|commits|1\n"); /* not before something lands */
    first = landing_new(w, old.sink, source);
    add_numbers(first, 8, 9);
    assert_int_equal(landing_land(first), NEAP_OK);
    assert_string_equal(seen(&new, OFFSETS), "9|1|3|0|1|commits|1\n");
    second = landing_new(w, new.sink, source);
    add_numbers(second, 8, 10);
    assert_int_equal(landing_land(second), NEAP_CONFLICT);
    landing_free(&first);
    landing_free(&second);
    shop_close(&old);
    shop_close(&new);
}

static struct sink_recover recover_knowing(struct shop *s, const uint64_t *epochs, uint32_t count, bool take_over)
{
    struct sink_recover r = { .agent = &s->world->agent,
                              .done = recover_answered,
                              .ctx = s->world,
                              .source = source,
                              .owner_epoch = epochs[0],
                              .epochs = epochs,
                              .epoch_count = count,
                              .done_rooms = { world_done_rooms[0], world_done_rooms[1] },
                              .take_over = take_over };
    s->world->waiting++;
    s->sink->verbs->recover(s->sink, &r);
    world_settle(s->world);
    return r;
}

/* The data directory was put back, and has come as far again: only the epoch tells. */
static void a_row_of_a_start_that_the_log_has_forgotten_is_said(void **state)
{
    struct shop s;
    uint64_t epochs[SINK_EPOCH_COUNT_MAX] = { 0x300007, 0x200005, 0x100001 };
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 0x200003, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    struct sink_recover r = recover_knowing(&s, epochs, 3, false);
    assert_int_equal(r.status, NEAP_CONFLICT);
    assert_non_null(strstr(r.error.text, "to offset 5 by a start of pipeline"));
    assert_string_equal(seen(&s, OFFSETS), "5|2097155|1|0|5|commits|1\n"); /* and left as it is */
    r = recover_knowing(&s, epochs, 3, true);
    assert_true(r.status == NEAP_OK && r.foreign);
    epochs[1] = 0x200003; /* a start that it knows */
    r = recover_knowing(&s, epochs, 3, false);
    assert_true(r.status == NEAP_OK && !r.foreign);
    assert_string_equal(seen(&s, OFFSETS), "5|3145735|1|0|5|commits|1\n");
    seen(&s, "UPDATE neap_offsets SET owner_epoch = 5"); /* older than all that are remembered: nobody knows */
    for (uint32_t i = 0; i < COUNT_OF(epochs); i++)
        epochs[i] = 0x500000 - i;
    r = recover_knowing(&s, epochs, COUNT_OF(epochs), false);
    assert_int_equal(r.status, NEAP_OK);
    landing_free(&l);
    shop_close(&s);
}

static void two_who_found_no_row_do_not_both_write_one(void **state)
{
    struct sink_world *w = *state;
    struct shop a, b;
    shop_init(&a, w, "a.db");
    shop_open(&a);
    shop_init(&b, w, "a.db");
    shop_open(&b);
    start_at(&a, source, 1, 0);
    start_at(&b, source, 1, 0);
    struct landing *of_a = landing_new(w, a.sink, source), *of_b = landing_new(w, b.sink, source);
    add_numbers(of_a, 0, 3);
    add_numbers(of_b, 0, 5);
    assert_int_equal(landing_land(of_a), NEAP_OK);
    assert_int_equal(landing_land(of_b), NEAP_CONFLICT);
    assert_non_null(strstr(of_b->batch.error.text, "stands at offset 3 there and at 0 here"));
    assert_string_equal(seen(&a, "SELECT count(*) FROM commits"), "3\n");
    landing_free(&of_a);
    landing_free(&of_b);
    shop_close(&a);
    shop_close(&b);
}

static void a_row_that_changed_or_went_away_stops_the_landing(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l);
    add_numbers(l, 5, 9);
    seen(&s, "CREATE TABLE copy AS SELECT * FROM neap_offsets; UPDATE neap_offsets SET landings = 0, commit_point = 2");
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "stands at offset 2 there and at 5 here"));
    seen(&s, "DELETE FROM neap_offsets");
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "is gone; it stood at offset 5"));
    seen(&s, "INSERT INTO neap_offsets SELECT * FROM copy");
    assert_int_equal(landing_land(l), NEAP_OK);
    seen(&s, "DROP TABLE commits");
    landing_clear(l);
    add_numbers(l, 9, 10);
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "no such table: main.commits"));
    landing_free(&l);
    shop_close(&s);
}

static void a_row_of_another_log_is_shown_and_left_alone(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 4, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);

    s.options.log_id.bytes[0] = 0xee; /* the data directory was wiped */
    shop_open(&s);
    struct sink_recover r = start_at(&s, (struct log_partition){ 2, 0 }, 1, 0);
    assert_true(r.rows_there);
    assert_true(r.stranger.found);
    assert_memory_equal(r.stranger.log_id, our_log.bytes, 16);
    assert_int_equal(r.stranger.commit_point.n, 5);
    assert_int_equal(r.stranger.owner_epoch, 4);
    assert_int_equal(r.stranger.ledger.delivered, 5);
    assert_string_equal(seen(&s, OFFSETS), "5|4|1|0|5|commits|1\n");
    shop_close(&s);
}

static void a_row_of_another_topic_of_this_log_is_shown_behind_another_logs(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 4, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);

    struct log_partition made_again = { source.topic_id + 7, source.partition };
    struct sink_recover r = start_at(&s, made_again, 5, 0);
    assert_false(r.row.found);
    assert_true(r.stranger.found);
    assert_int_equal(r.stranger.topic_id, source.topic_id);
    assert_int_equal(r.stranger.commit_point.n, 5);
    seen(&s, "CREATE TABLE copy AS SELECT * FROM neap_offsets; UPDATE copy SET log_id = replace(log_id, '0', '1'), "
             "commit_point = 3, updated_at = '2020'; INSERT INTO neap_offsets SELECT * FROM copy");
    r = start_at(&s, made_again, 6, 0);
    assert_int_equal(r.stranger.topic_id, 0);
    assert_int_equal(r.stranger.commit_point.n, 3);
    shop_close(&s);
}

static void a_table_dropped_while_we_were_away_holds_nothing_of_ours(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);

    seen(&s, "DELETE FROM commits"); /* emptied: the user's business */
    shop_open(&s);
    assert_true(start_at(&s, source, 2, 5).row.found);
    shop_close(&s);

    seen(&s, "DROP TABLE commits");
    for (uint64_t epoch = 3; epoch < 5; epoch++) { /* still so when the table is there again */
        shop_open(&s);
        assert_false(start_at(&s, source, epoch, 0).row.found);
        shop_close(&s);
    }
}

static void another_table_is_said_until_a_start_is_written(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);

    s.options.table = "commits2";
    shop_open(&s);
    struct sink_recover r = world_recover(*state, s.sink, source, 2, false);
    assert_int_equal(r.status, NEAP_CONFLICT);
    assert_non_null(strstr(r.error.text, "into table commits up to offset 5; the pipeline now names table commits2"));
    r = world_recover(*state, s.sink, source, 2, true);
    assert_int_equal(r.status, NEAP_OK);
    assert_false(r.rows_there);
    l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 2); /* start: earliest */
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, OFFSETS), "2|2|2|0|2|commits2|1\n");
    shop_close(&s);
}

/* ---- who else is there ---- */

static void another_program_reads_and_writes_beside_us(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(w, s.sink, source);
    sqlite3 *other = open_beside(&s);
    assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT count(*) FROM commits", NULL, NULL, NULL), SQLITE_OK);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK); /* a reader does not hold us up */
    assert_int_equal(sqlite3_exec(other, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    landing_clear(l);
    add_numbers(l, 5, 10);
    assert_int_equal(landing_land(l), NEAP_TIMEOUT); /* a writer does, and we say so */
    assert_non_null(strstr(l->batch.error.text, "database is locked"));
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_string_equal(seen(&s, OFFSETS), "10|1|2|0|10|commits|1\n");
    landing_free(&l);
    shop_close(&s);
}

/* Without a write-ahead log a reader stops the COMMIT itself. */
static void a_commit_that_a_reader_stopped_did_not_land(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    seen(&s, "CREATE TABLE something (x)");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(w, s.sink, source);
    sqlite3 *other = open_beside(&s);
    assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT count(*) FROM something", NULL, NULL, NULL), SQLITE_OK);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_TIMEOUT);
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_string_equal(seen(&s, "SELECT count(*) FROM commits"), "0\n");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
}

static void a_database_that_was_moved_away_gets_no_rows(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(w, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l);
    add_numbers(l, 5, 6);
    char moved[700];
    snprintf(moved, sizeof(moved), "%s.old", s.path);
    assert_int_equal(rename(s.path, moved), 0);
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "moved away or deleted while it was in use"));
    assert_int_equal(rename(moved, s.path), 0);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
}

static void a_full_disk_takes_nothing_and_goes_on_when_there_is_room(void **state)
{
    struct sink_world *w = *state;
    char dir[640];
    snprintf(dir, sizeof(dir), "%s", scratch_path(&w->scratch, "small"));
    assert_int_equal(io_dir_make(w->io, dir, NULL), NEAP_OK);
    if (mount("none", dir, "tmpfs", 0, "size=400k") != 0)
        skip(); /* only root may make a small disk */
    struct shop s;
    shop_init(&s, w, "small/a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    char ballast[700];
    snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
    FILE *f = fopen(ballast, "w");
    setvbuf(f, NULL, _IONBF, 0);
    for (int i = 0; i < 400 && fputc('x', f) == 'x'; i++)
        fseek(f, 1023, SEEK_CUR);
    fclose(f);
    struct landing *l = landing_new(w, s.sink, source);
    add_numbers(l, 0, 4000);
    enum neap_status full = landing_land(l);
    char text[64];
    snprintf(text, sizeof(text), "%s", seen(&s, "SELECT count(*) FROM commits"));
    unlink(ballast);
    assert_int_equal(mount("none", dir, NULL, MS_REMOUNT, "size=8m"), 0);
    enum neap_status again = landing_land(l);
    char after[64];
    snprintf(after, sizeof(after), "%s", seen(&s, "SELECT count(*) FROM commits"));
    landing_free(&l);
    shop_close(&s);
    assert_int_equal(umount(dir), 0);
    assert_int_equal(full, NEAP_FULL);
    assert_string_equal(text, "0\n");
    assert_int_equal(again, NEAP_OK);
    assert_string_equal(after, "4000\n");
}

/* ---- kill -9 ---- */

static _Noreturn void land_for_ever(const struct scratch *scratch, int progress)
{
    struct sink_world w;
    world_open(&w);
    scratch_fini(&w.scratch);
    w.scratch = *scratch;
    if (vfs != NULL) { /* the parent's goes through the parent's door */
        io_vfs_unregister(vfs);
        assert_int_equal(io_vfs_register(w.io, vfs, &w.err), NEAP_OK);
    }
    struct shop s;
    shop_init(&s, &w, "a.db");
    s.database_options.checkpoint_size = 64 << 10; /* often, so that kills meet one */
    shop_open(&s);
    struct sink_recover r = world_recover(&w, s.sink, source, 1, true);
    struct landing *l = landing_new(&w, s.sink, source);
    l->batch.ledger = r.row.ledger;
    for (uint64_t at = r.row.commit_point.n;; at += 50) {
        landing_clear(l);
        add_numbers(l, at, at + 50);
        if (landing_land(l) != NEAP_OK || write(progress, "", 1) != 1)
            _exit(1);
    }
}

static void rows_and_commit_point_agree_after_every_kill(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    uint64_t seed = 5;
    for (int kill_count = 0; kill_count < 12; kill_count++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            land_for_ever(&w->scratch, ends[1]);
        assert_true(child > 0);
        close(ends[1]);
        char bytes[8];
        ssize_t wanted = 1 + (ssize_t)chance_below(&seed, sizeof(bytes));
        for (ssize_t got = 0; wanted > 0; wanted -= got) {
            got = read(ends[0], bytes, (size_t)wanted);
            assert_true(got > 0); /* it has not given up */
        }
        usleep((useconds_t)chance_below(&seed, 3000)); /* somewhere in the next ones */
        int status;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        close(ends[0]);
        char rows[64];
        snprintf(rows, sizeof(rows), "%s", seen(&s, "SELECT count(*), max(n) + 1 FROM commits"));
        assert_string_equal(rows, seen(&s, "SELECT commit_point, delivered FROM neap_offsets"));
    }
    assert_true(strtoull(seen(&s, "SELECT count(*) FROM commits"), NULL, 10) >= 12 * 50);
}

int main(void)
{
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, open_state, close_state)
    const struct CMUnitTest tests[] = {
        TEST_OF(an_older_owner_is_fenced),
        TEST_OF(a_row_of_a_start_that_the_log_has_forgotten_is_said),
        TEST_OF(two_who_found_no_row_do_not_both_write_one),
        TEST_OF(a_row_that_changed_or_went_away_stops_the_landing),
        TEST_OF(a_row_of_another_log_is_shown_and_left_alone),
        TEST_OF(a_row_of_another_topic_of_this_log_is_shown_behind_another_logs),
        TEST_OF(a_table_dropped_while_we_were_away_holds_nothing_of_ours),
        TEST_OF(another_table_is_said_until_a_start_is_written),
        TEST_OF(another_program_reads_and_writes_beside_us),
        TEST_OF(a_commit_that_a_reader_stopped_did_not_land),
        TEST_OF(a_database_that_was_moved_away_gets_no_rows),
        TEST_OF(a_full_disk_takes_nothing_and_goes_on_when_there_is_room),
        TEST_OF(rows_and_commit_point_agree_after_every_kill),
    };
    int failed_count = cmocka_run_group_tests_name("sink_owner", tests, NULL, NULL);
    vfs = DOOR_VFS;
    return failed_count + cmocka_run_group_tests_name("sink_owner on the door", tests, NULL, NULL);
}
