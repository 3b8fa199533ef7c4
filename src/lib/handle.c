/* handle.c - the handle: a log of its own behind a door of its own. */
#include "io/real.h"
#include "lib/lib.h"
#include "node/budget.h"
#include <stdlib.h>

#define MEMORY_SIZE_DEFAULT (64ull << 20)
#define MEMORY_SIZE_MIN     (16ull << 20)

/* ---- for people ---------------------------------------------------------------------------------------------------- */

const char *neap_version(void)
{
    return NEAP_VERSION_TEXT;
}

const char *neap_status_name(enum neap_status status)
{
    return (unsigned)status < NEAP_STATUS_COUNT ? status_name(status) : "UNKNOWN";
}

const char *neap_status_text(enum neap_status status)
{
    return (unsigned)status < NEAP_STATUS_COUNT ? status_text(status) : "no status of this version";
}

enum neap_reaction neap_status_reaction(enum neap_status status)
{
    return (unsigned)status < NEAP_STATUS_COUNT ? status_reaction(status) : NEAP_REACTION_STOP;
}

enum neap_status lib_error(struct neap_error *ret, const struct error *error)
{
    static_assert(sizeof(ret->text) == sizeof(error->text), "a trail goes out as it is");
    if (ret != NULL) {
        ret->status = error->status;
        memcpy(ret->text, error->text, sizeof(ret->text));
    }
    return error->status;
}

enum neap_status lib_misuse(struct neap_error *ret, const char *what)
{
    struct error error;
    error_set(&error, NEAP_MISUSE, "%s", what);
    return lib_error(ret, &error);
}

/* ---- one thread at a time ------------------------------------------------------------------------------------------ */

static _Thread_local char this_thread; /* its address is the thread's name */

enum lib_entered lib_enter(struct lib_guard *guard)
{
    uintptr_t nobody = 0, me = (uintptr_t)&this_thread;
    if (atomic_compare_exchange_strong_explicit(&guard->thread, &nobody, me, memory_order_acquire,
                                                memory_order_relaxed))
        return LIB_ENTERED;
    return nobody == me ? LIB_NESTED : LIB_TAKEN;
}

void lib_leave(struct lib_guard *guard)
{
    atomic_store_explicit(&guard->thread, 0, memory_order_release);
}

int64_t lib_ns(int64_t ms)
{
    return ms <= 0 ? 0 : ms > INT64_MAX / NS_PER_MS ? INT64_MAX : ms * NS_PER_MS;
}

mono_time lib_deadline(struct neap *neap, int64_t timeout_ms)
{
    return mono_after(io_now(neap->io), lib_ns(timeout_ms)); /* which ends at MONO_NEVER */
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

static wall_time line_time(void *ctx)
{
    struct neap *neap = ctx;
    return io_wall(neap->io);
}

static void line_write(void *ctx, struct bytes line)
{
    struct neap *neap = ctx;
    neap->options.log(neap->options.log_ctx, (const char *)line.at, line.size > 0 ? line.size - 1 : 0);
}

static bool open_logging(struct neap *neap)
{
    static const enum logging_level levels[] = { [NEAP_LOG_INFO] = LOGGING_INFO,
                                                 [NEAP_LOG_DEBUG] = LOGGING_DEBUG,
                                                 [NEAP_LOG_WARN] = LOGGING_WARN,
                                                 [NEAP_LOG_ERROR] = LOGGING_ERROR };
    struct logging_options options = {
        .level = levels[neap->options.log_level], .wall = line_time, .write = line_write, .ctx = neap
    };
    if (neap->options.log == NULL)
        return true;
    neap->logging = logging_new(&options);
    return neap->logging != NULL;
}

static void handle_free(struct neap *neap)
{
    lib_handlers_free(neap);
    log_close(&neap->log);
    logging_free(&neap->logging);
    io_real_close(&neap->io);
    free(neap->path);
    neap->magic = 0;
    free(neap);
}

static enum neap_status handle_open(struct neap *neap, struct error *err)
{
    neap->path = strdup(neap->options.path);
    neap->io = io_real_open_guest(err);
    if (neap->path == NULL || neap->io == NULL || !open_logging(neap))
        return error_set(err, NEAP_NOMEM, "out of memory");
    neap->mutex = io_mutex_new(neap->io);
    if (neap->mutex == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    neap->options.path = neap->path;
    struct log_options options = { .path = neap->path, .disk_size = neap->options.disk_size, .logging = neap->logging };
    options.disk_last = true;
    budget_log(neap->options.memory_size, &options);
    enum neap_status status = log_open(neap->io, &options, &neap->log, err);
    return status == NEAP_OK ? NEAP_OK : error_while(err, "open %s", neap->path);
}

enum neap_status neap_open(const struct neap_options *options, struct neap **ret_neap, struct neap_error *err)
{
    if (options == NULL || ret_neap == NULL || options->path == NULL || options->path[0] == '\0')
        return lib_misuse(err, "neap_open() needs options with a path, and room for the handle");
    if ((unsigned)options->log_level > NEAP_LOG_ERROR)
        return lib_misuse(err, "log_level is none of enum neap_log_level");
    if (options->memory_size != 0 && options->memory_size < MEMORY_SIZE_MIN)
        return lib_misuse(err, "memory_size is at least 16 MiB");
    struct error error = { 0 };
    struct neap *neap = calloc(1, sizeof *neap);
    if (neap == NULL) {
        error_set(&error, NEAP_NOMEM, "out of memory");
        return lib_error(err, &error);
    }
    neap->magic = LIB_MAGIC;
    neap->options = *options;
    if (neap->options.memory_size == 0)
        neap->options.memory_size = MEMORY_SIZE_DEFAULT;
    if (handle_open(neap, &error) != NEAP_OK) {
        handle_free(neap);
        return lib_error(err, &error);
    }
    *ret_neap = neap;
    return NEAP_OK;
}

enum neap_status neap_close(struct neap **at)
{
    if (at == NULL)
        return NEAP_MISUSE;
    struct neap *neap = *at;
    if (neap == NULL)
        return NEAP_OK;
    CHECK_MAGIC(neap, LIB_MAGIC);
    if (atomic_load(&neap->open_count) != 0)
        return NEAP_MISUSE;
    *at = NULL;
    handle_free(neap);
    return NEAP_OK;
}

enum neap_status neap_health(struct neap *neap, struct neap_error *err)
{
    if (neap == NULL)
        return lib_misuse(err, "no handle");
    CHECK_MAGIC(neap, LIB_MAGIC);
    struct error error = { 0 };
    enum neap_status status = log_health(neap->log, &error);
    if (status == NEAP_OK)
        return NEAP_OK;
    error.status = status;
    return lib_error(err, &error);
}

/* ---- topics -------------------------------------------------------------------------------------------------------- */

static void set_rules(struct lib_rules *rules, const struct log_topic_settings *s)
{
    bool bounded = s->record_size_max != 0 && s->record_size_max < NEAP_EVENT_SIZE_MAX;
    atomic_store(&rules->event_size_max, bounded ? s->record_size_max : NEAP_EVENT_SIZE_MAX);
    atomic_store(&rules->keyed, s->cleanup == LOG_CLEANUP_COMPACT);
}

const struct lib_rules *lib_rules(const struct neap_topic *topic)
{
    struct lib_rules *rules = (struct lib_rules *)(uintptr_t)&topic->rules;
    uint64_t count = log_settings_count(topic->neap->log);
    struct log_topic now;
    if (atomic_load(&rules->settings_count) == count)
        return rules;
    if (log_topic_find(topic->neap->log, topic->topic.name, &now) == NEAP_OK && now.id == topic->topic.id)
        set_rules(rules, &now.settings);
    atomic_store(&rules->settings_count, count); /* what changed since then is looked up the next time */
    return rules;
}

enum neap_status lib_topic_new(struct neap *neap, const struct log_topic *found, struct neap_topic **ret_topic,
                               struct neap_error *err)
{
    struct neap_topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL) {
        struct error error;
        error_set(&error, NEAP_NOMEM, "topic %s: out of memory", found->name);
        return lib_error(err, &error);
    }
    *topic = (struct neap_topic){ .magic = LIB_TOPIC_MAGIC,
                                  .neap = neap,
                                  .rules = { .settings_count = log_settings_count(neap->log) } };
    if (log_topic_keep(neap->log, found->name, &topic->topic) != NEAP_OK) { /* else it was deleted a moment ago */
        struct error error;
        error_set(&error, NEAP_NOTFOUND, "no topic '%s'", found->name);
        free(topic);
        return lib_error(err, &error);
    }
    set_rules(&topic->rules, &topic->topic.settings);
    atomic_fetch_add(&neap->open_count, 1);
    *ret_topic = topic;
    return NEAP_OK;
}

enum neap_status neap_topic_find(struct neap *neap, const char *name, struct neap_topic **ret_topic,
                                 struct neap_error *err)
{
    if (neap == NULL || name == NULL || ret_topic == NULL)
        return lib_misuse(err, "neap_topic_find() needs a handle, a name and room for the topic");
    CHECK_MAGIC(neap, LIB_MAGIC);
    struct log_topic found;
    struct error error;
    if (log_topic_find(neap->log, name, &found) == NEAP_OK)
        return lib_topic_new(neap, &found, ret_topic, err);
    error_set(&error, NEAP_NOTFOUND, "no topic '%s'", name);
    return lib_error(err, &error);
}

void neap_topic_close(struct neap_topic **at)
{
    if (at == NULL || *at == NULL)
        return;
    struct neap_topic *topic = *at;
    CHECK_MAGIC(topic, LIB_TOPIC_MAGIC);
    *at = NULL;
    log_topic_let(topic->neap->log, topic->topic.id);
    atomic_fetch_sub(&topic->neap->open_count, 1);
    topic->magic = 0;
    free(topic);
}

uint32_t neap_topic_partition_count(const struct neap_topic *topic)
{
    return topic != NULL ? topic->topic.partition_count : 0;
}

const char *neap_topic_name(const struct neap_topic *topic)
{
    return topic != NULL ? topic->topic.name : "";
}

bool lib_has_partition(const struct neap_topic *topic, uint32_t partition)
{
    CHECK_MAGIC(topic, LIB_TOPIC_MAGIC);
    return partition < topic->topic.partition_count;
}

static enum neap_status range(const struct neap_topic *topic, uint32_t partition, log_offset *ret_start,
                              log_offset *ret_end)
{
    struct log_partition of = { topic->topic.id, partition };
    return lib_has_partition(topic, partition) ? log_partition_range(topic->neap->log, of, ret_start, ret_end)
                                               : NEAP_NOTFOUND;
}

enum neap_status neap_topic_start(const struct neap_topic *topic, uint32_t partition, uint64_t *ret_offset)
{
    if (topic == NULL || ret_offset == NULL)
        return NEAP_MISUSE;
    log_offset start, end;
    enum neap_status status = range(topic, partition, &start, &end);
    if (status == NEAP_OK)
        *ret_offset = start.n;
    return status;
}

enum neap_status neap_topic_end(const struct neap_topic *topic, uint32_t partition, uint64_t *ret_offset)
{
    if (topic == NULL || ret_offset == NULL)
        return NEAP_MISUSE;
    log_offset start, end;
    enum neap_status status = range(topic, partition, &start, &end);
    if (status == NEAP_OK)
        *ret_offset = end.n;
    return status;
}

enum neap_status neap_committed(struct neap *neap, const char *group, const struct neap_topic *topic,
                                uint32_t partition, uint64_t *ret_offset)
{
    if (neap == NULL || group == NULL || topic == NULL || ret_offset == NULL)
        return NEAP_MISUSE;
    CHECK_MAGIC(neap, LIB_MAGIC);
    if (!lib_has_partition(topic, partition))
        return NEAP_NOTFOUND;
    struct log_commit commit;
    enum neap_status status =
        log_offset_get(neap->log, group, (struct log_partition){ topic->topic.id, partition }, NULL, &commit);
    if (status == NEAP_OK)
        *ret_offset = commit.offset.n;
    return status;
}
