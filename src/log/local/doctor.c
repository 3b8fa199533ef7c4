/* doctor.c - looks at everything a data directory holds, and changes nothing.
 *
 * Every entry's checksums, every index against its journal file, every snapshot. Where entries stop, the same question as at
 * a start is asked: does a durable mark say that what stops here was once synced? Then it is damage, else a crash's end. */
#include "log/local/index.h"
#include "log/local/recovery.h"
#include "log/local/snapshot.h"
#include "log/local/views.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct patient {
    struct io *io;
    const struct log_doctor *doctor;
    struct log log; /* its path and options, for names; nothing is opened in it */
    uint64_t numbers[JOURNAL_FILE_MAX];
    uint32_t count;
    const char *suffix;
    uint64_t done_size, total_size;
    struct scan scan;
    struct file_header before;
    bool has_before, damage;
};

static void say(struct patient *p, bool damage, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(struct patient *p, bool damage, const char *format, ...)
{
    char line[PATH_SIZE_MAX + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    p->damage |= damage;
    p->doctor->finding(p->doctor->ctx, damage, line);
}

static void progress(struct patient *p, uint64_t size)
{
    p->done_size += size;
    if (p->doctor->progress != NULL)
        p->doctor->progress(p->doctor->ctx, p->done_size < p->total_size ? p->done_size : p->total_size, p->total_size);
}

static bool collect(void *ctx, const char *name)
{
    struct patient *p = ctx;
    uint64_t number;
    if (name_number(name, p->suffix, &number) && p->count < JOURNAL_FILE_MAX)
        p->numbers[p->count++] = number;
    return true;
}

static enum neap_status list(struct patient *p, const char *folder, const char *suffix, struct error *err)
{
    char path[PATH_SIZE_MAX];
    p->count = 0;
    p->suffix = suffix;
    return io_dir_list(p->io, log_path(&p->log, path, folder, "%s", ""), collect, p, err);
}

/* ---- index ---------------------------------------------------------------------------------------------------------------- */

static bool place_is_right(struct io_file *journal, const struct file_header *h, const struct index_row *row,
                           const struct index_entry *e)
{
    uint8_t bytes[OP_HEADER_SIZE];
    size_t got = 0;
    struct op op;
    return io_file_read(journal, bytes, sizeof(bytes), e->at, &got) == NEAP_OK && got == sizeof(bytes) &&
           op_header_read((struct bytes){ bytes, got }, h->salt, h->base + e->at, &op) == NEAP_OK &&
           op.kind == OP_APPEND && op.target.topic_id == row->partition.topic_id &&
           op.target.partition == row->partition.partition && op.offset == e->base && op.count == e->count &&
           op.payload.size == e->size;
}

static void check_places(struct patient *p, const char *path, struct io_file *journal, const struct file_header *h,
                         struct bytes bytes, const struct index_header *index)
{
    const uint8_t *rows = bytes.at + INDEX_HEADER_SIZE, *entries = rows + (size_t)index->row_count * INDEX_ROW_SIZE;
    for (uint32_t i = 0; i < index->row_count; i++) {
        struct index_row row;
        index_row_read(rows + (size_t)i * INDEX_ROW_SIZE, &row);
        for (uint32_t n = 0; n < row.count; n++) {
            struct index_entry e;
            index_entry_read(entries + (size_t)(row.first + n) * INDEX_ENTRY_SIZE, &e);
            if (place_is_right(journal, h, &row, &e))
                continue;
            say(p, true, "%s: topic %u partition %u offset %llu is not at byte %u of its journal file", path,
                row.partition.topic_id, row.partition.partition, (unsigned long long)e.base, e.at);
            return;
        }
    }
}

static void check_index(struct patient *p, struct io_file *journal, const struct file_header *h)
{
    char path[PATH_SIZE_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct index_header index;
    struct error err = { 0 };
    log_path(&p->log, path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)h->sequence);
    if (snapshot_read_file(p->io, path, &bytes, &size, &err) != NEAP_OK)
        return; /* none: it is made anew when it is wanted */
    enum neap_status status = index_check((struct bytes){ bytes, size }, true, &index, &err);
    if (status != NEAP_OK)
        say(p, true, "%s: %s (a bad index is made anew at the next start)", path, err.text);
    else if (index.salt == h->salt) /* else it belongs to a former life of the file, and is made anew */
        check_places(p, path, journal, h, (struct bytes){ bytes, size }, &index);
    free(bytes);
}

/* ---- journal --------------------------------------------------------------------------------------------------------------- */

static uint64_t mark_of_next(struct patient *p, uint32_t index)
{
    char path[PATH_SIZE_MAX];
    uint8_t page[FILE_HEADER_SIZE];
    struct file_header h;
    struct io_file *file = NULL;
    struct scan scan = { 0 };
    size_t got = 0;
    uint64_t mark = 0;
    if (index + 1 >= p->count)
        return 0;
    log_path(&p->log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)p->numbers[index + 1]);
    if (io_file_open(p->io, path, IO_READ, &file, NULL) != NEAP_OK)
        return 0;
    if (io_file_read(file, page, sizeof(page), 0, &got) == NEAP_OK && got == sizeof(page) &&
        file_header_read(page, &h) == NEAP_OK && scan_begin(&scan, file, h.base, h.size, h.salt) == NEAP_OK)
        scan_marks(&scan, scan.position, &mark);
    scan_end(&scan);
    io_file_close(&file);
    return mark;
}

static void check_stop(struct patient *p, uint32_t index, const char *path, const struct file_header *h)
{
    uint64_t stop = p->scan.position, mark = 0, next = mark_of_next(p, index);
    scan_marks(&p->scan, stop, &mark);
    if (next > mark)
        mark = next;
    if (p->scan.mark > mark)
        mark = p->scan.mark;
    if (mark > stop)
        say(p, true, "%s: damage at byte %llu (position %llu), inside what was acknowledged (durable mark %llu)", path,
            (unsigned long long)(stop - h->base), (unsigned long long)stop, (unsigned long long)mark);
}

static void check_entries(struct patient *p, uint32_t index, const char *path, struct io_file *file,
                          const struct file_header *h)
{
    struct entry_header entry;
    struct bytes body;
    uint64_t count = 0;
    enum neap_status status = scan_begin(&p->scan, file, h->base, h->size, h->salt);
    while (status == NEAP_OK && (status = scan_next(&p->scan, &entry, &body)) == NEAP_OK)
        count++;
    if (status == NEAP_BADINPUT)
        check_stop(p, index, path, h);
    else if (status != NEAP_NOTFOUND)
        say(p, true, "%s: byte %llu cannot be read: %s", path, (unsigned long long)(p->scan.position - h->base),
            status_text(status));
    say(p, false, "%s: %llu entries%s", path, (unsigned long long)count, status == NEAP_NOTFOUND ? ", sealed" : "");
}

static void check_journal(struct patient *p, uint32_t index)
{
    char path[PATH_SIZE_MAX];
    uint8_t page[FILE_HEADER_SIZE];
    struct file_header h;
    struct io_file *file = NULL;
    struct error err = { 0 };
    size_t got = 0;
    log_path(&p->log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)p->numbers[index]);
    if (io_file_open(p->io, path, IO_READ, &file, &err) != NEAP_OK) {
        say(p, true, "%s", err.text);
        return;
    }
    enum neap_status status = io_file_read(file, page, sizeof(page), 0, &got);
    if (status == NEAP_OK)
        status = got == sizeof(page) ? file_header_read(page, &h) : NEAP_BADINPUT;
    if (status != NEAP_OK || h.sequence != p->numbers[index]) {
        say(p, true, "%s: its header: %s", path, status != NEAP_OK ? status_text(status) : "it is another file's");
    } else {
        if (p->has_before && (memcmp(h.log_id.bytes, p->before.log_id.bytes, 16) != 0 ||
                              (h.sequence == p->before.sequence + 1 && h.base != p->before.base + p->before.size)))
            say(p, true, "%s: does not follow the file before it", path);
        check_entries(p, index, path, file, &h);
        check_index(p, file, &h);
        p->before = h;
        p->has_before = true;
        progress(p, h.size);
    }
    io_file_close(&file);
}

/* ---- snapshots -------------------------------------------------------------------------------------------------------------- */

static void check_snapshot(struct patient *p, uint64_t number)
{
    char path[PATH_SIZE_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct views views;
    struct snapshot snapshot;
    struct error err = { 0 };
    log_path(&p->log, path, SNAPSHOT_FOLDER, SNAPSHOT_NAME, (unsigned long long)number);
    enum neap_status status = views_init(&views, &p->log.options);
    if (status == NEAP_OK)
        status = snapshot_read_file(p->io, path, &bytes, &size, &err);
    if (status == NEAP_OK)
        status = snapshot_decode((struct bytes){ bytes, size }, &views, &snapshot, &err);
    if (status != NEAP_OK)
        say(p, true, "%s: %s", path, err.status != NEAP_OK ? err.text : status_text(status));
    else
        say(p, false, "%s: %u topics, position %llu", path, views.topic_count, (unsigned long long)snapshot.position);
    views_fini(&views);
    free(bytes);
    progress(p, size);
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------------- */

static void measure(struct patient *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        char path[PATH_SIZE_MAX];
        struct io_file_info info;
        log_path(&p->log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)p->numbers[i]);
        if (io_path_info(p->io, path, &info) == NEAP_OK)
            p->total_size += info.size;
    }
}

static enum neap_status examine(struct patient *p, struct error *err)
{
    enum neap_status status = list(p, JOURNAL_FOLDER, ".npj", err);
    if (status != NEAP_OK)
        return error_while(err, "%s holds no log", p->log.path);
    if (p->count == 0)
        return error_set(err, NEAP_NOTFOUND, "%s holds no log", p->log.path);
    measure(p);
    for (uint32_t i = 0; i < p->count; i++)
        check_journal(p, i);
    status = list(p, SNAPSHOT_FOLDER, ".nps", err);
    for (uint32_t i = 0; status == NEAP_OK && i < p->count; i++)
        check_snapshot(p, p->numbers[i]);
    if (status != NEAP_OK)
        return status;
    return p->damage ? error_set(err, NEAP_CORRUPT, "%s is damaged", p->log.path) : NEAP_OK;
}

enum neap_status log_doctor(struct io *io, const char *path, const struct log_doctor *doctor, struct error *err)
{
    if (strlen(path) >= PATH_SIZE_MAX - 64)
        return error_set(err, NEAP_MISUSE, "the path of the data directory is too long");
    struct patient *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return error_set(err, NEAP_NOMEM, "doctor");
    p->io = io;
    p->doctor = doctor;
    p->log.io = io;
    p->log.options.partition_count_max = 1u << 20;
    p->log.options.fact_size_max = SNAPSHOT_SIZE_MAX;
    memcpy(p->log.path, path, strlen(path) + 1);
    enum neap_status status = examine(p, err);
    scan_end(&p->scan);
    free(p);
    return status;
}
