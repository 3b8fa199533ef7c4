/* standard.c - standard streams of the simulated door: what is fed, and what was said. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

static const char *const names[] = { "<stdin>", "<stdout>", "<stderr>" };

void sim_standard_init(struct sim *sim)
{
    for (int i = 0; i < 3; i++) {
        uint32_t name = sim_pool_name(sim->disk->pool, names[i]);
        sim->standard[i] = (struct sim_file){ .file = { &sim->io, names[i] }, .name = name, .standard = i };
    }
}

void sim_standard_fini(struct sim *sim)
{
    for (int i = 0; i < 3; i++)
        free(sim->buffers[i].at);
}

static void append(struct sim_buffer *buffer, struct bytes bytes)
{
    while (buffer->size + bytes.size > buffer->room) {
        buffer->room = buffer->room == 0 ? 4096 : buffer->room * 2;
        buffer->at = realloc(buffer->at, buffer->room);
        must(buffer->at != NULL);
    }
    if (bytes.size > 0)
        memcpy(buffer->at + buffer->size, bytes.at, bytes.size);
    buffer->size += bytes.size;
}

void sim_input(struct io *io, struct bytes bytes, bool end)
{
    struct sim_buffer *buffer = &sim_of(io)->buffers[0];
    must(!buffer->end);
    append(buffer, bytes);
    buffer->end = end;
}

struct bytes sim_output(struct io *io, int number)
{
    must(number == 1 || number == 2);
    const struct sim_buffer *buffer = &sim_of(io)->buffers[number];
    return (struct bytes){ buffer->at, buffer->size };
}

struct io_file *sim_standard(struct io *io, int number)
{
    return &sim_of(io)->standard[number].file;
}

bool sim_is_terminal(struct io_file *file)
{
    (void)file;
    return false;
}

int sim_terminal_width(struct io_file *file)
{
    (void)file;
    return 80;
}

enum neap_status sim_read_next(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size)
{
    struct sim *sim = sim_of(file->io);
    const struct sim_file *mine = (const struct sim_file *)file;
    must(mine->standard == 0);
    struct sim_buffer *buffer = &sim->buffers[0];
    enum neap_status status = sim_call(sim, SIM_READ, mine->name);
    if (status != NEAP_OK)
        return status;
    sim_wait(sim, 1000, 2);
    while (buffer->read_size == buffer->size && !buffer->end) {
        if (sim->now_ns >= deadline.ns)
            return NEAP_TIMEOUT;
        sim_step(sim, deadline);
    }
    size_t left = buffer->size - buffer->read_size;
    size_t part = left < size ? left : size;
    if (part > 1 && !sim->calm && sim_one_in(&sim->order_chance, 2))
        part = 1 + sim_below(&sim->order_chance, (uint32_t)part);
    if (part > 0)
        memcpy(to, buffer->at + buffer->read_size, part);
    buffer->read_size += part;
    *ret_size = part;
    sim_note(sim, "stdin", 0, part, 0);
    return NEAP_OK;
}

enum neap_status sim_write_next(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size)
{
    struct sim *sim = sim_of(file->io);
    const struct sim_file *mine = (const struct sim_file *)file;
    must(mine->standard > 0);
    (void)deadline;
    *ret_size = 0;
    enum neap_status status = sim_call(sim, SIM_WRITE, mine->name);
    if (status != NEAP_OK)
        return status;
    sim_wait(sim, 1000, 2);
    append(&sim->buffers[mine->standard], bytes);
    *ret_size = bytes.size;
    sim_note(sim, "said", (uint64_t)mine->standard, bytes.size, bytes_hash(bytes, 0));
    return NEAP_OK;
}
