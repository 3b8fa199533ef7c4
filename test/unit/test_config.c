/* A pipeline file either loads, whole and as written, or says all that is wrong with it, each at its place. */
#include "base/json.h"
#include "check.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/limits.h"
#include "config/messages.h"
#include "io/real.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- helpers ---------------------------------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t size, room;
};

static void text_add(struct text *t, const char *bytes, size_t size)
{
    if (t->size + size + 1 > t->room) {
        t->room = 2 * (t->size + size) + 1024;
        t->at = realloc(t->at, t->room);
        assert_non_null(t->at);
    }
    memcpy(t->at + t->size, bytes, size);
    t->size += size;
    t->at[t->size] = '\0';
}

__attribute__((format(printf, 2, 3))) static void text_format(struct text *t, const char *format, ...)
{
    char line[4096];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    assert_true(size >= 0 && (size_t)size < sizeof line);
    text_add(t, line, (size_t)size);
}

static void text_piece(void *ctx, struct bytes piece)
{
    text_add(ctx, (const char *)piece.at, piece.size);
}

static struct text text_of_file(const char *path)
{
    struct text t = { 0 };
    char chunk[4096];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return t;
    text_add(&t, "", 0);
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, file)) > 0;)
        text_add(&t, chunk, size);
    fclose(file);
    return t;
}

static struct bytes bytes_of(const struct text *t)
{
    return (struct bytes){ (const uint8_t *)t->at, t->size };
}

/* What `neap check` would print of it. */
static struct text report(const char *name, struct bytes yaml)
{
    struct text t = { 0 };
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error err = { 0 };
    enum neap_status status = config_parse(NULL, name, yaml, &config, &messages, &err);
    assert_int_equal(status == NEAP_OK, config != NULL);
    assert_int_equal(status == NEAP_OK, messages->error_count == 0);
    for (uint32_t i = 0; i < messages->count; i++)
        text_format(&t, "%s:%u:%u: %s: %s\n", name, messages->list[i].place.line, messages->list[i].place.column,
                    messages->list[i].warning ? "warning" : "error", messages->list[i].text);
    if (config != NULL)
        text_format(&t, "ok: %u pipelines, %u stages, %u warnings\n", config->pipeline_count,
                    config_stage_count(config), messages->warning_count);
    else
        text_format(&t, "%u errors, %u warnings\n", messages->error_count, messages->warning_count);
    config_free(&config);
    config_messages_free(&messages);
    return t;
}

static struct config *must_load(const char *yaml)
{
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error err = { 0 };
    enum neap_status status = config_parse(NULL, "here/neap.yaml", bytes_of_text(yaml), &config, &messages, &err);
    for (uint32_t i = 0; status != NEAP_OK && i < messages->count; i++)
        print_error("%u:%u: %s\n", messages->list[i].place.line, messages->list[i].place.column,
                    messages->list[i].text);
    if (status != NEAP_OK)
        print_error("of this file:\n%s\n", yaml);
    assert_int_equal(status, NEAP_OK);
    config_messages_free(&messages);
    return config;
}

/* ---- golden files: each FILE.yaml says what FILE.expected holds ----------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

/* NEAP_UPDATE=1 writes what is said now as what is expected: look at the difference before it is kept. */
static bool golden(const char *folder, const char *name)
{
    char path[1024], expected_path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(expected_path, sizeof expected_path, "%s/%.*s.expected", folder, (int)(strlen(name) - 5), name);
    struct text yaml = text_of_file(path), expected = text_of_file(expected_path);
    struct text said = report(name, bytes_of(&yaml));
    bool same = expected.at != NULL && strcmp(said.at, expected.at) == 0;
    if (!same && getenv("NEAP_UPDATE") != NULL) {
        FILE *file = fopen(expected_path, "wb");
        assert_non_null(file);
        fwrite(said.at, 1, said.size, file);
        fclose(file);
        same = true;
    }
    if (!same)
        print_error("%s says:\n%sexpected:\n%s\n", name, said.at,
                    expected.at == NULL ? "(no such file)\n" : expected.at);
    free(yaml.at);
    free(expected.at);
    free(said.at);
    return same;
}

static void golden_files(void **state)
{
    const char *folder = SOURCE_ROOT "/test/config";
    uint32_t count = 0, different = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!ends_with(entry->d_name, ".yaml"))
            continue;
        different += !golden(folder, entry->d_name);
        count++;
    }
    closedir(dir);
    assert_int_equal(different, 0);
    assert_true(count >= 10);
}

/* ---- a file that loads is there whole ---------------------------------------------------------------------------------------- */

static const char full[] =
    "neap: 1\n"
    "x-common: &common {owner: payments, dead_letter: bad.ones}\n"
    "node: {data: store, memory: 32MiB}\n"
    "topics: {big: {partitions: 7}, small: {}}\n"
    "pipelines:\n"
    "  one:\n"
    "    <<: *common\n"
    "    description: Ümläut\n"
    "    source:\n"
    "      file: {path: ./in//a.ndjson, follow: true}\n"
    "      key: event.author\n"
    "      id: 'event.id'\n"
    "      time: |\n"
    "        event.t\n"
    "    stages:\n"
    "      - filter: event.files > 0\n"
    "      - name: churn\n"
    "        if: event.a ~= nil\n"
    "        map: {churn: event.a + 1, two words: event.b}\n"
    "        on_error: continue\n"
    "      - filter: \"event.x == 1\"\n"
    "      - keep: [a, b c]\n"
    "    sink:\n"
    "      sqlite: {path: /var/x.db, table: T t, columns: [id, \"b c\", end], key: [id], mode: upsert}\n"
    "    order: partition\n"
    "    guarantee: exactly_once\n"
    "    start: earliest\n"
    "    was: zero\n"
    "  two: {source: {topic: one}, sink: {topic: {name: big, key: event.k}}}\n"
    "  three: {source: {stdin: {}, to: small}, sink: {file: ../out.ndjson}}\n"
    "  four: {source: {file: four.ndjson}}\n";

static void loads_as_written(void **state)
{
    struct config *c = must_load(full);
    assert_string_equal(c->folder, "here");
    assert_string_equal(c->data, "here/store");
    assert_int_equal(c->memory_size, 32 << 20);
    assert_int_equal(c->topic_count, 2);
    assert_string_equal(c->topics[0].name, "big");
    assert_int_equal(c->topics[0].partitions, 7);
    assert_int_equal(c->topics[1].partitions, 0);
    assert_int_equal(c->pipeline_count, 4);
    assert_int_equal(config_stage_count(c), 4);
    const struct config_pipeline *p = &c->pipelines[0];
    assert_string_equal(p->name, "one");
    assert_int_equal(p->place.line, 6);
    assert_int_equal(p->place.column, 3);
    assert_string_equal(p->owner, "payments");
    assert_string_equal(p->dead_letter, "bad.ones");
    assert_string_equal(p->description, "Ümläut");
    assert_string_equal(p->was, "zero");
    assert_int_equal(p->order, CONFIG_ORDER_PARTITION);
    assert_int_equal(p->guarantee, CONFIG_EXACTLY_ONCE);
    assert_int_equal(p->start, CONFIG_START_EARLIEST);
    assert_int_equal(p->source.kind, CONFIG_SOURCE_FILE);
    assert_string_equal(p->source.path, "here/in/a.ndjson");
    assert_true(p->source.follow);
    assert_string_equal(p->source.topic, "one");
    assert_string_equal(p->source.key.text, "event.author");
    assert_int_equal(p->source.key.place.line, 11);
    assert_int_equal(p->source.key.place.column, 12);
    assert_int_equal(p->source.id.place.column, 12); /* behind the quote */
    assert_string_equal(p->source.time.text, "event.t\n");
    assert_int_equal(p->source.time.place.line, 14);
    assert_int_equal(p->source.time.place.column, 9);
    config_free(&c);
    assert_null(c);
}

static void stages_and_sinks_as_written(void **state)
{
    struct config *c = must_load(full);
    const struct config_pipeline *p = &c->pipelines[0];
    assert_string_equal(p->stages[0].name, "filter");
    assert_string_equal(p->stages[0].filter.text, "event.files > 0");
    assert_string_equal(p->stages[1].name, "churn");
    assert_int_equal(p->stages[1].kind, CONFIG_STAGE_MAP);
    assert_true(p->stages[1].continue_on_error);
    assert_string_equal(p->stages[1].condition.text, "event.a ~= nil");
    assert_int_equal(p->stages[1].map_count, 2);
    assert_string_equal(p->stages[1].map[1].name, "two words");
    assert_string_equal(p->stages[1].map[1].expr.text, "event.b");
    assert_string_equal(p->stages[2].name, "filter-2");
    assert_false(p->stages[2].continue_on_error);
    assert_int_equal(p->stages[3].kind, CONFIG_STAGE_KEEP);
    assert_string_equal(p->stages[3].fields[1], "b c");
    const struct config_sink *s = &p->sink;
    assert_int_equal(s->kind, CONFIG_SINK_SQLITE);
    assert_string_equal(s->path, "/var/x.db");
    assert_string_equal(s->table, "T t");
    assert_int_equal(s->mode, CONFIG_UPSERT);
    assert_int_equal(s->column_count, 3);
    assert_string_equal(s->columns[0].expr.text, "event.id");
    assert_string_equal(s->columns[1].expr.text, "event[\"b c\"]");
    assert_string_equal(s->columns[2].expr.text, "event[\"end\"]");
    assert_int_equal(s->key_count, 1);
    assert_int_equal(c->pipelines[1].source.kind, CONFIG_SOURCE_TOPIC);
    assert_string_equal(c->pipelines[1].dead_letter, "two.dead");
    assert_string_equal(c->pipelines[1].sink.topic, "big");
    assert_string_equal(c->pipelines[1].sink.topic_key.text, "event.k");
    assert_int_equal(c->pipelines[2].source.kind, CONFIG_SOURCE_STDIN);
    assert_string_equal(c->pipelines[2].source.topic, "small");
    assert_string_equal(c->pipelines[2].sink.path, "here/../out.ndjson");
    assert_string_equal(c->pipelines[3].source.path, "here/four.ndjson");
    assert_false(c->pipelines[3].source.follow);
    assert_int_equal(c->pipelines[3].sink.kind, CONFIG_SINK_NONE);
    config_free(&c);
}

static void defaults(void **state)
{
    struct config *c = must_load("pipelines: {p: {source: {stdin: }}}\n");
    assert_string_equal(c->data, "here/data");
    assert_int_equal(c->memory_size, 64 << 20);
    assert_int_equal(c->topic_count, 0);
    assert_string_equal(c->pipelines[0].source.topic, "p");
    assert_string_equal(c->pipelines[0].dead_letter, "p.dead");
    assert_int_equal(c->pipelines[0].order, CONFIG_ORDER_KEY);
    assert_int_equal(c->pipelines[0].guarantee, CONFIG_GUARANTEE_MOST);
    assert_int_equal(c->pipelines[0].start, CONFIG_START_DEFAULT);
    config_free(&c);
}

/* ---- manners ---------------------------------------------------------------------------------------------------------------------- */

static void manners_by_default(void **state)
{
    struct config *c =
        must_load("pipelines: {p: {source: {stdin: }, stages: [plugin: {symbol: s}], sink: {stdout: }}}\n");
    const struct config_manners *both[] = { &c->pipelines[0].manners, &c->pipelines[0].stages[0].manners };
    for (size_t i = 0; i < 2; i++) {
        const struct config_manners *m = both[i];
        assert_int_equal(m->timeout_ms, 30000);
        assert_int_equal(m->concurrency.least, 32);
        assert_int_equal(m->concurrency.most, 32);
        assert_int_equal(m->limit.count, 0);
        assert_int_equal(m->retry.attempts, 8);
        assert_int_equal(m->retry.backoff.least_ms, 100);
        assert_int_equal(m->retry.backoff.most_ms, 30000);
        assert_int_equal(m->retry.budget_percent, 20);
        assert_int_equal(outcome_of_status(m->retry.rules, 404), OUTCOME_PERMANENT);
        assert_int_equal(outcome_of_status(m->retry.rules, 429), OUTCOME_RELEASED);
        assert_int_equal(outcome_of_error(m->retry.rules, CALL_ERROR_TLS), OUTCOME_TRANSIENT);
        assert_int_equal(m->breaker.failure_percent, 50);
        assert_int_equal(m->breaker.slow_percent, 100);
        assert_int_equal(m->breaker.slow_call_ms, 0);
        assert_int_equal(m->breaker.window, 100);
        assert_int_equal(m->breaker.minimum_calls, 20);
        assert_int_equal(m->breaker.open.least_ms, 5000);
        assert_int_equal(m->breaker.open.most_ms, 300000);
        assert_int_equal(m->breaker.probes, 5);
    }
    config_free(&c);
}

/* Three places speak, and of each field the nearest is heard. */
static void nearest_manners_win(void **state)
{
    struct config *c = must_load("defaults:\n"
                                 "  timeout: 7s\n"
                                 "  concurrency: 8..256\n"
                                 "  limit: {rate: 100/m, per: event.customer}\n"
                                 "  retry: {attempts: 3, backoff: 1s, permanent: [404], budget: 5%}\n"
                                 "  breaker: {window: 10, slow_call: 1s, open: 1s..2s}\n"
                                 "pipelines:\n"
                                 "  p:\n"
                                 "    source: {stdin: {}}\n"
                                 "    stages:\n"
                                 "      - plugin: {symbol: s, timeout: 2s}\n"
                                 "    sink: {stdout: {}}\n"
                                 "    retry: {attempts: 5, transient: [409, tls]}\n"
                                 "    limit: 500/s\n"
                                 "    breaker: {probes: 2}\n"
                                 "  q: {source: {topic: p}, stages: [plugin: {symbol: s}], sink: {topic: o}}\n");
    const struct config_manners *m = &c->pipelines[0].stages[0].manners;
    assert_int_equal(m->timeout_ms, 2000);
    assert_int_equal(c->pipelines[0].manners.timeout_ms, 7000);
    assert_int_equal(m->concurrency.least, 8);
    assert_int_equal(m->concurrency.most, 256);
    assert_int_equal(m->limit.count, 500);
    assert_int_equal(m->limit.period_ms, 1000);
    assert_null(m->limit.per.text); /* one field */
    assert_int_equal(m->retry.attempts, 5);
    assert_int_equal(m->retry.backoff.least_ms, 1000);
    assert_int_equal(m->retry.backoff.most_ms, 1000);
    assert_int_equal(m->retry.budget_percent, 5);
    assert_int_equal(outcome_of_status(m->retry.rules, 404), OUTCOME_PERMANENT);
    assert_int_equal(outcome_of_status(m->retry.rules, 409), OUTCOME_TRANSIENT);
    assert_int_equal(outcome_of_status(m->retry.rules, 400), OUTCOME_TRANSIENT); /* not listed any more */
    assert_ptr_equal(m->retry.rules, c->pipelines[0].manners.retry.rules);
    assert_int_equal(m->breaker.window, 10);
    assert_int_equal(m->breaker.minimum_calls, 10);
    assert_int_equal(m->breaker.slow_call_ms, 1000);
    assert_int_equal(m->breaker.open.most_ms, 2000);
    assert_int_equal(m->breaker.probes, 2);
    m = &c->pipelines[1].stages[0].manners;
    assert_int_equal(m->timeout_ms, 7000);
    assert_int_equal(m->limit.count, 100);
    assert_int_equal(m->limit.period_ms, 60000);
    assert_string_equal(m->limit.per.text, "event.customer");
    assert_int_equal(m->retry.attempts, 3);
    assert_int_equal(m->breaker.probes, 5);
    config_free(&c);
}

static void calls_as_written(void **state)
{
    struct text yaml = text_of_file(SOURCE_ROOT "/test/config/calls.yaml");
    struct config *c = must_load(yaml.at);
    const struct config_call *call = &c->pipelines[0].stages[0].call;
    assert_int_equal(c->pipelines[0].stages[0].kind, CONFIG_STAGE_CALL);
    assert_string_equal(call->url.text, "http://fraud.internal/score");
    assert_int_equal(call->method, CONFIG_POST);
    assert_string_equal(call->into, "score");
    assert_string_equal(call->body.text, "{card = event.card}");
    assert_int_equal(call->header_count, 2);
    assert_string_equal(call->headers[0].name, "Authorization");
    assert_string_equal(call->headers[0].value.text, "Bearer none");
    assert_null(call->headers[1].value.text);
    assert_string_equal(call->headers[1].value.expr.text, "event.region");
    assert_string_equal(call->cache.by.text, "event.card");
    assert_int_equal(call->cache.age_ms, 300000);
    assert_int_equal(call->cache.stale_ms, 3600000);
    assert_int_equal(call->cache.size, 16 << 20);
    assert_string_equal(call->fallback, "{\"risk\":\"unknown\",\"level\":3,\"sure\":false,\"why\":[\"no "
                                        "answer\",\"1\",\"007\",1e3,\"~\",null]}");
    assert_int_equal(c->pipelines[0].stages[0].manners.retry.attempts, 3);
    assert_int_equal(c->pipelines[0].stages[0].manners.retry.budget_percent, 5);
    call = &c->pipelines[0].stages[1].call;
    assert_string_equal(call->url.text, "https://example.com/seen");
    assert_string_equal(c->pipelines[0].stages[1].name, "call");
    assert_null(call->into);
    assert_int_equal(call->method, CONFIG_POST);
    call = &c->pipelines[0].stages[2].call;
    assert_null(call->url.text);
    assert_string_equal(call->url.expr.text, "event.callback");
    assert_int_equal(call->method, CONFIG_PUT);
    assert_true(call->private_allowed);
    assert_int_equal(call->cache.size, 1 << 20);
    assert_int_equal(call->cache.stale_ms, 0);
    assert_int_equal(c->pipelines[1].stages[3].manners.breaker.minimum_calls, 10);
    config_free(&c);
    free(yaml.at);
}

static void manners_in_words(void **state)
{
    char words[512];
    struct config *c =
        must_load("pipelines: {p: {source: {stdin: }, stages: [filter: event.a > 1, plugin: {symbol: s}],\n"
                  "  sink: {stdout: }, timeout: 90s}}\n");
    config_manners_text(&c->pipelines[0].stages[0], words, sizeof words);
    assert_string_equal(words, "");
    config_manners_text(&c->pipelines[0].stages[1], words, sizeof words);
    assert_string_equal(words, "90s for an attempt, 32 at once");
    config_free(&c);
    c = must_load("pipelines: {p: {source: {stdin: }, stages: [call: {url: 'http://a', concurrency: 8..64, limit: "
                  "{rate: 5/m, per: "
                  "event.a},\n  retry: {backoff: 1s}, breaker: {slow_call: 1s}}], sink: {stdout: }}}\n");
    config_manners_text(&c->pipelines[0].stages[0], words, sizeof words);
    assert_string_equal(
        words, "30s for an attempt, 8 to 64 at once, as the destination can take, 5/m for each event.a, 8 attempts "
               "with 1s between them, retries up to 20% of successes, a breaker that opens for 5s..5m when "
               "50% of 100 calls fail, or 100% of them take 1s");
    config_free(&c);
}

/* ---- examples ------------------------------------------------------------------------------------------------------------------- */

static uint32_t load_folder(const char *folder)
{
    uint32_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[2048];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        struct stat info;
        if (entry->d_name[0] == '.' || stat(path, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode)) {
            count += load_folder(path);
        } else if (ends_with(path, ".yaml")) {
            struct text yaml = text_of_file(path), said = report(path, bytes_of(&yaml));
            if (strstr(said.at, "ok: ") == NULL)
                fail_msg("%s", said.at);
            free(yaml.at);
            free(said.at);
            count++;
        }
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* The first piece of YAML in the reference that is a whole file. */
static void examples_load(void **state)
{
    load_folder(SOURCE_ROOT "/examples");
    struct text page = text_of_file(SOURCE_ROOT "/docs/pipeline-file.md");
    assert_non_null(page.at);
    char *begin = strstr(page.at, "```yaml\n") + 8, *end = strstr(begin, "```");
    *end = '\0';
    struct config *c = must_load(begin);
    assert_string_equal(c->pipelines[0].name, "commits");
    config_free(&c);
    free(page.at);
}

/* Where an example of each scope stands in a file that is whole but for it. %s is the example. */
static const char *const frames[SCOPE_COUNT] = {
    [IN_FILE] = "pipelines: {p: {source: {stdin: {}}}}\n%s\n",
    [IN_NODE] = "node:\n  %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_TOPIC] = "topics:\n  t:\n    partitions: 1\n    %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_POOL] = "pools:\n  t:\n    %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_RETENTION] = "topics:\n  t:\n    retention:\n      %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_DURABILITY] =
        "topics:\n  t:\n    durability:\n      interval: 1s\n      %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_PIPELINE] =
        "pipelines:\n  p:\n    source: {stdin: {}}\n    sink: {sqlite: {path: a, table: b, columns: [c]}}\n    %s\n",
    [IN_BRANCH] = "x-branch: &branch\n  name: a\n  sink: {sqlite: {path: a, table: b, columns: [c]}}\n  %s\n"
                  "pipelines: {p: {source: {stdin: {}}, fanout: [*branch]}}\n",
    [IN_SOURCE] = "pipelines:\n  p:\n    source:\n      stdin: {}\n      %s\n",
    [IN_SOURCE_FILE] = "pipelines:\n  p:\n    source:\n      file:\n        path: a\n        %s\n",
    [IN_STAGE] = "pipelines:\n  p:\n    source: {stdin: {}, id: event.id}\n    stages:\n      -\n        filter: "
                 "event.a > 1\n        %s\n",
    [IN_STAGE_DEDUP] = "pipelines:\n  p:\n    source: {stdin: {}, id: event.id}\n    stages:\n      - dedup:\n"
                       "          time: 1h\n          %s\n",
    [IN_STAGE_PLUGIN] = "pools: {scorers: {max: 8}}\npipelines:\n  p:\n    source: {stdin: {}}\n    stages:\n      - "
                        "plugin:\n          symbol: a\n          %s\n",
    [IN_STAGE_EXEC] =
        "pipelines:\n  p:\n    source: {stdin: {}}\n    stages:\n      - exec:\n          command: a\n          %s\n",
    [IN_SINK] = "pipelines:\n  p:\n    source: {stdin: {}}\n    sink:\n      stdout: {}\n      %s\n",
    [IN_SINK_SQLITE] =
        "pipelines:\n  p:\n    source: {stdin: {}}\n    sink:\n      sqlite:\n        path: a\n        table: b\n"
        "        columns: [id]\n        key: [id]\n        %s\n",
    [IN_SINK_FILE] = "pipelines:\n  p:\n    source: {stdin: {}}\n    sink:\n      file:\n        path: a\n        %s\n",
    [IN_STAGE_CALL] = "pipelines:\n  p:\n    source: {stdin: {}}\n    stages:\n      - call:\n          url: "
                      "http://a\n          into: a\n"
                      "          %s\n",
    [IN_CACHE] = "pipelines:\n  p:\n    source: {stdin: {}}\n    stages:\n      - call:\n          url: http://a\n"
                 "          cache:\n            by: event.a\n            age: 1s\n            %s\n",
    [IN_DEFAULTS] = "defaults:\n  %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_LIMIT] = "defaults:\n  limit:\n    rate: 1/s\n    %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_RETRY] = "defaults:\n  retry:\n    %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_BREAKER] = "defaults:\n  breaker:\n    %s\npipelines: {p: {source: {stdin: {}}}}\n",
    [IN_SINK_TOPIC] =
        "pipelines:\n  p:\n    source: {stdin: {}}\n    sink:\n      topic:\n        name: a\n        %s\n",
};

static bool begins_with_key(const char *line, const char *key)
{
    line += strspn(line, " ");
    return strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':';
}

/* The frame's own line of that key, or its kind where the example is one, gives way to the example. */
static void put_example(const struct key *key, struct text *yaml)
{
    for (const char *line = frames[key->scope], *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1;
        bool is_kind =
            begins_with_key(line, "stdin") || begins_with_key(line, "stdout") || begins_with_key(line, "filter");
        bool other_end =
            begins_with_key(line, "sink") && (strcmp(key->name, "fanout") == 0 || strcmp(key->name, "route") == 0);
        if (other_end)
            continue;
        if (line[strspn(line, " ")] == '%') {
            const char *hole = strstr(line, "%s");
            text_add(yaml, line, (size_t)(hole - line));
            text_add(yaml, key->example, strlen(key->example));
            text_add(yaml, hole + 2, (size_t)(next - hole - 2));
        } else if (!begins_with_key(line, key->name) && !(is_kind && key->kind)) {
            text_add(yaml, line, (size_t)(next - line));
        }
    }
}

static void every_key_has_an_example_that_loads(void **state)
{
    for (size_t i = 0; i < key_count; i++) {
        struct text yaml = { 0 };
        assert_non_null(frames[keys[i].scope]);
        put_example(&keys[i], &yaml);
        assert_non_null(strstr(yaml.at, keys[i].example));
        struct config *config = must_load(yaml.at);
        config_free(&config);
        free(yaml.at);
    }
}

/* ---- what is written from the table ------------------------------------------------------------------------------------------------- */

static void page_is_fresh(const char *path, const struct text *now)
{
    struct text kept = text_of_file(path);
    if (kept.at == NULL || strcmp(kept.at, now->at) != 0)
        fail_msg("%s is not what src/config/keys.c says; run scripts/docs", path);
    free(kept.at);
}

static void reference_is_fresh(void **state)
{
    struct text now = { 0 };
    config_write_reference(text_piece, &now);
    for (size_t i = 0; i < key_count; i++) {
        char cell[128];
        snprintf(cell, sizeof cell, "`%s`", keys[i].name);
        assert_non_null(strstr(now.at, cell));
        assert_non_null(strstr(now.at, keys[i].doc));
    }
    page_is_fresh(SOURCE_ROOT "/docs/pipeline-file.md", &now);
    free(now.at);
}

/* Brackets close in order outside of texts, and texts end: enough to notice a comma or a quote that went missing together
 * with the check of every key's own line. */
static void assert_json(const char *json)
{
    char open[64];
    size_t depth = 0;
    char before = ' ';
    for (; *json != '\0'; json++) {
        if (*json == ' ' || *json == '\n')
            continue;
        if (*json == '"') {
            assert_true(before == '{' || before == '[' || before == ',' || before == ':');
            for (json++; *json != '"'; json++) {
                assert_true((unsigned char)*json >= 0x20);
                json += *json == '\\';
            }
        } else if (*json == '{' || *json == '[') {
            assert_true(depth < sizeof open && (before == ' ' || before == ':' || before == ',' || before == '['));
            open[depth++] = *json;
        } else if (*json == '}' || *json == ']') {
            assert_true(depth > 0 && open[--depth] == (*json == '}' ? '{' : '[') && before != ',' && before != ':');
        }
        before = *json;
    }
    assert_int_equal(depth, 0);
}

static void schema_is_fresh(void **state)
{
    struct text now = { 0 };
    config_write_schema(text_piece, &now);
    assert_json(now.at);
    for (size_t i = 0; i < key_count; i++) {
        char scope[128], line[128];
        snprintf(scope, sizeof scope, "\n    \"%s\": {\n", scopes[keys[i].scope].name);
        snprintf(line, sizeof line, "\n        \"%s\": {\"description\": ", keys[i].name);
        const char *begin = strstr(now.at, scope);
        assert_non_null(begin);
        const char *found = strstr(begin, line), *end = strstr(begin, "\n    }");
        assert_true(found != NULL && found < end);
    }
    page_is_fresh(SOURCE_ROOT "/docs/neap.schema.json", &now);
    free(now.at);
}

/* ---- texts that are no pipeline file --------------------------------------------------------------------------------------------------- */

static void says(const char *yaml, size_t size, const char *expected)
{
    struct text said = report("f", (struct bytes){ (const uint8_t *)yaml, size });
    if (strncmp(said.at, expected, strlen(expected)) != 0)
        fail_msg("said: %sexpected: %s", said.at, expected);
    free(said.at);
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void texts_that_are_no_file(void **state)
{
    says(TEXT(""), "f:1:1: error: the file is empty");
    says(TEXT("\xef\xbb\xbf"), "f:1:1: error: the file is empty");
    says(TEXT("# nothing\n"), "f:1:1: error: the file is empty");
    says(TEXT("---\n"), "f:1:1: error: the file is empty");
    says(TEXT("a: \xff\n"), "f:1:4: error: not UTF-8: byte 0xff");
    says(TEXT("ä\nb: \xc3"), "f:2:4: error: not UTF-8: byte 0xc3");
    says(TEXT("a: \xed\xa0\x80"), "f:1:4: error: not UTF-8: byte 0xed");
    says(TEXT("\xff\xfe"
              "a\0"),
         "f:1:1: error: this is UTF-16");
    says(TEXT("a: \x01"), "f:1:4: error: a control character");
    says(TEXT("a: \0b"), "f:1:4: error: a control character");
    says(TEXT("pipelines:\n\tp: {}\n"), "f:2:1: error: a tab stands where YAML wants blanks");
    says(TEXT("hello"), "f:1:1: error: a pipeline file is a map, not a text");
    says(TEXT("[a]"), "f:1:1: error: a pipeline file is a map, not a list");
    says(TEXT("pipelines: {p: {source: {stdin: {}}}}\n---\na: b\n"), "f:2:1: error: a second document begins here");
    char *large = calloc(1, 10 << 20);
    says(large, 10 << 20, "f:1:1: error: the file has 10485760 bytes; a pipeline file has at most 1048576");
    free(large);
    says(TEXT("\xef\xbb\xbfpipelines: {p: {source: {stdin: {}}}}\r\nnode:\r\n  data: x\r\n"), "ok: 1 pipelines");
}

/* A small file must not unfold into a large tree, whichever way it tries. */
static void small_stays_small(void **state)
{
    struct text t = { 0 };
    text_format(&t, "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++)
        text_format(&t, "x-%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
                    i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    says(t.at, t.size, "f:5:");
    t.size = 0;
    for (int i = 0; i < 100; i++)
        text_format(&t, "[");
    says(t.at, t.size, "f:1:33: error: lists and maps stand deeper");
    t.size = 0;
    text_format(&t, "pipelines: {p: &p {source: {stdin: {}}, stages: *p}}\n");
    says(t.at, t.size, "f:1:49: error: '*p' stands inside its own anchor");
    t.size = 0;
    text_format(&t, "x-a: &a {");
    for (int i = 0; i < 5000; i++)
        text_format(&t, "k%d: v, ", i);
    text_format(&t, "}\n");
    says(t.at, t.size, "f:1:");
    free(t.at);
}

/* Whatever happens to a good file: it loads, or says why at a place that lies in it. */
static void any_change_is_answered(void **state)
{
    uint64_t seed = 20261120;
    static const char signs[] = " \t\n:#-{}[],&*!|>'\"%@`x0.~<$\xc3\xa4\\";
    uint32_t refused = 0;
    for (int turn = 0; turn < 4000; turn++) {
        struct text t = { 0 };
        text_add(&t, full, sizeof full - 1);
        for (uint64_t changes = 1 + chance_below(&seed, 3); changes > 0; changes--) {
            size_t at = chance_below(&seed, t.size - 1);
            uint64_t what = chance_below(&seed, 3);
            if (what == 0)
                t.at[at] = signs[chance_below(&seed, sizeof signs - 1)];
            else
                memmove(t.at + at, t.at + at + 1, --t.size - at);
            if (what == 2)
                t.size = at + 1;
            if (t.size < 2)
                break;
        }
        struct config *config = NULL;
        struct config_messages *messages = NULL;
        struct error err = { 0 };
        enum neap_status status = config_parse(NULL, "f", bytes_of(&t), &config, &messages, &err);
        assert_true(status == NEAP_OK || status == NEAP_BADINPUT);
        assert_int_equal(status == NEAP_OK, messages->error_count == 0);
        uint32_t lines = 1;
        for (size_t i = 0; i < t.size; i++)
            lines += t.at[i] == '\n';
        for (uint32_t i = 0; i < messages->count; i++) {
            assert_in_range(messages->list[i].place.line, 1, lines);
            assert_in_range(messages->list[i].place.column, 1, t.size + 1);
            assert_true(i == 0 || messages->list[i - 1].place.line <= messages->list[i].place.line);
        }
        refused += status != NEAP_OK;
        config_free(&config);
        config_messages_free(&messages);
        free(t.at);
    }
    assert_in_range(refused, 1000, 3999);
}

/* ---- from the door ------------------------------------------------------------------------------------------------------ */

struct place {
    struct io *io;
    char folder[64], path[128];
};

static void place_open(struct place *p)
{
    struct error err = { 0 };
    strcpy(p->folder, "/tmp/neap-config-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof p->path, "%s/neap.yaml", p->folder);
    p->io = io_real_open(&err);
    assert_non_null(p->io);
}

static void place_close(struct place *p)
{
    char secret[128];
    snprintf(secret, sizeof secret, "%s/secret", p->folder);
    unlink(secret);
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0);
    io_real_close(&p->io);
}

static void write_file(const char *folder, const char *name, const char *text, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static enum neap_status load(struct place *p, const char *path, struct config **ret_config, char *room, size_t size)
{
    struct config_messages *messages = NULL;
    struct error err = { 0 };
    enum neap_status status = config_load(p->io, path, ret_config, &messages, &err);
    assert_non_null(messages);
    assert_int_equal(status == NEAP_OK, err.text[0] == '\0');
    snprintf(room, size, "%s", messages->count > 0 ? messages->list[0].text : err.text);
    config_messages_free(&messages);
    return status;
}

static void files_that_are_none(void **state)
{
    struct place p;
    struct config *config = NULL;
    char said[2048];
    place_open(&p);
    assert_int_equal(load(&p, p.path, &config, said, sizeof said), NEAP_NOTFOUND);
    assert_non_null(strstr(said, "neap.yaml: no such file"));
    assert_int_equal(load(&p, p.folder, &config, said, sizeof said), NEAP_MISUSE);
    assert_non_null(strstr(said, "is a directory, not a pipeline file"));
    assert_int_equal(load(&p, "/dev/null", &config, said, sizeof said), NEAP_MISUSE);
    write_file(p.folder, "neap.yaml", "", 0);
    assert_int_equal(load(&p, p.path, &config, said, sizeof said), NEAP_BADINPUT);
    assert_non_null(strstr(said, "the file is empty"));
    char *large = calloc(1, 10 << 20);
    write_file(p.folder, "neap.yaml", large, 10 << 20);
    assert_int_equal(load(&p, p.path, &config, said, sizeof said), NEAP_BADINPUT);
    assert_non_null(strstr(said, "the file has 10485760 bytes"));
    free(large);
    assert_null(config);
    place_close(&p);
}

static void values_are_put_in(void **state)
{
    static const char yaml[] = "node: {data: \"/x/${NEAP_TEST_NAME}/${NEAP_TEST_EMPTY:-e}${NEAP_TEST_EMPTY}\"}\n"
                               "pipelines:\n"
                               "  p:\n"
                               "    description: \"<${file:secret}>\"\n"
                               "    source: {file: \"${NEAP_TEST_UNSET:-a}.ndjson\"}\n"
                               "    stages: [filter: 'event.a == \"${NEAP_TEST_NAME}\"']\n";
    struct place p;
    struct config *config = NULL;
    char said[2048], path[128];
    setenv("NEAP_TEST_NAME", "name", 1);
    setenv("NEAP_TEST_EMPTY", "", 1);
    place_open(&p);
    write_file(p.folder, "neap.yaml", yaml, sizeof yaml - 1);
    write_file(p.folder, "secret", "a ${b}\r\n", 8);
    assert_int_equal(load(&p, p.path, &config, said, sizeof said), NEAP_OK);
    assert_string_equal(config->data, "/x/name/e");
    assert_string_equal(config->pipelines[0].description, "<a ${b}>"); /* what was put in is not looked at again */
    snprintf(path, sizeof path, "%s/a.ndjson", p.folder);
    assert_string_equal(config->pipelines[0].source.path, path);
    assert_string_equal(config->pipelines[0].stages[0].filter.text, "event.a == \"${NEAP_TEST_NAME}\"");
    config_free(&config);
    char *large = calloc(1, CONFIG_TEXT_SIZE_MAX + 1);
    memset(large, 'x', CONFIG_TEXT_SIZE_MAX + 1);
    write_file(p.folder, "secret", large, CONFIG_TEXT_SIZE_MAX + 1);
    free(large);
    assert_int_equal(load(&p, p.path, &config, said, sizeof said), NEAP_BADINPUT);
    assert_string_equal(said, "'${file:secret}': larger than its limit");
    place_close(&p);
}

static void too_many_messages_are_counted(void **state)
{
    struct text t = { 0 };
    text_format(&t, "pipelines: {p: {source: {stdin: {}}}}\n");
    for (int i = 0; i < 300; i++)
        text_format(&t, "wrong%d: x\n", i);
    struct text said = report("f", bytes_of(&t));
    assert_non_null(strstr(said.at, "200 more like these are not shown\n300 errors, 0 warnings\n"));
    free(t.at);
    free(said.at);
}

static void words_that_are_near(void **state)
{
    static const struct {
        const char *wanted, *known;
        bool near;
    } pairs[] = {
        { "filtr", "filter", true }, { "fliter", "filter", true },     { "Filter", "filter", true },
        { "kye", "key", true },      { "on-error", "on_error", true }, { "flt", "filter", false },
        { "a", "if", false },        { "sink", "stdin", false },       { "guarantees", "guarantee", true },
        { "x", "id", false },
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct nearest n = { .wanted = bytes_of_text(pairs[i].wanted) };
        nearest_offer(&n, pairs[i].known);
        if ((n.word != NULL) != pairs[i].near)
            fail_msg("%s and %s", pairs[i].wanted, pairs[i].known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(loads_as_written),
        cmocka_unit_test(stages_and_sinks_as_written),
        cmocka_unit_test(defaults),
        cmocka_unit_test(manners_by_default),
        cmocka_unit_test(nearest_manners_win),
        cmocka_unit_test(calls_as_written),
        cmocka_unit_test(manners_in_words),
        cmocka_unit_test(examples_load),
        cmocka_unit_test(every_key_has_an_example_that_loads),
        cmocka_unit_test(reference_is_fresh),
        cmocka_unit_test(schema_is_fresh),
        cmocka_unit_test(texts_that_are_no_file),
        cmocka_unit_test(small_stays_small),
        cmocka_unit_test(any_change_is_answered),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(values_are_put_in),
        cmocka_unit_test(too_many_messages_are_counted),
        cmocka_unit_test(words_that_are_near),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
