/* adaptive.c - a window of calls becomes an average, and an average a step of the limit. Whole numbers only: the same run on
 * every machine. */
#include "flow/adaptive.h"
#include "base/must.h"

#define START_COUNT              20u
#define QUEUE_256                (4 * 256u) /* so many calls may wait at the destination: growth while there is no queue */
#define SMOOTHING                5u         /* a step is a fifth of what the formula asks for */
#define TOLERANCE_256            384        /* 1.5: so much slower than the base is no queue yet */
#define GRADIENT_256_MIN         128        /* 0.5: one window halves nothing more */
#define WINDOW_CALL_COUNT        20u
#define WINDOW_NS_MIN            (100 * NS_PER_MS)
#define WINDOW_NS_MAX            (2 * NS_PER_S)
#define WINDOWS_PER_MEASURE      40u
#define WINDOWS_PER_MEASURE_SOON 10u /* while it moves */
#define SLOW_WINDOW_COUNT        6u  /* then it is the destination that has changed, and the base with it */
#define BASE_WEIGHT              2 /* a new base is worth as much as all before it, unless they are far apart: then more */
#define RECOVERY_WEIGHT          8

void adaptive_init(struct adaptive *adaptive, uint32_t count_min, uint32_t count_max)
{
    must(count_min > 0 && count_min <= count_max && count_max <= 1u << 20);
    uint32_t start = START_COUNT < count_min ? count_min : START_COUNT > count_max ? count_max : START_COUNT;
    *adaptive = (struct adaptive){ .count_min = count_min, .count_max = count_max, .limit_256 = start * 256ull };
    adaptive->phase = ADAPTIVE_SETTLE;
}

uint32_t adaptive_limit(const struct adaptive *adaptive)
{
    uint32_t limit = (uint32_t)(adaptive->limit_256 / (adaptive->phase == ADAPTIVE_WORK ? 256 : 512));
    return limit > adaptive->count_min ? limit : adaptive->count_min;
}

static void set_limit(struct adaptive *a, uint64_t limit_256)
{
    uint64_t least = a->count_min * 256ull, most = a->count_max * 256ull;
    a->limit_256 = limit_256 < least ? least : limit_256 > most ? most : limit_256;
}

/* Half as many where all timed out, the same where none did. */
static void shrink(struct adaptive *a, const struct adaptive_window *w)
{
    set_limit(a, a->limit_256 - a->limit_256 * w->timeout_count / w->call_count / 2);
}

static void begin_measure(struct adaptive *a)
{
    a->phase = ADAPTIVE_SETTLE; /* first those calls end that began in the crowd */
}

static void end_measure(struct adaptive *a, int64_t latency_ns)
{
    bool near = latency_ns < a->base_ns + a->base_ns / 4 && latency_ns > a->base_ns - a->base_ns / 4;
    bool far = latency_ns > a->base_ns * 2 || latency_ns < a->base_ns / 2; /* also the first one */
    if (far || a->slow_window_count >= SLOW_WINDOW_COUNT)
        a->base_ns = latency_ns;
    else
        a->base_ns += (latency_ns - a->base_ns) / BASE_WEIGHT;
    a->measure_due_count = near ? WINDOWS_PER_MEASURE : WINDOWS_PER_MEASURE_SOON;
    a->slow_window_count = 0;
    a->phase = ADAPTIVE_WORK;
}

static void step(struct adaptive *a, int64_t latency_ns)
{
    if (latency_ns <
        a->base_ns) /* in a crowd, and faster all the same: it has recovered. No reason to wait for the measure */
        a->base_ns -= (a->base_ns - latency_ns) / RECOVERY_WEIGHT;
    int64_t gradient_256 = TOLERANCE_256 * a->base_ns / latency_ns;
    gradient_256 = gradient_256 > 256 ? 256 : gradient_256 < GRADIENT_256_MIN ? GRADIENT_256_MIN : gradient_256;
    a->slow_window_count = gradient_256 == GRADIENT_256_MIN ? a->slow_window_count + 1 : 0;
    set_limit(a,
              a->limit_256 + QUEUE_256 / SMOOTHING - a->limit_256 * (uint64_t)(256 - gradient_256) / 256 / SMOOTHING);
    a->measure_due_count -= a->measure_due_count > 0;
    if (a->measure_due_count == 0 || a->slow_window_count >= SLOW_WINDOW_COUNT)
        begin_measure(a);
}

static void end_window(struct adaptive *a, mono_time now)
{
    struct adaptive_window w = a->window;
    int64_t latency_ns = w.latency_ns_sum / w.call_count;
    latency_ns = latency_ns > 0 ? latency_ns : 1;
    int64_t length_ns = 2 * latency_ns;
    length_ns = length_ns < WINDOW_NS_MIN ? WINDOW_NS_MIN : length_ns > WINDOW_NS_MAX ? WINDOW_NS_MAX : length_ns;
    a->window = (struct adaptive_window){ .end_min = mono_after(now, length_ns) };
    bool used = w.inflight_count_max * 512ull >= a->limit_256;
    shrink(a, &w);
    if (a->phase == ADAPTIVE_SETTLE)
        a->phase = ADAPTIVE_MEASURE;
    else if (a->phase == ADAPTIVE_MEASURE ||
             !used) /* who is not crowded measures as it goes, and has no say in the limit */
        end_measure(a, latency_ns);
    else
        step(a, latency_ns);
}

void adaptive_done(struct adaptive *adaptive, enum outcome outcome, bool timed_out, int64_t latency_ns,
                   uint32_t inflight_count, mono_time now)
{
    must(latency_ns >= 0 && inflight_count > 0);
    if (adaptive->count_min == adaptive->count_max || (outcome != OUTCOME_DELIVERED && !timed_out))
        return;
    struct adaptive_window *w = &adaptive->window;
    w->latency_ns_sum += latency_ns < 86400 * NS_PER_S ? latency_ns : 86400 * NS_PER_S;
    w->call_count++;
    w->timeout_count += timed_out;
    w->inflight_count_max = w->inflight_count_max > inflight_count ? w->inflight_count_max : inflight_count;
    if (w->call_count >= WINDOW_CALL_COUNT && now.ns >= w->end_min.ns)
        end_window(adaptive, now);
}
