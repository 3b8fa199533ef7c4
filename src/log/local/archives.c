#include "log/local/archives.h"
#include "base/must.h"
#include "io/io.h"
#include <stdlib.h>

/* ---- what replaces what -------------------------------------------------------------------------------------------- */

uint64_t replace_number(const struct replace *r, uint32_t index)
{
    must(index < r->removed_count);
    return get_le64(r->removed.at + 8ull * index);
}

struct archive_facts replace_added(const struct replace *r, uint32_t index)
{
    must(index < r->added_count);
    const uint8_t *at = r->added.at + (size_t)index * REPLACE_ADDED_SIZE;
    return (struct archive_facts){ .number = get_le64(at),
                                   .first_sequence = get_le64(at + 8),
                                   .last_sequence = get_le64(at + 16),
                                   .size = get_le64(at + 24),
                                   .salt = get_le64(at + 32),
                                   .batch_count = get_le64(at + 40),
                                   .flags = get_le64(at + 48) };
}

struct shrunk replace_shrunk(const struct replace *r, uint32_t index)
{
    must(index < r->shrunk_count);
    const uint8_t *at = r->shrunk.at + (size_t)index * REPLACE_SHRUNK_SIZE;
    return (struct shrunk){ .partition = get_le32(at),
                            .batch_count = get_le32(at + 4),
                            .start = get_le64(at + 8),
                            .size = (int64_t)get_le64(at + 16) };
}

enum neap_status replace_decode(struct bytes payload, uint64_t drained, struct replace *ret)
{
    if (payload.size < REPLACE_HEADER_SIZE)
        return NEAP_CORRUPT;
    if (get_le32(payload.at) > REPLACE_VERSION)
        return NEAP_VERSION;
    uint64_t removed = 8ull * get_le32(payload.at + 4), added = (uint64_t)REPLACE_ADDED_SIZE * get_le32(payload.at + 8);
    uint64_t shrunk = (uint64_t)REPLACE_SHRUNK_SIZE * get_le32(payload.at + 12);
    if (get_le32(payload.at) != REPLACE_VERSION || payload.size != REPLACE_HEADER_SIZE + removed + added + shrunk)
        return NEAP_CORRUPT;
    const uint8_t *at = payload.at + REPLACE_HEADER_SIZE;
    *ret = (struct replace){ .drained = drained,
                             .removed_count = get_le32(payload.at + 4),
                             .added_count = get_le32(payload.at + 8),
                             .shrunk_count = get_le32(payload.at + 12),
                             .removed = { at, removed },
                             .added = { at + removed, added },
                             .shrunk = { at + removed + added, shrunk } };
    return NEAP_OK;
}

struct bytes replace_encode(uint8_t *room, const uint64_t *removed, uint32_t removed_count,
                            const struct archive_facts *added, uint32_t added_count, const struct shrunk *shrunk,
                            uint32_t shrunk_count)
{
    uint8_t *at = room;
    put_le32(at, REPLACE_VERSION);
    put_le32(at + 4, removed_count);
    put_le32(at + 8, added_count);
    put_le32(at + 12, shrunk_count);
    at += REPLACE_HEADER_SIZE;
    for (uint32_t i = 0; i < removed_count; i++, at += 8)
        put_le64(at, removed[i]);
    for (uint32_t i = 0; i < added_count; i++, at += REPLACE_ADDED_SIZE) {
        put_le64(at, added[i].number);
        put_le64(at + 8, added[i].first_sequence);
        put_le64(at + 16, added[i].last_sequence);
        put_le64(at + 24, added[i].size);
        put_le64(at + 32, added[i].salt);
        put_le64(at + 40, added[i].batch_count);
        put_le64(at + 48, added[i].flags);
    }
    for (uint32_t i = 0; i < shrunk_count; i++, at += REPLACE_SHRUNK_SIZE) {
        put_le32(at, shrunk[i].partition);
        put_le32(at + 4, shrunk[i].batch_count);
        put_le64(at + 8, shrunk[i].start);
        put_le64(at + 16, (uint64_t)shrunk[i].size);
    }
    return (struct bytes){ room, (size_t)(at - room) };
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */

void archives_free_chain(struct archive *first)
{
    for (struct archive *a = first, *next; a != NULL; a = next) {
        next = a->next_;
        io_file_close(&a->file);
        free(a);
    }
}

void archives_fini(struct archives *a)
{
    for (uint32_t i = 0; i < a->count; i++) {
        must(a->list[i]->pin_count == 0); /* readers are closed */
        io_file_close(&a->list[i]->file);
        free(a->list[i]);
    }
    free(a->list);
    archives_free_chain(a->prepared);
    archives_free_chain(a->gone);
    *a = (struct archives){ 0 };
}

static bool is_before(const struct archive *a, uint32_t topic_id, uint64_t first_sequence)
{
    return a->topic_id < topic_id || (a->topic_id == topic_id && a->facts.first_sequence < first_sequence);
}

/* The first slot that is not before (topic, sequence). */
static uint32_t slot_of(const struct archives *a, uint32_t topic_id, uint64_t first_sequence)
{
    uint32_t low = 0, high = a->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_before(a->list[middle], topic_id, first_sequence))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t archives_of(const struct archives *a, uint32_t topic_id, uint32_t *ret_first)
{
    *ret_first = slot_of(a, topic_id, 0);
    return slot_of(a, topic_id + 1, 0) - *ret_first;
}

struct archive *archives_find(const struct archives *a, uint64_t number)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->list[i]->facts.number == number)
            return a->list[i];
    return NULL;
}

static struct archive *take_prepared(struct archives *a, uint64_t number)
{
    for (struct archive **at = &a->prepared; *at != NULL; at = &(*at)->next_) {
        struct archive *found = *at;
        if (found->facts.number != number)
            continue;
        *at = found->next_;
        found->next_ = NULL;
        return found;
    }
    return NULL;
}

static enum neap_status make_room(struct archives *a)
{
    if (a->count < a->room)
        return NEAP_OK;
    if (a->count == ARCHIVE_COUNT_MAX)
        return NEAP_FULL;
    uint32_t room = a->room == 0 ? 16 : 2 * a->room;
    struct archive **grown = realloc(a->list, room * sizeof(struct archive *));
    if (grown == NULL)
        return NEAP_NOMEM;
    a->list = grown;
    a->room = room;
    return NEAP_OK;
}

enum neap_status archives_add(struct archives *a, uint32_t topic_id, const struct archive_facts *facts)
{
    if (facts->number == 0 || facts->first_sequence == 0 || facts->last_sequence < facts->first_sequence ||
        archives_find(a, facts->number) != NULL)
        return NEAP_CORRUPT;
    uint32_t slot = slot_of(a, topic_id, facts->first_sequence);
    if ((slot > 0 && a->list[slot - 1]->topic_id == topic_id &&
         a->list[slot - 1]->facts.last_sequence >= facts->first_sequence) ||
        (slot < a->count && a->list[slot]->topic_id == topic_id &&
         a->list[slot]->facts.first_sequence <= facts->last_sequence))
        return NEAP_CORRUPT; /* two would stand for one file */
    enum neap_status status = make_room(a);
    if (status != NEAP_OK)
        return status;
    struct archive *archive = take_prepared(a, facts->number);
    if (archive == NULL && (archive = calloc(1, sizeof(*archive))) == NULL)
        return NEAP_NOMEM;
    archive->facts = *facts;
    archive->topic_id = topic_id;
    memmove(&a->list[slot + 1], &a->list[slot], (a->count - slot) * sizeof(struct archive *));
    a->list[slot] = archive;
    a->count++;
    if (facts->number >= a->number_next)
        a->number_next = facts->number + 1;
    return NEAP_OK;
}

static void drop(struct archives *a, uint32_t slot)
{
    struct archive *archive = a->list[slot];
    memmove(&a->list[slot], &a->list[slot + 1], (a->count - slot - 1) * sizeof(struct archive *));
    a->count--;
    archive->next_ = a->gone;
    a->gone = archive;
}

static enum neap_status remove_number(struct archives *a, uint32_t topic_id, uint64_t number)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->list[i]->facts.number != number || a->list[i]->topic_id != topic_id)
            continue;
        drop(a, i);
        return NEAP_OK;
    }
    return NEAP_CORRUPT;
}

void archives_drop_topic(struct archives *a, uint32_t topic_id)
{
    uint32_t first;
    for (uint32_t count = archives_of(a, topic_id, &first); count > 0; count--)
        drop(a, first);
}

enum neap_status archives_apply(struct archives *a, uint32_t topic_id, const struct replace *r)
{
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < r->removed_count && status == NEAP_OK; i++)
        status = remove_number(a, topic_id, replace_number(r, i));
    for (uint32_t i = 0; i < r->added_count && status == NEAP_OK; i++) {
        struct archive_facts facts = replace_added(r, i);
        status = archives_add(a, topic_id, &facts);
    }
    if (status == NEAP_OK && r->drained != 0)
        status = archives_add_drained(a, r->drained);
    return status;
}

/* ---- drained files ------------------------------------------------------------------------------------------------- */

bool archives_drained(const struct archives *a, uint64_t sequence)
{
    for (uint32_t i = 0; i < a->drained_count; i++)
        if (a->drained[i] == sequence)
            return true;
    return false;
}

bool archives_cover(const struct archives *a, uint64_t sequence)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->list[i]->facts.first_sequence <= sequence && sequence <= a->list[i]->facts.last_sequence)
            return true;
    return false;
}

bool archives_miss(const struct archives *a, uint64_t sequence)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->list[i]->bad && a->list[i]->facts.first_sequence <= sequence &&
            sequence <= a->list[i]->facts.last_sequence)
            return true;
    return false;
}

enum neap_status archives_add_drained(struct archives *a, uint64_t sequence)
{
    if (archives_drained(a, sequence))
        return NEAP_OK; /* one operation for each of its topics */
    if (a->drained_count == COUNT_OF(a->drained))
        return NEAP_FULL;
    a->drained[a->drained_count++] = sequence;
    return NEAP_OK;
}

void archives_forget_drained(struct archives *a, uint64_t sequence)
{
    for (uint32_t i = 0; i < a->drained_count; i++)
        if (a->drained[i] == sequence)
            a->drained[i--] = a->drained[--a->drained_count];
}
