/* A plugin out of a shared object: nothing of it is called before its ABI has been looked at, and it is closed once. */
#include "check.h"

#include "io/sim.h"
#include "neap/plugin.h"
#include "stage/object.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t opened, closed, handled_count;
static bool refuses;
static const struct neap_host *given;

static enum neap_status begin(const struct neap_host *host, const char *pipeline, const char *stage, void **ret_ctx,
                              struct neap_error *err)
{
    assert_string_equal(pipeline, "orders");
    assert_string_equal(stage, "score");
    opened++;
    given = host;
    *ret_ctx = &handled_count;
    if (refuses)
        memset(err->text, 'x', sizeof err->text); /* without an end */
    return refuses ? NEAP_DENIED : NEAP_OK;
}

static enum neap_verdict handle(void *ctx, const struct neap_handled *handled, struct neap_call *call)
{
    ++*(uint32_t *)ctx;
    assert_int_equal(handled->offset, 7);
    assert_memory_equal(handled->event.value.at, "{}", 2);
    assert_int_equal(given->call_emit(call, (struct neap_bytes){ NULL, 0 }), NEAP_MISUSE);
    assert_int_equal(given->call_emit(call, NEAP_TEXT("{\"a\":1}")), NEAP_OK);
    given->call_reason(call, "as it must be");
    assert_false(given->call_cancelled(call));
    assert_int_equal(given->call_left_ms(call), 2000);
    return NEAP_DROP;
}

static void end(void *ctx)
{
    assert_ptr_equal(ctx, &handled_count);
    closed++;
}

static const struct neap_plugin good = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), begin, handle, end };
static const struct neap_plugin quiet = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin) + 8, NULL, handle, NULL };
static const struct neap_plugin newer = { NEAP_PLUGIN_ABI + 1, sizeof(struct neap_plugin), begin, handle, end };
static const struct neap_plugin hollow = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), begin, NULL, end };
static const struct neap_plugin small = { NEAP_PLUGIN_ABI, 16, begin, handle, end };

static bool was_told(const struct handler_call *call)
{
    return false;
}

static char kept[32];

static enum neap_status keep(struct handler_call *call, struct bytes json)
{
    snprintf(kept, sizeof kept, "%.*s", (int)json.size, (const char *)json.at);
    return NEAP_OK;
}

static enum neap_status open_one(struct io *io, const void *at, struct object **ret, struct error *err)
{
    static struct sim_object object;
    object = (struct sim_object){ "score.so", "score", at };
    sim_object_set(io, &object);
    struct object_options options = {
        .io = io, .path = "score.so", .symbol = "score", .pipeline = "orders", .stage = "score"
    };
    return object_open(&options, ret, err);
}

static void called_as_promised(void **state)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = 1 });
    struct object *object;
    struct error err = { 0 };
    opened = closed = handled_count = 0;
    refuses = false;
    assert_int_equal(open_one(io, &good, &object, &err), NEAP_OK);
    struct handler_event event = { .pipeline = "orders", .json = BYTES("{}"), .record = { .offset = 7 } };
    struct handler_call call = {
        .io = io, .deadline = mono_after(io_now(io), 2 * NS_PER_S), .json_size_max = 100, .told = was_told, .keep = keep
    };
    assert_int_equal(object_handle(object, &event, &call), STAGE_DROP);
    assert_int_equal(handled_count, 1);
    assert_string_equal(kept, "{\"a\":1}");
    assert_string_equal(call.reason, "as it must be");
    object_close(&object);
    assert_null(object);
    object_close(&object);
    assert_int_equal(opened, 1);
    assert_int_equal(closed, 1);
    sim_close(&io);
    io = sim_open(&(struct sim_options){ .seed = 1 });
    assert_int_equal(open_one(io, &quiet, &object, &err), NEAP_OK); /* later ones are larger */
    object_close(&object);
    sim_close(&io);
}

static void refused(void **state)
{
    static const struct {
        const struct neap_plugin *plugin;
        const char *words;
    } bad[] = { { &newer, "'score' in score.so was built for ABI 2 of plugins, and this is 1" },
                { &hollow, "'score' in score.so is no plugin" },
                { &small, "'score' in score.so is no plugin" } };
    struct object *object = NULL;
    opened = closed = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct io *io = sim_open(&(struct sim_options){ .seed = 1 });
        struct error err = { 0 };
        assert_int_equal(open_one(io, bad[i].plugin, &object, &err), NEAP_MISUSE);
        assert_non_null(strstr(err.text, bad[i].words));
        struct object_options other = { .io = io, .path = "score.so", .symbol = "scor" };
        assert_int_equal(object_check(&other, &err), NEAP_MISUSE);
        assert_non_null(strstr(err.text, "score.so has no 'scor'"));
        other.path = "none.so";
        assert_int_equal(object_check(&other, &err), NEAP_NOTFOUND);
        sim_close(&io);
    }
    assert_int_equal(opened + closed, 0);
    struct io *io = sim_open(&(struct sim_options){ .seed = 1 });
    struct error err = { 0 };
    refuses = true;
    assert_int_equal(open_one(io, &good, &object, &err), NEAP_MISUSE);
    assert_non_null(strstr(err.text, "does not want to begin: xxx"));
    assert_int_equal(closed, 0); /* it never was open */
    sim_close(&io);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(called_as_promised), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
