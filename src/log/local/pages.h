/* pages.h - pages of index files, those asked for last kept in memory.
 *
 * owner    log_open(); any thread reads, under one mutex that is held for a copy and never for a disk
 * memory   pages_memory_size(size), all taken in pages_new()
 * limits   size / 4 KiB pages; the next one takes the place of one that was not asked for since the hand of the clock last
 *          came by
 * errors   those of io_file_read(); BADINPUT: the file ends before
 * promise  what is answered was read from this opening of the file: files that do not change while they are open, as indexes and
 *          archives, are never seen as they once were. Pages of a file that is closed are not asked for again, and go first */
#ifndef LOG_LOCAL_PAGES_H
#define LOG_LOCAL_PAGES_H

#include "io/io.h"

#define PAGES_SIZE_MIN 4096u /* a page; who has less is better off without */

struct pages;

struct pages *pages_new(struct io *io, size_t size); /* gives; NULL: out of memory */
void pages_free(struct pages **pages);
size_t pages_memory_size(size_t size);
/* Exactly `size` bytes. */
enum neap_status pages_read(struct pages *pages, struct io_file *file, uint64_t position, void *to, size_t size);

struct pages_figures {
    uint64_t hit_count, miss_count;
};
void pages_figures(struct pages *pages, struct pages_figures *ret_figures);

#endif
