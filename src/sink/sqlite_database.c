/* sqlite_database.c - one database file and its worker: the batches of all tasks that wait at a moment are one transaction.
 *
 * A transaction: BEGIN IMMEDIATE; per batch: is the offsets row as we left it (rule O2)? the rows; the offsets row;
 * COMMIT. A batch that is refused, or whose row is not ours any more, takes the whole transaction back; then each batch
 * gets a transaction of its own, so that the others land and the refusal is told against what is really there.
 *
 * Of a COMMIT that failed nobody knows at first whether it landed: a new connection is asked (the row's landings tell).
 * After a failed write or sync even a row that can be read back may not be on the disk: NEAP_IO, whatever it says, to all
 * pipelines, until the next start: what would come behind it in the write-ahead log is no safer.
 *
 * The write-ahead log is folded into the database after the answers have gone out, and by us, because SQLite's own
 * automatic checkpoint keeps its failures to itself. */
#include "base/must.h"
#include "sink/sqlite.h"
#include <stdio.h>
#include <stdlib.h>

#define DATABASE_MAGIC  0x4e505344u
#define MERGE_SIZE_MAX  (16u << 20) /* bytes of rows in one transaction; a single batch may be larger */
#define CHECKPOINT_SIZE (16u << 20)
#define CACHE_SIZE      (8u << 20)
#define OTHER_SIZE      (2u << 20) /* SQLite's statements, schema and page table, and the log's index */

struct sqlite_database {
    uint32_t magic;
    struct sqlite_database_options options;
    struct worker *worker;
    uint32_t slot_count; /* the opener's */
    struct {             /* the worker's turn */
        sqlite3 *db;     /* NULL: not open */
        uint64_t device, inode;
        struct sqlite_offsets offsets;
        sqlite3_stmt *begin, *commit;
        sqlite3_stmt *inserts[SQLITE_SINK_COUNT_MAX];
        uint64_t log_size, page_size;
        struct error failed; /* of a write, sync or checkpoint: later batches are told */
    } turn;
};

/* ---- connection -------------------------------------------------------------------------------------------------------- */

static void disconnect(struct sqlite_database *d)
{
    for (uint32_t i = 0; i < SQLITE_SINK_COUNT_MAX; i++) {
        sqlite3_finalize(d->turn.inserts[i]);
        d->turn.inserts[i] = NULL;
    }
    sqlite_offsets_finalize(&d->turn.offsets);
    sqlite3_finalize(d->turn.begin);
    sqlite3_finalize(d->turn.commit);
    d->turn.begin = d->turn.commit = NULL;
    int code = sqlite3_close(d->turn.db);
    must(code == SQLITE_OK); /* no statement is left */
    d->turn.db = NULL;
    d->turn.log_size = 0;
}

static int log_grew(void *ctx, sqlite3 *db, const char *name, int page_count)
{
    struct sqlite_database *d = ctx;
    d->turn.log_size = (uint64_t)page_count * d->turn.page_size;
    return SQLITE_OK;
}

static uint64_t page_size(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    uint64_t size = 4096;
    if (sqlite3_prepare_v2(db, "PRAGMA page_size", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        size = (uint64_t)sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return size;
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
}

static enum neap_status connect_again(struct sqlite_database *d, struct error *err)
{
    must(d->turn.db == NULL);
    sqlite3 *db;
    enum neap_status status = sqlite_connect(&d->options, &db, err);
    if (status != NEAP_OK)
        return status;
    d->turn.db = db;
    struct io_file_info info;
    status = io_path_info(d->options.io, d->options.path, &info);
    if (status != NEAP_OK) {
        disconnect(d);
        return error_set(err, NEAP_CONFLICT, "%s went away while it was opened", d->options.path);
    }
    d->turn.device = info.device;
    d->turn.inode = info.inode;
    d->turn.page_size = page_size(db);
    sqlite3_wal_hook(db, log_grew, d);
    int code = prepare(db, "BEGIN IMMEDIATE", &d->turn.begin);
    code = code != SQLITE_OK ? code : prepare(db, "COMMIT", &d->turn.commit);
    code = code != SQLITE_OK ? code : sqlite_offsets_prepare(db, &d->turn.offsets);
    if (code != SQLITE_OK) {
        status = sqlite_error(db, d->options.path, code, err);
        disconnect(d);
    }
    return status;
}

/* SQLite keeps writing into a file that has been renamed or unlinked under it; nobody would ever see those rows. */
static enum neap_status check_place(struct sqlite_database *d, struct error *err)
{
    struct io_file_info info;
    enum neap_status status = io_path_info(d->options.io, d->options.path, &info);
    if (status == NEAP_OK && info.device == d->turn.device && info.inode == d->turn.inode)
        return NEAP_OK;
    return error_set(err, NEAP_CONFLICT, "%s was %s while it was in use", d->options.path,
                     status == NEAP_OK ? "replaced by another file" : "moved away or deleted");
}

static int step_once(sqlite3_stmt *s)
{
    int code = sqlite3_step(s);
    sqlite3_reset(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static enum neap_status begin(struct sqlite_database *d, struct error *err)
{
    if (d->turn.failed.status != NEAP_OK) {
        *err = d->turn.failed;
        return err->status;
    }
    enum neap_status status = d->turn.db == NULL ? connect_again(d, err) : NEAP_OK;
    if (status == NEAP_OK)
        status = check_place(d, err);
    if (status != NEAP_OK)
        return status;
    must(sqlite3_get_autocommit(d->turn.db) != 0);
    int code = step_once(d->turn.begin);
    return code == SQLITE_OK ? NEAP_OK : sqlite_error(d->turn.db, d->options.path, code, err);
}

/* Takes everything back; a connection that cannot even do that is given up. */
static void take_back(struct sqlite_database *d)
{
    if (d->turn.db == NULL || sqlite3_get_autocommit(d->turn.db) != 0)
        return;
    if (sqlite_run(d->turn.db, "ROLLBACK") != SQLITE_OK || sqlite3_get_autocommit(d->turn.db) == 0)
        disconnect(d);
}

/* ---- recover ------------------------------------------------------------------------------------------------------------- */

static struct sqlite_source *find_source(struct sqlite_sink *sink, struct log_partition p, uint32_t *ret_index)
{
    uint32_t low = 0, high = sink->worker.source_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct log_partition at = sink->worker.sources[middle].partition;
        bool before = at.topic_id != p.topic_id ? at.topic_id < p.topic_id : at.partition < p.partition;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    if (ret_index != NULL)
        *ret_index = low;
    if (low == sink->worker.source_count)
        return NULL;
    struct sqlite_source *s = &sink->worker.sources[low];
    return s->partition.topic_id == p.topic_id && s->partition.partition == p.partition ? s : NULL;
}

static bool remember_source(struct sqlite_sink *sink, const struct sqlite_source *source)
{
    uint32_t index;
    struct sqlite_source *there = find_source(sink, source->partition, &index);
    if (there != NULL) {
        *there = *source;
        return true;
    }
    if (sink->worker.source_count == sink->worker.source_room) {
        uint32_t room = sink->worker.source_room == 0 ? 16 : 2 * sink->worker.source_room;
        struct sqlite_source *more = realloc(sink->worker.sources, room * sizeof *more);
        if (more == NULL)
            return false;
        sink->worker.sources = more;
        sink->worker.source_room = room;
    }
    struct sqlite_source *at = &sink->worker.sources[index];
    memmove(at + 1, at, (sink->worker.source_count - index) * sizeof *at);
    *at = *source;
    sink->worker.source_count++;
    return true;
}

static struct sqlite_sink *sink_of(struct sink *sink)
{
    struct sqlite_sink *s = (struct sqlite_sink *)sink;
    CHECK_MAGIC(s, SQLITE_SINK_MAGIC);
    return s;
}

/* Epochs have chance in them: what a log did after a copy of it was made, the copy does not know. */
static bool is_known(const struct sink_recover *r, uint64_t epoch)
{
    for (uint32_t i = 0; i < r->epoch_count; i++) {
        if (r->epochs[i] == epoch)
            return true;
    }
    return r->epoch_count == 0 || (r->epoch_count == SINK_EPOCH_COUNT_MAX && epoch < r->epochs[r->epoch_count - 1]);
}

static enum neap_status judge_offset(const struct sqlite_database *d, const struct sqlite_sink *sink,
                                     struct sink_recover *r, const struct sqlite_offset *o, struct error *err)
{
    if (o->format > SQLITE_OFFSETS_FORMAT)
        return error_set(err, NEAP_VERSION,
                         "%s: row of " SQLITE_OFFSETS_TABLE " has format %lld; this version knows %d", d->options.path,
                         (long long)o->format, SQLITE_OFFSETS_FORMAT);
    bool stranger = o->source.owner_epoch > r->owner_epoch || !is_known(r, o->source.owner_epoch);
    r->foreign = r->take_over && (stranger || !o->same_table);
    if (r->take_over)
        return NEAP_OK;
    unsigned long long point = o->source.commit_point.n;
    if (!o->same_table)
        return error_set(
            err, NEAP_CONFLICT,
            "%s: partition %u was delivered into table %s up to offset %llu; the pipeline now names table %s. "
            "Set `start: sink` to go on at offset %llu, or `start: earliest` to deliver everything into the new table",
            d->options.path, r->source.partition, o->table, point, sink->options.table, point);
    if (stranger)
        return error_set(
            err, NEAP_CONFLICT,
            "%s: partition %u was brought to offset %llu by a start of pipeline %s that the log does not know of. Was "
            "the data directory put back to an older state, or is a copy of it at work? Set `start: sink` to go on at "
            "offset %llu, `start: committed` at the log's own commit point, or `start: earliest` at the first event",
            d->options.path, r->source.partition, point, sink->options.pipeline, point);
    return NEAP_OK;
}

static int rows_there(struct sqlite_database *d, const struct sqlite_sink *sink, bool *ret_there)
{
    sqlite3_stmt *s = NULL;
    char *sql = sqlite3_mprintf("SELECT 1 FROM main.\"%w\" LIMIT 1", sink->options.table);
    int code = sql == NULL ? SQLITE_NOMEM : sqlite3_prepare_v2(d->turn.db, sql, -1, &s, NULL);
    sqlite3_free(sql);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
        *ret_there = code == SQLITE_ROW;
        code = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return code;
}

static void fill_row(const struct sqlite_sink *sink, const struct sqlite_offset *o, struct sink_row *row)
{
    *row = (struct sink_row){ .found = o->found,
                              .commit_point = o->source.commit_point,
                              .owner_epoch = o->source.owner_epoch,
                              .ledger = o->ledger,
                              .done = o->done };
    if (o->found)
        memcpy(row->log_id, sink->options.log_id.bytes, sizeof row->log_id);
}

/* Fills r; its own status is the answer to it, the result that of the transaction. `ret_source` is remembered later. */
static int recover_one(struct sqlite_database *d, struct sink_recover *r, struct sqlite_source *ret_source)
{
    struct sqlite_sink *sink = sink_of(r->sink_);
    struct sqlite_offset o;
    int code = sqlite_offsets_get(&d->turn.offsets, sink, r->source, r->done_rooms[0], &o);
    if (code == SQLITE_OK)
        code = sqlite_offsets_stranger(&d->turn.offsets, sink, r->source, r->done_rooms[1], &r->stranger);
    if (code == SQLITE_OK)
        code = rows_there(d, sink, &r->rows_there);
    if (code != SQLITE_OK)
        return code;
    fill_row(sink, &o, &r->row);
    *ret_source = o.source;
    ret_source->owner_epoch = ret_source->our_epoch = r->owner_epoch;
    if (!o.found)
        return SQLITE_OK; /* the first batch writes the row, and fences whoever thinks there is none */
    r->status = judge_offset(d, sink, r, &o, &r->error);
    if (r->status != NEAP_OK)
        return SQLITE_OK;
    if (r->foreign) { /* not before it is decided what it is worth: a crash in between must find it as it is */
        ret_source->owner_epoch = o.source.owner_epoch;
        return SQLITE_OK;
    }
    return sqlite_offsets_raise(&d->turn.offsets, sink, ret_source, io_wall(d->options.io));
}

/* Ends a transaction that met `code`: the error, and nothing of it left. */
static enum neap_status give_up(struct sqlite_database *d, int code, struct error *err)
{
    enum neap_status status = sqlite_error(d->turn.db, d->options.path, code, err);
    take_back(d);
    if (d->turn.db != NULL && (status == NEAP_IO || status == NEAP_CORRUPT))
        disconnect(d);
    if (status == NEAP_IO)
        d->turn.failed = *err;
    return status;
}

static enum neap_status recover_alone(struct sqlite_database *d, struct sink_recover *r, struct error *err)
{
    struct sqlite_source source;
    r->status = NEAP_OK;
    enum neap_status status = begin(d, err);
    if (status != NEAP_OK)
        return status;
    int code = recover_one(d, r, &source);
    if (code == SQLITE_OK && r->status == NEAP_OK)
        code = step_once(d->turn.commit);
    if (code != SQLITE_OK)
        return give_up(d, code, err);
    take_back(d);
    if (r->status == NEAP_OK && !remember_source(sink_of(r->sink_), &source))
        return error_set(err, NEAP_NOMEM, "out of memory for the partitions of sink %s", r->sink_->name);
    return NEAP_OK;
}

static void recover_all(struct sqlite_database *d, struct sink_recover *r)
{
    for (struct sink_recover *next; r != NULL; r = next) {
        next = r->next_;
        struct error err = { 0 };
        enum neap_status status = recover_alone(d, r, &err);
        if (status != NEAP_OK) {
            r->status = status;
            r->error = err;
        }
        worker_recovered(d->worker, r);
    }
}

/* ---- land ------------------------------------------------------------------------------------------------------------------ */

static int insert_of(struct sqlite_database *d, const struct sqlite_sink *sink, sqlite3_stmt **ret_statement)
{
    must(sink->slot < SQLITE_SINK_COUNT_MAX);
    sqlite3_stmt **slot = &d->turn.inserts[sink->slot];
    int code = *slot != NULL ? SQLITE_OK : prepare(d->turn.db, sink->insert_sql, slot);
    *ret_statement = *slot;
    return code;
}

/* Is it the row's fault? An expression in the user's own table fails with the same code as a table that has changed;
 * in the second case the statement cannot be prepared any more. */
static bool is_refusal(struct sqlite_database *d, const struct sqlite_sink *sink, int code)
{
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return true;
    case SQLITE_ERROR:
        break;
    default:
        return false;
    }
    sqlite3_stmt *again = NULL;
    int prepared = sqlite3_prepare_v2(d->turn.db, sink->insert_sql, -1, &again, NULL);
    sqlite3_finalize(again);
    return prepared == SQLITE_OK;
}

static void copy_message(char *room, size_t size, const char *message)
{
    int wanted = snprintf(room, size, "%s", message);
    if (wanted < (int)size)
        return;
    size_t end = size - 1; /* a cut leaves no half of a character */
    while (end > 0 && (room[end - 1] & 0xc0) == 0x80)
        end--;
    room[end > 0 ? end - 1 : 0] = '\0';
}

/* A row that did not go in: SQLITE_OK where it is refused and the others may go on; otherwise what ends the transaction. */
static int row_failed(struct sqlite_database *d, const struct sqlite_sink *sink, struct sink_batch *b, uint32_t row,
                      log_offset offset, int code)
{
    must(b->refused_count < SINK_REFUSED_COUNT_MAX);
    struct sink_refused *refused = &b->refused[b->refused_count];
    copy_message(refused->message, sizeof refused->message, sqlite3_errmsg(d->turn.db));
    if (!is_refusal(d, sink, code))
        return code;
    refused->row = row;
    refused->offset = offset;
    b->refused_count++;
    b->status = NEAP_REFUSED;
    return SQLITE_OK;
}

/* One pass finds all the rows that will never go in. It ends early where there is no room to tell more of them, and
 * where a trigger of the user's table has taken the whole transaction back. */
static int insert_rows(struct sqlite_database *d, struct sqlite_sink *sink, struct sink_batch *b)
{
    sqlite3_stmt *s;
    int code = insert_of(d, sink, &s);
    const uint8_t *at = b->rows.at, *end = at + b->rows.size;
    uint32_t column_count = sink->options.column_count;
    for (uint32_t row = 0; row < b->row_count && code == SQLITE_OK; row++) {
        log_offset offset = sqlite_row_offset(at);
        code = sqlite_row_bind(s, &at, end, column_count);
        if (code == SQLITE_OK)
            code = sqlite3_step(s);
        if (code == SQLITE_DONE) {
            code = sqlite3_reset(s);
            continue;
        }
        code = row_failed(d, sink, b, row, offset, code);
        sqlite3_reset(s);
        if (b->refused_count == SINK_REFUSED_COUNT_MAX || sqlite3_get_autocommit(d->turn.db) != 0)
            break;
    }
    if (s != NULL)
        sqlite3_clear_bindings(s); /* they point into the task's memory */
    must(code != SQLITE_OK || b->status == NEAP_REFUSED || at == end);
    return code;
}

/* Rule O2. */
static enum neap_status judge_landing(const struct sqlite_database *d, const struct sqlite_source *known,
                                      const struct sqlite_offset *there, struct error *err)
{
    unsigned long long known_point = known->commit_point.n, there_point = there->source.commit_point.n;
    unsigned partition = known->partition.partition;
    if (there->found && there->source.owner_epoch > known->owner_epoch)
        return error_set(err, NEAP_CONFLICT,
                         "%s: partition %u was taken over by a later start (owner epoch %llu, ours is %llu)",
                         d->options.path, partition, (unsigned long long)there->source.owner_epoch,
                         (unsigned long long)known->owner_epoch);
    if (!there->found && known->landings > 0)
        return error_set(err, NEAP_CONFLICT, "%s: the offsets row of partition %u is gone; it stood at offset %llu",
                         d->options.path, partition, known_point);
    if (there->found && (there->source.landings != known->landings || there->source.owner_epoch != known->owner_epoch))
        return error_set(
            err, NEAP_CONFLICT,
            "%s: partition %u stands at offset %llu there and at %llu here: somebody else has written the row, or "
            "the database was put back to an earlier state",
            d->options.path, partition, there_point, known_point);
    return NEAP_OK;
}

static struct sqlite_source after_landing(const struct sqlite_source *known, const struct sink_batch *b)
{
    struct sqlite_source next = *known;
    next.landings++;
    next.owner_epoch = known->our_epoch;
    next.commit_point = b->commit_point;
    return next;
}

static int land_one(struct sqlite_database *d, struct sink_batch *b)
{
    struct sqlite_sink *sink = sink_of(b->sink_);
    struct sqlite_source *known = find_source(sink, b->source, NULL);
    must(known != NULL); /* recover() came first */
    struct sqlite_offset there;
    b->status = NEAP_OK;
    b->refused_count = b->op_count = 0;
    int code = sqlite_offsets_get(&d->turn.offsets, sink, b->source, NULL, &there);
    if (code != SQLITE_OK)
        return code;
    b->status = judge_landing(d, known, &there, &b->error);
    if (b->status != NEAP_OK)
        return SQLITE_OK;
    code = insert_rows(d, sink, b);
    if (code != SQLITE_OK || b->status != NEAP_OK)
        return code;
    struct sqlite_source next = after_landing(known, b);
    return sqlite_offsets_put(&d->turn.offsets, sink, &next, &b->ledger, b->done_set, io_wall(d->options.io));
}

/* Did the transaction land whose COMMIT failed? Its batches share one fate, so the first one's row answers for all. */
static enum neap_status read_back(struct sqlite_database *d, const struct sink_batch *first, int commit_code,
                                  enum neap_status status, struct error *err)
{
    disconnect(d);
    struct error again = { 0 };
    if (connect_again(d, &again) != NEAP_OK) {
        error_while(err, "a commit of which nobody knows whether it landed (asking again: %s)", again.text);
        return status;
    }
    struct sqlite_sink *sink = sink_of(first->sink_);
    const struct sqlite_source *known = find_source(sink, first->source, NULL);
    struct sqlite_offset there;
    int code = sqlite_offsets_get(&d->turn.offsets, sink, first->source, NULL, &there);
    bool landed = code == SQLITE_OK && there.found && there.source.landings == known->landings + 1 &&
                  there.source.owner_epoch == known->our_epoch;
    bool trusted = (commit_code & 0xff) != SQLITE_IOERR;
    if (landed && trusted)
        return NEAP_OK;
    error_while(err, "commit (read again: it %s)",
                code != SQLITE_OK ? "cannot be read"
                : landed          ? "landed"
                                  : "did not land");
    return status;
}

static enum neap_status commit(struct sqlite_database *d, const struct sink_batch *first, struct error *err)
{
    int code = step_once(d->turn.commit);
    if (code == SQLITE_OK)
        return NEAP_OK;
    enum neap_status status = sqlite_error(d->turn.db, d->options.path, code, err);
    take_back(d);
    if (status == NEAP_TIMEOUT && d->turn.db != NULL)
        return status; /* a reader held its lock all the time; taken back, so it did not land */
    if (d->turn.db != NULL)
        status = read_back(d, first, code, status, err);
    if (status == NEAP_IO)
        d->turn.failed = *err;
    return status;
}

/* What the whole transaction's failure means to a batch: land() has no word for "out of memory", it may be tried again. */
static void answer(struct sqlite_database *d, struct sink_batch *b, enum neap_status status, const struct error *err)
{
    if (status != NEAP_OK) {
        b->status = status == NEAP_NOMEM ? NEAP_AGAIN : status;
        b->error = *err;
        b->refused_count = 0;
    } else if (b->status == NEAP_OK) {
        struct sqlite_source *known = find_source(sink_of(b->sink_), b->source, NULL);
        *known = after_landing(known, b);
    } else if (b->status == NEAP_REFUSED) {
        must(b->refused_count > 0);
        error_set(&b->error, NEAP_REFUSED, "%s", b->refused[0].message);
    }
    worker_landed(d->worker, b);
}

/* The transaction of `count` batches. Answers false, with nothing told to anybody, where one of several has to be told
 * something of its own. */
static bool land_together(struct sqlite_database *d, struct sink_batch *first, uint32_t count)
{
    struct error err = { 0 };
    enum neap_status status = begin(d, &err);
    bool all_fine = true;
    struct sink_batch *b = first;
    for (uint32_t i = 0; i < count && status == NEAP_OK && all_fine; i++, b = b->next_) {
        int code = land_one(d, b);
        if (code != SQLITE_OK)
            status = give_up(d, code, &err);
        all_fine = b->status == NEAP_OK;
    }
    if (status == NEAP_OK && all_fine)
        status = commit(d, first, &err);
    else
        take_back(d);
    if (status == NEAP_OK && !all_fine && count > 1)
        return false;
    b = first;
    for (struct sink_batch *next; count > 0; count--, b = next) {
        next = b->next_;
        answer(d, b, status, &err);
    }
    return true;
}

static void land_alone(struct sqlite_database *d, struct sink_batch *b, uint32_t count)
{
    for (struct sink_batch *next; count > 0; count--, b = next) {
        next = b->next_;
        bool told = land_together(d, b, 1);
        must(told);
    }
}

static void land_all(struct sqlite_database *d, struct sink_batch *first)
{
    while (first != NULL) {
        struct sink_batch *rest = first->next_;
        size_t size = first->rows.size;
        uint32_t count = 1;
        for (; rest != NULL && size + rest->rows.size <= MERGE_SIZE_MAX; rest = rest->next_, count++)
            size += rest->rows.size;
        if (!land_together(d, first, count))
            land_alone(d, first, count);
        first = rest;
    }
}

/* ---- checkpoint -------------------------------------------------------------------------------------------------------------- */

static void checkpoint_if_due(struct sqlite_database *d)
{
    size_t due = d->options.checkpoint_size == 0 ? CHECKPOINT_SIZE : d->options.checkpoint_size;
    if (d->turn.db == NULL || d->turn.log_size < due)
        return;
    d->turn.log_size = 0; /* the next commit says how long it is */
    int code = sqlite3_wal_checkpoint_v2(d->turn.db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    enum neap_status status = sqlite_status(code);
    if (status == NEAP_OK || status == NEAP_TIMEOUT)
        return;
    struct error err = { 0 };
    sqlite_error(d->turn.db, d->options.path, code, &err);
    error_while(&err, "checkpoint");
    if (status == NEAP_IO || status == NEAP_CORRUPT) {
        d->turn.failed = err;
        disconnect(d);
    }
    logging_warn(d->options.logging, "checkpoint failed; rows stay in the write-ahead log",
                 LOGGING_TEXT("error", err.text));
}

static uint32_t turn(void *ctx, struct sink_recover *recovers, struct sink_batch *batches)
{
    struct sqlite_database *d = ctx;
    CHECK_MAGIC(d, DATABASE_MAGIC);
    recover_all(d, recovers);
    land_all(d, batches);
    checkpoint_if_due(d);
    return 0;
}

/* ---- open and close ------------------------------------------------------------------------------------------------------------ */

enum neap_status sqlite_database_open(const struct sqlite_database_options *options,
                                      struct sqlite_database **ret_database, struct error *err)
{
    must(options->io != NULL);
    if (options->path == NULL || options->path[0] == '\0')
        return error_set(err, NEAP_MISUSE, "a database needs a path");
    struct sqlite_database *d = calloc(1, sizeof *d);
    if (d == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory for database %s", options->path);
    d->magic = DATABASE_MAGIC;
    d->options = *options;
    const struct worker_options worker = { .io = options->io, .name = "sqlite", .turn = turn, .ctx = d };
    enum neap_status status = worker_open(&worker, &d->worker, err);
    if (status != NEAP_OK) {
        free(d);
        return status;
    }
    *ret_database = d;
    return NEAP_OK;
}

void sqlite_database_close(struct sqlite_database **database)
{
    struct sqlite_database *d = *database;
    if (d == NULL)
        return;
    CHECK_MAGIC(d, DATABASE_MAGIC);
    worker_close(&d->worker);
    disconnect(d);
    d->magic = 0;
    free(d);
    *database = NULL;
}

size_t sqlite_database_memory_size(const struct sqlite_database_options *options)
{
    return (options->cache_size == 0 ? CACHE_SIZE : options->cache_size) + OTHER_SIZE;
}

const struct sqlite_database_options *sqlite_database_options(const struct sqlite_database *d)
{
    return &d->options;
}

uint32_t sqlite_database_slot(struct sqlite_database *d)
{
    CHECK_MAGIC(d, DATABASE_MAGIC);
    return d->slot_count < SQLITE_SINK_COUNT_MAX ? d->slot_count++ : SQLITE_SINK_COUNT_MAX;
}

struct worker *sqlite_database_worker(struct sqlite_database *d)
{
    CHECK_MAGIC(d, DATABASE_MAGIC);
    return d->worker;
}
