/* Programs as a stage, on the way of events: what a child answers becomes of its event; one that crashes, hangs, talks nonsense or
 * cannot be started costs its own events what it should, and nobody else's; none is left behind.
 *
 * Real children, and in the simulator programs that do all of it by chance. */
#include "expr_fixture.h"

#include "flow/way.h"
#include "io/real.h"
#include "io/sim.h"
#include "stage/exec.h"
#include "stage/stages.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENT_COUNT 1000u
#define KEY_COUNT   20u
#define EVENT_SIZE  (256u << 10)

struct world {
    struct fixture f;
    struct io *io;
    struct io_agent owner;
    struct io_timer timer;
    struct logging *logging;
    struct outcome_rules rules;
    struct destinations *table;
    struct destination *destination;
    struct waiting *stage;
    struct chain *chain;
    struct way *way;
    uint32_t to, laid, taken, passed, dropped, failed;
    mono_time cancel_at;
    size_t padding; /* of each event */
    uint8_t ends[EVENT_COUNT];
    uint32_t attempts[EVENT_COUNT];
    char reasons[EVENT_COUNT][12];
    char *words[EVENT_COUNT], *json[EVENT_COUNT];
    uint64_t last[KEY_COUNT];
    char lines[1 << 16];
    /* the simulated programs' */
    uint64_t seed;
    uint32_t calls[EVENT_COUNT], calls_while_sick;
    mono_time sick_until;
};

static struct world w;

/* ---- the way ---------------------------------------------------------------------------------------------------------------- */

static char *text_of(struct bytes b)
{
    char *text = malloc(b.size + 1);
    if (b.size > 0)
        memcpy(text, b.at, b.size);
    text[b.size] = '\0';
    return text;
}

static void take_end(const struct way_end *e)
{
    uint32_t n = (uint32_t)e->record->offset;
    assert_int_equal(w.ends[n], 0);
    w.ends[n] = 1 + (uint8_t)e->outcome;
    w.passed += e->outcome == STAGE_PASS;
    w.dropped += e->outcome == STAGE_DROP;
    w.failed += e->outcome == STAGE_FAIL;
    w.attempts[n] = e->attempts;
    w.json[n] = text_of(e->event.json);
    if (e->outcome == STAGE_FAIL) {
        assert_string_equal(e->failure.stage, "score");
        snprintf(w.reasons[n], sizeof w.reasons[n], "%s", e->failure.reason);
        w.words[n] = text_of(e->failure.message);
    } else if (e->outcome == STAGE_PASS) {
        assert_true(n > w.last[n % KEY_COUNT]);
        w.last[n % KEY_COUNT] = n;
    }
}

static uint32_t lay_and_take(void)
{
    uint32_t count = 0;
    struct way_end e;
    char key[16];
    char *value = malloc(w.padding + 64);
    for (; w.laid < w.to; count++, w.laid++) {
        int size = sprintf(value, "{\"n\":%u,\n \"p\":\"%*s\"}", w.laid, (int)w.padding, "");
        struct record record = { .offset = w.laid,
                                 .key = { (uint8_t *)key, (size_t)sprintf(key, "k%u", w.laid % KEY_COUNT) },
                                 .value = { (uint8_t *)value, (size_t)size } };
        if (way_lay(w.way, &record, (struct bytes){ 0 }, NULL) != NEAP_OK)
            break;
    }
    free(value);
    for (; way_next(w.way, &e); count++) {
        take_end(&e);
        way_take(w.way, 1);
        way_settle(w.way, e.slot);
        w.taken++;
    }
    return count;
}

static uint32_t turn(void *ctx, mono_time now)
{
    uint32_t count = w.stage->verbs->work(w.stage, now);
    if (now.ns >= w.cancel_at.ns) {
        if (!way_works(w.way))
            io_agent_leave(&w.owner);
        way_cancel(w.way);
        return count;
    }
    count += lay_and_take();
    count += way_work(w.way, now);
    if (w.taken == w.to - 1)
        io_agent_leave(&w.owner);
    mono_time due = mono_min(way_due(w.way), w.cancel_at);
    if (due.ns != MONO_NEVER.ns)
        io_timer_set(&w.timer, due);
    return count;
}

static void come_again(struct io_timer *timer, mono_time now)
{
    io_agent_wake(timer->agent);
}

static void keep_line(void *ctx, struct bytes line)
{
    size_t used = strlen(w.lines);
    if (used + line.size < sizeof w.lines)
        memcpy(w.lines + used, line.at, line.size);
}

static wall_time no_time(void *ctx)
{
    return (wall_time){ 0 };
}

struct how {
    struct io *io;
    const char *const *arguments;
    enum exec_protocol protocol;
    uint32_t to, width, attempts;
    int64_t timeout_ns, cancel_after_ns;
    size_t padding;
    bool has_breaker;
};

static void start(const struct how *how)
{
    static const struct expr_options defaults;
    static const struct outcome_list unwritten;
    memset(&w, 0, sizeof w);
    w.io = how->io;
    w.to = how->to;
    w.laid = 1;
    w.padding = how->padding;
    w.cancel_at = how->cancel_after_ns > 0 ? mono_after(io_now(w.io), how->cancel_after_ns) : MONO_NEVER;
    w.owner = (struct io_agent){ .name = "owner", .work = turn };
    assert_int_equal(io_agent_attach(w.io, &w.owner, NULL), NEAP_OK);
    w.timer = (struct io_timer){ .agent = &w.owner, .fire = come_again };
    w.logging =
        logging_new(&(struct logging_options){ .wall = no_time, .write = keep_line, .burst_count_max = 100000 });
    fixture_start(&w.f, &defaults, "{}");
    assert_int_equal(outcome_rules_make(&unwritten, &unwritten, &w.rules, NULL), NEAP_OK);
    struct destination_options manners = {
        .breaker = BREAKER_OPTIONS_DEFAULT,
        .budget = { RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS },
        .concurrency_min = how->width,
        .concurrency_max = how->width,
    };
    w.table = destinations_new(1);
    if (how->has_breaker)
        assert_int_equal(destinations_acquire(w.table, BYTES("exec"), &manners, io_now(w.io), &w.destination), NEAP_OK);
    struct exec_options exec = { .io = w.io,
                                 .logging = w.logging,
                                 .owner = &w.owner,
                                 .parser = w.f.parser,
                                 .rules = &w.rules,
                                 .destination = w.destination,
                                 .arguments = how->arguments,
                                 .pipeline = "scored",
                                 .stage = "score",
                                 .protocol = how->protocol,
                                 .concurrency = how->width,
                                 .event_size_max = EVENT_SIZE };
    w.stage = exec_new(&exec);
    assert_non_null(w.stage);
    assert_true(exec_memory_size(how->width, EVENT_SIZE) > 2 * how->width * EVENT_SIZE);
    w.stage->name = "score";
    w.stage->retry = (struct retry_policy){ how->attempts, 0, NS_PER_MS };
    w.stage->timeout_ns = how->timeout_ns;
    w.stage->concurrency = how->width;
    static struct chain *chains[1];
    static struct waiting *stages[1];
    chains[0] = w.chain = chain_new(NULL, 0, w.f.parser);
    stages[0] = w.stage;
    struct way_options options = { .io = w.io,
                                   .arena = w.f.arena,
                                   .chains = chains,
                                   .stages = stages,
                                   .stage_count = 1,
                                   .topic = "orders",
                                   .window = { 100, 4 * EVENT_SIZE, EVENT_SIZE } };
    assert_int_equal(way_new(&options, &w.way), NEAP_OK);
    way_begin(w.way, 3, (log_offset){ 1 });
}

static void run(void)
{
    struct error err = { 0 };
    assert_int_equal(io_agent_run(w.io, &w.owner, MONO_NEVER, &err), NEAP_OK);
    assert_int_equal(w.stage->at_work, 0);
    assert_int_equal(exec_figures(w.stage).at_work, 0);
}

static void stop(void)
{
    way_free(&w.way);
    w.stage->verbs->free(w.stage);
    if (w.destination != NULL)
        destination_release(&w.destination);
    destinations_free(&w.table);
    io_timer_cancel(&w.timer);
    io_agent_stop(&w.owner);
    chain_free(&w.chain);
    fixture_end(&w.f);
    logging_free(&w.logging);
    for (uint32_t n = 0; n < EVENT_COUNT; n++) {
        free(w.words[n]);
        free(w.json[n]);
    }
}

/* ---- real children ----------------------------------------------------------------------------------------------------------- */

static struct how usual(void)
{
    return (struct how){ .to = 200, .width = 3, .attempts = 3, .timeout_ns = 60 * NS_PER_S, .io = io_real_open(NULL) };
}

static void run_real(struct how *how, const char *const *arguments)
{
    how->arguments = arguments;
    start(how);
    run();
}

static void stop_real(struct how *how)
{
    stop();
    io_real_close(&how->io);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
    assert_int_equal(errno, ECHILD);
}

#define PYTHON_LOOP                               \
    "import sys, json, os, time, signal\n"        \
    "count = 0\n"                                 \
    "def say(**answer):\n"                        \
    "    print(json.dumps(answer), flush=True)\n" \
    "for line in sys.stdin:\n"                    \
    "    e = json.loads(line)\n"                  \
    "    if 'neap' in e: continue\n"              \
    "    count += 1\n"                            \
    "    id, event = e['id'], e['event']\n"       \
    "    n = event['n']\n"

static const char *const *python(const char *body)
{
    static char text[4096];
    static const char *arguments[] = { "python3", "-c", text, NULL };
    snprintf(text, sizeof text, PYTHON_LOOP "%s", body);
    return arguments;
}

static void test_answers(void **state)
{
    struct how how = usual();
    run_real(&how, python("    if n % 5 == 0: say(id=id, drop=True)\n"
                          "    elif n % 5 == 1: say(id=id, error='n is %d' % n, permanent=True)\n"
                          "    elif n % 5 == 2 and e['attempt'] < 3: say(id=id, error='once more')\n"
                          "    elif n % 5 == 3: say(id=id, error=['never', 'ready'])\n"
                          "    else:\n"
                          "        assert e['key'] == 'k%d' % (n % 20) and e['partition'] == 3 and e['offset'] == n\n"
                          "        assert e['topic'] == 'orders' and e['headers'] == {}\n"
                          "        say(id=id, event={'n': n, 'seen': True}, more=1)\n"));
    for (uint32_t n = 1; n < how.to; n++) {
        char json[64];
        static const enum stage_outcome ends[] = { STAGE_DROP, STAGE_FAIL, STAGE_PASS, STAGE_FAIL, STAGE_PASS };
        assert_int_equal(w.ends[n], 1 + ends[n % 5]);
        snprintf(json, sizeof json, "{\"n\": %u, \"seen\": true}", n);
        if (ends[n % 5] == STAGE_PASS)
            assert_string_equal(w.json[n], json);
        snprintf(json, sizeof json, n % 5 == 1 ? "n is %u" : "[\"never\", \"ready\"]", n);
        if (ends[n % 5] == STAGE_FAIL) {
            assert_string_equal(w.reasons[n], "exec");
            assert_string_equal(w.words[n], json);
            assert_int_equal(w.attempts[n], n % 5 == 1 ? 1 : 3);
        }
    }
    assert_int_equal(exec_figures(w.stage).started, exec_figures(w.stage).children);
    assert_true(exec_figures(w.stage).children <= 3);
    stop_real(&how);
}

static void test_plain_lines(void **state)
{
    static const char *const arguments[] = {
        "/bin/sh", "-c",
        "while read -r line; do case \"$line\" in *'\"n\":7,'*) echo;; *) echo \"{\\\"was\\\":$line}\";; esac; done",
        NULL
    };
    struct how how = usual();
    how.protocol = EXEC_PROTOCOL_LINES;
    run_real(&how, arguments);
    assert_int_equal(w.dropped, 1);
    assert_int_equal(w.ends[7], 1 + STAGE_DROP);
    assert_int_equal(w.passed, how.to - 2);
    assert_string_equal(w.json[9], "{\"was\":{\"n\":9,  \"p\":\"\"}}");
    stop_real(&how);
}

/* Its attempts are used up, the traceback is told, and nobody else pays for it. */
static void test_poison(void **state)
{
    struct how how = usual();
    run_real(&how, python("    if n == 50: raise ValueError('fifty is too much')\n"
                          "    if n == 60: os.kill(os.getpid(), signal.SIGSEGV)\n"
                          "    say(id=id, event=event)\n"));
    assert_int_equal(w.passed, how.to - 3);
    assert_int_equal(w.failed, 2);
    assert_string_equal(w.reasons[50], "crash");
    assert_int_equal(w.attempts[50], 3);
    assert_non_null(strstr(w.words[50], "exit status 1; its last words: Traceback"));
    assert_non_null(strstr(w.words[50], "ValueError: fifty is too much"));
    assert_non_null(strstr(w.words[60], "killed by signal 11 (SIGSEGV)"));
    assert_int_equal(exec_figures(w.stage).crashes, 6);
    assert_non_null(strstr(w.lines, "a child says"));
    assert_non_null(strstr(w.lines, "ValueError: fifty"));
    stop_real(&how);
}

/* Under a limit of its own it dies now and then; and one that ends of its own accord, so that it does not. */
static void test_leaks(void **state)
{
    static const char *const limited[] = {
        "/bin/sh", "-c",
        "ulimit -v 200000; exec python3 -c 'import sys, json\n"
        "kept = []\n"
        "for line in sys.stdin:\n"
        "    e = json.loads(line)\n"
        "    if \"neap\" in e: continue\n"
        "    kept.append(bytearray(4000000))\n"
        "    print(json.dumps({\"id\": e[\"id\"], \"event\": e[\"event\"]}), flush=True)\n'",
        NULL
    };
    struct how how = usual();
    how.attempts = 20;
    run_real(&how, limited);
    assert_int_equal(w.passed, how.to - 1);
    assert_true(exec_figures(w.stage).crashes > 0);
    stop_real(&how);
    how = usual();
    run_real(&how, python("    say(id=id, event=event)\n"
                          "    if count == 10: sys.exit(0)\n"));
    assert_int_equal(w.passed, how.to - 1);
    assert_true(exec_figures(w.stage).started > 10);
    stop_real(&how);
}

static void test_says_too_much(void **state)
{
    struct how how = usual();
    run_real(&how, python("    say(id=id, event=event)\n"
                          "    say(id=id, event={'n': 0})\n"
                          "    if n % 10 == 3: say(id=id - 1 if id > 1 else 1, drop=True)\n"));
    assert_int_equal(w.passed, how.to - 1);
    for (uint32_t n = 1; n < how.to; n++)
        assert_non_null(strstr(w.json[n], "\"p\""));
    assert_int_equal(exec_figures(w.stage).kills, 0);
    assert_non_null(strstr(w.lines, "a child has answered an event twice"));
    stop_real(&how);
    how = usual();
    how.protocol = EXEC_PROTOCOL_LINES;
    static const char *const twice[] = { "/bin/sh", "-c", "while read -r line; do printf '%s\\n{}\\n' \"$line\"; done",
                                         NULL };
    run_real(&how, twice); /* which line is of which event nobody knows any more */
    for (uint32_t n = 1; n < how.to; n++)
        assert_true(w.ends[n] == 1 + STAGE_PASS && strstr(w.json[n], "\"p\"") != NULL);
    assert_true(exec_figures(w.stage).kills > 0);
    stop_real(&how);
}

static void test_nonsense(void **state)
{
    struct how how = usual();
    run_real(&how, python("    if n == 20: print('debug: n is 20', flush=True)\n"
                          "    if n == 30: say(id=id + 1000000, event=event)\n"
                          "    if n == 40: say(id=id)\n"
                          "    if n == 50: print('{\"id\": %d, \"event\": \"%s\"}' % (id, 'x' * 1000000), flush=True)\n"
                          "    if n == 60: print('[]' * 300000, flush=True); time.sleep(1000)\n"
                          "    say(id=id, event=event)\n"));
    static const struct {
        uint32_t n;
        const char *words;
    } bad[] = { { 20, "it is no JSON object: debug: n is 20" },
                { 30, "its \"id\" is of no event that it was given: " },
                { 40, "it has not exactly one of \"event\", \"drop\" and \"error\": " },
                { 50, "its line is longer than an event may be: " },
                { 60, "its line is longer than an event may be: [][][]" } };
    assert_int_equal(w.failed, COUNT_OF(bad));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_string_equal(w.reasons[bad[i].n], "answer");
        assert_non_null(strstr(w.words[bad[i].n], bad[i].words));
        assert_int_equal(w.attempts[bad[i].n], 3);
    }
    assert_int_equal(w.passed, how.to - 1 - COUNT_OF(bad));
    stop_real(&how);
}

/* Killed with all whom it has started; the next attempt has a child of its own. */
static void test_late(void **state)
{
    struct how how = usual();
    how.timeout_ns = NS_PER_S;
    how.to = 40;
    how.attempts = 2;
    run_real(&how, python("    if n == 5: os.system('sleep 1000')\n"
                          "    if n == 6 and e['attempt'] == 1: time.sleep(1000)\n"
                          "    say(id=id, event=event)\n"));
    assert_string_equal(w.reasons[5], "timeout");
    assert_non_null(strstr(w.words[5], "no answer in "));
    assert_int_equal(w.failed, 1);
    assert_int_equal(w.passed, how.to - 2);
    assert_true(exec_figures(w.stage).kills >= 3);
    stop_real(&how);
}

static void test_closes_and_does_not_read(void **state)
{
    struct how how = usual();
    how.to = 10;
    how.attempts = 2;
    run_real(&how, python("    if n == 5: os.close(1); time.sleep(1000)\n"
                          "    say(id=id, event=event)\n"));
    assert_int_equal(w.passed, how.to - 2);
    assert_string_equal(w.reasons[5], "crash");
    assert_non_null(strstr(w.words[5], "it closed its input or its output"));
    stop_real(&how);
    static const char *const deaf[] = { "sleep", "1000", NULL };
    how = usual();
    how.to = 4;
    how.attempts = 2;
    how.timeout_ns = 50 * NS_PER_MS;
    how.padding = 200000; /* more than a pipe holds */
    run_real(&how, deaf);
    assert_int_equal(w.failed, 3);
    assert_string_equal(w.reasons[1], "timeout");
    stop_real(&how);
}

/* It is nobody's fault among the events: they wait, and it is said. */
static void test_cannot_start(void **state)
{
    static const char *const none[] = { "no-such-program-anywhere", NULL };
    static const char *const broken[] = { "python3", "-c", "import no_such_module", NULL };
    struct how how = usual();
    how.cancel_after_ns = 400 * NS_PER_MS;
    run_real(&how, none);
    assert_int_equal(w.taken, 0);
    assert_non_null(strstr(w.lines, "a child cannot be started; events wait for it"));
    assert_non_null(strstr(w.lines, "no-such-program-anywhere: "));
    stop_real(&how);
    how = usual();
    how.cancel_after_ns = 1500 * NS_PER_MS;
    run_real(&how, broken);
    assert_int_equal(w.taken, 0);
    assert_non_null(strstr(w.lines, "No module named"));
    assert_true(exec_figures(w.stage).started >= 2 && exec_figures(w.stage).started < 40); /* it pauses */
    stop_real(&how);
}

static void test_cancelled(void **state)
{
    struct how how = usual();
    how.cancel_after_ns = 300 * NS_PER_MS;
    run_real(&how, python("    if n % 7 == 0: time.sleep(1000)\n"
                          "    say(id=id, event=event)\n"));
    assert_int_equal(w.failed, 0);
    assert_true(w.taken < how.to - 1);
    stop_real(&how);
}

/* ---- in the simulator ------------------------------------------------------------------------------------------------------------ */

struct hearing { /* of one child */
    char text[4096];
    size_t size;
};

static void started(void *ctx, struct sim_child *child, uint64_t number)
{
    *sim_child_own(child) = calloc(1, sizeof(struct hearing));
}

static void act(struct sim_child *child, uint64_t id, uint32_t n)
{
    char text[128];
    int64_t after = (int64_t)chance_below(&w.seed, 3 * NS_PER_MS);
    int size = snprintf(text, sizeof text, "{\"id\":%lu,\"event\":{\"n\":%u}}\n", id, n);
    struct bytes answer = { (uint8_t *)text, (size_t)size };
    w.calls[n]++;
    if (io_now(w.io).ns < w.sick_until.ns) {
        w.calls_while_sick++;
        sim_child_exit(child, 1, after);
        return;
    }
    switch (w.sick_until.ns > 0 ? 9 : chance_below(&w.seed, 10)) {
    case 0: /* it hangs */
        return;
    case 1:
        sim_child_write(child, IO_CHILD_ERROR, BYTES("oh no\n"), after);
        sim_child_exit(child, 1, after);
        return;
    case 2:
        sim_child_write(child, IO_CHILD_OUTPUT, BYTES("nonsense\n"), after);
        return;
    case 3:
        sim_child_close_output(child, after);
        return;
    case 4:
        sim_child_deafen(child);
        break;
    case 5:
        sim_child_write(child, IO_CHILD_OUTPUT, answer, after);
        sim_child_exit(child, 0, after);
        return;
    case 6:
        sim_child_write(child, IO_CHILD_OUTPUT, answer, after);
        after = 0;
        break;
    default:
        break;
    }
    sim_child_write(child, IO_CHILD_OUTPUT, (struct bytes){ answer.at, 5 }, after);
    sim_child_write(child, IO_CHILD_OUTPUT, (struct bytes){ answer.at + 5, answer.size - 5 }, 100);
}

static void input(void *ctx, struct sim_child *child, struct bytes bytes)
{
    struct hearing *h = *sim_child_own(child);
    char *end;
    assert_true(h->size + bytes.size < sizeof h->text);
    memcpy(h->text + h->size, bytes.at, bytes.size);
    h->size += bytes.size;
    while ((end = memchr(h->text, '\n', h->size)) != NULL) {
        unsigned long id;
        unsigned n;
        *end = '\0';
        if (sscanf(h->text, "{\"id\":%lu,\"event\":{\"n\":%u", &id, &n) == 2)
            act(child, id, n);
        else
            assert_string_equal(h->text, "{\"neap\":1,\"pipeline\":\"scored\",\"stage\":\"score\"}");
        h->size -= (size_t)(end + 1 - h->text);
        memmove(h->text, end + 1, h->size);
    }
}

static void gone(void *ctx, struct sim_child *child)
{
    free(*sim_child_own(child));
}

static void test_simulated(void **state)
{
    static const struct sim_program program = { .started = started, .input = input, .gone = gone };
    static const char *const arguments[] = { "program", NULL };
    uint64_t kills = 0;
    for (uint64_t seed = 1; seed < 30; seed++) {
        struct how how = { .io = sim_open(&(struct sim_options){ .seed = seed }),
                           .arguments = arguments,
                           .to = 150,
                           .width = 1 + (uint32_t)seed % 5,
                           .attempts = 1000,
                           .timeout_ns = 10 * NS_PER_MS };
        sim_program_set(how.io, "program", &program);
        start(&how);
        w.seed = seed;
        run();
        assert_int_equal(w.passed, how.to - 1);
        for (uint32_t n = 1; n < how.to; n++) {
            char json[32];
            snprintf(json, sizeof json, "{\"n\":%u}", n);
            assert_string_equal(w.json[n], json);
            assert_true(w.calls[n] >= 1);
        }
        kills += exec_figures(w.stage).kills;
        stop();
        sim_close(&how.io);
    }
    assert_true(kills > 100);
}

/* A program that is ill for a minute: its breaker leaves it alone, and nothing gives up. */
static void test_ill_for_a_while(void **state)
{
    static const struct sim_program program = { .started = started, .input = input, .gone = gone };
    static const char *const arguments[] = { "program", NULL };
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct how how = { .io = sim_open(&(struct sim_options){ .seed = seed }),
                           .arguments = arguments,
                           .to = 150,
                           .width = 4,
                           .attempts = 100,
                           .timeout_ns = NS_PER_S,
                           .has_breaker = true };
        sim_program_set(how.io, "program", &program);
        start(&how);
        w.sick_until = mono_after(io_now(w.io), 60 * NS_PER_S);
        run();
        assert_int_equal(w.passed, how.to - 1);
        assert_true(w.calls_while_sick >= 20 && w.calls_while_sick < 60);
        struct destination_figures f = destination_figures(w.destination, io_now(w.io));
        assert_int_equal(f.inflight_count, 0);
        stop();
        sim_close(&how.io);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulated),     cmocka_unit_test(test_ill_for_a_while),
        cmocka_unit_test(test_answers),       cmocka_unit_test(test_plain_lines),
        cmocka_unit_test(test_poison),        cmocka_unit_test(test_leaks),
        cmocka_unit_test(test_says_too_much), cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_late),          cmocka_unit_test(test_closes_and_does_not_read),
        cmocka_unit_test(test_cannot_start),  cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
