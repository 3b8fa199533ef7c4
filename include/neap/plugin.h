/* neap/plugin.h - a stage of a pipeline file as a shared object of your own, for `neap run` and for programs alike.
 *
 *     stages: [plugin: {path: ./score.so, symbol: score}]
 *
 *     #include <neap/plugin.h>
 *     static const struct neap_host *host;
 *     static enum neap_status begin(const struct neap_host *h, const char *pipeline, const char *stage, void **ret_ctx,
 *                                   struct neap_error *err) { host = h; return NEAP_OK; }
 *     static enum neap_verdict score(void *ctx, const struct neap_handled *handled, struct neap_call *call)
 *     {
 *         host->call_emit(call, NEAP_TEXT("{\"risk\":\"low\"}"));
 *         return NEAP_KEEP;
 *     }
 *     NEAP_PLUGIN(score) = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), begin, score, NULL };
 *
 *     cc -shared -fPIC -o score.so score.c
 *
 * owner    one of these for each stage that names it; a shared object that several stages name is loaded once
 * memory   the plugin's own; it is no part of node.memory
 * limits   `concurrency` calls at a time, and `timeout` for each, as the stage says (neap.h: neap_handler)
 * errors   what handle() answers; what open() answers keeps the file from being run, with the words that it leaves in `err`
 * promise  the object links with nothing of Neap's: what it calls is handed to it. Its ABI is a number, which is looked at before
 *          anything of it is called; within one number, structs only grow at their ends, and `size` says how far they reach
 *
 * It is code in Neap's own process: one that crashes takes the node with it, and its events come again when that is started anew.
 * Where that is not wanted, `exec` runs a program beside it (docs/exec.md). */
#ifndef NEAP_PLUGIN_H
#define NEAP_PLUGIN_H

#include "neap/neap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NEAP_PLUGIN_ABI 1u

/* What a plugin may call, within handle() and with the call that it was given: as the functions of these names in neap.h. */
struct neap_host {
    size_t size; /* of this struct, there: a member beyond it is not */
    bool             (*call_cancelled)(const struct neap_call *call);
    int64_t          (*call_left_ms)(const struct neap_call *call);
    enum neap_status (*call_emit)(struct neap_call *call, struct neap_bytes value);
    void             (*call_reason)(struct neap_call *call, const char *text);
};

struct neap_plugin {
    uint32_t abi;  /* NEAP_PLUGIN_ABI */
    size_t   size; /* of this struct, in the object */
    /* Once, before the first call, on a thread that does nothing else meanwhile. `host` and the names stay until close(). What it
     * leaves in ret_ctx is handed to the others. NULL: there is nothing to do. */
    enum neap_status  (*open)(const struct neap_host *host, const char *pipeline, const char *stage, void **ret_ctx,
                              struct neap_error *err);
    /* For each event: by several threads at a time, but for the events of one key one after the other. */
    enum neap_verdict (*handle)(void *ctx, const struct neap_handled *handled, struct neap_call *call);
    /* Once, when no call is at work any more. NULL: there is nothing to do. */
    void              (*close)(void *ctx);
};

#define NEAP_PLUGIN(symbol)                                                                                            \
    extern __attribute__((visibility("default"))) const struct neap_plugin symbol;                                     \
    const struct neap_plugin symbol

#ifdef __cplusplus
}
#endif

#endif
