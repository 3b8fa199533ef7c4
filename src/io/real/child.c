/* child.c - programs beside us: started by vfork() and exec, heard through libuv, waited for through a descriptor.
 *
 * STARTING   as vfork() does, clone() suspends this thread until the other program runs, and copies nothing: a node with much
 *            memory starts one as fast as a small one. It gives the process's descriptor, too: whoever asks for one by number
 *            may come too late. In between only what is fine after a fork is called. Whether exec failed is told through a pipe
 *            that it closes. Sanitizers keep books in memory, which must not be shared then.
 * ENDING     its descriptor becomes readable when it is dead. Then, before it is waited for and its number is free for
 *            others, its group is killed; what it had said is read to its end. No SIGCHLD: signals belong to the program that we
 *            may be a guest in, and so do its own children.
 * WITH US    the system kills it when the thread that started it ends, which is when we die: agents finish their children. */
#include "io/real/inside.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_MAGIC   0x444c4843u
#define REST_SIZE_MAX (1u << 20)  /* that is read after its end; a pipe holds 64 KiB */
#define STACK_SIZE    (64u << 10) /* over there, until exec */
#define KILL_WAIT_MS  2000 /* a process that does not even die has its disk to thank for it; the system reaps it */

struct real_child {
    struct io_child base;
    uint32_t magic;
    struct real_agent *agent;
    int pid_fd, input_fd, output_fd, error_fd;
    uv_pipe_t input, output, error;
    uv_poll_t life;
    uv_write_t write;
    uint32_t handles; /* not closed yet */
    bool sending, input_open, waited_for, ending, finished;
    struct io_child_end end;
};

static struct real_child *child_of(struct io_child *child)
{
    struct real_child *c = (struct real_child *)child;
    CHECK_MAGIC(c, CHILD_MAGIC);
    return c;
}

/* ---- in between ---- */

enum { PIPE_INPUT, PIPE_OUTPUT, PIPE_ERROR, PIPE_TOLD, PIPE_COUNT };

struct launch {
    const struct io_child_options *options;
    int pipes[PIPE_COUNT][2]; /* to read, to write */
    pid_t parent;
};

static void close_both(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    pair[0] = pair[1] = -1;
}

/* Signals as a fresh program finds them: handlers go by exec, what is ignored would stay. The kernel is asked, as the library
 * keeps two of them for itself, which whoever started us may have ignored all the same. */
static void default_signals(void)
{
    static const uint64_t normal[4]; /* of the kernel's own shape: the default handler, no flags, no mask */
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            (void)syscall(SYS_rt_sigaction, number, normal, NULL, sizeof(uint64_t));
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool become(const struct launch *l)
{
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != l->parent)
        return false;
    if (dup2(l->pipes[PIPE_INPUT][0], STDIN_FILENO) < 0 || dup2(l->pipes[PIPE_OUTPUT][1], STDOUT_FILENO) < 0 ||
        dup2(l->pipes[PIPE_ERROR][1], STDERR_FILENO) < 0)
        return false;
    (void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC); /* what a library or our host has left open */
    return l->options->folder == NULL || chdir(l->options->folder) == 0;
}

static int run_child(void *ctx)
{
    const struct launch *l = ctx;
    if (become(l)) {
        default_signals();
        (void)execvp(l->options->arguments[0], (char *const *)(uintptr_t)l->options->arguments);
    }
    int error_number = errno;
    ssize_t size = write(l->pipes[PIPE_TOLD][1], &error_number, sizeof(error_number));
    _exit(size > 0 ? 127 : 126);
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SHARED 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SHARED 0
#endif
#endif
#ifndef SHARED
#define SHARED (CLONE_VM | CLONE_VFORK)
#endif

static pid_t fork_child(struct launch *l, int *ret_pid_fd)
{
    sigset_t all, before;
    uint8_t *stack = aligned_alloc(16, STACK_SIZE);
    if (stack == NULL)
        return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of ours runs over there */
    pid_t pid = clone(run_child, stack + STACK_SIZE, SHARED | CLONE_PIDFD | SIGCHLD, l, ret_pid_fd);
    int error_number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(stack);
    errno = error_number;
    return pid;
}

/* 0, or the error number of whatever failed over there. */
static int wait_for_exec(struct launch *l)
{
    int error_number = 0;
    ssize_t size;
    close(l->pipes[PIPE_TOLD][1]);
    l->pipes[PIPE_TOLD][1] = -1;
    do
        size = read(l->pipes[PIPE_TOLD][0], &error_number, sizeof(error_number));
    while (size < 0 && errno == EINTR);
    return size == sizeof(error_number) ? (error_number != 0 ? error_number : ECHILD) : 0;
}

static int open_pipes(struct launch *l)
{
    for (int i = 0; i < PIPE_COUNT; i++) {
        if (pipe2(l->pipes[i], O_CLOEXEC) != 0) {
            l->pipes[i][0] = l->pipes[i][1] = -1;
            return errno;
        }
        for (int end = 0; end < 2; end++)
            if ((l->pipes[i][end] = real_high(l->pipes[i][end])) < 0)
                return EMFILE;
    }
    return 0;
}

static void reap(int pid_fd)
{
    siginfo_t info;
    while (waitid(P_PIDFD, (id_t)pid_fd, &info, WEXITED) != 0 && errno == EINTR)
        ;
    close(pid_fd);
}

/* Gives 0 or an error number. */
static int launch(struct launch *l, pid_t *ret_pid, int *ret_pid_fd)
{
    int error_number = open_pipes(l), pid_fd = -1;
    if (error_number != 0)
        return error_number;
    l->parent = getpid();
    pid_t pid = fork_child(l, &pid_fd);
    if (pid < 0)
        return errno == EAGAIN ? ENOMEM : errno; /* too many processes */
    error_number = wait_for_exec(l);
    int high = error_number == 0 ? real_high(pid_fd) : pid_fd;
    if (error_number == 0 && high < 0) {
        error_number = EMFILE;
        kill(-pid, SIGKILL);
    }
    if (error_number != 0) {
        if (high >= 0)
            reap(high);
        else
            (void)waitpid(pid, NULL, 0);
        return error_number;
    }
    *ret_pid = pid;
    *ret_pid_fd = high;
    return 0;
}

/* ---- its end ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct real_child *c = handle->data;
    CHECK_MAGIC(c, CHILD_MAGIC);
    real_loop_count_callback(handle->loop);
    must(c->handles > 0);
    if (--c->handles > 0)
        return;
    close(c->pid_fd);
    if (!c->finished)
        c->base.events->ended(&c->base, &c->end);
    c->magic = 0;
    free(c);
}

static void close_handles(struct real_child *c)
{
    uv_handle_t *all[] = { (uv_handle_t *)&c->input, (uv_handle_t *)&c->output, (uv_handle_t *)&c->error,
                           (uv_handle_t *)&c->life };
    c->ending = true;
    c->input_open = false;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (!uv_is_closing(all[i]))
            uv_close(all[i], handle_closed);
}

static void kill_group(struct real_child *c)
{
    if (!c->waited_for && pidfd_send_signal(c->pid_fd, 0, NULL, 0) == 0) /* else its number may be another's by now */
        kill(-(pid_t)c->base.pid, SIGKILL);
}

static uint64_t unread_of(struct real_child *c)
{
    int in_pipe = 0;
    if (!c->input_open || ioctl(c->input_fd, FIONREAD, &in_pipe) != 0)
        return 0;
    return (uint64_t)in_pipe + uv_stream_get_write_queue_size((uv_stream_t *)&c->input);
}

/* It is dead; its number is still its own. False: it is not. A host that waits for whatever child there is, or ignores SIGCHLD,
 * comes before us: then the number may be another's by now, and nobody is killed by it. */
static bool wait_for(struct real_child *c)
{
    siginfo_t info = { .si_pid = 0 };
    int rc = waitid(P_PIDFD, (id_t)c->pid_fd, &info, WEXITED | WNOHANG | WNOWAIT);
    bool is_gone = rc != 0 && errno == ECHILD;
    if (!is_gone && (rc != 0 || info.si_pid == 0))
        return false;
    if (!is_gone) {
        kill_group(c); /* whoever it has started */
        is_gone = waitid(P_PIDFD, (id_t)c->pid_fd, &info, WEXITED | WNOHANG) != 0;
    }
    c->waited_for = true;
    c->end.signalled = !is_gone && info.si_code != CLD_EXITED;
    c->end.number = is_gone ? -1 : info.si_status;
    c->end.unread = unread_of(c);
    return true;
}

/* What it had said, and nobody has read. */
static void read_rest(struct real_child *c, uv_pipe_t *pipe, int fd, enum io_child_stream stream)
{
    struct bytes room = real_loop_buffer(pipe->loop);
    size_t all = 0;
    ssize_t size = 1;
    while (size > 0 && all < REST_SIZE_MAX && !uv_is_closing((uv_handle_t *)pipe)) {
        size = read(fd, (void *)(uintptr_t)room.at, room.size);
        if (size > 0)
            c->base.events->data(&c->base, stream, (struct bytes){ room.at, (size_t)size });
        all += size > 0 ? (size_t)size : 0;
    }
}

static void life_ended(uv_poll_t *poll, int status, int events)
{
    struct real_child *c = poll->data;
    CHECK_MAGIC(c, CHILD_MAGIC);
    real_loop_count_callback(poll->loop);
    if (c->ending || !wait_for(c))
        return;
    read_rest(c, &c->output, c->output_fd, IO_CHILD_OUTPUT);
    read_rest(c, &c->error, c->error_fd, IO_CHILD_ERROR);
    close_handles(c);
}

/* ---- what it says ---- */

static void give_room(uv_handle_t *handle, size_t wanted_size, uv_buf_t *ret_buffer)
{
    struct bytes room = real_loop_buffer(handle->loop);
    *ret_buffer = uv_buf_init((char *)(uintptr_t)room.at, (unsigned)room.size);
}

static void bytes_came(uv_stream_t *pipe, ssize_t size, const uv_buf_t *buffer)
{
    struct real_child *c = pipe->data;
    CHECK_MAGIC(c, CHILD_MAGIC);
    real_loop_count_callback(pipe->loop);
    bool is_output = pipe == (uv_stream_t *)&c->output;
    if (size > 0) {
        c->base.events->data(&c->base, is_output ? IO_CHILD_OUTPUT : IO_CHILD_ERROR,
                             (struct bytes){ (const uint8_t *)buffer->base, (size_t)size });
    } else if (size < 0) {
        uv_close((uv_handle_t *)pipe, handle_closed);
        if (is_output)
            c->base.events->closed(&c->base);
    }
}

/* ---- what is said to it ---- */

static void bytes_sent(uv_write_t *write, int rc)
{
    struct real_child *c = write->data;
    CHECK_MAGIC(c, CHILD_MAGIC);
    real_loop_count_callback(c->life.loop);
    c->sending = false;
    if (!c->finished)
        c->base.events->sent(&c->base, rc == 0 ? NEAP_OK : NEAP_CLOSED);
}

enum neap_status real_child_send(struct io_child *child, struct bytes bytes)
{
    struct real_child *c = child_of(child);
    real_agent_must_own(c->agent);
    if (c->sending)
        return NEAP_AGAIN;
    must(bytes.size <= UINT32_MAX);
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes.at, (unsigned)bytes.size);
    c->write.data = c;
    if (!c->input_open || uv_write(&c->write, (uv_stream_t *)&c->input, &buffer, 1, bytes_sent) != 0)
        return NEAP_CLOSED;
    c->sending = true;
    return NEAP_OK;
}

void real_child_close_input(struct io_child *child)
{
    struct real_child *c = child_of(child);
    real_agent_must_own(c->agent);
    if (c->input_open)
        uv_close((uv_handle_t *)&c->input, handle_closed);
    c->input_open = false;
}

void real_child_kill(struct io_child *child)
{
    struct real_child *c = child_of(child);
    real_agent_must_own(c->agent);
    kill_group(c);
}

static bool wait_dead(struct real_child *c, int64_t left_ns)
{
    struct pollfd dead = { .fd = c->pid_fd, .events = POLLIN };
    int left_ms = left_ns <= 0 ? 0 : left_ns > 3600 * NS_PER_S ? 3600 * 1000 : (int)(left_ns / NS_PER_MS) + 1;
    if (!c->waited_for)
        (void)poll(&dead, 1, left_ms);
    return c->waited_for || wait_for(c);
}

void real_child_finish(struct io_child *child, mono_time deadline)
{
    struct real_child *c = child_of(child);
    real_agent_must_own(c->agent);
    if (!wait_dead(c, deadline.ns - real_now(NULL).ns)) {
        kill_group(c);
        (void)wait_dead(c, KILL_WAIT_MS * NS_PER_MS);
    }
    c->finished = true;
    close_handles(c);
}

/* ---- its start ---- */

static int take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static void open_pipe(struct real_child *c, uv_loop_t *uv, uv_pipe_t *pipe, int fd)
{
    int rc = uv_pipe_init(uv, pipe, 0);
    must(rc == 0); /* it only fills in the struct */
    pipe->data = c;
    rc = uv_pipe_open(pipe, fd); /* which makes it one that does not block; the other side's end stays as it is */
    must(rc == 0);
    c->handles++;
}

static void open_handles(struct real_child *c, uv_loop_t *uv, struct launch *l)
{
    c->output_fd = take(&l->pipes[PIPE_OUTPUT][0]);
    c->error_fd = take(&l->pipes[PIPE_ERROR][0]);
    c->input_fd = take(&l->pipes[PIPE_INPUT][1]);
    open_pipe(c, uv, &c->input, c->input_fd);
    open_pipe(c, uv, &c->output, c->output_fd);
    open_pipe(c, uv, &c->error, c->error_fd);
    c->input_open = true;
    int rc = uv_poll_init(uv, &c->life, c->pid_fd);
    must(rc == 0);
    c->life.data = c;
    c->handles++;
    rc = uv_poll_start(&c->life, UV_READABLE, life_ended);
    must(rc == 0);
    rc = uv_read_start((uv_stream_t *)&c->output, give_room, bytes_came);
    must(rc == 0);
    rc = uv_read_start((uv_stream_t *)&c->error, give_room, bytes_came);
    must(rc == 0);
}

enum neap_status real_child_start(struct io_agent *agent, const struct io_child_options *options,
                                  struct io_child **ret_child, struct error *err)
{
    struct real_agent *a = real_agent_of(agent);
    struct launch l = { .options = options, .pipes = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } } };
    uv_loop_t *uv;
    pid_t pid = 0;
    enum neap_status status = real_loop_need(a, &uv, err);
    if (status != NEAP_OK)
        return status;
    struct real_child *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return error_set(err, NEAP_NOMEM, "%s: no memory", options->arguments[0]);
    c->magic = CHILD_MAGIC;
    c->agent = a;
    int error_number = launch(&l, &pid, &c->pid_fd);
    if (error_number == 0) {
        c->base = (struct io_child){ .io = agent->io_, .events = options->events, .ctx = options->ctx, .pid = pid };
        open_handles(c, uv, &l);
    }
    for (int i = 0; i < PIPE_COUNT; i++)
        close_both(l.pipes[i]);
    if (error_number != 0) {
        free(c);
        return real_error(err, error_number, options->arguments[0]);
    }
    *ret_child = &c->base;
    return NEAP_OK;
}
