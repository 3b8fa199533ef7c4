#include "flow/letter_scan.h"
#include "base/must.h"
#include "flow/dead_letter.h"

/* Opens the partition at hand, or the next one that holds anything. */
static enum neap_status open_next(struct letter_scan *scan, struct error *err)
{
    while (scan->reader_ == NULL) {
        if (scan->at.partition == scan->partition_count)
            return NEAP_NOTFOUND;
        enum neap_status status = log_partition_end(scan->log, scan->at, &scan->end_);
        if (status == NEAP_NOTFOUND)
            return NEAP_NOTFOUND; /* the topic was deleted, and its letters with it */
        if (status != NEAP_OK)
            return error_set(err, status, "end of partition %u", scan->at.partition);
        scan->next_ = (log_offset){ 0 };
        if (scan->end_.n == 0) {
            scan->at.partition++;
            continue;
        }
        status = log_reader_open(scan->log, scan->at, scan->next_, scan->read_size, &scan->reader_, err);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_OK;
}

static bool is_ours(const struct letter_scan *scan, const struct dead_letter_view *view)
{
    return view->was_in_log && view->partition == scan->partition && view->offset.n >= scan->from.n &&
           view->offset.n < scan->until.n && bytes_equal(view->pipeline, bytes_of_text(scan->pipeline)) &&
           bytes_equal(view->topic, bytes_of_text(scan->topic));
}

static enum neap_status look_at(struct letter_scan *scan, const struct log_batch *from,
                                enum neap_status (*each)(void *ctx, log_offset origin), void *ctx)
{
    struct batch batch;
    struct record record;
    struct dead_letter_view view;
    struct batch_walk walk;
    scan->unpack->user = NULL;
    if (batch_open(from->bytes, false, &batch) != NEAP_OK || batch_unpack(&batch, scan->unpack, &walk) != NEAP_OK)
        return NEAP_OK; /* not of our making: no letter of this pipeline is in it */
    while (batch_next(&walk, &record) == NEAP_OK) {
        if (dead_letter_read(&record, &view) != NEAP_OK || !is_ours(scan, &view))
            continue;
        enum neap_status status = each(ctx, view.offset);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_OK;
}

enum neap_status letter_scan_step(struct letter_scan *scan, enum neap_status (*each)(void *ctx, log_offset origin),
                                  void *ctx, struct error *err)
{
    enum neap_status status = open_next(scan, err);
    if (status != NEAP_OK)
        return status == NEAP_NOTFOUND ? status : error_while(err, "look for dead letters");
    struct log_batch batch;
    status = log_reader_next(scan->reader_, &batch, err);
    if (status == NEAP_OK) {
        must(batch.base.n + batch.count > scan->next_.n); /* it holds the next offset */
        scan->next_.n = batch.base.n + batch.count;
        status = look_at(scan, &batch, each, ctx);
        if (status != NEAP_OK)
            return error_set(err, status, "remember a dead letter of an earlier run");
    } else if (status != NEAP_AGAIN && status != NEAP_NOTFOUND) {
        return error_while(err, "look for dead letters in partition %u", scan->at.partition);
    }
    if (status != NEAP_OK || scan->next_.n >= scan->end_.n) {
        log_reader_close(&scan->reader_);
        scan->at.partition++;
    }
    return NEAP_OK;
}

void letter_scan_end(struct letter_scan *scan)
{
    if (scan->reader_ != NULL)
        log_reader_close(&scan->reader_);
}
