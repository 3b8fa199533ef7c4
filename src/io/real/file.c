/* file.c - files by position: plain blocking calls, repeated while the system gives less than was asked for. */
#include "io/real/inside.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRANSFER_SIZE_MAX 0x7ffff000u /* the most that one call of Linux moves */

enum neap_status real_file_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file,
                                struct error *err)
{
    size_t path_size = strlen(path) + 1;
    struct real_file *file = malloc(sizeof(*file) + path_size);
    if (file == NULL)
        return error_set(err, NEAP_NOMEM, "%s: no memory", path);

    int how = O_CLOEXEC | O_NOCTTY | ((flags & IO_WRITE) == 0 ? O_RDONLY : (flags & IO_READ) == 0 ? O_WRONLY : O_RDWR);
    how |= (flags & IO_CREATE) != 0 ? O_CREAT : 0;
    how |= (flags & IO_EXCLUSIVE) != 0 ? O_EXCL : 0;
    mode_t mode = (flags & IO_SHARED) != 0 ? 0644 : 0600;
    (void)real_standard_fill(); /* not for an instant: another thread may be about to print */
    int fd = real_high(open(path, how, mode));
    while (fd < 0 && errno == EINTR)
        fd = real_high(open(path, how, mode));
    if (fd < 0) {
        int error_number = errno;
        free(file);
        return real_error(err, error_number, path);
    }
    *file = (struct real_file){ .base = { .io = io }, .magic = REAL_FILE_MAGIC, .fd = fd };
    file->base.path = memcpy(file + 1, path, path_size);
    *ret_file = &file->base;
    return NEAP_OK;
}

void real_file_close(struct io_file *file)
{
    struct real_file *f = real_file_of(file);
    must(f->base.path == (char *)(f + 1)); /* a standard stream is never closed */
    must(!atomic_load(&f->syncing));
    close(f->fd); /* what it might report was reported by sync, or nobody asked */
    f->magic = 0;
    free(f);
}

enum neap_status real_file_read(struct io_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    struct real_file *f = real_file_of(file);
    size_t done = 0;
    while (done < size) {
        size_t part = size - done < TRANSFER_SIZE_MAX ? size - done : TRANSFER_SIZE_MAX;
        ssize_t n = pread(f->fd, (uint8_t *)to + done, part, (off_t)(position + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NEAP_IO;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_size = done;
    return NEAP_OK;
}

/* Full is an answer; whatever else went wrong while writing means that the storage did. */
static enum neap_status write_status(int error_number)
{
    return real_status(error_number) == NEAP_FULL ? NEAP_FULL : NEAP_IO;
}

static void skip_written(struct iovec *parts, unsigned *first, unsigned count, size_t size)
{
    while (*first < count && size >= parts[*first].iov_len)
        size -= parts[(*first)++].iov_len;
    if (size > 0) {
        must(*first < count); /* no more was written than was given */
        parts[*first].iov_base = (uint8_t *)parts[*first].iov_base + size;
        parts[*first].iov_len -= size;
    }
}

enum neap_status real_file_write(struct io_file *file, const struct bytes *parts, unsigned count, uint64_t position)
{
    struct real_file *f = real_file_of(file);
    struct iovec left[IO_WRITE_PARTS_MAX];
    must(count <= IO_WRITE_PARTS_MAX);
    for (unsigned i = 0; i < count; i++)
        left[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)parts[i].at, .iov_len = parts[i].size };
    unsigned first = 0;
    skip_written(left, &first, count, 0);
    while (first < count) {
        ssize_t n = pwritev(f->fd, left + first, (int)(count - first), (off_t)position);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_status(errno);
        if (n == 0)
            return NEAP_IO; /* neither bytes nor a reason: nothing that can be waited for */
        position += (size_t)n;
        skip_written(left, &first, count, (size_t)n);
    }
    return NEAP_OK;
}

enum neap_status real_file_sync(struct io_file *file)
{
    /* Never again after a failure, EINTR included: the pages are marked clean by now and a second call would lie. */
    return fdatasync(real_file_of(file)->fd) == 0 ? NEAP_OK : NEAP_IO;
}

static enum neap_status allocate(int fd, uint64_t position, uint64_t size)
{
    if (size == 0)
        return NEAP_OK;
    int error_number;
    do
        error_number = posix_fallocate(fd, (off_t)position, (off_t)size);
    while (error_number == EINTR);
    return error_number == 0 ? NEAP_OK : write_status(error_number);
}

enum neap_status real_file_allocate(struct io_file *file, uint64_t size)
{
    return allocate(real_file_of(file)->fd, 0, size);
}

enum neap_status real_file_truncate(struct io_file *file, uint64_t size)
{
    int rc = ftruncate(real_file_of(file)->fd, (off_t)size);
    while (rc < 0 && errno == EINTR)
        rc = ftruncate(real_file_of(file)->fd, (off_t)size);
    return rc == 0 ? NEAP_OK : write_status(errno);
}

enum neap_status real_file_info(struct io_file *file, struct io_file_info *ret_info)
{
    struct stat stat;
    if (fstat(real_file_of(file)->fd, &stat) != 0)
        return NEAP_IO;
    real_info_of_stat(&stat, ret_info);
    return NEAP_OK;
}

void real_file_will_need(struct io_file *file, uint64_t position, uint64_t size)
{
    posix_fadvise(real_file_of(file)->fd, (off_t)position, (off_t)size, POSIX_FADV_WILLNEED);
}

void real_file_wont_need(struct io_file *file, uint64_t position, uint64_t size)
{
    posix_fadvise(real_file_of(file)->fd, (off_t)position, (off_t)size, POSIX_FADV_DONTNEED);
}

/* ---- locks: of the open file description, so that two opens of one process are two parties ---- */

static const short lock_types[] = { [IO_UNLOCK] = F_UNLCK, [IO_LOCK_SHARED] = F_RDLCK, [IO_LOCK_EXCLUSIVE] = F_WRLCK };

enum neap_status real_file_lock(struct io_file *file, enum io_lock_kind kind, uint64_t position, uint64_t size)
{
    struct flock lock = { .l_type = lock_types[kind], .l_whence = SEEK_SET };
    lock.l_start = (off_t)position;
    lock.l_len = (off_t)size;
    int rc = fcntl(real_file_of(file)->fd, F_OFD_SETLK, &lock);
    while (rc < 0 && errno == EINTR)
        rc = fcntl(real_file_of(file)->fd, F_OFD_SETLK, &lock);
    if (rc == 0)
        return NEAP_OK;
    return errno == EAGAIN || errno == EACCES ? NEAP_HELD : NEAP_IO;
}

enum neap_status real_file_lock_test(struct io_file *file, uint64_t position, uint64_t size,
                                     enum io_lock_kind *ret_kind, int64_t *ret_pid)
{
    /* Asking as a writer meets readers and writers alike. */
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    lock.l_start = (off_t)position;
    lock.l_len = (off_t)size;
    if (fcntl(real_file_of(file)->fd, F_OFD_GETLK, &lock) != 0)
        return NEAP_IO;
    *ret_kind = lock.l_type == F_UNLCK ? IO_UNLOCK : lock.l_type == F_RDLCK ? IO_LOCK_SHARED : IO_LOCK_EXCLUSIVE;
    *ret_pid = lock.l_type == F_UNLCK || lock.l_pid < 0 ? 0 : lock.l_pid; /* locks like ours name no process */
    return NEAP_OK;
}

/* ---- shared memory ---- */

static size_t page_offset(uint64_t position)
{
    return (size_t)(position & ((uint64_t)sysconf(_SC_PAGESIZE) - 1));
}

enum neap_status real_file_map(struct io_file *file, uint64_t position, size_t size, void **ret_at)
{
    struct real_file *f = real_file_of(file);
    struct stat stat;
    if (fstat(f->fd, &stat) != 0)
        return NEAP_IO;
    if ((uint64_t)stat.st_size < position + size) {
        /* Room, not only length: touching a hole on a full disk would be a signal instead of an answer. */
        enum neap_status status = allocate(f->fd, position, size);
        if (status != NEAP_OK)
            return status;
    }
    size_t before = page_offset(position);
    void *at = mmap(NULL, size + before, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, (off_t)(position - before));
    if (at == MAP_FAILED)
        return errno == ENOMEM ? NEAP_NOMEM : NEAP_IO;
    *ret_at = (uint8_t *)at + before;
    return NEAP_OK;
}

void real_file_unmap(struct io_file *file, void *at, size_t size)
{
    size_t before = page_offset((uintptr_t)at);
    int rc = munmap((uint8_t *)at - before, size + before);
    must(rc == 0);
}
