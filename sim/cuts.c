#include "cuts.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define AGAIN_ONE_IN  16u  /* states that are opened twice and written to */
#define DEEPER_ONE_IN 150u /* states that live on and are cut again */
#define DEEPER_UNITS  10u
#define DEEPER_STATES 3u

struct place cut_place;

/* ---- one state ---- */

static enum verdict write_afterwards(struct io *io, struct log *log, struct finding *finding)
{
    struct log_client *client = NULL;
    struct log_topic topic;
    struct error err = { .text = "" };
    mono_time deadline = mono_after(io_now(io), 60 * NS_PER_S);
    if (log_client_open(log, &(struct log_client_options){ .agent = NULL }, &client, &err) != NEAP_OK)
        return finding_set(finding, VERDICT_CLOSED, "no client afterwards: %s", err.text);
    enum neap_status status = log_topic_ensure(client, "afterwards", 1, deadline, &topic, &err);
    if (status == NEAP_OK) {
        uint8_t room[256];
        struct batch_builder builder;
        struct record record = { .value = BYTES("works") };
        batch_begin(&builder, room, sizeof(room));
        batch_add(&builder, &record, NULL, 0);
        struct log_op op = {
            .kind = LOG_APPEND, .target = { topic.id, 0 }, .count = 1, .payload = batch_end(&builder)
        };
        struct log_unit unit = { .ops = &op, .count = 1 };
        status = log_submit_wait(client, &unit, deadline);
        if (status != NEAP_OK)
            error_set(&err, status, "append: %s", status_text(status));
    }
    log_offset end = { 0 };
    if (status == NEAP_OK &&
        (log_partition_end(log, (struct log_partition){ topic.id, 0 }, &end) != NEAP_OK || end.n != 1))
        status = error_set(&err, NEAP_IO, "offset %llu after one record", (unsigned long long)end.n);
    log_client_close(&client);
    return status == NEAP_OK ? VERDICT_GOOD : finding_set(finding, VERDICT_CLOSED, "afterwards: %s", err.text);
}

static enum verdict open_and_check(struct sim_disk *disk, const struct log_options *options, const struct model *model,
                                   uint32_t point, bool killed, uint64_t seed, bool write, struct finding *finding)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk, .calm = true });
    struct log *log = NULL;
    struct error err = { .text = "" };
    enum verdict verdict;
    if (log_open(io, options, &log, &err) == NEAP_OK) {
        verdict = check_log(log, model, point, killed, finding);
        if (verdict == VERDICT_GOOD && write)
            verdict = write_afterwards(io, log, finding);
    } else {
        verdict = finding_set(finding, VERDICT_CLOSED, "%s", err.text);
    }
    log_close(&log);
    sim_close(&io);
    return verdict;
}

enum verdict cut_check(struct sim_disk *disk, const struct log_options *options, const struct model *model,
                       uint32_t point, bool killed, uint64_t seed, struct finding *finding)
{
    *finding = (struct finding){ .verdict = VERDICT_GOOD };
    enum verdict verdict = open_and_check(disk, options, model, point, killed, seed, false, finding);
    if (verdict != VERDICT_GOOD || sim_mix(seed) % AGAIN_ONE_IN != 0)
        return verdict;
    struct finding again = { .verdict = VERDICT_GOOD };
    verdict = open_and_check(disk, options, model, point, killed, seed + 1, true, &again);
    if (verdict != VERDICT_GOOD)
        return finding_set(finding, verdict, "opened twice: %s", again.text);
    if (memcmp(again.reached, finding->reached, sizeof(again.reached)) != 0 || again.taken != finding->taken)
        return finding_set(finding, VERDICT_ORDER, "opened twice, something else is there");
    return VERDICT_GOOD;
}

/* ---- all states of a life, and the lives after them ---- */

struct cutting {
    const struct cut_options *options;
    struct cut_figures *figures;
    struct log_options log_options;
};

static bool report(struct cutting *cutting, const struct finding *finding)
{
    cutting->figures->verdicts[finding->verdict]++;
    if (finding->verdict == VERDICT_GOOD)
        return true;
    cutting->figures->finding = *finding;
    cutting->figures->place = cut_place;
    return false;
}

static bool live_and_cut(struct cutting *cutting, struct sim_disk *disk, struct model *model, uint64_t seed,
                         uint32_t unit_count, uint64_t states_max);

static bool live_on(struct cutting *cutting, struct sim_disk *disk, uint32_t point, uint64_t state,
                    const struct model *model, const uint32_t *reached, uint64_t seed)
{
    struct sim_disk *next_disk = sim_disk_state(disk, point, state, true);
    struct model *next_model = model_continue(model, point, reached);
    bool good = live_and_cut(cutting, next_disk, next_model, seed, DEEPER_UNITS, DEEPER_STATES);
    model_free(&next_model);
    sim_disk_free(&next_disk);
    return good;
}

static bool one_state(struct cutting *cutting, struct sim_disk *disk, const struct model *model, uint64_t life_seed,
                      uint32_t point, uint64_t state)
{
    uint32_t depth = cut_place.depth;
    must(depth < CUT_DEPTH_MAX);
    cut_place.point[depth] = point;
    cut_place.state[depth] = state;
    cut_place.depth = depth + 1;
    uint64_t seed = sim_mix(life_seed ^ sim_mix(state + 1) ^ (uint64_t)point << 20);
    struct finding finding;
    struct sim_disk *cut = sim_disk_state(disk, point, state, false);
    cut_check(cut, &cutting->log_options, model, point, state == SIM_STATE_ALL, seed, &finding);
    cutting->figures->taken += finding.taken;
    sim_disk_free(&cut);
    cutting->figures->states++;
    bool good = report(cutting, &finding);
    const struct place *only = cutting->options->only;
    bool deeper = (only != NULL && only->depth > depth + 1) || sim_mix(seed + 9) % DEEPER_ONE_IN == 0;
    if (good && deeper && depth + 1 < CUT_DEPTH_MAX)
        good = live_on(cutting, disk, point, state, model, finding.reached, seed);
    cut_place.depth = depth;
    return good;
}

static bool one_point(struct cutting *cutting, struct sim_disk *disk, const struct model *model, uint64_t seed,
                      uint32_t point, uint64_t states_max)
{
    uint64_t count = sim_disk_state_count(disk, point);
    uint64_t states = count < states_max ? count : states_max;
    cutting->figures->points++;
    bool good = true;
    for (uint64_t i = 0; i < states && good; i++) {
        uint64_t state = count <= states_max ? i : sim_mix(seed + i * 3 + point) >> 12;
        if (i == 0)
            state = SIM_STATE_ALL; /* a killed process, in any case */
        good = one_state(cutting, disk, model, seed, point, state);
    }
    return good;
}

static bool all_points(struct cutting *cutting, struct sim_disk *disk, const struct model *model, uint64_t seed,
                       uint64_t states_max)
{
    const struct place *only = cutting->options->only;
    uint32_t depth = cut_place.depth;
    if (only != NULL && only->depth > depth)
        return one_state(cutting, disk, model, seed, only->point[depth], only->state[depth]);
    bool good = true;
    for (uint32_t point = 0; point <= sim_disk_point(disk) && good; point++) {
        if (cutting->options->enough != NULL && cutting->options->enough(cutting->options->ctx))
            return true;
        if (sim_disk_point_matters(disk, point))
            good = one_point(cutting, disk, model, seed, point, states_max);
    }
    return good;
}

static bool live_and_cut(struct cutting *cutting, struct sim_disk *disk, struct model *model, uint64_t seed,
                         uint32_t unit_count, uint64_t states_max)
{
    struct life life = {
        .seed = seed,
        .disk = disk,
        .model = model,
        .churn = life_churns(cutting->options->seed),
        .frees = life_frees(cutting->options->seed),
        .early = life_is_early(cutting->options->seed),
        .loses = life_loses(cutting->options->seed),
        .unit_count = unit_count,
        .options = cutting->log_options,
        .trace = cutting->options->trace,
    };
    life_run(&life);
    cutting->figures->lives++;
    life_figures_add(&cutting->figures->freed, &life.freed);
    cutting->figures->virtual_ns += life.virtual_ns;
    cutting->figures->hash = sim_mix(cutting->figures->hash ^ life.hash);
    if (!report(cutting, &life.finding))
        return false;
    return all_points(cutting, disk, model, seed, states_max);
}

bool cuts_run(const struct cut_options *options, struct cut_figures *figures)
{
    struct cutting cutting = { .options = options, .figures = figures, .log_options = life_options(options->seed) };
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    struct model *model = model_new();
    cut_place = (struct place){ .depth = 0 };
    figures->seeds++;
    bool good = live_and_cut(&cutting, disk, model, options->seed, options->unit_count, options->states_max);
    model_free(&model);
    sim_disk_free(&disk);
    return good;
}
