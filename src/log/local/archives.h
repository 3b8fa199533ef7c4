/* archives.h - which archives stand for what: the part of the views that says where drained batches lie.
 *
 * An archive holds batches of one topic, of the journal files first_sequence to last_sequence; no other source holds batches
 * of that topic from those files. So the sources of a topic (its archives, and the files not drained) have one order.
 *
 * owner    changed by the journal agent (and by recovery, alone) under the shared mutex, as all views are
 * memory   a struct per archive, ARCHIVE_COUNT_MAX of them; the directory of each lies in its file
 * errors   CORRUPT: an operation that makes no sense; FULL: too many; NOMEM
 * promise  a function of the journal's entries in their order, handles of files and pins aside
 *
 * FORMAT of what replaces what (the payload of operation 9; target: the topic; offset: the journal file that is drained, or 0)
 *     0  4  format version (1)     4  4  removed count     8  4  added count     12  4  shrunk count
 *     removed: number u64          added: number, first sequence, last sequence, size, salt, batch count, flags: u64 each
 *     shrunk, what compaction took from a partition: number u32, batches u32, start of the partition then u64, bytes i64 */
#ifndef LOG_LOCAL_ARCHIVES_H
#define LOG_LOCAL_ARCHIVES_H

#include "base/bytes.h"
#include "log/limits.h"
#include "log/log.h"

#define REPLACE_VERSION     1u
#define REPLACE_HEADER_SIZE 16u
#define REPLACE_ADDED_SIZE  56u
#define REPLACE_SHRUNK_SIZE 24u

struct archive_facts {
    uint64_t number; /* its name; never used twice */
    uint64_t first_sequence, last_sequence;
    uint64_t size, salt, batch_count;
    uint64_t flags;
};

enum {
    ARCHIVE_COMPACTED = 1, /* each key is in it once, as far as it was compacted */
    ARCHIVE_CONTINUES = 2, /* and in the archive before it not any more: they come from one compaction */
};

struct archive {
    struct archive_facts facts;
    uint32_t topic_id;
    struct io_file *file;  /* NULL: recovery has not opened it yet */
    uint64_t index_at;     /* where its index lies in the file */
    uint32_t pin_count;    /* readers and the keeper */
    uint64_t live_at;      /* 1 + what had changed when its living bytes were last counted; 0: never */
    uint64_t live_size;    /* of its batches, then */
    bool bad;              /* damage was met in it: it is left as it is */
    bool left_alone;       /* the cleaner met damage in it, or beside it: it is neither joined nor compacted */
    bool checked;          /* its index has been read whole, and was right */
    struct archive *next_; /* among the prepared or the gone */
};

struct archives {
    struct archive **list; /* by topic id and first sequence */
    uint32_t count, room;
    uint64_t number_next;
    struct archive *prepared; /* written, and not yet durable in the journal: the keeper's */
    struct archive *gone;     /* nothing refers to them any more but pins; the keeper unlinks them */
    uint64_t drained[1024];   /* journal files that archives stand for, until they are recycled */
    uint32_t drained_count;
};

struct shrunk { /* a partition whose batches became fewer, or smaller, and from which start on they were counted */
    uint32_t partition, batch_count;
    uint64_t start;
    int64_t size;
};

struct replace {
    uint64_t drained; /* 0: no journal file */
    uint32_t removed_count, added_count, shrunk_count;
    struct bytes removed, added, shrunk;
};

uint64_t replace_number(const struct replace *r, uint32_t index); /* of the removed */
struct archive_facts replace_added(const struct replace *r, uint32_t index);
struct shrunk replace_shrunk(const struct replace *r, uint32_t index);
enum neap_status replace_decode(struct bytes payload, uint64_t drained, struct replace *ret);
/* room: REPLACE_HEADER_SIZE + 8 * removed + REPLACE_ADDED_SIZE * added + REPLACE_SHRUNK_SIZE * shrunk. */
struct bytes replace_encode(uint8_t *room, const uint64_t *removed, uint32_t removed_count,
                            const struct archive_facts *added, uint32_t added_count, const struct shrunk *shrunk,
                            uint32_t shrunk_count);

void archives_free_chain(struct archive *first); /* linked by next_; closes the files */
void archives_fini(struct archives *a); /* closes the files */
/* CORRUPT where it removes what is not there, or adds what is. NOMEM. */
enum neap_status archives_apply(struct archives *a, uint32_t topic_id, const struct replace *r);
enum neap_status archives_add(struct archives *a, uint32_t topic_id, const struct archive_facts *facts);
enum neap_status archives_add_drained(struct archives *a, uint64_t sequence);
void archives_drop_topic(struct archives *a, uint32_t topic_id); /* all of them are gone */
struct archive *archives_find(const struct archives *a, uint64_t number);
/* The topic's archives are list[first] .. list[first + count - 1]. */
uint32_t archives_of(const struct archives *a, uint32_t topic_id, uint32_t *ret_first);
bool archives_drained(const struct archives *a, uint64_t sequence);
/* Whether an archive stands for this file, or for files on both sides of it: then whatever lives of it lies in archives. */
bool archives_cover(const struct archives *a, uint64_t sequence);
/* Whether one that stands for this file cannot be read: where the file was drained, it has the last good copy. */
bool archives_miss(const struct archives *a, uint64_t sequence);
void archives_forget_drained(struct archives *a, uint64_t sequence);

#endif
