#include "faults.h"
#include "base/must.h"
#include <stdio.h>

#define CHECK_POINTS 6u  /* of a life, besides its end */
#define NTH_MAX      80u /* later calls come after the faults have been taken away */

/* What fails, how, and for how long. */
static const struct kind {
    enum sim_call call;
    bool sticky;
    enum neap_status status;
    int64_t stall_ns;
    uint32_t every; /* instead of the n-th: one in so many */
} kinds[] = {
    { SIM_WRITE, false, NEAP_IO, 0, 0 },
    { SIM_WRITE, true, NEAP_IO, 0, 0 },
    { SIM_SYNC, false, NEAP_IO, 0, 0 },
    { SIM_SYNC, true, NEAP_IO, 0, 0 },
    { SIM_DIR_SYNC, false, NEAP_IO, 0, 0 },
    { SIM_RENAME, false, NEAP_IO, 0, 0 },
    { SIM_UNLINK, false, NEAP_IO, 0, 0 },
    { SIM_OPEN, false, NEAP_IO, 0, 0 },
    { SIM_READ, false, NEAP_IO, 0, 0 },
    { SIM_ALLOCATE, false, NEAP_FULL, 0, 0 },
    { SIM_ALLOCATE, true, NEAP_FULL, 0, 0 },
    { SIM_WRITE, false, NEAP_FULL, 0, 0 },
    { SIM_WRITE, true, NEAP_FULL, 0, 0 },
    { SIM_OPEN, true, NEAP_FULL, 0, 0 },
    { SIM_WRITE, false, NEAP_FULL, 0, 20 },
    { SIM_SYNC, false, NEAP_OK, 5 * NS_PER_S, 15 },
    { SIM_WRITE, false, NEAP_OK, 3 * NS_PER_S, 25 },
    { SIM_CALL_COUNT, false, NEAP_OK, 0, 0 }, /* a small disk that fills up, and has room again later */
};

struct faulting {
    uint64_t seed;
    struct sim_disk *disk;
    uint64_t hits;
};

static const struct kind *kind_of(uint64_t seed)
{
    return &kinds[seed % COUNT_OF(kinds)];
}

static void prepare(struct io *io, void *ctx)
{
    struct faulting *faulting = ctx;
    const struct kind *kind = kind_of(faulting->seed);
    uint64_t nth = 1 + faulting->seed / COUNT_OF(kinds) % NTH_MAX;
    if (kind->call == SIM_CALL_COUNT) {
        sim_disk_size_set(faulting->disk,
                          8u * 65536 + nth * 8192); /* its reserves find room; what comes later may not */
        return;
    }
    struct sim_fault fault = { .call = kind->call, .sticky = kind->sticky, .status = kind->status };
    fault.stall_ns = kind->stall_ns;
    fault.nth = kind->every > 0 ? 0 : nth;
    fault.chance_per_million = kind->every > 0 ? 1000000 / kind->every : 0;
    sim_fault_add(io, &fault);
}

static void unravel(struct io *io, void *ctx)
{
    struct faulting *faulting = ctx;
    faulting->hits += sim_fault_hits(io);
    sim_faults_clear(io);
    sim_disk_size_set(faulting->disk, 1u << 30);
}

static bool one_state(const struct cut_options *options, struct fault_figures *figures, const struct life *life,
                      uint32_t point, uint64_t state)
{
    struct finding finding;
    cut_place = (struct place){ .depth = 1, .point = { point }, .state = { state } };
    struct sim_disk *cut = sim_disk_state(life->disk, point, state, false);
    sim_disk_size_set(cut, 1u << 30);
    bool killed = state == SIM_STATE_ALL && !life->stopped; /* what was written when storage failed may not be */
    cut_check(cut, &life->options, life->model, point, killed, sim_mix(options->seed ^ state), &finding);
    figures->cuts.taken += finding.taken;
    sim_disk_free(&cut);
    figures->cuts.states++;
    figures->cuts.verdicts[finding.verdict]++;
    if (finding.verdict == VERDICT_GOOD)
        return true;
    figures->cuts.finding = finding;
    figures->cuts.place = cut_place;
    return false;
}

static bool one_point(const struct cut_options *options, struct fault_figures *figures, const struct life *life,
                      uint32_t point)
{
    static const uint64_t always[] = { SIM_STATE_ALL, SIM_STATE_EVICTED, SIM_STATE_NONE };
    bool good = true;
    figures->cuts.points++;
    for (uint32_t i = 0; i < COUNT_OF(always) && good; i++)
        good = one_state(options, figures, life, point, always[i]);
    uint64_t count = sim_disk_state_count(life->disk, point);
    for (uint64_t i = 0; i < options->states_max && i < count && good; i++)
        good = one_state(options, figures, life, point, sim_mix(options->seed + i * 7 + point) >> 12);
    return good;
}

static bool all_points(const struct cut_options *options, struct fault_figures *figures, const struct life *life)
{
    if (options->only != NULL)
        return one_state(options, figures, life, options->only->point[0], options->only->state[0]);
    uint32_t end = sim_disk_point(life->disk);
    uint64_t chance = sim_mix(options->seed + 3);
    bool good = one_point(options, figures, life, end);
    for (uint32_t i = 0; i < CHECK_POINTS && good; i++)
        good = one_point(options, figures, life, sim_below(&chance, end + 1));
    return good;
}

bool faults_run(const struct cut_options *options, struct fault_figures *figures)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    struct faulting faulting = { .seed = options->seed, .disk = disk };
    struct life life = {
        .seed = options->seed,
        .disk = disk,
        .model = model_new(),
        .unit_count = options->unit_count,
        .churn = life_churns(options->seed),
        .frees = life_frees(options->seed),
        .early = life_is_early(options->seed),
        .loses = life_loses(options->seed),
        .options = life_options(options->seed),
        .trace = options->trace,
        .prepare = prepare,
        .unravel = unravel,
        .ctx = &faulting,
    };
    cut_place = (struct place){ .depth = 0 };
    life_run(&life);
    struct cut_figures *cuts = &figures->cuts;
    cuts->seeds++;
    cuts->lives++;
    life_figures_add(&cuts->freed, &life.freed);
    cuts->virtual_ns += life.virtual_ns;
    cuts->hash = sim_mix(cuts->hash ^ life.hash);
    figures->hits += faulting.hits;
    figures->stopped += life.stopped;
    figures->unopened += !life.opened;
    figures->refused += life.refused_count;
    figures->failed += life.failed_count;
    bool good = life.finding.verdict == VERDICT_GOOD;
    if (!good) {
        cuts->verdicts[life.finding.verdict]++;
        cuts->finding = life.finding;
        cuts->place = cut_place;
        return false; /* what could not be stopped is left as it is */
    }
    good = all_points(options, figures, &life);
    model_free(&life.model);
    sim_disk_free(&disk);
    return good;
}
