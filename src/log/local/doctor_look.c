/* doctor_look.c - one journal file or archive: every checksum, whose offsets are damaged, and which were found. */
#include "log/local/archive.h"
#include "log/local/doctor_parts.h"
#include "log/local/salvage.h"
#include <stdio.h>

/* ---- what is found ---------------------------------------------------------------------------------------------------- */

static void take_op(struct patient *p, const struct op *op)
{
    if (op->kind == OP_APPEND)
        doctor_cover(p, op->target, op->offset, op->offset + op->count);
    if (op->position < p->snapshot.position)
        return;
    struct partition *partition = op->kind == OP_APPEND ? views_partition(&p->views, op->target) : NULL;
    if (partition != NULL && p->scarred && op->offset > partition->end)
        (void)lost_add(&p->views.lost, op->target, partition->end, op->offset); /* as replay will */
    if (partition != NULL && op->offset + op->count > partition->end)
        partition->end = op->offset + op->count;
    if (op->kind == OP_TOPIC_CREATE || op->kind == OP_TOPIC_DELETE || op->kind == OP_TOPIC_ALTER ||
        op->kind == OP_TRIM || op->kind == OP_REPLACE || op->kind == OP_LOST)
        (void)views_apply(&p->views, op); /* what makes no sense any more is damaged elsewhere, and named there */
}

static void take_entry(struct patient *p, const struct entry_header *h, struct bytes body)
{
    struct entry_walk walk;
    struct op op;
    entry_walk_begin(&walk, h, body);
    while (entry_walk_next(&walk, &op) == NEAP_OK)
        take_op(p, &op);
}

static void take_losses(struct patient *p, const struct entry_header *h, struct bytes body)
{
    struct entry_walk walk;
    struct op op;
    entry_walk_begin(&walk, h, body);
    while (entry_walk_next(&walk, &op) == NEAP_OK)
        if (op.kind == OP_LOST && op.position >= p->snapshot.position)
            (void)lost_add(&p->views.lost, op.target, op.offset, op.offset + op.count);
}

/* ---- around damage ---------------------------------------------------------------------------------------------------- */

struct wound {
    struct patient *p;
    struct log_finding place;
    uint32_t named, facts; /* ranges of offsets; other operations */
    uint32_t settled;      /* ranges that were declared lost */
    bool declared;         /* lost, already */
};

static void salvaged(void *ctx, const struct op *op, bool intact)
{
    struct wound *w = ctx;
    if (intact) {
        take_op(w->p, op);
    } else if (w->declared && op->kind == OP_APPEND) {
        (void)lost_add(&w->p->views.lost, op->target, op->offset, op->offset + op->count);
        take_op(w->p, op);
    } else if (op->kind == OP_APPEND) {
        w->place.byte = op->position - w->p->scan.base;
        doctor_say_range(w->p, w->place, op->target, op->offset, op->offset + op->count);
        take_op(w->p, op);
        w->named++;
    } else {
        w->facts++;
    }
}

static void indexed(void *ctx, const struct damage_batches *b)
{
    struct wound *w = ctx;
    uint64_t uncovered = lost_pass(&w->p->here->covered, b->partition, b->first);
    if (uncovered >= b->end)
        return; /* its operation's header stood, and has named it */
    w->place.byte = b->at;
    doctor_say_range(w->p, w->place, b->partition, uncovered, b->end);
    doctor_cover(w->p, b->partition, uncovered, b->end);
    w->named++;
}

static void reckon(void *ctx, const struct damage_batches *b)
{
    struct wound *w = ctx;
    uint64_t first = b->first;
    enum doctor_fate fate = doctor_fate(w->p, b->partition, &first, b->end);
    w->settled += fate == DOCTOR_DECLARED;
    w->named += fate == DOCTOR_MISSED;
}

/* No start reads these bytes, and an index that is whole says which batches lay in them: all were declared lost, or are freed. */
static bool is_settled(struct patient *p, const struct damage_place *place, uint64_t from, uint64_t to)
{
    struct wound w = { .p = p };
    return place->base + p->scan.size <= p->snapshot.position && damage_index_is_whole(place) &&
           damage_batches(place, from, to, reckon, &w) == NEAP_OK && w.settled > 0 && w.named == 0;
}

static void settle_wound(struct patient *p, const char *path, const struct damage_place *place, uint64_t from,
                         const struct entry_header *h, struct bytes body)
{
    uint64_t to = p->scan.position - p->scan.base;
    struct wound w = { .p = p, .declared = true };
    struct salvage salvage = { .op = salvaged, .ctx = &w };
    struct log_finding note = doctor_place(p, path, from, to - from);
    if (h != NULL && body.size > 0)
        salvage_entry(h, body, &salvage);
    (void)damage_batches(place, from, to, indexed, &w);
    p->settled_count++;
    note.damage = false;
    doctor_say(p, &note, "%s: bytes %llu to %llu are damaged; all events in them were declared lost", path,
               (unsigned long long)from, (unsigned long long)to - 1);
}

static void pass_wound(struct patient *p, const char *path, uint64_t from, const struct entry_header *h,
                       struct bytes body)
{
    struct wound w = { .p = p, .declared = true };
    struct salvage salvage = { .op = salvaged, .ctx = &w };
    p->scarred = true;
    p->settled_count++;
    if (h != NULL && body.size > 0)
        salvage_entry(h, body, &salvage);
    doctor_note(p, "%s: bytes %llu to %llu were declared lost", path, (unsigned long long)from,
                (unsigned long long)(p->scan.position - p->scan.base - 1));
}

/* Bytes [from, to) of a journal file are damaged; the scan stands behind them. */
static void name_wound(struct patient *p, const char *path, const struct damage_place *place, uint64_t from,
                       const struct entry_header *h, struct bytes body)
{
    uint64_t to = p->scan.position - p->scan.base;
    struct wound w = { .p = p, .place = doctor_place(p, path, from, to - from) };
    struct salvage salvage = { .op = salvaged, .ctx = &w };
    if (h == NULL)
        doctor_say(p, &w.place, "%s: bytes %llu to %llu are damaged", path, (unsigned long long)from,
                   (unsigned long long)to - 1);
    else
        doctor_say(p, &w.place, "%s: the entry at byte %llu is damaged (%u operations, to byte %llu)", path,
                   (unsigned long long)from, h->op_count, (unsigned long long)to - 1);
    if (h != NULL && body.size > 0)
        salvage_entry(h, body, &salvage);
    (void)damage_batches(place, from, to, indexed, &w);
    if (w.facts > 0)
        doctor_say(p, &w.place, "%s: %u facts, commit points or changes of topics in it are damaged", path, w.facts);
}

/* ---- where entries stop --------------------------------------------------------------------------------------------------- */

static uint64_t mark_of_next(struct patient *p, uint32_t index)
{
    struct header_look look = { 0 };
    struct scan scan = { 0 };
    uint64_t mark = 0;
    if (index + 1 < p->count && header_look(&p->log, p->numbers[index + 1], IO_READ, &look, NULL) == NEAP_OK &&
        look.state <= HEADER_TOLD &&
        scan_begin(&scan, look.file, look.header.base, look.header.size, look.header.salt) == NEAP_OK)
        scan_marks(&scan, scan.position, &mark);
    scan_end(&scan);
    io_file_close(&look.file);
    return mark;
}

/* Nothing valid stands at the scan's position. Does anything say that it was once synced? */
static bool is_damage(struct patient *p, uint32_t index)
{
    if (p->scan.position < p->snapshot.position)
        return true;
    uint64_t mark = 0, next = mark_of_next(p, index);
    p->scan.filled = 0;
    scan_marks(&p->scan, p->scan.position, &mark);
    mark = next > mark ? next : mark;
    return (p->scan.mark > mark ? p->scan.mark : mark) > p->scan.position;
}

static uint64_t look_at_entries(struct patient *p, uint32_t index, const char *path, const struct damage_place *place)
{
    struct entry_header h;
    struct bytes body;
    uint64_t count = 0, told = p->scan.base, bad_at = 0;
    uint32_t tries = 0;
    for (;;) {
        enum neap_status status = scan_next(&p->scan, &h, &body);
        if (p->scan.position - told >= RECOVERY_STEP_SIZE) {
            doctor_progress(p, p->scan.position - told);
            told = p->scan.position;
        }
        if (status == NEAP_OK) {
            take_entry(p, &h, body);
            count++;
            continue;
        }
        if (status == NEAP_BADINPUT &&
            (scars_pass(&p->scars, p->scan.position) != 0 || p->scan.unreadable || is_damage(p, index))) {
            tries = p->scan.position == bad_at ? tries + 1 : 1;
            bad_at = p->scan.position;
            p->scan.filled = 0;
            if (p->changing && tries < DOCTOR_RETRY_COUNT)
                continue; /* it was being written while we looked */
            uint64_t from = bad_at - p->scan.base;
            uint64_t to = scars_pass(&p->scars, bad_at);
            bool stands = salvage_next(&p->scan, &h, &body) == NEAP_OK;
            if (to != 0 && to == p->scan.position)
                pass_wound(p, path, from, stands ? &h : NULL, body);
            else if (is_settled(p, place, from, p->scan.position - p->scan.base))
                settle_wound(p, path, place, from, stands ? &h : NULL, body);
            else
                name_wound(p, path, place, from, stands ? &h : NULL, body);
            if (p->scan.position < p->scan.base + p->scan.size && p->scan.status == NEAP_OK)
                continue;
        } else if (status != NEAP_BADINPUT && status != NEAP_NOTFOUND) {
            struct log_finding at = doctor_place(p, path, p->scan.position - p->scan.base, 0);
            doctor_say(p, &at, "%s: byte %llu cannot be read: %s", path,
                       (unsigned long long)(p->scan.position - p->scan.base), status_text(status));
        }
        doctor_note(p, "%s: %llu entries%s", path, (unsigned long long)count,
                    status == NEAP_NOTFOUND ? ", sealed" : "");
        p->ended = status == NEAP_BADINPUT && p->scan.position < p->scan.base + p->scan.size;
        return told;
    }
}

/* ---- indexes ------------------------------------------------------------------------------------------------------------ */

struct index_look {
    struct patient *p;
    const char *path;
    struct log_finding place;
};

static void misplaced(void *ctx, const struct damage_batches *b)
{
    struct index_look *l = ctx;
    uint64_t uncovered = lost_pass(&l->p->here->covered, b->partition, b->first);
    if (uncovered < b->end && !scars_hold(&l->p->scars, l->p->scan.base + b->at)) /* else it was declared lost */
        doctor_say(l->p, &l->place, "%s: topic %u partition %u offset %llu is not at byte %u of its journal file",
                   l->path, b->partition.topic_id, b->partition.partition, (unsigned long long)uncovered, b->at);
}

static void look_at_index(struct patient *p, const char *path, const struct damage_place *place)
{
    uint8_t page[INDEX_HEADER_SIZE];
    struct index_header h;
    size_t got = 0;
    struct index_look look = { p, path, doctor_place(p, path, 0, 0) };
    if (place->index.file == NULL)
        return; /* none: it is made anew when it is wanted */
    enum neap_status status = io_file_read(place->index.file, page, sizeof(page), 0, &got);
    if (status == NEAP_OK)
        status = index_header_read((struct bytes){ page, got }, &h);
    bool former = status == NEAP_OK && (h.salt != place->salt || h.sequence != place->sequence);
    if (former || p->changing)
        return; /* of a former life of the file, and made anew; or just being written */
    if (status == NEAP_VERSION)
        doctor_say(p, &look.place, "%s: its header: %s", path, status_text(status));
    else if (!damage_index_is_whole(place))
        doctor_say(p, &look.place, "%s: a bad index (it is made anew at the next start)", path);
    else
        (void)damage_batches(place, 0, UINT64_MAX, misplaced, &look);
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

static void look_at_body(struct patient *p, uint32_t index, const char *path, struct io_file *file,
                         const struct file_header *h)
{
    char index_path[PATH_SIZE_MAX];
    struct damage_place place = { .file = file, .sequence = h->sequence, .base = h->base, .salt = h->salt };
    struct error err = { 0 };
    uint64_t told = h->base;
    p->scan.piecewise = true;
    doctor_begin_source(p, h->sequence, h->sequence, false);
    log_path(&p->log, index_path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)h->sequence);
    (void)io_file_open(p->io, index_path, IO_READ, &place.index.file, NULL);
    enum neap_status scarred = scars_load(&p->log, h->sequence, h->salt, &p->scars, &err);
    if (scarred != NEAP_OK)
        p->scars.count = 0;
    if (scarred == NEAP_VERSION)
        doctor_say(p, &(struct log_finding){ .damage = true }, "%s", err.text);
    if (scan_begin(&p->scan, file, h->base, h->size, h->salt) == NEAP_OK)
        told = look_at_entries(p, index, path, &place);
    look_at_index(p, index_path, &place);
    io_file_close(&place.index.file);
    doctor_progress(p, h->base + h->size - told);
}

/* A loss is declared behind what it speaks of: it has to be known before that is met. */
void doctor_look_for_losses(struct patient *p, uint64_t sequence)
{
    struct header_look look = { 0 };
    struct scan scan = { .piecewise = true };
    struct entry_header h;
    struct bytes body;
    bool known = header_look(&p->log, sequence, IO_READ, &look, NULL) == NEAP_OK && look.state <= HEADER_TOLD &&
                 look.header.base + look.header.size > p->snapshot.position &&
                 scan_begin(&scan, look.file, look.header.base, look.header.size, look.header.salt) == NEAP_OK;
    if (known && scars_load(&p->log, sequence, look.header.salt, &p->scars, NULL) != NEAP_OK)
        p->scars.count = 0;
    while (known) {
        enum neap_status status = scan_next(&scan, &h, &body);
        known = status == NEAP_OK || (status == NEAP_BADINPUT && scars_pass(&p->scars, scan.position) != 0);
        if (status == NEAP_OK)
            take_losses(p, &h, body);
        else if (known)
            (void)salvage_next(&scan, &h, &body);
    }
    scan_end(&scan);
    io_file_close(&look.file);
}

/* Its size, so that it can be named; offsets that were in it will be in no file. */
static void say_lost_file(struct patient *p, uint64_t sequence, uint64_t size, const char *what)
{
    char path[PATH_SIZE_MAX];
    log_path(&p->log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)sequence);
    struct log_finding place = doctor_place(p, path, 0, size <= UINT32_MAX ? size : 0);
    doctor_say(p, &place, "%s: %s", path, what);
}

void doctor_look_for_missing(struct patient *p, uint64_t sequence, uint64_t base)
{
    uint64_t position = p->snapshot.position, end = p->has_before ? p->before.base + p->before.size : 0;
    uint64_t count = sequence - (p->has_before ? p->before.sequence : 0) - 1;
    if (p->hopeless || p->gap || count == 0 || base <= end || base <= position || p->changing ||
        (!p->has_before && position == 0))
        return; /* none is, or it was given back long ago; without a snapshot the first one is no start */
    if (p->ended) {
        char path[PATH_SIZE_MAX];
        log_path(&p->log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)sequence - 1);
        doctor_note(p, "%s: missing; it held nothing, and is made anew at the next start", path);
        return;
    }
    uint64_t page = position - position % JOURNAL_PAGE_SIZE;
    if (end < position &&
        count > 1) { /* how many of them were given back before is not known: one stands for all that is left */
        end = page > end + JOURNAL_PAGE_SIZE ? page - JOURNAL_PAGE_SIZE : end;
        count = 1;
    }
    uint64_t share = (base - end) / count / JOURNAL_PAGE_SIZE * JOURNAL_PAGE_SIZE;
    for (; count > 0; count--, end += share)
        say_lost_file(p, sequence - count, count > 1 ? share : base - end, "missing");
}

void doctor_look_at_end(struct patient *p)
{
    uint64_t end = p->has_before ? p->before.base + p->before.size : 0;
    if (p->changing || p->gap || !p->has_before || end >= p->snapshot.position)
        return;
    uint64_t to = round_up(p->snapshot.position, JOURNAL_PAGE_SIZE) + JOURNAL_PAGE_SIZE;
    say_lost_file(p, p->before.sequence + 1, to - end, "missing");
}

/* Nothing tells where its entries are. Whether it ever held any? */
static void look_at_unknown(struct patient *p, const char *path, const struct header_look *look)
{
    uint64_t end = p->has_before ? p->before.base + p->before.size : 0;
    bool follows = p->has_before ? look->header.sequence == p->before.sequence + 1 : look->header.sequence == 1;
    bool holds = true;
    struct log_finding place = doctor_place(p, path, 0, 0);
    if (follows && end >= p->snapshot.position)
        (void)header_holds_entries(look->file, end, look->disk_size, &holds);
    if (holds && !p->ended && !p->hopeless)
        say_lost_file(p, look->header.sequence, look->header.size,
                      "its header is damaged, and nothing else says where its entries begin");
    else
        doctor_say(p, &place, "%s: its header is damaged; it holds nothing, and is made anew at the next start", path);
    p->gap = look->header.size == 0;
    if (!p->gap) {
        p->before = look->header;
        p->has_before = true;
    }
}

static void look_at_known(struct patient *p, uint32_t index, const char *path, const struct header_look *look)
{
    const struct file_header *h = &look->header;
    struct log_finding place = doctor_place(p, path, 0, 0);
    bool other = p->snapshot.position > 0 && memcmp(h->log_id.bytes, p->snapshot.log_id.bytes, 16) != 0;
    if (look->state == HEADER_TOLD)
        doctor_say(
            p, &place,
            "%s: its header is damaged; it is made anew at the next start from what its entries and neighbours say",
            path);
    if (other)
        doctor_say(p, &place, "%s: it belongs to another log than the snapshot", path);
    if (p->has_before && !p->gap &&
        (memcmp(h->log_id.bytes, p->before.log_id.bytes, 16) != 0 ||
         (h->sequence == p->before.sequence + 1 && h->base != p->before.base + p->before.size)))
        doctor_say(p, &place, "%s: does not follow the file before it", path);
    else
        doctor_look_for_missing(p, h->sequence, h->base);
    if (look->disk_size < h->size)
        doctor_say(p, &place, "%s: shorter than its header says%s", path,
                   p->ended ? "; it holds nothing, and has its size again at the next start" : "");
    look_at_body(p, index, path, look->file, h);
    p->before = *h;
    p->has_before = true;
    p->gap = false;
}

void doctor_look_at_journal(struct patient *p, uint32_t index)
{
    char path[PATH_SIZE_MAX];
    struct header_look look;
    struct error err = { 0 };
    log_path(&p->log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)p->numbers[index]);
    enum neap_status status = header_look(&p->log, p->numbers[index], IO_READ, &look, &err);
    struct log_finding place = doctor_place(p, path, 0, 0);
    if (status != NEAP_OK) {
        doctor_say(p, &place, "%s", err.text);
        return;
    }
    if (look.state == HEADER_GONE)
        doctor_note(p, "%s: gone since, for another use", path);
    else if (look.state == HEADER_LOST)
        look_at_unknown(p, path, &look);
    else
        look_at_known(p, index, path, &look);
    io_file_close(&look.file);
}

/* ---- archives ----------------------------------------------------------------------------------------------------------- */

/* The journal file that it stands for may still lie there, and be whole: nobody reads it any more. */
static void archived(void *ctx, const struct damage_batches *b)
{
    struct wound *w = ctx;
    w->place.byte = b->at;
    w->settled += doctor_say_range(w->p, w->place, b->partition, b->first, b->end) == DOCTOR_DECLARED;
}

static void look_at_batches(struct patient *p, const char *path, const struct archive *known,
                            const struct damage_place *place)
{
    struct wound w = { .p = p, .place = doctor_place(p, path, 0, 0) };
    uint32_t count = 0;
    struct index_row row;
    if (!damage_index_is_whole(place)) {
        doctor_keep_archive(p, known, "its index is damaged");
        return;
    }
    doctor_begin_source(p, known->facts.first_sequence, known->facts.last_sequence, true);
    (void)damage_batches(place, 0, UINT64_MAX, archived, &w);
    p->settled_count += w.settled;
    if (w.settled > 0)
        doctor_note(p, "%s: %u damaged places; all events in them were declared lost", path, w.settled);
    (void)index_row_count(place->index, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct index_entry last;
        if (index_load_row(place->index, i, &row) == NEAP_OK && row.count > 0 &&
            index_load_entries(place->index, &row, count, row.count - 1, &last, 1) == NEAP_OK)
            doctor_cover(p, row.partition, row.next, last.base + last.count);
    }
}

void doctor_look_at_archive(struct patient *p, uint64_t number)
{
    char path[PATH_SIZE_MAX];
    uint8_t room[ARCHIVE_HEADER_SIZE];
    struct archive_header h;
    struct io_file *file = NULL;
    struct io_file_info info;
    size_t got = 0;
    log_path(&p->log, path, ARCHIVE_FOLDER, ARCHIVE_NAME, (unsigned long long)number);
    const struct archive *known = archives_find(&p->views.archives, number);
    enum neap_status status = io_file_open(p->io, path, IO_READ, &file, NULL);
    if (status == NEAP_OK)
        status = io_file_read(file, room, sizeof(room), 0, &got);
    if (status == NEAP_OK)
        status = archive_header_read((struct bytes){ room, got }, &h);
    if (known == NULL) {
        doctor_note(p, "%s: the journal does not speak of it; it goes at the next start", path);
    } else if (status == NEAP_VERSION) {
        struct log_finding place = doctor_place(p, path, 0, 0);
        doctor_say(p, &place, "%s: its header: %s", path, status_text(status));
    } else if (status != NEAP_OK) {
        if (!p->changing)
            doctor_keep_archive(p, known, "its header is damaged");
    } else if (io_file_info(file, &info) != NEAP_OK || info.size != h.facts.size || h.facts.salt != known->facts.salt) {
        doctor_keep_archive(p, known, "it is not the file that the journal speaks of");
    } else {
        look_at_batches(p, path, known,
                        &(struct damage_place){
                            .index = { file, h.index_at }, .file = file, .sequence = number, .salt = h.facts.salt });
        doctor_note(p, "%s: %llu batches of topic %u", path, (unsigned long long)h.facts.batch_count, h.topic_id);
    }
    if (status == NEAP_OK)
        doctor_progress(p, h.facts.size);
    io_file_close(&file);
}
