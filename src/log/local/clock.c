#include "log/local/clock.h"

void clock_init(struct clock *c, struct log *log)
{
    *c = (struct clock){ .log = log };
}

/* Under the mutex: it jumped by so much, so long ago. */
static void delay(struct clock *c, mono_time now, int64_t jump_ms, int64_t ago_ms)
{
    struct log_figures *f = &c->log->shared.figures;
    c->delayed_until = mono_after(now, (CLOCK_DELAY_MS - ago_ms) * NS_PER_MS);
    f->clock_jump_ms = jump_ms;
    f->clock_jumped = (wall_time){ c->wall_ms - ago_ms };
}

/* Under the mutex. How far it has moved since the log was last open, beyond the time that the newest entry knows of. Where that is
 * ahead of the clock only a snapshot tells, or a jump that was met on the way and is taken for set right. */
static int64_t first_look(const struct clock *c)
{
    const struct shared *s = &c->log->shared;
    int64_t newest_ms = s->recovered_time_ms;
    if (newest_ms == 0)
        return 0;
    if (newest_ms - c->wall_ms <= CLOCK_JUMP_MS)
        return c->wall_ms > newest_ms ? c->wall_ms - newest_ms : 0;
    if (s->recovered_wall_ms > 0)
        return c->wall_ms - s->recovered_wall_ms;
    int64_t right_ms = newest_ms - s->figures.clock_jump_ms;
    return c->wall_ms - right_ms > CLOCK_JUMP_MS ? c->wall_ms - right_ms : -s->figures.clock_jump_ms;
}

/* Under the mutex. One that was already ahead when the log was last open: the rest of the day, or all of it where it was set since
 * to a time before its jump, and not right. */
static void resume(struct clock *c, mono_time now)
{
    const struct log_figures *f = &c->log->shared.figures;
    int64_t ago_ms = c->wall_ms - f->clock_jumped.ms;
    if (f->clock_jump_ms <= CLOCK_JUMP_MS || ago_ms >= CLOCK_DELAY_MS)
        return;
    delay(c, now, f->clock_jump_ms, ago_ms > 0 ? ago_ms : 0);
    c->log->shared.clock_unsaved |= ago_ms <= -CLOCK_JUMP_MS;
}

/* How far it went beyond the time that passed; at the start, since the log was last open. */
void clock_look(struct clock *c, mono_time now)
{
    struct shared *s = &c->log->shared;
    int64_t before_ms = c->wall_ms, jump_ms;
    c->wall_ms = io_wall(c->log->io).ms;
    io_mutex_take(s->mutex);
    jump_ms = c->known ? c->wall_ms - before_ms - (now.ns - c->mono.ns) / NS_PER_MS : first_look(c);
    bool jumped = jump_ms > CLOCK_JUMP_MS;
    if (jumped)
        delay(c, now, jump_ms, 0);
    else if (jump_ms < -CLOCK_JUMP_MS && s->figures.clock_jump_ms > 0)
        s->figures.clock_jump_ms += jump_ms;
    if (!c->known && !jumped)
        resume(c, now);
    bool ahead = !c->known && s->recovered_time_ms - c->wall_ms > CLOCK_JUMP_MS; /* hours off would add up */
    s->clock_unsaved |= jumped || jump_ms < -CLOCK_JUMP_MS || ahead;
    if (s->figures.clock_jump_ms <= CLOCK_JUMP_MS) {
        s->figures.clock_jump_ms = 0; /* it is back */
        c->delayed_until = (mono_time){ 0 };
    }
    c->known = true;
    c->mono = now;
    c->log_ms = log_time_next(s->durable_time_ms, now.ns - s->durable_time_at.ns, c->wall_ms);
    s->figures.retention_delayed = !clock_is_believed(c);
    s->figures.retention_resumes.ms = c->wall_ms + (c->delayed_until.ns - now.ns) / NS_PER_MS;
    io_mutex_drop(s->mutex);
    if (jumped)
        logging_warn(c->log->logging,
                     "the clock is more than a day ahead of where it was: nothing is freed by time for a day",
                     LOGGING_UINT("jump_hours", (uint64_t)jump_ms / 3600000));
}

bool clock_is_believed(const struct clock *c)
{
    return c->known && c->mono.ns >= c->delayed_until.ns;
}

int64_t clock_wall_at(struct log *log, int64_t time_ms, mono_time made)
{
    int64_t wall_ms = io_wall(log->io).ms;
    return wall_ms >= time_ms ? wall_ms : wall_ms - (io_now(log->io).ns - made.ns) / NS_PER_MS;
}

int64_t clock_wall_of(int64_t wall_ms, int64_t time_ms, int64_t newest_ms)
{
    int64_t passed_ms = newest_ms > time_ms ? newest_ms - time_ms : 0;
    if (wall_ms >= time_ms) /* what came next followed the clock */
        return newest_ms > wall_ms ? newest_ms : wall_ms;
    return wall_ms + (time_ms - wall_ms > CLOCK_JUMP_MS ? passed_ms / 7 * 8 : passed_ms);
}

static uint32_t seconds(int64_t ms)
{
    return ms <= 0 ? 0 : ms / 1000 < UINT32_MAX ? (uint32_t)(ms / 1000) : UINT32_MAX;
}

struct clock_cut clock_cut(const struct clock *c, int64_t age_ms)
{
    if (!clock_is_believed(c))
        return CLOCK_CUT_NOTHING;
    return (struct clock_cut){ .wall_before_s = seconds(c->wall_ms - age_ms),
                               .ahead_from_s = seconds(c->wall_ms + CLOCK_JUMP_MS),
                               .ahead_before_s = seconds(c->log_ms - age_ms) };
}
