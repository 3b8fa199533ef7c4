/* A sector that cannot be read is damage of that place: named as such, and nothing else ends, neither the node nor its cleaning. */
#include "log_bench.h"
#include <errno.h>
#include <sys/syscall.h>

/* ---- a disk with one bad sector ---------------------------------------------------------------------------------------- */

static char bad_path[160];
static _Atomic long bad_at = -1; /* its path is written first */

bool is_bad(int fd, size_t size, off_t at); /* pread() is inline in a fortified header, which may use nothing static */
bool is_bad(int fd, size_t size, off_t at)
{
    char link[64], path[160];
    long bad = bad_at;
    if (bad < 0 || at > bad || at + (off_t)size <= bad)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    return strcmp(path, bad_path) == 0;
}

ssize_t pread(int fd, void *to, size_t size, off_t at);
ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    if (is_bad(fd, size, at)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, to, size, at);
}

/* ---- a log with something on it ------------------------------------------------------------------------------------------ */

static long find_text(const char *path, const char *text)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    must(f != NULL);
    size_t got = fread(bytes, 1, sizeof bytes, f), size = strlen(text);
    fclose(f);
    for (size_t i = 0; i + size <= got; i++)
        if (memcmp(bytes + i, text, size) == 0)
            return (long)i;
    return -1;
}

struct topics {
    struct log_partition kept, bulk;
};

/* Batches of four events of 300 bytes, and of a bulk that can be trimmed away. */
static struct bench filled(struct topics *ret)
{
    struct bench b = bench_new(64u << 10);
    b.options.snapshot_size = 128u << 10;
    b.options.scrub_delay_ns = 3600 * NS_PER_S;
    b.options.clean_ns = 3600 * NS_PER_S;
    bad_at = -1;
    bench_open(&b);
    ret->kept = (struct log_partition){ topic(&b, "kept", 1), 0 };
    ret->bulk = (struct log_partition){ topic(&b, "bulk", 1), 0 };
    for (uint64_t n = 0; n < 150; n++) {
        assert_int_equal(append(&b, ret->kept, "k", 4 * n, 4, 300, NULL), NEAP_OK);
        assert_int_equal(append(&b, ret->bulk, "b", 4 * n, 4, 900, NULL), NEAP_OK);
    }
    bench_close(&b);
    b.options.path = NULL;
    return b;
}

/* In the second file: the sector that holds the middle of a batch of the kept topic. Answers the batch's first offset. */
static uint64_t spoil(struct bench *b)
{
    char text[32];
    assert_true(log_file(b, "journal", ".npj", 1, bad_path, sizeof bad_path));
    for (uint64_t first = 40; first < 160; first += 4) {
        snprintf(text, sizeof text, "k %llu ", (unsigned long long)first + 2);
        bad_at = find_text(bad_path, text);
        if (bad_at > 0)
            return first;
    }
    fail();
    return 0;
}

/* Reads as far as it goes; answers the end. */
static uint64_t read_up(struct bench *b, struct log_partition p, uint64_t from, size_t read_size, enum neap_status *ret)
{
    struct log_reader *reader;
    struct log_batch batch;
    uint64_t next = from;
    assert_int_equal(log_reader_open(b->log, p, (log_offset){ from }, read_size, &reader, &b->err), NEAP_OK);
    while ((*ret = log_reader_next(reader, &batch, &b->err)) == NEAP_OK)
        next = batch.base.n + batch.count;
    log_reader_close(&reader);
    return next;
}

static void all_before_and_beside_is_read(void **state)
{
    struct topics t;
    enum neap_status status;
    struct log_damage d;
    (void)state;
    struct bench b = filled(&t);
    uint64_t bad = spoil(&b);
    bench_open(&b);
    assert_int_equal(read_up(&b, t.kept, 0, 64 << 10, &status), bad);
    assert_int_equal(status, NEAP_CORRUPT);
    assert_int_equal(read_up(&b, t.kept, bad + 4, 64 << 10, &status), 600);
    assert_int_equal(status, NEAP_AGAIN);
    assert_int_equal(check_records(&b, t.bulk, "b", 0), 600);
    assert_true(log_damage_at(b.log, 0, &d));
    assert_string_equal(d.topic, "kept");
    assert_int_equal(d.offset.n, bad);
    assert_int_equal(d.count, 4);
    bench_end(&b);
}

static void cleaning_leaves_the_file_and_goes_on(void **state)
{
    struct topics t;
    enum neap_status status;
    struct log_damage d;
    struct log_figures f;
    (void)state;
    struct bench b = filled(&t);
    b.options.clean_ns = NS_PER_MS;
    bench_open(&b);
    uint64_t bad = spoil(&b);
    struct log_op op = { .kind = LOG_TRIM, .target = t.bulk, .offset = { 600 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b.client, &unit, soon(&b)), NEAP_OK);
    mono_time deadline = soon(&b);
    uint64_t n = 600;
    do { /* what can be drained is, in the end */
        assert_int_equal(append(&b, t.kept, "k", n, 1, 300, NULL), NEAP_OK);
        n++;
        usleep(2000);
        log_figures(b.log, &f);
        assert_true(io_now(b.io).ns < deadline.ns);
    } while (f.archive_count < 2 || f.damage_count == 0);
    assert_true(log_damage_at(b.log, 0, &d));
    assert_string_equal(d.topic, "kept");
    assert_int_equal(d.offset.n, bad);
    assert_int_equal(access(bad_path, F_OK), 0);
    assert_int_equal(read_up(&b, t.kept, bad + 4, 64 << 10, &status), n);
    assert_int_equal(status, NEAP_AGAIN);
    bench_end(&b);
}

struct named {
    struct log_loss losses[16];
    uint32_t count;
    char lines[8192];
};

static void keep(void *ctx, const struct log_finding *finding)
{
    struct named *named = ctx;
    size_t used = strlen(named->lines);
    snprintf(named->lines + used, sizeof named->lines - used, "%s\n", finding->line);
    if (named->count < 16 && log_loss_of(finding, &named->losses[named->count]))
        named->count++;
}

static void doctor_names_that_place_and_repair_settles_it(void **state)
{
    struct topics t;
    enum neap_status status;
    (void)state;
    for (int replayed = 0; replayed < 2; replayed++) {
        struct bench b = filled(&t);
        uint64_t bad = spoil(&b);
        char path[160];
        while (replayed != 0 && log_file(&b, "snapshot", ".nps", 0, path, sizeof path))
            assert_int_equal(unlink(path), 0); /* a start has to read all of the journal */
        for (int round = 0; round < 2; round++) {
            struct named named = { .count = 0 };
            b.options.path = b.path;
            status = log_doctor(b.io, b.path, &(struct log_doctor){ .finding = keep, .ctx = &named }, &b.err);
            if (named.count != (round == 0 ? 2u : 0u) || status != (round == 0 ? NEAP_CORRUPT : NEAP_OK))
                print_error("%s", named.lines);
            assert_int_equal(status, round == 0 ? NEAP_CORRUPT : NEAP_OK);
            assert_int_equal(named.count, round == 0 ? 2 : 0); /* bytes of the file, and four offsets */
            if (round != 0)
                break;
            assert_string_equal(named.losses[1].topic, "kept");
            assert_int_equal(named.losses[1].first.n, bad);
            assert_int_equal(named.losses[1].end.n, bad + 4);
            status = log_repair(b.io, &b.options, named.losses, named.count, false, &b.err);
            if (status != NEAP_OK)
                print_error("%s\n", b.err.text);
            assert_int_equal(status, NEAP_OK);
        }
        bench_open(&b);
        assert_int_equal(read_up(&b, t.kept, 0, 64 << 10, &status), 600);
        assert_int_equal(status, NEAP_AGAIN);
        bench_end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_before_and_beside_is_read),
        cmocka_unit_test(cleaning_leaves_the_file_and_goes_on),
        cmocka_unit_test(doctor_names_that_place_and_repair_settles_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
