/* call_line.c - lines of calls that are ready, and the question whether the first of each may go.
 *
 * A line is made for who finds none, and gone when nobody stands in it: there are never more than flights. */
#include "stage/call_parts.h"

#define LATER_MAX (2 * NS_PER_S) /* then it has a turn again, and its way sees whether it has expired */

static bool is_for(const struct line *line, const struct flight *f)
{
    return line->destination == f->destination && line->retry == f->retry && line->limit_hash == f->limit_hash;
}

static struct line *line_of(struct call *c, const struct flight *f)
{
    for (uint32_t i = 0; i < c->line_count; i++)
        if (is_for(&c->lines[i], f))
            return &c->lines[i];
    must(c->line_count < c->flight_count);
    struct line *line = &c->lines[c->line_count++];
    *line = (struct line){ .destination = f->destination, .limit_hash = f->limit_hash, .retry = f->retry };
    line->end = &line->first;
    return line;
}

/* One line must not take all the places: others would stand behind it who could be called. */
static uint32_t line_room(const struct call *c, const struct flight *f)
{
    bool many = c->o.url_expr != NULL || c->o.limit_key != NULL;
    uint32_t parts = many ? 4 : f->retry ? 2 : 1;
    return c->flight_count >= parts ? c->flight_count / parts : 1;
}

static void drop_line(struct call *c, struct line *line)
{
    must(line->count == 0);
    struct line *last = &c->lines[--c->line_count];
    if (line != last)
        *line = *last; /* somebody stands in it: its end is no place in the line itself */
}

bool call_line_up(struct flight *f, bool always, mono_time now, mono_time *ret_not_before)
{
    struct call *c = f->call;
    struct line *line = line_of(c, f);
    if (!always && line->count >= line_room(c, f)) {
        mono_time soon = mono_after(now, CALL_PAUSE + (int64_t)(io_random(c->o.io) % CALL_PAUSE));
        mono_time late = mono_after(soon, LATER_MAX);
        *ret_not_before = line->not_before.ns <= soon.ns ? soon : mono_min(line->not_before, late);
        return false;
    }
    f->state = FLIGHT_LINED;
    f->next = NULL;
    *line->end = f;
    line->end = &f->next;
    line->count++;
    return true;
}

static void take_out(struct line *line, struct flight *f)
{
    struct flight **at = &line->first;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (line->end == &f->next)
        line->end = at;
    line->count--;
}

void call_leave_line(struct flight *f)
{
    struct call *c = f->call;
    struct line *line = line_of(c, f);
    take_out(line, f);
    if (line->count == 0)
        drop_line(c, line);
}

static void start(struct flight *f, mono_time now)
{
    struct call *c = f->call;
    struct destination_end released = { .outcome = OUTCOME_RELEASED };
    struct error err = { 0 };
    f->http.deadline = mono_after(now, c->base.timeout_ns);
    f->begun_at = now;
    f->state = FLIGHT_CALLED;
    enum neap_status status = io_http_begin(&f->http, &err);
    if (status == NEAP_OK)
        return;
    destination_done(f->destination, &f->begun, &released, now, 0);
    f->state = FLIGHT_ENDED;
    (void)call_uncache(f, now);
    if (status == NEAP_BADINPUT) /* what an event made of it cannot be sent, whoever is asked */
        call_fail(f, OUTCOME_PERMANENT, "expression", "%s", err.text);
    else
        call_fail(f, OUTCOME_RELEASED, "released", "%s", err.text);
}

/* False: the line waits. */
static bool ask_for_first(struct line *line, mono_time now)
{
    struct flight *f = line->first;
    const struct destination_want want = { .retry = f->retry, .limit_hash = f->limit_hash };
    struct destination_verdict verdict = destination_begin(f->destination, &want, now, &f->begun);
    bool open = verdict.reason == DESTINATION_REASON_OPEN || verdict.reason == DESTINATION_REASON_FORCED_OPEN ||
                verdict.reason == DESTINATION_REASON_PROBING;
    if (verdict.answer == DESTINATION_YES) {
        line->shut = false;
        take_out(line, f);
        start(f, now);
    } else if (open && call_has_substitute(f, now)) {
        take_out(line, f);
        f->state = FLIGHT_ENDED;
        call_substitute(f, now);
    } else {
        line->shut = open;
        line->not_before = verdict.answer == DESTINATION_WAIT ? mono_after(now, CALL_PAUSE) : verdict.not_before;
        return false;
    }
    return true;
}

static bool is_overdue(const struct line *line, mono_time now)
{
    const struct flight *f = line->first;
    return line->count > 0 && line->shut && f->work != NULL && f->work->deadline.ns <= now.ns;
}

/* Before an open breaker nobody stands longer than a call may take: a turn later it may have expired. It costs no attempt. */
static void send_back_overdue(struct line *line, mono_time now)
{
    while (is_overdue(line, now)) {
        struct flight *f = line->first;
        take_out(line, f);
        f->state = FLIGHT_ENDED;
        (void)call_uncache(f, now);
        call_fail(f, OUTCOME_RELEASED, "released", "the breaker is open");
    }
}

void call_lines_move(struct call *c, mono_time now)
{
    mono_time next = MONO_NEVER;
    for (uint32_t i = 0; i < c->line_count;) {
        struct line *line = &c->lines[i];
        while (line->count > 0 && line->not_before.ns <= now.ns && ask_for_first(line, now))
            ;
        send_back_overdue(line, now);
        if (line->count == 0) {
            drop_line(c, line);
            continue;
        }
        next = mono_min(next, line->not_before);
        if (line->shut && line->first->work != NULL)
            next = mono_min(next, line->first->work->deadline);
        i++;
    }
    if (next.ns != MONO_NEVER.ns)
        io_timer_set(&c->timer, next);
}

void call_lines_ask_again(struct call *c, const struct destination *destination, mono_time now)
{
    for (uint32_t i = 0; i < c->line_count; i++)
        if (c->lines[i].destination == destination)
            c->lines[i].not_before = now;
    call_lines_move(c, now);
}
