/* library.c - shared objects, through the system's loader. */
#include "io/real/inside.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct real_library {
    struct io_library base;
    void *handle;
};

enum neap_status real_library_open(struct io *io, const char *path, struct io_library **ret_library, struct error *err)
{
    struct real_library *library = calloc(1, sizeof(*library));
    if (library == NULL)
        return error_set(err, NEAP_NOMEM, "%s: no memory", path);
    /* A name without a slash is looked for where the system keeps libraries: here it is a file as any other. */
    char here[PATH_MAX + 2];
    snprintf(here, sizeof(here), "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    if (strlen(path) >= PATH_MAX) {
        free(library);
        return error_set(err, NEAP_NOTFOUND, "%.80s…: no file has a name so long", path);
    }
    library->base.io = io;
    library->handle = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    if (library->handle == NULL) {
        const char *said = dlerror();
        free(library);
        return error_set(err, NEAP_NOTFOUND, "%s", said != NULL ? said : path);
    }
    *ret_library = &library->base;
    return NEAP_OK;
}

const void *real_library_find(struct io_library *library, const char *symbol)
{
    return dlsym(((struct real_library *)library)->handle, symbol);
}

void real_library_close(struct io_library *library)
{
    dlclose(((struct real_library *)library)->handle);
    free(library);
}
