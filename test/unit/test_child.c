/* Programs beside us: what they say is heard to its end, a kill takes all whom they have started, nothing of ours is open in
 * them, and they do not outlive us. Real programs; and one of the simulator's. */
#include "check.h"

#include "io/child.h"
#include "io/real.h"
#include "io/sim.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
    struct io *io;
    struct io_agent self;
    struct io_child *child;
    struct error err;
    char said[2][4096];
    size_t size[2];
    uint32_t sent, sent_in_vain, closed, ended;
    bool ended_first;
    struct io_child_end end;
    bool leave_at_line, kill_at_line;
};

static uint32_t nothing(void *ctx, mono_time now)
{
    return 0;
}

static void data(struct io_child *child, enum io_child_stream stream, struct bytes bytes)
{
    struct world *w = io_child_ctx(child);
    size_t room = sizeof w->said[stream] - 1 - w->size[stream];
    assert_int_equal(w->ended, 0); /* C3 */
    if (w->size[stream] < sizeof w->said[stream] - 1)
        memcpy(w->said[stream] + w->size[stream], bytes.at, bytes.size < room ? bytes.size : room);
    w->size[stream] += bytes.size;
    if (memchr(bytes.at, '\n', bytes.size) == NULL)
        return;
    if (w->leave_at_line)
        io_agent_leave(&w->self);
    if (w->kill_at_line)
        io_child_kill(child);
}

static void sent(struct io_child *child, enum neap_status status)
{
    struct world *w = io_child_ctx(child);
    assert_int_equal(w->ended, 0);
    *(status == NEAP_OK ? &w->sent : &w->sent_in_vain) += 1;
}

static void closed(struct io_child *child)
{
    ((struct world *)io_child_ctx(child))->closed++;
}

static void ended(struct io_child *child, const struct io_child_end *end)
{
    struct world *w = io_child_ctx(child);
    w->ended++;
    w->end = *end;
    w->child = NULL;
    io_agent_leave(&w->self);
}

static const struct io_child_events events = { data, sent, closed, ended };

static enum neap_status begin(struct world *w, const char *const *arguments, const char *folder)
{
    w->size[0] = w->size[1] = 0;
    memset(w->said, 0, sizeof w->said);
    w->sent = w->sent_in_vain = w->closed = w->ended = 0;
    w->leave_at_line = w->kill_at_line = false;
    struct io_child_options options = { .arguments = arguments, .folder = folder, .events = &events, .ctx = w };
    return io_child_start(&w->self, &options, &w->child, &w->err);
}

static void begin_shell(struct world *w, const char *text)
{
    const char *arguments[] = { "/bin/sh", "-c", text, NULL };
    assert_int_equal(begin(w, arguments, NULL), NEAP_OK);
    assert_true(io_child_pid(w->child) > 1);
}

static void run(struct world *w)
{
    mono_time late = mono_after(io_now(w->io), 60 * NS_PER_S);
    assert_int_equal(io_agent_run(w->io, &w->self, late, &w->err), NEAP_OK);
}

static void run_shell(struct world *w, const char *text)
{
    begin_shell(w, text);
    run(w);
    assert_int_equal(w->ended, 1);
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->io = io_real_open(NULL);
    w->self = (struct io_agent){ .name = "self", .work = nothing, .ctx = w };
    *state = w;
    return io_agent_attach(w->io, &w->self, &w->err) == NEAP_OK ? 0 : -1;
}

static int close_world(void **state)
{
    struct world *w = *state;
    io_agent_stop(&w->self);
    io_real_close(&w->io);
    free(w);
    return 0;
}

/* Nobody, or one that its parent has not noticed yet. */
static bool is_dead(long pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return true;
    bool read = fgets(text, sizeof text, f) != NULL;
    fclose(f);
    char *state = strrchr(text, ')');
    return !read || state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static void assert_dies(long pid)
{
    assert_true(pid > 1);
    while (!is_dead(pid)) /* one that lives on shows as a test that does not end */
        usleep(1000);
}

/* ---- talk ------------------------------------------------------------------------------------------------------------------ */

static void test_talk(void **state)
{
    struct world *w = *state;
    const char *arguments[] = { "cat", NULL };
    assert_int_equal(begin(w, arguments, "/"), NEAP_OK);
    w->leave_at_line = true;
    assert_int_equal(io_child_send(w->child, BYTES("one\n")), NEAP_OK);
    assert_int_equal(io_child_send(w->child, BYTES("two\n")), NEAP_AGAIN);
    run(w);
    assert_string_equal(w->said[IO_CHILD_OUTPUT], "one\n");
    while (w->sent == 0)
        (void)io_agent_run(w->io, &w->self, mono_after(io_now(w->io), NS_PER_MS), NULL);
    io_child_close_input(w->child);
    assert_int_equal(io_child_send(w->child, BYTES("two\n")), NEAP_CLOSED);
    run(w);
    assert_int_equal(w->ended, 1);
    assert_false(w->end.signalled);
    assert_int_equal(w->end.number, 0);
}

static void test_all_that_it_said(void **state)
{
    struct world *w = *state;
    run_shell(w, "head -c 300000 /dev/zero; echo a traceback >&2; exit 3");
    assert_int_equal(w->size[IO_CHILD_OUTPUT], 300000);
    assert_string_equal(w->said[IO_CHILD_ERROR], "a traceback\n");
    assert_false(w->end.signalled);
    assert_int_equal(w->end.number, 3);
    run_shell(w, "printf x >&2; kill -SEGV $$");
    assert_string_equal(w->said[IO_CHILD_ERROR], "x");
    assert_true(w->end.signalled);
    assert_int_equal(w->end.number, SIGSEGV);
    char text[64];
    io_child_end_text(&w->end, text, sizeof text);
    assert_string_equal(text, "killed by signal 11 (SIGSEGV)");
    io_child_end_text(&(struct io_child_end){ false, 3 }, text, sizeof text);
    assert_string_equal(text, "exit status 3");
}

static void test_closes_its_output(void **state)
{
    struct world *w = *state;
    begin_shell(w, "exec 1>&-; read line; exit 4");
    while (w->closed == 0)
        (void)io_agent_run(w->io, &w->self, mono_after(io_now(w->io), NS_PER_MS), NULL);
    assert_int_equal(w->ended, 0);
    assert_int_equal(io_child_send(w->child, BYTES("\n")), NEAP_OK);
    run(w);
    assert_int_equal(w->end.number, 4);
    assert_int_equal(w->closed, 1);
}

static void test_no_such_program(void **state)
{
    struct world *w = *state;
    const char *none[] = { "no-such-program-anywhere", NULL }, *dir[] = { "/", NULL }, *cat[] = { "cat", NULL };
    assert_int_equal(begin(w, none, NULL), NEAP_NOTFOUND);
    assert_non_null(strstr(w->err.text, "no-such-program-anywhere: "));
    assert_int_equal(begin(w, dir, NULL), NEAP_DENIED);
    assert_int_equal(begin(w, cat, "/no/such/folder"), NEAP_NOTFOUND);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
    assert_int_equal(errno, ECHILD);
}

/* ---- what it gets ------------------------------------------------------------------------------------------------------------- */

static void test_nothing_of_ours(void **state)
{
    struct world *w = *state;
    int left_open = open("/dev/null", O_RDONLY); /* as a library may */
    assert_true(left_open > 2);
    const uint64_t ignored[4] = {
        1
    }; /* of the kernel's own shape: one that the library keeps for itself, as our starter may */
    assert_int_equal(syscall(SYS_rt_sigaction, 32, ignored, NULL, sizeof(uint64_t)), 0);
    run_shell(w, "cd /proc/self/fd && echo *; grep -E '^Sig(Blk|Ign)' /proc/self/status");
    close(left_open);
    assert_true(strncmp(w->said[0], "0 1 2\n", 6) == 0 || strncmp(w->said[0], "0 1 2 3\n", 8) == 0);
    assert_non_null(strstr(w->said[0], "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
    run_shell(w, "kill -PIPE $$; exit 0"); /* which we ignore */
    assert_true(w->end.signalled);
    assert_int_equal(w->end.number, SIGPIPE);
}

/* ---- kills ---------------------------------------------------------------------------------------------------------------------- */

static void test_kill_takes_all(void **state)
{
    struct world *w = *state;
    begin_shell(w, "sleep 1000 & echo $!; wait");
    w->kill_at_line = true;
    run(w);
    assert_true(w->end.signalled);
    assert_int_equal(w->end.number, SIGKILL);
    assert_dies(strtol(w->said[0], NULL, 10));
}

static void test_its_end_takes_all(void **state)
{
    struct world *w = *state;
    run_shell(w, "sleep 1000 & echo $!; exit 5");
    assert_int_equal(w->end.number, 5);
    assert_dies(strtol(w->said[0], NULL, 10));
}

static void test_never_reads(void **state)
{
    struct world *w = *state;
    static uint8_t much[1 << 20];
    memset(much, 'x', sizeof much);
    begin_shell(w, "echo $$; exec sleep 1000");
    assert_int_equal(io_child_send(w->child, (struct bytes){ much, sizeof much }), NEAP_OK);
    w->kill_at_line = true;
    run(w);
    assert_int_equal(w->sent_in_vain, 1);
    assert_int_equal(w->sent, 0);
}

/* A host that does not ask what becomes of its children, or asks for all of them. */
static void test_somebody_else_waits(void **state)
{
    struct world *w = *state;
    char text[64];
    signal(SIGCHLD, SIG_IGN);
    run_shell(w, "echo said; exit 3");
    assert_string_equal(w->said[IO_CHILD_OUTPUT], "said\n");
    assert_true(w->end.number == -1 || w->end.number == 3); /* who comes first */
    io_child_end_text(&(struct io_child_end){ false, -1 }, text, sizeof text);
    assert_string_equal(text, "an end that somebody else was told of");
    begin_shell(w, "exit 0");
    io_child_finish(&w->child, mono_after(io_now(w->io), 60 * NS_PER_S));
    begin_shell(w, "exec sleep 1000");
    long pid = (long)io_child_pid(w->child);
    io_child_finish(&w->child, io_now(w->io));
    assert_true(is_dead(pid));
    signal(SIGCHLD, SIG_DFL);
}

static void test_finish(void **state)
{
    struct world *w = *state;
    begin_shell(w, "trap '' TERM; echo $$; while :; do sleep 1000; done");
    w->leave_at_line = true;
    run(w);
    long pid = strtol(w->said[0], NULL, 10);
    io_child_close_input(w->child);
    io_child_finish(&w->child, mono_after(io_now(w->io), 20 * NS_PER_MS));
    assert_null(w->child);
    assert_true(is_dead(pid));
    begin_shell(w, "read line; exit 0"); /* ends by itself: long before */
    pid = (long)io_child_pid(w->child);
    io_child_close_input(w->child);
    mono_time from = io_now(w->io);
    io_child_finish(&w->child, mono_after(from, 1000 * NS_PER_S));
    assert_true(is_dead(pid) && io_now(w->io).ns - from.ns < 500 * NS_PER_S);
    begin_shell(w, "exit 0"); /* ended before, and nobody has looked */
    pid = (long)io_child_pid(w->child);
    assert_dies(pid);
    io_child_finish(&w->child, io_now(w->io));
    assert_int_equal(w->ended, 0);
}

/* A process with a child of its own kills itself. */
static void test_dies_with_us(void **state)
{
    int told[2];
    char text[32] = "";
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        void *inner = NULL;
        if (open_world(&inner) != 0)
            _exit(1);
        struct world *w = inner;
        begin_shell(w, "echo $$; exec sleep 1000");
        w->leave_at_line = true;
        run(w);
        if (write(told[1], w->said[0], w->size[0]) > 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    close(told[1]);
    assert_true(read(told[0], text, sizeof text - 1) > 0);
    close(told[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_dies(strtol(text, NULL, 10));
}

/* ---- in the simulator -------------------------------------------------------------------------------------------------------------- */

static void started(void *ctx, struct sim_child *child, uint64_t number)
{
    assert_true(number >= 1);
    sim_child_write(child, IO_CHILD_ERROR, BYTES("hello\n"), NS_PER_MS);
}

static void input(void *ctx, struct sim_child *child, struct bytes bytes)
{
    sim_child_write(child, IO_CHILD_OUTPUT, bytes, 0);
    if (memchr(bytes.at, '!', bytes.size) != NULL)
        sim_child_exit(child, 7, NS_PER_MS);
    if (memchr(bytes.at, '?', bytes.size) != NULL)
        sim_child_deafen(child);
}

static void test_simulated(void **state)
{
    static const struct sim_program echo = { .started = started, .input = input };
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct world w = { .io = sim_open(&(struct sim_options){ .seed = seed }) };
        w.self = (struct io_agent){ .name = "self", .work = nothing, .ctx = &w };
        assert_int_equal(io_agent_attach(w.io, &w.self, NULL), NEAP_OK);
        sim_program_set(w.io, "echo", &echo);
        const char *arguments[] = { "echo", NULL }, *none[] = { "none", NULL };
        assert_int_equal(begin(&w, none, NULL), NEAP_NOTFOUND);
        assert_int_equal(begin(&w, arguments, NULL), NEAP_OK);
        assert_int_equal(io_child_send(w.child, BYTES("good-bye!")), NEAP_OK);
        run(&w);
        assert_string_equal(w.said[IO_CHILD_ERROR], "hello\n");
        assert_string_equal(w.said[IO_CHILD_OUTPUT], "good-bye!");
        assert_int_equal(w.end.number, 7);
        assert_int_equal(w.sent + w.sent_in_vain, 1);
        assert_int_equal(begin(&w, arguments, NULL), NEAP_OK);
        io_child_close_input(w.child);
        run(&w);
        assert_int_equal(w.end.number, 0);
        assert_int_equal(begin(&w, arguments, NULL), NEAP_OK);
        w.kill_at_line = true;
        assert_int_equal(io_child_send(w.child, BYTES("?????????????\n??????")), NEAP_OK);
        run(&w);
        assert_true(w.end.signalled && w.end.number == 9);
        assert_int_equal(w.sent + w.sent_in_vain, 1);
        assert_int_equal(begin(&w, arguments, NULL), NEAP_OK);
        io_child_finish(&w.child, io_now(w.io));
        io_agent_stop(&w.self);
        sim_close(&w.io);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dies_with_us), /* first: it forks */
        CASE(test_talk),
        CASE(test_all_that_it_said),
        CASE(test_closes_its_output),
        CASE(test_no_such_program),
        CASE(test_nothing_of_ours),
        CASE(test_kill_takes_all),
        CASE(test_its_end_takes_all),
        CASE(test_never_reads),
        CASE(test_finish),
        CASE(test_somebody_else_waits),
        cmocka_unit_test(test_simulated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
