/* window.h - the bytes of a batch, and of what lies behind it as much as will be wanted next.
 *
 * owner    whoever reads a file's batches by its index, one after the other
 * memory   WINDOW_SIZE from the first batch on, or the largest batch where that is larger
 * limits   a batch with its header is LOG_UNIT_SIZE_MAX at most: the caller looks
 * errors   IO: its bytes cannot be read; NOMEM
 * promise  a bad place behind a batch does not keep the batch from being read */
#ifndef LOG_LOCAL_WINDOW_H
#define LOG_LOCAL_WINDOW_H

#include "log/local/index.h"

#define WINDOW_SIZE (256u << 10) /* read at once, where batches lie close together */

struct window { /* begins as zeros */
    const struct io_file *file; /* what it holds is of this one */
    uint64_t at;
    size_t size;
    uint8_t *room;
    size_t room_size;
};

/* From the header of list[0]'s operation on, fewer bytes only where the file ends. The others of the list come after it, and may
 * be read along. What is answered stays until the next call. */
enum neap_status window_read(struct window *w, struct io_file *file, const struct index_entry *list, uint32_t count,
                             struct bytes *ret_bytes);
void window_fini(struct window *w);

#endif
