/* doctor_parts.h - what the doctor's two files know together: the patient, and what was found of each partition. */
#ifndef LOG_LOCAL_DOCTOR_PARTS_H
#define LOG_LOCAL_DOCTOR_PARTS_H

#include "log/local/damage.h"
#include "log/local/header.h"
#include "log/local/recovery.h"
#include "log/local/scars.h"
#include "log/local/snapshot.h"
#include "log/local/views.h"

#define DOCTOR_RETRY_COUNT 3u /* of a place that another process may be writing */

/* An archive that cannot be read: whether that is damage still is known when everything has been looked at. */
struct bad_archive {
    uint64_t number;
    uint32_t topic_id;
    char what[64];
};

struct patient {
    struct io *io;
    const struct log_doctor *doctor;
    struct log log; /* its path and options, for names; nothing is opened in it */
    struct views views;
    struct snapshot snapshot; /* the newest good one; position 0: none */
    bool has_views;
    struct lost covered; /* offsets that were found, whole or damaged and named */
    uint64_t numbers[JOURNAL_FILE_MAX];
    uint32_t count;
    const char *suffix;
    uint64_t done_size, total_size;
    struct scan scan;
    struct file_header before; /* the last one whose header is known */
    struct scars scars; /* of the file in work */
    struct bad_archive bad_archives[ARCHIVE_COUNT_MAX];
    uint32_t bad_archive_count;
    bool scarred;       /* some were passed */
    bool hopeless;      /* no snapshot, and not enough of a journal to do without */
    bool gap;           /* the file looked at last is damaged, and nobody knows how far it reached */
    bool ended;         /* the journal's end has been found: files behind it hold nothing */
    bool has_before, damage, changing; /* changing: somebody works in the directory, or did a moment ago */
};

/* ---- doctor.c: saying */
struct log_finding doctor_place(const struct patient *p, const char *path, uint64_t byte, uint64_t size);
void doctor_say(struct patient *p, const struct log_finding *finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_note(struct patient *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void doctor_say_range(struct patient *p, struct log_finding place, struct log_partition partition, uint64_t first,
                      uint64_t end);
void doctor_keep_archive(struct patient *p, const struct archive *archive, const char *what); /* it is bad */
void doctor_progress(struct patient *p, uint64_t size);

/* ---- doctor_look.c: one file */
void doctor_look_at_journal(struct patient *p, uint32_t index); /* of numbers */
/* Names the journal files between the last one looked at and the one that begins at `base`, where a start needs them;
 * `sequence`: of that one. Behind the last file: what the snapshot holds beyond it. */
void doctor_look_for_missing(struct patient *p, uint64_t sequence, uint64_t base);
void doctor_look_at_end(struct patient *p);
void doctor_look_at_archive(struct patient *p, uint64_t number);

#endif
