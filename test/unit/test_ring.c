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
            if (chance_below(&seed, 2) == 0) {
                struct letter letter = letter_of(pushed);
                bool ok = ring_push(ring, &letter);
                assert_int_equal(ok, pushed - popped < room);
                pushed += ok;
            } else {
                struct letter letter;
                bool ok = ring_pop(ring, &letter);
                assert_int_equal(ok, pushed > popped);
                if (ok)
                    check_letter(&letter, popped++);
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
    for (uint64_t i = 0; i < LETTER_COUNT; i++) {
        struct letter letter = letter_of(i);
        while (!ring_push(ring, &letter))
            sched_yield();
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
        struct letter letter;
        if (ring_pop(ring, &letter))
            check_letter(&letter, i++);
        else
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
