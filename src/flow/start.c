#include "flow/start.h"
#include "base/must.h"
#include <inttypes.h>

static struct start_plan plan_from(log_offset from, enum start_ledger ledger)
{
    return (struct start_plan){ .from = from, .ledger = ledger, .letters_until = from };
}

static log_offset later_of(log_offset a, log_offset b)
{
    return a.n > b.n ? a : b;
}

/* Everything once more; but what gave up in this log has its letter and stays there. */
static struct start_plan plan_earliest(const struct start_facts *f)
{
    struct start_plan plan = plan_from(f->start, START_LEDGER_ZERO);
    plan.settle = true;
    plan.letters_until = f->end;
    plan.notice = "starts again at the earliest event, as `start` says";
    return plan;
}

static struct start_plan plan_committed(const struct start_facts *f)
{
    struct start_plan plan = plan_from(later_of(f->commit_point, f->start), START_LEDGER_FACT);
    plan.settle = true;
    plan.notice = "goes on at the log's own commit point, as `start` says";
    return plan;
}

/* The notes of a log with no trace of this pipeline, and a sink that another log, or a topic now deleted, has filled. */
static enum neap_status decide_stranger(const struct start_facts *f, struct start_plan *plan, struct error *err)
{
    switch (f->rule) {
    case START_EARLIEST:
    case START_COMMITTED: /* nothing is committed here: the same place */
        *plan = plan_earliest(f);
        return NEAP_OK;
    case START_SINK:
        *plan = plan_from(later_of(f->stranger.commit_point, f->start), START_LEDGER_STRANGER);
        plan->settle = plan->from.n <= f->end.n; /* an offset that is not there yet cannot be noted */
        plan->notice = f->stranger.topic_id != 0 ? "goes on where the deleted topic left this sink, as `start` says"
                                                 : "goes on where another log left this sink, as `start` says";
        return NEAP_OK;
    case START_DEFAULT:
        break;
    }
    if (f->stranger.topic_id != 0)
        return error_set(err, NEAP_CONFLICT,
                         "the sink was filled up to offset %" PRIu64
                         " from a topic that is deleted; the topic now in its "
                         "place ends at offset %" PRIu64 ". Set `start: earliest` to deliver everything in it, or "
                         "`start: sink` to go on at offset %" PRIu64,
                         f->stranger.commit_point.n, f->end.n, f->stranger.commit_point.n);
    return error_set(err, NEAP_CONFLICT,
                     "the sink was filled up to offset %" PRIu64 " by another log; this log ends at offset %" PRIu64
                     " and has delivered none of it. Was the data directory replaced? Set `start: earliest` to deliver "
                     "everything in this log, or `start: sink` to go on at offset %" PRIu64,
                     f->stranger.commit_point.n, f->end.n, f->stranger.commit_point.n);
}

static enum neap_status decide_fresh(const struct start_facts *f, struct start_plan *plan, struct error *err)
{
    if (f->own_offsets && f->stranger.found)
        return decide_stranger(f, plan, err);
    *plan = plan_from(later_of(f->start, f->begin), START_LEDGER_ZERO);
    if (!f->rows_there)
        return NEAP_OK;
    if (f->own_offsets) { /* a table may have had rows before we came */
        plan->notice = "the table holds rows that this pipeline did not write; they stay";
        return NEAP_OK;
    }
    if (f->rule == START_DEFAULT)
        return error_set(err, NEAP_CONFLICT,
                         "the output holds data already, but this log (it ends at offset %" PRIu64
                         ") has delivered 0 events to it. Was the data directory replaced? Set `start: earliest` to "
                         "deliver everything behind what is there, or move the output away",
                         f->end.n);
    plan->settle = true;
    return NEAP_OK;
}

/* The log has notes of deliveries, the sink knows of none. */
static enum neap_status decide_row_gone(const struct start_facts *f, struct start_plan *plan, struct error *err)
{
    switch (f->rule) {
    case START_EARLIEST:
    case START_SINK: /* which holds nothing of ours: the same place */
        *plan = plan_earliest(f);
        return NEAP_OK;
    case START_COMMITTED:
        *plan = plan_committed(f);
        return NEAP_OK;
    case START_DEFAULT:
        break;
    }
    return error_set(err, NEAP_CONFLICT,
                     "the log has noted deliveries up to offset %" PRIu64 " (it ends at %" PRIu64
                     "), but the sink knows of none: offset 0. Was the database deleted, or its path or table changed? "
                     "Set `start: earliest` to deliver everything again, or `start: committed` to go on at offset "
                     "%" PRIu64,
                     f->commit_point.n, f->end.n, f->commit_point.n);
}

static enum neap_status decide_beyond_end(const struct start_facts *f, struct start_plan *plan, struct error *err)
{
    switch (f->rule) {
    case START_EARLIEST:
        *plan = plan_earliest(f);
        return NEAP_OK;
    case START_COMMITTED:
        *plan = plan_committed(f);
        return NEAP_OK;
    case START_SINK:
        *plan = plan_from(f->row.commit_point, START_LEDGER_ROW);
        plan->notice = "waits for the offset that the sink has reached, as `start` says";
        return NEAP_OK;
    case START_DEFAULT:
        break;
    }
    return error_set(err, NEAP_CONFLICT,
                     "the sink has events up to offset %" PRIu64 ", but the log ends at offset %" PRIu64
                     ". Was the data directory put back to an older state? Set `start: committed` to go on at offset "
                     "%" PRIu64 ", `start: earliest` to deliver everything again, or `start: sink` to deliver only "
                     "what comes after offset %" PRIu64,
                     f->row.commit_point.n, f->end.n, f->commit_found ? f->commit_point.n : 0, f->row.commit_point.n);
}

/* A sink that was put back to a state so old that the log does not hold all that it has forgotten; or events that were
 * deleted by hand before they were processed. */
static enum neap_status decide_below_start(const struct start_facts *f, const char *who, log_offset point,
                                           enum start_ledger ledger, struct start_plan *plan, struct error *err)
{
    switch (f->rule) {
    case START_EARLIEST:
        *plan = plan_earliest(f);
        return NEAP_OK;
    case START_COMMITTED:
        *plan = plan_committed(f);
        return NEAP_OK;
    case START_SINK:
        *plan = plan_from(f->start, ledger);
        plan->settle = true;
        plan->letters_until = f->end;
        plan->notice = "goes on at the first event that is kept, as `start` says";
        return NEAP_OK;
    case START_DEFAULT:
        break;
    }
    return error_set(err, NEAP_CONFLICT,
                     "%s events up to offset %" PRIu64 ", but what the log keeps begins at offset %" PRIu64
                     ": those between are gone. Was the output put back to an older state, or were events deleted? Set "
                     "`start: earliest` to go on at offset %" PRIu64 ", or `start: committed` at the log's own commit "
                     "point, offset %" PRIu64,
                     who, point.n, f->start.n, f->start.n, later_of(f->commit_point, f->start).n);
}

/* A sink that was put back to an older state: the log still holds all that it has forgotten. */
static struct start_plan decide_row_behind(const struct start_facts *f)
{
    if (f->rule == START_EARLIEST)
        return plan_earliest(f);
    if (f->rule == START_COMMITTED)
        return plan_committed(f);
    struct start_plan plan = plan_from(f->row.commit_point, START_LEDGER_ROW);
    plan.settle = true;
    plan.letters_until = f->commit_point;
    plan.notice = "the sink is behind the log's notes: what it has forgotten is delivered again";
    return plan;
}

/* Even where the numbers agree: they may count different events, or rows that lie elsewhere. */
static struct start_plan decide_foreign(const struct start_facts *f)
{
    must(f->rule != START_DEFAULT); /* the sink has said that it is in conflict */
    if (f->rule == START_COMMITTED && f->commit_found)
        return plan_committed(f);
    if (f->rule != START_SINK)
        return plan_earliest(f);
    struct start_plan plan = plan_from(later_of(f->row.commit_point, f->start), START_LEDGER_ROW);
    plan.settle = true;
    plan.notice = "goes on where the sink is, as `start` says";
    return plan;
}

/* The notes were moved by hand, and the sink was not asked. */
static enum neap_status decide_moved(const struct start_facts *f, struct start_plan *plan, struct error *err)
{
    switch (f->rule) {
    case START_EARLIEST:
        *plan = plan_earliest(f);
        return NEAP_OK;
    case START_COMMITTED:
        *plan = plan_committed(f);
        return NEAP_OK;
    case START_SINK:
        *plan = plan_from(later_of(f->row.commit_point, f->start), START_LEDGER_ROW);
        plan->settle = true;
        plan->letters_until = f->end; /* the move has let go of what was known to be dead */
        plan->notice = "goes on where the sink is, as `start` says, and not where it was moved to";
        return NEAP_OK;
    case START_DEFAULT:
        break;
    }
    return error_set(err, NEAP_CONFLICT,
                     "it was moved from offset %" PRIu64 " to offset %" PRIu64 ", but the sink has events up to offset "
                     "%" PRIu64 " (the log ends at %" PRIu64 "). Set `start: committed` to go on at offset %" PRIu64
                     ", or `start: sink` to go on at offset %" PRIu64,
                     f->moved_from.n, f->commit_point.n, f->row.commit_point.n, f->end.n, f->commit_point.n,
                     f->row.commit_point.n);
}

static enum neap_status decide_row(const struct start_facts *f, struct start_plan *plan, struct error *err)
{
    bool behind = f->commit_found && f->row.commit_point.n < f->commit_point.n;
    if (f->moved && f->commit_found && f->row.commit_point.n != f->commit_point.n && f->row.commit_point.n <= f->end.n)
        return decide_moved(f, plan, err);
    if (f->row_foreign && f->row.commit_point.n <= f->end.n && !(behind && f->rule == START_SINK)) {
        *plan = decide_foreign(f);
        return NEAP_OK;
    }
    if (f->row.commit_point.n > f->end.n)
        return decide_beyond_end(f, plan, err);
    if (f->row.commit_point.n < f->start.n)
        return decide_below_start(f, "the sink has", f->row.commit_point, START_LEDGER_ROW, plan, err);
    if (behind) {
        *plan = decide_row_behind(f);
        return NEAP_OK;
    }
    *plan =
        plan_from(f->row.commit_point, START_LEDGER_ROW); /* at the notes, or ahead of them: a crash between the two */
    return NEAP_OK;
}

enum neap_status start_decide(const struct start_facts *facts, struct start_plan *ret_plan, struct error *err)
{
    const struct start_facts *f = facts;
    if (f->commit_found && f->commit_point.n > f->end.n)
        return error_set(err, NEAP_CORRUPT,
                         "the log has noted deliveries up to offset %" PRIu64 ", but ends at %" PRIu64,
                         f->commit_point.n, f->end.n);
    struct start_plan plan;
    enum neap_status status = NEAP_OK;
    if (f->own_offsets && f->row.found)
        status = decide_row(f, &plan, err);
    else if (f->own_offsets && f->commit_found && f->commit_point.n > 0)
        status = decide_row_gone(f, &plan, err);
    else if (!f->commit_found || f->own_offsets)
        status = decide_fresh(f, &plan, err);
    else if (f->commit_point.n < f->start.n)
        status = decide_below_start(f, "the pipeline has processed", f->commit_point, START_LEDGER_FACT, &plan, err);
    else
        plan = plan_from(f->commit_point, START_LEDGER_FACT);
    if (status == NEAP_OK && f->moved && !f->own_offsets && plan.notice == NULL)
        plan.notice = "goes on where it was moved to";
    if (status != NEAP_OK)
        return status;
    must(plan.letters_until.n >= plan.from.n || plan.from.n > f->end.n);
    *ret_plan = plan;
    return NEAP_OK;
}
