/* start.h - where a pipeline goes on: what the sink says, what the log's own notes say, and which of them is right.
 *
 * A decision and nothing else: facts in, a plan or a refusal out. For a sink with its own offsets its row is the truth;
 * elsewhere the log's notes are. Where the two disagree in a way that no crash of ours can bring about, the pipeline
 * stops with both numbers, and `start:` settles it:
 *
 *     earliest    from the first event that this log keeps: everything that did not become a dead letter is delivered
 *                 again
 *     sink        what the sink holds is right
 *     committed   what the log has noted is right
 *
 * A setting is applied once per disagreement: the plan then says `settle`, and the task writes the outcome to the sink
 * and to the log before it delivers anything, so that at the next start there is nothing to settle any more. Only where
 * the place lies beyond the log's end it stays unsettled, and the setting needed, until the log has come so far. */
#ifndef FLOW_START_H
#define FLOW_START_H

#include "flow/sink.h"

enum start_rule { START_DEFAULT, START_SINK, START_EARLIEST, START_COMMITTED };

struct start_facts {
    bool own_offsets;
    struct sink_row row, stranger; /* as the sink answered */
    bool row_foreign; /* written for another table, or by a start that the log does not know of: only with a rule */
    bool rows_there;
    bool commit_found; /* the log's notes */
    log_offset commit_point;
    log_offset begin;      /* where one that has committed nothing yet holds the partition from; 0: it does not */
    log_offset start, end; /* what the partition holds, durable: [start, end) */
    bool moved; /* the log's notes are where a person has put them, and no start has settled that (moved.h) */
    log_offset moved_from;
    enum start_rule rule;
};

enum start_ledger { START_LEDGER_ZERO, START_LEDGER_ROW, START_LEDGER_STRANGER, START_LEDGER_FACT };

struct start_plan {
    log_offset from;
    enum start_ledger ledger; /* which counters hold at `from` */
    bool settle;              /* write `from` to the sink and the log first */
    log_offset letters_until; /* dead letters of offsets from `from` up to here are looked for; `from`: none are */
    const char *notice;       /* what a person should know; NULL: all is as usual */
};

/* NEAP_CONFLICT: the text names both numbers and the settings that settle it. */
enum neap_status start_decide(const struct start_facts *facts, struct start_plan *ret_plan, struct error *err);

#endif
