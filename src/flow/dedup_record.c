#include "flow/dedup_record.h"
#include "base/must.h"

#define RECORD_VERSION 1u

bool dedup_record_fits(const struct dedup_record *r, const struct writer *w, log_offset offset, int64_t appended_ms)
{
    if (r->count == 0)
        return true;
    return (size_t)(w->end - w->at) >= DEDUP_RECORD_ENTRY_SIZE && offset.n - r->first_offset <= UINT32_MAX &&
           appended_ms - r->first_ms <= (int64_t)UINT32_MAX;
}

void dedup_record_add(struct dedup_record *r, struct writer *w, struct log_partition source,
                      const struct dedup_seen_id *seen)
{
    if (r->count++ == 0) {
        r->first_offset = seen->offset.n;
        r->first_ms = seen->appended_ms;
        write_u8(w, RECORD_VERSION);
        write_le32(w, source.topic_id);
        write_le32(w, source.partition);
        write_le64(w, r->first_offset);
        write_le64(w, (uint64_t)r->first_ms);
    }
    must(seen->offset.n >= r->first_offset && seen->appended_ms >= r->first_ms);
    for (int i = 0; i < 3; i++)
        write_le32(w, seen->id.part[i]);
    write_le32(w, (uint32_t)(seen->offset.n - r->first_offset));
    write_le32(w, (uint32_t)(seen->appended_ms - r->first_ms));
    must(!w->full);
}

enum neap_status dedup_record_read(struct bytes value, struct dedup_record_walk *ret_walk)
{
    struct reader r = reader_of(value);
    uint8_t version = read_u8(&r);
    struct dedup_record_walk walk = { .source.topic_id = read_le32(&r) };
    walk.source.partition = read_le32(&r);
    walk.first_offset = read_le64(&r);
    walk.first_ms = (int64_t)read_le64(&r);
    if (version > RECORD_VERSION)
        return NEAP_VERSION;
    if (r.spent || version == 0 || reader_left(&r) % DEDUP_RECORD_ENTRY_SIZE != 0 || reader_left(&r) == 0 ||
        walk.first_offset > UINT64_MAX - UINT32_MAX || walk.first_ms < 0 ||
        walk.first_ms > INT64_MAX - (int64_t)UINT32_MAX)
        return NEAP_CORRUPT;
    walk.left = r;
    *ret_walk = walk;
    return NEAP_OK;
}

bool dedup_record_next(struct dedup_record_walk *walk, struct dedup_seen_id *ret_seen)
{
    struct reader *r = &walk->left;
    if (reader_left(r) == 0)
        return false;
    for (int i = 0; i < 3; i++)
        ret_seen->id.part[i] = read_le32(r);
    ret_seen->offset = (log_offset){ walk->first_offset + read_le32(r) };
    ret_seen->appended_ms = walk->first_ms + read_le32(r);
    return true;
}
