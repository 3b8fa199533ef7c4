#include "log/local/recovery.h"
#include "log/local/archive.h"
#include "log/local/clock.h"
#include "log/local/header.h"
#include "log/local/index.h"
#include "log/local/keeper.h"
#include "log/local/salvage.h"
#include "log/local/scars.h"
#include "log/local/snapshot.h"
#include "log/local/views.h"
#include <stdio.h>
#include <stdlib.h>

struct recovery {
    struct log *log;
    struct scan scan;
    struct snapshot snapshot; /* position 0: there is none */
    uint64_t sequences[JOURNAL_FILE_MAX];
    enum header_state states[JOURNAL_FILE_MAX];
    uint32_t sequence_count;
    struct journal_file
        behind[JOURNAL_FILE_MAX]; /* from the first that is missing or unknown on: nothing, if all is well */
    uint32_t behind_count;
    bool too_many, has_id;
    bool scarred; /* bytes were passed over: what they held is missing from here on */
    int64_t time_ms;
    bool jumped; /* the clock, since the snapshot: what that says of it is of no use any more */
};

/* ---- what lies in the directory ------------------------------------------------------------------------------------------ */

static bool collect_file(void *ctx, const char *name)
{
    struct recovery *r = ctx;
    uint64_t sequence;
    char path[PATH_SIZE_MAX];
    if (strncmp(name, "spare-", 6) == 0)
        io_unlink(r->log->io, log_path(r->log, path, JOURNAL_FOLDER, "%s", name), NULL); /* never finished: rule K1 */
    if (!name_number(name, ".npj", &sequence))
        return true;
    r->too_many = r->sequence_count == JOURNAL_FILE_MAX;
    if (!r->too_many)
        r->sequences[r->sequence_count++] = sequence;
    return !r->too_many;
}

/* Header, size and place, as far as they can be told; damage is no error yet. */
static enum neap_status add_file(struct recovery *r, uint64_t sequence, struct error *err)
{
    struct log *log = r->log;
    struct shared *s = &log->shared;
    struct header_look look;
    enum neap_status status = header_look(log, sequence, IO_READ | IO_WRITE, &look, err);
    if (status != NEAP_OK)
        return status;
    if (look.state == HEADER_GONE)
        return error_set(err, NEAP_HELD, "%s: somebody else works in it", log->path);
    bool placed = look.state != HEADER_LOST;
    struct journal_file *f = &s->files[s->file_count]; /* log_close() ends it */
    r->states[s->file_count++] = look.state;
    *f = (struct journal_file){ .sequence = sequence, .file = look.file };
    f->cut_short = placed && look.disk_size < look.header.size;
    if (!placed)
        return NEAP_OK;
    if (r->has_id && memcmp(look.header.log_id.bytes, log->id.bytes, sizeof(log->id.bytes)) != 0)
        return error_set(err, NEAP_CORRUPT, "%s belongs to another log", io_file_path(f->file));
    log->id = look.header.log_id;
    r->has_id = true;
    f->base = look.header.base;
    f->size = look.header.size;
    f->salt = look.header.salt;
    struct scars scars;
    status = scars_load(log, sequence, f->salt, &scars, err);
    f->scarred = status == NEAP_OK;
    return status == NEAP_VERSION ? status : NEAP_OK;
}

static enum neap_status check_order(struct recovery *r, struct error *err)
{
    const struct shared *s = &r->log->shared;
    const struct journal_file *before = NULL;
    for (uint32_t i = 0; i < s->file_count; i++) {
        const struct journal_file *f = &s->files[i];
        if (r->states[i] == HEADER_LOST)
            continue;
        uint64_t end = before != NULL ? before->base + before->size : 0;
        if (f->base < end || (before != NULL && before->sequence + 1 == f->sequence && f->base != end))
            return error_set(err, NEAP_CORRUPT, "%s begins at %llu, the file before it ends at %llu",
                             io_file_path(f->file), (unsigned long long)f->base, (unsigned long long)end);
        before = f;
    }
    return NEAP_OK;
}

static enum neap_status open_files(struct recovery *r, struct error *err)
{
    char path[PATH_SIZE_MAX];
    struct log *log = r->log;
    enum neap_status status = io_dir_list(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), collect_file, r, err);
    if (status == NEAP_OK && r->too_many)
        status = error_set(err, NEAP_CORRUPT, "%s holds more than %u files", path, JOURNAL_FILE_MAX);
    for (uint32_t i = 0; i < r->sequence_count && status == NEAP_OK; i++)
        status = add_file(r, r->sequences[i], err);
    return status == NEAP_OK ? check_order(r, err) : status;
}

/* ---- a new log ------------------------------------------------------------------------------------------------------------- */

static enum neap_status begin_new(struct recovery *r, struct recovered *ret, struct error *err)
{
    struct log *log = r->log;
    struct shared *s = &log->shared;
    put_le64(log->id.bytes, io_random(log->io));
    put_le64(log->id.bytes + 8, io_random(log->io));
    enum neap_status status = keeper_make_spare(log->keeper, err);
    if (status != NEAP_OK)
        return error_while(err, "begin a log");
    s->open_index = 0;
    index_begin(s, s->files[0].sequence);
    *ret = (struct recovered){ .position = s->files[0].base + JOURNAL_HEADER_SIZE };
    return NEAP_OK;
}

/* ---- replay ------------------------------------------------------------------------------------------------------------------- */

static enum neap_status damaged(struct recovery *r, uint64_t position, const char *what, struct error *err)
{
    return error_set(err, NEAP_CORRUPT,
                     "%s: %s at position %llu (byte %llu of the file); nothing was changed; 'neap doctor %s' says more",
                     io_file_path(r->scan.file), what, (unsigned long long)position,
                     (unsigned long long)(position - r->scan.base), r->log->path);
}

/* Offsets from the partition's end up to `to` were given once, and their records are lost. */
static enum neap_status lose(struct recovery *r, struct partition *p, uint64_t to, struct error *err)
{
    struct log_partition where = { p->topic_id, p->number };
    enum neap_status status = lost_add(&r->log->shared.views.lost, where, p->end, to);
    if (status != NEAP_OK)
        return error_set(err, status, "lost offsets: %s", status_text(status));
    p->end = to;
    return NEAP_OK;
}

static enum neap_status replay_append(struct recovery *r, const struct journal_file *f, const struct op *op,
                                      struct error *err)
{
    struct shared *s = &r->log->shared;
    struct partition *p = views_partition(&s->views, op->target);
    bool told = op->position < r->snapshot.position; /* the snapshot holds it: only where it lies is news */
    enum neap_status status = NEAP_OK;
    if (p == NULL)
        return told || r->scarred ? NEAP_OK : damaged(r, op->position, "records of a topic that is not there", err);
    struct index_entry entry = { .base = op->offset,
                                 .at = (uint32_t)(op->position - f->base),
                                 .size = (uint32_t)op->payload.size,
                                 .count = op->count };
    if (index_in_memory(s, f->sequence)->count == s->index_count_max)
        return error_set(err, NEAP_NOMEM, "journal file %llu holds more than %u batches; give the node more memory",
                         (unsigned long long)f->sequence, s->index_count_max);
    if (told) {
        index_link(s, p, f->sequence, &entry);
        return NEAP_OK;
    }
    if (r->scarred && op->offset > p->end)
        status = lose(r, p, op->offset, err); /* what stood between lies in the bytes that were passed over */
    if (status != NEAP_OK)
        return status;
    if (op->offset != p->end)
        return damaged(r, op->position, "an offset that does not follow", err);
    index_add(s, p, f->sequence, &entry);
    return NEAP_OK;
}

/* A clock that was set ahead while the log was open, and an end without a snapshot since. */
static void note_time(struct recovery *r, int64_t time_ms)
{
    struct log_figures *f = &r->log->shared.figures;
    int64_t known_ms = r->time_ms > r->snapshot.wall_ms ? r->time_ms : r->snapshot.wall_ms;
    if (r->time_ms > 0 && time_ms - known_ms > CLOCK_JUMP_MS) {
        f->clock_jumped.ms = time_ms;
        f->clock_jump_ms = time_ms - known_ms;
        r->jumped = true;
    }
    if (time_ms > r->time_ms)
        r->time_ms = time_ms;
}

static enum neap_status replay_entry(struct recovery *r, const struct journal_file *f, const struct entry_header *h,
                                     struct bytes body, struct error *err)
{
    struct entry_walk walk;
    struct op op;
    entry_walk_begin(&walk, h, body);
    while (entry_walk_next(&walk, &op) == NEAP_OK) {
        enum neap_status status = NEAP_OK;
        if (op.kind == OP_APPEND)
            status = replay_append(r, f, &op, err);
        else if (h->position >= r->snapshot.position) {
            status = views_apply(&r->log->shared.views, &op);
            if (status == NEAP_CORRUPT && r->scarred)
                status = NEAP_OK; /* it speaks of what is lost */
            if (status != NEAP_OK)
                status = status == NEAP_CORRUPT ? damaged(r, op.position, "an operation that makes no sense", err)
                                                : error_set(err, status, "views: %s", status_text(status));
        }
        if (status != NEAP_OK)
            return status;
    }
    note_time(r, h->time_ms);
    return NEAP_OK;
}

/* ---- bytes that were declared lost ---------------------------------------------------------------------------------------- */

struct passing {
    struct recovery *r;
    const struct journal_file *file;
    struct error *err;
    enum neap_status status;
};

static void salvaged(void *ctx, const struct op *op, bool intact)
{
    struct passing *passing = ctx;
    struct recovery *r = passing->r;
    bool told = op->position < r->snapshot.position;
    if (passing->status != NEAP_OK)
        return;
    struct partition *p = op->kind == OP_APPEND ? views_partition(&r->log->shared.views, op->target) : NULL;
    if (op->kind == OP_APPEND && intact)
        passing->status = replay_append(r, passing->file, op, passing->err);
    else if (p != NULL && !told && op->offset + op->count > p->end)
        passing->status = lose(r, p, op->offset + op->count, passing->err);
    else if (intact && !told)
        (void)views_apply(&r->log->shared.views, op); /* one that speaks of what is lost says nothing any more */
}

/* Nothing valid stands at the scan's position. OK: it was declared lost, and the scan stands behind it. BADINPUT: it was not. */
static enum neap_status pass_over(struct recovery *r, const struct journal_file *f, struct error *err)
{
    struct scars scars;
    struct entry_header h;
    struct bytes body;
    uint64_t from = r->scan.position;
    if (!f->scarred || scars_load(r->log, f->sequence, f->salt, &scars, NULL) != NEAP_OK)
        return NEAP_BADINPUT;
    uint64_t to = scars_pass(&scars, from);
    if (to == 0)
        return NEAP_BADINPUT;
    r->scarred = true;
    enum neap_status stands = salvage_next(&r->scan, &h, &body);
    if (r->scan.position != to)
        return damaged(r, from, "more is damaged than was declared lost,", err);
    struct passing passing = { .r = r, .file = f, .err = err };
    if (stands == NEAP_OK)
        salvage_entry(&h, body, &(struct salvage){ .op = salvaged, .ctx = &passing });
    logging_warn(r->log->logging, "damaged bytes are passed over, as they were declared lost",
                 LOGGING_TEXT("file", io_file_path(f->file)), LOGGING_UINT("from", from - f->base),
                 LOGGING_UINT("to", to - f->base));
    return passing.status;
}

/* What a group has committed was there once: its offsets are not given again. */
static enum neap_status raise_ends(struct recovery *r, struct error *err)
{
    struct views *v = &r->log->shared.views;
    enum neap_status status = NEAP_OK;
    struct bytes key;
    void *value;
    for (size_t i = 0; status == NEAP_OK && map_next(v->offsets, &i, &key, &value);) {
        const struct fact *fact = value;
        struct partition *p = views_partition(v, (struct log_partition){ get_be32(key.at), get_be32(key.at + 4) });
        if (p != NULL && fact->offset > p->end)
            status = lose(r, p, fact->offset, err);
    }
    return status;
}

/* Reads one file through. OK: it is sealed; AGAIN: it stops at scan.position, where the next entry may go. */
static enum neap_status replay_file(struct recovery *r, const struct journal_file *f, struct error *err)
{
    struct entry_header h;
    struct bytes body;
    if (scan_begin(&r->scan, f->file, f->base, f->size, f->salt) != NEAP_OK)
        return error_set(err, NEAP_NOMEM, "recovery");
    r->scan.piecewise = f->scarred; /* what the disk cannot read may have been declared lost */
    index_begin(&r->log->shared, f->sequence);
    enum neap_status status;
    while ((status = scan_next(&r->scan, &h, &body)) == NEAP_OK || status == NEAP_BADINPUT) {
        bool bad = status == NEAP_BADINPUT, unreadable = bad && r->scan.unreadable;
        status = bad ? pass_over(r, f, err) : replay_entry(r, f, &h, body, err);
        if (bad && status == NEAP_BADINPUT) {
            status = unreadable ? NEAP_IO : status;
            break;
        }
        if (status != NEAP_OK)
            return status;
    }
    r->log->shared.figures.recovered_size += r->scan.position - f->base;
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    if (status == NEAP_BADINPUT)
        return NEAP_AGAIN;
    return error_set(err, status, "read %s at byte %llu: %s; nothing was changed; 'neap doctor %s' says more",
                     io_file_path(f->file), (unsigned long long)(r->scan.position - f->base), status_text(status),
                     r->log->path);
}

/* Rules R1, R2: does anything say that what stops here was once synced? */
static enum neap_status check_cut(struct recovery *r, uint32_t index, struct error *err)
{
    struct shared *s = &r->log->shared;
    uint64_t cut = r->scan.position, mark = r->scan.mark, found = 0;
    enum neap_status status = scan_marks(&r->scan, cut, &found);
    if (found > mark)
        mark = found;
    if (status == NEAP_OK && index + 1 < s->file_count) {
        struct journal_file *next = &s->files[index + 1];
        struct scan beyond = { 0 };
        status = scan_begin(&beyond, next->file, next->base, next->size, next->salt);
        if (status == NEAP_OK)
            status = scan_marks(&beyond, beyond.position, &found);
        if (status == NEAP_OK && found > mark)
            mark = found;
        scan_end(&beyond);
    }
    if (status != NEAP_OK)
        return error_set(err, status, "read %s: %s", io_file_path(s->files[index].file), status_text(status));
    return mark > cut ? damaged(r, cut, "damage in what was acknowledged,", err) : NEAP_OK;
}

/* Sealed: its index must be on disk before its place in memory goes to the file after the next. */
static enum neap_status finish_sealed(struct recovery *r, struct journal_file *f, const struct index_before *before,
                                      struct error *err)
{
    struct shared *s = &r->log->shared;
    struct open_index *index = index_in_memory(s, f->sequence);
    f->end = r->scan.position;
    enum neap_status status = index_look(r->log, f, err);
    if (status == NEAP_NOTFOUND) {
        status = index_write(r->log, f->sequence, before, err);
        if (status == NEAP_OK && index_look(r->log, f, NULL) != NEAP_OK)
            status = error_set(err, NEAP_IO, "the index of %s does not read back", io_file_path(f->file));
    }
    if (status != NEAP_OK)
        return status;
    f->index_ready = true;
    index->sequence = 0;
    return NEAP_OK;
}

/* A sealed file that the snapshot has passed: only its index matters; it is rebuilt when missing or bad. */
static enum neap_status look_at_old(struct recovery *r, uint32_t slot, struct error *err)
{
    struct shared *s = &r->log->shared;
    struct journal_file *f = &s->files[slot];
    enum neap_status status = index_look(r->log, f, err);
    f->index_ready = status == NEAP_OK;
    f->end = f->base + f->size; /* where exactly its entries end matters to nobody but its index */
    if (status != NEAP_NOTFOUND)
        return status;
    logging_warn(r->log->logging, "an index is missing or bad; it is made anew",
                 LOGGING_TEXT("file", io_file_path(f->file)));
    struct scan scan = r->scan;
    r->scan = (struct scan){ 0 };
    status = replay_file(r, f, err);
    if (status == NEAP_AGAIN)
        status = damaged(r, r->scan.position, "damage in a sealed file,", err);
    struct index_before before = { { slot > 0 ? s->files[slot - 1].index : NULL, 0 } };
    if (status == NEAP_OK)
        status = finish_sealed(r, f, &before, err);
    scan_end(&r->scan);
    r->scan = scan;
    return status;
}

static enum neap_status write_range_again(struct recovery *r, struct journal_file *f, uint64_t from, uint64_t to)
{
    enum neap_status status = NEAP_OK;
    while (status == NEAP_OK && from < to) {
        size_t got = 0, size = to - from < r->scan.room ? (size_t)(to - from) : r->scan.room;
        status = io_file_read(f->file, r->scan.buffer, size, from - f->base, &got);
        struct bytes part = { r->scan.buffer, got };
        if (status == NEAP_OK && got == size)
            status = io_file_write(f->file, &part, 1, from - f->base);
        from += size;
    }
    return status == NEAP_OK ? io_file_sync(f->file) : status;
}

/* Rule R3: from the highest mark on, the bytes are written and synced again. */
static enum neap_status write_again(struct recovery *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    for (uint32_t i = 0; i <= s->open_index; i++) {
        struct journal_file *f = &s->files[i];
        uint64_t from = r->scan.mark, to = i == s->open_index ? r->scan.position : f->end;
        if (from >= to && i != s->open_index)
            continue;
        if (from < f->base + JOURNAL_HEADER_SIZE)
            from = f->base + JOURNAL_HEADER_SIZE;
        enum neap_status status = write_range_again(r, f, from - from % JOURNAL_PAGE_SIZE, to);
        if (status != NEAP_OK)
            return error_set(err, status, "write the tail of %s again: %s", io_file_path(f->file), status_text(status));
    }
    return NEAP_OK;
}

/* Takes file i out of sight: what can be told of it is not enough to read it. */
static struct journal_file set_aside(struct recovery *r, uint32_t i)
{
    struct shared *s = &r->log->shared;
    struct journal_file f = s->files[i];
    memmove(&s->files[i], &s->files[i + 1], (s->file_count - i - 1) * sizeof(f));
    memmove(&r->states[i], &r->states[i + 1], (s->file_count - i - 1) * sizeof(r->states[0]));
    s->file_count--;
    return f;
}

static void leave_out_old(struct recovery *r, uint32_t *first)
{
    for (uint32_t i = *first; i > 0; i--) {
        if (r->states[i - 1] != HEADER_LOST)
            continue;
        struct journal_file f = set_aside(r, i - 1);
        logging_error(r->log->logging,
                      "the header of a journal file is damaged, and nothing else tells it; its events are not served",
                      LOGGING_TEXT("file", io_file_path(f.file)));
        io_file_close(&f.file);
        --*first;
    }
}

static enum neap_status no_file_at(struct recovery *r, uint64_t position, struct error *err)
{
    const struct shared *s = &r->log->shared;
    if (position == 0 && s->file_count > 0)
        return error_set(
            err, NEAP_CORRUPT,
            "%s has no snapshot that can be read, and its journal does not reach back to its beginning: its first "
            "file is number %llu; nothing was changed; 'neap doctor %s' says more",
            r->log->path, (unsigned long long)s->files[0].sequence, r->log->path);
    return error_set(
        err, NEAP_CORRUPT,
        "%s: the journal file that holds position %llu is missing or damaged; nothing was changed; 'neap doctor %s' "
        "says more",
        r->log->path, (unsigned long long)position, r->log->path);
}

/* The file that holds what the snapshot does not. Those from the first that is missing or unknown on are set aside. */
static enum neap_status first_to_replay(struct recovery *r, uint32_t *ret_index, struct error *err)
{
    struct shared *s = &r->log->shared;
    uint64_t position = r->snapshot.position;
    uint32_t index = s->file_count;
    for (uint32_t i = 0; i < s->file_count; i++)
        if (r->states[i] != HEADER_LOST && s->files[i].base <= position)
            index = i;
    if (index == s->file_count || s->files[index].base + s->files[index].size < position ||
        (position == 0 && s->files[index].sequence != 1))
        return no_file_at(r, position, err);
    leave_out_old(r, &index);
    uint32_t end = index + 1;
    while (end < s->file_count && r->states[end] != HEADER_LOST &&
           s->files[end].sequence == s->files[end - 1].sequence + 1)
        end++;
    r->behind_count = s->file_count - end;
    memcpy(r->behind, &s->files[end], r->behind_count * sizeof(r->behind[0]));
    s->file_count = end;
    memset(&r->states[end], 0,
           (JOURNAL_FILE_MAX - end) * sizeof(r->states[0])); /* HEADER_WHOLE: of files yet to be made */
    *ret_index = index;
    return NEAP_OK;
}

/* ---- files behind the journal's end ----------------------------------------------------------------------------------------- */

/* The one after the last may have been entered where that is sealed; nothing in it says so, and no file behind it. */
static enum neap_status check_behind(struct recovery *r, bool sealed, struct error *err)
{
    const struct shared *s = &r->log->shared;
    const struct journal_file *last = &s->files[s->file_count - 1], *next = r->behind;
    uint64_t base = last->base + last->size;
    bool missing = next->sequence != last->sequence + 1;
    bool holds = (sealed && missing) || r->snapshot.position > base;
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < r->behind_count && status == NEAP_OK && !holds; i++) {
        const struct journal_file *f = &r->behind[i];
        struct io_file_info info;
        base = f->size != 0 ? f->base : base;
        status = io_file_info(f->file, &info);
        if (status == NEAP_OK)
            status = header_holds_entries(f->file, base, info.size, &holds);
        base += f->size != 0 ? f->size : info.size;
    }
    if (status != NEAP_OK)
        return error_set(err, status, "read what follows %s: %s", io_file_path(last->file), status_text(status));
    if (holds && missing)
        return error_set(err, NEAP_CORRUPT,
                         "%s: journal file %llu is missing; nothing was changed; 'neap doctor %s' says more",
                         r->log->path, (unsigned long long)last->sequence + 1, r->log->path);
    if (holds)
        return error_set(err, NEAP_CORRUPT,
                         "%s: its header is damaged; nothing was changed; 'neap doctor %s' says more",
                         io_file_path(next->file), r->log->path);
    return NEAP_OK;
}

/* Ready files that hold nothing are given up from the first bad one on; the last goes first, so that no crash leaves a hole. */
static enum neap_status drop_behind(struct recovery *r, struct error *err)
{
    char path[PATH_SIZE_MAX];
    struct log *log = r->log;
    enum neap_status status = NEAP_OK;
    while (status == NEAP_OK && r->behind_count > 0) {
        struct journal_file *f = &r->behind[r->behind_count - 1];
        logging_warn(log->logging,
                     "a ready journal file is damaged, or one before it is missing; it held nothing and is made anew",
                     LOGGING_TEXT("file", io_file_path(f->file)));
        snprintf(path, sizeof(path), "%s", io_file_path(f->file));
        io_file_close(&f->file);
        r->behind_count--;
        status = io_unlink(log->io, path, err);
        if (status == NEAP_OK)
            status = io_dir_sync(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), err);
    }
    return status;
}

/* Headers that were told, and ready files that were cut short, are made whole. */
static enum neap_status mend_files(struct recovery *r, struct error *err)
{
    struct log *log = r->log;
    struct shared *s = &log->shared;
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < s->file_count && status == NEAP_OK; i++) {
        struct journal_file *f = &s->files[i];
        bool grows = f->cut_short && i >= s->open_index;
        if (grows)
            status = io_file_allocate(f->file, f->size);
        if (status != NEAP_OK)
            return error_set(err, status, "make %s as large as it was: %s", io_file_path(f->file), status_text(status));
        f->cut_short &= !grows;
        if (grows || r->states[i] == HEADER_TOLD)
            logging_warn(log->logging,
                         grows ? "a journal file was shorter than it should be; it has its size again"
                               : "the header of a journal file is damaged; it is made anew from what its entries and "
                                 "neighbours say",
                         LOGGING_TEXT("file", io_file_path(f->file)));
        if (r->states[i] == HEADER_TOLD)
            status = journal_file_prepare(
                log, f->file,
                &(struct file_header){
                    .log_id = log->id, .sequence = f->sequence, .base = f->base, .size = f->size, .salt = f->salt },
                err);
    }
    return status;
}

static enum neap_status replay_all(struct recovery *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    uint32_t first = 0;
    enum neap_status status = first_to_replay(r, &first, err);
    for (uint32_t i = 0; i < first && status == NEAP_OK; i++)
        status = look_at_old(r, i, err);
    for (uint32_t i = first; status == NEAP_OK && i < s->file_count; i++) {
        s->open_index = i;
        status = replay_file(r, &s->files[i], err);
        bool ends = status == NEAP_AGAIN;
        if (ends)
            status = check_cut(r, i, err);
        else if (status == NEAP_OK)
            status = finish_sealed(r, &s->files[i], NULL, err);
        bool last = ends || i + 1 == s->file_count;
        if (status == NEAP_OK && last && r->scan.position < r->snapshot.position)
            status = damaged(r, r->scan.position, "the journal ends before what the snapshot holds,", err);
        if (status == NEAP_OK && last && r->behind_count > 0)
            status = check_behind(r, !ends, err);
        if (ends)
            return status;
        if (status == NEAP_OK && last)
            status = drop_behind(r, err);
        if (status == NEAP_OK && last)
            status = keeper_make_spare(r->log->keeper, err); /* sealed before a spare was ready */
    }
    return status;
}

/* ---- archives ------------------------------------------------------------------------------------------------------------- */

static void unlink_orphan(struct recovery *r, uint64_t number)
{
    if (archives_find(&r->log->shared.views.archives, number) == NULL)
        archive_unlink(r->log, number); /* begun and never spoken of in the journal, or replaced since (rule A1) */
}

static bool collect_archive(void *ctx, const char *name)
{
    struct recovery *r = ctx;
    uint64_t number;
    if (name_number(name, ".npa", &number))
        unlink_orphan(r, number);
    else
        spill_unlink(r->log, name);
    return true;
}

/* Files that are gone need not be remembered. One that was given back without a sync of its directory may have come back: a snapshot
 * written since knows no more that it was drained, but the archives do. */
static enum neap_status settle_drained(struct recovery *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    struct archives *all = &s->views.archives;
    for (uint32_t i = all->drained_count; i > 0; i--)
        if (file_by_sequence(s, all->drained[i - 1]) == NULL)
            archives_forget_drained(all, all->drained[i - 1]);
    for (uint32_t i = 0; i < s->open_index; i++)
        if (archives_cover(all, s->files[i].sequence) && archives_add_drained(all, s->files[i].sequence) != NEAP_OK)
            return error_set(err, NEAP_NOMEM, "more journal files are drained than can be remembered");
    return NEAP_OK;
}

/* One that cannot be opened costs its own events, and they are said; all else is served. */
static enum neap_status settle_archives(struct recovery *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    struct archives *all = &s->views.archives;
    char path[PATH_SIZE_MAX];
    archives_free_chain(all->gone);
    all->gone = NULL;
    if (settle_drained(r, err) != NEAP_OK)
        return err->status;
    for (uint32_t i = 0; i < all->count; i++) {
        enum neap_status status = archive_open(r->log, all->list[i], err);
        if (status == NEAP_OK)
            continue;
        if (status != NEAP_CORRUPT)
            return status;
        all->list[i]->bad = true;
        logging_error(r->log->logging, "an archive cannot be read; its events are not served",
                      LOGGING_TEXT("error", err->text));
    }
    return io_dir_list(r->log->io, log_path(r->log, path, ARCHIVE_FOLDER, "%s", ""), collect_archive, r, err);
}

/* The open file is so full that no first entry fits: there must be a next one. */
static enum neap_status make_room(struct recovery *r, struct error *err)
{
    struct shared *s = &r->log->shared;
    struct journal_file *f = open_file(s);
    if (s->open_index + 1 == s->file_count && f->base + f->size - r->scan.position < JOURNAL_PAGE_SIZE)
        return keeper_make_spare(r->log->keeper, err);
    return NEAP_OK;
}

static enum neap_status load_and_replay(struct recovery *r, struct recovered *ret, struct error *err)
{
    struct log *log = r->log;
    struct shared *s = &log->shared;
    uint64_t number = 0;
    enum neap_status status = snapshot_load(log, &s->views, &r->snapshot, &number, err);
    bool none_good = status == NEAP_CORRUPT; /* a journal that reaches back to its beginning says all of it */
    if (none_good && err != NULL)
        *err = (struct error){ 0 };
    if (none_good)
        status = NEAP_NOTFOUND;
    if (status == NEAP_OK && memcmp(r->snapshot.log_id.bytes, log->id.bytes, sizeof(log->id.bytes)) != 0)
        status = error_set(err, NEAP_CORRUPT, "%s: the snapshot belongs to another log", log->path);
    if (status != NEAP_OK && status != NEAP_NOTFOUND)
        return status;
    s->snapshot_position[0] = r->snapshot.position;
    r->time_ms = r->snapshot.time_ms;
    s->figures.clock_jumped.ms = r->snapshot.clock_jumped_ms;
    s->figures.clock_jump_ms = r->snapshot.clock_jump_ms;
    status = replay_all(r, err);
    if (status == NEAP_OK && r->scarred)
        status = raise_ends(r, err);
    if (status == NEAP_OK)
        status = settle_archives(r, err);
    if (status == NEAP_OK)
        status = drop_behind(r, err);
    if (status == NEAP_OK)
        status = mend_files(r, err);
    if (status == NEAP_OK)
        status = write_again(r, err);
    if (status == NEAP_OK)
        status = make_room(r, err);
    if (status == NEAP_OK)
        snapshot_set_aside(log, number);
    if (status == NEAP_OK && none_good)
        logging_warn(log->logging, "no snapshot could be read; the journal was, from its beginning");
    if (r->snapshot.wall_ms > 0 && !r->jumped)
        s->recovered_wall_ms = clock_wall_of(r->snapshot.wall_ms, r->snapshot.time_ms, r->time_ms);
    uint64_t boot = r->scan.boot > r->snapshot.boot ? r->scan.boot : r->snapshot.boot;
    *ret = (struct recovered){ .position = r->scan.position, .boot = boot, .time_ms = r->time_ms };
    return status;
}

enum neap_status recovery_run(struct log *log, struct recovered *ret, struct error *err)
{
    struct recovery *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return error_set(err, NEAP_NOMEM, "recovery");
    r->log = log;
    enum neap_status status = open_files(r, err);
    if (status == NEAP_OK && log->shared.file_count == 0) {
        uint64_t number;
        status = snapshot_load(log, &log->shared.views, &r->snapshot, &number, err);
        if (status == NEAP_OK)
            status = error_set(err, NEAP_CORRUPT, "%s has snapshots but no journal", log->path);
        else if (status == NEAP_NOTFOUND)
            status = begin_new(r, ret, err);
    } else if (status == NEAP_OK) {
        status = load_and_replay(r, ret, err);
    }
    for (uint32_t i = 0; i < r->behind_count; i++)
        io_file_close(&r->behind[i].file);
    scan_end(&r->scan);
    free(r);
    return status;
}
