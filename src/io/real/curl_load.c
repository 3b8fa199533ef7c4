/* curl_load.c - libcurl, found when it is first needed: a node that calls nobody does not carry it.
 *
 * It is never unloaded. What it has loaded itself leaves threads and exit handlers behind. */
#include "io/real/curl.h"
#include <dlfcn.h>

#define LIBRARY     "libcurl.so.4"
#define VERSION_MIN 0x075700u /* 7.87.0: a name that is not found in time holds nobody up (CURLOPT_QUICK_EXIT) */

static enum neap_status find_functions(void *library, struct curl *curl, struct error *err)
{
    const struct {
        const char *name;
        void *to;
    } functions[] = {
#define X(name) { "curl_" #name, &curl->name },
        CURL_FUNCTION_MAP(X)
#undef X
    };
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        void *at = dlsym(library, functions[i].name);
        if (at == NULL)
            return error_set(err, NEAP_NOTFOUND, LIBRARY " has no %s(): calls over HTTP need 7.87.0 or newer",
                             functions[i].name);
        memcpy(functions[i].to, &at, sizeof(at));
    }
    return NEAP_OK;
}

enum neap_status curl_load(struct curl *ret_curl, struct error *err)
{
    struct curl curl;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return error_set(err, NEAP_NOTFOUND, "calls over HTTP need libcurl (Debian's package libcurl4): %s", dlerror());
    enum neap_status status = find_functions(library, &curl, err);
    if (status != NEAP_OK)
        return status;
    const curl_version_info_data *version = curl.version_info(CURLVERSION_NOW);
    if (version->version_num < VERSION_MIN)
        return error_set(err, NEAP_NOTFOUND, LIBRARY " is %s: calls over HTTP need 7.87.0 or newer", version->version);
    unsigned needed = CURL_VERSION_SSL | CURL_VERSION_ASYNCHDNS;
    if (((unsigned)version->features & needed) != needed)
        return error_set(err, NEAP_NOTFOUND, LIBRARY " (%s) was built without TLS or without a resolver of its own",
                         version->version);
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, NEAP_NOMEM, LIBRARY " could not be initialised");
    *ret_curl = curl;
    return NEAP_OK;
}
