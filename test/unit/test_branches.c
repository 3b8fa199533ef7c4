/* A pipeline with branches becomes consumers that have all it wrote, each what is its own and nothing of its sisters'. */
#include "check.h"
#include "config/config.h"
#include "config/limits.h"
#include <stdio.h>

static struct config *must_load(const char *yaml)
{
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error err = { 0 };
    assert_int_equal(config_parse(NULL, "neap.yaml", bytes_of_text(yaml), &config, &messages, &err), NEAP_OK);
    config_messages_free(&messages);
    return config;
}

static const struct config_pipeline *pipeline_called(const struct config *c, const char *name)
{
    for (uint32_t i = 0; i < c->pipeline_count; i++)
        if (strcmp(c->pipelines[i].name, name) == 0)
            return &c->pipelines[i];
    fail_msg("no pipeline %s", name);
    return NULL;
}

/* "map filter fanout": the stages that it runs. */
static void check_stages(const struct config_pipeline *p, uint32_t shared_count, const char *names)
{
    char text[256] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < p->stage_count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", i > 0 ? " " : "", p->stages[i].name);
    assert_string_equal(text, names);
    assert_int_equal(p->shared_stage_count, shared_count);
}

static const char branching[] = "pipelines:\n"
                                "  p:\n"
                                "    source: {stdin: {}, to: in}\n"
                                "    owner: us\n"
                                "    order: none\n"
                                "    was: q\n"
                                "    retry: {attempts: 3, backoff: 1s..2s}\n"
                                "    stages: [filter: event.a == 1]\n"
                                "    route:\n"
                                "      - {name: x, if: event.x == 1, sink: {file: x}, owner: them, order: partition}\n"
                                "      - name: y\n"
                                "        if: event.y == 1\n"
                                "        retry: {attempts: 5}\n"
                                "        stages: [plugin: {symbol: s}, filter: event.b == 1]\n"
                                "        fanout: [{name: z, sink: {topic: far}, was: o.z, dead_letter: lost}]\n"
                                "      - {name: rest, stages: [keep: [a]], sink: {topic: far}}\n";

static void branches_become_consumers(void **state)
{
    struct config *c = must_load(branching);
    static const char *const names[] = { "p", "p.x", "p.y", "p.y.z", "p.rest" };
    assert_int_equal(c->pipeline_count, COUNT_OF(names));
    for (uint32_t i = 0; i < c->pipeline_count; i++)
        assert_string_equal(c->pipelines[i].name, names[i]);
    assert_int_equal(config_branch_count(c), 4);
    assert_int_equal(config_stage_count(c), 4); /* as written */
    const struct config_pipeline *p = &c->pipelines[0], *x = &c->pipelines[1], *y = &c->pipelines[2];
    const struct config_pipeline *z = &c->pipelines[3], *rest = &c->pipelines[4];
    assert_true(p->fan == CONFIG_ROUTE && p->sink.kind == CONFIG_SINK_NONE && p->parent == NULL);
    assert_true(x->parent == p && y->parent == p && z->parent == y && rest->parent == p);
    assert_true(x->source.kind == CONFIG_SOURCE_TOPIC && y->fan == CONFIG_FANOUT);
    assert_string_equal(x->source.topic, "in");
    assert_string_equal(y->sink.topic, "p.y.out"); /* a stage that waits runs once */
    assert_string_equal(z->source.topic, "p.y.out");
    check_stages(p, 0, "filter");
    check_stages(x, 2, "filter route");
    check_stages(y, 2, "filter route plugin filter-2");
    check_stages(z, 0, "");
    check_stages(rest, 2, "filter route keep");
    const struct config_stage *choice = &rest->stages[1];
    assert_true(choice->kind == CONFIG_STAGE_CHOICE && choice->before_count == 2 && choice->filter.text == NULL);
    assert_string_equal(choice->before[1].name, "y");
    assert_string_equal(choice->before[1].expr.text, "event.y == 1");
    assert_int_equal(choice->before[1].expr.place.line, 12); /* where it was written */
    config_free(&c);
}

static void branches_inherit(void **state)
{
    struct config *c = must_load(branching);
    const struct config_pipeline *x = pipeline_called(c, "p.x"), *z = pipeline_called(c, "p.y.z");
    const struct config_pipeline *rest = pipeline_called(c, "p.rest");
    assert_string_equal(x->owner, "them");
    assert_string_equal(rest->owner, "us");
    assert_int_equal(x->order, CONFIG_ORDER_PARTITION);
    assert_int_equal(rest->order, CONFIG_ORDER_NONE);
    assert_true(x->manners.retry.attempts == 3 && z->manners.retry.attempts == 5); /* field by field */
    assert_true(z->manners.retry.backoff.least_ms == 1000 && z->manners.timeout_ms == 30000);
    assert_string_equal(x->was, "q.x");
    assert_string_equal(z->was, "o.z");
    assert_string_equal(x->dead_letter, "p.dead");
    assert_string_equal(z->dead_letter, "lost");
    assert_int_equal(config_topic_role(c, "in"), CONFIG_TOPIC_SOURCE);
    assert_int_equal(config_topic_role(c, "p.y.out"), CONFIG_TOPIC_OUT);
    assert_int_equal(config_topic_role(c, "far"), CONFIG_TOPIC_OTHER);
    assert_true(config_is_keyless(z));
    config_free(&c);
}

/* Whether check says the text of this file. */
static bool says(const char *yaml, const char *text)
{
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error err = { 0 };
    bool said = false;
    (void)config_parse(NULL, "neap.yaml", bytes_of_text(yaml), &config, &messages, &err);
    for (uint32_t i = 0; i < messages->count; i++)
        said = said || strcmp(messages->list[i].text, text) == 0;
    config_free(&config);
    config_messages_free(&messages);
    return said;
}

/* As many as there may be, and one more. */
static void branches_have_limits(void **state)
{
    static char text[64 << 10];
    for (uint32_t more = 0; more < 2; more++) {
        size_t size = (size_t)snprintf(text, sizeof text, "pipelines:\n");
        for (uint32_t i = 0; i < CONFIG_CONSUMER_COUNT_MAX / 32 + more; i++) {
            size +=
                (size_t)snprintf(text + size, sizeof text - size, "  p%u:\n    source: {topic: t}\n    fanout:\n", i);
            for (uint32_t k = 0; k < 31; k++)
                size += (size_t)snprintf(text + size, sizeof text - size, "      - {name: b%u, sink: {topic: o}}\n", k);
        }
        assert_int_equal(says(text, "a file has at most 192 pipelines and branches"), more != 0);
    }
    for (uint32_t more = 0; more < 2; more++) {
        size_t size = (size_t)snprintf(text, sizeof text, "pipelines:\n  p:\n    source: {topic: t}\n    stages:\n");
        for (uint32_t i = 0; i < CONFIG_STAGE_COUNT_MAX - 1 + more; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "      - keep: [a]\n");
        snprintf(text + size, sizeof text - size, "    fanout: [{name: a, if: event.a == 1, sink: {topic: o}}]\n");
        assert_int_equal(says(text, "branch 'p.a' has 65 stages with those that it shares; at most 64"), more != 0);
    }
}

static void names_have_limits(void **state)
{
    char name[LOG_NAME_SIZE_MAX + 1] = { 0 }, text[1024];
    for (uint32_t size = LOG_NAME_SIZE_MAX - 12; size <= LOG_NAME_SIZE_MAX - 2; size++) {
        memset(name, 'n', size);
        snprintf(text, sizeof text,
                 "pipelines: {%s: {source: {topic: t}, dead_letter: d, fanout: [{name: abcd, sink: {topic: o}}]}}",
                 name);
        struct config *config = NULL;
        struct config_messages *messages = NULL;
        struct error err = { 0 };
        enum neap_status status = config_parse(NULL, "f", bytes_of_text(text), &config, &messages, &err);
        assert_int_equal(status == NEAP_OK, size + 5 <= LOG_NAME_SIZE_MAX);
        config_free(&config);
        config_messages_free(&messages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_become_consumers),
        cmocka_unit_test(branches_inherit),
        cmocka_unit_test(branches_have_limits),
        cmocka_unit_test(names_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
