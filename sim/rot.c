#include "rot.h"
#include "base/must.h"
#include "log/local/entry.h"
#include "truth.h"
#include <stdio.h>
#include <stdlib.h>

#define LIVE_ONE_IN 4u /* damages done to an open log */
#define ENTRY_MAX   (1u << 16)
#define LOSS_MAX    256u

struct placed { /* an entry of the journal, as it was written */
    const struct shelf_file *file;
    uint64_t at, position, size, mark; /* size: without padding */
};

struct rotting {
    const struct cut_options *options;
    struct rot_figures *figures;
    struct log_options log_options;
    struct truth *truth;
    struct sim_disk *disk;
    struct shelf now, past[SHELF_PAST_COUNT];
    struct placed *entries;
    uint32_t entry_count;
    struct finding finding;
};

/* ---- where the entries lie ---- */

static void place_entries(struct rotting *r, const struct shelf_file *file, uint64_t *boot)
{
    struct file_header h;
    struct entry_header e;
    if (file->size < JOURNAL_HEADER_SIZE || strstr(file->path, "/journal/") == NULL ||
        file_header_read(file->bytes, &h) != NEAP_OK)
        return;
    for (uint64_t at = JOURNAL_HEADER_SIZE; at + ENTRY_HEADER_SIZE <= file->size; at += e.entry_size) {
        if (entry_header_read(file->bytes + at, h.salt, h.base + at, &e) != NEAP_OK || e.boot < *boot)
            return;
        *boot = e.boot;
        must(r->entry_count < ENTRY_MAX);
        r->entries[r->entry_count++] =
            (struct placed){ file, at, e.position, ENTRY_HEADER_SIZE + (uint64_t)e.body_size, e.durable_mark };
    }
}

/* Rule R3: where the journal may be cut, from there on: the first damaged place that no intact header knows to be synced; or
 * UINT64_MAX. */
static uint64_t torn_at(const struct rotting *r, const struct damage *d, uint64_t from)
{
    uint64_t mark = 0;
    for (uint32_t i = 0; i < r->entry_count; i++) {
        const struct placed *e = &r->entries[i];
        if (e->mark > mark && !damage_touches(d, e->file, e->at, ENTRY_HEADER_SIZE))
            mark = e->mark;
    }
    for (uint32_t i = 0; i < r->entry_count; i++) {
        const struct placed *e = &r->entries[i];
        if (e->position >= mark && e->position >= from && damage_touches(d, e->file, e->at, e->size))
            return e->position;
    }
    return UINT64_MAX;
}

/* ---- one damage ---- */

struct heard {
    uint32_t damage_count;
    char text[2048];
    struct log_loss losses[LOSS_MAX];
    uint32_t loss_count;
};

static void hear(void *ctx, const struct log_finding *finding)
{
    struct heard *heard = ctx;
    if (finding->damage && heard->damage_count++ == 0)
        snprintf(heard->text, sizeof(heard->text), "%s", finding->line);
    if (heard->loss_count < LOSS_MAX && log_loss_of(finding, &heard->losses[heard->loss_count]))
        heard->loss_count++;
}

static uint32_t ask_doctor(struct io *io, struct heard *heard)
{
    struct log_doctor doctor = { .finding = hear, .ctx = heard };
    struct error err;
    enum neap_status status = log_doctor(io, DATA, &doctor, &err);
    if (status != NEAP_OK && heard->damage_count == 0)
        hear(heard, &(struct log_finding){ .damage = true, .line = err.text });
    return heard->damage_count;
}

static uint64_t journal_hash(struct io *io)
{
    static struct shelf shelf;
    uint64_t hash = 0;
    shelf_fill(&shelf, io, DATA);
    for (uint32_t i = 0; i < shelf.count; i++) {
        const struct shelf_file *file = &shelf.files[i];
        for (uint64_t at = 0; strstr(file->path, "/journal/") != NULL && at + 8 <= file->size; at += 8)
            hash = sim_mix(hash ^ get_le64(file->bytes + at));
    }
    shelf_fini(&shelf);
    return hash;
}

/* The disk as the log left it, at the door of somebody who looks at it. */
struct place_to_look {
    struct sim_disk *disk;
    struct io *io;
};

static struct place_to_look look_at_end(const struct rotting *r, uint64_t seed)
{
    struct place_to_look p = { .disk = sim_disk_state(r->disk, sim_disk_point(r->disk), SIM_STATE_ALL, false) };
    p.io = sim_open(&(struct sim_options){ .seed = seed, .disk = p.disk, .calm = true });
    return p;
}

static void look_away(struct place_to_look *p)
{
    sim_close(&p->io);
    sim_disk_free(&p->disk);
}

static bool left_alone(const struct rotting *r, struct io *io, const struct damage *d)
{
    struct place_to_look other = look_at_end(r, 1);
    damage_apply(d, other.io);
    bool same = journal_hash(io) == journal_hash(other.io);
    look_away(&other);
    return same;
}

static bool refused_well(struct rotting *r, struct io *io, const struct damage *d, enum neap_status status,
                         const struct error *err, uint32_t doctored)
{
    r->figures->refused++;
    if (status != NEAP_CORRUPT && status != NEAP_VERSION)
        finding_set(&r->finding, VERDICT_CLOSED, "%s: the start ends with %s: %s", d->text, status_name(status),
                    err->text);
    else if (!left_alone(r, io, d))
        finding_set(&r->finding, VERDICT_WRONG, "%s: the start was refused, and has changed the journal: %s", d->text,
                    err->text);
    else if (doctored == 0)
        finding_set(&r->finding, VERDICT_WRONG, "%s: doctor names nothing, the start says: %s", d->text, err->text);
    return r->finding.verdict == VERDICT_GOOD;
}

enum repaired { REPAIRED, AGAIN, BEYOND, WRONG };

/* One round of what a person would do: what doctor names is given up, the log is opened, all of it is read. */
static enum repaired repair_once(struct rotting *r, struct io *io, const struct damage *d, const struct heard *heard)
{
    struct log *log = NULL;
    struct error err = { .text = "" };
    struct finding finding;
    uint64_t lost = 0;
    if (heard->loss_count == 0 || heard->loss_count == LOSS_MAX)
        return BEYOND;
    enum neap_status status = log_repair(io, &r->log_options, heard->losses, heard->loss_count, false, &err);
    if (status == NEAP_CORRUPT)
        return BEYOND;
    if (status == NEAP_OK)
        status = log_open(io, &r->log_options, &log, &err);
    enum repaired result = WRONG;
    if (status != NEAP_OK) {
        finding_set(&r->finding, VERDICT_CLOSED, "%s: repair: %s", d->text, err.text);
    } else {
        enum verdict verdict = truth_compare_repaired(r->truth, log, &lost, &finding);
        result = verdict == VERDICT_GOOD ? REPAIRED : verdict == VERDICT_CLOSED ? AGAIN : WRONG;
        if (result == WRONG)
            finding_set(&r->finding, verdict, "%s: %s", d->text, finding.text);
    }
    r->figures->lost += result == REPAIRED ? lost : 0;
    log_close(&log);
    return result;
}

/* Rule R5. Without a snapshot to start from no repair helps: the start stays refused. */
static bool repaired_well(struct rotting *r, struct io *io, const struct damage *d, struct heard *heard)
{
    enum repaired result = repair_once(r, io, d, heard);
    for (uint32_t round = 0; result == AGAIN && round < 2; round++) {
        heard->damage_count = heard->loss_count = 0;
        ask_doctor(io, heard);
        result = repair_once(r, io, d, heard);
    }
    r->figures->repaired += result == REPAIRED;
    r->figures->unrepaired += result == BEYOND || result == AGAIN;
    return result != WRONG;
}

static bool served_well(struct rotting *r, struct log *log, const struct damage *d, bool live, uint32_t doctored)
{
    struct truth_found found;
    struct finding finding;
    enum verdict verdict = truth_compare(r->truth, log, UINT64_MAX, &found, &finding);
    if (verdict != VERDICT_GOOD) {
        uint64_t cut = live ? UINT64_MAX : torn_at(r, d, 0);
        struct finding cut_finding = finding;
        /* A snapshot may know what lay in the first of two places: then the journal ends at the other. */
        for (uint64_t at = cut; at != UINT64_MAX && verdict != VERDICT_GOOD; at = torn_at(r, d, at + 1))
            verdict = truth_compare(r->truth, log, at, &found, &cut_finding);
        if (cut == UINT64_MAX || verdict != VERDICT_GOOD) {
            finding_set(&r->finding, verdict, "%s: %s (cut at %lld: %s)", d->text, finding.text, (long long)cut,
                        cut_finding.text);
            return false;
        }
        r->figures->torn++;
        return true;
    }
    if (found.stopped_count == 0) {
        r->figures->harmless++;
        r->figures->doctored += doctored > 0;
        return true;
    }
    r->figures->stopped++;
    if (!live && doctored == 0)
        finding_set(&r->finding, VERDICT_WRONG, "%s: doctor names nothing, a reader says: %s", d->text, found.text);
    return r->finding.verdict == VERDICT_GOOD;
}

static bool one_damage(struct rotting *r, uint32_t number)
{
    static struct damage d;
    uint64_t chance = sim_mix(r->options->seed * 7919 + number);
    bool live = sim_one_in(&chance, LIVE_ONE_IN);
    for (uint32_t tries = 0; !damage_draw(&d, &r->now, r->past, &chance); tries++)
        must(tries < 10000);
    if (live && d.kind == DAMAGE_UNLINK)
        live = false;
    struct place_to_look end = look_at_end(r, number);
    struct log *log = NULL;
    struct error err = { .text = "" };
    static struct heard heard;
    heard.damage_count = heard.loss_count = 0;
    uint64_t detected = r->figures->refused + r->figures->stopped;
    if (r->options->trace != NULL)
        r->options->trace(r->options->ctx, d.text);
    if (!live)
        damage_apply(&d, end.io);
    uint32_t doctored = live ? 0 : ask_doctor(end.io, &heard);
    enum neap_status status = log_open(end.io, &r->log_options, &log, &err);
    if (live && status == NEAP_OK)
        damage_apply(&d, end.io);
    r->figures->cuts.points++;
    r->figures->kinds[d.kind]++;
    r->figures->live += live;
    bool good = status == NEAP_OK ? served_well(r, log, &d, live, doctored)
                                  : refused_well(r, end.io, &d, status, &err, doctored);
    log_close(&log);
    if (good && !live && r->figures->refused + r->figures->stopped > detected)
        good = repaired_well(r, end.io, &d, &heard);
    look_away(&end);
    return good;
}

/* ---- a life, and what is done to it ---- */

static bool look_at_sound(struct rotting *r)
{
    struct place_to_look end = look_at_end(r, 1);
    struct log *log = NULL;
    struct error err = { .text = "" };
    static struct heard heard;
    struct truth_found found;
    if (ask_doctor(end.io, &heard) > 0)
        finding_set(&r->finding, VERDICT_WRONG, "a sound log, and doctor says: %s", heard.text);
    else if (log_open(end.io, &r->log_options, &log, &err) != NEAP_OK)
        finding_set(&r->finding, VERDICT_CLOSED, "a sound log: %s", err.text);
    else if (truth_compare(r->truth, log, UINT64_MAX, &found, &r->finding) == VERDICT_GOOD && found.stopped_count > 0)
        finding_set(&r->finding, VERDICT_LOST, "a sound log, and a reader says: %s", found.text);
    log_close(&log);
    look_away(&end);
    return r->finding.verdict == VERDICT_GOOD;
}

static void look_back(struct rotting *r)
{
    uint32_t points = sim_disk_point(r->disk);
    for (uint32_t i = 0; i < SHELF_PAST_COUNT; i++) {
        struct sim_disk *disk =
            sim_disk_state(r->disk, points * (i + 1) / (SHELF_PAST_COUNT + 1), SIM_STATE_ALL, false);
        struct io *io = sim_open(&(struct sim_options){ .disk = disk, .calm = true });
        shelf_fill(&r->past[i], io, DATA);
        sim_close(&io);
        sim_disk_free(&disk);
    }
    struct place_to_look end = look_at_end(r, 1);
    shelf_fill(&r->now, end.io, DATA);
    look_away(&end);
    uint64_t boot = 0;
    for (uint32_t i = 0; i < r->now.count; i++)
        place_entries(r, &r->now.files[i], &boot);
}

static bool damage_all(struct rotting *r)
{
    const struct place *only = r->options->only;
    bool good = true;
    for (uint64_t i = 0; i < r->options->states_max && good; i++) {
        if (only != NULL && only->point[0] != i)
            continue;
        if (r->options->enough != NULL && i % 64 == 0 && r->options->enough(r->options->ctx))
            break;
        cut_place = (struct place){ .depth = 1, .point = { (uint32_t)i } };
        good = one_damage(r, (uint32_t)i);
    }
    return good;
}

bool rot_run(const struct cut_options *options, struct rot_figures *figures)
{
    struct rotting *r = calloc(1, sizeof(*r));
    must(r != NULL);
    r->options = options;
    r->figures = figures;
    r->log_options = life_options(options->seed);
    r->entries = calloc(ENTRY_MAX, sizeof(r->entries[0]));
    must(r->entries != NULL);
    r->disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    struct model *model = model_new();
    struct life life = { .seed = options->seed,
                         .disk = r->disk,
                         .model = model,
                         .unit_count = options->unit_count,
                         .options = r->log_options,
                         .churn = life_churns(options->seed) };
    cut_place = (struct place){ .depth = 0 };
    figures->cuts.seeds++;
    figures->cuts.lives++;
    life_run(&life);
    r->finding = life.finding;
    bool good = r->finding.verdict == VERDICT_GOOD;
    r->truth = truth_new(model);
    if (good) {
        look_back(r);
        good = look_at_sound(r) && damage_all(r);
    }
    figures->cuts.hash = sim_mix(figures->cuts.hash ^ life.hash);
    figures->cuts.verdicts[r->finding.verdict]++;
    if (!good) {
        figures->cuts.finding = r->finding;
        figures->cuts.place = cut_place;
    }
    for (uint32_t i = 0; i < SHELF_PAST_COUNT; i++)
        shelf_fini(&r->past[i]);
    shelf_fini(&r->now);
    truth_free(&r->truth);
    model_free(&model);
    sim_disk_free(&r->disk);
    free(r->entries);
    free(r);
    return good;
}
