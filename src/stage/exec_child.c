/* exec_child.c - the child of one place: started when it is wanted, heard line by line, killed when it is late or talks nonsense. */
#include "stage/exec_parts.h"
#include <stdio.h>
#include <stdlib.h>

#define PAUSE_NS_MIN (100 * NS_PER_MS)
#define PAUSE_NS_MAX (30 * NS_PER_S)
#define GRACE_NS     (200 * NS_PER_MS) /* to end, for one that has closed its output: so that it is heard how it ended */
#define SHOWN_SIZE   80                /* of a line that is none */

static bool is_at_work(const struct exec_place *p)
{
    return p->work != NULL && !p->decided;
}

void exec_child_kill(struct exec_place *p)
{
    if (p->child == NULL || p->killed)
        return;
    p->killed = true;
    p->exec->figures.kills++;
    io_child_kill(p->child);
}

/* ---- what it says ---------------------------------------------------------------------------------------------------------- */

static void say_nonsense(const struct exec_place *p, const char *text)
{
    const struct exec_options *o = &p->exec->o;
    logging_warn(o->logging, "a child says what nobody has asked for, and is killed",
                 LOGGING_TEXT("pipeline", o->pipeline), LOGGING_TEXT("stage", o->stage),
                 LOGGING_INT("pid", io_child_pid(p->child)), LOGGING_TEXT("line", text));
}

static void fail_answer(struct exec_place *p, const char *what, struct bytes line)
{
    char text[SHOWN_SIZE + 100];
    int shown = line.size < SHOWN_SIZE ? (int)line.size : SHOWN_SIZE;
    snprintf(text, sizeof text, "%s: %.*s%s", what, shown, (const char *)line.at, line.size > SHOWN_SIZE ? "…" : "");
    if (is_at_work(p)) {
        snprintf(p->text, sizeof p->text, "%s", text);
        exec_decide(p, outcome_of_error(p->exec->o.rules, CALL_ERROR_ANSWER), "answer", p->text);
    } else {
        say_nonsense(p, text);
    }
    exec_child_kill(p);
}

static void take_answer(struct exec_place *p, const struct exec_answer *a)
{
    p->useful = true;
    p->answer = a->kind == EXEC_ANSWER_EVENT ? a->event : (struct bytes){ NULL, 0 };
    if (a->kind == EXEC_ANSWER_ERROR) {
        int size = a->message.size < EXEC_LAST_WORDS_SIZE ? (int)a->message.size : (int)EXEC_LAST_WORDS_SIZE;
        snprintf(p->text, sizeof p->text, "%.*s", size, (const char *)a->message.at);
        exec_decide(p, a->permanent ? OUTCOME_PERMANENT : OUTCOME_TRANSIENT, "exec", p->text);
    } else {
        exec_decide(p, OUTCOME_DELIVERED, NULL, NULL);
        p->work->drop = a->kind == EXEC_ANSWER_DROP;
    }
    exec_child_answered(p);
}

static void take_bare_line(struct exec_place *p, struct bytes line)
{
    struct exec_answer a = { .kind = line.size == 0 ? EXEC_ANSWER_DROP : EXEC_ANSWER_EVENT, .event = line };
    if (is_at_work(p))
        take_answer(p, &a);
    else
        fail_answer(p, "a second line for one event", line);
}

static void take_line(struct exec_place *p, struct bytes line)
{
    const struct exec_options *o = &p->exec->o;
    struct exec_answer a;
    const char *what;
    if (line.size > 0 && line.at[line.size - 1] == '\r')
        line.size--;
    if (o->protocol == EXEC_PROTOCOL_LINES)
        take_bare_line(p, line);
    else if (exec_answer_read(line, o->parser, &a, &what) != NEAP_OK)
        fail_answer(p, what, line);
    else if (a.id > p->id)
        fail_answer(p, "its \"id\" is of no event that it was given", line);
    else if (is_at_work(p) && a.id == p->id)
        take_answer(p, &a);
    else
        logging_warn(o->logging, "a child has answered an event twice; its first answer counts",
                     LOGGING_TEXT("pipeline", o->pipeline), LOGGING_TEXT("stage", o->stage),
                     LOGGING_INT("pid", io_child_pid(p->child)), LOGGING_UINT("id", a.id));
}

/* An answer that is still wanted stays where it is. */
static void make_room(struct exec_place *p)
{
    if (p->answer.at != NULL || p->in_from == 0)
        return;
    memmove(p->in.at, p->in.at + p->in_from, p->in.size - p->in_from);
    p->in.size -= p->in_from;
    p->in_from = 0;
}

static bool append(struct exec_place *p, struct bytes bytes)
{
    ptrdiff_t answer_at = p->answer.at != NULL ? p->answer.at - p->in.at : 0;
    make_room(p);
    if (!exec_room_grow(p->exec, &p->in, p->in.size + bytes.size))
        return false;
    if (p->answer.at != NULL)
        p->answer.at = p->in.at + answer_at;
    memcpy(p->in.at + p->in.size, bytes.at, bytes.size);
    p->in.size += bytes.size;
    return true;
}

static void hear(struct exec_place *p, struct bytes bytes)
{
    size_t scanned = p->in.size - p->in_from;
    if (!append(p, bytes)) {
        struct bytes begin = { p->in.at + p->in_from, p->in.size - p->in_from };
        fail_answer(p, "its line is longer than an event may be", begin);
        return;
    }
    while (!p->killed) {
        uint8_t *from = p->in.at + p->in_from, *look = from + scanned;
        uint8_t *end = memchr(look, '\n', (size_t)(p->in.at + p->in.size - look));
        if (end == NULL)
            return;
        p->in_from = (size_t)(end + 1 - p->in.at);
        scanned = 0;
        take_line(p, (struct bytes){ from, (size_t)(end - from) });
    }
}

/* ---- what it says to people -------------------------------------------------------------------------------------------------- */

static void log_said(struct exec_place *p)
{
    const struct exec_options *o = &p->exec->o;
    if (p->said_size > 0)
        logging_info(o->logging, "a child says", LOGGING_TEXT("pipeline", o->pipeline), LOGGING_TEXT("stage", o->stage),
                     LOGGING_INT("pid", io_child_pid(p->child)),
                     LOGGING_BYTES("text", ((struct bytes){ (const uint8_t *)p->said, p->said_size })));
    p->said_size = 0;
}

static void remember_words(struct exec_place *p, struct bytes bytes)
{
    if (bytes.size > EXEC_LAST_WORDS_SIZE)
        bytes = (struct bytes){ bytes.at + bytes.size - EXEC_LAST_WORDS_SIZE, EXEC_LAST_WORDS_SIZE };
    size_t kept = EXEC_LAST_WORDS_SIZE - bytes.size;
    if (p->last_words_size > kept) {
        memmove(p->last_words, p->last_words + p->last_words_size - kept, kept);
        p->last_words_size = kept;
    }
    memcpy(p->last_words + p->last_words_size, bytes.at, bytes.size);
    p->last_words_size += bytes.size;
}

static void hear_error(struct exec_place *p, struct bytes bytes)
{
    remember_words(p, bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.at[i] != '\n')
            p->said[p->said_size++] = (char)bytes.at[i];
        if (bytes.at[i] == '\n' || p->said_size == EXEC_SAID_SIZE)
            log_said(p);
    }
}

static void came(struct io_child *child, enum io_child_stream stream, struct bytes bytes)
{
    struct exec_place *p = io_child_ctx(child);
    if (stream == IO_CHILD_ERROR)
        hear_error(p, bytes);
    else if (!p->killed)
        hear(p, bytes);
}

/* ---- its end ------------------------------------------------------------------------------------------------------------------- */

/* Of a letter cut in two, the second half does not lead. */
static const char *words_of(struct exec_place *p)
{
    size_t from = 0;
    while (p->last_words_size > 0 && p->last_words[p->last_words_size - 1] == '\n')
        p->last_words_size--;
    while (from < p->last_words_size && ((uint8_t)p->last_words[from] & 0xc0) == 0x80)
        from++;
    p->last_words[p->last_words_size] = '\0';
    return p->last_words + from;
}

static void pause_place(struct exec_place *p)
{
    mono_time now = io_now(p->exec->o.io);
    p->vain_count = p->useful || p->cancelled ? 0 : p->vain_count + 1;
    uint32_t doublings = p->vain_count > 9 ? 9 : p->vain_count;
    int64_t pause = doublings == 0 ? 0 : PAUSE_NS_MIN << (doublings - 1);
    p->not_before = mono_after(now, pause < PAUSE_NS_MAX ? pause : PAUSE_NS_MAX);
}

static void say_ended(struct exec_place *p, const char *how, int64_t pid)
{
    const struct exec_options *o = &p->exec->o;
    int64_t pause_ms = (p->not_before.ns - io_now(o->io).ns) / NS_PER_MS;
    logging_warn(o->logging, "a child has ended", LOGGING_TEXT("pipeline", o->pipeline),
                 LOGGING_TEXT("stage", o->stage), LOGGING_INT("pid", pid), LOGGING_TEXT("how", how),
                 LOGGING_INT("again_in_ms", pause_ms > 0 ? pause_ms : 0));
}

/* Its event was at work when it ended. One that it has not looked at is not to blame: it goes to the next child. */
static void charge(struct exec_place *p, const char *how, bool untouched)
{
    const char *words = words_of(p);
    snprintf(p->text, sizeof p->text, "%s%s%s", how, words[0] != '\0' ? "; its last words: " : "", words);
    if (untouched)
        exec_decide(p, OUTCOME_RELEASED, NULL, NULL);
    else
        exec_decide(p, outcome_of_error(p->exec->o.rules, CALL_ERROR_CRASH), "crash", p->text);
}

static void ended(struct io_child *child, const struct io_child_end *end)
{
    struct exec_place *p = io_child_ctx(child);
    char how[64];
    io_child_end_text(end, how, sizeof how);
    log_said(p);
    io_timer_cancel(&p->timer);
    must(p->exec->figures.children > 0);
    p->exec->figures.children--;
    pause_place(p);
    if (!p->killed) {
        p->exec->figures.crashes++;
        say_ended(p, how, io_child_pid(child));
    }
    if (is_at_work(p))
        charge(p, how, end->unread >= p->out.size);
    p->child = NULL;
    io_agent_wake(p->exec->o.owner);
}

static void closed(struct io_child *child)
{
    struct exec_place *p = io_child_ctx(child);
    p->closing = true;
    mono_time grace = mono_after(io_now(p->exec->o.io), GRACE_NS);
    io_timer_set(&p->timer, is_at_work(p) ? mono_min(grace, p->work->deadline) : grace);
}

static void sent(struct io_child *child, enum neap_status status)
{
    struct exec_place *p = io_child_ctx(child);
    p->sending = false;
    if (p->work == NULL || p->decided)
        io_timer_cancel(&p->timer);
    if (status != NEAP_OK && !p->closing)
        closed(child); /* it reads no more: what holds for one that says no more */
    exec_rest(p);
}

void exec_child_answered(struct exec_place *p)
{
    if (!p->sending && !p->closing)
        io_timer_cancel(&p->timer);
}

static void time_is_up(struct io_timer *timer, mono_time now)
{
    struct exec_place *p = timer->ctx;
    if (p->child == NULL || p->killed)
        return;
    if (is_at_work(p) && p->closing) {
        exec_decide(p, outcome_of_error(p->exec->o.rules, CALL_ERROR_CRASH), "crash",
                    "it closed its input or its output, and did not end");
    } else if (is_at_work(p)) {
        snprintf(p->text, sizeof p->text, "no answer in %lld ms", (long long)((now.ns - p->begun.ns) / NS_PER_MS));
        exec_decide(p, outcome_of_error(p->exec->o.rules, CALL_ERROR_TIMEOUT), "timeout", p->text);
        p->work->failure.status = NEAP_TIMEOUT;
    }
    exec_child_kill(p);
}

/* ---- its start ------------------------------------------------------------------------------------------------------------------- */

static bool start(struct exec_place *p)
{
    static const struct io_child_events events = { came, sent, closed, ended };
    const struct exec_options *o = &p->exec->o;
    struct io_child_options options = { .arguments = o->arguments, .folder = o->folder, .events = &events, .ctx = p };
    struct error err = { 0 };
    p->killed = p->cancelled = p->closing = p->sending = p->useful = false;
    p->in.size = p->in_from = p->said_size = 0;
    p->timer.fire = time_is_up;
    if (io_child_start(o->owner, &options, &p->child, &err) == NEAP_OK) {
        p->exec->figures.children++;
        p->exec->figures.started++;
        return true;
    }
    p->child = NULL;
    pause_place(p);
    logging_error(o->logging, "a child cannot be started; events wait for it", LOGGING_TEXT("pipeline", o->pipeline),
                  LOGGING_TEXT("stage", o->stage), LOGGING_TEXT("error", err.text));
    return false;
}

enum waiting_begun exec_child_ask(struct exec_place *p, mono_time deadline)
{
    p->last_words_size = 0;
    p->begun = io_now(p->exec->o.io);
    if (p->child == NULL && !start(p))
        return WAITING_LATER;
    enum neap_status status = io_child_send(p->child, (struct bytes){ p->out.at, p->out.size });
    p->sending = status == NEAP_OK;
    if (status != NEAP_OK && !p->closing) /* it is about to be heard that it has ended */
        closed(p->child);
    else if (!p->closing)
        io_timer_set(&p->timer, deadline);
    return WAITING_BEGUN;
}
