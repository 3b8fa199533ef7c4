/* A pipeline file read with little memory loads, or is refused for that, and leaves nothing behind: whichever allocation fails. */
#include "check.h"
#include "config/config.h"
#include <stdlib.h>

static uint64_t fail_at, asked; /* the fail_at-th allocation and all behind it fail; 0: none */
static int64_t alive;           /* blocks not yet freed */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);

static bool refused(void)
{
    asked++;
    return fail_at > 0 && asked >= fail_at;
}

void *__wrap_malloc(size_t size)
{
    void *block = refused() ? NULL : __real_malloc(size);
    alive += block != NULL;
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = refused() ? NULL : __real_calloc(count, size);
    alive += block != NULL;
    return block;
}

void *__wrap_realloc(void *old, size_t size)
{
    void *block = refused() ? NULL : __real_realloc(old, size);
    alive += old == NULL && block != NULL;
    return block;
}

void __wrap_free(void *block)
{
    alive -= block != NULL;
    __real_free(block);
}

static const char good[] =
    "x-s: &s {filter: event.a > 1}\n"
    "node: {data: \"${NOT_SET:-here}\"}\n"
    "topics: {t: {partitions: 2}}\n"
    "pipelines:\n"
    "  p:\n"
    "    source: {file: a.ndjson, key: event.k}\n"
    "    stages:\n"
    "      - call: {url: {expr: event.u}, into: a, headers: {A: b, C: {expr: event.c}}, fallback: {a: [1, b]},\n"
    "          retry: {permanent: [404], transient: [5xx]}, cache: {by: event.k, age: 1m}, limit: 5/s}\n"
    "      - *s\n"
    "      - <<: *s\n"
    "      - map: {b: 'event.a + 1'}\n"
    "      - keep: [a, b]\n"
    "    sink: {sqlite: {path: x.db, table: t, columns: [a, b c], key: [a]}}\n";
static const char bad[] =
    "pipelines:\n  p: {sorce: {file: a}, stages: [filtr: event.a, map: {b: event.}], sink: {file: a, stdout: }}\n";

static void sweep(const char *yaml, enum neap_status expected)
{
    bool whole = false;
    for (uint64_t at = 1; !whole; at++) {
        struct config *config = NULL;
        struct config_messages *messages = NULL;
        struct error err = { 0 };
        asked = 0;
        fail_at = at;
        enum neap_status status = config_parse(NULL, "f", bytes_of_text(yaml), &config, &messages, &err);
        whole = asked < at;
        fail_at = 0;
        assert_int_equal(config != NULL, status == NEAP_OK);
        if (whole)
            assert_int_equal(status, expected);
        else
            assert_int_equal(status, NEAP_NOMEM);
        config_free(&config);
        config_messages_free(&messages);
        assert_int_equal(alive, 0);
        assert_true(at < 10000);
    }
}

static void good_file(void **state)
{
    sweep(good, NEAP_OK);
}

static void bad_file(void **state)
{
    sweep(bad, NEAP_BADINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(good_file), cmocka_unit_test(bad_file) };
    return cmocka_run_group_tests_name("config_memory", tests, NULL, NULL);
}
