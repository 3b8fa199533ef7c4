#include "gate/input.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAGIC     0x54504e49u /* "INPT" */
#define QUIET_LOOKS_MAX 2u          /* looks at a renamed file that found nothing new, before it counts as finished */

struct input {
    uint32_t magic;
    struct io *io;
    struct input_options options;
    struct io_file *file; /* NULL: not open */
    bool is_standard;
    bool is_renamed; /* `file` is not what the path names any more: finish it, then open the path */
    bool said_missing, said_failed;
    uint32_t quiet_looks;
    uint64_t device, inode, size;
    uint64_t position;                    /* of the next byte to read */
    uint8_t prefix[MARK_PREFIX_SIZE_MAX]; /* the file's first bytes, as they were read */
    size_t prefix_size;
    bool has_mark;
    struct mark mark; /* where the last run stopped: for the first open */
};

struct input *input_new(struct io *io, const struct input_options *options, const struct mark *mark)
{
    struct input *input = calloc(1, sizeof(*input));
    if (input == NULL)
        return NULL;
    input->magic = INPUT_MAGIC;
    input->io = io;
    input->options = *options;
    input->is_standard = options->path == NULL;
    must(mark == NULL || !input->is_standard);
    if (mark != NULL) {
        input->has_mark = true;
        input->mark = *mark;
    }
    return input;
}

static void close_file(struct input *input)
{
    if (!input->is_standard)
        io_file_close(&input->file);
    input->file = NULL;
    input->is_renamed = false;
    input->quiet_looks = 0;
    input->position = input->size = 0;
    input->prefix_size = 0;
}

void input_free(struct input **input)
{
    struct input *i = *input;
    *input = NULL;
    if (i == NULL)
        return;
    CHECK_MAGIC(i, INPUT_MAGIC);
    close_file(i);
    i->magic = 0;
    free(i);
}

bool input_is_open(const struct input *input)
{
    return input->file != NULL;
}

uint64_t input_size(const struct input *input)
{
    return input->size;
}

/* ---- which file it is ---- */

/* Reads the file's first bytes up to what the position covers; false: they are not there any more. */
static bool read_prefix(struct io_file *file, uint64_t position, uint8_t *room, size_t *ret_size)
{
    size_t wanted = mark_prefix_size(position), size = 0;
    if (wanted > 0 && io_file_read(file, room, wanted, 0, &size) != NEAP_OK)
        return false;
    *ret_size = size;
    return size == wanted;
}

static bool is_marked_file(struct io_file *file, const struct io_file_info *info, const struct mark *mark)
{
    uint8_t prefix[MARK_PREFIX_SIZE_MAX];
    size_t size;
    return info->size >= mark->position && read_prefix(file, mark->position, prefix, &size) &&
           mark_hash((struct bytes){ prefix, size }) == mark->prefix_hash;
}

static bool same_place(const struct io_file_info *info, uint64_t device, uint64_t inode)
{
    return info->device == device && info->inode == inode;
}

static enum neap_status open_path(struct input *input, const char *path, struct io_file **ret_file,
                                  struct io_file_info *ret_info, struct error *err)
{
    struct io_file *file = NULL;
    enum neap_status status = io_file_open(input->io, path, IO_READ, &file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_info(file, ret_info);
    if (status != NEAP_OK) {
        error_set(err, status, "%s: %s", path, status_text(status));
        goto close_file;
    }
    if (ret_info->kind != IO_KIND_FILE) {
        status = error_set(err, NEAP_MISUSE, "%s is %s; a file source reads a regular file", path,
                           ret_info->kind == IO_KIND_DIRECTORY ? "a directory" : "a pipe or a device");
        goto close_file;
    }
    *ret_file = file;
    return NEAP_OK;

close_file:
    io_file_close(&file);
    return status;
}

/* ---- the file of the last run under another name ---- */

struct search {
    struct input *input;
    char folder[4096];
    struct io_file *file;
    struct io_file_info info;
};

static bool look_at(void *ctx, const char *name)
{
    struct search *search = ctx;
    const struct mark *mark = &search->input->mark;
    char path[4096 + 256];
    int size = snprintf(path, sizeof(path), "%s%s", search->folder, name);
    struct io_file_info info;
    if (size < 0 || (size_t)size >= sizeof(path) || io_path_info(search->input->io, path, &info) != NEAP_OK ||
        info.kind != IO_KIND_FILE || !same_place(&info, mark->device, mark->inode))
        return true;
    struct io_file *file = NULL;
    if (open_path(search->input, path, &file, &info, NULL) != NEAP_OK)
        return true;
    if (same_place(&info, mark->device, mark->inode) && is_marked_file(file, &info, mark)) {
        search->file = file;
        search->info = info;
        logging_info(search->input->options.logging, "finishing the renamed file first",
                     LOGGING_TEXT("pipeline", search->input->options.pipeline),
                     LOGGING_TEXT("file", search->input->options.path), LOGGING_TEXT("renamed", path));
        return false;
    }
    io_file_close(&file);
    return true;
}

static struct io_file *find_renamed(struct input *input, struct io_file_info *ret_info)
{
    struct search search = { .input = input };
    const char *path = input->options.path, *slash = strrchr(path, '/');
    size_t size = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    if (size >= sizeof(search.folder))
        return NULL;
    memcpy(search.folder, path, size);
    if (io_dir_list(input->io, size > 0 ? search.folder : ".", look_at, &search, NULL) != NEAP_OK)
        return NULL;
    *ret_info = search.info;
    return search.file;
}

/* ---- opening ---- */

static void adopt(struct input *input, struct io_file *file, const struct io_file_info *info)
{
    must(input->file == NULL && input->position == 0 && input->prefix_size == 0);
    input->file = file;
    input->device = info->device;
    input->inode = info->inode;
    input->size = info->size;
    input->said_missing = input->said_failed = false;
}

/* Goes on where the mark says. The prefix was compared a moment ago; a change since then is seen at the next end. */
static bool resume(struct input *input, struct input_start *start)
{
    const struct mark *mark = &input->mark;
    uint8_t before = '\n';
    size_t size = 1;
    if (!read_prefix(input->file, mark->position, input->prefix, &input->prefix_size))
        return false;
    if (mark->position > 0 && io_file_read(input->file, &before, 1, mark->position - 1, &size) != NEAP_OK)
        return false;
    input->position = mark->position;
    *start = (struct input_start){ mark->position, mark->line_count, size == 1 && before != '\n' };
    return true;
}

static void say_new(const struct input *input, const char *why)
{
    logging_warn(input->options.logging, "the file is another one now; reading it from its beginning",
                 LOGGING_TEXT("pipeline", input->options.pipeline), LOGGING_TEXT("file", input->options.path),
                 LOGGING_TEXT("why", why), LOGGING_UINT("was_at", input->mark.position));
}

static enum neap_status missing(struct input *input, enum neap_status status, struct error *err)
{
    bool may_come = input->options.follow && (status == NEAP_NOTFOUND || status == NEAP_DENIED || status == NEAP_IO);
    if (!may_come)
        return status;
    if (!input->said_missing)
        logging_warn(input->options.logging, "cannot read the file yet; waiting for it",
                     LOGGING_TEXT("pipeline", input->options.pipeline), LOGGING_TEXT("file", input->options.path),
                     LOGGING_TEXT("error", err != NULL ? err->text : status_text(status)));
    input->said_missing = true;
    return NEAP_AGAIN;
}

/* The path does not name the file of the mark: find that one, unless nothing of it is left to read. */
static bool open_renamed(struct input *input)
{
    struct io_file_info info;
    struct io_file *file = find_renamed(input, &info);
    if (file == NULL)
        return false;
    adopt(input, file, &info);
    input->is_renamed = true;
    return true;
}

/* The first open of a run that has a mark; false: the file cannot be read. */
static bool go_on(struct input *input, const struct io_file_info *info, struct input_start *start)
{
    const struct mark *mark = &input->mark;
    bool marked = same_place(info, mark->device, mark->inode);
    if (input->is_renamed || (marked && is_marked_file(input->file, info, mark))) {
        input->has_mark = !resume(input, start);
        return !input->has_mark;
    }
    input->has_mark = false;
    say_new(input, !marked                       ? "another file has its name"
                   : info->size < mark->position ? "it is shorter than what was read of it"
                                                 : "its first bytes have changed"); /* rule I2 */
    return true;
}

enum neap_status input_open(struct input *input, struct input_start *ret_start, struct error *err)
{
    CHECK_MAGIC(input, INPUT_MAGIC);
    struct input_start start = { 0 };
    struct io_file *file = NULL;
    struct io_file_info info = { 0 };
    close_file(input);
    if (input->is_standard) {
        input->file = io_standard(input->io, 0);
        *ret_start = start;
        return NEAP_OK;
    }
    enum neap_status status = open_path(input, input->options.path, &file, &info, err);
    if (status != NEAP_OK && !(input->options.follow && input->has_mark && open_renamed(input)))
        return missing(input, status, err);
    if (status == NEAP_OK && input->has_mark && !same_place(&info, input->mark.device, input->mark.inode) &&
        open_renamed(input)) {
        io_file_close(&file); /* its turn comes: rule I1 */
    } else if (status == NEAP_OK) {
        adopt(input, file, &info);
    }
    if (input->has_mark && !go_on(input, &info, &start)) {
        close_file(input);
        return error_set(err, NEAP_IO, "%s: cannot read its beginning", input->options.path);
    }
    *ret_start = start;
    return NEAP_OK;
}

/* ---- reading ---- */

static void remember_prefix(struct input *input, const uint8_t *at, size_t size)
{
    if (input->prefix_size == MARK_PREFIX_SIZE_MAX || input->is_standard)
        return;
    must(input->position == input->prefix_size);
    size_t room = MARK_PREFIX_SIZE_MAX - input->prefix_size;
    size = size < room ? size : room;
    memcpy(input->prefix + input->prefix_size, at, size);
    input->prefix_size += size;
}

enum neap_status input_read(struct input *input, void *to, size_t size, mono_time deadline, size_t *ret_size,
                            struct error *err)
{
    CHECK_MAGIC(input, INPUT_MAGIC);
    must(input->file != NULL && size > 0);
    size_t got = 0;
    enum neap_status status = input->is_standard ? io_read_next(input->file, to, size, deadline, &got)
                                                 : io_file_read(input->file, to, size, input->position, &got);
    if (status == NEAP_TIMEOUT)
        return status;
    if (status != NEAP_OK)
        return error_set(err, status, "read %s at %llu: %s", input->is_standard ? "stdin" : input->options.path,
                         (unsigned long long)input->position, status_text(status));
    remember_prefix(input, to, got);
    input->position += got;
    input->size = input->size > input->position ? input->size : input->position;
    *ret_size = got;
    return NEAP_OK;
}

/* ---- the end of a file ---- */

bool input_is_same(const struct input *input, uint64_t position)
{
    uint8_t prefix[MARK_PREFIX_SIZE_MAX];
    size_t size;
    if (input->is_standard)
        return true;
    must(mark_prefix_size(position) <= input->prefix_size);
    return read_prefix(input->file, position, prefix, &size) && memcmp(prefix, input->prefix, size) == 0;
}

static enum input_end begin_again(struct input *input, uint64_t position, const char *why)
{
    input->mark.position = position;
    say_new(input, why); /* rule I2 */
    close_file(input);
    return INPUT_BEGUN;
}

/* Whoever writes a renamed file may have some left to write: it is finished when nothing has come for a while. */
static enum input_end finish_renamed(struct input *input)
{
    if (input->options.follow && input->quiet_looks++ < QUIET_LOOKS_MAX)
        return INPUT_WAIT;
    return INPUT_TURNED;
}

enum input_end input_at_end(struct input *input, uint64_t position)
{
    CHECK_MAGIC(input, INPUT_MAGIC);
    must(input->file != NULL && (input->is_standard || position <= input->position));
    struct io_file_info info, named;
    if (input->is_standard)
        return INPUT_OVER;
    if (io_file_info(input->file, &info) != NEAP_OK)
        return input->options.follow ? INPUT_WAIT : INPUT_OVER;
    input->size = info.size;
    if (info.size < position)
        return begin_again(input, position, "it is shorter than what was read of it");
    if (!input_is_same(input, position))
        return begin_again(input, position, "its first bytes have changed");
    if (info.size < input->position) {
        input->position = position;
        input->prefix_size = mark_prefix_size(position);
        return INPUT_REREAD;
    }
    if (info.size > input->position) {
        input->quiet_looks = 0;
        return INPUT_MORE;
    }
    if (input->is_renamed)
        return finish_renamed(input);
    if (!input->options.follow)
        return INPUT_OVER;
    if (io_path_info(input->io, input->options.path, &named) == NEAP_OK &&
        !same_place(&named, input->device, input->inode))
        input->is_renamed = true;
    return INPUT_WAIT;
}

bool input_mark(const struct input *input, uint64_t position, uint64_t line_count, struct mark *ret_mark)
{
    CHECK_MAGIC(input, INPUT_MAGIC);
    if (input->is_standard)
        return false;
    size_t size = mark_prefix_size(position);
    must(input->file != NULL && position <= input->position && size <= input->prefix_size);
    *ret_mark = (struct mark){ .position = position,
                               .line_count = line_count,
                               .device = input->device,
                               .inode = input->inode,
                               .prefix_hash = mark_hash((struct bytes){ input->prefix, size }) };
    return true;
}
