/* library.c - the public verbs of shared objects. */
#include "io/library.h"
#include "base/must.h"
#include "io/door.h"

enum neap_status io_library_open(struct io *io, const char *path, struct io_library **ret_library, struct error *err)
{
    must(path != NULL && ret_library != NULL);
    return io->verbs->library_open(io, path, ret_library, err);
}

const void *io_library_find(struct io_library *library, const char *symbol)
{
    return library->io->verbs->library_find(library, symbol);
}

void io_library_close(struct io_library **library)
{
    if (*library == NULL)
        return;
    (*library)->io->verbs->library_close(*library);
    *library = NULL;
}
