/* score.c - a stage in C, as a shared object: it says how risky an order is, by its total.
 *
 *     make -C examples/plugin && build/neap run examples/plugin/neap.yaml --until-idle */
#include <neap/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct neap_host *host; /* what Neap lets us call; of all our stages the same */

static enum neap_status begin(const struct neap_host *h, const char *pipeline, const char *stage, void **ret_ctx,
                              struct neap_error *err)
{
    double *limit = malloc(sizeof *limit); /* what is this stage's own */
    (void)pipeline;
    (void)stage;
    if (limit == NULL) {
        snprintf(err->text, sizeof err->text, "out of memory");
        return NEAP_NOMEM;
    }
    *limit = 1000;
    host = h;
    *ret_ctx = limit;
    return NEAP_OK;
}

/* By several threads at a time: what it writes is its own, or each call's. */
static enum neap_verdict score(void *ctx, const struct neap_handled *handled, struct neap_call *call)
{
    const double *limit = ctx;
    struct neap_bytes value = handled->event.value;
    char json[512], text[64] = "";
    const char *at = memmem(value.at, value.size, "\"total\":", 8);
    if (at == NULL) {
        host->call_reason(call, "an order has a total");
        return NEAP_FAIL;
    }
    size_t left = value.size - (size_t)(at + 8 - (const char *)value.at);
    memcpy(text, at + 8, left < sizeof text - 1 ? left : sizeof text - 1);
    const char *risk = strtod(text, NULL) > *limit ? "high" : "low";
    int size =
        snprintf(json, sizeof json, "%.*s,\"risk\":\"%s\"}", (int)(value.size - 1), (const char *)value.at, risk);
    if (size < 0 || (size_t)size >= sizeof json)
        return NEAP_KEEP; /* as it came */
    host->call_emit(call, (struct neap_bytes){ json, (size_t)size });
    return NEAP_KEEP;
}

NEAP_PLUGIN(order_score) = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), begin, score, free };
