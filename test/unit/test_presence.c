/* A directory that is deleted, moved away or replaced under a log stops it: nothing is acknowledged that would be lost. */
#include "log_bench.h"

/* The housekeeper may make a file in a folder that is just being deleted: then once more. */
static void shell(const char *commands, const char *path)
{
    char command[256];
    snprintf(command, sizeof command, "D='%s'; %s", path, commands);
    must(system(command) == 0);
}

static void check_stops(const char *what_happens, const char *what_is_said)
{
    struct bench b = bench_new(64u << 10);
    struct error err = { 0 };
    bench_open(&b);
    struct log_partition p = { topic(&b, "t", 1), 0 };
    assert_int_equal(append(&b, p, "v", 0, 1, 100, NULL), NEAP_OK);
    assert_int_equal(log_look(b.log, &err), NEAP_OK);
    shell(what_happens, b.path);
    assert_int_equal(log_look(b.log, &err), NEAP_IO);
    assert_non_null(strstr(err.text, what_is_said));
    assert_non_null(strstr(err.text, b.path));
    err = (struct error){ 0 };
    assert_int_equal(log_health(b.log, &err), NEAP_IO);
    assert_non_null(strstr(err.text, what_is_said));
    enum neap_status status = append(&b, p, "v", 1, 1, 100, NULL);
    assert_true(status == NEAP_CLOSED || status == NEAP_IO);
    shell("rm -rf $D.away", b.path);
    bench_end(&b);
}

static void a_deleted_directory_stops_the_log(void **state)
{
    (void)state;
    check_stops("rm -rf $D || rm -rf $D", "deleted or moved away");
}

static void one_moved_away_stops_it(void **state)
{
    (void)state;
    check_stops("mv $D $D.away", "deleted or moved away");
}

static void one_put_in_its_place_stops_it(void **state)
{
    (void)state;
    check_stops("(cp -r $D $D.copy || true) && (rm -rf $D || rm -rf $D) && mv $D.copy $D",
                "replaced by another directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deleted_directory_stops_the_log),
        cmocka_unit_test(one_moved_away_stops_it),
        cmocka_unit_test(one_put_in_its_place_stops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
