/* stream.c - sockets between agents of one simulation: bytes arrive in pieces, in order, when chance lets them. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

static struct sim_stream *mine_of(struct io_stream *stream)
{
    return (struct sim_stream *)stream;
}

static void later(struct sim_stream *stream)
{
    struct sim *sim = stream->agent->sim;
    int64_t ns = sim->calm ? 1000 : 1000 + sim_below(&sim->order_chance, 200000);
    if (!sim->calm && sim_one_in(&sim->order_chance, 100))
        ns += 20 * NS_PER_MS;
    stream->due = mono_after(sim_now(sim), ns);
}

static size_t piece(struct sim *sim, size_t size)
{
    must(size > 0);
    if (sim->calm || sim_one_in(&sim->order_chance, 2))
        return size;
    return 1 + sim_below(&sim->order_chance, (uint32_t)size);
}

/* ---- what happens on a turn ---- */

enum stream_event { NOTHING, ACCEPT, CLOSE_OWN, MOVE, SENT, BROKEN, DATA, CLOSE_PEER };

static enum stream_event next_event(const struct sim_stream *stream)
{
    if (stream->waiting != NULL)
        return ACCEPT;
    if (stream->closing)
        return CLOSE_OWN;
    if (stream->send_active && stream->sending.size == 0)
        return SENT;
    if (stream->send_active && stream->peer == NULL)
        return BROKEN;
    if (stream->stream.events != NULL && !stream->paused && stream->inbox_size > 0)
        return DATA;
    if (stream->stream.events != NULL && !stream->paused && stream->peer == NULL)
        return CLOSE_PEER;
    if (stream->send_active && stream->peer->inbox_size < SIM_STREAM_ROOM)
        return MOVE;
    return NOTHING;
}

bool sim_stream_ready(const struct sim_stream *stream)
{
    return next_event(stream) != NOTHING;
}

static void forget(struct sim_stream *stream)
{
    struct sim *sim = stream->agent->sim;
    if (stream->peer != NULL)
        stream->peer->peer = NULL;
    struct sim_stream **link = &sim->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    free(stream);
}

static void end(struct sim_stream *stream, enum neap_status status)
{
    if (stream->send_active) {
        stream->send_active = false;
        stream->stream.events->sent(&stream->stream, NEAP_CLOSED);
    }
    if (stream->stream.events != NULL)
        stream->stream.events->closed(&stream->stream, status);
    forget(stream);
}

static void move(struct sim_stream *stream)
{
    struct sim_stream *peer = stream->peer;
    size_t room = SIM_STREAM_ROOM - peer->inbox_size;
    size_t size = piece(stream->agent->sim, room < stream->sending.size ? room : stream->sending.size);
    memcpy(peer->inbox + peer->inbox_size, stream->sending.at, size);
    peer->inbox_size += size;
    stream->sending.at += size;
    stream->sending.size -= size;
    later(peer);
}

static void deliver(struct sim_stream *stream)
{
    uint8_t bytes[SIM_STREAM_ROOM];
    size_t size = piece(stream->agent->sim, stream->inbox_size);
    memcpy(bytes, stream->inbox, size);
    stream->inbox_size -= size;
    memmove(stream->inbox, stream->inbox + size, stream->inbox_size);
    stream->stream.events->data(&stream->stream, (struct bytes){ bytes, size });
}

static void happen(struct sim_stream *stream, enum stream_event event)
{
    switch (event) {
    case ACCEPT: {
        struct sim_listener *listener = stream->waiting;
        stream->waiting = NULL;
        listener->accepted(listener->ctx, &stream->stream);
        break;
    }
    case CLOSE_OWN:
        end(stream, NEAP_OK);
        break;
    case CLOSE_PEER:
        end(stream, NEAP_CLOSED);
        break;
    case MOVE:
        move(stream);
        break;
    case SENT:
    case BROKEN:
        stream->send_active = false;
        stream->stream.events->sent(&stream->stream, event == SENT ? NEAP_OK : NEAP_CLOSED);
        break;
    case DATA:
        deliver(stream);
        break;
    case NOTHING:
        must(!"an event");
    }
}

void sim_stream_turn(struct sim_stream *stream)
{
    struct sim_agent *agent = stream->agent;
    enum stream_event event = next_event(stream);
    sim_note(agent->sim, "stream", agent->name_hash, event, stream->inbox_size);
    later(stream);
    struct sim_agent *before = sim_turn_begin(agent);
    happen(stream, event);
    sim_turn_end(agent, before);
}

/* ---- the verbs ---- */

static struct sim_listener *listener_at(struct sim *sim, uint32_t name)
{
    struct sim_listener *listener = sim->listeners;
    while (listener != NULL && listener->name != name)
        listener = listener->next;
    return listener;
}

enum neap_status sim_listen(struct io_agent *agent, const char *path,
                            void (*accepted)(void *ctx, struct io_stream *stream), void *ctx,
                            struct io_listener **ret_listener, struct error *err)
{
    struct sim *sim = sim_of(agent->io_);
    uint32_t name = sim_pool_name(sim->disk->pool, path);
    if (listener_at(sim, name) != NULL)
        return error_set(err, NEAP_HELD, "%s: somebody listens there", path);
    struct sim_listener *listener = sim_take(sizeof(*listener));
    *listener = (struct sim_listener){ .listener = { agent->io_ }, .next = sim->listeners, .name = name };
    listener->agent = sim_agent_of(agent);
    listener->accepted = accepted;
    listener->ctx = ctx;
    sim->listeners = listener;
    *ret_listener = &listener->listener;
    return NEAP_OK;
}

void sim_listener_close(struct io_listener *closed)
{
    struct sim_listener *listener = (struct sim_listener *)closed;
    struct sim *sim = sim_of(closed->io);
    for (struct sim_stream *stream = sim->streams, *next; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->waiting == listener)
            forget(stream); /* its peer finds out */
    }
    struct sim_listener **link = &sim->listeners;
    while (*link != listener)
        link = &(*link)->next;
    *link = listener->next;
    free(listener);
}

static struct sim_stream *stream_new(struct sim *sim, struct sim_agent *agent)
{
    struct sim_stream *stream = sim_take(sizeof(*stream));
    stream->stream.io = &sim->io;
    stream->agent = agent;
    struct sim_stream **link = &sim->streams;
    while (*link != NULL)
        link = &(*link)->next;
    *link = stream;
    later(stream);
    return stream;
}

enum neap_status sim_connect(struct io_agent *agent, const char *path, struct io_stream **ret_stream, struct error *err)
{
    struct sim *sim = sim_of(agent->io_);
    struct sim_listener *listener = listener_at(sim, sim_pool_name(sim->disk->pool, path));
    if (listener == NULL)
        return error_set(err, NEAP_NOTFOUND, "%s: nobody listens there", path);
    struct sim_stream *near = stream_new(sim, sim_agent_of(agent));
    struct sim_stream *far = stream_new(sim, listener->agent);
    near->peer = far;
    far->peer = near;
    far->waiting = listener;
    *ret_stream = &near->stream;
    return NEAP_OK;
}

void sim_stream_start(struct io_stream *stream)
{
    later(mine_of(stream));
}

enum neap_status sim_stream_send(struct io_stream *stream, struct bytes bytes)
{
    struct sim_stream *mine = mine_of(stream);
    if (mine->send_active)
        return NEAP_AGAIN;
    must(!mine->closing);
    mine->sending = bytes;
    mine->send_active = true;
    return NEAP_OK;
}

void sim_stream_pause(struct io_stream *stream, bool paused)
{
    mine_of(stream)->paused = paused;
}

void sim_stream_close(struct io_stream *stream)
{
    mine_of(stream)->closing = true;
}
