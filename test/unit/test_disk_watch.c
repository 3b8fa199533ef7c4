/* A disk that fills up is said at 80 % and at 90 %, once each, and again only after it has been emptier. */
#include "check.h"

#include <stdio.h>

#include "node/disk_watch.h"

struct told {
    char text[8][256];
    uint32_t count;
};

static wall_time no_time(void *ctx)
{
    (void)ctx;
    return (wall_time){ 0 };
}

static void keep(void *ctx, struct bytes line)
{
    struct told *told = ctx;
    assert_true(told->count < 8);
    snprintf(told->text[told->count++], sizeof told->text[0], "%.*s", (int)line.size, (const char *)line.at);
}

static void look(struct disk_watch *watch, struct logging *logging, uint64_t percent)
{
    struct log_figures figures = { .disk_size = 1000, .disk_live_size = 10 * percent };
    disk_watch_look(watch, &figures, logging);
}

static void each_mark_is_told_once(void **state)
{
    struct told told = { 0 };
    struct logging_options options = { .level = LOGGING_WARN, .wall = no_time, .write = keep, .ctx = &told };
    struct logging *logging = logging_new(&options);
    struct disk_watch watch = { 0 };
    static const struct {
        uint64_t percent;
        uint32_t count;
    } steps[] = { { 10, 0 }, { 79, 0 }, { 80, 1 }, { 85, 1 }, { 80, 1 }, { 78, 1 }, { 80, 1 }, { 90, 2 }, { 99, 2 },
                  { 88, 2 }, { 90, 2 }, { 84, 2 }, { 90, 3 }, { 10, 3 }, { 95, 4 }, { 10, 4 }, { 81, 5 } };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        look(&watch, logging, steps[i].percent);
        if (told.count != steps[i].count)
            fail_msg("step %zu, %llu %%: told %u times", i, (unsigned long long)steps[i].percent, told.count);
    }
    assert_non_null(strstr(told.text[0], "used to 80 %"));
    assert_non_null(strstr(told.text[1], "producers are refused"));
    assert_non_null(strstr(told.text[3], "producers are refused")); /* a jump over both says the worse one alone */
    logging_free(&logging);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_mark_is_told_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
