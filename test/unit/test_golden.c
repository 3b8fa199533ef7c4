/* A directory written by any released format version opens, says what it said, and goes on. */
#include "../golden/golden.h"

#include "base/crc32c.h"

static void every_version_opens(void **state)
{
    static const char *const versions[] = { "v1" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct bench b = golden_bench();
        char command[512];
        snprintf(command, sizeof command, "cp -r '%s/%s/.' '%s'", SOURCE_ROOT "/test/golden", versions[i], b.path);
        must(system(command) == 0);
        bench_open(&b);
        golden_check(&b);
        struct log_topic t;
        assert_int_equal(log_topic_find(b.log, "orders", &t), NEAP_OK);
        assert_int_equal(append(&b, (struct log_partition){ t.id, 1 }, "q", GOLDEN_COUNT / 2, 1, 50, NULL), NEAP_OK);
        bench_reopen(&b);
        assert_int_equal(check_records(&b, (struct log_partition){ t.id, 1 }, "q", 0), GOLDEN_COUNT / 2 + 1);
        bench_end(&b);
    }
}

static void this_version_says_the_same(void **state)
{
    struct bench b = golden_bench();
    (void)state;
    bench_open(&b);
    golden_write(&b);
    bench_reopen(&b);
    golden_check(&b);
    bench_end(&b);
}

static void a_newer_version_is_refused(void **state)
{
    struct bench b = golden_bench();
    char command[512], path[256];
    (void)state;
    snprintf(command, sizeof command, "cp -r '%s/v1/.' '%s'", SOURCE_ROOT "/test/golden", b.path);
    must(system(command) == 0);
    must(log_file(&b, "journal", ".npj", 0, path, sizeof path));
    uint8_t page[60]; /* the version, and a checksum that is right */
    FILE *f = fopen(path, "r+b");
    must(f != NULL && fread(page, 1, sizeof page, f) == sizeof page);
    put_le32(page + 4, 3);
    put_le32(page + 56, crc32c(0, page, 56));
    must(fseek(f, 0, SEEK_SET) == 0 && fwrite(page, 1, sizeof page, f) == sizeof page && fclose(f) == 0);
    assert_int_equal(bench_try_open(&b), NEAP_VERSION);
    assert_non_null(strstr(b.err.text, "format 3"));
    snprintf(command, sizeof command, "rm -rf '%s'", b.path);
    must(system(command) == 0);
    io_real_close(&b.io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_opens),
        cmocka_unit_test(this_version_says_the_same),
        cmocka_unit_test(a_newer_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
