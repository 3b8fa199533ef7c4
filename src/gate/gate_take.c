/* gate_take.c - reads, makes lines of the bytes and loads of the lines. */
#include "gate/gate_parts.h"

#define LOOK_AGAIN_NS      (250 * NS_PER_MS)
#define STDIN_WAIT_NS      (250 * NS_PER_MS)
#define STDIN_BUSY_WAIT_NS (5 * NS_PER_MS) /* while a unit is on its way: its end should not wait long for us */

static void look_later(struct gate *g, mono_time now)
{
    if (!g->looking)
        io_timer_set(&g->look, mono_after(now, LOOK_AGAIN_NS));
    g->looking = true;
}

void gate_look_again(struct io_timer *timer, mono_time now)
{
    struct gate *g = timer->ctx;
    (void)now;
    g->looking = false;
    io_agent_wake(&g->agent);
}

/* A followed file that cannot be read is looked at again; any other ends the gate. */
static void cannot_read(struct gate *g, mono_time now, struct error *err)
{
    if (g->options.path == NULL || !g->options.follow || err->status == NEAP_MISUSE) {
        g->error = *err;
        gate_fail(g);
        return;
    }
    if (!g->said_unreadable)
        logging_warn(g->options.logging, "cannot read the file; trying again",
                     LOGGING_TEXT("pipeline", g->options.pipeline), LOGGING_TEXT("file", gate_name(g)),
                     LOGGING_TEXT("error", err->text));
    g->said_unreadable = true;
    look_later(g, now);
}

static void open_input(struct gate *g, mono_time now)
{
    struct input_start start;
    struct error err = { 0 };
    enum neap_status status = input_open(g->input, &start, &err);
    if (status == NEAP_AGAIN) {
        look_later(g, now);
        return;
    }
    if (status != NEAP_OK) {
        cannot_read(g, now, &err);
        return;
    }
    lines_drop(&g->lines);
    g->position = start.position;
    g->line_count = start.line_count;
    g->inside_line = start.inside_line;
}

static struct load *next_load(struct gate *g)
{
    must(g->load_count < g->options.unit_count_max);
    return &g->loads[(g->load_first + g->load_count) % g->options.unit_count_max];
}

static void finish_load(struct gate *g)
{
    if (loader_count(g->loader) == 0)
        return;
    struct load *load = next_load(g);
    enum neap_status status = loader_build(g->loader, load, io_wall(g->io));
    if (status != NEAP_OK) {
        error_set(&g->error, status, "no memory for lines of %s", gate_name(g));
        gate_fail(g);
        return;
    }
    load->has_mark = input_mark(g->input, g->position, g->line_count, &load->mark);
    g->load_count++;
}

/* A byte order mark before the first line is no part of it. */
static void skip_byte_order_mark(struct gate *g, struct line *line)
{
    if (g->position == 0 && line->bytes.size >= 3 && memcmp(line->bytes.at, "\xef\xbb\xbf", 3) == 0) {
        line->bytes.at += 3;
        line->bytes.size -= 3;
        line->size -= 3;
    }
}

/* Takes lines until there are no more whole ones, or the load is full; answers how many. */
static uint32_t take_lines(struct gate *g, bool at_end)
{
    uint32_t count = 0;
    wall_time now = io_wall(g->io);
    struct line line;
    while (lines_peek(&g->lines, at_end, &line)) {
        struct line shown = line;
        skip_byte_order_mark(g, &shown);
        bool goes_on = g->inside_line;
        uint64_t number = g->line_count + (goes_on ? 0 : 1);
        if (!line_is_blank(&shown) && loader_take(g->loader, &shown, number, now) != NEAP_OK)
            break;
        lines_pass(&g->lines, &line);
        g->position += line.consumed_size;
        g->line_count = number;
        g->inside_line = false;
        count++;
    }
    finish_load(g);
    return count;
}

static void met_end(struct gate *g, mono_time now)
{
    switch (input_at_end(g->input, g->position)) {
    case INPUT_MORE:
        break;
    case INPUT_WAIT:
        look_later(g, now);
        break;
    case INPUT_OVER:
        if (lines_rest_size(&g->lines) > 0)
            take_lines(g, true);
        g->input_over = true;
        break;
    case INPUT_TURNED:
        if (lines_rest_size(&g->lines) > 0)
            take_lines(g, true);
        open_input(g, now);
        break;
    case INPUT_BEGUN:
        open_input(g, now);
        break;
    case INPUT_REREAD:
        lines_drop(&g->lines);
        break;
    }
}

static void read_more(struct gate *g, mono_time now)
{
    struct error err = { 0 };
    size_t size = 0;
    uint8_t *room = lines_room(&g->lines);
    if (room == NULL) {
        error_set(&g->error, NEAP_NOMEM, "no memory for a line of %s", gate_name(g));
        gate_fail(g);
        return;
    }
    bool busy = g->flight.load_count > 0;
    enum neap_status status = input_read(g->input, room, g->options.read_size,
                                         mono_after(now, busy ? STDIN_BUSY_WAIT_NS : STDIN_WAIT_NS), &size, &err);
    if (status == NEAP_TIMEOUT)
        return;
    if (status != NEAP_OK) {
        cannot_read(g, now, &err);
        return;
    }
    g->said_unreadable = false;
    lines_added(&g->lines, size);
    if (size > 0 && input_is_same(g->input, g->position))
        take_lines(g, false);
    else
        met_end(g, now);
}

/* One step: the lines that are there, or else more bytes. */
uint32_t gate_take_in(struct gate *g, mono_time now)
{
    bool may = !g->input_over && !g->looking && g->load_count < g->options.unit_count_max;
    if (!may)
        return 0;
    if (!input_is_open(g->input))
        open_input(g, now);
    else if (take_lines(g, false) == 0)
        read_more(g, now);
    return 1;
}

uint32_t gate_take_rest(struct gate *g)
{
    return take_lines(g, false);
}
