#include "base/rooms.h"
#include "flow/way_parts.h"
#include <stdlib.h>

#define HASH_SEED 0x77617973u

size_t way_memory_size(const struct way_options *o)
{
    uint32_t count = o->window.slot_count;
    return sizeof(struct way) + window_memory_size(&o->window) + lanes_size(count, o->stage_count) +
           dues_memory_size(count) + count * (sizeof(struct way_step) + sizeof(uint32_t));
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

void way_note_failure(struct way *y, uint32_t slot, const struct failure *failure)
{
    struct way_step *s = &y->steps[slot];
    bool first = s->failure.reason == NULL;
    s->failure = *failure;
    s->failure.message = (struct bytes){ 0 };
    s->last_failed = io_wall(y->o.io);
    if (first)
        s->first_failed = s->last_failed;
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

void way_end_here(struct way *y, uint32_t slot, enum stage_outcome outcome)
{
    lanes_done(y->lanes, slot);
    end(y, slot, outcome);
}

void way_go_on(struct way *y, uint32_t slot)
{
    struct window_event *e = window_at(y->window, slot);
    struct way_step *s = &y->steps[slot];
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

void way_rest(struct way *y, uint32_t slot, mono_time until)
{
    lanes_rest(y->lanes, slot);
    dues_add(y->resting, slot, until.ns, window_at(y->window, slot)->record.offset);
}

void way_rest_for_room(struct way *y, uint32_t slot, mono_time until)
{
    y->steps[slot].for_room = true;
    way_rest(y, slot, until);
}

static void wake(struct way *y, uint32_t slot)
{
    y->steps[slot].for_room = false;
    dues_remove(y->resting, slot);
    lanes_again(y->lanes, slot);
}

struct event way_event_of(const struct way *y, uint32_t slot)
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
                way_take_turn(y, slot, now);
                work++;
            } else {
                way_rest_for_room(y, slot, mono_after(now, WAY_ROOM_PAUSE));
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

enum neap_status way_lay(struct way *y, const struct record *record, struct bytes id, const struct way_fate *fate)
{
    CHECK_MAGIC(y, WAY_MAGIC);
    uint32_t slot;
    enum neap_status status = window_add(y->window, record, id, &slot);
    if (status != NEAP_OK)
        return status;
    y->steps[slot] = (struct way_step){ .attempt = 1 };
    y->laid_slot = slot;
    if (fate != NULL) {
        must(fate->outcome != STAGE_PASS);
        if (fate->outcome == STAGE_FAIL)
            way_note_failure(y, slot, &fate->failure);
        y->steps[slot].duplicate = fate->duplicate;
        end(y, slot, fate->outcome);
        return NEAP_OK;
    }
    struct window_event *e = window_at(y->window, slot);
    e->hash = lane_hash(y, record);
    lanes_put(y->lanes, 0, slot, e->hash);
    return NEAP_OK;
}

void way_let_expire(struct way *y, wall_time at)
{
    y->steps[y->laid_slot].expires = at;
}

void way_pass(struct way *y, log_offset to, uint64_t gone_count)
{
    window_pass(y->window, to, gone_count);
}

void way_look(struct way *y, uint32_t slot, struct way_end *ret_end)
{
    const struct window_event *e = window_at(y->window, slot);
    const struct way_step *s = &y->steps[slot];
    must(s->has_ended);
    *ret_end = (struct way_end){ .slot = slot,
                                 .duplicate = s->duplicate,
                                 .outcome = s->outcome,
                                 .event = way_event_of(y, slot),
                                 .record = &e->record,
                                 .failure = s->failure,
                                 .first_words = e->notes[0],
                                 .first_failed = s->first_failed,
                                 .last_failed = s->last_failed,
                                 .attempts = s->retry.attempt_count > 0 ? s->retry.attempt_count : 1 };
    ret_end->failure.message = e->notes[1];
}

bool way_next(struct way *y, struct way_end *ret_end)
{
    if (y->taken_to == y->ended_to)
        return false;
    way_look(y, y->ended[y->taken_to % y->o.window.slot_count], ret_end);
    return true;
}

enum neap_status way_done(const struct way *y, uint32_t round, struct commit *ret, uint64_t *ret_gone)
{
    return window_done(y->window, round, ret, ret_gone);
}

void way_take(struct way *y, uint32_t round)
{
    must(y->taken_to < y->ended_to);
    window_end(y->window, y->ended[y->taken_to++ % y->o.window.slot_count], round);
}

void way_set_apart(struct way *y, uint32_t slot)
{
    window_set_apart(y->window, slot);
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

bool way_first(const struct way *y, struct way_first *ret_first)
{
    uint32_t slot = window_first_slot(y->window);
    if (slot == WINDOW_NONE || y->steps[slot].has_ended)
        return false;
    const struct window_event *e = window_at(y->window, slot);
    *ret_first = (struct way_first){ .offset = { e->record.offset },
                                     .key = e->record.key,
                                     .words = e->notes[1],
                                     .stage = y->o.stages[e->stage]->name,
                                     .attempt = y->steps[slot].attempt };
    return true;
}

struct way_figures way_figures(const struct way *y)
{
    struct window_figures w = window_figures(y->window);
    uint32_t ended = (uint32_t)(y->ended_to - y->taken_to);
    return (struct way_figures){ w.on_way - ended, ended, y->at_work, dues_count(y->resting) };
}
