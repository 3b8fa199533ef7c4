/* doctor_parts.h - what the doctor's files know together: the patient, and what was found of each partition. */
#ifndef LOG_LOCAL_DOCTOR_PARTS_H
#define LOG_LOCAL_DOCTOR_PARTS_H

#include "log/local/damage.h"
#include "log/local/header.h"
#include "log/local/recovery.h"
#include "log/local/scars.h"
#include "log/local/snapshot.h"
#include "log/local/views.h"

#define DOCTOR_RETRY_COUNT 3u /* of a place that another process may be writing */

/* A journal file or an archive, and the offsets that were found in it, whole or damaged and named. */
struct source {
    uint64_t first, last; /* sequence numbers of the journal files whose batches it holds */
    bool archive;
    struct lost covered;
};

/* An archive that cannot be read: whether that is damage still is known when everything has been looked at. */
struct bad_archive {
    struct archive_facts facts;
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
    struct source sources[JOURNAL_FILE_MAX + ARCHIVE_COUNT_MAX];
    uint32_t source_count;
    struct source *here;           /* the one in work */
    struct lost covered, lasting;  /* in any of them; in those that no archive stands for */
    uint32_t settled_count;        /* damaged places all of which was declared lost */
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
    bool too_many;      /* pieces of what was found: holes are not looked for */
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
/* What has become of offsets [first, end); MISSED: nothing, from *first on. */
enum doctor_fate { DOCTOR_FREED, DOCTOR_DECLARED, DOCTOR_MISSED };
enum doctor_fate doctor_fate(const struct patient *p, struct log_partition partition, uint64_t *first, uint64_t end);
enum doctor_fate doctor_say_range(struct patient *p, struct log_finding place, struct log_partition partition,
                                  uint64_t first, uint64_t end); /* where they are missed */
enum neap_status doctor_list(struct patient *p, const char *folder, const char *suffix, struct error *err); /* numbers */
void doctor_progress(struct patient *p, uint64_t size);

/* ---- doctor_holes.c: what no file has */
void doctor_begin_source(struct patient *p, uint64_t first, uint64_t last, bool archive);
void doctor_cover(struct patient *p, struct log_partition partition, uint64_t first, uint64_t end); /* in the one in work */
void doctor_keep_archive(struct patient *p, const struct archive *archive, const char *what); /* it is bad */
void doctor_look_for_holes(struct patient *p); /* when all files have been looked at */
void doctor_leave_holes(struct patient *p);    /* files came and went: what is missing cannot be told */
void doctor_sources_fini(struct patient *p);

/* ---- doctor_look.c: one file */
void doctor_look_for_losses(struct patient *p, uint64_t sequence); /* what was declared since the snapshot */
void doctor_look_at_journal(struct patient *p, uint32_t index); /* of numbers */
/* Names the journal files between the last one looked at and the one that begins at `base`, where a start needs them;
 * `sequence`: of that one. Behind the last file: what the snapshot holds beyond it. */
void doctor_look_for_missing(struct patient *p, uint64_t sequence, uint64_t base);
void doctor_look_at_end(struct patient *p);
void doctor_look_at_archive(struct patient *p, uint64_t number);

#endif
