/* child.c - programs, as a simulation tells them: what they read comes in pieces, what they say when its time has come. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

#define PID_AT_START 1000
#define SIGNAL_KILL  9

static struct sim_child *mine_of(struct io_child *child)
{
    return (struct sim_child *)child;
}

static void later(struct sim_child *c)
{
    struct sim *sim = c->agent->sim;
    c->due = mono_after(sim_now(sim), sim->calm ? 1000 : 1000 + sim_below(&sim->order_chance, 200000));
}

/* ---- programs ---- */

void sim_program_set(struct io *io, const char *name, const struct sim_program *program)
{
    struct sim *sim = sim_of(io);
    struct sim_program_entry *entry = sim->programs;
    while (entry != NULL && strcmp(entry->name, name) != 0)
        entry = entry->next;
    if (entry == NULL) {
        entry = sim_take(sizeof(*entry));
        *entry = (struct sim_program_entry){ .next = sim->programs, .name = name };
        sim->programs = entry;
    }
    entry->program = *program;
}

void sim_children_free(struct sim *sim)
{
    while (sim->programs != NULL) {
        struct sim_program_entry *entry = sim->programs;
        sim->programs = entry->next;
        free(entry);
    }
}

static void say(struct sim_child *c, const struct sim_said *what, struct bytes bytes, int64_t after_ns)
{
    struct sim_said *said = sim_take(sizeof(*said) + bytes.size);
    mono_time from = sim_now(c->agent->sim);
    for (const struct sim_said *before = c->said; before != NULL; before = before->next)
        from = before->due;
    *said = *what;
    said->due = mono_after(from, after_ns);
    said->size = bytes.size;
    if (bytes.size > 0)
        memcpy(said->bytes, bytes.at, bytes.size);
    *c->said_end = said;
    c->said_end = &said->next;
}

void sim_child_write(struct sim_child *c, enum io_child_stream stream, struct bytes bytes, int64_t after_ns)
{
    struct sim_said said = { .what = stream == IO_CHILD_OUTPUT ? SIM_SAID_OUTPUT : SIM_SAID_ERROR };
    say(c, &said, bytes, after_ns);
}

void sim_child_close_output(struct sim_child *c, int64_t after_ns)
{
    say(c, &(struct sim_said){ .what = SIM_SAID_CLOSE }, (struct bytes){ NULL, 0 }, after_ns);
}

void sim_child_exit(struct sim_child *c, int status, int64_t after_ns)
{
    say(c, &(struct sim_said){ .what = SIM_SAID_EXIT, .status = status }, (struct bytes){ NULL, 0 }, after_ns);
}

void sim_child_deafen(struct sim_child *c)
{
    c->deaf = true;
}

void **sim_child_own(struct sim_child *c)
{
    return &c->own;
}

/* ---- what happens to a child ---- */

enum child_event { NOTHING, SAYS, READS, SENT, READS_END, ENDED };

static enum child_event next_event(const struct sim_child *c, mono_time *ret_due)
{
    *ret_due = c->due;
    if (c->said != NULL) {
        ret_due->ns = c->said->due.ns > c->due.ns ? c->said->due.ns : c->due.ns;
        if (c->dead || !c->send_active || c->deaf || c->said->due.ns <= sim_now(c->agent->sim).ns)
            return SAYS;
        *ret_due = c->due;
    }
    if (c->send_active && (c->sending.size == 0 || c->dead))
        return SENT;
    if (c->dead)
        return ENDED;
    if (c->send_active && !c->deaf)
        return READS;
    return c->input_closed && !c->told_closed ? READS_END : NOTHING;
}

bool sim_child_ready(const struct sim_child *c, bool *ret_needs_turn, mono_time *ret_due)
{
    enum child_event event = next_event(c, ret_due);
    *ret_needs_turn = event == SENT || event == ENDED || (event == SAYS && c->said->what != SIM_SAID_EXIT);
    return event != NOTHING;
}

static struct sim_said *take_first_said(struct sim_child *c)
{
    struct sim_said *said = c->said;
    c->said = said->next;
    if (c->said == NULL)
        c->said_end = &c->said;
    return said;
}

static void drop_all_said(struct sim_child *c)
{
    while (c->said != NULL)
        free(take_first_said(c));
}

static void die(struct sim_child *c, bool signalled, int number)
{
    c->dead = true;
    c->end = (struct io_child_end){ .signalled = signalled, .number = number };
}

static void forget(struct sim_child *c)
{
    struct sim_child **link = &c->agent->sim->children;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    drop_all_said(c);
    if (c->program->gone != NULL)
        c->program->gone(c->program->ctx, c);
    free(c);
}

static void speak(struct sim_child *c)
{
    struct sim_said *said = take_first_said(c); /* it may be killed within the callback */
    struct bytes bytes = { said->bytes, said->size };
    if (said->what == SIM_SAID_EXIT) {
        die(c, false, said->status);
        drop_all_said(c); /* what it would have said later */
    } else {
        struct sim_agent *before = sim_turn_begin(c->agent);
        if (said->what == SIM_SAID_CLOSE)
            c->child.events->closed(&c->child);
        else
            c->child.events->data(&c->child, said->what == SIM_SAID_OUTPUT ? IO_CHILD_OUTPUT : IO_CHILD_ERROR, bytes);
        sim_turn_end(c->agent, before);
    }
    free(said);
}

static void read_some(struct sim_child *c)
{
    struct sim *sim = c->agent->sim;
    bool whole = sim->calm || sim_one_in(&sim->order_chance, 2);
    size_t size = whole ? c->sending.size : 1 + sim_below(&sim->order_chance, (uint32_t)c->sending.size);
    struct bytes piece = { c->sending.at, size };
    c->sending.at += size;
    c->sending.size -= size;
    c->program->input(c->program->ctx, c, piece);
}

static void on_turn(struct sim_child *c, enum child_event event)
{
    struct sim_agent *agent = c->agent, *before = sim_turn_begin(agent);
    if (event == SENT) {
        c->send_active = false;
        c->unread += c->sending.size;
        c->child.events->sent(&c->child, c->dead && c->sending.size > 0 ? NEAP_CLOSED : NEAP_OK);
    } else {
        c->end.unread = c->unread;
        c->child.events->ended(&c->child, &c->end);
        forget(c);
    }
    sim_turn_end(agent, before);
}

void sim_child_turn(struct sim_child *c)
{
    mono_time due;
    enum child_event event = next_event(c, &due);
    sim_note(c->agent->sim, "child", c->agent->name_hash, event, (uint64_t)c->child.pid);
    later(c);
    switch (event) {
    case SAYS:
        speak(c);
        break;
    case READS:
        read_some(c);
        break;
    case READS_END:
        c->told_closed = true;
        if (c->program->input_ended != NULL)
            c->program->input_ended(c->program->ctx, c);
        else
            sim_child_exit(c, 0, 0);
        break;
    case SENT:
    case ENDED:
        on_turn(c, event);
        break;
    case NOTHING:
        must(!"an event");
    }
}

/* ---- the verbs ---- */

enum neap_status sim_child_start(struct io_agent *agent, const struct io_child_options *options,
                                 struct io_child **ret_child, struct error *err)
{
    struct sim *sim = sim_of(agent->io_);
    struct sim_program_entry *entry = sim->programs;
    while (entry != NULL && strcmp(entry->name, options->arguments[0]) != 0)
        entry = entry->next;
    if (entry == NULL)
        return error_set(err, NEAP_NOTFOUND, "%s: no such program", options->arguments[0]);
    struct sim_child *c = sim_take(sizeof(*c));
    *c = (struct sim_child){ .child = { agent->io_, options->events, options->ctx, PID_AT_START + sim->last_pid++ },
                             .next = sim->children,
                             .agent = sim_agent_of(agent),
                             .program = &entry->program };
    c->said_end = &c->said;
    sim->children = c;
    later(c);
    entry->program.started(entry->program.ctx, c, ++entry->start_count);
    *ret_child = &c->child;
    return NEAP_OK;
}

enum neap_status sim_child_send(struct io_child *child, struct bytes bytes)
{
    struct sim_child *c = mine_of(child);
    if (c->send_active)
        return NEAP_AGAIN;
    if (c->input_closed || c->dead)
        return NEAP_CLOSED;
    c->sending = bytes;
    c->send_active = true;
    return NEAP_OK;
}

void sim_child_close_input(struct io_child *child)
{
    mine_of(child)->input_closed = true;
}

void sim_child_kill(struct io_child *child)
{
    struct sim_child *c = mine_of(child);
    if (c->dead)
        return;
    drop_all_said(c); /* a pipe would hold some of it */
    die(c, true, SIGNAL_KILL);
}

/* Its own time is not waited for: a program that is told that its input has ended does nothing more here. */
void sim_child_finish(struct io_child *child, mono_time deadline)
{
    (void)deadline;
    forget(mine_of(child));
}
