/* library.h - shared objects: code that is found by its path while we run.
 *
 * owner    whoever opens it; from any thread
 * memory   one struct; the object's own is the system's
 * limits   none
 * errors   NEAP_NOTFOUND: no such file, or none that can be loaded: the message says what the loader said; NEAP_NOMEM
 * promise  its names are its own: nothing of it takes the place of ours */
#ifndef IO_LIBRARY_H
#define IO_LIBRARY_H

#include "io/io.h"

struct io_library;

enum neap_status io_library_open(struct io *io, const char *path, struct io_library **ret_library, struct error *err);
const void      *io_library_find(struct io_library *library, const char *symbol); /* NULL: it has none of that name */
/* Nothing of it is used any more. Accepts NULL inside. */
void             io_library_close(struct io_library **library);

#endif
