/* SQLite's files fail at the 1st, 2nd, 3rd … write, sync or truncation: whatever the sink says of a batch is true. */
#include "check.h"

#include "sink_world.h"
#include <sqlite3.h>
#include <unistd.h>

static const struct log_partition source = { 7, 0 };

/* ---- a VFS that passes everything on but the n-th change ---- */

static struct {
    sqlite3_vfs vfs, *below;
    _Atomic uint32_t count, fail_at; /* changes so far; the one that fails, 0: none */
    bool for_good;                   /* and all after it */
    int code;
} faults;

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *below;
};

static int fault(int code_of_kind)
{
    faults.count++;
    bool now =
        faults.fail_at != 0 && (faults.count == faults.fail_at || (faults.for_good && faults.count > faults.fail_at));
    return !now ? SQLITE_OK : faults.code == SQLITE_FULL ? SQLITE_FULL : code_of_kind;
}

static sqlite3_file *below(sqlite3_file *file)
{
    return ((struct faulty_file *)file)->below;
}

static int x_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 position)
{
    int code = fault(SQLITE_IOERR_WRITE);
    if (code != SQLITE_OK && size > 1) /* half of it is there */
        below(file)->pMethods->xWrite(below(file), from, size / 2, position);
    return code != SQLITE_OK ? code : below(file)->pMethods->xWrite(below(file), from, size, position);
}

static int x_sync(sqlite3_file *file, int flags)
{
    int code = fault(SQLITE_IOERR_FSYNC);
    return code != SQLITE_OK ? code : below(file)->pMethods->xSync(below(file), flags);
}

static int x_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int code = fault(SQLITE_IOERR_TRUNCATE);
    return code != SQLITE_OK ? code : below(file)->pMethods->xTruncate(below(file), size);
}

/* What only passes on. */
static int x_close(sqlite3_file *file)
{
    return below(file)->pMethods->xClose(below(file));
}
static int x_read(sqlite3_file *file, void *to, int size, sqlite3_int64 position)
{
    return below(file)->pMethods->xRead(below(file), to, size, position);
}
static int x_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return below(file)->pMethods->xFileSize(below(file), size);
}
static int x_lock(sqlite3_file *file, int lock)
{
    return below(file)->pMethods->xLock(below(file), lock);
}
static int x_unlock(sqlite3_file *file, int lock)
{
    return below(file)->pMethods->xUnlock(below(file), lock);
}
static int x_reserved(sqlite3_file *file, int *held)
{
    return below(file)->pMethods->xCheckReservedLock(below(file), held);
}
static int x_control(sqlite3_file *file, int op, void *arg)
{
    return below(file)->pMethods->xFileControl(below(file), op, arg);
}
static int x_sector(sqlite3_file *file)
{
    return below(file)->pMethods->xSectorSize(below(file));
}
static int x_device(sqlite3_file *file)
{
    return below(file)->pMethods->xDeviceCharacteristics(below(file));
}
static int x_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **at)
{
    return below(file)->pMethods->xShmMap(below(file), page, size, extend, at);
}
static int x_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return below(file)->pMethods->xShmLock(below(file), offset, n, flags);
}
static void x_shm_barrier(sqlite3_file *file)
{
    below(file)->pMethods->xShmBarrier(below(file));
}
static int x_shm_unmap(sqlite3_file *file, int delete)
{
    return below(file)->pMethods->xShmUnmap(below(file), delete);
}

static const sqlite3_io_methods methods = { .iVersion = 2,
                                            .xClose = x_close,
                                            .xRead = x_read,
                                            .xWrite = x_write,
                                            .xTruncate = x_truncate,
                                            .xSync = x_sync,
                                            .xFileSize = x_size,
                                            .xLock = x_lock,
                                            .xUnlock = x_unlock,
                                            .xCheckReservedLock = x_reserved,
                                            .xFileControl = x_control,
                                            .xSectorSize = x_sector,
                                            .xDeviceCharacteristics = x_device,
                                            .xShmMap = x_shm_map,
                                            .xShmLock = x_shm_lock,
                                            .xShmBarrier = x_shm_barrier,
                                            .xShmUnmap = x_shm_unmap };

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct faulty_file *f = (struct faulty_file *)file;
    (void)vfs;
    f->below = (sqlite3_file *)(f + 1);
    f->below->pMethods = NULL;
    int code = faults.below->xOpen(faults.below, name, f->below, flags, ret_flags);
    f->base.pMethods = f->below->pMethods != NULL ? &methods : NULL;
    return code;
}

static int open_group(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK) == 0) /* thousands of syncs, none of which is the point */
        setenv("TMPDIR", "/dev/shm", 0);
    faults.below = sqlite3_vfs_find(NULL);
    faults.vfs = *faults.below;
    faults.vfs.szOsFile = (int)sizeof(struct faulty_file) + faults.below->szOsFile;
    faults.vfs.zName = "faulty";
    faults.vfs.pNext = NULL;
    faults.vfs.xOpen = x_open;
    return sqlite3_vfs_register(&faults.vfs, 0);
}

/* ---- one run with one fault ---- */

struct run {
    struct sink_world world;
    char path[640];
    struct sqlite_database *database;
    struct sink *sink;
    struct sqlite_column columns[2];
};

static int64_t look(struct run *r, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(r->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return value;
}

static void open_sink(struct run *r, const char *vfs)
{
    struct sqlite_database_options database = {
        .io = r->world.io, .vfs = vfs, .path = r->path, .cache_size = 64 << 10, .checkpoint_size = 128 << 10
    };
    assert_int_equal(sqlite_database_open(&database, &r->database, &r->world.err), NEAP_OK);
    struct sqlite_sink_options options = {
        .database = r->database, .pipeline = "p", .name = "sink", .table = "t", .columns = r->columns, .column_count = 2
    };
    if (sqlite_sink_open(&options, &r->sink, &r->world.err) != NEAP_OK)
        fail_msg("%s", r->world.err.text);
    world_add(&r->world, r->sink);
}

static void close_sink(struct run *r)
{
    world_drop(&r->world, r->sink);
    sqlite_database_close(&r->database);
}

static void add_rows(struct landing *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        char json[400];
        snprintf(json, sizeof(json), "{\"n\":%llu,\"text\":\"%0300llu\"}", (unsigned long long)i,
                 (unsigned long long)i);
        landing_add(l, i, json);
    }
}

#define BATCH_ROWS  60u
#define BATCH_COUNT 12u

/* Lands batches until one fails that may not be tried again. Answers how far the sink said it got. */
static uint64_t land_batches(struct run *r, uint64_t from, bool *ret_met)
{
    struct landing *l = landing_new(&r->world, r->sink, source);
    uint64_t at = from;
    while (at < BATCH_ROWS * BATCH_COUNT) {
        landing_clear(l);
        add_rows(l, at, at + BATCH_ROWS);
        enum neap_status status = landing_land(l);
        *ret_met |= status != NEAP_OK;
        if (status == NEAP_OK) {
            at += BATCH_ROWS;
            continue;
        }
        assert_string_not_equal(l->batch.error.text, "");
        if (status == NEAP_IO) {
            assert_int_equal(landing_land(l), NEAP_IO); /* nothing comes behind it */
            break;
        }
        assert_true(status == NEAP_FULL || status == NEAP_AGAIN || status == NEAP_TIMEOUT);
        assert_int_equal(look(r, "SELECT count(*) FROM t"), at); /* nothing landed */
        if (faults.for_good)
            break;
    }
    landing_free(&l);
    return at;
}

static void check_truth(struct run *r, uint64_t said)
{
    int64_t rows = look(r, "SELECT count(*) FROM t");
    assert_int_equal(rows, look(r, "SELECT coalesce(max(n) + 1, 0) FROM t"));
    assert_int_equal(rows, look(r, "SELECT coalesce(max(commit_point), 0) FROM neap_offsets"));
    assert_int_equal(rows, look(r, "SELECT coalesce(max(delivered), 0) FROM neap_offsets"));
    assert_true(rows == (int64_t)said || rows == (int64_t)(said + BATCH_ROWS)); /* a failed commit may have landed */
}

/* false: this run met no fault any more. */
static bool run_once(uint32_t fail_at, int code, bool for_good, bool log)
{
    struct run r = { 0 };
    world_open(&r.world);
    snprintf(r.path, sizeof(r.path), "%s", scratch_path(&r.world.scratch, "a.db"));
    r.columns[0] = (struct sqlite_column){ "n", world_expr(&r.world, "event.n") };
    r.columns[1] = (struct sqlite_column){ "text", world_expr(&r.world, "event.text") };
    if (!log) {
        sqlite3 *db; /* a database that is there keeps its rollback journal */
        assert_int_equal(sqlite3_open(r.path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "CREATE TABLE before (x)", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
    }
    faults.fail_at = 0;
    open_sink(&r, "faulty");
    assert_int_equal(world_recover(&r.world, r.sink, source, 1, false).status, NEAP_OK);
    faults.count = 0;
    faults.fail_at = fail_at;
    faults.code = code;
    faults.for_good = for_good;
    bool met = false;
    uint64_t said = land_batches(&r, 0, &met);
    close_sink(&r); /* the last checkpoint may meet the fault as well */
    bool reached = faults.count >= fail_at;
    faults.fail_at = 0;
    check_truth(&r, said);

    open_sink(&r, NULL); /* and a restart goes on where it really is */
    struct sink_recover recover = world_recover(&r.world, r.sink, source, 2, false);
    assert_int_equal(recover.status, NEAP_OK);
    said = land_batches(&r, recover.row.commit_point.n, &met);
    close_sink(&r);
    assert_int_equal(said, BATCH_ROWS * BATCH_COUNT);
    assert_int_equal(look(&r, "SELECT count(DISTINCT n) = count(*) AND count(*) = 720 FROM t"), 1);
    world_close(&r.world);
    return reached;
}

static void sweep(int code, bool for_good, bool log)
{
    uint32_t fail_at = 1;
    while (run_once(fail_at, code, for_good, log))
        fail_at += fail_at < 100 ? 1 : 11;
    assert_true(fail_at > 50); /* the sweep met the work it was made for */
}

static void a_failed_write_or_sync_tells_no_lie_with_a_log(void **state)
{
    (void)state;
    sweep(SQLITE_IOERR, false, true);
}

static void a_failed_write_or_sync_tells_no_lie_with_a_journal(void **state)
{
    (void)state;
    sweep(SQLITE_IOERR, true, false);
}

static void a_full_disk_tells_no_lie_with_a_log(void **state)
{
    (void)state;
    sweep(SQLITE_FULL, true, true);
}

static void a_full_disk_tells_no_lie_with_a_journal(void **state)
{
    (void)state;
    sweep(SQLITE_FULL, false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_write_or_sync_tells_no_lie_with_a_log),
        cmocka_unit_test(a_failed_write_or_sync_tells_no_lie_with_a_journal),
        cmocka_unit_test(a_full_disk_tells_no_lie_with_a_log),
        cmocka_unit_test(a_full_disk_tells_no_lie_with_a_journal),
    };
    return cmocka_run_group_tests_name("sink_faults", tests, open_group, NULL);
}
