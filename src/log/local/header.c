#include "log/local/header.h"
#include "log/local/index.h"
#include <stdlib.h>

#define UNKNOWN   UINT64_MAX
#define STEP_SIZE (1u << 20)

/* ---- witnesses ------------------------------------------------------------------------------------------------------------ */

/* OK: whole; BADINPUT: damaged, or another file's; VERSION, IO. */
static enum neap_status read_header(struct io_file *file, uint64_t sequence, struct file_header *ret,
                                    uint32_t *ret_version)
{
    uint8_t page[FILE_HEADER_SIZE];
    struct file_header h;
    size_t got = 0;
    enum neap_status status = io_file_read(file, page, sizeof(page), 0, &got);
    if (status == NEAP_OK)
        status = got == sizeof(page) ? file_header_read(page, &h) : NEAP_BADINPUT;
    if (status == NEAP_VERSION)
        *ret_version = get_le32(page + 4);
    if (status == NEAP_CORRUPT || (status == NEAP_OK && h.sequence != sequence))
        status = NEAP_BADINPUT;
    if (status == NEAP_OK)
        *ret = h;
    return status;
}

static bool neighbour(const struct log *log, uint64_t sequence, struct file_header *ret)
{
    char path[PATH_SIZE_MAX];
    struct io_file *file = NULL;
    uint32_t version;
    log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)sequence);
    bool whole = io_file_open(log->io, path, IO_READ, &file, NULL) == NEAP_OK &&
                 read_header(file, sequence, ret, &version) == NEAP_OK;
    io_file_close(&file);
    return whole;
}

static bool index_says(const struct log *log, uint64_t sequence, struct log_id *ret_id, uint64_t *ret_salt)
{
    char path[PATH_SIZE_MAX];
    uint8_t page[INDEX_HEADER_SIZE];
    struct index_header h;
    struct io_file *file = NULL;
    size_t got = 0;
    log_path(log, path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)sequence);
    bool says = io_file_open(log->io, path, IO_READ, &file, NULL) == NEAP_OK &&
                io_file_read(file, page, sizeof(page), 0, &got) == NEAP_OK && got == sizeof(page) &&
                index_header_read((struct bytes){ page, got }, &h) == NEAP_OK && h.sequence == sequence;
    io_file_close(&file);
    if (says) {
        *ret_id = h.log_id;
        *ret_salt = h.salt;
    }
    return says;
}

/* The first entry lies behind the header, where nothing but the journal ever writes. */
static bool first_entry_says(struct io_file *file, uint64_t *ret_base, uint64_t *ret_salt)
{
    uint8_t at[ENTRY_HEADER_SIZE];
    struct entry_header h;
    size_t got = 0;
    if (io_file_read(file, at, sizeof(at), JOURNAL_HEADER_SIZE, &got) != NEAP_OK || got < sizeof(at) ||
        entry_header_read(at, get_le64(at + 8), get_le64(at + 24), &h) != NEAP_OK || h.position < JOURNAL_HEADER_SIZE)
        return false;
    *ret_base = h.position - JOURNAL_HEADER_SIZE;
    *ret_salt = h.salt;
    return true;
}

/* ---- what they say together ------------------------------------------------------------------------------------------------ */

static bool fits(const struct file_header *h)
{
    return h->size >= 2 * JOURNAL_PAGE_SIZE && h->size % JOURNAL_PAGE_SIZE == 0 && h->size <= UINT32_MAX &&
           h->base % JOURNAL_PAGE_SIZE == 0 && h->base <= UINT64_MAX / 2;
}

static void tell(const struct log *log, uint64_t sequence, struct header_look *look)
{
    struct file_header before, after, *h = &look->header;
    uint64_t salt = 0, index_salt = 0, base = 0;
    bool has_before = sequence > 1 && neighbour(log, sequence - 1, &before);
    bool has_after = neighbour(log, sequence + 1, &after);
    uint64_t begins = sequence == 1 ? 0 : has_before ? before.base + before.size : UNKNOWN;
    bool sure = begins != UNKNOWN;
    bool entry = look->file != NULL && first_entry_says(look->file, &base, &salt);
    bool index = index_says(log, sequence, &h->log_id, &index_salt);
    if (has_before || has_after)
        h->log_id = has_before ? before.log_id : after.log_id;
    if (begins == UNKNOWN && has_after && after.base >= look->disk_size && look->file != NULL)
        begins = after.base - look->disk_size;
    if (base != begins && (sure || !index || salt != index_salt))
        entry = false; /* of a former life of the file */
    h->sequence = sequence;
    h->base = entry ? base : begins != UNKNOWN ? begins : 0;
    h->size = has_after && after.base > h->base ? after.base - h->base : look->disk_size;
    h->salt = entry ? salt : index_salt;
    bool placed = entry || begins != UNKNOWN;
    if (look->file != NULL && placed && (entry || index) && (has_before || has_after || index) && fits(h))
        look->state = HEADER_TOLD;
    else if (!placed || !fits(h))
        h->base = h->size = 0;
}

enum neap_status header_look(const struct log *log, uint64_t sequence, uint32_t mode, struct header_look *ret_look,
                             struct error *err)
{
    char path[PATH_SIZE_MAX];
    struct io_file_info info = { 0 };
    struct header_look look = { .state = HEADER_LOST };
    uint32_t version = 0;
    log_path(log, path, JOURNAL_FOLDER, JOURNAL_NAME, (unsigned long long)sequence);
    enum neap_status status = io_file_open(log->io, path, mode, &look.file, NULL);
    if (status == NEAP_NOTFOUND)
        look.state = HEADER_GONE;
    else if (status == NEAP_OK)
        status = io_file_info(look.file, &info);
    look.disk_size = info.size;
    if (status == NEAP_OK)
        status = read_header(look.file, sequence, &look.header, &version);
    if (status == NEAP_OK)
        look.state = HEADER_WHOLE;
    else if (status == NEAP_BADINPUT || status == NEAP_NOTFOUND || (status == NEAP_IO && look.file != NULL))
        tell(log, sequence, &look);
    bool known = look.state == HEADER_TOLD || status == NEAP_BADINPUT || status == NEAP_NOTFOUND;
    if (status == NEAP_OK || known) {
        *ret_look = look;
        return NEAP_OK;
    }
    io_file_close(&look.file);
    return status == NEAP_VERSION
               ? error_set(err, status, "%s has format %u, this program knows %u", path, version, JOURNAL_VERSION)
               : error_set(err, status, "read %s: %s", path, status_text(status));
}

/* ---- whether there is anything in it -------------------------------------------------------------------------------------- */

static bool any_entry(const uint8_t *bytes, size_t size, uint64_t position)
{
    struct entry_header h;
    for (size_t at = 0; at + ENTRY_HEADER_SIZE <= size; at += ENTRY_BOUND)
        if (entry_header_read(bytes + at, get_le64(bytes + at + 8), position + at, &h) == NEAP_OK)
            return true;
    return false;
}

enum neap_status header_holds_entries(struct io_file *file, uint64_t base, uint64_t disk_size, bool *ret_holds)
{
    uint8_t *room = malloc(STEP_SIZE);
    enum neap_status status = room != NULL ? NEAP_OK : NEAP_NOMEM;
    bool holds = false;
    for (uint64_t at = JOURNAL_HEADER_SIZE; status == NEAP_OK && !holds && at < disk_size;) {
        size_t got = 0;
        status = io_file_read(file, room, STEP_SIZE, at, &got);
        holds = status == NEAP_OK && any_entry(room, got, base + at);
        at += got;
        if (got < STEP_SIZE)
            break;
    }
    free(room);
    if (status == NEAP_OK)
        *ret_holds = holds;
    return status;
}
