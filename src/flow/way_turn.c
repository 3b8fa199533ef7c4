/* way_turn.c - what happens to an event when its turn at a waiting stage has come, and when its work comes back. */
#include "flow/way_parts.h"

#define ROOM_RELEASE (100 * NS_PER_MS) /* then its call is made once more */
#define PAUSE_OTHER  (20 * NS_PER_MS)  /* a stage cannot say when, and nothing of it is at work that would */

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
    struct event event = way_event_of(y, l->slot);
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

static void note_of_stage(struct way *y, uint32_t slot, const struct failure *failure)
{
    struct failure said = *failure;
    if (said.stage == NULL)
        said.stage = y->o.stages[window_at(y->window, slot)->stage]->name;
    way_note_failure(y, slot, &said);
}

static void fail_here(struct way *y, uint32_t slot, const struct failure *failure)
{
    note_of_stage(y, slot, failure);
    way_end_here(y, slot, STAGE_FAIL);
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
        way_end_here(y, l->slot, STAGE_DROP);
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
        way_go_on(y, l->slot);
    return false; /* its chain has counted it already */
}

/* False: there is no room for what it has become; everything is as it was. */
static bool leave_stage(struct look *l)
{
    struct way *y = l->way;
    uint32_t stage = window_at(y->window, l->slot)->stage;
    bool answers = l->answered && y->o.stages[stage]->verbs->answer != NULL;
    if (!answers && chain_stage_count(y->o.chains[stage]) == 0) {
        way_go_on(y, l->slot);
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
        way_end_here(y, l->slot, STAGE_FAIL);
        return true;
    }
    l->answered = false;
    return leave_stage(l);
}

/* False: there is no room for what it has become; nothing has changed. */
static bool ends_work(struct look *l, struct waiting *stage, const struct waiting_work *work)
{
    struct way *y = l->way;
    struct way_step *s = &y->steps[l->slot];
    if (work->outcome == OUTCOME_DELIVERED && work->drop) {
        way_end_here(y, l->slot, STAGE_DROP);
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
        way_rest(y, l->slot, due);
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
    const struct way_step *s = &y->steps[first];
    return !s->at_work && !s->has_ended && !dues_has(y->resting, first);
}

static bool came_back(struct waiting_work *work)
{
    struct way *y = work->ctx;
    CHECK_MAGIC(y, WAY_MAGIC);
    struct way_step *s = &y->steps[work->slot];
    struct waiting *stage = y->o.stages[window_at(y->window, work->slot)->stage];
    must(s->at_work && y->at_work > 0 && stage->at_work > 0);
    struct look l = { .way = y, .slot = work->slot, .now = io_now(y->o.io) };
    if (!y->cancelled && !ends_work(&l, stage, work)) {
        if (!first_waits_for_a_place(y))
            return false;
        way_rest_for_room(y, work->slot, mono_after(l.now, ROOM_RELEASE));
    }
    s->at_work = false;
    y->at_work--;
    stage->at_work--;
    return true;
}

static void begin_work(struct look *l, struct event *event)
{
    struct way *y = l->way;
    struct way_step *s = &y->steps[l->slot];
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
        way_rest(y, l->slot, not_before.ns != MONO_NEVER.ns ? not_before : mono_after(l->now, PAUSE_OTHER));
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
    struct way_step *s = &l->way->steps[l->slot];
    bool counts = !s->counted;
    must(outcome != STAGE_MORE && outcome != STAGE_SPLIT); /* a stage that splits knows of those that wait behind it */
    s->counted = true;
    if (outcome == STAGE_FAIL) {
        fail_here(l->way, l->slot, failure);
    } else if (outcome == STAGE_DROP) {
        way_end_here(l->way, l->slot, STAGE_DROP);
    } else if (is_asked(l, event)) {
        begin_work(l, event);
    }
    return counts;
}

static bool has_expired(const struct way *y, uint32_t slot)
{
    wall_time at = y->steps[slot].expires;
    return at.ms != 0 && io_wall(y->o.io).ms >= at.ms;
}

void way_take_turn(struct way *y, uint32_t slot, mono_time now)
{
    uint32_t stage = window_at(y->window, slot)->stage;
    struct look l = { .way = y, .slot = slot, .now = now };
    bool left = true;
    y->steps[slot].attempt = y->steps[slot].retry.attempt_count + 1;
    if (has_expired(y, slot)) {
        struct failure expired = failure_of_expired();
        fail_here(y, slot, &expired);
        return;
    }
    if (keeps_bytes(y, stage) && y->o.stages[stage]->verbs->takes_bytes) {
        struct event event = way_event_of(y, slot);
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
        way_rest_for_room(y, slot, mono_after(now, WAY_ROOM_PAUSE));
}
