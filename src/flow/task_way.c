/* task_way.c - a task whose pipeline has waiting stages: events go their way, and into a batch as they end.
 *
 *     records ─▶ way (way.h) ─▶ as they end ─▶ inline stages behind the last waiting one ─▶ batch ─▶ sink
 *                                  └ filtered, failed: these ride along
 *
 * Two places in the partition move apart: `laid_next`, up to where records are on their way, and the commit point, up to where
 * all is settled. What is settled in between is the done set, `settled`; dead letters among it are facts of their own, `done`.
 *
 * K1  A batch is a round of the way: what it holds becomes durable together, before or after all of any other batch.
 * K2  The sink is told point and set as they are when this batch and all before it have landed, and nothing else has.
 * K3  In point, set and ledger each event counts once: checked before every landing. */
#include "flow/redrive.h"
#include "flow/task_parts.h"

#define WATCH_AGAIN_NS (60 * NS_PER_S)

bool task_has_way(const struct task *t)
{
    return t->p->o.stage_count > 0;
}

static struct way *way_of(const struct task *t)
{
    return t->kit != NULL ? t->kit->way : NULL;
}

void task_way_begin(struct task *t, log_offset from)
{
    t->laid_next = from;
    t->laid_count = t->round = 0;
    t->start_before = t->start;
    t->way_due = t->watch.say_next = MONO_NEVER;
    if (way_of(t) != NULL)
        way_begin(way_of(t), t->source.partition, from);
}

void task_way_stop(struct task *t)
{
    if (way_of(t) != NULL)
        way_cancel(way_of(t));
}

bool task_way_works(const struct task *t)
{
    return way_of(t) != NULL && way_works(way_of(t));
}

bool task_way_is_empty(const struct task *t)
{
    return way_of(t) == NULL || (way_is_empty(way_of(t)) && way_read_next(way_of(t)).n == t->done.point.n);
}

/* Nothing is in it, and yet the point can move: all that came was settled before, or is gone. */
static bool only_moves_on(const struct task *t)
{
    return way_is_empty(way_of(t)) && way_read_next(way_of(t)).n > t->done.point.n && t->land_state == LAND_IDLE;
}

bool task_way_is_ready(const struct task *t, const struct task_batch *b)
{
    return task_has_way(t) && (b->taken_count > 0 || t->letter_count > 0 || only_moves_on(t));
}

/* ---- laying ---------------------------------------------------------------------------------------------------------- */

/* Of what lies between, some was settled in an earlier life; the rest is nobody's any more. */
static void pass_to(struct task *t, log_offset to)
{
    log_offset from = t->laid_next, start = task_say_deleted(t, from);
    if (start.n > to.n)
        to = start;
    uint64_t known = commit_within(&t->done, from, to) + commit_within(&t->settled, from, to);
    way_pass(way_of(t), to, to.n - from.n - known);
    t->laid_next = to;
}

static bool through_first(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                          const struct failure *failure)
{
    struct way_fate *fate = ctx;
    must(outcome != STAGE_MORE && outcome != STAGE_SPLIT);
    *fate = (struct way_fate){ .outcome = outcome, .duplicate = event->duplicate };
    if (outcome == STAGE_FAIL)
        fate->failure = *failure;
    return false; /* it is counted when its turn has come */
}

/* Ids are looked at in offset order, so before any event is at work (rule M1); asked again, they answer the same. */
static void look_at_id(struct task *t, const struct record *record, struct bytes id, struct way_fate *fate)
{
    struct event event = task_event_of(t, record, record->value, id);
    arena_reset(t->p->o.arena);
    (void)chain_run(t->p->o.chains[0], &event, 1, t->p->o.arena, through_first, fate);
    task_dedup_pass(t, record->offset);
}

static enum neap_status lay(struct task *t, const struct record *record)
{
    struct way_fate fate = { .outcome = STAGE_PASS };
    struct bytes id = task_id_of(record);
    if (record->offset < t->unreadable.until.n)
        fate = (struct way_fate){ .outcome = STAGE_FAIL, .failure = task_failure_of_unreadable(t) };
    else if (redrive_is_foreign(t->p->o.log, t->source, record, t->p->o.topic, t->p->o.name))
        fate.outcome = STAGE_DROP;
    else if (task_has_dedup(t))
        look_at_id(t, record, id, &fate);
    enum neap_status status = way_lay(way_of(t), record, id, fate.outcome != STAGE_PASS ? &fate : NULL);
    if (status == NEAP_OK && fate.outcome == STAGE_PASS && t->p->o.expires_ms > 0)
        way_let_expire(way_of(t), (wall_time){ t->appended_ms + t->p->o.expires_ms });
    return status;
}

/* Who is started often while one event does not come to its end adds to what is done beyond it, each time. When that might not fit
 * into a note any more, what comes first is waited for, as when the window is full. */
static bool is_too_scattered(const struct task *t)
{
    static_assert((2 * PIPELINE_SLOT_COUNT_MAX - 1) * 8 < LOG_VALUE_SIZE_MAX, "with a window's more, each of 8 bytes");
    return t->settled.run_count >= PIPELINE_SLOT_COUNT_MAX - 1;
}

/* An event that does not fit onto an empty way never will. Nothing of its own holds back the point until its letter is durable:
 * so nothing may be with the sink, as a batch that is handed over again would take the point past it (promise T2). */
static void bury_alone(struct task *t, struct task_batch *b, const struct record *record)
{
    struct failure failure = { .reason = "too_large",
                               .stage = "source",
                               .message = BYTES("it is larger than what may be on its way at one time") };
    enum taken taken = task_add_letter(t, b, record, &failure, NULL);
    if (taken == TAKEN) {
        t->laid_next.n++;
        way_pass(way_of(t), t->laid_next, 0);
    } else if (taken == BATCH_FULL) {
        task_close_batch(t, b);
    }
}

/* False: it does not go on the way now. */
static bool lay_record(struct task *t, struct task_batch *b, const struct record *record)
{
    log_offset offset = { record->offset };
    if (commit_has(&t->done, offset) || commit_has(&t->settled, offset)) { /* in an earlier life */
        t->laid_next.n++;
        way_pass(way_of(t), t->laid_next, 0);
        return true;
    }
    bool empty = way_is_empty(way_of(t)), has_room = task_dedup_has_room(t, record->offset);
    if (has_room && (empty || !is_too_scattered(t)) && lay(t, record) == NEAP_OK) {
        t->laid_next.n++;
        t->laid_count++;
        return true;
    }
    if (empty && has_room && t->land_state == LAND_IDLE)
        bury_alone(t, b, record);
    if (t->laid_next.n == offset.n) { /* it comes first next time */
        t->held = true;
        t->held_record = *record;
    }
    return false;
}

/* Others wait for a kit: what is on its way is seen to its end, and then it is theirs. */
static bool gives_way(const struct task *t)
{
    return t->p->kit_wanted_count > 0 && t->laid_count >= t->p->o.window.slot_count;
}

static uint32_t lay_records(struct task *t, struct task_batch *b)
{
    for (uint32_t count = 0; count < TASK_EVENTS_PER_TURN; count++) {
        struct record record;
        if (b->state != BATCH_OPEN || gives_way(t))
            return count;
        if (!task_next_record(t, t->laid_next, &record)) {
            log_offset end;
            uint32_t work;
            if (task_ends_in_gap(t, t->laid_next, &end, &work))
                pass_to(t, end);
            return count + work;
        }
        if (record.offset > t->laid_next.n)
            pass_to(t, (log_offset){ record.offset });
        if (record.offset == t->laid_next.n && !lay_record(t, b, &record))
            return count;
    }
    return TASK_EVENTS_PER_TURN;
}

/* ---- taking ------------------------------------------------------------------------------------------------------------ */

static enum taken take_end(struct task *t, struct task_batch *b, const struct way_end *end,
                           enum pipeline_taken_kind *ret_kind)
{
    struct task_history history = {
        .attempts = end->attempts, .first = end->first_failed, .last = end->last_failed, .first_words = end->first_words
    };
    uint32_t rows = b->row_count, letters = t->letter_count;
    enum taken taken = TAKEN;
    if (b->event_count == t->p->o.event_count_max)
        return BATCH_FULL;
    if (end->outcome == STAGE_FAIL) {
        taken = task_add_letter(t, b, end->record, &end->failure, &history);
    } else if (end->outcome == STAGE_DROP) {
        b->counts.filtered++;
        b->counts.duplicates += end->duplicate;
    } else {
        taken = task_run_record(t, b, end->record, end->event.json, end->event.id);
    }
    *ret_kind = b->row_count > rows ? TAKEN_ROW : t->letter_count > letters ? TAKEN_LETTER : TAKEN_FILTERED;
    return taken;
}

static uint32_t take_ends(struct task *t, struct task_batch *b)
{
    struct way_end end;
    uint32_t count = 0;
    for (; b->state == BATCH_OPEN && way_next(way_of(t), &end); count++) {
        enum pipeline_taken_kind kind;
        enum taken taken = take_end(t, b, &end, &kind);
        if (taken == BATCH_FULL)
            task_close_batch(t, b);
        if (taken != TAKEN)
            return count + 1;
        way_take(way_of(t), b->round); /* rule K1 */
        if (kind == TAKEN_LETTER)
            way_set_apart(way_of(t), end.slot);
        b->taken[b->taken_count++] = (struct pipeline_taken){ end.slot, kind };
        b->event_count++;
    }
    return count;
}

/* ---- the watchdog ------------------------------------------------------------------------------------------------------ */

static void copy_text(char *to, size_t size, struct bytes text)
{
    size_t count = text.size < size - 1 ? text.size : size - 1;
    if (count > 0)
        memcpy(to, text.at, count);
    to[count] = '\0';
}

static void say_held(struct task *t, const struct way_first *first, mono_time now)
{
    struct task_held *held = &t->watch.held;
    held->is = true;
    held->offset = first->offset;
    held->since = t->watch.since;
    held->attempt = first->attempt;
    copy_text(held->key, sizeof held->key, first->key);
    copy_text(held->stage, sizeof held->stage, bytes_of_text(first->stage));
    copy_text(held->error, sizeof held->error, first->words);
    t->watch.say_next = mono_after(now, WATCH_AGAIN_NS);
    logging_warn(t->p->o.logging,
                 "an event has been on its way for long, and what comes behind it is not committed before it",
                 LOGGING_TEXT("pipeline", t->p->o.name), LOGGING_UINT("partition", t->source.partition),
                 LOGGING_UINT("offset", first->offset.n), LOGGING_TEXT("key", held->key),
                 LOGGING_TEXT("stage", held->stage), LOGGING_UINT("attempt", first->attempt),
                 LOGGING_INT("age_ms", (now.ns - held->since.ns) / NS_PER_MS), LOGGING_TEXT("error", held->error));
    task_publish(t);
}

/* When to look again; MONO_NEVER: nothing is on its way. */
static mono_time watch(struct task *t, mono_time now)
{
    struct way_first first;
    bool is = way_first(way_of(t), &first);
    if (!is || first.offset.n != t->watch.offset.n || t->watch.say_next.ns == MONO_NEVER.ns) {
        bool was_held = t->watch.held.is;
        t->watch.held.is = false;
        t->watch.offset = is ? first.offset : (log_offset){ 0 };
        t->watch.since = now;
        t->watch.say_next = is ? mono_after(now, t->p->o.watch_ns) : MONO_NEVER;
        if (was_held)
            task_publish(t);
    } else if (now.ns >= t->watch.say_next.ns) {
        say_held(t, &first, now);
    }
    return t->watch.say_next;
}

uint32_t task_way_fill(struct task *t, struct task_batch *b, mono_time now)
{
    uint32_t work = take_ends(t, b);
    if (t->p->status == NEAP_OK && b->state == BATCH_OPEN)
        work += lay_records(t, b);
    if (t->p->status == NEAP_OK)
        work += way_work(way_of(t), now);
    t->way_due = mono_min(way_due(way_of(t)), watch(t, now));
    return work;
}

/* ---- landing ------------------------------------------------------------------------------------------------------------- */

enum neap_status task_way_look_ahead(struct task *t, const struct task_batch *b, struct sink_ledger *ret_ledger)
{
    uint64_t gone;
    enum neap_status status = way_done(way_of(t), b->round, &t->after, &gone); /* rule K2 */
    if (status == NEAP_OK)
        status = commit_join(&t->after, &t->settled);
    if (status != NEAP_OK)
        return status;
    uint64_t dead = commit_within(&t->done, t->done.point, t->after.point);
    uint64_t passed = t->after.point.n - t->done.point.n + t->after.count - t->settled.count;
    must(passed == b->counts.filtered + b->counts.delivered + dead + t->start_before + gone - t->start); /* rule K3 */
    *ret_ledger = t->ledger;
    ret_ledger->dead_lettered += dead;
    t->start_after = t->start_before + gone;
    return NEAP_OK;
}

void task_way_settle(struct task *t, struct task_batch *b)
{
    for (uint32_t i = 0; i < b->taken_count; i++)
        way_settle(way_of(t), b->taken[i].slot);
    t->start = t->start_after;
}

/* ---- what was refused ------------------------------------------------------------------------------------------------------ */

/* False: there is no room for more letters now, or the pipeline has stopped. */
static bool add_refused(struct task *t, struct task_batch *b)
{
    for (uint32_t i = 0; i < b->taken_count; i++) {
        struct pipeline_taken *one = &b->taken[i];
        struct way_end end;
        if (one->kind != TAKEN_ROW)
            continue;
        way_look(way_of(t), one->slot, &end);
        const struct sink_refused *refused = task_find_refused(t, end.record->offset);
        if (refused == NULL)
            continue;
        struct failure failure = task_failure_of_refused(t, refused);
        if (task_add_letter(t, b, end.record, &failure, NULL) != TAKEN)
            return false;
        one->kind = TAKEN_LETTER;
        way_set_apart(way_of(t), one->slot);
    }
    return true;
}

/* What was not refused goes in as it did before: inline stages are pure. */
static void add_rows_again(struct task *t, struct task_batch *b)
{
    b->rows = writer_of(t->kit->rows[!t->filling], t->p->o.sink->batch_size);
    b->row_count = 0;
    b->counts.delivered = b->counts.produced = 0;
    for (uint32_t i = 0; i < b->taken_count; i++) {
        struct way_end end;
        if (b->taken[i].kind != TAKEN_ROW)
            continue;
        way_look(way_of(t), b->taken[i].slot, &end);
        uint32_t rows = b->row_count;
        enum taken taken = task_run_record(t, b, end.record, end.event.json, end.event.id);
        must(t->p->status != NEAP_OK || (taken == TAKEN && b->row_count > rows));
    }
}

uint32_t task_way_bury(struct task *t, struct task_batch *b)
{
    if (t->letter_unit.state != UNIT_IDLE)
        return 0;
    struct task_batch *filling = &t->batches[t->filling];
    if (filling->state == BATCH_OPEN && t->letter_count > 0) {
        task_close_batch(t, filling); /* its letters come first */
        return 1;
    }
    bool all = add_refused(t, b);
    if (t->p->status != NEAP_OK)
        return 1;
    if (all) {
        add_rows_again(t, b);
        t->land_state = LAND_BURIED;
    }
    if (t->letter_count > 0)
        task_send_letters(t);
    return 1;
}
