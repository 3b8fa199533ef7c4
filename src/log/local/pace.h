/* pace.h - when the next round of housekeeping is due.
 *
 * owner    whoever makes the rounds, on the keeper's turns
 * memory   its struct
 * limits   none
 * errors   none
 * promise  the first round comes clean_ns after the start, and each as long after the one before; sooner where a journal file
 *          has filled up meanwhile, for then there is much to find, but not before a sixteenth of that time, and not before
 *          nine times as long as the last one looked: the rest of the time belongs to those who append */
#ifndef LOG_LOCAL_PACE_H
#define LOG_LOCAL_PACE_H

#include "log/local/local.h"

#define PACE_REST  9 /* times as long as it looked */
#define PACE_HURRY 16

struct pace {
    mono_time next;     /* not later than this, where there is anything to do */
    mono_time rested;   /* not before this, however much there is to do */
    uint64_t open_file; /* the journal's, when the last round began */
    uint64_t filled;    /* files, between the last two rounds */
    int64_t looked_ns;  /* in this round */
};

static inline uint64_t pace_open_file(struct log *log)
{
    io_mutex_take(log->shared.mutex);
    uint64_t sequence = open_file(&log->shared)->sequence;
    io_mutex_drop(log->shared.mutex);
    return sequence;
}

static inline void pace_begin(struct pace *p, struct log *log, mono_time now)
{
    p->next = mono_after(now, log->options.clean_ns);
    uint64_t sequence = pace_open_file(log);
    p->filled = sequence - p->open_file;
    p->open_file = sequence;
    p->rested = mono_after(now, log->options.clean_ns / PACE_HURRY);
    p->looked_ns = 0;
}

static inline bool pace_due(struct pace *p, struct log *log, mono_time now)
{
    if (p->open_file == 0)
        pace_begin(p, log, now); /* a round before the first, so to speak */
    return now.ns >= p->next.ns || (now.ns >= p->rested.ns && pace_open_file(log) != p->open_file);
}

/* It has looked from `since` until now. */
static inline void pace_looked(struct pace *p, struct log *log, mono_time since)
{
    p->looked_ns += io_now(log->io).ns - since.ns;
}

static inline void pace_end(struct pace *p, struct log *log)
{
    mono_time rested = mono_after(io_now(log->io), PACE_REST * p->looked_ns);
    p->rested = rested.ns > p->rested.ns ? rested : p->rested;
}

#endif
