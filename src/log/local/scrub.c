#include "log/local/scrub.h"
#include "log/local/archive.h"

static void wake(struct io_timer *timer, mono_time now)
{
    (void)now;
    io_agent_wake(timer->agent);
}

void scrub_init(struct scrub *s, struct log *log, struct io_agent *agent)
{
    *s = (struct scrub){ .log = log };
    s->timer = (struct io_timer){ .agent = agent, .fire = wake, .ctx = s };
    s->scan.step = SCRUB_STEP_SIZE;
}

void scrub_fini(struct scrub *s)
{
    scan_end(&s->scan);
}

/* ---- which file ---------------------------------------------------------------------------------------------------------- */

/* Nothing in it is served any more: what rots there is nobody's loss. */
static bool is_over(const struct shared *s, const struct journal_file *f)
{
    return f->dead || archives_drained(&s->views.archives, f->sequence);
}

/* Under the mutex: the sealed file of the lowest sequence number from `from` on. */
static const struct journal_file *sealed_from(const struct shared *s, uint64_t from)
{
    for (uint32_t i = 0; i < s->open_index; i++)
        if (s->files[i].sequence >= from && s->files[i].index_ready && !is_over(s, &s->files[i]))
            return &s->files[i];
    return NULL;
}

static void begin_pass(struct scrub *s, mono_time now)
{
    struct shared *shared = &s->log->shared;
    io_mutex_take(shared->mutex);
    uint32_t count = shared->open_index;
    uint64_t first = count == 0 ? 0 : shared->files[io_random(s->log->io) % count].sequence;
    io_mutex_drop(shared->mutex);
    s->passing = true;
    s->around = false;
    s->begun = now;
    s->first = first;
    s->last = s->done = 0;
}

/* Under the mutex: the next file of the pass, or NULL: it is over. */
static const struct journal_file *next_file(struct scrub *s)
{
    const struct shared *shared = &s->log->shared;
    const struct journal_file *file = sealed_from(shared, s->last < s->first && !s->around ? s->first : s->last + 1);
    if (file == NULL && !s->around) {
        s->around = true;
        s->last = 0;
        file = sealed_from(shared, 1);
    }
    return file != NULL && s->around && file->sequence >= s->first ? NULL : file;
}

/* Under the mutex: the archive of the lowest number above `done`. */
static const struct archive *next_archive(const struct scrub *s)
{
    const struct archives *all = &s->log->shared.views.archives;
    const struct archive *found = NULL;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct archive *a = all->list[i];
        if (a->facts.number > s->done && a->file != NULL && (found == NULL || a->facts.number < found->facts.number))
            found = a;
    }
    return found;
}

/* Under the mutex. Nobody closes a file but the keeper, whose turn this is. */
static bool place_of_file(struct scrub *s, const struct journal_file *f, uint64_t *ret_size)
{
    if (f == NULL)
        return false;
    s->place = (struct damage_place){
        .index = { f->index, 0 }, .file = f->file, .sequence = f->sequence, .base = f->base, .salt = f->salt
    };
    s->archive = 0;
    *ret_size = f->size;
    return true;
}

static bool place_of_archive(struct scrub *s, const struct archive *a, uint64_t *ret_size)
{
    if (a == NULL)
        return false;
    s->place = (struct damage_place){
        .index = { a->file, a->index_at }, .file = a->file, .sequence = a->facts.number, .salt = a->facts.salt
    };
    s->archive = a->facts.number;
    *ret_size = a->index_at;
    return true;
}

/* Who gives room back acts on what indexes say: not on this one. */
static void note_bad_index(struct scrub *s)
{
    struct shared *shared = &s->log->shared;
    io_mutex_take(shared->mutex);
    struct journal_file *file = s->archive == 0 ? file_by_sequence(shared, s->place.sequence) : NULL;
    struct archive *archive = s->archive != 0 ? archives_find(&shared->views.archives, s->archive) : NULL;
    if (file != NULL)
        file->bad = true;
    io_mutex_drop(shared->mutex);
    if (archive != NULL) /* nobody frees it but the keeper, whose turn this is */
        (void)archive_check_again(s->log, archive);
    damage_note_index(s->log, &s->place, s->archive != 0, LOG_FOUND_BY_SCRUB);
}

static bool take_file(struct scrub *s)
{
    struct shared *shared = &s->log->shared;
    uint64_t size = 0;
    io_mutex_take(shared->mutex);
    bool found = place_of_file(s, next_file(s), &size);
    if (found)
        s->last = s->place.sequence;
    else if (place_of_archive(s, next_archive(s), &size))
        s->done = s->archive;
    io_mutex_drop(shared->mutex);
    if (s->place.file == NULL)
        return false;
    s->scan.boot = s->scan.mark = 0;
    s->scan.piecewise = true;
    if (scan_begin(&s->scan, s->place.file, s->place.base, size, s->place.salt) != NEAP_OK)
        s->place.file = NULL; /* no memory: the next one may be smaller */
    else if (!damage_index_is_whole(&s->place))
        note_bad_index(s);
    s->scan.position = s->archive != 0 ? ARCHIVE_HEADER_SIZE : s->scan.position;
    return true;
}

/* It may have been recycled, or another archive stands for it, since the last step. */
static bool file_is_there(struct scrub *s)
{
    struct shared *shared = &s->log->shared;
    io_mutex_take(shared->mutex);
    const struct journal_file *file = s->archive == 0 ? file_by_sequence(shared, s->place.sequence) : NULL;
    bool there = s->archive != 0 ? archives_find(&shared->views.archives, s->archive) != NULL
                                 : file != NULL && file->salt == s->place.salt;
    io_mutex_drop(shared->mutex);
    return there;
}

/* ---- what is bad --------------------------------------------------------------------------------------------------------- */

struct noting {
    struct scrub *scrub;
    uint32_t count;
};

static void note(void *ctx, const struct damage_batches *batches)
{
    struct noting *noting = ctx;
    uint64_t count = batches->end - batches->first;
    struct log_damage damage = { .partition = batches->partition,
                                 .offset = { batches->first },
                                 .count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX,
                                 .byte = batches->at,
                                 .found_by = LOG_FOUND_BY_SCRUB };
    damage_note(noting->scrub->log, io_file_path(noting->scrub->place.file), damage, "records cannot be read");
    noting->count++;
}

static void note_all(struct scrub *s, uint64_t from, uint64_t to)
{
    struct noting noting = { .scrub = s };
    (void)damage_batches(&s->place, from, to, note, &noting);
    if (noting.count == 0)
        damage_note(s->log, io_file_path(s->place.file),
                    (struct log_damage){ .byte = from, .found_by = LOG_FOUND_BY_SCRUB },
                    "an entry cannot be read; no records that are indexed are concerned");
}

/* ---- a step -------------------------------------------------------------------------------------------------------------- */

static void end_file(struct scrub *s)
{
    s->place.file = NULL;
    scan_end(&s->scan);
    s->scan.step = SCRUB_STEP_SIZE;
}

/* Notes what lies between here and the next entry that can be read, and goes on there. */
static enum neap_status next_entry(struct scrub *s)
{
    struct scan *scan = &s->scan;
    struct entry_header header;
    struct bytes body;
    uint64_t from = scan->position - scan->base;
    enum neap_status status = scan_next(scan, &header, &body);
    if (status != NEAP_BADINPUT && status != NEAP_VERSION && status != NEAP_IO)
        return status;
    (void)scan_resume(scan);
    note_all(s, from, scan->position - scan->base);
    return scan->position == scan->base + scan->size ? NEAP_NOTFOUND : NEAP_OK;
}

/* An archive's operations lie back to back; where one is bad, its index is asked about all that follow. */
static enum neap_status next_operation(struct scrub *s)
{
    struct scan *scan = &s->scan;
    struct op op;
    uint64_t at = scan->position;
    if (at >= scan->size)
        return NEAP_NOTFOUND;
    const uint8_t *bytes = scan_bytes(scan, at, OP_HEADER_SIZE);
    if (bytes != NULL && op_header_read((struct bytes){ bytes, OP_HEADER_SIZE }, scan->salt, at, &op) == NEAP_OK) {
        size_t size = OP_HEADER_SIZE + op.name.size + op.payload.size;
        bytes = scan_bytes(scan, at, size);
        if (bytes != NULL && op_read((struct bytes){ bytes, size }, scan->salt, at, &op) == NEAP_OK) {
            scan->position += op_size(op.name.size, op.payload.size);
            return NEAP_OK;
        }
    }
    note_all(s, at, scan->size);
    scan->position = scan->size;
    return NEAP_NOTFOUND;
}

/* Verifies about a step's worth of the file; answers how many bytes. */
static uint64_t verify(struct scrub *s)
{
    struct scan *scan = &s->scan;
    uint64_t from = scan->position, at = from - scan->base;
    enum neap_status status = NEAP_OK;
    io_file_wont_need(scan->file, at, 2ull * SCRUB_STEP_SIZE); /* rule C1 */
    while (status == NEAP_OK && scan->position - from < SCRUB_STEP_SIZE)
        status = s->archive != 0 ? next_operation(s) : next_entry(s);
    uint64_t size = scan->position - from;
    io_file_wont_need(scan->file, at, size + scan->room); /* rule C2 */
    if (status != NEAP_OK)
        end_file(s);
    return size;
}

static void rest(struct scrub *s, mono_time due)
{
    s->due = due;
    io_timer_set(&s->timer, due);
}

static uint64_t rate_of(const struct scrub *s)
{
    return s->log->options.scrub_rate != 0 ? s->log->options.scrub_rate : SCRUB_RATE_DEFAULT;
}

static void count(struct scrub *s, uint64_t size, bool passed)
{
    struct shared *shared = &s->log->shared;
    io_mutex_take(shared->mutex);
    shared->figures.scrubbed_size += size;
    shared->figures.scrub_pass_count += passed;
    io_mutex_drop(shared->mutex);
}

uint32_t scrub_work(struct scrub *s, mono_time now)
{
    if (s->due.ns == 0) {
        int64_t delay_ns = s->log->options.scrub_delay_ns;
        rest(s, mono_after(now, delay_ns != 0 ? delay_ns : SCRUB_DELAY_NS));
    }
    if (now.ns < s->due.ns)
        return 0;
    if (!s->passing)
        begin_pass(s, now);
    if (s->place.file != NULL && !file_is_there(s))
        end_file(s);
    if (s->place.file == NULL && !take_file(s)) {
        s->passing = false;
        count(s, 0, true);
        rest(s, mono_after(s->begun, SCRUB_PASS_NS));
        return 0;
    }
    uint64_t size = s->place.file != NULL ? verify(s) : 0;
    count(s, size, false);
    rest(s, mono_after(now, 1 + (int64_t)(size * (uint64_t)NS_PER_S / rate_of(s))));
    return 0;
}
