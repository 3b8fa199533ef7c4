#include "log/local/forget.h"
#include "log/local/local.h"
#include <stdlib.h>

#define FORGET_WAIT_NS (60 * NS_PER_S)

struct settled {
    uint32_t count;
    struct {
        uint32_t topic_id;
        uint64_t number;
    } list[ARCHIVE_COUNT_MAX];
};

static void keep(void *ctx, uint32_t topic_id, uint64_t number)
{
    struct settled *settled = ctx;
    if (settled->count == COUNT_OF(settled->list))
        return;
    settled->list[settled->count].topic_id = topic_id;
    settled->list[settled->count++].number = number;
}

static void pass(void *ctx, const struct log_finding *finding)
{
    (void)ctx;
    (void)finding;
}

/* From now on the cleaner leaves it as it is. False: it is gone, or somebody has it in hand. */
static bool take(struct log *log, uint32_t topic_id, uint64_t number)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    struct archive *a = archives_find(&s->views.archives, number);
    bool taken = a != NULL && a->topic_id == topic_id && a->pin_count == 0;
    if (taken)
        a->left_alone = true;
    io_mutex_drop(s->mutex);
    return taken;
}

static enum neap_status forget(struct log *log, struct log_client *client, uint32_t topic_id, uint64_t number)
{
    uint8_t room[REPLACE_HEADER_SIZE + 8];
    struct log_op op = { .kind = LOG_REPLACE_,
                         .target = { topic_id, 0 },
                         .payload = replace_encode(room, &number, 1, NULL, 0, NULL, 0) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(client, &unit, mono_after(io_now(log->io), FORGET_WAIT_NS));
}

static enum neap_status forget_all(struct log *log, const struct settled *settled, struct error *err)
{
    struct log_client_options house = { .rank = LOG_RANK_HOUSE };
    struct log_client *client = NULL;
    enum neap_status status = log_client_open(log, &house, &client, err);
    if (status != NEAP_OK)
        return status;
    for (uint32_t i = 0; i < settled->count && status == NEAP_OK; i++)
        if (take(log, settled->list[i].topic_id, settled->list[i].number))
            status = forget(log, client, settled->list[i].topic_id, settled->list[i].number);
    log_client_close(&client);
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "forget an archive: %s", status_text(status));
}

enum neap_status forget_archives(struct io *io, const struct log_options *options, struct error *err)
{
    struct settled *settled = calloc(1, sizeof(*settled));
    struct log_doctor doctor = { .finding = pass, .settled = keep, .ctx = settled };
    struct log *log = NULL;
    if (settled == NULL)
        return error_set(err, NEAP_NOMEM, "repair");
    enum neap_status status = log_doctor(io, options->path, &doctor, err);
    if (status == NEAP_CORRUPT) { /* elsewhere */
        *err = (struct error){ 0 };
        status = NEAP_OK;
    }
    if (status == NEAP_OK && settled->count > 0) {
        status = log_open(io, options, &log, err);
        if (status == NEAP_OK)
            status = forget_all(log, settled, err);
        log_close(&log);
    }
    free(settled);
    return status;
}
