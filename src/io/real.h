/* real.h - the door to this machine: libuv for loops and sockets, plain calls for files.
 *
 * An agent without streams or signals rests on a futex; one with them rests in its libuv loop. */
#ifndef IO_REAL_H
#define IO_REAL_H

#include "io/io.h"

struct io *io_real_open(struct error *err); /* gives; NULL: error */
/* Inside somebody else's program: leaves its signals and standard streams as they are; its threads take no signals. */
struct io *io_real_open_guest(struct error *err);
void       io_real_close(struct io **io);   /* every agent has been stopped */
/* Ends the process at once, whatever its threads wait for: nothing is flushed or closed. For a program of ours; a library leaves
 * that to its host. */
_Noreturn void io_real_leave(int code);

#endif
