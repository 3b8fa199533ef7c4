#include "flow/way.h"
#include "base/dues.h"
#include "base/must.h"
#include "base/rooms.h"
#include "flow/lanes.h"
#include <stdlib.h>

#define WAY_MAGIC    0x57415920u
#define HASH_SEED    0x77617973u
#define ROOM_PAUSE   (2 * NS_PER_MS)   /* what comes off the desk elsewhere makes room without a word */
#define ROOM_RELEASE (100 * NS_PER_MS) /* then its call is made once more */
#define PAUSE_OTHER  (20 * NS_PER_MS)  /* a stage cannot say when, and nothing of it is at work that would */

/* Of each slot, beside what the window has of it. */
struct step {
    struct waiting_work work;
    struct retry retry;
    struct failure failure;
    uint32_t attempt; /* from 1: as it was when it last had its turn */
    enum stage_outcome outcome;
    bool at_work, has_ended;
    bool for_room; /* it rests until there is some */
    bool counted;  /* in the figures of the chain before its stage */
};

struct way {
    uint32_t magic;
    struct way_options o;
    struct window *window;
    struct lanes *lanes;
    struct dues *resting;
    struct step *steps;
    uint32_t *ended; /* slots, a ring: in the order in which they ended */
    uint64_t ended_from, taken_to, ended_to;
    uint32_t partition, at_work;
    size_t typical;  /* size of what events become, on the large side */
    uint64_t unique; /* for those that are alone in their lanes */
    bool cancelled;
};

size_t way_memory_size(const struct way_options *o)
{
    uint32_t count = o->window.slot_count;
    return sizeof(struct way) + window_memory_size(&o->window) + lanes_size(count, o->stage_count) +
           dues_memory_size(count) + count * (sizeof(struct step) + sizeof(uint32_t));
}

enum neap_status way_new(const struct way_options *options, struct way **ret_way)
{
    must(options->stage_count > 0 && options->stage_count <= LANES_STAGE_COUNT_MAX);
    struct way *y = calloc(1, sizeof(*y));
    if (y == NULL)
        return NEAP_NOMEM;
    y->magic = WAY_MAGIC;
    y->o = *options;
    y->window = window_new(&options->window);
    y->lanes = lanes_new(options->window.slot_count, options->stage_count);
    y->resting = dues_new(options->window.slot_count);
    y->steps = calloc(options->window.slot_count, sizeof(y->steps[0]));
    y->ended = calloc(options->window.slot_count, sizeof(y->ended[0]));
    if (y->window == NULL || y->lanes == NULL || y->resting == NULL || y->steps == NULL || y->ended == NULL) {
        way_free(&y);
        return NEAP_NOMEM;
    }
    *ret_way = y;
    return NEAP_OK;
}

void way_free(struct way **way)
{
    struct way *y = *way;
    if (y == NULL)
        return;
    CHECK_MAGIC(y, WAY_MAGIC);
    must(y->at_work == 0);
    window_free(&y->window);
    lanes_free(&y->lanes);
    dues_free(&y->resting);
    free(y->steps);
    free(y->ended);
    y->magic = 0;
    free(y);
    *way = NULL;
}

void way_begin(struct way *y, uint32_t partition, log_offset from)
{
    CHECK_MAGIC(y, WAY_MAGIC);
    must(y->at_work == 0);
    window_clear(y->window, from);
    lanes_clear(y->lanes);
    dues_clear(y->resting);
    y->ended_from = y->taken_to = y->ended_to = 0;
    y->partition = partition;
    y->cancelled = false;
}

/* ---- ends ----------------------------------------------------------------------------------------------------------------- */

/* The words of the first failure and of the last one stay with the event. */
static void note_failure(struct way *y, uint32_t slot, const struct failure *failure)
{
    struct step *s = &y->steps[slot];
    bool first = s->failure.reason == NULL;
    s->failure = *failure;
    s->failure.message = (struct bytes){ 0 };
    if (first)
        window_note(y->window, slot, 0, failure->message);
    window_note(y->window, slot, 1, failure->message);
}

/* It stands in no lane any more. */
static void end(struct way *y, uint32_t slot, enum stage_outcome outcome)
{
    must(y->ended_to - y->ended_from < y->o.window.slot_count);
    y->steps[slot].outcome = outcome;
    y->steps[slot].has_ended = true;
    y->ended[y->ended_to++ % y->o.window.slot_count] = slot;
}

static void end_here(struct way *y, uint32_t slot, enum stage_outcome outcome)
{
    lanes_done(y->lanes, slot);
    end(y, slot, outcome);
}

static void go_on(struct way *y, uint32_t slot)
{
    struct window_event *e = window_at(y->window, slot);
    struct step *s = &y->steps[slot];
    lanes_done(y->lanes, slot);
    s->retry = (struct retry){ 0 };
    s->failure = (struct failure){ .reason = NULL };
    s->attempt = 1;
    s->counted = false;
    if (++e->stage == y->o.stage_count)
        end(y, slot, STAGE_PASS);
    else
        lanes_put(y->lanes, e->stage, slot, e->hash);
}

static void rest(struct way *y, uint32_t slot, mono_time until)
{
    lanes_rest(y->lanes, slot);
    dues_add(y->resting, slot, until.ns, window_at(y->window, slot)->record.offset);
}

static void rest_for_room(struct way *y, uint32_t slot, mono_time until)
{
    y->steps[slot].for_room = true;
    rest(y, slot, until);
}

static void wake(struct way *y, uint32_t slot)
{
    y->steps[slot].for_room = false;
    dues_remove(y->resting, slot);
    lanes_again(y->lanes, slot);
}

/* ---- an event, as its stage sees it ------------------------------------------------------------------------------------- */

static struct event event_of(const struct way *y, uint32_t slot)
{
    const struct window_event *e = window_at(y->window, slot);
    return (struct event){ .json = e->json,
                           .key = e->record.key,
                           .id = e->id,
                           .headers = e->record.headers,
                           .header_count = e->record.header_count,
                           .time_ms = e->record.time_ms,
                           .topic = y->o.topic,
                           .partition = y->partition,
                           .attempt = y->steps[slot].attempt,
                           .offset = { e->record.offset } };
}

struct look {
    struct way *way;
    uint32_t slot;
    mono_time now;
    bool answered;  /* its work was delivered, and changes it now */
    bool passes_by; /* its stage, which is not asked */
    bool refused;   /* by its stage: the failure is noted */
    bool no_room;   /* for what it has become */
};

static bool keeps_bytes(const struct way *y, uint32_t stage)
{
    return chain_stage_count(y->o.chains[stage]) == 0 && y->o.stages[stage]->condition == NULL;
}

static void look_through(struct look *l, chain_done *done)
{
    struct way *y = l->way;
    struct event event = event_of(y, l->slot);
    arena_reset(y->o.arena);
    (void)chain_run(y->o.chains[window_at(y->window, l->slot)->stage], &event, 1, y->o.arena, done, l);
}

/* As it stands after its stage it is kept. False: there is no room now. */
static bool keep_json(struct look *l, struct event *event, struct failure *failure)
{
    struct way *y = l->way;
    struct bytes json;
    *failure = (struct failure){ .reason = NULL };
    if (event_json(event, y->o.arena, &json) != NEAP_OK) {
        *failure = (struct failure){ .reason = "too_large", .message = BYTES("it became larger than an event may be") };
        return true;
    }
    if (json.at == window_at(y->window, l->slot)->json.at)
        return true;
    y->typical = json.size > y->typical ? json.size : y->typical - (y->typical - json.size) / 16;
    bool is_first = window_first_slot(y->window) == l->slot;
    if (window_set_json(y->window, l->slot, json) == NEAP_OK)
        return true;
    if (is_first) /* nobody will make more room than there is */
        *failure = (struct failure){ .reason = "too_large", .message = BYTES("there is no room for what it became") };
    return is_first;
}

static void fail_here(struct way *y, uint32_t slot, const struct failure *failure)
{
    struct failure said = *failure;
    if (said.stage == NULL)
        said.stage = y->o.stages[window_at(y->window, slot)->stage]->name;
    note_failure(y, slot, &said);
    end_here(y, slot, STAGE_FAIL);
}

/* ---- after its work, or past it ------------------------------------------------------------------------------------------- */

static bool leaves(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                   const struct failure *failure)
{
    struct look *l = ctx;
    struct way *y = l->way;
    struct waiting *stage = y->o.stages[window_at(y->window, l->slot)->stage];
    struct failure said = { .reason = NULL };
    if (outcome == STAGE_FAIL)
        fail_here(y, l->slot, failure);
    else if (outcome == STAGE_DROP)
        end_here(y, l->slot, STAGE_DROP);
    if (outcome != STAGE_PASS)
        return false; /* never met: inline stages are pure, and have let it pass before */
    if (l->answered && stage->verbs->answer != NULL &&
        !stage->verbs->answer(stage, &y->steps[l->slot].work, event, y->o.arena, &said)) {
        if (!stage->continue_on_error) {
            fail_here(y, l->slot, &said);
            return false;
        }
        l->answered = false; /* as it came: once more, without the answer */
        return false;
    }
    l->no_room = !keep_json(l, event, &said);
    if (l->no_room)
        return false;
    if (said.reason != NULL)
        fail_here(y, l->slot, &said);
    else
        go_on(y, l->slot);
    return false; /* its chain has counted it already */
}

/* False: there is no room for what it has become; everything is as it was. */
static bool leave_stage(struct look *l)
{
    struct way *y = l->way;
    uint32_t stage = window_at(y->window, l->slot)->stage;
    bool answers = l->answered && y->o.stages[stage]->verbs->answer != NULL;
    if (!answers && chain_stage_count(y->o.chains[stage]) == 0) {
        go_on(y, l->slot);
        return true;
    }
    look_through(l, leaves);
    if (answers && !l->answered && !l->no_room)
        return leave_stage(l);
    return !l->no_room;
}

/* ---- attempts ---------------------------------------------------------------------------------------------------------------- */

/* It goes on as it came to its stage, or ends here; the failure is noted. */
static bool give_up(struct look *l)
{
    struct way *y = l->way;
    if (!y->o.stages[window_at(y->window, l->slot)->stage]->continue_on_error) {
        end_here(y, l->slot, STAGE_FAIL);
        return true;
    }
    l->answered = false;
    return leave_stage(l);
}

static void note_of_stage(struct way *y, uint32_t slot, const struct failure *failure)
{
    struct failure said = *failure;
    if (said.stage == NULL)
        said.stage = y->o.stages[window_at(y->window, slot)->stage]->name;
    note_failure(y, slot, &said);
}

/* False: there is no room for what it has become; nothing has changed. */
static bool ends_work(struct look *l, struct waiting *stage, const struct waiting_work *work)
{
    struct way *y = l->way;
    struct step *s = &y->steps[l->slot];
    if (work->outcome == OUTCOME_DELIVERED && work->drop) {
        end_here(y, l->slot, STAGE_DROP);
        return true;
    }
    if (work->outcome == OUTCOME_DELIVERED) {
        l->answered = true;
        return leave_stage(l);
    }
    struct retry before = s->retry;
    mono_time due;
    enum retry_step step =
        retry_ended(&s->retry, &stage->retry, work->outcome, work->retry_after_ns, l->now, io_random(y->o.io), &due);
    if (work->failure.reason != NULL)
        note_of_stage(y, l->slot, &work->failure);
    if (step == RETRY_AGAIN) {
        rest(y, l->slot, due);
        return true;
    }
    bool over = give_up(l);
    if (!over)
        s->retry = before;
    return over;
}

/* The one that all the others' room depends on is ready, and no stage begins it: those that it waits for may be the very ones
 * that have their answers and no room for them. */
static bool first_waits_for_a_place(const struct way *y)
{
    uint32_t first = window_first_slot(y->window);
    const struct step *s = &y->steps[first];
    return !s->at_work && !s->has_ended && !dues_has(y->resting, first);
}

static bool came_back(struct waiting_work *work)
{
    struct way *y = work->ctx;
    CHECK_MAGIC(y, WAY_MAGIC);
    struct step *s = &y->steps[work->slot];
    struct waiting *stage = y->o.stages[window_at(y->window, work->slot)->stage];
    must(s->at_work && y->at_work > 0 && stage->at_work > 0);
    struct look l = { .way = y, .slot = work->slot, .now = io_now(y->o.io) };
    if (!y->cancelled && !ends_work(&l, stage, work)) {
        if (!first_waits_for_a_place(y))
            return false;
        rest_for_room(y, work->slot, mono_after(l.now, ROOM_RELEASE));
    }
    s->at_work = false;
    y->at_work--;
    stage->at_work--;
    return true;
}

static void begin_work(struct look *l, struct event *event)
{
    struct way *y = l->way;
    struct step *s = &y->steps[l->slot];
    struct waiting *stage = y->o.stages[window_at(y->window, l->slot)->stage];
    struct failure failure = { .reason = NULL };
    mono_time not_before = MONO_NEVER;
    s->work = (struct waiting_work){
        .done = came_back, .ctx = y, .slot = l->slot, .deadline = mono_after(l->now, stage->timeout_ns)
    };
    switch (stage->verbs->begin(stage, &s->work, event, y->o.arena, &failure, &not_before)) {
    case WAITING_BEGUN:
        s->at_work = true;
        y->at_work++;
        stage->at_work++;
        break;
    case WAITING_REFUSED:
        s->retry.attempt_count++;
        note_of_stage(y, l->slot, &failure);
        l->refused = true;
        break;
    case WAITING_LATER:
        rest(y, l->slot, not_before.ns != MONO_NEVER.ns ? not_before : mono_after(l->now, PAUSE_OTHER));
        break;
    }
}

/* ---- its turn ---------------------------------------------------------------------------------------------------------------- */

/* `if`. False: it has failed, or passes the stage by; what becomes of it has been seen to. */
static bool is_asked(struct look *l, struct event *event)
{
    struct way *y = l->way;
    struct waiting *stage = y->o.stages[window_at(y->window, l->slot)->stage];
    struct failure failure = { .reason = NULL };
    struct value value;
    if (stage->condition == NULL)
        return true;
    bool said = expr_eval(stage->condition, event, y->o.arena, &value, &failure) == NEAP_OK;
    if (said && value_is_true(&value))
        return true;
    if (!said && !stage->continue_on_error)
        fail_here(y, l->slot, &failure);
    else
        l->passes_by = true;
    return false;
}

static bool has_its_turn(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                         const struct failure *failure)
{
    struct look *l = ctx;
    struct step *s = &l->way->steps[l->slot];
    bool counts = !s->counted;
    s->counted = true;
    if (outcome == STAGE_FAIL)
        fail_here(l->way, l->slot, failure);
    else if (outcome == STAGE_DROP)
        end_here(l->way, l->slot, STAGE_DROP);
    else if (is_asked(l, event))
        begin_work(l, event);
    return counts;
}

static void take_its_turn(struct way *y, uint32_t slot, mono_time now)
{
    uint32_t stage = window_at(y->window, slot)->stage;
    struct look l = { .way = y, .slot = slot, .now = now };
    bool left = true;
    y->steps[slot].attempt = y->steps[slot].retry.attempt_count + 1;
    if (keeps_bytes(y, stage) && y->o.stages[stage]->verbs->takes_bytes) {
        struct event event = event_of(y, slot);
        arena_reset(y->o.arena);
        begin_work(&l, &event);
    } else {
        look_through(&l, has_its_turn);
    }
    if (l.refused)
        left = give_up(&l);
    else if (l.passes_by)
        left = leave_stage(&l);
    if (!left) /* there is no room for what it has become: it has its turn once more */
        rest_for_room(y, slot, mono_after(now, ROOM_PAUSE));
}

/* What is at work will want room when it comes back. Who finds none holds a place in its stage meanwhile, and then there is none
 * for the first: better not to begin. */
static bool will_find_room(const struct way *y, uint32_t slot)
{
    return slot == window_first_slot(y->window) ||
           window_figures(y->window).left >= (y->at_work + 1) * (y->typical + ROOMS_UNIT);
}

uint32_t way_work(struct way *y, mono_time now)
{
    CHECK_MAGIC(y, WAY_MAGIC);
    uint32_t work = 0, slot, first = window_first_slot(y->window);
    if (y->cancelled)
        return 0;
    if (first != WINDOW_NONE && y->steps[first].for_room)
        wake(y, first); /* it has come to be the first, and there is always room for that one */
    for (; (slot = dues_first(y->resting)) != DUES_NONE && dues_at(y->resting, slot) <= now.ns; work++)
        wake(y, slot);
    for (uint32_t i = y->o.stage_count; i-- > 0;) { /* the last one first: what ends makes room */
        struct waiting *stage = y->o.stages[i];
        while (stage->at_work < stage->concurrency && (slot = lanes_take(y->lanes, i)) != LANES_NONE) {
            if (will_find_room(y, slot)) {
                take_its_turn(y, slot, now);
                work++;
            } else {
                rest_for_room(y, slot, mono_after(now, ROOM_PAUSE));
            }
        }
    }
    return work;
}

mono_time way_due(const struct way *y)
{
    uint32_t slot = dues_first(y->resting);
    return slot != DUES_NONE && !y->cancelled ? (mono_time){ dues_at(y->resting, slot) } : MONO_NEVER;
}

/* ---- the window's two ends -------------------------------------------------------------------------------------------------- */

static uint64_t lane_hash(struct way *y, const struct record *record)
{
    if (y->o.order == WAY_ORDER_PARTITION)
        return 0;
    if (y->o.order == WAY_ORDER_KEY && record->key.at != NULL)
        return bytes_hash(record->key, HASH_SEED);
    return ++y->unique * 0x9e3779b97f4a7c15u;
}

enum neap_status way_lay(struct way *y, const struct record *record, struct bytes id, const struct failure *fate)
{
    CHECK_MAGIC(y, WAY_MAGIC);
    uint32_t slot;
    enum neap_status status = window_add(y->window, record, id, &slot);
    if (status != NEAP_OK)
        return status;
    y->steps[slot] = (struct step){ .attempt = 1 };
    if (fate != NULL) {
        note_failure(y, slot, fate);
        end(y, slot, STAGE_FAIL);
        return NEAP_OK;
    }
    struct window_event *e = window_at(y->window, slot);
    e->hash = lane_hash(y, record);
    lanes_put(y->lanes, 0, slot, e->hash);
    return NEAP_OK;
}

void way_pass(struct way *y, log_offset to)
{
    window_pass(y->window, to);
}

bool way_next(struct way *y, struct way_end *ret_end)
{
    if (y->taken_to == y->ended_to)
        return false;
    uint32_t slot = y->ended[y->taken_to % y->o.window.slot_count];
    const struct window_event *e = window_at(y->window, slot);
    const struct step *s = &y->steps[slot];
    *ret_end = (struct way_end){ .slot = slot,
                                 .outcome = s->outcome,
                                 .event = event_of(y, slot),
                                 .record = &e->record,
                                 .failure = s->failure,
                                 .first_words = e->notes[0],
                                 .attempts = s->retry.attempt_count > 0 ? s->retry.attempt_count : 1 };
    ret_end->failure.message = e->notes[1];
    return true;
}

enum neap_status way_done(const struct way *y, bool taken_too, struct commit *ret)
{
    return window_done(y->window, taken_too, ret);
}

void way_take(struct way *y)
{
    must(y->taken_to < y->ended_to);
    window_end(y->window, y->ended[y->taken_to++ % y->o.window.slot_count]);
}

void way_settle(struct way *y, uint32_t slot)
{
    must(y->ended_from < y->taken_to);
    y->ended_from++;
    window_settle(y->window, slot);
}

log_offset way_point(const struct way *y)
{
    return window_point(y->window);
}

log_offset way_read_next(const struct way *y)
{
    return window_next(y->window);
}

bool way_is_empty(const struct way *y)
{
    return window_first_slot(y->window) == WINDOW_NONE;
}

bool way_works(const struct way *y)
{
    return y->at_work > 0;
}

void way_cancel(struct way *y)
{
    CHECK_MAGIC(y, WAY_MAGIC);
    if (y->cancelled)
        return;
    y->cancelled = true;
    for (uint32_t i = 0; i < y->o.window.slot_count && y->at_work > 0; i++) {
        struct waiting *stage = y->steps[i].at_work ? y->o.stages[window_at(y->window, i)->stage] : NULL;
        if (stage != NULL)
            stage->verbs->cancel(stage, &y->steps[i].work);
    }
}

struct way_figures way_figures(const struct way *y)
{
    struct window_figures w = window_figures(y->window);
    uint32_t ended = (uint32_t)(y->ended_to - y->taken_to);
    return (struct way_figures){ w.on_way - ended, ended, y->at_work, dues_count(y->resting) };
}
