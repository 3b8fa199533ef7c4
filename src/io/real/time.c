/* time.c - clocks, chance and rest. */
#include "io/real/inside.h"
#include <limits.h>
#include <linux/futex.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

mono_time real_now(struct io *io)
{
    struct timespec t;
    int rc = clock_gettime(CLOCK_MONOTONIC, &t);
    must(rc == 0);
    return (mono_time){ t.tv_sec * NS_PER_S + t.tv_nsec };
}

wall_time real_wall(struct io *io)
{
    struct timespec t;
    int rc = clock_gettime(CLOCK_REALTIME, &t);
    must(rc == 0);
    return (wall_time){ t.tv_sec * 1000ll + t.tv_nsec / NS_PER_MS };
}

/* The kernel's own generator, a handful per call. Every number is used once and wiped, so that one read later from this
 * memory says nothing about those given before. */
uint64_t real_random(struct io *io)
{
    static _Thread_local uint64_t
        numbers[32]; /* 256 bytes: the most that getrandom() gives without being interrupted */
    static _Thread_local unsigned left_count;
    if (left_count == 0) {
        ssize_t size = getrandom(numbers, sizeof(numbers), 0);
        while (size < 0 && errno == EINTR)
            size = getrandom(numbers, sizeof(numbers), 0);
        must(size == sizeof(numbers)); /* no other answer once the system has booted */
        left_count = COUNT_OF(numbers);
    }
    uint64_t number = numbers[--left_count];
    numbers[left_count] = 0;
    return number;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

void real_sleep(struct io *io, int64_t duration_ns)
{
    struct timespec until = timespec_of(mono_after(real_now(io), duration_ns).ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

void bell_rest(struct bell *bell, mono_time until)
{
    struct timespec t = timespec_of(until.ns);
    /* The bitset form takes an absolute monotonic time. Woken, timed out, interrupted or rung before: all mean look again. */
    syscall(SYS_futex, &bell->state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, BELL_RESTS,
            until.ns == MONO_NEVER.ns ? NULL : &t, NULL, FUTEX_BITSET_MATCH_ANY);
}

void bell_rouse(struct bell *bell)
{
    syscall(SYS_futex, &bell->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}
