/* job_letters.h - which dead letters a request is about.
 *
 * owner    the job
 * memory   the sets of what is settled (settled.h); where an expression is given its machine and an arena, 4 MiB together
 * limits   an expression that is asked costs its answer as much as reading LETTER_WHERE_COST bytes
 * errors   fail the job: an expression that does not load, sets that cannot be read. One that fails on a letter leaves that letter
 *          out; how many there were stands in the end line
 * promise  the same letters are meant by whoever lists, counts, drops and redrives with the same words */
#ifndef NODE_JOB_LETTERS_H
#define NODE_JOB_LETTERS_H

#include "flow/dead_letter.h"
#include "flow/settled.h"

#define FILTER_TEXT_SIZE_MAX  256u
#define FILTER_WHERE_SIZE_MAX 4096u
#define LETTER_WHERE_COST     1024u

struct job;
struct job_letters;

struct job_filter { /* empty: any */
    char reason[FILTER_TEXT_SIZE_MAX + 1], stage[FILTER_TEXT_SIZE_MAX + 1], pipeline[LOG_NAME_SIZE_MAX + 1];
    char *where; /* NULL: none */
    bool has_since, has_before;
    wall_time since, before;
    bool all;   /* those that are settled, too */
    bool brief; /* without headers and value */
};

struct job_letter {
    struct dead_letter_view view;
    enum settled_state state;
};

bool job_letters_open(struct job *job); /* once is enough. False: the job has failed */
void job_letters_free(struct job_letters **letters);
/* False: not this one, or the job has failed. */
bool job_letters_want(struct job *job, const struct record *record, struct job_letter *ret_letter);
void job_letters_forget(struct job *job); /* what is settled is looked up anew */
struct settled *job_letters_settled(struct job *job);
void job_letters_end(const struct job *job, struct writer *w); /* of the end line */

#endif
