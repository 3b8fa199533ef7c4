/* The window against a slow, obvious model: a list of events with their states, and all that they hold. */
#include "check.h"

#include "flow/window.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_COUNT  24u
#define ROOM        (8u << 10)
#define RESERVE     (1u << 10)
#define ROUND_COUNT 3u
#define LATER       200000u /* events in the model's list */

enum state { ON_WAY, ENDED, SETTLED };

struct one {
    uint64_t offset;
    uint32_t slot;
    enum state state;
    uint32_t round;
    bool apart;
    uint64_t gone;
    char value[400], json[1100], key[40], id[20], notes[2][200];
    uint8_t headers[80];
    size_t id_at;
};

struct model {
    struct one *list;
    uint32_t count, first; /* the first that is not settled */
    uint64_t next, gone;
};

static uint64_t seed = 11;

static void fill_text(char *to, size_t room)
{
    size_t size = chance_below(&seed, room);
    for (size_t i = 0; i < size; i++)
        to[i] = (char)('a' + chance_below(&seed, 26));
    to[size] = 0;
}

static struct bytes text(const char *s)
{
    return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static bool same(struct bytes a, const char *b)
{
    return a.size == strlen(b) && (a.size == 0 || memcmp(a.at, b, a.size) == 0);
}

/* W1: what each one holds is what it was given. */
static void assert_holds(struct window *w, const struct one *o)
{
    const struct window_event *e = window_at(w, o->slot);
    assert_int_equal(e->record.offset, o->offset);
    assert_true(same(e->record.value, o->value));
    assert_true(same(e->record.key, o->key));
    assert_memory_equal(e->record.headers.at, o->headers, sizeof o->headers);
    assert_true(same(e->id, o->id));
    assert_true(same(e->json, o->json));
    for (unsigned i = 0; i < 2; i++)
        assert_true(same(e->notes[i], o->notes[i]) || e->notes[i].size == 0); /* there was no room for it */
}

static void assert_done(const struct window *w, const struct model *m, uint32_t round)
{
    struct commit c;
    uint64_t gone, point = m->next, point_gone = m->gone, count = 0;
    commit_init(&c, (log_offset){ 0 }, SLOT_COUNT);
    assert_int_equal(window_done(w, round, &c, &gone), NEAP_OK);
    for (uint32_t i = m->first; i < m->count; i++) {
        const struct one *o = &m->list[i];
        bool open = o->state == ON_WAY || (o->state == ENDED && o->round > round);
        if (open && point == m->next) {
            point = o->offset;
            point_gone = o->gone;
        }
        bool in = !open && !o->apart && o->offset > point;
        assert_int_equal(commit_has(&c, (log_offset){ o->offset }), in || o->offset < point);
        count += in;
    }
    assert_int_equal(c.point.n, point);
    assert_int_equal(c.count, count);
    assert_int_equal(gone, point_gone);
    commit_fini(&c);
}

static void assert_same(struct window *w, const struct model *m)
{
    struct window_figures f = window_figures(w);
    uint32_t on_way = 0, ended = 0;
    for (uint32_t i = m->first; i < m->count; i++) {
        on_way += m->list[i].state == ON_WAY;
        ended += m->list[i].state == ENDED;
        if (m->list[i].state != SETTLED)
            assert_holds(w, &m->list[i]);
    }
    assert_int_equal(f.on_way, on_way);
    assert_int_equal(f.ended, ended);
    assert_int_equal(window_next(w).n, m->next);
    assert_int_equal(window_point(w).n, m->first < m->count ? m->list[m->first].offset : m->next); /* W2 */
    assert_int_equal(window_first_slot(w), m->first < m->count ? m->list[m->first].slot : WINDOW_NONE);
    for (uint32_t round = 0; round <= ROUND_COUNT; round++)
        assert_done(w, m, round);
}

static void add(struct window *w, struct model *m)
{
    struct one *o = &m->list[m->count];
    *o = (struct one){ .offset = m->next + (chance_below(&seed, 8) == 0 ? chance_below(&seed, 50) : 0) };
    fill_text(o->value, sizeof o->value);
    fill_text(o->key, sizeof o->key);
    fill_text((char *)o->headers, sizeof o->headers);
    strcpy(o->json, o->value);
    o->id_at = chance_below(&seed, sizeof o->headers - sizeof o->id);
    memcpy(o->id, o->headers + o->id_at, sizeof o->id - 1);
    struct record record = {
        .offset = o->offset, .key = text(o->key), .value = text(o->value), .headers = { o->headers, sizeof o->headers }
    };
    struct bytes id = { o->headers + o->id_at, strlen(o->id) };
    size_t left = window_figures(w).left;
    enum neap_status status = window_add(w, &record, id, &o->slot);
    if (status == NEAP_OK) {
        m->count++;
        m->next = o->offset + 1;
        o->gone = m->gone;
        return;
    }
    assert_int_equal(status, NEAP_AGAIN);
    assert_true(m->count - m->first == SLOT_COUNT || left < ROOM / 2 + 1024); /* it is full where it says so */
}

static struct one *any(struct model *m, enum state state)
{
    if (m->first == m->count)
        return NULL;
    uint32_t count = m->count - m->first, from = (uint32_t)chance_below(&seed, count);
    for (uint32_t i = 0; i < count; i++)
        if (m->list[m->first + (from + i) % count].state == state)
            return &m->list[m->first + (from + i) % count];
    return NULL;
}

static void set_json(struct window *w, struct model *m)
{
    struct one *o = any(m, ON_WAY);
    char json[1100];
    if (o == NULL)
        return;
    fill_text(json, RESERVE);
    if (json[0] == 0)
        return;
    enum neap_status status = window_set_json(w, o->slot, text(json));
    if (status == NEAP_OK)
        strcpy(o->json, json);
    else
        assert_true(status == NEAP_AGAIN);
}

static void note(struct window *w, struct model *m)
{
    struct one *o = any(m, chance_below(&seed, 2) == 0 ? ON_WAY : ENDED);
    unsigned which = (unsigned)chance_below(&seed, 2);
    if (o == NULL)
        return;
    fill_text(o->notes[which], sizeof o->notes[which]);
    size_t left = window_figures(w).left;
    window_note(w, o->slot, which, text(o->notes[which]));
    assert_true(window_at(w, o->slot)->notes[which].size > 0 || o->notes[which][0] == 0 || left < 2048);
}

static void settle(struct window *w, struct model *m)
{
    struct one *o = any(m, ENDED);
    if (o == NULL)
        return;
    window_settle(w, o->slot);
    o->state = SETTLED;
    while (m->first < m->count && m->list[m->first].state == SETTLED)
        m->first++;
}

static void step(struct window *w, struct model *m)
{
    struct one *o;
    switch (chance_below(&seed, 10)) {
    case 9:
        note(w, m);
        break;
    case 0:
    case 1:
    case 2:
        add(w, m);
        break;
    case 3:
    case 4:
        set_json(w, m);
        break;
    case 5:
    case 6:
        o = any(m, ON_WAY);
        if (o != NULL) {
            o->round = 1 + (uint32_t)chance_below(&seed, ROUND_COUNT);
            o->apart = chance_below(&seed, 4) == 0;
            window_end(w, o->slot, o->round);
            if (o->apart)
                window_set_apart(w, o->slot);
            o->state = ENDED;
        }
        break;
    case 7:
        settle(w, m);
        break;
    case 8:
        if (chance_below(&seed, 10) == 0) {
            uint64_t passed = chance_below(&seed, 5), gone = chance_below(&seed, passed + 1);
            m->next += passed;
            m->gone += gone;
            window_pass(w, (log_offset){ m->next }, gone);
        }
        break;
    }
}

static void behaves_as_the_model(void **state)
{
    struct window *w = window_new(&(struct window_options){ SLOT_COUNT, ROOM, RESERVE });
    struct model m = { .list = malloc(LATER * sizeof(struct one)) };
    assert_non_null(w);
    for (uint32_t round = 0; round < 20; round++) {
        m.next = chance_below(&seed, 1000);
        m.count = m.first = 0;
        m.gone = 0;
        window_clear(w, (log_offset){ m.next });
        assert_same(w, &m);
        for (uint32_t i = 0; i < 3000; i++) {
            step(w, &m);
            assert_same(w, &m);
        }
    }
    window_clear(w, (log_offset){ 0 });
    assert_int_equal(window_figures(w).left, ROOM); /* whatever was on its way */
    free(m.list);
    window_free(&w);
    assert_null(w);
}

/* W3: the window is full of others' events and answers, and still the first one gets its answer. Whoever is first may end,
 * so each is first at some time, and all of them end. */
static void the_first_always_finds_room(void **state)
{
    struct window *w = window_new(&(struct window_options){ 4096, ROOM, RESERVE });
    char value[300], json[RESERVE];
    memset(value, 'v', sizeof value);
    memset(json, 'j', sizeof json);
    window_clear(w, (log_offset){ 0 });
    struct record record = { .value = { (const uint8_t *)value, sizeof value } };
    uint32_t slot, count = 0;
    while (window_add(w, &record, (struct bytes){ 0 }, &slot) == NEAP_OK) {
        (void)window_set_json(w, slot, (struct bytes){ (const uint8_t *)json, 200 });
        record.offset++;
        count++;
    }
    assert_true(count > 4);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = window_first_slot(w);
        assert_int_equal(window_set_json(w, first, (struct bytes){ (const uint8_t *)json, sizeof json }), NEAP_OK);
        window_end(w, first, 1);
        window_settle(w, first);
    }
    assert_int_equal(window_point(w).n, count);
    assert_int_equal(window_figures(w).left, ROOM);
    window_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_as_the_model),
        cmocka_unit_test(the_first_always_finds_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
