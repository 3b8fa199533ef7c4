/* doctor_holes.c - what no file has: offsets that are kept must have been found in a journal file or an archive.
 *
 * Where a topic is compacted, a missing offset says nothing by itself. So holes of it are looked for only where an archive cannot
 * be read, from where the source before it ends to where the one behind it begins: what of that compaction had taken already,
 * nobody can tell any more. */
#include "log/local/archive.h"
#include "log/local/doctor_parts.h"
#include <stdio.h>

#define RANGE_COUNT_MAX (1u << 20)

/* ---- sources ------------------------------------------------------------------------------------------------------------ */

void doctor_begin_source(struct patient *p, uint64_t first, uint64_t last, bool archive)
{
    must(p->source_count < COUNT_OF(p->sources));
    p->here = &p->sources[p->source_count++];
    *p->here = (struct source){ .first = first, .last = last, .archive = archive };
    p->here->covered.room_max = RANGE_COUNT_MAX;
}

void doctor_cover(struct patient *p, struct log_partition partition, uint64_t first, uint64_t end)
{
    if (lost_add(&p->here->covered, partition, first, end) != NEAP_OK)
        p->too_many = true;
}

void doctor_sources_fini(struct patient *p)
{
    for (uint32_t i = 0; i < p->source_count; i++)
        lost_fini(&p->sources[i].covered);
    lost_fini(&p->covered);
    lost_fini(&p->lasting);
}

/* A journal file that archives stand for is used again one day: what only it holds is not safe. */
static bool is_lasting(const struct patient *p, const struct source *s)
{
    const struct archives *all = &p->views.archives;
    return s->archive || !(archives_drained(all, s->first) || archives_cover(all, s->first));
}

static void join(struct patient *p, struct lost *all, const struct source *s)
{
    all->room_max = RANGE_COUNT_MAX;
    for (uint32_t i = 0; i < s->covered.count; i++) {
        const struct lost_range *r = &s->covered.list[i];
        if (lost_add(all, r->partition, r->first, r->end) != NEAP_OK)
            p->too_many = true;
    }
}

/* ---- holes -------------------------------------------------------------------------------------------------------------- */

struct span {
    uint64_t first, end;
};

/* The first offsets of [from, to) that are neither covered nor declared lost; an empty span: there are none. */
static struct span next_hole(const struct patient *p, const struct lost *covered, struct log_partition at,
                             uint64_t from, uint64_t to)
{
    for (uint64_t before = UINT64_MAX; from != before;) {
        before = from;
        from = lost_pass(&p->views.lost, at, lost_pass(covered, at, from));
    }
    if (from >= to)
        return (struct span){ to, to };
    const struct lost_range *found = lost_next(covered, at, from), *lost = lost_next(&p->views.lost, at, from);
    to = found != NULL && found->first < to ? found->first : to;
    return (struct span){ from, lost != NULL && lost->first < to ? lost->first : to };
}

/* Where the sources before and behind the archive leave room for offsets of a partition. */
static struct span room_of(const struct patient *p, const struct bad_archive *bad, struct log_partition at)
{
    const struct partition *partition = views_partition(&p->views, at);
    struct span room = { partition->start, partition->end };
    for (uint32_t i = 0; i < p->source_count; i++) {
        const struct source *s = &p->sources[i];
        const struct lost_range *r = is_lasting(p, s) ? lost_next(&s->covered, at, 0) : NULL;
        if (r != NULL && s->first > bad->facts.last_sequence && r->first < room.end)
            room.end = r->first;
        for (; r != NULL && s->last < bad->facts.first_sequence; r = lost_next(&s->covered, at, r->end))
            room.first = r->end > room.first ? r->end : room.first;
    }
    return room;
}

static bool is_compacted(const struct topic *topic)
{
    return topic->settings.cleanup == LOG_CLEANUP_COMPACT;
}

/* Whether anything of the topic is missed that the bad archive may have held. */
static bool has_holes(const struct patient *p, const struct lost *covered, const struct bad_archive *bad,
                      const struct topic *topic)
{
    for (uint32_t n = 0; n < topic->partition_count; n++) {
        const struct partition *partition = topic_partition(topic, n);
        struct log_partition at = { topic->id, n };
        struct span room = { partition->start, partition->end };
        if (is_compacted(topic))
            room = room_of(p, bad, at);
        struct span hole = next_hole(p, covered, at, room.first, room.end);
        if (hole.first < hole.end)
            return true;
    }
    return false;
}

static struct log_finding range_place(const struct topic *topic, uint32_t number, struct span hole)
{
    return (struct log_finding){ .damage = true,
                                 .partition = { topic->id, number },
                                 .topic = topic->name,
                                 .first = { hole.first },
                                 .end = { hole.end } };
}

static void say_holes(struct patient *p, const struct topic *topic, uint32_t number)
{
    const struct partition *partition = topic_partition(topic, number);
    struct log_partition at = { topic->id, number };
    struct span hole = next_hole(p, &p->covered, at, partition->start, partition->end);
    for (; hole.first < hole.end; hole = next_hole(p, &p->covered, at, hole.end, partition->end)) {
        struct log_finding place = range_place(topic, number, hole);
        doctor_say(p, &place, "%s/%u: offsets %llu to %llu are in no file", topic->name, number,
                   (unsigned long long)hole.first, (unsigned long long)hole.end - 1);
    }
}

/* ---- archives that cannot be read ----------------------------------------------------------------------------------------- */

void doctor_keep_archive(struct patient *p, const struct archive *archive, const char *what)
{
    if (p->bad_archive_count == ARCHIVE_COUNT_MAX)
        return;
    struct bad_archive *bad = &p->bad_archives[p->bad_archive_count++];
    *bad = (struct bad_archive){ .facts = archive->facts, .topic_id = archive->topic_id };
    snprintf(bad->what, sizeof(bad->what), "%s", what);
}

/* Two that lie beside each other leave one room: it is declared lost once, and named twice. */
static void say_room(struct patient *p, const struct bad_archive *bad, const char *path, const struct topic *topic,
                     uint32_t number)
{
    struct log_partition at = { topic->id, number };
    struct span room = room_of(p, bad, at), hole = next_hole(p, &p->covered, at, room.first, room.end);
    for (; hole.first < hole.end; hole = next_hole(p, &p->covered, at, hole.end, room.end)) {
        struct log_finding place = range_place(topic, number, hole);
        place.file = doctor_place(p, path, 0, 0).file;
        doctor_say(
            p, &place,
            "%s/%u: offsets %llu to %llu are in no file that can be read: what compaction had left of them was in %s",
            topic->name, number, (unsigned long long)hole.first, (unsigned long long)hole.end - 1, place.file);
    }
}

/* Where every offset that it can have held is in another file, freed or declared lost, nobody misses it. */
static void say_archive(struct patient *p, const struct bad_archive *bad, bool complete)
{
    const struct topic *topic = views_topic(&p->views, bad->topic_id);
    char path[PATH_SIZE_MAX];
    log_path(&p->log, path, ARCHIVE_FOLDER, ARCHIVE_NAME, (unsigned long long)bad->facts.number);
    struct log_finding place = doctor_place(p, path, 0, 0);
    if (complete && (topic == NULL || !has_holes(p, &p->lasting, bad, topic))) {
        doctor_note(p, "%s: %s; nothing is missing that was not declared lost", path, bad->what);
        p->settled_count++;
        if (topic != NULL && p->doctor->settled != NULL)
            p->doctor->settled(p->doctor->ctx, bad->topic_id, bad->facts.number);
        return;
    }
    if (complete && !has_holes(p, &p->covered, bad, topic))
        doctor_say(p, &place,
                   "%s: %s; its events are read from the journal files that it stands for, which are kept for that",
                   path, bad->what);
    else
        doctor_say(p, &place, "%s: %s", path, bad->what);
    for (uint32_t n = 0; complete && is_compacted(topic) && n < topic->partition_count; n++)
        say_room(p, bad, path, topic, n);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

void doctor_leave_holes(struct patient *p)
{
    for (uint32_t i = 0; i < p->bad_archive_count; i++)
        say_archive(p, &p->bad_archives[i], false);
    doctor_note(p, "files came and went meanwhile: whether all offsets are there was not looked at");
}

void doctor_look_for_holes(struct patient *p)
{
    for (uint32_t i = 0; i < p->source_count; i++) {
        join(p, &p->covered, &p->sources[i]);
        if (is_lasting(p, &p->sources[i]))
            join(p, &p->lasting, &p->sources[i]);
    }
    for (uint32_t i = 0; i < p->bad_archive_count; i++)
        say_archive(p, &p->bad_archives[i], !p->too_many);
    for (uint32_t i = 0; i < p->views.topic_count && !p->too_many; i++) {
        const struct topic *topic = p->views.by_name[i];
        for (uint32_t n = 0; !is_compacted(topic) && n < topic->partition_count; n++)
            say_holes(p, topic, n);
    }
    if (p->too_many)
        doctor_note(p, "too much is in too many pieces: whether all offsets are there was not looked at");
    if (lost_sum(&p->views.lost) > 0)
        doctor_note(p, "%llu events were declared lost", (unsigned long long)lost_sum(&p->views.lost));
    if (p->settled_count > 0)
        doctor_note(p, "%u damaged places: all that was in them was declared lost", p->settled_count);
}
