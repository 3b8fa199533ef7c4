/* clock.h - how old what was appended is, on a machine whose clock may be wrong.
 *
 * owner    the keeper, its turns; log_time_next() is the journal's
 * memory   its struct
 * limits   CLOCK_JUMP_MS: a smaller error is not noticed, and ages are wrong by it
 * errors   none
 * promise  a clock that jumps more than a day ahead is not believed for a day, whatever starts and ends meanwhile, also where it
 *          was set while nobody ran; what was appended while it was ahead ages by the time that passes while the log is
 *          open, once the clock is right again
 *
 * Times of append follow the wall clock and never fall. Were they to stand still until a clock that had been ahead by ten years
 * has come there again, nothing would be old for ten years. So where the wall clock is more than a day behind them they go on
 * with the time that passes, an eighth slower: what is ahead by days has come back after weeks.
 *
 * Where they are ahead they say nothing of the clock. So a snapshot keeps what that said, and one is written when it has jumped,
 * or come back. Hours during which nobody ran do not count there: whether they were hours or a clock that was set, nobody can
 * tell. What is kept is kept longer for it, never shorter. */
#ifndef LOG_LOCAL_CLOCK_H
#define LOG_LOCAL_CLOCK_H

#include "log/local/local.h"

#define CLOCK_JUMP_MS  (24 * 3600 * 1000ll)
#define CLOCK_DELAY_MS (24 * 3600 * 1000ll)

/* The time of an append, where that of the one before it was `time_ms`, so long ago. */
static inline int64_t log_time_next(int64_t time_ms, int64_t passed_ns, int64_t wall_ms)
{
    if (wall_ms >= time_ms)
        return wall_ms;
    return time_ms - wall_ms > CLOCK_JUMP_MS ? time_ms + passed_ns / NS_PER_MS * 7 / 8 : time_ms;
}

/* What the wall clock says; where the newest entry's time is ahead of it, what it would have said when that was made. */
int64_t clock_wall_at(struct log *log, int64_t time_ms, mono_time made);
/* What it said when the newest entry was made, from what a snapshot says (wall_ms, when the newest was of time_ms). Where the
 * times of append are ahead of the clock they go on by 7/8. */
int64_t clock_wall_of(int64_t wall_ms, int64_t time_ms, int64_t newest_ms);

struct clock {
    struct log *log;
    bool known;
    mono_time mono;  /* when it was last looked at */
    int64_t wall_ms; /* the wall clock then */
    int64_t log_ms;  /* what an append would have been given */
    mono_time delayed_until;
};

void clock_init(struct clock *clock, struct log *log);
void clock_look(struct clock *clock, mono_time now);
bool clock_is_believed(const struct clock *clock); /* when it was last looked at */

/* What is older than an age, by the last look: times before wall_before_s, and of those that the wall clock has yet to reach,
 * from ahead_from_s on, the ones before ahead_before_s. */
struct clock_cut {
    uint32_t wall_before_s, ahead_from_s, ahead_before_s;
};
#define CLOCK_CUT_NOTHING ((struct clock_cut){ .ahead_from_s = UINT32_MAX })
struct clock_cut clock_cut(const struct clock *clock, int64_t age_ms); /* NOTHING while the clock is not believed */
static inline bool clock_cut_holds(const struct clock_cut *cut, uint32_t time_s)
{
    return time_s < cut->wall_before_s || (time_s >= cut->ahead_from_s && time_s < cut->ahead_before_s);
}

#endif
