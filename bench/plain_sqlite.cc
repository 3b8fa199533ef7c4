/* plain_sqlite.cc - what a plain program needs for the same work: the reference of the end-to-end figure.
 *
 *     bench-plain-sqlite FILE DB BATCH_ROWS
 *
 * Reads commit events, one JSON object a line, parses them with simdjson, keeps those with files > 0 and inserts (id, author,
 * churn = added + removed) with one prepared statement, BATCH_ROWS to a transaction. The same table, write-ahead log,
 * synchronous=FULL, page cache and checkpoint size as Neap's SQLite sink; no journal, no queue, no recovery. It stops at the
 * first thing that is not as it expects. */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <simdjson.h>
#include <sqlite3.h>
#include <string_view>

namespace
{

constexpr size_t CHUNK_SIZE = 1 << 20; /* read at a time; a line is shorter */

[[noreturn]] void stop(const char *what, const char *why)
{
    std::fprintf(stderr, "bench-plain-sqlite: %s: %s\n", what, why);
    std::exit(1);
}

void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
        stop(sql, sqlite3_errmsg(db));
}

struct output {
    sqlite3 *db = nullptr;
    sqlite3_stmt *insert = nullptr, *begin = nullptr, *commit = nullptr;
    unsigned long batch_rows, in_batch = 0, rows = 0;
};

sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK)
        stop(sql, sqlite3_errmsg(db));
    return statement;
}

void step(sqlite3 *db, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE || sqlite3_reset(statement) != SQLITE_OK)
        stop(sqlite3_sql(statement), sqlite3_errmsg(db));
}

void open_output(output &o, const char *path)
{
    if (sqlite3_open_v2(path, &o.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr) !=
        SQLITE_OK)
        stop(path, sqlite3_errmsg(o.db));
    run(o.db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192; "
              "PRAGMA wal_autocheckpoint = 4096");
    run(o.db, "CREATE TABLE commits (id NOT NULL, author, churn, PRIMARY KEY (id))");
    o.insert = prepare(o.db, "INSERT INTO commits (id, author, churn) VALUES (?, ?, ?)");
    o.begin = prepare(o.db, "BEGIN IMMEDIATE");
    o.commit = prepare(o.db, "COMMIT");
}

void insert_row(output &o, std::string_view id, std::string_view author, int64_t churn)
{
    if (o.in_batch == 0)
        step(o.db, o.begin);
    sqlite3_bind_text(o.insert, 1, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
    sqlite3_bind_text(o.insert, 2, author.data(), static_cast<int>(author.size()), SQLITE_STATIC);
    sqlite3_bind_int64(o.insert, 3, churn);
    step(o.db, o.insert);
    o.rows++;
    if (++o.in_batch == o.batch_rows) {
        step(o.db, o.commit);
        o.in_batch = 0;
    }
}

void handle_line(output &o, simdjson::ondemand::parser &parser, const char *line, size_t size, size_t room)
{
    simdjson::ondemand::document event;
    int64_t files = 0, added = 0, removed = 0;
    std::string_view id, author;
    if (parser.iterate(line, size, room).get(event) || event["id"].get(id) || event["author"].get(author) ||
        event["files"].get(files) || event["added"].get(added) || event["removed"].get(removed))
        stop("a line is not a commit event", std::string_view(line, size < 200 ? size : 200).data());
    if (files > 0)
        insert_row(o, id, author, added + removed);
}

unsigned long read_lines(output &o, std::FILE *in)
{
    simdjson::ondemand::parser parser;
    static char room[2 * CHUNK_SIZE + simdjson::SIMDJSON_PADDING];
    size_t held = 0;
    unsigned long lines = 0;
    for (;;) {
        size_t got = std::fread(room + held, 1, CHUNK_SIZE, in);
        if (got == 0 && held > 0 && room[held - 1] != '\n')
            room[held++] = '\n';
        size_t at = 0, end = held + got;
        while (const void *newline = std::memchr(room + at, '\n', end - at)) {
            size_t size = static_cast<size_t>(static_cast<const char *>(newline) - (room + at));
            handle_line(o, parser, room + at, size, sizeof room - at);
            at += size + 1;
            lines++;
        }
        if (got == 0)
            return lines;
        held = end - at;
        if (held > CHUNK_SIZE)
            stop("a line is too long", "over 1 MiB");
        std::memmove(room, room + at, held);
    }
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 4 || std::atol(argv[3]) <= 0) {
        std::fprintf(stderr, "usage: bench-plain-sqlite FILE DB BATCH_ROWS\n");
        return 2;
    }
    std::FILE *in = std::fopen(argv[1], "rb");
    if (in == nullptr)
        stop(argv[1], std::strerror(errno));
    auto start = std::chrono::steady_clock::now();
    output o;
    o.batch_rows = static_cast<unsigned long>(std::atol(argv[3]));
    open_output(o, argv[2]);
    unsigned long lines = read_lines(o, in);
    if (o.in_batch > 0)
        step(o.db, o.commit);
    sqlite3_finalize(o.insert);
    sqlite3_finalize(o.begin);
    sqlite3_finalize(o.commit);
    if (sqlite3_close(o.db) != SQLITE_OK)
        stop("close", sqlite3_errmsg(o.db));
    std::fclose(in);
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("{\"lines\":%lu,\"rows\":%lu,\"seconds\":%.3f,\"rows_per_second\":%.0f,\"lines_per_second\":%.0f}\n",
                lines, o.rows, took.count(), static_cast<double>(o.rows) / took.count(),
                static_cast<double>(lines) / took.count());
    return 0;
}
