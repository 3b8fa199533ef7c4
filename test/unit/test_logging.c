/* A line of logging is one line, escaped, rate-limited and countable, in logfmt and in JSON. */
#include "check.h"

#include "base/json.h"
#include "base/logging.h"
#include <pthread.h>

struct sink {
    wall_time now;
    char lines[64][LOGGING_LINE_SIZE_MAX + 1];
    _Atomic unsigned count;
};

static wall_time wall(void *ctx)
{
    return ((struct sink *)ctx)->now;
}

static void keep(void *ctx, struct bytes line)
{
    struct sink *sink = ctx;
    unsigned i = sink->count++;
    assert_true(i < COUNT_OF(sink->lines) && line.size <= LOGGING_LINE_SIZE_MAX);
    assert_int_equal(line.at[line.size - 1], '\n');
    memcpy(sink->lines[i], line.at, line.size);
    sink->lines[i][line.size - 1] = '\0';
    assert_null(strchr(sink->lines[i], '\n')); /* one line is one line */
}

static struct sink sink;

static struct logging *start(enum logging_format format, enum logging_level level)
{
    memset(&sink, 0, sizeof sink);
    sink.now.ms = 1763665933456;
    return logging_new(
        &(struct logging_options){ .level = level, .format = format, .wall = wall, .write = keep, .ctx = &sink });
}

static void a_line_in_logfmt(void **state)
{
    (void)state;
    struct logging *logging = start(LOGGING_LOGFMT, LOGGING_INFO);
    logging_warn(logging, "sink is slow", LOGGING_TEXT("pipeline", "orders"), LOGGING_INT("age_ms", -2100),
                 LOGGING_UINT("size", UINT64_MAX), LOGGING_BYTES("key", BYTES("a=b")), LOGGING_TEXT("empty", ""),
                 LOGGING_TEXT("none", NULL));
    assert_string_equal(sink.lines[0], "time=2025-11-20T19:12:13.456Z level=warn msg=\"sink is slow\" pipeline=orders "
                                       "age_ms=-2100 size=18446744073709551615 key=\"a=b\" empty=\"\" none=\"\"");
    logging_free(&logging);
    assert_null(logging);
}

static void a_line_in_json(void **state)
{
    (void)state;
    struct logging *logging = start(LOGGING_JSON, LOGGING_INFO);
    logging_error(logging, "sink is slow", LOGGING_TEXT("pipeline", "orders"), LOGGING_INT("age_ms", 2100));
    assert_string_equal(sink.lines[0], "{\"time\":\"2025-11-20T19:12:13.456Z\",\"level\":\"error\",\"msg\":\"sink is "
                                       "slow\",\"pipeline\":\"orders\",\"age_ms\":2100}");
    logging_free(&logging);
}

static void nobodys_data_forges_a_line(void **state)
{
    (void)state;
    struct bytes evil = BYTES("x\n\r\x1b[2J\x07\xc2\x9b\xe2\x80\xae\"\\ level=error \xff\0\x7f\xf0\x9f\x98\x80");
    struct logging *logging = start(LOGGING_LOGFMT, LOGGING_INFO);
    logging_info(logging, "m", LOGGING_BYTES("v", evil));
    assert_string_equal(sink.lines[0],
                        "time=2025-11-20T19:12:13.456Z level=info msg=m "
                        "v=\"x\\n\\u000d\\u001b[2J\\u0007\\u009b\\u202e\\\"\\\\ level=error \\xff\\u0000\\u007f😀\"");
    logging_free(&logging);
    logging = start(LOGGING_JSON, LOGGING_INFO);
    logging_info(logging, "m", LOGGING_BYTES("v", evil));
    uint32_t column;
    const char *what;
    assert_int_equal(json_explain(bytes_of_text(sink.lines[0]), &column, &what), NEAP_OK);
    assert_null(strchr(sink.lines[0], 0x1b));
    logging_free(&logging);
}

static void levels_and_null(void **state)
{
    (void)state;
    struct logging *logging = start(LOGGING_LOGFMT, LOGGING_WARN);
    logging_debug(logging, "no", LOGGING_INT("n", 1));
    logging_info(logging, "no", LOGGING_INT("n", 1));
    assert_int_equal(sink.count, 0);
    logging_warn(logging, "yes", LOGGING_INT("n", 1));
    logging_error(logging, "no fields at all");
    assert_int_equal(sink.count, 2);
    assert_true(logging_enabled(logging, LOGGING_ERROR));
    assert_false(logging_enabled(logging, LOGGING_OFF));
    logging_warn(NULL, "nobody listens", LOGGING_INT("n", 1));
    logging_free(&logging);
    logging_free(&logging);
}

static void say(struct logging *logging, int times)
{
    for (int i = 0; i < times; i++)
        logging_info(logging, "again", LOGGING_INT("i", i));
}

static void a_flood_is_counted_not_printed(void **state)
{
    (void)state;
    struct logging *logging = start(LOGGING_LOGFMT, LOGGING_INFO);
    say(logging, 25);
    assert_int_equal(sink.count, 10);
    sink.now.ms += 999;
    say(logging, 1);
    assert_int_equal(sink.count, 10);
    sink.now.ms += 1;
    say(logging, 2);
    assert_int_equal(sink.count, 12);
    assert_non_null(strstr(sink.lines[10], " suppressed=16 "));
    assert_null(strstr(sink.lines[11], "suppressed"));
    sink.now.ms -= 100000; /* a wall clock that is set back must not silence a site for long */
    say(logging, 1);
    assert_int_equal(sink.count, 13);
    logging_free(&logging);
}

/* Cut at every possible place: still one line, and still an object. */
static void long_lines_are_cut_cleanly(void **state)
{
    (void)state;
    static char text[LOGGING_LINE_SIZE_MAX + 100];
    uint32_t column;
    const char *what;
    for (int json = 0; json < 2; json++) {
        for (size_t size = LOGGING_LINE_SIZE_MAX - 400; size < sizeof text - 1; size++) {
            struct logging *logging = start(json ? LOGGING_JSON : LOGGING_LOGFMT, LOGGING_INFO);
            memset(text, 'x', size);
            text[size] = '\0';
            memcpy(text + size - 3, "\xe2\x82\xac", 3);
            static struct logging_site site;
            site = (struct logging_site){ 0 };
            const struct logging_field fields[] = { LOGGING_TEXT("text", text), LOGGING_INT("number", INT64_MIN),
                                                    LOGGING_TEXT("after", "a b") };
            logging_line(logging, &site, LOGGING_INFO, "m", fields, COUNT_OF(fields));
            assert_int_equal(sink.count, 1);
            bool all = strstr(sink.lines[0], "a b\"") != NULL;
            bool marked = strstr(sink.lines[0], "…") != NULL || strstr(sink.lines[0], ",\"cut\":true") != NULL;
            assert_int_equal(all, !marked);
            if (json)
                assert_int_equal(json_explain(bytes_of_text(sink.lines[0]), &column, &what), NEAP_OK);
            logging_free(&logging);
        }
    }
}

static void *say_much(void *logging)
{
    say(logging, 1000);
    return NULL;
}

static void two_threads(void **state)
{
    (void)state;
    struct logging *logging = start(LOGGING_LOGFMT, LOGGING_INFO);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, say_much, logging), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(sink.count >= 10 && sink.count <= 20);
    logging_free(&logging);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_in_logfmt),
        cmocka_unit_test(a_line_in_json),
        cmocka_unit_test(nobodys_data_forges_a_line),
        cmocka_unit_test(levels_and_null),
        cmocka_unit_test(a_flood_is_counted_not_printed),
        cmocka_unit_test(long_lines_are_cut_cleanly),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
