/* main.c - the life of a producer: opens, checks, works, and says what it is told. */
#include "base/must.h"
#include "io/real.h"
#include "power.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world;

struct hand { /* what a writer has on its way */
    struct world *world;
    struct standing at;
    uint64_t next, kept_next; /* offsets in the newest topic and in `kept`, for the next batch */
    bool busy, tired;
    struct io_timer timer;
    uint32_t count, kept_count;
    struct log_unit unit;
    struct log_op ops[5];
    char group[16];
    uint8_t fact[FACT_SIZE], room[BATCH_ROOM], kept_room[BATCH_ROOM];
};

struct world {
    struct io *io;
    struct log *log;
    struct log_client *client;
    struct io_agent agent;
    uint64_t chance;
    uint32_t home_id, kept_id, topic_ids[TOPIC_COUNT + 2]; /* of topic g, at g % (TOPIC_COUNT + 2) */
    uint64_t lowest, newest;                               /* topics that are there */
    uint32_t units_left;                                   /* until the next topic is made */
    struct hand hands[WRITER_COUNT];
    struct {
        struct log_unit unit;
        struct log_op op;
        char name[32];
        uint8_t settings[LOG_SETTINGS_SIZE];
        bool busy;
    } house;
    uint64_t altered, alter_next;
    uint32_t altered_at; /* units_left then */
    enum neap_status stopped;
    uint32_t interval_ms;
    bool done;
};

static uint64_t draw(struct world *w) /* xorshift64* */
{
    w->chance ^= w->chance >> 12;
    w->chance ^= w->chance << 25;
    w->chance ^= w->chance >> 27;
    return (w->chance * 0x2545f4914f6cdd1du) >> 11;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[96];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    must(size > 0 && (size_t)size < sizeof line);
    must(write(STDOUT_FILENO, line, (size_t)size) == size); /* at once: nobody can say it after us */
}

/* FULL: it is asked again. False: it has not come to be. */
static bool came_to_be(struct world *w, enum neap_status status)
{
    if (status == NEAP_IO || status == NEAP_CLOSED)
        w->stopped = status;
    else if (status != NEAP_OK && status != NEAP_FULL)
        broken("a unit ended with %s", status_name(status));
    return status == NEAP_OK;
}

static uint32_t *topic_id(struct world *w, uint64_t generation)
{
    return &w->topic_ids[generation % COUNT_OF(w->topic_ids)];
}

/* ---- writers ---- */

static void rested(struct io_timer *timer, mono_time now)
{
    struct hand *h = timer->ctx;
    (void)now;
    h->tired = false;
    io_agent_wake(timer->agent);
}

static void rest(struct hand *h, int64_t ns)
{
    h->tired = true;
    io_timer_set(&h->timer, mono_after(io_now(h->world->io), ns));
}

static void unit_done(struct log_unit *unit, enum neap_status status)
{
    struct hand *h = unit->ctx;
    struct world *w = h->world;
    h->busy = false;
    if (!came_to_be(w, status)) {
        rest(h, 5 * NS_PER_MS);
        return;
    }
    if (h->ops[0].offset.n != h->next)
        broken("unit %llu of writer %u was given offset %llu, and not %llu", (unsigned long long)h->at.seq + 1,
               h->at.number, (unsigned long long)h->ops[0].offset.n, (unsigned long long)h->next);
    h->at.seq++;
    h->next += h->count;
    h->kept_next += h->kept_count;
    say("unit %u %llu %lld\n", h->at.number, (unsigned long long)h->at.seq, (long long)io_now(w->io).ns);
    w->units_left -= w->units_left > 0;
    if (draw(w) % 20 == 0)
        rest(h, (int64_t)(draw(w) % 4) * NS_PER_MS);
}

static void submit_unit(struct hand *h)
{
    struct world *w = h->world;
    struct bytes batch;
    if (h->at.generation != w->newest)
        h->next = 0;
    h->at.generation = w->newest;
    h->count = unit_batch(h->at.number, h->at.seq + 1, h->at.generation, h->next, h->room, &batch);
    struct log_partition to = { *topic_id(w, w->newest), h->at.number }, home = { w->home_id, h->at.number };
    h->ops[0] = (struct log_op){ .kind = LOG_APPEND, .target = to, .count = h->count, .payload = batch };
    h->ops[1] = (struct log_op){ .kind = LOG_OFFSET,
                                 .view = LOG_OFFSET_HOLD,
                                 .target = to,
                                 .offset = { h->next },
                                 .name = bytes_of_text(h->group) };
    h->ops[2] = (struct log_op){ .kind = LOG_FACT,
                                 .view = LOG_VIEW_LEDGER,
                                 .target = home,
                                 .name = BYTES("last"),
                                 .payload = unit_fact(h->fact, h->at.seq + 1, h->at.generation) };
    bool trims = w->interval_ms == 0 && unit_trims(h->at.number, h->at.seq + 1); /* only what is durable is trimmed */
    uint32_t count = 3;
    if (trims)
        h->ops[count++] = (struct log_op){ .kind = LOG_TRIM, .target = to, .offset = { h->next } };
    h->kept_count = 0;
    if ((h->at.seq + 1) % KEPT_STEP == 0) {
        h->kept_count = unit_batch(h->at.number, h->at.seq + 1, 0, h->kept_next, h->kept_room, &batch);
        h->ops[count++] = (struct log_op){
            .kind = LOG_APPEND, .target = { w->kept_id, h->at.number }, .count = h->kept_count, .payload = batch
        };
    }
    h->unit = (struct log_unit){ .ops = h->ops, .count = count, .done = unit_done, .ctx = h };
    enum neap_status status = log_submit(w->client, &h->unit);
    must(status == NEAP_OK || status == NEAP_CLOSED);
    h->busy = status == NEAP_OK;
    w->stopped = status;
}

/* ---- topics come and go ---- */

static void house_done(struct log_unit *unit, enum neap_status status)
{
    struct world *w = unit->ctx;
    w->house.busy = false;
    if (!came_to_be(w, status))
        return;
    if (w->house.op.kind == LOG_TOPIC_ALTER) {
        w->altered = w->alter_next;
        say("altered %llu\n", (unsigned long long)w->altered);
        return;
    }
    if (w->house.op.kind == LOG_TOPIC_DELETE) {
        say("dropped %llu\n", (unsigned long long)w->lowest);
        w->lowest++;
        return;
    }
    w->newest++;
    *topic_id(w, w->newest) = w->house.op.target.topic_id;
    w->units_left = 40 + (uint32_t)(draw(w) % (w->done ? 3000 : 200));
    say("made %llu\n", (unsigned long long)w->newest);
}

static bool is_written_to(const struct world *w, uint64_t generation)
{
    for (uint32_t i = 0; i < WRITER_COUNT; i++)
        if (w->hands[i].busy && w->hands[i].at.generation == generation)
            return true;
    return false;
}

static void plan_alter(struct world *w)
{
    w->alter_next++; /* never asked for twice: what was not answered may have come to be */
    struct log_topic_settings settings = settings_of(w->alter_next, w->interval_ms);
    w->house.op = (struct log_op){ .kind = LOG_TOPIC_ALTER,
                                   .target.topic_id = w->home_id,
                                   .payload = log_settings_encode(&settings, w->house.settings) };
    say("alter %llu\n", (unsigned long long)w->alter_next);
}

static bool plan_house(struct world *w)
{
    struct log_op *op = &w->house.op;
    uint64_t count = w->newest == 0 ? 0 : w->newest - w->lowest + 1;
    if (count >= TOPIC_COUNT && !is_written_to(w, w->lowest)) {
        *op = (struct log_op){ .kind = LOG_TOPIC_DELETE, .target.topic_id = *topic_id(w, w->lowest) };
        say("drop %llu\n", (unsigned long long)w->lowest);
        return true;
    }
    if (count > 0 && (w->units_left > 0 || count > TOPIC_COUNT)) {
        if (w->units_left % 32 != 7 || w->altered_at == w->units_left)
            return false;
        w->altered_at = w->units_left;
        plan_alter(w);
        return true;
    }
    struct log_topic_settings settings = settings_of(0, w->interval_ms);
    settings.retention = w->done ? LOG_RETAIN_DONE : LOG_RETAIN_LIMITS;
    snprintf(w->house.name, sizeof w->house.name, "g%llu", (unsigned long long)w->newest + 1);
    *op = (struct log_op){ .kind = LOG_TOPIC_CREATE,
                           .count = WRITER_COUNT,
                           .name = bytes_of_text(w->house.name),
                           .payload = log_settings_encode(&settings, w->house.settings) };
    return true;
}

static void submit_house(struct world *w)
{
    w->house.unit = (struct log_unit){ .ops = &w->house.op, .count = 1, .done = house_done, .ctx = w };
    enum neap_status status = log_submit(w->client, &w->house.unit);
    must(status == NEAP_OK || status == NEAP_CLOSED);
    w->house.busy = status == NEAP_OK;
    w->stopped = status;
}

/* ---- the life ---- */

static uint32_t work(void *ctx, mono_time now)
{
    struct world *w = ctx;
    (void)now;
    uint32_t count = log_client_work(w->client);
    if (w->stopped == NEAP_OK && !w->house.busy && plan_house(w))
        submit_house(w);
    for (uint32_t i = 0; i < WRITER_COUNT && w->newest > 0 && w->stopped == NEAP_OK; i++)
        if (!w->hands[i].busy && !w->hands[i].tired)
            submit_unit(&w->hands[i]);
    if (w->stopped != NEAP_OK)
        io_agent_leave(&w->agent);
    return count;
}

static void read_numbers(char *word, uint64_t numbers[WRITER_COUNT])
{
    for (uint32_t i = 0; i < WRITER_COUNT; i++) {
        numbers[i] = strtoull(word, &word, 10);
        word += *word == ',';
    }
}

static void read_words(char **words, struct told *told)
{
    told->interval_ms = (uint32_t)strtoul(words[0], NULL, 10);
    read_numbers(words[1], told->durable);
    read_numbers(words[2], told->acked);
    told->made = strtoull(words[3], NULL, 10);
    told->asked = strtoull(words[4], NULL, 10);
    told->dropped = strtoull(words[5], NULL, 10);
    told->alter_asked = strtoull(words[6], NULL, 10);
    told->altered = strtoull(words[7], NULL, 10);
}

static void take_up(struct world *w, const struct told *told)
{
    struct standing writers[WRITER_COUNT];
    struct log_topic topic;
    power_check(w->log, told, writers, &w->newest);
    w->alter_next = told->alter_asked;
    w->lowest = w->newest > 0 ? w->newest : 1;
    for (uint64_t g = w->newest; g > 0; g--) {
        char name[32];
        snprintf(name, sizeof name, "g%llu", (unsigned long long)g);
        if (log_topic_find(w->log, name, &topic) != NEAP_OK)
            break;
        w->lowest = g;
        *topic_id(w, g) = topic.id;
    }
    for (uint32_t i = 0; i < WRITER_COUNT; i++) {
        struct hand *h = &w->hands[i];
        log_offset end = { 0 };
        h->world = w;
        h->at = writers[i];
        say("stands %u %llu\n", i, (unsigned long long)h->at.seq);
        h->timer = (struct io_timer){ .agent = &w->agent, .fire = rested, .ctx = h };
        snprintf(h->group, sizeof h->group, GROUP_NAME, i);
        if (h->at.generation == w->newest && w->newest > 0)
            must(log_partition_end(w->log, (struct log_partition){ *topic_id(w, w->newest), i }, &end) == NEAP_OK);
        h->next = end.n;
        end.n = 0;
        if (log_topic_find(w->log, "kept", &topic) == NEAP_OK)
            must(log_partition_end(w->log, (struct log_partition){ topic.id, i }, &end) == NEAP_OK);
        h->kept_next = end.n;
    }
    w->units_left = (uint32_t)(draw(w) % (told->done ? 3000 : 200));
}

/* Files so small that they switch, and snapshots happen, all the time. */
static struct log_options options_of(uint64_t seed, const char *path)
{
    uint32_t file_size = (64u << 10) << (seed % 3);
    return (struct log_options){ .path = path,
                                 .file_size = file_size,
                                 .disk_size = 48ull * file_size,
                                 .tail_size = 1u << 20,
                                 .index_count_max = 64u << (seed % 4),
                                 .snapshot_size = file_size << (seed % 3),
                                 .idle_mark_ns = (int64_t)(1 + seed % 7) * NS_PER_MS };
}

int main(int argc, char **argv)
{
    static struct world w;
    struct told told;
    struct error err = { 0 };
    struct log_topic home;
    if (argc != 11) {
        fprintf(
            stderr,
            "usage: neap-power DIR SEED INTERVAL-MS DURABLE,... ACKED,... MADE ASKED DROPPED ALTER-ASKED ALTERED\n");
        return 2;
    }
    w.io = io_real_open(&err);
    must(w.io != NULL);
    read_words(argv + 3, &told);
    uint64_t seed = strtoull(argv[2], NULL, 10);
    told.done = seed % 2 == 0;
    w.chance = (seed | 1) * 0x9e3779b97f4a7c15u ^ (io_random(w.io) | 1);
    struct log_options options = options_of(seed, argv[1]);
    enum neap_status status = log_open(w.io, &options, &w.log, &err);
    if (status == NEAP_IO) /* the cut came while it opened */
        return EXIT_STOPPED;
    if (status != NEAP_OK)
        broken("%s", err.text);
    w.agent = (struct io_agent){ .name = "power", .work = work, .ctx = &w };
    must(io_agent_attach(w.io, &w.agent, &err) == NEAP_OK);
    take_up(&w, &told);
    say("opened\n");
    must(log_client_open(w.log, &(struct log_client_options){ .agent = &w.agent }, &w.client, &err) == NEAP_OK);
    w.interval_ms = told.interval_ms;
    w.done = told.done;
    struct log_topic_settings settings = settings_of(0, w.interval_ms);
    status = log_topic_ensure_with(w.client, "home", WRITER_COUNT, &settings, MONO_NEVER, &home, &err);
    if (status != NEAP_OK)
        return EXIT_STOPPED;
    w.home_id = home.id;
    status = log_topic_ensure_with(w.client, "kept", WRITER_COUNT, &settings, MONO_NEVER, &home, &err);
    if (status != NEAP_OK)
        return EXIT_STOPPED;
    w.kept_id = home.id;
    must(io_agent_run(w.io, &w.agent, MONO_NEVER, &err) == NEAP_OK);
    _exit(EXIT_STOPPED); /* as abrupt as the rest */
}
