/* local.c - opening, closing and listing the embedded log. */
#include "log/local/archive.h"
#include "log/local/compaction.h"
#include "log/local/disk.h"
#include "log/local/gather.h"
#include "log/local/journal.h"
#include "log/local/keeper.h"
#include "log/local/pages.h"
#include "log/local/recovery.h"
#include "log/local/space.h"
#include "log/local/tail.h"
#include "log/local/views.h"
#include "log/local/window.h"
#include <stdio.h>
#include <stdlib.h>

#define LOCK_NAME             "neap.lock"
#define DISK_FILES            64u  /* a budget is this many files */
#define DISK_FILES_MAX        512u /* or so many, where the index in memory is small for the disk */
#define SMALL_BATCH_SIZE      256u
#define SNAPSHOT_SHARE        32u
#define SNAPSHOT_SIZE_DEFAULT (128u << 20)

/* ---- options ------------------------------------------------------------------------------------------------------------- */

static struct log_options with_defaults(const struct log_options *given)
{
    struct log_options o = *given;
    if (o.tail_size == 0)
        o.tail_size = 8u << 20;
    if (o.index_count_max == 0)
        o.index_count_max = 128u << 10;
    if (o.partition_count_max == 0)
        o.partition_count_max = 10000;
    if (o.fact_size_max == 0)
        o.fact_size_max = 16u << 20;
    if (o.page_cache_size == 0)
        o.page_cache_size = 1u << 20;
    if (o.idle_mark_ns == 0)
        o.idle_mark_ns = 200 * NS_PER_MS;
    if (o.clean_ns == 0)
        o.clean_ns = NS_PER_S;
    return o;
}

struct folder_size {
    struct log *log;
    const char *folder, *suffix;
    uint64_t size;
};

static bool add_file_size(void *ctx, const char *name)
{
    struct folder_size *sum = ctx;
    char path[PATH_SIZE_MAX];
    struct io_file_info info;
    uint64_t sequence;
    if (name_number(name, sum->suffix, &sequence) &&
        io_path_info(sum->log->io, log_path(sum->log, path, sum->folder, "%s", name), &info) == NEAP_OK)
        sum->size += info.size;
    return true;
}

/* What is free, and what is ours already: so a log does not shrink because it was opened again. */
static uint64_t room_on_disk(struct log *log)
{
    struct folder_size sum = { .log = log, .folder = JOURNAL_FOLDER, .suffix = ".npj" };
    char path[PATH_SIZE_MAX];
    (void)io_dir_list(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), add_file_size, &sum, NULL);
    sum.suffix = ".npa";
    sum.folder = ARCHIVE_FOLDER;
    (void)io_dir_list(log->io, log_path(log, path, ARCHIVE_FOLDER, "%s", ""), add_file_size, &sum, NULL);
    uint64_t free_size = io_dir_free_size(log->io, log->path);
    return free_size != 0 || sum.size != 0 ? free_size + sum.size : 0;
}

static enum neap_status fill_disk_options(struct log *log, struct error *err)
{
    struct log_options *o = &log->options;
    if (o->disk_size == 0 && o->disk_percent != 0)
        o->disk_size = io_dir_total_size(log->io, log->path) / 100 * o->disk_percent;
    if (o->disk_size == 0) {
        uint64_t room = room_on_disk(log);
        o->disk_size = room != 0 ? room / 10 * 9 : 16ull << 30;
        if (o->disk_size < JOURNAL_FILE_COUNT_MIN * (uint64_t)JOURNAL_FILE_SIZE_MIN)
            o->disk_size = JOURNAL_FILE_COUNT_MIN * (uint64_t)JOURNAL_FILE_SIZE_MIN;
    }
    if (o->file_size == 0) { /* as many batches as the index holds, of small events that come alone, fill a file */
        uint64_t size = o->disk_size / DISK_FILES, indexed = (uint64_t)o->index_count_max * SMALL_BATCH_SIZE;
        size = size < indexed                            ? size
               : indexed > o->disk_size / DISK_FILES_MAX ? indexed
                                                         : o->disk_size / DISK_FILES_MAX;
        size = size < JOURNAL_FILE_SIZE_MIN   ? JOURNAL_FILE_SIZE_MIN
               : size > JOURNAL_FILE_SIZE_MAX ? JOURNAL_FILE_SIZE_MAX
                                              : size;
        o->file_size = (uint32_t)(size - size % JOURNAL_PAGE_SIZE);
    }
    if (o->snapshot_size ==
        0) { /* nothing is given back before two of them have passed it: a small disk cannot wait long */
        uint64_t size = o->disk_size / SNAPSHOT_SHARE;
        o->snapshot_size = size < SNAPSHOT_SIZE_DEFAULT ? (uint32_t)size : SNAPSHOT_SIZE_DEFAULT;
    }
    must(o->file_size % JOURNAL_PAGE_SIZE == 0 && o->file_size >= 4 * JOURNAL_PAGE_SIZE);
    uint64_t first = o->file_size < JOURNAL_FILE_SIZE_MIN ? o->file_size : JOURNAL_FILE_SIZE_MIN;
    if (o->disk_size < JOURNAL_FILE_COUNT_MIN * first)
        return error_set(err, NEAP_MISUSE, "disk: %llu bytes are fewer than %u journal files of %llu",
                         (unsigned long long)o->disk_size, JOURNAL_FILE_COUNT_MIN, (unsigned long long)first);
    return NEAP_OK;
}

/* The directory, or the one that it will be made in. */
static void find_place(struct log *log)
{
    struct io_file_info info;
    while (io_path_info(log->io, log->path, &info) == NEAP_NOTFOUND) {
        char *slash = strrchr(log->path, '/');
        if (slash == NULL || slash == log->path) {
            strcpy(log->path, slash == NULL ? "." : "/");
            return;
        }
        *slash = '\0';
    }
}

enum neap_status log_disk_plan(struct io *io, const struct log_options *options, struct log_disk *ret_disk,
                               struct error *err)
{
    struct log *log = strlen(options->path) < PATH_SIZE_MAX ? calloc(1, sizeof(*log)) : NULL;
    if (log == NULL)
        return error_set(err, NEAP_NOMEM, "disk: out of memory");
    log->io = io;
    log->options = with_defaults(options);
    strcpy(log->path, options->path);
    find_place(log);
    enum neap_status status = fill_disk_options(log, err);
    if (status == NEAP_OK) {
        struct log_disk d = { .size = log->options.disk_size, .file_size = log->options.file_size };
        d.pipelines = space_reserve(log, LOG_RANK_PIPELINE);
        d.cleaning = space_reserve(log, LOG_RANK_HOUSE);
        d.events = d.size - d.pipelines - d.cleaning;
        d.journal = (uint64_t)JOURNAL_FILE_MAX * d.file_size;
        d.ready_count = space_ready_count(log);
        *ret_disk = d;
    }
    free(log);
    return status;
}

/* For the table of a compaction: as much as what is known of a journal file's batches. */
size_t log_compaction_size(const struct log_options *options)
{
    return (size_t)options->index_count_max * INDEX_ENTRY_SIZE;
}

uint32_t log_gathered_size(const struct log_options *options)
{
    size_t size = log_compaction_size(options) / 8;
    return size < GATHER_SIZE_MIN ? GATHER_SIZE_MIN : size > GATHER_SIZE_MAX ? GATHER_SIZE_MAX : (uint32_t)size;
}

/* Bits for as many bytes again: where there are more records, each stretch of so many takes walks of its own. */
uint32_t log_compaction_records(const struct log_options *options)
{
    uint64_t count = 8 * (uint64_t)log_compaction_size(options);
    return count < COMPACTION_RECORD_MAX ? (uint32_t)count : COMPACTION_RECORD_MAX;
}

/* What a compaction takes, but for room to take batches apart: that is as large as they are. */
static size_t compaction_size(const struct log_options *o)
{
    return compaction_memory_size(log_compaction_size(o), log_compaction_records(o)) +
           gather_memory_size(log_gathered_size(o)) + WINDOW_SIZE;
}

size_t log_memory_size(const struct log_options *given)
{
    struct log_options o = with_defaults(given);
    return o.tail_size + 2 * (size_t)o.index_count_max * sizeof(struct index_entry) + o.fact_size_max +
           compaction_size(&o) + WRITER_BUFFER_SIZE + 2 * SPILL_ROOM_SIZE + /* an archive in the making */
           (o.page_cache_size >= PAGES_SIZE_MIN ? pages_memory_size(o.page_cache_size) : 0) + RECOVERY_STEP_SIZE;
}

/* Under the mutex. */
uint64_t used_size(const struct shared *s)
{
    uint64_t size = s->reserved_size;
    for (uint32_t i = 0; i < s->file_count; i++)
        size += s->files[i].size;
    for (uint32_t i = 0; i < s->views.archives.count; i++)
        size += s->views.archives.list[i]->facts.size;
    for (const struct archive *a = s->views.archives.gone; a != NULL; a = a->next_)
        size += a->facts.size;
    return size;
}

/* ---- open and close --------------------------------------------------------------------------------------------------------- */

/* The directory may have been made by a process that was killed before its name was durable. */
static enum neap_status sync_own_name(struct log *log, struct error *err)
{
    char path[PATH_SIZE_MAX];
    struct error why;
    enum neap_status status = io_dir_sync(log->io, log_path(log, path, "..", "%s", ""), &why);
    if (status == NEAP_OK || status == NEAP_DENIED)
        return NEAP_OK; /* whoever keeps us from reading its parent has made it for us */
    return error_set(err, status, "%s", why.text);
}

/* Whatever the process does with its working directory afterwards, or anybody with a link on the way: the log stays here. */
static enum neap_status settle_down(struct log *log, struct error *err)
{
    char path[PATH_SIZE_MAX];
    enum neap_status status = io_dir_make(log->io, log->path, err);
    if (status == NEAP_OK)
        status = io_path_full(log->io, log->path, path, sizeof(path) - PATH_INSIDE_SIZE_MAX, err);
    if (status == NEAP_OK)
        memcpy(log->path, path, strlen(path) + 1);
    return status;
}

static enum neap_status make_folders(struct log *log, struct error *err)
{
    static const char *const folders[] = { JOURNAL_FOLDER, INDEX_FOLDER, SNAPSHOT_FOLDER, ARCHIVE_FOLDER };
    char path[PATH_SIZE_MAX];
    enum neap_status status = settle_down(log, err);
    if (status == NEAP_OK)
        status = sync_own_name(log, err);
    for (size_t i = 0; i < COUNT_OF(folders) && status == NEAP_OK; i++)
        status = io_dir_make(log->io, log_path(log, path, folders[i], "%s", ""), err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log->path, err);
    return status;
}

static enum neap_status lock_directory(struct log *log, struct error *err)
{
    char path[PATH_SIZE_MAX], text[32] = { 0 };
    size_t got = 0;
    enum neap_status status =
        io_file_open(log->io, log_path(log, path, NULL, LOCK_NAME), IO_READ | IO_WRITE | IO_CREATE, &log->lock, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_lock(log->lock, IO_LOCK_EXCLUSIVE, 0, 1);
    if (status == NEAP_HELD) {
        io_file_read(log->lock, text, sizeof(text) - 1, 0, &got);
        return error_set(err, NEAP_HELD, "%s is in use by process %d", log->path, atoi(text));
    }
    if (status != NEAP_OK)
        return error_set(err, status, "lock %s: %s", path, status_text(status));
    snprintf(text, sizeof(text), "%-20lld\n", (long long)io_pid(log->io));
    struct bytes part = { (const uint8_t *)text, strlen(text) };
    status = io_file_write(log->lock, &part, 1, 0);
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "write %s: %s", path, status_text(status));
}

static enum neap_status take_memory(struct log *log, struct error *err)
{
    struct shared *s = &log->shared;
    s->mutex = io_mutex_new(log->io);
    enum neap_status status = s->mutex != NULL ? NEAP_OK : NEAP_NOMEM;
    if (status == NEAP_OK)
        status = views_init(&s->views, &log->options);
    if (status == NEAP_OK)
        status = indexes_init(s, log->options.index_count_max);
    if (status == NEAP_OK)
        status = tail_init(&log->tail, log->io, log->options.tail_size);
    if (status == NEAP_OK) {
        if (log->options.page_cache_size >= PAGES_SIZE_MIN)
            log->pages = pages_new(log->io, log->options.page_cache_size);
        log->keeper = keeper_new(log);
    }
    return status == NEAP_OK && log->keeper != NULL &&
                   (log->pages != NULL || log->options.page_cache_size < PAGES_SIZE_MIN)
               ? NEAP_OK
               : error_set(err, NEAP_NOMEM, "the log's memory");
}

static void begin_writing(struct log *log)
{
    struct views *v = &log->shared.views;
    for (uint32_t i = 0; i < v->topic_count; i++)
        for (uint32_t p = 0; p < v->by_name[i]->partition_count; p++)
            topic_partition(v->by_name[i], p)->writer.next = topic_partition(v->by_name[i], p)->end;
}

/* Whoever opens a directory without saying its bound keeps to the one that was said last. */
static enum neap_status recall_disk(struct log *log, struct disk_said *said, struct error *err)
{
    struct error why = { 0 };
    bool silent = log->options.disk_last && said->size == 0 && said->percent == 0;
    enum neap_status status = disk_recall(log, silent ? said : &(struct disk_said){ 0 }, &why);
    if (status == NEAP_VERSION)
        return error_set(err, status, "%s", why.text);
    if (status != NEAP_OK && status != NEAP_NOTFOUND)
        logging_warn(log->logging, "the disk budget that was last said cannot be read",
                     LOGGING_TEXT("error", why.text));
    log->options.disk_size = said->size;
    log->options.disk_percent = said->percent;
    return NEAP_OK;
}

static void settle_disk(struct log *log, const struct disk_said *said)
{
    struct error why = { 0 };
    struct shared *s = &log->shared;
    if (disk_remember(log, said, &why) != NEAP_OK)
        logging_warn(log->logging, "the disk budget cannot be remembered", LOGGING_TEXT("error", why.text));
    io_mutex_take(s->mutex);
    uint64_t used = used_size(s), left = space_left_size(log);
    io_mutex_drop(s->mutex);
    if (left == 0)
        logging_warn(
            log->logging,
            "the log takes more than its disk budget: producers are refused until what pipelines have done is freed",
            LOGGING_UINT("used", used), LOGGING_UINT("disk", log->options.disk_size));
}

static enum neap_status recover_and_start(struct log *log, const struct disk_said *said, struct error *err)
{
    struct recovered recovered;
    mono_time start = io_now(log->io);
    enum neap_status status = recovery_run(log, &recovered, err);
    if (status != NEAP_OK)
        return error_while(err, "recover");
    begin_writing(log);
    settle_disk(log, said);
    log->boot = recovered.boot + 1;
    log->shared.durable = recovered.position;
    log->shared.recovered_time_ms = recovered.time_ms;
    log->journal = journal_new(log, recovered.position, log->boot, recovered.time_ms);
    if (log->journal == NULL)
        return error_set(err, NEAP_NOMEM, "journal");
    status = journal_boot(log->journal, err);
    log->shared.figures.recovery_ns = io_now(log->io).ns - start.ns;
    if (status == NEAP_OK)
        status = journal_start(log->journal, err);
    if (status != NEAP_OK)
        return status;
    log->started = true;
    status = keeper_start(log->keeper, err);
    log->keeping = status == NEAP_OK;
    return status;
}

enum neap_status log_open(struct io *io, const struct log_options *options, struct log **ret_log, struct error *err)
{
    if (strlen(options->path) >= PATH_SIZE_MAX - PATH_INSIDE_SIZE_MAX)
        return error_set(err, NEAP_MISUSE, "the path of the data directory is longer than %u bytes",
                         PATH_SIZE_MAX - PATH_INSIDE_SIZE_MAX);
    struct log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return error_set(err, NEAP_NOMEM, "open log");
    log->magic = LOG_MAGIC;
    log->io = io;
    log->logging = options->logging;
    log->options = with_defaults(options);
    memcpy(log->path, options->path, strlen(options->path) + 1);
    enum neap_status status = make_folders(log, err);
    if (status == NEAP_OK)
        status = lock_directory(log, err);
    struct disk_said said = { .size = log->options.disk_size, .percent = log->options.disk_percent };
    if (status == NEAP_OK)
        status = recall_disk(log, &said, err);
    if (status == NEAP_OK)
        status = fill_disk_options(log, err);
    if (status == NEAP_OK)
        status = take_memory(log, err);
    if (status == NEAP_OK)
        status = recover_and_start(log, &said, err);
    if (status != NEAP_OK) {
        log_close(&log);
        return error_while(err, "open log %s", options->path);
    }
    *ret_log = log;
    return NEAP_OK;
}

void log_give_up(struct log *log)
{
    CHECK_MAGIC(log, LOG_MAGIC);
    atomic_store(&log->given_up, true); /* seen when the write is tried again */
}

void log_close(struct log **ret_log)
{
    struct log *log = *ret_log;
    if (log == NULL)
        return;
    CHECK_MAGIC(log, LOG_MAGIC);
    if (log->keeping)
        keeper_stop(log->keeper);
    if (log->started)
        journal_stop(log->journal);
    journal_free(&log->journal);
    keeper_free(&log->keeper);
    for (uint32_t i = 0; i < log->shared.file_count; i++) {
        must(log->shared.files[i].pin_count == 0); /* readers are closed */
        io_file_close(&log->shared.files[i].index);
        io_file_close(&log->shared.files[i].file);
    }
    tail_fini(&log->tail);
    pages_free(&log->pages);
    indexes_fini(&log->shared);
    views_fini(&log->shared.views);
    io_mutex_free(&log->shared.mutex);
    if (log->lock !=
        NULL) /* a process that was forked meanwhile has the open file, too: closing ours would not end the lock */
        (void)io_file_lock(log->lock, IO_UNLOCK, 0, 1);
    io_file_close(&log->lock);
    log->magic = 0;
    free(log);
    *ret_log = NULL;
}

/* ---- what it says ------------------------------------------------------------------------------------------------------------- */

const char *log_directory(const struct log *log)
{
    return log->path;
}

struct log_id log_identity(const struct log *log)
{
    return log->id;
}

enum neap_status log_health(struct log *log, struct error *err)
{
    io_mutex_take(log->shared.mutex);
    enum neap_status status = log->shared.failed;
    if (status != NEAP_OK && err != NULL)
        *err = log->shared.failure;
    io_mutex_drop(log->shared.mutex);
    return status;
}

void log_figures(struct log *log, struct log_figures *ret_figures)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    struct log_figures f = s->figures;
    f.durable.n = f.written.n = s->durable;
    f.file_count = s->open_index + 1;
    for (uint32_t i = 0; i < s->open_index; i++)
        f.file_count -= s->files[i].dead; /* the next ready files are made of those */
    f.spare_count = s->file_count - f.file_count;
    f.disk_used_size = used_size(s);
    f.archive_count = s->views.archives.count;
    f.disk_live_size = log->options.disk_size - space_left_size(log);
    f.disk_size = log->options.disk_size;
    f.full = s->full;
    f.lost_count = lost_sum(&s->views.lost);
    f.rank_min = (enum log_rank)atomic_load(&s->rank_min);
    io_mutex_drop(s->mutex);
    *ret_figures = f;
}

/* ---- topics --------------------------------------------------------------------------------------------------------------------- */

enum neap_status log_name_check(const char *name, struct error *err)
{
    size_t size = strlen(name);
    if (size == 0 || size > LOG_NAME_SIZE_MAX)
        return error_set(err, NEAP_MISUSE, "a topic's name has 1 to %u letters, not %zu", LOG_NAME_SIZE_MAX, size);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set(err, NEAP_MISUSE, "a topic cannot be named '%s'", name);
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-'))
            return error_set(err, NEAP_MISUSE, "topic '%s': only letters, digits, '.', '_' and '-' may stand in a name",
                             name);
    }
    return NEAP_OK;
}

static void describe(const struct topic *t, struct log_topic *ret)
{
    *ret = (struct log_topic){
        .id = t->id, .partition_count = t->partition_count, .revision = t->revision, .settings = t->settings
    };
    memcpy(ret->name, t->name, sizeof(ret->name));
    for (uint32_t i = 0; i < t->partition_count; i++) {
        ret->batch_count += topic_partition(t, i)->batch_count;
        ret->size += topic_partition(t, i)->size;
    }
}

enum neap_status log_topic_find(struct log *log, const char *name, struct log_topic *ret_topic)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    struct topic *t = views_topic_named(&s->views, name);
    bool found = t != NULL && t->durable;
    if (found)
        describe(t, ret_topic);
    io_mutex_drop(s->mutex);
    return found ? NEAP_OK : NEAP_NOTFOUND;
}

enum neap_status log_topic_keep(struct log *log, const char *name, struct log_topic *ret_topic)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    struct topic *t = views_topic_named(&s->views, name);
    bool found = t != NULL && t->durable;
    if (found) {
        t->keep_count++;
        describe(t, ret_topic);
        ret_topic->partition_count = t->growing; /* what comes after an alteration on its way is placed by it */
    }
    io_mutex_drop(s->mutex);
    return found ? NEAP_OK : NEAP_NOTFOUND;
}

void log_topic_let(struct log *log, uint32_t topic_id)
{
    io_mutex_take(log->shared.mutex);
    struct topic *t = views_topic(&log->shared.views, topic_id);
    must(t == NULL || t->keep_count > 0);
    if (t != NULL)
        t->keep_count--;
    io_mutex_drop(log->shared.mutex);
}

uint64_t log_settings_count(const struct log *log)
{
    return atomic_load_explicit(&log->shared.views.settings_count, memory_order_acquire);
}

bool log_topic_at(struct log *log, uint32_t index, struct log_topic *ret_topic)
{
    struct shared *s = &log->shared;
    bool found = false;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0, seen = 0; i < s->views.topic_count && !found; i++) {
        if (!s->views.by_name[i]->durable || seen++ != index)
            continue;
        describe(s->views.by_name[i], ret_topic);
        found = true;
    }
    io_mutex_drop(s->mutex);
    return found;
}

enum neap_status log_topic_ensure(struct log_client *client, const char *name, uint32_t partition_count,
                                  mono_time deadline, struct log_topic *ret_topic, struct error *err)
{
    return log_topic_ensure_with(client, name, partition_count, NULL, deadline, ret_topic, err);
}

enum neap_status log_topic_ensure_with(struct log_client *client, const char *name, uint32_t partition_count,
                                       const struct log_topic_settings *settings, mono_time deadline,
                                       struct log_topic *ret_topic, struct error *err)
{
    uint8_t room[LOG_SETTINGS_SIZE];
    struct log *log = client->log;
    enum neap_status status = log_name_check(name, err);
    if (status != NEAP_OK)
        return status;
    status = log_topic_find(log, name, ret_topic);
    if (status == NEAP_NOTFOUND) {
        struct log_op op = { .kind = LOG_TOPIC_CREATE,
                             .count = partition_count != 0 ? partition_count : 1,
                             .name = bytes_of_text(name) };
        if (settings != NULL)
            op.payload = log_settings_encode(settings, room);
        struct log_unit unit = { .ops = &op, .count = 1 };
        status = log_partitions_check(log, op.count, err);
        if (status != NEAP_OK) {
            error_while(err, "create topic %s", name);
            return status;
        }
        status = log_submit_wait(client, &unit, deadline);
        if (status != NEAP_OK && status != NEAP_EXISTS)
            return error_set(err, status, "create topic %s: %s", name, status_text(status));
        status = log_topic_find(log, name, ret_topic);
    }
    if (status == NEAP_OK && partition_count != 0 && ret_topic->partition_count != partition_count)
        return error_set(err, NEAP_MISUSE, "topic %s has %u partitions, not %u", name, ret_topic->partition_count,
                         partition_count);
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "topic %s: %s", name, status_text(status));
}

enum neap_status log_partitions_check(struct log *log, uint32_t more_count, struct error *err)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    uint32_t count = s->views.partition_count, most = s->views.partition_count_max;
    io_mutex_drop(s->mutex);
    if (more_count <= most - count)
        return NEAP_OK;
    return error_set(err, NEAP_FULL, "%u more partition%s: there are %u already, and at most %u", more_count,
                     more_count == 1 ? "" : "s", count, most);
}

enum neap_status log_partition_range(struct log *log, struct log_partition partition, log_offset *ret_start,
                                     log_offset *ret_end)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    struct partition *p = views_partition(&s->views, partition);
    uint64_t start = p != NULL ? p->start : 0, end = p != NULL ? p->end : 0;
    io_mutex_drop(s->mutex);
    if (p == NULL)
        return NEAP_NOTFOUND;
    ret_start->n = start;
    ret_end->n = end;
    return NEAP_OK;
}

enum neap_status log_partition_figures(struct log *log, struct log_partition partition,
                                       struct log_partition_figures *ret_figures)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    const struct partition *p = views_partition(&s->views, partition);
    if (p != NULL)
        *ret_figures = (struct log_partition_figures){
            .start = { p->start }, .end = { p->end }, .batch_count = p->batch_count, .size = p->size
        };
    io_mutex_drop(s->mutex);
    return p != NULL ? NEAP_OK : NEAP_NOTFOUND;
}

enum neap_status log_partition_end(struct log *log, struct log_partition partition, log_offset *ret_end)
{
    log_offset start;
    return log_partition_range(log, partition, &start, ret_end);
}

bool log_lost_next(struct log *log, struct log_partition partition, log_offset from, log_offset *ret_first,
                   log_offset *ret_end)
{
    struct shared *s = &log->shared;
    if (atomic_load_explicit(&s->views.lost.count, memory_order_relaxed) == 0)
        return false;
    io_mutex_take(s->mutex);
    const struct lost_range *r = lost_next(&s->views.lost, partition, from.n);
    if (r != NULL) {
        ret_first->n = r->first;
        ret_end->n = r->end;
    }
    io_mutex_drop(s->mutex);
    return r != NULL;
}

/* ---- offsets and facts -------------------------------------------------------------------------------------------------------------- */

enum neap_status log_offset_get(struct log *log, const char *group, struct log_partition partition, uint8_t *room,
                                struct log_commit *ret_commit)
{
    struct shared *s = &log->shared;
    uint8_t key[VIEW_KEY_SIZE_MAX];
    if (strlen(group) > LOG_KEY_SIZE_MAX)
        return NEAP_NOTFOUND;
    io_mutex_take(s->mutex);
    const struct fact *fact = map_get(s->views.offsets, offset_key(key, partition, bytes_of_text(group)));
    if (fact != NULL) {
        *ret_commit = (struct log_commit){ .offset = { fact->offset },
                                           .done_set = { room, room != NULL ? fact->size : 0 },
                                           .hold = fact->hold };
        if (room != NULL)
            memcpy(room, fact->bytes, fact->size);
    }
    io_mutex_drop(s->mutex);
    return fact != NULL ? NEAP_OK : NEAP_NOTFOUND;
}

struct listed {
    const struct fact *fact;
    struct bytes key;
};

static int by_group(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    struct bytes x_group = { x->key.at + 8, x->key.size - 8 }, y_group = { y->key.at + 8, y->key.size - 8 };
    int order = bytes_compare(x_group, y_group);
    return order != 0 ? order : memcmp(x->key.at, y->key.at, 8);
}

void log_offset_each(struct log *log,
                     bool (*each)(void *ctx, const char *group, struct log_partition partition, log_offset offset),
                     void *ctx)
{
    struct shared *s = &log->shared;
    struct bytes key;
    void *value;
    io_mutex_take(s->mutex);
    size_t count = 0;
    struct listed *list = malloc((map_count(s->views.offsets) + 1) * sizeof(*list));
    for (size_t i = 0; list != NULL && map_next(s->views.offsets, &i, &key, &value);)
        list[count++] = (struct listed){ value, key };
    if (list != NULL)
        qsort(list, count, sizeof(*list), by_group);
    for (size_t i = 0; i < count; i++) {
        char group[LOG_KEY_SIZE_MAX + 1];
        memcpy(group, list[i].key.at + 8, list[i].key.size - 8);
        group[list[i].key.size - 8] = 0;
        struct log_partition p = { get_be32(list[i].key.at), get_be32(list[i].key.at + 4) };
        if (!each(ctx, group, p, (log_offset){ list[i].fact->offset }))
            break;
    }
    io_mutex_drop(s->mutex);
    free(list);
}

enum neap_status log_fact_get(struct log *log, uint8_t view, struct log_partition partition, struct bytes key,
                              uint8_t *room, struct bytes *ret_value)
{
    struct shared *s = &log->shared;
    uint8_t key_room[VIEW_KEY_SIZE_MAX];
    if (key.size > LOG_KEY_SIZE_MAX)
        return NEAP_NOTFOUND;
    io_mutex_take(s->mutex);
    const struct fact *fact = map_get(s->views.facts, fact_key(key_room, view, partition, key));
    if (fact != NULL) {
        memcpy(room, fact->bytes, fact->size);
        *ret_value = (struct bytes){ room, fact->size };
    }
    io_mutex_drop(s->mutex);
    return fact != NULL ? NEAP_OK : NEAP_NOTFOUND;
}

void log_fact_each(struct log *log, uint8_t view, struct log_partition partition, struct bytes prefix,
                   bool (*each)(void *ctx, struct bytes key, struct bytes value), void *ctx)
{
    struct shared *s = &log->shared;
    uint8_t room[VIEW_KEY_SIZE_MAX];
    if (prefix.size > LOG_KEY_SIZE_MAX)
        return;
    struct bytes start = fact_key(room, view, partition, prefix), key;
    void *value;
    io_mutex_take(s->mutex);
    for (size_t i = 0; map_next(s->views.facts, &i, &key, &value);) {
        const struct fact *fact = value;
        if (key.size < start.size || memcmp(key.at, start.at, start.size) != 0)
            continue;
        if (!each(ctx, (struct bytes){ key.at + 9, key.size - 9 }, (struct bytes){ fact->bytes, fact->size }))
            break;
    }
    io_mutex_drop(s->mutex);
}

/* ---- watchers ------------------------------------------------------------------------------------------------------------------------- */

enum neap_status log_watch(struct log *log, struct io_agent *agent)
{
    struct shared *s = &log->shared;
    enum neap_status status = NEAP_AGAIN;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < LOG_WATCH_COUNT_MAX && status != NEAP_OK; i++) {
        if (s->watchers[i] != NULL)
            continue;
        s->watchers[i] = agent;
        status = NEAP_OK;
    }
    io_mutex_drop(s->mutex);
    return status;
}

void log_unwatch(struct log *log, struct io_agent *agent)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex); /* no wake of it is under way after this */
    for (uint32_t i = 0; i < LOG_WATCH_COUNT_MAX; i++)
        if (s->watchers[i] == agent)
            s->watchers[i] = NULL;
    io_mutex_drop(s->mutex);
}
