/* An arena gives aligned memory within its limit and takes it all back at once. */
#include "check.h"

#include "base/arena.h"

static void pieces_stay_apart_and_aligned(void **state)
{
    (void)state;
    struct arena *arena = arena_new(256, 1 << 20);
    uint8_t *pieces[500];
    size_t sizes[500];
    uint64_t seed = 1;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 500; i++) {
            sizes[i] = chance_below(&seed, 10) == 0 ? chance_below(&seed, 1000) : chance_below(&seed, 60);
            pieces[i] = arena_take(arena, sizes[i]);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)(i & 0xff), sizes[i]);
        }
        for (size_t i = 0; i < 500; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_equal(pieces[i][k], i & 0xff);
        assert_true(arena_used(arena) > 0);
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
    }
    arena_free(&arena);
    assert_null(arena);
    arena_free(&arena);
}

static void limit_holds_and_changes_nothing(void **state)
{
    (void)state;
    struct arena *arena = arena_new(64, 200);
    size_t got = 0;
    while (arena_take(arena, 16) != NULL)
        got += 16;
    assert_true(got >= 192 && got <= 200);
    size_t used = arena_used(arena);
    assert_null(arena_take(arena, 16));
    assert_null(arena_take(arena, SIZE_MAX));
    assert_null(arena_take(arena, SIZE_MAX - 8));
    assert_int_equal(arena_used(arena), used);
    arena_reset(arena);
    assert_non_null(arena_take(arena, 100)); /* larger than a block: one of its own */
    assert_non_null(arena_take(arena, 30));
    assert_null(arena_take(arena, 101));
    arena_free(&arena);
}

static void texts_and_copies_end_in_nul(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024, 4096);
    struct bytes copy = arena_copy(arena, BYTES("abc"));
    assert_int_equal(copy.size, 3);
    assert_string_equal((const char *)copy.at, "abc");
    struct bytes empty = arena_copy(arena, (struct bytes){ NULL, 0 });
    assert_non_null(empty.at);
    assert_int_equal(empty.size, 0);
    assert_string_equal(arena_text(arena, "%s-%d", "x", 7), "x-7");
    uint8_t *zeros = arena_zero(arena, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    assert_null(arena_text(arena, "%5000d", 1));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_stay_apart_and_aligned),
        cmocka_unit_test(limit_holds_and_changes_nothing),
        cmocka_unit_test(texts_and_copies_end_in_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
