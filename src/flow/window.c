#include "flow/window.h"
#include "base/must.h"
#include "base/rooms.h"
#include <stdlib.h>

#define WINDOW_MAGIC 0x57494e44u

enum state { SETTLED, ON_WAY, ENDED };
enum json_place { IN_RECORD, IN_ROOM, IN_RESERVE };

struct slot {
    struct window_event event;
    uint8_t *room; /* the record's bytes; NULL: it has none */
    size_t room_size;
    enum json_place json;
    enum state state;
    uint32_t round; /* in which it ended */
    bool apart;
    uint64_t gone; /* of the window, as it was added */
};

struct window {
    uint32_t magic;
    struct window_options o;
    struct rooms *rooms;
    uint8_t *reserve;    /* for an answer of who comes first, and has found no room */
    uint64_t first, end; /* events counted from the first ever; in slot number % slot_count */
    log_offset next;
    uint64_t gone; /* offsets passed that are nobody's */
    uint32_t on_way, ended;
    struct slot *slots;
};

static size_t rooms_size(const struct window_options *o)
{
    return (o->size + ROOMS_UNIT - 1) / ROOMS_UNIT * ROOMS_UNIT;
}

size_t window_memory_size(const struct window_options *options)
{
    return sizeof(struct window) + options->slot_count * sizeof(struct slot) + options->reserve +
           rooms_memory_size(rooms_size(options));
}

struct window *window_new(const struct window_options *options)
{
    must(options->slot_count > 0 && options->slot_count < WINDOW_NONE && options->reserve > 0);
    struct window *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->magic = WINDOW_MAGIC;
    w->o = *options;
    w->rooms = rooms_new(rooms_size(options));
    w->reserve = malloc(options->reserve);
    w->slots = calloc(options->slot_count, sizeof(w->slots[0]));
    if (w->rooms == NULL || w->reserve == NULL || w->slots == NULL)
        window_free(&w);
    return w;
}

void window_free(struct window **window)
{
    struct window *w = *window;
    if (w == NULL)
        return;
    CHECK_MAGIC(w, WINDOW_MAGIC);
    rooms_free(&w->rooms);
    free(w->reserve);
    free(w->slots);
    w->magic = 0;
    free(w);
    *window = NULL;
}

/* ---- slots --------------------------------------------------------------------------------------------------------------- */

static struct slot *slot_of(const struct window *w, uint64_t number)
{
    return &w->slots[number % w->o.slot_count];
}

static struct slot *slot_at(const struct window *w, uint32_t slot)
{
    CHECK_MAGIC(w, WINDOW_MAGIC);
    must(slot < w->o.slot_count && w->slots[slot].state != SETTLED);
    return &w->slots[slot];
}

static void give_back_json(struct window *w, struct slot *s)
{
    if (s->json == IN_ROOM)
        rooms_give(w->rooms, (void *)(uintptr_t)s->event.json.at, s->event.json.size);
    s->json = IN_RECORD;
}

static void give_back_note(struct window *w, struct slot *s, unsigned which)
{
    struct bytes *note = &s->event.notes[which];
    if (note->size > 0)
        rooms_give(w->rooms, (void *)(uintptr_t)note->at, note->size);
    *note = (struct bytes){ 0 };
}

static void give_back(struct window *w, struct slot *s)
{
    give_back_json(w, s);
    give_back_note(w, s, 0);
    give_back_note(w, s, 1);
    if (s->room != NULL)
        rooms_give(w->rooms, s->room, s->room_size);
    s->room = NULL;
    s->event.record.key = s->event.record.value = s->event.record.headers = s->event.id = s->event.json =
        (struct bytes){ 0 };
}

void window_clear(struct window *w, log_offset from)
{
    CHECK_MAGIC(w, WINDOW_MAGIC);
    for (uint64_t n = w->first; n < w->end; n++) {
        give_back(w, slot_of(w, n));
        slot_of(w, n)->state = SETTLED;
    }
    w->first = w->end;
    w->on_way = w->ended = 0;
    w->gone = 0;
    w->next = from;
}

/* ---- what they hold ------------------------------------------------------------------------------------------------------ */

static struct bytes copy_bytes(struct bytes bytes, uint8_t **at)
{
    if (bytes.at == NULL)
        return bytes;
    struct bytes copy = { *at, bytes.size };
    if (bytes.size > 0)
        memcpy(*at, bytes.at, bytes.size);
    *at += bytes.size;
    return copy;
}

static void copy_record(struct slot *s, const struct record *record, struct bytes id)
{
    uint8_t *at = s->room;
    struct record *r = &s->event.record;
    *r = *record;
    r->key = copy_bytes(record->key, &at);
    r->value = copy_bytes(record->value, &at);
    r->headers = copy_bytes(record->headers, &at);
    s->event.json = r->value;
    if (id.at == NULL)
        return;
    must(id.at >= record->headers.at && id.at + id.size <= record->headers.at + record->headers.size);
    s->event.id = (struct bytes){ r->headers.at + (id.at - record->headers.at), id.size };
}

enum neap_status window_add(struct window *w, const struct record *record, struct bytes id, uint32_t *ret_slot)
{
    CHECK_MAGIC(w, WINDOW_MAGIC);
    must(record->offset >= w->next.n);
    if (w->end - w->first == w->o.slot_count)
        return NEAP_AGAIN;
    struct slot *s = slot_of(w, w->end);
    size_t size = record->key.size + record->value.size + record->headers.size;
    if (w->first < w->end && size + rooms_size(&w->o) / 2 > rooms_left(w->rooms))
        return NEAP_AGAIN;
    uint8_t *room = size > 0 ? rooms_take(w->rooms, size) : NULL;
    if (size > 0 && room == NULL)
        return NEAP_AGAIN;
    *s = (struct slot){ .room = room, .room_size = size, .state = ON_WAY, .gone = w->gone };
    copy_record(s, record, id);
    w->on_way++;
    *ret_slot = (uint32_t)(w->end++ % w->o.slot_count);
    w->next.n = record->offset + 1;
    return NEAP_OK;
}

struct window_event *window_at(struct window *w, uint32_t slot)
{
    return &slot_at(w, slot)->event;
}

enum neap_status window_set_json(struct window *w, uint32_t slot, struct bytes json)
{
    struct slot *s = slot_at(w, slot);
    must(json.size > 0);
    uint8_t *room = rooms_take(w->rooms, json.size);
    bool reserve = room == NULL && json.size <= w->o.reserve && slot == window_first_slot(w);
    if (room == NULL && !reserve)
        return NEAP_AGAIN;
    uint8_t *to =
        reserve ? w->reserve : room; /* only the first one's lies there, and it may be made of what is there */
    memmove(to, json.at, json.size);
    give_back_json(w, s);
    s->event.json = (struct bytes){ to, json.size };
    s->json = reserve ? IN_RESERVE : IN_ROOM;
    return NEAP_OK;
}

void window_note(struct window *w, uint32_t slot, unsigned which, struct bytes text)
{
    struct slot *s = slot_at(w, slot);
    must(which < COUNT_OF(s->event.notes));
    size_t size = text.size < WINDOW_NOTE_SIZE_MAX ? text.size : WINDOW_NOTE_SIZE_MAX;
    uint8_t *room = size > 0 ? rooms_take(w->rooms, size) : NULL;
    if (room != NULL)
        memcpy(room, text.at, size);
    give_back_note(w, s, which);
    if (room != NULL)
        s->event.notes[which] = (struct bytes){ room, size };
}

/* ---- the end of them ------------------------------------------------------------------------------------------------------ */

void window_end(struct window *w, uint32_t slot, uint32_t round)
{
    struct slot *s = slot_at(w, slot);
    must(s->state == ON_WAY && w->on_way > 0 && round > 0);
    s->state = ENDED;
    s->round = round;
    w->on_way--;
    w->ended++;
}

void window_set_apart(struct window *w, uint32_t slot)
{
    slot_at(w, slot)->apart = true;
}

void window_settle(struct window *w, uint32_t slot)
{
    struct slot *s = slot_at(w, slot);
    must(s->state == ENDED && w->ended > 0);
    give_back(w, s);
    s->state = SETTLED;
    w->ended--;
    while (w->first < w->end && slot_of(w, w->first)->state == SETTLED)
        w->first++;
}

uint32_t window_first_slot(const struct window *w)
{
    return w->first < w->end ? (uint32_t)(w->first % w->o.slot_count) : WINDOW_NONE;
}

log_offset window_point(const struct window *w)
{
    return w->first < w->end ? (log_offset){ slot_of(w, w->first)->event.record.offset } : w->next;
}

log_offset window_next(const struct window *w)
{
    return w->next;
}

void window_pass(struct window *w, log_offset to, uint64_t gone_count)
{
    must(to.n >= w->next.n && gone_count <= to.n - w->next.n);
    w->next = to;
    w->gone += gone_count;
}

struct window_figures window_figures(const struct window *w)
{
    return (struct window_figures){ w->on_way, w->ended, rooms_left(w->rooms) };
}

static bool will_be_settled(const struct slot *s, uint32_t round)
{
    return s->state == SETTLED || (s->state == ENDED && s->round <= round);
}

enum neap_status window_done(const struct window *w, uint32_t round, struct commit *ret, uint64_t *ret_gone)
{
    uint64_t n = w->first;
    enum neap_status status = NEAP_OK;
    while (n < w->end && will_be_settled(slot_of(w, n), round))
        n++;
    ret->run_count = 0;
    ret->count = 0;
    ret->point = n < w->end ? (log_offset){ slot_of(w, n)->event.record.offset } : w->next;
    *ret_gone = n < w->end ? slot_of(w, n)->gone : w->gone;
    for (; n < w->end && status == NEAP_OK; n++) {
        const struct slot *s = slot_of(w, n);
        if (will_be_settled(s, round) && !s->apart)
            status = commit_add(ret, (log_offset){ s->event.record.offset });
    }
    return status;
}
