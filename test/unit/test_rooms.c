/* Rooms against a slow, obvious model: one owner for each unit. What lies in a room stays as it was written. */
#include "check.h"

#include "base/rooms.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define UNITS      1000u
#define ROOM_COUNT 200u

struct room {
    uint8_t *at; /* NULL: none */
    size_t size;
    uint8_t mark;
};

static size_t units_of(size_t size)
{
    return (size + ROOMS_UNIT - 1) / ROOMS_UNIT;
}

static void assert_marked(const struct room *room)
{
    for (size_t i = 0; i < room->size; i++)
        assert_int_equal(room->at[i], room->mark);
}

static void assert_apart(const struct room *rooms, const struct room *one)
{
    for (uint32_t i = 0; i < ROOM_COUNT; i++) {
        const struct room *other = &rooms[i];
        if (other->at == NULL || other == one)
            continue;
        assert_true(other->at + units_of(other->size) * ROOMS_UNIT <= one->at ||
                    one->at + units_of(one->size) * ROOMS_UNIT <= other->at);
    }
}

/* Any size, small ones more often. */
static size_t any_size(uint64_t *seed)
{
    return 1 + chance_below(seed, 1ull << (4 + chance_below(seed, 12)));
}

static void rooms_never_overlap_and_all_comes_back(void **state)
{
    uint64_t seed = 3;
    for (uint32_t round = 0; round < 40; round++) {
        static struct room held[ROOM_COUNT];
        size_t unit_count = 1 + chance_below(&seed, UNITS), left = unit_count;
        struct rooms *r = rooms_new(unit_count * ROOMS_UNIT);
        assert_non_null(r);
        memset(held, 0, sizeof held);
        for (uint32_t i = 0; i < 4000; i++) {
            struct room *room = &held[chance_below(&seed, ROOM_COUNT)];
            if (room->at != NULL) {
                assert_marked(room);
                rooms_give(r, room->at, room->size);
                left += units_of(room->size);
                room->at = NULL;
            } else {
                room->size = any_size(&seed);
                room->at = rooms_take(r, room->size);
                room->mark = (uint8_t)chance(&seed);
                if (room->at != NULL) {
                    assert_int_equal((uintptr_t)room->at % ROOMS_UNIT, 0);
                    memset(room->at, room->mark, room->size);
                    left -= units_of(room->size);
                    assert_apart(held, room);
                } else {
                    assert_true(units_of(room->size) > 1 || left == 0); /* one unit is always found */
                }
            }
            assert_int_equal(rooms_left(r), left * ROOMS_UNIT);
        }
        for (uint32_t i = 0; i < ROOM_COUNT; i++)
            if (held[i].at != NULL)
                rooms_give(r, held[i].at, held[i].size);
        void *all = rooms_take(r, unit_count * ROOMS_UNIT);
        assert_non_null(all);
        rooms_give(r, all, unit_count * ROOMS_UNIT);
        rooms_free(&r);
        assert_null(r);
    }
}

/* Of rooms that come and go for ever the block gets no worse: what fitted once beside so much fits again. */
static void it_does_not_fall_to_pieces(void **state)
{
    static void *held[4096];
    static size_t sizes[4096];
    uint64_t seed = 5, refused = 0;
    struct rooms *r = rooms_new(1u << 20);
    memset(held, 0, sizeof held);
    for (uint32_t i = 0; i < 1000000; i++) {
        uint32_t which = (uint32_t)chance_below(&seed, 4096);
        if (held[which] != NULL) {
            rooms_give(r, held[which], sizes[which]);
            held[which] = NULL;
        }
        sizes[which] = 100 + chance_below(&seed, 300);
        if (rooms_left(r) > 1u << 18) { /* three quarters may be taken */
            held[which] = rooms_take(r, sizes[which]);
            refused += held[which] == NULL;
        }
    }
    assert_int_equal(refused, 0);
    for (uint32_t i = 0; i < 4096; i++)
        if (held[i] != NULL)
            rooms_give(r, held[i], sizes[i]);
    assert_int_equal(rooms_left(r), 1u << 20);
    rooms_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rooms_never_overlap_and_all_comes_back),
        cmocka_unit_test(it_does_not_fall_to_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
