/* job_reading.h - the records of one partition, from some place on, as far as one answer looks.
 *
 * owner    the job; what has been opened is the job's `reading`, and its end line says where the next question begins
 * memory   a log_reader, and room for what of a compressed batch is taken apart
 * limits   CONTROL_READ_SIZE_MAX bytes of what is read, or looked at
 * errors   fail the job
 * promise  each record from `from` on that was durable when it was opened is given once, and those that cannot be read are
 *          told in their place */
#ifndef NODE_JOB_READING_H
#define NODE_JOB_READING_H

#include "log/batch.h"
#include "log/log.h"

struct job;

struct job_reading {
    struct log_reader *reader;
    struct batch batch;
    struct batch_walk walk;
    struct codec_room unpack;
    bool batch_open, more;
    uint64_t first, next, end, read_size;
    struct error unreadable; /* why those from `next` on, up to the end of the batch, are not shown */
};

enum job_seen { JOB_SEEN, JOB_UNREADABLE, JOB_OVER }; /* OVER: for this answer, or the job has failed */

/* Of the job's topic, which is looked up, and its partition. False: the job has failed. */
bool          job_reading_open(struct job *job);
void          job_reading_close(struct job_reading **reading);
/* UNREADABLE: where it is to be told; job_reading_pass() goes on behind it. */
enum job_seen job_reading_next(struct job *job, struct record *ret_record);
uint64_t      job_reading_pass(struct job_reading *r); /* answers the first offset after them */
/* What was made of a record costs as much as looking at so many bytes. */
void          job_reading_charge(struct job_reading *r, uint64_t size);
/* The answer ends here; the next one begins at this offset. */
void          job_reading_stop(struct job_reading *r, uint64_t next);

#endif
