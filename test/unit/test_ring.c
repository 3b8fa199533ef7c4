/* What one thread pushes another pops, whole and in order. */
#include "check.h"

#include "base/ring.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>

struct letter {
    uint64_t number;
    uint8_t body[24]; /* filled from the number, so that a torn or early one shows */
};

static struct letter letter_of(uint64_t number)
{
    struct letter letter = { .number = number };
    memset(letter.body, (int)(number * 31 & 0xff), sizeof letter.body);
    return letter;
}

static void check_letter(const struct letter *letter, uint64_t number)
{
    struct letter expected = letter_of(number);
    assert_memory_equal(letter, &expected, sizeof expected);
}

static void agrees_with_counting(void **state)
{
    (void)state;
    for (size_t count_max = 1; count_max <= 9; count_max++) {
        struct ring *ring = ring_new(sizeof(struct letter), count_max);
        size_t room = count_max <= 2 ? count_max : count_max <= 4 ? 4 : count_max <= 8 ? 8 : 16;
        uint64_t seed = count_max, pushed = 0, popped = 0;
        for (int step = 0; step < 2000; step++) {
            struct letter letters[10];
            size_t count = (size_t)chance_below(&seed, 3) == 0 ? (size_t)chance_below(&seed, 11) : 1;
            if (chance_below(&seed, 2) == 0) {
                for (size_t i = 0; i < count; i++)
                    letters[i] = letter_of(pushed + i);
                bool ok = count == 1 ? ring_push(ring, letters) : ring_push_many(ring, letters, count);
                assert_int_equal(ok, pushed - popped + count <= room); /* all of them, or none */
                pushed += ok ? count : 0;
            } else {
                size_t there = (size_t)(pushed - popped), expected = there < count ? there : count;
                size_t got = count == 1 ? ring_pop(ring, letters) : ring_pop_many(ring, letters, count);
                assert_int_equal(got, expected);
                for (size_t i = 0; i < got; i++)
                    check_letter(&letters[i], popped++);
            }
            assert_int_equal(ring_count(ring), pushed - popped);
        }
        ring_free(&ring);
        assert_null(ring);
        ring_free(&ring);
    }
}

#define LETTER_COUNT 200000u

static void *push_all(void *ctx)
{
    struct ring *ring = ctx;
    for (uint64_t i = 0; i < LETTER_COUNT;) {
        struct letter letters[8];
        size_t count = LETTER_COUNT - i < i % 9 ? 1 : i % 9;
        for (size_t n = 0; n < count; n++)
            letters[n] = letter_of(i + n);
        if (count == 0) {
            letters[0] = letter_of(i);
            while (!ring_push(ring, letters))
                sched_yield();
        }
        while (!ring_push_many(ring, letters, count))
            sched_yield();
        i += count == 0 ? 1 : count;
    }
    return NULL;
}

static void order_holds_between_two_threads(void **state)
{
    (void)state;
    struct ring *ring = ring_new(sizeof(struct letter), 64);
    pthread_t pusher;
    assert_int_equal(pthread_create(&pusher, NULL, push_all, ring), 0);
    for (uint64_t i = 0; i < LETTER_COUNT;) {
        struct letter letters[5];
        size_t count = i % 2 == 0 ? ring_pop(ring, letters) : ring_pop_many(ring, letters, COUNT_OF(letters));
        for (size_t n = 0; n < count; n++)
            check_letter(&letters[n], i++);
        if (count == 0)
            sched_yield();
    }
    pthread_join(pusher, NULL);
    assert_int_equal(ring_count(ring), 0);
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_counting),
        cmocka_unit_test(order_holds_between_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
