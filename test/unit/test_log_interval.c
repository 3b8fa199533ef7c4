/* On a topic with a sync interval a producer is answered after the write: a kill loses nothing answered, a power cut only what
 * was not yet synced; topics without one lose nothing; no unit is half there; readers see durable records alone. */
#include "log_bench.h"

#include "io/sim.h"

#define UNIT_COUNT     40u /* of each client */
#define CLIENT_COUNT   3u
#define OPEN_COUNT     12u
#define INTERVAL_MS    50u
#define STATES_A_POINT 6u
#define VALUE_SIZE_MAX 40000u /* of a fact: in a tail of 64 KiB two of them do not lie side by side */
#define KEY            BYTES("count")

enum place { SOON, SURE, PLACE_COUNT }; /* the topic that is answered early, the other one */

/* A client writes to partition `number` of both topics, unit after unit, up to OPEN_COUNT on their way. */
struct hand {
    struct world *world;
    uint32_t number;
    struct log_client *client;
    struct io_agent agent;
    struct written {
        bool to[PLACE_COUNT];
        uint64_t fact;       /* units that went to SOON so far, with this one: also a fact of it */
        uint32_t told, seen; /* points of the disk's history; UINT32_MAX: not yet */
        struct log_unit unit;
        struct log_op ops[PLACE_COUNT + 1];
        uint8_t room[PLACE_COUNT][256], value[VALUE_SIZE_MAX];
    } units[UNIT_COUNT];
    uint32_t submitted, done, visible;
};

struct world {
    struct io *io;
    struct log *log;
    struct sim_disk *disk;
    struct log_topic topics[PLACE_COUNT];
    struct hand hands[CLIENT_COUNT];
    uint64_t chance;
    struct log_options options;
};

static struct log_options options(bool large)
{
    return (struct log_options){ .path = "/data",
                                 .disk_size = 32u << 20,
                                 .file_size = large ? 256u << 10 : 16u << 10,
                                 .tail_size = 64u << 10,
                                 .index_count_max = 64,
                                 .fact_size_max = 1u << 20,
                                 .snapshot_size = 16u << 10,
                                 .idle_mark_ns = 5 * NS_PER_MS };
}

static struct log_partition place_of(const struct world *world, enum place place, uint32_t number)
{
    return (struct log_partition){ world->topics[place].id, number };
}

static uint64_t end_of(struct log *log, struct log_partition p)
{
    log_offset end;
    assert_int_equal(log_partition_end(log, p, &end), NEAP_OK);
    return end.n;
}

/* How many units of the hand make up these ends. UNIT_COUNT + 1: no number does, so one is half there. */
static uint32_t units_within(const struct hand *w, const uint64_t ends[PLACE_COUNT])
{
    uint64_t sums[PLACE_COUNT] = { 0 };
    for (uint32_t i = 0; i <= w->submitted; i++) {
        if (sums[SOON] == ends[SOON] && sums[SURE] == ends[SURE])
            return i;
        for (int place = 0; i < w->submitted && place < PLACE_COUNT; place++)
            sums[place] += w->units[i].to[place];
    }
    return UNIT_COUNT + 1;
}

static uint32_t units_there(const struct world *world, struct log *log, const struct hand *w)
{
    uint64_t ends[PLACE_COUNT];
    uint8_t room[LOG_VALUE_SIZE_MAX];
    struct bytes value = { NULL, 0 };
    for (int place = 0; place < PLACE_COUNT; place++)
        ends[place] = end_of(log, place_of(world, (enum place)place, w->number));
    enum neap_status status = log_fact_get(log, LOG_VIEW_FATE, place_of(world, SOON, w->number), KEY, room, &value);
    assert_int_equal(status, ends[SOON] == 0 ? NEAP_NOTFOUND : NEAP_OK);
    assert_int_equal(ends[SOON] == 0 ? 0 : get_be64(value.at), ends[SOON]); /* the fact came with the record */
    uint32_t count = units_within(w, ends);
    assert_in_range(count, 0, UNIT_COUNT);
    return count;
}

static void done(struct log_unit *unit, enum neap_status status)
{
    struct hand *w = unit->ctx;
    struct written *written = &w->units[w->done];
    assert_int_equal(status, NEAP_OK);
    assert_ptr_equal(unit, &written->unit); /* in order */
    if (written->to[SOON])
        assert_int_equal(unit->ops[0].offset.n, written->fact - 1); /* an offset is given, though not for certain yet */
    written->told = sim_disk_point(w->world->disk);
    w->done++;
    memset(written->ops, 0xee, sizeof written->ops); /* it is the caller's again */
    memset(written->room, 0xee, sizeof written->room);
    memset(written->value, 0xee, sizeof written->value);
}

static struct log_op append_to(struct hand *w, struct written *written, enum place place)
{
    char label[32];
    snprintf(label, sizeof label, "%u-%d", w->number, place);
    return (struct log_op){ .kind = LOG_APPEND,
                            .target = place_of(w->world, place, w->number),
                            .count = 1,
                            .payload = make_batch(written->room[place], sizeof written->room[place], label,
                                                  w->submitted, 1, 20 + chance_below(&w->world->chance, 120)) };
}

static bool submit(struct hand *w)
{
    struct written *written = &w->units[w->submitted];
    uint64_t before = w->submitted == 0 ? 0 : w->units[w->submitted - 1].fact;
    uint32_t kind = w->number == 1 ? (uint32_t)chance_below(&w->world->chance, 3) : w->number; /* 1: all kinds */
    *written = (struct written){ .to = { kind == 0 || kind == 1, kind == 1 || kind == 2 },
                                 .told = UINT32_MAX,
                                 .seen = UINT32_MAX };
    written->fact = before + written->to[SOON];
    uint32_t count = 0;
    for (int place = 0; place < PLACE_COUNT; place++)
        if (written->to[place])
            written->ops[count++] = append_to(w, written, (enum place)place);
    size_t value_size = w->world->options.file_size > (16u << 10) ? chance_below(&w->world->chance, VALUE_SIZE_MAX) : 0;
    if (value_size < VALUE_SIZE_MAX / 2)
        value_size = value_size % 100 + 8;
    put_be64(written->value, written->fact);
    if (written->to[SOON])
        written->ops[count++] = (struct log_op){ .kind = LOG_FACT,
                                                 .view = LOG_VIEW_FATE,
                                                 .target = place_of(w->world, SOON, w->number),
                                                 .name = KEY,
                                                 .payload = { written->value, value_size } };
    written->unit = (struct log_unit){ .ops = written->ops, .count = count, .done = done, .ctx = w };
    enum neap_status status = log_submit(w->client, &written->unit);
    assert_int_equal(status, NEAP_OK);
    w->submitted++;
    return true;
}

static void look(struct hand *w)
{
    uint32_t there = units_there(w->world, w->world->log, w);
    assert_true(there >= w->visible);
    for (; w->visible < there; w->visible++)
        w->units[w->visible].seen = sim_disk_point(w->world->disk);
}

static uint32_t work(void *ctx, mono_time now)
{
    struct hand *w = ctx;
    (void)now;
    uint32_t count = log_client_work(w->client);
    look(w);
    while (w->submitted < UNIT_COUNT && w->submitted - w->done < OPEN_COUNT && chance_below(&w->world->chance, 4) > 0 &&
           submit(w))
        count++;
    return count;
}

static void make_topics(struct world *world)
{
    struct log_client *client;
    struct error err;
    struct log_topic_settings soon_settings = LOG_SETTINGS_DEFAULT;
    soon_settings.interval_ms = INTERVAL_MS;
    assert_int_equal(log_client_open(world->log, &(struct log_client_options){ 0 }, &client, &err), NEAP_OK);
    mono_time deadline = mono_after(io_now(world->io), 60 * NS_PER_S);
    assert_int_equal(log_topic_ensure_with(client, "soon", CLIENT_COUNT, &soon_settings, deadline, &world->topics[SOON],
                                           &err),
                     NEAP_OK);
    assert_int_equal(log_topic_ensure(client, "sure", CLIENT_COUNT, deadline, &world->topics[SURE], &err), NEAP_OK);
    log_client_close(&client);
}

static void start_hands(struct world *world)
{
    struct error err;
    for (uint32_t i = 0; i < CLIENT_COUNT; i++) {
        struct hand *w = &world->hands[i];
        *w = (struct hand){ .world = world, .number = i };
        w->agent = (struct io_agent){ .name = "hand", .work = work, .ctx = w };
        assert_int_equal(log_client_open(world->log, &(struct log_client_options){ .agent = &w->agent }, &w->client,
                                         &err),
                         NEAP_OK);
        assert_int_equal(io_agent_start(world->io, &w->agent, &err), NEAP_OK);
        io_agent_wake(&w->agent);
    }
}

static void live(struct world *world, uint64_t seed)
{
    struct error err = { 0 };
    *world = (struct world){ .chance = seed, .options = options(seed % 2 == 0) };
    world->disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    world->io = sim_open(&(struct sim_options){ .seed = seed, .disk = world->disk });
    assert_int_equal(log_open(world->io, &world->options, &world->log, &err), NEAP_OK);
    make_topics(world);
    sim_fault_add(world->io, &(struct sim_fault){ .call = SIM_SYNC,
                                                  .path_part = "journal",
                                                  .chance_per_million = 300000,
                                                  .stall_ns = 2 * NS_PER_MS });
    start_hands(world);
    for (uint32_t i = 0; i < CLIENT_COUNT; i++)
        while (world->hands[i].done < UNIT_COUNT) {
            for (uint32_t n = 0; n < CLIENT_COUNT; n++)
                io_agent_wake(&world->hands[n].agent);
            sim_run(world->io, NS_PER_MS / 4);
        }
    for (uint32_t i = 0; i < CLIENT_COUNT; i++) {
        io_agent_stop(&world->hands[i].agent);
        log_client_close(&world->hands[i].client);
    }
    log_close(&world->log); /* answers were given: it syncs what they are about */
    sim_close(&world->io);
}

/* What a crash left: how many units of each hand. */
static void open_state(const struct world *world, uint32_t point, uint64_t state, uint32_t *ret_counts)
{
    struct sim_disk *disk = sim_disk_state(world->disk, point, state, false);
    struct io *io = sim_open(&(struct sim_options){ .seed = point, .disk = disk, .calm = true });
    struct log *log = NULL;
    struct error err = { 0 };
    if (log_open(io, &world->options, &log, &err) != NEAP_OK)
        fail_msg("point %u: %s", point, err.text);
    struct log_topic t;
    for (uint32_t i = 0; i < CLIENT_COUNT; i++)
        ret_counts[i] = log_topic_find(log, "soon", &t) == NEAP_OK && log_topic_find(log, "sure", &t) == NEAP_OK
                            ? units_there(world, log, &world->hands[i])
                            : 0;
    log_close(&log);
    sim_close(&io);
    sim_disk_free(&disk);
}

struct tally {
    uint32_t lost, early; /* answered and lost in a cut; answered before they were seen */
};

static void check_promises(const struct world *world, uint32_t point, bool killed, const uint32_t *counts,
                           struct tally *tally)
{
    for (uint32_t i = 0; i < CLIENT_COUNT; i++) {
        const struct hand *w = &world->hands[i];
        for (uint32_t n = counts[i]; n < UNIT_COUNT; n++) { /* those that are not there */
            const struct written *unit = &w->units[n];
            assert_true(unit->seen > point);
            assert_true(unit->told > point || (!killed && !unit->to[SURE]));
            tally->lost += unit->told <= point;
        }
    }
}

static void check_point(const struct world *world, uint32_t point, struct tally *tally)
{
    uint64_t count = sim_disk_state_count(world->disk, point), seed = point;
    uint32_t counts[CLIENT_COUNT];
    open_state(world, point, SIM_STATE_ALL, counts);
    check_promises(world, point, true, counts, tally);
    open_state(world, point, SIM_STATE_NONE, counts);
    check_promises(world, point, false, counts, tally);
    for (uint64_t i = 0; i < count && i < STATES_A_POINT; i++) {
        open_state(world, point, count <= STATES_A_POINT ? i : chance(&seed) >> 12, counts);
        check_promises(world, point, false, counts, tally);
    }
}

static void a_cut_takes_only_what_was_not_yet_synced(void **state)
{
    (void)state;
    struct tally tally = { 0 };
    struct world *world = malloc(sizeof *world);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        live(world, seed);
        for (uint32_t i = 0; i < CLIENT_COUNT; i++)
            for (uint32_t n = 0; n < UNIT_COUNT; n++) {
                const struct written *unit = &world->hands[i].units[n];
                tally.early += unit->told < unit->seen;
            }
        for (uint32_t point = 0; point <= sim_disk_point(world->disk); point++)
            if (sim_disk_point_matters(world->disk, point))
                check_point(world, point, &tally);
        uint32_t counts[CLIENT_COUNT];
        open_state(world, sim_disk_point(world->disk), SIM_STATE_NONE, counts);
        for (uint32_t i = 0; i < CLIENT_COUNT; i++)
            assert_int_equal(counts[i], UNIT_COUNT); /* a log that was closed owes nobody anything */
        sim_disk_free(&world->disk);
    }
    assert_true(tally.lost > 0); /* the answers did come early, and the cuts did bite */
    assert_true(tally.early > 0);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_takes_only_what_was_not_yet_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
