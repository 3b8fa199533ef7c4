/* neap-sim: the engine in a world that can be replayed; see `neap-sim help`. */
#include "base/must.h"
#include "faults.h"
#include "pipes.h"
#include "rot.h"
#include "year.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define UNITS 150u

static const char usage[] =
    "usage: neap-sim MODE [OPTIONS]\n"
    "  log     cut the power at every step of a life of the log; open what is left; compare with what was promised\n"
    "  faults  a call that fails, a disk that fills up or stalls; then a kill or a cut; compare as well\n"
    "  sqlite  the whole node, from lines of a file into SQLite; cut, run again: each line once\n"
    "  rot     damage a log at rest: bits, sectors, ends, old copies; open it, read all of it; never silently wrong\n"
    "  year    a year of a log: mixed retentions, a dead sink, a clock that jumps, restarts; nothing needed is freed, "
    "all else is\n"
    "  same    live each seed twice; say where two runs differ\n"
    "options:\n"
    "  --seed N       the first seed (1)          --seeds N    how many (1, or as many as --seconds allow)\n"
    "  --states N     of each point at most (log 16, faults 4, sqlite 2), damages of each life (rot 2000)\n"
    "  --units N      handed to the log in each life (150)\n"
    "  --seconds N    stop after so long          --trace      say everything that happens\n"
    "  --point K[,K] --state S[,S]                only this state\n";

struct args {
    const char *mode;
    uint64_t seed, seeds, states, seconds;
    uint32_t units;
    bool trace, seeds_given;
    struct place only;
};

static struct args args = { .seed = 1, .seeds = 1, .units = UNITS };
static uint64_t seed_now;

/* ---- time of this machine: for the figures alone ---- */

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall_start, cpu_start;

static bool enough(void *ctx)
{
    (void)ctx;
    return args.seconds > 0 && seconds_of(CLOCK_MONOTONIC) - wall_start >= (double)args.seconds;
}

/* ---- saying ---- */

static void print_replay(FILE *to, const struct place *place)
{
    fprintf(to, "neap-sim %s --seed %llu", args.mode, (unsigned long long)seed_now);
    if (args.units != UNITS)
        fprintf(to, " --units %u", args.units);
    for (uint32_t i = 0; i < place->depth; i++)
        fprintf(to, "%s%u", i == 0 ? " --point " : ",", place->point[i]);
    for (uint32_t i = 0; i < place->depth; i++)
        fprintf(to, "%s%llu", i == 0 ? " --state " : ",", (unsigned long long)place->state[i]);
    fprintf(to, "\n");
}

static void last_words(void)
{
    fflush(stdout);
    print_replay(stdout, &cut_place);
    fflush(stdout);
}

static void trace(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s\n", line);
}

static void progress(const struct cut_figures *figures)
{
    static double last;
    double now = seconds_of(CLOCK_MONOTONIC);
    if (!isatty(2) || now - last < 0.2)
        return;
    last = now;
    fprintf(stderr, "\r%s: seed %llu, %llu points, %llu states ", args.mode, (unsigned long long)seed_now,
            (unsigned long long)figures->points, (unsigned long long)figures->states);
}

static bool still(void *ctx)
{
    progress(ctx);
    return enough(NULL);
}

static void summary(const struct cut_figures *f)
{
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
    uint64_t other = f->verdicts[VERDICT_HALF] + f->verdicts[VERDICT_ORDER] + f->verdicts[VERDICT_WRONG] +
                     f->verdicts[VERDICT_CLOSED];
    if (isatty(2))
        fprintf(stderr, "\r\033[K");
    printf("%s: %llu seeds, %llu lives, %llu points, %llu states, %.0f states per CPU second, %.0f virtual seconds; "
           "lost %llu, invented %llu, other %llu; hash %016llx\n",
           args.mode, (unsigned long long)f->seeds, (unsigned long long)f->lives, (unsigned long long)f->points,
           (unsigned long long)f->states, cpu > 0 ? (double)f->states / cpu : 0, (double)f->virtual_ns / 1e9,
           (unsigned long long)f->verdicts[VERDICT_LOST], (unsigned long long)f->verdicts[VERDICT_INVENTED],
           (unsigned long long)other, (unsigned long long)f->hash);
}

/* ---- modes ---- */

static bool more_seeds(uint64_t done)
{
    if (enough(NULL))
        return false;
    return done < args.seeds || (args.seconds > 0 && !args.seeds_given);
}

static struct cut_options options_of(uint64_t seed, struct cut_figures *figures)
{
    return (struct cut_options){
        .seed = seed,
        .unit_count = args.units,
        .states_max = args.states,
        .only = args.only.depth > 0 ? &args.only : NULL,
        .trace = args.trace ? trace : NULL,
        .enough = still,
        .ctx = figures,
    };
}

static void print_freed(const struct cut_figures *f)
{
    const struct life_figures *l = &f->freed;
    if (l->files > 0)
        printf("%s: %llu of %llu lives ended with archives, %llu written, %llu joined; %llu of %llu journal files used "
               "again; %llu trims, %llu partitions begin beyond 0; %llu units answered early, %llu times one of them "
               "taken; %llu ranges declared lost\n",
               args.mode, (unsigned long long)l->archived, (unsigned long long)f->lives,
               (unsigned long long)l->archives, (unsigned long long)l->joined, (unsigned long long)l->recycled,
               (unsigned long long)l->files, (unsigned long long)l->trims, (unsigned long long)l->starts,
               (unsigned long long)l->early, (unsigned long long)f->taken, (unsigned long long)l->losses);
}

static int verdict_of(bool good, const struct cut_figures *figures)
{
    print_freed(figures);
    summary(figures);
    if (good)
        return 0;
    printf("%s: %s\n", verdict_name(figures->finding.verdict), figures->finding.text);
    print_replay(stdout, &figures->place);
    return 1;
}

static int run_log(void)
{
    struct cut_figures figures = { 0 };
    bool good = true;
    for (uint64_t i = 0; more_seeds(i) && good; i++) {
        seed_now = args.seed + i;
        struct cut_options options = options_of(seed_now, &figures);
        good = cuts_run(&options, &figures);
    }
    return verdict_of(good, &figures);
}

static int run_sqlite(void)
{
    struct cut_figures figures = { 0 };
    bool good = true;
    for (uint64_t i = 0; more_seeds(i) && good; i++) {
        seed_now = args.seed + i;
        struct cut_options options = options_of(seed_now, &figures);
        good = pipes_run(&options, &figures);
    }
    return verdict_of(good, &figures);
}

static int run_faults(void)
{
    struct fault_figures figures = { .cuts = { 0 } };
    bool good = true;
    for (uint64_t i = 0; more_seeds(i) && good; i++) {
        seed_now = args.seed + i;
        struct cut_options options = options_of(seed_now, &figures.cuts);
        good = faults_run(&options, &figures);
        progress(&figures.cuts);
    }
    printf("faults: %llu met; %llu lives stopped, %llu never began, %llu units refused, %llu left open\n",
           (unsigned long long)figures.hits, (unsigned long long)figures.stopped, (unsigned long long)figures.unopened,
           (unsigned long long)figures.refused, (unsigned long long)figures.failed);
    return verdict_of(good, &figures.cuts);
}

static int run_rot(void)
{
    static struct rot_figures f;
    bool good = true;
    for (uint64_t i = 0; more_seeds(i) && good; i++) {
        seed_now = args.seed + i;
        struct cut_options options = options_of(seed_now, &f.cuts);
        good = rot_run(&options, &f);
        progress(&f.cuts);
    }
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
    if (isatty(2))
        fprintf(stderr, "\r\033[K");
    printf("rot: %llu lives, %llu damages (", (unsigned long long)f.cuts.lives, (unsigned long long)f.cuts.points);
    for (uint32_t k = 0; k < DAMAGE_KIND_COUNT; k++)
        printf("%s%s %llu", k == 0 ? "" : ", ", damage_names[k], (unsigned long long)f.kinds[k]);
    printf("; %llu while it was open), %.0f per CPU second\n", (unsigned long long)f.live,
           cpu > 0 ? (double)f.cuts.points / cpu : 0);
    printf("rot: detected %llu (start refused %llu, partition stopped %llu), "
           "harmless %llu (named by doctor %llu), taken for a torn tail %llu, silently wrong %u\n",
           (unsigned long long)(f.refused + f.stopped), (unsigned long long)f.refused, (unsigned long long)f.stopped,
           (unsigned long long)f.harmless, (unsigned long long)f.doctored, (unsigned long long)f.torn, !good);
    printf("rot: given up by name %llu, with %llu records; beyond repair %llu\n", (unsigned long long)f.repaired,
           (unsigned long long)f.lost, (unsigned long long)f.unrepaired);
    if (good)
        return 0;
    printf("%s: %s\n", verdict_name(f.cuts.finding.verdict), f.cuts.finding.text);
    print_replay(stdout, &f.cuts.place);
    return 1;
}

static int run_year(void)
{
    static struct year_figures f;
    bool good = true;
    for (uint64_t i = 0; more_seeds(i) && good; i++) {
        seed_now = args.seed + i;
        struct cut_options options = options_of(seed_now, &f.cuts);
        good = year_run(&options, &f);
    }
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
    if (isatty(2))
        fprintf(stderr, "\r\033[K");
    printf(
        "year: %llu seeds, %.2f years, %llu starts (%llu after a kill, %llu after a power cut), %.1f million simulated "
        "seconds per CPU second\n",
        (unsigned long long)f.cuts.seeds, (double)f.hours / 8760, (unsigned long long)f.cuts.lives,
        (unsigned long long)f.kills, (unsigned long long)f.cuts.states,
        cpu > 0 ? (double)f.hours * 3600 / 1e6 / cpu : 0);
    printf("year: %llu records in %llu batches; %llu journal files, %llu of them used again or gone, %llu archives; "
           "%.1f MiB "
           "freed, at most %.1f MiB used and %.1f MiB needed, %llu %% on the worst day; %llu batches refused in %llu "
           "hours; hash "
           "%016llx\n",
           (unsigned long long)f.records, (unsigned long long)f.batches, (unsigned long long)f.files,
           (unsigned long long)f.recycled, (unsigned long long)f.archives, (double)f.freed_size / (1 << 20),
           (double)f.weight_max / (1 << 20), (double)f.needed_max / (1 << 20), (unsigned long long)f.ratio_max,
           (unsigned long long)f.refused, (unsigned long long)f.full_hours, (unsigned long long)f.cuts.hash);
    if (good)
        return 0;
    printf("%s: %s\n", verdict_name(f.cuts.finding.verdict), f.cuts.finding.text);
    print_replay(stdout, &f.cuts.place);
    return 1;
}

static uint64_t live_once(uint64_t seed, struct finding *ret_finding)
{
    struct life life = { .seed = seed,
                         .unit_count = args.units,
                         .options = life_options(seed),
                         .churn = life_churns(seed),
                         .frees = life_frees(seed),
                         .early = life_is_early(seed),
                         .loses = life_loses(seed) };
    life.disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    life.model = model_new();
    life.trace = args.trace ? trace : NULL;
    life_run(&life);
    *ret_finding = life.finding;
    model_free(&life.model);
    sim_disk_free(&life.disk);
    return life.hash;
}

static int run_same(void)
{
    uint64_t hash = 0, done = 0;
    struct finding finding = { .verdict = VERDICT_GOOD };
    for (; more_seeds(done) && finding.verdict == VERDICT_GOOD; done++) {
        seed_now = args.seed + done;
        uint64_t first = live_once(seed_now, &finding);
        if (finding.verdict == VERDICT_GOOD && first != live_once(seed_now, &finding)) {
            printf("seed %llu: two runs differ\n", (unsigned long long)seed_now);
            print_replay(stdout, &args.only);
            return 1;
        }
        hash = sim_mix(hash ^ first);
    }
    if (finding.verdict != VERDICT_GOOD) {
        printf("%s: %s\n", verdict_name(finding.verdict), finding.text);
        print_replay(stdout, &args.only);
        return 1;
    }
    printf("same: %llu seeds, each the same twice; hash %016llx\n", (unsigned long long)done, (unsigned long long)hash);
    return 0;
}

/* ---- arguments ---- */

static bool number(const char *text, uint64_t *ret)
{
    char *end;
    *ret = strtoull(text, &end, 10);
    return *text != 0 && *end == 0;
}

static bool numbers(const char *text, uint64_t *list, uint32_t *ret_count)
{
    char *end = (char *)text;
    for (*ret_count = 0; *ret_count < CUT_DEPTH_MAX; text = end + 1) {
        list[(*ret_count)++] = strtoull(text, &end, 10);
        if (end == text)
            return false;
        if (*end == 0)
            return true;
        if (*end != ',')
            return false;
    }
    return false;
}

static bool option(const char *name, const char *value)
{
    uint64_t n = 0, list[CUT_DEPTH_MAX];
    uint32_t count = 0;
    if (strcmp(name, "--point") == 0 || strcmp(name, "--state") == 0) {
        if (!numbers(value, list, &count) || (args.only.depth != 0 && args.only.depth != count))
            return false;
        args.only.depth = count;
        for (uint32_t i = 0; i < count; i++) {
            if (name[2] == 'p')
                args.only.point[i] = (uint32_t)list[i];
            else
                args.only.state[i] = list[i];
        }
        return true;
    }
    if (!number(value, &n))
        return false;
    if (strcmp(name, "--seed") == 0)
        args.seed = n;
    else if (strcmp(name, "--seeds") == 0)
        args.seeds = n;
    else if (strcmp(name, "--states") == 0)
        args.states = n;
    else if (strcmp(name, "--seconds") == 0)
        args.seconds = n;
    else if (strcmp(name, "--units") == 0)
        args.units = (uint32_t)n;
    else
        return false;
    args.seeds_given |= strcmp(name, "--seeds") == 0;
    return true;
}

static bool parse(int argc, char **argv)
{
    if (argc < 2)
        return false;
    args.mode = argv[1];
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            args.trace = true;
        else if (i + 1 == argc || !option(argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    mallopt(M_MMAP_THRESHOLD, 1 << 30); /* a log is opened many thousand times: its memory stays with us */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    must_last_words = last_words;
    wall_start = seconds_of(CLOCK_MONOTONIC);
    cpu_start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    if (args.states == 0)
        args.states = strcmp(args.mode, "log") == 0      ? 16
                      : strcmp(args.mode, "faults") == 0 ? 4
                      : strcmp(args.mode, "rot") == 0    ? 2000
                                                         : 2;
    if (strcmp(args.mode, "log") == 0)
        return run_log();
    if (strcmp(args.mode, "faults") == 0)
        return run_faults();
    if (strcmp(args.mode, "sqlite") == 0)
        return run_sqlite();
    if (strcmp(args.mode, "rot") == 0)
        return run_rot();
    if (strcmp(args.mode, "year") == 0)
        return run_year();
    if (strcmp(args.mode, "same") == 0)
        return run_same();
    fputs(usage, stderr);
    return 2;
}
