/* library.c - shared objects of a simulation: those that it has put there. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

struct sim_library {
    struct io_library library;
    const struct sim_object *object;
};

void sim_object_set(struct io *io, const struct sim_object *object)
{
    struct sim *sim = sim_of(io);
    must(sim->object_count < COUNT_OF(sim->objects));
    sim->objects[sim->object_count++] = object;
}

enum neap_status sim_library_open(struct io *io, const char *path, struct io_library **ret_library, struct error *err)
{
    struct sim *sim = sim_of(io);
    for (uint32_t i = 0; i < sim->object_count; i++) {
        if (strcmp(sim->objects[i]->path, path) != 0)
            continue;
        struct sim_library *library = sim_take(sizeof(*library));
        *library = (struct sim_library){ { io }, sim->objects[i] };
        *ret_library = &library->library;
        return NEAP_OK;
    }
    return error_set(err, NEAP_NOTFOUND, "%s: no such shared object", path);
}

const void *sim_library_find(struct io_library *library, const char *symbol)
{
    const struct sim_object *object = ((struct sim_library *)library)->object;
    return strcmp(object->symbol, symbol) == 0 ? object->at : NULL;
}

void sim_library_close(struct io_library *library)
{
    free(library);
}
