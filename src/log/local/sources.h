/* sources.h - journal files or archives that are read side by side: partition by partition, and of one partition source by source.
 *
 * owner    a rewrite
 * memory   a row per source, INDEX_LOAD_MAX entries of an index, a window
 * limits   as many sources as one rewrite has
 * errors   CORRUPT: damage in a source, sources_bad() says in which; NOMEM
 * promise  a batch is given as the index of its source and its own header have it, or not at all */
#ifndef LOG_LOCAL_SOURCES_H
#define LOG_LOCAL_SOURCES_H

#include "log/local/index.h"
#include "log/local/lost_list.h"

/* A journal file, or an archive: pinned by the caller until it reads no more. */
struct rewrite_source {
    struct index_file index;
    struct io_file *file;
    uint64_t base, salt;
    uint32_t output; /* which of what comes out: sources of one follow each other */
};

struct sources;

struct sources *sources_new(struct log *log, const struct rewrite_source *list, uint32_t count); /* copies; NULL: no memory */
void sources_free(struct sources **sources);
/* The least partition that has not been given. NOTFOUND: that was the last. */
enum neap_status sources_next_partition(struct sources *s, struct log_partition *ret_partition, struct error *err);
/* From where to where the batches of it go in the first `count` sources, but for those at the end that were declared lost.
 * Where there are none, both are as they were. */
enum neap_status sources_measure(struct sources *s, uint32_t count, const struct lost_list *lost, uint64_t *first,
                                 uint64_t *end, struct error *err);
/* Walks over the first `count` sources, from the first batch on that ends after `start`: as often as wanted. */
enum neap_status sources_walk(struct sources *s, uint32_t count, uint64_t start, struct error *err);
/* The next batch. AGAIN: the source was at its end, the next call looks into the next one. NOTFOUND: that was all. */
enum neap_status sources_next(struct sources *s, struct index_entry *ret_entry, struct error *err);
/* That batch, in room of the sources' until the next call. */
enum neap_status sources_read(struct sources *s, struct op *ret_op, struct error *err);
uint32_t sources_output(const struct sources *s); /* that its source goes into */

#define REWRITE_NOBODY UINT32_MAX
uint32_t sources_bad(const struct sources *s); /* the number of the damaged one; REWRITE_NOBODY: none, or not known */

#endif
