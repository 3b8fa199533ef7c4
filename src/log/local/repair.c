/* repair.c - declares lost what somebody has named, and what doctor finds damaged: never more.
 *
 * Where the log opens, offsets are declared in the journal: one durable operation each. Where it does not, because what a
 * start has to read is damaged, the damaged bytes of each file are written down beside it (scars.h), and replay passes over
 * them; which offsets are lost follows from what is left. Bytes that are named where the log opens are written down, too:
 * nobody calls them damage again, and an index of their file can be made anew. A file that is missing, or of whose header
 * nothing is left, is named whole: it gets a header, and all of it is passed over.
 *
 * An archive of which nobody misses anything any more is forgotten (forget.h): no start speaks of it again.
 *
 * Doctor decides what can be named: whoever names more is refused, before anything is changed. */
#include "log/local/archive.h"
#include "log/local/doctor_parts.h"
#include "log/local/forget.h"
#include "log/local/header.h"
#include "log/local/scars.h"
#include <stdio.h>
#include <stdlib.h>

#define WOUND_COUNT_MAX  1024u
#define REPAIR_WAIT_NS   (60 * NS_PER_S)
#define LOSS_COUNT_LIMIT 1024u

/* ---- words --------------------------------------------------------------------------------------------------------------- */

static bool take_number(const char **at, int base, uint64_t *ret)
{
    char *end;
    if (**at == '-' || **at == '+' || **at == ' ')
        return false;
    *ret = strtoull(*at, &end, base);
    bool some = end != *at;
    *at = end;
    return some;
}

static bool take_range(const char *at, uint64_t *ret_first, uint64_t *ret_end)
{
    if (!take_number(&at, 10, ret_first))
        return false;
    *ret_end = *ret_first;
    if (at[0] == '.' && at[1] == '.') {
        at += 2;
        if (!take_number(&at, 10, ret_end))
            return false;
    }
    if (*at != 0 || *ret_end < *ret_first || *ret_end >= UINT64_MAX / 2)
        return false;
    ++*ret_end;
    return true;
}

enum neap_status log_loss_parse(const char *word, struct log_loss *ret_loss)
{
    static const char folder[] = JOURNAL_FOLDER "/";
    struct log_loss loss = { .file = 0 };
    const char *at = strrchr(word, '@'), *slash = strrchr(word, '/');
    uint64_t first, end, partition = 0;
    if (at == NULL || slash == NULL || slash > at || !take_range(at + 1, &first, &end))
        return NEAP_BADINPUT;
    const char *number = slash + 1;
    if (strncmp(word, folder, sizeof(folder) - 1) == 0 && at - number >= 4 && strncmp(at - 4, ".npj", 4) == 0) {
        if (!take_number(&number, 16, &loss.file) || number != at - 4 || loss.file == 0)
            return NEAP_BADINPUT;
        loss.byte_first = first;
        loss.byte_end = end;
    } else {
        size_t size = (size_t)(slash - word);
        if (size == 0 || size > LOG_NAME_SIZE_MAX || !take_number(&number, 10, &partition) || number != at ||
            partition > UINT32_MAX)
            return NEAP_BADINPUT;
        memcpy(loss.topic, word, size);
        loss.partition = (uint32_t)partition;
        loss.first.n = first;
        loss.end.n = end;
        if (log_name_check(loss.topic, NULL) != NEAP_OK)
            return NEAP_BADINPUT;
    }
    *ret_loss = loss;
    return NEAP_OK;
}

void log_loss_text(const struct log_loss *loss, char room[LOG_LOSS_TEXT_SIZE])
{
    if (loss->file != 0)
        snprintf(room, LOG_LOSS_TEXT_SIZE, JOURNAL_FOLDER "/" JOURNAL_NAME "@%llu..%llu",
                 (unsigned long long)loss->file, (unsigned long long)loss->byte_first,
                 (unsigned long long)loss->byte_end - 1);
    else
        snprintf(room, LOG_LOSS_TEXT_SIZE, "%s/%u@%llu..%llu", loss->topic, loss->partition,
                 (unsigned long long)loss->first.n, (unsigned long long)loss->end.n - 1);
}

bool log_loss_of(const struct log_finding *f, struct log_loss *ret_loss)
{
    struct log_loss loss = { .file = 0 };
    if (!f->damage)
        return false;
    if (f->topic != NULL && f->end.n > f->first.n) {
        snprintf(loss.topic, sizeof(loss.topic), "%s", f->topic);
        loss.partition = f->partition.partition;
        loss.first = f->first;
        loss.end = f->end;
    } else if (f->topic == NULL && f->partition.topic_id == 0 && f->file != NULL && f->size > 0 &&
               strncmp(f->file, JOURNAL_FOLDER "/", sizeof(JOURNAL_FOLDER)) == 0 &&
               name_number(f->file + sizeof(JOURNAL_FOLDER), ".npj", &loss.file)) {
        loss.byte_first = f->byte;
        loss.byte_end = f->byte + f->size;
    } else {
        return false;
    }
    *ret_loss = loss;
    return true;
}

/* ---- what doctor says can be named --------------------------------------------------------------------------------------- */

struct repair {
    struct io *io;
    struct log place; /* its path, for names */
    const struct log_loss *losses;
    uint32_t count;
    struct log_loss *sorted; /* the same, and damaged bytes all of whose events are among them */
    uint32_t sorted_count;
    struct log_loss *found; /* by doctor */
    struct {
        uint64_t file, byte;   /* a journal file's number, or 0 */
    } places[WOUND_COUNT_MAX]; /* where each was found */
    uint32_t found_count;
    bool archives; /* some are damaged: what is given up may be all that anybody missed of them */
    bool too_many;
};

static bool same(const struct log_loss *a, const struct log_loss *b)
{
    if (a->file != 0 || b->file != 0)
        return a->file == b->file && a->byte_first == b->byte_first && a->byte_end == b->byte_end;
    return a->partition == b->partition && strcmp(a->topic, b->topic) == 0 && a->first.n == b->first.n &&
           a->end.n == b->end.n;
}

static void keep(struct repair *r, const struct log_finding *finding, const struct log_loss *loss)
{
    uint64_t file = 0;
    if (finding->file != NULL && strncmp(finding->file, JOURNAL_FOLDER "/", sizeof(JOURNAL_FOLDER)) == 0)
        (void)name_number(finding->file + sizeof(JOURNAL_FOLDER), ".npj", &file);
    r->places[r->found_count].file = file;
    r->places[r->found_count].byte = finding->byte;
    r->found[r->found_count++] = *loss;
}

static void keep_finding(void *ctx, const struct log_finding *finding)
{
    struct repair *r = ctx;
    struct log_loss loss;
    r->archives |= finding->damage && finding->file != NULL &&
                   strncmp(finding->file, ARCHIVE_FOLDER "/", sizeof(ARCHIVE_FOLDER)) == 0;
    if (!log_loss_of(finding, &loss))
        return;
    for (uint32_t i = 0; i < r->found_count; i++)
        if (same(&r->found[i], &loss))
            return;
    if (r->found_count == WOUND_COUNT_MAX)
        r->too_many = true;
    else
        keep(r, finding, &loss);
}

/* Whether all of `loss` is in the list, in one piece or in several. */
static bool is_in(const struct log_loss *loss, const struct log_loss *list, uint32_t count)
{
    uint64_t next = loss->first.n;
    bool moved = true;
    for (uint32_t i = 0; loss->file != 0 && i < count; i++)
        if (same(loss, &list[i]))
            return true;
    while (loss->file == 0 && moved && next < loss->end.n) {
        moved = false;
        for (uint32_t i = 0; i < count; i++) {
            const struct log_loss *l = &list[i];
            if (l->file != 0 || l->partition != loss->partition || strcmp(l->topic, loss->topic) != 0 ||
                l->first.n > next || l->end.n <= next)
                continue;
            next = l->end.n;
            moved = true;
        }
    }
    return loss->file == 0 && next >= loss->end.n;
}

static enum neap_status check_named(struct repair *r, struct error *err)
{
    struct log_doctor doctor = { .finding = keep_finding, .ctx = r };
    char text[LOG_LOSS_TEXT_SIZE];
    enum neap_status status = log_doctor(r->io, r->place.path, &doctor, err);
    if (status != NEAP_OK && status != NEAP_CORRUPT)
        return status;
    if (r->too_many)
        return error_set(err, NEAP_TOOLARGE, "more than %u places are damaged", WOUND_COUNT_MAX);
    for (uint32_t i = 0; i < r->count; i++) {
        if (is_in(&r->losses[i], r->found, r->found_count))
            continue;
        log_loss_text(&r->losses[i], text);
        return error_set(err, NEAP_MISUSE, "%s: not all of it is damaged: nothing is declared lost", text);
    }
    return NEAP_OK;
}

/* ---- in the journal ------------------------------------------------------------------------------------------------------- */

static enum neap_status declare(struct log *log, struct log_client *client, const struct log_loss *loss, bool scarred,
                                struct error *err)
{
    struct log_topic topic;
    char text[LOG_LOSS_TEXT_SIZE];
    log_loss_text(loss, text);
    enum neap_status status = log_topic_find(log, loss->topic, &topic);
    if (status == NEAP_NOTFOUND)
        return NEAP_OK; /* doctor knew it, but what made it was lost, too */
    struct log_partition partition = { topic.id, loss->partition };
    for (uint64_t next = loss->first.n; status == NEAP_OK && next < loss->end.n;) {
        log_offset first = { 0 }, end = { 0 };
        if (log_lost_next(log, partition, (log_offset){ next }, &first, &end) && first.n <= next) {
            next = end.n; /* replay has declared it */
            continue;
        }
        uint64_t count = loss->end.n - next;
        struct log_op op = { .kind = LOG_LOST, .target = partition, .offset = { next } };
        op.view = scarred ? LOG_LOST_RAISE : 0;
        op.count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
        struct log_unit unit = { .ops = &op, .count = 1 };
        status = log_submit_wait(client, &unit, mono_after(io_now(log->io), REPAIR_WAIT_NS));
        next += op.count;
    }
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "declare %s lost: %s", text, status_text(status));
}

static int by_offset(const void *a, const void *b)
{
    const struct log_loss *x = a, *y = b;
    return x->first.n < y->first.n ? -1 : x->first.n > y->first.n;
}

static enum neap_status declare_all(struct repair *r, struct log *log, bool scarred, struct error *err)
{
    qsort(r->sorted, r->sorted_count, sizeof(r->sorted[0]), by_offset); /* an end is raised step by step */
    struct log_client *client = NULL;
    enum neap_status status =
        log_client_open(log, &(struct log_client_options){ .rank = LOG_RANK_HOUSE }, &client, err);
    for (uint32_t i = 0; i < r->sorted_count && status == NEAP_OK; i++)
        if (r->sorted[i].file == 0)
            status = declare(log, client, &r->sorted[i], scarred, err);
    log_client_close(&client);
    return status;
}

/* ---- beside the journal ---------------------------------------------------------------------------------------------------- */

/* A start that is refused needs all of it: half of the damage would refuse it again. */
static enum neap_status check_complete(struct repair *r, struct error *err)
{
    char text[LOG_LOSS_TEXT_SIZE];
    for (uint32_t i = 0; i < r->found_count; i++) {
        if (is_in(&r->found[i], r->losses, r->count))
            continue;
        log_loss_text(&r->found[i], text);
        return error_set(err, NEAP_MISUSE, "the log does not open before %s is named as well: nothing is declared lost",
                         text);
    }
    return NEAP_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct log_loss *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->byte_first < y->byte_first ? -1 : x->byte_first > y->byte_first;
}

/* The base of a file that is gone: where the one before it ends; else its size, and those of the ones that are named behind it,
 * before the next that is there. */
static uint64_t base_of_gone(struct repair *r, const struct log_loss *list, uint32_t count, uint32_t at)
{
    struct header_look look = { .state = HEADER_GONE };
    uint64_t size = 0;
    if (list[at].file > 1)
        (void)header_look(&r->place, list[at].file - 1, IO_READ, &look, NULL);
    io_file_close(&look.file);
    if (list[at].file == 1 || look.state <= HEADER_TOLD)
        return list[at].file == 1 ? 0 : look.header.base + look.header.size;
    for (uint64_t file = list[at].file; at < count && list[at].file == file; at++, file++)
        size += list[at].byte_end;
    look = (struct header_look){ .state = HEADER_GONE };
    (void)header_look(&r->place, list[at - 1].file + 1, IO_READ, &look, NULL);
    io_file_close(&look.file);
    return look.state <= HEADER_TOLD && look.header.base >= size ? look.header.base - size : UINT64_MAX;
}

/* A file of the size that is named, without a single entry: a start passes over all of it. */
static enum neap_status make_gone(struct repair *r, struct file_header *h, struct error *err)
{
    char temporary[PATH_SIZE_MAX], path[PATH_SIZE_MAX];
    struct io_file *file = NULL;
    log_path(&r->place, temporary, JOURNAL_FOLDER, "spare-" JOURNAL_NAME, (unsigned long long)h->sequence);
    log_path(&r->place, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)h->sequence);
    enum neap_status status = io_file_open(r->io, temporary, IO_READ | IO_WRITE | IO_CREATE, &file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_truncate(file, 0);
    if (status == NEAP_OK)
        status = io_file_allocate(file, h->size);
    status = status == NEAP_OK ? journal_file_prepare(&r->place, file, h, err)
                               : error_set(err, status, "make %s: %s", temporary, status_text(status));
    io_file_close(&file);
    if (status == NEAP_OK)
        status = io_rename(r->io, temporary, path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(r->io, log_path(&r->place, path, JOURNAL_FOLDER, "%s", ""), err);
    return status;
}

/* A file that was named whole gets a header of its own. The scars come before it: whoever stops between the two has changed nothing
 * that counts. */
static enum neap_status give_header(struct repair *r, struct header_look *look, struct scars *scars, struct error *err)
{
    struct file_header *h = &look->header;
    static const struct log_id none;
    if (h->size < 2 * JOURNAL_PAGE_SIZE || h->size % JOURNAL_PAGE_SIZE != 0 || h->base % JOURNAL_PAGE_SIZE != 0 ||
        memcmp(&h->log_id, &none, sizeof(none)) == 0)
        return error_set(err, NEAP_CORRUPT,
                         "%s/" JOURNAL_FOLDER "/" JOURNAL_NAME ": nothing says where it began, or how large it was",
                         r->place.path, (unsigned long long)h->sequence);
    h->salt = io_random(r->io);
    *scars = (struct scars){ .log_id = h->log_id, .sequence = h->sequence, .salt = h->salt, .count = 1 };
    scars->list[0].from = h->base + JOURNAL_HEADER_SIZE;
    scars->list[0].to = h->base + h->size;
    enum neap_status status = scars_write(&r->place, scars, err);
    if (status != NEAP_OK)
        return status;
    return look->state == HEADER_GONE ? make_gone(r, h, err) : journal_file_prepare(&r->place, look->file, h, err);
}

static enum neap_status find_id(struct repair *r, uint64_t sequence, struct log_id *id)
{
    struct header_look look = { .state = HEADER_GONE };
    for (int step = -1; step <= 1; step += 2) {
        (void)header_look(&r->place, sequence + (uint64_t)step, IO_READ, &look, NULL);
        io_file_close(&look.file);
        if (look.state > HEADER_TOLD)
            continue;
        *id = look.header.log_id;
        return NEAP_OK;
    }
    return NEAP_NOTFOUND;
}

/* Its header, and the stretches it has already. *ret_whole: it was named whole, and nothing is left to be written. */
static enum neap_status begin_scars(struct repair *r, const struct log_loss *list, uint32_t count, uint32_t at,
                                    struct scars *ret_scars, uint64_t *ret_base, bool *ret_whole, struct error *err)
{
    uint64_t file = list[at].file;
    struct header_look look;
    struct file_header *h = &look.header;
    enum neap_status status = header_look(&r->place, file, IO_READ | IO_WRITE, &look, err);
    if (status != NEAP_OK)
        return status;
    *ret_whole = list[at].byte_first == 0;
    if (look.state > HEADER_TOLD && !*ret_whole) {
        status = look.state == HEADER_GONE ? NEAP_NOTFOUND : NEAP_CORRUPT;
        error_set(err, status, "journal file %llu: its header: %s", (unsigned long long)file, status_text(status));
    } else if (look.state > HEADER_TOLD) {
        if (look.state == HEADER_GONE) {
            *h = (struct file_header){ .sequence = file, .size = list[at].byte_end };
            h->base = base_of_gone(r, list, count, at);
            (void)find_id(r, file, &h->log_id);
        }
        status = give_header(r, &look, ret_scars, err);
    } else if (scars_load(&r->place, file, h->salt, ret_scars, NULL) != NEAP_OK) {
        *ret_scars = (struct scars){ .log_id = h->log_id, .sequence = file, .salt = h->salt };
    }
    *ret_base = h->base;
    io_file_close(&look.file);
    return status;
}

static int by_position(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* `list` is sorted from `at` on: those of one file lie together. */
static enum neap_status write_file(struct repair *r, const struct log_loss *list, uint32_t count, uint32_t at,
                                   uint32_t *ret_next, struct error *err)
{
    struct scars scars;
    uint64_t base = 0, file = list[at].file;
    bool whole = false;
    enum neap_status status = begin_scars(r, list, count, at, &scars, &base, &whole, err);
    for (; at < count && list[at].file == file; at++) {
        if (status == NEAP_OK && scars.count == SCAR_COUNT_MAX)
            status = error_set(err, NEAP_TOOLARGE, "more than %u places of one file are damaged", SCAR_COUNT_MAX);
        if (status != NEAP_OK || whole)
            continue;
        scars.list[scars.count].from = base + list[at].byte_first;
        scars.list[scars.count++].to = base + list[at].byte_end;
    }
    *ret_next = at;
    if (status != NEAP_OK || whole)
        return status;
    static_assert(sizeof(scars.list[0]) == 2 * sizeof(uint64_t), "sorted as pairs");
    qsort(scars.list, scars.count, sizeof(scars.list[0]), by_position);
    return scars_write(&r->place, &scars, err);
}

/* Sorts the list. */
static enum neap_status write_files(struct repair *r, struct log_loss *list, uint32_t count, bool may_be_gone,
                                    struct error *err)
{
    enum neap_status status = NEAP_OK;
    uint32_t at = 0;
    qsort(list, count, sizeof(list[0]), by_place);
    while (at < count && list[at].file == 0)
        at++;
    while (status == NEAP_OK && at < count) {
        status = write_file(r, list, count, at, &at, err);
        if (status == NEAP_NOTFOUND && may_be_gone) {
            *err = (struct error){ 0 };
            status = NEAP_OK;
        }
    }
    return status;
}

static enum neap_status write_scars(struct repair *r, struct error *err)
{
    bool bytes = false;
    enum neap_status status = check_complete(r, err);
    for (uint32_t i = 0; i < r->found_count; i++)
        bytes |= r->found[i].file != 0;
    if (status == NEAP_OK && !bytes)
        status = error_set(err, NEAP_CORRUPT, "what keeps the log from opening is no damage that can be passed over");
    return status == NEAP_OK ? write_files(r, r->found, r->found_count, false, err) : status;
}

/* Whether all events that doctor named in these bytes are given up, and there are some. */
static bool is_given_up(const struct repair *r, const struct log_loss *bytes)
{
    bool some = false;
    for (uint32_t i = 0; i < r->found_count; i++) {
        bool inside = r->found[i].file == 0 && r->places[i].file == bytes->file &&
                      r->places[i].byte >= bytes->byte_first && r->places[i].byte < bytes->byte_end;
        if (inside && !is_in(&r->found[i], r->losses, r->count))
            return false;
        some |= inside;
    }
    return some;
}

/* Who names the offsets alone means the bytes, too: an index of their file could not be made anew around them. */
static void add_bytes(struct repair *r)
{
    for (uint32_t i = 0; i < r->found_count; i++)
        if (r->found[i].file != 0 && !is_in(&r->found[i], r->losses, r->count) && is_given_up(r, &r->found[i]))
            r->sorted[r->sorted_count++] = r->found[i];
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------- */

static enum neap_status open_and_declare(struct repair *r, const struct log_options *options, struct error *err)
{
    struct log *log = NULL;
    struct error why = { 0 };
    enum neap_status status = log_open(r->io, options, &log, &why);
    bool scarred = status == NEAP_CORRUPT || status == NEAP_IO;
    if (scarred) {
        status = write_scars(r, err);
        if (status != NEAP_OK)
            return status;
        why = (struct error){ 0 };
        status = log_open(r->io, options, &log, &why);
    }
    if (status != NEAP_OK) {
        *err = why;
        return status;
    }
    status = declare_all(r, log, scarred, err);
    log_close(&log);
    if (status == NEAP_OK && !scarred) {
        add_bytes(r); /* they are no damage any more; their file may be given back by now */
        status = write_files(r, r->sorted, r->sorted_count, true, err);
    }
    return status == NEAP_OK && r->archives ? forget_archives(r->io, options, err) : status;
}

enum neap_status log_repair(struct io *io, const struct log_options *options, const struct log_loss *losses,
                            uint32_t count, bool only_look, struct error *err)
{
    if (count == 0 || count > LOSS_COUNT_LIMIT || strlen(options->path) >= PATH_SIZE_MAX - PATH_INSIDE_SIZE_MAX)
        return error_set(err, NEAP_MISUSE, "name what is lost: 1 to %u places", LOSS_COUNT_LIMIT);
    struct repair *r = calloc(1, sizeof *r);
    if (r != NULL) {
        r->found = calloc(WOUND_COUNT_MAX, sizeof(r->found[0]));
        r->sorted = malloc((count + WOUND_COUNT_MAX) * sizeof(losses[0]));
    }
    enum neap_status status = NEAP_NOMEM;
    if (r == NULL || r->found == NULL || r->sorted == NULL) {
        error_set(err, NEAP_NOMEM, "repair");
        goto free_repair;
    }
    r->io = io;
    r->place.io = io;
    memcpy(r->place.path, options->path, strlen(options->path) + 1);
    memcpy(r->sorted, losses, count * sizeof(losses[0]));
    r->losses = losses;
    r->count = r->sorted_count = count;
    status = check_named(r, err);
    if (status == NEAP_OK && !only_look)
        status = open_and_declare(r, options, err);
free_repair:
    if (r != NULL) {
        free(r->sorted);
        free(r->found);
    }
    free(r);
    return status;
}
