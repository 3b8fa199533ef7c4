/* standard.c - streams that are read and written in sequence: standard input and output, pipes, terminals.
 *
 * They were opened by somebody else and may be shared with other processes, so they are left in the mode they came in:
 * a deadline is kept by asking first (poll), and by writing no more than a pipe is sure to take at once. A terminal that its
 * user has stopped may hold a write longer than its deadline. */
#include "io/real/inside.h"
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WIDTH_UNKNOWN 80

struct io_file *real_standard(struct io *io, int number)
{
    return &real_of(io)->standard[number].base;
}

bool real_is_terminal(struct io_file *file)
{
    return isatty(real_file_of(file)->fd) == 1;
}

int real_terminal_width(struct io_file *file)
{
    struct winsize size;
    if (ioctl(real_file_of(file)->fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH_UNKNOWN;
    return size.ws_col;
}

/* NEAP_OK: a call will not wait, or will say what is wrong. */
static enum neap_status wait_ready(int fd, short events, mono_time deadline)
{
    for (;;) {
        int64_t left_ns = deadline.ns - real_now(NULL).ns;
        struct timespec left = { .tv_sec = left_ns / NS_PER_S, .tv_nsec = left_ns % NS_PER_S };
        if (left_ns <= 0)
            left = (struct timespec){ .tv_sec = 0 };
        struct pollfd poll_fd = { .fd = fd, .events = events };
        int count = ppoll(&poll_fd, 1, deadline.ns == MONO_NEVER.ns ? NULL : &left, NULL);
        if (count > 0)
            return NEAP_OK;
        if (count < 0 && errno != EINTR)
            return NEAP_IO;
        if (left_ns <= 0)
            return NEAP_TIMEOUT;
    }
}

enum neap_status real_read_next(struct io_file *file, void *to, size_t size, mono_time deadline, size_t *ret_size)
{
    int fd = real_file_of(file)->fd;
    for (;;) {
        enum neap_status status = wait_ready(fd, POLLIN, deadline);
        if (status != NEAP_OK)
            return status;
        ssize_t n = read(fd, to, size < SSIZE_MAX ? size : SSIZE_MAX);
        if (n >= 0) {
            *ret_size = (size_t)n;
            return NEAP_OK;
        }
        if (errno != EINTR && errno != EAGAIN)
            return NEAP_IO;
    }
}

static ssize_t write_some(int fd, struct bytes bytes, mono_time deadline)
{
    if (deadline.ns == MONO_NEVER.ns)
        return write(fd, bytes.at, bytes.size);
    ssize_t n = send(fd, bytes.at, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0 || errno != ENOTSOCK)
        return n;
    return write(fd, bytes.at, bytes.size < PIPE_BUF ? bytes.size : PIPE_BUF);
}

enum neap_status real_write_next(struct io_file *file, struct bytes bytes, mono_time deadline, size_t *ret_size)
{
    int fd = real_file_of(file)->fd;
    size_t done = 0;
    enum neap_status status = NEAP_OK;
    while (done < bytes.size && status == NEAP_OK) {
        status = wait_ready(fd, POLLOUT, deadline);
        if (status != NEAP_OK)
            break;
        ssize_t n = write_some(fd, (struct bytes){ bytes.at + done, bytes.size - done }, deadline);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET)
            status = NEAP_CLOSED;
        else if (errno != EINTR && errno != EAGAIN)
            status = real_status(errno) == NEAP_FULL ? NEAP_FULL : NEAP_IO;
    }
    *ret_size = done;
    return status;
}
