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

/* Under the mutex. A clock that was already ahead when the log was last open has jumped then. */
static int64_t first_look(struct clock *c, mono_time now)
{
    const struct shared *s = &c->log->shared;
    int64_t newest_ms = s->recovered_time_ms, ago_ms = c->wall_ms - s->figures.clock_jumped.ms;
    if (newest_ms > 0 && c->wall_ms - newest_ms > CLOCK_JUMP_MS)
        return c->wall_ms - newest_ms;
    if (s->figures.clock_jump_ms > 0 && ago_ms > -CLOCK_JUMP_MS && ago_ms < CLOCK_DELAY_MS)
        delay(c, now, s->figures.clock_jump_ms, ago_ms > 0 ? ago_ms : 0);
    return 0;
}

/* How far it went beyond the time that passed; at the start, beyond the newest entry of the journal. */
void clock_look(struct clock *c, mono_time now)
{
    struct shared *s = &c->log->shared;
    int64_t before_ms = c->wall_ms, jump_ms;
    c->wall_ms = io_wall(c->log->io).ms;
    io_mutex_take(s->mutex);
    jump_ms = c->known ? c->wall_ms - before_ms - (now.ns - c->mono.ns) / NS_PER_MS : first_look(c, now);
    bool jumped = jump_ms > CLOCK_JUMP_MS;
    if (jumped)
        delay(c, now, jump_ms, 0);
    else if (jump_ms < -CLOCK_JUMP_MS && s->figures.clock_jump_ms > 0)
        s->figures.clock_jump_ms += jump_ms;
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
