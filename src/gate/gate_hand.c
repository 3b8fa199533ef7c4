/* gate_hand.c - hands loads to the log, a unit at a time (rules G1 and G2). */
#include "gate/gate_parts.h"

#define UNIT_LOADS_SIZE_MAX (1u << 20) /* several loads in one unit only up to here; one alone may be larger */
#define FULL_WAIT_NS_MIN    (100 * NS_PER_MS)
#define FULL_WAIT_NS_MAX    (250 * NS_PER_MS) /* work goes on within about a second of there being room */

static struct load *load_at(struct gate *g, uint32_t index)
{
    must(index < g->load_count);
    return &g->loads[(g->load_first + index) % g->options.unit_count_max];
}

static void put_facts(struct gate *g)
{
    struct flight *f = &g->flight;
    struct log_partition door = { g->options.topic_id, 0 };
    const struct load *last = load_at(g, f->load_count - 1);
    f->ops[f->unit.count++] = (struct log_op){ .kind = LOG_FACT,
                                               .view = LOG_VIEW_LEDGER,
                                               .target = door,
                                               .name = { (const uint8_t *)g->ledger_key, g->ledger_key_size },
                                               .payload = ledger_encode(&f->after, f->ledger_room) };
    if (!last->has_mark)
        return;
    f->position = last->mark.position;
    f->ops[f->unit.count++] = (struct log_op){ .kind = LOG_FACT,
                                               .view = LOG_VIEW_FILE,
                                               .target = door,
                                               .name = { (const uint8_t *)g->mark_key, g->mark_key_size },
                                               .payload = mark_encode(&last->mark, f->mark_room) };
}

/* Rules G1 and G2. */
static void make_unit(struct gate *g)
{
    struct flight *f = &g->flight;
    size_t size = 0;
    must(f->load_count == 0 && g->load_count > 0);
    f->unit.count = 0;
    f->after = g->total;
    while (f->load_count < g->load_count) {
        const struct load *load = load_at(g, f->load_count);
        bool fits =
            size + load->size <= UNIT_LOADS_SIZE_MAX && f->unit.count + load->op_count + 2 <= LOG_UNIT_OP_COUNT_MAX;
        if (f->load_count > 0 && !fits)
            break;
        memcpy(f->ops + f->unit.count, load->ops, load->op_count * sizeof(*load->ops));
        f->unit.count += load->op_count;
        size += load->size;
        f->after.accepted += load->accepted_count;
        f->after.dead_lettered += load->dead_count;
        f->load_count++;
    }
    put_facts(g);
}

static void wait_for_room(struct gate *g)
{
    struct flight *f = &g->flight;
    f->wait_ns = f->wait_ns == 0                     ? FULL_WAIT_NS_MIN
                 : f->wait_ns * 2 < FULL_WAIT_NS_MAX ? f->wait_ns * 2
                                                     : FULL_WAIT_NS_MAX;
    f->waits = true;
    io_timer_set(&g->retry, mono_after(io_now(g->io), f->wait_ns));
}

static void log_stopped(struct gate *g, enum neap_status status)
{
    g->error.status = NEAP_OK;
    if (log_health(g->options.log, &g->error) == NEAP_OK || g->error.status == NEAP_OK)
        error_set(&g->error, status, "append to topic %s: %s", g->options.topic,
                  status == NEAP_REFUSED ? "it was deleted" : status_text(status));
    gate_fail(g);
}

static void landed(struct gate *g)
{
    struct flight *f = &g->flight;
    g->run.accepted += f->after.accepted - g->total.accepted;
    g->run.dead_lettered += f->after.dead_lettered - g->total.dead_lettered;
    g->total = f->after;
    g->load_first = (g->load_first + f->load_count) % g->options.unit_count_max;
    g->load_count -= f->load_count;
    f->load_count = 0;
    f->wait_ns = 0;
    if (g->said_full)
        logging_info(g->options.logging, "there is room in the log again",
                     LOGGING_TEXT("pipeline", g->options.pipeline));
    g->said_full = false;
    io_mutex_take(g->mutex);
    g->figures.position = f->position;
    io_mutex_drop(g->mutex);
}

void gate_unit_done(struct log_unit *unit, enum neap_status status)
{
    struct gate *g = unit->ctx;
    CHECK_MAGIC(g, GATE_MAGIC);
    if (status == NEAP_OK) {
        landed(g);
        return;
    }
    if (status != NEAP_FULL) {
        log_stopped(g, status);
        return;
    }
    if (!g->said_full)
        logging_warn(g->options.logging, "the log is full; reading goes on when there is room",
                     LOGGING_TEXT("pipeline", g->options.pipeline));
    g->said_full = true;
    wait_for_room(g);
}

void gate_try_again(struct io_timer *timer, mono_time now)
{
    struct gate *g = timer->ctx;
    (void)now;
    io_agent_wake(&g->agent);
    if (!g->flight.waits)
        return;
    g->flight.waits = false;
    enum neap_status status = log_submit(g->client, &g->flight.unit);
    if (status == NEAP_AGAIN)
        wait_for_room(g);
    else if (status != NEAP_OK)
        log_stopped(g, status);
}

uint32_t gate_hand_on(struct gate *g)
{
    if (g->flight.load_count > 0 || g->load_count == 0 || g->error.status != NEAP_OK)
        return 0;
    make_unit(g);
    enum neap_status status = log_submit(g->client, &g->flight.unit);
    if (status == NEAP_AGAIN)
        wait_for_room(g);
    else if (status != NEAP_OK)
        log_stopped(g, status);
    return 1;
}
