/* doctor.c - looks at everything a data directory holds, and changes nothing.
 *
 * Every entry's checksums, every index against its journal file, every archive, every snapshot. Where entries stop, the same
 * question as at a start is asked: does a durable mark say that what stops here was once synced? Then it is damage, else a
 * crash's end. Then every offset that is kept must have been found somewhere: what was not is named.
 *
 * A running node may be looked at, too. What it is writing in this moment is read again before it is called damage, and
 * holes are only looked for where no file came or went meanwhile. */
#include "log/local/archive.h"
#include "log/local/doctor_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_NAME "neap.lock"

/* ---- saying ------------------------------------------------------------------------------------------------------------ */

struct log_finding doctor_place(const struct patient *p, const char *path, uint64_t byte, uint64_t size)
{
    size_t folder = strlen(p->log.path);
    const char *file = strncmp(path, p->log.path, folder) == 0 && path[folder] == '/' ? path + folder + 1 : path;
    return (struct log_finding){ .damage = true, .file = file, .byte = byte, .size = size };
}

static void say(struct patient *p, struct log_finding finding, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void say(struct patient *p, struct log_finding finding, const char *format, va_list args)
{
    char line[PATH_SIZE_MAX + 1024];
    vsnprintf(line, sizeof(line), format, args);
    finding.line = line;
    p->damage |= finding.damage;
    p->doctor->finding(p->doctor->ctx, &finding);
}

void doctor_say(struct patient *p, const struct log_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(p, *finding, format, args);
    va_end(args);
}

void doctor_note(struct patient *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(p, (struct log_finding){ .damage = false }, format, args);
    va_end(args);
}

enum doctor_fate doctor_fate(const struct patient *p, struct log_partition partition, uint64_t *first, uint64_t end)
{
    if (views_topic(&p->views, partition.topic_id) == NULL && p->has_views)
        return DOCTOR_FREED; /* with its topic */
    const struct partition *kept = views_partition(&p->views, partition);
    if (kept != NULL && *first < kept->start)
        *first = kept->start;
    if (*first >= end)
        return DOCTOR_FREED;
    *first = lost_pass(&p->views.lost, partition, *first);
    return *first >= end ? DOCTOR_DECLARED : DOCTOR_MISSED;
}

enum doctor_fate doctor_say_range(struct patient *p, struct log_finding place, struct log_partition partition,
                                  uint64_t first, uint64_t end)
{
    const struct topic *topic = views_topic(&p->views, partition.topic_id);
    enum doctor_fate fate = doctor_fate(p, partition, &first, end);
    if (fate != DOCTOR_MISSED)
        return fate;
    char name[LOG_NAME_SIZE_MAX + 16];
    if (topic != NULL)
        snprintf(name, sizeof(name), "%s", topic->name);
    else
        snprintf(name, sizeof(name), "topic %u", partition.topic_id);
    place.partition = partition;
    place.topic = topic != NULL ? topic->name : NULL;
    place.first.n = first;
    place.end.n = end;
    doctor_say(p, &place, "%s/%u: offsets %llu to %llu cannot be read (%s, byte %llu)", name, partition.partition,
               (unsigned long long)first, (unsigned long long)end - 1, place.file, (unsigned long long)place.byte);
    return fate;
}

void doctor_progress(struct patient *p, uint64_t size)
{
    p->done_size += size;
    if (p->doctor->progress != NULL)
        p->doctor->progress(p->doctor->ctx, p->done_size < p->total_size ? p->done_size : p->total_size, p->total_size);
}

/* ---- what is there ------------------------------------------------------------------------------------------------------ */

static bool collect(void *ctx, const char *name)
{
    struct patient *p = ctx;
    uint64_t number;
    if (name_number(name, p->suffix, &number) && p->count < JOURNAL_FILE_MAX)
        p->numbers[p->count++] = number;
    return true;
}

enum neap_status doctor_list(struct patient *p, const char *folder, const char *suffix, struct error *err)
{
    char path[PATH_SIZE_MAX];
    p->count = 0;
    p->suffix = suffix;
    return io_dir_list(p->io, log_path(&p->log, path, folder, "%s", ""), collect, p, err);
}

static void measure(struct patient *p, const char *folder, const char *suffix)
{
    char path[PATH_SIZE_MAX];
    if (doctor_list(p, folder, suffix, NULL) != NEAP_OK)
        return;
    for (uint32_t i = 0; i < p->count; i++) {
        struct io_file_info info;
        log_path(&p->log, path, folder, "%016llx%s", (unsigned long long)p->numbers[i], suffix);
        if (io_path_info(p->io, path, &info) == NEAP_OK)
            p->total_size += info.size;
    }
}

/* Names of all journal files and archives, mixed: another number where one came or went. */
static uint64_t names_mixed(struct patient *p)
{
    static const char *const folders[][2] = { { JOURNAL_FOLDER, ".npj" }, { ARCHIVE_FOLDER, ".npa" } };
    uint64_t mix = 0;
    for (size_t f = 0; f < COUNT_OF(folders); f++) {
        (void)doctor_list(p, folders[f][0], folders[f][1], NULL);
        for (uint32_t i = 0; i < p->count; i++)
            mix = (mix ^ (p->numbers[i] + f)) * 0x9e3779b97f4a7c15ull;
    }
    return mix;
}

static bool is_held(struct patient *p)
{
    char path[PATH_SIZE_MAX];
    struct io_file *lock = NULL;
    enum io_lock_kind kind = IO_UNLOCK;
    int64_t pid;
    log_path(&p->log, path, NULL, LOCK_NAME);
    if (io_file_open(p->io, path, IO_READ, &lock, NULL) != NEAP_OK)
        return false;
    (void)io_file_lock_test(lock, 0, 1, &kind, &pid);
    io_file_close(&lock);
    return kind != IO_UNLOCK;
}

/* ---- snapshots ---------------------------------------------------------------------------------------------------------- */

static bool look_at_snapshot(struct patient *p, uint64_t number, bool keep)
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
    bool gone = status == NEAP_NOTFOUND && p->changing;
    if (status == NEAP_OK)
        status = snapshot_decode((struct bytes){ bytes, size }, &views, &snapshot, &err);
    struct log_finding place = doctor_place(p, path, 0, 0);
    if (status != NEAP_OK && !gone)
        doctor_say(p, &place, "%s: %s", path, err.status != NEAP_OK ? err.text : status_text(status));
    else if (status == NEAP_OK)
        doctor_note(p, "%s: %u topics, position %llu", path, views.topic_count, (unsigned long long)snapshot.position);
    bool kept = keep && status == NEAP_OK;
    if (kept) {
        views_fini(&p->views);
        p->views = views;
        p->snapshot = snapshot;
    } else {
        views_fini(&views);
    }
    free(bytes);
    doctor_progress(p, size);
    return kept;
}

static void say_hopeless(struct patient *p)
{
    struct log_finding place = { .damage = true };
    doctor_say(p, &place,
               "%s: no snapshot can be read, and the journal does not reach back to its beginning (its first file is "
               "number %llu): "
               "which topics there are and what was committed is written nowhere else. The log cannot be opened, and "
               "nothing here "
               "can mend that: put the snapshots back from a copy of this directory, or all of a copy",
               p->log.path, (unsigned long long)p->numbers[0]);
    p->has_views = false;
    p->hopeless = true;
}

/* The newest good one says which topics there are; what the journal holds beyond it follows. */
static enum neap_status look_at_snapshots(struct patient *p, struct error *err)
{
    enum neap_status status = doctor_list(p, SNAPSHOT_FOLDER, ".nps", err);
    bool kept = false;
    for (uint32_t i = p->count; status == NEAP_OK && i > 0; i--)
        kept |= look_at_snapshot(p, p->numbers[i - 1], !kept);
    p->has_views = true;
    if (kept || status != NEAP_OK)
        return status;
    uint32_t bad_count = p->count, archive_count = 0;
    if (doctor_list(p, ARCHIVE_FOLDER, ".npa", NULL) == NEAP_OK)
        archive_count = p->count;
    status = doctor_list(p, JOURNAL_FOLDER, ".npj", err);
    bool whole = status == NEAP_OK && p->numbers[0] == 1;
    for (uint32_t i = 1; i < p->count; i++)
        whole &= p->numbers[i] == i + 1;
    if (!whole && (p->numbers[0] != 1 || bad_count + archive_count > 0)) /* else the journal tells all of it */
        say_hopeless(p);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

static void look_at_archives(struct patient *p)
{
    const struct archives *known = &p->views.archives;
    (void)doctor_list(p, ARCHIVE_FOLDER, ".npa", NULL);
    for (uint32_t i = 0; i < known->count; i++) {
        bool there = false;
        for (uint32_t n = 0; n < p->count; n++)
            there |= p->numbers[n] == known->list[i]->facts.number;
        if (!there && !p->changing)
            doctor_keep_archive(p, known->list[i], "missing");
    }
    for (uint32_t i = 0; i < p->count; i++)
        doctor_look_at_archive(p, p->numbers[i]);
}

static enum neap_status examine(struct patient *p, struct error *err)
{
    enum neap_status status = doctor_list(p, JOURNAL_FOLDER, ".npj", err);
    if (status != NEAP_OK)
        return error_while(err, "%s holds no log", p->log.path);
    if (p->count == 0)
        return error_set(err, NEAP_NOTFOUND, "%s holds no log", p->log.path);
    measure(p, JOURNAL_FOLDER, ".npj");
    measure(p, SNAPSHOT_FOLDER, ".nps");
    measure(p, ARCHIVE_FOLDER, ".npa");
    p->changing = is_held(p);
    uint64_t names = names_mixed(p);
    status = look_at_snapshots(p, err);
    if (status == NEAP_OK)
        status = doctor_list(p, JOURNAL_FOLDER, ".npj", err);
    for (uint32_t i = 0; status == NEAP_OK && i < p->count; i++)
        doctor_look_for_losses(p, p->numbers[i]);
    for (uint32_t i = 0; status == NEAP_OK && i < p->count; i++)
        doctor_look_at_journal(p, i);
    if (status != NEAP_OK)
        return status;
    doctor_look_at_end(p);
    look_at_archives(p);
    if (p->has_views && names == names_mixed(p))
        doctor_look_for_holes(p);
    else
        doctor_leave_holes(p);
    return p->damage ? error_set(err, NEAP_CORRUPT, "%s is damaged", p->log.path) : NEAP_OK;
}

enum neap_status log_doctor(struct io *io, const char *path, const struct log_doctor *doctor, struct error *err)
{
    if (strlen(path) >= PATH_SIZE_MAX - PATH_INSIDE_SIZE_MAX)
        return error_set(err, NEAP_MISUSE, "the path of the data directory is too long");
    struct patient *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(err, NEAP_NOMEM, "doctor");
    p->io = io;
    p->doctor = doctor;
    p->log.io = io;
    p->log.options.partition_count_max = 1u << 20;
    p->log.options.fact_size_max = SNAPSHOT_SIZE_MAX;
    memcpy(p->log.path, path, strlen(path) + 1);
    enum neap_status status = views_init(&p->views, &p->log.options);
    status = status == NEAP_OK ? examine(p, err) : error_set(err, status, "doctor");
    scan_end(&p->scan);
    doctor_sources_fini(p);
    views_fini(&p->views);
    free(p);
    return status;
}
