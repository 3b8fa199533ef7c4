/* wheel.c - the hierarchical timing wheel.
 *
 * Time is a count of ticks, written in base 64. A timer lies at the level of the highest digit in which its tick
 * differs from the wheel's, in the slot of its own digit there:
 *
 *     wheel  0 0 2 7        level 0  one slot per tick: same digits but the last
 *     timer  0 0 2 9   ->   level 0, slot 9
 *     timer  0 1 5 3   ->   level 2, slot 1
 *
 * W1  A timer in the wheel lies after the wheel's tick, so its digit at its level is larger than the wheel's.
 * W2  Therefore everything at a lower level comes before anything at a higher one, and the lowest used slot of the
 * lowest used level is next. W3  Moving the wheel forward to any tick before the start of that slot leaves every timer
 * where it is: the digits above its level are still the wheel's. When the wheel reaches the start of a slot of a higher
 * level, its timers move down; each moves at most seven times. */
#include "io/wheel.h"
#include "base/must.h"

#define WHEEL_MAGIC 0x4c454857u
#define DIGIT_BITS  6u

static_assert(WHEEL_SLOT_COUNT == 1u << DIGIT_BITS, "a slot is a digit");
static_assert((uint64_t)(INT64_MAX / WHEEL_TICK_NS) + 1 < (uint64_t)1 << (DIGIT_BITS * WHEEL_LEVEL_COUNT),
              "the digits hold every time there is");

static uint64_t tick_after(mono_time t) /* the first tick at or after it */
{
    uint64_t ns = t.ns < 0 ? 0 : (uint64_t)t.ns;
    return ns / WHEEL_TICK_NS + (ns % WHEEL_TICK_NS != 0);
}

static mono_time time_of(uint64_t tick)
{
    if (tick > (uint64_t)(INT64_MAX / WHEEL_TICK_NS))
        return MONO_NEVER;
    return (mono_time){ (int64_t)tick * WHEEL_TICK_NS };
}

static void link_into(struct io_timer **head, struct io_timer *timer)
{
    timer->next_ = *head;
    timer->link_ = head;
    if (timer->next_ != NULL)
        timer->next_->link_ = &timer->next_;
    *head = timer;
}

static void unlink_timer(struct io_timer *timer)
{
    *timer->link_ = timer->next_;
    if (timer->next_ != NULL)
        timer->next_->link_ = timer->link_;
    timer->next_ = NULL;
    timer->link_ = NULL;
}

static void insert(struct wheel *wheel, struct io_timer *timer, uint64_t tick)
{
    must(tick > wheel->tick); /* W1 */
    unsigned top_bit = 63u - (unsigned)__builtin_clzll(tick ^ wheel->tick);
    unsigned level = top_bit / DIGIT_BITS;
    must(level < WHEEL_LEVEL_COUNT);
    unsigned slot = (unsigned)(tick >> (level * DIGIT_BITS)) & (WHEEL_SLOT_COUNT - 1);
    link_into(&wheel->slots[level][slot], timer);
    wheel->used[level] |= (uint64_t)1 << slot;
}

/* The slot that is next (W2) and the tick at which it starts. */
static bool next_slot(const struct wheel *wheel, unsigned *ret_level, unsigned *ret_slot, uint64_t *ret_start)
{
    for (unsigned level = 0; level < WHEEL_LEVEL_COUNT; level++) {
        if (wheel->used[level] == 0)
            continue;
        unsigned shift = level * DIGIT_BITS;
        unsigned slot = (unsigned)__builtin_ctzll(wheel->used[level]);
        uint64_t above = wheel->tick >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        *ret_level = level;
        *ret_slot = slot;
        *ret_start = above | (uint64_t)slot << shift;
        must(*ret_start > wheel->tick); /* W1 */
        return true;
    }
    return false;
}

static void empty_slot(struct wheel *wheel, unsigned level, unsigned slot)
{
    struct io_timer *timer = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    wheel->used[level] &= ~((uint64_t)1 << slot);
    while (timer != NULL) {
        struct io_timer *next = timer->next_;
        uint64_t tick = tick_after(timer->due_);
        if (tick <= wheel->tick)
            link_into(&wheel->ready, timer);
        else
            insert(wheel, timer, tick);
        timer = next;
    }
}

void wheel_init(struct wheel *wheel, mono_time now)
{
    must(now.ns >= 0);
    *wheel = (struct wheel){ .magic = WHEEL_MAGIC, .tick = (uint64_t)now.ns / WHEEL_TICK_NS };
}

void wheel_set(struct wheel *wheel, struct io_timer *timer, mono_time due)
{
    CHECK_MAGIC(wheel, WHEEL_MAGIC);
    wheel_cancel(wheel, timer);
    uint64_t tick = tick_after(due);
    timer->due_ = due;
    insert(wheel, timer, tick > wheel->tick ? tick : wheel->tick + 1);
}

void wheel_cancel(struct wheel *wheel, struct io_timer *timer)
{
    CHECK_MAGIC(wheel, WHEEL_MAGIC);
    if (timer->link_ == NULL)
        return;
    struct io_timer **link = timer->link_;
    unlink_timer(timer);
    struct io_timer **first = &wheel->slots[0][0];
    if (*link == NULL && link >= first && link < first + WHEEL_LEVEL_COUNT * WHEEL_SLOT_COUNT) {
        unsigned index = (unsigned)(link - first); /* it was the last of its slot */
        wheel->used[index / WHEEL_SLOT_COUNT] &= ~((uint64_t)1 << index % WHEEL_SLOT_COUNT);
    }
}

void wheel_advance(struct wheel *wheel, mono_time now)
{
    CHECK_MAGIC(wheel, WHEEL_MAGIC);
    uint64_t now_tick = (uint64_t)now.ns / WHEEL_TICK_NS;
    must(now_tick >= wheel->tick);
    unsigned level, slot;
    uint64_t start;
    while (next_slot(wheel, &level, &slot, &start) && start <= now_tick) {
        wheel->tick = start;
        empty_slot(wheel, level, slot);
    }
    wheel->tick = now_tick; /* W3 */
}

struct io_timer *wheel_take(struct wheel *wheel)
{
    CHECK_MAGIC(wheel, WHEEL_MAGIC);
    struct io_timer *timer = wheel->ready;
    if (timer != NULL)
        unlink_timer(timer);
    return timer;
}

mono_time wheel_next(const struct wheel *wheel)
{
    CHECK_MAGIC(wheel, WHEEL_MAGIC);
    if (wheel->ready != NULL)
        return time_of(wheel->tick);
    unsigned level, slot;
    uint64_t start;
    return next_slot(wheel, &level, &slot, &start) ? time_of(start) : MONO_NEVER;
}

static void clear_list(struct io_timer **list)
{
    while (*list != NULL) {
        struct io_timer *timer = *list;
        *list = timer->next_;
        timer->next_ = NULL;
        timer->link_ = NULL;
    }
}

void wheel_clear(struct wheel *wheel)
{
    clear_list(&wheel->ready);
    for (unsigned level = 0; level < WHEEL_LEVEL_COUNT; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOT_COUNT; slot++)
            clear_list(&wheel->slots[level][slot]);
        wheel->used[level] = 0;
    }
}
