/* test_vfs.c - SQLite on the door: beside itself, beside the stock library in another process, after kills and power cuts. */
#include "check.h"

#include "io/real.h"
#include "io/sim.h"
#include "io/vfs.h"
#include "scratch.h"
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUSY_MS 20000

struct world {
    struct scratch scratch;
    struct io *io;
};

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    scratch_init(&w->scratch);
    w->io = io_real_open(NULL);
    *state = w;
    return io_vfs_register(w->io, "door", NULL) == NEAP_OK ? 0 : -1;
}

static int close_world(void **state)
{
    struct world *w = *state;
    io_vfs_unregister("door");
    io_real_close(&w->io);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

static sqlite3 *open_database(const char *path)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &db, flags, "door");
    if (code != SQLITE_OK)
        fail_msg("%s: %s", path, sqlite3_errmsg(db));
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    return db;
}

static void close_database(sqlite3 **db)
{
    assert_int_equal(sqlite3_close(*db), SQLITE_OK);
    *db = NULL;
}

static int try_sql(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void run_sql(sqlite3 *db, const char *sql)
{
    int code = try_sql(db, sql);
    if (code != SQLITE_OK)
        fail_msg("%s: %d %s", sql, code, sqlite3_errmsg(db));
}

static int keep_first(void *ctx, int count, char **values, char **names)
{
    snprintf(ctx, 100, "%s", values[0] != NULL ? values[0] : "NULL");
    return 0;
}

/* The last row's first column; good until the next call. */
static const char *ask(sqlite3 *db, const char *sql)
{
    static _Thread_local char answer[100];
    answer[0] = '\0';
    char *message = NULL;
    if (sqlite3_exec(db, sql, keep_first, answer, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    return answer;
}

/* ---- the stock shell, in a process of its own ---- */

struct shell {
    pid_t pid;
    FILE *in, *out;
};

static bool no_shell(void)
{
    return system("command -v sqlite3 >/dev/null") != 0;
}

static struct shell shell_open(const char *path)
{
    int in[2], out[2];
    assert_true(pipe(in) == 0 && pipe(out) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execlp("sqlite3", "sqlite3", "-batch", path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    struct shell shell = { .pid = pid, .in = fdopen(in[1], "w"), .out = fdopen(out[0], "r") };
    setvbuf(shell.in, NULL, _IOLBF, 0);
    return shell;
}

/* Everything the shell answers to `sql`, in one line. */
static const char *shell_ask(struct shell *shell, const char *sql)
{
    static char answer[1000];
    char line[500];
    answer[0] = '\0';
    fprintf(shell->in, "%s\n.print ready\n", sql);
    fflush(shell->in);
    while (fgets(line, sizeof(line), shell->out) != NULL && strcmp(line, "ready\n") != 0) {
        line[strcspn(line, "\n")] = '\0';
        if (answer[0] != '\0')
            strcat(answer, " ");
        assert_true(strlen(answer) + strlen(line) + 2 < sizeof(answer));
        strcat(answer, line);
    }
    return answer;
}

static void shell_close(struct shell *shell, bool by_kill)
{
    if (by_kill)
        kill(shell->pid, SIGKILL);
    fclose(shell->in);
    int how;
    waitpid(shell->pid, &how, 0);
    fclose(shell->out);
    assert_true(by_kill ? WIFSIGNALED(how) : WIFEXITED(how)); /* it exits with 1 once it was told no */
}

/* ---- alone ---- */

static const char *const modes[] = { "delete", "truncate", "persist", "wal" };

static const char *set_mode(const char *mode)
{
    static char sql[100];
    snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s", mode);
    return sql;
}

static void every_journal_mode_keeps_rows(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        const char *path = scratch_path(&w->scratch, modes[i]);
        sqlite3 *db = open_database(path);
        assert_string_equal(ask(db, set_mode(modes[i])), modes[i]);
        run_sql(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b); BEGIN;"
                    "WITH n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 5000)"
                    "INSERT INTO t SELECT a, randomblob(200) FROM n; COMMIT;"
                    "BEGIN; DELETE FROM t WHERE a % 3 = 0; ROLLBACK; DELETE FROM t WHERE a % 2 = 0; VACUUM");
        close_database(&db);
        db = open_database(path);
        assert_string_equal(ask(db, "SELECT count(*) FROM t"), "2500");
        assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
        close_database(&db);
        struct io_file_info info;
        char beside[700];
        snprintf(beside, sizeof(beside), "%s-wal", path);
        assert_int_equal(io_path_info(w->io, beside, &info), NEAP_NOTFOUND);
        snprintf(beside, sizeof(beside), "%s-shm", path);
        assert_int_equal(io_path_info(w->io, beside, &info), NEAP_NOTFOUND); /* the last one cleans up */
    }
}

static void a_vfs_has_one_name_and_says_no_more_than_it_keeps(void **state)
{
    struct world *w = *state;
    struct error err;
    assert_int_equal(io_vfs_register(w->io, "door", &err), NEAP_EXISTS);
    assert_int_equal(io_vfs_register(w->io, "unix", &err), NEAP_EXISTS);
    io_vfs_unregister("unix"); /* not ours: it stays */
    assert_non_null(sqlite3_vfs_find("unix"));
    sqlite3 *db = open_database(scratch_path(&w->scratch, "db"));
    run_sql(db, "CREATE TABLE t (a)");
    sqlite3_file *file = NULL;
    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    assert_int_equal(file->pMethods->xDeviceCharacteristics(file), 0);
    assert_int_equal(file->pMethods->xSectorSize(file), 4096);
    int answer = 1;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_POWERSAFE_OVERWRITE, &answer);
    assert_int_equal(answer, 0);
    char *name = NULL;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_VFSNAME, &name);
    assert_string_equal(name, "door");
    sqlite3_free(name);
    sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &answer);
    assert_int_equal(answer, 0);
    assert_int_equal(rename(scratch_path(&w->scratch, "db"), scratch_path(&w->scratch, "gone")), 0);
    sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &answer);
    assert_int_equal(answer, 1);
    close_database(&db);
}

static void the_clock_and_chance_are_the_doors(void **state)
{
    struct world *w = *state;
    sqlite3 *db = open_database(":memory:");
    int64_t before = io_wall(w->io).ms;
    int64_t said = (int64_t)(strtod(ask(db, "SELECT (julianday('now') - 2440587.5) * 86400000.0"), NULL) + 0.5);
    assert_true(said >= before - 2 && said <= io_wall(w->io).ms + 2);
    char first[100];
    snprintf(first, sizeof(first), "%s", ask(db, "SELECT hex(randomblob(16))"));
    assert_string_not_equal(first, ask(db, "SELECT hex(randomblob(16))"));
    close_database(&db);
}

static bool any_name(void *ctx, const char *name)
{
    return ++*(unsigned *)ctx == 0;
}

static void temporary_files_leave_nothing(void **state)
{
    struct world *w = *state;
    char directory[640];
    snprintf(directory, sizeof(directory), "%s", scratch_path(&w->scratch, "tmp"));
    assert_int_equal(io_dir_make(w->io, directory, NULL), NEAP_OK);
    setenv("SQLITE_TMPDIR", directory, 1);
    sqlite3 *db = open_database(scratch_path(&w->scratch, "db"));
    run_sql(db, "PRAGMA temp_store = file; PRAGMA temp.cache_size = 5; CREATE TEMP TABLE x (a, b);"
                "WITH n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 3000)"
                "INSERT INTO x SELECT a, hex(randomblob(100)) FROM n; CREATE INDEX temp.y ON x (b)");
    assert_string_equal(ask(db, "SELECT count(*) FROM (SELECT b FROM x ORDER BY b DESC)"), "3000");
    unsigned name_count = 0;
    assert_int_equal(io_dir_list(w->io, directory, any_name, &name_count, NULL), NEAP_OK);
    assert_int_equal(name_count, 0); /* not even while they are used: a kill leaves nothing */
    close_database(&db);
    unsetenv("SQLITE_TMPDIR");
}

static void a_link_leads_to_the_database_everybody_means(void **state)
{
    struct world *w = *state;
    char link[640], real[640];
    snprintf(link, sizeof(link), "%s", scratch_path(&w->scratch, "link"));
    snprintf(real, sizeof(real), "%s", scratch_path(&w->scratch, "dir/database"));
    assert_int_equal(io_dir_make(w->io, scratch_path(&w->scratch, "dir"), NULL), NEAP_OK);
    assert_int_equal(symlink("dir/database", link), 0); /* to what is not there yet */
    sqlite3 *db = open_database(link);
    run_sql(db, "CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)");
    assert_string_equal(sqlite3_db_filename(db, "main"), real);
    struct io_file_info info;
    assert_int_equal(io_path_info(w->io, scratch_path(&w->scratch, "dir/database-journal"), &info), NEAP_OK);
    run_sql(db, "COMMIT");
    close_database(&db);
}

static unsigned mode_of(const char *path)
{
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    return found.st_mode & 0777;
}

static void what_stands_beside_is_for_the_same_eyes(void **state)
{
    struct world *w = *state;
    mode_t mask = umask(0);
    for (int shared = 0; shared < 2; shared++) {
        const char *path = scratch_path(&w->scratch, shared ? "shared" : "private");
        struct io_file *file = NULL;
        unsigned flags = IO_WRITE | IO_CREATE | (shared ? IO_SHARED : 0);
        assert_int_equal(io_file_open(w->io, path, flags, &file, NULL), NEAP_OK);
        io_file_close(&file);
        sqlite3 *db = open_database(path);
        run_sql(db, "BEGIN; CREATE TABLE t (a)");
        assert_int_equal(mode_of(scratch_path(&w->scratch, shared ? "shared-journal" : "private-journal")),
                         shared ? 0644 : 0600);
        run_sql(db, "COMMIT; PRAGMA journal_mode = wal; INSERT INTO t VALUES (1)");
        assert_int_equal(mode_of(scratch_path(&w->scratch, shared ? "shared-wal" : "private-wal")),
                         shared ? 0644 : 0600);
        assert_int_equal(mode_of(scratch_path(&w->scratch, shared ? "shared-shm" : "private-shm")),
                         shared ? 0644 : 0600);
        close_database(&db);
    }
    umask(mask);
}

static void full_is_full_and_goes_away(void **state)
{
    struct world *w = *state;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        sqlite3 *db = open_database(scratch_path(&w->scratch, modes[i]));
        run_sql(db, set_mode(modes[i]));
        run_sql(db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        struct rlimit small = { .rlim_cur = 64 << 10, .rlim_max = old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int code = try_sql(db, "INSERT INTO t VALUES (randomblob(500000))");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(code, SQLITE_FULL);
        run_sql(db, "INSERT INTO t VALUES (randomblob(500000))");
        assert_string_equal(ask(db, "SELECT count(*) FROM t"), "2");
        assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
        close_database(&db);
    }
}

/* ---- beside others ---- */

#define ADD_COUNT 150

struct adder {
    const char *path;
    pthread_t thread;
    int failed_code;
};

static void *add_often(void *ctx)
{
    struct adder *a = ctx;
    sqlite3 *db = open_database(a->path);
    run_sql(db, "PRAGMA synchronous = off"); /* locks are looked at, not power cuts: the faster, the more they meet */
    for (int i = 0; i < ADD_COUNT && a->failed_code == SQLITE_OK; i++)
        a->failed_code =
            try_sql(db, "BEGIN IMMEDIATE; UPDATE c SET n = n + 1; INSERT INTO t VALUES (randomblob(300)); COMMIT");
    sqlite3_close(db);
    return NULL;
}

static void add_often_in_shell(struct shell *shell)
{
    fprintf(shell->in, ".timeout %d\nPRAGMA synchronous = off;\n", BUSY_MS);
    for (int i = 0; i < ADD_COUNT; i++)
        fprintf(shell->in,
                "BEGIN IMMEDIATE; UPDATE c SET n = n + 1; INSERT INTO t VALUES (randomblob(300)); COMMIT;\n");
    fflush(shell->in);
}

/* Two connections here and the stock shell there, all at once: a lock that one side does not see loses an addition. */
static void nobody_overwrites_anybody(void **state)
{
    struct world *w = *state;
    static const char *const both[] = { "delete", "wal" };
    if (no_shell())
        skip();
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        char path[640];
        snprintf(path, sizeof(path), "%s", scratch_path(&w->scratch, both[i]));
        sqlite3 *db = open_database(path);
        run_sql(db, set_mode(both[i]));
        run_sql(db, "CREATE TABLE c (n); CREATE TABLE t (a); INSERT INTO c VALUES (0)");
        if (i == 0)
            close_database(&db); /* in wal mode it stays, so that the others share its memory */
        struct shell shell = shell_open(path);
        struct adder adders[2] = { { .path = path }, { .path = path } };
        for (int a = 0; a < 2; a++)
            assert_int_equal(pthread_create(&adders[a].thread, NULL, add_often, &adders[a]), 0);
        add_often_in_shell(&shell);
        for (int a = 0; a < 2; a++) {
            pthread_join(adders[a].thread, NULL);
            assert_int_equal(adders[a].failed_code, SQLITE_OK);
        }
        assert_string_equal(shell_ask(&shell, "PRAGMA integrity_check;"), "ok");
        char expected[20];
        snprintf(expected, sizeof(expected), "%d", 3 * ADD_COUNT);
        assert_string_equal(shell_ask(&shell, "SELECT n FROM c;"), expected);
        shell_close(&shell, false);
        if (db == NULL)
            db = open_database(path);
        assert_string_equal(ask(db, "SELECT n FROM c"), expected);
        assert_string_equal(ask(db, "SELECT count(*) FROM t"), expected);
        assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
        close_database(&db);
    }
}

static void each_side_sees_the_others_locks(void **state)
{
    struct world *w = *state;
    if (no_shell())
        skip();
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        char path[640];
        snprintf(path, sizeof(path), "%s", scratch_path(&w->scratch, modes[i]));
        sqlite3 *db = open_database(path), *other = open_database(path);
        run_sql(db, set_mode(modes[i]));
        run_sql(db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        sqlite3_busy_timeout(db, 0);
        sqlite3_busy_timeout(other, 0);
        struct shell shell = shell_open(path);
        bool wal = strcmp(modes[i], "wal") == 0;
        assert_string_equal(shell_ask(&shell, "SELECT a FROM t;"), "1");

        run_sql(db, "BEGIN IMMEDIATE"); /* we write: the others may read, none may write */
        assert_int_equal(try_sql(other, "BEGIN IMMEDIATE"), SQLITE_BUSY);
        assert_non_null(strstr(shell_ask(&shell, "BEGIN IMMEDIATE;"), "locked"));
        assert_string_equal(shell_ask(&shell, "SELECT a FROM t;"), "1");
        run_sql(db, "COMMIT");

        assert_string_equal(shell_ask(&shell, "BEGIN IMMEDIATE;"), ""); /* the shell writes */
        assert_int_equal(try_sql(db, "BEGIN IMMEDIATE"), SQLITE_BUSY);
        assert_string_equal(ask(other, "SELECT a FROM t"), "1");
        assert_string_equal(shell_ask(&shell, "COMMIT;"), "");

        assert_string_equal(shell_ask(&shell, "BEGIN; SELECT a FROM t;"), "1"); /* the shell reads on while we change */
        int code = try_sql(db, "UPDATE t SET a = 2");
        assert_int_equal(code, wal ? SQLITE_OK : SQLITE_BUSY);
        assert_string_equal(shell_ask(&shell, "SELECT a FROM t;"), "1");
        assert_string_equal(shell_ask(&shell, "COMMIT;"), "");
        run_sql(db, "UPDATE t SET a = 2");
        assert_string_equal(shell_ask(&shell, "SELECT a FROM t;"), "2");

        run_sql(other, "BEGIN; SELECT a FROM t"); /* we read on while the shell changes */
        const char *said = shell_ask(&shell, "UPDATE t SET a = 3;");
        assert_true(wal ? said[0] == '\0' : strstr(said, "locked") != NULL);
        assert_string_equal(ask(other, "SELECT a FROM t"), "2");
        run_sql(other, "COMMIT");
        assert_string_equal(shell_ask(&shell, "UPDATE t SET a = 3;"), "");
        assert_string_equal(ask(other, "SELECT a FROM t"), "3");
        if (wal) {
            run_sql(db, "PRAGMA wal_checkpoint(truncate)"); /* others attached, none reading: it gets through */
            assert_string_equal(shell_ask(&shell, "SELECT a FROM t; PRAGMA wal_checkpoint(truncate);"), "3 0|0|0");
        }
        close_database(&db);
        close_database(&other);
        assert_string_equal(shell_ask(&shell, "UPDATE t SET a = 4; SELECT a FROM t; PRAGMA integrity_check;"), "4 ok");
        shell_close(&shell, false);
    }
}

/* ---- after a kill ---- */

#define HALF_DONE                                                                                   \
    "PRAGMA cache_size = 5; PRAGMA cache_spill = 1; UPDATE t SET b = 'first' || b;" /* committed */ \
    "BEGIN; UPDATE t SET b = 'never' || b;" /* spills: the database itself is changed behind the journal */

static void kill_in_half_ours(const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db = NULL;
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "door") == SQLITE_OK &&
            try_sql(db, HALF_DONE) == SQLITE_OK)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int how = 0;
    waitpid(child, &how, 0);
    assert_true(WIFSIGNALED(how));
}

static void kill_in_half_stock(const char *path)
{
    struct shell shell = shell_open(path);
    assert_string_equal(shell_ask(&shell, HALF_DONE), "");
    shell_close(&shell, true);
}

static void check_recovered_ours(const char *path)
{
    sqlite3 *db = open_database(path);
    assert_string_equal(ask(db, "SELECT count(*) FROM t WHERE b LIKE 'first%'"), "400");
    assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
    close_database(&db);
}

static void check_recovered_stock(const char *path)
{
    struct shell shell = shell_open(path);
    assert_string_equal(shell_ask(&shell, "SELECT count(*) FROM t WHERE b LIKE 'first%'; PRAGMA integrity_check;"),
                        "400 ok");
    shell_close(&shell, false);
}

static void either_side_recovers_what_either_left(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < COUNT_OF(modes) * 4; i++) {
        bool stock_writes = (i & 1) != 0, stock_recovers = (i & 2) != 0;
        const char *mode = modes[i / 4];
        if ((stock_writes || stock_recovers) && no_shell())
            continue;
        char name[20], path[640], journal[660];
        snprintf(name, sizeof(name), "db%u", i);
        snprintf(path, sizeof(path), "%s", scratch_path(&w->scratch, name));
        sqlite3 *db = open_database(path);
        run_sql(db, set_mode(mode));
        run_sql(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b);"
                    "WITH n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 400)"
                    "INSERT INTO t SELECT a, hex(randomblob(150)) FROM n");
        close_database(&db);
        (stock_writes ? kill_in_half_stock : kill_in_half_ours)(path);
        bool wal = strcmp(mode, "wal") == 0;
        snprintf(journal, sizeof(journal), "%s-%s", path, wal ? "wal" : "journal");
        struct io_file_info info;
        assert_int_equal(io_path_info(w->io, journal, &info), NEAP_OK);
        assert_true(info.size > 50000); /* the kill did leave something to recover */
        (stock_recovers ? check_recovered_stock : check_recovered_ours)(path);
    }
}

/* The shared memory of the dead describes a WAL that somebody has since taken away. */
static void what_the_dead_left_in_shared_memory_is_not_believed(void **state)
{
    struct world *w = *state;
    char path[640];
    snprintf(path, sizeof(path), "%s", scratch_path(&w->scratch, "db"));
    sqlite3 *db = open_database(path);
    run_sql(db, set_mode("wal"));
    run_sql(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b);"
                "WITH n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 400)"
                "INSERT INTO t SELECT a, hex(randomblob(150)) FROM n");
    close_database(&db);
    kill_in_half_ours(path);
    assert_int_equal(io_unlink(w->io, scratch_path(&w->scratch, "db-wal"), NULL), NEAP_OK);
    struct io_file_info info;
    assert_int_equal(io_path_info(w->io, scratch_path(&w->scratch, "db-shm"), &info), NEAP_OK);
    db = open_database(path);
    assert_string_equal(ask(db, "SELECT count(*) FROM t WHERE b NOT LIKE 'first%'"), "400");
    assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
    close_database(&db);
}

/* ---- in the simulated door ---- */

static int try_step(sqlite3 *db, uint32_t row)
{
    char sql[200];
    snprintf(sql, sizeof(sql),
             "BEGIN IMMEDIATE; INSERT INTO t VALUES (%u, randomblob(700)); UPDATE c SET n = n + 1; COMMIT", row);
    return try_sql(db, sql);
}

static uint64_t simulated_life(uint64_t seed, const char *mode, struct sim_disk *disk)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk });
    assert_int_equal(io_vfs_register(io, "sim", NULL), NEAP_OK);
    sqlite3 *dbs[2] = { NULL };
    for (int i = 0; i < 2; i++) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        assert_int_equal(sqlite3_open_v2("/db", &dbs[i], flags, "sim"), SQLITE_OK);
        run_sql(dbs[i], i == 0 ? set_mode(mode) : "SELECT 1");
        run_sql(dbs[i], "PRAGMA temp_store = memory; PRAGMA synchronous = extra");
    }
    run_sql(dbs[0], "CREATE TABLE IF NOT EXISTS t (a, b); CREATE TABLE IF NOT EXISTS c (n); INSERT INTO c VALUES (0)");
    for (uint32_t row = 0; row < 20; row++)
        assert_int_equal(try_step(dbs[row % 2], row), SQLITE_OK);
    run_sql(dbs[0], "BEGIN IMMEDIATE");
    mono_time before = io_now(io);
    sqlite3_busy_timeout(dbs[1], 5000);
    assert_int_equal(try_step(dbs[1], 99), SQLITE_BUSY); /* it waited in virtual time */
    assert_true(io_now(io).ns - before.ns >= 4000 * NS_PER_MS);
    run_sql(dbs[0], "COMMIT");
    assert_string_equal(ask(dbs[0], "PRAGMA integrity_check"), "ok");
    for (int i = 0; i < 2; i++)
        close_database(&dbs[i]);
    io_vfs_unregister("sim");
    uint64_t hash = sim_disk_hash(disk) ^ sim_trace_hash(io);
    sim_close(&io);
    return hash;
}

static void one_seed_is_one_life(void **state)
{
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        uint64_t hashes[3];
        for (int run = 0; run < 3; run++) {
            struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
            hashes[run] = simulated_life(run < 2 ? 11 : 12, modes[i], disk);
            sim_disk_free(&disk);
        }
        assert_true(hashes[0] == hashes[1]);
        assert_true(hashes[0] != hashes[2]);
    }
}

/* What a database says after a cut: rows and counter agree, it is whole, and nothing that was committed is missing. */
static void check_after_cut(struct sim_disk *disk, uint32_t committed_count, uint32_t begun_count)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = 5, .disk = disk, .calm = true });
    assert_int_equal(io_vfs_register(io, "cut", NULL), NEAP_OK);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2("/db", &db, SQLITE_OPEN_READWRITE, "cut"), SQLITE_OK);
    assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
    uint32_t rows = (uint32_t)atoi(ask(db, "SELECT count(*) FROM t"));
    uint32_t counted = (uint32_t)atoi(ask(db, "SELECT n FROM c"));
    assert_int_equal(rows, counted);
    assert_in_range(rows, committed_count, begun_count);
    close_database(&db);
    io_vfs_unregister("cut");
    sim_close(&io);
}

#define CUT_ROW_COUNT   8u
#define CUT_STATE_COUNT 6u

static void a_commit_survives_a_power_cut(void **state)
{
    uint64_t cut_count = 0;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
        struct io *io = sim_open(&(struct sim_options){ .seed = 3, .disk = disk, .calm = true });
        assert_int_equal(io_vfs_register(io, "sim", NULL), NEAP_OK);
        sqlite3 *db = NULL;
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        assert_int_equal(sqlite3_open_v2("/db", &db, flags, "sim"), SQLITE_OK);
        run_sql(db, set_mode(modes[i]));
        run_sql(db, "PRAGMA synchronous = extra; PRAGMA temp_store = memory; PRAGMA wal_autocheckpoint = 9;"
                    "CREATE TABLE t (a, b); CREATE TABLE c (n); INSERT INTO c VALUES (0)");
        uint32_t points[CUT_ROW_COUNT + 1] = { sim_disk_point(disk) }; /* row n is committed at points[n + 1] */
        for (uint32_t row = 0; row < CUT_ROW_COUNT; row++) {
            assert_int_equal(try_step(db, row), SQLITE_OK);
            points[row + 1] = sim_disk_point(disk);
        }
        close_database(&db);
        io_vfs_unregister("sim");
        sim_close(&io);
        uint32_t committed_count = 0;
        uint64_t seed = i;
        for (uint32_t point = points[0]; point <= points[CUT_ROW_COUNT]; point++) {
            while (committed_count < CUT_ROW_COUNT && points[committed_count + 1] <= point)
                committed_count++;
            if (!sim_disk_point_matters(disk, point))
                continue;
            uint64_t count = sim_disk_state_count(disk, point);
            for (uint32_t s = 0; s < CUT_STATE_COUNT + 2 && s < count + 2; s++, cut_count++) {
                uint64_t chosen = s == 0 ? SIM_STATE_NONE : s == 1 ? SIM_STATE_ALL : chance_below(&seed, count);
                struct sim_disk *cut = sim_disk_state(disk, point, chosen, false);
                check_after_cut(cut, committed_count, committed_count + 1);
                sim_disk_free(&cut);
            }
        }
        sim_disk_free(&disk);
    }
    assert_true(cut_count > 200);
}

static void a_failed_sync_is_never_tried_again(void **state)
{
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
        struct io *io = sim_open(&(struct sim_options){ .seed = 3, .disk = disk, .calm = true });
        assert_int_equal(io_vfs_register(io, "sim", NULL), NEAP_OK);
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        sqlite3 *db = NULL;
        assert_int_equal(sqlite3_open_v2("/db", &db, flags, "sim"), SQLITE_OK);
        sqlite3_extended_result_codes(db, 1);
        run_sql(db, set_mode(modes[i]));
        run_sql(db, "PRAGMA synchronous = full; CREATE TABLE t (a, b); CREATE TABLE c (n); INSERT INTO c VALUES (0)");
        assert_int_equal(try_step(db, 1), SQLITE_OK);
        struct sim_fault fault = { .call = SIM_SYNC, .nth = 1, .status = NEAP_IO };
        fault.path_part = strcmp(modes[i], "wal") == 0 ? "-wal" : "db";
        sim_fault_add(io, &fault);
        assert_int_not_equal(try_step(db, 2), SQLITE_OK);
        assert_int_equal(sim_fault_hits(io), 1);
        try_sql(db, "ROLLBACK");
        if (strcmp(modes[i], "wal") == 0)
            assert_int_equal(try_step(db, 3), SQLITE_IOERR_FSYNC); /* the disk would say yes again: we do not */
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(sqlite3_open_v2("/db", &db, flags, "sim"), SQLITE_OK);
        assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
        assert_int_equal(try_step(db, 4), SQLITE_OK); /* a new opening is a new beginning */
        close_database(&db);
        io_vfs_unregister("sim");
        sim_close(&io);
        sim_disk_free(&disk);
    }
}

/* "Unable to open" is what SQLite says of a missing permission: whoever may not is told something else than whose disk fails. */
static void storage_that_fails_at_an_open_is_called_so(void **state)
{
    static const char *const parts[] = { "/db", "-wal", "-shm" };
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = false });
        struct io *io = sim_open(&(struct sim_options){ .seed = 3, .disk = disk, .calm = true });
        assert_int_equal(io_vfs_register(io, "sim", NULL), NEAP_OK);
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        sqlite3 *db = NULL;
        sim_fault_add(io, &(struct sim_fault){
                              .call = SIM_OPEN, .path_part = parts[i], .nth = 1, .sticky = true, .status = NEAP_IO });
        int code = sqlite3_open_v2("/db", &db, flags, "sim");
        if (code == SQLITE_OK)
            code = sqlite3_exec(db, "PRAGMA journal_mode = wal; CREATE TABLE t (a)", NULL, NULL, NULL);
        assert_int_equal(code & 0xff, SQLITE_IOERR);
        assert_true(sim_fault_hits(io) > 0);
        sqlite3_close(db);
        io_vfs_unregister("sim");
        sim_close(&io);
        sim_disk_free(&disk);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_journal_mode_keeps_rows),
        TEST(a_vfs_has_one_name_and_says_no_more_than_it_keeps),
        TEST(the_clock_and_chance_are_the_doors),
        TEST(temporary_files_leave_nothing),
        TEST(a_link_leads_to_the_database_everybody_means),
        TEST(what_stands_beside_is_for_the_same_eyes),
        TEST(full_is_full_and_goes_away),
        TEST(storage_that_fails_at_an_open_is_called_so),
        TEST(nobody_overwrites_anybody),
        TEST(each_side_sees_the_others_locks),
        TEST(either_side_recovers_what_either_left),
        TEST(what_the_dead_left_in_shared_memory_is_not_believed),
        cmocka_unit_test(one_seed_is_one_life),
        cmocka_unit_test(a_commit_survives_a_power_cut),
        cmocka_unit_test(a_failed_sync_is_never_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
