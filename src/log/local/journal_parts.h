/* journal_parts.h - the parts of the journal's writer: journal.c and the files that help it, and nobody else.
 *
 * owner    the journal agent: everything here runs on its turns, or before its agent starts
 * memory   none of its own
 * limits   those of journal.h
 * errors   what has failed is in shared.failed, and `stopped` is set
 * promise  journal.c collects, writes and syncs; build.c finds room and builds entries; visible.c tells and shows */
#ifndef LOG_LOCAL_JOURNAL_PARTS_H
#define LOG_LOCAL_JOURNAL_PARTS_H

#include "log/local/journal.h"

#define JOURNAL_MAGIC_OBJECT 0x6a6f7572u
#define TAKE_COUNT           64u /* units taken from a client at a time */
#define EARLY_ROOM_SIZE      (OP_HEADER_SIZE + LOG_KEY_SIZE_MAX + LOG_VALUE_SIZE_MAX)

/* One write: entries that become durable with one sync. */
struct group {
    uint64_t from, to;              /* positions */
    struct log_unit *first, **last; /* in the order of their entries */
    uint64_t entry_count, batch_count, append_size;
    int64_t time_ms;
    mono_time made;
    uint32_t holds; /* journal.hold_count, when its last entry was built */
    bool seals; /* it ends its file */
    bool early; /* units of it are answered after the write; what they say is read from the tail when it is durable */
    bool told;  /* some of them have been */
    bool used;
};

struct journal {
    uint32_t magic;
    struct log *log;
    struct io_agent agent;
    struct io_timer timer; /* idle mark, or a full disk tried again */
    struct {
        uint64_t sequence, base, end, salt;
        struct io_file *file;
    } file; /* the open one */
    uint64_t position, boot, durable;
    int64_t time_ms; /* of the newest entry, and when it was made */
    mono_time time_at;
    struct group synced, syncing, written; /* in this order on their way; synced: for as long as it is being shown */
    struct io_sync sync;
    _Atomic bool sync_running;
    _Atomic bool owes;       /* somebody has been answered whose unit is not synced yet */
    struct io_agent *closer; /* under the mutex: waits for the end of both */
    bool write_stuck;        /* `written` met a full disk and waits to be tried again */
    bool marked;             /* the durable mark is on disk */
    struct log_unit *held;        /* taken from its client, waiting for the next file */
    struct log_unit *held_higher; /* likewise, of a client of higher rank: it goes first */
    struct {
        struct log_unit *units[TAKE_COUNT];
        uint32_t at, count;
    } taken;                /* from one client, not looked at yet */
    uint32_t index_count;   /* batches in the open file, durable or not */
    uint32_t hold_count;    /* entries built that make a group hold a partition, or hold it further back, or declare offsets lost */
    uint64_t fact_reserved; /* bytes of facts on their way into the views */
    uint32_t client_next;
    struct entry_header entry; /* under construction: its operations lie in the tail; entry_size 0: none */
    bool entry_joins;          /* another unit may be added to it */
    bool entry_early;          /* its units are answered early, all of them or none */
    uint8_t *early_room;       /* of one operation of theirs, where it does not lie together in the tail */
    struct {
        uint32_t id;
        uint64_t delete_count;
        struct topic *topic;
    } seen; /* the topic looked up last */
    bool stopped;
    bool topic_went;         /* in what becomes visible next: who waits for its events is to be told */
};

/* ---- visible.c ---- */

void journal_tell(struct journal *j, struct log_unit *unit, enum neap_status status); /* one that is not written */
/* The end of all work: whoever waits is told. */
void journal_fail(struct journal *j, enum neap_status status, const char *what);
/* The agent has stopped: what is still on its way will not be followed. */
void journal_leave(struct journal *j);
/* After the write: answers what need not wait for the sync. */
void journal_tell_early(struct journal *j, struct group *g);
/* After the sync: readers see it, and the others are answered (rule J2). */
void journal_make_visible(struct journal *j, struct group *g);

/* ---- build.c ---- */

/* Finds room for it (rule J4); anything but OK: it will not be written, and nothing was taken. */
enum neap_status journal_check_unit(struct journal *j, struct log_unit *unit);
void journal_put_unit(struct journal *j, struct group *g, struct log_unit *unit);
void journal_put_bare(struct journal *j, struct group *g, uint16_t flags); /* without operations: a seal, a mark */
void journal_put_boot(struct journal *j, struct group *g, struct bytes version);
void journal_pad(struct journal *j, struct group *g); /* rule E4: the end of a write */

#endif
